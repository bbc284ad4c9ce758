
=head1 AsideTest

What every TAP test of pg_aside needs: a cluster with the extension in one of
its two modes, and sessions that can be started, left waiting, and watched
while they wait.

Tests wait for conditions, not for time. C<busy> and C<quiet> below are the two
conditions on workers; both read pg_stat_activity, so they hold preloaded or not.

=cut

package AsideTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(aside_node session worker_pid busy_worker quiet
  ended_well within finish_all seed catalog until_true processes);

# Our workers that are inside a transaction. xact_start is kept by the server
# itself, so a worker cannot forget to report it.
our $IN_XACT = q{FROM pg_stat_activity
	WHERE backend_type = 'pg_aside worker' AND xact_start IS NOT NULL};

# A running cluster with the extension and a table t(tag, n) in database
# postgres. preload => 0 leaves the module out of shared_preload_libraries.
sub aside_node
{
	my ($name, %o) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => $o{streaming} // 0);
	$node->append_conf('postgresql.conf', "log_statement = none\n");
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'pg_aside'\n")
	  if $o{preload} // 1;
	$node->append_conf('postgresql.conf', $o{conf}) if defined $o{conf};
	$node->start;
	$node->safe_psql('postgres',
		'CREATE EXTENSION pg_aside; CREATE TABLE t (tag text, n int)');
	return $node;
}

sub session { return AsideTest::Session->new(@_); }

# Passes when the query says true. Each look is a connection of its own, so the server may go and come meanwhile.
sub until_true
{
	my ($node, $sql, $what, $db) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until($db // 'postgres', $sql), $what);
}

# Every process of this cluster, the postmaster among them.
sub processes
{
	my ($node) = @_;
	my $dir = $node->data_dir;
	return grep { (readlink("/proc/$_/cwd") // '') eq $dir } map { /(\d+)$/ } glob('/proc/[0-9]*');
}

# All that belongs to an extension, in words, a line each; the order of columns apart.
sub catalog
{
	my ($node, $db, $extension) = @_;
	$extension //= 'pg_aside';
	return $node->safe_psql($db, qq{
	WITH its AS (SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		WHERE e.extname = '$extension' AND d.deptype = 'e'),
	acl AS (SELECT oid, 'pg_proc'::regclass AS classid, coalesce(proacl, acldefault('f', proowner)) AS acl FROM pg_proc
		UNION ALL SELECT oid, 'pg_class'::regclass, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END, relowner)) FROM pg_class
		UNION ALL SELECT oid, 'pg_namespace'::regclass, nspacl FROM pg_namespace UNION ALL SELECT oid, 'pg_language'::regclass, lanacl FROM pg_language),
	lines AS (
		SELECT pg_describe_object(classid, objid, 0) AS what, 'exists' AS line FROM its
		UNION ALL SELECT pg_describe_object(classid, objid, objsubid), 'comment ' || description FROM its JOIN pg_description d ON d.classoid = classid AND d.objoid = objid
		UNION ALL SELECT pg_describe_object(i.classid, objid, 0), 'may ' || a::text FROM its i JOIN acl ON acl.classid = i.classid AND acl.oid = objid, unnest(acl) a
		UNION ALL SELECT pg_describe_object(classid, objid, 0), pg_get_functiondef(objid) FROM its WHERE classid = 'pg_proc'::regclass
		UNION ALL SELECT pg_describe_object(classid, objid, 0), pg_get_viewdef(objid) FROM its JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass WHERE relkind = 'v'
		UNION ALL SELECT pg_describe_object(classid, objid, 0), concat_ws(' ', relkind, relpersistence, relreplident, reloptions) FROM its JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass
		UNION ALL SELECT pg_describe_object(classid, objid, 0), concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid))
			FROM its JOIN pg_attribute a ON a.attrelid = objid AND classid = 'pg_class'::regclass LEFT JOIN pg_attrdef f ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0 AND NOT attisdropped
		UNION ALL SELECT pg_describe_object(classid, objid, 0), pg_get_constraintdef(c.oid) FROM its JOIN pg_constraint c ON conrelid = objid AND classid = 'pg_class'::regclass
		UNION ALL SELECT pg_describe_object(classid, objid, 0), pg_get_indexdef(indexrelid) FROM its JOIN pg_index ON indrelid = objid AND classid = 'pg_class'::regclass
		UNION ALL SELECT pg_describe_object(classid, objid, 0), concat_ws(' ', tgenabled, pg_get_triggerdef(t.oid)) FROM its JOIN pg_trigger t ON tgrelid = objid AND classid = 'pg_class'::regclass WHERE NOT tgisinternal
		UNION ALL SELECT 'dumped', concat_ws(' ', r::regclass, c) FROM pg_extension, unnest(extconfig, extcondition) AS u (r, c) WHERE extname = '$extension')
	SELECT concat(what, ': ', line) FROM lines ORDER BY 1});
}

# The worker that serves this session's next call.
sub worker_pid
{
	my ($s) = @_;
	return $s->value(
		q{SELECT pid FROM autonomous_query('SELECT pg_backend_pid()') AS w(pid int)}
	);
}

# Waits until a worker whose command holds $mark sleeps or waits for a lock (or
# meets another condition on its row of pg_stat_activity); returns its pid.
sub busy_worker
{
	my ($mon, $mark, $condition) = @_;
	$condition //= q{wait_event = 'PgSleep' OR wait_event_type = 'Lock'};
	my $sql = qq{SELECT max(pid) FROM pg_stat_activity
		WHERE backend_type = 'pg_aside worker' AND query LIKE '%$mark%'
		AND xact_start IS NOT NULL AND ($condition)};
	$mon->until("SELECT ($sql) IS NOT NULL")
	  or die "no worker became busy with $mark";
	return $mon->value($sql);
}

# Waits until no worker is in a transaction: nothing can commit any more.
sub quiet
{
	my ($mon, $timeout) = @_;
	return $mon->until("SELECT NOT EXISTS (SELECT $IN_XACT)", $timeout);
}

# One assertion for a call that had to fail: its SQLSTATE, and in good time.
sub ended_well
{
	my ($r, $state, $name, $limit) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$limit //= 8;
	my $ok = ok(defined $r->{sqlstate}
		  && $r->{sqlstate} =~ /^(?:$state)$/
		  && $r->{secs} < $limit,
		$name);
	diag(sprintf "wanted %s within %g s, got after %.1f s:\n%s%s",
		$state, $limit, $r->{secs}, $r->{out}, $r->{err})
	  unless $ok;
	return $ok;
}

# Runs $code and asserts its duration.
sub within
{
	my ($limit, $code, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $start = time;
	my $value = $code->();
	my $secs  = time - $start;
	ok($secs < $limit, $name) or diag(sprintf "took %.1f s", $secs);
	return $value;
}

sub finish_all { $_->quit for @_; return; }

# Random tests print their seed; ASIDE_TEST_SEED repeats one.
sub seed
{
	my $seed = $ENV{ASIDE_TEST_SEED} || (int(time * 1000) ^ $$) % 1_000_000_007;
	srand($seed);
	diag("seed $seed (ASIDE_TEST_SEED=$seed repeats it)");
	return $seed;
}

=head2 AsideTest::Session

One psql. C<send> starts a command and returns; C<wait> returns what came of
it: a hash of out, err, ok, sqlstate, message, detail, hint, secs, and gone
(the session ended).

=cut

package AsideTest::Session;

use strict;
use warnings;

use IPC::Run;
use Test::More;
use Time::HiRes qw(time usleep);

sub new
{
	my ($class, $node, %o) = @_;
	my $connstr = $node->connstr($o{db} // 'postgres');
	$connstr .= " host=$o{host}"         if defined $o{host};
	$connstr .= " user=$o{user}"         if defined $o{user};
	$connstr .= " options='$o{options}'" if defined $o{options};
	my $self = bless {
		in  => '',
		out => '',
		err => '',
		n   => 0,
	}, $class;
	$self->{run} = IPC::Run::start(
		[
			$node->installed_command('psql'), '-XAtq',
			'-v' => 'VERBOSITY=verbose',
			'-d' => $connstr,
			'-f' => '-'
		],
		'<' => \$self->{in},
		'>' => \$self->{out},
		'2>' => \$self->{err});
	return $self;
}

sub send
{
	my ($self, $sql) = @_;
	$self->pid if !defined $self->{pid};
	return $self->_send($sql);
}

sub _send
{
	my ($self, $sql) = @_;
	my $n = ++$self->{n};
	note "[$n] ", substr($sql, 0, 2000) unless $self->{quiet};
	$self->{out} = $self->{err} = '';
	$self->{start} = time;
	$self->{in} .= "$sql\n;\n\\echo =done $n=\n\\warn =done $n=\n";
	$self->pump;
	return $self;
}

# False when psql has ended; then there is nobody to write to either.
sub pump
{
	my ($self) = @_;
	return $self->{run}->pumpable && eval { $self->{run}->pump_nb; 1 };
}

# True when the command has ended, without waiting for it.
sub ended
{
	my ($self) = @_;
	my $banner = "=done $self->{n}=";
	my $alive = $self->pump;
	$self->{gone} = !$alive;
	return !$alive
	  || ($self->{out} =~ /^$banner\n/m && $self->{err} =~ /^$banner\n/m);
}

sub wait
{
	my ($self, $timeout) = @_;
	my $deadline = time + ($timeout // 30);
	until ($self->ended)
	{
		if (time > $deadline)
		{
			# A hang is a failure of the claim at hand; the rest of the file can still be told.
			diag("no answer in time to command $self->{n}");
			$self->kill_client;
		}
		usleep(500);
	}
	my %r = (secs => time - $self->{start}, gone => $self->{gone});
	for my $stream ('out', 'err')
	{
		($r{$stream} = $self->{$stream}) =~ s/^=done \d+=\n//mg;
	}
	note sprintf "[%d] %.3f s: %s%s", $self->{n}, $r{secs},
	  substr($r{out}, 0, 2000), substr($r{err}, 0, 4000)
	  unless $self->{quiet};
	if ($r{err} =~ /(?:ERROR|FATAL):  (\w{5}): (.*)/)
	{
		@r{qw(sqlstate message)} = ($1, $2);
	}
	for my $field ('DETAIL', 'HINT', 'CONTEXT')
	{
		$r{ lc $field } = $r{err} =~ /^$field:  (.*)/m ? $1 : '';
	}
	$r{ok} = !defined $r{sqlstate} && !$r{gone};
	chomp $r{out};
	return \%r;
}

sub run { my ($self, $sql, $timeout) = @_; return $self->send($sql)->wait($timeout); }

# The result of a command that must succeed.
sub value
{
	my ($self, $sql, $timeout) = @_;
	my $r = $self->run($sql, $timeout);
	die "failed: $sql\n$r->{err}" unless $r->{ok};
	return $r->{out};
}

# Asked for before the first command, so that it is known while one is waiting.
sub pid
{
	my ($self) = @_;
	if (!defined $self->{pid})
	{
		my $r = $self->_send('SELECT pg_backend_pid()')->wait;
		die "no connection: $r->{err}" unless $r->{ok};
		$self->{pid} = $r->{out};
	}
	return $self->{pid};
}

# Repeats a query until it answers t; false when the time is over.
sub until
{
	my ($self, $sql, $timeout) = @_;
	my $deadline = time + ($timeout // 30);
	note "until: $sql";
	local $self->{quiet} = 1;
	while (1)
	{
		return 1 if $self->value($sql) eq 't';
		if (time > $deadline)
		{
			diag("still not true: $sql");
			return 0;
		}
		usleep(10_000);
	}
}

# The client vanishes without a word to the server.
sub kill_client
{
	my ($self) = @_;
	$self->{run}->signal('KILL');
	eval { $self->{run}->finish };
	return;
}

sub quit
{
	my ($self) = @_;
	if ($self->{run}->pumpable)
	{
		$self->{in} .= "\\q\n";
	}
	eval { $self->{run}->finish };
	return;
}

1;

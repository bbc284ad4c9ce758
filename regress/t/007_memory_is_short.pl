# Claim: a process for which there is no memory ends what it does with 53200, at worst itself, and takes nobody with it:
# a caller, a worker, a coordinator. When there is memory again, all goes on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs prlimit and /proc' unless -r "/proc/$$/status" && !system('prlimit --version >/dev/null 2>&1');

# Let a process have so many kB more than it has, or any number.
sub limit
{
	my ($pid, $more) = @_;
	my $as = 'unlimited';
	if (defined $more)
	{
		my ($kb) = map { /^VmSize:\s+(\d+) kB/ } split /\n/, slurp_file("/proc/$pid/status");
		$as = ($kb + $more) * 1024;
	}
	# One that has ended has no limits.
	system("prlimit --pid $pid --as=$as:unlimited 2>/dev/null");
	return;
}

my $node = aside_node('short', conf => "aside.max_workers = 2\nautovacuum = off\nlog_min_messages = log\n");
my $mon = session($node);
my @slack = (0, 64, 256, 1024, 4096, 16384, 65536);
my %ended;

# What a command may come to; what it came to is counted.
sub ended
{
	my ($r) = @_;
	my $state = $r->{ok} ? 'done' : $r->{sqlstate} // 'gone';
	$ended{$state}++;
	return $r->{ok} || $state =~ /^(53200|08006|57P01|gone)$/;
}

my @commands = (
	q{SELECT autonomous_exec('SELECT 1 WHERE $65535 IS NULL', VARIADIC array_fill(1, ARRAY[65535]))},
	q{SELECT sum(length(v)) FROM autonomous_query('SELECT repeat($1, $2) FROM generate_series(1, 3)', 'b'::text, 3000000) AS q(v text)},
	q{SELECT async_wait_any(array_fill(async_exec('SELECT 1'), ARRAY[65535]), '5 s')},
	q{SELECT count(*) FROM async_result(async_exec('SELECT repeat($1, 100) FROM generate_series(1, 50000)', 'x'::text)) AS r(v text)},
	q{SELECT autonomous_session_open('s')},
	q{SELECT autonomous_session_exec('s', 'SELECT length($1)', repeat('x', 3000000))},
	q{SELECT autonomous_session_close('s')},
	q{SELECT autonomous_exec('DO $d$BEGIN RAISE EXCEPTION USING MESSAGE = repeat(''f'', 3000000); END$d$')},
);

# In the caller.
my @odd;
for my $more (@slack)
{
	my $s = session($node);
	$s->value(q{SELECT autonomous_exec('SELECT 1')});
	for my $command (@commands)
	{
		limit($s->pid, $more);
		my $r = $s->run($command);
		limit($s->pid);
		push @odd, "$more kB: $command: $r->{err}" unless ended($r) || $r->{sqlstate} =~ /^(P0001|08003|42704|42710)$/;
		last if $r->{gone};
	}
	$s->quit;
}
is("@odd", '', 'a caller without memory says so');

# In the worker.
@odd = ();
for my $more (@slack)
{
	my $s = session($node);
	for my $command (@commands)
	{
		my $worker = worker_pid($s);
		# What is loaded at its first use is no matter here.
		$s->value(q{SELECT autonomous_exec('DO $d$BEGIN NULL; END$d$')});
		limit($worker, $more);
		my $r = $s->run($command);
		limit($worker);
		push @odd, "$more kB: $command: $r->{err}" unless ended($r) || $r->{sqlstate} =~ /^(P0001|08003|42704|42710|57014)$/;
	}
	$s->quit;
}
is("@odd", '', 'a worker without memory says so');
cmp_ok($ended{53200} // 0, '>', 0, 'some did') or diag(explain(\%ended));
diag(explain(\%ended));

# In the coordinator: a backlog that it cannot hold, of many handlers.
$mon->value(q{SELECT async_event_on('c', command => format('INSERT INTO public.t VALUES (%L, ($1 #>> ''{}'')::int)', n), name => 'h' || n, ordered => n = 1, batch_size => 100)
	FROM generate_series(1, 40) n});
$mon->value(q{SELECT async_event_pause('h' || n) FROM generate_series(1, 40) n});
my $coordinator = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = 'postgres'};
$mon->until("SELECT EXISTS ($coordinator)");
limit($mon->value($coordinator), 16 * 1024);
$mon->value(q{SELECT count(async_event_emit('c', to_jsonb(n))) FROM generate_series(1, 10000) n});
$mon->value(q{SELECT async_event_resume('h' || n) FROM generate_series(1, 2) n});
ok($mon->until('SELECT count(*) = 20000 FROM t', 60),
	'a coordinator without memory for all does what it can');
like(slurp_file($node->logfile), qr/coordinator of events failed: out of memory/, 'which it was short of');
limit($mon->value($coordinator));
$mon->value(q{SELECT async_event_resume('h' || n) FROM generate_series(3, 6) n});
ok($mon->until('SELECT count(*) = 60000 FROM t', 120), 'and all of it when there is memory') or diag($mon->value('SELECT count(*) FROM t'));
is($mon->value(q{SELECT count(*) FROM (SELECT tag, n FROM t GROUP BY 1, 2 HAVING count(*) > 1) twice}), 0, 'each once');

is($mon->value(q{SELECT autonomous_exec('SELECT 1')}), 1, 'and all goes on');
is(scalar(() = slurp_file($node->logfile) =~ /was terminated by signal|server process .* exited with exit code [2-9]/g), 0,
	'no process was aborted');
finish_all($mon);
$node->stop;
done_testing();

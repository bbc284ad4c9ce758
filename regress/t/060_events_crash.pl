# Claim: whatever process dies at whatever moment, an event that was committed
# takes effect once for each of its handlers, one that was rolled back for none,
# and 10 s after the last recovery nothing is left to do, nor left over.
# ASIDE_TEST_SECONDS: how long things die; 60 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{ASIDE_TEST_SECONDS} || 60;
seed();
my $node = aside_node('events', conf => <<'CONF');
restart_after_crash = on
max_worker_processes = 24
max_prepared_transactions = 20
aside.max_workers = 8
aside.event_rotation_size = '256kB'
aside.event_rotation_time = '2s'
CONF

# Handlers write into effects: no constraint, so that what happens twice is seen.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE ledger (id bigint, channel text, key text);
CREATE TABLE notes (emitter int, n bigserial);
CREATE TABLE effects (seq bigserial, handler text, id bigint, attempt int, key text);
CREATE FUNCTION fast(e aside.event) RETURNS void LANGUAGE sql AS
	$$INSERT INTO effects (handler, id, attempt, key) VALUES ('fast', e.id, e.attempt, e.key)$$;
CREATE FUNCTION slow(e aside.event) RETURNS void LANGUAGE sql AS
	$$INSERT INTO effects (handler, id, attempt) VALUES ('slow', e.id, e.attempt); SELECT pg_sleep(0.05)$$;
CREATE FUNCTION flaky(e aside.event) RETURNS void LANGUAGE plpgsql AS $$BEGIN
	INSERT INTO effects (handler, id, attempt) VALUES ('flaky', e.id, e.attempt);
	IF random() < 0.2 THEN RAISE EXCEPTION 'now and then'; END IF;
	IF random() < 0.1 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF;
END$$;
CREATE FUNCTION batches(e aside.event[]) RETURNS void LANGUAGE plpgsql AS $$BEGIN
	INSERT INTO effects (handler, id, attempt) SELECT 'batches', u.id, u.attempt FROM unnest(e) u;
	IF random() < 0.05 THEN RAISE EXCEPTION 'batch'; END IF;
END$$;
CREATE FUNCTION in_order(e aside.event) RETURNS void LANGUAGE plpgsql AS $$BEGIN
	INSERT INTO effects (handler, id, attempt, key) VALUES ('in_order', e.id, e.attempt, e.key);
	IF random() < 0.05 THEN RAISE EXCEPTION 'order'; END IF;
END$$;
CREATE FUNCTION poison(e aside.event) RETURNS void LANGUAGE plpgsql AS $$BEGIN
	INSERT INTO effects (handler, id, attempt) VALUES ('poison', e.id, e.attempt);
	RAISE EXCEPTION 'always';
END$$;
CREATE FUNCTION note(payload text) RETURNS void LANGUAGE sql AS
	$$INSERT INTO effects (handler, key, id) VALUES ('note', split_part(payload, ' ', 1), split_part(payload, ' ', 2)::bigint)$$;
CREATE FUNCTION kept_note(payload text) RETURNS void LANGUAGE sql AS
	$$INSERT INTO effects (handler, key, id) VALUES ('kept_note', split_part(payload, ' ', 1), split_part(payload, ' ', 2)::bigint)$$;
SELECT async_event_on('n', 'note(text)'), async_event_on('n', 'kept_note(text)', name => 'kept', durable => true, max_attempts => 1000, backoff => '50 ms', backoff_cap => '200 ms');
SELECT async_event_on('a', 'fast(aside.event)', concurrency => 2, max_attempts => 1000, backoff => '50 ms', backoff_cap => '200 ms'),
	async_event_on('a', 'flaky(aside.event)', name => 'flaky', max_attempts => 1000, backoff => '50 ms', backoff_cap => '200 ms'),
	async_event_on('s', 'slow(aside.event)', concurrency => 2, max_attempts => 1000, backoff => '50 ms', backoff_cap => '200 ms'),
	async_event_on('b', 'batches(aside.event[])', batch_size => 10, max_attempts => 1000, backoff => '50 ms', backoff_cap => '200 ms'),
	async_event_on('o', 'in_order(aside.event)', concurrency => 3, ordered => true, max_attempts => 1000, backoff => '20 ms', backoff_cap => '100 ms'),
	async_event_on('x', 'poison(aside.event)', max_attempts => 3, backoff => '50 ms');
CREATE VIEW expected AS SELECT l.id, l.channel, l.key, h.handler FROM ledger l
	JOIN (VALUES ('a', 'fast'), ('a', 'flaky'), ('s', 'slow'), ('b', 'batches'), ('o', 'in_order')) h (channel, handler) USING (channel);
CREATE VIEW missing AS SELECT x.channel, x.handler, x.id FROM expected x
	WHERE NOT EXISTS (SELECT FROM effects e WHERE e.id = x.id AND e.handler = x.handler);

CREATE FUNCTION emit(channel text, key text DEFAULT NULL, delay interval DEFAULT NULL, unique_key text DEFAULT NULL) RETURNS void
	LANGUAGE sql AS $$INSERT INTO ledger VALUES
		(async_event_emit(channel, to_jsonb(key), key => key, delay => delay, unique_key => unique_key), channel, key)$$;
CREATE PROCEDURE load(emitter int, seed float8) LANGUAGE plpgsql AS $$
DECLARE
	dice float8;
	key text := 'k' || emitter;
	note bigint;
BEGIN
	PERFORM setseed(seed);
	LOOP
		dice := random();
		CASE
			WHEN dice < 0.25 THEN PERFORM emit('a');
			WHEN dice < 0.35 THEN PERFORM emit('a'), emit('s');
			WHEN dice < 0.45 THEN PERFORM emit('b') FROM generate_series(1, 10);
			WHEN dice < 0.60 THEN PERFORM emit('o', key), emit('o', key);
			WHEN dice < 0.65 THEN PERFORM emit('a', delay => random() * interval '3 s');
			WHEN dice < 0.70 THEN PERFORM emit('a', unique_key => gen_random_uuid()::text);
			WHEN dice < 0.72 THEN PERFORM emit('x');
			WHEN dice < 0.76 THEN
				WITH new AS (INSERT INTO notes VALUES (emitter) RETURNING n) SELECT n INTO note FROM new;
				PERFORM pg_notify('n', emitter || ' ' || note);
			WHEN dice < 0.80 THEN
				PERFORM emit('a');
				BEGIN
					PERFORM emit('a'), emit('o', key), emit('b'), emit('b', unique_key => gen_random_uuid()::text);
					RAISE EXCEPTION 'not these';
				EXCEPTION WHEN raise_exception THEN
					PERFORM emit('b');
				END;
			ELSE
				PERFORM pg_notify('n', emitter || ' ' || -1), emit('a'), emit('o', key), emit('s', unique_key => gen_random_uuid()::text);
				ROLLBACK;
		END CASE;
		COMMIT;
		PERFORM pg_sleep(0.01 + random() * 0.03);
	END LOOP;
END$$;
SQL

# A query that may fail, for the server may be gone.
sub ask
{
	my ($sql) = @_;
	my ($rc, $out) = eval { $node->psql('postgres', $sql) };
	return defined $rc && $rc == 0 ? $out : undef;
}

sub finish_prepared
{
	my ($share) = @_;
	my $gids = ask('SELECT gid FROM pg_prepared_xacts ORDER BY 1') // '';
	ask((rand() < 0.5 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$_'") for grep { rand() < $share } split /\n/, $gids;
	return;
}

# Emitters: what runs until it is killed, each with its own part of the dice.
my ($told, $lives) = ($PostgreSQL::Test::Utils::log_path . '/emitters', 0);

sub prepared
{
	my $sql = '';
	for my $n (1 .. 2000)
	{
		my $gid = "p${lives}_$n";
		$sql .= "BEGIN; SELECT emit('a'), emit('b'), emit('s'); PREPARE TRANSACTION '$gid'; SELECT pg_sleep(0.05);\n"
		  . (rand() < 0.7 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid';\n";
	}
	return $sql;
}

my @emitters;

sub emit
{
	my $dir = $PostgreSQL::Test::Utils::tmp_check;
	$lives++;
	finish_prepared(0.5);
	for my $emitter (1 .. 3)
	{
		my $file = "$dir/emit_$emitter.sql";
		my $part = rand() * 2 - 1;
		open(my $f, '>', $file) or die $!;
		print $f $emitter == 3 ? prepared() : "CALL load($emitter, $part);\n";
		close $f;
		push @emitters,
		  IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d' => $node->connstr('postgres'), '-f' => $file ],
			'<' => \undef, '>' => '/dev/null', '2>>' => $told);
	}
	return;
}

# After a crash they have ended by themselves; else they are ended, backends first.
sub mute
{
	ask(q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
		WHERE query ~ '^CALL load|PREPARE|emit|pg_sleep' AND backend_type = 'client backend' AND pid <> pg_backend_pid()});
	$_->signal('KILL') for @emitters;
	eval { $_->finish } for @emitters;
	@emitters = ();
	return;
}

# Processes of this cluster, whoever their parent is, but the postmaster.
sub children
{
	my $postmaster = $node->{_pid} // 0;
	return grep { $_ != $postmaster } processes($node);
}

sub pid_of
{
	my ($type) = @_;
	my $pid = ask("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_aside $type' ORDER BY random() LIMIT 1") // '';
	return $pid =~ /^\d+$/ ? $pid : undef;
}

# Ends of every kind; each says whether the server is to be started.
my %end = (
	(map { my $type = $_; ("kill -9 $type" => sub { my $pid = pid_of($type); kill 'KILL', $pid if $pid; return 0; }) }
		  qw(worker coordinator launcher)),
	(map { my $type = $_; ("terminate $type" => sub { my $pid = pid_of($type); kill 'TERM', $pid if $pid; return 0; }) }
		  qw(worker coordinator launcher)),
	'kill -9 postmaster' => sub {
		my $postmaster = $node->{_pid};
		$node->kill9;
		my $deadline = time + 20;
		usleep(10_000) while (kill(0, $postmaster) || children()) && time < $deadline;
		is(scalar(children()), 0, 'all leave when the postmaster dies');
		return 1;
	},
	'immediate stop' => sub { $node->stop('immediate'); return 1; },
	'fast stop'      => sub { $node->stop('fast');      return 1; });
my %often = ('kill -9 worker' => 3, 'kill -9 coordinator' => 3, 'terminate worker' => 3, 'terminate coordinator' => 3);
my @ends = map { ($_) x ($often{$_} // 1) } sort keys %end;

# All ends that there are come once; after them it is chance.
my @all = sort { rand() <=> 0.5 } sort keys %end;
my ($deaths, %of) = (0);
my $deadline = time + $seconds;
my $recovered;
emit();
while (time < $deadline || @all)
{
	usleep(100_000 + int rand 1_200_000);
	my $how = shift @all // $ends[ rand @ends ];
	my $restart = $end{$how}->();
	$deaths++;
	$of{$how}++;
	if ($restart)
	{
		$node->start;
		mute();
		emit();
	}
	elsif ($how =~ /^kill/)
	{
		my $until = time + 20;
		usleep(20_000) until defined ask('SELECT 1') || time > $until;
		mute();
		emit();
	}
	$recovered = time;
}
mute();
diag("$deaths deaths: " . join(', ', map { "$_ $of{$_}" } sort keys %of));

my $mon = session($node);
# Those whose clients have gone may still be on their way out.
ok($mon->until(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()}, 10), 'nobody emits')
  or diag($mon->value(q{SELECT pid, state, query FROM pg_stat_activity WHERE backend_type = 'client backend'}));
$recovered = time;
finish_prepared(1);
my $over = $mon->until('SELECT NOT EXISTS (SELECT FROM missing)', $recovered + 10 - time);
ok($over, 'nothing is stuck 10 s after the last recovery')
  or diag($mon->value(q{SELECT * FROM missing ORDER BY id LIMIT 5}), "\n",
	$mon->value(q{SELECT e.* FROM aside.events e JOIN missing m ON m.id = e.id ORDER BY e.id LIMIT 5}), "\n",
	$mon->value('SELECT channel, handler, count(*) FROM missing GROUP BY 1, 2'));
$mon->until(q{SELECT NOT EXISTS (SELECT FROM ledger l WHERE channel = 'x' AND NOT EXISTS (SELECT FROM aside.dead_events d WHERE d.id = l.id))}, 10);
quiet($mon, 10);

diag($mon->value('SELECT count(*) FROM ledger') . ' events');
cmp_ok($mon->value('SELECT count(*) FROM ledger'), '>', 10 * $seconds, 'many events were committed');
is($mon->value(q{SELECT handler, id, count(*) FROM effects GROUP BY 1, 2 HAVING count(*) > 1 LIMIT 5}), '', 'no effect is there twice');
is($mon->value(q{SELECT handler, id FROM effects e WHERE handler NOT LIKE '%note' AND NOT EXISTS
	(SELECT FROM expected x WHERE x.id = e.id AND x.handler = e.handler) LIMIT 5}),
	'', 'none is there of an event that was rolled back, nor of a failed attempt');
is($mon->value(q{SELECT handler, id FROM aside.dead_events WHERE handler <> 'x' LIMIT 5}), '', 'no event is given up that some attempt could handle');
is($mon->value(q{SELECT count(*) FROM ledger WHERE channel = 'x'}),
	$mon->value(q{SELECT count(*) FROM aside.dead_events d JOIN ledger USING (id) WHERE handler = 'x' AND attempts BETWEEN 3 AND 4
		AND sqlstate IN ('P0001', '08006')}), 'those that none could are dead, after as many attempts as they may have')
  or diag($mon->value(q{SELECT l.id, d.attempts, d.sqlstate, d.message FROM ledger l LEFT JOIN aside.dead_events d USING (id) WHERE l.channel = 'x'}));
is($mon->value(q{SELECT count(*) FROM aside.dead_events WHERE id NOT IN (SELECT id FROM ledger)}), 0, 'and nothing else is');
cmp_ok($mon->value(q{SELECT coalesce(max(attempt), 0) FROM effects WHERE handler IN ('fast', 'slow')}), '<=', 1 + $deaths, 'an attempt is one for each death at most');
is($mon->value('SELECT count(*) FROM effects WHERE attempt < 1'), 0, 'and counted from 1');
is($mon->value(q{SELECT count(*) FROM (SELECT id < lag(id) OVER (PARTITION BY key ORDER BY seq) AS back FROM effects WHERE handler = 'in_order') o WHERE back}),
	0, 'events of a key were handled in their order');
is($mon->value(q{SELECT handler, id FROM effects WHERE handler LIKE '%note' AND id NOT IN (SELECT n FROM notes)}), '', 'notifications that were rolled back run nothing');
cmp_ok($mon->value(q{SELECT count(*) FROM effects WHERE handler = 'note'}), '>', 0, 'those that were not run their handler, once at most');
is($mon->value(q{SELECT count(*) FROM (SELECT id < lag(id) OVER (PARTITION BY key ORDER BY seq) AS back FROM effects WHERE handler = 'note') o WHERE back}),
	0, 'in the order of their commits');
is($mon->value('SELECT count(*) FROM aside.event_unique'), 0, 'no unique key is held by an event that has ended');

# What does not die by itself.
SKIP:
{
	skip 'no /proc', 2 unless -d "/proc/$$/cwd";
	my @strays = grep { my $stat = -r "/proc/$_/stat" ? slurp_file("/proc/$_/stat") : ''; $stat =~ /.*\) (\w) (\d+)/ && $2 != $node->{_pid} } children();
	is("@strays", '', 'no process is left of those who died');
	# One that leaves is one for a moment.
	my ($zombies, $until) = (1, time + 10);
	usleep(100_000) while ($zombies = grep { /^\s*$node->{_pid}\s+Z/ } split /\n/, `ps -eo ppid,stat`) && time < $until;
	is($zombies, 0, 'no zombies');
}
is($mon->value(q{SELECT string_agg(backend_type, ', ' ORDER BY backend_type) FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%' AND backend_type <> 'pg_aside worker'}),
	'pg_aside coordinator, pg_aside launcher', 'one launcher, one coordinator');
is(join(' ', glob($node->data_dir . '/base/pgsql_tmp/*')), '', 'no files are left');
ok($mon->until(q{SELECT count(*) = 0 FROM aside.workers WHERE state NOT IN ('free', 'idle')}, 10), 'no worker is leased')
  or diag($mon->value('SELECT * FROM aside.workers'));
ok($mon->until(q{SELECT sum(pg_total_relation_size(c.oid)) < 4e6 FROM pg_class c WHERE relnamespace = 'aside'::regnamespace AND relname ~ '^event(_log)?_[012]$'}, 10),
	'tables of events are emptied')
  or diag($mon->value(q{SELECT relname, pg_total_relation_size(oid) FROM pg_class c WHERE relnamespace = 'aside'::regnamespace AND relkind = 'r'}));

# When nobody dies, nothing needs a second attempt.
$mon->value(q{TRUNCATE effects, ledger});
$mon->value(q{SELECT emit('a'), emit('s') FROM generate_series(1, 20)});
ok($mon->until('SELECT NOT EXISTS (SELECT FROM missing)', 10), 'and events are handled on');
is($mon->value(q{SELECT count(*) FROM effects WHERE handler IN ('fast', 'slow') AND attempt <> 1}), 0, 'at the first attempt');
$mon->quit;
$node->stop;
my @log = grep { /PANIC|TRAP:|coordinator of events failed|batch are missing|no worker slot/ } split /\n/, slurp_file($node->logfile);
is("@log[0 .. ($#log > 4 ? 4 : $#log)]", '', 'the log complains of nothing');
done_testing();

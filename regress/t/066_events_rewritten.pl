# Claim: whoever writes a table of events anew (VACUUM FULL, CLUSTER, ALTER TABLE) or removes
# rows from it makes no event run twice, in place of another, or never, and costs none an attempt.
# ASIDE_TEST_EVENTS: how many pass under load; 20000 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $events = $ENV{ASIDE_TEST_EVENTS} || 20_000;
my $node = aside_node('rewritten', conf => <<'CONF');
synchronous_commit = off
autovacuum = off
aside.event_rotation_size = '1MB'
aside.event_rotation_time = '2s'
CONF
my $mon = session($node);
$mon->value(<<'SQL');
CREATE TABLE done (id bigint, attempt int, n int);
CREATE FUNCTION handle(e aside.event) RETURNS void LANGUAGE sql AS $$INSERT INTO done VALUES (e.id, e.attempt, (e.payload ->> 'n')::int)$$;
CREATE FUNCTION handle_all(e aside.event[]) RETURNS void LANGUAGE sql AS
	$$INSERT INTO done SELECT u.id, u.attempt, (u.payload ->> 'n')::int FROM unnest(e) u$$;
CREATE FUNCTION emit(channel text, first int, last int, key text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$SELECT count(async_event_emit(channel, jsonb_build_object('n', i), key => key)) FROM generate_series(first, last) i$$;
SELECT async_event_on('c', 'handle(aside.event)');
SQL
ok($mon->until(q{SELECT EXISTS (SELECT FROM aside.coordinators WHERE state = 'running')}), 'there is a coordinator');

# With holes, so that rows move.
sub waiting
{
	my ($channel) = @_;
	$mon->value($_) for ("SELECT async_event_pause('$channel')", "BEGIN; SELECT emit('$channel', 1001, 1050); ROLLBACK",
		"SELECT emit('$channel', 1, 20)", "BEGIN; SELECT emit('$channel', 1001, 1005); ROLLBACK", "SELECT emit('$channel', 21, 60)");
	return $mon->until("SELECT count(*) = 60 FROM aside.events WHERE state = 'waiting'");
}

my $done = q{SELECT count(*), count(DISTINCT n), count(DISTINCT id), sum(n), max(attempt) FROM done};
# All of the tables but the one that everybody holds a lock on.
my $tables = $mon->value(q{SELECT string_agg(oid::regclass::text, ',') FROM pg_class
	WHERE relnamespace = 'aside'::regnamespace AND relkind = 'r' AND relname ~ '^event_([0-9]|log|unique|control|dead)'});
my @rewrites = (
	['VACUUM FULL', map { "VACUUM FULL $_" } split /,/, $tables],
	['CLUSTER', split(/;/, $mon->value(q{SELECT string_agg(format('CLUSTER %s USING %I', indrelid::regclass, c.relname), ';')
		FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid::regclass::text ~ '^aside.event_[0-9]'}))],
	['ALTER TABLE', map { ("ALTER TABLE aside.event_$_ SET UNLOGGED", "ALTER TABLE aside.event_$_ SET LOGGED") } 0 .. 2],
	['SET TABLESPACE', map { ("ALTER TABLE aside.event_$_ SET TABLESPACE other") } 0 .. 2]);
$mon->value($_) for ('SET allow_in_place_tablespaces = on', q{CREATE TABLESPACE other LOCATION ''});
for my $rewrite (@rewrites)
{
	my ($name, @commands) = @$rewrite;
	$mon->value('TRUNCATE done');
	ok(waiting('c'), "events wait when their tables are written anew by $name");
	$mon->value($_) for @commands;
	$mon->value(q{SELECT async_event_resume('c')});
	$mon->until('SELECT count(*) >= 60 FROM done');
	$mon->until(q{SELECT NOT EXISTS (SELECT FROM aside.events WHERE state IN ('waiting', 'running', 'retrying'))});
	is($mon->value($done), '60|60|60|1830|1', "each is handled once, as itself, at its first attempt");
}

# An event that dies is known by what it was, wherever it lies by then.
$mon->value(q{SELECT async_event_on('dies', command => 'SELECT 1/0 /* dies */', max_attempts => 2, backoff => '1 s', backoff_cap => '1 s'),
	emit('nobody', 1, 300), emit('dies', 1, 3), emit('nobody', 1, 300)});
$mon->until(q{SELECT count(*) = 3 FROM aside.events WHERE state = 'retrying'});
$mon->value("DELETE FROM aside.event_$_ WHERE channel = 'nobody'; VACUUM FULL aside.event_$_") for 0 .. 2;
ok($mon->until('SELECT count(*) = 3 FROM aside.dead_events'), 'events die after their table was written anew');
is($mon->value(q{SELECT string_agg(concat_ws(' ', channel, payload ->> 'n', attempts), ',' ORDER BY id) FROM aside.dead_events}),
	'dies 1 2,dies 2 2,dies 3 2', 'and are what they were');

# The key of an event that runs while the table of keys is written anew, in a transaction that sees what there was before.
$mon->value(q{CREATE ROLE old LOGIN; GRANT aside_user TO old; ALTER ROLE old SET default_transaction_isolation = 'repeatable read'});
my $gate = session($node);
$gate->value('SELECT pg_advisory_lock(1)');
my $old = session($node, user => 'old');
$old->value(q{SELECT async_event_on('key', command => 'SELECT pg_advisory_xact_lock_shared(1) /* has a key */')});
my $emit = q{SELECT async_event_emit('key', unique_key => 'k') > 0};
$old->value($emit);
busy_worker($mon, 'event handler');
$mon->value("ALTER TABLE aside.event_unique SET $_") for ('UNLOGGED', 'LOGGED');
$gate->value('SELECT pg_advisory_unlock(1)');
$mon->until(q{SELECT NOT EXISTS (SELECT FROM aside.events WHERE channel = 'key' AND state <> 'done')});
is($old->run($emit)->{sqlstate} // 'free', 'free', 'a key is free when its event has ended, wherever its row lies by then');
finish_all($gate, $old);

# Somebody removes what a worker was given.
$gate = session($node);
$gate->value('SELECT pg_advisory_lock(2)');
$mon->value(q{SELECT async_event_on('gone', command => 'SELECT pg_advisory_xact_lock_shared(2) /* gone */', ordered => true),
	emit('gone', 1, 200, 'k')});
busy_worker($mon, 'event handler');
my $truncate = session($node);
$truncate->send("TRUNCATE aside.event_0, aside.event_1, aside.event_2");
$mon->until(q{SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock')});
$gate->value('SELECT pg_advisory_unlock(2)');
ok($truncate->wait->{ok}, 'tables are truncated under a worker');
$mon->value(q{TRUNCATE done; SELECT async_event_on('gone', 'handle(aside.event)', name => 'after', ordered => true), async_event_off('gone')});
$mon->value(q{SELECT emit('gone', 1, 5, 'k'), emit('c', 6, 10)});
ok($mon->until('SELECT count(*) = 10 FROM done'), 'what is gone holds up nobody');
ok($mon->until(q{SELECT sum(waiting + running + retrying) = 0 FROM aside.event_stats}), 'and is stuck nowhere');
finish_all($gate, $truncate);

# Under load, of several handlers, one of them ordered.
$mon->value(q{SELECT async_event_off('c'), async_event_on('c', 'handle(aside.event)', concurrency => 2),
	async_event_on('b', 'handle_all(aside.event[])', batch_size => 20, concurrency => 2),
	async_event_on('o', 'handle(aside.event)', ordered => true, concurrency => 2)});
$mon->value('TRUNCATE done');
my $begin = time;
my @emitters = map { session($node) } 1 .. 3;
my $each = int($events / 30);
my $chunk = 100;
my $rounds = 0;
for (my $first = 1; $first <= $each * 10; $first += $chunk)
{
	my $last = $first + $chunk - 1;
	$emitters[$_]->send(sprintf(q{SELECT emit('%s', %d, %d, (%d / 100 %% 3)::text)}, (qw(c b o))[$_], $first, $last, $first)) for 0 .. 2;
	my @all = map { @$_[1 .. $#$_] } @rewrites[0 .. 2];
	$mon->value($all[$rounds++ % @all]) if $first % 500 == 1;
	$_->wait for @emitters;
}
my $total = int(($each * 10 + $chunk - 1) / $chunk) * $chunk;
ok($mon->until("SELECT count(*) >= 3 * $total FROM done", 120), 'all events are handled while their tables are written anew');
$mon->until(q{SELECT sum(waiting + running + retrying) = 0 FROM aside.event_stats});
is($mon->value('SELECT count(*), count(DISTINCT id), max(attempt), max(n), min(n) FROM done'), join('|', 3 * $total, 3 * $total, 1, $total, 1),
	'once, as themselves, at the first attempt');
is($mon->value(q{SELECT count(*) FROM (SELECT n, count(*) FROM done GROUP BY n HAVING count(*) <> 3) x}), 0, 'each of its channel');
is($mon->value('SELECT count(*) FROM aside.dead_events'), 3, 'and none is dead');
diag(sprintf '%d events, %d tables written anew, in %.1f s', 3 * $total, $rounds, time - $begin);
finish_all($mon, @emitters);
$node->stop('fast');
unlike(slurp_file($node->logfile), qr/XX\d\d\d|PANIC|terminated by signal/, 'nothing went wrong unseen');
done_testing();

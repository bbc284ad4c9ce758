# Claim: however long another transaction keeps old snapshots alive, tables of
# events stay small, and events that wait longer than their table are not lost.
# ASIDE_TEST_EVENTS: how many pass; 200000 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $events = $ENV{ASIDE_TEST_EVENTS} || 200_000;
my $chunk  = 2000;
my $limit  = 2;            # MB of each table of events
my $node = aside_node('events', conf => <<"CONF");
synchronous_commit = off
max_wal_size = 4GB
autovacuum = off
max_prepared_transactions = 2
aside.event_rotation_size = '@{[$limit * 1024]}kB'
aside.event_rotation_time = '2s'
session_preload_libraries = 'auto_explain'
auto_explain.log_nested_statements = on
CONF
my $mon = session($node);
$mon->value(<<'SQL');
CREATE TABLE done (id bigint, channel text);
CREATE FUNCTION handle(e aside.event[]) RETURNS void LANGUAGE sql AS $$INSERT INTO done SELECT u.id, u.channel FROM unnest(e) u$$;
SELECT async_event_on('c', 'handle(aside.event[])', concurrency => 3, batch_size => 100, max_attempts => 10),
	async_event_on('late', 'handle(aside.event[])', name => 'late', batch_size => 100, ordered => true),
	async_event_on('late', 'handle(aside.event[])', name => 'paused'),
	async_event_pause('paused'),
	async_event_on('far', 'handle(aside.event[])', concurrency => 2);
CREATE TABLE late (id bigint);
SQL

# Others may publish all tables, and make indexes.
$mon->value($_) for ('CREATE PUBLICATION everything FOR ALL TABLES', 'CREATE INDEX half ON aside.event_0 ((id + 1))',
	q{UPDATE pg_index SET indisready = false, indisvalid = false WHERE indexrelid = 'aside.half'::regclass});
ok($mon->run(q{SELECT async_event_emit('nobody')})->{ok}, 'an index that is being made is in nobody\'s way');
$mon->value('DROP INDEX aside.half');

# What an event died of outlives the log.
$mon->value(q{SELECT async_event_on('dies', command => 'DO $$BEGIN RAISE EXCEPTION ''no %'', clock_timestamp() USING ERRCODE = ''AB001''; END$$',
	max_attempts => 3, backoff => '10 ms'); SELECT async_event_emit('dies')});
$mon->until(q{SELECT EXISTS (SELECT FROM aside.dead_events)});
my $errors = $mon->value('SELECT errors FROM aside.dead_events');

# Workers' plans are made while the tables are small, and find events by where they are all the same.
$mon->value($_) for ('ALTER SYSTEM SET auto_explain.log_min_duration = 0', 'SELECT pg_reload_conf()');
for my $n (1 .. 30)
{
	my $many = $n == 10 ? 1000 : 1;
	$mon->value($_) for ('TRUNCATE done', qq{SELECT count(async_event_emit('c', '"small"')) FROM generate_series(1, $many)});
	$mon->until("SELECT count(*) = $many FROM done");
}
$mon->value($_) for ('ALTER SYSTEM RESET auto_explain.log_min_duration', 'SELECT pg_reload_conf()');
my @plans = slurp_file($node->logfile) =~ /Query Text: (SELECT id [^\n]* channel, payload[^\n]*\n(?:\t[^\n]*\n)+)/g;
ok((grep { /Tid Scan on event_/ } @plans) > 3, 'workers read events by their place') or diag(@plans[0 .. 1]);
is((grep { /Seq Scan/ } @plans), 0, 'and do not look through tables') or diag(@plans[-2 .. -1]);
$mon->value('TRUNCATE done');

# The transaction that pins.
my $pin = session($node);
$pin->value('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM done; SELECT pg_current_xact_id()');

# Events that outlive the table they came to: delayed, and of a handler that is paused.
my $begin = time;
$mon->value(q{INSERT INTO late SELECT async_event_emit('late', to_jsonb(i), key => (i % 7)::text, delay => interval '12 s') FROM generate_series(1, 1500) i});
my $far = $mon->value(q{SELECT async_event_emit('far', '"far"', delay => '1 hour', unique_key => 'k')});
# And those of a transaction that has not committed meanwhile.
my $slow = session($node);
$slow->value(q{BEGIN; SELECT async_event_emit('c', '"slow"'); PREPARE TRANSACTION 'slow'});

my $sizes = q{SELECT sum(pg_total_relation_size(oid)) / 1048576.0 FROM pg_class
	WHERE relnamespace = 'aside'::regnamespace AND relname ~ '^event(_log)?_[012]$'};
my $keys = q{SELECT pg_total_relation_size('aside.event_unique') / 1048576.0};
my ($size, $most, $most_keys, $emitted) = (0, 0, 0, 0);
while ($emitted < $events)
{
	# Half of them with a unique key.
	$mon->value("SELECT count(async_event_emit('c', to_jsonb(i), unique_key => CASE WHEN i % 2 = 0 THEN ($emitted + i)::text END)) FROM generate_series(1, $chunk) i", 60);
	$emitted += $chunk;
	# Not faster than they are handled.
	$mon->until("SELECT count(*) > $emitted - 5 * $chunk FROM done WHERE channel = 'c'", 60) if $emitted % (4 * $chunk) == 0;
	$size = $mon->value($sizes);
	$most = $size if $size > $most;
	$size = $mon->value($keys);
	$most_keys = $size if $size > $most_keys;
	usleep(1e6 * $chunk / 20_000);
	$mon->value(q{COMMIT PREPARED 'slow'}) if $emitted == $chunk * int($events / 2 / $chunk);
}
my $rate = $emitted / (time - $begin);
ok($mon->until("SELECT count(*) = $emitted + 1 FROM done WHERE channel = 'c'", 30), 'all events are handled, the slow transaction\'s too')
  or diag($mon->value(q{SELECT count(*), count(DISTINCT id) FROM done WHERE channel = 'c'}));
diag(sprintf '%d events/s, tables of events had %.1f MB at most, that of unique keys %.1f MB', $rate, $most, $most_keys);
# Three, each with what comes until somebody looks, with its index and its log; all in all there were some 40.
cmp_ok($most, '<', 18, 'the tables stay small while an old snapshot is kept');
cmp_ok($most_keys, '<', 5, 'that of unique keys too');
ok($mon->until(q{SELECT count(*) = 1500 FROM done WHERE channel = 'late'}, 30), 'late ones were carried over and are handled')
  or diag($mon->value(q{SELECT state, count(*) FROM aside.events WHERE channel = 'late' GROUP BY 1}));
is($mon->value(q{SELECT count(*) FROM aside.events WHERE channel = 'late' AND handler = 'paused' AND state IN ('delayed', 'waiting')}), 1500,
	'those of a paused handler wait on')
  or diag($mon->value(q{SELECT handler, state, count(*) FROM aside.events WHERE channel = 'late' GROUP BY 1, 2}));
$mon->value(q{SELECT async_event_resume('paused')});
ok($mon->until(q{SELECT count(*) = 3000 FROM done WHERE channel = 'late'}, 20), 'and are handled when it goes on')
  or diag($mon->value(q{SELECT handler, state, count(*) FROM aside.events WHERE channel = 'late' GROUP BY 1, 2}));
is($mon->value(q{SELECT count(*) FROM (SELECT FROM done GROUP BY id, channel HAVING count(*) <> CASE channel WHEN 'late' THEN 2 ELSE 1 END) x}), 0, 'each once for each handler');
is($mon->value(q{SELECT count(*) FROM late WHERE id NOT IN (SELECT id FROM done)}), 0, 'under their own ids');
ok($mon->until("SELECT ($sizes) < 1", 20), 'in the end the tables are empty') or diag($mon->value($sizes));
# Several times carried over by now.
is($mon->run(q{SELECT async_event_emit('far', unique_key => 'k')})->{sqlstate}, '23505', 'the key of an event that was carried over is its own still');
is($mon->value(q{SELECT async_event_emit('far', unique_key => 'k', on_conflict => 'keep')}), $far, 'and it is kept');
is($mon->value("SELECT async_event_cancel($far)"), 't', 'until it is cancelled,');
ok($mon->until(q{SELECT count(*) = 0 FROM aside.event_unique}, 10), 'when it is free');
is($pin->value('SELECT count(*) FROM done'), 0, 'all the while the old snapshot was kept');
is($mon->value(q{SELECT string_agg(handler, ' ') FROM aside.dead_events}), 'dies', 'nothing else is given up');
is($mon->value(q{SELECT jsonb_array_length(errors) FROM aside.dead_events}), 3, 'of that all errors are known');
is($mon->value('SELECT errors FROM aside.dead_events'), $errors, 'as they were');
finish_all($pin, $slow, $mon);
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|coordinator of events failed|batch are missing/, 'the log complains of nothing');
done_testing();

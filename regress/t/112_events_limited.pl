# Claim: while workers, coordinators and the server end at random, and handlers are altered, paused and renamed, every event ends once for
# each of its handlers, what it did is there once, events of a key keep their order, no key runs more often at a time than it may,
# no handler begins more often than its rate allows, and every group that was closed ends once, with the counts of how its events ended.
# A consumer that pulls acknowledges, gives back, or never comes back. A coordinator knows what its predecessors have begun.
# ASIDE_TEST_SECONDS: how long; 10 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{ASIDE_TEST_SECONDS} || 10;
my ($limit, $period) = (30, 0.2);
my $node = aside_node('limited', conf => <<'CONF');
autovacuum = off
restart_after_crash = on
max_worker_processes = 24
aside.max_workers = 12
aside.event_rotation_size = '500kB'
aside.event_rotation_time = '2s'
CONF
my $mon = session($node);
seed();
# What each handler did, when, and in which order.
$mon->value(<<"SQL");
CREATE TABLE emitted (id bigint PRIMARY KEY, of_group bigint);
CREATE TABLE closed (of_group bigint PRIMARY KEY);
CREATE TABLE done (n serial, handler text, id bigint, key text, began timestamptz, ended timestamptz);
CREATE TABLE snoozed (handler text, id bigint);
CREATE TABLE together (n serial, payload jsonb);
CREATE FUNCTION run(handler text, e aside.event) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE began timestamptz := clock_timestamp();
BEGIN
	IF e.payload ? 'discard' THEN PERFORM async_event_discard('no'); END IF;
	IF e.payload ? 'fail' AND e.attempt < 2 THEN RAISE 'once more'; END IF;
	IF (SELECT count(*) FROM public.snoozed s WHERE s.id = e.id AND s.handler = run.handler) < (e.payload ->> 'snoozes')::int THEN
		INSERT INTO public.snoozed VALUES (handler, e.id);
		PERFORM async_event_snooze(random() * interval '100 ms');
		RETURN;
	END IF;
	PERFORM pg_sleep(random() * 0.003);
	INSERT INTO public.done (handler, id, key, began, ended) VALUES (handler, e.id, e.key, began, clock_timestamp());
END \$\$;
CREATE FUNCTION ordered(e aside.event) RETURNS void LANGUAGE sql AS \$\$SELECT public.run('ordered', e)\$\$;
CREATE FUNCTION keyed(e aside.event) RETURNS void LANGUAGE sql AS \$\$SELECT public.run('keyed', e)\$\$;
CREATE FUNCTION limited(e aside.event) RETURNS void LANGUAGE sql AS \$\$SELECT public.run('limited', e)\$\$;
CREATE FUNCTION limited(e aside.event[]) RETURNS void LANGUAGE plpgsql AS
	\$\$BEGIN INSERT INTO public.done (handler, id, key, began, ended) SELECT 'limited', u.id, u.key, clock_timestamp(), clock_timestamp() FROM unnest(e) u; END\$\$;
CREATE FUNCTION all_ended(e aside.event) RETURNS void LANGUAGE sql AS \$\$INSERT INTO public.together (payload) VALUES (e.payload)\$\$;
SELECT async_event_on('c', 'ordered(aside.event)', name => 'ordered', ordered => true, concurrency => 2, max_attempts => 1000, backoff => '10 ms', history => '1 day');
SELECT async_event_on('c', 'keyed(aside.event)', name => 'keyed', key_concurrency => 2, concurrency => 4, max_attempts => 1000, backoff => '10 ms', history => '1 day');
SELECT async_event_on('d', 'limited(aside.event)', name => 'limited', rate_limit => $limit, rate_period => '${period}s', concurrency => 3, max_attempts => 1000, backoff => '10 ms', history => '1 day');
SELECT async_event_on('d', name => 'pulled', pull => true, key_concurrency => 2, max_attempts => 1000, backoff => '10 ms', history => '1 day');
SELECT async_event_on('together', 'all_ended(aside.event)', name => 'together', max_attempts => 1000, backoff => '10 ms');
SQL

sub consume
{
	my ($session, $how) = @_;
	my $say = $how =~ /ack/ ? "PERFORM async_event_$how('pulled', array_agg(id)) FROM got;" : '';
	my $effects = $how eq 'nack' ? '' : q{INSERT INTO done (handler, id, key, began, ended) SELECT 'pulled', id, key, clock_timestamp(), clock_timestamp() FROM got;};
	$say = $effects = '' if $how eq 'nothing';
	return $session->value(qq{BEGIN; CREATE TEMP TABLE got ON COMMIT DROP AS SELECT * FROM async_event_pull('pulled', 7, lease => '300 ms');
		DO \$\$ BEGIN IF EXISTS (SELECT FROM got) THEN $effects $say END IF; EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL; END \$\$;
		@{[$how eq 'ROLLBACK' ? 'ROLLBACK' : 'COMMIT']}; SELECT 1});
}

my $pick = sub { return $_[int(rand(@_))] };
my ($rounds, $kills, $crashes, $open) = (0, 0, 0, undef);
my $until = time + $seconds;
while (time < $until)
{
	$rounds++;
	# A transaction emits into a group of its own, or one that stays open for the next; it closes it, or is rolled back.
	my ($end, $close) = ($pick->('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK'), $pick->(1, 1, 0));
	my $group = defined $open ? $open : "async_event_group('together', '{\"round\": $rounds}')";
	my $r = $mon->value(qq{BEGIN;
		CREATE TEMP TABLE g ON COMMIT DROP AS SELECT $group AS g;
		CREATE TEMP TABLE e ON COMMIT DROP AS SELECT async_event_emit((ARRAY['c', 'c', 'd'])[1 + i % 3],
				CASE WHEN i % 7 = 0 AND i % 3 <> 2 THEN '{"fail": 1}' WHEN i % 11 = 0 THEN '{"discard": 1}' ELSE jsonb_build_object('snoozes', (i % 13 = 0)::int) END,
				key => concat('k', i % 4), delay => CASE WHEN i % 5 = 0 THEN random() * interval '300 ms' END, priority => i % 3,
				expires => CASE WHEN i % 17 = 0 THEN interval '5 ms' END, unique_key => CASE WHEN i % 10 = 0 THEN concat('u', random() * 1e9) END,
				unique_until => CASE WHEN i % 20 = 0 THEN 'start' ELSE 'end' END, "group" => CASE WHEN i % 2 = 0 THEN g END) AS id, i
			FROM g, generate_series(1, 40) i;
		INSERT INTO emitted SELECT id, CASE WHEN i % 2 = 0 THEN g END FROM e, g;
		@{[$close ? 'INSERT INTO closed SELECT g FROM g; SELECT async_event_group_close(g) FROM g;' : '']}
		CREATE TEMP TABLE IF NOT EXISTS kept (g bigint);
		TRUNCATE kept; INSERT INTO kept SELECT g FROM g;
		$end;
		SELECT 1});
	if ($end eq 'COMMIT') { $open = $close ? undef : $mon->value('SELECT g FROM kept'); }
	# What it does and its word are one transaction; some leases run out.
	consume($mon, $pick->('ack', 'ack', 'ack', 'nack', 'ROLLBACK', 'nothing'));
	my $sql = $pick->(
		"SELECT async_event_alter('limited', handler => '" . $pick->('limited(aside.event)', 'limited(aside.event[])') . "', batch_size => " . $pick->(1, 5) . ')',
		"SELECT async_event_alter('ordered', concurrency => " . $pick->(1, 3) . ')',
		"SELECT async_event_alter('keyed', timeout => '" . $pick->('0', '1 min') . "')",
		"SELECT async_event_alter('limited', concurrency => " . $pick->(1, 3) . ')',
		map { "SELECT async_event_pause('$_'); SELECT async_event_resume('$_')" } $pick->('ordered', 'keyed', 'limited'));
	$mon->value($sql);
	$mon->value(q{SELECT count(async_event_update(id, run_at => now() + random() * interval '200 ms', priority => 1)) FROM (SELECT id FROM emitted ORDER BY random() LIMIT 3) e});
	$mon->value(q{SELECT count(async_event_cancel(id)) FROM (SELECT id FROM emitted ORDER BY id DESC LIMIT 1) e}) if $rounds % 3 == 0;
	if ($rounds % 4 == 0)
	{
		$kills++;
		$mon->value(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ '^pg_aside' AND backend_type !~ 'launcher'
			ORDER BY random() LIMIT 1});
	}
	if (time > $until - $seconds / 2 && $crashes == 0)
	{
		$crashes++;
		$mon->quit;
		$node->stop('immediate');
		$node->start;
		$mon = session($node);
	}
}
$mon->value("INSERT INTO closed VALUES ($open); SELECT async_event_group_close($open)") if defined $open;
diag("$rounds rounds, $kills processes ended, $crashes crash");
# The consumer goes on until there is nothing left for it.
my $patience = time + 120;
until (time > $patience || $mon->value(q{SELECT NOT EXISTS (SELECT FROM aside.events WHERE handler = 'pulled' AND state NOT IN ('done', 'dead', 'cancelled', 'expired'))}) eq 't')
{
	consume($mon, 'ack');
}
# Of whom it is, and how it ended: each event for each handler of its channel.
$mon->value(q{CREATE VIEW ends AS SELECT e.id, e.of_group, h.handler, h.state FROM emitted e LEFT JOIN aside.event_history h ON h.id = e.id});
ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM aside.events WHERE handler IS NOT NULL AND state NOT IN ('done', 'dead', 'cancelled', 'expired'))}, 300),
	'every event comes to an end');
is($mon->value(q{SELECT count(*) FROM (SELECT id FROM ends GROUP BY id HAVING count(DISTINCT handler) <> 2 OR count(*) <> count(DISTINCT handler)) o}), 0,
	'one end for each of its handlers');
is($mon->value(q{SELECT count(*) - count(DISTINCT (handler, id)) FROM done}), 0, 'what it did is there once');
is($mon->value(q{SELECT count(*) FROM (SELECT handler, id FROM ends WHERE state = 'done') e FULL JOIN done d USING (handler, id) WHERE e.id IS NULL OR d.id IS NULL}), 0,
	'and there where it is done');
is($mon->value(q{SELECT count(*) FROM aside.dead_events WHERE sqlstate <> 'PA001'}), 0, 'only what was given up is dead');
is($mon->value(q{SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY key ORDER BY n) AS before FROM done WHERE handler = 'ordered') o WHERE id < before}), 0,
	'events of a key keep their order');
is($mon->value(q{SELECT count(*) FROM done d WHERE handler = 'keyed' AND
	(SELECT count(*) FROM done o WHERE o.handler = 'keyed' AND o.key = d.key AND o.began <= d.began AND o.ended > d.began) > 2}), 0,
	'no key runs more often at a time than it may');
# What was given to workers when their coordinator ended may begin beside what its successor gives out.
my $slack = $limit + 2 * ($kills + $crashes) * 15;
is($mon->value(qq{SELECT count(*) FROM (SELECT began - min(began) OVER () AS after, row_number() OVER (ORDER BY began) AS nth FROM done WHERE handler = 'limited') d
	WHERE after < (nth - $slack) * interval '$period s' / $limit}), 0, 'no handler begins more often than its rate allows');
ok($mon->until(q{SELECT count(*) = (SELECT count(*) FROM closed) FROM together}, 120), 'every group that was closed ends')
	or diag($mon->value(q{SELECT json_agg(g) FROM aside.event_groups g WHERE state <> 'ended'}));
is($mon->value(q{SELECT count(DISTINCT payload -> 'group') - count(*) FROM together}), 0, 'once');
is($mon->value(q{SELECT count(*) FROM closed c LEFT JOIN together t ON (t.payload ->> 'group')::bigint = c.of_group
	WHERE t.n IS NULL OR (t.payload ->> 'events')::int <> (SELECT count(*) FROM emitted e WHERE e.of_group = c.of_group)}), 0, 'with all of its events');
is($mon->value(q{SELECT count(*) FROM together t, LATERAL (SELECT count(*) FILTER (WHERE s = 'dead') AS dead, count(*) FILTER (WHERE s = 'done') AS done
	FROM (SELECT CASE WHEN bool_or(state = 'dead') THEN 'dead' WHEN bool_and(state = 'done') THEN 'done' END AS s FROM ends
		WHERE of_group = (t.payload ->> 'group')::bigint GROUP BY id) e) c
	WHERE (t.payload ->> 'dead')::int <> c.dead OR (t.payload ->> 'done')::int <> c.done}), 0, 'and the counts of how they ended');

# What was begun within a period that is longer than the log is kept.
$mon->value(q{CREATE FUNCTION rare(e aside.event) RETURNS void LANGUAGE sql AS $$INSERT INTO public.done (handler, id) VALUES ('rare', e.id)$$;
	SELECT async_event_on('rare', 'rare(aside.event)', rate_limit => 3, rate_period => '1 day', concurrency => 2);
	SELECT count(async_event_emit('rare')) FROM generate_series(1, 9)});
my $begun = q{SELECT count(*) FROM done WHERE handler = 'rare'};
ok($mon->until("SELECT ($begun) = 3"), 'as many begin as the rate allows');
# A partition is full when enough has come into it, and empty when all of that has ended.
ok($mon->until(q{SELECT EXISTS (SELECT FROM aside.event_started) OR (SELECT count(async_event_emit('fills', to_jsonb(repeat('x', 1000)))) FROM generate_series(1, 20)) = 0}, 60),
	'their log is emptied');
$mon->value(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ '^pg_aside coordinator'});
$mon->value(q{SELECT async_event_on('after', command => 'INSERT INTO public.done (handler) VALUES (''after'')'); SELECT async_event_emit('after')});
ok($mon->until(q{SELECT EXISTS (SELECT FROM done WHERE handler = 'after')}, 60), 'another coordinator works');
is($mon->value($begun), 3, 'and begins no more of these');
$mon->value(q{SELECT async_event_alter('rare', rate_limit => 5)});
ok($mon->until("SELECT ($begun) = 5"), 'but what a higher rate allows');
finish_all($mon);
$node->stop;
done_testing();

# Claim: while handlers are altered and replaced at random, every event is handled once by each handler that it is for, and events
# of one key in the order of their ids; neither a killed worker nor a killed coordinator changes that.
# Nor does it matter to events that are put off, given up, changed or expire.
# ASIDE_TEST_EVENTS: how many are emitted; 6000 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $events = $ENV{ASIDE_TEST_EVENTS} || 6000;
my $node = aside_node('altered', conf => <<'CONF');
synchronous_commit = off
autovacuum = off
restart_after_crash = on
aside.event_rotation_size = '500kB'
aside.event_rotation_time = '2s'
CONF
my $mon = session($node);
seed();
$mon->value(<<'SQL');
CREATE ROLE other LOGIN IN ROLE aside_user;
CREATE TABLE done (n serial, handler text, id bigint, channel text, key text, attempt int);
GRANT ALL ON done, done_n_seq TO other;
CREATE FUNCTION keep(handler text, e aside.event[]) RETURNS void LANGUAGE sql AS
	$$INSERT INTO done (handler, id, channel, key, attempt) SELECT handler, u.id, u.channel, u.key, u.attempt FROM unnest(e) u ORDER BY u.id$$;
CREATE FUNCTION ordered(e aside.event) RETURNS void LANGUAGE sql AS $$SELECT public.keep('ordered', ARRAY[e])$$;
CREATE FUNCTION ordered(e aside.event[]) RETURNS void LANGUAGE sql AS $$SELECT public.keep('ordered', e)$$;
CREATE FUNCTION moved(e aside.event) RETURNS void LANGUAGE sql AS $$SELECT public.keep('moved', ARRAY[e])$$;
SELECT async_event_on('a', 'ordered(aside.event)', name => 'ordered', ordered => true, max_attempts => 100, backoff => '10 ms');
SELECT async_event_on('a', 'moved(aside.event)', name => 'moved', max_attempts => 100, backoff => '10 ms');
SQL

my @emitters = map { session($node) } 1 .. 2;
my $many = $events / 2 / 20;
# Each emits in transactions of its own, on two channels, with keys of its own: of the events of two transactions, those that commit
# first may have the higher ids.
$_->send(qq{DO \$\$ BEGIN FOR i IN 1 .. $many LOOP
	PERFORM async_event_emit((ARRAY['a', 'b'])[1 + j % 2], key => concat(pg_backend_pid(), ' ', j % 5)) FROM generate_series(1, 20) j; COMMIT;
	PERFORM pg_sleep(0.005); END LOOP; END \$\$}) for @emitters;

my ($alters, $name) = (0, 'ordered');
my $pick = sub { return $_[int(rand(@_))] };
my $dies = $ENV{ASIDE_TEST_KILLS} // 3;
until ($alters >= 80)
{
	my $options = join ', ', map { $pick->(@$_) } (
		['concurrency => 1', 'concurrency => 3'], ['batch_size => 1', 'batch_size => 10'],
		["handler => 'ordered(aside.event)'", "handler => 'ordered(aside.event[])'"], ["timeout => '0'", "timeout => '1 min'"]);
	my $sql = $pick->(
		"SELECT async_event_alter('$name', $options)",
		"SELECT async_event_alter('$name', owner => '" . $pick->('other', 'CURRENT_USER') . "', $options)",
		"SELECT async_event_pause('$name'); SELECT async_event_resume('$name')",
		'rename',
		"SELECT async_event_alter('moved', channel => '" . $pick->('a', 'b') . "', concurrency => 1 + (random() * 3)::int)",
		"SELECT async_event_on(channel, handler::regprocedure, name => name, concurrency => 2, max_attempts => 100, backoff => '10 ms', ordered => ordered, replace => true)
			FROM aside.handlers WHERE name IN ('$name', 'moved')");
	if ($sql eq 'rename')
	{
		my $new = $name eq 'ordered' ? 'renamed' : 'ordered';
		$sql = "SELECT async_event_alter('$name', new_name => '$new')";
		$name = $new;
	}
	$sql =~ s/'CURRENT_USER'/current_user::regrole/;
	# Between two changes something is done, if there is anything to do.
	my $before = $mon->value('SELECT count(*) FROM done');
	$mon->value($sql);
	$mon->until("SELECT (SELECT count(*) FROM done) > $before OR NOT EXISTS (SELECT FROM aside.events WHERE state IN ('waiting', 'retrying', 'running'))");
	$alters++;
	if ($dies > 0 && $alters % 20 == 0)
	{
		$dies--;
		$mon->value(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ '^pg_aside' AND backend_type !~ 'launcher'
			ORDER BY random() LIMIT 1});
	}
}
ok($_->wait->{ok}, 'all are emitted') for @emitters;
ok($mon->until("SELECT count(*) = $events / 2 FROM done WHERE handler = 'ordered'", 120), 'a handler that is altered handles them all');
my $left = q{SELECT count(*) FROM aside.events WHERE handler IS NOT NULL AND state NOT IN ('done', 'dead')};
ok($mon->until("SELECT ($left) = 0", 120), 'and so does one whose channel changes');
is($mon->value('SELECT count(*) - count(DISTINCT (handler, id)) FROM done'), 0, 'each of them once');
is($mon->value(q{SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY key ORDER BY n) AS before FROM done WHERE handler = 'ordered') o WHERE id < before}),
	0, 'those of a key in the order of their ids');
is($mon->value('SELECT count(*) FROM aside.dead_events'), 0, 'and none is dead');
# What "moved" left: nothing that came while the channel was its own.
is($mon->value(q{SELECT count(*) FROM aside.event_handler WHERE former @> '[{"until": null}]'}), 0, 'no channel that was left is open for ever');

# What handlers and emitters say of events, while workers and coordinators end.
$mon->value(<<'SQL');
CREATE TABLE effects (n serial, id bigint, what text, snoozes int);
GRANT ALL ON effects, effects_n_seq TO other;
CREATE FUNCTION judge(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
DECLARE so_far int := (SELECT count(*) FROM public.effects f WHERE f.id = e.id);
BEGIN
	IF so_far < (e.payload ->> 'snoozes')::int THEN
		INSERT INTO public.effects (id, what) VALUES (e.id, 'snoozed');
		PERFORM async_event_snooze(random() * interval '100 ms');
		RETURN;
	END IF;
	IF e.payload ? 'discard' THEN PERFORM async_event_discard('no'); END IF;
	INSERT INTO public.effects (id, what, snoozes) VALUES (e.id, 'done', (e.payload ->> 'snoozes')::int);
END $$;
SELECT async_event_on('judged', 'judge(aside.event)', name => 'one', max_attempts => 100, backoff => '10 ms', batch_size => 5, concurrency => 2);
SQL
my ($judged, $rounds) = (0, 12);
for my $round (1 .. $rounds)
{
	$mon->value(qq{SELECT count(async_event_emit('judged', jsonb_build_object('snoozes', i % 3) || CASE WHEN i % 7 = 0 THEN '{"discard": 1}'::jsonb ELSE '{}' END,
		expires => CASE WHEN i % 11 = 0 THEN interval '5 ms' END, delay => CASE WHEN i % 5 = 0 THEN interval '200 ms' END)) FROM generate_series(1, 40) i});
	$judged += 40;
	$mon->value(q{SELECT count(async_event_update(id, run_at => now() + random() * interval '300 ms', priority => 1))
		FROM aside.events WHERE channel = 'judged' AND state IN ('waiting', 'delayed', 'retrying') AND id % 4 = 0});
	$mon->value(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ '^pg_aside' AND backend_type !~ 'launcher'
		ORDER BY random() LIMIT 1}) if $round % 3 == 0;
}
ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM aside.events WHERE channel = 'judged' AND state NOT IN ('done', 'dead', 'expired'))}, 120),
	'every event that is put off, given up, changed or expires comes to an end');
is($mon->value(q{SELECT count(*) - count(DISTINCT id) FROM effects WHERE what = 'done'}), 0, 'what is done was done once');
is($mon->value(q{SELECT count(*) FROM effects f WHERE what = 'done' AND snoozes <> (SELECT count(*) FROM effects s WHERE s.id = f.id AND s.what = 'snoozed')}),
	0, 'each time that one was put off what it did is there');
is($mon->value(q{SELECT count(*) FROM aside.dead_events WHERE handler = 'one' AND (sqlstate <> 'PA001' OR NOT payload ? 'discard')}), 0,
	'only what was given up is dead');
is($mon->value(q{SELECT count(*) FROM aside.dead_events d JOIN effects f ON f.id = d.id AND f.what = 'done'}), 0, 'and none of that is done');
finish_all(@emitters, $mon);
$node->stop;
done_testing();

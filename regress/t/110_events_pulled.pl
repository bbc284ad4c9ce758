# Claim: consumers that pull events and acknowledge them in their own transactions have each effect once, whoever of them dies at
# whatever moment, also if the coordinator dies, the server crashes, or tables are rewritten and take turns meanwhile. A consumer is
# told if there is no coordinator. A standby gives no event; handlers and dead events come through a dump. PULL_EVENTS sets how many.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $events = $ENV{PULL_EVENTS} // 3000;
my $node = aside_node('pulled', streaming => 1, conf => "max_worker_processes = 20\naside.event_rotation_size = '256kB'\nrestart_after_crash = on\n");
my $seed = seed();
my $s = session($node);
$s->value($_) for (
	q{CREATE TABLE effect (id bigint, n int)},
	q{SELECT async_event_on('work', pull => true, max_attempts => 10000, backoff => '1 ms', backoff_cap => '10 ms')},
	# A consumer: what it does and its acknowledgement are one transaction.
	q{CREATE PROCEDURE consume() LANGUAGE plpgsql AS $$
		DECLARE got aside.event[];
		BEGIN
			LOOP
				got := ARRAY(SELECT e FROM async_event_pull('work', 1 + (random() * 40)::int, lease => '2 s', wait => '300 ms') e);
				COMMIT;
				BEGIN
					INSERT INTO effect SELECT e.id, (e.payload ->> 'n')::int FROM unnest(got) e;
					CASE (random() * 20)::int
						WHEN 0 THEN PERFORM async_event_nack('work', ARRAY(SELECT e.id FROM unnest(got) e), delay => '0'); RAISE division_by_zero;
						WHEN 1 THEN RAISE division_by_zero;
						ELSE PERFORM async_event_ack('work', ARRAY(SELECT e.id FROM unnest(got) e));
					END CASE;
				EXCEPTION WHEN division_by_zero OR object_not_in_prerequisite_state THEN NULL;
				END;
				COMMIT;
			END LOOP;
		END $$},
	"SELECT count(async_event_emit('work', jsonb_build_object('n', i), key => (i % 50)::text)) FROM generate_series(1, $events) i");

my @consumers = map { session($node) } 1 .. 4;
$_->send('CALL consume()') for @consumers;
my $left = sub { return $s->value("SELECT $events - count(*) FROM effect") };
my ($rounds, $crashed) = (0, 0);
while ($left->() > 0 && $rounds++ < 600)
{
	my $victim = int(rand(4));
	if (rand(30) < 1)
	{
		$s->value(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator'});
	}
	elsif (rand(20) < 1)
	{
		$s->run('VACUUM FULL aside.event_0');
	}
	elsif (!$crashed && $left->() < $events / 2)
	{
		$crashed = 1;
		$node->stop('immediate');
		$node->start;
		$s = session($node);
		@consumers = map { session($node) } 1 .. 4;
		$_->send('CALL consume()') for @consumers;
	}
	else
	{
		$s->run("SELECT pg_terminate_backend($consumers[$victim]->{pid})") if defined $consumers[$victim]->{pid};
		$consumers[$victim] = session($node);
		$consumers[$victim]->send('CALL consume()');
	}
	usleep(50_000 + int(rand(100_000)));
}
is($left->(), 0, "each event has its effect (seed $seed)");
is($s->value('SELECT count(*) - count(DISTINCT id) FROM effect'), 0, 'and none has it twice');
is($s->value('SELECT count(DISTINCT n) FROM effect'), $events, 'they are those that were emitted');
ok($s->until(q{SELECT count(*) = 0 FROM aside.events WHERE state <> 'done'}, 60), 'all of them are done');
is($s->value('SELECT count(*) FROM aside.dead_events'), 0, 'none is dead');
$s->run("SELECT pg_terminate_backend($_->{pid})") for grep { defined $_->{pid} } @consumers;
# Nothing is left behind: the tables can be emptied.
ok($s->until(q{SELECT count(*) <= 1 FROM (SELECT FROM aside.event_0 LIMIT 1) a FULL JOIN (SELECT FROM aside.event_1 LIMIT 1) b ON true
	FULL JOIN (SELECT FROM aside.event_2 LIMIT 1) c ON true}, 60), 'the tables are emptied');

# A lease outlives a crash of the server, and the consumer acknowledges after it.
my $id = $s->value(q{SELECT async_event_emit('work', '{"n": 0}')});
is($s->value(q{SELECT id FROM async_event_pull('work', lease => '1 hour', wait => '20 s')}), $id, 'it is pulled');
$node->stop('immediate');
$node->start;
$s = session($node);
ok($s->until(q{SELECT state = 'running' FROM aside.coordinators WHERE database = current_database()}, 30), 'a coordinator');
is($s->value(q{SELECT count(*) FROM async_event_pull('work', wait => '500 ms')}), 0, 'nobody else gets it');
is($s->value("SELECT async_event_ack('work', '{$id}')"), 1, 'it is acknowledged');
ok($s->value("SELECT async_event_wait($id, '20 s')"), 'and done');

# A consumer that waits is woken, and can be cancelled.
my $waiter = session($node);
$waiter->send(q{SELECT payload FROM async_event_pull('work', wait => '1 hour')});
ok($s->until("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $waiter->{pid}", 20), 'it waits');
$s->value(q{SELECT async_event_emit('work', '{"n": 1}')});
is($waiter->wait(20)->{out}, '{"n": 1}', 'who waits is woken');
$waiter->send(q{SELECT payload FROM async_event_pull('work', wait => '1 hour')});
ok($s->until("SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $waiter->{pid} AND state = 'active'", 20), 'it waits again');
$s->value("SELECT pg_cancel_backend($waiter->{pid})");
is($waiter->wait(20)->{sqlstate}, '57014', 'who waits is cancelled');

# A dump has the handler, and channels with their roles; events stay where they are.
$s->value($_) for ('CREATE ROLE ch_emit LOGIN IN ROLE aside_user', q{SELECT async_channel_create('mine', emit => '{ch_emit}', handle => '{ch_emit}')});
command_ok([ 'pg_dump', '--no-sync', '-f', $node->basedir . '/dump.sql', '-d', $node->connstr('postgres') ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $node->basedir . '/dump.sql' ], 'restored');
my $r = session($node, db => 'restored');
$r->value(q{SELECT async_event_emit('work', '"there"')});
is($r->value(q{SELECT payload FROM async_event_pull('work', wait => '30 s')}), '"there"', 'events are pulled there');
is($r->value(q{SELECT channel || ' ' || emit::text || ' ' || handle::text FROM aside.channels}), 'mine {ch_emit} {ch_emit}', 'the channel is there');
$r->value('SET ROLE ch_emit');
ok($r->value(q{SELECT async_event_emit('mine') > 0}), 'and its roles have their rights');
$r->quit;

# A standby, and a server without coordinators.
$node->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('pulled_standby');
$standby->init_from_backup($node, 'standby', has_streaming => 1);
$standby->start;
my $t = session($standby);
is($t->run(q{SELECT * FROM async_event_pull('work')})->{sqlstate}, '25006', 'a standby gives nothing');
is($t->run(q{SELECT async_event_ack('work', '{1}')})->{sqlstate}, '25006', 'and takes no acknowledgement');
$t->quit;
$standby->stop;
$node->append_conf('postgresql.conf', "aside.databases = ''\n");
$node->restart;
$s = session($node);
my $none = $s->run(q{SELECT * FROM async_event_pull('work')}, 60);
is($none->{sqlstate}, '57P03', 'without a coordinator the consumer is told so');
like($none->{err}, qr/aside\.coordinators/, 'and where to look');
finish_all($s);
$node->stop;
done_testing();

# Claim: where all tables are published to a server that has pg_aside too, each server
# has its own handlers and events: none runs twice, none is lost, and replication goes on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = <<'CONF';
wal_level = logical
max_wal_senders = 10
max_replication_slots = 20
max_worker_processes = 30
autovacuum = off
aside.event_rotation_size = '100kB'
aside.event_rotation_time = '1s'
CONF
my %node = map { $_ => aside_node($_, conf => $conf) } qw(publisher subscriber);
my %mon  = map { $_ => session($node{$_}) } keys %node;

# The same names and numbers on both, so that keys and ids collide.
for my $name (keys %node)
{
	$mon{$name}->value(qq{CREATE TABLE done (server text, id bigint, what text);
		CREATE FUNCTION handle(e aside.event) RETURNS void LANGUAGE plpgsql AS \$\$BEGIN
			INSERT INTO done VALUES ('$name', e.id, e.payload #>> '{}');
			IF e.payload = '"die"' THEN RAISE 'dies'; END IF;
		END\$\$;
		SELECT async_event_on('c', 'handle(aside.event)', max_attempts => 1), async_event_on('u', 'handle(aside.event)');
		SELECT async_event_emit('c', '"die"')});
	ok($mon{$name}->until('SELECT count(*) = 1 FROM aside.dead_events'), "the $name has a dead event");
}
my ($pub, $sub) = @mon{qw(publisher subscriber)};

# What waits, and has its unique keys, on both when the subscription is made.
for my $name (keys %node)
{
	$mon{$name}->value($_) for (q{SELECT async_event_pause('c')},
		qq{SELECT async_event_emit('c', to_jsonb('$name ' || i), unique_key => 'k' || i) FROM generate_series(1, 20) i});
}
my $own = q{SELECT (SELECT string_agg(h::text, ';' ORDER BY h.id) FROM aside.event_handler h),
	(SELECT string_agg(d::text, ';' ORDER BY d.id) FROM (SELECT id, handler, message FROM aside.event_dead) d),
	(SELECT string_agg(u::text, ';' ORDER BY u.unique_key) FROM aside.event_unique u WHERE u.channel = 'c'),
	(SELECT string_agg(concat_ws(' ', e.id, e.payload), ';' ORDER BY e.id) FROM aside.event_rows e WHERE e.channel = 'c' AND e.unique_key <> ''),
	(SELECT count(*) FROM aside.event_control)};
my $before = $sub->value($own);

# A table that is replicated may have a trigger that emits on the subscriber.
$sub->value(q{CREATE FUNCTION emit() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN PERFORM public.async_event_emit('u', to_jsonb('arrived ' || NEW.n), unique_key => 'u' || NEW.n); RETURN NULL; END$$;
	CREATE TRIGGER emit AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION emit();
	ALTER TABLE t ENABLE REPLICA TRIGGER emit});

$pub->value('CREATE PUBLICATION everything FOR ALL TABLES');
$sub->value(sprintf q{CREATE SUBSCRIPTION everything CONNECTION '%s' PUBLICATION everything}, $node{publisher}->connstr('postgres') =~ s/'/''/gr);
ok($sub->until(q{SELECT count(*) > 10 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel}, 60), 'all tables are synchronized');
is($sub->value($own), $before, 'and what the subscriber had of its own is as it was');

# Of all that changes on the publisher, nothing of events comes.
$pub->value($_) for (q{SELECT async_event_resume('c')}, q{SELECT async_event_on('new', 'handle(aside.event)', name => 'new')},
	q{INSERT INTO t VALUES ('x', 1), ('x', 2)});
for my $round (1 .. 6)
{
	$pub->value(qq{SELECT count(async_event_emit('c', to_jsonb('publisher r$round ' || i), unique_key => 'r' || i)) FROM generate_series(1, 300) i});
	$pub->value(qq{SELECT count(async_event_emit('new', to_jsonb('publisher n$round ' || i), delay => '2 s')) FROM generate_series(1, 10) i});
	$pub->until(qq{SELECT count(*) = 300 FROM done WHERE what LIKE 'publisher r$round %'});
}
$pub->value(q{SELECT async_event_redrive('c')});
$pub->until(q{SELECT count(*) = 60 FROM done WHERE what LIKE 'publisher n%'});
$pub->value(q{SELECT async_event_off('new'), async_event_on('c', 'handle(aside.event)', name => 'second')});
ok($pub->until(q{SELECT count(*) = 0 FROM aside.event_rows WHERE payload #>> '{}' LIKE 'publisher r%'}), 'the publisher has emptied its tables');
sub catches_up
{
	$pub->value('INSERT INTO t VALUES (txid_current()::text, 0)');
	my $mark = $pub->value('SELECT max(tag) FROM t WHERE n = 0');
	return $sub->until("SELECT EXISTS (SELECT FROM t WHERE tag = '$mark')", 60);
}
ok(catches_up(), 'the subscriber follows');
is($sub->value($own), $before, 'the subscriber\'s own are as they were');
my $runs = q{SELECT server, count(*), count(DISTINCT (id, what)) FROM done WHERE what NOT LIKE 'die' AND server = 'publisher' GROUP BY server};
is($sub->value($runs), 'publisher|1880|1880', 'what the publisher\'s handlers did has come once');
is($sub->value(q{SELECT count(*) FROM done WHERE server = 'subscriber' AND what LIKE 'publisher%'}), 0, 'and no event of the publisher runs here');

# What the trigger emitted on the subscriber is the subscriber's.
ok($sub->until(q{SELECT count(*) = 2 FROM done WHERE server = 'subscriber' AND what ~ 'arrived [12]'}), 'a trigger of a replicated table emits here');

# The subscriber's own: all, once.
$sub->value(q{SELECT async_event_resume('c'), async_event_redrive('c')});
ok($sub->until(q{SELECT count(*) = 20 FROM done WHERE what LIKE 'subscriber %'}), 'the subscriber\'s events run when it says so');
is($sub->value(q{SELECT count(*), count(DISTINCT what), min(server) FROM done WHERE what LIKE 'subscriber %'}), '20|20|subscriber', 'there, and once');
ok($sub->until(q{SELECT count(*) = 0 FROM aside.event_unique}), 'their keys are free');

# What is restored with session_replication_role = replica is no replication.
$sub->value(q{SET session_replication_role = replica});
$sub->value(q{INSERT INTO aside.event_handler (name, channel, owner, handler, form, concurrency, batch_size, max_attempts, backoff, backoff_cap, ordered, durable, since)
	SELECT 'restored', 'restored', owner, handler, form, concurrency, batch_size, max_attempts, backoff, backoff_cap, ordered, durable, since FROM aside.event_handler WHERE name = 'c'});
$sub->value(q{RESET session_replication_role; SELECT async_event_emit('restored', '"restored"')});
ok($sub->until(q{SELECT count(*) = 1 FROM done WHERE what = 'restored'}, 10), 'what is restored by a replica role is at work at once');

finish_all(values %mon);
for my $name (qw(subscriber publisher))
{
	$node{$name}->stop('fast');
	my $log = slurp_file($node{$name}->logfile);
	unlike($log, qr/ERROR:  (?!cannot|dies|canceling)|23505|XX\d\d\d/, "the $name\'s log has no errors");
}
done_testing();

# Claim: pg_dump and restore carry handlers of events with their owners, dead events and the last id; in the
# restored database handlers are at work soon, and more can be made.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = aside_node('dump', conf => "max_worker_processes = 20\n");
my $file = $node->basedir . '/dump';
my $mon = session($node);
$mon->value(q{CREATE ROLE "Owner" LOGIN IN ROLE aside_user});
$mon->value("CREATE DATABASE $_") for ('one', 'plain', 'custom');
my $s = session($node, db => 'one');
$s->value($_) for (
	q{CREATE EXTENSION pg_aside},
	q{CREATE TABLE told (what text, who text DEFAULT current_user)},
	q{GRANT INSERT ON told TO "Owner"},
	q{CREATE FUNCTION handle(what text) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN IF what = 'dies' AND current_database() = 'one' THEN RAISE 'no'; END IF; INSERT INTO told VALUES (what); END $$},
	q{SELECT async_event_on('a', 'handle(text)', max_attempts => 1), async_event_on('gone', 'handle(text)')},
	q{SET ROLE "Owner"},
	q{SELECT async_event_on('b', 'handle(text)')},
	q{RESET ROLE},
	q{SELECT async_event_on('c', 'handle(text)', durable => true), async_event_off('gone')},
	q{SELECT async_event_emit('a', '"dies"')});
ok($s->until('SELECT count(*) = 1 FROM aside.dead_events', 10), 'an event is dead');
$s->value(q{SELECT async_event_emit('a', '"after it"')});
my $handlers = q{SELECT string_agg(name || ' ' || owner || ' ' || handler, ', ' ORDER BY name) FROM aside.handlers};
my $before = $s->value($handlers);
my $last = $s->value('SELECT last_value FROM aside.event_id');

# Coordinators that know that there are no handlers yet: they may have left by then.
for my $db ('plain', 'custom')
{
	$node->safe_psql($db, 'CREATE EXTENSION pg_aside');
	ok($mon->until("SELECT count(*) = 1 FROM aside.coordinators WHERE database = '$db' AND state IN ('running', 'idle')", 30), "$db: a coordinator");
}
command_ok([ 'pg_dump', '--no-sync', '-f', "$file.sql", '-d', $node->connstr('one') ], 'a script');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', "$file.sql" ], 'restored by psql');
command_ok([ 'pg_dump', '--no-sync', '-Fc', '-f', "$file.custom", '-d', $node->connstr('one') ], 'an archive');
command_ok([ 'pg_restore', '--exit-on-error', '-j', 3, '-d', $node->connstr('custom'), "$file.custom" ], 'restored by pg_restore');

for my $db ('plain', 'custom')
{
	my $r = session($node, db => $db);
	is($r->value($handlers), $before, "$db: handlers and their owners");
	$r->value('TRUNCATE told');
	# What is sent before the coordinator listens nobody hears.
	ok($r->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'notified' AND who = 'Owner') FROM pg_notify('b', 'notified')}, 10),
		"$db: notifications are handled soon");
	my $id = $r->value(q{SELECT async_event_emit('a', '"emitted"')});
	cmp_ok($id, '>', $last, "$db: a new event has a new id");
	ok($r->until(q{SELECT count(*) = 1 FROM told WHERE what = 'emitted'}, 10), "$db: and is handled");
	is($r->value(q{SELECT handler || ' ' || (payload #>> '{}') FROM aside.dead_events}), 'a dies', "$db: the dead event");
	is($r->value(q{SELECT async_event_redrive('a')}), 1, "$db: is emitted again");
	ok($r->until(q{SELECT count(*) = 1 FROM told WHERE what = 'dies'}, 10), "$db: and handled");
	is($r->value(q{SELECT async_event_on('d', 'handle(text)')}), 'd', "$db: another handler can be made");
	is($r->value(q{SELECT async_event_off('a') AND async_event_off('b') AND async_event_off('c')}), 't', "$db: and those be taken off");
	is($r->value(q{SELECT string_agg(name, ', ') FROM aside.handlers}), 'd', "$db: which leaves the other one");
	$r->quit;
}
finish_all($s, $mon);
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|coordinator of events failed/, 'the log complains of nothing');
done_testing();

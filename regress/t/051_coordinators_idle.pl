# Claim: a database without handlers has no coordinator, however it came to have
# none; a coordinator with nothing to do asks the server for nothing; and calls
# find a worker process, whatever coordinators there are.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my @few = qw(d1 d2 d3 d4 d5 d6);
my $setup = q{CREATE TABLE effects (what text); SELECT async_event_on('c', command => $$INSERT INTO public.effects VALUES ($1 #>> '{}')$$)};

sub coordinators
{
	my ($mon) = @_;
	return $mon->value(q{SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_stat_activity
		WHERE backend_type = 'pg_aside coordinator' AND datname IS NOT NULL});
}

sub all_idle
{
	my ($mon, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM aside.coordinators WHERE state NOT IN ('idle', 'no extension'))
		AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname IS NOT NULL)}), $name)
	  || diag($mon->value('SELECT string_agg(c::text, chr(10)) FROM aside.coordinators c'));
}

sub handles
{
	my ($s, $what, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$s->value("SELECT async_event_emit('c', '\"$what\"')");
	return ok($s->until("SELECT count(*) = 1 FROM effects WHERE what = '$what'"), $name);
}

# As many databases with the extension as there are worker processes.
my $node = aside_node('many', conf => "max_worker_processes = 8\nmax_prepared_transactions = 2\naside.checkout_timeout = '20 s'\n");
my $mon = session($node);
$node->safe_psql('postgres', "CREATE DATABASE $_") for @few;
$node->safe_psql($_, 'CREATE EXTENSION pg_aside') for @few;
all_idle($mon, 'nobody has handlers: nobody has a coordinator');
within(5, sub { $mon->value(q{SELECT autonomous_exec('SELECT 1')}) }, 'so a call has a worker');
$node->restart;
$mon->quit;
$mon = session($node);
$mon->until(q{SELECT count(*) = 7 FROM aside.coordinators WHERE state = 'idle'});
all_idle($mon, 'after a restart each was looked at');
is($mon->value(q{SELECT count(*) FROM aside.coordinators WHERE state = 'idle'}), 7, 'and all are idle');

# Whatever makes a handler brings a coordinator, and what ends the last one takes it away.
my $one = session($node, db => 'd1');
$one->value($setup);
handles($one, 'first', 'a handler is made: its events are handled');
is(coordinators($mon), 'd1', 'by a coordinator of its own');
$one->value(q{SELECT async_event_off('c')});
all_idle($mon, 'the last handler is taken off: it leaves');
$one->value(q{BEGIN; SELECT async_event_on('c', command => $$INSERT INTO public.effects VALUES ($1 #>> '{}')$$)});
$node->safe_psql('d1', q{SELECT async_event_emit('c', '"before the commit"')});
is(coordinators($mon), '', 'a handler that is not committed brings nobody');
$one->value('COMMIT');
ok($one->until(q{SELECT count(*) = 1 FROM effects WHERE what = 'before the commit'}), 'but then gets what came before its commit');
$one->value(q{BEGIN; SELECT async_event_off('c'); PREPARE TRANSACTION 'off'});
handles(session($node, db => 'd1'), 'meanwhile', 'one whose end is prepared goes on');
$one->value(q{COMMIT PREPARED 'off'});
all_idle($mon, 'until that is committed');
$one->value(q{BEGIN; SELECT async_event_on('c', command => $$INSERT INTO public.effects VALUES ($1 #>> '{}')$$); PREPARE TRANSACTION 'on'});
$one->value(q{COMMIT PREPARED 'on'});
handles($one, 'prepared', 'one that was made by a prepared transaction works');
$one->value(q{SELECT async_event_off('c')});
all_idle($mon, 'without handlers there is none');
# So do schedules and jobs.
for (['a schedule', q{SELECT schedule_set('it', '@hourly', 'SELECT 1')}, q{SELECT schedule_drop('it')}],
	['a job', q{SELECT parallel_start('it', 'SELECT pg_sleep(600) WHERE $1 <= $2', chunk_by => 'query', chunk_query => 'SELECT 1, 1')},
		q{SELECT parallel_drop('it')}])
{
	my ($what, $begin, $end) = @$_;
	$one->value("BEGIN; $begin; PREPARE TRANSACTION 'begin'");
	is(coordinators($mon), '', "$what that is prepared brings nobody");
	$one->value(q{COMMIT PREPARED 'begin'});
	ok($mon->until(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = 'd1'}), "$what brings a coordinator");
	$one->value("BEGIN; $end; PREPARE TRANSACTION 'end'");
	$one->value(q{COMMIT PREPARED 'end'});
	all_idle($mon, "its end takes the coordinator of $what away");
}
$one->value(q{SELECT async_event_on('c', command => $$INSERT INTO public.effects VALUES ($1 #>> '{}')$$)});
$one->value('DROP EXTENSION pg_aside CASCADE');
ok($mon->until(q{SELECT state = 'no extension' FROM aside.coordinators WHERE database = 'd1'}), 'without the extension there is none');
$one->value("CREATE EXTENSION pg_aside; DROP TABLE effects; $setup");
handles($one, 'again', 'and with it there is one');

# What nobody handles takes room, and the tables are emptied all the same.
my $two = session($node, db => 'd2');
$mon->value($_) for (q{ALTER SYSTEM SET aside.event_rotation_time = '1 s'}, 'SELECT pg_reload_conf()');
$two->value(q{SELECT count(async_event_emit('nobody')) FROM generate_series(1, 100)});
ok($two->until(q{SELECT sum(pg_relation_size('aside.event_' || n)) = 0 FROM generate_series(0, 2) n}, 40), 'events that nobody handles are dropped in the end');
$mon->value($_) for (q{ALTER SYSTEM RESET aside.event_rotation_time}, 'SELECT pg_reload_conf()');
all_idle_but_one($mon);

sub all_idle_but_one
{
	ok($_[0]->until(q{SELECT string_agg(database, ' ') = 'd1' FROM aside.coordinators WHERE state <> 'idle'}), 'and who did that has left');
}

# A coordinator with a handler and nothing to do.
usleep(3_000_000);
my $pid = $mon->value(q{SELECT pid FROM aside.coordinators WHERE database = 'd1'});
$one->quit;
SKIP:
{
	skip 'no /proc', 1 unless -r "/proc/$pid/status";
	my $switches = sub { my ($n) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m; $n };
	my $before = $switches->();
	usleep(4_000_000);
	cmp_ok($switches->() - $before, '<=', 2, 'a coordinator with nothing to do does not wake');
}
$one = session($node, db => 'd1');
handles($one, 'awake', 'but when it has something to do');

# Handlers everywhere: one worker process is left for calls.
for my $db (@few[1 .. 5])
{
	$node->safe_psql($db, $setup);
}
my @sessions = map { session($node, db => $_) } @few;
within(15, sub { $mon->value(q{SELECT autonomous_exec('SELECT 1')}) }, 'coordinators wherever there is a slot for them: a call has a worker');
within(15, sub { $_->value(q{SELECT autonomous_exec('SELECT 1')}) }, 'in each database') for @sessions;
within(15, sub { $mon->value(q{SELECT async_wait(async_exec('SELECT 1'))}) }, 'and so has a task');
finish_all(@sessions, $one, $two, $mon);
$node->stop;

# A coordinator that comes to many events and many handlers is at work soon.
$node = aside_node('crowd', conf => "aside.event_rotation_size = '1 GB'\n");
$mon = session($node);
$mon->value($_) for ($setup, q{SELECT async_event_pause('c')},
	q{SELECT count(async_event_on('other ' || i, command => 'SELECT 1')) FROM generate_series(1, 400) i},
	q{SELECT async_event_on('probe', command => $$INSERT INTO public.effects VALUES ('probe')$$)},
	q{SELECT count(async_event_emit('c', to_jsonb(i))) FROM generate_series(1, 150000) i});
$node->restart;
$mon->quit;
$mon = session($node);
within(6, sub {
	$mon->value(q{SELECT async_event_emit('probe')});
	$mon->until(q{SELECT EXISTS (SELECT FROM effects)});
}, 'what is emitted after a restart is handled, whatever waits');
finish_all($mon);
$node->stop;

# Others have taken what was left for calls: a coordinator makes room.
$node = aside_node('yields', conf => "max_worker_processes = 5\nmax_logical_replication_workers = 3\nmax_sync_workers_per_subscription = 0\n"
	  . "wal_level = logical\nmax_wal_senders = 4\nmax_replication_slots = 8\naside.reserved_coordinators = 0\naside.checkout_timeout = '20 s'\n");
$mon = session($node);
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(d1 d2);
$node->safe_psql('d1', "CREATE EXTENSION pg_aside; $setup");
$one = session($node, db => 'd1');
handles($one, 'first', 'there is a coordinator');
$one->value(q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_type = 'pg_aside worker'});
# launcher of logical replication, launcher, coordinator, and two who apply
$node->safe_psql('postgres', 'CREATE TABLE nothing (n int); CREATE PUBLICATION p FOR TABLE nothing');
$node->safe_psql('d2', 'CREATE TABLE nothing (n int)');
for my $sub (qw(s1 s2))
{
	$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('$sub', 'pgoutput')");
	$node->safe_psql('d2', "CREATE SUBSCRIPTION $sub CONNECTION '" . $node->connstr . " dbname=postgres' PUBLICATION p WITH (create_slot = false, copy_data = false)");
}
ok($mon->until(q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%worker'}), 'all slots are taken');
within(10, sub { is($mon->value(q{SELECT autonomous_exec('SELECT 1')}), 1, 'a call runs') }, 'in the place of the coordinator');
my $deadline = time + 20;
usleep(50_000) while slurp_file($node->logfile) !~ /no worker slot for a coordinator/ && time < $deadline;
like(slurp_file($node->logfile), qr/no worker slot for a coordinator/, 'that it has no place is said');
$node->safe_psql('d2', "ALTER SUBSCRIPTION $_ DISABLE; ALTER SUBSCRIPTION $_ SET (slot_name = NONE); DROP SUBSCRIPTION $_") for qw(s1 s2);
handles($one, 'later', 'and it comes back when there is one');
finish_all($one, $mon);
$node->stop;
done_testing();

# Claim: what says nothing about an event is no attempt: it waits while its database allows
# no connections, no worker is free or the server is upgraded, and meets the settings of a login of just then.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = aside_node('waits', conf => "aside.worker_idle_timeout = '100ms'\naside.max_workers = 4\nmax_worker_processes = 16\n");
my $mon  = session($node);

# A role's settings, by each of the ways in which they are made and unmade; the worker stays meanwhile.
$mon->value($_) for (q{ALTER SYSTEM SET aside.worker_idle_timeout = '1min'}, 'SELECT pg_reload_conf()');
$mon->value(<<'SQL');
CREATE ROLE h LOGIN;
GRANT aside_user TO h;
CREATE TABLE seen (n serial, pid int, x text, y text, attempt int);
GRANT INSERT ON seen TO h;
GRANT USAGE ON SEQUENCE seen_n_seq TO h;
GRANT CREATE ON SCHEMA public TO h;
SET ROLE h;
CREATE FUNCTION look(e aside.event) RETURNS void LANGUAGE sql AS $$
	INSERT INTO seen (pid, x, y, attempt) VALUES (pg_backend_pid(), current_setting('my.x', true), current_setting('work_mem'), e.attempt)$$;
SELECT async_event_on('look', 'look(aside.event)');
RESET ROLE;
SQL
my $n = 0;
for my $change (['SELECT 1', '|4MB'], ['SELECT 1', '|4MB'],
	[q{ALTER ROLE h SET my.x = 'role'}, 'role|4MB'], [q{ALTER ROLE h SET work_mem = '5MB'}, 'role|5MB'],
	[q{ALTER DATABASE postgres SET my.x = 'database'}, 'role|5MB'], [q{ALTER ROLE h RESET my.x}, 'database|5MB'],
	[q{ALTER ROLE h IN DATABASE postgres SET my.x = 'both'}, 'both|5MB'], [q{ALTER ROLE h RESET ALL}, 'both|4MB'],
	[q{ALTER ROLE h IN DATABASE postgres RESET ALL}, 'database|4MB'], [q{ALTER ROLE ALL SET work_mem = '6MB'}, 'database|6MB'],
	[q{ALTER ROLE ALL RESET ALL}, 'database|4MB'], [q{ALTER DATABASE postgres RESET my.x}, '|4MB'])
{
	my ($command, $expected) = @$change;
	$mon->value($_) for ($command, q{SELECT async_event_emit('look')});
	$n++;
	$mon->until("SELECT count(*) = $n FROM seen");
	is($mon->value('SELECT x, y FROM seen ORDER BY n DESC LIMIT 1'), $expected, "settings of a login after: $command");
}
is($mon->value('SELECT max(attempt), count(DISTINCT pid) < count(*) FROM seen'), '1|t', 'each at its first attempt, and workers stay when nothing changes');
$mon->value($_) for (q{ALTER SYSTEM SET aside.worker_idle_timeout = '100ms'}, 'SELECT pg_reload_conf()');

# A pool that is full: what has no worker is not said to run, not even for a moment. 
$mon->value($_) for ('CREATE ROLE h2 LOGIN', 'GRANT aside_user TO h2', 'CREATE TABLE ran (attempt int)', 'GRANT INSERT ON ran TO h, h2',
	q{CREATE FUNCTION run(e aside.event) RETURNS void LANGUAGE sql AS $$INSERT INTO ran VALUES (e.attempt)$$},
	map { ("SET ROLE $_", "SELECT async_event_on('full', 'run(aside.event)', name => 'of_$_', concurrency => 4, max_attempts => 1)", 'RESET ROLE') } 'h', 'h2');
my @holders = map { session($node) } 1 .. 4;
$holders[$_]->send("SELECT autonomous_exec('SELECT pg_sleep(600) /* holder $_ */')") for 0 .. $#holders;
busy_worker($mon, "holder $_") for 0 .. $#holders;
my $running = q{SELECT (SELECT count(*) FROM aside.events WHERE channel = 'full' AND state = 'running') + (SELECT sum(running) FROM aside.event_stats)
	+ (SELECT count(*) FROM aside.event_runs r JOIN aside.events e ON e.id = r.event WHERE e.channel = 'full')};
$mon->value(q{SELECT count(async_event_emit('full')) FROM generate_series(1, 20)});
my $shown = 0;
for (1 .. 40) { $shown += $mon->value($running); select undef, undef, undef, 0.02; }
is($shown, 0, 'with a full pool no event is said to run');
is($mon->value(q{SELECT string_agg(DISTINCT s.state, ',') FROM aside.events e, async_event_state(e.id) s WHERE e.channel = 'full'}), 'waiting', 'all wait');
$mon->value("SELECT pg_cancel_backend(@{[$_->pid]})"), $_->wait for @holders;
ok($mon->until('SELECT count(*) = 40 FROM ran', 30), 'they run when there are workers');
is($mon->value('SELECT min(attempt), max(attempt) FROM ran'), '1|1', 'at their first attempt');
finish_all(@holders);

# What they are for is seen from outside.
sub shown { my ($what) = @_; my $pid = $mon->value("SELECT pid FROM $what"); return join ' ', split ' ', slurp_file("/proc/$pid/cmdline") =~ tr/\0/ /r; }
SKIP:
{
	skip 'no /proc', 2 unless -r "/proc/$$/cmdline";
	like(shown(q{aside.coordinators WHERE database = 'postgres'}), qr/: (waits: )?pg_aside coordinator postgres$/, 'ps names the database of a coordinator');
	$mon->value(q{SELECT async_event_emit('look')});
	$n++;
	$mon->until("SELECT count(*) = $n FROM seen");
	like(shown(q{aside.workers WHERE username = 'h' LIMIT 1}), qr/: (waits: )?pg_aside worker h postgres$/, 'and for whom a worker is');
}

# A database that allows no connections.
$mon->value('CREATE DATABASE shut');
my $shut = session($node, db => 'shut');
$shut->value(<<'SQL');
CREATE EXTENSION pg_aside;
CREATE TABLE done (id bigint, attempt int);
CREATE FUNCTION handle(e aside.event) RETURNS void LANGUAGE sql AS $$INSERT INTO done VALUES (e.id, e.attempt)$$;
SELECT async_event_on('c', 'handle(aside.event)', max_attempts => 1), async_event_on('c', 'handle(aside.event)', name => 'o', ordered => true, max_attempts => 1);
SQL
ok($shut->until(q{SELECT EXISTS (SELECT FROM aside.coordinators WHERE database = 'shut' AND state = 'running')}), 'a database has a coordinator');
ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'shut' AND backend_type = 'pg_aside worker')}), 'and no worker');
# The launcher, which looks once in a while, has a coordinator leave a database that allows none. It has just looked.
$mon->value('SELECT pg_reload_conf()');
$mon->value('ALTER DATABASE shut ALLOW_CONNECTIONS false');
$shut->value(q{SELECT count(async_event_emit('c')) FROM generate_series(1, 50)});
my $refused = sub { () = slurp_file($node->logfile) =~ /database "shut" is not currently accepting connections/g };
my $left = q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'shut' AND backend_type = 'pg_aside coordinator')};
for (1 .. 600) { last if $refused->() >= 3 || $mon->value($left) eq 't'; select undef, undef, undef, 0.05; }
ok($refused->() >= 3 || $mon->value($left) eq 't', 'workers are refused, or not asked for')
	or diag(map { $mon->value("SELECT * FROM $_") . "\n" } 'aside.workers', 'aside.coordinators', 'aside.event_stats', 'pg_stat_activity');
ok($mon->until($left, 30), 'the coordinator leaves when the launcher has looked');
is($shut->value('SELECT count(*) FROM aside.dead_events'), 0, 'no event dies of it');
$mon->value('ALTER DATABASE shut ALLOW_CONNECTIONS true');
ok($shut->until('SELECT count(*) = 100 FROM done', 30), 'events are handled when it allows connections');
is($shut->value('SELECT count(*), min(attempt), max(attempt) FROM done'), '100|1|1', 'at their first attempt');

# A server that is upgraded.
$mon->value(q{SELECT async_event_pause('look'), async_event_emit('look')});
$mon->value(q{SELECT async_event_resume('look'), async_event_emit('look', delay => '1 s')});
finish_all($mon, $shut);
$node->stop('fast');
my $before = -s $node->logfile;
system_or_bail('pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start');
my $psql = sub { my ($code, $out, $err) = $node->psql('postgres', $_[0], on_error_stop => 0); return $out . $err; };
is($psql->(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%'}), 0, 'while a server is upgraded there is no process of pg_aside');
like($psql->(q{SELECT autonomous_exec('SELECT 1')}), qr/no worker of pg_aside is started while the server is upgraded/, 'and none is started');
like($psql->(q{SELECT async_event_emit('look')}), qr/^\d+$/, 'what is emitted waits');
$psql->('SELECT pg_sleep(1.5)');
is($psql->(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%'}), 0, 'also when something would be due');
system_or_bail('pg_ctl', '-w', '-D', $node->data_dir, '-m', 'fast', 'stop');
unlike(slurp_file($node->logfile, $before), qr/background worker "pg_aside/, 'nothing came and went');
$node->start;
$mon = session($node);
ok($mon->until("SELECT count(*) = $n + 3 FROM seen", 30), 'and everything goes on after it');
# What ids there have been is known of the tables, too.
ok($mon->until(q{SELECT EXISTS (SELECT FROM aside.coordinators WHERE database = 'postgres' AND state = 'running')}), 'the coordinator has come');
$mon->value(q{SELECT setval('aside.event_id', 1)});
is($mon->run(q{SELECT async_event_emit('look')})->{sqlstate}, '55000', 'no id is given twice, whatever is done to the sequence');
finish_all($mon);
$node->stop('fast');
done_testing();

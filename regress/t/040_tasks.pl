# Claim: a task belongs to nobody's session: it goes on when its caller is gone,
# its end by force is told to who waits, a restart of the server loses it aloud,
# and it stands in no shutdown's or DROP DATABASE's way.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $trapping = q{DO $do$ BEGIN LOOP BEGIN PERFORM pg_sleep(600) /* %s */;
	EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $do$};

sub start
{
	my ($s, $sql) = @_;
	return $s->value("SELECT async_exec(\$start\$$sql\$start\$)");
}

sub state_of
{
	my ($s, $task) = @_;
	return $s->value("SELECT concat_ws(' ', state, sqlstate) FROM aside.tasks WHERE id = $task");
}

# Files of tasks.
sub files
{
	my ($node) = @_;
	return scalar(grep { /pgsql_tmp_aside/ } glob($node->data_dir . '/base/pgsql_tmp/*'));
}

my $node = aside_node('preloaded', conf => "aside.max_workers = 4\nrestart_after_crash = on\n");
my $mon = session($node);

# The caller goes.
my $s = session($node);
my $task = start($s, q{INSERT INTO t SELECT 'outlives', 1 FROM pg_sleep(1)});
$s->quit;
is($mon->value("SELECT async_wait($task)"), 't', 'waited for from another session');
is($mon->value(q{SELECT n FROM t WHERE tag = 'outlives'}), 1, 'a task outlives the session of its caller');

$s = session($node);
$task = start($s, q{INSERT INTO t SELECT 'terminated', 1 FROM pg_sleep(1) RETURNING n});
$s->send("SELECT * FROM async_result($task) AS (n int)");
my $pid = $s->pid;
$mon->until("SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $pid AND query LIKE '%async_result%'");
$mon->value("SELECT pg_terminate_backend($pid, 5000)");
ok($s->wait->{gone}, 'the caller is terminated while it waits');
is($mon->value("SELECT n FROM async_result($task) AS (n int)"), 1, 'its task is not, and another one reads the result');

# A client that vanishes, and a transaction that never commits.
$s = session($node);
$s->value('BEGIN');
$task = start($s, q{INSERT INTO t SELECT 'vanished', 1 FROM pg_sleep(0.5)});
my $never = $s->value(q{SELECT async_exec_on_commit($$INSERT INTO t VALUES ('never', 1)$$)});
$pid = $s->pid;
$s->kill_client;
$mon->until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
is($mon->value("SELECT async_wait($task)"), 't', 'nor is that of a client that vanished');
is($mon->value("SELECT count(*) FROM aside.tasks WHERE id = $never"), 0, 'what it would have started with its commit is forgotten');
is($mon->value(q{SELECT string_agg(tag, ' ' ORDER BY tag) FROM t}), 'outlives terminated vanished', 'and never ran');

# Its worker goes.
$s = session($node);
$task = start($s, q{INSERT INTO t VALUES ('killed', 1); SELECT pg_sleep(600) /* victim */});
$s->send("SELECT async_wait($task)");
my $worker = busy_worker($mon, 'victim');
my $begin = time;
$mon->value("SELECT pg_terminate_backend($worker)");
my $r = $s->wait(10);
is($r->{out}, 't', 'who waits for a task is woken when its worker is terminated');
ok(time - $begin < 2, 'at once');
is(state_of($mon, $task), 'failed 57P01', 'the task has failed, and says of what');
ended_well($s->run("SELECT * FROM async_result($task) AS (x text)"), '57P01', 'so does its result');
is($mon->value(q{SELECT count(*) FROM t WHERE tag = 'killed'}), 0, 'nothing of it is left');
$task = start($s, 'SELECT 1');
is($s->value("SELECT x FROM async_result($task) AS (x int)"), 1, 'other tasks go on');

# Shutdown with every worker busy.
my @lost;
push @lost, start($s, sprintf($trapping, "stubborn $_")) for 1 .. 2;
push @lost, start($s, 'SELECT repeat($$x$$, 1000) FROM generate_series(1, 5000); SELECT pg_sleep(600) /* spooling */');
push @lost, start($s, 'SELECT async_wait(async_exec($$SELECT 1$$)), pg_sleep(600) /* waiting */');
push @lost, start($s, 'SELECT $$queued$$ || repeat($$x$$, 10)');
push @lost, $s->value(q{SELECT async_exec('SELECT length($1)', repeat('x', 1000000))});
busy_worker($mon, 'stubborn 1');
$mon->value('SELECT pg_cancel_backend(' . busy_worker($mon, 'stubborn 2') . ')');
busy_worker($mon, 'stubborn 2');
busy_worker($mon, 'spooling');
is($mon->value("SELECT string_agg(state, ' ' ORDER BY id) FROM aside.tasks WHERE id = ANY (ARRAY[" . join(',', @lost) . '])'),
	'running running running running queued queued', 'all workers are busy, and more is queued');
ok(files($node) > 0, 'there are files of tasks');
my $done = $mon->value("SELECT max(id) FROM aside.tasks WHERE state = 'done'");
finish_all($s);
$mon->quit;
within(2, sub { $node->stop('fast') }, 'fast shutdown with every worker busy');
$node->start;
$mon = session($node);
$mon->until("SELECT count(*) = @{[scalar @lost]} FROM aside.tasks WHERE id = ANY (ARRAY[" . join(',', @lost) . '])');
is($mon->value("SELECT count(*) FROM aside.tasks WHERE id = ANY (ARRAY[" . join(',', @lost)
		. "]) AND (state = 'lost' OR (state = 'failed' AND sqlstate = '57P01'))"), scalar @lost,
	'after a restart they are lost, or were told to end');
is($mon->value("SELECT string_agg(DISTINCT state, ' ') FROM aside.tasks WHERE id IN ($lost[4], $lost[5])"), 'lost', 'those that were queued are lost');
ended_well($mon->run("SELECT * FROM async_result($lost[4]) AS (x text)"), '57P02', 'their result is the error that says so');
ok($mon->value("SELECT async_wait($lost[4])") eq 't', 'they are not waited for');
is(files($node), 0, 'no file is left');
cmp_ok(start($mon, 'SELECT 1'), '>', $lost[-1], 'ids go on');

# The server dies.
for my $how ('immediate', 'kill9', 'worker killed')
{
	my $b = session($node);
	my @gone = map { start($b, sprintf($trapping, "$how $_")) } 1 .. 2;
	push @gone, start($b, "SELECT repeat('x', 1000) FROM generate_series(1, 5000); SELECT pg_sleep(600) /* $how spooling */");
	push @gone, start($b, "SELECT pg_sleep(600) /* $how */");
	push @gone, start($b, 'SELECT 1');
	push @gone, $b->value(q{SELECT async_exec('SELECT length($1)', repeat('x', 1000000))});
	my $victim = busy_worker($mon, "$how spooling");
	my @pids = split /\s/, $mon->value('SELECT pid FROM pg_stat_activity');
	push @pids, slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my $last = $b->value('SELECT max(id) FROM aside.tasks');
	if ($how eq 'worker killed')
	{
		kill 'KILL', $victim;
	}
	elsif ($how eq 'kill9')
	{
		$node->kill9;
	}
	else
	{
		$node->stop('immediate');
	}
	eval { finish_all($b, $mon) };
	if ($how ne 'worker killed')
	{
		# Orphans of a killed postmaster leave by themselves.
		my $deadline = time + 15;
		usleep(20_000) while time < $deadline && grep { kill 0, $_ } @pids;
		$node->start;
	}
	$node->poll_query_until('postgres', 'SELECT true');
	$mon = session($node);
	my $list = join(',', @gone);
	is($mon->value("SELECT string_agg(DISTINCT state || sqlstate, ' '), count(*) FROM aside.tasks WHERE id IN ($list)"),
		'lost57P02|6', "$how: what ran or was queued is lost")
	  or diag($mon->value("SELECT id, state, command FROM aside.tasks WHERE id IN ($list)"));
	ended_well($mon->run("SELECT * FROM async_result($gone[0]) AS (x text)"), '57P02', "$how: and says so");
	is(files($node), 0, "$how: no file is left");
	cmp_ok(start($mon, 'SELECT 1'), '>', $last, "$how: ids go on");
	$mon->value("SELECT async_detach(id) FROM aside.tasks WHERE id IN ($list)");
	is($mon->value("SELECT count(*) FROM aside.tasks WHERE id IN ($list)"), 0, "$how: they can be forgotten");
}

# Databases come and go.
$mon->value('CREATE DATABASE doomed');
$s = session($node, db => 'doomed');
$s->value('CREATE EXTENSION pg_aside');
$task = start($s, 'SELECT 1');
$s->value("SELECT async_wait($task)");
$s->quit;
$mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'doomed' AND backend_type = 'client backend')});
$r = $mon->run('DROP DATABASE doomed');
ok($r->{ok} && $r->{secs} < 2, 'DROP DATABASE with an idle worker of a task') or diag($r->{err});
is($mon->value("SELECT state, database IS NULL FROM aside.tasks WHERE id = $task"), 'done|t', 'a task of a dropped database is still known');
ended_well($mon->run("SELECT x FROM async_result($task) AS (x int)"), '0A000', 'but nobody knows its encoding any more, nor reads it');

$mon->value('CREATE DATABASE doomed');
my @busy = map { start($mon, "SELECT pg_sleep(600) /* busy $_ */") } 1 .. 4;
busy_worker($mon, "busy $_") for 1 .. 4;
$s = session($node, db => 'doomed');
$s->value('CREATE EXTENSION pg_aside');
$task = start($s, 'SELECT 1');
$s->quit;
$mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'doomed' AND backend_type = 'client backend')});
is(state_of($mon, $task), 'queued', 'a task is queued for a database');
$r = $mon->run('DROP DATABASE doomed');
ok($r->{ok} && $r->{secs} < 2, 'which is dropped') or diag($r->{err});
$mon->value("SELECT async_cancel($_)") for @busy;
is($mon->value("SELECT async_wait($task, '20 s')"), 't', 'the task ends');
like(state_of($mon, $task), qr/^failed (3D000|42704)/, 'it has failed, and says of what');
like($mon->value("SELECT message FROM aside.tasks WHERE id = $task"), qr/database/, 'in words');
ended_well($mon->run("SELECT * FROM async_result($task) AS (x int)"), '3D000|42704', 'so does its result');
is($mon->value("SELECT async_wait_any(ARRAY[" . join(',', @busy) . "], '10 s') IS NOT NULL"), 't', 'the others were cancelled');

# A task under way in a database is that database's user.
$mon->value('CREATE DATABASE doomed');
$s = session($node, db => 'doomed');
$s->value('CREATE EXTENSION pg_aside');
$task = start($s, 'SELECT pg_sleep(600) /* under way */');
$s->quit;
busy_worker($mon, 'under way');
$mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'doomed' AND backend_type = 'client backend')});
ended_well($mon->run('DROP DATABASE doomed'), '55006', 'a database in which a task runs is not dropped', 10);
is(state_of($mon, $task), 'running', 'the task runs on');
$r = $mon->run('DROP DATABASE doomed WITH (FORCE)');
ok($r->{ok} && $r->{secs} < 5, 'unless by force') or diag($r->{err});
is($mon->value("SELECT async_wait($task, '10 s')"), 't', 'then the task ends');
is(state_of($mon, $task), 'failed 57P01', 'as its worker does');
$mon->quit;
$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP:|stack-overflow|unexpected error/, 'an uneventful log');

# Not preloaded: tasks are the session's.
$node = aside_node('private', preload => 0);
$mon = session($node);
$s = session($node);
$task = start($s, q{INSERT INTO t SELECT 'private', 1 FROM pg_sleep(600) /* private */});
my $big = start($s, q{SELECT repeat('x', 1000) FROM generate_series(1, 5000)});
is($s->value("SELECT async_wait($big)"), 't', 'private: a task runs');
busy_worker($mon, 'private \*/');
is(files($node), 1, 'private: its result is in a file');
is($mon->value('SELECT count(*) FROM aside.tasks'), 0, 'private: another session does not see it');
$s->quit;
ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%')}, 5),
	'private: tasks end with their session');
is(files($node), 0, 'private: no file is left');
$s = session($node);
$task = start($s, sprintf($trapping, 'private stubborn'));
busy_worker($mon, 'private stubborn');
$pid = $s->pid;
$mon->value("SELECT pg_terminate_backend($pid, 5000)");
ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%')}, 5),
	'private: when that is terminated too, whatever they trap');
like($mon->value(q{SELECT problem FROM aside.settings_check() WHERE setting = 'shared_preload_libraries'}),
	qr/tasks end with it/, 'private: settings_check says so');
$s->quit;
$s = session($node);
start($s, sprintf($trapping, "private $_")) for 1 .. 3;
busy_worker($mon, "private $_") for 1 .. 3;
finish_all($mon);
within(2, sub { $node->stop('fast') }, 'private: fast shutdown with busy workers');
finish_all($s);

# A standby.
for my $mode ('preloaded', 'private')
{
	my $primary = aside_node("${mode}_primary", preload => $mode eq 'preloaded', streaming => 1);
	$primary->safe_psql('postgres', q{INSERT INTO t VALUES ('read', 7)});
	$primary->backup('b');
	my $standby = PostgreSQL::Test::Cluster->new("${mode}_standby");
	$standby->init_from_backup($primary, 'b', has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	my $r = session($standby);
	is($r->value(q{SELECT n FROM async_result(async_exec('SELECT n FROM t WHERE tag = $1', 'read')) AS (n int)}),
		7, "$mode: a task reads on a standby");
	ended_well($r->run(q{SELECT n FROM async_result(async_exec('INSERT INTO t VALUES (1)')) AS (n int)}),
		'25006', "$mode: and cannot write");
	my $big = start($r, q{SELECT repeat('x', 1000) FROM generate_series(1, 5000)});
	is($r->value("SELECT count(*) FROM async_result($big) AS (x text)"), 5000, "$mode: long results too");
	$standby->promote;
	$r->until('SELECT NOT pg_is_in_recovery()');
	is($r->value(q{SELECT n FROM async_result(async_exec($$INSERT INTO t VALUES ('promoted', 8) RETURNING n$$)) AS (n int)}),
		8, "$mode: and write once it is promoted");
	$r->quit;
	$standby->stop;
	$primary->stop;
}
done_testing();

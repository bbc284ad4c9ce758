# Claim: calls, tasks, events and schedules go through a switchover, a failover and a rejoin by pg_rewind: what was committed is
# there, each event takes effect once, schedules go on, and a server that has become a standby runs nothing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $one = aside_node('one', streaming => 1, conf => <<'CONF');
max_connections = 30
max_worker_processes = 20
wal_log_hints = on
wal_keep_size = '256MB'
aside.event_rotation_size = '256kB'
aside.event_rotation_time = '2s'
CONF
$one->safe_psql('postgres', <<'SQL');
CREATE TABLE calls (n bigint);
CREATE TABLE tasks (n bigint);
CREATE TABLE ticks (at timestamptz DEFAULT now());
CREATE TABLE ledger (id bigint);
CREATE TABLE effects (id bigint, standby boolean DEFAULT pg_is_in_recovery());
CREATE FUNCTION handle(e aside.event) RETURNS void LANGUAGE sql AS 'INSERT INTO effects VALUES (e.id)';
SELECT async_event_on('c', 'handle(aside.event)', concurrency => 2);
SELECT schedule_set('ticks', 'every 1 second', 'INSERT INTO ticks DEFAULT VALUES');
CREATE VIEW missing AS SELECT id FROM ledger EXCEPT SELECT id FROM effects;
CREATE VIEW twice AS SELECT id FROM effects GROUP BY id HAVING count(*) > 1;
SQL
$one->backup('b');
my $two = PostgreSQL::Test::Cluster->new('two');
$two->init_from_backup($one, 'b', has_streaming => 1);
$two->start;

# Load of every kind on a server until it ends. It has begun when this returns.
sub load
{
	my ($node) = @_;
	my @loads = map { session($node) } 1 .. 3;
	$loads[0]->send(q{DO $$ DECLARE n bigint := 0; BEGIN LOOP n := n + 1;
		PERFORM autonomous_exec('INSERT INTO calls VALUES ($1)', n); PERFORM pg_sleep(0.01); END LOOP; END $$});
	$loads[1]->send(q{DO $$ DECLARE n bigint := 0; BEGIN LOOP n := n + 1;
		PERFORM async_detach(async_exec('INSERT INTO tasks VALUES ($1)', n)); COMMIT; PERFORM pg_sleep(0.02); END LOOP; END $$});
	$loads[2]->send(q{DO $$ BEGIN LOOP INSERT INTO ledger SELECT async_event_emit('c', '1') FROM generate_series(1, 3); COMMIT;
		PERFORM pg_sleep(0.02); END LOOP; END $$});
	my $s = session($node);
	my ($calls, $tasks, $effects) = split /\|/, $s->value('SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM tasks), (SELECT count(*) FROM effects)');
	ok($s->until("SELECT (SELECT count(*) > $calls + 20 FROM calls) AND (SELECT count(*) > $tasks + 10 FROM tasks)
		AND (SELECT count(*) > $effects + 20 FROM effects)", 60), $node->name . ': calls, tasks and events are on their way');
	return ($s, @loads);
}

# What a server must show once it is the primary; $acknowledged is the last call that a client knows to be committed.
sub goes_on
{
	my ($node, $acknowledged, $how) = @_;
	my $s = session($node);
	is($s->value("SELECT count(*) FROM calls WHERE n = $acknowledged"), 1, "$how: the last call that was acknowledged is there");
	ok($s->until('SELECT NOT EXISTS (SELECT FROM missing)', 60), "$how: each event that was committed takes effect");
	is($s->value('SELECT count(*) FROM twice'), 0, "$how: once");
	is($s->value('SELECT count(*) FROM effects WHERE id NOT IN (SELECT id FROM ledger)'), 0, "$how: and none that was not committed");
	my $ticks = $s->value('SELECT count(*) FROM ticks');
	ok($s->until("SELECT count(*) > $ticks FROM ticks", 60), "$how: schedules go on");
	is($s->value(q{SELECT count(*) FROM (SELECT FROM aside.schedule_runs WHERE state = 'done' GROUP BY due HAVING count(*) > 1) x}),
		0, "$how: no run was done twice");
	is($s->value('SELECT count(*) FROM effects WHERE standby'), 0, "$how: nothing was handled by a standby");
	is($s->value('SELECT count(*) FROM aside.dead_events'), 0, "$how: nothing is given up");
	$s->quit;
	return;
}

sub runs_nothing
{
	my ($primary, $standby, $how) = @_;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%'}), 0, "$how: the standby has no process of ours");
	return;
}

# Switchover: the primary is stopped in order, and comes back as a standby.
my @sessions = load($one);
$sessions[0]->value(q{SELECT autonomous_exec('INSERT INTO calls VALUES (-1)')});
$one->stop('fast');
finish_all(@sessions);
$two->promote;
$one->enable_streaming($two);
$one->start;
goes_on($two, -1, 'switchover');
runs_nothing($two, $one, 'switchover');

# Failover: the primary dies; its clients had waited for the standby. What it had not sent has not happened.
$two->append_conf('postgresql.conf', "synchronous_standby_names = '*'\n");
$two->reload;
@sessions = load($two);
ok($sessions[0]->until(q{SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication}), 'failover: commits wait for the standby');
$sessions[0]->value(q{SELECT autonomous_exec('INSERT INTO calls VALUES (-2)')});
$two->stop('immediate');
finish_all(@sessions);
$one->promote;
goes_on($one, -2, 'failover');

# The old primary has gone its own way; it is taken back, and follows.
$two->start;
$two->append_conf('postgresql.conf', "synchronous_standby_names = ''\n");
$two->reload;
$two->safe_psql('postgres', q{SELECT autonomous_exec('INSERT INTO calls VALUES (-3)')});
$two->stop('fast');
$one->safe_psql('postgres', 'CHECKPOINT');
my $conf = slurp_file($two->data_dir . '/postgresql.conf');
command_ok([ 'pg_rewind', '--no-sync', '--source-server', $one->connstr('postgres'), '--target-pgdata', $two->data_dir ], 'rejoin: pg_rewind');
unlink $two->data_dir . '/postgresql.conf';
append_to_file($two->data_dir . '/postgresql.conf', $conf);
$two->enable_streaming($one);
$two->start;
@sessions = load($one);
$sessions[0]->value(q{SELECT autonomous_exec('INSERT INTO calls VALUES (-4)')});
runs_nothing($one, $two, 'rejoin');
is($two->safe_psql('postgres', 'SELECT count(*) FROM calls WHERE n = -3'), 0, 'rejoin: what only the old primary had has gone');
$one->stop('fast');
finish_all(@sessions);
$two->promote;
goes_on($two, -4, 'rejoin');
$two->stop;
unlike(slurp_file($_->logfile), qr/PANIC|TRAP:|coordinator of events failed/, $_->name . ': the log complains of nothing') for ($one, $two);
done_testing();

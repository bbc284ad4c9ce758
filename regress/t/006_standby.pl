# Claim: on a hot standby autonomous queries read and cannot write; workers do
# not hold up replay, and write once the standby is promoted.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use Test::More;

for my $mode ('preloaded', 'private')
{
	my $primary = aside_node("${mode}_primary", preload => $mode eq 'preloaded', streaming => 1,
		conf => "max_connections = 20\n");
	$primary->safe_psql('postgres', q{INSERT INTO t VALUES ('read', 7)});
	$primary->backup('b');
	my $standby = PostgreSQL::Test::Cluster->new("${mode}_standby");
	$standby->init_from_backup($primary, 'b', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = '200ms'\n");
	$standby->start;
	$primary->safe_psql('postgres', 'CREATE DATABASE doomed');
	$primary->safe_psql('doomed', 'CREATE EXTENSION pg_aside');
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));

	my $s = session($standby);
	is($s->value(q{SELECT n FROM autonomous_query('SELECT n FROM t WHERE tag = $1', 'read') AS q(n int)}),
		7, "$mode: reads");
	is($s->value(q{SELECT sum(n) FROM parallel_query('SELECT n FROM t WHERE ctid BETWEEN $1 AND $2', 't', 'ctid') AS q(n int)}),
		7, "$mode: reads in chunks");
	my $worker = worker_pid($s);
	my $r = $s->run(q{SELECT autonomous_exec('INSERT INTO t VALUES ($1)', 'no')});
	ended_well($r, '25006', "$mode: cannot write");
	ended_well($s->run('SELECT autonomous_exec($$VACUUM t$$)'), '25006', "$mode: nor VACUUM");
	is(worker_pid($s), $worker, "$mode: the refused worker serves on");

	# Replay of DROP DATABASE must get rid of an idle worker there.
	my $d = session($standby, db => 'doomed');
	my $idle = worker_pid($d);
	$d->quit if $mode eq 'preloaded';
	$primary->safe_psql('postgres', 'DROP DATABASE doomed');
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('write'));
	ok($s->until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $idle)"),
		"$mode: replay of DROP DATABASE ends the worker in it");
	$d->quit;

	# Replay in conflict with a running autonomous query cancels it, like any query.
	$s->send(q{SELECT count(*) FROM autonomous_query('LOCK t IN ACCESS SHARE MODE;
		SELECT 1 FROM pg_sleep(600) /* conflict */') AS q(n int)});
	busy_worker($d = session($standby), 'conflict');
	$primary->safe_psql('postgres', 'ALTER TABLE t ADD COLUMN z int');
	ended_well($s->wait, '40001|40P01|57014', "$mode: a recovery conflict is the caller's error");
	$d->quit;

	$worker = worker_pid($s);
	$standby->promote;
	$s->until('SELECT NOT pg_is_in_recovery()');
	is($s->run(q{SELECT autonomous_exec('INSERT INTO t VALUES ($1)', 'yes')})->{out},
		1, "$mode: writes after promotion");
	is(worker_pid($s), $worker, "$mode: through the worker it had before");
	$s->quit;
	$standby->stop;
	$primary->stop;
}
done_testing();

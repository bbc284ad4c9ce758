# Claim: a worker that is cancelled or terminated is its caller's error, never a
# hang, and the error tells the outcome; the next call has a worker again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my %stage = (
	'asleep' => q{SELECT autonomous_exec($$INSERT INTO t VALUES ('%s');
		SELECT pg_sleep(600)$$)},
	'waiting for a lock' => q{SELECT autonomous_exec($$INSERT INTO t VALUES ('%s');
		LOCK TABLE locked IN ACCESS SHARE MODE$$)},
	'streaming' => q{SELECT count(*) FROM autonomous_query(
		$$WITH w AS (INSERT INTO t VALUES ('%s') RETURNING 1)
		SELECT g, pg_sleep(0.02)::text FROM w, generate_series(1, 1000000) g$$)
		AS q(g int, s text)},
);

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded',
		conf => "aside.max_workers = 2\n");
	$node->safe_psql('postgres', 'CREATE TABLE locked ()');
	my ($mon, $s, $lock) = map { session($node) } 1 .. 3;
	$lock->value('BEGIN; LOCK TABLE locked');

	for my $stage (sort keys %stage)
	{
		for my $how ('cancel', 'terminate')
		{
			my $name = "$mode, worker $stage, pg_${how}_backend";
			my $mark = join '_', $mode, $stage =~ s/\W+/_/gr, $how;
			$s->send(sprintf $stage{$stage}, $mark);
			my $worker = busy_worker($mon, $mark);
			$mon->run("SELECT pg_${how}_backend($worker)");
			my $r = $s->wait;
			ended_well($r, $how eq 'cancel' ? '57014' : '08006', "$name: the caller's error");
			like($r->{detail}, qr/aborted/, "$name: DETAIL tells the outcome")
			  if $how eq 'terminate';
			is($mon->value("SELECT count(*) FROM t WHERE tag = '$mark'"),
				0, "$name: nothing committed");
			my $next = $s->run('SELECT autonomous_exec($$SELECT 1$$)');
			is($next->{out}, 1, "$name: the next call works") or diag $next->{err};
			isnt(worker_pid($s), $worker, "$name: in a new worker")
			  if $how eq 'terminate';
		}
	}

	# The caller's transaction can catch the loss and go on.
	$s->send(q{DO $$ BEGIN
		INSERT INTO t VALUES ('caught');
		BEGIN PERFORM autonomous_exec('SELECT pg_sleep(600) /* to be caught */');
		EXCEPTION WHEN connection_failure THEN
			PERFORM autonomous_exec($q$INSERT INTO t VALUES ('caught')$q$);
		END; END $$});
	$mon->run('SELECT pg_terminate_backend(' . busy_worker($mon, 'to be caught') . ')');
	ok($s->wait->{ok}, "$mode: a lost worker can be caught by its SQLSTATE");
	is($mon->value(q{SELECT count(*) FROM t WHERE tag = 'caught'}),
		2, "$mode: and the caller calls again and commits");

	# Idle workers.
	my $worker = worker_pid($s);
	$mon->run("SELECT pg_cancel_backend($worker)");
	is($s->run('SELECT autonomous_exec($$SELECT 1$$)')->{out},
		1, "$mode: a cancel sent to an idle worker hits nobody");
	$worker = worker_pid($s);
	$mon->run("SELECT pg_terminate_backend($worker)");
	ok($mon->until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $worker)"),
		"$mode: an idle worker obeys pg_terminate_backend");
	is($s->run('SELECT autonomous_exec($$SELECT 1$$)')->{out},
		1, "$mode: and is replaced without an error");

	# Terminated in the very moment it is borrowed: either outcome, truthfully told.
	my ($untrue, $strange) = (0, 0);
	for my $i (1 .. 30)
	{
		my $r = $s->run("SELECT pg_terminate_backend(@{[worker_pid($s)]});
			SELECT autonomous_exec('INSERT INTO t VALUES (''borrowed'', \$1)', $i)");
		my $row = $mon->value("SELECT count(*) FROM t WHERE tag = 'borrowed' AND n = $i");
		my $told = $r->{ok} ? 1 : $r->{detail} =~ /committed/ ? 1 : 0;
		$strange++ unless $r->{ok} || $r->{sqlstate} eq '08006';
		$untrue++ if $row != $told;
	}
	is($strange, 0, "$mode: borrowed while dying: success or 08006");
	is($untrue,  0, "$mode: borrowed while dying: the outcome told is the outcome");

	# Terminated after its COMMIT was decided: the call of a procedure.
	$node->safe_psql('postgres', q{CREATE PROCEDURE commits() LANGUAGE plpgsql AS
		$$BEGIN INSERT INTO t VALUES ('first half'); COMMIT;
		INSERT INTO t VALUES ('second half'); PERFORM pg_sleep(600); END$$});
	$s->send(q{SELECT autonomous_exec('CALL commits()')});
	$mon->run('SELECT pg_terminate_backend(' . busy_worker($mon, 'commits') . ')');
	ended_well($s->wait, '08006', "$mode: terminated after a COMMIT inside a procedure");
	is($mon->value(q{SELECT string_agg(tag, ',') FROM t WHERE tag LIKE '%half'}),
		'first half', "$mode: what the procedure had committed stays");

	finish_all($s, $lock, $mon);
	$node->stop;
}
done_testing();

# Claim: however a caller ends, at whatever stage of its call, the autonomous
# transaction ends with it, nothing commits late, and the slot is free again.
#
# The pool has a single slot, so the call after each case proves the slot back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

# Each command has already written when it is caught in the named stage.
my %stage = (
	'asleep' => q{SELECT autonomous_exec($$INSERT INTO t VALUES ('%1$s');
		SELECT pg_sleep(600)$$)},
	'waiting for a lock' => q{SELECT autonomous_exec($$INSERT INTO t VALUES ('%1$s');
		LOCK TABLE locked IN ACCESS SHARE MODE$$)},
	'streaming slowly' => q{SELECT count(*) FROM autonomous_query(
		$$WITH w AS (INSERT INTO t VALUES ('%1$s') RETURNING 1)
		SELECT g, pg_sleep(0.02)::text FROM w, generate_series(1, 1000000) g$$)
		AS q(g int, s text)},
	'streaming against a full queue' => q{SELECT count(pg_sleep(0.02)) FROM (
		SELECT autonomous_query_as(NULL::text,
		$$INSERT INTO t VALUES ('%1$s');
		SELECT repeat('x', 100000) FROM generate_series(1, 500)
		UNION ALL SELECT pg_sleep(600)::text$$)) q},
	'sleeping in a deferred trigger' =>
	  q{SELECT autonomous_exec($$INSERT INTO deferred VALUES ('%1$s')$$)},
	'in a body that traps every cancel' => q{SELECT autonomous_exec($c$DO $do$ BEGIN
		INSERT INTO t VALUES ('%1$s');
		LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;
		END $do$ $c$)},
	'in a body that swallows a cancel and returns' => q{SELECT autonomous_exec($c$DO $do$ BEGIN
		INSERT INTO t VALUES ('%1$s');
		PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN
		INSERT INTO t VALUES ('%1$s'); END $do$ $c$)},
);

sub ending
{
	my ($mode, $node, $mon, $stage, $how) = @_;
	my $mark = join '_', $mode, $stage =~ s/\W+/_/gr, $how;
	my $name = "$mode, caller $how, worker $stage";
	my $s    = session($node);
	my $pid  = $s->pid;
	my $sql  = sprintf $stage{$stage}, $mark;

	$s->value(q{SET statement_timeout = '400ms'}) if $how eq 'times out';
	$s->send($sql);
	# A timeout comes by itself; the others when the stage is reached.
	busy_worker($mon, $mark, $stage =~ /full queue/
		? q{wait_event_type IN ('IPC', 'Extension', 'Timeout')} : undef)
	  unless $how eq 'times out';

	if ($how eq 'vanishes')
	{
		$s->kill_client;
	}
	else
	{
		$mon->run("SELECT pg_cancel_backend($pid)")    if $how eq 'is cancelled';
		$mon->run("SELECT pg_terminate_backend($pid)") if $how eq 'is terminated';
		ended_well($s->wait, $how eq 'is terminated' ? '57P01' : '57014', "$name: error");
	}
	# The caller that got its answer was told the end; one that is gone was not.
	ok($mon->until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)", 10),
		"$name: backend gone")
	  if $how =~ /terminated|vanishes/;
	ok(quiet($mon, 10), "$name: transaction over")
	  if $how =~ /terminated|vanishes/;
	is( $mon->value("SELECT (SELECT count(*) FROM t WHERE tag = '$mark')
		+ (SELECT count(*) FROM deferred WHERE tag = '$mark')"),
		0, "$name: nothing committed");
	ok(quiet($mon, 0.5), "$name: worker idle when the error arrives")
	  unless $how =~ /terminated|vanishes/;

	$s->quit;
	# A worker that got away has failed its own case, and is to fail no other.
	$mon->until(q{SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_activity
		WHERE backend_type = 'pg_aside worker' AND xact_start IS NOT NULL});
	$s = session($node);
	is($s->run('SELECT autonomous_exec($$SELECT 1$$)')->{out}, 1, "$name: slot free again");
	$s->quit;
	return;
}

for my $mode ('preloaded', 'private')
{
	my $node = aside_node(
		$mode,
		preload => $mode eq 'preloaded',
		conf    => "aside.max_workers = 1
			client_connection_check_interval = '50ms'");
	$node->safe_psql('postgres', q{
		CREATE TABLE locked ();
		CREATE TABLE deferred (tag text);
		CREATE FUNCTION sleep_long() RETURNS trigger LANGUAGE plpgsql
			AS $$BEGIN PERFORM pg_sleep(600); RETURN NULL; END$$;
		CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON deferred
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sleep_long();
	});
	my $mon  = session($node);
	my $lock = session($node);
	$lock->value('BEGIN; LOCK TABLE locked');

	# A session's earlier statements outlive a cancelled call.
	my $s = session($node);
	$s->send(q{SELECT autonomous_exec('SELECT pg_sleep(600) /* kept */')});
	busy_worker($mon, 'kept');
	$mon->run("SELECT pg_cancel_backend(@{[$s->pid]})");
	ended_well($s->wait, '57014', "$mode: a cancelled call");
	is($s->run('SELECT autonomous_exec($$SELECT 1$$)')->{out}, 1,
		"$mode: the same session calls again");
	$s->quit;

	for my $stage (sort keys %stage)
	{
		ending($mode, $node, $mon, $stage, $_)
		  for ('is cancelled', 'times out', 'is terminated', 'vanishes');
	}
	finish_all($lock, $mon);
	$node->stop;
}
done_testing();

# Claim: whether a caller and its worker wait for each other by polling, on a
# word of shared memory, or on their latches, they hear of a cancel, of their
# end, of a barrier and of the postmaster's death at once; and a worker that was
# kept on its caller's processor may run everywhere again.
#
# Each phase is made to last far longer than anything here may take.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $LIMIT = 40;
my %phase = (
	polling => [ 60_000_000, 0 ],
	napping => [ 0,          60_000 ],
	latched => [ 0,          0 ],
);

sub waiter
{
	my ($node, $phase) = @_;
	my $s = session($node);
	$s->value("SET aside.poll_time = $phase{$phase}[0]");
	$s->value("SET aside.nap_time = $phase{$phase}[1]");
	return $s;
}

sub start_call
{
	my ($s, $mon, $mark) = @_;
	$s->send("SELECT autonomous_exec(\$\$INSERT INTO t VALUES ('$mark'); SELECT pg_sleep(600)\$\$)");
	return busy_worker($mon, $mark);
}

# Everybody has to absorb the barrier of DROP DATABASE.
sub barrier
{
	my ($mon, $name) = @_;
	$mon->value('CREATE DATABASE passing');
	within($LIMIT, sub { $mon->run('DROP DATABASE passing', $LIMIT) }, $name);
	return;
}

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded', conf => "aside.max_workers = 2\n");
	my $mon = session($node);
	for my $phase (sort keys %phase)
	{
		my $name = "$mode, $phase";

		my $s = waiter($node, $phase);
		start_call($s, $mon, "$phase c");
		barrier($mon, "$name: a barrier passes a caller and its worker");
		$mon->run("SELECT pg_cancel_backend(@{[$s->pid]})");
		ended_well($s->wait($LIMIT), '57014', "$name: a cancel reaches the caller", $LIMIT);

		$s->value(q{SET statement_timeout = '500ms'});
		ended_well($s->run(q{SELECT autonomous_exec('SELECT pg_sleep(600)')}, $LIMIT), '57014',
			"$name: a timeout reaches the caller", $LIMIT);
		$s->value('RESET statement_timeout');

		my $worker = worker_pid($s);
		barrier($mon, "$name: a barrier passes a worker that waits for a request");
		$mon->value("SELECT pg_terminate_backend($worker)");
		ok($mon->until("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $worker)", $LIMIT),
			"$name: the worker hears that it is to end");

		$worker = start_call($s, $mon, "$phase w");
		$mon->value("SELECT pg_terminate_backend($worker)");
		ended_well($s->wait($LIMIT), '08006|57P01', "$name: the caller hears that its worker has gone", $LIMIT);

		start_call($s, $mon, "$phase t");
		$mon->run("SELECT pg_terminate_backend(@{[$s->pid]})");
		ended_well($s->wait($LIMIT), '57P01', "$name: the caller hears that it is to end", $LIMIT);
		ok(quiet($mon, $LIMIT), "$name: and so does its worker");
		$s->quit;
	}
	is($mon->value('SELECT count(*) FROM t'), 0, "$mode: nothing was committed");
	$mon->quit;
	$node->stop;
}

# A process that polls looks for nothing else: the poll is what bounds it.
$phase{polling}[0] = 500_000;
for my $phase (sort keys %phase)
{
	my $node = aside_node("orphans_$phase", conf => "aside.max_workers = 2\n");
	my ($s, $idle, $mon) = (waiter($node, $phase), waiter($node, $phase), session($node));
	my @pids = ($s->pid, $idle->pid, start_call($s, $mon, 'orphan'));
	push @pids, worker_pid($idle);
	isnt($pids[2], $pids[3], "$phase: one worker is idle, one is busy");
	$node->kill9;
	my $left = @pids;
	for (1 .. $LIMIT * 10)
	{
		$left = grep { kill 0, $_ } @pids;
		last if $left == 0;
		select undef, undef, undef, 0.1;
	}
	is($left, 0, "$phase: callers and workers end with their postmaster");
	$_->kill_client for $s, $idle, $mon;
}

SKIP:
{
	skip 'no /proc here', 3 unless -r '/proc/self/status';
	my $node = aside_node('processors', conf => "aside.max_workers = 1\n");
	my ($s, $mon) = (session($node), session($node));
	my $allowed = sub {
		my ($pid) = @_;
		return qq{(SELECT substring(pg_read_file('/proc/$pid/status') FROM 'Cpus_allowed:\\s*(\\S+)'))};
	};
	my $worker = worker_pid($s);
	my $all    = $s->value('SELECT ' . $allowed->('self'));
	my $free   = "SELECT '$all' = " . $allowed->($worker);
	$s->value(q{SET aside.poll_time = 0});
	$s->value(q{SELECT count(autonomous_exec('SELECT 1')) FROM generate_series(1, 1000)});
	ok($mon->until($free, $LIMIT), 'a worker that has nothing to do may run everywhere');
	$s->send(q{SELECT autonomous_exec('SELECT pg_sleep(600) /* long */')});
	busy_worker($mon, 'long');
	ok($mon->until($free, $LIMIT), 'and so may one that takes long');
	$mon->run("SELECT pg_cancel_backend(@{[$s->pid]})");
	$s->wait;
	is($s->value(q{SELECT count(*) FROM autonomous_query('SELECT repeat($$x$$, 1000) FROM generate_series(1, 20000)') AS q(x text)}),
		20000, 'and one with many rows');
	ok($mon->until($free, $LIMIT), 'when they have been read, too');
	finish_all($s, $mon);
	$node->stop;
}
done_testing();

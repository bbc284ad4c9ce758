# Claim: after kill -9 of a worker, of a caller, or of the server nothing that
# committed is lost, nothing that did not is found, and calls work again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

# The crash restart ends every session: wait for the end of these.
sub ends
{
	for my $s (@_)
	{
		1 while $s->run('SELECT 1')->{ok};
	}
	finish_all(@_);
	return;
}

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded',
		conf => "restart_after_crash = on\nremove_temp_files_after_crash = on\n");
	my $known = 0;

	# A session that commits one row and is then caught in a second call.
	my $caught = sub {
		my $mon = session($node);
		my $s   = session($node);
		$s->value(q{SELECT autonomous_exec('INSERT INTO t VALUES (''kept'', $1)', 1)});
		$known++;
		$s->send(q{SELECT autonomous_exec($$INSERT INTO t VALUES ('lost');
			SELECT pg_sleep(600)$$)});
		return ($mon, $s, busy_worker($mon, 'lost'));
	};
	my $after = sub {
		my ($what) = @_;
		$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
		  or die "$what: the cluster did not come back";
		my $s = session($node);
		is($s->value(q{SELECT count(*) FROM t WHERE tag = 'kept'}),
			$known, "$mode, $what: committed rows are there");
		is($s->value(q{SELECT count(*) FROM t WHERE tag = 'lost'}),
			0, "$mode, $what: the unfinished row is not");
		my $r = $s->run('SELECT autonomous_exec($$SELECT 1$$)');
		is($r->{out}, 1, "$mode, $what: calls work again") or diag $r->{err};
		is( $s->value(q{SELECT count(*) FROM aside.workers WHERE pid IS NOT NULL AND pid NOT IN
			(SELECT pid FROM pg_stat_activity)}), 0, "$mode, $what: no slot of the dead is left");
		$s->quit;
	};

	my ($mon, $s, $worker) = $caught->();
	kill 'KILL', $worker;
	my $r = $s->wait;
	ok($r->{gone} || !$r->{ok}, "$mode: kill -9 of a busy worker ends its caller's session");
	ends($mon, $s);
	$after->('kill -9 of a busy worker');

	($mon, $s, $worker) = $caught->();
	kill 'KILL', $s->pid;
	ends($mon, $s);
	$after->('kill -9 of the caller');

	$s      = session($node);
	$worker = worker_pid($s);
	kill 'KILL', $worker;
	ends($s);
	$after->('kill -9 of an idle worker');

	($mon, $s, $worker) = $caught->();
	within(5, sub { $node->stop('immediate') }, "$mode: immediate shutdown in the middle of a call");
	finish_all($mon, $s);
	$node->start;
	$after->('immediate shutdown');

	# Death of the postmaster: nobody may live on in a dead cluster.
	($mon, $s, $worker) = $caught->();
	my $idle = session($node);
	my @pids = ($worker, worker_pid($idle), $s->pid);
	$node->kill9;
	my $deadline = time + 15;
	my @alive;
	while ((@alive = grep { kill 0, $_ } @pids) && time < $deadline)
	{
		select(undef, undef, undef, 0.02);
	}
	is("@alive", '', "$mode: workers and callers leave a server whose postmaster died");
	finish_all($mon, $s, $idle);
	$node->start;
	$after->('death of the postmaster');
	$node->stop;
}
done_testing();

# Claims: idle workers leave after aside.worker_idle_timeout, but for
# aside.min_workers of them; a server without background worker slots says so.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $one   = 'SELECT autonomous_exec($$SELECT 1$$)';
my $count = q{SELECT count(*) = %d FROM pg_stat_activity WHERE backend_type = 'pg_aside worker'};

sub two_workers
{
	my ($mon, @s) = @_;
	$_->send('SELECT autonomous_exec($$SELECT pg_sleep(600)$$)') for @s;
	my $ok = $mon->until(sprintf $count, 2);
	$mon->until(q{SELECT count(*) = 2 FROM pg_stat_activity
		WHERE backend_type = 'pg_aside worker' AND wait_event = 'PgSleep'});
	for my $s (@s)
	{
		$mon->run("SELECT pg_cancel_backend(@{[$s->pid]})");
		$s->wait;
	}
	return $ok;
}

# ---- idle exit

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded',
		conf => "aside.worker_idle_timeout = '300ms'\n");
	my $mon = session($node);
	my @s   = map { session($node) } 1 .. 2;
	$_->pid for @s;
	ok(two_workers($mon, @s), "$mode: two calls at once have two workers");
	ok($mon->until(sprintf($count, 0), 10), "$mode: idle workers leave");
	is($s[0]->run($one)->{out}, 1, "$mode: a call after that starts a new one");
	$mon->until(sprintf $count, 0);
	is( $s[0]->value(q{SELECT count(*) FROM aside.workers WHERE pid IS NOT NULL}),
		0, "$mode: aside.workers forgets those that left");

	# A worker in use is not idle, however long its call takes.
	is( $s[0]->run('SELECT autonomous_exec($$SELECT pg_sleep(1)$$)')->{out},
		1, "$mode: a call may take longer than the idle timeout");

	if ($mode eq 'preloaded')
	{
		$mon->value('ALTER SYSTEM SET aside.min_workers = 1');
		$mon->value('SELECT pg_reload_conf()');
		$_->until(q{SELECT current_setting('aside.min_workers') = '1'}) for $mon, @s;
		ok(two_workers($mon, @s), 'min_workers: two workers once more');
		ok($mon->until(sprintf($count, 1), 10), 'min_workers: all but one leave');
		my $kept = worker_pid($s[0]);
		# Nothing is to happen, so there is nothing to wait for but time.
		select(undef, undef, undef, 1.2);
		is(worker_pid($s[1]), $kept, 'min_workers: that one stays, and serves');
	}
	finish_all(@s, $mon);
	$node->stop;
}

# ---- max_worker_processes exhausted

for my $mode ('preloaded', 'private')
{
	# The only slot left: without the launcher of logical replication there is no other user.
	# Preloaded, the launcher has one; coordinators are not to compete for the other.
	my $slots = $mode eq 'preloaded' ? 2 : 1;
	my $node = aside_node($mode . '_no_slots', preload => $mode eq 'preloaded',
		conf => "max_worker_processes = $slots\naside.databases = ''\naside.reserved_coordinators = 0\nmax_logical_replication_workers = 0\n"
		  . "aside.checkout_timeout = '300ms'\n");
	my ($mon, $s1, $s2) = map { session($node) } 1 .. 3;
	$s1->send('SELECT autonomous_exec($$SELECT pg_sleep(600) /* holds */$$)');
	busy_worker($mon, 'holds');
	my $r = $s2->run($one);
	ended_well($r, '53400', "$mode: max_worker_processes exhausted is 53400");
	like($r->{hint}, qr/\bmax_worker_processes\b/, "$mode: the hint names it");
	$mon->run("SELECT pg_cancel_backend(@{[$s1->pid]})");
	$s1->wait;
	$s1->quit;
	$r = $s2->run("SET aside.checkout_timeout = '20s'; $one");
	is($r->{out}, 1, "$mode: a later call finds the freed slot") or diag $r->{err};
	finish_all($s2, $mon);
	$node->stop;
}
done_testing();

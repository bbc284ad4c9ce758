# Claims about the pool: its bound, the bounded wait and what the error names,
# the limits per role and per session, retirement for another key, and that a
# nested call never waits for its own ancestors.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $one = 'SELECT autonomous_exec($$SELECT 1$$)';

sub sleeper
{
	my ($mon, $mark, $s) = @_;
	$s->send("SELECT autonomous_exec('SELECT pg_sleep(600) /* $mark */')");
	busy_worker($mon, $mark);
	return $s;
}

sub cancel
{
	my ($mon, @sleepers) = @_;
	for my $s (@sleepers)
	{
		$mon->run("SELECT pg_cancel_backend(@{[$s->pid]})");
		$s->wait;
	}
	return;
}

sub exhausted
{
	my ($r, $setting, $name, $limit) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ended_well($r, '53400', "$name: 53400", $limit);
	like($r->{hint}, qr/\Q$setting\E\b/, "$name: the hint names $setting");
	return;
}

my $node = aside_node('pool', conf => "aside.max_workers = 2\n");
$node->safe_psql('postgres', q{
	CREATE ROLE u1 LOGIN; CREATE ROLE u2 LOGIN; GRANT aside_user TO u1, u2;
	CREATE DATABASE other;
});
$node->safe_psql('other', 'CREATE EXTENSION pg_aside');
my $mon = session($node);
$_->pid for my ($s1, $s2, $s3, $s4) = map { session($node) } 1 .. 4;

# ---- all slots taken

sleeper($mon, 'first',  $s1);
sleeper($mon, 'second', $s2);
my $r = $s3->run("SET aside.checkout_timeout = '300ms'; $one");
exhausted($r, 'aside.max_workers', 'all slots taken');
cmp_ok($r->{secs}, '>=', 0.3, 'not before aside.checkout_timeout');
is($s3->run('SELECT 1')->{out}, 1, 'the refused session goes on');

$s3->value(q{SET aside.checkout_timeout = '60s'});
$s4->value(q{SET aside.checkout_timeout = '60s'});
$_->send($one) for $s3, $s4;
my $waiting = sub {
	return $mon->until(sprintf q{SELECT count(*) = %d FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND state = 'active'
		AND wait_event_type IN ('IPC', 'Extension')}, @_);
};
ok($waiting->(4), 'two callers wait for two that hold the slots');
ok(!$s3->ended && !$s4->ended, 'and keep waiting');
cancel($mon, $s1);
is($_->wait(15)->{out}, 1, 'a freed slot serves a waiting caller') for $s3, $s4;

sleeper($mon, 'third', $s1);
$s4->send($one);
$waiting->(3);
$mon->run("SELECT pg_cancel_backend(@{[$s4->pid]})");
ended_well($s4->wait, '57014', 'a caller that waits for a slot can be cancelled', 3);
$s4->value(q{SET statement_timeout = '200ms'});
ended_well($s4->run($one), '57014', 'and times out by statement_timeout', 3);
$s4->send($one);
$mon->run("SELECT pg_terminate_backend(@{[$s4->pid]})");
ended_well($s4->wait, '57P01|57014', 'and be terminated', 3);
cancel($mon, $s1, $s2);
is($_->run($one)->{out}, 1, 'all slots are back') for $s1, $s2, $s3;

# ---- nesting on a small pool

my $deep = 'SELECT autonomous_exec($a$SELECT autonomous_exec($b$SELECT '
  . 'autonomous_exec($c$SELECT 1$c$)$b$)$a$)';
my $two_deep = 'SELECT autonomous_exec($a$SELECT autonomous_exec($b$SELECT 1 /* nested */$b$)$a$)';
$s1->value(q{SET aside.checkout_timeout = '60s'});
exhausted($s1->run($deep), 'aside.max_workers', 'only its own ancestors hold the pool', 3);
is($s1->run($two_deep)->{out}, 1, 'and the shallower call fits');

sleeper($mon, 'stranger', $s2);
$s1->send($two_deep);
$mon->until(q{SELECT count(*) FILTER (WHERE xact_start IS NOT NULL) = 2 FROM pg_stat_activity
	WHERE backend_type = 'pg_aside worker'});
cancel($mon, $s2);
is($s1->wait(15)->{out}, 1, 'a nested call does wait for a stranger');

$_->value(q{SET aside.checkout_timeout = '2s'}) for $s1, $s2;
my $pair = 'SELECT autonomous_exec($a$SELECT pg_sleep(0.5); SELECT autonomous_exec($b$SELECT 1$b$)$a$)';
$_->send($pair) for $s1, $s2;
for my $r ($s1->wait(20), $s2->wait(20))
{
	ok($r->{ok} || $r->{sqlstate} =~ /^(?:53400|40P01)$/,
		'two nested calls that starve each other both end') or diag $r->{err};
}

# ---- one idle worker of another key makes room

finish_all($s4);
my $other = session($node, db => 'other');
my $u1    = session($node, user => 'u1');
my $u2    = session($node, user => 'u2');
for my $s ($s1, $other, $u1, $u2, $s1, $u2)
{
	$r = $s->run($one);
	is($r->{out}, 1, 'an idle worker of another key is retired when its slot is needed');
	cmp_ok($r->{secs}, '<', 2, 'without waiting for its idle timeout');
}
cmp_ok( $mon->value(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_aside worker'}),
	'<=', 2, 'and the pool keeps its bound');

# ---- limits

$mon->value('ALTER SYSTEM SET aside.max_workers_per_role = 1');
$mon->value('SELECT pg_reload_conf()');
my $u1b = session($node, user => 'u1');
for my $s ($u1, $u2, $u1b)
{
	$s->until(q{SELECT current_setting('aside.max_workers_per_role') = '1'});
	$s->value(q{SET aside.checkout_timeout = '300ms'});
}
sleeper($mon, 'per role', $u1);
exhausted($u1b->run($one), 'aside.max_workers_per_role', 'the limit of a role');
is($u2->run($one)->{out}, 1, 'leaves other roles alone');
cancel($mon, $u1);
is($u1b->run($one)->{out}, 1, 'and ends with the call');
$mon->value('ALTER SYSTEM RESET aside.max_workers_per_role');
$mon->value('SELECT pg_reload_conf()');

$s1->value(q{SET aside.max_workers_per_session = 1; SET aside.checkout_timeout = '60s'});
exhausted($s1->run($two_deep), 'aside.max_workers_per_session',
	'the limit of a session counts its nested calls, which never wait for it', 3);
is($s1->run($one)->{out}, 1, 'one call is within a limit of one');
finish_all($s1, $s2, $s3, $u1, $u1b, $u2, $other, $mon);
$node->stop;

# ---- not preloaded, the bound is the session's

$node = aside_node('private_pool', preload => 0, conf => "aside.max_workers = 2\n");
($s1, $s2) = map { session($node) } 1 .. 2;
$s1->value(q{SET aside.checkout_timeout = '60s'});
$r = $s1->run($deep);
ok(($r->{ok} || $r->{sqlstate} eq '53400') && $r->{secs} < 3, 'private: a deep call waits for none of its own')
  or diag $r->{err};
is($s1->run($two_deep)->{out}, 1, 'private: and the shallower call fits');
is($s2->run($two_deep)->{out}, 1, 'private: each session has its own bound');
finish_all($s1, $s2);
$node->stop;
done_testing();

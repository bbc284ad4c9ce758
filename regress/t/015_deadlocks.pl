# Claim: cycles of three sessions, two cycles at once, and cycles in the middle of a
# stream of rows each cost exactly one autonomous transaction, within deadlock_timeout
# and a second or so; a caller that is cancelled while it looks leaves nothing behind.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;
use Time::HiRes qw(usleep);

my $node = aside_node('knots', conf => "aside.max_workers = 8\ndeadlock_timeout = '300ms'\n");
my $mon = session($node);

# A transaction that holds the lock $has until it ends, and calls for $wants as soon as all of @all are held. Says how the
# call ended.
$node->safe_psql('postgres', q{
	CREATE FUNCTION held(keys int[]) RETURNS boolean LANGUAGE sql AS $$
		SELECT count(DISTINCT objid) = cardinality(keys) FROM pg_locks
		WHERE locktype = 'advisory' AND granted AND objid = ANY (keys::oid[]) $$;
	CREATE FUNCTION link(has int, wants int, keys int[]) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		d text;
	BEGIN
		PERFORM pg_advisory_xact_lock(has);
		WHILE NOT held(keys) LOOP PERFORM pg_sleep(0.005); END LOOP;
		PERFORM autonomous_exec('INSERT INTO t VALUES ($1, $2); SELECT pg_advisory_xact_lock($3)', 'link'::text, has, wants);
		RETURN 'done';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
		RETURN SQLSTATE || ' ' || (SELECT count(*) FROM regexp_matches(d, 'Process \d+ waits for', 'g'));
	END $$;
});

# Each session holds one lock and wants the next one's; the last wants the first's.
sub ring
{
	my ($from, $size) = @_;
	my @keys = ($from .. $from + $size - 1);
	my $all = 'ARRAY[' . join(',', @keys) . ']';
	return map {
		my $s = session($node);
		my $wants = $_ == $keys[-1] ? $from : $_ + 1;
		$s->send("SELECT link($_, $wants, $all)");
		$s
	} @keys;
}

sub broken_once
{
	my ($what, @ring) = @_;
	my @r = map { $_->wait(20) } @ring;
	my @said = sort map { $_->{out} } @r;
	my $steps = 2 * @ring;
	is_deeply(\@said, [ "40P01 $steps", ('done') x (@ring - 1) ], "$what: one victim, whose report tells of all $steps waits");
	my ($slowest) = sort { $b <=> $a } map { $_->{secs} } @r;
	cmp_ok($slowest, '<', 10, "$what: in time");
	finish_all(@ring);
	return;
}

for my $size (2, 3, 4)
{
	$mon->value('TRUNCATE t');
	broken_once("a ring of $size", ring(100 * $size, $size));
	is($mon->value(q{SELECT count(*) FROM t WHERE tag = 'link'}), $size - 1, "a ring of $size: the victim's row is gone, the others' are there");
}

# two at once
{
	my @one = ring(1000, 2);
	my @two = ring(2000, 2);
	broken_once('the first of two rings', @one);
	broken_once('the second of two rings', @two);
}

# a worker that has sent thousands of rows before it meets its caller's lock
{
	my $s = session($node);
	$s->value('BEGIN; SELECT pg_advisory_xact_lock(1)');
	my $r = $s->run(q{SELECT count(*) FROM autonomous_query($$
		SELECT g, CASE WHEN g = 50000 THEN pg_advisory_xact_lock(1)::text END FROM generate_series(1, 100000) g $$) AS (g int, x text)});
	is($r->{sqlstate}, '40P01', 'in the middle of a stream');
	cmp_ok($r->{secs}, '<', 5, 'in the middle of a stream: in time');
	finish_all($s);
}

# a buffer that another session has pinned is waited for, however long: it lets go of it
$mon->value('CREATE TABLE pinned (id int, x text); CREATE TABLE pinned2 (LIKE pinned)');
# Rows that are not frozen, but older than all snapshots; and a pin on their page.
my $fill = 'TRUNCATE %1$s; INSERT INTO %1$s SELECT g FROM generate_series(1, 100) g';
my $pin = 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM %s; FETCH 1 FROM c';
sub waits_for_pin
{
	return $mon->until(q{SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE backend_type = 'pg_aside worker' AND wait_event = 'BufferPin')});
}
{
	my ($s, $other) = (session($node), session($node));
	$mon->value(sprintf $fill, 'pinned');
	$other->value(sprintf $pin, 'pinned');
	$s->send(q{SELECT autonomous_exec('VACUUM (FREEZE) pinned')});
	ok(waits_for_pin(), "another's pin is waited for");
	usleep(1_500_000);    # several looks
	ok(!$s->ended, "another's pin is no deadlock");
	$other->value('COMMIT');
	ok($s->wait->{ok}, "another's pin: when it goes, the call goes on");
	finish_all($s, $other);
}

# two sessions whose calls wait for the pin of the other one's cursor
{
	my @s = (session($node), session($node));
	$mon->value(sprintf $fill, $_) for 'pinned', 'pinned2';
	$s[0]->value(sprintf $pin, 'pinned');
	$s[1]->value(sprintf $pin, 'pinned2');
	$s[0]->send(q{SELECT autonomous_exec('VACUUM (FREEZE) pinned2')});
	$s[1]->send(q{SELECT autonomous_exec('VACUUM (FREEZE) pinned')});
	# The victim's error drops its cursor.
	my @r = map { $_->wait } @s;
	is(join(' ', sort map { $_->{sqlstate} // 'done' } @r), '40P01 done', 'pins crosswise: one is the victim, the other one goes on');
	my ($slowest) = sort { $b <=> $a } map { $_->{secs} } @r;
	cmp_ok($slowest, '<', 8, 'pins crosswise: in time');
	finish_all(@s);
}

# what all processes have to take note of does not wait for a session whose rows nobody reads
{
	my $s = session($node);
	$mon->value('CREATE DATABASE gone');
	$s->value(q{SELECT autonomous_session_open('s'); SELECT autonomous_session_send('s', $$SELECT repeat('x', 10000000)$$)});
	$s->value(q{SELECT pg_sleep(0.01) WHERE autonomous_session_is_busy('s')}) for 1 .. 20;
	ok($s->run(q{SELECT autonomous_exec('DROP DATABASE gone')}, 20)->{ok}, 'DROP DATABASE does not wait for a session that stalls');
	finish_all($s);
}

# cancelled while it looks: the chain is none of its making, and it would wait for long
{
	my ($s, $other) = (session($node), session($node));
	$other->value('BEGIN; SELECT pg_advisory_xact_lock(7)');
	$s->send(q{SELECT autonomous_exec($$INSERT INTO t VALUES ('lost', 1); SELECT pg_advisory_xact_lock(7) /* looks */$$)});
	busy_worker($mon, 'looks');
	usleep(700_000);    # two looks in vain
	$mon->value('SELECT pg_cancel_backend(' . $s->pid . ')');
	my $r = $s->wait;
	is($r->{sqlstate}, '57014', 'cancelled while it looks');
	$other->value('COMMIT');
	quiet($mon);
	is($mon->value(q{SELECT count(*) FROM t WHERE tag = 'lost'}), 0, 'cancelled while it looks: nothing is committed');
	finish_all($s, $other);
}

is($mon->value(q{SELECT count(*) FROM aside.workers WHERE state NOT IN ('idle', 'leaving')}), 0, 'no worker is left taken');
finish_all($mon);
$node->stop;
done_testing();

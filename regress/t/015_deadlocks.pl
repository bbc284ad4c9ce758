# Claim: cycles of three sessions, two cycles at once, and cycles in the middle of a
# stream of rows each cost exactly one autonomous transaction, within deadlock_timeout
# and a second or so; a caller that is cancelled while it looks leaves nothing behind. In a storm of tasks that wait for tasks,
# deadlocks are found while others form. The storm does not show that a look goes on with the chain that it suspects: without
# that the storm only lasts longer. rust-core/src/pool/waits.rs tests it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use IPC::Run ();
use PostgreSQL::Test::Utils qw(append_to_file slurp_file);
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

# A storm: forty clients whose tasks wait for tasks, over the same few rows and locks. One cycle is formed after the other,
# so that a statement may wait for long; but never do all of them stand still for longer than it takes to find one.
my $storm = aside_node('storm', conf => q{
	aside.max_workers = 150
	max_worker_processes = 160
	aside.queue_size = 64
	max_connections = 60
	log_min_messages = panic
	deadlock_timeout = '100ms'});
$storm->safe_psql('postgres', 'CREATE TABLE r AS SELECT g AS id, 0 AS n FROM generate_series(1, 12) g; ALTER TABLE r ADD PRIMARY KEY (id)');
my $script = $storm->basedir . '/storm.sql';
append_to_file($script, join("\n", map("\\set $_ random(1, 12)", qw(a b c d)), q{BEGIN;
SELECT pg_advisory_xact_lock(:a);
UPDATE r SET n = n + 1 WHERE id = :b;
SELECT async_wait_any(ARRAY[
	async_exec('SELECT pg_advisory_xact_lock($1), async_wait(async_exec(''UPDATE r SET n = n + 1 WHERE id = $1'', $2))', :b::bigint, :c::int),
	async_exec('UPDATE r SET n = n + 1 WHERE id = $1; SELECT async_wait_any(ARRAY[async_exec(''SELECT pg_advisory_xact_lock($1)'', $2)])', :d::int, :c::bigint)]);
SELECT pg_advisory_xact_lock(:c);
COMMIT;
}) =~ s/\n\t+/ /gr);
my $log = $storm->basedir . '/ends';
my ($out, $err) = ('', '');
IPC::Run::run([ $storm->installed_command('pgbench'), '-n', '-c', 40, '-j', 2, '-T', 10, '--failures-detailed', '-l', "--log-prefix=$log",
		'-f', $script, '-d', $storm->connstr('postgres') ], '>', \$out, '2>', \$err);
my @ends = map { my @f = split / /; $f[4] + $f[5] / 1e6 } map { split /\n/, slurp_file($_) } glob "$log.*";
cmp_ok(scalar @ends, '>', 40, 'a storm: it goes on');
# Clients that have gone have left tasks.
push @ends, split /\n/, $storm->safe_psql('postgres', 'SELECT extract(epoch FROM finished) FROM aside.tasks WHERE finished IS NOT NULL');
@ends = sort { $a <=> $b } @ends;
my $still = 0;
for (1 .. $#ends) { $still = $ends[$_] - $ends[ $_ - 1 ] if $ends[$_] - $ends[ $_ - 1 ] > $still }
like($out, qr/deadlock failures: [1-9]/, 'a storm: there were deadlocks');
cmp_ok($still, '<', 5, 'a storm: never do all stand still')
  or note join(' ', map { sprintf '%.1f', $_ - $ends[0] } @ends), "\n$out\n", substr($err, 0, 2000);
$storm->stop;
done_testing();

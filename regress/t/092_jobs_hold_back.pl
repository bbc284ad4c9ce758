# Claim: a job holds back while sessions are active, while much WAL is written, while the machine is loaded, and outside of its window; it says
# for what it waits, and goes on by itself.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(usleep);

my $node = aside_node('throttled', conf => 'max_wal_size = 64MB');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE work (id int PRIMARY KEY);
INSERT INTO work SELECT g FROM generate_series(1, 100) g;
CREATE TABLE ledger (job text, id int);
CREATE TABLE gate (open boolean);
INSERT INTO gate VALUES (false);
-- Writes WAL, or only runs, until the gate is open.
CREATE PROCEDURE busy(writes boolean) LANGUAGE plpgsql AS $$
BEGIN
	WHILE NOT (SELECT open FROM gate) LOOP
		IF writes THEN PERFORM pg_logical_emit_message(false, 'noise', repeat('x', 100000)); END IF;
		COMMIT;
	END LOOP;
END $$;
SQL
my $mon = session($node);

sub start
{
	my ($name, $throttle) = @_;
	$mon->run(qq{SELECT parallel_start('$name', 'INSERT INTO ledger SELECT ''$name'', id FROM work WHERE id BETWEEN \$1 AND \$2; SELECT pg_sleep(0.02)',
		'work', chunk_rows => 2, workers => 1, throttle => '$throttle')});
	return;
}

sub waits
{
	my ($name, $for) = @_;
	ok($mon->until("SELECT coalesce(waits_for = '$for', false) AND chunks_running = 0 FROM aside.parallel_jobs WHERE name = '$name'", 60), "a job waits for $for");
	is($mon->value("SELECT state || ' ' || (chunks_done < 50) FROM aside.parallel_jobs WHERE name = '$name'"), 'running true', 'and is not through');
	return;
}

sub goes_on
{
	my ($name) = @_;
	ok($mon->until("SELECT state = 'done' AND waits_for IS NULL FROM aside.parallel_jobs WHERE name = '$name'", 120), 'it goes on by itself');
	is($mon->value("SELECT count(*) || ' ' || count(DISTINCT id) FROM ledger WHERE job = '$name'"), '100 100', 'and has done each row once');
	return;
}

# Sessions that are at something.
$mon->run('SELECT pg_advisory_lock(1)');
my @busy = map { session($node) } 1 .. 3;
$_->send('SELECT pg_advisory_xact_lock_shared(1)') for @busy;
ok($mon->until(q{SELECT count(*) = 3 FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event = 'advisory'}), 'three sessions are active');
start('sessions', '{"max_active_sessions": 2}');
waits('sessions', 'active sessions');
is($mon->value("SELECT count(*) FROM ledger WHERE job = 'sessions'"), 0, 'it has done nothing meanwhile');
$mon->run('SELECT pg_advisory_unlock(1)');
$_->wait for @busy;
goes_on('sessions');

# Somebody writes much WAL. The first look knows no rate: until the second one, a second later, chunks begin.
$busy[0]->send('CALL busy(true)');
start('wal', '{"max_wal_rate": "64 kB"}');
waits('wal', 'WAL rate');
$mon->run('UPDATE gate SET open = true');
$busy[0]->wait;
goes_on('wal');

# A machine that has much to do.
SKIP:
{
	my $load = sub { open(my $f, '<', '/proc/loadavg') or return; return (split ' ', <$f>)[0] };
	skip('there is no /proc/loadavg', 5) unless defined $load->();
	$mon->run('UPDATE gate SET open = false');
	$_->send('CALL busy(false)') for @busy;
	for (1 .. 600) { last if $load->() > 0.7; usleep(100_000) }
	cmp_ok($load->(), '>', 0.5, 'the machine is loaded');
	start('load', '{"max_load": 0.5}');
	waits('load', 'load');
	$mon->run('UPDATE gate SET open = true');
	$_->wait for @busy;
	# Others may load this machine, too.
	my $done = $load->() < 1.5 && $mon->until("SELECT state = 'done' FROM aside.parallel_jobs WHERE name = 'load'", 120);
	skip('others load this machine', 2) unless $done;
	goes_on('load');
}

# A window that is far away, and one that opens soon.
my $window = sub {
	my ($from, $hours) = @_;
	return $mon->value(qq{SELECT jsonb_build_object('window', jsonb_build_object('timezone', 'Asia/Kathmandu', 'from', f::time, 'to', (f + interval '$hours h')::time))
		FROM (SELECT timestamptz '$from' AT TIME ZONE 'Asia/Kathmandu') AS t (f)});
};
start('far', $window->($mon->value(q{SELECT date_trunc('second', clock_timestamp()) + interval '6 h'}), 1));
my $opens = $mon->value(q{SELECT date_trunc('second', clock_timestamp()) + interval '3 s'});
start('soon', $window->($opens, 8));
waits('far', 'time window');
goes_on('soon');
is($mon->value("SELECT min(started) >= timestamptz '$opens' FROM aside.parallel_chunks WHERE job = 'soon'"), 't', 'its first chunk began when the window was open');
waits('far', 'time window');
is($mon->value("SELECT count(*) FROM ledger WHERE job = 'far'"), 0, 'the other has done nothing');
is($mon->value("SELECT parallel_cancel('far')"), 't', 'it can be cancelled');
ok($mon->until("SELECT waits_for IS NULL FROM aside.parallel_jobs WHERE name = 'far'"), 'and then waits for nothing');

finish_all($mon, @busy);
$node->stop('fast');
done_testing();

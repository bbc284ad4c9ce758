# Claim: a job leaves the last worker to calls, and gives way to events and schedules: while others wait for a worker, it begins one chunk at most.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = aside_node('busy', conf => <<'CONF');
aside.max_workers = 3
aside.checkout_timeout = 60s
CONF
my $mon = session($node);
$mon->run($_) for split /;;/, <<'SQL';
CREATE TABLE work (id int PRIMARY KEY);;
INSERT INTO work SELECT g FROM generate_series(1, 40) g;;
CREATE TABLE ledger (what text, id int, at timestamptz DEFAULT clock_timestamp());;
CREATE TABLE gate (open int);;
INSERT INTO gate VALUES (0);;
-- Those up to this number may pass.
CREATE FUNCTION passes(id int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	WHILE (SELECT open FROM gate) < id LOOP PERFORM pg_sleep(0.01); END LOOP;
	RETURN id;
END $$;;
SELECT parallel_start('greedy', 'INSERT INTO ledger SELECT ''chunk'', passes(id) FROM work WHERE id BETWEEN $1 AND $2', 'work', chunk_rows => 1, workers => 3)
SQL
my $running = "(SELECT chunks_running FROM aside.parallel_jobs WHERE name = 'greedy')";

# As many as there are, but one.
ok($mon->until("SELECT $running = 2"), 'a job has two of three workers');
my $s = session($node);
for my $n (1 .. 20)
{
	is($s->value("SELECT n FROM autonomous_query('SELECT $n') AS r (n int)"), $n, 'a call finds the third') if $n % 10 == 0;
	$s->value("SELECT autonomous_exec('INSERT INTO ledger VALUES (''call'', $n)')") if $n % 10;
}
is($mon->value("SELECT $running"), 2, 'and the job has not taken it meanwhile');

# Events wait for a worker. The job's next chunk waits for them, not they for it.
$mon->run(q{SELECT async_event_on('c', command => 'INSERT INTO ledger SELECT ''event'', (SELECT passes(100)) WHERE $1 IS NOT NULL', concurrency => 2)});
$mon->run(q{SELECT count(async_event_emit('c', to_jsonb(g))) FROM generate_series(1, 6) g});
ok($mon->until(q{SELECT count(*) = 6 FROM aside.events WHERE channel = 'c' AND state = 'waiting'}), 'events wait, for a job has the workers');
$mon->run('UPDATE gate SET open = 1');
ok($mon->until(q{SELECT count(*) = 1 FROM aside.events WHERE channel = 'c' AND state = 'running'}), 'the worker of a chunk that ends is for an event');
$mon->run('UPDATE gate SET open = 2');
ok($mon->until(q{SELECT count(*) = 2 FROM aside.events WHERE channel = 'c' AND state = 'running'}), 'and so is the next one');
is($mon->value("SELECT $running"), 0, 'the job has none');
is($mon->value(q{SELECT count(*) FROM ledger WHERE what = 'chunk'}), 2, 'and has begun nothing else');
$mon->run('UPDATE gate SET open = 100');
ok($mon->until(q{SELECT state = 'done' FROM aside.parallel_jobs WHERE name = 'greedy'}), 'when they are handled, it goes on');
ok($mon->until(q{SELECT count(*) = 6 FROM ledger WHERE what = 'event'}), 'all events are handled');
is($mon->value(q{SELECT string_agg(DISTINCT what || ' ' || n, ', ' ORDER BY what || ' ' || n) FROM (SELECT what, count(*) AS n FROM ledger GROUP BY what, id) l WHERE what = 'chunk'}),
	'chunk 1', 'each chunk is done once');

finish_all($s, $mon);
$node->stop('fast');
done_testing();

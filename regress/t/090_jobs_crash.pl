# Claim: whatever process dies at whatever moment, a job does each row exactly once; it goes on by itself after a crash, after the
# promotion of a standby, and where a dump of it was restored.
# ASIDE_TEST_SECONDS: how long things die; 10 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{ASIDE_TEST_SECONDS} || 10;
my $rows = 2000 * $seconds;
seed();
my $node = aside_node('jobs', streaming => 1, conf => <<'CONF');
restart_after_crash = on
max_worker_processes = 24
CONF
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE work (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO work SELECT g FROM generate_series(1, $rows) g;
CREATE TABLE ledger (job text, id int);
CREATE FUNCTION counted(job text) RETURNS text LANGUAGE sql AS \$\$
	SELECT concat_ws(' ', count(*), count(DISTINCT l.id), (SELECT count(*) FROM work)) FROM ledger l WHERE l.job = counted.job \$\$;
SQL
my $command = q{INSERT INTO ledger SELECT '%s', id FROM work WHERE id BETWEEN $1 AND $2; UPDATE work SET times = times + 1 WHERE id BETWEEN $1 AND $2; SELECT pg_sleep(0.01)};

sub start
{
	my ($name, $rows_of_chunk) = @_;
	my $of = sprintf $command, $name;
	$node->safe_psql('postgres', qq{SELECT parallel_start('$name', \$c\$$of\$c\$, 'work', chunk_rows => $rows_of_chunk, workers => 3)});
	return;
}

sub is_once
{
	my ($name, $what) = @_;
	is($node->safe_psql('postgres', qq{SELECT counted('$name')}), "$rows $rows $rows", $what);
	is($node->safe_psql('postgres', qq{SELECT state, chunks_failed, chunks_waiting, chunks_running FROM aside.parallel_jobs WHERE name = '$name'}),
		'done|0|0|0', 'and the job is done');
	return;
}

# Any process dies at any moment, and the whole server now and then.
start('dies', 10);
my $until = time + $seconds;
my $deaths = 0;
my $crashes = 0;
while (time < $until)
{
	usleep(int(rand(500_000)));
	if (rand() < 0.1)
	{
		if (rand() < 0.5)
		{
			# Processes whose postmaster was killed end by themselves; until then no server can start.
			$node->kill9;
			for (1 .. 600)
			{
				last if system('pg_ctl', '-s', '-w', '-D', $node->data_dir, '-l', $node->logfile, 'start') == 0;
				usleep(100_000);
			}
			$node->_update_pid(1);
		}
		else
		{
			$node->stop('immediate');
			$node->start;
		}
		$crashes++;
		next;
	}
	my $pid = eval { $node->safe_psql('postgres',
		q{SELECT pid FROM pg_stat_activity WHERE backend_type ~ '^pg_aside (worker|coordinator|launcher)' ORDER BY random() LIMIT 1}) } || next;
	kill(rand() < 0.4 ? 'KILL' : 'TERM', $pid) and $deaths++;
	usleep(100_000);
	$node->poll_query_until('postgres', 'SELECT true');
}
cmp_ok($deaths + $crashes, '>', 3, 'processes died');
ok($node->poll_query_until('postgres', q{SELECT state <> 'running' FROM aside.parallel_jobs WHERE name = 'dies'}), 'the job ends all the same');
is_once('dies', 'each row once, whatever died');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT times::text, ' ') FROM work}), '1', 'in each table that the command writes to');

# A standby is promoted in the middle of a job.
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
start('moves', 20);
ok($node->poll_query_until('postgres', q{SELECT chunks_done > 20 FROM aside.parallel_jobs WHERE name = 'moves'}), 'a job goes on');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'coordinator'}), '0', 'a standby has no coordinator');
$node->stop('immediate');
$standby->promote;
$node = $standby;
ok($node->poll_query_until('postgres', q{SELECT state = 'done' FROM aside.parallel_jobs WHERE name = 'moves'}), 'promoted, it goes on with the job');
is_once('moves', 'each row once, across the promotion');

# Paused half-way, dumped and restored, one goes on there. So do those that had begun nothing, although their table has another OID there.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE parts (id int, times int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
DO $$ BEGIN FOR i IN 0 .. 9 LOOP EXECUTE format('CREATE TABLE "Part %s" PARTITION OF parts FOR VALUES FROM (%s) TO (%s)', i, i * 10, i * 10 + 10); END LOOP; END $$;
INSERT INTO parts SELECT g FROM generate_series(0, 99) g;
BEGIN;
SELECT parallel_start('parts', 'UPDATE parts SET times = times + 1 WHERE tableoid = $1', 'parts', 'partition');
SELECT parallel_start('blocks', 'SELECT count(*) FROM parts WHERE ctid BETWEEN $1 AND $2', 'parts', 'ctid');
SELECT parallel_pause('parts'), parallel_pause('blocks');
COMMIT;
SQL
start('dumped', 20);
ok($node->poll_query_until('postgres', q{SELECT chunks_done > 20 FROM aside.parallel_jobs WHERE name = 'dumped'}), 'a job is half-way');
$node->safe_psql('postgres', q{SELECT parallel_pause('dumped')});
ok($node->poll_query_until('postgres', q{SELECT chunks_running = 0 FROM aside.parallel_jobs WHERE name = 'dumped'}), 'and paused');
my $dump = $node->backup_dir . '/dump.sql';
$node->command_ok(['pg_dump', '-f', $dump, '-d', 'postgres', '-p', $node->port, '-h', $node->host], 'it is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', 'copy', '-p', $node->port, '-h', $node->host], 'and restored');
is($node->safe_psql('copy', q{SELECT state FROM aside.parallel_jobs WHERE name = 'dumped'}), 'paused', 'as it was');
$node->safe_psql('copy', q{SELECT parallel_resume('dumped')});
ok($node->poll_query_until('copy', q{SELECT state = 'done' FROM aside.parallel_jobs WHERE name = 'dumped'}), 'and goes on there');
is($node->safe_psql('copy', q{SELECT counted('dumped')}), "$rows $rows $rows", 'each row once');
$node->safe_psql('copy', q{SELECT parallel_resume('parts'), parallel_resume('blocks')});
ok($node->poll_query_until('copy', q{SELECT bool_and(state = 'done') FROM aside.parallel_jobs WHERE name IN ('parts', 'blocks')}), 'so do others, by partition and by ctid');
is($node->safe_psql('copy', q{SELECT times, count(*), (SELECT count(*) FROM aside.parallel_chunks WHERE job = 'parts') FROM parts GROUP BY times}), '1|100|10', 'each partition once');
is($node->safe_psql('postgres', q{SELECT count(parallel_cancel(name)) FROM unnest('{parts,blocks}'::text[]) name}), '2', 'here they are cancelled');

# One that is dropped ends.
$node->safe_psql('postgres', q{SELECT parallel_resume('dumped')});
$node->safe_psql('postgres', q{SELECT parallel_drop('dumped')});
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM aside.parallel_chunk c JOIN aside.parallel_job j ON j.id = c.job WHERE j.name = 'dumped')
	AND NOT EXISTS (SELECT FROM aside.parallel_chunk c WHERE NOT EXISTS (SELECT FROM aside.parallel_job j WHERE j.id = c.job))}), 'a dropped job leaves nothing');
ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_aside worker' AND state = 'active')}), 'and nothing runs for it');
# The restored database and this one have nothing to do, and so no coordinator.
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type ~ 'pg_aside coordinator' AND datname IS NOT NULL}),
	'databases whose jobs have ended have no coordinator');
$node->stop('fast');
done_testing();

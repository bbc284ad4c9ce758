# Claim: a job holds back while a standby lags, by bytes or by time; it says for what it waits, and goes on by itself.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = aside_node('throttled', streaming => 1);
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE work (id int PRIMARY KEY, times int NOT NULL DEFAULT 0);
INSERT INTO work SELECT g FROM generate_series(1, 400) g;
CREATE TABLE noise (what text);
SQL
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('laggard');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);

sub start
{
	my ($name, $throttle) = @_;
	$node->safe_psql('postgres', qq{SELECT parallel_start('$name', 'UPDATE work SET times = times + 1 WHERE id BETWEEN \$1 AND \$2; SELECT pg_sleep(0.05)',
		'work', chunk_rows => 5, throttle => '$throttle')});
	return;
}

sub until_job
{
	my ($name, $condition, $what) = @_;
	ok($node->poll_query_until('postgres', qq{SELECT $condition FROM aside.parallel_jobs WHERE name = '$name'}), $what);
	return;
}

# A standby that has not applied what was written.
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$node->safe_psql('postgres', q{INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 3000)});
ok($node->poll_query_until('postgres', q{SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > 1000000 FROM pg_stat_replication}), 'a standby lags');
start('lag', '{"max_replication_lag": "1 MB"}');
until_job('lag', q{waits_for = 'replication lag'}, 'a job waits for it');
is($node->safe_psql('postgres', q{SELECT chunks_done, state FROM aside.parallel_jobs WHERE name = 'lag'}), '0|running', 'and does nothing');
ok($node->poll_query_until('postgres', q{SELECT replay_lag > '1 s' FROM pg_stat_replication}), 'it lags by more than a second');
start('late', '{"max_replication_lag": "1 s"}');
until_job('late', q{waits_for = 'replication lag'}, 'a job waits for that, too');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
until_job('lag', q{state = 'done' AND waits_for IS NULL}, 'the standby has caught up, and the job is done');
until_job('late', q{state = 'done'}, 'so is the other');

$standby->stop;
$node->stop('fast');
done_testing();

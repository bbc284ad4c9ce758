# Claim: the whole server is killed at any moment, again and again, and each second of a schedule by the second becomes one run, or is
# ruled upon as a misfire. A command runs twice for one due time only if the run was lost.
# ASIDE_TEST_SECONDS: how long the server is killed; 12 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{ASIDE_TEST_SECONDS} || 12;
seed();
my $node = aside_node('kill', conf => "max_worker_processes = 24\n");
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE told (what text, at timestamptz DEFAULT clock_timestamp());
SELECT schedule_set(m, '* * * * * *', format('INSERT INTO told VALUES (%L)', m), misfire => m) FROM unnest('{once,skip,all}'::text[]) m;
-- one that is often caught while it runs
SELECT schedule_set('long', '* * * * * *', 'INSERT INTO told VALUES (''long''); SELECT pg_sleep(0.9)', misfire => 'skip', overlap => 'allow');
SQL

until_true($node, q{SELECT count(DISTINCT what) = 4 FROM told}, 'schedules by the second run');
my ($kills, $until) = (0, time + $seconds);
while (time < $until || $kills < 3)
{
	# Half of the moments are about that of a firing.
	my $now = time;
	my $wait = rand() < 0.5 ? 1 - ($now - int $now) + rand(0.12) - 0.03 : rand(1.5);
	usleep(int(1e6 * $wait)) if $wait > 0;
	my $postmaster = $node->{_pid};
	kill 'KILL', $postmaster, processes($node);
	# As long as one of them is there, no other server starts.
	my $deadline = time + 60;
	usleep(10_000) while (kill(0, $postmaster) || processes($node)) && time < $deadline;
	$node->{_pid} = undef;
	$node->start;
	$kills++;
}
note("$kills kills");
until_true($node, q{SELECT count(*) = 4 FROM aside.schedules WHERE next_run_at > now() - interval '1 second'}, 'every schedule has caught up');
$node->safe_psql('postgres', q{SELECT schedule_pause(name) FROM aside.schedules});
until_true($node, q{SELECT NOT EXISTS (SELECT FROM aside.schedule_runs WHERE state IN ('waiting', 'running'))}, 'nothing is left over');
is($node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', schedule, passed, spoken, twice), ', ') FROM (
	-- of each schedule, the seconds from its first row to its last, how many of them its rows speak of, and due times with two runs
	SELECT schedule, extract(epoch FROM max(due) - min(due))::int + 1 + (array_agg(missed ORDER BY due))[1] AS passed,
		sum(missed + 1) AS spoken, count(*) - count(DISTINCT due) AS twice
	FROM aside.schedule_runs WHERE attempt = 1 GROUP BY schedule) d WHERE passed <> spoken OR twice > 0}),
	'', 'each second is spoken of once');
is($node->safe_psql('postgres', q{SELECT string_agg(schedule || ' ' || run, ', ') FROM (SELECT schedule, run FROM aside.schedule_runs
	GROUP BY schedule, run HAVING count(*) FILTER (WHERE state <> 'lost') > 1 OR bool_or(schedule IN ('skip', 'long') AND attempt > 1)) r}),
	'', 'a run is made again only if it was lost, and only where the rule says so');
is($node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', schedule, done, lost, told), ', ') FROM (
	SELECT schedule, count(*) FILTER (WHERE state = 'done') AS done, count(*) FILTER (WHERE state = 'lost') AS lost,
		(SELECT count(*) FROM told WHERE what = schedule) AS told FROM aside.schedule_runs GROUP BY schedule) r
	WHERE told NOT BETWEEN done AND done + lost}),
	'', 'what is done has run once; what ran besides was lost');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM aside.schedule_runs WHERE state = 'lost'}), '>', 0, 'some were caught while they ran');
is($node->safe_psql('postgres', q{SELECT count(*) FROM aside.schedule_runs WHERE state NOT IN ('done', 'lost', 'skipped')}), '0', 'and none failed for it');
$node->stop('fast');
done_testing();

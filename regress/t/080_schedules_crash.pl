# Claim: whatever process dies at whatever moment, each due time of a schedule becomes one run, or is ruled upon as a misfire;
# what ran is lost then, and made again where the rule says so; a standby is silent, and goes on when it is promoted.
# ASIDE_TEST_SECONDS: how long things die; 20 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{ASIDE_TEST_SECONDS} || 20;
seed();
my $node = aside_node('schedules', streaming => 1, conf => <<'CONF');
restart_after_crash = on
max_worker_processes = 24
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE told (what text, at timestamptz DEFAULT clock_timestamp());
CREATE VIEW dues AS
	-- of each schedule, the seconds from its first row to its last, and how many of them its rows speak of
	SELECT schedule, extract(epoch FROM max(due) - min(due))::int + 1 + min(missed) FILTER (WHERE first) AS passed, sum(missed + 1) AS spoken,
		count(*) - count(DISTINCT due) AS twice
	FROM (SELECT *, due = min(due) OVER (PARTITION BY schedule) AS first FROM aside.schedule_runs WHERE attempt = 1) r GROUP BY schedule;
SELECT schedule_set(m, '* * * * * *', format('INSERT INTO told VALUES (%L)', m), misfire => m) FROM unnest('{once,skip,all}'::text[]) m;
SELECT schedule_set('at', 'at ' || clock_timestamp() + interval '3 seconds', $$INSERT INTO told VALUES ('at')$$);
SQL

# The server is down over due times.
until_true($node, q{SELECT count(*) > 3 FROM told}, 'schedules by the second run');
$node->stop('fast');
usleep(5_000_000);
$node->start;
until_true($node, q{SELECT count(*) = 1 FROM told WHERE what = 'at'}, 'what was due once while the server was down runs when it is up');
until_true($node, q{SELECT count(*) = 3 FROM aside.schedules WHERE spec = '* * * * * *' AND next_run_at > now() - interval '1 second'},
	'every schedule has caught up');
is($node->safe_psql('postgres', q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'once' AND missed >= 3 AND state = 'done'}),
	'1', 'once: one run for all that was missed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'skip' AND started - due > '4 s'}),
	'0', 'skip: no run for what was missed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'all' AND missed > 0}),
	'0', 'all: a run for each');
is($node->safe_psql('postgres', q{SELECT string_agg(schedule, ' ') FROM dues WHERE schedule <> 'at' AND (passed <> spoken OR twice > 0)}),
	'', 'each second is spoken of once');

# Any process dies at any moment.
my $until = time + $seconds;
my $deaths = 0;
while (time < $until)
{
	usleep(int(rand(700_000)));
	my $pid = eval { $node->safe_psql('postgres',
		q{SELECT pid FROM pg_stat_activity WHERE backend_type ~ '^pg_aside (worker|coordinator|launcher)' ORDER BY random() LIMIT 1}) } || next;
	kill(rand() < 0.4 ? 'KILL' : 'TERM', $pid) and $deaths++;
	usleep(100_000);
	$node->poll_query_until('postgres', 'SELECT true');
}
cmp_ok($deaths, '>', 3, 'processes died');
until_true($node, q{SELECT count(*) = 3 FROM aside.schedules WHERE spec = '* * * * * *' AND next_run_at > now() - interval '1 second'},
	'every schedule has caught up again');
$node->safe_psql('postgres', q{SELECT schedule_pause(name) FROM aside.schedules});
until_true($node, q{SELECT NOT EXISTS (SELECT FROM aside.schedule_runs WHERE state IN ('waiting', 'running'))}, 'nothing is left over');
is($node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', schedule, passed, spoken, twice), ', ') FROM dues WHERE schedule <> 'at' AND (passed <> spoken OR twice > 0)}),
	'', 'each second is spoken of once, whatever died');
is($node->safe_psql('postgres', q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'skip' AND attempt > 1}),
	'0', 'skip: what was lost is not made again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM aside.schedule_runs r WHERE state = 'lost' AND schedule = 'all' AND attempt < 3 AND NOT EXISTS
	(SELECT FROM aside.schedule_runs a WHERE a.run = r.run AND a.attempt = r.attempt + 1)}),
	'0', 'all: what was lost is made again');

# A standby is silent; promoted, it goes on where the primary stopped.
$node->safe_psql('postgres', q{SELECT schedule_resume('all')});
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
my $quiet = $standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'coordinator'});
is($quiet, '0', 'a standby has no coordinator');
$node->wait_for_catchup($standby);
$node->stop('fast');
$standby->promote;
my $last = $standby->safe_psql('postgres', q{SELECT max(due) FROM aside.schedule_runs WHERE schedule = 'all'});
ok($standby->poll_query_until('postgres', qq{SELECT max(due) > '$last' FROM aside.schedule_runs WHERE schedule = 'all' AND state = 'done'}),
	'promoted, it runs schedules');
$node = $standby;
until_true($node, q{SELECT next_run_at > now() - interval '1 second' FROM aside.schedules WHERE name = 'all'}, 'it catches up');
is($node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', schedule, passed, spoken, twice), ', ') FROM dues WHERE schedule = 'all' AND (passed <> spoken OR twice > 0)}),
	'', 'each second is spoken of once, across the promotion');

# Dumped and restored, they are whose they were, and run there.
$node->safe_psql('postgres', q{CREATE ROLE owner LOGIN; GRANT aside_user TO owner; SELECT schedule_drop(name) FROM aside.schedules; DROP VIEW dues});
$node->safe_psql('postgres', q{SELECT schedule_set('theirs', '* * * * * *', 'SELECT 1'), schedule_set('last', '@yearly', 'SELECT 2', timezone => 'Europe/Berlin')},
	extra_params => ['-U', 'owner']);
my $dump = $node->backup_dir . '/dump.sql';
$node->command_ok(['pg_dump', '-f', $dump, '-d', 'postgres', '-p', $node->port, '-h', $node->host], 'schedules are dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', 'copy', '-p', $node->port, '-h', $node->host], 'and restored');
is($node->safe_psql('copy', q{SELECT string_agg(concat_ws(' ', name, owner, spec, timezone, command), ', ' ORDER BY name) FROM aside.schedules}),
	'last owner @yearly Europe/Berlin SELECT 2, theirs owner * * * * * * ' . $node->safe_psql('postgres', 'SHOW TimeZone') . ' SELECT 1', 'to whom they belonged');
ok($node->poll_query_until('copy', q{SELECT count(*) > 0 FROM aside.schedule_runs WHERE schedule = 'theirs' AND state = 'done'}), 'and run there');

# Without owners in the dump, and by another role: they are whose their rows say.
$node->safe_psql('postgres', 'CREATE ROLE restorer SUPERUSER LOGIN; CREATE DATABASE restored');
$node->command_ok(['pg_dump', '-O', '-f', $dump, '-d', 'postgres', '-p', $node->port, '-h', $node->host], 'they are dumped without their owners');
$node->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', 'restored', '-U', 'restorer', '-p', $node->port, '-h', $node->host],
	'and restored by another role');
is($node->safe_psql('restored', q{SELECT string_agg(concat_ws(' ', name, owner), ', ' ORDER BY name) FROM aside.schedules}), 'last owner, theirs owner',
	'to whom they belonged, all the same');
ok($node->poll_query_until('restored', q{SELECT count(*) > 0 FROM aside.schedule_runs WHERE schedule = 'theirs' AND state = 'done'}), 'and run there, too');
$node->stop('fast');
done_testing();

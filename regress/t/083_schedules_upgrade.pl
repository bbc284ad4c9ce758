# Claim: schedules, handlers, what waits for them, and jobs come through pg_upgrade: nothing runs while it works, the schedule keeps its
# owner, its history of due times and its rule, and what waited goes on in the new cluster.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "max_worker_processes = 24\n";
my $old = aside_node('old', conf => $conf);
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_aside'\n$conf");

my $s = session($old);
$s->value($_) for (q{CREATE ROLE filler}, q{CREATE ROLE alice LOGIN IN ROLE aside_user},
	q{CREATE TABLE told (what text, who text DEFAULT current_user); GRANT ALL ON told TO PUBLIC},
	q{CREATE TABLE keys (id int PRIMARY KEY, times int DEFAULT 0); INSERT INTO keys SELECT g FROM generate_series(1, 1000) g; ALTER TABLE keys OWNER TO alice});
my $alice = session($old, user => 'alice');
$alice->value($_) for (
	q{SELECT schedule_set('by the second', '* * * * * *', 'INSERT INTO public.told VALUES (''schedule'')')},
	q{SELECT schedule_set('missed', 'at ' || (clock_timestamp() + interval '8 seconds')::timestamptz(0)::text, 'INSERT INTO public.told VALUES (''missed'')')},
	q{SELECT async_event_on('c', command => 'INSERT INTO public.told VALUES (''event'')')},
	q{SELECT parallel_start('job', 'UPDATE public.keys SET times = times + 1 WHERE id BETWEEN $1 AND $2', 'keys', chunk_rows => 100)});
ok($s->until(q{SELECT count(*) >= 2 FROM told WHERE what = 'schedule' AND who = 'alice'}, 20), 'a schedule fires');
ok($alice->value(q{SELECT parallel_wait('job', '30 s')}) eq 't', 'a job is done');
$alice->value($_) for (q{SELECT schedule_pause('by the second')}, q{SELECT async_event_pause('c')}, q{SELECT async_event_emit('c')});
ok($s->until(q{SELECT NOT EXISTS (SELECT FROM aside.schedule_runs WHERE state IN ('running', 'waiting'))}, 20), 'nothing runs');
my $look = q{SELECT string_agg(concat_ws(' ', name, owner, spec, timezone, state, next_run_at, last_due), ', ' ORDER BY name) FROM aside.schedules};
my ($schedules, $times) = ($s->value($look), $s->value(q{SELECT count(*) FROM told WHERE what = 'schedule'}));
finish_all($s, $alice);
$old->stop;

my $bindir = $old->config_data('--bindir');
chdir $PostgreSQL::Test::Utils::tmp_check;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir, '-s', $new->host, '-p', $old->port,
	'-P', $new->port ], 'pg_upgrade');
sleep 9; # The due time of one passes.
$new->start;
$s = session($new);
$alice = session($new, user => 'alice');
ok($s->until(q{SELECT count(*) = 1 FROM told WHERE what = 'missed' AND who = 'alice'}, 20), 'what was due while the server was down runs once, as its owner');
is($s->value(q{SELECT count(*) FROM told WHERE what = 'schedule'}), $times, 'nothing ran meanwhile');
is($s->value($look . q{ WHERE name = 'by the second'}), (grep { /^by the second/ } split /, /, $schedules)[0], 'a schedule is as it was');
$alice->value($_) for (q{SELECT schedule_resume('by the second')}, q{SELECT async_event_resume('c')});
ok($s->until(q{SELECT count(*) = 1 FROM told WHERE what = 'event' AND who = 'alice'}, 20), 'the event that waited is handled');
ok($s->until("SELECT count(*) > $times FROM told WHERE what = 'schedule'", 20), 'and the schedule goes on');
is($s->value(q{SELECT name || ' ' || owner || ' ' || state || ' ' || chunks_done FROM aside.parallel_jobs}), 'job alice done 10', 'a job is remembered');
is($s->value(q{SELECT count(*) FILTER (WHERE times = 1) FROM keys}), '1000', 'and nothing is done again');
finish_all($s, $alice);
$new->stop;
done_testing();

# Claim: schedules keep their word on bad days: databases come, go and change their names, are read-only or copied; commands do not
# end, or end their process or the server; workers are few; ten thousand are due at once; one is paused, or asked for, meanwhile.
# ASIDE_TEST_SCHEDULES: how many are due at once; 3000 unless told.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $many = $ENV{ASIDE_TEST_SCHEDULES} || 3000;
my $node = aside_node('days', conf => <<'CONF');
restart_after_crash = on
max_worker_processes = 24
# However many schedules one statement sets, they need few locks.
max_locks_per_transaction = 10
CONF

sub sql { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql); }

# How one run of a schedule ends.
sub ran
{
	my ($name, $db) = @_;
	my $run = sql("SELECT schedule_run_now('$name')", $db);
	$node->poll_query_until($db // 'postgres', "SELECT schedule_wait($run, '1 s')") or diag("run $run of $name does not end");
	return sql("SELECT concat_ws(' ', state, sqlstate) FROM aside.schedule_runs WHERE run = $run ORDER BY attempt DESC LIMIT 1", $db);
}

# Another database, without the extension.
sql('CREATE DATABASE bare');
sql(q{SELECT schedule_set('bare', '@yearly', 'CREATE TABLE IF NOT EXISTS was_here ()', database => 'bare')});
is(ran('bare'), 'done', 'a command runs in a database without the extension');
is(sql(q{SELECT count(*) FROM pg_class WHERE relname = 'was_here'}, 'bare'), '1', 'there it was');
sql('ALTER DATABASE bare RENAME TO barer');
is(ran('bare'), 'failed 3D000', 'the database has another name: that is said');
sql('ALTER DATABASE barer RENAME TO bare');
is(ran('bare'), 'done', 'it has its name again');
# A worker of the owner is connected there. What keeps a login out keeps the command out.
sql('ALTER DATABASE bare ALLOW_CONNECTIONS false');
is(ran('bare'), 'failed 55000', 'the database is closed: no command runs there');
sql('ALTER DATABASE bare ALLOW_CONNECTIONS true; ');
sql(q{ALTER SYSTEM SET aside.allow_databases = 'postgres'; SELECT pg_reload_conf()});
until_true($node, q{SELECT current_setting('aside.allow_databases') = 'postgres'}, 'databases are allowed by name');
is(ran('bare'), 'failed 42501', 'nor where this one is not allowed');
my ($code, $out, $err) = $node->psql('postgres', q{SELECT schedule_set('bare', '@daily', 'SELECT 1', database => 'bare')});
like($err, qr/permission denied for database "bare"/, 'nor can it be set');
sql(q{ALTER SYSTEM RESET aside.allow_databases; SELECT pg_reload_conf()});
until_true($node, q{SELECT current_setting('aside.allow_databases') = '*'}, 'all are allowed again');
sql(q{CREATE ROLE guest LOGIN; GRANT aside_user TO guest});
$node->safe_psql('postgres', q{SELECT schedule_set('guest', '@yearly', 'SELECT 1', database => 'bare')}, extra_params => ['-U', 'guest']);
is(ran('guest'), 'done', 'who may connect may have commands run there');
sql('REVOKE CONNECT ON DATABASE bare FROM PUBLIC');
is(ran('guest'), 'failed 42501', 'who may no longer connect may not');
sql(q{DROP OWNED BY guest; DROP ROLE guest});
sql('DROP DATABASE bare');
is(ran('bare'), 'failed 3D000', 'the database is dropped: that is said');
sql(q{SELECT schedule_drop('bare')});

# The database of the schedules.
my $ticks = q{SELECT count(*) > 0 FROM aside.schedule_runs WHERE schedule = 'tick' AND state = 'done' AND due > '%s'};
my $goes_on = sub {
	my ($db, $what) = @_;
	my $now = sql('SELECT clock_timestamp()', $db);
	until_true($node, sprintf($ticks, $now), $what, $db);
};
sql('CREATE DATABASE own');
sql(q{CREATE EXTENSION pg_aside; SELECT schedule_set('tick', '* * * * * *', 'SELECT 1')}, 'own');
$goes_on->('own', 'it ticks');
sql(q{ALTER SYSTEM SET aside.databases = 'postgres'});
sql('SELECT pg_reload_conf()');
until_true($node, q{SELECT EXISTS (SELECT FROM aside.settings_check() WHERE setting = 'aside.databases' AND problem ~ 'schedules')},
	'aside.settings_check() says that schedules have no coordinator', 'own');
sql('ALTER SYSTEM RESET aside.databases');
sql('SELECT pg_reload_conf()');
$goes_on->('own', 'it ticks again');
is(sql(q{SELECT count(*) FROM aside.settings_check() WHERE setting = 'aside.databases'}, 'own'), '0', 'and nothing is wrong any more');
sql('ALTER DATABASE own RENAME TO renamed');
$goes_on->('renamed', 'renamed, it goes on');
sql('CREATE DATABASE copied TEMPLATE renamed');
$goes_on->('copied', 'a copy runs what it has copied');
$goes_on->('renamed', 'and so does what it is a copy of');
sql('DROP DATABASE copied');
sql('ALTER DATABASE renamed SET default_transaction_read_only = on');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'renamed'});
$goes_on->('renamed', 'where transactions are read-only unless told, schedules are written down');
sql(q{SET default_transaction_read_only = off; CREATE TABLE made (); SELECT schedule_set('writes', '@yearly', 'DROP TABLE made')}, 'renamed');
$node->safe_psql('renamed', q{SET default_transaction_read_only = off; SELECT schedule_run_now('writes')});
until_true($node, q{SELECT count(*) = 1 FROM aside.schedule_runs WHERE schedule = 'writes' AND state = 'failed' AND sqlstate = '25006'},
	'and a command is what a login of its owner there is', 'renamed');
sql('ALTER DATABASE renamed RESET default_transaction_read_only; ');
sql('ALTER DATABASE renamed ALLOW_CONNECTIONS false');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'renamed'});
until_true($node, q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'renamed')}, 'without connections, nothing is there');
sql('ALTER DATABASE renamed ALLOW_CONNECTIONS true');
$goes_on->('renamed', 'without connections for a while, it goes on');
sql('DROP DATABASE renamed');
until_true($node, q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = 'renamed')}, 'dropped, it is gone');

# What is kept.
sql(q{SELECT schedule_set('kept ' || h, 'every 1 second', 'SELECT 1', history => h, max_runs => 2) FROM unnest('{all,failures,none}'::text[]) h;
	SELECT schedule_set('failed ' || h, 'every 1 second', 'SELECT 1/0', history => h, max_runs => 2) FROM unnest('{all,failures,none}'::text[]) h;
	SELECT schedule_set('skipped ' || h, 'every 1 second', 'SELECT pg_sleep(3.5)', history => h, max_runs => 1) FROM unnest('{all,failures,none}'::text[]) h});
until_true($node, q{SELECT count(*) = 9 FROM aside.schedules WHERE state = 'ended'}, 'they have run as often as they may');
until_true($node, q{SELECT NOT EXISTS (SELECT FROM aside.schedule_runs WHERE state IN ('waiting', 'running'))}, 'and have ended');
is(sql(q{SELECT string_agg(schedule || ': ' || n, ', ' ORDER BY schedule) FROM (SELECT schedule, count(*) AS n FROM aside.schedule_runs
	WHERE schedule !~ 'skipped' GROUP BY schedule) r}),
	'failed all: 2, failed failures: 2, kept all: 2', 'history: all, failures, none');
is(sql(q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'skipped none'}), '0', 'history none: nothing is kept of what was skipped either');
is(ran('kept none'), 'done', 'what somebody asked for can be waited for whatever is kept');
sql(q{ALTER SYSTEM SET aside.history_retention = '1s'; SELECT pg_reload_conf()});
usleep(1_100_000);
sql(q{SELECT schedule_set('other', '@yearly', 'SELECT 1')});
until_true($node, q{SELECT count(*) = 0 FROM aside.schedule_runs}, 'aside.history_retention: what is older goes');
sql(q{ALTER SYSTEM RESET aside.history_retention; SELECT pg_reload_conf(); SELECT schedule_drop(name) FROM aside.schedules});

# Who may not act holds up nobody else.
sql(q{CREATE ROLE held_up LOGIN; GRANT aside_user TO held_up});
$node->safe_psql('postgres', q{SELECT schedule_set('held up', '* * * * * *', 'SELECT 1', priority => 9)}, extra_params => ['-U', 'held_up']);
sql(q{SELECT schedule_set('free', '@yearly', 'SELECT 1')});
until_true($node, q{SELECT count(*) > 0 FROM aside.schedule_runs WHERE schedule = 'held up' AND state = 'done'}, 'it may');
sql(q{ALTER ROLE held_up NOLOGIN; SELECT schedule_run_now('held up')});
is(ran('free'), 'done', 'a run that waits for its owner to be able to log in holds up no other');
is(sql(q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'held up' AND manual AND state = 'done'}), '0', 'it waits');
sql(q{ALTER ROLE held_up LOGIN});
until_true($node, q{SELECT NOT EXISTS (SELECT FROM aside.schedule_runs WHERE schedule = 'held up' AND manual AND state <> 'done')}, 'and goes on when it is');
sql(q{DROP OWNED BY held_up; DROP ROLE held_up; SELECT schedule_drop('free')});

# Nor does a transaction that stays open.
sql(q{SELECT schedule_set('locked', '* * * * * *', 'SELECT 1'), schedule_set('long', '@yearly', 'SELECT pg_sleep(1)', priority => 1), schedule_set('other', '* * * * * *', 'SELECT 1')});
until_true($node, q{SELECT count(DISTINCT schedule) = 2 FROM aside.schedule_runs WHERE schedule IN ('locked', 'other') AND state = 'done'}, 'two by the second');
sql(q{SELECT schedule_run_now('long')});
until_true($node, q{SELECT count(*) = 1 FROM aside.schedule_runs WHERE schedule = 'long' AND state = 'running'}, 'and one that goes on');
my $open = AsideTest::session($node);
$open->value(q{BEGIN; SELECT schedule_pause('locked'), schedule_pause('long'), schedule_cancel_run(max(run)) FROM aside.schedule_runs WHERE schedule = 'long'});
my $since = sql('SELECT clock_timestamp()');
until_true($node, qq{SELECT count(*) >= 4 FROM aside.schedule_runs WHERE schedule = 'other' AND state = 'done' AND started > '$since'}, 'others go on by the second');
is(sql(qq{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'other' AND started > due + interval '900 ms' AND started > '$since'}), '0', 'and at once');
is(sql(q{SELECT state FROM aside.schedule_runs WHERE schedule = 'long'}), 'running', 'the end of a run that is locked is not yet written down');
$open->value('ROLLBACK');
$open->quit;
until_true($node, q{SELECT count(*) = 1 FROM aside.schedule_runs WHERE schedule = 'long' AND state = 'done'}, 'and is when it is free');
until_true($node, qq{SELECT count(*) > 0 FROM aside.schedule_runs WHERE schedule = 'locked' AND state = 'done' AND started > '$since'::timestamptz + interval '3 s'}, 'so does the other one go on');
sql(q{SELECT schedule_drop(name) FROM aside.schedules});

# Commands that do not end as they should.
sql(q{CREATE TABLE began (what text);
	SELECT schedule_set('sleeps', '@yearly', 'SELECT pg_sleep(600)', timeout => '100 ms');
	SELECT schedule_set('ends', '@yearly', 'SELECT pg_terminate_backend(pg_backend_pid())', misfire => 'skip');
	SELECT schedule_set('kills', '@yearly', $$INSERT INTO began VALUES ('kills'); COMMIT;
		COPY began TO PROGRAM 'cat > /dev/null; kill -9 $PPID'$$, misfire => 'skip')});
is(ran('sleeps'), 'timed_out 57014', 'beyond its timeout it is cancelled');
is(ran('ends'), 'lost 57P01', 'it ends its process: that is lost, and not made again');
# The server may be down before it has answered.
$node->psql('postgres', q{SELECT schedule_run_now('kills')});
until_true($node, q{SELECT count(*) = 1 FROM aside.schedule_runs WHERE schedule = 'kills' AND state = 'lost'}, 'it kills the server: it is lost, and the server is back');
is(sql('SELECT count(*) FROM began'), '1', 'it ran once, for its rule is to skip');
sql(q{SELECT schedule_drop(name) FROM aside.schedules});

# run_now while one runs; pauses.
sql(q{SELECT schedule_set('long', '@yearly', 'SELECT pg_sleep(1)'), schedule_run_now('long'), schedule_run_now('long')});
until_true($node, q{SELECT count(*) = 2 FROM aside.schedule_runs WHERE schedule = 'long' AND state = 'done'}, 'asked for twice, it runs twice');
is(sql(q{SELECT count(*) FROM aside.schedule_runs a, aside.schedule_runs b WHERE a.run < b.run AND b.started < a.finished}), '0', 'one after the other');
sql(q{SELECT schedule_set('paused ' || m, '* * * * * *', 'SELECT 1', misfire => m, enabled => false) FROM unnest('{once,skip,all}'::text[]) m;
	SELECT schedule_set('too late', '* * * * * *', 'SELECT 1', misfire => 'all', misfire_deadline => '2 s', enabled => false)});
usleep(5_000_000);
is(sql(q{SELECT count(*) FROM aside.schedule_runs WHERE schedule <> 'long'}), '0', 'paused, nothing runs');
is(ran('paused once'), 'done', 'but what is asked for does');
sql(q{SELECT schedule_resume(name) FROM aside.schedules WHERE name <> 'long'});
until_true($node, q{SELECT count(*) = 4 FROM aside.schedules WHERE name <> 'long' AND next_run_at > now() - interval '1 second'}, 'resumed, they catch up');
sql(q{SELECT schedule_pause(name) FROM aside.schedules WHERE name <> 'long'});
is(sql(q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'paused once' AND missed >= 3}), '1', 'once: one for all that was missed');
is(sql(q{SELECT count(*) FILTER (WHERE missed >= 2) || ' ' || count(*) FILTER (WHERE started - due > '4 s') FROM aside.schedule_runs WHERE schedule = 'paused skip'}),
	'1 0', 'skip: none for it');
cmp_ok(sql(q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'paused all' AND state = 'done' AND missed = 0}), '>=', 4, 'all: each');
is(sql(q{SELECT bool_or(state = 'skipped') AND bool_and(state <> 'done' OR started - due < '4 s') FROM aside.schedule_runs WHERE schedule = 'too late'}),
	't', 'misfire_deadline: what is later is skipped');
sql(q{SELECT schedule_drop(name) FROM aside.schedules});

# Jitter is kept within, and differs; @reboot.
sql(q{SELECT schedule_set('jitter ' || n, '* * * * * *', 'SELECT 1', jitter => '600 ms', max_runs => 2) FROM generate_series(1, 5) n;
	SELECT schedule_set('reboot', '@reboot', 'SELECT 1')});
until_true($node, q{SELECT count(*) = 5 FROM aside.schedules WHERE state = 'ended'}, 'they have run');
until_true($node, q{SELECT NOT EXISTS (SELECT FROM aside.schedule_runs WHERE state IN ('waiting', 'running'))}, 'and have ended');
is(sql(q{SELECT bool_and(started >= due AND started < due + interval '2 s') AND max(started - due) - min(started - due) > '50 ms'
	FROM aside.schedule_runs WHERE schedule ~ 'jitter'}), 't', 'jitter: later by chance, and not by more');
is(sql(q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'reboot'}), '0', '@reboot: not before the server is started');
$node->restart;
until_true($node, q{SELECT count(*) = 1 FROM aside.schedule_runs WHERE schedule = 'reboot' AND state = 'done'}, '@reboot: once after it is');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator'});
sql(q{SELECT schedule_set('again', '* * * * * *', 'SELECT 1', max_runs => 2)});
until_true($node, q{SELECT count(*) = 2 FROM aside.schedule_runs WHERE schedule = 'again' AND state = 'done'}, 'a coordinator has come again');
is(sql(q{SELECT count(*) FROM aside.schedule_runs WHERE schedule = 'reboot'}), '1', '@reboot: and not once for each coordinator');
sql(q{SELECT schedule_drop(name) FROM aside.schedules});

# No worker for some seconds.
sql('ALTER SYSTEM SET aside.max_workers = 1');
$node->restart;
my $busy = session($node);
$busy->send(q{SELECT autonomous_exec('SELECT pg_sleep(4)')});
until_true($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_aside worker' AND wait_event = 'PgSleep'}, 'the one worker is busy');
sql(q{SELECT schedule_set('waits ' || m, '* * * * * *', 'SELECT 1', misfire => m, until => clock_timestamp() + interval '2.5 s') FROM unnest('{once,all}'::text[]) m});
$busy->wait;
until_true($node, q{SELECT count(*) > 1 FROM aside.schedule_runs WHERE state = 'done'}, 'when there is one, what was due runs');
until_true($node, q{SELECT count(*) = 2 FROM aside.schedules WHERE state = 'ended'}, 'and all of it has been ruled upon');
until_true($node, q{SELECT NOT EXISTS (SELECT FROM aside.schedule_runs WHERE state IN ('waiting', 'running'))}, 'and has ended');
is(sql(q{SELECT count(*) FROM (SELECT schedule, sum(missed + 1) AS spoken, extract(epoch FROM max(due) - min(due))::int + 1 + (array_agg(missed ORDER BY due))[1] AS passed
	FROM aside.schedule_runs GROUP BY schedule) r WHERE spoken <> passed}), '0', 'each time is spoken of once');
$busy->quit;
sql(q{SELECT schedule_drop(name) FROM aside.schedules});

# Many are due at once, and workers are few.
sql('ALTER SYSTEM SET aside.max_workers = 4');
$node->restart;
# It keeps the coordinator.
sql(q{SELECT schedule_set('stays', '@yearly', 'SELECT 1')});
my $coordinator = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = 'postgres'};
my $anon = sub {
	my $pid = sql($coordinator);
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
	return $kb;
};
sql(qq{SELECT count(schedule_set('due ' || n, 'at ' || to_char(now() + interval '1 hour', 'YYYY-MM-DD HH24:MI:SSOF'), 'SELECT 1', priority => n % 10, timezone => 'GMT'))
	FROM generate_series(1, $many) n});
until_true($node, "SELECT EXISTS ($coordinator)", 'there is a coordinator');
my $before = $anon->();
sql(q{SELECT schedule_set('one', 'at ' || clock_timestamp() + interval '1 second', 'SELECT 1')});
until_true($node, q{SELECT count(*) = 1 FROM aside.schedule_runs WHERE schedule = 'one' AND state = 'done'}, 'among many that are not due, one that is runs');
is(sql(q{SELECT started - due < '1 s' FROM aside.schedule_runs WHERE schedule = 'one'}), 't', 'in time');
# All become due by one statement, as if an hour had passed.
sql(q{UPDATE aside.schedule SET next_due = now(), next_run_at = now(), revision = revision + 1 WHERE name ~ '^due'});
$node->poll_query_until('postgres', qq{SELECT count(*) = $many FROM aside.schedule_runs WHERE schedule ~ '^due' AND state = 'done'});
is(sql(q{SELECT count(*) FROM aside.schedule_runs WHERE schedule ~ '^due' AND state = 'done'}), $many, 'all that was due at once has run');
is(sql(q{SELECT max(place - last) <= 70 FROM (SELECT row_number() OVER (ORDER BY r.started) AS place,
	count(*) OVER (ORDER BY s.priority DESC) AS last FROM aside.schedule_runs r JOIN aside.schedules s ON s.name = r.schedule WHERE r.schedule ~ '^due') p}),
	't', 'in the order of priority');
cmp_ok($anon->() - $before, '<', 64 * 1024, 'and the coordinator has not grown beyond bounds');
$node->stop('fast');
done_testing();

# Claim: coordinators come and go with databases, settings and the extension, stand
# in nobody's way, take no processor time where they can do nothing, and whatever
# ends them, handlers' effects are there once.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

# In a database: a handler that writes down what it got, and how to see it.
my $setup = q{
	CREATE TABLE effects (id bigint, attempt int, what text);
	CREATE SEQUENCE IF NOT EXISTS runs;
	CREATE FUNCTION handle(e aside.event) RETURNS void LANGUAGE plpgsql AS $$BEGIN
		INSERT INTO effects VALUES (e.id, e.attempt, e.payload #>> '{}');
		CASE split_part(e.payload #>> '{}', ' ', 1)
			WHEN 'sleep' THEN PERFORM pg_sleep(split_part(e.payload #>> '{}', ' ', 2)::float8) /* handles */;
			WHEN 'trap' THEN
				LOOP
					BEGIN
						PERFORM pg_sleep(600) /* traps */;
					EXCEPTION WHEN query_canceled THEN NULL;
					END;
				END LOOP;
			WHEN 'once' THEN PERFORM pg_sleep(CASE WHEN nextval('runs') <= 3 THEN 600 ELSE 0 END);
			WHEN 'die' THEN EXECUTE format('COPY effects FROM PROGRAM %L',
				concat('echo >>' || nullif(split_part(e.payload #>> '{}', ' ', 2), '') || '; ', 'kill -9 $PPID'));
			ELSE NULL;
		END CASE;
	END$$;
	SELECT async_event_on('c', 'handle(aside.event)', concurrency => 4, backoff => '50 ms');
};

sub coordinator
{
	my ($mon, $database) = @_;
	return $mon->value("SELECT pid FROM aside.coordinators WHERE database = '$database' AND state = 'running'");
}

sub comes
{
	my ($mon, $database, $timeout) = @_;
	return $mon->until("SELECT EXISTS (SELECT FROM aside.coordinators WHERE database = '$database' AND state = 'running')", $timeout // 10);
}

# One event in this session's database is handled in time.
sub handles
{
	my ($s, $name, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $id = $s->value(q{SELECT async_event_emit('c', '"now"')});
	return ok($s->until("SELECT count(*) = 1 FROM effects WHERE id = $id", $timeout // 10), $name);
}

sub ticks
{
	my ($pid) = @_;
	my @stat = split / /, (slurp_file("/proc/$pid/stat") =~ s/.*\) //r);
	return $stat[11] + $stat[12];
}

my $node = aside_node('events', conf => <<'CONF');
restart_after_crash = on
max_worker_processes = 16
synchronous_commit = local
max_wal_senders = 2
wal_level = replica
CONF
my $mon = session($node);
$mon->value($setup);
handles($mon, 'an event right after its handler was made is handled');

# A coordinator ends while its workers handle events.
$mon->value(q{SELECT async_event_emit('c', '"once more"') FROM generate_series(1, 3)});
$mon->until(q{SELECT count(*) = 3 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'event handler%'});
my $pid = coordinator($mon, 'postgres');
$mon->value("SELECT pg_terminate_backend($pid, 5000)");
ok($mon->until(q{SELECT count(*) = 3 FROM effects WHERE what = 'once more'}), 'what ran when its coordinator was terminated is handled');
is($mon->value(q{SELECT string_agg(DISTINCT attempt::text, ' ') FROM effects WHERE what = 'once more'}), '1', 'what was broken off was no attempt, and has left nothing');
is($mon->value('SELECT last_value FROM runs'), 6, 'each was run once more');
isnt(coordinator($mon, 'postgres'), $pid, 'for another coordinator');

# It ends while a worker's commit waits for a standby that is not there.
$mon->value($_) for (
	'CREATE ROLE careful LOGIN SUPERUSER', 'ALTER ROLE careful SET synchronous_commit = on',
	q{SET SESSION AUTHORIZATION careful}, q{SELECT async_event_on('careful', 'handle(aside.event)', backoff => '50 ms')},
	'RESET SESSION AUTHORIZATION', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'}, 'SELECT pg_reload_conf()');
$mon->until(q{SELECT current_setting('synchronous_standby_names') = 'nobody'});
for my $signal ('TERM', 'KILL')
{
	my $id = $mon->value(q{SELECT async_event_emit('careful', '"waits"')});
	$mon->until(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'pg_aside worker'});
	handles($mon, 'others are handled while a commit waits');
	$pid = coordinator($mon, 'postgres');
	kill $signal, $pid;
	if ($signal eq 'KILL')
	{
		1 while $mon->run('SELECT 1')->{ok};
		$mon->quit;
		$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
		$mon = session($node);
	}
	ok($mon->until("SELECT count(*) = 1 FROM effects WHERE id = $id"), "SIG$signal: the commit that waited stands");
	comes($mon, 'postgres');
	handles($mon, "SIG$signal: handled again");
	is($mon->value("SELECT count(*) FROM effects WHERE id = $id"), 1, "SIG$signal: and it is there once");
	is($mon->value("SELECT state FROM aside.events WHERE id = $id"), 'done', "SIG$signal: its event is done");
}
$mon->value($_) for ('ALTER SYSTEM RESET synchronous_standby_names', 'SELECT pg_reload_conf()');
$mon->until(q{SELECT current_setting('synchronous_standby_names') = ''});

# aside.databases.
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(one two);
$node->safe_psql($_, "CREATE EXTENSION pg_aside; $setup") for qw(one two);
my ($one, $two) = map { session($node, db => $_) } qw(one two);
handles($_, 'the extension was created in a new database: handled') for $one, $two;
$mon->value($_) for (q{ALTER SYSTEM SET aside.databases = one, postgres}, 'SELECT pg_reload_conf()');
ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = 'two')}, 5),
	'a coordinator leaves a database that is not meant any more');
my $id = $two->value(q{SELECT async_event_emit('c', '"later"')});
handles($one, 'the others stay');
$mon->value($_) for (q{ALTER SYSTEM RESET aside.databases}, 'SELECT pg_reload_conf()');
ok($two->until("SELECT count(*) = 1 FROM effects WHERE id = $id", 5), 'and comes back; what was emitted meanwhile is handled');

# A list that cannot be read, and names as they are written.
my $bad = $mon->run(q{ALTER SYSTEM SET aside.databases = 'one,,two'});
is($bad->{sqlstate}, '22023', 'aside.databases is a list of names');
$node->safe_psql('postgres', 'CREATE DATABASE "MixedCase"');
$mon->value($_) for (q{ALTER SYSTEM SET aside.databases = '"MixedCase", postgres, one'}, 'SELECT pg_reload_conf()');
$mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = 'two')}, 10);
$node->safe_psql('MixedCase', "CREATE EXTENSION pg_aside; $setup");
my $mixed = session($node, db => 'MixedCase');
handles($mixed, 'a name in double quotes keeps its case');
like($two->value(q{SELECT string_agg(problem, ' ') FROM aside.settings_check() WHERE setting = 'aside.databases'}), qr/no coordinator/,
	'aside.settings_check() names what keeps handlers from working');
$mixed->quit;
# Out and in again before the coordinator has left.
$mon->value(q{ALTER SYSTEM SET aside.databases = one; SELECT pg_reload_conf(); ALTER SYSTEM RESET aside.databases; SELECT pg_reload_conf()}) for 1 .. 5;
handles($_, 'names that came and went quickly') for $one, $two, $mon;
is($mon->value(q{SELECT count(*) FROM aside.settings_check() WHERE setting = 'aside.databases'}), 0, 'then nothing is wrong with them');
$node->safe_psql('postgres', 'DROP DATABASE "MixedCase"');

# CREATE and DROP EXTENSION.
for my $round (1 .. 5)
{
	$one->value('DROP EXTENSION pg_aside CASCADE; DROP TABLE effects; DROP FUNCTION IF EXISTS handle');
	$one->value('CREATE EXTENSION pg_aside');
	$one->value($setup);
	handles($one, "the extension was dropped and created, $round");
}
$one->value("BEGIN; DROP EXTENSION pg_aside CASCADE; CREATE EXTENSION pg_aside; DROP TABLE effects; DROP FUNCTION IF EXISTS handle; $setup COMMIT");
handles($one, 'the same in one transaction');
$one->value('BEGIN; DROP EXTENSION pg_aside CASCADE');
usleep(2_500_000);
$one->value('ROLLBACK');
handles($one, 'one that was not dropped after all');
$one->value('DROP EXTENSION pg_aside CASCADE; DROP TABLE effects');
ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = 'one')}, 5),
	'without the extension no coordinator stays');
$one->value("CREATE EXTENSION pg_aside; $setup");
handles($one, 'with it one comes');
is($mon->value(q{SELECT state FROM aside.coordinators WHERE database = 'one'}), 'running', 'and runs');
finish_all($one, $two);

# Databases come and go, and are renamed and copied.
within(2, sub { $node->safe_psql('postgres', 'ALTER DATABASE one RENAME TO uno') }, 'a database with a coordinator is renamed at once');
$one = session($node, db => 'uno');
handles($one, 'handled under the new name', 5);
$one->value(q{SELECT async_event_emit('c', '"copied"', delay => '1 s')});
$one->quit;
within(2, sub { $node->safe_psql('postgres', 'CREATE DATABASE tre TEMPLATE uno') }, 'one with a coordinator is copied at once');
my $three = session($node, db => 'tre');
ok($three->until(q{SELECT count(*) = 1 FROM effects WHERE what = 'copied'}, 25), 'what was copied is handled in the copy');
handles($three, 'and so is what comes');
$one = session($node, db => 'uno');
ok($one->until(q{SELECT count(*) = 1 FROM effects WHERE what = 'copied'}, 15), 'as in the original');
$three->quit;
for my $round (1 .. 3)
{
	$node->safe_psql('postgres', 'CREATE DATABASE brief');
	$node->safe_psql('brief', "CREATE EXTENSION pg_aside; $setup SELECT async_event_emit('c', '\"brief\"')") if $round < 3;
	within(2, sub { $node->safe_psql('postgres', 'DROP DATABASE brief') }, "a database is dropped as soon as it was created, $round");
}
comes($mon, 'tre');
within(2, sub { $node->safe_psql('postgres', 'DROP DATABASE tre') }, 'a database with an idle coordinator is dropped at once');
# A handler is at work: who drops the database wins, or is told.
$one->value(q{SELECT async_event_emit('c', '"sleep 600"') FROM generate_series(1, 2)});
$mon->until(q{SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'uno'});
my $r = session($node)->run('DROP DATABASE uno');
ended_well($r, '55006', 'a database that somebody uses is not dropped', 9);
ok($one->until(q{SELECT EXISTS (SELECT FROM aside.coordinators WHERE database = 'uno' AND state = 'running')}, 5), 'its coordinator comes back at once');
handles($one, 'and events are handled');
$mon->until(q{SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'uno'});
is($one->value(q{SELECT string_agg(DISTINCT attempts::text, ' ') FROM aside.events WHERE payload = '"sleep 600"'}), '1', 'what was broken off was no attempt');
$one->value(q{SELECT async_event_emit('c', '"sleep 600"') FROM generate_series(1, 2)});
$one->quit;
$mon->until(q{SELECT count(*) > 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'uno'});
$r = $mon->run('DROP DATABASE uno');
ok($r->{ok} && $r->{secs} < 8, 'handlers at work are no users') or diag(sprintf '%.1f s: %s', $r->{secs}, $r->{err});
is($mon->value(q{SELECT string_agg(database, ' ' ORDER BY database) FROM aside.coordinators WHERE state = 'running'}), 'postgres two',
	'coordinators are where they are to be');
is($mon->value(q{SELECT count(*) FROM aside.coordinators WHERE state IN ('starting', 'failed')}), 0, 'and none failed');

# Tables of the extension are damaged, and repaired.
my $offset = -s $node->logfile;
for my $table (qw(event_log_0 event_handler event_control))
{
	# Who reads the tables hears at once that one has gone.
	comes($mon, 'postgres');
	my $coordinator = coordinator($mon, 'postgres');
	$mon->value("ALTER TABLE aside.$table RENAME TO damaged");
	like($coordinator, qr/^\d+$/, "$table is about to be damaged: there is a coordinator");
	my $ticks = -r "/proc/$coordinator/stat" ? ticks($coordinator) : 0;
	# Emitting may fail as long as this lasts.
	$mon->run('SELECT async_event_emit($$c$$, $$"damaged"$$)'), usleep(10_000) for 1 .. 200;
	cmp_ok((-r "/proc/$coordinator/stat" ? ticks($coordinator) : 0) - $ticks, '<', 20, "$table was damaged: the coordinator waits");
	$mon->value("ALTER TABLE aside.damaged RENAME TO $table");
	handles($mon, "$table was damaged and repaired", 20);
}
my @said = grep { /coordinator.*failed|\d\] ERROR/ } split /\n/, substr(slurp_file($node->logfile), $offset);
cmp_ok(scalar(@said), '<', 10, 'the log was not flooded') or diag(join "\n", @said[0 .. 20]);

# Events that kill their process.
$id = $mon->value(q{SELECT min(async_event_emit('c', to_jsonb(what))) FROM (SELECT 'die' UNION ALL SELECT 'innocent' FROM generate_series(1, 20)) e (what)});
$mon->quit;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM aside.dead_events WHERE id = $id"), 'an event that kills the server is dead after some attempts');
$mon = session($node);
is($mon->value("SELECT attempts BETWEEN 5 AND 6 FROM aside.dead_events WHERE id = $id"), 't', 'as many as it may have');
ok($mon->until(q{SELECT count(*) = 20 FROM effects WHERE what = 'innocent'}, 10), 'those that came with it are handled')
  or diag($mon->value(q{SELECT id, state, attempts, sqlstate, message FROM aside.events WHERE payload = '"innocent"' AND state <> 'done'}));
is($mon->value('SELECT count(*) FROM aside.dead_events'), 1, 'and are not given up');
is($mon->value("SELECT count(*) FROM effects WHERE id = $id"), 0, 'it has left nothing');

# So does a C function that reads where it must not: one of the server's, told that a number is a pointer.
$mon->value($_) for (
	q{CREATE FUNCTION crash(bigint) RETURNS cstring STRICT LANGUAGE internal AS 'byteaout'},
	q{SELECT async_event_on('crash', command => 'SELECT public.crash(16)', max_attempts => 2, backoff => '50 ms')}, 'TRUNCATE effects');
$id = $mon->value(q{SELECT async_event_emit('crash') FROM (SELECT count(async_event_emit('c', '"by"')) FROM generate_series(1, 5)) e});
$mon->quit;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM aside.dead_events WHERE id = $id"), 'an event whose handler segfaults is dead after its attempts');
$mon = session($node);
is($mon->value("SELECT sqlstate || ' ' || (attempts BETWEEN 2 AND 3) FROM aside.dead_events WHERE id = $id"), '08006 true', 'as many as it may have');
like(slurp_file($node->logfile), qr/terminated by signal 11/, 'it did crash the server');
ok($mon->until(q{SELECT count(*) = 5 FROM effects WHERE what = 'by'}, 10), 'others are handled');
$mon->value(q{SELECT async_event_off('crash')});

# The same where commits are not flushed: those of attempts are.
my $tries = $node->basedir . '/tries';
$mon->value($_) for ('ALTER SYSTEM SET synchronous_commit = off', 'SELECT pg_reload_conf()', 'SET synchronous_commit = on');
handles($mon, 'commits are not flushed');
$id = $mon->value("SELECT async_event_emit('c', '\"die $tries\"')");
$mon->quit;
my $deadline = time + 60;
my $died = '';
while ($died ne 't' && time < $deadline && (-s $tries // 0) < 8)
{
	usleep(100_000);
	$node->psql('postgres', "SELECT attempts BETWEEN 5 AND 6 FROM aside.dead_events WHERE id = $id", stdout => \$died);
}
is($died, 't', 'an event that kills the server is dead after some attempts there too');
cmp_ok(-s $tries, '<=', 6, 'and was not tried more often');
$mon = session($node);
$mon->value($_) for ('ALTER SYSTEM RESET synchronous_commit', 'SELECT pg_reload_conf()');

# Fast shutdown.
$mon->value(q{SELECT async_event_on('t', 'handle(aside.event)', concurrency => 8)});
$mon->value(q{SELECT async_event_emit('t', to_jsonb(p)) FROM unnest(ARRAY['trap', 'trap', 'trap', 'sleep 600', 'sleep 600']) p});
$mon->until(q{SELECT count(*) = 5 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query = 'event handler t'});
$mon->value(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query = 'event handler t' ORDER BY pid LIMIT 3});
$mon->quit;
within(2, sub { $node->stop('fast') }, 'fast shutdown with handlers at work');
$node->start;
$mon = session($node);
$mon->value(q{SELECT async_event_off('t')});
handles($mon, 'handled after it');
$mon->quit;
$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP:/, 'nothing worse in the log');

# Others have taken all worker slots: those of the reserve are left.
$node = aside_node('reserve', conf => "max_worker_processes = 6\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0\naside.max_workers = 8\n");
$mon = session($node);
$mon->value($setup);
handles($mon, 'the coordinator is there');
my @takers = map { session($node) } 1 .. 4;
$_->send(q{SELECT autonomous_exec('SELECT pg_sleep(600) /* takes */')}) for @takers;
$mon->until(q{SELECT count(*) = 4 FROM pg_stat_activity WHERE backend_type = 'pg_aside worker' AND wait_event = 'PgSleep'});
like($mon->value(q{SELECT advice FROM aside.settings_check() WHERE setting = 'max_worker_processes'}), qr/at least 10 /, 'aside.settings_check() says that slots are short');
$mon->value(q{SELECT count(async_event_emit('c', '"later"')) FROM generate_series(1, 10)});
$pid = coordinator($mon, 'postgres');
$mon->value("SELECT pg_terminate_backend($pid, 5000)");
ok($mon->until("SELECT EXISTS (SELECT FROM aside.coordinators WHERE state = 'running' AND pid <> $pid)", 5), 'a coordinator that ends is followed by another one all the same');
$mon->run('SELECT pg_cancel_backend(' . $_->pid . ')'), $_->wait for @takers;
ok($mon->until(q{SELECT count(*) = 10 FROM effects WHERE what = 'later'}), 'and events are handled when there are workers again');
finish_all(@takers, $mon);
$node->stop;

# No worker processes left but the one that coordinators leave to others.
$node = aside_node('narrow', conf => "max_worker_processes = 3\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0\naside.reserved_coordinators = 0\n");
$mon = session($node);
$mon->value("CREATE DATABASE $_") for qw(one two);
$node->safe_psql('one', "CREATE EXTENSION pg_aside; $setup");
comes($mon, 'one');
$one = session($node, db => 'one');
$node->safe_psql('two', "CREATE EXTENSION pg_aside; $setup");
$one->value(q{SELECT async_event_emit('c', '"now"') FROM generate_series(1, 100)});
ok($one->until('SELECT count(*) = 100 FROM effects', 15), 'where there is a coordinator and one worker events are handled');
is($one->value('SELECT count(DISTINCT id) || $$ $$ || max(attempt) FROM effects'), '100 1', 'each once, by the first attempt');
usleep(1_000_000) for 1 .. 3;
my %pids = map { split /\|/ } split /\n/, $mon->value(q{SELECT pid, backend_type FROM pg_stat_activity WHERE backend_type IN ('pg_aside launcher', 'pg_aside coordinator')});
is(join(', ', sort values %pids), 'pg_aside coordinator, pg_aside launcher', 'for another coordinator there is no place');
SKIP:
{
	skip 'no /proc', 2 unless -r "/proc/$$/stat";
	my %before = map { $_ => ticks($_) } keys %pids;
	usleep(3_000_000);
	cmp_ok(ticks($_) - $before{$_}, '<', 15, "$pids{$_} does not spin") for sort keys %pids;
}
is(scalar(() = slurp_file($node->logfile) =~ /no worker slot for a coordinator/g), 1, 'that there is no slot is said once');
# Places come free: one coordinator leaves.
$two = session($node, db => 'two');
$mon->value($_) for (q{ALTER SYSTEM SET aside.databases = two}, 'SELECT pg_reload_conf()');
handles($two, 'and where there was no coordinator one comes', 15);
finish_all($one, $two, $mon);
$node->stop;

# A flood of events in one database leaves workers to others.
$node = aside_node('crowded', conf => "max_worker_processes = 12\naside.max_workers = 2\n");
$mon = session($node);
$mon->value("CREATE DATABASE one; CREATE ROLE other LOGIN; GRANT ALL ON SCHEMA public TO other; GRANT aside_user TO other");
$mon->value($setup);
$node->safe_psql('one', "CREATE EXTENSION pg_aside; $setup");
$one = session($node, db => 'one');
handles($one, 'another database handles events');
my $other = session($node, user => 'other');
$other->value(q{CREATE TABLE others (id bigint); CREATE FUNCTION note(e aside.event) RETURNS void LANGUAGE sql AS 'INSERT INTO others VALUES (e.id)';
	SELECT async_event_on('o', 'note(aside.event)')});
$mon->value(q{SELECT count(async_event_emit('c', '"sleep 0.002"')) FROM generate_series(1, 20000)});
$mon->until(q{SELECT count(*) > 300 FROM effects});
within(3, sub { $one->value(q{SELECT autonomous_exec('SELECT 1')}) }, "a call gets a worker, $_") for 1 .. 2;
within(3, sub { $one->value(q{SELECT async_wait(async_exec('SELECT 1'))}) }, 'so does a task');
handles($one, "and another database's event, $_", 3) for 1 .. 2;
$id = $other->value(q{SELECT async_event_emit('o')});
ok($other->until("SELECT count(*) = 1 FROM others WHERE id = $id", 3), "and another role's");
cmp_ok($mon->value('SELECT count(*) FROM effects'), '<', 20000, 'all that while the flood lasts');
finish_all($one, $other, $mon);
within(3, sub { $node->stop('fast') }, 'and does not delay a shutdown');

# Not preloaded.
$node = aside_node('private', preload => 0);
$mon = session($node);
for my $call (q{async_event_emit('c')}, q{async_event_on('c', command => 'SELECT 1')}, q{async_event_off('c')}, q{async_event_pause('c')},
	q{async_event_resume('c')}, q{async_event_cancel(1)}, q{async_event_redrive('c')})
{
	$r = $mon->run("SELECT $call");
	ended_well($r, '55000', "not preloaded: $call is refused");
	like($r->{hint}, qr/shared_preload_libraries/, 'with the setting that helps');
}
like($mon->value(q{SELECT problem, advice FROM aside.settings_check() WHERE setting = 'shared_preload_libraries'}),
	qr/no events.*restart the server/s, 'aside.settings_check() says so too');
is($mon->value('SELECT count(*) FROM aside.coordinators'), 0, 'and there are no coordinators to be seen');
$mon->quit;
$node->stop;
done_testing();

# Claim: a definition is its owner's as a table is, by name and not by number: DROP ROLE from another database, dump and
# restore with and without owners, a role that is missing, owners of the extension's tables that are no superusers.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "max_worker_processes = 24\n";
my $node = aside_node('definitions', conf => $conf);
my $file = $node->basedir . '/dump';
my $mon = session($node);
my $handlers = q{SELECT string_agg(name || ' ' || owner || coalesce(' ' || left(reason, 16), ''), ', ' ORDER BY name) FROM aside.handlers};
my $proxies = q{SELECT string_agg(typname || ' ' || typowner::regrole, ', ' ORDER BY typname) FROM pg_type
	WHERE typnamespace = 'aside'::regnamespace AND NOT typisdefined AND typname LIKE 'handler %'};
my $others = q{SELECT string_agg(what, ', ' ORDER BY what) FROM (
	SELECT 'schedule ' || name || ' ' || owner || coalesce(' ' || left(reason, 16), '') AS what FROM aside.schedules
	UNION ALL SELECT 'job ' || name || ' ' || owner || coalesce(' ' || left(reason, 16), '') FROM aside.parallel_jobs) d};
my $made = q{CREATE EXTENSION pg_aside; CREATE TABLE told (what text, who text DEFAULT current_user); GRANT INSERT ON told TO PUBLIC};
sub on { return qq{SELECT async_event_on('$_[0]', command => 'INSERT INTO public.told VALUES (\$1 #>> ''{}'')')} }

$mon->value(qq{CREATE ROLE $_ LOGIN IN ROLE aside_user}) for ('alice', 'bob', 'carol');
$mon->value(q{CREATE DATABASE one});
my $s = session($node, db => 'one');
sub with_others
{
	return (on($_[0]), "SELECT schedule_set('$_[0]', '\@yearly', 'SELECT 1')",
		"SELECT parallel_start('$_[0]', 'SELECT 1 WHERE \$1 <= \$2', chunk_by => 'query', chunk_query => 'SELECT 1, 1')");
}
$s->value($_) for (split(/; /, $made), 'SET ROLE alice', with_others('a'), 'SET ROLE bob', with_others('b'), 'SET ROLE carol', with_others('c'), 'RESET ROLE');
is($s->value($handlers), 'a alice, b bob, c carol', 'handlers of three roles');
is($s->value($others), 'job a alice, job b bob, job c carol, schedule a alice, schedule b bob, schedule c carol', 'and their schedules and jobs');
ok($s->until(q{SELECT count(*) = 3 FROM aside.parallel_jobs WHERE state = 'done'}), 'the jobs are done');

# From another database.
my $r = $mon->run('DROP ROLE alice');
is($r->{sqlstate}, '2BP01', 'the owner of a handler of another database is not dropped');
is($s->value($handlers), 'a alice, b bob, c carol', 'the handlers are as they were');

command_ok([ 'pg_dump', '--no-sync', '-f', "$file.sql", '-d', $node->connstr('one') ], 'a dump');
command_ok([ 'pg_dump', '--no-sync', '-O', '-f', "$file.no_owner.sql", '-d', $node->connstr('one') ], 'a dump without owners');

# Where roles have other numbers, and one is not.
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_aside'\n$conf");
$other->start;
my $there = session($other);
$there->value(qq{CREATE ROLE $_}) for ('filler1', 'filler2', 'filler3', 'filler4');
$there->value('CREATE ROLE carol LOGIN');
$there->value('CREATE ROLE alice LOGIN SUPERUSER');
for my $how ('sql', 'no_owner.sql')
{
	my ($db) = $how =~ /^(\w+)/;
	$there->value("CREATE DATABASE $db");
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-Xq', '-d', $other->connstr($db), '-f', "$file.$how" ], '>', \$out, '2>', \$err);
	like($err, qr/WARNING:  handler "b" belongs to nobody: role "bob" does not exist/, "$db: who is missing is named");
	unlike($err, qr/event_handler.*ERROR|ERROR.*event_handler/, "$db: and keeps no other row out");
	$there->value('GRANT aside_user TO alice, carol');
	my $t = session($other, db => $db);
	is($t->value($handlers), 'a alice, b bob its owner, role , c carol', "$db: each is its owner's, or nobody's");
	is($t->value($proxies), 'handler a (1) alice, handler c (3) carol', "$db: so are the proxies");
	is($t->value($others), 'job a alice, job b bob its owner, role , job c carol, schedule a alice, schedule b bob its owner, role , schedule c carol',
		"$db: so are schedules and jobs");
	ok($t->until(q{SELECT EXISTS (SELECT FROM aside.coordinators WHERE database = current_database() AND state = 'running')}, 20), "$db: a coordinator");
	$t->value("SELECT async_event_emit('$_', to_jsonb('$_'::text))") for ('a', 'b', 'c');
	ok($t->until('SELECT count(*) = 2 FROM told', 20), "$db: events are handled");
	is($t->value(q{SELECT string_agg(what || ' ' || who, ', ' ORDER BY what) FROM told}), 'a alice, c carol', "$db: as their owners");
	$there->value('CREATE ROLE bob LOGIN SUPERUSER');
	is($t->value($handlers), 'a alice, b bob its owner, role , c carol', "$db: a role that comes later is somebody else");
	$there->value('DROP ROLE bob');
	ok($t->run('DROP EXTENSION pg_aside')->{ok}, "$db: proxies go with the extension");
	$t->quit;
}

# Rows that are restored past the triggers are nobody's, and the triggers hold again.
$there->value('CREATE DATABASE past');
my $p = session($other, db => 'past');
$p->value($_) for (split(/; /, $made), q{SELECT setval('aside.event_handler_id_seq', 100)}, 'SET ROLE alice', on('kept'), 'RESET ROLE');
command_ok([ 'pg_dump', '--no-sync', '-a', '--disable-triggers', '-f', "$file.data", '-d', $node->connstr('one') ], 'a dump of data');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $other->connstr('past'), '-f', "$file.data" ], 'is restored past the triggers');
$p->value(q{SELECT async_event_pause('kept')});
ok($p->until(q{SELECT count(*) = 3 FROM aside.event_handler WHERE inert}, 20), 'its handlers are kept as nobody\'s');
ok($p->until(q{SELECT count(*) = 6 FROM (SELECT FROM aside.schedule WHERE inert UNION ALL SELECT FROM aside.parallel_job WHERE inert) d}, 20),
	'so are its schedules and jobs');
is($p->value(q{SELECT string_agg(name, ', ') FROM aside.handlers WHERE reason IS NULL}), 'kept', 'the others are as they were');
ok($p->until(q{SELECT count(*) = 0 FROM pg_trigger WHERE tgname = 'rights' AND tgenabled <> 'A'}, 20), 'and the triggers hold again')
  or diag($p->value(q{SELECT string_agg(DISTINCT tgrelid::regclass || ' ' || tgenabled::text, ', ') FROM pg_trigger WHERE tgname = 'rights' AND tgenabled <> 'A'}));
$p->quit;

# Who may dump a database may dump what is defined there, and what he restores is what he may define.
$mon->value(q{CREATE ROLE dumper LOGIN});
$s->value('GRANT pg_read_all_data TO dumper');
command_ok([ 'pg_dump', '--no-sync', '-f', "$file.read", '-d', $node->connstr('one') . ' user=dumper' ], 'a dump by who may read all');
$s->value('REVOKE pg_read_all_data FROM dumper');
$s->value('ALTER DATABASE one OWNER TO dumper');
$s->value('ALTER TABLE told OWNER TO dumper');
command_ok([ 'pg_dump', '--no-sync', '-f', "$file.own", '-d', $node->connstr('one') . ' user=dumper' ], 'a dump by the owner of the database');

# A copy of a database has its definitions, and its owners are held by both.
$s->quit;
ok($mon->run('CREATE DATABASE copy TEMPLATE one')->{ok}, 'a copy of the database');
$s = session($node, db => 'copy');
is($s->value($handlers), 'a alice, b bob, c carol', 'has the handlers and their owners');
is($mon->run('DROP ROLE carol')->{sqlstate}, '2BP01', 'who are held there too');
ok($s->until(q{SELECT EXISTS (SELECT FROM aside.coordinators WHERE database = current_database() AND state = 'running')}, 20), 'and a coordinator');

# Given up and handed on.
$s->value('DROP OWNED BY alice');
$s->value('REASSIGN OWNED BY bob TO carol');
is($s->value($handlers), 'b carol, c carol', 'DROP OWNED ends, REASSIGN OWNED hands on');
is($s->value($others), 'job b carol, job c carol, schedule b carol, schedule c carol', 'schedules and jobs, too');
$s->value("SELECT async_event_emit('$_', to_jsonb('$_'::text))") for ('a', 'b', 'c');
ok($s->until('SELECT count(*) = 2 FROM told', 20), 'events are handled');
is($s->value(q{SELECT string_agg(what || ' ' || who, ', ' ORDER BY what) FROM told}), 'b carol, c carol', 'by whom they were handed on to');
ok($s->until(q{SELECT count(*) = 2 FROM aside.event_handler}, 20), 'a row goes with its proxy');
ok($s->until(q{SELECT (SELECT count(*) = 2 FROM aside.schedule) AND (SELECT count(*) = 2 FROM aside.parallel_job)}, 20), 'of schedules and jobs, too');
$s->quit;

# Tables that no superuser owns: nothing runs with more rights than their owner has, in a worker, a coordinator or a caller.
$mon->value('CREATE ROLE dba LOGIN SUPERUSER');
$mon->value('CREATE ROLE mallory LOGIN IN ROLE aside_user');
$mon->value('CREATE DATABASE theirs OWNER mallory');
$s = session($node, db => 'theirs');
$s->value($_) for ('SET ROLE dba', split(/; /, $made), on('a'), 'SET ROLE alice', on('b'), 'RESET ROLE');
$s->value('REASSIGN OWNED BY dba TO mallory');
$s->value('CREATE TABLE ran_as (what text, who text, super bool)');
$s->value('GRANT ALL ON ran_as TO PUBLIC');
my $m = session($node, db => 'theirs', user => 'mallory');
is($m->run(q{INSERT INTO aside.event_handler (name, channel, owner, command, form, concurrency, batch_size, max_attempts, backoff, backoff_cap,
	ordered, durable, since) VALUES ('pwn', 'pwn', 'postgres', 'ALTER ROLE mallory SUPERUSER', 'c', 1, 1, 1, '1 s', '1 s', false, false, 0)})->{sqlstate},
	'42501', 'their owner may not write down a handler of a superuser');
$m->value($_) for (
	q{CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO public.ran_as VALUES (TG_TABLE_NAME, current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user));
		EXECUTE 'ALTER ROLE mallory SUPERUSER'; RETURN NULL;
		EXCEPTION WHEN insufficient_privilege THEN INSERT INTO public.ran_as VALUES (TG_TABLE_NAME, current_user, false); RETURN NULL; END $$},
	map { "CREATE TRIGGER spy AFTER INSERT ON aside.$_ FOR EACH ROW EXECUTE FUNCTION spy()" }
		('event_0', 'event_log_0', 'event_handler', 'event_dead', 'event_unique'));
# He disables what checks his rows: his tables are worth no more than he is.
$m->value('ALTER TABLE aside.event_handler DISABLE TRIGGER USER');
$m->value(q{INSERT INTO aside.event_handler (name, channel, owner, command, form, concurrency, batch_size, max_attempts, backoff, backoff_cap,
	ordered, durable, since) VALUES ('pwn', 'pwn', 'postgres', 'ALTER ROLE mallory SUPERUSER', 'c', 1, 1, 1, '1 s', '1 s', false, false, 0)});
$m->value('ALTER TABLE aside.event_handler ENABLE ALWAYS TRIGGER rights');
$m->value('ALTER TABLE aside.event_handler ENABLE ALWAYS TRIGGER follow');
$m->value(q{UPDATE aside.event_handler SET command = 'ALTER ROLE mallory SUPERUSER' WHERE name = 'a'});
is($m->run(q{UPDATE aside.event_handler SET command = 'SELECT 1' WHERE name = 'b'})->{sqlstate}, '42501', "nor change another's");
is($s->run(q{SELECT async_event_emit('a', unique_key => 'k')})->{sqlstate}, '42501', 'a superuser emits nothing into his tables');
is($s->run(q{SELECT async_event_on('z', command => 'SELECT 1')})->{sqlstate}, '42501', 'and defines nothing there');
like($s->value($handlers), qr/^a mallory, b alice the tables of pg/, 'handlers of others wait');
$m->value(q{SELECT async_event_emit('a', unique_key => 'k'), async_event_emit('b'), async_event_emit('pwn')});
$m->value(q{NOTIFY pwn});
ok($s->until(q{SELECT EXISTS (SELECT FROM aside.event_log WHERE kind IN ('f', 'x'))}, 20), 'his own run and fail');
is($s->value(q{SELECT count(*) FROM told}), 0, 'no other has run');
ok($s->until(q{SELECT EXISTS (SELECT FROM ran_as WHERE what = 'event_log_0')}, 20), 'his triggers fire');
is($s->value(q{SELECT string_agg(DISTINCT who, ', ') FROM ran_as WHERE who <> 'mallory'}), '', 'as himself');
is($s->value(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'}), 'f', 'he is no superuser');

# Some of it given back to a superuser: what is still his runs nothing in the superuser's name.
$s->value('ALTER TABLE aside.event_handler OWNER TO postgres');
is($s->run(q{SELECT async_event_emit('a', unique_key => 'k2')})->{sqlstate}, '42501', 'several owners: nothing is emitted');
is($s->run(q{SELECT async_event_on('z', command => 'SELECT 1')})->{sqlstate}, '42501', 'nor defined');
ok(eval { $node->wait_for_log(qr/coordinator of events failed: tables and functions of pg_aside belong to several roles/); 1 },
	'nor run');
my $again = q{DO $$ DECLARE c text; BEGIN FOR c IN SELECT format('ALTER TABLE %s OWNER TO postgres', oid::regclass) FROM pg_class WHERE relnamespace = 'aside'::regnamespace
	AND (relkind IN ('r', 'v') OR relname IN ('event_id', 'schedule_run_id')) UNION ALL SELECT format('ALTER FUNCTION %s OWNER TO postgres', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'aside'::regnamespace
	LOOP EXECUTE c; END LOOP; END $$};
$s->value($again);
$s->value("DROP TRIGGER spy ON aside.$_") for ('event_0', 'event_log_0', 'event_handler', 'event_dead', 'event_unique');
$s->value('TRUNCATE ran_as');
like($s->value(q{SELECT async_event_emit('a', unique_key => 'k3')}), qr/^\d+$/, 'all of it given back: it works again');
ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE who = 'alice')}, 20), 'and what waited runs');
# Who may put triggers on the tables, or rules on the views, runs nothing in the superuser's name either.
$s->value('GRANT ALL ON ALL TABLES IN SCHEMA aside TO mallory');
$s->value('CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$');
$m->value('CREATE TRIGGER spy AFTER INSERT ON aside.event_log_0 EXECUTE FUNCTION audit()');
like($s->value(q{SELECT async_event_emit('a')}), qr/^\d+$/, "a trigger with a superuser's function: events are emitted");
$s->value('ALTER FUNCTION audit() OWNER TO mallory');
is($s->run(q{SELECT async_event_emit('a')})->{sqlstate}, '42501', 'of another role: none');
$s->value('DROP TRIGGER spy ON aside.event_log_0');
# It comes while a handler runs, after its worker has looked.
$s->value('CREATE TABLE held (); GRANT ALL ON held TO PUBLIC');
$s->value(q{SELECT async_event_on('late', command => 'LOCK TABLE public.held', name => 'late')});
$s->value('BEGIN; LOCK TABLE held');
my $emitter = session($node, db => 'theirs');
$emitter->value(q{SELECT async_event_emit('late')});
ok($emitter->until(q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'held'::regclass AND NOT granted)}, 20), 'a handler waits');
$m->value("CREATE TRIGGER spy AFTER INSERT ON aside.$_ EXECUTE FUNCTION spy()") for ('event_log_0', 'event_log_1', 'event_log_2');
$s->value('COMMIT');
ok($emitter->until(q{SELECT NOT EXISTS (SELECT FROM pg_locks WHERE relation = 'held'::regclass)}, 20), 'it has ended');
is($s->value(q{SELECT string_agg(DISTINCT who, ', ') FROM ran_as}), '', 'a trigger that has come meanwhile has not run');
$s->value("DROP TRIGGER spy ON aside.$_") for ('event_log_0', 'event_log_1', 'event_log_2');
$s->value(q{SELECT async_event_off('late')});
$s->value('ALTER VIEW aside.event_rows OWNER TO mallory');
is($s->run(q{SELECT async_event_cancel(1)})->{sqlstate}, '42501', 'a view of another role: nothing is read by it');
$s->value('ALTER VIEW aside.event_rows OWNER TO postgres');
$emitter->quit;

# A role of that name that is attributes that users of pg_aside would gain.
$there->value('CREATE DATABASE warned');
$there->value('ALTER ROLE aside_user LOGIN');
my $w = session($other, db => 'warned');
like($w->run('CREATE EXTENSION pg_aside')->{err}, qr/WARNING: .*role "aside_user" already exists and has attributes/, 'that aside_user can log in is said');
$w->quit;

# A database is left only for a command that the server will run.
$s->quit;
$mon->value(q{CREATE ROLE thief LOGIN CREATEDB IN ROLE aside_user});
my $coordinator = q{SELECT pid FROM aside.coordinators WHERE database = 'one' AND state = 'running'};
my $pid = $mon->value($coordinator);
my $t = session($node, user => 'thief');
is($t->run('CREATE DATABASE stolen TEMPLATE one')->{sqlstate}, '42501', 'a database is not copied by who may not');
$mon->value(q{ALTER DATABASE one OWNER TO thief});
is($t->run('CREATE DATABASE postgres TEMPLATE one')->{sqlstate}, '42P04', 'nor to one that exists');
is($t->run('CREATE DATABASE given TEMPLATE one OWNER carol')->{sqlstate}, '42501', 'nor for another role');
is($t->run('BEGIN; CREATE DATABASE copied TEMPLATE one')->{sqlstate}, '25001', 'nor in a transaction');
$t->run('ROLLBACK');
is($t->run('BEGIN; DROP DATABASE one')->{sqlstate}, '25001', 'nor is it dropped in one');
$t->run('ROLLBACK');
is($t->run('ALTER DATABASE one RENAME TO postgres')->{sqlstate}, '42P04', 'nor renamed to one that exists');
$mon->value('ALTER DATABASE one IS_TEMPLATE true');
is($t->run('DROP DATABASE one')->{sqlstate}, '42809', 'nor is a template dropped');
$mon->value('ALTER DATABASE one IS_TEMPLATE false');
is($mon->value($coordinator), $pid, 'its coordinator has stayed');

# Connection limits, where a session is opened in another database.
$mon->value('ALTER DATABASE one CONNECTION LIMIT 1');
$t->value(q{SELECT autonomous_session_open('first', 'one')});
is($t->run(q{SELECT autonomous_session_open('second', 'one')})->{sqlstate}, '53300', "a database's limit holds for sessions");
$mon->value('ALTER DATABASE one CONNECTION LIMIT 2');
$t->value(q{SELECT autonomous_session_open('second', 'one')});
$mon->value('ALTER DATABASE one CONNECTION LIMIT -1');
$mon->value('ALTER ROLE thief CONNECTION LIMIT 3');
is($t->run(q{SELECT autonomous_session_open('third', 'one')})->{sqlstate}, '53300', "so does a role's");
$mon->value('ALTER ROLE thief CONNECTION LIMIT 4');
$t->value(q{SELECT autonomous_session_open('third', 'one')});

finish_all($t, $m, $mon, $there);
$_->stop for ($node, $other);
unlike(slurp_file($_->logfile), qr/PANIC|TRAP:/, 'the log complains of nothing') for ($node, $other);
done_testing();

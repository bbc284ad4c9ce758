# Claim: from each released version ALTER EXTENSION UPDATE leads to the catalog of a new installation. Handlers, events, dead events,
# unique keys and numbers live on, and each event that waited is handled once. Until then the new module refuses what only the older
# version knows, and says why. A downgrade is refused.
#
# scripts/upgrade-from runs this with the released module itself: then it begins with that module, which is replaced under a server
# that runs.

use strict;
use warnings;

use File::Copy;
use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $real = $ENV{ASIDE_RELEASED}; # an installation that has the released module: bin/ and what it leads to
my $new = $ENV{ASIDE_NEW};       # bin/ of one that has this one
my $node = PostgreSQL::Test::Cluster->new('released', $real ? (install_path => $real) : ());
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_aside'\nmax_worker_processes = 32\n");
$node->start;
my $dir = $node->config_data('--sharedir') . '/extension';
my ($from) = slurp_file("$dir/pg_aside.control") =~ /^default_version = '(.*)'/m;
$from = '0.1.0' unless $real;

sub put_new
{
	my ($lib, $share) = map { $node->config_data($_) } '--pkglibdir', '--sharedir';
	my ($new_lib, $new_share) = map { my $at = `$new/pg_config $_`; chomp $at; $at } '--pkglibdir', '--sharedir';
	copy("$new_lib/pg_aside.so", "$lib/pg_aside.so.new") or die "pg_aside.so: $!";
	rename "$lib/pg_aside.so.new", "$lib/pg_aside.so" or die "pg_aside.so: $!";
	for (glob "$new_share/extension/*aside*") { copy($_, "$share/extension/") or die "$_: $!" }
	return;
}
my @extensions = ('pg_aside', 'aside_dblink', 'aside_pg_background');
$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; CREATE DATABASE fresh; CREATE DATABASE upgraded');
$node->safe_psql('upgraded', join ';', (map { "CREATE EXTENSION $_ VERSION '$from'" } @extensions), q{
	GRANT aside_user TO owner;
	GRANT ALL ON SCHEMA public TO owner;
	CREATE TABLE told (what text);
	ALTER TABLE told OWNER TO owner});

# What stands in the older version's tables. With the new module events are written as its own functions would.
sub emit
{
	my ($channel, $payload, %o) = @_;
	return "SELECT async_event_emit('$channel', '\"$payload\"'" . join('', map { ", $_ => '$o{$_}'" } sort keys %o) . ')' if $real;
	my $owner = "'owner'::regrole";
	my $key = defined $o{unique_key} ? "'$o{unique_key}'" : 'NULL';
	my $at = defined $o{delay} ? "now() + interval '$o{delay}'" : 'NULL';
	return qq{WITH e AS (INSERT INTO aside.event_0 (id, txid, channel, payload, priority, run_at, unique_key, emitted, emitted_by)
		SELECT nextval('aside.event_id'), pg_current_xact_id(), '$channel', '"$payload"', 0, $at, $key, clock_timestamp(), $owner RETURNING *)
		INSERT INTO aside.event_unique SELECT channel, unique_key, id, emitted_by FROM e WHERE unique_key IS NOT NULL};
}
# The new module refuses what triggers of the older tables call.
my $past = $real ? '' : 'SET session_replication_role = replica;';
$node->safe_psql('upgraded', $past . q{
	SET ROLE owner;
	CREATE FUNCTION handle(what text) RETURNS void LANGUAGE sql AS 'INSERT INTO told VALUES (what)';
	CREATE FUNCTION fail(e aside.event) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;
	SELECT async_event_on('a', 'handle(text)');
	SELECT async_event_on('a', command => $$INSERT INTO told VALUES ('by a command')$$, name => 'second');
	SELECT async_event_on('b', 'fail(aside.event)', max_attempts => 1);
	SELECT async_event_on('c', 'handle(text)', name => 'has gone');
	SELECT async_event_off('has gone');
	SELECT async_event_pause('second')});
my $s = session($node, db => 'upgraded');
$s->value($past);
if ($real)
{
	$s->value('SET ROLE owner');
	$s->value(emit('b', 'dies'));
	ok($s->until('SELECT EXISTS (SELECT FROM aside.dead_events)', 60), 'an event is dead before the upgrade');
	$s->value(emit('a', 'is done before'));
	ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'is done before')}, 60), 'another one is done');
	$s->value('RESET ROLE');
}
else
{
	$s->value(q{INSERT INTO aside.event_dead (id, handler, channel, payload, priority, emitted, emitted_by, attempts, sqlstate, message)
		SELECT nextval('aside.event_id'), id, 'b', '"dies"', 0, now(), 'owner', 1, 'P0001', 'no' FROM aside.event_handler WHERE channel = 'b'});
	$s->value(q{INSERT INTO aside.event_log_0 (handler, kind, events, attempt) SELECT h.id, 'a', ARRAY[0], 1 FROM aside.event_handler h WHERE name = 'a'});
}
$s->value(q{SELECT async_event_pause('a')});
$s->value('SET ROLE owner') if $real;
$s->value(emit('a', 'waits'));
$s->value(emit('a', 'has a key', unique_key => 'k'));
$s->value(emit('a', 'is late', delay => '1 second'));
$s->value('RESET ROLE');
$s->value('RESET session_replication_role');
my $ids = $s->value(q{SELECT string_agg(concat_ws(' ', id, name, paused, version), ', ' ORDER BY id) FROM aside.event_handler});
my $last = $s->value('SELECT last_value FROM aside.event_handler_id_seq');
my $event = $s->value('SELECT last_value FROM aside.event_id');

if ($real)
{
	# Nothing is preloaded: a worker that starts after the replacement has the new module, its caller the old one.
	my $private = PostgreSQL::Test::Cluster->new('replaced', install_path => $real);
	$private->init;
	$private->start;
	$private->safe_psql('postgres', 'CREATE EXTENSION pg_aside; CREATE TABLE told (what text)');
	my $p = session($private);
	is($p->value(q{SELECT autonomous_exec('INSERT INTO told VALUES (''before'')')}), 1, 'nothing preloaded: a call before the module is replaced');
	$p->value(q{SELECT pg_terminate_backend(pid) FROM aside.workers WHERE pid IS NOT NULL});
	ok($p->until(q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_aside worker')}), 'its worker ends');
	put_new();
	my $r = $p->run(q{SELECT autonomous_exec('INSERT INTO told VALUES (''after'')')});
	isnt($r->{sqlstate}, undef, 'the next call fails');
	note $r->{err};
	like(slurp_file($private->logfile), qr/shared memory of pg_aside was laid out by another version/, 'its worker has refused the memory');
	is($p->value('SELECT count(*) FROM told'), 1, 'and ran nothing');
	is(session($private)->value('SELECT count(*) FROM told'), 1, 'the server goes on');
	$private->stop;

	is($s->value(q{SELECT autonomous_exec('SELECT 1')}), 1, 'preloaded: the server goes on with the older module');
	is(session($node, db => 'upgraded')->value(q{SELECT autonomous_exec('SELECT 1')}), 1, 'in new sessions, too');
	my ($rc, $out, $stderr) = $node->psql('upgraded', 'ALTER EXTENSION pg_aside UPDATE');
	like($stderr, qr/could not find function "aside_\w+" in file/, 'and refuses the update');
	is($s->value(q{SELECT extversion FROM pg_extension WHERE extname = 'pg_aside'}), $from, 'which leaves no trace');
	$s->quit;
	$node->restart;
	$s = session($node, db => 'upgraded');
}
my ($now) = slurp_file("$dir/pg_aside.control") =~ /^default_version = '(.*)'/m;
is($s->value(q{SELECT autonomous_exec('SELECT 1')}), 1, 'the new module runs calls of the older version');
my $r = $s->run(q{SELECT async_event_emit('a')});
is("$r->{sqlstate} $r->{hint}", '55000 Run ALTER EXTENSION ... UPDATE in this database.', 'and refuses what has changed');
ok($s->until(q{SELECT failures > 0 FROM aside.coordinators WHERE database = current_database()}, 60), 'a coordinator does not touch its tables');
like(slurp_file($node->logfile), qr/extension pg_aside is of version \Q$from\E in database "upgraded", and its module of version \Q$now\E/, 'and says why');

$node->safe_psql('fresh', join ';', map { "CREATE EXTENSION $_" } @extensions);
for my $extension (@extensions)
{
	isnt(catalog($node, 'upgraded', $extension), catalog($node, 'fresh', $extension), "$extension: the two versions differ");
	$s->value("ALTER EXTENSION $extension UPDATE", 60);
}
for my $extension (@extensions)
{
	my ($have, $want) = map { +{ map { $_ => 1 } split /\n/, catalog($node, $_, $extension) } } 'upgraded', 'fresh';
	is(join("\n", sort grep { !$have->{$_} } keys %$want), '', "$extension: an upgraded catalog has all that a fresh one has");
	is(join("\n", sort grep { !$want->{$_} } keys %$have), '', "$extension: and nothing else");
}
is($s->value(q{SELECT string_agg(concat_ws(' ', id, name, paused, version), ', ' ORDER BY id) FROM aside.event_handler}), $ids, 'handlers are as they were');
is($s->value('SELECT last_value FROM aside.event_handler_id_seq'), $last, 'the next one has a new number');
cmp_ok($s->value('SELECT last_value FROM aside.event_id'), '>=', $event, 'so has the next event');
is($s->value(q{SELECT string_agg(DISTINCT owner::text, ', ') FROM aside.handlers}), 'owner', 'handlers have their owners');
like($s->run('DROP ROLE owner')->{err}, qr/handler a \(1\)/, 'whom the server knows of');
is($s->value(q{SELECT count(*) FROM pg_depend WHERE classid = 'pg_type'::regclass AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_aside')
	AND pg_describe_object(classid, objid, 0) LIKE 'type aside."handler %'}), 0, 'dumps will take the proxies of definitions along');
is($s->value(q{SELECT concat_ws(' ', handler, payload, emitted_by, message) FROM aside.dead_events}), 'b "dies" owner no', 'the dead event is there');

$s->value('SET ROLE owner');
$r = $s->run(q{SELECT async_event_emit('a', '"twice"', unique_key => 'k')});
is($r->{sqlstate}, '23505', 'a unique key is still taken');
$s->value(q{SELECT async_event_resume('a')});
ok($s->until(q{SELECT count(*) = 3 FROM told WHERE what IN ('waits', 'has a key', 'is late')}, 60), 'what waited is handled');
$s->value(q{SELECT async_event_resume('second')});
my $waited = $real ? 4 : 3;
ok($s->until(qq{SELECT count(*) = $waited FROM told WHERE what = 'by a command'}, 60), 'by each handler');
$s->value(q{CREATE OR REPLACE FUNCTION fail(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO told VALUES (e.payload #>> '{}') $$});
is($s->value(q{SELECT async_event_redrive('b')}), 1, 'the dead event is emitted again');
ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'dies')}, 60), 'and handled');
$s->value(q{SELECT async_event_emit('a', '"new"', unique_key => 'k')});
ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'new')}, 60), 'the key is free, and new events are handled');
is($s->value(q{SELECT string_agg(what || ' ' || n, ', ' ORDER BY what) FROM (SELECT what, count(*) AS n FROM told WHERE what <> 'by a command' GROUP BY what) c WHERE n > 1}), '', 'each once');
$s->value(q{SELECT schedule_set('s', 'every 1 hour', $$INSERT INTO told VALUES ('by the clock')$$)});
$s->value(q{SELECT schedule_run_now('s')});
ok($s->until(q{SELECT EXISTS (SELECT FROM told WHERE what = 'by the clock')}, 60), 'what is new in this version works');
$s->quit;
for my $extension (@extensions)
{
	my ($rc, $out, $stderr) = $node->psql('upgraded', "ALTER EXTENSION $extension UPDATE TO '$from'");
	like($stderr, qr/has no update path from version "\Q$now\E" to version "\Q$from\E"/, "$extension: a downgrade is refused");
}
$node->safe_psql('upgraded', 'DROP EXTENSION pg_aside CASCADE');
is($node->safe_psql('upgraded', q{SELECT count(*) FROM pg_type WHERE typnamespace = to_regnamespace('aside')}), 0, 'the extension can be dropped');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal/, 'no process has crashed');
done_testing();

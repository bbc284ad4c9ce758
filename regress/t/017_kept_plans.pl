# Claim: whatever is done to the catalogs and the settings between repeated
# commands, a command does what EXECUTE of its text does: random commands between
# random changes, by workers that keep their plans, by a session, and by EXECUTE.
#
# ASIDE_TEST_SECONDS runs it for longer.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{ASIDE_TEST_SECONDS} || 5;

my $node = aside_node('plans', conf => q{
	aside.max_workers = 4
	aside.plan_cache_size = 64
	IntervalStyle = postgres});
$node->safe_psql('postgres', q{
	CREATE SCHEMA s1;
	CREATE SCHEMA s2;
	GRANT ALL ON SCHEMA s1, s2 TO PUBLIC;
	CREATE ROLE kp_user IN ROLE aside_user;
	CREATE ROLE kp_group;
	CREATE TABLE difference (n serial, entry text, command text, wanted text, got text);
	GRANT ALL ON difference TO PUBLIC;
	GRANT ALL ON SEQUENCE difference_n_seq TO PUBLIC;
	CREATE TABLE rate AS SELECT 1 AS r;
	GRANT SELECT ON rate TO PUBLIC;
	-- What EXECUTE does here: the one text that a command returns, or its error.
	CREATE FUNCTION executed(command text, VARIADIC args text[]) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE v text; m text;
	BEGIN
		CASE args[1]
			WHEN 'int' THEN EXECUTE command INTO v USING 1;
			WHEN 'text' THEN EXECUTE command INTO v USING '1'::text;
			ELSE EXECUTE command INTO v;
		END CASE;
		RETURN v;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS m = MESSAGE_TEXT;
		RETURN '! ' || SQLSTATE || ' ' || m;
	END $$;
	CREATE FUNCTION autonomous(entry text, command text, arg text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE v text; m text;
	BEGIN
		IF entry = 'query' THEN
			CASE arg
				WHEN 'int' THEN SELECT r INTO v FROM public.autonomous_query(command, 1) AS (r text);
				WHEN 'text' THEN SELECT r INTO v FROM public.autonomous_query(command, '1'::text) AS (r text);
				ELSE SELECT r INTO v FROM public.autonomous_query(command) AS (r text);
			END CASE;
		ELSE
			CASE arg
				WHEN 'int' THEN SELECT r INTO v FROM public.autonomous_session_query('s', command, 1) AS (r text);
				WHEN 'text' THEN SELECT r INTO v FROM public.autonomous_session_query('s', command, '1'::text) AS (r text);
				ELSE SELECT r INTO v FROM public.autonomous_session_query('s', command) AS (r text);
			END CASE;
		END IF;
		RETURN v;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS m = MESSAGE_TEXT;
		RETURN '! ' || SQLSTATE || ' ' || m;
	END $$;
	CREATE FUNCTION note(entry text, command text, wanted text, got text) RETURNS void LANGUAGE sql AS
		'INSERT INTO public.difference (entry, command, wanted, got) SELECT entry, command, wanted, got WHERE wanted IS DISTINCT FROM got';
	CREATE FUNCTION compared(command text, arg text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE wanted text := public.executed(command, arg);
	BEGIN
		PERFORM public.note('call', command, wanted, public.autonomous('query', command, arg));
		-- a session is its opener's
		IF current_user = session_user THEN
			PERFORM public.note('session', command, wanted, public.autonomous('session', command, arg));
		END IF;
	END $$;
	-- A change within a transaction of the session, which its failure does not end.
	CREATE FUNCTION attempt(change text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM public.autonomous_session_exec('s', 'SAVEPOINT a');
		PERFORM public.autonomous_session_exec('s', change);
	EXCEPTION WHEN OTHERS THEN
		PERFORM public.autonomous_session_exec('s', 'ROLLBACK TO a');
	END $$;
	-- Within a transaction of the session, where nobody else can look.
	CREATE FUNCTION compared_inside(command text, arg text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE wanted text;
	BEGIN
		SELECT r INTO wanted FROM public.autonomous_session_query('s', 'SELECT public.executed($1, $2)', command, arg) AS (r text);
		PERFORM public.note('session inside', command, wanted, public.autonomous('session', command, arg));
	END $$;
});

sub one { return $_[ int rand @_ ]; }

sub schema { return one('s1', 's2'); }

# ---- what is changed
sub change
{
	my $s = schema();
	my $n = int rand 5;
	my $language = one('plpgsql', 'sql');
	my $volatility = one('IMMUTABLE', 'STABLE', 'VOLATILE');
	my $function = $language eq 'sql' ? "SELECT 'sql $n'::text" : "BEGIN RETURN 'pl $n'; END";
	my $argument = one('int', 'numeric', 'text', 'ty', 'bigint', 'anyelement', 'date');
	my $type = one('int', 'bigint', 'text', 'numeric(6,2)', 'varchar(3)', 'ty', 'timestamptz', 'jsonb');
	return one(
		# types
		"DROP TYPE IF EXISTS $s.ty CASCADE", "DROP DOMAIN IF EXISTS $s.ty CASCADE", "DROP DOMAIN IF EXISTS $s.dom CASCADE",
		"CREATE TYPE $s.ty AS (a int)", "CREATE TYPE $s.ty AS (a text, b int)", "CREATE TYPE $s.ty AS ENUM ('x', 'y', '1')",
		"CREATE TYPE $s.ty AS ENUM ('1', 'y', 'x')", "CREATE DOMAIN $s.ty AS int DEFAULT $n", "CREATE DOMAIN $s.ty AS text DEFAULT 'd$n'",
		"CREATE DOMAIN $s.dom AS int DEFAULT $n", "CREATE DOMAIN $s.dom AS timestamptz", "ALTER DOMAIN $s.dom SET DEFAULT $n",
		"ALTER DOMAIN $s.dom ADD CONSTRAINT c CHECK (VALUE > $n)", "ALTER DOMAIN $s.dom DROP CONSTRAINT IF EXISTS c",
		"ALTER DOMAIN $s.dom SET NOT NULL", "ALTER DOMAIN $s.dom DROP NOT NULL",
		"ALTER TYPE $s.ty ADD ATTRIBUTE c$n int", "ALTER TYPE $s.ty DROP ATTRIBUTE IF EXISTS c$n",
		"ALTER TYPE $s.ty RENAME VALUE 'x' TO 'w'", "ALTER TYPE $s.ty RENAME VALUE 'w' TO 'x'", "ALTER TYPE $s.ty ADD VALUE 'v$n'",
		"ALTER TYPE $s.ty SET SCHEMA " . schema(), "ALTER TYPE $s.ty RENAME TO ty2", "ALTER TYPE $s.ty2 RENAME TO ty",
		# tables, views, rules
		"DROP TABLE IF EXISTS $s.tab CASCADE", "CREATE TABLE $s.tab (a $type, b int DEFAULT $n)", "CREATE TABLE $s.tab (a dom, b int)",
		"INSERT INTO $s.tab (b) VALUES ($n)", "DELETE FROM $s.tab", "TRUNCATE $s.tab", "ANALYZE $s.tab",
		"ALTER TABLE $s.tab ADD c$n int DEFAULT $n", "ALTER TABLE $s.tab DROP IF EXISTS c$n", "ALTER TABLE $s.tab DROP a",
		"ALTER TABLE $s.tab ADD a $type", "ALTER TABLE $s.tab ALTER a TYPE text", "ALTER TABLE $s.tab ALTER a TYPE int USING $n",
		"ALTER TABLE $s.tab ALTER b SET DEFAULT $n", "ALTER TABLE $s.tab RENAME TO lost", "ALTER TABLE $s.lost RENAME TO tab",
		"ALTER TABLE $s.tab SET SCHEMA " . schema(), "CREATE VIEW $s.vw AS SELECT $n AS v", "CREATE OR REPLACE VIEW $s.vw AS SELECT $n AS v",
		"CREATE VIEW $s.vw AS SELECT b AS v FROM $s.tab", "CREATE VIEW $s.vw AS SELECT imm() AS v", "DROP VIEW IF EXISTS $s.vw",
		"CREATE VIEW $s.tab AS SELECT 'view'::text AS a, $n AS b", "DROP VIEW IF EXISTS $s.tab CASCADE",
		"CREATE RULE r AS ON INSERT TO $s.tab DO ALSO SELECT 1", "DROP RULE IF EXISTS r ON $s.tab",
		"CREATE TABLE $s.rls AS SELECT generate_series(1, $n) AS x", "DROP TABLE IF EXISTS $s.rls", "GRANT ALL ON ALL TABLES IN SCHEMA $s TO PUBLIC",
		"ALTER TABLE $s.rls ENABLE ROW LEVEL SECURITY", "ALTER TABLE $s.rls DISABLE ROW LEVEL SECURITY",
		"CREATE POLICY p ON $s.rls TO kp_group USING (x > 1)", "CREATE POLICY q ON $s.rls USING (x = $n)", "DROP POLICY IF EXISTS q ON $s.rls",
		# functions, operators, casts
		"CREATE OR REPLACE FUNCTION $s.fn($argument) RETURNS text $volatility LANGUAGE $language AS \$\$$function\$\$",
		"DROP FUNCTION IF EXISTS $s.fn($argument)", "DROP FUNCTION IF EXISTS $s.fn($argument)", "DROP FUNCTION IF EXISTS $s.fn",
		"REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA $s FROM PUBLIC", "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA $s TO PUBLIC",
		"CREATE OR REPLACE FUNCTION $s.imm() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT r FROM public.rate); END'",
		"CREATE OR REPLACE FUNCTION $s.imm() RETURNS int LANGUAGE sql AS 'SELECT $n'", "UPDATE rate SET r = $n",
		"CREATE OR REPLACE FUNCTION $s.rows() RETURNS SETOF tab LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT * FROM tab; END'",
		"DROP FUNCTION IF EXISTS $s.rows", "CREATE FUNCTION $s.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''now''::timestamptz'",
		"CREATE OR REPLACE FUNCTION $s.plus(int, int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''int $n''; END'",
		"CREATE OR REPLACE FUNCTION $s.plus(numeric, numeric) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN ''numeric $n''; END'",
		"CREATE OPERATOR $s.<++> (LEFTARG = int, RIGHTARG = int, FUNCTION = $s.plus)", "DROP OPERATOR IF EXISTS $s.<++> (int, int)",
		"CREATE OPERATOR $s.<++> (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = $s.plus)", "DROP OPERATOR IF EXISTS $s.<++> (numeric, numeric)",
		"CREATE CAST ($s.ty AS int) WITH INOUT", "DROP CAST IF EXISTS ($s.ty AS int)", "CREATE CAST (int AS $s.ty) WITH INOUT AS IMPLICIT",
		"DROP CAST IF EXISTS (int AS $s.ty)",
		"CREATE OR REPLACE PROCEDURE $s.pr(INOUT x text) LANGUAGE plpgsql AS 'BEGIN x := ''text $n''; END'",
		"CREATE OR REPLACE PROCEDURE $s.pr(INOUT x int) LANGUAGE plpgsql AS 'BEGIN x := $n; END'", "DROP PROCEDURE IF EXISTS $s.pr(int)",
		# names, text search, roles, schemas
		"CREATE SEQUENCE $s.sq START ${n}000", "DROP SEQUENCE IF EXISTS $s.sq", "ALTER SEQUENCE $s.sq RENAME TO sq2", "ALTER SEQUENCE $s.sq2 RENAME TO sq",
		"CREATE TEXT SEARCH CONFIGURATION $s.conf (COPY = simple)", "CREATE TEXT SEARCH CONFIGURATION $s.conf (COPY = english)",
		"DROP TEXT SEARCH CONFIGURATION IF EXISTS $s.conf CASCADE",
		"ALTER TEXT SEARCH CONFIGURATION $s.conf ALTER MAPPING FOR asciiword WITH " . one('simple', 'english_stem', 'dict'),
		"CREATE TEXT SEARCH DICTIONARY $s.dict (TEMPLATE = simple)", "ALTER TEXT SEARCH DICTIONARY $s.dict (STOPWORDS = english)",
		"ALTER TEXT SEARCH DICTIONARY $s.dict (STOPWORDS)", "CREATE COLLATION $s.co FROM \"C\"", "DROP COLLATION IF EXISTS $s.co",
		"CREATE ROLE kp_r", "DROP ROLE IF EXISTS kp_r", "ALTER ROLE kp_r RENAME TO kp_q", "DROP ROLE IF EXISTS kp_q",
		"GRANT kp_group TO kp_user", "REVOKE kp_group FROM kp_user", "ALTER ROLE kp_user " . one('BYPASSRLS', 'NOBYPASSRLS'),
		"REVOKE USAGE ON SCHEMA $s FROM PUBLIC", "GRANT USAGE ON SCHEMA $s TO PUBLIC",
		"ALTER SCHEMA s1 RENAME TO s3; ALTER SCHEMA s2 RENAME TO s1; ALTER SCHEMA s3 RENAME TO s2");
}

sub setting
{
	return one(
		'SET search_path = s1, s2, public', 'SET search_path = s2, s1, public', 'SET search_path = s2, public', 'SET search_path = public',
		"SET DateStyle = 'ISO, MDY'", "SET DateStyle = 'ISO, DMY'", "SET DateStyle = 'German'", "SET TimeZone = 'UTC'", "SET TimeZone = 'Asia/Tokyo'",
		'SET IntervalStyle = postgres', 'SET IntervalStyle = sql_standard', 'SET standard_conforming_strings = ' . one('on', 'off'),
		'SET transform_null_equals = ' . one('on', 'off'), 'SET array_nulls = ' . one('on', 'off'), 'SET xmloption = ' . one('content', 'document'),
		"SET default_text_search_config = '" . one('simple', 'english', 'conf') . "'", 'SET row_security = ' . one('on', 'off'),
		'SET plan_cache_mode = ' . one('auto', 'force_custom_plan'), 'SET enable_seqscan = ' . one('on', 'off'), 'SET extra_float_digits = ' . int rand 3,
		'SET client_min_messages = ' . one('warning', 'error'));
}

# ---- what is asked: each returns one text, which does not depend on who asked before
my @commands = (
	q{SELECT fn(1)::text}, q{SELECT fn(1.5)::text}, q{SELECT fn('1')::text}, q{SELECT s1.fn(1)::text}, q{SELECT s2.fn('x'::text)::text},
	q{SELECT (1 <++> 2)::text}, q{SELECT (1 <++> 2.5)::text}, q{SELECT imm()::text}, q{SELECT (imm() + 1)::text},
	q{SELECT 'x'::ty::text}, q{SELECT ('x'::ty < '1'::ty)::text}, q{SELECT ROW(1)::ty::text}, q{SELECT 1::ty::text}, q{SELECT 'x'::ty::int::text},
	q{SELECT '(1,2)'::ty::text}, q{SELECT '{x,1}'::ty[]::text}, q{SELECT (NULL::ty IS NULL)::text}, q{SELECT pg_typeof(NULL::ty)::oid::text},
	q{SELECT 3::dom::text}, q{SELECT '3'::dom::text}, q{SELECT ('now'::dom = now()::dom)::text}, q{SELECT (NULL::dom IS NULL)::text},
	q{SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM tab t}, q{SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM tab},
	q{SELECT string_agg(pg_typeof(a)::text, ' ') FROM tab}, q{SELECT string_agg(v::text, ' ' ORDER BY v) FROM vw}, q{SELECT count(*)::text FROM rls},
	q{SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM rows() r}, q{SELECT count(*)::text FROM tab WHERE a = NULL},
	q{INSERT INTO tab (b) VALUES (1) RETURNING tab::text}, q{INSERT INTO tab (a) VALUES ('1') RETURNING a::text}, q{INSERT INTO tab VALUES (1) RETURNING tab::text},
	q{INSERT INTO tab (a) VALUES ('now') RETURNING (a::text = now()::text)::text}, q{WITH i AS (INSERT INTO s1.tab DEFAULT VALUES RETURNING *) SELECT i::text FROM i},
	q{UPDATE tab SET b = 7 WHERE false RETURNING tab::text}, q{DELETE FROM tab WHERE false RETURNING tab::text},
	q{SELECT ('now'::timestamptz = now())::text}, q{SELECT 'today'::date::text}, q{SELECT '01/02/03'::date::text}, q{SELECT '2024-01-01 12:00'::timestamptz::text},
	q{SELECT (clock() = now())::text}, q{SELECT ('[now,infinity)'::tstzrange @> now())::text}, q{SELECT '1-2'::interval::text}, q{SELECT '-1 2:03'::interval::text},
	q{SELECT 'a\\\\b'::text}, q{SELECT length('a\\\\b')::text}, q{SELECT ('a' = NULL)::text}, q{SELECT '{NULL}'::text[]::text}, q{SELECT '<a/><b/>'::xml::text},
	q{SELECT 0.1::float8::text}, q{SELECT to_tsvector('conf', 'the running dogs')::text}, q{SELECT to_tsvector('the running dogs')::text},
	q{SELECT 'tab'::regclass::oid::text}, q{SELECT 'fn'::regproc::oid::text}, q{SELECT 'fn(int)'::regprocedure::oid::text}, q{SELECT 'ty'::regtype::oid::text},
	q{SELECT 'kp_r'::regrole::oid::text}, q{SELECT 's1'::regnamespace::oid::text}, q{SELECT 'conf'::regconfig::oid::text}, q{SELECT 'dict'::regdictionary::oid::text},
	q{SELECT '<++>(int,int)'::regoperator::oid::text}, q{SELECT 'co'::regcollation::oid::text}, q{SELECT (nextval('sq') / 1000)::text},
	q{SELECT ('a' COLLATE co < 'B')::text}, q{SELECT current_user::text}, q{SELECT current_schema()::text}, q{CALL pr('1')}, q{CALL pr(1)},
	q{SELECT x::text FROM (SELECT 1 AS a_name_that_goes_on_and_on_until_it_is_longer_than_sixty_three_bytes) x},
	q{SELECT fn($1)::text}, q{SELECT $1::ty::text}, q{SELECT ($1 <++> 2)::text}, q{SELECT $1::dom::text}, q{INSERT INTO tab (a) VALUES ($1) RETURNING a::text},
	q{SELECT $1::regclass::text}, q{SELECT to_tsvector('conf', $1 || ' dogs')::text}, q{CALL pr($1)},
);

sub quoted { (my $text = $_[0]) =~ s/'/''/g; return "E'" . ($text =~ s/\\/\\\\/gr) . "'"; }

# A few of the commands are in use at a time, so that they come again soon.
sub script
{
	my ($steps) = @_;
	my @sql = ("SELECT public.autonomous_session_open('s');");
	my @use = map { one(@commands) } 1 .. 12;
	my $inside = 0;
	my $compare = sub {
		my $command = one(@use);
		my $arg = $command =~ /\$1/ ? one('int', 'text') : 'none';
		push @sql, sprintf 'SELECT public.%s(%s, %s);', $inside ? 'compared_inside' : 'compared', quoted($command), quoted($arg);
	};
	for (1 .. $steps)
	{
		my $r = rand;
		$use[ int rand @use ] = one(@commands) if rand() < 0.2;
		if ($inside)
		{
			my $sql = $r < 0.3 ? change() : $r < 0.4 ? setting() : undef;
			if ($r > 0.9)
			{
				$sql = one('COMMIT', 'ROLLBACK');
				$inside = 0;
			}
			push @sql, sprintf 'SELECT public.attempt(%s);', quoted($sql) if $inside && defined $sql;
			push @sql, "SELECT public.autonomous_session_exec('s', '$sql');" if !$inside;
			if (!defined $sql)
			{
				push @sql, "SELECT public.autonomous_session_exec('s', 'SAVEPOINT b');";
				$compare->();
				push @sql, "SELECT public.autonomous_session_exec('s', 'ROLLBACK TO b');";
			}
			# The session's settings may be others than its caller's now: both begin anew.
			push @sql, 'RESET ALL; RESET ROLE;', map { "SELECT public.autonomous_session_exec('s', '$_');" } 'RESET ALL', 'RESET ROLE'
			  if !$inside;
		}
		elsif ($r < 0.25)
		{
			push @sql, change() . ';';
		}
		elsif ($r < 0.28)
		{
			push @sql, one('SET ROLE kp_user;', 'RESET ROLE;');
		}
		elsif ($r < 0.36)
		{
			my $sql = setting();
			push @sql, 'RESET ROLE;', "$sql;", sprintf "SELECT public.autonomous_session_exec('s', %s);", quoted($sql);
		}
		elsif ($r < 0.39)
		{
			push @sql, 'RESET ROLE;', "SELECT public.autonomous_session_exec('s', 'BEGIN');";
			$inside = 1;
		}
		else
		{
			$compare->();
			push @sql, $sql[-1] if rand() < 0.5;
		}
	}
	push @sql, "SELECT public.autonomous_session_exec('s', 'ROLLBACK');" if $inside;
	push @sql, "SELECT public.autonomous_session_close('s');", 'RESET ROLE;';
	return join "\n", @sql, '';
}

# ---- what is heard only when a lock is had: a better function, other types of columns
$node->safe_psql('postgres', q{
	CREATE TABLE waited (a int, b text);
	CREATE FUNCTION better(numeric) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''numeric''; END';
});
my ($mon, $caller, $other) = map { session($node) } 1 .. 3;
# An argument without a type is what the column makes of it.
my $insert = q{SELECT autonomous_exec('INSERT INTO waited (a, b) VALUES ($1, better(7))', '007')};
$caller->value($insert) for 1 .. 3;
for my $change ('LOCK TABLE waited', 'ALTER TABLE waited ALTER a TYPE text')
{
	$other->value("BEGIN; DELETE FROM waited; $change");
	$caller->send($insert);
	busy_worker($mon, 'INSERT INTO waited', "wait_event_type = 'Lock'");
	$other->value(q{DROP FUNCTION IF EXISTS better(int);
		CREATE FUNCTION better(int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''int''; END'; COMMIT});
	my $r = $caller->wait;
	ok($r->{ok}, "a command that waited ran: $change");
	is($mon->value(q{SELECT string_agg(DISTINCT a || ' ' || b, ', ') FROM waited}), $change =~ /ALTER/ ? '007 int' : '7 int',
		'and did what its text meant then');
	$other->value('DROP FUNCTION better(int)') if $change =~ /LOCK/;
	$caller->value($insert) for 1 .. 3;
}
finish_all($mon, $caller, $other);

my $seed = seed();
my $end = time + $seconds;
my ($round, $asked, $differ) = (0, 0, 0);
while (time < $end && !$differ)
{
	srand($seed + $round++);
	my $script = script(300);
	$asked += () = $script =~ /compared/g;
	my ($rc, $out, $err) = $node->psql('postgres', $script, on_error_stop => 0, extra_params => ['-q'], timeout => 120);
	is($rc, 0, "round $round came to its end") if $rc != 0;
	$differ = $node->safe_psql('postgres', 'SELECT count(*) FROM difference');
	diag("round $round, by ASIDE_TEST_SEED=" . ($seed + $round - 1) . ":\n"
		  . $node->safe_psql('postgres', 'SELECT * FROM difference ORDER BY n LIMIT 20'))
	  if $differ;
	append_to_file("$ENV{ASIDE_TEST_SCRIPTS}/$round.sql", $script) if defined $ENV{ASIDE_TEST_SCRIPTS};
}
is($differ, 0, 'every command did what EXECUTE of its text did');
cmp_ok($asked, '>', 100, 'and many were asked');
note "$asked commands in $round rounds";
$node->stop;
done_testing();

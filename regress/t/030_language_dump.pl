# Claim: pg_dump and restore carry routines and triggers in plpgsql_autonomous, who may use
# the language, and nothing of the extension's own; what is restored works as it did.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;

# A dump, without what differs from one run to the next.
sub dumped
{
	my ($node, $db, @options) = @_;
	my ($out, $err) = run_command(
		[ 'pg_dump', '--no-sync', @options, '-d', $node->connstr($db) ]);
	$out =~ s/^\\(?:un)?restrict .*\n//mg;
	return $out;
}

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded');
	my $file = $node->basedir . '/dump';
	my $mon = session($node);
	$mon->value(q{CREATE ROLE owner IN ROLE aside_user; CREATE ROLE writer; CREATE ROLE caller});
	$mon->value("CREATE DATABASE $_ OWNER owner") for ('one', 'plain', 'custom', 'unchecked');

	my $s = session($node, db => 'one');
	# pg_aside not in public: its place is restored too.
	$s->value(q{CREATE SCHEMA place; CREATE EXTENSION pg_aside SCHEMA place});
	$s->value(q{GRANT USAGE ON LANGUAGE plpgsql_autonomous TO writer});
	$s->value(q{GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner});
	$s->value($_) for (
		q{CREATE TABLE log (n int, what text, who text DEFAULT current_user)},
		q{CREATE TYPE pair AS (a int, b text)},
		# (the body names what the dump creates after it)
		q{CREATE FUNCTION logged(n int, what text DEFAULT 'it''s', VARIADIC more pair[] DEFAULT '{}') RETURNS TABLE (id int, p pair)
			LANGUAGE plpgsql_autonomous SECURITY DEFINER SET search_path = public, pg_temp SET work_mem = '3MB' COST 7 ROWS 3 AS $f$
			DECLARE l log; BEGIN
				INSERT INTO log VALUES (n, what || ' \ ' || cardinality(more));
				RETURN QUERY SELECT n, (n, current_setting('work_mem'))::pair; END $f$},
		q{CREATE PROCEDURE twice(INOUT n int) LANGUAGE plpgsql_autonomous AS $p$
			BEGIN INSERT INTO log VALUES (n, 'committed'); COMMIT; INSERT INTO log VALUES (n, 'rolled back'); ROLLBACK; n := n * 2; END $p$},
		q{CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql_autonomous AS $t$
			BEGIN INSERT INTO log VALUES (NEW.n, TG_NAME || TG_ARGV[0]); NEW.m := NEW.n * 2; RETURN NEW; END $t$},
		q{CREATE FUNCTION double(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql_autonomous AS 'BEGIN RETURN n * 2; END'},
		q{CREATE TABLE t (n int CHECK (double(n) < 100), m int, d int DEFAULT double(21))},
		q{CREATE TRIGGER audit BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION audit(' it')},
		q{CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit('')},
		q{COMMENT ON FUNCTION audit() IS 'a comment'},
		q{REVOKE EXECUTE ON FUNCTION logged(int, text, pair[]) FROM PUBLIC},
		q{GRANT EXECUTE ON FUNCTION logged(int, text, pair[]) TO caller},
		q{INSERT INTO t VALUES (1), (2)},
		q{CREATE VIEW v AS SELECT double(n) AS twice FROM t},
		q{CREATE MATERIALIZED VIEW mv AS SELECT n FROM t});

	my $first = dumped($node, 'one');
	unlike($first, qr/plpgsql_call|plpgsql_inline|plpgsql_validate|CREATE (?:OR REPLACE )?(?:TRUSTED )?(?:PROCEDURAL )?LANGUAGE/,
		"$mode: nothing of the extension's own is dumped");
	like($first, qr/CREATE FUNCTION public\.logged\(.*?LANGUAGE plpgsql_autonomous/s, "$mode: the routines are");
	like($first, qr/GRANT ALL ON LANGUAGE plpgsql_autonomous TO writer/, "$mode: and who may use the language");

	# As a script, as an archive, and in two parts with unchecked bodies.
	append_to_file("$file.sql", $first);
	my $psql = sub {
		my ($db, $from) = @_;
		command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $from ],
			"$mode: restored by psql into $db");
	};
	$psql->('plain', "$file.sql");
	command_ok([ 'pg_dump', '--no-sync', '-Fc', '-f', "$file.custom", '-d', $node->connstr('one') ], "$mode: an archive");
	command_ok([ 'pg_restore', '--exit-on-error', '-j', 3, '-d', $node->connstr('custom'), "$file.custom" ],
		"$mode: restored by pg_restore");
	for my $part ('pre-data', 'data', 'post-data')
	{
		append_to_file("$file.$part", dumped($node, 'one', "--section=$part"));
		$psql->('unchecked', "$file.$part");
	}

	for my $db ('plain', 'custom', 'unchecked')
	{
		is(dumped($node, $db), $first, "$mode, $db: a dump of what was restored is the same");
		my $c = session($node, db => $db);
		is($c->value(q{SELECT count(*) || ' ' || sum(m) FROM t}), '2 6', "$mode, $db: restoring the data ran no trigger");
		$c->value('TRUNCATE log, t');
		$c->value('SET ROLE caller');
		is($c->value(q{SELECT * FROM logged(5)}), '5|(5,3MB)', "$mode, $db: a function");
		is($c->value(q{SELECT id FROM logged(6, 'six', (1, 'x'), NULL)}), '6', "$mode, $db: with VARIADIC arguments");
		$c->value('SET ROLE writer');
		is($c->run(q{SELECT logged(1)})->{sqlstate}, '42501', "$mode, $db: for who may execute it");
		ok($c->run(q{DO LANGUAGE plpgsql_autonomous 'BEGIN END'})->{ok}, "$mode, $db: the language for who may use it");
		$c->value('SET ROLE caller');
		is($c->run(q{DO LANGUAGE plpgsql_autonomous 'BEGIN END'})->{sqlstate}, '42501', "$mode, $db: and for nobody else");
		$c->value('SET ROLE owner');
		is($c->value('BEGIN; CALL twice(7)'), '14', "$mode, $db: a procedure");
		is($c->value(q{INSERT INTO t VALUES (8) RETURNING n, m, d}), '8|16|42', "$mode, $db: a trigger and a default");
		$c->value('ROLLBACK');
		is($c->run(q{INSERT INTO t VALUES (50)})->{sqlstate}, '23514', "$mode, $db: a check");
		$c->value(q{INSERT INTO t VALUES (9)});
		is( $c->value(q{SELECT string_agg(concat_ws(' ', n, what, who), ', ' ORDER BY n, what COLLATE "C") FROM log}),
			q{5 it's \ 0 owner, 6 six \ 2 owner, 7 committed owner, 8 audit it owner, 9 audit it owner, 9 late owner, 50 audit it owner},
			"$mode, $db: what they have written stays");
		$c->quit;
	}
	finish_all($s, $mon);
	$node->stop;
}
done_testing();

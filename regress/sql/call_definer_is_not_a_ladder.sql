-- Claim: inside SECURITY DEFINER the worker acts as the definer and cannot
-- switch; nothing of the definer is left for the invoker, whatever fails; and
-- inside a security-restricted operation every entry raises 42501.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
CREATE ROLE regress_aside_definer;
CREATE ROLE regress_aside_invoker;
CREATE ROLE regress_aside_evil;
GRANT aside_user TO regress_aside_definer, regress_aside_invoker, regress_aside_evil;
GRANT regress_aside_invoker TO regress_aside_definer;
GRANT CREATE ON SCHEMA public TO regress_aside_definer, regress_aside_evil;
RESET client_min_messages;
SET ROLE regress_aside_definer;
CREATE TABLE regress_vault (x int, who text);
CREATE PROCEDURE regress_commits() LANGUAGE plpgsql AS 'BEGIN INSERT INTO regress_vault VALUES (2, current_user); COMMIT; END';
CREATE PROCEDURE regress_rolls_back() LANGUAGE plpgsql AS 'BEGIN ROLLBACK; INSERT INTO regress_vault VALUES (3, current_user); END';
CREATE FUNCTION regress_definer(command text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN RETURN autonomous_exec(command); END';
CREATE FUNCTION regress_definer_who(command text DEFAULT 'SELECT session_user, current_user, current_setting(''role'')')
RETURNS TABLE (is_caller boolean, c text, r text) LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN RETURN QUERY SELECT s = session_user, q.c, q.r FROM autonomous_query(command) AS q(s text, c text, r text); END';
RESET ROLE;

-- as the definer, for the invoker by SET ROLE and by session
SET SESSION AUTHORIZATION regress_aside_invoker;
SELECT * FROM regress_definer_who();
SELECT autonomous_exec('INSERT INTO regress_vault VALUES (0, current_user)') AS invoker_alone;
SELECT regress_definer('INSERT INTO regress_vault VALUES (1, current_user)') AS through_definer;
-- who cannot switch
SELECT regress_definer('SET ROLE regress_aside_invoker');
SELECT regress_definer('SET ROLE regress_aside_definer');
SELECT regress_definer('RESET ROLE');
SELECT regress_definer('SET LOCAL ROLE NONE');
SELECT regress_definer('SELECT set_config(''role'', ''none'', false)');
SELECT regress_definer('SET SESSION AUTHORIZATION regress_aside_invoker');
SELECT regress_definer('RESET SESSION AUTHORIZATION');
-- nor end the transaction: the user would not survive it
SELECT regress_definer('CALL regress_commits()');
SELECT regress_definer('CALL regress_rolls_back()');
SELECT regress_definer('DO ''BEGIN INSERT INTO regress_vault VALUES (4, current_user); COMMIT; END''');
-- an exception block keeps the definer
SELECT * FROM regress_definer_who('DO ''BEGIN BEGIN PERFORM 1/0; EXCEPTION WHEN OTHERS THEN NULL; END; END'';
    SELECT session_user, current_user, current_setting(''role'')');
-- after an error within, the next call is the invoker's, and the one after the definer's
SELECT regress_definer('SELECT 1/0');
SELECT * FROM autonomous_query('SELECT current_user') AS (a text);
SELECT autonomous_exec('INSERT INTO regress_vault VALUES (5, current_user)');
SELECT * FROM regress_definer_who();
SELECT autonomous_exec('CALL regress_commits()') AS invoker_cannot;
-- the command that the definer ran stays denied to the invoker
SELECT autonomous_exec('INSERT INTO regress_vault VALUES (1, current_user)');
-- nested: the definer's worker calls again, as the definer
SELECT regress_definer('SELECT autonomous_exec(''INSERT INTO regress_vault VALUES (6, current_user)'')');
SELECT regress_definer('SELECT autonomous_exec(''SET ROLE regress_aside_invoker'')');
RESET SESSION AUTHORIZATION;
SET ROLE regress_aside_invoker;
SELECT * FROM regress_definer_who();
RESET ROLE;
SELECT * FROM regress_definer_who();
-- the other direction: a superuser's definer function for low callers, a low one for superusers
SELECT regress_definer('CREATE ROLE regress_aside_never');
SELECT * FROM regress_vault;

-- security-restricted operations: somebody's index function under a superuser
SET ROLE regress_aside_evil;
CREATE TABLE regress_loot (who text);
CREATE TABLE regress_bait (x int);
INSERT INTO regress_bait VALUES (1), (2);
CREATE FUNCTION regress_harmless(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN x; END';
CREATE INDEX regress_trap ON regress_bait (regress_harmless(x));
CREATE MATERIALIZED VIEW regress_stale AS SELECT public.regress_harmless(x) FROM public.regress_bait;
RESET ROLE;
CREATE PROCEDURE regress_spring() LANGUAGE plpgsql AS $$
DECLARE
    call text;
    op text;
BEGIN
    FOREACH call IN ARRAY ARRAY[
        'PERFORM public.autonomous_exec(''INSERT INTO public.regress_loot VALUES (current_user)'')',
        'PERFORM public.autonomous_exec(''INSERT INTO public.regress_loot VALUES ($1)'', 1)',
        'PERFORM * FROM public.autonomous_query(''INSERT INTO public.regress_loot VALUES (current_user) RETURNING 1'') AS (a int)',
        'PERFORM * FROM public.autonomous_query_as(NULL::int, ''INSERT INTO public.regress_loot VALUES (current_user) RETURNING 1'')',
        'PERFORM * FROM public.autonomous_json(''INSERT INTO public.regress_loot VALUES (current_user) RETURNING 1'')',
        'PERFORM * FROM public.autonomous_exec('''')'
    ] LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION public.regress_harmless(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS %L',
                       'BEGIN ' || call || '; RETURN x; END');
        FOREACH op IN ARRAY ARRAY['REINDEX INDEX regress_trap', 'ANALYZE regress_bait',
                                  'REFRESH MATERIALIZED VIEW regress_stale', 'CREATE INDEX ON regress_bait (regress_harmless(x))'] LOOP
            BEGIN
                EXECUTE op;
                RAISE NOTICE '%: went through', op;
            EXCEPTION WHEN OTHERS THEN
                IF SQLSTATE <> '42501' THEN
                    RAISE NOTICE '%: % %', op, SQLSTATE, SQLERRM;
                END IF;
            END;
        END LOOP;
    END LOOP;
END
$$;
\set VERBOSITY default
CALL regress_spring();
\set VERBOSITY sqlstate
REINDEX INDEX regress_trap;
SELECT count(*) AS looted FROM regress_loot;
SELECT autonomous_exec('REINDEX INDEX regress_trap') AS in_the_worker;
SELECT autonomous_exec('VACUUM ANALYZE regress_bait') AS vacuum_in_the_worker;
SELECT count(*) AS looted FROM regress_loot;
SELECT autonomous_exec('SELECT 1') AS outside;

-- the worker is the invoker's process, who sees it in pg_stat_activity: not what the definer has it run
SELECT regress_definer('SELECT ''a secret''') IS NOT NULL AS ran;
SELECT bool_or(query ~ 'a secret') AS told, bool_or(query = '<command of a security-definer function>') AS said
    FROM pg_stat_activity WHERE backend_type = 'pg_aside worker';

DROP PROCEDURE regress_spring(), regress_commits(), regress_rolls_back();
DROP MATERIALIZED VIEW regress_stale;
DROP TABLE regress_bait, regress_loot, regress_vault;
DROP FUNCTION regress_harmless(int), regress_definer(text), regress_definer_who(text);
REVOKE CREATE ON SCHEMA public FROM regress_aside_definer, regress_aside_evil;
DROP ROLE regress_aside_definer, regress_aside_invoker, regress_aside_evil;

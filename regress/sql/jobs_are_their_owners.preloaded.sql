-- Claim: a job acts for whoever started it, and for nobody else; others neither steer it nor read what it says; no schema of somebody else's is
-- between it and what it means.
\set SHOW_CONTEXT never
CREATE ROLE regress_owner LOGIN IN ROLE aside_user;
CREATE ROLE regress_heir LOGIN IN ROLE aside_user;
CREATE ROLE regress_stranger LOGIN IN ROLE aside_user;
GRANT CREATE ON SCHEMA public TO regress_owner;
CREATE SCHEMA owned_odd AUTHORIZATION regress_owner;
CREATE TABLE owned_gate (open boolean);
INSERT INTO owned_gate VALUES (true);
GRANT SELECT ON owned_gate TO PUBLIC;
CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    WHILE NOT (SELECT open FROM owned_gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
    RETURN true;
END $$;
SET SESSION AUTHORIZATION regress_owner;
CREATE TABLE owned_rows (id int PRIMARY KEY, who text);
INSERT INTO owned_rows SELECT g FROM generate_series(1, 100) g;
-- one that a security-definer function starts is the definer's
CREATE FUNCTION starts(name text, command text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT parallel_start(name, command, 'owned_rows') $$;
\set who 'UPDATE owned_rows SET who = concat_ws('' '', session_user, current_user) WHERE id BETWEEN $1 AND $2'
SET SESSION AUTHORIZATION regress_stranger;
SELECT parallel_start('mine', :'who', 'owned_rows');
SELECT starts('definer''s', :'who') > 0 AS started;
SELECT parallel_wait('definer''s');
SELECT name, owner, command, message FROM aside.parallel_jobs;
SELECT count(*) FROM aside.parallel_chunks;
SET SESSION AUTHORIZATION regress_owner;
SELECT parallel_wait('definer''s', '60 s');
SELECT who, count(*) FROM owned_rows GROUP BY 1;
-- a command cannot become somebody else
SELECT parallel_start('climbs ' || n, c || '; SELECT $1, $2', 'owned_rows', max_attempts => 1) > 0 AS started
    FROM (VALUES (1, 'SET ROLE postgres'), (2, 'SET SESSION AUTHORIZATION postgres'), (3, 'RESET ROLE; RESET SESSION AUTHORIZATION; UPDATE owned_gate SET open = open'),
        (4, 'UPDATE aside.parallel_chunk SET state = ''done'''), (5, 'UPDATE aside.parallel_job SET owner = ''postgres''')) v (n, c);
SELECT bool_and(parallel_wait('climbs ' || n, '60 s')) FROM generate_series(1, 5) n;
SELECT name, state, coalesce(j.sqlstate, c.sqlstate) AS sqlstate, coalesce(j.message, c.message) AS message FROM aside.parallel_jobs j,
    LATERAL (SELECT c.sqlstate, c.message FROM aside.parallel_chunks c WHERE c.job = j.name AND c.sqlstate IS NOT NULL LIMIT 1) c
    WHERE name LIKE 'climbs%' ORDER BY name;
-- in the caller's search_path are other operators and functions than those of the server
CREATE FUNCTION owned_odd.never(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'an operator of %', current_user; END $$;
CREATE FUNCTION owned_odd.never(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'an operator of %', current_user; END $$;
CREATE OPERATOR owned_odd.= (LEFTARG = text, RIGHTARG = text, FUNCTION = owned_odd.never);
CREATE OPERATOR owned_odd.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = owned_odd.never);
CREATE OPERATOR owned_odd.> (LEFTARG = int, RIGHTARG = int, FUNCTION = owned_odd.never);
CREATE OPERATOR owned_odd.<= (LEFTARG = int, RIGHTARG = int, FUNCTION = owned_odd.never);
CREATE OPERATOR owned_odd.>= (LEFTARG = int, RIGHTARG = int, FUNCTION = owned_odd.never);
CREATE FUNCTION owned_odd.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION owned_odd.concat(VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
SET search_path = owned_odd, pg_catalog, public;
SET client_min_messages = warning;
SELECT parallel_start('dry', :'who', 'public.owned_rows', dry_run => true);
SELECT parallel_run('odd', 'UPDATE public.owned_rows SET who = ''odd'' WHERE id OPERATOR(pg_catalog.>=) $1 AND id OPERATOR(pg_catalog.<=) $2', 'public.owned_rows', chunk_rows => 20);
SELECT parallel_run('odd query', 'SELECT $1, $2', chunk_by => 'query', chunk_query => 'SELECT 1, 2');
SELECT parallel_pause('odd'), parallel_resume('odd'), parallel_retry('odd'), parallel_cancel('odd');
RESET search_path;
RESET client_min_messages;
SELECT name, state, chunks_done FROM aside.parallel_jobs WHERE name LIKE 'odd%' ORDER BY name;
-- its owner goes while it runs: it cannot be dropped, its jobs may be given to an heir, who goes on with them
RESET SESSION AUTHORIZATION;
UPDATE owned_gate SET open = false;
-- Its table is somebody else's, or the chunk that runs would hold up REASSIGN OWNED.
CREATE TABLE owned_shared AS SELECT g AS id, NULL::text AS who FROM generate_series(1, 100) g;
CREATE INDEX ON owned_shared (id);
GRANT SELECT, UPDATE ON owned_shared TO PUBLIC;
SET SESSION AUTHORIZATION regress_owner;
SELECT parallel_start('given', 'UPDATE public.owned_shared SET who = concat_ws('' '', session_user, current_user) WHERE id BETWEEN $1 AND $2 AND (SELECT public.waits())', 'owned_shared',
    chunk_column => 'id', chunk_rows => 10, workers => 1) > 0 AS started;
CALL until('(SELECT chunks_running = 1 FROM aside.parallel_jobs WHERE name = ''given'')');
RESET SESSION AUTHORIZATION;
\set VERBOSITY terse
DROP ROLE regress_owner;
\set VERBOSITY default
REASSIGN OWNED BY regress_owner TO regress_heir;
SELECT name, owner, state FROM aside.parallel_jobs WHERE name = 'given';
SET SESSION AUTHORIZATION regress_owner;
SELECT parallel_pause('given');
SET SESSION AUTHORIZATION regress_heir;
SELECT parallel_pause('given'), parallel_resume('given');
RESET SESSION AUTHORIZATION;
UPDATE owned_gate SET open = true;
SELECT parallel_wait('given', '60 s');
SELECT owner, state, chunks_done, chunks_failed FROM aside.parallel_jobs WHERE name = 'given';
SELECT count(*), count(DISTINCT who) BETWEEN 1 AND 2 AS of_two, bool_and(who IN ('regress_owner regress_owner', 'regress_heir regress_heir')) FROM owned_shared;
DROP OWNED BY regress_owner, regress_heir, regress_stranger CASCADE;
CALL until('(SELECT count(*) = 0 FROM aside.parallel_chunk)');
DROP ROLE regress_owner, regress_heir, regress_stranger;
DROP FUNCTION waits;
DROP TABLE owned_gate, owned_shared;

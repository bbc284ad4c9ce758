-- Claim: NOTICE, WARNING and the like of the worker are relayed as they
-- happen, in order, before the error that follows, whatever entry was used,
-- and obey the caller's client_min_messages.
CREATE FUNCTION regress_say(what text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RAISE INFO 'info %', what;
    RAISE NOTICE 'notice %', what USING DETAIL = 'With a detail.', HINT = 'And a hint.';
    RAISE WARNING 'warning %', what;
    RETURN length(what);
END
$$;
SELECT autonomous_exec('SELECT regress_say($1)', 'exec'::text);
SELECT * FROM autonomous_query('SELECT regress_say($1)', 'query'::text) AS (a int);
SELECT * FROM autonomous_query_as(NULL::int, 'SELECT regress_say($1)', 'query_as'::text);
SELECT * FROM autonomous_json('SELECT regress_say($1)', 'json'::text);

-- at the caller's level, as it is at the call
SET client_min_messages = warning;
SELECT autonomous_exec('SELECT regress_say($1)', 'at warning'::text);
SET client_min_messages = error;
SELECT autonomous_exec('SELECT regress_say($1)', 'at error'::text);
BEGIN;
SET LOCAL client_min_messages = notice;
SELECT autonomous_exec('SELECT regress_say($1)', 'at local notice'::text);
ROLLBACK;
SELECT autonomous_exec('SELECT regress_say($1)', 'at error again'::text);
CREATE FUNCTION regress_quiet() RETURNS bigint LANGUAGE plpgsql SET client_min_messages = warning AS
    $$BEGIN RETURN autonomous_exec('SELECT regress_say(''function at warning'')'); END$$;
RESET client_min_messages;
SELECT regress_quiet();
SET client_min_messages = log;
SELECT autonomous_exec('DO ''BEGIN RAISE LOG $m$a log line$m$; END''');
RESET client_min_messages;
-- the command's own SET cannot raise more than the caller wants to hear
SET client_min_messages = warning;
SELECT autonomous_exec('SET client_min_messages = notice; SELECT regress_say(''command says notice'')');
RESET client_min_messages;

-- in order with the caller's own, from every level, and before the error
DO $$
BEGIN
    RAISE NOTICE 'caller 1';
    PERFORM autonomous_exec('DO ''BEGIN RAISE NOTICE $m$worker 2$m$; END''; SELECT autonomous_exec(''DO $n$BEGIN RAISE NOTICE $m$nested 3$m$; END$n$''); DO ''BEGIN RAISE NOTICE $m$worker 4$m$; END''');
    RAISE NOTICE 'caller 5';
END
$$;
SELECT autonomous_exec('SELECT regress_say(''before the error''); SELECT 1/0');
SELECT count(*) FROM autonomous_query('SELECT CASE WHEN g % 50000 = 0 THEN regress_say(g::text) ELSE g END FROM generate_series(1, 100000) g') AS (a int);

-- from a deferred trigger, at the commit
CREATE TABLE regress_t (id int);
CREATE FUNCTION regress_at_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE NOTICE 'at commit: %', NEW.id; RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON regress_t DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION regress_at_commit();
SELECT autonomous_exec('INSERT INTO regress_t VALUES (1); DO ''BEGIN RAISE NOTICE $m$before the commit$m$; END''');

-- the server's own notices
SELECT autonomous_exec('DROP TABLE IF EXISTS regress_no_such_table');
SELECT autonomous_exec('CREATE TABLE IF NOT EXISTS regress_t ()');

-- many, long and multibyte (counted by the caller's ear: the last is heard)
SET client_min_messages = warning;
SELECT autonomous_exec('DO ''BEGIN FOR i IN 1..20000 LOOP RAISE NOTICE $m$unheard %$m$, repeat($x$x$x$, 100); END LOOP; RAISE WARNING $m$heard$m$; END''');
RESET client_min_messages;
SELECT autonomous_exec(U&'DO ''BEGIN RAISE NOTICE $m$\00e9\20ac 100%% %s \+01f600$m$, 1; END''');

-- and in the caller's own plan of things, a WARNING is not an error
DO $$
BEGIN
    PERFORM autonomous_exec('SELECT regress_say(''in a block'')');
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'not reached';
END
$$;
-- a client's encoding that the command names is not the caller's
SELECT autonomous_exec(U&'SET client_encoding = latin1; DO ''BEGIN RAISE NOTICE $m$\00e9$m$ USING DETAIL = $m$\00fc$m$, TABLE = $m$\00e4$m$; END''');
SELECT autonomous_exec(U&'SET client_encoding = win1252; DO ''BEGIN RAISE NOTICE $m$\20ac$m$; END''');

DROP TABLE regress_t;
DROP FUNCTION regress_say(text), regress_quiet(), regress_at_commit();

-- what they need is given back with each
SELECT async_exec($$DO $do$ BEGIN FOR i IN 1..20000 LOOP RAISE NOTICE '%', repeat('x', 2000); END LOOP; END $do$ $$) AS task \gset
SELECT async_wait(:task);
SELECT async_run(:task, 'SELECT sum(total_bytes) < 1000000 FROM pg_backend_memory_contexts WHERE name IN (''ErrorContext'', ''pg_aside message'')') AS memory \gset
SELECT * FROM async_result(:memory) AS (given_back bool);
SELECT async_detach(:task), async_detach(:memory);

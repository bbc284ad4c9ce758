-- Claim: a command may call again, to aside.max_depth and no deeper (54001); a
-- nested call that only its own ancestors could make room for fails at once
-- with 53400 and a hint that names the setting; nothing is left taken.
\set VERBOSITY sqlstate
CREATE TABLE regress_t (level int, worker int);
-- a call within a call, n deep; each level commits a row of its own
CREATE FUNCTION regress_nest(n int, entry text DEFAULT 'exec') RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF n = 0 THEN
        RETURN 0;
    ELSIF entry = 'exec' THEN
        PERFORM autonomous_exec('INSERT INTO regress_t VALUES ($1, pg_backend_pid()); SELECT regress_nest($1 - 1)', n);
        RETURN n;
    ELSIF entry = 'json' THEN
        RETURN (SELECT 1 + (j->>'d')::int FROM autonomous_json('SELECT regress_nest($1, ''json'') AS d', n - 1) j);
    ELSE
        RETURN 1 + (SELECT d FROM autonomous_query('SELECT regress_nest($1, ''query'')', n - 1) AS (d bigint));
    END IF;
END
$$;
CREATE FUNCTION regress_code(call text, OUT code text, OUT names text, OUT in_time boolean) LANGUAGE plpgsql AS $$
DECLARE
    h text;
    since timestamptz := clock_timestamp();
BEGIN
    EXECUTE call;
    code := 'accepted';
    in_time := clock_timestamp() - since < interval '15 s';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT;
    code := SQLSTATE;
    names := (SELECT string_agg(m[1], ' ') FROM regexp_matches(h, '(aside\.\w+)', 'g') m);
    in_time := clock_timestamp() - since < interval '15 s';
END
$$;

SELECT regress_nest(3);
SELECT level FROM regress_t ORDER BY level;
SELECT count(DISTINCT worker) AS workers FROM regress_t;
SELECT regress_nest(4, 'query'), regress_nest(4, 'json');

-- the limit and one beyond; the default is 16
SHOW aside.max_depth;
SET aside.max_depth = 3;
SELECT regress_nest(3, 'query');
SELECT regress_nest(4, 'query');
SELECT regress_nest(4, 'json');
-- the failure below fails the levels above, unless they catch it
TRUNCATE regress_t;
SELECT regress_nest(4);
SELECT count(*) FROM regress_t;
CREATE FUNCTION regress_catch(n int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM autonomous_exec('INSERT INTO regress_t VALUES ($1); SELECT regress_catch($1 - 1)', n);
    RETURN n;
EXCEPTION WHEN statement_too_complex THEN
    RETURN -n;
END
$$;
SELECT regress_catch(5);
SELECT level FROM regress_t ORDER BY level;
DROP FUNCTION regress_catch(int);
-- a command cannot lift the limit for itself
CREATE ROLE regress_aside_low IN ROLE aside_user;
SET ROLE regress_aside_low;
SET aside.max_depth = 100;
SELECT autonomous_exec('SET aside.max_depth = 100');
RESET ROLE;
SET aside.max_depth = 1;
SELECT regress_nest(1, 'query');
SELECT regress_nest(2, 'query');
RESET aside.max_depth;

-- deeper than the pool: 53400 without waiting for a slot that cannot come free
SET aside.checkout_timeout = '60s';
SELECT set_config('aside.max_depth', (current_setting('aside.max_workers')::int + 2)::text, false) IS NOT NULL AS deeper;
SELECT code, names LIKE '%aside.max_workers%' AS names_setting, in_time
FROM regress_code('SELECT regress_nest(current_setting(''aside.max_workers'')::int + 1, ''query'')');
SELECT code, in_time FROM regress_code('SELECT regress_nest(current_setting(''aside.max_workers'')::int, ''query'')');
-- nothing is left taken
SELECT code, in_time FROM regress_code('SELECT regress_nest(current_setting(''aside.max_workers'')::int, ''query'')');
RESET aside.max_depth;

-- the limits per session and per role, by the same rule
SET aside.max_workers_per_session = 2;
SELECT code, names, in_time FROM regress_code('SELECT regress_nest(2, ''query'')');
SELECT code, names, in_time FROM regress_code('SELECT regress_nest(3, ''query'')');
RESET aside.max_workers_per_session;
SET aside.max_workers_per_role = 2;
SELECT code, names, in_time FROM regress_code('SELECT regress_nest(2, ''query'')');
SELECT code, names, in_time FROM regress_code('SELECT regress_nest(3, ''query'')');
RESET aside.max_workers_per_role;
SELECT code, names, in_time FROM regress_code('SELECT regress_nest(3, ''query'')');
RESET aside.checkout_timeout;

-- an error from the depths, and an end by the caller's clock, free every level
\set VERBOSITY default
DO $$
BEGIN
    PERFORM autonomous_exec('SELECT autonomous_exec(''SELECT autonomous_exec(''''SELECT 1/0'''')'')');
EXCEPTION WHEN division_by_zero THEN
    RAISE NOTICE 'division by zero';
END
$$;
\set VERBOSITY sqlstate
TRUNCATE regress_t;
SET statement_timeout = '300ms';
SELECT autonomous_exec('INSERT INTO regress_t VALUES (1); SELECT autonomous_exec(''INSERT INTO regress_t VALUES (2); SELECT pg_sleep(60)'')');
RESET statement_timeout;
SELECT count(*) FROM regress_t;
SELECT regress_nest(4, 'query');

-- the caller's settings and role, all the way down
SET app.user_id = 'deep';
SET ROLE regress_aside_low;
SELECT * FROM autonomous_query($$SELECT * FROM autonomous_query('SELECT current_user::text, current_setting(''app.user_id'')') AS (u text, s text)$$) AS (u text, s text);
RESET ROLE;

DROP TABLE regress_t;
DROP FUNCTION regress_nest(int, text), regress_code(text);
DROP ROLE regress_aside_low;

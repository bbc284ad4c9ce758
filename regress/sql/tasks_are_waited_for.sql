-- Claim: who waits for a task is told of its end at once; who waits for a
-- time, when that has passed; and an unknown task is an error, not a wait.
CREATE TABLE regress_took (what text, ms float8);
CREATE FUNCTION regress_timed(what text, command text) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    start timestamptz := clock_timestamp();
    result text;
BEGIN
    EXECUTE command INTO result;
    INSERT INTO regress_took VALUES (what, extract(epoch FROM clock_timestamp() - start) * 1000);
    RETURN result;
END $f$;
SELECT async_exec('SELECT pg_sleep(0.3)') AS t \gset
SELECT async_wait(:t, '0'), async_wait(:t, '-1 second'), async_wait(:t, '20 ms');
SELECT async_wait(:t);
SELECT async_wait(:t), async_wait(:t, '0'), async_wait(:t, NULL), async_wait(:t, '10 years');
-- woken, not polling: from the end of the task to that of the wait
SELECT count(regress_timed('woken', $$SELECT async_wait(async_exec('SELECT 1'))$$)) FROM generate_series(1, 50);
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) < 5 AS at_once FROM regress_took WHERE what = 'woken';
-- no longer than it is to take
SELECT async_exec('SELECT pg_sleep(60)') AS t \gset
SELECT regress_timed('times out', format($$SELECT async_wait(%s, '150 ms')$$, :t));
SELECT ms BETWEEN 150 AND 1000 AS in_time FROM regress_took WHERE what = 'times out';
-- the wait can be cancelled, and the task goes on
SET statement_timeout = '100ms';
SELECT async_wait(:t);
RESET statement_timeout;
SELECT state FROM aside.tasks WHERE id = :t;

-- any of them
SELECT async_exec('SELECT pg_sleep(0.1)') AS q \gset
SELECT async_wait_any(ARRAY[:t, :q]) = :q AS the_quick_one;
SELECT async_wait_any(ARRAY[:q, :t]) = :q AS the_quick_one, async_wait_any(ARRAY[:t, :q], '0') = :q AS at_once;
SELECT async_wait_any(ARRAY[:t], '50 ms') AS none, async_wait_any(ARRAY[:t, :t], '0') AS none;
SELECT async_wait_any('{}'), async_wait_any('{}', '1 hour');
SELECT array_agg(async_exec('SELECT pg_sleep($1)', g * 0.05) ORDER BY g) AS ts FROM generate_series(1, 3) g \gset
SELECT async_wait_any(:'ts'::bigint[]) = (:'ts'::bigint[])[1] AS the_first;
\set VERBOSITY sqlstate
SELECT async_wait_any(NULL);
SELECT async_wait_any(ARRAY[:t, NULL]);
SELECT async_wait_any(ARRAY[:t, 0]);
SELECT async_wait(NULL);
SELECT async_wait(0);
SELECT async_wait(-1);
SELECT async_wait(-9223372036854775808);
SELECT async_wait(9223372036854775807);
SELECT async_cancel(NULL);
SELECT async_cancel(9223372036854775807);
SELECT async_detach(NULL);
SELECT async_detach(9223372036854775807);
SELECT async_run(NULL, 'SELECT 1');
SELECT async_run(9223372036854775807, 'SELECT 1');
SELECT async_run(0, 'SELECT 1');
\set VERBOSITY default
SELECT async_cancel(:t);
SELECT async_wait(:t);

-- many who wait for the same: each is another task
SELECT async_exec('SELECT pg_sleep(0.3)') AS t \gset
SELECT array_agg(async_exec('SELECT async_wait($1)', :t::bigint)) AS ts FROM generate_series(1, 5) \gset
SELECT bool_and(async_wait(t, '5 s')) FROM unnest(:'ts'::bigint[]) t;
-- a task that starts tasks and waits for them
CREATE TABLE regress_tree (depth int, n int);
CREATE FUNCTION regress_tree(depth int) RETURNS int LANGUAGE plpgsql AS $f$
DECLARE
    a bigint;
    b bigint;
    n int := 1;
BEGIN
    INSERT INTO regress_tree VALUES (depth, 1);
    IF depth > 0 THEN
        a := async_exec('SELECT regress_tree($1)', depth - 1);
        b := async_exec('SELECT regress_tree($1)', depth - 1);
        SELECT x + y + 1 INTO n FROM async_result(a) AS a(x int), async_result(b) AS b(y int);
    END IF;
    RETURN n;
END $f$;
SELECT x FROM async_result(async_exec('SELECT regress_tree(1)')) AS (x int);
SELECT depth, count(*) FROM regress_tree GROUP BY depth ORDER BY depth DESC;
-- detached: before and after its end
SELECT async_exec('INSERT INTO regress_took SELECT ''detached'' FROM pg_sleep(0.2)') AS t \gset
SELECT async_detach(:t);
SELECT state, detached FROM aside.tasks WHERE id = :t;
SELECT async_wait(:t);
SELECT count(*) FROM regress_took WHERE what = 'detached';
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE detached)$$);
\set VERBOSITY sqlstate
SELECT * FROM async_result(:t) AS (x int);
SELECT async_detach(:t);
SELECT async_exec('SELECT 1') AS t \gset
SELECT async_wait(:t), async_detach(:t);
SELECT async_detach(:t);
SELECT count(*) FROM aside.tasks WHERE id = :t AND NOT detached;
\set VERBOSITY default
DROP TABLE regress_took, regress_tree;
DROP FUNCTION regress_timed, regress_tree;

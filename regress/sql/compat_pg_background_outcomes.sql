-- Claim: what pg_background has had since 1.9 is here: how a command ended without
-- reading its result, whole rounds in one call, views, cookies checked as there,
-- its settings.
\set SHOW_CONTEXT never
\c -
CREATE SCHEMA "Regress Outcomes";
CREATE EXTENSION aside_pg_background SCHEMA "Regress Outcomes";
SET search_path = public, "Regress Outcomes";
CREATE TABLE regress_bg (n int CONSTRAINT small CHECK (n < 10), what text);

-- settings: there once the functions are
SHOW pg_background.max_workers; SHOW pg_background.worker_timeout;
SET pg_background.max_workers = 1;
SELECT h.* FROM pg_background_launch_v2('SELECT pg_sleep(60)', label => 'sleeper') h \gset
SELECT pg_background_launch_v2('SELECT 1');
SELECT pg_background_launch('SELECT 1');
SELECT completed, has_error, finished_at FROM pg_background_result_info_v2(:pid, :cookie);
SELECT pg_background_error_info_v2(:pid, :cookie) IS NULL AS no_error;
SELECT state, label FROM pg_background_list;
CALL until($$EXISTS (SELECT FROM pg_background_activity WHERE query = 'SELECT pg_sleep(60)')$$);
SELECT pid = :pid AS pid, pgbg_state, backend_state, query FROM pg_background_activity;
SELECT pg_background_purge_v2(), pg_background_cancel_by_label_v2('nobody%'), pg_background_cancel_by_label_v2('slee%', 5000);
SELECT completed, has_error, row_count, command_tag, finished_at >= started_at AS times FROM pg_background_result_info_v2(:pid, :cookie);
SELECT pg_background_purge_v2(), count(*) FROM pg_background_list;
RESET pg_background.max_workers;
SET pg_background.worker_timeout = '50ms';
SELECT h.* FROM pg_background_launch_v2('SELECT pg_sleep(60)') h \gset
SELECT pg_background_wait_v2(:pid, :cookie);
SELECT sqlstate, message FROM pg_background_error_info_v2(:pid, :cookie);
SELECT pg_background_detach_v2(:pid, :cookie);
RESET pg_background.worker_timeout;
SET pg_background.max_workers = 2000;
SHOW aside.task_timeout;

-- how it ended; its result is still there
SELECT h.* FROM pg_background_launch_v2($$DO 'BEGIN RAISE NOTICE ''kept''; END'; INSERT INTO regress_bg SELECT g, 'bulk' FROM generate_series(1, 5) g; SELECT g FROM generate_series(1, 3) g$$) h \gset
SELECT pg_background_wait_v2(:pid, :cookie);
SELECT row_count, command_tag, completed, has_error FROM pg_background_result_info_v2(:pid, :cookie);
SELECT pg_background_error_info_v2(:pid, :cookie) IS NULL AS no_error;
SELECT pid = :pid AS pid, state, consumed, completed, has_error, row_count, command_tag, sqlstate, error_message FROM pg_background_outcome_v2(:pid, :cookie);
SELECT * FROM pg_background_result_v2(:pid, :cookie) AS (g int);
SELECT h.* FROM pg_background_launch_v2('INSERT INTO regress_bg VALUES (7); INSERT INTO regress_bg VALUES (11)') h \gset
SELECT pg_background_wait_v2(:pid, :cookie);
SELECT row_count, command_tag, completed, has_error FROM pg_background_result_info_v2(:pid, :cookie);
SELECT sqlstate, message, detail, hint, schema_name, table_name, column_name, constraint_name FROM pg_background_error_info_v2(:pid, :cookie);
SELECT has_error, sqlstate, error_message FROM pg_background_outcome_v2(:pid, :cookie);
SELECT pg_background_full_sql_v2(:pid, :cookie);
SELECT pg_background_detach_v2(:pid, :cookie);
SELECT h.* FROM pg_background_launch_v2('SELECT 1 -- ' || repeat('ä', 40000)) h \gset
SELECT octet_length(pg_background_full_sql_v2(:pid, :cookie)), right(pg_background_full_sql_v2(:pid, :cookie), 8);

-- another cookie: 55000, but for what only looks
CREATE FUNCTION pg_temp.try(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d+', 'N');
END
$$;
SELECT c, pg_temp.try(format(c, :pid, :cookie + 1)) FROM unnest(ARRAY['SELECT FROM pg_background_result_v2(%s, %s) AS (n int)',
    'SELECT pg_background_detach_v2(%s, %s)', 'SELECT pg_background_cancel_v2(%s, %s)', 'SELECT pg_background_cancel_v2(%s, %s, 100)',
    'SELECT pg_background_wait_v2(%s, %s)', 'SELECT pg_background_wait_v2(%s, %s, 100)', 'SELECT pg_background_result_info_v2(%s, %s)',
    'SELECT pg_background_error_info_v2(%s, %s)', 'SELECT pg_background_full_sql_v2(%s, %s)']) WITH ORDINALITY x(c, n) ORDER BY n;
SELECT pg_background_get_progress_v2(:pid, :cookie + 1) IS NULL AS progress, o.completed IS NULL AND o.state IS NULL AS outcome, o.pid = :pid AS pid
FROM pg_background_outcome_v2(:pid, :cookie + 1) o;
SELECT pg_background_detach_v2(:pid, :cookie);

-- whole rounds
SELECT state, completed, has_error, row_count, command_tag, label, timed_out, elapsed_ms >= 0 AS took FROM pg_background_run_v2('INSERT INTO regress_bg SELECT 8', label => 'round');
SELECT completed, has_error, sqlstate, error_message, timed_out FROM pg_background_run_v2('SELECT 1/0');
SELECT completed, has_error, state, timed_out FROM pg_background_run_v2('SELECT pg_sleep(60)', timeout_ms => 50);
SELECT * FROM pg_background_run_query_v2('SELECT g, ''x'' || g FROM generate_series(1, 2) g', col_def => 'n int, t text') AS r(n int, t text);
SELECT * FROM pg_background_run_query_v2('SELECT 1/0', col_def => 'n int') AS r(n int);
SELECT * FROM pg_background_run_query_v2('SELECT 1/0') AS r(n int);
SELECT * FROM pg_background_run_query_v2('INSERT INTO regress_bg SELECT 9') AS r(n int);
SELECT * FROM pg_background_run_query_v2('SELECT pg_sleep(60)', 0, 50, NULL, 't text') AS r(t text);
SELECT n FROM regress_bg WHERE n > 5 ORDER BY n;
SELECT count(*) AS left_over FROM pg_background_list;
SELECT workers_timed_out FROM pg_background_stats_v2();
-- several
SELECT array_agg(pg_background_launch_v2(format('SELECT pg_sleep(%s)', s), label => 'l' || s)) AS hs FROM unnest(ARRAY[60, 0]) s \gset
SELECT label FROM pg_background_list l, pg_background_wait_any_v2(:'hs') w WHERE l.pid = w.pid AND l.cookie = w.cookie;
SELECT label, completed, has_error FROM pg_background_drain_v2(:'hs', 100);
SELECT label FROM pg_background_list;
SELECT pg_background_wait_any_v2((:'hs'::pg_background_handle[])[1:1], 20) IS NULL AS none_in_time, pg_background_wait_any_v2((:'hs'::pg_background_handle[])[2:2]) IS NULL AS forgotten,
    pg_background_wait_any_v2(NULL) IS NULL AS null, pg_background_wait_any_v2('{}') IS NULL AS empty;
SELECT pg_background_cancel_all_v2();
SELECT label, state, has_error, sqlstate FROM pg_background_drain_v2(:'hs'::pg_background_handle[] || NULL::pg_background_handle);
SELECT count(*) FROM pg_background_drain_v2(NULL);
SELECT count(*) FROM pg_background_list;
-- a search_path of the caller's is the command's, and nothing to the functions
CREATE SCHEMA regress_trap;
CREATE FUNCTION regress_trap.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
CREATE FUNCTION regress_trap.less(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT NULL::boolean';
CREATE OPERATOR regress_trap.> (FUNCTION = regress_trap.less, LEFTARG = int, RIGHTARG = int);
SET search_path = regress_trap, pg_catalog;
SELECT * FROM "Regress Outcomes".pg_background_run_query_v2('SHOW search_path', col_def => 't text') AS r(t text);
SELECT timed_out, elapsed_ms >= 0 AS took FROM "Regress Outcomes".pg_background_run_v2('SELECT pg_sleep(60)', timeout_ms => 50);
SET search_path = public;
SET client_min_messages = warning;
DROP SCHEMA regress_trap CASCADE;
DROP EXTENSION aside_pg_background;
DROP SCHEMA "Regress Outcomes";
DROP TABLE regress_bg;

-- Claim: pg_background's _v2 functions do what they do there: launch, submit,
-- wait, cancel, list, progress and statistics by PID and cookie.
\set SHOW_CONTEXT never
CREATE EXTENSION aside_pg_background;
CREATE TABLE regress_bg (n int, what text);

SELECT h.* FROM pg_background_launch_v2('SELECT 1, ''one''') h \gset
SELECT pg_background_wait_v2(:pid, :cookie);
SELECT * FROM pg_background_result_v2(:pid, :cookie) AS (n int, t text);
\set VERBOSITY sqlstate
SELECT * FROM pg_background_result_v2(:pid, :cookie) AS (n int, t text);
\set VERBOSITY default
-- unknown handles
SELECT * FROM pg_background_result_v2(1, 1) AS (n int);
SELECT pg_background_detach_v2(1, 1);
SELECT pg_background_cancel_v2(1, 1);
SELECT pg_background_wait_v2(1, 1);
SELECT pg_background_get_progress_v2(1, 1);
SELECT pg_background_launch_v2(NULL);
SELECT pg_background_submit_v2(NULL, 0);
SELECT pg_background_wait_v2(NULL, 1), pg_background_cancel_v2(1, NULL), pg_background_detach_v2(NULL, NULL);
-- another cookie
SELECT h.* FROM pg_background_launch_v2('SELECT 2', 4096, 'labelled') h \gset
\set VERBOSITY sqlstate
SELECT * FROM pg_background_result_v2(:pid, :cookie + 1) AS (n int);
SELECT pg_background_wait_v2(:pid, :cookie + 1);
SELECT pg_background_cancel_v2(:pid, :cookie + 1);
SELECT pg_background_detach_v2(:pid, :cookie + 1);
\set VERBOSITY default
SELECT pg_background_wait_v2(:pid, :cookie);
SELECT pid = :pid AS pid, cookie = :cookie AS cookie, launched_at IS NOT NULL AS at, user_id::regrole = current_user::regrole AS me,
    queue_size, state, sql_preview, last_error, consumed, label
FROM pg_background_list_v2() AS l(pid int, cookie bigint, launched_at timestamptz, user_id oid, queue_size int, state text,
    sql_preview text, last_error text, consumed boolean, label text);
-- of 1.8: no label
SELECT state, sql_preview
FROM pg_background_list_v2() AS l(pid int, cookie bigint, launched_at timestamptz, user_id oid, queue_size int, state text,
    sql_preview text, last_error text, consumed boolean);
-- the label is that of one task
SHOW aside.task_label;
SELECT * FROM pg_background_result_v2(:pid, :cookie) AS (n int);

-- wait, progress, cancel
SELECT h.* FROM pg_background_launch_v2($$SELECT pg_background_progress(150, 'nearly'); SELECT pg_sleep(60)$$) h \gset
SELECT pg_background_wait_v2(:pid, :cookie, 20), pg_background_wait_v2_timeout(:pid, :cookie, 20), pg_background_wait_v2_timeout(:pid, :cookie, 0);
CALL until($$EXISTS (SELECT FROM aside.tasks WHERE progress = 100 AND state = 'running')$$);
SELECT * FROM pg_background_get_progress_v2(:pid, :cookie);
SELECT pg_background_cancel_v2(:pid, :cookie);
SELECT pg_background_wait_v2(:pid, :cookie);
SELECT state, last_error FROM pg_background_list_v2() AS l(pid int, cookie bigint, launched_at timestamptz, user_id oid, queue_size int,
    state text, sql_preview text, last_error text, consumed boolean);
SELECT pg_background_cancel_v2(:pid, :cookie) AS no_error_twice;
\set VERBOSITY sqlstate
SELECT * FROM pg_background_result_v2(:pid, :cookie) AS (x text);
\set VERBOSITY default
-- one that traps it is ended after the grace
SELECT h.* FROM pg_background_launch_v2($q$DO $b$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $b$ $q$) h \gset
SELECT pg_background_wait_v2_timeout(:pid, :cookie, 100);
SELECT pg_background_cancel_v2_grace(:pid, :cookie, 200);
SELECT pg_background_wait_v2(:pid, :cookie, 10000);
SELECT pg_background_detach_v2(:pid, :cookie);
SELECT h.* FROM pg_background_launch_v2('SELECT 1') h \gset
SELECT pg_background_get_progress_v2(:pid, :cookie);
SELECT pg_background_detach_v2(:pid, :cookie);
-- progress outside of a task is not told to anybody
SELECT pg_background_report_progress(10);

-- submitted: runs, and its result is for nobody
SELECT h.* FROM pg_background_submit_v2('INSERT INTO regress_bg SELECT 1, ''submitted'' FROM pg_sleep(0.2)', label => 'bulk') h \gset
SELECT state, label FROM pg_background_list_v2() AS l(pid int, cookie bigint, launched_at timestamptz, user_id oid, queue_size int,
    state text, sql_preview text, last_error text, consumed boolean, label text);
\set VERBOSITY sqlstate
SELECT * FROM pg_background_result_v2(:pid, :cookie) AS (x text);
\set VERBOSITY default
SELECT pg_background_wait_v2(:pid, :cookie);
SELECT * FROM regress_bg;
SELECT pg_background_wait_v2(:pid, :cookie) AS again, pg_background_cancel_v2(:pid, :cookie) AS nothing_to_cancel;
SELECT count(*) AS kept FROM aside.tasks WHERE id = :cookie AND NOT detached;
SELECT pg_background_detach_v2(:pid, :cookie);
-- very many of them are not remembered
SELECT count(pg_background_submit_v2('SELECT 1')) FROM generate_series(1, 500);
SELECT count(*) < 500 AS fewer FROM aside.background_handles();
SELECT pg_background_detach_all_v2() > 0 AS some;
SELECT count(*) FROM aside.background_handles();

-- statistics are the session's
\c -
SELECT * FROM pg_background_stats_v2();
SELECT h.* FROM pg_background_launch_v2('SELECT 1') h \gset
SELECT * FROM pg_background_result_v2(:pid, :cookie) AS (x int);
SELECT h.* FROM pg_background_launch_v2('SELECT 1/0') h \gset
SELECT * FROM pg_background_result_v2(:pid, :cookie) AS (x int) \g /dev/null
SELECT h.* FROM pg_background_launch_v2('SELECT pg_sleep(60)') h \gset
SELECT workers_launched, workers_completed, workers_failed, workers_canceled, workers_timed_out, workers_active, max_workers
FROM pg_background_stats_v2();
SELECT pg_background_cancel_all_v2();
SELECT pg_background_wait_v2(:pid, :cookie);
SELECT workers_launched, workers_completed, workers_failed, workers_canceled, workers_timed_out, workers_active, avg_execution_ms > 0 AS took_time
FROM pg_background_stats_v2();
DROP EXTENSION aside_pg_background;
DROP TABLE regress_bg;

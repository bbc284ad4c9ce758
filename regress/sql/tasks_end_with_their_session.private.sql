-- Claim: without preloading tasks are a session's own: they are not seen by
-- others, end with it, and settings_check says that this is so.
SELECT setting, problem, advice FROM aside.settings_check() WHERE setting = 'shared_preload_libraries';
SELECT aside.is_preloaded();
CREATE TABLE regress_tasks (x int);
SELECT async_exec('SELECT repeat(''x'', 1000) FROM generate_series(1, 1000)') AS t \gset
SELECT async_wait(:t);
SELECT async_exec('INSERT INTO regress_tasks SELECT 1 FROM pg_sleep(3)') AS r \gset
SELECT async_wait(:r, '100 ms');
SELECT state FROM aside.tasks WHERE id IN (:t, :r) ORDER BY id;
SELECT count(*) FROM pg_ls_tmpdir() WHERE name = 'pgsql_tmp_aside.' || :'t';
\c -
SELECT count(*) FROM aside.tasks;
\set VERBOSITY sqlstate
SELECT * FROM async_result(:t) AS (x text);
SELECT async_wait(:r);
\set VERBOSITY default
CALL until($$NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'pg_aside%')$$);
SELECT * FROM regress_tasks;
SELECT count(*) FROM pg_ls_tmpdir() WHERE name = 'pgsql_tmp_aside.' || :'t';
DROP TABLE regress_tasks;

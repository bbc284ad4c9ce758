-- Claim: without preloading aside.metrics shows what there is: the session's own workers and calls, and no coordinator.
SELECT count(autonomous_exec('SELECT 1'));
SELECT labels -> 'preloaded' AS preloaded, value FROM aside.metrics WHERE name = 'aside_info';
SELECT value > 0 AS calls FROM aside.metrics WHERE name = 'aside_calls_total' AND labels ->> 'kind' = 'exec';
SELECT sum(value) = (SELECT count(*) FROM aside.workers) AS all_workers FROM aside.metrics WHERE name = 'aside_workers';
SELECT value > 0 AS problems FROM aside.metrics WHERE name = 'aside_settings_problems';
SELECT count(*) FROM aside.metrics WHERE name LIKE 'aside_coordinator%' OR name LIKE 'aside_handler%';
-- anybody may ask
CREATE ROLE regress_metrics_user IN ROLE aside_user;
SET ROLE regress_metrics_user;
SELECT count(DISTINCT name) > 10 AS many FROM aside.metrics;
SELECT setting, value FROM aside.settings_check() WHERE setting = 'shared_preload_libraries';
RESET ROLE;
DROP ROLE regress_metrics_user;

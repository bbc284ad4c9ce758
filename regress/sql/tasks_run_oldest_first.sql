-- Claim: queued tasks start in the order of their submission, and never more of
-- them run at a time than their session may have. That only one process at a time looks is tested in rust-core/src/task/turn.rs.
CREATE TABLE regress_order (n int, alone boolean, at timestamptz);
SET aside.max_workers_per_session = 1;
SELECT array_agg(async_exec('INSERT INTO regress_order VALUES ($1, pg_try_advisory_xact_lock(1), clock_timestamp())', g) ORDER BY g) AS ts
FROM generate_series(1, 300) g \gset
SELECT bool_and(async_wait(t)) AS ended FROM unnest(:'ts'::bigint[]) t;
SELECT count(*), bool_and(alone) AS one_at_a_time FROM regress_order;
SELECT count(*) AS out_of_order FROM (SELECT n, lag(n) OVER (ORDER BY at) AS before FROM regress_order) x WHERE before > n;
-- the same where all of them are there before the first one starts
TRUNCATE regress_order;
BEGIN;
SELECT array_agg(async_exec_on_commit('INSERT INTO regress_order VALUES ($1, pg_try_advisory_xact_lock(1), clock_timestamp())', g) ORDER BY g) AS ts
FROM generate_series(1, 100) g \gset
COMMIT;
SELECT bool_and(async_wait(t)) AS ended FROM unnest(:'ts'::bigint[]) t;
SELECT count(*), bool_and(alone) AS one_at_a_time FROM regress_order;
SELECT count(*) AS out_of_order FROM (SELECT n, lag(n) OVER (ORDER BY at) AS before FROM regress_order) x WHERE before > n;
RESET aside.max_workers_per_session;
DROP TABLE regress_order;

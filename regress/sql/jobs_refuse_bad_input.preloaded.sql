-- Claim: what a job cannot do is refused when it is started, and the error says what to change.
\set SHOW_CONTEXT never
\set VERBOSITY default
CREATE ROLE regress_jobs_bad LOGIN;
GRANT aside_user TO regress_jobs_bad;
GRANT CREATE ON SCHEMA public TO regress_jobs_bad;
SET SESSION AUTHORIZATION regress_jobs_bad;
CREATE TABLE bad_rows (id int PRIMARY KEY, plain int, shape point);
CREATE TABLE bad_heap (id int);
CREATE VIEW bad_view AS SELECT * FROM bad_rows;
CREATE TEMP TABLE bad_temp (id int PRIMARY KEY);
\set update '''UPDATE bad_rows SET plain = 1 WHERE id BETWEEN $1 AND $2'''

SELECT parallel_start(NULL, :update, 'bad_rows');
SELECT parallel_start('', :update, 'bad_rows');
SELECT parallel_start('x', NULL, 'bad_rows');
SELECT parallel_start('x', ' ', 'bad_rows');
SELECT parallel_start('x', :update);
SELECT parallel_start('x', 'UPDATE bad_rows SET plain = 1', 'bad_rows');
SELECT parallel_start('x', 'UPDATE bad_rows SET plain = 1 WHERE id >= $1', 'bad_rows');
SELECT parallel_start('x', :update, 'bad_heap');
SELECT parallel_start('x', :update, 'bad_rows', chunk_column => 'plain');
SELECT parallel_start('x', :update, 'bad_rows', chunk_column => 'shape');
SELECT parallel_start('x', :update, 'bad_rows', chunk_column => 'none');
SELECT parallel_start('x', :update, 'bad_view');
SELECT parallel_start('x', :update, 'bad_temp');
SELECT parallel_start('x', :update, 'bad_rows', chunk_by => 'moon');
SELECT parallel_start('x', :update, 'bad_rows', chunk_by => NULL);
SELECT parallel_start('x', :update, 'bad_rows', chunk_by => 'ctid');
SELECT parallel_start('x', :update, 'bad_rows', chunk_by => 'partition');
SELECT parallel_start('x', :update, chunk_by => 'query');
SELECT parallel_start('x', :update, chunk_by => 'query', chunk_query => 'SELECT 1');
SELECT parallel_start('x', :update, 'bad_rows', workers => n) FROM unnest('{0}'::int[]) n;
SELECT parallel_start('x', :update, 'bad_rows', workers => -1);
SELECT parallel_start('x', :update, 'bad_rows', workers => NULL);
SELECT parallel_start('x', :update, 'bad_rows', chunk_rows => 0);
SELECT parallel_start('x', :update, 'bad_rows', max_attempts => 0);
SELECT parallel_start('x', :update, 'bad_rows', follow => NULL);
SELECT parallel_start('x', :update, 'pg_catalog.pg_authid');
SELECT parallel_start(repeat('x', 2001), :update, 'bad_rows');
DO $$
BEGIN
    PERFORM parallel_start('x', 'UPDATE bad_rows SET plain = 1 WHERE id BETWEEN $1 AND $2', 'bad_rows', workers => current_setting('aside.max_workers')::int + 1);
EXCEPTION WHEN invalid_parameter_value THEN
    RAISE NOTICE '%', sqlerrm;
END $$;

-- throttles
SELECT parallel_start('x', :update, 'bad_rows', throttle => t::jsonb) FROM unnest(ARRAY['[]']) t;
DO $$
DECLARE
    t jsonb;
    detail text;
BEGIN
    FOREACH t IN ARRAY ARRAY['{"max_lag": 1}', '{"max_replication_lag": "soon"}', '{"max_replication_lag": "-1 s"}', '{"max_replication_lag": null}',
            '{"max_active_sessions": -1}', '{"max_active_sessions": "many"}', '{"max_wal_rate": "20 bushels"}', '{"max_wal_rate": -1}', '{"max_load": "x"}',
            '{"max_load": -0.5}', '{"window": "night"}', '{"window": {"from": "22:00"}}', '{"window": {"from": "22:00", "to": "22:00"}}',
            '{"window": {"from": "25:00", "to": "6:00"}}', '{"window": {"from": "22:00", "to": "6:00", "timezone": "Mars/Olympus"}}',
            '{"window": {"from": "22:00", "to": "6:00", "days": 1}}']::jsonb[] LOOP
        BEGIN
            PERFORM parallel_start('x', 'UPDATE bad_rows SET plain = 1 WHERE id BETWEEN $1 AND $2', 'bad_rows', throttle => t);
            RAISE NOTICE 'taken: %', t;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
            RAISE NOTICE '% % %', sqlstate, sqlerrm, detail;
        END;
    END LOOP;
END $$;
SELECT aside.parallel_limits('{}');
RESET SESSION AUTHORIZATION;
SELECT aside.parallel_limits('{"max_replication_lag": "10 s", "max_active_sessions": 20, "max_wal_rate": "20 MB", "max_load": 4.5,
    "window": {"from": "22:00", "to": "06:00", "timezone": "Europe/Berlin"}}');
SELECT aside.parallel_limits('{"max_replication_lag": "100 MB"}'), aside.parallel_limits('{"max_replication_lag": 1000}');
SELECT aside.parallel_limits(NULL);

-- the other functions
SELECT parallel_wait(NULL);
SELECT parallel_wait('none');
SELECT parallel_pause('none');
SELECT parallel_drop(NULL);
SELECT count(*) FROM aside.parallel_jobs;
CREATE ROLE regress_jobs_nologin;
GRANT aside_user TO regress_jobs_nologin;
GRANT SELECT ON bad_rows TO regress_jobs_nologin;
SET ROLE regress_jobs_nologin;
SELECT parallel_start('x', :update, 'bad_rows');
RESET ROLE;
DROP OWNED BY regress_jobs_bad, regress_jobs_nologin CASCADE;
DROP ROLE regress_jobs_bad, regress_jobs_nologin;

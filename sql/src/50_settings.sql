-- Role: settings that are too small for what is to run, and what to set instead.

-- The user may not read the tables.
CREATE FUNCTION aside.has_definitions() RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM aside.event_handler) OR EXISTS (SELECT FROM aside.schedule) OR EXISTS (SELECT FROM aside.parallel_job WHERE state = 'running') $$;
COMMENT ON FUNCTION aside.has_definitions() IS 'Returns whether this database has something that a coordinator is for.';

CREATE FUNCTION aside.settings_check(OUT setting text, OUT value text, OUT problem text, OUT advice text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT 'shared_preload_libraries'::text, (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'shared_preload_libraries'),
        'pg_aside is not preloaded: each session has workers of its own, its tasks end with it, and there are no events'::text,
        'Add pg_aside to shared_preload_libraries and restart the server.'::text
    WHERE NOT aside.is_preloaded()
    UNION ALL
    SELECT 'max_worker_processes', pg_catalog.current_setting('max_worker_processes'),
        pg_catalog.format('pg_aside may start %s processes, parallel query %s and logical replication %s, but the server has %s places for all of them',
            w.ours, w.parallel, w.logical, w.places),
        pg_catalog.format('Set max_worker_processes to at least %s and restart the server, or lower aside.max_workers.',
            w.ours + w.parallel + w.logical)
    FROM (SELECT pg_catalog.current_setting('aside.max_workers')::int
                     + CASE WHEN aside.is_preloaded() THEN 1 + greatest(pg_catalog.current_setting('aside.reserved_coordinators')::int,
                           (SELECT count(*) FROM aside.coordinator_rows() c WHERE c.state NOT IN ('no extension', 'idle'))::int) ELSE 0 END AS ours,
                 pg_catalog.current_setting('max_parallel_workers')::int AS parallel,
                 pg_catalog.current_setting('max_logical_replication_workers')::int AS logical,
                 pg_catalog.current_setting('max_worker_processes')::int AS places) AS w
    WHERE w.places < w.ours + w.parallel + w.logical
    UNION ALL
    SELECT 'aside.databases', pg_catalog.current_setting('aside.databases'),
        'this database has handlers of events or schedules, but no coordinator runs in it',
        'Add it to aside.databases, or see the server log for what keeps its coordinator from running.'
    WHERE aside.is_preloaded() AND NOT pg_catalog.pg_is_in_recovery() AND aside.has_definitions()
        AND NOT EXISTS (SELECT FROM aside.coordinator_rows() c WHERE c.database = current_database() AND c.state IN ('running', 'failing'))
    UNION ALL
    SELECT 'aside.min_workers', pg_catalog.current_setting('aside.min_workers'),
        'more workers are kept for one database and user than there are in all',
        'Lower aside.min_workers, or raise aside.max_workers.'
    WHERE pg_catalog.current_setting('aside.min_workers')::int > pg_catalog.current_setting('aside.max_workers')::int;
END;
COMMENT ON FUNCTION aside.settings_check() IS
    'Lists settings that keep pg_aside from doing all that it promises, and what to set instead. Returns no rows if there are none.';

GRANT EXECUTE ON FUNCTION
    aside.settings_check(), aside.has_definitions()
TO aside_user;

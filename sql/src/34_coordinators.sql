-- Role: what SQL knows of coordinators. In C: c-shim/coordinator/registry.c, c-shim/events/announce.c.

CREATE FUNCTION aside.want_events() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'aside_want_events';
COMMENT ON FUNCTION aside.want_events() IS 'Asks for a coordinator in this database, when the transaction commits.';

CREATE FUNCTION aside.events_ready() RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'aside_events_ready';
COMMENT ON FUNCTION aside.events_ready() IS 'True if the server runs the launcher, which starts coordinators. Without it no event is handled.';
CREATE FUNCTION aside.coordinator_rows(OUT database name, OUT state text, OUT pid int, OUT failures int, OUT since timestamptz)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_coordinators';
COMMENT ON FUNCTION aside.coordinator_rows() IS 'Returns the rows of the view aside.coordinators.';
CREATE FUNCTION aside.handler_counts(OUT handler bigint, OUT notes_waiting bigint, OUT notes_done bigint, OUT notes_failed bigint,
    OUT notes_dropped bigint, OUT notes_recorded bigint, OUT notes_failures jsonb, OUT waiting bigint, OUT delayed bigint, OUT retrying bigint,
    OUT running bigint, OUT dead bigint, OUT workers bigint, OUT oldest timestamptz, OUT emitted bigint, OUT done bigint, OUT failed bigint,
    OUT died bigint, OUT cancelled bigint, OUT expired bigint, OUT emitted_per_second float8, OUT done_per_second float8,
    OUT failures_per_second float8, OUT partial boolean, OUT failures jsonb)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'aside_handler_counts';
COMMENT ON FUNCTION aside.handler_counts() IS
    'Returns what the coordinator of this database has counted for each handler, from shared memory. Totals are since the coordinator started. Column partial: events are waiting in the tables that are not counted.';
CREATE FUNCTION aside.unseen_transactions(OUT since xid8, OUT running xid8[])
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_unseen_transactions_here';
COMMENT ON FUNCTION aside.unseen_transactions() IS
    'Returns the transactions whose events the coordinator of this database has not counted: those from "since" on, and those in "running". Returns NULLs if that is not known.';

CREATE VIEW aside.coordinators AS SELECT * FROM aside.coordinator_rows();
-- Of this database, for the views of definitions.
CREATE FUNCTION aside.coordinator_reason() RETURNS text LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE c.state WHEN 'failed' THEN 'the coordinator of this database has failed, and will be started again: the server''s log has its error'
            WHEN 'failing' THEN 'queries of the coordinator of this database fail: the server''s log has their error' END
        FROM aside.coordinator_rows() c WHERE c.database = current_database() $$;
COMMENT ON FUNCTION aside.coordinator_reason() IS 'Returns why nothing runs in this database now. Returns NULL if its coordinator works, or there is none.';

COMMENT ON VIEW aside.coordinators IS
    'Coordinators of events, one for each database. State: running, failing (its queries fail), idle (no handlers, and no process), no extension, or failed (it will be started again).';
COMMENT ON COLUMN aside.coordinators.database IS 'Database that the coordinator is for.';
COMMENT ON COLUMN aside.coordinators.state IS 'Running, failing, idle, no extension, or failed.';
COMMENT ON COLUMN aside.coordinators.pid IS 'Process of the coordinator, if there is one.';
COMMENT ON COLUMN aside.coordinators.failures IS 'Failures since the coordinator last worked.';
COMMENT ON COLUMN aside.coordinators.since IS 'Time when the coordinator came to this state.';

GRANT EXECUTE ON FUNCTION
    aside.events_ready(), aside.coordinator_rows(), aside.handler_counts(), aside.coordinator_reason()
TO aside_user;
GRANT SELECT ON aside.coordinators TO aside_user;

-- The tables are there: a coordinator may come.
SELECT aside.want_events();

-- Role: what SQL knows of the coordinators of events. In C: c-shim/coordinator/registry.c.

CREATE FUNCTION aside.want_events() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'aside_want_events';
COMMENT ON FUNCTION aside.want_events() IS 'Asks for a coordinator in this database, when the transaction commits.';

CREATE FUNCTION aside.events_ready() RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'aside_events_ready';
COMMENT ON FUNCTION aside.events_ready() IS 'True if the server runs the launcher, which starts coordinators. Without it no event is handled.';
CREATE FUNCTION aside.coordinator_rows(OUT database name, OUT state text, OUT pid int, OUT failures int, OUT since timestamptz)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_coordinators';
COMMENT ON FUNCTION aside.coordinator_rows() IS 'Returns the rows of the view aside.coordinators.';
CREATE FUNCTION aside.notification_rows(OUT handler bigint, OUT waiting bigint, OUT done bigint, OUT failed bigint,
    OUT dropped bigint, OUT recorded bigint, OUT failures jsonb)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_notification_counts';
COMMENT ON FUNCTION aside.notification_rows() IS 'Returns counts of the notifications of each handler, for the view aside.event_stats.';

CREATE VIEW aside.coordinators AS SELECT * FROM aside.coordinator_rows();

COMMENT ON VIEW aside.coordinators IS
    'Coordinators of events, one for each database. State: running, failing (its queries fail), idle (no handlers, and no process), no extension, or failed (it will be started again).';
COMMENT ON COLUMN aside.coordinators.database IS 'Database that the coordinator is for.';
COMMENT ON COLUMN aside.coordinators.state IS 'Running, failing, idle, no extension, or failed.';
COMMENT ON COLUMN aside.coordinators.pid IS 'Process of the coordinator, if there is one.';
COMMENT ON COLUMN aside.coordinators.failures IS 'Failures since the coordinator last worked.';
COMMENT ON COLUMN aside.coordinators.since IS 'Time when the coordinator came to this state.';

GRANT EXECUTE ON FUNCTION
    aside.events_ready(), aside.coordinator_rows(), aside.notification_rows()
TO aside_user;
GRANT SELECT ON aside.coordinators TO aside_user;

-- The tables are there: a coordinator may come.
SELECT aside.want_events();

/* pg_aside 0.1.0. Public functions go to the extension's schema, views to schema aside. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_aside" to load this file. \quit

CREATE SCHEMA aside;
COMMENT ON SCHEMA aside IS 'views of pg_aside';

-- Roles belong to the cluster: made once, and left there when the extension is dropped.
DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'aside_user') THEN
        CREATE ROLE aside_user NOLOGIN;
    END IF;
END
$role$;

CREATE FUNCTION autonomous_exec(command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_exec';
CREATE FUNCTION autonomous_exec(command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_exec';

CREATE FUNCTION autonomous_query(command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query';
CREATE FUNCTION autonomous_query(command text, VARIADIC args "any") RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query';

CREATE FUNCTION autonomous_query_as(rowtype anyelement, command text) RETURNS SETOF anyelement
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query_as';
CREATE FUNCTION autonomous_query_as(rowtype anyelement, command text, VARIADIC args "any") RETURNS SETOF anyelement
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query_as';

CREATE FUNCTION autonomous_json(command text) RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_json';
CREATE FUNCTION autonomous_json(command text, VARIADIC args "any") RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_json';

COMMENT ON FUNCTION autonomous_exec(text) IS
    'run SQL in an autonomous transaction, which commits before this returns; rows processed by its last statement; NULL is an error (22004)';
COMMENT ON FUNCTION autonomous_exec(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction, which commits before this returns; rows processed by its last statement; a NULL command is an error (22004)';
COMMENT ON FUNCTION autonomous_query(text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_query(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement as the type of the first argument, whose value is not used';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement as the type of the first argument, whose value is not used';
COMMENT ON FUNCTION autonomous_json(text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement, each as a jsonb object';
COMMENT ON FUNCTION autonomous_json(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement, each as a jsonb object';

CREATE FUNCTION autonomous_session_open(session text, database name DEFAULT current_database()) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_open';
CREATE FUNCTION autonomous_session_exec(session text, command text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_exec';
CREATE FUNCTION autonomous_session_exec(session text, command text, VARIADIC args "any") RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_exec';
CREATE FUNCTION autonomous_session_query(session text, command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_query';
CREATE FUNCTION autonomous_session_query(session text, command text, VARIADIC args "any") RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_query';
CREATE FUNCTION autonomous_session_send(session text, command text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_send';
CREATE FUNCTION autonomous_session_send(session text, command text, VARIADIC args "any") RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_send';
CREATE FUNCTION autonomous_session_is_busy(session text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_is_busy';
CREATE FUNCTION autonomous_session_result(session text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_result';
CREATE FUNCTION autonomous_session_cancel(session text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_cancel';
CREATE FUNCTION autonomous_session_error(session text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_error';
CREATE FUNCTION autonomous_session_notifications(session text, OUT channel text, OUT payload text, OUT pid int)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_notifications';
CREATE FUNCTION autonomous_session_close(session text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_session_close';
CREATE FUNCTION autonomous_sessions(OUT session text, OUT database name, OUT pid int, OUT state text, OUT opened timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_sessions';

COMMENT ON FUNCTION autonomous_session_open(text, name) IS
    'open a session under a name that is free (42710): a worker that keeps transactions, cursors, temporary tables and settings across calls, in this database or another one';
COMMENT ON FUNCTION autonomous_session_exec(text, text) IS
    'run SQL in a session and return the tag of its last statement; 08003 if there is no such session, 55000 if it is busy';
COMMENT ON FUNCTION autonomous_session_exec(text, text, "any") IS
    'run SQL with parameters $1... in a session and return the tag of its last statement; 08003 if there is no such session, 55000 if it is busy';
COMMENT ON FUNCTION autonomous_session_query(text, text) IS
    'run SQL in a session and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_session_query(text, text, "any") IS
    'run SQL with parameters $1... in a session and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_session_send(text, text) IS
    'send SQL to a session without waiting for it; autonomous_session_result reads what comes of it';
COMMENT ON FUNCTION autonomous_session_send(text, text, "any") IS
    'send SQL with parameters $1... to a session without waiting for it; autonomous_session_result reads what comes of it';
COMMENT ON FUNCTION autonomous_session_is_busy(text) IS
    'does the command that was sent to a session still run? false too when it waits for its results to be read';
COMMENT ON FUNCTION autonomous_session_result(text) IS
    'wait for the next result set of the command that was sent, and return it; no rows when all have been read; raises the command''s error';
COMMENT ON FUNCTION autonomous_session_cancel(text) IS
    'cancel the command that was sent to a session, without waiting; false if there was nothing to cancel';
COMMENT ON FUNCTION autonomous_session_error(text) IS
    'message of the last error that a command of the session raised; NULL if none did';
COMMENT ON FUNCTION autonomous_session_notifications(text) IS
    'notifications on the channels that the session listens to, each once, in the order in which they came';
COMMENT ON FUNCTION autonomous_session_close(text) IS
    'close a session: what runs is cancelled, an open transaction rolled back; 08003 if there is no such session';
COMMENT ON FUNCTION autonomous_sessions() IS 'the autonomous sessions that this session has open';

CREATE FUNCTION async_exec(command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_exec';
CREATE FUNCTION async_exec(command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_exec';
CREATE FUNCTION async_exec_on_commit(command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_exec_on_commit';
CREATE FUNCTION async_exec_on_commit(command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_exec_on_commit';
CREATE FUNCTION async_run(task bigint, command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_run';
CREATE FUNCTION async_run(task bigint, command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_run';
CREATE FUNCTION async_wait(task bigint, timeout interval DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_wait';
CREATE FUNCTION async_wait_any(tasks bigint[], timeout interval DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_wait_any';
CREATE FUNCTION async_result(task bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_result';
CREATE FUNCTION async_cancel(task bigint, grace interval DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_cancel';
CREATE FUNCTION async_detach(task bigint) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_detach';
CREATE FUNCTION async_progress(percent float8, message text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_progress';

COMMENT ON FUNCTION async_exec(text) IS
    'have SQL run as a task, in a transaction of its own, without waiting for it; its id, which is unique in the cluster';
COMMENT ON FUNCTION async_exec(text, "any") IS
    'have SQL with parameters $1... run as a task, in a transaction of its own, without waiting for it; its id, which is unique in the cluster';
COMMENT ON FUNCTION async_exec_on_commit(text) IS
    'as async_exec, but the task starts when this transaction commits, and never if it does not';
COMMENT ON FUNCTION async_exec_on_commit(text, "any") IS
    'as async_exec, but the task starts when this transaction commits, and never if it does not';
COMMENT ON FUNCTION async_run(bigint, text) IS
    'as async_exec, in the process that runs, or has run, that task; 55000 if it has gone';
COMMENT ON FUNCTION async_run(bigint, text, "any") IS
    'as async_exec, in the process that runs, or has run, that task; 55000 if it has gone';
COMMENT ON FUNCTION async_wait(bigint, interval) IS
    'wait for the end of a task; false if the time has passed before (NULL: wait for as long as it takes); 42704 if there is no such task';
COMMENT ON FUNCTION async_wait_any(bigint[], interval) IS
    'wait for the end of any of these tasks, and return its id; NULL if the time has passed before';
COMMENT ON FUNCTION async_result(bigint) IS
    'wait for the end of a task and return the rows of its last statement that has any, assigned to the column definition list (42804 if they do not fit); raises the task''s error';
COMMENT ON FUNCTION async_cancel(bigint, interval) IS
    'cancel a task: it will not commit; false if it has ended already; with a grace, end its worker if it has not ended by then';
COMMENT ON FUNCTION async_detach(bigint) IS
    'forget a task: at once if it has ended, else when it ends; its result is not kept';
COMMENT ON FUNCTION async_progress(float8, text) IS
    'tell aside.tasks how far the task is that this command is part of, from 0 to 100; NULL leaves that open; without effect outside of a task';

CREATE FUNCTION aside.task_result_tags(task bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_task_result_tags';
COMMENT ON FUNCTION aside.task_result_tags(bigint) IS
    'for aside_pg_background: async_result; where no statement has rows, the tag of each as a row of text';

CREATE FUNCTION aside.plpgsql_call() RETURNS language_handler
LANGUAGE c AS 'MODULE_PATHNAME', 'aside_plpgsql_call';
COMMENT ON FUNCTION aside.plpgsql_call() IS 'handler of LANGUAGE plpgsql_autonomous';
CREATE FUNCTION aside.plpgsql_inline(internal) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_inline';
COMMENT ON FUNCTION aside.plpgsql_inline(internal) IS 'DO blocks of LANGUAGE plpgsql_autonomous';
CREATE FUNCTION aside.plpgsql_validate(oid) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_validate';
COMMENT ON FUNCTION aside.plpgsql_validate(oid) IS 'validator of LANGUAGE plpgsql_autonomous';

CREATE TRUSTED LANGUAGE plpgsql_autonomous
    HANDLER aside.plpgsql_call INLINE aside.plpgsql_inline VALIDATOR aside.plpgsql_validate;
COMMENT ON LANGUAGE plpgsql_autonomous IS 'PL/pgSQL routines whose whole execution is an autonomous transaction';
REVOKE ALL ON LANGUAGE plpgsql_autonomous FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql_autonomous TO aside_user;

-- Events: handlers, events with their log in partitions that are emptied by TRUNCATE, and those that no attempt could handle.
CREATE TYPE aside.event AS (
    id bigint, channel text, payload jsonb, key text, headers jsonb, attempt int, emitted timestamptz, emitted_by name, priority int
);
COMMENT ON TYPE aside.event IS 'an event as its handler gets it; id is NULL for a notification that was not recorded';

CREATE SEQUENCE aside.event_id;
CREATE TABLE aside.event_handler (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    channel text NOT NULL,
    owner regrole NOT NULL,
    handler text,
    command text,
    form text NOT NULL,
    concurrency int NOT NULL,
    batch_size int NOT NULL,
    max_attempts int NOT NULL,
    backoff interval NOT NULL,
    backoff_cap interval NOT NULL,
    timeout interval,
    ordered boolean NOT NULL,
    durable boolean NOT NULL,
    paused boolean NOT NULL DEFAULT false,
    since bigint NOT NULL,
    version int NOT NULL DEFAULT 1,
    created timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE aside.event_handler IS 'handlers of events, as async_event_on has made them; the view aside.handlers shows them';
CREATE TABLE aside.event_control (partition int NOT NULL);
INSERT INTO aside.event_control VALUES (0);
COMMENT ON TABLE aside.event_control IS 'the partition that new events go to';

CREATE TABLE aside.event_0 (
    id bigint NOT NULL,
    txid xid8 NOT NULL,
    channel text NOT NULL,
    payload jsonb,
    key text,
    priority int NOT NULL,
    run_at timestamptz,
    unique_key text,
    headers jsonb,
    emitted timestamptz NOT NULL,
    emitted_by oid NOT NULL,
    target int,
    attempts int NOT NULL DEFAULT 0,
    command text,
    depth int NOT NULL DEFAULT 0
) WITH (autovacuum_enabled = false);
CREATE INDEX event_0_txid ON aside.event_0 (txid);
CREATE TABLE aside.event_1 (LIKE aside.event_0 INCLUDING ALL);
CREATE TABLE aside.event_2 (LIKE aside.event_0 INCLUDING ALL);
-- Whoever publishes all tables of the database must not keep these from being updated.
ALTER TABLE aside.event_control REPLICA IDENTITY FULL;
ALTER TABLE aside.event_0 REPLICA IDENTITY FULL;
ALTER TABLE aside.event_1 REPLICA IDENTITY FULL;
ALTER TABLE aside.event_2 REPLICA IDENTITY FULL;
CREATE TABLE aside.event_log_0 (
    handler int NOT NULL,
    kind "char" NOT NULL,
    events bigint[] NOT NULL,
    attempt int,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at timestamptz,
    sqlstate text,
    message text
) WITH (autovacuum_enabled = false);
CREATE TABLE aside.event_log_1 (LIKE aside.event_log_0 INCLUDING ALL);
CREATE TABLE aside.event_log_2 (LIKE aside.event_log_0 INCLUDING ALL);
COMMENT ON TABLE aside.event_0 IS 'emitted events; one of three partitions that are used by turns';
COMMENT ON TABLE aside.event_1 IS 'as aside.event_0';
COMMENT ON TABLE aside.event_2 IS 'as aside.event_0';
COMMENT ON TABLE aside.event_log_0 IS
    'what became of the events of the same partition: a attempt begins, w it was not made after all, d done, f failed and is retried, x dead, c cancelled';
COMMENT ON TABLE aside.event_log_1 IS 'as aside.event_log_0';
COMMENT ON TABLE aside.event_log_2 IS 'as aside.event_log_0';

CREATE TABLE aside.event_dead (
    id bigint NOT NULL,
    handler int NOT NULL,
    channel text NOT NULL,
    payload jsonb,
    key text,
    priority int NOT NULL,
    headers jsonb,
    emitted timestamptz NOT NULL,
    emitted_by regrole NOT NULL,
    attempts int NOT NULL,
    sqlstate text,
    message text,
    died timestamptz NOT NULL DEFAULT clock_timestamp(),
    errors jsonb,
    PRIMARY KEY (id, handler)
);
COMMENT ON COLUMN aside.event_dead.errors IS 'of all attempts; NULL as long as the log has them';
COMMENT ON TABLE aside.event_dead IS 'events that no attempt of a handler could handle';
SELECT pg_catalog.pg_extension_config_dump('aside.event_id', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_handler', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_handler_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_dead', '');
CREATE TABLE aside.event_unique (
    channel text NOT NULL,
    unique_key text NOT NULL,
    event bigint NOT NULL,
    emitted_by oid NOT NULL,
    PRIMARY KEY (channel, unique_key)
);
CREATE INDEX event_unique_event ON aside.event_unique (event);
COMMENT ON TABLE aside.event_unique IS 'unique keys of events that have not ended';

CREATE FUNCTION aside.want_events() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'aside_want_events';
COMMENT ON FUNCTION aside.want_events() IS 'asks for a coordinator of events in this database, when the transaction commits';
CREATE FUNCTION aside.event_handlers_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_event_handlers_changed';
COMMENT ON FUNCTION aside.event_handlers_changed() IS 'tells the coordinator of events that handlers have changed, when the transaction commits';
-- By whatever way they come: pg_restore copies them into the table.
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON aside.event_handler EXECUTE FUNCTION aside.event_handlers_changed();
CREATE FUNCTION aside.events_ready() RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'aside_events_ready';
COMMENT ON FUNCTION aside.events_ready() IS 'has the server a launcher, so that events are handled?';
CREATE FUNCTION aside.coordinator_rows(OUT database name, OUT state text, OUT pid int, OUT failures int, OUT since timestamptz)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_coordinators';
COMMENT ON FUNCTION aside.coordinator_rows() IS 'rows of the view aside.coordinators';
CREATE FUNCTION aside.notification_rows(OUT handler int, OUT waiting bigint, OUT done bigint, OUT failed bigint,
    OUT dropped bigint, OUT recorded bigint, OUT failures jsonb)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_notifications';
COMMENT ON FUNCTION aside.notification_rows() IS 'what has become of the notifications of each handler, for the view aside.event_stats';

-- What the functions for users forward to. The first argument is the role that asks.
CREATE FUNCTION aside.event_handler_of(caller oid, wanted text) RETURNS aside.event_handler LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler;
BEGIN
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'name of an event handler must not be null' USING ERRCODE = '22004';
    END IF;
    SELECT * INTO found FROM aside.event_handler h WHERE h.name = wanted FOR UPDATE;
    IF found.id IS NULL THEN
        RAISE EXCEPTION 'event handler "%" does not exist', wanted USING ERRCODE = '42704';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = found.owner AND pg_has_role(caller, r.oid, 'USAGE'))
        AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND r.rolsuper) THEN
        RAISE EXCEPTION 'must be owner of event handler "%"', wanted USING ERRCODE = '42501';
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION aside.event_handler_of(oid, text) IS 'the handler of that name, if the role may change it';

CREATE FUNCTION aside.async_event_on(caller oid, channel text, handler regprocedure, command text, name text, concurrency int,
    batch_size int, max_attempts int, backoff interval, backoff_cap interval, timeout interval, ordered boolean, durable boolean)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    caller_name name := (SELECT r.rolname FROM pg_roles r WHERE r.oid = caller);
    of_function pg_proc;
    form text;
    signature text;
    new_name text := coalesce(name, channel);
BEGIN
    IF channel IS NULL OR channel = '' THEN
        RAISE EXCEPTION 'channel of an event handler must not be null or empty' USING ERRCODE = '22004';
    END IF;
    -- Events may have longer ones.
    IF octet_length(channel) > 63 AND durable THEN
        RAISE EXCEPTION 'channel name is too long' USING ERRCODE = '22023',
            DETAIL = 'A NOTIFY is of a channel of at most 63 bytes: there would be none to record.';
    END IF;
    IF (handler IS NULL) = (command IS NULL) THEN
        RAISE EXCEPTION 'an event handler is a function or a command' USING ERRCODE = '22023',
            HINT = 'Give one of the arguments handler and command.';
    END IF;
    IF concurrency IS NULL OR concurrency < 1 OR batch_size IS NULL OR batch_size < 1 OR max_attempts IS NULL OR max_attempts < 1
        OR backoff IS NULL OR backoff < interval '0' OR backoff_cap IS NULL OR backoff_cap < interval '0'
        OR timeout <= interval '0' OR ordered IS NULL OR durable IS NULL THEN
        RAISE EXCEPTION 'an option of the event handler is out of range' USING ERRCODE = '22023',
            DETAIL = 'concurrency, batch_size and max_attempts are at least 1; backoff and backoff_cap are not negative, timeout is positive.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND r.rolcanlogin) THEN
        RAISE EXCEPTION 'the owner of an event handler must be able to log in' USING ERRCODE = '0A000',
            DETAIL = format('Handlers run as their owner, and role "%s" cannot log in.', caller_name),
            HINT = 'Create the handler as a role that can, for example one that is a member of this one.';
    END IF;
    IF handler IS NULL THEN
        form := 'command';
    ELSE
        SELECT * INTO of_function FROM pg_proc p WHERE p.oid = handler;
        IF NOT has_function_privilege(caller, handler, 'EXECUTE') THEN
            RAISE EXCEPTION 'permission denied for function %', handler USING ERRCODE = '42501';
        END IF;
        form := CASE
            WHEN of_function.prokind <> 'f' OR of_function.pronargs <> 1 THEN NULL
            WHEN of_function.proargtypes[0] = 'aside.event'::regtype THEN 'event'
            WHEN of_function.proargtypes[0] = 'aside.event[]'::regtype THEN 'array'
            WHEN of_function.proargtypes[0] = 'jsonb'::regtype THEN 'jsonb'
            WHEN of_function.proargtypes[0] = 'text'::regtype THEN 'text'
        END;
        IF form IS NULL THEN
            RAISE EXCEPTION 'function % cannot handle events', handler USING ERRCODE = '42P13',
                HINT = 'A handler is a function of one argument: aside.event, aside.event[], jsonb or text.';
        END IF;
        SELECT format('%I.%I(%s)', n.nspname, of_function.proname, format_type(of_function.proargtypes[0], NULL))
            INTO signature FROM pg_namespace n WHERE n.oid = of_function.pronamespace;
    END IF;
    IF EXISTS (SELECT FROM aside.event_handler h WHERE h.name = new_name) THEN
        RAISE EXCEPTION 'event handler "%" already exists', new_name USING ERRCODE = '42710',
            HINT = 'Give it another name.';
    END IF;
    INSERT INTO aside.event_handler (name, channel, owner, handler, command, form, concurrency, batch_size, max_attempts,
        backoff, backoff_cap, timeout, ordered, durable, since)
    VALUES (new_name, channel, caller, signature, command,
        CASE form WHEN 'command' THEN 'c' WHEN 'event' THEN 'e' WHEN 'array' THEN 'a' WHEN 'jsonb' THEN 'j' ELSE 't' END,
        concurrency, batch_size, max_attempts, backoff, backoff_cap, timeout, ordered, durable,
        nextval('aside.event_id'));
    RETURN new_name;
END $$;

CREATE FUNCTION aside.async_event_off(caller oid, name text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
BEGIN
    DELETE FROM aside.event_dead d WHERE d.handler = found.id;
    DELETE FROM aside.event_handler h WHERE h.id = found.id;
    -- What waits and no other handler gets ends here, so its unique keys are free.
    DELETE FROM aside.event_unique u WHERE u.channel = found.channel
        AND NOT EXISTS (SELECT FROM aside.event_handler h WHERE h.channel = found.channel AND h.since < u.event);
    RETURN true;
END $$;
CREATE FUNCTION aside.async_event_pause(caller oid, name text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
BEGIN
    UPDATE aside.event_handler h SET paused = true, version = h.version + 1 WHERE h.id = found.id;
    RETURN NOT found.paused;
END $$;
CREATE FUNCTION aside.async_event_resume(caller oid, name text) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
BEGIN
    UPDATE aside.event_handler h SET paused = false, version = h.version + 1 WHERE h.id = found.id;
    RETURN found.paused;
END $$;

CREATE FUNCTION aside.event_put(channel text, payload jsonb, key text, priority int, headers jsonb, emitted_by oid, target int,
    command text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id bigint := nextval('aside.event_id');
BEGIN
    EXECUTE format('INSERT INTO aside.event_%s (id, txid, channel, payload, key, priority, headers, emitted, emitted_by, target, command)
        VALUES ($1, pg_current_xact_id(), $2, $3, $4, $5, $6, clock_timestamp(), $7, $8, $9)',
        (SELECT c.partition FROM aside.event_control c))
    USING id, channel, payload, key, priority, headers, emitted_by, target, command;
    RETURN id;
END $$;
COMMENT ON FUNCTION aside.event_put(text, jsonb, text, int, jsonb, oid, int, text) IS 'emits what async_event_emit does not';

-- Plans are kept: one that was made while the table was small must not scan it when it is large.
CREATE FUNCTION aside.event_claim_key(channel text, unique_key text, id bigint, conflict text, caller oid) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    other bigint;
    emitter oid;
BEGIN
    LOOP
        INSERT INTO aside.event_unique AS u VALUES (channel, unique_key, id, caller) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN 0;
        END IF;
        -- Nobody is to wait for a transaction that has only looked.
        IF conflict = 'replace' THEN
            SELECT u.event, u.emitted_by INTO other, emitter FROM aside.event_unique u
                WHERE u.channel = event_claim_key.channel AND u.unique_key = event_claim_key.unique_key FOR UPDATE;
        ELSE
            SELECT u.event INTO other FROM aside.event_unique u
                WHERE u.channel = event_claim_key.channel AND u.unique_key = event_claim_key.unique_key;
        END IF;
        CONTINUE WHEN other IS NULL;
        IF conflict = 'keep' THEN
            RETURN other;
        ELSIF conflict = 'reject' THEN
            RAISE EXCEPTION 'an event with unique key "%" is still to be handled', unique_key USING ERRCODE = '23505',
                DETAIL = format('It is event %s of channel "%s".', other, channel);
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR pg_has_role(caller, emitter, 'USAGE'))) THEN
            RAISE EXCEPTION 'permission denied to replace event %', other USING ERRCODE = '42501',
                DETAIL = 'It was emitted by another role.';
        END IF;
        UPDATE aside.event_unique u SET event = id, emitted_by = caller
            WHERE u.channel = event_claim_key.channel AND u.unique_key = event_claim_key.unique_key;
        PERFORM aside.event_put('', to_jsonb(other), NULL, 0, NULL, 0, NULL, 'cancel');
        RETURN 0;
    END LOOP;
END $$;
COMMENT ON FUNCTION aside.event_claim_key(text, text, bigint, text, oid) IS
    'makes a unique key that of an event: 0; or the event that has it and keeps it';

-- Keys come and go row by row. Where others keep old snapshots alive no vacuum helps, so the table is written anew.
CREATE FUNCTION aside.event_unique_compact() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
    size bigint := pg_total_relation_size('aside.event_unique');
    percent float8;
    live float8;
    kept aside.event_unique[];
BEGIN
    IF size < 500000 THEN
        RETURN;
    END IF;
    -- By some 1 MB of it. With its indexes, a row takes up to four times as much as it has; many rows are too much to carry.
    percent := least(100, 100 * 1e6 / greatest(pg_relation_size('aside.event_unique'), 1));
    SELECT coalesce(sum(pg_column_size(u.*)), 0) * 100 / percent INTO live FROM aside.event_unique u TABLESAMPLE SYSTEM (percent);
    IF live > least(size / 4, 64e6) THEN
        RETURN;
    END IF;
    LOCK TABLE aside.event_unique IN ACCESS EXCLUSIVE MODE;
    kept := ARRAY(SELECT u FROM aside.event_unique u);
    TRUNCATE aside.event_unique;
    INSERT INTO aside.event_unique SELECT k.* FROM unnest(kept) k;
END $$;
COMMENT ON FUNCTION aside.event_unique_compact() IS 'writes the table of unique keys anew if most of it is of those that are free again';

-- Each of these tables is gone through once, and the log by its rows: an index on the id would cost each emitted event more.
CREATE FUNCTION aside.async_event_cancel(caller oid, id bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    emitter oid;
    its_channel text;
    its_target int;
    ended int[];
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'event must not be null' USING ERRCODE = '22004';
    END IF;
    SELECT e.emitted_by, e.channel, e.target INTO emitter, its_channel, its_target FROM aside.event_rows e
        WHERE e.id = async_event_cancel.id AND (e.command IS NULL OR e.command = 'notify');
    IF emitter IS NULL THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = caller AND (r.rolsuper OR pg_has_role(caller, emitter, 'USAGE'))) THEN
        RAISE EXCEPTION 'permission denied for event %', id USING ERRCODE = '42501',
            DETAIL = 'It was emitted by another role.';
    END IF;
    ended := ARRAY(SELECT o.handler FROM (SELECT l.handler, l.kind, l.events FROM aside.event_log_0 l
            UNION ALL SELECT l.handler, l.kind, l.events FROM aside.event_log_1 l
            UNION ALL SELECT l.handler, l.kind, l.events FROM aside.event_log_2 l) o
        WHERE o.kind IN ('d', 'x', 'c') AND async_event_cancel.id = ANY (o.events));
    IF NOT EXISTS (SELECT FROM aside.event_handler h WHERE h.id <> ALL (ended)
            AND (h.id = its_target OR (its_target IS NULL AND h.channel = its_channel AND h.since < async_event_cancel.id))) THEN
        -- It waits for nobody, but may still have its unique key.
        DELETE FROM aside.event_unique u WHERE u.event = async_event_cancel.id;
        RETURN FOUND;
    END IF;
    PERFORM aside.event_put('', to_jsonb(id), NULL, 0, NULL, caller, NULL, 'cancel');
    RETURN true;
END $$;

CREATE FUNCTION aside.async_event_redrive(caller oid, name text, ids bigint[]) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.event_handler := aside.event_handler_of(caller, name);
    dead aside.event_dead;
    count bigint := 0;
BEGIN
    FOR dead IN DELETE FROM aside.event_dead d WHERE d.handler = found.id AND (ids IS NULL OR d.id = ANY (ids)) RETURNING * LOOP
        PERFORM aside.event_put(dead.channel, dead.payload, dead.key, dead.priority,
            coalesce(dead.headers, '{}') || jsonb_build_object('redriven', dead.id), dead.emitted_by, found.id,
            CASE WHEN dead.headers ? 'pid' AND dead.emitted_by = 0 THEN 'notify' END);
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;
COMMENT ON FUNCTION aside.async_event_on(oid, text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean) IS
    'what async_event_on does for a role';
COMMENT ON FUNCTION aside.async_event_off(oid, text) IS 'what async_event_off does for a role';
COMMENT ON FUNCTION aside.async_event_pause(oid, text) IS 'what async_event_pause does for a role';
COMMENT ON FUNCTION aside.async_event_resume(oid, text) IS 'what async_event_resume does for a role';
COMMENT ON FUNCTION aside.async_event_cancel(oid, bigint) IS 'what async_event_cancel does for a role';
COMMENT ON FUNCTION aside.async_event_redrive(oid, text, bigint[]) IS 'what async_event_redrive does for a role';

CREATE FUNCTION async_event_on(channel text, handler regprocedure DEFAULT NULL, command text DEFAULT NULL, name text DEFAULT NULL,
    concurrency int DEFAULT 1, batch_size int DEFAULT 1, max_attempts int DEFAULT 5, backoff interval DEFAULT '1 second',
    backoff_cap interval DEFAULT '1 hour', timeout interval DEFAULT NULL, ordered boolean DEFAULT false, durable boolean DEFAULT false)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_off(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_pause(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_resume(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_emit(channel text, payload jsonb DEFAULT NULL, key text DEFAULT NULL, delay interval DEFAULT NULL,
    run_at timestamptz DEFAULT NULL, priority int DEFAULT 0, unique_key text DEFAULT NULL, on_conflict text DEFAULT 'reject',
    headers jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_async_event_emit';
CREATE FUNCTION async_event_cancel(id bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
CREATE FUNCTION async_event_redrive(name text, ids bigint[] DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_event_forward';
COMMENT ON FUNCTION async_event_on(text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean) IS
    'have a function or a command run by the server for each event of a channel and each NOTIFY on it, as the current role; returns its name';
COMMENT ON FUNCTION async_event_off(text) IS 'end a handler: what waits for it is dropped, and its dead events too';
COMMENT ON FUNCTION async_event_pause(text) IS 'start nothing more for a handler; false if it was paused already';
COMMENT ON FUNCTION async_event_resume(text) IS 'go on with a paused handler; false if it was not paused';
COMMENT ON FUNCTION async_event_emit(text, jsonb, text, interval, timestamptz, int, text, text, jsonb) IS
    'emit an event with this transaction: if it commits, each handler of the channel gets it, and its effects once; its id';
COMMENT ON FUNCTION async_event_cancel(bigint) IS
    'cancel an event that is still to be handled, or has its unique key though nobody handles it, when this transaction commits; false if there is none';
COMMENT ON FUNCTION async_event_redrive(text, bigint[]) IS
    'emit dead events of a handler again, for it alone (NULL: all of them); how many';

CREATE VIEW aside.event_rows AS
    SELECT 0 AS partition, * FROM aside.event_0 UNION ALL SELECT 1, * FROM aside.event_1 UNION ALL SELECT 2, * FROM aside.event_2;
CREATE VIEW aside.event_log AS
    SELECT 0 AS partition, l.handler, ev AS event, l.kind, l.attempt, l.at, l.next_at, l.sqlstate, l.message FROM aside.event_log_0 l, pg_catalog.unnest(l.events) ev
    UNION ALL SELECT 1, l.handler, ev, l.kind, l.attempt, l.at, l.next_at, l.sqlstate, l.message FROM aside.event_log_1 l, pg_catalog.unnest(l.events) ev
    UNION ALL SELECT 2, l.handler, ev, l.kind, l.attempt, l.at, l.next_at, l.sqlstate, l.message FROM aside.event_log_2 l, pg_catalog.unnest(l.events) ev;
CREATE VIEW aside.event_errors AS
    SELECT o.event, o.handler,
        pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('attempt', o.attempt, 'at', o.at, 'sqlstate', o.sqlstate, 'message', o.message) ORDER BY o.at) AS errors
    FROM (SELECT DISTINCT l.event, l.handler, l.attempt, l.at, l.sqlstate, l.message FROM aside.event_log l
          WHERE l.kind IN ('f', 'x') AND l.sqlstate IS NOT NULL) o
    GROUP BY o.event, o.handler;
-- The tables have no statistics, and are guessed to be small. A full join, kept apart from all conditions, is never a nested loop.
CREATE VIEW aside.event_states AS
    SELECT s.*,
        CASE WHEN s.handler_id IS NULL THEN NULL WHEN s.done THEN 'done' WHEN s.dead THEN 'dead' WHEN s.cancelled THEN 'cancelled'
             WHEN s.begun > s.ended THEN 'running' WHEN s.failed > 0 THEN 'retrying'
             WHEN s.run_at > clock_timestamp() THEN 'delayed' ELSE 'waiting' END AS state,
        CASE WHEN s.handler_id IS NOT NULL THEN coalesce(s.counted, 0)::int END AS attempts
    FROM (
        SELECT p.*, l.*
        FROM (
            SELECT e.id, e.channel, e.payload, e.key, e.priority, e.run_at, e.unique_key, e.headers, e.emitted, e.emitted_by,
                h.id AS handler_id, h.name AS handler, h.owner AS handler_owner
            FROM aside.event_rows e
            LEFT JOIN aside.event_handler h ON e.target = h.id OR (e.target IS NULL AND h.channel = e.channel AND h.since < e.id)
            WHERE e.command IS NULL OR e.command = 'notify'
        ) p
        FULL JOIN (
            SELECT o.event AS of_event, o.handler AS by_handler, bool_or(o.kind = 'd') AS done, bool_or(o.kind = 'x') AS dead,
                bool_or(o.kind = 'c') AS cancelled, count(*) FILTER (WHERE o.kind = 'a') AS begun,
                count(*) FILTER (WHERE o.kind IN ('w', 'd', 'f', 'x', 'c')) AS ended, count(*) FILTER (WHERE o.kind = 'f') AS failed,
                -- one that was not made is the last that was begun
                max(o.attempt) - ((pg_catalog.array_agg(o.kind ORDER BY o.at DESC))[1] = 'w')::int AS counted, max(o.next_at) AS next_at, max(o.at) AS changed,
                (pg_catalog.array_agg(o.sqlstate ORDER BY o.at DESC) FILTER (WHERE o.sqlstate IS NOT NULL))[1] AS sqlstate,
                (pg_catalog.array_agg(o.message ORDER BY o.at DESC) FILTER (WHERE o.message IS NOT NULL))[1] AS message
            FROM aside.event_log o GROUP BY o.event, o.handler
        ) l ON l.of_event = p.id AND l.by_handler = p.handler_id
        OFFSET 0
    ) s
    WHERE s.id IS NOT NULL;

CREATE VIEW aside.handlers AS
    SELECT h.name, h.channel, pg_catalog.pg_get_userbyid(h.owner) AS owner, h.handler,
        CASE WHEN pg_catalog.pg_has_role(h.owner, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user)
             THEN h.command END AS command, h.concurrency, h.batch_size,
        h.max_attempts, h.backoff, h.backoff_cap, h.timeout, h.ordered, h.durable, h.paused, h.created,
        CASE WHEN h.command IS NOT NULL THEN NULL
             ELSE EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                 WHERE p.prokind = 'f' AND p.pronargs = 1 AND p.proargtypes[0] OPERATOR(pg_catalog.=) CASE h.form WHEN 'e' THEN 'aside.event'::regtype
                     WHEN 'a' THEN 'aside.event[]'::regtype WHEN 'j' THEN 'jsonb'::regtype ELSE 'text'::regtype END
                 AND pg_catalog.strpos(h.handler, pg_catalog.format('%I.%I(', n.nspname, p.proname)) = 1) END AS exists
    FROM aside.event_handler h;
CREATE VIEW aside.events WITH (security_barrier) AS
    SELECT s.id, s.channel, s.payload, s.key, s.priority, s.run_at, s.unique_key, s.headers, s.emitted,
        pg_catalog.pg_get_userbyid(s.emitted_by) AS emitted_by, s.handler, s.state, s.attempts, s.next_at, s.sqlstate, s.message, s.changed
    FROM aside.event_states s
    WHERE pg_catalog.pg_has_role(s.emitted_by, 'USAGE') OR pg_catalog.pg_has_role(s.handler_owner, 'USAGE')
        OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user);
CREATE VIEW aside.dead_events WITH (security_barrier) AS
    SELECT d.id, h.name AS handler, d.channel, d.payload, d.key, d.priority, d.headers, d.emitted,
        pg_catalog.pg_get_userbyid(d.emitted_by) AS emitted_by, d.attempts, d.sqlstate, d.message, d.died,
        coalesce(d.errors, (SELECT r.errors FROM aside.event_errors r WHERE r.event = d.id AND r.handler = d.handler)) AS errors
    FROM aside.event_dead d JOIN aside.event_handler h ON h.id = d.handler
    WHERE pg_catalog.pg_has_role(h.owner, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user);
CREATE VIEW aside.event_runs WITH (security_barrier) AS
    SELECT l.event, h.name AS handler, l.attempt, max(l.at) FILTER (WHERE l.kind = 'a') AS started,
        max(l.at) FILTER (WHERE l.kind NOT IN ('a', 'w')) AS finished,
        coalesce(max(CASE l.kind WHEN 'd' THEN 'done' WHEN 'f' THEN 'failed' WHEN 'x' THEN 'dead' WHEN 'c' THEN 'cancelled' END), 'running') AS state,
        max(l.sqlstate) AS sqlstate, max(l.message) AS message, max(l.next_at) AS next_at
    FROM aside.event_log l JOIN aside.event_handler h ON h.id = l.handler
    WHERE pg_catalog.pg_has_role(h.owner, 'USAGE') OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)
    GROUP BY l.event, h.name, l.attempt, CASE WHEN l.attempt IS NULL THEN l.at END
    HAVING count(*) FILTER (WHERE l.kind <> 'w') > count(*) FILTER (WHERE l.kind = 'w');
CREATE VIEW aside.event_stats AS
    SELECT h.name AS handler, h.channel,
        count(*) FILTER (WHERE s.state = 'waiting') AS waiting, count(*) FILTER (WHERE s.state = 'delayed') AS delayed,
        count(*) FILTER (WHERE s.state = 'retrying') AS retrying, count(*) FILTER (WHERE s.state = 'running') AS running,
        count(*) FILTER (WHERE s.state = 'done') AS done, (SELECT count(*) FROM aside.event_dead d WHERE d.handler = h.id) AS dead,
        clock_timestamp() - min(greatest(s.run_at, s.emitted)) FILTER (WHERE s.state IN ('waiting', 'retrying', 'running')) AS lag,
        (SELECT pg_catalog.jsonb_object_agg(f.sqlstate, f.n) FROM (SELECT e.sqlstate, sum(e.n)::bigint AS n FROM (
            SELECT l.sqlstate, count(*) AS n
            FROM (SELECT DISTINCT o.event, o.at, o.sqlstate FROM aside.event_log o WHERE o.handler = h.id AND o.sqlstate IS NOT NULL) l
            GROUP BY l.sqlstate
            UNION ALL SELECT j.key, j.value::bigint FROM pg_catalog.jsonb_each_text(n.failures) j) e
            GROUP BY e.sqlstate) f) AS failures,
        n.waiting AS notifications_waiting, n.done AS notifications_done, n.failed AS notifications_failed,
        n.dropped AS notifications_dropped, n.recorded AS notifications_recorded,
        (SELECT c.state FROM aside.coordinator_rows() c WHERE c.database = current_database()) AS coordinator,
        pg_catalog.pg_notification_queue_usage() AS notification_queue_usage,
        pg_catalog.round((count(*) FILTER (WHERE s.emitted > w.since))::numeric / w.seconds, 1) AS emitted_per_second,
        pg_catalog.round((count(*) FILTER (WHERE s.state = 'done' AND s.changed > w.since))::numeric / w.seconds, 1) AS done_per_second,
        pg_catalog.round((SELECT count(*) FROM (SELECT DISTINCT o.event, o.at FROM aside.event_log o
            WHERE o.handler = h.id AND o.sqlstate IS NOT NULL AND o.at > w.since) l)::numeric / w.seconds, 1) AS failures_per_second
    FROM (SELECT clock_timestamp() - interval '1 minute' AS since,
              greatest(1, least(60, extract(epoch FROM clock_timestamp() - min(e.emitted)))) AS seconds FROM aside.event_rows e) w
        CROSS JOIN aside.event_handler h LEFT JOIN aside.event_states s ON s.handler_id = h.id
        LEFT JOIN aside.notification_rows() n ON n.handler = h.id
    GROUP BY h.id, h.name, h.channel, w.since, w.seconds, n.waiting, n.done, n.failed, n.dropped, n.recorded, n.failures;
CREATE VIEW aside.coordinators AS SELECT * FROM aside.coordinator_rows();
COMMENT ON VIEW aside.event_rows IS 'rows of all partitions of events';
COMMENT ON VIEW aside.event_log IS 'lines of the log of events, one for each event';
COMMENT ON VIEW aside.event_errors IS 'errors of the attempts of each event, as far as the log has them';
COMMENT ON VIEW aside.event_states IS 'what is known of each event and each of its handlers';
COMMENT ON VIEW aside.handlers IS 'handlers of events and notifications; exists: is its function there?';
COMMENT ON VIEW aside.events IS 'events until their partition is emptied, with their state for each handler: waiting, delayed, running, retrying, done, dead, cancelled';
COMMENT ON VIEW aside.dead_events IS 'events that a handler failed to handle as often as it may; async_event_redrive emits them again';
COMMENT ON VIEW aside.event_runs IS
    'attempts to handle events, until their partition is emptied; attempt is NULL for those that do not count, such as serialization failures';
COMMENT ON VIEW aside.event_stats IS
    'for each handler: how many events are in each state, how long the oldest that is due is not handled, failures by SQLSTATE, what has become of notifications since the coordinator started, the state of that, and rates of the last minute, or since the oldest event that is still in the tables';
COMMENT ON VIEW aside.coordinators IS 'the coordinators of events, by database: running, no extension, failed (it is tried again)';
SELECT aside.want_events();

CREATE FUNCTION aside.worker_rows(OUT slot int, OUT pid int, OUT state text, OUT database name, OUT username name,
    OUT caller_pid int, OUT depth int, OUT xid bigint, OUT calls bigint, OUT errors bigint,
    OUT started timestamptz, OUT last_used timestamptz, OUT generation bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_workers';
COMMENT ON FUNCTION aside.worker_rows() IS 'rows of the view aside.workers';

CREATE FUNCTION aside.stat_rows(OUT kind text, OUT calls bigint, OUT errors bigint, OUT cancelled bigint, OUT rows bigint,
    OUT waits bigint, OUT wait_ms float8, OUT total_ms float8, OUT histogram bigint[]) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_stat';
COMMENT ON FUNCTION aside.stat_rows() IS 'rows of the view aside.stat';

CREATE FUNCTION aside.task_rows(OUT id bigint, OUT state text, OUT owner name, OUT database name, OUT command text,
    OUT label text, OUT submitted timestamptz, OUT started timestamptz, OUT finished timestamptz, OUT rows bigint,
    OUT sqlstate text, OUT message text, OUT progress float8, OUT progress_message text, OUT pid int, OUT submitter int,
    OUT bytes bigint, OUT detached boolean) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_tasks';
COMMENT ON FUNCTION aside.task_rows() IS 'rows of the view aside.tasks';

CREATE VIEW aside.tasks AS
    SELECT id, state, owner, database, command, label, started, finished, rows, sqlstate, message, progress,
        progress_message, submitted, pid, submitter, bytes, detached
    FROM aside.task_rows();
COMMENT ON VIEW aside.tasks IS
    'tasks of roles that the user may act for: pending (until the commit), queued, running, done, failed, cancelled, lost (the server was restarted meanwhile)';

CREATE FUNCTION aside.is_preloaded() RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_is_preloaded';
COMMENT ON FUNCTION aside.is_preloaded() IS 'is pg_aside in shared_preload_libraries of the running server?';

CREATE FUNCTION aside.settings_check(OUT setting text, OUT value text, OUT problem text, OUT advice text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT 'shared_preload_libraries'::text, pg_catalog.current_setting('shared_preload_libraries', true),
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
                           (SELECT count(*) FROM aside.coordinator_rows() c WHERE c.state <> 'no extension')::int) ELSE 0 END AS ours,
                 pg_catalog.current_setting('max_parallel_workers')::int AS parallel,
                 pg_catalog.current_setting('max_logical_replication_workers')::int AS logical,
                 pg_catalog.current_setting('max_worker_processes')::int AS places) AS w
    WHERE w.places < w.ours + w.parallel + w.logical
    UNION ALL
    SELECT 'aside.databases', pg_catalog.current_setting('aside.databases'),
        'this database has handlers of events, but no coordinator runs in it',
        'Add it to aside.databases, or see the server log for what keeps its coordinator from running.'
    WHERE aside.is_preloaded() AND NOT pg_catalog.pg_is_in_recovery() AND EXISTS (SELECT FROM aside.event_handler)
        AND NOT EXISTS (SELECT FROM aside.coordinator_rows() c WHERE c.database = current_database() AND c.state = 'running')
    UNION ALL
    SELECT 'aside.min_workers', pg_catalog.current_setting('aside.min_workers'),
        'more workers are kept for one database and user than there are in all',
        'Lower aside.min_workers, or raise aside.max_workers.'
    WHERE pg_catalog.current_setting('aside.min_workers')::int > pg_catalog.current_setting('aside.max_workers')::int;
END;
COMMENT ON FUNCTION aside.settings_check() IS
    'what is configured so that pg_aside cannot do all that it promises, and what to set; no rows: nothing';

CREATE VIEW aside.workers AS SELECT * FROM aside.worker_rows();
COMMENT ON VIEW aside.workers IS 'workers of the pool that this session uses: who they work for, and how much';
CREATE VIEW aside.stat AS SELECT * FROM aside.stat_rows();
COMMENT ON VIEW aside.stat IS
    'calls by kind since the pool was made; bucket i of the histogram, from 1, counts calls that took under 2^(i-1) microseconds';

REVOKE ALL ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    autonomous_session_open(text, name),
    autonomous_session_exec(text, text), autonomous_session_exec(text, text, "any"),
    autonomous_session_query(text, text), autonomous_session_query(text, text, "any"),
    autonomous_session_send(text, text), autonomous_session_send(text, text, "any"),
    autonomous_session_is_busy(text), autonomous_session_result(text), autonomous_session_cancel(text),
    autonomous_session_error(text), autonomous_session_notifications(text), autonomous_session_close(text),
    async_exec(text), async_exec(text, "any"), async_exec_on_commit(text), async_exec_on_commit(text, "any"),
    async_run(bigint, text), async_run(bigint, text, "any"),
    async_wait(bigint, interval), async_wait_any(bigint[], interval), async_result(bigint),
    async_cancel(bigint, interval), async_detach(bigint), async_progress(float8, text),
    aside.task_result_tags(bigint), aside.task_rows(), aside.is_preloaded(), aside.settings_check(),
    autonomous_sessions(),
    async_event_on(text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean),
    async_event_off(text), async_event_pause(text), async_event_resume(text),
    async_event_emit(text, jsonb, text, interval, timestamptz, int, text, text, jsonb),
    async_event_cancel(bigint), async_event_redrive(text, bigint[]), aside.coordinator_rows(), aside.notification_rows(), aside.events_ready(),
    aside.want_events(), aside.event_handlers_changed(), aside.event_handler_of(oid, text),
    aside.async_event_on(oid, text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean),
    aside.async_event_off(oid, text), aside.async_event_pause(oid, text), aside.async_event_resume(oid, text),
    aside.event_put(text, jsonb, text, int, jsonb, oid, int, text), aside.event_claim_key(text, text, bigint, text, oid),
    aside.event_unique_compact(), aside.async_event_cancel(oid, bigint), aside.async_event_redrive(oid, text, bigint[]),
    aside.plpgsql_call(), aside.plpgsql_inline(internal), aside.plpgsql_validate(oid),
    aside.worker_rows(), aside.stat_rows()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    autonomous_session_open(text, name),
    autonomous_session_exec(text, text), autonomous_session_exec(text, text, "any"),
    autonomous_session_query(text, text), autonomous_session_query(text, text, "any"),
    autonomous_session_send(text, text), autonomous_session_send(text, text, "any"),
    autonomous_session_is_busy(text), autonomous_session_result(text), autonomous_session_cancel(text),
    autonomous_session_error(text), autonomous_session_notifications(text), autonomous_session_close(text),
    async_exec(text), async_exec(text, "any"), async_exec_on_commit(text), async_exec_on_commit(text, "any"),
    async_run(bigint, text), async_run(bigint, text, "any"),
    async_wait(bigint, interval), async_wait_any(bigint[], interval), async_result(bigint),
    async_cancel(bigint, interval), async_detach(bigint), async_progress(float8, text),
    aside.task_result_tags(bigint), aside.task_rows(), aside.is_preloaded(), aside.settings_check(),
    async_event_on(text, regprocedure, text, text, int, int, int, interval, interval, interval, boolean, boolean),
    async_event_off(text), async_event_pause(text), async_event_resume(text),
    async_event_emit(text, jsonb, text, interval, timestamptz, int, text, text, jsonb),
    async_event_cancel(bigint), async_event_redrive(text, bigint[]), aside.coordinator_rows(), aside.notification_rows(), aside.events_ready(),
    autonomous_sessions(),
    aside.worker_rows(), aside.stat_rows()
TO aside_user;
GRANT USAGE ON SCHEMA aside TO aside_user;
GRANT SELECT ON aside.workers, aside.stat, aside.tasks, aside.handlers, aside.events, aside.dead_events,
    aside.event_runs, aside.event_stats, aside.coordinators TO aside_user;

-- Role: the tables of events: handlers, events with their log in partitions that are emptied by TRUNCATE, and the events that
-- no attempt could handle. In C: c-shim/events/tables.c.

CREATE TYPE aside.event AS (
    id bigint, channel text, payload jsonb, key text, headers jsonb, attempt int, emitted timestamptz, emitted_by name, priority int
);
COMMENT ON TYPE aside.event IS 'An event as a handler receives it. The id is NULL for a notification that was not recorded.';
COMMENT ON COLUMN aside.event.id IS 'Number of the event. NULL for a notification that was not recorded.';
COMMENT ON COLUMN aside.event.channel IS 'Channel of the event.';
COMMENT ON COLUMN aside.event.payload IS 'What the event carries.';
COMMENT ON COLUMN aside.event.key IS 'Key by which ordered handlers put events in order.';
COMMENT ON COLUMN aside.event.headers IS 'What the emitter said about the event beside its payload.';
COMMENT ON COLUMN aside.event.attempt IS 'Number of this attempt, from 1.';
COMMENT ON COLUMN aside.event.emitted IS 'Time when the event was emitted.';
COMMENT ON COLUMN aside.event.emitted_by IS 'Role that emitted the event. NULL for a notification.';
COMMENT ON COLUMN aside.event.priority IS 'Priority of the event.';

CREATE SEQUENCE aside.event_id;
CREATE TABLE aside.event_handler (
    id bigint GENERATED ALWAYS AS IDENTITY (MAXVALUE 4294967295) PRIMARY KEY CHECK (id BETWEEN 1 AND 4294967295),
    name text NOT NULL UNIQUE,
    channel text NOT NULL,
    owner text NOT NULL,
    inert boolean NOT NULL DEFAULT false,
    handler text,
    function oid,
    function_owner oid,
    command text,
    form text NOT NULL CHECK (form IN ('c', 'e', 'a', 'j', 't', 'p')),
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
    former jsonb,
    history interval,
    version int NOT NULL DEFAULT 1,
    created timestamptz NOT NULL DEFAULT now(),
    rate_limit int CHECK (rate_limit > 0),
    rate_period interval NOT NULL DEFAULT '1 second' CHECK (rate_period > interval '0'),
    key_concurrency int CHECK (key_concurrency > 0),
    closed boolean NOT NULL DEFAULT false,
    CHECK ((form = 'c') = (command IS NOT NULL) AND (form IN ('c', 'p')) = (handler IS NULL)),
    CHECK (channel <> '' AND concurrency > 0 AND batch_size > 0 AND max_attempts > 0),
    CHECK (backoff >= interval '0' AND backoff_cap >= interval '0' AND timeout > interval '0')
);
COMMENT ON COLUMN aside.event_handler.owner IS 'Name of the handler''s role when the row was written. The handler acts for the owner of its proxy.';
COMMENT ON COLUMN aside.event_handler.inert IS 'The handler was restored where its role did not exist. It belongs to nobody.';
COMMENT ON COLUMN aside.event_handler.function IS
    'The handler''s function when the row was written, here or by a restore. A function of that name but another OID is called only if its owner is function_owner, the handler''s owner, or a superuser.';
COMMENT ON COLUMN aside.event_handler.function_owner IS 'Owner of the function when the row was written.';
COMMENT ON COLUMN aside.event_handler.form IS
    'What the handler is: c = a command, e, a, j or t = a function of aside.event, aside.event[], jsonb or text, p = nothing: consumers pull its events.';
COMMENT ON COLUMN aside.event_handler.since IS 'Events of the channel with higher ids are for the handler.';
COMMENT ON COLUMN aside.event_handler.former IS
    'Channels that the handler had before: their events with ids above "since", up to "until", are for it too. NULL for "until": all, until the coordinator knows of the change. Column "seen" is the transaction before which the last of them was emitted.';
COMMENT ON COLUMN aside.event_handler.rate_limit IS 'Number of events that the handler may begin in any "rate_period".';
COMMENT ON COLUMN aside.event_handler.key_concurrency IS 'Number of events of one key that the handler may run at a time.';
COMMENT ON COLUMN aside.event_handler.closed IS 'The channel belongs to a role that does not let the handler''s owner handle its events.';
COMMENT ON COLUMN aside.event_handler.history IS 'How long events that have ended stay readable.';
COMMENT ON TABLE aside.event_handler IS 'Handlers of events, made by async_event_on. The view aside.handlers shows them.';
CREATE TABLE aside.event_control (partition int NOT NULL);
INSERT INTO aside.event_control VALUES (0);
COMMENT ON TABLE aside.event_control IS 'Number of the partition that new events go to.';

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
    target bigint,
    attempts int NOT NULL DEFAULT 0,
    command text,
    depth int NOT NULL DEFAULT 0,
    max_attempts int,
    timeout_ms int,
    expires timestamptz,
    first_txid xid8,
    timed_txid xid8,
    key_until_start boolean,
    of_group bigint
) WITH (autovacuum_enabled = false);
CREATE INDEX event_0_txid ON aside.event_0 (txid);
CREATE INDEX event_0_id ON aside.event_0 (id);
CREATE TABLE aside.event_1 (LIKE aside.event_0 INCLUDING ALL) WITH (autovacuum_enabled = false);
CREATE TABLE aside.event_2 (LIKE aside.event_0 INCLUDING ALL) WITH (autovacuum_enabled = false);
-- Whoever publishes all tables of the database must not keep these from being updated.
ALTER TABLE aside.event_control REPLICA IDENTITY FULL;
ALTER TABLE aside.event_0 REPLICA IDENTITY FULL;
ALTER TABLE aside.event_1 REPLICA IDENTITY FULL;
ALTER TABLE aside.event_2 REPLICA IDENTITY FULL;
CREATE TABLE aside.event_log_0 (
    handler bigint NOT NULL,
    kind "char" NOT NULL,
    events bigint[] NOT NULL,
    attempt int,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at timestamptz,
    sqlstate text,
    message text,
    detail text,
    hint text,
    context text,
    lease bigint
) WITH (autovacuum_enabled = false);
CREATE INDEX event_log_0_lease ON aside.event_log_0 (lease) WHERE lease IS NOT NULL;
CREATE TABLE aside.event_log_1 (LIKE aside.event_log_0 INCLUDING ALL) WITH (autovacuum_enabled = false);
CREATE TABLE aside.event_log_2 (LIKE aside.event_log_0 INCLUDING ALL) WITH (autovacuum_enabled = false);
-- Done, dead, cancelled or expired.
CREATE FUNCTION aside.event_kind_ends(kind "char") RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN kind IN ('d', 'x', 'c', 'e');
COMMENT ON FUNCTION aside.event_kind_ends("char") IS 'Does this kind of line in the log mean that the event has ended for the handler?';
CREATE FUNCTION aside.event_by(channel text, target bigint) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN target IS NULL THEN 'channel ' || channel ELSE 'handler ' || target END;
COMMENT ON FUNCTION aside.event_by(text, bigint) IS 'Says for whom an event is; the view aside.event_handled_by says which handlers that means.';
-- The views of users ask it.
GRANT EXECUTE ON FUNCTION aside.event_by(text, bigint) TO aside_user;
-- Which events are for which handlers: of a channel, in a range of ids, or of one handler. One equality, so that a join with
-- events is no loop over events and handlers.
CREATE VIEW aside.event_addresses AS
    SELECT aside.event_by(h.channel, NULL) AS by, h.since, 9223372036854775807 AS until, h.id AS handler, h.channel, h.paused, h.ordered
        FROM aside.event_handler h WHERE NOT h.closed
    UNION ALL SELECT aside.event_by(f.channel, NULL), f.since, coalesce(f.until, 9223372036854775807), h.id, f.channel, h.paused, h.ordered
        FROM aside.event_handler h, pg_catalog.jsonb_to_recordset(h.former) f (channel text, since bigint, until bigint) WHERE h.former IS NOT NULL
    UNION ALL SELECT aside.event_by(NULL, h.id), 0, 9223372036854775807, h.id, NULL, h.paused, h.ordered FROM aside.event_handler h;
COMMENT ON VIEW aside.event_addresses IS
    'Maps the address of an event, a channel or one handler, to the handlers that handle it: those with ids above "since", up to "until".';
COMMENT ON COLUMN aside.event_0.key_until_start IS 'The unique key is free when the first attempt begins. NULL: when the event has ended.';
COMMENT ON COLUMN aside.event_0.of_group IS 'The group that the event is of.';
COMMENT ON COLUMN aside.event_0.first_txid IS 'The transaction that wrote the event first, if it was changed since.';
COMMENT ON COLUMN aside.event_0.timed_txid IS 'The transaction that changed its time.';
COMMENT ON TABLE aside.event_0 IS 'Emitted events: one of three partitions that are used in turn.';
COMMENT ON TABLE aside.event_1 IS 'Emitted events: a partition, like aside.event_0.';
COMMENT ON TABLE aside.event_2 IS 'Emitted events: a partition, like aside.event_0.';
COMMENT ON TABLE aside.event_log_0 IS
    'What happened to the events of the partition of the same number. Kind: a = an attempt begins, w = the attempt was not made after all, d = done, f = failed and will be retried, x = dead, c = cancelled, s = put off by the handler, u = another time was asked for, e = expired; of a consumer''s lease: l = it has another end, n = the consumer has given the events back, o = it is over.';
COMMENT ON COLUMN aside.event_log_0.lease IS 'Number of a consumer''s lease. The line of an attempt with a lease has its end in next_at.';
COMMENT ON TABLE aside.event_log_1 IS 'What happened to the events of the partition of the same number, like aside.event_log_0.';
COMMENT ON TABLE aside.event_log_2 IS 'What happened to the events of the partition of the same number, like aside.event_log_0.';

CREATE TABLE aside.event_dead (
    id bigint NOT NULL,
    handler bigint NOT NULL,
    channel text NOT NULL,
    payload jsonb,
    key text,
    priority int NOT NULL,
    headers jsonb,
    emitted timestamptz NOT NULL,
    emitted_by text,
    attempts int NOT NULL,
    sqlstate text,
    message text,
    detail text,
    hint text,
    context text,
    died timestamptz NOT NULL DEFAULT clock_timestamp(),
    errors jsonb,
    unique_key text,
    max_attempts int,
    timeout_ms int,
    key_until_start boolean,
    PRIMARY KEY (id, handler)
);
CREATE INDEX event_dead_handler ON aside.event_dead (handler, died);
COMMENT ON COLUMN aside.event_dead.emitted_by IS 'Name of the role that emitted the event. NULL for a notification.';
COMMENT ON COLUMN aside.event_dead.errors IS 'Errors of the last 100 attempts. NULL while the log still holds them.';
COMMENT ON TABLE aside.event_dead IS 'Events that a handler failed to handle in all of its attempts.';
CREATE TABLE aside.event_past (
    id bigint NOT NULL,
    handler bigint NOT NULL,
    channel text NOT NULL,
    payload jsonb,
    key text,
    priority int NOT NULL,
    headers jsonb,
    emitted timestamptz NOT NULL,
    emitted_by text,
    state text NOT NULL,
    attempts int NOT NULL,
    sqlstate text,
    message text,
    ended timestamptz NOT NULL
);
ALTER TABLE aside.event_past REPLICA IDENTITY FULL;
CREATE INDEX event_past_id ON aside.event_past (id);
CREATE INDEX event_past_ended ON aside.event_past (handler, ended);
COMMENT ON TABLE aside.event_past IS 'Events that have ended, of handlers that keep a history. They come here when their partition is emptied.';
COMMENT ON COLUMN aside.event_past.emitted_by IS 'Name of the role that emitted the event. NULL for a notification.';
CREATE TABLE aside.event_group (
    id bigint PRIMARY KEY,
    channel text NOT NULL,
    payload jsonb,
    owner oid NOT NULL,
    depth int NOT NULL,
    closed boolean NOT NULL DEFAULT false,
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    events bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    expired bigint NOT NULL DEFAULT 0,
    ended timestamptz,
    event bigint
);
COMMENT ON TABLE aside.event_group IS 'Groups of events, made by async_event_group. Counts are of events whose partitions were emptied or, once the group has ended, of all. The view aside.event_groups shows them.';
COMMENT ON COLUMN aside.event_group.channel IS 'Channel of the event that is emitted when the group has ended.';
COMMENT ON COLUMN aside.event_group.depth IS 'How deep events that handlers emit were nested where the group was made.';
COMMENT ON COLUMN aside.event_group.event IS 'The event that was emitted when the group had ended.';
CREATE TABLE aside.event_group_0 (
    of_group bigint NOT NULL,
    event bigint NOT NULL,
    handler bigint,
    kind "char"
);
CREATE INDEX event_group_0_of ON aside.event_group_0 (of_group, event);
CREATE TABLE aside.event_group_1 (LIKE aside.event_group_0 INCLUDING ALL);
CREATE TABLE aside.event_group_2 (LIKE aside.event_group_0 INCLUDING ALL);
ALTER TABLE aside.event_group_0 REPLICA IDENTITY FULL;
ALTER TABLE aside.event_group_1 REPLICA IDENTITY FULL;
ALTER TABLE aside.event_group_2 REPLICA IDENTITY FULL;
COMMENT ON TABLE aside.event_group_0 IS
    'Events of groups in the partition of the same number: one row for the event, without a handler, and one for each handler for which it has ended, with the kind of that line of the log.';
COMMENT ON TABLE aside.event_group_1 IS 'Events of groups in the partition of the same number, like aside.event_group_0.';
COMMENT ON TABLE aside.event_group_2 IS 'Events of groups in the partition of the same number, like aside.event_group_0.';
CREATE TABLE aside.event_started (
    handler bigint NOT NULL,
    at timestamptz NOT NULL,
    count bigint NOT NULL
);
ALTER TABLE aside.event_started REPLICA IDENTITY FULL;
COMMENT ON TABLE aside.event_started IS
    'How many events handlers with a rate have begun, and when, from logs that have been emptied since: for a coordinator that starts.';
COMMENT ON SEQUENCE aside.event_id IS 'Gives each event its number, and each handler the number that its events are above.';
COMMENT ON SEQUENCE aside.event_handler_id_seq IS 'Gives each handler its number.';
SELECT pg_catalog.pg_extension_config_dump('aside.event_id', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_handler', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_handler_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_dead', '');
SELECT pg_catalog.pg_extension_config_dump('aside.event_past', '');
CREATE TABLE aside.event_unique (
    channel text NOT NULL,
    unique_key text NOT NULL,
    event bigint NOT NULL,
    emitted_by oid NOT NULL,
    PRIMARY KEY (channel, unique_key, emitted_by)
);
CREATE INDEX event_unique_event ON aside.event_unique (event);
COMMENT ON TABLE aside.event_unique IS 'Unique keys of events that have not ended. Each emitting role has keys of its own.';

-- Who owns the database can dump it.
GRANT SELECT ON aside.event_id, aside.event_handler, aside.event_handler_id_seq, aside.event_dead, aside.event_past TO pg_database_owner;

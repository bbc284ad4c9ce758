-- Claim: a handler does at each event what it would do if it were new: commands
-- and functions follow the catalogs and the settings, whatever was kept of them.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE TABLE told (n serial, handler text, what text);
CREATE FUNCTION which(numeric) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'numeric'; END$$;
-- its literals are the server's affair, which keeps them from 18 on
CREATE FUNCTION inlined(jsonb) RETURNS void LANGUAGE sql AS
    $$INSERT INTO told (handler, what) SELECT 'function', 'does ' || which(1)$$;
CREATE DOMAIN moment AS int DEFAULT 1;
CREATE TABLE made (at timestamptz, d moment);
SELECT async_event_on('kept', 'inlined(jsonb)', name => 'kept_f'),
    async_event_on('kept', command => $$INSERT INTO told (handler, what) SELECT 'clock', ('now'::timestamptz = now())::text$$, name => 'kept_clock'),
    async_event_on('kept', command => $$INSERT INTO told (handler, what) SELECT 'overload', which(1)$$, name => 'kept_overload'),
    async_event_on('kept', command => $$INSERT INTO told (handler, what) SELECT 'name', 'moment'::regtype::oid = (SELECT oid FROM pg_type WHERE typname = 'moment')$$, name => 'kept_name'),
    async_event_on('kept', command => $$CREATE TEMP TABLE seen AS SELECT 1 AS x; INSERT INTO told (handler, what) SELECT 'several', x::text FROM seen; DROP TABLE seen$$, name => 'kept_several');
-- twice, each time all have done so
SELECT async_event_emit('kept') > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT async_event_emit('kept') > 0;
CALL until('(SELECT count(*) FROM told) = 10');
SELECT handler, what, count(*) FROM told GROUP BY 1, 2 ORDER BY 1, 2;
TRUNCATE told;
CREATE FUNCTION which(int) RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'int'; END$$;
DROP DOMAIN moment CASCADE;
CREATE DOMAIN moment AS int DEFAULT 2;
SELECT async_event_emit('kept') > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT handler, what, count(*) FROM told GROUP BY 1, 2 ORDER BY 1, 2;
-- the settings, too, which the handling of one event may change for the next one of its batch
TRUNCATE told;
SELECT async_event_on('nulls', command => $$INSERT INTO told (handler, what)
    SELECT set_config('transform_null_equals', 'on', true), (NULL::int = NULL) IS NULL$$, name => 'kept_nulls', batch_size => 2);
SELECT count(async_event_emit('nulls')) FROM generate_series(1, 2);
CALL until('(SELECT count(*) FROM told) = 2');
SELECT count(async_event_emit('nulls')) FROM generate_series(1, 2);
CALL until('(SELECT count(*) FROM told) = 4');
SELECT what FROM told ORDER BY n;
SELECT count(async_event_off(name)) FROM aside.handlers WHERE name LIKE 'kept%';
DROP TABLE told, made;
DROP FUNCTION inlined, which(numeric), which(int);
DROP DOMAIN moment;

-- Claim: what an event bears stays with it until it has ended: its order, its unique key, its
-- payload; and what cannot be kept is refused when it is asked for.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, what text);
CREATE TABLE works (yes boolean);
CREATE FUNCTION h(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM works) THEN RAISE EXCEPTION 'as asked'; END IF;
    INSERT INTO told (what) VALUES (e.payload #>> '{}');
END $$;
-- dead events are emitted again in their order, wherever they lie
SELECT async_event_on('order', 'h(aside.event)', ordered => true, max_attempts => 1);
SELECT count(async_event_emit('order', to_jsonb(i), key => 'k')) FROM generate_series(1, 9) i;
CALL until('(SELECT count(*) FROM aside.dead_events) = 9');
UPDATE aside.event_dead SET priority = 0 WHERE payload::text::int % 3 = 0;
UPDATE aside.event_dead SET priority = 0 WHERE payload::text::int % 3 = 1;
INSERT INTO works VALUES (true);
SELECT async_event_redrive('order');
CALL until('(SELECT count(*) FROM told) = 9');
SELECT string_agg(what, ' ' ORDER BY n) FROM told;
DELETE FROM works;
-- with their unique keys
SELECT async_event_on('key', 'h(aside.event)', max_attempts => 1);
SELECT async_event_emit('key', '"first"', unique_key => 'k') AS first \gset
CALL until('(SELECT count(*) FROM aside.dead_events) = 1');
SELECT async_event_emit('key', '"second"', unique_key => 'k') AS second \gset
CALL until('(SELECT count(*) FROM aside.dead_events) = 2');
SELECT async_event_pause('key');
SELECT async_event_redrive('key', ARRAY[:first]);
SELECT async_event_emit('key', unique_key => 'k', on_conflict => 'keep') = max(id) AS kept, max(unique_key) AS key FROM aside.events WHERE channel = 'key' AND headers ? 'redriven';
\set VERBOSITY sqlstate
SELECT async_event_emit('key', unique_key => 'k');
SELECT async_event_redrive('key', ARRAY[:second]);
\set VERBOSITY terse
DO $$ BEGIN
    PERFORM async_event_redrive('key');
EXCEPTION WHEN OTHERS THEN RAISE INFO 'not to be'; END $$;
\set VERBOSITY default
SELECT payload FROM aside.dead_events;
INSERT INTO works VALUES (true);
SELECT async_event_resume('key');
CALL until('(SELECT count(*) FROM told) = 10');
SELECT async_event_redrive('key');
CALL until('(SELECT count(*) FROM told) = 11');
SELECT what FROM told ORDER BY n DESC LIMIT 2;
CALL until('NOT EXISTS (SELECT FROM aside.event_unique WHERE channel = ''key'')');
-- a key is free with the cancel, within the transaction too
SELECT async_event_emit('key', '"cancelled"', unique_key => 'c', delay => '1 hour') AS waits \gset
BEGIN;
SELECT async_event_cancel(:waits);
SELECT async_event_emit('key', '"rolled back"', unique_key => 'c', delay => '1 hour') > :waits AS emitted;
ROLLBACK;
SELECT async_event_emit('key', unique_key => 'c', on_conflict => 'keep') = :waits AS still;
BEGIN;
SELECT async_event_cancel(:waits);
SELECT async_event_emit('key', '"instead"', unique_key => 'c') > :waits AS emitted;
COMMIT;
CALL until('EXISTS (SELECT FROM told WHERE what = ''instead'')');
CALL until('(SELECT count(*) FROM aside.events WHERE state IN (''cancelled'')) = 1');
SELECT count(*) FROM told WHERE what IN ('cancelled', 'rolled back');
-- a function that is not called for NULL has not handled what has no payload
CREATE FUNCTION strict_json(j jsonb) RETURNS void LANGUAGE sql STRICT AS $$INSERT INTO told (what) VALUES (j #>> '{}')$$;
CREATE FUNCTION strict_text(t text) RETURNS void LANGUAGE sql STRICT AS $$INSERT INTO told (what) VALUES (t)$$;
CREATE FUNCTION strict_event(e aside.event) RETURNS void LANGUAGE sql STRICT AS $$INSERT INTO told (what) VALUES (coalesce(e.payload #>> '{}', 'none'))$$;
SELECT async_event_on('strict', 'strict_json(jsonb)', name => 'j', max_attempts => 1), async_event_on('strict', 'strict_text(text)', name => 't', max_attempts => 1),
    async_event_on('strict', 'strict_event(aside.event)', name => 'e', max_attempts => 1);
SELECT async_event_emit('strict') > 0 AS without, async_event_emit('strict', '"with"') > 0 AS with_payload;
CALL until('(SELECT count(*) FROM told WHERE what IN (''with'', ''none'')) = 4 AND (SELECT count(*) FROM aside.dead_events) = 2');
SELECT handler, sqlstate, message FROM aside.dead_events ORDER BY handler;
-- what could never come, or be kept, is refused
\set VERBOSITY terse
SELECT async_event_emit('key', run_at => 'infinity');
SELECT async_event_emit('key', unique_key => repeat('x', 2001));
SELECT async_event_emit(repeat('c', 1000), unique_key => repeat('x', 1001));
SELECT async_event_emit('key', unique_key => (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 62) i), delay => '1 hour') AS fits \gset
SELECT async_event_cancel(:fits);
SELECT async_event_on('key', 'h(aside.event)', name => repeat('n', 2001));
-- nothing of this is for transactions that may not write, and it says so of itself
BEGIN READ ONLY;
SAVEPOINT s;
SELECT async_event_pause('key');
ROLLBACK TO s;
SELECT async_event_resume('key');
ROLLBACK TO s;
SELECT async_event_off('key');
ROLLBACK TO s;
SELECT async_event_cancel(1);
ROLLBACK TO s;
SELECT async_event_redrive('key');
ROLLBACK TO s;
SELECT async_event_on('key', 'h(aside.event)');
ROLLBACK TO s;
SELECT async_event_emit('key');
ROLLBACK;
-- handlers are called, and have the line that says so, where transactions are read only unless they say otherwise
SELECT format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()) \gexec
SET default_transaction_read_only = off;
CREATE ROLE reads LOGIN;
GRANT aside_user TO reads;
ALTER ROLE reads SET default_transaction_read_only = on;
GRANT INSERT ON told TO reads;
GRANT USAGE ON SEQUENCE told_n_seq TO reads;
SET ROLE reads;
SELECT async_event_on('reads', command => 'INSERT INTO told (what) VALUES ($1 #>> ''{}'')', max_attempts => 1);
RESET ROLE;
SELECT async_event_emit('reads', '"read only"') > 0 AS emitted;
CALL until('EXISTS (SELECT FROM told WHERE what = ''read only'')');
SELECT state, attempts FROM aside.events WHERE channel = 'reads';
SELECT format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()) \gexec
-- no table of events is vacuumed
SELECT relname FROM pg_class WHERE relnamespace = 'aside'::regnamespace AND relname ~ '^event(_log)?_[0-9]$' AND reloptions @> '{autovacuum_enabled=false}' ORDER BY 1;
SELECT async_event_off('reads');
REVOKE ALL ON told FROM reads;
REVOKE ALL ON SEQUENCE told_n_seq FROM reads;
DROP ROLE reads;
DO $$ DECLARE h record; BEGIN FOR h IN SELECT name FROM aside.handlers WHERE name IN ('order', 'key', 'j', 't', 'e') LOOP PERFORM async_event_off(h.name); END LOOP; END $$;
DROP FUNCTION h(aside.event), strict_json(jsonb), strict_text(text), strict_event(aside.event);
DROP TABLE told, works;

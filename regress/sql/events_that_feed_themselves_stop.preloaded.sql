-- Claim: handlers that feed themselves without end keep no other one from its
-- events, and end when they are told to; one that traps its timeout ends.
\set SHOW_CONTEXT never
CREATE TABLE told (who text, what text);
CREATE FUNCTION notifies_itself(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told VALUES ('notified', t);
    PERFORM pg_notify('echo', (t::int + 1)::text), pg_notify('echo', (-t::int - 1)::text) WHERE t::int > 0;
END $$;
-- in a transaction of its own: no depth bounds that
CREATE FUNCTION emits_to_itself(j jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO told VALUES ('emitted', j #>> '{}');
    PERFORM autonomous_exec('SELECT async_event_emit(''own'', $1), async_event_emit(''own'', $1)', to_jsonb((j #>> '{}')::int + 1));
END $$;
CREATE FUNCTION other(j jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO told VALUES ('other', j #>> '{}') $$;
SELECT async_event_on('echo', 'notifies_itself(text)'), async_event_on('own', 'emits_to_itself(jsonb)', concurrency => 2),
    async_event_on('other', 'other(jsonb)');
SELECT async_event_emit('other', '"first"') > 0;
CALL until('EXISTS (SELECT FROM told WHERE who = ''other'')');
NOTIFY echo, '1';
SELECT async_event_emit('own', '1') > 0;
CALL until('(SELECT count(*) > 50 FROM told WHERE who = ''notified'') AND (SELECT count(*) > 50 FROM told WHERE who = ''emitted'')');
-- others get theirs
SELECT async_event_emit('other', '"second"') > 0;
CALL until('EXISTS (SELECT FROM told WHERE what = ''second'')', '3 s');
SELECT pg_notify('other', '"third"');
CALL until('EXISTS (SELECT FROM told WHERE what = ''third'')', '3 s');
-- both go on
SELECT count(*) AS notified FROM told WHERE who = 'notified' \gset
SELECT count(*) AS emitted FROM told WHERE who = 'emitted' \gset
CALL until('(SELECT count(*) FROM told WHERE who = ''notified'') > ' || :notified || ' AND (SELECT count(*) FROM told WHERE who = ''emitted'') > ' || :emitted);
-- until they are off
SELECT async_event_off('echo'), async_event_off('own');
CALL until('NOT EXISTS (SELECT FROM pg_stat_activity WHERE query IN (''event handler echo'', ''event handler own'') AND xact_start IS NOT NULL AND pid <> pg_backend_pid())');
SELECT count(*) AS before FROM told \gset
CALL events_pass();
SELECT count(*) - :before AS since FROM told;

-- a cancel that is trapped is followed by the process's end: a failed attempt like others
CREATE FUNCTION traps(j jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF j = '"good"' THEN
        INSERT INTO told VALUES ('traps', 'good');
        RETURN;
    END IF;
    INSERT INTO told VALUES ('traps', 'never');
    LOOP
        BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;
    END LOOP;
END $$;
SELECT async_event_on('traps', 'traps(jsonb)', timeout => '100 ms', max_attempts => 2, backoff => '10 ms');
SELECT async_event_emit('traps', '"trap"') > 0, async_event_emit('traps', '"good"') > 0;
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''traps'') AND EXISTS (SELECT FROM told WHERE who = ''traps'')');
SELECT attempts, sqlstate, message FROM aside.dead_events WHERE handler = 'traps';
SELECT what FROM told WHERE who = 'traps';
SELECT attempt, state, sqlstate, finished - started < '5 s' AS soon FROM aside.event_runs WHERE handler = 'traps' ORDER BY event, attempt;
SELECT async_event_off('traps'), async_event_off('other');
DROP TABLE told;
DROP FUNCTION notifies_itself, emits_to_itself, other, traps;

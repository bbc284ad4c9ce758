-- Claim: handlers that make calls of their own find workers for these, however
-- many of them run at a time; that there was none is no attempt.
\set SHOW_CONTEXT never
CREATE TABLE called (n int);
CREATE FUNCTION calls(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.05);
    PERFORM autonomous_exec('INSERT INTO called VALUES ($1)', (e.payload ->> 'n')::int);
END $$;
SELECT async_event_on('calls', 'calls(aside.event)', concurrency => 12, max_attempts => 1);
SELECT count(async_event_emit('calls', jsonb_build_object('n', i))) FROM generate_series(1, 40) i;
CALL until('NOT EXISTS (SELECT FROM aside.events WHERE channel = ''calls'' AND state NOT IN (''done'', ''dead''))');
SELECT count(*), count(DISTINCT n) FROM called;
SELECT count(*) AS dead FROM aside.dead_events WHERE handler = 'calls';

-- one that finds none for a while is tried until there is one, and does not use up what attempts it has
CREATE TABLE tries (n serial);
CREATE SEQUENCE tried;
CREATE FUNCTION starves(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('tried') < 4 THEN
        RAISE EXCEPTION 'no worker' USING ERRCODE = '53400';
    END IF;
    INSERT INTO tries DEFAULT VALUES;
END $$;
SELECT async_event_on('starves', 'starves(aside.event)', max_attempts => 1);
SELECT async_event_emit('starves') AS starves \gset
CALL until('EXISTS (SELECT FROM tries)');
CALL until(format('(SELECT state = ''done'' FROM aside.events WHERE id = %s)', :starves));
SELECT state, attempts FROM aside.events WHERE id = :starves;
SELECT state, sqlstate, message, count(*) FROM aside.event_runs WHERE event = :starves GROUP BY 1, 2, 3 ORDER BY 1 DESC;
SELECT failures FROM aside.event_stats WHERE handler = 'starves';

-- each of a batch is told of what it did itself
CREATE FUNCTION picky(e aside.event[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM unnest(e) o WHERE o.payload = '"bad"') THEN
        RAISE EXCEPTION 'bad one of %', cardinality(e);
    END IF;
END $$;
SELECT async_event_on('picky', 'picky(aside.event[])', batch_size => 10, max_attempts => 1);
SELECT async_event_pause('picky');
SELECT count(async_event_emit('picky', p)) FROM unnest('{"\"good\"", "\"bad\"", "\"fine\""}'::jsonb[]) p;
SELECT async_event_resume('picky');
CALL until('NOT EXISTS (SELECT FROM aside.events WHERE channel = ''picky'' AND state NOT IN (''done'', ''dead''))');
SELECT payload, state, attempts, sqlstate, message FROM aside.events WHERE channel = 'picky' ORDER BY id;
SELECT e.payload, r.attempt, r.state, r.message FROM aside.event_runs r JOIN aside.events e ON e.id = r.event AND e.handler = r.handler
    WHERE r.handler = 'picky' ORDER BY e.id;

SELECT async_event_off('calls'), async_event_off('starves'), async_event_off('picky');
DROP FUNCTION calls, starves, picky;
DROP TABLE called, tries;
DROP SEQUENCE tried;

-- What other files call. It runs before them, in their database.
--
-- CALL until('CONDITION'), outside of a transaction: waits for the condition, each look at it being a transaction. Says so
-- if it has not come true when the patience ends; who waits in vain is told after that time, and nobody waits longer for it.
CREATE PROCEDURE until(condition text, patience interval DEFAULT '30 s') LANGUAGE plpgsql AS $$
DECLARE t timestamptz := clock_timestamp(); ok boolean;
BEGIN
    LOOP
        EXECUTE 'SELECT ' || condition INTO ok;
        COMMIT;
        EXIT WHEN ok;
        IF clock_timestamp() > t + patience THEN RAISE INFO 'never: %', condition; EXIT; END IF;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
-- CALL events_pass(), outside of a transaction: when it returns, the coordinator has looked at every event that was emitted, or
-- was due for as long as the delay, before the call. What it has not begun by then it keeps.
CREATE PROCEDURE events_pass(delay interval DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE probe bigint;
BEGIN
    PERFORM async_event_on('regress probe', command => 'SELECT 1');
    COMMIT;
    probe := async_event_emit('regress probe', delay => events_pass.delay);
    COMMIT;
    CALL until(format('(SELECT state = ''done'' FROM async_event_state(%s))', probe));
    PERFORM async_event_off('regress probe');
END $$;

-- Claim: when async_event_pause() or async_event_off() has committed, no event
-- begins, whatever workers had been given before.
\set SHOW_CONTEXT never
CREATE TABLE begun (at timestamptz);
CREATE FUNCTION begins(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO begun VALUES (now());
END $$;
SELECT async_event_on('begins', 'begins(aside.event)', concurrency => 6);
-- each round: some have begun, it is paused, and then none does
CREATE PROCEDURE rounds(command text, INOUT late bigint) LANGUAGE plpgsql AS $$
DECLARE paused timestamptz; before bigint; deadline timestamptz;
BEGIN
    late := 0;
    FOR round IN 1 .. 20 LOOP
        before := (SELECT count(*) FROM begun);
        PERFORM async_event_emit('begins') FROM generate_series(1, 300);
        PERFORM async_event_resume('begins');
        COMMIT;
        deadline := clock_timestamp() + interval '20 s';
        WHILE (SELECT count(*) FROM begun) < before + 5 AND clock_timestamp() < deadline LOOP
            COMMIT;
        END LOOP;
        EXECUTE command;
        COMMIT;
        paused := clock_timestamp();
        PERFORM pg_sleep(0.02);
        late := late + (SELECT count(*) FROM begun WHERE at > paused);
        COMMIT;
    END LOOP;
END $$;
CALL rounds('SELECT async_event_pause(''begins'')', NULL);
SELECT count(*) >= 100 AS some_have FROM begun;
CALL rounds('SELECT async_event_off(''begins''), async_event_on(''begins'', ''begins(aside.event)'', concurrency => 6), async_event_pause(''begins'')', NULL);
SELECT async_event_off('begins');
DROP PROCEDURE rounds;
DROP FUNCTION begins;
DROP TABLE begun;

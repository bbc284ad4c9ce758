-- Role: the same for pgq, a queue with batches by ticks, where it is there.
-- Called by: bench/run, once.
CREATE EXTENSION pgq;
SELECT pgq.create_queue('bench'), pgq.create_queue('unhandled');
SELECT pgq.register_consumer('bench', 'handler');

-- n events that wait, a tick for each 100; then how many a consumer within the server handles in a second, each batch
-- in a transaction of its own.
CREATE PROCEDURE drain_pgq(n int, part text, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
    batch bigint;
BEGIN
    TRUNCATE handled;
    FOR i IN 1..n / 100 LOOP
        PERFORM pgq.insert_event('bench', 'event', g::text) FROM generate_series(1, 100) g;
        COMMIT;
        PERFORM pgq.force_tick('bench');
        PERFORM pgq.ticker('bench');
        COMMIT;
    END LOOP;
    PERFORM pg_sleep(1);
    since := clock_timestamp();
    LOOP
        batch := pgq.next_batch('bench', 'handler');
        EXIT WHEN batch IS NULL;
        INSERT INTO handled SELECT 1 FROM pgq.get_batch_events(batch);
        PERFORM pgq.finish_batch(batch);
        COMMIT;
    END LOOP;
    IF (SELECT count(*) FROM handled) < n / 100 * 100 THEN
        RAISE EXCEPTION '% of % events were handled by pgq', (SELECT count(*) FROM handled), n;
    END IF;
    INSERT INTO result VALUES (part, 'pgq', round, n / extract(epoch FROM clock_timestamp() - since));
    COMMIT;
END $$;

-- Role: the tables and procedures of the events' part of the benchmark.
-- Called by: bench/run, once.
CREATE TABLE heard (by text, sent timestamptz, at timestamptz);
CREATE TABLE plain (id bigserial PRIMARY KEY, channel text NOT NULL, payload jsonb, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE handled (n int);
CREATE FUNCTION handle_one(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO handled VALUES (1) $$;
CREATE FUNCTION handle_many(e aside.event[]) RETURNS void LANGUAGE sql AS $$ INSERT INTO handled SELECT 1 FROM unnest(e) $$;
CREATE FUNCTION handle_timed(e aside.event) RETURNS void LANGUAGE sql AS $$
    INSERT INTO heard VALUES ('event', (e.payload ->> 'sent')::timestamptz, clock_timestamp()) $$;

-- n notifications or events, one every few milliseconds, each committed alone; then how long each took.
CREATE PROCEDURE latency(peer text, n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz;
BEGIN
    DELETE FROM heard;
    COMMIT;
    FOR i IN 1..n LOOP
        IF peer = 'event' THEN
            PERFORM async_event_emit('timed', jsonb_build_object('sent', clock_timestamp()));
        ELSE
            PERFORM pg_notify('bench_' || peer, clock_timestamp()::text);
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.003);
    END LOOP;
    until := clock_timestamp() + interval '10 s';
    WHILE (SELECT count(*) FROM heard) < n AND clock_timestamp() < until LOOP
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
    IF (SELECT count(*) FROM heard) < n THEN
        RAISE EXCEPTION '% of % were heard by %', (SELECT count(*) FROM heard), n, peer;
    END IF;
    IF round IS NOT NULL THEN
        INSERT INTO result SELECT 'notify', peer, round,
            extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY at - sent)) * 1e6 FROM heard;
        INSERT INTO result SELECT 'notify p99', peer, round,
            extract(epoch FROM percentile_cont(0.99) WITHIN GROUP (ORDER BY at - sent)) * 1e6 FROM heard;
    END IF;
END $$;

-- n events that wait for a paused handler; then how many it handles in a second.
CREATE PROCEDURE drain(handler text, n int, part text, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
BEGIN
    PERFORM async_event_pause(handler);
    COMMIT;
    TRUNCATE handled;
    PERFORM async_event_emit(handler, to_jsonb(i)) FROM generate_series(1, n) i;
    COMMIT;
    PERFORM pg_sleep(1);
    PERFORM async_event_resume(handler);
    COMMIT;
    since := clock_timestamp();
    WHILE (SELECT count(*) FROM handled) < n AND clock_timestamp() < since + interval '60 s' LOOP
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
    IF (SELECT count(*) FROM handled) < n THEN
        RAISE EXCEPTION '% of % events were handled', (SELECT count(*) FROM handled), n;
    END IF;
    INSERT INTO result VALUES (part, 'aside', round, n / extract(epoch FROM clock_timestamp() - since));
    COMMIT;
END $$;
SELECT async_event_on('bench_aside', command => 'INSERT INTO heard VALUES (''aside'', $1::timestamptz, clock_timestamp())');
SELECT async_event_on('pulled', pull => true);
CREATE TABLE queue_table (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb);
SELECT async_event_on('timed', 'handle_timed(aside.event)');
SELECT async_event_on('one', 'handle_one(aside.event)', concurrency => 2);
SELECT async_event_on('many', 'handle_many(aside.event[])', batch_size => 100, concurrency => 2);

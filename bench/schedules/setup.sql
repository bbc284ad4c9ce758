-- Role: the procedures of the schedules' part of the benchmark.
-- Called by: bench/run, once.
-- n schedules, each due 10 ms after the last; then how long after its due time each has started.
CREATE PROCEDURE due_to_start(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := clock_timestamp() + interval '1 s' + n * interval '10 ms';
BEGIN
    PERFORM schedule_set('due ' || i, format('at %s', first + i * interval '10 ms'), 'SELECT 1') FROM generate_series(1, n) i;
    COMMIT;
    CALL all_ended(n);
    INSERT INTO result SELECT 'due to start' || p.name, 'aside', round, us_of(percentile_cont(p.part) WITHIN GROUP (ORDER BY r.started - r.due))
        FROM aside.schedule_runs r, (VALUES ('', 0.5), (' p99', 0.99)) p (name, part) GROUP BY p.name, p.part;
    PERFORM schedule_drop(name) FROM aside.schedules;
    COMMIT;
END $$;
-- n schedules that are due at the same moment; then how long after it the last one has started.
CREATE PROCEDURE due_at_once(n int, round int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM schedule_set('due ' || i, format('at %s', clock_timestamp() + interval '1 hour'), 'SELECT 1') FROM generate_series(1, n) i;
    COMMIT;
    PERFORM pg_sleep(0.5);
    UPDATE aside.schedule SET next_due = clock_timestamp(), next_run_at = clock_timestamp(), revision = revision + 1;
    COMMIT;
    CALL all_ended(n);
    INSERT INTO result SELECT 'due at once', 'aside', round, us_of(max(started) - min(due)) / 1000 FROM aside.schedule_runs;
    PERFORM schedule_drop(name) FROM aside.schedules;
    COMMIT;
END $$;
CREATE PROCEDURE all_ended(n int) LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + interval '60 s' + n * interval '20 ms';
BEGIN
    WHILE (SELECT count(*) FROM aside.schedule_runs WHERE finished IS NOT NULL) < n LOOP
        IF clock_timestamp() > until THEN
            RAISE EXCEPTION '% of % runs have ended', (SELECT count(*) FROM aside.schedule_runs WHERE finished IS NOT NULL), n;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.05);
    END LOOP;
    COMMIT;
END $$;
CREATE FUNCTION us_of(i interval) RETURNS float8 LANGUAGE sql AS $$ SELECT extract(epoch FROM i) * 1e6 $$;
CREATE PROCEDURE preview(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    PERFORM count(*) FROM schedule_preview('*/5 9-17 * * mon-fri', 'Europe/Berlin', n);
    INSERT INTO result VALUES ('preview', 'aside', round, us_of(clock_timestamp() - since) / 1000);
END $$;
-- Milliseconds of a processor that the coordinator takes in so many seconds, with so many schedules of which none is due.
CREATE FUNCTION coordinator_ms() RETURNS float8 LANGUAGE sql AS $$
    SELECT ((regexp_split_to_array(stat, ' '))[12]::float8 + (regexp_split_to_array(stat, ' '))[13]::float8) * 10
    FROM (SELECT regexp_replace(pg_read_file('/proc/' || pid || '/stat'), '^.*\) ', '1 ') AS stat
        FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = current_database()) s $$;
CREATE PROCEDURE none_due(n int, seconds float8) LANGUAGE plpgsql AS $$
DECLARE
    before float8;
BEGIN
    PERFORM schedule_set('idle ' || i, '@yearly', 'SELECT 1') FROM generate_series(1, n) i;
    COMMIT;
    -- A coordinator comes, and reads them first.
    LOOP
        before := coordinator_ms();
        COMMIT;
        PERFORM pg_sleep(3);
        EXIT WHEN before = coordinator_ms();
    END LOOP;
    before := coordinator_ms();
    PERFORM pg_sleep(seconds);
    INSERT INTO result VALUES ('none due', n || ' schedules', 1, (coordinator_ms() - before) * 60 / seconds);
    PERFORM schedule_drop(name) FROM aside.schedules;
    COMMIT;
END $$;

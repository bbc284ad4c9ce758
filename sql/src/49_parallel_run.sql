-- Role: a job in chunks that is started and waited for in one call, which tells how far it is.

-- The coordinator sees a job when it has committed, and the caller's transaction may last: so the start is an autonomous transaction.
-- Each look at the job is one, too: it sees what is there now, whatever the caller's isolation level.
CREATE FUNCTION parallel_run(name text, command text, target regclass DEFAULT NULL, chunk_by text DEFAULT 'key', chunk_query text DEFAULT NULL,
    chunk_column name DEFAULT NULL, chunk_rows int DEFAULT NULL, workers int DEFAULT 2, max_attempts int DEFAULT 3, throttle jsonb DEFAULT NULL,
    dry_run boolean DEFAULT false, follow boolean DEFAULT false)
RETURNS text LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
#variable_conflict use_variable
DECLARE
    its record;
    number bigint;
    pause interval := '1 second';
    since pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    look CONSTANT pg_catalog.text := 'SELECT j.state, j.waits_for, j.percent, j.rows_done::pg_catalog.int8, j.rate::pg_catalog.int8, j.eta, j.chunks_failed,
        j.sqlstate, j.message, j.detail FROM aside.parallel_jobs j WHERE j.id OPERATOR(pg_catalog.=) $1';
BEGIN
    IF dry_run THEN
        PERFORM @extschema@.parallel_start(name, command, target, chunk_by, chunk_query, chunk_column, chunk_rows, workers, max_attempts, throttle,
            true, follow);
        RETURN NULL;
    END IF;
    -- What cannot be cut is refused here, where a temporary table is known as one.
    PERFORM FROM aside.parallel_target(target, chunk_by, chunk_query, chunk_column, follow);
    BEGIN
        SELECT s.number INTO number FROM @extschema@.autonomous_query(
            'SELECT @extschema@.parallel_start($1, $2, $3::pg_catalog.regclass, $4, $5, $6, $7, $8, $9, $10, false, $11)', name, command,
            target::pg_catalog.text, chunk_by, chunk_query, chunk_column, chunk_rows, workers, max_attempts, throttle, follow) AS s (number bigint);
        WHILE NOT @extschema@.parallel_wait(name, pause) LOOP
            pause := '5 seconds';
            SELECT * INTO its FROM @extschema@.autonomous_query(look, number) AS j (state pg_catalog.text, waits_for pg_catalog.text, percent numeric, rows_done bigint,
                rate bigint, eta interval, chunks_failed bigint, sqlstate pg_catalog.text, message pg_catalog.text, detail pg_catalog.text);
            RAISE NOTICE 'job "%": % rows%, % rows/s, %', name, its.rows_done,
                CASE WHEN its.percent IS NOT NULL THEN pg_catalog.concat(' (', its.percent, ' %)') ELSE '' END, COALESCE(its.rate, 0),
                CASE WHEN its.waits_for IS NOT NULL THEN pg_catalog.concat('waits for ', its.waits_for)
                     WHEN its.eta IS NOT NULL THEN pg_catalog.concat(its.eta, ' left') ELSE its.state END;
        END LOOP;
    EXCEPTION WHEN query_canceled THEN
        -- The start may have committed though its number has not come.
        PERFORM @extschema@.autonomous_exec('SELECT @extschema@.parallel_cancel(j.name) FROM aside.parallel_jobs j
            WHERE j.name OPERATOR(pg_catalog.=) $1 AND j.created OPERATOR(pg_catalog.>=) $2', name, since);
        RAISE;
    END;
    SELECT * INTO its FROM @extschema@.autonomous_query(look, number) AS j (state pg_catalog.text, waits_for pg_catalog.text, percent numeric, rows_done bigint,
        rate bigint, eta interval, chunks_failed bigint, sqlstate pg_catalog.text, message pg_catalog.text, detail pg_catalog.text);
    IF its.state OPERATOR(pg_catalog.=) 'done' THEN
        RAISE NOTICE 'job "%" is done: % rows, % rows/s', name, its.rows_done, COALESCE(its.rate, 0);
    ELSIF its.state OPERATOR(pg_catalog.=) 'done_with_errors' THEN
        RAISE WARNING 'job "%" is done but for %', name,
            CASE WHEN its.chunks_failed OPERATOR(pg_catalog.=) 1 THEN '1 chunk' ELSE pg_catalog.concat(its.chunks_failed, ' chunks') END
            USING HINT = 'They are in aside.parallel_chunks, with their errors. To try them again, use parallel_retry.';
    ELSIF its.state OPERATOR(pg_catalog.=) 'failed' THEN
        RAISE EXCEPTION 'job "%" has failed: %', name, its.message USING ERRCODE = COALESCE(its.sqlstate, 'XX000'),
            DETAIL = COALESCE(its.detail, 'What its chunks had done before stays.');
    ELSE
        RAISE EXCEPTION 'job "%" was cancelled', name USING ERRCODE = '57014';
    END IF;
    RETURN its.state;
END $$;
COMMENT ON FUNCTION parallel_run(text, text, regclass, text, text, name, int, int, int, jsonb, boolean, boolean) IS
    'Starts a job as parallel_start does, and waits for its end. NOTICEs tell how far it is. Returns its state: done, or done_with_errors. If the call is cancelled, so is the job.';

GRANT EXECUTE ON FUNCTION parallel_run(text, text, regclass, text, text, name, int, int, int, jsonb, boolean, boolean) TO aside_user;

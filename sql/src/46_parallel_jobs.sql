-- Role: users start, pause, cancel and drop jobs in chunks. A user calls a C function (c-shim/sql/forward.c). The C function calls the
-- function of the same name in schema aside, as the owner of the extension. The first argument of that function is the role that asks.

CREATE VIEW aside.parallel_owners AS
    SELECT j.*, o.role FROM aside.parallel_job j, LATERAL (SELECT CASE WHEN NOT j.inert THEN aside.definition_owner('job', j.id, j.name) END AS role) o
    WHERE j.inert OR o.role IS NOT NULL;
COMMENT ON VIEW aside.parallel_owners IS 'jobs that have not ended, each with the role that the job acts for; NULL if the job belongs to nobody';

CREATE FUNCTION aside.parallel_end(number bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The coordinator deletes the chunks: workers may have locked them.
    DELETE FROM aside.parallel_job j WHERE j.id = number;
END $$;
COMMENT ON FUNCTION aside.parallel_end(bigint) IS 'deletes a job';

-- The coordinator calls this function whenever the coordinator reads the jobs. The function waits for nobody.
CREATE FUNCTION aside.parallel_settle() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM aside.parallel_end(e.id) FROM aside.definitions_settle('job') e (id);
    -- Chunks whose job was dropped. Those that somebody has locked stay until the next call.
    WITH RECURSIVE known (job) AS (
        SELECT min(c.job) FROM aside.parallel_chunk c
        UNION ALL
        SELECT (SELECT min(c.job) FROM aside.parallel_chunk c WHERE c.job > k.job) FROM known k WHERE k.job IS NOT NULL),
    old AS (SELECT c.job, c.number FROM aside.parallel_chunk c
        WHERE c.job IN (SELECT k.job FROM known k WHERE NOT EXISTS (SELECT FROM aside.parallel_job j WHERE j.id = k.job))
        FOR UPDATE SKIP LOCKED)
    DELETE FROM aside.parallel_chunk c USING old WHERE c.job = old.job AND c.number = old.number;
END $$;
COMMENT ON FUNCTION aside.parallel_settle() IS 'makes the table of jobs follow the proxies, and deletes the chunks of jobs that were dropped';

-- Whoever handles channel aside.failed, and may act for the job's owner, hears of a job that failed, or that is done but for some chunks.
CREATE FUNCTION aside.parallel_tell_failed(job bigint) RETURNS int LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT aside.tell_failed(j.role, 0, jsonb_build_object('kind', 'job', 'job', j.name, 'state', j.state,
            'chunks_failed', (SELECT count(*) FROM aside.parallel_chunk c WHERE c.job = j.id AND c.state = 'failed'),
            'sqlstate', j.sqlstate, 'message', j.message, 'detail', j.detail, 'hint', j.hint, 'context', j.context))
        FROM aside.parallel_owners j WHERE j.id = parallel_tell_failed.job $$;
COMMENT ON FUNCTION aside.parallel_tell_failed(bigint) IS 'Tells the handlers of channel aside.failed of a job that did not end well.';

CREATE FUNCTION aside.parallel_limits(throttle jsonb) RETURNS jsonb LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    limits jsonb := '{}';
    field record;
    part record;
    may_be text;
BEGIN
    IF throttle IS NULL THEN
        RETURN limits;
    END IF;
    IF jsonb_typeof(throttle) <> 'object' THEN
        RAISE EXCEPTION 'throttle of a job must be a JSON object' USING ERRCODE = '22023';
    END IF;
    FOR field IN SELECT e.key, e.value, e.value #>> '{}' AS text FROM jsonb_each(throttle) e LOOP
        may_be := CASE field.key WHEN 'max_replication_lag' THEN 'an interval such as "10 s", or a size such as "100 MB"'
            WHEN 'max_active_sessions' THEN 'an integer that is not negative' WHEN 'max_wal_rate' THEN 'a size such as "20 MB", for each second'
            WHEN 'max_load' THEN 'a number that is not negative'
            WHEN 'window' THEN 'an object with the times from and to, and perhaps timezone' END;
        IF may_be IS NULL THEN
            RAISE EXCEPTION 'unknown field "%" of the throttle of a job', field.key USING ERRCODE = '22023',
                HINT = 'The fields are max_replication_lag, max_active_sessions, max_wal_rate, max_load and window.';
        END IF;
        BEGIN
            CASE field.key
                WHEN 'max_replication_lag' THEN
                    IF field.text ~ '^\s*[0-9.]+\s*([kMGTP]?B|bytes)?\s*$' THEN
                        limits := limits || jsonb_build_object('lag_bytes', pg_size_bytes(field.text));
                    ELSE
                        limits := limits || jsonb_build_object('lag_us', (extract(epoch FROM field.text::interval) * 1000000)::bigint);
                    END IF;
                WHEN 'max_active_sessions' THEN limits := limits || jsonb_build_object('sessions', field.text::int);
                WHEN 'max_wal_rate' THEN limits := limits || jsonb_build_object('wal_rate', pg_size_bytes(field.text));
                WHEN 'max_load' THEN limits := limits || jsonb_build_object('load_milli', (field.text::numeric * 1000)::bigint);
                ELSE
                    SELECT * INTO part FROM jsonb_to_record(field.value) w ("from" time, "to" time, timezone text);
                    IF field.value - ARRAY['from', 'to', 'timezone'] <> '{}' OR part."from" IS NULL OR part."to" IS NULL OR part."from" = part."to" THEN
                        RAISE invalid_parameter_value;
                    END IF;
                    PERFORM now() AT TIME ZONE coalesce(part.timezone, 'UTC');
                    limits := limits || jsonb_build_object('window_from', extract(epoch FROM part."from")::bigint,
                        'window_to', extract(epoch FROM part."to")::bigint, 'timezone', coalesce(part.timezone, current_setting('TimeZone')));
            END CASE;
            IF EXISTS (SELECT FROM jsonb_each_text(limits) l WHERE l.value LIKE '-%') THEN
                RAISE invalid_parameter_value;
            END IF;
        EXCEPTION WHEN data_exception OR syntax_error OR invalid_parameter_value OR null_value_not_allowed THEN
            RAISE EXCEPTION 'invalid value for field "%" of the throttle of a job: %', field.key, field.value USING ERRCODE = '22023',
                DETAIL = format('The field may be %s.', may_be);
        END;
        IF field.text IS NULL THEN
            RAISE EXCEPTION 'invalid value for field "%" of the throttle of a job: null', field.key USING ERRCODE = '22023',
                DETAIL = format('The field may be %s.', may_be);
        END IF;
    END LOOP;
    RETURN limits;
END $$;
COMMENT ON FUNCTION aside.parallel_limits(jsonb) IS 'turns a throttle into the units of the coordinator; an error says which field is wrong (22023)';

CREATE FUNCTION aside.parallel_begin(caller oid, name text, command text, target text, chunk_by text, split text[], low_type oid, high_type oid,
    chunk_rows int, workers int, max_attempts int, throttle jsonb, follow boolean, estimate bigint, dry_run boolean)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    caller_name name := (SELECT r.rolname FROM pg_roles r WHERE r.oid = caller);
    most int := current_setting('aside.max_workers')::int;
    number bigint;
    limits jsonb;
    quota int := current_setting('aside.max_jobs_per_role')::int;
BEGIN
    IF name IS NULL OR command IS NULL THEN
        RAISE EXCEPTION '% of a job must not be null', CASE WHEN name IS NULL THEN 'name' ELSE 'command' END USING ERRCODE = '22004';
    END IF;
    PERFORM aside.definition_check_name('job', name);
    IF command ~ '^\s*$' THEN
        RAISE EXCEPTION 'command of job "%" is empty', name USING ERRCODE = '22023';
    END IF;
    IF command !~ '\$1(?![0-9])' OR chunk_by <> 'partition' AND command !~ '\$2(?![0-9])' THEN
        RAISE EXCEPTION 'command of job "%" does not name %', name, CASE WHEN command ~ '\$1(?![0-9])' THEN '$2' ELSE '$1' END
            USING ERRCODE = '22023', DETAIL = 'Each chunk would do the work of all.',
            HINT = 'The bounds of a chunk are $1 and $2, both inclusive: WHERE key BETWEEN $1 AND $2.';
    END IF;
    PERFORM aside.check_options(format('job "%s"', name), ARRAY[
        ['name', name, (name <> '')::text, 'a text that is not empty'],
        ['chunk_rows', chunk_rows::text, (chunk_rows IS NULL OR chunk_rows >= 1)::text, 'NULL, or 1 or more'],
        ['workers', workers::text, (workers >= 1)::text, '1 or more'],
        ['max_attempts', max_attempts::text, (max_attempts >= 1)::text, '1 or more'],
        ['follow', follow::text, (follow IS NOT NULL)::text, 'true or false'],
        ['dry_run', dry_run::text, (dry_run IS NOT NULL)::text, 'true or false']]);
    IF workers > most THEN
        RAISE EXCEPTION 'invalid value for option "workers" of job "%": "%"', name, workers USING ERRCODE = '22023',
            DETAIL = format('The pool has %s.', most), HINT = 'Consider increasing "aside.max_workers".';
    END IF;
    limits := aside.parallel_limits(throttle);
    PERFORM aside.definition_check_owner('job', caller);
    IF quota > 0 AND (SELECT count(*) FROM aside.parallel_owners j WHERE j.role = caller AND j.state = 'running') >= quota THEN
        RAISE EXCEPTION 'too many jobs of role "%"', caller_name USING ERRCODE = '53400',
            DETAIL = format('The limit is %s. Jobs that have ended do not count.', quota), HINT = 'Consider increasing "aside.max_jobs_per_role".';
    END IF;
    LOOP
        IF EXISTS (SELECT FROM aside.parallel_job j
                WHERE j.name = parallel_begin.name AND NOT j.inert AND aside.definition_owner('job', j.id, j.name) = caller) THEN
            RAISE EXCEPTION 'job "%" already exists', name USING ERRCODE = '42710', HINT = 'Drop it with parallel_drop, or use another name.';
        END IF;
        EXIT WHEN dry_run;
        number := aside.definition_number('job', name);
        INSERT INTO aside.parallel_job (id, name, owner, maker, command, target, chunk_by, split, low_type, high_type, chunk_rows, workers,
            max_attempts, throttle, limits, follow, estimate) OVERRIDING SYSTEM VALUE
        VALUES (number, name, caller_name, caller, command, target, chunk_by, split, low_type::regtype::text, high_type::regtype::text, chunk_rows,
            workers, max_attempts, throttle, limits, follow, estimate)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        -- Another session has started it since. Or the role once started one that has ended, or is another's now.
        PERFORM aside.parallel_end(e.id) FROM aside.definition_free_name('job', name, caller) e (id);
    END LOOP;
    RETURN number;
END $$;

CREATE FUNCTION aside.parallel_pause(caller oid, name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its bigint := aside.definition_locked(caller, 'job', name);
BEGIN
    UPDATE aside.parallel_job j SET paused = true WHERE j.id = its AND NOT j.paused AND j.state = 'running';
    RETURN FOUND;
END $$;
CREATE FUNCTION aside.parallel_resume(caller oid, name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its bigint := aside.definition_locked(caller, 'job', name);
BEGIN
    UPDATE aside.parallel_job j SET paused = false WHERE j.id = its AND j.paused AND j.state = 'running';
    RETURN FOUND;
END $$;
CREATE FUNCTION aside.parallel_cancel(caller oid, name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its bigint := aside.definition_locked(caller, 'job', name);
BEGIN
    UPDATE aside.parallel_job j SET state = 'cancelled', finished = clock_timestamp(), waits_for = NULL WHERE j.id = its AND j.state = 'running';
    RETURN FOUND;
END $$;
CREATE FUNCTION aside.parallel_drop(caller oid, name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM aside.parallel_end(aside.definition_locked(caller, 'job', name));
    RETURN true;
END $$;
CREATE FUNCTION aside.parallel_retry(caller oid, name text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint := aside.definition_locked(caller, 'job', name);
    its aside.parallel_job;
    number bigint;
BEGIN
    SELECT * INTO its FROM aside.parallel_job j WHERE j.id = found;
    IF its.state = 'cancelled' THEN
        RAISE EXCEPTION 'job "%" was cancelled', name USING ERRCODE = '55000', HINT = 'Drop it with parallel_drop, and start it anew.';
    END IF;
    UPDATE aside.parallel_job j SET state = 'running', finished = NULL, sqlstate = NULL, message = NULL, detail = NULL, hint = NULL, context = NULL
        WHERE j.id = its.id AND j.state IN ('failed', 'done_with_errors');
    UPDATE aside.parallel_chunk c SET state = 'waiting', failures = 0 WHERE c.job = its.id AND c.state = 'failed';
    GET DIAGNOSTICS number = ROW_COUNT;
    IF number > 0 THEN
        UPDATE aside.parallel_job j SET state = 'running', finished = NULL WHERE j.id = its.id AND j.state <> 'running';
    END IF;
    RETURN number;
END $$;
-- Stable: it sees what whoever calls it sees, who may look past the snapshot of a transaction.
CREATE FUNCTION aside.parallel_ended(caller oid, job bigint) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its aside.parallel_job;
BEGIN
    SELECT * INTO its FROM aside.parallel_job j WHERE j.id = job;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the job was dropped' USING ERRCODE = '42704';
    END IF;
    IF EXISTS (SELECT FROM aside.parallel_job j WHERE j.id = job AND j.state = 'running' AND aside.changed_here(j.xmin)) THEN
        RAISE EXCEPTION 'what this transaction has asked of job "%" is done only when it has committed', its.name USING ERRCODE = '55000',
            HINT = 'Wait for it in a later transaction.';
    END IF;
    RETURN its.state <> 'running';
END $$;

COMMENT ON FUNCTION aside.parallel_begin(oid, text, text, text, text, text[], oid, oid, int, int, int, jsonb, boolean, bigint, boolean)
    IS 'starts a job whose splitting is known, for a role';
COMMENT ON FUNCTION aside.parallel_pause(oid, text) IS 'does what parallel_pause says, for a role';
COMMENT ON FUNCTION aside.parallel_resume(oid, text) IS 'does what parallel_resume says, for a role';
COMMENT ON FUNCTION aside.parallel_cancel(oid, text) IS 'does what parallel_cancel says, for a role';
COMMENT ON FUNCTION aside.parallel_drop(oid, text) IS 'does what parallel_drop says, for a role';
COMMENT ON FUNCTION aside.parallel_retry(oid, text) IS 'does what parallel_retry says, for a role';
COMMENT ON FUNCTION aside.parallel_ended(oid, bigint) IS 'true if a job has ended';

-- How the rows are split is found out as the caller, with the caller's search_path; so all names here have their schema.
CREATE FUNCTION aside.parallel_begin(name text, command text, target text, chunk_by text, split text[], low_type oid, high_type oid, chunk_rows int,
    workers int, max_attempts int, throttle jsonb, follow boolean, estimate bigint, dry_run boolean)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_parallel_forward';
COMMENT ON FUNCTION aside.parallel_begin(text, text, text, text, text[], oid, oid, int, int, int, jsonb, boolean, bigint, boolean)
    IS 'starts a job whose splitting is known';

CREATE FUNCTION aside.parallel_reads(command text) RETURNS boolean LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'aside_parallel_reads';
COMMENT ON FUNCTION aside.parallel_reads(text) IS
    'True if each statement of a command is a query that writes nothing by itself. What it calls may write all the same.';

CREATE FUNCTION parallel_start(name text, command text, target regclass DEFAULT NULL, chunk_by text DEFAULT 'key', chunk_query text DEFAULT NULL,
    chunk_column name DEFAULT NULL, chunk_rows int DEFAULT NULL, workers int DEFAULT 2, max_attempts int DEFAULT 3, throttle jsonb DEFAULT NULL,
    dry_run boolean DEFAULT false, follow boolean DEFAULT false)
RETURNS bigint LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
#variable_conflict use_variable
DECLARE
    its record;
    number bigint;
    line pg_catalog.text;
BEGIN
    IF chunk_by OPERATOR(pg_catalog.=) 'ctid' AND NOT aside.parallel_reads(command) THEN
        RAISE EXCEPTION 'the command of a job that is split by ctid can only read' USING ERRCODE = '0A000',
            DETAIL = 'A row that is updated has another ctid from then on, so it could be done twice, or not at all.',
            HINT = 'Split by a key, or by a query.';
    END IF;
    SELECT * INTO its FROM aside.parallel_target(target, chunk_by, chunk_query, chunk_column, follow);
    number := aside.parallel_begin(name, command, target::pg_catalog.text, chunk_by, its.split, its.low_type, its.high_type, chunk_rows, workers,
        max_attempts, throttle, follow, its.rows, dry_run);
    IF dry_run THEN
        RAISE NOTICE 'job "%" would split % by %', name, COALESCE(target::pg_catalog.text, 'the rows of its query'),
            CASE WHEN chunk_by OPERATOR(pg_catalog.=) 'key' THEN its.split[3] ELSE chunk_by END;
        IF its.rows OPERATOR(pg_catalog.>) 0 THEN
            RAISE NOTICE 'about % rows, in %', its.rows, CASE WHEN chunk_rows IS NULL
                THEN 'chunks that take about a second each; the first ones have 1000 rows'
                ELSE pg_catalog.format('about %s chunks', pg_catalog.ceil(its.rows::pg_catalog.numeric OPERATOR(pg_catalog./) chunk_rows::pg_catalog.numeric)) END;
        END IF;
        IF chunk_by OPERATOR(pg_catalog.=) 'key' THEN
            FOR line IN EXECUTE pg_catalog.format('EXPLAIN (COSTS OFF) SELECT t.%s FROM %s t ORDER BY t.%1$s OFFSET %3$s LIMIT 1', its.split[3], its.split[2],
                COALESCE(chunk_rows, 1000)) LOOP
                RAISE NOTICE '%', line;
            END LOOP;
        END IF;
    END IF;
    RETURN number;
END $$;
CREATE FUNCTION parallel_pause(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_parallel_forward';
CREATE FUNCTION parallel_resume(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_parallel_forward';
CREATE FUNCTION parallel_cancel(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_parallel_forward';
CREATE FUNCTION parallel_drop(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_parallel_forward';
CREATE FUNCTION parallel_retry(name text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_parallel_forward';
CREATE FUNCTION parallel_wait(name text, timeout interval DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_parallel_wait';

COMMENT ON FUNCTION parallel_start(text, text, regclass, text, text, name, int, int, int, jsonb, boolean, boolean) IS
    'split the rows of a table into chunks, and run a command for each in workers; the command names a chunk''s bounds $1 and $2; returns the number of the job';
COMMENT ON FUNCTION parallel_pause(text) IS 'pause a job: no further chunk begins; false if the job does not go on';
COMMENT ON FUNCTION parallel_resume(text) IS 'resume a paused job; false if it was not paused';
COMMENT ON FUNCTION parallel_cancel(text) IS 'end a job; what its workers run is cancelled, and what is done stays; false if the job has ended already';
COMMENT ON FUNCTION parallel_drop(text) IS 'drop a job, and what is recorded of its chunks; what its workers run is cancelled';
COMMENT ON FUNCTION parallel_retry(text) IS 'try the failed chunks of a job again; returns how many there are';
COMMENT ON FUNCTION parallel_wait(text, interval) IS 'wait until a job has ended; false if the timeout comes first';

GRANT EXECUTE ON FUNCTION aside.parallel_reads(text),
    aside.parallel_begin(text, text, text, text, text[], oid, oid, int, int, int, jsonb, boolean, bigint, boolean),
    parallel_start(text, text, regclass, text, text, name, int, int, int, jsonb, boolean, boolean), parallel_pause(text), parallel_resume(text),
    parallel_cancel(text), parallel_drop(text), parallel_retry(text), parallel_wait(text, interval)
TO aside_user;

-- Role: users set, pause, run and drop schedules. A user calls a C function (c-shim/sql/forward.c). The C function calls the function
-- of the same name in schema aside, as the owner of the extension. The first argument of that function is the role that asks.

CREATE FUNCTION aside.schedule_rule(spec text, timezone text, now timestamptz) RETURNS text
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'aside_schedule_rule';
COMMENT ON FUNCTION aside.schedule_rule(text, text, timestamptz) IS 'turns a specification into the form that is stored; an error says what is wrong with the specification (22023)';
CREATE FUNCTION aside.schedule_dues(rule text, timezone text, count int, after timestamptz) RETURNS timestamptz[]
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'aside_schedule_dues_sql';
COMMENT ON FUNCTION aside.schedule_dues(text, text, int, timestamptz) IS 'the due times of a stored specification after a time';
CREATE FUNCTION aside.schedule_target(role oid, database name) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_schedule_target';
COMMENT ON FUNCTION aside.schedule_target(oid, name) IS 'raises why commands of a role may not run in another database';

CREATE FUNCTION aside.schedule_unreadable(rule text, timezone text) RETURNS text
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'aside_schedule_unreadable';
COMMENT ON FUNCTION aside.schedule_unreadable(text, text) IS 'why a stored specification is never due: it, or its time zone, cannot be read; NULL if both can';
GRANT EXECUTE ON FUNCTION aside.schedule_unreadable(text, text) TO aside_user;

CREATE VIEW aside.schedule_owners AS
    SELECT s.*, o.role FROM aside.schedule s, LATERAL (SELECT CASE WHEN NOT s.inert THEN aside.definition_owner('schedule', s.id, s.name) END AS role) o
    WHERE s.inert OR o.role IS NOT NULL;
COMMENT ON VIEW aside.schedule_owners IS 'schedules that have not ended, each with the role that the schedule acts for; NULL if the schedule belongs to nobody';

CREATE FUNCTION aside.schedule_of(caller oid, wanted text) RETURNS aside.schedule LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number bigint := aside.definition_locked(caller, 'schedule', wanted);
    found aside.schedule;
BEGIN
    SELECT * INTO found FROM aside.schedule s WHERE s.id = number;
    RETURN found;
END $$;
COMMENT ON FUNCTION aside.schedule_of(oid, text) IS 'the schedule of that name, if the role may change it';

CREATE FUNCTION aside.schedule_end(number bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM aside.schedule_run r WHERE r.schedule = number;
    DELETE FROM aside.schedule s WHERE s.id = number;
END $$;
COMMENT ON FUNCTION aside.schedule_end(bigint) IS 'deletes a schedule and the history of the schedule';

-- Rows that somebody has locked stay until the next call.
CREATE FUNCTION aside.schedule_runs_prune() RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH old AS (SELECT r.id, r.attempt FROM aside.schedule_run r
        WHERE r.finished < now() - current_setting('aside.history_retention')::interval FOR UPDATE SKIP LOCKED)
    DELETE FROM aside.schedule_run r USING old WHERE r.id = old.id AND r.attempt = old.attempt $$;
COMMENT ON FUNCTION aside.schedule_runs_prune() IS 'deletes runs that are older than aside.history_retention';

-- The coordinator calls this function whenever the coordinator reads the schedules. The function waits for nobody.
CREATE FUNCTION aside.schedules_settle() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM aside.schedule_end(e.id) FROM aside.definitions_settle('schedule') e (id);
    PERFORM aside.schedule_runs_prune();
END $$;
COMMENT ON FUNCTION aside.schedules_settle() IS 'makes the table of schedules follow the proxies, and deletes runs that are older than aside.history_retention';

CREATE FUNCTION aside.schedule_set(caller oid, name text, spec text, command text, timezone text, overlap text, misfire text,
    misfire_deadline interval, max_attempts int, backoff interval, timeout interval, jitter interval, until timestamptz, max_runs int,
    priority int, database name, history text, enabled boolean) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    caller_name name := (SELECT r.rolname FROM pg_roles r WHERE r.oid = caller);
    at timestamptz := clock_timestamp();
    before aside.schedule;
    row aside.schedule;
    quota int;
BEGIN
    IF name IS NULL OR spec IS NULL OR command IS NULL OR timezone IS NULL THEN
        RAISE EXCEPTION '% of a schedule must not be null', CASE WHEN name IS NULL THEN 'name' WHEN spec IS NULL THEN 'specification'
            WHEN command IS NULL THEN 'command' ELSE 'time zone' END USING ERRCODE = '22004';
    END IF;
    PERFORM aside.definition_check_name('schedule', name);
    IF command ~ '^\s*$' THEN
        RAISE EXCEPTION 'command of schedule "%" is empty', name USING ERRCODE = '22023';
    END IF;
    PERFORM aside.check_options(format('schedule "%s"', name), ARRAY[
        ['name', name, (name <> '')::text, 'a text that is not empty'],
        ['overlap', overlap, (overlap IN ('skip', 'queue', 'allow', 'cancel_running'))::text, 'skip, queue, allow or cancel_running'],
        ['misfire', misfire, (misfire IN ('once', 'skip', 'all'))::text, 'once, skip or all'],
        ['history', history, (history IN ('all', 'failures', 'none'))::text, 'all, failures or none'],
        ['misfire_deadline', misfire_deadline::text, (misfire_deadline IS NULL OR misfire_deadline > interval '0')::text, 'NULL or a positive interval'],
        ['max_attempts', max_attempts::text, (max_attempts >= 1)::text, '1 or more'],
        ['backoff', backoff::text, (backoff >= interval '0')::text, 'an interval that is not negative'],
        ['timeout', timeout::text, (timeout IS NULL OR timeout > interval '0')::text, 'NULL or a positive interval'],
        ['jitter', jitter::text, (jitter IS NULL OR jitter >= interval '0')::text, 'NULL or an interval that is not negative'],
        ['max_runs', max_runs::text, (max_runs IS NULL OR max_runs >= 1)::text, 'NULL, or 1 or more'],
        ['priority', priority::text, (priority IS NOT NULL)::text, 'an integer'],
        ['enabled', enabled::text, (enabled IS NOT NULL)::text, 'true or false'],
        ['until', until::text, (until IS NULL OR until > at)::text, 'NULL or a time to come']]);
    PERFORM aside.definition_check_owner('schedule', caller);
    IF database IS NOT NULL AND database <> current_database() THEN
        PERFORM aside.schedule_target(caller, database);
        row.database := database;
    END IF;
    LOOP
        SELECT s.* INTO before FROM aside.schedule s
            WHERE s.name = schedule_set.name AND NOT s.inert AND aside.definition_owner('schedule', s.id, s.name) = caller FOR UPDATE;
        IF before.spec = spec AND before.timezone = timezone THEN
            row.rule := before.rule;
            row.next_due := before.next_due;
            row.next_run_at := before.next_run_at;
            row.last_due := before.last_due;
            row.fired := before.fired;
        ELSE
            row.rule := aside.schedule_rule(spec, timezone, at);
            row.next_due := (aside.schedule_dues(row.rule, timezone, 1, at))[1];
            IF row.rule <> 'reboot' AND (row.next_due IS NULL OR row.next_due > until) THEN
                RAISE EXCEPTION 'schedule specification "%" can never fire', spec USING ERRCODE = '22023',
                    DETAIL = CASE WHEN row.next_due IS NULL THEN 'No due time is left.' ELSE format('It is first due at %s, and ends at %s.', row.next_due, until) END;
            END IF;
            row.next_run_at := row.next_due + coalesce(jitter, interval '0') * random();
            row.last_due := CASE row.rule WHEN 'reboot' THEN at END;
            row.fired := 0;
        END IF;
        IF before.id IS NOT NULL THEN
            UPDATE aside.schedule s SET (spec, rule, timezone, command, overlap, misfire, misfire_deadline, max_attempts, backoff, timeout, jitter,
                    until, max_runs, priority, database, history, paused, revision, next_due, next_run_at, last_due, fired)
                = (schedule_set.spec, row.rule, schedule_set.timezone, schedule_set.command, schedule_set.overlap, schedule_set.misfire,
                    schedule_set.misfire_deadline, schedule_set.max_attempts, schedule_set.backoff, schedule_set.timeout, schedule_set.jitter,
                    schedule_set.until, schedule_set.max_runs, schedule_set.priority, row.database, schedule_set.history,
                    NOT enabled, s.revision + 1, row.next_due, row.next_run_at, row.last_due, row.fired)
                WHERE s.id = before.id;
            RETURN before.id;
        END IF;
        quota := current_setting('aside.max_schedules_per_role')::int;
        IF quota > 0 AND (SELECT count(*) FROM aside.schedule_owners s WHERE s.role = caller) >= quota THEN
            RAISE EXCEPTION 'too many schedules of role "%"', caller_name USING ERRCODE = '53400',
                DETAIL = format('The limit is %s.', quota), HINT = 'Consider increasing "aside.max_schedules_per_role".';
        END IF;
        row.id := aside.definition_number('schedule', name);
        INSERT INTO aside.schedule (id, name, owner, spec, rule, timezone, command, overlap, misfire, misfire_deadline, max_attempts, backoff,
            timeout, jitter, until, max_runs, priority, database, history, paused, next_due, next_run_at, last_due, maker) OVERRIDING SYSTEM VALUE
        VALUES (row.id, name, caller_name, spec, row.rule, timezone, command, overlap, misfire, misfire_deadline, max_attempts, backoff,
            timeout, jitter, until, max_runs, priority, row.database, history, NOT enabled, row.next_due, row.next_run_at, row.last_due, caller)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN row.id;
        END IF;
        -- Another session has made it since, and this one replaces it. Or the role once made one that has ended, or is another's now.
        PERFORM aside.schedule_end(e.id) FROM aside.definition_free_name('schedule', name, caller) e (id);
    END LOOP;
END $$;

CREATE FUNCTION aside.schedule_drop(caller oid, name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM aside.schedule_end(aside.definition_locked(caller, 'schedule', name));
    RETURN true;
END $$;
CREATE FUNCTION aside.schedule_pause(caller oid, name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.schedule := aside.schedule_of(caller, name);
BEGIN
    UPDATE aside.schedule s SET paused = true, revision = s.revision + 1 WHERE s.id = found.id;
    RETURN NOT found.paused;
END $$;
CREATE FUNCTION aside.schedule_resume(caller oid, name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found aside.schedule := aside.schedule_of(caller, name);
BEGIN
    UPDATE aside.schedule s SET paused = false, revision = s.revision + 1 WHERE s.id = found.id;
    RETURN found.paused;
END $$;
CREATE FUNCTION aside.schedule_run_now(caller oid, name text) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its bigint := aside.definition_locked(caller, 'schedule', name);
    run bigint := nextval('aside.schedule_run_id');
BEGIN
    INSERT INTO aside.schedule_run (id, attempt, schedule, due, manual, state, not_before)
        VALUES (run, 1, its, clock_timestamp(), true, 'waiting', clock_timestamp());
    RETURN run;
END $$;
-- The newest attempt of a run, if the role may see the run.
CREATE FUNCTION aside.schedule_run_of(caller oid, run bigint) RETURNS aside.schedule_run LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its aside.schedule_run;
BEGIN
    IF run IS NULL THEN
        RAISE EXCEPTION 'run of a schedule must not be null' USING ERRCODE = '22004';
    END IF;
    SELECT r.* INTO its FROM aside.schedule_run r WHERE r.id = run ORDER BY r.attempt DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % of a schedule does not exist', run USING ERRCODE = '42704';
    END IF;
    IF NOT EXISTS (SELECT FROM aside.schedule_owners s, pg_roles c WHERE s.id = its.schedule AND c.oid = caller
            AND (c.rolsuper OR pg_has_role(caller, s.role, 'USAGE'))) THEN
        RAISE EXCEPTION 'permission denied for run % of a schedule', run USING ERRCODE = '42501';
    END IF;
    RETURN its;
END $$;
CREATE FUNCTION aside.schedule_cancel_run(caller oid, run bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its aside.schedule_run := aside.schedule_run_of(caller, run);
BEGIN
    UPDATE aside.schedule_run r SET cancel = true WHERE r.id = its.id AND r.attempt = its.attempt AND r.state IN ('waiting', 'running');
    RETURN FOUND;
END $$;
CREATE FUNCTION aside.schedule_run_ended(caller oid, run bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its aside.schedule_run := aside.schedule_run_of(caller, run);
BEGIN
    IF EXISTS (SELECT FROM aside.schedule_run r WHERE r.id = run AND r.state IN ('waiting', 'running') AND aside.changed_here(r.xmin)) THEN
        RAISE EXCEPTION 'what this transaction has asked of run % of a schedule is done only when it has committed', run USING ERRCODE = '55000',
            HINT = 'Wait for it in a later transaction.';
    END IF;
    RETURN its.state NOT IN ('waiting', 'running');
END $$;

COMMENT ON FUNCTION aside.schedule_set(oid, text, text, text, text, text, text, interval, int, interval, interval, interval, timestamptz, int, int,
    name, text, boolean) IS 'does what schedule_set says, for a role';
COMMENT ON FUNCTION aside.schedule_drop(oid, text) IS 'does what schedule_drop says, for a role';
COMMENT ON FUNCTION aside.schedule_pause(oid, text) IS 'does what schedule_pause says, for a role';
COMMENT ON FUNCTION aside.schedule_resume(oid, text) IS 'does what schedule_resume says, for a role';
COMMENT ON FUNCTION aside.schedule_run_now(oid, text) IS 'does what schedule_run_now says, for a role';
COMMENT ON FUNCTION aside.schedule_run_of(oid, bigint) IS 'the newest attempt of a run, if the role may see it';
COMMENT ON FUNCTION aside.schedule_cancel_run(oid, bigint) IS 'does what schedule_cancel_run says, for a role';
COMMENT ON FUNCTION aside.schedule_run_ended(oid, bigint) IS 'true if a run has ended';

CREATE FUNCTION schedule_set(name text, spec text, command text, timezone text DEFAULT pg_catalog.current_setting('TimeZone'),
    overlap text DEFAULT 'skip', misfire text DEFAULT 'once', misfire_deadline interval DEFAULT NULL, max_attempts int DEFAULT 1,
    backoff interval DEFAULT '10 seconds', timeout interval DEFAULT NULL, jitter interval DEFAULT NULL, until timestamptz DEFAULT NULL,
    max_runs int DEFAULT NULL, priority int DEFAULT 0, database name DEFAULT pg_catalog.current_database(), history text DEFAULT 'all',
    enabled boolean DEFAULT true)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_forward';
CREATE FUNCTION schedule_drop(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_forward';
CREATE FUNCTION schedule_pause(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_forward';
CREATE FUNCTION schedule_resume(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_forward';
CREATE FUNCTION schedule_run_now(name text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_forward';
CREATE FUNCTION schedule_cancel_run(run bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_forward';
CREATE FUNCTION schedule_wait(run bigint, timeout interval DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_wait';
CREATE FUNCTION schedule_explain(spec text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_words';
CREATE FUNCTION schedule_preview(spec text, timezone text DEFAULT pg_catalog.current_setting('TimeZone'), count int DEFAULT 10,
    after timestamptz DEFAULT pg_catalog.clock_timestamp()) RETURNS SETOF timestamptz
LANGUAGE sql STABLE STRICT PARALLEL UNSAFE ROWS 10 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
    $$ SELECT pg_catalog.unnest(aside.schedule_dues(aside.schedule_rule(spec, timezone, after), timezone, count, after)) $$;

COMMENT ON FUNCTION schedule_set(text, text, text, text, text, text, interval, int, interval, interval, interval, timestamptz, int, int, name, text,
    boolean) IS 'create or replace the schedule of that name; the server runs its command as the current role; returns the number of the schedule';
COMMENT ON FUNCTION schedule_drop(text) IS 'delete a schedule and its history; cancels runs that have not ended';
COMMENT ON FUNCTION schedule_pause(text) IS 'pause a schedule: no further run begins; false if the schedule was paused already';
COMMENT ON FUNCTION schedule_resume(text) IS 'resume a paused schedule; its misfire rule says what happens to due times that were missed; false if it was not paused';
COMMENT ON FUNCTION schedule_run_now(text) IS 'run the command of a schedule once, when this transaction has committed and no other run of the schedule goes on; returns the number of the run';
COMMENT ON FUNCTION schedule_cancel_run(bigint) IS 'cancel a run; false if the run has ended already';
COMMENT ON FUNCTION schedule_wait(bigint, interval) IS 'wait until a run has ended; false if the timeout comes first';
COMMENT ON FUNCTION schedule_explain(text) IS 'say in words what a specification means';
COMMENT ON FUNCTION schedule_preview(text, text, int, timestamptz) IS 'list the next due times of a specification after a time';

GRANT EXECUTE ON FUNCTION
    schedule_set(text, text, text, text, text, text, interval, int, interval, interval, interval, timestamptz, int, int, name, text, boolean),
    schedule_drop(text), schedule_pause(text), schedule_resume(text), schedule_run_now(text), schedule_cancel_run(bigint),
    schedule_wait(bigint, interval), schedule_explain(text), schedule_preview(text, text, int, timestamptz)
TO aside_user;

-- What users read.
CREATE VIEW aside.schedules WITH (security_barrier) AS
    SELECT s.id, s.name, coalesce(pg_catalog.pg_get_userbyid(s.role), s.owner) AS owner, s.spec, s.timezone,
        CASE WHEN a.may THEN s.command END AS command, coalesce(s.database, pg_catalog.current_database()) AS database,
        CASE WHEN r.state IN ('waiting', 'running') THEN r.state WHEN s.paused THEN 'paused'
            WHEN s.next_run_at IS NULL AND s.rule <> 'reboot' AND s.rule NOT LIKE 'after %' THEN 'ended' ELSE 'scheduled' END AS state,
        CASE WHEN NOT s.paused THEN s.next_run_at END AS next_run_at, r.due AS last_due, r.started AS last_started, r.finished AS last_finished,
        r.state AS last_state, CASE WHEN a.may THEN r.message END AS last_message, s.failures AS consecutive_failures, s.fired AS runs,
        s.overlap, s.misfire, s.misfire_deadline, s.max_attempts, s.backoff, s.timeout, s.jitter, s.until, s.max_runs, s.priority, s.history,
        s.created,
        coalesce(aside.definition_reason(s.inert, s.owner, s.role), aside.schedule_unreadable(s.rule, s.timezone), (SELECT aside.coordinator_reason())) AS reason
    FROM aside.schedule_owners s
        LEFT JOIN LATERAL (SELECT * FROM aside.schedule_run r WHERE r.schedule = s.id AND r.state <> 'skipped' ORDER BY r.id DESC, r.attempt DESC LIMIT 1) r ON true,
        LATERAL (SELECT coalesce(pg_catalog.pg_has_role(s.role, 'USAGE'), false)
            OR (SELECT u.rolsuper FROM pg_catalog.pg_roles u WHERE u.rolname = current_user) AS may) a;
CREATE VIEW aside.schedule_runs WITH (security_barrier) AS
    SELECT r.id AS run, r.attempt, s.name AS schedule, pg_catalog.pg_get_userbyid(s.role) AS owner, r.due, r.started, r.finished,
        r.finished - r.started AS duration, r.state, r.missed, r.manual, r.rows, r.command_tag, r.sqlstate, r.message, r.detail, r.hint,
        r.context, r.messages, r.pid, CASE WHEN r.state = 'waiting' THEN r.not_before END AS not_before
    FROM aside.schedule_run r JOIN aside.schedule_owners s ON s.id = r.schedule
    WHERE pg_catalog.pg_has_role(s.role, 'USAGE') OR (SELECT u.rolsuper FROM pg_catalog.pg_roles u WHERE u.rolname = current_user);
COMMENT ON VIEW aside.schedules IS
    'schedules: the command, the next run, and how the last run went';
COMMENT ON COLUMN aside.schedules.id IS 'Number of the schedule.';
COMMENT ON COLUMN aside.schedules.name IS 'Name of the schedule.';
COMMENT ON COLUMN aside.schedules.owner IS 'Role that the command runs as.';
COMMENT ON COLUMN aside.schedules.spec IS 'Specification, as it was given to schedule_set.';
COMMENT ON COLUMN aside.schedules.timezone IS 'Time zone in which the specification is read.';
COMMENT ON COLUMN aside.schedules.command IS 'Command that runs. Shown to those who may act as the owner.';
COMMENT ON COLUMN aside.schedules.database IS 'Database in which the command runs.';
COMMENT ON COLUMN aside.schedules.state IS 'Scheduled, waiting, running, paused, or ended.';
COMMENT ON COLUMN aside.schedules.next_run_at IS 'Time of the next run. NULL while the schedule is paused.';
COMMENT ON COLUMN aside.schedules.last_due IS 'Time at which the last run was due.';
COMMENT ON COLUMN aside.schedules.last_started IS 'Time when the last run began.';
COMMENT ON COLUMN aside.schedules.last_finished IS 'Time when the last run ended.';
COMMENT ON COLUMN aside.schedules.last_state IS 'State of the last run.';
COMMENT ON COLUMN aside.schedules.last_message IS 'Message of the error that ended the last run. Shown to those who may act as the owner.';
COMMENT ON COLUMN aside.schedules.consecutive_failures IS 'Runs that have failed since the last successful one.';
COMMENT ON COLUMN aside.schedules.runs IS 'Number of due times that became runs.';
COMMENT ON COLUMN aside.schedules.overlap IS 'What happens when a run is due while another one has not ended: skip, queue, allow, or cancel_running.';
COMMENT ON COLUMN aside.schedules.misfire IS 'What happens to due times that were missed: once, skip, or all.';
COMMENT ON COLUMN aside.schedules.misfire_deadline IS 'A due time that is missed by more than this is skipped.';
COMMENT ON COLUMN aside.schedules.max_attempts IS 'Number of attempts of a run.';
COMMENT ON COLUMN aside.schedules.backoff IS 'Wait after the first failed attempt. Each later wait is twice as long.';
COMMENT ON COLUMN aside.schedules.timeout IS 'Time that a run may take.';
COMMENT ON COLUMN aside.schedules.jitter IS 'A run begins later than it is due, by a random time up to this one.';
COMMENT ON COLUMN aside.schedules.until IS 'Time after which no run is due.';
COMMENT ON COLUMN aside.schedules.max_runs IS 'Number of runs after which the schedule ends.';
COMMENT ON COLUMN aside.schedules.priority IS 'Priority of the schedule. A higher one begins first if workers are few.';
COMMENT ON COLUMN aside.schedules.history IS 'Runs that are kept: all, failures, or none.';
COMMENT ON COLUMN aside.schedules.created IS 'Time when the schedule was made.';
COMMENT ON COLUMN aside.schedules.reason IS 'Why the schedule cannot run now. NULL if it can.';
COMMENT ON VIEW aside.schedule_runs IS
    'runs of schedules: one row for each attempt, and one for each due time that was skipped; kept for aside.history_retention';
COMMENT ON COLUMN aside.schedule_runs.run IS 'Number of the run.';
COMMENT ON COLUMN aside.schedule_runs.attempt IS 'Number of the attempt.';
COMMENT ON COLUMN aside.schedule_runs.schedule IS 'Name of the schedule.';
COMMENT ON COLUMN aside.schedule_runs.owner IS 'Role that the command ran as.';
COMMENT ON COLUMN aside.schedule_runs.due IS 'Time at which the run was due.';
COMMENT ON COLUMN aside.schedule_runs.started IS 'Time when the attempt began.';
COMMENT ON COLUMN aside.schedule_runs.finished IS 'Time when the attempt ended.';
COMMENT ON COLUMN aside.schedule_runs.duration IS 'How long the attempt took.';
COMMENT ON COLUMN aside.schedule_runs.state IS 'State of the attempt: waiting, running, done, failed, skipped, cancelled, timed_out, or lost.';
COMMENT ON COLUMN aside.schedule_runs.missed IS 'Due times before this one that were missed, and that this run stands for.';
COMMENT ON COLUMN aside.schedule_runs.manual IS 'True if schedule_run_now asked for the run.';
COMMENT ON COLUMN aside.schedule_runs.rows IS 'Rows that the last statement processed.';
COMMENT ON COLUMN aside.schedule_runs.command_tag IS 'Tag of the last statement.';
COMMENT ON COLUMN aside.schedule_runs.sqlstate IS 'SQLSTATE of the error.';
COMMENT ON COLUMN aside.schedule_runs.message IS 'Message of the error.';
COMMENT ON COLUMN aside.schedule_runs.detail IS 'Detail of the error.';
COMMENT ON COLUMN aside.schedule_runs.hint IS 'Hint of the error.';
COMMENT ON COLUMN aside.schedule_runs.context IS 'Context of the error.';
COMMENT ON COLUMN aside.schedule_runs.messages IS 'Messages that the command printed.';
COMMENT ON COLUMN aside.schedule_runs.pid IS 'Process that ran the command.';
COMMENT ON COLUMN aside.schedule_runs.not_before IS 'Time before which a waiting run does not begin.';
GRANT SELECT ON aside.schedules, aside.schedule_runs TO aside_user;

-- Whoever handles channel aside.failed, and may act for the schedule's owner, hears of a run that failed for good.
CREATE FUNCTION aside.schedule_tell_failed(run bigint, attempt int) RETURNS int LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT aside.tell_failed(s.role, 0, jsonb_build_object('kind', 'schedule', 'schedule', s.name, 'run', r.id, 'state', r.state,
            'attempts', r.attempt, 'sqlstate', r.sqlstate, 'message', r.message, 'detail', r.detail, 'hint', r.hint, 'context', r.context))
        FROM aside.schedule_run r JOIN aside.schedule_owners s ON s.id = r.schedule
        WHERE r.id = run AND r.attempt = schedule_tell_failed.attempt $$;
COMMENT ON FUNCTION aside.schedule_tell_failed(bigint, int) IS 'Tells the handlers of channel aside.failed of a run that failed and is not tried again.';

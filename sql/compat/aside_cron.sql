/* aside_cron: schema cron as pg_cron 1.6 has it, over schedules. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION aside_cron" to load this file. \quit

-- A job is a schedule. The schedule's name is "cron JOBID", and "cron JOBID JOBNAME" if the job has a name.
-- A job behaves as in pg_cron. Its times are read in cron.timezone, by default GMT. If a job comes due while it runs, it runs once
-- more when it ends. A run that the server missed does not take place.

-- Nothing that this script names is looked for where users make things. A type of a function's name would stand for the function.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA cron;
COMMENT ON SCHEMA cron IS 'jobs, as pg_cron has them';
CREATE SEQUENCE cron.jobid_seq;
COMMENT ON SEQUENCE cron.jobid_seq IS 'Gives each job its number.';

-- The extension does not know the schema of pg_aside. So it makes pg_aside's functions once more, here. The C function finds out by
-- the name of the SQL function which one is called.
CREATE FUNCTION cron.schedule_set(name text, spec text, command text, timezone text, overlap text, misfire text, misfire_deadline interval,
    max_attempts int, backoff interval, timeout interval, jitter interval, until timestamptz, max_runs int, priority int, database name,
    history text, enabled boolean) RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_forward';
COMMENT ON FUNCTION cron.schedule_set(text, text, text, text, text, text, interval, int, interval, interval, interval, timestamptz, int, int, name, text,
    boolean) IS 'schedule_set of pg_aside';
CREATE FUNCTION cron.schedule_drop(name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_forward';
COMMENT ON FUNCTION cron.schedule_drop(text) IS 'schedule_drop of pg_aside';
CREATE FUNCTION cron.schedule_explain(spec text) RETURNS text LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_schedule_words';
COMMENT ON FUNCTION cron.schedule_explain(text) IS 'schedule_explain of pg_aside';

-- A user sees the jobs of the roles that the user may act for.
CREATE VIEW cron.job WITH (security_barrier) AS
    SELECT j.parts[1]::bigint AS jobid,
        CASE WHEN s.spec ~ '^every \d+ seconds$' THEN substr(s.spec, 7) ELSE s.spec END AS schedule,
        s.command, 'localhost'::text AS nodename, current_setting('port')::int AS nodeport, s.database::text AS database,
        s.owner::text AS username, s.state <> 'paused' AND NOT s.paused AS active, j.parts[2] AS jobname
    FROM (SELECT v.*, d.paused FROM aside.schedules v JOIN aside.schedule d ON d.id = v.id) s,
        LATERAL (SELECT regexp_match(s.name, '^cron (\d+)(?: (.*))?$') AS parts) j
    WHERE j.parts IS NOT NULL AND s.command IS NOT NULL;
COMMENT ON VIEW cron.job IS 'jobs, as pg_cron has them; rows can be inserted, also by COPY, updated and deleted';
COMMENT ON COLUMN cron.job.jobid IS 'Number of the job.';
COMMENT ON COLUMN cron.job.schedule IS 'When the job runs, as pg_cron writes it.';
COMMENT ON COLUMN cron.job.command IS 'Command that the job runs.';
COMMENT ON COLUMN cron.job.nodename IS 'Always localhost. Jobs run on this server.';
COMMENT ON COLUMN cron.job.nodeport IS 'Port of this server.';
COMMENT ON COLUMN cron.job.database IS 'Database in which the command runs.';
COMMENT ON COLUMN cron.job.username IS 'Role that the command runs as.';
COMMENT ON COLUMN cron.job.active IS 'False while the job is paused.';
COMMENT ON COLUMN cron.job.jobname IS 'Name of the job. NULL if the job has none.';

CREATE VIEW cron.job_run_details WITH (security_barrier) AS
    SELECT j.jobid, r.run AS runid, r.pid AS job_pid, j.database, r.owner::text AS username, j.command,
        CASE r.state WHEN 'waiting' THEN 'starting' WHEN 'running' THEN 'running' WHEN 'done' THEN 'succeeded' ELSE 'failed' END AS status,
        CASE WHEN r.state = 'done' THEN r.command_tag WHEN r.state IN ('waiting', 'running') THEN NULL
            ELSE coalesce('ERROR:  ' || r.message, r.state) END AS return_message,
        r.started AS start_time, r.finished AS end_time
    FROM aside.schedule_runs r JOIN (SELECT 'cron ' || c.jobid || coalesce(' ' || c.jobname, '') AS name, c.* FROM cron.job c) j
        ON j.name = r.schedule AND j.username = r.owner
    WHERE r.state <> 'skipped';
COMMENT ON VIEW cron.job_run_details IS 'runs of jobs, as pg_cron has them; rows can be deleted';
COMMENT ON COLUMN cron.job_run_details.jobid IS 'Number of the job.';
COMMENT ON COLUMN cron.job_run_details.runid IS 'Number of the run.';
COMMENT ON COLUMN cron.job_run_details.job_pid IS 'Process that ran the command.';
COMMENT ON COLUMN cron.job_run_details.database IS 'Database in which the command ran.';
COMMENT ON COLUMN cron.job_run_details.username IS 'Role that the command ran as.';
COMMENT ON COLUMN cron.job_run_details.command IS 'Command that the job runs now.';
COMMENT ON COLUMN cron.job_run_details.status IS 'State of the run: starting, running, succeeded, or failed.';
COMMENT ON COLUMN cron.job_run_details.return_message IS 'Command tag of a run that succeeded, or message of the error that ended the run.';
COMMENT ON COLUMN cron.job_run_details.start_time IS 'Time when the run began.';
COMMENT ON COLUMN cron.job_run_details.end_time IS 'Time when the run ended.';

-- pg_cron and pg_aside write three things differently. pg_cron writes "30 seconds", "@restart" for what pg_aside knows only as
-- "@reboot", and "$" for the last day of the month.
CREATE FUNCTION cron.spec_of(schedule text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN schedule ~* '^\s*[1-5]?\d\s+seconds?\s*$' THEN 'every ' || (regexp_match(schedule, '\d+'))[1] || ' seconds'
        WHEN schedule ~* '^\s*@restart\s*$' THEN '@reboot'
        ELSE pg_catalog.replace(schedule, '$', 'L') END $$;
COMMENT ON FUNCTION cron.spec_of(text) IS 'turns a schedule of pg_cron into a specification of pg_aside';

CREATE FUNCTION cron.set_job(jobid bigint, jobname text, schedule text, command text, database text, username text, active boolean)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := pg_catalog.current_setting('role');
    spec text := cron.spec_of(schedule);
    obstacle text;
BEGIN
    IF username IS DISTINCT FROM current_user::text THEN
        IF NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user) THEN
            RAISE EXCEPTION 'must be superuser to create a job for another role' USING ERRCODE = '42501';
        END IF;
        SELECT aside.definition_obstacle(r.oid) INTO obstacle FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) username::name;
        IF obstacle IS NOT NULL THEN
            RAISE EXCEPTION 'permission denied to create a job for role "%"', username USING ERRCODE = '42501',
                DETAIL = pg_catalog.format('Nothing would run: %s.', obstacle);
        END IF;
        PERFORM pg_catalog.set_config('role', username, true);
    END IF;
    -- What is wrong takes no number.
    PERFORM cron.schedule_explain(spec);
    jobid := coalesce(jobid, pg_catalog.nextval('cron.jobid_seq'));
    PERFORM cron.schedule_set('cron ' || jobid || coalesce(' ' || jobname, ''), spec, command,
        coalesce(nullif(pg_catalog.current_setting('cron.timezone', true), ''), 'GMT'), 'queue', 'skip', NULL, 1, '10 seconds', NULL, NULL, NULL, NULL, 0,
        database::name, 'all', active);
    PERFORM pg_catalog.set_config('role', before, true);
    RETURN jobid;
END $$;
COMMENT ON FUNCTION cron.set_job(bigint, text, text, text, text, text, boolean) IS 'makes or replaces the schedule of a job; a job without a number gets one';

CREATE FUNCTION cron.drop_job(job cron.job) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before text := pg_catalog.current_setting('role');
BEGIN
    IF job.username IS DISTINCT FROM current_user::text THEN
        PERFORM pg_catalog.set_config('role', job.username, true);
    END IF;
    PERFORM cron.schedule_drop('cron ' || job.jobid || coalesce(' ' || job.jobname, ''));
    PERFORM pg_catalog.set_config('role', before, true);
    RETURN true;
END $$;
COMMENT ON FUNCTION cron.drop_job(cron.job) IS 'drops the schedule of a job';

CREATE FUNCTION cron.write_job() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM cron.drop_job(OLD);
        RETURN OLD;
    END IF;
    IF coalesce(NEW.nodename, 'localhost') NOT IN ('localhost', '127.0.0.1', '::1', '') THEN
        RAISE EXCEPTION 'jobs run on this server only' USING ERRCODE = '0A000',
            DETAIL = pg_catalog.format('nodename is "%s", and may be localhost, 127.0.0.1, ::1 or empty.', NEW.nodename);
    END IF;
    -- Numbers are everybody's: with another's number, or the last one, a job would be in the way of the jobs of others.
    IF NEW.jobid IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.jobid <> OLD.jobid)
        AND NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
        RAISE EXCEPTION 'must be superuser to give a job its number' USING ERRCODE = '42501', HINT = 'Leave out jobid.';
    END IF;
    IF TG_OP = 'INSERT' AND NEW.jobid IS NOT NULL THEN
        -- A restored row brings the number of its job. No new job may get that number.
        PERFORM pg_catalog.setval('cron.jobid_seq', greatest(NEW.jobid, q.last_value)) FROM cron.jobid_seq q;
    END IF;
    NEW.jobid := coalesce(NEW.jobid, pg_catalog.nextval('cron.jobid_seq'));
    NEW.username := coalesce(NEW.username, current_user::text);
    IF EXISTS (SELECT FROM cron.job j WHERE j.jobid = NEW.jobid AND (TG_OP = 'INSERT' OR NEW.jobid <> OLD.jobid)) THEN
        RAISE EXCEPTION 'job % already exists', NEW.jobid USING ERRCODE = '23505';
    END IF;
    IF EXISTS (SELECT FROM cron.job j WHERE j.jobname = NEW.jobname AND j.username = NEW.username
            AND (TG_OP = 'INSERT' OR (NEW.jobname, NEW.username) IS DISTINCT FROM (OLD.jobname, OLD.username))) THEN
        RAISE EXCEPTION 'job "%" of role "%" already exists', NEW.jobname, NEW.username USING ERRCODE = '23505';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.jobid, NEW.jobname, NEW.username) IS DISTINCT FROM (OLD.jobid, OLD.jobname, OLD.username) THEN
        PERFORM cron.drop_job(OLD);
    END IF;
    PERFORM cron.set_job(NEW.jobid, NEW.jobname, NEW.schedule, NEW.command, coalesce(NEW.database, pg_catalog.current_database()::text),
        NEW.username, coalesce(NEW.active, true));
    RETURN NEW;
END $$;
COMMENT ON FUNCTION cron.write_job() IS 'makes, changes or drops the schedule of each job that a user writes to cron.job';
CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE OR DELETE ON cron.job FOR EACH ROW EXECUTE FUNCTION cron.write_job();

-- The function runs as the owner of the tables. That is safe: the view shows a user only the runs that the user may delete.
CREATE FUNCTION cron.forget_run() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM aside.schedule_run r WHERE r.id = OLD.runid AND r.finished IS NOT NULL;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION cron.forget_run() IS 'deletes a run from the history; keeps it if it has not ended';
CREATE TRIGGER forget INSTEAD OF DELETE ON cron.job_run_details FOR EACH ROW EXECUTE FUNCTION cron.forget_run();

CREATE FUNCTION cron.schedule_in_database(job_name text, schedule text, command text, database text, username text DEFAULT NULL,
    active boolean DEFAULT true) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_user text := coalesce(username, current_user::text);
    known bigint;
BEGIN
    SELECT j.jobid INTO known FROM cron.job j WHERE j.jobname OPERATOR(pg_catalog.=) job_name AND j.username OPERATOR(pg_catalog.=) of_user;
    RETURN cron.set_job(known, job_name, schedule, command, database, of_user, active);
END $$;
COMMENT ON FUNCTION cron.schedule_in_database(text, text, text, text, text, boolean) IS 'make or replace the job of that name, in a database, as a role; returns its number';
CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp AS
    $$ SELECT cron.schedule_in_database(job_name, schedule, command, pg_catalog.current_database()::text) $$;
COMMENT ON FUNCTION cron.schedule(text, text, text) IS 'make or replace the job of that name; returns its number';
CREATE FUNCTION cron.schedule(schedule text, command text) RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp AS
    $$ SELECT cron.set_job(NULL, NULL, schedule, command, pg_catalog.current_database()::text, current_user::text, true) $$;
COMMENT ON FUNCTION cron.schedule(text, text) IS 'make a job without a name; returns its number';

-- A user may give any name to a schedule. So several roles may have a schedule that looks like the job of this number.
CREATE FUNCTION cron.job_of(job_id bigint, missing text) RETURNS cron.job LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    jobs cron.job[] := (SELECT pg_catalog.array_agg(j) FROM cron.job j WHERE j.jobid OPERATOR(pg_catalog.=) job_id);
    mine cron.job[] := (SELECT pg_catalog.array_agg(j) FROM pg_catalog.unnest(jobs) j WHERE j.username OPERATOR(pg_catalog.=) current_user::text);
BEGIN
    jobs := coalesce(mine, jobs);
    IF jobs IS NULL THEN
        RAISE EXCEPTION '%', missing USING ERRCODE = 'XX000';
    END IF;
    IF pg_catalog.cardinality(jobs) > 1 THEN
        RAISE EXCEPTION 'job % is ambiguous', job_id USING ERRCODE = '42725', DETAIL = 'Several schedules look like that job.',
            HINT = 'Use schedule_drop() as the owner of the schedule that you mean.';
    END IF;
    RETURN jobs[1];
END $$;
COMMENT ON FUNCTION cron.job_of(bigint, text) IS 'the job of that number: the current role''s, or else that of a role that it may act for';
CREATE FUNCTION cron.unschedule(job_id bigint) RETURNS boolean LANGUAGE sql SET search_path = pg_catalog, pg_temp AS
    $$ SELECT cron.drop_job(cron.job_of(job_id, pg_catalog.format('could not find valid entry for job %s', job_id))) $$;
COMMENT ON FUNCTION cron.unschedule(bigint) IS 'drop the job of that number';
CREATE FUNCTION cron.unschedule(job_name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job cron.job;
BEGIN
    SELECT j.* INTO job FROM cron.job j WHERE j.jobname OPERATOR(pg_catalog.=) job_name AND j.username OPERATOR(pg_catalog.=) current_user::text;
    IF job.jobid IS NULL THEN
        RAISE EXCEPTION 'could not find valid entry for job ''%''', job_name USING ERRCODE = 'XX000';
    END IF;
    RETURN cron.drop_job(job);
END $$;
COMMENT ON FUNCTION cron.unschedule(text) IS 'drop the current role''s job of that name';

CREATE FUNCTION cron.alter_job(job_id bigint, schedule text DEFAULT NULL, command text DEFAULT NULL, database text DEFAULT NULL,
    username text DEFAULT NULL, active boolean DEFAULT NULL) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    job cron.job;
BEGIN
    IF pg_catalog.num_nonnulls(schedule, command, database, username, active) OPERATOR(pg_catalog.=) 0 THEN
        RAISE EXCEPTION 'no updates specified' USING ERRCODE = 'XX000', HINT = 'You must specify at least one job attribute to change when calling alter_job';
    END IF;
    IF username IS NOT NULL AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user) THEN
        RAISE EXCEPTION 'must be superuser to alter username' USING ERRCODE = '42501';
    END IF;
    job := cron.job_of(job_id, pg_catalog.format('Job %s does not exist or you don''t own it', job_id));
    UPDATE cron.job j SET schedule = coalesce(alter_job.schedule, j.schedule), command = coalesce(alter_job.command, j.command),
        database = coalesce(alter_job.database, j.database), username = coalesce(alter_job.username, j.username),
        active = coalesce(alter_job.active, j.active) WHERE j.jobid OPERATOR(pg_catalog.=) job_id AND j.username OPERATOR(pg_catalog.=) job.username;
END $$;
COMMENT ON FUNCTION cron.alter_job(bigint, text, text, text, text, boolean) IS 'change a job; an argument that is NULL changes nothing';

GRANT USAGE ON SCHEMA cron TO aside_user;
GRANT USAGE, SELECT ON SEQUENCE cron.jobid_seq TO aside_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON cron.job TO aside_user;
GRANT SELECT, DELETE ON cron.job_run_details TO aside_user;
DO $grant$
DECLARE
    function pg_catalog.regprocedure;
BEGIN
    FOR function IN SELECT d.objid FROM pg_catalog.pg_depend d, pg_catalog.pg_extension e
        WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
            AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid OPERATOR(pg_catalog.=) e.oid
            AND d.deptype OPERATOR(pg_catalog.=) 'e' AND e.extname OPERATOR(pg_catalog.=) 'aside_cron'
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
        -- Who may execute a function of triggers may put it on a table of his own.
        IF function NOT IN ('cron.write_job()', 'cron.forget_run()') THEN
            EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO aside_user', function);
        END IF;
    END LOOP;
END
$grant$;
SELECT pg_catalog.pg_extension_config_dump('cron.jobid_seq', '');

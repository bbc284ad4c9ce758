-- Role: the tables and procedures of the benchmark; each procedure times one peer and keeps what it found.
-- Called by: bench/run, once.
CREATE EXTENSION pg_aside;
CREATE EXTENSION dblink;
CREATE TABLE t (n int);
CREATE TABLE result (part text, peer text, round int, value float8);

-- dblink's way back to this server: the same private socket.
CREATE FUNCTION here() RETURNS text STABLE LANGUAGE sql AS $$
    SELECT format('host=%s port=%s dbname=%s user=%s', current_setting('unix_socket_directories'),
                  current_setting('port'), current_database(), session_user)
$$;
CREATE FUNCTION us_since(since timestamptz) RETURNS float8 LANGUAGE sql AS $$
    SELECT extract(epoch FROM clock_timestamp() - since)::float8 * 1e6
$$;

-- Hot loop: n single-row INSERTs, each committed. A NULL round is a warm-up.
CREATE PROCEDURE hot_inproc(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..n LOOP
        INSERT INTO t VALUES (i);
        COMMIT;
    END LOOP;
    INSERT INTO result SELECT 'hot', 'inproc', round, us_since(since) / n WHERE round IS NOT NULL;
END $$;
CREATE PROCEDURE hot_aside(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..n LOOP
        PERFORM autonomous_exec('INSERT INTO t VALUES ($1)', i);
    END LOOP;
    INSERT INTO result SELECT 'hot', 'aside', round, us_since(since) / n WHERE round IS NOT NULL;
END $$;
CREATE PROCEDURE hot_dblink(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
BEGIN
    PERFORM dblink_connect('hot', here());
    since := clock_timestamp();
    FOR i IN 1..n LOOP
        PERFORM dblink_exec('hot', 'INSERT INTO t VALUES (' || i || ')');
    END LOOP;
    INSERT INTO result SELECT 'hot', 'dblink', round, us_since(since) / n WHERE round IS NOT NULL;
    PERFORM dblink_disconnect('hot');
END $$;
CREATE PROCEDURE hot_dblink_connect(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    conn text := here();
    since timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..least(n, 500) LOOP
        PERFORM dblink_exec(conn, 'INSERT INTO t VALUES (' || i || ')');
    END LOOP;
    INSERT INTO result SELECT 'hot', 'dblink_connect', round, us_since(since) / least(n, 500) WHERE round IS NOT NULL;
END $$;

-- One call after 10 ms of idleness, the peers by turns in one session; the median of n of each.
CREATE PROCEDURE idle(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
    aside float8[];
    dblink float8[];
BEGIN
    PERFORM dblink_connect('idle', here());
    FOR i IN 1..n LOOP
        PERFORM pg_sleep(0.01);
        since := clock_timestamp();
        PERFORM autonomous_exec('INSERT INTO t VALUES (1)');
        aside := aside || us_since(since);
        PERFORM pg_sleep(0.01);
        since := clock_timestamp();
        PERFORM dblink_exec('idle', 'INSERT INTO t VALUES (1)');
        dblink := dblink || us_since(since);
    END LOOP;
    PERFORM dblink_disconnect('idle');
    INSERT INTO result SELECT 'idle', 'aside', round, percentile_cont(0.5) WITHIN GROUP (ORDER BY v) FROM unnest(aside) v;
    INSERT INTO result SELECT 'idle', 'dblink', round, percentile_cont(0.5) WITHIN GROUP (ORDER BY v) FROM unnest(dblink) v;
END $$;

-- Rows of about 100 bytes, into a table or into an aggregate. The server collects the rows of every function in FROM before
-- it reads them, so a function that reads the table locally stands beside the plain SELECT: it has the very same sink.
CREATE PROCEDURE make_rows(n int) LANGUAGE plpgsql AS $$
BEGIN
    CREATE UNLOGGED TABLE big AS
        SELECT i::bigint AS id, i % 10000 AS customer, (i % 100000) / 100.0 AS amount, now() + i * interval '1 second' AS at,
               CASE i % 3 WHEN 0 THEN 'open' WHEN 1 THEN 'paid' ELSE 'shipped' END AS state, md5(i::text) AS note
        FROM generate_series(1, n) i;
    COMMIT;
    PERFORM count(*) FROM big; -- hint bits, for everyone
END $$;
CREATE FUNCTION local_rows() RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM big;
END $$;
CREATE PROCEDURE rows_into(sink text, peer text, round int) LANGUAGE plpgsql AS $$
DECLARE
    columns text := 's(id bigint, customer int, amount numeric, at timestamptz, state text, note text)';
    source text := CASE peer
        WHEN 'local' THEN '(SELECT * FROM big) s'
        WHEN 'function' THEN 'local_rows() AS ' || columns
        WHEN 'aside' THEN 'autonomous_query(''SELECT * FROM big'') AS ' || columns
        WHEN 'task' THEN 'async_result(async_exec(''SELECT * FROM big'')) AS ' || columns
        ELSE 'dblink(''rows'', ''SELECT * FROM big'') AS ' || columns
    END;
    since timestamptz;
BEGIN
    IF peer = 'dblink' THEN
        PERFORM dblink_connect('rows', here());
    END IF;
    since := clock_timestamp();
    IF sink = 'table' THEN
        EXECUTE 'CREATE UNLOGGED TABLE sink AS SELECT * FROM ' || source;
    ELSE
        EXECUTE 'SELECT count(note), sum(customer), max(at) FROM ' || source;
    END IF;
    INSERT INTO result VALUES ('rows-' || sink, peer, round, us_since(since) / 1000);
    IF sink = 'table' THEN
        DROP TABLE sink;
    END IF;
    IF peer = 'dblink' THEN
        PERFORM dblink_disconnect('rows');
    END IF;
END $$;

-- Memory: private anonymous pages of this session's process and of the worker that serves it.
CREATE PROCEDURE calls_exec(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        PERFORM autonomous_exec('INSERT INTO t VALUES ($1)', i);
    END LOOP;
END $$;
CREATE PROCEDURE calls_mixed(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n / 4 LOOP
        PERFORM autonomous_exec('INSERT INTO t VALUES ($1)', i);
        PERFORM * FROM autonomous_query('SELECT g, $1 FROM generate_series(1, 3) g', repeat('x', 100)) AS q(g int, x text);
        PERFORM autonomous_json('SELECT $1 AS i', i);
        BEGIN
            PERFORM autonomous_exec('SELECT 1 / $1', 0);
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
END $$;
CREATE FUNCTION anon_kb(pid int) RETURNS float8 LANGUAGE sql AS $$
    SELECT substring(pg_read_file('/proc/' || pid || '/status') FROM 'RssAnon:\s*(\d+)')::float8
$$;
CREATE FUNCTION worker_pid() RETURNS int LANGUAGE sql AS $$
    SELECT pid FROM autonomous_query('SELECT pg_backend_pid()') AS q(pid int)
$$;
CREATE PROCEDURE memory_before(what text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM anon_kb(pg_backend_pid());
    INSERT INTO result VALUES (what, 'worker pid', 0, worker_pid());
    INSERT INTO result VALUES (what, 'worker before', 0, anon_kb(worker_pid()));
    INSERT INTO result VALUES (what, 'caller before', 0, anon_kb(pg_backend_pid()));
END $$;
CREATE PROCEDURE memory_after(what text) LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT value FROM result WHERE part = what AND peer = 'worker pid') <> worker_pid() THEN
        RAISE WARNING 'another worker serves this session now: its growth says nothing';
    END IF;
    INSERT INTO result VALUES (what, 'caller after', 0, anon_kb(pg_backend_pid()));
    INSERT INTO result VALUES (what, 'worker after', 0, anon_kb(worker_pid()));
END $$;

-- Sessions: the same INSERT over one open session. A NULL round is a warm-up.
CREATE PROCEDURE session_aside(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
BEGIN
    PERFORM autonomous_session_open('hot');
    since := clock_timestamp();
    FOR i IN 1..n LOOP
        PERFORM autonomous_session_exec('hot', 'INSERT INTO t VALUES ($1)', i);
    END LOOP;
    INSERT INTO result SELECT 'session', 'aside', round, us_since(since) / n WHERE round IS NOT NULL;
    PERFORM autonomous_session_close('hot');
END $$;

-- Tasks: start and result of SELECT 1, beside a dblink connection for it; then a table's rows by way of a task.
CREATE PROCEDURE task_aside(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..n LOOP
        PERFORM * FROM async_result(async_exec('SELECT 1')) AS r(one int);
    END LOOP;
    INSERT INTO result SELECT 'task', 'aside', round, us_since(since) / n WHERE round IS NOT NULL;
END $$;
CREATE PROCEDURE task_dblink(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    conn text := here();
    since timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..n LOOP
        PERFORM * FROM dblink(conn, 'SELECT 1') AS r(one int);
    END LOOP;
    INSERT INTO result SELECT 'task', 'dblink', round, us_since(since) / n WHERE round IS NOT NULL;
END $$;
CREATE PROCEDURE many_tasks(n int) LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
    ok int;
BEGIN
    FOR i IN 1..n LOOP
        ids := ids || async_exec('INSERT INTO t VALUES ($1)', i);
    END LOOP;
    SELECT count(*) INTO ok FROM unnest(ids) id WHERE async_wait(id);
    SELECT count(*) INTO ok FROM aside.tasks WHERE id = ANY (ids) AND state = 'done';
    IF ok <> n THEN
        RAISE EXCEPTION '% of % tasks are done', ok, n;
    END IF;
END $$;

-- The language: a logging function beside autonomous_exec of its INSERT; a row trigger beside one that uses dblink.
CREATE FUNCTION log_it(n int) RETURNS void LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO t VALUES (n);
END $$;
CREATE PROCEDURE hot_routine(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..n LOOP
        PERFORM log_it(i);
    END LOOP;
    INSERT INTO result SELECT 'language', 'aside', round, us_since(since) / n WHERE round IS NOT NULL;
END $$;
CREATE PROCEDURE hot_exec(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..n LOOP
        PERFORM autonomous_exec('INSERT INTO t VALUES ($1)', i);
    END LOOP;
    INSERT INTO result SELECT 'language', 'exec', round, us_since(since) / n WHERE round IS NOT NULL;
END $$;
CREATE TABLE audited_aside (n int);
CREATE TABLE audited_dblink (n int);
CREATE FUNCTION audit_aside() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO t VALUES (new.n);
    RETURN NULL;
END $$;
CREATE FUNCTION audit_dblink() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dblink_exec('audit', 'INSERT INTO t VALUES (' || new.n || ')');
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT ON audited_aside FOR EACH ROW EXECUTE FUNCTION audit_aside();
CREATE TRIGGER audit AFTER INSERT ON audited_dblink FOR EACH ROW EXECUTE FUNCTION audit_dblink();
CREATE PROCEDURE audited(n int, peer text, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
BEGIN
    IF peer = 'dblink' THEN
        PERFORM dblink_connect('audit', here());
    END IF;
    since := clock_timestamp();
    EXECUTE format('INSERT INTO audited_%s SELECT generate_series(1, %s)', peer, n);
    INSERT INTO result VALUES ('trigger', peer, round, us_since(since) / n);
    IF peer = 'dblink' THEN
        PERFORM dblink_disconnect('audit');
    END IF;
END $$;

-- On a busy machine: processor time (us) of all processes of the server, those that have ended included, and how often those that live
-- were given a processor.
CREATE FUNCTION server_load(OUT run float8, OUT switches float8) LANGUAGE sql AS $$
    WITH p AS (
        SELECT string_to_array(pg_read_file('/proc/' || pid || '/schedstat', 0, 200, true), ' ') AS s FROM pg_stat_activity
    ), postmaster AS (
        SELECT string_to_array(regexp_replace(pg_read_file('/proc/' || split_part(pg_read_file('postmaster.pid'), E'\n', 1) || '/stat'), '^.*\) ', ''), ' ') AS s
    )
    SELECT sum(p.s[1]::float8) / 1000 + (SELECT (s[14]::float8 + s[15]::float8) * 10000 FROM postmaster), sum(p.s[3]::float8) FROM p
$$;

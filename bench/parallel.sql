-- Role: the tables and procedures of the benchmark's part about chunks, for reading and for jobs.
-- Called by: bench/run, once.
CREATE TABLE mail (id bigint PRIMARY KEY, sender int NOT NULL, body text NOT NULL);

CREATE PROCEDURE make_mail(n int) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO mail SELECT g, g % 1000, repeat('x', 100) FROM generate_series(1, n) g;
    COMMIT;
END $$;

-- Counting with some work for each row, and without: by one query, by the server's own workers, by ours, by two connections of dblink,
-- each of which has half of the keys.
CREATE PROCEDURE count_mail(what text, peer text, round int) LANGUAGE plpgsql AS $$
DECLARE
    work text := CASE what WHEN 'cpu' THEN 'count(*) FILTER (WHERE md5(md5(md5(md5(body)))) <> body)' ELSE 'count(*)' END;
    chunk text := format('SELECT %s FROM mail WHERE id BETWEEN $1 AND $2', work);
    n bigint := (SELECT max(id) FROM mail);
    found bigint;
    since timestamptz;
BEGIN
    IF peer = 'dblink' THEN
        PERFORM dblink_connect('half_' || i, here()) FROM generate_series(0, 1) i;
    END IF;
    IF peer = 'server' THEN
        SET LOCAL max_parallel_workers_per_gather = 2;
    END IF;
    since := clock_timestamp();
    CASE peer
        WHEN 'plain', 'server' THEN EXECUTE format('SELECT %s FROM mail', work) INTO found;
        WHEN 'one' THEN SELECT sum(c.n) INTO found FROM parallel_query(chunk, 'mail', workers => 1) AS c (n bigint);
        WHEN 'aside' THEN SELECT sum(c.n) INTO found FROM parallel_query(chunk, 'mail', workers => 2) AS c (n bigint);
        WHEN 'ctid' THEN
            SELECT sum(c.n) INTO found FROM parallel_query(replace(chunk, 'id BETWEEN', 'ctid BETWEEN'), 'mail', 'ctid', workers => 2) AS c (n bigint);
        ELSE
            PERFORM dblink_send_query('half_' || i, format('SELECT %s FROM mail WHERE id BETWEEN %s AND %s', work, 1 + i * n / 2, (i + 1) * n / 2))
                FROM generate_series(0, 1) i;
            SELECT sum(c.n) INTO found FROM generate_series(0, 1) i, dblink_get_result('half_' || i) AS c (n bigint);
    END CASE;
    INSERT INTO result VALUES ('count-' || what, peer, round, us_since(since) / 1000);
    IF found <> n THEN
        RAISE EXCEPTION '% counted %, not %', peer, found, n;
    END IF;
    IF peer = 'dblink' THEN
        PERFORM dblink_disconnect('half_' || i) FROM generate_series(0, 1) i;
    END IF;
END $$;

-- Chunks that do nothing: what is spent on cutting, handing out and answering each.
CREATE PROCEDURE empty_chunks(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    PERFORM FROM parallel_query('SELECT $1 = $2', 'mail', chunk_rows => greatest((SELECT max(id) FROM mail) / n, 1)::int, workers => 2) AS c (b boolean);
    INSERT INTO result VALUES ('chunk', 'aside', round, us_since(since) / n);
END $$;

-- All rows are updated: by one statement, by a job, and by a loop over dblink, each chunk of which commits.
CREATE PROCEDURE update_mail(peer text, round int) LANGUAGE plpgsql AS $$
DECLARE
    command text := 'UPDATE mail SET sender = sender + 1 WHERE id BETWEEN $1 AND $2';
    before bigint := (SELECT sum(sender) FROM mail);
    n bigint := (SELECT max(id) FROM mail);
    since timestamptz;
BEGIN
    SET LOCAL client_min_messages = warning;
    IF peer = 'dblink' THEN
        PERFORM dblink_connect('chunks', here());
    END IF;
    since := clock_timestamp();
    CASE peer
        WHEN 'plain' THEN UPDATE mail SET sender = sender + 1;
        WHEN 'one' THEN PERFORM parallel_run('one', command, 'mail', workers => 1);
        WHEN 'aside' THEN PERFORM parallel_run('aside', command, 'mail', workers => 2);
        ELSE
            FOR low IN 1..n BY 50000 LOOP
                PERFORM dblink_exec('chunks', replace(replace(command, '$1', low::text), '$2', (low + 49999)::text));
            END LOOP;
    END CASE;
    COMMIT;
    INSERT INTO result VALUES ('update', peer, round, us_since(since) / 1000);
    IF (SELECT sum(sender) FROM mail) <> before + n THEN
        RAISE EXCEPTION '% has not updated each row once', peer;
    END IF;
    PERFORM CASE peer WHEN 'dblink' THEN dblink_disconnect('chunks') WHEN 'plain' THEN NULL ELSE parallel_drop(peer)::text END;
END $$;

-- A command that needs a processor, as a job of one worker and of two.
CREATE PROCEDURE work_mail(workers int, round int) LANGUAGE plpgsql AS $$
DECLARE
    peer text := CASE workers WHEN 1 THEN 'one' ELSE 'aside' END;
    since timestamptz := clock_timestamp();
BEGIN
    SET LOCAL client_min_messages = warning;
    PERFORM parallel_run('work', 'SELECT count(*) FILTER (WHERE md5(md5(md5(md5(body)))) <> body) FROM mail WHERE id BETWEEN $1 AND $2', 'mail',
        workers => workers);
    INSERT INTO result VALUES ('job-cpu', peer, round, us_since(since) / 1000);
    PERFORM parallel_drop('work');
END $$;

-- Jobs whose chunks do nothing: what is spent on cutting, leasing and recording each.
CREATE PROCEDURE empty_jobs(n int, round int) LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := clock_timestamp();
BEGIN
    SET LOCAL client_min_messages = warning;
    PERFORM parallel_run('empty', 'SELECT $1 = $2', 'mail', chunk_rows => greatest((SELECT max(id) FROM mail) / n, 1)::int, workers => 2);
    INSERT INTO result VALUES ('chunk', 'job', round, us_since(since) / n);
    PERFORM parallel_drop('empty');
END $$;

-- Role: the tables and procedures of the benchmark's part about chunks.
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

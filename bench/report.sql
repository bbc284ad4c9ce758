-- Role: medians of what was measured, the ratios, and each target beside its ratio.
-- Called by: bench/run, last.
\pset footer off
\pset null -
\echo
\echo 'medians of three rounds (us a call; calls/s for pgbench; ms for rows)'
SELECT part, peer, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY value)::numeric, 1) AS median,
       round(min(value)::numeric, 1) AS lowest, round(max(value)::numeric, 1) AS highest
FROM result WHERE part !~ '^memory' GROUP BY part, peer ORDER BY part, median;

\echo 'ratios'
WITH m AS (
    SELECT part, peer, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS v FROM result GROUP BY part, peer
), wanted (ord, what, part, peer, better, target) AS (VALUES
    (1, 'hot loop: time beside in-process INSERT + COMMIT', 'hot', 'inproc', 'less', 1.3),
    (2, 'hot loop: times faster than dblink, one connection', 'hot', 'dblink', 'faster', 7),
    (3, 'hot loop: times faster than dblink, connect a call', 'hot', 'dblink_connect', 'faster', 200),
    (4, 'after 10 ms idle: time beside dblink, one connection', 'idle', 'dblink', 'less', 1.0),
    (5, 'pgbench -c 8, 4 workers: calls/s beside dblink, one connection a client', 'pgbench-8', 'dblink', 'more', 1.3),
    (6, 'pgbench -c 32, 4 workers: calls/s beside dblink, one connection a client', 'pgbench-32', 'dblink', 'more', 1.3),
    (7, 'rows into a table: time beside a local SELECT', 'rows-table', 'local', 'less', 2),
    (8, 'rows into a table: time beside a local SELECT in a function', 'rows-table', 'function', 'less', 2),
    (9, 'rows into a table: times faster than dblink', 'rows-table', 'dblink', 'faster', 3),
    (10, 'rows into an aggregate: time beside a local SELECT', 'rows-aggregate', 'local', 'less', 2),
    (11, 'rows into an aggregate: time beside a local SELECT in a function', 'rows-aggregate', 'function', 'less', 2),
    (12, 'rows into an aggregate: times faster than dblink', 'rows-aggregate', 'dblink', 'faster', 3),
    (13, 'autonomous function: time beside autonomous_exec of its INSERT', 'language', 'exec', 'less', 1.3),
    (14, 'autonomous row trigger: times faster than one that uses dblink', 'trigger', 'dblink', 'faster', 5),
    (15, 'session: times faster than dblink, one connection', 'session', 'hot.dblink', 'faster', 7),
    (16, 'async_exec + async_result: times faster than dblink, connect a call', 'task', 'dblink', 'faster', 30),
    (17, 'rows of a task into a table: times faster than dblink', 'rows-table.task', 'dblink', 'faster', 3),
    (19, 'NOTIFY to handler: time beside an external listener', 'notify', 'listener', 'less', 1.0),
    (20, 'emit at 64 clients: rate beside a plain INSERT', 'emit, none', 'plain', 'more', 0.9),
    (21, 'emit at 64 clients, 2 ms commit: rate beside a plain INSERT', 'emit, 2ms', 'plain', 'more', 0.9),
    (22, 'emit at 64 clients, 2 ms commit: rate beside INSERT + pg_notify', 'emit, 2ms', 'notify', 'more', 5),
    (23, 'emit at 64 clients: rate beside pgq', 'emit, none', 'pgq', 'more', 1.0),
    (24, 'events in batches of 100: rate beside pgq, batches of 100', 'events, batches of 100', 'pgq', 'more', 1.0),
    (25, 'the same with xmin pinned: rate beside pgq', 'events, batches, xmin pinned', 'pgq', 'more', 1.0),
    (18, 'events pulled in batches of 100: rate beside a table with SKIP LOCKED', 'pulled in batches of 100', 'skip_locked', 'more', 1.0),
    (26, 'CPU-bound query in chunks, 2 workers: time beside 1 worker', 'count-cpu', 'one', 'less', 0.6),
    (27, 'the same: time beside one plain query', 'count-cpu', 'plain', 'less', 0.65),
    (28, 'the same: time beside the server''s own parallel query', 'count-cpu', 'server', 'less', 1.5),
    (29, 'the same: time beside two connections of dblink', 'count-cpu', 'dblink', 'less', 1.15),
    (30, 'count of rows in chunks, 2 workers: time beside one plain query', 'count-rows', 'plain', 'less', 3),
    (31, 'UPDATE of all rows as a job, 1 worker: time beside one UPDATE', 'update.one', 'plain', 'less', 1.15),
    (32, 'the same: time beside a loop over dblink', 'update.one', 'dblink', 'less', 1.15),
    (33, 'CPU-bound command as a job, 2 workers: time beside 1 worker', 'job-cpu', 'one', 'less', 0.6),
    (40, 'one hog: hot loop beside in-process', 'busy-1', 'inproc', 'less', 2.5),
    (41, 'one hog: hot loop, times faster than dblink, one connection', 'busy-1', 'dblink', 'faster', 4),
    (42, 'two hogs: the same', 'busy-2', 'dblink', 'faster', 2),
    (43, 'four hogs: the same', 'busy-4', 'dblink', 'faster', 2),
    (44, 'one hog: trigger, times faster than one that uses dblink', 'busy-1.trigger', 'busy-1.trigger-dblink', 'faster', 4),
    (45, 'one hog: processor time of a call beside in-process', 'cpu-1', 'inproc', 'less', 1.8),
    (46, 'flush, 1 client: rate beside plain INSERTs', 'flush-1', 'plain', 'more', 0.87),
    (47, 'flush, 32 clients, 4 workers, waited for by callers: rate beside plain INSERTs', 'flush-32.caller', 'plain', 'more', 0.8),
    (48, 'the same where a flush takes 2 ms', 'flush-2ms-32.caller', 'plain', 'more', 0.8),
    (49, 'pgbench -c 64, 4 workers: calls/s beside dblink, one connection a client', 'pgbench-64', 'dblink', 'more', 1.5),
    (50, '64 clients, 16 workers: calls/s beside dblink, one connection a client', 'many-16-64', 'many-64.dblink', 'more', 1.5),
    (18, 'rows of a task into an aggregate: times faster than dblink', 'rows-aggregate.task', 'dblink', 'faster', 3)
), r AS (
    SELECT w.*, CASE WHEN w.better = 'faster' THEN p.v / a.v ELSE a.v / p.v END AS ratio
    FROM wanted w
        JOIN m a ON a.part = split_part(w.part, '.', 1) AND a.peer = coalesce(nullif(split_part(w.part, '.', 2), ''), 'aside')
        JOIN m p ON (p.part, p.peer) = (CASE WHEN w.peer ~ '[.]' THEN split_part(w.peer, '.', 1) ELSE split_part(w.part, '.', 1) END,
                                        CASE WHEN w.peer ~ '[.]' THEN split_part(w.peer, '.', 2) ELSE w.peer END)
)
SELECT what, round(ratio::numeric, 2) AS ratio,
       CASE better WHEN 'less' THEN 'at most ' ELSE 'at least ' END || target || 'x' AS target,
       CASE WHEN (better = 'less') = (ratio <= target) THEN 'met' ELSE 'MISSED' END AS verdict
FROM r ORDER BY ord;

\echo 'chunks'
SELECT CASE peer WHEN 'job' THEN 'one chunk of a job that does nothing, us' ELSE 'one chunk of a query that does nothing, us' END AS what, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY value)::numeric, 1) AS measured,
       'under 1000' AS target, CASE WHEN percentile_cont(0.5) WITHIN GROUP (ORDER BY value) < 1000 THEN 'met' ELSE 'MISSED' END AS verdict
FROM result WHERE part = 'chunk' GROUP BY peer ORDER BY peer;

\echo 'events'
WITH m AS (
    SELECT part, peer, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS v FROM result GROUP BY part, peer
)
SELECT what, round(v::numeric, 1) AS measured, target, CASE WHEN (better = 'less') = (v <= bound) THEN 'met' ELSE 'MISSED' END AS verdict
FROM (
    SELECT 1 AS ord, 'NOTIFY to handler, p50, us' AS what, v, 'under 300' AS target, 300::float8 AS bound, 'less' AS better FROM m WHERE (part, peer) = ('notify', 'aside')
    UNION ALL SELECT 2, 'commit of an event to handler, p50, us', v, 'under 1000', 1000, 'less' FROM m WHERE (part, peer) = ('notify', 'event')
    UNION ALL SELECT 3, 'commit of an event to handler, p99, us', v, 'under 5000', 5000, 'less' FROM m WHERE (part, peer) = ('notify p99', 'event')
    UNION ALL SELECT 7, 'one hog: commit of an event to handler, p50, us', v, 'under 1000', 1000, 'less' FROM m WHERE (part, peer) = ('busy-1', 'event')
    UNION ALL SELECT 8, 'one hog: commit of an event to handler, p99, us', v, 'under 10000', 10000, 'less' FROM m WHERE (part, peer) = ('busy p99-1', 'event')
    UNION ALL SELECT 4, 'events one by one, a second', v, 'at least 10000', 10000, 'more' FROM m WHERE (part, peer) = ('events, one by one', 'aside')
    UNION ALL SELECT 5, 'events in batches of 100, a second', v, 'at least 100000', 100000, 'more' FROM m WHERE (part, peer) = ('events, batches of 100', 'aside')
    UNION ALL SELECT 9, 'events pulled in batches of 100, a second', v, 'at least 100000', 100000, 'more' FROM m WHERE (part, peer) = ('pulled in batches of 100', 'aside')
    UNION ALL SELECT 6, 'the same with xmin pinned: rate beside it', p.v / m.v, 'at least 0.9', 0.9, 'more' FROM m, m p
        WHERE (m.part, m.peer, p.part, p.peer) = ('events, batches of 100', 'aside', 'events, batches, xmin pinned', 'aside')
) f ORDER BY ord;

\echo 'schedules'
WITH m AS (
    SELECT part, peer, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS v FROM result GROUP BY part, peer
)
SELECT what, round(v::numeric, 2) AS measured, target, CASE WHEN (better = 'less') = (v <= bound) THEN 'met' ELSE 'MISSED' END AS verdict
FROM (
    SELECT 1 AS ord, 'due to start, p50, us' AS what, v, 'under 5000' AS target, 5000::float8 AS bound, 'less' AS better FROM m WHERE part = 'due to start'
    UNION ALL SELECT 2, 'due to start, p99, us', v, 'under 50000', 50000, 'less' FROM m WHERE part = 'due to start p99'
    UNION ALL SELECT 3, 'due at once: times faster than pg_cron to start them all', p.v / m.v, 'at least 1', 1, 'more' FROM m, m p
        WHERE (m.part, m.peer, p.part, p.peer) = ('due at once', 'aside', 'due at once', 'pg_cron')
    UNION ALL SELECT 4, 'a minute with ' || peer || ' and none due: ms of a processor', v, 'at most 20', 20, 'less' FROM m WHERE part = 'none due'
    UNION ALL SELECT 5, '1,000 times of schedule_preview, ms', v, 'under 10', 10, 'less' FROM m WHERE part = 'preview'
) f ORDER BY ord;

\echo 'memory: growth of private anonymous memory after warm-up'
SELECT b.part, split_part(b.peer, ' ', 1) AS process, b.value AS before_kb, a.value AS after_kb, a.value - b.value AS growth_kb,
       'at most 1024' AS target, CASE WHEN a.value - b.value <= 1024 THEN 'met' ELSE 'MISSED' END AS verdict
FROM result b JOIN result a ON a.part = b.part AND a.peer = replace(b.peer, 'before', 'after')
WHERE b.peer LIKE '% before' ORDER BY 1, 2;

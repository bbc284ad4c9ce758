-- Claim: a handler begins no more events in a period than its rate_limit, and runs no more events of a key at a time than its
-- key_concurrency. Both can be changed while events wait and run; what no handler can have is refused.
\set SHOW_CONTEXT never
CREATE TABLE regress_begun (channel text, n int, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION regress_begin(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO regress_begun VALUES (e.channel, (e.payload ->> 'n')::int) $$;
CREATE FUNCTION regress_begin(e aside.event[]) RETURNS void LANGUAGE sql AS
    $$ INSERT INTO regress_begun SELECT b.channel, (b.payload ->> 'n')::int FROM unnest(e) b $$;
CREATE VIEW regress_limits AS SELECT name, rate_limit, rate_period, key_concurrency, ordered FROM aside.handlers WHERE name ~ '^regress' ORDER BY name;

-- the options
SELECT async_event_on('regress_1', 'regress_begin(aside.event)', rate_limit => 2147483647, rate_period => '10 years', key_concurrency => 2147483647);
SELECT async_event_on('regress_2', 'regress_begin(aside.event)', rate_limit => 1);
SELECT async_event_on('regress_3', 'regress_begin(aside.event)', ordered => true, key_concurrency => 1);
SELECT * FROM regress_limits;
SELECT async_event_alter('regress_1', rate_limit => 0, key_concurrency => 0), async_event_alter('regress_2', rate_period => '1 ms');
SELECT async_event_alter('regress_1', rate_limit => 0, key_concurrency => NULL, rate_period => NULL);
SELECT * FROM regress_limits;
SELECT async_event_on('regress_2', 'regress_begin(aside.event)', replace => true);
SELECT * FROM regress_limits;
-- what no handler can have
SELECT async_event_on('regress_4', 'regress_begin(aside.event)', rate_limit => 0);
SELECT async_event_on('regress_4', 'regress_begin(aside.event)', rate_limit => -1);
SELECT async_event_on('regress_4', 'regress_begin(aside.event)', rate_limit => 1, rate_period => '0');
SELECT async_event_on('regress_4', 'regress_begin(aside.event)', rate_period => NULL);
SELECT async_event_on('regress_4', 'regress_begin(aside.event)', rate_limit => 'often');
SELECT async_event_on('regress_4', 'regress_begin(aside.event)', rate_limit => 2147483648);
SELECT async_event_on('regress_4', 'regress_begin(aside.event)', key_concurrency => 0);
SELECT async_event_on('regress_4', 'regress_begin(aside.event)', key_concurrency => 2, ordered => true);
SELECT async_event_alter('regress_3', key_concurrency => 2);
SELECT async_event_alter('regress_2', key_concurrency => -2);
SELECT async_event_alter('regress_2', rate_period => '-1 s');
SELECT async_event_off(name) FROM regress_limits;

-- In any second two begin, one by one and in batches: the n-th no earlier than that allows, and all of them do.
SELECT async_event_on('regress_1', 'regress_begin(aside.event)', concurrency => 3, rate_limit => 2, rate_period => '300 ms');
SELECT async_event_on('regress_2', 'regress_begin(aside.event[])', batch_size => 100, rate_limit => 2, rate_period => '300 ms');
SELECT clock_timestamp() AS emitted \gset
SELECT count(async_event_emit(channel, jsonb_build_object('n', n))) FROM generate_series(1, 9) n, unnest('{regress_1, regress_2}'::text[]) channel;
CALL until('(SELECT count(*) FROM regress_begun) = 18');
SELECT channel, count(*) FILTER (WHERE at - :'emitted' < (nth - 1) / 2 * interval '300 ms' - interval '5 ms') AS early, count(DISTINCT n)
    FROM (SELECT *, row_number() OVER (PARTITION BY channel ORDER BY at) AS nth FROM regress_begun) b GROUP BY channel ORDER BY channel;
SELECT async_event_off('regress_1'), async_event_off('regress_2');

-- Changed while events wait: what has begun counts under the new limit.
SELECT async_event_on('regress_1', 'regress_begin(aside.event)', name => 'regress_h', rate_limit => 3, rate_period => '1 day');
SELECT count(async_event_emit('regress_1', jsonb_build_object('n', 100 + n))) FROM generate_series(1, 10) n;
CALL until('(SELECT count(*) FROM regress_begun WHERE n > 100) = 3');
SELECT async_event_alter('regress_h', rate_limit => 5);
CALL until('(SELECT count(*) FROM regress_begun WHERE n > 100) = 5');
SELECT async_event_alter('regress_h', rate_limit => 4), async_event_pause('regress_h'), async_event_resume('regress_h');
-- whoever is not limited passes it by
SELECT async_event_on('regress_2', 'regress_begin(aside.event)');
SELECT count(async_event_emit('regress_2', '{"n": 99}'));
CALL until('EXISTS (SELECT FROM regress_begun WHERE n = 99)');
SELECT state, count(*) FROM aside.events WHERE handler = 'regress_h' GROUP BY state ORDER BY state;
SELECT async_event_alter('regress_h', rate_period => '1 ms');
CALL until('(SELECT count(*) FROM regress_begun WHERE n > 100) = 10');
SELECT async_event_off('regress_h'), async_event_off('regress_2');

-- So many of a key; those of other keys and those without one are not held. Each waits for a lock that this session has.
SELECT async_event_on('regress_1', command => 'SELECT pg_advisory_xact_lock_shared(771, ($1 ->> ''n'')::int), pg_advisory_xact_lock_shared(772, 0)',
    name => 'regress_h', concurrency => 4, key_concurrency => 2);
CREATE VIEW regress_run AS SELECT l.objid::int AS n FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = 771 AND l.granted;
SELECT pg_advisory_lock(772, 0);
SELECT count(async_event_emit('regress_1', '{"n": 1}', key => 'crowd')) FROM generate_series(1, 6);
CALL until('(SELECT count(*) FROM regress_run) = 2');
SELECT count(async_event_emit('regress_1', jsonb_build_object('n', n), key => nullif(n, 3)::text)) FROM generate_series(2, 3) n;
CALL until('(SELECT count(*) FROM regress_run) = 4');
SELECT n, count(*) FROM regress_run GROUP BY n ORDER BY n;
-- fewer, while as many as might run do
SELECT async_event_alter('regress_h', key_concurrency => 1);
SELECT pg_advisory_unlock(772, 0);
CALL until('(SELECT count(*) FROM aside.events WHERE handler = ''regress_h'' AND state = ''done'') = 8');
SELECT async_event_off('regress_h');
DROP VIEW regress_limits, regress_run;
DROP FUNCTION regress_begin(aside.event), regress_begin(aside.event[]);
DROP TABLE regress_begun;

-- Claim: views show each event's life, each attempt, and each handler's count
-- and lag.
\set SHOW_CONTEXT never
CREATE FUNCTION lives(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.payload = '"runs"' THEN PERFORM pg_advisory_xact_lock(4731); END IF;
    IF e.payload = '"fails"' OR e.payload = '"dies"' THEN RAISE EXCEPTION 'no good: %', e.payload USING ERRCODE = CASE e.payload WHEN '"fails"' THEN 'AB001' ELSE 'AB002' END; END IF;
END $$;
CREATE VIEW lives AS SELECT id, payload, state, attempts, next_at > now() AS again, sqlstate, message, changed IS NOT NULL AS changed FROM aside.events WHERE channel = 'view' AND handler = 'view';
CREATE VIEW stats AS SELECT waiting, delayed, retrying, running, done, dead, lag > '0' AS lag, failures FROM aside.event_stats WHERE handler = 'view';
-- a delay is no lag
SELECT async_event_on('view lag', 'lives(aside.event)'), async_event_pause('view lag');
SELECT count(async_event_emit('view lag', delay => d)) FROM unnest('{2 s,1 hour}'::interval[]) d;
SELECT waiting, delayed, lag FROM aside.event_stats WHERE handler = 'view lag';
CALL until('(SELECT lag > ''0.2 s'' FROM aside.event_stats WHERE handler = ''view lag'')');
SELECT waiting, delayed, lag < '2 s' AS since_due FROM aside.event_stats WHERE handler = 'view lag';
SELECT count(async_event_emit('view lag', run_at => d)) FROM unnest('{-infinity,0001-01-01 BC}'::timestamptz[]) d;
SELECT waiting, delayed, lag BETWEEN '0.2 s' AND '1 min' AS since_emitted FROM aside.event_stats WHERE handler = 'view lag';
SELECT async_event_off('view lag');
SELECT async_event_on('view', 'lives(aside.event)', backoff => '10 hours', max_attempts => 5);
SELECT * FROM stats;
-- each state
SELECT async_event_pause('view');
SELECT async_event_emit('view', '"waits"') AS e1 \gset
SELECT async_event_emit('view', '"delayed"', delay => '1 hour', key => 'k', priority => 7, unique_key => 'u', headers => '{"h": 1}') AS e2 \gset
SELECT payload, state, attempts, again, changed FROM lives ORDER BY id;
SELECT channel, payload, key, priority, run_at - emitted AS delay, unique_key, headers, now() - emitted < '1 min' AS new, emitted_by, handler, state, attempts FROM aside.events WHERE id = :e2;
SELECT * FROM stats;
SELECT async_event_cancel(:e1);
SELECT async_event_resume('view');
SELECT async_event_emit('view', '"succeeds"') AS e3 \gset
CALL until(format('(SELECT state = ''done'' FROM lives WHERE id = %s)', :e3));
SELECT async_event_emit('view', '"fails"') AS e4 \gset
CALL until(format('(SELECT state = ''retrying'' FROM lives WHERE id = %s)', :e4));
SELECT async_event_on('view', 'lives(aside.event)', name => 'view_dies', max_attempts => 1);
SELECT async_event_emit('view', '"dies"') AS e5 \gset
CALL until('EXISTS (SELECT FROM aside.dead_events WHERE handler = ''view_dies'')');
SELECT handler, state, attempts, sqlstate, message FROM aside.events WHERE id = :e5 AND handler = 'view_dies';
SELECT id = :e5 AS it, handler, channel, payload, attempts, sqlstate, message, emitted_by, now() - died < '1 min' AS new FROM aside.dead_events WHERE handler = 'view_dies';
SELECT async_event_off('view_dies');
CALL until(format('(SELECT state = ''retrying'' FROM lives WHERE id = %s)', :e5));
SELECT pg_advisory_lock(4731);
SELECT async_event_emit('view', '"runs"') AS e6 \gset
CALL until('EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND objid = 4731 AND NOT granted)');
SELECT async_event_emit('view', '"waits again"') > 0;
SELECT * FROM (SELECT payload, state, attempts, again, sqlstate, message, changed FROM lives ORDER BY id) x;
SELECT * FROM stats;
SELECT lag BETWEEN '0' AND '1 min' AS lag, coordinator, notification_queue_usage < 0.5 AS usage FROM aside.event_stats WHERE handler = 'view';
-- attempts
SELECT e.payload, r.handler, r.attempt, r.state, r.sqlstate, r.message, r.started IS NOT NULL AS started, r.finished >= r.started AS finished, r.next_at > now() AS again
FROM aside.event_runs r JOIN aside.events e ON e.id = r.event AND e.handler = r.handler WHERE r.handler = 'view' ORDER BY e.id, r.attempt;
SELECT pg_advisory_unlock(4731);
CALL until('NOT EXISTS (SELECT FROM lives WHERE state IN (''waiting'', ''running''))');
SELECT payload, state, attempts FROM lives WHERE payload IN ('"runs"', '"waits again"') ORDER BY id;
SELECT * FROM stats;
-- the dead of a handler that has ended are gone
SELECT count(*) FROM aside.dead_events WHERE handler = 'view_dies';
-- events without a handler
SELECT async_event_emit('view nobody', '1', delay => '1 hour') AS e7 \gset
SELECT payload, handler, state, attempts FROM aside.events WHERE id = :e7;
SELECT database = current_database() AS here, state, pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = current_database()) AS there, failures, since <= now() AS since
FROM aside.coordinators WHERE database = current_database();
SELECT backend_type, count(*) FROM pg_stat_activity WHERE backend_type ~ 'pg_aside' AND (datname = current_database() OR datname IS NULL) AND backend_type !~ 'worker' GROUP BY 1 ORDER BY 1;
-- others: their own events, their handlers' events
CREATE ROLE regress_aside_sees LOGIN;
GRANT aside_user TO regress_aside_sees;
SET ROLE regress_aside_sees;
SELECT async_event_emit('view', '"of mine"', delay => '1 hour') AS e8 \gset
SELECT payload, state FROM aside.events WHERE channel ~ '^view' ORDER BY id;
SELECT count(*) FROM aside.dead_events;
SELECT count(*) FROM aside.event_runs;
SELECT async_event_on('view', command => 'SELECT $1', name => 'view_mine');
SELECT async_event_emit('view', '"mine"') AS e9 \gset
RESET ROLE;
SELECT async_event_emit('view', '"not mine"') AS e10 \gset
CALL until(format('(SELECT count(*) = 4 FROM aside.events WHERE state = ''done'' AND id IN (%s, %s))', :e9, :e10));
SET ROLE regress_aside_sees;
SELECT payload, handler, state FROM aside.events WHERE channel ~ '^view' ORDER BY id, handler;
SELECT handler, state FROM aside.event_runs WHERE handler ~ 'view' ORDER BY event;
RESET ROLE;
SELECT async_event_off('view'), async_event_off('view_mine');
-- many: as long as there are rows, not as their square
SELECT async_event_on('view', command => 'SELECT 1', batch_size => 1000);
SELECT count(async_event_emit('view', to_jsonb(g))) FROM generate_series(1, 20000) g;
SET statement_timeout = '5 s';
SELECT count(*) FROM aside.events WHERE channel = 'view' AND handler = 'view';
SELECT waiting + running + done FROM aside.event_stats WHERE handler = 'view';
RESET statement_timeout;
-- rates of the last minute
CALL until('(SELECT done = 20000 FROM aside.event_stats WHERE handler = ''view'')');
SELECT emitted_per_second BETWEEN 20000 / 60 AND 20000 AS emitted, done_per_second BETWEEN 20000 / 60 AND 20000 AS done, failures_per_second FROM aside.event_stats WHERE handler = 'view';
SELECT async_event_off('view');
DROP ROLE regress_aside_sees;
DROP VIEW lives, stats;
DROP FUNCTION lives;

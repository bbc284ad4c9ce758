-- Claim: an event waits until it is due, more urgent ones go first, and a
-- unique key is of one event that waits at a time.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, what text, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION h(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF e.headers ? 'fail' THEN RAISE EXCEPTION 'as asked'; END IF;
    INSERT INTO told (what) VALUES (e.payload #>> '{}');
END $$;
SELECT async_event_on('due', 'h(aside.event)', max_attempts => 1);
CREATE VIEW todo AS SELECT FROM aside.events WHERE channel = 'due' AND state IN ('waiting', 'running', 'retrying', 'delayed');
-- times
SELECT async_event_emit('due', '"300 ms"', delay => '300 ms') AS e1 \gset
SELECT async_event_emit('due', '"100 ms"', run_at => clock_timestamp() + interval '100 ms') AS e2 \gset
SELECT async_event_emit('due', '"never"', run_at => '294000-01-01') AS e3 \gset
SELECT async_event_emit('due', '"always"', run_at => '-infinity') AS e4 \gset
SELECT async_event_emit('due', '"long ago"', run_at => '0001-01-01 BC') AS e5 \gset
SELECT async_event_emit('due', '"before"', delay => '-1 hour') AS e6 \gset
SELECT async_event_emit('due', '"now"', delay => '0') AS e7 \gset
SELECT async_event_emit('due', '"in ages"', run_at => '290000-01-01') AS e8 \gset
SELECT payload, state, run_at > emitted AS later FROM aside.events WHERE id IN (:e3, :e8) ORDER BY id;
CALL until('(SELECT count(*) FROM told) = 6');
SELECT what FROM told WHERE what !~ 'ms' ORDER BY what;
SELECT t.what, t.at >= e.run_at AS in_time, t.at - e.run_at < interval '2 s' AS soon FROM told t JOIN aside.events e ON e.payload #>> '{}' = t.what
WHERE e.channel = 'due' AND t.what ~ 'ms' ORDER BY t.n;
SELECT payload, state FROM aside.events WHERE channel = 'due' AND state <> 'done' ORDER BY id;
SELECT async_event_cancel(:e3), async_event_cancel(:e8);
\set VERBOSITY sqlstate
SELECT async_event_emit('due', delay => '1000000 years');
\set VERBOSITY default
CALL until('NOT EXISTS (SELECT FROM todo)');

-- priority
TRUNCATE told;
SELECT async_event_pause('due');
SELECT count(async_event_emit('due', to_jsonb(p::text || s), priority => p)) FROM (VALUES (0, 'a'), (-5, ''), (5, 'a'), (0, 'b'), (1000000, ''), (5, 'b'), (NULL, 'none')) v (p, s);
SELECT async_event_emit('due', '"2147483647"', priority => 2147483647) > 0, async_event_emit('due', '"-2147483648"', priority => -2147483648) > 0;
SELECT async_event_emit('due', '"late, most urgent"', priority => 2147483647, run_at => '294000-01-01') AS late \gset
CALL events_pass();
SELECT count(*) FROM told;
SELECT async_event_resume('due');
CALL until('(SELECT count(*) FROM told) >= 9');
SELECT what FROM told ORDER BY n;
SELECT async_event_cancel(:late);
CALL until('NOT EXISTS (SELECT FROM todo)');

-- unique keys
TRUNCATE told;
SELECT async_event_pause('due');
SELECT async_event_emit('due', '"1"', unique_key => 'k') AS k1 \gset
SELECT async_event_emit('due', '"other key"', unique_key => 'K') = :k1 AS same;
SELECT async_event_emit('due elsewhere', '"other channel"', unique_key => 'k') = :k1 AS same;
SELECT async_event_emit('due', '"no key"', key => 'k') = :k1 AS same;
-- rejected, and kept
DO $$ BEGIN PERFORM async_event_emit('due', '"rejected"', unique_key => 'k'); EXCEPTION WHEN unique_violation THEN RAISE INFO '%', SQLERRM; END $$;
\set VERBOSITY sqlstate
SELECT async_event_emit('due', '"rejected"', unique_key => 'k', on_conflict => NULL);
\set VERBOSITY default
SELECT async_event_emit('due', '"kept"', unique_key => 'k', on_conflict => 'keep') = :k1 AS same;
-- replaced, by another one, and that by a third
SELECT async_event_emit('due', '"2"', unique_key => 'k', on_conflict => 'replace') AS k2 \gset
SELECT async_event_emit('due', '"3"', unique_key => 'k', on_conflict => 'replace') AS k3 \gset
SELECT :k1 < :k2 AND :k2 < :k3 AS others, async_event_emit('due', '"kept"', unique_key => 'k', on_conflict => 'keep') = :k3 AS same;
CALL until('(SELECT count(*) FROM aside.events WHERE channel = ''due'' AND unique_key = ''k'' AND state = ''cancelled'') = 2');
SELECT payload, state FROM aside.events WHERE channel = 'due' AND unique_key IN ('k', 'K') ORDER BY id;
-- replaced, but taken back
BEGIN;
SELECT async_event_emit('due', '"4"', unique_key => 'k', on_conflict => 'replace') > 0;
ROLLBACK;
BEGIN;
SELECT async_event_emit('due', '"mine"', unique_key => 'rolled back') > 0;
ROLLBACK;
SELECT async_event_emit('due', '"free after rollback"', unique_key => 'rolled back') > 0;
SELECT async_event_resume('due');
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told ORDER BY n;
-- free once it was handled
SELECT async_event_emit('due', '"free after done"', unique_key => 'k') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
-- once it is dead
SELECT async_event_emit('due', '"dies"', unique_key => 'k', headers => '{"fail": 1}') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT async_event_emit('due', '"free after dead"', unique_key => 'k') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
-- once it is cancelled
SELECT async_event_emit('due', '"cancelled"', unique_key => 'k', delay => '1 hour') AS e \gset
SELECT async_event_cancel(:e);
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT async_event_emit('due', '"free after cancelled"', unique_key => 'k') > 0;
CALL until('NOT EXISTS (SELECT FROM todo)');
SELECT what FROM told WHERE what ~ '^free|dies|cancelled|kept|rejected' ORDER BY n;
-- an empty one is one too
SELECT async_event_emit('due', unique_key => '', delay => '1 hour') AS e \gset
SELECT async_event_emit('due', unique_key => '', on_conflict => 'keep') = :e AS same, async_event_cancel(:e);
CALL until('NOT EXISTS (SELECT FROM todo)');
-- once its handler is gone
SELECT async_event_emit('due', unique_key => 'of the gone', delay => '1 hour') > 0;
SELECT async_event_off('due');
SELECT async_event_on('due', 'h(aside.event)', max_attempts => 1);
SELECT async_event_emit('due', '"free after its handler is gone"', unique_key => 'of the gone') > 0;
CALL until('(SELECT what ~ ''gone'' FROM told ORDER BY n DESC LIMIT 1)');
-- that of one that nobody handles, once it is cancelled
SELECT async_event_emit('due to nobody', unique_key => 'k') AS e \gset
SELECT async_event_cancel(:e), async_event_cancel(:e);
SELECT async_event_emit('due to nobody', unique_key => 'k') AS e \gset
SELECT async_event_emit('due to nobody') AS e2 \gset
SELECT async_event_cancel(:e), async_event_cancel(:e2);
-- that of one that the only handler left was too late for
SELECT async_event_on('due to one', 'h(aside.event)', name => 'due 1');
SELECT async_event_emit('due to one', unique_key => 'z', delay => '1 hour') AS e1 \gset
SELECT async_event_on('due to one', 'h(aside.event)', name => 'due 2');
SELECT async_event_emit('due to one', unique_key => 'y', delay => '1 hour') AS e2 \gset
SELECT async_event_off('due 1');
SELECT async_event_emit('due to one', unique_key => 'z', on_conflict => 'keep', delay => '1 hour') = :e1 AS same,
    async_event_emit('due to one', unique_key => 'y', on_conflict => 'keep') = :e2 AS same;
SELECT async_event_off('due 2');
-- two at a time: one waits for the other to commit
SELECT autonomous_session_open('s1'), autonomous_session_open('s2');
SELECT autonomous_session_exec('s1', 'BEGIN');
SELECT autonomous_session_exec('s1', $$SELECT async_event_emit('due', '"s1"', unique_key => 'two', delay => '1 hour')$$);
SELECT autonomous_session_send('s2', $$SELECT async_event_emit('due', '"s2"', unique_key => 'two', on_conflict => 'keep')$$);
SELECT autonomous_session_exec('s1', 'COMMIT');
SELECT e.payload FROM autonomous_session_result('s2') AS r (id bigint) JOIN aside.events e ON e.id = r.id;
SELECT autonomous_session_exec('s1', 'BEGIN');
SELECT autonomous_session_exec('s1', $$SELECT async_event_emit('due', '"s1"', unique_key => 'three')$$);
SELECT autonomous_session_send('s2', $$SELECT async_event_emit('due', '"s2, for s1 rolled back"', unique_key => 'three')$$);
SELECT autonomous_session_exec('s1', 'ROLLBACK');
SELECT count(*) FROM (SELECT r.id FROM autonomous_session_result('s2') AS r (id bigint)) x;
CALL until('(SELECT what ~ ''s2'' FROM told ORDER BY n DESC LIMIT 1)');
SELECT what FROM told ORDER BY n DESC LIMIT 1;
-- who replaces an event, or only looks at it, and does not commit, holds up nobody else
SELECT async_event_emit('due', unique_key => 'held', delay => '1 hour') AS e1 \gset
SELECT async_event_emit('due', unique_key => 'seen', delay => '1 hour') AS e2 \gset
SELECT autonomous_session_exec('s1', 'BEGIN');
SELECT autonomous_session_exec('s1', $$SELECT async_event_emit('due', unique_key => 'held', on_conflict => 'replace')$$);
SELECT autonomous_session_exec('s1', $$SELECT async_event_emit('due', unique_key => 'seen', on_conflict => 'keep')$$);
SELECT async_event_cancel(:e1), async_event_cancel(:e2);
CALL until(format('(SELECT count(*) FROM aside.events WHERE id IN (%s, %s) AND state = ''cancelled'') = 2', :e1, :e2));
SELECT async_event_emit('due', '"goes on"') > 0;
CALL until('(SELECT what ~ ''goes on'' FROM told ORDER BY n DESC LIMIT 1)');
SELECT async_event_emit('due', '"was only looked at"', unique_key => 'seen') > 0;
CALL until('(SELECT what ~ ''looked at'' FROM told ORDER BY n DESC LIMIT 1)');
SELECT autonomous_session_exec('s1', 'COMMIT');
SELECT autonomous_session_close('s1'), autonomous_session_close('s2');
SELECT async_event_off('due');
DROP VIEW todo;
DROP TABLE told;
DROP FUNCTION h;

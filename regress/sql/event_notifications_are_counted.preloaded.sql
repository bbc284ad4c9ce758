-- Claim: of notifications that are not recorded, event_stats shows how many wait,
-- were handled or failed, by handler.
\set SHOW_CONTEXT never
CREATE VIEW stats AS SELECT handler, notifications_waiting AS waiting, notifications_done AS done, notifications_failed AS failed,
    notifications_dropped AS dropped, notifications_recorded AS recorded, failures FROM aside.event_stats WHERE channel = 'count';
SELECT async_event_on('count', command => 'SELECT 1', name => 'count_paused'), async_event_on('count', command => 'SELECT 1 / $1::int', name => 'count_fails'),
    async_event_on('count', command => 'SELECT 1', name => 'count_durable', durable => true), async_event_pause('count_paused');
-- a handler that has handled an event listens
SELECT async_event_emit('count', '1') > 0 AS emitted;
CALL until($$(SELECT count(*) = 2 FROM aside.events WHERE channel = 'count' AND state = 'done')$$);
SELECT count(pg_notify('count', i::text)) FROM generate_series(-499, 500) i;
CALL until($$(SELECT bool_and(waiting + done + failed + recorded = 1000 AND (waiting = 0 OR handler = 'count_paused')) FROM stats)$$);
SELECT * FROM stats ORDER BY 1;
-- what waited goes on
SELECT async_event_resume('count_paused');
CALL until($$(SELECT done = 1000 AND waiting = 0 FROM stats WHERE handler = 'count_paused')$$);
-- nobody counts for a handler that is gone, and a new one begins anew
SELECT async_event_off('count_paused'), async_event_off('count_fails'), async_event_off('count_durable');
SELECT async_event_on('count', command => 'SELECT 1', name => 'count_paused');
CALL until($$(SELECT waiting = 0 FROM stats)$$);
SELECT * FROM stats;
SELECT async_event_off('count_paused');
DROP VIEW stats;

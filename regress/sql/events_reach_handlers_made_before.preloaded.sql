-- Claim: a handler gets each event that was emitted after it was made, though
-- its transaction committed only after the event's; none that was emitted before.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, handler text, what text);
-- one that shares the channel, and makes the coordinator run
SELECT async_event_on('shared', command => 'INSERT INTO public.told (handler, what) VALUES (''old'', $1 #>> ''{}'')', name => 'old');
SELECT async_event_emit('shared', '"before"') > 0, async_event_emit('race', '"before"') > 0;
CALL until('EXISTS (SELECT FROM told)');
SELECT autonomous_session_open('s');
SELECT autonomous_session_exec('s', 'BEGIN');
SELECT autonomous_session_exec('s', $$SELECT async_event_on('shared', name => 'new',
    command => 'INSERT INTO public.told (handler, what) VALUES (''new'', $1 #>> ''{}'')')$$);
SELECT autonomous_session_exec('s', $$SELECT async_event_on('race',
    command => 'INSERT INTO public.told (handler, what) VALUES (''race'', $1 #>> ''{}'')')$$);
SELECT async_event_emit('shared', '"meanwhile"') > 0, async_event_emit('race', '"meanwhile"') > 0;
SELECT async_event_emit('race', '"later"', delay => '2.5 s') > 0;
CALL until('(SELECT count(*) = 2 FROM told)');
SELECT async_event_emit('race', '"own"') > 0 FROM autonomous_session_exec('s', $$SELECT async_event_emit('race', '"of its own transaction"')$$);
-- the coordinator has passed what nobody handles yet
CALL events_pass();
SELECT autonomous_session_exec('s', 'COMMIT');
SELECT async_event_emit('race', '"after"') > 0;
CALL until('NOT EXISTS (SELECT FROM aside.events WHERE channel IN (''race'', ''shared'') AND state IN (''waiting'', ''running'', ''retrying'', ''delayed''))');
SELECT handler, what, count(*) FROM told GROUP BY 1, 2 ORDER BY 1, min(n);
SELECT handler, payload, state FROM aside.events WHERE channel IN ('race', 'shared') ORDER BY id, handler;
-- end
SELECT autonomous_session_close('s');
SELECT async_event_off(name) FROM aside.handlers ORDER BY name;
DROP TABLE told;

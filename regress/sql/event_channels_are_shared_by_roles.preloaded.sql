-- Claim: on a channel that several roles use nobody's unique keys are in the way
-- of another's, and who handles an event can cancel it for himself alone.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_alice LOGIN IN ROLE aside_user;
CREATE ROLE regress_aside_mallory LOGIN IN ROLE aside_user;
SET ROLE regress_aside_alice;
SELECT async_event_on('shared', command => 'SELECT 1', name => 'alice shared'), async_event_pause('alice shared');
SET ROLE regress_aside_mallory;
SELECT async_event_on('shared', command => 'SELECT 1', name => 'mallory shared'), async_event_pause('mallory shared');
SELECT async_event_emit('shared', '"mallory"', unique_key => 'k', delay => '1 hour') AS mallory \gset
-- alice's key of that name is hers
SET ROLE regress_aside_alice;
SELECT async_event_emit('shared', '"alice"', unique_key => 'k') AS alice \gset
SELECT async_event_emit('shared', '"alice again"', unique_key => 'k', on_conflict => 'keep') = :alice AS kept;
SELECT async_event_emit('shared', '"alice instead"', unique_key => 'k', on_conflict => 'replace') AS instead \gset
SELECT :instead > :alice AS replaced;
\set VERBOSITY sqlstate
SELECT async_event_emit('shared', unique_key => 'k');
\set VERBOSITY default
RESET ROLE;
SELECT unique_key, emitted_by::regrole, event = :mallory OR event = :instead AS it FROM aside.event_unique WHERE channel = 'shared' ORDER BY 2;
-- what mallory has not emitted she cancels for her handler
SET ROLE regress_aside_mallory;
SELECT async_event_cancel(:instead);
CALL until(format('(SELECT state = ''cancelled'' FROM aside.events WHERE id = %s AND handler = ''mallory shared'')', :instead));
SELECT async_event_cancel(:instead) AS again;
RESET ROLE;
SELECT handler, state FROM aside.events WHERE id = :instead ORDER BY 1;
SET ROLE regress_aside_alice;
SELECT async_event_resume('alice shared');
CALL until(format('(SELECT state = ''done'' FROM aside.events WHERE id = %s AND handler = ''alice shared'')', :instead));
-- who has no handler of it, and has not emitted it, cannot
SELECT async_event_off('alice shared');
\set VERBOSITY sqlstate
SELECT async_event_cancel(:mallory);
\set VERBOSITY default
SET ROLE regress_aside_mallory;
SELECT async_event_off('mallory shared');
RESET ROLE;
DROP ROLE regress_aside_alice, regress_aside_mallory;

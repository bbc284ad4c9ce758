-- Claim: however much the errors of a handler say, and however many there
-- are, dead events are shown to everybody, and the tables take their turns.
CREATE ROLE regress_aside_loud LOGIN IN ROLE aside_user;
CREATE ROLE regress_aside_other LOGIN IN ROLE aside_user;
SET ROLE regress_aside_loud;
SELECT async_event_on('regress_loud', command => 'DO $d$ BEGIN RAISE ''%'', repeat(''x'', 20000000); END $d$', name => 'loud',
    max_attempts => 15, backoff => '0');
SELECT async_event_on('regress_often', command => 'SELECT 1/0', name => 'often', max_attempts => 103, backoff => '0');
SELECT async_event_emit('regress_loud') > 0, async_event_emit('regress_often') > 0;
RESET ROLE;
CALL until('(SELECT count(*) FROM aside.event_dead) = 2');
SET ROLE regress_aside_other;
SELECT id, errors FROM aside.dead_events;
SET ROLE regress_aside_loud;
SELECT handler, attempts, jsonb_array_length(errors) AS errors, errors -> -1 ->> 'attempt' AS last, octet_length(message) FROM aside.dead_events ORDER BY handler;
SELECT count(async_event_off(name)) FROM aside.handlers;
RESET ROLE;
DROP OWNED BY regress_aside_loud, regress_aside_other;
DROP ROLE regress_aside_loud, regress_aside_other;

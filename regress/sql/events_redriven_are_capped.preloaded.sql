-- Claim: events that are emitted again at a time are named by a list that is as long as a message of the protocol may be.
\set VERBOSITY terse
SELECT async_event_on('capped', command => 'SELECT 1');
SELECT async_event_redrive('capped', array_fill(1::bigint, ARRAY[65536]));
SELECT async_event_redrive('capped', array_fill(1::bigint, ARRAY[65535]));
SELECT async_event_off('capped');

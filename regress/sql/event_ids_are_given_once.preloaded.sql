-- Who may write all data may set the sequence of ids back: nothing is emitted, and no handler made, with an id that
-- another event may have, and that handlers take for an old one.
\set VERBOSITY terse
CREATE TABLE got (what text);
SELECT async_event_on('ids', command => $$INSERT INTO got VALUES ($1 #>> '{}')$$);
SELECT max(async_event_emit('nobody''s')) FROM generate_series(1, 100) \gset
SELECT async_event_emit('ids', '"first"') AS first \gset
CREATE ROLE regress_writes_all;
GRANT pg_write_all_data TO regress_writes_all;
GRANT USAGE ON SCHEMA aside TO regress_writes_all;
SET ROLE regress_writes_all;
SELECT setval('aside.event_id', 1);
UPDATE aside.event_0 SET id = 1;
RESET ROLE;
SELECT async_event_emit('ids', '"not"');
SELECT async_event_emit('ids', '"nor this"', unique_key => 'k');
SELECT async_event_on('ids', command => 'SELECT 1', name => 'no handler');
SELECT async_event_cancel(async_event_emit('ids', '"nor"'));
-- as the hint says
SELECT setval('aside.event_id', :first) = :first AS set;
SELECT async_event_emit('ids', '"second"', unique_key => 'k') > :first AS higher;
CALL until('(SELECT count(*) = 2 FROM got)');
SELECT what FROM got ORDER BY what;
-- one that is set forward goes on from there
SELECT setval('aside.event_id', :first + 1000) - :first AS forward;
SELECT async_event_emit('ids', '"third"') - :first AS id;
CALL until('(SELECT count(*) = 3 FROM got)');
-- another extension begins anew
SELECT async_event_off('ids');
DROP EXTENSION pg_aside CASCADE;
CREATE EXTENSION pg_aside;
SELECT async_event_on('ids', command => $$INSERT INTO got VALUES ($1 #>> '{}')$$);
SELECT async_event_emit('ids', '"fourth"') < :first AS low;
CALL until('(SELECT count(*) = 4 FROM got)');
SELECT async_event_off('ids');
REVOKE USAGE ON SCHEMA aside FROM regress_writes_all;
DROP ROLE regress_writes_all;
DROP TABLE got;

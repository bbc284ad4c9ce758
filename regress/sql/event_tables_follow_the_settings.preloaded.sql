-- Claim: aside.event_rotation_time and aside.event_rotation_size are followed
-- when the configuration is read again, by a coordinator that runs.
\set SHOW_CONTEXT never
CREATE TABLE told (n int);
SELECT async_event_on('turn', command => 'INSERT INTO public.told VALUES (($1 #>> ''{}'')::int)');
SELECT async_event_emit('turn', '1') > 0;
CALL until('EXISTS (SELECT FROM told)');
-- nothing is old or large
SELECT partition AS before FROM aside.event_control \gset
SELECT pid AS coordinator FROM aside.coordinators WHERE database = current_database() \gset
SELECT pg_sleep(1.5);
SELECT partition = :before AS stays FROM aside.event_control;
-- old after a second
ALTER SYSTEM SET aside.event_rotation_time = '1 s';
SELECT pg_reload_conf();
CALL until('(SELECT partition FROM aside.event_control) <> ' || :before);
CALL until('NOT EXISTS (SELECT FROM aside.event_rows)');
ALTER SYSTEM RESET aside.event_rotation_time;
SELECT pg_reload_conf();
-- large after some pages
SELECT async_event_emit('turn', '2') > 0;
CALL until('(SELECT count(*) FROM told) = 2');
CALL events_pass();
SELECT partition AS before FROM aside.event_control \gset
SELECT count(async_event_emit('turn', '3')) FROM generate_series(1, 1000);
CALL until('(SELECT count(*) FROM told) = 1002');
SELECT pg_sleep(1.5);
SELECT partition = :before AS stays FROM aside.event_control;
ALTER SYSTEM SET aside.event_rotation_size = '8 kB';
SELECT pg_reload_conf();
CALL until('(SELECT partition FROM aside.event_control) <> ' || :before);
CALL until('NOT EXISTS (SELECT FROM aside.event_rows)');
ALTER SYSTEM RESET aside.event_rotation_size;
SELECT pg_reload_conf();
-- it was the same one all the while, and handles on
SELECT pid = :coordinator AS same FROM aside.coordinators WHERE database = current_database();
SELECT async_event_emit('turn', '4') > 0;
CALL until('EXISTS (SELECT FROM told WHERE n = 4)');
SELECT async_event_off('turn');
DROP TABLE told;

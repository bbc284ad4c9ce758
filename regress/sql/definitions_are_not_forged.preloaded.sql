-- Claim: no row of a table of pg_aside acts for a role unless whoever wrote
-- it had that role's privileges; what is forged is refused, and never runs.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_writer LOGIN IN ROLE pg_write_all_data, pg_read_all_data, aside_user;
CREATE ROLE regress_aside_victim LOGIN IN ROLE aside_user;
CREATE ROLE regress_aside_heir LOGIN IN ROLE regress_aside_victim;
SET ROLE regress_aside_victim;
SELECT async_event_on('regress_c', command => 'SELECT 1', name => 'theirs');
SELECT async_event_pause('theirs');
RESET ROLE;
SELECT async_event_emit('regress_c') > 0;
CREATE FUNCTION row_of(role text, text) RETURNS SETOF aside.event_handler LANGUAGE sql AS $$
    SELECT (r).* FROM (SELECT jsonb_populate_record((SELECT h FROM aside.event_handler h WHERE h.name = 'theirs'), jsonb_build_object('id', 1000, 'name', $2, 'channel', $2,
        'owner', $1, 'inert', false, 'command', 'ALTER ROLE regress_aside_writer SUPERUSER', 'form', 'c', 'concurrency', 1, 'batch_size', 1,
        'max_attempts', 1, 'backoff', '1 s', 'backoff_cap', '1 s', 'ordered', false, 'durable', false, 'paused', false, 'since', 0,
        'version', 1, 'created', now(), 'rate_period', '1 s', 'closed', false)) AS r) AS one $$;
GRANT EXECUTE ON FUNCTION row_of TO PUBLIC;
SET ROLE regress_aside_writer;
-- a handler for a superuser, by all ways in
INSERT INTO aside.event_handler OVERRIDING SYSTEM VALUE SELECT * FROM row_of('postgres', 'pwn');
INSERT INTO aside.event_handler OVERRIDING SYSTEM VALUE SELECT * FROM row_of('10', 'pwn');
\copy aside.event_handler (id, name, channel, owner, command, form, concurrency, batch_size, max_attempts, backoff, backoff_cap, ordered, durable, since) FROM PROGRAM 'echo "1000,pwn,pwn,postgres,ALTER ROLE regress_aside_writer SUPERUSER,c,1,1,1,1 s,1 s,f,f,0"' CSV
UPDATE aside.event_handler SET command = 'ALTER ROLE regress_aside_writer SUPERUSER';
UPDATE aside.event_handler SET owner = 'regress_aside_writer';
UPDATE aside.event_handler SET inert = true;
UPDATE aside.event_handler SET name = 'other';
DELETE FROM aside.event_handler;
INSERT INTO aside.event_handler OVERRIDING SYSTEM VALUE SELECT * FROM row_of('regress_aside_writer', 'mine');
UPDATE aside.event_handler SET owner = 'postgres' WHERE name = 'mine';
MERGE INTO aside.event_handler h USING (SELECT) s ON h.name = 'mine' WHEN MATCHED THEN UPDATE SET owner = 'regress_aside_victim';
-- nor can it give its own proxy the name of another
ALTER TYPE aside."handler mine (1000)" RENAME TO "handler theirs (1001)";
SELECT name, owner FROM aside.handlers ORDER BY name;
-- the other tables
INSERT INTO aside.event_0 (id, txid, channel, priority, emitted, emitted_by) VALUES (1, '1', 'regress_c', 0, now(), 10);
UPDATE aside.event_0 SET emitted_by = 10;
DELETE FROM aside.event_1;
INSERT INTO aside.event_log_0 (handler, kind, events) VALUES (1, 'd', '{1}');
INSERT INTO aside.event_dead (id, handler, channel, priority, emitted, emitted_by, attempts) VALUES (1, 1, 'regress_c', 0, now(), 'postgres', 1);
INSERT INTO aside.event_unique VALUES ('regress_c', 'k', 1, 10);
UPDATE aside.event_control SET partition = 1;
RESET ROLE;
-- a member may, and so may the superuser; none of it is undone by a session's role
SET ROLE regress_aside_heir;
SELECT async_event_resume('theirs');
RESET ROLE;
SET session_replication_role = replica;
SET ROLE regress_aside_writer;
INSERT INTO aside.event_handler OVERRIDING SYSTEM VALUE SELECT * FROM row_of('postgres', 'pwn');
UPDATE aside.event_control SET partition = 1;
RESET ROLE;
RESET session_replication_role;
-- nor do rows that make no sense get in
\set VERBOSITY terse
INSERT INTO aside.event_handler OVERRIDING SYSTEM VALUE
    SELECT * FROM jsonb_populate_record((SELECT r FROM row_of('postgres', 'odd') r), '{"form": "x"}');
INSERT INTO aside.event_handler OVERRIDING SYSTEM VALUE
    SELECT * FROM jsonb_populate_record((SELECT r FROM row_of('postgres', 'odd') r), '{"concurrency": 0}');
INSERT INTO aside.event_handler OVERRIDING SYSTEM VALUE
    SELECT * FROM jsonb_populate_record((SELECT r FROM row_of('postgres', 'odd') r), '{"handler": "f(text)"}');
SELECT async_event_off('mine');
\set VERBOSITY default
-- one whose role does not exist is nobody's, until it is given to somebody
INSERT INTO aside.event_handler OVERRIDING SYSTEM VALUE SELECT * FROM row_of('regress_aside_gone', 'lost');
SELECT name, owner, reason FROM aside.handlers WHERE name = 'lost';
SET ROLE regress_aside_victim;
SELECT async_event_off('lost');
RESET ROLE;
CREATE ROLE regress_aside_gone LOGIN IN ROLE aside_user;
SELECT name, owner, reason FROM aside.handlers WHERE name = 'lost';
SELECT async_event_pause('lost');
UPDATE aside.event_handler SET owner = 'nobody at all' WHERE name = 'lost';
UPDATE aside.event_handler SET inert = false WHERE name = 'lost';
SELECT name, owner, reason FROM aside.handlers WHERE name = 'lost';
DROP ROLE regress_aside_gone;
SELECT async_event_off('lost');
DROP ROLE regress_aside_gone;

-- schedules and jobs are guarded as handlers are, and so are their runs and chunks
CREATE TABLE rows_of_jobs (id int PRIMARY KEY);
INSERT INTO rows_of_jobs SELECT generate_series(1, 3);
GRANT ALL ON rows_of_jobs TO PUBLIC;
SET ROLE regress_aside_victim;
SELECT schedule_set('theirs', '@yearly', 'SELECT 1', enabled => false) > 0 AS scheduled;
BEGIN;
SELECT parallel_start('theirs', 'UPDATE public.rows_of_jobs SET id = id WHERE id BETWEEN $1 AND $2', 'rows_of_jobs') > 0 AS started;
SELECT parallel_pause('theirs');
COMMIT;
RESET ROLE;
CREATE FUNCTION row_of_schedule(role text, text) RETURNS SETOF aside.schedule LANGUAGE sql AS $$
    SELECT (r).* FROM (SELECT jsonb_populate_record((SELECT t FROM aside.schedule t WHERE t.name = 'theirs'), jsonb_build_object('id', 1000, 'maker', NULL, 'name', $2, 'owner', $1, 'inert', false,
        'spec', '@reboot', 'rule', 'reboot', 'timezone', 'UTC', 'command', 'ALTER ROLE regress_aside_writer SUPERUSER', 'overlap', 'skip',
        'misfire', 'once', 'max_attempts', 1, 'backoff', '1 s', 'priority', 0, 'history', 'all', 'paused', false, 'created', now(), 'revision', 1,
        'next_due', now(), 'next_run_at', now(), 'fired', 0, 'failures', 0, 'missed', 0, 'skipped', 0, 'failed', 0)) AS r) AS one $$;
CREATE FUNCTION row_of_job(role text, text) RETURNS SETOF aside.parallel_job LANGUAGE sql AS $$
    SELECT (r).* FROM (SELECT jsonb_populate_record((SELECT t FROM aside.parallel_job t WHERE t.name = 'theirs'), jsonb_build_object('id', 1000, 'maker', NULL, 'name', $2, 'owner', $1, 'inert', false,
        'command', 'ALTER ROLE regress_aside_writer SUPERUSER', 'chunk_by', 'query', 'split', ARRAY['query', 'SELECT 1, 1'], 'low_type', 'integer',
        'high_type', 'integer', 'workers', 1, 'max_attempts', 1, 'limits', '{}'::jsonb, 'follow', false, 'state', 'running', 'paused', false,
        'cut', false, 'created', now())) AS r) AS one $$;
GRANT EXECUTE ON FUNCTION row_of_schedule, row_of_job TO PUBLIC;
CREATE PROCEDURE forge(what regclass, row_of regproc) LANGUAGE plpgsql AS $$
DECLARE
    command text;
BEGIN
    FOREACH command IN ARRAY ARRAY[
        format('INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM %s(%L, %L)', what, row_of, 'postgres', 'pwn'),
        format('INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM %s(%L, %L)', what, row_of, '10', 'pwn'),
        format('UPDATE %s SET command = %L', what, 'ALTER ROLE regress_aside_writer SUPERUSER'),
        format('UPDATE %s SET owner = %L', what, 'regress_aside_writer'),
        format('UPDATE %s SET inert = true', what),
        format('UPDATE %s SET name = %L', what, 'other'),
        format('DELETE FROM %s', what),
        format('INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM %s(%L, %L)', what, row_of, 'regress_aside_writer', 'mine'),
        format('UPDATE %s SET owner = %L WHERE name = %L', what, 'postgres', 'mine')] LOOP
        BEGIN
            EXECUTE command;
            RAISE INFO 'done: %', command;
        EXCEPTION WHEN OTHERS THEN
            RAISE INFO '% %', SQLSTATE, SQLERRM;
        END;
    END LOOP;
END $$;
SET ROLE regress_aside_writer;
CALL forge('aside.schedule', 'row_of_schedule');
CALL forge('aside.parallel_job', 'row_of_job');
INSERT INTO aside.schedule_run (id, attempt, schedule, due, state, not_before) VALUES (1, 1, 1, now(), 'waiting', now());
INSERT INTO aside.parallel_chunk (job, number, state) VALUES (1, 1, 'waiting');
UPDATE aside.parallel_chunk SET state = 'waiting';
SELECT name, owner FROM aside.schedules ORDER BY name;
SELECT name, owner FROM aside.parallel_jobs ORDER BY name;
RESET ROLE;
SET session_replication_role = replica;
SET ROLE regress_aside_writer;
INSERT INTO aside.schedule OVERRIDING SYSTEM VALUE SELECT * FROM row_of_schedule('postgres', 'pwn');
INSERT INTO aside.parallel_job OVERRIDING SYSTEM VALUE SELECT * FROM row_of_job('postgres', 'pwn');
RESET ROLE;
RESET session_replication_role;
-- a member may change them
SET ROLE regress_aside_heir;
SELECT schedule_resume('theirs'), parallel_resume('theirs');
RESET ROLE;
CALL until('(SELECT state = ''done'' FROM aside.parallel_jobs WHERE name = ''theirs'')');
SELECT schedule_drop('mine'), parallel_drop('mine');
-- one whose role does not exist is nobody's, whoever has made a type of its name
INSERT INTO aside.schedule OVERRIDING SYSTEM VALUE SELECT * FROM row_of_schedule('regress_aside_gone', 'lost');
INSERT INTO aside.parallel_job OVERRIDING SYSTEM VALUE SELECT * FROM row_of_job('regress_aside_gone', 'lost');
CREATE TYPE aside."schedule lost (1000)";
CREATE TYPE aside."job lost (1000)";
ALTER TYPE aside."schedule lost (1000)" OWNER TO regress_aside_victim;
ALTER TYPE aside."job lost (1000)" OWNER TO regress_aside_victim;
SET ROLE regress_aside_victim;
SELECT name, owner, command, reason FROM aside.schedules WHERE name = 'lost'
    UNION ALL SELECT name, owner, command, reason FROM aside.parallel_jobs WHERE name = 'lost';
SELECT schedule_drop('lost');
SELECT parallel_drop('lost');
RESET ROLE;
SELECT schedule_drop('lost'), parallel_drop('lost');
-- the coordinator hears of what changes none of the tables, and of what was prepared
CREATE ROLE regress_aside_leaver LOGIN IN ROLE aside_user;
GRANT ALL ON rows_of_jobs TO regress_aside_leaver;
SET ROLE regress_aside_leaver;
SELECT parallel_start('left', 'UPDATE public.rows_of_jobs SET id = id WHERE id BETWEEN $1 AND $2', 'rows_of_jobs') > 0 AS started;
SELECT schedule_set('left', '@yearly', 'SELECT 1') > 0 AS scheduled;
SELECT parallel_wait('left', '60 s');
RESET ROLE;
DROP OWNED BY regress_aside_leaver;
DROP ROLE regress_aside_leaver;
CALL until('NOT EXISTS (SELECT FROM aside.parallel_job WHERE name = ''left'') AND NOT EXISTS (SELECT FROM aside.schedule WHERE name = ''left'')');
BEGIN;
SELECT parallel_start('prepared', 'UPDATE public.rows_of_jobs SET id = id WHERE id BETWEEN $1 AND $2', 'rows_of_jobs') > 0 AS started;
PREPARE TRANSACTION 'regress_definitions';
COMMIT PREPARED 'regress_definitions';
CALL until('(SELECT state = ''done'' FROM aside.parallel_jobs WHERE name = ''prepared'')');
SELECT parallel_drop('prepared');

-- what a handler's error says is for whom may act for its owner
SET ROLE regress_aside_victim;
SELECT async_event_on('regress_s', command => 'DO $d$ BEGIN RAISE ''a secret'' USING ERRCODE = ''P1234''; END $d$', name => 'fails', max_attempts => 1);
RESET ROLE;
SET ROLE regress_aside_writer;
SELECT async_event_emit('regress_s') > 0;
RESET ROLE;
CALL until('EXISTS (SELECT FROM aside.events WHERE channel = ''regress_s'' AND state = ''dead'')');
SET ROLE regress_aside_writer;
SELECT state, sqlstate, message FROM aside.events WHERE channel = 'regress_s';
SET ROLE regress_aside_heir;
SELECT state, sqlstate, message FROM aside.events WHERE channel = 'regress_s';
RESET ROLE;
SELECT state, sqlstate, message FROM aside.events WHERE channel = 'regress_s';

-- a function of the same name that somebody else has put there is not called
CREATE ROLE regress_aside_schema LOGIN IN ROLE aside_user;
GRANT CREATE ON DATABASE :DBNAME TO regress_aside_schema;
CREATE SCHEMA regress_theirs AUTHORIZATION regress_aside_schema;
GRANT USAGE ON SCHEMA regress_theirs TO PUBLIC;
CREATE TABLE told (n serial, what text);
GRANT ALL ON told, told_n_seq TO PUBLIC;
CREATE FUNCTION regress_theirs.f(text) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.told (what) VALUES ('first: ' || current_user) $$;
ALTER FUNCTION regress_theirs.f(text) OWNER TO regress_aside_heir;
SET ROLE regress_aside_victim;
SELECT async_event_on('regress_f', 'regress_theirs.f(text)', name => 'calls', max_attempts => 1);
RESET ROLE;
CREATE PROCEDURE happens(what text) LANGUAGE plpgsql AS $$
DECLARE before bigint := (SELECT count(*) FROM public.told) + (SELECT count(*) FROM aside.dead_events WHERE handler = 'calls');
BEGIN
    PERFORM async_event_emit('regress_f', to_jsonb(what));
    COMMIT;
    CALL until(format('(SELECT count(*) FROM told) + (SELECT count(*) FROM aside.dead_events WHERE handler = ''calls'') > %s', before));
    RAISE INFO '%: %', what, coalesce((SELECT CASE WHEN sqlstate IN ('3F000', '42883') THEN 'it is not found' ELSE sqlstate || ' ' || message END FROM aside.dead_events WHERE payload #>> '{}' = what),
        (SELECT t.what FROM told t ORDER BY n DESC LIMIT 1));
END $$;
CALL happens('as it was');
SET ROLE regress_aside_schema;
DROP FUNCTION regress_theirs.f(text);
CREATE FUNCTION regress_theirs.f(text) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.told (what) VALUES ('forged: ' || current_user) $$;
RESET ROLE;
CALL happens('made by the owner of the schema');
SET ROLE regress_aside_schema;
ALTER SCHEMA regress_theirs RENAME TO regress_old;
RESET ROLE;
CALL happens('gone');
CREATE SCHEMA regress_theirs AUTHORIZATION regress_aside_schema;
GRANT ALL ON SCHEMA regress_theirs TO PUBLIC;
SET ROLE regress_aside_heir;
CREATE FUNCTION regress_theirs.f(text) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.told (what) VALUES ('again: ' || current_user) $$;
RESET ROLE;
CALL happens('of the same owner');
DROP FUNCTION regress_theirs.f(text);
SET ROLE regress_aside_victim;
CREATE FUNCTION regress_theirs.f(text) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.told (what) VALUES ('own: ' || current_user) $$;
RESET ROLE;
CALL happens('of the handler''s owner');
DROP FUNCTION regress_theirs.f(text);
CREATE FUNCTION regress_theirs.f(text) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.told (what) VALUES ('super: ' || current_user) $$;
CALL happens('of a superuser');
SET ROLE regress_aside_victim;
SELECT async_event_off('calls'), async_event_on('regress_f', 'regress_old.f(text)', name => 'calls', max_attempts => 1);
RESET ROLE;
CALL happens('as it was said');
ALTER FUNCTION regress_old.f(text) OWNER TO regress_aside_writer;
CALL happens('handed on by its owner');

-- handlers of large numbers are handlers, and of larger ones none
SELECT last_value FROM aside.event_handler_id_seq \gset before_
SELECT setval('aside.event_handler_id_seq', 4000000000);
SELECT async_event_on('regress_l', command => 'INSERT INTO public.told (what) VALUES (''large: '' || pg_typeof($1))', name => 'large');
SELECT async_event_on('regress_l', command => 'SELECT 1/0', name => 'large and dead', max_attempts => 1);
SELECT async_event_emit('regress_l', '"emitted"') > 0;
CALL until('(SELECT count(*) FROM told WHERE what ~ ''^large'') = 1');
NOTIFY regress_l, 'notified';
CALL until('(SELECT count(*) FROM told WHERE what ~ ''^large'') = 2 AND (SELECT count(*) FROM aside.dead_events WHERE handler = ''large and dead'') = 1');
SELECT what FROM told WHERE what ~ '^large' ORDER BY what;
SELECT async_event_redrive('large and dead');
CALL until('(SELECT count(*) FROM aside.dead_events WHERE handler = ''large and dead'') = 1');
SELECT handler, state FROM aside.events WHERE channel = 'regress_l' ORDER BY id, handler;
SELECT handler, done > 0 AS done, notifications_done > 0 AS notified, dead FROM aside.event_stats WHERE channel = 'regress_l' ORDER BY handler;
SELECT async_event_emit('regress_l', delay => '1 day') AS later \gset
SET ROLE regress_aside_victim;
SELECT async_event_on('regress_v', command => 'SELECT 1', name => 'of a large number');
RESET ROLE;
SELECT async_event_emit('regress_v', delay => '1 day') AS theirs \gset
SET ROLE regress_aside_victim;
SELECT async_event_cancel(:theirs);
RESET ROLE;
SELECT async_event_cancel(:later);
SELECT setval('aside.event_handler_id_seq', 4294967295) > 0 AS last;
SELECT async_event_on('regress_l', command => 'SELECT 1', name => 'too large');
SELECT setval('aside.event_handler_id_seq', :before_last_value) > 0 AS back;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_aside_writer';
SELECT count(async_event_off(name)) FROM aside.handlers;
SET client_min_messages = warning;
DROP SCHEMA regress_theirs, regress_old CASCADE;
DROP TABLE told;
DROP PROCEDURE happens;
DROP OWNED BY regress_aside_writer, regress_aside_victim, regress_aside_heir, regress_aside_schema;
DROP ROLE regress_aside_writer, regress_aside_heir, regress_aside_victim, regress_aside_schema;
DROP FUNCTION row_of, row_of_schedule, row_of_job;
DROP PROCEDURE forge;
DROP TABLE rows_of_jobs;

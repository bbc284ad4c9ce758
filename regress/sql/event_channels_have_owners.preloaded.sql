-- Claim: a channel that a role has created is that role's: only it, the roles that it names and their members emit there, and have
-- notifications or events of it handled; its unique keys are all emitters' together. The server keeps these roles: they are renamed,
-- dropped, and given away as those of a table. A channel that nobody has created is open, its unique keys are each emitter's, unless
-- aside.open_channels is off. Nobody forges a channel.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_ch_own, regress_ch_new, regress_ch_emit, regress_ch_handle, regress_ch_team, regress_ch_else, regress_ch_write;
RESET client_min_messages;
CREATE ROLE regress_ch_own LOGIN IN ROLE aside_user;
CREATE ROLE regress_ch_team IN ROLE aside_user;
CREATE ROLE regress_ch_emit LOGIN IN ROLE regress_ch_team;
CREATE ROLE regress_ch_handle LOGIN IN ROLE aside_user;
CREATE ROLE regress_ch_else LOGIN IN ROLE aside_user;
CREATE ROLE regress_ch_write LOGIN IN ROLE aside_user, pg_write_all_data;
CREATE TABLE regress_told (n serial, handler text, payload text);
GRANT INSERT, SELECT ON regress_told TO PUBLIC;
GRANT USAGE ON SEQUENCE regress_told_n_seq TO PUBLIC;
CREATE FUNCTION regress_try(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text; shown text; hint text;
BEGIN
    EXECUTE command;
    RETURN 'ok';
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS said = RETURNED_SQLSTATE, shown = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', said, regexp_replace(shown, '\d+', 'N'), nullif(hint, ''));
END $$;
-- before anybody owns it: handlers and events of others
SET ROLE regress_ch_else;
SELECT async_event_on('regress_ch', command => $$INSERT INTO public.regress_told (handler, payload) VALUES ('else', $1::text)$$, name => 'regress_ch_else');
RESET ROLE;

SET ROLE regress_ch_own;
-- that would leave out another role's handler
SELECT regress_try($$SELECT async_channel_create('regress_ch', emit => '{regress_ch_team}', handle => '{regress_ch_handle}')$$);
SELECT count(*) FROM aside.channels;
SELECT regress_try($$SELECT async_channel_create('regress_ch', handle => '{regress_ch_else}')$$);
SELECT async_channel_drop('regress_ch');
RESET ROLE;
SELECT async_channel_create('regress_ch', emit => '{regress_ch_team}', handle => '{regress_ch_handle}');
SELECT async_channel_alter('regress_ch', owner => 'regress_ch_own');
SET ROLE regress_ch_own;
SELECT regress_try($$SELECT async_channel_create('regress_ch')$$);
SELECT channel, owner, emit, handle, reason FROM aside.channels;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '"own"')$$);
RESET ROLE;
CALL events_pass();
SET ROLE regress_ch_else;
SELECT channel, owner, emit, handle, reason FROM aside.channels;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '"else"')$$);
SELECT regress_try($$SELECT async_event_group('regress_ch')$$);
SELECT regress_try($$SELECT async_event_on('regress_ch', command => 'SELECT 1', name => 'regress_ch_2')$$);
SELECT regress_try($$SELECT async_event_on('regress_ch', pull => true, name => 'regress_ch_2')$$);
SELECT async_event_on('regress_open', command => 'SELECT 1');
SELECT regress_try($$SELECT async_event_alter('regress_open', channel => 'regress_ch')$$);
SELECT regress_try($$SELECT async_event_on('regress_ch', command => 'SELECT 1', name => 'regress_open', replace => true)$$);
SELECT async_event_off('regress_open');
SELECT regress_try($$SELECT async_channel_alter('regress_ch', emit => '{regress_ch_else}')$$);
SELECT regress_try($$SELECT async_channel_drop('regress_ch')$$);
RESET ROLE;
SET ROLE regress_ch_handle;
SELECT async_event_on('regress_ch', command => $$INSERT INTO public.regress_told (handler, payload) VALUES ('handle', $1::text)$$, name => 'regress_ch_h');
SELECT regress_try($$SELECT async_event_emit('regress_ch', '"handle"')$$);
RESET ROLE;
SELECT name, reason FROM aside.handlers WHERE name ~ '^regress_ch' ORDER BY name;
-- a member of the role that may emit; the handler of who may not handle gets nothing
SET ROLE regress_ch_emit;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '"emit"')$$);
RESET ROLE;
CALL until($$(SELECT count(*) FROM regress_told WHERE handler = 'handle') = 1$$);
CALL events_pass();
SELECT handler, payload FROM regress_told ORDER BY n;

-- unique keys are the channel's; of an open channel they are each emitter's
TRUNCATE regress_told;
SET ROLE regress_ch_own;
SELECT count(async_event_emit('regress_ch', '1', unique_key => 'k', delay => '1 hour')) AS emitted;
SELECT count(async_event_emit('regress_open', '1', unique_key => 'k')) AS emitted;
RESET ROLE;
SET ROLE regress_ch_emit;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '2', unique_key => 'k')$$);
SELECT count(async_event_emit('regress_ch', '3', unique_key => 'k', on_conflict => 'replace', delay => '1 hour')) AS emitted;
SELECT count(async_event_emit('regress_open', '2', unique_key => 'k')) AS emitted;
RESET ROLE;
CALL events_pass();
SELECT payload, state FROM aside.events WHERE handler = 'regress_ch_h' AND unique_key = 'k' ORDER BY id;
SELECT count(async_event_cancel(id)) FROM aside.events WHERE handler = 'regress_ch_h' AND payload = '3';

-- by NOTIFY: the sender is who has logged in, as long as it is there
SELECT current_user AS me \gset
\c - regress_ch_else
NOTIFY regress_ch, 'else';
SELECT pg_notify('regress_ch', 'else');
\c - regress_ch_emit
NOTIFY regress_ch, 'emit';
CALL until($$EXISTS (SELECT FROM regress_told WHERE payload = 'emit')$$);
\c - :me
SELECT handler, payload FROM regress_told;

-- who may is changed; a handler that may again gets what comes then
SET ROLE regress_ch_own;
SELECT async_channel_alter('regress_ch', handle => '{regress_ch_else, regress_ch_own}'), async_channel_alter('regress_ch', handle => '{regress_ch_else}'),
    async_channel_alter('regress_ch');
SELECT emit, handle FROM aside.channels;
RESET ROLE;
CALL events_pass();
TRUNCATE regress_told;
SET ROLE regress_ch_emit;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '4')$$);
RESET ROLE;
CALL until($$(SELECT count(*) FROM regress_told) = 1$$);
CALL events_pass();
SELECT handler, payload FROM regress_told;
SELECT name, reason FROM aside.handlers WHERE name ~ '^regress_ch' ORDER BY name;
-- in one transaction, and rolled back
BEGIN;
SET LOCAL ROLE regress_ch_own;
SELECT async_channel_alter('regress_ch', emit => '{}');
SET LOCAL ROLE regress_ch_emit;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '5')$$);
ROLLBACK;
SET ROLE regress_ch_emit;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '6', delay => '1 hour')$$);
RESET ROLE;
-- a group whose owner may not emit any more when it ends
SET ROLE regress_ch_emit;
SELECT async_event_group('regress_ch') AS kept \gset
SELECT async_event_group('regress_ch') AS lost \gset
SELECT async_event_group_close(:kept);
RESET ROLE;
CALL until(format('(SELECT state = ''ended'' FROM aside.event_groups WHERE id = %s)', :kept));
SET ROLE regress_ch_own;
SELECT async_channel_alter('regress_ch', emit => '{}');
SET ROLE regress_ch_emit;
SELECT async_event_group_close(:lost);
RESET ROLE;
CALL until(format('(SELECT state = ''ended'' FROM aside.event_groups WHERE id = %s)', :lost));
SELECT id = :kept AS kept, event IS NOT NULL AS emitted FROM aside.event_groups WHERE id IN (:kept, :lost) ORDER BY id;
SET ROLE regress_ch_own;
SELECT async_channel_alter('regress_ch', emit => '{regress_ch_team}');
RESET ROLE;

-- the server keeps the roles
ALTER ROLE regress_ch_own RENAME TO regress_ch_new;
SELECT channel, owner, emit, handle FROM aside.channels;
SELECT regress_try('DROP ROLE regress_ch_new'), regress_try('DROP ROLE regress_ch_else');
DROP OWNED BY regress_ch_team;
SELECT channel, owner, emit, handle FROM aside.channels;
SELECT async_channel_alter('regress_ch', owner => 'regress_ch_handle', handle => '{}');
SELECT channel, owner, emit, handle FROM aside.channels;
SET ROLE regress_ch_handle;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '7', delay => '1 hour')$$);
SELECT regress_try($$SELECT async_channel_alter('regress_ch', owner => 'regress_ch_else')$$);
RESET ROLE;
REASSIGN OWNED BY regress_ch_handle TO regress_ch_else;
SELECT channel, owner FROM aside.channels;
DROP OWNED BY regress_ch_else;
SELECT count(*) FROM aside.channels;
SET ROLE regress_ch_emit;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '8', delay => '1 hour')$$);
SELECT async_channel_create('regress_ch', emit => '{aside_user}');
SELECT channel, owner, emit, handle FROM aside.channels;
RESET ROLE;
SET ROLE regress_ch_write;
SELECT regress_try($$SELECT async_event_emit('regress_ch', '9', delay => '1 hour')$$);
-- nobody forges one
SELECT regress_try($$INSERT INTO aside.event_channel (name, owner) VALUES ('regress_forged', 'postgres')$$);
SELECT regress_try($$UPDATE aside.event_channel SET owner = 'regress_ch_write'$$), regress_try('DELETE FROM aside.event_channel');
RESET ROLE;
-- while events wait it is dropped: it is open again
SET ROLE regress_ch_emit;
SELECT async_channel_drop('regress_ch');
RESET ROLE;
SET ROLE regress_ch_write;
SELECT regress_try($$SELECT async_event_on('regress_ch', command => 'SELECT 1', name => 'regress_ch_w')$$);
RESET ROLE;
-- closed
SET aside.open_channels = off;
SELECT regress_try($$SELECT async_event_emit('regress_ch')$$);
SELECT regress_try($$SELECT async_event_on('regress_ch', command => 'SELECT 1', name => 'regress_ch_3')$$);
SELECT regress_try($$SELECT async_event_on('aside.failed', command => 'SELECT 1', name => 'regress_ch_f')$$);
RESET aside.open_channels;
-- what cannot be
SELECT regress_try(format('SELECT async_channel_%s', a)) FROM (VALUES ('create(NULL)'), ('create('''')'), ('create(''aside.x'')'), ('create(repeat(''x'', 2001))'),
    ('create(''regress_x'', ''{NULL}'')'), ('create(''regress_x'', ''{-}'')'), ('alter(''regress_none'')'), ('alter(NULL)'), ('drop(''regress_none'')'), ('drop(NULL)')) v (a);
BEGIN READ ONLY;
SELECT regress_try($$SELECT async_channel_create('regress_x')$$);
ROLLBACK;
SELECT count(async_event_off(name)) FROM aside.handlers WHERE name ~ '^regress_ch';
DROP TABLE regress_told;
DROP FUNCTION regress_try;
SET client_min_messages = warning;
DROP OWNED BY regress_ch_new, regress_ch_emit, regress_ch_handle, regress_ch_team, regress_ch_else, regress_ch_write;
DROP ROLE regress_ch_new, regress_ch_emit, regress_ch_handle, regress_ch_team, regress_ch_else, regress_ch_write;

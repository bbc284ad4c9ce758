-- Claim: each handler of a channel gets each event of it, whole, in the form
-- that it takes.
\set SHOW_CONTEXT never
CREATE TABLE told (n serial, handler text, what text);
CREATE FUNCTION he(e aside.event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO told (handler, what) VALUES ('event', format('%s|%s|%s|%s|%s|%s|%s|%s|%s', e.id > 0, e.channel, e.payload, e.key, e.headers, e.attempt,
        clock_timestamp() - e.emitted BETWEEN '0' AND '1 min', e.emitted_by, e.priority));
END $$;
CREATE FUNCTION ha(e aside.event[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO told (handler, what) SELECT 'array of ' || array_length(e, 1), x.payload FROM unnest(e) x ORDER BY x.id;
$$;
CREATE FUNCTION hj(j jsonb) RETURNS jsonb LANGUAGE sql AS $$
    INSERT INTO told (handler, what) VALUES ('jsonb', coalesce(jsonb_typeof(j), 'null') || ' ' || coalesce(j::text, 'NULL')) RETURNING j $$;
CREATE FUNCTION ht(t text) RETURNS SETOF text LANGUAGE sql AS $$
    INSERT INTO told (handler, what) VALUES ('text', coalesce(t, 'NULL')) RETURNING t $$;
SELECT async_event_on('forms', 'he(aside.event)', name => 'forms_e'), async_event_on('forms', 'ha(aside.event[])', name => 'forms_a'),
    async_event_on('forms', 'hj(jsonb)', name => 'forms_j'), async_event_on('forms', 'ht(text)', name => 'forms_t'),
    async_event_on('forms', command => 'INSERT INTO public.told (handler, what) VALUES (''command'', coalesce($1::text, ''NULL'') || '' '' || $2)', name => 'forms_c');
CREATE FUNCTION tell(OUT handler text, OUT what text) RETURNS SETOF record LANGUAGE sql AS $$
    DELETE FROM told RETURNING handler, what $$;
CREATE VIEW pending AS SELECT FROM aside.events WHERE channel = 'forms' AND state IN ('waiting', 'delayed', 'running', 'retrying');

SELECT async_event_emit('forms') > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT * FROM tell() ORDER BY 1;
SELECT async_event_emit('forms', '{"a": [1, 2.50, null], "b": "x"}', 'k', priority => 3, headers => '{"h": 1}') > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT * FROM tell() ORDER BY 1;
SELECT async_event_emit('forms', '"a \"string\" in\n two lines"') > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT * FROM tell() ORDER BY 1;
SELECT async_event_emit('forms', 'null') > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT * FROM tell() ORDER BY 1;
SELECT async_event_emit('forms', '""', '', headers => 'null') > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT * FROM tell() ORDER BY 1;
SELECT async_event_emit('forms', '["ü", "\u20ac", "日本", "🐘"]', '🔑', headers => '"ß"') > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT * FROM tell() ORDER BY 1;

-- 10 MB
SELECT async_event_emit('forms', to_jsonb(repeat('0123456789', 1000000)), repeat('k', 100000), headers => to_jsonb(repeat('h', 1000000))) > 0;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT handler, length(what) FROM tell() ORDER BY 1;
-- what does not compress well is kept elsewhere, and comes whole
SELECT async_event_emit('forms', jsonb_build_object('sum', md5(string_agg(md5(g::text), ',' ORDER BY g)), 'all', string_agg(md5(g::text), ',' ORDER BY g))) > 0
FROM generate_series(1, 60000) g;
CALL until('(SELECT count(*) FROM told) = 5');
SELECT what::jsonb ->> 'sum' = md5(what::jsonb ->> 'all') AS whole FROM tell() WHERE handler ~ '^(array|text)' ORDER BY handler;

-- no one else's channel; a channel's name is taken as it is
SELECT async_event_emit('Forms') > 0, async_event_emit('forms ') > 0, async_event_emit(repeat('forms', 1000)) > 0;
SELECT async_event_on(repeat('long', 100), 'ht(text)', name => 'forms_long') , async_event_on('Ünï "C"', 'ht(text)', name => 'forms_odd');
SELECT async_event_emit(repeat('long', 100), '"long"') > 0, async_event_emit('Ünï "C"', '"odd"') > 0, async_event_emit(repeat('long', 99), '"short"') > 0;
CALL until('(SELECT count(*) FROM told) = 2');
SELECT * FROM tell() ORDER BY 2;
SELECT DISTINCT handler, state FROM aside.events WHERE channel IN ('Forms', 'forms ', repeat('forms', 1000), repeat('long', 99));
-- emitting asks for a channel
SELECT async_event_emit(NULL);
SELECT async_event_emit('');
SELECT async_event_emit('forms', on_conflict => 'ignore');
SELECT async_event_emit('forms', delay => '1 s', run_at => now());
\set VERBOSITY sqlstate
SELECT async_event_emit(NULL);
SELECT async_event_emit('forms', on_conflict => 'ignore');
SELECT async_event_emit('forms', on_conflict => 'ignore', unique_key => 'k');
SELECT async_event_emit('forms', delay => '1 s', run_at => now());
\set VERBOSITY default

-- a command may be any statement that has a plan, and is told its parameters' types
SELECT async_event_off('forms_e'), async_event_off('forms_a'), async_event_off('forms_j'), async_event_off('forms_t'), async_event_off('forms_c'), async_event_off('forms_long'), async_event_off('forms_odd');
CREATE PROCEDURE hp(j jsonb, c text) LANGUAGE sql AS $$ INSERT INTO told (handler, what) VALUES ('procedure', c || ' ' || j::text) $$;
SELECT async_event_on('forms', command => 'CALL public.hp($1, $2)', name => 'forms_1'),
    async_event_on('forms', command => 'DO $x$ BEGIN INSERT INTO public.told (handler) VALUES (''DO''); END $x$', name => 'forms_2'),
    async_event_on('forms', command => 'INSERT INTO public.told (handler, what) SELECT ''two 1'', $1 ->> ''a''; INSERT INTO public.told (handler, what) SELECT ''two 2'', pg_typeof($1) || '' '' || pg_typeof($2)', name => 'forms_3'),
    async_event_on('forms', command => 'SELECT', name => 'forms_4'),
    async_event_on('forms', command => '-- nothing', name => 'forms_5'),
    async_event_on('forms', command => 'no SQL', name => 'forms_6', max_attempts => 1),
    async_event_on('forms', command => 'SELECT $3', name => 'forms_7', max_attempts => 1),
    async_event_on('forms', command => 'COMMIT', name => 'forms_8', max_attempts => 1),
    async_event_on('forms', command => 'VACUUM public.told', name => 'forms_9', max_attempts => 1),
    async_event_on('forms', command => 'LISTEN x', name => 'forms_a', max_attempts => 1),
    async_event_on('forms', command => 'COPY public.told TO STDOUT', name => 'forms_b', max_attempts => 1);
SELECT async_event_emit('forms', '{"a": 1}') > 0;
CALL until('NOT EXISTS (SELECT FROM pending)');
SELECT * FROM tell() ORDER BY 1;
SELECT handler, state, sqlstate, CASE WHEN message ~ 'handler' THEN message END AS message FROM aside.events WHERE channel = 'forms' AND handler IS NOT NULL ORDER BY handler;
-- a handler is called for each event, whatever it returns
SELECT count(async_event_off(name)) FROM aside.handlers WHERE channel = 'forms';
CREATE FUNCTION hn(t text) RETURNS int LANGUAGE plpgsql STRICT AS $$ BEGIN INSERT INTO told (handler, what) VALUES ('strict', t); RETURN NULL; END $$;
CREATE FUNCTION hr(t text) RETURNS TABLE (x int, y int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told (handler, what) VALUES ('table', t); RETURN QUERY SELECT 1, 2; END $$;
CREATE FUNCTION hb(t text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told (handler, what) VALUES ('false', t); RETURN false; END $$;
CREATE FUNCTION hv(VARIADIC e aside.event[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told (handler, what) VALUES ('variadic', e[1].payload); END $$;
CREATE FUNCTION hx(t text) RETURNS void LANGUAGE plpgsql_autonomous AS $$ BEGIN INSERT INTO told (handler, what) VALUES ('autonomous', t); END $$;
SELECT async_event_on('forms', 'hn(text)', name => 'forms_1', max_attempts => 1), async_event_on('forms', 'hr(text)', name => 'forms_2', max_attempts => 1),
    async_event_on('forms', 'hb(text)', name => 'forms_3', max_attempts => 1), async_event_on('forms', 'hv(aside.event[])', name => 'forms_4', max_attempts => 1),
    async_event_on('forms', 'hx(text)', name => 'forms_5', max_attempts => 1);
SELECT async_event_emit('forms', '7') > 0;
CALL until('NOT EXISTS (SELECT FROM pending)');
SELECT * FROM tell() ORDER BY 1;
SELECT handler, state, sqlstate, CASE WHEN message ~ 'handler' THEN message END AS message FROM aside.events WHERE channel = 'forms' AND handler IS NOT NULL ORDER BY handler;
SELECT count(async_event_off(name)) FROM aside.handlers WHERE channel = 'forms';
DROP VIEW pending;
DROP TABLE told;
DROP FUNCTION he, ha, hj, ht, hn, hr, hb, hv, hx, tell;
DROP PROCEDURE hp;

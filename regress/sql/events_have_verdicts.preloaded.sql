-- Claim: a handler puts an event off, with what it did committed and no attempt counted, or gives it up at once; an event may have
-- attempts, a timeout and an end of its own; and what waits is changed by its emitter, but not what has ended.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_verdicts_a, regress_verdicts_b;
RESET client_min_messages;
CREATE ROLE regress_verdicts_a LOGIN IN ROLE aside_user;
CREATE ROLE regress_verdicts_b LOGIN IN ROLE aside_user;
CREATE TABLE regress_did (n serial, id bigint, payload jsonb, attempt int);
CREATE FUNCTION regress_did(e aside.event) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.regress_did (id, payload, attempt) VALUES (e.id, e.payload, e.attempt) $$;
CREATE VIEW regress_events AS SELECT payload, handler, state, attempts, sqlstate, message, next_at > now() AS later FROM aside.events WHERE handler ~ '^regress_';

-- put off: twice, then it is done; a subtransaction that fails takes its word back
CREATE FUNCTION regress_snooze(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
DECLARE before bigint;
BEGIN
    SELECT count(*) INTO before FROM public.regress_did d WHERE d.id = e.id;
    PERFORM public.regress_did(e);
    BEGIN
        PERFORM async_event_snooze('1 hour');
        RAISE 'back';
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
    IF before < 2 THEN
        PERFORM async_event_snooze('1 hour');
        PERFORM async_event_snooze(until => now());
    END IF;
END $$;
SELECT async_event_on('regress_s', 'regress_snooze(aside.event)', max_attempts => 1);
SELECT count(async_event_emit('regress_s', '1', unique_key => 'k'));
CALL until($$(SELECT count(*) = 1 FROM aside.events WHERE handler = 'regress_s' AND state = 'done')$$);
SELECT payload, attempt FROM regress_did ORDER BY n;
SELECT attempt, state, count(*) FROM aside.event_runs WHERE handler = 'regress_s' GROUP BY 1, 2;
SELECT count(*) FROM aside.event_unique WHERE channel = 'regress_s';
-- until much later: what the views say meanwhile, also for the next coordinator
CREATE OR REPLACE FUNCTION regress_snooze(e aside.event) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM public.regress_did(e); PERFORM async_event_snooze('1 hour'); END $$;
TRUNCATE regress_did;
SELECT count(async_event_emit('regress_s', '2', unique_key => 'k'));
CALL until($$(SELECT count(*) = 1 FROM regress_events WHERE state = 'delayed')$$);
SELECT * FROM regress_events WHERE payload = '2';
SELECT r.attempt, r.state FROM aside.event_runs r JOIN aside.events e ON e.id = r.event WHERE e.handler = 'regress_s' AND e.payload = '2' AND r.handler = 'regress_s';
SELECT count(*) FROM aside.event_unique WHERE channel = 'regress_s';
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'pg_aside coordinator' AND datname = current_database();
CALL events_pass();
SELECT count(*) FROM regress_did;
-- and its emitter has it come now
SELECT async_event_update(id, run_at => now()) FROM aside.events WHERE handler = 'regress_s' AND payload = '2';
CALL until('(SELECT count(*) = 2 FROM regress_did)');
SELECT async_event_cancel(id) FROM aside.events WHERE handler = 'regress_s' AND payload = '2';
CALL events_pass();
SELECT * FROM regress_events WHERE payload = '2';
SELECT async_event_off('regress_s');
-- an ordered handler: those of its key wait, whether they share its batch or not
CREATE OR REPLACE FUNCTION regress_snooze(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.regress_did(e);
    IF e.payload = '1' AND (SELECT count(*) = 1 FROM public.regress_did d WHERE d.id = e.id) THEN PERFORM async_event_snooze('0'); END IF;
END $$;
TRUNCATE regress_did RESTART IDENTITY;
SELECT async_event_on('regress_s', 'regress_snooze(aside.event)', ordered => true, batch_size => 3);
SELECT count(async_event_emit('regress_s', to_jsonb(i), key => 'k')) FROM generate_series(0, 3) i;
CALL until('(SELECT count(*) = 5 FROM regress_did)');
SELECT payload, attempt FROM regress_did ORDER BY n;
SELECT async_event_off('regress_s');

-- given up
CREATE FUNCTION regress_discard(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.regress_did(e);
    BEGIN PERFORM async_event_discard('not yet'); EXCEPTION WHEN OTHERS THEN PERFORM set_config('regress.code', SQLSTATE, true); END;
    IF e.payload = '1' THEN PERFORM async_event_discard('no such customer'); END IF;
END $$;
TRUNCATE regress_did;
SELECT async_event_on('regress_d', 'regress_discard(aside.event)', batch_size => 3, max_attempts => 100);
SELECT count(async_event_emit('regress_d', to_jsonb(i))) FROM generate_series(0, 2) i;
CALL until($$(SELECT count(*) = 3 FROM regress_events WHERE handler = 'regress_d' AND state IN ('done', 'dead'))$$);
SELECT * FROM regress_events WHERE handler = 'regress_d' ORDER BY payload;
SELECT payload, attempts, sqlstate, message FROM aside.dead_events WHERE handler = 'regress_d';
SELECT payload FROM regress_did ORDER BY payload;
SELECT async_event_off('regress_d');

-- not by others
SELECT async_event_snooze('1 s');
SELECT async_event_discard('x');
CREATE FUNCTION regress_wrong(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE e.payload ->> 0
        WHEN 'none' THEN PERFORM async_event_snooze();
        WHEN 'both' THEN PERFORM async_event_snooze('1 s', now());
        WHEN 'never' THEN PERFORM async_event_snooze(until => 'infinity');
        WHEN 'aside' THEN PERFORM autonomous_exec($c$SELECT async_event_snooze('1 s')$c$);
        ELSE PERFORM async_event_snooze('1 s');
    END CASE;
END $$;
SELECT async_event_on('regress_w', 'regress_wrong(aside.event)', max_attempts => 1);
SELECT count(async_event_emit('regress_w', to_jsonb(ARRAY[what]))) FROM unnest('{none,both,never,aside}'::text[]) what;
CALL until($$(SELECT count(*) = 4 FROM aside.dead_events WHERE handler = 'regress_w')$$);
SELECT payload, sqlstate, message FROM aside.dead_events WHERE handler = 'regress_w' ORDER BY id;
NOTIFY regress_w, 'n';
CALL until($$(SELECT notifications_failed = 1 FROM aside.event_stats WHERE handler = 'regress_w')$$);
SELECT failures -> '55000' FROM aside.event_stats WHERE handler = 'regress_w';
SELECT async_event_off('regress_w');

-- limits of one event
SELECT async_event_on('regress_l', command => 'SELECT pg_sleep(CASE WHEN $1 ? ''slow'' THEN 60 END), 1 / ($1 ->> ''d'')::int', max_attempts => 2, backoff => '0', batch_size => 5);
SELECT count(async_event_emit('regress_l', '{"d": 0}', max_attempts => 1)), count(async_event_emit('regress_l', '{"d": 0}', max_attempts => 4)),
    count(async_event_emit('regress_l', '{"d": 0}')), count(async_event_emit('regress_l', '{"slow": 1, "d": 1}', max_attempts => 1, timeout => '50 ms')),
    count(async_event_emit('regress_l', '{"d": 1}'));
CALL until($$(SELECT count(*) = 5 FROM regress_events WHERE handler = 'regress_l' AND state IN ('done', 'dead'))$$);
SELECT e.payload, e.max_attempts, e.timeout, e.state, e.attempts, e.sqlstate FROM aside.events e WHERE handler = 'regress_l' ORDER BY id;
-- which a redriven one keeps
SELECT async_event_redrive('regress_l', ARRAY(SELECT id FROM aside.dead_events WHERE handler = 'regress_l' AND attempts = 4));
CALL until($$(SELECT count(*) = 2 FROM aside.events WHERE handler = 'regress_l' AND attempts = 4 AND state = 'dead')$$);
-- expiry: also while the handler is paused, but not of what has begun
SELECT async_event_pause('regress_l');
SELECT count(async_event_emit('regress_l', '{"x": 1, "d": 1}', expires => '10 ms', unique_key => 'x')), count(async_event_emit('regress_l', '{"x": 2, "d": 1}', expires => '1 h'));
CALL until($$(SELECT count(*) = 1 FROM regress_events WHERE state = 'expired')$$);
SELECT payload, state, attempts FROM regress_events WHERE payload ? 'x' ORDER BY payload;
SELECT count(*) FROM aside.event_unique WHERE channel = 'regress_l';
SELECT async_event_resume('regress_l');
CALL until($$(SELECT count(*) = 1 FROM regress_events WHERE payload ->> 'x' = '2' AND state = 'done')$$);
SELECT async_event_off('regress_l');
\set VERBOSITY terse
SELECT async_event_emit('regress_l', max_attempts => 0);
SELECT async_event_emit('regress_l', timeout => '0');
SELECT async_event_emit('regress_l', expires => '-1 s');
\set VERBOSITY default

-- changed while it waits
TRUNCATE regress_did RESTART IDENTITY;
GRANT USAGE ON SCHEMA public TO regress_verdicts_a, regress_verdicts_b;
SELECT async_event_on('regress_u', 'regress_did(aside.event)');
SELECT async_event_pause('regress_u');
SET ROLE regress_verdicts_a;
SELECT async_event_emit('regress_u', '"first"') AS first \gset
SELECT async_event_emit('regress_u', '"second"', delay => '1 hour') AS second \gset
BEGIN;
SELECT async_event_emit('regress_u', '"third"') AS third \gset
SELECT async_event_update(:third, '"third, changed at once"');
COMMIT;
SELECT async_event_update(:first, priority => -3), async_event_update(:second, '"second, changed"', now() - interval '1 min', 7);
SELECT payload, priority, state FROM aside.events WHERE channel = 'regress_u' ORDER BY id;
BEGIN;
SELECT async_event_update(:first, '"never"');
ROLLBACK;
SELECT async_event_update(:first, run_at => 'infinity');
SELECT async_event_update(NULL);
SELECT async_event_update(0), async_event_update(:first - 1000000);
SET ROLE regress_verdicts_b;
\set VERBOSITY sqlstate
SELECT async_event_update(:first, '"of another"');
\set VERBOSITY default
RESET ROLE;
SELECT async_event_resume('regress_u');
CALL until('(SELECT count(*) = 3 FROM regress_did)');
SELECT payload FROM regress_did ORDER BY n;
SELECT async_event_update(:first, '"too late"', now());
CALL events_pass();
SELECT count(*), count(DISTINCT id) FROM regress_did;
SELECT async_event_off('regress_u');
DROP VIEW regress_events;
DROP TABLE regress_did;
DROP FUNCTION regress_did, regress_snooze, regress_discard, regress_wrong;
DROP OWNED BY regress_verdicts_a, regress_verdicts_b;
DROP ROLE regress_verdicts_a, regress_verdicts_b;

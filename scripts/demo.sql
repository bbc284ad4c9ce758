-- Role: the story that `make demo` tells. Run by psql -q; \echo speaks, the SQL is shown where it is the point.
\set ON_ERROR_STOP on
\set SHOW_CONTEXT never
\pset footer off
\pset linestyle ascii
SET client_min_messages = warning;

CREATE EXTENSION pg_aside;
CREATE EXTENSION dblink;
CREATE TABLE account (owner text PRIMARY KEY, balance numeric CHECK (balance >= 0));
INSERT INTO account VALUES ('alice', 100), ('bob', 0);
CREATE TABLE audit (id int GENERATED ALWAYS AS IDENTITY, who text, what text);

CREATE PROCEDURE pay(payer text, payee text, amount numeric) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM autonomous_exec('INSERT INTO audit (who, what) VALUES ($1, $2)',
                            payer, format('tries to pay %s to %s', amount, payee));
    UPDATE account SET balance = balance + amount WHERE owner = payee;
    UPDATE account SET balance = balance - amount WHERE owner = payer;
END $$;

\echo
\echo 'pg_aside runs SQL in another transaction, inside the server: what it did stays when yours rolls back.'
\echo
\echo '1. A payment fails and rolls back. Its audit row stays.'
\echo
\echo '   Alice has 100. pay() first writes an audit row, then moves the money:'
\echo '      PERFORM autonomous_exec(''INSERT INTO audit (who, what) VALUES ($1, $2)'', payer, ...);'
\echo '      UPDATE account ...'
\echo
\echo '   CALL pay(''alice'', ''bob'', 500);'
\set ON_ERROR_STOP off
CALL pay('alice', 'bob', 500);
\set ON_ERROR_STOP on
\echo
SELECT * FROM account ORDER BY owner;
SELECT * FROM audit;
\echo '   No money moved: the payment was rolled back, all of it. The attempt is on record all the same, because'
\echo '   autonomous_exec ran in another transaction, in a background worker, and committed before it returned.'
\echo
\echo '2. The same in the language itself: a function and a trigger declared autonomous.'
\echo
\echo '   CREATE FUNCTION log_try(what text) RETURNS void LANGUAGE plpgsql_autonomous AS $$'
\echo '   BEGIN INSERT INTO audit (who, what) VALUES (current_user, log_try.what); END $$;'
CREATE FUNCTION log_try(what text) RETURNS void LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO audit (who, what) VALUES (current_user, log_try.what);
END $$;
CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql_autonomous AS $$
BEGIN
    INSERT INTO audit (who, what) VALUES (current_user, format('%s of %s: %s', tg_op, tg_table_name, new.owner));
    RETURN new;
END $$;
CREATE TRIGGER log_change BEFORE UPDATE ON account FOR EACH ROW EXECUTE FUNCTION log_change();
\echo '   BEGIN; SELECT log_try(''by a function''); UPDATE account ...; ROLLBACK;    -- a trigger on account logs the change'
BEGIN;
\o /dev/null
SELECT log_try('by a function');
\o
UPDATE account SET balance = 1 WHERE owner = 'alice';
ROLLBACK;
SELECT who, what FROM audit WHERE id > 1;
DROP TRIGGER log_change ON account;
\echo '3. Parameters are typed values, not text: NULL, quotes, arrays and timestamps arrive as they are.'
\echo
CREATE TABLE note (n int, body text, tags text[], missing date);
\echo '   SELECT autonomous_exec(''INSERT INTO note VALUES ($1, $2, $3, $4)'', 7, ''it''''s fine'', ARRAY[''a'',''b c''], NULL::date);'
SELECT autonomous_exec('INSERT INTO note VALUES ($1, $2, $3, $4)', 7, 'it''s fine', ARRAY['a','b c'], NULL::date) AS rows_processed;
\pset null (null)
SELECT * FROM note;
\echo '4. An error over there is an ordinary error here: caught by its SQLSTATE, with the original fields.'
\echo
\echo '   EXCEPTION WHEN unique_violation THEN ... GET STACKED DIAGNOSTICS ...'
CREATE TABLE caught (sqlstate text, message text, detail text, "constraint" text);
DO $$
DECLARE
    c caught;
BEGIN
    PERFORM autonomous_exec('INSERT INTO account VALUES ($1, 1)', 'bob');
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS c.sqlstate = RETURNED_SQLSTATE, c.message = MESSAGE_TEXT,
        c.detail = PG_EXCEPTION_DETAIL, c.constraint = CONSTRAINT_NAME;
    INSERT INTO caught VALUES (c.*);
END $$;
\x on
SELECT * FROM caught;
\x off
\echo
\echo '5. Rows come back, typed by you or as JSON.'
\echo
\echo '   SELECT * FROM autonomous_query(''SELECT owner, balance FROM account WHERE balance < $1'', 1000) AS t(owner text, balance numeric);'
SELECT * FROM autonomous_query('SELECT owner, balance FROM account WHERE balance < $1 ORDER BY owner', 1000) AS t(owner text, balance numeric);
\echo '   SELECT * FROM autonomous_json(''SELECT * FROM audit'');'
SELECT * FROM autonomous_json('SELECT * FROM audit');
\echo '6. A session: a transaction that stays open from call to call, whatever becomes of yours.'
\echo
\echo '   SELECT autonomous_session_open(''books'');'
\echo '   SELECT autonomous_session_exec(''books'', ''BEGIN'');'
\echo '   BEGIN;                                                          -- yours'
\echo '   SELECT autonomous_session_exec(''books'', ''UPDATE account SET balance = balance - $1 WHERE owner = $2'', 30, ''alice'');'
\echo '   ROLLBACK;                                                       -- yours'
\o /dev/null
SELECT autonomous_session_open('books');
SELECT autonomous_session_exec('books', 'BEGIN');
BEGIN;
SELECT autonomous_session_exec('books', 'UPDATE account SET balance = balance - $1 WHERE owner = $2', 30, 'alice');
ROLLBACK;
\o
SELECT owner, balance AS "seen from here" FROM account ORDER BY owner;
\echo '   SELECT autonomous_session_exec(''books'', ''UPDATE account SET balance = balance + $1 WHERE owner = $2'', 30, ''bob'');'
\echo '   SELECT autonomous_session_exec(''books'', ''COMMIT''), autonomous_session_close(''books'');'
\o /dev/null
SELECT autonomous_session_exec('books', 'UPDATE account SET balance = balance + $1 WHERE owner = $2', 30, 'bob');
SELECT autonomous_session_exec('books', 'COMMIT'), autonomous_session_close('books');
\o
SELECT owner, balance AS "and after its commit" FROM account ORDER BY owner;
\echo '7. A task: it runs while you go on, says how far it is, and keeps its result.'
\echo
CREATE PROCEDURE until(condition text) LANGUAGE plpgsql AS $$
DECLARE
    met boolean;
BEGIN
    FOR i IN 1 .. 1000 LOOP
        EXECUTE 'SELECT ' || condition INTO met;
        COMMIT; -- no lock is kept on what it has looked at
        EXIT WHEN met;
        PERFORM pg_sleep(0.01);
    END LOOP;
    IF met IS NOT TRUE THEN
        RAISE 'this did not come about within 10 s: %', condition;
    END IF;
END $$;
CREATE FUNCTION audit_all() RETURNS TABLE (owner text, entries bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM async_progress(50, 'half of it');
    PERFORM pg_sleep(0.3);
    RETURN QUERY SELECT a.who, count(*) FROM audit a GROUP BY 1;
END $$;
\echo '   SELECT async_exec(''SELECT * FROM audit_all()'') AS task \\gset    -- it calls async_progress(50, ''half of it'')'
SELECT async_exec('SELECT * FROM audit_all()') AS task \gset
CALL until(format('progress = 50 FROM aside.tasks WHERE id = %s', :task));
SELECT state, command, progress, progress_message FROM aside.tasks WHERE id = :task;
\echo '   SELECT * FROM async_result(:task) AS t(owner text, entries bigint);'
SELECT * FROM async_result(:task) AS t(owner text, entries bigint) ORDER BY owner;
\echo '8. A NOTIFY is handled in the server: a trigger notifies, and a handler keeps a summary fresh. No client listens.'
\echo
CREATE TABLE sale (item text, amount numeric);
CREATE MATERIALIZED VIEW sales AS SELECT item, sum(amount) AS amount FROM sale GROUP BY item;
CREATE FUNCTION sale_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY sale;
    RETURN NULL;
END $$;
CREATE TRIGGER sale_made AFTER INSERT ON sale FOR EACH STATEMENT EXECUTE FUNCTION sale_made();
\echo '   CREATE TRIGGER sale_made AFTER INSERT ON sale ...                -- its function says: NOTIFY sale'
\echo '   SELECT async_event_on(''sale'', command => ''REFRESH MATERIALIZED VIEW sales'');'
\echo '   INSERT INTO sale VALUES (''bolts'', 3), (''bolts'', 4), (''nuts'', 1);'
\o /dev/null
SELECT async_event_on('sale', command => 'REFRESH MATERIALIZED VIEW sales');
-- When it has handled an event of its own, it listens too.
SELECT async_event_emit('sale');
CALL until($$count(*) = 1 FROM aside.event_runs WHERE handler = 'sale' AND state = 'done'$$);
\o
INSERT INTO sale VALUES ('bolts', 3), ('bolts', 4), ('nuts', 1);
CALL until('count(*) = 2 FROM sales');
SELECT * FROM sales ORDER BY item;
\echo '9. An event is part of your transaction, and is tried until its handler succeeds. This one fails twice.'
\echo
CREATE TABLE address (customer text PRIMARY KEY, street text);
INSERT INTO address VALUES ('alice', 'Long Lane 1');
CREATE TABLE parcel (customer text, street text NOT NULL, attempt int);
CREATE FUNCTION ship(e aside.event) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO parcel VALUES (e.payload ->> 'customer',
                               (SELECT street FROM address WHERE customer = e.payload ->> 'customer'), e.attempt);
    IF e.attempt < 3 THEN
        RAISE 'the carrier does not answer';
    END IF;
END $$;
\echo '   SELECT async_event_on(''order'', ''ship(aside.event)'', max_attempts => 4, backoff => ''100 ms'');'
\echo '   BEGIN; SELECT async_event_emit(''order'', ''{"customer": "bob"}''); ROLLBACK;          -- this one never was'
\echo '   BEGIN; SELECT async_event_emit(''order'', ''{"customer": "alice"}''); COMMIT;'
\o /dev/null
SELECT async_event_on('order', 'ship(aside.event)', max_attempts => 4, backoff => '100 ms');
BEGIN;
SELECT async_event_emit('order', '{"customer": "bob"}');
ROLLBACK;
BEGIN;
SELECT async_event_emit('order', '{"customer": "alice"}');
COMMIT;
\o
CALL until($$count(*) = 1 FROM aside.event_runs WHERE handler = 'order' AND state = 'done'$$);
SELECT attempt, state, sqlstate, message FROM aside.event_runs WHERE handler = 'order' ORDER BY attempt;
SELECT * FROM parcel;
\echo '   One parcel: what an attempt that failed had written was rolled back, and success is recorded in the same'
\echo '   transaction as the parcel.'
\echo
\echo '10. A poisoned event stops nobody. It lands among the dead, and is sent again when the cause is mended.'
\echo
\echo '   SELECT async_event_emit(''order'', ''{"customer": "carol"}''), async_event_emit(''order'', ''{"customer": "alice"}'');'
\o /dev/null
SELECT async_event_emit('order', '{"customer": "carol"}'), async_event_emit('order', '{"customer": "alice"}');
\o
CALL until($$(SELECT count(*) = 2 FROM parcel) AND EXISTS (SELECT FROM aside.dead_events)$$);
SELECT handler, payload, attempts, sqlstate, message FROM aside.dead_events;
\echo '   INSERT INTO address VALUES (''carol'', ''Mill Row 7'');'
\echo '   SELECT async_event_redrive(''order'');'
\o /dev/null
INSERT INTO address VALUES ('carol', 'Mill Row 7');
SELECT async_event_redrive('order');
\o
CALL until('count(*) = 3 FROM parcel');
SELECT customer, street FROM parcel ORDER BY customer;
SELECT count(*) AS dead FROM aside.dead_events;
\echo '11. Schedules: one by the second, one that fails and is tried again, and when one is due across a change of the clock.'
\echo
CREATE TABLE ticks (at timestamptz DEFAULT clock_timestamp());
\echo '   SELECT schedule_set(''tick'', ''* * * * * *'', ''INSERT INTO ticks DEFAULT VALUES'');'
\echo '   SELECT schedule_set(''flaky'', ''@yearly'', ''SELECT 1 / (count(*) / 3) FROM ticks'', max_attempts => 9, backoff => ''500 ms'');'
\echo '   SELECT schedule_run_now(''flaky'') AS run \\gset                     -- it fails until there are three ticks'
\echo '   SELECT schedule_wait(:run, ''1 minute'');'
\o /dev/null
SELECT schedule_set('tick', '* * * * * *', 'INSERT INTO ticks DEFAULT VALUES');
SELECT schedule_set('flaky', '@yearly', 'SELECT 1 / (count(*) / 3) FROM ticks', max_attempts => 9, backoff => '500 ms');
SELECT schedule_run_now('flaky') AS run \gset
SELECT schedule_wait(:run, '1 minute');
\o
\echo
\echo '   SELECT name, spec, state, last_state, consecutive_failures FROM aside.schedules;'
SELECT name, spec, state, last_state, consecutive_failures FROM aside.schedules ORDER BY name;
\echo '   SELECT schedule, attempt, state, rows, command_tag, message FROM aside.schedule_runs;'
SELECT schedule, attempt, state, rows, command_tag, message FROM aside.schedule_runs ORDER BY schedule, run, attempt;
\echo '   SELECT * FROM schedule_preview(''30 2 * * *'', ''Europe/Berlin'', 3, ''2024-03-30 12:00+01'');   -- on March 31 there is no 2:30'
SET TimeZone = 'Europe/Berlin';
SELECT p AS due, schedule_explain('30 2 * * *') AS "30 2 * * *" FROM schedule_preview('30 2 * * *', 'Europe/Berlin', 3, '2024-03-30 12:00+01') p;
RESET TimeZone;
\o /dev/null
SELECT count(schedule_drop(name)) FROM aside.schedules;
\o
\echo '12. Work in chunks: a column is filled in, by two workers; one row breaks the command, and is found; then a count in parallel.'
\echo
CREATE TABLE orders (id int PRIMARY KEY, price numeric, amount int, total numeric);
INSERT INTO orders SELECT g, CASE WHEN g = 7777 THEN 0 ELSE 1 + g % 90 END, 1 + g % 5 FROM generate_series(1, 30000) g;
ANALYZE orders;
\echo '   -- each chunk takes a nap here, so that there is something to see'
\echo '   SELECT parallel_run(''backfill'', ''WITH nap AS MATERIALIZED (SELECT pg_sleep(0.08))'
\echo '       UPDATE orders SET total = 1000 / price FROM nap WHERE id BETWEEN $1 AND $2'', ''orders'', chunk_rows => 1000, max_attempts => 1);'
SET client_min_messages = notice;
SELECT parallel_run('backfill', 'WITH nap AS MATERIALIZED (SELECT pg_sleep(0.08))
    UPDATE orders SET total = 1000 / price FROM nap WHERE id BETWEEN $1 AND $2', 'orders', chunk_rows => 1000, max_attempts => 1);
SET client_min_messages = warning;
\echo '   SELECT low, high, sqlstate, message FROM aside.parallel_chunks WHERE state = ''failed'';   -- all other rows are done'
SELECT low, high, sqlstate, message FROM aside.parallel_chunks WHERE job = 'backfill' AND state = 'failed';
\echo '   UPDATE orders SET price = 10 WHERE id = 7777;'
\echo '   SELECT parallel_retry(''backfill''); SELECT parallel_wait(''backfill'');'
UPDATE orders SET price = 10 WHERE id = 7777;
SELECT parallel_retry('backfill');
SELECT parallel_wait('backfill', '1 minute');
\echo '   SELECT state, chunks_done, percent FROM aside.parallel_jobs;'
SELECT state, chunks_done, percent FROM aside.parallel_jobs WHERE name = 'backfill';
\echo '   SELECT sum(n) FROM parallel_query(''SELECT count(total) FROM orders WHERE id BETWEEN $1 AND $2'', ''orders'') AS chunk (n bigint);'
SELECT sum(n) FROM parallel_query('SELECT count(total) FROM orders WHERE id BETWEEN $1 AND $2', 'orders') AS chunk (n bigint);
\o /dev/null
SELECT parallel_drop('backfill');
\o
\echo '13. The pool: a few workers serve every session, every task and every handler, borrowed for one piece of work each.'
\echo
SELECT slot, state, database, username, calls, errors FROM aside.workers WHERE pid IS NOT NULL ORDER BY slot;
SELECT kind, calls, errors, rows, round(total_ms::numeric, 2) AS total_ms FROM aside.stat ORDER BY kind;
\echo '14. The price: 1,000 single-row INSERTs, each committed on its own, beside dblink on this machine.'
\echo
CREATE TABLE sink (n int);
CREATE TABLE took (way text, ms numeric);
DO $$
DECLARE
    conn text := format('host=%s port=%s dbname=%s user=%s', current_setting('unix_socket_directories'),
                        current_setting('port'), current_database(), current_user);
    t timestamptz;
BEGIN
    PERFORM autonomous_exec('INSERT INTO sink VALUES ($1)', 0);
    t := clock_timestamp();
    FOR i IN 1..1000 LOOP
        PERFORM autonomous_exec('INSERT INTO sink VALUES ($1)', i);
    END LOOP;
    INSERT INTO took VALUES ('autonomous_exec', extract(epoch FROM clock_timestamp() - t) * 1000);

    PERFORM dblink_connect('demo', conn);
    t := clock_timestamp();
    FOR i IN 1..1000 LOOP
        PERFORM dblink_exec('demo', 'INSERT INTO sink VALUES (' || i || ')');
    END LOOP;
    INSERT INTO took VALUES ('dblink, one connection kept open', extract(epoch FROM clock_timestamp() - t) * 1000);
    PERFORM dblink_disconnect('demo');

    t := clock_timestamp();
    FOR i IN 1..1000 LOOP
        PERFORM dblink_exec(conn, 'INSERT INTO sink VALUES (' || i || ')');
    END LOOP;
    INSERT INTO took VALUES ('dblink, a connection a call', extract(epoch FROM clock_timestamp() - t) * 1000);
END $$;
SELECT way, round(ms, 1) AS "1,000 calls, ms", round(ms) AS "us a call",
       round(ms / first_value(ms) OVER (ORDER BY ms), 1) || 'x' AS ratio
FROM took ORDER BY took.ms;
\echo 'That is the story. To play on: make server. To measure: make bench. To test: make test.'

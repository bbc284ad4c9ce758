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
\echo '6. The pool: a few workers serve every session, borrowed for one transaction each.'
\echo
SELECT slot, state, database, username, calls, errors FROM aside.workers WHERE pid IS NOT NULL ORDER BY slot;
SELECT kind, calls, errors, rows, round(total_ms::numeric, 2) AS total_ms FROM aside.stat ORDER BY kind;
\echo '7. The price: 1,000 single-row INSERTs, each committed on its own, beside dblink on this machine.'
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

-- Claim: what a session's open transaction has made or altered is the session's
-- alone: values of such types come back as text, and none is read by a layout
-- that its other side does not have.
\set SHOW_CONTEXT never
CREATE TYPE regress_row AS (a int, b int);
SELECT autonomous_session_open('s');
CREATE FUNCTION regress_s(command text) RETURNS text LANGUAGE sql AS $$SELECT autonomous_session_exec('s', command)$$;

SELECT regress_s('BEGIN');
SELECT regress_s($$CREATE TYPE regress_new AS ENUM ('x', 'y')$$), regress_s('CREATE TYPE regress_pair AS (n regress_new, i int)'),
    regress_s('CREATE DOMAIN regress_small AS int'), regress_s('CREATE TABLE regress_made (p regress_pair)'),
    regress_s($$INSERT INTO regress_made VALUES (ROW('y', 1))$$);
SELECT autonomous_session_send('s', $$SELECT 'x'::regress_new, ARRAY['y']::regress_new[], p, m, 3::regress_small FROM regress_made m$$);
SELECT * FROM autonomous_session_result('s') AS (n text, a text, p text, m text, d int);
SELECT * FROM autonomous_session_result('s') AS (n text);
SELECT * FROM autonomous_session_query('s', $$SELECT 'x'::regress_new, p FROM regress_made$$) AS (n text, p text);
SELECT regress_s('ROLLBACK');

-- what the caller knows otherwise
SELECT regress_s('BEGIN'), regress_s('ALTER TYPE regress_row ALTER ATTRIBUTE a TYPE text');
SELECT autonomous_session_send('s', $$SELECT ROW('text', 2)::regress_row, ARRAY[ROW('text', 2)]::regress_row[]$$);
SELECT * FROM autonomous_session_result('s') AS (r text, a text);
SELECT * FROM autonomous_session_result('s') AS (r text);
SELECT regress_s('ROLLBACK');
-- in a command of its own
SELECT autonomous_exec('ALTER TYPE regress_row ALTER ATTRIBUTE a TYPE text; SELECT $1', ROW(1, 2)::regress_row);
SELECT * FROM autonomous_query('SELECT $1', ROW(1, 2)::regress_row) AS (r regress_row);
SELECT autonomous_session_close('s');
DROP FUNCTION regress_s;
DROP TYPE regress_row;

-- Claim: a task's result is read in another database as its text says, or refused
-- where that has another encoding; what aside.tasks shows is text of the database
-- that looks.
\set SHOW_CONTEXT never
SELECT current_database() AS here \gset
SET client_min_messages = warning;
CREATE DATABASE regress_aside_db;
CREATE DATABASE regress_aside_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
RESET client_min_messages;
CREATE TYPE mood AS ENUM ('fine', 'ok');
CREATE TABLE regress_t (a int);

\c regress_aside_db
CREATE EXTENSION pg_aside;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE regress_pair AS (x int, y mood);
CREATE TABLE regress_t (a int);
SELECT async_exec($$SELECT 'ok'::mood, ARRAY['sad'::mood], ROW(1, 'ok')::regress_pair, 'regress_t'::regclass, 7, ROW(1, 'x')$$) AS task \gset
SELECT async_exec($$SELECT 'sad'::mood$$) AS sad \gset
SELECT async_wait(:task), async_wait(:sad);
\c :here
SELECT a, b, c, d = 'regress_t'::regclass AS d, e, f FROM async_result(:task) AS t(a mood, b text, c text, d regclass, e int, f text);
SELECT * FROM async_result(:sad) AS t(a mood);
SELECT * FROM async_result(:sad) AS t(a text);

-- its worker is that database's
\set VERBOSITY sqlstate
SELECT async_run(:task, 'SELECT 1');
\set VERBOSITY default

-- another encoding
\c regress_aside_latin
SET client_encoding = 'UTF8';
CREATE EXTENSION pg_aside;
SET aside.task_label = 'Müll';
SELECT async_exec($$SELECT 'ä'::text$$) AS task \gset
SELECT async_exec($$DO 'BEGIN RAISE ''böse''; END'$$) AS bad \gset
SELECT async_wait(:task), async_wait(:bad);
\c :here
SELECT * FROM async_result(:task) AS t(a text);
SELECT * FROM async_result(:bad) AS t(a text);
SELECT command, label, message FROM aside.tasks WHERE id IN (:task, :bad) ORDER BY id;
SELECT id = :task AS known, octet_length(command) = length(command) AS ascii FROM aside.tasks WHERE id = :task;
-- the other way: what its encoding cannot say is in hexadecimal
SELECT async_exec($$SELECT 'ä€'::text$$) AS task \gset
SELECT async_wait(:task);
\c regress_aside_latin
SET client_encoding = 'UTF8';
SELECT command FROM aside.tasks WHERE id = :task;
\c :here
DROP DATABASE regress_aside_latin;
-- a database that is no more: nobody knows its encoding
SELECT command, label, message, database FROM aside.tasks WHERE id = :bad;
SELECT * FROM async_result(:bad) AS t(a text);

DROP DATABASE regress_aside_db;
DROP TABLE regress_t;
DROP TYPE mood;

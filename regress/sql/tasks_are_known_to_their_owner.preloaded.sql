-- Claim: a task is listed, waited for, read, cancelled and forgotten by its
-- owner, by whoever may act for that role, and by nobody else, in any session.
\set SHOW_CONTEXT never
CREATE ROLE regress_aside_owner LOGIN;
CREATE ROLE regress_aside_member LOGIN;
CREATE ROLE regress_aside_other LOGIN;
CREATE ROLE regress_aside_no_heir LOGIN NOINHERIT;
GRANT aside_user TO regress_aside_owner, regress_aside_member, regress_aside_other;
GRANT regress_aside_owner TO regress_aside_member;
GRANT regress_aside_owner TO regress_aside_no_heir;
\c - regress_aside_owner
SELECT async_exec('SELECT current_user::text, session_user::text') AS t \gset
SELECT async_exec('SELECT pg_sleep(60)') AS r \gset
SELECT async_wait(:t);
-- another session of the owner
\c - regress_aside_owner
SELECT state, owner, submitter <> pg_backend_pid() AS of_another FROM aside.tasks WHERE id = :t;
SELECT async_wait(:t), async_wait(:r, '10 ms');
SELECT * FROM async_result(:t) AS (c text, s text);
SELECT async_wait_any(ARRAY[:r, :t]) = :t AS that_one;
-- a member of its role
\c - regress_aside_member
SELECT state, owner FROM aside.tasks WHERE id IN (:t, :r) ORDER BY id;
SELECT * FROM async_result(:t) AS (c text, s text);
SELECT async_wait(:r, '10 ms');
-- others do not see it, and may not touch it
\c - regress_aside_other
SET regress.t = :t;
SELECT count(*) FROM aside.tasks WHERE id IN (:t, :r);
\set VERBOSITY sqlstate
SELECT * FROM async_result(:t) AS (c text, s text);
SELECT async_wait(:t);
SELECT async_wait(:r, '0');
SELECT async_wait_any(ARRAY[:t, :r]);
SELECT async_cancel(:r);
SELECT async_cancel(:r, '1 s');
SELECT async_detach(:t);
SELECT async_run(:t, 'SELECT 1');
\set VERBOSITY default
DO $$ BEGIN PERFORM async_wait(current_setting('regress.t')::bigint); EXCEPTION WHEN insufficient_privilege THEN RAISE INFO '%', regexp_replace(SQLERRM, '\d+', 'N'); END $$;
-- nor one who could become the owner, until it does
\c - regress_aside_no_heir
\set VERBOSITY sqlstate
SELECT async_wait(:t);
\set VERBOSITY default
SET ROLE regress_aside_owner;
SELECT count(*) FROM aside.tasks WHERE id IN (:t, :r);
SELECT * FROM async_result(:t) AS (c text, s text);
RESET ROLE;
-- a superuser
\c - postgres
SELECT state, owner FROM aside.tasks WHERE id IN (:t, :r) ORDER BY id;
SELECT * FROM async_result(:t) AS (c text, s text);
SELECT async_cancel(:r);
SELECT async_wait(:r);
SELECT state, sqlstate FROM aside.tasks WHERE id = :r;
-- the owner is who was current, not who logged in
\c - regress_aside_member
SET ROLE regress_aside_owner;
SELECT async_exec('SELECT current_user::text, session_user::text, current_setting(''role'')') AS t \gset
RESET ROLE;
SELECT owner FROM aside.tasks WHERE id = :t;
SELECT async_detach(async_exec('SELECT 1'));
\c - regress_aside_owner
SELECT * FROM async_result(:t) AS (c text, s text, r text);
-- it outlives its session
SELECT async_exec('SELECT ''done'' FROM pg_sleep(0.3)') AS t \gset
\c -
SELECT async_wait(:t);
SELECT * FROM async_result(:t) AS (x text);
SELECT async_detach(:t);
SELECT count(*) FROM aside.tasks WHERE id = :t AND NOT detached;
-- a queued one too
SELECT array_agg(async_exec('SELECT pg_sleep(0.2)')) AS ts FROM generate_series(1, 10) \gset
SELECT async_exec('SELECT ''came to its turn''') AS t \gset
\c -
SELECT * FROM async_result(:t) AS (x text);
SELECT bool_and(async_wait(t)) FROM unnest(:'ts'::bigint[]) t;
-- one that was to start with a commit that never comes ends with its session
BEGIN;
SELECT async_exec_on_commit('SELECT 1') AS t \gset
\c - postgres
CALL until($$NOT EXISTS (SELECT FROM aside.tasks WHERE state = 'pending')$$);
SELECT count(*) FROM aside.tasks WHERE id = :t;

-- the owner goes while its task waits, runs, or has ended
\c - regress_aside_owner
SELECT async_exec('SELECT ''ended''') AS t \gset
SELECT async_exec('SELECT pg_sleep(0.5); SELECT current_user::text') AS r \gset
SELECT async_wait(:t);
\c - postgres
REVOKE aside_user FROM regress_aside_owner;
DROP ROLE regress_aside_owner;
SELECT owner, state FROM aside.tasks WHERE id = :t;
SELECT * FROM async_result(:t) AS (x text);
SELECT async_wait(:r, '10 s');
SELECT owner, state IN ('done', 'failed') AS has_ended FROM aside.tasks WHERE id = :r;
\c - regress_aside_other
SELECT count(*) FROM aside.tasks WHERE id = :t;
\set VERBOSITY sqlstate
SELECT * FROM async_result(:t) AS (x text);
\set VERBOSITY default
\c - postgres
-- queued for a role that is gone before its turn
CREATE ROLE regress_aside_goes;
GRANT aside_user TO regress_aside_goes;
SET aside.max_workers_per_session = 1;
SELECT async_exec('SELECT pg_sleep(0.3)') AS busy \gset
SET ROLE regress_aside_goes;
SELECT async_exec('SELECT current_user::text') AS t \gset
RESET ROLE;
REVOKE aside_user FROM regress_aside_goes;
DROP ROLE regress_aside_goes;
RESET aside.max_workers_per_session;
SELECT async_wait(:t, '10 s');
SELECT state, sqlstate, message ~ 'role' AS says_so FROM aside.tasks WHERE id = :t;
\set VERBOSITY sqlstate
SELECT * FROM async_result(:t) AS (x text);
\set VERBOSITY default
DROP ROLE regress_aside_member, regress_aside_other, regress_aside_no_heir;

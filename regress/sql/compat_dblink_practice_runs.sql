-- Claim: the practice with dblink of a course on background processes runs as
-- written, over autonomous sessions: CREATE EXTENSION apart, every statement of it.
-- What differs: the connection string names this server's port and whoever runs the
-- test, the sleep is 1 s and not 10, and of a pid only that it is one is shown.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_ext_bgworkers;
RESET client_min_messages;
\set home :DBNAME
CREATE DATABASE regress_ext_bgworkers;
\c regress_ext_bgworkers
SET client_min_messages = warning;
CREATE EXTENSION aside_dblink CASCADE;
RESET client_min_messages;
SELECT format('host=localhost port=%s dbname=%L user=%L password=postgres', current_setting('port'), 'postgres', session_user) AS conn \gset

SELECT * FROM dblink(
	:'conn',
	$$ SELECT * FROM generate_series(1,3); $$
) AS (result integer);

SELECT * FROM dblink_exec(
	:'conn',
	$$ VACUUM; $$
);

SELECT * FROM dblink_connect(
	'remote',
	:'conn'
);

SELECT * FROM dblink_get_connections();

SELECT * FROM dblink_exec(
	'remote',
	$$ BEGIN; $$
);

SELECT pid <> pg_backend_pid() AS another, pid IN (SELECT a.pid FROM pg_stat_activity a WHERE datname = 'postgres') AS in_postgres
FROM dblink(
	'remote',
	$$ SELECT pg_backend_pid(); $$
) AS (pid integer);

SELECT * FROM dblink_exec(
	'remote',
	$$ COMMIT; $$
);

SELECT * FROM dblink_send_query(
	'remote',
	$$ SELECT 'done' FROM pg_sleep(1); $$
);

SELECT CASE dblink_is_busy('remote')
	WHEN 1 THEN 'еще выполняется'
	ELSE 'уже выполнился'
END;

SELECT * FROM dblink_get_result(
	'remote'
) AS (result text);

SELECT CASE dblink_is_busy('remote')
	WHEN 1 THEN 'еще выполняется'
	ELSE 'уже выполнился'
END;

SELECT * FROM dblink_disconnect('remote');

SELECT * FROM dblink_get_connections();
\c :home
DROP DATABASE regress_ext_bgworkers;

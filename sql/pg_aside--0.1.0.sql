/* pg_aside 0.1.0. Public functions go to the extension's schema, views to schema aside. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_aside" to load this file. \quit

CREATE SCHEMA aside;
COMMENT ON SCHEMA aside IS 'views of pg_aside';

-- Roles belong to the cluster: made once, and left there when the extension is dropped.
DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'aside_user') THEN
        CREATE ROLE aside_user NOLOGIN;
    END IF;
END
$role$;

CREATE FUNCTION autonomous_exec(command text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_exec';
CREATE FUNCTION autonomous_exec(command text, VARIADIC args "any") RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_exec';

CREATE FUNCTION autonomous_query(command text) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query';
CREATE FUNCTION autonomous_query(command text, VARIADIC args "any") RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query';

CREATE FUNCTION autonomous_query_as(rowtype anyelement, command text) RETURNS SETOF anyelement
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query_as';
CREATE FUNCTION autonomous_query_as(rowtype anyelement, command text, VARIADIC args "any") RETURNS SETOF anyelement
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_query_as';

CREATE FUNCTION autonomous_json(command text) RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_json';
CREATE FUNCTION autonomous_json(command text, VARIADIC args "any") RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_autonomous_json';

COMMENT ON FUNCTION autonomous_exec(text) IS
    'run SQL in an autonomous transaction, which commits before this returns; rows processed by its last statement; NULL is an error (22004)';
COMMENT ON FUNCTION autonomous_exec(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction, which commits before this returns; rows processed by its last statement; a NULL command is an error (22004)';
COMMENT ON FUNCTION autonomous_query(text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_query(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement, assigned to the column definition list (42804 if they do not fit)';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement as the type of the first argument, whose value is not used';
COMMENT ON FUNCTION autonomous_query_as(anyelement, text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement as the type of the first argument, whose value is not used';
COMMENT ON FUNCTION autonomous_json(text) IS
    'run SQL in an autonomous transaction and return the rows of its last statement, each as a jsonb object';
COMMENT ON FUNCTION autonomous_json(text, "any") IS
    'run SQL with parameters $1... in an autonomous transaction and return the rows of its last statement, each as a jsonb object';

CREATE FUNCTION aside.plpgsql_call() RETURNS language_handler
LANGUAGE c AS 'MODULE_PATHNAME', 'aside_plpgsql_call';
COMMENT ON FUNCTION aside.plpgsql_call() IS 'handler of LANGUAGE plpgsql_autonomous';
CREATE FUNCTION aside.plpgsql_inline(internal) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_inline';
COMMENT ON FUNCTION aside.plpgsql_inline(internal) IS 'DO blocks of LANGUAGE plpgsql_autonomous';
CREATE FUNCTION aside.plpgsql_validate(oid) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_plpgsql_validate';
COMMENT ON FUNCTION aside.plpgsql_validate(oid) IS 'validator of LANGUAGE plpgsql_autonomous';

CREATE TRUSTED LANGUAGE plpgsql_autonomous
    HANDLER aside.plpgsql_call INLINE aside.plpgsql_inline VALIDATOR aside.plpgsql_validate;
COMMENT ON LANGUAGE plpgsql_autonomous IS 'PL/pgSQL routines whose whole execution is an autonomous transaction';
REVOKE ALL ON LANGUAGE plpgsql_autonomous FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql_autonomous TO aside_user;

CREATE FUNCTION aside.worker_rows(OUT slot int, OUT pid int, OUT state text, OUT database name, OUT username name,
    OUT caller_pid int, OUT depth int, OUT xid bigint, OUT calls bigint, OUT errors bigint,
    OUT started timestamptz, OUT last_used timestamptz, OUT generation bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_workers';
COMMENT ON FUNCTION aside.worker_rows() IS 'rows of the view aside.workers';

CREATE FUNCTION aside.stat_rows(OUT kind text, OUT calls bigint, OUT errors bigint, OUT cancelled bigint, OUT rows bigint,
    OUT waits bigint, OUT wait_ms float8, OUT total_ms float8, OUT histogram bigint[]) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_stat';
COMMENT ON FUNCTION aside.stat_rows() IS 'rows of the view aside.stat';

CREATE VIEW aside.workers AS SELECT * FROM aside.worker_rows();
COMMENT ON VIEW aside.workers IS 'workers of the pool that this session uses: who they work for, and how much';
CREATE VIEW aside.stat AS SELECT * FROM aside.stat_rows();
COMMENT ON VIEW aside.stat IS
    'calls by kind since the pool was made; bucket i of the histogram, from 1, counts calls that took under 2^(i-1) microseconds';

REVOKE ALL ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    aside.plpgsql_call(), aside.plpgsql_inline(internal), aside.plpgsql_validate(oid),
    aside.worker_rows(), aside.stat_rows()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    autonomous_exec(text), autonomous_exec(text, "any"),
    autonomous_query(text), autonomous_query(text, "any"),
    autonomous_query_as(anyelement, text), autonomous_query_as(anyelement, text, "any"),
    autonomous_json(text), autonomous_json(text, "any"),
    aside.worker_rows(), aside.stat_rows()
TO aside_user;
GRANT USAGE ON SCHEMA aside TO aside_user;
GRANT SELECT ON aside.workers, aside.stat TO aside_user;

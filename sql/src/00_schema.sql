-- Role: what all other files need: the schema aside and the role aside_user. Public functions go to the extension's schema;
-- views, and what serves only the extension itself, go to the schema aside.

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_aside" to load this file. \quit

CREATE SCHEMA aside;
COMMENT ON SCHEMA aside IS 'Views of pg_aside, and the tables and functions that only the extension itself uses.';

-- Roles belong to the cluster: made once, and left there when the extension is dropped.
DO $role$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'aside_user') THEN
        CREATE ROLE aside_user NOLOGIN;
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) 'aside_user'
            AND (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)) THEN
        RAISE WARNING 'role "aside_user" already exists and has attributes that users of pg_aside would gain'
            USING HINT = 'Consider ALTER ROLE aside_user NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS NOREPLICATION.';
    END IF;
END
$role$;

GRANT USAGE ON SCHEMA aside TO aside_user;
-- Who owns the database can dump it.
GRANT USAGE ON SCHEMA aside TO pg_database_owner;

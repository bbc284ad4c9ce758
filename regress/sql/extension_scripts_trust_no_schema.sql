-- Claim: CREATE EXTENSION calls nothing that a user has put into the schema of the extension: a type that has a function's name would
-- stand for the function, and an input that it does not know would be an error.
\set home :DBNAME
SET client_min_messages = warning;
CREATE DATABASE regress_aside_traps TEMPLATE template0;
\c regress_aside_traps
SET client_min_messages = warning;
DO $$
DECLARE
    trap text;
BEGIN
    FOR trap IN SELECT DISTINCT p.proname FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
            AND NOT EXISTS (SELECT FROM pg_type t WHERE t.typname = p.proname AND t.typnamespace = p.pronamespace) LOOP
        EXECUTE format('CREATE TYPE public.%I AS ENUM (%L)', trap, 'trapped');
    END LOOP;
END $$;
CREATE EXTENSION pg_aside;
CREATE EXTENSION aside_dblink;
CREATE EXTENSION aside_pg_background;
CREATE EXTENSION aside_cron;
SELECT extname FROM pg_extension WHERE extname ~ 'aside' ORDER BY 1;
-- nor does anything that they made depend on it
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND d.refobjid = t.oid
    WHERE t.typnamespace = 'public'::regnamespace AND t.typtype = 'e' AND d.deptype = 'n';
\c :home
DROP DATABASE regress_aside_traps;

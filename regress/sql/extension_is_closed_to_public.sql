-- Claim: the extension goes into the schema named at CREATE EXTENSION, works
-- whatever the search_path, is closed to PUBLIC and open to aside_user, is
-- documented, and can be dropped and made again while its workers live.
\set VERBOSITY sqlstate
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_aside; -- the other tests' one, in schema public
CREATE ROLE regress_aside_in;
CREATE ROLE regress_aside_out;
CREATE SCHEMA regress_aside_place;

-- only a superuser may create it
SET ROLE regress_aside_in;
CREATE EXTENSION pg_aside SCHEMA regress_aside_place;
RESET ROLE;
CREATE EXTENSION pg_aside SCHEMA regress_aside_place;
SELECT extname, extversion, nspname, extrelocatable
FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname = 'pg_aside';

-- the public functions
SELECT proname, pg_get_function_arguments(oid) AS arguments,
       pg_get_function_result(oid) AS result
FROM pg_proc
WHERE pronamespace = 'regress_aside_place'::regnamespace
  AND proname IN ('autonomous_exec', 'autonomous_query', 'autonomous_query_as', 'autonomous_json')
ORDER BY proname COLLATE "C", pronargs;
SELECT bool_and(provolatile = 'v') AS volatile,
       bool_and(proparallel = 'u') AS parallel_unsafe,
       bool_or(proisstrict) AS strict
FROM pg_proc
WHERE pronamespace = 'regress_aside_place'::regnamespace AND proname LIKE 'autonomous%';

-- the views
SELECT viewname FROM pg_views
WHERE schemaname = 'aside' AND viewname IN ('workers', 'stat') ORDER BY 1;

-- no function of the extension is open to PUBLIC (no rows)
SELECT oid::regprocedure FROM pg_proc
WHERE pronamespace IN ('regress_aside_place'::regnamespace, 'aside'::regnamespace)
  AND has_function_privilege('public', oid, 'EXECUTE');
-- and all of the contract's functions are open to aside_user (no rows)
SELECT oid::regprocedure FROM pg_proc
WHERE pronamespace = 'regress_aside_place'::regnamespace AND proname LIKE 'autonomous%'
  AND NOT has_function_privilege('aside_user', oid, 'EXECUTE');
SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = 'aside_user';

-- every function and view of the extension has a comment (no rows)
SELECT pg_describe_object(d.classid, d.objid, 0) AS undocumented
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_aside')
  AND d.deptype = 'e'
  AND (d.classid = 'pg_proc'::regclass
       OR d.classid = 'pg_class'::regclass
          AND (SELECT relkind FROM pg_class c WHERE c.oid = d.objid) IN ('v', 'r'))
  AND NOT EXISTS (SELECT FROM pg_description c
                  WHERE c.classoid = d.classid AND c.objoid = d.objid AND c.objsubid = 0
                    AND c.description <> '');

-- privileges as they act
GRANT USAGE ON SCHEMA regress_aside_place TO regress_aside_in, regress_aside_out;
GRANT aside_user TO regress_aside_in;
SET ROLE regress_aside_out;
SELECT regress_aside_place.autonomous_exec('SELECT 1');
SELECT regress_aside_place.autonomous_exec('SELECT $1', 1);
SELECT * FROM regress_aside_place.autonomous_query('SELECT 1') AS (a int);
SELECT * FROM regress_aside_place.autonomous_query_as(NULL::int, 'SELECT 1');
SELECT * FROM regress_aside_place.autonomous_json('SELECT 1');
SET ROLE regress_aside_in;
SELECT regress_aside_place.autonomous_exec('SELECT 1');
SELECT * FROM regress_aside_place.autonomous_query('SELECT 1') AS (a int);
SELECT * FROM regress_aside_place.autonomous_query_as(NULL::int, 'SELECT 1');
SELECT * FROM regress_aside_place.autonomous_json('SELECT 1 AS a');
RESET ROLE;

-- nothing depends on the search_path, not even on what hides in front of it
CREATE FUNCTION regress_aside_place.to_jsonb(anyelement) RETURNS jsonb
    LANGUAGE sql AS $$SELECT '"hidden"'::jsonb$$;
SET search_path = regress_aside_place, pg_catalog;
SELECT autonomous_json('SELECT 1 AS a');
SET search_path = '';
SELECT regress_aside_place.autonomous_json('SELECT 1 AS a');
SELECT count(*) >= 1 AS has_workers FROM aside.workers;
RESET search_path;

-- settings and their defaults
SELECT name, boot_val, unit, context
FROM pg_settings
WHERE name IN ('aside.checkout_timeout', 'aside.worker_idle_timeout', 'aside.max_depth',
               'aside.max_workers_per_role', 'aside.max_workers_per_session', 'aside.min_workers',
               'aside.nap_time', 'aside.poll_time', 'aside.plan_cache_size')
ORDER BY name COLLATE "C";
SET aside.no_such_setting = 1;

-- dropped while its workers live, and made again
DROP FUNCTION regress_aside_place.to_jsonb(anyelement);
DROP EXTENSION pg_aside;
SELECT to_regnamespace('aside') IS NULL AS schema_gone,
       EXISTS (SELECT FROM pg_roles WHERE rolname = 'aside_user') AS role_stays;
SELECT regress_aside_place.autonomous_exec('SELECT 1');
DROP SCHEMA regress_aside_place;
CREATE EXTENSION pg_aside;
SELECT autonomous_exec('SELECT 1');
SELECT count(*) FROM aside.stat;
DROP ROLE regress_aside_in, regress_aside_out;

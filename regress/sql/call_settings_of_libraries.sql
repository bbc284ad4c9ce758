-- Claim: a setting that a library defines reaches the worker, whether it was set before the library came or after,
-- also if the session has made calls before.
\set VERBOSITY sqlstate
CREATE FUNCTION regress_there(name text) RETURNS text LANGUAGE sql AS
    $$SELECT v FROM autonomous_query('SELECT current_setting($1, true)', name) AS (v text)$$;

-- set after the library came
\c -
SELECT regress_there('work_mem') = current_setting('work_mem') AS called;
LOAD 'plpgsql';
SELECT regress_there('work_mem') = current_setting('work_mem') AS called;
SET plpgsql.check_asserts = off;
SELECT coalesce(nullif(regress_there('plpgsql.check_asserts'), '')::bool, true) AS asserts;
-- a worker without the library has a setting without a value then
RESET plpgsql.check_asserts;
SELECT coalesce(nullif(regress_there('plpgsql.check_asserts'), '')::bool, true) AS asserts;

-- set before
\c -
SELECT regress_there('work_mem') = current_setting('work_mem') AS called;
SET plpgsql.check_asserts = off;
SELECT coalesce(nullif(regress_there('plpgsql.check_asserts'), '')::bool, true) AS asserts;
LOAD 'plpgsql';
SELECT coalesce(nullif(regress_there('plpgsql.check_asserts'), '')::bool, true) AS asserts;
SET plpgsql.check_asserts = on;
SELECT coalesce(nullif(regress_there('plpgsql.check_asserts'), '')::bool, true) AS asserts;
SET plpgsql.extra_warnings = 'all';
SELECT regress_there('plpgsql.extra_warnings');

-- one that nobody defines, before and after
SET app.mine = 'one';
SELECT regress_there('app.mine'), regress_there('plpgsql.extra_warnings');
SET app.mine = 'two';
SET plpgsql.extra_warnings = 'none';
SELECT regress_there('app.mine'), regress_there('plpgsql.extra_warnings');
DROP FUNCTION regress_there(text);

-- Claim: a backslash in a literal means what it means to the caller; the warning of it says where in the command it is.
-- 19 has the standard's literals only.
SELECT current_setting('server_version_num')::int >= 190000 AS standard_only \gset
\if :standard_only
\quit
\endif
SET escape_string_warning = off;
SELECT * FROM autonomous_query('SELECT length(''a\\nb'')') AS (l int);
SET standard_conforming_strings = off;
SELECT * FROM autonomous_query('SELECT length(''a\\nb'')') AS (l int);
RESET standard_conforming_strings;
SELECT * FROM autonomous_query('SELECT length(''a\\nb'')') AS (l int);
RESET escape_string_warning;
-- where in a command that no client has sent
SET standard_conforming_strings = off;
SELECT autonomous_exec($$SELECT 'a\\b'$$);
SELECT * FROM async_result(async_exec($$SELECT 1, 'a\\b'$$)) AS (a int, b text);
RESET standard_conforming_strings;

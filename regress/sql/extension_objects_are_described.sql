-- Whatever the extensions make has a comment: their objects, the columns of what users read, and of the types that they get.
CREATE SCHEMA described;
CREATE EXTENSION aside_dblink SCHEMA described;
CREATE EXTENSION aside_pg_background SCHEMA described;
CREATE EXTENSION aside_cron;
CREATE TEMP TABLE its AS
    SELECT e.extname, d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname IN ('pg_aside', 'aside_cron', 'aside_dblink', 'aside_pg_background');
SELECT extname, count(*) > 15 AS has_objects FROM its GROUP BY extname ORDER BY extname;
-- array types and row types come with what they are of; an index or a toast table is not the extension's by itself
SELECT i.extname, pg_describe_object(i.classid, i.objid, 0) AS without_comment FROM its i
WHERE obj_description(i.objid, i.classid::regclass::text::name) IS NULL
    AND NOT (i.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t WHERE t.oid = i.objid AND (t.typelem <> 0 OR t.typrelid <> 0)))
    AND NOT (i.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = i.objid AND c.relkind IN ('c', 'i')))
ORDER BY 1, 2;
SELECT i.extname, a.attrelid::regclass AS relation, a.attname AS without_comment FROM its i JOIN pg_class c ON c.oid = i.objid OR
        c.oid = (SELECT t.typrelid FROM pg_type t WHERE i.classid = 'pg_type'::regclass AND t.oid = i.objid)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE i.classid IN ('pg_class'::regclass, 'pg_type'::regclass) AND col_description(c.oid, a.attnum) IS NULL
    AND (c.relkind = 'c' OR c.relkind = 'v' AND has_table_privilege('aside_user', c.oid, 'SELECT'))
ORDER BY 1, 2, a.attnum;
SELECT count(*) > 150 AS columns_are_described FROM pg_description d JOIN its i ON i.objid = d.objoid WHERE d.objsubid > 0 AND d.classoid = 'pg_class'::regclass;
DROP EXTENSION aside_cron, aside_dblink, aside_pg_background;
DROP SCHEMA described;

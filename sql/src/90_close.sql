-- Role: closes every function of the extension to PUBLIC; the files before grant what others may call.
DO $close$
DECLARE
    its regprocedure;
BEGIN
    FOR its IN SELECT d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid
        WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::regclass AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::regclass
            AND d.deptype OPERATOR(pg_catalog.=) 'e' AND e.extname OPERATOR(pg_catalog.=) 'pg_aside' LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', its);
    END LOOP;
END
$close$;

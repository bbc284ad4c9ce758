-- Role: says how a table, or the answer of a query, is cut into chunks. rust-core/src/chunk/split.rs reads what these functions write.

-- It has the caller's search_path, by which a query of the caller finds its tables.
CREATE FUNCTION aside.parallel_target(target regclass, chunk_by text, chunk_query text, chunk_column name, follow boolean,
    OUT split text[], OUT low_type oid, OUT high_type oid, OUT rows bigint) LANGUAGE plpgsql AS $$
BEGIN
    IF (chunk_by OPERATOR(pg_catalog.=) 'query') IS NOT TRUE THEN
        SELECT * INTO split, low_type, high_type, rows FROM aside.parallel_table(target, chunk_by, chunk_column, follow);
        RETURN;
    END IF;
    IF chunk_query IS NULL THEN
        RAISE EXCEPTION 'chunk_query must not be null where chunk_by is "query"' USING ERRCODE = '22004';
    END IF;
    BEGIN
        EXECUTE pg_catalog.concat(E'SELECT pg_catalog.pg_typeof((SELECT q.low FROM (\n', chunk_query, E'\n) AS q (low, high) LIMIT 0))::pg_catalog.oid, ',
            E'pg_catalog.pg_typeof((SELECT q.high FROM (\n', chunk_query, E'\n) AS q (low, high) LIMIT 0))::pg_catalog.oid') INTO low_type, high_type;
        EXECUTE pg_catalog.concat(E'SELECT FROM (\n', chunk_query, E'\n) AS q (low, high, other) LIMIT 0');
        low_type := NULL;
    EXCEPTION WHEN invalid_column_reference THEN
        NULL;
    END;
    IF low_type IS NULL THEN
        RAISE EXCEPTION 'chunk_query must return two columns' USING ERRCODE = '22023',
            DETAIL = 'They are the bounds of each chunk.';
    END IF;
    split := ARRAY['query', chunk_query];
END $$;
COMMENT ON FUNCTION aside.parallel_target(regclass, text, text, name, boolean) IS
    'How something is cut into chunks, the types of the bounds, and about how many rows there are. With follow, rows that come above the last key are cut too. Errors say what is missing.';

CREATE FUNCTION aside.parallel_table(target regclass, chunk_by text, chunk_column name, follow boolean,
    OUT split text[], OUT low_type oid, OUT high_type oid, OUT rows bigint) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its pg_class;
    known text := target::text;
    tree oid[];
    wrong text;
    named text;
BEGIN
    IF chunk_by IS NULL OR chunk_by NOT IN ('key', 'partition', 'ctid') THEN
        RAISE EXCEPTION 'invalid value for chunk_by: %', coalesce('"' || chunk_by || '"', 'NULL') USING ERRCODE = '22023',
            DETAIL = 'It may be key, query, partition or ctid.';
    END IF;
    IF target IS NULL THEN
        RAISE EXCEPTION 'target must not be null where chunk_by is "%"', chunk_by USING ERRCODE = '22004',
            HINT = 'Name the table; or give a query of the bounds, with chunk_by => ''query''.';
    END IF;
    SELECT * INTO its FROM pg_class c WHERE c.oid = target;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relation with OID % does not exist', target::oid USING ERRCODE = '42P01';
    END IF;
    WITH RECURSIVE children (oid) AS (
        SELECT target::oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN children c ON i.inhparent = c.oid)
    SELECT array_agg(c.oid), (SELECT coalesce(sum(greatest(r.reltuples, 0)), 0)::bigint FROM pg_class r JOIN children USING (oid))
        INTO tree, rows FROM children c;
    wrong := CASE WHEN its.relkind = 'f' THEN 'It is a foreign table.' WHEN its.relkind = 'v' THEN 'It is a view.'
        WHEN its.relkind NOT IN ('r', 'p', 'm') THEN 'It is not a table.'
        WHEN chunk_by = 'partition' AND its.relkind <> 'p' THEN 'It is not a partitioned table.'
        WHEN chunk_by <> 'partition' THEN (SELECT format('Its child "%s" is a foreign table.', c.oid::regclass)
            FROM pg_class c WHERE c.oid = ANY (tree) AND c.relkind = 'f' LIMIT 1) END;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '"%" cannot be cut into chunks by %', known, chunk_by USING ERRCODE = '42809', DETAIL = wrong,
            HINT = 'Give a query of the bounds, with chunk_by => ''query''.';
    END IF;
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = ANY (tree) AND c.relpersistence = 't') THEN
        RAISE EXCEPTION '"%" cannot be cut into chunks: it is a temporary table', known USING ERRCODE = '0A000',
            DETAIL = 'Workers do not see temporary tables of this session.';
    END IF;
    IF NOT has_any_column_privilege(target, 'SELECT') THEN
        RAISE EXCEPTION 'permission denied for table %', known USING ERRCODE = '42501';
    END IF;
    -- By its name, not its OID: what is written here may be dumped and restored.
    named := format('%L::regclass', format('%s.%I', its.relnamespace::regnamespace, its.relname));
    CASE chunk_by
        WHEN 'key' THEN SELECT * INTO split, low_type FROM aside.parallel_key(target, its.relkind, tree, chunk_column, follow);
        WHEN 'ctid' THEN
            split := ARRAY['ctid', named, CASE WHEN follow THEN 4294967296
                ELSE (SELECT max(pg_relation_size(c)) / current_setting('block_size')::bigint FROM unnest(tree) c) END::text];
            low_type := 'tid'::regtype;
        ELSE split := ARRAY['partition', named]; low_type := 'regclass'::regtype;
    END CASE;
    high_type := low_type;
END $$;
COMMENT ON FUNCTION aside.parallel_table(regclass, text, name, boolean) IS 'aside.parallel_target() of a table.';

CREATE FUNCTION aside.parallel_key(target regclass, kind "char", tree oid[], chunk_column name, follow boolean, OUT split text[], OUT key_type oid)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET DateStyle = 'ISO' SET IntervalStyle = 'postgres' SET extra_float_digits = 1 AS $$
DECLARE
    its pg_attribute;
    without oid;
    index record;
    last text;
BEGIN
    SELECT a.* INTO its FROM pg_attribute a WHERE a.attrelid = target AND NOT a.attisdropped AND a.attnum > 0 AND CASE
        WHEN chunk_column IS NOT NULL THEN a.attname = chunk_column
        ELSE a.attnum = (SELECT i.indkey[0] FROM pg_index i WHERE i.indrelid = target AND i.indisprimary) END;
    IF NOT FOUND AND chunk_column IS NOT NULL THEN
        RAISE EXCEPTION 'column "%" of table "%" does not exist', chunk_column, target USING ERRCODE = '42703';
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table "%" has no primary key', target USING ERRCODE = '22023',
            HINT = 'Name an indexed column with chunk_column.';
    END IF;
    IF NOT has_column_privilege(target, its.attnum, 'SELECT') THEN
        RAISE EXCEPTION 'permission denied for column "%" of table "%"', its.attname, target USING ERRCODE = '42501';
    END IF;
    BEGIN
        EXECUTE format('SELECT FROM (SELECT NULL::%s) AS s (k) ORDER BY k', format_type(its.atttypid, NULL));
    EXCEPTION WHEN undefined_function THEN
        RAISE EXCEPTION 'column "%" of table "%" cannot cut it into chunks', its.attname, target USING ERRCODE = '42883',
            DETAIL = format('Type %s has no order.', format_type(its.atttypid, NULL)), HINT = 'Name another column with chunk_column.';
    END;
    -- The index of a partitioned table is valid only if each partition has its own; a child of another table has its own in any case.
    FOREACH without IN ARRAY CASE kind WHEN 'p' THEN ARRAY[target::oid] ELSE tree END LOOP
        SELECT o.opcfamily, o.opcintype, i.indoption[0] IN (1, 2) AS nulls_first INTO index
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam JOIN pg_opclass o ON o.oid = i.indclass[0]
                JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
            WHERE i.indrelid = without AND i.indisvalid AND i.indisready AND i.indpred IS NULL AND m.amname = 'btree'
                AND a.attname = its.attname AND o.opcdefault AND i.indcollation[0] = a.attcollation
            ORDER BY i.indoption[0] IN (1, 2), c.oid LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no index on column "%" of table "%" can cut it into chunks', its.attname, without::regclass
                USING ERRCODE = '55000', DETAIL = 'It must be a valid btree index that begins with the column, in the order of the column''s type and collation, and that has no WHERE.',
                HINT = format('Create one, for example: CREATE INDEX ON %s (%I).', without::regclass, its.attname);
        END IF;
    END LOOP;
    key_type := its.atttypid;
    IF NOT follow THEN
        EXECUTE format('SELECT t.%1$I::text FROM %2$s t WHERE t.%1$I IS DISTINCT FROM NULL ORDER BY t.%1$I DESC NULLS %3$s LIMIT 1',
            its.attname, target, CASE WHEN index.nulls_first THEN 'LAST' ELSE 'FIRST' END) INTO last;
    END IF;
    SELECT ARRAY['key', format('%I.%I', n.nspname, c.relname), quote_ident(its.attname), format('%I.%I', tn.nspname, t.typname)]
        || (SELECT array_agg(format('OPERATOR(%I.%s)', pn.nspname, p.oprname) ORDER BY o.amopstrategy)
            FROM pg_amop o JOIN pg_operator p ON p.oid = o.amopopr JOIN pg_namespace pn ON pn.oid = p.oprnamespace
            WHERE o.amopfamily = index.opcfamily AND o.amoplefttype = index.opcintype AND o.amoprighttype = index.opcintype
                AND o.amopstrategy IN (1, 2, 4, 5))
        || ARRAY[(NOT its.attnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = target AND k.contype = 'n'
            AND NOT k.convalidated AND k.conkey[1] = its.attnum))::text, index.nulls_first::text,
            CASE WHEN follow THEN '' ELSE coalesce('k' || last, '-') END]
        INTO split FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_type t JOIN pg_namespace tn ON tn.oid = t.typnamespace
        WHERE c.oid = target AND t.oid = its.atttypid;
END $$;
COMMENT ON FUNCTION aside.parallel_key(regclass, "char", oid[], name, boolean) IS 'aside.parallel_target() of a table by a key column.';

GRANT EXECUTE ON FUNCTION
    aside.parallel_target(regclass, text, text, name, boolean), aside.parallel_table(regclass, text, name, boolean),
    aside.parallel_key(regclass, "char", oid[], name, boolean)
TO aside_user;

-- Role: a query over the chunks of a table, run by several workers. In C: c-shim/sql/parallel.c.

CREATE FUNCTION parallel_query(query text, target regclass DEFAULT NULL, chunk_by text DEFAULT 'key', chunk_query text DEFAULT NULL,
    chunk_column name DEFAULT NULL, chunk_rows int DEFAULT NULL, workers int DEFAULT 2) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'aside_parallel_query';
COMMENT ON FUNCTION parallel_query(text, regclass, text, text, name, int, int) IS
    'Cuts a table into chunks and runs a query for each chunk, with the chunk''s inclusive bounds as $1 and $2, in several workers at the caller''s snapshot. Returns the rows of all chunks, in no order. The query may not write.';

GRANT EXECUTE ON FUNCTION parallel_query(text, regclass, text, text, name, int, int) TO aside_user;

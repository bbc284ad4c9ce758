-- Claim: the examples of docs/parallel.md do what it says.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE TABLE mail_messages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sent timestamptz, body text);
INSERT INTO mail_messages (sent, body) SELECT '2024-01-01'::timestamptz + g * interval '10 minutes', repeat('x', 100) FROM generate_series(0, 11999) g;
ANALYZE mail_messages;
SELECT count(*) FROM mail_messages;
SELECT sum(n) FROM parallel_query('SELECT count(*) FROM mail_messages WHERE id BETWEEN $1 AND $2', 'mail_messages') AS chunk (n bigint);
-- chunks of the table's size, neither one nor many
SELECT count(*) FROM parallel_query('SELECT count(*) FROM mail_messages WHERE id BETWEEN $1 AND $2', 'mail_messages') AS chunk (n bigint);
SELECT sum(n) FROM parallel_query('SELECT count(*) FROM mail_messages WHERE ctid BETWEEN $1 AND $2', 'mail_messages', 'ctid') AS chunk (n bigint);
SELECT * FROM parallel_query($$SELECT $1, count(*) FROM mail_messages WHERE sent >= $1 AND sent < $2$$, chunk_by => 'query',
    chunk_query => $$SELECT d, d + interval '1 month' FROM generate_series('2024-01-01'::timestamptz, '2024-03-01', '1 month') d$$)
    AS month (since timestamptz, n bigint) ORDER BY since;
DROP TABLE mail_messages;

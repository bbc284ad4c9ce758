-- Claim: the examples of docs/parallel.md do what it says.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sent timestamptz, price numeric, amount int);
INSERT INTO orders (sent, price, amount) SELECT '2024-01-01'::timestamptz + g * interval '8 minutes', g % 90, 1 + g % 5 FROM generate_series(1, 15000) g;
ANALYZE orders;
CREATE TABLE sold (month timestamptz PRIMARY KEY, orders bigint, total numeric);
CREATE TABLE orders_new (id int PRIMARY KEY, sent timestamptz, total numeric CHECK (total >= 0));
ALTER TABLE orders ADD COLUMN total numeric;
SELECT parallel_run('backfill', 'UPDATE orders SET total = price * amount WHERE id BETWEEN $1 AND $2', 'orders');
SELECT count(*), count(*) FILTER (WHERE total = price * amount) AS done FROM orders;
\o /dev/null
SELECT parallel_start('old orders', 'DELETE FROM orders WHERE id BETWEEN $1 AND $2 AND sent < $$2024-02-01$$', 'orders', workers => 1,
    throttle => '{"max_replication_lag": "10 s", "max_wal_rate": "20 MB"}');
SELECT parallel_wait('old orders', '1 minute');
SELECT name, state, percent, rate, eta FROM aside.parallel_jobs ORDER BY id;
\o
SELECT name, state, percent FROM aside.parallel_jobs WHERE name IN ('backfill', 'old orders') ORDER BY id;
SELECT count(*), min(sent) FROM orders;
SELECT parallel_run('summary', 'INSERT INTO sold SELECT $1, count(*), sum(total) FROM orders WHERE sent >= $1 AND sent < $2', chunk_by => 'query',
    chunk_query => $$SELECT d, d + interval '1 month' FROM generate_series('2024-02-01'::timestamptz, '2024-03-01', '1 month') d$$);
SELECT * FROM sold ORDER BY month;
SELECT sum(orders), sum(total) FROM sold;
SELECT count(*), sum(total) FROM orders;
UPDATE orders SET total = -1 WHERE id = 7000;
SELECT parallel_run('copy', 'INSERT INTO orders_new SELECT id, sent, total FROM orders WHERE id BETWEEN $1 AND $2', 'orders', max_attempts => 1);
SELECT low, high, message FROM aside.parallel_chunks WHERE job = 'copy' AND state = 'failed';
SELECT count(*) FROM orders_new;
UPDATE orders SET total = 0 WHERE id = 7000;
SELECT parallel_retry('copy');
SELECT parallel_wait('copy', '1 minute');
SELECT count(*) FROM orders_new;
-- rows above the last key at the start, while a job runs
SELECT parallel_start('as it was', 'UPDATE orders SET amount = -1 WHERE id BETWEEN $1 AND $2', 'orders', chunk_rows => 1000) > 0 AS started;
INSERT INTO orders (sent) VALUES ('2024-05-01');
SELECT parallel_wait('as it was', '1 minute');
SELECT amount, count(*) FROM orders GROUP BY 1 ORDER BY 1;
SELECT count(parallel_drop(name)) FROM unnest('{backfill,old orders,summary,copy,as it was}'::text[]) name;
DROP TABLE orders, sold, orders_new;

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

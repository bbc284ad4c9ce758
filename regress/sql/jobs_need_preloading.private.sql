-- Claim: jobs need a coordinator, and say so where there is none.
\set SHOW_CONTEXT never
CREATE TABLE lone_rows (id int PRIMARY KEY);
SELECT parallel_start('x', 'DELETE FROM lone_rows WHERE id BETWEEN $1 AND $2', 'lone_rows');
SELECT parallel_wait('x');
SELECT count(*) FROM aside.parallel_jobs;
DROP TABLE lone_rows;

-- Claim: autonomous_exec returns the rows processed by the last statement; an
-- empty command is 0 rows at every entry; a NULL command is 22004.
\set VERBOSITY sqlstate
CREATE TABLE regress_t (id int, x text);

SELECT autonomous_exec('INSERT INTO regress_t SELECT g, g::text FROM generate_series(1, 7) g') AS inserted;
SELECT autonomous_exec('UPDATE regress_t SET x = NULL WHERE id <= 3') AS updated;
SELECT autonomous_exec('DELETE FROM regress_t WHERE id > 6') AS deleted;
SELECT autonomous_exec('DELETE FROM regress_t WHERE id > 6') AS deleted_none;
SELECT autonomous_exec('INSERT INTO regress_t VALUES (7, NULL), (8, NULL) RETURNING *') AS returned;
SELECT autonomous_exec('SELECT * FROM regress_t') AS selected;
SELECT autonomous_exec('VALUES (1), (2), (3)') AS listed;
SELECT autonomous_exec('SELECT FROM regress_t') AS without_columns;
SELECT autonomous_exec('MERGE INTO regress_t t USING (VALUES (8), (9)) v(id) ON t.id = v.id
    WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, NULL)') AS merged;
SELECT autonomous_exec('CREATE TABLE regress_copy AS SELECT * FROM regress_t') AS created_as;
SELECT autonomous_exec('SELECT * INTO regress_copy2 FROM regress_t') AS selected_into;
SELECT autonomous_exec('COPY regress_t (id) FROM PROGRAM ''echo 1; echo 2''') AS copied_in;
SELECT autonomous_exec('COPY regress_t TO PROGRAM ''cat >/dev/null''') AS copied_out;
SELECT autonomous_exec('WITH w AS (DELETE FROM regress_t WHERE id < 3 RETURNING *) SELECT count(*) FROM w') AS with_dml;

-- statements that process no rows
SELECT autonomous_exec('CREATE TABLE regress_u ()') AS created;
SELECT autonomous_exec('DO $$BEGIN INSERT INTO regress_t VALUES (1); END$$') AS done;
SELECT autonomous_exec('SET work_mem = 64') AS set;
SELECT autonomous_exec('TRUNCATE regress_t') AS truncated;
SELECT autonomous_exec('DROP TABLE regress_u, regress_copy, regress_copy2') AS dropped;

-- the last statement counts, not the sum, not what a rule adds
SELECT autonomous_exec('INSERT INTO regress_t VALUES (1), (2), (3); UPDATE regress_t SET x = ''u'' WHERE id = 1') AS last;
SELECT autonomous_exec('UPDATE regress_t SET x = ''v'' WHERE id = 1; CREATE TABLE regress_u ()') AS last_is_ddl;
CREATE RULE twice AS ON INSERT TO regress_t DO ALSO DELETE FROM regress_t WHERE id < 100;
SELECT autonomous_exec('INSERT INTO regress_t VALUES (101)') AS with_rule;
SELECT id FROM regress_t;
DROP RULE twice ON regress_t;

-- empty commands
SELECT autonomous_exec('') AS nothing, autonomous_exec(' ') AS blank, autonomous_exec(';') AS semicolon,
       autonomous_exec(';;  ; ') AS semicolons, autonomous_exec('-- a comment') AS comment,
       autonomous_exec(E'/* another\n */ \n\t') AS comments;
SELECT autonomous_exec('; INSERT INTO regress_t VALUES (1) ;; -- and a comment') AS among_semicolons;
SELECT * FROM autonomous_query('') AS (a int);
SELECT * FROM autonomous_query_as(NULL::regress_t, '-- nothing');
SELECT * FROM autonomous_json(';');

-- no command
SELECT autonomous_exec(NULL);
SELECT autonomous_exec(NULL, 1);
SELECT * FROM autonomous_query(NULL) AS (a int);
SELECT * FROM autonomous_query_as(NULL::int, NULL);
SELECT * FROM autonomous_query_as(NULL::int, NULL, 1, 2);
SELECT * FROM autonomous_json(NULL);

-- the type
SELECT pg_typeof(autonomous_exec('SELECT 1'));

DROP TABLE regress_t, regress_u;

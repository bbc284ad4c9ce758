// Claim: node-postgres passes typed arguments to calls, emits events and reads rows; what it sends without a type is 42P18.
import assert from 'node:assert/strict';
import pg from 'pg';

const c = new pg.Client({ host: process.env.PGHOST, user: process.env.PGUSER, database: process.env.PGDATABASE });
await c.connect();
await c.query('CREATE TABLE IF NOT EXISTS driven (n int, body text)');
// node-postgres sends no types: each argument is cast.
await c.query("SELECT autonomous_exec('INSERT INTO driven VALUES ($1, $2)', $1::int, $2::text)", [3, 'node']);
await c.query("SELECT async_event_emit('driven', $1)", [JSON.stringify({ by: 'node' })]);
const { rows } = await c.query("SELECT * FROM autonomous_query('SELECT n, body FROM driven WHERE n = $1', $1::int) AS q(n int, body text)", [3]);
assert.deepEqual(rows[0], { n: 3, body: 'node' });
const task = (await c.query("SELECT async_exec('SELECT 40 + $1', $1::int) AS id", [2])).rows[0].id;
assert.equal((await c.query('SELECT n FROM async_result($1) AS r(n int)', [task])).rows[0].n, 42);
await assert.rejects(c.query("SELECT autonomous_exec('INSERT INTO driven VALUES (1, $1)', $1)", ['untyped']),
	(e) => e.code === '42P18' && /::text/.test(e.hint));
await c.end();
console.log('ok');

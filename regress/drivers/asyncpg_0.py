# Claim: asyncpg passes typed arguments to calls, emits events and reads rows; what it sends without a type is 42P18.
import asyncio, json, os
import asyncpg


async def main():
    c = await asyncpg.connect(host=os.environ["PGHOST"], user=os.environ["PGUSER"], database=os.environ["PGDATABASE"])
    await c.execute("CREATE TABLE IF NOT EXISTS driven (n int, body text)")
    # asyncpg asks the server for types: each argument is cast.
    await c.fetchval("SELECT autonomous_exec('INSERT INTO driven VALUES ($1, $2)', $1::int, $2::text)", 2, "asyncpg")
    await c.fetchval("SELECT async_event_emit('driven', $1)", json.dumps({"by": "asyncpg"}))
    rows = await c.fetch("SELECT * FROM autonomous_query('SELECT n, body FROM driven WHERE n = $1', $1::int) AS q(n int, body text)", 2)
    assert (2, "asyncpg") in [tuple(r) for r in rows], rows
    task = await c.fetchval("SELECT async_exec('SELECT 40 + $1', $1::int)", 2)
    assert await c.fetchval("SELECT n FROM async_result($1) AS r(n int)", task) == 42
    try:
        await c.fetchval("SELECT autonomous_exec('INSERT INTO driven VALUES (1, $1)', $1)", "untyped")
        raise AssertionError("no error")
    except asyncpg.IndeterminateDatatypeError as e:
        assert e.hint, e
    await c.close()


asyncio.run(main())
print("ok")

# Claim: psycopg 3 passes typed arguments to calls, emits events and reads rows; what it sends without a type is 42P18, with a hint.
import psycopg
from psycopg.types.json import Jsonb

with psycopg.connect(autocommit=True) as c:
    c.execute("CREATE TABLE IF NOT EXISTS driven (n int, body text)")
    # int has a type; text goes without one, so it is cast.
    c.execute("SELECT autonomous_exec('INSERT INTO driven VALUES ($1, $2)', %s, %s::text)", (1, "psycopg"))
    c.execute("SELECT async_event_emit('driven', %s)", (Jsonb({"by": "psycopg"}),))
    rows = c.execute("SELECT * FROM autonomous_query('SELECT n, body FROM driven WHERE n = $1', %s) AS q(n int, body text)", (1,)).fetchall()
    assert (1, "psycopg") in rows, rows
    task = c.execute("SELECT async_exec('SELECT 40 + $1', %s)", (2,)).fetchone()[0]
    assert c.execute("SELECT * FROM async_result(%s) AS r(n int)", (task,)).fetchone() == (42,)
    try:
        c.execute("SELECT autonomous_exec('INSERT INTO driven VALUES (1, $1)', %s)", ("untyped",))
        raise AssertionError("no error")
    except psycopg.errors.IndeterminateDatatype as e:
        assert e.diag.message_hint, e
print("ok")

#!/usr/bin/env python3
"""A consumer in Python, with psycopg 3 or psycopg2.

It pulls events of a handler, one transaction for each event: what it does in the database, and the acknowledgement, commit
together, so that happens once. What fails is given back, with the error, and is tried again after the handler's backoff.

    examples/pull_consumer.py HANDLER [SECONDS]      stops when there was no event for so long (default 10); connects as PG* says

Before: SELECT async_event_on('orders', pull => true); CREATE TABLE shipped (id bigint, customer text);
"""

import sys

try:
    import psycopg as driver
except ImportError:
    import psycopg2 as driver


def handle(cursor, event_id, payload):
    """What is done for one event."""
    if payload.get("customer") is None:
        raise ValueError("there is no customer")
    cursor.execute("INSERT INTO shipped VALUES (%s, %s)", (event_id, payload["customer"]))


def main(handler, seconds):
    connection = driver.connect("")
    cursor = connection.cursor()
    while True:
        # The coordinator records the lease before this returns; the commit only ends the transaction early.
        cursor.execute(
            "SELECT id, payload FROM async_event_pull(%s, 10, lease => '1 minute', wait => %s::interval)",
            (handler, f"{seconds} s"),
        )
        events = cursor.fetchall()
        connection.commit()
        if not events:
            return
        for event_id, payload in events:
            try:
                handle(cursor, event_id, payload)
                cursor.execute("SELECT async_event_ack(%s, %s::bigint[])", (handler, [event_id]))
                connection.commit()
                print("handled", event_id, flush=True)
            except driver.errors.ObjectNotInPrerequisiteState:
                # The lease ran out meanwhile: somebody else handles it.
                connection.rollback()
            except Exception as error:
                connection.rollback()
                cursor.execute("SELECT async_event_nack(%s, %s::bigint[], %s)", (handler, [event_id], str(error)))
                connection.commit()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "10")

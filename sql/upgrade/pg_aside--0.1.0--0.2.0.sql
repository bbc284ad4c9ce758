-- Role: what changes in tables, sequences and types from 0.1.0 to 0.2.0.

-- A role is said by name since a dump takes it along.
-- carried: aside.event_handler: owner = pg_catalog.pg_get_userbyid(owner)
-- carried: aside.event_dead: emitted_by = CASE WHEN emitted_by::pg_catalog.oid OPERATOR(pg_catalog.<>) 0 THEN pg_catalog.pg_get_userbyid(emitted_by) END

-- by hand: do role
-- The role is there.

-- by hand: C function aside_event_forward
-- It passes on whatever arguments it gets.

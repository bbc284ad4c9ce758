-- Role: the triggers of the tables of events: who may write to them, and what follows when somebody does.

CREATE FUNCTION aside.event_handlers_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_event_handlers_changed';
COMMENT ON FUNCTION aside.event_handlers_changed() IS 'Tells the coordinator that handlers have changed, when the transaction commits.';

-- By whatever way they come: pg_restore copies them into the table.
-- After the trigger for replicas, by name: what is left out needs no rights.
CREATE TRIGGER rights BEFORE INSERT OR UPDATE OR DELETE ON aside.event_handler
    FOR EACH ROW EXECUTE FUNCTION aside.check_definition('handler');
CREATE TRIGGER follow AFTER INSERT OR UPDATE OR DELETE ON aside.event_handler
    FOR EACH ROW EXECUTE FUNCTION aside.follow_definition('handler');
ALTER TABLE aside.event_handler ENABLE ALWAYS TRIGGER rights, ENABLE ALWAYS TRIGGER follow;
-- Numbers that a dump brings are another server's.
CREATE FUNCTION aside.event_handler_function() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT p.oid, p.proowner INTO NEW.function, NEW.function_owner FROM pg_proc p WHERE p.oid = to_regprocedure(NEW.handler);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION aside.event_handler_function() IS 'Records the OID and the owner of a handler''s function in the handler''s row.';
CREATE TRIGGER rights_function BEFORE INSERT OR UPDATE OF handler ON aside.event_handler
    FOR EACH ROW EXECUTE FUNCTION aside.event_handler_function();
ALTER TABLE aside.event_handler ENABLE ALWAYS TRIGGER rights_function;
-- What the other tables say is acted on too: whose an event is, which of them are done, who has a unique key.
DO $guard$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY '{aside.event_control, aside.event_0, aside.event_1, aside.event_2, aside.event_log_0, aside.event_log_1,
            aside.event_log_2, aside.event_dead, aside.event_past, aside.event_unique}'::regclass[] LOOP
        EXECUTE pg_catalog.format('CREATE TRIGGER rights BEFORE INSERT OR UPDATE OR DELETE ON %s EXECUTE FUNCTION aside.check_writer()', guarded);
        EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER rights', guarded);
    END LOOP;
END
$guard$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON aside.event_handler EXECUTE FUNCTION aside.event_handlers_changed();
ALTER TABLE aside.event_handler ENABLE ALWAYS TRIGGER tell;
-- Whoever publishes all tables publishes these: what a subscription brings to them is another server's, and is left out.
CREATE FUNCTION aside.event_replicated() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'aside_event_replicated';
COMMENT ON FUNCTION aside.event_replicated() IS 'Discards rows that logical replication writes.';
DO $$
DECLARE
    its regclass;
BEGIN
    FOREACH its IN ARRAY '{aside.event_control, aside.event_handler, aside.event_0, aside.event_1, aside.event_2, aside.event_log_0,
        aside.event_log_1, aside.event_log_2, aside.event_dead, aside.event_past, aside.event_unique}'::regclass[] LOOP
        EXECUTE format('CREATE TRIGGER replicated BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION aside.event_replicated()', its);
        EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER replicated', its);
    END LOOP;
END $$;
-- A sequence has no trigger, and whoever may write all data may set it back.
CREATE FUNCTION aside.event_next_id() RETURNS bigint LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'aside_event_next_id';
COMMENT ON FUNCTION aside.event_next_id() IS 'the id of an event, or of the moment from which on a handler gets events; none is given twice';
CREATE FUNCTION aside.event_truncate(name) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_event_truncate_here';
COMMENT ON FUNCTION aside.event_truncate(name) IS 'Empties a table of events, without telling subscribers of logical replication.';

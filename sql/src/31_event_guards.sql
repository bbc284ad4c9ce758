-- Role: the triggers of the tables of events: who may write to them, and what follows when somebody does.

SELECT aside.guard_table('aside.event_handler', 'handler');
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
SELECT aside.guard_table(its) FROM pg_catalog.unnest('{aside.event_control, aside.event_0, aside.event_1, aside.event_2, aside.event_log_0, aside.event_log_1,
    aside.event_log_2, aside.event_dead, aside.event_past, aside.event_unique, aside.event_started, aside.event_group, aside.event_group_0, aside.event_group_1, aside.event_group_2}'::regclass[]) its;
-- The coordinator counts the dead.
CREATE TRIGGER tell AFTER DELETE OR TRUNCATE ON aside.event_dead EXECUTE FUNCTION aside.definitions_changed('handler');
ALTER TABLE aside.event_dead ENABLE ALWAYS TRIGGER tell;
-- A sequence has no trigger, and whoever may write all data may set it back.
CREATE FUNCTION aside.event_next_id() RETURNS bigint LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'aside_event_next_id';
COMMENT ON FUNCTION aside.event_next_id() IS 'the id of an event, or of the moment from which on a handler gets events; none is given twice';
CREATE FUNCTION aside.event_truncate(name) RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'aside_event_truncate_here';
COMMENT ON FUNCTION aside.event_truncate(name) IS 'Empties a table of events, without telling subscribers of logical replication.';

-- What other files call. It runs before them, in their database.
--
-- CALL until('CONDITION'), outside of a transaction: waits for the condition, each look at it being a transaction. Says so
-- if it has not come true when the patience ends; who waits in vain is told after that time, and nobody waits longer for it.
CREATE PROCEDURE until(condition text, patience interval DEFAULT '30 s') LANGUAGE plpgsql AS $$
DECLARE t timestamptz := clock_timestamp(); ok boolean;
BEGIN
    LOOP
        EXECUTE 'SELECT ' || condition INTO ok;
        COMMIT;
        EXIT WHEN ok;
        IF clock_timestamp() > t + patience THEN RAISE INFO 'never: %', condition; EXIT; END IF;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;

-- Claim: a specification says when it is due on the server's own clocks, across every kind of change; one that is wrong, or can
-- never fire, is refused with its field and place.
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE TABLE changes (n serial, spec text, zone text, after timestamptz, note text);
INSERT INTO changes (spec, zone, after, note) VALUES
    ('30 2 * * *', 'Europe/Berlin', '2024-03-30 12:00', 'fixed, in the gap'),
    ('30 2 * * *', 'Europe/Berlin', '2024-10-26 12:00', 'fixed, shown twice'),
    ('0 * * * *', 'Europe/Berlin', '2024-03-30 23:30', 'each hour, in the gap'),
    ('0 * * * *', 'Europe/Berlin', '2024-10-26 23:30', 'each hour, shown twice'),
    ('*/30 */2 * * *', 'Europe/Berlin', '2024-03-30 23:30', 'steps of hours'),
    ('0 0 * * *', 'America/Sao_Paulo', '2018-11-03 12:00', 'midnight that is not'),
    ('0 0 * * *', 'Asia/Beirut', '2022-03-26 00:00', 'midnight that is not'),
    ('0 12 * * *', 'Pacific/Apia', '2011-12-29 23:00', 'a day that is not'),
    ('15 2 * * *', 'Australia/Lord_Howe', '2024-10-05 00:00', 'half an hour'),
    ('30 2 * * *', 'CET-1CEST,M3.5.0,M10.5.0/3', '2024-03-30 12:00', 'a POSIX zone'),
    ('30 2 * * *', '+05:30', '2024-03-30 12:00', 'a fixed offset'),
    ('every ''1 day'' from 2024-03-29 02:30', 'Europe/Berlin', '2024-03-30 00:00', 'each day'),
    ('every ''12 hours'' from 2024-03-30 02:30', 'Europe/Berlin', '2024-03-30 00:00', 'each 12 hours'),
    ('every ''1 month'' from 2024-01-31 10:00', 'Europe/Berlin', '2024-01-31 09:30', 'each month'),
    ('0 0 29 2 *', 'UTC', '2097-01-01 00:00', 'a leap day, not in 2100'),
    ('0 9 L * *', 'UTC', '2024-01-01', 'the last day'),
    ('0 9 15W * ?', 'UTC', '2024-06-01', 'the nearest weekday'),
    ('0 9 * * mon#1,friL', 'UTC', '2024-06-01', 'first Monday, last Friday'),
    ('0 0 13 * fri', 'UTC', '2024-09-01', 'either'),
    ('0 0 13 * +fri', 'UTC', '2024-09-01', 'both'),
    ('@weekly', 'UTC', '2024-09-01', 'a nickname'),
    ('at 2024-09-01 10:00', 'Europe/Berlin', '2024-08-01', 'once');
SELECT c.note, c.spec, c.zone, string_agg(to_char(p, 'MM-DD HH24:MI TZ'), ', ' ORDER BY p) AS due_utc
    FROM changes c, schedule_preview(c.spec, c.zone, 3, c.after) p GROUP BY c.n, c.note, c.spec, c.zone ORDER BY c.n;
-- a day of hours has 23 of them, or 25
SELECT d, (SELECT count(*) FROM schedule_preview('0 * * * *', 'Europe/Berlin', 30, d - interval '1 second') p
    WHERE p < (d AT TIME ZONE 'Europe/Berlin' + interval '1 day') AT TIME ZONE 'Europe/Berlin') AS hours
    FROM unnest('{2024-03-30 23:00Z, 2024-06-01 22:00Z, 2024-10-26 22:00Z}'::timestamptz[]) d;
SELECT count(*) FROM schedule_preview('*/7 * * * *', 'Europe/Berlin', 1000, '2024-03-30');
SELECT max(p) FROM schedule_preview('0 0 1 1 *', 'Europe/Berlin', 76, '2024-06-01') p;

SELECT spec, schedule_explain(spec) FROM (VALUES (1, '*/5 9-17 * * mon-fri'), (2, '30 4 1 * *'), (3, '@hourly'), (4, 'every 90 minutes'),
    (5, 'every 1 month from 2030-01-31 10:00'), (6, 'after 10 minutes'), (7, 'at 2030-05-05 05:05'), (8, '@reboot')) s (n, spec) ORDER BY n;

-- what is refused: 22023, the field and the place
CREATE FUNCTION refused(spec text, zone text DEFAULT 'UTC') RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
    PERFORM schedule_preview(spec, zone, 1, '2024-01-01');
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', sqlstate, sqlerrm || '.', detail);
END $$;
SELECT left(spec, 30) AS spec, refused(spec) FROM (VALUES ('60 * * * *'), ('* * * * 8'), ('0 1,25 * * *'), ('0 0 30 2 *'), ('0 0 31 4,6 *'), ('* * * * mon-xyz'),
    ('* * * *'), ('* * * * * * *'), (''), ('   '), (repeat('1,', 5000)), ('@fortnightly'), ('every 0 s'), ('every -1 day'), ('every 1 month -1 day'),
    ('every 1000000 years'), ('every tomorrow'), ('every'), ('after'), ('at 1999-01-01'), ('at never'), ('hourly'), (E'0 0 * * \u00fc'), ('0 0 15W3 * *')) s (spec);
SELECT refused('* * * * *', zone) FROM unnest('{Mars/Olympus, "", +99, 5:5}'::text[]) zone;
SELECT refused(NULL) AS "null";
DROP FUNCTION refused;
DROP TABLE changes;

# Role: the part watch of the benchmark: what aside.metrics shows, once a second, while two handlers work off what comes in bursts. It is
# drawn to docs/monitoring.svg.
# Sourced by: bench/run, whose functions it uses.
# shellcheck shell=bash disable=SC2154

watch() {
	local seconds emitter
	seconds=$(times 60 10)
	say "aside.metrics each second, for $seconds s"
	sql >/dev/null <<-'EOS'
		CREATE TABLE figure (second int, name text, labels jsonb, value float8);
		CREATE PROCEDURE record_figures(seconds int) LANGUAGE plpgsql AS $$
		BEGIN
			FOR s IN 0 .. seconds LOOP
				INSERT INTO figure SELECT s, name, labels, value FROM aside.metrics WHERE labels ->> 'handler' IN ('mail', 'count') OR name = 'aside_workers';
				COMMIT;
				PERFORM pg_sleep(1);
			END LOOP;
		END $$;
		CREATE PROCEDURE emit_bursts(seconds int) LANGUAGE plpgsql AS $$
		BEGIN
			FOR s IN 1 .. seconds * 8 / 10 LOOP
				PERFORM async_event_emit(CASE i % 4 WHEN 0 THEN 'mail' ELSE 'count' END) FROM generate_series(1, CASE WHEN s % 20 < 8 THEN 400 ELSE 40 END) i;
				COMMIT;
				PERFORM pg_sleep(1);
			END LOOP;
		END $$;
		SELECT async_event_on('mail', command => 'SELECT pg_sleep(0.02)', concurrency => 2);
		SELECT async_event_on('count', command => 'SELECT pg_sleep(0.002)');
	EOS
	sql -c "CALL emit_bursts($seconds)" >/dev/null &
	emitter=$!
	sql -c "CALL record_figures($seconds)" >/dev/null
	wait "$emitter"
	sql -At -F ' ' >"$work/figures" <<-'EOS'
		SELECT 'events that wait', labels ->> 'handler', second, value FROM figure WHERE name = 'aside_handler_events' AND labels ->> 'state' = 'waiting'
		UNION ALL SELECT 'events that are done, each second', labels ->> 'handler', second, value - lag(value, 1, value) OVER (PARTITION BY labels ORDER BY second)
			FROM figure WHERE name = 'aside_handler_done_total'
		UNION ALL SELECT 'lag in seconds', labels ->> 'handler', second, value FROM figure WHERE name = 'aside_handler_lag_seconds'
		UNION ALL SELECT 'workers', labels ->> 'state', second, value FROM figure WHERE name = 'aside_workers' AND labels ->> 'state' IN ('busy', 'idle')
		ORDER BY 1, 2, 3
	EOS
	"$top/bench/chart" <"$work/figures" >"$top/docs/monitoring.svg"
	sql -c "SELECT async_event_off('mail'), async_event_off('count')" -c 'DROP TABLE figure' >/dev/null
	say "drawn: docs/monitoring.svg"
}

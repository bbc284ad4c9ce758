# Role: the parts of the benchmark on a machine that does something else as well: busy (processes that use up processors), flush (the log
# is flushed for real, and by a device that takes 2 ms), many (more clients than workers, and more workers than processors).
# Sourced by: bench/run, whose functions it uses.
# shellcheck shell=bash disable=SC2154

hogs=()
start_hogs() { # $1 how many
	local i
	for ((i = 0; i < $1; i++)); do
		(while :; do :; done) &
		hogs+=($!)
	done
}
stop_hogs() {
	if [ ${#hogs[@]} -gt 0 ]; then
		kill "${hogs[@]}" 2>/dev/null || true
		wait "${hogs[@]}" 2>/dev/null || true
	fi
	hogs=()
}

# $1 hogs, $2 round, $3 name of the figures, $4 calls, $5 the call: what the procedure kept becomes a figure of part busy-HOGS; the
# processor time and the switches of all server processes become those of cpu-HOGS and switches-HOGS.
busy_run() {
	sql -v hogs="$1" -v own="$2" -v peer="$3" -v n="$4" -v call="$5" >/dev/null <<-'EOS'
		TRUNCATE t, audited_aside, audited_dblink;
		SELECT run AS run, switches AS switches FROM server_load() \gset
		CALL :call;
		SELECT pg_sleep(0.1);
		INSERT INTO result SELECT 'cpu-' || :hogs, :'peer', :own, (run - :run) / :n FROM server_load();
		INSERT INTO result SELECT 'switches-' || :hogs, :'peer', :own, (switches - :switches) / :n FROM server_load();
		UPDATE result SET part = CASE WHEN part ~ 'p99' THEN 'busy p99-' ELSE 'busy-' END || :hogs, peer = :'peer', round = :own
			WHERE round = :own + 1000;
	EOS
}

busy() { # $1 round
	local count fake=$(($1 + 1000)) peer
	for count in 0 1 2 4; do
		say "round $1: $count processes that use up processors"
		start_hogs "$count"
		for peer in inproc aside dblink; do
			busy_run "$count" "$1" "$peer" "$(times 10000 200)" "hot_$peer($(times 10000 200), $fake)"
		done
		busy_run "$count" "$1" connect "$(times 100 10)" "hot_dblink_connect($(times 100 10), $fake)"
		busy_run "$count" "$1" session "$(times 10000 200)" "session_aside($(times 10000 200), $fake)"
		busy_run "$count" "$1" task "$(times 5000 100)" "task_aside($(times 5000 100), $fake)"
		busy_run "$count" "$1" trigger "$(times 20000 200)" "audited($(times 20000 200), 'aside', $fake)"
		busy_run "$count" "$1" trigger-dblink "$(times 5000 100)" "audited($(times 5000 100), 'dblink', $fake)"
		busy_run "$count" "$1" event "$(times 200 20)" "latency('event', $(times 200 20), $fake)"
		stop_hogs
	done
}

# $1 part, $2 name, $3 script, $4 clients, $5 round, $6 options of the sessions, then the roles that share the clients; calls a second,
# and what a call takes of the processors, in all server processes
load_run() {
	local part=$1-$4 name=$2 script=$3 clients=$4 round=$5 options=$6 seconds before tps role
	shift 6
	local roles=("${@:-postgres}") running=()
	seconds=$(times 5 4)
	sql -c 'TRUNCATE t' -c CHECKPOINT
	before=$(sql -At -c 'SELECT run FROM server_load()')
	for role in "${roles[@]}"; do
		as_client bench env PGOPTIONS="$options" pgbench -n -M prepared -U "$role" -c $((clients / ${#roles[@]})) -j 2 -T "$seconds" -D opened=0 \
			-f - <"bench/$script.pgbench" >"$work/pgbench.$role" 2>&1 &
		running+=($!)
	done
	wait "${running[@]}" || true
	for role in "${roles[@]}"; do
		if grep -q aborted "$work/pgbench.$role" || ! grep -q '^tps = ' "$work/pgbench.$role"; then
			cat "$work/pgbench.$role" >&2
			die "pgbench -c $clients with $script failed"
		fi
	done
	tps=$(sed -n 's/^tps = \([0-9.]*\) .*/\1/p' "${roles[@]/#/$work/pgbench.}" | awk '{ n += $1 } END { print n }')
	keep "$part" "$name" "$round" "$tps"
	sql -c "SELECT pg_sleep(0.1)" -c "INSERT INTO result SELECT '$part cpu', '$name', $round, (run - $before) / ($tps * $seconds) FROM server_load()" >/dev/null
}

# commit_delay is slept by whoever flushes for the others, with the lock held: what a device of that latency does.
flush() { # $1 round
	local device clients
	for device in flush flush-2ms; do
		say "round $1: $device"
		sql -c 'ALTER SYSTEM SET fsync = on' -c "ALTER SYSTEM SET commit_delay = $([ $device = flush ] && echo 0 || echo 2000)" \
			-c 'ALTER SYSTEM SET commit_siblings = 0' -c 'SELECT pg_reload_conf()' >/dev/null
		for clients in 1 8 32 64; do
			load_run "$device" plain plain "$clients" "$1" ''
			load_run "$device" aside aside "$clients" "$1" ''
			load_run "$device" caller aside "$clients" "$1" '-c aside.commit_wait=caller'
			load_run "$device" dblink dblink "$clients" "$1" ''
		done
	done
	sql -c 'ALTER SYSTEM RESET fsync' -c 'ALTER SYSTEM RESET commit_delay' -c 'ALTER SYSTEM RESET commit_siblings' -c 'SELECT pg_reload_conf()' >/dev/null
}

# One role, and four that share the workers; beside a connection of dblink's for each client, as far as max_connections goes.
many() { # $1 round
	local workers clients role roles=(many_1 many_2 many_3 many_4)
	if [ "$1" = 1 ]; then
		for role in "${roles[@]}"; do sql -c "CREATE ROLE $role LOGIN IN ROLE aside_user" -c "GRANT INSERT ON t TO $role"; done
	fi
	say "round $1: dblink"
	load_run many dblink dblink 64 "$1" ''
	for workers in 2 4 8 16; do
		say "round $1: $workers workers"
		sql -c "ALTER SYSTEM SET aside.max_workers = $workers"
		as_server "$work/bin/pg_ctl" -D "$work/bench/data" -l "$work/bench/log" -w -s -m fast restart </dev/null
		for clients in 64 256; do
			load_run "many-$workers" aside aside "$clients" "$1" ''
			load_run "many-$workers" 'aside, 4 roles' aside "$clients" "$1" '' "${roles[@]}"
		done
	done
	sql -c 'ALTER SYSTEM RESET aside.max_workers'
	as_server "$work/bin/pg_ctl" -D "$work/bench/data" -l "$work/bench/log" -w -s -m fast restart </dev/null
}

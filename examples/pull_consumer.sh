#!/usr/bin/env bash
# Role: a consumer in shell. It pulls events of a handler, does something with each of them in the database, and acknowledges
# them in the same transaction: so what it did happens once, whatever becomes of this process.
#
#   examples/pull_consumer.sh HANDLER [SECONDS]      stops when there was no event for so long (default 10); the connection is psql's
#
# Before: SELECT async_event_on('orders', pull => true); CREATE TABLE shipped (id bigint, customer text);
set -euo pipefail
handler=${1:?usage: pull_consumer.sh HANDLER [SECONDS]}
seconds=${2:-10}

while true; do
	# One session for each round. Where it fails, its transaction is rolled back, and the events come again when the lease is over.
	handled=$(psql -XAtq -v ON_ERROR_STOP=1 -v handler="$handler" -v wait="$seconds s" <<-'SQL'
		-- The pull is recorded at once; a rollback gives nothing back.
		CREATE TEMP TABLE got AS SELECT * FROM async_event_pull(:'handler', 10, lease => '1 minute', wait => :'wait');
		BEGIN;
		INSERT INTO shipped SELECT id, payload ->> 'customer' FROM got;
		SELECT async_event_ack(:'handler', ARRAY(SELECT id FROM got));
		COMMIT;
	SQL
	) || { sleep 1; continue; }
	[ "$handled" != 0 ] || exit 0
	echo "handled $handled"
done

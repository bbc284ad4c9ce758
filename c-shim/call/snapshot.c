/*
 * call/snapshot.c
 *	  A snapshot of a caller, at which its workers read, as both sides know it:
 *	  the number of the caller's process, and the snapshot as the server
 *	  serializes it for parallel workers.
 *
 * pg_export_snapshot() would do it by a file, and not in a subtransaction.
 */
#include "call/call.h"

#include "access/transam.h"
#include "access/xact.h"
#include "storage/proc.h"
#include "utils/snapmgr.h"

/*
 * A snapshot does not list its owner's transaction; for others it runs. Its
 * subtransactions are found by their parent, as where there are too many of
 * them to be listed.
 */
static SnapshotData
seen_by_others(Snapshot own)
{
	SnapshotData seen = *own;
	TransactionId xid = GetTopTransactionIdIfAny();

	if (!TransactionIdIsValid(xid) || !TransactionIdPrecedes(xid, own->xmax))
		return seen;
	seen.xip = palloc(sizeof(TransactionId) * (own->xcnt + 1));
	if (own->xcnt > 0)
		memcpy(seen.xip, own->xip, sizeof(TransactionId) * own->xcnt);
	seen.xip[seen.xcnt++] = xid;
	seen.suboverflowed = true;
	return seen;
}

/* The snapshot of the running statement. It holds while this process has it. */
aside_bytes
aside_own_snapshot(void)
{
	SnapshotData seen = seen_by_others(GetActiveSnapshot());
	uint32		process = aside_proc_number(MyProc);
	Size		size = sizeof(process) + EstimateSnapshotSpace(&seen);
	char	   *block = palloc(size);
	aside_bytes bytes = {(const uint8_t *) block, size};

	memcpy(block, &process, sizeof(process));
	SerializeSnapshot(&seen, block + sizeof(process));
	return bytes;
}

/* The transaction, which has just begun, reads at that snapshot, and writes nothing. */
void
aside_read_at(aside_bytes snapshot)
{
	uint32		process;

	memcpy(&process, snapshot.data, sizeof(process));
	XactIsoLevel = XACT_REPEATABLE_READ;
	XactReadOnly = true;
	RestoreTransactionSnapshot(RestoreSnapshot((char *) snapshot.data + sizeof(process)), GetPGProcByNumber(process));
}

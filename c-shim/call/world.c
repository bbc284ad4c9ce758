/*
 * call/world.c
 *	  Latches, time and interrupts, for both sides of a lease.
 */
#include "call/call.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "utils/timestamp.h"

static aside_status
latch_wait(uint32_t timeout_ms)
{
	int			rc = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							   timeout_ms, ASIDE_WAIT_EVENT("AsideTransaction"));

	if ((rc & WL_LATCH_SET) == 0)
		return ASIDE_TIMEOUT;
	ResetLatch(MyLatch);
	return ASIDE_OK;
}

static aside_status
world_sleep(uint32_t timeout_ms)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		*status_ = latch_wait(timeout_ms);
		CHECK_FOR_INTERRUPTS();
	}
	ASIDE_END_TRY();
	return status;
}

static aside_status
world_doze(uint32_t timeout_ms)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		*status_ = latch_wait(timeout_ms);
		/* A barrier that the whole cluster waits for is served all the same. */
		if (ProcSignalBarrierPending && InterruptHoldoffCount == 0 && CritSectionCount == 0)
			ProcessProcSignalBarrier();
	}
	ASIDE_END_TRY();
	return status;
}

static void
world_wake(uint32_t proc)
{
	if (proc < ProcGlobal->allProcCount)
		SetLatch(&ProcGlobal->allProcs[proc].procLatch);
}

static void
world_clear_latch(void)
{
	if (MyLatch->is_set)
		ResetLatch(MyLatch);
}

/* Registering a wait event may fail: it is not done while a process waits. */
static uint32 nap_event = 0;

static void
world_show_nap(bool naps)
{
	if (naps)
		pgstat_report_wait_start(nap_event);
	else
		pgstat_report_wait_end();
}

static int64_t
world_timestamp(void)
{
	return GetCurrentTimestamp();
}

void
aside_fill_world(aside_world *world)
{
	StaticAssertStmt(sizeof(sig_atomic_t) == sizeof(int32_t), "server flags are read as int32");
	nap_event = ASIDE_WAIT_EVENT("AsideTransaction");
	world->abi_version = ASIDE_ABI_VERSION;
	world->my_pid = MyProcPid;
	world->my_proc = aside_proc_number(MyProc);
	world->interrupt_pending = (const volatile int32_t *) &InterruptPending;
	world->die_pending = (const volatile int32_t *) &ProcDiePending;
	world->sleep = world_sleep;
	world->doze = world_doze;
	world->wake = world_wake;
	world->clear_latch = world_clear_latch;
	world->show_nap = world_show_nap;
	world->timestamp = world_timestamp;
	world->fail = aside_keep_report;
	world->pins_wanted = aside_host_pins_wanted;
}

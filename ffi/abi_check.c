/*
 * abi_check.c
 *	  Layout of the ABI, asserted where both builds compile it.
 *
 * Compiled by build.rs without any server include path: that proves that
 * aside_abi.h needs none.
 */
#include "aside_abi.h"

#define SAME(cond) _Static_assert(cond, #cond)

SAME(sizeof(void *) == 8);
SAME(sizeof(aside_bytes) == 16);
SAME(sizeof(aside_report) == 24 + 12 * 16);
SAME(offsetof(aside_report, message) == 24);
SAME(sizeof(aside_arg) == 24);
SAME(sizeof(aside_column) == 32);
SAME(sizeof(aside_identity) == 24);
SAME(offsetof(aside_call, command) == 88);
SAME(sizeof(aside_ending) == 88);
SAME(sizeof(aside_session_row) == 40);
SAME(sizeof(aside_task_start) == 56);
SAME(sizeof(aside_task_row) == 152);
SAME(sizeof(aside_worker_row) == 72);
SAME(sizeof(aside_standing) == 16);
SAME(sizeof(aside_handler_spec) == 96);
SAME(sizeof(aside_tally_row) == 48 + 8 * ASIDE_NOTE_ERRORS);
SAME(sizeof(aside_stat_row) == 56 + 8 * ASIDE_BUCKETS);
SAME(offsetof(aside_world, abi_version) == 0);
SAME(offsetof(aside_caller_host, world) == 0);
SAME(offsetof(aside_worker_host, world) == 0);

/*
 * abi_check.c
 *	  Layout of the ABI: the C compiler sees each struct, each of its members and
 *	  each number as the Rust compiler does.
 *
 * Compiled by build.rs, which has made abi_layout.h of what the Rust compiler
 * asserts: no struct can be left out.  It is compiled without any server
 * include path: that proves that aside_abi.h needs none.
 */
#include "aside_abi.h"

#define SAME(cond) _Static_assert(cond, #cond)

#include "abi_layout.h"

SAME(sizeof(void *) == 8);
SAME(sizeof(aside_status) == 4);

/* What is read of a table of functions before it is known to be of the same build. */
SAME(offsetof(aside_world, abi_version) == 0);
SAME(offsetof(aside_caller_host, world) == 0);
SAME(offsetof(aside_worker_host, world) == 0);
SAME(offsetof(aside_event_host, abi_version) == 0);
SAME(offsetof(aside_coordinator_host, abi_version) == 0);
SAME(offsetof(aside_launcher_host, abi_version) == 0);

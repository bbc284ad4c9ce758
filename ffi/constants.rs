//! Numbers of the core, SQLSTATEs above all, that must be those of `aside_abi.h`: asserted at compile time, without a server.
//! `c-shim/base/constants.c` asserts those of the ABI against the server's own.

use crate::abi::{aside_sqlstate, aside_sqlstate_count::ASIDE_SQLSTATE_COUNT};
use aside_core::report;

use crate::abi::{aside_counts, aside_entry_state, aside_slot_state, aside_task_state};
use aside_core::launcher::registry::State as Entry;
use aside_core::pool::slot::State as Slot;
use aside_core::task::State as Task;

/// The states of `$ours` are those of `$theirs`, and none of either is left out but `$apart`.
macro_rules! same_states {
    ($ours:ident, $theirs:ident, $count:ident, apart $apart:literal: $($state:ident = $member:ident)*) => {
        const _: () = {
            $( assert!($ours::$state as u32 == $theirs::$member); )*
            let named = [$($ours::$state),*];
            assert!(named.len() == $ours::ALL.len() && named.len() + $apart == aside_counts::$count as usize);
            let mut n = 0;
            while n < named.len() {
                assert!(named[n] as usize == n && $ours::ALL[n] as usize == n);
                n += 1;
            }
        };
    };
}

same_states!(Slot, aside_slot_state, ASIDE_SLOT_STATE_COUNT, apart 0:
    Free = ASIDE_SLOT_FREE Starting = ASIDE_SLOT_STARTING Idle = ASIDE_SLOT_IDLE Busy = ASIDE_SLOT_BUSY
    Retiring = ASIDE_SLOT_RETIRING Dead = ASIDE_SLOT_DEAD Held = ASIDE_SLOT_HELD Tasked = ASIDE_SLOT_TASKED);
same_states!(Task, aside_task_state, ASIDE_TASK_STATE_COUNT, apart 0:
    Free = ASIDE_TASK_FREE Filling = ASIDE_TASK_FILLING Pending = ASIDE_TASK_PENDING Queued = ASIDE_TASK_QUEUED
    Running = ASIDE_TASK_RUNNING Ending = ASIDE_TASK_ENDING Done = ASIDE_TASK_DONE Failed = ASIDE_TASK_FAILED
    Cancelled = ASIDE_TASK_CANCELLED Lost = ASIDE_TASK_LOST);
// ASIDE_ENTRY_FAILING is a view's: one that runs.
same_states!(Entry, aside_entry_state, ASIDE_ENTRY_STATE_COUNT, apart 1:
    Free = ASIDE_ENTRY_FREE Starting = ASIDE_ENTRY_STARTING Looking = ASIDE_ENTRY_LOOKING Running = ASIDE_ENTRY_RUNNING
    Absent = ASIDE_ENTRY_ABSENT Failed = ASIDE_ENTRY_FAILED Idle = ASIDE_ENTRY_IDLE);

const _: () = {
    use crate::abi;
    assert!(aside_core::host::REFERENTIAL_ACTION == abi::ASIDE_REFERENTIAL_ACTION);
    assert!(aside_core::pool::stats::KINDS == aside_counts::ASIDE_KINDS as usize);
    assert!(aside_core::pool::stats::BUCKETS == abi::ASIDE_BUCKETS as usize);
    assert!(aside_core::task::journal::RECORD == abi::ASIDE_TASK_RECORD as usize);
    assert!(aside_core::async_event::stats::ERRORS == abi::ASIDE_NOTE_ERRORS as usize);
    assert!(aside_core::launcher::reserve::PLACES == abi::ASIDE_RESERVE_PLACES as usize);
    assert!(report::NULL_VALUE_NOT_ALLOWED == aside_sqlstate::ASIDE_SQLSTATE_NULL_VALUE_NOT_ALLOWED);
    assert!(report::FEATURE_NOT_SUPPORTED == aside_sqlstate::ASIDE_SQLSTATE_FEATURE_NOT_SUPPORTED);
    assert!(report::CONNECTION_DOES_NOT_EXIST == aside_sqlstate::ASIDE_SQLSTATE_CONNECTION_DOES_NOT_EXIST);
    assert!(report::OBJECT_NOT_IN_PREREQUISITE_STATE == aside_sqlstate::ASIDE_SQLSTATE_OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert!(report::DUPLICATE_OBJECT == aside_sqlstate::ASIDE_SQLSTATE_DUPLICATE_OBJECT);
    assert!(report::UNDEFINED_OBJECT == aside_sqlstate::ASIDE_SQLSTATE_UNDEFINED_OBJECT);
    assert!(report::FAILED_TRANSACTION == aside_sqlstate::ASIDE_SQLSTATE_FAILED_TRANSACTION);
    assert!(report::CONNECTION_FAILURE == aside_sqlstate::ASIDE_SQLSTATE_CONNECTION_FAILURE);
    assert!(report::DEADLOCK_DETECTED == aside_sqlstate::ASIDE_SQLSTATE_DEADLOCK_DETECTED);
    assert!(report::INSUFFICIENT_PRIVILEGE == aside_sqlstate::ASIDE_SQLSTATE_INSUFFICIENT_PRIVILEGE);
    assert!(report::SYNTAX_ERROR == aside_sqlstate::ASIDE_SQLSTATE_SYNTAX_ERROR);
    assert!(report::UNDEFINED_PARAMETER == aside_sqlstate::ASIDE_SQLSTATE_UNDEFINED_PARAMETER);
    assert!(report::ADMIN_SHUTDOWN == aside_sqlstate::ASIDE_SQLSTATE_ADMIN_SHUTDOWN);
    assert!(report::CANNOT_CONNECT_NOW == aside_sqlstate::ASIDE_SQLSTATE_CANNOT_CONNECT_NOW);
    assert!(report::OUT_OF_MEMORY == aside_sqlstate::ASIDE_SQLSTATE_OUT_OF_MEMORY);
    assert!(report::CONFIGURATION_LIMIT_EXCEEDED == aside_sqlstate::ASIDE_SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED);
    assert!(report::STATEMENT_TOO_COMPLEX == aside_sqlstate::ASIDE_SQLSTATE_STATEMENT_TOO_COMPLEX);
    assert!(report::QUERY_CANCELED == aside_sqlstate::ASIDE_SQLSTATE_QUERY_CANCELED);
    assert!(report::PROTOCOL_VIOLATION == aside_sqlstate::ASIDE_SQLSTATE_PROTOCOL_VIOLATION);
    assert!(report::INTERNAL_ERROR == aside_sqlstate::ASIDE_SQLSTATE_INTERNAL_ERROR);
    // None is left out.
    assert!(report::SQLSTATES.len() == ASIDE_SQLSTATE_COUNT as usize);
};

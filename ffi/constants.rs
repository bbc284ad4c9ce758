//! Numbers of the core, SQLSTATEs above all, that must be those of `aside_abi.h`: asserted at compile time, without a server.
//! `c-shim/base/constants.c` asserts those of the ABI against the server's own.

use crate::abi::{aside_sqlstate, aside_sqlstate_count::ASIDE_SQLSTATE_COUNT};
use aside_core::report;

use crate::abi::{aside_counts, aside_entry_state, aside_slot_state, aside_task_state};
use aside_core::launcher::registry::CoordinatorState as LogEntry;
use aside_core::pool::slot::SlotState as Slot;
use aside_core::task::TaskState as Task;
use aside_core::wire::batch;
use std::mem::offset_of;

/// Every SQLSTATE that the core raises: its name there, in the ABI, and at the server.
macro_rules! sqlstates {
    ($do:ident) => {
        $do! {
            NULL_VALUE_NOT_ALLOWED ASIDE_SQLSTATE_NULL_VALUE_NOT_ALLOWED ERRCODE_NULL_VALUE_NOT_ALLOWED,
            FEATURE_NOT_SUPPORTED ASIDE_SQLSTATE_FEATURE_NOT_SUPPORTED ERRCODE_FEATURE_NOT_SUPPORTED,
            CONNECTION_DOES_NOT_EXIST ASIDE_SQLSTATE_CONNECTION_DOES_NOT_EXIST ERRCODE_CONNECTION_DOES_NOT_EXIST,
            OBJECT_NOT_IN_PREREQUISITE_STATE ASIDE_SQLSTATE_OBJECT_NOT_IN_PREREQUISITE_STATE ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            DUPLICATE_OBJECT ASIDE_SQLSTATE_DUPLICATE_OBJECT ERRCODE_DUPLICATE_OBJECT,
            UNDEFINED_OBJECT ASIDE_SQLSTATE_UNDEFINED_OBJECT ERRCODE_UNDEFINED_OBJECT,
            FAILED_TRANSACTION ASIDE_SQLSTATE_FAILED_TRANSACTION ERRCODE_IN_FAILED_SQL_TRANSACTION,
            CONNECTION_FAILURE ASIDE_SQLSTATE_CONNECTION_FAILURE ERRCODE_CONNECTION_FAILURE,
            DEADLOCK_DETECTED ASIDE_SQLSTATE_DEADLOCK_DETECTED ERRCODE_T_R_DEADLOCK_DETECTED,
            INSUFFICIENT_PRIVILEGE ASIDE_SQLSTATE_INSUFFICIENT_PRIVILEGE ERRCODE_INSUFFICIENT_PRIVILEGE,
            SYNTAX_ERROR ASIDE_SQLSTATE_SYNTAX_ERROR ERRCODE_SYNTAX_ERROR,
            UNDEFINED_PARAMETER ASIDE_SQLSTATE_UNDEFINED_PARAMETER ERRCODE_UNDEFINED_PARAMETER,
            ADMIN_SHUTDOWN ASIDE_SQLSTATE_ADMIN_SHUTDOWN ERRCODE_ADMIN_SHUTDOWN,
            CANNOT_CONNECT_NOW ASIDE_SQLSTATE_CANNOT_CONNECT_NOW ERRCODE_CANNOT_CONNECT_NOW,
            OUT_OF_MEMORY ASIDE_SQLSTATE_OUT_OF_MEMORY ERRCODE_OUT_OF_MEMORY,
            CONFIGURATION_LIMIT_EXCEEDED ASIDE_SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            STATEMENT_TOO_COMPLEX ASIDE_SQLSTATE_STATEMENT_TOO_COMPLEX ERRCODE_STATEMENT_TOO_COMPLEX,
            QUERY_CANCELED ASIDE_SQLSTATE_QUERY_CANCELED ERRCODE_QUERY_CANCELED,
            PROTOCOL_VIOLATION ASIDE_SQLSTATE_PROTOCOL_VIOLATION ERRCODE_PROTOCOL_VIOLATION,
            INTERNAL_ERROR ASIDE_SQLSTATE_INTERNAL_ERROR ERRCODE_INTERNAL_ERROR,
            RAISE_EXCEPTION ASIDE_SQLSTATE_RAISE_EXCEPTION ERRCODE_RAISE_EXCEPTION,
        }
    };
}
#[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17", feature = "pg18"))]
pub(crate) use sqlstates;

macro_rules! same_as_the_abis {
    ($($ours:ident $abi:ident $server:ident,)*) => { $( assert!(report::$ours == aside_sqlstate::$abi); )* };
}

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
same_states!(LogEntry, aside_entry_state, ASIDE_ENTRY_STATE_COUNT, apart 1:
    Free = ASIDE_ENTRY_FREE Starting = ASIDE_ENTRY_STARTING Looking = ASIDE_ENTRY_LOOKING Running = ASIDE_ENTRY_RUNNING
    Absent = ASIDE_ENTRY_ABSENT Failed = ASIDE_ENTRY_FAILED Idle = ASIDE_ENTRY_IDLE);

const _: () = {
    use crate::abi::aside_topic;
    use aside_core::coordinator::topics::Topics;
    assert!(Topics::EVENTS.bits() == aside_topic::ASIDE_TOPIC_EVENTS);
    assert!(Topics::HANDLERS.bits() == aside_topic::ASIDE_TOPIC_HANDLERS);
    assert!(Topics::SCHEDULES.bits() == aside_topic::ASIDE_TOPIC_SCHEDULES);
    assert!(Topics::JOBS.bits() == aside_topic::ASIDE_TOPIC_JOBS);
    assert!(Topics::PULLS.bits() == aside_topic::ASIDE_TOPIC_PULLS);
};

const _: () = {
    use crate::abi;
    assert!(aside_core::definition::LOCKED == abi::ASIDE_ROW_LOCKED as i64);
    assert!(aside_core::host::REFERENTIAL_ACTION == abi::ASIDE_REFERENTIAL_ACTION);
    assert!(aside_core::pool::stats::KINDS == aside_counts::ASIDE_KINDS as usize);
    assert!(aside_core::pool::stats::BUCKETS == abi::ASIDE_BUCKETS as usize);
    assert!(aside_core::task::journal::RECORD == abi::ASIDE_TASK_RECORD as usize);
    assert!(aside_core::async_event::stats::ERRORS == abi::ASIDE_COUNTED_ERRORS as usize);
    assert!(aside_core::launcher::seen::RUNNING == abi::ASIDE_UNSEEN_RUNNING as usize);
    assert!(aside_core::launcher::reserve::PLACES == abi::ASIDE_RESERVE_PLACES as usize);
    assert!(batch::HEAD == size_of::<abi::aside_batch>() && offset_of!(abi::aside_batch, key) == 16);
    assert!(batch::NOTE_HEAD == size_of::<abi::aside_note_head>() && size_of::<abi::aside_handler_name>() == 12);
    assert!(batch::EVENTS == abi::aside_batch_kind::ASIDE_BATCH_EVENTS);
    assert!(batch::NOTIFICATIONS == abi::aside_batch_kind::ASIDE_BATCH_NOTIFICATIONS);
    sqlstates!(same_as_the_abis);
    assert!(report::EVENT_DISCARDED == abi::aside_own_sqlstate::ASIDE_SQLSTATE_EVENT_DISCARDED);
    // None is left out.
    assert!(report::SQLSTATES.len() == ASIDE_SQLSTATE_COUNT as usize);
};

//! What stands beside the signature of each export: the value that it returns for a NULL and on a panic, and what it does about
//! a table of functions that another build has filled. `scripts/abi-rules` sees to it that no export is missing.

use super::shim::*;
use super::worker::worker_host;
use super::{Field, INTERNAL_ERROR, message, test};
use aside_core::report::Report;
use pg_aside::abi::*;
use pg_aside::exports::{calls::*, events::*, pool::*, pulls::*, registry::*, schedules::*, sessions::*, tasks::*, worker::*};
use pg_aside::guard::panic_next;
use std::ptr::{null, null_mut};

const SAVED: aside_status::Type = aside_status::ASIDE_SAVED;
const GONE: aside_status::Type = aside_status::ASIDE_GONE;
const LEAVE: aside_status::Type = aside_status::ASIDE_LEAVE;
const PANIC: aside_status::Type = aside_status::ASIDE_PANIC;
const OTHER_BUILD: aside_status::Type = aside_status::ASIDE_OTHER_BUILD;
const NO_BYTES: aside_bytes = aside_bytes { data: null(), len: 0 };

/// Each call returns this value.
macro_rules! each {
    ($how:literal: $($call:expr => $value:expr;)*) => { $( {
        // SAFETY: each pointer is NULL, or valid.
        let value = unsafe { $call };
        assert_eq!(value, $value, concat!($how, ": ", stringify!($call)));
    } )* };
}

/// Each call returns this value for the NULLs that it is given, and if it panics.
macro_rules! null_and_panic {
    ($($call:expr => $value:expr;)*) => { $(
        each!("NULL": $call => $value;);
        panic_next();
        each!("panic": $call => $value;);
    )* };
}

#[test]
fn the_value_beside_the_signature_is_returned_for_a_null_and_on_a_panic() {
    test(|| {
        null_and_panic! {
            aside_when_out_of_memory(None) => ();
            aside_pool_init(null_mut(), 0, 1, 4096, null()) => PANIC;
            aside_pool_attach(null_mut(), 0) => null_mut();
            aside_pool_slots(null()) => 0;
            aside_pool_workers(null()) => 0;
            aside_pool_retire(null_mut(), null(), 0) => 0;
            aside_pool_in_use(null(), 0, 0) => 0;
            aside_view_worker(null(), 0, null_mut()) => false;
            aside_view_stat(null(), 0, null_mut()) => false;
            aside_caller_exit(null_mut(), null()) => ();
            aside_pool_close(null_mut(), null()) => ();
            aside_worker_attach(null_mut(), null(), 0, 1) => LEAVE;
            aside_worker_run(null_mut(), null()) => PANIC;
            aside_worker_exit(null_mut(), null()) => ();
            aside_gate_pre_commit(null_mut(), 1) => GONE;
            aside_caller_waits(null_mut()) => false;
            aside_owe_commit(null_mut(), 1, 1) => ();
            aside_gate_committed(null_mut()) => false;
            aside_gate_aborted(null_mut()) => ();
            aside_commit_settled(null_mut(), null()) => ();
            aside_cancelled_by_deadlock(null()) => false;
            aside_worker_depth(null()) => 0;
            aside_worker_task(null()) => 0;
            aside_sink_row(null_mut(), NO_BYTES) => GONE;
            aside_sink_describe(null_mut(), null(), 0) => GONE;
            aside_sink_message(null_mut(), null(), null(), NO_BYTES) => GONE;
            aside_settle_task(null_mut(), null()) => GONE;
            aside_session_database(null(), NO_BYTES) => 0;
            aside_sessions_end(null_mut(), null()) => ();
            aside_view_session(null_mut(), 0, null_mut()) => false;
            aside_tasks_init(null_mut(), 0, 1, 0) => PANIC;
            aside_tasks_recover(null_mut(), 0, 0, null_mut(), 0) => 0;
            aside_tasks_attach(null_mut(), null_mut(), 0) => false;
            aside_task_progress(null_mut(), null(), 50.0, NO_BYTES) => false;
            aside_tasks_transaction(null_mut(), null(), aside_transaction_end::ASIDE_END_COMMIT, 0, 0) => ();
            aside_tasks_pending(null()) => false;
            aside_tasks_kick(null_mut(), null(), 0) => ();
            aside_registry_init(null_mut(), 0) => false;
            aside_registry_attach(null_mut(), 0) => null_mut();
            aside_launcher_step(null_mut(), null()) => 1_000_000;
            aside_launcher_attach(null_mut(), 0, 0) => ();
            aside_launcher_kick(null_mut()) => -1;
            aside_coordinator_attach(null_mut(), 0, 1, 1, 1, 0) => false;
            aside_coordinator_became(null_mut(), 0, aside_entry_state::ASIDE_ENTRY_RUNNING, 0) => ();
            aside_coordinator_exit(null_mut(), 0, 0) => ();
            aside_reserve_wait(null_mut(), 0, 0) => ();
            aside_reserve_take(null_mut(), 0, null_mut()) => false;
            aside_reserve_leave(null_mut(), 0, 0) => ();
            aside_registry_say(null_mut(), 0, 1, 0) => -1;
            aside_registry_changes(null(), 0) => 0;
            aside_registry_make_room(null_mut(), 0, null_mut()) => false;
            aside_registry_want(null_mut(), 0, 0) => ();
            aside_registry_vacate(null_mut(), 0, 0, null_mut()) => false;
            aside_registry_readmit(null_mut(), 0) => ();
            aside_registry_partition(null(), 0) => -1;
            aside_registry_set_partition(null_mut(), 0, 0) => ();
            aside_registry_unseen(null(), 0, null_mut(), null_mut()) => -1;
            aside_registry_raise_id(null(), 0, 0, 1) => 0;
            aside_quota_take(null(), 0, 0, 1) => false;
            aside_quota_counted(null(), 0, 0, 1) => ();
            aside_run_wait_exit(null(), 0) => ();
            aside_pull_exit(null(), 0) => ();
            aside_view_coordinator(null(), 0, null_mut()) => false;
            aside_view_tally(null(), 0, 0, null_mut()) => false;
            aside_task_counts(null_mut(), null_mut()) => 0;
            aside_coordinator_new(null_mut(), 0, 0, true, 0) => null_mut();
            aside_coordinator_turn(null_mut(), null_mut(), null(), null(), null(), null(), null(), false, null_mut()) => false;
        }
        // These are given no pointer.
        panic_next();
        each!("panic": aside_core_abi_version() => 0;);
        panic_next();
        each!("panic": aside_pool_size(1, 4096) => 0;);
        panic_next();
        each!("panic": aside_tasks_size(1, 4096) => 0;);
        panic_next();
        each!("panic": aside_registry_size() => 0;);
        panic_next();
        each!("panic": aside_handle_pid(7, true, false, 0, 1) => 0;);
        panic_next();
        each!("panic": aside_handle_number(7) => 0;);
        panic_next();
        each!("panic": aside_handle_takes_pid(true, true) => false;);
        panic_next();
        each!("panic": aside_handle_lasts(7, true, 0) => false;);
        panic_next();
        each!("panic": aside_handle_is_over(true, false, true) => false;);
        each!("well": aside_core_abi_version() => ASIDE_ABI_VERSION;);
    });
}

/// Each export that may raise an error, with what is given to it; the rest is NULL.
fn raising(pool: *mut aside_pool, host: *const aside_caller_host, check: &mut dyn FnMut(&str, &dyn Fn() -> aside_status::Type)) {
    macro_rules! all {
        // SAFETY: each pointer is NULL, or valid.
        ($($call:expr;)*) => { $( check(stringify!($call), &|| unsafe { $call }); )* };
    }
    let (call, start, name) = (null(), null(), NO_BYTES);
    all! {
        aside_call_run(pool, host, call, null_mut());
        aside_parallel_run(pool, host, call, null());
        aside_session_open(pool, host, call, name);
        aside_session_run(pool, host, call, name, null_mut());
        aside_session_send(pool, host, call, name);
        aside_session_result(pool, host, call, name, true, null_mut());
        aside_session_notifications(pool, host, call, name);
        aside_session_close(pool, host, call, name);
        aside_sessions_close(pool, host, call);
        aside_session_is_busy(pool, host, name, null_mut());
        aside_session_cancel(pool, host, name, null_mut());
        aside_session_error(pool, host, call, name, null_mut());
        aside_session_failure(pool, host, call, name);
        aside_task_submit(pool, host, call, start, null_mut());
        aside_task_wait(pool, host, call, null(), 0, 0, null_mut());
        aside_task_result(pool, host, call, 1, false);
        aside_task_cancel(pool, host, call, 1, 0, null_mut());
        aside_view_task(pool, host, 0, null_mut());
        aside_find_task(pool, host, 1, null_mut());
        aside_schedule_read(host, null(), name, 0);
        aside_schedule_explain(host, null(), null(), name, 0);
        aside_schedule_dues(host, null(), null(), name, 0, null_mut(), 0, null_mut());
        aside_run_wait(host, null(), null(), 1, 0, null_mut());
        aside_pull(host, null(), 5, 1, 1, 1, 0, null_mut());
        aside_find_leases(host, null(), 5, 1, null(), 0, 0, null_mut());
    }
    if pool.is_null() || host.is_null() {
        // It is given nothing else.
        all! { aside_task_detach(pool, host, 1); }
    }
}

#[test]
fn who_may_raise_an_error_raises_that_of_a_panic_through_the_host_and_only_through_one() {
    test(|| {
        let me = fork();
        let pool = become_process(me, Memory::pool(1), false);
        let host = caller_host(me);
        raising(null_mut(), null(), &mut |name, call| {
            assert_eq!(call(), PANIC, "NULL: {name}");
            panic_next();
            assert_eq!(call(), PANIC, "a panic, and no host: {name}");
        });
        raising(pool, &host, &mut |name, call| {
            assert_eq!(call(), PANIC, "NULL: {name}");
            panic_next();
            assert_eq!(call(), SAVED, "a panic: {name}");
            let error = thrown();
            assert_eq!((error.sqlstate, message(&error)), (INTERNAL_ERROR, "internal error in pg_aside".into()), "{name}");
            assert!(text(&error, Field::Detail).contains("asked for"), "{name}");
        });
    });
}

fn text(report: &Report, field: Field) -> String {
    String::from_utf8_lossy(report.get(field).unwrap_or_default()).into()
}

/// Laid out as that of another build may be: nothing is behind its first member.
#[repr(C)]
struct Other(u32);

#[test]
fn a_table_of_functions_of_another_build_is_read_no_further_than_its_number() {
    test(|| {
        let memory = Memory::pool(1);
        let pool = become_process(fork(), memory, false);
        let registry = Memory::registry();
        // SAFETY: the registry is laid out and never freed.
        let coordinator = unsafe { aside_coordinator_new(registry.registry_handle(), 0, 0, true, 0) };
        let other = Box::leak(Box::new(Other(ASIDE_ABI_VERSION + 1)));
        let other: *const Other = other;
        raising(pool, other.cast(), &mut |name, call| assert_eq!(call(), OTHER_BUILD, "{name}"));
        each! { "another build":
            aside_task_detach(pool, other.cast(), 1) => OTHER_BUILD;
            aside_worker_attach(pool, other.cast(), 0, 1) => LEAVE;
            aside_worker_run(pool, other.cast()) => PANIC;
            aside_settle_task(pool, other.cast()) => GONE;
            aside_sink_message(pool, other.cast(), null(), NO_BYTES) => GONE;
            aside_pool_retire(pool, other.cast(), 0) => 0;
            aside_task_progress(pool, other.cast(), 1.0, NO_BYTES) => false;
            aside_launcher_step(registry.registry_handle(), other.cast()) => 1_000_000;
            aside_worker_exit(pool, other.cast()) => ();
            aside_commit_settled(pool, other.cast()) => ();
            aside_caller_exit(pool, other.cast()) => ();
            aside_pool_close(pool, other.cast()) => ();
            aside_sessions_end(pool, other.cast()) => ();
            aside_tasks_kick(pool, other.cast(), 0) => ();
        }
        let me = fork();
        let (host, mut wait) = (caller_host(me), 0);
        each! { "another build's coordinator":
            aside_coordinator_turn(coordinator, pool, &host, other.cast(), other.cast(), other.cast(), other.cast(), false, &mut wait) => false;
        }
        // The first number is all that tells them apart.
        each!("this build": aside_worker_attach(pool, &worker_host(me), 0, 1) => LEAVE;);
    });
}

//! Sessions, tasks and the registry, as the shim uses them: one life of each through its exports.

use super::shim::*;
use super::{Session, message, test};
use aside_core::report::{CONNECTION_DOES_NOT_EXIST, UNDEFINED_OBJECT};
use pg_aside::abi::*;
use pg_aside::bytes::lend;
use pg_aside::exports::{pulls::*, registry::*, schedules::*, sessions::*, tasks::*, worker::*};
use std::sync::atomic::{AtomicU32, Ordering::*};

const OK: aside_status::Type = aside_status::ASIDE_OK;
const SAVED: aside_status::Type = aside_status::ASIDE_SAVED;
const GONE: aside_status::Type = aside_status::ASIDE_GONE;
const LEAVE: aside_status::Type = aside_status::ASIDE_LEAVE;

#[test]
fn a_session_lives_from_its_opening_to_its_end() {
    test(|| {
        let session = Session::new(Memory::pool(2));
        let (pool, host, name) = (session.pool, &session.host, lend(b"one"));
        let (mut ending, mut yes, mut row, mut text) =
            (aside_ending::default(), true, aside_session_row::default(), aside_bytes::default());
        let described = || aside_call { output: aside_output::ASIDE_OUTPUT_DESCRIBED, ..call("echo") };
        // SAFETY: the pool is this thread's, the calls lend what they point to, outputs are writable.
        unsafe {
            assert!(!aside_view_session(pool, 0, &mut row));
            assert_eq!(
                (aside_session_run(pool, host, &call("echo"), name, &mut ending), thrown().sqlstate),
                (SAVED, CONNECTION_DOES_NOT_EXIST)
            );
            assert_eq!(aside_session_open(pool, host, &call(""), name), OK);
            assert_eq!((aside_session_database(pool, name), aside_session_database(pool, lend(b"two"))), (5, 0));
            assert!(aside_view_session(pool, 0, &mut row) && !aside_view_session(pool, 1, &mut row));
            assert_eq!((owned(row.name), row.database, row.busy, row.alive), (b"one".to_vec(), 5, 0, 1));
            assert_eq!((aside_session_run(pool, host, &call("echo"), name, &mut ending), ending.processed, ending.found), (OK, 2, 1));
            assert_eq!(aside_session_send(pool, host, &described(), name), OK);
            assert_eq!((aside_session_result(pool, host, &call(""), name, true, &mut ending), ending.found), (OK, 1));
            assert_eq!((aside_session_result(pool, host, &call(""), name, true, &mut ending), ending.found), (OK, 0));
            assert_eq!((aside_session_is_busy(pool, host, name, &mut yes), yes), (OK, false));
            assert_eq!((aside_session_cancel(pool, host, name, &mut yes), yes), (OK, false));
            assert_eq!((aside_session_error(pool, host, &call(""), name, &mut text), text.data.is_null()), (OK, true));
            assert_eq!(aside_session_failure(pool, host, &call(""), name), OK);
            assert_eq!(aside_session_run(pool, host, &call("raise"), name, &mut ending), SAVED);
            assert_eq!((aside_session_error(pool, host, &call(""), name, &mut text), owned(text)), (OK, b"field 0".to_vec()));
            assert_eq!((aside_session_failure(pool, host, &call(""), name), thrown().sqlstate), (SAVED, 12345));
            ROWS.take();
            assert_eq!((aside_session_notifications(pool, host, &call(""), name), ROWS.take()), (OK, vec![b"notified".to_vec()]));
            assert_eq!(aside_session_close(pool, host, &call(""), name), OK);
            assert_eq!(aside_session_open(pool, host, &call(""), lend(b"two")), OK);
            assert_eq!(aside_sessions_close(pool, host, &call("")), OK);
            assert!(!aside_view_session(pool, 0, &mut row));
            assert_eq!(aside_session_open(pool, host, &call(""), lend(b"three")), OK);
            aside_sessions_end(pool, host);
            assert_eq!(aside_session_database(pool, lend(b"three")), 0, "the next tenant finds none");
        }
        session.close();
    });
}

#[test]
fn a_task_lives_from_its_submission_to_its_detachment() {
    test(|| {
        let session = Session::new(Memory::pool(1));
        let (pool, host) = (session.pool, &session.host);
        let (mut row, mut id, mut ended, mut was) = (aside_task_row::default(), 0, 0, true);
        let text = |command| aside_call { output: aside_output::ASIDE_OUTPUT_DESCRIBED, ..call(command) };
        let start = aside_task_start { label: lend(b"label"), shown: lend(b"shown"), ..Default::default() };
        // SAFETY: as above; the table is laid out and never freed.
        unsafe {
            let table = Memory::zeroed(aside_tasks_size(4, 1 << 20));
            assert!(!aside_tasks_attach(pool, table.start(), table.len), "not laid out");
            assert_eq!((aside_tasks_init(table.start(), 64, 4, 0), aside_tasks_init(table.start(), table.len, 4, 40)), (GONE, OK));
            assert!(aside_tasks_attach(pool, table.start(), table.len));
            become_task_runner(table);
            assert_eq!((aside_view_task(pool, host, 0, &mut row), aside_view_task(pool, host, 4, &mut row)), (GONE, LEAVE));
            assert_eq!((aside_task_submit(pool, host, &text("echo"), &start, &mut id), id), (OK, 41));
            assert_eq!((aside_task_wait(pool, host, &call(""), &id, 1, -1, &mut ended), ended), (OK, 41));
            assert_eq!((aside_find_task(pool, host, id, &mut row), row.state), (OK, aside_task_state::ASIDE_TASK_DONE));
            assert_eq!((owned(row.command), owned(row.label), row.rows, row.has_progress), (b"shown".to_vec(), b"label".to_vec(), 2, 0));
            assert_eq!((aside_find_task(pool, host, 7, &mut row), aside_view_task(pool, host, 0, &mut row), row.pid), (GONE, OK, 0));
            let mut counts = [0; aside_counts::ASIDE_TASK_STATE_COUNT as usize];
            assert_eq!((aside_task_counts(pool, counts.as_mut_ptr()), counts[aside_task_state::ASIDE_TASK_DONE as usize]), (0, 1));
            assert_eq!((aside_task_result(pool, host, &call(""), id, true), aside_task_result(pool, host, &call(""), id, false)), (OK, OK));
            assert_eq!((aside_task_cancel(pool, host, &call(""), id, -1, &mut was), was), (OK, false));
            assert!(!aside_task_progress(pool, host, 50.0, lend(b"half")), "this is no task");
            assert_eq!(aside_worker_task(pool), 0);
            assert_eq!(aside_task_detach(pool, host, id), OK);
            assert_eq!((aside_task_detach(pool, host, i64::MIN), aside_task_detach(pool, host, 7)), (SAVED, SAVED));
            assert_eq!((thrown().sqlstate, aside_task_result(pool, host, &call(""), 7, false)), (UNDEFINED_OBJECT, SAVED));
            assert_eq!(message(&thrown()), "task 7 does not exist");
            let pending = aside_task_start { on_commit: 1, subtransaction: 1, ..start };
            assert!(!aside_tasks_pending(pool));
            assert_eq!(aside_task_submit(pool, host, &text("echo"), &pending, &mut id), OK);
            assert_eq!((aside_find_task(pool, host, id, &mut row), row.state), (OK, aside_task_state::ASIDE_TASK_PENDING));
            assert!(aside_tasks_pending(pool));
            aside_tasks_transaction(pool, host, aside_transaction_end::ASIDE_END_SUBCOMMIT, 1, 0);
            assert!(aside_tasks_pending(pool));
            aside_tasks_transaction(pool, host, aside_transaction_end::ASIDE_END_ABORT, 0, 0);
            assert!(!aside_tasks_pending(pool));
            aside_tasks_kick(pool, host, 0);
            let mut journal = vec![0u8; 4 * ASIDE_TASK_RECORD as usize];
            assert_eq!(aside_tasks_recover(table.start(), table.len, 9, journal.as_mut_ptr(), journal.len()), 0);
        }
        session.close();
    });
}

static STARTED: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn now() -> i64 {
    42
}
unsafe extern "C" fn databases(out: *mut *const u32, count: *mut usize) -> bool {
    static ALL: [u32; 1] = [5];
    // SAFETY: writable.
    unsafe {
        *out = ALL.as_ptr();
        *count = 1;
    }
    true
}
unsafe extern "C" fn three() -> u32 {
    3
}
unsafe extern "C" fn start(assignment: *const aside_assignment) -> bool {
    // SAFETY: readable during this call.
    let assignment = unsafe { &*assignment };
    STARTED.store(assignment.database << 16 | (assignment.generation as u32) << 8 | assignment.entry, SeqCst);
    true
}
unsafe extern "C" fn wake(_: u32) {}
unsafe extern "C" fn note(_: aside_launcher_note::Type) {}
static LOOKS: AtomicU32 = AtomicU32::new(0);
/// Run 2 is seen to have ended by the third look, run 9 never, and no look for another one succeeds.
unsafe extern "C" fn ended(run: i64, ended: *mut bool) -> aside_status::Type {
    // SAFETY: writable during this call.
    unsafe { *ended = run == 2 && LOOKS.fetch_add(1, SeqCst) == 2 };
    if run > 0 { OK } else { SAVED }
}

#[test]
fn a_coordinator_lives_from_the_launchers_look_to_its_exit() {
    test(|| {
        let registry = Memory::registry().registry_handle();
        let host = aside_launcher_host {
            abi_version: ASIDE_ABI_VERSION,
            reserved: 0,
            timestamp: Some(now),
            databases: Some(databases),
            free_slots: Some(three),
            workers: Some(three),
            start: Some(start),
            wake: Some(wake),
            note: Some(note),
        };
        let (mut row, mut latch, mut assignment) = (aside_coordinator_row::default(), 0, aside_assignment::default());
        let mut tally = aside_tally_row::default();
        let mut state = || {
            // SAFETY: the registry is never freed, the row writable.
            assert!(unsafe { aside_view_coordinator(registry, 0, &mut row) });
            (row.state, row.database, row.pid)
        };
        // SAFETY: the registry is laid out and never freed, outputs are writable.
        unsafe {
            assert_eq!(state(), (aside_entry_state::ASIDE_ENTRY_FREE, 0, 0));
            assert_eq!(aside_launcher_kick(registry), -1, "there is no launcher");
            aside_launcher_attach(registry, 77, 7);
            assert_eq!(aside_launcher_kick(registry), 7);
            assert!(aside_launcher_step(registry, &host) > 0);
            assert_eq!(STARTED.load(SeqCst), 5 << 16 | 1 << 8, "database 5, generation 1, entry 0");
            assert_eq!(state(), (aside_entry_state::ASIDE_ENTRY_STARTING, 5, 0));
            assert!(!aside_coordinator_attach(registry, 0, 2, 90, 9, 42) && aside_coordinator_attach(registry, 0, 1, 90, 9, 42));
            assert_eq!(state(), (aside_entry_state::ASIDE_ENTRY_LOOKING, 5, 90));
            aside_coordinator_became(registry, 0, aside_entry_state::ASIDE_ENTRY_RUNNING, 42);
            aside_coordinator_became(registry, 999, aside_entry_state::ASIDE_ENTRY_RUNNING, 42);
            aside_coordinator_became(registry, 0, 999, 42);
            assert_eq!(state(), (aside_entry_state::ASIDE_ENTRY_RUNNING, 5, 90));
            assert_eq!((aside_registry_partition(registry, 5), aside_registry_partition(registry, 6)), (-1, -1));
            aside_registry_set_partition(registry, 0, 2);
            assert_eq!((aside_registry_partition(registry, 5), aside_registry_changes(registry, 5)), (2, 0));
            assert_eq!(
                (aside_registry_say(registry, 5, aside_topic::ASIDE_TOPIC_HANDLERS, 43), aside_registry_changes(registry, 5)),
                (9, 1)
            );
            let emitted = || aside_registry_say(registry, 5, aside_topic::ASIDE_TOPIC_EVENTS, 43);
            assert_eq!((emitted(), emitted()), (9, -1), "once");
            aside_registry_want(registry, 5, 43);
            assert_eq!((aside_registry_make_room(registry, 43, &mut latch), latch), (true, 9));
            aside_registry_readmit(registry, 5);
            assert_eq!((aside_registry_vacate(registry, 5, 99, &mut latch), latch), (true, 9));
            assert!(!aside_registry_vacate(registry, 6, 99, &mut latch));
            aside_coordinator_exit(registry, 0, 43);
            assert_eq!(state(), (aside_entry_state::ASIDE_ENTRY_FAILED, 5, 0));
            assert!(!aside_registry_make_room(registry, 43, &mut latch));
            aside_reserve_wait(registry, 0, 11);
            assert!(!aside_reserve_take(registry, 0, &mut assignment) && !aside_reserve_take(registry, 999, &mut assignment));
            aside_reserve_leave(registry, 0, 43);
            assert_eq!((aside_registry_raise_id(registry, 5, 70, 9), aside_registry_raise_id(registry, 5, 70, 3)), (0, 9));
            assert_eq!(aside_registry_raise_id(registry, 6, 70, 9), 0, "it is not known");
            let (mut from, mut running) = (0, [0; ASIDE_UNSEEN_RUNNING as usize]);
            assert_eq!(aside_registry_unseen(registry, 5, &mut from, running.as_mut_ptr()), -1, "nobody has looked");
            assert!(!aside_quota_take(registry, 5, 10, 1), "it was not counted");
            aside_quota_counted(registry, 5, 10, 0);
            assert!(aside_quota_take(registry, 5, 10, 1) && !aside_quota_take(registry, 5, 10, 1));
            let (caller, mut yes) = (caller_host(fork()), false);
            let look = aside_run_look { abi_version: ASIDE_ABI_VERSION, database: 5, ended: Some(ended) };
            assert_eq!((aside_run_wait(&caller, registry, &look, 2, -1, &mut yes), yes), (OK, true), "it is looked for again");
            assert_eq!((aside_run_wait(&caller, registry, &look, 9, 0, &mut yes), yes), (OK, false), "not in time");
            assert_eq!(aside_run_wait(&caller, registry, &look, -1, -1, &mut yes), SAVED, "it cannot be looked for");
            aside_run_wait_exit(registry, 90);
            // Of no events nobody is asked.
            assert_eq!(aside_find_leases(&caller, registry, 5, 1, &0, 0, 0, &mut 0), OK);
            aside_pull_exit(registry, 90);
            assert!(!aside_view_coordinator(registry, 999, &mut aside_coordinator_row::default()));
            assert!(aside_view_tally(registry, 0, 0, &mut tally) && !aside_view_tally(registry, u32::MAX, 0, &mut tally));
            assert_eq!((tally.database, tally.handler), (0, 0), "nothing was counted");
        }
    });
}

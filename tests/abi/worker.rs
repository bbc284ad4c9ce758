//! The worker's half of what stands for the C shim, and the commands that it understands.

use super::shim::*;
use aside_core::report::{Field, Report, Severity};
use pg_aside::abi::*;
use pg_aside::bytes::lend;
use pg_aside::convert::lent;
use pg_aside::exports::tasks::aside_tasks_attach;
use pg_aside::exports::worker::*;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};

thread_local! {
    static COMMAND: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SETTINGS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static IDENTITY: Cell<[u32; 4]> = const { Cell::new([0; 4]) };
}

/// A worker process from its launch to its end. A broken one has a hole in its vtable.
pub fn worker_main(memory: Memory, slot: u32, generation: u64, broken: bool) {
    let process = fork();
    let pool = become_process(process, memory, false);
    let host = aside_worker_host { begin: if broken { None } else { Some(begin) }, ..worker_host(process) };
    // SAFETY: the pool was attached, the vtable is complete or a panic is expected, one thread uses both.
    unsafe {
        if aside_worker_attach(pool, &host, slot, generation) == aside_status::ASIDE_OK {
            aside_worker_run(pool, &host);
            aside_worker_exit(pool, &host);
        }
        HERE.set(None);
        drop(Box::from_raw(pool));
    }
    process.gone.store(true, SeqCst);
}

unsafe extern "C" fn config(out: *mut aside_worker_config) {
    // SAFETY: writable.
    unsafe {
        *out = aside_worker_config {
            idle_timeout_ms: 3_600_000,
            min_workers: 1,
            poll_us: 20,
            nap_ms: 10,
            plan_cache_size: 4,
            result_bytes: u64::MAX,
            ..aside_worker_config::default()
        }
    };
}
unsafe extern "C" fn idle(_: bool) -> aside_status::Type {
    me().interrupted.store(0, SeqCst);
    if me().dying.load(SeqCst) != 0 { aside_status::ASIDE_LEAVE } else { aside_status::ASIDE_OK }
}
unsafe extern "C" fn outdated(_: *mut bool) -> aside_status::Type {
    aside_status::ASIDE_OK
}
unsafe extern "C" fn adopt(who: *const aside_identity, settings: *const aside_bytes) -> aside_status::Type {
    // SAFETY: readable during this call; settings may be absent.
    unsafe {
        IDENTITY.set([(*who).session_user, (*who).role, (*who).current_user, (*who).security_context]);
        if let Some(settings) = settings.as_ref() {
            SETTINGS.set(owned(*settings));
        }
    }
    aside_status::ASIDE_OK
}
unsafe extern "C" fn begin(_: aside_bytes, _: bool, _: bool, _: u32) -> aside_status::Type {
    aside_status::ASIDE_OK
}
unsafe extern "C" fn read_at(_: aside_bytes) -> aside_status::Type {
    aside_status::ASIDE_OK
}

unsafe extern "C" fn timed_out() -> bool {
    false
}
unsafe extern "C" fn session_state(user: *mut u32, settings: *mut u64) {
    // SAFETY: writable.
    unsafe {
        *user = IDENTITY.get()[2];
        *settings = 7;
    }
}
unsafe extern "C" fn tag() -> aside_bytes {
    pg_aside::bytes::lend(b"ECHO 1")
}
unsafe extern "C" fn notifications(sink: *mut c_void) -> aside_status::Type {
    // SAFETY: the sink is the one that this call was given; the row is lent.
    unsafe { aside_sink_row(sink, pg_aside::bytes::lend(b"notified")) }
}
unsafe extern "C" fn parse(command: aside_bytes, count: *mut u32) -> aside_status::Type {
    // SAFETY: readable and writable during this call.
    unsafe {
        COMMAND.set(owned(command));
        *count = 1;
    }
    aside_status::ASIDE_OK
}
unsafe extern "C" fn prepare(_: u32, _: *const aside_arg, nargs: usize, out: *mut aside_statement) -> aside_status::Type {
    let refused = if COMMAND.with_borrow(|c| c == b"COPY") { aside_refusal::ASIDE_REFUSE_COPY } else { 0 };
    // SAFETY: writable.
    unsafe { *out = aside_statement { refused, cacheable: 0, params: nargs as u32, reserved: 0, changes: 1, plan: null_mut() } };
    aside_status::ASIDE_OK
}
unsafe extern "C" fn keep_plan(_: *mut c_void) -> aside_status::Type {
    aside_status::ASIDE_OK
}
unsafe extern "C" fn drop_plan(_: *mut c_void) {}
unsafe extern "C" fn catalog_changes() -> u64 {
    1
}
unsafe extern "C" fn lock_plan(_: *mut c_void, changes: *mut u64) -> aside_status::Type {
    // SAFETY: writable.
    unsafe { *changes = 1 };
    aside_status::ASIDE_OK
}

/// A whole error, every field of it its own.
pub fn full_error(severity: Severity) -> Report {
    let mut report = Report { severity, sqlstate: 12345, internal_position: 3, line: 77, ..Report::default() };
    for (i, text) in report.text.iter_mut().enumerate() {
        *text = Some(format!("field {i}").into_bytes());
    }
    report.with(Field::Hint, Vec::new())
}

/// `echo` returns all that arrived as rows, `raise` an error, `talk` says something, `wait` waits to be
/// cancelled, `lock` for the caller.
unsafe extern "C" fn run(
    _: *mut c_void,
    several: bool,
    args: *const aside_arg,
    nargs: usize,
    output: u32,
    columns: *const aside_column,
    ncolumns: usize,
    sink: *mut c_void,
    processed: *mut u64,
) -> aside_status::Type {
    let Some(here) = HERE.get() else { return aside_status::ASIDE_GONE };
    match COMMAND.with_borrow(Clone::clone).as_slice() {
        b"raise" => {
            ERROR.set(full_error(Severity::Error));
            return aside_status::ASIDE_SAVED;
        }
        b"talk" => {
            // SAFETY: the pool is this process's; the message is lent.
            lent(&full_error(Severity::Notice), |m| unsafe { aside_sink_message(here.pool, &worker_host(here.me), m, lend(b"talk")) });
            let placed = Report { severity: Severity::Notice, position: 3, ..Report::error(0, "here") };
            // SAFETY: as above.
            lent(&placed, |m| unsafe { aside_sink_message(here.pool, &worker_host(here.me), m, lend(b"talk")) });
        }
        b"wait" | b"lock" => {
            here.me.waits_for_lock.store(COMMAND.with_borrow(|c| c == b"lock"), SeqCst);
            // SAFETY: sleep has no requirements; the pool is this process's.
            unsafe {
                while sleep(1000) != aside_status::ASIDE_SAVED {}
                here.me.waits_for_lock.store(false, SeqCst);
                if aside_cancelled_by_deadlock(here.pool) {
                    return keep(b"40P01", "deadlock detected");
                }
            }
            return aside_status::ASIDE_SAVED;
        }
        _ => {}
    }
    // SAFETY: arrays of the lengths given, lent for this call.
    let (args, columns) = unsafe { (pg_aside::bytes::slice(args, nargs), pg_aside::bytes::slice(columns, ncolumns)) };
    // SAFETY: the pool is this process's.
    let depth = unsafe { aside_worker_depth(here.pool) };
    let mut rows = vec![format!("depth {depth} output {output} several {several} {:?}", IDENTITY.get()).into_bytes()];
    rows.push(SETTINGS.with_borrow(Clone::clone));
    // SAFETY: as above.
    rows.extend(args.iter().map(|a| [format!("{} {} ", a.type_, a.form).as_bytes(), &unsafe { owned(a.data) }].concat()));
    // SAFETY: as above.
    rows.extend(columns.iter().map(|c| [format!("{} {} ", c.type_, c.typmod).as_bytes(), &unsafe { owned(c.name) }].concat()));
    for row in &rows {
        // SAFETY: the sink is the one that this call was given; the row is lent.
        let status = unsafe { aside_sink_row(sink, pg_aside::bytes::lend(row)) };
        if status != aside_status::ASIDE_OK {
            return status;
        }
    }
    // SAFETY: writable.
    unsafe { *processed = rows.len() as u64 };
    aside_status::ASIDE_OK
}
unsafe extern "C" fn run_routine(
    routine: aside_bytes,
    args: *const aside_arg,
    nargs: usize,
    columns: *const aside_column,
    ncolumns: usize,
    sink: *mut c_void,
) -> aside_status::Type {
    // SAFETY: arrays of the lengths given, lent for this call.
    let (args, columns) = unsafe { (pg_aside::bytes::slice(args, nargs), pg_aside::bytes::slice(columns, ncolumns)) };
    // SAFETY: lent for this call.
    let row = [unsafe { owned(routine) }, format!(" {} {}", args.len(), columns.len()).into_bytes()].concat();
    // SAFETY: the sink is the one that this call was given; the row is lent.
    unsafe { aside_sink_row(sink, pg_aside::bytes::lend(&row)) }
}
/// Batches that were run, and is the next one not where it was looked for?
pub static EVENTS_RUN: AtomicU32 = AtomicU32::new(0);
pub static MISPLACE_NEXT: AtomicBool = AtomicBool::new(false);

unsafe extern "C" fn run_events(
    _: aside_bytes,
    _: aside_bytes,
    ran: *mut aside_ran::Type,
    _: *mut *const aside_put_off,
    _: *mut usize,
) -> aside_status::Type {
    if MISPLACE_NEXT.swap(false, SeqCst) {
        // SAFETY: writable.
        unsafe { *ran = aside_ran::ASIDE_MISPLACED };
    } else {
        EVENTS_RUN.fetch_add(1, SeqCst);
    }
    aside_status::ASIDE_OK
}
type ChunkRecorder = fn(aside_chunk_attempt) -> aside_status::Type;

/// What records that a chunk is done, where there are jobs.
pub static CHUNK_RECORDER: Mutex<Option<ChunkRecorder>> = Mutex::new(None);

unsafe extern "C" fn record_chunk(attempt: aside_bytes, _: u64) -> aside_status::Type {
    // SAFETY: the request names an attempt.
    let attempt = unsafe { attempt.data.cast::<aside_chunk_attempt>().read_unaligned() };
    let recorder = *CHUNK_RECORDER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    recorder.map_or(aside_status::ASIDE_OK, |record| record(attempt))
}
unsafe extern "C" fn next_statement(_: bool) -> aside_status::Type {
    aside_status::ASIDE_OK
}
unsafe extern "C" fn commit() -> aside_status::Type {
    let Some(here) = HERE.get() else { return aside_status::ASIDE_GONE };
    // SAFETY: the pool is this process's.
    unsafe {
        if aside_gate_pre_commit(here.pool, 9) != aside_status::ASIDE_OK {
            return keep(b"57014", "canceling");
        }
        if aside_caller_waits(here.pool) {
            aside_owe_commit(here.pool, 9, 3);
        }
        aside_gate_committed(here.pool);
        aside_commit_settled(here.pool, &worker_host(here.me));
    }
    aside_status::ASIDE_OK
}
unsafe extern "C" fn abort() {
    if let Some(here) = HERE.get() {
        // SAFETY: the pool is this process's.
        unsafe { aside_gate_aborted(here.pool) };
    }
}
unsafe extern "C" fn error(out: *mut aside_report) {
    // SAFETY: writable; what it points to stays until the next error is kept.
    ERROR.with_borrow(|report| lent(report, |lent| unsafe { *out = *lent }));
}
unsafe extern "C" fn clean(_: bool, intact: *mut bool) -> aside_status::Type {
    // SAFETY: writable.
    unsafe { *intact = true };
    aside_status::ASIDE_OK
}
unsafe extern "C" fn origin(_: aside_bytes) {}
unsafe extern "C" fn call_site(_: u64, _: aside_bytes) {}
unsafe extern "C" fn log(error: *const aside_report, _: bool) {
    // SAFETY: readable during this call.
    assert_ne!(unsafe { (*error).sqlstate }, 0);
}
unsafe extern "C" fn find_tasks() {
    let (Some(here), Ok(table)) = (HERE.get(), TASKS.lock()) else { return };
    if let Some(table) = *table {
        // SAFETY: the pool is this process's, the table is never freed.
        assert!(unsafe { aside_tasks_attach(here.pool, table.start(), table.len) });
    }
}
unsafe extern "C" fn forget_cancel() {
    me().interrupted.store(0, SeqCst);
}

pub fn worker_host(me: &'static Process) -> aside_worker_host {
    aside_worker_host {
        world: world(me),
        config: Some(config),
        idle: Some(idle),
        signal_slot: Some(nothing),
        outdated: Some(outdated),
        adopt: Some(adopt),
        origin: Some(origin),
        call_site: Some(call_site),
        begin: Some(begin),
        read_at: Some(read_at),
        timed_out: Some(timed_out),
        find_tasks: Some(find_tasks),
        kick: Some(nothing),
        append_file: Some(write_file),
        read_file: Some(read_file),
        drop_file: Some(drop_file),
        write_down: Some(write_down),
        session_state: Some(session_state),
        tag: Some(tag),
        notifications: Some(notifications),
        parse: Some(parse),
        prepare: Some(prepare),
        keep_plan: Some(keep_plan),
        drop_plan: Some(drop_plan),
        catalog_changes: Some(catalog_changes),
        lock_plan: Some(lock_plan),
        run: Some(run),
        run_routine: Some(run_routine),
        run_events: Some(run_events),
        record_chunk: Some(record_chunk),
        next_statement: Some(next_statement),
        commit: Some(commit),
        abort: Some(abort),
        error: Some(error),
        log: Some(log),
        clean: Some(clean),
        forget_cancel: Some(forget_cancel),
    }
}

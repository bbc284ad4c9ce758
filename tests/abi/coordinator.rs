//! A coordinator through its export, over a fake database: whichever call of the shim fails, before or after it has done
//! its work, an event is handled once, a run ends once, a chunk is done once, and the coordinator goes on.

use super::shim::*;
use super::worker::{EVENTS_RUN, MISPLACE_NEXT};
use super::{Session, jobs, test};
use pg_aside::abi::*;
use pg_aside::bytes::{lend, slice};
use pg_aside::exports::calls::aside_caller_exit;
use pg_aside::exports::events::*;
use pg_aside::exports::registry::aside_registry_say;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering::*;
use std::time::{Duration, Instant};

const EVENT: i64 = 11;
const RUN: i64 = 5;

/// What the tables say. The statuses are those that the shim returns.
#[derive(Debug, Default)]
pub struct Store {
    attempts: u32,
    /// States that the run was given, one after the other.
    run: Vec<u32>,
    listening: u32,
    spilled: u32,
}

/// Which call fails: so many calls of this name from now, and has it done its work all the same?
#[derive(Clone, Copy, Debug)]
struct Fault {
    name: &'static str,
    left: u32,
    after: bool,
}

thread_local! {
    static STORE: RefCell<Store> = RefCell::default();
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    static NOTE_LEFT: Cell<bool> = const { Cell::new(false) };
    static FAILURES_LOGGED: Cell<u32> = const { Cell::new(0) };
}

pub fn step(name: &'static str, work: impl FnOnce(&mut Store)) -> aside_status::Type {
    let fault = FAULT.get().filter(|fault| fault.name == name);
    if let Some(fault) = fault {
        FAULT.set((fault.left > 1).then_some(Fault { left: fault.left - 1, ..fault }));
    }
    let fails = fault.filter(|fault| fault.left == 1);
    if fails.is_none_or(|fault| fault.after) {
        STORE.with_borrow_mut(work);
    }
    match fails {
        Some(_) => keep(b"XX000", name),
        None => aside_status::ASIDE_OK,
    }
}

/// One element, there until the process ends.
fn one<T>(value: T) -> *const T {
    Box::leak(Box::new(value))
}

unsafe extern "C" fn clock() -> i64 {
    pg_aside::hosts::world::now_us().cast_signed()
}
unsafe extern "C" fn random() -> f64 {
    0.5
}
unsafe extern "C" fn kept() -> u32 {
    ERROR.with_borrow(|error| error.sqlstate)
}
unsafe extern "C" fn hear() -> aside_status::Type {
    step("hear", |_| {})
}
unsafe extern "C" fn found() -> aside_tables::Type {
    aside_tables::ASIDE_TABLES_OURS
}
unsafe extern "C" fn log(_: aside_bytes, works: bool) {
    FAILURES_LOGGED.set(FAILURES_LOGGED.get() + u32::from(!works));
}
unsafe extern "C" fn breathe(_: u32) {}

unsafe extern "C" fn handlers(specs: *mut *const aside_handler_spec, count: *mut usize) -> aside_status::Type {
    step("handlers", |_| {
        let spec = aside_handler_spec {
            id: 1,
            version: 1,
            concurrency: 1,
            batch_size: 1,
            max_attempts: 3,
            durable: 1,
            rate_limit: 1_000_000,
            rate_period_us: 1_000,
            backoff_us: 1_000,
            cap_us: 1_000,
            name: lend(b"h"),
            channel: lend(b"c"),
            ..Default::default()
        };
        // SAFETY: writable.
        unsafe { (*specs, *count) = (one(spec), 1) };
    })
}

/// # Safety
/// `out` has room for `count`.
unsafe fn acts(count: usize, out: *mut aside_standing) {
    for i in 0..count {
        // SAFETY: as the caller promises.
        unsafe { *out.add(i) = aside_standing { state: aside_standing_state::ASIDE_DEFINITION_ACTS, owner: 10, ..Default::default() } };
    }
}

unsafe extern "C" fn standing(_: *const aside_handler_spec, count: usize, out: *mut aside_standing) -> aside_status::Type {
    // SAFETY: as the table says.
    step("standing", |_| unsafe { acts(count, out) })
}
unsafe extern "C" fn fetch(
    unseen: *const aside_unseen,
    _: *const aside_bytes,
    _: usize,
    _: usize,
    events: *mut *const aside_fetched,
    count: *mut usize,
    snapshot: *mut aside_snapshot,
) -> aside_status::Type {
    step("fetch", |_| {
        let known = aside_known { handler: 1, ..Default::default() };
        let event = aside_fetched { id: EVENT, tid: 1, txid: 100, channel: lend(b"c"), known: one(known), nknown: 1, ..Default::default() };
        // SAFETY: writable. The event is open, and no transaction is running.
        unsafe {
            (*events, *count) = (one(event), usize::from(unseen.is_null()));
            *snapshot = aside_snapshot { next: 200, xmax: 200, xip: null(), ..Default::default() };
        }
    })
}
unsafe extern "C" fn refetch(_: i64, _: *const aside_unseen, events: *mut *const aside_fetched, count: *mut usize) -> aside_status::Type {
    // SAFETY: writable.
    step("refetch", |_| unsafe { (*events, *count) = (null(), 0) })
}
unsafe extern "C" fn places(places: *mut *const aside_place, count: *mut usize) -> aside_status::Type {
    let place = aside_place { id: EVENT, tid: 2, ..Default::default() };
    // SAFETY: writable.
    step("places", |_| unsafe { (*places, *count) = (one(place), 1) })
}
unsafe extern "C" fn record(entries: *const aside_log_entry, count: usize) -> aside_status::Type {
    // SAFETY: lent for this call.
    let entries = unsafe { slice(entries, count) };
    step("record", |store| {
        let attempts = entries.iter().filter(|entry| entry.kind == aside_log_kind::ASIDE_LOG_ATTEMPT);
        store.attempts += attempts.count() as u32;
    })
}
unsafe extern "C" fn lease_generation(generation: *mut i64) -> aside_status::Type {
    // SAFETY: writable.
    step("lease_generation", |_| unsafe { *generation = 1 })
}
unsafe extern "C" fn lease_news(
    _: *const i64,
    _: usize,
    _: *const aside_lease_over,
    _: usize,
    news: *mut *const aside_lease_news,
    count: *mut usize,
) -> aside_status::Type {
    // SAFETY: writable.
    step("lease_news", |_| unsafe { (*news, *count) = (null(), 0) })
}
unsafe extern "C" fn end_groups(_: *const i64, _: usize, emitted: *mut u64, busy: *mut bool) -> aside_status::Type {
    // SAFETY: writable.
    step("end_groups", |_| unsafe { (*emitted, *busy) = (0, false) })
}
unsafe extern "C" fn listen(_: *const aside_bytes, count: usize) -> aside_status::Type {
    step("listen", |store| store.listening = count as u32)
}
unsafe extern "C" fn may_notify(_: aside_bytes, _: u32) -> bool {
    true
}
unsafe extern "C" fn notes(notes: *mut *const aside_note, count: *mut usize) -> bool {
    let note = aside_note { pid: 1, handler: 0, channel: lend(b"c"), payload: lend(b"p") };
    let comes = STORE.with_borrow(|store| store.listening == 1) && NOTE_LEFT.take();
    // SAFETY: writable.
    unsafe { (*notes, *count) = (one(note), usize::from(comes)) };
    false
}
unsafe extern "C" fn spill(_: *const aside_note, count: usize) -> aside_status::Type {
    step("spill", |store| store.spilled += count as u32)
}
unsafe extern "C" fn committed(_: u32, _: u32, _: *const i64, count: usize, out: *mut aside_committed) -> aside_status::Type {
    // SAFETY: there is room for so many.
    step("committed", |_| (0..count).for_each(|n| unsafe { *out.add(n) = aside_committed::default() }))
}
unsafe extern "C" fn complain(_: aside_bytes, _: u64, _: u32, _: aside_bytes) {}
unsafe extern "C" fn rotate(_: u32) -> aside_status::Type {
    step("rotate", |_| {})
}
unsafe extern "C" fn truncate(_: u32, _: *const aside_unseen, done: *mut bool) -> aside_status::Type {
    // SAFETY: writable.
    step("truncate", |_| unsafe { *done = true })
}
unsafe extern "C" fn carry_over(_: u32, _: *const i64, _: usize, _: *mut i64, _: *mut usize) -> aside_status::Type {
    step("carry_over", |_| {})
}
unsafe extern "C" fn compact_keys() -> aside_status::Type {
    step("compact_keys", |_| {})
}
unsafe extern "C" fn size(_: u32) -> u64 {
    1 << 30
}

unsafe extern "C" fn begun_before(started: *mut *const aside_started, count: *mut usize) -> aside_status::Type {
    let two = aside_started { handler: 1, ago_us: 1_000_000, count: 2, ..Default::default() };
    // SAFETY: writable.
    step("started", |_| unsafe { (*started, *count) = (one(two), 1) })
}

unsafe extern "C" fn started() -> i64 {
    0
}
unsafe extern "C" fn zone(_: aside_bytes) -> *const c_void {
    null()
}
unsafe extern "C" fn load(
    schedules: *mut *const aside_schedule,
    nschedules: *mut usize,
    runs: *mut *const aside_schedule_run,
    nruns: *mut usize,
) -> aside_status::Type {
    step("load", |store| {
        let schedule = aside_schedule {
            id: 1,
            max_attempts: 1,
            deadline_us: ASIDE_NO_TIME,
            until: ASIDE_NO_TIME,
            max_runs: ASIDE_NO_TIME,
            next_due: ASIDE_NO_TIME,
            next_at: ASIDE_NO_TIME,
            last_due: ASIDE_NO_TIME,
            ..Default::default()
        };
        let begun = u32::from(store.run.last() == Some(&aside_run_state::ASIDE_RUN_RUNNING));
        let run = aside_schedule_run { id: RUN, schedule: 1, attempt: 1, manual: 1, begun, ..Default::default() };
        // SAFETY: writable.
        unsafe {
            (*schedules, *nschedules) = (one(schedule), 1);
            (*runs, *nruns) = (one(run), usize::from(!ended(store)));
        }
    })
}
unsafe extern "C" fn schedules_stand(_: *const i64, count: usize, out: *mut aside_standing) -> aside_status::Type {
    // SAFETY: as the table says.
    step("schedules: standing", |_| unsafe { acts(count, out) })
}
unsafe extern "C" fn write_runs(entries: *const aside_schedule_entry, count: usize, numbers: *mut i64) -> aside_status::Type {
    // SAFETY: lent for this call.
    let entries = unsafe { slice(entries, count) };
    step("schedules: record", |store| {
        for (i, entry) in entries.iter().enumerate() {
            match entry.kind {
                aside_schedule_entry_kind::ASIDE_SCHEDULE_BEGUN => store.run.push(aside_run_state::ASIDE_RUN_RUNNING),
                aside_schedule_entry_kind::ASIDE_SCHEDULE_UNBEGUN => store.run.push(aside_run_state::ASIDE_RUN_WAITING),
                // The tables leave a run alone that has ended.
                aside_schedule_entry_kind::ASIDE_SCHEDULE_ENDED if !ended(store) => store.run.push(entry.state),
                _ => {}
            }
            // SAFETY: it has room for `count`.
            unsafe { *numbers.add(i) = RUN };
        }
    })
}
unsafe extern "C" fn command(_: i64, command: *mut aside_schedule_command) -> aside_status::Type {
    let text = aside_schedule_command { text: lend(b"echo"), database: 5, ..Default::default() };
    // SAFETY: writable.
    step("command", |_| unsafe { *command = text })
}
unsafe extern "C" fn interval(_: aside_bytes, _: *mut i64, _: *mut aside_bytes) -> bool {
    false
}
unsafe extern "C" fn instant(_: aside_bytes, _: *mut i64, _: *mut aside_bytes) -> bool {
    false
}
unsafe extern "C" fn span(_: *const c_void, _: i64, offset: *mut i64, until: *mut i64) {
    // SAFETY: writable.
    unsafe { (*offset, *until) = (0, i64::MAX) };
}
unsafe extern "C" fn give(_: aside_bytes) {}

unsafe extern "C" fn jobs_stand(_: *const i64, count: usize, out: *mut aside_standing) -> aside_status::Type {
    // SAFETY: as the table says.
    step("jobs: standing", |_| unsafe { acts(count, out) })
}

fn ended(store: &Store) -> bool {
    let last = store.run.last().copied();
    last.is_some_and(|state| state != aside_run_state::ASIDE_RUN_RUNNING && state != aside_run_state::ASIDE_RUN_WAITING)
}

static RULES: aside_schedule_rules = aside_schedule_rules {
    abi_version: ASIDE_ABI_VERSION,
    reserved: 0,
    interval: Some(interval),
    timestamp: Some(instant),
    span: Some(span),
    give: Some(give),
};

fn process_host() -> aside_coordinator_host {
    aside_coordinator_host {
        abi_version: ASIDE_ABI_VERSION,
        database: 5,
        tables: 7,
        limits: aside_limits { checkout_timeout_ms: 1_000, ..aside_limits::default() },
        random: Some(random),
        error: Some(kept),
        hear: Some(hear),
        found: Some(found),
        log: Some(log),
        breathe: Some(breathe),
        hurry: Some(nothing),
        give_back: Some(nothing),
    }
}

fn event_host() -> aside_event_host {
    aside_event_host {
        abi_version: ASIDE_ABI_VERSION,
        reserved: 0,
        handlers: Some(handlers),
        started: Some(begun_before),
        standing: Some(standing),
        fetch: Some(fetch),
        refetch: Some(refetch),
        places: Some(places),
        record: Some(record),
        lease_generation: Some(lease_generation),
        lease_news: Some(lease_news),
        end_groups: Some(end_groups),
        listen: Some(listen),
        may_notify: Some(may_notify),
        notifications: Some(notes),
        spill: Some(spill),
        committed: Some(committed),
        complain: Some(complain),
        rotate: Some(rotate),
        truncate: Some(truncate),
        carry_over: Some(carry_over),
        compact_keys: Some(compact_keys),
        size: Some(size),
        rotation_bytes: 1 << 20,
        rotation_us: 3_600_000_000,
    }
}

fn schedule_host() -> aside_schedule_host {
    aside_schedule_host {
        abi_version: ASIDE_ABI_VERSION,
        reserved: 0,
        started: Some(started),
        zone: Some(zone),
        load: Some(load),
        standing: Some(schedules_stand),
        record: Some(write_runs),
        command: Some(command),
        rules: &raw const RULES,
    }
}

fn job_host() -> aside_job_host {
    aside_job_host {
        abi_version: ASIDE_ABI_VERSION,
        reserved: 0,
        load: Some(jobs::load),
        standing: Some(jobs_stand),
        record: Some(jobs::record),
        measure: Some(jobs::measure),
        row: Some(jobs::row),
    }
}

/// One life of a coordinator with that fault: was it met?
fn live(fault: Fault) -> bool {
    STORE.take();
    jobs::begin();
    FAULT.set(Some(fault));
    NOTE_LEFT.set(true);
    FAILURES_LOGGED.set(0);
    EVENTS_RUN.store(0, SeqCst);
    MISPLACE_NEXT.store(true, SeqCst);
    let mut session = Session::new(Memory::pool(3));
    session.host.world.timestamp = Some(clock);
    let registry = Memory::registry().registry_handle();
    let (process, events, schedules, jobs, mut wait) = (process_host(), event_host(), schedule_host(), job_host(), -1);
    // SAFETY: the registry is laid out and never freed.
    let coordinator = unsafe { aside_coordinator_new(registry, 0, 0, true, clock()) };
    assert_ne!(coordinator, null_mut());
    let mut turn = |ends: bool| {
        // SAFETY: the coordinator and the pool are this thread's, the tables complete, the output writable.
        unsafe { aside_coordinator_turn(coordinator, session.pool, &session.host, &process, &events, &schedules, &jobs, ends, &mut wait) }
    };
    let start = Instant::now();
    let done = || {
        let turned_over = !matches!(fault.name, "rotate" | "truncate") || FAULT.get().is_none();
        let store = STORE.with_borrow(|store| ended(store) && store.listening == 1 && store.spilled > 0);
        store && EVENTS_RUN.load(SeqCst) > 0 && turned_over && jobs::is_over()
    };
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{fault:?}: {:?}, {}", STORE.take(), jobs::shown());
        assert!(turn(false), "{fault:?}: it goes on");
        std::thread::sleep(Duration::from_micros(200));
    }
    let met = FAULT.take().is_none();
    // Its last words, too, may meet the fault; there is one of these.
    assert!(!turn(true), "{fault:?}: it ends when it is told to");
    assert_eq!(EVENTS_RUN.load(SeqCst), 1, "{fault:?}: the event was handled once");
    let store = STORE.take();
    let ends = store.run.iter().filter(|state| **state == aside_run_state::ASIDE_RUN_DONE).count();
    // A coordinator that does not know whether "it begins" was written down takes the run for lost.
    let lost = store.run.last() == Some(&aside_run_state::ASIDE_RUN_LOST) && fault.name == "schedules: record" && fault.after;
    assert!(ends == 1 || lost, "{fault:?}: {store:?}");
    assert!(jobs::each_was_done_once(), "{fault:?}: so was each chunk: {}", jobs::shown());
    // Of a row that cannot be read, the step of its job is lost, and is tried again.
    assert!(!met || FAILURES_LOGGED.get() > 0 || fault.name == "jobs: row", "{fault:?}: the log says so");
    // SAFETY: `registry` is never freed.
    assert_eq!(unsafe { aside_registry_say(registry, 5, aside_topic::ASIDE_TOPIC_EVENTS, 0) }, -1, "it is nobody's");
    // As its process does when it exits: a lease may still be open.
    // SAFETY: the pool is this thread's.
    unsafe { aside_caller_exit(session.pool, &session.host) };
    session.close();
    met
}

#[test]
fn whichever_call_of_the_shim_fails_the_coordinator_goes_on_and_nothing_is_done_twice() {
    test(|| {
        let events =
            ["hear", "handlers", "started", "standing", "fetch", "record", "end_groups", "listen", "spill", "places", "rotate", "truncate"];
        let schedules = ["load", "schedules: standing", "schedules: record", "command"];
        let jobs = ["jobs: load", "jobs: standing", "jobs: record", "jobs: measure", "jobs: row"];
        for name in events.into_iter().chain(schedules).chain(jobs) {
            for after in [false, true] {
                // A partition is changed once.
                let most = if matches!(name, "rotate" | "truncate") { 1 } else { 2 };
                let met = (1..=most).take_while(|left| live(Fault { name, left: *left, after })).count();
                assert!(met > 0, "{name} was never called");
            }
        }
    });
}

//! What stands for the C shim: vtables of `extern "C"` functions, a thread for each process.
//!
//! The vtables' functions have no argument to say whose they are, as in a backend: what a process
//! knows is in thread locals. None of them panics: that would cross the ABI.

use super::worker::worker_main;
use aside_core::report::Report;
use pg_aside::abi::*;
use pg_aside::convert::copied;
use pg_aside::exports::pool::*;
use pg_aside::exports::registry::*;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::*};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

pub use pg_aside::memory::pool::aside_pool;

/// A process: its latch, and the flags that its signal handlers write.
pub struct Process {
    pub number: u32,
    latch: Mutex<bool>,
    set: Condvar,
    pub interrupted: AtomicI32,
    pub dying: AtomicI32,
    pub gone: AtomicBool,
    pub waits_for_lock: AtomicBool,
}

static PROCESSES: Mutex<Vec<&'static Process>> = Mutex::new(Vec::new());

pub fn fork() -> &'static Process {
    let mut all = PROCESSES.lock().unwrap();
    let new: &'static Process = Box::leak(Box::new(Process {
        number: all.len() as u32,
        latch: Mutex::new(false),
        set: Condvar::new(),
        interrupted: AtomicI32::new(0),
        dying: AtomicI32::new(0),
        gone: AtomicBool::new(false),
        waits_for_lock: AtomicBool::new(false),
    }));
    all.push(new);
    new
}

pub fn process(number: u32) -> Option<&'static Process> {
    PROCESSES.lock().ok()?.get(number as usize).copied()
}

impl Process {
    pub fn pid(&self) -> u32 {
        5000 + self.number
    }
    pub fn wake(&self) {
        if let Ok(mut latch) = self.latch.lock() {
            *latch = true;
            self.set.notify_one();
        }
    }
    fn clear(&self) {
        if let Ok(mut latch) = self.latch.lock() {
            *latch = false;
        }
    }
    fn nap(&self) -> aside_status::Type {
        let Ok(latch) = self.latch.lock() else { return aside_status::ASIDE_TIMEOUT };
        match self.set.wait_timeout_while(latch, Duration::from_millis(2), |set| !*set) {
            Ok((mut latch, timeout)) if !timeout.timed_out() => {
                *latch = false;
                aside_status::ASIDE_OK
            }
            _ => aside_status::ASIDE_TIMEOUT,
        }
    }
}

/// Memory that holds a pool, for as long as the test runs.
#[derive(Clone, Copy)]
pub struct Memory {
    pub address: usize,
    pub len: usize,
}

impl Memory {
    pub fn zeroed(len: usize) -> Self {
        let words: &'static mut [u64] = Box::leak(vec![0u64; len / 8 + 16].into_boxed_slice());
        let base = words.as_mut_ptr().expose_provenance();
        Self { address: base.next_multiple_of(64), len }
    }
    pub fn pool(slots: u32) -> Self {
        // SAFETY: any numbers will do.
        let memory = Self::zeroed(unsafe { aside_pool_size(slots, 4096) });
        // SAFETY: zeroed, aligned, of the length asked for; the key has 16 bytes.
        let status = unsafe { aside_pool_init(memory.start(), memory.len, slots, 4096, [7u8; 16].as_ptr()) };
        assert_eq!(status, aside_status::ASIDE_OK);
        memory
    }
    pub fn start(self) -> *mut c_void {
        std::ptr::with_exposed_provenance_mut(self.address)
    }
    pub fn registry() -> Self {
        // SAFETY: it needs nothing.
        let memory = Self::zeroed(unsafe { aside_registry_size() });
        // SAFETY: zeroed, aligned, of the length asked for.
        assert!(unsafe { aside_registry_init(memory.start(), memory.len) });
        memory
    }
    pub fn registry_handle(self) -> *mut aside_registry {
        // SAFETY: `len` bytes that are never freed.
        unsafe { aside_registry_attach(self.start(), self.len) }
    }
    pub fn attach(self) -> *mut aside_pool {
        // SAFETY: `len` bytes that are never freed.
        unsafe { aside_pool_attach(self.start(), self.len) }
    }
}

#[derive(Clone, Copy)]
pub struct Here {
    pub me: &'static Process,
    pub pool: *mut aside_pool,
    memory: Memory,
    broken_worker: bool,
}

thread_local! {
    pub static HERE: Cell<Option<Here>> = const { Cell::new(None) };
    pub static ERROR: RefCell<Report> = RefCell::new(Report::default());
    pub static ROWS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    pub static MESSAGES: RefCell<Vec<Report>> = const { RefCell::new(Vec::new()) };
    pub static AMENDED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Where the table of tasks is, for workers to come.
pub static TASKS: Mutex<Option<Memory>> = Mutex::new(None);

/// Let workers find a table of tasks.
pub fn become_task_runner(table: Memory) {
    *TASKS.lock().unwrap() = Some(table);
}

/// Let this thread be a process with a pool.
pub fn become_process(me: &'static Process, memory: Memory, broken_worker: bool) -> *mut aside_pool {
    let pool = memory.attach();
    HERE.set(Some(Here { me, pool, memory, broken_worker }));
    pool
}

pub fn me() -> &'static Process {
    HERE.get().map_or_else(fork, |here| here.me)
}

/// The error that the caller's shim would throw.
pub fn thrown() -> Report {
    ERROR.take()
}

pub fn keep(state: &[u8; 5], message: &str) -> aside_status::Type {
    ERROR.set(Report::error(aside_core::report::sqlstate(state), message));
    aside_status::ASIDE_SAVED
}

/// # Safety
/// `bytes` is absent or readable.
pub unsafe fn owned(bytes: aside_bytes) -> Vec<u8> {
    // SAFETY: passed on.
    unsafe { pg_aside::bytes::optional(&bytes) }.unwrap_or_default().to_vec()
}

pub unsafe extern "C" fn sleep(_: u32) -> aside_status::Type {
    let slept = me().nap();
    if me().dying.load(SeqCst) != 0 {
        return keep(b"57P01", "terminating");
    }
    if me().interrupted.swap(0, SeqCst) != 0 {
        return keep(b"57014", "canceling");
    }
    slept
}
unsafe extern "C" fn doze(_: u32) -> aside_status::Type {
    me().nap()
}
unsafe extern "C" fn wake(number: u32) {
    if let Some(other) = process(number) {
        other.wake();
    }
}
pub unsafe extern "C" fn clear_latch() {
    me().clear();
}
pub unsafe extern "C" fn show_nap(_: bool) {}
unsafe extern "C" fn timestamp() -> i64 {
    42
}

pub fn world(me: &'static Process) -> aside_world {
    aside_world {
        abi_version: ASIDE_ABI_VERSION,
        my_pid: me.pid(),
        my_proc: me.number,
        reserved: 0,
        interrupt_pending: me.interrupted.as_ptr(),
        die_pending: me.dying.as_ptr(),
        sleep: Some(sleep),
        doze: Some(doze),
        wake: Some(wake),
        clear_latch: Some(clear_latch),
        show_nap: Some(show_nap),
        timestamp: Some(timestamp),
        fail: Some(fail),
        pins_wanted: Some(nobody_waits),
    }
}

unsafe extern "C" fn launch(slot: u32, generation: u64, _: u32, _: u32, _: bool) -> aside_status::Type {
    let Some(here) = HERE.get() else { return aside_status::ASIDE_NO_WORKER_SLOT };
    let (memory, broken) = (here.memory, here.broken_worker);
    std::thread::spawn(move || worker_main(memory, slot, generation, broken));
    aside_status::ASIDE_OK
}
unsafe extern "C" fn launch_failed(_: u32) -> bool {
    false
}
pub unsafe extern "C" fn nothing() {}
unsafe extern "C" fn interrupt(pid: u32, terminate: bool) {
    if let Some(other) = process(pid.wrapping_sub(5000)) {
        if terminate { &other.dying } else { &other.interrupted }.store(1, SeqCst);
        other.wake();
    }
}
unsafe extern "C" fn alive(pid: u32) -> bool {
    process(pid.wrapping_sub(5000)).is_some_and(|p| !p.gone.load(SeqCst))
}
unsafe extern "C" fn lock_wait(pid: u32) -> u64 {
    u64::from(process(pid.wrapping_sub(5000)).is_some_and(|p| p.waits_for_lock.load(SeqCst)))
}
unsafe extern "C" fn blockers(pid: u32, out: *mut *const aside_blocker, count: *mut usize) -> aside_status::Type {
    if !process(pid.wrapping_sub(5000)).is_some_and(|p| p.waits_for_lock.load(SeqCst)) {
        return aside_status::ASIDE_GONE;
    }
    static TEXT: &[u8] = b"It waits for AccessShareLock.";
    let blocker = aside_blocker { pid: me().pid(), reserved: 0, wait: pg_aside::bytes::lend(TEXT) };
    // SAFETY: writable; leaked, so that it stays until the next call and beyond.
    unsafe {
        *out = Box::leak(Box::new(blocker));
        *count = 1;
    }
    aside_status::ASIDE_OK
}
unsafe extern "C" fn activity(_: u32, _: *mut aside_bytes) -> aside_status::Type {
    aside_status::ASIDE_GONE
}
unsafe extern "C" fn outcome(_: u64) -> aside_outcome::Type {
    aside_outcome::ASIDE_UNKNOWN
}
unsafe extern "C" fn relay(message: *const aside_report) -> aside_status::Type {
    // SAFETY: lent for this call.
    MESSAGES.with_borrow_mut(|all| all.push(unsafe { copied(&*message) }));
    aside_status::ASIDE_OK
}
unsafe extern "C" fn row(tuple: aside_bytes) -> aside_status::Type {
    // SAFETY: lent for this call.
    ROWS.with_borrow_mut(|all| all.push(unsafe { owned(tuple) }));
    aside_status::ASIDE_OK
}
unsafe extern "C" fn texts(tuple: aside_bytes, columns: usize, out: *mut aside_bytes) -> aside_status::Type {
    for at in 0..columns {
        // SAFETY: the core passes room for so many.
        unsafe { *out.add(at) = tuple };
    }
    aside_status::ASIDE_OK
}

unsafe extern "C" fn describe(columns: *const aside_column, count: usize) -> aside_status::Type {
    // SAFETY: lent for this call.
    let columns = unsafe { pg_aside::bytes::slice(columns, count) };
    // SAFETY: as above.
    ROWS.with_borrow_mut(|all| *all = columns.iter().map(|c| unsafe { owned(c.name) }).collect());
    aside_status::ASIDE_OK
}
unsafe extern "C" fn fail(error: *const aside_report) {
    // SAFETY: lent for this call.
    ERROR.set(unsafe { copied(&*error) });
}
unsafe extern "C" fn await_commit(position: u64, level: u32) -> aside_status::Type {
    if (position, level) == (9, 3) { aside_status::ASIDE_OK } else { keep(b"XX000", "another commit than the worker's") }
}
unsafe extern "C" fn amend(detail: aside_bytes) {
    // SAFETY: lent for this call.
    AMENDED.with_borrow_mut(|all| all.push(String::from_utf8_lossy(&unsafe { owned(detail) }).into()));
}

unsafe extern "C" fn complete(_: *const aside_ending) -> aside_status::Type {
    aside_status::ASIDE_OK
}
unsafe extern "C" fn may_act_for(role: u32, may: *mut bool) -> aside_status::Type {
    // SAFETY: writable.
    unsafe { *may = role == 10 };
    aside_status::ASIDE_OK
}
static FILES: std::sync::Mutex<std::collections::BTreeMap<u64, Vec<u8>>> = std::sync::Mutex::new(std::collections::BTreeMap::new());
pub unsafe extern "C" fn write_file(task: u64, bytes: aside_bytes) -> aside_status::Type {
    // SAFETY: lent for this call.
    FILES.lock().unwrap().entry(task).or_default().extend(unsafe { owned(bytes) });
    aside_status::ASIDE_OK
}
pub unsafe extern "C" fn read_file(task: u64, offset: u64, into: *mut u8, len: usize) -> aside_status::Type {
    let files = FILES.lock().unwrap();
    // SAFETY: `len` writable bytes, all of which the file has.
    unsafe { into.copy_from_nonoverlapping(files[&task][offset as usize..][..len].as_ptr(), len) };
    aside_status::ASIDE_OK
}
pub unsafe extern "C" fn drop_file(task: u64) {
    FILES.lock().unwrap().remove(&task);
}
pub unsafe extern "C" fn write_down(_: u32, _: aside_bytes) {}

pub unsafe extern "C" fn make_room() -> bool {
    false
}

unsafe extern "C" fn nobody_waits(_: *mut u32, _: usize) -> usize {
    0
}
unsafe extern "C" fn no_pin_wait(_: u32) -> bool {
    false
}
unsafe extern "C" fn no_group(_: u32, _: *mut u32, _: usize) -> usize {
    0
}

pub fn caller_host(me: &'static Process) -> aside_caller_host {
    aside_caller_host {
        world: world(me),
        launch: Some(launch),
        launch_failed: Some(launch_failed),
        wait_slot: Some(sleep),
        end_wait_slot: Some(nothing),
        signal_slot: Some(nothing),
        interrupt: Some(interrupt),
        alive: Some(alive),
        make_room: Some(make_room),
        lock_wait: Some(lock_wait),
        blockers: Some(blockers),
        pin_wait: Some(no_pin_wait),
        group: Some(no_group),
        activity: Some(activity),
        outcome: Some(outcome),
        relay: Some(relay),
        row: Some(row),
        texts: Some(texts),
        describe: Some(describe),
        complete: Some(complete),
        may_act_for: Some(may_act_for),
        write_file: Some(write_file),
        read_file: Some(read_file),
        drop_file: Some(drop_file),
        write_down: Some(write_down),
        await_commit: Some(await_commit),
        amend: Some(amend),
    }
}

/// A call of one command; everything else is as plain as can be.
pub fn call(command: &'static str) -> aside_call {
    aside_call {
        kind: aside_kind::ASIDE_KIND_QUERY,
        output: aside_output::ASIDE_OUTPUT_ROWS,
        database: 5,
        authenticated_user: 10,
        max_depth: 8,
        limits: aside_limits { checkout_timeout_ms: 10_000, ..aside_limits::default() },
        poll_us: 20,
        nap_ms: 10,
        identity: aside_identity { session_user: 10, role: 0, current_user: 10, security_context: 0, database: 5, reserved: 0 },
        command: pg_aside::bytes::lend(command.as_bytes()),
        settings_version: 1,
        args: null(),
        columns: null(),
        ..aside_call::default()
    }
}

/// Wait for a condition; fail where it does not come true.
pub fn until(mut condition: impl FnMut() -> bool, what: &str) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never came true: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

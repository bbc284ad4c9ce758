//! Calls, sessions and tasks through the C ABI while `malloc` has nothing left: for the n-th allocation of either side, and from the n-th on.
//! What can be refused is the error that says so; what cannot comes from the reserve, which is enough. An allocation that
//! neither holds ends this process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_macros)]

#[allow(dead_code, reason = "the ABI's tests use the rest")]
#[path = "../abi/shim.rs"]
mod shim;
#[allow(dead_code, reason = "as above")]
#[path = "../abi/worker.rs"]
mod worker;

use aside_core::report::OUT_OF_MEMORY;
use pg_aside::abi::*;
use pg_aside::bytes::lend;
use pg_aside::exports::calls::*;
use pg_aside::exports::sessions::*;
use pg_aside::exports::tasks::*;
use shim::*;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(piece: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
}

thread_local! {
    /// This thread is the caller.
    static CALLER: Cell<bool> = const { Cell::new(false) };
}

/// Allocations of the side in question until one is refused; 0: none is.
static LEFT: AtomicU64 = AtomicU64::new(0);
/// Which side that is.
static CALLERS: AtomicBool = AtomicBool::new(false);
/// All that come after it are refused as well.
static FOR_GOOD: AtomicBool = AtomicBool::new(false);
/// How many were refused.
static REFUSED: AtomicU64 = AtomicU64::new(0);

fn refused() -> bool {
    if LEFT.load(SeqCst) == 0 || HERE.get().is_none() || CALLER.get() != CALLERS.load(SeqCst) {
        return false;
    }
    let next = |left: u64| if left == 1 && FOR_GOOD.load(SeqCst) { Some(1) } else { left.checked_sub(1) };
    let refused = LEFT.fetch_update(SeqCst, SeqCst, next) == Ok(1);
    REFUSED.fetch_add(u64::from(refused), SeqCst);
    refused
}

fn or_null(allocate: impl FnOnce() -> *mut c_void) -> *mut c_void {
    if refused() { std::ptr::null_mut() } else { allocate() }
}

// The program's own come before the library's, for the library as well. What they give out is the library's.
#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: any size will do.
    or_null(|| unsafe { __libc_malloc(size) })
}
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: any sizes will do.
    or_null(|| unsafe { __libc_calloc(count, size) })
}
/// # Safety
/// As the library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(piece: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's contract is the library's.
    or_null(|| unsafe { __libc_realloc(piece, size) })
}
/// # Safety
/// As the library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    // SAFETY: the caller's contract is the library's.
    let piece = or_null(|| unsafe { __libc_memalign(align, size) });
    if piece.is_null() {
        return 12;
    }
    // SAFETY: writable, by the caller's contract.
    unsafe { out.write(piece) };
    0
}

/// The caller.
struct Caller {
    pool: *mut aside_pool,
    host: aside_caller_host,
}

impl Caller {
    /// Ask for something, of a command with all that one can have; its SQLSTATE, 0 if it is done.
    fn ask(&self, command: &'static str, what: impl FnOnce(&aside_call) -> aside_status::Type) -> u32 {
        let long = [b'x'; 1000];
        let args = [
            aside_arg { type_: 25, form: aside_arg_form::ASIDE_ARG_NULL, data: aside_bytes::default() },
            aside_arg { type_: 25, form: aside_arg_form::ASIDE_ARG_TEXT, data: lend(&long) },
        ];
        let columns = [aside_column { type_: 25, typmod: -1, by_text: 0, reserved: 0, name: lend(b"column") }];
        let mut call = call(command);
        (call.args, call.nargs, call.columns, call.ncolumns) = (args.as_ptr(), args.len(), columns.as_ptr(), columns.len());
        let status = what(&call);
        ROWS.take();
        MESSAGES.take();
        if status == aside_status::ASIDE_OK { 0 } else { thrown().sqlstate }
    }

    fn run(&self, command: &'static str) -> u32 {
        let mut ending = aside_ending::default();
        // SAFETY: the pool is this thread's, the call lends what it points to.
        self.ask(command, |call| unsafe { aside_call_run(self.pool, &self.host, call, &mut ending) })
    }

    /// A session from its beginning to its end; the first error.
    fn session(&self) -> u32 {
        let (pool, host, name) = (self.pool, &self.host, lend(b"session"));
        let mut ending = aside_ending::default();
        // SAFETY: as above, and the ending is writable.
        unsafe {
            let opened = self.ask("", |call| aside_session_open(pool, host, call, name));
            if opened != 0 {
                return opened;
            }
            let states = [
                self.ask("echo", |call| aside_session_run(pool, host, call, name, &mut ending)),
                self.ask("echo", |call| aside_session_send(pool, host, call, name)),
                self.ask("", |call| aside_session_result(pool, host, call, name, true, &mut ending)),
                self.ask("", |call| aside_session_close(pool, host, call, name)),
            ];
            states.into_iter().find(|state| *state != 0).unwrap_or(0)
        }
    }

    /// A task from its submission to its detachment, and one that its transaction takes back; the first error.
    fn task(&self) -> u32 {
        let (pool, host) = (self.pool, &self.host);
        let (mut id, mut ended) = (0, 0);
        let start = aside_task_start { label: lend(b"label"), shown: lend(b"shown"), ..Default::default() };
        let pending = aside_task_start { on_commit: 1, subtransaction: 1, ..start };
        let plain = |call: &aside_call| aside_call { output: aside_output::ASIDE_OUTPUT_DESCRIBED, ncolumns: 0, ..*call };
        // SAFETY: as above; ids are writable.
        unsafe {
            let taken_back = self.ask("echo", |call| aside_task_submit(pool, host, &plain(call), &pending, &mut id));
            aside_tasks_transaction(pool, host, aside_transaction_end::ASIDE_END_ABORT, 0, 0);
            let submitted = self.ask("echo", |call| aside_task_submit(pool, host, &plain(call), &start, &mut id));
            if submitted != 0 {
                return submitted;
            }
            let states = [
                taken_back,
                self.ask("", |call| aside_task_wait(pool, host, call, &id, 1, -1, &mut ended)),
                self.ask("", |call| aside_task_result(pool, host, call, id, true)),
                self.ask("", |call| aside_task_result(pool, host, call, id, false)),
                self.ask("", |_| aside_task_detach(pool, host, id)),
            ];
            states.into_iter().find(|state| *state != 0).unwrap_or(0)
        }
    }

    /// Nobody wants those that are left; then there is none.
    fn end_tasks(&self) {
        let mut row = aside_task_row::default();
        let some = |row: &mut aside_task_row| {
            // SAFETY: as above.
            (0..TASKS).any(|i| unsafe { aside_view_task(self.pool, &self.host, i, row) } == aside_status::ASIDE_OK)
        };
        let none = || {
            if some(&mut row) {
                // SAFETY: as above.
                self.ask("", |_| unsafe { aside_task_detach(self.pool, &self.host, row.id) });
                return false;
            }
            true
        };
        until(none, "no task is left");
    }

    /// What is left of it, if its end could not be told to it.
    fn end_session(&self) {
        // SAFETY: as above.
        self.ask("", |call| unsafe { aside_sessions_close(self.pool, &self.host, call) });
    }
}

/// Tasks that there may be at a time.
const TASKS: u32 = 4;

#[test]
fn while_malloc_has_nothing_left_what_is_asked_for_ends_and_its_process_does_not() {
    CALLER.set(true);
    let me = fork();
    let caller = Caller { pool: become_process(me, Memory::pool(1), false), host: caller_host(me) };
    // SAFETY: any numbers will do; the table is laid out and never freed.
    unsafe {
        let table = Memory::zeroed(aside_tasks_size(TASKS, 1 << 20));
        assert_eq!(aside_tasks_init(table.start(), table.len, TASKS, 1), aside_status::ASIDE_OK);
        assert!(aside_tasks_attach(caller.pool, table.start(), table.len));
        become_task_runner(table);
    }
    // There is a worker, and what comes next takes the way that all later calls do.
    assert_eq!((caller.run("echo"), caller.run("echo"), caller.session(), caller.task()), (0, 0, 0, 0));
    for (callers, for_good) in [(true, false), (true, true), (false, false), (false, true)] {
        CALLERS.store(callers, SeqCst);
        FOR_GOOD.store(for_good, SeqCst);
        for (command, otherwise) in [("echo", 0), ("raise", 12345), ("talk", 0), ("session", 0), ("task", 0)] {
            for nth in 1.. {
                let case = format!("{command}, callers {callers}, for good {for_good}, {nth}");
                REFUSED.store(0, SeqCst);
                LEFT.store(nth, SeqCst);
                let state = match command {
                    "session" => caller.session(),
                    "task" => caller.task(),
                    command => caller.run(command),
                };
                LEFT.store(0, SeqCst);
                let refused = REFUSED.load(SeqCst) > 0;
                assert!(state == otherwise || (state == OUT_OF_MEMORY && refused), "{case}: {state}");
                caller.end_session();
                caller.end_tasks();
                for _ in 0..2 {
                    assert_eq!(caller.run("echo"), 0, "{case}: the next call");
                }
                if !refused {
                    assert!(nth > 10, "{case}");
                    break;
                }
            }
        }
    }
}

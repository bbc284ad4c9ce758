//! The C ABI, called as the shim calls it: what C hands over arrives, what comes back is whole, and no
//! panic gets out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_macros)]

mod boundary;
mod coordinator;
mod jobs;
mod parts;
mod shim;
mod worker;

use aside_core::report::{CONNECTION_FAILURE, DEADLOCK_DETECTED, FEATURE_NOT_SUPPORTED, Field, INTERNAL_ERROR, Report, Severity};
use pg_aside::abi::*;
use pg_aside::bytes::lend;
use pg_aside::exports::{calls::*, pool::*, worker::*};
use shim::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::*;
use worker::{full_error, worker_host};

/// The guard's panic hook keeps quiet; a failed assertion should not.
fn test(body: impl FnOnce()) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(body)) {
        let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
        println!("failed: {}", text.unwrap_or("?"));
        resume_unwind(cause);
    }
}

/// A session of this thread.
struct Session {
    pool: *mut aside_pool,
    host: aside_caller_host,
    memory: Memory,
}

impl Session {
    fn new(memory: Memory) -> Self {
        Self::with(memory, false)
    }
    fn with(memory: Memory, broken_worker: bool) -> Self {
        let me = fork();
        Self { pool: become_process(me, memory, broken_worker), host: caller_host(me), memory }
    }
    fn run(&self, call: &aside_call) -> Result<u64, Box<Report>> {
        let mut ending = aside_ending { processed: u64::MAX, ..aside_ending::default() };
        // SAFETY: the pool is this thread's, the call lends what it points to.
        match unsafe { aside_call_run(self.pool, &self.host, call, &mut ending) } {
            aside_status::ASIDE_OK => Ok(ending.processed),
            aside_status::ASIDE_SAVED => {
                assert_eq!(ending.processed, u64::MAX, "outputs are written only on success");
                Err(Box::new(thrown()))
            }
            other => panic!("status {other}"),
        }
    }
    fn worker(&self, slot: u32) -> Option<aside_worker_row> {
        view(self.pool, slot)
    }
    fn stat(&self, kind: u32) -> Option<aside_stat_row> {
        let mut row = aside_stat_row::default();
        // SAFETY: the pool is this thread's, the row writable.
        unsafe { aside_view_stat(self.pool, kind, &mut row) }.then_some(row)
    }
    /// All workers leave, and are gone.
    fn close(self) {
        // SAFETY: the pool is this thread's and not used again.
        unsafe {
            aside_pool_close(self.pool, &self.host);
            until(|| (0..aside_pool_slots(self.pool)).all(|slot| view(self.pool, slot).is_none()), "all workers left");
            drop(Box::from_raw(self.pool));
        }
    }
}

fn view(pool: *const aside_pool, slot: u32) -> Option<aside_worker_row> {
    let mut row = aside_worker_row::default();
    // SAFETY: the pool was attached and not freed, the row is writable.
    unsafe { aside_view_worker(pool, slot, &mut row) }.then_some(row)
}

fn message(report: &Report) -> String {
    String::from_utf8_lossy(report.get(Field::Message).unwrap_or_default()).into()
}

#[test]
fn a_call_arrives_with_every_form_of_argument_and_its_rows_come_back() {
    test(|| {
        let session = Session::new(Memory::pool(2));
        let datum = 0x0102_0304_0506_0708u64.to_ne_bytes();
        let long = vec![b'x'; 30_000];
        let arg = |type_, form, data: &[u8]| aside_arg { type_, form, data: lend(data) };
        let null = aside_arg { type_: 25, form: aside_arg_form::ASIDE_ARG_NULL, data: aside_bytes::default() };
        let args = [
            null,
            arg(20, aside_arg_form::ASIDE_ARG_BYVAL, &datum),
            arg(25, aside_arg_form::ASIDE_ARG_BYREF, &long),
            arg(0, aside_arg_form::ASIDE_ARG_TEXT, b""),
        ];
        let columns =
            [aside_column { type_: 25, typmod: -1, by_text: 0, reserved: 0, name: lend("имя".as_bytes()) }, aside_column::default()];
        let mut call = call("echo");
        (call.args, call.nargs) = (args.as_ptr(), args.len());
        (call.columns, call.ncolumns) = (columns.as_ptr(), columns.len());
        (call.depth, call.settings, call.identity.role, call.identity.security_context) = (2, lend(b"a=b"), 11, 3);
        assert_eq!(session.run(&call).map_err(|e| message(&e)), Ok(8));
        let expected: Vec<Vec<u8>> = vec![
            b"depth 3 output 1 several false [10, 11, 10, 3]".to_vec(),
            b"a=b".to_vec(),
            b"25 0 ".to_vec(),
            [&b"20 1 "[..], &datum].concat(),
            [&b"25 2 "[..], &long].concat(),
            b"0 3 ".to_vec(),
            "25 -1 имя".as_bytes().to_vec(),
            b"0 0 ".to_vec(),
        ];
        assert_eq!(ROWS.take(), expected);
        session.close();
    });
}

#[test]
fn an_error_and_a_message_keep_every_field() {
    test(|| {
        let session = Session::new(Memory::pool(1));
        let error = session.run(&call("raise")).unwrap_err();
        let mut expected = full_error(Severity::Error);
        expected.add_line(Field::Context, b"autonomous transaction");
        assert_eq!(*error, expected);
        session.run(&call("talk")).unwrap();
        // The client has not sent the command, so a position in it is one in an internal query.
        let placed =
            Report { severity: Severity::Notice, internal_position: 3, ..Report::error(0, "here") }.with(Field::InternalQuery, "talk");
        assert_eq!(MESSAGES.take(), [full_error(Severity::Notice), placed]);
        assert_eq!(session.run(&call("COPY")).unwrap_err().sqlstate, FEATURE_NOT_SUPPORTED);
        let null = aside_call { command: aside_bytes::default(), ..call("ok") };
        assert_eq!(session.run(&null).unwrap_err().sqlstate, aside_core::report::NULL_VALUE_NOT_ALLOWED);
        session.close();
    });
}

#[test]
fn a_deadlock_with_the_caller_is_raised_by_the_worker_itself() {
    test(|| {
        let session = Session::new(Memory::pool(1));
        let error = session.run(&call("lock")).unwrap_err();
        assert_eq!((error.sqlstate, message(&error)), (DEADLOCK_DETECTED, "deadlock detected".into()));
        let detail = String::from_utf8_lossy(error.get(Field::Detail).unwrap()).into_owned();
        assert!(detail.starts_with("It waits for AccessShareLock.\n"), "{detail}");
        session.close();
    });
}

#[test]
fn a_cancelled_caller_keeps_its_own_error() {
    test(|| {
        let memory = Memory::pool(1);
        let (send, receive) = std::sync::mpsc::channel();
        let canceled = std::thread::spawn(move || {
            let session = Session::new(memory);
            send.send(session.host.world.my_proc).unwrap();
            let told = session.run(&call("wait")).map_err(|e| message(&e));
            let amended = AMENDED.take();
            session.close();
            (told, amended)
        });
        let me = process(receive.recv().unwrap()).unwrap();
        let pool = memory.attach();
        until(|| view(pool, 0).is_some_and(|row| row.state == 3 && row.depth == 1), "the call runs");
        me.interrupted.store(1, SeqCst);
        me.wake();
        assert_eq!(canceled.join().unwrap(), (Err("canceling".into()), vec![]));
    });
}

/// The child of the next test: a panic inside an export, in a process whose stderr is looked at.
#[test]
fn a_hole_in_the_callers_vtable_is_an_error_of_ours() {
    test(|| {
        let memory = Memory::pool(1);
        let mut session = Session::new(memory);
        session.host.launch = None;
        let error = session.run(&call("ok")).unwrap_err();
        assert_eq!((error.sqlstate, message(&error)), (INTERNAL_ERROR, "internal error in pg_aside".into()));
        let detail = String::from_utf8_lossy(error.get(Field::Detail).unwrap()).into_owned();
        assert!(detail.contains("vtable member launch"), "{detail}");
    });
}

#[test]
fn a_panic_inside_an_export_is_not_printed() {
    test(|| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_hole_in_the_callers_vtable_is_an_error_of_ours", "--nocapture"])
            .output()
            .unwrap();
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("1 passed") && !said.contains("panicked"), "{said}");
    });
}

#[test]
fn a_panic_in_the_middle_of_a_call_ends_its_lease() {
    test(|| {
        let mut session = Session::new(Memory::pool(1));
        let row = session.host.row.take();
        assert_eq!(session.run(&call("echo")).unwrap_err().sqlstate, INTERNAL_ERROR);
        session.host.row = row;
        assert_eq!(session.run(&call("echo")).map_err(|e| message(&e)), Ok(2));
        session.close();
    });
}

#[test]
fn a_worker_that_panics_is_a_lost_worker_and_nothing_worse() {
    test(|| {
        let memory = Memory::pool(1);
        let broken = Session::with(memory, true);
        assert_eq!(broken.run(&call("ok")).unwrap_err().sqlstate, CONNECTION_FAILURE);
        let whole = Session::new(memory);
        whole.run(&call("ok")).unwrap();
        whole.close();
    });
}

#[test]
fn another_version_is_refused_on_both_sides() {
    test(|| {
        let mut session = Session::new(Memory::pool(1));
        session.host.world.abi_version += 1;
        let mut ending = aside_ending::default();
        // SAFETY: the pool is this thread's, the call lends what it points to.
        let status = unsafe { aside_call_run(session.pool, &session.host, &call("ok"), &mut ending) };
        assert_eq!(status, aside_status::ASIDE_OTHER_BUILD);
        let me = fork();
        let mut host = worker_host(me);
        host.world.abi_version += 1;
        // SAFETY: the pool is this thread's.
        assert_eq!(unsafe { aside_worker_attach(session.pool, &host, 0, 1) }, aside_status::ASIDE_LEAVE);
        assert!(session.worker(0).is_none(), "and nothing was claimed");
    });
}

#[test]
fn memory_that_holds_no_pool_of_ours_is_not_attached() {
    test(|| {
        let attach = |memory: Memory| memory.attach().is_null();
        // SAFETY: any numbers will do.
        let len = unsafe { aside_pool_size(4, 1 << 16) };
        assert!(len > 0);
        assert!(attach(Memory::zeroed(len)), "not laid out");
        assert!(attach(Memory { address: 0, len }), "nowhere");
        let pool = Memory::pool(2);
        assert!(!attach(pool));
        assert!(attach(Memory { address: pool.address + 8, len: pool.len - 8 }), "not aligned");
        assert!(attach(Memory { len: pool.len - 1, ..pool }) && attach(Memory { len: 63, ..pool }), "cut off");
        // Its first words: version and slots, words of a ring.
        for (at, word) in [(0, 2u64), (0, 1 | 9 << 32), (0, 1 | u64::from(u32::MAX) << 32), (1, 1 << 61), (1, u64::MAX)] {
            let pool = Memory::pool(2);
            // SAFETY: within the header, which nobody uses yet.
            unsafe { pool.start().cast::<u64>().add(at).write(word) };
            assert!(attach(pool), "word {at} is {word:x}");
        }
    });
}

#[test]
fn views_tell_what_workers_and_callers_do() {
    test(|| {
        let session = Session::new(Memory::pool(3));
        // SAFETY: the pool is this thread's.
        assert_eq!(unsafe { aside_pool_slots(session.pool) }, 3);
        assert!(session.worker(0).is_none() && session.worker(3).is_none());
        session.run(&call("echo")).unwrap();
        session.run(&call("raise")).unwrap_err();
        until(|| session.worker(0).is_some_and(|row| row.state == 2 && row.calls == 2 && row.errors == 1), "both calls are counted");
        let row = session.worker(0).unwrap();
        assert_eq!((row.database, row.user, row.errors, row.caller_pid, row.xid), (5, 10, 1, 0, 0));
        assert_eq!((row.generation, row.started, row.last_used), (2, 42, 42));
        assert!(process(row.pid - 5000).is_some());
        let stat = session.stat(aside_kind::ASIDE_KIND_QUERY).unwrap();
        assert_eq!((stat.calls, stat.errors, stat.cancelled, stat.rows), (2, 1, 0, 2));
        assert_eq!(stat.histogram.iter().sum::<u64>(), 2);
        assert_eq!(session.stat(aside_kind::ASIDE_KIND_EXEC).unwrap().calls, 0);
        assert!(session.stat(aside_counts::ASIDE_KINDS).is_none());
        session.close();
    });
}

#[test]
fn idle_workers_of_a_database_leave_when_retired() {
    test(|| {
        let session = Session::new(Memory::pool(2));
        session.run(&call("ok")).unwrap();
        // SAFETY: the pool and the world are this thread's.
        let retire = |database| unsafe { aside_pool_retire(session.pool, &session.host.world, database) };
        assert_eq!(retire(6), 0);
        until(|| session.worker(0).is_some_and(|row| row.state == 2), "the worker is idle");
        assert!(retire(5) <= 1);
        until(|| retire(5) == 0 && session.worker(0).is_none(), "the worker has left");
        session.run(&call("ok")).unwrap();
        session.close();
    });
}

#[test]
fn a_caller_that_exits_ends_what_its_worker_runs() {
    test(|| {
        let memory = Memory::pool(1);
        let pool = memory.attach();
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let session = Session::new(memory);
            send.send(session.host.world.my_proc).unwrap();
            _ = session.run(&call("wait"));
        });
        let me = process(receive.recv().unwrap()).unwrap();
        until(|| view(pool, 0).is_some_and(|row| row.state == 3 && row.depth == 1), "the call runs");
        let row = view(pool, 0).unwrap();
        assert_eq!((row.caller_pid, row.generation), (me.pid(), 1));
        // What the exit callback of that process does; its own thread stays suspended in the call.
        let host = caller_host(me);
        // SAFETY: this view of the pool is this thread's.
        unsafe { aside_caller_exit(pool, &host) };
        until(|| view(pool, 0).is_none(), "the worker has ended and its slot is free");
        let worker = process(row.pid - 5000).unwrap();
        assert_eq!(worker.dying.load(SeqCst), 1);
        until(|| worker.gone.load(SeqCst), "the worker's process has ended");
    });
}

#[test]
fn a_closed_pool_keeps_no_worker() {
    test(|| {
        let memory = Memory::pool(2);
        let session = Session::new(memory);
        session.run(&call("ok")).unwrap();
        until(|| session.worker(0).is_some_and(|row| row.state == 2), "the worker is idle");
        let pid = session.worker(0).unwrap().pid;
        let memory = session.memory;
        session.close();
        assert!(view(memory.attach(), 0).is_none());
        let worker = process(pid - 5000).unwrap();
        until(|| worker.gone.load(SeqCst), "its process has ended");
    });
}

//! What the world must offer to the core. Implemented over the C vtables by the ffi crate, and by
//! a simulated world in the tests. No member throws: an error that the host met stays with the
//! host, and [`Saved`] says that one is kept there.

use crate::pool::place::Processors;
use crate::pool::slot::{Key, Owed};
use crate::pool::waits::Blocker;
use crate::report::Report;
use std::sync::atomic::AtomicU32;

/// The host keeps an error that is to be rethrown (caller) or reported (worker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved;

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slept {
    Woken,
    TimedOut,
}

/// Time, latches and interrupts; both sides of a lease have them.
pub trait World {
    /// Monotonic microseconds, of a clock that all processes share.
    fn now_us(&self) -> u64;
    /// Wall clock, microseconds since 2000-01-01.
    fn timestamp(&self) -> i64;
    /// Processors that this machine has.
    fn cpus(&self) -> u32;
    fn my_pid(&self) -> u32;
    /// Where this process's latch is found by others.
    fn my_proc(&self) -> u32;
    /// Something waits to be served by [`World::sleep`].
    fn interrupt_pending(&self) -> bool;
    /// This process was told to terminate.
    fn terminating(&self) -> bool;
    /// Sleep until the latch is set, serving interrupts.
    fn sleep(&self, timeout_ms: u32) -> Result<Slept, Saved>;
    /// Sleep until the latch is set, serving nothing.
    fn doze(&self, timeout_ms: u32) -> Slept;
    /// Set another process's latch.
    fn wake(&self, proc: u32);
    /// Clear one's own.
    fn clear_latch(&self) {}
    /// May this process sleep on a word of shared memory?
    fn naps(&self) -> bool {
        false
    }
    /// Sleep for as long as a word is what it is, until somebody rouses who sleeps there, until a signal comes, or until the
    /// time has passed. Serves nothing.
    fn nap(&self, _word: &AtomicU32, _is: u32, _timeout_ms: u32) -> Slept {
        Slept::Woken
    }
    /// The processor that this process runs on, where the host can tell, and keep processes where they are to be.
    fn processor(&self) -> Option<u32> {
        None
    }
    /// The processors that a process may use.
    fn allowed(&self, _pid: u32) -> Option<Processors> {
        None
    }
    fn allow(&self, _pid: u32, _processors: &Processors) {}
    /// Rouse who sleeps on a word.
    fn rouse(&self, _word: &AtomicU32) {}
    /// The processes that wait for a buffer that this process has pinned.
    fn pins_wanted(&self) -> Vec<u32> {
        Vec::new()
    }
    /// One turn of a polling loop.
    fn relax(&self);
}

/// How the start of a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launch {
    Started,
    NoWorkerSlot,
}

/// What is known of a transaction whose worker vanished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XactStatus {
    Aborted,
    Committed,
    Unknown,
}

/// What a caller's side asks of its backend.
pub trait CallerHost: World {
    /// Start a worker process for a slot that this caller has claimed.
    fn launch(&self, slot: u32, generation: u64, key: Key) -> Result<Launch, Saved>;
    /// Has the worker last launched for this slot ended before it attached?
    fn launch_failed(&self, slot: u32) -> bool;
    /// Sleep until a slot may have become free, serving interrupts. The first call of a series only
    /// enlists this process with those who are told, and returns: look again before the second.
    fn wait_slot(&self, timeout_ms: u32) -> Result<Slept, Saved>;
    /// This process no longer waits for a slot.
    fn end_wait_slot(&self);
    /// Tell one waiter that a slot is free.
    fn signal_slot(&self);
    /// Ask a worker to cancel its statement, or to end.
    fn interrupt(&self, pid: u32, terminate: bool);
    /// Is there a server process with this pid?
    fn alive(&self, pid: u32) -> bool;
    /// No worker is there, and no process for one: have who could do without its process leave it. True: somebody does.
    fn make_room(&self) -> bool;
    /// Names the wait for a lock, or for a safe snapshot, that a process is in, if it is in one. Costs nothing,
    /// unlike `blockers`, which locks the whole lock table.
    fn lock_wait(&self, pid: u32) -> Option<u64>;
    /// The processes that block such a wait; None if the process waits for no such thing.
    fn blockers(&self, pid: u32) -> Result<Option<Vec<Blocker>>, Saved>;
    /// Does a process wait for others to unpin a buffer? The others say so themselves: [`World::pins_wanted`].
    fn pin_wait(&self, pid: u32) -> bool;
    /// The parallel workers that a process waits for.
    fn group(&self, pid: u32) -> Vec<u32>;
    /// What a process runs, as far as this user may know.
    fn activity(&self, pid: u32) -> Option<Vec<u8>>;
    /// What became of a transaction, by its 64-bit id.
    fn outcome(&self, xid: u64) -> XactStatus;
    /// Send a message below ERROR on to the client.
    fn relay(&self, message: &Report) -> Result<(), Saved>;
    /// Keep one row.
    fn row(&self, tuple: &[u8]) -> Result<(), Saved>;
    /// The values of a row of so many texts.
    fn texts(&self, tuple: &[u8], columns: usize) -> Result<Vec<Option<Vec<u8>>>, Saved>;
    /// Rows of these columns follow.
    fn describe(&self, columns: &[Column]) -> Result<(), Saved>;
    /// One statement is through.
    fn complete(&self, ending: &Ending) -> Result<(), Saved>;
    /// May this user act for that role, as a member of it does?
    fn may_act_for(&self, role: u32) -> Result<bool, Saved>;
    /// Write the file of a task anew, read a piece of it, delete it.
    fn write_file(&self, task: u64, bytes: &[u8]) -> Result<(), Saved>;
    fn read_file(&self, task: u64, offset: u64, into: &mut [u8]) -> Result<(), Saved>;
    fn drop_file(&self, task: u64);
    /// Keep a task's record for after a restart, where the host does.
    fn write_down(&self, index: u32, record: &[u8]);
    /// Wait until a commit is on disk, and wherever else it was to be; at level 0 on disk only.
    fn await_commit(&self, owed: Owed) -> Result<(), Saved>;
    /// Add a line to the DETAIL of the saved error.
    fn amend(&self, detail: &str);
}

/// Who the caller is, as role OIDs; role 0 is "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub session_user: u32,
    pub role: u32,
    pub current_user: u32,
    pub security_context: u32,
    /// Database of the caller, which a session's worker need not be in.
    pub database: u32,
}

/// The server's mark of a query of a referential action, in a security context.
pub const REFERENTIAL_ACTION: u32 = 4;

impl Identity {
    /// Does the session act as itself? A referential action acts as the owner of its table, who may be the same.
    /// In a security-definer function nobody does: what its owner may keep to himself is not for his callers' sessions.
    pub fn is_its_own(&self) -> bool {
        let outer = if self.role == 0 { self.session_user } else { self.role };
        self.security_context == 0 || self.current_user == outer && self.security_context & REFERENTIAL_ACTION != 0
    }

    /// Do both act as the same, in whatever security context?
    pub fn is_same_role(&self, other: &Self) -> bool {
        Self { security_context: 0, ..*self } == Self { security_context: 0, ..*other }
    }
}

/// What a request is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// A transaction of its own.
    #[default]
    OneShot = 0,
    /// A session begins: become the caller, run nothing.
    Open = 1,
    /// A command of a session.
    Session = 2,
    /// What notifications have come for the session?
    Notifications = 3,
    /// The session ends.
    Close = 4,
    /// Events for a handler: each argument is a batch, and has a transaction of its own.
    Events = 5,
    /// A command as a login of its owner runs it, for nobody who waits in a transaction.
    Command = 6,
    /// The same for one chunk of a job, with the record that it is done.
    Chunk = 7,
}

impl Mode {
    /// The worker acts as a login of its user, whose settings the server applies to a process once.
    pub fn is_a_login(self) -> bool {
        matches!(self, Self::Events | Self::Command | Self::Chunk)
    }
}

/// Bytes of what a command says that are sent at most; what is more is counted only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub row_bytes: u32,
    /// Of messages below ERROR.
    pub message_bytes: u32,
}

impl Default for Bounds {
    /// Everything.
    fn default() -> Self {
        Self { row_bytes: u32::MAX, message_bytes: u32::MAX }
    }
}

/// What becomes of the rows of a command's last statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    None,
    Rows,
    Json,
    /// As they are, with a description in front, of every statement.
    Described,
    /// The same as text; of a session of every statement, else of the last one.
    Text,
}

/// How an argument's bytes are to be read; the numbers are those of `ASIDE_ARG_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum ArgForm {
    #[default]
    Null = 0,
    ByValue = 1,
    ByReference = 2,
    Text = 3,
}

/// One argument of a command; type 0 where the statement is to infer it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arg<'a> {
    pub type_oid: u32,
    pub form: ArgForm,
    pub data: &'a [u8],
}

/// One column that the caller expects; type 0 stands for a dropped column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    pub type_oid: u32,
    pub typmod: i32,
    /// The value crosses as text, converted by the output and input functions of both types.
    /// 0: as its type has it; else as text, and under which styles: the host's number for them.
    pub by_text: u32,
    pub name: &'a [u8],
}

/// Statements that a command may not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Transaction,
    Copy,
    Listen,
    /// Waits for every older snapshot, the caller's among them.
    Concurrently,
}

/// One analyzed statement of a command.
#[derive(Clone, Copy, Debug)]
pub struct Statement<P> {
    pub refused: Option<Refusal>,
    /// Analyzed again in the same state of the catalogs, it comes to the same.
    pub cacheable: bool,
    /// The catalogs' state before its analysis.
    pub changes: u64,
    /// Highest parameter number that it names.
    pub params: u32,
    pub plan: P,
}

/// Settings of a worker, read again before each use.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerConfig {
    pub idle_timeout_ms: u32,
    pub min_workers: u32,
    pub poll_us: u32,
    pub nap_ms: u32,
    pub plan_cache_size: u32,
    /// After which a session ends that runs nothing; and where its transaction block is open. 0: never.
    pub session_idle_ms: u32,
    pub block_idle_ms: u32,
    /// Longest result of a task that is kept.
    pub result_bytes: u64,
    /// All results of its role's tasks; 0 is no limit.
    pub role_bytes: u64,
}

/// Where rows go while a statement runs.
pub trait RowSink {
    /// One row; [`SinkStop`] ends the statement.
    fn row(&mut self, tuple: &[u8]) -> Result<(), SinkStop>;
    /// Rows of these columns follow.
    fn describe(&mut self, columns: &[Column]) -> Result<(), SinkStop>;
}

/// Why a row could not be handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkStop {
    Saved,
    /// The result of a task is longer than it may be.
    TooLong,
    /// The results of its role's tasks are longer than they may be together.
    TooMuch,
    NoMemory,
    CallerGone,
}

/// A handler has put an event off until then: what it did is committed, and no attempt is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOff {
    pub event: i64,
    pub until: i64,
}

/// What a handler has done about a batch of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// All of it, but for these.
    Done(Vec<PutOff>),
    /// Nothing: the events are not where they were looked for.
    Misplaced,
    /// Nothing: the handler is paused, gone, or another one than it was.
    Unwanted,
}

/// How a statement ended: rows processed, and its tag where somebody wants it.
#[derive(Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub struct Ending {
    pub processed: u64,
    /// No other statement of the command follows.
    pub last: bool,
    pub tag: Option<Vec<u8>>,
}

/// What a worker's main loop asks of its process.
pub trait WorkerHost: World {
    /// A prepared statement, kept by the host.
    type Plan: Copy;
    fn config(&self) -> WorkerConfig;
    /// Serve what waits while idle; false: leave the main loop.
    fn idle(&self, going_to_sleep: bool) -> bool;
    fn signal_slot(&self);
    /// Have the settings of a login changed since this process began with them?
    fn outdated(&self) -> Result<bool, Saved>;
    /// Become the caller; settings are applied where given.
    fn adopt(&self, who: &Identity, settings: Option<&[u8]>) -> Result<(), Saved>;
    /// What is to be known of the caller from now on, as its shim has written it; None: nothing.
    fn origin(&self, origin: Option<&[u8]>);
    /// Of this request alone: the caller's transaction, and where in its code the call was made.
    fn call_site(&self, xid: u64, stack: Option<&[u8]>);
    /// Open the transaction; or, of a session, what its state asks for. Where it is `timed`, `statement_timeout` bounds
    /// each statement from the first one on: nobody else's timer runs. With a timeout, the command is cancelled when it has
    /// passed; what traps the cancel ends with its process.
    fn begin(&self, command: &[u8], session: bool, timed: bool, timeout_ms: u32) -> Result<(), Saved>;
    /// The transaction that has begun reads at this snapshot of a transaction that still runs, and writes nothing.
    fn read_at(&self, snapshot: &[u8]) -> Result<(), Saved>;
    /// Has the timeout of `begin` passed?
    fn timed_out(&self) -> bool;
    /// See whether there is a table of tasks by now, and attach to it.
    fn find_tasks(&self);
    /// Give workers to queued tasks.
    fn kick(&self);
    /// Append to the file of the running task, read a piece of it, delete it.
    fn append_file(&self, task: u64, bytes: &[u8]) -> Result<(), Saved>;
    fn read_file(&self, task: u64, offset: u64, into: &mut [u8]) -> Result<(), Saved>;
    fn drop_file(&self, task: u64);
    /// Keep a task's record for after a restart, where the host does.
    fn write_down(&self, index: u32, record: &[u8]);
    /// Who acts in a session now, and a number that changes when its settings do.
    fn session_state(&self) -> (u32, u64);
    /// The tag of the statement that ran last.
    fn tag(&self) -> Vec<u8>;
    /// Notifications that have come for the session, as rows.
    fn notifications(&self, sink: &mut dyn RowSink) -> Result<(), Saved>;
    /// Split a command into statements; how many.
    fn parse(&self, command: &[u8]) -> Result<u32, Saved>;
    /// Analyze one statement of the command last parsed.
    fn prepare(&self, index: u32, args: &[Arg]) -> Result<Statement<Self::Plan>, Saved>;
    /// Keep a plan across transactions.
    fn keep_plan(&self, plan: Self::Plan) -> Result<(), Saved>;
    fn drop_plan(&self, plan: Self::Plan);
    /// A number that changes whenever this process hears that the catalogs have.
    fn catalog_changes(&self) -> u64;
    /// Lock what a kept plan reads, and hear of what has changed until then: that number.
    fn lock_plan(&self, plan: Self::Plan) -> Result<u64, Saved>;
    /// Run one statement; rows of the last statement go to the sink. Rows processed.
    fn run(
        &self,
        plan: Self::Plan,
        several: bool,
        args: &[Arg],
        output: Output,
        columns: &[Column],
        sink: &mut dyn RowSink,
    ) -> Result<u64, Saved>;
    /// Run a routine as the caller's shim described it; its result goes to the sink.
    fn run_routine(&self, routine: &[u8], args: &[Arg], columns: &[Column], sink: &mut dyn RowSink) -> Result<(), Saved>;
    /// Have a handler handle a batch of events, and acknowledge them, in the transaction that is open.
    fn run_events(&self, handler: &[u8], batch: &[u8]) -> Result<Ran, Saved>;
    /// Record, in the transaction that is open, that this attempt at a chunk is done; an error where it is not the one any more.
    fn record_chunk(&self, attempt: &[u8], processed: u64) -> Result<(), Saved>;
    /// Make the effects of one statement visible to the next; one that controlled the transaction is
    /// carried out.
    fn next_statement(&self, controls: bool) -> Result<(), Saved>;
    fn commit(&self) -> Result<(), Saved>;
    /// Abort the transaction. A session's transaction block stays, as a failed one.
    fn abort(&self);
    /// The saved error.
    fn error(&self) -> Report;
    /// Write the error that ended a command to the server's log; saved: it is the saved one, in other words perhaps.
    fn log(&self, error: &Report, saved: bool);
    /// Drop what a tenant left behind; do the applied settings still hold? Of a session that goes on,
    /// only what the command needed.
    fn clean(&self, session_goes_on: bool) -> Result<bool, Saved>;
    /// Forget a cancel that was meant for the last caller.
    fn forget_cancel(&self);
}

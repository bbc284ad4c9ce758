//! The worker's side of the simulated world: a process and its host.

use super::caller::Client;
use super::process::of_any_process;
use super::world::{Fault, Proc, World, parked};
use crate::caller::task;
use crate::host::{World as World_, *};
use crate::pool::slot::{Key, Lease};
use crate::report::*;
use crate::worker::process::Worker;
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

pub struct FakeWorker<'a> {
    pub world: Arc<World>,
    pub me: Arc<Proc>,
    pub worker: &'a Worker<'static>,
    /// Whom the process is authenticated as.
    pub(super) key: Key,
    parsed: RefCell<Vec<String>>,
    plans: RefCell<Vec<String>>,
    pub(super) pending: RefCell<Vec<String>>,
    pub(super) error: RefCell<Report>,
    pub(super) identity: Cell<Identity>,
    pub(super) settings: RefCell<Vec<u8>>,
    kept: RefCell<Vec<usize>>,
    /// The state of the catalogs that this process has heard of.
    heard: Cell<u64>,
    pub(super) in_session: Cell<bool>,
    pub(super) block: Cell<Block>,
    /// Rows have a description in front.
    pub(super) described: Cell<bool>,
    /// When the running command has had its time, and when what traps the cancel is ended.
    timeout: Cell<Option<u64>>,
    timed_out: Cell<bool>,
    /// This process as one that gives workers to tasks.
    kicker: OnceCell<Client>,
}

/// The transaction block of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Block {
    #[default]
    None,
    Open,
    Failed,
    /// Its commit has been asked for.
    Ending,
}

/// A worker process, from its launch to its end.
pub fn main(world: Arc<World>, me: Arc<Proc>, stillborn: bool, lease: Lease, key: Key) {
    let worker = Worker::new(world.area);
    let h = FakeWorker::new(world.clone(), me.clone(), &worker, key);
    h.find_tasks();
    if !stillborn && worker.attach(&h, lease.slot, lease.generation) {
        if world.step("connect").is_some() {
            h.fatal("role is not permitted to log in");
        }
        worker.run(&h);
        h.leave();
    }
    me.gone.store(true, SeqCst);
    world.signal_waiters();
}

impl<'a> FakeWorker<'a> {
    pub fn new(world: Arc<World>, me: Arc<Proc>, worker: &'a Worker<'static>, key: Key) -> Self {
        Self {
            world,
            me,
            worker,
            key,
            parsed: RefCell::default(),
            plans: RefCell::default(),
            pending: RefCell::default(),
            error: RefCell::default(),
            identity: Cell::default(),
            settings: RefCell::default(),
            kept: RefCell::default(),
            heard: Cell::new(1),
            in_session: Cell::new(false),
            block: Cell::default(),
            described: Cell::default(),
            timeout: Cell::default(),
            timed_out: Cell::default(),
            kicker: OnceCell::new(),
        }
    }

    /// What the exit callbacks of the process do.
    fn leave(&self) {
        self.worker.leave(self);
        self.world.unlock(self.me.pid);
        if self.world.table().is_some() {
            self.kick();
        }
    }

    /// What others have done to the catalogs is heard at a transaction's begin and where locks are taken. A test may
    /// have it happen there.
    fn hear(&self, place: &str) {
        if self.world.is_open(&format!("catalogs change at {place}")) {
            self.world.catalogs.fetch_add(1, SeqCst);
        }
        self.heard.set(self.world.catalogs.load(SeqCst));
    }

    fn note(&self, step: &str) {
        self.world.log.lock().unwrap().push((self.me.pid, step.into()));
    }

    pub(super) fn fail<T>(&self, state: u32, message: &str) -> Result<T, Saved> {
        *self.error.borrow_mut() = Report::error(state, message);
        Err(Saved)
    }

    pub(super) fn try_step(&self, step: &'static str) -> Result<(), Saved> {
        match self.world.step(step) {
            None => Ok(()),
            Some(Fault::Fail) => self.fail(INTERNAL_ERROR, &format!("injected at {step}")),
            Some(Fault::Die) => self.exit(),
        }
    }

    /// The process ends here; what was suspended stays so.
    pub(super) fn exit(&self) -> ! {
        self.leave();
        self.me.gone.store(true, SeqCst);
        parked()
    }

    fn fatal(&self, message: &str) -> ! {
        let report = Report { severity: Severity::Fatal, ..Report::error(sqlstate(b"57P01"), message) };
        self.worker.message(self, report, None);
        self.exit()
    }

    /// The timer of the running command rings: the first time it cancels, the second time it ends the process.
    pub(super) fn ring(&self) {
        if self.timeout.get().is_some_and(|at| self.me.now_us() >= at) {
            self.timeout.set(Some(self.me.now_us() + 2_000_000));
            if self.timed_out.replace(true) { &self.me.die } else { &self.me.cancel }.store(true, SeqCst);
        }
    }

    pub(super) fn interrupts(&self) -> Result<(), Saved> {
        self.ring();
        if self.me.die.load(SeqCst) {
            self.fatal("terminating background worker due to administrator command");
        }
        if self.me.cancel.swap(false, SeqCst) {
            return self.fail(QUERY_CANCELED, "canceling statement due to user request");
        }
        Ok(())
    }
}

impl World_ for FakeWorker<'_> {
    of_any_process!();
    fn timestamp(&self) -> i64 {
        self.me.timestamp()
    }
    fn sleep(&self, timeout_ms: u32) -> Result<Slept, Saved> {
        self.interrupts()?;
        let slept = self.me.nap(timeout_ms);
        self.interrupts()?;
        Ok(slept)
    }
    fn doze(&self, timeout_ms: u32) -> Slept {
        // A worker with nothing to do: where a test wants it, it wakes only if it is woken.
        if timeout_ms >= 1000 && self.world.is_open("sleep soundly") {
            self.me.sleep_soundly();
            return Slept::Woken;
        }
        self.me.nap(timeout_ms)
    }
}

impl WorkerHost for FakeWorker<'_> {
    type Plan = usize;

    fn config(&self) -> WorkerConfig {
        *self.world.config.lock().unwrap()
    }
    fn idle(&self, going_to_sleep: bool) -> bool {
        // Where a test wants it, those that have served before are not there for a second request.
        let served = || self.world.log.lock().unwrap().iter().any(|(pid, _)| *pid == self.me.pid);
        if !going_to_sleep && self.world.is_open("die on request") && served() {
            self.exit();
        }
        // A cancel between two commands is for neither.
        self.me.cancel.store(false, SeqCst);
        !self.me.die.load(SeqCst)
    }
    fn signal_slot(&self) {
        self.world.signal_waiters();
    }
    fn outdated(&self) -> Result<bool, Saved> {
        self.note("outdated");
        Ok(self.world.is_open("outdated"))
    }
    fn adopt(&self, who: &Identity, settings: Option<&[u8]>) -> Result<(), Saved> {
        self.note(if settings.is_some() { "adopt+settings" } else { "adopt" });
        self.try_step("adopt")?;
        self.identity.set(*who);
        if let Some(settings) = settings {
            *self.settings.borrow_mut() = settings.to_vec();
        }
        Ok(())
    }
    fn origin(&self, origin: Option<&[u8]>) {
        self.world.origins.lock().unwrap().push(origin.map(<[u8]>::to_vec));
    }
    fn call_site(&self, _: u64, _: Option<&[u8]>) {}
    fn begin(&self, _: &[u8], session: bool, _: bool, timeout_ms: u32) -> Result<(), Saved> {
        self.note("begin");
        self.timeout.set((timeout_ms > 0).then(|| self.me.now_us() + u64::from(timeout_ms) * 1000));
        self.timed_out.set(false);
        self.hear("begin");
        if !session {
            self.pending.borrow_mut().clear();
        }
        self.in_session.set(session);
        self.try_step("begin")
    }
    fn read_at(&self, snapshot: &[u8]) -> Result<(), Saved> {
        self.note(&format!("read at {}", String::from_utf8_lossy(snapshot)));
        self.try_step("read_at")
    }
    fn timed_out(&self) -> bool {
        self.timed_out.get()
    }
    fn find_tasks(&self) {
        if let Some(table) = self.world.table() {
            self.worker.attach_tasks(table);
        }
    }
    fn kick(&self) {
        let Some(table) = self.world.table() else { return };
        self.worker.attach_tasks(table);
        let client = self.kicker.get_or_init(|| Client::nested(&self.world, self.me.clone(), self.key, 1));
        client.caller.tasks.attach(table);
        task::kick(client, &self.world.area, client.caller, i64::MAX);
    }
    fn append_file(&self, task: u64, bytes: &[u8]) -> Result<(), Saved> {
        self.try_step("append_file")?;
        self.world.files.lock().unwrap().entry(task).or_default().extend_from_slice(bytes);
        Ok(())
    }
    fn read_file(&self, task: u64, offset: u64, into: &mut [u8]) -> Result<(), Saved> {
        self.try_step("read_request")?;
        into.copy_from_slice(&self.world.files.lock().unwrap()[&task][offset as usize..][..into.len()]);
        Ok(())
    }
    fn drop_file(&self, task: u64) {
        self.pass("drop_file");
        self.world.files.lock().unwrap().remove(&task);
    }
    fn write_down(&self, index: u32, record: &[u8]) {
        self.world.journal.lock().unwrap().insert(index, record.to_vec());
    }
    fn session_state(&self) -> (u32, u64) {
        (self.identity.get().current_user, 0)
    }
    fn tag(&self) -> Vec<u8> {
        b"DONE".to_vec()
    }
    fn notifications(&self, sink: &mut dyn RowSink) -> Result<(), Saved> {
        self.try_step("notifications")?;
        sink.row(b"notified").map_err(|_| Saved)
    }
    fn parse(&self, command: &[u8]) -> Result<u32, Saved> {
        self.note("parse");
        self.try_step("parse")?;
        let command = String::from_utf8_lossy(command);
        let parsed: Vec<String> = command.split(';').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect();
        let count = parsed.len() as u32;
        *self.parsed.borrow_mut() = parsed;
        Ok(count)
    }
    fn prepare(&self, index: u32, _: &[Arg]) -> Result<Statement<usize>, Saved> {
        self.note("prepare");
        self.try_step("prepare")?;
        let changes = self.heard.get();
        self.hear("prepare");
        let text = self.parsed.borrow()[index as usize].clone();
        let refused = (text.starts_with("begin") || text == "rollback").then_some(Refusal::Transaction);
        if self.block.get() == Block::Failed && !matches!(text.as_str(), "commit" | "rollback") {
            return self.fail(FAILED_TRANSACTION, "current transaction is aborted");
        }
        let mut plans = self.plans.borrow_mut();
        let params = text.matches('$').count() as u32;
        plans.push(text);
        Ok(Statement { refused, cacheable: true, changes, params, plan: plans.len() - 1 })
    }
    fn keep_plan(&self, plan: usize) -> Result<(), Saved> {
        self.note("keep_plan");
        self.try_step("keep_plan")?;
        self.kept.borrow_mut().push(plan);
        Ok(())
    }
    fn drop_plan(&self, plan: usize) {
        self.note("drop_plan");
        let at = self.kept.borrow().iter().position(|p| *p == plan);
        self.kept.borrow_mut().swap_remove(at.expect("a plan is dropped once, and only if it was kept"));
    }
    fn catalog_changes(&self) -> u64 {
        self.heard.get()
    }
    fn lock_plan(&self, plan: usize) -> Result<u64, Saved> {
        self.note("lock_plan");
        self.try_step("lock_plan")?;
        assert!(self.kept.borrow().contains(&plan), "a plan that is dropped is not used");
        self.hear("lock_plan");
        Ok(self.heard.get())
    }
    fn run(&self, plan: usize, _: bool, args: &[Arg], output: Output, _: &[Column], sink: &mut dyn RowSink) -> Result<u64, Saved> {
        self.note("run");
        self.try_step("run")?;
        let named = |text: String, (i, arg): (usize, &Arg)| text.replace(&format!("${}", i + 1), &String::from_utf8_lossy(arg.data));
        let text = args.iter().enumerate().fold(self.plans.borrow()[plan].clone(), named);
        self.described.set(matches!(output, Output::Described | Output::Text));
        self.statement(&text, sink)
    }
    fn run_routine(&self, routine: &[u8], _: &[Arg], _: &[Column], sink: &mut dyn RowSink) -> Result<(), Saved> {
        self.note("run_routine");
        self.try_step("run_routine")?;
        self.statement(std::str::from_utf8(routine).unwrap(), sink).map(drop)
    }
    fn run_events(&self, _: &[u8], batch: &[u8]) -> Result<Ran, Saved> {
        self.note("run_events");
        self.pass("run_events");
        self.try_step("run_events")?;
        if self.world.is_open("unwanted") {
            return Ok(Ran::Unwanted);
        }
        self.pending.borrow_mut().push(format!("{batch:?}"));
        Ok(Ran::Done(Vec::new()))
    }
    fn record_chunk(&self, attempt: &[u8], processed: u64) -> Result<(), Saved> {
        self.note("record_chunk");
        self.pass("record_chunk");
        self.try_step("record_chunk")?;
        self.pending.borrow_mut().push(format!("{} is done, {processed} rows", String::from_utf8_lossy(attempt)));
        Ok(())
    }
    fn next_statement(&self, _: bool) -> Result<(), Saved> {
        self.note("next_statement");
        self.try_step("next_statement")?;
        if self.block.get() == Block::Ending { self.commit_now() } else { Ok(()) }
    }
    fn commit(&self) -> Result<(), Saved> {
        self.note("commit");
        self.timeout.set(None);
        self.try_step("commit")?;
        if matches!(self.block.get(), Block::None | Block::Ending) { self.commit_now() } else { Ok(()) }
    }
    fn abort(&self) {
        self.note("abort");
        self.timeout.set(None);
        self.pending.borrow_mut().clear();
        self.world.unlock(self.me.pid);
        self.block.set(match self.block.get() {
            Block::None | Block::Ending => Block::None,
            Block::Open | Block::Failed => Block::Failed,
        });
        self.worker.gate_aborted();
    }
    fn error(&self) -> Report {
        self.note("error");
        self.error.borrow().clone()
    }
    fn log(&self, _: &Report, _: bool) {
        self.note("log");
    }
    fn clean(&self, session_goes_on: bool) -> Result<bool, Saved> {
        if session_goes_on {
            self.note("rest");
            self.try_step("rest")?;
            return Ok(true);
        }
        self.in_session.set(false);
        self.block.set(Block::None);
        self.note("clean");
        self.try_step("clean")?;
        self.pass("clean");
        let intact = self.world.is_open("settings hold");
        if !intact {
            self.settings.borrow_mut().clear();
        }
        Ok(intact)
    }
    fn forget_cancel(&self) {
        self.note("forget_cancel");
        self.me.cancel.store(false, SeqCst);
    }
}

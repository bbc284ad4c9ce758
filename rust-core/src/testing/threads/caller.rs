//! The caller's side of the simulated world: a session, its host, and what it was told.

use super::process::of_any_process;
use super::worker::main;
use super::world::{Fault, Proc, World, parked, spawn};
use crate::caller::call::{self, Call};
use crate::caller::leave;
use crate::caller::process::CallerState;
use crate::error::Error;
use crate::host::{World as World_, *};
use crate::pool::borrow::Limits;
use crate::pool::slot::{Key, Lease, Owed, SlotState};
use crate::pool::waits::Blocker;
use crate::report::{Field, Report};
use crate::wire::message::Ending;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// Sleeps of one call that count as a hang.
const TOO_MANY_NAPS: u32 = 20_000;

/// How a call failed.
#[derive(Debug)]
pub enum ClientError {
    /// The host's own error, and the lines added to its DETAIL.
    Saved(String, Vec<String>),
    Report(Box<Report>),
}

impl ClientError {
    pub fn report(self) -> Report {
        match self {
            Self::Report(report) => *report,
            Self::Saved(..) => panic!("an error of the worker's or of the core's was expected: {self:?}"),
        }
    }

    /// All that was said about the transaction's fate.
    pub fn detail(&self) -> String {
        match self {
            Self::Saved(_, amended) => amended.join("\n"),
            Self::Report(report) => String::from_utf8_lossy(report.get(Field::Detail).unwrap_or_default()).into(),
        }
    }
}

pub fn text(report: &Report, field: Field) -> String {
    String::from_utf8_lossy(report.get(field).unwrap_or_default()).into()
}

type Script = Box<dyn FnMut(u32)>;
type Midwife = Box<dyn FnMut(u32, u64)>;

/// A backend with a session in it.
pub struct Client {
    pub world: Arc<World>,
    pub me: Arc<Proc>,
    pub caller: &'static CallerState,
    pub key: Key,
    pub limits: Limits,
    pub depth: u32,
    pub settings: RefCell<Vec<u8>>,
    pub rows: RefCell<Vec<Vec<u8>>>,
    pub relayed: RefCell<Vec<String>>,
    /// Played at each sleep, with its number: for tests that are both sides in one thread.
    pub script: RefCell<Option<Script>>,
    /// Played when a worker is to be launched, instead of launching it.
    pub midwife: RefCell<Option<Midwife>>,
    /// Played when the time is asked for.
    pub chime: RefCell<Option<Box<dyn FnMut()>>>,
    version: Cell<u64>,
    saved: RefCell<String>,
    amended: RefCell<Vec<String>>,
    naps: Cell<u32>,
    sleeps: Cell<u32>,
}

impl Client {
    pub fn new(world: &Arc<World>) -> Self {
        Self::of(world, world.fork(), Key { database: 5, user: 10, superuser: false })
    }

    pub fn of(world: &Arc<World>, me: Arc<Proc>, key: Key) -> Self {
        Self {
            world: world.clone(),
            me,
            caller: Box::leak(Box::new(CallerState::default())),
            key,
            limits: Limits { per_role: 0, per_session: 0, min_workers: 0, timeout_ms: 10_000_000, deadlock_ms: 1_000 },
            depth: 0,
            settings: RefCell::default(),
            rows: RefCell::default(),
            relayed: RefCell::default(),
            script: RefCell::default(),
            midwife: RefCell::default(),
            chime: RefCell::default(),
            version: Cell::new(1),
            saved: RefCell::default(),
            amended: RefCell::default(),
            naps: Cell::new(0),
            sleeps: Cell::new(0),
        }
    }

    /// A process that is a worker, as a caller.
    pub fn nested(world: &Arc<World>, me: Arc<Proc>, key: Key, depth: u32) -> Self {
        let mut client = Self::of(world, me, key);
        client.depth = depth;
        client
    }

    pub fn set(&self, settings: &[u8]) {
        *self.settings.borrow_mut() = settings.to_vec();
        self.version.set(self.version.get() + 1);
    }

    pub fn call(&self, command: &str) -> Result<u64, ClientError> {
        self.call_as(command, |_| {})
    }

    /// A call, changed by `adjust`; rows processed.
    pub fn call_as(&self, command: &str, adjust: impl FnOnce(&mut Call)) -> Result<u64, ClientError> {
        self.ending_as(command, adjust).map(|ending| ending.processed)
    }

    /// The same; how its last statement ended.
    pub fn ending_as(&self, command: &str, adjust: impl FnOnce(&mut Call)) -> Result<Ending, ClientError> {
        self.ask(command, |call| {
            adjust(call);
            call::run(self, &self.world.area, self.caller, call)
        })
    }

    /// Whatever a SQL function of ours does.
    pub fn ask<T>(&self, command: &str, run: impl FnOnce(&mut Call) -> Result<T, Error>) -> Result<T, ClientError> {
        self.naps.set(0);
        self.sleeps.set(0);
        self.amended.borrow_mut().clear();
        self.rows.borrow_mut().clear();
        self.find_tasks();
        let settings = self.settings.borrow().clone();
        let user = self.key.user;
        let mut call = Call {
            kind: 0,
            output: Output::Rows,
            key: self.key,
            restricted: false,
            held_off: false,
            depth: self.depth,
            max_depth: 8,
            limits: self.limits,
            poll_us: 0,
            nap_ms: 10,
            identity: Identity { session_user: user, role: 0, current_user: user, security_context: 0, database: self.key.database },
            command: Some(command.as_bytes()),
            settings: &settings,
            settings_version: self.version.get(),
            origin: b"origin",
            origin_version: u64::from(self.me.pid),
            xid: 0,
            stack: None,
            snapshot: None,
            args: Vec::new(),
            columns: Vec::new(),
            routine: None,
        };
        let result = run(&mut call);
        if self.me.die.load(SeqCst) && self.depth == 0 {
            self.exit();
        }
        result.map_err(|failed| match failed {
            Error::Saved => ClientError::Saved(self.saved.take(), self.amended.take()),
            Error::Report(report) => ClientError::Report(report),
        })
    }

    fn find_tasks(&self) {
        if let Some(table) = self.world.table() {
            self.caller.tasks.attach(table);
        }
    }

    /// FATAL: the exit callbacks run above frames that are never returned to.
    pub fn exit(&self) -> ! {
        self.leave();
        parked()
    }

    /// The exit callbacks, and the end.
    pub fn leave(&self) {
        self.end_transaction(false);
        self.world.unlock(self.me.pid);
        leave::leave(self, &self.world.area, self.caller);
        self.me.gone.store(true, SeqCst);
    }

    fn keep(&self, error: &str) -> Saved {
        *self.saved.borrow_mut() = error.into();
        Saved
    }

    fn try_step(&self, step: &'static str) -> Result<(), Saved> {
        match self.world.step(step) {
            None => Ok(()),
            Some(Fault::Fail) => Err(self.keep(&format!("injected at {step}"))),
            Some(Fault::Die) if self.depth == 0 => self.exit(),
            Some(Fault::Die) => Ok(()),
        }
    }

    fn nap(&self, timeout_ms: u32) -> Slept {
        self.naps.set(self.naps.get() + 1);
        assert!(self.naps.get() < TOO_MANY_NAPS, "the call hangs");
        self.me.nap(timeout_ms)
    }

    /// What CHECK_FOR_INTERRUPTS does.
    fn interrupts(&self) -> Result<(), Saved> {
        if self.me.die.load(SeqCst) && self.depth == 0 {
            self.exit();
        }
        if self.me.die.load(SeqCst) || self.me.cancel.swap(false, SeqCst) || self.world.by_chance(100) {
            return Err(self.keep("canceling statement due to user request"));
        }
        Ok(())
    }
}

impl World_ for Client {
    of_any_process!();
    fn timestamp(&self) -> i64 {
        if let Ok(mut chime) = self.chime.try_borrow_mut()
            && let Some(chime) = &mut *chime
        {
            chime();
        }
        self.me.timestamp()
    }
    fn sleep(&self, timeout_ms: u32) -> Result<Slept, Saved> {
        self.try_step("sleep")?;
        self.sleeps.set(self.sleeps.get() + 1);
        if let Some(script) = &mut *self.script.borrow_mut() {
            script(self.sleeps.get());
        }
        self.interrupts()?;
        let slept = self.nap(timeout_ms);
        self.interrupts()?;
        Ok(slept)
    }
    fn doze(&self, timeout_ms: u32) -> Slept {
        self.nap(timeout_ms)
    }
}

impl CallerHost for Client {
    fn launch(&self, slot: u32, generation: u64, key: Key) -> Result<Launch, Saved> {
        self.try_step("launch")?;
        let running = self.world.launched.lock().unwrap().values().filter(|p| !p.gone.load(SeqCst)).count();
        if running as u32 >= self.world.max_worker_processes.load(SeqCst) {
            return Ok(Launch::NoWorkerSlot);
        }
        if let Some(midwife) = &mut *self.midwife.borrow_mut() {
            midwife(slot, generation);
            return Ok(Launch::Started);
        }
        let (world, me) = (self.world.clone(), self.world.fork());
        self.world.launched.lock().unwrap().insert(slot, me.clone());
        // Decided here, so that launches are counted in their order.
        let stillborn = world.step("start").is_some();
        let refusal = world.refusal.lock().unwrap().clone();
        spawn(move || {
            refusal.hold();
            main(world, me, stillborn, Lease { slot, generation }, key);
        });
        Ok(Launch::Started)
    }
    fn launch_failed(&self, slot: u32) -> bool {
        self.world.launched.lock().unwrap().get(&slot).is_none_or(|p| p.gone.load(SeqCst))
    }
    fn make_room(&self) -> bool {
        // One that has said that it leaves may not have gone yet, or just now.
        let stays = |(slot, process): (&u32, &Arc<Proc>)| {
            !process.gone.load(SeqCst) && self.world.area.slots[*slot as usize].state().0 != SlotState::Free
        };
        let staying = self.world.launched.lock().unwrap().iter().filter(|launched| stays(*launched)).count();
        if (staying as u32) < self.world.max_worker_processes.load(SeqCst) {
            return false;
        }
        // Who was asked leaves at once.
        let spare = self.world.spare_processes.fetch_update(SeqCst, SeqCst, |spare| spare.checked_sub(1)).is_ok();
        if spare {
            self.world.max_worker_processes.fetch_add(1, SeqCst);
        }
        spare
    }
    fn wait_slot(&self, timeout_ms: u32) -> Result<Slept, Saved> {
        self.try_step("wait_slot")?;
        self.interrupts()?;
        if !self.me.enlisted.swap(true, SeqCst) {
            return Ok(Slept::Woken);
        }
        let slept = self.nap(timeout_ms);
        self.interrupts()?;
        Ok(slept)
    }
    fn end_wait_slot(&self) {
        self.me.enlisted.store(false, SeqCst);
    }
    fn signal_slot(&self) {
        self.world.signal_waiters();
    }
    fn interrupt(&self, pid: u32, terminate: bool) {
        self.world.signal(pid, terminate);
    }
    fn alive(&self, pid: u32) -> bool {
        self.world.alive(pid)
    }
    fn lock_wait(&self, pid: u32) -> Option<u64> {
        let blocker = self.world.by_pid(pid).map_or(0, |p| p.waits_for.load(SeqCst));
        (blocker != 0).then_some(u64::from(blocker))
    }
    fn blockers(&self, pid: u32) -> Result<Option<Vec<Blocker>>, Saved> {
        self.try_step("blockers")?;
        let blocker = self.world.by_pid(pid).map_or(0, |p| p.waits_for.load(SeqCst));
        let wait = || format!("Process {pid} waits for a lock of process {blocker}.").into_bytes();
        Ok((blocker != 0).then(|| vec![Blocker { pid: blocker, wait: wait() }]))
    }
    fn pin_wait(&self, pid: u32) -> bool {
        self.world.by_pid(pid).is_some_and(|p| p.waits_for_pin.load(SeqCst) != 0)
    }
    fn group(&self, pid: u32) -> Vec<u32> {
        self.world.groups.lock().unwrap().get(&pid).cloned().unwrap_or_default()
    }
    fn activity(&self, pid: u32) -> Option<Vec<u8>> {
        Some(format!("query of {pid}").into_bytes())
    }
    fn outcome(&self, xid: u64) -> XactStatus {
        if self.world.outcome_unknown.load(SeqCst) {
            return XactStatus::Unknown;
        }
        let committed = self.world.commits.lock().unwrap().iter().any(|(x, _)| *x == xid);
        if committed { XactStatus::Committed } else { XactStatus::Aborted }
    }
    fn relay(&self, message: &Report) -> Result<(), Saved> {
        self.try_step("relay")?;
        self.relayed.borrow_mut().push(text(message, Field::Message));
        Ok(())
    }
    fn row(&self, tuple: &[u8]) -> Result<(), Saved> {
        self.try_step("row")?;
        self.rows.borrow_mut().push(tuple.to_vec());
        Ok(())
    }
    fn texts(&self, tuple: &[u8], columns: usize) -> Result<Vec<Option<Vec<u8>>>, Saved> {
        self.try_step("texts")?;
        let mut texts: Vec<_> = tuple.split(|byte| *byte == b'|').map(|text| Some(text.to_vec())).collect();
        texts.resize(columns, None);
        Ok(texts)
    }
    fn describe(&self, columns: &[Column]) -> Result<(), Saved> {
        self.try_step("describe")?;
        self.rows.borrow_mut().clear();
        self.rows.borrow_mut().push(columns.iter().flat_map(|c| c.name.to_vec()).collect());
        Ok(())
    }
    fn complete(&self, _: &Ending) -> Result<(), Saved> {
        self.try_step("complete")
    }
    fn may_act_for(&self, role: u32) -> Result<bool, Saved> {
        self.try_step("may_act_for")?;
        Ok(role == self.key.user)
    }
    fn write_file(&self, task: u64, bytes: &[u8]) -> Result<(), Saved> {
        self.try_step("write_file")?;
        self.world.files.lock().unwrap().insert(task, bytes.to_vec());
        Ok(())
    }
    fn read_file(&self, task: u64, offset: u64, into: &mut [u8]) -> Result<(), Saved> {
        self.try_step("read_file")?;
        into.copy_from_slice(&self.world.files.lock().unwrap()[&task][offset as usize..][..into.len()]);
        Ok(())
    }
    fn drop_file(&self, task: u64) {
        self.world.files.lock().unwrap().remove(&task);
    }
    fn write_down(&self, index: u32, record: &[u8]) {
        self.world.journal.lock().unwrap().insert(index, record.to_vec());
    }
    fn await_commit(&self, owed: Owed) -> Result<(), Saved> {
        self.world.flushed.lock().unwrap().push((owed.position, owed.level));
        self.try_step("await")
    }
    fn amend(&self, detail: &str) {
        self.amended.borrow_mut().push(detail.into());
    }
}

/// The pid of the worker that serves a process, once it does.
pub fn worker_of(world: &World, caller: u32) -> Option<Arc<Proc>> {
    let mine = |s: &&crate::pool::slot::Slot| s.state().0 == SlotState::Busy && s.caller_pid.load(SeqCst) == caller;
    world.by_pid(world.area.slots.iter().find(mine)?.worker_pid.load(SeqCst))
}

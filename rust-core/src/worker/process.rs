//! What a worker process knows of itself, and what the server's callbacks tell it: a commit begins or is done, the process exits.

use super::reply::Reply;
use crate::host::{Bounds, Mode, WorkerHost, World};
use crate::pool::area::Area;
use crate::pool::poll::Poller;
use crate::pool::slot::{Owed, SlotState};
use crate::task::dispatch::give_up_turn;
use crate::task::{Table, Ticket};
use crate::wire::frame::Kind;
use crate::wire::message::{Ending, Stamp};
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::*;

/// What this process knows of itself as a worker. Reached from the main loop, from the server's
/// callbacks (commit gate, messages, exit) and by nested calls, all in one thread: hence cells.
#[derive(Debug)]
pub struct Worker<'a> {
    pub(super) area: Area<'a>,
    pub(super) slot: Cell<u32>,
    /// Generation being served; 0 while idle.
    pub(super) generation: Cell<u64>,
    pub(super) attached: Cell<Option<u64>>,
    pub(super) launched_for: Cell<u64>,
    pub(super) depth: Cell<u32>,
    /// Commits pass the gate only while a request's own transaction runs.
    pub(super) gated: Cell<bool>,
    /// How the request ended, to be told to the caller as soon as the commit is visible and its locks are released.
    pub(super) result: RefCell<Option<Ending>>,
    /// A session keeps this worker.
    pub(super) in_session: Cell<bool>,
    pub(super) tasks: Cell<Option<Table<'a>>>,
    /// The task that runs.
    pub(super) task: Cell<Option<Ticket>>,
    /// The caller has been told, and may have given the lease back.
    pub(super) told: Cell<bool>,
    /// Others may have read that they wait for a pin of this process.
    pub(super) told_pins: Cell<bool>,
    /// The commit under way is the request's last, though its result is told later.
    pub(super) last_commit: Cell<bool>,
    /// The request's last commit is done, and the caller is to be told so whatever comes after it.
    pub(super) committed: Cell<bool>,
    pub(super) reply: RefCell<Option<Reply<'a>>>,
    /// What the running request is part of.
    pub(super) mode: Cell<Mode>,
    /// What may still be sent of its rows and messages.
    pub(super) room: Cell<Bounds>,
    /// The running command says who runs it and when, in front of its end too; what it has come to.
    pub(super) stamp: Cell<Option<Stamp>>,
    pub(super) poller: Poller,
    pub(super) poll_us: Cell<u32>,
}

impl<'a> Worker<'a> {
    /// There is a table of tasks.
    pub fn attach_tasks(&self, table: Table<'a>) {
        self.tasks.set(Some(table));
    }

    /// The lease for which this process was launched.
    pub(super) fn attached_as(&self) -> u64 {
        self.launched_for.get()
    }

    /// The task that this process runs; 0: none.
    pub fn running_task(&self) -> u64 {
        self.task.get().map_or(0, |ticket| ticket.id)
    }

    pub fn new(area: Area<'a>) -> Self {
        Self {
            area,
            slot: Cell::new(u32::MAX),
            generation: Cell::new(0),
            attached: Cell::new(None),
            launched_for: Cell::new(0),
            depth: Cell::new(0),
            gated: Cell::new(false),
            result: RefCell::new(None),
            in_session: Cell::new(false),
            tasks: Cell::new(None),
            task: Cell::new(None),
            told: Cell::new(false),
            told_pins: Cell::new(false),
            last_commit: Cell::new(false),
            committed: Cell::new(false),
            reply: RefCell::new(None),
            mode: Cell::default(),
            room: Cell::default(),
            stamp: Cell::new(None),
            poller: Poller::default(),
            poll_us: Cell::new(0),
        }
    }

    /// Autonomous transactions that the running command is part of.
    pub fn depth(&self) -> u32 {
        self.depth.get()
    }

    pub(super) fn caller_pid(&self) -> u32 {
        self.area.slot(self.slot.get()).map_or(0, |slot| slot.caller_pid.load(Relaxed))
    }

    /// Before a commit: may it go on?
    pub fn gate_pre_commit(&self, xid: u64) -> bool {
        match self.area.slot(self.slot.get()) {
            Some(slot) if self.gated.get() => slot.gate.commit(self.generation.get(), xid, self.last_commit.get()),
            _ => true,
        }
    }

    /// May the commit that is about to be written be waited for by who called? Whoever does not wait, or goes on within the
    /// transaction's session, might never do so.
    pub fn caller_waits(&self) -> bool {
        let called = matches!(*self.reply.borrow(), Some(Reply::Caller(_))) && self.mode.get() == Mode::OneShot;
        called && self.gated.get() && self.last_commit.get()
    }

    /// It has been written, and nobody has waited for it.
    pub fn owe(&self, owed: Owed) {
        if let Some(slot) = self.area.slot(self.slot.get()) {
            slot.owe(owed);
        }
    }

    /// After it; true: the command was cancelled meanwhile, and is to end.
    pub fn gate_committed(&self) -> bool {
        match self.area.slot(self.slot.get()) {
            Some(slot) if self.gated.get() => slot.gate.committed(self.generation.get()),
            _ => false,
        }
    }

    /// The commit is visible and holds no locks any more: the caller need not wait for the rest.
    pub fn commit_settled<H: World>(&self, h: &H) {
        let Some(ending) = self.result.try_borrow_mut().ok().and_then(|mut result| result.take()) else { return };
        self.told.set(true);
        self.send_stamp(h);
        match ending.tag {
            None => self.send(h, Kind::Done, &[ending.processed]),
            Some(_) => self.send(h, Kind::Done, &ending.encode()),
        }
        // The caller may be gone and the ring be another's: nothing more is said on it.
        self.silence();
    }

    /// From now on the running command says who runs it, and when.
    pub(super) fn begin_stamps<H: World>(&self, h: &H) {
        self.stamp.set(Some(Stamp { pid: h.my_pid(), ..Stamp::default() }));
        self.send_stamp(h);
    }

    pub(super) fn send_stamp<H: World>(&self, h: &H) {
        if let Some(stamp) = self.stamp.get() {
            self.send(h, Kind::Stamp, &Stamp { at: h.timestamp(), ..stamp }.encode());
        }
    }

    /// What runs was cancelled because its time had passed: the error says so.
    pub(super) fn told_of_timeout<H: WorkerHost>(&self, h: &H, verb: &str) -> Option<String> {
        if !h.timed_out() {
            return None;
        }
        let what = match (self.mode.get(), self.task.get()) {
            (_, Some(_)) => "task due to aside.task_timeout",
            (Mode::Events, None) => "event handler due to its timeout",
            _ => "command due to its timeout",
        };
        self.stamp.set(self.stamp.get().map(|stamp| Stamp { timed_out: true, ..stamp }));
        Some(format!("{verb} {what}"))
    }

    /// How many transactions the running request has committed.
    pub(super) fn commits(&self) -> u64 {
        self.area.slot(self.slot.get()).map_or(0, |slot| slot.gate.progress().0)
    }

    pub fn gate_aborted(&self) {
        if let (Some(slot), true) = (self.area.slot(self.slot.get()), self.gated.get()) {
            slot.gate.reopen(self.generation.get());
        }
    }

    /// Was the running request cancelled to break a deadlock?
    pub fn deadlocked(&self) -> bool {
        self.gated.get() && self.area.slot(self.slot.get()).is_some_and(|slot| slot.gate.deadlock(self.generation.get()))
    }

    /// The process exits: free the slot, or leave that to a caller that still looks at it.
    pub fn leave<H: WorkerHost>(&self, h: &H) {
        let (Some(slot), Some(_)) = (self.area.slot(self.slot.get()), self.attached.take()) else { return };
        slot.detach();
        self.forget_pins(h);
        if let Some(tasks) = self.tasks.get() {
            give_up_turn(h, &self.area, &tasks);
        }
        loop {
            let (state, generation) = slot.state();
            let done = match state {
                SlotState::Busy => slot.change(generation, SlotState::Busy, SlotState::Dead),
                SlotState::Free | SlotState::Dead => break,
                SlotState::Tasked => {
                    self.exit_with_task(h, slot, generation);
                    let done = self.area.untask(slot, generation, SlotState::Free);
                    // One that was taken for this slot meanwhile.
                    self.exit_with_task(h, slot, generation);
                    done
                }
                other => slot.change(generation, other, SlotState::Free),
            };
            if !done {
                continue;
            }
            if state == SlotState::Busy {
                if slot.abandoned(generation) {
                    self.area.release(slot, generation);
                }
                slot.wake_caller(h);
            }
            break;
        }
        h.signal_slot();
    }

    /// Take the place that was kept for this worker; false: it was given away.
    pub fn attach<H: World>(&self, h: &H, index: u32, generation: u64) -> bool {
        let Some(slot) = self.area.slot(index) else { return false };
        if !slot.attach(generation, h.my_pid(), h.my_proc(), h.timestamp()) {
            return false;
        }
        self.slot.set(index);
        self.attached.set(Some(generation));
        self.launched_for.set(generation);
        // What dies from here on has its last words heard.
        *self.reply.borrow_mut() = match slot.state().0 {
            SlotState::Busy => Some(Reply::Caller(self.area.reply_ring(index).writer())),
            SlotState::Tasked => Some(Reply::Task(Box::default())),
            _ => None,
        };
        self.generation.set(generation);
        true
    }

    /// This process runs nothing, or waits for its caller to read: say who waits for a pin of its.
    pub(super) fn tell_pins<H: World>(&self, h: &H) {
        self.told_pins.set(self.area.tell_pins(h, self.told_pins.get()));
    }

    pub(super) fn forget_pins<H: World>(&self, h: &H) {
        if self.told_pins.take() {
            self.area.forget_pins(h.my_pid());
        }
    }
}

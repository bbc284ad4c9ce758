//! A worker's life: wait for a request, serve it, clean up, wait again; leave when idle for long,
//! when retired, when told to.
//!
//! It sleeps on its latch and nothing else. Whoever posts a request, retires it, abandons a lease or
//! closes the pool sets that latch after having written the word it is to see.

use super::events::execute_events;
use super::plan_cache::PlanCache;
use super::reply::{Reply, Rows};
use super::request::{execute, execute_command, execute_in_session};
use crate::error::Error;
use crate::host::{Bounds, Mode, Slept, WorkerConfig, WorkerHost, World};
use crate::memory::{self, SMALL};
use crate::pool::area::Area;
use crate::pool::poll::Poller;
use crate::pool::slot::{Ended, Slot, SlotState};
use crate::report::*;
use crate::task::dispatch::give_up_turn;
use crate::task::{Table, Ticket};
use crate::wire::codec::Unread;
use crate::wire::frame::{self, Broken, Kind};
use crate::wire::message::{Ending, Request, Stamp, encode_report, short_error};
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::*;

/// Longest sleep while a caller is expected to act.
pub(super) const TICK_MS: u32 = 100;
/// An idle worker looks again this long after its last request, and then only when it is to leave.
const SETTLED_MS: u64 = 1_100;
/// Request buffers larger than this (in words) are not kept.
const KEEP_WORDS: usize = 32 * 1024;

/// What this process knows of itself as a worker. Reached from the main loop, from the server's
/// callbacks (commit gate, messages, exit) and by nested calls, all in one thread: hence cells.
#[derive(Debug)]
pub struct Worker<'a> {
    pub(super) area: Area<'a>,
    pub(super) slot: Cell<u32>,
    /// Generation being served; 0 while idle.
    pub(super) generation: Cell<u64>,
    attached: Cell<Option<u64>>,
    launched_for: Cell<u64>,
    pub(super) depth: Cell<u32>,
    /// Commits pass the gate only while a request's own transaction runs.
    gated: Cell<bool>,
    /// How the request ended, to be told to the caller as soon as the commit is visible and its locks are released.
    pub(super) result: RefCell<Option<Ending>>,
    /// A session keeps this worker.
    in_session: Cell<bool>,
    pub(super) tasks: Cell<Option<Table<'a>>>,
    /// The task that runs.
    pub(super) task: Cell<Option<Ticket>>,
    /// The caller has been told, and may have given the lease back.
    told: Cell<bool>,
    /// Others may have read that they wait for a pin of this process.
    told_pins: Cell<bool>,
    /// The commit under way is the request's last, though its result is told later.
    pub(super) last_commit: Cell<bool>,
    /// The request's last commit is done, and the caller is to be told so whatever comes after it.
    pub(super) committed: Cell<bool>,
    pub(super) reply: RefCell<Option<Reply<'a>>>,
    /// What the running request is part of.
    mode: Cell<Mode>,
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

    fn send_stamp<H: World>(&self, h: &H) {
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
                h.wake(slot.caller_proc());
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

    /// Serve the slot until it is time to leave.
    pub fn run<H: WorkerHost>(&self, h: &H) {
        let Some(slot) = self.area.slot(self.slot.get()) else { return };
        let mut served = self.attached.get().unwrap_or(0) - 1;
        self.reply.take();
        if slot.change(served + 1, SlotState::Starting, SlotState::Idle) {
            served += 1;
            h.signal_slot();
        }
        let mut plans = PlanCache::default();
        let mut buffer = Vec::new();
        while let Some(generation) = self.next(h, slot, served) {
            served = generation;
            let fit = match slot.state().0 {
                SlotState::Tasked => self.serve_task(h, slot, generation, &mut plans, &mut buffer),
                _ => self.serve(h, slot, generation, &mut plans, &mut buffer),
            };
            if !fit {
                return;
            }
            if buffer.capacity() > KEEP_WORDS {
                buffer = Vec::new();
            }
        }
    }

    /// Wait for a request; None: leave.
    fn next<H: WorkerHost>(&self, h: &H, slot: &Slot, served: u64) -> Option<u64> {
        let config = h.config();
        self.poll_us.set(config.poll_us);
        let idle_since = h.now_us();
        let posted = || slot.posted() > served;
        if !posted() {
            self.poller.poll(h, self.area.busy().max(1), config.poll_us, posted);
        }
        loop {
            if posted() {
                self.forget_pins(h);
                return h.idle(false).then(|| slot.posted());
            }
            let (state, generation) = slot.state();
            match state {
                SlotState::Retiring | SlotState::Free | SlotState::Dead => return None,
                SlotState::Busy | SlotState::Held if slot.abandoned(generation) => {
                    if !self.end_session(h, slot) {
                        return None;
                    }
                    if self.area.release(slot, generation) || slot.change(generation, SlotState::Held, SlotState::Idle) {
                        h.signal_slot();
                    }
                    continue;
                }
                SlotState::Idle if !self.end_session(h, slot) => return None,
                SlotState::Idle if self.area.header.closing.load(SeqCst) != 0 => return None,
                _ => {}
            }
            if self.tasks.get().is_none_or(|tasks| tasks.some_queued()) {
                h.kick();
            }
            if posted() {
                continue;
            }
            if !h.idle(true) {
                return None;
            }
            if self.in_session.get() {
                self.tell_pins(h);
            }
            let config = h.config();
            let idle_ms = h.now_us().saturating_sub(idle_since) / 1000;
            let session_left = self.session_left(&config, idle_ms);
            if session_left == Some(0) {
                if !self.expire(h, slot, state, generation) {
                    return None;
                }
                continue;
            }
            let left = u64::from(config.idle_timeout_ms).saturating_sub(idle_ms);
            if left == 0 && self.others(slot) >= config.min_workers && slot.change(generation, SlotState::Idle, SlotState::Retiring) {
                // Others may have counted us as we counted them: look again now that they do not.
                if self.others(slot) >= config.min_workers {
                    return None;
                }
                slot.change(generation, SlotState::Retiring, SlotState::Idle);
                h.signal_slot();
            }
            // Soon after a request once more, for what the host puts off while there is much to do; and
            // a worker that stays looks again now and then, as others may have come meanwhile.
            let longest = if idle_ms < SETTLED_MS { SETTLED_MS } else { left };
            let longest = (longest as u32).max(TICK_MS * 10);
            h.doze(session_left.map_or(longest, |left| longest.min(left)));
        }
    }

    /// For how long the session that keeps this worker may still be idle; None: for ever, or there is none.
    fn session_left(&self, config: &WorkerConfig, idle_ms: u64) -> Option<u32> {
        let limits = [config.session_idle_ms, config.block_idle_ms].into_iter().filter(|limit| *limit > 0);
        let limit = limits.min().filter(|_| self.in_session.get())?;
        Some(u64::from(limit).saturating_sub(idle_ms) as u32)
    }

    /// A session was idle for too long: it is over, and its owner finds that out; false: leave. Not if its next
    /// command comes first.
    fn expire<H: WorkerHost>(&self, h: &H, slot: &Slot, state: SlotState, generation: u64) -> bool {
        match state {
            SlotState::Held => {
                slot.expire(generation);
                if !slot.change(generation, SlotState::Held, SlotState::Retiring) {
                    return true;
                }
                let fit = self.end_session(h, slot);
                if fit && slot.change(generation, SlotState::Retiring, SlotState::Idle) {
                    h.signal_slot();
                }
                fit
            }
            // Its results wait to be read; whether its owner does at this moment, the slot says to both.
            SlotState::Busy if slot.finished(generation).is_some() => {
                slot.expire(generation);
                false
            }
            _ => true,
        }
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

    /// Workers of the same key that stay. One that is leaving may yet change its mind, but not counting it
    /// is what makes the last of several that leave at once see all the others.
    fn others(&self, slot: &Slot) -> u32 {
        let stays = |other: &Slot| matches!(other.state().0, SlotState::Idle | SlotState::Busy | SlotState::Starting | SlotState::Held);
        let same = |(index, other): &(usize, &Slot)| *index as u32 != self.slot.get() && other.key() == slot.key();
        self.area.slots.iter().enumerate().filter(|s| same(s) && stays(s.1)).count() as u32
    }

    /// Serve one request and clean up after it; false: this process is not fit for another one.
    fn serve<H: WorkerHost>(&self, h: &H, slot: &Slot, generation: u64, plans: &mut PlanCache<H::Plan>, buffer: &mut Vec<u64>) -> bool {
        let index = self.slot.get();
        self.generation.set(generation);
        slot.take(generation);
        // Counted before the caller is answered, which may be early.
        slot.calls.fetch_add(1, Relaxed);
        *self.reply.borrow_mut() = Some(Reply::Caller(self.area.reply_ring(index).writer()));
        let mut reader = self.area.request_ring(index).reader();
        let mut fit = true;
        let answer = loop {
            let read = frame::read(&mut reader, buffer, |_, reader| {
                h.wake(slot.caller_proc());
                while reader.available() == 0 {
                    if slot.abandoned(generation) || slot.gate.cancelled(generation) || h.terminating() {
                        return Err(());
                    }
                    h.doze(TICK_MS);
                }
                Ok(())
            });
            reader.release();
            let request = match read {
                Ok((Kind::Request, _)) => memory::look_for(SMALL, "a request").map_err(Unread::from).and_then(|()| Request::decode(buffer)),
                Ok(_) | Err(Broken::Malformed) => Err(Unread::Malformed),
                Err(Broken::Stopped(())) => break Err(None),
                Err(Broken::NoMemory(no)) => Err(Unread::NoMemory(no)),
            };
            let request = match request {
                Ok(request) => request,
                Err(Unread::NoMemory(no)) => break Err(Some(Box::new(Report::out_of_memory(no)))),
                Err(Unread::Malformed) => {
                    break Err(Some(Box::new(Report::error(PROTOCOL_VIOLATION, "worker received a request that it does not understand"))));
                }
            };
            if matches!(request.mode, Mode::OneShot | Mode::Open | Mode::Events | Mode::Command) {
                // An owner that went in the middle of opening a session.
                fit &= self.end_session(h, slot);
                if slot.settings() != request.settings_hash && request.settings.is_none() {
                    self.send(h, Kind::SettingsWanted, &[]);
                    continue;
                }
            }
            break self.transact(h, slot, generation, plans, &request, &mut fit).map_err(Some);
        };
        // What the command left, a lock above all, is not to be met by whoever goes on when it is answered.
        fit &= self.clean(h, slot);
        let ended = if answer.is_ok() { Ended::Well } else { Ended::Badly };
        if ended == Ended::Badly {
            slot.errors.fetch_add(1, Relaxed);
        }
        match answer {
            Ok(()) => {
                if !self.told.get() && self.result.borrow().is_none() {
                    // Nothing was run.
                    self.result.replace(Some(Ending { last: true, ..Ending::default() }));
                }
                self.commit_settled(h);
            }
            Err(Some(report)) => self.fail(h, &report),
            Err(None) => {}
        }
        self.reply.take();
        slot.last_used.store(h.timestamp(), Relaxed);
        slot.finish(generation, ended);
        // Who waits for this has cancelled; who got an answer may be asleep over something else by now.
        if slot.gate.cancelled(generation) {
            h.wake(slot.caller_proc());
        }
        if slot.gate.cancelled(generation) || slot.signalled(generation) {
            self.outlast_cancel(h, slot, generation);
        }
        self.generation.set(0);
        self.depth.set(0);
        fit
    }

    /// Drop what the request, or its whole tenancy, left; false: this process is not fit for another one.
    pub(super) fn clean<H: WorkerHost>(&self, h: &H, slot: &Slot) -> bool {
        match h.clean(self.in_session.get()) {
            Ok(true) => true,
            Ok(false) => {
                slot.set_settings([0, 0]);
                true
            }
            Err(_) => false,
        }
    }

    /// The session that kept this worker is over, if there was one.
    pub(super) fn end_session<H: WorkerHost>(&self, h: &H, slot: &Slot) -> bool {
        if !self.in_session.replace(false) {
            return true;
        }
        h.abort();
        self.depth.set(0);
        self.clean(h, slot)
    }

    /// The bracket: settings and identity, transaction. The error is still to be sent, and the result
    /// too unless it was told already.
    pub(super) fn transact<H: WorkerHost>(
        &self,
        h: &H,
        slot: &Slot,
        generation: u64,
        plans: &mut PlanCache<H::Plan>,
        request: &Request,
        fit: &mut bool,
    ) -> Result<(), Box<Report>> {
        self.depth.set(request.depth);
        slot.depth.store(request.depth, Relaxed);
        self.mode.set(request.mode);
        self.room.set(request.bounds);
        self.stamp.set(None);
        if request.mode.is_a_login() && h.outdated().unwrap_or(false) {
            *fit = false;
            return Err(Box::new(Report::error(CANNOT_CONNECT_NOW, "the settings of the role have changed since this worker began")));
        }
        let applied = slot.settings() == request.settings_hash;
        let settings = if applied { None } else { request.settings };
        if settings.is_some() {
            slot.set_settings([0, 0]);
        }
        if slot.origin() != request.origin_version {
            slot.set_origin(0);
            h.origin(request.origin);
            slot.set_origin(request.origin_version);
        }
        h.call_site(request.caller_xid, request.stack);
        self.gated.set(false);
        self.told.set(false);
        self.committed.set(false);
        let result = match request.mode {
            // Who cancels without waiting signals once, and that may have been before this request was begun.
            mode if mode != Mode::Close && slot.gate.cancelled(generation) => Err(cancelled().into()),
            Mode::OneShot | Mode::Open | Mode::Events | Mode::Command => {
                h.adopt(&request.identity, settings).map_err(Error::from).and_then(|()| {
                    if settings.is_some() {
                        slot.set_settings(request.settings_hash);
                    }
                    if request.mode == Mode::Open {
                        self.in_session.set(true);
                        return Ok(());
                    }
                    self.gated.set(true);
                    match request.mode {
                        Mode::Events => return execute_events(h, self, slot, request, fit),
                        Mode::Command => return execute_command(h, self, slot, request),
                        _ => {}
                    }
                    execute(h, self, plans, request, h.config().plan_cache_size as usize)
                })
            }
            Mode::Session => {
                self.gated.set(true);
                execute_in_session(h, self, plans, request, h.config().plan_cache_size as usize)
            }
            Mode::Notifications => h.notifications(&mut Rows { worker: self, h }).map_err(Error::from),
            Mode::Close => {
                *fit &= self.end_session(h, slot);
                Ok(())
            }
        };
        let answer = match result {
            Ok(()) => Ok(()),
            Err(failed) if self.told.get() || self.committed.get() => {
                // Committed, and then something failed that the server does not expect to fail.
                failed.logged(h, self, false);
                h.abort();
                *fit = false;
                Ok(())
            }
            Err(failed) => {
                self.result.take();
                let mut report = failed.logged(h, self, slot.gate.deadlock(generation));
                h.abort();
                if report.severity >= Severity::Fatal {
                    *fit = false;
                }
                // Who reads the results of what was sent before does not have the command any more.
                if request.mode == Mode::Session && request.tells_statements_apart() || request.mode == Mode::Command {
                    report = Box::new(report.within(request.command));
                }
                Err(report)
            }
        };
        self.gated.set(false);
        slot.gate.reopen(generation);
        answer
    }

    fn fail<H: WorkerHost>(&self, h: &H, report: &Report) {
        let mut words = Vec::new();
        self.send_stamp(h);
        match encode_report(report, &mut words) {
            Ok(()) => self.send(h, Kind::Error, &words),
            Err(_) => self.send(h, Kind::Error, &short_error(report.sqlstate)),
        }
    }

    /// A caller that cancels signals this process until it sees the end; only then is it safe to
    /// forget the signals, and to be lent to somebody else.
    pub(super) fn outlast_cancel<H: WorkerHost>(&self, h: &H, slot: &Slot, generation: u64) {
        let waits = || !slot.abandoned(generation) && !slot.signalled(generation) && !h.terminating();
        while (slot.state() == (SlotState::Busy, generation) && waits()) || slot.signals_coming(generation) {
            if h.doze(TICK_MS) == Slept::TimedOut {
                h.wake(slot.caller_proc());
            }
        }
        h.forget_cancel();
    }
}

fn cancelled() -> Report {
    Report::error(QUERY_CANCELED, "canceling statement due to user request")
}

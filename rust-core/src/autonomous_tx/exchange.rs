//! The caller's half of one lease: post the request, hand on what comes back, and see to it that
//! the lease ends, whatever happens.
//!
//! Each wait is bounded or woken: the worker's frames and its end set our latch; its death sets
//! the slot's state and our latch; a cancel of ours ends the sleep; and while the worker is silent
//! we look every few ticks whether it waits for a lock that we hold (then nobody else can see the
//! cycle, and it is broken here).
//!
//! When this side gives up, the gate decides. If the worker has not begun to commit it never will;
//! if it has, the caller waits for the end and says so. The worker gets SIGINT again and again,
//! then SIGTERM, and after [`GIVE_UP_US`] is left to itself: the gate already keeps it from committing.

use super::call::{Failed, Session, terminate};
use crate::host::{CallerHost, Outcome, Saved, Slept};
use crate::pool::area::Area;
use crate::pool::borrow::Borrowed;
use crate::pool::deadlock::Watch;
use crate::pool::slot::{Ended, Lease, Slot, State};
use crate::report::*;
use crate::wire::codec::Decoder;
use crate::wire::frame::{self, Broken, Kind};
use crate::wire::message::decode_report;
use crate::wire::ring::{Reader, Writer};
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::*;

/// Sleeps between looks at a silent worker: the first, and the longest.
const FIRST_TICK_MS: u32 = 10;
const LONGEST_TICK_MS: u32 = 50;
/// While a cancelled worker does not end: SIGINT this often, SIGTERM after, leave it after.
const SIGINT_EVERY_US: u64 = 100_000;
const SIGTERM_AFTER_US: u64 = 2_000_000;
const GIVE_UP_US: u64 = 5_000_000;
/// A commit that is on its way is not interrupted before this.
const COMMIT_PATIENCE_US: u64 = 1_000_000;

/// How an exchange ended.
#[derive(Debug)]
pub enum Met {
    Done(u64),
    Failed(Failed),
    /// The worker does not have the settings that the request names.
    SettingsWanted,
    /// The worker vanished before it took the request: nothing was run.
    NeverTaken,
}

/// Why a wait ended without what it waited for.
enum Stop {
    Saved,
    WorkerGone,
}

/// A lease in use. Ends the lease when dropped.
pub struct Exchange<'a, H: CallerHost> {
    h: &'a H,
    area: &'a Area<'a>,
    slot: &'a Slot,
    lease: Lease,
    launched: bool,
    session: &'a Session,
    poll_us: u32,
    deadlock_ms: u32,
    command: &'a [u8],
    /// DETAIL of the deadlock that this side has found.
    deadlock: RefCell<Option<Vec<u8>>>,
    /// When it was found.
    deadlock_us: Cell<Option<u64>>,
    ended: Cell<bool>,
}

impl<'a, H: CallerHost> Exchange<'a, H> {
    pub fn new(
        h: &'a H,
        area: &'a Area<'a>,
        session: &'a Session,
        borrowed: Borrowed,
        poll_us: u32,
        deadlock_ms: u32,
        command: &'a [u8],
    ) -> Self {
        let slot = &area.slots[borrowed.lease.slot as usize];
        // A worker launched for this lease may have spoken already.
        if !borrowed.launched {
            area.clear_rings(borrowed.lease.slot);
        }
        Self {
            h,
            area,
            slot,
            lease: borrowed.lease,
            launched: borrowed.launched,
            session,
            poll_us,
            deadlock_ms,
            command,
            deadlock: RefCell::new(None),
            deadlock_us: Cell::new(None),
            ended: Cell::new(false),
        }
    }

    /// Post the request and see it through.
    pub fn run(&mut self, request: &mut Vec<u64>, rows: &mut u64) -> Met {
        let generation = self.lease.generation;
        let mut writer = self.area.request_ring(self.lease.slot).writer();
        let fits = request.len() < writer.space();
        if !fits {
            self.slot.post(generation);
            self.wake_worker();
        }
        if let Err(stop) = self.write_request(&mut writer, request) {
            return self.stopped(stop, None);
        }
        if fits {
            self.slot.post(generation);
        }
        self.wake_worker();
        self.read_replies(request, rows)
    }

    /// Send the request once more, with what was wanted.
    pub fn again(&mut self, request: &mut Vec<u64>, rows: &mut u64) -> Met {
        let mut writer = self.area.request_ring(self.lease.slot).writer();
        if let Err(stop) = self.write_request(&mut writer, request) {
            return self.stopped(stop, None);
        }
        self.wake_worker();
        self.read_replies(request, rows)
    }

    fn write_request(&self, writer: &mut Writer, request: &[u64]) -> Result<(), Stop> {
        frame::write(writer, Kind::Request, bytemuck::cast_slice(request), |_, writer| {
            self.wake_worker();
            self.wait(|| writer.space() > 0)
        })?;
        writer.publish();
        Ok(())
    }

    fn read_replies(&mut self, buffer: &mut Vec<u64>, rows: &mut u64) -> Met {
        let mut reader = self.area.reply_ring(self.lease.slot).reader();
        let quarter = self.area.reply_ring(self.lease.slot).words.len() / 4;
        let mut last_words = None;
        loop {
            let read = frame::read(&mut reader, buffer, |_, reader| {
                self.wake_worker();
                self.wait(|| reader.available() > 0)
            });
            let (kind, length) = match read {
                Ok(frame) => frame,
                Err(Broken::Stopped(stop)) => return self.stopped(stop, last_words),
                Err(Broken::Malformed) => return self.nonsense(),
                Err(Broken::NoMemory) => return self.refuse(Report::error(OUT_OF_MEMORY, "out of memory")),
            };
            if reader.unreleased() >= quarter {
                reader.release();
                self.wake_worker();
            }
            let kept = match kind {
                Kind::Row => {
                    *rows += 1;
                    self.h.row(&bytemuck::cast_slice(buffer)[..length])
                }
                Kind::Message => match decode_report(buffer) {
                    Ok(message) if message.severity >= Severity::Error => {
                        last_words = Some(message);
                        Ok(())
                    }
                    Ok(message) => self.h.relay(&message),
                    Err(_) => return self.nonsense(),
                },
                Kind::Done => {
                    let Ok(processed) = Decoder::new(buffer).get() else { return self.nonsense() };
                    self.release(&mut reader);
                    return Met::Done(processed);
                }
                Kind::Error => {
                    let Ok(report) = decode_report(buffer) else { return self.nonsense() };
                    self.release(&mut reader);
                    return Met::Failed(self.dress(report).into());
                }
                Kind::SettingsWanted => {
                    reader.release();
                    return Met::SettingsWanted;
                }
                Kind::Request => return self.nonsense(),
            };
            if kept.is_err() {
                return self.stopped(Stop::Saved, last_words);
            }
        }
    }

    fn wake_worker(&self) {
        if let Some(proc) = self.slot.worker_proc() {
            self.h.wake(proc);
        }
    }

    fn worker_gone(&self) -> bool {
        let generation = self.lease.generation;
        if self.slot.state() != (State::Busy, generation) {
            return true;
        }
        self.launched && self.slot.worker_pid.load(Acquire) == 0 && self.h.launch_failed(self.lease.slot)
    }

    /// Poll, then sleep, until `ready`.
    fn wait(&self, mut ready: impl FnMut() -> bool) -> Result<(), Stop> {
        if self.session.poller.poll(self.h, self.area.busy(), self.poll_us, &mut ready) {
            return Ok(());
        }
        let mut tick = FIRST_TICK_MS;
        let mut watch = Watch::new(self.h.now_us(), self.deadlock_ms);
        loop {
            if ready() {
                return Ok(());
            }
            if self.worker_gone() {
                return if ready() { Ok(()) } else { Err(Stop::WorkerGone) };
            }
            match self.h.sleep(tick) {
                Ok(Slept::Woken) => {}
                Ok(Slept::TimedOut) => {
                    tick = (tick * 2).min(LONGEST_TICK_MS);
                    self.look_for_deadlock(&mut watch).map_err(|Saved| Stop::Saved)?;
                }
                Err(Saved) => return Err(Stop::Saved),
            }
        }
    }

    /// Break a deadlock of which our worker's transaction is the victim. A body that traps the cancel
    /// finds the gate shut, and itself terminated if it goes on.
    fn look_for_deadlock(&self, watch: &mut Watch) -> Result<(), Saved> {
        let pid = self.slot.worker_pid.load(Acquire);
        if pid == 0 {
            return Ok(());
        }
        let now = self.h.now_us();
        if let Some(since) = self.deadlock_us.get() {
            self.h.interrupt(pid, now.saturating_sub(since) > SIGTERM_AFTER_US);
        } else if let Some(detail) = watch.look(self.h, self.area)? {
            self.slot.mark_deadlock();
            if self.slot.gate_cancel(self.lease.generation) {
                self.deadlock_us.set(Some(now));
                *self.deadlock.borrow_mut() = Some(detail);
                self.h.interrupt(pid, false);
            }
        }
        Ok(())
    }

    /// What a worker's error looks like to the caller.
    fn dress(&self, mut report: Report) -> Report {
        report.severity = Severity::Error;
        if report.position > 0 && report.get(Field::InternalQuery).is_none() {
            report.internal_position = report.position;
            report = report.with(Field::InternalQuery, self.command);
        }
        report.position = 0;
        if report.sqlstate == DEADLOCK_DETECTED
            && let Some(detail) = self.deadlock.borrow().as_ref()
        {
            report.add_line(Field::Detail, detail);
        }
        report.add_line(Field::Context, b"autonomous transaction");
        report
    }

    fn nonsense(&mut self) -> Met {
        self.refuse(Report::error(PROTOCOL_VIOLATION, "worker sent what its caller does not understand"))
    }

    /// Give up for a reason of this side's own.
    fn refuse(&mut self, mut report: Report) -> Met {
        if let Some(detail) = self.cancel() {
            report.add_line(Field::Detail, detail.as_bytes());
        }
        Met::Failed(report.into())
    }

    fn stopped(&mut self, stop: Stop, last_words: Option<Report>) -> Met {
        match stop {
            Stop::Saved => {
                if let Some(detail) = self.cancel() {
                    self.h.amend(&detail);
                }
                Met::Failed(Failed::Saved)
            }
            Stop::WorkerGone => {
                let met = self.bereaved(last_words);
                self.end();
                met
            }
        }
    }

    /// The worker has gone: what is known of its transaction?
    fn bereaved(&self, last_words: Option<Report>) -> Met {
        let taken = self.slot.taken(self.lease.generation);
        if !taken && !self.launched {
            return Met::NeverTaken;
        }
        let said = last_words.as_ref().and_then(|r| r.get(Field::Message)).map(<[u8]>::to_vec);
        let mut report = if taken {
            let (mut commits, xid) = self.slot.progress();
            let outcome = if self.slot.finished(self.lease.generation) == Some(Ended::Well) {
                // It could not tell us any more.
                commits = commits.saturating_sub(1);
                Outcome::Committed
            } else if xid == 0 {
                Outcome::Aborted
            } else {
                self.h.outcome(xid)
            };
            let outcome = match outcome {
                Outcome::Aborted => "aborted",
                Outcome::Committed => "committed",
                Outcome::Unknown => "unknown",
            };
            let mut detail = if outcome == "unknown" {
                format!("Whether the autonomous transaction {xid} committed is unknown.")
            } else {
                format!("The autonomous transaction {outcome}.")
            };
            if commits > 0 {
                detail += &format!(" The command had committed {commits} transactions before it.");
            }
            Report::error(CONNECTION_FAILURE, "worker of the autonomous transaction terminated").with(Field::Detail, detail)
        } else {
            let state = last_words.as_ref().map(|r| r.sqlstate).unwrap_or(CONNECTION_FAILURE);
            Report::error(state, "could not start a worker for the autonomous transaction")
        };
        if let Some(said) = said {
            report.add_line(Field::Detail, &[b"The worker said: ", said.as_slice()].concat());
        }
        if let Some(hint) = last_words.as_ref().and_then(|r| r.get(Field::Hint)) {
            report = report.with(Field::Hint, hint);
        }
        report.add_line(Field::Context, b"autonomous transaction");
        Met::Failed(report.into())
    }

    /// Give up: stop the worker, wait for its end, and say what had been committed.
    fn cancel(&mut self) -> Option<String> {
        let generation = self.lease.generation;
        let mut stopped = self.slot.gate_cancel(generation) || self.slot.gate_cancelled(generation);
        let mut reader = self.area.reply_ring(self.lease.slot).reader();
        let mut waste = Vec::new();
        let start = self.h.now_us();
        let mut next_signal = if stopped { 0 } else { COMMIT_PATIENCE_US };
        let mut gave_up = false;
        while self.slot.finished(generation).is_none() && !self.worker_gone() {
            let spent = self.h.now_us().saturating_sub(start);
            // A commit that had won may not be the last of the command.
            if !stopped && self.slot.gate_cancel(generation) {
                stopped = true;
                next_signal = spent;
            }
            if self.h.terminating() || (stopped && spent >= GIVE_UP_US) {
                terminate(self.h, self.slot, generation);
                gave_up = true;
                break;
            }
            let pid = self.slot.worker_pid.load(Acquire);
            if spent >= next_signal && pid != 0 {
                self.h.interrupt(pid, stopped && spent >= SIGTERM_AFTER_US);
                next_signal = spent + SIGINT_EVERY_US;
            }
            // What was not read keeps the worker from coming to its end.
            while reader.pull(&mut waste, usize::MAX) > 0 {
                waste.clear();
                reader.release();
            }
            self.wake_worker();
            self.h.doze(FIRST_TICK_MS);
        }
        let (commits, xid) = self.slot.progress();
        let ended = self.slot.finished(generation);
        if gave_up {
            self.abandon();
        } else {
            self.end();
        }
        match ended {
            Some(Ended::Well) => Some("The autonomous transaction had already committed.".into()),
            None if !stopped && commits == 0 => Some(match (xid != 0).then(|| self.h.outcome(xid)) {
                Some(Outcome::Committed) => "The autonomous transaction had already committed.".into(),
                Some(Outcome::Aborted) => return None,
                _ => "Whether the autonomous transaction committed is unknown.".into(),
            }),
            _ => {
                // The one whose commit had won when the worker vanished.
                let last = (ended.is_none() && !stopped && xid != 0).then(|| self.h.outcome(xid));
                let commits = commits + u64::from(last == Some(Outcome::Committed));
                let rest = if last == Some(Outcome::Unknown) { " Whether the next one committed is unknown." } else { "" };
                (commits > 0).then(|| format!("The autonomous command had already committed {commits} of its transactions.{rest}"))
            }
        }
    }

    fn release(&self, reader: &mut Reader) {
        reader.release();
        self.end();
    }

    /// The lease is over: the worker is idle, or its slot free.
    fn end(&self) {
        if !self.ended.replace(true) {
            let gone = self.launched && self.slot.worker_pid.load(Acquire) == 0 && self.area.give_back(self.slot, self.lease.generation);
            if (gone || self.area.release(self.slot, self.lease.generation)) && self.area.waiters() > 0 {
                self.h.signal_slot();
            }
        }
    }

    /// Leave the worker to itself: it gives itself back when it has ended.
    fn abandon(&self) {
        if !self.ended.replace(true) {
            self.slot.abandon(self.lease.generation);
            if self.slot.state() == (State::Dead, self.lease.generation) {
                self.area.release(self.slot, self.lease.generation);
            }
            self.wake_worker();
        }
    }
}

impl<H: CallerHost> Drop for Exchange<'_, H> {
    /// Reached with the lease open only by a panic: the caller must not hang on to the slot.
    fn drop(&mut self) {
        if !self.ended.get() {
            self.slot.gate_cancel(self.lease.generation);
            self.abandon();
        }
    }
}

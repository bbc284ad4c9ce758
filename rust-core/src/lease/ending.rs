//! How a lease ends without the worker's answer: the caller gives up, or the worker has gone. In either case the slot is
//! given back, and the caller's error says what has been committed.
//!
//! When this side gives up, the gate decides. If the worker has not begun to commit it never will; if it has,
//! that commit is its last, and the caller waits for the end and says so. The worker gets SIGINT again and again,
//! then SIGTERM, and after [`GIVE_UP_US`] is left to itself: the gate already keeps it from committing.

use super::exchange::{Exchange, ExchangeEnd, Keep, Stop};
use super::frames::protocol_violation;
use super::wait::FIRST_TICK_MS;
use crate::error::Error;
use crate::host::{CallerHost, XactStatus};
use crate::pool::gate::{CancelReason, Stopped};
use crate::pool::slot::{Ended, Owed, Slot, SlotState};
use crate::report::*;
use crate::wire::message::Ending;
use crate::wire::ring::Reader;
use std::sync::atomic::Ordering::*;

/// While a cancelled worker does not end: SIGINT this often, SIGTERM after, leave it after.
pub(crate) const SIGINT_EVERY_US: u64 = 100_000;
pub(crate) const SIGTERM_AFTER_US: u64 = 2_000_000;
const GIVE_UP_US: u64 = 5_000_000;
/// A commit that is on its way is not interrupted before this.
const COMMIT_PATIENCE_US: u64 = 1_000_000;

// What became of autonomous transactions that were given up: two bits for each depth, in a word.
const NOTHING: u64 = 0;
const COMMITTED: u64 = 1;
const SOME: u64 = 2;
const UNKNOWN: u64 = 3;
/// Deeper ones are not told of.
const DEPTHS: u32 = 32;

fn fate_at(fates: u64, depth: u32) -> u64 {
    fates >> (2 * (depth - 1)) & 3
}

/// With what is known of that depth; nothing does not undo what was known before.
fn with_fate(fates: u64, depth: u32, fate: u64) -> u64 {
    if depth > DEPTHS || fate == NOTHING {
        return fates;
    }
    fates & !(3 << (2 * (depth - 1))) | fate << (2 * (depth - 1))
}

/// What is said of those below a depth, from the next one down.
fn inner_lines(fates: u64, above: u32) -> impl Iterator<Item = String> {
    (above + 1..=DEPTHS).filter_map(move |depth| match fate_at(fates, depth) {
        COMMITTED => Some(format!("The autonomous transaction at depth {depth} had already committed.")),
        SOME => Some(format!("The autonomous command at depth {depth} had already committed some of its transactions.")),
        UNKNOWN => Some(format!("Whether the autonomous transaction at depth {depth} committed is unknown.")),
        _ => None,
    })
}

/// The outermost one has no depth in its name: most callers know no other.
fn at_depth(what: &str, depth: u32) -> String {
    if depth > 1 { format!("{what} at depth {depth}") } else { what.into() }
}

/// What is known of the last transaction of a worker that has gone.
pub(crate) struct LastTransaction {
    pub outcome: XactStatus,
    xid: u64,
    /// Transactions of the same command that were committed before it.
    pub before: u64,
    /// The request had ended well; the worker could not say it any more.
    ended_well: bool,
    /// Its last commit is done, whatever else the request was to do.
    pub done: bool,
}

impl LastTransaction {
    pub fn of<H: CallerHost>(h: &H, slot: &Slot, generation: u64) -> Self {
        let (commits, xid) = slot.gate.progress();
        let last_one = slot.gate.last(generation);
        if slot.finished(generation) == Some(Ended::Well) || slot.gate.passed(generation) {
            return Self { outcome: XactStatus::Committed, xid, before: commits.saturating_sub(1), ended_well: true, done: true };
        }
        let outcome = if xid == 0 { XactStatus::Aborted } else { h.outcome(xid) };
        Self { outcome, xid, before: commits, ended_well: false, done: last_one && outcome == XactStatus::Committed }
    }

    pub fn in_words(&self, what: &str, depth: u32) -> String {
        let mut words = match self.outcome {
            XactStatus::Aborted => format!("The {} aborted.", at_depth(what, depth)),
            XactStatus::Committed => format!("The {} committed.", at_depth(what, depth)),
            XactStatus::Unknown => format!("Whether the {} committed is unknown.", at_depth(&format!("{what} {}", self.xid), depth)),
        };
        if self.before > 0 {
            words += &format!(" The command had committed {} transactions before it.", self.before);
        }
        words
    }
}

impl<H: CallerHost> Exchange<'_, H> {
    pub(super) fn nonsense(&mut self) -> ExchangeEnd {
        self.refuse(protocol_violation())
    }

    /// Give up for a reason of this side's own.
    pub(super) fn refuse(&mut self, mut report: Report) -> ExchangeEnd {
        if let Some(detail) = self.cancel() {
            report.add_line(Field::Detail, detail.as_bytes());
        }
        ExchangeEnd::Failed(report.into())
    }

    pub(super) fn stopped(&mut self, stop: Stop, last_words: Option<Report>) -> ExchangeEnd {
        self.slot.spread(self.h);
        match stop {
            Stop::Saved => {
                if let Some(detail) = self.cancel() {
                    self.h.amend(&detail);
                }
                ExchangeEnd::Failed(Error::Saved)
            }
            Stop::WorkerGone => {
                let ended = self.worker_lost(last_words);
                self.end(false);
                ended
            }
        }
    }

    /// The worker has gone: what is known of its transaction?
    fn worker_lost(&self, last_words: Option<Report>) -> ExchangeEnd {
        let taken = self.slot.taken(self.lease.generation);
        if !taken && !self.launched {
            return ExchangeEnd::NeverTaken;
        }
        let mut report = if taken {
            let generation = self.lease.generation;
            let mut last = LastTransaction::of(self.h, self.slot, generation);
            if last.ended_well && self.in_block(self.slot.gate.progress().0) {
                last.outcome = XactStatus::Aborted;
            }
            if last.outcome == XactStatus::Committed {
                self.made_local();
            }
            Report::error(CONNECTION_FAILURE, "worker of the autonomous transaction terminated")
                .with(Field::Detail, last.in_words("autonomous transaction", self.terms.depth))
        } else {
            let state = last_words.as_ref().map(|r| r.sqlstate).unwrap_or(CONNECTION_FAILURE);
            Report::error(state, "could not start a worker for the autonomous transaction")
        };
        if let Some(said) = last_words.as_ref().and_then(|r| r.get(Field::Message)) {
            report.add_line(Field::Detail, b"The worker said: ");
            report.extend(Field::Detail, said);
        }
        if let Some(hint) = last_words.as_ref().and_then(|r| r.get(Field::Hint)) {
            report = report.with(Field::Hint, hint);
        }
        if !taken && last_words.is_none() {
            report = report.with(Field::Hint, "The server log says why. If the module was replaced since this session began, reconnect.");
        }
        report.add_line(Field::Context, b"autonomous transaction");
        ExchangeEnd::Failed(report.into())
    }

    /// Give up: stop the worker, wait for its end, and say what had been committed, at this depth and below.
    pub(crate) fn cancel(&mut self) -> Option<String> {
        let (stopped, gave_up) = self.stop();
        let (commits, xid) = self.slot.gate.progress();
        let generation = self.lease.generation;
        let ended = self.slot.finished(generation).or(self.slot.gate.passed(generation).then_some(Ended::Well));
        let inner = self.slot.inner();
        if gave_up {
            self.abandon();
        } else {
            self.end(false);
        }
        let depth = self.terms.depth;
        let transaction = at_depth("autonomous transaction", depth);
        let (fate, said) = match ended {
            Some(Ended::Well) if self.in_block(commits) => (NOTHING, Some("The autonomous session had already run the command.".into())),
            Some(Ended::Well) => (COMMITTED, Some(format!("The {transaction} had already committed."))),
            None if !stopped && commits == 0 => match (xid != 0).then(|| self.h.outcome(xid)) {
                Some(XactStatus::Committed) => (COMMITTED, Some(format!("The {transaction} had already committed."))),
                Some(XactStatus::Aborted) => (NOTHING, None),
                _ => (UNKNOWN, Some(format!("Whether the {transaction} committed is unknown."))),
            },
            _ => {
                // The one whose commit had won when the worker vanished.
                let last = (ended.is_none() && !stopped && xid != 0).then(|| self.h.outcome(xid));
                let commits = commits + u64::from(last == Some(XactStatus::Committed));
                let rest = if last == Some(XactStatus::Unknown) { " Whether the next one committed is unknown." } else { "" };
                let command = at_depth("autonomous command", depth);
                let some = || format!("The {command} had already committed {commits} of its transactions.{rest}");
                if commits > 0 { (SOME, Some(some())) } else { (NOTHING, None) }
            }
        };
        if fate == COMMITTED {
            self.made_local();
        }
        self.note(depth, fate, inner);
        #[expect(clippy::disallowed_methods, reason = "a line for each depth that a word has room for")]
        let lines: Vec<String> = said.into_iter().chain(inner_lines(inner, depth)).collect();
        #[expect(clippy::disallowed_methods, reason = "as above")]
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Shut the gate and signal the worker until it has ended; was the gate shut in time, and the worker left to itself?
    fn stop(&self) -> (bool, bool) {
        let generation = self.lease.generation;
        let gate = &self.slot.gate;
        let mut reader = self.area.reply_ring(self.lease.slot).reader();
        let start = self.h.now_us();
        let mut stopped = matches!(gate.cancel(generation, CancelReason::GivenUp), Stopped::Now) || gate.cancelled(generation);
        let mut next_signal = if stopped { 0 } else { COMMIT_PATIENCE_US };
        while self.slot.finished(generation).is_none() && !self.worker_gone() {
            let spent = self.h.now_us().saturating_sub(start);
            if !stopped {
                // A last commit may fail, and what follows it be cancelled; one of several is the last by now.
                _ = gate.cancel(generation, CancelReason::GivenUp);
                stopped = gate.cancelled(generation);
                next_signal = if stopped { spent } else { next_signal };
            }
            if self.h.terminating() || (stopped && spent >= GIVE_UP_US) {
                terminate(self.h, self.slot, generation);
                return (stopped, true);
            }
            if spent >= next_signal {
                _ = self.slot.signal(generation, |pid| self.h.interrupt(pid, stopped && spent >= SIGTERM_AFTER_US));
                next_signal = spent + SIGINT_EVERY_US;
            }
            // What was not read keeps the worker from coming to its end.
            while reader.discard() {
                reader.release();
            }
            self.wake_worker();
            self.h.doze(FIRST_TICK_MS);
        }
        (gate.cancelled(generation), false)
    }

    /// Who has called this process may give it up meanwhile, and then hears no error of it: it finds here what became
    /// of what this process has called.
    fn note(&self, depth: u32, fate: u64, inner: u64) {
        let fates = with_fate(inner, depth, fate);
        let me = self.h.my_pid();
        if fates != 0
            && depth > 1
            && let Some(own) = self.area.slots.iter().find(|slot| slot.worker_pid.load(Acquire) == me)
        {
            own.note_inner((1..=DEPTHS).fold(own.inner(), |all, depth| with_fate(all, depth, fate_at(fates, depth))));
        }
    }

    /// A command of a session that has ended well has committed nothing: its transaction goes on.
    fn in_block(&self, commits: u64) -> bool {
        self.keep != Keep::Nothing && commits == 0
    }

    /// What the caller is told has been committed is also on disk, and where the commit was to be. Nothing is told before.
    pub(super) fn made_durable(&self, ending: Ending) -> ExchangeEnd {
        let owed = self.owed.take();
        if owed.position == 0 || self.h.await_commit(owed).is_ok() {
            return ExchangeEnd::Done(ending);
        }
        self.h.amend(&format!("The {} had already committed.", at_depth("autonomous transaction", self.terms.depth)));
        ExchangeEnd::Failed(Error::Saved)
    }

    /// The same for who gives up and is told so all the same: standbys are not waited for.
    fn made_local(&self) {
        let owed = if self.ended.get() { self.owed.take() } else { self.slot.owed() };
        if owed.position != 0 {
            _ = self.h.await_commit(Owed { level: 0, ..owed });
        }
    }

    pub(super) fn release(&self, reader: &mut Reader, well: bool) {
        reader.release();
        self.end(well);
    }

    /// The request is over: the worker is idle or kept, or its slot free.
    fn end(&self, well: bool) {
        if self.ended.replace(true) {
            return;
        }
        self.owed.set(self.slot.owed());
        let keep = self.keep == Keep::Always || (well && self.keep == Keep::IfDone);
        if !keep || !self.area.hold(self.slot, self.lease.generation) {
            let gone = self.launched && self.slot.without_worker() && self.area.give_back(self.slot, self.lease.generation);
            if (gone || self.area.release(self.slot, self.lease.generation)) && self.area.waiters() > 0 {
                self.h.signal_slot();
            }
            // It may have looked for a task while it was still ours.
            if self.area.tasks_wait() {
                self.wake_worker();
            }
        }
    }

    /// Leave the worker to itself: it gives itself back when it has ended.
    fn abandon(&self) {
        if !self.ended.replace(true) {
            self.slot.abandon(self.lease.generation);
            if self.slot.state() == (SlotState::Dead, self.lease.generation) {
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
            self.slot.gate.cancel(self.lease.generation, CancelReason::GivenUp);
            self.abandon();
        }
    }
}

/// Nobody will look after this lease any more: its worker is told to end, which no command can trap,
/// and which also ends the wait for a standby. To be said while the lease is still this caller's, so
/// that it cannot reach the next one.
pub(crate) fn terminate<H: CallerHost>(h: &H, slot: &Slot, generation: u64) {
    let pid = slot.worker_pid.load(Acquire);
    if pid != 0 && slot.state() == (SlotState::Busy, generation) && slot.finished(generation).is_none() {
        h.interrupt(pid, true);
    }
}

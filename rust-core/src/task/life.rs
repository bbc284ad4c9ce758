//! A task's way from Filling to its end, and who holds it meanwhile.

use super::entry::{CANCEL, DETACHED, DOOMED, PINS, READ, TaskEntry};
use super::{TRANSACTION_ROLLBACK, Table, TaskChange, TaskEnd, TaskOutcome, TaskState, Ticket};
use crate::pool::slot::Lease;
use crate::report::QUERY_CANCELED;
use std::sync::atomic::Ordering::*;

impl Table<'_> {
    /// The submitter has written everything: the task is Pending until it commits, or Queued at once, and
    /// then the submitter's to dispatch.
    pub fn offer(&self, ticket: Ticket, to: TaskState) -> bool {
        matches!(to, TaskState::Pending | TaskState::Queued) && self.change(ticket, TaskState::Filling, to)
    }

    /// The submitter's transaction has committed.
    pub fn confirm(&self, ticket: Ticket) -> bool {
        let done = self.change(ticket, TaskState::Pending, TaskState::Queued);
        self.expect_queued(true);
        done
    }

    /// The task is not to be: its submitter has rolled back, or could not write it. Who waits for it sees it
    /// cancelled until it unpins it.
    pub fn abandon(&self, ticket: Ticket, now: i64) -> TaskChange {
        if !self.change(ticket, TaskState::Filling, TaskState::Ending) && !self.change(ticket, TaskState::Pending, TaskState::Ending) {
            return TaskChange::Ignored;
        }
        self.drop_request(ticket);
        let message = b"the transaction that submitted the task did not commit";
        _ = self.detach(ticket);
        self.conclude(ticket, &TaskOutcome { end: TaskEnd::Cancelled, sqlstate: TRANSACTION_ROLLBACK, rows: 0, message }, now)
    }

    /// Run a queued task in this lease; of several takers one gets it.
    pub fn take(&self, ticket: Ticket, lease: Lease, now: i64) -> bool {
        let Some(entry) = self.live(ticket) else { return false };
        let taken = entry.take(ticket.id, lease);
        if taken {
            entry.started.store(now, Relaxed);
        }
        taken
    }

    /// A task that did not begin in its lease is to run in another.
    pub fn requeue(&self, ticket: Ticket, lease: Lease) -> bool {
        let done = self.live(ticket).is_some_and(|entry| entry.leave(ticket.id, lease, TaskState::Queued));
        self.expect_queued(true);
        done
    }

    /// What runs in this lease.
    pub fn running_on(&self, lease: Lease) -> Option<Ticket> {
        self.entries.iter().zip(0..).find_map(|(entry, index)| {
            let (id, state) = entry.at();
            (state == TaskState::Running && entry.leased_by(lease)).then_some(Ticket { index, id })
        })
    }

    /// The task of an entry, if it runs in this lease.
    pub fn running_at(&self, index: u32, lease: Lease) -> Option<Ticket> {
        let entry = self.entries.get(index as usize)?;
        let (id, state) = entry.at();
        (state == TaskState::Running && entry.leased_by(lease)).then_some(Ticket { index, id })
    }

    /// The worker tells where it runs; one that follows may want the same process.
    pub fn runs_on(&self, ticket: Ticket, slot: u32, pid: u32) {
        if let Some(entry) = self.live(ticket) {
            entry.prefer_slot.store(slot + 1, Relaxed);
            entry.prefer_pid.store(pid, Relaxed);
        }
    }

    /// Slot and pid of the worker that runs a task, or has run it.
    pub fn ran_on(&self, ticket: Ticket) -> Option<(u32, u32)> {
        let entry = self.live(ticket)?;
        Some((entry.prefer_slot.load(Relaxed).checked_sub(1)?, entry.prefer_pid.load(Relaxed)))
    }

    /// A task ends that runs in this lease. Says it once: a second time, or by an older lease, it has no
    /// effect. The caller then wakes who waits for it.
    pub fn finish(&self, ticket: Ticket, lease: Lease, outcome: &TaskOutcome<'_>, now: i64) -> TaskChange {
        match self.live(ticket) {
            Some(entry) if entry.leave(ticket.id, lease, TaskState::Ending) => self.conclude(ticket, outcome, now),
            _ => TaskChange::Ignored,
        }
    }

    /// A task ends that never began.
    pub fn finish_queued(&self, ticket: Ticket, outcome: &TaskOutcome<'_>, now: i64) -> TaskChange {
        if !self.change(ticket, TaskState::Queued, TaskState::Ending) && !self.change(ticket, TaskState::Pending, TaskState::Ending) {
            return TaskChange::Ignored;
        }
        self.drop_request(ticket);
        self.conclude(ticket, outcome, now)
    }

    /// It never began: nobody is to take its request for its result. A file stays until the entry is freed.
    fn drop_request(&self, ticket: Ticket) {
        if let Some(entry) = self.live(ticket) {
            entry.disk_length.store(0, Relaxed);
            self.drop_payload(entry);
        }
    }

    /// Cancel a task that has not begun. Ignored: it has, or has ended.
    pub fn cancel_queued(&self, ticket: Ticket, now: i64) -> TaskChange {
        let message = b"the task was cancelled before it started";
        self.finish_queued(ticket, &TaskOutcome { end: TaskEnd::Cancelled, sqlstate: QUERY_CANCELED, rows: 0, message }, now)
    }

    /// Write how it ended, and only then say that it has.
    fn conclude(&self, ticket: Ticket, outcome: &TaskOutcome<'_>, now: i64) -> TaskChange {
        let Some(entry) = self.live(ticket) else { return TaskChange::Ignored };
        let stats = &self.header.stats;
        let (state, counter) = match outcome.end {
            TaskEnd::Done => (TaskState::Done, &stats.done),
            TaskEnd::Failed => (TaskState::Failed, &stats.failed),
            TaskEnd::Cancelled => (TaskState::Cancelled, &stats.cancelled),
        };
        entry.finished.store(now, Relaxed);
        entry.rows.store(outcome.rows, Relaxed);
        entry.sqlstate.store(outcome.sqlstate, Relaxed);
        entry.message.set(outcome.message);
        counter.fetch_add(1, Relaxed);
        entry.change(ticket.id, TaskState::Ending, state);
        // The process that detaches a task first marks it, and then looks whether it has ended. Here it is the other way round.
        match entry.held(ticket.id) {
            Some(hold) if hold & DETACHED != 0 => match self.doom(ticket) {
                TaskChange::Ignored => TaskChange::Kept,
                change => change,
            },
            _ => TaskChange::Kept,
        }
    }

    /// Nobody will ask for it: free it, now or when it has ended.
    pub fn detach(&self, ticket: Ticket) -> TaskChange {
        if self.live(ticket).and_then(|entry| entry.mark(ticket.id, DETACHED)).is_none() {
            return TaskChange::Ignored;
        }
        if self.state(ticket).is_some_and(TaskState::finished) { self.doom(ticket) } else { TaskChange::Kept }
    }

    /// Hold a task against eviction. False: it is gone, or to be freed.
    pub fn pin(&self, ticket: Ticket) -> bool {
        self.live(ticket).is_some_and(|entry| entry.pin(ticket.id))
    }

    /// Give a pin back; the last one frees what was to be freed.
    pub fn unpin(&self, ticket: Ticket) -> TaskChange {
        match self.live(ticket).and_then(|entry| entry.unpin(ticket.id)) {
            Some(hold) if hold & (DOOMED | PINS) == DOOMED | 1 => self.release(ticket, hold),
            Some(_) => TaskChange::Kept,
            None => TaskChange::Ignored,
        }
    }

    /// Its result has been read: it is among the first to be evicted.
    pub fn mark_read(&self, ticket: Ticket) -> bool {
        self.live(ticket).and_then(|entry| entry.mark(ticket.id, READ)).is_some()
    }

    /// Its worker is to cancel it; true if it has not been asked before.
    pub fn ask_cancel(&self, ticket: Ticket) -> bool {
        self.live(ticket).and_then(|entry| entry.mark(ticket.id, CANCEL)).is_some_and(|hold| hold & CANCEL == 0)
    }

    pub fn cancel_asked(&self, ticket: Ticket) -> bool {
        self.live(ticket).and_then(|entry| entry.held(ticket.id)).is_some_and(|hold| hold & CANCEL != 0)
    }

    /// How far a running task is. False: it does not run, or says so twice at once.
    pub fn progress(&self, ticket: Ticket, percent: f64, message: &[u8]) -> bool {
        let running = |entry: &&TaskEntry| entry.at() == (ticket.id, TaskState::Running);
        self.live(ticket).filter(running).is_some_and(|entry| entry.progress.write(ticket.id, percent, message))
    }

    fn change(&self, ticket: Ticket, from: TaskState, to: TaskState) -> bool {
        self.live(ticket).is_some_and(|entry| entry.change(ticket.id, from, to))
    }
}

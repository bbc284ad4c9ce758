//! What becomes of the work of a lease when its worker has spoken.

use super::backoff::{FREE_RETRIES, LONGEST_SHORTAGE_US, SHORTAGE_US, conflict, delay_us, discarded, shortage};
use super::handler::{CRASHED, Handler};
use super::host::EventHost;
use super::item::{Solo, key_of};
use super::ledger::Ledger;
use super::spec::{Batch, BatchItems, LogEntry};
use crate::host::PutOff;
use crate::report::{ADMIN_SHUTDOWN, CONNECTION_FAILURE};

/// How a batch failed.
#[derive(Clone, Copy)]
pub(super) struct Failure<'a> {
    pub sqlstate: u32,
    pub message: &'a [u8],
    /// Its process went down with it.
    pub crash: bool,
}

/// What is said of an attempt that the server's shutdown prevented.
const CLOSED: &[u8] = b"the event coordinator was shut down";

pub(super) const CRASH: Failure<'_> = Failure { sqlstate: CONNECTION_FAILURE, message: CRASHED, crash: true };

impl Handler {
    /// It is committed, and these were put off.
    pub fn done(&mut self, batch: &Batch, put_off: &[PutOff], ledger: &mut Ledger, now: i64) {
        match &batch.work {
            BatchItems::Events { ids, .. } => {
                for id in ids {
                    match put_off.iter().find(|put_off| put_off.event == *id) {
                        Some(put_off) => self.put_off(*id, put_off.until, ledger, now),
                        None => {
                            self.tally.done += 1;
                            self.end(*id, ledger, now);
                        }
                    }
                }
            }
            BatchItems::Notifications(notes) => {
                self.tally.notes_done += notes.len() as u64;
                ledger.note_bytes -= notes.iter().map(|note| note.size()).sum::<usize>();
            }
        }
    }

    /// The log says so already.
    fn put_off(&mut self, id: i64, until: i64, ledger: &mut Ledger, now: i64) {
        let Some(item) = self.queue.get_mut(id) else { return };
        item.logged = false;
        item.put_offs += 1;
        if self.give_up(id, ledger, now) {
            return;
        }
        let Some(item) = self.queue.get_mut(id) else { return };
        (item.due, item.timed) = (until, true);
        (item.free, item.shortages, item.solo) = (0, 0, Solo::No);
        self.notes.spilled -= usize::from(std::mem::take(&mut item.spilled));
        self.waits_again(id, true, ledger, now);
    }

    pub fn failed<H: EventHost>(&mut self, h: &H, batch: &Batch, failure: Failure, ledger: &mut Ledger, now: i64) {
        match &batch.work {
            BatchItems::Events { ids, partition, .. } if ids.len() > 1 && !failure.crash && !shortage(failure.sqlstate) => {
                self.separate(ids, *partition, batch.attempt, failure, ledger, now);
            }
            BatchItems::Events { ids, .. } => {
                let several = ids.len() > 1;
                ids.iter().for_each(|id| self.event_failed(h, *id, several, failure, None, ledger, now));
            }
            BatchItems::Notifications(notes) => {
                self.tally.notes_failed(notes.len(), failure.sqlstate);
                self.tally.error(failure.sqlstate, failure.message);
                self.complaints.failed(notes.len(), failure.sqlstate, failure.message);
                ledger.note_bytes -= notes.iter().map(|note| note.size()).sum::<usize>();
            }
        }
    }

    /// Whose fault it was that these failed together nobody knows: for none of them was it an attempt, and each is
    /// tried again alone.
    fn separate(&mut self, ids: &[i64], partition: u8, attempt: u32, failure: Failure, ledger: &mut Ledger, now: i64) {
        self.tally.error(failure.sqlstate, failure.message);
        let mut events = Vec::with_capacity(ids.len());
        for id in ids {
            if self.give_up(*id, ledger, now) {
                continue;
            }
            let Some(item) = self.queue.get_mut(*id) else { continue };
            (item.solo, item.logged) = (Solo::Batch, false);
            self.notes.spilled -= usize::from(std::mem::take(&mut item.spilled));
            item.set_due(now);
            self.waits_again(*id, false, ledger, now);
            events.push(*id);
        }
        ledger.pending.push(LogEntry::Withdrawn { handler: self.spec.id, partition, events, attempt });
    }

    /// `again_at`: who failed has asked for that time.
    #[expect(clippy::too_many_arguments, reason = "one place where an event fails")]
    pub(super) fn event_failed<H: EventHost>(
        &mut self,
        h: &H,
        id: i64,
        several: bool,
        failure: Failure,
        again_at: Option<i64>,
        ledger: &mut Ledger,
        now: i64,
    ) {
        let Failure { sqlstate, message, crash } = failure;
        self.tally.failed(sqlstate, message);
        if self.give_up(id, ledger, now) {
            return;
        }
        let Some(item) = self.queue.get_mut(id) else { return };
        let max_attempts = if item.max_attempts > 0 { item.max_attempts } else { self.spec.max_attempts };
        let (partition, attempt) = (item.partition, item.attempts.saturating_add(1));
        self.notes.spilled -= usize::from(std::mem::take(&mut item.spilled));
        item.logged = false;
        let short = shortage(sqlstate);
        item.shortages = if short { item.shortages.saturating_add(1) } else { 0 };
        let shortages = u32::from(item.shortages);
        let counted = if short {
            false
        } else if conflict(sqlstate) && item.free < FREE_RETRIES {
            item.free += 1;
            false
        } else {
            item.free = 0;
            item.attempts = attempt;
            true
        };
        if crash {
            item.solo = Solo::Lease;
        }
        // An event that was in a batch when its worker died gets one attempt more, alone.
        let last = discarded(sqlstate) || if several { attempt > max_attempts } else { attempt >= max_attempts };
        if counted && last {
            let item = *item;
            self.tally.dead(sqlstate, message);
            ledger.pending.push(self.epitaph(id, &item, attempt, sqlstate, message));
            return self.end(id, ledger, now);
        }
        item.set_due(now);
        let mut next_at = now;
        if counted {
            let backoff = || now.saturating_add(delay_us(attempt, self.spec.backoff_us, self.spec.cap_us, h.random()));
            next_at = again_at.unwrap_or_else(backoff);
            item.due = next_at;
        } else if short {
            next_at = now.saturating_add(delay_us(shortages, SHORTAGE_US, LONGEST_SHORTAGE_US, h.random()));
            item.due = next_at;
        }
        let (handler, message) = (self.spec.id, message.to_vec());
        ledger.pending.push(LogEntry::Failed { handler, partition, event: id, attempt, sqlstate, message, next_at, counted });
        self.tally.retried += 1;
        self.waits_again(id, true, ledger, now);
    }

    /// One that ran waits; not here where what waits was left to the tables meanwhile, for others may come before it.
    fn waits_again(&mut self, id: i64, tried: bool, ledger: &mut Ledger, now: i64) {
        let Some(item) = self.queue.get_mut(id) else { return };
        if item.left {
            self.unlog(id, ledger);
            return self.end(id, ledger, now);
        }
        ledger.pause(id, item.partition);
        if tried { self.queue.tried(id, now) } else { self.queue.again(id, now) }
    }

    /// Drop what runs, if nobody wants it any more: its handler is gone, or it was cancelled meanwhile.
    fn give_up(&mut self, id: i64, ledger: &mut Ledger, now: i64) -> bool {
        let Some(item) = self.queue.get_mut(id) else { return true };
        if item.cancelled && !self.removed {
            let (partition, group) = (item.partition, item.group);
            ledger.pending.push(LogEntry::Cancelled { partition, event: id, handler: Some(self.spec.id), group });
            self.tally.cancelled += 1;
        } else if !self.removed {
            return false;
        }
        self.end(id, ledger, now);
        true
    }

    /// A lease is over, or was none. The rest of it was not begun.
    pub fn finish(&mut self, was_notes: bool, rest: Vec<Batch>, ledger: &mut Ledger, now: i64) {
        self.take_back(rest, ledger, now);
        self.leases = self.leases.saturating_sub(1);
        if was_notes {
            self.notes.leases = self.notes.leases.saturating_sub(1);
            self.queue.release(key_of(None), now);
        }
    }

    /// What was not begun waits again, and nothing was attempted.
    pub fn take_back(&mut self, rest: Vec<Batch>, ledger: &mut Ledger, now: i64) {
        let mut notes = Vec::new();
        for batch in rest {
            match batch.work {
                BatchItems::Notifications(more) => notes.extend(more),
                BatchItems::Events { ids, .. } => ids.into_iter().for_each(|id| self.event_waits(id, ledger, now)),
            }
        }
        if self.removed {
            ledger.note_bytes -= notes.iter().map(|note| note.size()).sum::<usize>();
        } else {
            self.notes.give_back(notes);
        }
    }

    /// Whatever the log has as an attempt was none.
    pub fn withdraw(&self, entries: &mut Vec<LogEntry>) {
        for (event, item) in self.queue.logged() {
            let (handler, partition, attempt) = (self.spec.id, item.partition, item.attempts.saturating_add(1));
            let (sqlstate, message, next_at) = (ADMIN_SHUTDOWN, CLOSED.to_vec(), item.due);
            entries.push(LogEntry::Failed { handler, partition, event, attempt, sqlstate, message, next_at, counted: false });
        }
    }

    /// An attempt that the log has was not made.
    pub fn unlog(&mut self, id: i64, ledger: &mut Ledger) {
        let Some(item) = self.queue.get_mut(id).filter(|item| item.logged) else { return };
        item.logged = false;
        let (handler, partition, attempt) = (self.spec.id, item.partition, item.attempts.saturating_add(1));
        ledger.pending.push(LogEntry::Withdrawn { handler, partition, events: vec![id], attempt });
    }

    fn event_waits(&mut self, id: i64, ledger: &mut Ledger, now: i64) {
        if self.queue.get_mut(id).is_some_and(|item| item.cancelled) && !self.removed {
            self.unlog(id, ledger);
        }
        if self.give_up(id, ledger, now) {
            return;
        }
        self.queue.get_mut(id).into_iter().for_each(|item| item.set_due(now));
        self.waits_again(id, false, ledger, now);
    }
}

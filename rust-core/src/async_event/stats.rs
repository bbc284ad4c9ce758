//! What views show of each handler.

use super::handler::Handler;
use super::lately::{KINDS, Lately, SLOTS};
use super::part::Events;
use super::spec::{BatchItems, PARTITIONS};
use crate::coordinator::unseen::Unseen;
use crate::report::message_of;
use std::collections::BTreeMap;

/// SQLSTATEs that are counted for each handler, the first ones that came.
pub const ERRORS: usize = 8;

/// SQLSTATEs, and how often.
pub type Failures = [(u32, u32); ERRORS];

fn count(failures: &mut Failures, times: usize, sqlstate: u32) {
    let place = failures.iter_mut().find(|(known, so_far)| *known == sqlstate || *so_far == 0);
    if let Some((known, so_far)) = place {
        (*known, *so_far) = (sqlstate, so_far.saturating_add(times as u32));
    }
}

/// Counted since the coordinator started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that came, whoever was told of them.
    pub emitted: u64,
    pub done: u64,
    /// Attempts that failed. A batch of several events that failed was none.
    pub failed: u64,
    pub dead: u64,
    /// Dead events that the tables have.
    pub buried: u64,
    pub retried: u64,
    pub cancelled: u64,
    pub expired: u64,
    pub notes_done: u64,
    pub notes_failed: u64,
    /// Notifications that could neither be kept in memory nor recorded.
    pub notes_dropped: u64,
    /// Notifications that were recorded.
    pub notes_spilled: u64,
    /// How notifications failed: SQLSTATE, and how often.
    pub notes_errors: Failures,
    /// How events failed.
    pub errors: Failures,
    pub last_error: Option<(u32, Vec<u8>)>,
}

impl Tally {
    pub(super) fn notes_failed(&mut self, times: usize, sqlstate: u32) {
        self.notes_failed += times as u64;
        count(&mut self.notes_errors, times, sqlstate);
    }

    pub(super) fn failed(&mut self, sqlstate: u32, message: &[u8]) {
        self.failed += 1;
        count(&mut self.errors, 1, sqlstate);
        self.error(sqlstate, message);
    }

    pub(super) fn error(&mut self, sqlstate: u32, message: &[u8]) {
        self.last_error = Some((sqlstate, message_of(message).to_vec()));
    }

    pub(super) fn dead(&mut self, sqlstate: u32, message: &[u8]) {
        self.dead += 1;
        self.buried += 1;
        self.error(sqlstate, message);
    }
}

/// What has become of the notifications of one handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoteCounts {
    /// Those that nobody has been given yet.
    pub waiting: u64,
    pub done: u64,
    pub failed: u64,
    pub dropped: u64,
    /// These became events.
    pub recorded: u64,
    pub errors: Failures,
}

impl NoteCounts {
    fn of(handler: &Handler) -> Self {
        let (tally, notes) = (&handler.tally, &handler.notes);
        Self {
            waiting: (notes.waiting.len() + notes.unspilled) as u64,
            done: tally.notes_done,
            failed: tally.notes_failed,
            dropped: tally.notes_dropped,
            recorded: tally.notes_spilled,
            errors: tally.notes_errors,
        }
    }
}

/// Numbers that [`HandlerCounts`] is in shared memory.
pub const WORDS: usize = 20 + 2 * ERRORS + 2 + SLOTS * KINDS;

/// What views show of one handler, as its coordinator counts it. Totals are since that started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandlerCounts {
    pub notes: NoteCounts,
    /// Events that have not ended; each is counted once. Of an ordered handler, only the first of a key is delayed.
    pub waiting: u64,
    pub delayed: u64,
    pub retrying: u64,
    pub running: u64,
    /// The tables have others too, which are not counted.
    pub partial: bool,
    /// Dead events that are there.
    pub dead: u64,
    pub workers: u64,
    /// Since when the event has been due that has been so for the longest; 0: none is.
    pub oldest: i64,
    /// When the first of those is due that are delayed; 0: none is. A coordinator does not wake for events of a paused handler.
    pub next_due: i64,
    pub emitted: u64,
    pub done: u64,
    pub failed: u64,
    pub died: u64,
    pub cancelled: u64,
    pub expired: u64,
    pub errors: Failures,
    pub lately: Lately,
}

impl HandlerCounts {
    pub fn to_words(&self) -> [u64; WORDS] {
        let (notes, lately) = (&self.notes, &self.lately);
        let counts = [
            notes.waiting,
            notes.done,
            notes.failed,
            notes.dropped,
            notes.recorded,
            self.waiting,
            self.delayed,
            self.retrying,
            self.running,
            u64::from(self.partial),
            self.dead,
            self.workers,
            self.oldest as u64,
            self.next_due as u64,
            self.emitted,
            self.done,
            self.failed,
            self.died,
            self.cancelled,
            self.expired,
        ];
        let errors = notes.errors.iter().chain(&self.errors).map(|(sqlstate, times)| u64::from(*sqlstate) << 32 | u64::from(*times));
        let lately = [lately.began as u64, lately.slot as u64].into_iter().chain(lately.counts.into_iter().flatten());
        let mut words = counts.into_iter().chain(errors).chain(lately);
        std::array::from_fn(|_| words.next().unwrap_or(0))
    }

    pub fn from_words(words: &[u64; WORDS]) -> Self {
        let mut words = words.iter().copied();
        let mut next = || words.next().unwrap_or(0);
        let mut notes =
            NoteCounts { waiting: next(), done: next(), failed: next(), dropped: next(), recorded: next(), ..Default::default() };
        let mut counts = Self {
            waiting: next(),
            delayed: next(),
            retrying: next(),
            running: next(),
            partial: next() != 0,
            dead: next(),
            workers: next(),
            oldest: next() as i64,
            next_due: next() as i64,
            emitted: next(),
            done: next(),
            failed: next(),
            died: next(),
            cancelled: next(),
            expired: next(),
            ..Default::default()
        };
        let mut errors = || std::array::from_fn(|_| next()).map(|error: u64| ((error >> 32) as u32, error as u32));
        (notes.errors, counts.errors) = (errors(), errors());
        counts.notes = notes;
        (counts.lately.began, counts.lately.slot) = (next() as i64, next() as i64);
        counts.lately.counts = std::array::from_fn(|_| std::array::from_fn(|_| next()));
        counts
    }

    /// One that is counted as delayed is due by now.
    pub fn is_outdated(&self, now: i64) -> bool {
        self.next_due != 0 && self.next_due <= now
    }

    /// Since when an event has been due, at this time.
    pub fn oldest_at(&self, now: i64) -> Option<i64> {
        [Some(self.oldest).filter(|oldest| *oldest != 0), self.is_outdated(now).then_some(self.next_due)].into_iter().flatten().min()
    }

    fn of(handler: &mut Handler, running_since: Option<i64>, partial: bool, now: i64) -> Self {
        let counted = [handler.tally.emitted, handler.tally.done, handler.tally.failed];
        let more = std::array::from_fn(|i| counted[i].saturating_sub(handler.counted[i]));
        handler.counted = counted;
        handler.lately.add(more, now);
        let (queue, tally) = (&handler.queue, &handler.tally);
        let (retrying, delayed) = (queue.retrying(), queue.not_due());
        let since = [queue.oldest_ready(), queue.oldest_retrying(), running_since];
        Self {
            notes: NoteCounts::of(handler),
            waiting: (queue.len() - queue.running() - retrying - delayed) as u64,
            delayed: delayed as u64,
            retrying: retrying as u64,
            running: queue.running() as u64,
            partial,
            dead: tally.buried,
            workers: u64::from(handler.leases),
            oldest: since.into_iter().flatten().min().unwrap_or(0),
            next_due: queue.next_due().unwrap_or(0),
            emitted: tally.emitted,
            done: tally.done,
            failed: tally.failed,
            died: tally.dead,
            cancelled: tally.cancelled,
            expired: tally.expired,
            errors: tally.errors,
            lately: handler.lately,
        }
    }
}

/// One handler now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerStats {
    pub id: u32,
    pub name: Vec<u8>,
    /// Events that do not run: all of them, those that may start, and those whose time has not come. Of an
    /// ordered handler, only the first of each key counts as ready or delayed.
    pub waiting: u64,
    pub ready: u64,
    pub delayed: u64,
    pub running: u64,
    pub leases: u32,
    /// Notifications in memory that wait.
    pub notes_waiting: u64,
    /// For how long the first one in line has been due.
    pub first_waits_us: i64,
    pub tally: Tally,
}

impl HandlerStats {
    fn of(handler: &Handler, now: i64) -> Self {
        let queue = &handler.queue;
        let first_waits_us = queue.first_due().map_or(0, |due| now.saturating_sub(due).max(0));
        Self {
            id: handler.spec.id,
            name: handler.spec.name.clone(),
            waiting: (queue.len() - queue.running()) as u64,
            ready: queue.ready() as u64,
            delayed: queue.delayed() as u64,
            running: queue.running() as u64,
            leases: handler.leases,
            notes_waiting: handler.notes.waiting.len() as u64,
            first_waits_us,
            tally: handler.tally.clone(),
        }
    }
}

impl Events {
    /// Of each handler, by id; at a time by the wall clock.
    pub fn stats(&self, now: i64) -> Vec<HandlerStats> {
        self.handlers.values().filter(|handler| !handler.removed).map(|handler| HandlerStats::of(handler, now)).collect()
    }

    /// Of each handler, by id; at a time by the wall clock.
    pub fn counts(&mut self, now: i64) -> Vec<(u32, HandlerCounts)> {
        let partial = self.backlog.partial;
        let mut running_since: BTreeMap<u32, i64> = BTreeMap::new();
        for lease in self.leases.values().filter(|lease| !lease.notes) {
            let first = lease.batches.iter().flatten().find_map(|batch| match &batch.work {
                BatchItems::Events { ids, .. } => ids.first(),
                BatchItems::Notifications(_) => None,
            });
            let item = first.zip(self.handlers.get(&lease.handler)).and_then(|(id, handler)| handler.queue.get(*id));
            if let Some(since) = item.map(|item| item.since) {
                running_since.entry(lease.handler).and_modify(|oldest| *oldest = since.min(*oldest)).or_insert(since);
            }
        }
        let there = self.handlers.iter_mut().filter(|(_, handler)| !handler.removed);
        there.map(|(id, handler)| (*id, HandlerCounts::of(handler, running_since.get(id).copied(), partial, now))).collect()
    }

    /// The transactions whose events have not been counted. None: others have not been, either.
    pub fn unseen(&self) -> Option<&Unseen> {
        Some(&self.unseen).filter(|_| !self.backlog.partial)
    }

    /// Pairs of event and handler that have not ended, by partition.
    pub fn outstanding(&self) -> [u64; PARTITIONS] {
        std::array::from_fn(|partition| self.ledger.pairs(partition as u8))
    }

    /// Bytes that notifications take in memory.
    pub fn note_bytes(&self) -> usize {
        self.ledger.note_bytes
    }

    /// How long the current partition has been that, at a time of the monotonic clock.
    pub fn age_us(&self, mono: u64) -> u64 {
        self.rotation.age(mono)
    }

    /// The partition that new events go to.
    pub fn current(&self) -> u8 {
        self.rotation.current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_same_when_they_come_back_from_shared_memory() {
        let words = std::array::from_fn(|i| if i == 9 { 1 } else { i as u64 + (1 << 33) });
        let counts = HandlerCounts::from_words(&words);
        assert_eq!(counts.to_words(), words);
        assert_ne!(counts, HandlerCounts::default());
    }

    #[test]
    fn what_was_delayed_has_been_due_since_its_time() {
        let counts = |oldest, next_due| HandlerCounts { oldest, next_due, ..Default::default() };
        let at_10 = |counts: HandlerCounts| (counts.is_outdated(10), counts.oldest_at(10));
        assert_eq!([at_10(counts(0, 0)), at_10(counts(0, 11)), at_10(counts(0, 9))], [(false, None), (false, None), (true, Some(9))]);
        assert_eq!([at_10(counts(5, 0)), at_10(counts(5, 9)), at_10(counts(9, 8))], [(false, Some(5)), (true, Some(5)), (true, Some(8))]);
    }
}

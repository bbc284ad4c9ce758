//! What views show of each handler.

use super::handler::Handler;
use super::part::Events;
use super::spec::PARTITIONS;
use crate::report::message_of;

/// SQLSTATEs that are counted for each handler, the first ones that came.
pub const ERRORS: usize = 8;

/// Counted since the coordinator started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub done: u64,
    /// Attempts that failed, each event of a batch counted.
    pub failed: u64,
    pub dead: u64,
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
    pub notes_errors: [(u32, u32); ERRORS],
    pub last_error: Option<(u32, Vec<u8>)>,
}

impl Tally {
    pub(super) fn notes_failed(&mut self, times: usize, sqlstate: u32) {
        self.notes_failed += times as u64;
        let place = self.notes_errors.iter_mut().find(|(known, so_far)| *known == sqlstate || *so_far == 0);
        if let Some((known, so_far)) = place {
            (*known, *so_far) = (sqlstate, so_far.saturating_add(times as u32));
        }
    }

    pub(super) fn error(&mut self, sqlstate: u32, message: &[u8]) {
        self.last_error = Some((sqlstate, message_of(message).to_vec()));
    }

    pub(super) fn dead(&mut self, sqlstate: u32, message: &[u8]) {
        self.dead += 1;
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
    pub errors: [(u32, u32); ERRORS],
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

    /// Of each handler, by id.
    pub fn note_counts(&self) -> Vec<(u32, NoteCounts)> {
        let there = self.handlers.iter().filter(|(_, handler)| !handler.removed);
        there.map(|(id, handler)| (*id, NoteCounts::of(handler))).collect()
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

//! How much the results of one role's tasks may be together. What a task has to say is counted before it is kept: of
//! two at a time that have no room together at most one goes on.

use super::entry::{DOOMED, PINS, READ};
use super::{Table, TaskState, Ticket};
use std::sync::atomic::Ordering::*;

impl Table<'_> {
    /// The result of a running task is to be of that many bytes. Where its role then has more than the limit (0 is
    /// none), those of its results make room that were read, the oldest first. False: it has no room, and nothing is
    /// counted. The callback deletes the file of a task.
    pub fn allow(&self, ticket: Ticket, bytes: u64, limit: u64, mut file: impl FnMut(u64)) -> bool {
        let Some(entry) = self.live(ticket) else { return false };
        let owner = entry.owner.load(Relaxed);
        let before = entry.kept.swap(bytes, SeqCst);
        while limit > 0 && self.kept(owner) > limit {
            let Some(victim) = self.read_result(owner) else {
                entry.kept.store(before, SeqCst);
                return false;
            };
            self.evict(victim, &mut file);
        }
        true
    }

    /// Bytes of all results of a role.
    fn kept(&self, owner: u32) -> u64 {
        let of = self.entries.iter().filter(|entry| entry.at().1 != TaskState::Free && entry.owner.load(Relaxed) == owner);
        of.fold(0, |sum, entry| sum.saturating_add(entry.kept.load(SeqCst)))
    }

    /// The oldest result of a role that was read and can go.
    fn read_result(&self, owner: u32) -> Option<Ticket> {
        let can_go = |hold: u64| hold & READ != 0 && hold & (PINS | DOOMED) == 0;
        let of = |ticket: Ticket| self.live(ticket).is_some_and(|entry| entry.owner.load(Relaxed) == owner && entry.kept.load(SeqCst) > 0);
        let results = self.finished().filter(|&(ticket, hold, _)| can_go(hold) && of(ticket));
        results.min_by_key(|&(ticket, _, at)| (at, ticket.id)).map(|(ticket, ..)| ticket)
    }
}

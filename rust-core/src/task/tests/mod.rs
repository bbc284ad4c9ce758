//! The table of tasks. Here is what the tests share.

mod claims;
mod model;
mod races;
mod restart;

use super::*;
use crate::pool::slot::Lease;
use std::sync::atomic::Ordering::*;

/// A table in ordinary memory, leaked so that tests may treat it as shared memory.
pub(crate) fn leak(tasks: usize, pages: usize) -> Table<'static> {
    Table {
        header: Box::leak(Box::default()),
        entries: Box::leak((0..tasks).map(|_| TaskEntry::default()).collect()),
        pages: Box::leak((0..pages).map(|_| Page::default()).collect()),
    }
}

const KEY: Key = Key { database: 5, user: 10, superuser: false };

fn new(submitter: u32, command: &[u8]) -> New<'_> {
    New { owner: 77, key: KEY, submitter, command, label: b"label", quotas: (1500, 7), prefer: Some((0, 4321)) }
}

fn lease(slot: u32, generation: u64) -> Lease {
    Lease { slot, generation }
}

fn outcome(end: TaskEnd) -> TaskOutcome<'static> {
    TaskOutcome { end, sqlstate: 0, rows: 3, message: b"SELECT 3" }
}

impl Table<'_> {
    fn filling(&self) -> Ticket {
        self.submit(&new(100, b"select"), 1).unwrap().0
    }

    fn queued(&self) -> Ticket {
        let ticket = self.filling();
        assert!(self.offer(ticket, TaskState::Queued));
        ticket
    }

    fn running(&self, on: Lease) -> Ticket {
        let ticket = self.queued();
        assert!(self.take(ticket, on, 20));
        ticket
    }

    fn done(&self, now: i64) -> Ticket {
        let ticket = self.running(lease(0, now as u64));
        assert_eq!(self.finish(ticket, lease(0, now as u64), &outcome(TaskEnd::Done), now), TaskChange::Kept);
        ticket
    }

    fn used(&self) -> (u32, usize) {
        (self.header.pages_used.load(SeqCst), self.pages.iter().filter(|page| page.owner.load(SeqCst) != 0).count())
    }

    fn owners_of(&self, owner: u32) -> usize {
        (0..self.entries.len() as u32).filter_map(|index| self.view(index)).filter(|view| view.card.owner == owner).count()
    }

    fn is_empty(&self) -> bool {
        self.used() == (0, 0) && self.header.used.load(SeqCst) == 0 && self.entries.iter().all(|entry| entry.at().1 == TaskState::Free)
    }
}

//! What this process knows of tasks.

use crate::error::Error;
use crate::memory;
use crate::task::{Table, Ticket};
use std::cell::{Cell, RefCell};

#[derive(Debug, Default)]
pub struct Tasks {
    table: Cell<Option<Table<'static>>>,
    /// Where the last tasks that this process dealt with are.
    pub(super) known: RefCell<Vec<Ticket>>,
    /// Those that start if the running transaction commits, with the subtransaction that wants them.
    pub(super) pending: RefCell<Vec<(Ticket, u32)>>,
    /// What this process reads now.
    pub(super) pinned: Cell<Option<Ticket>>,
    /// When it last looked for what has been kept for long enough.
    pub(super) expired: Cell<i64>,
    /// The last task that it has cancelled to break a deadlock, and which.
    pub(super) deadlock: RefCell<Option<(u64, Vec<u8>)>>,
}

impl Tasks {
    pub fn attach(&self, table: Table<'static>) {
        self.table.set(Some(table));
    }

    pub fn table(&self) -> Option<Table<'static>> {
        self.table.get()
    }

    /// What a task's error looks like to who reads it.
    pub(super) fn dress(&self, failed: Error, id: u64) -> Error {
        let Error::Report(mut report) = failed else { return failed };
        report.position = 0;
        let deadlock = self.deadlock.borrow();
        let detail = deadlock.as_ref().filter(|(of, _)| *of == id).map(|(_, detail)| detail.as_slice());
        report.raised_by(format!("task {id}"), detail).into()
    }

    /// Those for which there is no memory are looked for in the table.
    pub(super) fn remember(&self, ticket: Ticket) {
        let mut known = self.known.borrow_mut();
        if known.len() >= 4096 {
            known.drain(..2048);
        }
        _ = memory::push(&mut known, ticket, "a task");
    }

    pub(super) fn find(&self, table: &Table, id: u64) -> Option<Ticket> {
        let known = self.known.borrow().iter().rev().find(|ticket| ticket.id == id).copied();
        known.filter(|ticket| table.state(*ticket).is_some()).or_else(|| table.find(id))
    }
}

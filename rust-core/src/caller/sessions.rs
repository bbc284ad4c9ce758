//! What this process knows of the sessions that it has opened, by name.

use crate::error::Error;
use crate::host::Identity;
use crate::pool::slot::Lease;
use crate::report::Report;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What a session is at, as far as its owner knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The next command may come.
    Ready,
    /// A command was sent. Have all its results been read?
    Sent { read: bool },
    /// A call of this process uses it now.
    InUse,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) lease: Lease,
    pub(super) identity: Identity,
    pub(super) database: u32,
    pub(super) opened: i64,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) struct Named {
    pub(super) open: Open,
    /// The last error, and whether it is that of the last command.
    pub(super) error: Option<Report>,
    pub(super) failed: bool,
}

/// The sessions of this process, by name.
#[derive(Debug, Default)]
pub struct Sessions {
    pub(super) named: RefCell<BTreeMap<Vec<u8>, Named>>,
}

impl Sessions {
    pub(super) fn get(&self, name: &[u8]) -> Option<Open> {
        self.named.borrow().get(name).map(|named| named.open)
    }

    pub(super) fn set(&self, name: &[u8], open: Open) {
        if let Some(named) = self.named.borrow_mut().get_mut(name) {
            named.open = open;
        }
    }

    /// A command begins.
    pub(super) fn begin(&self, name: &[u8], open: Open) {
        if let Some(named) = self.named.borrow_mut().get_mut(name) {
            *named = Named { open, failed: false, error: named.error.take() };
        }
    }

    pub(super) fn remove(&self, name: &[u8]) {
        self.named.borrow_mut().remove(name);
    }

    pub(super) fn remember_error(&self, name: &[u8], failed: &Error) {
        if let (Error::Report(report), Some(named)) = (failed, self.named.borrow_mut().get_mut(name)) {
            named.error = Some(report.copied());
            named.failed = true;
        }
    }

    /// The database that a session is in.
    pub fn database(&self, name: &[u8]) -> Option<u32> {
        self.get(name).map(|open| open.database)
    }

    pub fn is_empty(&self) -> bool {
        self.named.borrow().is_empty()
    }
}

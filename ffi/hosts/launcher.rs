//! The core's `LauncherHost` over `aside_launcher_host`.

use crate::abi::{aside_assignment, aside_launcher_host, aside_launcher_note};
use crate::bytes::slice;
use crate::export::{FromC, Refused, Vtable};
use aside_core::launcher::reserve::Assignment;
use aside_core::launcher::{LauncherHost, Note};
use aside_core::memory;

/// Borrows a vtable for the duration of an export.
pub struct Host<'a>(pub &'a aside_launcher_host);

impl FromC for Host<'_> {
    type Raw = *const aside_launcher_host;
    unsafe fn from_c(raw: *const aside_launcher_host) -> Result<Self, Refused> {
        // SAFETY: passed on.
        Ok(Self(unsafe { Vtable::from_c(raw) }?.get()))
    }
}

impl LauncherHost for Host<'_> {
    fn timestamp(&self) -> i64 {
        crate::host_call!(self.0, timestamp())
    }
    fn databases(&self) -> Option<Vec<u32>> {
        let (mut data, mut count) = (std::ptr::null(), 0);
        // SAFETY: when true is returned the shim lends the array until its next call.
        crate::host_call!(self.0, databases(&mut data, &mut count))
            .then(|| unsafe { memory::copy(slice(data, count), "the databases") })?
            .ok()
    }
    fn free_slots(&self) -> u32 {
        crate::host_call!(self.0, free_slots())
    }
    fn workers(&self) -> u32 {
        crate::host_call!(self.0, workers())
    }
    fn start(&self, assignment: Assignment) -> bool {
        crate::host_call!(self.0, start(&raw_assignment(assignment)))
    }
    fn wake(&self, proc: u32) {
        crate::host_call!(self.0, wake(proc));
    }
    fn note(&self, _: u32, what: Note) {
        let what = match what {
            Note::NoWorkerSlot => aside_launcher_note::ASIDE_NOTE_NO_WORKER_SLOT,
            Note::TooManyDatabases => aside_launcher_note::ASIDE_NOTE_TOO_MANY_DATABASES,
        };
        crate::host_call!(self.0, note(what));
    }
}

/// An assignment as C reads it.
pub fn raw_assignment(assignment: Assignment) -> aside_assignment {
    aside_assignment { entry: assignment.entry, database: assignment.database, generation: assignment.generation }
}

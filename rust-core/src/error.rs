//! How what runs SQL can fail: with an error that the host keeps, or with one of ours.

use crate::host::Saved;
use crate::memory::NoMemory;
use crate::report::Report;

#[derive(Debug)]
pub enum Error {
    /// The host keeps it: see [`Saved`].
    Saved,
    Report(Box<Report>),
}

impl From<Saved> for Error {
    fn from(_: Saved) -> Self {
        Self::Saved
    }
}

impl From<Report> for Error {
    fn from(report: Report) -> Self {
        Self::Report(Box::new(report))
    }
}

impl From<NoMemory> for Error {
    fn from(no_memory: NoMemory) -> Self {
        Report::out_of_memory(no_memory).into()
    }
}

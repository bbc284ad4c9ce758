//! What the world offers to every part of a coordinator. What only one part needs is a trait of that part's own.

use crate::host::Saved;
use crate::memory::NoMemory;
use crate::report::OUT_OF_MEMORY;

/// Why a coordinator cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The database has the extension no more.
    Gone,
    /// It has another one of the same name.
    Replaced,
}

/// A line of the server's log on a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It fails, with the error that is kept.
    Fails,
    WorksAgain,
}

pub trait Host {
    /// Wall clock, microseconds since 2000-01-01; it may step either way.
    fn timestamp(&self) -> i64;
    /// Monotonic microseconds.
    fn now_us(&self) -> u64;
    /// From 0 to below 1.
    fn random(&self) -> f64 {
        0.5
    }
    /// There is no memory for something: that is the error that is kept.
    fn no_memory(&self, no: NoMemory) -> Saved {
        _ = no;
        Saved
    }
    /// The SQLSTATE of the error that is kept; 0: there is none.
    fn error(&self) -> u32 {
        0
    }
    /// Is the error that is kept one of no memory?
    fn short_of_memory(&self) -> bool {
        self.error() == OUT_OF_MEMORY
    }
    /// Much memory has become free: it is for others again.
    fn give_back(&self) {}
    /// Take over what the server has for this process; it is asked for by [`crate::async_event::EventStore`] later.
    fn hear(&self) -> Result<(), Saved> {
        Ok(())
    }
    /// After a failure: are the tables lost with which this coordinator began?
    fn lost(&self) -> Option<Lost> {
        None
    }
    /// Write into the server's log how a part fares.
    fn log(&self, part: &'static str, line: Line) {
        _ = (part, line);
    }
    /// Sleep so long, whoever sets the latch.
    fn breathe(&self, us: u64) {
        _ = us;
    }
    /// The coordinator ends: from now on nothing is waited for long.
    fn hurry(&self) {}
    /// Does a worker still run what an earlier coordinator of this database gave it?
    fn orphans(&self) -> bool {
        false
    }
}

//! What the world offers to every part of a coordinator. What only one part needs is a trait of that part's own.

use crate::host::Saved;
use crate::memory::NoMemory;

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
    /// Is the error that is kept one of no memory?
    fn short_of_memory(&self) -> bool {
        false
    }
    /// Much memory has become free: it is for others again.
    fn give_back(&self) {}
}

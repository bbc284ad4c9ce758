//! Who waits for which task: so that whoever ends it can wake them, and a search for deadlocks can ask.
//!
//! A waiter enlists, looks at the state, and then sleeps; who ends the task writes the state, and then wakes.
//! Where there is no place a waiter does without, and looks again from time to time as all do.

use super::Table;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// Places for waiters.
pub const PLACES: usize = 128;

#[repr(C)]
#[derive(Debug, Default)]
struct Waiter {
    pid: AtomicU32,
    proc: AtomicU32,
    /// Written last, cleared first: the other words are those of a waiter for this task.
    task: AtomicU64,
}

#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct Waiters([Waiter; PLACES]);

impl Default for Waiters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Waiter::default()))
    }
}

/// A place that this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    index: u32,
    pid: u32,
}

impl Table<'_> {
    /// This process is about to wait for a task.
    pub fn enlist(&self, pid: u32, proc: u32, id: u64) -> Option<Place> {
        let (place, index) = self.places().find(|(place, _)| place.pid.compare_exchange(0, pid, SeqCst, Relaxed).is_ok())?;
        place.proc.store(proc, Relaxed);
        place.task.store(id, SeqCst);
        Some(Place { index, pid })
    }

    /// It does not wait any more.
    pub fn delist(&self, place: Place) {
        if let Some(waiter) = self.header.waiters.0.get(place.index as usize) {
            Self::vacate(waiter, place.pid);
        }
    }

    /// Nor for anything else: for an exit callback.
    pub fn delist_all(&self, pid: u32) {
        self.places().for_each(|(waiter, _)| Self::vacate(waiter, pid));
    }

    fn vacate(waiter: &Waiter, pid: u32) {
        if waiter.pid.load(SeqCst) == pid {
            waiter.task.store(0, SeqCst);
            waiter.pid.store(0, SeqCst);
        }
    }

    /// Wake who waits for a task that has ended.
    pub fn wake(&self, id: u64, mut wake: impl FnMut(u32)) {
        for (waiter, _) in self.places().filter(|(waiter, _)| waiter.task.load(SeqCst) == id) {
            wake(waiter.proc.load(Relaxed));
        }
    }

    /// The tasks that a process waits for.
    #[expect(clippy::disallowed_methods, reason = "no more than there are places")]
    pub fn waits_of(&self, pid: u32) -> Vec<u64> {
        let of_pid = self.places().filter(|(waiter, _)| waiter.pid.load(SeqCst) == pid);
        of_pid.map(|(waiter, _)| waiter.task.load(SeqCst)).filter(|&task| task != 0).collect()
    }

    fn places(&self) -> impl Iterator<Item = (&Waiter, u32)> {
        self.header.waiters.0.iter().zip(0..)
    }
}

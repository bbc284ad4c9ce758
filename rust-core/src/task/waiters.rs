//! Who waits for which task: so that whoever ends it can wake them, and a search for deadlocks can ask.
//!
//! A waiter enlists, looks at the state, and then sleeps; who ends the task writes the state, and then wakes.
//! Where there is no place for each of its tasks a waiter looks again from time to time, as all do, and its places say
//! that they are not all: what it waits for is then not known.

use super::Table;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// Places for waiters.
pub const PLACES: usize = 4096;

/// Beside the id, which has 56 bits: there are further tasks that this process waits for.
const NOT_ALL: u64 = 1 << 63;

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
pub(super) struct Waiters {
    places: [Waiter; PLACES],
    /// None beyond has ever been taken.
    used: AtomicU32,
}

impl Default for Waiters {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| Waiter::default()), used: AtomicU32::new(0) }
    }
}

/// A place that this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaiterPlace {
    index: u32,
    pid: u32,
}

impl Table<'_> {
    /// This process is about to wait for a task.
    pub fn enlist(&self, pid: u32, proc: u32, id: u64) -> Option<WaiterPlace> {
        let mut places = self.header.waiters.places.iter().zip(0..);
        let (place, index) = places.find(|(place, _)| place.pid.compare_exchange(0, pid, SeqCst, Relaxed).is_ok())?;
        self.header.waiters.used.fetch_max(index + 1, SeqCst);
        place.proc.store(proc, Relaxed);
        place.task.store(id, SeqCst);
        Some(WaiterPlace { index, pid })
    }

    /// There was no place for others.
    pub fn not_all(&self, place: WaiterPlace) {
        if let Some(waiter) = self.header.waiters.places.get(place.index as usize) {
            waiter.task.fetch_or(NOT_ALL, SeqCst);
        }
    }

    /// It does not wait any more.
    pub fn delist(&self, place: WaiterPlace) {
        if let Some(waiter) = self.header.waiters.places.get(place.index as usize) {
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
        for (waiter, _) in self.places().filter(|(waiter, _)| waiter.task.load(SeqCst) & !NOT_ALL == id) {
            wake(waiter.proc.load(Relaxed));
        }
    }

    /// Does a process wait for tasks of which some are not known here?
    pub fn waits_for_others(&self, pid: u32) -> bool {
        let of_pid = |waiter: &Waiter| waiter.pid.load(SeqCst) == pid;
        self.places().any(|(waiter, _)| of_pid(waiter) && waiter.task.load(SeqCst) & NOT_ALL != 0)
    }

    /// The tasks that a process waits for.
    #[expect(clippy::disallowed_methods, reason = "no more than there are places")]
    pub fn waits_of(&self, pid: u32) -> Vec<u64> {
        let of_pid = self.places().filter(|(waiter, _)| waiter.pid.load(SeqCst) == pid);
        of_pid.map(|(waiter, _)| waiter.task.load(SeqCst) & !NOT_ALL).filter(|&task| task != 0).collect()
    }

    fn places(&self) -> impl Iterator<Item = (&Waiter, u32)> {
        let used = self.header.waiters.used.load(SeqCst) as usize;
        self.header.waiters.places.iter().take(used).zip(0..)
    }
}

//! Who waits for what: so that whoever ends it can wake them, and a search for deadlocks can ask. Tasks have such a list, and
//! runs of schedules have one.
//!
//! A waiter enlists, looks at the state, and then sleeps. Who ends a thing writes the state, and then wakes.
//! If there is no place for each thing that it waits for, a waiter looks again from time to time, as all do. Then its places
//! say that they are not all.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// Places for waiters.
pub const PLACES: usize = 4096;

/// Beside the name, which has less than 63 bits: there are further things that this process waits for.
const NOT_ALL: u64 = 1 << 63;

#[repr(C)]
#[derive(Debug, Default)]
struct Waiter {
    pid: AtomicU32,
    proc: AtomicU32,
    /// Names what it waits for. Written last, cleared first: the other words are those of a waiter for this.
    name: AtomicU64,
}

#[repr(C, align(64))]
#[derive(Debug)]
pub struct Waiters {
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

impl Waiters {
    /// This process is about to wait for what has this name, which is not 0.
    pub fn enlist(&self, pid: u32, proc: u32, name: u64) -> Option<WaiterPlace> {
        let mut places = self.places.iter().zip(0..);
        let (place, index) = places.find(|(place, _)| place.pid.compare_exchange(0, pid, SeqCst, Relaxed).is_ok())?;
        self.used.fetch_max(index + 1, SeqCst);
        place.proc.store(proc, Relaxed);
        place.name.store(name, SeqCst);
        Some(WaiterPlace { index, pid })
    }

    /// There was no place for others.
    pub fn not_all(&self, place: WaiterPlace) {
        if let Some(waiter) = self.places.get(place.index as usize) {
            waiter.name.fetch_or(NOT_ALL, SeqCst);
        }
    }

    /// It does not wait any more.
    pub fn delist(&self, place: WaiterPlace) {
        if let Some(waiter) = self.places.get(place.index as usize) {
            Self::vacate(waiter, place.pid);
        }
    }

    /// Nor for anything else: for an exit callback.
    pub fn delist_all(&self, pid: u32) {
        self.places().for_each(|(waiter, _)| Self::vacate(waiter, pid));
    }

    fn vacate(waiter: &Waiter, pid: u32) {
        if waiter.pid.load(SeqCst) == pid {
            waiter.name.store(0, SeqCst);
            waiter.pid.store(0, SeqCst);
        }
    }

    /// Wake who waits for what has ended.
    pub fn wake(&self, ended: u64, wake: impl FnMut(u32)) {
        self.wake_all(|name| name == ended, wake);
    }

    /// Wake who waits for one of these.
    pub fn wake_all(&self, ended: impl Fn(u64) -> bool, mut wake: impl FnMut(u32)) {
        for (waiter, _) in self.places() {
            let name = waiter.name.load(SeqCst) & !NOT_ALL;
            if name != 0 && ended(name) {
                wake(waiter.proc.load(Relaxed));
            }
        }
    }

    /// Does a process wait for things of which some are not known here?
    pub fn waits_for_others(&self, pid: u32) -> bool {
        let of_pid = |waiter: &Waiter| waiter.pid.load(SeqCst) == pid;
        self.places().any(|(waiter, _)| of_pid(waiter) && waiter.name.load(SeqCst) & NOT_ALL != 0)
    }

    /// What a process waits for.
    #[expect(clippy::disallowed_methods, reason = "no more than there are places")]
    pub fn waits_of(&self, pid: u32) -> Vec<u64> {
        let of_pid = self.places().filter(|(waiter, _)| waiter.pid.load(SeqCst) == pid);
        of_pid.map(|(waiter, _)| waiter.name.load(SeqCst) & !NOT_ALL).filter(|&name| name != 0).collect()
    }

    fn places(&self) -> impl Iterator<Item = (&Waiter, u32)> {
        let used = self.used.load(SeqCst) as usize;
        self.places.iter().take(used).zip(0..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_are_woken_by_what_they_wait_for() {
        let t = Box::<Waiters>::default();
        let places: Vec<_> = (0..PLACES as u32).map(|i| t.enlist(1000 + i / 2, i, u64::from(i % 4) + 1).unwrap()).collect();
        assert_eq!(t.enlist(9, 9, 1), None);
        assert_eq!((t.waits_of(1000), t.waits_of(1001), t.waits_of(9)), (vec![1, 2], vec![3, 4], vec![]));
        let woken = |id| {
            let mut woken = Vec::new();
            t.wake(id, |proc| woken.push(proc));
            woken
        };
        assert_eq!((woken(1).len(), woken(2)[0], woken(9).len()), (PLACES / 4, 1, 0));
        let mut all = 0;
        t.wake_all(|name| name < 3, |_| all += 1);
        assert_eq!(all, PLACES / 2);
        t.delist(places[1]);
        t.delist_all(1002);
        assert_eq!((woken(1)[1], woken(2)[0], t.waits_of(1000), t.waits_of(1002)), (8, 9, vec![1], vec![]));
        assert!(t.enlist(9, 9, 1).is_some());
        t.delist(places[1]);
        assert_eq!(t.waits_of(9), [1], "a place given back is not given back again");
        assert!(!t.waits_for_others(1000));
        t.not_all(places[0]);
        assert!(t.waits_for_others(1000) && !t.waits_for_others(1001));
        assert_eq!((t.waits_of(1000), woken(1)[0]), (vec![1], 0), "what it has said of is known all the same");
    }
}

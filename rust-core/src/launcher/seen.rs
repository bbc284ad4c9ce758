//! Up to which transactions a coordinator has counted the events of its database: in shared memory, for views that add what came
//! since. The coordinator alone writes it.

use crate::coordinator::unseen::Unseen;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// Transactions that were running at its last look. If there were more, a view shows what the coordinator has counted.
pub const RUNNING: usize = 32;

#[derive(Debug, Default)]
pub struct Seen {
    /// Odd while it is written.
    version: AtomicU32,
    /// How many were running, plus one; 0: nobody knows.
    count: AtomicU32,
    from: AtomicU64,
    running: [AtomicU64; RUNNING],
}

impl Seen {
    /// All but these were seen. None: that cannot be said.
    pub fn set(&self, unseen: Option<&Unseen>) {
        let unseen = unseen.filter(|unseen| unseen.running.len() <= RUNNING);
        self.version.fetch_add(1, AcqRel);
        for (place, xid) in self.running.iter().zip(unseen.into_iter().flat_map(|unseen| &unseen.running)) {
            place.store(*xid, Relaxed);
        }
        self.from.store(unseen.map_or(0, |unseen| unseen.from), Relaxed);
        self.count.store(unseen.map_or(0, |unseen| unseen.running.len() as u32 + 1), Relaxed);
        self.version.fetch_add(1, Release);
    }

    /// The first transaction that was not seen, nor any later one, and how many before that. The places of these are filled.
    pub fn get(&self, running: &mut [u64]) -> Option<(u64, usize)> {
        let version = self.version.load(Acquire);
        let count = self.count.load(Relaxed).checked_sub(1)? as usize;
        let from = self.from.load(Relaxed);
        for (xid, place) in running.get_mut(..count)?.iter_mut().zip(&self.running) {
            *xid = place.load(Relaxed);
        }
        std::sync::atomic::fence(Acquire);
        (version.is_multiple_of(2) && self.version.load(Relaxed) == version).then_some((from, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_known_unless_it_is_too_much_or_is_being_written() {
        let (seen, mut running) = (Seen::default(), [0; RUNNING]);
        assert_eq!(seen.get(&mut running), None);
        seen.set(Some(&Unseen { from: 100, running: vec![7, 9] }));
        assert_eq!((seen.get(&mut running), running[..3].to_vec()), (Some((100, 2)), vec![7, 9, 0]));
        assert_eq!(seen.get(&mut running[..1]), None, "there is no room for it");
        seen.version.fetch_add(1, Relaxed);
        assert_eq!(seen.get(&mut running), None, "somebody writes");
        seen.version.fetch_add(1, Relaxed);
        seen.set(Some(&Unseen { from: 100, running: (0..=RUNNING as u64).collect() }));
        assert_eq!(seen.get(&mut running), None);
        seen.set(Some(&Unseen { from: 101, running: Vec::new() }));
        assert_eq!(seen.get(&mut running), Some((101, 0)));
        seen.set(None);
        assert_eq!(seen.get(&mut running), None);
    }
}

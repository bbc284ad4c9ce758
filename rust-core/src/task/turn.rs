//! One process at a time gives workers to tasks, for all that want it: two that each see the same free place would
//! both fill it, beyond a quota, and a younger task could overtake an older one.
//!
//! Nobody waits for a turn. A process that cannot have the turn leaves a mark. The process that has the turn looks for
//! that mark before it gives the turn back.

use super::Table;
use std::sync::atomic::Ordering::*;

/// Looks that one process makes for others in a row; then others who ask have the turn.
const MOST_LOOKS: u32 = 1000;

/// The turn, until it is dropped.
pub(super) struct Turn<'a> {
    table: &'a Table<'a>,
    pid: u32,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.table.leave_turn(self.pid);
    }
}

impl Table<'_> {
    fn turn(&self, pid: u32, alive: impl Fn(u32) -> bool) -> Option<Turn<'_>> {
        let holder = &self.header.turn;
        let taken = match holder.compare_exchange(0, pid, SeqCst, SeqCst) {
            Ok(_) => true,
            // One that could not even run its exit callbacks.
            Err(other) if other != pid && !alive(other) => holder.compare_exchange(other, pid, SeqCst, Relaxed).is_ok(),
            Err(_) => false,
        };
        taken.then_some(Turn { table: self, pid })
    }

    /// Look at the queue, or have who does so look once more.
    pub(super) fn in_turn(&self, pid: u32, alive: impl Fn(u32) -> bool, mut look: impl FnMut()) {
        self.header.asked.fetch_add(1, SeqCst);
        for _ in 0..MOST_LOOKS {
            let Some(turn) = self.turn(pid, &alive) else { return };
            let asked = self.header.asked.load(SeqCst);
            look();
            drop(turn);
            if self.header.asked.load(SeqCst) == asked {
                return;
            }
        }
        // The next one who asks serves who asked last.
        self.expect_queued(true);
    }

    /// This process gives up the turn; did it have it?
    pub fn leave_turn(&self, pid: u32) -> bool {
        self.header.turn.compare_exchange(pid, 0, SeqCst, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::leak;
    use std::sync::atomic::{AtomicU32, Ordering::*};

    #[test]
    fn one_looks_at_a_time_and_nobody_who_asked_is_forgotten() {
        let table = leak(1, 1);
        let (looking, wanted, done) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|s| {
            for pid in 1..=6 {
                let (table, looking, wanted, done) = (&table, &looking, &wanted, &done);
                s.spawn(move || {
                    for _ in 0..2_000 {
                        wanted.fetch_add(1, SeqCst);
                        table.in_turn(
                            pid,
                            |_| true,
                            || {
                                assert_eq!(looking.fetch_add(1, SeqCst), 0);
                                // Long enough that another process looks meanwhile, if it may.
                                std::thread::yield_now();
                                done.fetch_max(wanted.load(SeqCst), SeqCst);
                                looking.fetch_sub(1, SeqCst);
                            },
                        );
                    }
                });
            }
        });
        assert_eq!(done.load(SeqCst), 12_000, "the last one who asked was served");
    }

    #[test]
    fn a_turn_of_a_process_that_has_gone_is_taken_over() {
        let table = leak(1, 1);
        let mut looks = 0;
        std::mem::forget(table.turn(7, |_| true).unwrap());
        table.in_turn(8, |_| true, || looks += 1);
        assert_eq!(looks, 0);
        table.in_turn(8, |_| false, || looks += 1);
        assert_eq!(looks, 1);
        assert!(!table.leave_turn(7) && table.turn(9, |_| true).is_some());
    }
}

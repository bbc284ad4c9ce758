//! Where the worker of a lease runs. While caller and worker take turns, one of them always sleeps. Then one processor is enough
//! for both, and better than two: to wake a process on a processor that rests, or that somebody else uses, takes ten times as
//! long as to switch to it. So where polling does not pay, the caller keeps its worker on its own processor.
//!
//! The worker is free to run anywhere again as soon as it is no longer so: when it has rows for a caller that goes on reading,
//! when its caller has slept for some time, and when it has nothing to do itself. What it was allowed before is written down
//! first, and is what it is allowed after.

use crate::host::World;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// A set of processors, as many as the kernel's usual calls know.
pub type Processors = [u64; 16];

/// It runs where it may.
const FREE: u32 = 0;
/// Somebody is about to change that.
const CHANGING: u32 = u32::MAX;

#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Place {
    allowed: [AtomicU64; 16],
    /// The processor that the worker is kept on, plus one; or one of the numbers below.
    kept: AtomicU32,
    pad: [u32; 15],
}

impl Place {
    /// Is the worker kept on one processor?
    pub fn is_kept(&self) -> bool {
        self.kept.load(Relaxed) != FREE
    }

    /// Keep the worker on the processor of this process, which is its caller.
    pub fn keep(&self, world: &impl World, worker: u32) {
        let Some(mine) = world.processor().filter(|mine| (*mine as usize) < size_of::<Processors>() * 8) else { return };
        let (word, bit) = ((mine / 64) as usize, 1 << (mine % 64));
        let kept = self.kept.load(SeqCst);
        if kept == mine + 1 || !self.begin(kept) {
            return;
        }
        if kept == FREE {
            let allowed = world.allowed(worker).unwrap_or_default();
            self.allowed.iter().zip(allowed).for_each(|(word, allowed)| word.store(allowed, Relaxed));
        }
        if self.allowed[word].load(Relaxed) & bit == 0 {
            self.kept.store(kept, SeqCst);
            return;
        }
        let mut only = Processors::default();
        only[word] = bit;
        world.allow(worker, &only);
        self.kept.store(mine + 1, SeqCst);
    }

    /// Let the worker run wherever it may. Where its caller keeps it at this moment, that is for the end of what it is about
    /// to be asked for.
    pub fn let_go(&self, world: &impl World, worker: u32) {
        let kept = self.kept.load(Relaxed);
        if kept != FREE && self.begin(kept) {
            world.allow(worker, &std::array::from_fn(|word| self.allowed[word].load(Relaxed)));
            self.kept.store(FREE, SeqCst);
        }
    }

    /// One process at a time changes what is so; no error and no signal can keep it from ending that.
    fn begin(&self, kept: u32) -> bool {
        kept != CHANGING && self.kept.compare_exchange(kept, CHANGING, SeqCst, Relaxed).is_ok()
    }

    /// Another worker comes.
    pub fn forget(&self) {
        self.kept.store(FREE, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Saved, Slept};

    /// A worker's processors, as they are for all who look.
    struct Machine<'a> {
        here: u32,
        worker: &'a [AtomicU64; 16],
    }

    impl World for Machine<'_> {
        fn now_us(&self) -> u64 {
            0
        }
        fn timestamp(&self) -> i64 {
            0
        }
        fn cpus(&self) -> u32 {
            4
        }
        fn my_pid(&self) -> u32 {
            1
        }
        fn my_proc(&self) -> u32 {
            1
        }
        fn interrupt_pending(&self) -> bool {
            false
        }
        fn terminating(&self) -> bool {
            false
        }
        fn sleep(&self, _: u32) -> Result<Slept, Saved> {
            Ok(Slept::TimedOut)
        }
        fn doze(&self, _: u32) -> Slept {
            Slept::TimedOut
        }
        fn wake(&self, _: u32) {}
        fn relax(&self) {}
        fn processor(&self) -> Option<u32> {
            Some(self.here)
        }
        fn allowed(&self, _: u32) -> Option<Processors> {
            Some(std::array::from_fn(|word| self.worker[word].load(SeqCst)))
        }
        fn allow(&self, _: u32, processors: &Processors) {
            self.worker.iter().zip(processors).for_each(|(word, new)| word.store(*new, SeqCst));
            std::thread::yield_now();
        }
    }

    fn four() -> [AtomicU64; 16] {
        std::array::from_fn(|word| AtomicU64::new(if word == 0 { 0b1111 } else { 0 }))
    }

    #[test]
    fn a_worker_is_kept_where_its_caller_is_and_gets_back_what_it_had() {
        let (worker, place) = (four(), Place::default());
        place.keep(&Machine { here: 2, worker: &worker }, 9);
        assert!(place.is_kept());
        assert_eq!(worker[0].load(SeqCst), 0b100);
        place.keep(&Machine { here: 3, worker: &worker }, 9);
        assert_eq!(worker[0].load(SeqCst), 0b1000, "its caller has moved");
        place.let_go(&Machine { here: 0, worker: &worker }, 9);
        assert!(!place.is_kept());
        assert_eq!(worker[0].load(SeqCst), 0b1111);
    }

    #[test]
    fn a_worker_that_may_not_be_where_its_caller_is_stays_where_it_may_be() {
        let (worker, place) = (four(), Place::default());
        for here in [5, 64, 1024, u32::MAX] {
            place.keep(&Machine { here, worker: &worker }, 9);
            assert!(!place.is_kept());
            assert_eq!(worker[0].load(SeqCst), 0b1111);
        }
    }

    #[test]
    fn whoever_keeps_it_and_lets_it_go_at_once_no_worker_is_kept_unsaid() {
        for _ in 0..200 {
            let (worker, place) = (four(), Place::default());
            std::thread::scope(|s| {
                for here in 0..3 {
                    let (worker, place) = (&worker, &place);
                    s.spawn(move || {
                        let machine = Machine { here, worker };
                        for _ in 0..20 {
                            if here == 0 { place.let_go(&machine, 9) } else { place.keep(&machine, 9) }
                        }
                    });
                }
            });
            assert_eq!(worker[0].load(SeqCst) != 0b1111, place.is_kept());
            place.let_go(&Machine { here: 0, worker: &worker }, 9);
            assert_eq!(worker[0].load(SeqCst), 0b1111);
        }
    }
}

//! When to poll instead of sleeping at once.
//!
//! A peer that answers within microseconds is met faster by looking again and again than by being
//! woken: a wake-up costs 5-50 us, and a latch that nobody sleeps on is set without a system call.
//! But polling takes a processor away from somebody. So it is done only while each busy lease can
//! have two processors to itself, for a bounded time, and less and less often where it does not pay.

use crate::host::World;
use std::cell::Cell;

/// How often to look at the clock while polling.
const CLOCK_EVERY: u32 = 64;
/// After so many failures in a row polling rests,
const PATIENCE: u32 = 4;
/// for so many waits at first, and for twice as many each time that it has not paid again.
const REST: u32 = 16;
const LONGEST_REST: u32 = 4096;

/// What one process has learned about polling for one kind of wait.
#[derive(Debug, Default)]
pub struct Poller {
    failures: Cell<u32>,
    /// Waits that do not poll, and how many it will be next time.
    rests: Cell<u32>,
    next: Cell<u32>,
}

impl Poller {
    /// Would a wait poll now?
    pub fn pays(&self, world: &impl World, busy: u32, budget_us: u32) -> bool {
        self.rests.get() == 0 && budget_us > 0 && busy.saturating_mul(2) <= world.cpus()
    }

    /// What was learned holds no longer.
    pub fn begin_anew(&self) {
        self.failures.set(0);
        self.rests.set(0);
        self.next.set(0);
    }

    /// A wait that does not poll.
    pub fn rest(&self) {
        self.rests.set(self.rests.get().saturating_sub(1));
    }

    /// Poll for at most `budget_us`; true as soon as `ready` holds.
    pub fn poll(&self, world: &impl World, busy: u32, budget_us: u32, mut ready: impl FnMut() -> bool) -> bool {
        if !self.pays(world, busy, budget_us) {
            self.rest();
            return false;
        }
        let start = world.now_us();
        loop {
            for _ in 0..CLOCK_EVERY {
                if ready() {
                    // Who lost the processor meanwhile has waited longer than a sleep would have lasted.
                    self.learn(world.now_us().saturating_sub(start) <= 2 * u64::from(budget_us));
                    return true;
                }
                world.relax();
            }
            if world.interrupt_pending() || world.now_us().saturating_sub(start) >= u64::from(budget_us) {
                self.learn(false);
                return false;
            }
        }
    }

    fn learn(&self, paid: bool) {
        let failures = if paid { 0 } else { self.failures.get() + 1 };
        self.failures.set(failures % PATIENCE);
        if paid {
            self.next.set(0);
        } else if failures == PATIENCE {
            let rests = self.next.get().clamp(REST, LONGEST_REST);
            self.rests.set(rests);
            self.next.set(rests * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Saved, Slept};

    struct Clock {
        now: Cell<u64>,
        cpus: u32,
    }
    impl World for Clock {
        fn now_us(&self) -> u64 {
            self.now.get()
        }
        fn timestamp(&self) -> i64 {
            0
        }
        fn cpus(&self) -> u32 {
            self.cpus
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
        fn relax(&self) {
            self.now.set(self.now.get() + 1);
        }
    }

    #[test]
    fn polling_is_bounded_by_its_budget() {
        let clock = Clock { now: Cell::new(0), cpus: 2 };
        assert!(!Poller::default().poll(&clock, 1, 50, || false));
        assert!((50..50 + u64::from(CLOCK_EVERY)).contains(&clock.now.get()));
    }

    #[test]
    fn nobody_polls_when_processors_are_short_or_the_setting_says_no() {
        let clock = Clock { now: Cell::new(0), cpus: 2 };
        assert!(!Poller::default().poll(&clock, 2, 50, || true));
        assert!(!Poller::default().poll(&clock, 1, 0, || true));
        assert_eq!(clock.now.get(), 0);
    }

    #[test]
    fn polling_that_never_pays_becomes_rare_and_comes_back_when_it_pays() {
        let clock = Clock { now: Cell::new(0), cpus: 2 };
        let poller = Poller::default();
        for _ in 0..1_000 {
            poller.poll(&clock, 1, 50, || false);
        }
        assert!(clock.now.get() < 1_000 * 66 / 8, "polled {} us", clock.now.get());
        assert!((0..LONGEST_REST + 1).any(|_| poller.poll(&clock, 1, 50, || true)));
        assert!(poller.poll(&clock, 1, 50, || true));
    }
}

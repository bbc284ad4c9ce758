//! A caller waits until an event, or a run of a schedule, has ended. The coordinator writes down that it has ended, and then
//! wakes the caller. An event and a run may have the same name: who waits for the other one looks, and sleeps on.

use crate::host::{Saved, World};
use crate::waiters::Waiters;

/// A waiter that nobody wakes looks again after this time. Nobody does if no coordinator is there while the run's rows are
/// deleted, or if there is no place for the waiter.
const LOOK_AGAIN_US: u64 = 1_000_000;

/// Numbers of runs that differ by this have the same name. Whoever is woken by the end of another run looks, and sleeps on.
const RUNS: u64 = 1 << 31;

/// Names a run of a database.
fn name(database: u32, run: i64) -> u64 {
    u64::from(database) * RUNS + run.unsigned_abs() % RUNS
}

/// Wait until the run has ended; false: the time has passed.
pub fn wait<W: World>(
    h: &W,
    waiters: &Waiters,
    (database, run): (u32, i64),
    timeout_us: Option<u64>,
    has_ended: impl Fn() -> Result<bool, Saved>,
) -> Result<bool, Saved> {
    let place = waiters.enlist(h.my_pid(), h.my_proc(), name(database, run));
    let ended = sleep_until(h, timeout_us, has_ended);
    place.into_iter().for_each(|place| waiters.delist(place));
    ended
}

fn sleep_until<W: World>(h: &W, timeout_us: Option<u64>, has_ended: impl Fn() -> Result<bool, Saved>) -> Result<bool, Saved> {
    let start = h.now_us();
    while !has_ended()? {
        let left = timeout_us.map_or(u64::MAX, |most| most.saturating_sub(h.now_us().saturating_sub(start)));
        if left == 0 {
            return Ok(false);
        }
        h.sleep(left.min(LOOK_AGAIN_US).div_ceil(1000) as u32)?;
    }
    Ok(true)
}

/// These have ended.
pub fn tell_all<W: World>(h: &W, waiters: &Waiters, database: u32, ended: &[i64]) {
    let is_one = |waits_for: u64| ended.iter().any(|id| name(database, *id) == waits_for);
    waiters.wake_all(is_one, |proc| h.wake(proc));
}

/// A run has ended; None: any of the database's may have.
pub fn tell<W: World>(h: &W, waiters: &Waiters, database: u32, run: Option<i64>) {
    match run {
        Some(run) => waiters.wake(name(database, run), |proc| h.wake(proc)),
        None => waiters.wake_all(|waits_for| waits_for / RUNS == u64::from(database), |proc| h.wake(proc)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Slept;
    use std::cell::{Cell, RefCell};

    /// A process whose sleep is a step of the test.
    struct Process<'t> {
        now_us: Cell<u64>,
        woken: RefCell<Vec<u32>>,
        sleeps: RefCell<Vec<u32>>,
        meanwhile: &'t dyn Fn(&Process<'t>) -> Result<Slept, Saved>,
    }

    impl World for Process<'_> {
        fn now_us(&self) -> u64 {
            self.now_us.get()
        }
        fn timestamp(&self) -> i64 {
            0
        }
        fn cpus(&self) -> u32 {
            1
        }
        fn my_pid(&self) -> u32 {
            100
        }
        fn my_proc(&self) -> u32 {
            7
        }
        fn interrupt_pending(&self) -> bool {
            false
        }
        fn terminating(&self) -> bool {
            false
        }
        fn sleep(&self, timeout_ms: u32) -> Result<Slept, Saved> {
            self.sleeps.borrow_mut().push(timeout_ms);
            (self.meanwhile)(self)
        }
        fn doze(&self, _: u32) -> Slept {
            Slept::TimedOut
        }
        fn wake(&self, proc: u32) {
            self.woken.borrow_mut().push(proc);
        }
        fn relax(&self) {}
    }

    fn process<'t>(meanwhile: &'t dyn Fn(&Process<'t>) -> Result<Slept, Saved>) -> Process<'t> {
        Process { now_us: Cell::new(0), woken: RefCell::default(), sleeps: RefCell::default(), meanwhile }
    }

    fn passes(h: &Process<'_>) -> Result<Slept, Saved> {
        let slept = h.sleeps.borrow().last().copied().unwrap_or_default();
        h.now_us.set(h.now_us.get() + u64::from(slept) * 1000);
        Ok(Slept::TimedOut)
    }

    #[test]
    fn a_waiter_is_woken_by_the_end_of_its_run_or_by_anything_that_may_be_one() {
        let waiters = Box::<Waiters>::default();
        let ended = Cell::new(false);
        let end = |h: &Process<'_>| {
            for (database, run) in [(5, Some(9)), (6, Some(8)), (6, None), (0, Some(8))] {
                tell(h, &waiters, database, run);
            }
            assert_eq!(*h.woken.borrow(), [], "they are not its run");
            ended.set(true);
            tell(h, &waiters, 5, Some(8));
            tell(h, &waiters, 5, None);
            Ok(Slept::Woken)
        };
        let h = process(&end);
        assert_eq!(wait(&h, &waiters, (5, 8), None, || Ok(ended.get())), Ok(true));
        assert_eq!((h.woken.take(), h.sleeps.take()), (vec![7, 7], vec![1000]));
        tell(&h, &waiters, 5, None);
        assert_eq!(*h.woken.borrow(), [], "it waits no more");
        assert_eq!(wait(&h, &waiters, (u32::MAX, i64::MAX), None, || Ok(true)), Ok(true), "what has ended is not waited for");
        assert_eq!(*h.sleeps.borrow(), []);
    }

    #[test]
    fn a_waiter_that_nobody_wakes_looks_each_second_and_waits_no_longer_than_it_may() {
        let waiters = Box::<Waiters>::default();
        let (h, looks) = (process(&passes), Cell::new(0));
        let look = || {
            looks.set(looks.get() + 1);
            Ok(false)
        };
        assert_eq!(wait(&h, &waiters, (5, 8), Some(2_500_000), look), Ok(false));
        assert_eq!((h.sleeps.take(), looks.take()), (vec![1000, 1000, 500], 4));
        assert_eq!(wait(&h, &waiters, (5, 8), Some(0), || Ok(false)), Ok(false));
        assert_eq!(*h.sleeps.borrow(), []);
        let third = || if looks.replace(looks.get() + 1) == 2 { Ok(true) } else { Ok(false) };
        assert_eq!(wait(&h, &waiters, (5, 8), None, third), Ok(true));
    }

    #[test]
    fn a_wait_that_fails_leaves_nothing_behind() {
        let waiters = Box::<Waiters>::default();
        let h = process(&|_| Err(Saved));
        assert_eq!(wait(&h, &waiters, (5, 8), None, || Ok(false)), Err(Saved), "it was cancelled");
        assert_eq!(wait(&h, &waiters, (5, 8), None, || Err(Saved)), Err(Saved), "the tables cannot be read");
        assert_eq!(waiters.waits_of(100), []);
    }
}

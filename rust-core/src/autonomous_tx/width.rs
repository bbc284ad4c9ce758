//! How many leases a coordinator has at a time, by experience: where handlers find no workers for calls of their own,
//! fewer of them are to run.

use std::cell::Cell;

/// So long after the last shortage twice as many are tried, and twice as many each time.
const AGAIN_US: u64 = 5_000_000;
/// So many are as good as without a bound.
const NO_BOUND: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Width {
    /// No more than so many, until then.
    narrow: Cell<Option<(usize, u64)>>,
}

impl Width {
    /// May there be one lease more than so many?
    pub fn allows(&self, leases: usize, now_us: u64) -> bool {
        if let Some((most, until)) = self.narrow.get()
            && now_us >= until
        {
            self.narrow.set((most < NO_BOUND).then_some((most * 2, now_us + AGAIN_US)));
        }
        self.narrow.get().is_none_or(|(most, _)| leases < most)
    }

    /// A handler found no worker for a call of its own, while there were so many leases.
    pub fn was_short(&self, leases: usize, now_us: u64) {
        let most = self.narrow.get().map_or(leases, |(most, _)| most.min(leases));
        self.narrow.set(Some(((most / 2).max(1), now_us + AGAIN_US)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_handlers_find_no_workers_fewer_of_them_run_for_a_while() {
        let width = Width::default();
        assert!(width.allows(1000, 0));
        width.was_short(7, 0);
        assert!(width.allows(2, 1) && !width.allows(3, 1));
        (0..9).for_each(|_| width.was_short(3, 2));
        assert!(width.allows(0, 3) && !width.allows(1, 3), "one is left always");
        for (again, most) in [(1, 2), (2, 4), (3, 8)] {
            let now = 2 + again * AGAIN_US;
            assert!(width.allows(most - 1, now) && !width.allows(most, now), "{again}");
        }
        (4..30).for_each(|again| _ = width.allows(0, 2 + again * AGAIN_US));
        assert!(width.allows(100_000, 30 * AGAIN_US), "in the end it is forgotten");
    }
}

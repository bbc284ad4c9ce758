//! How many leases a handler has at a time, by experience: where its runs find no workers for calls of their own, fewer of
//! them are to go on side by side. Other handlers have their own experience.

/// So long after the last shortage twice as many are tried, and twice as many each time.
const AGAIN_US: u64 = 5_000_000;
/// So many are as good as without a bound.
const NO_BOUND: u32 = 1024;

#[derive(Debug, Default)]
pub(super) struct Width {
    /// No more than so many, until then.
    narrow: Option<(u32, u64)>,
}

impl Width {
    /// So many leases there may be.
    pub fn most(&self) -> u32 {
        self.narrow.map_or(u32::MAX, |(most, _)| most)
    }

    /// When more may be tried.
    pub fn wider_at(&self) -> Option<u64> {
        self.narrow.map(|(_, until)| until)
    }

    /// It has been so long, and there may be more.
    pub fn widen(&mut self, now_us: u64) {
        if let Some((most, until)) = self.narrow
            && now_us >= until
        {
            self.narrow = (most < NO_BOUND).then_some((most * 2, now_us + AGAIN_US));
        }
    }

    /// A run found no worker for a call of its own, while there were so many leases.
    pub fn was_short(&mut self, leases: u32, now_us: u64) {
        self.narrow = Some(((self.most().min(leases) / 2).max(1), now_us + AGAIN_US));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_its_runs_find_no_workers_fewer_of_them_go_on_for_a_while() {
        let mut width = Width::default();
        assert_eq!((width.most(), width.wider_at()), (u32::MAX, None));
        width.was_short(7, 0);
        assert_eq!((width.most(), width.wider_at()), (3, Some(AGAIN_US)));
        (0..9).for_each(|_| width.was_short(3, 2));
        width.widen(2 + AGAIN_US - 1);
        assert_eq!(width.most(), 1, "one is left always");
        for (again, most) in [(1, 2), (2, 4), (3, 8)] {
            width.widen(2 + again * AGAIN_US);
            assert_eq!(width.most(), most);
        }
        (4..30).for_each(|again| width.widen(2 + again * AGAIN_US));
        assert_eq!((width.most(), width.wider_at()), (u32::MAX, None), "in the end it is forgotten");
    }
}

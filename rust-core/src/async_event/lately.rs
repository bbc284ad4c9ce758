//! How much has happened in the last minute, in slots of ten seconds. The coordinator writes them when it takes a turn. Whoever
//! reads them says what time it is: what a coordinator that sleeps wrote last is over a minute later.

/// What is counted: events that came, that were handled, attempts that failed.
pub const KINDS: usize = 3;
pub const SLOTS: usize = 7;
const SLOT_US: i64 = 10_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    /// When it began to count; 0: it has not.
    pub began: i64,
    /// The slot that is written now: its number since 2000.
    pub slot: i64,
    /// By number modulo their number.
    pub counts: [[u64; KINDS]; SLOTS],
}

/// Per second, over the time that is known of the last minute.
pub type Rates = [f64; KINDS];

fn place(slot: i64) -> usize {
    slot.rem_euclid(SLOTS as i64) as usize
}

impl Lately {
    /// So much more has happened.
    pub fn add(&mut self, more: [u64; KINDS], now: i64) {
        let slot = now.div_euclid(SLOT_US);
        if self.began == 0 {
            (self.began, self.slot) = (now, slot);
        }
        // Those between are of a time in which nothing was written. The clock may have been set back.
        let passed = slot.saturating_sub(self.slot).clamp(0, SLOTS as i64);
        for later in 1..=passed {
            self.counts[place(slot - passed + later)] = [0; KINDS];
        }
        if passed > 0 || slot < self.slot {
            self.slot = slot;
        }
        let counts = &mut self.counts[place(slot)];
        counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
    }

    /// The slot that is not over is counted for as long as it lasts so far.
    pub fn rates(&self, now: i64) -> Rates {
        let current = now.div_euclid(SLOT_US);
        let first = current.saturating_sub(SLOTS as i64 - 2);
        let seen = (first..=current).filter(|slot| *slot <= self.slot && *slot > self.slot - SLOTS as i64);
        let sums = seen
            .map(|slot| self.counts[place(slot)])
            .fold([0; KINDS], |sums: [u64; KINDS], counts| std::array::from_fn(|i| sums[i] + counts[i]));
        let seconds = now.saturating_sub(self.began.max(first.saturating_mul(SLOT_US))) as f64 / 1e6;
        sums.map(|sum| if self.began == 0 { 0.0 } else { sum as f64 / seconds.max(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn what_happened_is_a_rate_for_a_minute_and_then_forgotten() {
        let mut lately = Lately::default();
        assert_eq!(lately.rates(1000 * S), [0.0; 3]);
        lately.add([0; 3], 1000 * S);
        lately.add([100, 50, 10], 1005 * S);
        assert_eq!(lately.rates(1005 * S), [20.0, 10.0, 2.0], "over the time that it has counted");
        lately.add([100, 0, 0], 1015 * S);
        assert_eq!(lately.rates(1020 * S)[0], 10.0);
        assert_eq!(lately.rates(1050 * S)[0], 4.0, "nobody has written since");
        assert_eq!(lately.rates(1065 * S)[0], 100.0 / 55.0, "the first slot is over");
        assert_eq!(lately.rates(1100 * S), [0.0; 3]);
        lately.add([60, 0, 0], 5000 * S);
        assert_eq!(lately.rates(5010 * S)[0], 1.2, "what is older than a minute is no part of it");
    }

    #[test]
    fn a_second_is_the_shortest_time_and_a_clock_that_is_set_back_does_no_harm() {
        let mut lately = Lately::default();
        lately.add([7, 0, 0], 2000 * S);
        assert_eq!(lately.rates(2000 * S)[0], 7.0);
        lately.add([1, 0, 0], 1000 * S);
        assert!(lately.rates(1000 * S)[0] >= 1.0 && lately.rates(i64::MIN)[0] >= 0.0 && lately.rates(i64::MAX)[0] == 0.0);
    }
}

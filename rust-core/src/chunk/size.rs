//! How many rows the next chunks of a job have, if the job does not say: so many that a chunk takes about a second.

pub const TARGET_US: u64 = 1_000_000;
const FIRST: u64 = 1_000;
const MOST: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u64);

impl Default for Size {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Size {
    pub fn rows(self, fixed: Option<u64>) -> u64 {
        fixed.unwrap_or(self.0)
    }

    /// A chunk of so many rows took so long. The size grows to its double at most, and shrinks at once.
    pub fn learn(&mut self, rows: u64, took_us: u64) {
        let wanted = u128::from(rows.max(1)) * u128::from(TARGET_US) / u128::from(took_us.max(1));
        self.0 = u64::try_from(wanted).unwrap_or(u64::MAX).clamp(1, self.0.saturating_mul(2)).min(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_to_take_about_a_second() {
        for us_per_row in [1, 20, 1_000, 50_000, 3_000_000] {
            let mut size = Size::default();
            for _ in 0..20 {
                size.learn(size.rows(None), size.rows(None) * us_per_row);
            }
            let took = size.rows(None) * us_per_row;
            assert!(took <= TARGET_US.max(us_per_row) && (took >= TARGET_US / 2 || size.rows(None) == MOST), "{us_per_row} {took}");
        }
    }

    #[test]
    fn the_size_grows_to_its_double_and_shrinks_at_once() {
        let mut size = Size::default();
        size.learn(1_000, 1);
        assert_eq!(size.rows(None), 2_000);
        size.learn(2_000, 200 * TARGET_US);
        assert_eq!((size.rows(None), size.rows(Some(7))), (10, 7));
    }
}

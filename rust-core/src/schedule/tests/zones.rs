//! Zones for tests: their changes as the tz database has them.

use super::super::civil::{DAY, Date};
use super::super::zone::{Span, Zone};

/// Changes in their order: instant, offset from then on. `first`: before them.
pub struct Changes {
    pub first: i64,
    pub changes: Vec<(i64, i64)>,
}

impl Zone for Changes {
    fn span(&self, at: i64) -> Span {
        let passed = self.changes.partition_point(|(when, _)| *when <= at);
        let offset = passed.checked_sub(1).map_or(self.first, |last| self.changes[last].1);
        Span { offset, until: self.changes.get(passed).map_or(i64::MAX, |(when, _)| *when) }
    }
}

/// A time on a wall, in seconds.
pub fn shown(text: &str) -> i64 {
    let numbers: Vec<i64> = text.split(['-', ' ', ':']).map(|part| part.parse().unwrap()).collect();
    let date = Date { year: numbers[0], month: numbers[1] as u32, day: numbers[2] as u32 };
    date.days() * DAY + numbers[3] * 3600 + numbers.get(4).unwrap_or(&0) * 60 + numbers.get(5).unwrap_or(&0)
}

fn last_sunday(year: i64, month: u32) -> i64 {
    let end = Date { year, month, day: 31 }.days();
    end - i64::from(Date::of_days(end).weekday())
}

/// One hour ahead, two in summer, changed at 01:00 UTC: 2000 to 2100.
pub fn berlin() -> Changes {
    let changes = (2000..=2100).flat_map(|year| [(last_sunday(year, 3) * DAY + 3600, 7200), (last_sunday(year, 10) * DAY + 3600, 3600)]);
    Changes { first: 3600, changes: changes.collect() }
}

/// 10:30 ahead, 11:00 in summer: October 6 2024 to April 6 2025.
pub fn lord_howe() -> Changes {
    let changes = vec![(shown("2024-10-05 15:30"), 39_600), (shown("2025-04-05 15:00"), 37_800)];
    Changes { first: 37_800, changes }
}

/// Midnight of November 4 2018 was not.
pub fn sao_paulo() -> Changes {
    Changes { first: -10_800, changes: vec![(shown("2018-11-04 03:00"), -7_200), (shown("2019-02-17 02:00"), -10_800)] }
}

/// December 30 2011 was not.
pub fn apia() -> Changes {
    Changes { first: -36_000, changes: vec![(shown("2011-12-30 10:00"), 50_400)] }
}

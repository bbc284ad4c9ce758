//! Turns seconds since 2000-01-01 00:00 into the date that a calendar shows, and back. No zone plays a part.

pub const DAY: i64 = 86_400;

/// A day: year, month from 1, day from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    pub year: i64,
    pub month: u32,
    pub day: u32,
}

/// Days from 2000-01-01 to 0000-03-01, where the count of years that end with February begins.
const MARCH_0000: i64 = 730_425;
const CYCLE_DAYS: i64 = 146_097;

pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// The day that is so many days after 2000-01-01.
    pub fn of_days(days: i64) -> Self {
        let days = days + MARCH_0000;
        let (cycle, of_cycle) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
        let of_years = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
        let of_year = of_cycle - (365 * of_years + of_years / 4 - of_years / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self { year: cycle * 400 + of_years + i64::from(month <= 2), month: month as u32, day: day as u32 }
    }

    /// Days since 2000-01-01.
    pub fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = i64::from((self.month + 9) % 12);
        let of_year = (153 * from_march + 2) / 5 + i64::from(self.day) - 1;
        cycle * CYCLE_DAYS + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - MARCH_0000
    }

    /// Days since Sunday.
    pub fn weekday(self) -> u32 {
        (self.days() + 6).rem_euclid(7) as u32
    }

    pub fn first_of_next_month(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1, day: 1 },
            month => Self { year: self.year, month: month + 1, day: 1 },
        }
    }

    /// So many months later: the same day, or the month's last.
    pub fn plus_months(self, months: i64) -> Self {
        let all = self.year * 12 + i64::from(self.month) - 1 + months;
        let (year, month) = (all.div_euclid(12), all.rem_euclid(12) as u32 + 1);
        Self { year, month, day: self.day.min(days_in_month(year, month)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        assert_eq!(Date::of_days(0), Date { year: 2000, month: 1, day: 1 });
        assert_eq!(Date { year: 2000, month: 1, day: 1 }.weekday(), 6);
        let mut before = Date::of_days(-400_001);
        for days in -400_000..400_000 {
            let date = Date::of_days(days);
            assert_eq!(date.days(), days);
            assert!(date > before && date.day <= days_in_month(date.year, date.month));
            before = date;
        }
    }

    #[test]
    fn a_month_later_is_the_same_day_or_the_last() {
        let end = Date { year: 2023, month: 10, day: 31 };
        assert_eq!(end.plus_months(1).day, 30);
        assert_eq!(end.plus_months(4), Date { year: 2024, month: 2, day: 29 });
        assert_eq!(end.plus_months(16), Date { year: 2025, month: 2, day: 28 });
        assert_eq!(end.plus_months(2), Date { year: 2023, month: 12, day: 31 });
    }
}

//! Finds when a schedule fires next, on clocks that are changed twice a year.
//!
//! A fixed time in the gap fires at the first instant after the gap. A fixed time that clocks show twice fires the first
//! time. A pattern with `*` or a step in its hour field follows real time. So does an interval without days and months.

use super::civil::{DAY, Date};
use super::cron::Cron;
use super::spec::{Interval, SECOND_US, Spec};
use super::zone::{self, Zone};

/// The end of the year 9999: nothing fires later.
pub const LAST_US: i64 = 2_921_940 * DAY * SECOND_US - 1;
/// A pattern that does not fire for so long does not fire any more.
const LONGEST_S: i64 = 400 * 366 * DAY;

impl Spec {
    /// The first due time later than `after`; microseconds since 2000-01-01 UTC. For `after <interval>`, `after` is when the
    /// last run has ended. None: never.
    pub fn next(&self, zone: &dyn Zone, after: i64) -> Option<i64> {
        let due = match self {
            Self::Cron(cron) => next_match(cron, zone, after.div_euclid(SECOND_US))?.checked_mul(SECOND_US)?,
            Self::Every { interval, anchor, begins } => next_multiple(*interval, *anchor, i64::from(!*begins), zone, after)?,
            Self::After(interval) => plus(after, *interval, 1, zone)?,
            Self::At(at) => Some(*at).filter(|at| *at > after)?,
            Self::Reboot => return None,
        };
        Some(due).filter(|due| *due <= LAST_US)
    }

    /// The last due time that is not later than `now` and later than `after`, which is one.
    pub fn latest(&self, zone: &dyn Zone, after: i64, now: i64) -> Option<i64> {
        let mut back = SECOND_US;
        loop {
            let start = now.saturating_sub(back).max(after);
            let mut found = None;
            let mut at = start;
            while let Some(due) = self.next(zone, at).filter(|due| *due <= now) {
                (found, at) = (Some(due), due);
            }
            if found.is_some() || start <= after {
                return found;
            }
            back = back.saturating_mul(8);
        }
    }
}

/// The first second later than this one at which a pattern matches.
fn next_match(cron: &Cron, zone: &dyn Zone, after: i64) -> Option<i64> {
    for stretch in zone::stretches(zone, after) {
        if stretch.begin > after.saturating_add(LONGEST_S) {
            return None;
        }
        let mut from = stretch.first_shown();
        if let Some(shown) = stretch.shown.filter(|_| !cron.real_time) {
            if shown < from && stretch.begin > after && cron.first(shown, from).is_some() {
                return Some(stretch.begin);
            }
            from = from.max(shown);
        }
        from = from.max(after.saturating_add(1 + stretch.offset));
        let end = stretch.end_shown().min(from.saturating_add(LONGEST_S));
        if let Some(shown) = cron.first(from, end) {
            return Some(shown - stretch.offset);
        }
    }
    None
}

/// The anchor and so many intervals: months and days on the wall's clock, the rest in real time.
fn plus(anchor: i64, interval: Interval, times: i64, zone: &dyn Zone) -> Option<i64> {
    let (months, days) = (interval.months.checked_mul(times)?, interval.days.checked_mul(times)?);
    let mut at = anchor;
    if (months, days) != (0, 0) {
        let shown = zone::shown_at(zone, anchor.div_euclid(SECOND_US));
        let date = Date::of_days(shown.div_euclid(DAY)).plus_months(months);
        let later = date.days().checked_add(days)?.checked_mul(DAY)?.checked_add(shown.rem_euclid(DAY))?;
        let second = zone::instant_of(zone, later);
        let whole = zone::shown_at(zone, second) == later;
        at = second.checked_mul(SECOND_US)? + if whole { anchor.rem_euclid(SECOND_US) } else { 0 };
    }
    at.checked_add(interval.us.checked_mul(times)?)
}

/// The first of `plus(anchor, interval, n)`, from n = `least` on, that is later than `after`.
fn next_multiple(interval: Interval, anchor: i64, least: i64, zone: &dyn Zone, after: i64) -> Option<i64> {
    let longest = (interval.months * 31 + interval.days) as i128 * i128::from(DAY * SECOND_US) + i128::from(interval.us);
    let passed = i128::from(after) - i128::from(anchor);
    let mut times = if passed < 0 { 0 } else { i64::try_from(passed / longest).ok()?.saturating_sub(2) }.max(least);
    loop {
        let due = plus(anchor, interval, times, zone)?;
        if due > after || due > LAST_US {
            return Some(due);
        }
        times += 1;
    }
}

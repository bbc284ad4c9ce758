//! A specification in words.

use super::civil::{DAY, Date};
use super::spec::{Interval, SECOND_US, Spec};
use super::zone::{self, Zone};

impl Spec {
    pub fn in_words(&self, zone: &dyn Zone) -> String {
        match self {
            Self::Cron(cron) => cron.in_words(),
            Self::Every { interval, anchor, begins: true } => {
                format!("Every {}, beginning at {}.", interval.in_words(), time(*anchor, zone))
            }
            Self::Every { interval, .. } => format!("Every {}, beginning that long after it is set.", interval.in_words()),
            Self::After(interval) => format!("{} after the last run has ended.", capital(&interval.in_words())),
            Self::At(at) => format!("Once, at {}.", time(*at, zone)),
            Self::Reboot => "Once after each start of the server.".into(),
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), chars.as_str()))
}

impl Interval {
    fn in_words(&self) -> String {
        let seconds = self.us / SECOND_US;
        let parts = [
            (self.months / 12, "year"),
            (self.months % 12, "month"),
            (self.days, "day"),
            (seconds / 3600, "hour"),
            (seconds / 60 % 60, "minute"),
            (seconds % 60, "second"),
            (self.us % SECOND_US, "microsecond"),
        ];
        parts.iter().filter(|(count, _)| *count > 0).fold(String::new(), |all, (count, unit)| {
            let (separator, plural) = (if all.is_empty() { "" } else { " " }, if *count == 1 { "" } else { "s" });
            format!("{all}{separator}{count} {unit}{plural}")
        })
    }
}

/// The time that wall clocks of the zone show.
fn time(at: i64, zone: &dyn Zone) -> String {
    let second = at.div_euclid(SECOND_US);
    let shown = zone::shown_at(zone, second);
    let (date, of_day, offset) = (Date::of_days(shown.div_euclid(DAY)), shown.rem_euclid(DAY), (shown - second) / 60);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    format!(
        "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}{sign}{:02}:{:02}",
        date.year,
        date.month,
        date.day,
        offset / 60,
        offset % 60
    )
}

//! Cron patterns of five or six fields, by the Open Cron Pattern Specification 1.4. The crate croner reads a pattern and
//! knows which days match. This file says which field is wrong and where, and finds the next wall-clock time that matches.

use super::civil::{DAY, Date};
use super::error::{Wrong, wrong};
use crate::memory::{self, SMALL};
use croner::parser::{CronParser, Seconds, Year};
use croner::{CronPattern, Weekday};

/// The calendar repeats after this many years, and so does every pattern.
const CYCLE_YEARS: i64 = 400;

/// A pattern, ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    text: String,
    pattern: CronPattern,
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    /// The hour field has `*` or a step: it follows real time where clocks are changed.
    pub real_time: bool,
}

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
    /// Signs that the field may have beside numbers and names.
    signs: &'static str,
}

const NO_NAMES: &[&str] = &[];
const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 6] = [
    Field { name: "second", low: 0, high: 59, names: NO_NAMES, signs: "" },
    Field { name: "minute", low: 0, high: 59, names: NO_NAMES, signs: "" },
    Field { name: "hour", low: 0, high: 23, names: NO_NAMES, signs: "" },
    Field { name: "day-of-month", low: 1, high: 31, names: NO_NAMES, signs: "LW?" },
    Field { name: "month", low: 1, high: 12, names: MONTHS, signs: "" },
    Field { name: "day-of-week", low: 0, high: 7, names: DAYS, signs: "L#?+" },
];

const NICKNAMES: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Cron {
    /// Read a pattern. An error counts characters from the beginning of `text`.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        memory::look_for(SMALL, "a cron pattern")?;
        let written = match NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())) {
            Some((_, pattern)) => pattern,
            None if text.trim_start().starts_with('@') => return Err(no_such_nickname(text)),
            None => text,
        };
        let mut fields = [("0", 0); 6];
        let count = split(written, &mut fields).ok_or_else(|| wrong_count(text, written.split_whitespace().count()))?;
        if count == 5 {
            fields.rotate_right(1);
            fields[0] = ("0", 0);
        }
        for (field, (part, place)) in FIELDS.iter().zip(fields) {
            field.check(part, place)?;
        }
        let [second, minute, hour, day, month, weekday] = fields.map(|(part, _)| part);
        let pattern = read(&format!("{second} {minute} {hour} {day} {month} {weekday}"))
            .map_err(|why| wrong(format!("invalid cron pattern \"{text}\""), why))?;
        let cron = Self {
            seconds: bits(&pattern.seconds),
            minutes: bits(&pattern.minutes),
            hours: bits(&pattern.hours),
            months: bits(&pattern.months),
            real_time: hour.contains(['*', '/']),
            text: written.trim().into(),
            pattern,
        };
        match cron.next_day(Date { year: 2000, month: 1, day: 1 }, Date { year: 2000 + CYCLE_YEARS, month: 1, day: 1 }) {
            Some(_) => Ok(cron),
            None => Err(wrong(
                format!("cron pattern \"{text}\" can never fire"),
                format!("No day matches day-of-month \"{day}\", month \"{month}\" and day-of-week \"{weekday}\"."),
            )),
        }
    }

    /// The pattern as it was written. For a nickname, the pattern that it stands for.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn in_words(&self) -> String {
        self.pattern.describe()
    }

    /// The first matching time of a wall clock, not before `from`, and before `end`.
    pub fn first(&self, from: i64, end: i64) -> Option<i64> {
        let day = from.div_euclid(DAY);
        let last = Date::of_days(end.saturating_sub(1).div_euclid(DAY).min(day + CYCLE_YEARS * 366) + 1);
        let start = Date::of_days(day);
        let mut date = self.next_day(start, last)?;
        let mut time = self.time(if date == start { from.rem_euclid(DAY) } else { 0 });
        if time.is_none() {
            date = self.next_day(Date::of_days(date.days() + 1), last)?;
            time = self.time(0);
        }
        Some(date.days() * DAY + time?).filter(|found| *found < end)
    }

    /// The first matching day before `end`.
    fn next_day(&self, from: Date, end: Date) -> Option<Date> {
        let mut date = from;
        while date < end {
            if self.months & 1 << date.month == 0 {
                date = date.first_of_next_month();
                continue;
            }
            let weekday = Weekday::from_days_from_sunday(date.weekday());
            if self.pattern.day_match(i32::try_from(date.year).ok()?, date.month, date.day, weekday).unwrap_or(false) {
                return Some(date);
            }
            date = Date::of_days(date.days() + 1);
        }
        None
    }

    /// The first time of a day from this second on.
    fn time(&self, from: i64) -> Option<i64> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let at = |hour, minute, second| Some(hour * 3600 + minute * 60 + second);
        let (first_minute, first_second) = (next_bit(self.minutes, 0)?, next_bit(self.seconds, 0)?);
        if next_bit(self.hours, hour) == Some(hour) {
            if next_bit(self.minutes, minute) == Some(minute)
                && let Some(second) = next_bit(self.seconds, second)
            {
                return at(hour, minute, second);
            }
            if let Some(minute) = next_bit(self.minutes, minute + 1) {
                return at(hour, minute, first_second);
            }
        }
        at(next_bit(self.hours, hour + 1)?, first_minute, first_second)
    }
}

fn bits(values: &croner::CronComponent) -> u64 {
    values.values().into_iter().filter(|value| *value < 64).fold(0, |bits, value| bits | 1 << value)
}

fn next_bit(bits: u64, from: i64) -> Option<i64> {
    let left = if from < 64 { bits >> from } else { 0 };
    (left != 0).then(|| from + i64::from(left.trailing_zeros()))
}

/// Split a pattern into its fields. Each comes with the place of its first character, from 1. None if their number is wrong.
fn split<'a>(text: &'a str, fields: &mut [(&'a str, usize); 6]) -> Option<usize> {
    let mut count = 0;
    for part in text.split_whitespace() {
        *fields.get_mut(count)? = (part, part.as_ptr().addr() - text.as_ptr().addr() + 1);
        count += 1;
    }
    (count >= 5).then_some(count)
}

fn read(pattern: &str) -> Result<CronPattern, String> {
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).build();
    parser.parse(pattern).map(|cron| cron.pattern).map_err(|why| format!("{why}"))
}

impl Field {
    /// Check each item of the list. An error says where the first wrong item is.
    fn check(&self, part: &str, place: usize) -> Result<(), Wrong> {
        let plus = usize::from(self.signs.contains('+') && part.starts_with('+'));
        let mut begin = plus;
        for item in part[plus..].split(',') {
            if let Err(why) = self.check_item(item) {
                let message = format!("invalid {} field \"{part}\" in cron pattern", self.name);
                return Err(wrong(message, format!("At character {}: {why}", place + begin)));
            }
            begin += item.len() + 1;
        }
        Ok(())
    }

    fn check_item(&self, item: &str) -> Result<(), String> {
        if item.is_empty() {
            return Err("an item of the list is empty.".into());
        }
        let mut letters = item;
        while let Some(start) = letters.find(|c: char| !c.is_ascii_digit() && !"*/,-".contains(c)) {
            letters = &letters[start..];
            letters = match self.names.iter().find(|name| letters.get(..3).is_some_and(|found| found.eq_ignore_ascii_case(name))) {
                Some(_) => &letters[3..],
                None => {
                    let sign = letters.chars().next().unwrap_or_default();
                    if !self.signs.contains(sign.to_ascii_uppercase()) || sign == '+' {
                        return Err(format!("\"{item}\" has \"{sign}\", which has no meaning there."));
                    }
                    &letters[sign.len_utf8()..]
                }
            };
        }
        let upper = item.to_ascii_uppercase();
        let misplaced = upper.contains('?') && upper != "?"
            || upper.contains('W') && !upper.ends_with('W')
            || upper.contains('L') && !(upper.ends_with('L') || upper == "LW")
            || upper == "L" && self.name == "day-of-week"
            || upper.contains('L') && self.name == "day-of-month" && upper != "L" && upper != "LW"
            || upper.contains('*') && upper != "*" && !upper.starts_with("*/");
        if misplaced {
            return Err(format!("\"{item}\" is not what that field can have."));
        }
        let among: String = FIELDS
            .iter()
            .map(|field| {
                if field.name == self.name {
                    item
                } else if field.low == 0 {
                    "0"
                } else {
                    "1"
                }
            })
            .fold(String::new(), |all, field| format!("{all} {field}"));
        read(&among).map(|_| ()).map_err(|why| {
            let why = why.trim_start_matches("Component error: ").trim_end_matches('.');
            format!("\"{item}\": {why}; it may be {} to {}.", self.low, self.high)
        })
    }
}

fn wrong_count(text: &str, count: usize) -> Wrong {
    wrong(
        format!("invalid schedule specification \"{}\"", shortened(text)),
        format!("A cron pattern has 5 fields, or 6 with seconds first; this has {count}."),
    )
    .hint(super::spec::FORMS)
}

fn no_such_nickname(text: &str) -> Wrong {
    wrong(format!("unknown nickname \"{}\" in schedule specification", shortened(text.trim())), "")
        .hint("Nicknames are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @reboot.")
}

/// The part of a user's text that an error repeats.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into(),
    }
}

//! A specification says when a schedule fires. This file reads what a user writes, and turns it into the form that is
//! stored. The stored form always means the same, whenever and wherever it is read.

use super::cron::{Cron, shortened};
use super::error::{Wrong, wrong};

/// A longer specification is a mistake.
const LONGEST: usize = 1000;

pub const FORMS: &str =
    "Write a cron pattern, \"every <interval> [from <timestamp>]\", \"after <interval>\", \"at <timestamp>\" or \"@reboot\".";

pub const SECOND_US: i64 = 1_000_000;
/// The shortest interval of a schedule.
const LEAST_US: i64 = SECOND_US;
/// The longest interval: a thousand years.
const MOST_MONTHS: i64 = 12_000;
const MOST_DAYS: i64 = 366_000;
const MOST_US: i64 = MOST_DAYS * 86_400 * SECOND_US;

/// An interval, as the server has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i64,
    pub days: i64,
    pub us: i64,
}

/// How the server reads what stands in a specification. An error is the server's text.
pub trait Literals {
    fn interval(&self, text: &str) -> Result<Interval, String>;
    /// In the schedule's zone, where the text has none: microseconds since 2000-01-01 UTC.
    fn timestamp(&self, text: &str) -> Result<i64, String>;
}

#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    Cron(Box<Cron>),
    /// At `anchor` and each interval after it; `begins`: at the anchor too.
    Every {
        interval: Interval,
        anchor: i64,
        begins: bool,
    },
    /// So long after the last run has ended.
    After(Interval),
    At(i64),
    Reboot,
}

impl Spec {
    /// Read what somebody has written, at the time `now`.
    pub fn parse(text: &str, now: i64, literals: &dyn Literals) -> Result<Self, Wrong> {
        if text.trim().is_empty() {
            return Err(wrong("schedule specification is empty", "").hint(FORMS));
        }
        if text.len() > LONGEST {
            let message = format!("schedule specification \"{}\" is too long", shortened(text));
            return Err(wrong(message, format!("It has {} bytes; it may have {LONGEST}.", text.len())));
        }
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        if is("@reboot") && rest.is_empty() {
            Ok(Self::Reboot)
        } else if is("every") {
            every(rest, now, literals)
        } else if is("after") {
            Ok(Self::After(interval("after", rest, literals)?))
        } else if is("at") {
            let at = timestamp("at", rest, literals)?;
            match at > now {
                true => Ok(Self::At(at)),
                false => Err(wrong(format!("schedule specification \"{text}\" can never fire"), "That time has passed.")),
            }
        } else {
            Cron::parse(text).map(|cron| Self::Cron(Box::new(cron)))
        }
    }

    /// The form that is stored. No other time, style or zone reads it otherwise.
    pub fn stored(&self) -> String {
        let of = |i: &Interval| format!("{} {} {}", i.months, i.days, i.us);
        match self {
            Self::Cron(cron) => format!("cron {}", cron.text()),
            Self::Every { interval, anchor, begins } => {
                format!("every {} {} {anchor}", of(interval), if *begins { "from" } else { "since" })
            }
            Self::After(interval) => format!("after {}", of(interval)),
            Self::At(at) => format!("at {at}"),
            Self::Reboot => "reboot".into(),
        }
    }

    /// Read what [`Spec::stored`] has made.
    pub fn restored(text: &str) -> Result<Self, Wrong> {
        let broken = || wrong(format!("stored schedule \"{}\" is damaged", shortened(text)), "");
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut words = rest.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok()).ok_or_else(broken);
        match word {
            "cron" => Cron::parse(rest).map(|cron| Self::Cron(Box::new(cron))),
            "reboot" => Ok(Self::Reboot),
            "at" => Ok(Self::At(number()?)),
            "every" | "after" => {
                let interval = Interval { months: number()?, days: number()?, us: number()? };
                limits(word, rest, interval)?;
                if word == "after" {
                    return Ok(Self::After(interval));
                }
                let begins = match words.next() {
                    Some("from") => true,
                    Some("since") => false,
                    _ => return Err(broken()),
                };
                let anchor = words.next().and_then(|word| word.parse().ok()).ok_or_else(broken)?;
                Ok(Self::Every { interval, anchor, begins })
            }
            _ => Err(broken()),
        }
    }
}

fn every(rest: &str, now: i64, literals: &dyn Literals) -> Result<Spec, Wrong> {
    let lower = rest.to_ascii_lowercase();
    let from = lower.match_indices("from").find(|(at, _)| {
        let alone = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || c == '\'');
        alone(rest[..*at].chars().next_back()) && alone(rest[at + 4..].chars().next())
    });
    let Some((at, _)) = from else {
        return Ok(Spec::Every { interval: interval("every", rest, literals)?, anchor: now, begins: false });
    };
    let interval = interval("every", &rest[..at], literals)?;
    Ok(Spec::Every { interval, anchor: timestamp("from", &rest[at + 4..], literals)?, begins: true })
}

/// Quotes around a literal are allowed, as SQL has them.
fn literal(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text).trim()
}

fn interval(word: &str, text: &str, literals: &dyn Literals) -> Result<Interval, Wrong> {
    let text = literal(text);
    if text.is_empty() {
        return Err(wrong(format!("\"{word}\" in schedule specification has no interval"), "").hint(FORMS));
    }
    let read = literals
        .interval(text)
        .map_err(|why| wrong(format!("invalid interval \"{}\" after \"{word}\" in schedule specification", shortened(text)), why))?;
    limits(word, text, read)?;
    Ok(read)
}

fn limits(word: &str, text: &str, of: Interval) -> Result<(), Wrong> {
    let no =
        |why: &str| Err(wrong(format!("interval \"{}\" after \"{word}\" in schedule specification is out of range", shortened(text)), why));
    if of.months < 0 || of.days < 0 || of.us < 0 {
        return no("No part of it may be negative.");
    }
    if of.months == 0 && of.days == 0 && of.us < LEAST_US {
        return no("It must be at least 1 second.");
    }
    if of.months > MOST_MONTHS || of.days > MOST_DAYS || of.us > MOST_US {
        return no("It may be at most 1000 years.");
    }
    Ok(())
}

fn timestamp(word: &str, text: &str, literals: &dyn Literals) -> Result<i64, Wrong> {
    let text = literal(text);
    if text.is_empty() {
        return Err(wrong(format!("\"{word}\" in schedule specification has no timestamp"), "").hint(FORMS));
    }
    let said = |why: &str| wrong(format!("invalid timestamp \"{}\" after \"{word}\" in schedule specification", shortened(text)), why);
    let at = literals.timestamp(text).map_err(|why| said(&why))?;
    match (FIRST_US..=super::next::LAST_US).contains(&at) {
        true => Ok(at),
        false => Err(said("It must be between the years 1 and 9999.")),
    }
}

/// The year 1.
const FIRST_US: i64 = -730_119 * 86_400 * SECOND_US;

//! What fires when, and what is refused.

use super::super::civil::DAY;
use super::super::error::Wrong;
use super::super::spec::{Interval, Literals, SECOND_US, Spec};
use super::super::zone::{Fixed, Zone, shown_at};
use super::zones::{apia, berlin, lord_howe, sao_paulo, shown};

/// Reads "3 hours" and the like, and times of UTC.
pub struct Plain;

impl Literals for Plain {
    fn interval(&self, text: &str) -> Result<Interval, String> {
        let mut of = Interval::default();
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.chunks(2) {
            let count: i64 = pair[0].parse().map_err(|_| format!("\"{}\" is no number", pair[0]))?;
            match pair.get(1).map(|unit| unit.trim_end_matches('s')) {
                Some("month") => of.months += count,
                Some("year") => of.months += count * 12,
                Some("day") => of.days += count,
                Some("hour") => of.us += count * 3600 * SECOND_US,
                Some("minute") => of.us += count * 60 * SECOND_US,
                None | Some("second") => of.us += count * SECOND_US,
                Some(unit) => return Err(format!("\"{unit}\" is no unit")),
            }
        }
        Ok(of)
    }

    fn timestamp(&self, text: &str) -> Result<i64, String> {
        Ok(shown(text) * SECOND_US)
    }
}

const NOW: &str = "2024-01-01 00:00";

fn parse(text: &str) -> Result<Spec, Wrong> {
    Spec::parse(text, shown(NOW) * SECOND_US, &Plain)
}

/// The next times after one, as wall clocks show them.
fn fires(text: &str, zone: &dyn Zone, after_shown: &str, count: usize) -> Vec<String> {
    let spec = parse(text).unwrap();
    assert_eq!(Spec::restored(&spec.stored()).unwrap(), spec);
    let offset = zone.span(shown(after_shown)).offset;
    let mut at = (shown(after_shown) - offset) * SECOND_US;
    let mut all = Vec::new();
    while all.len() < count
        && let Some(next) = spec.next(zone, at)
    {
        assert!(next > at);
        let time = shown_at(zone, next / SECOND_US);
        let date = super::super::civil::Date::of_days(time.div_euclid(DAY));
        let of_day = time.rem_euclid(DAY);
        all.push(format!("{:02}-{:02} {:02}:{:02}:{:02}", date.month, date.day, of_day / 3600, of_day / 60 % 60, of_day % 60));
        at = next;
    }
    all
}

#[test]
fn patterns_fire_as_cron_has_it() {
    let utc = &Fixed(0);
    assert_eq!(fires("30 4 * * *", utc, NOW, 2), ["01-01 04:30:00", "01-02 04:30:00"]);
    assert_eq!(fires("*/20 * * * * *", utc, NOW, 3), ["01-01 00:00:20", "01-01 00:00:40", "01-01 00:01:00"]);
    assert_eq!(fires("0 0 13 * FRI", utc, NOW, 3), ["01-05 00:00:00", "01-12 00:00:00", "01-13 00:00:00"]);
    assert_eq!(fires("0 0 13 * +FRI", utc, NOW, 2), ["09-13 00:00:00", "12-13 00:00:00"]);
    assert_eq!(fires("0 12 L * *", utc, NOW, 3), ["01-31 12:00:00", "02-29 12:00:00", "03-31 12:00:00"]);
    assert_eq!(fires("0 12 LW * ?", utc, NOW, 3), ["01-31 12:00:00", "02-29 12:00:00", "03-29 12:00:00"]);
    assert_eq!(fires("0 12 15W jun *", utc, NOW, 1), ["06-14 12:00:00"]);
    assert_eq!(fires("0 9 * * mon#2,friL", utc, NOW, 3), ["01-08 09:00:00", "01-26 09:00:00", "02-12 09:00:00"]);
    assert_eq!(fires("5,10-12 0 1 1-3,DEC *", utc, NOW, 5).last().unwrap(), "02-01 00:05:00");
    assert_eq!(fires("@Weekly", utc, NOW, 1), ["01-07 00:00:00"]);
    assert_eq!(fires("0 0 29 2 *", utc, "2097-01-01 00:00", 1), ["02-29 00:00:00"]);
    assert_eq!(fires("59 59 23 31 12 *", utc, "2099-12-31 23:59", 1), ["12-31 23:59:59"]);
}

#[test]
fn a_fixed_time_in_the_gap_fires_after_it_and_one_that_comes_twice_fires_once() {
    let berlin = &berlin();
    assert_eq!(fires("30 2 * * *", berlin, "2024-03-30 12:00", 2), ["03-31 03:00:00", "04-01 02:30:00"]);
    assert_eq!(fires("0,30 2-3 * * *", berlin, "2024-03-31 00:00", 3), ["03-31 03:00:00", "03-31 03:30:00", "04-01 02:00:00"]);
    assert_eq!(fires("30 2 * * *", berlin, "2024-10-26 12:00", 2), ["10-27 02:30:00", "10-28 02:30:00"]);
    assert_eq!(fires("*/30 2 * * *", berlin, "2024-10-27 00:00", 3), ["10-27 02:00:00", "10-27 02:30:00", "10-28 02:00:00"]);
    let sao_paulo = &sao_paulo();
    assert_eq!(fires("0 0 * * *", sao_paulo, "2018-11-03 12:00", 2), ["11-04 01:00:00", "11-05 00:00:00"]);
    let apia = &apia();
    assert_eq!(fires("0 12 30 12 *", apia, "2011-12-29 13:00", 1), ["12-31 00:00:00"]);
    assert_eq!(fires("0 12 * * *", apia, "2011-12-29 13:00", 2), ["12-31 00:00:00", "12-31 12:00:00"]);
    let lord_howe = &lord_howe();
    assert_eq!(fires("15 2 * * *", lord_howe, "2024-10-05 12:00", 2), ["10-06 02:30:00", "10-07 02:15:00"]);
    assert_eq!(fires("45 1 * * *", lord_howe, "2025-04-05 12:00", 2), ["04-06 01:45:00", "04-07 01:45:00"]);
}

#[test]
fn every_hour_and_steps_follow_real_time() {
    let day = |zone: &dyn Zone, text: &str, from: &str, end: &str| {
        fires(text, zone, from, 2000).iter().take_while(|time| time.as_str() < end).count()
    };
    let berlin = &berlin();
    assert_eq!(day(berlin, "0 * * * *", "2024-03-30 23:59", "04-01"), 23);
    assert_eq!(day(berlin, "0 * * * *", "2024-10-26 23:59", "10-28"), 25);
    assert_eq!(day(berlin, "*/15 */1 * * *", "2024-10-26 23:59", "10-28"), 100);
    assert_eq!(day(berlin, "0 0-23 * * *", "2024-10-26 23:59", "10-28"), 24);
    assert_eq!(fires("0 * * * *", &lord_howe(), "2024-10-06 00:30", 3), ["10-06 01:00:00", "10-06 03:00:00", "10-06 04:00:00"]);
    let real = parse("every 1 hour from 2024-10-26 22:00").unwrap();
    let mut at = (shown("2024-10-26 21:59")) * SECOND_US;
    for hour in 0..30 {
        at = real.next(berlin, at).unwrap();
        assert_eq!(at, (shown("2024-10-26 22:00") + hour * 3600) * SECOND_US);
    }
}

#[test]
fn days_and_months_are_those_of_the_wall() {
    let berlin = &berlin();
    assert_eq!(
        fires("every 1 day from 2024-03-29 01:30", berlin, "2024-03-29 12:00", 3),
        ["03-30 02:30:00", "03-31 03:00:00", "04-01 02:30:00"]
    );
    let utc = &Fixed(0);
    assert_eq!(
        fires("every 1 month from 2024-01-31 10:00", utc, NOW, 4),
        ["01-31 10:00:00", "02-29 10:00:00", "03-31 10:00:00", "04-30 10:00:00"]
    );
    assert_eq!(fires("every 1 month from 1824-01-31 10:00", utc, NOW, 2), ["01-31 10:00:00", "02-29 10:00:00"]);
    assert_eq!(fires("every 36 hours", utc, NOW, 2), ["01-02 12:00:00", "01-04 00:00:00"]);
    assert_eq!(fires("every 2 months", utc, NOW, 2), ["03-01 00:00:00", "05-01 00:00:00"]);
    assert_eq!(fires("after 1 day", utc, NOW, 1), ["01-02 00:00:00"]);
    assert_eq!(fires("at 2030-05-05 05:05", utc, NOW, 5), ["05-05 05:05:00"]);
    assert!(fires("@reboot", utc, NOW, 1).is_empty());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, message, detail) in [
        ("60 * * * *", "invalid minute field \"60\" in cron pattern", "At character 1: \"60\": Number out of bounds; it may be 0 to 59."),
        ("0 1,25 * * *", "invalid hour field \"1,25\" in cron pattern", "At character 5: \"25\": Number out of bounds; it may be 0 to 23."),
        ("* * * mon *", "invalid month field \"mon\" in cron pattern", "At character 7: \"mon\" has \"m\", which has no meaning there."),
        (
            "0 0 L * 5-x",
            "invalid day-of-week field \"5-x\" in cron pattern",
            "At character 9: \"5-x\" has \"x\", which has no meaning there.",
        ),
        ("0 0 1,,2 * *", "invalid day-of-month field \"1,,2\" in cron pattern", "At character 7: an item of the list is empty."),
        (
            "0 0 15W3 * *",
            "invalid day-of-month field \"15W3\" in cron pattern",
            "At character 5: \"15W3\" is not what that field can have.",
        ),
        ("0 0 * * L", "invalid day-of-week field \"L\" in cron pattern", "At character 9: \"L\" is not what that field can have."),
        ("*/0 * * * *", "invalid minute field \"*/0\" in cron pattern", "At character 1: \"*/0\": Step cannot be zero; it may be 0 to 59."),
        (
            "0 0 30 2 *",
            "cron pattern \"0 0 30 2 *\" can never fire",
            "No day matches day-of-month \"30\", month \"2\" and day-of-week \"*\".",
        ),
        ("* * * *", "invalid schedule specification \"* * * *\"", "A cron pattern has 5 fields, or 6 with seconds first; this has 4."),
        (
            "0 0 * * * * 2030",
            "invalid schedule specification \"0 0 * * * * 2030\"",
            "A cron pattern has 5 fields, or 6 with seconds first; this has 7.",
        ),
        ("  ", "schedule specification is empty", ""),
        ("@fortnightly", "unknown nickname \"@fortnightly\" in schedule specification", ""),
        (
            "every 0 seconds",
            "interval \"0 seconds\" after \"every\" in schedule specification is out of range",
            "It must be at least 1 second.",
        ),
        (
            "every 1 month -1 day",
            "interval \"1 month -1 day\" after \"every\" in schedule specification is out of range",
            "No part of it may be negative.",
        ),
        (
            "every 99999 years",
            "interval \"99999 years\" after \"every\" in schedule specification is out of range",
            "It may be at most 1000 years.",
        ),
        ("every x", "invalid interval \"x\" after \"every\" in schedule specification", "\"x\" is no number"),
        ("every", "\"every\" in schedule specification has no interval", ""),
        ("every 1 hour from", "\"from\" in schedule specification has no timestamp", ""),
        ("at 2023-12-31 23:59", "schedule specification \"at 2023-12-31 23:59\" can never fire", "That time has passed."),
    ] {
        let wrong = parse(text).expect_err(text);
        assert_eq!((wrong.message.as_str(), wrong.detail.as_str()), (message, detail));
    }
    assert!(parse(&"1,".repeat(5000)).unwrap_err().message.ends_with("is too long"));
    assert!(parse("ü * * * *").unwrap_err().detail.contains("no meaning"));
}

#[test]
fn the_latest_due_time_is_found_from_far_away() {
    let utc = &Fixed(0);
    let at = |text| shown(text) * SECOND_US;
    let spec = parse("30 4 1 * *").unwrap();
    assert_eq!(spec.latest(utc, at("1990-01-01 00:00"), at("2024-03-31 00:00")), Some(at("2024-03-01 04:30")));
    let spec = parse("* * * * * *").unwrap();
    assert_eq!(spec.latest(utc, at("1990-01-01 00:00"), at("2024-03-31 00:00") + 5), Some(at("2024-03-31 00:00")));
    assert_eq!(spec.latest(utc, at("2024-03-31 00:00"), at("2024-03-31 00:00") + 5), None);
}

#[test]
fn words_say_what_it_means() {
    let words = |text: &str| parse(text).unwrap().in_words(&berlin());
    assert_eq!(words("30 4 * * 1"), "At 04:30, on Monday.");
    assert_eq!(words("every 1 day 2 hours"), "Every 1 day 2 hours, beginning that long after it is set.");
    assert_eq!(words("every 14 months from 2024-07-01 10:00"), "Every 1 year 2 months, beginning at 2024-07-01 12:00:00+02:00.");
    assert_eq!(words("after 90 minutes"), "1 hour 30 minutes after the last run has ended.");
    assert_eq!(words("@reboot"), "Once after each start of the server.");
}

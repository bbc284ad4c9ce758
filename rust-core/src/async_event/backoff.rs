//! When a failed event is tried again, and what counts as a failure.

use crate::report::{CONFIGURATION_LIMIT_EXCEEDED, DEADLOCK_DETECTED, EVENT_DISCARDED, sqlstate};

const SERIALIZATION_FAILURE: u32 = sqlstate(b"40001");

/// Conflicts in a row that do not count as attempts.
pub const FREE_RETRIES: u8 = 10;

/// A conflict between transactions says nothing about the event.
pub fn conflict(sqlstate: u32) -> bool {
    matches!(sqlstate, SERIALIZATION_FAILURE | DEADLOCK_DETECTED)
}

/// After a shortage: at first up to this long, up to twice as long each time, up to that.
pub const SHORTAGE_US: i64 = 100_000;
pub const LONGEST_SHORTAGE_US: i64 = 30_000_000;

/// The handler gives the event up, whatever attempts are left.
pub(super) fn discarded(sqlstate: u32) -> bool {
    sqlstate == EVENT_DISCARDED
}

/// There was too little of something that the server shares out, workers above all: this too says nothing about the event.
pub fn shortage(sqlstate: u32) -> bool {
    sqlstate == CONFIGURATION_LIMIT_EXCEEDED
}

/// After a worker could not begin: the same, up to that.
pub const LONGEST_REFUSAL_US: i64 = 5_000_000;

/// A worker could not begin for what its owner is, or may: that is for the owner to mend, and an attempt. Whatever else
/// it was for, that the database allows no connections or that there are too many, says nothing about the events.
pub fn refusal_counts(sqlstate: u32) -> bool {
    let class = sqlstate & 0xfff;
    [self::sqlstate(b"28000"), self::sqlstate(b"42000")].iter().any(|counted| counted & 0xfff == class)
}

/// The longest wait after this attempt: doubled each time, up to the cap.
pub fn ceiling_us(attempt: u32, backoff_us: i64, cap_us: i64) -> i64 {
    let factor = 1i64.checked_shl(attempt.saturating_sub(1)).filter(|factor| *factor > 0).unwrap_or(i64::MAX);
    backoff_us.max(0).saturating_mul(factor).min(cap_us.max(0))
}

/// Full jitter: anything up to the ceiling.
pub fn delay_us(attempt: u32, backoff_us: i64, cap_us: i64, random: f64) -> i64 {
    let ceiling = ceiling_us(attempt, backoff_us, cap_us);
    ((ceiling as f64 * random.clamp(0.0, 1.0)) as i64).min(ceiling)
}

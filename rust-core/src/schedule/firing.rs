//! Decides what becomes of a schedule's due times. Counts the due times that have come, decides whether a run begins, and
//! finds the next due time.

use super::host::{Due, Misfire, Overlap, RunState, Schedule, Skipped};
use super::spec::{SECOND_US, Spec};
use super::zone::Zone;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// A due time that begins later than this was missed.
pub const PUNCTUAL_US: i64 = 2 * SECOND_US;
/// Missed due times are counted up to this number.
pub const MOST_COUNTED: u32 = 1000;
/// If the last due time is so far ahead of the clock, the clock was wrong when the schedule fired, and is right now.
const CLOCK_WAS_WRONG_US: i64 = 3 * 3600 * SECOND_US;

/// Runs of the schedule that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    pub running: usize,
    pub waiting: usize,
}

/// What becomes of a due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firing {
    pub due: i64,
    pub missed: u32,
    pub state: RunState,
    pub next: Option<Due>,
    /// Runs that go on are cancelled for this one.
    pub cancels: bool,
}

/// A due time with its jitter. The same due time always has the same jitter.
fn with_jitter(schedule: &Schedule, due: i64) -> Due {
    let mut hasher = SipHasher13::new();
    hasher.write_i64(schedule.id);
    hasher.write_i64(due);
    let part = (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64;
    Due { due, at: due.saturating_add((schedule.jitter_us as f64 * part) as i64) }
}

/// The first due time after `after`. None if `max_runs` or `until` ends the schedule before.
pub fn next_due(schedule: &Schedule, spec: &Spec, zone: &dyn Zone, after: i64, fired: i64) -> Option<Due> {
    if schedule.max_runs.is_some_and(|most| fired >= most) {
        return None;
    }
    let due = spec.next(zone, after).filter(|due| schedule.until.is_none_or(|until| *due <= until))?;
    Some(with_jitter(schedule, due))
}

/// The next due time after the clock was set back. None if the one that is written down is right.
pub fn corrected(schedule: &Schedule, spec: &Spec, zone: &dyn Zone, now: i64) -> Option<Due> {
    let (next, last) = (schedule.next?, schedule.last_due?);
    if last <= now.saturating_add(CLOCK_WAS_WRONG_US) || !matches!(spec, Spec::Cron(_) | Spec::Every { .. }) {
        return None;
    }
    next_due(schedule, spec, zone, now, schedule.fired).filter(|corrected| corrected.due < next.due)
}

/// What to do about a schedule whose next time has come. None: nothing yet, for what was missed waits for its turn.
pub fn fire(schedule: &Schedule, spec: &Spec, zone: &dyn Zone, open: Open, now: i64) -> Option<Firing> {
    let next = schedule.next.filter(|next| next.at <= now)?;
    let repeats = matches!(spec, Spec::Cron(_) | Spec::Every { .. });
    let following = if repeats { next_due(schedule, spec, zone, next.due, schedule.fired) } else { None };
    let late = now - next.at > PUNCTUAL_US || following.is_some_and(|following| following.at <= now);
    let skip = |due: i64, missed: u32, why| {
        let next = if repeats { next_due(schedule, spec, zone, due, schedule.fired) } else { None };
        Some(Firing { due, missed, state: RunState::Skipped(why), next, cancels: false })
    };
    let go = |due: i64, missed: u32, open: Open| match state(schedule.overlap, open) {
        RunState::Skipped(why) => skip(due, missed, why),
        state => {
            let next = if repeats { next_due(schedule, spec, zone, due, schedule.fired + 1) } else { None };
            Some(Firing { due, missed, state, next, cancels: schedule.overlap == Overlap::CancelRunning && open.running > 0 })
        }
    };
    if !late {
        return go(next.due, 0, open);
    }
    let too_late = |due: i64| schedule.deadline_us.is_some_and(|deadline| now - due > deadline);
    // The last of those that have come, and how many before it.
    let latest = || {
        let last = schedule.until.unwrap_or(i64::MAX).min(now);
        let due = if repeats { spec.latest(zone, next.due, last) } else { None }.unwrap_or(next.due);
        let (mut missed, mut at) = (0, next.due);
        while at < due && missed < MOST_COUNTED {
            missed += 1;
            at = spec.next(zone, at).unwrap_or(due);
        }
        (due, missed)
    };
    match schedule.misfire {
        Misfire::Once => match latest() {
            (due, missed) if too_late(due) => skip(due, missed, Skipped::Misfire),
            (due, missed) => go(due, missed, open),
        },
        Misfire::Skip => match latest() {
            (due, missed) if now - due <= PUNCTUAL_US => go(due, missed, open),
            (due, missed) => skip(due, missed, Skipped::Misfire),
        },
        Misfire::All if too_late(next.due) => skip(next.due, 0, Skipped::Misfire),
        Misfire::All if schedule.overlap != Overlap::Allow && open.running + open.waiting > 0 => None,
        Misfire::All => go(next.due, 0, open),
    }
}

fn state(overlap: Overlap, open: Open) -> RunState {
    match (overlap, open.running + open.waiting) {
        (_, 0) | (Overlap::Allow, _) => RunState::Waiting,
        (Overlap::Skip, _) => RunState::Skipped(Skipped::Overlap),
        (Overlap::Queue | Overlap::CancelRunning, _) if open.waiting > 0 => RunState::Skipped(Skipped::Overlap),
        (Overlap::Queue | Overlap::CancelRunning, _) => RunState::Waiting,
    }
}

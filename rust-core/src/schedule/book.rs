//! The book has all schedules of a database, and all runs that have not ended. It decides which schedule fires, which run
//! begins, and in which order that is written down. Before a run begins, the run and the next due time are on disk.

use super::host::{AttemptEnd, Misfire, Overlap, Run, Schedule, ScheduleEntry, ScheduleHost};
use crate::async_event::backoff;
use crate::definition::part::Book;
use crate::definition::{LOCKED, LOOK_AGAIN_US};
use crate::host::Saved;
use crate::lease::work::CommandEnd;
use crate::memory::{self, Grows};
use std::collections::{BTreeMap, BTreeSet};

/// How long a coordinator sleeps that has nothing to wait for.
const LONGEST_WAIT_US: i64 = 24 * 3600 * 1_000_000;
/// A wait for a time of the wall clock is no longer than this, because the clock may be set forward.
const CLOCK_EVERY_US: i64 = 5_000_000;
/// If no worker was free and nothing happens, the next look for one comes after this time.
pub(super) const START_RETRY_US: i64 = 50_000;
/// How many due times are written down at a time.
pub(super) const BATCH: usize = 500;
/// How many runs wait for workers. Further due times stay in their schedules.
pub(super) const WINDOW: usize = 2000;
/// A run that takes its worker or the server with it may have at least this many attempts.
const LOST_ATTEMPTS: u32 = 3;
/// The process of a run is written down when the run has gone on for this long.
pub(super) const SHOWN_AFTER_US: i64 = 500_000;
/// What a row locked by somebody kept from being written down is tried again after this time.
const LOCKED_AGAIN_US: i64 = 250_000;
const LONGEST_BACKOFF_US: i64 = 24 * 3600 * 1_000_000;

/// Is it still before `until`, which was at most `most` microseconds ahead when it was set? If more is left, the clock has
/// been set back since, and nobody waits for it to catch up.
pub(super) fn still(until: i64, now: i64, most: i64) -> bool {
    (1..=most).contains(&until.saturating_sub(now))
}

pub(super) struct Held {
    pub(super) run: Run,
    pub(super) lease: Option<u64>,
    pub(super) cancelled: bool,
    pub(super) shown: Shown,
}

/// The process of a run, and since when the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Its worker is heard again then.
    Unknown {
        look_at: i64,
    },
    Known {
        pid: u32,
        at: i64,
    },
    WrittenDown,
}

/// The schedules of one database.
pub struct ScheduleBook {
    pub(super) schedules: BTreeMap<i64, Schedule>,
    pub(super) runs: BTreeMap<i64, Held>,
    /// What workers have said, and is not taken in yet.
    pub(super) heard: Vec<AttemptEnd>,
    /// Entries that are not written down yet.
    pub(super) pending: Vec<ScheduleEntry>,
    /// So many of them, the first ones, wait for rows that somebody has locked, until that time.
    pub(super) locked: usize,
    pub(super) locked_until: i64,
    /// Schedules or runs may have changed since they were read.
    pub(super) told: bool,
    /// Schedules whose owners could not act or whose rows were locked, and when to ask again.
    pub(super) held_up: BTreeMap<i64, i64>,
    pub(super) retry_at: i64,
}

impl Default for ScheduleBook {
    fn default() -> Self {
        Self {
            schedules: BTreeMap::new(),
            runs: BTreeMap::new(),
            heard: Vec::new(),
            pending: Vec::new(),
            locked: 0,
            locked_until: 0,
            told: true,
            held_up: BTreeMap::new(),
            retry_at: 0,
        }
    }
}

impl Book for ScheduleBook {
    fn reload(&mut self) {
        self.told = true;
    }

    /// What this lease's worker said is lost. So is its run, which is found when all is read anew.
    fn lose(&mut self, lease: u64) {
        self.runs.values_mut().filter(|held| held.lease == Some(lease)).for_each(|held| held.lease = None);
        self.told = true;
    }

    fn rests(&self) -> bool {
        let waits = |schedule: &Schedule| !schedule.paused && schedule.next.is_some();
        !self.told && self.heard.is_empty() && self.pending.is_empty() && self.runs.is_empty() && !self.schedules.values().any(waits)
    }

    fn leases(&self) -> impl Iterator<Item = u64> {
        self.runs.values().filter_map(|held| held.lease)
    }

    fn began(&mut self, lease: u64, pid: u32, at: i64) {
        if let Some(held) = self.runs.values_mut().find(|held| held.lease == Some(lease)) {
            held.shown = Shown::Known { pid, at };
        }
    }
}

impl ScheduleBook {
    /// Do what can be done now. Returns the microseconds until the next step is needed, if nothing happens before.
    pub fn step<H: ScheduleHost>(&mut self, h: &H) -> Result<u64, Saved> {
        self.hear(h)?;
        self.show(h.timestamp())?;
        self.write_down(h)?;
        self.load(h)?;
        self.write_down(h)?;
        let more = self.fire_and_begin(h)?;
        self.write_down(h)?;
        Ok(if more { 0 } else { self.wait_us(h) })
    }

    pub(super) fn no_memory(&mut self) -> Saved {
        self.told = true;
        Saved
    }

    pub(super) fn note(&mut self, entry: ScheduleEntry) -> Result<(), Saved> {
        memory::push(&mut self.pending, entry, "ends of scheduled runs").map_err(|_| self.no_memory())
    }

    fn write_down<H: ScheduleHost>(&mut self, h: &H) -> Result<(), Saved> {
        let from = if still(self.locked_until, h.timestamp(), LOCKED_AGAIN_US) { self.locked } else { 0 };
        if from == self.pending.len() {
            return Ok(());
        }
        let numbers = h.record(&self.pending[from..])?;
        let mut answers = std::iter::repeat_n(LOCKED, from).chain(numbers);
        self.pending.retain(|_| answers.next() == Some(LOCKED));
        if from == 0 || self.pending.len() > from {
            self.locked_until = h.timestamp().saturating_add(LOCKED_AGAIN_US);
        }
        self.locked = self.pending.len();
        Ok(())
    }

    /// Runs of which the tables do not say what has happened, because somebody has locked rows of theirs.
    pub(super) fn locked_runs(&self) -> BTreeSet<i64> {
        let run = |entry: &ScheduleEntry| match *entry {
            ScheduleEntry::Fired { .. } | ScheduleEntry::Moved { .. } => None,
            ScheduleEntry::Begun { run, .. }
            | ScheduleEntry::Runs { run, .. }
            | ScheduleEntry::Unbegun { run, .. }
            | ScheduleEntry::Ended { run, .. }
            | ScheduleEntry::Again { run, .. } => Some(run),
        };
        #[expect(clippy::disallowed_methods, reason = "nodes of a tree, of entries that are in memory already")]
        self.pending.iter().filter_map(run).collect()
    }

    fn hear<H: ScheduleHost>(&mut self, h: &H) -> Result<(), Saved> {
        let now = h.timestamp();
        if self.heard.is_empty() {
            self.heard = h.outcomes();
        }
        while let Some(outcome) = self.heard.last().copied() {
            // With room for what follows from it, so that it is taken in whole or not at all.
            self.pending.room(2, "ends of scheduled runs").map_err(|_| self.no_memory())?;
            self.heard.pop();
            let Some((id, _)) = self.runs.iter().find(|(_, held)| held.lease == Some(outcome.lease)) else { continue };
            let id = *id;
            match outcome.end {
                Some(end) => {
                    if let Some(held) = self.runs.remove(&id) {
                        self.ended(held.run, end, Some(outcome.lease), now)?;
                    }
                    self.retry_at = 0;
                }
                None => self.comes_back(id, now)?,
            }
        }
        Ok(())
    }

    /// Write down the process of each run that has gone on for a while.
    fn show(&mut self, now: i64) -> Result<(), Saved> {
        let mut shown = Vec::new();
        for held in self.runs.values_mut() {
            match held.shown {
                Shown::Known { pid, at } if !(at..at.saturating_add(SHOWN_AFTER_US)).contains(&now) => {
                    held.shown = Shown::WrittenDown;
                    let entry = ScheduleEntry::Runs { run: held.run.id, attempt: held.run.attempt, pid, at };
                    memory::push(&mut shown, entry, "runs that go on").map_err(|_| Saved)?;
                }
                Shown::Unknown { look_at } if now >= look_at => held.shown = Shown::Unknown { look_at: now.saturating_add(SHOWN_AFTER_US) },
                _ => {}
            }
        }
        shown.into_iter().try_for_each(|entry| self.note(entry))
    }

    /// A run that was to begin did not begin.
    pub(super) fn comes_back(&mut self, id: i64, now: i64) -> Result<(), Saved> {
        let Some(held) = self.runs.get_mut(&id) else { return Ok(()) };
        (held.run.begun, held.lease, held.cancelled) = (false, None, false);
        let (run, attempt) = (held.run.id, held.run.attempt);
        self.retry_at = now.saturating_add(START_RETRY_US);
        self.note(ScheduleEntry::Unbegun { run, attempt })
    }

    /// The owner of a run may not act. The other runs do not wait for the owner.
    pub(super) fn waits_for_owner(&mut self, id: i64, now: i64) -> Result<(), Saved> {
        let Some(held) = self.runs.get_mut(&id) else { return Ok(()) };
        held.run.begun = false;
        let (run, attempt, schedule) = (held.run.id, held.run.attempt, held.run.schedule);
        self.hold_up(schedule, now);
        self.note(ScheduleEntry::Unbegun { run, attempt })
    }

    #[expect(clippy::disallowed_methods, reason = "nodes of a tree, of schedules that are in one already")]
    pub(super) fn hold_up(&mut self, schedule: i64, now: i64) {
        self.held_up.insert(schedule, now.saturating_add_unsigned(LOOK_AGAIN_US));
    }

    pub(super) fn held_up_until(&self, schedule: i64, now: i64) -> i64 {
        self.held_up.get(&schedule).copied().filter(|until| still(*until, now, LOOK_AGAIN_US as i64)).unwrap_or(i64::MIN)
    }

    pub(super) fn is_held_up(&self, schedule: i64, now: i64) -> bool {
        self.held_up_until(schedule, now) > now
    }

    /// An attempt has ended. Decide whether another one follows.
    pub(super) fn ended(&mut self, run: Run, end: CommandEnd, lease: Option<u64>, now: i64) -> Result<(), Saved> {
        let again = match self.schedules.get(&run.schedule) {
            None => None,
            Some(schedule) => match end {
                CommandEnd::Done | CommandEnd::Cancelled => None,
                CommandEnd::Failed | CommandEnd::TimedOut if run.attempt < schedule.max_attempts => {
                    Some(now.saturating_add(backoff::ceiling_us(run.attempt, schedule.backoff_us, LONGEST_BACKOFF_US)))
                }
                CommandEnd::Failed | CommandEnd::TimedOut => None,
                CommandEnd::Lost => Some(now).filter(|_| lost_runs_again(schedule, &run, now)),
            },
        };
        let Run { id, attempt, schedule, .. } = run;
        self.note(ScheduleEntry::Ended { run: id, attempt, schedule, end, lease, last: again.is_none() })?;
        if let Some(not_before) = again {
            self.note(ScheduleEntry::Again { run: id, attempt: attempt + 1, not_before })?;
            self.hold(Run { attempt: attempt + 1, begun: false, not_before, to_cancel: false, ..run })?;
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "nodes of a tree, a window of them")]
    pub(super) fn hold(&mut self, run: Run) -> Result<(), Saved> {
        self.runs.insert(run.id, Held { run, lease: None, cancelled: false, shown: Shown::WrittenDown });
        Ok(())
    }

    /// Read everything anew. A run that has begun without a lease of this book was lost with the coordinator that began it.
    #[expect(clippy::disallowed_methods, reason = "nodes of a tree; they are as many as what the host has already lent")]
    fn load<H: ScheduleHost>(&mut self, h: &H) -> Result<(), Saved> {
        if !self.told {
            return Ok(());
        }
        let (schedules, runs) = h.load()?;
        let now = h.timestamp();
        self.schedules = schedules.into_iter().map(|of| (of.id, of)).collect();
        let locked = self.locked_runs();
        let mut before = std::mem::take(&mut self.runs);
        let mut lost = Vec::new();
        for run in runs {
            if locked.contains(&run.id) {
                // The book knows more of it than the tables.
                before.remove(&run.id).into_iter().for_each(|held| _ = self.runs.insert(run.id, held));
                continue;
            }
            match before.get(&run.id).and_then(|held| held.lease) {
                Some(lease) if run.begun => {
                    let held = before.get(&run.id);
                    let (cancelled, shown) = held.map_or((false, Shown::WrittenDown), |held| (held.cancelled, held.shown));
                    self.runs.insert(run.id, Held { run, lease: Some(lease), cancelled, shown });
                }
                _ if run.begun => memory::push(&mut lost, run, "lost runs").map_err(|_| self.no_memory())?,
                _ => self.hold(run)?,
            }
        }
        for held in before.values().filter(|held| held.lease.is_some() && !self.runs.contains_key(&held.run.id)) {
            held.lease.iter().for_each(|lease| h.cancel(*lease));
        }
        for run in lost {
            self.ended(run, CommandEnd::Lost, None, now)?;
        }
        self.told = false;
        self.held_up.clear();
        Ok(())
    }

    fn wait_us<H: ScheduleHost>(&self, h: &H) -> u64 {
        let now = h.timestamp();
        let mut earliest = now.saturating_add(LONGEST_WAIT_US);
        let open = self.open_of();
        for schedule in self.schedules.values().filter(|schedule| !schedule.paused) {
            // A missed due time that waits for the end of a run begins at that end.
            let blocked = schedule.overlap != Overlap::Allow && schedule.misfire == Misfire::All && open.contains_key(&schedule.id);
            if let Some(next) = schedule.next.filter(|next| next.at > now || !blocked) {
                earliest = earliest.min(next.at.max(self.held_up_until(schedule.id, now)));
            }
        }
        for until in self.held_up.values().filter(|until| still(**until, now, LOOK_AGAIN_US as i64)) {
            earliest = earliest.min(*until);
        }
        if self.locked > 0 {
            earliest = earliest.min(self.locked_until);
        }
        let locked = self.locked_runs();
        for held in self.runs.values().filter(|held| !held.run.begun && !locked.contains(&held.run.id)) {
            let blocked = open.get(&held.run.schedule).is_some_and(|of| of.running > 0)
                || self.schedules.get(&held.run.schedule).is_none_or(|of| of.paused && !held.run.manual);
            if !blocked {
                let retry = if still(self.retry_at, now, START_RETRY_US) { self.retry_at } else { i64::MIN };
                earliest = earliest.min(held.run.not_before.max(retry).max(self.held_up_until(held.run.schedule, now)));
            }
        }
        for held in self.runs.values().filter(|held| held.lease.is_some()) {
            match held.shown {
                Shown::Known { at, .. } => earliest = earliest.min(at.saturating_add(SHOWN_AFTER_US)),
                Shown::Unknown { look_at } => earliest = earliest.min(look_at),
                Shown::WrittenDown => {}
            }
        }
        let wait = earliest.saturating_sub(now).max(0);
        if wait < LONGEST_WAIT_US { wait.min(CLOCK_EVERY_US) as u64 } else { wait as u64 }
    }
}

/// A run was lost. Does the misfire rule make it again?
fn lost_runs_again(schedule: &Schedule, run: &Run, now: i64) -> bool {
    let in_time = schedule.deadline_us.is_none_or(|deadline| now - run.due <= deadline);
    let by_rule = match schedule.misfire {
        Misfire::Skip => false,
        Misfire::All => true,
        // One run stands for all due times that were missed meanwhile. It stands for the lost run too.
        Misfire::Once => schedule.paused || schedule.next.is_none_or(|next| next.at > now),
    };
    by_rule && in_time && run.attempt < schedule.max_attempts.max(LOST_ATTEMPTS)
}

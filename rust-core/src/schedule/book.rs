//! The book has all schedules of a database, and all runs that have not ended. It decides which schedule fires, which run
//! begins, and in which order that is written down. Before a run begins, the run and the next due time are on disk.

use super::firing::{self, Open};
use super::host::{AttemptEnd, Due, LOCKED, Misfire, Overlap, Record, Run, RunState, Schedule, ScheduleHost};
use super::spec::Spec;
use crate::async_event::backoff;
use crate::definition::{LOOK_AGAIN_US, Standing};
use crate::host::Saved;
use crate::lease::work::CommandEnd;
use crate::memory::{self, Grows};
use std::collections::{BTreeMap, BTreeSet};

/// How long a coordinator sleeps that has nothing to wait for.
const LONGEST_WAIT_US: i64 = 24 * 3600 * 1_000_000;
/// A wait for a time of the wall clock is no longer than this, because the clock may be set forward.
const CLOCK_EVERY_US: i64 = 5_000_000;
/// If no worker was free and nothing happens, the next look for one comes after this time.
const START_RETRY_US: i64 = 50_000;
/// How many due times are written down at a time.
const BATCH: usize = 500;
/// How many runs wait for workers. Further due times stay in their schedules.
const WINDOW: usize = 2000;
/// A run that takes its worker or the server with it may have at least this many attempts.
const LOST_ATTEMPTS: u32 = 3;
/// The process of a run is written down when the run has gone on for this long.
const SHOWN_AFTER_US: i64 = 500_000;
/// What a row locked by somebody kept from being written down is tried again after this time.
const LOCKED_AGAIN_US: i64 = 250_000;
const LONGEST_BACKOFF_US: i64 = 24 * 3600 * 1_000_000;

/// Is it still before `until`, which was at most `most` microseconds ahead when it was set? If more is left, the clock has
/// been set back since, and nobody waits for it to catch up.
fn still(until: i64, now: i64, most: i64) -> bool {
    (1..=most).contains(&until.saturating_sub(now))
}

struct Held {
    run: Run,
    lease: Option<u64>,
    cancelled: bool,
    shown: Shown,
}

/// The process of a run, and since when the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
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
pub struct Book {
    schedules: BTreeMap<i64, Schedule>,
    runs: BTreeMap<i64, Held>,
    /// What workers have said, and is not taken in yet.
    heard: Vec<AttemptEnd>,
    /// Entries that are not written down yet.
    pending: Vec<Record>,
    /// So many of them, the first ones, wait for rows that somebody has locked, until that time.
    locked: usize,
    locked_until: i64,
    /// Schedules or runs may have changed since they were read.
    told: bool,
    /// Schedules whose owners could not act or whose rows were locked, and when to ask again.
    held_up: BTreeMap<i64, i64>,
    retry_at: i64,
}

impl Default for Book {
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

impl Book {
    /// Schedules may have changed, or a user may have asked for a run.
    pub fn reload(&mut self) {
        self.told = true;
    }

    /// What this lease's worker said is lost. So is its run, which is found when all is read anew.
    pub fn lose(&mut self, lease: u64) {
        self.runs.values_mut().filter(|held| held.lease == Some(lease)).for_each(|held| held.lease = None);
        self.told = true;
    }

    /// Is there nothing to do until somebody says so?
    pub fn rests(&self) -> bool {
        let waits = |schedule: &Schedule| !schedule.paused && schedule.next.is_some();
        !self.told && self.heard.is_empty() && self.pending.is_empty() && self.runs.is_empty() && !self.schedules.values().any(waits)
    }

    /// The leases that run something.
    pub fn leases(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs.values().filter_map(|held| held.lease)
    }

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

    fn no_memory(&mut self) -> Saved {
        self.told = true;
        Saved
    }

    fn note(&mut self, entry: Record) -> Result<(), Saved> {
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
    fn locked_runs(&self) -> BTreeSet<i64> {
        let run = |entry: &Record| match *entry {
            Record::Fired { .. } | Record::Moved { .. } => None,
            Record::Begun { run, .. }
            | Record::Runs { run, .. }
            | Record::Unbegun { run, .. }
            | Record::Ended { run, .. }
            | Record::Again { run, .. } => Some(run),
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

    /// A worker says that a run has begun.
    pub fn began(&mut self, lease: u64, pid: u32, at: i64) {
        if let Some(held) = self.runs.values_mut().find(|held| held.lease == Some(lease)) {
            held.shown = Shown::Known { pid, at };
        }
    }

    /// Write down the process of each run that has gone on for a while.
    fn show(&mut self, now: i64) -> Result<(), Saved> {
        let mut shown = Vec::new();
        for held in self.runs.values_mut() {
            match held.shown {
                Shown::Known { pid, at } if !(at..at.saturating_add(SHOWN_AFTER_US)).contains(&now) => {
                    held.shown = Shown::WrittenDown;
                    let entry = Record::Runs { run: held.run.id, attempt: held.run.attempt, pid, at };
                    memory::push(&mut shown, entry, "runs that go on").map_err(|_| Saved)?;
                }
                Shown::Unknown { look_at } if now >= look_at => held.shown = Shown::Unknown { look_at: now.saturating_add(SHOWN_AFTER_US) },
                _ => {}
            }
        }
        shown.into_iter().try_for_each(|entry| self.note(entry))
    }

    /// A run that was to begin did not begin.
    fn comes_back(&mut self, id: i64, now: i64) -> Result<(), Saved> {
        let Some(held) = self.runs.get_mut(&id) else { return Ok(()) };
        (held.run.begun, held.lease, held.cancelled) = (false, None, false);
        let (run, attempt) = (held.run.id, held.run.attempt);
        self.retry_at = now.saturating_add(START_RETRY_US);
        self.note(Record::Unbegun { run, attempt })
    }

    /// The owner of a run may not act. The other runs do not wait for the owner.
    fn waits_for_owner(&mut self, id: i64, now: i64) -> Result<(), Saved> {
        let Some(held) = self.runs.get_mut(&id) else { return Ok(()) };
        held.run.begun = false;
        let (run, attempt, schedule) = (held.run.id, held.run.attempt, held.run.schedule);
        self.hold_up(schedule, now);
        self.note(Record::Unbegun { run, attempt })
    }

    #[expect(clippy::disallowed_methods, reason = "nodes of a tree, of schedules that are in one already")]
    fn hold_up(&mut self, schedule: i64, now: i64) {
        self.held_up.insert(schedule, now.saturating_add_unsigned(LOOK_AGAIN_US));
    }

    fn held_up_until(&self, schedule: i64, now: i64) -> i64 {
        self.held_up.get(&schedule).copied().filter(|until| still(*until, now, LOOK_AGAIN_US as i64)).unwrap_or(i64::MIN)
    }

    fn is_held_up(&self, schedule: i64, now: i64) -> bool {
        self.held_up_until(schedule, now) > now
    }

    /// An attempt has ended. Decide whether another one follows.
    fn ended(&mut self, run: Run, end: CommandEnd, lease: Option<u64>, now: i64) -> Result<(), Saved> {
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
        self.note(Record::Ended { run: id, attempt, schedule, end, lease, last: again.is_none() })?;
        if let Some(not_before) = again {
            self.note(Record::Again { run: id, attempt: attempt + 1, not_before })?;
            self.hold(Run { attempt: attempt + 1, begun: false, not_before, to_cancel: false, ..run })?;
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "nodes of a tree, a window of them")]
    fn hold(&mut self, run: Run) -> Result<(), Saved> {
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
        // One that cannot be read, or whose zone the server has no more, is never due.
        let readable = |of: Schedule| if self.rules(h, &of).is_some() { of } else { Schedule { next: None, ..of } };
        let readable = schedules.into_iter().map(|of| (of.id, readable(of))).collect();
        self.schedules = readable;
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

    fn open_of(&self) -> BTreeMap<i64, Open> {
        let mut open: BTreeMap<i64, Open> = BTreeMap::new();
        for held in self.runs.values() {
            #[expect(clippy::disallowed_methods, reason = "nodes of a tree, a window of them")]
            let of = open.entry(held.run.schedule).or_default();
            match held.run.begun {
                true => of.running += 1,
                false => of.waiting += 1,
            }
        }
        open
    }

    /// Schedules that have something to do now, the most urgent first.
    fn due(&self, now: i64) -> Result<Vec<i64>, memory::NoMemory> {
        let may = |schedule: &&Schedule| !schedule.paused && !self.is_held_up(schedule.id, now);
        let due = self.schedules.values().filter(may).filter(|schedule| schedule.next.is_some_and(|next| next.at <= now));
        let mut due =
            memory::collect(due.map(|schedule| (-i64::from(schedule.priority), schedule.next.map(|n| n.at), schedule.id)), "due")?;
        due.sort_unstable();
        due.truncate(BATCH.min(WINDOW.saturating_sub(self.runs.len())));
        memory::collect(due.into_iter().map(|(_, _, id)| id), "due")
    }

    /// Write down which schedules fire and which runs begin, and then begin the runs. Returns whether there is more to do.
    fn fire_and_begin<H: ScheduleHost>(&mut self, h: &H) -> Result<bool, Saved> {
        let now = h.timestamp();
        self.cancel(h)?;
        self.follow(h, now)?;
        let due = self.due(now).map_err(|_| self.no_memory())?;
        let open = self.open_of();
        let mut entries = Vec::new();
        let full = due.len() == BATCH;
        if !due.is_empty() {
            let standing = h.standing(&due)?;
            for (id, standing) in due.iter().zip(standing) {
                match standing {
                    Standing::Acts { .. } => {
                        let of = open.get(id).copied().unwrap_or_default();
                        if let Some((entry, cancels)) = self.firing(h, *id, of, now) {
                            memory::push(&mut entries, entry, "due times").map_err(|_| self.no_memory())?;
                            if cancels {
                                self.runs
                                    .values_mut()
                                    .filter(|held| held.run.schedule == *id && held.run.begun)
                                    .for_each(|held| held.run.to_cancel = true);
                            }
                        }
                    }
                    Standing::Waits => self.hold_up(*id, now),
                    Standing::Ended => self.told = true,
                }
            }
        }
        let begun = self.choose(h, &mut entries, &open, now)?;
        if entries.is_empty() && begun.is_empty() {
            return Ok(false);
        }
        let fired = entries.len();
        for id in &begun {
            let attempt = self.runs.get(id).map_or(1, |held| held.run.attempt);
            memory::push(&mut entries, Record::Begun { run: *id, attempt }, "runs that begin").map_err(|_| self.no_memory())?;
        }
        let numbers = h.record(&entries).inspect_err(|_| self.told = true)?;
        let mut to_start = Vec::new();
        for (id, number) in begun.iter().zip(&numbers[fired..]) {
            match self.runs.get_mut(id) {
                Some(held) if *number == LOCKED => {
                    let schedule = held.run.schedule;
                    self.hold_up(schedule, now);
                }
                Some(held) if *number != 0 => {
                    held.run.begun = true;
                    memory::push(&mut to_start, *id, "runs that begin").map_err(|_| self.no_memory())?;
                }
                _ => {
                    self.runs.remove(id);
                    self.told = true;
                }
            }
        }
        for (entry, number) in entries.iter().zip(&numbers).take(fired) {
            match (*number, entry) {
                (0, _) => self.told = true,
                (LOCKED, Record::Fired { schedule, .. }) => self.hold_up(*schedule, now),
                (run, entry) => {
                    if self.fired(run, entry)? {
                        memory::push(&mut to_start, run, "runs that begin").map_err(|_| self.no_memory())?;
                    }
                }
            }
        }
        self.cancel(h)?;
        self.start(h, &to_start)?;
        Ok(full || self.told)
    }

    /// Find the next due time where it is not known: after the last run, after a start of the server, after a step of the clock.
    fn follow<H: ScheduleHost>(&mut self, h: &H, now: i64) -> Result<(), Saved> {
        let mut moved = Vec::new();
        for schedule in self.schedules.values() {
            let spec = schedule.spec.as_slice();
            let ahead = schedule.last_due.is_some_and(|last| last > now);
            if !(schedule.next.is_none() && (spec.starts_with(b"after") || spec == b"reboot") || ahead) || self.is_held_up(schedule.id, now)
            {
                continue;
            }
            let Some((spec, zone)) = self.rules(h, schedule) else { continue };
            let next = match spec {
                Spec::After(_) if self.runs.values().any(|held| held.run.schedule == schedule.id) => None,
                Spec::After(_) => firing::next_due(schedule, &spec, &zone, now, schedule.fired).filter(|_| schedule.next.is_none()),
                Spec::Reboot if schedule.last_due.is_none_or(|last| last < h.started()) && !limit_met(schedule, now) => {
                    Some(Due { due: h.started(), at: h.started() })
                }
                _ => firing::corrected(schedule, &spec, &zone, now),
            };
            if next.is_some() {
                let entry = Record::Moved {
                    schedule: schedule.id,
                    revision: schedule.revision,
                    last_due: schedule.last_due.map(|last| last.min(now)),
                    next,
                };
                memory::push(&mut moved, entry, "due times").map_err(|_| Saved)?;
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let numbers = h.record(&moved).inspect_err(|_| self.told = true)?;
        for (entry, number) in moved.into_iter().zip(numbers) {
            let Record::Moved { schedule, last_due, next, .. } = entry else { continue };
            match self.schedules.get_mut(&schedule) {
                _ if number == LOCKED => self.hold_up(schedule, now),
                Some(of) if number != 0 => (of.next, of.last_due) = (next, last_due),
                _ => self.told = true,
            }
        }
        Ok(())
    }

    fn rules<H: ScheduleHost>(&self, h: &H, schedule: &Schedule) -> Option<(Spec, H::Zone)> {
        let spec = std::str::from_utf8(&schedule.spec).ok().and_then(|text| Spec::restored(text).ok())?;
        Some((spec, h.zone(&schedule.zone)?))
    }

    fn firing<H: ScheduleHost>(&self, h: &H, id: i64, open: Open, now: i64) -> Option<(Record, bool)> {
        let schedule = self.schedules.get(&id)?;
        let (spec, zone) = self.rules(h, schedule)?;
        let firing = match spec {
            // The due time of @reboot is always in the past.
            Spec::Reboot => firing::fire(&Schedule { misfire: Misfire::Once, ..schedule.clone() }, &spec, &zone, open, now)?,
            _ => firing::fire(schedule, &spec, &zone, open, now)?,
        };
        let fired = schedule.fired + i64::from(!matches!(firing.state, RunState::Skipped(_)));
        let entry = Record::Fired {
            schedule: id,
            revision: schedule.revision,
            due: firing.due,
            missed: firing.missed,
            state: firing.state,
            next: firing.next,
            fired,
        };
        Some((entry, firing.cancels))
    }

    /// A due time is written down. Returns whether its run begins now.
    fn fired(&mut self, run: i64, entry: &Record) -> Result<bool, Saved> {
        let Record::Fired { schedule, due, state, next, fired, .. } = entry else { return Ok(false) };
        if let Some(of) = self.schedules.get_mut(schedule) {
            (of.next, of.fired, of.last_due) = (*next, *fired, Some(*due));
        }
        if matches!(state, RunState::Skipped(_)) {
            return Ok(false);
        }
        let begun = *state == RunState::Running;
        self.hold(Run { id: run, schedule: *schedule, attempt: 1, due: *due, manual: false, begun, not_before: *due, to_cancel: false })?;
        Ok(begun)
    }

    /// Choose which runs begin now, of those that wait and of those that have just come due. Marks the entries of the latter.
    fn choose<H: ScheduleHost>(&mut self, h: &H, entries: &mut [Record], open: &BTreeMap<i64, Open>, now: i64) -> Result<Vec<i64>, Saved> {
        let room = if still(self.retry_at, now, START_RETRY_US) { 0 } else { h.room() };
        let urgency = |schedule: i64| self.schedules.get(&schedule).map_or(0, |of| -i64::from(of.priority));
        let mut wanted: Vec<(i64, i64, i64, Option<usize>)> = Vec::new();
        let mut busy = open.iter().filter(|(_, of)| of.running > 0).map(|(id, _)| *id);
        let mut taken: BTreeSet<i64> = BTreeSet::new();
        #[expect(clippy::disallowed_methods, reason = "nodes of a tree, a window of them")]
        busy.by_ref().for_each(|id| _ = taken.insert(id));
        let locked = self.locked_runs();
        let waits = |held: &&Held| !held.run.begun && !held.run.to_cancel && held.run.not_before <= now && !locked.contains(&held.run.id);
        for held in self.runs.values().filter(waits) {
            let paused = self.schedules.get(&held.run.schedule).is_none_or(|of| of.paused && !held.run.manual);
            if !paused && !self.is_held_up(held.run.schedule, now) {
                memory::push(&mut wanted, (urgency(held.run.schedule), held.run.due, held.run.id, None), "runs that wait")
                    .map_err(|_| Saved)?;
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            if let Record::Fired { schedule, due, state: RunState::Waiting, .. } = entry {
                memory::push(&mut wanted, (urgency(*schedule), *due, i64::MAX, Some(index)), "runs that wait").map_err(|_| Saved)?;
            }
        }
        wanted.sort_unstable();
        let mut begun = Vec::new();
        let mut count = 0;
        for (_, _, id, index) in wanted {
            if count >= room {
                if !still(self.retry_at, now, START_RETRY_US) {
                    self.retry_at = now.saturating_add(START_RETRY_US);
                }
                break;
            }
            let schedule = match (index, self.runs.get(&id)) {
                (Some(index), _) => match &entries[index] {
                    Record::Fired { schedule, .. } => *schedule,
                    _ => continue,
                },
                (None, Some(held)) => held.run.schedule,
                (None, None) => continue,
            };
            let alone = self.schedules.get(&schedule).is_none_or(|of| of.overlap != Overlap::Allow);
            #[expect(clippy::disallowed_methods, reason = "nodes of a tree, a window of them")]
            if !taken.insert(schedule) && alone {
                continue;
            }
            count += 1;
            match index {
                Some(index) => {
                    if let Record::Fired { state, .. } = &mut entries[index] {
                        *state = RunState::Running;
                    }
                }
                None => memory::push(&mut begun, id, "runs that begin").map_err(|_| Saved)?,
            }
        }
        Ok(begun)
    }

    /// Begin the runs that are written down as begun.
    fn start<H: ScheduleHost>(&mut self, h: &H, runs: &[i64]) -> Result<(), Saved> {
        // Each run is started with the standing of its own schedule: what is no more is in neither list.
        let runs = memory::collect(runs.iter().copied().filter(|id| self.runs.contains_key(id)), "runs").map_err(|_| self.no_memory())?;
        let schedules = memory::collect(runs.iter().filter_map(|id| self.runs.get(id)).map(|held| held.run.schedule), "runs")
            .map_err(|_| self.no_memory())?;
        let standing = if runs.is_empty() { Vec::new() } else { h.standing(&schedules).inspect_err(|_| self.told = true)? };
        let mut none = false;
        for (id, standing) in runs.iter().zip(standing) {
            let Some(held) = self.runs.get_mut(id) else { continue };
            if !matches!(standing, Standing::Acts { .. }) {
                self.waits_for_owner(*id, h.timestamp())?;
                continue;
            }
            let started = if none { Ok(None) } else { h.start(&held.run, standing) };
            match started {
                Ok(Some(lease)) => {
                    held.lease = Some(lease);
                    held.shown = Shown::Unknown { look_at: h.timestamp().saturating_add(SHOWN_AFTER_US) };
                }
                Ok(None) | Err(Saved) => {
                    none = true;
                    self.comes_back(*id, h.timestamp())?;
                }
            }
        }
        Ok(())
    }

    /// Cancel the runs that a user or a later run no longer wants.
    fn cancel<H: ScheduleHost>(&mut self, h: &H) -> Result<(), Saved> {
        let now = h.timestamp();
        let mut gone = Vec::new();
        for held in self.runs.values_mut().filter(|held| held.run.to_cancel && !held.cancelled) {
            match held.lease {
                Some(lease) => {
                    held.cancelled = true;
                    h.cancel(lease);
                }
                None if !held.run.begun => memory::push(&mut gone, held.run.id, "cancelled runs").map_err(|_| Saved)?,
                None => {}
            }
        }
        for id in gone {
            if let Some(held) = self.runs.remove(&id) {
                self.ended(held.run, CommandEnd::Cancelled, None, now)?;
            }
        }
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

fn limit_met(schedule: &Schedule, now: i64) -> bool {
    schedule.max_runs.is_some_and(|most| schedule.fired >= most) || schedule.until.is_some_and(|until| until < now)
}

//! Which due times have come, and which runs begin. Both are written down first, then workers are asked to run them.

use super::book::{BATCH, Held, SHOWN_AFTER_US, START_RETRY_US, ScheduleBook, Shown, WINDOW, still};
use super::firing::{self, Open};
use super::host::{Due, Misfire, Overlap, Run, RunState, Schedule, ScheduleEntry, ScheduleHost};
use super::spec::Spec;
use crate::definition::{LOCKED, Standing};
use crate::host::Saved;
use crate::lease::work::CommandEnd;
use crate::memory;
use std::collections::{BTreeMap, BTreeSet};

impl ScheduleBook {
    pub(super) fn open_of(&self) -> BTreeMap<i64, Open> {
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
    pub(super) fn due(&self, now: i64) -> Result<Vec<i64>, memory::NoMemory> {
        let may = |schedule: &&Schedule| !schedule.paused && !self.is_held_up(schedule.id, now);
        let due = self.schedules.values().filter(may).filter(|schedule| schedule.next.is_some_and(|next| next.at <= now));
        let mut due =
            memory::collect(due.map(|schedule| (-i64::from(schedule.priority), schedule.next.map(|n| n.at), schedule.id)), "due")?;
        due.sort_unstable();
        due.truncate(BATCH.min(WINDOW.saturating_sub(self.runs.len())));
        memory::collect(due.into_iter().map(|(_, _, id)| id), "due")
    }

    /// Write down which schedules fire and which runs begin, and then begin the runs. Returns whether there is more to do.
    pub(super) fn fire_and_begin<H: ScheduleHost>(&mut self, h: &H) -> Result<bool, Saved> {
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
            memory::push(&mut entries, ScheduleEntry::Begun { run: *id, attempt }, "runs that begin").map_err(|_| self.no_memory())?;
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
                (LOCKED, ScheduleEntry::Fired { schedule, .. }) => self.hold_up(*schedule, now),
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
                let entry = ScheduleEntry::Moved {
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
            let ScheduleEntry::Moved { schedule, last_due, next, .. } = entry else { continue };
            match self.schedules.get_mut(&schedule) {
                _ if number == LOCKED => self.hold_up(schedule, now),
                Some(of) if number != 0 => (of.next, of.last_due) = (next, last_due),
                _ => self.told = true,
            }
        }
        Ok(())
    }

    pub(super) fn rules<H: ScheduleHost>(&self, h: &H, schedule: &Schedule) -> Option<(Spec, H::Zone)> {
        let spec = std::str::from_utf8(&schedule.spec).ok().and_then(|text| Spec::restored(text).ok())?;
        Some((spec, h.zone(&schedule.zone)?))
    }

    /// What becomes of a schedule's next due time. Not before then is its specification read: there may be thousands.
    fn firing<H: ScheduleHost>(&mut self, h: &H, id: i64, open: Open, now: i64) -> Option<(ScheduleEntry, bool)> {
        let rules = self.schedules.get(&id).and_then(|schedule| self.rules(h, schedule));
        let schedule = self.schedules.get_mut(&id)?;
        let Some((spec, zone)) = rules else {
            // One that cannot be read, or whose zone the server has no more, is never due.
            schedule.next = None;
            return None;
        };
        let schedule = &*schedule;
        let firing = match spec {
            // The due time of @reboot is always in the past.
            Spec::Reboot => firing::fire(&Schedule { misfire: Misfire::Once, ..schedule.clone() }, &spec, &zone, open, now)?,
            _ => firing::fire(schedule, &spec, &zone, open, now)?,
        };
        let fired = schedule.fired + i64::from(!matches!(firing.state, RunState::Skipped(_)));
        let entry = ScheduleEntry::Fired {
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
    fn fired(&mut self, run: i64, entry: &ScheduleEntry) -> Result<bool, Saved> {
        let ScheduleEntry::Fired { schedule, due, state, next, fired, .. } = entry else { return Ok(false) };
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
    fn choose<H: ScheduleHost>(
        &mut self,
        h: &H,
        entries: &mut [ScheduleEntry],
        open: &BTreeMap<i64, Open>,
        now: i64,
    ) -> Result<Vec<i64>, Saved> {
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
            if let ScheduleEntry::Fired { schedule, due, state: RunState::Waiting, .. } = entry {
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
                    ScheduleEntry::Fired { schedule, .. } => *schedule,
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
                    if let ScheduleEntry::Fired { state, .. } = &mut entries[index] {
                        *state = RunState::Running;
                    }
                }
                None => memory::push(&mut begun, id, "runs that begin").map_err(|_| Saved)?,
            }
        }
        Ok(begun)
    }

    /// Begin the runs that are written down as begun. After an error no further one is begun: all come back, and the part pauses.
    fn start<H: ScheduleHost>(&mut self, h: &H, runs: &[i64]) -> Result<(), Saved> {
        // Each run is started with the standing of its own schedule: what is no more is in neither list.
        let runs = memory::collect(runs.iter().copied().filter(|id| self.runs.contains_key(id)), "runs").map_err(|_| self.no_memory())?;
        let schedules = memory::collect(runs.iter().filter_map(|id| self.runs.get(id)).map(|held| held.run.schedule), "runs")
            .map_err(|_| self.no_memory())?;
        let standing = if runs.is_empty() { Vec::new() } else { h.standing(&schedules).inspect_err(|_| self.told = true)? };
        let (mut none, mut failed) = (false, Ok(()));
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
                started => {
                    none = true;
                    failed = failed.and(started.map(|_| ()));
                    self.comes_back(*id, h.timestamp())?;
                }
            }
        }
        failed
    }

    /// Cancel the runs that a user or a later run no longer wants.
    pub(super) fn cancel<H: ScheduleHost>(&mut self, h: &H) -> Result<(), Saved> {
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
}

pub(super) fn limit_met(schedule: &Schedule, now: i64) -> bool {
    schedule.max_runs.is_some_and(|most| schedule.fired >= most) || schedule.until.is_some_and(|until| until < now)
}

//! The simulated world of schedules: tables, workers, a clock, and what may go wrong with each.

use crate::definition::Standing;
use crate::definition::part::Tables;
pub(super) use crate::definition::world::Fault;
use crate::definition::world::SharedWorld;
use crate::host::Saved;
use crate::lease::work::CommandEnd;
use crate::schedule::host::*;
use crate::schedule::part::ScheduleKind;
use crate::schedule::spec::SECOND_US;
use crate::schedule::zone::Fixed;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) schedule: i64,
    pub(super) due: i64,
    pub(super) missed: u32,
    pub(super) manual: bool,
    pub(super) begun: bool,
    pub(super) ended: Option<CommandEnd>,
    pub(super) skipped: bool,
    pub(super) to_cancel: bool,
    pub(super) not_before: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) lease: u64,
    pub(super) run: i64,
    pub(super) attempt: u32,
    pub(super) ends_at: i64,
    pub(super) end: CommandEnd,
    /// It says that it could not begin.
    pub(super) unborn: bool,
}

pub(super) struct World {
    shared: SharedWorld<i64, Worker>,
    pub(super) schedules: RefCell<BTreeMap<i64, Schedule>>,
    pub(super) rows: RefCell<BTreeMap<(i64, u32), Row>>,
    pub(super) begun: RefCell<BTreeSet<(i64, u32)>>,
    pub(super) last_run: Cell<i64>,
    pub(super) started: Cell<i64>,
}

impl Deref for World {
    type Target = SharedWorld<i64, Worker>;
    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            shared: SharedWorld::new(seed, 0),
            schedules: RefCell::default(),
            rows: RefCell::default(),
            begun: RefCell::default(),
            last_run: Cell::new(0),
            started: Cell::new(0),
        }
    }

    /// The schedule that an entry is about.
    fn of(&self, entry: &ScheduleEntry) -> Option<i64> {
        let of = |run: i64| self.rows.borrow().get(&(run, 1)).map(|row| row.schedule);
        match *entry {
            ScheduleEntry::Fired { schedule, .. } | ScheduleEntry::Moved { schedule, .. } => Some(schedule),
            ScheduleEntry::Begun { run, .. }
            | ScheduleEntry::Runs { run, .. }
            | ScheduleEntry::Unbegun { run, .. }
            | ScheduleEntry::Ended { run, .. }
            | ScheduleEntry::Again { run, .. } => of(run),
        }
    }

    pub(super) fn apply(&self, entry: &ScheduleEntry) -> i64 {
        let (mut schedules, mut rows) = (self.schedules.borrow_mut(), self.rows.borrow_mut());
        match entry {
            ScheduleEntry::Fired { schedule, revision, due, missed, state, next, fired } => {
                let Some(of) = schedules.get_mut(schedule).filter(|of| of.revision == *revision) else { return 0 };
                (of.next, of.fired, of.last_due) = (*next, *fired, Some(*due));
                self.last_run.set(self.last_run.get() + 1);
                let row = Row {
                    schedule: *schedule,
                    due: *due,
                    missed: *missed,
                    manual: false,
                    begun: *state == RunState::Running,
                    ended: None,
                    skipped: matches!(state, RunState::Skipped(_)),
                    to_cancel: false,
                    not_before: *due,
                };
                rows.insert((self.last_run.get(), 1), row);
                self.last_run.get()
            }
            ScheduleEntry::Moved { schedule, revision, last_due, next } => {
                let Some(of) = schedules.get_mut(schedule).filter(|of| of.revision == *revision) else { return 0 };
                (of.next, of.last_due) = (*next, *last_due);
                1
            }
            ScheduleEntry::Begun { run, attempt } => {
                let Some(row) = rows.get_mut(&(*run, *attempt)).filter(|row| row.ended.is_none()) else { return 0 };
                assert!(!row.begun);
                row.begun = true;
                *run
            }
            ScheduleEntry::Runs { run, .. } => *run,
            ScheduleEntry::Unbegun { run, attempt } => {
                rows.get_mut(&(*run, *attempt)).unwrap().begun = false;
                *run
            }
            ScheduleEntry::Ended { run, attempt, end, .. } => {
                let row = rows.get_mut(&(*run, *attempt)).unwrap();
                assert!(row.ended.is_none_or(|before| before == *end), "an attempt ended twice");
                row.ended = Some(*end);
                *run
            }
            ScheduleEntry::Again { run, attempt, not_before } => {
                let before = rows.get(&(*run, attempt - 1)).unwrap().clone();
                assert!(before.ended.is_some());
                let row = Row { begun: false, ended: None, to_cancel: false, missed: 0, not_before: *not_before, ..before };
                rows.entry((*run, *attempt)).or_insert(row);
                *run
            }
        }
    }

    pub(super) fn crash(&self) {
        self.workers.borrow_mut().clear();
        self.started.set(self.now.get());
    }
}

impl Tables<ScheduleKind> for World {
    fn load(&self) -> Result<(Vec<Schedule>, Vec<Run>), Saved> {
        self.may_fail(Fault::LoadFails)?;
        let rows = self.rows.borrow();
        let runs = rows.iter().filter(|(_, row)| row.ended.is_none() && !row.skipped).map(|((id, attempt), row)| Run {
            id: *id,
            schedule: row.schedule,
            attempt: *attempt,
            due: row.due,
            manual: row.manual,
            begun: row.begun,
            not_before: row.not_before,
            to_cancel: row.to_cancel,
        });
        Ok((self.schedules.borrow().values().cloned().collect(), runs.collect()))
    }

    fn standing(&self, schedules: &[i64]) -> Result<Vec<Standing>, Saved> {
        Ok(self.shared.standing(schedules, |_| true))
    }

    fn record(&self, entries: &[ScheduleEntry]) -> Result<Vec<i64>, Saved> {
        self.shared.record(entries, |entry| self.of(entry), |entry| self.apply(entry))
    }

    fn cancel(&self, lease: u64) {
        if let Some(worker) = self.workers.borrow_mut().iter_mut().find(|worker| worker.lease == lease) {
            (worker.end, worker.ends_at) = (CommandEnd::Cancelled, i64::MIN);
        }
    }

    fn outcomes(&self) -> Vec<AttemptEnd> {
        let now = self.now.get();
        let mut workers = self.workers.borrow_mut();
        let (ended, running) = workers.drain(..).partition(|worker| worker.ends_at <= now);
        *workers = running;
        let ended: Vec<Worker> = ended;
        ended.into_iter().map(|worker| AttemptEnd { lease: worker.lease, end: (!worker.unborn).then_some(worker.end) }).collect()
    }
}

impl ScheduleHost for World {
    type Zone = Fixed;

    fn timestamp(&self) -> i64 {
        self.now.get()
    }

    fn started(&self) -> i64 {
        self.started.get()
    }

    fn zone(&self, name: &[u8]) -> Option<Fixed> {
        (name != b"Gone/With_An_Update").then_some(Fixed(0))
    }

    fn room(&self) -> usize {
        self.slots.get().saturating_sub(self.workers.borrow().len())
    }

    fn start(&self, run: &Run, owner: Standing) -> Result<Option<u64>, Saved> {
        assert_eq!(owner, Standing::Acts { owner: run.schedule as u32, superuser: false }, "a run acts for its own schedule's owner");
        self.may_fail(Fault::StartFails)?;
        if self.is_full() || self.one_in(20) {
            return Ok(None);
        }
        let rows = self.rows.borrow();
        let row = &rows[&(run.id, run.attempt)];
        assert!(row.begun && row.ended.is_none(), "it is written down before it begins");
        let unborn = self.one_in(20);
        assert!(unborn || self.begun.borrow_mut().insert((run.id, run.attempt)), "an attempt begins once");
        let schedules = self.schedules.borrow();
        if schedules.get(&row.schedule).is_some_and(|of| of.overlap != Overlap::Allow) {
            let others = self.workers.borrow().iter().filter(|worker| rows[&(worker.run, worker.attempt)].schedule == row.schedule).count();
            assert_eq!(others, 0, "runs of one schedule overlap");
        }
        let lease = self.next_lease();
        let mut random = self.random.borrow_mut();
        let end = match random.u32(0..12) {
            0 => CommandEnd::Failed,
            1 => CommandEnd::TimedOut,
            2 => CommandEnd::Lost,
            _ => CommandEnd::Done,
        };
        let takes = random.i64(0..4 * SECOND_US);
        self.workers.borrow_mut().push(Worker { lease, run: run.id, attempt: run.attempt, ends_at: self.now.get() + takes, end, unborn });
        Ok(Some(lease))
    }
}

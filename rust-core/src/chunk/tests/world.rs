//! The simulated world of jobs: their tables and keys, workers, and what may go wrong with each.

use super::super::book::JobBook;
use super::super::cut::{Cut, Row};
use super::super::host::*;
use super::super::part::JobKind;
use super::super::throttle::Measured;
use crate::definition::Standing;
use crate::definition::part::Tables;
pub(super) use crate::definition::world::Fault;
use crate::definition::world::SharedWorld;
use crate::host::Saved;
use crate::report::{DEADLOCK_DETECTED, sqlstate};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ChunkState {
    Waiting,
    Running,
    Done,
    Failed,
    Split,
}

#[derive(Clone, Debug)]
pub(super) struct ChunkRow {
    pub(super) cut: Cut,
    pub(super) state: ChunkState,
    pub(super) attempt: u32,
    pub(super) failures: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum JobState {
    Running,
    Done,
    DoneWithErrors,
    Failed,
    Cancelled,
}

pub(super) struct JobRow {
    pub(super) job: Job,
    pub(super) state: JobState,
    pub(super) last_number: i64,
    pub(super) chunks: BTreeMap<i64, ChunkRow>,
    pub(super) keys: BTreeSet<i64>,
    pub(super) poisoned: BTreeSet<i64>,
    /// All chunks of the job fail so.
    pub(super) broken: u32,
    pub(super) done: BTreeMap<i64, u32>,
    pub(super) commits: u32,
    /// Keys that came behind the others since a step began; and before one did, so that it sees them.
    pub(super) fresh: BTreeSet<i64>,
    /// It has rows without a key, and how often they are done.
    pub(super) nulls: Option<u32>,
    pub(super) seen: BTreeSet<i64>,
}

#[derive(Clone, Debug)]
pub(super) enum Task {
    Step { from: Option<i64>, begins: bool, rows: u64, chunks: u32 },
    Halves(Cut),
    Run { number: i64, attempt: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Luck {
    Good,
    Deadlock,
    DiesBefore,
    DiesAfter,
    Unborn,
    Cancelled,
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) lease: u64,
    pub(super) job: i64,
    pub(super) task: Task,
    pub(super) ends_at: u64,
    pub(super) luck: Luck,
    /// The coordinator that listens to it.
    pub(super) heard_by: u32,
}

pub(super) struct World {
    shared: SharedWorld<u64, Worker>,
    pub(super) jobs: RefCell<BTreeMap<i64, JobRow>>,
    pub(super) most_at_once: Cell<usize>,
    pub(super) unlucky: Cell<bool>,
    pub(super) coordinator: Cell<u32>,
    pub(super) heard: RefCell<Vec<ChunkOutcome>>,
    pub(super) measured: Cell<Measured>,
    pub(super) measures: Cell<u32>,
    pub(super) us_per_key: Cell<u64>,
}

impl Deref for World {
    type Target = SharedWorld<u64, Worker>;
    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

pub(super) fn text(key: i64) -> Option<Vec<u8>> {
    Some(key.to_string().into_bytes())
}

pub(super) fn number(text: &Option<Vec<u8>>) -> i64 {
    std::str::from_utf8(text.as_ref().unwrap()).unwrap().parse().unwrap()
}

const DIVISION_BY_ZERO: u32 = sqlstate(b"22012");

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            shared: SharedWorld::new(seed, 1_000_000),
            jobs: RefCell::default(),
            most_at_once: Cell::new(0),
            unlucky: Cell::new(false),
            coordinator: Cell::new(0),
            heard: RefCell::default(),
            measured: Cell::default(),
            measures: Cell::new(0),
            us_per_key: Cell::new(1_000),
        }
    }

    pub(super) fn add(&self, id: i64, keys: impl IntoIterator<Item = i64>) {
        let parts = ["key", "t", "k", "int8", "<", "<=", ">=", ">", "true", "false", ""].map(|part| part.as_bytes().to_vec()).to_vec();
        let job = Job { id, parts, workers: 2, max_attempts: 3, chunk_rows: Some(10), ..Job::default() };
        self.jobs.borrow_mut().insert(
            id,
            JobRow {
                job,
                state: JobState::Running,
                last_number: 0,
                chunks: BTreeMap::new(),
                keys: keys.into_iter().collect(),
                poisoned: BTreeSet::new(),
                broken: 0,
                done: BTreeMap::new(),
                commits: 0,
                fresh: BTreeSet::new(),
                nulls: None,
                seen: BTreeSet::new(),
            },
        );
    }

    pub(super) fn with<T>(&self, id: i64, change: impl FnOnce(&mut JobRow) -> T) -> T {
        change(self.jobs.borrow_mut().get_mut(&id).unwrap())
    }

    /// The coordinator has gone; its workers have not, and nobody hears them.
    pub(super) fn new_coordinator(&self) -> JobBook {
        self.coordinator.set(self.coordinator.get() + 1);
        self.heard.borrow_mut().clear();
        JobBook::default()
    }

    pub(super) fn crash(&self) -> JobBook {
        self.workers.borrow_mut().clear();
        self.new_coordinator()
    }

    pub(super) fn apply(&self, entry: &JobEntry) -> i64 {
        let mut jobs = self.jobs.borrow_mut();
        let Some(row) = jobs.get_mut(&entry.job()) else { return 0 };
        let running = row.state == JobState::Running;
        let append = |row: &mut JobRow, cuts: &[Cut], failures: &dyn Fn(usize) -> u32| {
            let first = row.last_number + 1;
            for (index, cut) in cuts.iter().enumerate() {
                row.last_number += 1;
                let chunk = ChunkRow { cut: cut.clone(), state: ChunkState::Waiting, attempt: 0, failures: failures(index) };
                row.chunks.insert(row.last_number, chunk);
            }
            first
        };
        let as_it_is = |row: &mut JobRow, number: i64, state: ChunkState, attempt: u32| {
            row.chunks.get_mut(&number).is_some_and(|chunk| chunk.state == state && chunk.attempt == attempt)
        };
        match entry {
            JobEntry::Cut { from, frontier, cuts, last, .. } => {
                if !running || row.job.frontier != *from || row.job.cut {
                    return 0;
                }
                (row.job.frontier, row.job.cut) = (frontier.clone(), *last);
                append(row, cuts, &|_| 0).max(1)
            }
            JobEntry::Begun { number, attempt, .. } => {
                if !running || row.job.paused || !as_it_is(row, *number, ChunkState::Waiting, attempt - 1) {
                    return 0;
                }
                let chunk = row.chunks.get_mut(number).unwrap();
                (chunk.state, chunk.attempt) = (ChunkState::Running, *attempt);
                1
            }
            JobEntry::Unbegun { number, attempt, .. } => {
                if !as_it_is(row, *number, ChunkState::Running, *attempt) {
                    return 0;
                }
                row.chunks.get_mut(number).unwrap().state = ChunkState::Waiting;
                1
            }
            JobEntry::Ended { number, attempt, failures, fate, .. } => {
                if !as_it_is(row, *number, ChunkState::Running, *attempt) {
                    return 0;
                }
                let chunk = row.chunks.get_mut(number).unwrap();
                chunk.failures = *failures;
                chunk.state = if *fate == Fate::Waits { ChunkState::Waiting } else { ChunkState::Failed };
                if *fate == Fate::JobFailed {
                    row.state = JobState::Failed;
                }
                1
            }
            JobEntry::GivenUp { number, .. } => {
                let Some(chunk) = row.chunks.get_mut(number).filter(|chunk| chunk.state == ChunkState::Waiting) else { return 0 };
                chunk.state = ChunkState::Failed;
                1
            }
            JobEntry::Split { number, parts, failures, .. } => {
                let Some(chunk) = row.chunks.get_mut(number).filter(|chunk| chunk.state == ChunkState::Waiting) else { return 0 };
                chunk.state = ChunkState::Split;
                append(row, parts, &|index| failures[index])
            }
            JobEntry::Waits { why, .. } => {
                row.job.waits_for = *why;
                1
            }
            JobEntry::Over { .. } => {
                let open = row.chunks.values().any(|chunk| matches!(chunk.state, ChunkState::Waiting | ChunkState::Running));
                if !running || open {
                    return 0;
                }
                let errors = row.chunks.values().any(|chunk| chunk.state == ChunkState::Failed);
                row.state = if errors { JobState::DoneWithErrors } else { JobState::Done };
                1
            }
            JobEntry::Broken { .. } => {
                if !running {
                    return 0;
                }
                row.state = JobState::Failed;
                1
            }
        }
    }

    /// A worker comes to its end: what it has committed, and what it says.
    pub(super) fn finish(&self, worker: &Worker) -> Option<End> {
        let mut jobs = self.jobs.borrow_mut();
        if worker.luck == Luck::Unborn {
            return Some(End::Unbegun);
        }
        let Some(row) = jobs.get_mut(&worker.job) else { return Some(End::Failed { sqlstate: DIVISION_BY_ZERO }) };
        match worker.luck {
            Luck::Deadlock => return Some(End::Failed { sqlstate: DEADLOCK_DETECTED }),
            Luck::DiesBefore => return Some(End::Lost),
            Luck::Cancelled => return Some(End::Cancelled),
            Luck::Good | Luck::DiesAfter | Luck::Unborn => {}
        }
        let end = match &worker.task {
            Task::Step { .. } | Task::Halves(_) if row.broken != 0 => End::Failed { sqlstate: row.broken },
            Task::Step { from, begins, rows, chunks } => {
                let left: Vec<i64> = row.keys.iter().copied().filter(|key| from.is_none_or(|from| *key > from)).collect();
                let nulls = (*begins && row.nulls.is_some()).then(|| vec![None, None, None, Some(b"n".to_vec())]);
                let row = |keys: &[i64]| {
                    let high = text(*keys.last().unwrap());
                    vec![text(keys[0]), high.clone(), text(keys.len() as i64), high]
                };
                let rows = left.chunks((*rows).max(1) as usize).map(row);
                End::Done { took_us: 100, rows: nulls.into_iter().chain(rows).take(*chunks as usize).collect() }
            }
            Task::Halves(cut) => {
                let keys: Vec<i64> = row.keys.range(number(&cut.low)..=number(&cut.high)).copied().collect();
                let (left, right) = keys.split_at(keys.len() / 2);
                let row = |keys: &[i64]| -> Row { vec![text(keys[0]), text(*keys.last().unwrap()), text(keys.len() as i64)] };
                End::Done { took_us: 100, rows: [left, right].into_iter().filter(|keys| !keys.is_empty()).map(row).collect() }
            }
            Task::Run { number: its, attempt } => {
                let Some(chunk) = row.chunks.get_mut(its) else { return Some(End::Failed { sqlstate: DEADLOCK_DETECTED }) };
                let nulls = chunk.cut.low.is_none();
                let bounds = |bound: &Option<Vec<u8>>| if nulls { i64::MAX } else { number(bound) };
                let range = bounds(&chunk.cut.low)..=bounds(&chunk.cut.high);
                if row.broken != 0 {
                    return Some(End::Failed { sqlstate: row.broken });
                }
                if !nulls && row.poisoned.range(range.clone()).next().is_some() {
                    return Some(End::Failed { sqlstate: DIVISION_BY_ZERO });
                }
                // The worker's own statement sees to it that the attempt is still the one.
                if chunk.state != ChunkState::Running || chunk.attempt != *attempt || row.state == JobState::Cancelled {
                    return Some(End::Failed { sqlstate: DEADLOCK_DETECTED });
                }
                chunk.state = ChunkState::Done;
                row.commits += 1;
                let keys: Vec<i64> = if nulls { Vec::new() } else { row.keys.range(range).copied().collect() };
                row.nulls = row.nulls.map(|times| times + u32::from(nulls));
                keys.iter().for_each(|key| *row.done.entry(*key).or_default() += 1);
                End::Done { took_us: keys.len() as u64 * self.us_per_key.get(), rows: Vec::new() }
            }
        };
        Some(if worker.luck == Luck::DiesAfter { End::Lost } else { end })
    }

    /// Workers whose time has come end.
    pub(super) fn pass(&self, us: u64) {
        self.now.set(self.now.get() + us);
        let now = self.now.get();
        let (ended, going): (Vec<_>, Vec<_>) = self.workers.borrow_mut().drain(..).partition(|worker| worker.ends_at <= now);
        *self.workers.borrow_mut() = going;
        for worker in ended {
            let end = self.finish(&worker);
            if let Some(end) = end.filter(|_| worker.heard_by == self.coordinator.get()) {
                self.heard.borrow_mut().push(ChunkOutcome { lease: worker.lease, end });
            }
        }
    }
}

impl Tables<JobKind> for World {
    fn load(&self) -> Result<(Vec<Job>, Vec<Chunk>), Saved> {
        self.may_fail(Fault::LoadFails)?;
        let (mut jobs, mut chunks) = (Vec::new(), Vec::new());
        for row in self.jobs.borrow().values() {
            let runs = row.chunks.values().any(|chunk| chunk.state == ChunkState::Running);
            if row.state != JobState::Running && !runs {
                continue;
            }
            let waiting = row.chunks.values().filter(|chunk| chunk.state == ChunkState::Waiting).count();
            let ended = row.state != JobState::Running;
            let failed = row.chunks.values().filter(|chunk| chunk.state == ChunkState::Failed).count() as u32;
            jobs.push(Job { ended, to_cancel: row.state == JobState::Cancelled, more: waiting > 5, failed, ..row.job.clone() });
            let mut lent = 0;
            for (number, chunk) in &row.chunks {
                let begun = chunk.state == ChunkState::Running;
                if begun || chunk.state == ChunkState::Waiting && lent < 5 {
                    lent += i32::from(!begun);
                    let (attempt, failures) = (chunk.attempt, chunk.failures);
                    chunks.push(Chunk { job: row.job.id, number: *number, cut: chunk.cut.clone(), attempt, failures, begun });
                }
            }
        }
        Ok((jobs, chunks))
    }

    fn standing(&self, jobs: &[i64]) -> Result<Vec<Standing>, Saved> {
        Ok(self.shared.standing(jobs, |id| self.jobs.borrow().contains_key(&id)))
    }

    fn record(&self, entries: &[JobEntry]) -> Result<Vec<i64>, Saved> {
        self.shared.record(entries, |entry| Some(entry.job()), |entry| self.apply(entry))
    }

    fn cancel(&self, lease: u64) {
        if let Some(worker) = self.workers.borrow_mut().iter_mut().find(|worker| worker.lease == lease) {
            (worker.luck, worker.ends_at) = (Luck::Cancelled, 0);
        }
    }

    fn outcomes(&self) -> Vec<ChunkOutcome> {
        self.heard.take()
    }
}

impl ChunkHost for World {
    fn now_us(&self) -> u64 {
        self.now.get()
    }

    fn measure(&self, jobs: &[i64]) -> Result<(Measured, Vec<i64>), Saved> {
        self.measures.set(self.measures.get() + 1);
        Ok((self.measured.get(), vec![0; jobs.len()]))
    }

    fn room(&self, _: Standing, _: usize) -> Result<bool, Saved> {
        Ok(!self.is_full())
    }

    fn start(&self, job: &Job, errand: &JobErrand, owner: Standing) -> Result<Option<u64>, Saved> {
        assert_eq!(owner, Standing::Acts { owner: job.id as u32, superuser: false }, "a chunk acts for its own job's owner");
        let unlucky = self.unlucky.get();
        let mut random = self.random.borrow_mut();
        if self.is_full() || unlucky && random.u32(0..20) == 0 {
            return Ok(None);
        }
        let mut jobs = self.jobs.borrow_mut();
        let (task, keys) = match errand {
            JobErrand::Step { rows, chunks } => {
                let from = job.frontier.as_ref().filter(|frontier| **frontier != b"n").map(|_| number(&job.frontier));
                let row = jobs.get_mut(&job.id).unwrap();
                let fresh = std::mem::take(&mut row.fresh);
                if row.job.follow {
                    row.seen.extend(fresh);
                }
                (Task::Step { from, begins: job.frontier.is_none(), rows: *rows, chunks: *chunks }, 1)
            }
            JobErrand::Halves(cut) => (Task::Halves((*cut).clone()), 1),
            JobErrand::Run(chunk) => {
                let row = &jobs[&job.id].chunks[&chunk.number];
                assert!(row.state == ChunkState::Running && row.attempt == chunk.attempt, "it is written down before it begins");
                (Task::Run { number: chunk.number, attempt: chunk.attempt }, chunk.cut.rows)
            }
        };
        let mine = |worker: &&Worker| worker.job == job.id && worker.heard_by == self.coordinator.get();
        let at_once = self.workers.borrow().iter().filter(mine).count() + 1;
        assert!(at_once <= job.workers as usize, "a job has no more workers than it may");
        self.most_at_once.set(self.most_at_once.get().max(at_once));
        let luck = match random.u32(0..40) {
            0 if unlucky => Luck::Deadlock,
            1 if unlucky => Luck::DiesBefore,
            2 if unlucky => Luck::DiesAfter,
            3 if unlucky => Luck::Unborn,
            _ => Luck::Good,
        };
        let lease = self.next_lease();
        let takes = keys * self.us_per_key.get() + random.u64(0..1_000);
        let (ends_at, heard_by) = (self.now.get() + takes, self.coordinator.get());
        self.workers.borrow_mut().push(Worker { lease, job: job.id, task, ends_at, luck, heard_by });
        Ok(Some(lease))
    }
}

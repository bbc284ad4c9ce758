//! Jobs in a simulated world: tables, workers that take time, fail and die, whose answers are lost; servers and coordinators
//! that crash at any moment; rows that somebody locks. Whatever happens, each key is done exactly once, or said to fail.

use super::super::bisect::FREE_LOSSES;
use super::super::book::Book;
use super::super::cut::{Cut, Row};
use super::super::host::*;
use super::super::throttle::{Measured, Throttle, Why};
use crate::definition::Standing;
use crate::host::Saved;
use crate::report::{DEADLOCK_DETECTED, sqlstate};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq)]
enum ChunkState {
    Waiting,
    Running,
    Done,
    Failed,
    Split,
}

#[derive(Clone, Debug)]
struct ChunkRow {
    cut: Cut,
    state: ChunkState,
    attempt: u32,
    failures: u32,
}

#[derive(Clone, Debug, PartialEq)]
enum JobState {
    Running,
    Done,
    DoneWithErrors,
    Failed,
    Cancelled,
}

struct JobRow {
    job: Job,
    state: JobState,
    last_number: i64,
    chunks: BTreeMap<i64, ChunkRow>,
    keys: BTreeSet<i64>,
    poisoned: BTreeSet<i64>,
    /// All chunks of the job fail so.
    broken: u32,
    done: BTreeMap<i64, u32>,
    commits: u32,
    /// Keys that came behind the others since a step began; and before one did, so that it sees them.
    fresh: BTreeSet<i64>,
    /// It has rows without a key, and how often they are done.
    nulls: Option<u32>,
    seen: BTreeSet<i64>,
}

#[derive(Clone, Debug)]
enum Task {
    Step { from: Option<i64>, begins: bool, rows: u64, chunks: u32 },
    Halves(Cut),
    Run { number: i64, attempt: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Luck {
    Good,
    Deadlock,
    DiesBefore,
    DiesAfter,
    Unborn,
    Cancelled,
}

#[derive(Clone, Debug)]
struct Worker {
    lease: u64,
    job: i64,
    task: Task,
    ends_at: u64,
    luck: Luck,
    /// The coordinator that listens to it.
    heard_by: u32,
}

/// What may go wrong at the next call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Fault {
    #[default]
    None,
    RecordFails,
    /// It is written, but nobody hears that.
    RecordIsNotHeard,
    LoadFails,
}

struct World {
    now: Cell<u64>,
    jobs: RefCell<BTreeMap<i64, JobRow>>,
    workers: RefCell<Vec<Worker>>,
    last_lease: Cell<u64>,
    slots: Cell<usize>,
    most_at_once: Cell<usize>,
    fault: Cell<Fault>,
    random: RefCell<fastrand::Rng>,
    waits: Cell<bool>,
    unlucky: Cell<bool>,
    /// Jobs that somebody's open transaction has locked, and their chunks.
    locked: RefCell<BTreeSet<i64>>,
    coordinator: Cell<u32>,
    heard: RefCell<Vec<Outcome>>,
    measured: Cell<Measured>,
    measures: Cell<u32>,
    us_per_key: Cell<u64>,
}

fn text(key: i64) -> Option<Vec<u8>> {
    Some(key.to_string().into_bytes())
}

fn number(text: &Option<Vec<u8>>) -> i64 {
    std::str::from_utf8(text.as_ref().unwrap()).unwrap().parse().unwrap()
}

const DIVISION_BY_ZERO: u32 = sqlstate(b"22012");

impl World {
    fn new(seed: u64) -> Self {
        Self {
            now: Cell::new(1_000_000),
            jobs: RefCell::default(),
            workers: RefCell::default(),
            last_lease: Cell::new(0),
            slots: Cell::new(4),
            most_at_once: Cell::new(0),
            fault: Cell::default(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            waits: Cell::new(false),
            unlucky: Cell::new(false),
            locked: RefCell::default(),
            coordinator: Cell::new(0),
            heard: RefCell::default(),
            measured: Cell::default(),
            measures: Cell::new(0),
            us_per_key: Cell::new(1_000),
        }
    }

    fn add(&self, id: i64, keys: impl IntoIterator<Item = i64>) {
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

    fn with<T>(&self, id: i64, change: impl FnOnce(&mut JobRow) -> T) -> T {
        change(self.jobs.borrow_mut().get_mut(&id).unwrap())
    }

    fn faulty(&self, fault: Fault) -> bool {
        self.fault.get() == fault && {
            self.fault.set(Fault::None);
            true
        }
    }

    /// The coordinator has gone; its workers have not, and nobody hears them.
    fn new_coordinator(&self) -> Book {
        self.coordinator.set(self.coordinator.get() + 1);
        self.heard.borrow_mut().clear();
        Book::default()
    }

    fn crash(&self) -> Book {
        self.workers.borrow_mut().clear();
        self.new_coordinator()
    }

    fn apply(&self, entry: &Entry) -> i64 {
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
            Entry::Cut { from, frontier, cuts, last, .. } => {
                if !running || row.job.frontier != *from || row.job.cut {
                    return 0;
                }
                (row.job.frontier, row.job.cut) = (frontier.clone(), *last);
                append(row, cuts, &|_| 0).max(1)
            }
            Entry::Begun { number, attempt, .. } => {
                if !running || row.job.paused || !as_it_is(row, *number, ChunkState::Waiting, attempt - 1) {
                    return 0;
                }
                let chunk = row.chunks.get_mut(number).unwrap();
                (chunk.state, chunk.attempt) = (ChunkState::Running, *attempt);
                1
            }
            Entry::Unbegun { number, attempt, .. } => {
                if !as_it_is(row, *number, ChunkState::Running, *attempt) {
                    return 0;
                }
                row.chunks.get_mut(number).unwrap().state = ChunkState::Waiting;
                1
            }
            Entry::Ended { number, attempt, failures, fate, .. } => {
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
            Entry::GivenUp { number, .. } => {
                let Some(chunk) = row.chunks.get_mut(number).filter(|chunk| chunk.state == ChunkState::Waiting) else { return 0 };
                chunk.state = ChunkState::Failed;
                1
            }
            Entry::Split { number, parts, failures, .. } => {
                let Some(chunk) = row.chunks.get_mut(number).filter(|chunk| chunk.state == ChunkState::Waiting) else { return 0 };
                chunk.state = ChunkState::Split;
                append(row, parts, &|index| failures[index])
            }
            Entry::Waits { why, .. } => {
                row.job.waits_for = *why;
                1
            }
            Entry::Over { .. } => {
                let open = row.chunks.values().any(|chunk| matches!(chunk.state, ChunkState::Waiting | ChunkState::Running));
                if !running || open {
                    return 0;
                }
                let errors = row.chunks.values().any(|chunk| chunk.state == ChunkState::Failed);
                row.state = if errors { JobState::DoneWithErrors } else { JobState::Done };
                1
            }
            Entry::Broken { .. } => {
                if !running {
                    return 0;
                }
                row.state = JobState::Failed;
                1
            }
        }
    }

    /// A worker comes to its end: what it has committed, and what it says.
    fn finish(&self, worker: &Worker) -> Option<End> {
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
    fn pass(&self, us: u64) {
        self.now.set(self.now.get() + us);
        let now = self.now.get();
        let (ended, going): (Vec<_>, Vec<_>) = self.workers.borrow_mut().drain(..).partition(|worker| worker.ends_at <= now);
        *self.workers.borrow_mut() = going;
        for worker in ended {
            let end = self.finish(&worker);
            if let Some(end) = end.filter(|_| worker.heard_by == self.coordinator.get()) {
                self.heard.borrow_mut().push(Outcome { lease: worker.lease, end });
            }
        }
    }
}

impl ChunkHost for World {
    fn now_us(&self) -> u64 {
        self.now.get()
    }

    fn load(&self) -> Result<(Vec<Job>, Vec<Chunk>), Saved> {
        if self.faulty(Fault::LoadFails) {
            return Err(Saved);
        }
        let (mut jobs, mut chunks) = (Vec::new(), Vec::new());
        for row in self.jobs.borrow().values() {
            let runs = row.chunks.values().any(|chunk| chunk.state == ChunkState::Running);
            if row.state != JobState::Running && !runs {
                continue;
            }
            let waiting = row.chunks.values().filter(|chunk| chunk.state == ChunkState::Waiting).count();
            let ended = row.state != JobState::Running;
            jobs.push(Job { ended, to_cancel: row.state == JobState::Cancelled, more: waiting > 5, ..row.job.clone() });
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
        let standing = |id: &i64| match self.jobs.borrow().contains_key(id) {
            false => Standing::Ended,
            true if self.waits.get() => Standing::Waits,
            true => Standing::Acts { owner: *id as u32, superuser: false },
        };
        Ok(jobs.iter().map(standing).collect())
    }

    fn record(&self, entries: &[Entry]) -> Result<Vec<i64>, Saved> {
        if self.faulty(Fault::RecordFails) {
            return Err(Saved);
        }
        let locked = |entry: &Entry| self.locked.borrow().contains(&entry.job());
        let numbers = entries.iter().map(|entry| if locked(entry) { LOCKED } else { self.apply(entry) }).collect();
        if self.faulty(Fault::RecordIsNotHeard) {
            return Err(Saved);
        }
        Ok(numbers)
    }

    fn measure(&self, jobs: &[i64]) -> Result<(Measured, Vec<i64>), Saved> {
        self.measures.set(self.measures.get() + 1);
        Ok((self.measured.get(), vec![0; jobs.len()]))
    }

    fn room(&self, _: Standing, _: usize) -> Result<bool, Saved> {
        Ok(self.workers.borrow().len() < self.slots.get())
    }

    fn start(&self, job: &Job, errand: &Errand, owner: Standing) -> Result<Option<u64>, Saved> {
        assert_eq!(owner, Standing::Acts { owner: job.id as u32, superuser: false }, "a chunk acts for its own job's owner");
        let unlucky = self.unlucky.get();
        let mut random = self.random.borrow_mut();
        if self.workers.borrow().len() >= self.slots.get() || unlucky && random.u32(0..20) == 0 {
            return Ok(None);
        }
        let mut jobs = self.jobs.borrow_mut();
        let (task, keys) = match errand {
            Errand::Step { rows, chunks } => {
                let from = job.frontier.as_ref().filter(|frontier| **frontier != b"n").map(|_| number(&job.frontier));
                let row = jobs.get_mut(&job.id).unwrap();
                let fresh = std::mem::take(&mut row.fresh);
                if row.job.follow {
                    row.seen.extend(fresh);
                }
                (Task::Step { from, begins: job.frontier.is_none(), rows: *rows, chunks: *chunks }, 1)
            }
            Errand::Halves(cut) => (Task::Halves((*cut).clone()), 1),
            Errand::Run(chunk) => {
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
        let lease = self.last_lease.get() + 1;
        self.last_lease.set(lease);
        let takes = keys * self.us_per_key.get() + random.u64(0..1_000);
        let (ends_at, heard_by) = (self.now.get() + takes, self.coordinator.get());
        self.workers.borrow_mut().push(Worker { lease, job: job.id, task, ends_at, luck, heard_by });
        Ok(Some(lease))
    }

    fn cancel(&self, lease: u64) {
        if let Some(worker) = self.workers.borrow_mut().iter_mut().find(|worker| worker.lease == lease) {
            (worker.luck, worker.ends_at) = (Luck::Cancelled, 0);
        }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.heard.take()
    }
}

/// A step, and the time until something happens.
fn turn(book: &mut Book, world: &World, most: u64) {
    let wait = book.step(world).unwrap_or(1_000);
    let ends = world.workers.borrow().iter().map(|worker| worker.ends_at.saturating_sub(world.now.get())).min();
    world.pass(wait.min(ends.unwrap_or(u64::MAX)).min(most).max(1));
}

fn drain(book: &mut Book, world: &World) {
    for _ in 0..100_000 {
        turn(book, world, 1_000_000);
        if world.jobs.borrow().values().all(|row| row.state != JobState::Running) && world.workers.borrow().is_empty() {
            _ = book.step(world).unwrap();
            return;
        }
    }
    let jobs = world.jobs.borrow();
    let open = jobs.values().flat_map(|row| row.chunks.iter().filter(|(_, c)| !matches!(c.state, ChunkState::Done))).collect::<Vec<_>>();
    panic!("it does not come to rest: {open:?} {:?}", world.workers.borrow());
}

fn check(world: &World, id: i64, keys: &BTreeSet<i64>) {
    world.with(id, |row| {
        let failed = row.chunks.values().filter(|chunk| chunk.state == ChunkState::Failed);
        // What has lost its worker again and again is given up.
        let (lost, failed): (Vec<_>, Vec<_>) = failed.partition(|chunk| chunk.attempt > FREE_LOSSES);
        let key = |chunk: &&ChunkRow| chunk.cut.low.as_ref().map(|_| number(&chunk.cut.low));
        let lost: BTreeSet<i64> = lost.iter().filter_map(key).collect();
        let failed: BTreeSet<i64> = failed.iter().filter_map(key).collect();
        for key in keys.union(&row.seen).filter(|key| !lost.contains(key)) {
            let times = row.done.get(key).copied().unwrap_or(0);
            assert_eq!(times, u32::from(!row.poisoned.contains(key)), "key {key} of job {id}: {:?} {:?}", row.job, row.state);
        }
        assert!(lost.iter().all(|key| !row.done.contains_key(key)));
        assert!(
            row.nulls.is_none_or(|times| times == 1)
                || row.chunks.values().any(|chunk| chunk.cut.low.is_none() && chunk.attempt > FREE_LOSSES),
            "rows without a key are done {:?} times",
            row.nulls
        );
        assert!(row.done.values().all(|times| *times == 1), "a key was done twice");
        let poisoned: BTreeSet<i64> = row.poisoned.intersection(&row.keys).copied().filter(|key| !lost.contains(key)).collect();
        assert_eq!(failed, poisoned, "what fails is said, key by key");
        let errors = row.chunks.values().any(|chunk| chunk.state == ChunkState::Failed);
        assert_eq!(row.state, if errors { JobState::DoneWithErrors } else { JobState::Done });
    });
}

fn live(seed: u64) {
    let world = World::new(seed);
    world.unlucky.set(true);
    let mut random = fastrand::Rng::with_seed(seed ^ 0xc4);
    let mut initial = BTreeMap::new();
    for id in 1..=random.i64(1..4) {
        let mut keys = BTreeSet::new();
        for _ in 0..random.usize(0..400) {
            keys.insert(random.i64(-1_000..100_000));
        }
        world.add(id, keys.iter().copied());
        let all: Vec<i64> = keys.iter().copied().collect();
        world.with(id, |row| {
            row.job.workers = random.u32(1..5);
            row.job.follow = random.bool();
            row.nulls = random.bool().then_some(0);
            row.job.chunk_rows = [None, Some(1), Some(7), Some(40)][random.usize(0..4)];
            row.job.max_attempts = random.u32(1..4);
            if !all.is_empty() {
                row.poisoned = (0..random.usize(0..4)).map(|_| all[random.usize(0..all.len())]).collect();
            }
        });
        initial.insert(id, keys);
    }
    let mut book = Book::default();
    for _ in 0..random.u32(20..300) {
        let some = random.i64(1..4);
        let some = if world.jobs.borrow().contains_key(&some) { some } else { 1 };
        match random.u32(0..40) {
            0 => book = world.crash(),
            1 => book = world.new_coordinator(),
            2 | 3 => world.fault.set([Fault::RecordFails, Fault::RecordIsNotHeard, Fault::LoadFails][random.usize(0..3)]),
            4 => {
                world.with(some, |row| row.job.paused = !row.job.paused);
                // Its coordinator may hear of it late.
                if random.bool() {
                    book.reload();
                }
            }
            5 => world.slots.set(random.usize(0..5)),
            6 => {
                world.waits.set(!world.waits.get());
                book.reload();
            }
            7 | 8 => {
                let unlocked = world.locked.borrow_mut().remove(&some) || !world.locked.borrow_mut().insert(some);
                if unlocked || random.bool() {
                    book.reload();
                }
            }
            9 => {
                // A row comes behind all others.
                let key = world.jobs.borrow()[&some].keys.last().copied().unwrap_or(0) + random.i64(1..50);
                world.with(some, |row| {
                    row.keys.insert(key);
                    row.fresh.insert(key);
                });
            }
            10 => {
                // Failed chunks are tried again.
                world.with(some, |row| {
                    for chunk in row.chunks.values_mut().filter(|chunk| chunk.state == ChunkState::Failed) {
                        (chunk.state, chunk.failures) = (ChunkState::Waiting, 0);
                    }
                    row.state = JobState::Running;
                });
                book.reload();
            }
            11 => {
                let leases: Vec<u64> = book.leases().collect();
                if !leases.is_empty() && random.u32(0..3) == 0 {
                    let lease = leases[random.usize(0..leases.len())];
                    world.heard.borrow_mut().retain(|outcome| outcome.lease != lease);
                    world.workers.borrow_mut().iter_mut().filter(|worker| worker.lease == lease).for_each(|worker| worker.heard_by = 9999);
                    book.lose(lease);
                }
            }
            _ => {}
        }
        turn(&mut book, &world, random.u64(1..2_000_000));
    }
    world.slots.set(4);
    world.waits.set(false);
    world.locked.borrow_mut().clear();
    world.fault.set(Fault::None);
    world.jobs.borrow_mut().values_mut().for_each(|row| row.job.paused = false);
    book.reload();
    drain(&mut book, &world);
    for (id, keys) in &initial {
        check(&world, *id, keys);
    }
    assert!(book.rests());
}

#[test]
fn each_key_is_done_exactly_once_or_said_to_fail_whatever_crashes() {
    let number = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = number("ASIDE_CHUNK_SEED", 0);
    for seed in first..first + number("ASIDE_CHUNK_SEEDS", 200) {
        let alive = std::panic::catch_unwind(|| live(seed));
        assert!(alive.is_ok(), "seed {seed}");
    }
}

#[test]
fn three_bad_keys_among_a_million_are_found_in_about_sixty_chunks() {
    let world = World::new(1);
    world.add(1, 1..=1_000_000);
    world.us_per_key.set(1);
    world.with(1, |row| {
        row.job.chunk_rows = Some(1_000_000);
        row.poisoned = BTreeSet::from([17, 500_001, 999_998]);
    });
    let mut book = Book::default();
    drain(&mut book, &world);
    let poisoned = BTreeSet::from([17, 500_001, 999_998]);
    world.with(1, |row| {
        let failed: BTreeSet<i64> =
            row.chunks.values().filter(|chunk| chunk.state == ChunkState::Failed).map(|chunk| number(&chunk.cut.low)).collect();
        assert_eq!((failed, row.state.clone()), (poisoned, JobState::DoneWithErrors));
        assert_eq!(row.done.len(), 999_997);
        assert!(row.chunks.len() <= 1 + 3 * 2 * 20, "{}", row.chunks.len());
        let attempts: u32 = row.chunks.values().map(|chunk| chunk.attempt).sum();
        assert!(attempts <= 3 + 3 * 2 * 20 + 3 * 2, "{attempts}");
    });
}

#[test]
fn a_wrong_command_stops_its_job_and_divides_nothing() {
    let world = World::new(2);
    world.add(1, 1..=1_000);
    world.with(1, |row| row.job.follow = true);
    let mut book = Book::default();
    for _ in 0..4 {
        turn(&mut book, &world, 1_000);
    }
    world.with(1, |row| row.broken = sqlstate(b"42703"));
    drain(&mut book, &world);
    world.with(1, |row| {
        assert_eq!(row.state, JobState::Failed);
        assert!(row.chunks.values().all(|chunk| chunk.state != ChunkState::Split));
        assert!(row.chunks.values().all(|chunk| chunk.attempt <= 3));
        // The owner mends the command, and asks for the failed chunks again.
        row.broken = 0;
        row.state = JobState::Running;
        for chunk in row.chunks.values_mut().filter(|chunk| chunk.state == ChunkState::Failed) {
            (chunk.state, chunk.failures) = (ChunkState::Waiting, 0);
        }
    });
    book.reload();
    drain(&mut book, &world);
    check(&world, 1, &(1..=1_000).collect());
}

#[test]
fn a_cancelled_job_commits_nothing_more_and_a_paused_one_has_no_worker() {
    let world = World::new(3);
    for id in 1..=2 {
        world.add(id, 1..=1_000);
    }
    let mut book = Book::default();
    for _ in 0..10 {
        turn(&mut book, &world, 1_000_000);
    }
    world.with(1, |row| row.state = JobState::Cancelled);
    world.with(2, |row| row.job.paused = true);
    let commits = world.with(1, |row| row.commits);
    assert!(commits > 0);
    book.reload();
    for _ in 0..100 {
        turn(&mut book, &world, 100_000);
    }
    assert_eq!(world.with(1, |row| row.commits), commits);
    assert!(world.workers.borrow().is_empty() && book.rests());
    let chunks = world.with(2, |row| row.chunks.values().filter(|chunk| chunk.state == ChunkState::Running).count());
    assert_eq!(chunks, 0);
    world.with(2, |row| row.job.paused = false);
    book.reload();
    drain(&mut book, &world);
    check(&world, 2, &(1..=1_000).collect());
}

#[test]
fn a_dropped_job_is_forgotten_with_what_runs_for_it() {
    let world = World::new(4);
    world.add(1, 1..=1_000);
    let mut book = Book::default();
    for _ in 0..10 {
        turn(&mut book, &world, 1_000_000);
    }
    world.jobs.borrow_mut().clear();
    book.reload();
    for _ in 0..10 {
        turn(&mut book, &world, 100_000);
    }
    assert!(book.rests() && book.leases().next().is_none());
}

#[test]
fn a_throttled_job_waits_and_says_for_what_and_the_server_is_looked_at_once_a_second() {
    let world = World::new(5);
    for id in 1..=20 {
        world.add(id, 1..=100);
        world.with(id, |row| row.job.throttle = Throttle { sessions: Some(5), ..Throttle::default() });
    }
    world.measured.set(Measured { sessions: 6, ..Measured::default() });
    let mut book = Book::default();
    let began = world.now.get();
    while world.now.get() < began + 10_000_000 {
        turn(&mut book, &world, 300_000);
    }
    assert!((8..=12).contains(&world.measures.get()), "{}", world.measures.get());
    assert!(world.jobs.borrow().values().all(|row| row.commits == 0 && row.job.waits_for == Some(Why::Sessions)));
    world.measured.set(Measured::default());
    drain(&mut book, &world);
    for id in 1..=20 {
        check(&world, id, &(1..=100).collect());
        assert_eq!(world.with(id, |row| row.job.waits_for), None);
    }
}

#[test]
fn jobs_without_throttles_never_look_at_the_server_and_who_ended_wakes_nobody() {
    let world = World::new(6);
    world.add(1, []);
    world.add(2, [5]);
    let mut book = Book::default();
    drain(&mut book, &world);
    check(&world, 2, &BTreeSet::from([5]));
    assert_eq!((world.measures.get(), book.rests()), (0, true));
    assert_eq!(book.step(&world), Ok(u64::MAX));
}

#[test]
fn who_locks_a_job_holds_up_no_other() {
    let world = World::new(7);
    for id in 1..=2 {
        world.add(id, 1..=1_000);
    }
    let mut book = Book::default();
    turn(&mut book, &world, 1_000);
    world.locked.borrow_mut().insert(1);
    for _ in 0..10_000 {
        turn(&mut book, &world, 100_000);
    }
    assert_eq!(world.with(2, |row| row.state.clone()), JobState::Done);
    assert_eq!(world.with(1, |row| row.state.clone()), JobState::Running);
    world.locked.borrow_mut().clear();
    drain(&mut book, &world);
    check(&world, 1, &(1..=1_000).collect());
}

#[test]
fn many_jobs_share_the_workers() {
    let world = World::new(8);
    for id in 1..=200 {
        world.add(id, 1..=100);
    }
    world.slots.set(3);
    let mut book = Book::default();
    drain(&mut book, &world);
    for id in 1..=200 {
        check(&world, id, &(1..=100).collect());
    }
}

#[test]
fn the_workers_of_a_job_are_kept_busy() {
    let world = World::new(9);
    world.add(1, 1..=10_000);
    world.with(1, |row| row.job.chunk_rows = Some(100));
    let began = world.now.get();
    let mut book = Book::default();
    drain(&mut book, &world);
    // 10 s of work by two workers, and a second in which nothing more comes.
    let took = world.now.get() - began;
    assert!(took < 6_300_000, "{took}");
    assert_eq!(world.most_at_once.get(), 2);
}

//! The book has all jobs of a database that go on, and their chunks that wait or run. It decides what is cut off next and
//! which chunk begins, and in which order that is written down. An attempt is on disk before it begins; that it is done, the
//! worker writes in the same transaction.

use super::bisect::{failures_of, judge, pause_us};
use super::cut::Split;
use super::host::{ChunkHost, ChunkOutcome, End, Fate, Job, JobEntry, JobErrand};
use super::job::*;
use super::throttle::Gauge;
use crate::definition::part::Book;
use crate::definition::{LOCKED, LOOK_AGAIN_US, Standing};
use crate::host::Saved;
use crate::memory::{self, Grows};
use std::collections::{BTreeMap, BTreeSet};

/// What a row locked by somebody kept from being written down is tried again after this time.
const LOCKED_AGAIN_US: u64 = 250_000;

/// The jobs of one database.
pub struct JobBook {
    jobs: BTreeMap<i64, OpenJob>,
    /// What workers have said, and is not taken in yet.
    heard: Vec<ChunkOutcome>,
    /// Entries that are not written down yet.
    pending: Vec<JobEntry>,
    /// The first ones of them wait for rows that somebody has locked, until that time.
    locked: usize,
    locked_until: u64,
    /// Jobs or chunks may have changed since they were read.
    told: bool,
    retry_us: u64,
    gauge: Gauge,
}

impl Default for JobBook {
    fn default() -> Self {
        Self {
            jobs: BTreeMap::new(),
            heard: Vec::new(),
            pending: Vec::new(),
            locked: 0,
            locked_until: 0,
            told: true,
            retry_us: 0,
            gauge: Gauge::default(),
        }
    }
}

impl Book for JobBook {
    fn reload(&mut self) {
        self.told = true;
    }

    /// What this lease's worker said is lost. So is its attempt, which is found when all is read anew.
    fn lose(&mut self, lease: u64) {
        for held in self.jobs.values_mut() {
            held.chunks.retain(|_, open| open.state != ChunkState::Runs { lease } && open.state != ChunkState::Divides { lease });
            if matches!(held.step, Step::Runs { lease: its, .. } if its == lease) {
                held.step = Step::None;
            }
        }
        self.told = true;
    }

    fn rests(&self) -> bool {
        let busy = |held: &OpenJob| !held.stands_still() || held.leases().next().is_some();
        !self.told && self.heard.is_empty() && self.pending.is_empty() && !self.jobs.values().any(busy)
    }

    fn leases(&self) -> impl Iterator<Item = u64> {
        self.jobs.values().flat_map(OpenJob::leases)
    }
}

impl JobBook {
    /// Do what can be done now. Returns the microseconds until the next step is needed, if nothing happens before.
    pub fn step<H: ChunkHost>(&mut self, h: &H) -> Result<u64, Saved> {
        self.hear(h)?;
        self.write_down(h)?;
        self.load(h)?;
        self.write_down(h)?;
        self.begin(h)?;
        self.end()?;
        self.write_down(h)?;
        Ok(if self.told { 0 } else { self.wait_us(h.now_us()) })
    }

    fn note(&mut self, entry: JobEntry) -> Result<(), Saved> {
        let noted = memory::push(&mut self.pending, entry, WHAT);
        noted.map_err(|_| self.no_memory())
    }

    /// All is read anew.
    fn no_memory(&mut self) -> Saved {
        self.told = true;
        Saved
    }

    /// Take in what workers have said.
    fn hear<H: ChunkHost>(&mut self, h: &H) -> Result<(), Saved> {
        if self.heard.is_empty() {
            self.heard = h.outcomes();
        }
        while !self.heard.is_empty() {
            // With room for what follows from it, so that it is taken in whole or not at all.
            self.pending.room(1, WHAT).map_err(|_| self.no_memory())?;
            let Some(ChunkOutcome { lease, end }) = self.heard.pop() else { break };
            let now = h.now_us();
            let entry = self.jobs.values_mut().find_map(|held| {
                let runs = |open: &OpenChunk| [ChunkState::Runs { lease }, ChunkState::Divides { lease }].contains(&open.state);
                let number = held.chunks.iter().find(|(_, open)| runs(open)).map(|(number, _)| *number);
                match (number, held.step) {
                    (Some(number), _) => Some(held.hear_of_chunk(number, lease, &end, now)),
                    (None, Step::Runs { lease: its, chunks, alone }) if its == lease => {
                        Some(held.hear_of_step(lease, &end, chunks, alone, now))
                    }
                    _ => None,
                }
            });
            if end == End::Unbegun {
                self.retry_us = now.saturating_add(START_RETRY_US);
            } else {
                self.retry_us = 0;
            }
            if let Some(entry) = entry.flatten() {
                self.note(entry)?;
            }
        }
        Ok(())
    }

    fn write_down<H: ChunkHost>(&mut self, h: &H) -> Result<(), Saved> {
        let now = h.now_us();
        let from = if now < self.locked_until { self.locked } else { 0 };
        if from == self.pending.len() {
            return Ok(());
        }
        let numbers = h.record(&self.pending[from..])?;
        let mut written = std::mem::take(&mut self.pending);
        let mut answers = std::iter::repeat_n(LOCKED, from).chain(numbers);
        let mut stay = 0;
        // Those that stay move to the front, and no memory is needed.
        for index in 0..written.len() {
            let answer = answers.next().unwrap_or(0);
            if answer == LOCKED {
                written.swap(stay, index);
                stay += 1;
            } else if let Some(entry) = written.get(index) {
                self.wrote(entry, answer, now);
            }
        }
        written.truncate(stay);
        if from == 0 || stay > from {
            self.locked_until = now.saturating_add(LOCKED_AGAIN_US);
        }
        self.pending = written;
        self.locked = stay;
        Ok(())
    }

    /// An entry is written down, or, with 0, the tables say something else.
    fn wrote(&mut self, entry: &JobEntry, answer: i64, now: u64) {
        self.told |= answer == 0;
        let Some(held) = self.jobs.get_mut(&entry.job()) else { return };
        let max_attempts = held.job.max_attempts;
        match entry {
            JobEntry::Cut { frontier, cuts, last, .. } => {
                held.step = Step::None;
                if answer != 0 {
                    held.job.cut = *last;
                    held.job.frontier = frontier.clone();
                    held.add(answer, cuts, |_| 0);
                }
            }
            JobEntry::Begun { .. } => {}
            JobEntry::Unbegun { number, .. } => held.waits(*number, None, now.saturating_add(START_RETRY_US)),
            JobEntry::Ended { number, failures, fate: Fate::Waits, .. } if answer != 0 => {
                let pause = held.chunks.get(number).map_or(0, |open| pause_us(&open.chunk, *failures));
                let used_up = *failures >= max_attempts;
                held.waits(*number, Some(*failures), if used_up { now } else { now.saturating_add(pause) });
            }
            JobEntry::Ended { number, fate, .. } => {
                held.chunks.remove(number);
                held.job.failed = held.job.failed.saturating_add(u32::from(answer != 0));
                self.told |= *fate == Fate::JobFailed;
            }
            JobEntry::GivenUp { number, .. } => {
                held.chunks.remove(number);
                held.job.failed = held.job.failed.saturating_add(u32::from(answer != 0));
            }
            JobEntry::Split { number, parts, .. } => {
                held.chunks.remove(number);
                if answer != 0 {
                    held.add(answer, parts, |part| failures_of(part, max_attempts));
                }
            }
            JobEntry::Waits { why, .. } => held.job.waits_for = *why,
            JobEntry::Over { job } | JobEntry::Broken { job, .. } if answer != 0 => {
                let gone = self.jobs.remove(job);
                // What still runs of a broken job ends, and is read anew.
                self.told |= gone.is_some_and(|held| !held.chunks.is_empty());
            }
            JobEntry::Over { .. } | JobEntry::Broken { .. } => held.step = Step::None,
        }
    }

    /// Read everything anew. A chunk that has begun without a lease of this book was lost with the coordinator that began it.
    #[expect(clippy::disallowed_methods, reason = "nodes of a tree; they are as many as what the host has already lent")]
    fn load<H: ChunkHost>(&mut self, h: &H) -> Result<(), Saved> {
        if !self.told {
            return Ok(());
        }
        let (jobs, chunks) = h.load()?;
        let stuck: BTreeSet<(i64, Option<i64>)> = self.pending.iter().map(|entry| (entry.job(), entry.number())).collect();
        let mut before = std::mem::take(&mut self.jobs);
        for job in jobs {
            let mut held = before.remove(&job.id).unwrap_or_else(|| OpenJob::new(Job::default()));
            let settles = stuck.iter().any(|(its, number)| *its == job.id && number.is_none());
            if matches!(held.step, Step::Settles) && !settles {
                held.step = Step::None;
            }
            held.job = job;
            if held.job.to_cancel {
                held.leases().for_each(|lease| h.cancel(lease));
            }
            // What waits is what the tables say.
            held.chunks.retain(|number, open| match open.state {
                ChunkState::Waits { .. } => false,
                ChunkState::Settles => stuck.contains(&(held.job.id, Some(*number))),
                ChunkState::Runs { .. } | ChunkState::Divides { .. } => true,
            });
            self.jobs.insert(held.job.id, held);
        }
        before.values().flat_map(OpenJob::leases).for_each(|lease| h.cancel(lease));
        let mut lost = Vec::new();
        for chunk in chunks {
            let Some(held) = self.jobs.get_mut(&chunk.job) else { continue };
            let number = chunk.number;
            if held.chunks.contains_key(&number) {
                continue;
            }
            let state = if chunk.begun { ChunkState::Settles } else { ChunkState::Waits { from_us: 0 } };
            if chunk.begun {
                let divides = held.job.splitter().is_some_and(|splitter| splitter.divides());
                let (failures, fate) = judge(&chunk, held.job.max_attempts, divides, None);
                let entry = JobEntry::Ended { job: chunk.job, number, attempt: chunk.attempt, failures, fate, lease: None };
                memory::push(&mut lost, entry, WHAT).map_err(|_| Saved)?;
            }
            held.chunks.insert(number, OpenChunk { chunk, state, failed: 0 });
        }
        self.pending.room(lost.len(), WHAT).map_err(|_| Saved)?;
        lost.into_iter().for_each(|entry| self.pending.push(entry));
        self.told = false;
        Ok(())
    }

    /// Begin what the jobs want and workers can take.
    fn begin<H: ChunkHost>(&mut self, h: &H) -> Result<(), Saved> {
        let now = h.now_us();
        if now < self.retry_us {
            return Ok(());
        }
        let ready = |held: &&OpenJob| held.held_up_us <= now && held.wish(now, 0).is_some();
        let mut ids = memory::collect(self.jobs.values().filter(ready).map(|held| (held.leases().count(), held.job.id)), WHAT)
            .map_err(|_| self.no_memory())?;
        if ids.is_empty() {
            return Ok(());
        }
        // Who has the fewest goes first.
        ids.sort_unstable();
        let ids = memory::collect(ids.into_iter().map(|(_, id)| id), WHAT).map_err(|_| self.no_memory())?;
        let ids = self.unthrottled(h, &ids, now)?;
        if ids.is_empty() {
            return Ok(());
        }
        let standing = h.standing(&ids)?;
        let mut going = Vec::new();
        for (id, standing) in ids.into_iter().zip(standing) {
            match standing {
                Standing::Acts { .. } => memory::push(&mut going, (id, standing), WHAT).map_err(|_| self.no_memory())?,
                Standing::Waits => self.hold_up(id, now.saturating_add(LOOK_AGAIN_US)),
                Standing::Ended => {
                    self.told = true;
                    self.hold_up(id, now.saturating_add(LOOK_AGAIN_US));
                }
            }
        }
        let runs = self.choose(h, &going, now)?;
        self.run(h, &runs)
    }

    fn hold_up(&mut self, id: i64, until: u64) {
        self.jobs.get_mut(&id).into_iter().for_each(|held| held.held_up_us = until);
    }

    /// Those of these jobs that nothing of the server's holds back.
    fn unthrottled<H: ChunkHost>(&mut self, h: &H, ids: &[i64], now: u64) -> Result<Vec<i64>, Saved> {
        let throttled = |held: &&OpenJob| !held.job.throttle.is_none() && !held.stands_still();
        let throttled =
            memory::collect(self.jobs.values().filter(throttled).map(|held| held.job.id), WHAT).map_err(|_| self.no_memory())?;
        let mut free = memory::copy(ids, WHAT).map_err(|_| self.no_memory())?;
        if !ids.iter().any(|id| throttled.contains(id)) {
            return Ok(free);
        }
        // One look is for all that are throttled, whether they want something now or not.
        if self.gauge.due_us() <= now {
            let (measured, seconds) = h.measure(&throttled)?;
            self.gauge.take(measured, now);
            for (id, second) in throttled.iter().zip(seconds) {
                self.jobs.get_mut(id).into_iter().for_each(|held| held.second = Some(second));
            }
        }
        for id in throttled.into_iter().filter(|id| ids.contains(id)) {
            let Some(held) = self.jobs.get_mut(&id) else { continue };
            let why = match held.second {
                Some(second) => self.gauge.obstacle(&held.job.throttle, second),
                None => held.job.waits_for,
            };
            if why.is_some() || held.second.is_none() {
                held.held_up_us = self.gauge.due_us();
                free.retain(|other| *other != id);
            }
            let said = held.job.waits_for;
            let noted = self.pending.iter().any(|entry| matches!(entry, JobEntry::Waits { job, .. } if *job == id));
            if why != said && !noted {
                self.note(JobEntry::Waits { job: id, why })?;
            }
        }
        Ok(free)
    }

    /// Steps and divisions begin; the chunks that are to run are noted as begun.
    fn choose<H: ChunkHost>(&mut self, h: &H, going: &[(i64, Standing)], now: u64) -> Result<Vec<(i64, i64, Standing)>, Saved> {
        let mut runs = Vec::new();
        let most = going.iter().filter_map(|(id, _)| self.jobs.get(id)).map(|held| held.job.workers).max().unwrap_or(0);
        let mut all = self.leases().count();
        for round in 0..most {
            let mut some = false;
            for (id, standing) in going {
                let chosen = runs.iter().filter(|(its, _, _)| its == id).count();
                let Some(held) = self.jobs.get_mut(id).filter(|held| round < held.job.workers) else { continue };
                let Some(want) = held.wish(now, chosen) else { continue };
                if !h.room(*standing, all)? {
                    self.retry_us = now.saturating_add(START_RETRY_US);
                    return Ok(runs);
                }
                if let Want::Run(number) = want {
                    memory::push(&mut runs, (*id, number, *standing), WHAT).map_err(|_| Saved)?;
                    held.chunks.get_mut(&number).into_iter().for_each(|open| open.state = ChunkState::Settles);
                } else if !held.begin(h, want, *standing)? {
                    self.retry_us = now.saturating_add(START_RETRY_US);
                    return Ok(runs);
                }
                (some, all) = (true, all + 1);
            }
            if !some {
                break;
            }
        }
        Ok(runs)
    }

    /// Write down that these begin, and begin them.
    fn run<H: ChunkHost>(&mut self, h: &H, runs: &[(i64, i64, Standing)]) -> Result<(), Saved> {
        if runs.is_empty() {
            return Ok(());
        }
        let attempt = |job: &i64, number: &i64| self.jobs.get(job)?.chunks.get(number).map(|open| open.chunk.attempt + 1);
        let entry = |(job, number, _): &(i64, i64, Standing)| {
            let attempt = attempt(job, number).unwrap_or(1);
            JobEntry::Begun { job: *job, number: *number, attempt }
        };
        let entries = memory::collect(runs.iter().map(entry), WHAT).map_err(|_| Saved);
        // Whatever is not known to have begun is read anew.
        let numbers = entries.and_then(|entries| h.record(&entries)).inspect_err(|_| self.told = true)?;
        let now = h.now_us();
        let mut none = false;
        for ((job, number, standing), answer) in runs.iter().zip(numbers) {
            let Some(held) = self.jobs.get_mut(job) else { continue };
            if answer == LOCKED {
                held.waits(*number, None, now.saturating_add(LOCKED_AGAIN_US));
                continue;
            }
            if answer == 0 {
                held.chunks.remove(number);
                self.told = true;
                continue;
            }
            let Some(open) = held.chunks.get_mut(number) else { continue };
            open.chunk.attempt += 1;
            open.chunk.begun = true;
            let started = if none { Ok(None) } else { h.start(&held.job, &JobErrand::Run(&open.chunk), *standing) };
            match started {
                Ok(Some(lease)) => open.state = ChunkState::Runs { lease },
                Ok(None) | Err(Saved) => {
                    none = true;
                    self.retry_us = now.saturating_add(START_RETRY_US);
                    let attempt = open.chunk.attempt;
                    self.note(JobEntry::Unbegun { job: *job, number: *number, attempt })?;
                }
            }
        }
        Ok(())
    }

    /// Jobs of which nothing is left.
    fn end(&mut self) -> Result<(), Saved> {
        let noted = |id: i64| self.pending.iter().any(|entry| entry.job() == id);
        let over = self.jobs.values().filter(|held| held.is_over() && !noted(held.job.id)).map(|held| held.job.id);
        let over = memory::collect(over, WHAT).map_err(|_| self.no_memory())?;
        over.into_iter().try_for_each(|job| self.note(JobEntry::Over { job }))?;
        // More of its chunks wait than were read.
        self.told |= self.jobs.values().any(|held| held.job.more && held.waiting() == 0 && !held.stands_still());
        Ok(())
    }

    fn wait_us(&self, now: u64) -> u64 {
        let mut earliest = u64::MAX;
        if !self.pending.is_empty() {
            earliest = self.locked_until;
        }
        for held in self.jobs.values().filter(|held| !held.stands_still()) {
            if held.leases().count() >= held.job.workers as usize {
                continue;
            }
            let waits = held.chunks.values().filter_map(|open| match open.state {
                ChunkState::Waits { from_us } => Some(from_us),
                _ => None,
            });
            let step = held.wants_step(now).then_some(held.step_from_us);
            let next = waits.chain(step).min().map(|at| at.max(held.held_up_us).max(self.retry_us));
            earliest = next.map_or(earliest, |at| earliest.min(at));
        }
        if earliest == u64::MAX { u64::MAX } else { earliest.saturating_sub(now) }
    }
}

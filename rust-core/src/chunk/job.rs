//! One job: its chunks that wait or run, what it wants of a worker next, and what follows from a worker's answer.

use super::bisect::{MOST_FAILED, failures_of, is_the_jobs, is_the_servers, is_used_up, judge, trouble_pause_us};
use super::cut::{self, Cut, Row, Split};
use super::host::{Chunk, ChunkHost, End, Fate, Job, JobEntry, JobErrand};
use super::size::Size;
use crate::async_event::backoff::conflict;
use crate::definition::{LOOK_AGAIN_US, Standing};
use crate::host::Saved;
use crate::memory;
use std::collections::BTreeMap;

pub(super) const WHAT: &str = "the jobs of a coordinator";
/// If no worker was free and nothing happens, the next look for one comes after this time.
pub(super) const START_RETRY_US: u64 = 50_000;
/// A step or a division that lost its worker so often is given up.
const MOST_LOSSES: u32 = 10;
/// A step that failed is tried again after this time.
const STEP_RETRY_US: u64 = 500_000;
/// So many chunks are cut off at a time for each worker of the job.
const AHEAD: u32 = 2;
/// A job that has so many chunks that are not done gets no further ones.
const MOST_OPEN: usize = 256;

/// What is done about a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkState {
    Waits {
        from_us: u64,
    },
    Runs {
        lease: u64,
    },
    /// It is being divided.
    Divides {
        lease: u64,
    },
    /// What has happened to it is not written down yet.
    Settles,
}

pub(super) struct OpenChunk {
    pub(super) chunk: Chunk,
    pub(super) state: ChunkState,
    /// Divisions that failed.
    pub(super) failed: u32,
}

/// The step that a worker takes for a job.
#[derive(Clone, Copy)]
pub(super) enum Step {
    None,
    Runs {
        lease: u64,
        chunks: u32,
        /// No chunk waited or ran when it began.
        alone: bool,
    },
    Settles,
}

pub(super) struct OpenJob {
    pub(super) job: Job,
    pub(super) chunks: BTreeMap<i64, OpenChunk>,
    pub(super) step: Step,
    pub(super) size: Size,
    /// The last step has come to the end of what there is.
    pub(super) reached: bool,
    /// The same, and no chunk was left.
    pub(super) at_end: bool,
    pub(super) step_failures: u32,
    pub(super) step_losses: u32,
    pub(super) step_from_us: u64,
    /// Its owner may not act, or its server has enough to do or is in trouble, until then.
    pub(super) held_up_us: u64,
    /// How often it heard, without anything that was done in between, that the server is in trouble.
    pub(super) troubles: u32,
    /// The second of the day in its zone, when the server was last looked at.
    pub(super) second: Option<i64>,
}

impl OpenJob {
    pub(super) fn new(job: Job) -> Self {
        let (chunks, step, size) = (BTreeMap::new(), Step::None, Size::default());
        Self {
            job,
            chunks,
            step,
            size,
            reached: false,
            at_end: false,
            step_failures: 0,
            step_losses: 0,
            step_from_us: 0,
            held_up_us: 0,
            troubles: 0,
            second: None,
        }
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = u64> + '_ {
        let of_chunk = |open: &OpenChunk| match open.state {
            ChunkState::Runs { lease } | ChunkState::Divides { lease } => Some(lease),
            ChunkState::Waits { .. } | ChunkState::Settles => None,
        };
        let step = match self.step {
            Step::Runs { lease, .. } => Some(lease),
            Step::None | Step::Settles => None,
        };
        self.chunks.values().filter_map(of_chunk).chain(step)
    }

    pub(super) fn waiting(&self) -> usize {
        self.chunks.values().filter(|open| matches!(open.state, ChunkState::Waits { .. })).count()
    }

    pub(super) fn stands_still(&self) -> bool {
        self.job.paused || self.job.ended
    }

    pub(super) fn wants_step(&self, now: u64) -> bool {
        let ended = self.job.cut || self.at_end || self.reached && !self.chunks.is_empty();
        let ready = self.chunks.values().filter(|open| matches!(open.state, ChunkState::Waits { from_us } if from_us <= now)).count();
        let few = ready < self.job.workers as usize && self.chunks.len() < MOST_OPEN.max(self.job.workers as usize * 2);
        !ended && !self.job.more && matches!(self.step, Step::None) && few
    }

    /// The chunk that is next, when its time has come.
    pub(super) fn next(&self, now: u64) -> Option<&OpenChunk> {
        self.chunks.values().find(|open| matches!(open.state, ChunkState::Waits { from_us } if from_us <= now))
    }

    pub(super) fn is_over(&self) -> bool {
        let cut = self.job.cut || self.at_end;
        cut && !self.job.ended && !self.job.more && self.chunks.is_empty() && matches!(self.step, Step::None)
    }
}

/// What a job wants of a worker.
#[derive(Clone, Copy)]
pub(super) enum Want {
    Step,
    Divide(i64),
    Run(i64),
}

/// The server is in trouble.
fn says_trouble(end: &End) -> bool {
    matches!(*end, End::Failed { sqlstate } if is_the_servers(sqlstate))
}

impl OpenJob {
    /// What it wants next of a worker, when so many chunks are chosen that do not run yet.
    pub(super) fn wish(&self, now: u64, chosen: usize) -> Option<Want> {
        if self.stands_still() || self.leases().count() + chosen >= self.job.workers as usize {
            return None;
        }
        if self.wants_step(now) && self.step_from_us <= now {
            return Some(Want::Step);
        }
        let open = self.next(now)?;
        let number = open.chunk.number;
        Some(if is_used_up(&open.chunk, self.job.max_attempts) { Want::Divide(number) } else { Want::Run(number) })
    }

    /// Begin a step or a division. False: there is no worker.
    pub(super) fn begin<H: ChunkHost>(&mut self, h: &H, want: Want, standing: Standing) -> Result<bool, Saved> {
        match want {
            Want::Step => {
                let chunks = self.job.workers.saturating_mul(AHEAD).max(1);
                let alone = self.chunks.is_empty();
                let rows = self.size.rows(self.job.chunk_rows);
                let errand = JobErrand::Step { rows, chunks };
                let Some(lease) = h.start(&self.job, &errand, standing)? else { return Ok(false) };
                self.step = Step::Runs { lease, chunks, alone };
            }
            Want::Divide(number) => {
                let Some(open) = self.chunks.get_mut(&number) else { return Ok(true) };
                let Some(lease) = h.start(&self.job, &JobErrand::Halves(&open.chunk.cut), standing)? else { return Ok(false) };
                open.state = ChunkState::Divides { lease };
            }
            Want::Run(_) => {}
        }
        Ok(true)
    }

    pub(super) fn waits(&mut self, number: i64, failures: Option<u32>, from_us: u64) {
        if let Some(open) = self.chunks.get_mut(&number) {
            open.state = ChunkState::Waits { from_us };
            open.chunk.begun = false;
            open.chunk.failures = failures.unwrap_or(open.chunk.failures);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "nodes of a tree, of chunks for which there was room in an entry")]
    pub(super) fn add(&mut self, first: i64, cuts: &[Cut], failures: impl Fn(&Cut) -> u32) {
        for (number, cut) in (first..).zip(cuts) {
            let chunk = Chunk { job: self.job.id, number, cut: cut.clone(), failures: failures(cut), ..Chunk::default() };
            self.chunks.insert(number, OpenChunk { chunk, state: ChunkState::Waits { from_us: 0 }, failed: 0 });
        }
    }

    /// Nothing begins for a while if that is what a worker has said.
    fn hear_of_trouble(&mut self, end: &End, now: u64) {
        if says_trouble(end) {
            self.troubles = self.troubles.saturating_add(1);
            self.held_up_us = now.saturating_add(trouble_pause_us(self.troubles));
        }
    }

    /// What a worker has said of a chunk: what is to be written down.
    pub(super) fn hear_of_chunk(&mut self, number: i64, lease: u64, end: &End, now: u64) -> Option<JobEntry> {
        let job = self.job.id;
        self.hear_of_trouble(end, now);
        let open = self.chunks.get_mut(&number)?;
        let attempt = open.chunk.attempt;
        if open.state == (ChunkState::Divides { lease }) {
            return self.hear_of_division(number, end, now);
        }
        let ended = |failures, fate, lease| JobEntry::Ended { job, number, attempt, failures, fate, lease };
        let divides = self.job.splitter().is_some_and(|splitter| splitter.divides());
        let judged = |chunk: &Chunk, code| match judge(chunk, self.job.max_attempts, divides, code) {
            (failures, Fate::Failed) if self.job.failed >= MOST_FAILED => (failures, Fate::JobFailed),
            judged => judged,
        };
        let entry = match *end {
            End::Done { took_us, .. } => {
                self.size.learn(open.chunk.cut.rows, took_us);
                self.troubles = 0;
                self.chunks.remove(&number);
                return None;
            }
            End::Unbegun => JobEntry::Unbegun { job, number, attempt },
            End::Refused => {
                self.held_up_us = now.saturating_add(LOOK_AGAIN_US);
                JobEntry::Unbegun { job, number, attempt }
            }
            End::Cancelled => ended(open.chunk.failures, Fate::Waits, Some(lease)),
            End::Failed { sqlstate } => {
                let (failures, fate) = judged(&open.chunk, Some(sqlstate));
                ended(failures, fate, Some(lease))
            }
            End::Lost => {
                let (failures, fate) = judged(&open.chunk, None);
                ended(failures, fate, Some(lease))
            }
        };
        open.state = ChunkState::Settles;
        Some(entry)
    }

    pub(super) fn hear_of_division(&mut self, number: i64, end: &End, now: u64) -> Option<JobEntry> {
        let job = self.job.id;
        let max_attempts = self.job.max_attempts;
        let open = self.chunks.get_mut(&number)?;
        let again = |open: &mut OpenChunk| {
            open.state = ChunkState::Waits { from_us: now.saturating_add(START_RETRY_US) };
            None
        };
        let parts = match end {
            End::Done { rows, .. } => cut::cuts(rows).unwrap_or_default(),
            End::Failed { sqlstate } if conflict(*sqlstate) => return again(open),
            End::Failed { .. } | End::Lost => {
                open.failed += 1;
                let lost = matches!(end, End::Lost) || says_trouble(end);
                if open.failed < if lost { MOST_LOSSES } else { max_attempts } {
                    return again(open);
                }
                Vec::new()
            }
            End::Cancelled | End::Unbegun | End::Refused => return again(open),
        };
        open.state = ChunkState::Settles;
        if parts.len() < 2 {
            return Some(JobEntry::GivenUp { job, number });
        }
        let Ok(failures) = memory::collect(parts.iter().map(|part| failures_of(part, max_attempts)), WHAT) else { return again(open) };
        Some(JobEntry::Split { job, number, parts, failures })
    }

    pub(super) fn hear_of_step(&mut self, lease: u64, end: &End, chunks: u32, alone: bool, now: u64) -> Option<JobEntry> {
        let job = self.job.id;
        self.step = Step::None;
        self.step_from_us = now.saturating_add(START_RETRY_US);
        self.hear_of_trouble(end, now);
        match end {
            End::Done { rows, .. } => self.cut_off(rows, chunks, alone),
            End::Failed { .. } | End::Lost => {
                let code = if let End::Failed { sqlstate } = *end { Some(sqlstate) } else { None };
                match code {
                    Some(code) if !is_the_servers(code) => {
                        self.step_from_us = now.saturating_add(STEP_RETRY_US);
                        self.step_failures += u32::from(!conflict(code));
                    }
                    _ => self.step_losses += 1,
                }
                let broken =
                    code.is_some_and(is_the_jobs) || self.step_failures >= self.job.max_attempts || self.step_losses >= MOST_LOSSES;
                broken.then(|| {
                    self.step = Step::Settles;
                    JobEntry::Broken { job, lease }
                })
            }
            End::Refused => {
                self.held_up_us = now.saturating_add(LOOK_AGAIN_US);
                None
            }
            End::Cancelled | End::Unbegun => None,
        }
    }

    /// A step has returned these.
    pub(super) fn cut_off(&mut self, rows: &[Row], chunks: u32, alone: bool) -> Option<JobEntry> {
        let Ok(step) = cut::step(self.job.frontier.as_deref(), rows, chunks) else {
            self.step_failures += 1;
            return None;
        };
        (self.step_failures, self.step_losses, self.step_from_us, self.reached) = (0, 0, 0, step.last);
        let last = step.last && !self.job.follow;
        if step.cuts.is_empty() && !last {
            self.at_end = step.last && alone;
            return None;
        }
        self.step = Step::Settles;
        Some(JobEntry::Cut { job: self.job.id, from: self.job.frontier.clone(), frontier: step.frontier, cuts: step.cuts, last })
    }
}

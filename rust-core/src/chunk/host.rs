//! What the world must offer to the jobs of a database, and the words that both use. A call that fails may have done its work
//! or not. The book then reads everything anew.

use super::cut::{Cut, Row};
use super::part::JobKind;
use super::split::Splitter;
use super::throttle::{HeldBackBy, Measured, Throttle};
use crate::definition::Standing;
use crate::definition::part::Tables;
use crate::host::Saved;

/// No splitter has more parts.
const MOST_PARTS: usize = 16;

/// A job that has not ended, or of which something still runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    pub command: Vec<u8>,
    /// How it is cut: see [`Splitter::of`].
    pub parts: Vec<Vec<u8>>,
    /// The types of the bounds, by OID.
    pub low_type: u32,
    pub high_type: u32,
    pub chunk_rows: Option<u64>,
    pub workers: u32,
    pub max_attempts: u32,
    pub throttle: Throttle,
    /// What comes behind the last key while the job runs belongs to it too.
    pub follow: bool,
    /// No further chunk begins.
    pub paused: bool,
    /// It is over, and only what runs ends yet.
    pub ended: bool,
    /// What runs is cancelled.
    pub to_cancel: bool,
    /// There is nothing behind the frontier.
    pub cut: bool,
    pub frontier: Option<Vec<u8>>,
    /// What it waits for, as it is written down.
    pub waits_for: Option<HeldBackBy>,
    /// It has more chunks that wait than were read.
    pub more: bool,
    /// Chunks that have failed.
    pub failed: u32,
}

/// A chunk that waits or runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    pub job: i64,
    pub number: i64,
    pub cut: Cut,
    /// 0: none has begun.
    pub attempt: u32,
    /// Attempts that failed and count.
    pub failures: u32,
    pub begun: bool,
}

/// What becomes of a chunk after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits for the next attempt.
    Waits,
    Failed,
    /// It has failed, and so has the whole job: the next chunks would fare no better.
    JobFailed,
}

impl Job {
    /// None: what is written of it makes no sense.
    pub fn splitter(&self) -> Option<Splitter<'_>> {
        let mut parts: [&[u8]; MOST_PARTS] = [&[]; MOST_PARTS];
        parts.iter_mut().zip(&self.parts).for_each(|(to, from)| *to = from);
        Splitter::of(parts.get(..self.parts.len())?)
    }
}

/// What is written down. Entries that are given at once are written in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEntry {
    /// New chunks, and the frontier behind them, if the frontier is still this one.
    Cut { job: i64, from: Option<Vec<u8>>, frontier: Option<Vec<u8>>, cuts: Vec<Cut>, last: bool },
    /// The attempt of this number begins.
    Begun { job: i64, number: i64, attempt: u32 },
    /// It did not begin.
    Unbegun { job: i64, number: i64, attempt: u32 },
    /// It has ended, and is not done. Written only if the chunk's row does not say that it is done. `lease`: the error of
    /// that lease is its error; None: as far as is known it was lost.
    Ended { job: i64, number: i64, attempt: u32, failures: u32, fate: Fate, lease: Option<u64> },
    /// The chunk waits, has no attempts left, and cannot be divided further.
    GivenUp { job: i64, number: i64 },
    /// The chunk waits, has no attempts left, and becomes these.
    Split { job: i64, number: i64, parts: Vec<Cut>, failures: Vec<u32> },
    /// What the job waits for has changed.
    Waits { job: i64, why: Option<HeldBackBy> },
    /// All chunks have ended.
    Over { job: i64 },
    /// Its chunks cannot be found, with the error of that lease.
    Broken { job: i64, lease: u64 },
}

impl JobEntry {
    pub fn job(&self) -> i64 {
        match *self {
            Self::Cut { job, .. }
            | Self::Begun { job, .. }
            | Self::Unbegun { job, .. }
            | Self::Ended { job, .. }
            | Self::GivenUp { job, .. }
            | Self::Split { job, .. }
            | Self::Waits { job, .. }
            | Self::Over { job }
            | Self::Broken { job, .. } => job,
        }
    }

    /// Is the job over with it?
    pub fn ends_job(&self) -> bool {
        matches!(self, Self::Over { .. } | Self::Broken { .. } | Self::Ended { fate: Fate::JobFailed, .. })
    }

    /// The chunk that it is about.
    pub fn number(&self) -> Option<i64> {
        match *self {
            Self::Begun { number, .. }
            | Self::Unbegun { number, .. }
            | Self::Ended { number, .. }
            | Self::GivenUp { number, .. }
            | Self::Split { number, .. } => Some(number),
            Self::Cut { .. } | Self::Waits { .. } | Self::Over { .. } | Self::Broken { .. } => None,
        }
    }

    /// Whose lease's error goes along.
    pub fn lease(&self) -> Option<u64> {
        match *self {
            Self::Ended { lease, .. } => lease,
            Self::Broken { lease, .. } => Some(lease),
            _ => None,
        }
    }
}

/// What a worker is to do for a job.
#[derive(Clone, Debug)]
pub enum JobErrand<'a> {
    /// So many chunks at most of so many rows, from behind the frontier.
    Step { rows: u64, chunks: u32 },
    /// The parts of a chunk.
    Halves(&'a Cut),
    /// The command, for this attempt at a chunk.
    Run(&'a Chunk),
}

/// How a lease ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The transaction is committed.
    Done {
        took_us: u64,
        rows: Vec<Row>,
    },
    Failed {
        sqlstate: u32,
    },
    Cancelled,
    /// The worker or the server was lost meanwhile; whether the transaction is committed, its rows say.
    Lost,
    /// It did not begin, and never will.
    Unbegun,
    /// The same, for a reason that the owner has to mend.
    Refused,
}

pub type ChunkOutcome = crate::definition::part::LeaseOutcome<End>;

/// What the book asks of jobs, beside what it asks of all definitions. [`Tables::load`] answers the jobs that have not ended and
/// those of which something runs; of their chunks those that run, and the first ones that wait. Of an entry that is written
/// down, [`Tables::record`] answers the number of the first new chunk, or any other number.
pub trait ChunkHost: Tables<JobKind> {
    /// Monotonic microseconds.
    fn now_us(&self) -> u64;
    /// How the server fares, and the second of the day for each of these jobs.
    fn measure(&self, jobs: &[i64]) -> Result<(Measured, Vec<i64>), Saved>;
    /// Is there a worker for one more lease of this owner, as it looks? The job has so many.
    fn room(&self, owner: Standing, leases: usize) -> Result<bool, Saved>;
    /// Have a worker do it: the number of the lease; None where no worker is to be had now.
    fn start(&self, job: &Job, errand: &JobErrand, owner: Standing) -> Result<Option<u64>, Saved>;
}

//! What a worker is given to do, as whom, and what comes of it.

use crate::host::{Arg, Bounds};
use crate::report::Report;
use crate::wire::batch::BatchEnd;

/// Whom a worker acts as, and what it is to do.
#[derive(Clone, Copy, Debug)]
pub struct Errand<'a> {
    pub database: u32,
    pub owner: u32,
    pub superuser: bool,
    /// Each batch, or the whole command, may take this long; 0 is no limit. What traps the cancel is ended with its worker.
    pub timeout_ms: u32,
    pub work: LeaseWork<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum LeaseWork<'a> {
    /// Events for a handler, each batch in a transaction of its own. The handler is named as the shims of both sides know
    /// it, and shown under the title.
    Batches { title: &'a [u8], handler: &'a [u8], batches: &'a [Vec<u8>] },
    /// As the owner's client would send it, with the settings of a login; what it says is kept within the bounds.
    Command { text: &'a [u8], keep: Bounds },
    /// The same for one chunk, in one transaction, which also records that this attempt is done.
    Chunk { text: &'a [u8], bounds: &'a [Arg<'a>; 2], attempt: &'a [u8] },
}

impl LeaseWork<'_> {
    /// The parts that a worker begins one by one.
    pub fn parts(&self) -> usize {
        match self {
            Self::Batches { batches, .. } => batches.len(),
            Self::Command { .. } | Self::Chunk { .. } => 1,
        }
    }

    /// What the server shows as the worker's command.
    pub fn shown(&self) -> &[u8] {
        match self {
            Self::Batches { title, .. } => title,
            Self::Command { text, .. } | Self::Chunk { text, .. } => text,
        }
    }
}

/// What one lease has said.
#[derive(Debug, PartialEq, Eq)]
pub enum LeaseUpdate {
    Batch(usize, BatchEnd),
    /// The command runs, in this process since this time.
    Began {
        pid: u32,
        at: i64,
    },
    /// The command has ended, and with it the lease.
    Ended(Box<CommandResult>),
    /// The lease is over, and nothing of which nothing was said has begun.
    Over,
    /// The same, and why.
    Refused {
        sqlstate: u32,
        message: Vec<u8>,
    },
    /// The worker has gone, and had begun so many batches, from the first.
    Lost {
        begun: usize,
    },
    /// The same, in the middle of a batch that trapped the cancel at its timeout.
    TimedOut {
        begun: usize,
        message: Vec<u8>,
    },
}

/// How a command ended that had begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandEnd {
    Done,
    Failed,
    /// Somebody asked for that, by [`super::leases::Leases::cancel`].
    Cancelled,
    TimedOut,
    /// Its worker or the server was lost while it ran, and it is not known to be done.
    Lost,
}

/// What is known of a command that has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandResult {
    pub end: CommandEnd,
    pub pid: u32,
    /// Times of the wall clock, microseconds since 2000.
    pub started: i64,
    pub finished: i64,
    /// Processed by its last statement; None where the worker could not say it any more.
    pub rows: Option<u64>,
    pub tag: Option<Vec<u8>>,
    /// Transactions that it had committed where it is not done.
    pub committed: u64,
    /// With all fields; None of one that is done.
    pub error: Option<Report>,
    /// The rows of its last statement, from the first, as frames: a description of the columns and then each row.
    pub kept_rows: Vec<u8>,
    pub messages: Vec<Report>,
    /// Messages that are not among these.
    pub dropped: u32,
}

impl CommandResult {
    /// Nothing has been said of it, and that is how it is if nothing ever will.
    pub(super) fn of(now: i64) -> Self {
        Self {
            end: CommandEnd::Lost,
            pid: 0,
            started: now,
            finished: now,
            rows: None,
            tag: None,
            committed: 0,
            error: None,
            kept_rows: Vec::new(),
            messages: Vec::new(),
            dropped: 0,
        }
    }
}

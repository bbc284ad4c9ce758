//! Tasks: commands that run in pool workers while their submitter goes on, written down in shared memory.
//!
//! ```text
//!           submit            offer               take                finish
//!   Free ----------> Filling --------> Queued ----------> Running -------------> Ending --> Done, Failed, Cancelled
//!    ^                | |               ^  | <----------                            ^
//!    |                | | offer         |  |   requeue                              |
//!    |                | v               |  |                                        |
//!    |                | Pending --------+  +------------------- cancel_queued ------+
//!    |                |    |     confirm                                            |
//!    |                +----+--------------- abandon, reclaim -----------------------+  and then freed
//!    +-- evicted by a submit, expired, detached: from Done, Failed, Cancelled, Lost
//! ```
//! An entry's id and state are one word, and every change of it is a compare-and-swap: what is said about
//! an old task finds another id there and has no effect. Nothing is locked, and nobody is called back
//! halfway: a process can leave at any call of the host, and the table is whole.
//!
//! Filling and Ending belong to the process that brought them about: it alone writes the entry's words. So
//! a reader that finds the same id and state before and after has read one task, and all of it.
//!
//! Another word of the entry says who holds it: pins, and marks such as "detached". To free an entry is to
//! close that word, which one process can do, and only while there are no pins. Who holds a pin when it
//! exits gives it back in its exit callback.

mod allowance;
pub mod dispatch;
pub mod entry;
pub mod handles;
pub mod journal;
mod life;
pub mod pages;
pub mod table;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
mod turn;
pub mod view;

pub use entry::TaskEntry;
pub use pages::{MEMORY_PER_TASK, Page, Unloadable};
pub use table::{Header, Table};
pub use view::{Card, TaskView};

use crate::pool::slot::Key;
use crate::report::sqlstate;

/// Set on a task whose submitter's transaction did not commit.
pub const TRANSACTION_ROLLBACK: u32 = sqlstate(b"40000");
/// Set on a task that a crash, or the end of the server, has swallowed.
pub const CRASH_SHUTDOWN: u32 = sqlstate(b"57P02");

/// States of a task; the numbers appear in views and in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TaskState {
    Free = 0,
    /// The submitter writes it.
    Filling = 1,
    /// Starts if the submitter's transaction commits.
    Pending = 2,
    Queued = 3,
    Running = 4,
    /// It is being written how it ended.
    Ending = 5,
    Done = 6,
    Failed = 7,
    Cancelled = 8,
    /// The server was restarted meanwhile.
    Lost = 9,
}

impl TaskState {
    /// All of them, each at its number.
    pub const ALL: [Self; 10] = [
        Self::Free,
        Self::Filling,
        Self::Pending,
        Self::Queued,
        Self::Running,
        Self::Ending,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::Lost,
    ];

    pub fn from_number(n: u8) -> Self {
        Self::ALL.get(usize::from(n)).copied().unwrap_or(Self::Free)
    }

    /// It has ended, and all words that say how are written.
    pub fn finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Lost)
    }
}

/// How a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    Done,
    Failed,
    Cancelled,
}

/// The end of a task, as whoever ends it tells it.
#[derive(Clone, Copy, Debug)]
pub struct TaskOutcome<'a> {
    pub end: TaskEnd,
    pub sqlstate: u32,
    pub rows: u64,
    pub message: &'a [u8],
}

/// A task: this id at this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub index: u32,
    pub id: u64,
}

/// What became of a task by what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum TaskChange {
    /// It is as was asked, and stays for now: not detached, or pinned.
    Kept,
    /// Its entry is free. Where `file` is set the caller deletes the file of its payload.
    Freed { file: bool },
    /// No effect: another was first, the task is not in a state for this, or it is gone.
    Ignored,
}

/// No entry is free, and none can be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A task to be submitted. Texts are clipped to whole characters already.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Role that may see and cancel it.
    pub owner: u32,
    pub key: Key,
    /// Process that submits it.
    pub submitter: u32,
    pub command: &'a [u8],
    pub label: &'a [u8],
    /// Tasks of its role, and of its session, that may run at a time; 0 is no limit.
    pub quotas: (u32, u32),
    /// Slot and worker pid that it would rather run in.
    pub prefer: Option<(u32, u32)>,
}

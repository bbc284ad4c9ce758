//! What the world must offer to schedules, and what is said between both. An error leaves the world as it was, or as the
//! call would have made it: what is there is then read anew.

use super::zone::Zone;
use crate::definition::Standing;
use crate::host::Saved;

/// A time is due while a run of the schedule has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    #[default]
    Skip,
    /// It waits for the end; one at most.
    Queue,
    Allow,
    CancelRunning,
}

/// What becomes of due times that could not be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misfire {
    /// One run for all of them.
    #[default]
    Once,
    Skip,
    /// Each, the oldest first.
    All,
}

/// One schedule as it is defined now, and how far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    pub id: i64,
    /// Another one when the definition is another one.
    pub revision: i64,
    /// As [`super::spec::Spec::stored`] has it.
    pub spec: Vec<u8>,
    pub zone: Vec<u8>,
    pub overlap: Overlap,
    pub misfire: Misfire,
    pub deadline_us: Option<i64>,
    pub max_attempts: u32,
    pub backoff_us: i64,
    pub jitter_us: i64,
    pub until: Option<i64>,
    pub max_runs: Option<i64>,
    pub priority: i32,
    pub paused: bool,
    /// The due time that comes next, and when the run begins: that, and the jitter.
    pub next: Option<Due>,
    pub last_due: Option<i64>,
    /// Due times that became runs.
    pub fired: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub due: i64,
    pub at: i64,
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub id: i64,
    pub schedule: i64,
    /// From 1.
    pub attempt: u32,
    pub due: i64,
    /// Somebody has asked for it: no due time, and no pause.
    pub manual: bool,
    pub begun: bool,
    pub not_before: i64,
    pub to_cancel: bool,
}

/// Why a due time has no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// A run had not ended.
    Overlap,
    /// It was too late.
    Misfire,
}

/// What a due time became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Waiting,
    Running,
    Skipped(Skipped),
}

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    Failed,
    TimedOut,
    Cancelled,
    /// With its worker, or the server.
    Lost,
}

/// What a worker says at the end. What it printed and counted is the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub lease: u64,
    /// None: it has not begun, and never will.
    pub end: Option<End>,
}

/// What is written down. All that is given at once is one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A due time has come, and `missed` before it that have no entry of their own.
    Fired {
        schedule: i64,
        revision: i64,
        due: i64,
        missed: u32,
        fate: Fate,
        next: Option<Due>,
        fired: i64,
    },
    /// It is due at another time.
    Moved {
        schedule: i64,
        revision: i64,
        last_due: Option<i64>,
        next: Option<Due>,
    },
    Begun {
        run: i64,
        attempt: u32,
    },
    /// It runs in this process since this time: written down of what takes long.
    Runs {
        run: i64,
        attempt: u32,
        pid: u32,
        at: i64,
    },
    /// It did not begin after all.
    Unbegun {
        run: i64,
        attempt: u32,
    },
    /// `lease`: whose outcome it is, if a worker said it. `last`: no further attempt is made.
    Ended {
        run: i64,
        attempt: u32,
        schedule: i64,
        end: End,
        lease: Option<u64>,
        last: bool,
    },
    /// One more attempt, with this number.
    Again {
        run: i64,
        attempt: u32,
        not_before: i64,
    },
}

pub trait ScheduleHost {
    type Zone: Zone;
    /// Wall clock, microseconds since 2000-01-01 UTC; may step either way.
    fn timestamp(&self) -> i64;
    /// When the server was started.
    fn started(&self) -> i64;
    /// A zone by its name, as the server has it. None: it has none of that name.
    fn zone(&self, name: &[u8]) -> Option<Self::Zone>;
    /// All schedules, and all runs that have not ended.
    fn load(&self) -> Result<(Vec<Schedule>, Vec<Run>), Saved>;
    /// May these run now? In their order.
    fn standing(&self, schedules: &[i64]) -> Result<Vec<Standing>, Saved>;
    /// Write these in one transaction, durable before this returns. Of each: the number of the run that it is about; 0: it
    /// is not written, because its schedule has another revision, or is no more.
    fn record(&self, entries: &[Entry]) -> Result<Vec<i64>, Saved>;
    /// So many workers could be had now.
    fn room(&self) -> usize;
    /// Have a worker run it: the number of the lease; None where no worker is to be had now.
    fn start(&self, run: &Run, owner: Standing) -> Result<Option<u64>, Saved>;
    /// Break off what a worker runs; its outcome says what came of it.
    fn cancel(&self, lease: u64);
    /// What workers have said since the last call.
    fn outcomes(&self) -> Vec<Outcome>;
}

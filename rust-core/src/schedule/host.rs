//! What the world must offer to schedules, and the words that both use. A call that fails may have done its work or not.
//! The book then reads everything anew.

use super::part::ScheduleKind;
use super::zone::Zone;
use crate::definition::Standing;
use crate::definition::part::{LeaseOutcome, Tables};
use crate::host::Saved;
use crate::lease::work::CommandEnd;

/// What happens to a due time that comes while a run of the schedule has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    #[default]
    Skip,
    /// It waits for the end; one at most.
    Queue,
    Allow,
    CancelRunning,
}

/// What happens to due times that were missed.
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
    /// Changes whenever the definition changes.
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
    /// The next due time, and when the run begins: the due time plus the jitter.
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
    /// A user asked for the run. It has no due time, and a pause does not hold it back.
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
pub enum RunState {
    Waiting,
    Running,
    Skipped(Skipped),
}

/// How an attempt ended, as its worker says. None: the attempt did not begin, and never will. The host keeps what the command
/// printed and counted.
pub type AttemptEnd = LeaseOutcome<Option<CommandEnd>>;

/// An entry that the host writes down. Entries that are given at once are written in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleEntry {
    /// A due time has come, and `missed` before it that have no entry of their own.
    Fired {
        schedule: i64,
        revision: i64,
        due: i64,
        missed: u32,
        state: RunState,
        next: Option<Due>,
        fired: i64,
    },
    /// The schedule is due at another time than was written down.
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
    /// The run goes on in this process since this time. Only a run that takes long has this entry.
    Runs {
        run: i64,
        attempt: u32,
        pid: u32,
        at: i64,
    },
    /// A run that was written down as begun did not begin.
    Unbegun {
        run: i64,
        attempt: u32,
    },
    /// `lease`: whose outcome it is, if a worker said it. `last`: no further attempt is made.
    Ended {
        run: i64,
        attempt: u32,
        schedule: i64,
        end: CommandEnd,
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

/// What the book asks of schedules, beside what it asks of all definitions. Of an entry that is written down,
/// [`Tables::record`] answers the number of the run that the entry is about.
pub trait ScheduleHost: Tables<ScheduleKind> {
    type Zone: Zone;
    /// Wall clock, microseconds since 2000-01-01 UTC; may step either way.
    fn timestamp(&self) -> i64;
    /// When the server was started.
    fn started(&self) -> i64;
    /// A zone by its name, as the server has it. None: it has none of that name.
    fn zone(&self, name: &[u8]) -> Option<Self::Zone>;
    /// For how many workers it makes sense to ask now.
    fn room(&self) -> usize;
    /// Have a worker run it. Returns the number of the lease; None if there is no worker now.
    fn start(&self, run: &Run, owner: Standing) -> Result<Option<u64>, Saved>;
}

//! The launcher: keeps one coordinator of events in each database that has the extension.
//!
//! Which databases have it can be seen from within only: so a coordinator is started in each, and leaves at
//! once where it is not wanted. Later it is told: CREATE EXTENSION kicks the launcher when it commits.
//!
//! A coordinator that finds no handlers leaves too: whoever makes one says so when he commits.
//!
//! Those that may find nothing take worker slots like anybody's. Where the extension is known to be, a process of the
//! reserve is the coordinator, if one is left: it is there however many others want slots.

pub mod pulls;
pub mod quotas;
pub mod registry;
pub mod reserve;
pub mod seen;
pub mod tallies;
#[cfg(test)]
mod tests;

use registry::{CoordinatorState, DatabaseEntry, Registry};
use reserve::Assignment;

/// Between looks at the list of databases.
const LOOK_EVERY_US: i64 = 10_000_000;
/// After a failure: at first this long, doubled each time up to that.
const BACKOFF_US: i64 = 1_000_000;
const LONGEST_BACKOFF_US: i64 = 60_000_000;
/// A coordinator that has not come for this long never will.
const START_PATIENCE_US: i64 = 60_000_000;

/// The next look after one that came to nothing: a panic.
pub const WAIT_AFTER_PANIC_US: i64 = BACKOFF_US;

/// That there is no worker slot is said when it has been so for this long.
const SHORT_FOR_US: i64 = 2_000_000;

/// What the launcher asks of its process.
pub trait LauncherHost {
    fn timestamp(&self) -> i64;
    /// The databases that a coordinator may be in.
    fn databases(&self) -> Option<Vec<u32>>;
    /// Worker slots of the server that nobody has.
    fn free_slots(&self) -> u32;
    /// Those that workers of the pool have.
    fn workers(&self) -> u32;
    /// Start a process that is to be a coordinator; false: there is no worker slot.
    fn start(&self, assignment: Assignment) -> bool;
    /// Set a latch.
    fn wake(&self, proc: u32);
    /// Has the state of a database changed in a way that belongs in the log?
    fn note(&self, database: u32, what: Note);
}

/// What is logged, once for each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    NoWorkerSlot,
    TooManyDatabases,
}

/// What the launcher remembers between looks.
#[derive(Debug, Default)]
pub struct Launcher {
    looked_at: i64,
    known: Vec<u32>,
    /// Since when there has been no slot for somebody, and whether that was said.
    short: Option<(i64, bool)>,
    full: bool,
}

/// When to try again after so many failures.
fn backoff(failures: u32) -> i64 {
    BACKOFF_US.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF_US)
}

impl Launcher {
    /// Look around; microseconds until the next look.
    pub fn step<H: LauncherHost>(&mut self, h: &H, registry: &Registry) -> i64 {
        let now = h.timestamp();
        let kicked = registry.take_kick();
        if kicked || self.known.is_empty() || (now - self.looked_at).abs() >= LOOK_EVERY_US {
            if let Some(databases) = h.databases() {
                self.known = databases;
            }
            self.looked_at = now;
            self.compare(h, registry, now);
        }
        let mut next = LOOK_EVERY_US;
        let mut short = false;
        for (entry, index) in registry.entries.iter().zip(0..) {
            if let Some(due) = due(entry, now) {
                if due > now {
                    next = next.min(due - now);
                } else if !short && !self.start(h, registry, entry, index, now) {
                    short = true;
                    next = next.min(BACKOFF_US);
                }
            }
        }
        self.say_if_short(h, short, now);
        next.max(1_000)
    }

    /// One that starts or leaves just now may be all that it is.
    fn say_if_short<H: LauncherHost>(&mut self, h: &H, short: bool, now: i64) {
        let (since, said) = self.short.filter(|_| short).unwrap_or((now, false));
        let say = short && !said && (now - since).abs() >= SHORT_FOR_US;
        if say {
            h.note(0, Note::NoWorkerSlot);
        }
        self.short = short.then_some((since, said || say));
    }

    /// New databases get an entry; coordinators of those that have gone, or are not meant any more, leave.
    fn compare<H: LauncherHost>(&mut self, h: &H, registry: &Registry, now: i64) {
        let mut full = false;
        for database in &self.known {
            match registry.find(*database) {
                Some((_, entry)) => entry.is_meant(),
                None => match registry.add(*database, now) {
                    Some((_, entry)) => _ = entry.change(entry.state(), CoordinatorState::Failed, now),
                    None => full = true,
                },
            }
        }
        if full && !self.full {
            h.note(0, Note::TooManyDatabases);
        }
        self.full = full;
        for entry in &registry.entries {
            let state = entry.state();
            if state.0 == CoordinatorState::Free || self.known.contains(&entry.database()) {
                continue;
            }
            if entry.pid() == 0 && matches!(state.0, CoordinatorState::Absent | CoordinatorState::Failed | CoordinatorState::Idle) {
                entry.change(state, CoordinatorState::Free, now);
            } else {
                entry.ask_to_leave_for_good();
                entry.proc().into_iter().for_each(|proc| h.wake(proc));
            }
        }
    }

    fn start<H: LauncherHost>(&self, h: &H, registry: &Registry, entry: &DatabaseEntry, index: u32, now: i64) -> bool {
        let state = entry.state();
        entry.may_come_again();
        if !entry.change(state, CoordinatorState::Starting, now) {
            return true;
        }
        let assignment = Assignment { entry: index, generation: entry.state().1, database: entry.database() };
        let from_reserve = || {
            entry.set_reserved(true);
            reserve::give(&registry.reserve, assignment).inspect(|proc| h.wake(*proc)).is_some()
        };
        let from_slots = || {
            entry.set_reserved(false);
            may_take_slot(h, registry) && h.start(assignment)
        };
        let started = match entry.is_known() {
            true => from_reserve() || from_slots(),
            false => from_slots() || from_reserve(),
        };
        if !started {
            entry.change((CoordinatorState::Starting, assignment.generation), CoordinatorState::Failed, now);
        }
        started
    }
}

/// One slot is left for those who call, if not to a worker that is there: without workers a coordinator is of no use
/// either.
fn may_take_slot<H: LauncherHost>(h: &H, registry: &Registry) -> bool {
    // The one that is being started is among these.
    let on_their_way = registry.entries.iter().filter(|entry| entry.state().0 == CoordinatorState::Starting && entry.pid() == 0).count();
    let free = h.free_slots() as usize;
    free >= on_their_way && free.saturating_add(h.workers() as usize) > on_their_way
}

/// A coordinator has come to a database that has the extension: it leaves, if that was not known and one of the
/// reserve can take its place; the launcher, which is to be kicked then, starts that.
pub fn cedes(registry: &Registry, entry: &DatabaseEntry, now: i64) -> bool {
    let cedes = !entry.know() && reserve::any_waits(&registry.reserve);
    cedes && entry.change(entry.state(), CoordinatorState::Failed, now)
}

/// A process of the reserve ends. An assignment that it has not seen goes back to the launcher, whom the caller wakes.
pub fn leave_reserve(registry: &Registry, place: u32, now: i64) {
    let unseen = registry.reserve.get(place as usize).and_then(|place| place.leave());
    if let Some(assignment) = unseen
        && let Some(entry) = registry.entries.get(assignment.entry as usize)
    {
        entry.change((CoordinatorState::Starting, assignment.generation), CoordinatorState::Failed, now);
    }
}

/// The process of a coordinator ends: one that had not said why has failed.
pub fn exits(registry: &Registry, entry: &DatabaseEntry, now: i64) {
    registry.tallies.leave(entry.database());
    entry.seen.set(None);
    let state = entry.state();
    if matches!(state.0, CoordinatorState::Looking | CoordinatorState::Running) {
        entry.failed(now.saturating_add(backoff(entry.failures())));
        entry.change(state, CoordinatorState::Failed, now);
    }
    // Last: from then on another one may come.
    entry.detach();
}

/// When an entry is to be started, if it is.
fn due(entry: &DatabaseEntry, now: i64) -> Option<i64> {
    let (state, _) = entry.state();
    if entry.leaves(now) {
        return None;
    }
    match state {
        // As long as the last one has not gone, it has not left its place to another one.
        CoordinatorState::Failed if entry.pid() == 0 => Some(entry.retry_at().min(now + LONGEST_BACKOFF_US)),
        CoordinatorState::Idle if entry.pid() == 0 => Some(entry.visit_at()).filter(|at| *at < i64::MAX),
        CoordinatorState::Starting if entry.pid() == 0 && (now - entry.since()).abs() > START_PATIENCE_US => Some(now),
        _ => None,
    }
}

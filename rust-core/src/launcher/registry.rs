//! Which databases have a coordinator of events: one entry for each database that was looked at, in shared
//! memory, written by the launcher, the coordinators, and those who want something of either.
//!
//! ```text
//!            launcher            coordinator attaches           extension found
//!   Free ------------> Starting -----------------------> Looking ----------------> Running
//!    ^                    |                                 |  no extension          |
//!    | database gone      | worker failed                   v                        | extension dropped, told to leave
//!    +--------------------+-- Failed <--- it failed      Absent <--------------------+
//!                              |  after a while             | CREATE EXTENSION        | there are no handlers
//!                              +--------> Starting <--------+---------- Idle <--------+
//!                                                             a handler is made, or tables are to be emptied
//! ```
//! All of it is atomic; all zeroes is an empty registry. A state is changed by compare-and-swap together
//! with the entry's generation, so that a coordinator that comes late finds itself not wanted.

use super::pulls::Pulls;
use super::quotas::Quotas;
use super::reserve::{self, ReservePlace};
use super::seen::Seen;
use super::tallies::Tallies;
use crate::coordinator::topics::{PendingTopics, Topics};
use crate::waiters::Waiters;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::*};

/// Databases that can be known at a time.
pub const PLACES: usize = 256;

/// States of an entry; the numbers appear in views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CoordinatorState {
    Free = 0,
    Starting = 1,
    Looking = 2,
    Running = 3,
    /// The database does not have the extension.
    Absent = 4,
    /// The coordinator failed, or could not be started.
    Failed = 5,
    /// The database has the extension, and nothing that a coordinator is needed for.
    Idle = 6,
}

impl CoordinatorState {
    /// All of them, each at its number.
    pub const ALL: [Self; 7] = [Self::Free, Self::Starting, Self::Looking, Self::Running, Self::Absent, Self::Failed, Self::Idle];

    pub fn from_number(n: u8) -> Self {
        Self::ALL.get(usize::from(n)).copied().unwrap_or(Self::Free)
    }
}

/// Where nobody handles events, those that are emitted are looked after this much later: the tables are to be emptied
/// now and then.
const VISIT_AFTER_US: i64 = 10_000_000;

/// So long a coordinator leaves its worker slot to a call that had none.
const YIELD_US: i64 = 2_000_000;

/// One database.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct DatabaseEntry {
    word: AtomicU64,
    database: AtomicU32,
    pid: AtomicU32,
    /// Latch of the coordinator, plus one.
    proc: AtomicU32,
    /// What its coordinator is to hear.
    pending: PendingTopics,
    /// How often it was told of handlers.
    changes: AtomicU32,
    /// It is to leave: the database is wanted by somebody, until then.
    leave_until: AtomicI64,
    /// Failures in a row, and when to try again.
    failures: AtomicU32,
    /// Partition that new events go to, plus one; 0: not known.
    partition: AtomicU32,
    /// Since when; 0: not known.
    partition_since: AtomicI64,
    /// When to try again after a failure; where the state is Idle, when the tables are to be emptied.
    retry_at: AtomicI64,
    /// Its process is one of the reserve: nobody else can have its worker slot.
    reserved: AtomicU32,
    /// When it came to its state.
    since: AtomicI64,
    /// The database has the extension, as far as is known.
    known: AtomicU32,
    /// The sequence that ids of events come from, and the highest that it gave as far as is known.
    sequence: AtomicU32,
    highest_id: AtomicI64,
    /// What its coordinator has counted.
    pub seen: Seen,
}

/// The registry, and the launcher's own place.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Registry {
    pub abi_version: AtomicU32,
    launcher_pid: AtomicU32,
    launcher_proc: AtomicU32,
    /// Something is to be looked at.
    kicked: AtomicU32,
    pub reserve: [ReservePlace; reserve::PLACES],
    pub entries: [DatabaseEntry; PLACES],
    pub tallies: Tallies,
    pub quotas: Quotas,
    /// Who waits for which run of a schedule.
    pub waiters: Waiters,
    /// What consumers ask for.
    pub pulls: Pulls,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            abi_version: AtomicU32::new(0),
            launcher_pid: AtomicU32::new(0),
            launcher_proc: AtomicU32::new(0),
            kicked: AtomicU32::new(0),
            reserve: std::array::from_fn(|_| ReservePlace::default()),
            entries: std::array::from_fn(|_| DatabaseEntry::default()),
            tallies: Tallies::default(),
            quotas: Quotas::default(),
            waiters: Waiters::default(),
            pulls: Pulls::default(),
        }
    }
}

fn word(generation: u64, state: CoordinatorState) -> u64 {
    generation << 8 | state as u64
}

impl DatabaseEntry {
    /// State and generation.
    pub fn state(&self) -> (CoordinatorState, u64) {
        let word = self.word.load(SeqCst);
        (CoordinatorState::from_number(word as u8), word >> 8)
    }

    /// From one state to another, where nobody else has changed it.
    pub fn change(&self, from: (CoordinatorState, u64), to: CoordinatorState, now: i64) -> bool {
        let next = if to == CoordinatorState::Starting { from.1 + 1 } else { from.1 };
        let done = self.word.compare_exchange(word(from.1, from.0), word(next, to), SeqCst, Relaxed).is_ok();
        if done {
            self.since.store(now, Relaxed);
        }
        done
    }

    pub fn database(&self) -> u32 {
        self.database.load(Acquire)
    }

    pub fn pid(&self) -> u32 {
        self.pid.load(Acquire)
    }

    pub fn since(&self) -> i64 {
        self.since.load(Relaxed)
    }

    pub fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    pub fn retry_at(&self) -> i64 {
        self.retry_at.load(Relaxed)
    }

    /// It runs, but its last turn failed.
    pub fn is_failing(&self) -> bool {
        self.state().0 == CoordinatorState::Running && self.failures() > 0
    }

    /// Try again then.
    pub fn failed(&self, retry_at: i64) {
        self.failures.fetch_add(1, Relaxed);
        self.retry_at.store(retry_at, Relaxed);
    }

    pub fn recovered(&self) {
        self.failures.store(0, Relaxed);
    }

    /// A turn of the coordinator went well, or did not.
    pub fn fared(&self, well: bool, now: i64) {
        if well { self.recovered() } else { self.failed(now) }
    }

    /// The coordinator takes its place; false: it is not wanted any more.
    pub fn attach(&self, generation: u64, pid: u32, proc: u32, now: i64) -> bool {
        if !self.change((CoordinatorState::Starting, generation), CoordinatorState::Looking, now) {
            return false;
        }
        self.proc.store(proc + 1, Release);
        self.pid.store(pid, SeqCst);
        true
    }

    pub fn detach(&self) {
        self.proc.store(0, SeqCst);
        self.pid.store(0, SeqCst);
    }

    /// Latch of the coordinator.
    pub fn proc(&self) -> Option<u32> {
        self.proc.load(Acquire).checked_sub(1)
    }

    /// The coordinator is to leave the database, and none is to come before then.
    pub fn ask_to_leave(&self, until: i64) {
        self.leave_until.store(until, SeqCst);
        self.pending.say(Topics::LEAVE);
    }

    /// As for a database that is not meant: until it is again.
    pub fn ask_to_leave_for_good(&self) {
        self.ask_to_leave(i64::MAX);
    }

    /// It is meant again, but may be wanted by somebody.
    pub fn is_meant(&self) {
        if self.leave_until.load(SeqCst) == i64::MAX {
            self.may_come_again();
        }
    }

    pub fn leaves(&self, now: i64) -> bool {
        self.pending.get().has(Topics::LEAVE) && now < self.leave_until.load(SeqCst)
    }

    pub fn may_come_again(&self) {
        self.pending.take_back(Topics::LEAVE);
    }

    /// The database has the extension: was that known?
    pub fn know(&self) -> bool {
        self.known.swap(1, Relaxed) != 0
    }

    pub fn is_known(&self) -> bool {
        self.known.load(Relaxed) != 0
    }

    pub fn forget(&self) {
        self.known.store(0, Relaxed);
    }

    /// There may be something new; was any of it not said already? Of handlers, the coordinator will hear it before it
    /// starts anything that a worker refuses for it.
    pub fn say(&self, topics: Topics) -> bool {
        let new = self.pending.say(topics);
        if topics.has(Topics::HANDLERS) {
            self.changes.fetch_add(1, SeqCst);
        }
        new
    }

    pub fn changes(&self) -> u32 {
        self.changes.load(SeqCst)
    }

    /// What was said since the last time.
    pub fn hear(&self) -> Topics {
        self.pending.take()
    }

    pub fn partition(&self) -> Option<u32> {
        self.partition.load(Acquire).checked_sub(1)
    }

    pub fn set_partition(&self, partition: u32) {
        self.partition.store(partition + 1, Release);
    }

    /// The highest id that this sequence gave, as far as was known; from now on that is `id` at least.
    pub fn raise_id(&self, sequence: u32, id: i64) -> i64 {
        // Another one: the extension has been made anew.
        if self.sequence.load(SeqCst) != sequence {
            self.highest_id.store(0, SeqCst);
            self.sequence.store(sequence, SeqCst);
        }
        let known = self.highest_id.load(SeqCst);
        if id > known { self.highest_id.fetch_max(id, SeqCst) } else { known }
    }

    /// Since when new events go to the partition that they go to now, as far as the last coordinator has said so.
    pub fn take_partition_since(&self) -> Option<i64> {
        Some(self.partition_since.swap(0, Relaxed)).filter(|since| *since != 0)
    }

    pub fn set_reserved(&self, reserved: bool) {
        self.reserved.store(u32::from(reserved), Relaxed);
    }

    /// A coordinator found out what there is for it here. What is said to it meanwhile is heard: by it, or by the
    /// launcher.
    pub fn enter(&self, to: CoordinatorState, now: i64) {
        match to {
            CoordinatorState::Running => self.recovered(),
            CoordinatorState::Absent => self.forget(),
            _ => {}
        }
        self.change(self.state(), to, now);
        let wanted = match to {
            // Somebody may have created the extension after it was found missing.
            CoordinatorState::Absent => self.hear().rouses(),
            CoordinatorState::Idle => self.pending.get().rouses(),
            _ => false,
        };
        if wanted {
            self.rouse(to, now);
        }
    }

    /// It has nothing to do, and leaves. Somebody is to look after the database in so many microseconds; u64::MAX: when he
    /// is told to. New events have gone to the partition that they go to for `age_us`.
    pub fn becomes_idle(&self, age_us: u64, left_us: u64, now: i64) {
        self.partition_since.store(now.saturating_sub_unsigned(age_us), Relaxed);
        self.retry_at.store(now.saturating_add_unsigned(left_us), Relaxed);
        self.enter(CoordinatorState::Idle, now);
    }

    /// When somebody is to look after an idle database.
    pub fn visit_at(&self) -> i64 {
        let emitted = if self.pending.get().has(Topics::EVENTS) { self.since().saturating_add(VISIT_AFTER_US) } else { i64::MAX };
        self.retry_at().min(emitted)
    }

    /// There is something to do where there was nothing.
    fn rouse(&self, from: CoordinatorState, now: i64) -> bool {
        let state = self.state();
        if state.0 != from {
            return false;
        }
        self.retry_at.store(now, Relaxed);
        self.change(state, CoordinatorState::Failed, now)
    }
}

impl Registry {
    pub fn find(&self, database: u32) -> Option<(u32, &DatabaseEntry)> {
        self.entries
            .iter()
            .zip(0..)
            .map(|(entry, index)| (index, entry))
            .find(|(_, e)| e.state().0 != CoordinatorState::Free && e.database() == database)
    }

    /// An entry for a database that has none; for the launcher alone.
    pub fn add(&self, database: u32, now: i64) -> Option<(u32, &DatabaseEntry)> {
        let (entry, index) = self.entries.iter().zip(0..).find(|(e, _)| e.state().0 == CoordinatorState::Free)?;
        entry.database.store(database, Release);
        entry.partition.store(0, Relaxed);
        entry.may_come_again();
        entry.recovered();
        entry.forget();
        entry.sequence.store(0, SeqCst);
        entry.retry_at.store(0, Relaxed);
        let state = entry.state();
        entry.change(state, CoordinatorState::Absent, now).then_some((index, entry))
    }

    pub fn set_launcher(&self, pid: u32, proc: Option<u32>) {
        self.launcher_proc.store(proc.map_or(0, |proc| proc + 1), SeqCst);
        self.launcher_pid.store(pid, SeqCst);
    }

    pub fn launcher_pid(&self) -> u32 {
        self.launcher_pid.load(SeqCst)
    }

    /// There may be something new in this database. The latch of who is to know.
    pub fn say(&self, database: u32, topics: Topics, now: i64) -> Option<u32> {
        let (_, entry) = self.find(database)?;
        let new = entry.say(topics);
        if !topics.rouses() {
            // The bit was set already, and with it the latch.
            return new.then(|| entry.proc()).flatten();
        }
        if entry.rouse(CoordinatorState::Idle, now) { self.kick() } else { entry.proc() }
    }

    /// The extension has been created in this database.
    pub fn want(&self, database: u32, now: i64) {
        let Some((_, entry)) = self.find(database) else { return };
        entry.know();
        entry.recovered();
        // A coordinator that is about to leave hears it.
        entry.say(Topics::DEFINITIONS);
        _ = entry.rouse(CoordinatorState::Absent, now) || entry.rouse(CoordinatorState::Idle, now);
    }

    /// A call has no worker process and cannot hope for one: a coordinator leaves its worker slot for a while, the one
    /// that has been there the longest. Its latch, if one was asked just now; None: nobody can.
    pub fn make_room(&self, now: i64) -> Option<Option<u32>> {
        let others_could_have = |entry: &&DatabaseEntry| entry.pid() != 0 && entry.reserved.load(Relaxed) == 0;
        let there = || self.entries.iter().filter(others_could_have);
        if there().any(|entry| entry.leaves(now)) {
            return Some(None);
        }
        let entry = there().min_by_key(|entry| entry.since())?;
        entry.ask_to_leave(now + YIELD_US);
        Some(entry.proc())
    }

    /// Somebody wants the database for himself, until then: its coordinator's latch, if it has one; None: nobody is in it,
    /// nor about to be.
    pub fn vacate(&self, database: u32, until: i64) -> Option<Option<u32>> {
        let (_, entry) = self.find(database)?;
        entry.ask_to_leave(until);
        (entry.pid() != 0 || entry.state().0 == CoordinatorState::Starting).then(|| entry.proc())
    }

    /// He does not want it any more.
    pub fn readmit(&self, database: u32) {
        if let Some((_, entry)) = self.find(database) {
            entry.may_come_again();
        }
    }

    /// The launcher is to look around; its latch.
    pub fn kick(&self) -> Option<u32> {
        self.kicked.store(1, SeqCst);
        self.launcher_proc.load(SeqCst).checked_sub(1)
    }

    pub fn take_kick(&self) -> bool {
        self.kicked.swap(0, SeqCst) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_id_is_known_of_each_sequence_and_forgotten_with_its_database() {
        let registry = Box::<Registry>::default();
        let (_, entry) = registry.add(5, 0).unwrap();
        assert_eq!([entry.raise_id(100, 0), entry.raise_id(100, 7), entry.raise_id(100, 3), entry.raise_id(100, 9)], [0, 0, 7, 7]);
        assert_eq!(entry.raise_id(100, 0), 9);
        // Made anew, it is another one; and so it is in another database, if that is a copy.
        assert_eq!([entry.raise_id(101, 2), entry.raise_id(101, 0)], [0, 2]);
        assert!(entry.change(entry.state(), CoordinatorState::Free, 0));
        let (_, entry) = registry.add(6, 0).unwrap();
        assert_eq!(entry.raise_id(101, 0), 0);
    }
}

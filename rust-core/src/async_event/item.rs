//! One event as one handler sees it.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A map whose order is the same in each run.
pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// What one step of priority is worth: an event passes those that became due up to this much earlier.
pub const AGING_US: i64 = 60_000_000;

/// The key of an event; those without one share one.
pub(super) fn key_of(key: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// With whom an event may share what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Solo {
    #[default]
    No,
    /// Its transaction with none: a batch with it failed.
    Batch,
    /// Its lease with none: a process with it died.
    Lease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Seat {
    /// Behind another of its key.
    #[default]
    Off,
    Ready,
    /// It is due, and as many of its key as may run do, or come first.
    Behind,
    Delayed,
    Running,
    /// On its way to another partition.
    Moving,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Item {
    pub tid: u64,
    pub due: i64,
    /// When it was due first, as far as is known.
    pub since: i64,
    /// Somebody asked for that time, and it has not been tried.
    pub timed: bool,
    pub key: u64,
    pub priority: i32,
    /// Attempts that have failed and count.
    pub attempts: u32,
    /// Its own, where it has one; 0: the handler's.
    pub max_attempts: u32,
    pub timeout_ms: u32,
    /// It ends then, unless an attempt has begun.
    pub expires: Option<i64>,
    /// How often the log has it as put off.
    pub put_offs: u32,
    /// Conflicts in a row.
    pub free: u8,
    /// Shortages in a row.
    pub shortages: u8,
    pub partition: u8,
    /// Its unique key is free when it begins.
    pub frees_key: bool,
    /// 0: none.
    pub group: i64,
    pub solo: Solo,
    /// The log has the next attempt already.
    pub logged: bool,
    pub cancelled: bool,
    /// A notification that was recorded, and has not been tried.
    pub spilled: bool,
    /// It runs, and what waited meanwhile was left to the tables.
    pub left: bool,
    pub seat: Seat,
}

impl Item {
    /// Its place in line: the smallest comes first.
    pub fn place(&self) -> i64 {
        self.due.saturating_sub(i64::from(self.priority) * AGING_US)
    }

    /// It may be tried again at once.
    pub fn set_due(&mut self, now: i64) {
        (self.due, self.timed) = (self.due.min(now), false);
    }

    /// An attempt has failed.
    pub fn tried(&self) -> bool {
        self.attempts > 0 || self.free > 0 || self.shortages > 0
    }

    pub fn running(&self) -> bool {
        self.seat == Seat::Running
    }
}

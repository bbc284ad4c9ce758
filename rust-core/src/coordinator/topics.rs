//! What a coordinator is told: that there may be something new, and of which kind. A process that has news sets a bit in
//! the registry's entry of the database. The coordinator takes all bits at once when it begins a turn.

use std::ops::{BitOr, BitOrAssign};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics(u32);

impl Topics {
    pub const NONE: Self = Self(0);
    /// Events may have become visible.
    pub const EVENTS: Self = Self(1);
    /// Handlers may have changed.
    pub const HANDLERS: Self = Self(2);
    /// Schedules may have changed.
    pub const SCHEDULES: Self = Self(4);
    /// Jobs may have changed.
    pub const JOBS: Self = Self(8);
    /// Definitions of any kind may have changed.
    pub const DEFINITIONS: Self = Self(Self::HANDLERS.0 | Self::SCHEDULES.0 | Self::JOBS.0);
    /// Consumers ask for events.
    pub const PULLS: Self = Self(16);
    /// The coordinator is to leave the database. This bit stays until somebody takes it back; a turn takes the others.
    pub const LEAVE: Self = Self(1 << 31);

    pub const fn bits(self) -> u32 {
        self.0
    }

    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Does this news start the coordinator of an idle database at once? Events can wait there.
    pub fn rouses(self) -> bool {
        self.0 & !(Self::EVENTS.0 | Self::LEAVE.0) != 0
    }

    pub fn has(self, topic: Self) -> bool {
        self.0 & topic.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What has been said to one coordinator, in shared memory.
#[derive(Debug, Default)]
pub struct PendingTopics(AtomicU32);

impl PendingTopics {
    /// Was any of it new?
    pub fn say(&self, topics: Topics) -> bool {
        self.0.fetch_or(topics.0, SeqCst) & topics.0 != topics.0
    }

    pub fn take_back(&self, topics: Topics) {
        self.0.fetch_and(!topics.0, SeqCst);
    }

    /// What was said since the last time.
    pub fn take(&self) -> Topics {
        Topics(self.0.fetch_and(Topics::LEAVE.0, SeqCst) & !Topics::LEAVE.0)
    }

    /// The same, and it is still to be heard.
    pub fn get(&self) -> Topics {
        Topics(self.0.load(SeqCst))
    }
}

impl BitOr for Topics {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Topics {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

//! What a coordinator is told: that there may be something new, and of which kind.

use std::ops::{BitOr, BitOrAssign};

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

    pub fn has(self, topic: Self) -> bool {
        self.0 & topic.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
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

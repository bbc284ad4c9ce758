//! The wall clock beside the monotonic one: has it been set back?

/// Steps that add up to less are let pass.
const STEP_US: i64 = 1_000_000;

/// How far the wall clock was ahead of the monotonic one, at most.
#[derive(Debug, Default)]
pub(super) struct Clock(Option<i64>);

impl Clock {
    /// By how much it has been set back since it was ahead as never before; 0: not at all.
    pub fn step_back(&mut self, wall: i64, mono: u64) -> i64 {
        let ahead = wall.saturating_sub_unsigned(mono);
        let back = self.0.map_or(0, |before| before.saturating_sub(ahead));
        if self.0.is_none() || !(0..=STEP_US).contains(&back) {
            self.0 = Some(ahead);
        }
        if back > STEP_US { back } else { 0 }
    }
}

//! The wall clock beside the monotonic one: has it been set back?

use super::coordinator::Coordinator;
use super::host::EventHost;

/// Steps that add up to less are let pass.
const STEP_US: i64 = 1_000_000;

/// How far the wall clock was ahead of the monotonic one, at most.
#[derive(Default)]
pub(super) struct Clock(Option<i64>);

impl Clock {
    /// By how much it has been set back since it was ahead as never before; 0: not at all.
    fn step_back(&mut self, wall: i64, mono: u64) -> i64 {
        let ahead = wall.saturating_sub_unsigned(mono);
        let back = self.0.map_or(0, |before| before.saturating_sub(ahead));
        if self.0.is_none() || !(0..=STEP_US).contains(&back) {
            self.0 = Some(ahead);
        }
        if back > STEP_US { back } else { 0 }
    }
}

impl Coordinator {
    /// Times that were told from the clock go with it when it is set back; those that were asked for do not.
    pub(super) fn follow_clock<H: EventHost>(&mut self, h: &H) {
        let by = self.clock.step_back(h.timestamp(), h.now_us());
        if by > 0 {
            let now = h.timestamp();
            self.handlers.values_mut().for_each(|handler| handler.queue.set_back(by, now));
        }
    }
}

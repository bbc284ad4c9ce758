//! Who has pinned a buffer that another process waits for.
//!
//! The server does not tell: only a process itself knows its pins. So each that waits for something, and may be why
//! another waits, says here who waits for a pin of its, for as long as its own wait lasts.

use super::area::Area;
use super::slot::{Slot, SlotState};
use crate::host::World;
use std::sync::atomic::Ordering::*;

impl Area<'_> {
    /// Say who waits for a pin of this process now; does anybody? `told`: some did before.
    pub fn tell_pins<H: World>(&self, h: &H, told: bool) -> bool {
        let waiters = h.pins_wanted();
        if waiters.is_empty() && !told {
            return false;
        }
        let me = h.my_pid();
        for place in &self.header.pins {
            let pin = place.load(SeqCst);
            if pin as u32 == me && !waiters.contains(&((pin >> 32) as u32)) {
                _ = place.compare_exchange(pin, 0, SeqCst, Relaxed);
            }
        }
        for pin in waiters.iter().map(|waiter| u64::from(*waiter) << 32 | u64::from(me)) {
            let mut places = self.header.pins.iter();
            let known = self.header.pins.iter().any(|place| place.load(SeqCst) == pin);
            _ = known || places.any(|place| place.compare_exchange(0, pin, SeqCst, Relaxed).is_ok());
        }
        !waiters.is_empty()
    }

    /// This process goes on, or has gone.
    pub fn forget_pins(&self, pid: u32) {
        for place in &self.header.pins {
            let pin = place.load(SeqCst);
            if pin != 0 && pin as u32 == pid {
                _ = place.compare_exchange(pin, 0, SeqCst, Relaxed);
            }
        }
    }

    /// Those whose pin a process waits for, as far as they have said so.
    #[expect(clippy::disallowed_methods, reason = "no more than there are places")]
    pub fn holders_of_pin(&self, waiter: u32) -> Vec<u32> {
        let of_waiter = |pin: u64| pin != 0 && (pin >> 32) as u32 == waiter;
        self.header.pins.iter().map(|place| place.load(SeqCst)).filter(|pin| of_waiter(*pin)).map(|pin| pin as u32).collect()
    }

    /// Have the workers of sessions that run nothing look at their pins: they sleep for as long as nobody wakes them.
    pub fn ask_for_pins<H: World>(&self, h: &H) {
        let rests = |slot: &&Slot| match slot.state() {
            (SlotState::Held, _) => true,
            (SlotState::Busy, generation) => slot.finished(generation).is_some(),
            _ => false,
        };
        self.slots.iter().filter(rests).for_each(|slot| slot.wake_worker(h));
    }
}

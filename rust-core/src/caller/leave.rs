//! This process exits, or the session that owns a private pool ends.

use super::process::CallerState;
use super::task;
use crate::host::CallerHost;
use crate::lease::ending::terminate;
use crate::pool::area::Area;
use crate::pool::gate::CancelReason;
use crate::pool::slot::SlotState;
use std::sync::atomic::Ordering::*;

/// This process exits: cancel what its leases run, without waiting for it.
pub fn leave<H: CallerHost>(h: &H, area: &Area, caller: &CallerState) {
    caller.borrower.leave(area, h.my_pid());
    area.forget_pins(h.my_pid());
    task::leave(h, area, caller);
    for slot in area.slots {
        let (state, generation) = slot.state();
        let mine = matches!(state, SlotState::Busy | SlotState::Dead | SlotState::Held)
            && slot.named(generation)
            && slot.caller_pid.load(Acquire) == h.my_pid();
        if !mine || slot.abandoned(generation) {
            continue;
        }
        slot.gate.cancel(generation, CancelReason::GivenUp);
        terminate(h, slot, generation);
        slot.abandon(generation);
        if slot.state() == (SlotState::Dead, generation) {
            area.release(slot, generation);
            h.signal_slot();
        } else {
            slot.wake_worker(h);
        }
    }
}

/// The session that owns a private pool ends: all its workers are to leave.
pub fn close<H: CallerHost>(h: &H, area: &Area, caller: &CallerState) {
    area.header.closing.store(1, SeqCst);
    task::close(h, area, caller);
    area.slots.iter().for_each(|slot| slot.wake_worker(h));
}

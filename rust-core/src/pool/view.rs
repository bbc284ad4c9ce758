//! What others see of a worker.

use super::slot::{Key, Slot, SlotState};
use std::sync::atomic::Ordering::*;

/// One worker as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView {
    pub state: SlotState,
    pub generation: u64,
    pub pid: u32,
    pub key: Key,
    /// This and the next say something while somebody has leased it; otherwise they are 0.
    pub caller_pid: u32,
    pub depth: u32,
    /// Of its transaction; 0: none.
    pub xid: u64,
    pub calls: u64,
    pub errors: u64,
    pub started: i64,
    pub last_used: i64,
}

impl Slot {
    /// None: nobody is there.
    pub fn view(&self) -> Option<WorkerView> {
        let (state, generation) = self.state();
        let leased = matches!(state, SlotState::Busy | SlotState::Dead | SlotState::Held);
        (state != SlotState::Free).then(|| WorkerView {
            state,
            generation,
            pid: self.worker_pid.load(Relaxed),
            key: self.key(),
            caller_pid: if leased { self.caller_pid.load(Relaxed) } else { 0 },
            depth: if leased { self.depth.load(Relaxed) } else { 0 },
            xid: self.gate.xid(),
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            started: self.started.load(Relaxed),
            last_used: self.last_used.load(Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_seen_with_its_caller_while_somebody_has_leased_it() {
        let slot = Slot::default();
        assert_eq!(slot.view(), None, "nobody is there");
        let generation = slot.claim(SlotState::Free, 0, (100, 1)).unwrap();
        slot.depth.store(2, Relaxed);
        let seen = || slot.view().map(|view| (view.state, view.generation, view.caller_pid, view.depth));
        assert_eq!(seen(), Some((SlotState::Busy, generation, 100, 2)));
        for (from, to, caller) in [
            (SlotState::Busy, SlotState::Held, (100, 2)),
            (SlotState::Held, SlotState::Dead, (100, 2)),
            (SlotState::Dead, SlotState::Idle, (0, 0)),
        ] {
            assert!(slot.change(generation, from, to));
            assert_eq!(seen(), Some((to, generation, caller.0, caller.1)));
        }
    }
}

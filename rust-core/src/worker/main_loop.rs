//! A worker's life: wait for a request, serve it, clean up, wait again; leave when idle for long,
//! when retired, when told to.
//!
//! It polls, naps, and then sleeps on its latch and nothing else. Whoever posts a request, retires it, abandons a lease or
//! closes the pool rings its bell after having written the word it is to see.

use super::plan_cache::PlanCache;
use super::process::Worker;
use crate::host::{Slept, WorkerConfig, WorkerHost};
use crate::pool::bell::NAP_MS;
use crate::pool::slot::{Slot, SlotState};
use std::sync::atomic::Ordering::*;

/// Longest sleep while a caller is expected to act.
pub(super) const TICK_MS: u32 = 100;
/// An idle worker looks again this long after its last request, and then only when it is to leave.
const SETTLED_MS: u64 = 1_100;
/// Request buffers larger than this (in words) are not kept.
const KEEP_WORDS: usize = 32 * 1024;

impl Worker<'_> {
    /// Serve the slot until it is time to leave.
    pub fn run<H: WorkerHost>(&self, h: &H) {
        let Some(slot) = self.area.slot(self.slot.get()) else { return };
        let mut served = self.attached.get().unwrap_or(0) - 1;
        self.reply.take();
        if slot.change(served + 1, SlotState::Starting, SlotState::Idle) {
            served += 1;
            h.signal_slot();
        }
        let mut plans = PlanCache::default();
        let mut buffer = Vec::new();
        while let Some(generation) = self.next(h, slot, served) {
            served = generation;
            let fit = match slot.state().0 {
                SlotState::Tasked => self.serve_task(h, slot, generation, &mut plans, &mut buffer),
                _ => self.serve(h, slot, generation, &mut plans, &mut buffer),
            };
            if !fit {
                return;
            }
            if buffer.capacity() > KEEP_WORDS {
                buffer = Vec::new();
            }
        }
    }

    /// Wait for a request; None: leave.
    fn next<H: WorkerHost>(&self, h: &H, slot: &Slot, served: u64) -> Option<u64> {
        let config = h.config();
        self.poll_us.set(config.poll_us);
        let idle_since = h.now_us();
        let posted = || slot.posted() > served;
        if slot.place.is_kept() {
            // The caller decides when both poll again.
            self.poller.begin_anew();
        } else if !posted() {
            self.poller.poll(h, self.area.busy().max(1), config.poll_us, posted);
        }
        loop {
            if posted() {
                self.forget_pins(h);
                return h.idle(false).then(|| slot.posted());
            }
            let (state, generation) = slot.state();
            match state {
                SlotState::Retiring | SlotState::Free | SlotState::Dead => return None,
                SlotState::Busy | SlotState::Held if slot.abandoned(generation) => {
                    if !self.end_session(h, slot) {
                        return None;
                    }
                    if self.area.release(slot, generation) || slot.change(generation, SlotState::Held, SlotState::Idle) {
                        h.signal_slot();
                    }
                    continue;
                }
                SlotState::Idle if !self.end_session(h, slot) => return None,
                SlotState::Idle if self.area.header.closing.load(SeqCst) != 0 => return None,
                _ => {}
            }
            if self.tasks.get().is_none_or(|tasks| tasks.some_queued()) {
                h.kick();
            }
            if posted() {
                continue;
            }
            let queued = || self.tasks.get().is_some_and(|tasks| tasks.some_queued());
            let napping = h.naps() && h.now_us().saturating_sub(idle_since) < u64::from(config.nap_ms) * 1000;
            if napping && !queued() {
                let changed = || slot.state() != (state, generation) || slot.abandoned(generation);
                if slot.worker_bell.nap(h, NAP_MS, || posted() || changed() || queued()) == Slept::TimedOut {
                    h.doze(0);
                }
                if !h.interrupt_pending() {
                    continue;
                }
            }
            slot.spread(h);
            if !h.idle(true) {
                return None;
            }
            if self.in_session.get() {
                self.tell_pins(h);
            }
            let config = h.config();
            let idle_ms = h.now_us().saturating_sub(idle_since) / 1000;
            let session_left = self.session_left(&config, idle_ms);
            if session_left == Some(0) {
                if !self.expire(h, slot, state, generation) {
                    return None;
                }
                continue;
            }
            let left = u64::from(config.idle_timeout_ms).saturating_sub(idle_ms);
            if left == 0 && self.others(slot) >= config.min_workers && slot.change(generation, SlotState::Idle, SlotState::Retiring) {
                // Others may have counted us as we counted them: look again now that they do not.
                if self.others(slot) >= config.min_workers {
                    return None;
                }
                slot.change(generation, SlotState::Retiring, SlotState::Idle);
                h.signal_slot();
            }
            // Soon after a request once more, for what the host puts off while there is much to do; and
            // a worker that stays looks again now and then, as others may have come meanwhile.
            let longest = if idle_ms < SETTLED_MS { SETTLED_MS } else { left };
            let longest = (longest as u32).max(TICK_MS * 10);
            h.doze(session_left.map_or(longest, |left| longest.min(left)));
        }
    }

    /// For how long the session that keeps this worker may still be idle; None: for ever, or there is none.
    fn session_left(&self, config: &WorkerConfig, idle_ms: u64) -> Option<u32> {
        let limits = [config.session_idle_ms, config.block_idle_ms].into_iter().filter(|limit| *limit > 0);
        let limit = limits.min().filter(|_| self.in_session.get())?;
        Some(u64::from(limit).saturating_sub(idle_ms) as u32)
    }

    /// A session was idle for too long: it is over, and its owner finds that out; false: leave. Not if its next
    /// command comes first.
    fn expire<H: WorkerHost>(&self, h: &H, slot: &Slot, state: SlotState, generation: u64) -> bool {
        match state {
            SlotState::Held => {
                slot.expire(generation);
                if !slot.change(generation, SlotState::Held, SlotState::Retiring) {
                    return true;
                }
                let fit = self.end_session(h, slot);
                if fit && slot.change(generation, SlotState::Retiring, SlotState::Idle) {
                    h.signal_slot();
                }
                fit
            }
            // Its results wait to be read; whether its owner does at this moment, the slot says to both.
            SlotState::Busy if slot.finished(generation).is_some() => {
                slot.expire(generation);
                false
            }
            _ => true,
        }
    }

    /// Workers of the same key that stay. One that is leaving may yet change its mind, but not counting it
    /// is what makes the last of several that leave at once see all the others.
    fn others(&self, slot: &Slot) -> u32 {
        let stays = |other: &Slot| matches!(other.state().0, SlotState::Idle | SlotState::Busy | SlotState::Starting | SlotState::Held);
        let same = |(index, other): &(usize, &Slot)| *index as u32 != self.slot.get() && other.key() == slot.key();
        self.area.slots.iter().enumerate().filter(|s| same(s) && stays(s.1)).count() as u32
    }
}

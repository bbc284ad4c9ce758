//! The word by which two processes wake each other soon after they have last met.
//!
//! A process that expects its peer within milliseconds naps on a word of shared memory. That costs half of what a latch does:
//! no signal is sent, and no set of events is looked at. The word says in which phase of waiting its owner is, so who has
//! something to say makes one system call at most: none where the owner runs or polls, as its latch is only marked then.
//!
//! A latch is more: signal handlers of the owner set it, and so does whoever knows nothing of bells. A signal ends a nap. One
//! that comes in the instant between the last look and the nap is seen when the nap is over: hence [`NAP_MS`].

use crate::host::{Slept, World};
use std::sync::atomic::{AtomicU32, Ordering::*};

/// Longest nap.
pub const NAP_MS: u32 = 5;

/// The owner runs, polls, or sleeps on its latch.
const LATCH: u32 = 0;
const NAPPING: u32 = 1;

#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Bell(AtomicU32);

impl Bell {
    /// Wake the owner, whose latch is that of `proc`. What it is to see has been written before.
    pub fn ring(&self, world: &impl World, proc: u32) {
        if self.0.swap(LATCH, SeqCst) == NAPPING {
            world.rouse(&self.0);
        } else {
            world.wake(proc);
        }
    }

    /// The owner naps, until somebody rings, a signal comes, or the time has passed. It must look at everything after that;
    /// what `due` does not see now, whoever writes it rings for. Where the time has passed, the owner looks at its latch too:
    /// that is how it learns that the postmaster has died.
    pub fn nap(&self, world: &impl World, longest_ms: u32, due: impl FnOnce() -> bool) -> Slept {
        world.clear_latch();
        self.0.store(NAPPING, SeqCst);
        let stays = !due() && !world.interrupt_pending();
        let slept = if stays { world.nap(&self.0, NAPPING, longest_ms.min(NAP_MS)) } else { Slept::Woken };
        self.0.store(LATCH, SeqCst);
        slept
    }
}

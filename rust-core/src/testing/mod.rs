//! Tests of the core as a whole, in one of two simulated worlds.
//!
//! * [`threads`]: processes are threads that really run side by side, over the real pool, gate, rings and task table. It holds
//!   what depends on who comes first: calls, sessions, tasks, and workers that vanish.
//! * [`clocked`]: one thread, and a clock that a test moves. It holds what depends on time and order: a coordinator and its
//!   parts. A seed decides everything there, so a failure comes again.
//!
//! In both, each step can be made to fail, or to be its process's last.

pub(crate) mod clocked;
mod threads;

//! Events: which handler runs which event when, how often, and what happens when that fails.
//!
//! [`Events`] is the part of a coordinator that decides this; it runs nothing itself. What becomes of an event is in the log
//! before it happens, and acknowledgements are part of the workers' own transactions: so a coordinator that
//! vanishes leaves nothing behind, and the next one reads the log at its first fetch: all that is open is looked through,
//! as it is whenever not all of it fits into memory (backlog.rs).
//!
//! ```text
//!            notifications   events, commands        outcomes
//!                  |               |                    ^
//!   intake.rs    drain           fetch                  |          launch.rs, recall.rs, settle.rs
//!                  v               v                    |
//!   handler.rs   notes.rs       queue.rs ---> filling.rs: batches of a lease ---> a worker
//!                  |                                    |
//!                  +--> spill: too many, or durable     +--> record: the attempt, before it is made
//!
//!   rate.rs, caps.rs, width.rs, backoff.rs   how often, and how many at a time: of a handler, of a key
//!
//!   ledger.rs, groups.rs   what is outstanding, by partition and by group        rotation.rs   which partition is used, emptied
//! ```
//!
//! An attempt that was recorded and not made, because there was no worker after all, is not recorded again. If
//! the coordinator vanishes meanwhile, the log counts it; so after a crash an event may have one attempt more
//! than it has by its handler's definition, in a lease of its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a step looks for room before it takes things in")]

pub mod backlog;
pub mod backoff;
mod caps;
pub mod complaints;
mod filling;
mod groups;
pub mod handler;
pub mod host;
pub mod intake;
pub mod item;
pub mod lately;
mod launch;
mod ledger;
mod notes;
pub mod part;
mod places;
mod pull;
mod queue;
pub mod rate;
pub mod recall;
pub mod rotation;
mod settle;
pub mod spec;
pub mod stats;
mod width;

pub use host::{EventHost, EventStore};
pub use part::Events;

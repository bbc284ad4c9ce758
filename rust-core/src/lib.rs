//! Every decision of pg_aside, without PostgreSQL and without unsafe code.
//!
//! The world is reached through the traits in [`host`]; shared memory is plain atomics in
//! [`pool::area`]. So the same logic runs in a backend and, under `cargo test`, in a simulated
//! world where each step can be made to fail.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_macros))]

pub mod async_event;
pub mod caller;
pub mod chunk;
pub mod coordinator;
pub mod definition;
pub mod error;
pub mod host;
pub mod launcher;
pub mod lease;
pub mod memory;
pub mod pool;
pub mod report;
pub mod schedule;
pub mod settings;
pub mod task;
#[cfg(test)]
mod testing;
pub mod waiters;
pub mod wire;
pub mod worker;

//! Schedules: when a schedule fires, and what becomes of each due time. The code is pure. It reaches the clock, the zones
//! and the tables through traits.

mod begin;
pub mod book;
pub mod civil;
pub mod cron;
pub mod error;
pub mod explain;
pub mod firing;
pub mod host;
pub mod next;
pub mod part;
pub mod spec;
pub mod wait;
pub mod zone;

#[cfg(test)]
mod tests;

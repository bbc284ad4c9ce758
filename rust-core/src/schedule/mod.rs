//! Schedules: when they fire, and what becomes of what has fired. Pure: the clock, the zones and the tables are asked
//! through traits.

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
pub mod zone;

#[cfg(test)]
mod tests;

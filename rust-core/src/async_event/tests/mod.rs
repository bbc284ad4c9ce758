//! Tests of the coordinator in a simulated world: a clock, tables whose rows become visible when their
//! transactions commit, a log, and workers that take time, fail and die.

mod host;
pub mod sim;
mod workers;
pub mod world;

mod clock;
mod failures;
mod notifications;
mod order;
mod partitions;
mod places;
mod recall;
mod recovery;
mod schedules;
mod steps;

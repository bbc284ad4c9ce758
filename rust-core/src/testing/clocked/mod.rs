//! A world with a clock: a coordinator, tables whose rows become visible when their transactions commit, a log, and workers
//! that take time, fail and die. Nothing happens but what a test, or its seed, says.

mod host;
pub mod sim;
mod workers;
pub mod world;

mod clock;
mod failures;
mod groups;
mod interleavings;
mod limits;
mod notifications;
mod order;
mod partitions;
mod places;
mod process;
mod pull;
mod recall;
mod recovery;
mod steps;
mod verdicts;

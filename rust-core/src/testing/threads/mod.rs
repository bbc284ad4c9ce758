//! A world whose processes are threads: each has a latch, signals and a clock of its own, and the database is a list of commits.

mod caller;
mod language;
mod verbs;
mod worker;
mod world;

mod chunks;
mod commands;
mod coordinators;
mod crowd;
mod durability;
mod endings;
mod faults;
mod interleavings;
mod limits;
mod memory;
mod naps;
mod order;
mod parallel;
mod process;
mod session_faults;
mod sessions;
mod task_faults;
mod task_interleavings;
mod task_workers;
mod tasks;
mod vanished;

//! Tests of the core as a whole, in a simulated world: processes are threads, the database is a list
//! of commits, and each step of either side can be made to fail or to be its process's last.

mod caller;
mod language;
mod verbs;
mod worker;
mod world;

mod coordinators;
mod endings;
mod faults;
mod limits;
mod memory;
mod order;
mod schedules;
mod session_faults;
mod sessions;
mod task_faults;
mod task_schedules;
mod task_workers;
mod tasks;
mod vanished;

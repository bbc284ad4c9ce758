//! Whoever has workers run something: single calls, queries over chunks, sessions, tasks. A backend, or a worker that makes a nested call.

pub mod call;
pub mod leave;
pub mod parallel;
pub mod process;
pub mod session;
mod sessions;
pub mod task;
mod tasks;

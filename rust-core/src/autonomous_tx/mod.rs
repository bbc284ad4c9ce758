//! The caller's side of an autonomous transaction.
pub mod call;
mod ending;
pub mod event;
pub mod exchange;
pub mod session;
pub mod task;

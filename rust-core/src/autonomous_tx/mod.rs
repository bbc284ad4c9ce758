//! The caller's side of an autonomous transaction.
pub mod call;
pub(crate) mod ending;
pub mod exchange;
pub mod session;
pub mod task;
mod wait;

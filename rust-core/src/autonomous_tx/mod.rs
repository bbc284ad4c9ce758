//! The caller's side of an autonomous transaction.
pub mod call;
pub mod exchange;

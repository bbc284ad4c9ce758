//! Every function that C calls, and nothing else, by what it serves. Each is made by [`crate::export!`], where it is said
//! what its arguments are; what it returns on a panic stands beside its signature.

pub mod calls;
pub mod events;
pub mod pool;
pub mod pulls;
pub mod registry;
pub mod schedules;
pub mod sessions;
pub mod tasks;
pub mod worker;

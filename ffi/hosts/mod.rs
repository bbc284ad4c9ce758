//! The core's traits over the vtables that the shim fills: each member calls the shim's, and turns what crosses.

pub mod caller;
pub mod chunk;
pub mod event;
pub mod futex;
pub mod launcher;
pub mod processors;
pub mod schedule;
pub mod worker;
pub mod world;

//! Memory that is not Rust's own: the allocator under everything, and shared memory that the shim maps.

pub mod allocator;
pub mod pool;
pub mod registry;
pub mod tasks;

//! Leases of workers that go on while whoever has them does other things: what they are given to do, and what they say.

pub mod frames;
pub mod leases;
pub mod work;

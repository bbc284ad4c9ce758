//! Leases of workers: what a worker is given to do, what it says, and how the lease ends. [`exchange`] waits for the answer;
//! [`leases`] go on while whoever has them does other things.

pub mod ending;
pub mod exchange;
pub mod frames;
pub mod leases;
pub mod post;
pub mod wait;
pub mod work;

//! Chunks: long work on a table, cut into pieces that workers do one by one, each in a transaction of its own. The code is
//! pure. It reaches the tables and the workers through traits.

pub mod bisect;
pub mod book;
pub mod cut;
pub mod host;
mod job;
pub mod part;
pub mod size;
pub mod split;
#[cfg(test)]
mod tests;
pub mod throttle;

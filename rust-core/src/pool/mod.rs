//! Workers shared by callers: where they are written down, how one is borrowed, launched, retired.
pub mod area;
pub mod bell;
pub mod borrow;
pub mod deadlock;
pub mod gate;
pub mod pins;
pub mod place;
pub mod poll;
pub mod slot;
pub mod stats;
pub mod view;
pub mod waits;

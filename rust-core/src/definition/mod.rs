//! Definitions: what a role has defined to be run for it later. Before each run it is asked anew whether it may be,
//! and as whom: roles lose their rights, and hand on or give up what is theirs, without a word to the definitions.
//!
//! A schedule and a job are definitions with rows: runs, and chunks. [`part`] is what their parts of a coordinator share.

pub mod part;
#[cfg(test)]
pub(crate) mod world;

/// What becomes of a definition now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its owner has given it up: it is to be forgotten.
    Ended,
    /// Its owner may not act: what is to be run waits, and nothing is counted.
    Waits,
    /// It runs as this role.
    Acts { owner: u32, superuser: bool },
}

/// Those that wait are asked for again this often.
pub const LOOK_AGAIN_US: u64 = 1_000_000;

/// What [`part::Tables::record`] answers for an entry whose rows a transaction of somebody else has locked. The entry is not
/// written. No entry waits for such a transaction, which may stay open for as long as its owner likes.
pub const LOCKED: i64 = -1;

//! Definitions: what a role has defined to be run for it later. Before each run it is asked anew whether it may be,
//! and as whom: roles lose their rights, and hand on or give up what is theirs, without a word to the definitions.

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

//! How a coordinator has workers run something: leases, several at a time, of which nobody waits for one.

use crate::async_event::spec::{Batch, Spec};
use crate::host::{Arg, Bounds, Saved};
use crate::lease::work::LeaseUpdate;

/// What a worker is to do in one lease.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// These batches, each in a transaction of its own. Events that the log holds as ended are Done without being run.
    Batches { handler: &'a Spec, batches: &'a [Batch] },
    /// A command, as a client of its owner would send it: at top level, with the settings of a login. It may take so
    /// long, 0 is no limit; what traps the cancel at its timeout ends with its worker.
    Command { database: u32, owner: u32, superuser: bool, text: &'a [u8], timeout_ms: u32, keep: Bounds },
    /// A command for one chunk of a job, in one transaction with the record that it is done. The attempt is named as the
    /// shims of both sides know it.
    Chunk { owner: u32, superuser: bool, text: &'a [u8], bounds: &'a [Arg<'a>; 2], attempt: &'a [u8] },
}

pub trait Runner {
    /// Have a worker do this, as a lease of this number. False: no worker is to be had now. An error means that
    /// nothing was started.
    fn start(&self, lease: u64, work: &Work<'_>) -> Result<bool, Saved>;
    /// Is there a worker for one more lease of this owner? A look: when it is asked for there may be none all the same.
    fn room(&self, owner: u32, superuser: bool) -> Result<bool, Saved> {
        _ = (owner, superuser);
        Ok(true)
    }
    /// Take back what the worker of a lease has not begun, but for its first `keep` batches: so many have been or
    /// will be begun, and the others never will be. None: all of them, or the lease is over.
    fn recall(&self, lease: u64, keep: usize) -> Option<usize> {
        _ = (lease, keep);
        None
    }
    /// How many batches of a lease its worker has begun. None: the lease is over.
    fn begun(&self, lease: u64) -> Option<usize> {
        _ = lease;
        None
    }
    /// Give up what a lease runs: what has not begun never will, and what runs commits no more than the commit that is
    /// under way. False: that commit is its last, or the lease is over. How it ends is said in any case.
    fn cancel(&self, lease: u64) -> bool {
        _ = lease;
        false
    }
    /// Microseconds until workers are to be heard though nobody says anything.
    fn wait_us(&self) -> u64 {
        u64::MAX
    }
    /// What workers have said since the last call, of each lease in its order.
    fn heard(&self) -> Vec<(u64, LeaseUpdate)>;
}

/// The numbers of leases: in their highest byte is the part that each belongs to.
#[derive(Debug, Default)]
pub(super) struct Numbers(u64);

const PART_SHIFT: u32 = 56;

impl Numbers {
    /// One that no lease has had. It is used up when a lease has been started under it.
    pub fn next_of(&self, part: usize) -> u64 {
        (part as u64) << PART_SHIFT | (self.0 + 1)
    }

    pub fn use_up(&mut self) {
        self.0 += 1;
    }

    pub fn part_of(lease: u64) -> usize {
        (lease >> PART_SHIFT) as usize
    }
}

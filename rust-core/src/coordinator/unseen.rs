//! Which transactions' rows are new to one who looks into a table again and again.
//!
//! Whoever writes a row writes the number of his transaction into it: of the whole one, where he is in a subtransaction.
//! A look takes a snapshot, and sees the rows of the transactions that had committed by then. What that snapshot did not
//! see is for the next look: the transactions that were running then, prepared ones among them, and all that began
//! later. So each row is found by one look, in whatever order transactions commit; nothing is looked through twice,
//! however long some other transaction keeps old snapshots alive.

/// What a snapshot of the server says, in its numbers of 32 bits, and the number that the next transaction will have in
/// 64 bits, read after the snapshot was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub next: u64,
    /// From here on no transaction had begun.
    pub xmax: u32,
    /// These were running.
    pub running: Vec<u32>,
}

impl Snapshot {
    /// A number of 32 bits is of the epoch that the next transaction is in, or of the one before.
    fn widen(&self, xid: u32) -> u64 {
        let (epoch, next) = (self.next >> 32, self.next as u32);
        let epoch = if xid > next { epoch.saturating_sub(1) } else { epoch };
        epoch << 32 | u64::from(xid)
    }
}

/// The transactions that the last look did not see. Before the first look: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Those from here on,
    pub from: u64,
    /// and these before.
    pub running: Vec<u64>,
}

impl Unseen {
    /// What a look with this snapshot does not see.
    #[expect(clippy::disallowed_methods, reason = "as many as the snapshot has, for which there was room")]
    pub fn by(snapshot: &Snapshot) -> Self {
        let mut running: Vec<u64> = snapshot.running.iter().map(|xid| snapshot.widen(*xid)).collect();
        running.sort_unstable();
        Self { from: snapshot.widen(snapshot.xmax), running }
    }

    /// Rows of this transaction are new to the next look that sees them.
    pub fn has(&self, xid: u64) -> bool {
        xid >= self.from || self.running.binary_search(&xid).is_ok()
    }
}

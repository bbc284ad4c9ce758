//! A lease while it is filled: events become batches.

use super::item::{Item, Solo};
use super::spec::{Batch, BatchItems};

/// Batches that are looked at for room, from the last.
const LOOKED_AT: usize = 8;

pub(super) struct Filling {
    pub batches: Vec<Batch>,
    /// Whether others may join.
    open: Vec<bool>,
    batch_size: usize,
}

impl Filling {
    pub fn new(batch_size: usize) -> Self {
        Self { batches: Vec::new(), open: Vec::new(), batch_size }
    }

    /// An event joins a batch of its partition and attempt. Where order matters that is the last one, of its
    /// key; else any that has room.
    pub fn add(&mut self, id: i64, item: &Item, key: Option<u64>) {
        let attempt = item.attempts.saturating_add(1);
        let timeout_ms = Some(item.timeout_ms).filter(|ms| *ms > 0);
        let open = item.solo == Solo::No && self.batch_size > 1;
        let looked_at = if !open {
            0
        } else if key.is_some() {
            1
        } else {
            LOOKED_AT
        };
        for (batch, open) in self.batches.iter_mut().zip(&self.open).rev().take(looked_at) {
            if *open
                && batch.attempt == attempt
                && batch.key == key
                && batch.timeout_ms == timeout_ms
                && let BatchItems::Events { partition, tids, ids } = &mut batch.work
                && *partition == item.partition
                && ids.len() < self.batch_size
            {
                tids.push(item.tid);
                ids.push(id);
                return;
            }
        }
        let work = BatchItems::Events { partition: item.partition, tids: vec![item.tid], ids: vec![id] };
        self.batches.push(Batch { work, attempt, key, timeout_ms });
        self.open.push(open);
    }
}

//! Notifications of one handler that wait in memory, in the order in which they came.

use super::spec::{Batch, BatchItems, Notification};
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Notes {
    pub waiting: VecDeque<Notification>,
    /// Those that are to be recorded; that were recorded, and are to be fetched; that were fetched, and not tried.
    pub unspilled: usize,
    pub unfetched: bool,
    pub spilled: usize,
    /// Leases that run some.
    pub leases: u32,
}

impl Notes {
    /// Earlier ones were recorded and wait: to stay behind them, a new one is recorded too.
    pub fn overtaken(&self) -> bool {
        self.unspilled > 0 || self.unfetched || self.spilled > 0
    }

    pub fn take(&mut self, limit: usize) -> Vec<Batch> {
        let taken = self.waiting.drain(..limit.min(self.waiting.len()));
        taken.map(|note| Batch { work: BatchItems::Notifications(vec![note]), attempt: 1, key: None, timeout_ms: None }).collect()
    }

    /// These were not begun; they came before all that wait.
    pub fn give_back(&mut self, notes: Vec<Notification>) {
        notes.into_iter().rev().for_each(|note| self.waiting.push_front(note));
    }
}

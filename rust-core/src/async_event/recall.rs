//! What a worker was given and has not begun is taken back: of leases that last, so that nothing waits long behind a
//! slow event, of those whose handler or events are not what they were in a way that matters to them, and of all when the coordinator ends.

use super::handler::{CHUNK, Handler};
use super::host::EventHost;
use super::part::{Events, HandlerLease};
use super::spec::{Batch, BatchItems, LogEntry, Spec};
use std::collections::BTreeMap;

/// A lease has so much time for all of its events; what it has not begun by then is for whoever is free. Where each
/// commit is flushed, leases that are much shorter cost a good part of the throughput.
pub const RECALL_AFTER_US: u64 = 100_000;

/// When the rest of a lease is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// Then, but for the first batch: a worker that is long in coming has something to begin with.
    At(u64),
    /// At once, but for the first batch: however often that is said, something is done.
    Rest,
    Now,
    Never,
}

impl HandlerLease {
    pub fn new(handler: u32, notes: bool, batches: Vec<Batch>, now: u64) -> Self {
        let events = batches.iter().map(events_of).sum();
        let recall = if batches.len() > 1 { Recall::At(now + RECALL_AFTER_US) } else { Recall::Never };
        Self { handler, notes, batches: batches.into_iter().map(Some).collect(), begun: 0, events, since: now, recall }
    }

    /// Events of which nothing has been said.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        let ids = self.batches.iter().flatten().filter_map(|batch| match &batch.work {
            BatchItems::Events { ids, .. } => Some(ids.iter().copied()),
            BatchItems::Notifications(_) => None,
        });
        ids.flatten()
    }

    /// Nothing has been said of this event.
    pub fn has(&self, event: i64) -> bool {
        self.batches.iter().flatten().any(|batch| matches!(&batch.work, BatchItems::Events { ids, .. } if ids.contains(&event)))
    }

    /// Its handler has changed so.
    pub fn recall_as(&mut self, by: Option<Recall>) {
        match by {
            Some(Recall::Rest) if self.recall != Recall::Now => self.recall = Recall::Rest,
            Some(recall) => self.recall = recall,
            None => {}
        }
    }

    /// How many batches are to stay, if it is time.
    fn keeps(&self, mono: u64) -> Option<usize> {
        match self.recall {
            Recall::At(at) if at <= mono => Some(1),
            Recall::Rest => Some(1),
            Recall::Now => Some(0),
            Recall::At(_) | Recall::Never => None,
        }
    }

    /// Events of which something has been said.
    fn told(&self) -> usize {
        self.events - self.batches.iter().flatten().map(events_of).sum::<usize>()
    }
}

pub(super) fn events_of(batch: &Batch) -> usize {
    match &batch.work {
        BatchItems::Events { ids, .. } => ids.len(),
        BatchItems::Notifications(notes) => notes.len(),
    }
}

impl Spec {
    /// What becomes of leases that were given out when it was this. What function runs, as whom, and whether it is paused, a worker
    /// sees for itself before each batch.
    pub(super) fn recalls(&self, now: &Spec) -> Option<Recall> {
        let strict = |spec: &Spec| (spec.paused, spec.ordered);
        let loose = |spec: &Spec| (spec.timeout_ms, spec.batch_size, spec.rate_limit, spec.rate_period_us);
        if strict(self) != strict(now) { Some(Recall::Now) } else { (loose(self) != loose(now)).then_some(Recall::Rest) }
    }
}

impl Handler {
    /// From a lease that has ended: if it was quick, the next one may have more.
    pub fn grow_chunk(&mut self, lease: &HandlerLease, mono: u64) {
        let quick = mono.saturating_sub(lease.since) < RECALL_AFTER_US / 2;
        if quick && lease.events >= self.chunk && lease.told() == lease.events {
            self.chunk = (self.chunk * 2).min(CHUNK);
        }
    }
}

impl Events {
    /// Have these leases recalled by the next [`Events::recall`].
    pub(super) fn recall_of(&mut self, which: impl Fn(&HandlerLease) -> bool) {
        self.leases.values_mut().filter(|lease| which(lease)).for_each(|lease| lease.recall = Recall::Now);
    }

    pub(super) fn recall<H: EventHost>(&mut self, h: &H) {
        let mono = h.now_us();
        let due = self.leases.iter().filter_map(|(number, lease)| Some((*number, lease.keeps(mono)?)));
        let mut due: Vec<(u64, usize)> = due.collect();
        // Each gives back to the front of the queue: the one that was given the first comes last.
        due.sort_unstable_by(|a, b| b.cmp(a));
        for (number, keep) in due {
            let begun = h.recall(number, keep);
            let now = h.timestamp();
            let Some(lease) = self.leases.get_mut(&number) else { continue };
            let was = std::mem::replace(&mut lease.recall, Recall::Never);
            let Some(handler) = self.handlers.get_mut(&lease.handler) else { continue };
            if matches!(was, Recall::At(_)) {
                handler.chunk = lease.told().clamp(1, handler.chunk);
            }
            let rest = lease.batches.iter_mut().skip(begun.unwrap_or(usize::MAX)).filter_map(Option::take);
            let rest: Vec<Batch> = rest.collect();
            for batch in &rest {
                if let BatchItems::Events { ids, .. } = &batch.work {
                    self.recalled.extend(ids.iter().map(|id| (lease.handler, *id)));
                }
            }
            handler.take_back(rest, &mut self.ledger, now);
        }
    }

    /// What was taken back and has not been given to another lease: the log is not to have it as an attempt.
    pub(super) fn withdraw_recalled(&mut self) {
        let mut withdrawn: BTreeMap<(u32, u8, u32), Vec<i64>> = BTreeMap::new();
        for (handler, id) in self.recalled.drain(..) {
            let item = self.handlers.get_mut(&handler).and_then(|handler| handler.queue.get_mut(id));
            if let Some(item) = item.filter(|item| item.logged && !item.running()) {
                item.logged = false;
                withdrawn.entry((handler, item.partition, item.attempts.saturating_add(1))).or_default().push(id);
            }
        }
        let entries = withdrawn.into_iter();
        let entries = entries.map(|((handler, partition, attempt), events)| LogEntry::Withdrawn { handler, partition, events, attempt });
        self.ledger.pending.extend(entries);
    }

    /// Microseconds until a lease is to be recalled.
    pub(super) fn recall_wait(&self, mono: u64) -> u64 {
        let wait = |lease: &HandlerLease| match lease.recall {
            Recall::At(at) => at.saturating_sub(mono),
            Recall::Rest | Recall::Now => 0,
            Recall::Never => u64::MAX,
        };
        self.leases.values().map(wait).min().unwrap_or(u64::MAX)
    }
}

//! What is outstanding: pairs of an event and a handler for which it has not ended, by partition; entries
//! that are yet to be written; memory that notifications take.

use super::groups::Groups;
use super::spec::{LogEntry, PARTITIONS};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default)]
struct Event {
    pairs: u32,
    running: u32,
    moving: bool,
}

#[derive(Default)]
struct Partition {
    events: BTreeMap<i64, Event>,
    pairs: u64,
    moving: usize,
}

#[derive(Default)]
pub(super) struct Ledger {
    partitions: [Partition; PARTITIONS],
    /// To be recorded before anything else is.
    pub pending: Vec<LogEntry>,
    pub note_bytes: usize,
    /// Events that have ended for all, and whose waiters have not been told.
    pub ended: Vec<i64>,
    pub groups: Groups,
}

impl Ledger {
    fn partition(&mut self, partition: u8) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::from(partition))
    }

    pub fn find(&self, id: i64) -> Option<u8> {
        (0u8..).zip(&self.partitions).find(|(_, partition)| partition.events.contains_key(&id)).map(|(number, _)| number)
    }

    /// All that is outstanding, and where it lies.
    pub fn events(&self) -> Vec<(i64, u8)> {
        let of = |(number, partition): (u8, &Partition)| partition.events.keys().map(|id| (*id, number)).collect::<Vec<_>>();
        (0u8..).zip(&self.partitions).flat_map(of).collect()
    }

    /// How many events of a partition are outstanding.
    pub fn left(&self, partition: u8) -> usize {
        self.partitions.get(usize::from(partition)).map_or(0, |partition| partition.events.len())
    }

    pub fn len(&self) -> usize {
        self.partitions.iter().map(|partition| partition.events.len()).sum()
    }

    pub fn pairs(&self, partition: u8) -> u64 {
        self.partitions.get(usize::from(partition)).map_or(0, |partition| partition.pairs)
    }

    /// Nothing that a partition holds is needed any more.
    pub fn settled(&self, partition: u8) -> bool {
        self.partitions.get(usize::from(partition)).is_none_or(|partition| partition.events.is_empty())
    }

    pub fn open(&mut self, id: i64, partition: u8) {
        if let Some(partition) = self.partition(partition) {
            partition.events.entry(id).or_default().pairs += 1;
            partition.pairs += 1;
        }
    }

    /// Events of a handler that are dead, and not among the dead yet.
    pub fn unburied(&self, of: u32) -> u64 {
        let dead = |entry: &&LogEntry| matches!(entry, LogEntry::Dead { handler, .. } if *handler == of);
        self.pending.iter().filter(dead).count() as u64
    }

    fn event(&mut self, id: i64, partition: u8) -> Option<&mut Event> {
        self.partition(partition)?.events.get_mut(&id)
    }

    pub fn begin(&mut self, id: i64, partition: u8) {
        self.event(id, partition).into_iter().for_each(|event| event.running += 1);
    }

    pub fn pause(&mut self, id: i64, partition: u8) {
        self.event(id, partition).into_iter().for_each(|event| event.running = event.running.saturating_sub(1));
    }

    /// It has ended for one handler.
    pub fn end(&mut self, id: i64, partition: u8) {
        let group = self.groups.of(id);
        if self.forget(id, partition) {
            self.ended.push(id);
            self.groups.may_have_ended(group);
        }
    }

    /// One handler needs it no more; it is forgotten when none does: true.
    pub fn forget(&mut self, id: i64, partition: u8) -> bool {
        let Some(partition) = self.partition(partition) else { return false };
        let Some(event) = partition.events.get_mut(&id).filter(|event| event.pairs > 0) else { return false };
        event.pairs -= 1;
        let last = event.pairs == 0;
        if last && !event.moving {
            partition.events.remove(&id);
        }
        partition.pairs -= 1;
        if last {
            self.groups.forget(id);
        }
        last
    }

    /// Up to `limit` events that wait in a partition, the oldest; none while others are on their way out of it.
    pub fn movable(&self, partition: u8, limit: usize) -> Vec<i64> {
        let partition = self.partitions.get(usize::from(partition)).filter(|partition| partition.moving == 0);
        let events = partition.into_iter().flat_map(|partition| &partition.events);
        events.filter(|(_, event)| event.running == 0).map(|(id, _)| *id).take(limit).collect()
    }

    pub fn set_moving(&mut self, id: i64, partition: u8) {
        let Some(partition) = self.partition(partition) else { return };
        if let Some(event) = partition.events.get_mut(&id).filter(|event| !event.moving) {
            event.moving = true;
            partition.moving += 1;
        }
    }

    /// An event came again, from where it lies now.
    pub fn relocate(&mut self, id: i64, from: u8, to: u8) {
        let Some(partition) = self.partition(from) else { return };
        let Some(event) = partition.events.remove(&id) else { return };
        partition.pairs -= u64::from(event.pairs);
        partition.moving -= usize::from(event.moving);
        if event.pairs > 0
            && let Some(partition) = self.partition(to)
        {
            partition.events.insert(id, Event { moving: false, ..event });
            partition.pairs += u64::from(event.pairs);
        }
    }
}

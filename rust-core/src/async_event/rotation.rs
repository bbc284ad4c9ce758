//! Partitions take turns, so that tables are emptied as a whole and never vacuumed.

use super::host::EventHost;
use super::part::Events;
use super::spec::PARTITIONS;
use crate::host::Saved;

/// Between looks at the current partition's size, and attempts at what was refused.
pub const ROTATION_TICK_US: u64 = 1_000_000;

/// Events that are carried over by one call.
pub const CARRIED_AT_ONCE: usize = 1000;

#[derive(Clone, Copy, Debug, Default)]
struct Partition {
    /// Surely empty.
    clean: bool,
    /// Since when it has been the current one, or an old one; of this coordinator, and before it.
    since: u64,
    before: u64,
    /// Not to be emptied, or carried over, before.
    not_before: u64,
}

impl Partition {
    fn age(&self, mono: u64) -> u64 {
        mono.saturating_sub(self.since).saturating_add(self.before)
    }
}

#[derive(Debug)]
pub(super) struct Rotation {
    partitions: [Partition; PARTITIONS],
    current: usize,
    look_at: u64,
    /// Something has happened since the last look at the current one's size.
    stirred: bool,
    /// The size that it had then.
    bytes: u64,
    /// A change of partitions failed: which one is current is not known before it has succeeded.
    unsure: bool,
    /// The partition of that change.
    turning: usize,
    /// Events have been carried over, and there may be more.
    pub carrying: bool,
    pub max_bytes: u64,
    pub max_us: u64,
}

impl Rotation {
    pub fn new(current: u8) -> Self {
        Self {
            partitions: Default::default(),
            current: usize::from(current) % PARTITIONS,
            look_at: 0,
            stirred: true,
            bytes: 0,
            unsure: false,
            turning: 0,
            carrying: false,
            max_bytes: 256 << 20,
            max_us: 600_000_000,
        }
    }

    pub fn current(&self) -> u8 {
        self.current as u8
    }

    /// The first look: ages count from here, but for that of the current one, which is known.
    pub fn begin(&mut self, mono: u64, age: u64) {
        self.partitions.iter_mut().for_each(|partition| partition.since = mono);
        self.partitions[self.current].before = age;
    }

    /// Tables may have grown, or unique keys be free.
    pub fn stir(&mut self) {
        self.stirred = true;
    }

    pub fn set_limits(&mut self, max_bytes: u64, max_us: u64) {
        self.stirred |= (self.max_bytes, self.max_us) != (max_bytes, max_us);
        (self.max_bytes, self.max_us) = (max_bytes, max_us);
    }

    /// When the current one is old, if there is something in it.
    fn old_at(&self) -> u64 {
        let Partition { since, before, .. } = self.partitions[self.current];
        let at = since.saturating_add(self.max_us.saturating_add(1).saturating_sub(before));
        if self.bytes > 0 { at } else { u64::MAX }
    }

    /// When its size is to be looked at. As long as nothing happens that tells nothing new.
    fn tick_at(&self) -> u64 {
        if self.stirred { self.look_at } else { self.look_at.max(self.old_at()) }
    }

    /// In how long something is to be emptied, u64::MAX where there is nothing; None: something is to be done now.
    pub fn rests(&self, mono: u64) -> Option<u64> {
        let busy = self.unsure || self.carrying || self.old().any(|p| !self.partitions[p].clean);
        let left_us = if self.bytes > 0 { self.old_at().saturating_sub(mono) } else { u64::MAX };
        (!busy && left_us != 0).then_some(left_us)
    }

    /// How long the current partition has been that.
    pub fn age(&self, mono: u64) -> u64 {
        self.partitions[self.current].age(mono)
    }

    /// Something came from this partition.
    pub fn mark_dirty(&mut self, partition: u8) {
        self.partitions.get_mut(usize::from(partition)).into_iter().for_each(|partition| partition.clean = false);
    }

    fn old(&self) -> impl Iterator<Item = usize> + use<> {
        let current = self.current;
        (0..PARTITIONS).filter(move |partition| *partition != current)
    }
}

impl Events {
    /// Empty what can be emptied, use another partition if it is time, and take old events along. All that was
    /// to be recorded has been recorded.
    pub(super) fn rotate<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let mono = h.now_us();
        self.rotation.carrying = false;
        if self.backlog.partial {
            return Ok(());
        }
        let tick = mono >= self.rotation.tick_at();
        let mut again = false;
        if tick {
            self.rotation.look_at = mono + ROTATION_TICK_US;
            again = self.advance(h, mono)?;
        }
        if self.rotation.unsure {
            return Ok(());
        }
        for p in self.rotation.old() {
            self.empty(h, p, mono)?;
        }
        for p in self.rotation.old() {
            self.carry(h, p, mono)?;
        }
        if tick {
            h.compact_keys()?;
            self.rotation.stirred = again;
        }
        Ok(())
    }

    fn empty<H: EventHost>(&mut self, h: &H, p: usize, mono: u64) -> Result<(), Saved> {
        let partition = &mut self.rotation.partitions[p];
        if partition.clean || mono < partition.not_before || !self.ledger.settled(p as u8) {
            return Ok(());
        }
        partition.not_before = mono + ROTATION_TICK_US;
        if h.size(p as u8) == 0 || h.truncate(p as u8, &self.unseen)? {
            partition.clean = true;
        } else {
            // It may hold what has not been fetched.
            self.woken = true;
        }
        Ok(())
    }

    /// True: it is time, but there is no empty one.
    fn advance<H: EventHost>(&mut self, h: &H, mono: u64) -> Result<bool, Saved> {
        let rotation = &mut self.rotation;
        let after = |n: usize| (rotation.current + n) % PARTITIONS;
        let clean = (1..PARTITIONS).map(after).find(|p| rotation.partitions[*p].clean);
        // A change that is not known to have failed is made again as it was.
        let next = if rotation.unsure { Some(rotation.turning) } else { clean };
        let age = rotation.partitions[rotation.current].age(mono);
        let size = h.size(rotation.current as u8);
        rotation.bytes = size;
        let due = size > rotation.max_bytes || size > 0 && age > rotation.max_us;
        if let Some(next) = next.filter(|_| rotation.unsure || due) {
            (rotation.unsure, rotation.turning, rotation.stirred) = (true, next, true);
            h.rotate(next as u8)?;
            rotation.unsure = false;
            rotation.partitions[rotation.current] = Partition { since: mono, not_before: mono, ..Partition::default() };
            rotation.partitions[next] = Partition { since: mono, not_before: mono, ..Partition::default() };
            rotation.current = next;
            rotation.bytes = 0;
            return Ok(false);
        }
        Ok(due)
    }

    /// Few are taken along, so that their partition can be emptied. Many stay where they are, as long as another partition
    /// can take its turn, or will when it has been emptied; of those that are in the way, the one goes of which less is left.
    fn is_to_be_carried(&self, p: usize) -> bool {
        let left = |p: usize| (self.ledger.left(p as u8), p);
        let mut others = self.rotation.old().filter(|other| *other != p);
        let mut in_the_way = || others.all(|other| left(other).0 > 0 && left(p) < left(other));
        left(p).0 > 0 && (left(p).0 <= CARRIED_AT_ONCE || in_the_way())
    }

    fn carry<H: EventHost>(&mut self, h: &H, p: usize, mono: u64) -> Result<(), Saved> {
        let to_be_carried = self.is_to_be_carried(p);
        let partition = &mut self.rotation.partitions[p];
        let old = mono.saturating_sub(partition.since) > self.rotation.max_us;
        if !old || mono < partition.not_before || !to_be_carried {
            return Ok(());
        }
        partition.not_before = mono + ROTATION_TICK_US;
        let ids = self.ledger.movable(p as u8, CARRIED_AT_ONCE);
        if ids.is_empty() {
            return Ok(());
        }
        // Whether it succeeds or not: what has been moved is at its new place only.
        self.woken = true;
        let carried = h.carry_over(p as u8, &ids)?;
        if carried.is_empty() {
            return Ok(());
        }
        partition.not_before = mono;
        self.rotation.carrying = true;
        for id in carried {
            self.ledger.set_moving(id, p as u8);
            self.handlers.values_mut().for_each(|handler| handler.queue.hold(id));
        }
        Ok(())
    }

    /// Microseconds until something here is to be tried again.
    pub(super) fn rotation_wait(&self, mono: u64) -> u64 {
        if self.backlog.partial {
            return u64::MAX;
        }
        if self.rotation.carrying {
            return 0;
        }
        let tick = self.rotation.tick_at().saturating_sub(mono);
        if self.rotation.unsure {
            return tick;
        }
        let wait = |p: usize| {
            let partition = &self.rotation.partitions[p];
            let again = partition.not_before.saturating_sub(mono);
            match self.ledger.settled(p as u8) {
                true if partition.clean => u64::MAX,
                true => again,
                false if !self.is_to_be_carried(p) => u64::MAX,
                false => (partition.since + self.rotation.max_us + 1).saturating_sub(mono).max(again),
            }
        };
        self.rotation.old().map(wait).min().unwrap_or(u64::MAX).min(tick)
    }
}

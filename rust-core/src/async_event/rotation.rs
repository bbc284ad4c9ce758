//! Partitions take turns, so that tables are emptied as a whole and never vacuumed.

use super::coordinator::Coordinator;
use super::host::EventHost;
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
    /// Since when it has been the current one, or an old one.
    since: u64,
    /// Not to be emptied, or carried over, before.
    not_before: u64,
}

#[derive(Debug)]
pub(super) struct Rotation {
    partitions: [Partition; PARTITIONS],
    current: usize,
    look_at: u64,
    /// A change of partitions failed: which one is current is not known before it has succeeded.
    unsure: bool,
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
            unsure: false,
            carrying: false,
            max_bytes: 256 << 20,
            max_us: 600_000_000,
        }
    }

    pub fn current(&self) -> u8 {
        self.current as u8
    }

    /// The first look: ages count from here.
    pub fn begin(&mut self, mono: u64) {
        self.partitions.iter_mut().for_each(|partition| partition.since = mono);
    }

    /// Something came from this partition.
    pub fn soil(&mut self, partition: u8) {
        self.partitions.get_mut(usize::from(partition)).into_iter().for_each(|partition| partition.clean = false);
    }

    fn old(&self) -> impl Iterator<Item = usize> + use<> {
        let current = self.current;
        (0..PARTITIONS).filter(move |partition| *partition != current)
    }
}

impl Coordinator {
    /// Empty what can be emptied, use another partition if it is time, and take old events along. All that was
    /// to be recorded has been recorded.
    pub(super) fn rotate<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let mono = h.now_us();
        self.rotation.carrying = false;
        let tick = mono >= self.rotation.look_at;
        if tick {
            self.rotation.look_at = mono + ROTATION_TICK_US;
            self.advance(h, mono)?;
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
        if tick { h.compact_keys() } else { Ok(()) }
    }

    fn empty<H: EventHost>(&mut self, h: &H, p: usize, mono: u64) -> Result<(), Saved> {
        let partition = &mut self.rotation.partitions[p];
        if partition.clean || mono < partition.not_before || !self.ledger.settled(p as u8) {
            return Ok(());
        }
        partition.not_before = mono + ROTATION_TICK_US;
        if h.size(p as u8) == 0 || h.truncate(p as u8)? {
            partition.clean = true;
        } else {
            // It may hold what has not been fetched.
            self.woken = true;
        }
        Ok(())
    }

    fn advance<H: EventHost>(&mut self, h: &H, mono: u64) -> Result<(), Saved> {
        let rotation = &mut self.rotation;
        let next = (rotation.current + 1) % PARTITIONS;
        let age = mono.saturating_sub(rotation.partitions[rotation.current].since);
        let size = h.size(rotation.current as u8);
        let due = size > rotation.max_bytes || size > 0 && age > rotation.max_us;
        if rotation.unsure || due && rotation.partitions[next].clean {
            rotation.unsure = true;
            h.rotate(next as u8)?;
            rotation.unsure = false;
            rotation.partitions[rotation.current] = Partition { clean: false, since: mono, not_before: mono };
            rotation.partitions[next] = Partition { clean: false, since: mono, not_before: mono };
            rotation.current = next;
        }
        Ok(())
    }

    fn carry<H: EventHost>(&mut self, h: &H, p: usize, mono: u64) -> Result<(), Saved> {
        let partition = &mut self.rotation.partitions[p];
        let old = mono.saturating_sub(partition.since) > self.rotation.max_us;
        if !old || mono < partition.not_before || self.ledger.settled(p as u8) {
            return Ok(());
        }
        partition.not_before = mono + ROTATION_TICK_US;
        let ids = self.ledger.movable(p as u8, CARRIED_AT_ONCE);
        if ids.is_empty() {
            return Ok(());
        }
        // Whether it succeeds or not: what has been moved is at its new place only.
        self.woken = true;
        h.carry_over(p as u8, &ids)?;
        partition.not_before = mono;
        self.rotation.carrying = true;
        for id in ids {
            self.ledger.set_moving(id, p as u8);
            self.handlers.values_mut().for_each(|handler| handler.queue.hold(id));
        }
        Ok(())
    }

    /// Microseconds until something here is to be tried again.
    pub(super) fn rotation_wait(&self, mono: u64) -> u64 {
        if self.rotation.carrying {
            return 0;
        }
        if self.rotation.unsure {
            return self.rotation.look_at.saturating_sub(mono);
        }
        let wait = |p: usize| {
            let partition = &self.rotation.partitions[p];
            let again = partition.not_before.saturating_sub(mono);
            match self.ledger.settled(p as u8) {
                true if partition.clean => u64::MAX,
                true => again,
                false => (partition.since + self.rotation.max_us + 1).saturating_sub(mono).max(again),
            }
        };
        self.rotation.old().map(wait).min().unwrap_or(u64::MAX)
    }
}

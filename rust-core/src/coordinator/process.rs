//! The life of a coordinator's process. The process itself sleeps as long as it is told to, and ends when it is told to;
//! each time that it wakes it calls [`Process::turn`].
//!
//! ```text
//!   begin: does a process of the reserve take over?  wait until nothing runs that an earlier coordinator began
//!     |
//!     v
//!   turn, turn, turn ...  told to leave, or to end --> close in good order
//!                         nothing to do            --> idle, until somebody has something
//!                         no extension             --> absent
//! ```

use super::health::Health;
use super::host::{Host, Line, Lost};
use super::{Coordinator, Database};
use crate::launcher::cedes;
use crate::launcher::registry::{CoordinatorState, DatabaseEntry, Registry};
use crate::launcher::tallies::Teller;

/// What is not told is found this long after something was, or while workers run something.
const POLL_US: u64 = 1_000_000;

/// Between looks for what an earlier coordinator began.
const ORPHANS_US: u64 = 10_000;

/// A turn that begins this soon after the last one takes a breath first: when there is always something, turns that take
/// in several things at a time leave more to those who work.
const BUSY_US: u64 = 100;
const BREATH_US: u64 = 200;
const LONG_BREATH_US: u64 = 1_000;

/// What the process does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Sleep so many microseconds, or until its latch is set.
    Sleep(u64),
    End,
}

pub struct Process {
    coordinator: Coordinator,
    /// Its place in the registry.
    entry: usize,
    /// It may be one for which a process of the reserve takes over.
    asks_reserve: bool,
    /// It has begun.
    runs: bool,
    /// When the last turn ended.
    turned: Option<u64>,
    /// Of what the server has for this process.
    hearing: Health,
    teller: Teller,
}

impl Process {
    /// New events go to `partition`. One that is not needed will leave at once.
    pub fn new(registry: &Registry, entry: u32, partition: u8, needed: bool, now: i64) -> Self {
        let entry = entry as usize;
        let mut coordinator = Coordinator::new(partition);
        coordinator.events.set_poll(POLL_US);
        let since = registry.entries.get(entry).and_then(DatabaseEntry::take_partition_since);
        coordinator.events.set_age(since.map_or(0, |since| now.saturating_sub(since).max(0) as u64));
        Self { coordinator, entry, asks_reserve: needed, runs: false, turned: None, hearing: Health::default(), teller: Teller::default() }
    }

    /// Use the next partition of events when this one has more bytes than that, or is older.
    pub fn set_rotation(&mut self, max_bytes: u64, max_us: u64) {
        self.coordinator.events.set_rotation(max_bytes, max_us);
    }

    /// `ends`: the process was told to end.
    pub fn turn<H: Database>(&mut self, h: &H, registry: &Registry, ends: bool) -> Next {
        let Some(entry) = registry.entries.get(self.entry) else { return Next::End };
        let leaves = entry.leaves(h.timestamp());
        if ends || leaves {
            self.close(h);
            if leaves && !ends {
                entry.enter(CoordinatorState::Failed, h.timestamp());
            }
            return Next::End;
        }
        if let Some(next) = self.begin(h, registry, entry) {
            return next;
        }
        self.breathe(h);
        let hears = self.hear(h);
        let pause = self.coordinator.turn.pause(h.now_us());
        if pause > 0 {
            return Next::Sleep(pause);
        }
        // A process that finds its bit set already sets no latch. So news does not cut a pause short.
        if !self.coordinator.turn.pauses(h.now_us()) {
            self.coordinator.tell(entry.hear());
        }
        let taken = self.coordinator.take_turn(h);
        if let Some(well) = self.coordinator.turn.fared() {
            entry.fared(well, h.timestamp());
        }
        self.teller.tell(&registry.tallies, entry.database(), &self.coordinator.events.counts(h.timestamp()), h.now_us());
        entry.seen.set(self.coordinator.events.unseen());
        self.turned = Some(h.now_us());
        match taken {
            Err(lost) => {
                entry.enter(if lost == Lost::Gone { CoordinatorState::Absent } else { CoordinatorState::Failed }, h.timestamp());
                Next::End
            }
            Ok(wait) => self.rest(h, entry).unwrap_or(Next::Sleep(wait.min(hears))),
        }
    }

    /// The turn broke off, with the error that is kept.
    pub fn broke_off<H: Host>(&mut self, h: &H, registry: &Registry) -> Next {
        registry.entries.get(self.entry).into_iter().for_each(|entry| entry.fared(false, h.timestamp()));
        Next::Sleep(self.coordinator.turn.broke_off(h))
    }

    /// What an earlier coordinator had begun may still commit: its events are given to nobody else before it is known
    /// whether it did. None: it has begun.
    fn begin<H: Database>(&mut self, h: &H, registry: &Registry, entry: &DatabaseEntry) -> Option<Next> {
        if std::mem::take(&mut self.asks_reserve) && cedes(registry, entry, h.timestamp()) {
            return Some(Next::End);
        }
        if !self.runs && h.orphans() {
            return Some(Next::Sleep(ORPHANS_US));
        }
        if !self.runs {
            self.runs = true;
            entry.enter(CoordinatorState::Running, h.timestamp());
        }
        None
    }

    /// What workers run for it ends with it, and will not have been an attempt. Whether that could be written down or not,
    /// it ends.
    fn close<H: Database>(&mut self, h: &H) {
        if self.runs {
            h.hurry();
            _ = self.coordinator.close(h);
        }
    }

    fn breathe<H: Database>(&mut self, h: &H) {
        if self.turned.is_some_and(|turned| h.now_us().saturating_sub(turned) < BUSY_US) {
            h.breathe(if self.coordinator.looked_in_vain(h) { LONG_BREATH_US } else { BREATH_US });
        }
    }

    /// Also while parts pause, so that what is heard is out of the server's way. Microseconds until it is tried again.
    fn hear<H: Database>(&mut self, h: &H) -> u64 {
        let now = h.now_us();
        if self.hearing.pause(now) > 0 {
            return self.hearing.pause(now);
        }
        match h.hear() {
            Ok(()) => {
                if self.hearing.worked(now) {
                    h.log("events", Line::WorksAgain);
                }
                u64::MAX
            }
            Err(_) => {
                if self.hearing.failed(now, h.error()) {
                    h.log("events", Line::Fails);
                }
                self.hearing.pause(now)
            }
        }
    }

    fn rest<H: Database>(&mut self, h: &H, entry: &DatabaseEntry) -> Option<Next> {
        let left_us = self.coordinator.rests(h)?;
        entry.becomes_idle(self.coordinator.events.age_us(h.now_us()), left_us, h.timestamp());
        Some(Next::End)
    }
}

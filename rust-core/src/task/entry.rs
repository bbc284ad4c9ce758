//! One task's entry in shared memory: its words, and the few compare-and-swaps all else is made of.

use super::TaskState;
use super::text::{Progress, TRIES, Text};
use crate::pool::slot::{Key, Lease};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::*, fence};

// The hold: the id's low 44 bits, then marks, then the number of pins. Zero when it is closed.
const TAG: u32 = 20;
const OPEN: u64 = 1 << 19;
/// To be freed at the last unpin.
pub(super) const DOOMED: u64 = 1 << 18;
/// To be freed when it has ended.
pub(super) const DETACHED: u64 = 1 << 17;
pub(super) const READ: u64 = 1 << 16;
/// The payload is in a file.
pub(super) const DISK: u64 = 1 << 15;
pub(super) const CANCEL: u64 = 1 << 14;
pub(super) const PINS: u64 = CANCEL - 1;

/// On a lease that somebody is ending or giving back: nobody else may.
const SEIZED: u64 = 1 << 63;

fn pack(lease: Lease) -> u64 {
    (lease.generation << 24 | (u64::from(lease.slot) + 1) & 0xff_ffff) & !SEIZED
}

/// All of it is atomic, and all zeroes is a free entry.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct TaskEntry {
    /// Id and state.
    word: AtomicU64,
    hold: AtomicU64,
    /// The lease in which it runs; set before it is Running, so that a Running task always has one.
    lease: AtomicU64,
    /// Length and first page, plus one, of what is in memory.
    pub(super) payload: AtomicU64,
    /// Raised each time that the payload changes.
    pub(super) edition: AtomicU64,
    pub(super) disk_length: AtomicU64,
    pub(super) finished: AtomicI64,
    pub(super) submitted: AtomicI64,

    pub(super) started: AtomicI64,
    pub(super) rows: AtomicU64,
    /// Bytes of its result, in memory or not; counted before they are written.
    pub(super) kept: AtomicU64,
    pub(super) sqlstate: AtomicU32,
    pub(super) owner: AtomicU32,
    database: AtomicU32,
    user: AtomicU32,
    superuser: AtomicU32,
    pub(super) submitter: AtomicU32,
    /// What bounds its submitter's tasks, as it was then.
    pub(super) per_role: AtomicU32,
    /// Preferred slot, plus one.
    pub(super) prefer_slot: AtomicU32,
    pub(super) prefer_pid: AtomicU32,
    pub(super) per_session: AtomicU32,

    pub(super) command: Text<64>,
    pub(super) label: Text<8>,
    pub(super) message: Text<32>,
    pub(super) progress: Progress,
}

fn word(id: u64, state: TaskState) -> u64 {
    id << 8 | state as u64
}

impl TaskEntry {
    /// Id and state.
    pub(super) fn at(&self) -> (u64, TaskState) {
        let word = self.word.load(SeqCst);
        (word >> 8, TaskState::from_number(word as u8))
    }

    /// From one state to another as this task. What is written next is not seen before the new state.
    pub(super) fn change(&self, id: u64, from: TaskState, to: TaskState) -> bool {
        self.replace((id, from), (id, to))
    }

    /// The same, where the entry may become that of another task.
    pub(super) fn replace(&self, from: (u64, TaskState), to: (u64, TaskState)) -> bool {
        let done = self.word.compare_exchange(word(from.0, from.1), word(to.0, to.1), SeqCst, Relaxed).is_ok();
        fence(Release);
        done
    }

    /// What reads while the task is the same and in the same state; None if it changes all the time.
    pub(super) fn steady<T>(&self, read: impl Fn(u64, TaskState) -> T) -> Option<T> {
        for _ in 0..TRIES {
            let before = self.at();
            let found = read(before.0, before.1);
            fence(Acquire);
            if self.at() == before {
                return Some(found);
            }
        }
        None
    }

    pub(super) fn key(&self) -> Key {
        Key { database: self.database.load(Relaxed), user: self.user.load(Relaxed), superuser: self.superuser.load(Relaxed) != 0 }
    }

    pub(super) fn set_key(&self, key: Key) {
        self.database.store(key.database, Relaxed);
        self.user.store(key.user, Relaxed);
        self.superuser.store(u32::from(key.superuser), Relaxed);
    }

    /// From now on the task can be held, and a dead submitter's be told from that of an earlier task.
    pub(super) fn open(&self, id: u64) {
        self.lease.store(0, SeqCst);
        self.hold.store(id << TAG | OPEN, SeqCst);
    }

    fn is(hold: u64, id: u64) -> bool {
        hold & OPEN != 0 && hold >> TAG == id & (u64::MAX >> TAG)
    }

    /// Pins and marks of this task; None once it is gone.
    pub(super) fn held(&self, id: u64) -> Option<u64> {
        let hold = self.hold.load(SeqCst);
        Self::is(hold, id).then_some(hold)
    }

    /// Change the hold of this task; what it was before.
    fn rehold(&self, id: u64, change: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        self.hold.fetch_update(SeqCst, SeqCst, |hold| if Self::is(hold, id) { change(hold) } else { None }).ok()
    }

    /// Set a mark; what was there before, if the task is.
    pub(super) fn mark(&self, id: u64, mark: u64) -> Option<u64> {
        self.rehold(id, |hold| Some(hold | mark))
    }

    pub(super) fn unmark(&self, id: u64, mark: u64) -> Option<u64> {
        self.rehold(id, |hold| Some(hold & !mark))
    }

    pub(super) fn pin(&self, id: u64) -> bool {
        self.rehold(id, |hold| (hold & DOOMED == 0 && hold & PINS < PINS).then(|| hold + 1)).is_some()
    }

    /// The hold before; where it was the last one of a doomed task, it is closed and the entry ours to free.
    pub(super) fn unpin(&self, id: u64) -> Option<u64> {
        let last = |hold| if hold & (DOOMED | PINS) == DOOMED | 1 { 0 } else { hold - 1 };
        self.rehold(id, |hold| (hold & PINS > 0).then(|| last(hold)))
    }

    /// Close it, or have the last unpin do so; the hold before: with no pins on it the entry is ours to free.
    pub(super) fn doom(&self, id: u64) -> Option<u64> {
        self.rehold(id, |hold| Some(if hold & PINS == 0 { 0 } else { hold | DOOMED }))
    }

    /// Close it unless it is pinned; the entry is ours to free.
    pub(super) fn close(&self, id: u64) -> Option<u64> {
        self.rehold(id, |hold| (hold & PINS == 0).then_some(0))
    }

    pub(super) fn leased(&self) -> bool {
        self.lease.load(SeqCst) != 0
    }

    pub(super) fn leased_by(&self, lease: Lease) -> bool {
        self.lease.load(SeqCst) == pack(lease)
    }

    /// The lease; None while there is none, or somebody is giving it back.
    pub(super) fn lease(&self) -> Option<Lease> {
        let lease = self.lease.load(SeqCst);
        (lease != 0 && lease & SEIZED == 0).then(|| Lease { slot: (lease & 0xff_ffff) as u32 - 1, generation: lease >> 24 })
    }

    fn swap_lease(&self, from: u64, to: u64) -> bool {
        self.lease.compare_exchange(from, to, SeqCst, Relaxed).is_ok()
    }

    /// Queued to Running in this lease. The lease is claimed first: of two takers one gets it.
    pub(super) fn take(&self, id: u64, lease: Lease) -> bool {
        if self.at() != (id, TaskState::Queued) || !self.swap_lease(0, pack(lease)) {
            return false;
        }
        let taken = self.change(id, TaskState::Queued, TaskState::Running);
        if !taken {
            self.swap_lease(pack(lease), 0);
        }
        taken
    }

    /// Running to another state, by that lease alone: an older one of the same task has no effect.
    pub(super) fn leave(&self, id: u64, lease: Lease, to: TaskState) -> bool {
        if !self.swap_lease(pack(lease), pack(lease) | SEIZED) {
            return false;
        }
        let left = self.change(id, TaskState::Running, to);
        self.swap_lease(pack(lease) | SEIZED, if left { 0 } else { pack(lease) });
        left
    }
}

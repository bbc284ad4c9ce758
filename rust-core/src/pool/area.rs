//! A pool's shared memory: one header, the slots, and the rings' words, in that order.
//!
//! The layout is the same in the server's fixed shared memory (module preloaded, one pool for all)
//! and in a segment of a session's own (not preloaded, workers private to the session).

use super::slot::{Slot, SlotState};
use super::stats::{Counters, KINDS};
use crate::wire::ring::Ring;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// Bytes of the ring that carries requests; longer ones pass in pieces.
pub const REQUEST_BYTES: usize = 16 * 1024;

/// A coordinator of events that finds no worker looks again sooner than that.
const COORDINATOR_WAITS_MS: u32 = 150;

/// A coordinator that wants one worker more, in a word: milliseconds of the clock that processes share, how many
/// it has (8 bits), and its pid (24 bits: Linux has 22).
struct WaitingCoordinator(u64);

impl WaitingCoordinator {
    fn new(pid: u32, have: usize, now_us: u64) -> Self {
        Self((now_us / 1000) << 32 | (have.min(255) as u64) << 24 | u64::from(pid) & 0xff_ffff)
    }

    fn pid(&self) -> u64 {
        self.0 & 0xff_ffff
    }

    fn have(&self) -> u64 {
        self.0 >> 24 & 0xff
    }

    fn is_recent(&self, now_us: u64) -> bool {
        let passed = ((now_us / 1000) as u32).wrapping_sub((self.0 >> 32) as u32) as i32;
        self.0 != 0 && passed.unsigned_abs() < COORDINATOR_WAITS_MS
    }
}

#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Header {
    pub abi_version: AtomicU32,
    pub slots: AtomicU32,
    pub reply_words: AtomicU64,
    /// Key of the settings hash.
    pub hash_key: [AtomicU64; 2],
    /// Leases that run something.
    pub busy: AtomicU32,
    /// Callers that wait for a slot.
    pub waiters: AtomicU32,
    /// The session that owns this pool has ended: its workers are to leave.
    pub closing: AtomicU32,
    /// Tasks wait for a worker: who gives one back wakes it, to look for them.
    pub tasks_wait: AtomicU32,
    /// Who they are, as far as there is room.
    pub waiting: [AtomicU32; 32],
    /// Who waits for a buffer that a process of the pool has pinned (high), and that process; see `pins.rs`.
    pub pins: [AtomicU64; 32],
    /// The coordinator of events that found no worker, how many it had, and when: see `WaitingCoordinator`.
    pub coordinator_waits: AtomicU64,
    pub stats: [Counters; KINDS],
}

/// A view of the whole.
#[derive(Clone, Copy, Debug)]
pub struct Area<'a> {
    pub header: &'a Header,
    pub slots: &'a [Slot],
    pub words: &'a [AtomicU64],
}

/// Words of a reply ring for a wanted number of bytes.
pub fn reply_words(queue_bytes: usize) -> usize {
    (queue_bytes / 8).max(512).next_power_of_two()
}

/// Words of both rings of one slot.
pub fn words_per_slot(reply_words: usize) -> usize {
    REQUEST_BYTES / 8 + reply_words
}

impl<'a> Area<'a> {
    pub fn slot(&self, index: u32) -> Option<&'a Slot> {
        self.slots.get(index as usize)
    }

    fn rings(&self, index: usize) -> (&'a [AtomicU64], &'a [AtomicU64]) {
        let reply = self.header.reply_words.load(Relaxed) as usize;
        let per_slot = words_per_slot(reply);
        let words = &self.words[index * per_slot..(index + 1) * per_slot];
        words.split_at(REQUEST_BYTES / 8)
    }

    /// Caller to worker.
    pub fn request_ring(&self, index: u32) -> Ring<'a> {
        let slot = &self.slots[index as usize];
        Ring { ends: &slot.request, words: self.rings(index as usize).0 }
    }

    /// Worker to caller.
    pub fn reply_ring(&self, index: u32) -> Ring<'a> {
        let slot = &self.slots[index as usize];
        Ring { ends: &slot.reply, words: self.rings(index as usize).1 }
    }

    /// Pass over what an earlier lease left on the rings. Only for the claimant, before the worker knows
    /// of the lease: by its launch or by the posted request.
    pub fn clear_rings(&self, index: u32) {
        self.request_ring(index).rewind();
        self.reply_ring(index).skip();
    }

    pub fn hash_key(&self) -> [u64; 2] {
        [self.header.hash_key[0].load(Relaxed), self.header.hash_key[1].load(Relaxed)]
    }

    pub fn busy(&self) -> u32 {
        self.header.busy.load(Relaxed)
    }

    /// A lease ends: the slot is idle, or free where its worker has died. True if that was us to say.
    pub fn release(&self, slot: &Slot, generation: u64) -> bool {
        let done = slot.change(generation, SlotState::Busy, SlotState::Idle);
        if done {
            self.header.busy.fetch_sub(1, Relaxed);
        }
        done || self.release_dead(slot, generation)
    }

    /// The lease of a worker that has died is over. True if that was us to say.
    pub fn release_dead(&self, slot: &Slot, generation: u64) -> bool {
        let done = slot.change(generation, SlotState::Dead, SlotState::Free);
        if done {
            self.header.busy.fetch_sub(1, Relaxed);
        }
        done
    }

    /// A session's command has been answered; the session keeps its worker. True if that was us to say.
    pub fn hold(&self, slot: &Slot, generation: u64) -> bool {
        let done = slot.change(generation, SlotState::Busy, SlotState::Held);
        if done {
            self.header.busy.fetch_sub(1, Relaxed);
        }
        done
    }

    /// A task has ended, or did not begin: its worker is idle, or its slot free.
    pub fn untask(&self, slot: &Slot, generation: u64, to: SlotState) -> bool {
        let done = slot.change(generation, SlotState::Tasked, to);
        if done {
            self.header.busy.fetch_sub(1, Relaxed);
        }
        done
    }

    /// A claimed slot whose worker never came: free again.
    pub fn give_back(&self, slot: &Slot, generation: u64) -> bool {
        let done = slot.change(generation, SlotState::Busy, SlotState::Free);
        if done {
            self.header.busy.fetch_sub(1, Relaxed);
        }
        done
    }

    /// Ask the idle workers of a database (0: of all) to leave; how many have not gone yet. A worker that nobody works with
    /// any more becomes idle in a moment, and so does one that starts: whoever asks again then asks that worker, too.
    pub fn retire(&self, database: u32, mut wake: impl FnMut(&Slot)) -> u32 {
        let mut left = 0;
        for slot in self.slots.iter().filter(|s| database == 0 || s.key().database == database) {
            let (state, generation) = slot.state();
            if state == SlotState::Idle && slot.change(generation, SlotState::Idle, SlotState::Retiring) {
                wake(slot);
            }
            let (state, generation) = slot.state();
            let leaves_soon = state == SlotState::Busy && slot.abandoned(generation);
            left += u32::from(leaves_soon || matches!(state, SlotState::Starting | SlotState::Idle | SlotState::Retiring));
        }
        left
    }

    /// Slots that have a worker, or are to have one.
    pub fn workers(&self) -> usize {
        self.slots.iter().filter(|slot| slot.state().0 != SlotState::Free).count()
    }

    /// Leases in a database whose callers have gone, and which have not ended yet.
    pub fn orphans(&self, database: u32) -> usize {
        let orphaned = |slot: &&Slot| {
            let (state, generation) = slot.state();
            state == SlotState::Busy && slot.abandoned(generation) && slot.key().database == database
        };
        self.slots.iter().filter(orphaned).count()
    }

    /// Workers that are in use in a database and of a user, 0 being any: what a connection limit counts of ours.
    pub fn in_use(&self, database: u32, user: u32) -> usize {
        let counts = |slot: &&Slot| {
            let key = slot.key();
            matches!(slot.state().0, SlotState::Busy | SlotState::Held | SlotState::Tasked)
                && (database == 0 || key.database == database)
                && (user == 0 || key.user == user)
        };
        self.slots.iter().filter(counts).count()
    }

    /// One more process waits for a slot.
    pub fn enlist(&self, pid: u32) {
        self.header.waiters.fetch_add(1, SeqCst);
        _ = self.header.waiting.iter().any(|place| place.compare_exchange(0, pid, SeqCst, Relaxed).is_ok());
    }

    pub fn delist(&self, pid: u32) {
        _ = self.header.waiting.iter().any(|place| place.compare_exchange(pid, 0, SeqCst, Relaxed).is_ok());
        self.header.waiters.fetch_sub(1, SeqCst);
    }

    pub fn waits_for_slot(&self, pid: u32) -> bool {
        self.header.waiting.iter().any(|place| place.load(SeqCst) == pid)
    }

    /// Tasks wait for a worker, or do no more. Said before the slots are looked at, so that what is given back
    /// later is not missed.
    pub fn let_tasks_wait(&self, some: bool) {
        self.header.tasks_wait.store(u32::from(some), SeqCst);
    }

    pub fn tasks_wait(&self) -> bool {
        self.header.tasks_wait.load(SeqCst) != 0
    }

    /// A coordinator of events that has so many workers has found no other. It says so each time, and is
    /// forgotten if it does not. Who has fewer is heard.
    pub fn coordinator_waits(&self, pid: u32, have: usize, now: u64) {
        let want = WaitingCoordinator::new(pid, have, now);
        let last = WaitingCoordinator(self.header.coordinator_waits.load(Relaxed));
        if !last.is_recent(now) || last.pid() == want.pid() || want.have() < last.have() {
            self.header.coordinator_waits.store(want.0, Relaxed);
        }
    }

    /// It has found one.
    pub fn coordinator_waits_no_more(&self, pid: u32) {
        let last = self.header.coordinator_waits.load(Relaxed);
        if WaitingCoordinator(last).pid() == u64::from(pid) & 0xff_ffff {
            _ = self.header.coordinator_waits.compare_exchange(last, 0, Relaxed, Relaxed);
        }
    }

    /// Has another coordinator than this one, which has fewer workers, found no other lately?
    pub fn poorer_coordinator_waits(&self, pid: u32, have: usize, now: u64) -> bool {
        let want = WaitingCoordinator(self.header.coordinator_waits.load(Relaxed));
        want.pid() != u64::from(pid) & 0xff_ffff && want.is_recent(now) && want.have() < have as u64
    }

    /// Does anybody wait for a slot?
    pub fn waiters(&self) -> u32 {
        self.header.waiters.load(SeqCst)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A pool in ordinary memory, leaked so that tests may treat it as shared memory.
    pub(crate) fn leak(slots: usize, queue_bytes: usize) -> Area<'static> {
        let reply = reply_words(queue_bytes);
        let header = Header::default();
        header.slots.store(slots as u32, Relaxed);
        header.reply_words.store(reply as u64, Relaxed);
        Area {
            header: Box::leak(Box::new(header)),
            slots: Box::leak((0..slots).map(|_| Slot::default()).collect::<Vec<_>>().into_boxed_slice()),
            words: Box::leak((0..slots * words_per_slot(reply)).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().into_boxed_slice()),
        }
    }

    #[test]
    fn who_has_a_database_left_waits_for_workers_that_start_and_for_those_whose_caller_has_gone() {
        let area = leak(3, 4096);
        let key = crate::pool::slot::Key { database: 5, user: 10, superuser: false };
        let left = || area.retire(5, |_| ());
        let [starting, busy, elsewhere] = area.slots else { panic!() };
        assert_eq!(left(), 0);
        starting.claim_for_prewarming(0, key, 1).unwrap();
        assert_eq!(left(), 1, "it will be idle");
        let generation = busy.claim(SlotState::Free, 0, (100, 1)).unwrap();
        busy.set_key(key);
        assert_eq!(left(), 1, "somebody works with it");
        busy.abandon(generation);
        assert_eq!(left(), 2, "nobody does any more");
        elsewhere.claim_for_prewarming(0, crate::pool::slot::Key { database: 6, ..key }, 1).unwrap();
        assert_eq!(left(), 2);
    }

    #[test]
    fn rings_of_different_slots_do_not_overlap() {
        let area = leak(3, 4096);
        for i in 0..3 {
            area.request_ring(i).writer().push(&[i as u8 + 1; 8]);
            area.reply_ring(i).writer().push(&[i as u8 + 101; 8]);
        }
        let nonzero = area.words.iter().filter(|w| w.load(Relaxed) != 0).count();
        assert_eq!(nonzero, 6);
    }
}

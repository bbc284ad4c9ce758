//! One worker's place in shared memory, and the words on which caller and worker agree.
//!
//! ```text
//!            claim+launch                    release (caller, or worker for a dead caller)
//!   Free ------------------> Busy(gen) <----------------------------------+
//!    |  prewarm                | ^                                        |
//!    +---------> Starting --+  | | claim (any caller of the key)          |
//!    ^                      |  | +------------------- Idle <--------------+
//!    |  worker gone         |  v                     ^  |
//!    +---- Dead <-----------|--+                     |  | retire
//!    +----------------------+------------------------+  v
//!    +--------------------------------------------- Retiring
//! ```
//! The lease of a session goes on between its commands: `Busy(gen) -> Held(gen)` when one is answered,
//! `Held(gen) -> Busy(gen+1)` for the next; the worker makes it `Idle` when the owner has gone.
//!
//! A task takes `Idle` or `Free` to `Tasked`; the worker itself makes it `Idle` again when the task has ended.
//!
//! Each claim raises the generation, which is part of every word below: what an old lease says
//! about a slot finds another generation there and has no effect.
//!
//! The gate decides each commit: `gate.rs`.
//!
//! A lease of batches of events has one word more: how many the worker may begin, and how many it has. The worker
//! counts up the second before it begins one, the coordinator takes back the first.

use super::bell::Bell;
use super::gate::Gate;
use super::place::Place;
use crate::host::World;
use crate::wire::ring::Ends;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::*};

/// Who may use a worker: it is authenticated as this user in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub database: u32,
    pub user: u32,
    /// The user was a superuser when it was authenticated, which is what the server goes by.
    pub superuser: bool,
}

/// States of a slot; the numbers appear in `aside_worker_row`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotState {
    Free = 0,
    Starting = 1,
    Idle = 2,
    Busy = 3,
    Retiring = 4,
    Dead = 5,
    /// Kept by a session that runs nothing now.
    Held = 6,
    /// Runs a task, for nobody who waits.
    Tasked = 7,
}

impl SlotState {
    /// All of them, each at its number.
    pub const ALL: [Self; 8] = [Self::Free, Self::Starting, Self::Idle, Self::Busy, Self::Retiring, Self::Dead, Self::Held, Self::Tasked];

    pub fn from_number(n: u8) -> Self {
        Self::ALL.get(usize::from(n)).copied().unwrap_or(Self::Free)
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ended {
    Well = 1,
    Badly = 2,
}

fn word(generation: u64, low: u8) -> u64 {
    generation << 8 | u64::from(low)
}

/// Batches of one lease, at most; what is beyond is not begun.
const MOST_BATCHES: usize = 0xffff;

fn batches_word(generation: u64, allowed: u64, begun: u64) -> u64 {
    generation << 32 | allowed << 16 | begun
}

/// How many may be begun, and how many have been, if the word is this generation's.
fn batches_of(word: u64, generation: u64) -> Option<(usize, usize)> {
    (word >> 32 == generation & 0xffff_ffff).then_some(((word >> 16 & 0xffff) as usize, (word & 0xffff) as usize))
}

/// A commit that is to be waited for: its place in the server's log (0: none), and the server's number for how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    pub position: u64,
    pub level: u32,
}

/// A lease: this generation of this slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub slot: u32,
    pub generation: u64,
}

/// All of it is atomic, and all zeroes is a free slot. Words are grouped by who writes them when, a
/// cache line to a group: a line that both sides touch costs them more than what they say with it.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Slot {
    // Written by whoever claims or releases.
    state: AtomicU64,
    pub caller_pid: AtomicU32,
    caller_proc: AtomicU32,
    pub database: AtomicU32,
    pub user: AtomicU32,
    superuser: AtomicU32,
    pad_claim: [u32; 9],

    // Written by the caller; an idle worker polls it.
    /// Generation whose request the worker may read.
    posted: AtomicU64,
    /// Generation whose caller has gone.
    orphan: AtomicU64,
    /// Generation whose answer the caller waits for.
    awaited: AtomicU64,
    /// Generation whose cancel nobody waits for, and how many are about to signal its worker (low 8 bits).
    signals: AtomicU64,
    /// The task of a tasked slot: its entry.
    pub task: AtomicU32,
    /// The worker's, while it waits for a request.
    pub worker_bell: Bell,
    /// The caller's, while it waits for an answer.
    pub caller_bell: Bell,
    pad_post: [u32; 5],

    // Written by both.
    pub gate: Gate,
    /// What autonomous transactions that the worker called and gave up had committed; see `ending.rs`.
    inner: AtomicU64,
    /// Generation (its low 32 bits), batches that it may begin, and batches that it has begun (16 bits each).
    batches: AtomicU64,
    pad_gate: [u64; 3],

    // Written by the worker, once or twice a request.
    /// Generation whose request the worker has begun to read.
    taken: AtomicU64,
    /// Generation whose request has ended, and how ([`Ended`]).
    finished: AtomicU64,
    pub calls: AtomicU64,
    pub errors: AtomicU64,
    pub last_used: AtomicI64,
    pub depth: AtomicU32,
    pad_depth: u32,
    /// Generation whose worker waits for room in the reply ring.
    stalled: AtomicU64,
    /// Names what the worker knows of its caller; 0: nothing.
    origin: AtomicU64,

    // Written by the worker, seldom.
    /// Names the settings that the worker has applied; `[0, 0]` when that is unknown.
    settings: [AtomicU64; 2],
    pub worker_pid: AtomicU32,
    /// Latch of the worker, plus one.
    worker_proc: AtomicU32,
    pub started: AtomicI64,
    /// Has a worker come since the slot was claimed?
    come: AtomicU32,
    pad_come: u32,
    /// Generation of the session that was idle for too long.
    expired: AtomicU64,
    /// Where in the log the commit ends that the worker has not waited for (high 61 bits), and how its caller is to
    /// (low 3); 0: it has waited, or there was none.
    owed: AtomicU64,
    pad_worker: u64,

    /// Written by the caller and the worker, when their ways of waiting change.
    pub place: Place,

    pub request: Ends,
    pub reply: Ends,
}

// Whether the worker of a slot has come.
const NOBODY: u32 = 0;
const CAME: u32 = 1;
/// It has not, and will not.
const GIVEN_AWAY: u32 = 2;

impl Slot {
    /// State and generation. In one order with the words that are written before it is looked at.
    pub fn state(&self) -> (SlotState, u64) {
        let word = self.state.load(SeqCst);
        (SlotState::from_number(word as u8), word >> 8)
    }

    pub fn key(&self) -> Key {
        Key { database: self.database.load(Relaxed), user: self.user.load(Relaxed), superuser: self.superuser.load(Relaxed) != 0 }
    }

    /// From one state to another within a generation.
    pub fn change(&self, generation: u64, from: SlotState, to: SlotState) -> bool {
        self.state.compare_exchange(word(generation, from as u8), word(generation, to as u8), SeqCst, Relaxed).is_ok()
    }

    /// Claim an idle or free slot for a new lease of this process.
    pub fn claim(&self, from: SlotState, generation: u64, caller: (u32, u32)) -> Option<u64> {
        self.claim_as(SlotState::Busy, from, generation, caller)
    }

    /// The same, to a given state.
    pub fn claim_as(&self, to: SlotState, from: SlotState, generation: u64, caller: (u32, u32)) -> Option<u64> {
        let next = generation + 1;
        self.state.compare_exchange(word(generation, from as u8), word(next, to as u8), SeqCst, Relaxed).ok()?;
        self.gate.open(next);
        self.inner.store(0, Relaxed);
        self.caller_proc.store(caller.1, Relaxed);
        self.caller_pid.store(caller.0, Release);
        self.gate.name(next);
        Some(next)
    }

    /// Is the caller's pid that of this generation's claimant? Between the claim and the writing of its
    /// name the slot still bears that of an earlier one, who may have gone.
    pub fn named(&self, generation: u64) -> bool {
        self.gate.named(generation)
    }

    /// Free a claimed slot whose worker has not come, and now never will: of it and us one is first.
    pub fn take_over(&self, generation: u64, from: SlotState) -> bool {
        if self.come.compare_exchange(NOBODY, GIVEN_AWAY, SeqCst, Relaxed).is_err() {
            return false;
        }
        let done = self.change(generation, from, SlotState::Free);
        if !done {
            _ = self.come.compare_exchange(GIVEN_AWAY, NOBODY, SeqCst, Relaxed);
        }
        done
    }

    /// Claim a free slot for a worker that nobody has leased yet.
    pub fn claim_for_prewarming(&self, generation: u64, key: Key, launcher: u32) -> Option<u64> {
        let next = generation + 1;
        let busy = word(next, SlotState::Starting as u8);
        self.state.compare_exchange(word(generation, SlotState::Free as u8), busy, SeqCst, Relaxed).ok()?;
        self.set_key(key);
        self.caller_pid.store(launcher, Release);
        self.gate.name(next);
        Some(next)
    }

    /// Name the key of a slot just claimed from Free.
    pub fn set_key(&self, key: Key) {
        self.worker_proc.store(0, Relaxed);
        self.set_settings([0, 0]);
        self.set_origin(0);
        self.place.forget();
        self.database.store(key.database, Relaxed);
        self.user.store(key.user, Relaxed);
        self.superuser.store(u32::from(key.superuser), Relaxed);
        self.come.store(NOBODY, Relaxed);
        self.worker_pid.store(0, Release);
    }

    /// Let the worker read the request of this generation.
    pub fn post(&self, generation: u64) {
        self.posted.store(generation, Release);
    }

    /// The same by one whose lease may be over.
    pub fn post_unless_later(&self, generation: u64) {
        self.posted.fetch_max(generation, Release);
    }

    pub fn posted(&self) -> u64 {
        self.posted.load(Acquire)
    }

    /// The caller of this generation has gone, or does not wait any more.
    pub fn abandon(&self, generation: u64) {
        self.orphan.store(generation, SeqCst);
    }

    pub fn abandoned(&self, generation: u64) -> bool {
        self.orphan.load(SeqCst) == generation
    }

    /// The caller of this generation does nothing but wait for its answer; or does no more.
    pub fn await_answer(&self, generation: u64, waits: bool) {
        self.awaited.store(if waits { generation } else { 0 }, SeqCst);
    }

    pub fn awaited(&self, generation: u64) -> bool {
        self.awaited.load(SeqCst) == generation
    }

    /// Signal the worker of this generation, unless its request has ended: then the signal would hit
    /// whatever comes next. The worker ends its request first, and then waits for those on their way.
    pub fn signal(&self, generation: u64, send: impl FnOnce(u32)) -> bool {
        let raise = |w: u64| Some(if w >> 8 == generation { w + 1 } else { generation << 8 | 1 });
        _ = self.signals.fetch_update(SeqCst, SeqCst, raise);
        let pid = self.worker_pid.load(SeqCst);
        let due = self.state().1 == generation && self.finished(generation).is_none();
        if due && pid != 0 {
            send(pid);
        }
        _ = self.signals.fetch_update(SeqCst, SeqCst, |w| (w >> 8 == generation && w & 0xff > 0).then(|| w - 1));
        due
    }

    /// Was this generation cancelled by somebody who does not wait for its end?
    pub fn signalled(&self, generation: u64) -> bool {
        self.signals.load(SeqCst) >> 8 == generation
    }

    /// Are signals for this generation on their way?
    pub fn signals_coming(&self, generation: u64) -> bool {
        let word = self.signals.load(SeqCst);
        word >> 8 == generation && word & 0xff > 0
    }

    /// The worker ends the session of this generation, which was idle for too long.
    pub fn expire(&self, generation: u64) {
        self.expired.store(generation, SeqCst);
    }

    pub fn expired(&self, generation: u64) -> bool {
        self.expired.load(SeqCst) == generation
    }

    /// The worker of this generation waits for its caller to read; or does no more.
    pub fn stall(&self, generation: u64, stalls: bool) {
        self.stalled.store(if stalls { generation } else { 0 }, SeqCst);
    }

    pub fn stalled(&self, generation: u64) -> bool {
        self.stalled.load(SeqCst) == generation
    }

    pub fn take(&self, generation: u64) {
        if self.owed.load(Relaxed) != 0 {
            self.owed.store(0, Relaxed);
        }
        self.taken.store(generation, Release);
    }

    /// The worker has committed without waiting, for its caller does.
    pub fn owe(&self, owed: Owed) {
        self.owed.store(owed.position << 3 | u64::from(owed.level & 7), Release);
    }

    pub fn owed(&self) -> Owed {
        let word = self.owed.load(Acquire);
        Owed { position: word >> 3, level: (word & 7) as u32 }
    }

    pub fn taken(&self, generation: u64) -> bool {
        self.taken.load(Acquire) == generation
    }

    /// The worker has written its last frame for this generation.
    pub fn finish(&self, generation: u64, how: Ended) {
        self.finished.store(word(generation, how as u8), SeqCst);
    }

    pub fn finished(&self, generation: u64) -> Option<Ended> {
        match self.finished.load(SeqCst) {
            w if w == word(generation, Ended::Well as u8) => Some(Ended::Well),
            w if w == word(generation, Ended::Badly as u8) => Some(Ended::Badly),
            _ => None,
        }
    }

    pub fn settings(&self) -> [u64; 2] {
        [self.settings[0].load(Acquire), self.settings[1].load(Acquire)]
    }

    pub fn origin(&self) -> u64 {
        self.origin.load(Acquire)
    }

    pub fn set_origin(&self, version: u64) {
        self.origin.store(version, Release);
    }

    pub fn set_settings(&self, hash: [u64; 2]) {
        self.settings[0].store(hash[0], Release);
        self.settings[1].store(hash[1], Release);
    }

    /// Latch of the worker; None before it has attached and after it has gone.
    pub fn worker_proc(&self) -> Option<u32> {
        self.worker_proc.load(Acquire).checked_sub(1)
    }

    pub fn caller_proc(&self) -> u32 {
        self.caller_proc.load(Acquire)
    }

    /// Have the worker look, if it is there.
    pub fn wake_worker(&self, world: &impl World) {
        if let Some(proc) = self.worker_proc() {
            self.worker_bell.ring(world, proc);
        }
    }

    /// The worker may run wherever it likes.
    pub fn spread(&self, world: &impl World) {
        self.place.let_go(world, self.worker_pid.load(Acquire));
    }

    /// Have the caller look.
    pub fn wake_caller(&self, world: &impl World) {
        self.caller_bell.ring(world, self.caller_proc());
    }

    /// The worker takes its place; false if the slot is no longer meant for it.
    pub fn attach(&self, generation: u64, pid: u32, proc: u32, now: i64) -> bool {
        let (state, current) = self.state();
        if current != generation || !matches!(state, SlotState::Busy | SlotState::Starting | SlotState::Tasked) {
            return false;
        }
        if self.come.compare_exchange(NOBODY, CAME, SeqCst, Relaxed).is_err() {
            return false;
        }
        // The slot may have been taken over since we looked, and the place be that of another worker.
        let (state, current) = self.state();
        if current != generation || !matches!(state, SlotState::Busy | SlotState::Starting | SlotState::Tasked) {
            let _ = self.come.compare_exchange(CAME, NOBODY, SeqCst, Relaxed);
            return false;
        }
        self.worker_pid.store(pid, SeqCst);
        self.worker_proc.store(proc + 1, Release);
        self.started.store(now, Relaxed);
        self.last_used.store(now, Relaxed);
        self.calls.store(0, Relaxed);
        self.errors.store(0, Relaxed);
        true
    }

    /// The worker that was launched has not come. Not said of one that has gone: what becomes of the slot then is
    /// its to say.
    pub fn without_worker(&self) -> bool {
        self.come.load(SeqCst) == NOBODY
    }

    /// The worker has gone: nobody is to signal or wake it any more.
    pub fn detach(&self) {
        self.worker_proc.store(0, SeqCst);
        self.worker_pid.store(0, SeqCst);
    }

    /// What became of autonomous transactions that this worker called, by depth; see `ending.rs`.
    pub fn inner(&self) -> u64 {
        self.inner.load(SeqCst)
    }

    /// The worker of this slot gives up one that it called.
    pub fn note_inner(&self, fates: u64) {
        self.inner.store(fates, SeqCst);
    }

    /// The worker of this generation may begin so many batches, from the first.
    pub fn let_batches(&self, generation: u64, count: usize) {
        self.batches.store(batches_word(generation, count.min(MOST_BATCHES) as u64, 0), SeqCst);
    }

    /// This generation is a lease of batches.
    pub fn has_batches(&self, generation: u64) -> bool {
        batches_of(self.batches.load(SeqCst), generation).is_some()
    }

    /// The worker is about to begin a batch; false: it has been taken back.
    pub fn begin_batch(&self, generation: u64, index: usize) -> bool {
        let begin = |w: u64| {
            let (allowed, begun) = batches_of(w, generation)?;
            (index < allowed).then(|| batches_word(generation, allowed as u64, begun.max(index + 1) as u64))
        };
        self.batches.fetch_update(SeqCst, SeqCst, begin).is_ok()
    }

    /// How many batches have been begun; None where the word is that of another lease.
    pub fn begun_batches(&self, generation: u64) -> Option<usize> {
        batches_of(self.batches.load(SeqCst), generation).map(|(_, begun)| begun)
    }

    /// Take back what has not been begun, but for the first `keep` batches: so many are or will be begun. None where
    /// the word is that of another lease.
    pub fn recall_batches(&self, generation: u64, keep: usize) -> Option<usize> {
        let recall = |w: u64| {
            let (allowed, begun) = batches_of(w, generation)?;
            Some(batches_word(generation, begun.max(keep.min(allowed)) as u64, begun as u64))
        };
        let before = self.batches.fetch_update(SeqCst, SeqCst, recall).ok()?;
        batches_of(before, generation).map(|(allowed, begun)| begun.max(keep.min(allowed)))
    }
}

#[cfg(test)]
impl Slot {
    /// A claimant that was interrupted before it wrote its name.
    pub(crate) fn half_claim(&self, from: SlotState, generation: u64) -> u64 {
        let next = word(generation + 1, SlotState::Busy as u8);
        self.state.compare_exchange(word(generation, from as u8), next, SeqCst, Relaxed).unwrap();
        generation + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leased() -> (Slot, u64) {
        let slot = Slot::default();
        let generation = slot.claim(SlotState::Free, 0, (100, 1)).unwrap();
        (slot, generation)
    }

    #[test]
    fn groups_of_words_have_cache_lines_of_their_own() {
        let slot = Slot::default();
        let line = |word: *const u8| (word.addr() - std::ptr::from_ref(&slot).addr()) / 64;
        let lines = [
            line((&raw const slot.state).cast()),
            line((&raw const slot.posted).cast()),
            line((&raw const slot.gate).cast()),
            line((&raw const slot.taken).cast()),
            line((&raw const slot.settings).cast()),
            line((&raw const slot.request).cast()),
        ];
        assert_eq!(lines, [0, 1, 2, 3, 4, 8]);
        assert_eq!(line((&raw const slot.user).cast()), 0);
        assert_eq!(line((&raw const slot.orphan).cast()), 1);
        assert_eq!(line((&raw const slot.batches).cast()), 2);
        assert_eq!(line((&raw const slot.inner).cast()), 2);
        assert_eq!(line((&raw const slot.depth).cast()), 3);
        assert_eq!(line((&raw const slot.origin).cast()), 3);
        assert_eq!(line((&raw const slot.started).cast()), 4);
    }

    #[test]
    fn each_batch_is_begun_or_taken_back() {
        const BATCHES: usize = 50;
        for keep in [0, 1, 20, 99].repeat(500) {
            let (slot, generation) = leased();
            slot.let_batches(generation, BATCHES);
            let (begun, kept) = std::thread::scope(|s| {
                let worker = s.spawn(|| (0..BATCHES).take_while(|index| slot.begin_batch(generation, *index)).count());
                let coordinator = s.spawn(|| slot.recall_batches(generation, keep).unwrap());
                (worker.join().unwrap(), coordinator.join().unwrap())
            });
            assert_eq!(begun, kept);
            assert!(begun >= keep.min(BATCHES));
            assert_eq!(slot.recall_batches(generation, BATCHES), Some(kept), "what was taken back is not given again");
        }
    }

    #[test]
    fn batches_of_another_lease_are_neither_begun_nor_taken_back() {
        let (slot, generation) = leased();
        slot.let_batches(generation, 1 << 20);
        assert!(!slot.begin_batch(generation - 1, 0));
        assert!(slot.begin_batch(generation, 0xfffe) && !slot.begin_batch(generation, 0xffff), "no more than the word can hold");
        assert!(slot.change(generation, SlotState::Busy, SlotState::Idle));
        let next = slot.claim(SlotState::Idle, generation, (200, 2)).unwrap();
        assert!(!slot.begin_batch(next, 0), "before it was let any");
        slot.let_batches(next, 2);
        assert_eq!(slot.recall_batches(generation, 0), None);
        assert!(slot.begin_batch(next, 1));
    }

    #[test]
    fn two_claimants_of_one_generation_cannot_both_have_it() {
        for _ in 0..2_000 {
            let slot = Slot::default();
            let won = std::thread::scope(|s| {
                let a = s.spawn(|| slot.claim(SlotState::Free, 0, (1, 1)));
                let b = s.spawn(|| slot.claim(SlotState::Free, 0, (2, 2)));
                [a.join().unwrap(), b.join().unwrap()]
            });
            assert_eq!(won.iter().flatten().count(), 1);
        }
    }

    #[test]
    fn a_late_worker_does_not_take_a_slot_that_was_given_away() {
        let (slot, generation) = leased();
        assert!(slot.change(generation, SlotState::Busy, SlotState::Free));
        let next = slot.claim(SlotState::Free, generation, (3, 3)).unwrap();
        assert!(!slot.attach(generation, 50, 5, 0));
        assert!(slot.attach(next, 51, 6, 0));
        assert!(!slot.attach(next, 52, 7, 0), "nor one that has a worker");
    }
}

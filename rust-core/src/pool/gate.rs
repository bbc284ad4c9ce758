//! The gate: one word that decides each commit of a lease, and what is known of its commits.
//!
//! ```text
//!              worker, before a commit                 after it
//!   Active ----------------------------> Committing ------------> Active
//!     |                                      |  cancel              (the command's next commit)
//!     |  cancel                              v
//!     +-----------> Cancelled <------------ Doomed
//!     |                      after the commit
//!     |        worker, before the command's last commit       after it
//!     +---------------------------------------------------> Last -----> Passed
//! ```
//! Every arrow is a compare-and-swap: of the worker and of who cancels, the second obeys. A cancel that meets a commit
//! of several is remembered: that commit is the last. Only the last commit of a command cannot be stopped any more.
//! The generation is part of the word, so an old lease has no effect.

use std::sync::atomic::{AtomicU64, Ordering::*};

const ACTIVE: u64 = 1;
const COMMITTING: u64 = 2;
const CANCELLED: u64 = 3;
const DOOMED: u64 = 4;
const LAST: u64 = 5;
const PASSED: u64 = 6;
const STATE: u64 = 0xf;
/// Cancelled or doomed to break a deadlock.
const DEADLOCK: u64 = 0x10;

const COMMITS: u64 = 0xff_ffff;

/// What came of a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing commits any more.
    Now,
    /// The commit that is under way is the last.
    AfterCommit,
    /// Somebody has cancelled before.
    Already,
    /// The last commit is under way, or the lease is over.
    TooLate,
}

/// Why a lease is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    GivenUp,
    Deadlock,
}

/// All zeroes is the gate of no lease.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Gate {
    word: AtomicU64,
    /// The transaction about to commit; 0 when none is.
    xid: AtomicU64,
    /// Generation (high) and commits of the lease (low 24 bits).
    commits: AtomicU64,
}

impl Gate {
    /// A new lease begins.
    pub(super) fn open(&self, generation: u64) {
        self.word.store(generation << 8 | ACTIVE, Relaxed);
        self.xid.store(0, Relaxed);
    }

    /// All else of the lease has been written.
    pub(super) fn name(&self, generation: u64) {
        self.commits.store(generation << 24, Release);
    }

    /// Has [`Gate::name`] been called for this generation?
    pub(super) fn named(&self, generation: u64) -> bool {
        self.commits.load(Acquire) >> 24 == generation & (u64::MAX >> 24)
    }

    /// From one state to another, which may depend on the first; what it was.
    fn change(&self, generation: u64, to: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let change = |word: u64| (word >> 8 == generation).then(|| to(word & 0xff)).flatten().map(|low| generation << 8 | low);
        self.word.fetch_update(SeqCst, SeqCst, change).ok().map(|word| word & 0xff)
    }

    fn low(&self, generation: u64) -> u64 {
        let word = self.word.load(SeqCst);
        if word >> 8 == generation { word & 0xff } else { 0 }
    }

    /// The worker wants to commit; false: it was cancelled and must abort.
    pub fn commit(&self, generation: u64, xid: u64, last: bool) -> bool {
        self.xid.store(xid, Relaxed);
        let won = self.change(generation, |low| (low == ACTIVE).then_some(if last { LAST } else { COMMITTING })).is_some();
        if !won {
            self.xid.store(0, Relaxed);
        }
        won
    }

    /// The worker has committed; true: it was cancelled meanwhile, and the rest of the command is not to be.
    pub fn committed(&self, generation: u64) -> bool {
        if self.commits.load(Relaxed) & COMMITS < COMMITS {
            self.commits.fetch_add(1, Release);
        }
        self.xid.store(0, Release);
        let before = self.change(generation, |low| match low & STATE {
            COMMITTING => Some(ACTIVE),
            DOOMED => Some(CANCELLED | low & DEADLOCK),
            LAST => Some(PASSED),
            _ => None,
        });
        before.is_some_and(|low| low & STATE == DOOMED)
    }

    /// The transaction has ended, or may have; what was cancelled stays so, and what has passed.
    pub fn reopen(&self, generation: u64) {
        self.xid.store(0, Release);
        _ = self.change(generation, |low| match low & STATE {
            COMMITTING | LAST => Some(ACTIVE),
            DOOMED => Some(CANCELLED | low & DEADLOCK),
            _ => None,
        });
    }

    /// Somebody gives up what the lease runs.
    pub fn cancel(&self, generation: u64, why: CancelReason) -> Stopped {
        let mark = if why == CancelReason::Deadlock { DEADLOCK } else { 0 };
        let before = self.change(generation, |low| match low {
            ACTIVE => Some(CANCELLED | mark),
            COMMITTING => Some(DOOMED | mark),
            _ => None,
        });
        match before {
            Some(ACTIVE) => Stopped::Now,
            Some(_) => Stopped::AfterCommit,
            None if matches!(self.low(generation) & STATE, CANCELLED | DOOMED) => Stopped::Already,
            None => Stopped::TooLate,
        }
    }

    /// Nothing commits any more in this lease, for it was cancelled.
    pub fn cancelled(&self, generation: u64) -> bool {
        self.low(generation) & STATE == CANCELLED
    }

    /// Was it cancelled to break a deadlock?
    pub fn deadlock(&self, generation: u64) -> bool {
        self.low(generation) & DEADLOCK != 0
    }

    /// The command has made its last commit.
    pub fn passed(&self, generation: u64) -> bool {
        self.low(generation) == PASSED
    }

    /// Its last commit is under way, or its worker has gone in the midst of it.
    pub fn last(&self, generation: u64) -> bool {
        self.low(generation) == LAST
    }

    /// Commits of this lease, and the transaction whose commit had begun.
    pub fn progress(&self) -> (u64, u64) {
        let xid = self.xid.load(Acquire);
        (self.commits.load(Acquire) & COMMITS, xid)
    }

    /// For views: the transaction about to commit.
    pub fn xid(&self) -> u64 {
        self.xid.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let gate = Gate::default();
        gate.open(5);
        gate.name(5);
        gate
    }

    #[test]
    fn exactly_one_of_the_last_commit_and_a_cancel_wins() {
        for why in [CancelReason::GivenUp, CancelReason::Deadlock].repeat(1_000) {
            let gate = gate();
            let (commit, cancel) = std::thread::scope(|s| {
                let commit = s.spawn(|| gate.commit(5, 7, true));
                let cancel = s.spawn(|| gate.cancel(5, why));
                (commit.join().unwrap(), cancel.join().unwrap())
            });
            assert_eq!(cancel, if commit { Stopped::TooLate } else { Stopped::Now });
            assert_eq!(gate.deadlock(5), !commit && why == CancelReason::Deadlock);
        }
    }

    #[test]
    fn a_cancel_is_never_lost_among_several_commits() {
        for _ in 0..500 {
            let gate = gate();
            let (commits, cancel) = std::thread::scope(|s| {
                let worker = s.spawn(|| {
                    let mut commits = 0;
                    while gate.commit(5, 7, false) {
                        commits += 1;
                        gate.committed(5);
                    }
                    commits
                });
                let cancel = s.spawn(|| gate.cancel(5, CancelReason::GivenUp));
                (worker.join().unwrap(), cancel.join().unwrap())
            });
            assert!(matches!(cancel, Stopped::Now | Stopped::AfterCommit), "{cancel:?} after {commits}");
            assert!(gate.cancelled(5));
            assert_eq!(gate.progress(), (commits, 0));
        }
    }

    #[test]
    fn a_cancel_during_one_commit_of_several_makes_it_the_last() {
        let gate = gate();
        assert!(gate.commit(5, 7, false));
        assert_eq!(gate.cancel(5, CancelReason::Deadlock), Stopped::AfterCommit);
        assert!(!gate.cancelled(5), "it cannot be stopped itself");
        assert_eq!(gate.cancel(5, CancelReason::GivenUp), Stopped::Already);
        assert!(gate.committed(5));
        assert!(gate.cancelled(5) && gate.deadlock(5) && !gate.commit(5, 8, true));
        gate.reopen(5);
        assert!(gate.cancelled(5), "an abort does not undo a cancel");
    }

    #[test]
    fn a_commit_that_fails_leaves_the_gate_open_or_cancelled() {
        let first = gate();
        assert!(first.commit(5, 7, true));
        first.reopen(5);
        assert_eq!(first.cancel(5, CancelReason::GivenUp), Stopped::Now);
        let second = gate();
        assert!(second.commit(5, 7, false));
        assert_eq!(second.cancel(5, CancelReason::GivenUp), Stopped::AfterCommit);
        second.reopen(5);
        assert!(second.cancelled(5));
    }

    #[test]
    fn what_has_passed_is_not_cancelled_and_an_old_lease_does_nothing() {
        let gate = gate();
        assert!(gate.commit(5, 7, true) && !gate.passed(5));
        assert!(!gate.committed(5) && gate.passed(5));
        gate.reopen(5);
        assert_eq!(gate.cancel(5, CancelReason::GivenUp), Stopped::TooLate);
        gate.open(6);
        assert!(!gate.commit(5, 7, true));
        assert_eq!(gate.cancel(5, CancelReason::GivenUp), Stopped::TooLate);
        assert!(gate.commit(6, 8, true));
    }
}

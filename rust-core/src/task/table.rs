//! The table: its header, how an entry is found for a new task, and how entries become free again.
//!
//! The layout is the same in the server's fixed shared memory and in a segment of a session's own: header,
//! entries, pages. All zeroes is an empty table.

use super::entry::{DISK, DOOMED, PINS, READ, TaskEntry};
use super::pages::Page;
use super::{CRASH_SHUTDOWN, Full, New, TaskChange, TaskState, Ticket};
use crate::memory;
use crate::waiters::Waiters;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// Finished tasks that make room at a time.
const EVICTED_AT_ONCE: usize = 64;

/// Roles whose tasks are counted when the table is full; those beyond are taken for the ones that have least.
const COUNTED_ROLES: usize = 64;

/// The last places of a large table, one in so many, are for roles that have fewer than that.
const SHARE: usize = 16;
const LARGE: usize = 64;

/// How often a submitter whose place was snatched looks for another.
const ATTEMPTS: usize = 64;

/// What has happened since the memory was laid out.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Counters {
    pub submitted: AtomicU64,
    /// Submissions that found no place.
    pub refused: AtomicU64,
    pub done: AtomicU64,
    pub failed: AtomicU64,
    pub cancelled: AtomicU64,
    pub lost: AtomicU64,
    /// Finished tasks that made place for a new one, or were kept long enough.
    pub evicted: AtomicU64,
    pub expired: AtomicU64,
}

#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Header {
    pub abi_version: AtomicU32,
    pub tasks: AtomicU32,
    pub pages: AtomicU32,
    pub pages_used: AtomicU32,
    /// Entries that are not free.
    pub(super) used: AtomicU32,
    /// The last id given; 0 when there was none.
    pub next_id: AtomicU64,
    /// Where to look first.
    pub(super) task_hint: AtomicU32,
    pub(super) page_hint: AtomicU32,
    /// 0: surely nothing is queued, so that who has nothing to do need not look through the table.
    queued: AtomicU32,
    /// Who gives workers to tasks now, and how often that was asked for; see `turn.rs`.
    pub(super) turn: AtomicU32,
    pub(super) asked: AtomicU64,
    pub stats: Counters,
    waiters: Waiters,
}

/// A view of the whole.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    pub header: &'a Header,
    pub entries: &'a [TaskEntry],
    pub pages: &'a [Page],
}

impl<'a> Table<'a> {
    /// Who waits for which task.
    pub fn waiters(&self) -> &'a Waiters {
        &self.header.waiters
    }

    /// May there be a queued task?
    pub fn some_queued(&self) -> bool {
        self.header.queued.load(SeqCst) != 0
    }

    /// A process that queues a task sets this afterwards. A process that looks through the table clears it before.
    pub fn expect_queued(&self, some: bool) {
        self.header.queued.store(u32::from(some), SeqCst);
    }

    /// Ids begin above this, which is below 2^55: an id has 56 bits. They never go back.
    pub fn seed_ids(&self, base: u64) {
        self.header.next_id.fetch_max(base, SeqCst);
    }

    /// An entry for a new task, Filling: a free one, else that of the task that finished longest ago, those
    /// that were read first. With it the id of the evicted task where its payload's file is to be deleted.
    pub fn submit(&self, new: &New<'_>, now: i64) -> Result<(Ticket, Option<u64>), Full> {
        let id = self.header.next_id.fetch_add(1, SeqCst) + 1;
        for _ in 0..ATTEMPTS {
            let (entry, index, file) = if let Some(index) = self.take_free(id) {
                (&self.entries[index as usize], index, None)
            } else if let Some(victim) = self.victim(|_| true) {
                let entry = &self.entries[victim.index as usize];
                let state = entry.at().1;
                let Some(hold) = entry.close(victim.id) else { continue };
                self.drop_payload(entry);
                entry.replace((victim.id, state), (id, TaskState::Filling));
                self.header.stats.evicted.fetch_add(1, Relaxed);
                (entry, victim.index, (hold & DISK != 0).then_some(victim.id))
            } else {
                break;
            };
            self.fill(entry, id, new, now);
            self.header.stats.submitted.fetch_add(1, Relaxed);
            return Ok((Ticket { index, id }, file));
        }
        self.header.stats.refused.fetch_add(1, Relaxed);
        Err(Full)
    }

    /// The same, but nothing is evicted for it.
    pub fn submit_if_free(&self, new: &New<'_>, now: i64) -> Option<Ticket> {
        let id = self.header.next_id.fetch_add(1, SeqCst) + 1;
        let index = self.take_free(id)?;
        self.fill(&self.entries[index as usize], id, new, now);
        self.header.stats.submitted.fetch_add(1, Relaxed);
        Some(Ticket { index, id })
    }

    fn take_free(&self, id: u64) -> Option<u32> {
        let (start, count) = (self.header.task_hint.load(Relaxed) as usize, self.entries.len());
        let index = (0..count).map(|step| (start + step) % count).find(|&index| {
            let entry = &self.entries[index];
            let (old, state) = entry.at();
            state == TaskState::Free && entry.replace((old, TaskState::Free), (id, TaskState::Filling))
        })? as u32;
        self.header.used.fetch_add(1, Relaxed);
        self.header.task_hint.store(index + 1, Relaxed);
        Some(index)
    }

    /// Who makes room: of those that were read the one that finished longest ago, else one of the role that has the
    /// most. So nobody's unread result goes for the tasks of one who has more; and a failure that nobody has read
    /// outlasts its owner's results.
    fn victim(&self, of: impl Fn(u32) -> bool) -> Option<Ticket> {
        let owner = |ticket: &Ticket| self.entries[ticket.index as usize].owner.load(Relaxed);
        let evictable = || self.finished().filter(|(ticket, hold, _)| hold & (PINS | DOOMED) == 0 && of(owner(ticket)));
        let read = evictable().filter(|(_, hold, _)| hold & READ != 0).min_by_key(|&(ticket, _, at)| (at, ticket.id));
        if let Some((ticket, ..)) = read {
            return Some(ticket);
        }
        let counts = self.by_role();
        let has = |role: u32| counts.iter().find(|(other, _)| *other == role).map_or(0, |(_, count)| *count);
        let (first, ..) = evictable().min_by_key(|&(ticket, _, at)| (Reverse(has(owner(&ticket))), at, ticket.id))?;
        if self.state(first) == Some(TaskState::Done) {
            return Some(first);
        }
        let instead = evictable().filter(|(ticket, ..)| self.state(*ticket) == Some(TaskState::Done) && owner(ticket) == owner(&first));
        Some(instead.min_by_key(|&(ticket, _, at)| (at, ticket.id)).map_or(first, |(ticket, ..)| ticket))
    }

    fn owners(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.entries.iter().filter(|entry| entry.at().1 != TaskState::Free).map(|entry| entry.owner.load(Relaxed))
    }

    fn by_role(&self) -> [(u32, u32); COUNTED_ROLES] {
        let mut counts = [(0, 0); COUNTED_ROLES];
        for owner in self.owners() {
            let place = counts.iter_mut().find(|(role, count)| *role == owner || *count == 0);
            place.into_iter().for_each(|place| *place = (owner, place.1 + 1));
        }
        counts
    }

    /// May a role have one task more? Not beyond its quota, where there is one, nor of the last places of the table,
    /// if it has its share.
    pub fn may_have_more(&self, role: u32, quota: u32) -> bool {
        let count = self.entries.len();
        let kept = if count >= LARGE { count / SHARE } else { 0 };
        let scarce = kept > 0 && self.header.used.load(Relaxed) as usize + kept >= count;
        if quota == 0 && !scarce {
            return true;
        }
        let has = self.owners().filter(|owner| *owner == role).count();
        (quota == 0 || has < quota as usize) && (!scarce || has < kept)
    }

    /// Forget a finished task of this role, so that it may have another one. False: there is none. The callback deletes
    /// the file of a task.
    pub fn make_room_of(&self, role: u32, mut file: impl FnMut(u64)) -> bool {
        let Some(victim) = self.victim(|owner| owner == role) else { return false };
        self.evict(victim, &mut file);
        true
    }

    /// Free a finished task, unless somebody was first or holds it.
    pub(super) fn evict(&self, ticket: Ticket, file: &mut impl FnMut(u64)) -> bool {
        let Some(hold) = self.live(ticket).and_then(|entry| entry.close(ticket.id)) else { return false };
        self.header.stats.evicted.fetch_add(1, Relaxed);
        if self.release(ticket, hold) == (TaskChange::Freed { file: true }) {
            file(ticket.id);
        }
        true
    }

    /// Finished tasks with their hold and when they finished.
    pub(super) fn finished(&self) -> impl Iterator<Item = (Ticket, u64, i64)> + use<'a> {
        self.entries.iter().zip(0..).filter_map(|(entry, index)| {
            let (id, state) = entry.at();
            let at = entry.finished.load(Relaxed);
            let hold = entry.held(id).filter(|_| state.finished())?;
            Some((Ticket { index, id }, hold, at))
        })
    }

    /// Forget some of the finished tasks that were read, those first that finished long ago: for there are
    /// too few pages. False: there are none. The callback deletes the file of a task.
    pub fn make_room(&self, mut file: impl FnMut(u64)) -> bool {
        let read = self.finished().filter(|(_, hold, _)| hold & READ != 0 && hold & (PINS | DOOMED) == 0);
        let Ok(mut read) = memory::collect(read, "tasks that were read") else { return false };
        read.sort_unstable_by_key(|&(ticket, _, at)| (at, ticket.id));
        let mut some = false;
        for (ticket, ..) in read.into_iter().take(EVICTED_AT_ONCE) {
            some |= self.evict(ticket, &mut file);
        }
        some
    }

    /// Write a task to an entry that is Filling for it.
    pub(super) fn fill(&self, entry: &TaskEntry, id: u64, new: &New<'_>, now: i64) {
        entry.submitted.store(now, Relaxed);
        entry.started.store(0, Relaxed);
        entry.finished.store(0, Relaxed);
        entry.rows.store(0, Relaxed);
        entry.kept.store(0, SeqCst);
        entry.sqlstate.store(0, Relaxed);
        entry.owner.store(new.owner, Relaxed);
        entry.set_key(new.key);
        entry.submitter.store(new.submitter, Relaxed);
        entry.per_role.store(new.quotas.0, Relaxed);
        entry.per_session.store(new.quotas.1, Relaxed);
        let (slot, pid) = new.prefer.map_or((0, 0), |(slot, pid)| (slot + 1, pid));
        entry.prefer_slot.store(slot, Relaxed);
        entry.prefer_pid.store(pid, Relaxed);
        entry.command.set(new.command);
        entry.label.set(new.label);
        entry.message.set(b"");
        entry.open(id);
    }

    /// The entry of a task that is not gone.
    pub(super) fn live(&self, ticket: Ticket) -> Option<&'a TaskEntry> {
        let entry = self.entries.get(ticket.index as usize)?;
        let (id, state) = entry.at();
        (id == ticket.id && state != TaskState::Free).then_some(entry)
    }

    /// Where a task is. As long as there are free entries these are taken in their order: so first it is looked for where
    /// it is then, and next among those before.
    pub fn find(&self, id: u64) -> Option<Ticket> {
        let count = self.entries.len() as u64;
        let newer = self.header.next_id.load(SeqCst).checked_sub(id)?;
        let place = u64::from(self.header.task_hint.load(Relaxed)) + count.checked_sub(1)? + count - newer % count;
        let from = |step| Ticket { index: ((place + count - step) % count) as u32, id };
        (0..count).map(from).find(|&ticket| self.live(ticket).is_some())
    }

    /// None: the task is gone.
    pub fn state(&self, ticket: Ticket) -> Option<TaskState> {
        let (id, state) = self.entries.get(ticket.index as usize)?.at();
        (id == ticket.id && state != TaskState::Free).then_some(state)
    }

    /// Free the entry of a finished task whose hold we have closed.
    pub(super) fn release(&self, ticket: Ticket, hold: u64) -> TaskChange {
        let Some(entry) = self.live(ticket) else { return TaskChange::Ignored };
        self.drop_payload(entry);
        if entry.replace(entry.at(), (ticket.id, TaskState::Free)) {
            self.header.used.fetch_sub(1, Relaxed);
        }
        TaskChange::Freed { file: hold & DISK != 0 }
    }

    /// Free now, or at the last unpin.
    pub(super) fn doom(&self, ticket: Ticket) -> TaskChange {
        match self.live(ticket).and_then(|entry| entry.doom(ticket.id)) {
            Some(hold) if hold & PINS == 0 => self.release(ticket, hold),
            Some(_) => TaskChange::Kept,
            None => TaskChange::Ignored,
        }
    }

    /// Free what has been finished for as long as that, and is not pinned. The callback deletes the file of
    /// a task.
    pub fn expire(&self, now: i64, retention_us: i64, mut file: impl FnMut(u64)) {
        for (ticket, ..) in self.finished().filter(|&(.., at)| now.saturating_sub(at) >= retention_us) {
            let Some(hold) = self.live(ticket).and_then(|entry| entry.close(ticket.id)) else { continue };
            self.header.stats.expired.fetch_add(1, Relaxed);
            if self.release(ticket, hold) == (TaskChange::Freed { file: true }) {
                file(ticket.id);
            }
        }
    }

    /// Free what was being submitted by processes that have gone. The callback deletes the file of a task.
    pub fn reclaim(&self, now: i64, alive: impl Fn(u32) -> bool, mut file: impl FnMut(u64)) {
        for (entry, index) in self.entries.iter().zip(0..) {
            let (id, state) = entry.at();
            let submitter = entry.submitter.load(Relaxed);
            // Before it is open the entry may still bear the name of an earlier task's submitter.
            let named = entry.held(id).is_some() && matches!(state, TaskState::Filling | TaskState::Pending);
            if named && !alive(submitter) && self.abandon(Ticket { index, id }, now) == (TaskChange::Freed { file: true }) {
                file(id);
            }
        }
    }

    /// A task that a restart has swallowed. Only at server start, while nobody else is there.
    pub(super) fn put_lost(&self, index: u32, id: u64, new: &New<'_>, times: [i64; 2], now: i64) -> bool {
        let Some(entry) = self.entries.get(index as usize) else { return false };
        let (old, state) = entry.at();
        if state != TaskState::Free || !entry.replace((old, TaskState::Free), (id, TaskState::Filling)) {
            return false;
        }
        self.header.used.fetch_add(1, Relaxed);
        self.fill(entry, id, new, times[0]);
        entry.started.store(times[1], Relaxed);
        entry.finished.store(now, Relaxed);
        entry.sqlstate.store(CRASH_SHUTDOWN, Relaxed);
        entry.message.set(b"the server was restarted before the task ended");
        self.header.stats.lost.fetch_add(1, Relaxed);
        entry.change(id, TaskState::Filling, TaskState::Lost)
    }
}

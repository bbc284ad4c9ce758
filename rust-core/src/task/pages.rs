//! What a task carries: its request, later its result. In a chain of pages while it is short and there are
//! pages; otherwise the caller writes a file, and the entry says so.
//!
//! A page is taken by a compare-and-swap of its owner. A chain is built before an entry bears it, and who
//! swaps it off the entry frees it: so no page has two owners, and none is forgotten. A reader holds nothing:
//! it looks afterwards whether what it has read was still the payload.

use super::entry::{DISK, TaskEntry};
use super::text::{TRIES, read_words, write_words};
use super::{Table, TaskState, Ticket};
use crate::memory::{Grows, NoMemory};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*, fence};

/// Longest payload that is kept in memory.
pub const MEMORY_PER_TASK: usize = 64 * 1024;

const WORDS: usize = 126;
/// Bytes of payload in a page.
pub const PAGE_BYTES: usize = WORDS * 8;

/// 1024 bytes, as most results are short; all zeroes is a free page.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Page {
    /// Id of the task that has it; 0 when it is free.
    pub(super) owner: AtomicU64,
    /// The next one of the chain, plus one.
    next: AtomicU32,
    pad: AtomicU32,
    words: [AtomicU64; WORDS],
}

impl Default for Page {
    fn default() -> Self {
        let words = std::array::from_fn(|_| AtomicU64::new(0));
        Self { owner: AtomicU64::new(0), next: AtomicU32::new(0), pad: AtomicU32::new(0), words }
    }
}

/// Why there is no payload to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unloadable {
    NoMemory(NoMemory),
    /// The task is, or its payload is being replaced.
    Gone,
    /// It is in a file.
    OnDisk,
}

impl Table<'_> {
    /// Make this the payload. False: it is too long, there are too few pages, or the task is not being
    /// filled or run; it then has none. Only for the submitter, and later for the worker. If the one before
    /// was in a file ([`Table::on_disk`]), that is forgotten: the caller deletes the file first.
    pub fn store(&self, ticket: Ticket, bytes: &[u8]) -> bool {
        let Some(entry) = self.writable(ticket) else { return false };
        self.drop_payload(entry);
        if bytes.len() > MEMORY_PER_TASK {
            return false;
        }
        let Some(first) = self.allocate(bytes.len().div_ceil(PAGE_BYTES), ticket.id) else { return false };
        let mut link = first;
        for chunk in bytes.chunks(PAGE_BYTES) {
            let Some(page) = self.page(link) else { break };
            write_words(&page.words, chunk);
            link = page.next.load(Relaxed);
        }
        _ = entry.unmark(ticket.id, DISK);
        let before = entry.payload.swap((bytes.len() as u64) << 32 | u64::from(first), SeqCst);
        self.free_chain(before);
        true
    }

    /// Read the payload into the buffer, in place of what is there.
    pub fn load(&self, ticket: Ticket, out: &mut Vec<u8>) -> Result<(), Unloadable> {
        for _ in 0..TRIES {
            let entry = self.live(ticket).ok_or(Unloadable::Gone)?;
            let edition = entry.edition.load(SeqCst);
            let payload = entry.payload.load(SeqCst);
            let hold = entry.held(ticket.id).ok_or(Unloadable::Gone)?;
            if hold & DISK != 0 {
                return Err(Unloadable::OnDisk);
            }
            let whole = self.copy_chain(payload, out)?;
            fence(Acquire);
            if whole && entry.edition.load(SeqCst) == edition && entry.payload.load(SeqCst) == payload && self.live(ticket).is_some() {
                return Ok(());
            }
        }
        Err(Unloadable::Gone)
    }

    /// The caller has written the payload to a file of that length.
    pub fn set_on_disk(&self, ticket: Ticket, length: u64) -> bool {
        let Some(entry) = self.writable(ticket) else { return false };
        self.drop_payload(entry);
        entry.disk_length.store(length, Relaxed);
        entry.mark(ticket.id, DISK).is_some()
    }

    /// Length of the payload's file, if it is in one.
    pub fn on_disk(&self, ticket: Ticket) -> Option<u64> {
        let entry = self.live(ticket)?;
        let length = entry.disk_length.load(Relaxed);
        (entry.held(ticket.id)? & DISK != 0).then_some(length)
    }

    /// The task needs no payload any more. True: it was in a file, which the caller deletes.
    pub fn clear_payload(&self, ticket: Ticket) -> bool {
        let Some(entry) = self.writable(ticket) else { return false };
        self.drop_payload(entry);
        entry.kept.store(0, SeqCst);
        entry.unmark(ticket.id, DISK).is_some_and(|hold| hold & DISK != 0)
    }

    fn writable(&self, ticket: Ticket) -> Option<&TaskEntry> {
        let entry = self.live(ticket)?;
        matches!(entry.at().1, TaskState::Filling | TaskState::Running).then_some(entry)
    }

    /// Take the payload off the entry, and free its pages.
    pub(super) fn drop_payload(&self, entry: &TaskEntry) {
        entry.edition.fetch_add(1, SeqCst);
        self.free_chain(entry.payload.swap(0, SeqCst));
    }

    fn page(&self, link: u32) -> Option<&Page> {
        self.pages.get((link as usize).checked_sub(1)?)
    }

    /// A chain of that many pages; its first one, plus one.
    fn allocate(&self, count: usize, id: u64) -> Option<u32> {
        // More may be counted than have an owner, never fewer: so where it fits there are that many.
        let room = |used: u32| u32::try_from(used as usize + count).ok().filter(|&sum| sum as usize <= self.pages.len());
        self.header.pages_used.fetch_update(SeqCst, SeqCst, room).ok()?;
        let (mut first, mut got) = (0, 0);
        let start = self.header.page_hint.load(Relaxed) as usize;
        // Twice around: others may free behind us what they take before us.
        for step in 0..2 * self.pages.len() {
            if got == count {
                break;
            }
            let index = (start + step) % self.pages.len();
            let page = &self.pages[index];
            if page.owner.load(Relaxed) == 0 && page.owner.compare_exchange(0, id, SeqCst, Relaxed).is_ok() {
                page.next.store(first, Relaxed);
                first = index as u32 + 1;
                got += 1;
            }
        }
        self.header.page_hint.store(first, Relaxed);
        // Who reads what is written now into a page that it knows from before finds its payload changed.
        fence(Release);
        if got < count {
            self.header.pages_used.fetch_sub((count - got) as u32, SeqCst);
            self.free_chain(((got * PAGE_BYTES) as u64) << 32 | u64::from(first));
            return None;
        }
        Some(first)
    }

    /// Free the pages of a payload that no entry bears any more.
    fn free_chain(&self, payload: u64) {
        let mut link = payload as u32;
        for _ in 0..((payload >> 32) as usize).div_ceil(PAGE_BYTES) {
            let Some(page) = self.page(link) else { break };
            link = page.next.load(Relaxed);
            page.owner.store(0, SeqCst);
            self.header.pages_used.fetch_sub(1, SeqCst);
        }
    }

    /// False: the chain was changed meanwhile.
    fn copy_chain(&self, payload: u64, out: &mut Vec<u8>) -> Result<bool, Unloadable> {
        let (mut left, mut link) = ((payload >> 32) as usize, payload as u32);
        out.clear();
        out.room(left.min(MEMORY_PER_TASK), "a task").map_err(Unloadable::NoMemory)?;
        while left > 0 && left <= MEMORY_PER_TASK {
            let Some(page) = self.page(link) else { break };
            read_words(&page.words, left.min(PAGE_BYTES), out);
            left = left.saturating_sub(PAGE_BYTES);
            link = page.next.load(Relaxed);
        }
        Ok(left == 0)
    }
}

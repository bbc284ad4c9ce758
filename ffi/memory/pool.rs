//! A pool's raw shared memory to the core's `Area`, and this process's state beside it.

use super::{ALIGN, Head, laid_out, lay_out};
use crate::abi::ASIDE_ABI_VERSION;
use aside_core::caller::process::CallerState;
use aside_core::pool::area::{Area, Header, reply_words, words_per_slot};
use aside_core::pool::slot::Slot;
use aside_core::worker::process::Worker;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

/// This process's view of a pool. Opaque to C.
#[allow(non_camel_case_types)]
pub struct aside_pool {
    pub area: Area<'static>,
    pub caller: CallerState,
    pub worker: Worker<'static>,
    /// What the last export of a session lent to C.
    pub lent: RefCell<Vec<u8>>,
    /// What the last row of aside.tasks lent to C.
    pub lent_texts: RefCell<[Vec<u8>; 4]>,
}

// SAFETY: a Header is atomics alone.
unsafe impl Head for Header {
    const LAYOUT: u32 = ASIDE_ABI_VERSION << 24 ^ (size_of::<Header>() as u32) << 12 ^ size_of::<Slot>() as u32;
    fn layout(&self) -> &AtomicU32 {
        &self.abi_version
    }
}

fn layout(slots: usize, reply_words: usize) -> (usize, usize, usize) {
    let slots_at = size_of::<Header>().next_multiple_of(ALIGN);
    let words_at = (slots_at + slots * size_of::<Slot>()).next_multiple_of(ALIGN);
    (slots_at, words_at, words_at + slots * words_per_slot(reply_words) * 8)
}

/// Bytes that a pool takes.
pub fn size(slots: usize, queue_bytes: usize) -> usize {
    layout(slots, reply_words(queue_bytes)).2
}

/// Lay out a pool; false if the memory does not fit it.
///
/// # Safety
/// `memory` points to `len` zeroed bytes that nobody else uses yet and that stay until the process ends.
pub unsafe fn init(memory: *mut u8, len: usize, slots: usize, queue_bytes: usize, key: [u64; 2]) -> bool {
    let fill = |header: &Header| {
        header.slots.store(slots as u32, Relaxed);
        header.reply_words.store(reply_words(queue_bytes) as u64, Relaxed);
        header.hash_key[0].store(key[0], Relaxed);
        header.hash_key[1].store(key[1], Relaxed);
    };
    // SAFETY: passed on.
    unsafe { lay_out(memory, len, size(slots, queue_bytes), fill) }.is_some()
}

/// View a laid-out pool; None if another version laid it out.
///
/// # Safety
/// `memory` points to `len` bytes laid out by [`init`], mapped until this process ends, and written by
/// all processes through this type only.
pub unsafe fn attach(memory: *mut u8, len: usize) -> Option<aside_pool> {
    // SAFETY: passed on.
    let header: &Header = unsafe { laid_out(memory, len) }?;
    let slots = header.slots.load(Relaxed) as usize;
    let reply = header.reply_words.load(Relaxed) as usize;
    // What does not fit is not computed with.
    if slots > len || reply > len || slots.checked_mul(words_per_slot(reply)).is_none_or(|words| words > len / 8) {
        return None;
    }
    let (slots_at, words_at, end) = layout(slots, reply);
    if end > len {
        return None;
    }
    // SAFETY: within the memory, aligned by `layout`; Slot and AtomicU64 are atomics alone, valid as any bytes.
    let (slots, words) = unsafe {
        (
            crate::bytes::slice(memory.add(slots_at).cast::<Slot>(), slots),
            crate::bytes::slice(memory.add(words_at).cast::<AtomicU64>(), slots * words_per_slot(reply)),
        )
    };
    let area = Area { header, slots, words };
    Some(aside_pool {
        area,
        caller: CallerState::default(),
        worker: Worker::new(area),
        lent: RefCell::default(),
        lent_texts: RefCell::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_found_as_it_was_laid_out_and_nothing_else_is() {
        let len = size(3, 1 << 16);
        let mut memory = vec![0u64; len / 8 + 16];
        let base = memory.as_mut_ptr().cast::<u8>();
        let base = base.wrapping_add(base.align_offset(ALIGN));
        // SAFETY: `len` zeroed bytes within `memory`, which outlives the pool.
        unsafe {
            assert!(attach(base, len).is_none(), "not laid out");
            assert!(!init(base, len - 1, 3, 1 << 16, [1, 2]), "too short");
            assert!(init(base, len, 3, 1 << 16, [1, 2]));
            let pool = attach(base, len).unwrap();
            assert_eq!(pool.area.slots.len(), 3);
            assert_eq!(pool.area.hash_key(), [1, 2]);
            assert!(attach(base, len / 2).is_none(), "claims more than there is");
        }
    }
}

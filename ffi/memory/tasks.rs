//! The raw memory of a table of tasks to the core's `Table`.

use crate::abi::ASIDE_ABI_VERSION;
use aside_core::task::journal::RECORD;
use aside_core::task::{Entry, Header, Page, Table};
use std::sync::atomic::Ordering::*;

const ALIGN: usize = 64;

/// Names the layout: builds that differ in it must not share memory, whatever number they bear.
const LAYOUT: u32 = ASIDE_ABI_VERSION << 24 ^ (size_of::<Header>() as u32) << 14 ^ (size_of::<Entry>() as u32) << 4 ^ (RECORD as u32 & 0xf);

/// Where entries and pages begin, and where all ends.
fn layout(tasks: usize, pages: usize) -> (usize, usize, usize) {
    let entries_at = size_of::<Header>().next_multiple_of(ALIGN);
    let pages_at = (entries_at + tasks * size_of::<Entry>()).next_multiple_of(ALIGN);
    (entries_at, pages_at, pages_at + pages * size_of::<Page>())
}

/// Bytes that a table takes.
pub fn size(tasks: usize, memory: usize) -> usize {
    layout(tasks, memory / size_of::<Page>()).2
}

/// Lay out a table; false if the memory does not fit it.
///
/// # Safety
/// `memory` points to `len` zeroed bytes that nobody else uses yet and that stay until the process ends.
pub unsafe fn init(memory: *mut u8, len: usize, tasks: usize, first_id: u64) -> bool {
    let (_, pages_at, _) = layout(tasks, 0);
    if memory.is_null() || !memory.addr().is_multiple_of(ALIGN) || len < pages_at {
        return false;
    }
    let pages = (len - pages_at) / size_of::<Page>();
    // SAFETY: aligned and long enough; a Header is atomics alone, for which zeroes are valid.
    let header = unsafe { &*memory.cast::<Header>() };
    header.tasks.store(tasks as u32, Relaxed);
    header.pages.store(pages as u32, Relaxed);
    header.abi_version.store(LAYOUT, Release);
    // SAFETY: laid out just now.
    unsafe { attach(memory, len) }.is_some_and(|table| {
        table.seed_ids(first_id);
        true
    })
}

/// View a laid-out table; None if another version laid it out.
///
/// # Safety
/// `memory` points to `len` bytes laid out by [`init`], mapped until this process ends, and written by
/// all processes through this type only.
pub unsafe fn attach(memory: *mut u8, len: usize) -> Option<Table<'static>> {
    if memory.is_null() || !memory.addr().is_multiple_of(ALIGN) || len < size_of::<Header>() {
        return None;
    }
    // SAFETY: aligned and long enough; a Header is atomics alone, shared references to it may be many.
    let header: &'static Header = unsafe { &*memory.cast::<Header>() };
    if header.abi_version.load(Acquire) != LAYOUT {
        return None;
    }
    let (tasks, pages) = (header.tasks.load(Relaxed) as usize, header.pages.load(Relaxed) as usize);
    // What does not fit is not computed with.
    if tasks > len / size_of::<Entry>() || pages > len / size_of::<Page>() {
        return None;
    }
    let (entries_at, pages_at, end) = layout(tasks, pages);
    if end > len {
        return None;
    }
    // SAFETY: within the memory, aligned by `layout`; Entry and Page are atomics alone, valid as any bytes.
    unsafe {
        Some(Table {
            header,
            entries: crate::bytes::slice(memory.add(entries_at).cast::<Entry>(), tasks),
            pages: crate::bytes::slice(memory.add(pages_at).cast::<Page>(), pages),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_as_it_was_laid_out_and_nothing_else_is() {
        let len = size(5, 1 << 16);
        let mut memory = vec![0u64; len / 8 + 16];
        let base = memory.as_mut_ptr().cast::<u8>();
        let base = base.wrapping_add(base.align_offset(ALIGN));
        // SAFETY: `len` zeroed bytes within `memory`, which outlives the table.
        unsafe {
            assert!(attach(base, len).is_none(), "not laid out");
            assert!(!init(base, size(5, 0) - 1, 5, 0), "too short");
            assert!(init(base, len, 5, 41));
            let table = attach(base, len).unwrap();
            assert_eq!((table.entries.len(), table.pages.len()), (5, 64));
            assert_eq!(table.header.next_id.load(Relaxed), 41);
            assert!(attach(base, len / 2).is_none(), "claims more than there is");
        }
    }
}

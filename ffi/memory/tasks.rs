//! The raw memory of a table of tasks to the core's `Table`.

use super::{ALIGN, Head, laid_out, lay_out};
use crate::abi::ASIDE_ABI_VERSION;
use aside_core::task::journal::RECORD;
use aside_core::task::{Header, Page, Table, TaskEntry};
use std::sync::atomic::{AtomicU32, Ordering::*};

// SAFETY: a Header is atomics alone.
unsafe impl Head for Header {
    const LAYOUT: u32 =
        ASIDE_ABI_VERSION << 24 ^ (size_of::<Header>() as u32) << 14 ^ (size_of::<TaskEntry>() as u32) << 4 ^ (RECORD as u32 & 0xf);
    fn layout(&self) -> &AtomicU32 {
        &self.abi_version
    }
}

/// Where entries and pages begin, and where all ends.
fn layout(tasks: usize, pages: usize) -> (usize, usize, usize) {
    let entries_at = size_of::<Header>().next_multiple_of(ALIGN);
    let pages_at = (entries_at + tasks * size_of::<TaskEntry>()).next_multiple_of(ALIGN);
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
    let fill = |header: &Header| {
        header.tasks.store(tasks as u32, Relaxed);
        header.pages.store(((len - pages_at) / size_of::<Page>()) as u32, Relaxed);
    };
    // SAFETY: passed on.
    let table = unsafe { lay_out(memory, len, pages_at, fill).and_then(|()| attach(memory, len)) };
    table.inspect(|table| table.seed_ids(first_id)).is_some()
}

/// View a laid-out table; None if another version laid it out.
///
/// # Safety
/// `memory` points to `len` bytes laid out by [`init`], mapped until this process ends, and written by
/// all processes through this type only.
pub unsafe fn attach(memory: *mut u8, len: usize) -> Option<Table<'static>> {
    // SAFETY: passed on.
    let header: &Header = unsafe { laid_out(memory, len) }?;
    let (tasks, pages) = (header.tasks.load(Relaxed) as usize, header.pages.load(Relaxed) as usize);
    // What does not fit is not computed with.
    if tasks > len / size_of::<TaskEntry>() || pages > len / size_of::<Page>() {
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
            entries: crate::bytes::slice(memory.add(entries_at).cast::<TaskEntry>(), tasks),
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

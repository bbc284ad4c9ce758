//! The allocator: the server's `malloc`, and what happens when that has nothing left.
//!
//! An allocation that can be refused is refused; the core says which one that is. The standard library would abort
//! the process for any other, and the postmaster restart the cluster. Those are small, and come from a [`Reserve`]
//! that is part of the module, so that what goes on comes to its end. Where even that is used up, the process ends as
//! the server ends one, with a FATAL error: that restarts nobody else. It is the shim's to raise, and does not return:
//! to unwind from here would be undefined.

use aside_core::memory::{SMALL, may_fail, reserve_used};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// Bytes of the reserve. They are in the module's data, so the process has them from its start.
pub const RESERVE: usize = 256 * 1024;

const _: () = assert!(RESERVE > SMALL);

/// Ends the process; the argument is how much there was to be.
pub type Out = unsafe extern "C" fn(usize);

/// What the shim does when there is nothing left.
static OUT: OnceLock<Out> = OnceLock::new();

/// Have this called when there is nothing left.
///
/// # Safety
/// It does not return, and does not unwind.
pub unsafe fn when_out(out: Out) {
    _ = OUT.set(out);
}

/// Pieces one behind the other; all of it is free again when the last of them is.
pub struct Reserve {
    /// How many pieces are in use, and how many bytes up to the end of the last one, 32 bits each.
    state: AtomicU64,
    bytes: UnsafeCell<Bytes>,
}

#[repr(align(64))]
struct Bytes(#[allow(dead_code, reason = "reached by pointers")] [u8; RESERVE]);

// SAFETY: a piece is handed out once, by the one who has moved `state` over it, until it comes back.
unsafe impl Sync for Reserve {}

impl Reserve {
    #[allow(clippy::new_without_default, reason = "it is large, and meant to be static")]
    pub const fn new() -> Self {
        Self { state: AtomicU64::new(0), bytes: UnsafeCell::new(Bytes([0; RESERVE])) }
    }

    fn base(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// A piece; null if it does not fit.
    pub fn take(&self, layout: Layout) -> *mut u8 {
        let mut at = 0;
        let taken = self.state.fetch_update(AcqRel, Acquire, |state| {
            let (count, used) = (state >> 32, (state & 0xffff_ffff) as usize);
            at = used.next_multiple_of(layout.align());
            let end = at.checked_add(layout.size()).filter(|end| *end <= RESERVE && layout.align() <= align_of::<Bytes>())?;
            Some((count + 1) << 32 | end as u64)
        });
        if taken.is_ok() { self.base().wrapping_add(at) } else { std::ptr::null_mut() }
    }

    /// Is this one of its pieces?
    pub fn owns(&self, piece: *mut u8) -> bool {
        (self.base().addr()..self.base().addr() + RESERVE).contains(&piece.addr())
    }

    /// One of its pieces comes back.
    pub fn give_back(&self) {
        let less = |state: u64| Some(if state >> 32 <= 1 { 0 } else { state - (1 << 32) });
        _ = self.state.fetch_update(AcqRel, Acquire, less);
    }
}

static LAST: Reserve = Reserve::new();

struct Careful;

#[global_allocator]
static ALLOCATOR: Careful = Careful;

/// The server's memory is at its end.
#[cold]
fn short(layout: Layout) -> *mut u8 {
    if may_fail() {
        return std::ptr::null_mut();
    }
    reserve_used();
    let piece = LAST.take(layout);
    if piece.is_null()
        && let Some(out) = OUT.get()
    {
        // SAFETY: it neither returns nor unwinds, as `when_out` was promised. What the server's exit callbacks call then
        // is made for frames that are suspended for ever (ARCHITECTURE.md, FFI rule 4).
        unsafe { out(layout.size()) }
    }
    piece
}

// SAFETY: each piece is the system's or the reserve's, and goes back to whose it is; none is handed out twice, each is
// as long and as aligned as was asked. Nothing here unwinds.
unsafe impl GlobalAlloc for Careful {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the system's.
        let piece = unsafe { System.alloc(layout) };
        if piece.is_null() { short(layout) } else { piece }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let piece = unsafe { System.alloc_zeroed(layout) };
        if !piece.is_null() {
            return piece;
        }
        let piece = short(layout);
        if !piece.is_null() {
            // SAFETY: `short` has given as many bytes.
            unsafe { piece.write_bytes(0, layout.size()) };
        }
        piece
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if LAST.owns(piece) {
            return LAST.give_back();
        }
        // SAFETY: it is not the reserve's, so it is the system's, by the caller's contract with this layout.
        unsafe { System.dealloc(piece, layout) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !LAST.owns(piece) {
            // SAFETY: as for dealloc.
            let moved = unsafe { System.realloc(piece, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller vouches for a size that is valid with this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: a layout of its own; the caller's size is not zero.
        let other = unsafe { if LAST.owns(piece) { self.alloc(new) } else { short(new) } };
        if !other.is_null() {
            // SAFETY: both are as long as that, and not the same; the old one is the caller's, of this layout.
            unsafe {
                other.copy_from_nonoverlapping(piece, layout.size().min(size));
                self.dealloc(piece, layout);
            }
        }
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn the_reserve_gives_pieces_apart_and_is_whole_again_when_all_are_back() {
        let reserve = Box::leak(Box::new(Reserve::new()));
        let (one, two) = (reserve.take(layout(3, 1)), reserve.take(layout(8, 8)));
        assert!(reserve.owns(one) && reserve.owns(two) && two.addr() >= one.addr() + 3 && two.addr().is_multiple_of(8));
        assert!(reserve.take(layout(RESERVE, 1)).is_null(), "not twice");
        assert!(!reserve.owns(Box::into_raw(Box::new(1u8))));
        reserve.give_back();
        assert!(reserve.take(layout(RESERVE, 1)).is_null(), "one is still out");
        reserve.give_back();
        assert!(!reserve.take(layout(RESERVE, 64)).is_null());
        assert!(reserve.take(layout(1, 1)).is_null());
    }

    #[test]
    fn a_piece_of_the_reserve_moves_to_the_system_when_it_grows() {
        let piece = LAST.take(layout(16, 8));
        // SAFETY: 16 bytes that are ours; then what `realloc` made of them.
        unsafe {
            piece.write_bytes(7, 16);
            let moved = ALLOCATOR.realloc(piece, layout(16, 8), 64);
            assert!(!LAST.owns(moved));
            assert_eq!(std::slice::from_raw_parts(moved, 16), [7; 16]);
            ALLOCATOR.dealloc(moved, layout(64, 8));
        }
        assert!(!LAST.take(layout(RESERVE, 1)).is_null(), "it came back");
        LAST.give_back();
    }
}

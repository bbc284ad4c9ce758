//! Memory that is not Rust's own: the allocator under everything, and shared memory that the shim maps.

pub mod allocator;
pub mod pool;
pub mod registry;
pub mod tasks;

use std::sync::atomic::{AtomicU32, Ordering::*};

/// Alignment of all that is laid out in shared memory: a cache line.
pub const ALIGN: usize = 64;

/// What begins a piece of shared memory. It is atomics alone: any bytes are valid for it, and shared references to it may be many.
///
/// # Safety
/// That is so.
pub unsafe trait Head: 'static {
    /// Names the layout: builds that differ in it must not share memory, whatever number they bear.
    const LAYOUT: u32;
    fn layout(&self) -> &AtomicU32;
}

/// The head, whatever is in it; None if the memory does not fit it.
///
/// # Safety
/// `memory` points to `len` bytes that are mapped until this process ends, and that all processes write through this type only.
unsafe fn head<T: Head>(memory: *mut u8, len: usize) -> Option<&'static T> {
    let fits = !memory.is_null() && memory.addr().is_multiple_of(ALIGN.max(align_of::<T>())) && len >= size_of::<T>();
    // SAFETY: aligned and long enough, and per the contracts of this function and of the trait.
    fits.then(|| unsafe { &*memory.cast::<T>() })
}

/// Have `fill` fill the head in zeroed memory of at least `needed` bytes; None if it does not fit.
///
/// # Safety
/// As for [`head`]; nobody else uses the memory yet.
unsafe fn lay_out<T: Head>(memory: *mut u8, len: usize, needed: usize, fill: impl FnOnce(&T)) -> Option<()> {
    // SAFETY: passed on.
    let head = unsafe { head::<T>(memory, len) }.filter(|_| len >= needed)?;
    fill(head);
    head.layout().store(T::LAYOUT, Release);
    Some(())
}

/// The head that [`lay_out`] has filled; None if another version has, or nobody.
///
/// # Safety
/// As for [`head`].
unsafe fn laid_out<T: Head>(memory: *mut u8, len: usize) -> Option<&'static T> {
    // SAFETY: passed on.
    unsafe { head::<T>(memory, len) }.filter(|head| head.layout().load(Acquire) == T::LAYOUT)
}

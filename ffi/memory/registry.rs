//! The raw memory of the registry of coordinators to the core's `Registry`, and this process's state beside it.

use super::{Head, laid_out, lay_out};
use crate::abi::ASIDE_ABI_VERSION;
use aside_core::launcher::Launcher;
use aside_core::launcher::registry::{DatabaseEntry, Registry};
use std::cell::RefCell;
use std::sync::atomic::AtomicU32;

/// This process's view of the registry. Opaque to C.
#[allow(non_camel_case_types)]
pub struct aside_registry {
    pub registry: &'static Registry,
    pub launcher: RefCell<Launcher>,
}

impl aside_registry {
    pub fn entry(&self, index: u32) -> Option<&'static DatabaseEntry> {
        self.registry.entries.get(index as usize)
    }
}

/// Bytes that a registry takes.
pub const SIZE: usize = size_of::<Registry>();

// SAFETY: a Registry is atomics alone.
unsafe impl Head for Registry {
    const LAYOUT: u32 = ASIDE_ABI_VERSION << 24 ^ SIZE as u32;
    fn layout(&self) -> &AtomicU32 {
        &self.abi_version
    }
}

/// Lay out a registry; false if the memory does not fit it.
///
/// # Safety
/// `memory` points to `len` zeroed bytes that nobody else uses yet and that stay until the process ends.
pub unsafe fn init(memory: *mut u8, len: usize) -> bool {
    // SAFETY: passed on.
    unsafe { lay_out(memory, len, SIZE, |_: &Registry| ()) }.is_some()
}

/// View a laid-out registry; None if another version laid it out.
///
/// # Safety
/// `memory` points to `len` bytes laid out by [`init`], mapped until this process ends, and written by all processes through
/// this type only.
pub unsafe fn attach(memory: *mut u8, len: usize) -> Option<aside_registry> {
    // SAFETY: passed on.
    unsafe { laid_out(memory, len) }.map(|registry| aside_registry { registry, launcher: RefCell::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_found_as_it_was_laid_out_and_nothing_else_is() {
        let mut memory = vec![0u64; SIZE / 8 + 16];
        let base = memory.as_mut_ptr().cast::<u8>();
        let base = base.wrapping_add(base.align_offset(align_of::<Registry>()));
        // SAFETY: `SIZE` zeroed bytes within `memory`, which outlives the registry.
        unsafe {
            assert!(attach(base, SIZE).is_none(), "not laid out");
            assert!(!init(base, SIZE - 1) && !init(base.wrapping_add(8), SIZE) && !init(std::ptr::null_mut(), SIZE));
            assert!(init(base, SIZE));
            assert!(attach(base, SIZE).is_some_and(|registry| registry.entry(0).is_some()));
            assert!(attach(base, SIZE - 1).is_none(), "cut off");
        }
    }
}

//! Exports for a pool as a whole: its memory, how its workers stand, its views.

use crate::abi::*;
use crate::bytes::slice;
use crate::convert::{stat_row, worker_row};
use crate::export;
use crate::export::{Handle, Out, Vtable};
use crate::hosts::world::{Bystander, Table};
use crate::memory::allocator::{self, when_out};
use crate::memory::pool::{self, aside_pool};
use std::ffi::c_void;

export! {
    /// The core's side of the check that the module makes when it is loaded.
    fn aside_core_abi_version() -> u32, otherwise(0) {
        ASIDE_ABI_VERSION
    }
}

export! {
    fn aside_when_out_of_memory(end: allocator::Out) {
        // SAFETY: it does not return, per aside_abi.h.
        unsafe { when_out(end) };
    }
}

export! {
    fn aside_pool_size(slots: u32, queue_bytes: usize) -> usize, otherwise(0) {
        pool::size(slots as usize, queue_bytes)
    }
}

export! {
    fn aside_pool_init(memory: *mut c_void, len: usize, slots: u32, queue_bytes: usize, key: *const u8) -> aside_status::Type, otherwise(aside_status::ASIDE_PANIC) {
        // SAFETY: 16 bytes, per aside_abi.h.
        let key = unsafe { slice(key, 16) };
        let word = |i: usize| key.get(i..).and_then(|k| k.first_chunk()).map_or(0, |k| u64::from_ne_bytes(*k));
        // SAFETY: `len` zeroed bytes that nobody uses yet, per aside_abi.h.
        let fits = unsafe { pool::init(memory.cast(), len, slots as usize, queue_bytes, [word(0), word(8)]) };
        if fits { aside_status::ASIDE_OK } else { aside_status::ASIDE_GONE }
    }
}

export! {
    fn aside_pool_attach(memory: *mut c_void, len: usize) -> *mut aside_pool, otherwise(std::ptr::null_mut()) {
        // SAFETY: `len` bytes laid out by aside_pool_init and mapped until the process ends, per aside_abi.h.
        let pool = unsafe { pool::attach(memory.cast(), len) };
        pool.map_or(std::ptr::null_mut(), |pool| Box::into_raw(Box::new(pool)))
    }
}

export! {
    fn aside_pool_slots(pool: &aside_pool) -> u32, otherwise(0) {
        pool.area.slots.len() as u32
    }
}

export! {
    fn aside_pool_workers(pool: &aside_pool) -> u32, otherwise(0) {
        pool.area.workers() as u32
    }
}

export! {
    fn aside_pool_retire(pool: Handle<aside_pool>, world: Vtable<aside_world>, database: u32) -> u32, otherwise(0) {
        let world = Bystander { t: Table { world: world.get() } };
        pool.area.retire(database, |slot| slot.wake_worker(&world))
    }
}

export! {
    fn aside_pool_in_use(pool: &aside_pool, database: u32, user: u32) -> u32, otherwise(0) {
        pool.area.in_use(database, user) as u32
    }
}

export! {
    fn aside_view_worker(pool: &aside_pool, slot: u32, out: Out<aside_worker_row>) -> bool, otherwise(false) {
        pool.area.slot(slot).and_then(|slot| slot.view()).inspect(|view| out.write(worker_row(view))).is_some()
    }
}

export! {
    fn aside_view_stat(pool: &aside_pool, kind: u32, out: Out<aside_stat_row>) -> bool, otherwise(false) {
        pool.area.header.stats.get(kind as usize).inspect(|counters| out.write(stat_row(counters))).is_some()
    }
}

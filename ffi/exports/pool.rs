//! Exports for a pool as a whole: its memory, how its workers stand, its views.

use crate::abi::*;
use crate::bytes::slice;
use crate::guard::caught;
use crate::memory::allocator::{Out, when_out};
use crate::memory::pool::{self, aside_pool};
use aside_core::pool::slot::State;
use std::ffi::c_void;
use std::sync::atomic::Ordering::*;

/// Nothing more is done on a panic.
///
/// # Safety
/// `out` does not return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_when_out_of_memory(out: Out) {
    // SAFETY: per the contract.
    _ = caught(|| unsafe { when_out(out) });
}

/// 0 on a panic.
#[unsafe(no_mangle)]
pub extern "C" fn aside_pool_size(slots: u32, queue_bytes: usize) -> usize {
    caught(|| pool::size(slots as usize, queue_bytes)).unwrap_or(0)
}

/// ASIDE_PANIC on a panic, ASIDE_GONE if the memory does not fit.
///
/// # Safety
/// `memory`: `len` zeroed bytes nobody uses yet; `key`: 16 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_init(
    memory: *mut c_void,
    len: usize,
    slots: u32,
    queue_bytes: usize,
    key: *const u8,
) -> aside_status::Type {
    caught(|| {
        // SAFETY: 16 bytes, per the contract.
        let key = unsafe { slice(key, 16) };
        let word = |i: usize| key.get(i..).and_then(|k| k.first_chunk()).map_or(0, |k| u64::from_ne_bytes(*k));
        // SAFETY: per the contract.
        unsafe { pool::init(memory.cast(), len, slots as usize, queue_bytes, [word(0), word(8)]) }
    })
    .map_or(aside_status::ASIDE_PANIC, |fits| if fits { aside_status::ASIDE_OK } else { aside_status::ASIDE_GONE })
}

/// NULL on a panic, or if the layout is not ours.
///
/// # Safety
/// `memory`: `len` bytes laid out by `aside_pool_init`, mapped until the process ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_attach(memory: *mut c_void, len: usize) -> *mut aside_pool {
    // SAFETY: per the contract.
    caught(|| unsafe { pool::attach(memory.cast(), len) }).ok().flatten().map_or(std::ptr::null_mut(), |p| Box::into_raw(Box::new(p)))
}

/// # Safety
/// `pool` is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_free(pool: *mut aside_pool) {
    if !pool.is_null() {
        // SAFETY: made by Box::into_raw in aside_pool_attach.
        _ = caught(|| drop(unsafe { Box::from_raw(pool) }));
    }
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_slots(pool: *const aside_pool) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.area.slots.len() as u32).unwrap_or(0)
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_workers(pool: *const aside_pool) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.area.workers() as u32).unwrap_or(0)
}
/// 0 on a panic.
///
/// # Safety
/// As said at the top; `world` is part of a vtable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_retire(pool: *mut aside_pool, world: *const aside_world, database: u32) -> u32 {
    // SAFETY: per the contract.
    let (pool, world) = unsafe { (&*pool, &*world) };
    caught(|| pool.area.retire(database, |proc| crate::host_call!(world, wake(proc)))).unwrap_or(0)
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_orphans(pool: *const aside_pool, database: u32) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.area.orphans(database) as u32).unwrap_or(0)
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_in_use(pool: *const aside_pool, database: u32, user: u32) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.area.in_use(database, user) as u32).unwrap_or(0)
}

/// false on a panic, and for a slot that is free or not there.
///
/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_view_worker(pool: *const aside_pool, slot: u32, out: *mut aside_worker_row) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    let row = caught(|| {
        let slot = pool.area.slot(slot)?;
        let (state, generation) = slot.state();
        let busy = matches!(state, State::Busy | State::Dead | State::Held);
        (state != State::Free).then(|| aside_worker_row {
            state: u32::from(state as u8),
            pid: slot.worker_pid.load(Relaxed),
            database: slot.key().database,
            user: slot.key().user,
            caller_pid: if busy { slot.caller_pid.load(Relaxed) } else { 0 },
            depth: if busy { slot.depth.load(Relaxed) } else { 0 },
            generation,
            xid: slot.gate.xid(),
            calls: slot.calls.load(Relaxed),
            errors: slot.errors.load(Relaxed),
            started: slot.started.load(Relaxed),
            last_used: slot.last_used.load(Relaxed),
        })
    });
    let Ok(Some(row)) = row else { return false };
    // SAFETY: writable, per the contract.
    unsafe { out.write(row) };
    true
}

/// false on a panic, and for an unknown kind.
///
/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_view_stat(pool: *const aside_pool, kind: u32, out: *mut aside_stat_row) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    let row = caught(|| {
        let c = pool.area.header.stats.get(kind as usize)?;
        Some(aside_stat_row {
            calls: c.calls.load(Relaxed),
            errors: c.errors.load(Relaxed),
            cancelled: c.cancelled.load(Relaxed),
            rows: c.rows.load(Relaxed),
            waits: c.waits.load(Relaxed),
            wait_us: c.wait_us.load(Relaxed),
            total_us: c.total_us.load(Relaxed),
            histogram: std::array::from_fn(|i| c.histogram[i].load(Relaxed)),
        })
    });
    let Ok(Some(row)) = row else { return false };
    // SAFETY: writable, per the contract.
    unsafe { out.write(row) };
    true
}

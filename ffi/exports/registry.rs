//! The functions that C calls for the registry of coordinators, and for the launcher. What `exports/mod.rs` says at its
//! top holds here too; `registry` came from `aside_registry_attach`.

use crate::abi::*;
use crate::guard::caught;
use crate::hosts::launcher::{Host, raw_order};
use aside_core::async_event::stats::ERRORS;
use aside_core::launcher::registry::{Entry, PLACES, Registry, State};
use aside_core::launcher::reserve;
use aside_core::launcher::{Launcher, backoff, cedes, refuse};
use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::atomic::Ordering::*;

const _: () = assert!(ASIDE_RESERVE_PLACES as usize == reserve::PLACES);
const _: () = assert!(ASIDE_NOTE_ERRORS as usize == ERRORS);

/// This process's view of the registry. Opaque to C.
#[allow(non_camel_case_types)]
pub struct aside_registry {
    pub registry: &'static Registry,
    launcher: RefCell<Launcher>,
}

/// Names the layout.
const LAYOUT: u32 = ASIDE_ABI_VERSION << 24 ^ size_of::<Registry>() as u32;

/// 0 on a panic.
#[unsafe(no_mangle)]
pub extern "C" fn aside_registry_size() -> usize {
    size_of::<Registry>()
}

/// # Safety
/// `memory`: `len` zeroed bytes nobody uses yet, aligned to 64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_init(memory: *mut c_void, len: usize) -> bool {
    if memory.is_null() || !memory.addr().is_multiple_of(64) || len < size_of::<Registry>() {
        return false;
    }
    // SAFETY: aligned and long enough; a Registry is atomics alone, for which zeroes are valid.
    let registry = unsafe { &*memory.cast::<Registry>() };
    registry.abi_version.store(LAYOUT, Release);
    true
}

/// NULL if the layout is not ours.
///
/// # Safety
/// `memory`: `len` bytes laid out by `aside_registry_init`, mapped until the process ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_attach(memory: *mut c_void, len: usize) -> *mut aside_registry {
    if memory.is_null() || !memory.addr().is_multiple_of(64) || len < size_of::<Registry>() {
        return std::ptr::null_mut();
    }
    // SAFETY: aligned and long enough; a Registry is atomics alone, shared references to it may be many.
    let registry: &'static Registry = unsafe { &*memory.cast::<Registry>() };
    if registry.abi_version.load(Acquire) != LAYOUT {
        return std::ptr::null_mut();
    }
    Box::into_raw(Box::new(aside_registry { registry, launcher: RefCell::default() }))
}

/// A second on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_launcher_step(registry: *mut aside_registry, host: *const aside_launcher_host) -> i64 {
    // SAFETY: per the contract.
    let (registry, host) = unsafe { (&*registry, &*host) };
    caught(|| registry.launcher.borrow_mut().step(&Host(host), registry.registry)).unwrap_or(1_000_000)
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_launcher_here(registry: *mut aside_registry, pid: u32, proc: i64) {
    // SAFETY: per the contract.
    unsafe { &*registry }.registry.set_launcher(pid, u32::try_from(proc).ok());
}

fn latch(proc: Option<u32>) -> i64 {
    proc.map_or(-1, i64::from)
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_launcher_kick(registry: *mut aside_registry) -> i64 {
    // SAFETY: per the contract.
    latch(unsafe { &*registry }.registry.kick())
}

/// # Safety
/// As said at the top.
unsafe fn entry<'a>(registry: *const aside_registry, index: u32) -> Option<&'a Entry> {
    // SAFETY: per the contract.
    unsafe { &*registry }.registry.entries.get(index as usize)
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_attach(
    registry: *mut aside_registry,
    index: u32,
    generation: u64,
    pid: u32,
    proc: u32,
    now: i64,
) -> bool {
    // SAFETY: per the contract.
    unsafe { entry(registry, index) }.is_some_and(|entry| entry.attach(generation, pid, proc, now))
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_became(registry: *mut aside_registry, index: u32, state: u32, now: i64) {
    // SAFETY: per the contract.
    let Some(entry) = (unsafe { entry(registry, index) }) else { return };
    let to = match state {
        3 => State::Running,
        4 => State::Absent,
        _ => State::Failed,
    };
    entry.became(to, now);
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_fares(registry: *mut aside_registry, index: u32, well: bool, now: i64) {
    // SAFETY: per the contract.
    let Some(entry) = (unsafe { entry(registry, index) }) else { return };
    if well { entry.recovered() } else { entry.failed(now) }
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_cedes(registry: *mut aside_registry, index: u32, now: i64) -> bool {
    // SAFETY: per the contract.
    let registry = unsafe { &*registry }.registry;
    registry.entries.get(index as usize).is_some_and(|entry| cedes(registry, entry, now))
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_reserve_wait(registry: *mut aside_registry, place: u32, proc: u32) {
    // SAFETY: per the contract.
    let place = unsafe { &*registry }.registry.reserve.get(place as usize);
    place.into_iter().for_each(|place| place.wait(proc));
}

/// # Safety
/// As said at the top; `order` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_reserve_take(registry: *mut aside_registry, place: u32, order: *mut aside_order) -> bool {
    // SAFETY: per the contract.
    let taken = unsafe { &*registry }.registry.reserve.get(place as usize).and_then(|place| place.take());
    // SAFETY: writable, per the contract.
    taken.inspect(|taken| unsafe { order.write(raw_order(*taken)) }).is_some()
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_reserve_leave(registry: *mut aside_registry, place: u32, now: i64) {
    // SAFETY: per the contract.
    let registry = unsafe { &*registry }.registry;
    let unseen = registry.reserve.get(place as usize).and_then(|place| place.leave());
    unseen.into_iter().for_each(|order| refuse(registry, order, now));
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_exit(registry: *mut aside_registry, index: u32, now: i64) {
    // SAFETY: per the contract.
    let Some(entry) = (unsafe { entry(registry, index) }) else { return };
    // SAFETY: per the contract.
    unsafe { &*registry }.registry.tallies.leave(entry.database());
    let state = entry.state();
    if matches!(state.0, State::Looking | State::Running) {
        entry.failed(now + backoff(entry.failures()));
        entry.change(state, State::Failed, now);
    }
    // Last: from then on another one may come.
    entry.detach();
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_leaves(registry: *const aside_registry, index: u32, now: i64) -> bool {
    // SAFETY: per the contract.
    unsafe { entry(registry, index) }.is_none_or(|entry| entry.leaves(now))
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_say(registry: *mut aside_registry, database: u32, handlers: bool, now: i64) -> i64 {
    // SAFETY: per the contract.
    latch(unsafe { &*registry }.registry.say(database, handlers, now))
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_changes(registry: *const aside_registry, database: u32) -> u32 {
    // SAFETY: per the contract.
    unsafe { &*registry }.registry.find(database).map_or(0, |(_, entry)| entry.changes())
}

/// # Safety
/// As said at the top; `proc` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_make_room(registry: *mut aside_registry, now: i64, proc: *mut i64) -> bool {
    // SAFETY: per the contract.
    let asked = unsafe { &*registry }.registry.make_room(now);
    // SAFETY: writable, per the contract.
    asked.inspect(|asked| unsafe { proc.write(latch(*asked)) }).is_some()
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_want(registry: *mut aside_registry, database: u32, now: i64) {
    // SAFETY: per the contract.
    unsafe { &*registry }.registry.want(database, now);
}

/// # Safety
/// As said at the top; `proc` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_vacate(registry: *mut aside_registry, database: u32, until: i64, proc: *mut i64) -> bool {
    // SAFETY: per the contract.
    let Some((_, entry)) = unsafe { &*registry }.registry.find(database) else { return false };
    entry.ask_to_leave(until);
    // SAFETY: writable, per the contract.
    unsafe { proc.write(latch(entry.proc())) };
    entry.pid() != 0 || entry.state().0 == State::Starting
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_readmit(registry: *mut aside_registry, database: u32) {
    // SAFETY: per the contract.
    if let Some((_, entry)) = unsafe { &*registry }.registry.find(database) {
        entry.may_come_again();
    }
}

/// -1 where it is not known.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_partition(registry: *const aside_registry, database: u32) -> i32 {
    // SAFETY: per the contract.
    unsafe { &*registry }.registry.find(database).and_then(|(_, entry)| entry.partition()).map_or(-1, |p| p as i32)
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_quota_take(registry: *const aside_registry, database: u32, role: u32, quota: u32) -> bool {
    // SAFETY: per the contract.
    unsafe { &*registry }.registry.quotas.take(database, role, quota)
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_quota_counted(registry: *const aside_registry, database: u32, role: u32, count: u32) {
    // SAFETY: per the contract.
    unsafe { &*registry }.registry.quotas.counted(database, role, count);
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_registry_set_partition(registry: *mut aside_registry, index: u32, partition: u32) {
    // SAFETY: per the contract.
    if let Some(entry) = unsafe { entry(registry, index) } {
        entry.set_partition(partition);
    }
}

/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_view_coordinator(registry: *const aside_registry, index: u32, out: *mut aside_coordinator_row) -> bool {
    if index as usize >= PLACES {
        return false;
    }
    // SAFETY: per the contract.
    let Some(entry) = (unsafe { entry(registry, index) }) else { return false };
    let row = aside_coordinator_row {
        state: u32::from(entry.state().0 as u8),
        database: entry.database(),
        pid: entry.pid(),
        failures: entry.failures(),
        since: entry.since(),
    };
    // SAFETY: writable, per the contract.
    unsafe { out.write(row) };
    true
}

/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_view_tally(registry: *const aside_registry, index: u32, out: *mut aside_tally_row) -> bool {
    // SAFETY: per the contract.
    let Some((database, handler, counts)) = unsafe { &*registry }.registry.tallies.row(index as usize) else { return false };
    let row = aside_tally_row {
        database,
        handler,
        waiting: counts.waiting,
        done: counts.done,
        failed: counts.failed,
        dropped: counts.dropped,
        recorded: counts.recorded,
        sqlstates: counts.errors.map(|(sqlstate, _)| sqlstate),
        failures: counts.errors.map(|(_, times)| times),
    };
    // SAFETY: writable, per the contract.
    unsafe { out.write(row) };
    true
}

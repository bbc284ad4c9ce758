//! The functions that C calls for a coordinator of events. What `exports/mod.rs` says at its top holds here too;
//! `registry` and `coordinator` came from the functions that make them.

use crate::abi::*;
use crate::convert::call_of;
use crate::exports::calls::settled;
use crate::exports::registry::aside_registry;
use crate::hosts::caller::Caller;
use crate::hosts::event::{Events, Workers};
use crate::memory::pool::aside_pool;
use aside_core::autonomous_tx::call::Failed;
use aside_core::coordinator::Coordinator;
use aside_core::coordinator::host::Host;
use aside_core::coordinator::topics::Topics;
use aside_core::host::Saved;
use aside_core::launcher::registry::{Entry, Registry, Rest};
use aside_core::launcher::tallies::Teller;
use std::cell::{Cell, RefCell};

/// What is not told is found this long after something was, or while workers run something.
const POLL_US: u64 = 1_000_000;

/// A coordinator's state. Opaque to C.
#[allow(non_camel_case_types)]
pub struct aside_coordinator {
    registry: &'static Registry,
    entry: u32,
    coordinator: RefCell<Coordinator>,
    workers: Workers,
    teller: RefCell<Teller>,
    /// After the last turn there was nothing to do.
    rests: Cell<Option<Rest>>,
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_new(
    registry: *mut aside_registry,
    entry: u32,
    partition: u32,
    now: i64,
) -> *mut aside_coordinator {
    // SAFETY: per the contract.
    let registry = unsafe { &*registry }.registry;
    let mut coordinator = Coordinator::new(partition as u8);
    coordinator.events.set_poll(POLL_US);
    let since = registry.entries.get(entry as usize).and_then(Entry::take_partition_since);
    coordinator.events.set_age(since.map_or(0, |since| now.saturating_sub(since).max(0) as u64));
    let new = aside_coordinator {
        registry,
        entry,
        coordinator: RefCell::new(coordinator),
        workers: Workers::default(),
        teller: RefCell::default(),
        rests: Cell::new(None),
    };
    Box::into_raw(Box::new(new))
}

/// What a coordinator sees of the world in one turn, as C hands it over.
struct Turn {
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    events: *const aside_event_host,
    limits: *const aside_call,
}

/// # Safety
/// As said at the top; `limits` is a call of the shim's.
unsafe fn turn<T>(
    coordinator: *mut aside_coordinator,
    with: &Turn,
    run: impl FnOnce(&mut Coordinator, &Events<'_>, Option<&Entry>) -> Result<T, Saved>,
    write: impl FnOnce(T),
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (this, pool, host, t, raw) = unsafe { (&*coordinator, &*with.pool, &*with.host, &*with.events, &*with.limits) };
    let run = || {
        // SAFETY: `limits` points to what it says, for the duration of this call.
        let mut limits = unsafe { call_of(raw) }?.limits;
        // It is no session that might take all for itself: handlers have limits of their own.
        limits.per_session = 0;
        let world = Events { h: Caller { t: host }, t, area: &pool.area, session: &pool.session, limits, workers: &this.workers };
        let mut coordinator = this.coordinator.borrow_mut();
        coordinator.events.set_rotation(t.rotation_bytes, t.rotation_us);
        let result = run(&mut coordinator, &world, this.registry.entries.get(this.entry as usize)).map_err(Failed::from);
        let now_us = world.now_us();
        this.teller.borrow_mut().tell(&this.registry.tallies, t.database, &coordinator.events.note_counts(), now_us);
        result
    };
    settled(host, run, write)
}

/// ASIDE_SAVED on a panic, with an error that tells of it.
///
/// # Safety
/// As said at the top; `limits` is a call of the shim's; `wait_us` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_step(
    coordinator: *mut aside_coordinator,
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    events: *const aside_event_host,
    limits: *const aside_call,
    wait_us: *mut i64,
) -> aside_status::Type {
    let step = |coordinator: &mut Coordinator, world: &Events<'_>, entry: Option<&Entry>| {
        if let Some(entry) = entry {
            let (events, handlers) = entry.hear();
            coordinator.tell(if events { Topics::EVENTS } else { Topics::NONE } | if handlers { Topics::HANDLERS } else { Topics::NONE });
        }
        let wait_us = coordinator.take_turn(world)?;
        Ok((i64::try_from(wait_us).unwrap_or(i64::MAX), coordinator.rests(world)))
    };
    // SAFETY: per the contract.
    let this = unsafe { &*coordinator };
    this.rests.set(None);
    // SAFETY: writable, and as it is said there, per the contract.
    unsafe {
        turn(coordinator, &Turn { pool, host, events, limits }, step, |(us, rests)| {
            wait_us.write(us);
            this.rests.set(rests);
        })
    }
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_rests(coordinator: *mut aside_coordinator, now: i64) -> bool {
    // SAFETY: per the contract.
    let this = unsafe { &*coordinator };
    let Some((rests, entry)) = this.rests.get().zip(this.registry.entries.get(this.entry as usize)) else { return false };
    entry.becomes_idle(rests, now);
    true
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_looked_in_vain(coordinator: *const aside_coordinator) -> bool {
    // SAFETY: per the contract.
    let this = unsafe { &*coordinator };
    this.coordinator.try_borrow().is_ok_and(|coordinator| coordinator.events.looked_in_vain())
}

/// As `aside_coordinator_step`.
///
/// # Safety
/// As said at the top; `limits` is a call of the shim's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_coordinator_close(
    coordinator: *mut aside_coordinator,
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    events: *const aside_event_host,
    limits: *const aside_call,
) -> aside_status::Type {
    let close = |coordinator: &mut Coordinator, world: &Events<'_>, _: Option<&Entry>| coordinator.close(world);
    // SAFETY: as it is said there, per the contract.
    unsafe { turn(coordinator, &Turn { pool, host, events, limits }, close, |()| ()) }
}

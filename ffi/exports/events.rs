//! Exports for a coordinator of events.

use crate::abi::*;
use crate::export;
use crate::export::{Handle, Out, Vtable};
use crate::hosts::caller::Caller;
use crate::hosts::event::{Events, Workers};
use crate::memory::pool::aside_pool;
use crate::memory::registry::aside_registry;
use aside_core::autonomous_tx::call::{Call, Failed};
use aside_core::coordinator::Coordinator;
use aside_core::coordinator::host::Host;
use aside_core::coordinator::topics::Topics;
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

export! {
    fn aside_coordinator_new(registry: Handle<aside_registry>, entry: u32, partition: u32, now: i64) -> *mut aside_coordinator, otherwise(std::ptr::null_mut()) {
        let registry = registry.registry;
        let mut coordinator = Coordinator::new(partition as u8);
        coordinator.events.set_poll(POLL_US);
        let since = registry.entries.get(entry as usize).and_then(Entry::take_partition_since);
        coordinator.events.set_age(since.map_or(0, |since| now.saturating_sub(since).max(0) as u64));
        Box::into_raw(Box::new(aside_coordinator {
            registry,
            entry,
            coordinator: RefCell::new(coordinator),
            workers: Workers::default(),
            teller: RefCell::default(),
            rests: Cell::new(None),
        }))
    }
}

/// One turn: `run` sees the world as C hands it over.
fn turn<T>(
    this: &aside_coordinator,
    pool: &aside_pool,
    h: Caller,
    t: &aside_event_host,
    limits: &Call,
    run: impl FnOnce(&mut Coordinator, &Events<'_>, Option<&Entry>) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let mut limits = limits.limits;
    // It is no session that might take all for itself: handlers have limits of their own.
    limits.per_session = 0;
    let world = Events { h, t, area: &pool.area, session: &pool.session, limits, workers: &this.workers };
    let mut coordinator = this.coordinator.borrow_mut();
    coordinator.events.set_rotation(t.rotation_bytes, t.rotation_us);
    let result = run(&mut coordinator, &world, this.registry.entries.get(this.entry as usize));
    let now_us = world.now_us();
    this.teller.borrow_mut().tell(&this.registry.tallies, t.database, &coordinator.events.note_counts(), now_us);
    result
}

export! {
    fn aside_coordinator_step(coordinator: Handle<aside_coordinator>, pool: Handle<aside_pool>, host: Caller, events: Vtable<aside_event_host>, limits: Call, wait_us: Out<i64>) raises(host) {
        coordinator.rests.set(None);
        let (wait, rests) = turn(&coordinator, &pool, host, events.get(), &limits, |coordinator, world, entry| {
            if let Some(entry) = entry {
                let (events, handlers) = entry.hear();
                coordinator.tell(if events { Topics::EVENTS } else { Topics::NONE } | if handlers { Topics::HANDLERS } else { Topics::NONE });
            }
            let wait = coordinator.take_turn(world)?;
            Ok((wait, coordinator.rests(world)))
        })?;
        wait_us.write(i64::try_from(wait).unwrap_or(i64::MAX));
        coordinator.rests.set(rests);
        Ok(())
    }
}

export! {
    fn aside_coordinator_rests(coordinator: Handle<aside_coordinator>, now: i64) -> bool, otherwise(false) {
        let entry = coordinator.registry.entries.get(coordinator.entry as usize);
        coordinator.rests.get().zip(entry).inspect(|(rests, entry)| entry.becomes_idle(*rests, now)).is_some()
    }
}

export! {
    fn aside_coordinator_looked_in_vain(coordinator: &aside_coordinator) -> bool, otherwise(false) {
        coordinator.coordinator.borrow().events.looked_in_vain()
    }
}

export! {
    fn aside_coordinator_close(coordinator: Handle<aside_coordinator>, pool: Handle<aside_pool>, host: Caller, events: Vtable<aside_event_host>, limits: Call) raises(host) {
        turn(&coordinator, &pool, host, events.get(), &limits, |coordinator, world, _| Ok(coordinator.close(world)?))
    }
}

//! Exports for a coordinator of events.

use crate::abi::*;
use crate::export;
use crate::export::{Handle, Out, Vtable};
use crate::hosts::caller::Caller;
use crate::hosts::event::Events;
use crate::memory::pool::aside_pool;
use crate::memory::registry::aside_registry;
use aside_core::autonomous_tx::call::Call;
use aside_core::coordinator::seat::Seat;
use aside_core::lease::leases::Leases;
use std::cell::RefCell;

/// A coordinator's state. Opaque to C.
#[allow(non_camel_case_types)]
pub struct aside_coordinator {
    seat: RefCell<Seat<'static>>,
    leases: Leases,
}

export! {
    fn aside_coordinator_new(registry: Handle<aside_registry>, entry: u32, partition: u32, now: i64) -> *mut aside_coordinator, otherwise(std::ptr::null_mut()) {
        let seat = RefCell::new(Seat::new(registry.registry, entry, partition as u8, now));
        Box::into_raw(Box::new(aside_coordinator { seat, leases: Leases::default() }))
    }
}

/// The world as C hands it over for one turn.
fn world<'a>(this: &'a aside_coordinator, pool: &'a aside_pool, h: Caller<'a>, t: &'a aside_event_host, limits: &Call) -> Events<'a> {
    Events { h, t, area: &pool.area, session: &pool.session, limits: limits.limits.of_coordinator(), leases: &this.leases }
}

export! {
    fn aside_coordinator_step(coordinator: Handle<aside_coordinator>, pool: Handle<aside_pool>, host: Caller, events: Vtable<aside_event_host>, limits: Call, wait_us: Out<i64>) raises(host) {
        let t = events.get();
        let wait = coordinator.seat.borrow_mut().turn(&world(&coordinator, &pool, host, t, &limits), (t.rotation_bytes, t.rotation_us))?;
        wait_us.write(i64::try_from(wait).unwrap_or(i64::MAX));
        Ok(())
    }
}

export! {
    fn aside_coordinator_rests(coordinator: Handle<aside_coordinator>, now: i64) -> bool, otherwise(false) {
        coordinator.seat.borrow().rests(now)
    }
}

export! {
    fn aside_coordinator_looked_in_vain(coordinator: &aside_coordinator) -> bool, otherwise(false) {
        coordinator.seat.borrow().looked_in_vain()
    }
}

export! {
    fn aside_coordinator_close(coordinator: Handle<aside_coordinator>, pool: Handle<aside_pool>, host: Caller, events: Vtable<aside_event_host>, limits: Call) raises(host) {
        let t = events.get();
        Ok(coordinator.seat.borrow_mut().close(&world(&coordinator, &pool, host, t, &limits), (t.rotation_bytes, t.rotation_us))?)
    }
}

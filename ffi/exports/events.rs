//! Exports for a coordinator.

use crate::abi::*;
use crate::convert::limits_of;
use crate::export;
use crate::export::{Handle, Out, Vtable, of_panic};
use crate::guard::caught;
use crate::hosts::caller::Caller;
use crate::hosts::event::Events;
use crate::memory::pool::aside_pool;
use crate::memory::registry::aside_registry;
use aside_core::coordinator::process::{Next, Process};
use aside_core::launcher::registry::Registry;
use aside_core::lease::leases::Leases;
use std::cell::RefCell;

/// A coordinator's state. Opaque to C.
#[allow(non_camel_case_types)]
pub struct aside_coordinator {
    registry: &'static Registry,
    process: RefCell<Process>,
    leases: Leases,
}

export! {
    fn aside_coordinator_new(registry: Handle<aside_registry>, entry: u32, partition: u32, needed: bool, now: i64) -> *mut aside_coordinator, otherwise(std::ptr::null_mut()) {
        let registry = registry.registry;
        let process = RefCell::new(Process::new(registry, entry, partition as u8, needed, now));
        Box::into_raw(Box::new(aside_coordinator { registry, process, leases: Leases::default() }))
    }
}

export! {
    fn aside_coordinator_turn(coordinator: Handle<aside_coordinator>, pool: Handle<aside_pool>, host: Caller, process: Vtable<aside_coordinator_host>, events: Vtable<aside_event_host>, schedules: Vtable<aside_schedule_host>, jobs: Vtable<aside_job_host>, ends: bool, wait_us: Out<i64>) -> bool, otherwise(false) {
        let (c, t) = (process.get(), events.get());
        let limits = limits_of(&c.limits).of_coordinator();
        let registry = coordinator.registry;
        let world = Events { h: host, c, t, schedules: schedules.get(), jobs: jobs.get(), area: &pool.area, caller: &pool.caller, limits, leases: &coordinator.leases, registry };
        let turned = caught(|| {
            let mut process = coordinator.process.borrow_mut();
            process.set_rotation(t.rotation_bytes, t.rotation_us);
            process.turn(&world, registry, ends)
        });
        let next = turned.unwrap_or_else(|text| {
            world.h.fail(&of_panic(text));
            coordinator.process.borrow_mut().broke_off(&world, registry)
        });
        match next {
            Next::Sleep(us) => wait_us.write(i64::try_from(us).unwrap_or(i64::MAX)),
            Next::End => {}
        }
        next != Next::End
    }
}

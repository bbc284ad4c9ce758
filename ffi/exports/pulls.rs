//! Exports for consumers: what they ask the coordinator of their database for.

use crate::export;
use crate::export::Out;
use crate::hosts::caller::Caller;
use crate::memory::registry::aside_registry;
use aside_core::launcher::pulls::{NAMED, Wanted, ask};

const _: () = assert!(NAMED == crate::abi::ASIDE_NAMED_EVENTS as usize);

export! {
    fn aside_pull(
        host: Caller, registry: &aside_registry, database: u32, handler: u32, most: u32, lease_us: i64, wait_us: i64, lease: Out<i64>,
    ) raises(host) {
        let wait_us = u64::try_from(wait_us).unwrap_or(0);
        let wanted = Wanted::Events { most, lease_us: u64::try_from(lease_us).unwrap_or(0), waits: wait_us > 0 };
        lease.write(ask(&host, registry.registry, (database, handler), &wanted, wait_us)?.0);
        Ok(())
    }
}

export! {
    fn aside_find_leases(
        host: Caller, registry: &aside_registry, database: u32, handler: u32, events: *const i64, count: usize, lease_us: i64, leases: *mut i64,
    ) raises(host) {
        // SAFETY: `count` ids, per aside_abi.h.
        let events: &[i64] = unsafe { crate::bytes::slice(events, count) };
        for (at, named) in (0..).step_by(NAMED).zip(events.chunks(NAMED)) {
            let lease_us = u64::try_from(lease_us).ok().filter(|us| *us > 0);
            let wanted = Wanted::Leases { events: aside_core::memory::copy(named, "events of a lease")?, lease_us };
            let (_, found) = ask(&host, registry.registry, (database, handler), &wanted, 0)?;
            for (i, lease) in found.iter().take(named.len()).enumerate() {
                // SAFETY: there is room for `count` of them, per aside_abi.h.
                unsafe { leases.add(at + i).write(*lease) };
            }
        }
        Ok(())
    }
}

export! {
    /// The process exits, whatever it asked for.
    fn aside_pull_exit(registry: &aside_registry, pid: u32) {
        registry.registry.pulls.leave_all(pid);
    }
}

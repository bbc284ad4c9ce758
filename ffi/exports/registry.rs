//! Exports for the registry of coordinators: the launcher, the coordinators, and those who want something of either.

use crate::abi::*;
use crate::convert::{coordinator_row, entry_state, latch, tally_row};
use crate::export;
use crate::export::{Handle, Out};
use crate::hosts::launcher::{Host, raw_assignment};
use crate::memory::registry::{self, aside_registry};
use aside_core::coordinator::topics::Topics;
use aside_core::launcher;
use std::ffi::c_void;

export! {
    fn aside_registry_size() -> usize, otherwise(0) {
        registry::SIZE
    }
}

export! {
    fn aside_registry_init(memory: *mut c_void, len: usize) -> bool, otherwise(false) {
        // SAFETY: `len` zeroed bytes that nobody uses yet, per aside_abi.h.
        unsafe { registry::init(memory.cast(), len) }
    }
}

export! {
    fn aside_registry_attach(memory: *mut c_void, len: usize) -> *mut aside_registry, otherwise(std::ptr::null_mut()) {
        // SAFETY: `len` bytes laid out by aside_registry_init and mapped until the process ends, per aside_abi.h.
        let registry = unsafe { registry::attach(memory.cast(), len) };
        registry.map_or(std::ptr::null_mut(), |registry| Box::into_raw(Box::new(registry)))
    }
}

export! {
    fn aside_launcher_step(registry: Handle<aside_registry>, host: Host) -> i64, otherwise(launcher::WAIT_AFTER_PANIC_US) {
        registry.launcher.borrow_mut().step(&host, registry.registry)
    }
}

export! {
    fn aside_launcher_attach(registry: Handle<aside_registry>, pid: u32, proc: i64) {
        registry.registry.set_launcher(pid, u32::try_from(proc).ok());
    }
}

export! {
    fn aside_launcher_kick(registry: Handle<aside_registry>) -> i64, otherwise(-1) {
        latch(registry.registry.kick())
    }
}

export! {
    fn aside_coordinator_attach(registry: Handle<aside_registry>, entry: u32, generation: u64, pid: u32, proc: u32, now: i64) -> bool, otherwise(false) {
        registry.entry(entry).is_some_and(|entry| entry.attach(generation, pid, proc, now))
    }
}

export! {
    fn aside_coordinator_became(registry: Handle<aside_registry>, entry: u32, state: aside_entry_state::Type, now: i64) {
        if let Some((entry, state)) = registry.entry(entry).zip(entry_state(state)) {
            entry.enter(state, now);
        }
    }
}

export! {
    fn aside_coordinator_exit(registry: Handle<aside_registry>, entry: u32, now: i64) {
        if let Some(entry) = registry.entry(entry) {
            launcher::exits(registry.registry, entry, now);
        }
    }
}

export! {
    fn aside_reserve_wait(registry: Handle<aside_registry>, place: u32, proc: u32) {
        if let Some(place) = registry.registry.reserve.get(place as usize) {
            place.wait(proc);
        }
    }
}

export! {
    fn aside_reserve_take(registry: Handle<aside_registry>, place: u32, assignment: Out<aside_assignment>) -> bool, otherwise(false) {
        let taken = registry.registry.reserve.get(place as usize).and_then(|place| place.take());
        taken.inspect(|taken| assignment.write(raw_assignment(*taken))).is_some()
    }
}

export! {
    fn aside_reserve_leave(registry: Handle<aside_registry>, place: u32, now: i64) {
        launcher::leave_reserve(registry.registry, place, now);
    }
}

export! {
    fn aside_registry_say(registry: Handle<aside_registry>, database: u32, topics: u32, now: i64) -> i64, otherwise(-1) {
        latch(registry.registry.say(database, Topics::from_bits(topics), now))
    }
}

export! {
    fn aside_registry_changes(registry: &aside_registry, database: u32) -> u32, otherwise(0) {
        registry.registry.find(database).map_or(0, |(_, entry)| entry.changes())
    }
}

export! {
    fn aside_registry_make_room(registry: Handle<aside_registry>, now: i64, proc: Out<i64>) -> bool, otherwise(false) {
        registry.registry.make_room(now).inspect(|asked| proc.write(latch(*asked))).is_some()
    }
}

export! {
    fn aside_registry_want(registry: Handle<aside_registry>, database: u32, now: i64) {
        registry.registry.want(database, now);
    }
}

export! {
    fn aside_registry_vacate(registry: Handle<aside_registry>, database: u32, until: i64, proc: Out<i64>) -> bool, otherwise(false) {
        registry.registry.vacate(database, until).inspect(|asked| proc.write(latch(*asked))).is_some()
    }
}

export! {
    fn aside_registry_readmit(registry: Handle<aside_registry>, database: u32) {
        registry.registry.readmit(database);
    }
}

export! {
    fn aside_registry_partition(registry: &aside_registry, database: u32) -> i32, otherwise(-1) {
        registry.registry.find(database).and_then(|(_, entry)| entry.partition()).map_or(-1, |partition| partition as i32)
    }
}

export! {
    fn aside_registry_set_partition(registry: Handle<aside_registry>, entry: u32, partition: u32) {
        if let Some(entry) = registry.entry(entry) {
            entry.set_partition(partition);
        }
    }
}

export! {
    fn aside_registry_raise_id(registry: &aside_registry, database: u32, sequence: u32, id: i64) -> i64, otherwise(0) {
        registry.registry.find(database).map_or(0, |(_, entry)| entry.raise_id(sequence, id))
    }
}

export! {
    fn aside_registry_unseen(registry: &aside_registry, database: u32, from: Out<u64>, running: *mut u64) -> i32, otherwise(-1) {
        let mut unseen = [0; ASIDE_UNSEEN_RUNNING as usize];
        let seen = registry.registry.find(database).and_then(|(_, entry)| entry.seen.get(&mut unseen));
        let Some((first, count)) = seen else { return -1 };
        from.write(first);
        // SAFETY: room for ASIDE_UNSEEN_RUNNING numbers, per aside_abi.h; there are no more.
        unsafe { running.copy_from_nonoverlapping(unseen.as_ptr(), count) };
        count as i32
    }
}

export! {
    /// On a panic the caller counts, and asks again.
    fn aside_quota_take(registry: &aside_registry, database: u32, role: u32, quota: u32) -> bool, otherwise(false) {
        registry.registry.quotas.take(database, role, quota)
    }
}

export! {
    fn aside_quota_counted(registry: &aside_registry, database: u32, role: u32, count: u32) {
        registry.registry.quotas.counted(database, role, count);
    }
}

export! {
    fn aside_view_coordinator(registry: &aside_registry, index: u32, out: Out<aside_coordinator_row>) -> bool, otherwise(false) {
        registry.entry(index).inspect(|entry| out.write(coordinator_row(entry))).is_some()
    }
}

export! {
    fn aside_view_tally(registry: &aside_registry, index: u32, now: i64, out: Out<aside_tally_row>) -> bool, otherwise(false) {
        let row = registry.registry.tallies.row(index as usize);
        row.inspect(|(database, handler, counts)| out.write(tally_row(*database, *handler, counts, now))).is_some()
    }
}

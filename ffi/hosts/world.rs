//! The core's `World` over `aside_world`: time, latches, interrupts.

use crate::abi::{aside_status, aside_world};
use crate::convert::lent;
use crate::host_call;
use aside_core::host::{Saved, Slept};
use aside_core::memory::NoMemory;
use aside_core::report::Report;
use std::sync::OnceLock;

/// Microseconds of the monotonic clock that all processes of this machine share.
pub fn now_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable. The clock is there on every system that the server runs on, so this does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1000
}

/// Processors that this process may use: std knows of affinity and of control groups.
pub fn cpus() -> u32 {
    static CPUS: OnceLock<u32> = OnceLock::new();
    *CPUS.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u32))
}

/// A host call's status as the core sees it. What is neither success nor a time-out is an error that
/// the host keeps.
pub fn slept(status: aside_status::Type) -> Result<Slept, Saved> {
    match status {
        aside_status::ASIDE_OK => Ok(Slept::Woken),
        aside_status::ASIDE_TIMEOUT => Ok(Slept::TimedOut),
        _ => Err(Saved),
    }
}

/// Have the host keep the error that there is no memory.
pub fn no_memory(world: &aside_world, no: NoMemory) -> Saved {
    lent(&Report::out_of_memory(no), |report| host_call!(world, fail(report)));
    Saved
}

/// Success or a kept error.
pub fn done(status: aside_status::Type) -> Result<(), Saved> {
    if status == aside_status::ASIDE_OK { Ok(()) } else { Err(Saved) }
}

/// A server flag: volatile, because signal handlers write it.
///
/// # Safety
/// `flag` points to a flag of the server's, which lives as long as the process.
pub unsafe fn flag(flag: *const i32) -> bool {
    // SAFETY: per the contract above.
    unsafe { flag.read_volatile() != 0 }
}

/// Call a member of a vtable. A missing member is a bug of the shim; the panic is caught by the export.
#[macro_export]
macro_rules! host_call {
    ($table:expr, $member:ident ( $($arg:expr),* )) => {{
        #[allow(clippy::expect_used, reason = "a vtable with a hole is a bug in this module, caught by the guard")]
        let member = $table.$member.expect(concat!("vtable member ", stringify!($member)));
        // SAFETY: the shim fills each vtable with functions of these prototypes that trap the server's
        // errors, and that read their arguments during the call only.
        #[allow(clippy::macro_metavars_in_unsafe, reason = "arguments are values and references of this crate")]
        unsafe { member($($arg),*) }
    }};
}

/// Implements `World` for a struct whose field `t` refers to a vtable with a `world`.
#[macro_export]
macro_rules! impl_world {
    ($type:ty) => {
        impl aside_core::host::World for $type {
            fn now_us(&self) -> u64 {
                $crate::hosts::world::now_us()
            }
            fn timestamp(&self) -> i64 {
                $crate::host_call!(self.t.world, timestamp())
            }
            fn cpus(&self) -> u32 {
                $crate::hosts::world::cpus()
            }
            fn my_pid(&self) -> u32 {
                self.t.world.my_pid
            }
            fn my_proc(&self) -> u32 {
                self.t.world.my_proc
            }
            fn interrupt_pending(&self) -> bool {
                // SAFETY: the shim points it at the server's InterruptPending.
                unsafe { $crate::hosts::world::flag(self.t.world.interrupt_pending) }
            }
            fn terminating(&self) -> bool {
                // SAFETY: the shim points it at the server's ProcDiePending.
                unsafe { $crate::hosts::world::flag(self.t.world.die_pending) }
            }
            fn sleep(&self, timeout_ms: u32) -> Result<aside_core::host::Slept, aside_core::host::Saved> {
                $crate::hosts::world::slept($crate::host_call!(self.t.world, sleep(timeout_ms)))
            }
            fn doze(&self, timeout_ms: u32) -> aside_core::host::Slept {
                $crate::hosts::world::slept($crate::host_call!(self.t.world, doze(timeout_ms))).unwrap_or(aside_core::host::Slept::Woken)
            }
            fn wake(&self, proc: u32) {
                $crate::host_call!(self.t.world, wake(proc));
            }
            #[expect(clippy::disallowed_methods, reason = "few, and never more")]
            fn pins_wanted(&self) -> Vec<u32> {
                let mut waiters = [0; 16];
                let count = $crate::host_call!(self.t.world, pins_wanted(waiters.as_mut_ptr(), waiters.len()));
                waiters[..count.min(waiters.len())].to_vec()
            }
            fn clear_latch(&self) {
                $crate::host_call!(self.t.world, clear_latch());
            }
            fn naps(&self) -> bool {
                $crate::hosts::futex::AVAILABLE
            }
            fn nap(&self, word: &std::sync::atomic::AtomicU32, is: u32, timeout_ms: u32) -> aside_core::host::Slept {
                $crate::host_call!(self.t.world, show_nap(true));
                let slept = $crate::hosts::futex::wait(word, is, timeout_ms);
                $crate::host_call!(self.t.world, show_nap(false));
                slept
            }
            fn rouse(&self, word: &std::sync::atomic::AtomicU32) {
                $crate::hosts::futex::wake(word);
            }
            fn processor(&self) -> Option<u32> {
                $crate::hosts::processors::mine()
            }
            fn allowed(&self, pid: u32) -> Option<aside_core::pool::place::Processors> {
                $crate::hosts::processors::allowed(pid)
            }
            fn allow(&self, pid: u32, processors: &aside_core::pool::place::Processors) {
                $crate::hosts::processors::allow(pid, processors);
            }
            fn relax(&self) {
                std::hint::spin_loop();
            }
        }
    };
}

/// The world of a process that is on neither side of a lease.
pub struct Bystander<'a> {
    pub t: Table<'a>,
}

pub struct Table<'a> {
    pub world: &'a aside_world,
}

impl_world!(Bystander<'_>);

#[cfg(test)]
mod tests {
    use super::now_us;
    use std::process::Command;

    /// The child of the next test.
    #[test]
    fn a_process_says_what_time_it_is() {
        println!("it is {}", now_us());
    }

    #[test]
    fn what_one_process_reads_of_the_clock_another_can_compare() {
        let before = now_us();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hosts::world::tests::a_process_says_what_time_it_is", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8(child.stdout).unwrap();
        let word = said.split("it is ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        let there: u64 = word.parse().unwrap();
        assert!((before..=now_us()).contains(&there), "{before} {there}");
    }
}

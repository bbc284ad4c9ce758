//! Sleeping on a word of shared memory, and rousing who sleeps there: Linux has it, and others do without.

use aside_core::host::Slept;
use std::sync::atomic::AtomicU32;

pub const AVAILABLE: bool = cfg!(target_os = "linux");

/// Sleep while the word `is` that number: until somebody rouses this process, a signal comes, or the time has passed. With a
/// timeout a signal ends it whatever its handler says of restarting.
#[cfg(target_os = "linux")]
pub fn wait(word: &AtomicU32, is: u32, timeout_ms: u32) -> Slept {
    let timeout = libc::timespec { tv_sec: i64::from(timeout_ms / 1000), tv_nsec: i64::from(timeout_ms % 1000) * 1_000_000 };
    // SAFETY: `word` is a mapped, aligned word of 32 bits, and `timeout` is valid, during the call. The kernel only reads both.
    let failed = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, is, &raw const timeout) } != 0;
    if failed && std::io::Error::last_os_error().raw_os_error() == Some(libc::ETIMEDOUT) { Slept::TimedOut } else { Slept::Woken }
}

/// Rouse the process that sleeps on the word, if one does.
#[cfg(target_os = "linux")]
pub fn wake(word: &AtomicU32) {
    // SAFETY: as above; the kernel does not touch what the address points to.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

#[cfg(not(target_os = "linux"))]
pub fn wait(_: &AtomicU32, _: u32, _: u32) -> Slept {
    Slept::Woken
}

#[cfg(not(target_os = "linux"))]
pub fn wake(_: &AtomicU32) {}

//! Which processor a process runs on, and which it may use: Linux tells, and keeps it.

use aside_core::pool::place::Processors;

/// The processor that this process runs on.
#[cfg(target_os = "linux")]
pub fn mine() -> Option<u32> {
    // SAFETY: it reads nothing of ours.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// The processors that a process may use; None where they are more than a set has room for.
#[cfg(target_os = "linux")]
pub fn allowed(pid: u32) -> Option<Processors> {
    let mut set = Processors::default();
    // SAFETY: the kernel writes at most as many bytes as it is told there are.
    let got = unsafe { libc::syscall(libc::SYS_sched_getaffinity, pid, size_of_val(&set), set.as_mut_ptr()) };
    (got > 0).then_some(set)
}

/// Have a process use these. One that has gone, or that may not, stays as it is.
#[cfg(target_os = "linux")]
pub fn allow(pid: u32, processors: &Processors) {
    // SAFETY: the kernel reads as many bytes as there are.
    unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(processors), processors.as_ptr()) };
}

#[cfg(not(target_os = "linux"))]
pub fn mine() -> Option<u32> {
    None
}

#[cfg(not(target_os = "linux"))]
pub fn allowed(_: u32) -> Option<Processors> {
    None
}

#[cfg(not(target_os = "linux"))]
pub fn allow(_: u32, _: &Processors) {}

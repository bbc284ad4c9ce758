//! Exports for the process of a worker: its main loop, the gate at its commits, what a running command says.

use crate::abi::*;
use crate::bytes::slice;
use crate::convert::{column_of, copied};
use crate::guard::caught;
use crate::hosts::worker::{SinkRef, WorkerSide};
use crate::hosts::world::is_ours;
use crate::memory::pool::aside_pool;
use aside_core::host::SinkStop;
use aside_core::memory;
use std::ffi::c_void;

/// ASIDE_LEAVE on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_worker_attach(
    pool: *mut aside_pool,
    host: *const aside_worker_host,
    slot: u32,
    generation: u64,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    match caught(|| is_ours(&host.world) && pool.worker.attach(&WorkerSide { t: host }, slot, generation)) {
        Ok(true) => aside_status::ASIDE_OK,
        _ => aside_status::ASIDE_LEAVE,
    }
}

/// ASIDE_PANIC on a panic: the process is not fit to go on.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_worker_run(pool: *mut aside_pool, host: *const aside_worker_host) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    caught(|| pool.worker.run(&WorkerSide { t: host })).map_or(aside_status::ASIDE_PANIC, |()| aside_status::ASIDE_OK)
}

/// Nothing more is done on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_worker_exit(pool: *mut aside_pool, host: *const aside_worker_host) {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    _ = caught(|| pool.worker.leave(&WorkerSide { t: host }));
}

/// ASIDE_GONE on a panic: what cannot be decided must not commit.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_gate_pre_commit(pool: *mut aside_pool, xid: u64) -> aside_status::Type {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    match caught(|| pool.worker.gate_pre_commit(xid)) {
        Ok(true) => aside_status::ASIDE_OK,
        _ => aside_status::ASIDE_GONE,
    }
}

/// false on a panic: the gate itself keeps a cancelled command from its next commit.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_gate_committed(pool: *mut aside_pool) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.worker.gate_committed()).unwrap_or(false)
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_gate_aborted(pool: *mut aside_pool) {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    _ = caught(|| pool.worker.gate_aborted());
}

/// Nothing more is done on a panic: the result is sent after the commit.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_commit_settled(pool: *mut aside_pool, host: *const aside_worker_host) {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    _ = caught(|| pool.worker.commit_settled(&WorkerSide { t: host }));
}

/// false on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_cancelled_by_deadlock(pool: *const aside_pool) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.worker.deadlocked()).unwrap_or(false)
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_worker_depth(pool: *const aside_pool) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.worker.depth()).unwrap_or(0)
}

/// ASIDE_GONE on a panic.
///
/// # Safety
/// `sink` is what the running `run` was given; `tuple` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_sink_row(sink: *mut c_void, tuple: aside_bytes) -> aside_status::Type {
    let result = caught(|| {
        // SAFETY: `run` lends a SinkRef for as long as the statement runs, and does not touch it meanwhile.
        let sink = unsafe { &mut *sink.cast::<SinkRef>() };
        // SAFETY: readable during this call.
        sink.sink.row(unsafe { slice(tuple.data, tuple.len) })
    });
    match result {
        Ok(Ok(())) => aside_status::ASIDE_OK,
        Ok(Err(stop)) => stopped(stop),
        Err(_) => aside_status::ASIDE_GONE,
    }
}

fn stopped(stop: SinkStop) -> aside_status::Type {
    match stop {
        SinkStop::Saved => aside_status::ASIDE_SAVED,
        SinkStop::TooLong => aside_status::ASIDE_TOO_LONG,
        SinkStop::TooMuch => aside_status::ASIDE_TOO_MUCH,
        SinkStop::NoMemory => aside_status::ASIDE_NO_MEMORY,
        SinkStop::CallerGone => aside_status::ASIDE_GONE,
    }
}

/// ASIDE_GONE on a panic.
///
/// # Safety
/// As `aside_sink_row`; the columns are readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_sink_describe(sink: *mut c_void, columns: *const aside_column, count: usize) -> aside_status::Type {
    let result = caught(|| {
        // SAFETY: as in aside_sink_row.
        let sink = unsafe { &mut *sink.cast::<SinkRef>() };
        // SAFETY: readable during this call.
        let columns = unsafe { memory::collect(slice(columns, count).iter().map(|c| column_of(c)), "the columns of a result") };
        let columns = columns.map_err(|_| SinkStop::NoMemory)?;
        sink.sink.describe(&columns)
    });
    match result {
        Ok(Ok(())) => aside_status::ASIDE_OK,
        Ok(Err(stop)) => stopped(stop),
        Err(_) => aside_status::ASIDE_GONE,
    }
}

/// ASIDE_GONE on a panic.
///
/// # Safety
/// As said at the top; `message` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_sink_message(
    pool: *mut aside_pool,
    host: *const aside_worker_host,
    message: *const aside_report,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host, message) = unsafe { (&*pool, &*host, &*message) };
    // SAFETY: readable during this call.
    let sent = caught(|| pool.worker.message(&WorkerSide { t: host }, &unsafe { copied(message) }));
    sent.map_or(aside_status::ASIDE_GONE, |()| aside_status::ASIDE_OK)
}

/// Before a commit: what a task has said becomes its result.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_settle_task(pool: *mut aside_pool, host: *const aside_worker_host) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    let settled = caught(|| pool.worker.settle(&WorkerSide { t: host }));
    settled.map_or(aside_status::ASIDE_GONE, |settled| settled.map_or_else(stopped, |()| aside_status::ASIDE_OK))
}

//! Exports for the process of a worker: its main loop, the gate at its commits, what a running command says.

use crate::abi::*;
use crate::bytes::slice;
use crate::convert::{column_of, copied};
use crate::export;
use crate::export::{Handle, Text};
use crate::hosts::worker::{SinkRef, WorkerSide};
use crate::memory::pool::aside_pool;
use aside_core::host::SinkStop;
use aside_core::memory;
use aside_core::pool::slot::Owed;
use std::ffi::c_void;

fn taken(result: Result<(), SinkStop>) -> aside_status::Type {
    match result {
        Ok(()) => aside_status::ASIDE_OK,
        Err(SinkStop::Saved) => aside_status::ASIDE_SAVED,
        Err(SinkStop::TooLong) => aside_status::ASIDE_TOO_LONG,
        Err(SinkStop::TooMuch) => aside_status::ASIDE_TOO_MUCH,
        Err(SinkStop::NoMemory) => aside_status::ASIDE_NO_MEMORY,
        Err(SinkStop::CallerGone) => aside_status::ASIDE_GONE,
    }
}

export! {
    fn aside_worker_attach(pool: Handle<aside_pool>, host: WorkerSide, slot: u32, generation: u64) -> aside_status::Type, otherwise(aside_status::ASIDE_LEAVE) {
        if pool.worker.attach(&host, slot, generation) { aside_status::ASIDE_OK } else { aside_status::ASIDE_LEAVE }
    }
}

export! {
    /// A process whose main loop has panicked is not fit to go on.
    fn aside_worker_run(pool: Handle<aside_pool>, host: WorkerSide) -> aside_status::Type, otherwise(aside_status::ASIDE_PANIC) {
        pool.worker.run(&host);
        aside_status::ASIDE_OK
    }
}

export! {
    fn aside_worker_exit(pool: Handle<aside_pool>, host: WorkerSide) {
        pool.worker.leave(&host);
    }
}

export! {
    /// What cannot be decided must not commit.
    fn aside_gate_pre_commit(pool: Handle<aside_pool>, xid: u64) -> aside_status::Type, otherwise(aside_status::ASIDE_GONE) {
        if pool.worker.gate_pre_commit(xid) { aside_status::ASIDE_OK } else { aside_status::ASIDE_GONE }
    }
}

export! {
    fn aside_caller_waits(pool: Handle<aside_pool>) -> bool, otherwise(false) {
        pool.worker.caller_waits()
    }
}

export! {
    fn aside_owe_commit(pool: Handle<aside_pool>, position: u64, level: u32) {
        pool.worker.owe(Owed { position, level });
    }
}

export! {
    /// On a panic the gate itself keeps a cancelled command from its next commit.
    fn aside_gate_committed(pool: Handle<aside_pool>) -> bool, otherwise(false) {
        pool.worker.gate_committed()
    }
}

export! {
    fn aside_gate_aborted(pool: Handle<aside_pool>) {
        pool.worker.gate_aborted();
    }
}

export! {
    /// Nothing more is done on a panic: the result is sent after the commit.
    fn aside_commit_settled(pool: Handle<aside_pool>, host: WorkerSide) {
        pool.worker.commit_settled(&host);
    }
}

export! {
    fn aside_cancelled_by_deadlock(pool: &aside_pool) -> bool, otherwise(false) {
        pool.worker.deadlocked()
    }
}

export! {
    fn aside_worker_depth(pool: &aside_pool) -> u32, otherwise(0) {
        pool.worker.depth()
    }
}

export! {
    fn aside_worker_task(pool: &aside_pool) -> u64, otherwise(0) {
        pool.worker.running_task()
    }
}

export! {
    fn aside_sink_row(sink: *mut c_void, tuple: Text) -> aside_status::Type, otherwise(aside_status::ASIDE_GONE) {
        // SAFETY: `run` lends a SinkRef for as long as the statement runs, and does not touch it meanwhile.
        let sink = unsafe { &mut *sink.cast::<SinkRef>() };
        taken(sink.sink.row(tuple.0.unwrap_or_default()))
    }
}

export! {
    fn aside_sink_describe(sink: *mut c_void, columns: *const aside_column, count: usize) -> aside_status::Type, otherwise(aside_status::ASIDE_GONE) {
        // SAFETY: as in aside_sink_row.
        let sink = unsafe { &mut *sink.cast::<SinkRef>() };
        // SAFETY: the columns and their names are readable during this call, per aside_abi.h.
        let columns = unsafe { memory::collect(slice(columns, count).iter().map(|c| column_of(c)), "the columns of a result") };
        taken(columns.map_err(|_| SinkStop::NoMemory).and_then(|columns| sink.sink.describe(&columns)))
    }
}

export! {
    fn aside_sink_message(pool: Handle<aside_pool>, host: WorkerSide, message: &aside_report, command: Text) -> aside_status::Type, otherwise(aside_status::ASIDE_GONE) {
        // SAFETY: its texts are readable during this call, per aside_abi.h.
        pool.worker.message(&host, unsafe { copied(message) }, command.0);
        aside_status::ASIDE_OK
    }
}

export! {
    fn aside_settle_task(pool: Handle<aside_pool>, host: WorkerSide) -> aside_status::Type, otherwise(aside_status::ASIDE_GONE) {
        taken(pool.worker.settle(&host))
    }
}

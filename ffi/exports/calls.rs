//! Exports for a caller's process: one call, a query over chunks, and the end.

use crate::abi::*;
use crate::bytes::{optional, slice};
use crate::convert::{column_of, ending_of};
use crate::export;
use crate::export::{Handle, Out};
use crate::hosts::caller::Caller;
use crate::memory::pool::aside_pool;
use aside_core::caller::call::{self, Call};
use aside_core::caller::leave;
use aside_core::caller::parallel::{self, Plan};
use aside_core::chunk::split::Splitter;
use aside_core::memory;
use aside_core::report::{INTERNAL_ERROR, Report};

const PLAN: &str = "the plan of a parallel query";

export! {
    fn aside_call_run(pool: Handle<aside_pool>, host: Caller, call: Call, ending: Out<aside_ending>) raises(host) {
        ending.write(ending_of(&call::run(&host, &pool.area, &pool.caller, &call)?, true, false));
        Ok(())
    }
}

export! {
    fn aside_parallel_run(pool: Handle<aside_pool>, host: Caller, call: Call, plan: &aside_parallel) raises(host) {
        // SAFETY: what it points to is readable during this call, per aside_abi.h.
        let (parts, answer) = unsafe { (slice(plan.split, plan.nsplit), slice(plan.answer, plan.nanswer)) };
        // SAFETY: as above.
        let parts = memory::collect(parts.iter().map(|part| unsafe { optional(part) }.unwrap_or_default()), PLAN)?;
        // SAFETY: as above.
        let answer = memory::collect(answer.iter().map(|column| unsafe { column_of(column) }), PLAN)?;
        let split = Splitter::of(&parts).ok_or_else(|| Report::error(INTERNAL_ERROR, "a split is not one of aside.parallel_target()"))?;
        let plan = Plan {
            split: &split,
            chunk_rows: (plan.chunk_rows > 0).then_some(plan.chunk_rows),
            rows: plan.rows,
            workers: plan.workers,
            bounds: plan.bounds.get(..plan.nbounds as usize).unwrap_or_default(),
            answer: &answer,
        };
        parallel::query(&host, &pool.area, &pool.caller, &call, &plan)
    }
}

export! {
    /// A process that exits ends anyway: nothing more is done on a panic.
    fn aside_caller_exit(pool: Handle<aside_pool>, host: Caller) {
        leave::leave(&host, &pool.area, &pool.caller);
    }
}

export! {
    fn aside_pool_close(pool: Handle<aside_pool>, host: Caller) {
        leave::close(&host, &pool.area, &pool.caller);
    }
}

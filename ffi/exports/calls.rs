//! Exports for a caller's process: one call, and its end.

use crate::abi::*;
use crate::convert::ending_of;
use crate::export;
use crate::export::{Handle, Out};
use crate::hosts::caller::Caller;
use crate::memory::pool::aside_pool;
use aside_core::caller::call::{self, Call};
use aside_core::caller::leave;

export! {
    fn aside_call_run(pool: Handle<aside_pool>, host: Caller, call: Call, ending: Out<aside_ending>) raises(host) {
        ending.write(ending_of(&call::run(&host, &pool.area, &pool.caller, &call)?, true, false));
        Ok(())
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

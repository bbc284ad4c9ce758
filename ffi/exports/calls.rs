//! Exports for a caller's process: one call, and its end. [`settled`] is how each export that may raise an error ends.

use crate::abi::*;
use crate::convert::{call_of, ending_of};
use crate::guard::caught;
use crate::hosts::caller::Caller;
use crate::hosts::world::is_ours;
use crate::memory::pool::aside_pool;
use aside_core::autonomous_tx::call::{self, Failed};
use aside_core::report::{Field, INTERNAL_ERROR, Report};

fn panicked(host: &aside_caller_host, text: String) -> aside_status::Type {
    let report = Report::error(INTERNAL_ERROR, "internal error in pg_aside").with(Field::Detail, text);
    Caller { t: host }.fail(&report);
    aside_status::ASIDE_SAVED
}

/// ASIDE_SAVED on a panic, with an error that tells of it.
///
/// # Safety
/// As said at the top; `call` and what it points to is readable; `ending` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_call_run(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    ending: *mut aside_ending,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host, raw) = unsafe { (&*pool, &*host, &*call) };
    let run = || {
        if !is_ours(&host.world) {
            return Err(Failed::from(Report::error(INTERNAL_ERROR, "pg_aside was built from parts of different versions")));
        }
        // SAFETY: `call` points to what it says, for the duration of this call.
        let call = unsafe { call_of(raw) }?;
        call::run(&Caller { t: host }, &pool.area, &pool.session, &call)
    };
    // SAFETY: writable, per the contract.
    settled(host, run, |done| unsafe { ending.write(ending_of(&done, true, false)) })
}

/// Run, write what came of it, or keep the error.
pub(crate) fn settled<T>(host: &aside_caller_host, run: impl FnOnce() -> Result<T, Failed>, write: impl FnOnce(T)) -> aside_status::Type {
    match caught(run) {
        Ok(Ok(value)) => {
            write(value);
            aside_status::ASIDE_OK
        }
        Ok(Err(Failed::Saved)) => aside_status::ASIDE_SAVED,
        Ok(Err(Failed::Report(report))) => {
            Caller { t: host }.fail(&report);
            aside_status::ASIDE_SAVED
        }
        Err(text) => panicked(host, text),
    }
}
/// Nothing more is done on a panic: the process exits anyway.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_caller_exit(pool: *mut aside_pool, host: *const aside_caller_host) {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    _ = caught(|| call::leave(&Caller { t: host }, &pool.area, &pool.session));
}

/// As `aside_caller_exit`.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_close(pool: *mut aside_pool, host: *const aside_caller_host) {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    _ = caught(|| call::close(&Caller { t: host }, &pool.area, &pool.session));
}

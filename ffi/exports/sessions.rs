//! The functions that C calls for autonomous sessions; what `exports/mod.rs` says at its top holds here too.
//!
//! For all of them: `name` is readable; outputs are writable.

use crate::abi::*;
use crate::bytes::{lend, lend_optional, optional};
use crate::convert::{call_of, ending_of};
use crate::exports::calls::settled;
use crate::guard::caught;
use crate::hosts::caller::Caller;
use crate::memory::pool::aside_pool;
use aside_core::autonomous_tx::call::{self, Failed};
use aside_core::autonomous_tx::session;
use aside_core::wire::message::Ending;

/// Run `f` with everything that C handed over.
macro_rules! with_call {
    ($pool:ident, $host:ident, $call:ident, $name:ident, $f:expr, $write:expr) => {{
        // SAFETY: per the contract of all exports.
        let (pool, host, raw) = unsafe { (&*$pool, &*$host, &*$call) };
        // SAFETY: `call` and `name` point to what they say, for the duration of this call.
        let run = || unsafe { $f(&Caller { t: host }, &pool.area, &pool.session, &call_of(raw)?, optional(&$name)) };
        settled(host, run, $write)
    }};
}

/// ASIDE_SAVED on a panic, with an error that tells of it; so with all that return a status here.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_open(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    name: aside_bytes,
) -> aside_status::Type {
    with_call!(pool, host, call, name, session::open, |()| ())
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_run(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    name: aside_bytes,
    ending: *mut aside_ending,
) -> aside_status::Type {
    // SAFETY: writable, per the contract.
    with_call!(pool, host, call, name, session::run, |done| unsafe { ending.write(ending_of(&done, true, false)) })
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_send(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    name: aside_bytes,
) -> aside_status::Type {
    with_call!(pool, host, call, name, session::send, |()| ())
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_result(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    name: aside_bytes,
    tags: bool,
    ending: *mut aside_ending,
) -> aside_status::Type {
    let write = |found: Option<(Ending, bool)>| {
        let found = found.map_or_else(|| ending_of(&Ending::default(), false, false), |(e, rows)| ending_of(&e, true, rows));
        // SAFETY: writable, per the contract.
        unsafe { ending.write(found) }
    };
    with_call!(pool, host, call, name, |h, a, s, c, n| session::result(h, a, s, c, n, tags), write)
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_notifications(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    name: aside_bytes,
) -> aside_status::Type {
    with_call!(pool, host, call, name, session::notifications, |()| ())
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_close(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    name: aside_bytes,
) -> aside_status::Type {
    with_call!(pool, host, call, name, session::close, |()| ())
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_sessions_close(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
) -> aside_status::Type {
    let close_all = |h: &_, area: &_, session: &_, call: &_, _: Option<&[u8]>| session::close_all(h, area, session, call);
    let all = aside_bytes::default();
    with_call!(pool, host, call, all, close_all, |()| ())
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_is_busy(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    name: aside_bytes,
    busy: *mut bool,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    // SAFETY: readable and writable, per the contract.
    let run = || session::is_busy(&Caller { t: host }, &pool.area, &pool.session, unsafe { optional(&name) });
    // SAFETY: as above.
    settled(host, run, |is| unsafe { busy.write(is) })
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_cancel(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    name: aside_bytes,
    cancelled: *mut bool,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    // SAFETY: readable, per the contract.
    let run = || session::cancel(&Caller { t: host }, &pool.area, &pool.session, unsafe { optional(&name) });
    // SAFETY: writable, per the contract.
    settled(host, run, |was| unsafe { cancelled.write(was) })
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_error(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    name: aside_bytes,
    message: *mut aside_bytes,
) -> aside_status::Type {
    let write = |text: Option<Vec<u8>>| {
        // SAFETY: per the contract.
        let mut lent = unsafe { &*pool }.lent.borrow_mut();
        let some = text.is_some();
        *lent = text.unwrap_or_default();
        // SAFETY: writable, per the contract.
        unsafe { message.write(lend_optional(some.then_some(lent.as_slice()))) }
    };
    with_call!(pool, host, call, name, |_, _, s, c, n| session::error(s, c, n), write)
}

/// ASIDE_SAVED with the error of the last command, ASIDE_OK if it raised none.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_failure(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    name: aside_bytes,
) -> aside_status::Type {
    let failure = |_: &_, _: &_, session: &_, call: &_, name| {
        session::failure(session, call, name)?.map_or(Ok(()), |report| Err(Failed::from(report)))
    };
    with_call!(pool, host, call, name, failure, |()| ())
}

/// 0 on a panic, and where there is no such session.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_session_database(pool: *const aside_pool, name: aside_bytes) -> u32 {
    // SAFETY: per the contract.
    let (pool, name) = unsafe { (&*pool, optional(&name)) };
    caught(|| name.and_then(|name| pool.session.sessions.database(name)).unwrap_or(0)).unwrap_or(0)
}

/// Nothing more is done on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_sessions_end(pool: *mut aside_pool, host: *const aside_caller_host) {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    _ = caught(|| {
        if !pool.session.sessions.is_empty() {
            call::leave(&Caller { t: host }, &pool.area, &pool.session);
            pool.session.sessions.clear();
        }
    });
}

/// false on a panic, and where there is no such session.
///
/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_view_session(pool: *mut aside_pool, index: u32, out: *mut aside_session_row) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    let row = caught(|| {
        let view = session::view(&pool.area, &pool.session, index as usize)?;
        let mut lent = pool.lent.borrow_mut();
        *lent = view.name;
        Some(aside_session_row {
            name: lend(&lent),
            database: view.database,
            pid: view.pid,
            busy: u32::from(view.busy),
            alive: u32::from(view.alive),
            opened: view.opened,
        })
    });
    let Ok(Some(row)) = row else { return false };
    // SAFETY: writable, per the contract.
    unsafe { out.write(row) };
    true
}

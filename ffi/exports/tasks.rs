//! The functions that C calls for tasks; what `exports/mod.rs` says at its top holds here too.

use crate::abi::*;
use crate::bytes::{optional, slice};
use crate::convert::{call_of, id_of, task_row};
use crate::exports::calls::settled;
use crate::guard::caught;
use crate::hosts::caller::Caller;
use crate::memory::pool::aside_pool;
use crate::memory::tasks;
use aside_core::autonomous_tx::call::{Call, Failed};
use aside_core::autonomous_tx::task::{self, End, Start};
use aside_core::memory;
use std::ffi::c_void;

/// 0 on a panic.
#[unsafe(no_mangle)]
pub extern "C" fn aside_tasks_size(count: u32, memory: usize) -> usize {
    caught(|| tasks::size(count as usize, memory)).unwrap_or(0)
}

/// ASIDE_PANIC on a panic, ASIDE_GONE if the memory does not fit.
///
/// # Safety
/// `memory`: `len` zeroed bytes nobody uses yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_tasks_init(memory: *mut c_void, len: usize, count: u32, first_id: u64) -> aside_status::Type {
    // SAFETY: per the contract.
    match caught(|| unsafe { tasks::init(memory.cast(), len, count as usize, first_id) }) {
        Ok(true) => aside_status::ASIDE_OK,
        Ok(false) => aside_status::ASIDE_GONE,
        Err(_) => aside_status::ASIDE_PANIC,
    }
}

/// 0 on a panic.
///
/// # Safety
/// `memory`: laid out by `aside_tasks_init`; `records`: `size` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_tasks_recover(memory: *mut c_void, len: usize, now: i64, records: *mut u8, size: usize) -> u32 {
    let lost = caught(|| {
        // SAFETY: per the contract.
        let table = unsafe { tasks::attach(memory.cast(), len) }?;
        // SAFETY: copied in and out; nobody else touches them meanwhile.
        let mut copy = unsafe { memory::copy(slice(records, size), "the journal of tasks") }.ok()?;
        let lost = tasks::recover(&table, now, &mut copy);
        // SAFETY: `copy` is as long as the records are.
        unsafe { records.copy_from_nonoverlapping(copy.as_ptr(), copy.len()) };
        Some(lost as u32)
    });
    lost.ok().flatten().unwrap_or(0)
}

/// false on a panic, and if the layout is not ours.
///
/// # Safety
/// `memory`: `len` bytes laid out by `aside_tasks_init`, mapped until the process ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_tasks_attach(pool: *mut aside_pool, memory: *mut c_void, len: usize) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    let attached = caught(|| {
        // SAFETY: per the contract.
        let table = unsafe { tasks::attach(memory.cast(), len) }?;
        pool.session.tasks.attach(table);
        pool.worker.attach_tasks(table);
        Some(())
    });
    matches!(attached, Ok(Some(())))
}

/// ASIDE_SAVED on a panic, with an error that tells of it; so with all that return a status here.
///
/// # Safety
/// As said at the top; `call`, `start` and what they point to is readable; `id` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_task_submit(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    start: *const aside_task_start,
    id: *mut i64,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host, raw, start) = unsafe { (&*pool, &*host, &*call, &*start) };
    let run = || {
        // SAFETY: `call` and `start` point to what they say, for the duration of this call.
        let (call, label, shown) = unsafe { (call_of(raw)?, optional(&start.label), optional(&start.shown)) };
        let start = Start {
            label: label.unwrap_or_default(),
            shown: shown.unwrap_or_default(),
            timeout_ms: start.timeout_ms,
            quota: start.quota,
            on_commit: (start.on_commit != 0).then_some(start.subtransaction),
            after: (start.after != 0).then_some(start.after.cast_unsigned()),
        };
        task::submit(&Caller { t: host }, &pool.area, &pool.session, &call, &start)
    };
    // SAFETY: writable, per the contract.
    settled(host, run, |new| unsafe { id.write(new) })
}

/// Run `f` with a call that C handed over.
///
/// # Safety
/// As said at the top of `exports/mod.rs`.
unsafe fn with_call<T>(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    f: impl FnOnce(&aside_pool, &Caller, &Call) -> Result<T, Failed>,
    write: impl FnOnce(T),
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host, raw) = unsafe { (&*pool, &*host, &*call) };
    // SAFETY: `call` points to what it says, for the duration of this call.
    settled(host, || f(pool, &Caller { t: host }, &unsafe { call_of(raw) }?), write)
}

/// # Safety
/// As said at the top; `ids`: `count` of them; `ended` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_task_wait(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    ids: *const i64,
    count: usize,
    timeout_us: i64,
    ended: *mut i64,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let ids = unsafe { slice(ids, count) };
    let timeout = u64::try_from(timeout_us).ok();
    // SAFETY: per the contract.
    unsafe {
        with_call(
            pool,
            host,
            call,
            |pool, h, call| {
                let ids = memory::collect(ids.iter().map(|id| id_of(*id)), "the tasks to wait for")?;
                task::wait(h, &pool.area, &pool.session, call, &ids, timeout)
            },
            |which| ended.write(which.unwrap_or(0)),
        )
    }
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_task_result(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    id: i64,
    peek: bool,
) -> aside_status::Type {
    // SAFETY: per the contract.
    unsafe { with_call(pool, host, call, |pool, h, call| task::result(h, &pool.area, &pool.session, call, id_of(id), peek), |()| ()) }
}

/// # Safety
/// As said at the top; `cancelled` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_task_cancel(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    call: *const aside_call,
    id: i64,
    grace_us: i64,
    cancelled: *mut bool,
) -> aside_status::Type {
    let grace = u64::try_from(grace_us).ok();
    // SAFETY: per the contract.
    unsafe {
        with_call(
            pool,
            host,
            call,
            |pool, h, call| task::cancel(h, &pool.area, &pool.session, call, id_of(id), grace),
            |was| cancelled.write(was),
        )
    }
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_task_detach(pool: *mut aside_pool, host: *const aside_caller_host, id: i64) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    settled(host, || task::detach(&Caller { t: host }, &pool.session, id_of(id)), |()| ())
}

/// false on a panic, and outside of a task.
///
/// # Safety
/// As said at the top; `message` is readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_task_progress(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    percent: f64,
    message: aside_bytes,
) -> bool {
    // SAFETY: per the contract.
    let (pool, host, message) = unsafe { (&*pool, &*host, optional(&message).unwrap_or_default()) };
    caught(|| task::progress(&Caller { t: host }, &pool.area, &pool.session, percent, message)).unwrap_or(false)
}

/// Nothing more is done on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_tasks_transaction(pool: *mut aside_pool, host: *const aside_caller_host, end: u32, own: u32, parent: u32) {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    let end = match end {
        aside_transaction_end::ASIDE_END_COMMIT => End::Commit,
        aside_transaction_end::ASIDE_END_SUBCOMMIT => End::SubCommit { own, parent },
        aside_transaction_end::ASIDE_END_SUBABORT => End::SubAbort { own },
        _ => End::Abort,
    };
    _ = caught(|| task::transaction_ends(&Caller { t: host }, &pool.area, &pool.session, end));
}

/// false on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_tasks_pending(pool: *const aside_pool) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| task::some_pending(&pool.session)).unwrap_or(false)
}

/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_worker_task(pool: *const aside_pool) -> u64 {
    // SAFETY: per the contract.
    unsafe { &*pool }.worker.running_task()
}

/// Nothing more is done on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_tasks_kick(pool: *mut aside_pool, host: *const aside_caller_host, retention_us: i64) {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    _ = caught(|| task::kick(&Caller { t: host }, &pool.area, &pool.session, retention_us));
}

/// ASIDE_LEAVE on a panic.
///
/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_view_task(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    index: u32,
    out: *mut aside_task_row,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let (pool, host) = unsafe { (&*pool, &*host) };
    let h = Caller { t: host };
    if pool.session.tasks.table().is_none_or(|table| index as usize >= table.entries.len()) {
        return aside_status::ASIDE_LEAVE;
    }
    let mut found = false;
    let run = || Ok(task::view(&h, &pool.session, index)?.map(|view| task_row(pool, &view, &mut pool.lent_texts.borrow_mut())));
    let status = settled(host, run, |row| {
        if let Some(row) = row {
            // SAFETY: writable, per the contract.
            unsafe { out.write(row) };
            found = true;
        }
    });
    if status == aside_status::ASIDE_OK && !found { aside_status::ASIDE_GONE } else { status }
}

/// The task of an id; its pid is that of the worker that has begun it, or in which it wants to run. ASIDE_GONE if there is
/// none that this user may see, ASIDE_LEAVE on a panic.
///
/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_find_task(
    pool: *mut aside_pool,
    host: *const aside_caller_host,
    id: i64,
    out: *mut aside_task_row,
) -> aside_status::Type {
    // SAFETY: per the contract.
    let tasks = unsafe { &(*pool).session.tasks };
    let found = caught(|| {
        let table = tasks.table()?;
        let ticket = table.find(id.cast_unsigned())?;
        Some((ticket.index, table.ran_on(ticket).map_or(0, |(_, pid)| pid)))
    });
    let Ok(found) = found else { return aside_status::ASIDE_LEAVE };
    let Some((index, ran_on)) = found else { return aside_status::ASIDE_GONE };
    // SAFETY: per the contract, which is that of the called one too.
    let status = unsafe { aside_view_task(pool, host, index, out) };
    if status != aside_status::ASIDE_OK {
        return status;
    }
    // SAFETY: just written.
    let row = unsafe { &mut *out };
    if row.id != id {
        return aside_status::ASIDE_GONE;
    }
    row.pid = ran_on;
    status
}

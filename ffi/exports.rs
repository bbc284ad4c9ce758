//! Every function that C calls, and nothing else. Each is guarded; what it returns on a panic stands
//! beside its signature.
//!
//! For all of them: `pool` came from `aside_pool_attach` and was not freed; `host` points to a vtable
//! that the shim filled; both are used from the one thread of the process. Shared references only: an
//! export may be entered again from within a host call of another.

use crate::abi::*;
use crate::allocator::{Out, when_out};
use crate::bytes::{optional, slice};
use crate::caller_host::Caller;
use crate::guard::caught;
use crate::pool::{self, aside_pool};
use crate::reports::copied;
use crate::session_exports::ending_of;
use crate::worker_host::{SinkRef, WorkerSide};
use crate::world::is_ours;
use aside_core::autonomous_tx::call::{self, Call, Failed};
use aside_core::host::{Arg, ArgForm, Column, Identity, Output, SinkStop};
use aside_core::memory::{self, NoMemory};
use aside_core::pool::borrow::Limits;
use aside_core::pool::slot::{Key, State};
use aside_core::report::{Field, INTERNAL_ERROR, Report};
use std::ffi::c_void;
use std::sync::atomic::Ordering::*;

/// Nothing more is done on a panic.
///
/// # Safety
/// `out` does not return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_when_out_of_memory(out: Out) {
    // SAFETY: per the contract.
    _ = caught(|| unsafe { when_out(out) });
}

/// 0 on a panic.
#[unsafe(no_mangle)]
pub extern "C" fn aside_pool_size(slots: u32, queue_bytes: usize) -> usize {
    caught(|| pool::size(slots as usize, queue_bytes)).unwrap_or(0)
}

/// ASIDE_PANIC on a panic, ASIDE_GONE if the memory does not fit.
///
/// # Safety
/// `memory`: `len` zeroed bytes nobody uses yet; `key`: 16 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_init(
    memory: *mut c_void,
    len: usize,
    slots: u32,
    queue_bytes: usize,
    key: *const u8,
) -> aside_status::Type {
    caught(|| {
        // SAFETY: 16 bytes, per the contract.
        let key = unsafe { slice(key, 16) };
        let word = |i: usize| key.get(i..).and_then(|k| k.first_chunk()).map_or(0, |k| u64::from_ne_bytes(*k));
        // SAFETY: per the contract.
        unsafe { pool::init(memory.cast(), len, slots as usize, queue_bytes, [word(0), word(8)]) }
    })
    .map_or(aside_status::ASIDE_PANIC, |fits| if fits { aside_status::ASIDE_OK } else { aside_status::ASIDE_GONE })
}

/// NULL on a panic, or if the layout is not ours.
///
/// # Safety
/// `memory`: `len` bytes laid out by `aside_pool_init`, mapped until the process ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_attach(memory: *mut c_void, len: usize) -> *mut aside_pool {
    // SAFETY: per the contract.
    caught(|| unsafe { pool::attach(memory.cast(), len) }).ok().flatten().map_or(std::ptr::null_mut(), |p| Box::into_raw(Box::new(p)))
}

/// # Safety
/// `pool` is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_free(pool: *mut aside_pool) {
    if !pool.is_null() {
        // SAFETY: made by Box::into_raw in aside_pool_attach.
        _ = caught(|| drop(unsafe { Box::from_raw(pool) }));
    }
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_slots(pool: *const aside_pool) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.area.slots.len() as u32).unwrap_or(0)
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_workers(pool: *const aside_pool) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.area.workers() as u32).unwrap_or(0)
}

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

/// # Safety
/// The name is readable while the result lives.
unsafe fn column_of(c: &aside_column) -> Column<'_> {
    // SAFETY: per the contract.
    let name = unsafe { slice(c.name.data, c.name.len) };
    Column { type_oid: c.type_, typmod: c.typmod, by_text: c.by_text, name }
}

/// # Safety
/// What `raw` points to is readable while the result lives.
pub(crate) unsafe fn call_of(raw: &aside_call) -> Result<Call<'_>, NoMemory> {
    // SAFETY: arrays and bytes of the lengths given beside them.
    unsafe {
        let args = slice(raw.args, raw.nargs).iter().map(|a| Arg {
            type_oid: a.type_,
            form: match a.form {
                ASIDE_ARG_BYVAL => ArgForm::ByValue,
                ASIDE_ARG_BYREF => ArgForm::ByReference,
                ASIDE_ARG_TEXT => ArgForm::Text,
                _ => ArgForm::Null,
            },
            data: slice(a.data.data, a.data.len),
        });
        let columns = slice(raw.columns, raw.ncolumns).iter().map(|c| column_of(c));
        Ok(Call {
            kind: raw.kind as usize,
            output: match raw.output {
                aside_output::ASIDE_OUTPUT_ROWS => Output::Rows,
                aside_output::ASIDE_OUTPUT_JSON => Output::Json,
                aside_output::ASIDE_OUTPUT_DESCRIBED => Output::Described,
                aside_output::ASIDE_OUTPUT_TEXT => Output::Text,
                _ => Output::None,
            },
            key: Key { database: raw.database, user: raw.authenticated_user, superuser: raw.authenticated_superuser != 0 },
            restricted: raw.restricted != 0,
            held_off: raw.held_off != 0,
            depth: raw.depth,
            max_depth: raw.max_depth,
            limits: Limits {
                per_role: raw.max_per_role,
                per_session: raw.max_per_session,
                min_workers: raw.min_workers,
                timeout_ms: raw.checkout_timeout_ms,
                deadlock_ms: raw.deadlock_timeout_ms,
            },
            poll_us: raw.poll_us,
            identity: Identity {
                session_user: raw.identity.session_user,
                role: raw.identity.role,
                current_user: raw.identity.current_user,
                security_context: raw.identity.security_context,
                database: raw.identity.database,
            },
            command: optional(&raw.command),
            settings: optional(&raw.settings).unwrap_or_default(),
            settings_version: raw.settings_version,
            origin: optional(&raw.origin).unwrap_or_default(),
            origin_version: raw.origin_version,
            xid: raw.xid,
            stack: optional(&raw.stack),
            args: memory::collect(args, "the arguments of a command")?,
            columns: memory::collect(columns, "the columns of a result")?,
            routine: optional(&raw.routine),
        })
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

/// 0 on a panic.
///
/// # Safety
/// As said at the top; `world` is part of a vtable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_retire(pool: *mut aside_pool, world: *const aside_world, database: u32) -> u32 {
    // SAFETY: per the contract.
    let (pool, world) = unsafe { (&*pool, &*world) };
    caught(|| pool.area.retire(database, |proc| crate::host_call!(world, wake(proc)))).unwrap_or(0)
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_orphans(pool: *const aside_pool, database: u32) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.area.orphans(database) as u32).unwrap_or(0)
}

/// 0 on a panic.
///
/// # Safety
/// As said at the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_pool_in_use(pool: *const aside_pool, database: u32, user: u32) -> u32 {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    caught(|| pool.area.in_use(database, user) as u32).unwrap_or(0)
}

/// false on a panic, and for a slot that is free or not there.
///
/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_view_worker(pool: *const aside_pool, slot: u32, out: *mut aside_worker_row) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    let row = caught(|| {
        let slot = pool.area.slot(slot)?;
        let (state, generation) = slot.state();
        let busy = matches!(state, State::Busy | State::Dead | State::Held);
        (state != State::Free).then(|| aside_worker_row {
            state: u32::from(state as u8),
            pid: slot.worker_pid.load(Relaxed),
            database: slot.key().database,
            user: slot.key().user,
            caller_pid: if busy { slot.caller_pid.load(Relaxed) } else { 0 },
            depth: if busy { slot.depth.load(Relaxed) } else { 0 },
            generation,
            xid: slot.gate.xid(),
            calls: slot.calls.load(Relaxed),
            errors: slot.errors.load(Relaxed),
            started: slot.started.load(Relaxed),
            last_used: slot.last_used.load(Relaxed),
        })
    });
    let Ok(Some(row)) = row else { return false };
    // SAFETY: writable, per the contract.
    unsafe { out.write(row) };
    true
}

/// false on a panic, and for an unknown kind.
///
/// # Safety
/// As said at the top; `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aside_view_stat(pool: *const aside_pool, kind: u32, out: *mut aside_stat_row) -> bool {
    // SAFETY: per the contract.
    let pool = unsafe { &*pool };
    let row = caught(|| {
        let c = pool.area.header.stats.get(kind as usize)?;
        Some(aside_stat_row {
            calls: c.calls.load(Relaxed),
            errors: c.errors.load(Relaxed),
            cancelled: c.cancelled.load(Relaxed),
            rows: c.rows.load(Relaxed),
            waits: c.waits.load(Relaxed),
            wait_us: c.wait_us.load(Relaxed),
            total_us: c.total_us.load(Relaxed),
            histogram: std::array::from_fn(|i| c.histogram[i].load(Relaxed)),
        })
    });
    let Ok(Some(row)) = row else { return false };
    // SAFETY: writable, per the contract.
    unsafe { out.write(row) };
    true
}

//! One autonomous call, from the SQL function's point of view: may it start, which worker runs it,
//! what came of it.

use super::exchange::{Exchange, ExchangeEnd, Keep, Terms};
use super::session::Sessions;
use super::task::{self, Tasks};
use crate::host::{Arg, Bounds, CallerHost, Column, Identity, Mode, Output, Saved};
use crate::memory::{self, NoMemory, SMALL};
use crate::pool::area::Area;
use crate::pool::borrow::{Borrower, Limits, Refused, borrow};
use crate::pool::gate::Why;
use crate::pool::poll::Poller;
use crate::pool::slot::{Key, Lease, Slot, SlotState};
use crate::report::*;
use crate::settings::{Names, name};
use crate::wire::frame::MAX_FRAME;
use crate::wire::message::{Ending, Request};
use std::cell::Cell;
use std::sync::atomic::Ordering::*;

/// Workers that may vanish before they took the request, until the caller is told.
const ATTEMPTS: u32 = 4;
/// Buffers larger than this (in words) are not kept for the next call.
const KEEP_WORDS: usize = 32 * 1024;

/// What a session remembers between calls.
#[derive(Default)]
pub struct Session {
    pub(crate) borrower: Borrower,
    pub(crate) poller: Poller,
    buffer: Cell<Vec<u64>>,
    names: Cell<Option<(u64, Names)>>,
    pub sessions: Sessions,
    pub tasks: Tasks,
}

/// One call.
#[derive(Debug)]
pub struct Call<'a> {
    /// Index of the counters in aside.stat.
    pub kind: usize,
    pub output: Output,
    pub key: Key,
    pub restricted: bool,
    /// The caller is in the midst of something that neither a cancel nor a deadlock could end.
    pub held_off: bool,
    pub depth: u32,
    pub max_depth: u32,
    pub limits: Limits,
    pub poll_us: u32,
    pub identity: Identity,
    pub command: Option<&'a [u8]>,
    pub settings: &'a [u8],
    pub settings_version: u64,
    /// What a worker is to know of this caller, and its name; see call/origin.c.
    pub origin: &'a [u8],
    pub origin_version: u64,
    pub xid: u64,
    pub stack: Option<&'a [u8]>,
    pub args: Vec<Arg<'a>>,
    pub columns: Vec<Column<'a>>,
    pub routine: Option<&'a [u8]>,
}

/// How a call can fail: with the error that the host keeps, or with one of ours.
#[derive(Debug)]
pub enum CallError {
    Saved,
    Report(Box<Report>),
}

impl From<Saved> for CallError {
    fn from(_: Saved) -> Self {
        Self::Saved
    }
}

impl From<Report> for CallError {
    fn from(report: Report) -> Self {
        Self::Report(Box::new(report))
    }
}

impl From<NoMemory> for CallError {
    fn from(no_memory: NoMemory) -> Self {
        Report::out_of_memory(no_memory).into()
    }
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Saved => Self::Saved,
            Refused::Report(report) => Self::Report(report),
        }
    }
}

/// Run a call; how its last statement ended, with the tag where its rows are text.
pub fn run<H: CallerHost>(h: &H, area: &Area, session: &Session, call: &Call) -> Result<Ending, CallError> {
    counted(h, area, call, |rows| {
        check(call)?;
        let request = request(area, session, call, Mode::OneShot)?;
        let buffer = &mut session.buffer.take();
        let result = borrow_and_run(h, area, session, call, request, buffer, rows, Keep::Nothing);
        session.keep_buffer(buffer);
        Ok(result?.1)
    })
}

impl Session {
    pub(crate) fn take_buffer(&self) -> Vec<u64> {
        self.buffer.take()
    }

    pub(crate) fn keep_buffer(&self, buffer: &mut Vec<u64>) {
        if buffer.capacity() <= KEEP_WORDS {
            self.buffer.set(std::mem::take(buffer));
        }
    }
}

/// Run something that aside.stat counts under the call's kind.
pub(super) fn counted<H: CallerHost, T>(
    h: &H,
    area: &Area,
    call: &Call,
    run: impl FnOnce(&mut u64) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let start = h.now_us();
    let mut rows = 0;
    let result = memory::look_for(SMALL, "an autonomous transaction").map_err(CallError::from).and_then(|()| run(&mut rows));
    if let Some(counters) = area.header.stats.get(call.kind) {
        counters.finished(h.now_us().saturating_sub(start), rows);
        match &result {
            Ok(_) => {}
            Err(CallError::Saved) => _ = counters.cancelled.fetch_add(1, Relaxed),
            Err(CallError::Report(_)) => _ = counters.errors.fetch_add(1, Relaxed),
        }
    }
    result
}

/// May this call start at all?
pub(super) fn check(call: &Call) -> Result<(), CallError> {
    if call.restricted {
        let message = "cannot start an autonomous transaction within a security-restricted operation";
        return Err(Report::error(INSUFFICIENT_PRIVILEGE, message).into());
    }
    if call.held_off {
        let message = "cannot start an autonomous transaction where its caller cannot be interrupted";
        let report = Report::error(OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with(Field::Detail, "The server holds a lightweight lock meanwhile, for which the transaction could wait for ever.")
            .with(Field::Hint, "Functions of operator classes must not start autonomous transactions.");
        return Err(report.into());
    }
    if call.command.is_none() {
        return Err(Report::error(NULL_VALUE_NOT_ALLOWED, "command of an autonomous transaction must not be null").into());
    }
    if call.depth >= call.max_depth {
        let report = Report::error(STATEMENT_TOO_COMPLEX, "autonomous transactions are nested too deeply")
            .with(Field::Detail, format!("This one would be at depth {}.", call.depth + 1))
            .with(Field::Hint, "Consider increasing \"aside.max_depth\", after ensuring that the recursion ends.");
        return Err(report.into());
    }
    Ok(())
}

/// What the worker is asked for.
pub(super) fn request<'c>(area: &Area, session: &Session, call: &Call<'c>, mode: Mode) -> Result<Request<'c>, CallError> {
    let names = match session.names.get() {
        Some((version, names)) if version == call.settings_version => names,
        _ => {
            let names = name(call.settings, area.hash_key());
            session.names.set(Some((call.settings_version, names)));
            names
        }
    };
    Ok(Request {
        identity: call.identity,
        mode,
        timeout_ms: 0,
        bounds: Bounds::default(),
        depth: call.depth + 1,
        output: call.output,
        settings_hash: names.hash,
        parse_hash: names.parse,
        settings: None,
        origin_version: call.origin_version,
        origin: Some(call.origin),
        caller_xid: call.xid,
        stack: call.stack,
        command: call.command.unwrap_or_default(),
        routine: call.routine,
        args: memory::copy(&call.args, "the arguments of a command")?,
        columns: memory::copy(&call.columns, "the columns of a result")?,
    })
}

/// Encode a request that can be sent.
pub(crate) fn encode(request: &Request, buffer: &mut Vec<u64>) -> Result<(), CallError> {
    request.encode(buffer)?;
    if buffer.len() * 8 > MAX_FRAME {
        return Err(too_long().into());
    }
    Ok(())
}

/// Borrow a worker and run the request on it.
#[expect(clippy::too_many_arguments, reason = "each is a fact of its own about the call")]
pub(super) fn borrow_and_run<'c, H: CallerHost>(
    h: &H,
    area: &Area,
    session: &Session,
    call: &Call<'c>,
    mut request: Request<'c>,
    buffer: &mut Vec<u64>,
    rows: &mut u64,
    keep: Keep,
) -> Result<(Lease, Ending), CallError> {
    for attempt in 1.. {
        let borrowed = borrow(h, area, &session.borrower, call.key, &call.limits, session.tasks.table().as_ref())?;
        if let Some(us) = borrowed.waited_us
            && let Some(counters) = area.header.stats.get(call.kind)
        {
            counters.waited(us);
        }
        let slot = &area.slots[borrowed.lease.slot as usize];
        let mut exchange = Exchange::new(h, area, session, borrowed, Terms::of(call), keep);
        request.settings = (slot.settings() != request.settings_hash).then_some(call.settings);
        request.origin = (slot.origin() != request.origin_version).then_some(call.origin);
        encode(&request, buffer)?;
        let mut ended = exchange.run(buffer, rows);
        if matches!(ended, ExchangeEnd::SettingsWanted) {
            request.settings = Some(call.settings);
            encode(&request, buffer)?;
            ended = exchange.again(buffer, rows);
        }
        match ended {
            ExchangeEnd::Done(ending) => return Ok((borrowed.lease, ending)),
            ExchangeEnd::Failed(failed) => return Err(failed),
            ExchangeEnd::Complete(..) => return Err(protocol_violation().into()),
            ExchangeEnd::NeverTaken if attempt < ATTEMPTS => continue,
            ExchangeEnd::NeverTaken | ExchangeEnd::SettingsWanted => break,
        }
    }
    Err(Report::error(CONNECTION_FAILURE, "no worker took the autonomous transaction")
        .with(Field::Detail, "The autonomous transaction aborted.")
        .into())
}

pub(super) fn protocol_violation() -> Report {
    Report::error(PROTOCOL_VIOLATION, "worker sent what its caller does not understand")
}

fn too_long() -> Report {
    Report::error(sqlstate(b"54000"), "command and arguments of an autonomous transaction are too long")
        .with(Field::Detail, format!("Together they may take {MAX_FRAME} bytes."))
}

/// This process exits: cancel what its leases run, without waiting for it.
pub fn leave<H: CallerHost>(h: &H, area: &Area, session: &Session) {
    session.borrower.leave(area, h.my_pid());
    area.forget_pins(h.my_pid());
    task::leave(h, area, session);
    for slot in area.slots {
        let (state, generation) = slot.state();
        let mine = matches!(state, SlotState::Busy | SlotState::Dead | SlotState::Held)
            && slot.named(generation)
            && slot.caller_pid.load(Acquire) == h.my_pid();
        if !mine || slot.abandoned(generation) {
            continue;
        }
        slot.gate.cancel(generation, Why::GivenUp);
        terminate(h, slot, generation);
        slot.abandon(generation);
        if slot.state() == (SlotState::Dead, generation) {
            area.release(slot, generation);
            h.signal_slot();
        } else if let Some(proc) = slot.worker_proc() {
            h.wake(proc);
        }
    }
}

/// Nobody will look after this lease any more: its worker is told to end, which no command can trap,
/// and which also ends the wait for a standby. To be said while the lease is still this caller's, so
/// that it cannot reach the next one.
pub(super) fn terminate<H: CallerHost>(h: &H, slot: &Slot, generation: u64) {
    let pid = slot.worker_pid.load(Acquire);
    if pid != 0 && slot.state() == (SlotState::Busy, generation) && slot.finished(generation).is_none() {
        h.interrupt(pid, true);
    }
}

/// The session that owns a private pool ends: all its workers are to leave.
pub fn close<H: CallerHost>(h: &H, area: &Area, session: &Session) {
    area.header.closing.store(1, SeqCst);
    task::close(h, area, session);
    for slot in area.slots {
        if let Some(proc) = slot.worker_proc() {
            h.wake(proc);
        }
    }
}

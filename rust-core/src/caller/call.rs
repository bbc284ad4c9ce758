//! One autonomous call, from the SQL function's point of view: may it start, which worker runs it,
//! what came of it.

use super::process::CallerState;
use crate::error::Error;
use crate::host::{Arg, Bounds, CallerHost, Column, Identity, Mode, Output};
use crate::lease::exchange::{Exchange, ExchangeEnd, Keep, Terms};
use crate::lease::frames::protocol_violation;
use crate::lease::post::encode;
use crate::memory::{self, SMALL};
use crate::pool::area::Area;
use crate::pool::borrow::{Limits, borrow};
use crate::pool::slot::{Key, Lease};
use crate::report::*;
use crate::wire::message::{Ending, Request};
use std::sync::atomic::Ordering::*;

/// Workers that may vanish before they took the request, until the caller is told.
pub(super) const ATTEMPTS: u32 = 4;

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
    pub nap_ms: u32,
    pub identity: Identity,
    pub command: Option<&'a [u8]>,
    pub settings: &'a [u8],
    pub settings_version: u64,
    /// What a worker is to know of this caller, and its name; see call/origin.c.
    pub origin: &'a [u8],
    pub origin_version: u64,
    pub xid: u64,
    pub stack: Option<&'a [u8]>,
    /// At which the command reads, and writes nothing; None: it has a snapshot of its own.
    pub snapshot: Option<&'a [u8]>,
    pub args: Vec<Arg<'a>>,
    pub columns: Vec<Column<'a>>,
    pub routine: Option<&'a [u8]>,
}

/// Run a call; how its last statement ended, with the tag where its rows are text.
pub fn run<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call) -> Result<Ending, Error> {
    counted(h, area, call, |rows| {
        check(call)?;
        let request = request(area, caller, call, Mode::OneShot)?;
        let buffer = &mut caller.buffer.take();
        let result = borrow_and_run(h, area, caller, call, request, buffer, rows, Keep::Nothing);
        caller.buffer.keep(buffer);
        Ok(result?.1)
    })
}

/// Run something that aside.stat counts under the call's kind.
pub(super) fn counted<H: CallerHost, T>(
    h: &H,
    area: &Area,
    call: &Call,
    run: impl FnOnce(&mut u64) -> Result<T, Error>,
) -> Result<T, Error> {
    let start = h.now_us();
    let mut rows = 0;
    let result = memory::look_for(SMALL, "an autonomous transaction").map_err(Error::from).and_then(|()| run(&mut rows));
    if let Some(counters) = area.header.stats.get(call.kind) {
        counters.finished(h.now_us().saturating_sub(start), rows);
        match &result {
            Ok(_) => {}
            Err(Error::Saved) => _ = counters.cancelled.fetch_add(1, Relaxed),
            Err(Error::Report(_)) => _ = counters.errors.fetch_add(1, Relaxed),
        }
    }
    result
}

/// May this call start at all?
pub(super) fn check(call: &Call) -> Result<(), Error> {
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
pub(super) fn request<'c>(area: &Area, caller: &CallerState, call: &Call<'c>, mode: Mode) -> Result<Request<'c>, Error> {
    let names = caller.names_of(area, call.settings, call.settings_version);
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
        snapshot: call.snapshot,
        command: call.command.unwrap_or_default(),
        routine: call.routine,
        args: memory::copy(&call.args, "the arguments of a command")?,
        columns: memory::copy(&call.columns, "the columns of a result")?,
    })
}

/// What a call wants of its exchange.
pub(super) fn terms<'a>(caller: &'a CallerState, call: &Call<'a>) -> Terms<'a> {
    Terms {
        poller: &caller.poller,
        tasks: caller.tasks.table(),
        poll_us: call.poll_us,
        nap_ms: call.nap_ms,
        deadlock_ms: call.limits.deadlock_ms,
        depth: call.depth + 1,
        command: call.command.unwrap_or_default(),
    }
}

/// Borrow a worker and run the request on it.
#[expect(clippy::too_many_arguments, reason = "each is a fact of its own about the call")]
pub(super) fn borrow_and_run<'c, H: CallerHost>(
    h: &H,
    area: &Area,
    caller: &CallerState,
    call: &Call<'c>,
    mut request: Request<'c>,
    buffer: &mut Vec<u64>,
    rows: &mut u64,
    keep: Keep,
) -> Result<(Lease, Ending), Error> {
    for attempt in 1.. {
        let borrowed = borrow(h, area, &caller.borrower, call.key, &call.limits, caller.tasks.table().as_ref())?;
        if let Some(us) = borrowed.waited_us
            && let Some(counters) = area.header.stats.get(call.kind)
        {
            counters.waited(us);
        }
        let slot = &area.slots[borrowed.lease.slot as usize];
        let mut exchange = Exchange::new(h, area, borrowed, terms(caller, call), keep);
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
    Err(never_taken().into())
}

pub(super) fn never_taken() -> Report {
    Report::error(CONNECTION_FAILURE, "no worker took the autonomous transaction")
        .with(Field::Detail, "The autonomous transaction aborted.")
}

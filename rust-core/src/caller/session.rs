//! Autonomous sessions: a worker that one session of a client keeps across calls, under a name.
//!
//! The lease lives between commands as [`SlotState::Held`]; each command is a generation of its own, with
//! its own gate, so cancelling one is what it is for a single call. An answer that nobody waits for stays
//! in the reply ring; the worker waits when that is full. Nothing here survives this process: when it
//! exits, [`leave`] abandons what it holds, and the workers roll back and go back to the pool.

use super::call::{Call, borrow_and_run, check, counted, request, terms};
use super::leave::leave;
use super::process::CallerState;
use super::sessions::{Named, Open, Phase, Sessions};
use crate::error::Error;
use crate::host::{CallerHost, Identity, Mode};
use crate::lease::exchange::{Exchange, ExchangeEnd, Keep};
use crate::lease::frames::protocol_violation;
use crate::lease::post::encode;
use crate::memory;
use crate::pool::area::Area;
use crate::pool::borrow::Borrowed;
use crate::pool::gate::{CancelReason, Stopped};
use crate::pool::slot::{Lease, Slot, SlotState};
use crate::report::*;
use crate::wire::message::Ending;
use std::sync::atomic::Ordering::*;

fn about(state: u32, before: &str, name: &[u8], after: &str) -> Report {
    let message = memory::joined(&[before.as_bytes(), b" \"", name, b"\" ", after.as_bytes()], "an error");
    Report::error(state, message.as_deref().unwrap_or(b"autonomous session cannot be used"))
}

fn unknown(name: &[u8]) -> Report {
    about(CONNECTION_DOES_NOT_EXIST, "autonomous session", name, "does not exist")
}

fn busy(name: &[u8]) -> Report {
    about(OBJECT_NOT_IN_PREREQUISITE_STATE, "autonomous session", name, "is busy")
        .with(Field::Hint, "Read the results of the command that was sent, or close the session.")
}

fn lost(area: &Area, open: &Open, name: &[u8]) -> Report {
    if slot_of(area, open.lease).expired(open.lease.generation) {
        return about(CONNECTION_DOES_NOT_EXIST, "autonomous session", name, "was closed because it was idle for too long")
            .with(Field::Detail, "A transaction that the session had open was rolled back.")
            .with(Field::Hint, "The name is free. See \"aside.session_idle_timeout\" and \"idle_in_transaction_session_timeout\".");
    }
    about(CONNECTION_DOES_NOT_EXIST, "worker of autonomous session", name, "has terminated")
        .with(Field::Detail, "A transaction that the session had open was rolled back.")
        .with(Field::Hint, "The name is free: open the session again.")
}

fn name_of(name: Option<&[u8]>) -> Result<&[u8], Error> {
    name.ok_or_else(|| Report::error(NULL_VALUE_NOT_ALLOWED, "name of an autonomous session must not be null").into())
}

/// A session acts as whoever opened it, and for nobody else.
fn check_user(call: &Call, open: Option<(&[u8], &Identity)>) -> Result<(), Error> {
    if !call.identity.is_its_own() {
        let message = "cannot use an autonomous session while acting as another role";
        let report = Report::error(INSUFFICIENT_PRIVILEGE, message)
            .with(Field::Detail, "A security-definer function and a referential action act as their owner.")
            .with(Field::Hint, "Single autonomous transactions are possible there, for example with autonomous_exec.");
        return Err(report.into());
    }
    match open {
        Some((name, identity)) if !identity.is_same_role(&call.identity) => {
            Err(about(INSUFFICIENT_PRIVILEGE, "autonomous session", name, "was opened by another role")
                .with(Field::Hint, "Change back to the role that opened it, or open another session.")
                .into())
        }
        _ => Ok(()),
    }
}

fn slot_of<'a>(area: &Area<'a>, lease: Lease) -> &'a Slot {
    &area.slots[lease.slot as usize]
}

fn alive(area: &Area, open: &Open) -> bool {
    let (state, generation) = slot_of(area, open.lease).state();
    generation == open.lease.generation && matches!(state, SlotState::Held | SlotState::Busy)
}

/// The worker has gone: the name is free, and so is the slot.
fn bury<H: CallerHost>(h: &H, area: &Area, sessions: &Sessions, name: &[u8], lease: Lease) {
    sessions.remove(name);
    if area.release_dead(slot_of(area, lease), lease.generation) && area.waiters() > 0 {
        h.signal_slot();
    }
}

/// Open a session; `call` names the database in its key, and limits.
pub fn open<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, name: Option<&[u8]>) -> Result<(), Error> {
    counted(h, area, call, |rows| {
        check(call)?;
        let name = name_of(name)?;
        check_user(call, None)?;
        if let Some(open) = caller.sessions.get(name) {
            if open.phase == Phase::InUse || alive(area, &open) {
                return Err(about(DUPLICATE_OBJECT, "autonomous session", name, "already exists").into());
            }
            bury(h, area, &caller.sessions, name, open.lease);
        }
        // Before there is a worker that would be lost without it.
        let key = memory::copy(name, "the name of a session")?;
        let request = request(area, caller, call, Mode::Open)?;
        let mut buffer = caller.buffer.take();
        let result = borrow_and_run(h, area, caller, call, request, &mut buffer, rows, Keep::IfDone);
        caller.buffer.keep(&mut buffer);
        let (lease, _) = result?;
        let open = Open { lease, identity: call.identity, database: call.key.database, opened: h.timestamp(), phase: Phase::Ready };
        #[expect(clippy::disallowed_methods, reason = "a node, for which there was room before")]
        caller.sessions.named.borrow_mut().insert(key, Named { open, error: None, failed: false });
        Ok(())
    })
}

/// The session, if its next command may come.
fn ready<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, name: &[u8]) -> Result<Open, Error> {
    let mut open = caller.sessions.get(name).ok_or_else(|| unknown(name))?;
    check_user(call, Some((name, &open.identity)))?;
    if open.phase == Phase::InUse {
        return Err(busy(name).into());
    }
    if !alive(area, &open) {
        bury(h, area, &caller.sessions, name, open.lease);
        return Err(lost(area, &open, name).into());
    }
    if open.phase == (Phase::Sent { read: true }) {
        // All that is left is the end of its transaction.
        _ = next_result(h, area, caller, call, name, open)?;
        open = caller.sessions.get(name).ok_or_else(|| unknown(name))?;
    }
    if open.phase != Phase::Ready {
        return Err(busy(name).into());
    }
    Ok(open)
}

/// A new generation for the next command.
fn renew<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, name: &[u8], open: &mut Open) -> Result<Borrowed, Error> {
    match slot_of(area, open.lease).claim(SlotState::Held, open.lease.generation, (h.my_pid(), h.my_proc())) {
        Some(generation) => {
            area.header.busy.fetch_add(1, Relaxed);
            open.lease.generation = generation;
            open.phase = Phase::InUse;
            caller.sessions.begin(name, *open);
            Ok(Borrowed { lease: open.lease, launched: false, waited_us: None })
        }
        None => {
            bury(h, area, &caller.sessions, name, open.lease);
            Err(lost(area, open, name).into())
        }
    }
}

/// A command has ended: is there still a session?
fn settle<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, name: &[u8], open: &mut Open) {
    if slot_of(area, open.lease).state() == (SlotState::Held, open.lease.generation) {
        open.phase = Phase::Ready;
        caller.sessions.set(name, *open);
    } else {
        bury(h, area, &caller.sessions, name, open.lease);
    }
}

fn exchange<'a, H: CallerHost>(
    h: &'a H,
    area: &'a Area<'a>,
    caller: &'a CallerState,
    call: &Call<'a>,
    lease: Lease,
    fresh: bool,
) -> Exchange<'a, H> {
    let borrowed = Borrowed { lease, launched: false, waited_us: None };
    let start = if fresh { Exchange::new } else { Exchange::resume };
    start(h, area, borrowed, terms(caller, call), Keep::Always)
}

/// Run one request of a session to its end.
fn run_as<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, name: Option<&[u8]>, mode: Mode) -> Result<Ending, Error> {
    counted(h, area, call, |rows| {
        check(call)?;
        let name = name_of(name)?;
        let mut open = ready(h, area, caller, call, name)?;
        let mut buffer = caller.buffer.take();
        let request = request(area, caller, call, mode)?;
        encode(&request, &mut buffer)?;
        renew(h, area, caller, name, &mut open)?;
        let ended = exchange(h, area, caller, call, open.lease, true).run(&mut buffer, rows);
        caller.buffer.keep(&mut buffer);
        settle(h, area, caller, name, &mut open);
        let failed = match ended {
            ExchangeEnd::Done(ending) => return Ok(ending),
            ExchangeEnd::Failed(failed) => failed,
            ExchangeEnd::NeverTaken => lost(area, &open, name).into(),
            ExchangeEnd::Complete(..) | ExchangeEnd::SettingsWanted => protocol_violation().into(),
        };
        caller.sessions.remember_error(name, &failed);
        Err(failed)
    })
}

/// Run a command and wait for its end.
pub fn run<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, name: Option<&[u8]>) -> Result<Ending, Error> {
    run_as(h, area, caller, call, name, Mode::Session)
}

/// Notifications that have come for the session, as rows.
pub fn notifications<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, name: Option<&[u8]>) -> Result<(), Error> {
    run_as(h, area, caller, call, name, Mode::Notifications).map(drop)
}

/// Send a command without waiting for its end.
pub fn send<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, name: Option<&[u8]>) -> Result<(), Error> {
    counted(h, area, call, |_| {
        check(call)?;
        let name = name_of(name)?;
        let mut open = ready(h, area, caller, call, name)?;
        let mut buffer = caller.buffer.take();
        let request = request(area, caller, call, Mode::Session)?;
        encode(&request, &mut buffer)?;
        renew(h, area, caller, name, &mut open)?;
        let sent = exchange(h, area, caller, call, open.lease, true).send(&buffer);
        caller.buffer.keep(&mut buffer);
        match sent {
            Ok(()) => {
                open.phase = Phase::Sent { read: false };
                caller.sessions.set(name, open);
                Ok(())
            }
            Err(ended) => {
                settle(h, area, caller, name, &mut open);
                Err(match ended {
                    ExchangeEnd::Failed(failed) => failed,
                    _ => lost(area, &open, name).into(),
                })
            }
        }
    })
}

/// Read what comes next of a command that was sent: the end of a statement and whether it had rows; None: all is read.
fn next_result<H: CallerHost>(
    h: &H,
    area: &Area,
    caller: &CallerState,
    call: &Call,
    name: &[u8],
    mut open: Open,
) -> Result<Option<(Ending, bool)>, Error> {
    let mut buffer = caller.buffer.take();
    open.phase = Phase::InUse;
    caller.sessions.set(name, open);
    let ended = exchange(h, area, caller, call, open.lease, false).read_replies(&mut buffer, &mut 0);
    caller.buffer.keep(&mut buffer);
    if let ExchangeEnd::Complete(ending, described) = ended {
        open.phase = Phase::Sent { read: ending.last };
        caller.sessions.set(name, open);
        return Ok(Some((ending, described)));
    }
    settle(h, area, caller, name, &mut open);
    let failed = match ended {
        ExchangeEnd::Done(_) => return Ok(None),
        ExchangeEnd::Failed(failed) => failed,
        _ => lost(area, &open, name).into(),
    };
    caller.sessions.remember_error(name, &failed);
    Err(failed)
}

/// The next result set of the command that was sent; None: there is none left. With `tags`, a statement
/// without rows counts as one too.
pub fn result<H: CallerHost>(
    h: &H,
    area: &Area,
    caller: &CallerState,
    call: &Call,
    name: Option<&[u8]>,
    tags: bool,
) -> Result<Option<(Ending, bool)>, Error> {
    counted(h, area, call, |_| {
        check(call)?;
        let name = name_of(name)?;
        loop {
            let open = caller.sessions.get(name).ok_or_else(|| unknown(name))?;
            check_user(call, Some((name, &open.identity)))?;
            match open.phase {
                Phase::InUse => return Err(busy(name).into()),
                Phase::Sent { .. } => {}
                Phase::Ready if alive(area, &open) => return Ok(None),
                Phase::Ready => {
                    bury(h, area, &caller.sessions, name, open.lease);
                    return Err(lost(area, &open, name).into());
                }
            }
            match next_result(h, area, caller, call, name, open)? {
                Some((_, false)) if !tags => {}
                other => return Ok(other),
            }
        }
    })
}

/// Would reading a result wait for the command?
fn runs(area: &Area, open: &Open) -> bool {
    let slot = slot_of(area, open.lease);
    let generation = open.lease.generation;
    open.phase == (Phase::Sent { read: false })
        && slot.state() == (SlotState::Busy, generation)
        && slot.finished(generation).is_none()
        && !slot.stalled(generation)
}

/// Does a command that was sent still run? Not if it waits for its results to be read.
pub fn is_busy<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, name: Option<&[u8]>) -> Result<bool, Error> {
    let name = name_of(name)?;
    let open = caller.sessions.get(name).ok_or_else(|| unknown(name))?;
    if open.phase == Phase::Ready && !alive(area, &open) {
        bury(h, area, &caller.sessions, name, open.lease);
        return Err(lost(area, &open, name).into());
    }
    Ok(runs(area, &open) || open.phase == Phase::InUse)
}

/// Cancel the command that was sent, without waiting for its end; false if there is nothing to cancel.
pub fn cancel<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, name: Option<&[u8]>) -> Result<bool, Error> {
    let name = name_of(name)?;
    let open = caller.sessions.get(name).ok_or_else(|| unknown(name))?;
    let slot = slot_of(area, open.lease);
    let generation = open.lease.generation;
    let running = matches!(open.phase, Phase::Sent { .. }) && slot.state() == (SlotState::Busy, generation);
    if !running || slot.finished(generation).is_some() || slot.gate.cancel(generation, CancelReason::GivenUp) == Stopped::TooLate {
        return Ok(false);
    }
    let due = slot.signal(generation, |pid| h.interrupt(pid, false));
    slot.wake_worker(h);
    Ok(due)
}

/// Message of the last error that a command of the session raised.
pub fn error(caller: &CallerState, call: &Call, name: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> {
    let name = name_of(name)?;
    match caller.sessions.named.borrow().get(name) {
        Some(named) => {
            check_user(call, Some((name, &named.open.identity)))?;
            let message = named.error.as_ref().and_then(|report| report.get(Field::Message));
            Ok(message.map(|text| memory::copy(text, "an error")).transpose()?)
        }
        None => Err(unknown(name).into()),
    }
}

/// The error that the last command of the session raised; None: it raised none.
pub fn failure(caller: &CallerState, call: &Call, name: Option<&[u8]>) -> Result<Option<Report>, Error> {
    let name = name_of(name)?;
    match caller.sessions.named.borrow().get(name) {
        Some(named) => {
            check_user(call, Some((name, &named.open.identity)))?;
            Ok(named.error.as_ref().filter(|_| named.failed).map(Report::copied))
        }
        None => Err(unknown(name).into()),
    }
}

/// Close all sessions of this process that no call of its is using.
pub fn close_all<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call) -> Result<(), Error> {
    loop {
        let named = caller.sessions.named.borrow();
        let mut next = Vec::new();
        match named.iter().find(|(_, named)| named.open.phase != Phase::InUse) {
            Some((name, _)) => memory::append(&mut next, name, "the name of a session")?,
            None => return Ok(()),
        }
        drop(named);
        close(h, area, caller, call, Some(&next))?;
    }
}

/// Close a session: what runs is cancelled, an open transaction rolled back, the worker given back.
pub fn close<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, name: Option<&[u8]>) -> Result<(), Error> {
    let name = name_of(name)?;
    let mut open = caller.sessions.get(name).ok_or_else(|| unknown(name))?;
    match open.phase {
        Phase::InUse => return Err(busy(name).into()),
        Phase::Ready => {}
        Phase::Sent { .. } => {
            _ = exchange(h, area, caller, call, open.lease, false).cancel();
            settle(h, area, caller, name, &mut open);
        }
    }
    let mut buffer = caller.buffer.take();
    let request = request(area, caller, call, Mode::Close)?;
    encode(&request, &mut buffer)?;
    if caller.sessions.get(name).is_none() || renew(h, area, caller, name, &mut open).is_err() {
        // It had gone by itself.
        return Ok(());
    }
    caller.sessions.remove(name);
    let mut exchange = exchange(h, area, caller, call, open.lease, true);
    exchange.keep = Keep::Nothing;
    let ended = exchange.run(&mut buffer, &mut 0);
    caller.buffer.keep(&mut buffer);
    match ended {
        ExchangeEnd::Failed(Error::Saved) => Err(Error::Saved),
        _ => Ok(()),
    }
}

/// The tenant of this process is over: what its sessions hold is abandoned, and the next tenant finds none of them.
pub fn abandon_all<H: CallerHost>(h: &H, area: &Area, caller: &CallerState) {
    if caller.sessions.is_empty() {
        return;
    }
    leave(h, area, caller);
    caller.sessions.named.borrow_mut().clear();
}

/// One session, as a view shows it.
#[derive(Debug)]
pub struct SessionView {
    pub name: Vec<u8>,
    pub database: u32,
    pub pid: u32,
    pub opened: i64,
    pub busy: bool,
    pub alive: bool,
}

/// The session at this index of their names, in order; without its name where there is no memory for it.
pub fn view(area: &Area, caller: &CallerState, index: usize) -> Option<SessionView> {
    let all = caller.sessions.named.borrow();
    let (name, named) = all.iter().nth(index)?;
    Some(SessionView {
        name: memory::copy(name, "the name of a session").unwrap_or_default(),
        database: named.open.database,
        pid: slot_of(area, named.open.lease).worker_pid.load(Relaxed),
        opened: named.open.opened,
        busy: runs(area, &named.open) || named.open.phase == Phase::InUse,
        alive: alive(area, &named.open),
    })
}

//! A process waits until one of several tasks has ended. Its latch is set by who ends a task; while it is silent, the
//! process looks for a deadlock, as a single call does.

use super::find;
use crate::caller::call::{Call, check};
use crate::caller::process::CallerState;
use crate::error::Error;
use crate::host::CallerHost;
use crate::lease::wait;
use crate::memory::{self, Grows, SMALL};
use crate::pool::area::Area;
use crate::pool::deadlock::Watch;
use crate::pool::gate::{CancelReason, Stopped};
use crate::pool::slot::Lease;
use crate::report::*;
use crate::task::dispatch::dispatch;
use crate::task::{Card, Table, TaskState, Ticket};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::atomic::Ordering::*;

/// A worker whose task is cancelled for a deadlock is signalled again this often.
const SIGNAL_EVERY_US: u64 = 100_000;

/// Wait until one of these tasks has ended; its id, or None when the time has passed.
pub fn wait<H: CallerHost>(
    h: &H,
    area: &Area,
    caller: &CallerState,
    call: &Call,
    ids: &[Option<i64>],
    timeout_us: Option<u64>,
) -> Result<Option<i64>, Error> {
    check(call)?;
    memory::look_for(SMALL, "a wait for tasks")?;
    let mut tickets: Vec<Ticket> = Vec::new();
    let mut found = None;
    for (before, id) in [None].into_iter().chain(ids.iter().map(Some)).zip(ids) {
        if before == Some(id) {
            continue;
        }
        serve_interrupts(h)?;
        let (table, card) = find(h, caller, *id)?;
        found = Some(table);
        memory::push(&mut tickets, card.ticket, "the tasks to wait for")?;
    }
    let Some(table) = found else { return Ok(None) };
    let ended = || {
        let ended = |ticket: &&Ticket| table.state(**ticket).is_none_or(TaskState::finished);
        tickets.iter().find(ended).map(|ticket| ticket.id.cast_signed())
    };
    caller.poller.poll(h, area.busy(), call.poll_us, || ended().is_some());
    if let Some(id) = ended() {
        return Ok(Some(id));
    }
    let never = |ticket: &Ticket| caller.tasks.pending.borrow().iter().any(|(pending, _)| pending == ticket);
    if timeout_us.is_none() && tickets.iter().all(never) {
        let id = tickets.first().map_or(0, |ticket| ticket.id);
        return Err(Report::error(OBJECT_NOT_IN_PREREQUISITE_STATE, format!("task {id} starts when this transaction commits"))
            .with(Field::Hint, "Wait for it in another transaction.")
            .into());
    }
    let mut places = Vec::new();
    places.room(tickets.len(), "the tasks to wait for")?;
    for place in tickets.iter().map_while(|ticket| table.waiters().enlist(h.my_pid(), h.my_proc(), ticket.id)) {
        memory::push(&mut places, place, "the tasks to wait for")?;
    }
    if let Some(last) = places.last().filter(|_| places.len() < tickets.len()) {
        table.waiters().not_all(*last);
    }
    let result = sleep_until(h, area, caller, &table, call, &tickets, timeout_us, ended);
    places.into_iter().for_each(|place| table.waiters().delist(place));
    result
}

/// In a loop that may be long; a latch that this resets is looked for by whoever goes on.
fn serve_interrupts<H: CallerHost>(h: &H) -> Result<(), Error> {
    if h.interrupt_pending() {
        h.sleep(0)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "each is a fact of its own about the wait")]
fn sleep_until<H: CallerHost>(
    h: &H,
    area: &Area,
    caller: &CallerState,
    table: &Table,
    call: &Call,
    tickets: &[Ticket],
    timeout_us: Option<u64>,
    ended: impl Fn() -> Option<i64>,
) -> Result<Option<i64>, Error> {
    let start = h.now_us();
    let mut victim = None;
    let look = || {
        dispatch(h, area, table);
        if let Some(id) = ended() {
            return Ok(Break(Some(id)));
        }
        Ok(match timeout_us.map(|us| us.saturating_sub(h.now_us().saturating_sub(start)).div_ceil(1000)) {
            Some(0) => Break(None),
            left => Continue(left.map_or(u32::MAX, |ms| ms.min(u64::from(u32::MAX)) as u32)),
        })
    };
    let deadlock_ms = call.limits.deadlock_ms;
    wait::sleep_until(h, area, deadlock_ms, None, look, |watch| look_for_deadlock(h, area, caller, table, tickets, watch, &mut victim))
}

/// Break a deadlock that this wait is part of: the task that is in the way is its victim; where it has not
/// begun, as no worker can come free, this call is.
fn look_for_deadlock<H: CallerHost>(
    h: &H,
    area: &Area,
    caller: &CallerState,
    table: &Table,
    tickets: &[Ticket],
    watch: &mut Watch,
    victim: &mut Option<(Lease, u64)>,
) -> Result<(), Error> {
    if let Some((lease, next)) = victim {
        if h.now_us() >= *next {
            _ = area.slots[lease.slot as usize].signal(lease.generation, |pid| h.interrupt(pid, false));
            *next = h.now_us() + SIGNAL_EVERY_US;
        }
        return Ok(());
    }
    let Some(deadlock) = watch.look(h, area, Some(table))? else { return Ok(()) };
    let cards = || tickets.iter().filter_map(|ticket| table.card(*ticket));
    let of = |pid: u32| move |card: &Card| card.lease.is_some_and(|lease| area.slots[lease.slot as usize].worker_pid.load(Acquire) == pid);
    let running = deadlock.worker.and_then(|pid| cards().find(of(pid)));
    match running.and_then(|card| card.lease) {
        Some(lease) => {
            let slot = &area.slots[lease.slot as usize];
            if slot.gate.cancel(lease.generation, CancelReason::Deadlock) != Stopped::TooLate {
                *caller.tasks.deadlock.borrow_mut() = running.map(|card| (card.ticket.id, deadlock.detail));
                _ = slot.signal(lease.generation, |pid| h.interrupt(pid, false));
                *victim = Some((lease, h.now_us() + SIGNAL_EVERY_US));
            }
            Ok(())
        }
        None => Err(Report::error(DEADLOCK_DETECTED, "deadlock detected")
            .with(Field::Detail, deadlock.detail)
            .with(Field::Hint, "All autonomous workers wait for this transaction. Consider increasing \"aside.max_workers\".")
            .into()),
    }
}

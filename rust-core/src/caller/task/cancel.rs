//! A task is cancelled, in the queue or in its worker.

use super::{find, forget_file, wait, write_down};
use crate::caller::call::Call;
use crate::caller::process::CallerState;
use crate::error::Error;
use crate::host::CallerHost;
use crate::pool::area::Area;
use crate::pool::gate::{CancelReason, Stopped};
use crate::pool::slot::SlotState;
use crate::task::{TaskChange, TaskState};

/// Cancel a task: one that has not begun never will, one that runs commits no more than the commit that is under
/// way. False: it has ended, or that commit is its last. With a grace, wait that long for its end, and then end its worker.
pub fn cancel<H: CallerHost>(
    h: &H,
    area: &Area,
    caller: &CallerState,
    call: &Call,
    id: Option<i64>,
    grace_us: Option<u64>,
) -> Result<bool, Error> {
    let (table, card) = find(h, caller, id)?;
    let ticket = card.ticket;
    if matches!(card.state, TaskState::Pending | TaskState::Queued) {
        let pinned = table.pin(ticket);
        let mut change = table.cancel_queued(ticket, h.timestamp());
        let cancelled = change != TaskChange::Ignored;
        if cancelled {
            write_down(h, &table, ticket, TaskState::Cancelled);
        }
        if pinned {
            change = table.unpin(ticket);
        }
        if cancelled {
            table.waiters().wake(ticket.id, |proc| h.wake(proc));
            forget_file(h, change, ticket.id);
            return Ok(true);
        }
    }
    let Some(lease) = table.card(ticket).and_then(|card| card.lease) else { return Ok(false) };
    let slot = &area.slots[lease.slot as usize];
    if slot.state() != (SlotState::Tasked, lease.generation) {
        return Ok(false);
    }
    // First, for the worker may find the gate shut and end the task at once.
    table.ask_cancel(ticket);
    if slot.gate.cancel(lease.generation, CancelReason::GivenUp) == Stopped::TooLate {
        return Ok(false);
    }
    let due = slot.signal(lease.generation, |pid| h.interrupt(pid, false));
    slot.wake_worker(h);
    if let Some(grace) = grace_us
        && wait(h, area, caller, call, &[id], Some(grace))?.is_none()
    {
        _ = slot.signal(lease.generation, |pid| h.interrupt(pid, true));
    }
    // It may have seen the gate shut before it could be signalled.
    Ok(match table.state(ticket) {
        Some(state) if state.finished() => state == TaskState::Cancelled,
        _ => due,
    })
}

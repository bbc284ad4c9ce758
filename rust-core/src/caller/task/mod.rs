//! Tasks, from the side of whoever submits, waits for, reads or cancels one. Any process may, if its user
//! may act for the task's owner; what it is told is in the table that all processes share.
//!
//! A task's request lies in the table until a worker takes it, its result until somebody forgets it. So
//! nothing here waits for anybody, but for [`wait`] and [`result`].

mod cancel;
mod result;
mod submit;
mod view;
mod wait;

pub use cancel::cancel;
pub use result::result;
pub use submit::{End, Start, some_pending, submit, transaction_ends};
pub use view::{Seen, counts, view, view_of};
pub use wait::wait;

use super::process::CallerState;
use crate::error::Error;
use crate::host::CallerHost;
use crate::pool::area::Area;
use crate::pool::borrow::ancestors;
use crate::pool::gate::CancelReason;
use crate::pool::slot::{Lease, SlotState};
use crate::report::*;
use crate::task::dispatch::{dispatch, give_up_turn};
use crate::task::{Card, Table, TaskChange, TaskState, Ticket};
use std::sync::atomic::Ordering::*;

/// Between looks for tasks that have been kept for long enough.
const EXPIRE_EVERY_US: i64 = 10_000_000;

fn unknown(id: i64) -> Report {
    Report::error(UNDEFINED_OBJECT, format!("task {id} does not exist"))
}

/// The task of an id, if the user may act for its owner.
fn find<H: CallerHost>(h: &H, caller: &CallerState, id: Option<i64>) -> Result<(Table<'static>, Card), Error> {
    let id = id.ok_or_else(|| Error::from(Report::error(NULL_VALUE_NOT_ALLOWED, "task must not be null")))?;
    let table = caller.tasks.table().ok_or_else(|| unknown(id))?;
    let ticket = u64::try_from(id).ok().and_then(|id| caller.tasks.find(&table, id));
    let card = ticket.and_then(|ticket| table.card(ticket)).ok_or_else(|| unknown(id))?;
    if !h.may_act_for(card.owner)? {
        let report = Report::error(INSUFFICIENT_PRIVILEGE, format!("permission denied for task {id}"))
            .with(Field::Detail, "It belongs to another role.");
        return Err(report.into());
    }
    Ok((table, card))
}

fn forget_file<H: CallerHost>(h: &H, change: TaskChange, id: u64) {
    if change == (TaskChange::Freed { file: true }) {
        h.drop_file(id);
    }
}

/// So that a restart of the server does not make a task unheard of.
fn write_down<H: CallerHost>(h: &H, table: &Table, ticket: Ticket, state: TaskState) {
    if let Some(record) = table.record_as(ticket, state) {
        h.write_down(ticket.index, &record);
    }
}

/// Look whether there are workers for queued tasks, and forget those that have ended for so long.
pub fn kick<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, retention_us: i64) {
    let Some(table) = caller.tasks.table() else { return };
    dispatch(h, area, &table);
    let now = h.timestamp();
    if now.saturating_sub(caller.tasks.expired.get()) > EXPIRE_EVERY_US {
        caller.tasks.expired.set(now);
        table.expire(now, retention_us, |id| h.drop_file(id));
    }
}

/// Tell how far the task is that this process runs, or is called by; false: there is none.
pub fn progress<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, percent: f64, message: &[u8]) -> bool {
    let Some(table) = caller.tasks.table() else { return false };
    let outermost = ancestors(area, h.my_pid()).last().copied();
    let Some(slot) = outermost.map(|index| (index, &area.slots[index as usize])) else { return false };
    let lease = Lease { slot: slot.0, generation: slot.1.state().1 };
    table.running_at(slot.1.task.load(Relaxed), lease).is_some_and(|ticket| table.progress(ticket, percent, message))
}

/// Nobody will read a task's result: it is forgotten when it ends, or now.
pub fn detach<H: CallerHost>(h: &H, caller: &CallerState, id: Option<i64>) -> Result<(), Error> {
    let (table, card) = find(h, caller, id)?;
    forget_file(h, table.detach(card.ticket), card.ticket.id);
    Ok(())
}

/// This process exits: what it holds of the table is given back.
pub fn leave<H: CallerHost>(h: &H, area: &Area, caller: &CallerState) {
    let Some(table) = caller.tasks.table() else { return };
    table.waiters().delist_all(h.my_pid());
    give_up_turn(h, area, &table);
    if let Some(ticket) = caller.tasks.pinned.take() {
        forget_file(h, table.unpin(ticket), ticket.id);
    }
}

/// The owner of a private pool exits, and with it all its tasks: those that run are cancelled, what they
/// left in files is deleted.
pub fn close<H: CallerHost>(h: &H, area: &Area, caller: &CallerState) {
    let Some(table) = caller.tasks.table() else { return };
    for slot in area.slots {
        let (state, generation) = slot.state();
        if state == SlotState::Tasked {
            slot.gate.cancel(generation, CancelReason::GivenUp);
            _ = slot.signal(generation, |pid| h.interrupt(pid, true));
        }
    }
    for card in table.cards() {
        _ = table.cancel_queued(card.ticket, h.timestamp());
        forget_file(h, table.detach(card.ticket), card.ticket.id);
    }
}

//! Tasks as a view shows them.

use crate::caller::process::CallerState;
use crate::error::Error;
use crate::host::CallerHost;
use crate::pool::area::Area;
use crate::task::{TaskState, TaskView};
use std::sync::atomic::Ordering::*;

/// One entry of the table, as this user sees it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub enum Seen {
    /// A task of somebody for whom this user may act; the pid of the process that runs it, 0: none does.
    Row(TaskView, u32),
    /// No task, or somebody else's.
    Hidden,
    /// No task, and none at a later index.
    Over,
}

/// The task at an index, if the user may act for its owner.
pub fn view<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, index: u32) -> Result<Seen, Error> {
    let Some(table) = caller.tasks.table().filter(|table| (index as usize) < table.entries.len()) else { return Ok(Seen::Over) };
    let Some(view) = table.view(index) else { return Ok(Seen::Hidden) };
    if !h.may_act_for(view.card.owner)? {
        return Ok(Seen::Hidden);
    }
    let slot = view.card.lease.and_then(|lease| area.slot(lease.slot));
    Ok(Seen::Row(view, slot.map_or(0, |slot| slot.worker_pid.load(Relaxed))))
}

/// How many tasks are in each state, whoever's they are, and when the one was submitted that has been queued for the longest.
pub fn counts(caller: &CallerState, counts: &mut [u64]) -> Option<i64> {
    let table = caller.tasks.table()?;
    let mut oldest = None;
    for card in table.cards() {
        counts.get_mut(card.state as usize).into_iter().for_each(|count| *count += 1);
        if card.state == TaskState::Queued {
            oldest = Some(oldest.map_or(card.submitted, |oldest: i64| oldest.min(card.submitted)));
        }
    }
    oldest
}

/// The task of an id; its pid is that of the worker that has begun it, or in which it wants to run.
pub fn view_of<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, id: i64) -> Result<Seen, Error> {
    let Some(table) = caller.tasks.table() else { return Ok(Seen::Hidden) };
    let Some(ticket) = caller.tasks.find(&table, id.cast_unsigned()) else { return Ok(Seen::Hidden) };
    let ran_on = table.ran_on(ticket).map_or(0, |(_, pid)| pid);
    Ok(match view(h, area, caller, ticket.index)? {
        // Meanwhile it may have become another task's.
        Seen::Row(view, _) if view.card.ticket == ticket => Seen::Row(view, ran_on),
        _ => Seen::Hidden,
    })
}

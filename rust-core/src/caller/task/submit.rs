//! A task is submitted, at once or for the time when the running transaction commits.

use super::{find, forget_file, write_down};
use crate::caller::call::{Call, check, counted, request};
use crate::caller::process::CallerState;
use crate::error::Error;
use crate::host::{CallerHost, Mode};
use crate::lease::frames::protocol_violation;
use crate::lease::post::encode;
use crate::memory::Grows;
use crate::pool::area::Area;
use crate::pool::slot::Lease;
use crate::report::*;
use crate::task::dispatch::{dispatch, dispatch_new};
use crate::task::{MEMORY_PER_TASK, New, Table, TaskState, Ticket};
use std::sync::atomic::Ordering::*;

/// Between looks for a place in a table that is full.
const FULL_TICK_MS: u32 = 20;

/// How a task is to be started.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    pub label: &'a [u8],
    /// The command's beginning, for those who look; clipped to whole characters.
    pub shown: &'a [u8],
    pub timeout_ms: u32,
    /// Tasks that its role may have; 0 is no limit.
    pub quota: u32,
    /// Only if the running transaction commits, as far as this subtransaction is part of it.
    pub on_commit: Option<u32>,
    /// In the process that runs, or ran, that task.
    pub after: Option<u64>,
}

/// Write a task down for a worker to run; its id.
pub fn submit<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, start: &Start) -> Result<i64, Error> {
    counted(h, area, call, |_| {
        check(&Call { depth: 0, args: Vec::new(), columns: Vec::new(), ..*call })?;
        if start.on_commit.is_some() {
            caller.tasks.pending.borrow_mut().room(1, "tasks that start with the commit")?;
        }
        let table = caller.tasks.table().ok_or_else(|| Error::from(protocol_violation()))?;
        let prefer = start.after.map_or(Ok(None), |id| worker_of(h, area, caller, call, id))?;
        let new = New {
            owner: call.identity.current_user,
            key: call.key,
            submitter: h.my_pid(),
            command: start.shown,
            label: start.label,
            quotas: (call.limits.per_role, call.limits.per_session),
            prefer,
        };
        let mut request = request(area, caller, call, Mode::OneShot)?;
        request.settings = Some(call.settings);
        request.depth = 1;
        request.timeout_ms = start.timeout_ms;
        let mut buffer = caller.buffer.take();
        encode(&request, &mut buffer)?;
        let result = place(h, area, call, &table, &new, start.quota).and_then(|ticket| {
            let stored = store(h, &table, ticket, bytemuck::cast_slice(&buffer));
            stored.inspect_err(|_| forget_file(h, table.abandon(ticket, h.timestamp()), ticket.id))?;
            Ok(ticket)
        });
        caller.buffer.keep(&mut buffer);
        let ticket = result?;
        caller.tasks.remember(ticket);
        match start.on_commit {
            Some(subtransaction) => {
                #[expect(clippy::disallowed_methods, reason = "room was made before")]
                caller.tasks.pending.borrow_mut().push((ticket, subtransaction));
                table.offer(ticket, TaskState::Pending);
            }
            None => {
                write_down(h, &table, ticket, TaskState::Queued);
                table.offer(ticket, TaskState::Queued);
                dispatch_new(h, area, &table, ticket);
            }
        }
        Ok(ticket.id.cast_signed())
    })
}

/// An entry for a new task, as soon as there is one.
fn place<H: CallerHost>(h: &H, area: &Area, call: &Call, table: &Table, new: &New, quota: u32) -> Result<Ticket, Error> {
    let start = h.now_us();
    let may = || table.may_have_more(new.owner, quota);
    if may()
        && let Some(ticket) = table.submit_if_free(new, h.timestamp())
    {
        return Ok(ticket);
    }
    // Many at a time, so that not each submission looks through the table for one.
    table.make_room(|id| h.drop_file(id));
    loop {
        while !may() && table.make_room_of(new.owner, |id| h.drop_file(id)) {}
        if may()
            && let Ok((ticket, file)) = table.submit(new, h.timestamp())
        {
            file.into_iter().for_each(|id| h.drop_file(id));
            return Ok(ticket);
        }
        table.reclaim(h.timestamp(), |pid| h.alive(pid), |id| h.drop_file(id));
        dispatch(h, area, table);
        if h.now_us().saturating_sub(start) / 1000 >= u64::from(call.limits.timeout_ms) {
            let too_many = Report::error(CONFIGURATION_LIMIT_EXCEEDED, "too many tasks are waiting or running");
            let report = match (may(), quota) {
                (false, 1..) => too_many
                    .with(Field::Detail, format!("A role may have {quota}."))
                    .with(Field::Hint, "Consider increasing \"aside.max_tasks_per_role\"."),
                (false, 0) => too_many
                    .with(Field::Detail, format!("There is room for {}, the last of it for roles that have few.", table.entries.len()))
                    .with(Field::Hint, "Consider increasing \"aside.max_tasks\"."),
                (true, _) => too_many
                    .with(Field::Detail, format!("There is room for {}.", table.entries.len()))
                    .with(Field::Hint, "Consider increasing \"aside.max_tasks\"."),
            };
            return Err(report.into());
        }
        h.sleep(FULL_TICK_MS)?;
    }
}

/// Keep what a task needs: in memory if there is room, else in a file.
fn store<H: CallerHost>(h: &H, table: &Table, ticket: Ticket, bytes: &[u8]) -> Result<(), Error> {
    let room = || table.make_room(|id| h.drop_file(id));
    if !(table.store(ticket, bytes) || bytes.len() <= MEMORY_PER_TASK && room() && table.store(ticket, bytes)) {
        h.write_file(ticket.id, bytes)?;
        table.set_on_disk(ticket, bytes.len() as u64);
    }
    Ok(())
}

/// Slot and process of the worker that runs a task, or that has run it and is still there; None: it has none yet.
fn worker_of<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, id: u64) -> Result<Option<(u32, u32)>, Error> {
    let (table, card) = find(h, caller, Some(id.cast_signed()))?;
    if card.key != call.key {
        let message = format!("the worker of task {id} serves another database or user");
        return Err(Report::error(OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .with(Field::Hint, "Start the command in any worker with async_exec.")
            .into());
    }
    let (index, pid) = match card.lease {
        Some(Lease { slot, .. }) => (slot, area.slots[slot as usize].worker_pid.load(Acquire)),
        None => table.ran_on(card.ticket).unwrap_or((u32::MAX, 0)),
    };
    let there = area.slot(index).is_some_and(|slot| pid != 0 && slot.worker_pid.load(Acquire) == pid);
    if there || !card.state.finished() {
        return Ok(there.then_some((index, pid)));
    }
    Err(Report::error(OBJECT_NOT_IN_PREREQUISITE_STATE, format!("the worker of task {id} has gone"))
        .with(Field::Hint, "Start the command in any worker with async_exec.")
        .into())
}

/// The running transaction, or that subtransaction of it, ends: tasks that were to start with it do, or
/// never will. `parent`: a subtransaction was committed to its parent. Nothing here may throw.
pub fn transaction_ends<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, end: End) {
    let Some(table) = caller.tasks.table() else { return };
    let Ok(mut pending) = caller.tasks.pending.try_borrow_mut() else { return };
    match end {
        End::Commit => {
            for (ticket, _) in pending.drain(..) {
                write_down(h, &table, ticket, TaskState::Queued);
                table.confirm(ticket);
            }
            drop(pending);
            dispatch(h, area, &table);
        }
        End::Abort => pending.drain(..).for_each(|(ticket, _)| forget_file(h, table.abandon(ticket, h.timestamp()), ticket.id)),
        End::SubCommit { own, parent } => pending.iter_mut().filter(|(_, of)| *of == own).for_each(|(_, of)| *of = parent),
        End::SubAbort { own } => pending.retain(|(ticket, of)| {
            if *of == own {
                forget_file(h, table.abandon(*ticket, h.timestamp()), ticket.id);
            }
            *of != own
        }),
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Commit,
    Abort,
    SubCommit { own: u32, parent: u32 },
    SubAbort { own: u32 },
}

/// Do tasks wait for this transaction to commit?
pub fn some_pending(caller: &CallerState) -> bool {
    caller.tasks.pending.try_borrow().is_ok_and(|pending| !pending.is_empty())
}

//! Which queued task runs next, and in which worker. Asked by whoever submits a task, by each worker that
//! has nothing to do or leaves, and by those who wait for a task.
//!
//! One process does it at a time, for all who ask (`turn.rs`): so the oldest task is first and quotas are exact. Others
//! claim slots meanwhile, and cancel tasks: a slot is claimed first, then the task is taken for that lease, and who
//! loses either gives the other back. A process that vanishes in between leaves a slot without a worker, which
//! [`reclaim`] finds.

use super::{Card, Table, TaskState, Ticket};
use crate::host::{CallerHost, Launch, World};
use crate::memory;
use crate::pool::area::Area;
use crate::pool::borrow::{leased, make_room, retire_for, role_exceeds};
use crate::pool::slot::{Key, Lease, Slot, SlotState};
use std::cell::RefCell;
use std::sync::atomic::Ordering::*;

/// A worker that was launched for a task and has not come for this long never will.
const LAUNCH_PATIENCE_US: i64 = 60_000_000;

/// May tasks of this user, session and quotas run?
type Answer = ((u32, u32, (u32, u32)), bool);

/// What came of a look for a worker.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Assigned,
    /// For this task there is none now; another one may have more luck.
    NotNow,
    /// For no task.
    Exhausted,
}

/// Give workers to queued tasks, the oldest first, as long as there are both.
pub fn dispatch<H: CallerHost>(h: &H, area: &Area, table: &Table) {
    reclaim(h, area, table);
    if table.some_queued() {
        table.in_turn(h.my_pid(), |pid| h.alive(pid), || assign_all(h, area, table));
    }
}

fn assign_all<H: CallerHost>(h: &H, area: &Area, table: &Table) {
    loop {
        expect_queued(area, table, false);
        let on_its_way = |slot: &Slot| slot.state().0 == SlotState::Tasked && slot.without_worker();
        if !table.cards().any(|card| card.state == TaskState::Queued) && !area.slots.iter().any(on_its_way) {
            return;
        }
        // From here on who gives a worker back has it look for tasks; so we look once more after that.
        expect_queued(area, table, true);
        if !assign_some(h, area, table) {
            return;
        }
    }
}

fn expect_queued(area: &Area, table: &Table, some: bool) {
    table.expect_queued(some);
    area.let_tasks_wait(some);
}

/// One look at all of them: did any get a worker? What is found for one task holds for all that want the
/// same, so that a long queue is not looked through for each of its members.
fn assign_some<H: CallerHost>(h: &H, area: &Area, table: &Table) -> bool {
    let mut assigned = false;
    let mut passed_over: Vec<(Key, Option<(u32, u32)>)> = Vec::new();
    let within_quotas: RefCell<Vec<Answer>> = RefCell::default();
    let may_run = |card: &Card| {
        let whose = (card.key.user, card.submitter, card.quotas);
        let known = within_quotas.borrow().iter().find(|(of, _)| *of == whose).map(|(_, may)| *may);
        known.unwrap_or_else(|| {
            let may = may_run(area, table, card);
            _ = memory::push(&mut within_quotas.borrow_mut(), (whose, may), "queued tasks");
            may
        })
    };
    loop {
        let next = table.oldest_queued(|card| !passed_over.contains(&(card.key, card.prefer)) && may_run(card));
        let Some(card) = next.and_then(|ticket| table.card(ticket)) else { return assigned };
        match assign(h, area, table, &card) {
            Found::Assigned => {
                assigned = true;
                within_quotas.borrow_mut().clear();
            }
            Found::NotNow if memory::push(&mut passed_over, (card.key, card.prefer), "queued tasks").is_ok() => {}
            // Another process that has memory goes on.
            Found::NotNow | Found::Exhausted => return assigned,
        }
    }
}

/// A task has just been queued: give it a worker, unless others wait for one too.
pub fn dispatch_new<H: CallerHost>(h: &H, area: &Area, table: &Table, ticket: Ticket) {
    let mut new = Some(ticket);
    let look = || {
        let assigned = new.take().is_some_and(|ticket| assign_first(h, area, table, ticket));
        if !assigned {
            reclaim(h, area, table);
            table.expect_queued(true);
            assign_all(h, area, table);
        }
    };
    table.in_turn(h.my_pid(), |pid| h.alive(pid), look);
}

/// The only task that is queued need not be looked for.
fn assign_first<H: CallerHost>(h: &H, area: &Area, table: &Table, ticket: Ticket) -> bool {
    let card = || table.card(ticket).filter(|card| may_run(area, table, card));
    !table.some_queued() && card().is_some_and(|card| assign(h, area, table, &card) == Found::Assigned)
}

/// This process exits, perhaps in the midst of it: idle workers go on with what it leaves.
pub fn give_up_turn<H: World>(h: &H, area: &Area, table: &Table) {
    if table.leave_turn(h.my_pid()) {
        expect_queued(area, table, true);
        let idle = area.slots.iter().filter(|slot| slot.state().0 == SlotState::Idle);
        idle.for_each(|slot| slot.wake_worker(h));
    }
}

/// Quotas are the submitter's, and count running tasks. Calls that wait for a worker come first, but one task may always run.
fn may_run(area: &Area, table: &Table, card: &Card) -> bool {
    let of_role = || area.slots.iter().filter(|slot| leased(slot) && slot.key().user == card.key.user).count() as u32;
    let of_session = || table.count(TaskState::Running, |other| other.submitter == card.submitter) as u32;
    let tasks = || area.slots.iter().any(|slot| slot.state().0 == SlotState::Tasked);
    let (per_role, per_session) = card.quotas;
    (per_role == 0 || of_role() < per_role) && (per_session == 0 || of_session() < per_session) && (area.waiters() == 0 || !tasks())
}

fn assign<H: CallerHost>(h: &H, area: &Area, table: &Table, card: &Card) -> Found {
    if let Some(found) = assign_preferred(h, area, table, card) {
        return found;
    }
    for (index, slot) in area.slots.iter().enumerate() {
        let (state, generation) = slot.state();
        if state == SlotState::Idle && slot.key() == card.key && lend(h, area, table, card, index, slot, generation) {
            return Found::Assigned;
        }
    }
    for (index, slot) in area.slots.iter().enumerate() {
        let (state, generation) = slot.state();
        if state != SlotState::Free {
            continue;
        }
        // Before others can see that its worker has not come yet.
        slot.last_used.store(h.timestamp(), Relaxed);
        let Some(generation) = slot.claim_as(SlotState::Tasked, SlotState::Free, generation, (h.my_pid(), h.my_proc())) else { continue };
        area.header.busy.fetch_add(1, Relaxed);
        slot.set_key(card.key);
        if role_exceeds(area, card.key.user, card.quotas.0) {
            area.untask(slot, generation, SlotState::Free);
            return Found::NotNow;
        }
        slot.task.store(card.ticket.index, Relaxed);
        let lease = Lease { slot: index as u32, generation };
        area.clear_rings(lease.slot);
        // Until the worker has come somebody is to look after it.
        expect_queued(area, table, true);
        if !take(h, table, card.ticket, slot, lease) {
            area.untask(slot, generation, SlotState::Free);
            return Found::Assigned;
        }
        // Before the worker comes and looks.
        slot.post_unless_later(generation);
        if h.launch(lease.slot, generation, card.key) == Ok(Launch::Started) {
            return Found::Assigned;
        }
        table.requeue(card.ticket, lease);
        area.untask(slot, generation, SlotState::Free);
        retire_for(h, area, card.key);
        _ = make_room(h, area);
        return Found::Exhausted;
    }
    retire_for(h, area, card.key);
    Found::NotNow
}

/// A task that follows another one wants the process in which that ran, for as long as it is there.
fn assign_preferred<H: CallerHost>(h: &H, area: &Area, table: &Table, card: &Card) -> Option<Found> {
    let (index, pid) = card.prefer?;
    let slot = area.slot(index)?;
    let (state, generation) = slot.state();
    // One that has not come yet is whoever comes.
    let there = pid == 0 || slot.worker_pid.load(Acquire) == pid;
    if !there || slot.key() != card.key {
        return None;
    }
    match state {
        SlotState::Idle if lend(h, area, table, card, index as usize, slot, generation) => Some(Found::Assigned),
        SlotState::Idle | SlotState::Busy | SlotState::Held | SlotState::Tasked => Some(Found::NotNow),
        _ => None,
    }
}

/// Have an idle worker run a task.
fn lend<H: CallerHost>(h: &H, area: &Area, table: &Table, card: &Card, index: usize, slot: &Slot, generation: u64) -> bool {
    let Some(generation) = slot.claim_as(SlotState::Tasked, SlotState::Idle, generation, (h.my_pid(), h.my_proc())) else { return false };
    area.header.busy.fetch_add(1, Relaxed);
    if role_exceeds(area, card.key.user, card.quotas.0) {
        area.untask(slot, generation, SlotState::Idle);
        return false;
    }
    slot.task.store(card.ticket.index, Relaxed);
    if take(h, table, card.ticket, slot, Lease { slot: index as u32, generation }) {
        slot.spread(h);
        slot.post_unless_later(generation);
        slot.wake_worker(h);
    } else {
        table.expect_queued(true);
        area.untask(slot, generation, SlotState::Idle);
    }
    true
}

/// Take a task for a slot that we have claimed. Its worker may have left since, or the slot been given away as
/// one whose worker never came: whoever does that looks for a task after it, as we look at the slot.
fn take<H: CallerHost>(h: &H, table: &Table, ticket: Ticket, slot: &Slot, lease: Lease) -> bool {
    let taken = table.take(ticket, lease, h.timestamp());
    let ours = slot.state() == (SlotState::Tasked, lease.generation);
    if taken && !ours {
        table.requeue(ticket, lease);
    }
    taken && ours
}

/// A worker that was launched for a task and never came leaves a slot that nobody serves.
pub(crate) fn reclaim<H: CallerHost>(h: &H, area: &Area, table: &Table) {
    for (index, slot) in area.slots.iter().enumerate() {
        let (state, generation) = slot.state();
        if state != SlotState::Tasked || !slot.without_worker() || !slot.named(generation) {
            continue;
        }
        let launcher = slot.caller_pid.load(Acquire);
        let failed = launcher == h.my_pid() && h.launch_failed(index as u32);
        let late = h.timestamp().saturating_sub(slot.last_used.load(Relaxed)) > LAUNCH_PATIENCE_US;
        let lease = Lease { slot: index as u32, generation };
        if (failed || late || !h.alive(launcher)) && slot.take_over(generation, SlotState::Tasked) {
            area.header.busy.fetch_sub(1, Relaxed);
            let ticket = table.running_on(lease);
            ticket.into_iter().for_each(|ticket: Ticket| _ = table.requeue(ticket, lease));
        }
    }
}

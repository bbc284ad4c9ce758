//! What others see of a task: all of it for a SQL view, a few words for who looks through the table.

use super::entry::{CANCEL, DETACHED, DISK, PINS, READ, TaskEntry};
use super::{Table, TaskState, Ticket};
use crate::pool::slot::{Key, Lease};
use std::sync::atomic::Ordering::*;

/// The words by which a task is chosen or counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    pub ticket: Ticket,
    pub state: TaskState,
    pub owner: u32,
    pub key: Key,
    pub submitter: u32,
    pub submitted: i64,
    /// While it is Running.
    pub lease: Option<Lease>,
    /// Slot and worker pid that it would rather run in.
    pub prefer: Option<(u32, u32)>,
    /// Tasks of its role, and of its session, that may run at a time; 0 is no limit.
    pub quotas: (u32, u32),
    pub cancel_asked: bool,
}

/// One task as it was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    pub card: Card,
    pub started: Option<i64>,
    /// This and the next three say something once it has finished.
    pub finished: Option<i64>,
    pub rows: u64,
    pub sqlstate: u32,
    pub message: Vec<u8>,
    pub command: Vec<u8>,
    pub label: Vec<u8>,
    /// Percent and message, if the task has said so.
    pub progress: Option<(f64, Vec<u8>)>,
    pub detached: bool,
    pub read: bool,
    pub pins: u32,
    /// Bytes of the request, later of the result.
    pub payload: u64,
    pub on_disk: bool,
}

fn card(entry: &TaskEntry, index: u32, (id, state): (u64, TaskState)) -> Option<Card> {
    let hold = entry.held(id).filter(|_| !matches!(state, TaskState::Free | TaskState::Filling))?;
    Some(Card {
        ticket: Ticket { index, id },
        state,
        owner: entry.owner.load(Relaxed),
        key: entry.key(),
        submitter: entry.submitter.load(Relaxed),
        submitted: entry.submitted.load(Relaxed),
        lease: entry.lease().filter(|_| state == TaskState::Running),
        prefer: entry.prefer_slot.load(Relaxed).checked_sub(1).map(|slot| (slot, entry.prefer_pid.load(Relaxed))),
        quotas: (entry.per_role.load(Relaxed), entry.per_session.load(Relaxed)),
        cancel_asked: hold & CANCEL != 0,
    })
}

fn view(entry: &TaskEntry, index: u32, at: (u64, TaskState)) -> Option<TaskView> {
    let card = card(entry, index, at)?;
    let (hold, ended) = (entry.held(at.0)?, at.1.finished());
    let in_memory = entry.payload.load(Relaxed) >> 32;
    let on_disk = hold & DISK != 0;
    Some(TaskView {
        card,
        started: Some(entry.started.load(Relaxed)).filter(|&at_time| at_time != 0 && (ended || at.1 == TaskState::Running)),
        finished: ended.then(|| entry.finished.load(Relaxed)),
        rows: if ended { entry.rows.load(Relaxed) } else { 0 },
        sqlstate: if ended { entry.sqlstate.load(Relaxed) } else { 0 },
        message: if ended { entry.message.get() } else { Vec::new() },
        command: entry.command.get(),
        label: entry.label.get(),
        progress: entry.progress.read(at.0),
        detached: hold & DETACHED != 0,
        read: hold & READ != 0,
        pins: (hold & PINS) as u32,
        payload: if on_disk { entry.disk_length.load(Relaxed) } else { in_memory },
        on_disk,
    })
}

impl<'a> Table<'a> {
    /// Everything about the task of an entry; None if there is none, or it is still being submitted.
    pub fn view(&self, index: u32) -> Option<TaskView> {
        let entry = self.entries.get(index as usize)?;
        entry.steady(|id, state| view(entry, index, (id, state)))?
    }

    /// What this task is chosen by.
    pub fn card(&self, ticket: Ticket) -> Option<Card> {
        let entry = self.entries.get(ticket.index as usize)?;
        entry.steady(|id, state| card(entry, ticket.index, (id, state)))?.filter(|card| card.ticket == ticket)
    }

    /// All tasks that have been submitted, for who chooses among them.
    pub fn cards(&self) -> impl Iterator<Item = Card> + use<'a> {
        self.entries.iter().zip(0..).filter_map(|(entry, index)| entry.steady(|id, state| card(entry, index, (id, state)))?)
    }

    /// The one that was submitted first, of those that wait for a worker.
    pub fn oldest_queued(&self, which: impl Fn(&Card) -> bool) -> Option<Ticket> {
        let free = |card: &Card| card.state == TaskState::Queued && !self.entries[card.ticket.index as usize].leased();
        self.cards().filter(|card| free(card) && which(card)).map(|card| card.ticket).min_by_key(|ticket| ticket.id)
    }

    /// How many are in this state.
    pub fn count(&self, state: TaskState, which: impl Fn(&Card) -> bool) -> usize {
        self.cards().filter(|card| card.state == state && which(card)).count()
    }
}

//! Tasks, from the side of whoever submits, waits for, reads or cancels one. Any process may, if its user
//! may act for the task's owner; what it is told is in the table that all processes share.
//!
//! A task's request lies in the table until a worker takes it, its result until somebody forgets it. So
//! nothing here waits for anybody, but for [`wait`] and [`result`]: their latch is set by who ends a task,
//! and while it is silent they look for a deadlock, as a single call does.

use super::call::*;
use super::wait;
use crate::host::{CallerHost, Mode};
use crate::lease::frames::Frame;
use crate::memory::{self, Grows, SMALL};
use crate::pool::area::Area;
use crate::pool::borrow::ancestors;
use crate::pool::deadlock::Watch;
use crate::pool::gate::{Stop, Why};
use crate::pool::slot::{Lease, SlotState};
use crate::report::*;
use crate::task::dispatch::{dispatch, dispatch_new, give_up_turn};
use crate::task::{Card, MEMORY_PER_TASK, New, Table, TaskChange, TaskState, Ticket, Unloadable, View};
use crate::wire::codec::Unread;
use crate::wire::frame::{HEADER_BYTES, Kind, decode_header};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::atomic::Ordering::*;

/// Between looks for a place in a table that is full.
const FULL_TICK_MS: u32 = 20;
/// Bytes of a result's file that are read at a time.
const CHUNK: usize = 64 * 1024;
/// A worker whose task is cancelled for a deadlock is signalled again this often.
const SIGNAL_EVERY_US: u64 = 100_000;

/// Between looks for tasks that have been kept for long enough.
const EXPIRE_EVERY_US: i64 = 10_000_000;

/// What this process knows of tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    table: Cell<Option<Table<'static>>>,
    /// Where the last tasks that this process dealt with are.
    known: RefCell<Vec<Ticket>>,
    /// Those that start if the running transaction commits, with the subtransaction that wants them.
    pending: RefCell<Vec<(Ticket, u32)>>,
    /// What this process reads now.
    pinned: Cell<Option<Ticket>>,
    /// When it last looked for what has been kept for long enough.
    expired: Cell<i64>,
    /// The last task that it has cancelled to break a deadlock, and which.
    deadlock: RefCell<Option<(u64, Vec<u8>)>>,
}

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

impl Tasks {
    pub fn attach(&self, table: Table<'static>) {
        self.table.set(Some(table));
    }

    pub fn table(&self) -> Option<Table<'static>> {
        self.table.get()
    }

    /// What a task's error looks like to who reads it.
    fn dress(&self, failed: CallError, id: u64) -> CallError {
        let CallError::Report(mut report) = failed else { return failed };
        report.position = 0;
        let deadlock = self.deadlock.borrow();
        let detail = deadlock.as_ref().filter(|(of, _)| *of == id).map(|(_, detail)| detail.as_slice());
        report.raised_by(format!("task {id}"), detail).into()
    }

    /// Those for which there is no memory are looked for in the table.
    fn remember(&self, ticket: Ticket) {
        let mut known = self.known.borrow_mut();
        if known.len() >= 4096 {
            known.drain(..2048);
        }
        _ = memory::push(&mut known, ticket, "a task");
    }

    fn find(&self, table: &Table, id: u64) -> Option<Ticket> {
        let known = self.known.borrow().iter().rev().find(|ticket| ticket.id == id).copied();
        known.filter(|ticket| table.state(*ticket).is_some()).or_else(|| table.find(id))
    }
}

fn unknown(id: i64) -> Report {
    Report::error(UNDEFINED_OBJECT, format!("task {id} does not exist"))
}

/// The task of an id, if the user may act for its owner.
fn find<H: CallerHost>(h: &H, session: &Session, id: Option<i64>) -> Result<(Table<'static>, Card), CallError> {
    let id = id.ok_or_else(|| CallError::from(Report::error(NULL_VALUE_NOT_ALLOWED, "task must not be null")))?;
    let table = session.tasks.table().ok_or_else(|| unknown(id))?;
    let ticket = u64::try_from(id).ok().and_then(|id| session.tasks.find(&table, id));
    let card = ticket.and_then(|ticket| table.card(ticket)).ok_or_else(|| unknown(id))?;
    if !h.may_act_for(card.owner)? {
        let report = Report::error(INSUFFICIENT_PRIVILEGE, format!("permission denied for task {id}"))
            .with(Field::Detail, "It belongs to another role.");
        return Err(report.into());
    }
    Ok((table, card))
}

/// Write a task down for a worker to run; its id.
pub fn submit<H: CallerHost>(h: &H, area: &Area, session: &Session, call: &Call, start: &Start) -> Result<i64, CallError> {
    counted(h, area, call, |_| {
        check(&Call { depth: 0, args: Vec::new(), columns: Vec::new(), ..*call })?;
        if start.on_commit.is_some() {
            session.tasks.pending.borrow_mut().room(1, "tasks that start with the commit")?;
        }
        let table = session.tasks.table().ok_or_else(|| CallError::from(protocol_violation()))?;
        let prefer = start.after.map_or(Ok(None), |id| worker_of(h, area, session, call, id))?;
        let new = New {
            owner: call.identity.current_user,
            key: call.key,
            submitter: h.my_pid(),
            command: start.shown,
            label: start.label,
            quotas: (call.limits.per_role, call.limits.per_session),
            prefer,
        };
        let mut request = request(area, session, call, Mode::OneShot)?;
        request.settings = Some(call.settings);
        request.depth = 1;
        request.timeout_ms = start.timeout_ms;
        let mut buffer = session.take_buffer();
        encode(&request, &mut buffer)?;
        let result = place(h, area, call, &table, &new, start.quota).and_then(|ticket| {
            let stored = store(h, &table, ticket, bytemuck::cast_slice(&buffer));
            stored.inspect_err(|_| forget_file(h, table.abandon(ticket, h.timestamp()), ticket.id))?;
            Ok(ticket)
        });
        session.keep_buffer(&mut buffer);
        let ticket = result?;
        session.tasks.remember(ticket);
        match start.on_commit {
            Some(subtransaction) => {
                #[expect(clippy::disallowed_methods, reason = "room was made before")]
                session.tasks.pending.borrow_mut().push((ticket, subtransaction));
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
fn place<H: CallerHost>(h: &H, area: &Area, call: &Call, table: &Table, new: &New, quota: u32) -> Result<Ticket, CallError> {
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
fn store<H: CallerHost>(h: &H, table: &Table, ticket: Ticket, bytes: &[u8]) -> Result<(), CallError> {
    let room = || table.make_room(|id| h.drop_file(id));
    if !(table.store(ticket, bytes) || bytes.len() <= MEMORY_PER_TASK && room() && table.store(ticket, bytes)) {
        h.write_file(ticket.id, bytes)?;
        table.set_on_disk(ticket, bytes.len() as u64);
    }
    Ok(())
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

/// Slot and process of the worker that runs a task, or that has run it and is still there; None: it has none yet.
fn worker_of<H: CallerHost>(h: &H, area: &Area, session: &Session, call: &Call, id: u64) -> Result<Option<(u32, u32)>, CallError> {
    let (table, card) = find(h, session, Some(id.cast_signed()))?;
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
pub fn transaction_ends<H: CallerHost>(h: &H, area: &Area, session: &Session, end: End) {
    let Some(table) = session.tasks.table() else { return };
    let Ok(mut pending) = session.tasks.pending.try_borrow_mut() else { return };
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
pub fn some_pending(session: &Session) -> bool {
    session.tasks.pending.try_borrow().is_ok_and(|pending| !pending.is_empty())
}

/// Look whether there are workers for queued tasks, and forget those that have ended for so long.
pub fn kick<H: CallerHost>(h: &H, area: &Area, session: &Session, retention_us: i64) {
    let Some(table) = session.tasks.table() else { return };
    dispatch(h, area, &table);
    let now = h.timestamp();
    if now.saturating_sub(session.tasks.expired.get()) > EXPIRE_EVERY_US {
        session.tasks.expired.set(now);
        table.expire(now, retention_us, |id| h.drop_file(id));
    }
}

/// Tell how far the task is that this process runs, or is called by; false: there is none.
pub fn progress<H: CallerHost>(h: &H, area: &Area, session: &Session, percent: f64, message: &[u8]) -> bool {
    let Some(table) = session.tasks.table() else { return false };
    let outermost = ancestors(area, h.my_pid()).last().copied();
    let Some(slot) = outermost.map(|index| (index, &area.slots[index as usize])) else { return false };
    let lease = Lease { slot: slot.0, generation: slot.1.state().1 };
    table.running_at(slot.1.task.load(Relaxed), lease).is_some_and(|ticket| table.progress(ticket, percent, message))
}

/// One entry of the table, as this user sees it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub enum Seen {
    /// A task of somebody for whom this user may act; the pid of the process that runs it, 0: none does.
    Row(View, u32),
    /// No task, or somebody else's.
    Hidden,
    /// Nor is there a later one.
    Over,
}

/// The task at an index, if the user may act for its owner.
pub fn view<H: CallerHost>(h: &H, area: &Area, session: &Session, index: u32) -> Result<Seen, CallError> {
    let Some(table) = session.tasks.table().filter(|table| (index as usize) < table.entries.len()) else { return Ok(Seen::Over) };
    let Some(view) = table.view(index) else { return Ok(Seen::Hidden) };
    if !h.may_act_for(view.card.owner)? {
        return Ok(Seen::Hidden);
    }
    let slot = view.card.lease.and_then(|lease| area.slot(lease.slot));
    Ok(Seen::Row(view, slot.map_or(0, |slot| slot.worker_pid.load(Relaxed))))
}

/// The task of an id; its pid is that of the worker that has begun it, or in which it wants to run.
pub fn view_of<H: CallerHost>(h: &H, area: &Area, session: &Session, id: i64) -> Result<Seen, CallError> {
    let Some(table) = session.tasks.table() else { return Ok(Seen::Hidden) };
    let Some(ticket) = session.tasks.find(&table, id.cast_unsigned()) else { return Ok(Seen::Hidden) };
    let ran_on = table.ran_on(ticket).map_or(0, |(_, pid)| pid);
    Ok(match view(h, area, session, ticket.index)? {
        // Meanwhile it may have become another task's.
        Seen::Row(view, _) if view.card.ticket == ticket => Seen::Row(view, ran_on),
        _ => Seen::Hidden,
    })
}

/// Wait until one of these tasks has ended; its id, or None when the time has passed.
pub fn wait<H: CallerHost>(
    h: &H,
    area: &Area,
    session: &Session,
    call: &Call,
    ids: &[Option<i64>],
    timeout_us: Option<u64>,
) -> Result<Option<i64>, CallError> {
    check(call)?;
    memory::look_for(SMALL, "a wait for tasks")?;
    let mut tickets: Vec<Ticket> = Vec::new();
    let mut found = None;
    for (before, id) in [None].into_iter().chain(ids.iter().map(Some)).zip(ids) {
        if before == Some(id) {
            continue;
        }
        serve_interrupts(h)?;
        let (table, card) = find(h, session, *id)?;
        found = Some(table);
        memory::push(&mut tickets, card.ticket, "the tasks to wait for")?;
    }
    let Some(table) = found else { return Ok(None) };
    let ended = || {
        let ended = |ticket: &&Ticket| table.state(**ticket).is_none_or(TaskState::finished);
        tickets.iter().find(ended).map(|ticket| ticket.id.cast_signed())
    };
    session.poller.poll(h, area.busy(), call.poll_us, || ended().is_some());
    if let Some(id) = ended() {
        return Ok(Some(id));
    }
    let never = |ticket: &Ticket| session.tasks.pending.borrow().iter().any(|(pending, _)| pending == ticket);
    if timeout_us.is_none() && tickets.iter().all(never) {
        let id = tickets.first().map_or(0, |ticket| ticket.id);
        return Err(Report::error(OBJECT_NOT_IN_PREREQUISITE_STATE, format!("task {id} starts when this transaction commits"))
            .with(Field::Hint, "Wait for it in another transaction.")
            .into());
    }
    let mut places = Vec::new();
    places.room(tickets.len(), "the tasks to wait for")?;
    for place in tickets.iter().map_while(|ticket| table.enlist(h.my_pid(), h.my_proc(), ticket.id)) {
        memory::push(&mut places, place, "the tasks to wait for")?;
    }
    if let Some(last) = places.last().filter(|_| places.len() < tickets.len()) {
        table.not_all(*last);
    }
    let result = sleep_until(h, area, session, &table, call, &tickets, timeout_us, ended);
    places.into_iter().for_each(|place| table.delist(place));
    result
}

/// In a loop that may be long; a latch that this resets is looked for by whoever goes on.
fn serve_interrupts<H: CallerHost>(h: &H) -> Result<(), CallError> {
    if h.interrupt_pending() {
        h.sleep(0)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "each is a fact of its own about the wait")]
fn sleep_until<H: CallerHost>(
    h: &H,
    area: &Area,
    session: &Session,
    table: &Table,
    call: &Call,
    tickets: &[Ticket],
    timeout_us: Option<u64>,
    ended: impl Fn() -> Option<i64>,
) -> Result<Option<i64>, CallError> {
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
    wait::sleep_until(h, area, deadlock_ms, look, |watch| look_for_deadlock(h, area, session, table, tickets, watch, &mut victim))
}

/// Break a deadlock that this wait is part of: the task that is in the way is its victim; where it has not
/// begun, as no worker can come free, this call is.
fn look_for_deadlock<H: CallerHost>(
    h: &H,
    area: &Area,
    session: &Session,
    table: &Table,
    tickets: &[Ticket],
    watch: &mut Watch,
    victim: &mut Option<(Lease, u64)>,
) -> Result<(), CallError> {
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
            if slot.gate.cancel(lease.generation, Why::Deadlock) != Stop::TooLate {
                *session.tasks.deadlock.borrow_mut() = running.map(|card| (card.ticket.id, deadlock.detail));
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

/// Wait for a task's end and hand its result on; the error of one that failed is this call's. `peek`: it is not read yet.
pub fn result<H: CallerHost>(h: &H, area: &Area, session: &Session, call: &Call, id: Option<i64>, peek: bool) -> Result<(), CallError> {
    counted(h, area, call, |rows| {
        wait(h, area, session, call, &[id], None)?;
        let (table, card) = find(h, session, id)?;
        if !table.pin(card.ticket) {
            return Err(unknown(id.unwrap_or_default()).into());
        }
        session.tasks.pinned.set(Some(card.ticket));
        let result = read(h, &table, card.ticket, rows).map_err(|failed| session.tasks.dress(failed, card.ticket.id));
        session.tasks.pinned.set(None);
        if !peek {
            table.mark_read(card.ticket);
        }
        forget_file(h, table.unpin(card.ticket), card.ticket.id);
        result
    })
}

fn read<H: CallerHost>(h: &H, table: &Table, ticket: Ticket, rows: &mut u64) -> Result<(), CallError> {
    let mut bytes = Vec::new();
    match table.load(ticket, &mut bytes) {
        Ok(()) => {
            let mut frames = Frames { rest: bytes, at: 0, file: None };
            hand_on(h, &mut frames, rows)?;
        }
        Err(Unloadable::OnDisk) => {
            let length = table.on_disk(ticket).unwrap_or(0);
            let mut frames = Frames { rest: Vec::new(), at: 0, file: Some((ticket.id, 0, length)) };
            hand_on(h, &mut frames, rows)?;
        }
        Err(Unloadable::NoMemory(no)) => return Err(no.into()),
        Err(Unloadable::Gone) => return Err(unknown(ticket.id.cast_signed()).into()),
    }
    match table.view(ticket.index).filter(|view| view.card.ticket == ticket) {
        Some(view) if view.card.state == TaskState::Done => Ok(()),
        Some(view) => Err(Report::error(view.sqlstate, "").with(Field::Message, view.message).into()),
        None => Err(unknown(ticket.id.cast_signed()).into()),
    }
}

const RESULT: &str = "the result of a task";

/// Frames of a result: all in memory, or read from a file piece by piece.
struct Frames {
    rest: Vec<u8>,
    at: usize,
    /// The task, how much has been read, and how much there is.
    file: Option<(u64, u64, u64)>,
}

impl Frames {
    /// See to it that this many bytes are there; false: the result ends before.
    fn need<H: CallerHost>(&mut self, h: &H, count: usize) -> Result<bool, CallError> {
        while self.rest.len() - self.at < count {
            let Some((id, read, length)) = self.file.as_mut().filter(|(_, read, length)| read < length) else { return Ok(false) };
            self.rest.drain(..self.at);
            self.at = 0;
            let wanted = ((*length - *read) as usize).min(CHUNK.max(count - self.rest.len()));
            let before = self.rest.len();
            memory::extend(&mut self.rest, wanted, 0, RESULT)?;
            h.read_file(*id, *read, &mut self.rest[before..])?;
            *read += wanted as u64;
        }
        Ok(true)
    }

    /// The next frame, its payload in words; None at the end.
    fn next<H: CallerHost>(&mut self, h: &H, words: &mut Vec<u64>) -> Result<Option<(Kind, usize)>, CallError> {
        if !self.need(h, HEADER_BYTES)? {
            return Ok(None);
        }
        let header = self.rest[self.at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let (kind, length) = decode_header(header).ok_or_else(|| CallError::from(protocol_violation()))?;
        self.at += HEADER_BYTES;
        let padded = length.next_multiple_of(8);
        if !self.need(h, padded)? {
            return Err(protocol_violation().into());
        }
        words.clear();
        memory::append_words(words, &self.rest[self.at..self.at + padded], RESULT)?;
        self.at += padded;
        Ok(Some((kind, length)))
    }
}

fn hand_on<H: CallerHost>(h: &H, frames: &mut Frames, rows: &mut u64) -> Result<(), CallError> {
    let mut words = Vec::new();
    while let Some((kind, length)) = frames.next(h, &mut words)? {
        let frame = Frame::decode(kind, &words, length).map_err(|unread| match unread {
            Unread::Malformed => CallError::from(protocol_violation()),
            Unread::NoMemory(no) => no.into(),
        })?;
        match frame {
            Frame::Described(columns) => h.describe(&columns)?,
            Frame::Row(tuple) => {
                *rows += 1;
                h.row(tuple)?;
            }
            Frame::Message(message) => h.relay(&message)?,
            Frame::Complete(ending) => h.complete(&ending)?,
            Frame::Error(report) => return Err(CallError::Report(report)),
            _ => return Err(protocol_violation().into()),
        }
    }
    Ok(())
}

/// Cancel a task: one that has not begun never will, one that runs commits no more than the commit that is under
/// way. False: it has ended, or that commit is its last. With a grace, wait that long for its end, and then end its worker.
pub fn cancel<H: CallerHost>(
    h: &H,
    area: &Area,
    session: &Session,
    call: &Call,
    id: Option<i64>,
    grace_us: Option<u64>,
) -> Result<bool, CallError> {
    let (table, card) = find(h, session, id)?;
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
            table.wake(ticket.id, |proc| h.wake(proc));
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
    if slot.gate.cancel(lease.generation, Why::GivenUp) == Stop::TooLate {
        return Ok(false);
    }
    let due = slot.signal(lease.generation, |pid| h.interrupt(pid, false));
    if let Some(proc) = slot.worker_proc() {
        h.wake(proc);
    }
    if let Some(grace) = grace_us
        && wait(h, area, session, call, &[id], Some(grace))?.is_none()
    {
        _ = slot.signal(lease.generation, |pid| h.interrupt(pid, true));
    }
    // It may have seen the gate shut before it could be signalled.
    Ok(match table.state(ticket) {
        Some(state) if state.finished() => state == TaskState::Cancelled,
        _ => due,
    })
}

/// Nobody will read a task's result: it is forgotten when it ends, or now.
pub fn detach<H: CallerHost>(h: &H, session: &Session, id: Option<i64>) -> Result<(), CallError> {
    let (table, card) = find(h, session, id)?;
    forget_file(h, table.detach(card.ticket), card.ticket.id);
    Ok(())
}

/// This process exits: what it holds of the table is given back.
pub fn leave<H: CallerHost>(h: &H, area: &Area, session: &Session) {
    let Some(table) = session.tasks.table() else { return };
    table.delist_all(h.my_pid());
    give_up_turn(h, area, &table);
    if let Some(ticket) = session.tasks.pinned.take() {
        forget_file(h, table.unpin(ticket), ticket.id);
    }
}

/// The owner of a private pool exits, and with it all its tasks: those that run are cancelled, what they
/// left in files is deleted.
pub fn close<H: CallerHost>(h: &H, area: &Area, session: &Session) {
    let Some(table) = session.tasks.table() else { return };
    for slot in area.slots {
        let (state, generation) = slot.state();
        if state == SlotState::Tasked {
            slot.gate.cancel(generation, Why::GivenUp);
            _ = slot.signal(generation, |pid| h.interrupt(pid, true));
        }
    }
    for card in table.cards() {
        _ = table.cancel_queued(card.ticket, h.timestamp());
        forget_file(h, table.detach(card.ticket), card.ticket.id);
    }
}

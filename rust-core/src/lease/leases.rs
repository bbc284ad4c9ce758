//! Workers that run something for a process that goes on meanwhile, a coordinator above all: several at a time. What they
//! say is read when there is something; nobody is waited for.

use super::ending::{LastTransaction, SIGINT_EVERY_US, SIGTERM_AFTER_US};
use super::exchange::{Exchange, Keep, Terms};
use super::frames::Frame;
use super::post::{Buffer, encode};
use super::work::*;
use crate::error::Error;
use crate::host::{Arg, ArgForm, Bounds, CallerHost, Identity, Mode, Output, Saved, XactStatus};
use crate::memory::{self, Grows, SMALL};
use crate::pool::area::Area;
use crate::pool::borrow::{Limits, Shortage, foresee, try_borrow};
use crate::pool::gate::{CancelReason, Stopped};
use crate::pool::poll::Poller;
use crate::pool::slot::{Key, Lease, Slot, SlotState};
use crate::report::*;
use crate::task::Table;
use crate::wire::codec::Unread;
use crate::wire::frame::{self, Kind};
use crate::wire::message::Request;
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::*;

const LEASE: &str = "what a worker is to run";

/// Most of what a worker says is no longer.
const FRAME_WORDS: usize = 64;

/// Settings of a worker that are its user's own, not a caller's; see worker/settings.c.
const OWN_DEFAULTS: &[u8] = b"D";
/// Their name: no hash of a caller's settings is even.
const OWN_DEFAULTS_NAME: [u64; 2] = [2, 0];

/// While others wait for a worker, a coordinator has one at most, and none for so long after that. Of coordinators
/// that wait, none has more than another: they share.
const STAND_ASIDE_US: u64 = 200_000;

struct Open {
    number: u64,
    lease: Lease,
    launched: bool,
    last_words: Option<Report>,
    /// What a command has said so far; None: it runs batches.
    command: Option<Box<CommandResult>>,
    /// When somebody has given it up, and when its worker is signalled again.
    cancel: Option<(u64, u64)>,
}

/// The leases that are open.
#[derive(Default)]
pub struct Leases {
    open: RefCell<Vec<Open>>,
    ended_at: Cell<Option<u64>>,
    /// The last worker that was to be started found no process.
    no_process: Cell<bool>,
    poller: Poller,
    buffer: Buffer,
}

impl Leases {
    /// Have a worker run this, as a lease of this number; false: there is no worker now.
    pub fn start<H: CallerHost>(
        &self,
        number: u64,
        h: &H,
        area: &Area,
        tasks: Option<Table>,
        errand: &Errand,
        limits: &Limits,
    ) -> Result<bool, Error> {
        let key = Key { database: errand.database, user: errand.owner, superuser: errand.superuser };
        if self.leaves_to_others(h, area, key, limits) {
            return Ok(false);
        }
        // What a lease needs is there before there is one.
        memory::look_for(SMALL, LEASE)?;
        let request = request(errand)?;
        self.open.borrow_mut().room(1, LEASE)?;
        let borrowed = match try_borrow(h, area, key, limits)? {
            Ok(borrowed) => borrowed,
            Err(shortage) => {
                self.note_shortage(h, area, shortage);
                return Ok(false);
            }
        };
        area.coordinator_waits_no_more(h.my_pid());
        self.no_process.set(false);
        let Lease { slot, generation } = borrowed.lease;
        area.slots[slot as usize].let_batches(generation, errand.work.parts());
        let mut buffer = self.buffer.take();
        let terms = Terms {
            poller: &self.poller,
            tasks,
            poll_us: 0,
            nap_ms: 0,
            deadlock_ms: limits.deadlock_ms,
            depth: 1,
            command: errand.work.shown(),
        };
        let exchange = Exchange::new(h, area, borrowed, terms, Keep::Nothing);
        encode(&request, &mut buffer)?;
        let sent = exchange.send(&buffer);
        self.buffer.keep(&mut buffer);
        if sent.is_err() {
            return Ok(false);
        }
        let command =
            matches!(errand.work, LeaseWork::Command { .. } | LeaseWork::Chunk { .. }).then(|| Box::new(CommandResult::of(h.timestamp())));
        let open = Open { number, lease: borrowed.lease, launched: borrowed.launched, last_words: None, command, cancel: None };
        #[expect(clippy::disallowed_methods, reason = "room was made before")]
        self.open.borrow_mut().push(open);
        Ok(true)
    }

    /// Would there be a worker of this key for one more lease?
    pub fn room<H: CallerHost>(&self, h: &H, area: &Area, key: Key, limits: &Limits) -> Result<bool, Saved> {
        if self.leaves_to_others(h, area, key, limits) {
            return Ok(false);
        }
        let shortage = foresee(h, area, key, limits, !self.no_process.get())?;
        shortage.into_iter().for_each(|shortage| self.note_shortage(h, area, shortage));
        Ok(shortage.is_none())
    }

    fn note_shortage<H: CallerHost>(&self, h: &H, area: &Area, shortage: Shortage) {
        if shortage == Shortage::WorkerProcesses {
            self.no_process.set(true);
        }
        // At a limit of its role's, no other coordinator could help.
        if shortage.of_workers() {
            area.coordinator_waits(h.my_pid(), self.count(), h.now_us());
        }
    }

    /// What worker there is, is not for this lease.
    fn leaves_to_others<H: CallerHost>(&self, h: &H, area: &Area, key: Key, limits: &Limits) -> bool {
        if self.stands_aside(h, area) {
            return true;
        }
        // What is run makes calls of its own: leases must not take all workers that there are for these.
        let shortage = takes_last(area, key, limits);
        shortage.into_iter().for_each(|shortage| self.note_shortage(h, area, shortage));
        shortage.is_some()
    }

    /// Take back the batches of a lease that its worker has not begun, but for the first `keep`: those from this
    /// index on will not be. None: the lease is over.
    pub fn recall(&self, area: &Area, number: u64, keep: usize) -> Option<usize> {
        let open = self.open.borrow();
        let Lease { slot, generation } = open.iter().find(|open| open.number == number)?.lease;
        area.slots[slot as usize].recall_batches(generation, keep)
    }

    /// How many batches of a lease its worker has begun. None: the lease is over.
    pub fn begun(&self, area: &Area, number: u64) -> Option<usize> {
        let open = self.open.borrow();
        let Lease { slot, generation } = open.iter().find(|open| open.number == number)?.lease;
        area.slots[slot as usize].begun_batches(generation)
    }

    /// Give up what a lease runs: what has not begun never will, and what runs commits no more than the commit that is
    /// under way. It is interrupted by this and the next turns of [`Leases::listen`], which also tells of its end. False:
    /// that commit is its last, or the lease is over.
    pub fn cancel<H: CallerHost>(&self, h: &H, area: &Area, number: u64) -> bool {
        let mut open = self.open.borrow_mut();
        let Some(open) = open.iter_mut().find(|open| open.number == number) else { return false };
        open.give_up(h, &area.slots[open.lease.slot as usize])
    }

    /// Microseconds until [`Leases::listen`] has something to do though nobody says anything.
    pub fn wait_us(&self, now: u64) -> u64 {
        let due = self.open.borrow().iter().filter_map(|open| open.cancel).map(|(_, next)| next.saturating_sub(now)).min();
        due.unwrap_or(u64::MAX)
    }

    /// What runs and never ends must not keep all workers from those who wait for one; nor these workers from it.
    /// Among coordinators, who has more than another that waits takes no more.
    fn stands_aside<H: CallerHost>(&self, h: &H, area: &Area) -> bool {
        let now = h.now_us();
        let lately = self.ended_at.get().is_some_and(|at| now.saturating_sub(at) < STAND_ASIDE_US);
        let have = self.count().max(usize::from(lately));
        have > 0 && (area.waiters() > 0 || area.tasks_wait() || area.poorer_coordinator_waits(h.my_pid(), have, h.now_us()))
    }

    pub fn count(&self) -> usize {
        self.open.borrow().len()
    }

    /// What has been said since the last time.
    pub fn listen<H: CallerHost>(&self, h: &H, area: &Area) -> Vec<(u64, LeaseUpdate)> {
        let mut said = Vec::new();
        self.open.borrow_mut().retain_mut(|open| {
            let more = hear(h, area, open, &mut said);
            if !more {
                self.ended_at.set(Some(h.now_us()));
            }
            if !more && area.waiters() > 0 {
                h.signal_slot();
            }
            more
        });
        said
    }
}

/// What the worker is asked for.
fn request<'a>(errand: &Errand<'a>) -> Result<Request<'a>, Error> {
    let identity = Identity { session_user: errand.owner, current_user: errand.owner, database: errand.database, ..Identity::default() };
    let common = Request {
        identity,
        timeout_ms: errand.timeout_ms,
        depth: 1,
        settings_hash: OWN_DEFAULTS_NAME,
        // What is run may change them, and the next one begins anew: so they go along always.
        settings: Some(OWN_DEFAULTS),
        ..Request::default()
    };
    Ok(match errand.work {
        LeaseWork::Batches { title, handler, batches } => Request {
            mode: Mode::Events,
            bounds: Bounds { row_bytes: 0, message_bytes: 0 },
            command: title,
            routine: Some(handler),
            args: memory::collect(batches.iter().map(|data| Arg { type_oid: 0, form: ArgForm::ByReference, data }), LEASE)?,
            ..common
        },
        LeaseWork::Command { text, keep } => Request {
            mode: Mode::Command,
            bounds: keep,
            output: if keep.row_bytes > 0 { Output::Text } else { Output::None },
            command: text,
            ..common
        },
        LeaseWork::Chunk { text, bounds, attempt } => Request {
            mode: Mode::Chunk,
            bounds: Bounds { row_bytes: 0, message_bytes: 0 },
            command: text,
            routine: Some(attempt),
            args: memory::copy(bounds, LEASE)?,
            ..common
        },
    })
}

/// What one more lease would leave nothing of for the calls that others make; where there is one worker in all, it
/// is for leases too.
fn takes_last(area: &Area, key: Key, limits: &Limits) -> Option<Shortage> {
    let leases = |of: &dyn Fn(&Slot) -> bool| {
        let ours = |slot: &&Slot| matches!(slot.state(), (SlotState::Busy, generation) if slot.has_batches(generation)) && of(slot);
        area.slots.iter().filter(ours).count()
    };
    let last = |most: usize, taken: usize| most > 1 && taken + 1 >= most;
    if last(area.slots.len(), leases(&|_| true)) {
        return Some(Shortage::Slots);
    }
    last(limits.per_role as usize, leases(&|slot| slot.key().user == key.user)).then_some(Shortage::Role)
}

impl Open {
    /// See [`Leases::cancel`].
    fn give_up<H: CallerHost>(&mut self, h: &H, slot: &Slot) -> bool {
        let generation = self.lease.generation;
        if slot.recall_batches(generation, 0) != Some(0) {
            if slot.gate.cancel(generation, CancelReason::GivenUp) == Stopped::TooLate {
                return false;
            }
            let now = h.now_us();
            self.cancel = self.cancel.or(Some((now, now)));
            self.insist(h, slot);
        }
        true
    }

    /// Interrupt what was given up, if it is time again; what traps that for long is ended with its worker.
    fn insist<H: CallerHost>(&mut self, h: &H, slot: &Slot) {
        let now = h.now_us();
        let Some((since, next)) = &mut self.cancel else { return };
        if now >= *next {
            let terminate = now.saturating_sub(*since) >= SIGTERM_AFTER_US;
            // A last commit may fail, and what follows it be cancelled; one of several is the last by now.
            _ = slot.gate.cancel(self.lease.generation, CancelReason::GivenUp);
            _ = slot.signal(self.lease.generation, |pid| h.interrupt(pid, terminate));
            *next = now + SIGINT_EVERY_US;
        }
    }

    fn keeps_rows(&self) -> bool {
        self.command.is_some()
    }

    /// Without memory for one more it is as if the bound were there.
    fn keep(&mut self, kind: Kind, payload: &[u8]) {
        if let Some(command) = &mut self.command {
            _ = frame::append(&mut command.kept_rows, kind, payload);
        }
    }

    /// What one frame adds; what ends the lease with it.
    fn take<H: CallerHost>(&mut self, h: &H, slot: &Slot, frame: Frame, said: &mut Vec<(u64, LeaseUpdate)>) -> Option<LeaseUpdate> {
        match (frame, &mut self.command) {
            (Frame::Batch(index, end), None) => _ = memory::push(said, (self.number, LeaseUpdate::Batch(index, end)), LEASE),
            (Frame::Stamp(stamp), Some(command)) => {
                if command.pid == 0 {
                    (command.pid, command.started) = (stamp.pid, stamp.at);
                    _ = memory::push(said, (self.number, LeaseUpdate::Began { pid: stamp.pid, at: stamp.at }), LEASE);
                }
                (command.finished, command.dropped) = (stamp.at, command.dropped.max(stamp.dropped));
                if stamp.timed_out {
                    command.end = CommandEnd::TimedOut;
                }
            }
            (Frame::Message(message), _) if message.severity >= Severity::Error => self.last_words = Some(*message),
            (Frame::Message(message), Some(command)) => {
                let kept = memory::push(&mut command.messages, *message, LEASE).is_ok();
                command.dropped += u32::from(!kept);
            }
            (Frame::Message(_), None) => {}
            (Frame::Done(_), None) => return Some(LeaseUpdate::Over),
            (Frame::Done(ending), Some(command)) => {
                // It was taken back before it began.
                if command.pid == 0 {
                    return Some(LeaseUpdate::Over);
                }
                (command.end, command.rows, command.tag) = (CommandEnd::Done, Some(ending.processed), ending.tag);
                return self.command.take().map(LeaseUpdate::Ended);
            }
            (Frame::Error(report), command) => match command.take() {
                Some(mut command) if command.pid != 0 => {
                    let cancelled = self.cancel.is_some() && report.sqlstate == QUERY_CANCELED;
                    command.end = match command.end {
                        CommandEnd::TimedOut => CommandEnd::TimedOut,
                        _ if cancelled => CommandEnd::Cancelled,
                        _ => CommandEnd::Failed,
                    };
                    command.error = Some(*report);
                    return Some(LeaseUpdate::Ended(command));
                }
                _ => return Some(refused(&report)),
            },
            _ => return Some(self.lost(h, slot)),
        }
        None
    }

    /// Nothing more is heard of the worker.
    fn lost<H: CallerHost>(&mut self, h: &H, slot: &Slot) -> LeaseUpdate {
        let generation = self.lease.generation;
        // One that went when it had taken the request and before its first part: something in it must be at fault.
        let begun = if slot.taken(generation) { slot.recall_batches(generation, 0).unwrap_or(0).max(1) } else { 0 };
        let words = self.last_words.take();
        match (self.command.take(), words) {
            (_, Some(words)) if !slot.taken(generation) => refused(&words),
            (None, Some(words)) if words.sqlstate == QUERY_CANCELED => LeaseUpdate::TimedOut { begun, message: words.texts() },
            (Some(command), words) if begun > 0 => LeaseUpdate::Ended(self.command_lost(h, slot, command, words)),
            _ => LeaseUpdate::Lost { begun },
        }
    }

    /// The worker of a command has gone in the midst of it. If its last commit is known to be done, so is the command.
    fn command_lost<H: CallerHost>(
        &self,
        h: &H,
        slot: &Slot,
        mut command: Box<CommandResult>,
        words: Option<Report>,
    ) -> Box<CommandResult> {
        let last = LastTransaction::of(h, slot, self.lease.generation);
        command.finished = h.timestamp();
        if last.done {
            command.end = CommandEnd::Done;
            return command;
        }
        let timed_out = words.as_ref().is_some_and(|words| words.sqlstate == QUERY_CANCELED);
        command.committed = last.before + u64::from(last.outcome == XactStatus::Committed);
        command.end = match self.cancel {
            Some(_) => CommandEnd::Cancelled,
            None if timed_out => CommandEnd::TimedOut,
            None => CommandEnd::Lost,
        };
        let (state, said) = words.as_ref().map_or((CONNECTION_FAILURE, None), |words| (words.sqlstate, words.get(Field::Message)));
        let message = said.filter(|_| timed_out).unwrap_or(b"worker of the command terminated");
        let mut report = Report::error(state, message).with(Field::Detail, last.in_words("transaction", 1));
        if let Some(said) = said.filter(|_| !timed_out) {
            report.add_line(Field::Detail, b"The worker said: ");
            report.extend(Field::Detail, said);
        }
        command.error = Some(report);
        command
    }
}

/// Read what a worker has written; false: the lease is over.
#[expect(clippy::disallowed_methods, reason = "room for two is made before anything is read, and for one before the end")]
fn hear<H: CallerHost>(h: &H, area: &Area, open: &mut Open, said: &mut Vec<(u64, LeaseUpdate)>) -> bool {
    let Lease { slot: index, generation } = open.lease;
    let slot = &area.slots[index as usize];
    open.insist(h, slot);
    // Before what it wrote is read: what it wrote before it went is there.
    let unborn = open.launched && slot.worker_pid.load(Acquire) == 0 && h.launch_failed(index);
    let gone = slot.state() != (SlotState::Busy, generation) || unborn;
    let mut reader = area.reply_ring(index).reader();
    let mut buffer = Vec::new();
    while reader.available() > 0 {
        // What has been read is told; without memory it is left where it is.
        if said.room(2, LEASE).and_then(|()| buffer.room(FRAME_WORDS, LEASE)).is_err() {
            return true;
        }
        let read = frame::read(&mut reader, &mut buffer, |_, reader| {
            // Half a frame: the other half comes at once, unless its writer is no more.
            slot.wake_worker(h);
            if reader.available() == 0 && slot.state() != (SlotState::Busy, generation) {
                return Err(());
            }
            h.relax();
            Ok(())
        });
        reader.release();
        let end = match read {
            Ok((kind @ (Kind::Row | Kind::Described), length)) if open.keeps_rows() => {
                open.keep(kind, &bytemuck::cast_slice(&buffer)[..length]);
                None
            }
            Ok((kind, length)) => match Frame::decode(kind, &buffer, length) {
                Ok(frame) => open.take(h, slot, frame, said),
                Err(Unread::Malformed | Unread::NoMemory(_)) => Some(open.lost(h, slot)),
            },
            Err(_) => Some(open.lost(h, slot)),
        };
        if let Some(end) = end {
            said.push((open.number, end));
            if !area.release(slot, generation) {
                slot.abandon(generation);
            }
            return false;
        }
    }
    slot.wake_worker(h);
    if gone && said.room(1, LEASE).is_err() {
        return true;
    }
    if gone {
        said.push((open.number, open.lost(h, slot)));
        _ = area.release_dead(slot, generation) || area.give_back(slot, generation);
    }
    !gone
}

fn refused(report: &Report) -> LeaseUpdate {
    LeaseUpdate::Refused { sqlstate: report.sqlstate, message: report.texts() }
}

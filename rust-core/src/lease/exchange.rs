//! The caller's half of one lease: post the request, hand on what comes back, and see to it that
//! the lease ends, whatever happens.
//!
//! Each wait is bounded or woken: the worker's frames and its end set our latch; its death sets
//! the slot's state and our latch; a cancel of ours ends the sleep; and while the worker is silent
//! we look every few ticks whether it waits for a lock that we hold (then nobody else can see the
//! cycle, and it is broken here).
//!
//! How the lease ends otherwise than by an answer: `ending.rs`.

use super::ending::SIGTERM_AFTER_US;
use super::frames::Frame;
use super::wait;
use crate::error::Error;
use crate::host::{CallerHost, Saved};
use crate::pool::area::Area;
use crate::pool::borrow::Borrowed;
use crate::pool::deadlock::{Deadlock, Watch};
use crate::pool::gate::{CancelReason, Stopped};
use crate::pool::poll::Poller;
use crate::pool::slot::{Lease, Owed, Slot, SlotState};
use crate::report::*;
use crate::task::Table;
use crate::wire::codec::Unread;
use crate::wire::frame::{self, Broken, Kind};
use crate::wire::message::Ending;
use crate::wire::ring::{Reader, Writer};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow::{Break, Continue};
use std::sync::atomic::Ordering::*;

/// How an exchange ended.
#[derive(Debug)]
pub enum ExchangeEnd {
    Done(Ending),
    /// One statement of several is through; were there rows, described before?
    Complete(Ending, bool),
    Failed(Error),
    /// The worker does not have the settings that the request names.
    SettingsWanted,
    /// The worker vanished before it took the request: nothing was run.
    NeverTaken,
}

/// What has been said of an answer that is still under way.
#[derive(Default)]
pub(crate) struct Replies {
    last_words: Option<Report>,
    /// The columns of its rows have come.
    described: bool,
}

/// Why a wait ended without what it waited for.
pub(super) enum Stop {
    Saved,
    WorkerGone,
}

impl From<Saved> for Stop {
    fn from(_: Saved) -> Self {
        Self::Saved
    }
}

/// What becomes of the lease when its request has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The worker is for the next tenant.
    Nothing,
    /// A session keeps it, if the answer was good: the session begins.
    IfDone,
    /// A session keeps it.
    Always,
}

/// What whoever has the lease wants of the exchange.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What this process has learned of polling; it polls no longer than `poll_us`.
    pub poller: &'a Poller,
    /// Where there are tasks, a deadlock may lead through one.
    pub tasks: Option<Table<'a>>,
    pub poll_us: u32,
    pub nap_ms: u32,
    pub deadlock_ms: u32,
    /// Autonomous transactions that the worker's is part of, itself included.
    pub depth: u32,
    pub command: &'a [u8],
}

/// A lease in use. Ends the lease when dropped.
pub struct Exchange<'a, H: CallerHost> {
    pub(super) h: &'a H,
    pub(super) area: &'a Area<'a>,
    pub(super) slot: &'a Slot,
    pub(super) lease: Lease,
    pub(super) launched: bool,
    pub(super) terms: Terms<'a>,
    pub(crate) keep: Keep,
    /// DETAIL of the deadlock that this side has found.
    pub(super) deadlock: RefCell<Option<Vec<u8>>>,
    /// When it was found.
    pub(super) deadlock_us: Cell<Option<u64>>,
    pub(super) ended: Cell<bool>,
    /// The commit that the worker has not waited for, when the request was over.
    pub(super) owed: Cell<Owed>,
}

impl<'a, H: CallerHost> Exchange<'a, H> {
    pub fn new(h: &'a H, area: &'a Area<'a>, borrowed: Borrowed, terms: Terms<'a>, keep: Keep) -> Self {
        // A worker launched for this lease may have spoken already.
        if !borrowed.launched {
            area.clear_rings(borrowed.lease.slot);
        }
        Self::resume(h, area, borrowed, terms, keep)
    }

    /// Go on with a lease whose request has been posted.
    pub fn resume(h: &'a H, area: &'a Area<'a>, borrowed: Borrowed, terms: Terms<'a>, keep: Keep) -> Self {
        Self {
            h,
            area,
            slot: &area.slots[borrowed.lease.slot as usize],
            lease: borrowed.lease,
            launched: borrowed.launched,
            terms,
            keep,
            deadlock: RefCell::new(None),
            deadlock_us: Cell::new(None),
            ended: Cell::new(false),
            owed: Cell::default(),
        }
    }

    /// Post the request and see it through.
    pub fn run(&mut self, request: &mut Vec<u64>, rows: &mut u64) -> ExchangeEnd {
        self.place();
        match self.post(request) {
            Ok(()) => self.read_replies(request, rows),
            Err(ended) => ended,
        }
    }

    /// Post the request; the answer is for another exchange to read.
    pub fn send(mut self, request: &[u64]) -> Result<(), ExchangeEnd> {
        self.post_apart(request)?;
        self.ended.set(true);
        Ok(())
    }

    /// Post the request of one of several workers, or of one that nobody waits for: it may run on any processor.
    pub(crate) fn post_apart(&mut self, request: &[u64]) -> Result<(), ExchangeEnd> {
        self.slot.spread(self.h);
        self.post(request)
    }

    fn post(&mut self, request: &[u64]) -> Result<(), ExchangeEnd> {
        let generation = self.lease.generation;
        let mut writer = self.area.request_ring(self.lease.slot).writer();
        let fits = request.len() < writer.space();
        if !fits {
            self.slot.post(generation);
            self.wake_worker();
        }
        if let Err(stop) = self.write_request(&mut writer, request) {
            return Err(self.stopped(stop, None));
        }
        if fits {
            self.slot.post(generation);
        }
        self.wake_worker();
        Ok(())
    }

    /// Send the request once more, with what was wanted.
    pub fn again(&mut self, request: &mut Vec<u64>, rows: &mut u64) -> ExchangeEnd {
        match self.post_again(request) {
            Ok(()) => self.read_replies(request, rows),
            Err(ended) => ended,
        }
    }

    pub(crate) fn post_again(&mut self, request: &[u64]) -> Result<(), ExchangeEnd> {
        let mut writer = self.area.request_ring(self.lease.slot).writer();
        if let Err(stop) = self.write_request(&mut writer, request) {
            return Err(self.stopped(stop, None));
        }
        self.wake_worker();
        Ok(())
    }

    fn write_request(&self, writer: &mut Writer, request: &[u64]) -> Result<(), Stop> {
        frame::write(writer, Kind::Request, bytemuck::cast_slice(request), |_, writer| {
            self.wake_worker();
            self.wait(|| writer.space() > 0)
        })?;
        writer.publish();
        Ok(())
    }

    /// What comes back, up to the end of a statement of several or of the request.
    pub fn read_replies(&mut self, buffer: &mut Vec<u64>, rows: &mut u64) -> ExchangeEnd {
        let (h, mut replies) = (self.h, Replies::default());
        let mut reader = self.area.reply_ring(self.lease.slot).reader();
        let mut keep = |tuple: &[u8]| {
            *rows += 1;
            Ok(h.row(tuple)?)
        };
        loop {
            if let Some(ended) = self.read_reply(buffer, &mut reader, &mut replies, &mut keep) {
                return ended;
            }
        }
    }

    /// What has come back, up to so many frames and to the end of the request; nothing is waited for but the rest of a frame.
    pub(crate) fn read_some(
        &mut self,
        buffer: &mut Vec<u64>,
        replies: &mut Replies,
        most: u32,
        keep: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Option<ExchangeEnd> {
        let mut reader = self.area.reply_ring(self.lease.slot).reader();
        for _ in 0..most {
            // Before what it wrote is looked for: what it wrote before it went is there.
            let gone = self.worker_gone();
            if reader.available() == 0 {
                if gone {
                    return Some(self.stopped(Stop::WorkerGone, replies.last_words.take()));
                }
                break;
            }
            if let Some(ended) = self.read_reply(buffer, &mut reader, replies, keep) {
                return Some(ended);
            }
        }
        reader.release();
        self.wake_worker();
        None
    }

    /// One frame; Some: the answer ends with it.
    #[inline]
    fn read_reply(
        &mut self,
        buffer: &mut Vec<u64>,
        reader: &mut Reader,
        replies: &mut Replies,
        keep: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Option<ExchangeEnd> {
        let read = frame::read(reader, buffer, |_, reader| {
            self.wake_worker();
            self.wait(|| reader.available() > 0)
        });
        let (kind, length) = match read {
            Ok(frame) => frame,
            Err(Broken::Stopped(stop)) => return Some(self.stopped(stop, replies.last_words.take())),
            Err(Broken::Malformed) => return Some(self.nonsense()),
            Err(Broken::NoMemory(no)) => return Some(self.refuse(Report::out_of_memory(no))),
        };
        if reader.unreleased() >= self.area.reply_ring(self.lease.slot).words.len() / 4 {
            reader.release();
            self.wake_worker();
        }
        let frame = match Frame::decode(kind, buffer, length) {
            Ok(frame) => frame,
            Err(Unread::Malformed) => return Some(self.nonsense()),
            Err(Unread::NoMemory(no)) => return Some(self.refuse(Report::out_of_memory(no))),
        };
        let kept = match frame {
            Frame::Row(tuple) => keep(tuple),
            Frame::Message(message) if message.severity >= Severity::Error => {
                replies.last_words = Some(*message);
                Ok(())
            }
            Frame::Message(message) => self.h.relay(&message).map_err(Error::from),
            Frame::Done(ending) => {
                self.release(reader, true);
                return Some(self.made_durable(ending));
            }
            Frame::Described(columns) => {
                replies.described = true;
                self.h.describe(&columns).map_err(Error::from)
            }
            Frame::Complete(ending) => {
                reader.release();
                self.ended.set(true);
                return Some(ExchangeEnd::Complete(ending, replies.described));
            }
            Frame::Error(report) => {
                self.release(reader, false);
                return Some(ExchangeEnd::Failed(self.dress(*report).into()));
            }
            Frame::SettingsWanted => {
                reader.release();
                return Some(ExchangeEnd::SettingsWanted);
            }
            Frame::Batch(..) | Frame::Stamp(_) => return Some(self.nonsense()),
        };
        match kept {
            Ok(()) => None,
            Err(Error::Saved) => Some(self.stopped(Stop::Saved, replies.last_words.take())),
            Err(Error::Report(report)) => Some(self.refuse(*report)),
        }
    }

    /// Something has come that was not read.
    pub(crate) fn has_reply(&self) -> bool {
        self.area.reply_ring(self.lease.slot).reader().available() > 0
    }

    /// Where the worker is to run while this process waits for it: on this process's processor, unless both poll.
    fn place(&self) {
        let polls = self.terms.poller.pays(self.h, self.area.busy(), self.terms.poll_us);
        match self.slot.worker_pid.load(Acquire) {
            0 => {}
            _ if polls || self.terms.nap_ms == 0 || !self.h.naps() => self.slot.spread(self.h),
            pid => self.slot.place.keep(self.h, pid),
        }
    }

    pub(super) fn wake_worker(&self) {
        self.slot.wake_worker(self.h);
    }

    pub(crate) fn worker_gone(&self) -> bool {
        let generation = self.lease.generation;
        if self.slot.state() != (SlotState::Busy, generation) {
            return true;
        }
        self.launched && self.slot.worker_pid.load(Acquire) == 0 && self.h.launch_failed(self.lease.slot)
    }

    /// Poll, then sleep, until `ready`.
    fn wait(&self, mut ready: impl FnMut() -> bool) -> Result<(), Stop> {
        if self.slot.place.is_kept() {
            self.terms.poller.rest();
        } else if self.terms.poller.poll(self.h, self.area.busy(), self.terms.poll_us, &mut ready) {
            return Ok(());
        }
        self.awaits(true);
        let ended = self.sleep_until(ready);
        self.awaits(false);
        ended
    }

    fn sleep_until(&self, mut ready: impl FnMut() -> bool) -> Result<(), Stop> {
        let look = || {
            if ready() {
                return Ok(Break(()));
            }
            if self.worker_gone() {
                return if ready() { Ok(Break(())) } else { Err(Stop::WorkerGone) };
            }
            Ok(Continue(u32::MAX))
        };
        wait::sleep_until(self.h, self.area, self.terms.deadlock_ms, Some((self.slot, self.terms.nap_ms)), look, |watch| {
            Ok(self.look_for_deadlock(watch)?)
        })
    }

    /// Break a deadlock of which our worker's transaction is the victim. A body that traps the cancel
    /// finds the gate shut, and itself terminated if it goes on.
    fn look_for_deadlock(&self, watch: &mut Watch) -> Result<(), Saved> {
        if self.slot.worker_pid.load(Acquire) != 0
            && !self.insists_on_deadlock()
            && let Some(deadlock) = watch.look(self.h, self.area, self.terms.tasks.as_ref())?
        {
            self.break_deadlock(deadlock);
        }
        Ok(())
    }

    /// Interrupt the victim of a deadlock again; false: it is none.
    pub(crate) fn insists_on_deadlock(&self) -> bool {
        let Some(since) = self.deadlock_us.get() else { return false };
        let terminate = self.h.now_us().saturating_sub(since) > SIGTERM_AFTER_US;
        _ = self.slot.signal(self.lease.generation, |pid| self.h.interrupt(pid, terminate));
        true
    }

    pub(crate) fn break_deadlock(&self, deadlock: Deadlock) {
        if self.slot.gate.cancel(self.lease.generation, CancelReason::Deadlock) != Stopped::TooLate {
            self.deadlock_us.set(Some(self.h.now_us()));
            *self.deadlock.borrow_mut() = Some(deadlock.detail);
            _ = self.slot.signal(self.lease.generation, |pid| self.h.interrupt(pid, false));
        }
    }

    pub(crate) fn is_run_by(&self, pid: u32) -> bool {
        self.slot.worker_pid.load(Acquire) == pid
    }

    /// This process sleeps until the worker has said something.
    pub(crate) fn awaits(&self, waits: bool) {
        self.slot.await_answer(self.lease.generation, waits);
    }

    /// What runs commits nothing more, and is told so; its end is to be waited for.
    pub(crate) fn shut(&self) {
        _ = self.slot.gate.cancel(self.lease.generation, CancelReason::GivenUp);
        _ = self.slot.signal(self.lease.generation, |pid| self.h.interrupt(pid, false));
    }

    /// What a worker's error looks like to the caller.
    fn dress(&self, report: Report) -> Report {
        report.within(self.terms.command).raised_by("autonomous transaction", self.deadlock.borrow().as_deref())
    }
}

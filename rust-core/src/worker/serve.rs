//! One request from a slot: read it, take on what its caller is, run it, answer, clean up.

use super::events::execute_events;
use super::main_loop::TICK_MS;
use super::plan_cache::PlanCache;
use super::process::Worker;
use super::reply::{Reply, Rows};
use super::request::{execute, execute_chunk, execute_command, execute_in_session};
use crate::error::Error;
use crate::host::{Mode, Slept, WorkerHost};
use crate::memory::{self, SMALL};
use crate::pool::slot::{Ended, Slot, SlotState};
use crate::report::*;
use crate::wire::codec::Unread;
use crate::wire::frame::{self, Broken, Kind};
use crate::wire::message::{Ending, Request, encode_report, short_error};
use std::sync::atomic::Ordering::*;

impl Worker<'_> {
    /// Serve one request and clean up after it; false: this process is not fit for another one.
    pub(super) fn serve<H: WorkerHost>(
        &self,
        h: &H,
        slot: &Slot,
        generation: u64,
        plans: &mut PlanCache<H::Plan>,
        buffer: &mut Vec<u64>,
    ) -> bool {
        let index = self.slot.get();
        self.generation.set(generation);
        slot.take(generation);
        // Counted before the caller is answered, which may be early.
        slot.calls.fetch_add(1, Relaxed);
        *self.reply.borrow_mut() = Some(Reply::Caller(self.area.reply_ring(index).writer()));
        let mut reader = self.area.request_ring(index).reader();
        let mut fit = true;
        let answer = loop {
            let read = frame::read(&mut reader, buffer, |_, reader| {
                slot.wake_caller(h);
                while reader.available() == 0 {
                    if slot.abandoned(generation) || slot.gate.cancelled(generation) || h.terminating() {
                        return Err(());
                    }
                    h.doze(TICK_MS);
                }
                Ok(())
            });
            reader.release();
            let request = match read {
                Ok((Kind::Request, _)) => memory::look_for(SMALL, "a request").map_err(Unread::from).and_then(|()| Request::decode(buffer)),
                Ok(_) | Err(Broken::Malformed) => Err(Unread::Malformed),
                Err(Broken::Stopped(())) => break Err(None),
                Err(Broken::NoMemory(no)) => Err(Unread::NoMemory(no)),
            };
            let request = match request {
                Ok(request) => request,
                Err(Unread::NoMemory(no)) => break Err(Some(Box::new(Report::out_of_memory(no)))),
                Err(Unread::Malformed) => {
                    break Err(Some(Box::new(Report::error(PROTOCOL_VIOLATION, "worker received a request that it does not understand"))));
                }
            };
            if matches!(request.mode, Mode::OneShot | Mode::Open | Mode::Events | Mode::Command | Mode::Chunk) {
                // An owner that went in the middle of opening a session.
                fit &= self.end_session(h, slot);
                if slot.settings() != request.settings_hash && request.settings.is_none() {
                    self.send(h, Kind::SettingsWanted, &[]);
                    continue;
                }
            }
            break self.transact(h, slot, generation, plans, &request, &mut fit).map_err(Some);
        };
        // What the command left, a lock above all, is not to be met by whoever goes on when it is answered.
        fit &= self.clean(h, slot);
        let ended = if answer.is_ok() { Ended::Well } else { Ended::Badly };
        if ended == Ended::Badly {
            slot.errors.fetch_add(1, Relaxed);
        }
        match answer {
            Ok(()) => {
                if !self.told.get() && self.result.borrow().is_none() {
                    // Nothing was run.
                    self.result.replace(Some(Ending { last: true, ..Ending::default() }));
                }
                self.commit_settled(h);
            }
            Err(Some(report)) => self.fail(h, &report),
            Err(None) => {}
        }
        self.reply.take();
        slot.last_used.store(h.timestamp(), Relaxed);
        slot.finish(generation, ended);
        // A caller that has cancelled waits for this. One that got its answer may sleep for another reason by now.
        if slot.gate.cancelled(generation) {
            slot.wake_caller(h);
        }
        if slot.gate.cancelled(generation) || slot.signalled(generation) {
            self.outlast_cancel(h, slot, generation);
        }
        self.generation.set(0);
        self.depth.set(0);
        fit
    }

    /// Drop what the request, or its whole tenancy, left; false: this process is not fit for another one.
    pub(super) fn clean<H: WorkerHost>(&self, h: &H, slot: &Slot) -> bool {
        match h.clean(self.in_session.get()) {
            Ok(true) => true,
            Ok(false) => {
                slot.set_settings([0, 0]);
                true
            }
            Err(_) => false,
        }
    }

    /// The session that kept this worker is over, if there was one.
    pub(super) fn end_session<H: WorkerHost>(&self, h: &H, slot: &Slot) -> bool {
        if !self.in_session.replace(false) {
            return true;
        }
        h.abort();
        self.depth.set(0);
        self.clean(h, slot)
    }

    /// The bracket: settings and identity, transaction. The error is still to be sent, and the result
    /// too unless it was told already.
    pub(super) fn transact<H: WorkerHost>(
        &self,
        h: &H,
        slot: &Slot,
        generation: u64,
        plans: &mut PlanCache<H::Plan>,
        request: &Request,
        fit: &mut bool,
    ) -> Result<(), Box<Report>> {
        self.depth.set(request.depth);
        slot.depth.store(request.depth, Relaxed);
        self.mode.set(request.mode);
        self.room.set(request.bounds);
        self.stamp.set(None);
        if request.mode.is_a_login() && h.outdated().unwrap_or(false) {
            *fit = false;
            return Err(Box::new(Report::error(CANNOT_CONNECT_NOW, "the settings of the role have changed since this worker began")));
        }
        let applied = slot.settings() == request.settings_hash;
        let settings = if applied { None } else { request.settings };
        if settings.is_some() {
            slot.set_settings([0, 0]);
        }
        if slot.origin() != request.origin_version {
            slot.set_origin(0);
            h.origin(request.origin);
            slot.set_origin(request.origin_version);
        }
        h.call_site(request.caller_xid, request.stack);
        self.gated.set(false);
        self.told.set(false);
        self.committed.set(false);
        let result = match request.mode {
            // A caller that cancels without waiting signals once, perhaps before this request began.
            mode if mode != Mode::Close && slot.gate.cancelled(generation) => Err(cancelled().into()),
            Mode::OneShot | Mode::Open | Mode::Events | Mode::Command | Mode::Chunk => {
                h.adopt(&request.identity, settings).map_err(Error::from).and_then(|()| {
                    if settings.is_some() {
                        slot.set_settings(request.settings_hash);
                    }
                    if request.mode == Mode::Open {
                        self.in_session.set(true);
                        return Ok(());
                    }
                    self.gated.set(true);
                    match request.mode {
                        Mode::Events => return execute_events(h, self, slot, request, fit),
                        Mode::Command => return execute_command(h, self, slot, request),
                        Mode::Chunk => return execute_chunk(h, self, slot, request),
                        _ => {}
                    }
                    execute(h, self, plans, request, h.config().plan_cache_size as usize)
                })
            }
            Mode::Session => {
                self.gated.set(true);
                execute_in_session(h, self, plans, request, h.config().plan_cache_size as usize)
            }
            Mode::Notifications => h.notifications(&mut Rows { worker: self, h }).map_err(Error::from),
            Mode::Close => {
                *fit &= self.end_session(h, slot);
                Ok(())
            }
        };
        let answer = match result {
            Ok(()) => Ok(()),
            Err(failed) if self.told.get() || self.committed.get() => {
                // Committed, and then something failed that the server does not expect to fail.
                failed.logged(h, self, false);
                h.abort();
                *fit = false;
                Ok(())
            }
            Err(failed) => {
                self.result.take();
                let mut report = failed.logged(h, self, slot.gate.deadlock(generation));
                h.abort();
                if report.severity >= Severity::Fatal {
                    *fit = false;
                }
                // The reader of a sent command's results does not have the command any more.
                if request.mode == Mode::Session && request.tells_statements_apart() || matches!(request.mode, Mode::Command | Mode::Chunk)
                {
                    report = Box::new(report.within(request.command));
                }
                Err(report)
            }
        };
        self.gated.set(false);
        slot.gate.reopen(generation);
        answer
    }

    fn fail<H: WorkerHost>(&self, h: &H, report: &Report) {
        let mut words = Vec::new();
        self.send_stamp(h);
        match encode_report(report, &mut words) {
            Ok(()) => self.send(h, Kind::Error, &words),
            Err(_) => self.send(h, Kind::Error, &short_error(report.sqlstate)),
        }
    }

    /// A caller that cancels signals this process until it sees the end; only then is it safe to
    /// forget the signals, and to be lent to somebody else.
    pub(super) fn outlast_cancel<H: WorkerHost>(&self, h: &H, slot: &Slot, generation: u64) {
        let waits = || !slot.abandoned(generation) && !slot.signalled(generation) && !h.terminating();
        while (slot.state() == (SlotState::Busy, generation) && waits()) || slot.signals_coming(generation) {
            if h.doze(TICK_MS) == Slept::TimedOut {
                slot.wake_caller(h);
            }
        }
        h.forget_cancel();
    }
}

fn cancelled() -> Report {
    Report::error(QUERY_CANCELED, "canceling statement due to user request")
}

//! The worker's half of the reply ring. Rows are published in batches, messages and ends at once.

use super::process::Worker;
use super::spool::Spool;
use crate::host::{Column, RowSink, Saved, SinkStop, WorkerHost, World};
use crate::pool::slot::Slot;
use crate::report::{Field, QUERY_CANCELED, Report, Severity};
use crate::wire::frame::{self, Kind, Need};
use crate::wire::message::{Stamp, encode_columns, encode_report};
use crate::wire::ring::Writer;

/// Rows wait until this many words can be published together.
const BATCH_WORDS: usize = 1024;

/// Where what a request says goes.
#[derive(Debug)]
pub(super) enum Reply<'a> {
    Caller(Writer<'a>),
    Task(Box<Spool>),
}

/// Hands rows of the running statement to the caller.
pub struct Rows<'a, 'b, H: World> {
    pub(super) worker: &'a Worker<'b>,
    pub(super) h: &'a H,
}

impl<H: WorkerHost> Rows<'_, '_, H> {
    fn push(&self, kind: Kind, payload: &[u8]) -> Result<(), SinkStop> {
        let mut reply = self.worker.reply.borrow_mut();
        match reply.as_mut() {
            None => Err(SinkStop::CallerGone),
            Some(Reply::Task(spool)) => {
                spool.push(kind, payload)?;
                let (Some(table), Some(ticket)) = (self.worker.tasks.get(), self.worker.task.get()) else {
                    return Err(SinkStop::CallerGone);
                };
                spool.drain(self.h, &table, ticket)
            }
            Some(Reply::Caller(writer)) => {
                // A statement that is cancelled ends between two frames: its error is the next one.
                let mut part = false;
                let written = frame::write(writer, kind, payload, |need, writer| {
                    part = need == Need::Rest;
                    self.worker.wait_for_room(self.h, writer, !part)
                });
                if let Err(stop) = written {
                    if part {
                        *reply = None;
                    }
                    return Err(stop);
                }
                if writer.unpublished() >= BATCH_WORDS {
                    writer.publish();
                    self.worker.spread(self.h);
                    self.worker.wake_caller(self.h);
                }
                Ok(())
            }
        }
    }
}

impl<H: WorkerHost> RowSink for Rows<'_, '_, H> {
    fn row(&mut self, tuple: &[u8]) -> Result<(), SinkStop> {
        let mut room = self.worker.room.get();
        // The first one that does not fit is the last that is looked at: what is sent is the beginning.
        if !take(&mut room.row_bytes, tuple.len()) {
            room.row_bytes = 0;
            self.worker.room.set(room);
            return Ok(());
        }
        self.worker.room.set(room);
        self.push(Kind::Row, tuple)
    }

    fn describe(&mut self, columns: &[Column]) -> Result<(), SinkStop> {
        let mut words = Vec::new();
        encode_columns(columns, &mut words).map_err(|_| SinkStop::NoMemory)?;
        self.push(Kind::Described, bytemuck::cast_slice(&words))
    }
}

/// Take so many bytes of what is left, if there are as many. What is unbounded stays so.
fn take(left: &mut u32, bytes: usize) -> bool {
    if *left == u32::MAX {
        return true;
    }
    let rest = u32::try_from(bytes).ok().and_then(|bytes| left.checked_sub(bytes));
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

impl Worker<'_> {
    /// Caller and worker both run from now on.
    fn spread(&self, h: &impl World) {
        if let Some(slot) = self.slot() {
            slot.spread(h);
        }
    }

    pub(super) fn wake_caller(&self, h: &impl World) {
        if let Some(slot) = self.slot() {
            slot.wake_caller(h);
        }
    }

    /// The ring is full: wait for the caller to read. Interrupts are served only while a statement
    /// runs; at the end of a request its end is what the caller waits for.
    fn wait_for_room<H: World>(&self, h: &H, writer: &mut Writer, interruptible: bool) -> Result<(), SinkStop> {
        self.wake_caller(h);
        if self.poller.poll(h, self.area.busy(), self.poll_us.get(), || writer.space() > 0) {
            return Ok(());
        }
        let Some(slot) = self.slot() else { return Err(SinkStop::CallerGone) };
        slot.stall(self.generation.get(), true);
        let mut found = Ok(());
        while found.is_ok() && writer.space() == 0 {
            self.tell_pins(h);
            if self.caller_gone() || (!interruptible && h.terminating()) {
                found = Err(SinkStop::CallerGone);
            } else if interruptible {
                found = h.sleep(super::main_loop::TICK_MS).map(drop).map_err(|Saved| SinkStop::Saved);
            } else {
                h.doze(super::main_loop::TICK_MS);
            }
        }
        slot.stall(self.generation.get(), false);
        self.forget_pins(h);
        found
    }

    /// Write one frame that nothing may interrupt; a caller that has gone does not get it.
    pub(super) fn send<H: World>(&self, h: &H, kind: Kind, payload: &[u64]) {
        let Ok(mut reply) = self.reply.try_borrow_mut() else { return };
        let payload = bytemuck::cast_slice(payload);
        let writer = match reply.as_mut() {
            Some(Reply::Caller(writer)) => writer,
            Some(Reply::Task(spool)) => {
                _ = spool.push_short(kind, payload);
                return;
            }
            None => return,
        };
        if frame::write(writer, kind, payload, |_, writer| self.wait_for_room(h, writer, false)).is_ok() {
            writer.publish();
            self.wake_caller(h);
        }
    }

    /// A NOTICE, WARNING or the like on its way to the caller, or the last words of a dying worker.
    /// Called from within the server's error reporting, so it neither waits for long nor throws: what
    /// cannot be sent is dropped.
    pub fn message<H: WorkerHost>(&self, h: &H, message: Report, command: Option<&[u8]>) {
        let mut message = match command {
            Some(command) => message.within(command),
            None => message,
        };
        if message.severity == Severity::Fatal
            && let Some(said) = self.told_of_timeout(h, "terminating")
        {
            message = Report { sqlstate: QUERY_CANCELED, ..message }.with(Field::Message, said);
        }
        let Ok(mut reply) = self.reply.try_borrow_mut() else { return };
        let writer = match reply.as_mut() {
            Some(Reply::Caller(writer)) => writer,
            Some(Reply::Task(spool)) => return spool.message(&message),
            None => return,
        };
        let mut buffer = Vec::new();
        if encode_report(&message, &mut buffer).is_err() {
            return;
        }
        let last = message.severity >= Severity::Error;
        let mut room = self.room.get();
        if !last && !take(&mut room.message_bytes, buffer.len() * 8) {
            self.stamp.set(self.stamp.get().map(|stamp| Stamp { dropped: stamp.dropped.saturating_add(1), ..stamp }));
            return;
        }
        self.room.set(room);
        let sent = frame::write(writer, Kind::Message, bytemuck::cast_slice(&buffer), |_, writer| {
            self.wake_caller(h);
            while writer.space() == 0 {
                if self.caller_gone() || last || h.terminating() {
                    return Err(());
                }
                h.doze(super::main_loop::TICK_MS);
            }
            Ok(())
        });
        match sent {
            Ok(()) => {
                writer.publish();
                self.wake_caller(h);
            }
            // Half a frame is on the ring: nothing may follow it.
            Err(()) => *reply = None,
        }
    }

    /// Nothing more goes to the caller of the running request.
    pub(super) fn silence(&self) {
        if let Ok(mut reply) = self.reply.try_borrow_mut() {
            *reply = None;
        }
    }

    fn slot(&self) -> Option<&Slot> {
        self.area.slot(self.slot.get())
    }

    /// The caller of the running request has gone or given up waiting.
    fn caller_gone(&self) -> bool {
        self.slot().is_none_or(|slot| slot.abandoned(self.generation.get()))
    }
}

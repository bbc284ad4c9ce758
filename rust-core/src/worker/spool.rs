//! What a task has to say: kept until somebody reads it. In memory while it is short, then in a file; never
//! longer than allowed. Nobody is waited for.

use crate::host::{SinkStop, WorkerHost};
use crate::memory;
use crate::report::{Report, Severity};
use crate::task::{MEMORY_PER_TASK, Table, Ticket};
use crate::wire::frame::{self, Kind};
use crate::wire::message::encode_report;

/// Messages cannot be written to a file, for they come from within the server's error reporting: what is
/// more than this is dropped.
const MESSAGES_BYTES: usize = 1024 * 1024;

/// Frames of a running task.
#[derive(Debug)]
pub struct Spool {
    task: u64,
    buffer: Vec<u8>,
    /// Bytes in the file.
    written: u64,
    limit: u64,
    /// For all results of the role; 0 is none.
    of_role: u64,
    /// What a dying worker said.
    last_words: Option<Report>,
}

impl Default for Spool {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Spool {
    pub fn new(task: u64) -> Self {
        Self { task, buffer: Vec::new(), written: 0, limit: u64::MAX, of_role: 0, last_words: None }
    }

    /// How long it may be, and all results of its role.
    pub fn limit(&mut self, bytes: u64, of_role: u64) {
        (self.limit, self.of_role) = (bytes, of_role);
    }

    fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub fn push(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SinkStop> {
        if self.length() + payload.len() as u64 > self.limit {
            return Err(SinkStop::TooLong);
        }
        self.push_short(kind, payload)
    }

    /// So short that what limits rows need not limit it.
    pub fn push_short(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SinkStop> {
        frame::append(&mut self.buffer, kind, payload).map_err(|_| SinkStop::NoMemory)
    }

    /// A message of the running task, as far as there is room for it.
    pub fn message(&mut self, message: &Report) {
        let mut words = Vec::new();
        if message.severity >= Severity::Error {
            self.last_words = Some(message.copied());
        } else if self.buffer.len() < MESSAGES_BYTES && encode_report(message, &mut words).is_ok() {
            _ = self.push(Kind::Message, bytemuck::cast_slice(&words));
        }
    }

    pub fn take_last_words(&mut self) -> Option<Report> {
        self.last_words.take()
    }

    /// Make room in memory where there is too much.
    pub fn drain<H: WorkerHost>(&mut self, h: &H, table: &Table, ticket: Ticket) -> Result<(), SinkStop> {
        if self.buffer.len() < MEMORY_PER_TASK {
            return Ok(());
        }
        self.count(h, table, ticket)?;
        self.write(h)
    }

    /// What is there is going to be kept, if its role may have so much.
    fn count<H: WorkerHost>(&self, h: &H, table: &Table, ticket: Ticket) -> Result<(), SinkStop> {
        let allowed = table.allow(ticket, self.length(), self.of_role, |id| h.drop_file(id));
        allowed.then_some(()).ok_or(SinkStop::TooMuch)
    }

    fn write<H: WorkerHost>(&mut self, h: &H) -> Result<(), SinkStop> {
        h.append_file(self.task, &self.buffer).map_err(|_| SinkStop::Saved)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// All has been said: it becomes the task's result. To be done before the commit, for it may fail.
    pub fn settle<H: WorkerHost>(&mut self, h: &H, table: &Table, ticket: Ticket) -> Result<(), SinkStop> {
        self.count(h, table, ticket)?;
        if self.written == 0 {
            let room = || table.make_room(|id| h.drop_file(id));
            let short = self.buffer.len() <= MEMORY_PER_TASK;
            if table.store(ticket, &self.buffer) || (short && room() && table.store(ticket, &self.buffer)) {
                return Ok(());
            }
        }
        self.write(h)?;
        table.set_on_disk(ticket, self.written);
        Ok(())
    }

    /// The task has failed: its result is its messages, and the error.
    pub fn fail<H: WorkerHost>(&mut self, h: &H, table: &Table, ticket: Ticket, report: &Report) {
        if self.written > 0 || table.on_disk(ticket).is_some() {
            h.drop_file(self.task);
            self.written = 0;
            self.buffer.clear();
        }
        table.clear_payload(ticket);
        self.limit = u64::MAX;
        let (mut words, mut all) = (Vec::new(), messages_of(&self.buffer));
        if encode_report(report, &mut words).is_ok() && frame::append(&mut all, Kind::Error, bytemuck::cast_slice(&words)).is_ok() {
            // Where there is no room the table still has its code and message.
            _ = table.store(ticket, &all);
        }
    }
}

/// The frames that tell of messages, as far as there is memory for them.
fn messages_of(frames: &[u8]) -> Vec<u8> {
    let (mut left, mut out) = (frames, Vec::new());
    while let Some((kind, _, _, rest)) = frame::split_first(left) {
        if kind == Kind::Message {
            _ = memory::append(&mut out, &left[..left.len() - rest.len()], "messages of a task");
        }
        left = rest;
    }
    out
}

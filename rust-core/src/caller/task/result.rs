//! The result of a task, read from memory or from its file.

use super::{find, forget_file, unknown, wait};
use crate::caller::call::{Call, counted};
use crate::caller::process::CallerState;
use crate::error::Error;
use crate::host::CallerHost;
use crate::lease::frames::{Frame, protocol_violation};
use crate::memory;
use crate::pool::area::Area;
use crate::report::*;
use crate::task::{Table, TaskState, Ticket, Unloadable};
use crate::wire::codec::Unread;
use crate::wire::frame::{HEADER_BYTES, Kind, decode_header};

/// Bytes of a result's file that are read at a time.
const CHUNK: usize = 64 * 1024;

/// Wait for a task's end and hand its result on; the error of one that failed is this call's. `peek`: it is not read yet.
pub fn result<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, id: Option<i64>, peek: bool) -> Result<(), Error> {
    counted(h, area, call, |rows| {
        wait(h, area, caller, call, &[id], None)?;
        let (table, card) = find(h, caller, id)?;
        if !table.pin(card.ticket) {
            return Err(unknown(id.unwrap_or_default()).into());
        }
        caller.tasks.pinned.set(Some(card.ticket));
        let result = read(h, &table, card.ticket, rows).map_err(|failed| caller.tasks.dress(failed, card.ticket.id));
        caller.tasks.pinned.set(None);
        if !peek {
            table.mark_read(card.ticket);
        }
        forget_file(h, table.unpin(card.ticket), card.ticket.id);
        result
    })
}

fn read<H: CallerHost>(h: &H, table: &Table, ticket: Ticket, rows: &mut u64) -> Result<(), Error> {
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
    fn need<H: CallerHost>(&mut self, h: &H, count: usize) -> Result<bool, Error> {
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
    fn next<H: CallerHost>(&mut self, h: &H, words: &mut Vec<u64>) -> Result<Option<(Kind, usize)>, Error> {
        if !self.need(h, HEADER_BYTES)? {
            return Ok(None);
        }
        let header = self.rest[self.at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let (kind, length) = decode_header(header).ok_or_else(|| Error::from(protocol_violation()))?;
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

fn hand_on<H: CallerHost>(h: &H, frames: &mut Frames, rows: &mut u64) -> Result<(), Error> {
    let mut words = Vec::new();
    while let Some((kind, length)) = frames.next(h, &mut words)? {
        let frame = Frame::decode(kind, &words, length).map_err(|unread| match unread {
            Unread::Malformed => Error::from(protocol_violation()),
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
            Frame::Error(report) => return Err(Error::Report(report)),
            _ => return Err(protocol_violation().into()),
        }
    }
    Ok(())
}

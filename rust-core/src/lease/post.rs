//! A request on its way to a worker: encoded, in memory that is kept for the next one.

use crate::error::Error;
use crate::report::{Field, Report, sqlstate};
use crate::wire::frame::MAX_FRAME;
use crate::wire::message::Request;
use std::cell::Cell;

/// Buffers larger than this (in words) are not kept.
const KEEP_WORDS: usize = 32 * 1024;

/// Memory of a process for the request that it sends next, and for the frames of the answer.
#[derive(Default)]
pub struct Buffer(Cell<Vec<u64>>);

impl Buffer {
    pub fn take(&self) -> Vec<u64> {
        self.0.take()
    }

    pub fn keep(&self, buffer: &mut Vec<u64>) {
        if buffer.capacity() <= KEEP_WORDS {
            self.0.set(std::mem::take(buffer));
        }
    }
}

/// Encode a request, if it is not too long to be sent.
pub fn encode(request: &Request, buffer: &mut Vec<u64>) -> Result<(), Error> {
    request.encode(buffer)?;
    if buffer.len() * 8 > MAX_FRAME {
        return Err(Report::error(sqlstate(b"54000"), "command and arguments of an autonomous transaction are too long")
            .with(Field::Detail, format!("Together they may take {MAX_FRAME} bytes."))
            .into());
    }
    Ok(())
}

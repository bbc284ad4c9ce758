//! What a worker says, frame by frame: read by who waits for it, by who reads it from a task's result, and by who looks
//! at it now and then.

use crate::host::Column;
use crate::report::{PROTOCOL_VIOLATION, Report};
use crate::wire::batch::{self, BatchEnd};
use crate::wire::codec::{Malformed, Unread};
use crate::wire::frame::Kind;
use crate::wire::message::{Ending, Stamp, decode_columns, decode_report};

/// One frame; its texts are those of the buffer that it was read to. A report is boxed: it is large, and most frames are rows.
#[derive(Debug)]
pub enum Frame<'a> {
    Row(&'a [u8]),
    /// Below ERROR, or the last words of a worker that dies.
    Message(Box<Report>),
    /// The request is done.
    Done(Ending),
    /// It has failed.
    Error(Box<Report>),
    /// It is to come again, with the settings that it names.
    SettingsWanted,
    /// Rows of these columns follow.
    Described(Vec<Column<'a>>),
    /// One statement of several is through.
    Complete(Ending),
    /// What became of a batch, by its index.
    Batch(usize, BatchEnd),
    Stamp(Stamp),
}

impl<'a> Frame<'a> {
    /// From the words of its payload, of which so many bytes count.
    pub fn decode(kind: Kind, words: &'a [u64], length: usize) -> Result<Self, Unread> {
        Ok(match kind {
            Kind::Row => Self::Row(bytemuck::cast_slice(words).get(..length).ok_or(Malformed)?),
            Kind::Message => Self::Message(Box::new(decode_report(words)?)),
            Kind::Done => Self::Done(Ending::decode(words)?),
            Kind::Error => Self::Error(Box::new(decode_report(words)?)),
            Kind::SettingsWanted => Self::SettingsWanted,
            Kind::Described => Self::Described(decode_columns(words)?),
            Kind::Complete => Self::Complete(Ending::decode(words)?),
            Kind::Outcome => {
                let (index, end) = batch::decode(words)?;
                Self::Batch(index, end)
            }
            Kind::Stamp => Self::Stamp(Stamp::decode(words)?),
            Kind::Request => return Err(Malformed.into()),
        })
    }
}

/// The error of a side that cannot read what the worker has sent.
pub(crate) fn protocol_violation() -> Report {
    Report::error(PROTOCOL_VIOLATION, "worker sent what its caller does not understand")
}

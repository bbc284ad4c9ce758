//! Frames on a ring: one header word (kind and length in bytes), then the payload, padded to words.
//!
//! A frame may be longer than the ring: it passes in pieces. Whenever there is no progress the
//! caller-supplied `block` is called; it returns when trying again makes sense, or with the reason
//! to stop. It is the only place where either side waits for the other.

use super::ring::{Reader, Writer};
use crate::memory::{Grows, NoMemory};

/// Kinds of frames; the numbers are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Request = 1,
    Row = 2,
    Message = 3,
    Done = 4,
    Error = 5,
    SettingsWanted = 6,
    /// Columns of the rows that follow.
    Described = 7,
    /// One statement of several is through.
    Complete = 8,
    /// What became of one batch of events.
    Outcome = 9,
    /// Who runs a command, and what time it is.
    Stamp = 10,
}

impl Kind {
    fn from_number(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Request,
            2 => Self::Row,
            3 => Self::Message,
            4 => Self::Done,
            5 => Self::Error,
            6 => Self::SettingsWanted,
            7 => Self::Described,
            8 => Self::Complete,
            9 => Self::Outcome,
            10 => Self::Stamp,
            _ => return None,
        })
    }
}

/// A frame longer than this is not sent: the server's own values end at 1 GB.
pub const MAX_FRAME: usize = 0x7fff_ffff;

/// Bytes in front of a payload.
pub const HEADER_BYTES: usize = 8;

/// Append a frame to a buffer, padded to words.
#[expect(clippy::disallowed_methods, reason = "there is room")]
pub fn append(buffer: &mut Vec<u8>, kind: Kind, payload: &[u8]) -> Result<(), NoMemory> {
    buffer.room(HEADER_BYTES + payload.len().next_multiple_of(8), "the result of a task")?;
    buffer.extend_from_slice(&header(kind, payload).to_ne_bytes());
    buffer.extend_from_slice(payload);
    buffer.resize(buffer.len().next_multiple_of(8), 0);
    Ok(())
}

fn header(kind: Kind, payload: &[u8]) -> u64 {
    (kind as u64) | (payload.len() as u64) << 8
}

/// Kind and length in bytes; None: it makes no sense.
pub fn decode_header(header: u64) -> Option<(Kind, usize)> {
    let length = (header >> 8) as usize;
    (length <= MAX_FRAME).then(|| Kind::from_number(header as u8)).flatten().map(|kind| (kind, length))
}

/// The first of the frames that [`append`] has made of each other: its kind, its length in bytes, its padded payload, and what
/// follows it. None: there is no whole one.
pub fn split_first(frames: &[u8]) -> Option<(Kind, usize, &[u8], &[u8])> {
    let (header, rest) = frames.split_first_chunk::<HEADER_BYTES>()?;
    let (kind, length) = decode_header(u64::from_ne_bytes(*header))?;
    let (payload, rest) = rest.split_at_checked(length.next_multiple_of(8))?;
    Some((kind, length, payload, rest))
}

/// How a frame could fail to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken<E> {
    /// `block` said so.
    Stopped(E),
    /// The header makes no sense.
    Malformed,
    /// The frame does not fit into memory.
    NoMemory(NoMemory),
}

/// Why the writer calls `block`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Room,
    /// Room for the rest of a frame of which a part was written: without it nothing may follow.
    Rest,
    Data,
}

/// Write a frame; it is published at the latest when a piece fills the ring, else by `publish`.
pub fn write<E>(
    writer: &mut Writer,
    kind: Kind,
    payload: &[u8],
    mut block: impl FnMut(Need, &mut Writer) -> Result<(), E>,
) -> Result<(), E> {
    let header = header(kind, payload).to_ne_bytes();
    while writer.push(&header) == 0 {
        writer.publish();
        block(Need::Room, writer)?;
    }
    let mut at = 0;
    while at < payload.len() {
        let pushed = writer.push(&payload[at..]);
        at += pushed;
        if pushed == 0 {
            writer.publish();
            block(Need::Rest, writer)?;
        }
    }
    Ok(())
}

/// Read a frame into `buffer` (cleared first); kind and length in bytes. One for which there is no memory is read all
/// the same, to nowhere: its writer may be waiting for room for the rest of it.
pub fn read<E>(
    reader: &mut Reader,
    buffer: &mut Vec<u64>,
    mut block: impl FnMut(Need, &mut Reader) -> Result<(), E>,
) -> Result<(Kind, usize), Broken<E>> {
    let mut wait = |reader: &mut Reader| {
        reader.release();
        block(Need::Data, reader).map_err(Broken::Stopped)
    };
    buffer.clear();
    let header = loop {
        match reader.take() {
            Some(header) => break header,
            None => wait(reader)?,
        }
    };
    let (kind, length) = decode_header(header).ok_or(Broken::Malformed)?;
    let mut left = length.div_ceil(8);
    let room = buffer.room(left, "what has come");
    while left > 0 {
        let count = if room.is_ok() { reader.pull(buffer, left) } else { reader.skip(left) };
        left -= count;
        if count == 0 {
            wait(reader)?;
        }
    }
    room.map(|()| (kind, length)).map_err(Broken::NoMemory)
}

#[cfg(test)]
mod tests {
    use super::super::ring::{Ends, Ring};
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn frames_of_any_length_pass_in_order() {
        let ends = Ends::default();
        let words: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        let ring = Ring { ends: &ends, words: &words };
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let frames: Vec<Vec<u8>> = (0..300).map(|_| (0..rng.usize(..200)).map(|_| rng.u8(..)).collect()).collect();
        let copy = frames.clone();
        std::thread::scope(|s| {
            s.spawn(move || {
                let mut writer = ring.writer();
                for frame in &copy {
                    let Ok(()) = write::<std::convert::Infallible>(&mut writer, Kind::Row, frame, |_, _| {
                        std::thread::yield_now();
                        Ok(())
                    });
                }
                writer.publish();
            });
            let (mut reader, mut buffer) = (ring.reader(), Vec::new());
            for frame in &frames {
                let got = read::<()>(&mut reader, &mut buffer, |_, _| {
                    std::thread::yield_now();
                    Ok(())
                });
                assert_eq!(got, Ok((Kind::Row, frame.len())));
                assert_eq!(&bytemuck::cast_slice::<u64, u8>(&buffer)[..frame.len()], &frame[..]);
            }
        });
    }

    #[test]
    fn nonsense_is_refused() {
        let ends = Ends::default();
        let words: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        let ring = Ring { ends: &ends, words: &words };
        let mut writer = ring.writer();
        writer.push(&u64::MAX.to_ne_bytes());
        writer.publish();
        let got = read::<()>(&mut ring.reader(), &mut Vec::new(), |_, _| Err(()));
        assert_eq!(got, Err(Broken::Malformed));
    }
}

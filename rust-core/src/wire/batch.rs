//! Batches of events on their way to a handler's worker, and what became of them on their way back.
//!
//! A batch is an argument of its request, laid out so that the worker's shim reads it in place: a head of
//! [`HEAD`] bytes, then for events their places and their ids, for notifications each with its texts.

use super::codec::{Decoder, Malformed, Unread, put, put_bytes, reserve};
use crate::host::PutOff;
use crate::memory::{self, Grows, NoMemory};

const WHAT: &str = "a batch of events";

/// Kind, partition, attempt and count, four bytes each, then the key's hash, the timeout, and four more.
pub const HEAD: usize = 32;

/// Kinds of batches.
pub const EVENTS: u32 = 0;
pub const NOTIFICATIONS: u32 = 1;

/// Bytes in front of the texts of a notification: pid, their lengths, and four more.
pub const NOTE_HEAD: usize = 16;

/// One notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    pub pid: u32,
    pub channel: &'a [u8],
    pub payload: &'a [u8],
}

/// With room for so many bytes more.
fn head(kind: u32, partition: u32, attempt: u32, count: usize, key: u64, timeout_ms: u32, more: usize) -> Result<Vec<u8>, NoMemory> {
    let mut out = Vec::new();
    out.room(HEAD + more, WHAT)?;
    for word in [kind, partition, attempt, count as u32] {
        memory::append(&mut out, &word.to_ne_bytes(), WHAT)?;
    }
    memory::append(&mut out, &key.to_ne_bytes(), WHAT)?;
    for word in [timeout_ms, 0] {
        memory::append(&mut out, &word.to_ne_bytes(), WHAT)?;
    }
    Ok(out)
}

/// Recorded events, by their places in a partition; a key of 0 is none, and a timeout of 0 is the handler's.
pub fn events(partition: u8, attempt: u32, key: u64, timeout_ms: u32, tids: &[u64], ids: &[i64]) -> Result<Vec<u8>, NoMemory> {
    let mut out = head(EVENTS, u32::from(partition), attempt, ids.len(), key, timeout_ms, ids.len() * 16)?;
    memory::append(&mut out, bytemuck::cast_slice(tids), WHAT)?;
    memory::append(&mut out, bytemuck::cast_slice(ids), WHAT)?;
    Ok(out)
}

/// Notifications that were not recorded.
pub fn notifications<'a>(attempt: u32, notes: impl ExactSizeIterator<Item = Note<'a>>) -> Result<Vec<u8>, NoMemory> {
    let mut out = head(NOTIFICATIONS, 0, attempt, notes.len(), 0, 0, 0)?;
    for note in notes {
        for word in [note.pid, note.channel.len() as u32, note.payload.len() as u32, 0] {
            memory::append(&mut out, &word.to_ne_bytes(), WHAT)?;
        }
        for text in [note.channel, note.payload] {
            memory::append(&mut out, text, WHAT)?;
            let padding = out.len().next_multiple_of(8) - out.len();
            memory::append(&mut out, &[0; 8][..padding], WHAT)?;
        }
    }
    Ok(out)
}

/// The key's hash of a batch; 0: it has none.
pub fn key_of(batch: &[u8]) -> u64 {
    batch.get(16..24).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// The timeout of a batch in milliseconds; None: as its handler says.
pub fn timeout_of(batch: &[u8]) -> Option<u32> {
    batch.get(24..28).and_then(|bytes| bytes.first_chunk()).map(|bytes| u32::from_ne_bytes(*bytes)).filter(|ms| *ms > 0)
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// It is committed; these events were put off.
    Done(Vec<PutOff>),
    /// An earlier batch of the same key has failed.
    Skipped,
    /// Its events are not where they were looked for.
    Misplaced,
    Failed {
        sqlstate: u32,
        message: Vec<u8>,
    },
}

/// As a frame's payload; a message for which there is no memory is left out.
pub fn encode(batch: usize, end: &BatchEnd) -> Vec<u64> {
    let mut words = Vec::new();
    put(&mut words, batch as u64);
    match end {
        BatchEnd::Done(put_off) => {
            put(&mut words, 0);
            put(&mut words, put_off.len() as u64);
            for PutOff { event, until } in put_off {
                put(&mut words, *event as u64);
                put(&mut words, *until as u64);
            }
        }
        BatchEnd::Skipped => put(&mut words, 1),
        BatchEnd::Misplaced => put(&mut words, 3),
        BatchEnd::Failed { sqlstate, message } => {
            put(&mut words, 2);
            put(&mut words, u64::from(*sqlstate));
            let room = reserve(&mut words, [message.len()].into_iter(), WHAT).is_ok();
            put_bytes(&mut words, Some(if room { message } else { b"" }));
        }
    }
    words
}

/// As it was encoded, with the same reserve.
pub fn decode(words: &[u64]) -> Result<(usize, BatchEnd), Unread> {
    let mut d = Decoder::new(words);
    let batch = d.get()? as usize;
    Ok((
        batch,
        match d.get()? {
            0 => {
                let count = d.get()?;
                let mut put_off = Vec::new();
                for _ in 0..count {
                    let one = PutOff { event: d.get()? as i64, until: d.get()? as i64 };
                    memory::push(&mut put_off, one, WHAT)?;
                }
                BatchEnd::Done(put_off)
            }
            1 => BatchEnd::Skipped,
            3 => BatchEnd::Misplaced,
            2 => BatchEnd::Failed {
                sqlstate: d.get_u32()?,
                message: memory::copy(d.get_bytes()?.unwrap_or_default(), WHAT).unwrap_or_default(),
            },
            _ => return Err(Malformed.into()),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_batch_arrives_as_it_was_sent() {
        let put_off = vec![PutOff { event: 7, until: -3 }, PutOff { event: i64::MAX, until: i64::MIN }];
        for end in [
            BatchEnd::Done(put_off),
            BatchEnd::Done(Vec::new()),
            BatchEnd::Skipped,
            BatchEnd::Misplaced,
            BatchEnd::Failed { sqlstate: 7, message: b"no".to_vec() },
        ] {
            assert_eq!(decode(&encode(3, &end)).ok(), Some((3, end)));
        }
        assert!(matches!(decode(&[1, 9]), Err(Unread::Malformed)));
        assert!(matches!(decode(&[1, 0, 1 << 40]), Err(Unread::Malformed)));
    }

    #[test]
    fn a_batch_is_laid_out_as_the_shim_reads_it() {
        let batch = events(2, 3, 77, 9, &[5, 6], &[-1, 8]).unwrap();
        assert_eq!((batch.len(), key_of(&batch), timeout_of(&batch)), (HEAD + 32, 77, Some(9)));
        assert_eq!(batch[4], 2);
        let batch = notifications(1, [Note { pid: 9, channel: b"ch", payload: b"" }].into_iter()).unwrap();
        assert_eq!(batch.len(), HEAD + 16 + 8);
        assert_eq!((key_of(&[]), timeout_of(&batch), timeout_of(&[])), (0, None, None));
    }
}

//! Words and byte strings in a buffer of words: every scalar takes one word, a byte string its
//! length and then itself, padded, so that what follows stays aligned for the server to read in place.

use crate::memory::{Grows, NoMemory, push_words};

/// In place of a byte string's length.
pub(super) const ABSENT: u64 = u64::MAX;

/// The bytes did not say what they should: a bug, or two versions of the module at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a frame said could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    Malformed,
    NoMemory(NoMemory),
}

impl From<Malformed> for Unread {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<NoMemory> for Unread {
    fn from(no_memory: NoMemory) -> Self {
        Self::NoMemory(no_memory)
    }
}

/// Make room for byte strings of these lengths, and a word more for each. What is put is small, or has been made room for.
pub fn reserve(buffer: &mut Vec<u64>, lengths: impl Iterator<Item = usize>, what: &'static str) -> Result<(), NoMemory> {
    buffer.room(lengths.fold(0usize, |sum, length| sum.saturating_add(length / 8 + 2)), what)
}

/// Append one word.
#[expect(clippy::disallowed_methods, reason = "whoever puts much has reserved it")]
pub fn put(buffer: &mut Vec<u64>, word: u64) {
    buffer.push(word);
}

/// Append a byte string, or its absence.
pub fn put_bytes(buffer: &mut Vec<u64>, bytes: Option<&[u8]>) {
    put(buffer, bytes.map_or(ABSENT, |bytes| bytes.len() as u64));
    push_words(buffer, bytes.unwrap_or_default());
}

/// Reads what the functions above wrote.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    words: &'a [u64],
}

impl<'a> Decoder<'a> {
    pub fn new(words: &'a [u64]) -> Self {
        Self { words }
    }

    /// One word.
    pub fn get(&mut self) -> Result<u64, Malformed> {
        let (first, rest) = self.words.split_first().ok_or(Malformed)?;
        self.words = rest;
        Ok(*first)
    }

    /// One word that must fit 32 bits.
    pub fn get_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.get()?).map_err(|_| Malformed)
    }

    /// A count, checked against what could still follow.
    pub fn get_count(&mut self) -> Result<usize, Malformed> {
        let count = self.get()? as usize;
        if count > self.words.len() { Err(Malformed) } else { Ok(count) }
    }

    /// A byte string, or its absence.
    pub fn get_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let length = self.get()?;
        if length == ABSENT {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let count = length.div_ceil(8);
        if count > self.words.len() {
            return Err(Malformed);
        }
        let (bytes, rest) = self.words.split_at(count);
        self.words = rest;
        Ok(Some(&bytemuck::cast_slice(bytes)[..length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_differ() {
        let mut buffer = Vec::new();
        put_bytes(&mut buffer, None);
        put_bytes(&mut buffer, Some(b""));
        put_bytes(&mut buffer, Some(b"nine bytes"));
        let mut d = Decoder::new(&buffer);
        assert_eq!(d.get_bytes(), Ok(None));
        assert_eq!(d.get_bytes(), Ok(Some(&b""[..])));
        assert_eq!(d.get_bytes(), Ok(Some(&b"nine bytes"[..])));
        assert_eq!(d.get(), Err(Malformed));
    }

    #[test]
    fn random_words_never_read_out_of_bounds() {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..10_000 {
            let words: Vec<u64> = (0..rng.usize(..12)).map(|_| if rng.bool() { rng.u64(..64) } else { rng.u64(..) }).collect();
            let mut d = Decoder::new(&words);
            while d.get_bytes().is_ok() {}
        }
    }
}

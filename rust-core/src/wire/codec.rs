//! Words and byte strings in a buffer of words: every scalar takes one word, a byte string its
//! length and then itself, padded, so that what follows stays aligned for the server to read in place.

const ABSENT: u64 = u64::MAX;

/// The bytes did not say what they should: a bug, or two versions of the module at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// There is no memory for what is to be sent, or has come. What a user may make large is asked for with
/// these functions: an allocation that fails elsewhere would abort the process, and with it the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Make room for byte strings of these lengths, and a word more for each.
pub fn reserve(buffer: &mut Vec<u64>, lengths: impl Iterator<Item = usize>) -> Result<(), NoMemory> {
    let words = lengths.fold(0usize, |sum, length| sum.saturating_add(length / 8 + 2));
    buffer.try_reserve(words).map_err(|_| NoMemory)
}

/// A copy, if there is memory for it.
pub fn copy(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).ok()?;
    copy.extend_from_slice(bytes);
    Some(copy)
}

/// Append one word.
pub fn put(buffer: &mut Vec<u64>, word: u64) {
    buffer.push(word);
}

/// Append a byte string, or its absence.
pub fn put_bytes(buffer: &mut Vec<u64>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else {
        buffer.push(ABSENT);
        return;
    };
    buffer.push(bytes.len() as u64);
    let (whole, rest) = bytes.as_chunks::<8>();
    buffer.extend(whole.iter().map(|word| u64::from_ne_bytes(*word)));
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        buffer.push(u64::from_ne_bytes(word));
    }
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

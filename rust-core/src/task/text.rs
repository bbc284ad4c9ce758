//! Bytes in words of shared memory: short texts, and what a running task says of its progress.

use std::array::from_fn;
use std::sync::atomic::{AtomicU64, Ordering::*, fence};

/// How often a reader looks again at what is rewritten meanwhile before it goes without.
pub(super) const TRIES: usize = 64;

/// Write bytes to words; what does not fit is left out.
pub(super) fn write_words(words: &[AtomicU64], bytes: &[u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks(8)) {
        let mut padded = [0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_ne_bytes(padded), Relaxed);
    }
}

/// Append that many bytes of words, as far as there are so many.
#[expect(clippy::disallowed_methods, reason = "whoever reads more than a text has made room")]
pub(super) fn read_words(words: &[AtomicU64], length: usize, out: &mut Vec<u8>) {
    let mut left = length.min(words.len() * 8);
    for word in &words[..left.div_ceil(8)] {
        let bytes = word.load(Relaxed).to_ne_bytes();
        out.extend_from_slice(&bytes[..left.min(8)]);
        left = left.saturating_sub(8);
    }
}

/// A short text, of as many bytes as its words have.
#[repr(C)]
#[derive(Debug)]
pub struct Text<const WORDS: usize> {
    length: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize> Default for Text<WORDS> {
    fn default() -> Self {
        Self { length: AtomicU64::new(0), words: from_fn(|_| AtomicU64::new(0)) }
    }
}

impl<const WORDS: usize> Text<WORDS> {
    pub(super) fn set(&self, bytes: &[u8]) {
        self.length.store(bytes.len().min(WORDS * 8) as u64, Relaxed);
        write_words(&self.words, bytes);
    }

    #[expect(clippy::disallowed_methods, reason = "of fixed size, a few hundred bytes")]
    pub(super) fn get(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(WORDS * 8);
        read_words(&self.words, self.length.load(Relaxed) as usize, &mut bytes);
        bytes
    }
}

/// How far a running task says it is: the only text that is rewritten within one state, so it has a version.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Progress {
    /// Odd while it is being written.
    version: AtomicU64,
    /// The task that wrote it: what is left of another is no progress of this one.
    id: AtomicU64,
    percent: AtomicU64,
    message: Text<16>,
}

impl Progress {
    /// False: another writes just now.
    pub(super) fn write(&self, id: u64, percent: f64, message: &[u8]) -> bool {
        let version = self.version.load(Relaxed);
        if version % 2 == 1 || self.version.compare_exchange(version, version + 1, Acquire, Relaxed).is_err() {
            return false;
        }
        fence(Release);
        self.id.store(id, Relaxed);
        self.percent.store(percent.to_bits(), Relaxed);
        self.message.set(message);
        self.version.store(version + 2, Release);
        true
    }

    pub(super) fn read(&self, id: u64) -> Option<(f64, Vec<u8>)> {
        for _ in 0..TRIES {
            let version = self.version.load(Acquire);
            let (writer, percent, message) = (self.id.load(Relaxed), self.percent.load(Relaxed), self.message.get());
            fence(Acquire);
            if version.is_multiple_of(2) && self.version.load(Relaxed) == version {
                return (writer == id).then_some((f64::from_bits(percent), message));
            }
            std::hint::spin_loop();
        }
        None
    }
}

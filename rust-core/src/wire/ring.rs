//! One direction of a lease: a ring of 64-bit words with one writer and one reader.
//!
//! Positions only grow; `tail` is written by the writer alone and `head` by the reader alone. The
//! writer copies words in with relaxed stores and publishes them with one release store of `tail`;
//! the reader acquires `tail` before it loads them. Words are atomics, so a misbehaving peer can
//! produce nonsense but no undefined behaviour. Whoever claims a lease passes over what an earlier one left before the
//! peer is told of the lease; nobody else may.

use std::sync::atomic::{AtomicU64, Ordering::*};

/// Positions of a ring, each on a cache line of its own.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct End(pub AtomicU64);

#[repr(C)]
#[derive(Debug, Default)]
pub struct Ends {
    pub head: End,
    pub tail: End,
}

/// A ring in place; `words.len()` is a power of two.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a> {
    pub ends: &'a Ends,
    pub words: &'a [AtomicU64],
}

impl<'a> Ring<'a> {
    fn mask(&self) -> u64 {
        self.words.len() as u64 - 1
    }

    /// Forget what an earlier lease left unread in the ring that this side writes. Only for the
    /// claimant of a lease, before the peer knows of it; the peer's end is not written.
    pub fn rewind(&self) {
        let head = self.ends.head.0.load(Acquire);
        if self.ends.tail.0.load(Relaxed) != head {
            self.ends.tail.0.store(head, Relaxed);
        }
    }

    /// The same for the ring that this side reads.
    pub fn skip(&self) {
        let tail = self.ends.tail.0.load(Acquire);
        if self.ends.head.0.load(Relaxed) != tail {
            self.ends.head.0.store(tail, Relaxed);
        }
    }

    /// The writing end.
    pub fn writer(self) -> Writer<'a> {
        let tail = self.ends.tail.0.load(Relaxed);
        Writer { ring: self, tail, head: self.ends.head.0.load(Acquire) }
    }

    /// The reading end.
    pub fn reader(self) -> Reader<'a> {
        let head = self.ends.head.0.load(Relaxed);
        Reader { ring: self, head, tail: self.ends.tail.0.load(Acquire) }
    }
}

/// The writing end, with what it knows of the reader.
#[derive(Debug)]
pub struct Writer<'a> {
    ring: Ring<'a>,
    tail: u64,
    head: u64,
}

impl Writer<'_> {
    /// Words that fit now.
    pub fn space(&mut self) -> usize {
        let capacity = self.ring.words.len() as u64;
        if self.tail.wrapping_sub(self.head) >= capacity {
            self.head = self.ring.ends.head.0.load(Acquire);
        }
        capacity.saturating_sub(self.tail.wrapping_sub(self.head)) as usize
    }

    /// Copy bytes in, padding the last word; returns how many were taken.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let words = bytes.len().div_ceil(8);
        let mut room = self.space();
        if room < words {
            self.head = self.ring.ends.head.0.load(Acquire);
            room = self.space();
        }
        let count = words.min(room);
        let mask = self.ring.mask();
        let take = (count * 8).min(bytes.len());
        let (whole, rest) = bytes[..take].as_chunks::<8>();
        for word in whole {
            self.ring.words[(self.tail & mask) as usize].store(u64::from_ne_bytes(*word), Relaxed);
            self.tail += 1;
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.ring.words[(self.tail & mask) as usize].store(u64::from_ne_bytes(word), Relaxed);
            self.tail += 1;
        }
        take
    }

    /// Let the reader see what was pushed.
    pub fn publish(&mut self) {
        self.ring.ends.tail.0.store(self.tail, Release);
    }

    /// Words pushed and not published.
    pub fn unpublished(&self) -> usize {
        self.tail.wrapping_sub(self.ring.ends.tail.0.load(Relaxed)) as usize
    }
}

/// The reading end, with what it knows of the writer.
#[derive(Debug)]
pub struct Reader<'a> {
    ring: Ring<'a>,
    head: u64,
    tail: u64,
}

impl Reader<'_> {
    /// Words that can be read now.
    pub fn available(&mut self) -> usize {
        if self.head == self.tail {
            self.tail = self.ring.ends.tail.0.load(Acquire);
        }
        // A peer that lies about its position can make us read old words, not foreign memory.
        (self.tail.wrapping_sub(self.head) as usize).min(self.ring.words.len())
    }

    /// Append up to `count` words to `into`; returns how many there were.
    #[expect(clippy::disallowed_methods, reason = "no more than a ring has, or than whoever wants more has made room for")]
    pub fn pull(&mut self, into: &mut Vec<u64>, count: usize) -> usize {
        let count = count.min(self.available());
        let mask = self.ring.mask();
        let head = self.head;
        let words = self.ring.words;
        into.extend((0..count as u64).map(|i| words[((head + i) & mask) as usize].load(Relaxed)));
        self.head += count as u64;
        count
    }

    /// The next word, if it is there.
    pub fn take(&mut self) -> Option<u64> {
        let at = self.head & self.ring.mask();
        (self.skip(1) == 1).then(|| self.ring.words[at as usize].load(Relaxed))
    }

    /// Pass over up to `count` words; returns how many there were.
    pub fn skip(&mut self, count: usize) -> usize {
        let count = count.min(self.available());
        self.head += count as u64;
        count
    }

    /// Pass over what is there; were there any words?
    pub fn discard(&mut self) -> bool {
        self.skip(usize::MAX) > 0
    }

    /// Give the room of what was read back to the writer.
    pub fn release(&mut self) {
        self.ring.ends.head.0.store(self.head, Release);
    }

    /// Words read whose room was not given back.
    pub fn unreleased(&self) -> usize {
        self.head.wrapping_sub(self.ring.ends.head.0.load(Relaxed)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(n: usize) -> Vec<AtomicU64> {
        (0..n).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn bytes_pass_whole_through_a_ring_smaller_than_they_are() {
        let (ends, words) = (Ends::default(), words(16));
        let ring = Ring { ends: &ends, words: &words };
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        let sent: Vec<u8> = (0..10_007).map(|_| rng.u8(..)).collect();
        let copy = sent.clone();
        std::thread::scope(|s| {
            s.spawn(move || {
                let mut writer = ring.writer();
                let mut at = 0;
                while at < copy.len() {
                    at += writer.push(&copy[at..]);
                    writer.publish();
                    std::thread::yield_now();
                }
            });
            let mut reader = ring.reader();
            let mut got = Vec::new();
            while got.len() < sent.len().div_ceil(8) {
                reader.pull(&mut got, 1 + rng.usize(..20));
                reader.release();
                std::thread::yield_now();
            }
            assert_eq!(&bytemuck::cast_slice::<u64, u8>(&got)[..sent.len()], &sent[..]);
        });
    }

    #[test]
    fn a_full_ring_takes_nothing_and_says_so() {
        let (ends, words) = (Ends::default(), words(4));
        let ring = Ring { ends: &ends, words: &words };
        let mut writer = ring.writer();
        assert_eq!(writer.push(&[1; 40]), 32);
        assert_eq!(writer.push(&[1; 8]), 0);
        writer.publish();
        let mut reader = ring.reader();
        let mut got = Vec::new();
        assert_eq!(reader.pull(&mut got, 9), 4);
        assert_eq!(writer.space(), 0, "room comes back by release alone");
        reader.release();
        assert_eq!(writer.push(&[2; 8]), 8);
    }

    #[test]
    fn nothing_is_seen_before_it_is_published() {
        let (ends, words) = (Ends::default(), words(4));
        let ring = Ring { ends: &ends, words: &words };
        let (mut writer, mut reader) = (ring.writer(), ring.reader());
        writer.push(&[7; 8]);
        assert_eq!(reader.available(), 0);
        writer.publish();
        assert_eq!(reader.available(), 1);
    }
}

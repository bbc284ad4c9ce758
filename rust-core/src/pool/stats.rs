//! Counters behind aside.stat, one set for each entry point.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Entry points.
pub const KINDS: usize = 7;
/// Buckets of the latency histogram: bucket i counts calls that took under 2^i microseconds.
pub const BUCKETS: usize = 24;

#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Counters {
    pub calls: AtomicU64,
    pub errors: AtomicU64,
    pub cancelled: AtomicU64,
    pub rows: AtomicU64,
    pub waits: AtomicU64,
    pub wait_us: AtomicU64,
    pub total_us: AtomicU64,
    pub histogram: [AtomicU64; BUCKETS],
}

impl Counters {
    /// One call has ended.
    pub fn finished(&self, took_us: u64, rows: u64) {
        self.calls.fetch_add(1, Relaxed);
        self.total_us.fetch_add(took_us, Relaxed);
        if rows > 0 {
            self.rows.fetch_add(rows, Relaxed);
        }
        self.histogram[bucket(took_us)].fetch_add(1, Relaxed);
    }

    /// One call had to wait for a worker.
    pub fn waited(&self, us: u64) {
        self.waits.fetch_add(1, Relaxed);
        self.wait_us.fetch_add(us, Relaxed);
    }
}

fn bucket(us: u64) -> usize {
    (64 - us.leading_zeros() as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_i_holds_what_took_under_two_to_the_i() {
        assert_eq!([0, 1, 2, 3, 4].map(bucket), [0, 1, 2, 2, 3]);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}

//! What becomes of a chunk after an attempt that failed: it is tried again, then divided, down to the keys that fail.

use super::cut::Cut;
use super::host::{Chunk, Fate};
use crate::async_event::backoff::{ceiling_us, conflict};
use crate::report::{FEATURE_NOT_SUPPORTED, sqlstate};

/// A job of which so many chunks have failed fails as a whole: most likely each of its rows does.
pub const MOST_FAILED: u32 = 10_000;
/// So many attempts may lose their worker, or find their server in trouble, and do not count.
pub const FREE_LOSSES: u32 = 10;
const FIRST_TROUBLE_PAUSE_US: i64 = 1_000_000;
const FIRST_PAUSE_US: i64 = 100_000;
const FIRST_CONFLICT_PAUSE_US: i64 = 10_000;
const LONGEST_PAUSE_US: i64 = 10_000_000;

fn is_of_class(code: u32, class: &[u8; 5]) -> bool {
    code & 0xfff == sqlstate(class) & 0xfff
}

/// Every chunk of the job fails so: its command is wrong, its table is gone, or its owner lacks a privilege or may not write.
pub fn is_the_jobs(code: u32) -> bool {
    code == FEATURE_NOT_SUPPORTED || code == sqlstate(b"25006") || is_of_class(code, b"42000")
}

/// The server is short of disk, memory or connections, or its disk fails. No chunk is at fault, and its half would fare no
/// better. What exceeds a limit of its own (53400) may well be smaller.
pub fn is_the_servers(code: u32) -> bool {
    (is_of_class(code, b"53000") && code != sqlstate(b"53400")) || is_of_class(code, b"58000")
}

/// Its failures that count, and what becomes of it. None: the attempt was lost.
pub fn judge(chunk: &Chunk, max_attempts: u32, divides: bool, code: Option<u32>) -> (u32, Fate) {
    let counts = match code {
        Some(code) if !is_the_servers(code) => !conflict(code),
        _ => chunk.attempt > FREE_LOSSES,
    };
    let failures = chunk.failures.saturating_add(u32::from(counts));
    let fate = match code {
        _ if failures < max_attempts || !counts => Fate::Waits,
        Some(code) if is_the_jobs(code) || is_the_servers(code) => Fate::JobFailed,
        _ if divides && !chunk.cut.is_single() => Fate::Waits,
        _ => Fate::Failed,
    };
    (failures, fate)
}

/// A waiting chunk: has it had all its attempts?
pub fn is_used_up(chunk: &Chunk, max_attempts: u32) -> bool {
    chunk.failures >= max_attempts
}

/// The failures that a part of a divided chunk begins with. It has one attempt, a single key has all.
pub fn failures_of(part: &Cut, max_attempts: u32) -> u32 {
    if part.is_single() { 0 } else { max_attempts.saturating_sub(1) }
}

/// How long the chunk waits for its next attempt.
pub fn pause_us(chunk: &Chunk, failures: u32) -> u64 {
    let pause = match failures > chunk.failures {
        true => ceiling_us(failures, FIRST_PAUSE_US, LONGEST_PAUSE_US),
        false => ceiling_us(chunk.attempt, FIRST_CONFLICT_PAUSE_US, LONGEST_PAUSE_US),
    };
    pause.unsigned_abs()
}

/// How long the whole job waits while the server is in trouble, of which it has heard so often.
pub fn trouble_pause_us(times: u32) -> u64 {
    ceiling_us(times, FIRST_TROUBLE_PAUSE_US, LONGEST_PAUSE_US).unsigned_abs()
}

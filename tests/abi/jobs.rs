//! The tables of a job that stand for those of the database: one job, whose query returns two chunks.

use super::coordinator::step;
use super::shim::keep;
use super::worker::CHUNK_RECORDER;
use pg_aside::abi::*;
use pg_aside::bytes::{lend, slice};
use std::sync::Mutex;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waiting,
    Running,
    Done,
    Failed,
}

#[derive(Clone, Debug)]
struct Chunk {
    state: State,
    attempt: u32,
    failures: u32,
    /// How often a worker has committed it.
    done: u32,
}

#[derive(Debug)]
struct Job {
    is_cut: bool,
    is_over: bool,
    chunks: Vec<Chunk>,
}

/// The coordinator and its workers see the same.
static JOB: Mutex<Job> = Mutex::new(Job { is_cut: false, is_over: false, chunks: Vec::new() });

fn with<T>(work: impl FnOnce(&mut Job) -> T) -> T {
    work(&mut JOB.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

pub fn begin() {
    *CHUNK_RECORDER.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(record_chunk);
    with(|job| *job = Job { is_cut: false, is_over: false, chunks: Vec::new() });
}

pub fn is_over() -> bool {
    with(|job| job.is_over)
}

/// Each chunk was done, and none twice.
pub fn each_was_done_once() -> bool {
    with(|job| job.chunks.len() == 2 && job.chunks.iter().all(|chunk| chunk.state == State::Done && chunk.done == 1))
}

/// One array, there until the process ends.
fn all<T: 'static>(values: Vec<T>) -> (*const T, usize) {
    let values: &'static [T] = Vec::leak(values);
    (values.as_ptr(), values.len())
}

pub unsafe extern "C" fn load(
    jobs: *mut *const aside_job,
    njobs: *mut usize,
    chunks: *mut *const aside_chunk,
    nchunks: *mut usize,
) -> aside_status::Type {
    step("jobs: load", |_| {
        let (parts, nparts) = all(vec![lend(b"query"), lend(b"SELECT 1, 1")]);
        let (jobs_now, chunks_now) = with(|job| {
            let it = aside_job {
                id: 1,
                command: lend(b"echo"),
                parts,
                nparts,
                frontier: if job.is_cut { lend(b"q") } else { aside_bytes::default() },
                workers: 2,
                max_attempts: 9,
                lag_us: ASIDE_NO_TIME,
                lag_bytes: ASIDE_NO_TIME,
                sessions: ASIDE_NO_TIME,
                wal_rate: ASIDE_NO_TIME,
                load_milli: 1_000,
                window_from: ASIDE_NO_TIME,
                window_to: ASIDE_NO_TIME,
                cut: u32::from(job.is_cut),
                ..Default::default()
            };
            let open = (1..).zip(&job.chunks).filter(|(_, chunk)| matches!(chunk.state, State::Waiting | State::Running));
            let chunk = |(number, chunk): (i64, &Chunk)| aside_chunk {
                job: 1,
                number,
                low: lend(b"1"),
                high: lend(b"1"),
                attempt: chunk.attempt,
                failures: chunk.failures,
                begun: u32::from(chunk.state == State::Running),
                ..Default::default()
            };
            (if job.is_over { Vec::new() } else { vec![it] }, open.map(chunk).collect())
        });
        // SAFETY: writable.
        unsafe {
            (*jobs, *njobs) = all(jobs_now);
            (*chunks, *nchunks) = all(chunks_now);
        }
    })
}

fn apply(job: &mut Job, entry: &aside_job_entry) -> i64 {
    let is_open = |chunk: &Chunk| matches!(chunk.state, State::Waiting | State::Running);
    match entry.kind {
        aside_job_entry_kind::ASIDE_JOB_CUT if !job.is_cut => {
            let new = Chunk { state: State::Waiting, attempt: 0, failures: 0, done: 0 };
            job.chunks.resize(entry.ncuts, new);
            job.is_cut = entry.last != 0;
            return 1;
        }
        aside_job_entry_kind::ASIDE_JOB_OVER if !job.is_over && !job.chunks.iter().any(is_open) => {
            job.is_over = true;
            return 1;
        }
        aside_job_entry_kind::ASIDE_JOB_WAITS => return 1,
        _ => {}
    }
    let Some(chunk) = usize::try_from(entry.number - 1).ok().and_then(|index| job.chunks.get_mut(index)) else { return 0 };
    let runs = chunk.state == State::Running && chunk.attempt == entry.attempt;
    match entry.kind {
        aside_job_entry_kind::ASIDE_JOB_BEGUN if chunk.state == State::Waiting && chunk.attempt + 1 == entry.attempt => {
            (chunk.state, chunk.attempt) = (State::Running, entry.attempt);
        }
        aside_job_entry_kind::ASIDE_JOB_UNBEGUN if runs => chunk.state = State::Waiting,
        aside_job_entry_kind::ASIDE_JOB_ENDED if runs => {
            let waits = entry.fate == aside_chunk_fate::ASIDE_CHUNK_WAITS;
            (chunk.state, chunk.failures) = (if waits { State::Waiting } else { State::Failed }, entry.failures);
        }
        _ => return 0,
    }
    1
}

pub unsafe extern "C" fn record(entries: *const aside_job_entry, count: usize, numbers: *mut i64) -> aside_status::Type {
    // SAFETY: lent for this call.
    let entries = unsafe { slice(entries, count) };
    step("jobs: record", |_| {
        for (i, entry) in entries.iter().enumerate() {
            // SAFETY: it has room for `count`.
            unsafe { *numbers.add(i) = with(|job| apply(job, entry)) };
        }
    })
}

pub unsafe extern "C" fn measure(_: *const i64, count: usize, measured: *mut aside_measured, seconds: *mut i64) -> aside_status::Type {
    step("jobs: measure", |_| {
        // SAFETY: writable; `seconds` has room for `count`.
        unsafe {
            *measured = aside_measured::default();
            (0..count).for_each(|i| *seconds.add(i) = 0);
        }
    })
}

/// Whatever a worker has sent: the same bounds, about one row, and the frontier.
pub unsafe extern "C" fn row(_: aside_bytes, columns: *mut aside_bytes, count: usize) -> aside_status::Type {
    step("jobs: row", |_| {
        for (i, column) in [lend(b"1"), lend(b"1"), lend(b"1"), lend(b"q")].into_iter().take(count).enumerate() {
            // SAFETY: it has room for `count`.
            unsafe { *columns.add(i) = column };
        }
    })
}

/// A worker is about to commit this attempt.
fn record_chunk(its: aside_chunk_attempt) -> aside_status::Type {
    let current = with(|job| {
        let chunk = usize::try_from(its.number - 1).ok().and_then(|index| job.chunks.get_mut(index));
        let current = chunk.filter(|chunk| chunk.state == State::Running && i64::from(chunk.attempt) == its.attempt);
        current.map(|chunk| (chunk.state, chunk.done) = (State::Done, chunk.done + 1))
    });
    if current.is_some() { aside_status::ASIDE_OK } else { keep(b"40001", "not for this attempt any more") }
}

/// What the tables say.
pub fn shown() -> String {
    with(|job| format!("{job:?}"))
}

//! The core's `ChunkStore` over `aside_job_host`.

use crate::abi::*;
use crate::bytes::{lend, lend_optional, optional, slice};
use crate::host_call;
use crate::hosts::event::Events;
use crate::hosts::world::done;
use aside_core::chunk::cut::{Cut, Row};
use aside_core::chunk::host::{Chunk, Fate, Job, JobEntry};
use aside_core::chunk::part::{ChunkStore, JobKind};
use aside_core::chunk::throttle::{HeldBackBy, Measured, Throttle};
use aside_core::coordinator::host::Host;
use aside_core::definition::Standing;
use aside_core::definition::part::{Said, Store};
use aside_core::host::Saved;
use aside_core::lease::work::CommandResult;
use aside_core::memory::{self, NoMemory};
use aside_core::report::Field;
use aside_core::schedule::wait;

const WHAT: &str = "the jobs of a coordinator";
/// Columns of a row that a query of the core's returns.
const COLUMNS: usize = 4;

fn limit(of: i64) -> Option<i64> {
    (of != ASIDE_NO_TIME).then_some(of)
}

fn why(of: u32) -> Option<HeldBackBy> {
    match of {
        aside_job_wait::ASIDE_JOB_WAITS_LAG => Some(HeldBackBy::Lag),
        aside_job_wait::ASIDE_JOB_WAITS_SESSIONS => Some(HeldBackBy::Sessions),
        aside_job_wait::ASIDE_JOB_WAITS_WAL_RATE => Some(HeldBackBy::WalRate),
        aside_job_wait::ASIDE_JOB_WAITS_LOAD => Some(HeldBackBy::Load),
        aside_job_wait::ASIDE_JOB_WAITS_WINDOW => Some(HeldBackBy::Window),
        _ => None,
    }
}

fn wait(of: Option<HeldBackBy>) -> u32 {
    match of {
        None => aside_job_wait::ASIDE_JOB_WAITS_NOT,
        Some(HeldBackBy::Lag) => aside_job_wait::ASIDE_JOB_WAITS_LAG,
        Some(HeldBackBy::Sessions) => aside_job_wait::ASIDE_JOB_WAITS_SESSIONS,
        Some(HeldBackBy::WalRate) => aside_job_wait::ASIDE_JOB_WAITS_WAL_RATE,
        Some(HeldBackBy::Load) => aside_job_wait::ASIDE_JOB_WAITS_LOAD,
        Some(HeldBackBy::Window) => aside_job_wait::ASIDE_JOB_WAITS_WINDOW,
    }
}

/// # Safety
///
/// The text must be there.
unsafe fn owned(text: &aside_bytes) -> Result<Option<Vec<u8>>, NoMemory> {
    // SAFETY: as the caller promises.
    unsafe { optional(text) }.map(|text| memory::copy(text, WHAT)).transpose()
}

/// # Safety
///
/// The texts of the job, and its array of parts, must be there.
unsafe fn job(j: &aside_job) -> Result<Job, NoMemory> {
    // SAFETY: as the caller promises.
    let (command, frontier, parts) = unsafe { (owned(&j.command)?, owned(&j.frontier)?, slice(j.parts, j.nparts)) };
    // SAFETY: as the caller promises.
    let part = |part: &aside_bytes| unsafe { owned(part) }.map(Option::unwrap_or_default);
    let window = limit(j.window_from).zip(limit(j.window_to));
    Ok(Job {
        id: j.id,
        command: command.unwrap_or_default(),
        parts: memory::try_collect(parts.iter().map(part), WHAT)?,
        low_type: j.low_type,
        high_type: j.high_type,
        chunk_rows: u64::try_from(j.chunk_rows).ok().filter(|rows| *rows > 0),
        workers: j.workers,
        max_attempts: j.max_attempts,
        throttle: Throttle {
            lag_us: limit(j.lag_us),
            lag_bytes: limit(j.lag_bytes),
            sessions: limit(j.sessions),
            wal_rate: limit(j.wal_rate),
            load_milli: limit(j.load_milli),
            window,
        },
        follow: j.follow != 0,
        paused: j.paused != 0,
        ended: j.ended != 0,
        to_cancel: j.to_cancel != 0,
        cut: j.cut != 0,
        frontier,
        waits_for: why(j.waits_for),
        more: j.more != 0,
        failed: j.failed,
    })
}

/// # Safety
///
/// The texts of the chunk must be there.
unsafe fn chunk(c: &aside_chunk) -> Result<Chunk, NoMemory> {
    // SAFETY: as the caller promises.
    let (low, high) = unsafe { (owned(&c.low)?, owned(&c.high)?) };
    let cut = Cut { low, high, rows: u64::try_from(c.rows).unwrap_or(0) };
    Ok(Chunk { job: c.job, number: c.number, cut, attempt: c.attempt, failures: c.failures, begun: c.begun != 0 })
}

fn lent_cut(cut: &Cut, failures: u32) -> aside_chunk_cut {
    let rows = i64::try_from(cut.rows).unwrap_or(i64::MAX);
    aside_chunk_cut { low: lend_optional(cut.low.as_deref()), high: lend_optional(cut.high.as_deref()), rows, failures, reserved: 0 }
}

/// The new chunks of an entry.
fn lent_cuts(entry: &JobEntry) -> Result<Vec<aside_chunk_cut>, NoMemory> {
    match entry {
        JobEntry::Cut { cuts, .. } => memory::collect(cuts.iter().map(|cut| lent_cut(cut, 0)), WHAT),
        JobEntry::Split { parts, failures, .. } => {
            memory::collect(parts.iter().zip(failures).map(|(part, failures)| lent_cut(part, *failures)), WHAT)
        }
        _ => Ok(Vec::new()),
    }
}

/// An entry as C reads it.
fn lent<'e>(entry: &'e JobEntry, cuts: &'e [aside_chunk_cut], said: Option<&'e CommandResult>) -> aside_job_entry {
    let of = |kind| aside_job_entry {
        kind,
        job: entry.job(),
        number: entry.number().unwrap_or(0),
        cuts: cuts.as_ptr(),
        ncuts: cuts.len(),
        finished: ASIDE_NO_TIME,
        ..Default::default()
    };
    let with_error = |entry: aside_job_entry| {
        let Some(said) = said else { return entry };
        let text = |field| lend_optional(said.error.as_ref().and_then(|error| error.get(field)));
        aside_job_entry {
            pid: said.pid,
            finished: said.finished,
            sqlstate: said.error.as_ref().map_or(0, |error| error.sqlstate),
            message: text(Field::Message),
            detail: text(Field::Detail),
            hint: text(Field::Hint),
            context: text(Field::Context),
            ..entry
        }
    };
    match entry {
        JobEntry::Cut { from, frontier, last, .. } => aside_job_entry {
            from: lend_optional(from.as_deref()),
            frontier: lend_optional(frontier.as_deref()),
            last: (*last).into(),
            ..of(aside_job_entry_kind::ASIDE_JOB_CUT)
        },
        JobEntry::Begun { attempt, .. } => aside_job_entry { attempt: *attempt, ..of(aside_job_entry_kind::ASIDE_JOB_BEGUN) },
        JobEntry::Unbegun { attempt, .. } => aside_job_entry { attempt: *attempt, ..of(aside_job_entry_kind::ASIDE_JOB_UNBEGUN) },
        JobEntry::Ended { attempt, failures, fate, .. } => with_error(aside_job_entry {
            attempt: *attempt,
            failures: *failures,
            fate: match fate {
                Fate::Waits => aside_chunk_fate::ASIDE_CHUNK_WAITS,
                Fate::Failed => aside_chunk_fate::ASIDE_CHUNK_FAILED,
                Fate::JobFailed => aside_chunk_fate::ASIDE_CHUNK_JOB_FAILED,
            },
            ..of(aside_job_entry_kind::ASIDE_JOB_ENDED)
        }),
        JobEntry::GivenUp { .. } => of(aside_job_entry_kind::ASIDE_JOB_GIVEN_UP),
        JobEntry::Split { .. } => of(aside_job_entry_kind::ASIDE_JOB_SPLIT),
        JobEntry::Waits { why, .. } => aside_job_entry { fate: wait(*why), ..of(aside_job_entry_kind::ASIDE_JOB_WAITS) },
        JobEntry::Over { .. } => of(aside_job_entry_kind::ASIDE_JOB_OVER),
        JobEntry::Broken { .. } => with_error(of(aside_job_entry_kind::ASIDE_JOB_BROKEN)),
    }
}

impl Store<JobKind> for Events<'_> {
    fn load(&self) -> Result<(Vec<Job>, Vec<Chunk>), Saved> {
        let (mut jobs, mut njobs, mut chunks, mut nchunks) = (std::ptr::null(), 0, std::ptr::null(), 0);
        done(host_call!(self.jobs, load(&mut jobs, &mut njobs, &mut chunks, &mut nchunks)))?;
        let no = |no| self.no_memory(no);
        // SAFETY: on ASIDE_OK the shim lends the array, and what it refers to, until its next call.
        let jobs = memory::try_collect(unsafe { slice(jobs, njobs) }.iter().map(|j| unsafe { job(j) }), WHAT).map_err(no)?;
        // SAFETY: as above.
        let chunks = memory::try_collect(unsafe { slice(chunks, nchunks) }.iter().map(|c| unsafe { chunk(c) }), WHAT).map_err(no)?;
        Ok((jobs, chunks))
    }
    fn standing(&self, jobs: &[i64]) -> Result<Vec<Standing>, Saved> {
        let no = |no| self.no_memory(no);
        let mut out = Vec::new();
        memory::extend(&mut out, jobs.len(), aside_standing::default(), WHAT).map_err(no)?;
        done(host_call!(self.jobs, standing(jobs.as_ptr(), jobs.len(), out.as_mut_ptr())))?;
        memory::collect(out.iter().map(crate::hosts::event::standing), WHAT).map_err(no)
    }
    fn record(&self, entries: &[JobEntry], said: &Said) -> Result<Vec<i64>, Saved> {
        let no = |no| self.no_memory(no);
        let of = |entry: &JobEntry| entry.lease().and_then(|lease| said.get(&lease)).map(|said| &**said);
        let cuts = memory::try_collect(entries.iter().map(lent_cuts), WHAT).map_err(no)?;
        let all = memory::collect(entries.iter().zip(&cuts).map(|(entry, cuts)| lent(entry, cuts, of(entry))), WHAT).map_err(no)?;
        let mut numbers = Vec::new();
        memory::extend(&mut numbers, all.len(), 0, WHAT).map_err(no)?;
        done(host_call!(self.jobs, record(all.as_ptr(), all.len(), numbers.as_mut_ptr())))?;
        Ok(numbers)
    }
    fn wake_waiters(&self, job: Option<i64>) {
        wait::tell(&self.h, &self.registry.waiters, self.c.database, job);
    }
}

impl ChunkStore for Events<'_> {
    fn database(&self) -> u32 {
        self.c.database
    }
    fn measure(&self, jobs: &[i64]) -> Result<(Measured, Vec<i64>), Saved> {
        let (mut measured, mut seconds) = (aside_measured::default(), Vec::new());
        memory::extend(&mut seconds, jobs.len(), 0, WHAT).map_err(|no| self.no_memory(no))?;
        done(host_call!(self.jobs, measure(jobs.as_ptr(), jobs.len(), &mut measured, seconds.as_mut_ptr())))?;
        let aside_measured { lag_us, lag_bytes, sessions, wal, load_milli } = measured;
        Ok((Measured { lag_us, lag_bytes, sessions, wal, load_milli }, seconds))
    }
    fn row(&self, sent: &[u8]) -> Result<Row, Saved> {
        let mut columns = [aside_bytes::default(); COLUMNS];
        done(host_call!(self.jobs, row(lend(sent), columns.as_mut_ptr(), columns.len())))?;
        // SAFETY: on ASIDE_OK the shim lends the texts until its next call.
        memory::try_collect(columns.iter().map(|column| unsafe { owned(column) }), WHAT).map_err(|no| self.no_memory(no))
    }
}

//! What the part of a coordinator that runs jobs in chunks has of its own; see [`crate::definition::part`].

use super::book::JobBook;
use super::cut::{Row, Split};
use super::host::{Chunk, ChunkHost, End, Job, JobEntry, JobErrand};
use super::throttle::Measured;
use crate::async_event::backoff;
use crate::coordinator::host::Host;
use crate::coordinator::runner::{Runner, Work};
use crate::coordinator::topics::Topics;
use crate::definition::Standing;
use crate::definition::part::{DefinitionKind, DefinitionPart, Runs, StepView, Store};
use crate::host::{Arg, ArgForm, Bounds, Saved};
use crate::lease::work::{CommandEnd, CommandResult, LeaseUpdate};
use crate::memory::{self, NoMemory};
use crate::report::{Report, STATEMENT_TOO_COMPLEX};
use crate::wire::frame::{self, Kind};

const WHAT: &str = "the jobs of a coordinator";
/// So much of what a step returns is read.
const ROW_BYTES: u32 = 32 << 20;

/// What a database offers to its jobs, beside what it offers to all definitions. See [`ChunkHost`].
pub trait ChunkStore: Store<JobKind> {
    /// The OID of the coordinator's database.
    fn database(&self) -> u32 {
        0
    }
    fn measure(&self, jobs: &[i64]) -> Result<(Measured, Vec<i64>), Saved> {
        _ = jobs;
        Err(Saved)
    }
    /// A row that a worker has sent; its columns are text.
    fn row(&self, sent: &[u8]) -> Result<Row, Saved> {
        _ = sent;
        Err(Saved)
    }
}

#[derive(Default)]
pub struct JobKind;

impl DefinitionKind for JobKind {
    type Definition = Job;
    type Row = Chunk;
    type Entry = JobEntry;
    type End = End;
    type Book = JobBook;
    const NAME: &'static str = "jobs";
    const TOPIC: Topics = Topics::JOBS;
    const IS_URGENT: bool = false;

    fn lease(entry: &JobEntry) -> Option<u64> {
        entry.lease()
    }
    fn ended(entry: &JobEntry, answer: i64) -> Option<i64> {
        (entry.ends_job() && answer > 0).then(|| entry.job())
    }
}

/// What names an attempt to its worker: see `aside_chunk_attempt` in aside_abi.h.
fn attempt_name(chunk: &Chunk) -> [u8; 24] {
    let mut name = [0; 24];
    for (to, from) in name.chunks_exact_mut(8).zip([chunk.job, chunk.number, i64::from(chunk.attempt)]) {
        to.copy_from_slice(&from.to_ne_bytes());
    }
    name
}

fn bound(type_oid: u32, bound: Option<&[u8]>) -> Arg<'_> {
    let form = if bound.is_some() { ArgForm::Text } else { ArgForm::Null };
    Arg { type_oid, form, data: bound.unwrap_or_default() }
}

/// The query of a step or a division. None: there is nothing to ask.
fn query(job: &Job, errand: &JobErrand) -> Result<Option<Vec<u8>>, NoMemory> {
    let Some(splitter) = job.splitter() else { return Ok(None) };
    match errand {
        JobErrand::Step { rows, chunks } => splitter.step(job.frontier.as_deref(), *rows, *chunks).map(Some),
        JobErrand::Halves(cut) => splitter.halves(cut),
        JobErrand::Run(_) => Ok(None),
    }
}

impl<H: ChunkStore + Host + Runner> ChunkHost for StepView<'_, '_, H, JobKind> {
    fn now_us(&self) -> u64 {
        self.host.now_us()
    }
    fn measure(&self, jobs: &[i64]) -> Result<(Measured, Vec<i64>), Saved> {
        self.host.measure(jobs)
    }
    /// Where others wait for a worker, jobs have one at most.
    fn room(&self, owner: Standing, leases: usize) -> Result<bool, Saved> {
        let Standing::Acts { owner, superuser } = owner else { return Ok(false) };
        if self.without.get() || leases > 0 && self.others_wait() {
            return Ok(false);
        }
        self.look_for(owner, superuser)
    }
    fn start(&self, job: &Job, errand: &JobErrand, owner: Standing) -> Result<Option<u64>, Saved> {
        let Standing::Acts { owner, superuser } = owner else { return Ok(None) };
        let text = query(job, errand).map_err(|no| self.host.no_memory(no))?;
        match (errand, &text) {
            (JobErrand::Run(chunk), _) => {
                let bounds = [bound(job.low_type, chunk.cut.low.as_deref()), bound(job.high_type, chunk.cut.high.as_deref())];
                let work = Work::Chunk { owner, superuser, text: &job.command, bounds: &bounds, attempt: &attempt_name(chunk) };
                self.start_work(owner, &work)
            }
            (_, Some(text)) => {
                let keep = Bounds { row_bytes: ROW_BYTES, message_bytes: 0 };
                let work = Work::Command { database: self.host.database(), owner, superuser, text, timeout_ms: 0, keep };
                self.start_work(owner, &work)
            }
            // A chunk that cannot be divided: as if a worker had returned no rows.
            (_, None) => Ok(self.end_at_once(job.id, End::Done { took_us: 0, rows: Vec::new() }, None)),
        }
    }
}

/// How a worker's command ended, and what is kept of it.
fn ended<H: ChunkStore>(host: &H, mut result: Box<CommandResult>) -> (End, Option<Box<CommandResult>>) {
    let code = result.error.as_ref().map_or(0, |error| error.sqlstate);
    let took_us = result.finished.saturating_sub(result.started).max(0).unsigned_abs();
    match result.end {
        CommandEnd::Done => match rows(host, &result) {
            Ok(Some(rows)) => (End::Done { took_us, rows }, None),
            Ok(None) => {
                result.error = Some(Report::error(STATEMENT_TOO_COMPLEX, "the query of a job's chunks returns too many of them"));
                (End::Failed { sqlstate: STATEMENT_TOO_COMPLEX }, Some(result))
            }
            Err(Saved) => (End::Lost, None),
        },
        CommandEnd::Failed | CommandEnd::TimedOut => (End::Failed { sqlstate: code }, Some(result)),
        CommandEnd::Cancelled => (End::Cancelled, Some(result)),
        CommandEnd::Lost => (End::Lost, Some(result)),
    }
}

/// The rows that a query has returned; of a chunk none. None: some are missing.
fn rows<H: ChunkStore>(host: &H, result: &CommandResult) -> Result<Option<Vec<Row>>, Saved> {
    let (mut left, mut rows) = (result.kept_rows.as_slice(), Vec::new());
    if left.is_empty() {
        return Ok(Some(rows));
    }
    while let Some((kind, length, payload, rest)) = frame::split_first(left) {
        if kind == Kind::Row {
            let row = host.row(payload.get(..length).ok_or(Saved)?)?;
            memory::push(&mut rows, row, WHAT).map_err(|_| Saved)?;
        }
        left = rest;
    }
    let all = result.rows.is_none_or(|count| count == rows.len() as u64);
    Ok(all.then_some(rows))
}

impl<H: ChunkStore + Host + Runner> Runs<H> for JobKind {
    fn heard(host: &H, _: i64, said: LeaseUpdate) -> Option<(End, Option<Box<CommandResult>>)> {
        match said {
            LeaseUpdate::Ended(result) => Some(ended(host, result)),
            LeaseUpdate::Refused { sqlstate, .. } if backoff::refusal_counts(sqlstate) => Some((End::Refused, None)),
            LeaseUpdate::Lost { begun } if begun > 0 => Some((End::Lost, None)),
            LeaseUpdate::Refused { .. } | LeaseUpdate::Lost { .. } | LeaseUpdate::Over => Some((End::Unbegun, None)),
            LeaseUpdate::Began { .. } | LeaseUpdate::Batch(..) | LeaseUpdate::TimedOut { .. } => None,
        }
    }

    fn step(book: &mut JobBook, view: &StepView<'_, '_, H, Self>) -> Result<u64, Saved> {
        book.step(view)
    }
}

/// The jobs of a coordinator's database.
pub type Jobs = DefinitionPart<JobKind>;

//! The part of a coordinator that runs jobs in chunks. It keeps the book, and tells the book what workers say.

use super::book::Book;
use super::cut::{Row, Split};
use super::host::{Chunk, ChunkHost, End, Entry, Errand, Job, LOCKED, Outcome};
use super::throttle::Measured;
use crate::async_event::backoff;
use crate::coordinator::host::Host;
use crate::coordinator::part::{Context, Part};
use crate::coordinator::runner::{Runner, Work};
use crate::coordinator::topics::Topics;
use crate::definition::Standing;
use crate::host::{Arg, ArgForm, Bounds, Saved};
use crate::lease::work::{CommandEnd, CommandResult, LeaseUpdate};
use crate::memory::{self, NoMemory};
use crate::report::{Report, STATEMENT_TOO_COMPLEX};
use crate::wire::frame::{self, Kind};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

const WHAT: &str = "the jobs of a coordinator";
/// So much of what a step returns is read.
const ROW_BYTES: u32 = 32 << 20;

/// What a database offers to its jobs, beside what is common to all parts. See [`ChunkHost`]. A world without jobs need not
/// say anything.
pub trait ChunkStore {
    /// The OID of the coordinator's database.
    fn database(&self) -> u32 {
        0
    }
    fn load(&self) -> Result<(Vec<Job>, Vec<Chunk>), Saved> {
        Ok((Vec::new(), Vec::new()))
    }
    fn standing(&self, jobs: &[i64]) -> Result<Vec<Standing>, Saved> {
        _ = jobs;
        Err(Saved)
    }
    /// What workers have said of the leases that entries name goes along.
    fn record(&self, entries: &[Entry], said: &BTreeMap<u64, Box<CommandResult>>) -> Result<Vec<i64>, Saved> {
        _ = (entries, said);
        Err(Saved)
    }
    fn measure(&self, jobs: &[i64]) -> Result<(Measured, Vec<i64>), Saved> {
        _ = jobs;
        Err(Saved)
    }
    /// Wake who waits for this job, which has ended; None: any job may have.
    fn wake_waiters(&self, job: Option<i64>) {
        _ = job;
    }
    /// A row that a worker has sent; its columns are text.
    fn row(&self, sent: &[u8]) -> Result<Row, Saved> {
        _ = sent;
        Err(Saved)
    }
}

/// The jobs of a coordinator's database.
#[derive(Default)]
pub struct Jobs {
    book: Book,
    /// What was heard of leases, until it is written down.
    said: BTreeMap<u64, Box<CommandResult>>,
    outcomes: RefCell<Vec<Outcome>>,
    /// The monotonic clock, when the next step is needed.
    step_at: u64,
}

/// One step's view of the world.
struct View<'v, 'c, H> {
    cx: RefCell<&'v mut Context<'c, H>>,
    host: &'c H,
    said: RefCell<&'v mut BTreeMap<u64, Box<CommandResult>>>,
    outcomes: &'v RefCell<Vec<Outcome>>,
    /// There was no worker in this step.
    none: Cell<bool>,
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
fn query(job: &Job, errand: &Errand) -> Result<Option<Vec<u8>>, NoMemory> {
    let Some(splitter) = job.splitter() else { return Ok(None) };
    match errand {
        Errand::Step { rows, chunks } => splitter.step(job.frontier.as_deref(), *rows, *chunks).map(Some),
        Errand::Halves(cut) => splitter.halves(cut),
        Errand::Run(_) => Ok(None),
    }
}

impl<H: ChunkStore + Host + Runner> ChunkHost for View<'_, '_, H> {
    fn now_us(&self) -> u64 {
        self.host.now_us()
    }
    fn load(&self) -> Result<(Vec<Job>, Vec<Chunk>), Saved> {
        let loaded = self.host.load()?;
        // A user may have cancelled or dropped a job.
        self.host.wake_waiters(None);
        Ok(loaded)
    }
    fn standing(&self, jobs: &[i64]) -> Result<Vec<Standing>, Saved> {
        self.host.standing(jobs)
    }
    fn record(&self, entries: &[Entry]) -> Result<Vec<i64>, Saved> {
        let mut said = self.said.borrow_mut();
        let numbers = self.host.record(entries, &said)?;
        for (entry, number) in entries.iter().zip(&numbers) {
            if let Some(lease) = entry.lease().filter(|_| *number != LOCKED) {
                said.remove(&lease);
            }
            if entry.ends_job() && *number > 0 {
                self.host.wake_waiters(Some(entry.job()));
            }
        }
        Ok(numbers)
    }
    fn measure(&self, jobs: &[i64]) -> Result<(Measured, Vec<i64>), Saved> {
        self.host.measure(jobs)
    }
    /// Where others wait for a worker, jobs have one at most.
    fn room(&self, owner: Standing, leases: usize) -> Result<bool, Saved> {
        let Standing::Acts { owner, superuser } = owner else { return Ok(false) };
        let mut cx = self.cx.borrow_mut();
        if self.none.get() || leases > 0 && cx.others_wait() {
            return Ok(false);
        }
        cx.look_for(owner, superuser)
    }
    fn start(&self, job: &Job, errand: &Errand, owner: Standing) -> Result<Option<u64>, Saved> {
        let Standing::Acts { owner, superuser } = owner else { return Ok(None) };
        let mut cx = self.cx.borrow_mut();
        let text = query(job, errand).map_err(|no| self.host.no_memory(no))?;
        let started = match (errand, &text) {
            (Errand::Run(chunk), _) => {
                let bounds = [bound(job.low_type, chunk.cut.low.as_deref()), bound(job.high_type, chunk.cut.high.as_deref())];
                let work = Work::Chunk { owner, superuser, text: &job.command, bounds: &bounds, attempt: &attempt_name(chunk) };
                cx.start(owner, &work)?
            }
            (_, Some(text)) => {
                let keep = Bounds { row_bytes: ROW_BYTES, message_bytes: 0 };
                let work = Work::Command { database: self.host.database(), owner, superuser, text, timeout_ms: 0, keep };
                cx.start(owner, &work)?
            }
            // A chunk that cannot be divided.
            (_, None) => return Ok(self.nothing(job.id)),
        };
        self.none.set(started.is_none());
        Ok(started)
    }
    fn cancel(&self, lease: u64) {
        self.host.cancel(lease);
    }
    fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.take()
    }
}

/// No lease of a worker has such a number.
const NO_WORKER: u64 = 1 << 63;

impl<H: Host> View<'_, '_, H> {
    /// There is nothing to ask a worker: it is as if one had returned no rows.
    fn nothing(&self, job: i64) -> Option<u64> {
        let lease = NO_WORKER | job.unsigned_abs();
        let end = End::Done { took_us: 0, rows: Vec::new() };
        memory::push(&mut self.outcomes.borrow_mut(), Outcome { lease, end }, WHAT).ok().map(|()| lease)
    }
}

impl Jobs {
    fn heard(&mut self, lease: u64, end: End, result: Option<Box<CommandResult>>) {
        #[expect(clippy::disallowed_methods, reason = "a node of a tree for each lease")]
        if let Some(result) = result {
            self.said.insert(lease, result);
        }
        if memory::push(self.outcomes.get_mut(), Outcome { lease, end }, WHAT).is_err() {
            self.said.remove(&lease);
            self.book.lose(lease);
        }
        self.step_at = 0;
    }

    fn ended<H: ChunkStore>(&mut self, host: &H, lease: u64, mut result: Box<CommandResult>) {
        let code = result.error.as_ref().map_or(0, |error| error.sqlstate);
        let took_us = result.finished.saturating_sub(result.started).max(0).unsigned_abs();
        match result.end {
            CommandEnd::Done => match rows(host, &result) {
                Ok(Some(rows)) => self.heard(lease, End::Done { took_us, rows }, None),
                Ok(None) => {
                    result.error = Some(Report::error(STATEMENT_TOO_COMPLEX, "the query of a job's chunks returns too many of them"));
                    self.heard(lease, End::Failed { sqlstate: STATEMENT_TOO_COMPLEX }, Some(result));
                }
                Err(Saved) => self.heard(lease, End::Lost, None),
            },
            CommandEnd::Failed | CommandEnd::TimedOut => self.heard(lease, End::Failed { sqlstate: code }, Some(result)),
            CommandEnd::Cancelled => self.heard(lease, End::Cancelled, Some(result)),
            CommandEnd::Lost => self.heard(lease, End::Lost, Some(result)),
        }
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

impl<H: ChunkStore + Host + Runner> Part<H> for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn is_urgent(&self) -> bool {
        false
    }

    fn tell(&mut self, topics: Topics) {
        if topics.has(Topics::HANDLERS) || topics.has(Topics::JOBS) {
            self.book.reload();
            self.step_at = 0;
        }
    }

    fn hear(&mut self, cx: &mut Context<'_, H>, lease: u64, said: LeaseUpdate) {
        match said {
            LeaseUpdate::Ended(result) => self.ended(cx.host, lease, result),
            LeaseUpdate::Refused { sqlstate, .. } => {
                let end = if backoff::refusal_counts(sqlstate) { End::Refused } else { End::Unbegun };
                self.heard(lease, end, None);
            }
            LeaseUpdate::Lost { begun } => self.heard(lease, if begun > 0 { End::Lost } else { End::Unbegun }, None),
            LeaseUpdate::Over => self.heard(lease, End::Unbegun, None),
            LeaseUpdate::Began { .. } | LeaseUpdate::Batch(..) | LeaseUpdate::TimedOut { .. } => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        let host = cx.host;
        if host.now_us() < self.step_at {
            return Ok(());
        }
        let view =
            View { host, cx: RefCell::new(cx), said: RefCell::new(&mut self.said), outcomes: &self.outcomes, none: Cell::new(false) };
        // What failed is tried again when the next turn comes.
        self.step_at = 0;
        let wait = self.book.step(&view)?;
        let more = !self.outcomes.borrow().is_empty();
        self.step_at = if more { 0 } else { host.now_us().saturating_add(wait) };
        Ok(())
    }

    fn wait_us(&self, host: &H) -> u64 {
        self.step_at.saturating_sub(host.now_us())
    }

    fn rests(&self, _: &H) -> Option<u64> {
        (self.book.rests() && self.outcomes.borrow().is_empty()).then_some(u64::MAX)
    }

    /// Chunks end with their coordinator. The next coordinator finds that they were lost, unless they are done.
    fn close(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        self.book.leases().for_each(|lease| _ = cx.host.cancel(lease));
        Ok(())
    }
}

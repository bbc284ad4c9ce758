//! The part of a coordinator that runs schedules. It keeps the book, and tells the book what workers say of the commands.

use super::book::Book;
use super::host::{AttemptEnd, LOCKED, Record, Run, Schedule, ScheduleHost};
use super::zone::Zone;
use crate::async_event::backoff;
use crate::coordinator::host::Host;
use crate::coordinator::part::{Context, Part};
use crate::coordinator::runner::{Runner, Work};
use crate::coordinator::topics::Topics;
use crate::definition::Standing;
use crate::host::{Bounds, Saved};
use crate::lease::work::{CommandEnd, CommandResult, LeaseUpdate};
use crate::memory::{self, NoMemory};
use crate::report::{Field, Report, Severity, sqlstate};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// This many bytes of what a command prints are kept.
const MESSAGES: u32 = 16 * 1024;
/// How many leases the part asks for at a time: at first, and at most.
const FIRST_WINDOW: usize = 4;
const WIDEST: usize = 64;

/// The command of a run, and the database in which it runs.
#[derive(Debug, Default)]
pub struct Command {
    pub database: u32,
    pub text: Vec<u8>,
    pub timeout_ms: u32,
    /// Why commands of the schedule's owner may not run in that database now.
    pub refusal: Option<Box<Report>>,
}

/// What a database offers to its schedules, beside what is common to all parts. See [`ScheduleHost`]. A world without
/// schedules need not say anything.
pub trait ScheduleStore {
    fn started(&self) -> i64 {
        0
    }
    fn zone(&self, name: &[u8]) -> Option<Box<dyn Zone + '_>> {
        _ = name;
        None
    }
    fn load(&self) -> Result<(Vec<Schedule>, Vec<Run>), Saved> {
        Ok((Vec::new(), Vec::new()))
    }
    fn standing(&self, schedules: &[i64]) -> Result<Vec<Standing>, Saved> {
        _ = schedules;
        Err(Saved)
    }
    /// `said`: what workers have said of the leases that the entries name.
    fn record(&self, entries: &[Record], said: &BTreeMap<u64, Box<CommandResult>>) -> Result<Vec<i64>, Saved> {
        _ = (entries, said);
        Err(Saved)
    }
    /// Wake who waits for this run, which has ended; None: any run may have.
    fn wake_waiters(&self, run: Option<i64>) {
        _ = run;
    }
    /// None: its schedule is no more.
    fn command(&self, run: i64) -> Result<Option<Command>, Saved> {
        _ = run;
        Ok(None)
    }
}

/// What is known of a command that could not begin.
fn unbegun(error: Option<Report>, now: i64) -> CommandResult {
    CommandResult {
        end: CommandEnd::Failed,
        pid: 0,
        started: now,
        finished: now,
        rows: None,
        tag: None,
        committed: 0,
        error,
        kept_rows: Vec::new(),
        messages: Vec::new(),
        dropped: 0,
    }
}

/// What a command printed, a line for each message.
pub fn printed(ended: &CommandResult) -> Result<Vec<u8>, NoMemory> {
    const WHAT: &str = "what a command printed";
    let mut all = Vec::new();
    for message in &ended.messages {
        let severity: &[u8] = match message.severity {
            Severity::Debug => b"DEBUG",
            Severity::Log => b"LOG",
            Severity::Info => b"INFO",
            Severity::Notice => b"NOTICE",
            _ => b"WARNING",
        };
        let separator: &[u8] = if all.is_empty() { b"" } else { b"\n" };
        for part in [separator, severity, b": ", message.get(Field::Message).unwrap_or_default()] {
            memory::append(&mut all, part, WHAT)?;
        }
    }
    if ended.dropped > 0 {
        memory::append(&mut all, format!("\n({} more)", ended.dropped).as_bytes(), WHAT)?;
    }
    Ok(all)
}

/// The schedules of a coordinator's database.
pub struct Schedules {
    book: Book,
    /// What was heard of runs, until it is written down.
    said: BTreeMap<u64, Box<CommandResult>>,
    outcomes: RefCell<Vec<AttemptEnd>>,
    /// Leases at a time: as many as there are workers, by experience.
    window: Cell<usize>,
    /// The monotonic clock, when the next step is needed.
    step_at: u64,
}

impl Default for Schedules {
    fn default() -> Self {
        let window = Cell::new(FIRST_WINDOW);
        Self { book: Book::default(), said: BTreeMap::new(), outcomes: RefCell::default(), window, step_at: 0 }
    }
}

/// One step's view of the world.
struct View<'v, 'c, H> {
    cx: RefCell<&'v mut Context<'c, H>>,
    host: &'c H,
    said: RefCell<&'v mut BTreeMap<u64, Box<CommandResult>>>,
    outcomes: &'v RefCell<Vec<AttemptEnd>>,
    window: &'v Cell<usize>,
    leases: Cell<usize>,
}

impl<'c, H: ScheduleStore + Host + Runner> ScheduleHost for View<'_, 'c, H> {
    type Zone = Box<dyn Zone + 'c>;

    fn timestamp(&self) -> i64 {
        self.host.timestamp()
    }
    fn started(&self) -> i64 {
        self.host.started()
    }
    fn zone(&self, name: &[u8]) -> Option<Box<dyn Zone + 'c>> {
        self.host.zone(name)
    }
    fn load(&self) -> Result<(Vec<Schedule>, Vec<Run>), Saved> {
        let loaded = self.host.load()?;
        // A user may have dropped a schedule, with its runs.
        self.host.wake_waiters(None);
        Ok(loaded)
    }
    fn standing(&self, schedules: &[i64]) -> Result<Vec<Standing>, Saved> {
        self.host.standing(schedules)
    }
    fn record(&self, entries: &[Record]) -> Result<Vec<i64>, Saved> {
        let mut said = self.said.borrow_mut();
        let numbers = self.host.record(entries, &said)?;
        for (entry, number) in entries.iter().zip(&numbers) {
            if let Record::Ended { run, lease, last, .. } = entry
                && *number != LOCKED
            {
                lease.iter().for_each(|lease| _ = said.remove(lease));
                if *last {
                    self.host.wake_waiters(Some(*run));
                }
            }
        }
        Ok(numbers)
    }
    fn room(&self) -> usize {
        self.window.get().saturating_sub(self.leases.get())
    }
    fn start(&self, run: &Run, owner: Standing) -> Result<Option<u64>, Saved> {
        let Standing::Acts { owner, superuser } = owner else { return Ok(None) };
        let Some(command) = self.host.command(run.id)? else { return Ok(None) };
        if let Some(refusal) = command.refusal {
            return Ok(self.nowhere(run.id, *refusal));
        }
        let keep = Bounds { row_bytes: 0, message_bytes: MESSAGES };
        let work =
            Work::Command { database: command.database, owner, superuser, text: &command.text, timeout_ms: command.timeout_ms, keep };
        let started = self.cx.borrow_mut().start(owner, &work)?;
        match started {
            Some(_) => {
                self.leases.set(self.leases.get() + 1);
                self.window.set(self.window.get().max(self.leases.get() + 1).min(WIDEST));
            }
            None => self.window.set(self.leases.get().max(1)),
        }
        Ok(started)
    }
    fn cancel(&self, lease: u64) {
        self.host.cancel(lease);
    }
    fn outcomes(&self) -> Vec<AttemptEnd> {
        self.outcomes.take()
    }
}

impl<H: Host> View<'_, '_, H> {
    /// The command may not run in its database. The run ends with that error, as if a lease of this number had said so.
    fn nowhere(&self, run: i64, report: Report) -> Option<u64> {
        let lease = NOWHERE | run.unsigned_abs();
        #[expect(clippy::disallowed_methods, reason = "a node of a tree for each lease")]
        self.said.borrow_mut().insert(lease, Box::new(unbegun(Some(report), self.host.timestamp())));
        memory::push(&mut self.outcomes.borrow_mut(), AttemptEnd { lease, end: Some(CommandEnd::Failed) }, "ends of scheduled runs")
            .ok()
            .map(|()| lease)
    }
}

/// No lease of a worker has such a number.
const NOWHERE: u64 = 1 << 63;

const NO_SUCH_DATABASE: u32 = sqlstate(b"3D000");

impl Schedules {
    fn heard(&mut self, lease: u64, end: Option<CommandEnd>, ended: Option<Box<CommandResult>>) {
        #[expect(clippy::disallowed_methods, reason = "a node of a tree for each lease")]
        if let Some(ended) = ended {
            self.said.insert(lease, ended);
        }
        if memory::push(self.outcomes.get_mut(), AttemptEnd { lease, end }, "ends of scheduled runs").is_err() {
            self.said.remove(&lease);
            self.book.lose(lease);
        }
        self.step_at = 0;
    }

    /// A worker refused the run. The refusal counts as an attempt if the owner or the database must be changed to cure it.
    fn refused(&mut self, lease: u64, code: u32, message: Vec<u8>, now: i64) {
        if !(backoff::refusal_counts(code) || code == NO_SUCH_DATABASE) {
            return self.heard(lease, None, None);
        }
        let mut texts = message.splitn(2, |byte| *byte == 0);
        let text = texts.next().unwrap_or_default();
        let report = memory::copy(text, "an error").map(|text| Report::error(code, text)).ok();
        self.heard(lease, Some(CommandEnd::Failed), Some(Box::new(unbegun(report, now))));
    }
}

impl<H: ScheduleStore + Host + Runner> Part<H> for Schedules {
    fn name(&self) -> &'static str {
        "schedules"
    }

    fn tell(&mut self, topics: Topics) {
        if topics.has(Topics::HANDLERS) || topics.has(Topics::SCHEDULES) {
            self.book.reload();
            self.step_at = 0;
        }
    }

    fn hear(&mut self, cx: &mut Context<'_, H>, lease: u64, said: LeaseUpdate) {
        match said {
            LeaseUpdate::Ended(ended) => self.heard(lease, Some(ended.end), Some(ended)),
            LeaseUpdate::Refused { sqlstate, message } => self.refused(lease, sqlstate, message, cx.began),
            LeaseUpdate::Lost { begun } => self.heard(lease, (begun > 0).then_some(CommandEnd::Lost), None),
            LeaseUpdate::Over => self.heard(lease, None, None),
            LeaseUpdate::Began { pid, at } => {
                self.book.began(lease, pid, at);
                self.step_at = 0;
            }
            LeaseUpdate::Batch(..) | LeaseUpdate::TimedOut { .. } => {}
        }
    }

    fn step(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        let host = cx.host;
        let now = host.now_us();
        if now < self.step_at {
            return Ok(());
        }
        let leases = Cell::new(self.book.leases().count());
        let view =
            View { host, cx: RefCell::new(cx), said: RefCell::new(&mut self.said), outcomes: &self.outcomes, window: &self.window, leases };
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

    /// Runs end with their coordinator. The next coordinator finds that they were lost.
    fn close(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        for lease in self.book.leases() {
            cx.host.cancel(lease);
        }
        Ok(())
    }
}

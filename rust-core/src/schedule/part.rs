//! What the part of a coordinator that runs schedules has of its own; see [`crate::definition::part`].

use super::book::ScheduleBook;
use super::host::{Run, Schedule, ScheduleEntry, ScheduleHost};
use super::zone::Zone;
use crate::async_event::backoff;
use crate::coordinator::host::Host;
use crate::coordinator::runner::{Runner, Work};
use crate::coordinator::topics::Topics;
use crate::definition::Standing;
use crate::definition::part::{DefinitionKind, DefinitionPart, Runs, StepView, Store};
use crate::host::{Bounds, Saved};
use crate::lease::work::{CommandEnd, CommandResult, LeaseUpdate};
use crate::memory::{self, NoMemory};
use crate::report::{Field, Report, Severity, sqlstate};
use std::cell::Cell;

/// This many bytes of what a command prints are kept.
const MESSAGES: u32 = 16 * 1024;
/// How many leases the part asks for at a time: at first, and at most.
const FIRST_WINDOW: usize = 4;
const WIDEST: usize = 64;

/// The command of a run, and the database in which it runs.
#[derive(Debug, Default)]
pub struct RunCommand {
    pub database: u32,
    pub text: Vec<u8>,
    pub timeout_ms: u32,
    /// Why commands of the schedule's owner may not run in that database now.
    pub refusal: Option<Box<Report>>,
}

/// What a database offers to its schedules, beside what it offers to all definitions. See [`ScheduleHost`].
pub trait ScheduleStore: Store<ScheduleKind> {
    fn started(&self) -> i64 {
        0
    }
    fn zone(&self, name: &[u8]) -> Option<Box<dyn Zone + '_>> {
        _ = name;
        None
    }
    /// None: its schedule is no more.
    fn command(&self, run: i64) -> Result<Option<RunCommand>, Saved> {
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

/// What schedules remember from one step to the next.
pub struct ScheduleKind {
    /// Leases at a time: as many as there are workers, by experience.
    window: Cell<usize>,
}

impl Default for ScheduleKind {
    fn default() -> Self {
        Self { window: Cell::new(FIRST_WINDOW) }
    }
}

impl DefinitionKind for ScheduleKind {
    type Definition = Schedule;
    type Row = Run;
    type Entry = ScheduleEntry;
    type End = Option<CommandEnd>;
    type Book = ScheduleBook;
    const NAME: &'static str = "schedules";
    const TOPIC: Topics = Topics::SCHEDULES;

    fn lease(entry: &ScheduleEntry) -> Option<u64> {
        match entry {
            ScheduleEntry::Ended { lease, .. } => *lease,
            _ => None,
        }
    }
    fn ended(entry: &ScheduleEntry, _: i64) -> Option<i64> {
        match entry {
            ScheduleEntry::Ended { run, last: true, .. } => Some(*run),
            _ => None,
        }
    }
}

impl<'c, H: ScheduleStore + Host + Runner> ScheduleHost for StepView<'_, 'c, H, ScheduleKind> {
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
    fn room(&self) -> usize {
        self.kind.window.get().saturating_sub(self.leases.get())
    }
    fn start(&self, run: &Run, owner: Standing) -> Result<Option<u64>, Saved> {
        let Standing::Acts { owner, superuser } = owner else { return Ok(None) };
        let Some(command) = self.host.command(run.id)? else { return Ok(None) };
        if let Some(refusal) = command.refusal {
            let refused = unbegun(Some(*refusal), self.host.timestamp());
            return Ok(self.end_at_once(run.id, Some(CommandEnd::Failed), Some(Box::new(refused))));
        }
        let keep = Bounds { row_bytes: 0, message_bytes: MESSAGES };
        let work =
            Work::Command { database: command.database, owner, superuser, text: &command.text, timeout_ms: command.timeout_ms, keep };
        let started = self.start_work(owner, &work)?;
        let (window, leases) = (&self.kind.window, self.leases.get());
        window.set(if started.is_some() { window.get().max(leases + 1).min(WIDEST) } else { leases.max(1) });
        Ok(started)
    }
}

const NO_SUCH_DATABASE: u32 = sqlstate(b"3D000");

/// What is said of a refusal, whose message has further texts behind it.
fn refusal(code: u32, message: Vec<u8>) -> Option<Report> {
    let text = message.splitn(2, |byte| *byte == 0).next().unwrap_or_default();
    memory::copy(text, "an error").map(|text| Report::error(code, text)).ok()
}

impl<H: ScheduleStore + Host + Runner> Runs<H> for ScheduleKind {
    fn heard(_: &H, now: i64, said: LeaseUpdate) -> Option<(Option<CommandEnd>, Option<Box<CommandResult>>)> {
        match said {
            LeaseUpdate::Ended(ended) => Some((Some(ended.end), Some(ended))),
            // The refusal counts as an attempt if the owner or the database must be changed to cure it.
            LeaseUpdate::Refused { sqlstate, message } if backoff::refusal_counts(sqlstate) || sqlstate == NO_SUCH_DATABASE => {
                Some((Some(CommandEnd::Failed), Some(Box::new(unbegun(refusal(sqlstate, message), now)))))
            }
            LeaseUpdate::Lost { begun } => Some(((begun > 0).then_some(CommandEnd::Lost), None)),
            LeaseUpdate::Refused { .. } | LeaseUpdate::Over => Some((None, None)),
            LeaseUpdate::Began { .. } | LeaseUpdate::Batch(..) | LeaseUpdate::TimedOut { .. } => None,
        }
    }

    fn step(book: &mut ScheduleBook, view: &StepView<'_, '_, H, Self>) -> Result<u64, Saved> {
        book.step(view)
    }
}

/// The schedules of a coordinator's database.
pub type Schedules = DefinitionPart<ScheduleKind>;

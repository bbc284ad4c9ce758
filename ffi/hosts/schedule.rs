//! The core's time zones and literals of specifications over `aside_schedule_rules`, and its `ScheduleStore` over
//! `aside_schedule_host`.

use crate::abi::*;
use crate::bytes::{lend, lend_optional, optional, slice};
use crate::host_call;
use crate::hosts::event::Events;
use crate::hosts::world::done;
use aside_core::coordinator::host::Host;
use aside_core::definition::Standing;
use aside_core::definition::part::{Said, Store};
use aside_core::host::Saved;
use aside_core::lease::work::{CommandEnd, CommandResult};
use aside_core::memory;
use aside_core::report::{Field, Report};
use aside_core::schedule::host::{Due, Misfire, Overlap, Run, RunState, Schedule, ScheduleEntry, Skipped};
use aside_core::schedule::part::{RunCommand, ScheduleKind, ScheduleStore, printed};
use aside_core::schedule::spec::{Interval, Literals};
use aside_core::schedule::wait;
use aside_core::schedule::zone::{Span, Zone};
use std::ffi::c_void;

const WHAT: &str = "the schedules of a coordinator";

/// Borrows a vtable for the duration of an export.
pub struct Rules<'a>(pub &'a aside_schedule_rules);

/// A zone of the server's, which lives as long as the process.
pub struct ServerZone<'a> {
    pub rules: &'a aside_schedule_rules,
    pub zone: *const c_void,
}

impl Zone for ServerZone<'_> {
    fn span(&self, at: i64) -> Span {
        let (mut offset, mut until) = (0, i64::MAX);
        host_call!(self.rules, span(self.zone, at, &mut offset, &mut until));
        Span { offset, until }
    }
}

/// What the shim says of a literal that it could not read.
fn reason(why: &aside_bytes) -> String {
    // SAFETY: the shim lends the text until its next call.
    String::from_utf8_lossy(unsafe { optional(why) }.unwrap_or_default()).into_owned()
}

impl Literals for Rules<'_> {
    fn interval(&self, text: &str) -> Result<Interval, String> {
        let (mut parts, mut why) = ([0; 3], aside_bytes::default());
        match host_call!(self.0, interval(lend(text.as_bytes()), parts.as_mut_ptr(), &mut why)) {
            true => Ok(Interval { months: parts[0], days: parts[1], us: parts[2] }),
            false => Err(reason(&why)),
        }
    }
    fn timestamp(&self, text: &str) -> Result<i64, String> {
        let (mut at, mut why) = (0, aside_bytes::default());
        match host_call!(self.0, timestamp(lend(text.as_bytes()), &mut at, &mut why)) {
            true => Ok(at),
            false => Err(reason(&why)),
        }
    }
}

fn time(at: i64) -> Option<i64> {
    (at != ASIDE_NO_TIME).then_some(at)
}

fn due(of: Option<Due>) -> (i64, i64) {
    of.map_or((ASIDE_NO_TIME, ASIDE_NO_TIME), |of| (of.due, of.at))
}

fn run_state(state: RunState) -> u32 {
    match state {
        RunState::Waiting => aside_run_state::ASIDE_RUN_WAITING,
        RunState::Running => aside_run_state::ASIDE_RUN_RUNNING,
        RunState::Skipped(Skipped::Overlap) => aside_run_state::ASIDE_RUN_SKIPPED_OVERLAP,
        RunState::Skipped(Skipped::Misfire) => aside_run_state::ASIDE_RUN_SKIPPED_MISFIRE,
    }
}

fn end_state(end: CommandEnd) -> u32 {
    match end {
        CommandEnd::Done => aside_run_state::ASIDE_RUN_DONE,
        CommandEnd::Failed => aside_run_state::ASIDE_RUN_FAILED,
        CommandEnd::TimedOut => aside_run_state::ASIDE_RUN_TIMED_OUT,
        CommandEnd::Cancelled => aside_run_state::ASIDE_RUN_CANCELLED,
        CommandEnd::Lost => aside_run_state::ASIDE_RUN_LOST,
    }
}

/// An entry as C reads it; `messages` is what its command printed.
fn lent<'e>(entry: &'e ScheduleEntry, said: Option<&'e CommandResult>, messages: &'e [u8]) -> aside_schedule_entry {
    let empty =
        aside_schedule_entry { started: ASIDE_NO_TIME, finished: ASIDE_NO_TIME, last_due: ASIDE_NO_TIME, rows: -1, ..Default::default() };
    match *entry {
        ScheduleEntry::Fired { schedule, revision, due: at, missed, state, next, fired } => {
            let (next_due, next_at) = due(next);
            let kind = aside_schedule_entry_kind::ASIDE_SCHEDULE_FIRED;
            aside_schedule_entry { kind, state: run_state(state), schedule, revision, due: at, missed, next_due, next_at, fired, ..empty }
        }
        ScheduleEntry::Moved { schedule, revision, last_due, next } => {
            let (next_due, next_at) = due(next);
            let (kind, last_due) = (aside_schedule_entry_kind::ASIDE_SCHEDULE_MOVED, last_due.unwrap_or(ASIDE_NO_TIME));
            aside_schedule_entry { kind, schedule, revision, last_due, next_due, next_at, ..empty }
        }
        ScheduleEntry::Begun { run, attempt } => {
            aside_schedule_entry { kind: aside_schedule_entry_kind::ASIDE_SCHEDULE_BEGUN, run, attempt, ..empty }
        }
        ScheduleEntry::Unbegun { run, attempt } => {
            aside_schedule_entry { kind: aside_schedule_entry_kind::ASIDE_SCHEDULE_UNBEGUN, run, attempt, ..empty }
        }
        ScheduleEntry::Runs { run, attempt, pid, at } => {
            let kind = aside_schedule_entry_kind::ASIDE_SCHEDULE_RUNS;
            aside_schedule_entry { kind, run, attempt, pid, started: at, ..empty }
        }
        ScheduleEntry::Again { run, attempt, not_before } => {
            aside_schedule_entry { kind: aside_schedule_entry_kind::ASIDE_SCHEDULE_AGAIN, run, attempt, not_before, ..empty }
        }
        ScheduleEntry::Ended { run, attempt, schedule, end, last, .. } => {
            let kind = aside_schedule_entry_kind::ASIDE_SCHEDULE_ENDED;
            let ended = aside_schedule_entry { kind, state: end_state(end), run, attempt, schedule, last: last.into(), ..empty };
            let Some(said) = said else { return ended };
            let text = |field| lend_optional(said.error.as_ref().and_then(|error| error.get(field)));
            aside_schedule_entry {
                pid: said.pid,
                started: said.started,
                finished: said.finished,
                rows: said.rows.map_or(-1, |rows| i64::try_from(rows).unwrap_or(i64::MAX)),
                sqlstate: said.error.as_ref().map_or(0, |error| error.sqlstate),
                tag: lend_optional(said.tag.as_deref()),
                message: text(Field::Message),
                detail: text(Field::Detail),
                hint: text(Field::Hint),
                context: text(Field::Context),
                messages: lend(messages),
                ..ended
            }
        }
    }
}

impl Store<ScheduleKind> for Events<'_> {
    fn load(&self) -> Result<(Vec<Schedule>, Vec<Run>), Saved> {
        let (mut schedules, mut nschedules, mut runs, mut nruns) = (std::ptr::null(), 0, std::ptr::null(), 0);
        done(host_call!(self.schedules, load(&mut schedules, &mut nschedules, &mut runs, &mut nruns)))?;
        // SAFETY: on ASIDE_OK the shim lends the array and its texts until its next call.
        let text = |bytes: &aside_bytes| unsafe { memory::copy(optional(bytes).unwrap_or_default(), WHAT) };
        let schedule = |s: &aside_schedule| {
            Ok(Schedule {
                id: s.id,
                revision: s.revision,
                spec: text(&s.rule)?,
                zone: text(&s.zone)?,
                overlap: [Overlap::Skip, Overlap::Queue, Overlap::Allow, Overlap::CancelRunning][s.overlap.min(3) as usize],
                misfire: [Misfire::Once, Misfire::Skip, Misfire::All][s.misfire.min(2) as usize],
                deadline_us: time(s.deadline_us),
                max_attempts: s.max_attempts,
                backoff_us: s.backoff_us,
                jitter_us: s.jitter_us,
                until: time(s.until),
                max_runs: time(s.max_runs),
                priority: s.priority,
                paused: s.paused != 0,
                next: time(s.next_due).map(|due| Due { due, at: s.next_at }),
                last_due: time(s.last_due),
                fired: s.fired,
            })
        };
        let run = |r: &aside_schedule_run| Run {
            id: r.id,
            schedule: r.schedule,
            attempt: r.attempt,
            due: r.due,
            manual: r.manual != 0,
            begun: r.begun != 0,
            not_before: r.not_before,
            to_cancel: r.to_cancel != 0,
        };
        let no = |no| self.no_memory(no);
        // SAFETY: as above.
        let schedules = memory::try_collect(unsafe { slice(schedules, nschedules) }.iter().map(schedule), WHAT).map_err(no)?;
        // SAFETY: as above.
        let runs = memory::collect(unsafe { slice(runs, nruns) }.iter().map(run), WHAT).map_err(no)?;
        Ok((schedules, runs))
    }
    fn standing(&self, schedules: &[i64]) -> Result<Vec<Standing>, Saved> {
        let no = |no| self.no_memory(no);
        let mut out = Vec::new();
        memory::extend(&mut out, schedules.len(), aside_standing::default(), WHAT).map_err(no)?;
        done(host_call!(self.schedules, standing(schedules.as_ptr(), schedules.len(), out.as_mut_ptr())))?;
        memory::collect(out.iter().map(crate::hosts::event::standing), WHAT).map_err(no)
    }
    fn record(&self, entries: &[ScheduleEntry], said: &Said) -> Result<Vec<i64>, Saved> {
        let no = |no| self.no_memory(no);
        let of = |entry: &ScheduleEntry| match entry {
            ScheduleEntry::Ended { lease: Some(lease), .. } => said.get(lease).map(|ended| &**ended),
            _ => None,
        };
        let messages = entries.iter().map(|entry| of(entry).map_or(Ok(Vec::new()), printed));
        let messages = memory::try_collect(messages, WHAT).map_err(no)?;
        let all = entries.iter().zip(&messages).map(|(entry, messages)| lent(entry, of(entry), messages));
        let all = memory::collect(all, WHAT).map_err(no)?;
        let mut numbers = Vec::new();
        memory::extend(&mut numbers, all.len(), 0, WHAT).map_err(no)?;
        done(host_call!(self.schedules, record(all.as_ptr(), all.len(), numbers.as_mut_ptr())))?;
        Ok(numbers)
    }
    fn wake_waiters(&self, run: Option<i64>) {
        wait::tell(&self.h, &self.registry.waiters, self.c.database, run);
    }
}

impl ScheduleStore for Events<'_> {
    fn started(&self) -> i64 {
        host_call!(self.schedules, started())
    }
    fn zone(&self, name: &[u8]) -> Option<Box<dyn Zone + '_>> {
        let zone = host_call!(self.schedules, zone(lend(name)));
        // SAFETY: the shim points it at a table that lives as long as the process.
        let rules = unsafe { self.schedules.rules.as_ref() }?;
        (!zone.is_null()).then(|| Box::new(ServerZone { rules, zone }) as Box<dyn Zone>)
    }
    fn command(&self, run: i64) -> Result<Option<RunCommand>, Saved> {
        let mut command = aside_schedule_command::default();
        done(host_call!(self.schedules, command(run, &mut command)))?;
        // SAFETY: on ASIDE_OK the shim lends the text until its next call.
        let Some(text) = (unsafe { optional(&command.text) }) else { return Ok(None) };
        let no = |no| self.no_memory(no);
        let mut refusal = (command.sqlstate != 0).then(|| Box::new(Report { sqlstate: command.sqlstate, ..Report::default() }));
        for (field, said) in [(Field::Message, &command.message), (Field::Detail, &command.detail), (Field::Hint, &command.hint)] {
            // SAFETY: as above.
            if let (Some(report), Some(said)) = (&mut refusal, unsafe { optional(said) }) {
                report.text[field as usize] = Some(memory::copy(said, WHAT).map_err(no)?);
            }
        }
        let text = memory::copy(text, WHAT).map_err(no)?;
        Ok(Some(RunCommand { database: command.database, text, timeout_ms: command.timeout_ms, refusal }))
    }
}

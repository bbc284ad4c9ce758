//! Values that cross: reports, calls, endings, ids and rows, from the core's types to those of the ABI and back.

use crate::abi::*;
use crate::bytes::{lend, lend_optional, optional, slice};
use aside_core::async_event::stats::HandlerCounts;
use aside_core::caller::call::Call;
use aside_core::caller::task::Start;
use aside_core::host::{Arg, ArgForm, Column, Identity, Output};
use aside_core::launcher::registry::{self, DatabaseEntry};
use aside_core::memory::{self, NoMemory};
use aside_core::pool::borrow::Limits;
use aside_core::pool::slot::Key;
use aside_core::pool::stats::Counters;
use aside_core::pool::view as worker;
use aside_core::report::{FIELDS, Field, Report, Severity};
use aside_core::task::TaskView;
use aside_core::wire::message::Ending;
use std::sync::atomic::Ordering::*;

/// The text fields of an `aside_report`, in the order of [`Field`].
fn fields(report: &mut aside_report) -> [(Field, &mut aside_bytes); FIELDS] {
    [
        (Field::Message, &mut report.message),
        (Field::Detail, &mut report.detail),
        (Field::Hint, &mut report.hint),
        (Field::Context, &mut report.context),
        (Field::Schema, &mut report.schema_name),
        (Field::Table, &mut report.table_name),
        (Field::Column, &mut report.column_name),
        (Field::Datatype, &mut report.datatype_name),
        (Field::Constraint, &mut report.constraint_name),
        (Field::InternalQuery, &mut report.internal_query),
        (Field::File, &mut report.file),
        (Field::Function, &mut report.function),
    ]
}

/// Run `f` with a view of the report that C can read.
pub fn lent<T>(report: &Report, f: impl FnOnce(&aside_report) -> T) -> T {
    let mut out = aside_report {
        severity: report.severity as u32,
        sqlstate: report.sqlstate,
        position: report.position,
        internal_position: report.internal_position,
        line: report.line,
        ..aside_report::default()
    };
    for (field, bytes) in fields(&mut out) {
        *bytes = lend_optional(report.get(field));
    }
    f(&out)
}

/// Copy a report that C lends; a text for which there is no memory is left out.
///
/// # Safety
/// Each field is absent or points to its length of readable bytes.
pub unsafe fn copied(report: &aside_report) -> Report {
    let mut lent = *report;
    let mut out = Report {
        severity: Severity::from_number(report.severity),
        sqlstate: report.sqlstate,
        position: report.position,
        internal_position: report.internal_position,
        line: report.line,
        ..Report::default()
    };
    for (field, bytes) in fields(&mut lent) {
        // SAFETY: the caller vouches for each field.
        out.text[field as usize] = unsafe { optional(bytes) }.and_then(|text| memory::copy(text, "a message").ok());
    }
    out
}

/// # Safety
/// The name is readable while the result lives.
pub unsafe fn column_of(c: &aside_column) -> Column<'_> {
    // SAFETY: per the contract.
    let name = unsafe { slice(c.name.data, c.name.len) };
    Column { type_oid: c.type_, typmod: c.typmod, by_text: c.by_text, name }
}

/// # Safety
/// What `raw` points to is readable while the result lives.
pub unsafe fn call_of(raw: &aside_call) -> Result<Call<'_>, NoMemory> {
    // SAFETY: arrays and bytes of the lengths given beside them.
    unsafe {
        let args = slice(raw.args, raw.nargs).iter().map(|a| Arg {
            type_oid: a.type_,
            form: match a.form {
                aside_arg_form::ASIDE_ARG_BYVAL => ArgForm::ByValue,
                aside_arg_form::ASIDE_ARG_BYREF => ArgForm::ByReference,
                aside_arg_form::ASIDE_ARG_TEXT => ArgForm::Text,
                _ => ArgForm::Null,
            },
            data: slice(a.data.data, a.data.len),
        });
        let columns = slice(raw.columns, raw.ncolumns).iter().map(|c| column_of(c));
        Ok(Call {
            kind: raw.kind as usize,
            output: match raw.output {
                aside_output::ASIDE_OUTPUT_ROWS => Output::Rows,
                aside_output::ASIDE_OUTPUT_JSON => Output::Json,
                aside_output::ASIDE_OUTPUT_DESCRIBED => Output::Described,
                aside_output::ASIDE_OUTPUT_TEXT => Output::Text,
                _ => Output::None,
            },
            key: Key { database: raw.database, user: raw.authenticated_user, superuser: raw.authenticated_superuser != 0 },
            restricted: raw.restricted != 0,
            held_off: raw.held_off != 0,
            depth: raw.depth,
            max_depth: raw.max_depth,
            limits: limits_of(&raw.limits),
            poll_us: raw.poll_us,
            nap_ms: raw.nap_ms,
            identity: Identity {
                session_user: raw.identity.session_user,
                role: raw.identity.role,
                current_user: raw.identity.current_user,
                security_context: raw.identity.security_context,
                database: raw.identity.database,
            },
            command: optional(&raw.command),
            settings: optional(&raw.settings).unwrap_or_default(),
            settings_version: raw.settings_version,
            origin: optional(&raw.origin).unwrap_or_default(),
            origin_version: raw.origin_version,
            xid: raw.xid,
            stack: optional(&raw.stack),
            snapshot: optional(&raw.snapshot),
            args: memory::collect(args, "the arguments of a command")?,
            columns: memory::collect(columns, "the columns of a result")?,
            routine: optional(&raw.routine),
        })
    }
}

/// How a statement ended, as C reads it.
pub fn ending_of(ending: &Ending, found: bool, rows: bool) -> aside_ending {
    let mut out = aside_ending { processed: ending.processed, found: u32::from(found), rows: u32::from(rows), tag_len: 0, tag: [0; 68] };
    for (to, from) in out.tag.iter_mut().zip(ending.tag.iter().flatten()) {
        *to = from.cast_signed();
        out.tag_len += 1;
    }
    out
}

/// How C says that an id is NULL.
pub fn id_of(id: i64) -> Option<i64> {
    (id != i64::MIN).then_some(id)
}

/// How C says for how long: less than nothing is for ever.
pub fn patience(us: i64) -> Option<u64> {
    u64::try_from(us).ok()
}

/// # Safety
/// Its texts are readable while the result lives.
pub unsafe fn start_of(start: &aside_task_start) -> Start<'_> {
    // SAFETY: per the contract.
    let (label, shown) = unsafe { (optional(&start.label), optional(&start.shown)) };
    Start {
        label: label.unwrap_or_default(),
        shown: shown.unwrap_or_default(),
        timeout_ms: start.timeout_ms,
        quota: start.quota,
        on_commit: (start.on_commit != 0).then_some(start.subtransaction),
        after: (start.after != 0).then_some(start.after.cast_unsigned()),
    }
}

/// A row of aside.tasks; `lent` keeps its texts.
pub fn task_row(view: TaskView, pid: u32, lent: &mut [Vec<u8>; 4]) -> aside_task_row {
    let (percent, progress) = view.progress.unzip();
    *lent = [view.command, view.label, view.message, progress.unwrap_or_default()];
    aside_task_row {
        id: view.card.ticket.id.cast_signed(),
        state: u32::from(view.card.state as u8),
        owner: view.card.owner,
        database: view.card.key.database,
        pid,
        submitter: view.card.submitter,
        sqlstate: view.sqlstate,
        has_progress: u32::from(percent.is_some()),
        detached: u32::from(view.detached),
        submitted: view.card.submitted,
        started: view.started.unwrap_or(0),
        finished: view.finished.unwrap_or(0),
        rows: view.rows,
        bytes: view.payload,
        percent: percent.unwrap_or(0.0),
        command: lend(&lent[0]),
        label: lend(&lent[1]),
        message: lend(&lent[2]),
        progress: lend(&lent[3]),
    }
}

/// A row of aside.workers.
pub fn worker_row(view: &worker::WorkerView) -> aside_worker_row {
    aside_worker_row {
        state: u32::from(view.state as u8),
        pid: view.pid,
        database: view.key.database,
        user: view.key.user,
        caller_pid: view.caller_pid,
        depth: view.depth,
        generation: view.generation,
        xid: view.xid,
        calls: view.calls,
        errors: view.errors,
        started: view.started,
        last_used: view.last_used,
    }
}

/// A row of aside.stat.
pub fn stat_row(counters: &Counters) -> aside_stat_row {
    aside_stat_row {
        calls: counters.calls.load(Relaxed),
        errors: counters.errors.load(Relaxed),
        cancelled: counters.cancelled.load(Relaxed),
        rows: counters.rows.load(Relaxed),
        waits: counters.waits.load(Relaxed),
        wait_us: counters.wait_us.load(Relaxed),
        total_us: counters.total_us.load(Relaxed),
        histogram: std::array::from_fn(|i| counters.histogram[i].load(Relaxed)),
    }
}

/// What bounds a borrow of a worker.
pub fn limits_of(raw: &aside_limits) -> Limits {
    Limits {
        per_role: raw.max_per_role,
        per_session: raw.max_per_session,
        min_workers: raw.min_workers,
        timeout_ms: raw.checkout_timeout_ms,
        deadlock_ms: raw.deadlock_timeout_ms,
    }
}

/// The state that a coordinator says it has come to.
pub fn entry_state(state: aside_entry_state::Type) -> Option<registry::CoordinatorState> {
    registry::CoordinatorState::ALL.get(state as usize).copied()
}

/// A row of aside.coordinators.
pub fn coordinator_row(entry: &DatabaseEntry) -> aside_coordinator_row {
    aside_coordinator_row {
        state: if entry.is_failing() { aside_entry_state::ASIDE_ENTRY_FAILING } else { entry.state().0 as u32 },
        database: entry.database(),
        pid: entry.pid(),
        failures: entry.failures(),
        since: entry.since(),
    }
}

/// A row of what a coordinator counts of its handlers.
pub fn tally_row(database: u32, handler: u32, counts: &HandlerCounts, now: i64) -> aside_tally_row {
    let notes = &counts.notes;
    let [emitted_rate, done_rate, failed_rate] = counts.lately.rates(now);
    aside_tally_row {
        database,
        handler,
        notes_waiting: notes.waiting,
        notes_done: notes.done,
        notes_failed: notes.failed,
        notes_dropped: notes.dropped,
        notes_recorded: notes.recorded,
        notes_sqlstates: notes.errors.map(|(sqlstate, _)| sqlstate),
        notes_failures: notes.errors.map(|(_, times)| times),
        sqlstates: counts.errors.map(|(sqlstate, _)| sqlstate),
        failures: counts.errors.map(|(_, times)| times),
        waiting: counts.waiting,
        delayed: counts.delayed,
        retrying: counts.retrying,
        running: counts.running,
        dead: counts.dead,
        workers: counts.workers,
        oldest: counts.oldest_at(now).unwrap_or(0),
        emitted: counts.emitted,
        done: counts.done,
        failed: counts.failed,
        died: counts.died,
        cancelled: counts.cancelled,
        expired: counts.expired,
        emitted_rate,
        done_rate,
        failed_rate,
        partial: u32::from(counts.partial),
        outdated: u32::from(counts.is_outdated(now)),
    }
}

/// How C says a latch: -1 is none.
pub fn latch(proc: Option<u32>) -> i64 {
    proc.map_or(-1, i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_way_to_c_and_back() {
        let mut report = Report::error(17, "message");
        for (i, text) in report.text.iter_mut().enumerate().filter(|(i, _)| i % 2 == 0) {
            *text = Some(format!("field {i}").into_bytes());
        }
        report.position = 3;
        // SAFETY: lent by `lent` for the duration of the closure.
        let back = lent(&report, |r| unsafe { copied(r) });
        assert_eq!(back, report);
    }
}

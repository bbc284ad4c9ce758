//! Values that cross: reports, calls, endings, ids and rows, from the core's types to those of the ABI and back.

use crate::abi::*;
use crate::bytes::{lend, lend_optional, optional, slice};
use crate::memory::pool::aside_pool;
use aside_core::autonomous_tx::call::Call;
use aside_core::host::{Arg, ArgForm, Column, Identity, Output};
use aside_core::memory::{self, NoMemory};
use aside_core::pool::borrow::Limits;
use aside_core::pool::slot::Key;
use aside_core::report::{FIELDS, Field, Report, Severity};
use aside_core::task::View;
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
                ASIDE_ARG_BYVAL => ArgForm::ByValue,
                ASIDE_ARG_BYREF => ArgForm::ByReference,
                ASIDE_ARG_TEXT => ArgForm::Text,
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
            limits: Limits {
                per_role: raw.max_per_role,
                per_session: raw.max_per_session,
                min_workers: raw.min_workers,
                timeout_ms: raw.checkout_timeout_ms,
                deadlock_ms: raw.deadlock_timeout_ms,
            },
            poll_us: raw.poll_us,
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

/// A row of aside.tasks; `lent` keeps its texts.
pub fn task_row(pool: &aside_pool, view: &View, lent: &mut [Vec<u8>; 4]) -> aside_task_row {
    let (percent, progress) = view.progress.clone().unwrap_or_default();
    *lent = [view.command.clone(), view.label.clone(), view.message.clone(), progress];
    let slot = view.card.lease.and_then(|lease| pool.area.slot(lease.slot));
    aside_task_row {
        id: view.card.ticket.id.cast_signed(),
        state: u32::from(view.card.state as u8),
        owner: view.card.owner,
        database: view.card.key.database,
        pid: slot.map_or(0, |slot| slot.worker_pid.load(Relaxed)),
        submitter: view.card.submitter,
        sqlstate: view.sqlstate,
        has_progress: u32::from(view.progress.is_some()),
        detached: u32::from(view.detached),
        submitted: view.card.submitted,
        started: view.started.unwrap_or(0),
        finished: view.finished.unwrap_or(0),
        rows: view.rows,
        bytes: view.payload,
        percent,
        command: lend(&lent[0]),
        label: lend(&lent[1]),
        message: lend(&lent[2]),
        progress: lend(&lent[3]),
    }
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

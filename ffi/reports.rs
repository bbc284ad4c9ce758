//! `Report` of the core to `aside_report` of the ABI and back.

use crate::abi::{aside_bytes, aside_report};
use crate::bytes::{lend_optional, optional};
use aside_core::memory;
use aside_core::report::{FIELDS, Field, Report, Severity};

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

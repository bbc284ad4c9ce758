//! Exports for schedules: specifications, which are read, put in words, and asked when they fire; and waits for runs.

use crate::abi::{aside_run_look, aside_schedule_rules};
use crate::bytes::lend;
use crate::convert::patience;
use crate::export::{Out, Text, Vtable};
use crate::hosts::caller::Caller;
use crate::hosts::schedule::{Rules, ServerZone};
use crate::hosts::world::done;
use crate::memory::registry::aside_registry;
use crate::{export, host_call};
use aside_core::error::Error;
use aside_core::report::{Field, Report};
use aside_core::schedule::error::{Wrong, wrong};
use aside_core::schedule::spec::Spec;
use aside_core::schedule::wait;
use std::ffi::c_void;

fn failed(wrong: Wrong) -> Error {
    let mut report = Report::error(wrong.sqlstate, wrong.message);
    for (field, text) in [(Field::Detail, wrong.detail), (Field::Hint, wrong.hint)] {
        if !text.is_empty() {
            report = report.with(field, text);
        }
    }
    Error::Report(Box::new(report))
}

/// A specification is text of few letters: what is no UTF-8 is none.
fn written(text: Text<'_>) -> Result<&str, Error> {
    std::str::from_utf8(text.0.unwrap_or_default())
        .map_err(|_| failed(wrong("invalid schedule specification", "It has a character that no specification has.")))
}

export! {
    fn aside_schedule_read(host: Caller, rules: Vtable<aside_schedule_rules>, spec: Text, now: i64) raises(host) {
        let spec = Spec::parse(written(spec)?, now, &Rules(rules.get())).map_err(failed)?;
        host_call!(rules.get(), give(lend(spec.stored().as_bytes())));
        Ok(())
    }
}

export! {
    fn aside_schedule_explain(host: Caller, rules: Vtable<aside_schedule_rules>, zone: *const c_void, spec: Text, now: i64) raises(host) {
        let spec = Spec::parse(written(spec)?, now, &Rules(rules.get())).map_err(failed)?;
        let words = spec.in_words(&ServerZone { rules: rules.get(), zone });
        host_call!(rules.get(), give(lend(words.as_bytes())));
        Ok(())
    }
}

export! {
    fn aside_schedule_dues(
        host: Caller, rules: Vtable<aside_schedule_rules>, zone: *const c_void, stored: Text, after: i64,
        dues: *mut i64, most: usize, count: Out<usize>,
    ) raises(host) {
        let spec = Spec::restored(written(stored)?).map_err(failed)?;
        let zone = ServerZone { rules: rules.get(), zone };
        let (mut found, mut at) = (0, after);
        while found < most
            && let Some(due) = spec.next(&zone, at)
        {
            // SAFETY: there is room for `most` of them, and fewer are written.
            unsafe { dues.add(found).write(due) };
            (found, at) = (found + 1, due);
        }
        count.write(found);
        Ok(())
    }
}

export! {
    fn aside_run_wait(host: Caller, registry: &aside_registry, look: Vtable<aside_run_look>, run: i64, timeout_us: i64, ended: Out<bool>) raises(host) {
        let has_ended = || {
            let mut ended = false;
            done(host_call!(look.get(), ended(run, &mut ended))).map(|()| ended)
        };
        let of = (look.get().database, run);
        ended.write(wait::wait(&host, &registry.registry.waiters, of, patience(timeout_us), has_ended)?);
        Ok(())
    }
}

export! {
    /// The process exits, whatever it waits for.
    fn aside_run_wait_exit(registry: &aside_registry, pid: u32) {
        registry.registry.waiters.delist_all(pid);
    }
}

//! The core's `WorkerHost` over `aside_worker_host`.

use crate::abi::{self, aside_output, aside_put_off, aside_ran, aside_refusal, aside_status, aside_worker_host};
use crate::bytes::{lend, lend_optional, optional, slice};
use crate::convert::{copied, lent};
use crate::export::{FromC, Refused, Vtable};
use crate::hosts::world::{done, no_memory};
use crate::{host_call, impl_world};
use aside_core::host::*;
use aside_core::memory;
use aside_core::report::Report;
use std::ffi::c_void;

/// Borrows a vtable for the duration of an export.
pub struct WorkerSide<'a> {
    pub t: &'a aside_worker_host,
}

impl_world!(WorkerSide<'_>);

impl FromC for WorkerSide<'_> {
    type Raw = *const aside_worker_host;
    unsafe fn from_c(raw: *const aside_worker_host) -> Result<Self, Refused> {
        // SAFETY: passed on.
        Ok(Self { t: unsafe { Vtable::from_c(raw) }?.get() })
    }
}

/// A statement that the shim keeps. Only the shim looks inside.
#[derive(Clone, Copy, Debug)]
pub struct Plan(*mut c_void);

/// What `run` lends to the executor's callback: the sink of one statement.
pub struct SinkRef<'a> {
    pub sink: &'a mut dyn RowSink,
}

impl WorkerSide<'_> {
    fn lend_args(&self, args: &[Arg]) -> Result<Vec<abi::aside_arg>, Saved> {
        let lent = args.iter().map(|a| abi::aside_arg { type_: a.type_oid, form: a.form as u32, data: lend(a.data) });
        memory::collect(lent, "the arguments of a command").map_err(|no| no_memory(&self.t.world, no))
    }

    fn lend_columns(&self, columns: &[Column]) -> Result<Vec<abi::aside_column>, Saved> {
        memory::collect(columns.iter().map(lend_column), "the columns of a result").map_err(|no| no_memory(&self.t.world, no))
    }
}

/// One column as C reads it.
pub fn lend_column(c: &Column) -> abi::aside_column {
    abi::aside_column { type_: c.type_oid, typmod: c.typmod, by_text: c.by_text, reserved: 0, name: lend(c.name) }
}

impl WorkerHost for WorkerSide<'_> {
    type Plan = Plan;

    fn config(&self) -> WorkerConfig {
        let mut out = abi::aside_worker_config::default();
        host_call!(self.t, config(&mut out));
        WorkerConfig {
            idle_timeout_ms: out.idle_timeout_ms,
            min_workers: out.min_workers,
            poll_us: out.poll_us,
            nap_ms: out.nap_ms,
            plan_cache_size: out.plan_cache_size,
            session_idle_ms: out.session_idle_ms,
            block_idle_ms: if out.in_block == 0 { 0 } else { out.block_idle_ms },
            result_bytes: out.result_bytes,
            role_bytes: out.role_bytes,
        }
    }
    fn idle(&self, going_to_sleep: bool) -> bool {
        host_call!(self.t, idle(going_to_sleep)) == aside_status::ASIDE_OK
    }
    fn signal_slot(&self) {
        host_call!(self.t, signal_slot());
    }
    fn outdated(&self) -> Result<bool, Saved> {
        let mut is = false;
        done(host_call!(self.t, outdated(&mut is))).map(|()| is)
    }
    fn adopt(&self, who: &Identity, settings: Option<&[u8]>) -> Result<(), Saved> {
        let who = abi::aside_identity {
            session_user: who.session_user,
            role: who.role,
            current_user: who.current_user,
            security_context: who.security_context,
            database: who.database,
            reserved: 0,
        };
        let settings = settings.map(lend);
        let settings = settings.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        done(host_call!(self.t, adopt(&who, settings)))
    }
    fn origin(&self, origin: Option<&[u8]>) {
        host_call!(self.t, origin(lend_optional(origin)));
    }
    fn call_site(&self, xid: u64, stack: Option<&[u8]>) {
        host_call!(self.t, call_site(xid, lend_optional(stack)));
    }
    fn begin(&self, command: &[u8], session: bool, timed: bool, timeout_ms: u32) -> Result<(), Saved> {
        done(host_call!(self.t, begin(lend(command), session, timed, timeout_ms)))
    }
    fn read_at(&self, snapshot: &[u8]) -> Result<(), Saved> {
        done(host_call!(self.t, read_at(lend(snapshot))))
    }
    fn timed_out(&self) -> bool {
        host_call!(self.t, timed_out())
    }
    fn find_tasks(&self) {
        host_call!(self.t, find_tasks());
    }
    fn kick(&self) {
        host_call!(self.t, kick());
    }
    fn append_file(&self, task: u64, bytes: &[u8]) -> Result<(), Saved> {
        done(host_call!(self.t, append_file(task, lend(bytes))))
    }
    fn read_file(&self, task: u64, offset: u64, into: &mut [u8]) -> Result<(), Saved> {
        done(host_call!(self.t, read_file(task, offset, into.as_mut_ptr(), into.len())))
    }
    fn drop_file(&self, task: u64) {
        host_call!(self.t, drop_file(task));
    }
    fn write_down(&self, index: u32, record: &[u8]) {
        host_call!(self.t, write_down(index, lend(record)));
    }
    fn session_state(&self) -> (u32, u64) {
        let (mut user, mut settings) = (0, 0);
        host_call!(self.t, session_state(&mut user, &mut settings));
        (user, settings)
    }
    fn tag(&self) -> Vec<u8> {
        let tag = host_call!(self.t, tag());
        // SAFETY: the shim lends it until its next call.
        unsafe { memory::copy(optional(&tag).unwrap_or_default(), "a tag") }.unwrap_or_default()
    }
    fn notifications(&self, sink: &mut dyn RowSink) -> Result<(), Saved> {
        let mut sink = SinkRef { sink };
        let sink: *mut SinkRef = &mut sink;
        done(host_call!(self.t, notifications(sink.cast())))
    }
    fn parse(&self, command: &[u8]) -> Result<u32, Saved> {
        let mut count = 0;
        done(host_call!(self.t, parse(lend(command), &mut count))).map(|()| count)
    }
    fn prepare(&self, index: u32, args: &[Arg]) -> Result<Statement<Self::Plan>, Saved> {
        let mut out = abi::aside_statement { plan: std::ptr::null_mut(), ..Default::default() };
        let args = self.lend_args(args)?;
        done(host_call!(self.t, prepare(index, args.as_ptr(), args.len(), &mut out)))?;
        let refused = match out.refused {
            aside_refusal::ASIDE_REFUSE_TRANSACTION => Some(Refusal::Transaction),
            aside_refusal::ASIDE_REFUSE_COPY => Some(Refusal::Copy),
            aside_refusal::ASIDE_REFUSE_LISTEN => Some(Refusal::Listen),
            aside_refusal::ASIDE_REFUSE_CONCURRENTLY => Some(Refusal::Concurrently),
            _ => None,
        };
        Ok(Statement { refused, cacheable: out.cacheable != 0, changes: out.changes, params: out.params, plan: Plan(out.plan) })
    }
    fn keep_plan(&self, plan: Self::Plan) -> Result<(), Saved> {
        done(host_call!(self.t, keep_plan(plan.0)))
    }
    fn drop_plan(&self, plan: Self::Plan) {
        host_call!(self.t, drop_plan(plan.0));
    }
    fn catalog_changes(&self) -> u64 {
        host_call!(self.t, catalog_changes())
    }
    fn lock_plan(&self, plan: Self::Plan) -> Result<u64, Saved> {
        let mut changes = 0;
        done(host_call!(self.t, lock_plan(plan.0, &mut changes))).map(|()| changes)
    }
    fn run(
        &self,
        plan: Self::Plan,
        several: bool,
        args: &[Arg],
        output: Output,
        columns: &[Column],
        sink: &mut dyn RowSink,
    ) -> Result<u64, Saved> {
        let args = self.lend_args(args)?;
        let columns = self.lend_columns(columns)?;
        let output = match output {
            Output::None => aside_output::ASIDE_OUTPUT_NONE,
            Output::Rows => aside_output::ASIDE_OUTPUT_ROWS,
            Output::Json => aside_output::ASIDE_OUTPUT_JSON,
            Output::Described => aside_output::ASIDE_OUTPUT_DESCRIBED,
            Output::Text => aside_output::ASIDE_OUTPUT_TEXT,
        };
        let mut sink = SinkRef { sink };
        let sink: *mut SinkRef = &mut sink;
        let mut processed = 0;
        let status = host_call!(
            self.t,
            run(plan.0, several, args.as_ptr(), args.len(), output, columns.as_ptr(), columns.len(), sink.cast(), &mut processed)
        );
        done(status).map(|()| processed)
    }
    fn run_routine(&self, routine: &[u8], args: &[Arg], columns: &[Column], sink: &mut dyn RowSink) -> Result<(), Saved> {
        let args = self.lend_args(args)?;
        let columns = self.lend_columns(columns)?;
        let mut sink = SinkRef { sink };
        let sink: *mut SinkRef = &mut sink;
        done(host_call!(self.t, run_routine(lend(routine), args.as_ptr(), args.len(), columns.as_ptr(), columns.len(), sink.cast())))
    }
    fn run_events(&self, handler: &[u8], batch: &[u8]) -> Result<Ran, Saved> {
        let (mut ran, mut data, mut count) = (aside_ran::ASIDE_RAN, std::ptr::null(), 0);
        done(host_call!(self.t, run_events(lend(handler), lend(batch), &mut ran, &mut data, &mut count)))?;
        match ran {
            aside_ran::ASIDE_RAN => {
                // SAFETY: on ASIDE_OK the shim lends the array until its next call.
                let put_off: &[aside_put_off] = unsafe { slice(data, count) };
                let put_off = put_off.iter().map(|p| PutOff { event: p.event, until: p.until });
                memory::collect(put_off, "events that were put off").map(Ran::Done).map_err(|no| no_memory(&self.t.world, no))
            }
            aside_ran::ASIDE_MISPLACED => Ok(Ran::Misplaced),
            _ => Ok(Ran::Unwanted),
        }
    }
    fn record_chunk(&self, attempt: &[u8], processed: u64) -> Result<(), Saved> {
        done(host_call!(self.t, record_chunk(lend(attempt), processed)))
    }
    fn next_statement(&self, controls: bool) -> Result<(), Saved> {
        done(host_call!(self.t, next_statement(controls)))
    }
    fn commit(&self) -> Result<(), Saved> {
        done(host_call!(self.t, commit()))
    }
    fn abort(&self) {
        host_call!(self.t, abort());
    }
    fn error(&self) -> Report {
        let mut out = abi::aside_report::default();
        host_call!(self.t, error(&mut out));
        // SAFETY: the shim lends the texts of the error it keeps until its next call.
        unsafe { copied(&out) }
    }
    fn log(&self, error: &Report, saved: bool) {
        lent(error, |report| host_call!(self.t, log(report, saved)));
    }
    fn clean(&self, session_goes_on: bool) -> Result<bool, Saved> {
        let mut intact = false;
        done(host_call!(self.t, clean(session_goes_on, &mut intact))).map(|()| intact)
    }
    fn forget_cancel(&self) {
        host_call!(self.t, forget_cancel());
    }
}

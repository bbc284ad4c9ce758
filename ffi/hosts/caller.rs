//! The core's `CallerHost` over `aside_caller_host`.

use crate::abi::{aside_blocker, aside_bytes, aside_caller_host, aside_outcome, aside_status};
use crate::bytes::{lend, optional, slice};
use crate::convert::ending_of;
use crate::convert::lent;
use crate::export::{FromC, Refused, Vtable};
use crate::hosts::worker::lend_column;
use crate::hosts::world::{done, no_memory, slept};
use crate::{host_call, impl_world};
use aside_core::host::{CallerHost, Column, Launch, Saved, Slept, XactStatus};
use aside_core::memory;
use aside_core::pool::slot::{Key, Owed};
use aside_core::pool::waits::Blocker;
use aside_core::report::Report;
use aside_core::wire::message::Ending;

const WHAT: &str = "the look for a deadlock";

/// Borrows a vtable for the duration of an export.
pub struct Caller<'a> {
    pub t: &'a aside_caller_host,
}

impl_world!(Caller<'_>);

impl FromC for Caller<'_> {
    type Raw = *const aside_caller_host;
    unsafe fn from_c(raw: *const aside_caller_host) -> Result<Self, Refused> {
        // SAFETY: passed on.
        Ok(Self { t: unsafe { Vtable::from_c(raw) }?.get() })
    }
}

impl Caller<'_> {
    /// Keep an error for the shim to throw.
    pub fn fail(&self, report: &Report) {
        lent(report, |report| host_call!(self.t.world, fail(report)));
    }
}

impl CallerHost for Caller<'_> {
    fn launch(&self, slot: u32, generation: u64, key: Key) -> Result<Launch, Saved> {
        match host_call!(self.t, launch(slot, generation, key.database, key.user, key.superuser)) {
            aside_status::ASIDE_OK => Ok(Launch::Started),
            aside_status::ASIDE_NO_WORKER_SLOT => Ok(Launch::NoWorkerSlot),
            _ => Err(Saved),
        }
    }
    fn launch_failed(&self, slot: u32) -> bool {
        host_call!(self.t, launch_failed(slot))
    }
    fn wait_slot(&self, timeout_ms: u32) -> Result<Slept, Saved> {
        slept(host_call!(self.t, wait_slot(timeout_ms)))
    }
    fn end_wait_slot(&self) {
        host_call!(self.t, end_wait_slot());
    }
    fn signal_slot(&self) {
        host_call!(self.t, signal_slot());
    }
    fn interrupt(&self, pid: u32, terminate: bool) {
        host_call!(self.t, interrupt(pid, terminate));
    }
    fn alive(&self, pid: u32) -> bool {
        host_call!(self.t, alive(pid))
    }
    fn make_room(&self) -> bool {
        host_call!(self.t, make_room())
    }
    fn lock_wait(&self, pid: u32) -> Option<u64> {
        Some(host_call!(self.t, lock_wait(pid))).filter(|name| *name != 0)
    }
    fn blockers(&self, pid: u32) -> Result<Option<Vec<Blocker>>, Saved> {
        let (mut data, mut count) = (std::ptr::null(), 0);
        match host_call!(self.t, blockers(pid, &mut data, &mut count)) {
            aside_status::ASIDE_OK => {
                // SAFETY: on ASIDE_OK the shim lends the array and its texts until its next call.
                let text = |b: &aside_blocker| unsafe { memory::copy(optional(&b.wait).unwrap_or_default(), WHAT) };
                // SAFETY: as above.
                let all = unsafe { slice(data, count) }.iter().map(|b| Ok(Blocker { pid: b.pid, wait: text(b)? }));
                memory::try_collect(all, WHAT).map(Some).map_err(|no| no_memory(&self.t.world, no))
            }
            aside_status::ASIDE_GONE => Ok(None),
            _ => Err(Saved),
        }
    }
    fn pin_wait(&self, pid: u32) -> bool {
        host_call!(self.t, pin_wait(pid))
    }
    #[expect(clippy::disallowed_methods, reason = "few, and never more")]
    fn group(&self, pid: u32) -> Vec<u32> {
        let mut members = [0; 64];
        let count = host_call!(self.t, group(pid, members.as_mut_ptr(), members.len()));
        members[..count.min(members.len())].to_vec()
    }
    fn activity(&self, pid: u32) -> Option<Vec<u8>> {
        let mut query = aside_bytes::default();
        match host_call!(self.t, activity(pid, &mut query)) {
            // SAFETY: on ASIDE_OK the shim lends the text until its next call.
            aside_status::ASIDE_OK => unsafe { optional(&query) }.and_then(|query| memory::copy(query, WHAT).ok()),
            _ => None,
        }
    }
    fn outcome(&self, xid: u64) -> XactStatus {
        match host_call!(self.t, outcome(xid)) {
            aside_outcome::ASIDE_ABORTED => XactStatus::Aborted,
            aside_outcome::ASIDE_COMMITTED => XactStatus::Committed,
            _ => XactStatus::Unknown,
        }
    }
    fn relay(&self, message: &Report) -> Result<(), Saved> {
        lent(message, |message| done(host_call!(self.t, relay(message))))
    }
    fn row(&self, tuple: &[u8]) -> Result<(), Saved> {
        done(host_call!(self.t, row(lend(tuple))))
    }
    fn texts(&self, tuple: &[u8], columns: usize) -> Result<Vec<Option<Vec<u8>>>, Saved> {
        const TEXTS: &str = "a row of texts";
        let mut lent = Vec::new();
        memory::extend(&mut lent, columns, aside_bytes::default(), TEXTS).map_err(|no| no_memory(&self.t.world, no))?;
        done(host_call!(self.t, texts(lend(tuple), columns, lent.as_mut_ptr())))?;
        // SAFETY: on ASIDE_OK the shim has filled in each of them, and lends the texts until its next call.
        let text = |bytes: &aside_bytes| unsafe { optional(bytes) }.map(|text| memory::copy(text, TEXTS)).transpose();
        memory::try_collect(lent.iter().map(text), TEXTS).map_err(|no| no_memory(&self.t.world, no))
    }
    fn describe(&self, columns: &[Column]) -> Result<(), Saved> {
        let columns =
            memory::collect(columns.iter().map(lend_column), "the columns of a result").map_err(|no| no_memory(&self.t.world, no))?;
        done(host_call!(self.t, describe(columns.as_ptr(), columns.len())))
    }
    fn complete(&self, ending: &Ending) -> Result<(), Saved> {
        done(host_call!(self.t, complete(&ending_of(ending, true, false))))
    }
    fn may_act_for(&self, role: u32) -> Result<bool, Saved> {
        let mut may = false;
        done(host_call!(self.t, may_act_for(role, &mut may))).map(|()| may)
    }
    fn write_file(&self, task: u64, bytes: &[u8]) -> Result<(), Saved> {
        done(host_call!(self.t, write_file(task, lend(bytes))))
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
    fn await_commit(&self, owed: Owed) -> Result<(), Saved> {
        done(host_call!(self.t, await_commit(owed.position, owed.level)))
    }
    fn amend(&self, detail: &str) {
        host_call!(self.t, amend(lend(detail.as_bytes())));
    }
}

//! A task in a worker: its request comes from the table, what it says goes to a spool, and its end is
//! written where whoever wants to know looks. Nobody waits at the other side of a ring.
//!
//! The order at the end matters: the result is kept before the commit, for that may fail; the locks are
//! gone before anybody hears of the end; the journal is written while the entry cannot be another task's.

use super::plan_cache::PlanCache;
use super::process::Worker;
use super::reply::Reply;
use super::spool::Spool;
use crate::host::{SinkStop, WorkerHost};
use crate::memory::{self, NoMemory, SMALL};
use crate::pool::slot::{Ended, Lease, Slot, SlotState};
use crate::report::*;
use crate::task::{Table, TaskChange, TaskEnd, TaskOutcome, Ticket, Unloadable};
use crate::wire::codec::Unread;
use crate::wire::message::Request;

impl Worker<'_> {
    /// Run the task for which this lease was made; false: this process is not fit for another request.
    pub(super) fn serve_task<H: WorkerHost>(
        &self,
        h: &H,
        slot: &Slot,
        generation: u64,
        plans: &mut PlanCache<H::Plan>,
        buffer: &mut Vec<u64>,
    ) -> bool {
        self.generation.set(generation);
        slot.take(generation);
        let lease = Lease { slot: self.slot.get(), generation };
        if self.tasks.get().is_none() {
            h.find_tasks();
        }
        let table = self.tasks.get();
        // A process that lost a lease of this slot may have named another entry after all.
        let running = |t: &Table| t.running_at(slot.task.load(std::sync::atomic::Ordering::Relaxed), lease).or_else(|| t.running_on(lease));
        let found = table.and_then(|t| running(&t).map(|ticket| (t, ticket)));
        let mut fit = self.end_session(h, slot);
        if let Some((table, ticket)) = found {
            table.runs_on(ticket, lease.slot, h.my_pid());
            self.task.set(Some(ticket));
            *self.reply.borrow_mut() = Some(Reply::Task(Box::new(Spool::new(ticket.id))));
            let answer = self.run_task(h, slot, generation, plans, buffer, (&table, ticket), &mut fit);
            fit &= self.clean(h, slot);
            let rows = self.result.borrow_mut().take().map_or(0, |ending| ending.processed);
            self.tell_end(h, &table, ticket, lease, rows, answer.err());
            self.task.set(None);
        }
        self.reply.take();
        slot.last_used.store(h.timestamp(), std::sync::atomic::Ordering::Relaxed);
        slot.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        slot.finish(generation, Ended::Well);
        if slot.gate.cancelled(generation) || slot.signalled(generation) {
            self.outlast_cancel(h, slot, generation);
        }
        self.generation.set(0);
        self.depth.set(0);
        if !fit {
            // The slot becomes free when this process has gone.
            return false;
        }
        if self.area.untask(slot, generation, SlotState::Idle) && self.area.waiters() > 0 {
            h.signal_slot();
        }
        true
    }

    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own about the request")]
    fn run_task<H: WorkerHost>(
        &self,
        h: &H,
        slot: &Slot,
        generation: u64,
        plans: &mut PlanCache<H::Plan>,
        buffer: &mut Vec<u64>,
        (table, ticket): (&Table, Ticket),
        fit: &mut bool,
    ) -> Result<(), Box<Report>> {
        if slot.gate.cancelled(generation) {
            return Err(Box::new(Report::error(QUERY_CANCELED, "the task was cancelled before it started")));
        }
        let log = |report: Box<Report>| {
            h.log(&report, false);
            report
        };
        memory::look_for(SMALL, "a task").map_err(|no| log(no_memory(no)))?;
        read_request(h, table, ticket, buffer).map_err(log)?;
        let unread = |unread| match unread {
            Unread::Malformed => Box::new(nonsense()),
            Unread::NoMemory(no) => no_memory(no),
        };
        let request = Request::decode(buffer).map_err(|why| log(unread(why)))?;
        self.transact(h, slot, generation, plans, &request, fit).map_err(|report| Box::new(report.within(request.command)))
    }

    /// Before a commit, when its deferred triggers have run: if it is the last one of a task, what the task has said
    /// becomes its result.
    pub fn settle<H: WorkerHost>(&self, h: &H) -> Result<(), SinkStop> {
        if !self.last_commit.get() {
            return Ok(());
        }
        let mut reply = self.reply.borrow_mut();
        let (Some(Reply::Task(spool)), Some(table), Some(ticket)) = (reply.as_mut(), self.tasks.get(), self.task.get()) else {
            return Ok(());
        };
        spool.settle(h, &table, ticket)
    }

    /// What bounds its result is the setting's of the task, which holds by now.
    pub(super) fn limit_result<H: WorkerHost>(&self, h: &H) {
        if let Some(Reply::Task(spool)) = self.reply.borrow_mut().as_mut() {
            let config = h.config();
            spool.limit(config.result_bytes, config.role_bytes);
        }
    }

    fn tell_end<H: WorkerHost>(&self, h: &H, table: &Table, ticket: Ticket, lease: Lease, rows: u64, error: Option<Box<Report>>) {
        let (mut end, mut sqlstate, mut message) = (TaskEnd::Done, 0, &b""[..]);
        if let Some(report) = &error {
            if let Some(Reply::Task(spool)) = self.reply.borrow_mut().as_mut() {
                spool.fail(h, table, ticket, report);
            }
            end = if report.sqlstate == QUERY_CANCELED && table.cancel_asked(ticket) { TaskEnd::Cancelled } else { TaskEnd::Failed };
            sqlstate = report.sqlstate;
            message = report.get(Field::Message).unwrap_or_default();
        }
        record_end(h, table, ticket, lease, &TaskOutcome { end, sqlstate, rows, message });
    }

    /// This process exits with a task in it. One that it was to take as an idle worker goes to another.
    pub(super) fn exit_with_task<H: WorkerHost>(&self, h: &H, slot: &Slot, generation: u64) {
        let lease = Lease { slot: self.slot.get(), generation };
        if self.tasks.get().is_none() {
            h.find_tasks();
        }
        let Some(table) = self.tasks.get() else { return };
        let Some(ticket) = table.running_on(lease) else { return };
        let last_words = self.reply.try_borrow_mut().ok().and_then(|mut reply| match reply.as_mut() {
            Some(Reply::Task(spool)) => spool.take_last_words(),
            _ => None,
        });
        if !slot.taken(generation) && last_words.is_none() && self.attached_as() != generation {
            table.requeue(ticket, lease);
            return;
        }
        // Committed, and all said: only the cleaning up was left.
        if self.committed.get()
            && let Some(ending) = self.result.take()
        {
            return record_end(
                h,
                &table,
                ticket,
                lease,
                &TaskOutcome { end: TaskEnd::Done, sqlstate: 0, rows: ending.processed, message: b"" },
            );
        }
        let words = last_words.unwrap_or_else(|| Report::error(ADMIN_SHUTDOWN, "the worker of the task terminated"));
        let (commits, xid) = slot.gate.progress();
        let more = [
            (commits > 0).then_some(&b"; the task had committed before"[..]),
            (xid != 0).then_some(&b"; whether its last transaction has committed is unknown"[..]),
        ];
        let [before, last] = more.map(Option::unwrap_or_default);
        let said = words.get(Field::Message).unwrap_or_default();
        // The table keeps the beginning of a message only.
        let message = memory::joined(&[said, before, last], "a message").unwrap_or_default();
        let cancelled = table.cancel_asked(ticket);
        let end = if cancelled { TaskEnd::Cancelled } else { TaskEnd::Failed };
        if table.on_disk(ticket).is_some() || self.task.get().is_some() {
            h.drop_file(ticket.id);
        }
        table.clear_payload(ticket);
        // Not written down: the server may be stopping, and is to tell after its start what it interrupted.
        let change = table.finish(ticket, lease, &TaskOutcome { end, sqlstate: words.sqlstate, rows: 0, message: &message }, h.timestamp());
        table.waiters().wake(ticket.id, |proc| h.wake(proc));
        if change == (TaskChange::Freed { file: true }) {
            h.drop_file(ticket.id);
        }
    }
}

/// Say that a task has ended, write that down, and wake who waits for it.
fn record_end<H: WorkerHost>(h: &H, table: &Table, ticket: Ticket, lease: Lease, outcome: &TaskOutcome) {
    let pinned = table.pin(ticket);
    let mut change = table.finish(ticket, lease, outcome, h.timestamp());
    if let Some(record) = table.record(ticket) {
        h.write_down(ticket.index, &record);
    }
    table.waiters().wake(ticket.id, |proc| h.wake(proc));
    if pinned {
        change = table.unpin(ticket);
    }
    if change == (TaskChange::Freed { file: true }) {
        h.drop_file(ticket.id);
    }
}

fn nonsense() -> Report {
    Report::error(PROTOCOL_VIOLATION, "worker received a task that it does not understand")
}

fn no_memory(no: NoMemory) -> Box<Report> {
    Box::new(Report::out_of_memory(no))
}

/// The request of a task, which the table then need not keep.
fn read_request<H: WorkerHost>(h: &H, table: &Table, ticket: Ticket, words: &mut Vec<u64>) -> Result<(), Box<Report>> {
    let mut bytes = Vec::new();
    match table.load(ticket, &mut bytes) {
        Ok(()) => {}
        Err(Unloadable::OnDisk) => {
            let length = table.on_disk(ticket).unwrap_or(0) as usize;
            memory::extend(&mut bytes, length, 0, "a task").map_err(no_memory)?;
            h.read_file(ticket.id, 0, &mut bytes).map_err(|_| Box::new(h.error()))?;
            h.drop_file(ticket.id);
        }
        Err(Unloadable::NoMemory(no)) => return Err(no_memory(no)),
        Err(Unloadable::Gone) => return Err(Box::new(nonsense())),
    }
    table.clear_payload(ticket);
    words.clear();
    memory::append_words(words, &bytes, "a task").map_err(no_memory)?;
    Ok(())
}

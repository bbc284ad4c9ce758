//! One request: become the caller, open the transaction, run the statements, commit or abort.
//!
//! The order is the server's own for a client's command: settings and identity first, then the
//! transaction, each statement analyzed only after the one before has run, the commit last and
//! through the gate. Any failure aborts, and the error travels back as it was.

use super::plan_cache::{PlanCache, PlanKey, PlanRef};
use super::process::Worker;
use super::reply::Rows;
use crate::error::Error;
use crate::host::*;
use crate::memory;
use crate::pool::slot::Slot;
use crate::report::*;
use crate::wire::frame::Kind;
use crate::wire::message::{Ending, Request};

/// What the server says of a COMMIT in a transaction block.
const INVALID_TRANSACTION_TERMINATION: u32 = sqlstate(b"2D000");

impl Error {
    /// The error, after the host has written it to the server's log, as a client's backend does: while the command
    /// and the transaction in which it happened are still known.
    pub(super) fn logged<H: WorkerHost>(self, h: &H, worker: &Worker, deadlocked: bool) -> Box<Report> {
        let (mut report, saved) = match self {
            Self::Saved => (Box::new(h.error()), true),
            Self::Report(report) => (report, false),
        };
        if deadlocked && report.sqlstate == QUERY_CANCELED {
            report.sqlstate = DEADLOCK_DETECTED;
            report = Box::new(report.with(Field::Message, &b"deadlock detected"[..]));
        } else if report.sqlstate == QUERY_CANCELED
            && let Some(message) = worker.told_of_timeout(h, "canceling")
        {
            report = Box::new(report.with(Field::Message, message));
        }
        h.log(&report, saved);
        report
    }
}

/// Run a request's command in one transaction, and commit it.
pub(super) fn execute<H: WorkerHost>(
    h: &H,
    worker: &Worker,
    plans: &mut PlanCache<H::Plan>,
    request: &Request,
    capacity: usize,
) -> Result<(), Error> {
    // The caller's own timer runs for a single call; nobody's does for a task.
    h.begin(request.command, false, worker.running_task() != 0, request.timeout_ms)?;
    if let Some(snapshot) = request.snapshot {
        h.read_at(snapshot)?;
    }
    worker.limit_result(h);
    let wanted = PlanRef {
        command: request.command,
        types: request.args.iter().map(|arg| arg.type_oid),
        user: request.identity.current_user,
        parse_hash: request.parse_hash,
    };
    let mut rows = Rows { worker, h };
    if let Some(routine) = request.routine {
        h.run_routine(routine, &request.args, &request.columns, &mut rows)?;
        return commit(h, worker, request, Ending::default());
    }
    let processed = run_kept_or_all(h, worker, plans, request, &wanted, capacity)?;
    let tag = request.wants_tag().then(|| h.tag());
    commit(h, worker, request, Ending { processed, last: true, tag })
}

/// Run a request's command as one of a session: each statement is at the state that the one before has left,
/// and the transaction is the session's to end.
pub(super) fn execute_in_session<H: WorkerHost>(
    h: &H,
    worker: &Worker,
    plans: &mut PlanCache<H::Plan>,
    request: &Request,
    capacity: usize,
) -> Result<(), Error> {
    h.begin(request.command, true, true, 0)?;
    let (user, settings) = h.session_state();
    let wanted = PlanRef { command: request.command, types: request.args.iter().map(|arg| arg.type_oid), user, parse_hash: settings };
    let processed = run_kept_or_all(h, worker, plans, request, &wanted, capacity)?;
    commit(h, worker, request, Ending { processed, last: true, tag: Some(h.tag()) })
}

/// Run a command as its owner's client would send it: what needs a top level has one, several statements are one
/// transaction unless they control it themselves. If it was taken back it is not begun, and nothing is said of it.
pub(super) fn execute_command<H: WorkerHost>(h: &H, worker: &Worker, slot: &Slot, request: &Request) -> Result<(), Error> {
    if !slot.begin_batch(worker.generation.get(), 0) {
        return Ok(());
    }
    worker.begin_stamps(h);
    h.begin(request.command, false, true, request.timeout_ms)?;
    let wanted = PlanRef { command: request.command, types: std::iter::empty(), user: request.identity.current_user, parse_hash: 0 };
    // Such commands come seldom, and the name of a login's settings does not change with them: no plan is kept.
    let processed = run_all(h, worker, &mut PlanCache::default(), request, &wanted, 0)?;
    commit(h, worker, request, Ending { processed, last: true, tag: Some(h.tag()) })
}

/// Run the command of a job for one chunk, in one transaction with the record that the chunk is done.
pub(super) fn execute_chunk<H: WorkerHost>(h: &H, worker: &Worker, slot: &Slot, request: &Request) -> Result<(), Error> {
    if !slot.begin_batch(worker.generation.get(), 0) {
        return Ok(());
    }
    worker.begin_stamps(h);
    h.begin(request.command, false, true, request.timeout_ms)?;
    let types = request.args.iter().map(|arg| arg.type_oid);
    let wanted = PlanRef { command: request.command, types, user: request.identity.current_user, parse_hash: 0 };
    let processed = run_all(h, worker, &mut PlanCache::default(), request, &wanted, 0).map_err(|error| of_chunk(h, error))?;
    h.record_chunk(request.routine.unwrap_or_default(), processed)?;
    commit(h, worker, request, Ending { processed, last: true, tag: None })
}

/// A routine that ends its transaction is refused in other words by the server, which sees a transaction block only.
fn of_chunk<H: WorkerHost>(h: &H, error: Error) -> Error {
    match error {
        Error::Saved if h.error().sqlstate == INVALID_TRANSACTION_TERMINATION => {
            let (said, refusal) = (h.error(), refused(Refusal::Transaction, Mode::Chunk, 0, 0));
            match said.get(Field::Context).map(|context| memory::copy(context, "an error")) {
                Some(Ok(context)) => refusal.with(Field::Context, context).into(),
                _ => refusal.into(),
            }
        }
        error => error,
    }
}

/// By the plan that is kept for the command, if there is one and it says what the text says now.
fn run_kept_or_all<H: WorkerHost, T: Iterator<Item = u32> + Clone>(
    h: &H,
    worker: &Worker,
    plans: &mut PlanCache<H::Plan>,
    request: &Request,
    wanted: &PlanRef<T>,
    capacity: usize,
) -> Result<u64, Error> {
    let changes = h.catalog_changes();
    plans.catch_up(changes, |old| h.drop_plan(old));
    let Some(plan) = plans.find(wanted) else { return run_all(h, worker, plans, request, wanted, capacity) };
    // What was committed by those whose locks this had to wait for counts, too.
    if h.lock_plan(plan)? != changes {
        return run_all(h, worker, plans, request, wanted, capacity);
    }
    let processed = h.run(plan, false, &request.args, request.output, &request.columns, &mut Rows { worker, h })?;
    complete(h, worker, request, processed, true);
    Ok(processed)
}

/// Run the statements of a command one after the other; rows processed by the last.
fn run_all<H: WorkerHost, T: Iterator<Item = u32> + Clone>(
    h: &H,
    worker: &Worker,
    plans: &mut PlanCache<H::Plan>,
    request: &Request,
    wanted: &PlanRef<T>,
    capacity: usize,
) -> Result<u64, Error> {
    let mut rows = Rows { worker, h };
    let count = h.parse(request.command)?;
    let one_block = count > 1 || request.mode == Mode::Chunk;
    let mut processed = 0;
    let mut params = 0;
    for index in 0..count {
        let statement = h.prepare(index, &request.args)?;
        if let Some(refusal) = statement.refused.filter(|refusal| !allows(request, *refusal)) {
            return Err(refused(refusal, request.mode, h.my_pid(), worker.caller_pid()).into());
        }
        params = params.max(statement.params);
        let last = index + 1 == count;
        if last && request.args.len() > params as usize && request.mode != Mode::Chunk {
            return Err(too_many(request.args.len(), params).into());
        }
        let keeps = count == 1 && statement.cacheable && plans.takes(request.command, capacity);
        // One that was analyzed while the catalogs changed may be of neither state; one for whose key there is no memory
        // is made again.
        if keeps
            && statement.changes == h.catalog_changes()
            && plans.make_room().is_ok()
            && let Ok(key) = PlanKey::of(wanted)
        {
            h.keep_plan(statement.plan)?;
            plans.catch_up(statement.changes, |old| h.drop_plan(old));
            plans.insert(key, statement.plan, capacity, |old| h.drop_plan(old));
        }
        let output = if last || request.tells_statements_apart() { request.output } else { Output::None };
        let columns = if last { request.columns.as_slice() } else { &[] };
        processed = h.run(statement.plan, one_block, &request.args, output, columns, &mut rows)?;
        complete(h, worker, request, processed, last);
        if !last {
            h.next_statement(statement.refused == Some(Refusal::Transaction))?;
        }
    }
    if count == 0 && !request.args.is_empty() {
        return Err(too_many(request.args.len(), 0).into());
    }
    Ok(processed)
}

/// Where results are told apart: this statement is through.
fn complete<H: WorkerHost>(h: &H, worker: &Worker, request: &Request, processed: u64, last: bool) {
    if request.tells_statements_apart() {
        worker.send(h, Kind::Complete, &Ending { processed, last, tag: Some(h.tag()) }.encode());
    }
}

/// What is not for every command.
fn allows(request: &Request, what: Refusal) -> bool {
    match what {
        Refusal::Transaction => matches!(request.mode, Mode::Session | Mode::Command),
        Refusal::Listen => request.mode == Mode::Session,
        // Where the caller does not wait.
        Refusal::Concurrently => request.tells_statements_apart() || matches!(request.mode, Mode::Command | Mode::Chunk),
        Refusal::Copy => false,
    }
}

/// The last commit of a request: its result is sent from within, once nothing can stop it. But where
/// nobody may be reading, the answer waits until the transaction has ended.
fn commit<H: WorkerHost>(h: &H, worker: &Worker, request: &Request, ending: Ending) -> Result<(), Error> {
    if request.tells_statements_apart() {
        let before = worker.commits();
        let done = last_commit(h, worker);
        if done.is_ok() || worker.commits() > before {
            worker.result.replace(Some(ending));
            worker.committed.set(true);
        }
        return Ok(done?);
    }
    worker.result.replace(Some(ending));
    Ok(last_commit(h, worker)?)
}

/// The commit after which there is nothing left to cancel.
fn last_commit<H: WorkerHost>(h: &H, worker: &Worker) -> Result<(), Saved> {
    worker.last_commit.set(true);
    let done = h.commit();
    worker.last_commit.set(false);
    done
}

fn refused(what: Refusal, mode: Mode, worker: u32, caller: u32) -> Report {
    match what {
        Refusal::Transaction if mode == Mode::Chunk => Report::error(FEATURE_NOT_SUPPORTED, "transaction control is not allowed in the command of a job")
            .with(Field::Detail, "The command is one transaction with the record that its chunk is done.")
            .with(Field::Hint, "Leave COMMIT and ROLLBACK out: each chunk commits by itself. Smaller chunks make smaller transactions."),
        Refusal::Transaction => Report::error(FEATURE_NOT_SUPPORTED, "transaction control is not allowed in an autonomous command")
            .with(Field::Detail, "The command is one transaction, which commits when the command succeeds.")
            .with(Field::Hint, "For a transaction across several calls, open a session with autonomous_session_open."),
        Refusal::Copy => Report::error(FEATURE_NOT_SUPPORTED, "COPY to or from the client is not allowed in an autonomous command")
            .with(Field::Hint, "There is no client behind an autonomous transaction; use a query or INSERT, or COPY with a file."),
        Refusal::Concurrently => Report::error(DEADLOCK_DETECTED, "deadlock detected")
            .with(Field::Detail, format!(
                "Process {worker} waits for the snapshot of process {caller}, as building an index concurrently waits for all older ones.\nProcess {caller} waits for its autonomous transaction in process {worker}."
            ))
            .with(Field::Hint, match mode {
                Mode::Session => "Send the command with autonomous_session_send, and end this transaction before reading its result.",
                _ => "Build the index without CONCURRENTLY, or as a task: async_exec.",
            }),
        Refusal::Listen => Report::error(FEATURE_NOT_SUPPORTED, "LISTEN and UNLISTEN are not allowed in an autonomous command")
            .with(Field::Hint, "To receive notifications, open a session with autonomous_session_open."),
    }
}

fn too_many(given: usize, named: u32) -> Report {
    Report::error(SYNTAX_ERROR, "too many arguments for the autonomous command")
        .with(Field::Detail, format!("The command names {named} parameters, but {given} arguments were given."))
}

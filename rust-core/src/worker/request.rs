//! One request: become the caller, open the transaction, run the statements, commit or abort.
//!
//! The order is the server's own for a client's command: settings and identity first, then the
//! transaction, each statement analyzed only after the one before has run, the commit last and
//! through the gate. Any failure aborts, and the error travels back as it was.

use super::main_loop::Worker;
use super::plan_cache::{PlanCache, PlanKey, PlanRef};
use super::reply::Rows;
use crate::host::*;
use crate::report::*;
use crate::wire::message::Request;

/// Why a request failed: the error that the host keeps, or one of ours.
pub(super) enum Failed {
    Saved,
    Report(Box<Report>),
}

impl From<Saved> for Failed {
    fn from(_: Saved) -> Self {
        Self::Saved
    }
}

impl From<Report> for Failed {
    fn from(report: Report) -> Self {
        Self::Report(Box::new(report))
    }
}

/// Run a request's command in one transaction, and commit it.
pub(super) fn execute<H: WorkerHost>(
    h: &H,
    worker: &Worker,
    plans: &mut PlanCache<H::Plan>,
    request: &Request,
    capacity: usize,
) -> Result<(), Failed> {
    h.begin(request.command)?;
    let wanted = PlanRef {
        command: request.command,
        types: request.args.iter().map(|arg| arg.type_oid),
        user: request.identity.current_user,
        parse_hash: request.parse_hash,
    };
    let mut rows = Rows { worker, h };
    if let Some(routine) = request.routine {
        h.run_routine(routine, &request.args, &request.columns, &mut rows)?;
        return commit(h, worker, 0);
    }
    if let Some(plan) = plans.find(&wanted) {
        let processed = h.run(plan, false, &request.args, request.output, &request.columns, &mut rows)?;
        return commit(h, worker, processed);
    }
    let count = h.parse(request.command)?;
    let mut processed = 0;
    let mut params = 0;
    for index in 0..count {
        let statement = h.prepare(index, &request.args)?;
        if let Some(refusal) = statement.refused {
            return Err(refused(refusal, h.my_pid(), worker.caller_pid()).into());
        }
        params = params.max(statement.params);
        let last = index + 1 == count;
        if last && request.args.len() > params as usize {
            return Err(too_many(request.args.len(), params).into());
        }
        if count == 1 && statement.cacheable && plans.takes(request.command, capacity) {
            h.keep_plan(statement.plan)?;
            let key = PlanKey {
                command: request.command.to_vec(),
                types: wanted.types.clone().collect(),
                user: wanted.user,
                parse_hash: wanted.parse_hash,
            };
            plans.insert(key, statement.plan, capacity, |old| h.drop_plan(old));
        }
        let output = if last { request.output } else { Output::None };
        let columns = if last { request.columns.as_slice() } else { &[] };
        processed = h.run(statement.plan, count > 1, &request.args, output, columns, &mut rows)?;
        if !last {
            h.next_statement()?;
        }
    }
    if count == 0 && !request.args.is_empty() {
        return Err(too_many(request.args.len(), 0).into());
    }
    commit(h, worker, processed)
}

/// The last commit of a request: its result is sent from within, once nothing can stop it.
fn commit<H: WorkerHost>(h: &H, worker: &Worker, processed: u64) -> Result<(), Failed> {
    worker.result.set(Some(processed));
    Ok(h.commit()?)
}

fn refused(what: Refusal, worker: u32, caller: u32) -> Report {
    match what {
        Refusal::Transaction => Report::error(FEATURE_NOT_SUPPORTED, "transaction control is not allowed in an autonomous command")
            .with(Field::Detail, "The command is one transaction, which commits when the command succeeds.")
            .with(Field::Hint, "A transaction across several calls needs an autonomous session."),
        Refusal::Copy => Report::error(FEATURE_NOT_SUPPORTED, "COPY to or from the client is not allowed in an autonomous command")
            .with(Field::Hint, "There is no client behind an autonomous transaction; use a query or INSERT, or COPY with a file."),
        Refusal::Concurrently => Report::error(DEADLOCK_DETECTED, "deadlock detected")
            .with(Field::Detail, format!(
                "Process {worker} waits for the snapshot of process {caller}, as building an index concurrently waits for all older ones.\nProcess {caller} waits for its autonomous transaction in process {worker}."
            ))
            .with(Field::Hint, "Build the index without CONCURRENTLY, or from a connection of its own."),
        Refusal::Listen => Report::error(FEATURE_NOT_SUPPORTED, "LISTEN and UNLISTEN are not allowed in an autonomous command")
            .with(Field::Hint, "Receiving notifications needs an autonomous session, or a connection of its own."),
    }
}

fn too_many(given: usize, named: u32) -> Report {
    Report::error(SYNTAX_ERROR, "too many arguments for the autonomous command")
        .with(Field::Detail, format!("The command names {named} parameters, but {given} arguments were given."))
}

//! Events for one handler: batch after batch, each in a transaction that the handler's effects and the
//! acknowledgement share. One that fails does not keep the next ones from being tried, but for those of
//! its key, which are to follow it. Those that the coordinator has taken back are not begun, nor is anything when the
//! handler is not what it was: of what is not told the coordinator knows that it was not begun.

use super::process::Worker;
use crate::error::Error;
use crate::host::{Ran, Saved, WorkerHost};
use crate::memory;
use crate::pool::slot::Slot;
use crate::report::*;
use crate::wire::batch::{BatchEnd, encode, key_of, timeout_of};
use crate::wire::frame::Kind;
use crate::wire::message::{Ending, Request};

/// Run all batches of a request; what became of each is told at once.
pub(super) fn execute_events<H: WorkerHost>(h: &H, worker: &Worker, slot: &Slot, request: &Request, fit: &mut bool) -> Result<(), Error> {
    let generation = worker.generation.get();
    let handler = request.routine.unwrap_or_default();
    let mut failed_keys: Vec<u64> = Vec::new();
    for (index, batch) in request.args.iter().enumerate() {
        if slot.gate.cancelled(generation) || slot.abandoned(generation) || !*fit || !slot.begin_batch(generation, index) {
            break;
        }
        let key = key_of(batch.data);
        let end = if key != 0 && failed_keys.contains(&key) {
            BatchEnd::Skipped
        } else {
            match run_batch(h, request, handler, batch.data) {
                Ok(Ran::Done(put_off)) => {
                    // What comes after it in its key waits for what was put off.
                    if !put_off.is_empty() {
                        remember(&mut failed_keys, key, fit);
                    }
                    BatchEnd::Done(put_off)
                }
                Ok(Ran::Unwanted) => {
                    h.abort();
                    break;
                }
                Ok(Ran::Misplaced) => {
                    h.abort();
                    remember(&mut failed_keys, key, fit);
                    BatchEnd::Misplaced
                }
                Err(saved) => {
                    let report = Error::from(saved).logged(h, worker, false);
                    h.abort();
                    remember(&mut failed_keys, key, fit);
                    *fit &= report.severity < Severity::Fatal;
                    BatchEnd::Failed { sqlstate: report.sqlstate, message: report.texts() }
                }
            }
        };
        worker.send(h, Kind::Outcome, &encode(index, &end));
        // A handler's settings, locks and temporary tables are not for the next event.
        if index + 1 < request.args.len() {
            match h.clean(false) {
                Ok(true) => {}
                Ok(false) => h.adopt(&request.identity, request.settings)?,
                Err(Saved) => *fit = false,
            }
        }
    }
    worker.result.replace(Some(Ending { last: true, ..Ending::default() }));
    Ok(())
}

/// None of this key is begun after it. Where it cannot be remembered, none at all is.
fn remember(failed_keys: &mut Vec<u64>, key: u64, fit: &mut bool) {
    if key != 0 {
        *fit &= memory::push(failed_keys, key, "keys of events").is_ok();
    }
}

/// Where it is not done, the transaction is to be aborted.
fn run_batch<H: WorkerHost>(h: &H, request: &Request, handler: &[u8], batch: &[u8]) -> Result<Ran, Saved> {
    h.begin(request.command, false, false, timeout_of(batch).unwrap_or(request.timeout_ms))?;
    let ran = h.run_events(handler, batch)?;
    if matches!(ran, Ran::Done(_)) {
        h.commit()?;
    }
    Ok(ran)
}

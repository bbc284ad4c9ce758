//! Work goes out to workers, and what they say of it comes back.

use super::backoff::{refusal_counts, shortage};
use super::handler::Handler;
use super::host::EventHost;
use super::part::{Events, HandlerLease};
use super::recall::events_of;
use super::settle::{CRASH, Failure};
use super::spec::{Batch, BatchItems, LogEntry, Spec};
use crate::coordinator::part::Context;
use crate::coordinator::runner;
use crate::definition::{LOOK_AGAIN_US, Standing};
use crate::host::Saved;
use crate::lease::work::LeaseUpdate;
use crate::report::QUERY_CANCELED;
use crate::wire::batch::BatchEnd;
use std::collections::{BTreeMap, BTreeSet};

/// Leases that are asked for at a time, at most.
const WINDOW: usize = 64;

/// A lease that is asked for.
pub(super) struct Plan {
    handler: u32,
    notes: bool,
    batches: Vec<Batch>,
}

impl Events {
    /// Start what may start, as long as there are workers. Attempts are recorded before; so as not to record
    /// many that are not made, none is for whom there is no worker at a look, and not many more leases are asked for
    /// at a time than were granted lately. Those of leases that were none are withdrawn.
    pub(super) fn start<H: EventHost>(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        let h = cx.host;
        let now = h.timestamp();
        let mono = h.now_us();
        for handler in self.handlers.values_mut() {
            handler.expire(&mut self.ledger, now);
            handler.queue.promote(now);
            handler.held_until = handler.held_until.filter(|until| *until > mono);
            handler.width.widen(mono);
        }
        self.look_at_rates(h, mono);
        self.ask_standing(h)?;
        loop {
            self.look_for_workers(cx)?;
            let plans = self.plan(cx, now);
            if plans.is_empty() {
                self.withdraw_recalled();
            }
            if let Err(error) = self.record(h, &plans) {
                self.give_back(plans, now);
                return Err(error);
            }
            if plans.is_empty() {
                break;
            }
            let asked = plans.len();
            let granted = self.launch(cx, plans, now)?;
            self.window = if granted == asked { (self.window * 2).min(WINDOW) } else { granted.max(1) };
            // By the same moment: of a handler that may begin more only since then, the standing was not asked.
            self.look_at_rates(h, mono);
        }
        self.starved = self.handlers.values().any(|handler| handler.may_start() && cx.refuses(handler.spec.owner));
        if self.starved {
            cx.went_without();
        }
        Ok(())
    }

    /// Before attempts are recorded: of a handler whose owner may not act none is made.
    fn ask_standing<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let mono = h.now_us();
        let again = mono >= self.look_again_at;
        let wanted = |handler: &&mut Handler| handler.would_start() && (again || !handler.barred);
        let mut asked: Vec<&mut Handler> = self.handlers.values_mut().filter(wanted).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let specs: Vec<&Spec> = asked.iter().map(|handler| &handler.spec).collect();
        let standings = h.standing(&specs)?;
        for (handler, standing) in asked.iter_mut().zip(standings) {
            handler.barred = !matches!(standing, Standing::Acts { .. });
            match standing {
                Standing::Acts { owner, superuser } => {
                    // Its row has the name of the last owner.
                    if handler.spec.owner != 0 && handler.spec.owner != owner {
                        (self.told, self.reload_at) = (true, mono);
                    }
                    (handler.spec.owner, handler.spec.owner_is_superuser) = (owner, superuser);
                }
                Standing::Waits => {}
                Standing::Ended => (self.told, self.reload_at) = (true, mono),
            }
        }
        if again {
            self.look_again_at = mono + LOOK_AGAIN_US;
        }
        Ok(())
    }

    /// Microseconds until it is time to ask again for those whose owners could not act.
    pub(super) fn standing_wait(&self, mono: u64) -> u64 {
        let barred = self.handlers.values().any(|handler| handler.barred && handler.would_start());
        if barred { self.look_again_at.saturating_sub(mono) } else { u64::MAX }
    }

    /// Every handler that has something to start, and for which there is no worker, counts as refused.
    fn look_for_workers<H: EventHost>(&self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        let mut asked = BTreeSet::new();
        for spec in self.handlers.values().filter(|handler| handler.may_start()).map(|handler| &handler.spec) {
            if !cx.refuses(spec.owner) && asked.insert(spec.owner) {
                cx.look_for(spec.owner, spec.owner_is_superuser)?;
            }
        }
        Ok(())
    }

    /// A lease of each handler in turn, and again, but none of an owner for whom there is no worker.
    fn plan<H: EventHost>(&mut self, cx: &Context<'_, H>, now: i64) -> Vec<Plan> {
        let mut plans = Vec::new();
        let able = self.handlers.iter().filter(|(_, handler)| handler.may_start() && !cx.refuses(handler.spec.owner));
        let mut able: Vec<u32> = able.map(|(id, _)| *id).collect();
        let first = able.partition_point(|id| *id < self.turn);
        able.rotate_left(first);
        while !able.is_empty() {
            able.retain(|id| {
                let batches = match self.handlers.get_mut(id) {
                    Some(handler) if plans.len() < self.window => handler.plan(&mut self.ledger, now),
                    _ => None,
                };
                let Some(batches) = batches else { return false };
                let notes = batches.iter().any(|batch| matches!(batch.work, BatchItems::Notifications(_)));
                plans.push(Plan { handler: *id, notes, batches });
                true
            });
        }
        plans
    }

    /// Write down what has happened, and the attempts that are about to be made.
    pub(super) fn record<H: EventHost>(&mut self, h: &H, plans: &[Plan]) -> Result<(), Saved> {
        let mut attempts: BTreeMap<(u32, u8, u32), Vec<i64>> = BTreeMap::new();
        let mut freed = BTreeSet::new();
        for plan in plans {
            let Some(handler) = self.handlers.get_mut(&plan.handler) else { continue };
            for batch in &plan.batches {
                let BatchItems::Events { partition, ids, .. } = &batch.work else { continue };
                let new = ids.iter().filter(|id| handler.queue.get_mut(**id).is_some_and(|item| !item.logged));
                let new: Vec<i64> = new.copied().collect();
                freed.extend(new.iter().filter(|id| handler.queue.get(**id).is_some_and(|item| item.frees_key)));
                if !new.is_empty() {
                    attempts.entry((plan.handler, *partition, batch.attempt)).or_default().extend(new);
                }
            }
        }
        let happened = self.ledger.pending.len();
        let freed: Vec<i64> = freed.into_iter().collect();
        let attempts = attempts.into_iter();
        let attempts = attempts.map(|((handler, partition, attempt), events)| LogEntry::Attempt { handler, partition, events, attempt });
        self.ledger.pending.extend(attempts);
        if !freed.is_empty() {
            self.ledger.pending.push(LogEntry::KeysFreed { events: freed });
        }
        if !self.ledger.pending.is_empty() {
            self.rotation.stir();
            let recorded = h.record(&self.ledger.pending);
            let attempts = self.ledger.pending.split_off(happened);
            recorded?;
            self.ledger.pending.clear();
            attempts.into_iter().for_each(|attempt| self.set_logged(&attempt));
        }
        Ok(())
    }

    fn set_logged(&mut self, attempt: &LogEntry) {
        let LogEntry::Attempt { handler, events, .. } = attempt else { return };
        let Some(handler) = self.handlers.get_mut(handler) else { return };
        for id in events {
            handler.queue.get_mut(*id).into_iter().for_each(|item| item.logged = true);
        }
    }

    /// Ask for workers; how many there were.
    fn launch<H: EventHost>(&mut self, cx: &mut Context<'_, H>, plans: Vec<Plan>, now: i64) -> Result<usize, Saved> {
        let mut idle = Vec::new();
        let mut granted = 0;
        let mut failed = None;
        for plan in plans {
            let spec = match self.handlers.get(&plan.handler).map(|handler| &handler.spec) {
                Some(spec) if failed.is_none() && !cx.refuses(spec.owner) => spec,
                _ => {
                    idle.push(plan);
                    continue;
                }
            };
            match cx.start(spec.owner, &runner::Work::Batches { handler: spec, batches: &plan.batches }) {
                Ok(Some(number)) => {
                    granted += 1;
                    self.turn = plan.handler.wrapping_add(1);
                    self.leases.insert(number, HandlerLease::new(plan.handler, plan.notes, plan.batches, cx.host.now_us()));
                }
                Ok(None) => idle.push(plan),
                Err(error) => {
                    failed = Some(error);
                    idle.push(plan);
                }
            }
        }
        self.give_back(idle, now);
        failed.map_or(Ok(granted), Err)
    }

    /// Leases that were none, in the order in which they were planned.
    fn give_back(&mut self, plans: Vec<Plan>, now: i64) {
        for plan in plans.into_iter().rev() {
            self.recalled.extend(plan.batches.iter().flat_map(ids_of).map(|id| (plan.handler, *id)));
            if let Some(handler) = self.handlers.get_mut(&plan.handler) {
                handler.finish(plan.notes, plan.batches, &mut self.ledger, now);
            }
        }
        // However often it fails, each of them is there once.
        self.recalled.sort_unstable();
        self.recalled.dedup();
    }

    /// What a worker said of a lease.
    pub(super) fn hear_of<H: EventHost>(&mut self, h: &H, number: u64, said: LeaseUpdate, now: i64) {
        self.rotation.stir();
        let Some(lease) = self.leases.get_mut(&number) else { return };
        let Some(handler) = self.handlers.get_mut(&lease.handler) else { return };
        let ledger = &mut self.ledger;
        let over = !matches!(said, LeaseUpdate::Batch(..));
        let begun = match &said {
            LeaseUpdate::Batch(_, BatchEnd::Skipped | BatchEnd::Misplaced) => 0,
            LeaseUpdate::Batch(index, _) => index + 1,
            LeaseUpdate::Lost { begun } | LeaseUpdate::TimedOut { begun, .. } => *begun,
            _ => 0,
        };
        lease.said_of(&mut handler.rate, begun, h.now_us());
        match said {
            LeaseUpdate::Batch(index, became) => {
                let Some(batch) = lease.batches.get_mut(index).and_then(Option::take) else { return };
                match became {
                    BatchEnd::Done(put_off) => {
                        handler.refusals = 0;
                        handler.done(&batch, &put_off, ledger, now);
                    }
                    BatchEnd::Failed { sqlstate, message } => {
                        if shortage(sqlstate) {
                            handler.width.was_short(handler.leases, h.now_us());
                        }
                        handler.failed(h, &batch, Failure { sqlstate, message: &message, crash: false }, ledger, now);
                    }
                    BatchEnd::Skipped | BatchEnd::Misplaced => {
                        lease.did_not(&mut handler.rate, index, events_of(&batch));
                        self.recalled.extend(ids_of(&batch).iter().map(|id| (lease.handler, *id)));
                        handler.take_back(vec![batch], ledger, now);
                        if became == BatchEnd::Misplaced {
                            // What others have is not where it was either.
                            self.misplaced = true;
                            self.recall_of(|lease| !lease.notes);
                        }
                    }
                }
            }
            LeaseUpdate::Refused { sqlstate, message } if refusal_counts(sqlstate) => {
                let failure = Failure { sqlstate, message: &message, crash: false };
                let rest = lease.batches.iter_mut().filter_map(Option::take);
                rest.for_each(|batch| handler.failed(h, &batch, failure, ledger, now));
            }
            LeaseUpdate::Refused { sqlstate, message } => {
                handler.refused(h, sqlstate, &message);
                self.recalled.extend(lease.ids().map(|id| (lease.handler, id)));
            }
            LeaseUpdate::Lost { begun } | LeaseUpdate::TimedOut { begun, .. } => {
                let index = lease.batches.iter().take(begun).position(Option::is_some);
                let Ok(done) = lease.committed(h, index, &handler.queue) else {
                    self.unsure.push((number, said));
                    return;
                };
                let batch = index.and_then(|index| lease.batches[index].take());
                let failure = match &said {
                    LeaseUpdate::TimedOut { message, .. } => Failure { sqlstate: QUERY_CANCELED, message, crash: false },
                    _ => CRASH,
                };
                match batch.map(|batch| (batch, done)) {
                    Some((batch, Some(put_off))) => handler.done(&batch, &put_off, ledger, now),
                    Some((batch, None)) => handler.failed(h, &batch, failure, ledger, now),
                    None => {}
                }
            }
            // Of an event's lease no command is told.
            LeaseUpdate::Over | LeaseUpdate::Began { .. } | LeaseUpdate::Ended(_) => {}
        }
        if over {
            self.end_lease(h, number, now);
        }
    }

    /// Of workers that have gone: what could not be found out is looked for again.
    pub(super) fn ask_again<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let now = h.timestamp();
        std::mem::take(&mut self.unsure).into_iter().for_each(|(number, said)| self.hear_of(h, number, said, now));
        if self.unsure.is_empty() { Ok(()) } else { Err(Saved) }
    }

    fn end_lease<H: EventHost>(&mut self, h: &H, number: u64, now: i64) {
        let Some(lease) = self.leases.remove(&number) else { return };
        let Some(handler) = self.handlers.get_mut(&lease.handler) else { return };
        handler.grow_chunk(&lease, h.now_us());
        let rest: Vec<Batch> = lease.batches.into_iter().flatten().collect();
        self.recalled.extend(rest.iter().flat_map(ids_of).map(|id| (lease.handler, *id)));
        handler.finish(lease.notes, rest, &mut self.ledger, now);
        if handler.removed {
            self.forget_removed();
        }
    }
}

fn ids_of(batch: &Batch) -> &[i64] {
    match &batch.work {
        BatchItems::Events { ids, .. } => ids,
        BatchItems::Notifications(_) => &[],
    }
}

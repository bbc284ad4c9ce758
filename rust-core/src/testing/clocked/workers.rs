//! Workers of the simulated world: they hold what they are given against the rules, and take their time.

use super::world::{End, Nature, State};
use crate::async_event::spec::*;
use crate::host::PutOff;
use crate::lease::work::LeaseUpdate;
use crate::report::{CONFIGURATION_LIMIT_EXCEEDED, CONNECTION_FAILURE, EVENT_DISCARDED, sqlstate};
use crate::wire::batch::BatchEnd;
use std::collections::{BTreeMap, BTreeSet};

pub const RAISED: u32 = sqlstate(b"P0001");
/// The database allows no connections.
pub const SHUT: u32 = sqlstate(b"55000");
pub const CONFLICT: u32 = sqlstate(b"40001");

/// A lease under way.
#[derive(Clone, Debug)]
pub struct Running {
    pub spec: Spec,
    pub batches: Vec<Batch>,
    pub index: usize,
    /// Batches that it may begin.
    allowed: usize,
    begun: bool,
    pub finishes_at: u64,
    failed_keys: BTreeSet<u64>,
    /// The step that started it.
    pub started: u64,
}

pub fn ids(batch: &Batch) -> &[i64] {
    match &batch.work {
        BatchItems::Events { ids, .. } => ids,
        BatchItems::Notifications(_) => &[],
    }
}

impl Running {
    pub fn recall(&mut self, keep: usize) -> usize {
        self.allowed = self.allowed.min(keep.max(self.index + usize::from(self.begun)));
        self.allowed
    }

    pub fn begun(&self) -> usize {
        self.index + usize::from(self.begun)
    }

    /// What has not ended, and may still run.
    pub fn left(&self) -> &[Batch] {
        &self.batches[self.index.min(self.allowed)..self.allowed]
    }

    /// Events and notifications that may still run.
    pub fn events(&self) -> usize {
        let of = |batch: &Batch| match &batch.work {
            BatchItems::Events { ids, .. } => ids.len(),
            BatchItems::Notifications(notes) => notes.len(),
        };
        self.left().iter().map(of).sum()
    }

    pub fn has(&self, event: i64) -> bool {
        self.left().iter().any(|batch| ids(batch).contains(&event))
    }
}

impl State {
    pub fn begin_lease(&mut self, number: u64, spec: &Spec, batches: &[Batch]) -> bool {
        let current = self.specs.iter().find(|other| other.id == spec.id).cloned();
        if current.is_none_or(|current| current.paused) {
            self.wrong(format!("{} is paused or gone, and runs", spec.id));
        }
        if self.leases.values().filter(|lease| lease.spec.id == spec.id).count() >= spec.concurrency as usize {
            self.wrong(format!("{} runs too often", spec.id));
        }
        if spec.owner == 0 {
            self.wrong(format!("{} runs as nobody", spec.id));
        }
        for batch in batches {
            self.check_batch(spec, batch);
        }
        self.check_keys(spec, batches);
        if self.leases.len() >= self.workers {
            return false;
        }
        self.next_lease += 1;
        let (batches, started, allowed) = (batches.to_vec(), self.step, batches.len());
        let lease = Running {
            spec: spec.clone(),
            batches,
            index: 0,
            allowed,
            begun: false,
            finishes_at: self.mono,
            failed_keys: BTreeSet::new(),
            started,
        };
        self.leases.insert(number, lease);
        true
    }

    fn check_batch(&mut self, spec: &Spec, batch: &Batch) {
        let BatchItems::Events { partition, tids, ids } = &batch.work else { return };
        if ids.is_empty() || ids.len() > spec.batch_size as usize || tids.len() != ids.len() {
            self.wrong(format!("a batch of {} for {}", ids.len(), spec.id));
        }
        for (id, tid) in ids.iter().zip(tids) {
            let logged = self.logged(*id, spec.id).clone();
            let most = self.most_attempts(*id, spec.id).unwrap_or(0) + 1;
            if logged.attempts != batch.attempt || !logged.unfinished || batch.attempt > most {
                self.wrong(format!("attempt {} of {id} for {}: {logged:?}", batch.attempt, spec.id));
            }
            if !self.lies(*id, *partition, *tid) && !self.rewritten {
                self.wrong(format!("{id} is not where it is looked for"));
            }
            if self.leases.values().any(|lease| lease.spec.id == spec.id && lease.has(*id)) {
                self.wrong(format!("{id} runs twice for {}", spec.id));
            }
        }
        let key = |id: &i64| self.rows.get(id).map(|row| row.event.key.clone());
        if spec.ordered && ids.iter().any(|id| key(id) != key(&ids[0])) {
            self.wrong(format!("{ids:?} are not of one key"));
        }
    }

    /// No more of a key than may run at a time.
    fn check_keys(&mut self, spec: &Spec, batches: &[Batch]) {
        let most = if spec.ordered { 0 } else { spec.key_concurrency as usize };
        let with_workers = self.leases.values().filter(|lease| lease.spec.id == spec.id).flat_map(Running::left);
        let key = |id: &i64| self.rows.get(id)?.event.key.clone();
        let given: BTreeSet<Vec<u8>> = batches.iter().flat_map(ids).filter_map(key).collect();
        let mut of_key: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for key in with_workers.chain(batches).flat_map(ids).filter_map(key) {
            *of_key.entry(key).or_default() += 1;
        }
        let crowd = of_key.into_iter().find(|(key, count)| most > 0 && *count > most && given.contains(key));
        crowd.into_iter().for_each(|(key, count)| self.wrong(format!("{count} of key {key:?} run for {}", spec.id)));
    }

    /// No more than so many begin in any period.
    fn check_rate(&mut self, handler: u32, count: usize, events: bool) {
        self.starts.push((handler, self.mono, count, events));
        let Some(spec) = self.specs.iter().find(|spec| spec.id == handler && spec.rate_limit > 0) else { return };
        let (limit, period) = (spec.rate_limit as usize, spec.rate_period_us as u64);
        let (changed, more) = self.rate_since.get(&handler).copied().unwrap_or_default();
        let since = self.mono.saturating_sub(period - 1).max(changed + 1);
        let begun: usize = self.starts.iter().filter(|(of, at, ..)| *of == handler && *at >= since).map(|(_, _, count, _)| count).sum();
        if begun > limit + more {
            self.wrong(format!("{begun} begin for {handler} in {period} us, and not {limit}"));
        }
    }

    /// Let time pass for workers.
    pub fn work(&mut self) {
        for number in self.leases.keys().copied().collect::<Vec<_>>() {
            while self.leases.get(&number).is_some_and(|lease| lease.finishes_at <= self.mono) {
                self.work_on(number);
            }
        }
    }

    fn end_lease(&mut self, number: u64, said: LeaseUpdate) {
        self.leases.remove(&number);
        self.heard.push((number, said));
    }

    /// The batch that runs has ended, or the next one begins.
    fn work_on(&mut self, number: u64) {
        let lease = self.leases[&number].clone();
        let Some(batch) = lease.batches[..lease.allowed].get(lease.index).cloned() else {
            return self.end_lease(number, LeaseUpdate::Over);
        };
        let index = lease.index;
        let deaths = self.deaths;
        if !lease.begun {
            if batch.key.is_some_and(|key| lease.failed_keys.contains(&key)) {
                self.heard.push((number, LeaseUpdate::Batch(index, BatchEnd::Skipped)));
                self.leases.get_mut(&number).unwrap().index += 1;
                return;
            }
            if let Some(sqlstate) = self.refuses {
                return self.end_lease(number, LeaseUpdate::Refused { sqlstate, message: b"not now".to_vec() });
            }
            if self.rng.f64() < deaths {
                return self.end_lease(number, LeaseUpdate::Refused { sqlstate: SHUT, message: b"not now".to_vec() });
            }
            if self.rng.f64() < deaths {
                return self.end_lease(number, LeaseUpdate::Over);
            }
            if self.rng.f64() < deaths {
                return self.end_lease(number, LeaseUpdate::Lost { begun: 0 });
            }
            if !self.finds(&batch) {
                let lease = self.leases.get_mut(&number).unwrap();
                lease.failed_keys.extend(batch.key);
                lease.index += 1;
                self.heard.push((number, LeaseUpdate::Batch(index, BatchEnd::Misplaced)));
                return;
            }
            let now = self.specs.iter().find(|spec| spec.id == lease.spec.id);
            if now.is_none_or(|now| now.paused || now.ordered != lease.spec.ordered) {
                return self.end_lease(number, LeaseUpdate::Over);
            }
            self.begin_batch(&lease, &batch);
            let takes = self.takes(&batch);
            let lease = self.leases.get_mut(&number).unwrap();
            (lease.begun, lease.finishes_at) = (true, lease.finishes_at.max(self.mono) + takes);
            return;
        }
        match self.verdict(lease.spec.id, &batch) {
            Err(CONNECTION_FAILURE) => {
                ids(&batch).iter().for_each(|id| self.logged(*id, lease.spec.id).crashes += 1);
                return self.end_lease(number, LeaseUpdate::Lost { begun: index + 1 });
            }
            Err(sqlstate) => {
                let lease = self.leases.get_mut(&number).unwrap();
                lease.failed_keys.extend(batch.key);
                self.heard.push((number, LeaseUpdate::Batch(index, BatchEnd::Failed { sqlstate, message: b"oops".to_vec() })));
            }
            Ok(()) => {
                let mut put_off = Vec::new();
                for id in ids(&batch) {
                    let behind = batch.key.is_some() && !put_off.is_empty();
                    match self.snoozes(*id, lease.spec.id, behind) {
                        Some(until) => put_off.push(PutOff { event: *id, until }),
                        None => self.acknowledge(*id, lease.spec.id),
                    }
                }
                if !put_off.is_empty() {
                    self.leases.get_mut(&number).unwrap().failed_keys.extend(batch.key);
                }
                // It may go before it can say so.
                if self.rng.f64() < deaths {
                    return self.end_lease(number, LeaseUpdate::Lost { begun: index + 1 });
                }
                self.heard.push((number, LeaseUpdate::Batch(index, BatchEnd::Done(put_off))));
            }
        }
        if let Some(lease) = self.leases.get_mut(&number) {
            (lease.index, lease.begun) = (index + 1, false);
        }
    }

    fn finds(&self, batch: &Batch) -> bool {
        let BatchItems::Events { partition, tids, ids } = &batch.work else { return true };
        ids.iter().zip(tids).all(|(id, tid)| self.lies(*id, *partition, *tid))
    }

    fn takes(&mut self, batch: &Batch) -> u64 {
        let slow = ids(batch).iter().filter_map(|id| match self.rows.get(id)?.nature {
            Nature::Takes(us) => Some(us),
            _ => None,
        });
        let slow = slow.sum();
        if slow > 0 { slow } else { 1 + self.rng.u64(..self.batch_us) }
    }

    fn begin_batch(&mut self, lease: &Running, batch: &Batch) {
        let handler = lease.spec.id;
        let count = match &batch.work {
            BatchItems::Notifications(notes) => notes.len(),
            BatchItems::Events { ids, .. } => ids.len(),
        };
        self.check_rate(handler, count, !matches!(batch.work, BatchItems::Notifications(_)));
        if let BatchItems::Notifications(notes) = &batch.work {
            self.noted.extend(notes.iter().map(|note| (handler, note.payload.clone())));
        }
        for id in ids(batch) {
            self.began.push((handler, *id));
            self.logged(*id, handler).runs += 1;
            let spilled = self.spilled.get(id).cloned();
            self.noted.extend(spilled.map(|payload| (handler, payload)));
            if lease.spec.ordered {
                self.check_order(lease, *id, ids(batch));
            }
        }
    }

    /// Whoever is before it in its key, and was known when the lease began, has ended.
    fn check_order(&mut self, lease: &Running, id: i64, batch: &[i64]) {
        let (key, handler) = (self.rows[&id].event.key.clone(), lease.spec.id);
        let before = self.rows.range(..id).map(|(_, row)| row).filter(|row| {
            let known = row.committed && row.fetched && row.fetched_at < lease.started && row.event.key == key;
            known && self.handlers_of(&row.event).contains(&handler) && !batch.contains(&row.event.id)
        });
        let waits = before.map(|row| row.event.id).find(|other| self.ended(*other, handler).is_none());
        if let Some(other) = waits {
            self.wrong(format!("{id} runs for {handler} before {other}"));
        }
    }

    fn verdict(&mut self, handler: u32, batch: &Batch) -> Result<(), u32> {
        if self.rng.f64() < self.deaths {
            return Err(CONNECTION_FAILURE);
        }
        for id in ids(batch) {
            let Some(nature) = self.rows.get(id).map(|row| row.nature) else { continue };
            let runs = self.logged(*id, handler).runs;
            match nature {
                Nature::Fails(n) if runs <= n => return Err(RAISED),
                Nature::Conflicts(n) if runs <= n => return Err(CONFLICT),
                Nature::Discards => return Err(EVENT_DISCARDED),
                Nature::Starves(n) if runs <= n => return Err(CONFIGURATION_LIMIT_EXCEEDED),
                Nature::KillsWorker(n) if runs <= n => return Err(CONNECTION_FAILURE),
                Nature::KillsServer(n) if runs <= n => {
                    self.server_died = true;
                    return Err(CONNECTION_FAILURE);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the handler did is committed, and the event comes again then.
    fn snoozes(&mut self, event: i64, handler: u32, behind: bool) -> Option<i64> {
        let nature = self.rows.get(&event).map(|row| row.nature);
        let wall = self.wall;
        let logged = self.logged(event, handler);
        let until = match nature {
            // It follows one of its key that was put off, and was not called.
            _ if behind => wall,
            Some(Nature::Snoozes(times, us)) if logged.snoozed < times => {
                logged.snoozed += 1;
                wall + us
            }
            _ => return None,
        };
        logged.put_offs += 1;
        logged.attempts -= 1;
        (logged.next_at, logged.asked, logged.unfinished) = (Some(until), true, false);
        if logged.end.is_some() {
            self.wrong(format!("{event} is put off for {handler}, and has ended"));
        }
        Some(until)
    }

    /// The handler's effects and its acknowledgement are committed.
    fn acknowledge(&mut self, event: i64, handler: u32) {
        let logged = self.logged(event, handler);
        let before = logged.end.replace(End::Done);
        logged.effects += 1;
        if before.is_some() {
            self.wrong(format!("{event} is done for {handler}, and was {before:?} before"));
        }
    }
}

//! Events that consumers take by themselves: what they ask for is answered, and what they say of it is in the log.
//!
//! A lease is one answer: some events, until a time. The log has it before the consumer knows its number. Acknowledgements are
//! lines of the log too, written by the consumer's own transactions; so what a lease has become of is read there, when a
//! command tells of news, and when its time is over. Who says that it is over looks first, under a lock that whoever
//! acknowledges holds until its transaction has ended: so one of both is first (c-shim/events/lease.c).

use super::handler::Handler;
use super::host::EventHost;
use super::ledger::Ledger;
use super::part::Events;
use super::recall::events_of;
use super::settle::Failure;
use super::spec::{Batch, BatchItems, KnownLease, LeaseFate, LeaseOver, LogEntry};
use crate::host::Saved;
use crate::launcher::pulls::{PLACES, Question, Ticket, Wanted};
use crate::report::{QUERY_CANCELED, RAISE_EXCEPTION};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers of leases of one generation.
const NUMBERS: i64 = 1 << 24;

/// When a lease is looked at again that an open transaction says something of.
const BUSY_US: u64 = 1_000_000;

const RAN_OUT: &[u8] = b"the lease of the consumer ran out";

#[derive(Clone, Copy, Debug)]
struct Leased {
    lease: i64,
    until: u64,
}

#[derive(Debug, Default)]
pub(super) struct Pulls {
    /// By handler and event.
    leased: BTreeMap<(u32, i64), Leased>,
    ends: BTreeSet<(u64, (u32, i64))>,
    /// Leases of which the log has news.
    news: BTreeSet<i64>,
    /// The last number that was given; 0: none.
    number: i64,
    /// Consumers have asked.
    pub asked: bool,
    /// Handlers for whose events consumers wait.
    hungry: BTreeSet<u32>,
}

impl Pulls {
    fn set(&mut self, of: (u32, i64), leased: Leased) {
        self.unset(of);
        self.leased.insert(of, leased);
        self.ends.insert((leased.until, of));
    }

    fn unset(&mut self, of: (u32, i64)) -> bool {
        let was = self.leased.remove(&of);
        was.inspect(|was| _ = self.ends.remove(&(was.until, of))).is_some()
    }

    fn has(&self, of: (u32, i64), lease: i64) -> bool {
        self.leased.get(&of).is_some_and(|leased| leased.lease == lease)
    }

    /// There is news of it.
    pub fn tell(&mut self, lease: i64) {
        self.news.insert(lease);
    }

    /// There are numbers for as many leases as can be asked for at a time.
    fn look_for_numbers<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let used = self.number % NUMBERS;
        if used == 0 || used + PLACES as i64 >= NUMBERS {
            self.number = h.lease_generation()?.saturating_mul(NUMBERS);
        }
        Ok(())
    }

    fn take_number(&mut self) -> i64 {
        self.number += 1;
        self.number
    }
}

/// What one consumer is about to get.
struct Grant {
    ticket: Ticket,
    handler: u32,
    lease: i64,
    until: u64,
    batches: Vec<Batch>,
}

impl Handler {
    /// What a consumer gets, of what waits.
    fn give(&mut self, most: usize, ledger: &mut Ledger, (mono, now): (u64, i64)) -> Vec<Batch> {
        if self.removed || self.spec.paused || !self.spec.pull {
            return Vec::new();
        }
        self.rate.look(0, mono);
        let most = most.min(self.rate.room());
        let batches = self.queue.take(most, most, now);
        self.rate.began(batches.iter().map(events_of).sum(), mono);
        batches.iter().for_each(|batch| batch_ids(batch).for_each(|(id, partition)| ledger.begin(id, partition)));
        batches
    }

    /// Nobody has it after all.
    fn keep(&mut self, id: i64, ledger: &mut Ledger, now: i64) {
        let Some(partition) = self.queue.get(id).map(|item| item.partition) else { return };
        ledger.pause(id, partition);
        self.queue.again(id, now);
    }
}

fn batch_ids(batch: &Batch) -> impl Iterator<Item = (i64, u8)> + use<'_> {
    let (ids, partition): (&[i64], u8) = match &batch.work {
        BatchItems::Events { ids, partition, .. } => (ids, *partition),
        BatchItems::Notifications(_) => (&[], 0),
    };
    ids.iter().map(move |id| (*id, partition))
}

impl Events {
    /// Of an event that the log has as a consumer's.
    pub(super) fn resume_lease(&mut self, handler: u32, event: i64, lease: KnownLease, mono: u64) {
        let of = self.handlers.get_mut(&handler).filter(|handler| !handler.removed);
        let Some(of) = of.filter(|of| of.queue.get(event).is_some_and(|item| !item.running())) else { return };
        let Some(partition) = of.queue.get(event).map(|item| item.partition) else { return };
        of.queue.resume(event);
        self.ledger.begin(event, partition);
        self.pulls.set((handler, event), Leased { lease: lease.number, until: mono.saturating_add(lease.left_us) });
        self.pulls.tell(lease.number);
    }

    /// Hear what consumers have said, take back what they have had too long, and answer what they ask.
    pub(super) fn pull<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        self.end_leases(h)?;
        if !self.pulls.asked && self.pulls.hungry.is_empty() {
            return Ok(());
        }
        let questions = h.questions();
        if !questions.is_empty() {
            self.pulls.look_for_numbers(h)?;
        }
        self.pulls.asked = false;
        self.pulls.hungry.clear();
        let (mut grants, mut entries, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for Question { ticket, handler, wanted } in questions {
            match wanted {
                Wanted::Events { most, lease_us, waits } => match self.grant(h, ticket, handler, (most as usize, lease_us)) {
                    Some(grant) => grants.push(grant),
                    None if waits => _ = self.pulls.hungry.insert(handler),
                    None => _ = h.answer(ticket, 0, &[]),
                },
                Wanted::Leases { events, lease_us } => {
                    let leases = self.leases_of(h, handler, &events, lease_us, &mut entries);
                    answers.push((ticket, leases));
                }
            }
        }
        entries.extend(grants.iter().flat_map(|grant| self.leased_entries(h, grant)));
        let recorded = self.record_leases(h, entries);
        if let Err(saved) = recorded {
            grants.into_iter().for_each(|grant| self.take_back_grant(h, grant, false));
            self.pulls.asked = true;
            return Err(saved);
        }
        answers.into_iter().for_each(|(ticket, leases)| _ = h.answer(ticket, 0, &leases));
        for grant in grants {
            let (handler, lease, until) = (grant.handler, grant.lease, grant.until);
            if h.answer(grant.ticket, lease, &[]) {
                let ids = grant.batches.iter().flat_map(batch_ids);
                ids.for_each(|(id, _)| self.pulls.set((handler, id), Leased { lease, until }));
            } else {
                self.take_back_grant(h, grant, true);
            }
        }
        Ok(())
    }

    fn grant<H: EventHost>(&mut self, h: &H, ticket: Ticket, handler: u32, (most, lease_us): (usize, u64)) -> Option<Grant> {
        let now = h.timestamp();
        let of = self.handlers.get_mut(&handler)?;
        of.expire(&mut self.ledger, now);
        of.queue.promote(now);
        let batches = of.give(most, &mut self.ledger, (h.now_us(), now));
        let until = h.now_us().saturating_add(lease_us);
        let lease = (!batches.is_empty()).then(|| self.pulls.take_number())?;
        Some(Grant { ticket, handler, lease, until, batches })
    }

    fn leased_entries<H: EventHost>(&self, h: &H, grant: &Grant) -> Vec<LogEntry> {
        let until = h.timestamp().saturating_add_unsigned(grant.until.saturating_sub(h.now_us()));
        let entry = |batch: &Batch| match &batch.work {
            BatchItems::Events { partition, ids, .. } => Some(LogEntry::Leased {
                handler: grant.handler,
                partition: *partition,
                events: ids.clone(),
                attempt: batch.attempt,
                lease: grant.lease,
                until,
            }),
            BatchItems::Notifications(_) => None,
        };
        let leased = grant.batches.iter().filter_map(entry);
        let queue = self.handlers.get(&grant.handler).map(|handler| &handler.queue);
        let frees_key = |id: &i64| queue.and_then(|queue| queue.get(*id)).is_some_and(|item| item.frees_key);
        let freed: Vec<i64> = grant.batches.iter().flat_map(batch_ids).map(|(id, _)| id).filter(frees_key).collect();
        let freed = (!freed.is_empty()).then_some(LogEntry::KeysFreed { events: freed });
        leased.chain(freed).collect()
    }

    /// The leases of these events, 0: none; those that there are last so long from now on.
    fn leases_of<H: EventHost>(
        &mut self,
        h: &H,
        handler: u32,
        events: &[i64],
        lease_us: Option<u64>,
        entries: &mut Vec<LogEntry>,
    ) -> Vec<i64> {
        let (mono, now) = (h.now_us(), h.timestamp());
        let mut leases = Vec::with_capacity(events.len());
        for event in events {
            let of = (handler, *event);
            let lease = self.pulls.leased.get(&of).map_or(0, |leased| leased.lease);
            leases.push(lease);
            let partition = self.handlers.get(&handler).and_then(|handler| handler.queue.get(*event)).map(|item| item.partition);
            if let (Some(us), Some(partition)) = (lease_us.filter(|_| lease != 0), partition) {
                self.pulls.set(of, Leased { lease, until: mono.saturating_add(us) });
                entries.push(LogEntry::Extended { handler, partition, event: *event, lease, until: now.saturating_add_unsigned(us) });
            }
        }
        leases
    }

    fn record_leases<H: EventHost>(&mut self, h: &H, entries: Vec<LogEntry>) -> Result<(), Saved> {
        if entries.is_empty() {
            return Ok(());
        }
        self.rotation.stir();
        let happened = self.ledger.pending.len();
        self.ledger.pending.extend(entries);
        let recorded = h.record(&self.ledger.pending);
        self.ledger.pending.truncate(happened);
        recorded?;
        self.ledger.pending.clear();
        Ok(())
    }

    /// Who asked has gone, or the log could not be written.
    fn take_back_grant<H: EventHost>(&mut self, h: &H, grant: Grant, logged: bool) {
        let now = h.timestamp();
        let Some(handler) = self.handlers.get_mut(&grant.handler) else { return };
        handler.rate.did_not(grant.batches.iter().map(events_of).sum());
        for batch in grant.batches.iter().rev() {
            batch_ids(batch).for_each(|(id, _)| handler.keep(id, &mut self.ledger, now));
            if let (true, BatchItems::Events { partition, ids, .. }) = (logged, &batch.work) {
                let (handler, partition, events, attempt) = (grant.handler, *partition, ids.clone(), batch.attempt);
                self.ledger.pending.push(LogEntry::Withdrawn { handler, partition, events, attempt });
            }
        }
    }

    /// Those whose time is over, and those of which there is news.
    fn end_leases<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let mono = h.now_us();
        let mut over: BTreeMap<(u32, i64, u8), Vec<i64>> = BTreeMap::new();
        let due: Vec<(u32, i64)> = self.pulls.ends.range(..=(mono, (u32::MAX, i64::MAX))).map(|(_, of)| *of).collect();
        for of in due {
            let Some(leased) = self.pulls.leased.get(&of).copied() else { continue };
            match self.handlers.get(&of.0).and_then(|handler| handler.queue.get(of.1)) {
                Some(item) => over.entry((of.0, leased.lease, item.partition)).or_default().push(of.1),
                // Its handler has ended.
                None => _ = self.pulls.unset(of),
            }
        }
        if over.is_empty() && self.pulls.news.is_empty() {
            return Ok(());
        }
        let over = over.into_iter().map(|((handler, lease, partition), events)| LeaseOver { handler, lease, partition, events });
        let over: Vec<LeaseOver> = over.collect();
        let news: Vec<i64> = self.pulls.news.iter().copied().collect();
        let found = h.lease_news(&news, &over)?;
        self.pulls.news.clear();
        self.rotation.stir();
        // Of what nothing was found somebody says something just now.
        for gone in &over {
            let again = Leased { lease: gone.lease, until: mono + BUSY_US };
            gone.events.iter().for_each(|event| self.pulls.set((gone.handler, *event), again));
        }
        let now = h.timestamp();
        for told in found {
            let of = (told.handler, told.event);
            if !self.pulls.has(of, told.lease) {
                continue;
            }
            self.pulls.unset(of);
            let Some(handler) = self.handlers.get_mut(&told.handler) else { continue };
            let failed = |sqlstate, message| Failure { sqlstate, message, crash: false };
            match &told.fate {
                LeaseFate::Acknowledged => {
                    handler.tally.done += 1;
                    handler.end(told.event, &mut self.ledger, now);
                }
                LeaseFate::GivenBack { message, next_at } => {
                    let next_at = next_at.map(|at| at.max(now));
                    handler.event_failed(h, told.event, false, failed(RAISE_EXCEPTION, message), next_at, &mut self.ledger, now);
                }
                LeaseFate::Over => {
                    handler.event_failed(h, told.event, false, failed(QUERY_CANCELED, RAN_OUT), None, &mut self.ledger, now);
                }
            }
        }
        Ok(())
    }

    /// Microseconds until a lease is over, or there may be something for who waits.
    pub(super) fn pull_wait(&self, mono: u64, now: i64) -> u64 {
        if self.pulls.asked || !self.pulls.news.is_empty() {
            return 0;
        }
        let over = self.pulls.ends.first().map_or(u64::MAX, |(until, _)| until.saturating_sub(mono));
        let waited_for = self.pulls.hungry.iter().filter_map(|id| self.handlers.get(id)).filter(|handler| !handler.spec.paused);
        let due = waited_for.filter_map(|handler| handler.queue.next_due()).min();
        over.min(due.map_or(u64::MAX, |due| due.saturating_sub(now).max(0) as u64))
    }
}

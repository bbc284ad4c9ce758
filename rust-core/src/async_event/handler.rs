//! One handler: its definition, what waits for it, and what it may start.

use super::backoff::{LONGEST_REFUSAL_US, SHORTAGE_US, ceiling_us, delay_us};
use super::complaints::Complaints;
use super::host::EventHost;
use super::item::{Item, Solo, key_of};
use super::lately::{KINDS, Lately};
use super::ledger::Ledger;
use super::notes::Notes;
use super::queue::Queue;
use super::rate::Rate;
use super::recall::events_of;
use super::spec::{Batch, BatchItems, Fetched, Known, LogEntry, Spec};
use super::stats::Tally;
use super::width::Width;
use crate::memory::NoMemory;
use crate::report::CONNECTION_FAILURE;

/// Nothing has waited since then.
const LONG_AGO_US: i64 = 10 * 366 * 24 * 3600 * 1_000_000;

/// Events that a lease is given, at most; a full batch may have more.
pub const CHUNK: usize = 128;

/// What is said of an event whose handler went down with its process.
pub(super) const CRASHED: &[u8] = b"the process that ran the handler ended";

pub(super) struct Handler {
    pub spec: Spec,
    pub queue: Queue,
    pub notes: Notes,
    pub tally: Tally,
    /// Of the tally, what has gone into `lately`.
    pub counted: [u64; KINDS],
    pub lately: Lately,
    pub complaints: Complaints,
    pub leases: u32,
    /// Events that a lease is given, by experience: of slow ones fewer.
    pub chunk: usize,
    /// Its owner may not act: it starts nothing.
    pub barred: bool,
    /// Workers that could not begin, in a row, and until when no other is asked for.
    pub refusals: u32,
    pub held_until: Option<u64>,
    /// What its runs leave to calls of their own.
    pub width: Width,
    /// How often it begins events.
    pub rate: Rate,
    /// It is there only for the leases that run.
    pub removed: bool,
    /// The last lease was one of notifications.
    notes_last: bool,
}

impl Handler {
    pub fn new(spec: Spec, now: i64) -> Self {
        let mut handler = Self {
            spec: Spec::default(),
            queue: Queue::default(),
            notes: Notes::default(),
            tally: Tally::default(),
            counted: [0; KINDS],
            lately: Lately::default(),
            complaints: Complaints::default(),
            leases: 0,
            chunk: CHUNK,
            refusals: 0,
            held_until: None,
            width: Width::default(),
            rate: Rate::default(),
            barred: false,
            removed: false,
            notes_last: false,
        };
        handler.define(spec, now);
        handler
    }

    pub fn define(&mut self, spec: Spec, now: i64) {
        self.queue.set_rules(spec.ordered, spec.key_concurrency, now);
        self.rate.define(&spec);
        self.queue.apart = spec.pull;
        if spec.ordered && !self.spec.ordered {
            (0..self.notes.leases).for_each(|_| self.queue.occupy(key_of(None)));
        }
        self.spec = spec;
        self.removed = false;
    }

    /// It is gone, and what waits for it with it.
    pub fn remove(&mut self, ledger: &mut Ledger, now: i64) {
        self.removed = true;
        let all = if self.spec.pull { self.queue.all() } else { self.queue.waiting() };
        for id in all {
            self.end(id, ledger, now);
        }
        ledger.note_bytes -= self.notes.waiting.drain(..).map(|note| note.size()).sum::<usize>();
    }

    /// Forget what waits, which the tables have. Of attempts that the log has, it is told that they were not made: they are
    /// few, and much has just become free.
    pub fn shed(&mut self, ledger: &mut Ledger) {
        let Self { spec, queue, notes, .. } = self;
        queue.shed(|id, item| {
            notes.spilled -= usize::from(item.spilled);
            _ = ledger.forget(id, item.partition);
            if item.logged && !item.cancelled {
                let (handler, partition, attempt) = (spec.id, item.partition, item.attempts.saturating_add(1));
                ledger.pending.push(LogEntry::Withdrawn { handler, partition, events: vec![id], attempt });
            }
        });
    }

    /// Take in an event, unless it is not for this handler or has ended for it.
    pub fn admit(&mut self, event: &Fetched, known: &Known, ledger: &mut Ledger, now: i64) -> Result<(), NoMemory> {
        if let Some(item) = self.queue.get_mut(event.id) {
            // What comes before it has come too.
            item.left = false;
            return Ok(());
        }
        if !self.is_for(event) {
            return Ok(());
        }
        self.queue.room()?;
        if known.unfinished && known.lease.is_none() && known.attempts > event.max_attempts.unwrap_or(self.spec.max_attempts) {
            self.tally.dead(CONNECTION_FAILURE, CRASHED);
            let item = self.item_of(event, known, false, now);
            ledger.pending.push(self.epitaph(event.id, &item, known.attempts, CONNECTION_FAILURE, CRASHED));
            ledger.groups.may_have_ended(event.group);
            return Ok(());
        }
        let spilled = event.target.is_some() && known.attempts == 0;
        self.notes.spilled += usize::from(spilled);
        ledger.open(event.id, event.partition);
        ledger.groups.open(event.id, event.group);
        self.queue.insert(event.id, self.item_of(event, known, spilled, now), now);
        Ok(())
    }

    /// One that has just become visible.
    pub fn admit_new(&mut self, event: &Fetched, ledger: &mut Ledger, now: i64) -> Result<(), NoMemory> {
        let held = self.queue.len();
        self.admit(event, &Known::default(), ledger, now)?;
        self.tally.emitted += (self.queue.len() - held) as u64;
        Ok(())
    }

    pub fn is_for(&self, event: &Fetched) -> bool {
        match event.target {
            Some(target) => target == self.spec.id,
            None => self.spec.takes(&event.channel, event.id),
        }
    }

    /// No time that has been told from the clock is later than it would be if it were told now: whoever told it
    /// may have had another one.
    fn item_of(&self, event: &Fetched, known: &Known, spilled: bool, now: i64) -> Item {
        let longest = match known.attempts {
            0 => 0,
            attempts => ceiling_us(attempts, self.spec.backoff_us, self.spec.cap_us),
        };
        let asked = self.asked_time(event, known);
        let begun = known.attempts > 0 || known.unfinished || known.next_at.is_some();
        Item {
            tid: event.tid,
            max_attempts: event.max_attempts.unwrap_or(0),
            timeout_ms: event.timeout_ms.unwrap_or(0),
            expires: event.expires.filter(|_| !begun),
            put_offs: known.put_offs,
            due: match known.next_at {
                _ if asked.is_some() => asked.unwrap_or_default(),
                Some(next_at) => next_at.min(now.saturating_add(longest)),
                None => event.run_at.min(now),
            },
            since: self.due_since(event, known, now),
            timed: asked.is_some(),
            key: key_of(event.key.as_deref()),
            priority: event.priority,
            // That of a consumer goes on.
            attempts: known.attempts - u32::from(known.lease.is_some() && known.attempts > 0),
            partition: event.partition,
            frees_key: event.frees_key,
            group: event.group,
            solo: if known.unfinished && known.lease.is_none() { Solo::Lease } else { Solo::No },
            spilled,
            ..Item::default()
        }
    }

    /// When it was due first, and had been emitted: of a time that had passed, that is now, or anybody's guess.
    fn due_since(&self, event: &Fetched, known: &Known, now: i64) -> i64 {
        let is_new = known.handler == 0;
        let passed = event.timed && event.run_at < if is_new { now } else { now.saturating_sub(LONG_AGO_US) };
        if passed { now } else { event.run_at }
    }

    /// Somebody asked for this time, and nothing has happened since.
    pub fn asked_time(&self, event: &Fetched, known: &Known) -> Option<i64> {
        let first = (event.timed && known.attempts == 0 && known.next_at.is_none()).then_some(event.run_at);
        if known.asked { known.next_at } else { first }
    }

    pub(super) fn epitaph(&self, event: i64, item: &Item, attempt: u32, sqlstate: u32, message: &[u8]) -> LogEntry {
        let Item { partition, tid, group, .. } = *item;
        LogEntry::Dead { handler: self.spec.id, partition, tid, event, attempt, sqlstate, message: message.to_vec(), group }
    }

    /// It has ended for this handler, one way or the other.
    pub fn end(&mut self, id: i64, ledger: &mut Ledger, now: i64) {
        if let Some(item) = self.queue.remove(id, now) {
            if item.running() {
                ledger.pause(id, item.partition);
            }
            self.notes.spilled -= usize::from(item.spilled);
            ledger.end(id, item.partition);
        }
    }

    /// Those that have not begun when their time is over end.
    pub fn expire(&mut self, ledger: &mut Ledger, now: i64) {
        for id in self.queue.expired(now) {
            let Some(item) = self.queue.get_mut(id) else { continue };
            let (handler, partition, group) = (self.spec.id, item.partition, item.group);
            self.unlog(id, ledger);
            ledger.pending.push(LogEntry::Expired { handler, partition, event: id, group });
            self.tally.expired += 1;
            self.end(id, ledger, now);
        }
    }

    /// When the next one expires, whatever else the handler waits for.
    pub fn next_expiry(&self) -> Option<i64> {
        self.queue.next_expiry().filter(|_| !self.removed)
    }

    fn could_run(&self) -> bool {
        let open = !self.removed && !self.spec.pull && !self.spec.paused && self.held_until.is_none() && self.rate.room() > 0;
        open && self.leases < self.spec.concurrency.min(self.width.most())
    }

    fn can_run(&self) -> bool {
        self.could_run() && !self.barred
    }

    /// A worker could not begin: nothing was attempted, and for a while no other is asked for.
    pub fn refused<H: EventHost>(&mut self, h: &H, sqlstate: u32, message: &[u8]) {
        self.tally.error(sqlstate, message);
        self.refusals = self.refusals.saturating_add(1);
        let wait = delay_us(self.refusals, SHORTAGE_US, LONGEST_REFUSAL_US, h.random());
        self.held_until = Some(h.now_us() + wait as u64);
    }

    /// When more of what is due may run, if only experience is against it.
    pub fn wider_at(&self) -> Option<u64> {
        self.width.wider_at().filter(|_| !self.barred && self.leases < self.spec.concurrency && self.queue.ready() > 0)
    }

    /// When there will be something to start that there is not now.
    pub fn next_due(&self) -> Option<i64> {
        self.queue.next_due().filter(|_| self.can_run())
    }

    /// The share of one lease of all that waits: others may have room for the rest.
    fn share(&self, waiting: usize) -> usize {
        waiting.div_ceil(self.spec.concurrency.max(1) as usize).min(self.chunk).min(self.rate.room())
    }

    fn notes_may_run(&self) -> bool {
        !self.notes.waiting.is_empty() && !self.queue.occupied(key_of(None))
    }

    /// There is something that it has not been given to workers.
    pub fn has_some(&self) -> bool {
        !self.removed && !self.spec.paused && !self.barred && (!self.notes.waiting.is_empty() || self.queue.len() > self.queue.running())
    }

    /// There is something that would start now, if its owner may act.
    pub fn would_start(&self) -> bool {
        self.could_run() && (self.notes_may_run() || self.queue.ready() > 0)
    }

    /// There is something that may start now.
    pub fn may_start(&self) -> bool {
        self.would_start() && !self.barred
    }

    /// What one more lease is to run. Notifications and events take turns, but those that wait in memory are
    /// older than those that had to be recorded.
    pub fn plan(&mut self, ledger: &mut Ledger, now: i64) -> Option<Vec<Batch>> {
        if !self.may_start() {
            return None;
        }
        let no_events = self.queue.ready() == 0;
        self.notes_last = self.notes_may_run() && (no_events || self.notes.spilled > 0 || !self.notes_last);
        let batches = if self.notes_last {
            self.notes.leases += 1;
            self.queue.occupy(key_of(None));
            self.notes.take(self.share(self.notes.waiting.len()))
        } else {
            let full = self.spec.batch_size.max(1) as usize;
            self.queue.take(self.share(self.queue.to_share()).max(full.min(self.rate.room())), full, now)
        };
        if batches.is_empty() {
            return None;
        }
        for batch in &batches {
            if let BatchItems::Events { partition, ids, .. } = &batch.work {
                ids.iter().for_each(|id| ledger.begin(*id, *partition));
            }
        }
        self.rate.take(batches.iter().map(events_of).sum());
        self.leases += 1;
        Some(batches)
    }
}

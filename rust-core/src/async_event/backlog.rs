//! How much of what is open is in memory. All of it, as long as it fits: then each fetch brings what is new. Else the
//! first of it: the rest lies in the tables, which are looked through again when half of what is held has ended.
//!
//! What is held of an ordered handler are always its first events by their ids; so nothing passes what was left behind.
//! Partitions stay as they are meanwhile, for nobody knows what they hold.

use super::host::{Ask, EventHost};
use super::item::Map;
use super::part::Events;
use super::spec::{EventCommand, Fetched};
use crate::coordinator::unseen::Unseen;
use crate::host::Saved;
use crate::memory::{NoMemory, look_for};
use std::collections::BTreeSet;

/// Pairs of an event and a handler that are held, at most.
pub const MOST_HELD: usize = 1_000_000;

/// The least that is tried where there is no memory for more.
const LEAST_HELD: usize = 1_000;

/// To look through all that is open takes one part in so many of the time.
const PATIENCE: u64 = 4;
const SHORTEST_US: u64 = 100_000;
const LONGEST_US: u64 = 60_000_000;
const IN_VAIN_US: u64 = 5_000_000;

/// What a pair takes: in its queue, in two trees, in the ledger.
const PAIR_BYTES: usize = 512;

/// Events are taken in by so many: there is room for all of them, or none is taken in.
const AT_A_TIME: usize = 64;

/// Over what else a step allocates in small pieces.
const STEP_BYTES: usize = 64 * 1024;

const WHAT: &str = "the events of a coordinator";

#[derive(Debug)]
pub(super) struct Backlog {
    /// Some of what is open is in the tables only, or nothing has been fetched yet.
    pub partial: bool,
    /// So much may be held; so much is tried now.
    limit: usize,
    most: usize,
    /// When the tables may be looked through, and when they are even though much is held.
    look_at: u64,
    look_anyway_at: u64,
}

impl Default for Backlog {
    fn default() -> Self {
        Self { partial: true, limit: MOST_HELD, most: MOST_HELD, look_at: 0, look_anyway_at: 0 }
    }
}

impl Events {
    /// Hold no more than so many pairs of an event and a handler.
    pub fn set_most_held(&mut self, pairs: usize) {
        self.backlog.limit = pairs.max(1);
        self.backlog.most = self.backlog.most.min(self.backlog.limit);
    }

    fn held(&self) -> usize {
        self.handlers.values().map(|handler| handler.queue.len()).sum()
    }

    /// Is there room for what a step allocates without asking?
    pub(super) fn look_for_room<H: EventHost>(&self, h: &H) -> Result<(), Saved> {
        look_for(STEP_BYTES + self.handlers.len() * PAIR_BYTES, WHAT).map_err(|no| h.no_memory(no))
    }

    pub(super) fn fetch<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let mono = h.now_us();
        if self.backlog.partial {
            return self.fetch_open(h, mono);
        }
        if !self.woken && mono < self.fetch_at {
            return Ok(());
        }
        let (mut fetched, snapshot) = h.fetch(Ask::New { unseen: &self.unseen, channels: &self.channels }, self.backlog.most + 1)?;
        let all = fetched.len() <= self.backlog.most;
        fetched.retain(|event| self.unseen.has(event.txid));
        for event in &mut fetched {
            event.first_txid = event.first_txid.filter(|txid| !self.unseen.has(*txid));
            event.timed_txid = event.timed_txid.filter(|txid| self.unseen.has(*txid));
        }
        if !all || self.held() + self.pairs(&fetched) > self.backlog.limit {
            // What is due first is looked for among all that is open.
            self.look_through(mono);
            return self.fetch_open(h, mono);
        }
        self.unseen = Unseen::by(&snapshot);
        self.in_vain = self.woken && fetched.is_empty();
        // Where nothing happens, nothing comes unsaid either.
        let some = self.woken || !fetched.is_empty();
        self.fetch_at = if some { mono + self.poll_us } else { u64::MAX };
        if some {
            self.rotation.stir();
        }
        self.woken = false;
        self.handlers.values_mut().for_each(|handler| handler.notes.unfetched = false);
        self.take_all(h, &fetched, None)
    }

    /// Look through the tables, if it is time.
    fn fetch_open<H: EventHost>(&mut self, h: &H, mono: u64) -> Result<(), Saved> {
        if mono < self.open_due() {
            return Ok(());
        }
        if !self.few() {
            self.leave_to_tables();
        }
        // What has ended here is to have ended there.
        self.record(h, &[])?;
        let held = self.held();
        let most = self.backlog.most + held;
        let (fetched, snapshot) = h.fetch(Ask::Open, most + 1)?;
        let all = fetched.iter().map(|event| event.known.len()).sum::<usize>() <= most;
        let (looked, now) = (h.now_us().saturating_sub(mono), h.now_us());
        self.backlog.look_at = now + looked.saturating_mul(PATIENCE).clamp(SHORTEST_US, LONGEST_US);
        self.backlog.look_anyway_at = self.backlog.look_at + LONGEST_US;
        (self.woken, self.in_vain) = (false, false);
        self.rotation.stir();
        self.take_all(h, &fetched, Some(all))?;
        self.ledger.groups.look_at_all();
        if self.held() == held {
            // Nobody wants what there is.
            self.backlog.look_at = self.backlog.look_at.max(now + IN_VAIN_US);
        }
        // There may be memory for more.
        self.backlog.most = self.backlog.most.saturating_mul(2).min(self.backlog.limit);
        if all {
            self.backlog.partial = false;
            self.unseen = Unseen::by(&snapshot);
            self.fetch_at = now + self.poll_us;
            // The look was for handlers of any age.
            self.late.clear();
            self.handlers.values_mut().for_each(|handler| handler.notes.unfetched = false);
        }
        Ok(())
    }

    fn few(&self) -> bool {
        self.held() <= self.backlog.most / 2
    }

    /// When the tables are to be looked through.
    pub(super) fn open_due(&self) -> u64 {
        if self.few() { self.backlog.look_at } else { self.backlog.look_anyway_at }
    }

    fn pairs(&self, fetched: &[Fetched]) -> usize {
        let of = |event: &Fetched| event.target.map_or_else(|| takers(&self.by_channel, &self.by_former, &event.channel).count(), |_| 1);
        fetched.iter().map(of).sum()
    }

    /// Have all that is open looked through: others may be for these handlers, or come first, than those that are held.
    pub(super) fn look_through(&mut self, mono: u64) {
        self.backlog.partial = true;
        self.backlog.look_at = mono;
        self.leave_to_tables();
    }

    /// What came for these handlers while they were paused may be before what is held of them.
    pub(super) fn look_again_for(&mut self, changed: &BTreeSet<u32>, mono: u64) {
        if self.backlog.partial && !changed.is_empty() {
            let changed = self.handlers.iter_mut().filter(|(id, _)| changed.contains(id));
            changed.for_each(|(_, handler)| handler.shed(&mut self.ledger));
            self.backlog.look_at = self.backlog.look_at.min(mono);
        }
    }

    /// All that waits is forgotten here.
    fn leave_to_tables(&mut self) {
        for handler in self.handlers.values_mut() {
            handler.shed(&mut self.ledger);
        }
    }

    /// `open`: they were looked for among all that is open; are these all?
    fn take_all<H: EventHost>(&mut self, h: &H, fetched: &[Fetched], open: Option<bool>) -> Result<(), Saved> {
        let now = h.timestamp();
        for some in fetched.chunks(AT_A_TIME) {
            let pairs = some.len() + self.pairs(some);
            self.all_taken(h, self.room_for(pairs))?;
            for event in some {
                self.rotation.mark_dirty(event.partition);
                if event.command.is_none() {
                    let taken = self.take_in(event, open, now);
                    event.known.iter().for_each(|known| {
                        known.lease.into_iter().for_each(|lease| self.resume_lease(known.handler, event.id, lease, h.now_us()))
                    });
                    self.all_taken(h, taken)?;
                }
            }
        }
        for event in fetched {
            match event.command {
                Some(EventCommand::Cancel(id)) => self.cancel(id, event.target, now),
                Some(EventCommand::Told(lease)) => self.pulls.tell(lease),
                Some(EventCommand::CloseGroup(id)) => self.ledger.groups.may_have_ended(id),
                None => {}
            }
        }
        Ok(())
    }

    pub(super) fn room_for(&self, pairs: usize) -> Result<(), NoMemory> {
        look_for(STEP_BYTES + pairs.saturating_mul(PAIR_BYTES), WHAT)
    }

    /// What could not be taken in is where it was.
    pub(super) fn all_taken<H: EventHost>(&mut self, h: &H, taken: Result<(), NoMemory>) -> Result<(), Saved> {
        self.backlog.partial |= taken.is_err();
        taken.map_err(|no| h.no_memory(no))
    }

    fn take_in(&mut self, event: &Fetched, open: Option<bool>, now: i64) -> Result<(), NoMemory> {
        let known_here = self.ledger.find(event.id);
        if let Some(from) = known_here {
            let moved = self.handlers.values_mut().map(|handler| &mut handler.queue);
            moved.for_each(|queue| queue.relocate(event.id, event.partition, event.tid, now));
            self.ledger.relocate(event.id, from, event.partition);
        }
        match open {
            // Where these are not all, handlers that are paused, or were when this was read, have none: what comes before it
            // may not be here.
            Some(all) => {
                for known in &event.known {
                    let Some(handler) = self.handlers.get_mut(&known.handler).filter(|handler| !handler.removed) else { continue };
                    if all || !handler.spec.paused && !known.paused {
                        handler.admit(event, known, &mut self.ledger, now)?;
                        let asked = handler.asked_time(event, known);
                        handler.queue.change(event.id, event.priority, asked, now);
                    } else {
                        handler.shed(&mut self.ledger);
                    }
                }
            }
            // It has moved, or was changed.
            None if known_here.is_some() => {
                let asked = event.timed_txid.map(|_| event.run_at);
                for handler in self.handlers.values_mut() {
                    handler.queue.change(event.id, event.priority, asked, now);
                }
            }
            // It was changed when it had ended.
            None if event.first_txid.is_some() => {}
            None => {
                let of_channel = event.target.is_none().then(|| takers(&self.by_channel, &self.by_former, &event.channel));
                for id in event.target.into_iter().chain(of_channel.into_iter().flatten()) {
                    if let Some(handler) = self.handlers.get_mut(&id).filter(|handler| !handler.removed) {
                        handler.admit_new(event, &mut self.ledger, now)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// There was no memory: what waits is left to the tables, and half as much is fetched as was there. Where nothing was there, the
    /// fetch itself had no memory, and how much there was to fetch is not known: far less is tried. Each failure costs a pause, and a
    /// fetch that goes well is followed by one of twice as much.
    pub(super) fn keep_less<H: EventHost>(&mut self, h: &H) {
        let held = self.held();
        let less = if held > 0 { held / 2 } else { self.backlog.most / 16 };
        self.backlog.most = less.max(LEAST_HELD.min(self.backlog.limit)).min(self.backlog.most);
        self.backlog.partial = true;
        self.backlog.look_at = h.now_us() + SHORTEST_US;
        self.backlog.look_anyway_at = self.backlog.look_at;
        self.leave_to_tables();
    }
}

/// The handlers that have this channel, or had it before.
fn takers<'a>(now: &'a Map<Vec<u8>, Vec<u32>>, before: &'a Map<Vec<u8>, Vec<u32>>, channel: &[u8]) -> impl Iterator<Item = u32> + use<'a> {
    now.get(channel).into_iter().chain(before.get(channel)).flatten().copied()
}

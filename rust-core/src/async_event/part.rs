//! Events as a part of the coordinator: all handlers, the leases that run, and what is done in which order.

use super::backlog::Backlog;
use super::complaints::SAY_EVERY_US;
use super::handler::Handler;
use super::host::EventHost;
use super::item::Map;
use super::ledger::Ledger;
use super::pull::Pulls;
use super::queue::Queue;
use super::recall::Recall;
use super::rotation::Rotation;
use super::spec::{Batch, BatchItems, Notification};
use crate::coordinator::part::{Context, Part};
use crate::coordinator::topics::Topics;
use crate::coordinator::unseen::Unseen;
use crate::host::{PutOff, Saved};
use crate::lease::work::LeaseUpdate;
use std::collections::{BTreeMap, BTreeSet};

/// Handlers are read anew with the first events that come so much later, even when nobody says that they changed.
pub const RELOAD_EVERY_US: u64 = 60_000_000;

/// Waits for a time of the wall clock are no longer than that: it may be set forward.
const CLOCK_EVERY_US: u64 = 5_000_000;

/// Where nothing is waited for.
const LONGEST_WAIT_US: u64 = 24 * 3600 * 1_000_000;

/// When the next look for a worker comes, if there was none and nothing happens.
pub const START_RETRY_US: u64 = 50_000;

/// So many events take memory that is worth giving back.
const FLOOD: usize = 16 * 1024;

/// What a worker runs.
pub(super) struct HandlerLease {
    pub handler: u32,
    /// Notifications, no events.
    pub notes: bool,
    /// Those of which nothing has been said.
    pub batches: Vec<Option<Batch>>,
    /// How many of them counted as begun at the last look, where the handler has a rate.
    pub begun: usize,
    /// How many events it began with, and when.
    pub events: usize,
    pub since: u64,
    pub recall: Recall,
}

impl HandlerLease {
    /// Has the handler's transaction of this batch been committed? If so, what it has put off.
    pub fn committed<H: EventHost>(&self, h: &H, batch: Option<usize>, queue: &Queue) -> Result<Option<Vec<PutOff>>, Saved> {
        let work = batch.and_then(|index| self.batches[index].as_ref()).map(|batch| &batch.work);
        let Some(BatchItems::Events { partition, ids, .. }) = work else { return Ok(None) };
        let committed = h.committed(self.handler, *partition, ids)?;
        let before = |id: &i64| queue.get(*id).map_or(0, |item| item.put_offs);
        let now = ids.iter().zip(&committed).filter(|(id, committed)| committed.put_offs > before(id));
        let put_off: Vec<PutOff> = now.map(|(id, committed)| PutOff { event: *id, until: committed.until }).collect();
        Ok((!put_off.is_empty() || committed.iter().any(|committed| committed.done)).then_some(put_off))
    }
}

/// The events of a database.
pub struct Events {
    pub(super) handlers: BTreeMap<u32, Handler>,
    pub(super) by_channel: Map<Vec<u8>, Vec<u32>>,
    /// Handlers that had another channel before, by that.
    pub(super) by_former: Map<Vec<u8>, Vec<u32>>,
    /// All of these channels.
    pub(super) channels: Vec<Vec<u8>>,
    /// Every handler that there has been.
    pub(super) seen: BTreeSet<u32>,
    pub(super) leases: Map<u64, HandlerLease>,
    /// Events that were taken back from leases, and their handlers, until the log says so.
    pub(super) recalled: Vec<(u32, i64)>,
    /// What workers said that went, where it could not be found out yet whether what they ran was done.
    pub(super) unsure: Vec<(u64, LeaseUpdate)>,
    pub(super) ledger: Ledger,
    pub(super) rotation: Rotation,
    pub(super) backlog: Backlog,
    pub(super) unseen: Unseen,
    pub(super) pulls: Pulls,
    /// Handlers that came to be known after the first fetch: some of their events may have been fetched before.
    pub(super) late: BTreeSet<u32>,
    pub(super) unspilled: Vec<(u32, Notification)>,
    pub(super) unspilled_bytes: usize,
    /// The channels may be others than those that are listened to.
    pub(super) channels_changed: bool,
    /// A worker has not found events where they were: tables have been written anew.
    pub(super) misplaced: bool,
    /// Told: events may have come; handlers may have changed.
    pub(super) woken: bool,
    pub(super) told: bool,
    /// The last look for events that were told of found none for any handler.
    pub(super) in_vain: bool,
    /// Handlers have been read at all.
    pub(super) loaded: bool,
    pub(super) fetch_at: u64,
    pub(super) reload_at: u64,
    pub(super) poll_us: u64,
    /// Age of the current partition, before the first step.
    age_us: u64,
    /// Leases that are asked for at a time: as many as there are workers, by experience.
    pub(super) window: usize,
    /// There was no worker for something.
    pub(super) starved: bool,
    /// When those are asked for again whose owners could not act.
    pub(super) look_again_at: u64,
    /// The most events that were outstanding since memory was given back.
    pub(super) grown: usize,
    /// The handler whose turn it is.
    pub(super) turn: u32,
}

impl Events {
    /// New events go to partition `current`.
    pub fn new(current: u8) -> Self {
        Self {
            handlers: BTreeMap::new(),
            by_channel: Map::default(),
            by_former: Map::default(),
            channels: Vec::new(),
            seen: BTreeSet::new(),
            leases: Map::default(),
            recalled: Vec::new(),
            unsure: Vec::new(),
            ledger: Ledger::default(),
            rotation: Rotation::new(current),
            late: BTreeSet::new(),
            unspilled: Vec::new(),
            unspilled_bytes: 0,
            channels_changed: false,
            misplaced: false,
            backlog: Backlog::default(),
            unseen: Unseen::default(),
            pulls: Pulls::default(),
            woken: true,
            told: true,
            in_vain: false,
            loaded: false,
            fetch_at: 0,
            reload_at: 0,
            poll_us: 5_000_000,
            age_us: 0,
            window: 4,
            starved: false,
            grown: 0,
            look_again_at: 0,
            turn: 0,
        }
    }

    /// Use the next partition when this one has more bytes than that, or is older.
    pub fn set_rotation(&mut self, max_bytes: u64, max_us: u64) {
        self.rotation.set_limits(max_bytes, max_us.max(1));
    }

    /// The current partition is that old.
    pub fn set_age(&mut self, us: u64) {
        self.age_us = us;
    }

    /// How long after something has happened to look for events of which nobody says that there are any, and for
    /// workers that have gone without a word.
    pub fn set_poll(&mut self, us: u64) {
        self.poll_us = us.max(1);
    }

    /// What has ended is in the log by now.
    fn tell_waiters<H: EventHost>(&mut self, h: &H) {
        if !self.ledger.ended.is_empty() && self.ledger.pending.is_empty() {
            h.wake_waiters(&self.ledger.ended);
            self.ledger.ended.clear();
        }
    }

    /// A flood is over: the memory that it took is for others again.
    fn subside<H: EventHost>(&mut self, h: &H) {
        let outstanding = self.ledger.len();
        self.grown = self.grown.max(outstanding);
        if self.grown > FLOOD && outstanding < self.grown / 4 {
            self.handlers.values_mut().for_each(|handler| handler.queue.shrink());
            self.recalled.shrink_to(self.recalled.len());
            self.ledger.pending.shrink_to(self.ledger.pending.len());
            self.ledger.ended.shrink_to(self.ledger.ended.len());
            self.grown = outstanding;
            h.give_back();
        }
    }
}

impl<H: EventHost> Part<H> for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn tell(&mut self, topics: Topics) {
        self.woken |= topics.has(Topics::EVENTS);
        self.told |= topics.has(Topics::HANDLERS);
        self.pulls.asked |= topics.has(Topics::PULLS);
    }

    /// Times that were told from the clock go with it; those that were asked for do not.
    fn clock_was_set_back(&mut self, by: i64, now: i64) {
        self.handlers.values_mut().for_each(|handler| handler.queue.set_back(by, now));
    }

    fn hear(&mut self, cx: &mut Context<'_, H>, lease: u64, said: LeaseUpdate) {
        self.hear_of(cx.host, lease, said, cx.began);
    }

    fn step(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        let h = cx.host;
        if !self.loaded {
            self.rotation.begin(h.now_us(), self.age_us);
        }
        let asked = self.ask_again(h);
        let reloaded = self.reload_handlers(h);
        let drained = self.drain(h);
        self.recall(h);
        self.complain(h, h.now_us());
        self.look_for_room(h)?;
        asked?;
        reloaded?;
        self.listen(h)?;
        drained?;
        self.spill(h)?;
        self.fetch(h)?;
        self.refetch_for_late(h)?;
        self.find_places(h)?;
        self.recall(h);
        self.pull(h)?;
        self.start(cx)?;
        self.tell_waiters(h);
        self.end_groups(h)?;
        self.rotate(h)?;
        self.subside(h);
        Ok(())
    }

    fn shed(&mut self, h: &H) {
        self.keep_less(h);
    }

    fn wait_us(&self, h: &H) -> u64 {
        let (mono, now) = (h.now_us(), h.timestamp());
        let dues = self.handlers.values().flat_map(|handler| [handler.next_due(), handler.next_expiry()]).flatten();
        let due = dues.map(|due| (due.saturating_sub(now).max(0) as u64).min(CLOCK_EVERY_US)).min().unwrap_or(u64::MAX);
        let held = self.handlers.values().flat_map(|handler| [handler.held_until, handler.wider_at()]).flatten().min();
        let held = held.map_or(u64::MAX, |until| until.saturating_sub(mono));
        let reload = if self.told { self.reload_at } else { u64::MAX };
        let fetch_at = if self.backlog.partial { self.open_due() } else { self.fetch_at };
        let timers = fetch_at.min(reload).saturating_sub(mono);
        let leases = if self.leases.is_empty() { LONGEST_WAIT_US } else { self.poll_us };
        let complaint = self.complain_at().map_or(u64::MAX, |at| at.saturating_sub(mono));
        let starved = if self.starved { START_RETRY_US } else { u64::MAX };
        let refetch = if self.woken { super::rotation::ROTATION_TICK_US } else { u64::MAX };
        due.min(held)
            .min(timers)
            .min(leases)
            .min(complaint)
            .min(starved)
            .min(refetch)
            .min(self.rotation_wait(mono))
            .min(self.recall_wait(mono))
            .min(self.standing_wait(mono))
            .min(self.rate_wait(mono))
            .min(self.pull_wait(mono, now))
            .min(self.groups_wait(mono))
            .max(1)
    }
    /// Events come that nobody handles.
    fn looked_in_vain(&self) -> bool {
        self.in_vain
    }

    /// There are no handlers; the tables are to be emptied some time.
    fn rests(&self, h: &H) -> Option<u64> {
        let asked = !self.loaded || self.told || self.woken || self.asks_for_groups() || !self.unspilled.is_empty();
        let busy = !self.handlers.is_empty() || !self.leases.is_empty() || !self.ledger.pending.is_empty();
        self.rotation.rests(h.now_us()).filter(|_| !asked && !busy)
    }

    /// Attempts that are under way, or were only recorded, do not count. Those that are committed all the same have ended.
    fn close(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        let h = cx.host;
        self.recall_of(|_| true);
        self.recall(h);
        self.withdraw_recalled();
        // What is to be recorded and was heard; that this fails must not keep the rest from being written down.
        let heard = self.drain(h).and_then(|()| self.spill(h));
        self.complain(h, u64::MAX - SAY_EVERY_US);
        for handler in self.handlers.values().filter(|handler| !handler.removed) {
            handler.withdraw(&mut self.ledger.pending);
        }
        match &self.ledger.pending[..] {
            [] => heard,
            pending => h.record(pending).and(heard),
        }
    }
}

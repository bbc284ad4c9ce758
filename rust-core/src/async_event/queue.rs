//! The events of one handler that have not ended, and which of them comes next.
//!
//! An event waits in `ready`, by its place in line, or in `delayed`, by the time at which it is due. Where the
//! handler is ordered, only the first of each key does, and only while none of that key runs; the others stand
//! behind it in `lanes`. Where so many of a key may run at a time, those that would be more stand behind these in `caps`.

use super::caps::{Caps, Change};
use super::filling::Filling;
use super::item::{Item, Map, Seat, Solo};
use super::spec::Batch;
use crate::memory::{Grows, NoMemory, look_for};
use std::collections::BTreeSet;

#[derive(Default)]
struct Lanes {
    waiting: BTreeSet<(u64, i64)>,
    /// How much of a key runs.
    busy: Map<u64, u32>,
}

impl Lanes {
    fn of(&self, key: u64) -> impl Iterator<Item = i64> {
        self.waiting.range((key, i64::MIN)..=(key, i64::MAX)).map(|waiting| waiting.1)
    }
}

/// So many are the first in line.
const FIRST: usize = 32;

#[derive(Default)]
pub(super) struct Queue {
    items: Map<i64, Item>,
    ready: BTreeSet<(i64, i64)>,
    delayed: BTreeSet<(i64, i64)>,
    /// Those that end at a time if they have not begun by then.
    expiring: BTreeSet<(i64, i64)>,
    lanes: Option<Lanes>,
    /// Never beside `lanes`.
    caps: Option<Caps>,
    /// What follows an event of the same key is not given with it.
    pub apart: bool,
    running: usize,
    /// Those that wait and were tried, by when they were due first; and how many of these are delayed.
    retrying: BTreeSet<(i64, i64)>,
    delayed_again: usize,
}

impl Queue {
    pub fn get(&self, id: i64) -> Option<&Item> {
        self.items.get(&id)
    }

    pub fn get_mut(&mut self, id: i64) -> Option<&mut Item> {
        self.items.get_mut(&id)
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    pub fn delayed(&self) -> usize {
        self.delayed.len()
    }

    pub fn running(&self) -> usize {
        self.running
    }

    /// Those that wait and have failed.
    pub fn retrying(&self) -> usize {
        self.retrying.len()
    }

    /// Those whose time has not come, and that were not tried.
    pub fn not_due(&self) -> usize {
        self.delayed.len() - self.delayed_again
    }

    pub fn oldest_retrying(&self) -> Option<i64> {
        self.retrying.first().map(|(since, _)| *since)
    }

    /// Since when one of the first in line has been due. Those before it may have a higher priority, or were given a time that
    /// had passed.
    pub fn oldest_ready(&self) -> Option<i64> {
        self.ready.iter().take(FIRST).filter_map(|(_, id)| self.items.get(id)).map(|item| item.since).min()
    }

    /// Of what many events have needed, keep what these need.
    pub fn shrink(&mut self) {
        // It is copied to a smaller place: not without room for that.
        if look_for(self.items.len() * 4 * size_of::<(i64, Item)>(), "events that wait").is_err() {
            return;
        }
        self.items.shrink_to(2 * self.items.len());
        if let Some(lanes) = &mut self.lanes {
            lanes.busy.shrink_to(2 * lanes.busy.len());
        }
        self.caps.iter_mut().for_each(Caps::shrink);
    }

    /// When the first one in line became due.
    pub fn first_due(&self) -> Option<i64> {
        self.ready.first().and_then(|(_, id)| self.items.get(id)).map(|item| item.due)
    }

    /// When the next one will be due.
    pub fn next_due(&self) -> Option<i64> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// What leases share among them.
    pub fn to_share(&self) -> usize {
        self.lanes.as_ref().map_or(self.ready.len(), |lanes| lanes.waiting.len())
    }

    pub fn all(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.items.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub fn waiting(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.items.iter().filter(|(_, item)| !item.running()).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Those whose next attempt is in the log.
    pub fn logged(&self) -> Vec<(i64, Item)> {
        let mut logged: Vec<(i64, Item)> = self.items.iter().filter(|(_, item)| item.logged).map(|(id, item)| (*id, *item)).collect();
        logged.sort_unstable_by_key(|(id, _)| *id);
        logged
    }

    /// For one more.
    pub fn room(&mut self) -> Result<(), NoMemory> {
        self.items.room(1, "events that wait")?;
        self.lanes.as_mut().map_or(Ok(()), |lanes| lanes.busy.room(1, "keys of events"))?;
        self.caps.as_mut().map_or(Ok(()), Caps::room)
    }

    /// Those that wait, whose time is over.
    pub fn expired(&self, now: i64) -> Vec<i64> {
        let over = self.expiring.range(..=(now, i64::MAX)).map(|(_, id)| *id);
        over.filter(|id| self.items.get(id).is_some_and(|item| !matches!(item.seat, Seat::Running | Seat::Moving))).collect()
    }

    pub fn next_expiry(&self) -> Option<i64> {
        let waits = |id: &i64| self.items.get(id).is_some_and(|item| !matches!(item.seat, Seat::Running | Seat::Moving));
        self.expiring.iter().find(|(_, id)| waits(id)).map(|(at, _)| *at)
    }

    /// It has begun, and ends as others do.
    fn expires_no_more(&mut self, id: i64) {
        if let Some(at) = self.items.get_mut(&id).and_then(|item| item.expires.take()) {
            self.expiring.remove(&(at, id));
        }
    }

    /// What was asked for later: another priority, or another time.
    pub fn change(&mut self, id: i64, priority: i32, due: Option<i64>, now: i64) {
        let Some(item) = self.items.get(&id).copied() else { return };
        let seated = matches!(item.seat, Seat::Ready | Seat::Behind | Seat::Delayed);
        self.unseat(id);
        let Some(item) = self.items.get_mut(&id) else { return };
        let key = item.key;
        item.priority = priority;
        if let Some(due) = due.filter(|_| !item.running()) {
            (item.due, item.timed) = (due, true);
            if !item.tried() {
                item.since = due;
            }
        }
        if seated {
            self.seat(id, now);
            self.settle(key);
        }
    }

    pub fn insert(&mut self, id: i64, item: Item, now: i64) {
        item.expires.into_iter().for_each(|at| _ = self.expiring.insert((at, id)));
        self.items.insert(id, item);
        self.enter(id, now);
    }

    fn enter(&mut self, id: i64, now: i64) {
        let Some(Item { key, since, .. }) = self.items.get(&id).copied() else { return };
        if self.items.get(&id).is_some_and(Item::tried) {
            self.retrying.insert((since, id));
        }
        if let Some(lanes) = &mut self.lanes {
            lanes.waiting.insert((key, id));
            if lanes.busy.contains_key(&key) {
                return;
            }
            let (first, second) = {
                let mut of_key = lanes.of(key);
                (of_key.next(), of_key.next())
            };
            if first != Some(id) {
                return;
            }
            second.into_iter().for_each(|second| self.unseat(second));
        }
        self.seat(id, now);
    }

    fn seat(&mut self, id: i64, now: i64) {
        let Some(item) = self.items.get_mut(&id).filter(|item| item.seat == Seat::Off) else { return };
        let (place, key) = ((item.place(), id), item.key);
        if item.due > now {
            item.seat = Seat::Delayed;
            self.delayed_again += usize::from(item.tried());
            self.delayed.insert((item.due, id));
        } else if let Some(caps) = self.caps.as_mut().filter(|_| Caps::counts(key)) {
            item.seat = Seat::Behind;
            caps.wait(key, place);
            self.settle(key);
        } else {
            item.seat = Seat::Ready;
            self.ready.insert(place);
        }
    }

    /// Of a key, the first in line may begin, and as many as may.
    fn settle(&mut self, key: u64) {
        while let Some(change) = self.caps.as_mut().and_then(|caps| caps.change(key)) {
            let (Change::MayBegin(id) | Change::Waits(id)) = change;
            let Some(item) = self.items.get_mut(&id) else { continue };
            if change == Change::MayBegin(id) {
                item.seat = Seat::Ready;
                self.ready.insert((item.place(), id));
            } else {
                item.seat = Seat::Behind;
                self.ready.remove(&(item.place(), id));
            }
        }
    }

    fn unseat(&mut self, id: i64) {
        let Some(item) = self.items.get_mut(&id) else { return };
        match item.seat {
            Seat::Ready => _ = self.ready.remove(&(item.place(), id)),
            Seat::Delayed => {
                self.delayed_again -= usize::from(item.tried());
                self.delayed.remove(&(item.due, id));
            }
            Seat::Behind => {}
            _ => return,
        }
        if let Some(caps) = self.caps.as_mut().filter(|_| item.seat != Seat::Delayed) {
            caps.leave(item.key, (item.place(), id));
        }
        item.seat = Seat::Off;
    }

    fn seat_head(&mut self, key: u64, now: i64) {
        let Some(lanes) = self.lanes.as_ref().filter(|lanes| !lanes.busy.contains_key(&key)) else { return };
        let head = lanes.of(key).next();
        head.into_iter().for_each(|head| self.seat(head, now));
    }

    /// Those whose time has come get in line. They stay there when the clock steps back.
    pub fn promote(&mut self, now: i64) {
        while let Some((due, id)) = self.delayed.first().copied()
            && due <= now
        {
            self.unseat(id);
            self.seat(id, now);
        }
    }

    /// The clock was set back by so much. What waits for a time that was asked for goes on waiting for it.
    pub fn set_back(&mut self, by: i64, now: i64) {
        let ids: Vec<i64> = self.items.keys().copied().collect();
        for id in ids {
            let Some(item) = self.items.get(&id).copied() else { continue };
            if item.timed && !matches!(item.seat, Seat::Ready | Seat::Behind | Seat::Running) {
                continue;
            }
            self.unseat(id);
            self.items.get_mut(&id).into_iter().for_each(|item| item.due = item.due.saturating_sub(by));
            if matches!(item.seat, Seat::Ready | Seat::Behind | Seat::Delayed) {
                self.seat(id, now);
            }
        }
    }

    /// Nothing of this key, or one less of it, may start until [`Queue::release`]; nothing to do where keys are of no account.
    pub fn occupy(&mut self, key: u64) {
        if let Some(caps) = self.caps.as_mut().filter(|_| Caps::counts(key)) {
            caps.occupy(key);
            self.settle(key);
        }
        let Some(lanes) = &mut self.lanes else { return };
        *lanes.busy.entry(key).or_default() += 1;
        let head = lanes.of(key).next();
        head.into_iter().for_each(|head| self.unseat(head));
    }

    pub fn occupied(&self, key: u64) -> bool {
        self.lanes.as_ref().is_some_and(|lanes| lanes.busy.contains_key(&key))
    }

    pub fn release(&mut self, key: u64, now: i64) {
        if let Some(caps) = self.caps.as_mut().filter(|_| Caps::counts(key)) {
            caps.release(key);
            self.settle(key);
        }
        let Some(lanes) = &mut self.lanes else { return };
        let Some(count) = lanes.busy.get_mut(&key) else { return };
        *count -= 1;
        if *count == 0 {
            lanes.busy.remove(&key);
            self.seat_head(key, now);
        }
    }

    /// What runs next: batches for one lease, of up to `limit` events.
    pub fn take(&mut self, limit: usize, batch_size: usize, now: i64) -> Vec<Batch> {
        let mut lease = Filling::new(batch_size);
        let mut left = limit;
        while left > 0
            && let Some(first) = self.ready.first().map(|(_, id)| *id)
        {
            let alone = self.items.get(&first).is_some_and(|item| item.solo == Solo::Lease);
            if alone && !lease.batches.is_empty() {
                break;
            }
            let run = self.run_from(first, if alone { 1 } else { left }, now);
            if run.is_empty() {
                break;
            }
            left -= run.len();
            run.into_iter().for_each(|id| self.begin(id, &mut lease));
            if alone {
                break;
            }
        }
        lease.batches
    }

    /// An event, with those of its key that may follow it in the same lease.
    fn run_from(&self, first: i64, limit: usize, now: i64) -> Vec<i64> {
        let (Some(lanes), Some(item)) = (&self.lanes, self.items.get(&first)) else { return vec![first] };
        let may_follow = |id: &i64| {
            let follower = self.items.get(id);
            *id == first || follower.is_some_and(|item| item.due <= now && item.solo != Solo::Lease && item.seat == Seat::Off)
        };
        lanes.of(item.key).take_while(may_follow).take(if self.apart { 1 } else { limit }).collect()
    }

    /// A consumer has this one already.
    pub fn resume(&mut self, id: i64) {
        self.begin(id, &mut Filling::new(1));
    }

    fn begin(&mut self, id: i64, lease: &mut Filling) {
        self.unseat(id);
        let Some(item) = self.items.get_mut(&id) else { return };
        item.seat = Seat::Running;
        self.running += 1;
        self.retrying.remove(&(item.since, id));
        let (item, ordered) = (*item, self.lanes.is_some());
        if let Some(lanes) = &mut self.lanes {
            lanes.waiting.remove(&(item.key, id));
        }
        self.occupy(item.key);
        lease.add(id, &item, (ordered && !self.apart).then_some(item.key));
    }

    /// One that ran waits again; an attempt was made.
    pub fn tried(&mut self, id: i64, now: i64) {
        self.expires_no_more(id);
        self.again(id, now);
    }

    /// One that ran waits again.
    pub fn again(&mut self, id: i64, now: i64) {
        let Some(item) = self.items.get_mut(&id).filter(|item| item.running()) else { return };
        item.seat = Seat::Off;
        let key = item.key;
        self.running -= 1;
        self.enter(id, now);
        self.release(key, now);
    }

    pub fn remove(&mut self, id: i64, now: i64) -> Option<Item> {
        self.unseat(id);
        self.expires_no_more(id);
        let item = self.items.remove(&id)?;
        self.retrying.remove(&(item.since, id));
        if item.running() {
            self.running -= 1;
            self.release(item.key, now);
        } else if let Some(lanes) = &mut self.lanes {
            lanes.waiting.remove(&(item.key, id));
            self.seat_head(item.key, now);
        } else {
            self.settle(item.key);
        }
        Some(item)
    }

    /// Forget all that do not run; those that do are marked.
    pub fn shed(&mut self, mut forget: impl FnMut(i64, &Item)) {
        self.ready.clear();
        self.delayed.clear();
        self.retrying.clear();
        self.delayed_again = 0;
        self.lanes.iter_mut().for_each(|lanes| lanes.waiting.clear());
        self.caps.iter_mut().for_each(Caps::clear);
        let expiring = &mut self.expiring;
        self.items.retain(|id, item| {
            item.left = true;
            if let Some(at) = item.expires.filter(|_| !item.running()) {
                expiring.remove(&(at, *id));
            }
            if !item.running() {
                forget(*id, item);
            }
            item.running()
        });
        if self.items.is_empty() {
            self.items = Map::default();
        }
    }

    /// One that waits may not start until [`Queue::relocate`]; it keeps its place before others of its key.
    pub fn hold(&mut self, id: i64) {
        self.unseat(id);
        if let Some(item) = self.items.get_mut(&id).filter(|item| !item.running()) {
            item.seat = Seat::Moving;
            let key = item.key;
            self.settle(key);
        }
    }

    pub fn relocate(&mut self, id: i64, partition: u8, tid: u64, now: i64) {
        let Some(item) = self.items.get_mut(&id) else { return };
        (item.partition, item.tid) = (partition, tid);
        if item.seat == Seat::Moving {
            item.seat = Seat::Off;
            let key = item.key;
            if self.lanes.is_some() { self.seat_head(key, now) } else { self.seat(id, now) }
        }
    }

    /// From now on order matters, or does not; so many of a key may run at a time, or, 0, any number.
    pub fn set_rules(&mut self, ordered: bool, of_key: u32, now: i64) {
        let most = Some(of_key).filter(|most| *most > 0 && !ordered);
        if ordered == self.lanes.is_some() && most == self.caps.as_ref().map(Caps::most) {
            return;
        }
        let waiting = self.waiting();
        waiting.iter().for_each(|id| self.unseat(*id));
        self.lanes = ordered.then(Lanes::default);
        self.caps = most.map(Caps::new);
        let running: Vec<u64> = self.items.values().filter(|item| item.running()).map(|item| item.key).collect();
        running.into_iter().for_each(|key| self.occupy(key));
        waiting.into_iter().for_each(|id| self.enter(id, now));
    }
}

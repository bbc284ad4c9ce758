//! How often a handler begins events: no more than so many in any stretch of time of a given length.
//!
//! A start counts from the moment at which the coordinator knows of it, which is never before it happened. What a worker
//! has, and has not begun, counts too. So no stretch of time has more starts than the limit, however long a worker was in
//! coming.

use super::host::EventHost;
use super::part::{Events, HandlerLease};
use super::recall::events_of;
use super::spec::Spec;
use crate::host::Saved;
use std::collections::VecDeque;

/// Starts that are closer to each other than one part in so many of the period count as one point in time, the last of them.
const SLOTS: u64 = 256;

/// How soon to look whether a worker has begun what it was given: an early start is an early end of its period.
pub const LOOK_US: u64 = 10_000;

/// Earlier starts, as the log has them: of this handler, so long ago, so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Started {
    pub handler: u32,
    pub ago_us: u64,
    pub count: usize,
}

struct Slot {
    first: u64,
    last: u64,
    count: usize,
}

pub(super) struct Rate {
    /// 0: none.
    limit: usize,
    period_us: u64,
    slots: VecDeque<Slot>,
    /// So many may be given to workers now.
    room: usize,
}

impl Default for Rate {
    fn default() -> Self {
        Self { limit: 0, period_us: 1, slots: VecDeque::new(), room: usize::MAX }
    }
}

impl Rate {
    pub fn define(&mut self, spec: &Spec) {
        (self.limit, self.period_us) = (spec.rate_limit as usize, spec.rate_period_us.max(1) as u64);
        if self.limit == 0 {
            (self.slots, self.room) = (VecDeque::new(), usize::MAX);
        }
    }

    pub fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// So many may be given to workers until the next [`Rate::look`].
    pub fn room(&self) -> usize {
        self.room
    }

    /// These were given to a worker.
    pub fn take(&mut self, count: usize) {
        if self.is_on() {
            self.room = self.room.saturating_sub(count);
        }
    }

    /// These have begun, by now.
    pub fn began(&mut self, count: usize, mono: u64) {
        if !self.is_on() || count == 0 {
            return;
        }
        match self.slots.back_mut().filter(|slot| mono.saturating_sub(slot.first) < self.period_us / SLOTS) {
            Some(slot) => (slot.last, slot.count) = (mono.max(slot.last), slot.count + count),
            None => self.slots.push_back(Slot { first: mono, last: mono, count }),
        }
    }

    /// Of those that counted as begun, the last were not.
    pub fn did_not(&mut self, mut count: usize) {
        while count > 0
            && let Some(slot) = self.slots.back_mut()
        {
            let some = count.min(slot.count);
            (slot.count, count) = (slot.count - some, count - some);
            if slot.count == 0 {
                self.slots.pop_back();
            }
        }
    }

    /// What is so long ago is of no account any more. So many are with workers that have not begun them.
    pub fn look(&mut self, unbegun: usize, mono: u64) {
        if !self.is_on() {
            return;
        }
        while self.slots.front().is_some_and(|slot| slot.last.saturating_add(self.period_us) <= mono) {
            self.slots.pop_front();
        }
        let begun: usize = self.slots.iter().map(|slot| slot.count).sum();
        self.room = self.limit.saturating_sub(begun.saturating_add(unbegun));
    }

    /// When there is room again, if it is a matter of time.
    pub fn opens_at(&self) -> Option<u64> {
        let first = self.slots.front().filter(|_| self.room == 0);
        first.map(|slot| slot.last.saturating_add(self.period_us))
    }
}

impl HandlerLease {
    /// Batches up to this one have been begun; how many of their events did not count as begun.
    fn begin(&mut self, upto: usize) -> usize {
        let from = self.begun;
        self.begun = self.begun.max(upto.min(self.batches.len()));
        self.batches.iter().take(self.begun).skip(from).flatten().map(events_of).sum()
    }

    fn unbegun(&self) -> usize {
        self.batches.iter().skip(self.begun).flatten().map(events_of).sum()
    }

    /// What was said of a batch, or of what a worker had begun when it went, before it is taken note of otherwise.
    pub(super) fn said_of(&mut self, rate: &mut Rate, begun: usize, mono: u64) {
        if rate.is_on() {
            rate.began(self.begin(begun), mono);
        }
    }

    /// The worker did not run this batch after all.
    pub(super) fn did_not(&self, rate: &mut Rate, index: usize, events: usize) {
        if rate.is_on() && index < self.begun {
            rate.did_not(events);
        }
    }
}

impl Events {
    /// Before anything is given to workers: how much each handler may begin.
    pub(super) fn look_at_rates<H: EventHost>(&mut self, h: &H, mono: u64) {
        if !self.handlers.values().any(|handler| handler.rate.is_on()) {
            return;
        }
        let handlers = &mut self.handlers;
        for (number, lease) in &mut self.leases {
            if let Some(handler) = handlers.get_mut(&lease.handler).filter(|handler| handler.rate.is_on()) {
                lease.said_of(&mut handler.rate, h.begun(*number).unwrap_or(0), mono);
            }
        }
        for (id, handler) in handlers {
            let unbegun = self.leases.values().filter(|lease| lease.handler == *id).map(HandlerLease::unbegun).sum();
            handler.rate.look(unbegun, mono);
        }
    }

    /// What was begun before this coordinator was there, at its first look at the handlers.
    pub(super) fn recall_starts<H: EventHost>(&mut self, h: &H, specs: &[Spec]) -> Result<Vec<Started>, Saved> {
        if self.loaded || !specs.iter().any(|spec| spec.rate_limit > 0) {
            return Ok(Vec::new());
        }
        let mut started = h.started()?;
        started.sort_unstable_by_key(|started| std::cmp::Reverse(started.ago_us));
        Ok(started)
    }

    /// Microseconds until a handler may begin more, or a worker is to be looked at.
    pub(super) fn rate_wait(&self, mono: u64) -> u64 {
        let limited = || self.handlers.values().filter(|handler| handler.rate.is_on());
        if limited().next().is_none() {
            return u64::MAX;
        }
        let is_limited = |lease: &&HandlerLease| self.handlers.get(&lease.handler).is_some_and(|handler| handler.rate.is_on());
        let looks = self.leases.values().filter(is_limited).any(|lease| lease.unbegun() > 0);
        let opens = limited().filter(|handler| handler.has_some()).filter_map(|handler| handler.rate.opens_at()).min();
        let opens = opens.map_or(u64::MAX, |at| at.saturating_sub(mono));
        if looks { opens.min(LOOK_US) } else { opens }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Batch, BatchItems};
    use super::*;

    fn rate(limit: u32, period_us: i64) -> Rate {
        let mut rate = Rate::default();
        rate.define(&Spec { rate_limit: limit, rate_period_us: period_us, ..Spec::default() });
        rate.look(0, 0);
        rate
    }

    #[test]
    fn what_was_begun_and_what_is_with_workers_leaves_the_rest() {
        let mut rate = rate(5, 1000);
        rate.took_and_began(3, 10);
        assert_eq!((rate.room(), rate.opens_at()), (2, None));
        rate.look(2, 20);
        assert_eq!((rate.room(), rate.opens_at()), (0, Some(1010)));
        rate.look(0, 1009);
        assert_eq!(rate.room(), 2);
        rate.look(0, 1010);
        assert_eq!(rate.room(), 5, "a period later they are of no account");
    }

    impl Rate {
        fn took_and_began(&mut self, count: usize, mono: u64) {
            self.take(count);
            self.began(count, mono);
            self.look(0, mono);
        }
    }

    #[test]
    fn at_random_no_period_has_more_starts_than_the_limit() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..50 {
            let (limit, period) = (rng.u32(1..20), rng.i64(1..100_000));
            let mut rate = rate(limit, period);
            let (mut now, mut starts) = (0, Vec::new());
            while starts.len() < 500 {
                rate.look(0, now);
                let some = rng.usize(..=rate.room().min(4));
                rate.take(some);
                rate.began(some, now);
                starts.extend(std::iter::repeat_n(now, some));
                now += rng.u64(0..=period as u64 / 3);
            }
            let crowd = starts.windows(limit as usize + 1).find(|few| few[limit as usize] - few[0] < period as u64);
            assert_eq!(crowd, None, "{limit} in {period}");
            assert!(rate.slots.len() <= SLOTS as usize + 2);
        }
    }

    /// A worker begins more while the end of what it began first is on its way.
    #[test]
    fn what_is_said_late_of_a_batch_counts_no_start_again() {
        let batch =
            |id| Batch { work: BatchItems::Events { partition: 0, tids: vec![1], ids: vec![id] }, attempt: 1, key: None, timeout_ms: None };
        let mut lease = HandlerLease::new(1, false, (1..5).map(batch).collect(), 0);
        assert_eq!([lease.begin(3), lease.begin(1), lease.begin(2), lease.begin(4), lease.begin(9)], [3, 0, 0, 1, 0]);
        assert_eq!(lease.unbegun(), 0);
    }

    #[test]
    fn those_that_did_not_begin_after_all_do_not_count() {
        let mut rate = rate(5, 1000);
        rate.took_and_began(2, 10);
        rate.took_and_began(3, 20);
        rate.did_not(4);
        rate.look(0, 30);
        assert_eq!(rate.room(), 4);
    }

    #[test]
    fn another_limit_counts_what_was_begun_under_the_last_one() {
        let mut rate = rate(5, 1000);
        rate.took_and_began(4, 10);
        for (limit, room) in [(10, 6), (2, 0), (0, usize::MAX)] {
            rate.define(&Spec { rate_limit: limit, rate_period_us: 1000, ..Spec::default() });
            rate.look(0, 20);
            assert_eq!(rate.room(), room);
        }
    }
}

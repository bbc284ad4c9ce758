//! A turn of a coordinator: what all its parts share.

use super::clock::Clock;
use super::fairness::Fairness;
use super::health::{FIRST_PAUSE_US, Health};
use super::host::{Host, Line, Lost};
use super::part::{Context, Part};
use super::runner::{Numbers, Runner};
use super::topics::Topics;
use crate::host::Saved;

#[derive(Debug, Default)]
pub struct Turn {
    clock: Clock,
    /// Told since the last turn.
    topics: Topics,
    numbers: Numbers,
    fairness: Fairness,
    /// Of each part.
    health: Vec<Health>,
    /// A part failed in the last turn.
    failed: bool,
}

impl Turn {
    /// There may be something new.
    pub fn tell(&mut self, topics: Topics) {
        self.topics |= topics;
    }

    /// Each part takes a step, also when another one has failed, but not while it pauses after a failure. Microseconds
    /// until the next turn is needed: the earliest of the parts.
    pub fn take<H: Host + Runner>(&mut self, h: &H, parts: &mut [&mut dyn Part<H>]) -> Result<u64, Lost> {
        self.health.resize_with(parts.len(), Health::default);
        self.failed = false;
        self.fairness.begin_turn();
        self.look_at_clock(h, parts);
        let topics = std::mem::take(&mut self.topics);
        parts.iter_mut().for_each(|part| part.tell(topics));
        self.hear(h, parts);
        let urgent = |index: &usize| parts.get(*index).is_some_and(|part| part.is_urgent());
        let order = self.fairness.order(parts.len());
        let (first, last): (Vec<usize>, Vec<usize>) = order.partition(urgent);
        for index in first.into_iter().chain(last) {
            let pauses = self.health.get(index).is_some_and(|health| health.pause(h.now_us()) > 0);
            if let Some(part) = parts.get_mut(index).filter(|_| !pauses) {
                let stepped = part.step(&mut self.context(h, index, part.is_urgent()));
                if stepped.is_err() && h.short_of_memory() {
                    part.shed(h);
                }
                self.note(h, index, part.name(), stepped)?;
            }
        }
        let now = h.now_us();
        let wait = |(part, health): (&&mut dyn Part<H>, &Health)| if health.fails() { health.pause(now) } else { part.wait_us(h) };
        Ok(parts.iter().zip(&self.health).map(wait).min().unwrap_or(u64::MAX).min(h.wait_us()))
    }

    /// How the step of a part ended.
    fn note<H: Host>(&mut self, h: &H, index: usize, name: &'static str, stepped: Result<(), Saved>) -> Result<(), Lost> {
        let Some(health) = self.health.get_mut(index) else { return Ok(()) };
        if stepped.is_ok() {
            if health.worked(h.now_us()) {
                h.log(name, Line::WorksAgain);
            }
            return Ok(());
        }
        self.failed = true;
        if let Some(lost) = h.lost() {
            return Err(lost);
        }
        if health.failed(h.now_us(), h.error()) {
            h.log(name, Line::Fails);
        }
        Ok(())
    }

    /// A turn broke off: whatever part did it, all pause. Microseconds until they go on.
    pub fn broke_off<H: Host>(&mut self, h: &H) -> u64 {
        let now = h.now_us();
        self.failed = true;
        let said = self.health.iter_mut().map(|health| health.failed(now, h.error())).fold(false, |said, to_say| said | to_say);
        if said {
            h.log("events", Line::Fails);
        }
        self.health.iter().map(|health| health.pause(now)).min().unwrap_or(FIRST_PAUSE_US)
    }

    /// Microseconds for which all parts pause.
    pub fn pause(&self, now_us: u64) -> u64 {
        self.health.iter().map(|health| health.pause(now_us)).min().unwrap_or(0)
    }

    /// Does a part pause?
    pub fn pauses(&self, now_us: u64) -> bool {
        self.health.iter().any(|health| health.pause(now_us) > 0)
    }

    /// How the last turn went: well, if no part fails.
    pub fn fared(&self) -> Option<bool> {
        if self.failed { Some(false) } else { self.health.iter().all(|health| !health.fails()).then_some(true) }
    }

    /// All that failed may try again at once.
    #[cfg(test)]
    pub fn forget_failures(&mut self) {
        self.health.clear();
    }

    /// The coordinator ends in good order: every part does, whatever becomes of the others.
    pub fn close<H: Host + Runner>(&mut self, h: &H, parts: &mut [&mut dyn Part<H>]) -> Result<(), Saved> {
        self.hear(h, parts);
        let mut closed = Ok(());
        for (index, part) in parts.iter_mut().enumerate() {
            closed = closed.and(part.close(&mut self.context(h, index, part.is_urgent())));
        }
        closed
    }

    /// No part has anything to do until somebody says so, or until so many microseconds have passed.
    pub fn rests<H>(&self, h: &H, parts: &mut [&mut dyn Part<H>]) -> Option<u64> {
        let nothing_new = self.topics.is_empty();
        parts.iter().map(|part| part.rests(h)).fold(nothing_new.then_some(u64::MAX), |most, rest| Some(most?.min(rest?)))
    }

    fn context<'a, H: Host>(&'a mut self, h: &'a H, part: usize, urgent: bool) -> Context<'a, H> {
        Context { host: h, began: h.timestamp(), part, urgent, numbers: &mut self.numbers, fairness: &mut self.fairness }
    }

    fn look_at_clock<H: Host>(&mut self, h: &H, parts: &mut [&mut dyn Part<H>]) {
        let by = self.clock.step_back(h.timestamp(), h.now_us());
        if by > 0 {
            let now = h.timestamp();
            parts.iter_mut().for_each(|part| part.clock_was_set_back(by, now));
        }
    }

    /// What workers said goes to the part that each lease belongs to.
    fn hear<H: Host + Runner>(&mut self, h: &H, parts: &mut [&mut dyn Part<H>]) {
        let heard = h.heard();
        let began = h.timestamp();
        for (lease, said) in heard {
            let index = Numbers::part_of(lease);
            if let Some(part) = parts.get_mut(index) {
                let (numbers, fairness) = (&mut self.numbers, &mut self.fairness);
                let urgent = part.is_urgent();
                part.hear(&mut Context { host: h, began, part: index, urgent, numbers, fairness }, lease, said);
            }
        }
    }
}

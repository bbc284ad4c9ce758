//! A turn of a coordinator: what all its parts share.

use super::clock::Clock;
use super::fairness::Fairness;
use super::host::Host;
use super::part::{Context, Part};
use super::runner::{Numbers, Runner};
use super::topics::Topics;
use crate::host::Saved;

#[derive(Debug, Default)]
pub struct Turn {
    clock: Clock,
    /// Told since the last turn.
    told: Topics,
    numbers: Numbers,
    fairness: Fairness,
}

impl Turn {
    /// There may be something new.
    pub fn tell(&mut self, topics: Topics) {
        self.told |= topics;
    }

    /// Each part takes a step, also when another one has failed. Microseconds until the next turn is needed: the
    /// earliest of the parts; or the first failure.
    pub fn take<H: Host + Runner>(&mut self, h: &H, parts: &mut [&mut dyn Part<H>]) -> Result<u64, Saved> {
        self.fairness.begin_turn();
        self.look_at_clock(h, parts);
        let told = std::mem::take(&mut self.told);
        parts.iter_mut().for_each(|part| part.tell(told));
        self.hear(h, parts);
        let mut taken = Ok(());
        for index in self.fairness.order(parts.len()) {
            let Some(part) = parts.get_mut(index) else { continue };
            let stepped = part.step(&mut self.context(h, index));
            if stepped.is_err() && h.short_of_memory() {
                part.shed(h);
            }
            taken = taken.and(stepped);
        }
        taken?;
        Ok(parts.iter().map(|part| part.wait_us(h)).min().unwrap_or(u64::MAX).min(h.wait_us()))
    }

    /// The coordinator ends in good order: every part does, whatever becomes of the others.
    pub fn close<H: Host + Runner>(&mut self, h: &H, parts: &mut [&mut dyn Part<H>]) -> Result<(), Saved> {
        self.hear(h, parts);
        let mut closed = Ok(());
        for (index, part) in parts.iter_mut().enumerate() {
            closed = closed.and(part.close(&mut self.context(h, index)));
        }
        closed
    }

    /// No part has anything to do until somebody says so, or until so many microseconds have passed.
    pub fn rests<H>(&self, h: &H, parts: &[&dyn Part<H>]) -> Option<u64> {
        let nothing_told = self.told.is_empty();
        parts.iter().map(|part| part.rests(h)).fold(nothing_told.then_some(u64::MAX), |most, rest| Some(most?.min(rest?)))
    }

    fn context<'a, H: Host>(&'a mut self, h: &'a H, part: usize) -> Context<'a, H> {
        Context { host: h, began: h.timestamp(), part, numbers: &mut self.numbers, fairness: &mut self.fairness }
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
                part.hear(&mut Context { host: h, began, part: index, numbers, fairness }, lease, said);
            }
        }
    }
}

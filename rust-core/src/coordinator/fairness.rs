//! How the parts of a coordinator share the workers that there are.
//!
//! The part that goes first in a turn may take all of them. So when another one got none, that one goes first in the
//! next turn. An owner for whom there was no worker is not asked for again in the same turn, whoever asks.

#[derive(Debug, Default)]
pub(super) struct Fairness {
    first: usize,
    /// The part that goes first in the next turn.
    next: Option<usize>,
    /// A part got no worker in this turn.
    waits: bool,
    /// Owners for whom there was no worker in this turn.
    refused: Vec<u32>,
}

impl Fairness {
    pub fn begin_turn(&mut self) {
        self.refused.clear();
        self.waits = false;
        self.first = self.next.take().unwrap_or(self.first);
    }

    /// In which order so many parts take their steps.
    pub fn order(&self, parts: usize) -> impl Iterator<Item = usize> + use<> {
        let first = if self.first < parts { self.first } else { 0 };
        (first..parts).chain(0..first)
    }

    pub fn refuses(&self, owner: u32) -> bool {
        self.refused.contains(&owner)
    }

    /// There was no worker for this owner.
    pub fn refuse(&mut self, owner: u32) {
        if !self.refuses(owner) {
            self.refused.push(owner);
        }
    }

    /// Did a part get no worker in this turn?
    pub fn someone_waits(&self) -> bool {
        self.waits
    }

    /// A part got no worker: the first such part after the one that went first is the next to go first.
    pub fn went_without(&mut self, part: usize) {
        self.waits = true;
        if part != self.first && self.next.is_none() {
            self.next = Some(part);
        }
    }
}

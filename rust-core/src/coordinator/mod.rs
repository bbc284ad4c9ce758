//! A coordinator: the process of a database that decides what workers run there on nobody's call.
//!
//! What it decides falls into parts: events are one, schedules another, jobs in chunks the third. A [`part::Part`] keeps what it knows to itself, and takes a step
//! when the coordinator takes a turn. [`turn::Turn`] is what all parts share: it reads the clock, hands out what was
//! told and what workers said, lets the parts share the workers that there are, and says when the next turn is needed.
//!
//! ```text
//!   topics told ----+                         +--> events     (async_event/)
//!   outcomes -------+--> Turn --> each part --+--> schedules  (schedule/)
//!   clock ----------+      ^              +--> jobs       (chunk/)
//!                          |                          |
//!                          +---- how long to wait <---+
//! ```
//! [`process::Process`] is a coordinator as its process lives: from its beginning in a database to its end.
//!
//! A part asks for a worker through its [`part::Context`]. The number of the lease says which part it belongs to.
#![allow(clippy::disallowed_methods, reason = "what is allocated here has a few bytes for each part or refusal")]

pub mod clock;
pub mod fairness;
mod health;
pub mod host;
pub mod part;
pub mod process;
pub mod runner;
#[cfg(test)]
mod tests;
pub mod topics;
pub mod turn;
pub mod unseen;
pub mod workers;

use crate::async_event::{EventHost, Events};
use crate::chunk::part::{ChunkStore, Jobs};
use crate::host::Saved;
use crate::schedule::part::{ScheduleStore, Schedules};
use host::Lost;
use part::Part;
use topics::Topics;
use turn::Turn;

/// All parts of one coordinator, and the turns that they take together.
pub struct Coordinator {
    pub(crate) turn: Turn,
    pub events: Events,
    pub schedules: Schedules,
    pub jobs: Jobs,
}

/// What a database offers to all parts.
pub trait Database: EventHost + ScheduleStore + ChunkStore {}
impl<H: EventHost + ScheduleStore + ChunkStore> Database for H {}

/// The parts, each as what the turn knows of it. Their order gives each its place in the numbers of leases.
macro_rules! parts {
    ($coordinator:expr) => {
        &mut [&mut $coordinator.events, &mut $coordinator.schedules, &mut $coordinator.jobs]
    };
}

impl Coordinator {
    /// New events go to partition `current`.
    pub fn new(current: u8) -> Self {
        Self { turn: Turn::default(), events: Events::new(current), schedules: Schedules::default(), jobs: Jobs::default() }
    }

    /// There may be something new.
    pub fn tell(&mut self, topics: Topics) {
        self.turn.tell(topics);
    }

    /// Do what can be done now. Microseconds until the next turn is needed, if nothing happens before.
    pub fn take_turn<H: Database>(&mut self, h: &H) -> Result<u64, Lost> {
        self.turn.take(h, parts!(self))
    }

    /// The coordinator ends in good order.
    pub fn close<H: Database>(&mut self, h: &H) -> Result<(), Saved> {
        self.turn.close(h, parts!(self))
    }

    /// No part has anything to do until somebody says so, or until so many microseconds have passed; u64::MAX: never.
    pub fn rests<H: Database>(&mut self, h: &H) -> Option<u64> {
        self.turn.rests(h, parts!(self))
    }

    /// A part was told of something that was of no use.
    pub fn looked_in_vain<H: Database>(&mut self, _: &H) -> bool {
        let parts: &mut [&mut dyn Part<H>] = parts!(self);
        parts.iter().any(|part| part.looked_in_vain())
    }
}

//! What a part of a coordinator is to the turn that it takes.

use super::fairness::Fairness;
use super::runner::{Numbers, Runner, Work};
use super::topics::Topics;
use crate::host::Saved;
use crate::lease::work::LeaseUpdate;

/// What a part has while it takes a step.
pub struct Context<'a, H> {
    pub host: &'a H,
    /// The wall clock when the turn began.
    pub began: i64,
    pub(super) part: usize,
    pub(super) urgent: bool,
    pub(super) numbers: &'a mut Numbers,
    pub(super) fairness: &'a mut Fairness,
}

impl<H: Runner> Context<'_, H> {
    /// Have a worker do this for this owner: the number of the lease. None: no worker is to be had now.
    pub fn start(&mut self, owner: u32, work: &Work<'_>) -> Result<Option<u64>, Saved> {
        if self.refuses(owner) {
            self.went_without();
            return Ok(None);
        }
        let lease = self.numbers.next_of(self.part);
        if self.host.start(lease, work)? {
            self.numbers.use_up();
            return Ok(Some(lease));
        }
        self.refuse(owner);
        Ok(None)
    }

    /// Is there a worker for this owner, as it looks? If not, that is all there is to say of him in this turn.
    pub fn look_for(&mut self, owner: u32, superuser: bool) -> Result<bool, Saved> {
        let room = !self.refuses(owner) && self.host.room(owner, superuser)?;
        if !room {
            self.refuse(owner);
        }
        Ok(room)
    }

    fn refuse(&mut self, owner: u32) {
        self.fairness.refuse(owner);
        self.went_without();
    }

    /// There was no worker for this owner in this turn: there is none now.
    pub fn refuses(&self, owner: u32) -> bool {
        self.fairness.refuses(owner)
    }

    /// This part asked for no worker, for it knew that there is none.
    pub fn went_without(&mut self) {
        if self.urgent {
            self.fairness.went_without(self.part);
        }
    }

    /// Another part got no worker in this turn.
    pub fn others_wait(&self) -> bool {
        self.fairness.someone_waits()
    }
}

/// Something that a coordinator looks after. It reaches the world through `H`: what is common to all parts, workers,
/// and what it asks of the world for itself.
pub trait Part<H> {
    /// As the server's log names it: "coordinator of ..."
    fn name(&self) -> &'static str;
    /// Is somebody waiting for what it does? What nobody waits for takes workers that all others have left.
    fn is_urgent(&self) -> bool {
        true
    }
    /// There may be something new. Told before each step, of all topics that anybody has spoken of.
    fn tell(&mut self, topics: Topics);
    /// The wall clock was set back by so many microseconds, and says this now.
    fn clock_was_set_back(&mut self, by: i64, now: i64) {
        _ = (by, now);
    }
    /// What a worker said of one of its leases.
    fn hear(&mut self, cx: &mut Context<'_, H>, lease: u64, said: LeaseUpdate);
    /// Do what can be done now. After an error the next step goes on; it comes after a pause.
    fn step(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved>;
    /// The last step failed for want of memory: keep less.
    fn shed(&mut self, host: &H) {
        _ = host;
    }
    /// Microseconds until the next step is needed, if nothing happens before.
    fn wait_us(&self, host: &H) -> u64;
    /// Its last step found nothing of what it was told of: to look less often costs nobody anything.
    fn looked_in_vain(&self) -> bool {
        false
    }
    /// There is nothing to do until somebody says so, or until so many microseconds have passed; u64::MAX: never.
    fn rests(&self, host: &H) -> Option<u64>;
    /// The coordinator ends in good order: leave nothing behind that the next one would have to guess.
    fn close(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved>;
}

//! A world with a coordinator in it, and how time passes there.

use super::world::{SECOND, State, World};
use crate::async_event::spec::Spec;
use crate::coordinator::Coordinator;
use crate::coordinator::topics::Topics;
use crate::host::Saved;

pub struct Sim {
    pub world: World,
    pub coordinator: Coordinator,
    /// When the coordinator wants its next step.
    pub due: u64,
    /// Those that were not in good order.
    pub restarts: u32,
    /// Pairs that the coordinator may hold.
    pub most_held: usize,
}

impl Sim {
    pub fn new(seed: u64, specs: Vec<Spec>) -> Self {
        let world = World::new(seed);
        world.set().specs = specs;
        let mut coordinator = Coordinator::new(0);
        coordinator.events.set_rotation(1 << 40, 1 << 60);
        Self { world, coordinator, due: 0, restarts: 0, most_held: usize::MAX }
    }

    /// Change the world, and tell the coordinator.
    pub fn act<T>(&mut self, act: impl FnOnce(&mut State) -> T) -> T {
        let result = act(&mut self.world.set());
        self.coordinator.tell(Topics::EVENTS);
        self.due = 0;
        result
    }

    pub fn try_step(&mut self) -> Result<u64, Saved> {
        self.world.set().step += 1;
        let drained = self.world.get().calls.get("notifications").copied().unwrap_or(0);
        let taken = self.coordinator.take_turn(&self.world).unwrap();
        let failed = self.coordinator.turn.fared() == Some(false);
        // How long it pauses is tested elsewhere.
        self.coordinator.turn.forget_failures();
        let wait = if failed { Err(Saved) } else { Ok(taken) };
        // It asks the log again: where calls fail after they took effect, that may have an attempt more than it knew of.
        self.restarts += u32::from(wait.is_err() && self.world.get().short && self.world.get().faults > 0.0);
        let state = self.world.get();
        assert_eq!(state.wrong, Vec::<String>::new());
        assert!(state.calls["notifications"] > drained, "notifications are taken in each step");
        self.due = state.mono + wait.unwrap_or(1000);
        drop(state);
        self.each_is_counted_once();
        wait
    }

    /// Whatever happens, views show each event of a handler in one state.
    fn each_is_counted_once(&mut self) {
        let wall = self.world.get().wall;
        let counts = self.coordinator.events.counts(wall);
        for ((_, counts), stats) in counts.into_iter().zip(self.coordinator.events.stats(wall)) {
            assert_eq!((counts.waiting + counts.delayed + counts.retrying, counts.running), (stats.waiting, stats.running));
        }
    }

    pub fn step(&mut self) -> u64 {
        self.try_step().unwrap()
    }

    /// Pairs of an event and a handler that the log has as attempts under way, and that no worker has.
    pub fn shown_running(&self) -> Vec<(i64, u32)> {
        let state = self.world.get();
        let has = |(event, handler): (i64, u32)| state.leases.values().any(|lease| lease.spec.id == handler && lease.has(event));
        let begun = state.log.iter().filter(|(_, logged)| logged.unfinished && logged.end.is_none()).map(|(pair, _)| *pair);
        begun.filter(|pair| !has(*pair)).collect()
    }

    /// Let time pass until a worker has something to say, or the coordinator wants a step, or `until`.
    pub fn pass(&mut self, until: u64) {
        let state = &mut *self.world.set();
        let finish = state.leases.values().map(|lease| lease.finishes_at).min().unwrap_or(u64::MAX);
        let next = if state.heard.is_empty() { finish.min(self.due).min(until).max(state.mono) } else { state.mono };
        state.wall += (next - state.mono) as i64;
        state.mono = next;
        state.work();
    }

    /// The coordinator ends in good order, and comes again.
    pub fn reopen(&mut self, rotation: (u64, u64)) {
        self.world.set().closing = true;
        let closed = self.coordinator.close(&self.world);
        self.world.set().closing = false;
        self.restart(rotation);
        // Where calls fail after they took effect, the log may have an attempt that the coordinator does not know.
        self.restarts -= u32::from(closed.is_ok() && self.world.get().faults == 0.0);
    }

    /// The server, or the coordinator alone, dies, and comes again.
    pub fn restart(&mut self, rotation: (u64, u64)) {
        self.restarts += 1;
        let state = &mut *self.world.set();
        for lease in std::mem::take(&mut state.leases).into_values() {
            for event in lease.left().iter().flat_map(super::workers::ids) {
                state.logged(*event, lease.spec.id).crashes += 1;
            }
        }
        state.heard.clear();
        // The log knows no notifications.
        state.starts.retain(|(.., events)| *events);
        state.notes.clear();
        state.listening.clear();
        state.rows.values_mut().for_each(|row| row.fetched = false);
        (state.first_fetch, state.server_died) = (true, false);
        self.coordinator = Coordinator::new(state.current);
        self.coordinator.events.set_most_held(self.most_held);
        self.coordinator.events.set_rotation(rotation.0, rotation.1);
        self.due = 0;
    }

    /// Go on until nothing is outstanding, and no later than that; how many steps that took.
    pub fn settle(&mut self, seconds: i64) -> u64 {
        let end = self.world.get().mono + (seconds * SECOND) as u64;
        let before = self.world.get().step;
        self.step();
        loop {
            let state = self.world.get();
            let nothing = state.leases.is_empty() && state.heard.is_empty() && state.outstanding().is_empty();
            if nothing || state.mono >= end {
                assert!(nothing, "stuck: {:?} {:?}", state.outstanding(), self.coordinator.events.stats(state.wall));
                return state.step - before;
            }
            drop(state);
            self.pass(end);
            let state = self.world.get();
            let (said, late) = (!state.heard.is_empty(), state.mono >= self.due);
            drop(state);
            if self.world.get().server_died {
                self.restart((1 << 40, 1 << 60));
            }
            if said || late {
                self.step();
            }
        }
    }

    /// Let so much time pass, with steps as they are needed; how many there were.
    pub fn idle(&mut self, us: i64) -> u64 {
        let end = self.world.get().mono + us as u64;
        let before = self.world.get().step;
        while self.world.get().mono < end {
            self.pass(end);
            let said = !self.world.get().heard.is_empty();
            if said || self.world.get().mono >= self.due {
                self.step();
            }
        }
        self.world.get().step - before
    }
}

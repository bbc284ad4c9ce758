//! What is said of one event: a handler puts it off or gives it up, its emitter limits its attempts or its time, or
//! changes it while it waits.

use super::sim::Sim;
use super::world::{End, Nature, SECOND, spec};
use crate::async_event::spec::*;

const NO_ROTATION: (u64, u64) = (1 << 40, 1 << 60);

#[test]
fn what_is_put_off_comes_again_then_and_counts_no_attempt() {
    for ordered in [false, true] {
        let mut sim = Sim::new(1, vec![Spec { ordered, max_attempts: 1, ..spec(1, "a") }]);
        let id = sim.act(|state| state.emit("a", Nature::Snoozes(3, 10 * SECOND)));
        let behind = sim.act(|state| state.emit("a", Nature::Good));
        sim.idle(29 * SECOND);
        assert_eq!((sim.world.get().log[&(id, 1)].runs, sim.world.get().ended(id, 1)), (3, None));
        // Who is behind it in its key waits for it.
        assert_eq!(sim.world.get().ended(behind, 1), (!ordered).then_some(End::Done));
        // A coordinator that comes meanwhile knows it.
        sim.restart(NO_ROTATION);
        sim.idle(2 * SECOND);
        let state = sim.world.get();
        assert_eq!((state.log[&(id, 1)].runs, state.log[&(id, 1)].attempts, state.ended(id, 1)), (4, 1, Some(End::Done)));
    }
}

#[test]
fn that_it_was_put_off_is_known_though_its_worker_went_without_a_word() {
    for seed in 1..40 {
        let mut sim = Sim::new(seed, vec![Spec { batch_size: 3, max_attempts: 50, concurrency: 2, ..spec(1, "a") }]);
        sim.world.set().deaths = 0.3;
        sim.act(|state| (0..9).for_each(|n| _ = state.emit("a", if n % 2 == 0 { Nature::Snoozes(2, SECOND) } else { Nature::Good })));
        sim.settle(900);
        let state = sim.world.get();
        assert!(state.log.values().all(|logged| logged.effects == 1 && matches!(logged.snoozed, 0 | 2)), "seed {seed}");
    }
}

#[test]
fn what_is_given_up_is_dead_at_once() {
    let mut sim = Sim::new(1, vec![Spec { batch_size: 5, max_attempts: 9, ..spec(1, "a") }]);
    let ids = sim.act(|state| [Nature::Good, Nature::Discards, Nature::Good].map(|nature| state.emit("a", nature)));
    sim.settle(5);
    let ends = ids.map(|id| sim.world.get().ended(id, 1));
    assert_eq!(ends, [Some(End::Done), Some(End::Dead), Some(End::Done)]);
    assert_eq!(sim.world.get().log[&(ids[1], 1)].attempts, 1);
}

#[test]
fn an_event_may_have_attempts_and_a_timeout_of_its_own() {
    let mut sim = Sim::new(1, vec![Spec { batch_size: 10, max_attempts: 3, backoff_us: 0, ..spec(1, "a") }]);
    let ids = sim.act(|state| [1, 5].map(|most| state.emit_as("a", Nature::Fails(99), |event| event.max_attempts = Some(most))));
    sim.settle(60);
    assert_eq!(ids.map(|id| sim.world.get().log[&(id, 1)].attempts), [1, 5]);
    let mut sim = Sim::new(1, vec![Spec { batch_size: 10, ..spec(1, "a") }]);
    sim.world.set().workers = 1;
    sim.act(|state| [0, 7, 7, 0, 9].map(|ms| state.emit_as("a", Nature::Good, |event| event.timeout_ms = (ms > 0).then_some(ms))));
    sim.step();
    let batches = sim.world.get().leases[&1].batches.clone();
    let mut sizes: Vec<_> = batches.iter().map(|batch| (batch.timeout_ms, super::workers::ids(batch).len())).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [(None, 2), (Some(7), 2), (Some(9), 1)]);
}

#[test]
fn what_has_not_begun_when_its_time_is_over_ends_as_expired() {
    let mut sim = Sim::new(1, vec![Spec { paused: true, ..spec(1, "a") }, spec(2, "a")]);
    sim.world.set().batch_us = 10;
    let expires = sim.world.get().wall + SECOND;
    let ids =
        sim.act(|state| [Nature::Good, Nature::Fails(1)].map(|nature| state.emit_as("a", nature, |event| event.expires = Some(expires))));
    let late = sim
        .act(|state| state.emit_as("a", Nature::Good, |event| (event.run_at, event.expires) = (event.run_at + 2 * SECOND, Some(expires))));
    assert!(sim.idle(20 * SECOND) < 40);
    let state = sim.world.get();
    assert_eq!(ids.map(|id| state.ended(id, 1)), [Some(End::Expired); 2], "a pause does not stop the clock");
    assert_eq!(ids.map(|id| state.ended(id, 2)), [Some(End::Done); 2], "what has begun goes on");
    assert_eq!([1, 2].map(|handler| state.ended(late, handler)), [Some(End::Expired); 2]);
}

#[test]
fn what_waits_is_changed_and_what_has_ended_does_not_come_again() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), Spec { max_attempts: 9, ..spec(2, "b") }]);
    let hour = 3600 * SECOND;
    let later = sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += hour));
    let ended = sim.act(|state| state.emit("a", Nature::Good));
    let fails = sim.act(|state| state.emit("b", Nature::Fails(1)));
    sim.idle(SECOND / 100);
    assert_eq!(sim.world.get().ended(ended, 1), Some(End::Done));
    let now = sim.world.get().wall;
    sim.act(|state| state.change(fails, 0, Some(now + hour)));
    sim.act(|state| state.change(later, 3, Some(now + 2 * SECOND)));
    sim.act(|state| state.change(ended, 3, Some(now)));
    let fresh = sim.act(|state| {
        let id = state.emit("a", Nature::Good);
        state.change(id, 1, None);
        id
    });
    sim.idle(SECOND);
    assert_eq!((sim.world.get().ended(later, 1), sim.world.get().ended(fresh, 1)), (None, Some(End::Done)));
    sim.idle(2 * SECOND);
    assert_eq!(sim.world.get().ended(later, 1), Some(End::Done));
    sim.restart(NO_ROTATION);
    sim.idle(hour / 2);
    let state = sim.world.get();
    assert_eq!((state.log[&(ended, 1)].runs, state.log[&(later, 1)].runs, state.log[&(fresh, 1)].runs), (1, 1, 1));
    assert_eq!(state.ended(fails, 2), None, "and a time that was asked for is kept");
}

#[test]
fn who_waits_is_told_when_the_last_handler_has_ended_it() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), Spec { max_attempts: 2, ..spec(2, "a") }, spec(3, "a")]);
    let id = sim.act(|state| state.emit("a", Nature::Fails(2)));
    sim.world.set().spec(3, |spec| spec.paused = true);
    sim.coordinator.tell(crate::coordinator::topics::Topics::HANDLERS);
    sim.idle(20 * SECOND);
    assert_eq!(sim.world.get().told, [], "it waits for one that is paused");
    sim.act(|state| state.cancel(id));
    sim.idle(SECOND);
    assert_eq!(sim.world.get().told, [id]);
    sim.act(|state| state.emit("a", Nature::Good));
    sim.idle(SECOND);
    assert_eq!(sim.world.get().told.len(), 1);
}

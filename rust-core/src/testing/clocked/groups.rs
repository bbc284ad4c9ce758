//! When a group of events has ended, the tables are looked at: in time, and not all the time.

use super::sim::Sim;
use super::world::{Nature, SECOND, State, spec};
use crate::async_event::spec::*;
use crate::coordinator::topics::Topics;

const NO_ROTATION: (u64, u64) = (1 << 40, 1 << 60);

fn of_group(state: &mut State, group: i64, nature: Nature) -> i64 {
    state.emit_as("a", nature, |event| event.group = group)
}

fn looks(sim: &Sim) -> u64 {
    sim.world.get().calls.get("end_groups").copied().unwrap_or(0)
}

fn has_ended(sim: &Sim, group: i64) -> bool {
    sim.world.get().groups_ended.contains_key(&group)
}

#[test]
fn a_group_ends_with_the_last_of_its_events_for_the_last_of_their_handlers() {
    let mut sim = Sim::new(1, vec![Spec { concurrency: 4, ..spec(1, "a") }, spec(2, "a")]);
    sim.act(|state| (0..5).for_each(|_| _ = of_group(state, 7, Nature::Takes(200_000))));
    sim.act(|state| state.close_group(7));
    sim.idle(SECOND - SECOND / 50);
    assert!(!has_ended(&sim, 7));
    sim.idle(SECOND / 10);
    assert!(has_ended(&sim, 7));
    assert!(looks(&sim) <= 4, "{}", looks(&sim));
}

#[test]
fn however_its_events_end_it_ends() {
    let mut sim = Sim::new(1, vec![Spec { max_attempts: 2, backoff_us: 1000, concurrency: 2, ..spec(1, "a") }]);
    let ids = sim.act(|state| {
        of_group(state, 7, Nature::Fails(9));
        of_group(state, 7, Nature::Discards);
        of_group(state, 7, Nature::Snoozes(2, 1000));
        let soon = state.wall + SECOND;
        state.emit_as("a", Nature::Good, |event| (event.group, event.expires, event.run_at) = (7, Some(soon), soon + SECOND));
        let late = soon + 100 * SECOND;
        state.emit_as("a", Nature::Good, |event| (event.group, event.run_at) = (7, late))
    });
    sim.act(|state| state.close_group(7));
    sim.idle(2 * SECOND);
    assert!(!has_ended(&sim, 7));
    sim.act(|state| state.cancel(ids));
    sim.idle(SECOND / 10);
    assert!(has_ended(&sim, 7));
}

#[test]
fn one_that_is_closed_late_or_has_no_events_ends_at_once() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.act(|state| of_group(state, 7, Nature::Good));
    sim.idle(SECOND);
    assert!(!has_ended(&sim, 7));
    sim.act(|state| [7, 8].into_iter().for_each(|group| state.close_group(group)));
    sim.idle(SECOND / 10);
    assert!(has_ended(&sim, 7) && has_ended(&sim, 8));
}

#[test]
fn with_the_handler_it_ends_too() {
    let mut sim = Sim::new(1, vec![Spec { paused: true, ..spec(1, "a") }, spec(2, "b")]);
    sim.act(|state| of_group(state, 7, Nature::Good));
    sim.act(|state| state.close_group(7));
    sim.idle(SECOND);
    assert!(!has_ended(&sim, 7));
    sim.act(|state| state.specs.retain(|spec| spec.id == 2));
    sim.coordinator.tell(Topics::HANDLERS);
    sim.idle(SECOND / 10);
    assert!(has_ended(&sim, 7));
}

#[test]
fn what_ended_while_nobody_looked_is_found_by_the_next_coordinator() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.world.set().broken = vec!["end_groups"];
    sim.act(|state| of_group(state, 7, Nature::Good));
    sim.act(|state| state.close_group(7));
    for _ in 0..9 {
        _ = sim.try_step();
        let until = sim.world.get().mono + 100_000;
        sim.pass(until);
    }
    sim.world.set().broken = Vec::new();
    assert!(!has_ended(&sim, 7));
    sim.restart(NO_ROTATION);
    sim.idle(SECOND / 10);
    assert!(has_ended(&sim, 7));
}

#[test]
fn one_that_somebody_has_is_looked_at_again() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.world.set().held_group = Some(7);
    sim.act(|state| of_group(state, 7, Nature::Good));
    sim.act(|state| state.close_group(7));
    sim.idle(SECOND);
    assert!(!has_ended(&sim, 7) && (5..20).contains(&looks(&sim)), "{}", looks(&sim));
    sim.world.set().held_group = None;
    sim.idle(SECOND / 5);
    assert!(has_ended(&sim, 7));
    let before = looks(&sim);
    sim.idle(1000 * SECOND);
    assert_eq!(looks(&sim), before, "and then no more");
}

#[test]
fn where_not_all_is_held_it_ends_when_all_has() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.coordinator.events.set_most_held(3);
    sim.act(|state| {
        (0..20).for_each(|_| _ = of_group(state, 7, Nature::Good));
        state.close_group(7);
    });
    sim.settle(100);
    sim.idle(SECOND);
    assert!(has_ended(&sim, 7));
}

#[test]
fn a_key_that_is_held_until_the_start_is_free_when_the_attempt_is_recorded() {
    let mut sim = Sim::new(1, vec![Spec { max_attempts: 3, ..spec(1, "a") }]);
    sim.world.set().workers = 0;
    let ids = sim.act(|state| [true, false].map(|frees_key| state.emit_as("a", Nature::Fails(1), |event| event.frees_key = frees_key)));
    sim.idle(SECOND);
    assert!(sim.world.get().keys_freed.is_empty());
    sim.act(|state| state.workers = 1);
    sim.settle(9);
    assert!(sim.world.get().keys_freed.iter().eq([&ids[0]]));
}

//! The wall clock steps back: what nobody asked a time for does not wait until it has caught up.

use super::sim::Sim;
use super::world::{End, Nature, SECOND, spec};
use crate::async_event::spec::*;

const HOUR: i64 = 3600 * SECOND;
const NO_ROTATION: (u64, u64) = (1 << 40, 1 << 60);

fn step_back(sim: &mut Sim) {
    sim.world.get_and(|state| state.wall -= HOUR);
}

#[test]
fn what_was_emitted_before_the_step_is_due_when_it_commits() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    let id = sim.world.get_and(|state| state.insert("a", Nature::Good, |_| {}));
    step_back(&mut sim);
    sim.act(|state| state.commit(id));
    sim.settle(5);
}

#[test]
fn a_coordinator_that_starts_after_the_step_waits_for_no_clock() {
    for nature in [Nature::Good, Nature::Conflicts(1), Nature::Fails(2)] {
        let mut sim = Sim::new(1, vec![spec(1, "a")]);
        sim.act(|state| state.emit("a", nature));
        if nature != Nature::Good {
            sim.idle(SECOND / 20);
        }
        step_back(&mut sim);
        sim.restart(NO_ROTATION);
        sim.settle(5);
    }
}

#[test]
fn what_is_to_be_tried_again_waits_no_longer_than_without_the_step() {
    for nature in [Nature::Conflicts(1), Nature::Fails(2), Nature::KillsWorker(1)] {
        for begun in [false, true] {
            let mut sim = Sim::new(1, vec![Spec { batch_size: 5, backoff_us: SECOND, cap_us: SECOND, ..spec(1, "a") }]);
            sim.world.set().batch_us = SECOND as u64 / 10;
            sim.act(|state| [state.emit("a", Nature::Good), state.emit("a", nature)]);
            sim.step();
            if !begun {
                sim.idle(SECOND / 5);
            }
            step_back(&mut sim);
            sim.settle(9);
        }
    }
}

#[test]
fn what_found_no_worker_before_the_step_is_tried_after_it() {
    for ordered in [false, true] {
        let mut sim = Sim::new(1, vec![Spec { ordered, ..spec(1, "a") }]);
        sim.world.set().workers = 0;
        sim.act(|state| [state.emit("a", Nature::Good), state.emit("a", Nature::Good)]);
        sim.idle(SECOND);
        step_back(&mut sim);
        sim.idle(SECOND);
        sim.act(|state| state.workers = 1);
        sim.settle(5);
    }
}

#[test]
fn those_behind_others_of_their_key_do_not_wait_for_the_clock_either() {
    let mut sim = Sim::new(1, vec![Spec { ordered: true, ..spec(1, "a") }]);
    sim.world.set().batch_us = SECOND as u64 / 10;
    sim.act(|state| (0..300).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.step();
    step_back(&mut sim);
    sim.settle(40);
}

#[test]
fn who_waited_before_the_step_is_not_passed_by_who_came_after() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.world.set().workers = 0;
    sim.act(|state| (0..200).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.idle(SECOND);
    step_back(&mut sim);
    sim.act(|state| (0..200).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.idle(SECOND);
    sim.act(|state| state.workers = 1);
    sim.settle(5);
    assert!(sim.world.get().began.iter().map(|(_, id)| *id).eq(1..=400));
}

#[test]
fn a_time_that_was_asked_for_is_one_of_the_clock() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += 10 * SECOND));
    sim.idle(SECOND);
    step_back(&mut sim);
    sim.idle(HOUR);
    assert_eq!(sim.world.get().ended(1, 1), None);
    sim.idle(10 * SECOND);
    assert_eq!(sim.world.get().ended(1, 1), Some(End::Done));
}

#[test]
fn small_steps_add_up() {
    let mut sim = Sim::new(1, vec![Spec { backoff_us: 5 * SECOND, cap_us: 5 * SECOND, ..spec(1, "a") }]);
    sim.act(|state| (0..20).for_each(|_| _ = state.emit("a", Nature::Fails(1))));
    sim.idle(SECOND / 20);
    for _ in 0..60 {
        sim.world.get_and(|state| state.wall -= SECOND / 2);
        sim.act(|_| ());
        sim.idle(SECOND / 10);
    }
    sim.settle(2);
}

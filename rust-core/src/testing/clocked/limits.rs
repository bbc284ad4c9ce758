//! How often a handler begins, and how many of a key run at a time. The world's workers hold what they are given against both
//! in every test (workers.rs).

use super::sim::Sim;
use super::world::{End, Nature, SECOND, State, spec};
use crate::async_event::spec::*;

const NO_ROTATION: (u64, u64) = (1 << 40, 1 << 60);

fn limited(limit: u32, period_us: i64) -> Spec {
    Spec { concurrency: 4, rate_limit: limit, rate_period_us: period_us, ..spec(1, "a") }
}

fn emit(state: &mut State, count: usize, nature: Nature) {
    (0..count).for_each(|_| _ = state.emit("a", nature));
}

fn begun(sim: &Sim) -> usize {
    sim.world.get().began.len()
}

#[test]
fn no_more_begin_in_a_period_than_the_limit_and_no_fewer() {
    for batch_size in [1, 3, 100] {
        for nature in [Nature::Good, Nature::Takes(300_000)] {
            let mut sim = Sim::new(1, vec![Spec { batch_size, concurrency: 9, ..limited(6, SECOND) }]);
            sim.world.set().workers = 20;
            sim.act(|state| emit(state, 30, nature));
            let mut so_far = Vec::new();
            for _ in 0..5 {
                sim.idle(SECOND + SECOND / 50);
                so_far.push(begun(&sim));
            }
            // Starts count from when they are known, and those that are close to each other as one; slow ones of one worker begin late.
            let least = if nature == Nature::Good { vec![6, 12, 18, 24, 30] } else { vec![3, 8, 14, 20, 25] };
            assert!(so_far.iter().zip(&least).all(|(is, least)| is >= least), "{batch_size} {nature:?} {so_far:?}");
            sim.settle(20);
        }
    }
}

#[test]
fn what_runs_long_does_not_use_up_the_rate() {
    let mut sim = Sim::new(1, vec![Spec { concurrency: 100, ..limited(5, SECOND) }]);
    sim.world.set().workers = 100;
    sim.act(|state| emit(state, 50, Nature::Takes(60_000_000)));
    sim.idle(10 * SECOND);
    assert!(begun(&sim) >= 45, "{}", begun(&sim));
    sim.settle(100);
}

#[test]
fn what_a_worker_begins_while_it_is_looked_at_counts_once() {
    let mut sim = Sim::new(1, vec![limited(6, 3600 * SECOND)]);
    sim.act(|state| emit(state, 20, Nature::Takes(7_000)));
    sim.idle(SECOND);
    assert_eq!(begun(&sim), 6);
    sim.act(|state| state.set_rate(1, 9, 3600 * SECOND));
    sim.coordinator.tell(crate::coordinator::topics::Topics::HANDLERS);
    sim.idle(SECOND);
    assert_eq!(begun(&sim), 9);
}

#[test]
fn one_at_a_time_is_not_held_for_longer_than_its_period() {
    let mut sim = Sim::new(1, vec![limited(2, SECOND)]);
    for n in 1..=6 {
        sim.act(|state| emit(state, 1, Nature::Good));
        sim.idle(SECOND / 2 + SECOND / 50);
        assert_eq!(begun(&sim), n);
    }
}

#[test]
fn a_coordinator_that_starts_knows_what_its_predecessor_began() {
    let mut sim = Sim::new(1, vec![limited(5, 60 * SECOND)]);
    sim.act(|state| emit(state, 10, Nature::Good));
    sim.idle(10 * SECOND);
    sim.restart(NO_ROTATION);
    sim.idle(45 * SECOND);
    assert_eq!(begun(&sim), 5);
    sim.idle(10 * SECOND);
    assert_eq!(begun(&sim), 10);
}

#[test]
fn a_clock_that_steps_changes_no_rate() {
    for step in [-3600 * SECOND, 3600 * SECOND] {
        let mut sim = Sim::new(1, vec![limited(5, 10 * SECOND)]);
        sim.act(|state| emit(state, 10, Nature::Good));
        sim.idle(SECOND);
        sim.act(|state| state.wall += step);
        sim.idle(8 * SECOND);
        assert_eq!(begun(&sim), 5);
        sim.idle(2 * SECOND);
        assert_eq!(begun(&sim), 10);
    }
}

#[test]
fn a_rate_that_is_altered_holds_at_once() {
    let mut sim = Sim::new(1, vec![limited(1, 3600 * SECOND)]);
    sim.act(|state| emit(state, 20, Nature::Good));
    sim.idle(SECOND);
    assert_eq!(begun(&sim), 1);
    for (limit, most) in [(5, 5), (3, 5), (0, 20)] {
        sim.act(|state| state.set_rate(1, limit, 3600 * SECOND));
        sim.coordinator.tell(crate::coordinator::topics::Topics::HANDLERS);
        sim.idle(SECOND);
        assert_eq!(begun(&sim), most);
    }
}

#[test]
fn what_waits_for_its_turn_expires_in_time() {
    let mut sim = Sim::new(1, vec![limited(1, 3600 * SECOND)]);
    sim.act(|state| {
        emit(state, 1, Nature::Good);
        let expires = state.wall + SECOND;
        state.emit_as("a", Nature::Good, |event| event.expires = Some(expires));
    });
    sim.idle(2 * SECOND);
    assert_eq!(sim.world.get().ended(2, 1), Some(End::Expired));
}

#[test]
fn notifications_are_begun_no_more_often_either() {
    let mut sim = Sim::new(1, vec![limited(3, SECOND)]);
    sim.step();
    sim.act(|state| (0..7).for_each(|_| state.notify("a", "n")));
    sim.idle(SECOND / 2);
    assert_eq!(sim.world.get().noted.len(), 3);
    sim.idle(2 * SECOND);
    assert_eq!(sim.world.get().noted.len(), 7);
}

#[test]
fn a_handler_that_waits_for_its_rate_takes_few_steps() {
    let mut sim = Sim::new(1, vec![limited(1, 3600 * SECOND)]);
    sim.act(|state| emit(state, 100, Nature::Good));
    sim.idle(SECOND);
    let steps = sim.idle(1000 * SECOND);
    assert!(steps <= 2, "{steps}");
}

#[test]
fn of_a_key_no_more_run_than_may_and_others_are_not_held() {
    for most in [1, 2] {
        let mut sim = Sim::new(1, vec![Spec { concurrency: 8, key_concurrency: most, ..spec(1, "a") }]);
        sim.world.set().workers = 8;
        let of_key = |state: &mut State, key: Option<&[u8]>| {
            state.emit_as("a", Nature::Takes(1_000_000), |event| event.key = key.map(<[u8]>::to_vec))
        };
        sim.act(|state| {
            (0..20).for_each(|_| _ = of_key(state, Some(b"crowd")));
            (0..3).for_each(|_| _ = of_key(state, None));
            of_key(state, Some(b"other"));
        });
        sim.idle(SECOND / 2);
        assert_eq!(begun(&sim), 4 + most as usize, "those without a key are not of one");
        sim.settle(21);
    }
}

#[test]
fn what_is_first_in_line_of_its_key_begins_first() {
    let mut sim = Sim::new(1, vec![Spec { key_concurrency: 1, ..spec(1, "a") }]);
    let of_key = |state: &mut State, priority: i32, run_at: i64| {
        state.emit_as("a", Nature::Good, |event| {
            (event.key, event.priority, event.run_at) = (Some(b"k".to_vec()), priority, event.run_at + run_at)
        })
    };
    sim.world.set().workers = 0;
    sim.act(|state| {
        of_key(state, 0, 0);
        of_key(state, 0, 5 * SECOND);
        of_key(state, 2, 0);
        of_key(state, 1, 0);
    });
    sim.idle(SECOND);
    sim.act(|state| state.change(4, 3, None));
    sim.act(|state| state.workers = 1);
    sim.settle(9);
    let began: Vec<i64> = sim.world.get().began.iter().map(|(_, id)| *id).collect();
    assert_eq!(began, [4, 3, 1, 2]);
}

#[test]
fn how_many_of_a_key_may_run_is_altered_while_some_do() {
    let mut sim = Sim::new(1, vec![Spec { concurrency: 8, ..spec(1, "a") }]);
    sim.world.set().workers = 8;
    sim.act(|state| (0..40).for_each(|_| _ = state.emit_as("a", Nature::Takes(1_000_000), |event| event.key = Some(b"k".to_vec()))));
    sim.idle(SECOND / 2);
    assert_eq!(begun(&sim), 8);
    for (most, so_far) in [(2, 10), (5, 15), (0, 23)] {
        sim.act(|state| state.spec(1, |spec| spec.key_concurrency = most));
        sim.coordinator.tell(crate::coordinator::topics::Topics::HANDLERS);
        sim.idle(SECOND);
        assert_eq!(begun(&sim), so_far, "{most}");
    }
    sim.settle(30);
}

//! Coordinators that end and come again, calls that fail, handlers that come and go.

use super::sim::Sim;
use super::world::{End, Nature, SECOND, spec};
use crate::async_event::spec::*;
use crate::coordinator::Coordinator;
use crate::coordinator::topics::Topics;
use crate::memory::tests::{refuse, was_refused};

const NO_ROTATION: (u64, u64) = (1 << 40, 1 << 60);

fn ends(sim: &Sim, handler: u32) -> Vec<Option<End>> {
    let state = sim.world.get();
    (1..state.next_id).map(|id| state.ended(id, handler)).collect()
}

#[test]
fn who_ran_at_a_crash_is_tried_again_alone() {
    for ordered in [false, true] {
        let mut sim = Sim::new(1, vec![Spec { ordered, ..spec(1, "a") }]);
        sim.act(|state| (0..20).for_each(|_| _ = state.emit("a", Nature::Good)));
        sim.step();
        sim.restart(NO_ROTATION);
        sim.act(|state| (0..20).for_each(|_| _ = state.emit("a", Nature::Good)));
        let before = sim.world.get().next_lease;
        sim.settle(100);
        let state = sim.world.get();
        assert_eq!(state.next_lease - before, 21, "the others share a lease");
        assert!((1..=40).all(|id| state.log[&(id, 1)].attempts == if id <= 20 { 2 } else { 1 }));
    }
}

#[test]
fn who_kills_the_server_takes_nobody_along() {
    let mut sim = Sim::new(1, vec![Spec { batch_size: 10, max_attempts: 2, ..spec(1, "a") }]);
    let emit = |n| if n == 3 { Nature::KillsServer(99) } else { Nature::Good };
    sim.act(|state| (0..20).for_each(|n| _ = state.emit("a", emit(n))));
    sim.settle(100);
    let ends = ends(&sim, 1);
    assert_eq!(ends[3], Some(End::Dead));
    assert_eq!(ends.iter().filter(|end| **end == Some(End::Done)).count(), 19);
    assert_eq!((sim.restarts, sim.world.get().log[&(4, 1)].runs), (3, 3));
}

#[test]
fn an_end_in_good_order_counts_for_nobody() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), Spec { concurrency: 2, batch_size: 5, ..spec(2, "a") }]);
    sim.act(|state| (0..20).for_each(|_| _ = state.emit("a", Nature::Good)));
    for _ in 0..10 {
        sim.step();
        sim.reopen(NO_ROTATION);
        assert!(sim.world.get().log.values().all(|logged| !logged.unfinished && logged.attempts == 0));
    }
    sim.settle(100);
    assert!(sim.world.get().log.values().all(|logged| logged.attempts == 1 && logged.end == Some(End::Done)));
    // Nor is it an attempt where there was nobody to make it.
    (sim.world.set().workers, sim.world.set().looks_free) = (0, true);
    sim.act(|state| state.emit("a", Nature::Good));
    sim.idle(SECOND);
    sim.reopen(NO_ROTATION);
    assert_eq!(sim.world.get().log[&(21, 1)].attempts, 0);
}

#[test]
fn each_call_may_fail_and_the_next_step_goes_on() {
    let calls = ["handlers", "fetch", "record", "listen", "spill", "room", "start", "rotate", "truncate", "carry_over", "compact_keys"];
    for call in calls {
        let mut sim = Sim::new(7, vec![spec(1, "a"), Spec { durable: true, ordered: true, ..spec(2, "a") }]);
        sim.coordinator.events.set_rotation(500, 2_000_000);
        sim.world.set().broken = vec![call];
        sim.world.set().listening = vec![b"a".to_vec()];
        let mut failures = 0;
        for n in 0..60 {
            sim.act(|state| state.emit_as("a", [Nature::Good, Nature::Fails(1)][n % 2], |event| event.run_at += 2 * SECOND));
            sim.act(|state| state.notify("a", "1"));
            sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += 30 * SECOND));
            let until = sim.world.get().mono + SECOND as u64 / 5;
            while sim.world.get().mono < until {
                sim.pass(until);
                failures += u32::from(sim.try_step().is_err());
            }
        }
        assert!(failures > 0, "{call} was never made");
        sim.world.set().broken.clear();
        sim.settle(1000);
        assert_eq!(sim.coordinator.events.outstanding(), [0; 3], "{call}");
        assert!(sim.world.get().log.values().all(|logged| logged.effects == 1 && logged.attempts <= 2), "{call}");
    }
}

#[test]
fn a_handler_gets_what_came_after_it_even_if_it_was_not_known_yet() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.act(|state| (0..5).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.idle(SECOND);
    // It was made before the last two of these, and nobody said so.
    sim.world.set().specs.extend([Spec { since: 3, ..spec(2, "a") }, Spec { since: 5, ..spec(3, "b") }]);
    sim.act(|state| (state.emit("a", Nature::Good), state.emit("b", Nature::Good)));
    sim.idle(SECOND);
    assert_eq!(ends(&sim, 2), [None; 7]);
    sim.coordinator.tell(Topics::HANDLERS);
    sim.settle(10);
    let done = Some(End::Done);
    assert_eq!(ends(&sim, 2), [None, None, None, done, done, done, None]);
    assert_eq!(ends(&sim, 3), [None, None, None, None, None, None, done]);
}

#[test]
fn a_handler_gets_what_was_emitted_before_it_was_committed() {
    for faults in [0.0, 0.3] {
        let mut sim = Sim::new(3, vec![spec(1, "a")]);
        sim.coordinator.events.set_rotation(500, 2_000_000);
        for n in 0..100 {
            // Its since is as old as its transaction.
            let since = sim.world.get().next_id - 1;
            sim.act(|state| [state.emit("b", Nature::Good), state.emit("a", Nature::Good)]);
            sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += 4 * SECOND));
            sim.idle(SECOND);
            let cancelled = sim.act(|state| state.emit("b", Nature::Good));
            sim.act(|state| state.cancel(cancelled));
            sim.idle(SECOND / 10);
            let emptied = sim.world.get().rows.range(since + 1..).next().is_none();
            sim.world.set().specs.push(Spec { since, ..spec(n + 10, "b") });
            sim.world.set().specs.push(Spec { since, ..spec(n + 1000, "a") });
            sim.world.set().faults = faults;
            sim.coordinator.tell(Topics::HANDLERS);
            for _ in 0..50 {
                _ = sim.try_step();
            }
            sim.world.set().faults = 0.0;
            sim.settle(100);
            let state = sim.world.get();
            assert!(emptied || state.log.values().all(|logged| logged.effects <= 1));
            let ended = state.ended(cancelled, n + 10);
            assert!(!state.rows.contains_key(&cancelled) || ended == Some(End::Cancelled), "{ended:?}");
        }
    }
}

#[test]
fn what_waits_for_a_handler_goes_with_it() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), spec(2, "a")]);
    sim.world.set().batch_us = SECOND as u64;
    sim.act(|state| (0..200).for_each(|_| _ = state.emit("a", Nature::Fails(1))));
    sim.step();
    sim.act(|state| state.specs.retain(|spec| spec.id == 1));
    sim.coordinator.tell(Topics::HANDLERS);
    sim.world.set().batch_us = 1;
    sim.step();
    assert!(sim.coordinator.events.outstanding()[0] < 200 + 150, "what runs is still counted");
    sim.settle(10_000);
    sim.idle(SECOND);
    assert_eq!((sim.coordinator.events.outstanding(), sim.coordinator.events.stats(0).len()), ([0; 3], 1));
    assert_eq!(ends(&sim, 1), [Some(End::Done); 200]);
}

#[test]
fn a_target_gets_what_is_for_it_alone_whatever_its_channel() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), spec(2, "a"), spec(3, "b")]);
    sim.act(|state| [2, 3, 77].map(|target| state.emit_as("a", Nature::Good, |event| event.target = Some(target))));
    sim.settle(10);
    assert_eq!(sim.world.get().began, [(2, 1), (3, 2)]);
}

#[test]
fn whatever_there_is_no_memory_for_everything_ends_once() {
    for nth in 1.. {
        let ordered = Spec { ordered: true, ..spec(1, "a") };
        let mut sim = Sim::new(nth, vec![ordered, Spec { batch_size: 3, concurrency: 2, ..spec(2, "a") }]);
        refuse(nth);
        for round in 0..4 {
            sim.act(|state| {
                (0..9).for_each(|_| _ = state.emit("a", Nature::Good));
                _ = state.emit("a", Nature::Fails(1));
            });
            _ = sim.try_step();
            let until = sim.world.get().mono + 1000 * round;
            sim.pass(until);
        }
        for _ in 0..20 {
            let until = sim.world.get().mono + 200_000;
            sim.pass(until);
            _ = sim.try_step();
        }
        let met = was_refused();
        refuse(0);
        sim.settle(600);
        let state = sim.world.get();
        let all = state.log.values().filter(|logged| logged.end == Some(End::Done) && logged.effects == 1).count();
        assert_eq!(all, 80, "allocation {nth}");
        if !met {
            assert!(nth > 100, "{nth}");
            return;
        }
    }
}

#[test]
fn a_first_fetch_knows_what_the_log_says() {
    let slow = Spec { backoff_us: 50 * SECOND, ..spec(2, "a") };
    let mut sim = Sim::new(1, vec![spec(1, "a"), slow, Spec { max_attempts: 1, ..spec(3, "a") }]);
    sim.act(|state| {
        let id = state.emit("a", Nature::Fails(99));
        state.logged(id, 1).end = Some(End::Dead);
        let next_at = Some(state.wall + 50 * SECOND);
        (state.logged(id, 2).attempts, state.logged(id, 2).next_at) = (2, next_at);
        (state.logged(id, 3).attempts, state.logged(id, 3).unfinished) = (2, true);
    });
    sim.coordinator = Coordinator::new(0);
    sim.step();
    sim.idle(49 * SECOND);
    assert_eq!((ends(&sim, 3), sim.world.get().began.len()), (vec![Some(End::Dead)], 0));
    sim.settle(2);
    assert_eq!(sim.world.get().began, [(2, 1)]);
    assert_eq!(ends(&sim, 2), [Some(End::Dead)]);
}

//! What comes first: by priority and age, by the clock, by key.

use super::sim::Sim;
use super::world::{End, Nature, SECOND, spec};
use crate::async_event::item::AGING_US;
use crate::async_event::spec::*;
use crate::coordinator::topics::Topics;

fn began(sim: &Sim) -> Vec<i64> {
    sim.world.get().began.iter().map(|(_, id)| *id).collect()
}

#[test]
fn priority_passes_those_that_are_not_much_older() {
    let mut sim = Sim::new(3, vec![spec(1, "a")]);
    let mut expected = Vec::new();
    sim.act(|state| {
        for n in 0..300 {
            let (age, priority) = (state.rng.i64(0..600 * SECOND), state.rng.i32(-3..4));
            let age = if n % 3 == 0 { 300 * SECOND } else { age };
            let place = state.wall - age - i64::from(priority) * AGING_US;
            let id = state.emit_as("a", Nature::Good, |event| {
                event.run_at -= age;
                event.priority = priority;
            });
            expected.push((place, id));
        }
    });
    sim.settle(100);
    expected.sort_unstable();
    assert_eq!(began(&sim), expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

#[test]
fn delays_are_by_the_wall_clock_whatever_it_does() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    for seconds in [10, 20, 30] {
        sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += seconds * SECOND));
    }
    sim.idle(9 * SECOND);
    assert_eq!(began(&sim), [0; 0]);
    sim.idle(2 * SECOND);
    assert_eq!(began(&sim), [1]);
    sim.world.get_and(|state| state.wall -= 6 * SECOND);
    sim.idle(14 * SECOND);
    assert_eq!(began(&sim), [1]);
    sim.idle(2 * SECOND);
    assert_eq!(began(&sim), [1, 2]);
    // A step forward is noticed by the next poll.
    sim.world.get_and(|state| state.wall += 3600 * SECOND);
    sim.idle(6 * SECOND);
    assert_eq!(began(&sim), [1, 2, 3]);
}

#[test]
fn what_was_due_starts_when_the_clock_has_stepped_back() {
    let mut sim = Sim::new(1, vec![Spec { paused: true, ..spec(1, "a") }]);
    sim.act(|state| state.emit("a", Nature::Good));
    sim.step();
    sim.act(|state| {
        state.wall -= 3600 * SECOND;
        state.spec(1, |spec| spec.paused = false);
    });
    sim.coordinator.tell(Topics::HANDLERS);
    sim.settle(5);
}

fn keyed(sim: &mut Sim, key: Option<&str>, nature: Nature) -> i64 {
    sim.act(|state| state.emit_as("a", nature, |event| event.key = key.map(|key| key.as_bytes().to_vec())))
}

#[test]
fn a_failing_head_stops_its_key_and_no_other() {
    let retry = 5 * SECOND;
    let spec = Spec { ordered: true, concurrency: 3, backoff_us: retry, cap_us: retry, ..spec(1, "a") };
    let mut sim = Sim::new(1, vec![spec]);
    let poison = keyed(&mut sim, Some("x"), Nature::Fails(99));
    let behind: Vec<i64> = (0..5).map(|_| keyed(&mut sim, Some("x"), Nature::Good)).collect();
    let others: Vec<i64> = (0..10).map(|n| keyed(&mut sim, [Some("y"), None][n % 2], Nature::Good)).collect();
    sim.idle(SECOND / 10);
    let all = |sim: &Sim, ids: &[i64], end| ids.iter().all(|id| sim.world.get().ended(*id, 1) == end);
    assert!(all(&sim, &others, Some(End::Done)));
    assert!(all(&sim, &behind, None));
    sim.settle(60);
    assert!(all(&sim, &[poison], Some(End::Dead)));
    assert!(all(&sim, &behind, Some(End::Done)));
    let in_order: Vec<i64> = began(&sim).into_iter().filter(|id| behind.contains(id)).collect();
    assert_eq!(in_order, behind);
}

#[test]
fn one_of_a_key_at_a_time_whatever_the_concurrency() {
    let mut sim = Sim::new(1, vec![Spec { ordered: true, concurrency: 4, batch_size: 5, ..spec(1, "a") }]);
    for n in 0..200 {
        keyed(&mut sim, [Some("x"), Some("y"), Some("z")][n % 3], Nature::Good);
    }
    sim.step();
    let leases: Vec<_> = sim.world.get().leases.values().cloned().collect();
    assert_eq!(leases.len(), 3, "as many as there are keys");
    for lease in &leases {
        assert!(lease.batches.windows(2).all(|pair| pair[0].key == pair[1].key));
    }
    sim.settle(60);
    let began = began(&sim);
    for key in 0..3 {
        let of_key: Vec<i64> = began.iter().copied().filter(|id| id % 3 == key).collect();
        assert!(of_key.is_sorted());
    }
}

#[test]
fn a_delayed_head_stops_its_key_and_an_earlier_one_that_comes_late_does_too() {
    let mut sim = Sim::new(1, vec![Spec { ordered: true, ..spec(1, "a") }]);
    let late = sim.world.get_and(|state| state.insert("a", Nature::Good, |event| event.run_at += 20 * SECOND));
    let head = sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += 10 * SECOND));
    let last = keyed(&mut sim, None, Nature::Good);
    sim.idle(5 * SECOND);
    assert_eq!(began(&sim), [0; 0]);
    sim.act(|state| state.commit(late));
    sim.idle(10 * SECOND);
    assert_eq!(began(&sim), [0; 0]);
    sim.settle(10);
    assert_eq!(began(&sim), [late, head, last]);
}

#[test]
fn order_may_begin_and_end_to_matter() {
    let mut sim = Sim::new(1, vec![Spec { concurrency: 2, ..spec(1, "a") }]);
    sim.act(|state| (0..20).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.step();
    assert_eq!(sim.world.get().leases.len(), 2);
    sim.act(|state| state.spec(1, |spec| spec.ordered = true));
    sim.coordinator.tell(Topics::HANDLERS);
    sim.act(|state| (0..20).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.idle(SECOND / 100);
    sim.act(|state| state.spec(1, |spec| spec.ordered = false));
    sim.coordinator.tell(Topics::HANDLERS);
    sim.settle(10);
}

//! Tables that are written anew, and rows that somebody removes: nothing runs in place of another, or twice, or never.

use super::sim::Sim;
use super::world::{End, Nature, SECOND, spec};
use crate::async_event::spec::Spec;

fn sim(ordered: bool) -> Sim {
    let mut sim = Sim::new(1, vec![Spec { ordered, batch_size: 3, concurrency: 2, ..spec(1, "a") }]);
    let keyed = |id: i64| ordered.then(|| vec![(id % 3) as u8]);
    sim.act(|state| (1..=50).for_each(|id| _ = state.emit_as("a", Nature::Good, |event| event.key = keyed(id))));
    sim
}

#[test]
fn a_table_that_is_written_anew_costs_no_attempt_and_mixes_up_nothing() {
    for ordered in [false, true] {
        let mut sim = sim(ordered);
        sim.step();
        for _ in 0..20 {
            sim.world.set().rewrite(0);
            sim.idle(2000);
        }
        sim.settle(60);
        let state = sim.world.get();
        assert!(state.calls["places"] > 1);
        for id in 1..=50 {
            let logged = &state.log[&(id, 1)];
            assert_eq!((logged.attempts, logged.runs, logged.effects), (1, 1, 1), "{id} {logged:?}");
        }
    }
}

#[test]
fn while_places_cannot_be_looked_up_nothing_is_started() {
    let mut sim = sim(false);
    sim.step();
    sim.world.set().broken = vec!["places"];
    sim.world.set().rewrite(0);
    for _ in 0..50 {
        let until = sim.world.get().mono + 10_000;
        sim.pass(until);
        _ = sim.try_step();
    }
    // But for what a lease had before.
    assert!(sim.world.get().log.values().filter(|logged| logged.runs > 0).count() < 10);
    sim.world.set().broken.clear();
    sim.settle(60);
    assert!(sim.world.get().log.values().all(|logged| logged.end == Some(End::Done) && logged.attempts == 1));
}

#[test]
fn what_somebody_has_removed_holds_up_nobody() {
    let mut sim = sim(true);
    sim.step();
    sim.act(|state| {
        state.rows.retain(|id, _| *id > 20);
        state.rewritten = true;
    });
    sim.settle(60);
    sim.idle(SECOND);
    assert_eq!(sim.coordinator.events.outstanding(), [0; 3]);
    let state = sim.world.get();
    assert!((21..=50).all(|id| state.ended(id, 1) == Some(End::Done)));
    assert!(state.log.values().all(|logged| logged.end.is_some()));
}

//! Notifications: taken from the server whatever else goes on, run in order, once at most.

use super::sim::Sim;
use super::world::{Nature, SECOND, spec};
use crate::async_event::complaints::Complaint;
use crate::async_event::intake::{MAX_NOTIFICATIONS_BYTES, MAX_UNSPILLED_BYTES};
use crate::async_event::spec::*;
use crate::coordinator::topics::Topics;
use crate::report::CONNECTION_FAILURE;

fn noted(sim: &Sim, handler: u32) -> Vec<u64> {
    let of = |noted: &(u32, Vec<u8>)| (noted.0 == handler).then(|| String::from_utf8_lossy(&noted.1).trim().parse().unwrap());
    sim.world.get().noted.iter().filter_map(of).collect()
}

/// Failures that the log was told of.
fn times(complaint: &Complaint) -> u64 {
    if let Complaint::Failed { times, .. } = complaint { *times } else { 0 }
}

fn notify(sim: &mut Sim, numbers: std::ops::Range<u64>, width: usize) {
    sim.act(|state| numbers.for_each(|n| state.notify("a", &format!("{n:width$}"))));
}

fn listening(specs: Vec<Spec>) -> Sim {
    let mut sim = Sim::new(1, specs);
    sim.step();
    assert_eq!(sim.world.get().listening, [b"a".to_vec()]);
    sim
}

#[test]
fn each_handler_runs_each_once_and_in_order() {
    let mut sim = listening(vec![spec(1, "a"), spec(2, "a"), Spec { durable: true, ..spec(3, "a") }]);
    for n in 0..10 {
        notify(&mut sim, n * 40..n * 40 + 40, 0);
        sim.idle(SECOND / 50);
    }
    sim.settle(10);
    for handler in 1..4 {
        assert_eq!(noted(&sim, handler), (0..400).collect::<Vec<_>>(), "{handler}");
    }
    let state = sim.world.get();
    let tallies: Vec<_> = sim.coordinator.events.stats(state.wall).into_iter().map(|handler| handler.tally).collect();
    assert_eq!([tallies[0].notes_done, tallies[1].notes_done, tallies[2].notes_spilled, tallies[2].done], [400; 4]);
    assert_eq!(sim.coordinator.events.note_bytes(), 0);
    assert!(state.log.keys().all(|(_, handler)| *handler == 3), "only what is durable is in the log");
}

#[test]
fn they_are_taken_while_everything_else_fails_or_is_busy() {
    let mut sim = listening(vec![spec(1, "a")]);
    sim.world.set().batch_us = 600 * SECOND as u64;
    sim.act(|state| state.emit("a", Nature::Good));
    sim.step();
    sim.world.set().broken = vec!["handlers", "fetch", "record", "spill", "start", "listen"];
    sim.coordinator.tell(Topics::HANDLERS);
    for n in 0..10 {
        notify(&mut sim, n..n + 1, 0);
        assert!(sim.try_step().is_err());
        assert!(sim.world.get().notes.is_empty());
    }
    sim.world.set().broken.clear();
    sim.world.set().batch_us = 10;
    sim.step();
    assert_eq!(sim.coordinator.events.stats(0)[0].notes_waiting, 10);
    sim.settle(1000);
    sim.idle(SECOND);
    assert_eq!(noted(&sim, 1), (0..10).collect::<Vec<_>>());
}

#[test]
fn beyond_the_memory_that_they_may_take_they_are_recorded_and_stay_in_order() {
    let width = 7000;
    let size = Notification { channel: b"a".to_vec(), payload: vec![0; width], pid: 0 }.size();
    let room = (MAX_NOTIFICATIONS_BYTES / size) as u64;
    let mut sim = listening(vec![Spec { paused: true, ..spec(1, "a") }]);
    notify(&mut sim, 0..room + 50, width);
    sim.step();
    assert!(sim.coordinator.events.note_bytes() <= MAX_NOTIFICATIONS_BYTES);
    assert_eq!(sim.coordinator.events.stats(0)[0].tally.notes_spilled, 50);
    sim.act(|state| state.spec(1, |spec| spec.paused = false));
    sim.coordinator.tell(Topics::HANDLERS);
    sim.idle(SECOND / 10);
    // There is room again, but some that are recorded still wait.
    assert!(sim.coordinator.events.note_bytes() + 60 * size < MAX_NOTIFICATIONS_BYTES);
    notify(&mut sim, room + 50..room + 80, width);
    sim.settle(100);
    notify(&mut sim, room + 80..room + 90, width);
    sim.idle(SECOND);
    assert_eq!(noted(&sim, 1), (0..room + 90).collect::<Vec<_>>());
    let tally = sim.coordinator.events.stats(0)[0].tally.clone();
    assert!((50..=80).contains(&tally.notes_spilled), "{tally:?}");
    assert_eq!(tally.notes_done + tally.done, room + 90);
}

#[test]
fn however_many_come_at_once_none_is_dropped_where_they_can_be_recorded() {
    let durable = Spec { durable: true, ..spec(1, "a") };
    let mut sim = listening(vec![durable, spec(2, "a")]);
    notify(&mut sim, 0..6000, 7000);
    sim.step();
    let stats = sim.coordinator.events.stats(0);
    assert_eq!(stats.iter().map(|handler| handler.tally.notes_dropped).sum::<u64>(), 0);
    assert_eq!(sim.world.get().spilled.len() as u64, 6000 + stats[1].tally.notes_spilled);
    assert!(stats[1].tally.notes_spilled > 3000);
    sim.settle(1000);
    sim.idle(SECOND);
    assert_eq!([noted(&sim, 1), noted(&sim, 2)], [(0..6000).collect::<Vec<_>>(), (0..6000).collect()]);
}

#[test]
fn memory_is_bounded_even_where_nothing_can_be_recorded() {
    let width = 7000;
    let mut sim = listening(vec![Spec { durable: true, ..spec(1, "a") }, Spec { paused: true, ..spec(2, "a") }]);
    sim.world.set().broken = vec!["spill"];
    for n in 0..6 {
        notify(&mut sim, n * 1000..n * 1000 + 1000, width);
        assert!(sim.try_step().is_err());
    }
    let dropping = ["h1", "h2"].map(|name| (name.to_string(), Complaint::Dropped));
    assert_eq!(sim.world.get().complaints, dropping, "said once of each handler");
    let dropped: Vec<u64> = sim.coordinator.events.stats(0).iter().map(|handler| handler.tally.notes_dropped).collect();
    sim.world.set().broken.clear();
    sim.step();
    let kept = sim.world.get().spilled.values().map(|payload| payload.len()).sum::<usize>();
    assert!(kept <= MAX_UNSPILLED_BYTES && kept > MAX_UNSPILLED_BYTES / 2);
    assert_eq!(dropped[0] + dropped[1] + sim.world.get().spilled.len() as u64 + sim.coordinator.events.stats(0)[1].notes_waiting, 12_000);
}

#[test]
fn who_fails_is_gone_and_who_was_not_begun_keeps_its_place() {
    let mut sim = listening(vec![spec(1, "a")]);
    sim.world.set().deaths = 0.1;
    for n in 0..20 {
        notify(&mut sim, n * 50..n * 50 + 50, 0);
        sim.idle(SECOND / 10);
    }
    sim.world.set().deaths = 0.0;
    sim.idle(11 * SECOND);
    assert_eq!(noted(&sim, 1), (0..1000).collect::<Vec<_>>());
    let stats = &sim.coordinator.events.stats(0)[0];
    assert!(stats.tally.notes_failed > 0);
    let counts = sim.coordinator.events.counts(0)[0].1.notes;
    assert_eq!((counts.done, counts.failed, counts.waiting), (stats.tally.notes_done, stats.tally.notes_failed, 0));
    assert_eq!(counts.errors[..2], [(CONNECTION_FAILURE, counts.failed as u32), (0, 0)]);
    assert_eq!((stats.tally.notes_failed + stats.tally.notes_done, stats.notes_waiting, sim.coordinator.events.note_bytes()), (1000, 0, 0));
    let state = sim.world.get();
    assert!(state.complaints.iter().all(|(name, _)| name == "h1"));
    let said: Vec<u64> = state.complaints.iter().map(|(_, complaint)| times(complaint)).collect();
    assert_eq!(said.iter().sum::<u64>(), stats.tally.notes_failed, "each failure is told of");
    assert!(said.len() <= 3, "and not each in a line of its own: {said:?}");
}

#[test]
fn those_of_an_ordered_handler_are_one_at_a_time() {
    let mut sim = listening(vec![Spec { ordered: true, concurrency: 4, ..spec(1, "a") }]);
    notify(&mut sim, 0..600, 0);
    sim.step();
    assert_eq!(sim.world.get().leases.len(), 1);
    sim.idle(10 * SECOND);
    assert_eq!(noted(&sim, 1), (0..600).collect::<Vec<_>>());
}

#[test]
fn where_order_matters_events_without_a_key_do_not_run_beside_notifications() {
    let mut sim = listening(vec![Spec { ordered: true, concurrency: 2, ..spec(1, "a") }]);
    let late = sim.act(|state| state.insert("a", Nature::Good, |_| {}));
    let keyed = |event: &mut Fetched| event.key = Some(b"x".to_vec());
    sim.act(|state| (state.emit("a", Nature::Good), state.emit_as("a", Nature::Good, keyed)));
    notify(&mut sim, 0..3, 0);
    sim.step();
    assert_eq!(sim.world.get().leases.len(), 2, "some notifications, and the event with a key");
    sim.act(|state| state.commit(late));
    sim.step();
    sim.settle(10);
    let state = sim.world.get();
    let began: Vec<i64> = state.began.iter().map(|(_, id)| *id).filter(|id| *id != 3).collect();
    assert_eq!(began, [late, 2]);
}

#[test]
fn those_of_a_handler_that_is_gone_take_no_memory() {
    let mut sim = listening(vec![spec(1, "a"), spec(2, "a")]);
    notify(&mut sim, 0..500, 0);
    sim.step();
    sim.act(|state| state.specs.clear());
    sim.coordinator.tell(Topics::HANDLERS);
    sim.idle(10 * SECOND);
    assert_eq!((sim.coordinator.events.note_bytes(), sim.coordinator.events.stats(0).len()), (0, 0));
    assert!(sim.world.get().listening.is_empty());
}

#[test]
fn what_is_to_be_recorded_is_so_before_the_coordinator_ends() {
    for broken in [vec![], vec!["spill"]] {
        let mut sim = listening(vec![Spec { durable: true, ..spec(1, "a") }]);
        sim.world.set().broken = broken.clone();
        notify(&mut sim, 0..50, 0);
        if !broken.is_empty() {
            assert!(sim.try_step().is_err());
            sim.world.set().broken.clear();
        }
        sim.reopen((u64::MAX, u64::MAX));
        assert_eq!(sim.world.get().spilled.len(), 50, "{broken:?}");
        sim.settle(100);
        assert_eq!(noted(&sim, 1), (0..50).collect::<Vec<_>>());
    }
}

//! What was given to a worker and not begun is taken back: when it waits too long there, and when it is not to run.

use super::sim::Sim;
use super::world::{End, Nature, SECOND, spec};
use crate::async_event::recall::RECALL_AFTER_US;
use crate::async_event::spec::*;
use crate::coordinator::topics::Topics;
use crate::report::CONNECTION_FAILURE;

const MOMENT: i64 = RECALL_AFTER_US as i64 + 5_000;

/// A lease of events that take a second each, the first of which has begun.
fn slow(spec: Spec, count: usize) -> Sim {
    let mut sim = Sim::new(1, vec![spec]);
    sim.act(|state| (0..count).for_each(|_| _ = state.emit("a", Nature::Takes(SECOND as u64))));
    sim.step();
    sim.world.set().work();
    assert_eq!((began(&sim), sim.world.get().leases.len()), (vec![1], 1));
    sim
}

fn began(sim: &Sim) -> Vec<i64> {
    sim.world.get().began.iter().map(|(_, id)| *id).collect()
}

fn ended(sim: &Sim, end: End) -> Vec<i64> {
    let state = sim.world.get();
    (1..state.next_id).filter(|id| state.ended(*id, 1) == Some(end)).collect()
}

fn running(sim: &Sim) -> u64 {
    sim.coordinator.events.stats(sim.world.get().wall)[0].running
}

/// Events that are in the log as attempts of which nothing came.
fn in_log(sim: &Sim) -> Vec<i64> {
    sim.world.get().log.iter().filter(|(_, logged)| logged.unfinished && logged.end.is_none()).map(|((id, _), _)| *id).collect()
}

#[test]
fn what_is_behind_a_slow_event_goes_to_another_worker() {
    let mut sim = Sim::new(1, vec![Spec { concurrency: 2, ..spec(1, "a") }]);
    let hour = Nature::Takes(3600 * SECOND as u64);
    sim.act(|state| (0..21).for_each(|n| _ = state.emit("a", if n == 0 { hour } else { Nature::Good })));
    sim.idle(SECOND);
    assert_eq!(ended(&sim, End::Done), (2..22).collect::<Vec<_>>());
    assert!(sim.world.get().log.values().all(|logged| (logged.attempts, logged.runs) == (1, 1)));
}

#[test]
fn what_waits_is_not_in_the_log_as_an_attempt() {
    let mut sim = slow(spec(1, "a"), 20);
    sim.idle(MOMENT);
    assert_eq!((running(&sim), in_log(&sim)), (1, vec![1]));
    assert!((2..21).all(|id| sim.world.get().log[&(id, 1)].attempts == 0));
    // Nor is it there as one when the coordinator dies.
    sim.restart((1 << 40, 1 << 60));
    sim.settle(100);
    assert!((2..21).all(|id| sim.world.get().log[&(id, 1)].attempts == 1));
}

#[test]
fn leases_of_slow_events_are_small_and_grow_again_with_quick_ones() {
    let mut sim = slow(spec(1, "a"), 100);
    sim.settle(200);
    let attempts = |entry: &LogEntry| if let LogEntry::Attempt { events, .. } = entry { events.len() } else { 0 };
    assert_eq!(sim.world.get().entries.iter().map(attempts).sum::<usize>(), 199, "all were given to the first, then one each time");
    sim.world.set().batch_us = 10;
    let before = sim.world.get().next_lease;
    sim.act(|state| (0..1000).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.settle(10);
    assert!(sim.world.get().next_lease - before < 16);
}

#[test]
fn an_urgent_event_waits_for_the_one_that_runs() {
    let mut sim = slow(spec(1, "a"), 20);
    sim.idle(SECOND / 10);
    let urgent = sim.act(|state| state.emit_as("a", Nature::Good, |event| event.priority = 1000));
    sim.settle(100);
    let order: Vec<i64> = [1, urgent].into_iter().chain(2..21).collect();
    assert_eq!(began(&sim), order);
}

#[test]
fn what_is_paused_begins_no_more_and_goes_on_where_it_was() {
    let mut sim = slow(spec(1, "a"), 5);
    sim.act(|state| state.spec(1, |spec| spec.paused = true));
    sim.coordinator.tell(Topics::HANDLERS);
    sim.idle(10 * SECOND);
    assert_eq!((began(&sim), in_log(&sim)), (vec![1], vec![]));
    sim.act(|state| state.spec(1, |spec| spec.paused = false));
    sim.coordinator.tell(Topics::HANDLERS);
    sim.settle(100);
    assert_eq!(began(&sim), [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_not_begun_goes_with_its_handler() {
    let mut sim = slow(spec(1, "a"), 5);
    sim.act(|state| state.specs.clear());
    sim.coordinator.tell(Topics::HANDLERS);
    sim.step();
    assert_eq!(sim.coordinator.events.outstanding().iter().sum::<u64>(), 1);
    sim.idle(10 * SECOND);
    assert_eq!((began(&sim), sim.coordinator.events.outstanding()), (vec![1], [0; 3]));
}

#[test]
fn what_is_not_begun_is_cancelled_at_once() {
    for batch_size in [1, 3] {
        let mut sim = Sim::new(1, vec![Spec { batch_size, ..spec(1, "a") }]);
        sim.act(|state| (0..12).for_each(|_| _ = state.emit("a", Nature::Takes(SECOND as u64))));
        sim.step();
        sim.world.set().work();
        sim.act(|state| state.cancel(11));
        sim.step();
        assert_eq!(ended(&sim, End::Cancelled), [11]);
        let state = sim.world.get();
        let of_it = |entry: &&LogEntry| match entry {
            LogEntry::Attempt { events, .. } | LogEntry::Withdrawn { events, .. } => events.contains(&11),
            _ => false,
        };
        assert_eq!(state.entries.iter().filter(of_it).count(), 2, "it was no attempt");
        drop(state);
        sim.settle(100);
        assert_eq!(began(&sim), (1..13).filter(|id| *id != 11).collect::<Vec<_>>());
    }
}

#[test]
fn order_is_kept_by_what_is_taken_back() {
    let mut sim = Sim::new(1, vec![Spec { ordered: true, concurrency: 3, backoff_us: 1, cap_us: 1, ..spec(1, "a") }]);
    sim.world.set().batch_us = 100_000;
    let nature = |n: u8| if n == 0 { Nature::Fails(1) } else { Nature::Good };
    let emit = |n: u8, event: &mut Fetched| event.key = Some(vec![n % 2]);
    sim.act(|state| (0..30).for_each(|n| _ = state.emit_as("a", nature(n), |event| emit(n, event))));
    sim.settle(100);
    let began = began(&sim);
    for key in 0..2 {
        let of_key: Vec<i64> = began.iter().copied().filter(|id| (id + 1) % 2 == key).collect();
        let again = usize::from(key == 0);
        assert!(of_key.is_sorted() && of_key.len() == 15 + again, "{began:?}");
    }
    assert!(sim.world.get().recalls > 0);
}

#[test]
fn from_when_order_matters_only_what_has_begun_is_out_of_it() {
    let mut sim = slow(spec(1, "a"), 5);
    sim.act(|state| state.spec(1, |spec| spec.ordered = true));
    sim.act(|state| state.emit_as("a", Nature::Good, |event| event.priority = 1000));
    sim.coordinator.tell(Topics::HANDLERS);
    sim.step();
    assert_eq!(running(&sim), 1);
    sim.settle(100);
    assert_eq!(began(&sim), (1..7).collect::<Vec<_>>());
}

#[test]
fn a_change_takes_back_only_what_it_is_about() {
    let mut sim = slow(spec(1, "a"), 5);
    let change = |sim: &mut Sim, change: fn(&mut Spec)| {
        sim.world.set().spec(1, change);
        sim.coordinator.tell(Topics::HANDLERS);
        sim.step();
        (sim.world.get().recalls, sim.coordinator.events.stats(0)[0].running)
    };
    assert_eq!(change(&mut sim, |spec| (spec.max_attempts, spec.backoff_us, spec.concurrency) = (9, 5, 7)), (0, 5));
    // A worker reads it for itself.
    assert_eq!(change(&mut sim, |spec| spec.name = b"renamed".to_vec()), (0, 5));
    // The first one stays, begun or not.
    assert_eq!(change(&mut sim, |spec| spec.batch_size = 2).0, 1);
    sim.settle(100);
    assert_eq!(began(&sim), (1..6).collect::<Vec<_>>());
}

#[test]
fn notifications_keep_their_order() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.world.set().batch_us = 50_000;
    sim.step();
    for n in 0..50 {
        sim.act(|state| (0..3).for_each(|i| state.notify("a", &format!("{}", n * 3 + i))));
        sim.idle(SECOND / 20);
    }
    sim.idle(20 * SECOND);
    let state = sim.world.get();
    let noted: Vec<u32> = state.noted.iter().map(|(_, payload)| String::from_utf8_lossy(payload).parse().unwrap()).collect();
    assert_eq!(noted, (0..150).collect::<Vec<_>>());
    assert!(state.recalls > 3);
    assert_eq!(sim.coordinator.events.note_bytes(), 0);
}

#[test]
fn a_worker_that_goes_takes_only_what_it_has_begun() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.world.set().batch_us = 100_000;
    sim.act(|state| (0..10).for_each(|n| _ = state.emit("a", if n == 0 { Nature::KillsWorker(1) } else { Nature::Good })));
    sim.settle(100);
    let state = sim.world.get();
    assert!(state.recalls > 0);
    let attempts: Vec<u32> = (1..11).map(|id| state.log[&(id, 1)].attempts).collect();
    assert_eq!(attempts, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    let blamed = state.entries.iter().filter(|entry| matches!(entry, LogEntry::Failed { sqlstate: CONNECTION_FAILURE, .. }));
    assert_eq!(blamed.count(), 1);
}

#[test]
fn when_the_coordinator_ends_in_good_order_only_what_has_begun_was_cut_off() {
    let mut sim = slow(spec(1, "a"), 5);
    sim.reopen((1 << 40, 1 << 60));
    let state = sim.world.get();
    assert_eq!(state.entries.iter().filter(|entry| matches!(entry, LogEntry::Failed { event: 1, counted: false, .. })).count(), 1);
    assert!(state.entries.iter().any(|entry| matches!(entry, LogEntry::Withdrawn { events, .. } if *events == [2, 3, 4, 5])));
}

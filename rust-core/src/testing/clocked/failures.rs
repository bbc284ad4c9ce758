//! Events that fail: how often they are tried, when, and with whom.

use super::sim::Sim;
use super::workers::{CONFLICT, RAISED, SHUT, ids};
use super::world::{End, Nature, SECOND, spec};
use crate::async_event::backoff::{FREE_RETRIES, ceiling_us, delay_us};
use crate::async_event::spec::*;
use crate::coordinator::topics::Topics;
use crate::report::{CONNECTION_FAILURE, sqlstate};

fn one(spec: Spec, natures: &[Nature]) -> Sim {
    let mut sim = Sim::new(1, vec![spec]);
    sim.act(|state| natures.iter().for_each(|nature| _ = state.emit("a", *nature)));
    sim
}

fn ends(sim: &Sim) -> Vec<Option<End>> {
    let state = sim.world.get();
    (1..state.next_id).map(|id| state.ended(id, 1)).collect()
}

#[test]
fn waits_double_up_to_the_cap_and_never_overflow() {
    let ceilings: Vec<i64> = (1..6).map(|attempt| ceiling_us(attempt, 10, 100)).collect();
    assert_eq!(ceilings, [10, 20, 40, 80, 100]);
    for attempt in [0, 1, 63, 64, 65, u32::MAX] {
        assert!((0..=i64::MAX).contains(&delay_us(attempt, i64::MAX, i64::MAX, 0.999)), "{attempt}");
        assert_eq!(delay_us(attempt, 0, i64::MAX, 0.5), 0);
        assert_eq!(delay_us(attempt, -5, -7, 0.5), 0);
    }
    assert_eq!(delay_us(2, 10, 100, 0.5), 10);
}

#[test]
fn a_failing_event_is_tried_again_and_then_dead() {
    let mut sim = one(spec(1, "a"), &[Nature::Fails(99), Nature::Fails(2), Nature::Good]);
    sim.settle(300);
    assert_eq!(ends(&sim), [Some(End::Dead), Some(End::Done), Some(End::Done)]);
    let state = sim.world.get();
    let of_first = state.entries.iter().filter_map(|entry| match entry {
        LogEntry::Attempt { events, attempt, .. } if events.contains(&1) => Some(("attempt", *attempt, 0)),
        LogEntry::Failed { event: 1, attempt, sqlstate, counted: true, .. } => Some(("failed", *attempt, *sqlstate)),
        LogEntry::Dead { event: 1, attempt, sqlstate, .. } => Some(("dead", *attempt, *sqlstate)),
        _ => None,
    });
    let of_first: Vec<_> = of_first.collect();
    let expected =
        [("attempt", 1, 0), ("failed", 1, RAISED), ("attempt", 2, 0), ("failed", 2, RAISED), ("attempt", 3, 0), ("dead", 3, RAISED)];
    assert_eq!(of_first, expected);
    let tally = &sim.coordinator.events.stats(state.wall)[0].tally;
    assert_eq!((tally.done, tally.failed, tally.dead, tally.retried), (2, 5, 1, 4));
    assert_eq!(tally.last_error, Some((RAISED, b"oops".to_vec())));
}

#[test]
fn poison_does_not_stop_the_others() {
    let mut natures = vec![Nature::Good; 50];
    natures[0] = Nature::Fails(99);
    let spec = Spec { backoff_us: 3600 * SECOND, cap_us: 3600 * SECOND, max_attempts: 9, ..spec(1, "a") };
    let mut sim = one(spec, &natures);
    sim.idle(SECOND);
    let stats = &sim.coordinator.events.stats(sim.world.get().wall)[0];
    assert_eq!((stats.tally.done, stats.waiting, stats.delayed, stats.ready), (49, 1, 1, 0));
}

#[test]
fn who_fails_among_others_is_tried_alone_and_the_others_are_not_blamed() {
    let mut natures = vec![Nature::Good; 20];
    natures[7] = Nature::Fails(99);
    let mut sim = one(Spec { batch_size: 10, max_attempts: 1, ..spec(1, "a") }, &natures);
    sim.settle(300);
    let ends = ends(&sim);
    assert_eq!(ends[7], Some(End::Dead));
    assert_eq!(ends.iter().filter(|end| **end == Some(End::Done)).count(), 19);
    let state = sim.world.get();
    let runs: Vec<u32> = (1..=20).map(|id| state.log[&(id, 1)].runs).collect();
    assert_eq!(runs, [[2; 10], [1; 10]].concat(), "one batch was tried again, one by one");
    assert!(state.log.values().all(|logged| logged.attempts == 1));
}

#[test]
fn nobody_joins_who_is_tried_alone() {
    let mut natures = vec![Nature::Good; 10];
    natures[7] = Nature::Fails(1);
    let mut sim = one(Spec { batch_size: 10, ..spec(1, "a") }, &natures);
    sim.step();
    sim.act(|state| (0..5).for_each(|_| _ = state.emit("a", Nature::Good)));
    // It begins, and it ends.
    for _ in 0..2 {
        sim.world.get_and(|state| state.mono += SECOND as u64);
        sim.world.set().work();
    }
    sim.step();
    let lease = sim.world.get().leases[&2].clone();
    assert_eq!(lease.batches.iter().map(|batch| ids(batch).len()).collect::<Vec<_>>(), [vec![1; 10], vec![5]].concat());
}

#[test]
fn conflicts_do_not_count_up_to_a_bound() {
    let free = u32::from(FREE_RETRIES);
    let mut sim = one(Spec { max_attempts: 1, ..spec(1, "a") }, &[Nature::Conflicts(free), Nature::Conflicts(free + 1)]);
    let before = sim.world.get().wall;
    sim.settle(300);
    assert_eq!(ends(&sim), [Some(End::Done), Some(End::Dead)]);
    let state = sim.world.get();
    assert!(state.wall - before < SECOND, "they were tried again at once");
    assert!(state.entries.iter().any(|entry| matches!(entry, LogEntry::Dead { event: 2, sqlstate: CONFLICT, attempt: 1, .. })));
}

#[test]
fn a_shortage_of_workers_is_never_an_attempt() {
    let mut natures = vec![Nature::Good; 10];
    (natures[2], natures[7]) = (Nature::Starves(20), Nature::Starves(1));
    for batch_size in [1, 5] {
        let mut sim = one(Spec { max_attempts: 1, batch_size, ..spec(1, "a") }, &natures);
        sim.settle(1200);
        assert_eq!(ends(&sim), [Some(End::Done); 10]);
        let state = sim.world.get();
        assert!(state.log.values().all(|logged| logged.attempts == 1));
        assert!(state.log.values().all(|logged| logged.runs <= 21), "and it is not tried all the time");
    }
}

#[test]
fn a_worker_that_cannot_begin_is_no_attempt_and_is_not_asked_for_all_the_time() {
    let mut sim = one(Spec { max_attempts: 1, ..spec(1, "a") }, &[Nature::Good; 300]);
    sim.world.set().refuses = Some(SHUT);
    sim.idle(60 * SECOND);
    assert!(sim.world.get().calls["start"] < 60, "{}", sim.world.get().calls["start"]);
    assert!(sim.world.get().log.values().all(|logged| logged.attempts == 0 && !logged.unfinished));
    sim.world.set().refuses = None;
    let before = sim.world.get().wall;
    sim.settle(60);
    assert!(sim.world.get().wall - before < 6 * SECOND, "and it goes on soon after");
    assert!(sim.world.get().log.values().all(|logged| (logged.attempts, logged.end) == (1, Some(End::Done))));
}

#[test]
fn an_owner_who_may_not_begin_pays_with_attempts() {
    let mut sim = one(Spec { max_attempts: 2, ..spec(1, "a") }, &[Nature::Good; 3]);
    sim.world.set().refuses = Some(sqlstate(b"28000"));
    sim.settle(60);
    assert_eq!(ends(&sim), [Some(End::Dead); 3]);
}

#[test]
fn a_handler_that_fails_does_not_slow_its_neighbours() {
    let drained = |failing: usize| {
        let plain = Spec { concurrency: 2, ..spec(1, "a") };
        let mut sim = Sim::new(1, vec![plain, Spec { concurrency: 2, batch_size: 10, max_attempts: 5, ..spec(2, "b") }]);
        sim.act(|state| {
            (0..failing).for_each(|_| _ = state.emit("b", Nature::Fails(99)));
            (0..500).for_each(|_| _ = state.emit("a", Nature::Good));
        });
        let left = |sim: &Sim| sim.world.get().outstanding().iter().filter(|(_, handler)| *handler == 1).count();
        let start = sim.world.get().mono;
        while left(&sim) > 0 {
            sim.idle(5_000);
        }
        sim.world.get().mono - start
    };
    let (alone, beside) = (drained(0), drained(2_000));
    assert!(beside <= alone * 5 / 4, "{alone} us, and {beside} us beside one that fails");
}

#[test]
fn nobody_is_told_of_what_another_of_its_batch_has_done() {
    let mut natures = vec![Nature::Good; 10];
    natures[7] = Nature::Fails(1);
    let mut sim = one(Spec { batch_size: 10, ..spec(1, "a") }, &natures);
    sim.settle(300);
    let state = sim.world.get();
    let told = state.entries.iter().filter(|entry| matches!(entry, LogEntry::Failed { .. } | LogEntry::Dead { .. }));
    assert_eq!(told.count(), 0, "alone, none has failed");
}

#[test]
fn a_death_counts_for_those_that_had_begun_only() {
    let mut natures = vec![Nature::Good; 10];
    natures[4] = Nature::KillsWorker(1);
    let mut sim = one(spec(1, "a"), &natures);
    sim.settle(300);
    assert_eq!(ends(&sim), [Some(End::Done); 10]);
    let state = sim.world.get();
    let attempts: Vec<u32> = (1..=10).map(|id| state.log[&(id, 1)].attempts).collect();
    assert_eq!(attempts, [1, 1, 1, 1, 2, 1, 1, 1, 1, 1]);
    let failed = |entry: &LogEntry| matches!(entry, LogEntry::Failed { event: 5, sqlstate: CONNECTION_FAILURE, counted: true, .. });
    assert_eq!(state.entries.iter().filter(|entry| failed(entry)).count(), 1);
    // Those that were not begun were in the log already.
    let logged = state.entries.iter().filter(|entry| matches!(entry, LogEntry::Attempt { events, .. } if events.contains(&6)));
    assert_eq!(logged.count(), 1);
}

#[test]
fn who_went_down_among_others_gets_one_more_attempt_alone() {
    let mut natures = vec![Nature::Good; 5];
    natures[2] = Nature::KillsWorker(99);
    let mut sim = one(Spec { batch_size: 5, max_attempts: 1, ..spec(1, "a") }, &natures);
    sim.settle(300);
    let [Some(End::Done), Some(End::Done), Some(End::Dead), Some(End::Done), Some(End::Done)] = ends(&sim)[..] else {
        panic!("{:?}", ends(&sim));
    };
    assert_eq!(sim.world.get().log[&(3, 1)].runs, 2);
}

#[test]
fn what_waits_is_cancelled() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), spec(2, "a")]);
    let later = |event: &mut Fetched| event.run_at += SECOND;
    let id = sim.act(|state| state.emit_as("a", Nature::Good, later));
    sim.step();
    sim.act(|state| state.cancel(id));
    sim.settle(10);
    let state = sim.world.get();
    assert_eq!([state.ended(id, 1), state.ended(id, 2)], [Some(End::Cancelled); 2]);
    assert!(state.began.is_empty());
    assert_eq!(sim.coordinator.events.outstanding(), [0; 3]);
}

#[test]
fn what_is_cancelled_for_one_handler_runs_for_the_others() {
    let mut sim = Sim::new(1, vec![Spec { paused: true, ..spec(1, "a") }, Spec { paused: true, ..spec(2, "a") }]);
    let id = sim.act(|state| state.emit("a", Nature::Good));
    sim.step();
    sim.act(|state| {
        let cancels = |row: &mut Fetched| (row.command, row.target) = (Some(EventCommand::Cancel(id)), Some(2));
        state.emit_as("", Nature::Good, cancels);
        (1..=2).for_each(|handler| state.spec(handler, |spec| spec.paused = false));
    });
    sim.coordinator.tell(Topics::HANDLERS);
    sim.settle(10);
    let state = sim.world.get();
    assert_eq!([state.ended(id, 1), state.ended(id, 2)], [Some(End::Done), Some(End::Cancelled)]);
}

#[test]
fn what_runs_is_cancelled_unless_it_succeeds() {
    let mut sim = one(Spec { concurrency: 2, ..spec(1, "a") }, &[Nature::Fails(1), Nature::Good]);
    sim.step();
    assert_eq!(sim.world.get().leases.len(), 2);
    sim.world.set().work();
    sim.act(|state| (state.cancel(1), state.cancel(2), state.cancel(77)));
    sim.settle(10);
    assert_eq!(ends(&sim)[..2], [Some(End::Cancelled), Some(End::Done)]);
    assert_eq!(sim.world.get().log[&(1, 1)].runs, 1);
}

/// Of this handler no event fails.
const NEIGHBOUR: u32 = 4;

/// Seconds until all events of each handler have ended, where one in `bad` fails.
fn ended_after(seed: u64, specs: &[Spec], bad: u32) -> Vec<i64> {
    let mut sim = Sim::new(seed, specs.to_vec());
    sim.world.set().batch_us = 4_000;
    let begin = sim.world.get().mono;
    let mut after = vec![0; specs.len()];
    sim.act(|state| {
        for id in 0..600 {
            for spec in specs {
                let nature = if id % bad == 0 && spec.id != NEIGHBOUR { Nature::Fails(2) } else { Nature::Good };
                state.emit_as("a", nature, |event| (event.target, event.key) = (Some(spec.id), Some(vec![(id % 7) as u8])));
            }
        }
    });
    for second in 1..600 {
        let end = begin + second * SECOND as u64;
        let now = sim.world.get().mono;
        sim.idle((end - now) as i64);
        let left: Vec<u32> = sim.world.get().outstanding().into_iter().map(|(_, handler)| handler).collect();
        for (spec, after) in specs.iter().zip(&mut after) {
            if *after == 0 && !left.contains(&spec.id) {
                *after = second as i64;
            }
        }
        if left.is_empty() {
            return after;
        }
    }
    panic!("seed {seed}: {after:?}");
}

#[test]
fn a_handler_whose_events_fail_takes_its_share_of_the_workers_and_no_more() {
    for seed in 1..4 {
        let good = Spec { concurrency: 2, max_attempts: 9, backoff_us: SECOND / 10, ..spec(1, "a") };
        let batches = Spec { id: 2, batch_size: 50, ..good.clone() };
        let ordered = Spec { id: 3, ordered: true, ..good.clone() };
        let neighbour = Spec { id: NEIGHBOUR, ..good.clone() };
        let all = [good, batches, ordered, neighbour];
        let (few, many) = (ended_after(seed, &all, 600), ended_after(seed, &all, 3));
        let said = format!("seed {seed}: {few:?} and {many:?} s");
        assert!(many[3] <= 2 * few[3] + 2, "{said}");
        // A third of the others' events is tried three times, and what fails in a batch is tried alone.
        assert!(few.iter().zip(&many).all(|(few, many)| *many <= 4 * few + 4), "{said}");
    }
}

//! Steps are as many as there is to do, share out what there is, and cost the same however much waits.

use super::sim::Sim;
use super::workers::ids;
use super::world::{Nature, SECOND, spec};
use crate::async_event::handler::CHUNK;
use crate::async_event::host::{Ask, EventStore};
use crate::async_event::part::START_RETRY_US;
use crate::async_event::spec::*;
use crate::coordinator::Coordinator;
use crate::coordinator::host::Host;
use crate::coordinator::runner::{self, Runner};
use crate::coordinator::topics::Topics;
use crate::coordinator::unseen::Snapshot;
use crate::definition::Standing;
use crate::host::Saved;
use crate::lease::work::LeaseUpdate;
use crate::wire::batch::BatchEnd;
use std::cell::{Cell, RefCell};

#[test]
fn nothing_to_do_costs_nothing() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.coordinator.events.set_poll(SECOND as u64);
    sim.act(|state| (0..10).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.settle(10);
    sim.idle(10 * SECOND);
    let calls = sim.world.get().calls.clone();
    assert_eq!(sim.idle(3600 * SECOND), 0);
    assert_eq!(sim.world.get().calls, calls);
    // One that waits for its time costs a look at the clock now and then, which may be set forward.
    sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += 3600 * SECOND));
    sim.idle(10 * SECOND);
    let calls = sim.world.get().calls.clone();
    assert!((15..25).contains(&sim.idle(100 * SECOND)));
    let mut after = sim.world.get().calls.clone();
    // It may hear of something each time; it asks the database for nothing.
    after.insert("notifications", calls["notifications"]);
    assert_eq!(after, calls);
}

/// Each of these calls is a transaction with a query, or wakes a process: between the commit and the handler they count.
#[test]
fn an_event_costs_one_look_one_entry_and_one_lease() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), spec(2, "b"), spec(3, "c")]);
    sim.act(|state| state.emit("a", Nature::Good));
    sim.settle(10);
    sim.idle(10 * SECOND);
    let before = sim.world.get().calls.clone();
    for _ in 0..10 {
        sim.act(|state| state.emit("a", Nature::Good));
        sim.step();
        let state = sim.world.get();
        assert_eq!(state.leases.len(), 1, "the turn that finds the event starts it");
        drop(state);
        sim.settle(10);
    }
    let calls = sim.world.get().calls.clone();
    let more = |name: &&'static str| calls[name] - before.get(name).copied().unwrap_or(0);
    let made = calls.keys().copied().filter(|name| more(name) > 0 && *name != "compact_keys");
    let made: Vec<(&str, u64)> = made.map(|name| (name, more(&name))).collect();
    assert_eq!(made, [("fetch", 10), ("notifications", 30), ("record", 10), ("room", 10), ("standing", 10), ("start", 10)]);
}

#[test]
fn what_nobody_said_is_found_a_moment_after_what_somebody_said() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.coordinator.events.set_poll(SECOND as u64);
    sim.act(|state| state.emit("a", Nature::Good));
    sim.settle(10);
    sim.world.set().emit("a", Nature::Good);
    sim.idle(2 * SECOND);
    assert_eq!(sim.world.get().outstanding(), []);
}

#[test]
fn a_coordinator_rests_when_there_is_no_handler_and_nothing_to_empty() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    let rests = |sim: &mut Sim| sim.coordinator.rests(&sim.world);
    assert_eq!(rests(&mut sim), None, "it has not looked yet");
    sim.act(|state| state.emit("a", Nature::Takes(100_000)));
    sim.step();
    assert_eq!(rests(&mut sim), None, "there is a handler");
    sim.world.set().specs.clear();
    sim.coordinator.tell(Topics::HANDLERS);
    assert_eq!(rests(&mut sim), None, "it has been told something");
    sim.step();
    assert_eq!(rests(&mut sim), None, "what runs has not ended");
    sim.idle(SECOND);
    let mono = sim.world.get().mono;
    assert_eq!(sim.coordinator.events.age_us(mono), mono - 1_000_000);
    assert!(rests(&mut sim).is_some_and(|left_us| left_us < u64::MAX), "the tables will be emptied some time");
    // A coordinator that comes when it is time uses other tables, empties these, and rests again.
    sim.restart((1 << 40, 10 * SECOND as u64));
    sim.coordinator.events.set_age(10 * SECOND as u64 + 1);
    sim.step();
    assert_eq!(rests(&mut sim), None);
    sim.idle(10 * SECOND);
    assert_eq!(rests(&mut sim), Some(u64::MAX));
    assert_eq!(sim.world.get().current, 1);
    assert_eq!(sim.idle(3600 * SECOND), 0);
}

#[test]
fn where_there_is_no_worker_it_asks_again_but_not_all_the_time() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), Spec { owner: 11, ..spec(2, "a") }]);
    sim.world.set().workers = 0;
    sim.act(|state| (0..10).for_each(|_| _ = state.emit("a", Nature::Good)));
    let steps = sim.idle(10 * SECOND);
    let retries = 10 * SECOND as u64 / START_RETRY_US;
    assert!((retries - 5..retries + 10).contains(&steps), "{steps}");
    let state = sim.world.get();
    assert!(state.calls["room"] <= 2 * steps);
    assert_eq!((state.calls.get("record"), state.calls.get("start")), (None, None), "and writes nothing down");
    let stats = sim.coordinator.events.stats(state.wall);
    assert!(stats.iter().all(|handler| (handler.ready, handler.running) == (10, 0) && handler.first_waits_us >= 9 * SECOND));
}

#[test]
fn what_has_no_worker_is_not_said_to_run() {
    for workers in 1..6 {
        let specs = (1..8).map(|id| Spec { owner: 10 + id % 3, concurrency: 2, ..spec(id, "a") }).collect();
        let mut sim = Sim::new(1, specs);
        sim.world.set().workers = workers;
        sim.world.set().batch_us = 400_000;
        for _ in 0..200 {
            sim.act(|state| state.emit("a", Nature::Good));
            sim.step();
            assert_eq!(sim.shown_running(), [], "{workers} workers");
            let until = sim.world.get().mono + 10_000;
            sim.pass(until);
            // What has ended is said at the next step.
            sim.step();
            assert_eq!(sim.shown_running(), [], "{workers} workers");
        }
        let (withdrawn, begun) = (sim.world.get().entries.len(), sim.world.get().began.len());
        assert!(withdrawn < 4 * begun + 100, "{withdrawn} lines of the log for {begun} events");
    }
}

#[test]
fn of_a_worker_that_was_not_there_after_all_the_log_keeps_no_attempt() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), Spec { owner: 11, ..spec(2, "a") }]);
    (sim.world.set().workers, sim.world.set().looks_free) = (1, true);
    sim.world.set().batch_us = 10 * SECOND as u64;
    sim.act(|state| state.emit("a", Nature::Good));
    sim.step();
    assert_eq!((sim.world.get().leases.len(), sim.shown_running()), (1, vec![]));
    sim.world.set().broken.push("start");
    sim.world.set().workers = 2;
    sim.try_step().unwrap_err();
    sim.world.set().broken.clear();
    (sim.world.set().workers, sim.world.set().looks_free) = (1, false);
    sim.step();
    assert_eq!(sim.shown_running(), [], "nor of one that could not be asked for");
}

#[test]
fn what_an_owner_may_not_run_waits_uncounted_and_is_asked_for_once_a_second() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), spec(2, "a")]);
    sim.world.set().standings.insert(1, Standing::Waits);
    sim.act(|state| (0..3).for_each(|_| _ = state.emit("a", Nature::Good)));
    let steps = sim.idle(10 * SECOND);
    assert!(steps <= 20, "{steps}");
    let barred = |state: &super::world::State| state.began.iter().filter(|(handler, _)| *handler == 1).count();
    assert_eq!((barred(&sim.world.get()), sim.world.get().began.len()), (0, 3));
    let attempts = |entry: &LogEntry| matches!(entry, LogEntry::Attempt { handler: 1, .. });
    assert!(!sim.world.get().entries.iter().any(attempts), "no attempt is recorded");
    sim.world.set().standings.insert(1, Standing::Acts { owner: 12, superuser: true });
    sim.idle(2 * SECOND);
    let state = sim.world.get();
    assert_eq!(barred(&state), 3);
    assert!(state.log.values().all(|logged| logged.attempts <= 1));
}

#[test]
fn of_a_definition_that_was_given_up_nothing_starts_and_it_is_read_anew() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.world.set().standings.insert(1, Standing::Ended);
    sim.step();
    let before = sim.world.get().calls["handlers"];
    sim.act(|state| _ = state.emit("a", Nature::Good));
    sim.idle(SECOND / 2);
    assert!(sim.world.get().began.is_empty());
    assert_eq!(sim.world.get().calls["handlers"], before + 1);
}

#[test]
fn pause_holds_and_full_concurrency_waits_for_an_end() {
    let mut sim = Sim::new(1, vec![spec(1, "a"), Spec { paused: true, ..spec(2, "a") }]);
    sim.world.set().batch_us = 600 * SECOND as u64;
    sim.act(|state| (0..3).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.step();
    assert!(sim.idle(SECOND) <= 2);
    assert!(sim.world.get().leases.values().all(|lease| lease.spec.id == 1));
}

#[test]
fn a_lease_leaves_its_share_to_others() {
    let mut sim = Sim::new(1, vec![Spec { concurrency: 4, ..spec(1, "a") }]);
    sim.act(|state| (0..100).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.step();
    let sizes: Vec<usize> = sim.world.get().leases.values().map(|lease| lease.batches.len()).collect();
    assert_eq!(sizes, [25, 19, 14, 11]);
    let mut sim = Sim::new(1, vec![Spec { batch_size: 1000, ..spec(1, "a") }]);
    sim.act(|state| (0..1500).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.step();
    let first = sim.world.get().leases[&1].batches.clone();
    assert_eq!(first.iter().map(|batch| ids(batch).len()).collect::<Vec<_>>(), [1000]);
}

#[test]
fn handlers_take_turns_where_workers_are_few() {
    let mut sim = Sim::new(1, (1..=5).map(|id| spec(id, "a")).collect());
    sim.world.set().workers = 1;
    sim.act(|state| (0..CHUNK * 4).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.settle(600);
    let state = sim.world.get();
    let mut turns: Vec<u32> = state.began.iter().map(|(handler, _)| *handler).collect();
    turns.dedup();
    assert_eq!(turns, [1, 2, 3, 4, 5].repeat(4));
}

/// Workers without end that are done at once.
#[derive(Default)]
struct Bulk {
    events: RefCell<Vec<Fetched>>,
    heard: RefCell<Vec<(u64, LeaseUpdate)>>,
    handlers: RefCell<Vec<Spec>>,
    done: Cell<usize>,
}

impl Host for Bulk {
    fn timestamp(&self) -> i64 {
        0
    }
    fn now_us(&self) -> u64 {
        0
    }
}

impl Runner for Bulk {
    fn start(&self, lease: u64, work: &runner::Work<'_>) -> Result<bool, Saved> {
        let runner::Work::Batches { batches, .. } = work else { panic!("events are batches") };
        self.done.set(self.done.get() + batches.iter().map(|batch| ids(batch).len()).sum::<usize>());
        let said = (0..batches.len()).map(|index| LeaseUpdate::Batch(index, BatchEnd::Done(Vec::new()))).chain([LeaseUpdate::Over]);
        self.heard.borrow_mut().extend(said.map(|said| (lease, said)));
        Ok(true)
    }
    fn heard(&self) -> Vec<(u64, LeaseUpdate)> {
        self.heard.take()
    }
}

impl crate::definition::part::Store<crate::schedule::part::ScheduleKind> for Bulk {}

impl crate::schedule::part::ScheduleStore for Bulk {}

impl crate::definition::part::Store<crate::chunk::part::JobKind> for Bulk {}

impl crate::chunk::part::ChunkStore for Bulk {}

impl EventStore for Bulk {
    fn handlers(&self) -> Result<Vec<Spec>, Saved> {
        Ok(self.handlers.borrow().clone())
    }
    fn fetch(&self, _: Ask<'_>, _: usize) -> Result<(Vec<Fetched>, Snapshot), Saved> {
        Ok((self.events.take(), Snapshot::default()))
    }
    fn record(&self, _: &[LogEntry]) -> Result<(), Saved> {
        Ok(())
    }
}

/// Time for an event, from its fetch to its end, in microseconds.
fn bulk(count: i64, ordered: bool) -> f64 {
    let bulk = Bulk::default();
    let event = |id: i64| {
        let key = ordered.then(|| (id % 1000).to_le_bytes().to_vec());
        let known = vec![Known { handler: 1, ..Known::default() }];
        let (priority, run_at) = ((id % 7) as i32, -id * 7919 % 10_000);
        Fetched { id, key, channel: b"a".to_vec(), priority, run_at, known, ..Fetched::default() }
    };
    *bulk.events.borrow_mut() = (1..=count).map(event).collect();
    *bulk.handlers.borrow_mut() = vec![Spec { ordered, concurrency: 8, ..spec(1, "a") }];
    let mut coordinator = Coordinator::new(0);
    let begin = std::time::Instant::now();
    let mut steps = 0;
    while coordinator.take_turn(&bulk).is_ok() && bulk.done.get() < count as usize {
        steps += 1;
        assert!(steps < count as usize / 8, "{steps} steps");
    }
    coordinator.take_turn(&bulk).unwrap();
    assert_eq!((bulk.done.get(), coordinator.events.outstanding()), (count as usize, [0; 3]));
    begin.elapsed().as_secs_f64() * 1e6 / count as f64
}

#[test]
fn an_event_costs_the_same_however_many_wait() {
    let count = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    for ordered in [false, true] {
        let (few, many) = (bulk(count / 20, ordered), bulk(count, ordered));
        eprintln!("ordered {ordered}: {few:.2} and {many:.2} us an event");
        // Each of the many is one of twenty times as many; a busy machine accounts for the rest.
        assert!(many < 8.0 * few, "{few} and {many} us an event");
    }
}

#[test]
fn what_a_flood_took_is_given_back_as_it_ends_and_not_all_the_time() {
    let mut sim = Sim::new(1, vec![Spec { concurrency: 4, ..spec(1, "a") }]);
    sim.world.set().batch_us = 10;
    sim.act(|state| (0..40_000).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.settle(600);
    assert_eq!(sim.world.get().calls.get("give_back"), Some(&1));
    sim.act(|state| (0..1_000).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.settle(600);
    assert_eq!(sim.world.get().calls.get("give_back"), Some(&1));
}

#[test]
fn it_knows_when_events_came_for_nobody() {
    let mut sim = Sim::new(1, vec![spec(1, "a")]);
    sim.act(|state| _ = state.emit("a", Nature::Good));
    sim.step();
    assert!(!sim.coordinator.looked_in_vain(&sim.world));
    sim.settle(10);
    sim.coordinator.tell(Topics::EVENTS);
    sim.step();
    assert!(sim.coordinator.looked_in_vain(&sim.world));
    sim.act(|state| _ = state.emit("a", Nature::Good));
    sim.step();
    assert!(!sim.coordinator.looked_in_vain(&sim.world));
}

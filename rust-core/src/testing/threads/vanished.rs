//! Workers that come, go and are replaced at the moments when slots change hands.

use super::caller::{Client, text};
use super::worker::FakeWorker;
use super::world::{Fault, World, spawn, until};
use crate::pool::slot::{Key, SlotState};
use crate::report::*;
use crate::worker::process::Worker;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// So many idle workers.
fn idle(world: &Arc<World>, count: usize) {
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let world = world.clone();
            spawn(move || Client::new(&world).call("wait together").is_ok())
        })
        .collect();
    until(|| world.count(SlotState::Busy) == count, || "all run".into());
    world.open("together");
    assert!(calls.into_iter().all(|call| call.join().unwrap()));
    world.settle();
}

#[test]
fn a_worker_that_leaves_before_it_took_the_request_is_replaced_unnoticed() {
    let world = World::new(3);
    idle(&world, 2);
    world.open("die on request");
    Client::new(&world).call("put a").unwrap();
    let running = || world.launched.lock().unwrap().values().filter(|p| !p.gone.load(SeqCst)).count();
    until(|| running() == 1, || "both idle workers were lost".into());
    assert_eq!(world.commits.lock().unwrap().len(), 1);
    world.shut_down();
}

#[test]
fn a_caller_does_not_try_for_ever() {
    let world = World::new(4);
    idle(&world, 4);
    world.open("die on request");
    let report = Client::new(&world).call("put a").unwrap_err().report();
    assert_eq!((report.sqlstate, text(&report, Field::Message)), (CONNECTION_FAILURE, "no worker took the autonomous transaction".into()));
    assert_eq!(text(&report, Field::Detail), "The autonomous transaction aborted.");
    world.close("die on request");
    world.settle();
    assert_eq!(world.count(SlotState::Free), 4);
    Client::new(&world).call("put b").unwrap();
    world.shut_down();
}

#[test]
fn a_worker_that_vanishes_after_one_commit_of_several_is_reported_with_that_count() {
    let world = World::new(1);
    let report = Client::new(&world).call("put a; commit; put b; die").unwrap_err().report();
    let expected = "The autonomous transaction aborted. The command had committed 1 transactions before it.";
    assert_eq!(text(&report, Field::Detail), expected);
    assert!(world.committed("a") && !world.committed("b"));
    world.shut_down();
}

#[test]
fn an_outcome_that_cannot_be_known_is_called_unknown() {
    let world = World::new(1);
    world.outcome_unknown.store(true, SeqCst);
    world.inject("commit:recorded", 1, Fault::Die);
    let report = Client::new(&world).call("put a").unwrap_err().report();
    assert_eq!(text(&report, Field::Detail), "Whether the autonomous transaction 700 committed is unknown.");
    world.shut_down();
}

#[test]
fn a_worker_terminated_between_its_commit_and_its_answer_has_committed() {
    let world = World::new(1);
    let client = Client::new(&world);
    // The caller stops reading; the worker fills the ring, commits, and is told to end before it could say so.
    let other = world.clone();
    let mut told_to_end = false;
    *client.script.borrow_mut() = Some(Box::new(move |_| {
        if !told_to_end {
            until(|| other.is_open("at go"), || "the worker is about to send rows".into());
            other.open("go");
            until(|| other.committed("a"), || "the worker commits".into());
            let pid = other.area.slots[0].worker_pid.load(SeqCst);
            other.signal(pid, true);
            until(|| !other.alive(pid), || "the worker ends".into());
            told_to_end = true;
        }
    }));
    // 16 words a row: 512 words of ring are full after 32 rows.
    let report = client.call("put a; wait go; rows 32 120 abcdefgh").unwrap_err().report();
    let detail = text(&report, Field::Detail);
    assert!(detail.starts_with("The autonomous transaction committed."), "{detail}");
    world.shut_down();
}

/// A worker process played by the test's own thread.
fn worker(world: &Arc<World>, key: Key) -> &'static FakeWorker<'static> {
    let worker: &'static Worker<'static> = Box::leak(Box::new(Worker::new(world.area)));
    let me = world.fork();
    Box::leak(Box::new(FakeWorker::new(world.clone(), me, worker, key)))
}

fn last_words(said: &str) -> Report {
    Report { severity: Severity::Fatal, ..Report::error(sqlstate(b"57P01"), said) }
}

#[test]
fn a_worker_quicker_than_the_caller_that_launched_it_is_heard() {
    let world = World::new(1);
    let client = Client::new(&world);
    let other = world.clone();
    *client.midwife.borrow_mut() = Some(Box::new(move |slot, generation| {
        let h = worker(&other, Key { database: 5, user: 10, superuser: false });
        other.launched.lock().unwrap().insert(slot, h.me.clone());
        assert!(h.worker.attach(h, slot, generation));
        h.worker.message(h, last_words("no more connections"), None);
        h.worker.leave(h);
        h.me.gone.store(true, SeqCst);
    }));
    let report = client.call("put a").unwrap_err().report();
    assert_eq!(text(&report, Field::Detail), "The worker said: no more connections");
    world.shut_down();
}

#[test]
fn what_an_earlier_lease_left_on_the_ring_is_not_read_by_the_next() {
    let world = World::new(1);
    Client::new(&world).call("rows 3 400 secret").unwrap();
    world.area.retire(0, |slot| world.by_latch(slot.worker_proc().unwrap()).unwrap().wake());
    until(|| world.count(SlotState::Free) == 1, || "the worker has left".into());
    let client = Client::new(&world);
    let (other, born) = (world.clone(), std::rc::Rc::new(std::cell::Cell::new(None)));
    let child = born.clone();
    *client.midwife.borrow_mut() = Some(Box::new(move |slot, generation| {
        let h = worker(&other, Key { database: 5, user: 10, superuser: false });
        other.launched.lock().unwrap().insert(slot, h.me.clone());
        assert!(h.worker.attach(h, slot, generation));
        child.set(Some(h));
    }));
    *client.script.borrow_mut() = Some(Box::new(move |_| {
        if let Some(h) = born.take() {
            h.worker.message(h, last_words("no more connections"), None);
            h.worker.leave(h);
            h.me.gone.store(true, SeqCst);
        }
    }));
    let report = client.call("put a").unwrap_err().report();
    assert!(client.rows.borrow().is_empty(), "rows of another call");
    assert_eq!(text(&report, Field::Detail), "The worker said: no more connections");
    world.shut_down();
}

#[test]
fn a_slot_whose_launcher_died_is_taken_over_and_a_late_worker_turned_away() {
    let world = World::new(1);
    world.inject("launch", 1, Fault::Die);
    let (other, me) = (world.clone(), world.fork());
    let pid = me.pid;
    let key = Key { database: 5, user: 10, superuser: false };
    spawn(move || Client::of(&other, me, key).call("put a").is_ok());
    until(|| !world.alive(pid), || "the launcher has died".into());
    assert_eq!(world.area.slots[0].state(), (SlotState::Busy, 1));
    Client::new(&world).call("put b").unwrap();
    let late = worker(&world, key);
    assert!(!late.worker.attach(late, 0, 1));
    late.worker.leave(late);
    Client::new(&world).call("put c").unwrap();
    assert!(!world.committed("a"));
    world.shut_down();
}

//! How many workers there are and who may have them: limits, waiting, prewarming, retiring.

use super::caller::{Client, text};
use super::worker::FakeWorker;
use super::world::{Fault, World, spawn, until};
use crate::pool::borrow::{Borrower, Limits, borrow};
use crate::pool::slot::{Key, SlotState};
use crate::report::*;
use crate::worker::process::Worker;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

const ALICE: Key = Key { database: 5, user: 10, superuser: false };
const BOB: Key = Key { database: 5, user: 11, superuser: false };

fn client(world: &Arc<World>, key: Key) -> Client {
    Client::of(world, world.fork(), key)
}

/// A call that holds a worker until `free` is opened.
fn hold(world: &Arc<World>, key: Key, door: &'static str) -> std::thread::JoinHandle<bool> {
    let other = world.clone();
    let thread = spawn(move || client(&other, key).call(&format!("wait {door}")).is_ok());
    until(|| world.is_open(&format!("at {door}")), || "a worker is held".into());
    thread
}

fn waits(world: &World) -> u32 {
    world.faults.lock().unwrap().counts.get("wait_slot").copied().unwrap_or(0)
}

#[test]
fn a_role_at_its_limit_waits_and_others_do_not() {
    let world = World::new(4);
    let held = hold(&world, ALICE, "free");
    let mut alice = client(&world, ALICE);
    alice.limits = Limits { per_role: 1, timeout_ms: 500, ..alice.limits };
    let report = alice.call("put a").unwrap_err().report();
    assert_eq!(report.sqlstate, CONFIGURATION_LIMIT_EXCEEDED);
    assert_eq!(text(&report, Field::Message), "no autonomous worker became free within 500 ms");
    assert!(text(&report, Field::Hint).contains("aside.max_workers_per_role"));
    assert!((5..20).contains(&waits(&world)), "it waited all that time: {}", waits(&world));
    let mut bob = client(&world, BOB);
    bob.limits.per_role = 1;
    bob.call("put b").unwrap();
    world.open("free");
    assert!(held.join().unwrap());
    alice.limits.timeout_ms = 10_000_000;
    alice.call("put a").unwrap();
    world.shut_down();
}

#[test]
fn a_role_never_has_more_workers_than_it_may_however_many_ask_at_once() {
    let world = World::with_tasks(4, 100, 200);
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let world = world.clone();
            spawn(move || {
                let mut alice = client(&world, ALICE);
                alice.limits = Limits { per_role: 1, ..alice.limits };
                for m in 0..30 {
                    if n == 0 {
                        let task = alice.submit(&format!("alone; put t{m}")).unwrap();
                        alice.wait(&[task], None).unwrap();
                    } else {
                        alice.call(&format!("alone; put c{n}-{m}")).unwrap();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(world.commits.lock().unwrap().len(), 120);
    world.shut_down();
}

#[test]
fn a_full_pool_and_a_full_server_name_the_setting_that_is_short() {
    let world = World::new(1);
    let held = hold(&world, ALICE, "free");
    let mut bob = client(&world, BOB);
    bob.limits.timeout_ms = 300;
    let report = bob.call("put b").unwrap_err().report();
    assert!(text(&report, Field::Hint).contains("\"aside.max_workers\""));
    world.open("free");
    assert!(held.join().unwrap());
    world.shut_down();

    let world = World::new(4);
    world.max_worker_processes.store(0, SeqCst);
    let mut bob = client(&world, BOB);
    bob.limits.timeout_ms = 300;
    let report = bob.call("put b").unwrap_err().report();
    assert_eq!(report.sqlstate, CONFIGURATION_LIMIT_EXCEEDED);
    assert!(text(&report, Field::Hint).contains("\"max_worker_processes\""));
    assert_eq!((world.count(SlotState::Free), world.area.busy(), world.area.waiters()), (4, 0, 0));
}

#[test]
fn where_no_process_is_left_somebody_makes_room_for_one_worker() {
    let world = World::new(4);
    world.max_worker_processes.store(0, SeqCst);
    world.spare_processes.store(2, SeqCst);
    let mut bob = client(&world, BOB);
    bob.limits.timeout_ms = 10_000;
    assert!(bob.call("put b").is_ok());
    assert_eq!(world.spare_processes.load(SeqCst), 1, "for the first one only");
    // Another role waits for that worker, which leaves.
    let mut alice = client(&world, ALICE);
    alice.limits.timeout_ms = 10_000;
    assert!(alice.call("put a").is_ok());
    assert_eq!(world.spare_processes.load(SeqCst), 1);
    // And a call within a call, which that could not help.
    assert!(alice.call("nest put c").is_ok());
    assert_eq!(world.spare_processes.load(SeqCst), 0);
    world.shut_down();
}

#[test]
fn a_waiting_caller_gets_the_worker_that_is_given_back() {
    let world = World::new(1);
    let held = hold(&world, ALICE, "free");
    let other = world.clone();
    let waiting = spawn(move || client(&other, ALICE).call("put a").is_ok());
    until(|| world.area.waiters() == 1 && waits(&world) > 1, || "the second call waits".into());
    world.open("free");
    assert!(held.join().unwrap() && waiting.join().unwrap());
    assert_eq!(world.launched.lock().unwrap().len(), 1, "no second worker");
    world.shut_down();
}

#[test]
fn a_session_that_calls_in_a_loop_does_not_starve_one_that_waits() {
    let world = World::new(1);
    let busy = client(&world, ALICE);
    busy.call("ok").unwrap();
    let other = world.clone();
    let waiting = spawn(move || client(&other, ALICE).call("put a").is_ok());
    for calls in 0.. {
        if waiting.is_finished() {
            break;
        }
        assert!(calls < 20_000, "starved");
        busy.call("ok").unwrap();
    }
    assert!(waiting.join().unwrap());
    world.shut_down();
}

#[test]
fn a_session_stands_aside_now_and_then_while_others_wait() {
    let world = World::new(1);
    let busy = client(&world, ALICE);
    busy.call("ok").unwrap();
    world.area.header.waiters.fetch_add(1, SeqCst);
    for _ in 0..50 {
        busy.call("ok").unwrap();
    }
    assert!((2..=8).contains(&waits(&world)), "stood aside {} times in 50", waits(&world) / 2);
    world.area.header.waiters.fetch_sub(1, SeqCst);
    world.shut_down();
}

#[test]
fn nested_calls_work_and_those_that_only_ancestors_could_serve_fail_at_once() {
    let world = World::new(2);
    let outer = client(&world, ALICE);
    outer.call("put a; nest put b").unwrap();
    assert!(world.committed("a") && world.committed("b"));
    let report = outer.call("put c; nest put d, nest put e").unwrap_err().report();
    assert_eq!(report.sqlstate, CONFIGURATION_LIMIT_EXCEEDED);
    assert_eq!(text(&report, Field::Message), "no worker is left for this autonomous transaction");
    assert!(text(&report, Field::Hint).contains("\"aside.max_workers\""));
    assert_eq!(waits(&world), 0, "nobody waited for it");
    assert!(!world.committed("c") && !world.committed("d") && !world.committed("e"));
    world.shut_down();
}

#[test]
fn a_session_has_no_more_workers_at_any_depth_than_it_may() {
    let world = World::new(4);
    let me = world.fork();
    let session = Client::of(&world, me.clone(), ALICE);
    // The session is itself a worker's process here: one lease above it, and one asked for.
    let worker: &'static Worker<'static> = Box::leak(Box::new(Worker::new(world.area)));
    let h = FakeWorker::new(world.clone(), me.clone(), worker, ALICE);
    let generation = world.area.slots[3].claim(SlotState::Free, 0, (1, 1)).unwrap();
    world.area.header.busy.fetch_add(1, Relaxed);
    assert!(worker.attach(&h, 3, generation));
    let limited = |per_session| {
        let limits = Limits { per_session, timeout_ms: 1_000, ..Limits::default() };
        borrow(&session, &world.area, &Borrower::default(), ALICE, &limits, None)
    };
    assert!(limited(1).is_err(), "the one that it runs in counts");
    assert_eq!(waits(&world), 0, "and waiting would not help");
    *session.midwife.borrow_mut() = Some(Box::new(|_, _| {}));
    let lease = limited(2).unwrap().lease;
    assert!(world.area.give_back(&world.area.slots[lease.slot as usize], lease.generation));
    worker.leave(&h);
    assert!(world.area.release(&world.area.slots[3], generation));
    world.shut_down();
}

#[test]
fn an_idle_worker_of_another_key_makes_room() {
    let world = World::new(1);
    for round in 0..10 {
        client(&world, if round % 2 == 0 { ALICE } else { BOB }).call(&format!("put a{round}; iam 5 {}", 10 + round % 2)).unwrap();
    }
    assert_eq!(world.commits.lock().unwrap().len(), 10);
    world.shut_down();
}

#[test]
fn the_first_call_warms_as_many_workers_as_are_to_stay() {
    let world = World::new(4);
    let mut first = client(&world, ALICE);
    first.limits.min_workers = 3;
    first.call("put a").unwrap();
    until(|| world.count(SlotState::Idle) == 3, || "three workers are there".into());
    assert_eq!(world.count(SlotState::Free), 1);
    world.shut_down();
}

#[test]
fn a_prewarmed_worker_that_did_not_start_does_not_keep_its_slot() {
    let world = World::new(2);
    world.inject("start", 2, Fault::Die);
    let mut first = client(&world, ALICE);
    first.limits.min_workers = 2;
    first.call("put a").unwrap();
    let second = Client::of(&world, first.me.clone(), BOB);
    until(|| world.launched.lock().unwrap()[&1].gone.load(SeqCst), || "the second worker failed to start".into());
    second.call("put b").unwrap();
    world.shut_down();
}

#[test]
fn idle_workers_leave_after_their_time_but_for_those_that_are_to_stay() {
    for (min_workers, rounds) in [(0, 3), (1, 10), (2, 10)] {
        for _ in 0..rounds {
            let world = World::new(4);
            let mut first = client(&world, ALICE);
            first.limits.min_workers = 4;
            first.call("put a").unwrap();
            until(|| world.count(SlotState::Idle) == 4, || "all are there".into());
            // All see at once that their time is up.
            *world.config.lock().unwrap() = crate::host::WorkerConfig {
                idle_timeout_ms: 5_000,
                min_workers,
                poll_us: 0,
                nap_ms: 10,
                plan_cache_size: 8,
                session_idle_ms: 0,
                block_idle_ms: 0,
                result_bytes: u64::MAX,
                role_bytes: 0,
            };
            world.wake_all();
            let left = || world.count(SlotState::Idle) == min_workers as usize && world.count(SlotState::Free) == 4 - min_workers as usize;
            until(left, || format!("{min_workers} stay: {:?}", world.area.slots.iter().map(|s| s.state()).collect::<Vec<_>>()));
            assert!(world.low_water(|| world.count(SlotState::Idle)) >= min_workers as usize, "and they stay");
            world.shut_down();
        }
    }
}

#[test]
fn retiring_a_database_takes_its_idle_workers_and_no_others() {
    let world = World::new(3);
    let elsewhere = Key { database: 6, user: 10, superuser: false };
    client(&world, elsewhere).call("put a").unwrap();
    client(&world, ALICE).call("put b").unwrap();
    let held = hold(&world, BOB, "free");
    let retire = || world.area.retire(5, |slot| world.by_latch(slot.worker_proc().unwrap()).unwrap().wake());
    until(|| retire() == 0, || "the idle worker of the database has gone".into());
    assert_eq!((world.count(SlotState::Idle), world.count(SlotState::Busy), world.count(SlotState::Free)), (1, 1, 1));
    world.open("free");
    assert!(held.join().unwrap());
    world.shut_down();
}

#[test]
fn a_slot_claimed_a_moment_ago_is_not_judged_by_who_had_it_before() {
    let world = World::new(1);
    let slot = &world.area.slots[0];
    // Its last caller has exited, its last worker too; a claimant has not written its name yet.
    let last = client(&world, ALICE);
    let generation = slot.claim(SlotState::Free, 0, (last.me.pid, last.me.proc)).unwrap();
    assert!(slot.change(generation, SlotState::Busy, SlotState::Free));
    let generation = slot.half_claim(SlotState::Free, generation);
    crate::caller::leave::leave(&last, &world.area, last.caller);
    assert!(!slot.abandoned(generation) && !slot.gate.cancelled(generation), "not the exiting caller's lease");
    last.me.gone.store(true, SeqCst);
    let mut other = client(&world, BOB);
    other.limits.timeout_ms = 0;
    assert!(other.call("put b").is_err());
    assert_eq!(slot.state(), (SlotState::Busy, generation), "nor one that a dead launcher left");
}

#[test]
fn a_late_worker_and_a_caller_that_takes_its_slot_over_cannot_both_have_it() {
    let world = World::new(1);
    let slot = &world.area.slots[0];
    let (mut came, mut taken) = (0, 0);
    for _ in 0..2_000 {
        let generation = slot.claim(SlotState::Free, slot.state().1, (1, 1)).unwrap();
        slot.set_key(ALICE);
        world.area.header.busy.fetch_add(1, Relaxed);
        let (attached, borrowed) = std::thread::scope(|s| {
            let late = s.spawn(|| slot.attach(generation, 77, 7, 0));
            let other = s.spawn(|| {
                let bob = client(&world, BOB);
                *bob.midwife.borrow_mut() = Some(Box::new(|_, _| {}));
                borrow(&bob, &world.area, &Borrower::default(), BOB, &Limits::default(), None).ok().map(|b| b.lease)
            });
            (late.join().unwrap(), other.join().unwrap())
        });
        assert!(!(attached && borrowed.is_some()), "both have it");
        came += u32::from(attached);
        taken += u32::from(borrowed.is_some());
        slot.detach();
        world.area.give_back(slot, slot.state().1);
        assert_eq!((slot.state().0, world.area.busy()), (SlotState::Free, 0));
    }
    assert!(came > 0 && taken > 0, "both happened: {came} came, {taken} were taken over");
}

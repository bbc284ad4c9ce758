//! How tasks come by workers: those that come, leave or are given back at the wrong moment, those that all wait.

use super::caller::{Client, text};
use super::sessions::said;
use super::tasks::{at, ends, forget_all, world};
use super::worker::main;
use super::world::{Fault, World, spawn, until};
use crate::pool::slot::{Lease, SlotState};
use crate::report::*;
use crate::task::TaskState;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// Workers sleep until they are woken; so many of them, all idle.
fn asleep(world: &Arc<World>, count: usize) {
    world.open("sleep soundly");
    let together = |world: Arc<World>| spawn(move || Client::new(&world).call("wait together").is_ok());
    let calls: Vec<_> = (0..count).map(|_| together(world.clone())).collect();
    until(|| world.count(SlotState::Busy) == count, || "all run".into());
    world.open("together");
    calls.into_iter().for_each(|call| assert!(call.join().unwrap()));
    slumber(world);
}

/// Until every worker sleeps.
fn slumber(world: &World) {
    let sound = || world.launched.lock().unwrap().values().all(|proc| proc.sound.load(SeqCst) || proc.gone.load(SeqCst));
    until(sound, || "all workers sleep".into());
}

#[test]
fn a_task_that_follows_another_runs_in_its_process() {
    let world = world(2);
    asleep(&world, 2);
    let client = Client::new(&world);
    let first = client.submit("wait first").unwrap();
    let pid = || client.look(first).unwrap().card.lease.map(|lease| client.pid_in(lease.slot as usize));
    let ran_in = pid().unwrap();
    let second = client.submit_as("wait second", |start| start.after = Some(first as u64)).unwrap();
    assert_eq!(client.state(second), Some(TaskState::Queued), "though another worker is idle");
    world.open("first");
    until(|| world.is_open("at second"), || "the second runs".into());
    let lease = client.look(second).unwrap().card.lease.unwrap();
    assert_eq!(client.pid_in(lease.slot as usize), ran_in);
    let third = client.submit_as("put c", |start| start.after = Some(client.submit("put d").unwrap() as u64)).unwrap();
    world.open("second");
    assert_eq!(ends(&client, third), TaskState::Done, "though what it follows had no worker yet");
    forget_all(&world, "");
}

#[test]
fn a_queued_task_starts_as_soon_as_a_worker_is_free_though_nobody_looks() {
    // The worker is idle before its caller gives it back.
    let give_back = |world: &Arc<World>, client: &Client| {
        let world = world.clone();
        *client.script.borrow_mut() = Some(Box::new(move |_| slumber(&world)));
    };
    for ending in ["call", "close", "task"] {
        let world = world(1);
        let client = Client::new(&world);
        world.open("sleep soundly");
        let other = Client::new(&world);
        match ending {
            "task" => {
                other.submit("wait go").unwrap();
                at(&world, "go");
                let id = client.submit("put a").unwrap();
                world.open("go");
                assert_eq!(ends(&client, id), TaskState::Done);
            }
            "close" => {
                other.open("s").unwrap();
                slumber(&world);
                let id = client.submit("put a").unwrap();
                assert_eq!(client.state(id), Some(TaskState::Queued));
                give_back(&world, &other);
                other.close("s").unwrap();
                assert_eq!(ends(&client, id), TaskState::Done, "{ending}");
            }
            _ => {
                let mut id = 0;
                let (submitter, inner) = (Client::new(&world), world.clone());
                let submitted = Arc::new(std::sync::Mutex::new(0));
                let told = submitted.clone();
                *other.script.borrow_mut() = Some(Box::new(move |n| {
                    if n == 1 {
                        inner.open("go");
                        slumber(&inner);
                        *told.lock().unwrap() = submitter.submit("put a").unwrap();
                    }
                }));
                other.call("wait go").unwrap();
                std::mem::swap(&mut id, &mut submitted.lock().unwrap());
                assert_eq!(ends(&client, id), TaskState::Done, "{ending}");
            }
        }
        assert!(world.committed("a") || ending == "task", "{ending}");
        forget_all(&world, ending);
    }
}

#[test]
fn quotas_delay_tasks_and_lose_none() {
    for (per_role, per_session) in [(1, 0), (0, 1)] {
        let world = world(3);
        let mut client = Client::new(&world);
        (client.limits.per_role, client.limits.per_session) = (per_role, per_session);
        let ids: Vec<_> = (0..4).map(|n| client.submit(&format!("put t{n}; wait go")).unwrap()).collect();
        at(&world, "go");
        assert_eq!(world.count(SlotState::Tasked), 1);
        world.open("go");
        for id in ids {
            assert_eq!(ends(&client, id), TaskState::Done);
        }
        forget_all(&world, "");
    }
}

#[test]
fn at_random_queued_tasks_run_one_by_one_in_their_order_where_one_is_allowed() {
    let seeds =
        std::env::var("ASIDE_SEED").ok().and_then(|seed| seed.parse().ok()).map_or(vec![1, 2, 3, fastrand::u64(..)], |seed| vec![seed]);
    for seed in seeds {
        eprintln!("ASIDE_SEED={seed}");
        let world = World::with_tasks(4, 300, 600);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut client = Client::new(&world);
        client.limits.per_session = 1;
        // Others submit, wait and call meanwhile: each of them gives workers to tasks.
        let others: Vec<_> = (0..3)
            .map(|n| {
                let (world, seed) = (world.clone(), rng.u64(..));
                spawn(move || {
                    let (client, mut rng) = (Client::new(&world), fastrand::Rng::with_seed(seed));
                    for m in 0..40 {
                        let id = client.submit(&format!("put o{n}-{m}")).unwrap();
                        if rng.bool() {
                            client.wait(&[id], None).unwrap();
                        }
                    }
                })
            })
            .collect();
        let ids: Vec<_> = (0..100)
            .map(|n| {
                (0..rng.u32(..4)).for_each(|_| std::thread::yield_now());
                client.submit(&format!("lock one; put t{n}; nap {}", rng.u32(..2))).unwrap()
            })
            .collect();
        ids.iter().for_each(|id| assert_eq!(ends(&client, *id), TaskState::Done));
        others.into_iter().for_each(|other| other.join().unwrap());
        let mine = |tag: &&str| tag.starts_with('t');
        let commits = world.commits.lock().unwrap().clone();
        let order: Vec<_> = commits.iter().map(|(_, tag)| tag.as_str()).filter(mine).collect();
        assert_eq!(order, (0..100).map(|n| format!("t{n}")).collect::<Vec<_>>());
        forget_all(&world, "");
    }
}

#[test]
fn a_worker_that_never_came_is_replaced_whoever_waits() {
    for waits in ["wait", "call", "nobody"] {
        let world = world(1);
        world.inject("start", 1, Fault::Die);
        let client = Client::new(&world);
        let id = client.submit("put a").unwrap();
        until(|| world.launched.lock().unwrap()[&0].gone.load(SeqCst), || "it will not come".into());
        match waits {
            "wait" => assert_eq!(client.wait(&[id], None).unwrap(), Some(id)),
            "call" => _ = client.call("put b").unwrap(),
            // It is found by who comes next with a task of its own.
            _ => _ = client.submit("put b").unwrap(),
        }
        assert_eq!(ends(&client, id), TaskState::Done, "{waits}");
        assert!(world.committed("a"));
        forget_all(&world, waits);
    }
}

#[test]
fn a_worker_that_is_not_let_in_fails_the_task_with_its_last_words() {
    let world = world(1);
    world.inject("connect", 1, Fault::Die);
    let client = Client::new(&world);
    let id = client.submit("put a").unwrap();
    assert_eq!(said(client.task_result(id)), (ADMIN_SHUTDOWN, "role is not permitted to log in".into()));
    assert_eq!(client.state(id), Some(TaskState::Failed));
    forget_all(&world, "");
}

#[test]
fn a_worker_quicker_than_the_submitter_that_launched_it_gets_its_task() {
    let world = world(1);
    world.open("sleep soundly");
    let client = Client::new(&world);
    let (other, key) = (world.clone(), client.key);
    *client.midwife.borrow_mut() = Some(Box::new(move |slot, generation| {
        let (world, me) = (other.clone(), other.fork());
        other.launched.lock().unwrap().insert(slot, me.clone());
        let pid = me.pid;
        spawn(move || main(world, me, false, Lease { slot, generation }, key));
        until(|| other.area.slots[0].worker_pid.load(SeqCst) == pid, || "the worker has come".into());
        until(|| other.steps().ends_with("clean") || other.by_pid(pid).is_some_and(|p| p.sound.load(SeqCst)), || "and looked".into());
    }));
    let id = client.submit("put a").unwrap();
    assert_eq!(ends(&client, id), TaskState::Done);
    forget_all(&world, "");
}

#[test]
fn a_worker_that_leaves_as_it_is_given_a_task_does_not_take_it_along() {
    // Before it can know of the task; and with the task posted.
    for knows in [false, true] {
        let world = World::new(2);
        asleep(&world, 1);
        world.lay_out_tasks(4, 4);
        let client = Client::new(&world);
        let worker = world.by_pid(client.pid_in(0)).unwrap();
        let mut calls = 0;
        *client.chime.borrow_mut() = Some(Box::new(move || {
            calls += 1;
            // The second time that the submitter asks for the time it has claimed the worker.
            if calls == 2 {
                worker.die.store(true, SeqCst);
                if !knows {
                    worker.wake();
                    until(|| worker.gone.load(SeqCst), || "the worker leaves".into());
                }
            }
        }));
        let id = client.submit("put a").unwrap();
        client.chime.take();
        assert_eq!(client.wait(&[id], None).unwrap(), Some(id), "{knows}");
        assert_eq!(client.state(id), Some(TaskState::Done), "{knows}");
        forget_all(&world, "");
    }
}

#[test]
fn a_worker_that_is_about_to_go_is_not_taken_for_one_that_never_came() {
    let world = world(1);
    world.inject("commit:settled", 1, Fault::Die);
    world.open("hold drop_file");
    let submitter = Client::new(&world);
    let a = submitter.submit("put a").unwrap();
    until(|| world.is_open("at drop_file"), || "the worker is about to say how its task ended".into());
    submitter.leave();
    let client = Client::new(&world);
    let b = client.submit("put b").unwrap();
    assert_eq!(client.wait(&[a, b], Some(500)).unwrap(), None);
    world.open("drop_file");
    client.task_result(b).unwrap();
    assert_eq!((client.state(a), world.times("a")), (Some(TaskState::Failed), 1), "it is not run again");
    forget_all(&world, "");
}

#[test]
fn a_worker_finds_its_task_whatever_an_older_lease_has_named() {
    let world = world(1);
    let client = Client::new(&world);
    let (other, key) = (world.clone(), client.key);
    *client.midwife.borrow_mut() = Some(Box::new(move |slot, generation| {
        other.area.slots[0].task.store(5, SeqCst);
        other.area.slots[0].post_unless_later(generation - 1);
        let (world, me) = (other.clone(), other.fork());
        spawn(move || main(world, me, false, Lease { slot, generation }, key));
    }));
    let id = client.submit("put a").unwrap();
    assert_eq!(ends(&client, id), TaskState::Done);
    forget_all(&world, "");
}

#[test]
fn a_slot_judged_to_be_late_while_it_is_claimed_loses_no_task() {
    let world = world(1);
    let client = Client::new(&world);
    client.call("put first").unwrap();
    world.signal(client.pid_in(0), true);
    until(|| world.count(SlotState::Free) == 1, || "the worker has gone".into());
    let (other, mut calls) = (Client::new(&world), 0);
    other.me.pass_us(3_600_000_000);
    *client.chime.borrow_mut() = Some(Box::new(move || {
        calls += 1;
        if calls == 2 {
            // The slot still bears the time at which it was used last.
            _ = other.submit("put b").unwrap();
        }
    }));
    let id = client.submit("put a").unwrap();
    client.chime.take();
    assert_eq!(client.wait(&[id], None).unwrap(), Some(id));
    world.tasks_end("");
    assert!(world.times("a") == 1 && world.times("b") == 1);
    forget_all(&world, "");
}

#[test]
fn a_task_that_wants_a_lock_of_who_waits_for_it_is_a_deadlock() {
    let world = world(2);
    let client = Client::new(&world);
    client.lock("l");
    let id = client.submit("put a; lock l").unwrap();
    let report = client.task_result(id).unwrap_err().report();
    assert_eq!(report.sqlstate, DEADLOCK_DETECTED);
    assert!(text(&report, Field::Detail).contains("waits for its autonomous transaction"), "{report:?}");
    assert_eq!(client.state(id), Some(TaskState::Failed));
    world.unlock(client.me.pid);
    assert!(!world.committed("a"));
    forget_all(&world, "");
}

#[test]
fn tasks_that_wait_for_tasks_of_their_own_do_not_block_the_pool_for_ever() {
    for slots in 1..=3 {
        let world = World::with_tasks(slots, 12, 12);
        let client = Client::new(&world);
        let ids: Vec<_> = (0..slots).map(|n| client.submit(&format!("put a{n}; async put b{n}")).unwrap()).collect();
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(client.wait(&[*id], None).unwrap(), Some(*id));
            let told = client.task_result(*id);
            assert_eq!(world.committed(&format!("a{n}")), told.is_ok());
            if told.is_err() {
                assert_eq!(said(told), (DEADLOCK_DETECTED, "deadlock detected".into()));
            }
        }
        forget_all(&world, "");
    }
}

#[test]
fn a_call_that_waits_for_a_task_which_waits_for_its_worker_is_a_deadlock() {
    let world = world(1);
    let told = Client::new(&world).call("put a; async put b");
    assert_eq!(said(told), (DEADLOCK_DETECTED, "deadlock detected".into()));
    assert!(!world.committed("a"));
    forget_all(&world, "");
}

#[test]
fn a_task_that_its_sessions_quota_keeps_waiting_behind_one_that_waits_for_its_waiter_is_a_deadlock() {
    let world = world(3);
    let other = Client::new(&world);
    let busy = other.submit("wait done").unwrap();
    at(&world, "done");
    let mut client = Client::new(&world);
    client.limits.per_session = 1;
    client.lock("l");
    client.submit("lock l").unwrap();
    let queued = client.submit("put a").unwrap();
    assert_eq!(said(client.wait(&[queued], None)).0, DEADLOCK_DETECTED, "though other workers go on");
    world.unlock(client.me.pid);
    assert_eq!(ends(&client, queued), TaskState::Done);
    world.open("done");
    assert_eq!(ends(&client, busy), TaskState::Done);
    forget_all(&world, "");
}

#[test]
fn who_waits_for_a_task_of_a_transaction_that_waits_for_it_is_in_a_deadlock() {
    let world = world(1);
    let (submitter, waiter) = (Client::new(&world), Client::new(&world));
    let pending = submitter.submit_as("put a", |start| start.on_commit = Some(1)).unwrap();
    submitter.me.waits_for.store(waiter.me.pid, SeqCst);
    assert_eq!(said(waiter.wait(&[pending], None)).0, DEADLOCK_DETECTED);
    submitter.me.waits_for.store(0, SeqCst);
    submitter.end_transaction(true);
    assert_eq!(ends(&waiter, pending), TaskState::Done);
    forget_all(&world, "");
}

#[test]
fn a_chain_of_two_tasks_and_their_waiters_has_one_victim() {
    let world = world(2);
    let waiter = |name: &'static str, other: &'static str| {
        let world = world.clone();
        spawn(move || {
            let client = Client::new(&world);
            client.lock(name);
            world.open(name);
            until(|| world.is_open(other), || "both hold their locks".into());
            let id = client.submit(&format!("put {name}; lock {other}")).unwrap();
            let told = client.task_result(id).map_err(|told| told.report().sqlstate);
            world.unlock(client.me.pid);
            told
        })
    };
    let told = [waiter("l", "m"), waiter("m", "l")].map(|waiter| waiter.join().unwrap());
    assert_eq!(told.iter().filter(|told| **told == Err(DEADLOCK_DETECTED)).count(), 1, "{told:?}");
    assert_eq!([world.committed("l"), world.committed("m")], [told[0].is_ok(), told[1].is_ok()]);
    forget_all(&world, "");
}

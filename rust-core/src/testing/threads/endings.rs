//! How calls end before their time: cancelled, terminated, deadlocked. Who wins at the gate, who is
//! told what, and that nothing outlives the call that it was for.

use super::caller::{Client, ClientError, text, worker_of};
use super::world::{World, spawn, until};
use crate::pool::slot::SlotState;
use crate::report::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;
use std::thread::JoinHandle;

/// A call in a backend of its own.
struct Running {
    me: Arc<super::world::Proc>,
    worker: Arc<super::world::Proc>,
    thread: JoinHandle<Result<u64, ClientError>>,
}

/// Start a call and wait until its worker stands at a door.
fn start(world: &Arc<World>, command: &str, door: &str) -> Running {
    let (other, me, command) = (world.clone(), world.fork(), command.to_owned());
    let process = me.clone();
    let thread = spawn(move || {
        let key = crate::pool::slot::Key { database: 5, user: 10, superuser: false };
        Client::of(&other, process, key).call(&command)
    });
    until(|| world.is_open(&format!("at {door}")), || format!("the worker is at {door}"));
    let worker = worker_of(world, me.pid).unwrap();
    Running { me, worker, thread }
}

impl Running {
    fn cancel(&self) {
        self.me.cancel.store(true, SeqCst);
        self.me.wake();
    }

    fn ended(self) -> Result<u64, u32> {
        self.thread.join().unwrap().map_err(|told| told.report().sqlstate)
    }

    fn told(self) -> ClientError {
        self.thread.join().unwrap().unwrap_err()
    }
}

fn signals(world: &World) -> Vec<bool> {
    world.signals.lock().unwrap().iter().map(|(_, terminate)| *terminate).collect()
}

#[test]
fn a_cancelled_call_commits_nothing_and_its_signals_do_not_reach_the_next_caller() {
    let world = World::new(1);
    for round in 0..20 {
        let door = format!("door{round}");
        let call = start(&world, &format!("put a; wait {door}"), &door);
        let worker = call.worker.pid;
        call.cancel();
        let told = call.told();
        assert!(matches!(&told, ClientError::Saved(e, detail) if e.contains("canceling") && detail.is_empty()), "{told:?}");
        let client = Client::new(&world);
        client.call(&format!("nap 3; put b{round}")).unwrap();
        assert_eq!(world.log.lock().unwrap().last().unwrap().0, worker, "the worker is lent again");
    }
    assert!(!world.committed("a"));
    assert!(world.committed("b19"));
    assert!(world.steps().contains("abort clean forget_cancel"));
    assert!(!signals(&world).contains(&true), "SIGINT was enough");
    world.shut_down();
}

#[test]
fn a_worker_that_is_cancelled_while_it_computes_is_stopped_at_its_commit() {
    let world = World::new(1);
    let call = start(&world, "put a; hang door", "door");
    call.cancel();
    until(|| !signals(&world).is_empty(), || "the worker was asked to stop".into());
    world.open("door");
    assert!(call.told().detail().is_empty());
    assert!(!world.committed("a"));
    world.shut_down();
}

#[test]
fn a_worker_that_ignores_sigint_for_two_seconds_gets_sigterm() {
    let world = World::new(1);
    let call = start(&world, "put a; stuck door", "door");
    call.cancel();
    assert!(call.told().detail().is_empty());
    let signals = signals(&world);
    let interrupts = signals.iter().take_while(|terminate| !**terminate).count();
    assert!((10..=21).contains(&interrupts), "one each 100 ms: {signals:?}");
    assert!(signals.contains(&true));
    assert!(!world.committed("a"));
    world.shut_down();
}

#[test]
fn a_worker_that_ignores_everything_is_left_behind_and_still_cannot_commit() {
    let world = World::new(2);
    let call = start(&world, "put a; hang door", "door");
    let worker = call.worker.clone();
    call.cancel();
    assert!(call.told().detail().is_empty(), "the caller does not wait for ever");
    assert_eq!(world.count(SlotState::Busy), 1, "and nobody else gets the worker");
    Client::new(&world).call("put b").unwrap();
    world.open("door");
    world.settle();
    until(|| worker.gone.load(SeqCst), || "the worker ends when it hears again".into());
    assert!(!world.committed("a"));
    world.shut_down();
}

#[test]
fn a_commit_that_has_won_is_left_in_peace_and_told_of() {
    let world = World::new(1);
    world.open("hold commit:waits");
    let call = start(&world, "put a", "commit:waits");
    let worker = call.worker.pid;
    call.cancel();
    until(|| !signals(&world).is_empty(), || "the caller's patience ended".into());
    assert!(call.me.now_us() >= 1_000_000, "not before a second has passed");
    world.open("commit:waits");
    assert_eq!(call.told().detail(), "The autonomous transaction had already committed.");
    assert!(world.committed("a"));
    assert!(!signals(&world).contains(&true));
    Client::new(&world).call("nap 3; put b").unwrap();
    assert_eq!(world.log.lock().unwrap().last().unwrap().0, worker);
    world.shut_down();
}

#[test]
fn a_worker_that_vanishes_in_a_commit_that_has_won_is_asked_after() {
    for (fate, says) in [("committed", "had already committed."), ("aborted", ""), ("unknown", "is unknown.")] {
        let world = World::new(1);
        world.open("hold commit:waits");
        world.outcome_unknown.store(fate == "unknown", SeqCst);
        let call = start(&world, "put a", "commit:waits");
        call.cancel();
        until(|| !signals(&world).is_empty(), || "the caller waits for the commit's end".into());
        // Dies where the record is written, or (aborted) is made to believe so.
        world.inject("commit:recorded", 1, super::world::Fault::Die);
        if fate == "aborted" {
            world.open("lose commits");
        }
        world.open("commit:waits");
        let detail = call.told().detail();
        assert!(if says.is_empty() { detail.is_empty() } else { detail.ends_with(says) }, "{fate}: {detail}");
        world.shut_down();
    }
}

#[test]
fn a_cancel_that_lost_against_one_commit_of_several_stops_the_next() {
    let world = World::new(1);
    world.open("hold commit:waits");
    let call = start(&world, "put a1; commit; put a2; hang between; commit; put a3", "commit:waits");
    call.cancel();
    until(|| !signals(&world).is_empty(), || "the caller's patience ended".into());
    world.open("commit:waits");
    until(|| world.is_open("at between"), || "the worker goes on".into());
    let (slot, generation) = (&world.area.slots[0], world.area.slots[0].state().1);
    until(|| slot.gate.cancelled(generation), || "the rest is cancelled".into());
    world.open("between");
    let told = call.told();
    assert_eq!(told.detail(), "The autonomous command had already committed 1 of its transactions.");
    assert!(world.committed("a1"));
    assert!(!world.committed("a2") && !world.committed("a3"));
    world.shut_down();
}

#[test]
fn each_depth_is_told_of_when_an_inner_commit_has_won() {
    for (inner, last, said) in [
        ("put b", "b", "The autonomous transaction at depth 2 had already committed."),
        ("put x, commit, put b", "x", "The autonomous command at depth 2 had already committed some of its transactions."),
    ] {
        let world = World::new(2);
        world.open("hold commit:waits");
        let call = start(&world, &format!("put a; nest {inner}"), "commit:waits");
        call.cancel();
        until(
            || world.area.slots.iter().all(|s| s.gate.cancelled(s.state().1) || s.caller_pid.load(SeqCst) != call.me.pid),
            || "cancelled".into(),
        );
        world.open("commit:waits");
        assert_eq!(call.told().detail(), said);
        assert!(world.committed(last) && !world.committed("a"), "{said}");
        assert_eq!(world.committed("b"), last == "b");
        world.shut_down();
    }
}

#[test]
fn a_commit_that_won_as_one_of_several_is_counted_even_if_its_worker_vanishes() {
    for (unknown, says) in [(false, "committed 2 of its transactions."), (true, "Whether the next one committed is unknown.")] {
        let world = World::new(1);
        world.outcome_unknown.store(unknown, SeqCst);
        let call = start(&world, "put a1; commit; put a2; stuck here; commit", "here");
        world.open("hold commit:waits");
        world.open("here");
        until(|| world.is_open("at commit:waits"), || "the second commit is under way".into());
        call.cancel();
        until(|| !signals(&world).is_empty(), || "the caller waits for its end".into());
        world.inject("commit:recorded", 2, super::world::Fault::Die);
        world.open("commit:waits");
        let detail = call.told().detail();
        assert!(detail.ends_with(says), "{detail}");
        assert!(world.committed("a1") && world.committed("a2"));
        world.shut_down();
    }
}

#[test]
fn a_cancel_after_one_commit_of_several_tells_of_that_one() {
    let world = World::new(1);
    let call = start(&world, "put a1; commit; put a2; wait door", "door");
    call.cancel();
    assert_eq!(call.told().detail(), "The autonomous command had already committed 1 of its transactions.");
    assert!(world.committed("a1") && !world.committed("a2"));
    world.shut_down();
}

#[test]
fn a_caller_that_exits_takes_its_worker_with_it_and_the_slot_is_given_back() {
    let world = World::new(1);
    let call = start(&world, "put a; wait door", "door");
    call.me.die.store(true, SeqCst);
    call.me.wake();
    until(|| call.worker.gone.load(SeqCst), || "the worker was terminated".into());
    world.settle();
    assert_eq!(signals(&world), [true]);
    assert_eq!(world.count(SlotState::Free), 1);
    assert!(!world.committed("a"));
    Client::new(&world).call("put b").unwrap();
    world.shut_down();
}

#[test]
fn a_caller_that_exits_while_its_worker_hangs_still_keeps_it_from_committing() {
    let world = World::new(1);
    let call = start(&world, "put a; hang door", "door");
    call.me.die.store(true, SeqCst);
    call.me.wake();
    until(|| call.me.gone.load(SeqCst), || "the caller does not wait".into());
    assert_eq!(world.count(SlotState::Busy), 1);
    world.open("door");
    world.settle();
    assert!(!world.committed("a"));
    world.shut_down();
}

#[test]
fn a_call_whose_worker_waits_for_it_is_a_deadlock_and_says_so() {
    let world = World::new(1);
    let client = Client::new(&world);
    let report = client.call("put a; lock").unwrap_err().report();
    assert_eq!((report.sqlstate, text(&report, Field::Message)), (DEADLOCK_DETECTED, "deadlock detected".into()));
    let detail = text(&report, Field::Detail);
    assert!(detail.contains("waits for a lock of process") && detail.contains("waits for its autonomous transaction"), "{detail}");
    assert!(!world.committed("a"));
    client.call("nap 3; put b").unwrap();
    let plain = client.call("put c; raise other").unwrap_err().report();
    assert_eq!(plain.sqlstate, SYNTAX_ERROR, "the mark is gone with the lease");
    world.shut_down();
}

#[test]
fn a_pin_of_the_callers_that_its_worker_waits_for_is_a_deadlock_and_anothers_is_not() {
    let world = World::new(1);
    let other = world.fork();
    let call = start(&world, "put a; wait door", "door");
    call.worker.waits_for_pin.store(other.pid, SeqCst);
    let (waited, worker) = (call.me.now_us() + 3_000_000, call.worker.pid);
    until(|| call.me.now_us() > waited, || "the caller waits".into());
    assert!(signals(&world).is_empty(), "another's pin");
    call.worker.waits_for_pin.store(call.me.pid, SeqCst);
    let report = call.told().report();
    assert_eq!(report.sqlstate, DEADLOCK_DETECTED);
    let detail = text(&report, Field::Detail);
    assert!(detail.contains("waits for a buffer that process") && detail.contains("waits for its autonomous transaction"), "{detail}");
    assert_eq!(world.area.holders_of_pin(worker), [], "what was said of pins is taken back");
    world.shut_down();
}

#[test]
fn pins_of_two_callers_that_their_workers_wait_for_crosswise_are_a_deadlock_with_one_victim() {
    let world = World::new(2);
    let calls = ["one", "two"].map(|door| start(&world, &format!("put {door}; wait {door}"), door));
    let [one, two] = &calls;
    one.worker.waits_for_pin.store(two.me.pid, SeqCst);
    two.worker.waits_for_pin.store(one.me.pid, SeqCst);
    until(|| !signals(&world).is_empty(), || "one is the victim".into());
    world.open("one");
    world.open("two");
    let ended = calls.map(Running::ended);
    assert!(ended.contains(&Ok(0)) && ended.contains(&Err(DEADLOCK_DETECTED)), "{ended:?}");
    world.shut_down();
}

#[test]
fn a_plain_cancel_is_not_taken_for_a_deadlock() {
    let world = World::new(1);
    let call = start(&world, "wait door", "door");
    world.signal(call.worker.pid, false);
    let report = call.told().report();
    assert_eq!(report.sqlstate, QUERY_CANCELED);
    world.shut_down();
}

#[test]
fn a_worker_that_is_told_to_end_says_why_and_the_caller_hears_it() {
    let world = World::new(1);
    let call = start(&world, "put a; wait door", "door");
    world.signal(call.worker.pid, true);
    let report = call.told().report();
    assert_eq!(report.sqlstate, CONNECTION_FAILURE);
    let detail = text(&report, Field::Detail);
    assert!(detail.starts_with("The autonomous transaction aborted.\nThe worker said: terminating"), "{detail}");
    world.shut_down();
}

#[test]
fn rows_and_messages_longer_than_the_ring_arrive_whole_and_in_order() {
    let world = World::new(1);
    let client = Client::new(&world);
    let long = "n".repeat(20_000);
    assert_eq!(client.call(&format!("notice first; notice {long}; rows 5 50000 wxyz")).unwrap(), 5);
    assert_eq!(*client.relayed.borrow(), ["first".to_owned(), long]);
    assert!(client.rows.borrow().iter().all(|row| *row == b"wxyz".repeat(12_500)));
    let command = format!("put a; notice {}", "m".repeat(40_000));
    client.call(&command).unwrap();
    world.shut_down();
}

#[test]
fn what_a_worker_says_after_its_answer_reaches_nobody() {
    let world = World::new(1);
    world.open("hold commit:settled");
    world.open("chatty");
    let first = Client::new(&world);
    first.call("put a").unwrap();
    until(|| world.is_open("at commit:settled"), || "the worker winds up".into());
    let second = Client::new(&world);
    let door = world.clone();
    *second.script.borrow_mut() = Some(Box::new(move |_| door.open("commit:settled")));
    second.call("put b; rows 2 10 xy").unwrap();
    assert_eq!(*second.relayed.borrow(), Vec::<String>::new());
    assert_eq!(second.rows.borrow().len(), 2);
    world.shut_down();
}

#[test]
fn an_error_after_the_answer_changes_nothing_but_the_worker() {
    for fault in [super::world::Fault::Fail, super::world::Fault::Die] {
        let world = World::new(1);
        world.inject("commit:settled", 1, fault);
        let client = Client::new(&world);
        client.call("put a").unwrap();
        client.call("put b").unwrap();
        assert!(world.committed("a") && world.committed("b"));
        let log = world.log.lock().unwrap().clone();
        assert_ne!(log[0].0, log.last().unwrap().0, "another worker");
        world.shut_down();
    }
}

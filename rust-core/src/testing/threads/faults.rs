//! A fault at every step of either side, each at every time that the step is reached: the caller is
//! told the truth about it, nothing stays open, and the next call works.

use super::caller::{Client, ClientError, text};
use super::world::{Fault, World, spawn, until};
use crate::report::*;
use std::sync::Arc;

/// Commands that together reach every step of a worker.
const COMMANDS: [&str; 3] = ["put a; notice n; rows 4 6000 xy", "put a", "put a; nap 4; notice n; put b; notice n"];
/// Steps of a worker that can fail.
const WORKER: [&str; 11] =
    ["adopt", "begin", "parse", "prepare", "keep_plan", "lock_plan", "run", "next_statement", "sink", "commit", "commit:gated"];

/// How often each step of a command is reached when nothing fails.
fn reached(command: &str, step: &str) -> u32 {
    let world = World::new(2);
    Client::new(&world).call(command).unwrap();
    world.shut_down();
    world.faults.lock().unwrap().counts.get(step).copied().unwrap_or(0)
}

/// Nothing is left of a call that met a fault: another caller can use every slot of the pool.
fn afterwards(world: &Arc<World>, case: &str) {
    assert!(world.faults.lock().unwrap().fired, "{case}: the fault was met");
    world.settle();
    for n in 0..world.area.slots.len() {
        let tag = format!("after {n}");
        let told = Client::new(world).call(&format!("put after{n}"));
        assert!(told.is_ok(), "{case}, {tag}: {told:?}");
    }
    world.shut_down();
}

/// For each step, each time it is reached.
fn each(steps: &[&'static str], mut check: impl FnMut(&Arc<World>, &'static str, &str, &str), fault: Fault) {
    for command in COMMANDS {
        for step in steps {
            for nth in 1..=reached(command, step) {
                let world = World::new(2);
                world.inject(step, nth, fault);
                let case = format!("{fault:?} at {step} {nth} of {command:?}");
                check(&world, step, command, &case);
                afterwards(&world, &case);
            }
        }
    }
}

#[test]
fn an_error_at_any_step_of_the_worker_is_the_callers_error_and_nothing_is_committed() {
    let mut cases = 0;
    let check = |world: &Arc<World>, step: &'static str, command: &str, case: &str| {
        cases += 1;
        let report = Client::new(world).call(command).expect_err(case).report();
        assert_eq!(text(&report, Field::Message), format!("injected at {step}"), "{case}");
        assert_eq!(*world.commits.lock().unwrap(), [], "{case}");
        assert_eq!(world.steps().matches("abort").count(), 1, "{case}: {}", world.steps());
    };
    each(&WORKER, check, Fault::Fail);
    assert!(cases > 25, "{cases} cases");
}

#[test]
fn a_worker_that_vanishes_before_its_commit_is_reported_and_has_committed_nothing() {
    let check = |world: &Arc<World>, _: &'static str, command: &str, case: &str| {
        let report = Client::new(world).call(command).expect_err(case).report();
        assert_eq!(report.sqlstate, CONNECTION_FAILURE, "{case}");
        assert_eq!(text(&report, Field::Detail), "The autonomous transaction aborted.", "{case}");
        assert_eq!(*world.commits.lock().unwrap(), [], "{case}");
    };
    each(&WORKER, check, Fault::Die);
}

#[test]
fn a_worker_that_vanishes_in_its_commit_is_asked_after_by_its_transaction() {
    let check = |world: &Arc<World>, _: &'static str, command: &str, case: &str| {
        let report = Client::new(world).call(command).expect_err(case).report();
        assert_eq!(report.sqlstate, CONNECTION_FAILURE, "{case}");
        assert_eq!(text(&report, Field::Detail), "The autonomous transaction committed.", "{case}");
        assert!(world.committed("a"), "{case}");
    };
    each(&["commit:recorded"], check, Fault::Die);
}

#[test]
fn a_worker_that_cannot_clean_up_has_done_its_work_and_is_used_no_more() {
    for fault in [Fault::Fail, Fault::Die] {
        let check = |world: &Arc<World>, _: &'static str, command: &str, case: &str| {
            let client = Client::new(world);
            assert!(client.call(command).is_ok(), "{case}");
            assert!(world.committed("a"), "{case}");
            let first = world.log.lock().unwrap()[0].0;
            until(|| !world.alive(first), || format!("{case}: the worker has left"));
            assert!(client.call("put b").is_ok(), "{case}");
            assert_ne!(world.log.lock().unwrap().last().unwrap().0, first, "{case}");
        };
        each(&["clean"], check, fault);
    }
}

#[test]
fn a_worker_that_never_comes_is_an_error_that_carries_its_last_words() {
    for (step, said) in [("start", ""), ("connect", "The worker said: role is not permitted to log in")] {
        let world = World::new(2);
        world.inject(step, 1, Fault::Die);
        let report = Client::new(&world).call("put a").unwrap_err().report();
        assert_eq!(text(&report, Field::Message), "could not start a worker for the autonomous transaction");
        assert_eq!(text(&report, Field::Detail), said);
        assert_eq!(text(&report, Field::Hint).starts_with("The server log says why."), said.is_empty());
        assert_eq!(*world.commits.lock().unwrap(), []);
        afterwards(&world, step);
    }
}

/// What a caller that met an error of its own host must have been told, and what must hold.
fn saved(world: &World, told: Result<u64, ClientError>, step: &str, case: &str) {
    match told.expect_err(case) {
        ClientError::Saved(error, amended) => {
            assert_eq!(error, format!("injected at {step}"), "{case}");
            let says = amended.iter().any(|line| line.contains("already committed"));
            assert_eq!(world.committed("a"), says, "{case}: {amended:?}");
        }
        ClientError::Report(report) => panic!("{case}: {report:?}"),
    }
}

#[test]
fn an_error_at_any_step_of_the_caller_stops_the_worker_or_tells_of_its_commit() {
    for command in COMMANDS {
        for (step, times) in [("launch", 1), ("sleep", 4), ("blockers", 3), ("relay", 2), ("row", 4)] {
            for nth in 1..=times {
                let world = World::new(2);
                world.inject(step, nth, Fault::Fail);
                let case = format!("{step} {nth} of {command:?}");
                let told = Client::new(&world).call(command);
                if !world.faults.lock().unwrap().fired {
                    assert!(told.is_ok(), "{case}: {told:?}");
                    world.shut_down();
                    continue;
                }
                saved(&world, told, step, &case);
                afterwards(&world, &case);
            }
        }
    }
}

#[test]
fn an_error_while_waiting_for_a_worker_leaves_nobody_counted_as_waiting() {
    for nth in 1..=3 {
        let world = World::new(1);
        let other = world.clone();
        let holder = spawn(move || Client::new(&other).call("wait holder").is_ok());
        until(|| world.is_open("at holder"), || "the only worker is taken".into());
        world.inject("wait_slot", nth, Fault::Fail);
        let case = format!("wait_slot {nth}");
        saved(&world, Client::new(&world).call("put a"), "wait_slot", &case);
        assert_eq!(world.area.waiters(), 0, "{case}");
        world.open("holder");
        assert!(holder.join().unwrap());
        afterwards(&world, &case);
    }
}

#[test]
fn a_caller_that_exits_at_any_step_leaves_its_worker_no_way_to_commit() {
    for (step, times) in [("sleep", 4), ("relay", 2), ("row", 4)] {
        for nth in 1..=times {
            let world = World::new(2);
            world.inject(step, nth, Fault::Die);
            let (other, me) = (world.clone(), world.fork());
            let (pid, key) = (me.pid, Client::new(&world).key);
            // The caller stands before the commit at each of these steps: the door is never opened.
            let command = "put a; notice n; rows 4 6000 xy; notice n; nap 4; wait door";
            spawn(move || Client::of(&other, me, key).call(command).is_ok());
            until(|| !world.alive(pid), || format!("the caller has exited at {step} {nth}"));
            world.settle();
            assert!(!world.committed("a"), "{step} {nth}");
            afterwards(&world, &format!("exit at {step} {nth}"));
        }
    }
}

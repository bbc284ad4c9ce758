//! A fault at every step of either side of a session, each at every time that the step is reached: its owner
//! is told the truth, the name is free if the worker is gone, and nothing stays open.

use super::caller::{Client, ClientError};
use super::sessions::read_all;
use super::world::{Fault, World, spawn, until};
use crate::pool::slot::SlotState;
use crate::report::*;
use std::sync::{Arc, Mutex};

/// What a session is asked to do, and the tag that is committed with it.
const STEPS: [(&str, &str, &str); 9] = [
    ("open", "", ""),
    ("exec", "put a; rows 2 3 xyz; notice n", "a"),
    ("exec", "begin; put never", ""),
    ("exec", "rollback", ""),
    ("exec", "begin; put b", ""),
    ("exec", "commit", "b"),
    ("send", "rows 40 600 xyz; put c; notice n; rows 2 3 xyz", "c"),
    ("cancelled", "put never; wait never", ""),
    ("close", "", ""),
];
const WORKER: [&str; 13] = [
    "adopt",
    "begin",
    "parse",
    "prepare",
    "keep_plan",
    "lock_plan",
    "run",
    "next_statement",
    "sink",
    "commit",
    "commit:gated",
    "commit:settled",
    "rest",
];

/// Take one step of the script.
fn take(client: &Client, (verb, command, _): (&str, &str, &str)) -> Result<(), ClientError> {
    match verb {
        "open" => client.open("s"),
        "exec" => client.exec("s", command).map(drop),
        "send" => {
            client.send("s", command)?;
            read_all(client, "s").map(drop)
        }
        "cancelled" => {
            client.send("s", command)?;
            until(
                || client.world.is_open("at never") || client.world.count(SlotState::Busy) == 0 || !client.is_busy("s").unwrap_or(false),
                || "the command runs, or has ended".into(),
            );
            client.cancel("s")?;
            match read_all(client, "s") {
                Err(ClientError::Report(report)) if report.sqlstate == QUERY_CANCELED => Ok(()),
                other => other.map(drop),
            }
        }
        _ => client.close("s"),
    }
}

/// The steps one after the other, as far as they go; what stopped it, and the tags told as committed.
type Log = Arc<Mutex<(Vec<&'static str>, Option<(usize, ClientError)>)>>;

fn play(client: &Client, log: &Log) {
    for (at, step) in STEPS.into_iter().enumerate() {
        match take(client, step) {
            Ok(()) => log.lock().unwrap().0.push(step.2),
            Err(told) => {
                log.lock().unwrap().1 = Some((at, told));
                return;
            }
        }
    }
}

/// What was told to be committed is; what was not, is not, unless that was told too.
fn truth(world: &World, log: &Log, case: &str) {
    let log = log.lock().unwrap();
    for tag in log.0.iter().filter(|tag| !tag.is_empty()) {
        assert_eq!(world.times(tag), 1, "{case}: {tag}");
    }
    assert!(!world.committed("never"), "{case}");
    if let Some((at, told)) = &log.1
        && !STEPS[*at].2.is_empty()
    {
        let detail = told.detail();
        let committed = ["transaction committed.", "already committed", "had committed 1"].iter().any(|words| detail.contains(words));
        assert_eq!(world.committed(STEPS[*at].2), committed, "{case}: {told:?}");
    }
}

/// Whatever has come to pass: the name can be used, and then nothing is left.
fn afterwards(world: &Arc<World>, client: &Client, case: &str) {
    assert!(world.met(), "{case}: the fault was met");
    // Once an error may tell that the worker has gone; after that the name is free.
    let first = client.exec("s", "rollback; ok");
    if let Err(told) = first {
        assert_eq!(told.report().sqlstate, CONNECTION_DOES_NOT_EXIST, "{case}");
        let again = client.exec("s", "ok").expect_err(case).report();
        assert_eq!(again.get(Field::Message), Some(&b"autonomous session \"s\" does not exist"[..]), "{case}");
        client.open("s").unwrap();
    }
    client.exec("s", "put after").unwrap_or_else(|told| panic!("{case}: {told:?}"));
    client.close("s").unwrap();
    assert!(world.committed("after"), "{case}");
    everybody_else_can_go_on(world, case);
}

fn everybody_else_can_go_on(world: &Arc<World>, case: &str) {
    world.settle();
    for n in 0..world.area.slots.len() {
        let told = Client::new(world).call(&format!("put after{n}"));
        assert!(told.is_ok(), "{case}, after {n}: {told:?}");
    }
    world.shut_down();
}

/// How often each step is reached when nothing fails.
fn reached(step: &str) -> u32 {
    let (world, log) = (World::new(2), Log::default());
    play(&Client::new(&world), &log);
    assert!(log.lock().unwrap().1.is_none(), "{log:?}");
    world.shut_down();
    world.faults.lock().unwrap().counts.get(step).copied().unwrap_or(0)
}

fn each(steps: &[&'static str], fault: Fault, mut check: impl FnMut(&World, &str, &str, Option<&ClientError>)) -> u32 {
    let mut cases = 0;
    for step in steps {
        for nth in 1..=reached(step) {
            let (world, log) = (World::new(2), Log::default());
            world.inject(step, nth, fault);
            let client = Client::new(&world);
            let case = format!("{fault:?} at {step} {nth}");
            play(&client, &log);
            truth(&world, &log, &case);
            check(&world, step, &case, log.lock().unwrap().1.as_ref().map(|(_, told)| told));
            afterwards(&world, &client, &case);
            cases += 1;
        }
    }
    cases
}

#[test]
fn an_error_at_any_step_of_the_worker_is_the_commands_and_the_session_goes_on() {
    let cases = each(&WORKER[..10], Fault::Fail, |world, step, case, told| {
        let Some(ClientError::Report(report)) = told else { panic!("{case}: {told:?}") };
        assert_eq!(report.get(Field::Message), Some(format!("injected at {step}").as_bytes()), "{case}");
        let workers = world.launched.lock().unwrap().len();
        assert_eq!(workers, 1, "{case}");
    });
    assert!(cases > 40, "{cases} cases");
}

#[test]
fn an_error_after_a_commit_or_while_cleaning_is_not_the_commands() {
    each(&["commit:settled", "rest", "clean"], Fault::Fail, |_, _, case, told| {
        // The worker leaves after it has answered: what comes next finds it gone.
        let gone = |told: &ClientError| matches!(told, ClientError::Report(report) if report.sqlstate == CONNECTION_DOES_NOT_EXIST);
        assert!(told.is_none_or(gone), "{case}: {told:?}");
    });
}

#[test]
fn a_worker_that_vanishes_at_any_step_takes_the_session_with_it_and_no_name() {
    let cases = each(&WORKER, Fault::Die, |_, _, case, told| match told {
        Some(ClientError::Report(report)) => {
            assert!(matches!(report.sqlstate, CONNECTION_FAILURE | CONNECTION_DOES_NOT_EXIST), "{case}: {report:?}");
        }
        other => assert!(other.is_none(), "{case}: {other:?}"),
    });
    assert!(cases > 40, "{cases} cases");
    each(&["commit:recorded", "clean"], Fault::Die, |_, _, _, _| {});
}

#[test]
fn a_worker_that_never_comes_opens_no_session() {
    for step in ["start", "connect"] {
        let world = World::new(2);
        world.inject(step, 1, Fault::Die);
        let client = Client::new(&world);
        assert!(client.open("s").is_err(), "{step}");
        afterwards(&world, &client, step);
    }
}

#[test]
fn an_error_at_any_step_of_the_owner_leaves_a_session_that_can_be_used() {
    for (step, most) in [("launch", 1), ("sleep", 30), ("relay", 3), ("row", 45), ("describe", 2)] {
        for nth in (1..=most).step_by(if step == "row" { 7 } else { 1 }) {
            let (world, log) = (World::new(2), Log::default());
            world.inject(step, nth, Fault::Fail);
            let client = Client::new(&world);
            let case = format!("Fail at {step} {nth}");
            play(&client, &log);
            truth(&world, &log, &case);
            if !world.met() {
                assert!(nth > 1, "{step} is reached");
                world.shut_down();
                break;
            }
            match &log.lock().unwrap().1 {
                Some((_, ClientError::Saved(error, _))) => assert_eq!(*error, format!("injected at {step}"), "{case}"),
                other => panic!("{case}: {other:?}"),
            }
            afterwards(&world, &client, &case);
        }
    }
}

#[test]
fn an_owner_that_exits_at_any_step_leaves_no_session_and_no_way_to_commit() {
    for (step, most) in [("launch", 1), ("sleep", 30), ("relay", 3), ("row", 45), ("describe", 2)] {
        for nth in (1..=most).step_by(if step == "row" { 7 } else { 1 }) {
            let (world, log) = (World::new(2), Log::default());
            world.inject(step, nth, Fault::Die);
            let case = format!("Die at {step} {nth}");
            let (other, me, kept) = (world.clone(), world.fork(), log.clone());
            let (owner, key) = (me.clone(), Client::new(&world).key);
            let thread = spawn(move || play(&Client::of(&other, me, key), &kept));
            until(|| !world.alive(owner.pid) || thread.is_finished(), || format!("{case}: the owner has exited"));
            truth(&world, &log, &case);
            let fired = world.met();
            assert_eq!(fired, !thread.is_finished(), "{case}");
            assert!(fired || nth > 1, "{step} is reached");
            if step == "launch" {
                // A slot whose launcher died is taken over by who looks for one next.
                Client::new(&world).call("put first").unwrap();
            }
            everybody_else_can_go_on(&world, &case);
            if !fired {
                break;
            }
        }
    }
}

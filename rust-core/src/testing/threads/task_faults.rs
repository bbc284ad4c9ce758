//! A fault at every step of either side of a task, each at every time that the step is reached: every task ends,
//! what is said of its end is true, and nothing of it is left when it is forgotten.

use super::caller::{Client, ClientError};
use super::tasks::forget_all;
use super::world::{Fault, World, spawn, until};
use crate::report::*;
use crate::task::{TaskState, TaskView};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

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
    "append_file",
    "read_request",
];

/// Tasks by their tag: one of several statements, one that needs files both ways, one that is cancelled, one that
/// starts with its transaction.
type Ids = Arc<Mutex<BTreeMap<&'static str, i64>>>;

/// Submit tasks one after the other, and see each to its end.
fn play(client: &Client, ids: &Ids) -> Result<(), ClientError> {
    let long = format!("put b; put {}; rows 25 6000 xy", "x".repeat(70_000));
    let commands = [("a", "put a; notice n; rows 2 3 xyz; rows 1 4 long"), ("b", &long), ("c", "put c; wait never"), ("d", "put d")];
    for (tag, command) in commands {
        let id = client.submit_as(command, |start| start.on_commit = (tag == "d").then_some(1))?;
        ids.lock().unwrap().insert(tag, id);
        match tag {
            "c" => {
                let ended = || client.state(id).is_none_or(TaskState::finished);
                until(|| client.world.is_open("at never") || ended(), || "the task runs, or has ended".into());
                client.cancel_task(id, None)?;
            }
            "d" => client.end_transaction(true),
            _ => {}
        }
        client.wait(&[id], None)?;
        if tag != "c" {
            client.task_result(id)?;
        }
    }
    Ok(())
}

fn world() -> Arc<World> {
    World::with_tasks(2, 8, 40)
}

/// What is said of each task is true of what the database holds.
fn truth(world: &World, client: &Client, ids: &Ids, case: &str) -> BTreeMap<&'static str, TaskView> {
    world.tasks_end(case);
    let seen: BTreeMap<_, _> = ids.lock().unwrap().iter().filter_map(|(tag, id)| Some((*tag, client.look(*id)?))).collect();
    for (tag, view) in &seen {
        let says = |words: &str| String::from_utf8_lossy(&view.message).contains(words);
        let committed = view.card.state == TaskState::Done || says("had committed");
        assert!(world.committed(tag) == committed || says("unknown"), "{case}: {tag}: {view:?}");
        assert!(world.times(tag) <= 1, "{case}: {tag}");
    }
    assert!(!world.committed("c"), "{case}");
    let stats = &world.table().unwrap().header.stats;
    let [submitted, done, failed, cancelled] =
        [&stats.submitted, &stats.done, &stats.failed, &stats.cancelled].map(|count| count.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(submitted, done + failed + cancelled, "{case}: each ends once");
    seen
}

/// How often each step is reached when nothing fails.
fn reached(step: &str) -> u32 {
    let (world, ids) = (world(), Ids::default());
    let client = Client::new(&world);
    play(&client, &ids).unwrap();
    truth(&world, &client, &ids, "without a fault");
    forget_all(&world, "without a fault");
    world.faults.lock().unwrap().counts.get(step).copied().unwrap_or(0)
}

fn each(
    steps: &[&'static str],
    fault: Fault,
    mut check: impl FnMut(&Result<(), ClientError>, &BTreeMap<&str, TaskView>, &str, &str),
) -> u32 {
    let mut cases = 0;
    for step in steps {
        for nth in 1..=reached(step) {
            let (world, ids) = (world(), Ids::default());
            world.inject(step, nth, fault);
            let client = Client::new(&world);
            let case = format!("{fault:?} at {step} {nth}");
            let told = play(&client, &ids);
            assert!(world.met(), "{case}: the fault was met");
            let seen = truth(&world, &client, &ids, &case);
            check(&told, &seen, step, &case);
            client.end_transaction(false);
            world.nobody_waits(&case);
            Client::new(&world).submit("put after").and_then(|id| client.task_result(id)).unwrap();
            forget_all(&world, &case);
            cases += 1;
        }
    }
    cases
}

/// The tasks that failed, and in what words.
fn failed(seen: &BTreeMap<&str, TaskView>) -> Vec<(u32, String)> {
    let failed = seen.values().filter(|view| view.card.state == TaskState::Failed);
    failed.map(|view| (view.sqlstate, String::from_utf8_lossy(&view.message).into())).collect()
}

#[test]
fn an_error_at_any_step_of_the_worker_is_the_tasks_and_nothing_of_it_is_committed() {
    let cases = each(&WORKER, Fault::Fail, |told, seen, step, case| {
        let said = format!("injected at {step}");
        // The task to be cancelled may meet it; nobody reads its result.
        if let Err(ClientError::Report(report)) = told {
            assert_eq!(report.get(Field::Message), Some(said.as_bytes()), "{case}");
        }
        assert_eq!(told.is_err(), seen.iter().any(|(tag, view)| *tag != "c" && view.card.state == TaskState::Failed), "{case}: {told:?}");
        assert_eq!(failed(seen), [(INTERNAL_ERROR, said)], "{case}");
    });
    assert!(cases > 40, "{cases} cases");
}

#[test]
fn a_worker_that_vanishes_at_any_step_fails_its_task_and_says_what_it_had_committed() {
    let cases = each(&WORKER, Fault::Die, |_, seen, _, case| {
        let failed = failed(seen);
        assert!(failed.len() == 1 && failed[0].0 == ADMIN_SHUTDOWN, "{case}: {failed:?}");
    });
    assert!(cases > 40, "{cases} cases");
    each(&["commit:recorded", "commit:settled"], Fault::Die, |_, seen, _, case| {
        let failed = failed(seen);
        assert!(failed.len() == 1 && ["had committed", "unknown"].iter().any(|words| failed[0].1.contains(words)), "{case}: {failed:?}");
    });
}

#[test]
fn whatever_fails_after_the_commit_the_task_is_done() {
    let all_done = |told: &Result<(), ClientError>, seen: &BTreeMap<&str, TaskView>, _: &str, case: &str| {
        assert!(told.is_ok(), "{case}: {told:?}");
        let states: Vec<_> = seen.values().map(|view| view.card.state).collect();
        assert_eq!(states, [TaskState::Done, TaskState::Done, TaskState::Cancelled, TaskState::Done], "{case}");
    };
    each(&["commit:settled", "clean"], Fault::Fail, all_done);
}

#[test]
fn a_worker_that_does_not_come_to_its_task_fails_it_or_is_replaced() {
    for (step, comes) in [("start", true), ("connect", false)] {
        let (world, ids) = (world(), Ids::default());
        world.inject(step, 1, Fault::Die);
        let client = Client::new(&world);
        assert_eq!(play(&client, &ids).is_ok(), comes, "{step}");
        let seen = truth(&world, &client, &ids, step);
        assert_eq!(seen["a"].card.state, if comes { TaskState::Done } else { TaskState::Failed }, "{step}");
        forget_all(&world, step);
    }
}

#[test]
fn an_error_at_any_step_of_the_caller_leaves_each_task_whole() {
    for (step, most) in CALLER {
        for nth in (1..=most).step_by(if step == "row" { 9 } else { 1 }) {
            let (world, ids) = (world(), Ids::default());
            world.inject(step, nth, Fault::Fail);
            let client = Client::new(&world);
            let case = format!("Fail at {step} {nth}");
            let told = play(&client, &ids);
            if !world.met() {
                assert!(nth > 1 && told.is_ok(), "{case}: {told:?}");
                forget_all(&world, &case);
                break;
            }
            // A launch that fails is another process's to repeat.
            assert!(step == "launch" || matches!(told, Err(ClientError::Saved(..))), "{case}: {told:?}");
            client.end_transaction(false);
            for id in ids.lock().unwrap().values().filter(|id| client.state(**id).is_some()) {
                client.cancel_task(*id, None).unwrap();
            }
            truth(&world, &client, &ids, &case);
            world.nobody_waits(&case);
            forget_all(&world, &case);
        }
    }
}

/// Steps of a caller, and how often each is tried.
const CALLER: [(&str, u32); 9] = [
    ("launch", 2),
    ("sleep", 12),
    ("may_act_for", 14),
    ("write_file", 2),
    ("read_file", 3),
    ("relay", 2),
    ("row", 30),
    ("describe", 3),
    ("complete", 6),
];

#[test]
fn a_caller_that_exits_at_any_step_leaves_tasks_that_run_and_holds_none() {
    for (step, most) in CALLER {
        for nth in (1..=most).step_by(if step == "row" { 9 } else { 1 }) {
            let (world, ids) = (world(), Ids::default());
            world.inject(step, nth, Fault::Die);
            let case = format!("Die at {step} {nth}");
            let (other, me, kept) = (world.clone(), world.fork(), ids.clone());
            let (process, key) = (me.clone(), Client::new(&world).key);
            let thread = spawn(move || play(&Client::of(&other, me, key), &kept).is_ok());
            until(|| !world.alive(process.pid) || thread.is_finished(), || format!("{case}: the caller has exited"));
            let fired = world.met();
            assert!(fired || nth > 1, "{step} is reached");
            let client = Client::new(&world);
            // What it was submitting, and whose worker it was launching, is found by who comes next.
            world.table().unwrap().reclaim(0, |pid| world.alive(pid), |id| _ = world.files.lock().unwrap().remove(&id));
            let after = client.submit("put after").unwrap();
            for card in world.table().unwrap().cards().filter(|card| card.ticket.id != after as u64) {
                client.cancel_task(card.ticket.id as i64, None).unwrap();
            }
            client.task_result(after).unwrap();
            truth(&world, &client, &ids, &case);
            world.nobody_waits(&case);
            forget_all(&world, &case);
            if !fired {
                break;
            }
        }
    }
}

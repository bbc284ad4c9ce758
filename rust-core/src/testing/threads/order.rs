//! In which order a worker's host is called: the bracket around one request.

use super::caller::{Client, text};
use super::world::{World, until};
use crate::report::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// The steps that the worker's host took for one call.
fn steps(world: &Arc<World>, client: &Client, command: &str) -> (Result<u64, super::caller::ClientError>, String) {
    world.log.lock().unwrap().clear();
    let told = client.call(command);
    until(|| world.steps().ends_with("clean"), || format!("the request was cleaned up after: {}", world.steps()));
    (told, world.steps())
}

#[test]
fn one_statement_is_bracketed_by_identity_and_transaction() {
    let world = World::new(1);
    let client = Client::new(&world);
    let (told, steps) = steps(&world, &client, "put a");
    assert!(told.is_ok());
    assert_eq!(steps, "adopt+settings begin parse prepare keep_plan run commit clean");
    assert!(world.committed("a"));
    world.shut_down();
}

#[test]
fn each_of_several_statements_sees_the_one_before_and_none_is_analyzed_early() {
    let world = World::new(1);
    let client = Client::new(&world);
    let (told, steps) = steps(&world, &client, "put a; put b; rows 2 3 xyz");
    assert_eq!(told.unwrap(), 2);
    assert_eq!(*client.rows.borrow(), [b"xyz", b"xyz"]);
    assert_eq!(steps, "adopt+settings begin parse prepare run next_statement prepare run next_statement prepare run commit clean");
    world.shut_down();
}

#[test]
fn a_repeated_command_is_neither_parsed_nor_prepared_again() {
    let world = World::new(1);
    world.open("settings hold");
    let client = Client::new(&world);
    steps(&world, &client, "put a").0.unwrap();
    assert_eq!(steps(&world, &client, "put a").1, "adopt begin lock_plan run commit clean");
    let (_, other) = steps(&world, &client, "put b");
    assert_eq!(other, "adopt begin parse prepare keep_plan run commit clean");
    world.shut_down();
}

#[test]
fn a_plan_of_other_catalogs_is_never_run() {
    let world = World::new(1);
    world.open("settings hold");
    let client = Client::new(&world);
    let anew = "parse prepare keep_plan";
    steps(&world, &client, "put a").0.unwrap();
    world.catalogs.fetch_add(1, SeqCst);
    assert_eq!(steps(&world, &client, "put a").1, format!("adopt begin drop_plan {anew} run commit clean"));
    // Heard only when a lock was waited for.
    world.open("catalogs change at lock_plan");
    assert_eq!(steps(&world, &client, "put a").1, format!("adopt begin lock_plan {anew} drop_plan run commit clean"));
    world.close("catalogs change at lock_plan");
    assert_eq!(steps(&world, &client, "put a").1, "adopt begin lock_plan run commit clean");
    // In the middle of the analysis: it may be of neither state, and is of use for this time only.
    world.open("catalogs change at prepare");
    assert_eq!(steps(&world, &client, "put b").1, "adopt begin parse prepare run commit clean");
    world.close("catalogs change at prepare");
    assert_eq!(steps(&world, &client, "put b").1, format!("adopt begin drop_plan {anew} run commit clean"));
    world.shut_down();
}

#[test]
fn a_plan_that_makes_room_is_dropped_and_a_cache_of_none_keeps_none() {
    let world = World::new(1);
    world.open("settings hold");
    world.config.lock().unwrap().plan_cache_size = 1;
    let client = Client::new(&world);
    steps(&world, &client, "put a").0.unwrap();
    assert_eq!(steps(&world, &client, "put b").1, "adopt begin parse prepare keep_plan drop_plan run commit clean");
    world.config.lock().unwrap().plan_cache_size = 0;
    assert_eq!(steps(&world, &client, "put c").1, "adopt begin parse prepare run commit clean");
    world.shut_down();
}

#[test]
fn an_error_is_read_before_the_abort_that_would_lose_it() {
    let world = World::new(1);
    let client = Client::new(&world);
    let (told, steps) = steps(&world, &client, "put a; raise oops; put b");
    assert_eq!(steps, "adopt+settings begin parse prepare run next_statement prepare run error log abort clean");
    let report = told.unwrap_err().report();
    assert_eq!((report.sqlstate, text(&report, Field::Message)), (SYNTAX_ERROR, "oops".into()));
    assert_eq!(text(&report, Field::Context), "autonomous transaction");
    assert_eq!(*world.commits.lock().unwrap(), []);
    world.shut_down();
}

#[test]
fn what_a_failed_command_left_is_cleaned_up_before_its_caller_goes_on() {
    let world = World::new(1);
    let client = Client::new(&world);
    for _ in 0..50 {
        world.log.lock().unwrap().clear();
        assert!(client.call("raise oops").is_err());
        assert!(world.steps().ends_with("error log abort clean"), "{}", world.steps());
    }
    world.shut_down();
}

#[test]
fn a_refused_statement_aborts_what_ran_before_it() {
    let world = World::new(1);
    let client = Client::new(&world);
    let (told, steps) = steps(&world, &client, "put a; begin");
    assert_eq!(steps, "adopt+settings begin parse prepare run next_statement prepare log abort clean");
    assert_eq!(told.unwrap_err().report().sqlstate, FEATURE_NOT_SUPPORTED);
    assert!(!world.committed("a"));
    world.shut_down();
}

#[test]
fn an_empty_command_commits_and_arguments_that_nothing_names_are_an_error() {
    let world = World::new(1);
    let client = Client::new(&world);
    assert_eq!(steps(&world, &client, " ; ").1, "adopt+settings begin parse commit clean");
    for command in ["", "ok", "ok; ok"] {
        let told = client.call_as(command, |call| call.args = vec![crate::host::Arg::default()]);
        assert_eq!(told.unwrap_err().report().sqlstate, SYNTAX_ERROR, "{command:?}");
    }
    world.shut_down();
}

#[test]
fn settings_travel_only_when_the_worker_has_others() {
    let world = World::new(1);
    world.open("settings hold");
    let client = Client::new(&world);
    client.set(b"one");
    assert!(steps(&world, &client, "show").1.starts_with("adopt+settings"));
    assert_eq!(*client.rows.borrow(), [b"10 one"]);
    assert!(steps(&world, &client, "show").1.starts_with("adopt begin"));
    assert_eq!(*client.rows.borrow(), [b"10 one"]);
    client.set(b"two");
    assert!(steps(&world, &client, "show").1.starts_with("adopt+settings"));
    assert_eq!(*client.rows.borrow(), [b"10 two"]);
    world.shut_down();
}

#[test]
fn who_the_caller_is_travels_once_for_all_calls_of_a_statement_and_each_worker() {
    let world = World::new(1);
    let client = Client::new(&world);
    let other = Client::new(&world);
    let told = |client: &Client, version| {
        world.origins.lock().unwrap().clear();
        client.call_as("ok", |call| call.origin_version = version).unwrap();
        world.origins.lock().unwrap().clone()
    };
    let once = vec![Some(b"origin".to_vec())];
    assert_eq!(told(&client, 7), once);
    assert_eq!(told(&client, 7), []);
    assert_eq!(told(&client, 8), once);
    assert_eq!(told(&other, 9), once);
    assert_eq!(told(&client, 8), once);
    world.shut_down();
}

#[test]
fn a_worker_that_lost_its_settings_asks_for_them() {
    let world = World::new(1);
    let client = Client::new(&world);
    client.set(b"one");
    // The worker is still cleaning up, and about to find its settings gone, when it is borrowed again.
    world.open("hold clean");
    client.call("show").unwrap();
    until(|| world.is_open("at clean"), || "the worker cleans up".into());
    let door = world.clone();
    *client.script.borrow_mut() = Some(Box::new(move |_| door.open("clean")));
    assert_eq!(client.call("show").unwrap(), 1);
    assert_eq!(*client.rows.borrow(), [b"10 one"]);
    until(|| world.steps().ends_with("clean"), || "the second request was cleaned up after".into());
    assert_eq!(world.steps().matches("adopt+settings").count(), 2, "{}", world.steps());
    world.shut_down();
}

#[test]
fn what_may_not_start_reaches_no_worker() {
    let world = World::new(1);
    let client = Client::new(&world);
    let restricted = client.call_as("put a", |call| call.restricted = true).unwrap_err().report();
    let null = client.call_as("put a", |call| call.command = None).unwrap_err().report();
    let deep = client.call_as("put a", |call| call.depth = call.max_depth).unwrap_err().report();
    let states = [restricted, null, deep].map(|r| r.sqlstate);
    assert_eq!(states, [INSUFFICIENT_PRIVILEGE, NULL_VALUE_NOT_ALLOWED, STATEMENT_TOO_COMPLEX]);
    assert_eq!(world.steps(), "");
    world.shut_down();
}

#[test]
fn a_routine_takes_the_place_of_the_statements() {
    let world = World::new(1);
    let client = Client::new(&world);
    world.log.lock().unwrap().clear();
    client.call_as("autonomous function f", |call| call.routine = Some(b"put a")).unwrap();
    until(|| world.steps().ends_with("clean"), || format!("the request was cleaned up after: {}", world.steps()));
    assert_eq!(world.steps(), "adopt+settings begin run_routine commit clean");
    assert!(world.committed("a"));
    client.call_as("autonomous function f", |call| call.routine = Some(b"raise oops")).unwrap_err();
    until(|| world.steps().ends_with("clean"), || format!("the request was cleaned up after: {}", world.steps()));
    assert!(world.steps().ends_with("run_routine error log abort clean"), "{}", world.steps());
    world.shut_down();
}

//! Autonomous sessions: whose they are, what they commit, how they end.

use super::caller::{Client, ClientError, text};
use super::world::{World, spawn, until};
use crate::caller::call::Call;
use crate::caller::session;
use crate::host::Output;
use crate::pool::slot::SlotState;
use crate::report::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// The code of an error, and its message.
pub(super) fn said<T: std::fmt::Debug>(told: Result<T, ClientError>) -> (u32, String) {
    let report = told.unwrap_err().report();
    (report.sqlstate, text(&report, Field::Message))
}

fn gone(name: &str) -> (u32, String) {
    (CONNECTION_DOES_NOT_EXIST, format!("worker of autonomous session \"{name}\" has terminated"))
}

fn unknown(name: &str) -> (u32, String) {
    (CONNECTION_DOES_NOT_EXIST, format!("autonomous session \"{name}\" does not exist"))
}

/// A client with a session.
fn opened(world: &Arc<World>) -> Client {
    let client = Client::new(world);
    client.open("s").unwrap();
    client
}

/// All results of what was sent.
pub(super) fn read_all(client: &Client, name: &str) -> Result<u32, ClientError> {
    for count in 0.. {
        if client.result(name)?.is_none() {
            return Ok(count);
        }
    }
    unreachable!()
}

#[test]
fn a_command_commits_by_itself_and_a_block_when_it_says_so() {
    let world = World::new(1);
    let client = opened(&world);
    assert_eq!((world.count(SlotState::Held), world.area.busy()), (1, 0));
    assert_eq!(client.exec("s", "put a").unwrap(), "DONE");
    assert!(world.committed("a"));
    client.exec("s", "begin; put b").unwrap();
    client.exec("s", "put c").unwrap();
    assert!(!world.committed("b") && !world.committed("c"));
    client.exec("s", "commit").unwrap();
    client.exec("s", "begin; put d").unwrap();
    client.exec("s", "rollback; put e").unwrap();
    let tags: Vec<_> = world.commits.lock().unwrap().iter().map(|(_, tag)| tag.clone()).collect();
    assert_eq!(tags, ["a", "b", "c", "e"]);
    client.close("s").unwrap();
    world.shut_down();
}

#[test]
fn an_error_fails_the_block_and_not_the_session() {
    let world = World::new(1);
    let client = opened(&world);
    client.exec("s", "begin; put a").unwrap();
    assert_eq!(said(client.exec("s", "raise oops")), (SYNTAX_ERROR, "oops".into()));
    assert_eq!(said(client.exec("s", "put b")).0, FAILED_TRANSACTION);
    client.exec("s", "commit").unwrap();
    client.exec("s", "put c").unwrap();
    assert!(world.committed("c") && !world.committed("a") && !world.committed("b"));
    client.close("s").unwrap();
    world.shut_down();
}

#[test]
fn a_session_has_one_name_and_one_command_at_a_time() {
    let world = World::new(2);
    let client = opened(&world);
    assert_eq!(said(client.open("s")).0, DUPLICATE_OBJECT);
    assert_eq!(said(client.exec("t", "put a")), unknown("t"));
    client.send("s", "wait door").unwrap();
    assert!(client.is_busy("s").unwrap());
    assert_eq!(said(client.exec("s", "put a")).0, OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert_eq!(said(client.open("s")).0, DUPLICATE_OBJECT);
    world.open("door");
    assert!(client.result("s").unwrap().unwrap().0.last);
    client.exec("s", "put b").unwrap();
    assert!(client.result("s").unwrap().is_none());
    client.close("s").unwrap();
    assert_eq!(said(client.close("s")), unknown("s"));
    world.shut_down();
}

#[test]
fn rows_as_text_are_the_last_statements_of_a_single_call_and_every_statements_of_a_session() {
    let world = World::new(1);
    let client = opened(&world);
    client.send_as("s", "rows 2 3 xyz; put a", Output::Text).unwrap();
    assert!(client.result("s").unwrap().is_some_and(|(ending, described)| described && !ending.last));
    assert!(client.result("s").unwrap().is_some_and(|(ending, described)| !described && ending.tag.is_some()));
    client.close("s").unwrap();
    let text = |call: &mut Call| call.output = Output::Text;
    let ending = client.ending_as("rows 40 600 abc; rows 2 3 xyz", text).unwrap();
    assert_eq!((ending.processed, ending.tag.is_some()), (2, true));
    assert_eq!(*client.rows.borrow(), [&b"column"[..], b"xyz", b"xyz"]);
    assert!(client.ending_as("put b", text).is_ok() && client.rows.borrow().is_empty() && world.committed("b"));
    world.shut_down();
}

#[test]
fn results_of_a_command_that_was_sent_come_one_by_one_and_its_error_last() {
    let world = World::new(1);
    let client = opened(&world);
    client.send("s", "rows 2 3 xyz; put a; rows 40 600 abc; raise oops").unwrap();
    let (ending, described) = client.result("s").unwrap().unwrap();
    assert_eq!((ending.processed, ending.last, described), (2, false, true));
    assert_eq!(*client.rows.borrow(), [&b"column"[..], b"xyz", b"xyz"]);
    let (ending, described) = client.result("s").unwrap().unwrap();
    assert_eq!((ending.processed, ending.last, described), (0, false, false));
    assert_eq!(client.result("s").unwrap().unwrap().0.processed, 40);
    assert_eq!(client.rows.borrow().len(), 41);
    assert_eq!(said(client.result("s")), (SYNTAX_ERROR, "oops".into()));
    assert!(client.result("s").unwrap().is_none() && !world.committed("a"));
    client.close("s").unwrap();
    world.shut_down();
}

#[test]
fn a_command_whose_results_are_not_read_does_not_run_for_ever() {
    let world = World::new(1);
    let client = opened(&world);
    client.send("s", "put a; rows 100 600 abc").unwrap();
    until(|| !client.is_busy("s").unwrap(), || "it waits for its results to be read".into());
    client.close("s").unwrap();
    assert!(!world.committed("a"));
    world.shut_down();
}

#[test]
fn a_cancel_stops_the_command_that_was_sent_and_none_after_it() {
    let world = World::new(1);
    let client = opened(&world);
    assert!(!client.cancel("s").unwrap(), "nothing runs");
    for n in 0..30 {
        client.send("s", "put a; wait never").unwrap();
        if n % 2 == 0 {
            until(|| world.is_open("at never"), || "it runs".into());
            world.close("at never");
        }
        assert!(client.cancel("s").unwrap());
        assert_eq!(said(read_all(&client, "s")).0, QUERY_CANCELED);
        assert_eq!(client.exec("s", "nap 2").unwrap(), "DONE");
    }
    assert!(!world.committed("a"));
    client.close("s").unwrap();
    world.shut_down();
}

#[test]
fn a_commit_that_has_won_is_not_cancelled() {
    let world = World::new(1);
    let client = opened(&world);
    world.open("hold commit:waits");
    client.send("s", "put a").unwrap();
    until(|| world.is_open("at commit:waits"), || "the worker commits".into());
    assert!(!client.cancel("s").unwrap());
    world.open("commit:waits");
    assert!(client.result("s").unwrap().is_some());
    client.exec("s", "put b").unwrap();
    assert!(world.committed("a") && world.committed("b"));
    client.close("s").unwrap();
    world.shut_down();
}

#[test]
fn a_cancel_that_meets_one_commit_of_several_acts_at_the_next() {
    let world = World::new(1);
    let client = opened(&world);
    world.open("hold commit:waits");
    client.send("s", "put a1; commit; put a2; commit; put a3").unwrap();
    until(|| world.is_open("at commit:waits"), || "the worker commits".into());
    assert!(client.cancel("s").unwrap());
    assert!(client.cancel("s").unwrap(), "as often as it is asked");
    world.open("commit:waits");
    assert_eq!(said(read_all(&client, "s")).0, QUERY_CANCELED);
    assert!(world.committed("a1") && !world.committed("a2") && !world.committed("a3"));
    client.exec("s", "nap 2; put b").unwrap();
    client.close("s").unwrap();
    world.shut_down();
}

#[test]
fn a_command_of_a_block_is_not_told_as_committed_when_its_owner_is_cancelled_too_late() {
    for (block, said) in
        [("", "The autonomous transaction had already committed."), ("begin; ", "The autonomous session had already run the command.")]
    {
        let world = World::new(1);
        let client = opened(&world);
        let (other, me) = (world.clone(), client.me.clone());
        *client.script.borrow_mut() = Some(Box::new(move |_| {
            other.open("go");
            let slot = &other.area.slots[0];
            until(|| slot.finished(slot.state().1).is_some(), || "the command has ended".into());
            me.cancel.store(true, SeqCst);
        }));
        let told = client.exec("s", &format!("{block}put a; wait go")).unwrap_err();
        client.script.take();
        assert_eq!(told.detail(), said);
        assert_eq!(world.committed("a"), block.is_empty());
        client.close("s").unwrap();
        world.shut_down();
    }
}

#[test]
fn what_a_closed_session_had_open_is_rolled_back_and_is_not_the_next_tenants() {
    let world = World::new(1);
    let client = opened(&world);
    client.exec("s", "begin; put a; lock l").unwrap();
    let pid = client.pid_in(0);
    client.close("s").unwrap();
    Client::new(&world).call("lock l; put b").unwrap();
    assert_eq!(client.pid_in(0), pid, "the same worker");
    assert!(world.committed("b") && !world.committed("a"));
    world.shut_down();
}

#[test]
fn a_session_closed_while_its_command_runs_has_not_committed_it() {
    let world = World::new(1);
    let client = opened(&world);
    for command in ["put a; wait never", "put a; stuck never"] {
        client.send("s", command).unwrap();
        until(|| world.is_open("at never"), || "it runs".into());
        world.close("at never");
        client.close("s").unwrap();
        client.open("s").unwrap();
    }
    client.close("s").unwrap();
    assert!(!world.committed("a"));
    world.shut_down();
}

#[test]
fn a_worker_that_dies_between_commands_is_told_of_once_and_the_name_is_free() {
    type Ask = fn(&Client) -> Result<(), ClientError>;
    let asks: [Ask; 4] = [
        |client| client.exec("s", "put a").map(drop),
        |client| client.send("s", "put a"),
        |client| client.result("s").map(drop),
        |client| client.is_busy("s").map(drop),
    ];
    for ask in asks {
        let world = World::new(1);
        let client = opened(&world);
        client.exec("s", "begin; put a").unwrap();
        world.signal(client.pid_in(0), true);
        until(|| world.count(SlotState::Free) == 1, || "the worker has gone".into());
        assert_eq!(said(ask(&client)), gone("s"));
        assert_eq!(said(ask(&client)), unknown("s"));
        client.open("s").unwrap();
        client.exec("s", "put b").unwrap();
        client.close("s").unwrap();
        assert!(!world.committed("a") && world.committed("b"));
        world.shut_down();
    }
}

#[test]
fn a_session_that_is_idle_for_too_long_is_over_with_its_transaction_and_says_why() {
    for (session, block) in [(1_000, 0), (0, 2_000), (60_000, 2_000)] {
        let world = World::new(1);
        (world.config.lock().unwrap().session_idle_ms, world.config.lock().unwrap().block_idle_ms) = (session, block);
        let client = opened(&world);
        client.exec("s", "begin; put a").unwrap();
        until(|| world.count(SlotState::Idle) == 1, || "the worker is free".into());
        let report = client.exec("s", "commit").unwrap_err().report();
        assert_eq!(report.sqlstate, CONNECTION_DOES_NOT_EXIST);
        assert!(text(&report, Field::Message).contains("idle for too long"), "{}", text(&report, Field::Message));
        assert!(!world.committed("a"));
        client.call("put b").unwrap();
        client.open("s").unwrap();
        client.close("s").unwrap();
        world.shut_down();
    }
}

#[test]
fn all_sessions_are_closed_at_once_whatever_they_are_at() {
    let world = World::new(3);
    let client = opened(&world);
    client.open("t").unwrap();
    client.open("u").unwrap();
    client.exec("s", "begin; put a").unwrap();
    client.send("t", "put b; wait never").unwrap();
    until(|| world.is_open("at never"), || "it runs".into());
    client.ask("close", |call| session::close_all(&client, &world.area, client.caller, call)).unwrap();
    assert!(client.caller.sessions.is_empty());
    assert!(!world.committed("a") && !world.committed("b"));
    assert_eq!(world.count(SlotState::Held) + world.count(SlotState::Busy), 0);
    world.shut_down();
}

#[test]
fn a_session_whose_worker_died_can_be_closed_or_opened_anew() {
    let world = World::new(1);
    for _ in 0..2 {
        let client = opened(&world);
        world.signal(client.pid_in(0), true);
        until(|| world.count(SlotState::Free) == 1, || "the worker has gone".into());
        client.open("s").unwrap();
        world.signal(client.pid_in(0), true);
        until(|| world.count(SlotState::Free) == 1, || "the worker has gone".into());
        client.close("s").unwrap();
    }
    world.shut_down();
}

#[test]
fn an_owner_that_exits_leaves_neither_transaction_nor_worker_behind() {
    for command in ["nap 1", "begin; put a", "sent put a; wait never", "sent put a; rows 100 600 abc", "sent put b; rows 1 3 abc"] {
        let world = World::new(1);
        let (other, me) = (world.clone(), world.fork());
        let (pid, key) = (me.pid, Client::new(&world).key);
        spawn(move || {
            let client = Client::of(&other, me, key);
            client.open("s").unwrap();
            match command.strip_prefix("sent ") {
                Some(command) => {
                    client.send("s", command).unwrap();
                    // At `never`, at the end of the ring, or at the end.
                    until(|| other.is_open("at never") || !client.is_busy("s").unwrap(), || "it is on its way".into());
                }
                None => _ = client.exec("s", command).unwrap(),
            }
            client.exit();
        });
        until(|| !world.alive(pid), || format!("{command}: the owner has exited"));
        world.settle();
        assert!(!world.committed("a"), "{command}");
        Client::new(&world).call("put after").unwrap();
        world.shut_down();
    }
}

#[test]
fn an_idle_session_that_holds_a_lock_its_owner_waits_for_is_a_deadlock() {
    let world = World::new(2);
    let client = opened(&world);
    client.exec("s", "begin; put a; lock l").unwrap();
    let report = client.call("put b; lock l").unwrap_err().report();
    assert_eq!(report.sqlstate, DEADLOCK_DETECTED);
    let session = world.locks.lock().unwrap()["l"];
    let expected = format!("Process {session} waits for the autonomous session's next command from process {}.", client.me.pid);
    assert!(text(&report, Field::Detail).contains(&expected), "{}", text(&report, Field::Detail));
    client.exec("s", "commit").unwrap();
    client.call("put c; lock l").unwrap();
    assert!(world.committed("a") && !world.committed("b") && world.committed("c"));
    client.close("s").unwrap();
    world.shut_down();
}

#[test]
fn a_chain_through_two_sessions_and_two_owners_is_found() {
    let world = World::new(4);
    let owner = |name: &'static str, other: &'static str| {
        let world = world.clone();
        spawn(move || {
            let client = opened(&world);
            client.exec("s", &format!("begin; lock {name}")).unwrap();
            world.open(name);
            until(|| world.is_open(other), || "both sessions hold their locks".into());
            let told = client.call(&format!("lock {other}; put {name}"));
            client.close("s").unwrap();
            told.map_err(|told| told.report().sqlstate)
        })
    };
    let both = [owner("l", "m"), owner("m", "l")].map(|owner| owner.join().unwrap());
    assert!(both.contains(&Err(DEADLOCK_DETECTED)), "{both:?}");
    assert!(both.iter().filter(|told| **told == Err(DEADLOCK_DETECTED)).count() == 1, "one victim: {both:?}");
    assert_eq!(world.area.header.stats[0].errors.load(SeqCst), 1);
    world.shut_down();
}

#[test]
fn workers_held_by_a_callers_own_sessions_are_not_waited_for() {
    let world = World::new(1);
    let client = opened(&world);
    assert_eq!(said(client.call("put a")).0, CONFIGURATION_LIMIT_EXCEEDED);
    assert_eq!(said(client.open("t")).0, CONFIGURATION_LIMIT_EXCEEDED);
    client.exec("s", "put b").unwrap();
    client.close("s").unwrap();
    client.call("put c").unwrap();
    world.shut_down();
}

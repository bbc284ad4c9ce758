//! Tasks: where they run and when, what is kept of them, who may end them.

use super::caller::{Client, ClientError, text};
use super::sessions::said;
use super::world::{Fault, World, spawn, until};
use crate::caller::task::Seen;
use crate::pool::slot::Key;
use crate::report::*;
use crate::task::TaskState;
use std::sync::Arc;

/// A pool, with room for a few tasks.
pub(super) fn world(slots: usize) -> Arc<World> {
    World::with_tasks(slots, 6, 4)
}

/// All tasks have ended and are forgotten, and so is everything else.
pub(super) fn forget_all(world: &Arc<World>, case: &str) {
    world.tasks_end(case);
    let table = world.table().unwrap();
    let client = Client::new(world);
    for card in table.cards().collect::<Vec<_>>() {
        client.detach(card.ticket.id as i64).unwrap();
    }
    world.no_task_left(case);
    world.shut_down();
}

/// Wait until a task is at a door.
pub(super) fn at(world: &World, door: &str) {
    until(|| world.is_open(&format!("at {door}")), || format!("the task is at {door}"));
}

/// Until a task has ended, though nobody waits for it.
pub(super) fn ends(client: &Client, id: i64) -> TaskState {
    until(|| client.state(id).is_none_or(TaskState::finished), || format!("task {id} ends: {:?}", client.look(id)));
    client.state(id).unwrap()
}

#[test]
fn a_task_runs_while_its_submitter_goes_on_and_its_result_is_kept() {
    let world = world(1);
    let client = Client::new(&world);
    let id = client.submit("put a; wait go; notice n; rows 2 3 xyz").unwrap();
    assert_eq!(client.wait(&[id], Some(50)).unwrap(), None);
    world.open("go");
    assert_eq!(client.wait(&[id], None).unwrap(), Some(id));
    assert!(world.committed("a"));
    for _ in 0..2 {
        client.task_result(id).unwrap();
        assert_eq!(*client.rows.borrow(), [&b"column"[..], b"xyz", b"xyz"]);
        assert_eq!(client.relayed.take(), ["n"]);
    }
    let view = client.look(id).unwrap();
    assert_eq!((view.card.state, view.rows, view.read), (TaskState::Done, 2, true));
    assert_eq!(said(Client::of(&world, world.fork(), Key { user: 11, ..client.key }).task_result(id)).0, INSUFFICIENT_PRIVILEGE);
    client.detach(id).unwrap();
    assert_eq!(said(client.task_result(id)), (UNDEFINED_OBJECT, format!("task {id} does not exist")));
    forget_all(&world, "");
}

#[test]
fn a_view_shows_ones_own_tasks_and_who_runs_them() {
    let world = world(1);
    let client = Client::new(&world);
    let other = Client::of(&world, world.fork(), Key { user: 11, ..client.key });
    let id = client.submit("put a; wait go").unwrap();
    until(|| client.state(id) == Some(TaskState::Running), || "the task runs".into());
    let pid = client.pid_in(0);
    assert_eq!(client.views(), [(id, pid)]);
    assert!(matches!(client.view(id), Seen::Row(view, by) if view.card.ticket.id == id as u64 && by == pid));
    assert_eq!((other.views(), other.view(id)), (vec![], Seen::Hidden), "they are not of a role that it may act for");
    world.open("go");
    client.wait(&[id], None).unwrap();
    assert_eq!(client.views(), [(id, 0)], "nobody runs it any more");
    client.detach(id).unwrap();
    until(|| client.look(id).is_none(), || "its worker has let go of it".into());
    assert_eq!((client.views(), client.view(id), client.view(id + 1)), (vec![], Seen::Hidden, Seen::Hidden));
    forget_all(&world, "");
}

#[test]
fn an_error_is_the_readers_and_what_was_written_is_not_committed() {
    let world = world(1);
    let client = Client::new(&world);
    let id = client.submit("put a; notice n; rows 9 9 xyz; raise oops").unwrap();
    let report = client.task_result(id).unwrap_err().report();
    assert_eq!((report.sqlstate, text(&report, Field::Message)), (SYNTAX_ERROR, "oops".into()));
    assert_eq!(text(&report, Field::Context), format!("task {id}"));
    assert_eq!((client.relayed.take(), client.state(id)), (vec!["n".into()], Some(TaskState::Failed)));
    assert!(!world.committed("a"));
    forget_all(&world, "");
}

#[test]
fn what_deferred_triggers_say_at_the_commit_is_part_of_the_result() {
    let world = world(1);
    world.open("deferred triggers talk");
    let client = Client::new(&world);
    let id = client.submit("put a; rows 2 3 xyz").unwrap();
    client.task_result(id).unwrap();
    assert_eq!(client.relayed.take(), vec!["deferred".to_string()]);
    assert!(world.committed("a"));
    forget_all(&world, "a");
}

#[test]
fn what_is_too_long_for_memory_passes_through_files_and_the_files_go() {
    let world = world(1);
    let client = Client::new(&world);
    let long = format!("put {}; rows 30 6000 xy", "a".repeat(20_000));
    let id = client.submit(&long).unwrap();
    client.task_result(id).unwrap();
    assert_eq!(client.rows.borrow().len(), 31);
    assert!(client.rows.borrow()[1..].iter().all(|row| row.len() == 6000));
    assert_eq!(world.files.lock().unwrap().len(), 1);
    forget_all(&world, "");
}

#[test]
fn a_result_longer_than_allowed_fails_the_task_and_one_of_no_rows_is_always_kept() {
    let world = world(1);
    let client = Client::new(&world);
    world.config.lock().unwrap().result_bytes = 10_000;
    let id = client.submit("put a; rows 3 6000 xy").unwrap();
    assert!(client.task_result(id).is_err());
    assert!(!world.committed("a"));
    world.config.lock().unwrap().result_bytes = 0;
    let id = client.submit("put b").unwrap();
    client.task_result(id).unwrap();
    assert!(world.committed("b"));
    assert_eq!(world.faults.lock().unwrap().counts.get("complete"), Some(&1), "its tag is there");
    forget_all(&world, "");
}

#[test]
fn a_task_whose_role_may_keep_no_more_results_fails_and_leaves_nothing() {
    let world = world(2);
    let client = Client::new(&world);
    world.config.lock().unwrap().role_bytes = 200_000;
    let id = client.submit("put a; rows 25 6000 xy").unwrap();
    client.wait(&[id], None).unwrap();
    for rows in [10, 25] {
        let failed = client.submit(&format!("put b; rows {rows} 6000 xy")).unwrap();
        assert!(client.task_result(failed).is_err(), "as it ends, or while it returns rows");
    }
    assert!(world.committed("a") && !world.committed("b"));
    assert_eq!(world.files.lock().unwrap().len(), 1, "of those that failed nothing is kept");
    client.task_result(id).unwrap();
    let next = client.submit("put c; rows 25 6000 xy").unwrap();
    client.task_result(next).unwrap();
    assert_eq!(client.state(id), None, "what was read has made room");
    assert!(world.committed("c"));
    forget_all(&world, "");
}

#[test]
fn a_task_that_is_cancelled_commits_nothing_whether_it_had_begun_or_not() {
    let world = world(1);
    let client = Client::new(&world);
    let running = client.submit("put a; wait never").unwrap();
    let queued = client.submit("put b").unwrap();
    at(&world, "never");
    assert!(client.cancel_task(queued, None).unwrap() && client.cancel_task(running, None).unwrap());
    assert_eq!(said(client.task_result(queued)).0, QUERY_CANCELED);
    assert_eq!(said(client.task_result(running)).0, QUERY_CANCELED);
    assert_eq!([running, queued].map(|id| client.state(id)), [Some(TaskState::Cancelled); 2]);
    assert!(!client.cancel_task(running, None).unwrap(), "it has ended");
    assert!(!world.committed("a") && !world.committed("b"));
    let stuck = client.submit("put c; stuck never").unwrap();
    at(&world, "never");
    assert!(client.cancel_task(stuck, Some(100)).unwrap());
    client.wait(&[stuck], None).unwrap();
    assert!(!world.committed("c"));
    forget_all(&world, "");
}

#[test]
fn a_task_cancelled_at_any_moment_is_cancelled_or_done() {
    let world = world(1);
    let client = Client::new(&world);
    for n in 0..60 {
        let tag = format!("t{n}");
        let id = client.submit(&format!("put {tag}; nap {}", n % 3)).unwrap();
        (0..n % 7).for_each(|_| std::thread::yield_now());
        let cancelled = client.cancel_task(id, None).unwrap();
        client.wait(&[id], None).unwrap();
        let state = client.state(id).unwrap();
        assert_eq!(state, if cancelled { TaskState::Cancelled } else { TaskState::Done }, "{tag}");
        assert_eq!(world.committed(&tag), !cancelled, "{tag}");
        client.detach(id).unwrap();
    }
    forget_all(&world, "");
}

#[test]
fn a_task_that_commits_again_and_again_ends_whenever_it_is_cancelled() {
    let world = world(1);
    let client = Client::new(&world);
    for n in 0..60 {
        let commits: Vec<String> = (0..40).map(|m| format!("put t{n}-{m}; commit")).collect();
        let id = client.submit(&format!("{}; put t{n}", commits.join("; "))).unwrap();
        until(|| client.state(id) != Some(TaskState::Queued), || "it runs".into());
        (0..n).for_each(|_| std::thread::yield_now());
        let cancelled = client.cancel_task(id, None).unwrap();
        client.wait(&[id], None).unwrap();
        assert_eq!(client.state(id).unwrap(), if cancelled { TaskState::Cancelled } else { TaskState::Done }, "{n}");
        assert_eq!(world.committed(&format!("t{n}")), !cancelled, "{n}");
        client.detach(id).unwrap();
    }
    forget_all(&world, "");
}

#[test]
fn a_task_on_commit_starts_with_its_transaction_or_never() {
    let world = world(1);
    let client = Client::new(&world);
    let submit = |tag: &str| client.submit_as(&format!("put {tag}"), |start| start.on_commit = Some(1)).unwrap();
    let (a, b) = (submit("a"), submit("b"));
    assert_eq!(client.state(a), Some(TaskState::Pending));
    client.cancel_task(b, None).unwrap();
    client.end_transaction(true);
    assert_eq!(ends(&client, a), TaskState::Done);
    let c = submit("c");
    client.end_transaction(false);
    assert_eq!(client.state(c), None);
    submit("d");
    let (other, pid) = (world.clone(), world.fork());
    let (me, key) = (pid.clone(), client.key);
    spawn(move || {
        let client = Client::of(&other, me, key);
        client.submit_as("put e", |start| start.on_commit = Some(1)).unwrap();
        client.exit();
    });
    until(|| !world.alive(pid.pid), || "the submitter has exited".into());
    client.end_transaction(false);
    assert_eq!(world.commits.lock().unwrap().len(), 1);
    forget_all(&world, "");
}

#[test]
fn a_full_table_makes_the_submitter_wait_and_a_read_task_makes_room() {
    let world = world(1);
    let mut client = Client::new(&world);
    client.limits.timeout_ms = 200;
    let ids: Vec<_> = (0..6).map(|_| client.submit("wait go").unwrap()).collect();
    assert_eq!(said(client.submit("put a")).0, CONFIGURATION_LIMIT_EXCEEDED);
    world.open("go");
    client.limits.timeout_ms = 1_000_000;
    let last = client.submit("put b").unwrap();
    assert_eq!(client.wait(&[last], None).unwrap(), Some(last));
    assert!(ids.iter().filter(|id| client.state(**id).is_none()).count() == 1, "one made room");
    assert!(matches!(client.task_result(ids[0]), Err(ClientError::Report(_)) | Ok(())));
    forget_all(&world, "");
}

#[test]
fn a_worker_that_dies_while_it_cleans_up_has_done_its_task() {
    let world = world(1);
    world.inject("clean", 1, Fault::Die);
    let client = Client::new(&world);
    let id = client.submit("put a; rows 1 3 xyz").unwrap();
    client.task_result(id).unwrap();
    assert_eq!((client.state(id), client.rows.borrow().len()), (Some(TaskState::Done), 2));
    forget_all(&world, "");
}

//! Commits that the worker does not wait for: its caller does, before it says anything of them.

use super::caller::{Client, ClientError};
use super::world::{Fault, World, spawn, until};
use std::sync::atomic::Ordering::*;

#[test]
fn a_caller_waits_for_the_commit_that_its_worker_did_not_wait_for() {
    let world = World::new(1);
    world.open("callers wait for commits");
    let client = Client::new(&world);
    client.call("put a").unwrap();
    client.call("put b; commit; put c").unwrap();
    let commits: Vec<u64> = world.commits.lock().unwrap().iter().map(|(xid, _)| *xid).collect();
    assert_eq!(*world.flushed.lock().unwrap(), [(commits[0], 3), (commits[2], 3)], "the worker waits for all but the last of a command");
    client.call("raise oops").unwrap_err();
    world.close("callers wait for commits");
    client.call("put d").unwrap();
    assert_eq!(world.flushed.lock().unwrap().len(), 2, "what is owed is owed once");
    world.shut_down();
}

#[test]
fn who_cannot_wait_for_a_commit_is_told_of_it() {
    let world = World::new(1);
    world.open("callers wait for commits");
    world.inject("await", 1, Fault::Fail);
    let told = Client::new(&world).call("put a").unwrap_err();
    assert_eq!(told.detail(), "The autonomous transaction had already committed.");
    assert!(matches!(told, ClientError::Saved(..)) && world.committed("a"));
    world.shut_down();
}

#[test]
fn who_gives_up_is_told_of_a_commit_only_when_it_is_on_disk() {
    let world = World::new(1);
    world.open("callers wait for commits");
    world.open("hold commit:waits");
    let (other, me) = (world.clone(), world.fork());
    let process = me.clone();
    let key = crate::pool::slot::Key { database: 5, user: 10, superuser: false };
    let call = spawn(move || Client::of(&other, process, key).call("put a"));
    until(|| world.is_open("at commit:waits"), || "the commit is under way".into());
    me.cancel.store(true, SeqCst);
    me.wake();
    until(|| !world.signals.lock().unwrap().is_empty(), || "the caller's patience ended".into());
    world.open("commit:waits");
    assert_eq!(call.join().unwrap().unwrap_err().detail(), "The autonomous transaction had already committed.");
    assert_eq!(world.flushed.lock().unwrap().iter().map(|(_, level)| *level).collect::<Vec<_>>(), [0], "standbys are not waited for");
    world.shut_down();
}

//! A coordinator hears what is said at its entry in the registry, and says there what it has counted.

use super::world::{World, spec};
use crate::async_event::spec::{Notification, Spec};
use crate::coordinator::process::{Next, Process};
use crate::coordinator::topics::Topics;
use crate::launcher::registry::{CoordinatorState, Registry};

/// A registry with one database in it, whose coordinator comes.
fn registry() -> Box<Registry> {
    let registry = Box::<Registry>::default();
    let (_, entry) = registry.add(5, 0).unwrap();
    assert!(entry.change(entry.state(), CoordinatorState::Starting, 0) && entry.attach(1, 100, 3, 0));
    registry
}

#[test]
fn what_is_said_at_its_entry_is_heard_before_the_next_turn_and_once() {
    let (world, registry) = (World::new(1), registry());
    world.set().specs = vec![spec(1, "a")];
    let mut process = Process::new(&registry, 0, 0, true, 0);
    let turn = |process: &mut Process| {
        assert!(matches!(process.turn(&world, &registry, false), Next::Sleep(_)));
        let calls = world.get().calls.clone();
        ["handlers", "fetch"].map(|call| calls.get(call).copied().unwrap_or(0))
    };
    let [handlers, fetches] = turn(&mut process);
    assert_eq!(turn(&mut process), [handlers, fetches], "nothing was said");
    registry.say(5, Topics::EVENTS, 0);
    let [after, more] = turn(&mut process);
    assert!(after == handlers && more > fetches, "events");
    registry.say(5, Topics::HANDLERS, 0);
    let [after, more] = turn(&mut process);
    assert!(after > handlers, "handlers");
    assert_eq!(turn(&mut process), [after, more], "once");
}

#[test]
fn what_it_counts_is_told_under_its_database() {
    let (world, registry) = (World::new(1), registry());
    world.set().specs = vec![Spec { durable: false, ..spec(1, "a") }];
    let mut process = Process::new(&registry, 0, 0, true, 0);
    process.turn(&world, &registry, false);
    world.set().notes.push_back(Notification { channel: b"a".to_vec(), payload: Vec::new(), pid: 1 });
    process.turn(&world, &registry, false);
    let rows = (0..).map_while(|index| registry.tallies.row(index));
    let rows: Vec<_> = rows.filter(|(database, handler, _)| (*database, *handler) != (0, 0)).collect();
    assert_eq!(rows.iter().map(|(database, handler, _)| (*database, *handler)).collect::<Vec<_>>(), [(5, 1)]);
}

//! A coordinator hears what is said at its entry in the registry, and says there what it has counted and that it rests.

use super::world::{World, spec};
use crate::async_event::spec::{Notification, Spec};
use crate::coordinator::seat::Seat;
use crate::launcher::registry::{Registry, State};

const ROTATION: (u64, u64) = (1 << 40, 1 << 60);

/// A registry with one database in it, whose coordinator runs.
fn registry() -> Registry {
    let registry = Registry::default();
    let (_, entry) = registry.add(5, 0).unwrap();
    assert!(entry.change(entry.state(), State::Starting, 0) && entry.attach(1, 100, 3, 0));
    entry.became(State::Running, 0);
    registry
}

#[test]
fn what_is_said_at_its_entry_is_heard_before_the_next_turn_and_once() {
    let (world, registry) = (World::new(1), registry());
    world.set().specs = vec![spec(1, "a")];
    let mut seat = Seat::new(&registry, 0, 0, 0);
    let turn = |seat: &mut Seat| {
        seat.turn(&world, ROTATION).unwrap();
        let calls = world.get().calls.clone();
        ["handlers", "fetch"].map(|call| calls.get(call).copied().unwrap_or(0))
    };
    let [handlers, fetches] = turn(&mut seat);
    assert_eq!(turn(&mut seat), [handlers, fetches], "nothing was said");
    registry.say(5, false, 0);
    let [after, more] = turn(&mut seat);
    assert!(after == handlers && more > fetches, "events");
    registry.say(5, true, 0);
    let [after, more] = turn(&mut seat);
    assert!(after > handlers, "handlers");
    assert_eq!(turn(&mut seat), [after, more], "once");
}

#[test]
fn it_rests_at_its_entry_when_nobody_handles_anything() {
    let (world, registry) = (World::new(1), registry());
    world.set().specs = vec![spec(1, "a")];
    let mut seat = Seat::new(&registry, 0, 0, 0);
    assert!(!seat.rests(0), "it has not looked yet");
    seat.turn(&world, ROTATION).unwrap();
    assert!(!seat.rests(0), "there is a handler");
    world.set().specs.clear();
    registry.say(5, true, 0);
    seat.turn(&world, ROTATION).unwrap();
    assert!(seat.rests(7));
    assert_eq!((registry.entries[0].state().0, registry.entries[0].since()), (State::Idle, 7));
    world.set().broken.push("handlers");
    registry.say(5, true, 8);
    assert!(seat.turn(&world, ROTATION).is_err() && !seat.rests(8), "it does not know");
}

#[test]
fn what_it_counts_is_told_under_its_database() {
    let (world, registry) = (World::new(1), registry());
    world.set().specs = vec![Spec { durable: false, ..spec(1, "a") }];
    let mut seat = Seat::new(&registry, 0, 0, 0);
    seat.turn(&world, ROTATION).unwrap();
    world.set().notes.push_back(Notification { channel: b"a".to_vec(), payload: Vec::new(), pid: 1 });
    seat.turn(&world, ROTATION).unwrap();
    seat.close(&world, ROTATION).unwrap();
    let rows: Vec<_> =
        (0..).map_while(|index| registry.tallies.row(index)).filter(|(database, handler, _)| (*database, *handler) != (0, 0)).collect();
    assert_eq!(rows.iter().map(|(database, handler, _)| (*database, *handler)).collect::<Vec<_>>(), [(5, 1)]);
}

#[test]
fn one_without_an_entry_works_and_never_rests() {
    let (world, registry) = (World::new(1), registry());
    let mut seat = Seat::new(&registry, u32::MAX, 0, 0);
    seat.turn(&world, ROTATION).unwrap();
    assert!(!seat.rests(0) && registry.entries[0].state().0 == State::Running);
}

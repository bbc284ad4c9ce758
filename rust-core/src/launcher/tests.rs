//! The launcher among fake databases and worker slots.

use super::*;
use crate::coordinator::topics::Topics;
use std::cell::{Cell, RefCell};

#[derive(Default)]
struct Fake {
    now: Cell<i64>,
    databases: RefCell<Vec<u32>>,
    slots: Cell<bool>,
    free: Cell<u32>,
    workers: Cell<u32>,
    started: RefCell<Vec<(u32, u64, u32)>>,
    notes: RefCell<Vec<Note>>,
    woken: RefCell<Vec<u32>>,
}
impl LauncherHost for Fake {
    fn timestamp(&self) -> i64 {
        self.now.get()
    }
    fn databases(&self) -> Option<Vec<u32>> {
        Some(self.databases.borrow().clone())
    }
    fn free_slots(&self) -> u32 {
        self.free.get()
    }
    fn workers(&self) -> u32 {
        self.workers.get()
    }
    fn start(&self, assignment: Assignment) -> bool {
        if self.slots.get() {
            self.started.borrow_mut().push((assignment.entry, assignment.generation, assignment.database));
        }
        self.slots.get()
    }
    fn wake(&self, proc: u32) {
        self.woken.borrow_mut().push(proc);
    }
    fn note(&self, _: u32, what: Note) {
        self.notes.borrow_mut().push(what);
    }
}

fn fake(databases: &[u32]) -> (Fake, Box<Registry>, Launcher) {
    let fake = Fake { databases: RefCell::new(databases.to_vec()), ..Fake::default() };
    fake.now.set(1_000_000_000);
    fake.slots.set(true);
    fake.free.set(u32::MAX);
    (fake, Box::default(), Launcher::default())
}

#[test]
fn each_database_is_looked_at_once() {
    let (h, registry, mut launcher) = fake(&[5, 6]);
    launcher.step(&h, &registry);
    launcher.step(&h, &registry);
    assert_eq!(*h.started.borrow(), [(0, 1, 5), (1, 1, 6)]);
}

#[test]
fn one_without_the_extension_is_left_alone_until_it_has_it() {
    let (h, registry, mut launcher) = fake(&[5]);
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    assert!(entry.attach(1, 100, 3, 0));
    assert!(entry.change((CoordinatorState::Looking, 1), CoordinatorState::Absent, 0));
    entry.detach();
    h.now.set(h.now.get() + 100 * LOOK_EVERY_US);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 1);
    entry.change(entry.state(), CoordinatorState::Failed, 0);
    registry.kick();
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2);
}

#[test]
fn failures_are_retried_ever_more_seldom_and_never_at_once() {
    let (h, registry, mut launcher) = fake(&[5]);
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    for failures in 0..12 {
        let (_, generation) = entry.state();
        assert!(entry.attach(generation, 100, 3, 0));
        entry.detach();
        entry.failed(h.now.get() + backoff(failures));
        entry.change((CoordinatorState::Looking, generation), CoordinatorState::Failed, h.now.get());
        let before = h.started.borrow().len();
        let wait = launcher.step(&h, &registry);
        assert_eq!(h.started.borrow().len(), before, "not at once");
        assert!(wait <= backoff(failures) && wait >= 1_000);
        h.now.set(h.now.get() + backoff(failures));
        launcher.step(&h, &registry);
        assert_eq!(h.started.borrow().len(), before + 1);
    }
    assert_eq!(backoff(30), LONGEST_BACKOFF_US);
}

#[test]
fn without_worker_slots_it_waits_and_says_so_once() {
    let (h, registry, mut launcher) = fake(&[5, 6, 7]);
    h.slots.set(false);
    for _ in 0..20 {
        assert!(launcher.step(&h, &registry) >= 100_000);
        h.now.set(h.now.get() + 1_000_000);
    }
    assert_eq!(*h.notes.borrow(), [Note::NoWorkerSlot]);
    h.slots.set(true);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 3);
}

#[test]
fn who_wants_the_database_hears_whether_somebody_is_in_it_or_about_to_be() {
    let (h, registry, mut launcher) = fake(&[5]);
    assert_eq!(registry.vacate(5, 9), None, "not known");
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    assert_eq!(registry.vacate(5, i64::MAX), Some(None), "it starts, and has no latch yet");
    entry.attach(1, 100, 3, 0);
    assert_eq!((registry.vacate(5, i64::MAX), entry.leaves(h.now.get())), (Some(Some(3)), true));
    exits(&registry, entry, 0);
    assert_eq!((registry.vacate(5, i64::MAX), entry.leaves(h.now.get())), (None, true), "nobody, and nobody comes");
    registry.readmit(5);
    assert!(!entry.leaves(h.now.get()));
}

#[test]
fn a_coordinator_whose_turn_fails_is_failing_until_one_goes_well() {
    let (h, registry, mut launcher) = fake(&[5]);
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    entry.fared(false, 0);
    assert!(!entry.is_failing(), "it does not run");
    entry.attach(1, 100, 3, 0);
    entry.enter(CoordinatorState::Running, 0);
    assert!(!entry.is_failing());
    entry.fared(false, 7);
    assert!(entry.is_failing() && entry.failures() == 1 && entry.retry_at() == 7);
    entry.fared(true, 8);
    assert!(!entry.is_failing());
}

#[test]
fn who_wants_the_database_keeps_coordinators_away_for_a_while() {
    let (h, registry, mut launcher) = fake(&[5]);
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    entry.attach(1, 100, 3, 0);
    entry.ask_to_leave(h.now.get() + 5_000_000);
    entry.detach();
    entry.change((CoordinatorState::Looking, 1), CoordinatorState::Failed, 0);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 1);
    h.now.set(h.now.get() + 5_000_000);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2);
}

#[test]
fn a_database_that_has_gone_is_forgotten() {
    let (h, registry, mut launcher) = fake(&[5, 6]);
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    entry.attach(1, 100, 3, 0);
    h.databases.borrow_mut().remove(0);
    registry.kick();
    launcher.step(&h, &registry);
    assert!(entry.leaves(h.now.get()));
    entry.detach();
    entry.change((CoordinatorState::Looking, 1), CoordinatorState::Failed, 0);
    registry.kick();
    launcher.step(&h, &registry);
    assert_eq!(entry.state().0, CoordinatorState::Free);
}

#[test]
fn a_database_that_is_meant_again_before_its_coordinator_has_left_gets_one() {
    let (h, registry, mut launcher) = fake(&[5]);
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    assert!(entry.attach(1, 100, 3, 0));
    for meant in [vec![], vec![5]] {
        *h.databases.borrow_mut() = meant;
        registry.kick();
        launcher.step(&h, &registry);
    }
    entry.detach();
    entry.change(entry.state(), CoordinatorState::Failed, 0);
    registry.kick();
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2);
}

#[test]
fn too_many_databases_are_said_once_and_get_the_places_of_those_that_go() {
    let room = Box::<Registry>::default().entries.len() as u32;
    let all: Vec<u32> = (1..=room + 2).collect();
    let (h, registry, mut launcher) = fake(&all);
    for _ in 0..5 {
        launcher.step(&h, &registry);
        registry.kick();
    }
    assert_eq!((h.started.borrow().len() as u32, &h.notes.borrow()[..]), (room, &[Note::TooManyDatabases][..]));
    assert!(registry.find(room + 1).is_none() && registry.find(room + 2).is_none());
    // Two have gone, or are not meant any more: their places are free at the next look, and taken at the one after.
    for entry in &registry.entries[..2] {
        entry.change(entry.state(), CoordinatorState::Absent, 0);
    }
    h.databases.borrow_mut().drain(..2);
    for _ in 0..2 {
        registry.kick();
        launcher.step(&h, &registry);
    }
    assert!(registry.find(room + 1).is_some() && registry.find(room + 2).is_some());
    assert_eq!((h.started.borrow().len() as u32, h.notes.borrow().len()), (room + 2, 1));
    // Once more one too many: that is news.
    h.databases.borrow_mut().push(room + 3);
    registry.kick();
    launcher.step(&h, &registry);
    assert_eq!(*h.notes.borrow(), [Note::TooManyDatabases; 2]);
}

#[test]
fn a_coordinator_that_comes_late_is_not_wanted() {
    let (h, registry, mut launcher) = fake(&[5]);
    launcher.step(&h, &registry);
    h.now.set(h.now.get() + START_PATIENCE_US + 1);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2);
    assert!(!registry.entries[0].attach(1, 100, 3, 0));
    assert!(registry.entries[0].attach(2, 101, 4, 0));
}

#[test]
fn one_of_the_reserve_comes_where_the_extension_is() {
    let (h, registry, mut launcher) = fake(&[5, 6]);
    registry.reserve[2].wait(9);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2, "nobody knows yet where it is");
    let entry = &registry.entries[1];
    assert!(entry.attach(1, 100, 3, 0) && cedes(&registry, entry, 0));
    entry.detach();
    launcher.step(&h, &registry);
    assert_eq!((h.started.borrow().len(), &h.woken.borrow()[..]), (2, &[9][..]));
    assert_eq!(registry.reserve[2].take(), Some(Assignment { entry: 1, generation: 2, database: 6 }));
    assert!(entry.attach(2, 101, 9, 0) && !cedes(&registry, entry, 0));
    let other = &registry.entries[0];
    assert!(other.attach(1, 100, 3, 0) && !cedes(&registry, other, 0), "no other is in reserve");
}

#[test]
fn nobody_comes_before_the_last_one_has_gone() {
    let (h, registry, mut launcher) = fake(&[5]);
    registry.reserve[0].wait(9);
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    assert!(entry.attach(1, 100, 3, 0) && cedes(&registry, entry, 0));
    registry.kick();
    launcher.step(&h, &registry);
    assert_eq!((registry.reserve[0].take(), entry.state()), (None, (CoordinatorState::Failed, 1)));
    entry.detach();
    launcher.step(&h, &registry);
    assert_eq!(registry.reserve[0].take(), Some(Assignment { entry: 0, generation: 2, database: 5 }));
}

#[test]
fn without_worker_slots_the_reserve_comes_anywhere() {
    let (h, registry, mut launcher) = fake(&[5, 6]);
    h.slots.set(false);
    registry.reserve[0].wait(9);
    launcher.step(&h, &registry);
    assert_eq!(registry.entries[0].state().0, CoordinatorState::Starting);
    assert_eq!(registry.entries[1].state().0, CoordinatorState::Failed);
    leave_reserve(&registry, 0, 0);
    assert_eq!(registry.entries[0].state().0, CoordinatorState::Failed, "it ended before it saw its assignment");
}

#[test]
fn a_coordinator_that_ends_without_saying_why_has_failed_and_leaves_its_place_last() {
    let (h, registry, mut launcher) = fake(&[5]);
    launcher.step(&h, &registry);
    let (entry, now) = (&registry.entries[0], h.now.get());
    let attach = || assert!(entry.attach(entry.state().1, 100, 3, now));
    attach();
    exits(&registry, entry, now);
    assert_eq!((entry.state().0, entry.failures(), entry.pid()), (CoordinatorState::Failed, 1, 0));
    assert_eq!(entry.retry_at(), now + backoff(0));
    for said in [CoordinatorState::Absent, CoordinatorState::Failed] {
        entry.change(entry.state(), CoordinatorState::Starting, now);
        attach();
        entry.enter(said, now);
        exits(&registry, entry, now);
        assert_eq!((entry.state().0, entry.failures(), entry.pid()), (said, 1, 0), "it had said so");
    }
}

#[test]
fn an_idle_database_has_nobody_until_somebody_makes_a_handler() {
    let (h, registry, mut launcher) = fake(&[5]);
    launcher.step(&h, &registry);
    let entry = &registry.entries[0];
    let leaves = |left_us: u64| {
        let (_, generation) = entry.state();
        assert!(entry.attach(generation, 100, 3, h.now.get()));
        entry.enter(CoordinatorState::Running, h.now.get());
        entry.becomes_idle(0, left_us, h.now.get());
        entry.detach();
    };
    leaves(u64::MAX);
    for _ in 0..100 {
        h.now.set(h.now.get() + LOOK_EVERY_US);
        launcher.step(&h, &registry);
    }
    assert_eq!(h.started.borrow().len(), 1);
    assert_eq!(registry.say(5, Topics::HANDLERS, h.now.get()), None, "there is no launcher just now");
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2);
    // What was emitted is looked after later, and what its tables need when it is time.
    entry.hear();
    leaves(u64::MAX);
    registry.say(5, Topics::EVENTS, h.now.get());
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2);
    h.now.set(h.now.get() + LOOK_EVERY_US);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 3);
    entry.hear();
    leaves(60_000_000);
    h.now.set(h.now.get() + 59_000_000);
    assert!(launcher.step(&h, &registry) <= 1_000_000);
    assert_eq!(h.started.borrow().len(), 3);
    h.now.set(h.now.get() + 1_000_000);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 4);
}

#[test]
fn a_handler_made_while_a_coordinator_leaves_is_heard_by_one_of_both() {
    for _ in 0..2_000 {
        let registry = Box::<Registry>::default();
        let (_, entry) = registry.add(5, 0).unwrap();
        entry.change(entry.state(), CoordinatorState::Failed, 0);
        entry.change(entry.state(), CoordinatorState::Starting, 0);
        assert!(entry.attach(1, 100, 3, 0));
        entry.enter(CoordinatorState::Running, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| registry.say(5, Topics::HANDLERS, 0));
            entry.becomes_idle(0, u64::MAX, 0);
        });
        assert_eq!(entry.state().0, CoordinatorState::Failed, "the next one comes at once");
    }
}

#[test]
fn coordinators_leave_one_slot_to_those_who_call() {
    let (h, registry, mut launcher) = fake(&[5, 6, 7]);
    h.free.set(3);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2);
    for entry in &registry.entries[..2] {
        assert!(entry.attach(1, 100, 3, 0));
    }
    h.free.set(1);
    h.now.set(h.now.get() + 1_000_000);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 2);
    h.workers.set(1);
    h.now.set(h.now.get() + 1_000_000);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 3, "a worker that is there can make way for another one");
}

#[test]
fn one_coordinator_at_a_time_makes_room_for_a_call_and_none_of_the_reserve() {
    let (h, registry, mut launcher) = fake(&[5, 6, 7]);
    assert_eq!(registry.make_room(0), None, "nobody is there");
    launcher.step(&h, &registry);
    for (entry, now) in registry.entries.iter().zip([2, 1, 3]) {
        assert!(entry.attach(1, 100, now as u32, now));
    }
    registry.entries[1].set_reserved(true);
    let now = h.now.get();
    assert_eq!(registry.make_room(now), Some(Some(2)), "the one that came first");
    assert_eq!(registry.make_room(now), Some(None), "it is on its way");
    registry.entries[0].enter(CoordinatorState::Failed, now);
    registry.entries[0].detach();
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 3, "it does not come back at once");
    assert_eq!(registry.make_room(now), Some(Some(3)));
    registry.entries[2].detach();
    assert_eq!(registry.make_room(now), None);
    h.now.set(now + 10_000_000);
    launcher.step(&h, &registry);
    assert_eq!(h.started.borrow().len(), 4, "but later");
}

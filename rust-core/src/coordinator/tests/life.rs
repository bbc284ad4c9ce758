//! The life of a coordinator's process, from its beginning in a database to its end.

use crate::async_event::EventStore;
use crate::async_event::host::Ask;
use crate::async_event::spec::{Fetched, LogEntry as Logged, Spec};
use crate::coordinator::host::{Host, Line, Lost};
use crate::coordinator::process::{Next, Process};
use crate::coordinator::runner::{Runner, Work};
use crate::coordinator::topics::Topics;
use crate::coordinator::unseen::{Snapshot, Unseen};
use crate::host::Saved;
use crate::launcher::registry::{CoordinatorState, Registry};
use crate::lease::work::LeaseUpdate;
use crate::report::INTERNAL_ERROR;
use crate::testing::clocked::world::spec;
use std::cell::{Cell, RefCell};

const DATABASE: u32 = 5;

/// A database, and what is done there.
#[derive(Default)]
struct Database {
    mono: Cell<u64>,
    handlers: RefCell<Vec<Spec>>,
    /// Calls that were made; those that fail.
    calls: RefCell<Vec<&'static str>>,
    broken: RefCell<Vec<&'static str>>,
    orphans: Cell<bool>,
    lost: Cell<Option<Lost>>,
    log: RefCell<Vec<Line>>,
}

impl Database {
    fn call(&self, name: &'static str) -> Result<(), Saved> {
        self.calls.borrow_mut().push(name);
        if self.broken.borrow().contains(&name) { Err(Saved) } else { Ok(()) }
    }

    fn called(&self, name: &str) -> usize {
        self.calls.borrow().iter().filter(|call| **call == name).count()
    }
}

impl Host for Database {
    fn timestamp(&self) -> i64 {
        self.mono.get() as i64
    }
    fn now_us(&self) -> u64 {
        self.mono.get()
    }
    fn error(&self) -> u32 {
        INTERNAL_ERROR
    }
    fn hear(&self) -> Result<(), Saved> {
        self.call("hear")
    }
    fn lost(&self) -> Option<Lost> {
        self.lost.get()
    }
    fn log(&self, _: &'static str, line: Line) {
        self.log.borrow_mut().push(line);
    }
    fn breathe(&self, us: u64) {
        self.mono.set(self.mono.get() + us);
        _ = self.call(if us == 200 { "breathe" } else { "breathe long" });
    }
    fn hurry(&self) {
        _ = self.call("hurry");
    }
    fn orphans(&self) -> bool {
        self.orphans.get()
    }
}

impl Runner for Database {
    fn start(&self, _: u64, _: &Work<'_>) -> Result<bool, Saved> {
        Ok(false)
    }
    fn heard(&self) -> Vec<(u64, LeaseUpdate)> {
        Vec::new()
    }
}

impl crate::definition::part::Store<crate::schedule::part::ScheduleKind> for Database {}

impl crate::schedule::part::ScheduleStore for Database {}

impl crate::definition::part::Store<crate::chunk::part::JobKind> for Database {}

impl crate::chunk::part::ChunkStore for Database {}

impl EventStore for Database {
    fn handlers(&self) -> Result<Vec<Spec>, Saved> {
        self.call("handlers").map(|()| self.handlers.borrow().clone())
    }
    fn fetch(&self, _: Ask<'_>, _: usize) -> Result<(Vec<Fetched>, Snapshot), Saved> {
        self.call("fetch").map(|()| (Vec::new(), Snapshot::default()))
    }
    fn record(&self, _: &[Logged]) -> Result<(), Saved> {
        self.call("record")
    }
    fn truncate(&self, _: u8, _: &Unseen) -> Result<bool, Saved> {
        self.call("truncate").map(|()| true)
    }
}

/// A coordinator that has just come to a database with a handler.
fn begun() -> (Box<Registry>, Database, Process) {
    let registry = Box::<Registry>::default();
    let database = Database::default();
    database.mono.set(5_000_000);
    database.handlers.borrow_mut().push(spec(1, "a"));
    let (_, entry) = registry.add(DATABASE, 0).unwrap();
    entry.change(entry.state(), CoordinatorState::Failed, 0);
    entry.change(entry.state(), CoordinatorState::Starting, 0);
    assert!(entry.attach(1, 100, 3, 0));
    let process = Process::new(&registry, 0, 0, true, 0);
    (registry, database, process)
}

#[test]
fn what_an_earlier_one_began_is_waited_for() {
    let (registry, database, mut process) = begun();
    database.orphans.set(true);
    for _ in 0..3 {
        assert_eq!(process.turn(&database, &registry, false), Next::Sleep(10_000));
    }
    assert_eq!((registry.entries[0].state().0, database.called("fetch")), (CoordinatorState::Looking, 0));
    database.orphans.set(false);
    assert!(matches!(process.turn(&database, &registry, false), Next::Sleep(_)));
    assert_eq!((registry.entries[0].state().0, database.called("fetch")), (CoordinatorState::Running, 1));
    database.orphans.set(true);
    assert_ne!(process.turn(&database, &registry, false), Next::Sleep(10_000), "these are its own");
}

#[test]
fn a_process_of_the_reserve_takes_over_from_one_that_was_not_known_to_find_anything() {
    for handlers in [false, true] {
        let (registry, database, _) = begun();
        registry.reserve[0].wait(9);
        let mut process = Process::new(&registry, 0, 0, handlers, 0);
        let next = process.turn(&database, &registry, false);
        assert_eq!((next == Next::End, registry.entries[0].state().0 == CoordinatorState::Failed), (handlers, handlers));
        assert_eq!(database.called("fetch"), usize::from(!handlers));
    }
}

#[test]
fn it_closes_in_good_order_when_it_is_told_to_end_or_to_leave() {
    for (ends, state) in [(true, CoordinatorState::Running), (false, CoordinatorState::Failed)] {
        let (registry, database, mut process) = begun();
        assert!(matches!(process.turn(&database, &registry, false), Next::Sleep(_)));
        if !ends {
            registry.entries[0].ask_to_leave_for_good();
        }
        assert_eq!(process.turn(&database, &registry, ends), Next::End);
        assert_eq!((database.called("hurry"), registry.entries[0].state().0), (1, state));
    }
    let (registry, database, mut process) = begun();
    assert_eq!(process.turn(&database, &registry, true), Next::End);
    assert_eq!(database.called("hurry"), 0, "it had not begun");
}

#[test]
fn what_it_is_told_is_heard_in_the_next_turn_and_not_while_it_pauses() {
    let (registry, database, mut process) = begun();
    assert!(matches!(process.turn(&database, &registry, false), Next::Sleep(_)));
    let read = database.called("handlers");
    database.broken.borrow_mut().push("handlers");
    assert_eq!(registry.say(DATABASE, Topics::HANDLERS, 0), Some(3));
    assert_eq!(process.turn(&database, &registry, false), Next::Sleep(100_000));
    assert!(registry.entries[0].is_failing());
    database.mono.set(database.mono.get() + 50_000);
    assert_eq!(registry.say(DATABASE, Topics::EVENTS, 0), Some(3));
    let heard = database.called("hear");
    assert_eq!(process.turn(&database, &registry, false), Next::Sleep(50_000));
    assert_eq!(registry.say(DATABASE, Topics::EVENTS, 0), None, "it has not heard that yet");
    assert_eq!(database.called("hear"), heard + 1, "but it has what the server says");
    database.broken.borrow_mut().clear();
    database.mono.set(database.mono.get() + 50_000);
    assert!(matches!(process.turn(&database, &registry, false), Next::Sleep(_)));
    assert_eq!((database.called("handlers"), registry.entries[0].is_failing()), (read + 2, false));
    assert_eq!(registry.say(DATABASE, Topics::EVENTS, 0), Some(3), "now it has");
    assert_eq!(*database.log.borrow(), [Line::Fails]);
}

#[test]
fn what_the_server_says_is_asked_for_again_when_it_could_not_be_heard() {
    let (registry, database, mut process) = begun();
    database.broken.borrow_mut().push("hear");
    assert_eq!(process.turn(&database, &registry, false), Next::Sleep(100_000), "its parts have nothing to wait for");
    assert_eq!((database.called("fetch"), registry.entries[0].is_failing()), (1, false));
    assert_eq!(*database.log.borrow(), [Line::Fails]);
    database.broken.borrow_mut().clear();
    database.mono.set(database.mono.get() + 3_000_000);
    process.turn(&database, &registry, false);
    assert_eq!(*database.log.borrow(), [Line::Fails, Line::WorksAgain]);
}

#[test]
fn without_its_tables_it_leaves_and_says_what_it_found() {
    for (lost, state) in [(Lost::Gone, CoordinatorState::Absent), (Lost::Replaced, CoordinatorState::Failed)] {
        let (registry, database, mut process) = begun();
        database.broken.borrow_mut().push("handlers");
        database.lost.set(Some(lost));
        assert_eq!(process.turn(&database, &registry, false), Next::End);
        assert_eq!((registry.entries[0].state().0, database.log.take()), (state, vec![]));
    }
}

#[test]
fn without_handlers_it_makes_its_entry_idle_and_is_wanted_again_by_who_makes_one() {
    let (registry, database, mut process) = begun();
    database.handlers.borrow_mut().clear();
    let mut turns = 0;
    while process.turn(&database, &registry, false) != Next::End {
        turns += 1;
        assert!(turns < 10);
        database.mono.set(database.mono.get() + 2_000_000);
    }
    assert_eq!((registry.entries[0].state().0, database.called("hurry")), (CoordinatorState::Idle, 0));
    registry.entries[0].detach();
    registry.say(DATABASE, Topics::SCHEDULES, 9_000_000);
    assert_eq!(registry.entries[0].state().0, CoordinatorState::Failed, "the launcher starts one");
}

#[test]
fn a_turn_that_follows_at_once_takes_a_breath_and_a_long_one_where_nobody_handles_what_comes() {
    let (registry, database, mut process) = begun();
    process.turn(&database, &registry, false);
    assert_eq!(database.called("breathe"), 0);
    process.turn(&database, &registry, false);
    assert_eq!(database.called("breathe"), 1);
    registry.say(DATABASE, Topics::EVENTS, 0);
    database.mono.set(database.mono.get() + 1_000);
    process.turn(&database, &registry, false);
    assert_eq!((database.called("breathe"), database.called("breathe long")), (1, 0));
    process.turn(&database, &registry, false);
    assert_eq!((database.called("breathe"), database.called("breathe long")), (1, 1), "what came was for nobody");
}

#[test]
fn one_whose_place_is_not_there_ends() {
    let (registry, database, _) = begun();
    let mut process = Process::new(&registry, u32::MAX, 0, true, 0);
    assert_eq!(process.turn(&database, &registry, false), Next::End);
    assert!(matches!(process.broke_off(&database, &registry), Next::Sleep(100_000)));
}

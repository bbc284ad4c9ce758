//! The launcher: keeps one coordinator of events in each database that has the extension.
//!
//! Which databases have it can be seen from within only: so a coordinator is started in each, and leaves at
//! once where it is not wanted. Later it is told: CREATE EXTENSION kicks the launcher when it commits.
//!
//! A coordinator that finds no handlers leaves too: whoever makes one says so when he commits.
//!
//! Those that may find nothing take worker slots like anybody's. Where the extension is known to be, a process of the
//! reserve is the coordinator, if one is left: it is there however many others want slots.

pub mod quotas;
pub mod registry;
pub mod reserve;
pub mod tallies;

use registry::{CoordinatorState, DatabaseEntry, Registry};
use reserve::Assignment;

/// Between looks at the list of databases.
const LOOK_EVERY_US: i64 = 10_000_000;
/// After a failure: at first this long, doubled each time up to that.
const BACKOFF_US: i64 = 1_000_000;
const LONGEST_BACKOFF_US: i64 = 60_000_000;
/// A coordinator that has not come for this long never will.
const START_PATIENCE_US: i64 = 60_000_000;

/// The next look after one that came to nothing: a panic.
pub const WAIT_AFTER_PANIC_US: i64 = BACKOFF_US;

/// That there is no worker slot is said when it has been so for this long.
const SHORT_FOR_US: i64 = 2_000_000;

/// What the launcher asks of its process.
pub trait LauncherHost {
    fn timestamp(&self) -> i64;
    /// The databases that a coordinator may be in.
    fn databases(&self) -> Option<Vec<u32>>;
    /// Worker slots of the server that nobody has.
    fn free_slots(&self) -> u32;
    /// Those that workers of the pool have.
    fn workers(&self) -> u32;
    /// Start a process that is to be a coordinator; false: there is no worker slot.
    fn start(&self, assignment: Assignment) -> bool;
    /// Set a latch.
    fn wake(&self, proc: u32);
    /// Has the state of a database changed in a way that belongs in the log?
    fn note(&self, database: u32, what: Note);
}

/// What is logged, once for each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    NoWorkerSlot,
    TooManyDatabases,
}

/// What the launcher remembers between looks.
#[derive(Debug, Default)]
pub struct Launcher {
    looked_at: i64,
    known: Vec<u32>,
    /// Since when there has been no slot for somebody, and whether that was said.
    short: Option<(i64, bool)>,
    full: bool,
}

/// When to try again after so many failures.
fn backoff(failures: u32) -> i64 {
    BACKOFF_US.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF_US)
}

impl Launcher {
    /// Look around; microseconds until the next look.
    pub fn step<H: LauncherHost>(&mut self, h: &H, registry: &Registry) -> i64 {
        let now = h.timestamp();
        let kicked = registry.take_kick();
        if kicked || self.known.is_empty() || (now - self.looked_at).abs() >= LOOK_EVERY_US {
            if let Some(databases) = h.databases() {
                self.known = databases;
            }
            self.looked_at = now;
            self.compare(h, registry, now);
        }
        let mut next = LOOK_EVERY_US;
        let mut short = false;
        for (entry, index) in registry.entries.iter().zip(0..) {
            if let Some(due) = due(entry, now) {
                if due > now {
                    next = next.min(due - now);
                } else if !short && !self.start(h, registry, entry, index, now) {
                    short = true;
                    next = next.min(BACKOFF_US);
                }
            }
        }
        self.say_if_short(h, short, now);
        next.max(1_000)
    }

    /// One that starts or leaves just now may be all that it is.
    fn say_if_short<H: LauncherHost>(&mut self, h: &H, short: bool, now: i64) {
        let (since, said) = self.short.filter(|_| short).unwrap_or((now, false));
        let say = short && !said && (now - since).abs() >= SHORT_FOR_US;
        if say {
            h.note(0, Note::NoWorkerSlot);
        }
        self.short = short.then_some((since, said || say));
    }

    /// New databases get an entry; coordinators of those that have gone, or are not meant any more, leave.
    fn compare<H: LauncherHost>(&mut self, h: &H, registry: &Registry, now: i64) {
        let mut full = false;
        for database in &self.known {
            match registry.find(*database) {
                Some((_, entry)) => entry.is_meant(),
                None => match registry.add(*database, now) {
                    Some((_, entry)) => _ = entry.change(entry.state(), CoordinatorState::Failed, now),
                    None => full = true,
                },
            }
        }
        if full && !self.full {
            h.note(0, Note::TooManyDatabases);
        }
        self.full = full;
        for entry in &registry.entries {
            let state = entry.state();
            if state.0 == CoordinatorState::Free || self.known.contains(&entry.database()) {
                continue;
            }
            if entry.pid() == 0 && matches!(state.0, CoordinatorState::Absent | CoordinatorState::Failed | CoordinatorState::Idle) {
                entry.change(state, CoordinatorState::Free, now);
            } else {
                entry.ask_to_leave_for_good();
                entry.proc().into_iter().for_each(|proc| h.wake(proc));
            }
        }
    }

    fn start<H: LauncherHost>(&self, h: &H, registry: &Registry, entry: &DatabaseEntry, index: u32, now: i64) -> bool {
        let state = entry.state();
        entry.may_come_again();
        if !entry.change(state, CoordinatorState::Starting, now) {
            return true;
        }
        let assignment = Assignment { entry: index, generation: entry.state().1, database: entry.database() };
        let from_reserve = || {
            entry.set_reserved(true);
            reserve::give(&registry.reserve, assignment).inspect(|proc| h.wake(*proc)).is_some()
        };
        let from_slots = || {
            entry.set_reserved(false);
            may_take_slot(h, registry) && h.start(assignment)
        };
        let started = match entry.is_known() {
            true => from_reserve() || from_slots(),
            false => from_slots() || from_reserve(),
        };
        if !started {
            entry.change((CoordinatorState::Starting, assignment.generation), CoordinatorState::Failed, now);
        }
        started
    }
}

/// One slot is left for those who call, if not to a worker that is there: without workers a coordinator is of no use
/// either.
fn may_take_slot<H: LauncherHost>(h: &H, registry: &Registry) -> bool {
    // The one that is being started is among these.
    let on_their_way = registry.entries.iter().filter(|entry| entry.state().0 == CoordinatorState::Starting && entry.pid() == 0).count();
    let free = h.free_slots() as usize;
    free >= on_their_way && free.saturating_add(h.workers() as usize) > on_their_way
}

/// A coordinator has come to a database that has the extension: it leaves, if that was not known and one of the
/// reserve can take its place; the launcher, which is to be kicked then, starts that.
pub fn cedes(registry: &Registry, entry: &DatabaseEntry, now: i64) -> bool {
    let cedes = !entry.know() && reserve::any_waits(&registry.reserve);
    cedes && entry.change(entry.state(), CoordinatorState::Failed, now)
}

/// A process of the reserve ends. An assignment that it has not seen goes back to the launcher, whom the caller wakes.
pub fn leave_reserve(registry: &Registry, place: u32, now: i64) {
    let unseen = registry.reserve.get(place as usize).and_then(|place| place.leave());
    if let Some(assignment) = unseen
        && let Some(entry) = registry.entries.get(assignment.entry as usize)
    {
        entry.change((CoordinatorState::Starting, assignment.generation), CoordinatorState::Failed, now);
    }
}

/// The process of a coordinator ends: one that had not said why has failed.
pub fn exits(registry: &Registry, entry: &DatabaseEntry, now: i64) {
    registry.tallies.leave(entry.database());
    let state = entry.state();
    if matches!(state.0, CoordinatorState::Looking | CoordinatorState::Running) {
        entry.failed(now.saturating_add(backoff(entry.failures())));
        entry.change(state, CoordinatorState::Failed, now);
    }
    // Last: from then on another one may come.
    entry.detach();
}

/// When an entry is to be started, if it is.
fn due(entry: &DatabaseEntry, now: i64) -> Option<i64> {
    let (state, _) = entry.state();
    if entry.leaves(now) {
        return None;
    }
    match state {
        // As long as the last one has not gone, it has not left its place to another one.
        CoordinatorState::Failed if entry.pid() == 0 => Some(entry.retry_at().min(now + LONGEST_BACKOFF_US)),
        CoordinatorState::Idle if entry.pid() == 0 => Some(entry.visit_at()).filter(|at| *at < i64::MAX),
        CoordinatorState::Starting if entry.pid() == 0 && (now - entry.since()).abs() > START_PATIENCE_US => Some(now),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
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

    fn fake(databases: &[u32]) -> (Fake, Registry, Launcher) {
        let fake = Fake { databases: RefCell::new(databases.to_vec()), ..Fake::default() };
        fake.now.set(1_000_000_000);
        fake.slots.set(true);
        fake.free.set(u32::MAX);
        (fake, Registry::default(), Launcher::default())
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
        let room = Registry::default().entries.len() as u32;
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
}

//! The launcher: keeps one coordinator of events in each database that has the extension.
//!
//! Which databases have it can be seen from within only: so a coordinator is started in each, and leaves at
//! once where it is not wanted. Later it is told: CREATE EXTENSION kicks the launcher when it commits.
//!
//! Those that may find nothing take worker slots like anybody's. Where the extension is known to be, a process of the
//! reserve is the coordinator, if one is left: it is there however many others want slots.

pub mod registry;
pub mod reserve;
pub mod tallies;

use registry::{Entry, Registry, State};
use reserve::Order;

/// Between looks at the list of databases.
const LOOK_EVERY_US: i64 = 10_000_000;
/// After a failure: at first this long, doubled each time up to that.
const BACKOFF_US: i64 = 1_000_000;
const LONGEST_BACKOFF_US: i64 = 60_000_000;
/// A coordinator that has not come for this long never will.
const START_PATIENCE_US: i64 = 60_000_000;

/// What the launcher asks of its process.
pub trait LauncherHost {
    fn timestamp(&self) -> i64;
    /// The databases that a coordinator may be in.
    fn databases(&self) -> Option<Vec<u32>>;
    /// Start a process that is to be a coordinator; false: there is no worker slot.
    fn start(&self, order: Order) -> bool;
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
    short_of_slots: bool,
    full: bool,
}

/// When to try again after so many failures.
pub fn backoff(failures: u32) -> i64 {
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
        if short && !self.short_of_slots {
            h.note(0, Note::NoWorkerSlot);
        }
        self.short_of_slots = short;
        next.max(1_000)
    }

    /// New databases get an entry; coordinators of those that have gone, or are not meant any more, leave.
    fn compare<H: LauncherHost>(&mut self, h: &H, registry: &Registry, now: i64) {
        let mut full = false;
        for database in &self.known {
            match registry.find(*database) {
                Some((_, entry)) => entry.is_meant(),
                None => match registry.add(*database, now) {
                    Some((_, entry)) => _ = entry.change(entry.state(), State::Failed, now),
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
            if state.0 == State::Free || self.known.contains(&entry.database()) {
                continue;
            }
            if entry.pid() == 0 && matches!(state.0, State::Absent | State::Failed) {
                entry.change(state, State::Free, now);
            } else {
                entry.ask_to_leave_for_good();
                entry.proc().into_iter().for_each(|proc| h.wake(proc));
            }
        }
    }

    fn start<H: LauncherHost>(&self, h: &H, registry: &Registry, entry: &Entry, index: u32, now: i64) -> bool {
        let state = entry.state();
        entry.may_come_again();
        if !entry.change(state, State::Starting, now) {
            return true;
        }
        let order = Order { entry: index, generation: entry.state().1, database: entry.database() };
        let from_reserve = || reserve::give(&registry.reserve, order).inspect(|proc| h.wake(*proc)).is_some();
        let started = match entry.is_known() {
            true => from_reserve() || h.start(order),
            false => h.start(order) || from_reserve(),
        };
        if !started {
            entry.change((State::Starting, order.generation), State::Failed, now);
        }
        started
    }
}

/// A coordinator has come to a database that has the extension: it leaves, if that was not known and one of the
/// reserve can take its place; the launcher, which is to be kicked then, starts that.
pub fn cedes(registry: &Registry, entry: &Entry, now: i64) -> bool {
    let cedes = !entry.know() && reserve::any_waits(&registry.reserve);
    cedes && entry.change(entry.state(), State::Failed, now)
}

/// A process of the reserve ends with an order that it has not seen: it is the launcher's again, which is to be kicked.
pub fn refuse(registry: &Registry, order: Order, now: i64) {
    if let Some(entry) = registry.entries.get(order.entry as usize) {
        entry.change((State::Starting, order.generation), State::Failed, now);
    }
}

/// When an entry is to be started, if it is.
fn due(entry: &Entry, now: i64) -> Option<i64> {
    let (state, _) = entry.state();
    if entry.leaves(now) {
        return None;
    }
    match state {
        // As long as the last one has not gone, it has not left its place to another one.
        State::Failed if entry.pid() == 0 => Some(entry.retry_at().min(now + LONGEST_BACKOFF_US)),
        State::Starting if entry.pid() == 0 && (now - entry.since()).abs() > START_PATIENCE_US => Some(now),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    #[derive(Default)]
    struct Fake {
        now: Cell<i64>,
        databases: RefCell<Vec<u32>>,
        slots: Cell<bool>,
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
        fn start(&self, order: Order) -> bool {
            if self.slots.get() {
                self.started.borrow_mut().push((order.entry, order.generation, order.database));
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
        assert!(entry.change((State::Looking, 1), State::Absent, 0));
        entry.detach();
        h.now.set(h.now.get() + 100 * LOOK_EVERY_US);
        launcher.step(&h, &registry);
        assert_eq!(h.started.borrow().len(), 1);
        entry.change(entry.state(), State::Failed, 0);
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
            entry.change((State::Looking, generation), State::Failed, h.now.get());
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
    fn who_wants_the_database_keeps_coordinators_away_for_a_while() {
        let (h, registry, mut launcher) = fake(&[5]);
        launcher.step(&h, &registry);
        let entry = &registry.entries[0];
        entry.attach(1, 100, 3, 0);
        entry.ask_to_leave(h.now.get() + 5_000_000);
        entry.detach();
        entry.change((State::Looking, 1), State::Failed, 0);
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
        entry.change((State::Looking, 1), State::Failed, 0);
        registry.kick();
        launcher.step(&h, &registry);
        assert_eq!(entry.state().0, State::Free);
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
        entry.change(entry.state(), State::Failed, 0);
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
            entry.change(entry.state(), State::Absent, 0);
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
        assert_eq!(registry.reserve[2].take(), Some(Order { entry: 1, generation: 2, database: 6 }));
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
        assert_eq!((registry.reserve[0].take(), entry.state()), (None, (State::Failed, 1)));
        entry.detach();
        launcher.step(&h, &registry);
        assert_eq!(registry.reserve[0].take(), Some(Order { entry: 0, generation: 2, database: 5 }));
    }

    #[test]
    fn without_worker_slots_the_reserve_comes_anywhere() {
        let (h, registry, mut launcher) = fake(&[5, 6]);
        h.slots.set(false);
        registry.reserve[0].wait(9);
        launcher.step(&h, &registry);
        assert_eq!(registry.entries[0].state().0, State::Starting);
        assert_eq!((registry.entries[1].state().0, &h.notes.borrow()[..]), (State::Failed, &[Note::NoWorkerSlot][..]));
        let unseen = registry.reserve[0].leave().unwrap();
        refuse(&registry, unseen, 0);
        assert_eq!(registry.entries[0].state().0, State::Failed, "it ended before it saw its order");
    }
}

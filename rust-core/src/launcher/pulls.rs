//! How consumers ask the coordinator of their database for events: places in shared memory. A consumer writes what it wants
//! into its place and sleeps; the coordinator answers, and wakes it. Only numbers cross here: what a lease has is in the
//! tables before the coordinator says its number.
//!
//! ```text
//!                 consumer: enter            coordinator: answer
//!   Free, ticket ------------------> Asked --------------------> Answered
//!    ^                                 |  the consumer leaves        |  it has read the answer
//!    +---------------------------------+-----------------------------+          ticket + 1
//! ```
//!
//! A ticket names one question. So an answer that comes late, when the place is somebody else's, answers nothing.

use super::registry::{CoordinatorState, Registry};
use crate::coordinator::topics::Topics;
use crate::error::Error;
use crate::host::World;
use crate::report::{CANNOT_CONNECT_NOW, CONFIGURATION_LIMIT_EXCEEDED, Field, Report};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::*, fence};

/// Consumers of the server that can ask at a time.
pub const PLACES: usize = 512;

/// Events that a question can name.
pub const NAMED: usize = 16;

/// A coordinator that runs answers within milliseconds. One that does not, for so long, is said to be missing.
const PATIENCE_US: u64 = 10_000_000;

/// A consumer that nobody wakes looks again after this time.
const LOOK_AGAIN_US: u64 = 1_000_000;

const FREE: u64 = 0;
const FILLING: u64 = 1;
const ASKED: u64 = 2;
const ANSWERED: u64 = 3;

#[repr(C, align(64))]
#[derive(Debug)]
struct Place {
    /// The ticket, times four, and the state.
    word: AtomicU64,
    pid: AtomicU32,
    proc: AtomicU32,
    database: AtomicU32,
    handler: AtomicU32,
    /// How many are wanted, or named.
    count: AtomicU32,
    /// Events are wanted, and waited for; events are wanted; a lease is asked for, or extended.
    kind: AtomicU32,
    lease_us: AtomicU64,
    lease: AtomicI64,
    events: [AtomicI64; NAMED],
    leases: [AtomicI64; NAMED],
}

impl Default for Place {
    fn default() -> Self {
        let zeroes = || std::array::from_fn(|_| AtomicI64::new(0));
        Self {
            word: AtomicU64::new(0),
            pid: AtomicU32::new(0),
            proc: AtomicU32::new(0),
            database: AtomicU32::new(0),
            handler: AtomicU32::new(0),
            count: AtomicU32::new(0),
            kind: AtomicU32::new(0),
            lease_us: AtomicU64::new(0),
            lease: AtomicI64::new(0),
            events: zeroes(),
            leases: zeroes(),
        }
    }
}

impl Place {
    /// What is asked here for that database. Who asked may leave while it is read, and somebody else may ask: what was read then is
    /// nobody's question, and that of the other one is found next time.
    #[expect(clippy::disallowed_methods, reason = "a question names few events")]
    fn question(&self, index: u32, database: u32) -> Option<Question> {
        let word = self.word.load(SeqCst);
        if word & 3 != ASKED || self.database.load(Relaxed) != database {
            return None;
        }
        let (lease_us, count) = (self.lease_us.load(Relaxed), self.count.load(Relaxed));
        let wanted = match self.kind.load(Relaxed) {
            FINDS => Wanted::Leases {
                events: self.events.iter().take(count as usize).map(|event| event.load(Relaxed)).collect(),
                lease_us: (lease_us > 0).then_some(lease_us),
            },
            kind => Wanted::Events { most: count, lease_us, waits: kind == WAITS },
        };
        let handler = self.handler.load(Relaxed);
        fence(Acquire);
        (self.word.load(Relaxed) == word).then_some(Question { ticket: Ticket { place: index, word: word & !3 }, handler, wanted })
    }
}

/// All zeroes is: nobody asks.
#[derive(Debug)]
pub struct Pulls {
    places: [Place; PLACES],
    /// None beyond has ever been taken.
    used: AtomicU32,
}

impl Default for Pulls {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| Place::default()), used: AtomicU32::new(0) }
    }
}

/// What a consumer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// So many events at most; where there are none, it waits for some.
    Events { most: u32, lease_us: u64, waits: bool },
    /// The leases of these events; from now on they are to last so long, if that is given.
    Leases { events: Vec<i64>, lease_us: Option<u64> },
}

/// A question, as the coordinator finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub ticket: Ticket,
    pub handler: u32,
    pub wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    place: u32,
    word: u64,
}

#[cfg(test)]
impl Ticket {
    pub fn of(number: u64) -> Self {
        Self { place: 0, word: number }
    }
}

const WAITS: u32 = 0;
const TAKES: u32 = 1;
const FINDS: u32 = 2;

impl Pulls {
    fn enter(&self, pid: u32) -> Option<Ticket> {
        for (place, index) in self.places.iter().zip(0..) {
            let word = place.word.load(SeqCst);
            if word & 3 == FREE && place.word.compare_exchange(word, word | FILLING, SeqCst, Relaxed).is_ok() {
                place.pid.store(pid, SeqCst);
                self.used.fetch_max(index + 1, SeqCst);
                return Some(Ticket { place: index, word });
            }
        }
        None
    }

    fn place(&self, ticket: Ticket) -> Option<&Place> {
        self.places.get(ticket.place as usize)
    }

    fn ask(&self, ticket: Ticket, proc: u32, (database, handler): (u32, u32), wanted: &Wanted) {
        let Some(place) = self.place(ticket) else { return };
        // Whoever reads one of these numbers sees that the place is being filled.
        fence(Release);
        let (kind, count, lease_us) = match wanted {
            Wanted::Events { most, lease_us, waits } => (if *waits { WAITS } else { TAKES }, *most, *lease_us),
            Wanted::Leases { events, lease_us } => (FINDS, events.len().min(NAMED) as u32, lease_us.unwrap_or(0)),
        };
        if let Wanted::Leases { events, .. } = wanted {
            place.events.iter().zip(events).for_each(|(to, event)| to.store(*event, Relaxed));
        }
        place.leases.iter().for_each(|lease| lease.store(0, Relaxed));
        for (to, value) in
            [(&place.proc, proc), (&place.database, database), (&place.handler, handler), (&place.count, count), (&place.kind, kind)]
        {
            to.store(value, Relaxed);
        }
        place.lease_us.store(lease_us, Relaxed);
        place.lease.store(0, Relaxed);
        place.word.store(ticket.word | ASKED, SeqCst);
    }

    /// Does the question still wait for its answer?
    fn answered(&self, ticket: Ticket) -> bool {
        self.place(ticket).is_some_and(|place| place.word.load(SeqCst) == ticket.word | ANSWERED)
    }

    /// It waits no more: what is read now is the answer. One that is being written is there in an instant.
    fn close(&self, ticket: Ticket) {
        let Some(place) = self.place(ticket) else { return };
        let unanswered = place.word.compare_exchange(ticket.word | ASKED, ticket.word | ANSWERED, SeqCst, Relaxed).is_ok();
        while !unanswered && place.word.load(SeqCst) == ticket.word | FILLING {
            std::hint::spin_loop();
        }
    }

    fn leave(&self, ticket: Ticket) {
        if let Some(place) = self.place(ticket) {
            place.pid.store(0, SeqCst);
            place.word.store(ticket.word.wrapping_add(4), SeqCst);
        }
    }

    /// The process exits, whatever it waits for.
    pub fn leave_all(&self, pid: u32) {
        for (place, index) in self.places.iter().zip(0..) {
            if place.pid.load(SeqCst) == pid {
                self.leave(Ticket { place: index, word: place.word.load(SeqCst) & !3 });
            }
        }
    }

    /// What consumers of a database want.
    #[expect(clippy::disallowed_methods, reason = "no more than there are places")]
    pub fn questions(&self, database: u32) -> Vec<Question> {
        let used = self.used.load(SeqCst) as usize;
        self.places.iter().zip(0..).take(used).filter_map(|(place, index)| place.question(index, database)).collect()
    }

    /// The latch of who asked; None: nobody waits for this answer any more. `leases`: of each event that was named, 0: none.
    pub fn answer(&self, ticket: Ticket, lease: i64, leases: &[i64]) -> Option<u32> {
        let place = self.place(ticket)?;
        place.word.compare_exchange(ticket.word | ASKED, ticket.word | FILLING, SeqCst, Relaxed).ok()?;
        place.lease.store(lease, Relaxed);
        place.leases.iter().zip(leases).for_each(|(to, lease)| to.store(*lease, Relaxed));
        let proc = place.proc.load(Relaxed);
        // Who asked may have gone meanwhile.
        place.word.compare_exchange(ticket.word | FILLING, ticket.word | ANSWERED, SeqCst, Relaxed).ok().map(|_| proc)
    }

    fn read(&self, ticket: Ticket) -> (i64, [i64; NAMED]) {
        let place = self.place(ticket);
        let leases = place.map(|place| std::array::from_fn(|i| place.leases[i].load(Relaxed)));
        (place.map_or(0, |place| place.lease.load(Relaxed)), leases.unwrap_or([0; NAMED]))
    }
}

fn full() -> Error {
    let report = Report::error(CONFIGURATION_LIMIT_EXCEEDED, "too many consumers ask for events at the same time");
    Error::Report(Box::new(
        report
            .with(Field::Detail, format!("The limit is {PLACES} for the server."))
            .with(Field::Hint, "Let fewer consumers wait at a time."),
    ))
}

fn missing() -> Error {
    let report = Report::error(CANNOT_CONNECT_NOW, "the event coordinator of this database does not answer");
    Error::Report(Box::new(report.with(Field::Hint, "See the view aside.coordinators, and the server's log, for its state.")))
}

/// Ask, and wait for the answer for as long as events are waited for, and then for as long as the coordinator may need. The
/// lease that was given, 0: none; and those of the events that were named.
pub fn ask<W: World>(
    h: &W,
    registry: &Registry,
    (database, handler): (u32, u32),
    wanted: &Wanted,
    wait_us: u64,
) -> Result<(i64, [i64; NAMED]), Error> {
    let pulls = &registry.pulls;
    let ticket = pulls.enter(h.my_pid()).ok_or_else(full)?;
    pulls.ask(ticket, h.my_proc(), (database, handler), wanted);
    let answered = wait_for(h, registry, ticket, database, matches!(wanted, Wanted::Events { waits: true, .. }).then_some(wait_us));
    pulls.close(ticket);
    let answer = pulls.read(ticket);
    pulls.leave(ticket);
    answered.map(|()| answer)
}

fn wait_for<W: World>(h: &W, registry: &Registry, ticket: Ticket, database: u32, wait_us: Option<u64>) -> Result<(), Error> {
    let start = h.now_us();
    let mut alive = start;
    let latch = registry.say(database, Topics::PULLS, h.timestamp());
    latch.into_iter().for_each(|proc| h.wake(proc));
    loop {
        if registry.pulls.answered(ticket) {
            return Ok(());
        }
        let now = h.now_us();
        let runs = registry.find(database).is_some_and(|(_, entry)| entry.state().0 == CoordinatorState::Running && !entry.is_failing());
        if runs && wait_us.is_some() {
            alive = now;
        }
        if now.saturating_sub(alive) >= PATIENCE_US {
            return Err(missing());
        }
        let left = wait_us.map_or(u64::MAX, |most| most.saturating_sub(now.saturating_sub(start)));
        if left == 0 {
            return Ok(());
        }
        h.sleep(left.min(LOOK_AGAIN_US).div_ceil(1000) as u32)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Saved, Slept};
    use std::cell::{Cell, RefCell};

    /// A consumer whose sleep is a step of the test.
    struct Consumer<'t> {
        now_us: Cell<u64>,
        woken: RefCell<Vec<u32>>,
        meanwhile: &'t dyn Fn(u32) -> Result<(), Saved>,
    }

    impl World for Consumer<'_> {
        fn now_us(&self) -> u64 {
            self.now_us.get()
        }
        fn timestamp(&self) -> i64 {
            0
        }
        fn cpus(&self) -> u32 {
            1
        }
        fn my_pid(&self) -> u32 {
            100
        }
        fn my_proc(&self) -> u32 {
            7
        }
        fn interrupt_pending(&self) -> bool {
            false
        }
        fn terminating(&self) -> bool {
            false
        }
        fn sleep(&self, timeout_ms: u32) -> Result<Slept, Saved> {
            self.now_us.set(self.now_us.get() + u64::from(timeout_ms) * 1000);
            (self.meanwhile)(timeout_ms).map(|()| Slept::TimedOut)
        }
        fn doze(&self, _: u32) -> Slept {
            Slept::TimedOut
        }
        fn wake(&self, proc: u32) {
            self.woken.borrow_mut().push(proc);
        }
        fn relax(&self) {}
    }

    fn consumer<'t>(meanwhile: &'t dyn Fn(u32) -> Result<(), Saved>) -> Consumer<'t> {
        Consumer { now_us: Cell::new(0), woken: RefCell::default(), meanwhile }
    }

    /// A server with a coordinator of database 5, or a place for one.
    fn server(runs: bool) -> Box<Registry> {
        let registry = Box::<Registry>::default();
        let (_, entry) = registry.add(5, 0).unwrap();
        if runs {
            assert!(entry.change(entry.state(), CoordinatorState::Starting, 0));
            assert!(entry.attach(entry.state().1, 90, 3, 0));
            entry.enter(CoordinatorState::Running, 0);
        }
        registry
    }

    const SOME: Wanted = Wanted::Events { most: 3, lease_us: 9, waits: true };

    #[test]
    fn a_question_is_answered_once_and_names_what_is_wanted() {
        let registry = server(true);
        let answer = |_| {
            let asked = registry.pulls.questions(5);
            assert_eq!((asked.len(), asked[0].handler, &asked[0].wanted), (1, 8, &SOME));
            assert_eq!(registry.pulls.questions(6), []);
            assert_eq!(registry.pulls.answer(asked[0].ticket, 77, &[]), Some(7));
            assert_eq!(registry.pulls.answer(asked[0].ticket, 78, &[]), None);
            Ok(())
        };
        let h = consumer(&answer);
        assert_eq!(ask(&h, &registry, (5, 8), &SOME, 1_000_000).unwrap().0, 77);
        assert_eq!((h.woken.take(), registry.pulls.questions(5)), (vec![3], vec![]), "the coordinator is woken, and nothing is left");
        let named = Wanted::Leases { events: vec![4, 5], lease_us: Some(60) };
        let tell = |_| {
            let asked = registry.pulls.questions(5);
            assert_eq!(asked[0].wanted, named);
            registry.pulls.answer(asked[0].ticket, 0, &[0, 6]);
            Ok(())
        };
        assert_eq!(ask(&consumer(&tell), &registry, (5, 8), &named, 0).unwrap().1[..3], [0, 6, 0]);
    }

    #[test]
    fn who_waits_does_so_for_as_long_as_it_said_and_an_answer_after_that_is_nobodys() {
        let registry = server(true);
        let late = RefCell::new(None);
        let look = |_| {
            late.replace(Some(registry.pulls.questions(5)[0].ticket));
            Ok(())
        };
        let h = consumer(&look);
        assert_eq!(ask(&h, &registry, (5, 8), &SOME, 90_500_000).unwrap().0, 0);
        assert_eq!(h.now_us.get(), 90_500_000);
        assert_eq!(registry.pulls.answer(late.take().unwrap(), 77, &[]), None);
        // Another one has its place by now.
        let next = |_| {
            let (old, new) = (late.take(), registry.pulls.questions(5)[0].ticket);
            assert!(old.is_none_or(|old| registry.pulls.answer(old, 78, &[]).is_none()));
            _ = registry.pulls.answer(new, 79, &[]);
            Ok(())
        };
        assert_eq!(ask(&consumer(&next), &registry, (5, 8), &SOME, 1_000_000).unwrap().0, 79);
    }

    #[test]
    fn a_coordinator_that_does_not_answer_is_said_to_be_missing() {
        for (runs, wanted) in [(false, SOME), (true, Wanted::Events { most: 1, lease_us: 9, waits: false })] {
            let registry = server(runs);
            let h = consumer(&|_| Ok(()));
            let Err(Error::Report(said)) = ask(&h, &registry, (5, 8), &wanted, u64::MAX) else { panic!("it is missing") };
            assert_eq!((said.sqlstate, h.now_us.get()), (CANNOT_CONNECT_NOW, PATIENCE_US));
            assert_eq!(registry.pulls.questions(5), []);
        }
    }

    #[test]
    fn what_fails_or_exits_leaves_its_place_and_no_more_ask_than_there_are_places() {
        let registry = server(true);
        assert!(matches!(ask(&consumer(&|_| Err(Saved)), &registry, (5, 8), &SOME, 1_000_000), Err(Error::Saved)));
        assert_eq!(registry.pulls.questions(5), []);
        let pulls = &registry.pulls;
        for _ in 0..PLACES {
            let ticket = pulls.enter(100).unwrap();
            pulls.ask(ticket, 7, (5, 8), &SOME);
        }
        let Err(Error::Report(said)) = ask(&consumer(&|_| Ok(())), &registry, (5, 8), &SOME, 0) else { panic!("there is a place") };
        assert_eq!((said.sqlstate, pulls.questions(5).len()), (CONFIGURATION_LIMIT_EXCEEDED, PLACES));
        pulls.leave_all(101);
        assert_eq!(pulls.questions(5).len(), PLACES);
        pulls.leave_all(100);
        assert_eq!(pulls.questions(5), []);
    }

    #[test]
    fn a_question_is_read_whole_or_not_at_all() {
        let pulls = Box::<Pulls>::default();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in (1..=20_000).cycle().take(1_000_000) {
                    let ticket = pulls.enter(100).unwrap();
                    pulls.ask(ticket, 7, (5, n), &Wanted::Events { most: n, lease_us: u64::from(n), waits: false });
                    pulls.close(ticket);
                    pulls.leave(ticket);
                }
                done.store(true, SeqCst);
            });
            while !done.load(SeqCst) {
                for Question { handler, wanted, .. } in pulls.questions(5) {
                    assert_eq!(wanted, Wanted::Events { most: handler, lease_us: u64::from(handler), waits: false });
                }
            }
        });
    }
}

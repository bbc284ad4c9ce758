//! The part of a coordinator that runs definitions of one kind. A book decides what runs. The part keeps the book, writes down
//! what the book says, and tells the book what workers say.

use super::{LOCKED, Standing};
use crate::coordinator::host::Host;
use crate::coordinator::part::{Context, Part};
use crate::coordinator::runner::{Runner, Work};
use crate::coordinator::topics::Topics;
use crate::host::Saved;
use crate::lease::work::{CommandResult, LeaseUpdate};
use crate::memory;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// A kind of definitions, and what its part remembers from one step to the next, beside the book.
pub trait DefinitionKind: Default {
    type Definition;
    /// What belongs to a definition and runs: a run, or a chunk.
    type Row;
    /// What is written down.
    type Entry;
    /// How a lease ended, as the book understands it.
    type End;
    type Book: Book;
    const NAME: &'static str;
    /// What a coordinator is told when definitions of this kind have changed.
    const TOPIC: Topics;
    const IS_URGENT: bool = true;
    /// The lease whose worker's words go along with the entry.
    fn lease(entry: &Self::Entry) -> Option<u64>;
    /// What has ended with this entry, so that whoever waits for it is woken; the database has answered this.
    fn ended(entry: &Self::Entry, answer: i64) -> Option<i64>;
}

/// What a part asks of its book, apart from a step.
pub trait Book: Default {
    /// Definitions or rows may have changed.
    fn reload(&mut self);
    /// What this lease's worker said is lost.
    fn lose(&mut self, lease: u64);
    /// A worker says that it has begun.
    fn began(&mut self, lease: u64, pid: u32, at: i64) {
        _ = (lease, pid, at);
    }
    /// Is there nothing to do until somebody says so?
    fn rests(&self) -> bool;
    /// The leases that run something.
    fn leases(&self) -> impl Iterator<Item = u64>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseOutcome<E> {
    pub lease: u64,
    pub end: E,
}

/// Definitions, and the rows that belong to them.
pub type Loaded<K> = (Vec<<K as DefinitionKind>::Definition>, Vec<<K as DefinitionKind>::Row>);

/// What workers have said of leases, until it is written down.
pub type Said = BTreeMap<u64, Box<CommandResult>>;

/// What a book asks of the tables and workers of its kind. A call that fails may have done its work or not. The book then
/// reads everything anew.
pub trait Tables<K: DefinitionKind> {
    /// The definitions that have not ended, and their rows that have not.
    fn load(&self) -> Result<Loaded<K>, Saved>;
    /// May each of these run now? The answers come in the same order.
    fn standing(&self, definitions: &[i64]) -> Result<Vec<Standing>, Saved>;
    /// Write these in one transaction. Of each entry: 0 if it is not written, because the tables say something else by now;
    /// [`LOCKED`]; else what the kind says.
    fn record(&self, entries: &[K::Entry]) -> Result<Vec<i64>, Saved>;
    /// Cancel what a worker runs. The lease's outcome says how it ended.
    fn cancel(&self, lease: u64);
    /// What workers have said since the last call.
    fn outcomes(&self) -> Vec<LeaseOutcome<K::End>>;
}

/// What a database offers to definitions of a kind. See [`Tables`]. A world without such definitions need not say anything.
pub trait Store<K: DefinitionKind> {
    fn load(&self) -> Result<Loaded<K>, Saved> {
        Ok((Vec::new(), Vec::new()))
    }
    fn standing(&self, definitions: &[i64]) -> Result<Vec<Standing>, Saved> {
        _ = definitions;
        Err(Saved)
    }
    /// What workers have said of the leases that entries name goes along.
    fn record(&self, entries: &[K::Entry], said: &Said) -> Result<Vec<i64>, Saved> {
        _ = (entries, said);
        Err(Saved)
    }
    /// Wake who waits for this one, which has ended; None: any may have.
    fn wake_waiters(&self, ended: Option<i64>) {
        _ = ended;
    }
}

/// A kind that runs in such a world.
pub trait Runs<H>: DefinitionKind {
    /// What a worker said, as the book understands it, and what is kept of it until it is written down. None: nothing that
    /// ends a lease.
    fn heard(host: &H, now: i64, said: LeaseUpdate) -> Option<(Self::End, Option<Box<CommandResult>>)>;
    /// The book takes a step. Microseconds until the next one.
    fn step(book: &mut Self::Book, view: &StepView<'_, '_, H, Self>) -> Result<u64, Saved>;
}

/// The definitions of one kind of a coordinator's database.
pub struct DefinitionPart<K: DefinitionKind> {
    book: K::Book,
    kind: K,
    said: Said,
    outcomes: RefCell<Vec<LeaseOutcome<K::End>>>,
    /// The monotonic clock, when the next step is needed.
    step_at: u64,
}

impl<K: DefinitionKind> Default for DefinitionPart<K> {
    fn default() -> Self {
        Self { book: K::Book::default(), kind: K::default(), said: Said::new(), outcomes: RefCell::default(), step_at: 0 }
    }
}

/// One step's view of the world.
pub struct StepView<'v, 'c, H, K: DefinitionKind> {
    pub host: &'c H,
    pub kind: &'v K,
    cx: RefCell<&'v mut Context<'c, H>>,
    said: RefCell<&'v mut Said>,
    outcomes: &'v RefCell<Vec<LeaseOutcome<K::End>>>,
    /// Leases that go on.
    pub leases: Cell<usize>,
    /// There was no worker in this step.
    pub without: Cell<bool>,
}

impl<H: Store<K> + Runner, K: DefinitionKind> Tables<K> for StepView<'_, '_, H, K> {
    fn load(&self) -> Result<Loaded<K>, Saved> {
        let loaded = self.host.load()?;
        // A user may have ended or dropped a definition.
        self.host.wake_waiters(None);
        Ok(loaded)
    }
    fn standing(&self, definitions: &[i64]) -> Result<Vec<Standing>, Saved> {
        self.host.standing(definitions)
    }
    fn record(&self, entries: &[K::Entry]) -> Result<Vec<i64>, Saved> {
        let mut said = self.said.borrow_mut();
        let numbers = self.host.record(entries, &said)?;
        for (entry, number) in entries.iter().zip(&numbers).filter(|(_, number)| **number != LOCKED) {
            K::lease(entry).into_iter().for_each(|lease| _ = said.remove(&lease));
            K::ended(entry, *number).into_iter().for_each(|ended| self.host.wake_waiters(Some(ended)));
        }
        Ok(numbers)
    }
    fn cancel(&self, lease: u64) {
        self.host.cancel(lease);
    }
    fn outcomes(&self) -> Vec<LeaseOutcome<K::End>> {
        self.outcomes.take()
    }
}

/// No lease of a worker has such a number.
const NO_WORKER: u64 = 1 << 63;

impl<H: Runner, K: DefinitionKind> StepView<'_, '_, H, K> {
    /// Have a worker do this: the number of the lease. None: no worker is to be had now.
    pub fn start_work(&self, owner: u32, work: &Work<'_>) -> Result<Option<u64>, Saved> {
        let started = self.cx.borrow_mut().start(owner, work)?;
        self.leases.set(self.leases.get() + usize::from(started.is_some()));
        self.without.set(started.is_none());
        Ok(started)
    }

    /// Is there a worker for this owner, as it looks?
    pub fn look_for(&self, owner: u32, superuser: bool) -> Result<bool, Saved> {
        self.cx.borrow_mut().look_for(owner, superuser)
    }

    /// Another part got no worker in this turn.
    pub fn others_wait(&self) -> bool {
        self.cx.borrow().others_wait()
    }

    /// No worker need be asked: it is as if a lease with this number had ended so, of the row or definition with this id.
    pub fn end_at_once(&self, id: i64, end: K::End, result: Option<Box<CommandResult>>) -> Option<u64> {
        let lease = NO_WORKER | id.unsigned_abs();
        memory::push(&mut self.outcomes.borrow_mut(), LeaseOutcome { lease, end }, K::NAME).ok()?;
        #[expect(clippy::disallowed_methods, reason = "a node of a tree for each lease")]
        result.into_iter().for_each(|result| _ = self.said.borrow_mut().insert(lease, result));
        Some(lease)
    }
}

impl<K: DefinitionKind> DefinitionPart<K> {
    fn ended(&mut self, lease: u64, end: K::End, result: Option<Box<CommandResult>>) {
        #[expect(clippy::disallowed_methods, reason = "a node of a tree for each lease")]
        result.into_iter().for_each(|result| _ = self.said.insert(lease, result));
        if memory::push(self.outcomes.get_mut(), LeaseOutcome { lease, end }, K::NAME).is_err() {
            self.said.remove(&lease);
            self.book.lose(lease);
        }
    }
}

impl<H: Host + Runner, K: Runs<H>> Part<H> for DefinitionPart<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn is_urgent(&self) -> bool {
        K::IS_URGENT
    }

    fn tell(&mut self, topics: Topics) {
        if topics.has(K::TOPIC) {
            self.book.reload();
            self.step_at = 0;
        }
    }

    fn hear(&mut self, cx: &mut Context<'_, H>, lease: u64, said: LeaseUpdate) {
        if let LeaseUpdate::Began { pid, at } = said {
            self.book.began(lease, pid, at);
        } else if let Some((end, result)) = K::heard(cx.host, cx.began, said) {
            self.ended(lease, end, result);
        } else {
            return;
        }
        self.step_at = 0;
    }

    fn step(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        let host = cx.host;
        if host.now_us() < self.step_at {
            return Ok(());
        }
        let (leases, without) = (Cell::new(self.book.leases().count()), Cell::new(false));
        let (cx, said) = (RefCell::new(cx), RefCell::new(&mut self.said));
        let view = StepView { host, kind: &self.kind, cx, said, outcomes: &self.outcomes, leases, without };
        // What failed is tried again when the next turn comes.
        self.step_at = 0;
        let wait = K::step(&mut self.book, &view)?;
        let more = !self.outcomes.borrow().is_empty();
        self.step_at = if more { 0 } else { host.now_us().saturating_add(wait) };
        Ok(())
    }

    fn wait_us(&self, host: &H) -> u64 {
        self.step_at.saturating_sub(host.now_us())
    }

    fn rests(&self, _: &H) -> Option<u64> {
        (self.book.rests() && self.outcomes.borrow().is_empty()).then_some(u64::MAX)
    }

    /// What runs ends with its coordinator. The next coordinator finds that it was lost, unless it is done.
    fn close(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        self.book.leases().for_each(|lease| _ = cx.host.cancel(lease));
        Ok(())
    }
}

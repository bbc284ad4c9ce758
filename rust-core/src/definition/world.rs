//! What the simulated worlds of schedules and of jobs share: a clock, workers, locked rows, and what may go wrong.

use super::{LOCKED, Standing};
use crate::host::Saved;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// What may go wrong at the next call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    RecordFails,
    /// It is written, but nobody hears that.
    RecordIsNotHeard,
    LoadFails,
    StartFails,
}

/// `T`: the clock's numbers. `W`: a worker at its work.
pub(crate) struct SharedWorld<T, W> {
    pub(crate) now: Cell<T>,
    pub(crate) workers: RefCell<Vec<W>>,
    pub(crate) last_lease: Cell<u64>,
    pub(crate) slots: Cell<usize>,
    pub(crate) fault: Cell<Fault>,
    pub(crate) random: RefCell<fastrand::Rng>,
    /// The owners may not act.
    pub(crate) waits: Cell<bool>,
    /// Definitions that somebody's open transaction has locked, and their rows.
    pub(crate) locked: RefCell<BTreeSet<i64>>,
}

impl<T: Copy, W> SharedWorld<T, W> {
    pub(crate) fn new(seed: u64, now: T) -> Self {
        Self {
            now: Cell::new(now),
            workers: RefCell::default(),
            last_lease: Cell::new(0),
            slots: Cell::new(4),
            fault: Cell::default(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            waits: Cell::new(false),
            locked: RefCell::default(),
        }
    }

    pub(crate) fn one_in(&self, n: u32) -> bool {
        self.random.borrow_mut().u32(0..n) == 0
    }

    pub(crate) fn may_fail(&self, fault: Fault) -> Result<(), Saved> {
        if self.fault.get() != fault {
            return Ok(());
        }
        self.fault.set(Fault::None);
        Err(Saved)
    }

    /// Are all workers busy?
    pub(crate) fn is_full(&self) -> bool {
        self.workers.borrow().len() >= self.slots.get()
    }

    pub(crate) fn next_lease(&self) -> u64 {
        self.last_lease.set(self.last_lease.get() + 1);
        self.last_lease.get()
    }

    /// Each definition's owner has its number.
    pub(crate) fn standing(&self, definitions: &[i64], exists: impl Fn(i64) -> bool) -> Vec<Standing> {
        let standing = |id: &i64| match exists(*id) {
            false => Standing::Ended,
            true if self.waits.get() => Standing::Waits,
            true => Standing::Acts { owner: *id as u32, superuser: false },
        };
        definitions.iter().map(standing).collect()
    }

    /// Write these down. `of`: the definition of an entry.
    pub(crate) fn record<E>(&self, entries: &[E], of: impl Fn(&E) -> Option<i64>, apply: impl Fn(&E) -> i64) -> Result<Vec<i64>, Saved> {
        self.may_fail(Fault::RecordFails)?;
        let locked = |entry: &E| of(entry).is_some_and(|definition| self.locked.borrow().contains(&definition));
        let numbers = entries.iter().map(|entry| if locked(entry) { LOCKED } else { apply(entry) }).collect();
        self.may_fail(Fault::RecordIsNotHeard)?;
        Ok(numbers)
    }
}

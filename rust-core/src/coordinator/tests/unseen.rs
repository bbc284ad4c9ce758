//! Whatever transactions do, and whenever the one who looks ends and comes again: each row that was committed is found,
//! and by one look only.
//!
//! A failure prints its seed; `ASIDE_SEED` runs that one alone.

use crate::coordinator::unseen::{Snapshot, Unseen};
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: std::ops::Range<u64> = 1..301;
const RANDOM_SEEDS: usize = 100;
const ACTIONS: u32 = 400;

/// A transaction that has not ended. It gets its number with its first row.
#[derive(Default)]
struct Transaction {
    xid: Option<u64>,
    /// Rows of it, and of each subtransaction that is open in it.
    rows: Vec<Vec<i64>>,
    prepared: bool,
}

/// A table, and who writes to it.
struct Server {
    rng: fastrand::Rng,
    next: u64,
    transactions: Vec<Transaction>,
    next_row: i64,
    /// Rows that are there for whoever sees their transaction.
    committed: BTreeMap<i64, u64>,
}

impl Server {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Often the numbers of 32 bits begin anew while the test runs.
        let epoch = rng.u64(..3);
        let next = if rng.bool() { ((epoch + 1) << 32) - rng.u64(1..300) } else { epoch << 32 | rng.u64(3..1 << 32) };
        Self { rng, next, transactions: Vec::new(), next_row: 1, committed: BTreeMap::new() }
    }

    fn assign(&mut self) -> u64 {
        let xid = self.next;
        self.next += 1;
        // The first numbers of an epoch are no transactions'.
        if (self.next as u32) < 3 {
            self.next += 3;
        }
        xid
    }

    /// As the server takes it: the numbers of 32 bits of those that run, in no order.
    fn snapshot(&mut self) -> Snapshot {
        let mut running: Vec<u32> = self.transactions.iter().filter_map(|transaction| Some(transaction.xid? as u32)).collect();
        self.rng.shuffle(&mut running);
        Snapshot { next: self.next, xmax: self.next as u32, running }
    }

    /// The rows that somebody with a snapshot that is taken now sees.
    fn visible(&self) -> BTreeMap<i64, u64> {
        self.committed.clone()
    }

    fn end(&mut self, index: usize, commits: bool) {
        let transaction = self.transactions.swap_remove(index);
        if let Some(xid) = transaction.xid.filter(|_| commits) {
            self.committed.extend(transaction.rows.into_iter().flatten().map(|row| (row, xid)));
        }
    }

    fn act(&mut self) {
        let some = (!self.transactions.is_empty()).then(|| self.rng.usize(..self.transactions.len()));
        match (self.rng.u32(..20), some) {
            (0..5, _) | (_, None) => self.transactions.push(Transaction { rows: vec![Vec::new()], ..Transaction::default() }),
            (5..11, Some(index)) if !self.transactions[index].prepared => {
                let xid = self.transactions[index].xid.unwrap_or_else(|| self.assign());
                let transaction = &mut self.transactions[index];
                transaction.xid = Some(xid);
                transaction.rows.last_mut().unwrap().push(self.next_row);
                self.next_row += 1;
            }
            // Subtransactions begin, are released, and are rolled back. They have numbers of their own.
            (11, Some(index)) if !self.transactions[index].prepared => {
                self.transactions[index].rows.push(Vec::new());
                if self.transactions[index].xid.is_some() {
                    self.assign();
                }
            }
            (12 | 13, Some(index)) if !self.transactions[index].prepared && self.transactions[index].rows.len() > 1 => {
                let kept = self.rng.bool();
                let rows = self.transactions[index].rows.pop().unwrap();
                self.transactions[index].rows.last_mut().unwrap().extend(rows.into_iter().filter(|_| kept));
            }
            (14, Some(index)) => self.transactions[index].prepared = true,
            (15..19, Some(index)) => {
                let commits = self.rng.u32(..4) > 0;
                self.end(index, commits);
            }
            // Somebody writes elsewhere.
            _ => _ = self.assign(),
        }
    }

    fn act_some(&mut self) {
        (0..self.rng.u32(..4)).for_each(|_| self.act());
    }

    /// Only what is prepared outlives it.
    fn crash(&mut self) {
        self.transactions.retain(|transaction| transaction.prepared);
    }
}

/// Who looks. Rows that somebody has dealt with are known to the tables, as the log of events knows them.
#[derive(Default)]
struct Looker {
    unseen: Option<Unseen>,
    /// Rows that this one has found.
    found: BTreeSet<i64>,
}

impl Looker {
    /// Each step takes a while, and may be the last one.
    fn look(&mut self, server: &mut Server, done: &BTreeSet<i64>) -> Result<(), ()> {
        let step = |server: &mut Server| {
            server.act_some();
            if server.rng.u32(..30) == 0 { Err(()) } else { Ok(()) }
        };
        step(server)?;
        // One snapshot: what is visible by it is read later, and the number that comes next is asked for later.
        let (mut snapshot, visible) = (server.snapshot(), server.visible());
        step(server)?;
        snapshot.next = server.next;
        let rows: Vec<i64> = match &self.unseen {
            None => visible.into_keys().filter(|row| !done.contains(row)).collect(),
            Some(unseen) => visible.into_iter().filter(|(_, xid)| unseen.has(*xid)).map(|(row, _)| row).collect(),
        };
        step(server)?;
        // What fails after the query has read is asked for again.
        if server.rng.u32(..20) == 0 {
            return Ok(());
        }
        for row in rows {
            assert!(self.found.insert(row), "{row} was found twice");
        }
        self.unseen = Some(Unseen::by(&snapshot));
        step(server)
    }

    /// What may be found only later is not lost meanwhile: a table is emptied only of what has been seen.
    fn unseen_rows(&self, server: &Server) -> bool {
        self.unseen.as_ref().is_none_or(|unseen| server.visible().values().any(|xid| unseen.has(*xid)))
    }
}

fn run(seed: u64) {
    let mut server = Server::new(seed);
    let mut looker = Looker::default();
    let mut done = BTreeSet::new();
    for _ in 0..ACTIONS {
        server.act_some();
        let looked = match server.rng.u32(..4) {
            0 => looker.look(&mut server, &done),
            _ => Ok(()),
        };
        // Some of what was found is dealt with, and some is not before it ends.
        let some: Vec<i64> = looker.found.iter().copied().filter(|_| server.rng.u32(..3) == 0).collect();
        done.extend(some);
        if !looker.unseen_rows(&server) {
            let left = server.committed.keys().find(|row| !looker.found.contains(row) && !done.contains(row));
            assert_eq!(left, None, "nobody has seen it, and its table may be emptied");
        }
        if looked.is_err() || server.rng.u32(..100) == 0 {
            looker = Looker::default();
            if server.rng.bool() {
                server.crash();
            }
        }
    }
    while !server.transactions.is_empty() {
        let commits = server.rng.bool();
        server.end(0, commits);
    }
    while looker.look(&mut server, &done).is_err() || looker.unseen_rows(&server) || !server.transactions.is_empty() {
        if server.rng.u32(..8) == 0 {
            looker = Looker::default();
        }
        while !server.transactions.is_empty() {
            server.end(0, true);
        }
    }
    let lost = server.committed.keys().find(|row| !looker.found.contains(row) && !done.contains(row));
    assert_eq!(lost, None, "it was committed, and is not found");
    let invented = looker.found.iter().find(|row| !server.committed.contains_key(row));
    assert_eq!(invented, None, "it was not committed");
}

#[test]
fn each_committed_row_is_found_by_one_look() {
    let seeds: Vec<u64> = match std::env::var("ASIDE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => SEEDS.chain(std::iter::repeat_with(|| fastrand::u64(..)).take(RANDOM_SEEDS)).collect(),
    };
    for seed in seeds {
        eprintln!("ASIDE_SEED={seed}");
        run(seed);
    }
}

#[test]
fn before_the_first_look_all_is_unseen() {
    assert!(Unseen::default().has(0) && Unseen::default().has(u64::MAX));
}

#[test]
fn numbers_of_32_bits_are_of_this_epoch_or_of_the_one_before() {
    let wrapped = Snapshot { next: 5 << 32 | 100, xmax: 90, running: vec![80, u32::MAX - 1] };
    let unseen = Unseen::by(&wrapped);
    assert_eq!(unseen, Unseen { from: 5 << 32 | 90, running: vec![(5 << 32) - 2, 5 << 32 | 80] });
    for (xid, has) in [((5 << 32) - 2, true), ((5 << 32) - 1, false), (5 << 32 | 80, true), (5 << 32 | 89, false), (5 << 32 | 90, true)] {
        assert_eq!(unseen.has(xid), has, "{xid}");
    }
    // The one who asks for the next number may be told of a new epoch: the snapshot was taken in the old one.
    let before = Snapshot { next: 5 << 32 | 3, xmax: u32::MAX - 5, running: vec![u32::MAX - 9] };
    assert_eq!(Unseen::by(&before), Unseen { from: (5 << 32) - 6, running: vec![(5 << 32) - 10] });
    assert_eq!(Unseen::by(&Snapshot { next: 700, xmax: 700, running: Vec::new() }).from, 700);
}

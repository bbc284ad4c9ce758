//! The state of the simulated world, and what clients do to it.

use super::workers::Running;
use crate::async_event::complaints::Complaint;
use crate::async_event::spec::*;
use crate::coordinator::unseen::Snapshot;
use crate::definition::Standing;
use crate::launcher::pulls::{Question, Ticket};
use crate::lease::work::LeaseUpdate;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub const SECOND: i64 = 1_000_000;

/// What happens when a handler runs an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    Good,
    /// It takes so many microseconds.
    Takes(u64),
    /// It fails so many times.
    Fails(u32),
    /// So many conflicts.
    Conflicts(u32),
    /// It finds no worker for a call of its own, so many times.
    Starves(u32),
    KillsWorker(u32),
    KillsServer(u32),
    /// It is put off by so many microseconds, so many times.
    Snoozes(u32, i64),
    /// It is given up at once.
    Discards,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub event: Fetched,
    pub nature: Nature,
    pub committed: bool,
    /// Returned to the coordinator that lives now.
    pub fetched: bool,
    /// The step that fetched it.
    pub fetched_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    Dead,
    Cancelled,
    Expired,
}

/// A consumer's lease, as the log has it.
#[derive(Clone, Debug, Default)]
pub struct ConsumerLease {
    pub handler: u32,
    pub since: i64,
    pub until: i64,
    /// What has become of its events.
    pub events: BTreeMap<i64, Option<LeaseFate>>,
    /// An open transaction has said something of it.
    pub busy: bool,
}

/// What the log says of an event and a handler.
#[derive(Clone, Debug, Default)]
pub struct Logged {
    pub attempts: u32,
    pub next_at: Option<i64>,
    pub asked: bool,
    pub put_offs: u32,
    /// By the handler, not with others of its key.
    pub snoozed: u32,
    pub unfinished: bool,
    /// The attempt is a consumer's.
    pub lease: Option<i64>,
    pub end: Option<End>,
    /// How often the handler began it, and how often its effects were committed.
    pub runs: u32,
    pub effects: u32,
    pub crashes: u32,
}

pub struct State {
    pub rng: fastrand::Rng,
    pub mono: u64,
    pub wall: i64,
    pub next_id: i64,
    pub next_tid: u64,
    /// The number of the next transaction, and those that run, each with what it inserted.
    pub next_xid: u64,
    pub running: BTreeMap<u64, Vec<i64>>,
    pub rows: BTreeMap<i64, Row>,
    pub log: BTreeMap<(i64, u32), Logged>,
    pub entries: Vec<LogEntry>,
    pub current: u8,
    pub specs: Vec<Spec>,
    /// Of those that do not act as their owners at once.
    pub standings: BTreeMap<u32, Standing>,
    pub listening: Vec<Vec<u8>>,
    pub notes: VecDeque<Notification>,
    /// Notifications as handlers began them: handler, payload.
    pub noted: Vec<(u32, Vec<u8>)>,
    /// Events as handlers began them.
    pub began: Vec<(u32, i64)>,
    /// Groups that were closed; those that have ended, and how often.
    pub closed: BTreeSet<i64>,
    pub groups_ended: BTreeMap<i64, u32>,
    /// A group that somebody has.
    pub held_group: Option<i64>,
    /// Events whose keys were freed by the beginning of an attempt.
    pub keys_freed: BTreeSet<i64>,
    /// When handlers began events, and notifications: handler, time, how many, are they events?
    pub starts: Vec<(u32, u64, usize, bool)>,
    /// When the rate of a handler was changed, and how much workers had then, which may begin yet.
    pub rate_since: BTreeMap<u32, (u64, usize)>,
    pub workers: usize,
    /// It seems that there is one, always.
    pub looks_free: bool,
    pub leases: BTreeMap<u64, Running>,
    pub next_lease: u64,
    pub heard: Vec<(u64, LeaseUpdate)>,
    /// Times that the rest of a lease was taken back.
    pub recalls: u64,
    /// How long a batch takes, at most.
    pub batch_us: u64,
    /// Chance that a call fails; and that a worker dies, or ends early.
    pub faults: f64,
    pub deaths: f64,
    /// Calls that fail for sure.
    pub broken: Vec<&'static str>,
    pub first_fetch: bool,
    pub step: u64,
    /// Times each call was made.
    pub calls: BTreeMap<&'static str, u64>,
    /// Payloads of notifications that were recorded.
    pub spilled: BTreeMap<i64, Vec<u8>>,
    /// What the log was told, and of which handler.
    pub complaints: Vec<(String, Complaint)>,
    pub server_died: bool,
    /// Workers cannot begin, and say this.
    pub refuses: Option<u32>,
    /// What consumers ask, and what they were told: the lease, or the leases of events that they named.
    pub questions: Vec<Question>,
    pub answers: Vec<(Ticket, i64, Vec<i64>)>,
    pub consumer_leases: BTreeMap<i64, ConsumerLease>,
    pub generations: i64,
    /// Events whose waiters were told that they have ended.
    pub told: Vec<i64>,
    /// A table was, since the coordinator has last looked where events lie.
    pub rewritten: bool,
    /// The coordinator is being shut down.
    pub closing: bool,
    /// The last one failed for want of memory.
    pub short: bool,
    /// Calls have failed.
    pub failed: bool,
    pub wrong: Vec<String>,
}

pub struct World(RefCell<State>);

impl World {
    pub fn new(seed: u64) -> Self {
        Self(RefCell::new(State {
            rng: fastrand::Rng::with_seed(seed),
            mono: 1_000_000,
            wall: 800_000_000 * SECOND,
            next_id: 1,
            next_tid: 1,
            // Soon its 32 bits begin anew.
            next_xid: (7 << 32) - 40,
            running: BTreeMap::new(),
            rows: BTreeMap::new(),
            log: BTreeMap::new(),
            entries: Vec::new(),
            current: 0,
            specs: Vec::new(),
            standings: BTreeMap::new(),
            listening: Vec::new(),
            notes: VecDeque::new(),
            noted: Vec::new(),
            began: Vec::new(),
            closed: BTreeSet::new(),
            groups_ended: BTreeMap::new(),
            held_group: None,
            keys_freed: BTreeSet::new(),
            starts: Vec::new(),
            rate_since: BTreeMap::new(),
            workers: 4,
            looks_free: false,
            leases: BTreeMap::new(),
            next_lease: 1,
            heard: Vec::new(),
            recalls: 0,
            batch_us: 1000,
            faults: 0.0,
            deaths: 0.0,
            broken: Vec::new(),
            first_fetch: true,
            step: 0,
            calls: BTreeMap::new(),
            spilled: BTreeMap::new(),
            complaints: Vec::new(),
            server_died: false,
            refuses: None,
            questions: Vec::new(),
            answers: Vec::new(),
            consumer_leases: BTreeMap::new(),
            generations: 0,
            told: Vec::new(),
            rewritten: false,
            closing: false,
            short: false,
            failed: false,
            wrong: Vec::new(),
        }))
    }

    pub fn get(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    pub fn get_and<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.borrow_mut())
    }

    pub fn set(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }
}

pub fn spec(id: u32, channel: &str) -> Spec {
    Spec {
        id,
        name: format!("h{id}").into_bytes(),
        channel: channel.into(),
        owner: 10,
        concurrency: 1,
        batch_size: 1,
        max_attempts: 3,
        backoff_us: SECOND,
        cap_us: 60 * SECOND,
        version: 1,
        ..Spec::default()
    }
}

impl State {
    pub fn wrong(&mut self, what: String) {
        let at = format!("step {}: {what}", self.step);
        self.wrong.push(at);
    }

    /// A table is written anew: its rows lie elsewhere, each where another one was.
    pub fn rewrite(&mut self, partition: u8) {
        let of_it = |row: &&mut Row| row.event.partition == partition;
        let mut tids: Vec<u64> = self.rows.values_mut().filter(of_it).map(|row| row.event.tid).collect();
        tids.reverse();
        self.rows.values_mut().filter(of_it).zip(tids).for_each(|(row, tid)| row.event.tid = tid);
        self.rewritten = true;
    }

    /// What a worker finds where it looks.
    pub fn lies(&self, id: i64, partition: u8, tid: u64) -> bool {
        self.rows.get(&id).is_some_and(|row| (row.event.partition, row.event.tid) == (partition, tid))
    }

    /// An event of a transaction that has not ended, and of no other event.
    pub fn insert(&mut self, channel: &str, nature: Nature, adjust: impl FnOnce(&mut Fetched)) -> i64 {
        let txid = self.begin();
        self.insert_in(txid, channel, nature, adjust)
    }

    pub fn insert_in(&mut self, txid: u64, channel: &str, nature: Nature, adjust: impl FnOnce(&mut Fetched)) -> i64 {
        let (id, tid, partition) = (self.next_id, self.next_tid, self.current);
        self.running.get_mut(&txid).unwrap().push(id);
        self.next_id += 1;
        self.next_tid += 1;
        let mut event = Fetched { txid, partition, tid, id, channel: channel.into(), run_at: self.wall, ..Fetched::default() };
        adjust(&mut event);
        event.timed = event.run_at != self.wall;
        self.rows.insert(id, Row { event, nature, committed: false, fetched: false, fetched_at: 0 });
        id
    }

    /// A transaction begins.
    pub fn begin(&mut self) -> u64 {
        // The first numbers of an epoch are no transactions'.
        if (self.next_xid as u32) < 3 {
            self.next_xid += 3;
        }
        let xid = self.next_xid;
        self.next_xid += 1;
        self.running.insert(xid, Vec::new());
        xid
    }

    pub fn snapshot(&self) -> Snapshot {
        let xmax = if (self.next_xid as u32) < 3 { self.next_xid + 3 } else { self.next_xid };
        Snapshot { next: xmax, xmax: xmax as u32, running: self.running.keys().map(|xid| *xid as u32).collect() }
    }

    /// The transaction that inserted this event ends, unless it has ended: all that it inserted.
    fn end(&mut self, id: i64) -> Vec<i64> {
        let txid = self.rows.get(&id).map(|row| row.event.txid);
        txid.and_then(|txid| self.running.remove(&txid)).unwrap_or_default()
    }

    pub fn commit(&mut self, id: i64) {
        for id in self.end(id) {
            self.rows.get_mut(&id).unwrap().committed = true;
        }
    }

    pub fn abort(&mut self, id: i64) {
        for id in self.end(id) {
            self.rows.remove(&id);
        }
    }

    pub fn emit(&mut self, channel: &str, nature: Nature) -> i64 {
        self.emit_as(channel, nature, |_| {})
    }

    pub fn emit_as(&mut self, channel: &str, nature: Nature, adjust: impl FnOnce(&mut Fetched)) -> i64 {
        let id = self.insert(channel, nature, adjust);
        self.commit(id);
        id
    }

    /// Nothing comes into it any more: whoever has emitted into it has committed.
    pub fn close_group(&mut self, group: i64) {
        assert!(!self.rows.values().any(|row| row.event.group == group && !row.committed));
        self.closed.insert(group);
        self.emit_as("", Nature::Good, |row| row.command = Some(EventCommand::CloseGroup(group)));
    }

    /// Has it an event that has not ended?
    pub fn group_is_open(&self, group: i64) -> bool {
        self.outstanding().iter().any(|(event, _)| self.rows[event].event.group == group)
    }

    pub fn cancel(&mut self, event: i64) {
        self.emit_as("", Nature::Good, |row| row.command = Some(EventCommand::Cancel(event)));
    }

    /// Its emitter changes what waits: priority, and maybe time. Some may have ended meanwhile.
    pub fn change(&mut self, id: i64, priority: i32, run_at: Option<i64>) {
        let txid = self.begin();
        self.running.remove(&txid);
        let tid = self.next_tid;
        self.next_tid += 1;
        let Some(row) = self.rows.get_mut(&id) else { return };
        let event = &mut row.event;
        event.first_txid = event.first_txid.or(Some(event.txid));
        (event.txid, event.tid, event.priority) = (txid, tid, priority);
        self.rewritten = true;
        let Some(run_at) = run_at else { return };
        (event.run_at, event.timed, event.timed_txid) = (run_at, true, Some(txid));
        for (_, logged) in self.log.range_mut((id, 0)..=(id, u32::MAX)).filter(|(_, logged)| logged.end.is_none() && !logged.unfinished) {
            if logged.next_at.is_some() {
                (logged.next_at, logged.asked) = (Some(run_at), true);
            }
        }
    }

    /// The most attempts of an event by a handler.
    pub fn most_attempts(&self, event: i64, handler: u32) -> Option<u32> {
        let own = self.rows.get(&event).and_then(|row| row.event.max_attempts);
        own.or_else(|| self.specs.iter().find(|spec| spec.id == handler).map(|spec| spec.max_attempts))
    }

    pub fn notify(&mut self, channel: &str, payload: &str) {
        if self.listening.iter().any(|listened| listened == channel.as_bytes()) {
            self.notes.push_back(Notification { channel: channel.into(), payload: payload.into(), pid: 1 });
        }
    }

    /// The handlers that an event is for.
    pub fn handlers_of(&self, event: &Fetched) -> Vec<u32> {
        let mine = |spec: &&Spec| match event.target {
            Some(target) => target == spec.id,
            None => spec.takes(&event.channel, event.id),
        };
        let some = self.specs.iter().filter(mine).filter(|_| event.command.is_none());
        some.map(|spec| spec.id).collect()
    }

    pub fn spec(&mut self, id: u32, change: impl FnOnce(&mut Spec)) {
        let spec = self.specs.iter_mut().find(|spec| spec.id == id).unwrap();
        change(spec);
        spec.version += 1;
    }

    /// Events of another channel are for it from now on; those that there are stay.
    pub fn change_channel(&mut self, id: u32, channel: &str) {
        let last = self.next_id - 1;
        self.spec(id, |spec| {
            spec.former.push(Former { channel: std::mem::replace(&mut spec.channel, channel.into()), since: spec.since, until: last });
            spec.since = last;
        });
    }

    pub fn set_rate(&mut self, id: u32, limit: u32, period_us: i64) {
        let with_workers = self.leases.values().filter(|lease| lease.spec.id == id).map(Running::events).sum();
        self.rate_since.insert(id, (self.mono, with_workers));
        self.spec(id, |spec| (spec.rate_limit, spec.rate_period_us) = (limit, period_us));
    }

    pub fn logged(&mut self, event: i64, handler: u32) -> &mut Logged {
        self.log.entry((event, handler)).or_default()
    }

    pub fn ended(&self, event: i64, handler: u32) -> Option<End> {
        self.log.get(&(event, handler)).and_then(|logged| logged.end)
    }

    /// Committed events that have not ended for some handler.
    pub fn outstanding(&self) -> Vec<(i64, u32)> {
        let committed = self.rows.values().filter(|row| row.committed);
        let pairs = committed.flat_map(|row| self.handlers_of(&row.event).into_iter().map(|handler| (row.event.id, handler)));
        pairs.filter(|(event, handler)| self.ended(*event, *handler).is_none()).collect()
    }
}

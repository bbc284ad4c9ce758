//! How a caller comes by a worker: the last one it had, an idle one of its key, a new one, one that
//! another caller gives back; and when it must be told that there is none.
//!
//! Nothing here is locked. A claim is one compare-and-swap on the slot's state word; what was read
//! about a slot before it holds exactly if the swap succeeds, because the word carries the generation.
//! A caller that waits is enlisted before it looks for the last time, so a worker given back in
//! between is not missed; each wait is bounded by a tick, and all of them by `aside.checkout_timeout`.

use super::area::Area;
use super::deadlock::Watch;
use super::slot::{Key, Lease, Slot, SlotState};
use crate::error::Error;
use crate::host::{CallerHost, Launch, Saved, World};
use crate::report::{CONFIGURATION_LIMIT_EXCEEDED, DEADLOCK_DETECTED, Field, Report};
use crate::task::{Table, dispatch};
use std::cell::Cell;
use std::sync::atomic::{Ordering::*, fence};

/// How long to sleep before looking again unasked: at first, then, and from then on.
const TICKS_MS: [u32; 3] = [3, 20, 100];
/// To end a worker and to start another one costs as much as ten to a hundred calls. So an idle worker of another key ends at
/// once only where that key has two more than the caller's. Where the caller's key has none, it ends when it has been idle for
/// the first of these times, or has been there for the second one; where it has fewer, for the first; and else for the third.
const PAUSE_US: i64 = 2_000;
const RESIDENCE_US: i64 = 20_000;
const REST_US: i64 = 100_000;
/// A session that calls in a loop may take its worker again this often while others wait.
const BARGES: u32 = 16;
/// And then stands aside for at most this long.
const STAND_ASIDE_MS: u32 = 5;

/// What bounds a borrow; 0 is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub per_role: u32,
    pub per_session: u32,
    pub min_workers: u32,
    pub timeout_ms: u32,
    /// How long a wait lasts before a chain of waits is looked for; `deadlock_timeout`.
    pub deadlock_ms: u32,
}

impl Limits {
    /// A coordinator is no session that might take all for itself: handlers have limits of their own.
    pub fn of_coordinator(self) -> Self {
        Self { per_session: 0, ..self }
    }
}

/// What a session remembers between borrows.
#[derive(Debug, Default)]
pub struct Borrower {
    last: Cell<Option<u32>>,
    barges: Cell<u32>,
    waiting: Cell<bool>,
}

/// A lease, and what it took to get it.
#[derive(Clone, Copy, Debug)]
pub struct Borrowed {
    pub lease: Lease,
    /// The worker was started for this lease.
    pub launched: bool,
    /// Microseconds spent waiting for a worker to be free.
    pub waited_us: Option<u64>,
}

/// Which limit stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    Slots,
    Role,
    Session,
    WorkerProcesses,
}

impl Shortage {
    /// Any worker that somebody gives back would help.
    pub fn of_workers(self) -> bool {
        matches!(self, Self::Slots | Self::WorkerProcesses)
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Slots => "aside.max_workers",
            Self::Role => "aside.max_workers_per_role",
            Self::Session => "aside.max_workers_per_session",
            Self::WorkerProcesses => "max_worker_processes",
        }
    }
}

impl Borrower {
    /// This process exits in the middle of a wait: it must not be counted for ever.
    pub fn leave(&self, area: &Area, pid: u32) {
        if self.waiting.replace(false) {
            area.delist(pid);
        }
    }
}

/// Borrow a worker of this key.
pub fn borrow<H: CallerHost>(
    h: &H,
    area: &Area,
    me: &Borrower,
    key: Key,
    limits: &Limits,
    tasks: Option<&Table>,
) -> Result<Borrowed, Error> {
    let fair = area.waiters() == 0 || me.barges.get() < BARGES;
    if fair
        && beyond(area, h.my_pid(), key, limits).is_none()
        && let Some(lease) = me.last.get().and_then(|index| claim_idle(h, area, index, key, limits))
    {
        me.barges.set(me.barges.get() + 1);
        return Ok(Borrowed { lease, launched: false, waited_us: None });
    }
    me.barges.set(0);
    let start = h.now_us();
    let mut waited = false;
    if !fair {
        enlist(h, me, area);
        for _ in 0..2 {
            h.wait_slot(STAND_ASIDE_MS).inspect_err(|_| delist(h, me, area))?;
        }
        waited = true;
    }
    let mut watch = Watch::new(start, limits.deadlock_ms);
    let mut ticks = TICKS_MS.into_iter();
    let found = loop {
        let shortage = match attempt(h, area, key, limits) {
            Ok(Ok((lease, launched))) => break Ok((lease, launched)),
            Ok(Err(shortage)) => shortage,
            Err(saved) => break Err(saved.into()),
        };
        let spent_ms = h.now_us().saturating_sub(start) / 1000;
        let room = shortage == Shortage::WorkerProcesses && make_room(h, area);
        if let Some(report) = hopeless(h, area, key, limits, shortage).filter(|_| !room) {
            break Err(Error::Report(Box::new(report)));
        }
        let left = u64::from(limits.timeout_ms).saturating_sub(spent_ms);
        if left == 0 {
            break Err(Error::Report(Box::new(exhausted(shortage, limits.timeout_ms))));
        }
        enlist(h, me, area);
        waited = true;
        if h.wait_slot(ticks.next().unwrap_or(TICKS_MS[2]).min(left as u32)).is_err() {
            break Err(Error::Saved);
        }
        tasks.into_iter().for_each(|tasks| dispatch::reclaim(h, area, tasks));
        match watch.look(h, area, tasks) {
            Ok(None) => {}
            Ok(Some(deadlock)) => break Err(Error::Report(Box::new(deadlocked(deadlock.detail)))),
            Err(saved) => break Err(saved.into()),
        }
    };
    watch.end(h, area);
    if me.waiting.get() {
        delist(h, me, area);
    }
    let (lease, launched) = found?;
    me.last.set(Some(lease.slot));
    let waited_us = waited.then(|| h.now_us().saturating_sub(start));
    Ok(Borrowed { lease, launched, waited_us })
}

/// A worker of this key if there is one to be had at once, or what is short.
pub fn try_borrow<H: CallerHost>(h: &H, area: &Area, key: Key, limits: &Limits) -> Result<Result<Borrowed, Shortage>, Saved> {
    let found = attempt(h, area, key, limits)?;
    Ok(found.map(|(lease, launched)| Borrowed { lease, launched, waited_us: None }))
}

/// What would be short for a worker of this key, by a look; nothing is claimed. Whether the server has a process left is
/// known only from having one started: where the last try found none, one is, and serves who comes when it is ready.
pub fn foresee<H: CallerHost>(h: &H, area: &Area, key: Key, limits: &Limits, processes_left: bool) -> Result<Option<Shortage>, Saved> {
    if let Some(shortage) = beyond(area, h.my_pid(), key, limits) {
        return Ok(Some(shortage));
    }
    let of_key = |state: SlotState| area.slots.iter().any(|slot| slot.state().0 == state && slot.key() == key);
    if of_key(SlotState::Idle) {
        return Ok(None);
    }
    if let Some(shortage) = full_role(h, area, key, limits) {
        return Ok(Some(shortage));
    }
    reclaim(h, area);
    let Some((index, slot)) = area.slots.iter().enumerate().find(|(_, slot)| slot.state().0 == SlotState::Free) else {
        retire_for(h, area, key);
        return Ok(Some(Shortage::Slots));
    };
    if processes_left {
        return Ok(None);
    }
    if !of_key(SlotState::Starting)
        && let Some(generation) = slot.claim_for_prewarming(slot.state().1, key, h.my_pid())
    {
        let launched = h.launch(index as u32, generation, key);
        if !matches!(launched, Ok(Launch::Started)) {
            slot.change(generation, SlotState::Starting, SlotState::Free);
            retire_for(h, area, key);
            launched?;
        }
    }
    Ok(Some(Shortage::WorkerProcesses))
}

fn enlist<H: World>(h: &H, me: &Borrower, area: &Area) {
    if !me.waiting.replace(true) {
        area.enlist(h.my_pid());
    }
}

fn delist<H: CallerHost>(h: &H, me: &Borrower, area: &Area) {
    me.leave(area, h.my_pid());
    h.end_wait_slot();
}

fn claim_idle<H: World>(h: &H, area: &Area, index: u32, key: Key, limits: &Limits) -> Option<Lease> {
    let slot = area.slot(index)?;
    let (state, generation) = slot.state();
    if state != SlotState::Idle || slot.key() != key {
        return None;
    }
    let generation = slot.claim(SlotState::Idle, generation, (h.my_pid(), h.my_proc()))?;
    area.header.busy.fetch_add(1, Relaxed);
    if role_exceeds(area, key.user, limits.per_role) {
        area.release(slot, generation);
        // It may have looked for a task meanwhile.
        if area.tasks_wait() {
            slot.wake_worker(h);
        }
        return None;
    }
    Some(Lease { slot: index, generation })
}

/// One look at everything: a lease, or what is short.
fn attempt<H: CallerHost>(h: &H, area: &Area, key: Key, limits: &Limits) -> Result<Result<(Lease, bool), Shortage>, Saved> {
    if let Some(shortage) = beyond(area, h.my_pid(), key, limits) {
        return Ok(Err(shortage));
    }
    for index in 0..area.slots.len() as u32 {
        if let Some(lease) = claim_idle(h, area, index, key, limits) {
            return Ok(Ok((lease, false)));
        }
    }
    if let Some(shortage) = full_role(h, area, key, limits) {
        return Ok(Err(shortage));
    }
    reclaim(h, area);
    for (index, slot) in area.slots.iter().enumerate() {
        let (state, generation) = slot.state();
        if state != SlotState::Free {
            continue;
        }
        let Some(generation) = slot.claim(SlotState::Free, generation, (h.my_pid(), h.my_proc())) else { continue };
        area.header.busy.fetch_add(1, Relaxed);
        slot.set_key(key);
        if role_exceeds(area, key.user, limits.per_role) {
            area.give_back(slot, generation);
            return Ok(Err(Shortage::Role));
        }
        let lease = Lease { slot: index as u32, generation };
        area.clear_rings(lease.slot);
        match h.launch(lease.slot, generation, key) {
            Ok(Launch::Started) => {
                prewarm(h, area, key, limits);
                return Ok(Ok((lease, true)));
            }
            Ok(Launch::NoWorkerSlot) => {
                area.give_back(slot, generation);
                retire_for(h, area, key);
                return Ok(Err(Shortage::WorkerProcesses));
            }
            Err(saved) => {
                area.give_back(slot, generation);
                return Err(saved);
            }
        }
    }
    retire_for(h, area, key);
    Ok(Err(Shortage::Slots))
}

/// One more worker would be one more than the role may have.
fn full_role<H: CallerHost>(h: &H, area: &Area, key: Key, limits: &Limits) -> Option<Shortage> {
    let of_role = area.slots.iter().filter(|s| taken(s) && s.key().user == key.user).count() as u32;
    if limits.per_role == 0 || of_role < limits.per_role {
        return None;
    }
    retire_one(h, area, |slot| slot.key().user == key.user && slot.key() != key);
    Some(Shortage::Role)
}

/// The limit that one more lease would exceed. Idle workers do not count: they are there to be used.
fn beyond(area: &Area, pid: u32, key: Key, limits: &Limits) -> Option<Shortage> {
    if limits.per_session > 0 && leased_by(area, pid) + ancestors(area, pid).len() as u32 >= limits.per_session {
        return Some(Shortage::Session);
    }
    let of_role = || area.slots.iter().filter(|s| leased(s) && s.key().user == key.user).count() as u32;
    (limits.per_role > 0 && of_role() >= limits.per_role).then_some(Shortage::Role)
}

/// With a lease just claimed, has the role more than it may? Others that claimed at the same moment see the same, and
/// each gives its own back.
pub(crate) fn role_exceeds(area: &Area, user: u32, per_role: u32) -> bool {
    fence(SeqCst);
    per_role > 0 && area.slots.iter().filter(|s| leased(s) && s.key().user == user).count() as u32 > per_role
}

fn taken(slot: &Slot) -> bool {
    slot.state().0 != SlotState::Free
}

pub(crate) fn leased(slot: &Slot) -> bool {
    matches!(slot.state().0, SlotState::Busy | SlotState::Held | SlotState::Tasked)
}

fn leased_by(area: &Area, pid: u32) -> u32 {
    let by_caller = |slot: &&Slot| matches!(slot.state().0, SlotState::Busy | SlotState::Held) && slot.caller_pid.load(Relaxed) == pid;
    area.slots.iter().filter(by_caller).count() as u32
}

/// The slots whose requests this process is part of, innermost first.
#[expect(clippy::disallowed_methods, reason = "no more than there are workers: 1024 at most")]
pub(crate) fn ancestors(area: &Area, pid: u32) -> Vec<u32> {
    let mut chain = Vec::new();
    let mut pid = pid;
    while let Some(index) = (0..area.slots.len() as u32).find(|i| {
        let slot = &area.slots[*i as usize];
        matches!(slot.state().0, SlotState::Busy | SlotState::Tasked) && slot.worker_pid.load(Relaxed) == pid && !chain.contains(i)
    }) {
        chain.push(index);
        if area.slots[index as usize].state().0 == SlotState::Tasked {
            break;
        }
        pid = area.slots[index as usize].caller_pid.load(Relaxed);
    }
    chain
}

/// The slots that nobody can free while this process waits: those of the calls that it is part of, and of
/// the sessions that it and those callers have open.
#[expect(clippy::disallowed_methods, reason = "no more than there are workers: 1024 at most")]
fn out_of_reach(area: &Area, pid: u32) -> Vec<u32> {
    let mut own = ancestors(area, pid);
    let called = own.iter().map(|index| &area.slots[*index as usize]).filter(|slot| slot.state().0 == SlotState::Busy);
    let mut waiting: Vec<u32> = called.map(|slot| slot.caller_pid.load(Relaxed)).collect();
    waiting.push(pid);
    for (index, slot) in area.slots.iter().enumerate() {
        let theirs = matches!(slot.state().0, SlotState::Busy | SlotState::Held)
            && waiting.contains(&slot.caller_pid.load(Relaxed))
            && !slot.abandoned(slot.state().1);
        if theirs && !own.contains(&(index as u32)) {
            own.push(index as u32);
        }
    }
    own
}

/// Have a worker of another key make room for one of this, where that key can do without it.
pub(crate) fn retire_for<H: CallerHost>(h: &H, area: &Area, key: Key) {
    let (now, of) = (h.timestamp(), |key: Key| area.slots.iter().filter(|slot| taken(slot) && slot.key() == key).count());
    let own = of(key);
    // Where the clock was set back, nobody knows how long that is.
    let since = |then: i64| if then > now.saturating_add(REST_US) { i64::MAX } else { now.saturating_sub(then) };
    retire_one(h, area, |slot| {
        let idle = since(slot.last_used.load(Relaxed));
        let theirs = || of(slot.key());
        slot.key() != key
            && (idle >= REST_US
                || (own == 0 && (idle >= PAUSE_US || since(slot.started.load(Relaxed)) >= RESIDENCE_US))
                || (idle >= PAUSE_US && own < theirs())
                || own + 1 < theirs())
    });
}

/// Ask the longest idle worker among these to leave.
fn retire_one<H: CallerHost>(h: &H, area: &Area, which: impl Fn(&Slot) -> bool) {
    if area.slots.iter().any(|s| s.state().0 == SlotState::Retiring) {
        return;
    }
    let idle = area.slots.iter().filter(|s| s.state().0 == SlotState::Idle && which(s));
    if let Some(slot) = idle.min_by_key(|s| s.last_used.load(Relaxed)) {
        let (state, generation) = slot.state();
        if state == SlotState::Idle && slot.change(generation, SlotState::Idle, SlotState::Retiring) {
            slot.wake_worker(h);
        }
    }
}

/// There is no worker but those that wait for this call: have somebody leave a process to it who can do without.
pub(crate) fn make_room<H: CallerHost>(h: &H, area: &Area) -> bool {
    let own = out_of_reach(area, h.my_pid());
    let other = |(index, slot): (usize, &Slot)| taken(slot) && !own.contains(&(index as u32));
    !area.slots.iter().enumerate().any(other) && h.make_room()
}

/// A launcher that died before its worker came leaves a slot that nobody serves.
pub(crate) fn reclaim<H: CallerHost>(h: &H, area: &Area) {
    for (index, slot) in area.slots.iter().enumerate() {
        let (state, generation) = slot.state();
        if !matches!(state, SlotState::Busy | SlotState::Starting) || !slot.without_worker() || !slot.named(generation) {
            continue;
        }
        let launcher = slot.caller_pid.load(Acquire);
        // Nobody waits for a prewarmed worker: that it failed to start is seen here only.
        let failed = || state == SlotState::Starting && launcher == h.my_pid() && h.launch_failed(index as u32);
        if (!h.alive(launcher) || failed()) && slot.take_over(generation, state) && state == SlotState::Busy {
            area.header.busy.fetch_sub(1, Relaxed);
        }
    }
}

/// Start further workers of the key, up to `aside.min_workers`. What fails here fails silently: nobody asked.
fn prewarm<H: CallerHost>(h: &H, area: &Area, key: Key, limits: &Limits) {
    let mut have = area.slots.iter().filter(|s| taken(s) && s.key() == key).count() as u32;
    for (index, slot) in area.slots.iter().enumerate() {
        if have >= limits.min_workers {
            return;
        }
        let (state, generation) = slot.state();
        if state != SlotState::Free {
            continue;
        }
        if let Some(generation) = slot.claim_for_prewarming(generation, key, h.my_pid()) {
            if !matches!(h.launch(index as u32, generation, key), Ok(Launch::Started)) {
                slot.change(generation, SlotState::Starting, SlotState::Free);
                return;
            }
            have += 1;
        }
    }
}

/// Waiting makes no sense where only this call's own ancestors could free what is short.
fn hopeless<H: CallerHost>(h: &H, area: &Area, key: Key, limits: &Limits, shortage: Shortage) -> Option<Report> {
    let own = out_of_reach(area, h.my_pid());
    let own_of_role = || own.iter().filter(|index| area.slots[**index as usize].key().user == key.user).count() as u32;
    let hope = match shortage {
        Shortage::Session => false,
        // Whatever state the others are in: it changes while we look.
        Shortage::Slots => area.slots.len() > own.len(),
        Shortage::Role => own_of_role() < limits.per_role,
        Shortage::WorkerProcesses => {
            own.is_empty() || area.slots.iter().enumerate().any(|(i, slot)| taken(slot) && !own.contains(&(i as u32)))
        }
    };
    if hope || (own.is_empty() && shortage != Shortage::Session) {
        return None;
    }
    let count = match shortage {
        Shortage::Session => limits.per_session as usize,
        _ => own.len(),
    };
    let report = Report::error(CONFIGURATION_LIMIT_EXCEEDED, "no worker is left for this autonomous transaction")
        .with(Field::Detail, format!("All {count} workers that it could have are held by the calls it is part of and their sessions."))
        .with(Field::Hint, format!("Consider increasing \"{}\".", shortage.setting()));
    Some(report)
}

fn deadlocked(detail: Vec<u8>) -> Report {
    Report::error(DEADLOCK_DETECTED, "deadlock detected")
        .with(Field::Detail, detail)
        .with(Field::Hint, "All autonomous workers wait for this transaction. Consider increasing \"aside.max_workers\".")
}

fn exhausted(shortage: Shortage, timeout_ms: u32) -> Report {
    let detail = match shortage {
        Shortage::Slots => "All workers of the pool are in use.",
        Shortage::Role => "All workers that the role may have are in use.",
        Shortage::Session => "All workers that the session may have are in use.",
        Shortage::WorkerProcesses => "The server has no background worker slot left.",
    };
    Report::error(CONFIGURATION_LIMIT_EXCEEDED, format!("no autonomous worker became free within {timeout_ms} ms"))
        .with(Field::Detail, detail)
        .with(Field::Hint, format!("Consider increasing \"{}\" or \"aside.checkout_timeout\".", shortage.setting()))
}

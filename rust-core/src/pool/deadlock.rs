//! A waiting caller's look for a deadlock that only it can see: a chain of locks, autonomous
//! transactions and waits for workers that leads back to itself.
//!
//! That the own worker waits for a lock, a safe snapshot or a pin of this process is certain at the first sight of it:
//! this process does nothing but wait for the worker. It is looked for once in each wait of the worker for a
//! lock, for nobody becomes its blocker by waiting. A longer chain is looked for when the wait has lasted
//! `deadlock_timeout`, and again each time that it has lasted that much longer; it is believed when
//! two looks in a row find the same one, as each look sees its links at slightly different times.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "`Watch::look` has looked for what there may be of it")]

use super::area::Area;
use super::slot::{Slot, SlotState};
use super::waits::{Blocker, Look, Step, Suspect, Wait, WaitReason};
use crate::host::{CallerHost, Saved};
use crate::memory::{self, NoMemory, SMALL};
use crate::task::{Card, Table, TaskState};
use std::sync::atomic::Ordering::*;

/// Between two looks where cycles have been seen.
const KNOT_US: u64 = 200_000;
/// Between two looks at who waits for a pin of this process.
const TELL_PINS_US: u64 = 500_000;

/// A deadlock that the one who looks is to break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlock {
    pub detail: Vec<u8>,
    /// The worker that it waits for; None: it waits for any to come free.
    pub worker: Option<u32>,
}

/// What one wait knows of what it has seen so far.
#[derive(Debug)]
pub struct Watch {
    period_us: u64,
    next_look_us: u64,
    /// When to say next who waits for a pin of this process; and has any been said?
    next_tell_us: u64,
    told: bool,
    /// The wait of the own worker whose blockers have been looked at.
    known: Option<u64>,
    suspect: Suspect,
}

impl Watch {
    pub fn new(now_us: u64, deadlock_timeout_ms: u32) -> Self {
        let period_us = u64::from(deadlock_timeout_ms.max(1)) * 1000;
        let next_tell_us = now_us + period_us.min(TELL_PINS_US);
        Self { period_us, next_look_us: now_us + period_us, next_tell_us, told: false, known: None, suspect: Suspect::default() }
    }

    /// The wait is over.
    pub fn end<H: CallerHost>(&mut self, h: &H, area: &Area) {
        if std::mem::take(&mut self.told) {
            area.forget_pins(h.my_pid());
        }
    }

    /// The deadlock that this process is to break, if there is one.
    pub fn look<H: CallerHost>(&mut self, h: &H, area: &Area, tasks: Option<&Table>) -> Result<Option<Deadlock>, Saved> {
        let me = h.my_pid();
        let own = own_worker(h, area, me).or_else(|| task_worker(area, tasks, me));
        if let Some(worker) = own
            && let Some(blockers) = self.blockers_of_own(h, area, worker)?
            && let Some(chain) = direct(area, me, worker, blockers)
        {
            return Ok(Some(Deadlock { detail: describe(h, &chain), worker: Some(worker) }));
        }
        if h.now_us() >= self.next_tell_us {
            self.tell_pins(h, area);
        }
        if h.now_us() < self.next_look_us || look_for_graph(area).is_err() {
            return Ok(None);
        }
        let mut chain = match self.suspect.look(me, |pid| wait_of(h, area, tasks, pid))? {
            Look::Deadlock(chain) => chain,
            // Look again at the next tick.
            Look::Suspected => return Ok(None),
            other => {
                // Where there is a cycle there may be more, of which this one is the next: then not so late.
                let pause = if other == Look::Nothing { self.period_us } else { self.period_us.min(KNOT_US) };
                self.next_look_us = h.now_us() + pause;
                return Ok(None);
            }
        };
        let worker = chain.iter().find(|step| step.pid == me && step.why == WaitReason::Worker).map(|step| step.next);
        // The victim's own wait comes first, as in the server's report.
        if let Some(at) = chain.iter().position(|step| step.pid != me && matches!(step.why, WaitReason::Lock(_))) {
            chain.rotate_left(at);
        }
        Ok(Some(Deadlock { detail: describe(h, &chain), worker }))
    }
}

impl Watch {
    /// Who is in the way of the own worker; None: nobody, or nobody that has not been looked at.
    fn blockers_of_own<H: CallerHost>(&mut self, h: &H, area: &Area, worker: u32) -> Result<Option<Vec<Blocker>>, Saved> {
        if h.pin_wait(worker) {
            self.tell_pins(h, area);
            return Ok(Some(pinned(h, area, worker)));
        }
        match h.lock_wait(worker) {
            Some(wait) if self.known.replace(wait) != Some(wait) => h.blockers(worker),
            _ => Ok(None),
        }
    }

    fn tell_pins<H: CallerHost>(&mut self, h: &H, area: &Area) {
        self.told = area.tell_pins(h, self.told);
        self.next_tell_us = h.now_us() + self.period_us.min(TELL_PINS_US);
    }
}

/// Those whose pins a process waits for. Where nobody has said so, idle sessions are asked: at the next look they have.
fn pinned<H: CallerHost>(h: &H, area: &Area, pid: u32) -> Vec<Blocker> {
    let holders = area.holders_of_pin(pid);
    if holders.is_empty() {
        area.ask_for_pins(h);
    }
    let wait = |holder| format!("Process {pid} waits for a buffer that process {holder} has pinned.").into_bytes();
    holders.into_iter().map(|holder| Blocker { pid: holder, wait: wait(holder) }).collect()
}

/// The own worker waits for a lock or pin of this process, or of a session of its that only it can bring on.
fn direct(area: &Area, me: u32, worker: u32, blockers: Vec<Blocker>) -> Option<Vec<Step>> {
    let theirs = |pid: u32| pid == me || owner(area, pid) == Some(me);
    let blocker = blockers.into_iter().find(|blocker| theirs(blocker.pid))?;
    let mut chain = vec![Step { pid: worker, next: blocker.pid, why: WaitReason::Lock(blocker.wait) }];
    if blocker.pid != me {
        chain.push(Step { pid: blocker.pid, next: me, why: WaitReason::Owner });
    }
    chain.push(Step { pid: me, next: worker, why: WaitReason::Worker });
    Some(chain)
}

/// The process that runs what this one waits for; of several, one that waits itself.
fn own_worker<H: CallerHost>(h: &H, area: &Area, pid: u32) -> Option<u32> {
    let mut own = area.slots.iter().filter_map(|slot| {
        let (state, generation) = slot.state();
        let theirs = state == SlotState::Busy && slot.named(generation) && slot.caller_pid.load(Acquire) == pid;
        let waited_for = theirs && slot.awaited(generation) && !slot.abandoned(generation) && slot.finished(generation).is_none();
        let worker = slot.worker_pid.load(Acquire);
        (waited_for && worker != 0).then_some(worker)
    });
    let first = own.next()?;
    let mut others = own.peekable();
    if others.peek().is_none() {
        return Some(first);
    }
    let waits = |worker: &u32| h.lock_wait(*worker).is_some() || h.pin_wait(*worker);
    Some([first].into_iter().chain(others).find(waits).unwrap_or(first))
}

/// The worker of the one task that a process waits for, if it runs.
fn task_worker(area: &Area, tasks: Option<&Table>, pid: u32) -> Option<u32> {
    match tasks?.waiters().waits_of(pid).as_slice() {
        [id] => running_in(area, tasks?, *id),
        _ => None,
    }
}

fn running_in(area: &Area, tasks: &Table, id: u64) -> Option<u32> {
    let lease = tasks.find(id).and_then(|ticket| tasks.card(ticket))?.lease?;
    let worker = area.slot(lease.slot)?.worker_pid.load(Acquire);
    (worker != 0).then_some(worker)
}

/// A wait for tasks: for one that runs as for an autonomous transaction; else any of several may end it,
/// and one that is queued waits for a worker itself.
fn wait_for_tasks(area: &Area, tasks: &Table, ids: &[u64]) -> Wait {
    let running: Vec<u32> = ids.iter().filter_map(|id| running_in(area, tasks, *id)).collect();
    match (ids, running.as_slice()) {
        ([_], [worker]) => Wait::Worker(*worker),
        _ if running.len() == ids.len() => Wait::Slot(running),
        _ => {
            let mut any = running;
            for card in ids.iter().map(|id| tasks.card(tasks.find(*id)?)) {
                let on = match card {
                    Some(card) if card.lease.is_some() => continue,
                    Some(card) if card.state == TaskState::Queued => waits_in_queue(area, tasks, &card),
                    // Its submitter's transaction has to commit.
                    Some(card) if card.state == TaskState::Pending => vec![card.submitter],
                    // It has ended, or is about to begin or to end.
                    _ => Vec::new(),
                };
                if on.is_empty() {
                    return Wait::Nothing;
                }
                any.extend(on);
            }
            Wait::Slot(any)
        }
    }
}

/// The workers of which one has to come free for a queued task to run; none where one may come anyhow.
fn waits_in_queue(area: &Area, tasks: &Table, card: &Card) -> Vec<u32> {
    let (per_role, per_session) = card.quotas;
    let of_session = || tasks.cards().filter(|other| other.lease.is_some() && other.submitter == card.submitter);
    if per_session > 0 && of_session().count() as u32 >= per_session {
        return of_session().filter_map(|other| Some(area.slot(other.lease?.slot)?.worker_pid.load(Acquire))).collect();
    }
    let of_role = used(area, |slot| slot.key().user == card.key.user);
    if per_role > 0 && of_role.len() as u32 >= per_role { of_role } else { used(area, |_| true) }
}

/// Workers that are in use; none while another one comes or goes.
fn used(area: &Area, which: impl Fn(&Slot) -> bool) -> Vec<u32> {
    if area.slots.iter().any(|slot| matches!(slot.state().0, SlotState::Starting | SlotState::Retiring | SlotState::Dead)) {
        return Vec::new();
    }
    let used = area.slots.iter().filter(|slot| matches!(slot.state().0, SlotState::Busy | SlotState::Held | SlotState::Tasked));
    used.filter(|slot| which(slot)).map(|slot| slot.worker_pid.load(Acquire)).collect()
}

/// The process without which this worker of a session does not go on.
fn owner(area: &Area, worker: u32) -> Option<u32> {
    let slot = area.slots.iter().find(|slot| slot.worker_pid.load(Acquire) == worker)?;
    let (state, generation) = slot.state();
    let waits = match state {
        SlotState::Held => true,
        SlotState::Busy => (slot.finished(generation).is_some() || slot.stalled(generation)) && !slot.awaited(generation),
        _ => false,
    };
    let owner = slot.caller_pid.load(Acquire);
    (waits && !slot.abandoned(generation) && owner != 0).then_some(owner)
}

/// What a process waits for, as far as this pool and the server's lock table can tell.
fn wait_of<H: CallerHost>(h: &H, area: &Area, tasks: Option<&Table>, pid: u32) -> Result<Wait, Saved> {
    if let Some(worker) = own_worker(h, area, pid) {
        return Ok(Wait::Worker(worker));
    }
    if area.waits_for_slot(pid) {
        return Ok(Wait::Slot(used(area, |_| true)));
    }
    if let Some(tasks) = tasks {
        let ids = tasks.waiters().waits_of(pid);
        if tasks.waiters().waits_for_others(pid) {
            return Ok(Wait::Nothing);
        }
        if !ids.is_empty() {
            return Ok(wait_for_tasks(area, tasks, &ids));
        }
    }
    if let Some(owner) = owner(area, pid) {
        return Ok(Wait::Owner(owner));
    }
    if h.pin_wait(pid) {
        return Ok(Wait::Lock(pinned(h, area, pid)));
    }
    if h.lock_wait(pid).is_some() {
        return Ok(h.blockers(pid)?.map_or(Wait::Nothing, Wait::Lock));
    }
    Ok(match h.group(pid) {
        members if members.is_empty() => Wait::Nothing,
        members => Wait::Members(members),
    })
}

/// What the look may need: each of those that wait may wait for any worker.
fn look_for_graph(area: &Area) -> Result<(), NoMemory> {
    let slots = area.slots.len();
    memory::look_for(SMALL + slots * (slots + 64) * 8, "the look for a deadlock")
}

/// As far as there is memory for it.
fn describe<H: CallerHost>(h: &H, chain: &[Step]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut add = |line: &[&[u8]]| {
        let newline: &[u8] = if text.is_empty() { b"" } else { b"\n" };
        for part in [newline].iter().chain(line) {
            _ = memory::append(&mut text, part, "the look for a deadlock");
        }
    };
    for step in chain {
        let (pid, next) = (step.pid, step.next);
        match &step.why {
            WaitReason::Lock(lock) => add(&[lock]),
            WaitReason::Slot => {
                add(&[format!("Process {pid} waits for an autonomous worker; process {next} is one of those in use.").as_bytes()])
            }
            WaitReason::Member => add(&[format!("Process {pid} waits for its parallel worker in process {next}.").as_bytes()]),
            WaitReason::Worker => add(&[format!("Process {pid} waits for its autonomous transaction in process {next}.").as_bytes()]),
            WaitReason::Owner => {
                add(&[format!("Process {pid} waits for the autonomous session's next command from process {next}.").as_bytes()])
            }
        }
    }
    for step in chain {
        if let Some(query) = h.activity(step.pid) {
            add(&[format!("Process {}: ", step.pid).as_bytes(), &query]);
        }
    }
    text
}

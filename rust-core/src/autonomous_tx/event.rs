//! The coordinator's leases: workers that handle events for it, several at a time, while it goes on. What
//! they say is read when there is something; nobody is waited for.

use super::call::*;
use super::exchange::{Exchange, Keep, Terms};
use crate::host::{Arg, ArgForm, CallerHost, Identity, Mode, Output, Saved};
use crate::memory::{self, Grows, SMALL};
use crate::pool::area::Area;
use crate::pool::borrow::{Limits, Short, foresee, try_borrow};
use crate::pool::slot::{Key, Lease, Slot, State};
use crate::report::*;
use crate::wire::batch::{Became, decode};
use crate::wire::frame::{self, Kind};
use crate::wire::message::{Request, decode_report};
use std::cell::RefCell;
use std::sync::atomic::Ordering::*;

const LEASE: &str = "events that a worker is to handle";

/// Most of what a worker says is no longer.
const FRAME_WORDS: usize = 64;

/// Settings of a worker that are its user's own, not a caller's; see call/settings.c.
const OWN_DEFAULTS: &[u8] = b"D";
/// Their name: no hash of a caller's settings is even.
const OWN_DEFAULTS_NAME: [u64; 2] = [2, 0];

/// While others wait for a worker, a coordinator has one at most, and none for so long after that. Of coordinators
/// that wait, none has more than another: they share.
const STAND_ASIDE_US: u64 = 200_000;

/// What one of these leases has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Batch(usize, Became),
    /// The lease is over.
    Over,
    /// None of what has not been told was begun, and why.
    Refused {
        sqlstate: u32,
        message: Vec<u8>,
    },
    /// The worker has gone, and had begun so many batches, from the first.
    Lost {
        begun: usize,
    },
    /// The same, in the middle of a batch that trapped the cancel at its timeout.
    TimedOut {
        begun: usize,
        message: Vec<u8>,
    },
}

struct Open {
    number: u64,
    lease: Lease,
    launched: bool,
    last_words: Option<Report>,
}

/// The leases that are open.
#[derive(Default)]
pub struct Leases {
    open: RefCell<Vec<Open>>,
    ended_at: std::cell::Cell<Option<u64>>,
    /// The last worker that was to be started found no process.
    no_process: std::cell::Cell<bool>,
}

/// Whom a handler's worker acts as, and what it is to do.
#[derive(Clone, Copy, Debug)]
pub struct Errand<'a> {
    pub database: u32,
    pub owner: u32,
    pub superuser: bool,
    /// Shown as its command.
    pub title: &'a [u8],
    /// As the shims of both sides know it.
    pub handler: &'a [u8],
    pub timeout_ms: u32,
}

impl Leases {
    /// Have a worker run these batches, as a lease of this number; false: there is none now.
    #[expect(clippy::too_many_arguments, reason = "what a lease is of, for whom, and where")]
    pub fn start<H: CallerHost>(
        &self,
        number: u64,
        h: &H,
        area: &Area,
        session: &Session,
        errand: &Errand,
        batches: &[Vec<u8>],
        limits: &Limits,
    ) -> Result<bool, Failed> {
        let key = Key { database: errand.database, user: errand.owner, superuser: errand.superuser };
        if self.leaves_to_others(h, area, key, limits) {
            return Ok(false);
        }
        // What a lease needs is there before there is one.
        memory::look_for(SMALL, LEASE)?;
        let args = memory::collect(batches.iter().map(|data| Arg { type_oid: 0, form: ArgForm::ByReference, data }), LEASE)?;
        self.open.borrow_mut().room(1, LEASE)?;
        let borrowed = match try_borrow(h, area, key, limits)? {
            Ok(borrowed) => borrowed,
            Err(short) => {
                self.was_short(h, area, short);
                return Ok(false);
            }
        };
        area.events_wait_no_more(h.my_pid());
        self.no_process.set(false);
        let request = Request {
            identity: Identity { session_user: errand.owner, current_user: errand.owner, database: errand.database, ..Identity::default() },
            mode: Mode::Events,
            timeout_ms: errand.timeout_ms,
            depth: 1,
            output: Output::None,
            settings_hash: OWN_DEFAULTS_NAME,
            parse_hash: 0,
            // A handler may change them, and the next one begins anew: so they go along always.
            settings: Some(OWN_DEFAULTS),
            origin_version: 0,
            origin: None,
            caller_xid: 0,
            stack: None,
            command: errand.title,
            routine: Some(errand.handler),
            args,
            columns: Vec::new(),
        };
        let Lease { slot, generation } = borrowed.lease;
        area.slots[slot as usize].let_batches(generation, batches.len());
        let mut buffer = session.take_buffer();
        let terms = Terms { poll_us: 0, deadlock_ms: limits.deadlock_ms, depth: 1, command: errand.title };
        let exchange = Exchange::new(h, area, session, borrowed, terms, Keep::Nothing);
        encode(&request, &mut buffer)?;
        let sent = exchange.send(&buffer);
        session.keep_buffer(&mut buffer);
        if sent.is_err() {
            return Ok(false);
        }
        #[expect(clippy::disallowed_methods, reason = "room was made before")]
        self.open.borrow_mut().push(Open { number, lease: borrowed.lease, launched: borrowed.launched, last_words: None });
        Ok(true)
    }

    /// Would there be a worker of this key for one more lease?
    pub fn room<H: CallerHost>(&self, h: &H, area: &Area, key: Key, limits: &Limits) -> Result<bool, Saved> {
        if self.leaves_to_others(h, area, key, limits) {
            return Ok(false);
        }
        let short = foresee(h, area, key, limits, !self.no_process.get())?;
        short.into_iter().for_each(|short| self.was_short(h, area, short));
        Ok(short.is_none())
    }

    fn was_short<H: CallerHost>(&self, h: &H, area: &Area, short: Short) {
        if short == Short::WorkerProcesses {
            self.no_process.set(true);
        }
        // At a limit of its role's, no other coordinator could help.
        if short.of_workers() {
            area.events_wait(h.my_pid(), self.count(), h.timestamp());
        }
    }

    /// What worker there is, is not for this lease.
    fn leaves_to_others<H: CallerHost>(&self, h: &H, area: &Area, key: Key, limits: &Limits) -> bool {
        if self.stands_aside(h, area) {
            return true;
        }
        // Handlers make calls of their own: leases must not take all workers that there are for these.
        let short = takes_last(area, key, limits);
        short.into_iter().for_each(|short| self.was_short(h, area, short));
        short.is_some()
    }

    /// Take back the batches of a lease that its worker has not begun, but for the first `keep`: those from this
    /// index on will not be. None: the lease is over.
    pub fn recall(&self, area: &Area, number: u64, keep: usize) -> Option<usize> {
        let open = self.open.borrow();
        let Lease { slot, generation } = open.iter().find(|open| open.number == number)?.lease;
        area.slots[slot as usize].recall_batches(generation, keep)
    }

    /// Events that never end must not keep all workers from those who wait for one; nor these workers from events.
    /// Among coordinators, who has more than another that waits takes no more.
    fn stands_aside<H: CallerHost>(&self, h: &H, area: &Area) -> bool {
        let now = h.now_us();
        let lately = self.ended_at.get().is_some_and(|at| now.saturating_sub(at) < STAND_ASIDE_US);
        let have = self.count().max(usize::from(lately));
        have > 0 && (area.waiters() > 0 || area.tasks_wait() || area.poorer_events_wait(h.my_pid(), have, h.timestamp()))
    }

    pub fn count(&self) -> usize {
        self.open.borrow().len()
    }

    /// What has been said since the last time.
    pub fn listen<H: CallerHost>(&self, h: &H, area: &Area) -> Vec<(u64, Said)> {
        let mut said = Vec::new();
        self.open.borrow_mut().retain_mut(|open| {
            let more = hear(h, area, open, &mut said);
            if !more {
                self.ended_at.set(Some(h.now_us()));
            }
            if !more && area.waiters() > 0 {
                h.signal_slot();
            }
            more
        });
        said
    }
}

/// What one more lease would leave nothing of for the calls that handlers make; where there is one worker in all, it
/// is for handlers too.
fn takes_last(area: &Area, key: Key, limits: &Limits) -> Option<Short> {
    let leases = |of: &dyn Fn(&Slot) -> bool| {
        let ours = |slot: &&Slot| matches!(slot.state(), (State::Busy, generation) if slot.has_batches(generation)) && of(slot);
        area.slots.iter().filter(ours).count()
    };
    let last = |most: usize, taken: usize| most > 1 && taken + 1 >= most;
    if last(area.slots.len(), leases(&|_| true)) {
        return Some(Short::Slots);
    }
    last(limits.per_role as usize, leases(&|slot| slot.key().user == key.user)).then_some(Short::Role)
}

/// Read what a worker has written; false: the lease is over.
#[expect(clippy::disallowed_methods, reason = "room for two is made before anything is read, and for one before the end")]
fn hear<H: CallerHost>(h: &H, area: &Area, open: &mut Open, said: &mut Vec<(u64, Said)>) -> bool {
    let Lease { slot: index, generation } = open.lease;
    let slot = &area.slots[index as usize];
    // Before what it wrote is read: what it wrote before it went is there.
    let unborn = open.launched && slot.worker_pid.load(Acquire) == 0 && h.launch_failed(index);
    // One that went when it had taken the request and before its first batch: something in it must be at fault.
    let begun = || if slot.taken(generation) { slot.recall_batches(generation, 0).unwrap_or(0).max(1) } else { 0 };
    let lost = || Said::Lost { begun: begun() };
    let gone = slot.state() != (State::Busy, generation) || unborn;
    let mut reader = area.reply_ring(index).reader();
    let mut buffer = Vec::new();
    while reader.available() > 0 {
        // What has been read is told; without memory it is left where it is.
        if said.room(2, LEASE).and_then(|()| buffer.room(FRAME_WORDS, LEASE)).is_err() {
            return true;
        }
        let read = frame::read(&mut reader, &mut buffer, |_, reader| {
            // Half a frame: the other half comes at once, unless its writer is no more.
            if let Some(proc) = slot.worker_proc() {
                h.wake(proc);
            }
            if reader.available() == 0 && slot.state() != (State::Busy, generation) {
                return Err(());
            }
            h.relax();
            Ok(())
        });
        reader.release();
        let ended = match read {
            Ok((Kind::Outcome, _)) => match decode(&buffer) {
                Ok((batch, became)) => {
                    said.push((open.number, Said::Batch(batch, became)));
                    None
                }
                Err(_) => Some(lost()),
            },
            Ok((Kind::Message, _)) => {
                open.last_words = decode_report(&buffer).ok().filter(|r| r.severity >= Severity::Error).or(open.last_words.take());
                None
            }
            Ok((Kind::Done, _)) => Some(Said::Over),
            Ok((Kind::Error, _)) => Some(match decode_report(&buffer) {
                Ok(report) => refused(&report),
                Err(_) => lost(),
            }),
            _ => Some(lost()),
        };
        if let Some(end) = ended {
            said.push((open.number, end));
            if !area.release(slot, generation) {
                slot.abandon(generation);
            }
            return false;
        }
    }
    if let Some(proc) = slot.worker_proc() {
        h.wake(proc);
    }
    if gone && said.room(1, LEASE).is_err() {
        return true;
    }
    if gone {
        said.push((
            open.number,
            match &open.last_words {
                Some(words) if !slot.taken(generation) => refused(words),
                Some(words) if words.sqlstate == QUERY_CANCELED => Said::TimedOut { begun: begun(), message: words.texts() },
                _ => lost(),
            },
        ));
        _ = area.release_dead(slot, generation) || area.give_back(slot, generation);
    }
    !gone
}

fn refused(report: &Report) -> Said {
    Said::Refused { sqlstate: report.sqlstate, message: report.texts() }
}

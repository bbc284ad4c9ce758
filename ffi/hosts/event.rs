//! The core's `EventHost` over `aside_event_host`, and its workers over leases of the pool.

use crate::abi::*;
use crate::bytes::{lend, optional, slice};
use crate::host_call;
use crate::hosts::caller::Caller;
use crate::hosts::world::{done, no_memory};
use aside_core::async_event::EventStore;
use aside_core::async_event::complaints::Complaint;
use aside_core::async_event::host::Ask;
use aside_core::async_event::rate::Started;
use aside_core::async_event::spec::{
    Committed, EventCommand, EventPlace, Fetched, Former, GroupsEnded, Known, KnownLease, LeaseFate, LeaseNews, LeaseOver, LogEntry,
    Notification, Spec,
};
use aside_core::caller::process::CallerState;
use aside_core::coordinator::host::{Host, Line, Lost};
use aside_core::coordinator::runner::{Runner, Work};
use aside_core::coordinator::unseen::{Snapshot, Unseen};
use aside_core::coordinator::workers::Workers;
use aside_core::definition::Standing;
use aside_core::error::Error;
use aside_core::host::{Saved, World};
use aside_core::launcher::pulls::{Question, Ticket};
use aside_core::launcher::registry::Registry;
use aside_core::lease::leases::Leases;
use aside_core::lease::work::LeaseUpdate;
use aside_core::memory::{self, NoMemory};
use aside_core::pool::area::Area;
use aside_core::pool::borrow::Limits;
use aside_core::pool::slot::Key;
use aside_core::schedule::wait;

const WHAT: &str = "the events of a coordinator";

/// What those notifications take here that the shim lends at a time: see coordinator/heard.c.
const NOTES_BYTES: usize = 8 << 20;

/// One turn's view of the world.
pub struct Events<'a> {
    pub h: Caller<'a>,
    pub c: &'a aside_coordinator_host,
    pub t: &'a aside_event_host,
    pub schedules: &'a aside_schedule_host,
    pub jobs: &'a aside_job_host,
    pub area: &'a Area<'a>,
    pub caller: &'a CallerState,
    pub limits: Limits,
    pub leases: &'a Leases,
    pub registry: &'a Registry,
}

impl Events<'_> {
    fn saved(&self, failed: Error) -> Saved {
        if let Error::Report(report) = failed {
            self.h.fail(&report);
        }
        Saved
    }

    fn workers(&self) -> Workers<'_, Caller<'_>> {
        let Self { h, c, area, caller, limits, leases, .. } = self;
        Workers { h, area, tasks: caller.tasks.table(), limits: *limits, leases, database: c.database, tables: c.tables }
    }
}

/// As the core has it.
pub fn standing(s: &aside_standing) -> Standing {
    match s.state {
        state if state == aside_standing_state::ASIDE_DEFINITION_ACTS => Standing::Acts { owner: s.owner, superuser: s.superuser != 0 },
        state if state == aside_standing_state::ASIDE_DEFINITION_WAITS => Standing::Waits,
        _ => Standing::Ended,
    }
}

fn logged<'e>(entry: &'e LogEntry, one: &'e mut [i64; 1]) -> aside_log_entry {
    let mut out = aside_log_entry { events: std::ptr::null(), ..Default::default() };
    match entry {
        LogEntry::Attempt { handler, partition, events, attempt } => {
            (out.kind, out.handler, out.partition, out.attempt) =
                (aside_log_kind::ASIDE_LOG_ATTEMPT, *handler, u32::from(*partition), *attempt);
            (out.events, out.nevents) = (events.as_ptr(), events.len());
            return out;
        }
        LogEntry::Leased { handler, partition, events, attempt, lease, until } => {
            (out.kind, out.handler, out.partition, out.attempt) =
                (aside_log_kind::ASIDE_LOG_ATTEMPT, *handler, u32::from(*partition), *attempt);
            (out.events, out.nevents, out.lease, out.next_at) = (events.as_ptr(), events.len(), *lease, *until);
            return out;
        }
        LogEntry::Extended { handler, partition, event, lease, until } => {
            (out.kind, out.handler, out.partition) = (aside_log_kind::ASIDE_LOG_EXTENDED, *handler, u32::from(*partition));
            (out.lease, out.next_at) = (*lease, *until);
            one[0] = *event;
        }
        LogEntry::Withdrawn { handler, partition, events, attempt } => {
            (out.kind, out.handler, out.partition, out.attempt) =
                (aside_log_kind::ASIDE_LOG_WITHDRAWN, *handler, u32::from(*partition), *attempt);
            (out.events, out.nevents) = (events.as_ptr(), events.len());
            return out;
        }
        LogEntry::Failed { handler, partition, event, attempt, sqlstate, message, next_at, counted } => {
            (out.kind, out.handler, out.partition) = (aside_log_kind::ASIDE_LOG_FAILED, *handler, u32::from(*partition));
            // One that does not count has no number.
            (out.attempt, out.sqlstate, out.next_at) = (if *counted { *attempt } else { 0 }, *sqlstate, *next_at);
            out.message = lend(message);
            one[0] = *event;
        }
        LogEntry::KeysFreed { events } => {
            out.kind = aside_log_kind::ASIDE_LOG_KEYS_FREED;
            (out.events, out.nevents) = (events.as_ptr(), events.len());
            return out;
        }
        LogEntry::Dead { handler, partition, tid, event, attempt, sqlstate, message, group } => {
            (out.kind, out.handler, out.partition) = (aside_log_kind::ASIDE_LOG_DEAD, *handler, u32::from(*partition));
            (out.attempt, out.sqlstate, out.message) = (*attempt, *sqlstate, lend(message));
            (out.tid, out.group) = (*tid, *group);
            one[0] = *event;
        }
        LogEntry::Expired { handler, partition, event, group } => {
            (out.kind, out.handler, out.partition) = (aside_log_kind::ASIDE_LOG_EXPIRED, *handler, u32::from(*partition));
            out.group = *group;
            one[0] = *event;
        }
        LogEntry::Cancelled { partition, event, handler, group } => {
            out.group = *group;
            (out.kind, out.handler, out.partition) = (aside_log_kind::ASIDE_LOG_CANCELLED, handler.unwrap_or(0), u32::from(*partition));
            one[0] = *event;
        }
    }
    (out.events, out.nevents) = (one.as_ptr(), 1);
    out
}

fn unseen(transactions: &Unseen) -> aside_unseen {
    let Unseen { from, running } = transactions;
    aside_unseen { from: *from, running: running.as_ptr(), nrunning: running.len() }
}

/// # Safety
///
/// The arrays, and what they refer to, must be there.
unsafe fn fetched(data: *const aside_fetched, count: usize) -> Result<Vec<Fetched>, NoMemory> {
    let known = |k: &aside_known| Known {
        handler: k.handler,
        attempts: k.attempts,
        next_at: (k.next_at != 0).then_some(k.next_at),
        asked: k.asked != 0,
        put_offs: k.put_offs,
        unfinished: k.unfinished != 0,
        paused: k.paused != 0,
        lease: (k.lease != 0).then_some(KnownLease { number: k.lease, left_us: u64::try_from(k.lease_us).unwrap_or(0) }),
    };
    // SAFETY: as the caller promises.
    let fetched = |e: &aside_fetched| unsafe {
        Ok(Fetched {
            txid: e.txid,
            partition: e.partition as u8,
            tid: e.tid,
            id: e.id,
            channel: memory::copy(optional(&e.channel).unwrap_or_default(), WHAT)?,
            target: (e.target != 0).then_some(e.target),
            key: optional(&e.key).map(|key| memory::copy(key, WHAT)).transpose()?,
            priority: e.priority,
            run_at: e.run_at,
            timed: e.timed != 0,
            max_attempts: (e.max_attempts != 0).then_some(e.max_attempts),
            timeout_ms: (e.timeout_ms != 0).then_some(e.timeout_ms),
            expires: (e.expires != 0).then_some(e.expires),
            first_txid: (e.first_txid != 0).then_some(e.first_txid),
            timed_txid: (e.timed_txid != 0).then_some(e.timed_txid),
            known: memory::collect(slice(e.known, e.nknown).iter().map(known), WHAT)?,
            frees_key: e.frees_key != 0,
            group: e.group,
            command: match (e.cancels, e.tells, e.closes) {
                (0, 0, 0) => None,
                (0, 0, _) => Some(EventCommand::CloseGroup(e.cancelled)),
                (0, _, _) => Some(EventCommand::Told(e.lease)),
                _ => Some(EventCommand::Cancel(e.cancelled)),
            },
        })
    };
    // SAFETY: as above.
    memory::try_collect(unsafe { slice(data, count) }.iter().map(fetched), WHAT)
}

impl Host for Events<'_> {
    fn timestamp(&self) -> i64 {
        self.h.timestamp()
    }
    fn now_us(&self) -> u64 {
        self.h.now_us()
    }
    fn random(&self) -> f64 {
        host_call!(self.c, random())
    }
    fn no_memory(&self, no: NoMemory) -> Saved {
        no_memory(&self.h.t.world, no)
    }
    fn error(&self) -> u32 {
        host_call!(self.c, error())
    }
    fn give_back(&self) {
        host_call!(self.c, give_back());
    }
    fn hear(&self) -> Result<(), Saved> {
        done(host_call!(self.c, hear()))
    }
    fn lost(&self) -> Option<Lost> {
        match host_call!(self.c, found()) {
            aside_tables::ASIDE_TABLES_GONE => Some(Lost::Gone),
            aside_tables::ASIDE_TABLES_REPLACED => Some(Lost::Replaced),
            _ => None,
        }
    }
    fn log(&self, part: &'static str, line: Line) {
        host_call!(self.c, log(lend(part.as_bytes()), line == Line::WorksAgain));
    }
    fn breathe(&self, us: u64) {
        host_call!(self.c, breathe(us as u32));
    }
    fn hurry(&self) {
        host_call!(self.c, hurry());
    }
    fn orphans(&self) -> bool {
        self.area.orphans(self.c.database) > 0
    }
}

impl Runner for Events<'_> {
    fn start(&self, lease: u64, work: &Work<'_>) -> Result<bool, Saved> {
        self.workers().start(lease, work).map_err(|failed| self.saved(failed))
    }
    fn room(&self, owner: u32, superuser: bool) -> Result<bool, Saved> {
        self.leases.room(&self.h, self.area, Key { database: self.c.database, user: owner, superuser }, &self.limits)
    }
    fn recall(&self, lease: u64, keep: usize) -> Option<usize> {
        self.leases.recall(self.area, lease, keep)
    }
    fn begun(&self, lease: u64) -> Option<usize> {
        self.leases.begun(self.area, lease)
    }
    fn cancel(&self, lease: u64) -> bool {
        self.leases.cancel(&self.h, self.area, lease)
    }
    fn wait_us(&self) -> u64 {
        self.leases.wait_us(self.h.now_us())
    }
    fn heard(&self) -> Vec<(u64, LeaseUpdate)> {
        self.leases.listen(&self.h, self.area)
    }
}

impl EventStore for Events<'_> {
    fn handlers(&self) -> Result<Vec<Spec>, Saved> {
        let (mut data, mut count) = (std::ptr::null(), 0);
        done(host_call!(self.t, handlers(&mut data, &mut count)))?;
        // SAFETY: on ASIDE_OK the shim lends the array and its texts until its next call.
        let specs = unsafe { slice(data, count) };
        // SAFETY: as above.
        let text = |bytes: &aside_bytes| unsafe { memory::copy(optional(bytes).unwrap_or_default(), WHAT) };
        let formers = |s: &aside_handler_spec| {
            // SAFETY: as above.
            let formers: &[aside_former] = unsafe { slice(s.former, s.nformer) };
            let former = |f: &aside_former| Ok(Former { channel: text(&f.channel)?, since: f.since, until: f.until });
            memory::try_collect(formers.iter().map(former), WHAT)
        };
        let spec = |s: &aside_handler_spec| {
            Ok(Spec {
                id: s.id,
                name: text(&s.name)?,
                channel: text(&s.channel)?,
                owner: 0,
                owner_is_superuser: false,
                concurrency: s.concurrency,
                batch_size: s.batch_size,
                max_attempts: s.max_attempts,
                backoff_us: s.backoff_us,
                cap_us: s.cap_us,
                timeout_ms: s.timeout_ms,
                ordered: s.ordered != 0,
                durable: s.durable != 0,
                paused: s.paused != 0,
                rate_limit: s.rate_limit,
                rate_period_us: s.rate_period_us,
                key_concurrency: s.key_concurrency,
                pull: s.pull != 0,
                guarded: s.guarded != 0,
                since: s.since,
                former: formers(s)?,
                version: u64::from(s.version),
                buried: s.buried,
            })
        };
        memory::try_collect(specs.iter().map(spec), WHAT).map_err(|no| self.no_memory(no))
    }
    fn started(&self) -> Result<Vec<Started>, Saved> {
        let (mut data, mut count) = (std::ptr::null(), 0);
        done(host_call!(self.t, started(&mut data, &mut count)))?;
        // SAFETY: on ASIDE_OK the shim lends the array until its next call.
        let lent: &[aside_started] = unsafe { slice(data, count) };
        let started = lent.iter().map(|s| Started { handler: s.handler, ago_us: s.ago_us, count: s.count as usize });
        memory::collect(started, WHAT).map_err(|no| self.no_memory(no))
    }
    fn standing(&self, handlers: &[&Spec]) -> Result<Vec<Standing>, Saved> {
        let asked = |spec: &&Spec| aside_handler_spec {
            id: spec.id,
            name: lend(&spec.name),
            channel: lend(&[]),
            former: std::ptr::null(),
            ..Default::default()
        };
        let no = |no| self.no_memory(no);
        let asked = memory::collect(handlers.iter().map(asked), WHAT).map_err(no)?;
        let mut out = Vec::new();
        memory::extend(&mut out, asked.len(), aside_standing::default(), WHAT).map_err(no)?;
        done(host_call!(self.t, standing(asked.as_ptr(), asked.len(), out.as_mut_ptr())))?;
        memory::collect(out.iter().map(standing), WHAT).map_err(no)
    }
    fn fetch(&self, ask: Ask<'_>, limit: usize) -> Result<(Vec<Fetched>, Snapshot), Saved> {
        let (mut data, mut count, mut seen) = (std::ptr::null(), 0, aside_snapshot { xip: std::ptr::null(), ..Default::default() });
        let (of, channels) = match ask {
            Ask::Open => (None, &[][..]),
            Ask::New { unseen: transactions, channels } => (Some(unseen(transactions)), channels),
        };
        let of = of.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let channels = memory::collect(channels.iter().map(|c| lend(c)), WHAT).map_err(|no| self.no_memory(no))?;
        done(host_call!(self.t, fetch(of, channels.as_ptr(), channels.len(), limit, &mut data, &mut count, &mut seen)))?;
        // SAFETY: on ASIDE_OK the shim lends the arrays and their texts until its next call.
        let fetched = unsafe { fetched(data, count) }.map_err(|no| self.no_memory(no))?;
        // SAFETY: as above.
        let running = unsafe { slice(seen.xip, seen.nxip) };
        let running = memory::copy(running, WHAT).map_err(|no| self.no_memory(no))?;
        Ok((fetched, Snapshot { next: seen.next, xmax: seen.xmax, running }))
    }
    fn refetch(&self, since: i64, transactions: &Unseen) -> Result<Vec<Fetched>, Saved> {
        let (mut data, mut count) = (std::ptr::null(), 0);
        done(host_call!(self.t, refetch(since, &unseen(transactions), &mut data, &mut count)))?;
        // SAFETY: as above.
        unsafe { fetched(data, count) }.map_err(|no| self.no_memory(no))
    }
    fn places(&self) -> Result<Vec<EventPlace>, Saved> {
        let (mut data, mut count) = (std::ptr::null(), 0);
        done(host_call!(self.t, places(&mut data, &mut count)))?;
        // SAFETY: on ASIDE_OK the shim lends the array until its next call.
        let places: &[aside_place] = unsafe { slice(data, count) };
        let places = places.iter().map(|place| EventPlace { id: place.id, partition: place.partition as u8, tid: place.tid });
        memory::collect(places, WHAT).map_err(|no| self.no_memory(no))
    }
    fn committed(&self, handler: u32, partition: u8, events: &[i64]) -> Result<Vec<Committed>, Saved> {
        let no = |no| self.no_memory(no);
        let mut out = Vec::new();
        memory::extend(&mut out, events.len(), aside_committed::default(), WHAT).map_err(no)?;
        done(host_call!(self.t, committed(handler, u32::from(partition), events.as_ptr(), events.len(), out.as_mut_ptr())))?;
        let committed = |c: &aside_committed| Committed { done: c.done != 0, put_offs: c.put_offs, until: c.until };
        memory::collect(out.iter().map(committed), WHAT).map_err(no)
    }
    fn wake_waiters(&self, events: &[i64]) {
        wait::tell_all(&self.h, &self.registry.waiters, self.c.database, events);
    }
    fn record(&self, entries: &[LogEntry]) -> Result<(), Saved> {
        let no = |no| self.no_memory(no);
        let mut ones = Vec::new();
        memory::extend(&mut ones, entries.len(), [0i64; 1], WHAT).map_err(no)?;
        let logged = entries.iter().zip(&mut ones).map(|(entry, one)| logged(entry, one));
        let logged = memory::collect(logged, WHAT).map_err(no)?;
        done(host_call!(self.t, record(logged.as_ptr(), logged.len())))
    }
    fn lease_generation(&self) -> Result<i64, Saved> {
        let mut generation = 0;
        done(host_call!(self.t, lease_generation(&mut generation))).map(|()| generation)
    }
    fn lease_news(&self, leases: &[i64], over: &[LeaseOver]) -> Result<Vec<LeaseNews>, Saved> {
        let no = |no| self.no_memory(no);
        let lent = over.iter().map(|over| aside_lease_over {
            lease: over.lease,
            handler: over.handler,
            partition: u32::from(over.partition),
            events: over.events.as_ptr(),
            nevents: over.events.len(),
        });
        let lent = memory::collect(lent, WHAT).map_err(no)?;
        let (mut data, mut count) = (std::ptr::null(), 0);
        done(host_call!(self.t, lease_news(leases.as_ptr(), leases.len(), lent.as_ptr(), lent.len(), &mut data, &mut count)))?;
        let news = |n: &aside_lease_news| {
            let fate = match n.kind {
                aside_log_kind::ASIDE_LOG_DONE => LeaseFate::Acknowledged,
                aside_log_kind::ASIDE_LOG_GIVEN_BACK => LeaseFate::GivenBack {
                    // SAFETY: on ASIDE_OK the shim lends the array and its texts until its next call.
                    message: memory::copy(unsafe { optional(&n.message) }.unwrap_or_default(), WHAT)?,
                    next_at: (n.next_at != 0).then_some(n.next_at),
                },
                _ => LeaseFate::Over,
            };
            Ok(LeaseNews { handler: n.handler, lease: n.lease, event: n.event, fate })
        };
        // SAFETY: as above.
        let found: &[aside_lease_news] = unsafe { slice(data, count) };
        memory::try_collect(found.iter().map(news), WHAT).map_err(no)
    }
    fn questions(&self) -> Vec<Question> {
        self.registry.pulls.questions(self.c.database)
    }
    fn answer(&self, ticket: Ticket, lease: i64, leases: &[i64]) -> bool {
        let asked = self.registry.pulls.answer(ticket, lease, leases);
        asked.inspect(|proc| self.h.wake(*proc)).is_some()
    }
    fn end_groups(&self, groups: &[i64]) -> Result<GroupsEnded, Saved> {
        let (mut emitted, mut busy) = (0u64, false);
        done(host_call!(self.t, end_groups(groups.as_ptr(), groups.len(), &mut emitted, &mut busy)))?;
        Ok(GroupsEnded { emitted: emitted as usize, busy })
    }
    fn listen(&self, channels: &[Vec<u8>]) -> Result<(), Saved> {
        let channels = memory::collect(channels.iter().map(|c| lend(c)), WHAT).map_err(|no| self.no_memory(no))?;
        done(host_call!(self.t, listen(channels.as_ptr(), channels.len())))
    }
    fn may_notify(&self, channel: &[u8], pid: u32) -> bool {
        host_call!(self.t, may_notify(lend(channel), pid))
    }
    /// Without room for as many as may be lent at a time they stay where they are.
    #[expect(clippy::disallowed_methods, reason = "there is room")]
    fn notifications(&self) -> (Vec<Notification>, bool) {
        if memory::look_for(NOTES_BYTES, WHAT).is_err() {
            return (Vec::new(), false);
        }
        let (mut data, mut count) = (std::ptr::null(), 0);
        let more = host_call!(self.t, notifications(&mut data, &mut count));
        // SAFETY: the shim lends the array and its texts until its next call.
        let note = |n: &aside_note| unsafe {
            Notification {
                channel: optional(&n.channel).unwrap_or_default().to_vec(),
                payload: optional(&n.payload).unwrap_or_default().to_vec(),
                pid: n.pid,
            }
        };
        // SAFETY: as above.
        (unsafe { slice(data, count) }.iter().map(note).collect(), more)
    }
    fn spill(&self, notes: &[(u32, Notification)]) -> Result<(), Saved> {
        let lent = notes.iter().map(|(handler, n)| aside_note {
            pid: n.pid,
            handler: *handler,
            channel: lend(&n.channel),
            payload: lend(&n.payload),
        });
        let lent = memory::collect(lent, WHAT).map_err(|no| self.no_memory(no))?;
        done(host_call!(self.t, spill(lent.as_ptr(), lent.len())))
    }
    fn complain(&self, handler: &[u8], complaint: &Complaint) {
        let (times, sqlstate, message) = match complaint {
            Complaint::Failed { times, sqlstate, message } => (*times, *sqlstate, message.as_slice()),
            Complaint::Dropped => (0, 0, [].as_slice()),
        };
        host_call!(self.t, complain(lend(handler), times, sqlstate, lend(message)));
    }
    fn rotate(&self, to: u8) -> Result<(), Saved> {
        done(host_call!(self.t, rotate(u32::from(to))))
    }
    fn truncate(&self, partition: u8, transactions: &Unseen) -> Result<bool, Saved> {
        let mut truncated = false;
        done(host_call!(self.t, truncate(u32::from(partition), &unseen(transactions), &mut truncated))).map(|()| truncated)
    }
    fn carry_over(&self, partition: u8, events: &[i64]) -> Result<Vec<i64>, Saved> {
        let (mut carried, mut count) = (Vec::new(), 0);
        memory::extend(&mut carried, events.len(), 0i64, WHAT).map_err(|no| self.no_memory(no))?;
        done(host_call!(self.t, carry_over(u32::from(partition), events.as_ptr(), events.len(), carried.as_mut_ptr(), &mut count)))?;
        carried.truncate(count);
        Ok(carried)
    }
    fn compact_keys(&self) -> Result<(), Saved> {
        done(host_call!(self.t, compact_keys()))
    }
    fn size(&self, partition: u8) -> u64 {
        host_call!(self.t, size(u32::from(partition)))
    }
}

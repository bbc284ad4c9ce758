//! The simulated world as the coordinator sees it; each call may fail, before or after it took effect.

use super::workers::{RAISED, Running};
use super::world::{ConsumerLease, End, Logged, Nature, Row, SECOND, State, World};
use crate::async_event::backoff::{LONGEST_SHORTAGE_US, ceiling_us, shortage};
use crate::async_event::complaints::Complaint;
use crate::async_event::host::{Ask, EventStore};
use crate::async_event::rate::Started;
use crate::async_event::spec::*;
use crate::coordinator::host::Host;
use crate::coordinator::runner::{self, Runner};
use crate::coordinator::unseen::{Snapshot, Unseen};
use crate::definition::Standing;
use crate::host::Saved;
use crate::launcher::pulls::{Question, Ticket};
use crate::lease::work::LeaseUpdate;
use crate::memory::NoMemory;
use crate::report::OUT_OF_MEMORY;

/// Notifications that are lent at a time.
const LENT: usize = 7;

impl State {
    fn by_chance(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.rng.f64() < chance
    }
}

impl World {
    /// One call: count it, fail before it, do it, fail after it.
    fn call<T>(&self, name: &'static str, atomic: bool, run: impl FnOnce(&mut State) -> T) -> Result<T, Saved> {
        let state = &mut *self.set();
        *state.calls.entry(name).or_default() += 1;
        state.short = false;
        let chance = state.faults;
        if state.broken.contains(&name) || state.by_chance(chance) {
            state.failed = true;
            state.short = state.by_chance(0.2);
            return Err(Saved);
        }
        let result = run(state);
        if !atomic && state.by_chance(chance) {
            state.failed = true;
            state.short = state.by_chance(0.2);
            return Err(Saved);
        }
        Ok(result)
    }
}

/// Pairs of an event and a handler for which it has not ended; those that are handled soon come first, by their ids.
fn open_pairs(state: &State) -> Vec<(bool, i64, Known)> {
    let mut pairs = Vec::new();
    for row in state.rows.values().filter(|row| row.committed && row.event.command.is_none()) {
        for handler in state.handlers_of(&row.event) {
            let spec = state.specs.iter().find(|spec| spec.id == handler).unwrap();
            let logged = state.log.get(&(row.event.id, handler)).cloned().unwrap_or_default();
            let due = logged.next_at.unwrap_or(row.event.run_at);
            let later = spec.paused || !spec.ordered && due > state.wall + 600 * SECOND;
            let Logged { attempts, next_at, asked, put_offs, unfinished, .. } = logged;
            let lease = logged.lease.filter(|_| unfinished).map(|number| {
                let ConsumerLease { since, until, .. } = &state.consumer_leases[&number];
                KnownLease { number, left_us: u64::try_from((until - state.wall).min(until - since)).unwrap_or(0) }
            });
            if logged.end.is_none() {
                pairs.push((
                    later,
                    row.event.id,
                    Known { handler, attempts, next_at, asked, put_offs, unfinished, paused: spec.paused, lease },
                ));
            }
        }
    }
    pairs.sort_by_key(|(later, id, known)| (*later, *id, known.handler));
    pairs
}

fn write(state: &mut State, entry: &LogEntry) {
    match entry {
        LogEntry::Attempt { handler, events, attempt, .. } => {
            for event in events {
                let logged = state.logged(*event, *handler);
                (logged.attempts, logged.unfinished) = (*attempt, true);
                if logged.end.is_some() {
                    state.wrong(format!("attempt of {event}, which has ended"));
                }
            }
        }
        LogEntry::Leased { handler, partition, events, attempt, lease, until } => {
            let (handler, partition, attempt) = (*handler, *partition, *attempt);
            write(state, &LogEntry::Attempt { handler, partition, events: events.clone(), attempt });
            for event in events {
                let mut others = state.consumer_leases.values().filter(|other| other.handler == handler);
                if others.any(|other| other.events.get(event) == Some(&None)) && !state.failed {
                    state.wrong(format!("{event} is leased to two consumers"));
                }
                state.logged(*event, handler).lease = Some(*lease);
            }
            let since = state.wall;
            let of = state.consumer_leases.entry(*lease).or_insert(ConsumerLease { handler, since, ..ConsumerLease::default() });
            of.until = *until;
            of.events.extend(events.iter().map(|event| (*event, None)));
            return;
        }
        LogEntry::Extended { lease, until, .. } => {
            let since = state.wall;
            state.consumer_leases.get_mut(lease).into_iter().for_each(|lease| (lease.since, lease.until) = (since, *until));
        }
        LogEntry::Withdrawn { handler, events, attempt, .. } => {
            for event in events {
                let logged = state.logged(*event, *handler);
                (logged.attempts, logged.unfinished) = (attempt - 1, false);
                if state.leases.values().any(|lease| lease.spec.id == *handler && lease.has(*event)) {
                    state.wrong(format!("{event} runs, and is withdrawn"));
                }
            }
        }
        LogEntry::Failed { handler, event, attempt, sqlstate, next_at, counted, .. } => {
            let wall = state.wall;
            if let Some(spec) = state.specs.iter().find(|spec| spec.id == *handler) {
                let most = match counted {
                    true => ceiling_us(*attempt, spec.backoff_us, spec.cap_us),
                    false if shortage(*sqlstate) => LONGEST_SHORTAGE_US,
                    false => 0,
                };
                // The clock may have been set meanwhile, where the entry had to be written again.
                if !state.failed && !state.closing && !(0..=most).contains(&(next_at - wall)) {
                    state.wrong(format!("{event} is to wait {} us after attempt {attempt}", next_at - wall));
                }
            }
            let logged = state.logged(*event, *handler);
            logged.attempts = if *counted { *attempt } else { attempt - 1 };
            (logged.next_at, logged.asked, logged.unfinished) = (Some(*next_at), false, false);
        }
        LogEntry::Dead { handler, event, attempt, .. } => {
            let max = state.most_attempts(*event, *handler).unwrap_or(0);
            let discarded = state.rows.get(event).is_some_and(|row| row.nature == Nature::Discards);
            if *attempt < max && !discarded {
                state.wrong(format!("{event} is dead after {attempt} attempts"));
            }
            finish(state, *event, *handler, End::Dead);
        }
        LogEntry::Expired { handler, event, .. } => {
            let expires = state.rows.get(event).and_then(|row| row.event.expires);
            if !state.failed && expires.is_none_or(|expires| expires > state.wall) {
                state.wrong(format!("{event} is expired before its time"));
            }
            finish(state, *event, *handler, End::Expired);
        }
        LogEntry::KeysFreed { events } => {
            for event in events {
                if !state.rows.get(event).is_some_and(|row| row.event.frees_key) {
                    state.wrong(format!("the key of {event} is freed"));
                }
                state.keys_freed.insert(*event);
            }
        }
        LogEntry::Cancelled { event, handler, .. } => finish(state, *event, handler.unwrap(), End::Cancelled),
    }
    state.entries.push(entry.clone());
}

fn finish(state: &mut State, event: i64, handler: u32, end: End) {
    let before = state.logged(event, handler).end.replace(end);
    if before.is_some_and(|before| before != end) {
        state.wrong(format!("{event} ended for {handler} as {before:?}, and again as {end:?}"));
    }
}

impl Host for World {
    fn timestamp(&self) -> i64 {
        self.get().wall
    }
    fn now_us(&self) -> u64 {
        self.get().mono
    }
    fn random(&self) -> f64 {
        self.set().rng.f64()
    }
    fn no_memory(&self, no: NoMemory) -> Saved {
        self.set().short = true;
        _ = no;
        Saved
    }
    fn error(&self) -> u32 {
        if self.get().short { OUT_OF_MEMORY } else { RAISED }
    }
    fn give_back(&self) {
        *self.set().calls.entry("give_back").or_default() += 1;
    }
}

impl Runner for World {
    fn start(&self, lease: u64, work: &runner::Work<'_>) -> Result<bool, Saved> {
        let runner::Work::Batches { handler, batches } = work else { panic!("events are batches") };
        self.call("start", true, |state| state.begin_lease(lease, handler, batches))
    }
    fn room(&self, _: u32, _: bool) -> Result<bool, Saved> {
        self.call("room", true, |state| state.looks_free || state.leases.len() < state.workers)
    }
    fn recall(&self, lease: u64, keep: usize) -> Option<usize> {
        let state = &mut *self.set();
        state.recalls += 1;
        state.leases.get_mut(&lease).map(|lease| lease.recall(keep))
    }
    fn begun(&self, lease: u64) -> Option<usize> {
        self.get().leases.get(&lease).map(Running::begun)
    }
    fn heard(&self) -> Vec<(u64, LeaseUpdate)> {
        self.set().heard.drain(..).collect()
    }
}

/// There are none, which is found at each look.
impl crate::definition::part::Store<crate::schedule::part::ScheduleKind> for World {
    fn load(&self) -> Result<(Vec<crate::schedule::host::Schedule>, Vec<crate::schedule::host::Run>), Saved> {
        *self.set().calls.entry("schedules").or_default() += 1;
        Ok((Vec::new(), Vec::new()))
    }
}

impl crate::schedule::part::ScheduleStore for World {}

/// The same.
impl crate::definition::part::Store<crate::chunk::part::JobKind> for World {
    fn load(&self) -> Result<(Vec<crate::chunk::host::Job>, Vec<crate::chunk::host::Chunk>), Saved> {
        *self.set().calls.entry("jobs").or_default() += 1;
        Ok((Vec::new(), Vec::new()))
    }
}

impl crate::chunk::part::ChunkStore for World {}

impl EventStore for World {
    fn handlers(&self) -> Result<Vec<Spec>, Saved> {
        // As whom they run their standing says.
        self.call("handlers", false, |state| state.specs.iter().map(|spec| Spec { owner: 0, ..spec.clone() }).collect())
    }
    fn started(&self) -> Result<Vec<Started>, Saved> {
        self.call("started", true, |state| {
            let ago = |(handler, at, count, events): &(u32, u64, usize, bool)| {
                events.then(|| Started { handler: *handler, ago_us: state.mono - at, count: *count })
            };
            state.starts.iter().filter_map(ago).collect()
        })
    }
    fn standing(&self, handlers: &[&Spec]) -> Result<Vec<Standing>, Saved> {
        self.call("standing", false, |state| {
            let owner = |id: u32| state.specs.iter().find(|spec| spec.id == id).map_or(10, |spec| spec.owner);
            let standing = |spec: &&Spec| {
                state.standings.get(&spec.id).copied().unwrap_or_else(|| Standing::Acts { owner: owner(spec.id), superuser: false })
            };
            handlers.iter().map(standing).collect()
        })
    }
    fn committed(&self, handler: u32, _: u8, events: &[i64]) -> Result<Vec<Committed>, Saved> {
        let committed = |state: &mut State| {
            let of = |id: &i64| {
                state.log.get(&(*id, handler)).map_or(Committed::default(), |logged| Committed {
                    done: logged.end == Some(End::Done),
                    put_offs: logged.put_offs,
                    until: logged.next_at.unwrap_or(0),
                })
            };
            events.iter().map(of).collect()
        };
        self.call("committed", true, committed)
    }
    fn fetch(&self, ask: Ask<'_>, limit: usize) -> Result<(Vec<Fetched>, Snapshot), Saved> {
        self.call("fetch", true, |state| {
            let events = match ask {
                Ask::Open => {
                    let commands = state.rows.values().filter(|row| row.committed && row.event.command.is_some());
                    let mut events: Vec<Fetched> = commands.map(|row| row.event.clone()).collect();
                    let pairs = open_pairs(state);
                    state.first_fetch &= pairs.len() >= limit;
                    for (_, id, known) in pairs.into_iter().take(limit) {
                        match events.last_mut().filter(|event: &&mut Fetched| event.id == id) {
                            Some(event) => event.known.push(known),
                            None => events.push(Fetched { known: vec![known], ..state.rows[&id].event.clone() }),
                        }
                    }
                    events
                }
                Ask::New { unseen, channels } => {
                    if state.first_fetch {
                        state.wrong("the first fetch is not of all that is open".into());
                    }
                    let new = state.rows.values().filter(|row| row.committed && unseen.has(row.event.txid));
                    // What the coordinator does not ask for is not returned, now or later.
                    let asked = |event: &Fetched| event.command.is_some() || event.target.is_some() || channels.contains(&event.channel);
                    let new = new.filter(|row| asked(&row.event));
                    let mut events: Vec<Fetched> = new.map(|row| row.event.clone()).collect();
                    state.rng.shuffle(&mut events);
                    events.truncate(limit);
                    events
                }
            };
            for event in &events {
                let row = state.rows.get_mut(&event.id).unwrap();
                (row.fetched, row.fetched_at) = (true, if row.fetched { row.fetched_at } else { state.step });
            }
            (events, state.snapshot())
        })
    }
    fn refetch(&self, since: i64, unseen: &Unseen) -> Result<Vec<Fetched>, Saved> {
        self.call("refetch", true, |state| {
            let passed = state.rows.values().filter(|row| row.committed && !unseen.has(row.event.txid) && row.event.id > since);
            passed.map(|row| row.event.clone()).collect()
        })
    }
    fn places(&self) -> Result<Vec<EventPlace>, Saved> {
        self.call("places", true, |state| {
            state.rewritten = false;
            let rows = state.rows.values().filter(|row| row.committed && row.event.command.is_none());
            rows.map(|row| EventPlace { id: row.event.id, partition: row.event.partition, tid: row.event.tid }).collect()
        })
    }
    fn lease_generation(&self) -> Result<i64, Saved> {
        self.call("lease_generation", false, |state| {
            state.generations += 1;
            state.generations
        })
    }
    fn lease_news(&self, leases: &[i64], over: &[LeaseOver]) -> Result<Vec<LeaseNews>, Saved> {
        self.call("lease_news", false, |state| {
            for over in over {
                let Some(lease) = state.consumer_leases.get_mut(&over.lease).filter(|lease| !lease.busy) else { continue };
                for event in &over.events {
                    lease.events.get_mut(event).into_iter().for_each(|fate| _ = fate.get_or_insert(LeaseFate::Over));
                }
            }
            let asked = leases.iter().copied().chain(over.iter().map(|over| over.lease));
            let found = asked.filter_map(|lease| Some((lease, state.consumer_leases.get(&lease)?)));
            let news = found.flat_map(|(lease, of)| {
                let fates = of.events.iter().filter_map(|(event, fate)| Some((*event, fate.clone()?)));
                fates.map(move |(event, fate)| LeaseNews { handler: of.handler, lease, event, fate }).collect::<Vec<_>>()
            });
            news.collect()
        })
    }
    fn questions(&self) -> Vec<Question> {
        self.get().questions.clone()
    }
    fn answer(&self, ticket: Ticket, lease: i64, leases: &[i64]) -> bool {
        let state = &mut *self.set();
        let before = state.questions.len();
        state.questions.retain(|question| question.ticket != ticket);
        let waits = state.questions.len() < before;
        if waits {
            state.answers.push((ticket, lease, leases.to_vec()));
        }
        waits
    }
    fn wake_waiters(&self, events: &[i64]) {
        self.set().told.extend(events);
    }
    fn end_groups(&self, groups: &[i64]) -> Result<GroupsEnded, Saved> {
        self.call("end_groups", false, |state| {
            let mut ended = GroupsEnded::default();
            let asked: Vec<i64> = state.closed.iter().filter(|group| groups.is_empty() || groups.contains(group)).copied().collect();
            for group in asked.into_iter().filter(|group| !state.groups_ended.contains_key(group)).collect::<Vec<_>>() {
                if state.group_is_open(group) {
                    continue;
                }
                if state.held_group == Some(group) {
                    ended.busy = true;
                    continue;
                }
                *state.groups_ended.entry(group).or_default() += 1;
                ended.emitted += 1;
            }
            ended
        })
    }
    fn record(&self, entries: &[LogEntry]) -> Result<(), Saved> {
        self.call("record", false, |state| entries.iter().for_each(|entry| write(state, entry)))
    }
    fn listen(&self, channels: &[Vec<u8>]) -> Result<(), Saved> {
        self.call("listen", false, |state| state.listening = channels.to_vec())
    }
    fn notifications(&self) -> (Vec<Notification>, bool) {
        let state = &mut *self.set();
        *state.calls.entry("notifications").or_default() += 1;
        let some = state.notes.len().min(LENT);
        (state.notes.drain(..some).collect(), !state.notes.is_empty())
    }
    fn spill(&self, notes: &[(u32, Notification)]) -> Result<(), Saved> {
        self.call("spill", true, |state| {
            for (handler, note) in notes {
                let channel = String::from_utf8(note.channel.clone()).unwrap();
                let id = state.emit_as(&channel, Nature::Good, |event| event.target = Some(*handler));
                // Where the payload would be; the key is of account for ordered handlers only.
                state.log.entry((id, *handler)).or_default();
                state.spilled.insert(id, note.payload.clone());
            }
        })
    }
    fn complain(&self, handler: &[u8], complaint: &Complaint) {
        self.set().complaints.push((String::from_utf8_lossy(handler).into_owned(), complaint.clone()));
    }
    fn rotate(&self, to: u8) -> Result<(), Saved> {
        self.call("rotate", false, |state| state.current = to)
    }
    fn truncate(&self, partition: u8, unseen: &Unseen) -> Result<bool, Saved> {
        self.call("truncate", false, |state| {
            let of_it = |row: &&Row| row.event.partition == partition;
            if state.current == partition && state.faults == 0.0 {
                state.wrong(format!("the current partition {partition} is emptied"));
            }
            if state.rows.values().filter(of_it).any(|row| !row.committed || unseen.has(row.event.txid)) || state.rng.u32(..4) == 0 {
                return false;
            }
            let lost = state.outstanding().into_iter().find(|(event, _)| state.rows[event].event.partition == partition);
            if let Some((event, handler)) = lost {
                state.wrong(format!("{event} had not ended for {handler}, and is lost"));
            }
            state.rows.retain(|_, row| row.event.partition != partition);
            true
        })
    }
    fn carry_over(&self, partition: u8, events: &[i64]) -> Result<Vec<i64>, Saved> {
        self.call("carry_over", false, |state| {
            let mut carried = Vec::new();
            for event in events {
                if state.leases.values().any(|lease| lease.has(*event)) {
                    state.wrong(format!("{event} is carried over while it runs"));
                }
                // Somebody is changing it.
                let there = state.rows.get(event).is_some_and(|row| row.event.partition == partition);
                if there && state.rng.u32(..8) == 0 {
                    continue;
                }
                carried.push(*event);
                let (tid, current, txid) = (state.next_tid, state.current, state.begin());
                state.running.remove(&txid);
                state.next_tid += 1;
                let moved = state.rows.get_mut(event).filter(|row| row.event.partition == partition);
                if let Some(row) = moved {
                    (row.event.partition, row.event.tid, row.event.txid, row.fetched) = (current, tid, txid, false);
                }
            }
            carried
        })
    }
    fn compact_keys(&self) -> Result<(), Saved> {
        self.call("compact_keys", false, |_| ())
    }
    fn size(&self, partition: u8) -> u64 {
        100 * self.get().rows.values().filter(|row| row.event.partition == partition).count() as u64
    }
}

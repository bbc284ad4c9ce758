//! The table's claims, one after another; then threads, and a random interleaving beside a simple model.

use super::journal::RECORD;
use super::pages::PAGE_BYTES;
use super::*;
use crate::pool::slot::Lease;
use crate::report::QUERY_CANCELED;
use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::*};

/// A table in ordinary memory, leaked so that tests may treat it as shared memory.
pub(crate) fn leak(tasks: usize, pages: usize) -> Table<'static> {
    Table {
        header: Box::leak(Box::default()),
        entries: Box::leak((0..tasks).map(|_| TaskEntry::default()).collect()),
        pages: Box::leak((0..pages).map(|_| Page::default()).collect()),
    }
}

const KEY: Key = Key { database: 5, user: 10, superuser: false };

fn new(submitter: u32, command: &[u8]) -> New<'_> {
    New { owner: 77, key: KEY, submitter, command, label: b"label", quotas: (1500, 7), prefer: Some((0, 4321)) }
}

fn lease(slot: u32, generation: u64) -> Lease {
    Lease { slot, generation }
}

fn outcome(end: TaskEnd) -> Outcome<'static> {
    Outcome { end, sqlstate: 0, rows: 3, message: b"SELECT 3" }
}

impl Table<'_> {
    fn filling(&self) -> Ticket {
        self.submit(&new(100, b"select"), 1).unwrap().0
    }

    fn queued(&self) -> Ticket {
        let ticket = self.filling();
        assert!(self.offer(ticket, TaskState::Queued));
        ticket
    }

    fn running(&self, on: Lease) -> Ticket {
        let ticket = self.queued();
        assert!(self.take(ticket, on, 20));
        ticket
    }

    fn done(&self, now: i64) -> Ticket {
        let ticket = self.running(lease(0, now as u64));
        assert_eq!(self.finish(ticket, lease(0, now as u64), &outcome(TaskEnd::Done), now), TaskChange::Kept);
        ticket
    }

    fn used(&self) -> (u32, usize) {
        (self.header.pages_used.load(SeqCst), self.pages.iter().filter(|page| page.owner.load(SeqCst) != 0).count())
    }

    fn owners_of(&self, owner: u32) -> usize {
        (0..self.entries.len() as u32).filter_map(|index| self.view(index)).filter(|view| view.card.owner == owner).count()
    }

    fn is_empty(&self) -> bool {
        self.used() == (0, 0) && self.header.used.load(SeqCst) == 0 && self.entries.iter().all(|entry| entry.at().1 == TaskState::Free)
    }
}

#[test]
fn zeroes_are_an_empty_table() {
    let t = leak(2, 2);
    assert_eq!(size_of::<Page>(), 1024);
    assert!(t.is_empty() && t.view(0).is_none() && t.view(9).is_none() && t.find(0).is_none() && t.find(1).is_none());
    assert_eq!(t.state(Ticket { index: 0, id: 0 }), None);
    assert!(!t.pin(Ticket { index: 0, id: 0 }));
    assert_eq!(t.unpin(Ticket { index: 0, id: 0 }), TaskChange::Ignored);
    assert_eq!(t.detach(Ticket { index: 0, id: 0 }), TaskChange::Ignored);
    assert_eq!(t.filling().id, 1);
    let nothing = leak(0, 0);
    assert_eq!(nothing.submit(&new(1, b""), 1), Err(Full));
}

#[test]
fn ids_begin_where_they_are_seeded_and_never_go_back() {
    let t = leak(4, 0);
    t.seed_ids(4242 << 24);
    assert_eq!(t.filling().id, (4242 << 24) + 1);
    t.seed_ids(7);
    assert_eq!(t.filling().id, (4242 << 24) + 2);
}

#[test]
fn a_view_tells_all_of_a_task_at_each_stage() {
    let t = leak(2, 4);
    let ticket = t.filling();
    assert!(t.store(ticket, b"request"));
    assert_eq!(t.view(ticket.index), None, "not while it is filled");
    assert!(t.offer(ticket, TaskState::Queued));
    let queued = t.view(ticket.index).unwrap();
    assert_eq!((queued.card.owner, queued.card.key, queued.card.submitter, queued.card.quotas), (77, KEY, 100, (1500, 7)));
    assert_eq!((queued.card.prefer, queued.card.lease, queued.card.state), (Some((0, 4321)), None, TaskState::Queued));
    assert_eq!((&queued.command[..], &queued.label[..], queued.payload), (&b"select"[..], &b"label"[..], 7));
    assert_eq!((queued.started, queued.finished, queued.progress), (None, None, None));
    assert!(t.take(ticket, lease(0, 9), 20));
    assert!(t.progress(ticket, 12.5, b"an eighth"));
    assert!(t.ask_cancel(ticket) && !t.ask_cancel(ticket) && t.cancel_asked(ticket));
    let running = t.view(ticket.index).unwrap();
    assert_eq!((running.card.lease, running.started, running.card.cancel_asked), (Some(lease(0, 9)), Some(20), true));
    assert_eq!(running.progress, Some((12.5, b"an eighth".to_vec())));
    assert_eq!(t.finish(ticket, lease(0, 9), &Outcome { sqlstate: 5, ..outcome(TaskEnd::Failed) }, 30), TaskChange::Kept);
    assert!(t.mark_read(ticket) && t.pin(ticket));
    let ended = t.view(ticket.index).unwrap();
    assert_eq!((ended.card.state, ended.finished, ended.rows, ended.sqlstate), (TaskState::Failed, Some(30), 3, 5));
    assert_eq!((&ended.message[..], ended.read, ended.pins, ended.detached), (&b"SELECT 3"[..], true, 1, false));
    assert!(!t.progress(ticket, 99.0, b"late"), "it has ended");
}

#[test]
fn texts_longer_than_their_place_are_clipped() {
    let t = leak(1, 0);
    let ticket = t.submit(&New { label: &[b'l'; 100], ..new(1, &[b'c'; 1000]) }, 1).unwrap().0;
    assert!(t.offer(ticket, TaskState::Queued) && t.take(ticket, lease(0, 1), 2) && t.progress(ticket, 1.0, &[b'p'; 1000]));
    _ = t.finish(ticket, lease(0, 1), &Outcome { message: &[b'm'; 1000], ..outcome(TaskEnd::Failed) }, 3);
    let view = t.view(0).unwrap();
    let lengths = [&view.command, &view.label, &view.message, &view.progress.unwrap().1].map(Vec::len);
    assert_eq!(lengths, [512, 64, 256, 128]);
}

#[test]
fn an_old_ticket_has_no_effect_on_the_task_that_came_after() {
    let t = leak(1, 4);
    let old = t.done(30);
    assert_eq!(t.detach(old), TaskChange::Freed { file: false });
    for stage in 0..4 {
        let ticket = t.filling();
        assert!(t.store(ticket, b"new"));
        assert!(stage < 1 || t.offer(ticket, TaskState::Queued));
        assert!(stage < 2 || t.take(ticket, lease(0, 50), 20));
        assert!(stage < 3 || t.finish(ticket, lease(0, 50), &outcome(TaskEnd::Done), 30) == TaskChange::Kept);
        let before = (t.view(0), t.entries[0].at());
        assert!(!t.offer(old, TaskState::Queued) && !t.confirm(old) && !t.take(old, lease(0, 51), 1) && !t.requeue(old, lease(0, 50)));
        let changes = [
            t.abandon(old, 1),
            t.finish(old, lease(0, 50), &outcome(TaskEnd::Failed), 1),
            t.finish_queued(old, &outcome(TaskEnd::Failed), 1),
            t.cancel_queued(old, 1),
            t.unpin(old),
            t.detach(old),
        ];
        assert_eq!(changes, [TaskChange::Ignored; 6]);
        assert!(!t.pin(old) && !t.mark_read(old) && !t.ask_cancel(old) && !t.progress(old, 1.0, b"old") && !t.cancel_asked(old));
        assert!(!t.store(old, b"old") && !t.set_on_disk(old, 1) && !t.clear_payload(old));
        assert_eq!((t.load(old, &mut Vec::new()), t.on_disk(old)), (Err(Unloadable::Gone), None));
        assert_eq!((t.state(old), t.find(old.id), t.record(old)), (None, None, None));
        assert_eq!((t.view(0), t.entries[0].at()), before, "stage {stage}");
        let mut payload = Vec::new();
        assert_eq!((t.load(ticket, &mut payload), &payload[..]), (Ok(()), &b"new"[..]));
        _ = t.detach(ticket);
        _ = t.abandon(ticket, 2);
        _ = t.cancel_queued(ticket, 2);
        _ = t.finish(ticket, lease(0, 50), &outcome(TaskEnd::Done), 30);
        assert!(t.is_empty());
    }
}

#[test]
fn who_finished_longest_ago_is_evicted_and_those_read_before_all_others() {
    let t = leak(5, 0);
    let [late, early, read, pinned] = [50, 20, 90, 10].map(|at| t.done(at));
    let running = t.running(lease(3, 3));
    assert!(t.mark_read(read) && t.pin(pinned));
    for victim in [read, early, late] {
        assert!(t.state(victim).is_some());
        let (ticket, file) = t.submit(&new(1, b""), 100).unwrap();
        assert_eq!((ticket.index, file, t.state(victim)), (victim.index, None, None));
    }
    assert_eq!(t.submit(&new(1, b""), 100), Err(Full), "the rest are pinned, running, being filled");
    assert_eq!(t.state(running), Some(TaskState::Running));
    assert_eq!(t.unpin(pinned), TaskChange::Kept);
    assert_eq!(t.submit(&new(1, b""), 100).unwrap().0.index, pinned.index);
    assert_eq!((t.header.stats.evicted.load(SeqCst), t.header.stats.refused.load(SeqCst)), (4, 1));
}

fn of(owner: u32) -> New<'static> {
    New { owner, ..new(1, b"") }
}

#[test]
fn nobodys_unread_result_goes_for_the_tasks_of_one_who_has_more() {
    let t = leak(8, 0);
    let done = |owner: u32, at: i64| {
        let (ticket, _) = t.submit(&of(owner), at).unwrap();
        assert!(t.offer(ticket, TaskState::Queued) && t.take(ticket, lease(0, at as u64), at));
        _ = t.finish(ticket, lease(0, at as u64), &outcome(TaskEnd::Done), at);
        ticket
    };
    let alice = [done(1, 10), done(1, 11)];
    let mallory: Vec<_> = (20..26).map(|at| done(2, at)).collect();
    for (at, victim) in (30..).zip(mallory) {
        done(2, at);
        assert_eq!(t.state(victim), None);
    }
    done(3, 40);
    assert_eq!(alice.map(|ticket| t.state(ticket)), [Some(TaskState::Done); 2]);
    assert_eq!(t.owners_of(2), 5, "who comes new has the place of one of those that are most");
}

#[test]
fn the_last_places_of_a_large_table_are_for_those_who_have_few() {
    let t = leak(160, 0);
    let sleeps = |owner: u32| t.may_have_more(owner, 0) && t.submit(&of(owner), 1).is_ok();
    let mallory = (0..1000).take_while(|_| sleeps(2)).count();
    assert_eq!(mallory, 150);
    let alice = (0..1000).take_while(|_| sleeps(1)).count();
    assert_eq!(alice, 10, "so nobody has all");
}

#[test]
fn a_quota_counts_all_tasks_of_a_role_and_its_ended_ones_make_room() {
    let t = leak(8, 0);
    let first = t.submit(&of(2), 1).unwrap().0;
    t.submit(&of(1), 1).unwrap();
    assert!(t.may_have_more(2, 2));
    t.submit(&of(2), 1).unwrap();
    assert!(!t.may_have_more(2, 2) && t.may_have_more(1, 2) && t.may_have_more(2, 0));
    assert!(!t.make_room_of(2, |_| ()), "none has ended");
    assert!(t.offer(first, TaskState::Queued) && t.take(first, lease(0, 1), 1));
    _ = t.finish(first, lease(0, 1), &outcome(TaskEnd::Done), 1);
    assert!(t.make_room_of(2, |_| ()) && t.may_have_more(2, 2));
    assert_eq!(t.state(first), None);
}

#[test]
fn results_of_a_role_that_were_read_make_room_for_its_new_ones_and_no_others_do() {
    let t = leak(8, 8);
    let of = |owner, at: i64| {
        let ticket = t.submit(&New { owner, ..new(1, b"") }, at).unwrap().0;
        assert!(t.offer(ticket, TaskState::Queued) && t.take(ticket, lease(at as u32, 1), at));
        ticket
    };
    let end = |ticket, at: i64| _ = t.finish(ticket, lease(at as u32, 1), &outcome(TaskEnd::Done), at);
    let (first, second, other) = (of(1, 1), of(1, 2), of(2, 3));
    assert!(t.allow(first, 40, 100, |_| ()) && t.set_on_disk(first, 40) && t.allow(second, 50, 100, |_| ()));
    assert!(t.allow(other, 100, 100, |_| ()), "each role for itself");
    [(first, 1), (second, 2), (other, 3)].into_iter().for_each(|(ticket, at)| end(ticket, at));
    assert!(t.mark_read(other));
    let third = of(1, 4);
    assert!(t.allow(third, 10, 100, |_| ()) && !t.allow(third, 11, 100, |_| ()), "nothing of its role was read");
    assert!(t.allow(third, 11, 0, |_| ()) && t.allow(third, 10, 100, |_| ()), "0 is no limit");
    assert!(t.mark_read(first) && t.mark_read(second) && t.pin(second));
    let mut files = Vec::new();
    assert!(t.allow(third, 50, 100, |id| files.push(id)), "what was read goes");
    assert_eq!((files, t.state(first)), (vec![first.id], None));
    assert!(!t.allow(third, 51, 100, |_| ()), "what is being read stays");
    assert!(!t.allow(third, 51, 100, |_| ()) && t.allow(third, 50, 100, |_| ()), "what was refused is not counted");
    assert!(!t.clear_payload(third));
    let fourth = of(1, 5);
    assert!(t.allow(fourth, 50, 100, |_| ()), "what the task has given up is not counted");
    assert_eq!((t.state(second), t.state(other)), (Some(TaskState::Done), Some(TaskState::Done)));
}

#[test]
fn the_file_of_an_evicted_task_is_named() {
    let t = leak(1, 2);
    let old = t.running(lease(0, 1));
    assert!(t.set_on_disk(old, 1 << 33));
    assert_eq!(t.on_disk(old), Some(1 << 33));
    _ = t.finish(old, lease(0, 1), &outcome(TaskEnd::Done), 5);
    assert_eq!(t.view(0).unwrap().payload, 1 << 33);
    let (ticket, file) = t.submit(&new(1, b""), 9).unwrap();
    assert_eq!((file, t.on_disk(ticket)), (Some(old.id), None));
}

#[test]
fn a_payload_comes_back_as_it_was_up_to_the_limit() {
    let t = leak(2, 80);
    let ticket = t.filling();
    let mut out = vec![9; 9];
    for length in [0, 1, 7, 8, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 40_000, MEMORY_PER_TASK] {
        let bytes: Vec<u8> = (0..length).map(|i| (i * 7 + i / 255) as u8).collect();
        assert!(t.store(ticket, &bytes));
        assert_eq!((t.load(ticket, &mut out), out == bytes), (Ok(()), true), "{length}");
        assert_eq!(t.used(), (length.div_ceil(PAGE_BYTES) as u32, length.div_ceil(PAGE_BYTES)));
    }
    assert!(!t.store(ticket, &vec![0; MEMORY_PER_TASK + 1]), "too long");
    assert_eq!((t.used(), t.load(ticket, &mut out), out.len()), ((0, 0), Ok(()), 0));
    assert!(t.set_on_disk(ticket, 99));
    assert_eq!(t.load(ticket, &mut out), Err(Unloadable::OnDisk));
    assert!(t.clear_payload(ticket) && !t.clear_payload(ticket), "the file is to be deleted once");
    assert!(t.store(ticket, b"x"));
    assert_eq!(t.abandon(ticket, 5), TaskChange::Freed { file: false });
    assert!(t.is_empty());
}

#[test]
fn where_pages_are_short_none_is_taken() {
    let t = leak(2, 3);
    let (a, b) = (t.filling(), t.filling());
    assert!(t.store(a, &[1; 2 * PAGE_BYTES]));
    assert!(!t.store(b, &[2; PAGE_BYTES + 1]));
    assert_eq!(t.used(), (2, 2));
    assert!(t.store(b, &[2; PAGE_BYTES]) && t.set_on_disk(a, 5));
    assert_eq!(t.used(), (1, 1));
    let mut out = Vec::new();
    assert_eq!((t.load(b, &mut out), out == [2; PAGE_BYTES]), (Ok(()), true));
    assert_eq!(t.abandon(a, 5), TaskChange::Freed { file: true });
}

#[test]
fn a_pending_task_starts_only_when_its_submitter_commits() {
    let t = leak(3, 3);
    let ticket = t.filling();
    assert!(!t.offer(ticket, TaskState::Running) && t.offer(ticket, TaskState::Pending));
    assert_eq!(t.oldest_queued(|_| true), None);
    assert!(!t.take(ticket, lease(0, 1), 2));
    assert!(t.confirm(ticket) && !t.confirm(ticket));
    assert_eq!(t.abandon(ticket, 2), TaskChange::Ignored, "it has committed");
    assert_eq!(t.oldest_queued(|_| true), Some(ticket));
    let younger = t.queued();
    assert_eq!(t.oldest_queued(|_| true), Some(ticket));
    assert_eq!(t.oldest_queued(|card| card.ticket != ticket), Some(younger));
    assert!(t.take(ticket, lease(0, 1), 2));
    assert_eq!((t.running_on(lease(0, 1)), t.running_on(lease(0, 2)), t.running_on(lease(1, 1))), (Some(ticket), None, None));
    assert_eq!(t.count(TaskState::Running, |card| card.owner == 77), 1);
    assert_eq!((t.count(TaskState::Running, |card| card.owner == 1), t.count(TaskState::Queued, |_| true)), (0, 1));
}

#[test]
fn who_waits_for_an_abandoned_task_sees_it_cancelled() {
    let t = leak(1, 2);
    let ticket = t.filling();
    assert!(t.store(ticket, b"x") && t.offer(ticket, TaskState::Pending) && t.pin(ticket));
    assert_eq!(t.abandon(ticket, 7), TaskChange::Kept);
    let view = t.view(0).unwrap();
    assert_eq!((view.card.state, view.sqlstate, view.finished), (TaskState::Cancelled, TRANSACTION_ROLLBACK, Some(7)));
    assert!(!t.pin(ticket), "it is to go");
    assert_eq!(t.submit(&new(1, b""), 9), Err(Full), "but not yet");
    assert_eq!(t.unpin(ticket), TaskChange::Freed { file: false });
    assert!(t.is_empty());
}

#[test]
fn a_cancelled_task_does_not_run_and_says_why() {
    let t = leak(2, 2);
    for to in [TaskState::Pending, TaskState::Queued] {
        let ticket = t.filling();
        assert_eq!(t.cancel_queued(ticket, 5), TaskChange::Ignored);
        assert!(t.offer(ticket, to));
        assert_eq!(t.cancel_queued(ticket, 6), TaskChange::Kept);
        assert!(!t.take(ticket, lease(0, 1), 7) && !t.confirm(ticket));
        let view = t.view(ticket.index).unwrap();
        assert_eq!((view.card.state, view.sqlstate, view.started), (TaskState::Cancelled, QUERY_CANCELED, None));
        assert!(!view.message.is_empty());
    }
}

#[test]
fn an_older_lease_neither_ends_nor_requeues_a_task_that_runs_elsewhere() {
    let t = leak(1, 0);
    let (old, current) = (lease(0, 1), lease(1, 1));
    let ticket = t.running(old);
    assert!(t.requeue(ticket, old) && !t.requeue(ticket, old));
    assert_eq!((t.oldest_queued(|_| true), t.view(0).unwrap().started), (Some(ticket), None));
    assert!(t.take(ticket, current, 30));
    assert!(!t.requeue(ticket, old));
    assert_eq!(t.finish(ticket, old, &outcome(TaskEnd::Failed), 31), TaskChange::Ignored);
    assert_eq!(t.running_on(current), Some(ticket));
    assert_eq!(t.finish(ticket, current, &outcome(TaskEnd::Done), 32), TaskChange::Kept);
    let ended = t.view(0);
    assert_eq!(t.finish(ticket, current, &outcome(TaskEnd::Failed), 33), TaskChange::Ignored);
    assert_eq!(t.cancel_queued(ticket, 33), TaskChange::Ignored);
    assert_eq!(t.view(0), ended, "a second end has no effect");
}

#[test]
fn a_detached_task_is_freed_when_it_ends_and_a_finished_one_at_once() {
    let t = leak(2, 4);
    let ticket = t.running(lease(0, 1));
    assert_eq!((t.detach(ticket), t.state(ticket)), (TaskChange::Kept, Some(TaskState::Running)));
    assert!(t.set_on_disk(ticket, 5));
    assert_eq!(t.finish(ticket, lease(0, 1), &outcome(TaskEnd::Done), 3), TaskChange::Freed { file: true });
    let ticket = t.queued();
    assert_eq!((t.detach(ticket), t.cancel_queued(ticket, 4)), (TaskChange::Kept, TaskChange::Freed { file: false }));
    let ticket = t.done(5);
    assert!(t.pin(ticket) && t.pin(ticket));
    assert_eq!((t.detach(ticket), t.unpin(ticket)), (TaskChange::Kept, TaskChange::Kept));
    assert_eq!(
        (t.state(ticket), t.unpin(ticket), t.unpin(ticket)),
        (Some(TaskState::Done), TaskChange::Freed { file: false }, TaskChange::Ignored)
    );
    assert!(t.is_empty());
}

#[test]
fn who_holds_a_pin_can_read_what_another_has_detached() {
    let t = leak(1, 4);
    let ticket = t.running(lease(0, 1));
    assert!(t.store(ticket, b"result") && t.pin(ticket));
    _ = t.finish(ticket, lease(0, 1), &outcome(TaskEnd::Done), 3);
    assert_eq!(t.detach(ticket), TaskChange::Kept);
    let mut out = Vec::new();
    assert_eq!((t.load(ticket, &mut out), &out[..]), (Ok(()), &b"result"[..]));
    assert_eq!(t.unpin(ticket), TaskChange::Freed { file: false });
}

#[test]
fn progress_of_an_earlier_task_is_not_that_of_the_next() {
    let t = leak(1, 0);
    let old = t.running(lease(0, 1));
    assert!(t.progress(old, 50.0, b"half"));
    _ = t.finish(old, lease(0, 1), &outcome(TaskEnd::Done), 3);
    assert_eq!(t.detach(old), TaskChange::Freed { file: false });
    t.running(lease(0, 2));
    assert_eq!(t.view(0).unwrap().progress, None);
    // A late writer of the old task that had looked at the state before.
    assert!(t.entries[0].progress.write(old.id, 60.0, b"late"));
    assert_eq!(t.view(0).unwrap().progress, None);
}

#[test]
fn tasks_kept_long_enough_expire() {
    let t = leak(5, 5);
    let [old, young, pinned] = [10, 100, 10].map(|at| t.done(at));
    let filed = t.running(lease(0, 1));
    assert!(t.set_on_disk(filed, 5));
    _ = t.finish(filed, lease(0, 1), &outcome(TaskEnd::Failed), 10);
    let running = t.running(lease(0, 2));
    assert!(t.pin(pinned));
    let mut files = Vec::new();
    t.expire(110, 50, |id| files.push(id));
    assert_eq!(files, [filed.id]);
    let states = [old, young, pinned, filed, running].map(|ticket| t.state(ticket));
    assert_eq!(states, [None, Some(TaskState::Done), Some(TaskState::Done), None, Some(TaskState::Running)]);
}

#[test]
fn what_dead_processes_were_submitting_is_freed_and_nothing_else() {
    let t = leak(5, 5);
    let submit = |pid, to: Option<TaskState>| {
        let ticket = t.submit(&new(pid, b"x"), 1).unwrap().0;
        assert!(t.store(ticket, b"x"));
        to.into_iter().for_each(|to| assert!(t.offer(ticket, to)));
        ticket
    };
    let dead = [submit(1, None), submit(1, Some(TaskState::Pending))];
    let kept = [submit(1, Some(TaskState::Queued)), submit(2, None), submit(2, Some(TaskState::Pending))];
    assert!(t.set_on_disk(dead[0], 5));
    let mut files = Vec::new();
    t.reclaim(9, |pid| pid == 2, |id| files.push(id));
    assert_eq!(files, [dead[0].id]);
    assert!(dead.iter().all(|&ticket| t.state(ticket).is_none()) && kept.iter().all(|&ticket| t.state(ticket).is_some()));
    assert_eq!(t.used(), (3, 3));
}

#[test]
fn a_submitter_that_has_not_written_its_name_yet_is_not_taken_for_an_earlier_one() {
    let t = leak(1, 0);
    let old = t.submit(&new(1, b"x"), 1).unwrap().0;
    assert_eq!(t.abandon(old, 2), TaskChange::Freed { file: false });
    assert!(t.entries[0].replace((old.id, TaskState::Free), (2, TaskState::Filling)));
    t.header.used.fetch_add(1, SeqCst);
    t.reclaim(9, |_| false, |_| ());
    assert_eq!(t.entries[0].at(), (2, TaskState::Filling));
    t.fill(&t.entries[0], 2, &new(3, b"y"), 4);
    t.reclaim(9, |_| false, |_| ());
    assert!(t.is_empty());
}

#[test]
fn waiters_are_woken_by_the_task_that_they_wait_for() {
    let t = leak(1, 0);
    let places: Vec<_> = (0..waiters::PLACES as u32).map(|i| t.enlist(1000 + i / 2, i, u64::from(i % 4) + 1).unwrap()).collect();
    assert_eq!(t.enlist(9, 9, 1), None);
    assert_eq!((t.waits_of(1000), t.waits_of(1001), t.waits_of(9)), (vec![1, 2], vec![3, 4], vec![]));
    let woken = |id| {
        let mut woken = Vec::new();
        t.wake(id, |proc| woken.push(proc));
        woken
    };
    assert_eq!((woken(1).len(), woken(2)[0], woken(9).len()), (waiters::PLACES / 4, 1, 0));
    t.delist(places[1]);
    t.delist_all(1002);
    assert_eq!((woken(1)[1], woken(2)[0], t.waits_of(1000), t.waits_of(1002)), (8, 9, vec![1], vec![]));
    assert!(t.enlist(9, 9, 1).is_some());
    t.delist(places[1]);
    assert_eq!(t.waits_of(9), [1], "a place given back is not given back again");
    assert!(!t.waits_for_others(1000));
    t.not_all(places[0]);
    assert!(t.waits_for_others(1000) && !t.waits_for_others(1001));
    assert_eq!((t.waits_of(1000), woken(1)[0]), (vec![1], 0), "what it has said of is known all the same");
}

#[test]
fn a_failure_that_nobody_has_read_outlasts_its_owners_results_and_nobody_elses() {
    let t = leak(4, 0);
    let end = |ticket: Ticket, end, at| _ = t.finish(ticket, lease(0, at as u64), &outcome(end), at);
    let failed = t.running(lease(0, 1));
    end(failed, TaskEnd::Failed, 1);
    let [first, second] = [2, 3].map(|at| {
        let ticket = t.running(lease(0, at));
        end(ticket, TaskEnd::Done, at as i64);
        ticket
    });
    let other = t.running(lease(0, 4));
    t.entries[other.index as usize].owner.store(78, Relaxed);
    end(other, TaskEnd::Done, 4);
    let evicted = || {
        let (new, _) = t.submit(&new(100, b"select"), 9).unwrap();
        let gone = [failed, first, second, other].into_iter().find(|old| old.index == new.index).unwrap();
        assert_eq!(t.state(gone), None);
        gone
    };
    assert_eq!([evicted(), evicted()], [first, second]);
    assert_eq!([evicted(), evicted()], [failed, other]);
}

#[test]
fn a_task_is_found_by_its_id_wherever_it_is() {
    let t = leak(5, 0);
    let mut kept: Vec<Ticket> = Vec::new();
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for at in 1..500 {
        if kept.len() == 5 || !kept.is_empty() && rng.bool() {
            let gone = kept.swap_remove(rng.usize(..kept.len()));
            assert!(t.evict(gone, &mut |_| ()));
            assert_eq!(t.find(gone.id), None);
        } else {
            kept.push(t.done(at));
        }
        assert!(kept.iter().all(|ticket| t.find(ticket.id) == Some(*ticket)));
    }
    assert_eq!(t.find(u64::MAX), None);
}

#[test]
fn what_a_restart_swallows_comes_back_as_lost() {
    let t = leak(6, 0);
    t.seed_ids(40);
    let mut file = vec![None; 6];
    let write = |file: &mut Vec<_>, ticket: Ticket| file[ticket.index as usize] = t.record(ticket);
    let pending = t.filling();
    assert!(t.offer(pending, TaskState::Pending));
    let (queued, running, done, ending) = (t.queued(), t.running(lease(0, 1)), t.done(30), t.running(lease(0, 2)));
    assert!(t.entries[ending.index as usize].leave(ending.id, lease(0, 2), TaskState::Ending));
    let announced = t.filling();
    [pending, queued, running, done, ending].into_iter().for_each(|ticket| write(&mut file, ticket));
    file[announced.index as usize] = t.record_as(announced, TaskState::Queued);

    let after = leak(6, 0);
    assert_eq!(after.recover(99, &mut |index| file.get(index as usize).copied().flatten()), 4);
    for ticket in [queued, running, ending, announced] {
        let view = after.view(ticket.index).unwrap();
        assert_eq!((view.card.ticket, view.card.state, view.finished), (ticket, TaskState::Lost, Some(99)));
        assert_eq!((view.card.owner, view.card.key, view.sqlstate, view.card.submitted), (77, KEY, CRASH_SHUTDOWN, 1));
        assert_eq!((&view.command[..], &view.label[..]), (&b"select"[..], &b"label"[..]));
        assert_eq!(view.message, b"the server was restarted before the task ended");
        assert_eq!(view.started, (ticket == running || ticket == ending).then_some(20));
    }
    assert!(after.state(pending).is_none() && after.state(done).is_none());
    assert_eq!(after.filling().id, announced.id + 1);

    // Their records say so from now on: once is enough.
    let mut again: Vec<_> = file.clone();
    for (index, record) in (0..).zip(&mut again) {
        *record = after.view(index).and_then(|view| after.record(view.card.ticket)).or(*record);
    }
    let third = leak(6, 0);
    assert_eq!(third.recover(100, &mut |index| again.get(index as usize).copied().flatten()), 0);
    assert_eq!(third.filling().id, announced.id + 1);
}

#[test]
fn a_journal_in_memory_is_made_to_tell_of_what_is_lost() {
    let t = leak(3, 0);
    let (queued, free) = (t.queued(), t.queued());
    let mut journal = [t.record(queued).unwrap(), [0; RECORD], [0; RECORD]].concat();
    journal[RECORD..2 * RECORD].copy_from_slice(&t.record_as(free, TaskState::Done).unwrap());
    let done = journal[RECORD..2 * RECORD].to_vec();
    let after = leak(3, 0);
    assert_eq!(after.recover_from(99, &mut journal), 1);
    assert_eq!(after.view(queued.index).unwrap().card.state, TaskState::Lost);
    assert_eq!(journal[RECORD..2 * RECORD], done, "what is no task any more keeps its id");
    assert_eq!(leak(3, 0).recover_from(100, &mut journal), 0, "it is lost once");
}

#[test]
fn a_file_of_a_larger_table_is_read_to_its_end() {
    let t = leak(8, 0);
    let tickets: Vec<_> = (0..8).map(|_| t.queued()).collect();
    let file: Vec<_> = tickets.iter().map(|&ticket| t.record(ticket)).collect();
    let small = leak(3, 0);
    let read = |index: u32| file.get(index as usize).copied().flatten().filter(|_| index != 1);
    assert_eq!(small.recover(9, &mut |index| read(index)), 3, "the third takes the place without a record");
    assert!(small.find(tickets[0].id).is_some() && small.find(tickets[2].id).is_some() && small.find(tickets[3].id).is_some());
    assert_eq!(small.submit(&new(1, b""), 10).unwrap().0.id, 9);
}

#[test]
fn a_torn_or_foreign_record_is_ignored() {
    let t = leak(2, 0);
    let record = t.record(t.queued()).unwrap();
    let newer = t.record(t.queued()).unwrap();
    let lost = |record: &[u8; RECORD], at: u32| leak(2, 0).recover(9, &mut |index| (index == at).then_some(*record));
    assert_eq!((lost(&record, 0), lost(&newer, 1)), (1, 1));
    assert_eq!((lost(&record, 1), lost(&[0; RECORD], 0), lost(&[0xff; RECORD], 0)), (0, 0, 0), "of another place, or none");
    for at in 0..RECORD {
        let mut broken = record;
        broken[at] ^= 0x10;
        assert_eq!(lost(&broken, 0), 0, "byte {at}");
    }
    let old = record;
    t.entries[0].command.set(b"another");
    let mut torn = t.record(Ticket { index: 0, id: 1 }).unwrap();
    torn[512..].copy_from_slice(&old[512..]);
    assert_eq!(lost(&torn, 0), 0, "one sector written, the next not");
}

#[test]
fn a_record_that_lies_is_read_within_its_bounds() {
    let t = leak(1, 0);
    let record = t.record(t.queued()).unwrap();
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..2000 {
        let mut record = record;
        (0..8).for_each(|_| record[rng.usize(24..RECORD)] = rng.u8(..));
        [64, 65, 578, 579].into_iter().for_each(|length_at| record[length_at] = rng.u8(..));
        record[24] = TaskState::Queued as u8;
        let after = leak(1, 0);
        assert_eq!(after.recover(9, &mut |index| (index == 0).then(|| journal::sealed(record))), 1);
        assert!(after.view(0).is_some_and(|view| view.command.len() <= 512 && view.label.len() <= 64));
    }
}

/// Has the other thread come to see it so often? After very many rounds it never will.
fn enough(seen: &AtomicUsize, often: usize, round: u64) -> bool {
    if round > 20_000 && round.is_multiple_of(16) {
        std::thread::yield_now();
    }
    assert!(round < 10_000_000, "nothing was seen");
    seen.load(SeqCst) >= often
}

fn race<T: Send, U: Send>(a: impl FnOnce() -> T + Send, b: impl FnOnce() -> U + Send) -> (T, U) {
    let start = Barrier::new(2);
    std::thread::scope(|s| {
        let a = s.spawn(|| {
            start.wait();
            a()
        });
        start.wait();
        let b = b();
        (a.join().unwrap(), b)
    })
}

#[test]
fn of_two_takers_one_gets_the_task() {
    let t = leak(1, 0);
    for round in 0..1500 {
        let ticket = t.queued();
        let (a, b) = race(|| t.take(ticket, lease(0, round), 2), || t.take(ticket, lease(1, round), 2));
        assert!(a ^ b);
        let on = lease(u32::from(b), round);
        assert_eq!(t.running_on(on), Some(ticket));
        assert_eq!(t.finish(ticket, on, &outcome(TaskEnd::Done), 3), TaskChange::Kept);
        assert_eq!(t.detach(ticket), TaskChange::Freed { file: false });
    }
}

#[test]
fn a_task_is_either_taken_or_cancelled() {
    let t = leak(1, 0);
    for round in 0..1500 {
        let ticket = t.queued();
        let (taken, change) = race(|| t.take(ticket, lease(0, round), 2), || t.cancel_queued(ticket, 2));
        assert_eq!(taken, change == TaskChange::Ignored);
        if taken {
            _ = t.finish(ticket, lease(0, round), &outcome(TaskEnd::Done), 3);
        }
        assert_eq!(t.detach(ticket), TaskChange::Freed { file: false });
    }
}

#[test]
fn a_task_that_ends_while_it_is_detached_is_freed_once() {
    let t = leak(1, 2);
    for round in 0..1500 {
        let ticket = t.running(lease(0, round));
        assert!(t.store(ticket, b"x") && t.set_on_disk(ticket, 1));
        let pinned = round % 3 == 0 && t.pin(ticket);
        let finish = || t.finish(ticket, lease(0, round), &outcome(TaskEnd::Done), 3);
        let ((first, unpin), detach) = race(|| (finish(), pinned.then(|| t.unpin(ticket))), || t.detach(ticket));
        let freed = [Some(first), unpin, Some(detach)].into_iter().flatten().filter(|&change| change == TaskChange::Freed { file: true });
        assert_eq!(freed.count(), 1, "{first:?} {unpin:?} {detach:?}");
        assert!(t.is_empty());
    }
}

#[test]
fn nobody_sees_an_end_before_it_is_written() {
    let t = leak(1, 0);
    let (stop, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|s| {
        s.spawn(|| {
            for round in (1..).take_while(|&round| round < 4000 || !enough(&seen, 1, round)) {
                let text = [b'a' + (round % 26) as u8; 40];
                let (ticket, _) = t.submit(&new(round as u32, &text), round as i64).unwrap();
                assert!(t.offer(ticket, TaskState::Queued) && t.take(ticket, lease(0, round), 1) && t.progress(ticket, 1.0, &text));
                let outcome = Outcome { end: TaskEnd::Done, sqlstate: round as u32, rows: ticket.id, message: &text };
                _ = t.finish(ticket, lease(0, round), &outcome, round as i64);
            }
            stop.store(true, SeqCst);
        });
        while !stop.load(SeqCst) {
            let Some(view) = t.view(0) else { continue };
            let id = view.card.ticket.id;
            let text = [b'a' + (id % 26) as u8; 40];
            assert_eq!((&view.command[..], u64::from(view.card.submitter)), (&text[..], id));
            view.progress.into_iter().for_each(|progress| assert_eq!(progress.1, text));
            if view.card.state.finished() {
                seen.fetch_add(1, SeqCst);
                assert_eq!((view.rows, &view.message[..], view.finished), (id, &text[..], Some(id as i64)));
            }
        }
    });
}

#[test]
fn progress_is_read_as_it_was_written() {
    let t = leak(1, 0);
    let ticket = t.running(lease(0, 1));
    let (stop, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|s| {
        s.spawn(|| {
            for round in (1..).take_while(|&round| round < 20_000 || !enough(&seen, 10_000, round)) {
                let text = [round as u8; 128];
                assert!(t.progress(ticket, f64::from(round as u8), &text[..round as usize % 120 + 8]));
            }
            stop.store(true, SeqCst);
        });
        while !stop.load(SeqCst) {
            if let Some((percent, text)) = t.view(0).unwrap().progress {
                seen.fetch_add(1, SeqCst);
                assert!(text.iter().all(|byte| f64::from(*byte) == percent), "{percent} {text:?}");
            }
        }
    });
}

#[test]
fn a_reader_never_gets_half_of_one_payload_and_half_of_another() {
    let t = leak(2, 12);
    let ticket = t.running(lease(0, 1));
    let other = t.running(lease(0, 2));
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let writer = |ticket: Ticket, salt: u8| {
            for round in 0..1500usize {
                let byte = round as u8 & 0x7f | salt;
                if !t.store(ticket, &vec![byte; 8 * PAGE_BYTES * (round % 5) / 4 + usize::from(byte)]) {
                    t.clear_payload(ticket);
                }
            }
            stop.store(true, SeqCst);
        };
        s.spawn(move || writer(ticket, 0));
        s.spawn(move || writer(other, 0x80));
        let mut out = Vec::new();
        let mut whole = 0;
        while !stop.load(SeqCst) {
            if t.load(ticket, &mut out).is_ok() && !out.is_empty() {
                whole += 1;
                assert!(out[0] < 0x80 && out.iter().all(|byte| *byte == out[0]) && out.len() % (2 * PAGE_BYTES) == usize::from(out[0]));
            }
        }
        eprintln!("{whole} whole");
    });
}

#[test]
fn no_page_has_two_owners_and_none_is_forgotten() {
    let t = leak(8, 40);
    let tickets: Vec<_> = (0..8).map(|_| t.filling()).collect();
    let refused = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for (salt, &ticket) in tickets.iter().enumerate() {
            let refused = &refused;
            s.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(salt as u64);
                let mut out = Vec::new();
                for round in 0..400 {
                    let bytes = vec![(round * 8 + salt) as u8; rng.usize(..17 * PAGE_BYTES).min(MEMORY_PER_TASK)];
                    if t.store(ticket, &bytes) {
                        std::thread::yield_now();
                        assert_eq!((t.load(ticket, &mut out), out == bytes), (Ok(()), true));
                    } else {
                        refused.fetch_add(1, SeqCst);
                    }
                    if rng.bool() {
                        t.clear_payload(ticket);
                    }
                }
            });
        }
    });
    let kept: usize = tickets.iter().map(|&ticket| t.entries[ticket.index as usize].payload.load(SeqCst) as usize >> 32).sum::<usize>();
    assert!(refused.load(SeqCst) > 0 && kept <= 40 * PAGE_BYTES);
    assert_eq!(t.used().0 as usize, t.used().1);
    tickets.iter().for_each(|&ticket| assert_eq!(t.abandon(ticket, 5), TaskChange::Freed { file: false }));
    assert!(t.is_empty());
}

#[test]
fn two_who_want_the_same_page_get_two() {
    let t = leak(2, 2);
    let (a, b) = (t.filling(), t.filling());
    for round in 0..100 {
        let turns = AtomicUsize::new(0);
        let take = |ticket: Ticket| {
            for turn in 0..200 {
                turns.fetch_add(1, SeqCst);
                let mut spins = 0u32;
                while turns.load(SeqCst) < 2 * turn + 2 {
                    spins += 1;
                    assert!(spins < 1 << 27, "the other one has gone");
                    if spins.is_multiple_of(1000) { std::thread::yield_now() } else { std::hint::spin_loop() }
                }
                assert!(t.store(ticket, &[ticket.id as u8; PAGE_BYTES]));
                let mut out = Vec::new();
                assert_eq!((t.load(ticket, &mut out), out[0]), (Ok(()), ticket.id as u8), "round {round}");
            }
        };
        race(|| take(a), || take(b));
        assert_eq!(t.used(), (2, 2), "round {round}");
        assert!(!t.clear_payload(a) && !t.clear_payload(b));
    }
}

#[test]
fn what_is_pinned_stays_while_others_submit_and_evict() {
    let t = leak(4, 64);
    let newest = AtomicU32::new(0);
    let (stop, held, files) = (AtomicBool::new(false), AtomicUsize::new(0), std::sync::Mutex::new(HashSet::new()));
    std::thread::scope(|s| {
        let (newest, stop, held, files) = (&newest, &stop, &held, &files);
        let workers: Vec<_> = (1..=3u32)
            .map(|slot| {
                s.spawn(move || {
                    for round in (0..).take_while(|&round| round < 1500 || !enough(held, 1, round)) {
                        let Ok((ticket, file)) = t.submit(&new(slot, b"x"), 1) else { continue };
                        file.into_iter().for_each(|id| assert!(files.lock().unwrap().remove(&id), "a file is deleted once"));
                        assert!(t.offer(ticket, TaskState::Queued));
                        assert!(t.take(ticket, lease(slot, round), 2));
                        if round % 4 == 0 {
                            files.lock().unwrap().insert(ticket.id);
                            assert!(t.set_on_disk(ticket, ticket.id));
                        } else {
                            assert!(t.store(ticket, &vec![ticket.id as u8; 5000]));
                        }
                        assert_eq!(t.finish(ticket, lease(slot, round), &outcome(TaskEnd::Done), round as i64), TaskChange::Kept);
                        newest.store(ticket.id as u32, SeqCst);
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            s.spawn(move || {
                let mut out = Vec::new();
                while !stop.load(SeqCst) {
                    let Some(ticket) = t.find(u64::from(newest.load(SeqCst))).filter(|&ticket| t.pin(ticket)) else { continue };
                    held.fetch_add(1, SeqCst);
                    for _ in 0..3 {
                        assert_eq!(t.state(ticket), Some(TaskState::Done));
                        match t.load(ticket, &mut out) {
                            Ok(()) => assert!(out.len() == 5000 && out.iter().all(|byte| *byte == ticket.id as u8)),
                            Err(why) => assert_eq!((why, t.on_disk(ticket)), (Unloadable::OnDisk, Some(ticket.id))),
                        }
                    }
                    if ticket.id % 5 == 0 && t.detach(ticket) == (TaskChange::Freed { file: true }) {
                        assert!(files.lock().unwrap().remove(&ticket.id));
                    }
                    if t.unpin(ticket) == (TaskChange::Freed { file: true }) {
                        assert!(files.lock().unwrap().remove(&ticket.id));
                    }
                }
            });
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        stop.store(true, SeqCst);
    });
    t.expire(i64::MAX, 0, |id| assert!(files.lock().unwrap().remove(&id)));
    assert!(t.is_empty() && files.lock().unwrap().is_empty());
}

/// What the model knows of a task.
#[derive(Clone, Debug)]
struct Known {
    ticket: Ticket,
    state: TaskState,
    lease: Lease,
    finished: i64,
    payload: Option<Vec<u8>>,
    pins: u32,
    detached: bool,
    doomed: bool,
    read: bool,
}

impl Known {
    /// It has ended, or a pin was given back.
    fn change(&mut self) -> TaskChange {
        self.doomed |= self.detached && self.state.finished();
        if self.doomed && self.pins == 0 { TaskChange::Freed { file: self.payload.is_none() } } else { TaskChange::Kept }
    }
}

#[test]
fn a_random_interleaving_goes_as_a_simple_model_says() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        interleaving(&mut rng);
    }
}

fn interleaving(rng: &mut fastrand::Rng) {
    let t = leak(6, 24);
    let mut known: Vec<Known> = Vec::new();
    let mut gone: Vec<Ticket> = Vec::new();
    for now in 1..400i64 {
        let pages: usize = known.iter().map(|k| k.payload.as_ref().map_or(0, Vec::len).div_ceil(PAGE_BYTES)).sum();
        assert_eq!(t.used(), (pages as u32, pages));
        if known.is_empty() || rng.u32(..6) == 0 {
            let free = known.len() < 6;
            let evictable = known.iter().filter(|k| k.state.finished() && k.pins == 0 && !free);
            // Of those that nobody has read, a failure goes last.
            let last = |k: &Known| !k.read && k.state != TaskState::Done;
            let victim = evictable.min_by_key(|k| (!k.read, last(k), k.finished, k.ticket.id)).cloned();
            match t.submit(&new(now as u32, b"model"), now) {
                Err(Full) => assert!(!free && victim.is_none()),
                Ok((ticket, file)) => {
                    let expected = victim.as_ref().filter(|k| k.payload.is_none()).map(|k| k.ticket.id);
                    assert_eq!((file, free || victim.is_some()), (expected, true));
                    known.retain(|k| victim.as_ref().is_none_or(|v| v.ticket != k.ticket));
                    gone.extend(victim.map(|k| k.ticket));
                    let lease = lease(rng.u32(..3), now as u64);
                    let (state, payload) = (TaskState::Filling, Some(Vec::new()));
                    let (pins, detached, doomed, read) = (0, false, false, false);
                    known.push(Known { ticket, state, lease, finished: 0, payload, pins, detached, doomed, read });
                }
            }
            continue;
        }
        let which = rng.usize(..known.len());
        let k = &mut known[which];
        let (ticket, from) = (k.ticket, k.state);
        let mut change = TaskChange::Kept;
        let end = |k: &mut Known, allowed: bool, state: TaskState| {
            if !allowed {
                return TaskChange::Ignored;
            }
            (k.state, k.finished) = (state, now);
            k.change()
        };
        match rng.u32(..14) {
            0 => {
                let to = *rng.choice(&[TaskState::Pending, TaskState::Queued]).unwrap();
                assert_eq!(t.offer(ticket, to), from == TaskState::Filling);
                k.state = if from == TaskState::Filling { to } else { from };
            }
            1 => {
                assert_eq!(t.confirm(ticket), from == TaskState::Pending);
                k.state = if from == TaskState::Pending { TaskState::Queued } else { from };
            }
            2 | 3 => {
                assert_eq!(t.take(ticket, k.lease, now), from == TaskState::Queued);
                k.state = if from == TaskState::Queued { TaskState::Running } else { from };
            }
            4 => {
                assert_eq!(t.requeue(ticket, k.lease), from == TaskState::Running);
                k.state = if from == TaskState::Running { TaskState::Queued } else { from };
            }
            5 | 6 => {
                let (how, state) = *rng
                    .choice(&[
                        (TaskEnd::Done, TaskState::Done),
                        (TaskEnd::Failed, TaskState::Failed),
                        (TaskEnd::Cancelled, TaskState::Cancelled),
                    ])
                    .unwrap();
                change = t.finish(ticket, k.lease, &outcome(how), now);
                assert_eq!(change, end(k, from == TaskState::Running, state));
            }
            7 => {
                change = t.cancel_queued(ticket, now);
                assert_eq!(change, end(k, matches!(from, TaskState::Pending | TaskState::Queued), TaskState::Cancelled));
                // A request is no result.
                k.payload.iter_mut().filter(|_| change != TaskChange::Ignored).for_each(Vec::clear);
            }
            8 => {
                let allowed = matches!(from, TaskState::Pending | TaskState::Filling);
                k.detached |= allowed;
                change = t.abandon(ticket, now);
                assert_eq!(change, end(k, allowed, TaskState::Cancelled));
                k.payload.iter_mut().filter(|_| allowed).for_each(Vec::clear);
            }
            9 => {
                assert_eq!(t.pin(ticket), !k.doomed);
                k.pins += u32::from(!k.doomed);
            }
            10 => {
                let pinned = k.pins > 0;
                k.pins -= u32::from(pinned);
                change = t.unpin(ticket);
                assert_eq!(change, if pinned { k.change() } else { TaskChange::Ignored });
            }
            11 => {
                k.detached = true;
                change = t.detach(ticket);
                assert_eq!(change, k.change());
            }
            12 => {
                k.read |= t.mark_read(ticket);
            }
            _ => {
                let bytes = vec![now as u8; rng.usize(..80_000)];
                let writable = matches!(from, TaskState::Filling | TaskState::Running);
                let before = k.payload.as_ref().map_or(0, Vec::len).div_ceil(PAGE_BYTES);
                let fits = bytes.len() <= MEMORY_PER_TASK && pages - before + bytes.len().div_ceil(PAGE_BYTES) <= 24;
                assert_eq!(t.store(ticket, &bytes), writable && fits);
                if writable && !fits {
                    assert!(t.set_on_disk(ticket, 1));
                }
                if writable {
                    k.payload = fits.then_some(bytes);
                }
            }
        }
        if matches!(change, TaskChange::Freed { .. }) {
            gone.push(known.swap_remove(which).ticket);
        }
        for k in &known {
            assert_eq!((t.state(k.ticket), t.find(k.ticket.id)), (Some(k.state), Some(k.ticket)));
            assert_eq!(t.running_on(k.lease), (k.state == TaskState::Running).then_some(k.ticket));
            let mut out = Vec::new();
            match (&k.payload, t.load(k.ticket, &mut out)) {
                (Some(payload), Ok(())) => assert!(*payload == out),
                (payload, loaded) => assert_eq!((payload.is_none(), loaded), (true, Err(Unloadable::OnDisk))),
            }
            let view = t.view(k.ticket.index);
            let told = view.map(|view| (view.card.ticket, view.card.state, view.pins, view.read, view.detached));
            assert_eq!(told, (k.state != TaskState::Filling).then_some((k.ticket, k.state, k.pins, k.read, k.detached)));
        }
        assert!(gone.iter().all(|&ticket| t.state(ticket).is_none() && !t.pin(ticket)));
        let queued = known.iter().filter(|k| k.state == TaskState::Queued).map(|k| k.ticket).min_by_key(|ticket| ticket.id);
        assert_eq!(t.oldest_queued(|_| true), queued);
    }
}

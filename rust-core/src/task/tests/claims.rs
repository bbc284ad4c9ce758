//! What the table promises, one test for each.

use super::*;
use crate::report::QUERY_CANCELED;
use crate::task::pages::PAGE_BYTES;

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
    assert_eq!(t.finish(ticket, lease(0, 9), &TaskOutcome { sqlstate: 5, ..outcome(TaskEnd::Failed) }, 30), TaskChange::Kept);
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
    _ = t.finish(ticket, lease(0, 1), &TaskOutcome { message: &[b'm'; 1000], ..outcome(TaskEnd::Failed) }, 3);
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

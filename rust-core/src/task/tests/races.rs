//! Two threads at the same task, page or payload.

use super::*;
use crate::task::pages::PAGE_BYTES;
use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

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
                let outcome = TaskOutcome { end: TaskEnd::Done, sqlstate: round as u32, rows: ticket.id, message: &text };
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

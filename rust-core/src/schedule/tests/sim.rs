//! Schedules in a simulated world: a clock that is set back and forth, tables, workers that take time, fail and die, servers
//! and coordinators that crash at any moment. Whatever happens, each due time is accounted for exactly once.

use super::super::book::ScheduleBook;
use super::super::host::*;
use super::super::spec::{Interval, SECOND_US, Spec};
use super::world::{Fault, Row, World};
use crate::definition::part::Book;
use crate::host::Saved;
use crate::lease::work::CommandEnd;
use std::collections::{BTreeMap, BTreeSet};

fn every(seconds: i64, anchor: i64) -> Vec<u8> {
    let interval = Interval { months: 0, days: 0, us: seconds * SECOND_US };
    Spec::Every { interval, anchor, begins: false }.stored().into_bytes()
}

fn schedule(id: i64, seconds: i64) -> Schedule {
    let due = seconds * SECOND_US;
    Schedule {
        id,
        revision: 1,
        spec: every(seconds, 0),
        max_attempts: 1,
        backoff_us: SECOND_US,
        next: Some(Due { due, at: due }),
        ..Schedule::default()
    }
}

/// Steps until nothing is due for a while; how long is it until the next step?
fn settle(book: &mut ScheduleBook, world: &World) {
    for _ in 0..1000 {
        match book.step(world) {
            Ok(0) => {}
            Ok(wait) => {
                let ends = world.workers.borrow().iter().map(|worker| worker.ends_at).min();
                match ends {
                    None if wait > SECOND_US as u64 / 2 => return,
                    None => world.now.set(world.now.get() + wait as i64),
                    Some(at) => world.now.set(world.now.get().max(at.min(world.now.get() + wait as i64)) + 1),
                }
            }
            Err(Saved) => book.reload(),
        }
    }
    panic!("it does not come to rest");
}

fn check(world: &World, seconds: &BTreeMap<i64, i64>, end: i64) {
    let rows = world.rows.borrow();
    for (id, of) in world.schedules.borrow().iter() {
        let step = seconds[id] * SECOND_US;
        let mut accounted = 0;
        let mut seen = BTreeSet::new();
        for ((_, attempt), row) in rows.iter().filter(|(_, row)| row.schedule == *id && !row.manual) {
            assert_eq!(row.due % step, 0, "a run has a due time of its schedule");
            if *attempt == 1 {
                assert!(seen.insert(row.due), "a due time fired twice");
                accounted += 1 + i64::from(row.missed);
            }
            assert!(row.skipped || row.ended.is_some(), "a run did not end");
        }
        let last = seen.last().copied().unwrap_or(0);
        assert_eq!(accounted, last / step, "due times up to the last one are each accounted for: {of:?} {rows:#?}");
        assert!(last + step > end, "due times were lost: {of:?} {end}");
        let fired = rows.iter().filter(|((_, attempt), row)| row.schedule == *id && !row.manual && !row.skipped && *attempt == 1).count();
        assert_eq!(of.fired, fired as i64);
    }
}

fn live(seed: u64) {
    let world = World::new(seed);
    let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
    let mut seconds = BTreeMap::new();
    for id in 1..=random.i64(1..5) {
        let step = [1, 2, 7, 60][random.usize(0..4)];
        seconds.insert(id, step);
        let of = Schedule {
            overlap: [Overlap::Skip, Overlap::Queue, Overlap::Allow, Overlap::CancelRunning][random.usize(0..4)],
            misfire: [Misfire::Once, Misfire::Skip, Misfire::All][random.usize(0..3)],
            max_attempts: random.u32(1..3),
            deadline_us: [None, Some(20 * SECOND_US)][random.usize(0..2)],
            priority: random.i32(-1..2),
            ..schedule(id, step)
        };
        world.schedules.borrow_mut().insert(id, of);
    }
    let mut book = ScheduleBook::default();
    for _ in 0..random.u32(20..200) {
        match random.u32(0..40) {
            0 => {
                // The server, and all that runs with it.
                world.crash();
                book = ScheduleBook::default();
            }
            1 => {
                // The coordinator alone: the next one waits until its workers have ended, and hears nothing of them.
                let end = world.workers.borrow().iter().map(|worker| worker.ends_at).max();
                world.now.set(world.now.get().max(end.unwrap_or(0)));
                world.workers.borrow_mut().clear();
                book = ScheduleBook::default();
            }
            2 => world.now.set(world.now.get() + random.i64(0..100 * SECOND_US)),
            3 => world.now.set(world.now.get() - random.i64(0..30 * SECOND_US)),
            4 => world.fault.set([Fault::RecordFails, Fault::RecordIsNotHeard, Fault::LoadFails, Fault::StartFails][random.usize(0..4)]),
            5 => {
                if let Some(of) = world.schedules.borrow_mut().values_mut().next() {
                    (of.paused, of.revision) = (!of.paused, of.revision + 1);
                }
                // Its coordinator may hear of it late.
                if random.bool() {
                    book.reload();
                }
            }
            6 => {
                world.last_run.set(world.last_run.get() + 1);
                let row = Row {
                    schedule: 1,
                    due: world.now.get(),
                    missed: 0,
                    manual: true,
                    begun: false,
                    ended: None,
                    skipped: false,
                    to_cancel: false,
                    not_before: world.now.get(),
                };
                world.rows.borrow_mut().insert((world.last_run.get(), 1), row);
                book.reload();
            }
            7 => {
                if let Some(row) = world.rows.borrow_mut().values_mut().rfind(|row| row.ended.is_none() && !row.skipped) {
                    row.to_cancel = true;
                }
                book.reload();
            }
            8 => world.slots.set(random.usize(0..5)),
            9 => {
                world.waits.set(!world.waits.get());
                book.reload();
            }
            10 | 11 => {
                let id = random.i64(1..5);
                let unlocked = world.locked.borrow_mut().remove(&id) || !world.locked.borrow_mut().insert(id);
                if unlocked || random.bool() {
                    book.reload();
                }
            }
            _ => {}
        }
        match book.step(&world) {
            Ok(wait) => world.now.set(world.now.get() + (wait as i64).min(random.i64(0..3 * SECOND_US))),
            Err(Saved) => world.now.set(world.now.get() + 100_000),
        }
    }
    world.slots.set(4);
    world.waits.set(false);
    world.locked.borrow_mut().clear();
    world.fault.set(Fault::None);
    // A clock that was set back goes on until it has caught up; what is due later is of no interest.
    let last = world.schedules.borrow().values().filter_map(|of| of.last_due).max().unwrap_or(0);
    world.now.set(world.now.get().max(last + 1));
    let end = world.now.get();
    for of in world.schedules.borrow_mut().values_mut() {
        (of.paused, of.revision, of.until) = (false, of.revision + 1, Some(end));
        of.next = of.next.filter(|next| next.at <= end);
    }
    book.reload();
    drain(&mut book, &world);
    check(&world, &seconds, end);
}

/// Until all runs have ended.
fn drain(book: &mut ScheduleBook, world: &World) {
    for _ in 0..20_000 {
        let wait = book.step(world).unwrap_or(1000);
        let open = world.rows.borrow().values().any(|row| row.ended.is_none() && !row.skipped);
        if !open && wait > 0 && world.schedules.borrow().values().all(|of| of.next.is_none()) {
            return;
        }
        world.workers.borrow_mut().iter_mut().for_each(|worker| worker.ends_at = i64::MIN);
        world.now.set(world.now.get() + (wait as i64).min(SECOND_US));
    }
    panic!("it does not come to rest: {:?}", world.schedules.borrow());
}

#[test]
fn no_due_time_is_lost_or_fires_twice_whatever_crashes() {
    let number = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = number("ASIDE_SCHEDULE_SEED", 0);
    for seed in first..first + number("ASIDE_SCHEDULE_SEEDS", 1000) {
        let alive = std::panic::catch_unwind(|| live(seed));
        assert!(alive.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_due_time_begins_at_once_and_the_next_is_waited_for_exactly() {
    let world = World::new(1);
    world.schedules.borrow_mut().insert(1, schedule(1, 3));
    let mut book = ScheduleBook::default();
    assert_eq!(book.step(&world), Ok(3 * SECOND_US as u64));
    world.now.set(3 * SECOND_US - 1);
    assert_eq!(book.step(&world), Ok(1));
    assert!(world.rows.borrow().is_empty());
    world.now.set(3 * SECOND_US);
    while world.workers.borrow().is_empty() {
        book.step(&world).unwrap();
    }
    assert_eq!(world.rows.borrow()[&(1, 1)].due, 3 * SECOND_US);
}

#[test]
fn the_most_urgent_begin_first_when_workers_are_few() {
    let world = World::new(2);
    for id in 1..=420 {
        let of = Schedule { priority: (id % 7) as i32, ..schedule(id, 1000) };
        world.schedules.borrow_mut().insert(id, of);
    }
    world.now.set(1000 * SECOND_US);
    world.slots.set(1);
    let mut book = ScheduleBook::default();
    let mut order = Vec::new();
    while order.len() < 200 {
        let wait = book.step(&world).unwrap();
        world.now.set(world.now.get() + wait as i64 + 1);
        let rows = world.rows.borrow();
        for worker in world.workers.borrow_mut().iter_mut().filter(|worker| worker.ends_at != i64::MIN) {
            order.push(rows[&(worker.run, worker.attempt)].schedule % 7);
            (worker.ends_at, worker.end) = (i64::MIN, CommandEnd::Done);
        }
    }
    assert!(order[..60].iter().all(|priority| *priority == 6), "{order:?}");
    assert!(order.iter().is_sorted_by(|before, after| before >= after), "{order:?}");
}

#[test]
fn misfires_are_ruled_upon_as_asked() {
    for (misfire, deadline_us, expected) in [
        (Misfire::Once, None, vec![(100, 89, false)]),
        (Misfire::Skip, None, vec![(100, 89, true)]),
        (Misfire::All, Some(3 * SECOND_US), vec![(11, 0, true)]),
    ] {
        let world = World::new(3);
        let of = Schedule { misfire, deadline_us, ..schedule(1, 10) };
        world.schedules.borrow_mut().insert(1, Schedule { next: Some(Due { due: 110 * SECOND_US, at: 110 * SECOND_US }), ..of });
        world.now.set(1005 * SECOND_US);
        let mut book = ScheduleBook::default();
        book.step(&world).unwrap();
        let rows: Vec<_> = world.rows.borrow().values().map(|row| (row.due / SECOND_US / 10, row.missed, row.skipped)).collect();
        assert_eq!(rows[..1], expected[..]);
    }
    let world = World::new(4);
    world.schedules.borrow_mut().insert(1, Schedule { misfire: Misfire::All, overlap: Overlap::Allow, ..schedule(1, 10) });
    world.now.set(105 * SECOND_US);
    world.slots.set(0);
    let mut book = ScheduleBook::default();
    while book.step(&world).unwrap() == 0 || world.rows.borrow().len() < 10 {}
    assert_eq!(
        world.rows.borrow().values().map(|row| row.due / SECOND_US).collect::<Vec<_>>(),
        (1..=10).map(|n| n * 10).collect::<Vec<_>>()
    );
}

#[test]
fn overlaps_are_ruled_upon_as_asked() {
    for (overlap, running, waiting, skipped, cancelled) in
        [(Overlap::Skip, 1, 0, 2, 0), (Overlap::Queue, 1, 1, 1, 0), (Overlap::Allow, 3, 0, 0, 0), (Overlap::CancelRunning, 1, 0, 0, 2)]
    {
        let world = World::new(5);
        world.schedules.borrow_mut().insert(1, Schedule { overlap, ..schedule(1, 1) });
        let mut book = ScheduleBook::default();
        for due in 1..=3 {
            world.now.set(due * SECOND_US);
            for _ in 0..20 {
                world
                    .workers
                    .borrow_mut()
                    .iter_mut()
                    .filter(|worker| worker.end != CommandEnd::Cancelled)
                    .for_each(|worker| worker.ends_at = i64::MAX);
                book.step(&world).unwrap();
                world.now.set(world.now.get() + 10_000);
            }
        }
        let rows = world.rows.borrow();
        let count = |is: &dyn Fn(&Row) -> bool| rows.values().filter(|row| is(row)).count();
        let counts = (
            count(&|row| row.begun && row.ended.is_none()),
            count(&|row| !row.begun && row.ended.is_none() && !row.skipped),
            count(&|row| row.skipped),
            count(&|row| row.ended == Some(CommandEnd::Cancelled)),
        );
        assert_eq!(counts, (running, waiting, skipped, cancelled), "{overlap:?}");
    }
}

#[test]
fn what_takes_the_server_with_it_is_given_up() {
    let world = World::new(6);
    let at = Spec::At(SECOND_US).stored().into_bytes();
    world.schedules.borrow_mut().insert(1, Schedule { spec: at, ..schedule(1, 1) });
    for crash in 0..10 {
        world.now.set((crash + 1) * 10 * SECOND_US);
        let mut book = ScheduleBook::default();
        for _ in 0..10 {
            book.step(&world).unwrap();
            world.now.set(world.now.get() + 100_000);
            world.workers.borrow_mut().iter_mut().for_each(|worker| worker.ends_at = i64::MAX);
        }
        world.crash();
    }
    assert_eq!(world.rows.borrow().len(), 3);
    assert!(world.rows.borrow().values().all(|row| row.ended == Some(CommandEnd::Lost)));
}

#[test]
fn after_the_last_end_and_after_each_start_of_the_server() {
    let world = World::new(7);
    let after = Spec::After(Interval { months: 0, days: 0, us: 10 * SECOND_US }).stored().into_bytes();
    world.schedules.borrow_mut().insert(1, Schedule { spec: after, next: None, ..schedule(1, 1) });
    world.schedules.borrow_mut().insert(2, Schedule { spec: b"reboot".to_vec(), next: None, last_due: Some(0), ..schedule(2, 1) });
    let mut book = ScheduleBook::default();
    let mut ends: Vec<i64> = Vec::new();
    for _ in 0..6000 {
        let before = world.rows.borrow().values().filter(|row| row.ended.is_some()).count();
        book.step(&world).unwrap();
        if world.rows.borrow().values().filter(|row| row.ended.is_some()).count() > before {
            ends.push(world.now.get());
        }
        world.now.set(world.now.get() + 20_000);
    }
    let begins: Vec<i64> = world.rows.borrow().iter().filter(|((_, attempt), _)| *attempt == 1).map(|(_, row)| row.due).collect();
    assert!(begins.len() >= 4);
    assert!(begins.windows(2).all(|pair| pair[1] - pair[0] >= 10 * SECOND_US), "{begins:?}");
    assert!(world.rows.borrow().values().all(|row| row.schedule == 1), "the server was not started since it was set");
    world.crash();
    let mut book = ScheduleBook::default();
    for _ in 0..100 {
        settle_once(&mut book, &world);
    }
    assert_eq!(world.rows.borrow().iter().filter(|((_, attempt), row)| row.schedule == 2 && *attempt == 1).count(), 1);
}

fn settle_once(book: &mut ScheduleBook, world: &World) {
    let wait = book.step(world).unwrap();
    world.now.set(world.now.get() + (wait as i64).min(100_000));
}

#[test]
fn a_clock_that_was_years_ahead_is_forgotten() {
    let world = World::new(8);
    world.schedules.borrow_mut().insert(1, schedule(1, 60));
    let mut book = ScheduleBook::default();
    world.now.set(1_000_000 * SECOND_US);
    settle(&mut book, &world);
    world.now.set(1000 * SECOND_US);
    settle(&mut book, &world);
    assert_eq!(world.schedules.borrow()[&1].next.unwrap().due, 1020 * SECOND_US);
}

#[test]
fn a_run_that_is_taken_back_as_it_begins_leaves_each_other_run_to_its_own_owner() {
    let world = World::new(7);
    world.slots.set(0);
    for id in 1..=4 {
        world.schedules.borrow_mut().insert(id, Schedule { next: None, ..schedule(id, 60) });
        let row = Row {
            schedule: id,
            due: 0,
            missed: 0,
            manual: true,
            begun: false,
            ended: None,
            skipped: false,
            to_cancel: false,
            not_before: 0,
        };
        world.rows.borrow_mut().insert((id, 1), row);
    }
    let mut book = ScheduleBook::default();
    assert!(book.step(&world).is_ok());
    // Its owner has cancelled it, and nobody has been told so yet.
    world.rows.borrow_mut().get_mut(&(1, 1)).unwrap().ended = Some(CommandEnd::Cancelled);
    world.slots.set(4);
    world.now.set(SECOND_US);
    settle(&mut book, &world);
    assert!(world.rows.borrow().values().all(|row| row.ended.is_some()));
}

#[test]
fn a_schedule_whose_zone_is_no_more_is_never_due_and_keeps_nobody_awake() {
    let world = World::new(8);
    world.schedules.borrow_mut().insert(1, Schedule { zone: b"Gone/With_An_Update".to_vec(), ..schedule(1, 1) });
    world.now.set(5 * SECOND_US);
    let mut book = ScheduleBook::default();
    let wait = book.step(&world).unwrap_or(0);
    assert!(wait > SECOND_US as u64 && book.rests() && world.rows.borrow().is_empty());
}

#[test]
fn who_locks_a_schedule_or_its_runs_holds_up_no_other() {
    let world = World::new(9);
    for id in 1..=2 {
        world.schedules.borrow_mut().insert(id, schedule(id, 1));
    }
    let mut book = ScheduleBook::default();
    let seconds_of_2 = |from: i64, to: i64, book: &mut ScheduleBook| {
        while world.now.get() < to {
            world.workers.borrow_mut().iter_mut().for_each(|worker| (worker.ends_at, worker.end) = (world.now.get(), CommandEnd::Done));
            let wait = book.step(&world).unwrap() as i64;
            assert!(wait > 0 || world.now.get() < to);
            world.now.set(world.now.get() + wait.clamp(1000, 100_000));
        }
        let rows = world.rows.borrow();
        rows.values().filter(|row| row.schedule == 2 && row.ended.is_some() && (from..to).contains(&row.due)).count()
    };
    assert!(seconds_of_2(0, 5 * SECOND_US, &mut book) >= 3);
    world.locked.borrow_mut().insert(1);
    let before = world.rows.borrow().values().filter(|row| row.schedule == 1).count();
    assert!(seconds_of_2(5 * SECOND_US, 15 * SECOND_US, &mut book) >= 8, "the other one goes on by the second");
    assert_eq!(world.rows.borrow().values().filter(|row| row.schedule == 1).count(), before, "this one waits");
    world.locked.borrow_mut().clear();
    seconds_of_2(15 * SECOND_US, 18 * SECOND_US, &mut book);
    let rows = world.rows.borrow();
    assert!(rows.values().filter(|row| row.schedule == 1).count() > before, "until it is free again");
    assert!(
        rows.values().filter(|row| row.due < 16 * SECOND_US).all(|row| row.skipped || row.ended == Some(CommandEnd::Done)),
        "{rows:#?}"
    );
}

#[test]
fn a_run_that_found_no_worker_does_not_wait_for_a_clock_that_was_set_back() {
    let world = World::new(10);
    world.schedules.borrow_mut().insert(1, Schedule { next: None, ..schedule(1, 1) });
    world.now.set(10_000 * SECOND_US);
    let row =
        Row { schedule: 1, due: 0, missed: 0, manual: true, begun: false, ended: None, skipped: false, to_cancel: false, not_before: 0 };
    world.rows.borrow_mut().insert((1, 1), row);
    world.slots.set(0);
    let mut book = ScheduleBook::default();
    for _ in 0..20 {
        settle_once(&mut book, &world);
    }
    world.slots.set(4);
    world.now.set(5_000 * SECOND_US);
    for _ in 0..20 {
        settle_once(&mut book, &world);
    }
    assert!(world.rows.borrow()[&(1, 1)].begun);
}

#[test]
fn an_error_that_keeps_a_run_from_starting_is_the_parts_and_the_run_comes_back() {
    let world = World::new(12);
    world.schedules.borrow_mut().insert(1, Schedule { next: None, ..schedule(1, 1) });
    let row =
        Row { schedule: 1, due: 0, missed: 0, manual: true, begun: false, ended: None, skipped: false, to_cancel: false, not_before: 0 };
    world.rows.borrow_mut().insert((1, 1), row);
    world.fault.set(Fault::StartFails);
    let mut book = ScheduleBook::default();
    assert!(book.step(&world).is_err(), "else the part would neither pause nor be heard of");
    settle(&mut book, &world);
    assert_eq!(world.rows.borrow()[&(1, 1)].ended, Some(CommandEnd::Done));
}

#[test]
fn what_could_not_be_heard_for_want_of_memory_is_a_lost_run() {
    let world = World::new(11);
    world.schedules.borrow_mut().insert(1, Schedule { next: None, misfire: Misfire::Skip, ..schedule(1, 1) });
    let row =
        Row { schedule: 1, due: 0, missed: 0, manual: true, begun: false, ended: None, skipped: false, to_cancel: false, not_before: 0 };
    world.rows.borrow_mut().insert((1, 1), row);
    let mut book = ScheduleBook::default();
    while world.workers.borrow().is_empty() {
        settle_once(&mut book, &world);
    }
    let lease = world.workers.borrow_mut().drain(..).map(|worker| worker.lease).next().unwrap();
    book.lose(lease);
    settle(&mut book, &world);
    assert_eq!(world.rows.borrow()[&(1, 1)].ended, Some(CommandEnd::Lost));
}

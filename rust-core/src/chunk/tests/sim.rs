//! Jobs in a simulated world: tables, workers that take time, fail and die, whose answers are lost; servers and coordinators
//! that crash at any moment; rows that somebody locks. Whatever happens, each key is done exactly once, or said to fail.

use super::super::bisect::{FREE_LOSSES, MOST_FAILED};
use super::super::book::JobBook;
use super::super::cut::Cut;
use super::super::throttle::{HeldBackBy, Measured, Throttle};
use super::world::*;
use crate::definition::part::Book;
use crate::report::sqlstate;
use std::collections::{BTreeMap, BTreeSet};

/// A step, and the time until something happens.
fn turn(book: &mut JobBook, world: &World, most: u64) {
    let wait = book.step(world).unwrap_or(1_000);
    let ends = world.workers.borrow().iter().map(|worker| worker.ends_at.saturating_sub(world.now.get())).min();
    world.pass(wait.min(ends.unwrap_or(u64::MAX)).min(most).max(1));
}

fn drain(book: &mut JobBook, world: &World) {
    for _ in 0..100_000 {
        turn(book, world, 1_000_000);
        if world.jobs.borrow().values().all(|row| row.state != JobState::Running) && world.workers.borrow().is_empty() {
            _ = book.step(world).unwrap();
            return;
        }
    }
    let jobs = world.jobs.borrow();
    let open = jobs.values().flat_map(|row| row.chunks.iter().filter(|(_, c)| !matches!(c.state, ChunkState::Done))).collect::<Vec<_>>();
    panic!("it does not come to rest: {open:?} {:?}", world.workers.borrow());
}

fn check(world: &World, id: i64, keys: &BTreeSet<i64>) {
    world.with(id, |row| {
        let failed = row.chunks.values().filter(|chunk| chunk.state == ChunkState::Failed);
        // What has lost its worker again and again is given up.
        let (lost, failed): (Vec<_>, Vec<_>) = failed.partition(|chunk| chunk.attempt > FREE_LOSSES);
        let key = |chunk: &&ChunkRow| chunk.cut.low.as_ref().map(|_| number(&chunk.cut.low));
        let lost: BTreeSet<i64> = lost.iter().filter_map(key).collect();
        let failed: BTreeSet<i64> = failed.iter().filter_map(key).collect();
        for key in keys.union(&row.seen).filter(|key| !lost.contains(key)) {
            let times = row.done.get(key).copied().unwrap_or(0);
            assert_eq!(times, u32::from(!row.poisoned.contains(key)), "key {key} of job {id}: {:?} {:?}", row.job, row.state);
        }
        assert!(lost.iter().all(|key| !row.done.contains_key(key)));
        assert!(
            row.nulls.is_none_or(|times| times == 1)
                || row.chunks.values().any(|chunk| chunk.cut.low.is_none() && chunk.attempt > FREE_LOSSES),
            "rows without a key are done {:?} times",
            row.nulls
        );
        assert!(row.done.values().all(|times| *times == 1), "a key was done twice");
        let poisoned: BTreeSet<i64> = row.poisoned.intersection(&row.keys).copied().filter(|key| !lost.contains(key)).collect();
        assert_eq!(failed, poisoned, "what fails is said, key by key");
        let errors = row.chunks.values().any(|chunk| chunk.state == ChunkState::Failed);
        assert_eq!(row.state, if errors { JobState::DoneWithErrors } else { JobState::Done });
    });
}

fn live(seed: u64) {
    let world = World::new(seed);
    world.unlucky.set(true);
    let mut random = fastrand::Rng::with_seed(seed ^ 0xc4);
    let mut initial = BTreeMap::new();
    for id in 1..=random.i64(1..4) {
        let mut keys = BTreeSet::new();
        for _ in 0..random.usize(0..400) {
            keys.insert(random.i64(-1_000..100_000));
        }
        world.add(id, keys.iter().copied());
        let all: Vec<i64> = keys.iter().copied().collect();
        world.with(id, |row| {
            row.job.workers = random.u32(1..5);
            row.job.follow = random.bool();
            row.nulls = random.bool().then_some(0);
            row.job.chunk_rows = [None, Some(1), Some(7), Some(40)][random.usize(0..4)];
            row.job.max_attempts = random.u32(1..4);
            if !all.is_empty() {
                row.poisoned = (0..random.usize(0..4)).map(|_| all[random.usize(0..all.len())]).collect();
            }
        });
        initial.insert(id, keys);
    }
    let mut book = JobBook::default();
    for _ in 0..random.u32(20..300) {
        let some = random.i64(1..4);
        let some = if world.jobs.borrow().contains_key(&some) { some } else { 1 };
        match random.u32(0..40) {
            0 => book = world.crash(),
            1 => book = world.new_coordinator(),
            2 | 3 => world.fault.set([Fault::RecordFails, Fault::RecordIsNotHeard, Fault::LoadFails][random.usize(0..3)]),
            4 => {
                world.with(some, |row| row.job.paused = !row.job.paused);
                // Its coordinator may hear of it late.
                if random.bool() {
                    book.reload();
                }
            }
            5 => world.slots.set(random.usize(0..5)),
            6 => {
                world.waits.set(!world.waits.get());
                book.reload();
            }
            7 | 8 => {
                let unlocked = world.locked.borrow_mut().remove(&some) || !world.locked.borrow_mut().insert(some);
                if unlocked || random.bool() {
                    book.reload();
                }
            }
            9 => {
                // A row comes behind all others.
                let key = world.jobs.borrow()[&some].keys.last().copied().unwrap_or(0) + random.i64(1..50);
                world.with(some, |row| {
                    row.keys.insert(key);
                    row.fresh.insert(key);
                });
            }
            10 => {
                // Failed chunks are tried again.
                world.with(some, |row| {
                    for chunk in row.chunks.values_mut().filter(|chunk| chunk.state == ChunkState::Failed) {
                        (chunk.state, chunk.failures) = (ChunkState::Waiting, 0);
                    }
                    row.state = JobState::Running;
                });
                book.reload();
            }
            11 => {
                let leases: Vec<u64> = book.leases().collect();
                if !leases.is_empty() && random.u32(0..3) == 0 {
                    let lease = leases[random.usize(0..leases.len())];
                    world.heard.borrow_mut().retain(|outcome| outcome.lease != lease);
                    world.workers.borrow_mut().iter_mut().filter(|worker| worker.lease == lease).for_each(|worker| worker.heard_by = 9999);
                    book.lose(lease);
                }
            }
            _ => {}
        }
        turn(&mut book, &world, random.u64(1..2_000_000));
    }
    world.slots.set(4);
    world.waits.set(false);
    world.locked.borrow_mut().clear();
    world.fault.set(Fault::None);
    world.jobs.borrow_mut().values_mut().for_each(|row| row.job.paused = false);
    book.reload();
    drain(&mut book, &world);
    for (id, keys) in &initial {
        check(&world, *id, keys);
    }
    assert!(book.rests());
}

#[test]
fn each_key_is_done_exactly_once_or_said_to_fail_whatever_crashes() {
    let number = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = number("ASIDE_CHUNK_SEED", 0);
    for seed in first..first + number("ASIDE_CHUNK_SEEDS", 200) {
        let alive = std::panic::catch_unwind(|| live(seed));
        assert!(alive.is_ok(), "seed {seed}");
    }
}

#[test]
fn three_bad_keys_among_a_million_are_found_in_about_sixty_chunks() {
    let world = World::new(1);
    world.add(1, 1..=1_000_000);
    world.us_per_key.set(1);
    world.with(1, |row| {
        row.job.chunk_rows = Some(1_000_000);
        row.poisoned = BTreeSet::from([17, 500_001, 999_998]);
    });
    let mut book = JobBook::default();
    drain(&mut book, &world);
    let poisoned = BTreeSet::from([17, 500_001, 999_998]);
    world.with(1, |row| {
        let failed: BTreeSet<i64> =
            row.chunks.values().filter(|chunk| chunk.state == ChunkState::Failed).map(|chunk| number(&chunk.cut.low)).collect();
        assert_eq!((failed, row.state.clone()), (poisoned, JobState::DoneWithErrors));
        assert_eq!(row.done.len(), 999_997);
        assert!(row.chunks.len() <= 1 + 3 * 2 * 20, "{}", row.chunks.len());
        let attempts: u32 = row.chunks.values().map(|chunk| chunk.attempt).sum();
        assert!(attempts <= 3 + 3 * 2 * 20 + 3 * 2, "{attempts}");
    });
}

#[test]
fn a_wrong_command_stops_its_job_and_divides_nothing() {
    let world = World::new(2);
    world.add(1, 1..=1_000);
    world.with(1, |row| row.job.follow = true);
    let mut book = JobBook::default();
    for _ in 0..4 {
        turn(&mut book, &world, 1_000);
    }
    world.with(1, |row| row.broken = sqlstate(b"42703"));
    drain(&mut book, &world);
    world.with(1, |row| {
        assert_eq!(row.state, JobState::Failed);
        assert!(row.chunks.values().all(|chunk| chunk.state != ChunkState::Split));
        assert!(row.chunks.values().all(|chunk| chunk.attempt <= 3));
        // The owner mends the command, and asks for the failed chunks again.
        row.broken = 0;
        row.state = JobState::Running;
        for chunk in row.chunks.values_mut().filter(|chunk| chunk.state == ChunkState::Failed) {
            (chunk.state, chunk.failures) = (ChunkState::Waiting, 0);
        }
    });
    book.reload();
    drain(&mut book, &world);
    check(&world, 1, &(1..=1_000).collect());
}

#[test]
fn a_job_of_which_all_rows_fail_comes_to_an_end() {
    let world = World::new(11);
    world.add(1, 1..=100);
    world.with(1, |row| {
        row.job.chunk_rows = Some(10);
        row.poisoned = (1..=100).collect();
        let failed = |number| (number, ChunkRow { cut: Cut::default(), state: ChunkState::Failed, attempt: 1, failures: 1 });
        row.chunks.extend((0..i64::from(MOST_FAILED) - 20).map(|number| failed(-number)));
    });
    let mut book = JobBook::default();
    drain(&mut book, &world);
    world.with(1, |row| {
        assert_eq!(row.state, JobState::Failed);
        let failed = row.chunks.values().filter(|chunk| chunk.state == ChunkState::Failed).count() as u32;
        assert!((MOST_FAILED..MOST_FAILED + 10).contains(&failed), "{failed}");
    });
}

#[test]
fn a_server_in_trouble_is_waited_for_and_no_chunk_is_blamed() {
    let world = World::new(10);
    for id in 1..=2 {
        world.add(id, 1..=1_000);
        world.with(id, |row| row.job.max_attempts = 1);
    }
    let mut book = JobBook::default();
    for _ in 0..4 {
        turn(&mut book, &world, 1_000);
    }
    // A full disk; the other job does not write.
    world.with(1, |row| row.broken = sqlstate(b"53100"));
    let began = world.now.get();
    while world.now.get() < began + 20_000_000 {
        turn(&mut book, &world, 1_000_000);
    }
    let attempts = |id| world.with(id, |row| row.chunks.values().map(|chunk| chunk.attempt).sum::<u32>());
    assert!((2..=20).contains(&attempts(1)), "{}", attempts(1));
    assert_eq!(world.with(2, |row| row.state.clone()), JobState::Done);
    world.with(1, |row| row.broken = 0);
    drain(&mut book, &world);
    check(&world, 1, &(1..=1_000).collect());
    assert!(world.with(1, |row| row.chunks.values().all(|chunk| chunk.state != ChunkState::Split)));
    // Where that does not end, the job fails, and says why.
    world.add(3, 1..=1_000);
    world.with(3, |row| row.broken = sqlstate(b"58030"));
    book.reload();
    drain(&mut book, &world);
    world.with(3, |row| {
        assert_eq!((row.state.clone(), row.commits), (JobState::Failed, 0));
        assert!(row.chunks.values().all(|chunk| chunk.state != ChunkState::Split));
    });
}

#[test]
fn a_cancelled_job_commits_nothing_more_and_a_paused_one_has_no_worker() {
    let world = World::new(3);
    for id in 1..=2 {
        world.add(id, 1..=1_000);
    }
    let mut book = JobBook::default();
    for _ in 0..10 {
        turn(&mut book, &world, 1_000_000);
    }
    world.with(1, |row| row.state = JobState::Cancelled);
    world.with(2, |row| row.job.paused = true);
    let commits = world.with(1, |row| row.commits);
    assert!(commits > 0);
    book.reload();
    for _ in 0..100 {
        turn(&mut book, &world, 100_000);
    }
    assert_eq!(world.with(1, |row| row.commits), commits);
    assert!(world.workers.borrow().is_empty() && book.rests());
    let chunks = world.with(2, |row| row.chunks.values().filter(|chunk| chunk.state == ChunkState::Running).count());
    assert_eq!(chunks, 0);
    world.with(2, |row| row.job.paused = false);
    book.reload();
    drain(&mut book, &world);
    check(&world, 2, &(1..=1_000).collect());
}

#[test]
fn a_dropped_job_is_forgotten_with_what_runs_for_it() {
    let world = World::new(4);
    world.add(1, 1..=1_000);
    let mut book = JobBook::default();
    for _ in 0..10 {
        turn(&mut book, &world, 1_000_000);
    }
    world.jobs.borrow_mut().clear();
    book.reload();
    for _ in 0..10 {
        turn(&mut book, &world, 100_000);
    }
    assert!(book.rests() && book.leases().next().is_none());
}

#[test]
fn a_throttled_job_waits_and_says_for_what_and_the_server_is_looked_at_once_a_second() {
    let world = World::new(5);
    world.measured.set(Measured { sessions: 6, ..Measured::default() });
    let mut book = JobBook::default();
    let began = world.now.get();
    for id in 1..=20 {
        // They come at any time of the second.
        world.add(id, 1..=100);
        world.with(id, |row| row.job.throttle = Throttle { sessions: Some(5), ..Throttle::default() });
        book.reload();
        turn(&mut book, &world, 130_000);
    }
    while world.now.get() < began + 10_000_000 {
        turn(&mut book, &world, 300_000);
    }
    assert!((8..=12).contains(&world.measures.get()), "{}", world.measures.get());
    assert!(world.jobs.borrow().values().all(|row| row.commits == 0 && row.job.waits_for == Some(HeldBackBy::Sessions)));
    world.measured.set(Measured::default());
    drain(&mut book, &world);
    for id in 1..=20 {
        check(&world, id, &(1..=100).collect());
        assert_eq!(world.with(id, |row| row.job.waits_for), None);
    }
}

#[test]
fn jobs_without_throttles_never_look_at_the_server_and_who_ended_wakes_nobody() {
    let world = World::new(6);
    world.add(1, []);
    world.add(2, [5]);
    let mut book = JobBook::default();
    drain(&mut book, &world);
    check(&world, 2, &BTreeSet::from([5]));
    assert_eq!((world.measures.get(), book.rests()), (0, true));
    assert_eq!(book.step(&world), Ok(u64::MAX));
}

#[test]
fn who_locks_a_job_holds_up_no_other() {
    let world = World::new(7);
    for id in 1..=2 {
        world.add(id, 1..=1_000);
    }
    let mut book = JobBook::default();
    turn(&mut book, &world, 1_000);
    world.locked.borrow_mut().insert(1);
    for _ in 0..10_000 {
        turn(&mut book, &world, 100_000);
    }
    assert_eq!(world.with(2, |row| row.state.clone()), JobState::Done);
    assert_eq!(world.with(1, |row| row.state.clone()), JobState::Running);
    world.locked.borrow_mut().clear();
    drain(&mut book, &world);
    check(&world, 1, &(1..=1_000).collect());
}

#[test]
fn many_jobs_share_the_workers() {
    let world = World::new(8);
    for id in 1..=200 {
        world.add(id, 1..=100);
    }
    world.slots.set(3);
    let mut book = JobBook::default();
    drain(&mut book, &world);
    for id in 1..=200 {
        check(&world, id, &(1..=100).collect());
    }
}

#[test]
fn the_workers_of_a_job_are_kept_busy() {
    let world = World::new(9);
    world.add(1, 1..=10_000);
    world.with(1, |row| row.job.chunk_rows = Some(100));
    let began = world.now.get();
    let mut book = JobBook::default();
    drain(&mut book, &world);
    // 10 s of work by two workers, and a second in which nothing more comes.
    let took = world.now.get() - began;
    assert!(took < 6_300_000, "{took}");
    assert_eq!(world.most_at_once.get(), 2);
}

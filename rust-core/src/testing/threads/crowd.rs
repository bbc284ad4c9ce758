//! Many processes at once: more callers than workers, more roles than one, and the words of the pool that all of them write.

use super::caller::Client;
use super::world::{World, spawn};
use crate::pool::borrow::try_borrow;
use crate::pool::slot::{Key, Slot, SlotState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

fn role(n: u32) -> Key {
    Key { database: 5, user: 10 + n, superuser: false }
}

/// The worker of this slot has nothing to do.
fn idle(slot: &Slot, key: Key) {
    let generation = slot.claim_for_prewarming(slot.state().1, key, 1).unwrap();
    assert!(slot.change(generation, SlotState::Starting, SlotState::Idle));
}

/// What `threads` processes need for a claim and its end, each doing so `times`, in nanoseconds; no slot has two of them.
fn contend(slots: usize, threads: u32, times: u32) -> u128 {
    let world = World::new(slots);
    world.area.slots.iter().for_each(|slot| idle(slot, role(0)));
    let area = &world.area;
    let owned: Arc<Vec<AtomicBool>> = Arc::new((0..slots).map(|_| AtomicBool::new(false)).collect());
    let claims = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (world, owned, claims) = (world.clone(), owned.clone(), claims.clone());
            spawn(move || {
                let (client, area) = (Client::of(&world, world.fork(), role(0)), &world.area);
                for _ in 0..times {
                    let Ok(borrowed) = try_borrow(&client, area, role(0), &client.limits).unwrap() else {
                        std::thread::yield_now();
                        continue;
                    };
                    let slot = borrowed.lease.slot as usize;
                    assert!(!owned[slot].swap(true, SeqCst), "slot {slot} has two callers");
                    claims.fetch_add(1, Relaxed);
                    owned[slot].store(false, SeqCst);
                    assert!(area.release(&area.slots[slot], borrowed.lease.generation));
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let took = begun.elapsed().as_nanos();
    let claims = claims.load(SeqCst);
    assert!(claims > 0);
    assert_eq!((area.busy(), area.waiters()), (0, 0));
    assert!(area.slots.iter().all(|slot| slot.state().0 == SlotState::Idle));
    assert_eq!(area.slots.iter().map(|slot| slot.state().1 - 1).sum::<u64>(), claims, "one generation for each lease");
    took / u128::from(claims)
}

/// `cargo test --release -p aside-core no_slot_has_two -- --nocapture` prints what a claim costs under contention: see
/// docs/scale.md.
#[test]
fn no_slot_has_two_callers_however_many_claim_at_once() {
    for (slots, threads) in [(4, 1), (4, 32), (16, 32), (16, 128), (1024, 1), (1024, 32), (1024, 128)] {
        println!("{slots} slots, {threads} callers: {} ns for a lease", contend(slots, threads, 500));
    }
}

/// Each of them waits most of the time. Were one forgotten, it would wait until the test fails.
#[test]
fn sixty_four_callers_of_four_roles_share_three_workers() {
    const CALLERS: u32 = 64;
    const CALLS: u32 = 4;
    let world = World::new(3);
    world.naps.store(true, SeqCst);
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| {
            let world = world.clone();
            spawn(move || {
                let client = Client::of(&world, world.fork(), role(n % 4));
                (0..CALLS).for_each(|i| _ = client.call(&format!("put c{n}-{i}")).unwrap());
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    println!("{CALLERS} callers, 4 roles, 3 workers: {} us for a call", begun.elapsed().as_micros() / u128::from(CALLERS * CALLS));
    for n in 0..CALLERS {
        (0..CALLS).for_each(|i| assert_eq!(world.times(&format!("c{n}-{i}")), 1));
    }
    world.shut_down();
}

/// To end a worker and start another one costs far more than a call: where it is done for each call, nothing else is.
#[test]
fn a_role_takes_a_worker_from_another_that_has_more_or_does_without() {
    // Workers of the role that asks, of the other one, how long these were idle, how long they have been there: milliseconds.
    for (own, theirs, idle_ms, there_ms, ends) in [
        (0, 4, 0, 0, true),
        (0, 1, 0, 10, false),
        (0, 1, 3, 10, true),
        (0, 1, 0, 30, true),
        (1, 3, 0, 10, true),
        (2, 2, 0, 1000, false),
        (2, 2, 50, 1000, false),
        (2, 2, 150, 1000, true),
        (1, 2, 0, 1000, false),
        (1, 2, 3, 1000, true),
        (3, 1, 50, 1000, false),
        // The clock was set back meanwhile.
        (2, 2, -3_600_000, -3_600_000, true),
    ] {
        let world = World::new(own + theirs);
        let client = Client::new(&world);
        let now = client.me.timestamp();
        for (index, slot) in world.area.slots.iter().enumerate() {
            idle(slot, role(u32::from(index >= own)));
            slot.last_used.store(now - idle_ms * 1000, SeqCst);
            slot.started.store(now - there_ms * 1000, SeqCst);
            if index < own {
                _ = slot.claim(SlotState::Idle, slot.state().1, (client.me.pid, 1)).unwrap();
            }
        }
        let case = format!("{own} workers, others {theirs}, idle for {idle_ms} ms, there for {there_ms} ms");
        assert!(try_borrow(&client, &world.area, role(0), &client.limits).unwrap().is_err(), "{case}");
        assert_eq!(world.count(SlotState::Retiring), usize::from(ends), "{case}");
    }
}

//! How callers and workers wait for each other: by polling, on a word of shared memory, on the latch. In each of these phases
//! they are reached by whoever has something to say. And where a worker runs meanwhile.

use super::caller::{Client, ClientError, worker_of};
use super::world::{Proc, World, spawn, until};
use crate::pool::slot::{Key, SlotState};
use std::sync::Arc;
use std::sync::atomic::Ordering::*;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ALICE: Key = Key { database: 5, user: 10, superuser: false };
/// Longer than any phase of a test.
const FOREVER_US: u32 = 1_000_000_000;
const FOREVER_MS: u32 = 1_000_000;
/// A nap that nobody ends lasts longer than this where naps are sound.
const LOST: Duration = Duration::from_secs(15);

/// The phase that a wait does not leave by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Poll,
    Nap,
    Latch,
}

const PHASES: [Phase; 3] = [Phase::Poll, Phase::Nap, Phase::Latch];

fn world(phase: Phase, slots: usize) -> Arc<World> {
    let world = World::new(slots);
    let (poll_us, nap_ms) = times(phase);
    world.naps.store(phase == Phase::Nap, SeqCst);
    world.open("nap soundly");
    {
        let mut config = world.config.lock().unwrap();
        // A worker that polls looks for a request alone, so this is what bounds the rest.
        (config.poll_us, config.nap_ms) = (poll_us.min(50_000), nap_ms);
    }
    world
}

fn times(phase: Phase) -> (u32, u32) {
    match phase {
        Phase::Poll => (FOREVER_US, 0),
        Phase::Nap => (0, FOREVER_MS),
        Phase::Latch => (0, 0),
    }
}

fn call(client: &Client, phase: Phase, command: &str) -> Result<u64, ClientError> {
    client.call_as(command, |call| (call.poll_us, call.nap_ms) = times(phase))
}

/// A call whose worker stands at a door.
fn start(world: &Arc<World>, phase: Phase, command: &str, door: &str) -> (Arc<Proc>, JoinHandle<Result<u64, ClientError>>) {
    let (other, me, command) = (world.clone(), world.fork(), command.to_owned());
    let process = me.clone();
    let thread = spawn(move || call(&Client::of(&other, process, ALICE), phase, &command));
    until(|| world.is_open(&format!("at {door}")), || format!("the worker is at {door}"));
    (me, thread)
}

#[test]
fn in_each_phase_of_its_wait_a_caller_hears_of_a_cancel_and_of_the_end() {
    for phase in PHASES {
        let (world, begun) = (world(phase, 1), Instant::now());
        let (me, thread) = start(&world, phase, "put a; wait door", "door");
        world.signal(me.pid, false);
        let told = thread.join().unwrap().unwrap_err();
        assert!(matches!(&told, ClientError::Saved(error, _) if error.contains("canceling")), "{phase:?}: {told:?}");
        assert!(world.commits.lock().unwrap().is_empty());
        let (me, _) = start(&world, phase, "put b; wait gate", "gate");
        world.signal(me.pid, true);
        until(|| me.gone.load(SeqCst), || format!("{phase:?}: the caller has gone"));
        assert!(world.commits.lock().unwrap().is_empty());
        assert!(begun.elapsed() < LOST, "{phase:?}");
    }
}

#[test]
fn in_each_phase_of_its_wait_a_worker_hears_that_it_is_to_leave() {
    for phase in PHASES {
        for how in ["retired", "terminated", "closed"] {
            let (world, begun) = (world(phase, 1), Instant::now());
            let client = Client::new(&world);
            call(&client, phase, "put a").unwrap();
            let worker = world.launched.lock().unwrap()[&0].clone();
            until(|| world.count(SlotState::Idle) == 1, || "the worker is idle".into());
            match how {
                "retired" => _ = world.area.retire(0, |slot| slot.wake_worker(&client)),
                "terminated" => world.signal(worker.pid, true),
                _ => {
                    world.area.header.closing.store(1, SeqCst);
                    world.area.slots[0].wake_worker(&client);
                }
            }
            until(|| worker.gone.load(SeqCst), || format!("{phase:?}: the worker that was {how} has gone"));
            assert!(begun.elapsed() < LOST, "{phase:?}");
        }
    }
}

/// Were one ring lost, its nap would last until the test fails.
#[test]
fn nobody_rings_in_vain() {
    let begun = Instant::now();
    let world = world(Phase::Nap, 2);
    let callers: Vec<_> = (0..3u32)
        .map(|n| {
            let world = world.clone();
            spawn(move || {
                let client = Client::new(&world);
                let mut rng = fastrand::Rng::with_seed(u64::from(n));
                for i in 0..150 {
                    let command = match rng.u32(..3) {
                        0 => format!("put c{n}-{i}"),
                        1 => format!("rows {} 900 x", rng.u32(1..20)),
                        _ => format!("rows 2 6000 x; put c{n}-{i}"),
                    };
                    let poll_us = rng.u32(..2) * 20;
                    client.call_as(&command, |call| (call.poll_us, call.nap_ms) = (poll_us, FOREVER_MS)).unwrap();
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert!(begun.elapsed() < LOST);
}

#[test]
fn a_worker_runs_beside_a_caller_that_sleeps_and_everywhere_once_that_takes_long() {
    let world = World::new(1);
    world.naps.store(true, SeqCst);
    let short = |client: &Client, command: &str| client.call_as(command, |call| call.nap_ms = FOREVER_MS);
    let client = Client::new(&world);
    short(&client, "put a").unwrap();
    let (other, process) = (world.clone(), client.me.clone());
    let thread = spawn(move || Client::of(&other, process, ALICE).call_as("wait door", |call| call.nap_ms = FOREVER_MS).unwrap());
    until(|| world.is_open("at door"), || "the worker is at the door".into());
    let worker = worker_of(&world, client.me.pid).unwrap();
    assert_eq!(world.bound(), [worker.pid]);
    assert_eq!(world.allowed(worker.pid)[0], 1 << (client.me.pid % 2), "where its caller is");
    world.open("door");
    thread.join().unwrap();
    until(|| world.bound().is_empty(), || "a worker that has nothing to do may run everywhere".into());
    let (_, thread) = start(&world, Phase::Nap, "wait gate", "gate");
    until(|| !world.bound().is_empty(), || "it runs beside its next caller".into());
    world.open("gate");
    thread.join().unwrap().unwrap();

    // A caller that naps for a moment only.
    let (other, process) = (world.clone(), world.fork());
    let thread = spawn(move || Client::of(&other, process, ALICE).call_as("wait hall", |call| call.nap_ms = 1).unwrap());
    until(|| world.is_open("at hall"), || "the worker is at the hall".into());
    until(|| world.bound().is_empty(), || "a worker that takes long may run everywhere".into());
    world.open("hall");
    thread.join().unwrap();
}

//! Queries over chunks: each row comes once, however many workers there are and whatever happens to them.

use super::caller::{Client, ClientError, text};
use super::world::{Fault, World, spawn, until};
use crate::caller::parallel::{Plan, query};
use crate::chunk::cut::{Cut, Split};
use crate::host::Column;
use crate::memory::NoMemory;
use crate::pool::slot::Key;
use crate::report::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;

/// The numbers from 1 to a last one.
struct Numbers(u64);

impl Split for Numbers {
    fn step(&self, frontier: Option<&[u8]>, rows: u64, chunks: u32) -> Result<Vec<u8>, NoMemory> {
        let from = String::from_utf8_lossy(frontier.unwrap_or(b"1"));
        Ok(format!("cut {from} {rows} {chunks} {}", self.0).into_bytes())
    }
    fn divides(&self) -> bool {
        false
    }
    fn halves(&self, _: &Cut) -> Result<Option<Vec<u8>>, NoMemory> {
        Ok(None)
    }
}

const ROWS: u64 = 10;
const COLUMN: Column = Column { type_oid: 25, typmod: -1, by_text: 0, name: b"" };

fn run(client: &Client, command: &str, last: u64, workers: u32) -> Result<(), ClientError> {
    let (split, answer) = (Numbers(last), [COLUMN; 4]);
    let plan = Plan { split: &split, chunk_rows: Some(ROWS), rows: last, workers, bounds: &[23, 23], answer: &answer };
    client.ask(command, |call| {
        call.snapshot = Some(b"snapshot");
        query(client, &client.world.area, client.caller, call, &plan)
    })
}

/// The chunks that the client has rows of.
fn chunks(client: &Client) -> Vec<String> {
    let mut rows: Vec<_> = client.rows.borrow().iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect();
    rows.sort_by_key(|row| row.split('-').next().and_then(|low| low.parse::<u64>().ok()));
    rows
}

fn all(last: u64) -> Vec<String> {
    (0..last.div_ceil(ROWS)).map(|n| format!("{}-{}", n * ROWS + 1, ((n + 1) * ROWS).min(last))).collect()
}

#[test]
fn each_chunk_is_read_once_at_the_callers_snapshot_however_many_workers_there_are() {
    for (slots, workers, last) in [(1, 1, 95), (1, 4, 95), (3, 2, 200), (4, 3, 331), (6, 9, 1_000), (2, 2, 0), (3, 2, 1)] {
        let world = World::new(slots);
        let client = Client::new(&world);
        run(&client, "answer $1-$2", last, workers).unwrap();
        assert_eq!(chunks(&client), all(last), "{slots} slots, {workers} workers, to {last}");
        let log = world.log.lock().unwrap();
        let count = |step: &str| log.iter().filter(|(_, is)| is == step).count();
        assert_eq!(count("read at snapshot"), count("run"), "each of them");
        drop(log);
        world.shut_down();
    }
}

#[test]
fn several_workers_run_at_a_time_and_one_is_left_for_what_they_call() {
    for slots in 2..5 {
        let world = World::new(slots);
        let client = Client::new(&world);
        run(&client, "nest ok; nap 3; answer $1-$2", 200, 8).unwrap();
        assert_eq!(chunks(&client), all(200));
        world.shut_down();
    }
}

#[test]
fn rows_that_fill_the_rings_come_from_all_of_them() {
    let world = World::new(4);
    let client = Client::new(&world);
    run(&client, "rows 50 20000 $1$2", 60, 3).unwrap();
    assert_eq!(client.rows.borrow().len(), 300);
    world.shut_down();
}

#[test]
fn an_error_in_one_chunk_ends_all_and_says_in_which() {
    let world = World::new(4);
    let client = Client::new(&world);
    let report = run(&client, "refuse $1 21; put x$1$2; wait never$2", 200, 3).unwrap_err().report();
    assert_eq!(report.sqlstate, SYNTAX_ERROR);
    assert!(text(&report, Field::Context).contains("parallel query, chunk from \"21\" to \"30\""), "{report:?}");
    world.settle();
    assert!(world.commits.lock().unwrap().is_empty(), "nobody goes on");
    run(&client, "answer $1-$2", 50, 3).unwrap();
    assert_eq!(chunks(&client), all(50));
    world.shut_down();
}

#[test]
fn a_cancel_of_the_caller_ends_all_of_them() {
    for command in ["put x$1$2; wait never$2", "put x$1$2; stuck never$2"] {
        let world = World::new(4);
        let client = Client::new(&world);
        let (me, watched) = (client.me.clone(), world.clone());
        *client.script.borrow_mut() = Some(Box::new(move |_| {
            if (1..=3).all(|n| watched.is_open(&format!("at never{n}0"))) {
                me.cancel.store(true, SeqCst);
            }
        }));
        assert!(matches!(run(&client, command, 200, 3), Err(ClientError::Saved(..))));
        world.settle();
        assert!(world.commits.lock().unwrap().is_empty());
        world.shut_down();
    }
}

#[test]
fn a_lock_of_the_callers_own_is_a_deadlock_for_whichever_worker_waits_for_it() {
    let world = World::new(4);
    let client = Client::new(&world);
    client.lock("t");
    let report = run(&client, "lock t$1$2", 20, 2).map_err(ClientError::report);
    assert!(report.is_ok(), "nobody has these");
    client.lock("t2130");
    let report = run(&client, "lock t$1$2; nap 1", 200, 3).unwrap_err().report();
    assert_eq!(report.sqlstate, DEADLOCK_DETECTED);
    assert!(text(&report, Field::Context).contains("chunk from \"21\" to \"30\""), "{report:?}");
    client.leave();
    world.shut_down();
}

#[test]
fn without_a_free_worker_it_waits_for_one_and_says_which_setting_is_short() {
    let world = World::new(1);
    let other = world.clone();
    let held = spawn(move || Client::new(&other).call("wait free").is_ok());
    until(|| world.is_open("at free"), || "a worker is held".into());
    let mut client = Client::new(&world);
    client.limits.timeout_ms = 300;
    let report = run(&client, "answer $1-$2", 20, 2).unwrap_err().report();
    assert_eq!(report.sqlstate, CONFIGURATION_LIMIT_EXCEEDED);
    world.open("free");
    assert!(held.join().unwrap());
    run(&client, "answer $1-$2", 20, 2).unwrap();
    world.shut_down();
}

const STEPS: [&str; 15] = [
    "connect",
    "adopt",
    "begin",
    "read_at",
    "parse",
    "prepare",
    "run",
    "sink",
    "commit",
    "commit:recorded",
    "commit:settled",
    "clean",
    "row",
    "texts",
    "sleep",
];

/// All rows, or an error; and whoever comes next finds a pool that works.
fn judge(world: &Arc<World>, client: &Client, ended: Result<(), ClientError>, last: u64, case: &str) {
    if ended.is_ok() {
        assert_eq!(chunks(client), all(last), "{case}");
    }
    world.settle();
    let next = Client::new(world);
    while next.call("put after").is_err() {}
}

#[test]
fn a_fault_at_any_step_is_an_error_or_none_of_the_callers_business() {
    for step in STEPS {
        for nth in [1, 2, 5] {
            for fault in [Fault::Fail, Fault::Die] {
                if fault == Fault::Die && ["row", "texts", "sleep"].contains(&step) {
                    continue;
                }
                let world = World::new(3);
                let client = Client::new(&world);
                world.inject(step, nth, fault);
                let ended = run(&client, "answer $1-$2", 100, 2);
                world.met();
                judge(&world, &client, ended, 100, &format!("{fault:?} at {step} {nth}"));
                world.shut_down();
            }
        }
    }
}

#[test]
fn random_faults_lose_and_double_nothing() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let world = World::new(rng.usize(1..5));
        let me = world.fork();
        world.faults.lock().unwrap().chaos = Some(rng.fork());
        let (last, workers) = (rng.u64(0..400), rng.u32(1..6));
        let command = ["answer $1-$2", "nap 1; answer $1-$2"][rng.usize(..2)];
        let (its_world, its_me) = (world.clone(), me.clone());
        let caller = spawn(move || {
            let client = Client::of(&its_world, its_me, Key { database: 5, user: 10, superuser: false });
            if run(&client, command, last, workers).is_ok() {
                assert_eq!(chunks(&client), all(last), "seed {seed}");
            }
        });
        until(|| caller.is_finished() || me.gone.load(SeqCst), || format!("seed {seed}: it ends"));
        if caller.is_finished() {
            caller.join().unwrap();
        }
        world.faults.lock().unwrap().chaos = None;
        // What a caller left behind that was about to launch a worker is taken over by those who come next.
        for n in 0..world.area.slots.len() as u32 {
            let key = Key { database: 100 + n, user: 10, superuser: false };
            Client::of(&world, world.fork(), key).call(&format!("put last{n}")).unwrap();
        }
        world.shut_down();
    }
}

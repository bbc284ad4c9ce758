//! Callers of several tenants over a pool that is too small for them, with errors, cancels, exits and
//! deaths at random. A model of what each caller was told is held against what the database holds.
//!
//! A failure prints its seed; `ASIDE_SEED` runs that one alone. The threads decide how they interleave,
//! so a seed is a strong hint and no promise.

use super::caller::{Client, ClientError, text};
use super::world::{Proc, World, spawn, until};
use crate::pool::slot::Key;
use crate::report::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex};

const CALLERS: u32 = 5;
const CALLS: u32 = 25;
const TENANTS: u32 = 3;
const SLOTS: usize = 3;
const SEEDS: [u64; 8] = [1, 2, 3, 5, 8, 13, 21, 34];
const RANDOM_SEEDS: usize = 4;
/// What may come of a call or a task: a death, `raise`, an injected error, no worker for a nested call, or none for several
/// of them, a cancel inside the worker, a worker that was not let in. Nothing that speaks of a broken protocol.
pub(super) const ORDINARY: [u32; 7] =
    [CONNECTION_FAILURE, SYNTAX_ERROR, INTERNAL_ERROR, CONFIGURATION_LIMIT_EXCEEDED, QUERY_CANCELED, DEADLOCK_DETECTED, sqlstate(b"57P01")];

/// What a caller knows of a transaction's fate after what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Committed,
    Aborted,
    /// Unknown, or nobody was left to be told.
    Either,
}

pub(super) fn fate<T>(told: &Result<T, ClientError>) -> Expected {
    let Err(error) = told else { return Expected::Committed };
    // What is said of a depth is not of this one.
    let detail: String = error.detail().lines().filter(|line| !line.contains("at depth")).collect();
    // What a nested call was told of its own transaction; this one is the outer.
    let nested = matches!(error, ClientError::Report(r) if text(r, Field::Context).lines().count() > 1);
    if nested {
        Expected::Aborted
    } else if detail.contains("unknown") {
        Expected::Either
    } else if detail.contains("transaction committed.") || detail.contains("already committed") {
        Expected::Committed
    } else {
        Expected::Aborted
    }
}

/// The same of the first of a command's two transactions, and of the second: what is said of "the"
/// transaction is of the one under way, whichever it was.
fn fates(told: &Result<u64, ClientError>) -> [Expected; 2] {
    let Err(error) = told else { return [Expected::Committed; 2] };
    if matches!(error, ClientError::Report(report) if report.sqlstate != CONNECTION_FAILURE) {
        // The command's own error, as it was: what it committed before, it committed.
        return [Expected::Either, Expected::Aborted];
    }
    let detail = error.detail();
    let counted = |n| detail.contains(&format!("already committed {n} of"));
    if counted(2) || detail.contains("transaction committed. The command had committed 1") {
        [Expected::Committed; 2]
    } else if counted(1) || detail.contains("aborted. The command had committed 1") {
        [Expected::Committed, Expected::Aborted]
    } else {
        match fate(told) {
            Expected::Committed => [Expected::Committed, Expected::Either],
            other => [other; 2],
        }
    }
}

/// One run's callers, and what they came to know.
struct Model {
    world: Arc<World>,
    /// Tag, fate, and the words for it.
    fates: Mutex<Vec<(String, Expected, String)>>,
    wrong: Mutex<Vec<String>>,
    ended: AtomicU32,
}

fn command(rng: &mut fastrand::Rng, tag: &str, key: Key) -> String {
    let iam = format!("iam {} {}; put {tag}", key.database, key.user);
    match rng.u32(..9) {
        0 => format!("{iam}; raise oops"),
        1 => format!("{iam}; rows {} 6000 {tag}.", rng.u32(1..4)),
        2 => format!("{iam}; rows {} {} {tag}.", rng.u32(1..40), rng.u32(40..900)),
        3 => format!("{iam}; notice {tag}; nap {}; notice {tag}", rng.u32(..3)),
        4 => format!("put {tag}"),
        5 => format!("{iam}; nest put n{tag}"),
        // Here too the tag is in the last of the transactions.
        6 => format!("put x{tag}; commit; {iam}; nap 1"),
        _ => iam,
    }
}

/// Each row and message is this call's own, and all of them came if it was told of success.
fn check_rows(model: &Model, client: &Client, tag: &str, told: &Result<u64, ClientError>) {
    let own = |row: &Vec<u8>| String::from_utf8_lossy(row).split('.').all(|part| part.is_empty() || part == tag);
    let (rows, relayed) = (client.rows.borrow(), client.relayed.take());
    let complete = told.as_ref().is_err() || rows.len() as u64 == *told.as_ref().unwrap_or(&0);
    if !rows.iter().all(own) || !relayed.iter().all(|text| text == tag) || !complete {
        model.wrong.lock().unwrap().push(format!("{tag}: {} rows and {relayed:?}, told {told:?}", rows.len()));
    }
}

/// A session that makes its calls; where it exits in the midst of one, the next session goes on.
fn session(model: &Arc<Model>, me: Arc<Proc>, caller: u32, next: &Mutex<u32>, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let tenant = caller % TENANTS;
    let key = Key { database: 5 + tenant % 2, user: 10 + tenant, superuser: false };
    let mut client = Client::of(&model.world, me, key);
    client.limits.per_role = rng.u32(..3);
    loop {
        let number = {
            let mut next = next.lock().unwrap();
            *next += 1;
            *next
        };
        if number > CALLS {
            return;
        }
        let tag = format!("c{caller}-{number}");
        client.set(if rng.bool() { b"one" } else { b"two" });
        let command = command(&mut rng, &tag, key);
        let two = command.contains("commit;").then(|| format!("x{tag}"));
        let mine: Vec<String> = two.into_iter().chain([tag.clone()]).collect();
        // Until it is told otherwise: a session that exits is told nothing.
        let open = mine.iter().map(|tag| (tag.clone(), Expected::Either, String::new()));
        model.fates.lock().unwrap().extend(open);
        if rng.u32(..40) == 0 {
            client.me.die.store(true, SeqCst);
        }
        let poll_us = rng.u32(..2) * 30;
        let told = client.call_as(&command, |call| call.poll_us = poll_us);
        check_rows(model, &client, &tag, &told);
        if let Err(ClientError::Report(report)) = &told
            && !ORDINARY.contains(&report.sqlstate)
        {
            let said = text(report, Field::Message);
            model.wrong.lock().unwrap().push(format!("{tag}: {command}: {said}"));
        }
        let said = match &told {
            Err(ClientError::Report(report)) => format!("{command}: {}, {}", text(report, Field::Message), text(report, Field::Detail)),
            other => format!("{command}: {other:?}"),
        };
        let came = if mine.len() == 2 { fates(&told) } else { [fate(&told); 2] };
        for (tag, fate) in mine.iter().zip(came) {
            let mut known = model.fates.lock().unwrap();
            let known = known.iter_mut().rev().find(|known| known.0 == *tag).unwrap();
            (known.1, known.2) = (fate, said.clone());
        }
    }
}

/// A caller: sessions one after the other until its calls are made.
fn caller(model: Arc<Model>, caller: u32, seed: u64) {
    let next = Arc::new(Mutex::new(0));
    for generation in 0.. {
        let me = model.world.fork();
        let (inner, process, calls) = (model.clone(), me.clone(), next.clone());
        let seed = seed ^ u64::from(caller) << 32 ^ generation;
        let thread = spawn(move || session(&inner, process, caller, &calls, seed));
        until(|| thread.is_finished() || me.gone.load(SeqCst), || format!("caller {caller} goes on"));
        if thread.is_finished() {
            if thread.join().is_err() {
                model.wrong.lock().unwrap().push(format!("caller {caller} panicked"));
            }
            break;
        }
    }
    model.ended.fetch_add(1, SeqCst);
}

fn run(seed: u64) {
    let world = World::new(SLOTS);
    world.config.lock().unwrap().min_workers = 1;
    world.config.lock().unwrap().idle_timeout_ms = 5_000;
    world.config.lock().unwrap().poll_us = (seed % 2) as u32 * 30;
    world.naps.store(!seed.is_multiple_of(3), SeqCst);
    world.faults.lock().unwrap().chaos = Some(fastrand::Rng::with_seed(seed));
    let model = Arc::new(Model { world: world.clone(), fates: Mutex::default(), wrong: Mutex::default(), ended: AtomicU32::new(0) });
    for n in 0..CALLERS {
        let model = model.clone();
        spawn(move || caller(model, n, seed));
    }
    until(|| model.ended.load(SeqCst) == CALLERS, || "all callers have made their calls".into());
    world.faults.lock().unwrap().chaos = None;
    // What the last launchers left behind is taken over by those who come next.
    let mut last = 0..;
    let mut one_more = || {
        let n = last.next().unwrap_or(0);
        let key = Key { database: 100 + n, user: 10, superuser: false };
        Client::of(&world, world.fork(), key).call(&format!("put last{n}")).unwrap();
    };
    (0..SLOTS).for_each(|_| one_more());
    // They need not have taken all places: a worker that a caller kept beside it until it was killed is freed by the next one.
    until(
        || {
            let freed = world.bound().is_empty();
            if !freed {
                one_more();
            }
            freed
        },
        || format!("workers {:?} may run everywhere again", world.bound()),
    );
    world.shut_down();
    assert_eq!(*model.wrong.lock().unwrap(), Vec::<String>::new());
    let commits = world.commits.lock().unwrap();
    let held: BTreeSet<&str> = commits.iter().map(|(_, tag)| tag.as_str()).collect();
    assert_eq!(held.len(), commits.len(), "nothing is committed twice");
    let fates = model.fates.lock().unwrap();
    assert!(fates.len() as u32 >= CALLERS * CALLS);
    for (tag, fate, said) in fates.iter() {
        let committed = held.contains(tag.as_str());
        assert!(
            *fate == Expected::Either || (*fate == Expected::Committed) == committed,
            "{tag} was told {fate:?} ({said}), committed: {committed}"
        );
    }
    let told = fates.iter().filter(|known| known.1 == Expected::Committed).count();
    assert!(told > fates.len() / 3, "most calls work: {told} of {}", fates.len());
}

#[test]
fn at_random_no_call_is_told_anything_but_the_truth() {
    let seeds: Vec<u64> = match std::env::var("ASIDE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => SEEDS.into_iter().chain(std::iter::repeat_with(|| fastrand::u64(..)).take(RANDOM_SEEDS)).collect(),
    };
    for seed in seeds {
        eprintln!("ASIDE_SEED={seed}");
        run(seed);
    }
}

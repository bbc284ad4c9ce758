//! Clients that open sessions, submit tasks and call at random, over a pool that is too small for them, with
//! errors, cancels, exits and deaths at random. What each was told, and what the table says of each task, is held
//! against what the database holds.
//!
//! A failure prints its seed; `ASIDE_SEED` runs that one alone. The threads decide how they interleave,
//! so a seed is a strong hint and no promise.

use super::caller::{Client, ClientError, text};
use super::interleavings::{Expected, ORDINARY, fate};
use super::sessions::read_all;
use super::tasks::forget_all;
use super::world::{Proc, World, spawn, until};
use crate::pool::slot::Key;
use crate::report::*;
use crate::task::TaskState;
use std::sync::atomic::{AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex};

const CLIENTS: u32 = 4;
const STEPS: u32 = 30;
const SEEDS: [u64; 8] = [1, 2, 3, 5, 8, 13, 21, 34];
const RANDOM_SEEDS: usize = 4;
/// What is said besides: a worker that has gone, a command sent before, a block that has failed, two of a name, a
/// task that is gone.
const ALSO: [u32; 5] =
    [CONNECTION_DOES_NOT_EXIST, OBJECT_NOT_IN_PREREQUISITE_STATE, FAILED_TRANSACTION, DUPLICATE_OBJECT, UNDEFINED_OBJECT];

#[derive(Default)]
struct Model {
    /// Tag of what a session or a call wrote, its fate, and the words for it.
    fates: Mutex<Vec<(String, Expected, String)>>,
    /// Tags of tasks that were submitted.
    tasks: Mutex<Vec<(String, i64)>>,
    wrong: Mutex<Vec<String>>,
    ended: AtomicU32,
}

/// One client process, until it has taken its steps or exits.
struct Actor {
    model: Arc<Model>,
    client: Client,
    rng: fastrand::Rng,
    on_commit: Vec<(String, i64)>,
}

impl Actor {
    /// Whatever it is, it is nothing that speaks of a broken protocol.
    fn told<T>(&self, what: &str, told: Result<T, ClientError>) -> Result<T, ClientError> {
        if let Err(ClientError::Report(report)) = &told
            && ![&ORDINARY[..], &ALSO].concat().contains(&report.sqlstate)
        {
            self.wrong(format!("{what}: {}", text(report, Field::Message)));
        }
        told
    }

    fn wrong(&self, what: String) {
        self.model.wrong.lock().unwrap().push(what);
    }

    fn expect(&self, tag: &str, fate: Expected, said: String) {
        let mut known = self.model.fates.lock().unwrap();
        match known.iter_mut().rev().find(|known| known.0 == tag) {
            Some(known) => (known.1, known.2) = (fate, said),
            None => known.push((tag.into(), fate, said)),
        }
    }

    /// What wrote that tag, and what it was told.
    fn wrote<T: std::fmt::Debug>(&self, tag: &str, write: impl FnOnce() -> Result<T, ClientError>) {
        // Who exits meanwhile is told nothing.
        self.expect(tag, Expected::Either, "nothing".into());
        let told = self.told(tag, write());
        // A command that was sent had committed this before its worker vanished.
        let counted = told.as_ref().is_err_and(|told| told.detail().contains("had committed 1"));
        self.expect(tag, if counted { Expected::Committed } else { fate(&told) }, format!("{told:?}"));
    }

    fn use_session(&mut self, tag: &str) {
        let (name, what) = (if self.rng.bool() { "s" } else { "t" }, self.rng.u32(..10));
        let client = &self.client;
        _ = self.told("open", client.open(name));
        match what {
            0 | 1 => self.wrote(tag, || client.exec(name, &format!("put {tag}; nap 1"))),
            2 => self.wrote(tag, || client.exec(name, &format!("begin; lock l; put {tag}; commit"))),
            3 | 4 => self.wrote(tag, || {
                client.exec(name, &format!("begin; put {tag}"))?;
                client.exec(name, "commit")
            }),
            5 | 6 => self.wrote(tag, || {
                client.send(name, &format!("put {tag}; rows 30 400 x; notice n"))?;
                read_all(client, name)
            }),
            7 => {
                self.expect(tag, Expected::Either, "nothing".into());
                if self.told(tag, client.send(name, &format!("put {tag}; nap {what}"))).is_ok() {
                    let cancelled = self.told(tag, client.cancel(name));
                    let told = self.told(tag, read_all(client, name));
                    let fate = if told.is_ok() { Expected::Committed } else { Expected::Either };
                    self.expect(tag, fate, format!("{cancelled:?}, {told:?}"));
                }
            }
            8 => {
                self.expect(tag, Expected::Either, "nothing".into());
                _ = self.told(tag, client.send(name, &format!("put {tag}; rows 30 400 x")));
            }
            _ => _ = self.told("close", client.close(name)),
        }
        // What one command left open is not the next one's.
        _ = self.told("rollback", client.exec(name, "rollback"));
    }

    fn submit(&mut self, tag: &str, other: u64) {
        let command = match self.rng.u32(..8) {
            0 => format!("put {tag}; raise oops"),
            1 => format!("put {tag}; rows 12 6000 xy"),
            2 => format!("lock l; put {tag}; nap 2"),
            3 => format!("put {tag}; async put n{tag}"),
            4 => format!("put {tag}; notice n; nap 1; rows 3 30 abc"),
            5 => format!("put x{tag}; commit; nap 1; put {tag}"),
            _ => format!("put {tag}"),
        };
        let (on_commit, follows) = (self.rng.u32(..6) == 0, self.rng.u32(..5) == 0);
        let told = self.client.submit_as(&command, |start| {
            start.on_commit = on_commit.then_some(1);
            start.after = follows.then_some(other);
        });
        let Ok(id) = self.told(&command, told) else { return };
        match on_commit {
            true => self.on_commit.push((tag.into(), id)),
            false => self.model.tasks.lock().unwrap().push((tag.into(), id)),
        }
    }

    fn use_tasks(&mut self, tag: &str) {
        let tasks: Vec<i64> = self.model.tasks.lock().unwrap().iter().map(|(_, id)| *id).collect();
        let any = self.rng.choice(&tasks).copied().unwrap_or(1);
        let (what, patience) = (self.rng.u32(..14), self.rng.u64(1..300));
        let client = &self.client;
        let done = || client.state(any).filter(|state| state.finished()).map(|state| state == TaskState::Done);
        match what {
            0..6 => self.submit(tag, any as u64),
            6 => {
                let commits = self.rng.bool();
                client.end_transaction(commits);
                let submitted = std::mem::take(&mut self.on_commit);
                self.model.tasks.lock().unwrap().extend(submitted.into_iter().filter(|_| commits));
            }
            7 | 8 => _ = self.told("wait", client.wait(&[any], Some(patience))),
            9 => _ = self.told("wait", client.wait(&tasks, Some(patience))),
            10 | 11 => {
                let told = self.told("result", client.task_result(any));
                if told.is_ok() && done() == Some(false) {
                    self.wrong(format!("task {any} was read as one that is done"));
                }
            }
            _ => {
                let told = self.told("cancel", client.cancel_task(any, (patience < 100).then_some(patience)));
                if told.is_ok_and(|cancelled| cancelled) && done() == Some(true) {
                    self.wrong(format!("task {any} was cancelled, and is done"));
                }
            }
        }
    }

    fn step(&mut self, tag: &str) {
        match self.rng.u32(..10) {
            0..4 => self.use_session(tag),
            4..8 => self.use_tasks(tag),
            8 => self.wrote(tag, || self.client.call(&format!("put {tag}; lock l"))),
            _ => {
                // Somebody else interrupts a worker.
                let slot = self.rng.usize(..self.client.world.area.slots.len());
                self.client.world.signal(self.client.pid_in(slot), self.rng.u32(..4) == 0);
            }
        }
    }
}

/// A client, until all steps are taken.
fn client(world: &Arc<World>, me: Arc<Proc>, model: Arc<Model>, number: u32, steps: &AtomicU32, seed: u64) {
    let mut client = Client::of(world, me, Key { database: 5 + number % 2, user: 10, superuser: false });
    client.limits.timeout_ms = 5_000;
    let mut actor = Actor { model, client, rng: fastrand::Rng::with_seed(seed), on_commit: Vec::new() };
    loop {
        let step = steps.fetch_add(1, SeqCst);
        if step >= STEPS {
            return actor.client.leave();
        }
        if actor.rng.u32(..40) == 0 {
            actor.client.me.die.store(true, SeqCst);
        }
        actor.step(&format!("c{number}-{step}"));
    }
}

/// Clients one after the other; where one exits in the midst of a step, the next one goes on.
fn clients(world: &Arc<World>, model: &Arc<Model>, number: u32, seed: u64) {
    let steps = Arc::new(AtomicU32::new(0));
    for life in 0.. {
        let me = world.fork();
        let (inner, process, kept, count) = (world.clone(), me.clone(), model.clone(), steps.clone());
        let thread = spawn(move || client(&inner, process, kept, number, &count, seed ^ u64::from(number) << 32 ^ life));
        until(|| thread.is_finished() || me.gone.load(SeqCst), || format!("client {number} goes on"));
        if thread.is_finished() && thread.join().is_err() {
            model.wrong.lock().unwrap().push(format!("client {number} panicked"));
            break;
        }
        if steps.load(SeqCst) >= STEPS {
            break;
        }
    }
    model.ended.fetch_add(1, SeqCst);
}

/// What was told, and what the table says, against the database.
fn compare(world: &Arc<World>, model: &Model) {
    let client = Client::new(world);
    for (tag, id) in model.tasks.lock().unwrap().iter() {
        let view = client.look(*id).unwrap_or_else(|| panic!("task {id} is gone"));
        let says = |words: &str| String::from_utf8_lossy(&view.message).contains(words);
        let committed = view.card.state == TaskState::Done || says("had committed");
        assert!(world.times(tag) <= 1, "{tag}");
        assert!(world.committed(tag) == committed || says("had committed") || says("unknown"), "{tag}: {view:?}");
    }
    for (tag, fate, said) in model.fates.lock().unwrap().iter() {
        let committed = world.committed(tag);
        assert!(world.times(tag) <= 1, "{tag}");
        assert!(
            *fate == Expected::Either || (*fate == Expected::Committed) == committed,
            "{tag} was told {fate:?} ({said}), committed: {committed}"
        );
    }
    let stats = &world.table().unwrap().header.stats;
    let [submitted, done, failed, cancelled] =
        [&stats.submitted, &stats.done, &stats.failed, &stats.cancelled].map(|count| count.load(SeqCst));
    assert_eq!(submitted, done + failed + cancelled, "each task ends once");
    assert!(done > 0, "of {submitted}");
}

fn run(seed: u64) {
    let world = World::with_tasks(2 + (seed % 2) as usize, 300, 600);
    world.naps.store(!seed.is_multiple_of(3), SeqCst);
    world.config.lock().unwrap().min_workers = (seed % 3) as u32;
    world.config.lock().unwrap().idle_timeout_ms = 5_000;
    world.faults.lock().unwrap().chaos = Some(fastrand::Rng::with_seed(seed));
    let model = Arc::new(Model::default());
    for number in 0..CLIENTS {
        let (world, model) = (world.clone(), model.clone());
        spawn(move || clients(&world, &model, number, seed));
    }
    let states = || world.area.slots.iter().map(|slot| slot.state()).collect::<Vec<_>>();
    until(|| model.ended.load(SeqCst) == CLIENTS, || format!("all clients have taken their steps: {:?}", states()));
    world.faults.lock().unwrap().chaos = None;
    // What the last launchers left behind is taken over by those who come next, and what the last submitters did.
    for n in 0..world.area.slots.len() as u32 {
        let key = Key { database: 100 + n, user: 10, superuser: false };
        Client::of(&world, world.fork(), key).call(&format!("put last{n}")).unwrap();
    }
    world.table().unwrap().reclaim(0, |pid| world.alive(pid), |id| _ = world.files.lock().unwrap().remove(&id));
    world.tasks_end("in the end");
    world.nobody_waits("in the end");
    assert_eq!(*model.wrong.lock().unwrap(), Vec::<String>::new());
    compare(&world, &model);
    forget_all(&world, "in the end");
}

#[test]
fn at_random_no_task_and_no_session_is_told_of_anything_but_the_truth() {
    let seeds: Vec<u64> = match std::env::var("ASIDE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => SEEDS.into_iter().chain(std::iter::repeat_with(|| fastrand::u64(..)).take(RANDOM_SEEDS)).collect(),
    };
    for seed in seeds {
        eprintln!("ASIDE_SEED={seed}");
        run(seed);
    }
}

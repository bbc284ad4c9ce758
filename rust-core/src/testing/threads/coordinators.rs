//! Coordinators of several databases share one pool.

use super::caller::Client;
use super::world::{Fault, World, until};
use crate::async_event::spec::{self, Batch, Notification, Spec};
use crate::coordinator::runner;
use crate::coordinator::workers::Workers;
use crate::host::Bounds;
use crate::lease::leases::Leases;
use crate::lease::work::{CommandEnd, Errand, LeaseUpdate, LeaseWork};
use crate::pool::slot::{Key, SlotState};
use crate::report::CANNOT_CONNECT_NOW;
use crate::wire::batch::{BatchEnd, Note, events, notifications};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// What a coordinator does in each millisecond of its clock.
struct Coordinator {
    client: Client,
    leases: Leases,
    /// It looks for workers once in so many milliseconds.
    every_ms: u64,
    wants: usize,
    granted: u32,
    most: usize,
}

impl Coordinator {
    fn new(world: &Arc<World>, database: u32, every_ms: u64, wants: usize) -> Self {
        let client = Client::of(world, world.fork(), Key { database, user: 10, superuser: false });
        Self { client, leases: Leases::default(), every_ms, wants, granted: 0, most: 0 }
    }

    fn tick(&mut self, ms: u64) {
        let (h, area) = (&self.client, &self.client.world.area);
        h.me.pass_us(1_000);
        self.leases.listen(h, area);
        while ms.is_multiple_of(self.every_ms) && self.leases.count() < self.wants {
            let Key { database, user, superuser } = h.key;
            if !self.leases.room(h, area, h.key, &h.limits).expect("nothing fails here") {
                break;
            }
            let batches = [events(0, 1, 0, 0, &[1], &[1]).unwrap()];
            let work = LeaseWork::Batches { title: b"handler", handler: b"handler", batches: &batches };
            let errand = Errand { database, owner: user, superuser, timeout_ms: 0, work };
            match self.leases.start(u64::from(self.granted) + 1, h, area, h.caller.tasks.table(), &errand, &h.limits) {
                Ok(true) => self.granted += 1,
                Ok(false) => break,
                Err(_) => panic!("nothing fails here"),
            }
        }
        self.most = self.most.max(self.leases.count());
    }
}

/// Two seconds of these; a moment each for the workers.
fn run(world: &Arc<World>, mut coordinators: Vec<Coordinator>) -> Vec<(u32, usize)> {
    for ms in 0..2_000 {
        coordinators.iter_mut().for_each(|coordinator| coordinator.tick(ms));
        std::thread::sleep(Duration::from_micros(100));
    }
    for coordinator in &mut coordinators {
        until(
            || {
                coordinator.leases.listen(&coordinator.client, &world.area);
                coordinator.leases.count() == 0
            },
            || "all leases are over".into(),
        );
    }
    world.shut_down();
    coordinators.iter().map(|coordinator| (coordinator.granted, coordinator.most)).collect()
}

#[test]
fn who_has_many_events_leaves_a_worker_to_who_has_few() {
    for slots in [1, 2, 4] {
        let world = World::new(slots);
        let told = run(&world, vec![Coordinator::new(&world, 5, 1, 8), Coordinator::new(&world, 6, 50, 1)]);
        assert!(told[0].0 > 50, "{slots} workers: the flood goes on: {told:?}");
        assert!(told[1].0 >= 4, "{slots} workers: the other has its turns: {told:?}");
    }
}

#[test]
fn among_many_floods_none_starves() {
    let world = World::new(2);
    let told = run(&world, (5..10).map(|database| Coordinator::new(&world, database, 5, 8)).collect());
    assert!(told.iter().all(|(granted, _)| *granted >= 10), "{told:?}");
}

#[test]
fn who_is_alone_has_all_but_the_one_that_handlers_call() {
    for (slots, most) in [(1, 1), (2, 1), (4, 3)] {
        let world = World::new(slots);
        assert_eq!(run(&world, vec![Coordinator::new(&world, 5, 1, 8)])[0].1, most);
    }
}

#[test]
fn where_no_process_is_left_one_is_started_to_see_whether_there_is_and_it_serves() {
    let world = World::new(4);
    world.max_worker_processes.store(0, SeqCst);
    let Coordinator { client: h, leases, .. } = Coordinator::new(&world, 5, 1, 1);
    let room = || leases.room(&h, &world.area, h.key, &h.limits).unwrap();
    let batches = [events(0, 1, 0, 0, &[1], &[1]).unwrap()];
    let work = LeaseWork::Batches { title: b"handler", handler: b"handler", batches: &batches };
    let errand = Errand { database: 5, owner: 10, superuser: false, timeout_ms: 0, work };
    let start = || leases.start(1, &h, &world.area, h.caller.tasks.table(), &errand, &h.limits).ok();
    assert!(room(), "nothing is known");
    assert_eq!(start(), Some(false));
    (0..5).for_each(|_| assert!(!room(), "it is asked for by a look"));
    assert_eq!(world.count(SlotState::Free), 4);
    world.max_worker_processes.store(1, SeqCst);
    until(room, || "a worker has come".into());
    assert_eq!(start(), Some(true));
    until(
        || {
            leases.listen(&h, &world.area);
            leases.count() == 0
        },
        || "the lease is over".into(),
    );
    world.shut_down();
}

#[test]
fn a_worker_of_a_role_that_may_have_few_is_left_too() {
    let world = World::new(6);
    let mut coordinator = Coordinator::new(&world, 5, 1, 8);
    coordinator.client.limits.per_role = 3;
    assert_eq!(run(&world, vec![coordinator])[0].1, 2);
}

/// A lease of so many batches, and what is said of it up to its end.
fn lease(world: &Arc<World>, count: i64, meanwhile: impl FnOnce(&Leases)) -> Vec<LeaseUpdate> {
    let Coordinator { client: h, leases, .. } = Coordinator::new(world, 5, 1, 1);
    let batches: Vec<_> = (1..=count).map(|id| events(0, 1, 0, 0, &[id as u64], &[id]).unwrap()).collect();
    let work = LeaseWork::Batches { title: b"handler", handler: b"handler", batches: &batches };
    let errand = Errand { database: 5, owner: 10, superuser: false, timeout_ms: 0, work };
    assert!(matches!(leases.start(1, &h, &world.area, h.caller.tasks.table(), &errand, &h.limits), Ok(true)));
    meanwhile(&leases);
    let mut said = Vec::new();
    let over = || {
        said.extend(leases.listen(&h, &world.area));
        leases.count() == 0
    };
    until(over, || "the lease is over".into());
    assert_eq!(leases.recall(&world.area, 1, 0), None);
    said.into_iter().map(|(_, said)| said).collect()
}

#[test]
fn a_worker_that_goes_had_begun_what_it_says_and_no_more() {
    for (step, nth, begun) in [("adopt", 1, 1), ("run_events", 1, 1), ("run_events", 2, 2), ("clean", 1, 1)] {
        let world = World::new(1);
        world.inject(step, nth, Fault::Die);
        let said = lease(&world, 5, |_| ());
        assert!(world.met(), "{step}");
        assert_eq!(said.last(), Some(&LeaseUpdate::Lost { begun }), "{step}");
        let done = begun - usize::from(step != "clean");
        assert_eq!(said.iter().filter(|said| matches!(said, LeaseUpdate::Batch(_, BatchEnd::Done(_)))).count(), done, "{step}");
        world.shut_down();
    }
}

#[test]
fn a_worker_whose_login_would_have_other_settings_by_now_begins_nothing_and_leaves() {
    let world = World::new(1);
    world.open("outdated");
    let said = lease(&world, 5, |_| ());
    assert!(matches!(said[..], [LeaseUpdate::Refused { sqlstate: CANNOT_CONNECT_NOW, .. }]), "{said:?}");
    until(|| world.area.slots[0].state().0 == SlotState::Free, || "it has left".into());
    world.shut_down();
}

#[test]
fn what_is_taken_back_of_a_lease_is_not_begun_and_the_rest_of_it_is_told() {
    for (keep, told) in [(0, 1), (1, 1), (3, 3), (9, 5)] {
        let world = World::new(1);
        world.open("hold run_events");
        let said = lease(&world, 5, |leases| {
            until(|| world.is_open("at run_events"), || "the first one runs".into());
            assert_eq!(leases.recall(&world.area, 1, keep), Some(told));
            world.open("run_events");
        });
        let expected = (0..told).map(|batch| LeaseUpdate::Batch(batch, BatchEnd::Done(Vec::new()))).chain([LeaseUpdate::Over]);
        assert_eq!(said, expected.collect::<Vec<_>>());
        world.shut_down();
    }
}

#[test]
fn of_a_handler_that_is_not_what_it_was_no_batch_is_begun() {
    let world = World::new(1);
    world.open("hold run_events");
    let said = lease(&world, 5, |_| {
        until(|| world.is_open("at run_events"), || "the first one runs".into());
        world.open("run_events");
        until(|| world.steps().contains("commit"), || "it is done".into());
        world.open("unwanted");
    });
    let done = said.iter().filter(|said| matches!(said, LeaseUpdate::Batch(_, BatchEnd::Done(_)))).count();
    assert!((1..=5).contains(&done), "{said:?}");
    assert_eq!(said.last(), Some(&LeaseUpdate::Over));
    assert_eq!(said.len(), done + 1, "of the others nothing is said");
    world.shut_down();
}

#[test]
fn who_is_at_the_limit_of_its_role_slows_nobody_else() {
    let world = World::new(4);
    let mut at_limit = Coordinator::new(&world, 6, 1, 1);
    at_limit.client.limits.per_role = 1;
    at_limit.client.key.user = 11;
    // Somebody of that role has the one worker that it may have.
    let somebody = world.fork();
    let generation = world.area.slots[3].claim(SlotState::Free, 0, (somebody.pid, somebody.proc)).unwrap();
    world.area.slots[3].set_key(Key { database: 7, user: 11, superuser: false });
    let mut flood = Coordinator::new(&world, 5, 1, 3);
    for ms in 0..500 {
        at_limit.tick(ms);
        flood.tick(ms);
        std::thread::sleep(Duration::from_micros(100));
    }
    assert_eq!((at_limit.granted, flood.most), (0, 3));
    super::world::until(
        || {
            flood.leases.listen(&flood.client, &world.area);
            flood.leases.count() == 0
        },
        || "all leases are over".into(),
    );
    assert!(world.area.slots[3].change(generation, SlotState::Busy, SlotState::Free));
    world.shut_down();
}

#[test]
fn what_a_part_asks_for_reaches_a_worker_as_its_shim_reads_it() {
    let world = World::new(2);
    let Coordinator { client: h, leases, .. } = Coordinator::new(&world, 5, 1, 1);
    let workers =
        Workers { h: &h, area: &world.area, tasks: h.caller.tasks.table(), limits: h.limits, leases: &leases, database: 5, tables: 7 };
    let handler = Spec { id: 3, name: b"h".to_vec(), owner: 10, ..Spec::default() };
    let ones = spec::BatchItems::Events { partition: 2, tids: vec![4, 5], ids: vec![8, 9] };
    let note = Notification { channel: b"c".to_vec(), payload: b"p".to_vec(), pid: 6 };
    let batches = [
        Batch { work: ones, attempt: 1, key: Some(10), timeout_ms: None },
        Batch { work: spec::BatchItems::Notifications(vec![note]), attempt: 1, key: None, timeout_ms: None },
    ];
    let hear_out = |work: runner::Work<'_>| {
        assert!(matches!(workers.start(1, &work), Ok(true)));
        let mut said = Vec::new();
        let over = || {
            said.extend(leases.listen(&h, &world.area).into_iter().map(|(_, said)| said));
            leases.count() == 0
        };
        until(over, || "the lease is over".into());
        said
    };
    let said = hear_out(runner::Work::Batches { handler: &handler, batches: &batches });
    assert_eq!(
        said,
        [LeaseUpdate::Batch(0, BatchEnd::Done(Vec::new())), LeaseUpdate::Batch(1, BatchEnd::Done(Vec::new())), LeaseUpdate::Over]
    );
    let note = Note { pid: 6, channel: b"c", payload: b"p" };
    let sent = [events(2, 1, 11, 0, &[4, 5], &[8, 9]).unwrap(), notifications(1, [note].into_iter()).unwrap()];
    assert!(sent.iter().all(|batch| world.committed(&format!("{batch:?}"))));
    let keep = Bounds { row_bytes: 0, message_bytes: 0 };
    let said = hear_out(runner::Work::Command { database: 5, owner: 10, superuser: false, text: b"put x", timeout_ms: 0, keep });
    assert!(matches!(&said[..], [LeaseUpdate::Began { .. }, LeaseUpdate::Ended(ended)] if ended.end == CommandEnd::Done), "{said:?}");
    assert!(world.committed("x"));
    world.shut_down();
}

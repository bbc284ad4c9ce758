//! Parts beside each other: the events, and small ones of which each wants so many leases whenever it is its time.

use crate::async_event::Events;
use crate::async_event::spec::{self, Batch, Notification, Spec};
use crate::coordinator::host::{Host, Line, Lost};
use crate::coordinator::part::{Context, Part};
use crate::coordinator::runner::{Numbers, Runner, Work};
use crate::coordinator::topics::Topics;
use crate::coordinator::turn::Turn;
use crate::host::Saved;
use crate::lease::work::LeaseUpdate;
use crate::report::{INTERNAL_ERROR, OUT_OF_MEMORY};
use crate::testing::clocked::world::{End, Nature, World, spec};
use crate::wire::batch::BatchEnd;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// It wants a lease for its handler whenever it rings.
struct Bell {
    handler: Spec,
    every_us: u64,
    due: u64,
    at_once: usize,
    open: BTreeSet<u64>,
    granted: usize,
    done: usize,
    told: Topics,
    back: i64,
    fails: bool,
    short: usize,
    closed: bool,
}

impl Bell {
    fn new(handler: u32, owner: u32, every_us: u64, at_once: usize) -> Self {
        Self {
            handler: Spec { owner, concurrency: 100, ..spec(handler, "bell") },
            every_us,
            due: 0,
            at_once,
            open: BTreeSet::new(),
            granted: 0,
            done: 0,
            told: Topics::NONE,
            back: 0,
            fails: false,
            short: 0,
            closed: false,
        }
    }
}

impl<H: Host + Runner> Part<H> for Bell {
    fn name(&self) -> &'static str {
        "bells"
    }
    fn tell(&mut self, topics: Topics) {
        self.told |= topics;
    }
    fn clock_was_set_back(&mut self, by: i64, _: i64) {
        self.back += by;
    }
    fn hear(&mut self, _: &mut Context<'_, H>, lease: u64, said: LeaseUpdate) {
        assert!(self.open.contains(&lease), "{lease} is another's: {said:?}");
        match said {
            LeaseUpdate::Batch(_, BatchEnd::Done(_)) => self.done += 1,
            LeaseUpdate::Over => _ = self.open.remove(&lease),
            other => panic!("{other:?}"),
        }
    }
    fn step(&mut self, cx: &mut Context<'_, H>) -> Result<(), Saved> {
        if self.fails {
            return Err(Saved);
        }
        while cx.host.now_us() >= self.due && self.open.len() < self.at_once {
            let note = Notification { channel: b"bell".to_vec(), payload: b"ding".to_vec(), pid: 0 };
            let batches = [Batch { work: spec::BatchItems::Notifications(vec![note]), attempt: 1, key: None, timeout_ms: None }];
            let Some(lease) = cx.start(self.handler.owner, &Work::Batches { handler: &self.handler, batches: &batches })? else { break };
            self.open.insert(lease);
            self.granted += 1;
            self.due = cx.host.now_us() + self.every_us;
        }
        Ok(())
    }
    fn shed(&mut self, _: &H) {
        self.short += 1;
    }
    fn wait_us(&self, h: &H) -> u64 {
        // Where there was no worker, it looks again.
        match self.due.saturating_sub(h.now_us()) {
            0 => 50_000,
            left => left,
        }
    }
    fn rests(&self, h: &H) -> Option<u64> {
        self.open.is_empty().then(|| self.due.saturating_sub(h.now_us()))
    }
    fn close(&mut self, _: &mut Context<'_, H>) -> Result<(), Saved> {
        self.closed = true;
        if self.fails { Err(Saved) } else { Ok(()) }
    }
}

/// Workers that take one turn each.
#[derive(Default)]
struct Hall {
    workers: usize,
    mono: Cell<u64>,
    wall: Cell<i64>,
    runs: RefCell<Vec<u64>>,
    asked: Cell<usize>,
    short: bool,
    lost: Option<Lost>,
    log: RefCell<Vec<(&'static str, Line)>>,
}

impl Host for Hall {
    fn timestamp(&self) -> i64 {
        self.wall.get()
    }
    fn now_us(&self) -> u64 {
        self.mono.get()
    }
    fn error(&self) -> u32 {
        if self.short { OUT_OF_MEMORY } else { INTERNAL_ERROR }
    }
    fn lost(&self) -> Option<Lost> {
        self.lost
    }
    fn log(&self, part: &'static str, line: Line) {
        self.log.borrow_mut().push((part, line));
    }
}

impl Runner for Hall {
    fn start(&self, lease: u64, _: &Work<'_>) -> Result<bool, Saved> {
        self.asked.set(self.asked.get() + 1);
        let mut runs = self.runs.borrow_mut();
        let free = runs.len() < self.workers;
        if free {
            runs.push(lease);
        }
        Ok(free)
    }
    fn heard(&self) -> Vec<(u64, LeaseUpdate)> {
        self.runs
            .take()
            .into_iter()
            .flat_map(|lease| [(lease, LeaseUpdate::Batch(0, BatchEnd::Done(Vec::new()))), (lease, LeaseUpdate::Over)])
            .collect()
    }
}

#[test]
fn events_and_another_part_live_beside_each_other() {
    let world = World::new(1);
    world.set().specs = vec![Spec { concurrency: 4, ..spec(1, "a") }, Spec { concurrency: 100, ..spec(9, "bell") }];
    world.set().workers = 2;
    let (mut turn, mut events, mut bell) = (Turn::default(), Events::new(0), Bell::new(9, 10, 1_000_000, 1));
    events.set_rotation(1 << 40, 1 << 60);
    (0..500).for_each(|_| _ = world.set().emit("a", Nature::Takes(50_000)));
    turn.tell(Topics::EVENTS | Topics::SCHEDULES);
    for _ in 0..5_000 {
        let wait = turn.take(&world, &mut [&mut events, &mut bell]).unwrap();
        let state = &mut *world.set();
        assert_eq!(state.wrong, Vec::<String>::new());
        let finish = state.leases.values().map(|lease| lease.finishes_at).min().unwrap_or(u64::MAX);
        let next = finish.min(state.mono + wait).max(state.mono);
        state.wall += (next - state.mono) as i64;
        state.mono = next;
        state.work();
        if state.outstanding().is_empty() && state.leases.is_empty() && state.heard.is_empty() && bell.done >= 20 {
            break;
        }
    }
    let state = world.get();
    assert!((1..=500).all(|event| state.ended(event, 1) == Some(End::Done)));
    let seconds = (state.mono / 1_000_000) as usize;
    assert!(bell.done >= 20.min(seconds) && bell.done <= seconds + 1, "{} in {seconds} s", bell.done);
    assert!(bell.told.has(Topics::SCHEDULES));
    let rung = state.noted.iter().filter(|(handler, _)| *handler == 9).count();
    assert!(rung == bell.done || rung == bell.done + 1, "{rung} for {}", bell.done);
}

#[test]
fn where_workers_are_few_no_part_goes_without_for_long() {
    for workers in [1, 2, 3] {
        let hall = Hall { workers, ..Hall::default() };
        let (mut turn, mut one, mut other) = (Turn::default(), Bell::new(1, 10, 0, 100), Bell::new(2, 11, 0, 100));
        let mut third = Bell::new(3, 12, 0, 1);
        for _ in 0..300 {
            turn.take(&hall, &mut [&mut one, &mut other, &mut third]).unwrap();
        }
        let granted = [one.granted, other.granted, third.granted];
        assert!(granted.iter().all(|granted| *granted >= 90), "{workers}: {granted:?}");
    }
}

#[test]
fn an_owner_who_was_refused_a_worker_is_not_asked_for_again_in_that_turn() {
    let hall = Hall { workers: 0, ..Hall::default() };
    let (mut turn, mut one, mut other, mut third) =
        (Turn::default(), Bell::new(1, 10, 0, 1), Bell::new(2, 10, 0, 1), Bell::new(3, 11, 0, 1));
    turn.take(&hall, &mut [&mut one, &mut other, &mut third]).unwrap();
    assert_eq!(hall.asked.get(), 2, "one owner of two");
    turn.take(&hall, &mut [&mut one, &mut other, &mut third]).unwrap();
    assert_eq!(hall.asked.get(), 4, "in the next turn both again");
}

#[test]
fn a_part_that_fails_keeps_no_other_from_its_step_or_its_end() {
    for short in [false, true] {
        let hall = Hall { workers: 2, short, ..Hall::default() };
        let (mut turn, mut one, mut other) = (Turn::default(), Bell::new(1, 10, 0, 1), Bell::new(2, 11, 0, 1));
        one.fails = true;
        assert_eq!(turn.take(&hall, &mut [&mut one, &mut other]), Ok(50_000), "the other part looks again");
        assert_eq!(turn.fared(), Some(false));
        assert_eq!((other.granted, one.short, other.short), (1, usize::from(short), 0));
        assert_eq!(turn.close(&hall, &mut [&mut one, &mut other]), Err(Saved));
        assert!(one.closed && other.closed && other.done == 1);
    }
}

#[test]
fn the_next_turn_is_when_the_first_of_the_parts_needs_it() {
    let hall = Hall { workers: 2, ..Hall::default() };
    let (mut turn, mut one, mut other) = (Turn::default(), Bell::new(1, 10, 7_000, 1), Bell::new(2, 11, 5_000, 1));
    assert_eq!(turn.take(&hall, &mut [&mut one, &mut other]), Ok(5_000));
    hall.mono.set(6_000);
    assert_eq!(turn.take(&hall, &mut [&mut one, &mut other]), Ok(1_000));
    assert_eq!(turn.rests(&hall, &mut [&mut one, &mut other]), None, "one runs");
    turn.take(&hall, &mut [&mut one, &mut other]).unwrap();
    assert_eq!(turn.rests(&hall, &mut [&mut one, &mut other]), Some(1_000));
    turn.tell(Topics::EVENTS);
    assert_eq!(turn.rests(&hall, &mut [&mut one, &mut other]), None, "something was told");
}

#[test]
fn a_part_that_fails_pauses_alone_and_the_log_is_told_once() {
    let hall = Hall { workers: 9, ..Hall::default() };
    let (mut turn, mut one, mut other) = (Turn::default(), Bell::new(1, 10, 1_000, 1), Bell::new(2, 11, 1_000, 1));
    one.fails = true;
    let steps = |turn: &mut Turn, one: &mut Bell, other: &mut Bell, count: usize| {
        for _ in 0..count {
            let wait = turn.take(&hall, &mut [one, other]).unwrap();
            assert!((1..=50_000).contains(&wait) && turn.pause(hall.mono.get()) == 0, "the other part goes on");
            hall.mono.set(hall.mono.get() + wait);
        }
    };
    hall.mono.set(5_000_000);
    steps(&mut turn, &mut one, &mut other, 2_000);
    assert_eq!((one.granted, hall.log.take()), (0, vec![("bells", Line::Fails)]));
    assert!(other.granted > 900, "{}", other.granted);
    assert_eq!(turn.fared(), None, "one part pauses, and none has failed just now");
    one.fails = false;
    while one.granted == 0 {
        steps(&mut turn, &mut one, &mut other, 1);
    }
    assert_eq!(turn.fared(), Some(true));
    steps(&mut turn, &mut one, &mut other, 3_000);
    assert_eq!(hall.log.take(), [("bells", Line::WorksAgain)]);
    other.fails = true;
    one.fails = true;
    turn.take(&hall, &mut [&mut one, &mut other]).unwrap();
    assert_eq!(turn.pause(hall.mono.get()), 100_000, "both pause");
}

#[test]
fn after_a_failure_a_coordinator_without_its_tables_says_nothing_and_leaves() {
    for lost in [Lost::Gone, Lost::Replaced] {
        let hall = Hall { workers: 1, lost: Some(lost), ..Hall::default() };
        let (mut turn, mut one, mut other) = (Turn::default(), Bell::new(1, 10, 0, 1), Bell::new(2, 11, 0, 1));
        assert!(turn.take(&hall, &mut [&mut one, &mut other]).is_ok(), "nobody asks while all is well");
        one.fails = true;
        assert_eq!(turn.take(&hall, &mut [&mut one, &mut other]), Err(lost));
        assert_eq!(hall.log.take(), []);
    }
}

#[test]
fn where_a_turn_broke_off_all_parts_pause() {
    let hall = Hall { workers: 2, ..Hall::default() };
    let (mut turn, mut one, mut other) = (Turn::default(), Bell::new(1, 10, 0, 1), Bell::new(2, 11, 0, 1));
    assert_eq!(turn.broke_off(&hall), 100_000, "before the first one ended");
    turn.take(&hall, &mut [&mut one, &mut other]).unwrap();
    assert_eq!((turn.broke_off(&hall), turn.broke_off(&hall)), (100_000, 200_000));
    assert_eq!((turn.pause(50_000), turn.fared()), (150_000, Some(false)));
    assert_eq!(hall.log.take(), [("events", Line::Fails)]);
}

#[test]
fn each_part_hears_of_a_clock_that_was_set_back() {
    let hall = Hall { workers: 2, wall: Cell::new(100_000_000), ..Hall::default() };
    let (mut turn, mut one, mut other) = (Turn::default(), Bell::new(1, 10, 0, 1), Bell::new(2, 11, 0, 1));
    turn.take(&hall, &mut [&mut one, &mut other]).unwrap();
    hall.wall.set(60_000_000);
    turn.take(&hall, &mut [&mut one, &mut other]).unwrap();
    assert_eq!((one.back, other.back), (40_000_000, 40_000_000));
}

#[test]
fn the_number_of_a_lease_says_whose_it_is_and_none_comes_twice() {
    let mut numbers = Numbers::default();
    let mut seen = BTreeSet::new();
    for part in [0, 1, 2, 200].into_iter().cycle().take(1000) {
        let lease = numbers.next_of(part);
        numbers.use_up();
        assert!(Numbers::part_of(lease) == part && seen.insert(lease));
    }
}

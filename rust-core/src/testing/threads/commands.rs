//! Commands that a coordinator has workers run: what is said of each, once, whatever happens to whom.

use super::caller::{Client, text};
use super::world::{Fault, World, until};
use crate::host::Bounds;
use crate::lease::frames::Frame;
use crate::lease::leases::Leases;
use crate::lease::work::{CommandEnd, CommandResult, Errand, LeaseUpdate, LeaseWork};
use crate::memory;
use crate::pool::slot::SlotState;
use crate::report::*;
use crate::wire::frame;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

const ALL: Bounds = Bounds { row_bytes: 100_000, message_bytes: 100_000 };

/// A coordinator, as far as it runs commands.
pub(super) struct Coordinator {
    h: Client,
    leases: Leases,
    started: Cell<u64>,
}

impl Coordinator {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self { h: Client::new(world), leases: Leases::default(), started: Cell::new(0) }
    }

    fn start(&self, text: &str, timeout_ms: u32, keep: Bounds) -> Option<u64> {
        self.give(LeaseWork::Command { text: text.as_bytes(), keep }, timeout_ms)
    }

    pub(super) fn give(&self, work: LeaseWork, timeout_ms: u32) -> Option<u64> {
        let errand = Errand { database: 5, owner: 10, superuser: false, timeout_ms, work };
        let number = self.started.get() + 1;
        self.started.set(number);
        let Ok(granted) = self.leases.start(number, &self.h, &self.h.world.area, self.h.caller.tasks.table(), &errand, &self.h.limits)
        else {
            panic!("nothing fails here")
        };
        granted.then_some(number)
    }

    pub(super) fn cancel(&self, number: u64) {
        self.leases.cancel(&self.h, &self.h.world.area, number);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.leases.count() == 0
    }

    fn listen(&self) -> Vec<LeaseUpdate> {
        self.h.me.pass_us(1_000);
        self.leases.listen(&self.h, &self.h.world.area).into_iter().map(|(_, said)| said).collect()
    }

    /// All that is said until the lease is over.
    pub(super) fn hear_out(&self) -> Vec<LeaseUpdate> {
        let mut said = Vec::new();
        let over = || {
            said.extend(self.listen());
            self.is_idle()
        };
        until(over, || "the lease is over".into());
        said
    }

    fn run(&self, text: &str, timeout_ms: u32, keep: Bounds) -> CommandResult {
        self.start(text, timeout_ms, keep).expect("there is a worker");
        ended(self.hear_out())
    }
}

/// It began, then it ended.
pub(super) fn ended(mut said: Vec<LeaseUpdate>) -> CommandResult {
    let Some(LeaseUpdate::Ended(ended)) = said.pop() else { panic!("it has ended: {said:?}") };
    let [LeaseUpdate::Began { pid, at }] = said[..] else { panic!("it had begun once: {said:?}, {ended:?}") };
    assert_eq!((ended.pid, ended.started), (pid, at));
    assert!(ended.finished >= ended.started);
    *ended
}

fn rows(ended: &CommandResult) -> Vec<String> {
    let (mut left, mut rows) = (ended.kept_rows.as_slice(), Vec::new());
    while let Some((kind, length, payload, rest)) = frame::split_first(left) {
        let mut words = Vec::new();
        memory::append_words(&mut words, payload, "a row").unwrap();
        match Frame::decode(kind, &words, length).unwrap() {
            Frame::Row(row) => rows.push(String::from_utf8(row.to_vec()).unwrap()),
            Frame::Described(columns) => assert_eq!((left.len(), columns.len()), (ended.kept_rows.len(), 1)),
            other => panic!("{other:?}"),
        }
        left = rest;
    }
    assert!(left.is_empty());
    rows
}

#[test]
fn what_a_command_said_is_kept_as_it_was_asked_for() {
    let world = World::new(1);
    let c = Coordinator::new(&world);
    let said = c.run("notice one; notice two; put x; rows 3 8 a", 0, ALL);
    assert_eq!((said.end, said.rows, said.tag.as_deref(), &said.error), (CommandEnd::Done, Some(3), Some(&b"DONE"[..]), &None));
    assert_eq!(rows(&said), vec!["aaaaaaaa"; 3]);
    assert_eq!(said.messages.iter().map(|m| text(m, Field::Message)).collect::<Vec<_>>(), ["one", "two"]);
    let said = c.run("notice one; notice two; rows 3 8 a", 0, Bounds { row_bytes: 17, message_bytes: 200 });
    assert_eq!((rows(&said).len(), said.messages.len(), said.dropped, said.rows), (2, 1, 1, Some(3)));
    let said = c.run("notice one; rows 3 8 a; put y", 0, Bounds { row_bytes: 0, message_bytes: 0 });
    assert_eq!((said.end, rows(&said).len(), said.messages.len(), said.dropped), (CommandEnd::Done, 0, 0, 1));
    assert!(world.committed("x") && world.committed("y"));
    world.shut_down();
}

#[test]
fn a_result_longer_than_the_ring_comes_through() {
    let world = World::new(1);
    let c = Coordinator::new(&world);
    let said = c.run("rows 50 20000 a", 0, Bounds { row_bytes: 2_000_000, message_bytes: 0 });
    assert_eq!((said.end, rows(&said).len()), (CommandEnd::Done, 50));
    world.shut_down();
}

#[test]
fn several_statements_are_one_transaction_and_one_may_control_it() {
    let world = World::new(1);
    let c = Coordinator::new(&world);
    let said = c.run("put a; raise oops; put b", 0, ALL);
    assert_eq!((said.end, said.committed), (CommandEnd::Failed, 0));
    assert_eq!(said.error.as_ref().map(|e| (e.sqlstate, text(e, Field::Message))), Some((SYNTAX_ERROR, "oops".into())));
    assert!(!world.committed("a"));
    assert_eq!(c.run("begin; put c; commit; put d", 0, ALL).end, CommandEnd::Done);
    assert!(world.committed("c") && world.committed("d"));
    world.shut_down();
}

#[test]
fn its_time_cancels_a_command_and_ends_what_traps_that() {
    for (command, what) in [("wait never", "canceling"), ("stuck never", "terminating")] {
        let world = World::new(1);
        let c = Coordinator::new(&world);
        let said = c.run(&format!("put a; {command}"), 1_500, ALL);
        assert_eq!(said.end, CommandEnd::TimedOut, "{said:?}");
        let error = said.error.unwrap();
        assert_eq!(error.sqlstate, QUERY_CANCELED);
        let words = format!("{} {}", text(&error, Field::Message), text(&error, Field::Detail));
        assert!(words.contains(&format!("{what} command due to its timeout")), "{words}");
        assert!(!world.committed("a"));
        world.shut_down();
    }
}

#[test]
fn a_cancel_ends_what_runs_and_what_traps_it() {
    for command in ["wait never", "stuck never"] {
        let world = World::new(1);
        let c = Coordinator::new(&world);
        let number = c.start(&format!("put a; commit; put b; {command}"), 0, ALL).unwrap();
        until(|| world.is_open("at never"), || "it runs".into());
        assert!(c.leases.cancel(&c.h, &world.area, number));
        assert!(c.leases.wait_us(c.h.me.now_us()) <= 100_000);
        let said = ended(c.hear_out());
        assert_eq!(
            (said.end, said.error.map(|e| e.sqlstate == QUERY_CANCELED || command.starts_with("stuck"))),
            (CommandEnd::Cancelled, Some(true))
        );
        assert!(world.committed("a") && !world.committed("b"));
        assert_eq!(c.leases.wait_us(0), u64::MAX);
        world.shut_down();
    }
}

#[test]
fn what_is_given_up_before_it_began_never_begins() {
    let world = World::new(1);
    world.open("hold clean");
    let c = Coordinator::new(&world);
    // Its worker is still at what was before.
    let first = c.start("put a", 0, ALL).unwrap();
    until(|| world.is_open("at clean"), || "the first is done".into());
    let said = c.hear_out();
    assert_eq!(ended(said).end, CommandEnd::Done, "{first}");
    let second = c.start("put b", 0, ALL).unwrap();
    assert!(c.leases.cancel(&c.h, &world.area, second));
    world.open("clean");
    assert_eq!(c.hear_out(), [LeaseUpdate::Over]);
    assert!(!c.leases.cancel(&c.h, &world.area, second));
    assert!(!world.committed("b"));
    world.shut_down();
}

#[test]
fn a_worker_whose_login_would_have_other_settings_by_now_does_not_run_it() {
    let world = World::new(1);
    world.open("outdated");
    let c = Coordinator::new(&world);
    c.start("put a", 0, ALL).unwrap();
    assert!(matches!(c.hear_out()[..], [LeaseUpdate::Refused { sqlstate: CANNOT_CONNECT_NOW, .. }]));
    until(|| world.area.slots[0].state().0 == SlotState::Free, || "it has left".into());
    world.shut_down();
}

pub(super) const STEPS: [&str; 14] = [
    "connect",
    "adopt",
    "begin",
    "parse",
    "prepare",
    "run",
    "sink",
    "next_statement",
    "commit",
    "commit:gated",
    "commit:recorded",
    "commit:settled",
    "clean",
    "rest",
];

/// What is said at the end is what has happened.
pub(super) fn judge(world: &World, said: &[LeaseUpdate], tag: &str, case: &str) {
    let committed = world.committed(tag);
    let [began @ .., end] = said else { panic!("{case}: nothing was said") };
    match (began, end) {
        ([], LeaseUpdate::Over | LeaseUpdate::Refused { .. } | LeaseUpdate::Lost { begun: 0 | 1 }) => {
            assert!(!committed, "{case}: not begun")
        }
        (_, LeaseUpdate::Ended(ended)) => {
            assert!(began.len() <= 1 && began.iter().all(|said| matches!(said, LeaseUpdate::Began { .. })), "{case}: {said:?}");
            match ended.end {
                CommandEnd::Done => assert!(committed, "{case}: done"),
                CommandEnd::Failed => assert!(!committed && ended.error.is_some(), "{case}: failed"),
                CommandEnd::Cancelled | CommandEnd::TimedOut | CommandEnd::Lost => {
                    let unknown = ended.error.as_ref().is_some_and(|e| text(e, Field::Detail).contains("unknown"));
                    assert!(unknown || !committed, "{case}: {ended:?}");
                }
            }
        }
        _ => panic!("{case}: {said:?}"),
    }
}

#[test]
fn a_fault_at_any_step_is_told_as_it_was() {
    for step in STEPS {
        for nth in 1..=3 {
            for fault in [Fault::Fail, Fault::Die] {
                let case = format!("{fault:?} at {step} {nth}");
                let world = World::new(1);
                world.inject(step, nth, fault);
                let c = Coordinator::new(&world);
                c.start("notice n; rows 3 600 a; put x", 0, ALL).unwrap();
                judge(&world, &c.hear_out(), "x", &case);
                world.met();
                // Whoever comes next finds a pool that works, at the latest with the worker after the one that was leaving.
                let mut next = Vec::new();
                while !matches!(next.last(), Some(LeaseUpdate::Ended(_))) {
                    assert!(next.len() < 5, "{case}: {next:?}");
                    c.start("put after", 0, ALL).unwrap();
                    next.extend(c.hear_out().pop());
                }
                assert!(world.committed("after"), "{case}");
                world.shut_down();
            }
        }
    }
}

#[test]
fn an_answer_that_was_lost_after_the_commit_is_no_lost_command() {
    let world = World::new(1);
    world.inject("commit:recorded", 1, Fault::Die);
    let c = Coordinator::new(&world);
    let said = c.run("put x", 0, ALL);
    assert_eq!((said.end, said.rows, said.tag), (CommandEnd::Done, None, None));
    world.shut_down();
    let world = World::new(1);
    world.inject("commit:recorded", 1, Fault::Die);
    let c = Coordinator::new(&world);
    let said = c.run("put x; commit; put y", 0, ALL);
    assert_eq!((said.end, said.committed), (CommandEnd::Lost, 1), "the first of several");
    world.shut_down();
}

#[test]
fn random_deaths_cancels_and_full_rings_never_tell_what_is_not_so() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let world = World::new(rng.usize(1..4));
        let c = Coordinator::new(&world);
        let mut running: Vec<(u64, String, Vec<LeaseUpdate>)> = Vec::new();
        let mut started = 0;
        for _ in 0..60 {
            if rng.u32(..4) == 0 {
                world.faults.lock().unwrap().chaos = rng.bool().then(|| rng.fork());
            }
            if started < 12 && rng.bool() {
                let tag = format!("t{started}");
                let more = ["", "; rows 4 3000 a", "; commit", "; wait never", "; notice n", "; nap 3"][rng.usize(..6)];
                let timeout = if more == "; wait never" { 20 } else { [0, 5_000][rng.usize(..2)] };
                let keep = Bounds { row_bytes: [0, 5_000, 50_000][rng.usize(..3)], message_bytes: [0, 1_000][rng.usize(..2)] };
                // The coordinator itself goes on.
                let chaos = world.faults.lock().unwrap().chaos.take();
                let number = c.start(&format!("put first{tag}{more}; put {tag}"), timeout, keep);
                world.faults.lock().unwrap().chaos = chaos;
                if let Some(number) = number {
                    running.push((number, tag, Vec::new()));
                    started += 1;
                }
            }
            if rng.u32(..6) == 0 && !running.is_empty() {
                let number = running[rng.usize(..running.len())].0;
                c.leases.cancel(&c.h, &world.area, number);
            }
            if rng.u32(..3) > 0 {
                hear(&c, &mut running);
            }
            std::thread::sleep(Duration::from_micros(rng.u64(..300)));
        }
        world.faults.lock().unwrap().chaos = None;
        let over = || {
            hear(&c, &mut running);
            c.leases.count() == 0
        };
        until(over, || format!("seed {seed}: all are over"));
        for (number, tag, said) in &running {
            judge(&world, said, tag, &format!("seed {seed}, command {number}"));
        }
        world.shut_down();
    }
}

pub(super) fn hear(c: &Coordinator, running: &mut [(u64, String, Vec<LeaseUpdate>)]) {
    c.h.me.pass_us(1_000);
    for (number, said) in c.leases.listen(&c.h, &c.h.world.area) {
        running.iter_mut().find(|(of, ..)| *of == number).expect("a lease of ours").2.push(said);
    }
}

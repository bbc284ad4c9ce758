//! Chunks of jobs that a coordinator has workers run: the command and the record that the chunk is done are one transaction,
//! whatever happens to whom.

use super::caller::text;
use super::commands::{Coordinator, STEPS, ended, hear, judge};
use super::world::{Fault, World, until};
use crate::host::{Arg, ArgForm};
use crate::lease::work::{CommandEnd, LeaseUpdate, LeaseWork};
use crate::report::*;
use std::time::Duration;

impl Coordinator {
    fn start_chunk(&self, text: &str, attempt: &str) -> Option<u64> {
        let bound = |data| Arg { type_oid: 23, form: ArgForm::Text, data };
        let bounds = [bound(b"low".as_slice()), bound(b"high".as_slice())];
        self.give(LeaseWork::Chunk { text: text.as_bytes(), bounds: &bounds, attempt: attempt.as_bytes() }, 0)
    }

    fn run_chunk(&self, text: &str, attempt: &str) -> Vec<LeaseUpdate> {
        self.start_chunk(text, attempt).expect("there is a worker");
        self.hear_out()
    }
}

/// The transaction in which this was committed.
fn transaction(world: &World, what: &str) -> Option<u64> {
    world.commits.lock().unwrap().iter().find(|(_, tag)| tag.contains(what)).map(|(xid, _)| *xid)
}

/// The chunk is done by its command and by its record, in one transaction, once; or by neither.
fn one_or_neither(world: &World, tag: &str, attempt: &str, case: &str) {
    assert_eq!(transaction(world, tag), transaction(world, &format!("{attempt} is done")), "{case}: {:?}", world.commits.lock().unwrap());
    assert!(world.commits.lock().unwrap().iter().filter(|(_, of)| of == tag).count() <= 1, "{case}");
}

#[test]
fn the_command_has_the_bounds_and_commits_with_its_record() {
    let world = World::new(1);
    let c = Coordinator::new(&world);
    let said = ended(c.run_chunk("put $1; put $2", "attempt 7"));
    assert_eq!((said.end, said.error), (CommandEnd::Done, None));
    let xid = transaction(&world, "low");
    assert!(xid.is_some() && xid == transaction(&world, "high") && xid == transaction(&world, "attempt 7 is done"));
    // A command may leave its bounds unused.
    assert_eq!(ended(c.run_chunk("put x", "attempt 8")).end, CommandEnd::Done);
    one_or_neither(&world, "x", "attempt 8", "no bounds");
    world.shut_down();
}

#[test]
fn what_fails_or_ends_its_transaction_is_not_done() {
    for (command, code) in
        [("put x; raise oops", SYNTAX_ERROR), ("begin; put x", FEATURE_NOT_SUPPORTED), ("put x; rollback", FEATURE_NOT_SUPPORTED)]
    {
        let world = World::new(1);
        let c = Coordinator::new(&world);
        let said = ended(c.run_chunk(command, "attempt 1"));
        assert_eq!((said.end, said.error.as_ref().map(|error| error.sqlstate)), (CommandEnd::Failed, Some(code)), "{command}");
        assert_eq!(*world.commits.lock().unwrap(), [], "{command}");
        if code == FEATURE_NOT_SUPPORTED {
            assert!(text(&said.error.unwrap(), Field::Detail).contains("one transaction with the record"));
        }
        world.shut_down();
    }
}

#[test]
fn a_fault_at_any_step_leaves_both_or_neither_and_is_told_as_it_was() {
    for step in STEPS.into_iter().chain(["record_chunk"]) {
        for nth in 1..=2 {
            for fault in [Fault::Fail, Fault::Die] {
                let case = format!("{fault:?} at {step} {nth}");
                let world = World::new(1);
                world.inject(step, nth, fault);
                let c = Coordinator::new(&world);
                let said = c.run_chunk("put x; put y", "attempt 1");
                one_or_neither(&world, "x", "attempt 1", &case);
                judge(&world, &said, "x", &case);
                world.met();
                world.shut_down();
            }
        }
    }
}

#[test]
fn random_deaths_and_cancels_never_part_a_chunk_from_its_record() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let world = World::new(rng.usize(1..4));
        let c = Coordinator::new(&world);
        let mut running = Vec::new();
        let mut started = 0;
        for _ in 0..60 {
            if rng.u32(..4) == 0 {
                world.faults.lock().unwrap().chaos = rng.bool().then(|| rng.fork());
            }
            if started < 12 && rng.bool() {
                let tag = format!("t{started}_");
                let more = ["", "; raise oops", "; nap 3", "; rollback"][rng.usize(..4)];
                // The coordinator itself goes on.
                let chaos = world.faults.lock().unwrap().chaos.take();
                let number = c.start_chunk(&format!("put {tag}{more}"), &format!("attempt {started}_"));
                world.faults.lock().unwrap().chaos = chaos;
                if let Some(number) = number {
                    running.push((number, tag, Vec::new()));
                    started += 1;
                }
            }
            if rng.u32(..6) == 0 && !running.is_empty() {
                let number = running[rng.usize(..running.len())].0;
                c.cancel(number);
            }
            if rng.u32(..3) > 0 {
                hear(&c, &mut running);
            }
            std::thread::sleep(Duration::from_micros(rng.u64(..300)));
        }
        world.faults.lock().unwrap().chaos = None;
        let over = || {
            hear(&c, &mut running);
            c.is_idle()
        };
        until(over, || format!("seed {seed}: all are over"));
        for (at, (number, tag, said)) in running.iter().enumerate() {
            let case = format!("seed {seed}, chunk {number}");
            one_or_neither(&world, tag, &format!("attempt {at}_"), &case);
            judge(&world, said, tag, &case);
        }
        world.shut_down();
    }
}

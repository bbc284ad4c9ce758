//! Consumers take events: what they acknowledge is done once, whoever dies, however often the coordinator comes again, and whatever
//! becomes of their transactions.

use super::sim::Sim;
use super::world::{End, Nature, SECOND, State, spec};
use crate::async_event::spec::*;
use crate::coordinator::topics::Topics;
use crate::launcher::pulls::{Question, Ticket, Wanted};

const NO_ROTATION: (u64, u64) = (1 << 40, 1 << 60);

fn pulled(id: u32) -> Spec {
    Spec { pull: true, max_attempts: 1000, backoff_us: SECOND / 10, cap_us: SECOND, ..spec(id, "a") }
}

impl State {
    fn ask(&mut self, number: u64, wanted: Wanted) {
        self.questions.push(Question { ticket: Ticket::of(number), handler: 1, wanted });
    }

    /// A consumer's transaction that has said this of an event commits.
    fn say(&mut self, lease: i64, event: i64, fate: LeaseFate) {
        let of = self.consumer_leases.get_mut(&lease).unwrap();
        of.busy = false;
        let handler = of.handler;
        assert_eq!(of.events.insert(event, Some(fate.clone())), Some(None));
        if fate == LeaseFate::Acknowledged {
            let logged = self.logged(event, handler);
            logged.effects += 1;
            assert_eq!(logged.end.replace(End::Done), None, "{event} is acknowledged twice");
        }
        self.emit_as("", Nature::Good, |row| row.command = Some(EventCommand::Told(lease)));
    }
}

impl Sim {
    /// A consumer asks; the coordinator is told, and answers.
    fn ask(&mut self, number: u64, wanted: Wanted) -> Option<(i64, Vec<i64>)> {
        self.world.set().ask(number, wanted);
        self.coordinator.tell(Topics::PULLS);
        self.step();
        let state = &mut *self.world.set();
        let at = state.answers.iter().position(|(ticket, ..)| *ticket == Ticket::of(number))?;
        let (_, lease, leases) = state.answers.remove(at);
        Some((lease, leases))
    }

    fn events_of(&self, lease: i64) -> Vec<i64> {
        self.world.get().consumer_leases.get(&lease).map_or(Vec::new(), |lease| lease.events.keys().copied().collect())
    }
}

fn events(most: u32, waits: bool) -> Wanted {
    Wanted::Events { most, lease_us: 30 * SECOND as u64, waits }
}

#[test]
fn a_consumer_gets_what_there_is_and_waits_for_it_only_if_it_says_so() {
    let mut sim = Sim::new(1, vec![pulled(1)]);
    sim.step();
    assert_eq!(sim.ask(1, events(5, false)), Some((0, vec![])), "there is nothing");
    assert_eq!(sim.ask(2, events(5, true)), None, "it waits");
    let first = sim.act(|state| state.emit("a", Nature::Good));
    sim.step();
    let answers = std::mem::take(&mut sim.world.set().answers);
    assert_eq!((answers.len(), sim.events_of(answers[0].1)), (1, vec![first]));
    assert_eq!(sim.world.get().leases.len(), 0, "no worker has it");
    // What is due later wakes who waits, then.
    assert_eq!(sim.ask(3, events(5, true)), None);
    sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += 10 * SECOND));
    sim.idle(9 * SECOND);
    assert_eq!(sim.world.get().answers.len(), 0);
    sim.idle(2 * SECOND);
    assert_eq!(sim.world.get().answers.len(), 1);
    let steps = sim.idle(8 * SECOND);
    assert!(steps < 10, "{steps} steps with nothing to do");
}

#[test]
fn a_lease_that_runs_out_is_an_attempt_also_for_the_next_coordinator_and_none_while_somebody_acknowledges() {
    for restarts in [false, true] {
        let mut sim = Sim::new(1, vec![pulled(1)]);
        let id = sim.act(|state| state.emit("a", Nature::Good));
        let (lease, _) = sim.ask(1, events(1, false)).unwrap();
        sim.idle(20 * SECOND);
        if restarts {
            sim.restart(NO_ROTATION);
        }
        sim.idle(9 * SECOND);
        assert_eq!(sim.ask(2, events(1, false)).unwrap().0, 0, "the lease lasts");
        assert_eq!(sim.ask(3, Wanted::Leases { events: vec![id, 99], lease_us: None }).unwrap().1, [lease, 0]);
        sim.world.set().consumer_leases.get_mut(&lease).unwrap().busy = true;
        sim.idle(60 * SECOND);
        assert_eq!(sim.ask(4, events(1, false)).unwrap().0, 0, "somebody is about to acknowledge it");
        sim.world.set().consumer_leases.get_mut(&lease).unwrap().busy = false;
        sim.idle(3 * SECOND);
        let (next, _) = sim.ask(5, events(1, false)).unwrap();
        assert_eq!((sim.events_of(next), sim.world.get().log[&(id, 1)].attempts), (vec![id], 2));
        sim.act(|state| state.say(next, id, LeaseFate::Acknowledged));
        sim.settle(5);
        assert_eq!(sim.world.get().told, [id]);
    }
}

#[test]
fn leases_are_extended_and_do_not_mind_the_clock() {
    let mut sim = Sim::new(1, vec![pulled(1)]);
    let id = sim.act(|state| state.emit("a", Nature::Good));
    let (lease, _) = sim.ask(1, events(1, false)).unwrap();
    sim.idle(20 * SECOND);
    assert_eq!(sim.ask(2, Wanted::Leases { events: vec![id], lease_us: Some(40 * SECOND as u64) }).unwrap().1, [lease]);
    for by in [-3600 * SECOND, 7200 * SECOND] {
        sim.world.set().wall += by;
        sim.idle(15 * SECOND);
        assert_eq!(sim.ask(3, events(1, false)).unwrap().0, 0);
    }
    // Of one that the next coordinator finds no more is left than it had.
    sim.world.set().wall -= 7200 * SECOND;
    sim.restart(NO_ROTATION);
    sim.idle(39 * SECOND);
    assert_eq!(sim.ask(4, events(1, false)).unwrap().0, 0);
    sim.idle(2 * SECOND);
    let (next, _) = sim.ask(5, events(1, false)).unwrap();
    assert_eq!(sim.events_of(next), [id]);
}

#[test]
fn of_an_ordered_handler_one_of_a_key_is_leased_at_a_time_and_none_of_a_paused_one() {
    let mut sim = Sim::new(1, vec![Spec { ordered: true, ..pulled(1) }]);
    let keys = [Some(b"k".to_vec()), Some(b"k".to_vec()), Some(b"l".to_vec())];
    let ids = sim.act(|state| keys.map(|key| state.emit_as("a", Nature::Good, |event| event.key = key)));
    let (lease, _) = sim.ask(1, events(9, false)).unwrap();
    assert_eq!(sim.events_of(lease), [ids[0], ids[2]]);
    assert_eq!(sim.ask(2, events(9, false)).unwrap().0, 0);
    sim.act(|state| state.say(lease, ids[0], LeaseFate::GivenBack { message: b"no".to_vec(), next_at: Some(0) }));
    let (again, _) = sim.ask(3, events(9, false)).unwrap();
    assert_eq!(sim.events_of(again), [ids[0]]);
    sim.act(|state| state.say(again, ids[0], LeaseFate::Acknowledged));
    sim.world.set().spec(1, |spec| spec.paused = true);
    sim.coordinator.tell(Topics::HANDLERS);
    assert_eq!(sim.ask(4, events(9, false)).unwrap().0, 0);
    assert_eq!(sim.ask(5, events(9, true)), None);
    sim.world.set().spec(1, |spec| spec.paused = false);
    sim.coordinator.tell(Topics::HANDLERS);
    sim.step();
    assert_eq!(sim.events_of(sim.world.get().answers[0].1), [ids[1]]);
    // With its handler all of it ends.
    sim.world.set().specs.clear();
    sim.coordinator.tell(Topics::HANDLERS);
    sim.settle(120);
    assert_eq!(sim.coordinator.events.stats(0).len(), 0);
}

#[test]
fn what_consumers_acknowledge_is_done_once_whatever_fails() {
    for seed in 1..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = Sim::new(seed, vec![Spec { ordered: seed % 3 == 0, ..pulled(1) }]);
        if seed % 2 == 0 {
            sim.most_held = 7;
            sim.coordinator.events.set_most_held(7);
        }
        // Open transactions: what they say of which lease.
        let mut open: Vec<(i64, i64, LeaseFate)> = Vec::new();
        let mut number = 0;
        for round in 0..600 {
            sim.world.set().faults = if seed % 5 == 0 && round < 400 { 0.05 } else { 0.0 };
            match rng.u32(..12) {
                0..3 if round < 300 => {
                    let key = Some(vec![b'a' + rng.u8(..3)]);
                    sim.act(|state| _ = state.emit_as("a", Nature::Good, |event| event.key = key));
                }
                3..7 => {
                    number += 1;
                    let wanted = Wanted::Events { most: rng.u32(1..5), lease_us: rng.u64(1..3 * SECOND as u64), waits: rng.bool() };
                    sim.world.set().ask(number, wanted);
                    sim.coordinator.tell(Topics::PULLS);
                    sim.due = 0;
                }
                // Who waits goes.
                7 => sim.world.set().questions.clear(),
                8 if rng.u32(..10) == 0 => {
                    sim.restart((2000, 5 * SECOND as u64));
                    // It looks at all that is asked.
                    sim.coordinator.tell(Topics::PULLS);
                }
                // Transactions end.
                _ => {
                    for (lease, event, fate) in std::mem::take(&mut open) {
                        if rng.bool() {
                            sim.act(|state| state.say(lease, event, fate));
                        } else {
                            sim.world.set().consumer_leases.get_mut(&lease).unwrap().busy = false;
                        }
                    }
                }
            }
            let answers = std::mem::take(&mut sim.world.set().answers);
            // Some consumers die with what they got.
            for (_, lease, _) in answers.into_iter().filter(|(_, lease, _)| *lease != 0) {
                if rng.u32(..4) == 0 {
                    continue;
                }
                let state = &mut *sim.world.set();
                let of = state.consumer_leases.get_mut(&lease).unwrap();
                if let Some((event, _)) = of.events.iter().find(|(_, fate)| fate.is_none())
                    && !open.iter().any(|(other, ..)| *other == lease)
                {
                    of.busy = true;
                    let back = LeaseFate::GivenBack { message: b"no".to_vec(), next_at: None };
                    open.push((lease, *event, if rng.u32(..4) == 0 { back } else { LeaseFate::Acknowledged }));
                }
            }
            let until = sim.world.get().mono + rng.u64(..SECOND as u64 / 4);
            sim.pass(until);
            if sim.world.get().mono >= sim.due {
                _ = sim.try_step();
            }
        }
        // Whoever is left handles the rest.
        sim.world.set().questions.clear();
        for (lease, ..) in open {
            sim.world.set().consumer_leases.get_mut(&lease).unwrap().busy = false;
        }
        for _ in 0..3000 {
            if sim.world.get().outstanding().is_empty() {
                break;
            }
            number += 1;
            if let Some((lease, _)) = sim.ask(number, events(10, false)).filter(|(lease, _)| *lease != 0) {
                for event in sim.events_of(lease) {
                    sim.act(|state| state.say(lease, event, LeaseFate::Acknowledged));
                }
            }
            sim.idle(SECOND / 2);
        }
        let state = sim.world.get();
        assert_eq!(state.outstanding(), [], "seed {seed}");
        assert!(state.log.values().all(|logged| logged.end != Some(End::Done) || logged.effects == 1), "seed {seed}");
        assert!(state.log.values().filter(|logged| logged.effects == 1).count() > 20, "seed {seed}");
    }
}

//! Partitions are left when they are large or old, emptied when all has ended, and nothing stays behind.

use super::sim::Sim;
use super::world::{End, Nature, SECOND, spec};

fn sim(max_bytes: u64, seconds: i64) -> Sim {
    let mut sim = Sim::new(1, vec![spec(1, "a"), spec(2, "a")]);
    sim.coordinator.events.set_rotation(max_bytes, (seconds * SECOND) as u64);
    sim
}

fn rows(sim: &Sim) -> [usize; 3] {
    let state = sim.world.get();
    [0, 1, 2].map(|partition| state.rows.values().filter(|row| row.event.partition == partition).count())
}

#[test]
fn tables_stay_as_small_as_they_may_be() {
    let mut sim = sim(1000, 1_000_000);
    for n in 0..200 {
        sim.act(|state| (0..5).for_each(|_| _ = state.emit("a", Nature::Good)));
        sim.idle(SECOND);
        assert!(rows(&sim).iter().sum::<usize>() <= 50, "{n}: {:?}", rows(&sim));
    }
    assert!(sim.world.get().calls["rotate"] > 20);
    assert_eq!(sim.world.get().log.values().filter(|logged| logged.end == Some(End::Done)).count(), 2000);
}

#[test]
fn age_counts_where_there_is_anything() {
    let mut sim = sim(1 << 40, 60);
    sim.idle(600 * SECOND);
    assert_eq!(sim.coordinator.events.current(), 0);
    sim.act(|state| state.emit("a", Nature::Good));
    sim.idle(70 * SECOND);
    assert_eq!((sim.coordinator.events.current(), rows(&sim)), (1, [0; 3]));
}

#[test]
fn what_is_outstanding_is_counted_and_keeps_its_partition() {
    let mut sim = sim(300, 1_000_000);
    let id = sim.act(|state| state.emit_as("a", Nature::Good, |event| event.run_at += 500 * SECOND));
    sim.act(|state| (0..5).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.idle(100 * SECOND);
    assert_eq!((sim.coordinator.events.current(), sim.coordinator.events.outstanding()), (1, [2, 0, 0]));
    assert_eq!(rows(&sim), [6, 0, 0]);
    sim.act(|state| state.cancel(id));
    sim.idle(10 * SECOND);
    assert_eq!((rows(&sim)[0], sim.coordinator.events.outstanding()), (0, [0; 3]));
}

#[test]
fn late_events_stay_as_long_as_they_are_in_nobodys_way_and_the_fewer_of_them_are_taken_along() {
    let mut sim = sim(1 << 40, 60);
    let late = |sim: &mut Sim, count: usize| {
        sim.act(|state| (0..count).map(|_| state.emit_as("a", Nature::Good, |event| event.run_at += 7200 * SECOND)).collect::<Vec<i64>>())
    };
    let many = late(&mut sim, 3000);
    // One of their handlers had them already.
    sim.act(|state| many.iter().for_each(|id| state.logged(*id, 2).end = Some(End::Done)));
    sim.restart((1 << 40, 60 * SECOND as u64));
    sim.idle(70 * SECOND);
    let few = late(&mut sim, 1200);
    let mut places = Vec::new();
    for _ in 0..30 {
        sim.act(|state| state.emit("a", Nature::Good));
        sim.idle(60 * SECOND);
        let state = sim.world.get();
        places.push(state.rows[&few[0]].event.partition);
        assert!(many.iter().all(|id| state.rows[id].event.partition == 0), "many stay");
        assert!(few.iter().any(|id| state.rows[id].event.partition != 0), "few do not come to them");
        assert_eq!(sim.coordinator.events.outstanding().iter().sum::<u64>(), 3000 + 2 * 1200);
        let stats = sim.coordinator.events.stats(state.wall);
        assert_eq!((stats[0].delayed, stats[1].delayed), (4200, 1200));
    }
    places.dedup();
    assert!(places.len() >= 4, "{places:?}");
    sim.world.set().batch_us = 10;
    sim.settle(7200);
    assert!(sim.world.get().log.values().all(|logged| logged.end == Some(End::Done)));
}

#[test]
fn keys_are_compacted_each_second_though_no_partition_can_be_emptied() {
    let mut sim = sim(1 << 40, 1_000_000);
    sim.act(|state| state.insert("a", Nature::Good, |_| {}));
    for _ in 0..50 {
        sim.act(|state| state.emit("a", Nature::Good));
        sim.idle(SECOND / 5);
    }
    let compacted = sim.world.get().calls.get("compact_keys").copied();
    assert!((8..=11).contains(&compacted.unwrap_or(0)), "{compacted:?}");
}

#[test]
fn what_runs_is_not_taken_along_and_its_partition_waits() {
    let mut sim = sim(1 << 40, 10);
    sim.world.set().batch_us = 1;
    sim.act(|state| state.emit("a", Nature::Good));
    sim.step();
    for lease in sim.world.set().leases.values_mut() {
        lease.finishes_at += 100 * SECOND as u64;
    }
    sim.idle(95 * SECOND);
    assert_eq!((sim.coordinator.events.current(), rows(&sim)), (1, [1, 0, 0]));
    assert!(!sim.world.get().calls.contains_key("carry_over"));
    sim.idle(10 * SECOND);
    assert_eq!(rows(&sim), [0; 3]);
}

#[test]
fn events_of_a_slow_transaction_are_like_all_others() {
    let mut sim = sim(300, 1_000_000);
    let slow = sim.act(|state| state.insert("a", Nature::Good, |_| {}));
    sim.act(|state| (0..5).for_each(|_| _ = state.emit("a", Nature::Good)));
    sim.idle(20 * SECOND);
    assert_eq!((sim.coordinator.events.current(), rows(&sim)), (1, [6, 0, 0]));
    // Neither fetched nor told of, it keeps the partition from being emptied.
    sim.world.set().commit(slow);
    sim.idle(20 * SECOND);
    assert_eq!((sim.world.get().ended(slow, 1), rows(&sim)), (Some(End::Done), [0; 3]));
}

#[test]
fn no_partition_is_touched_while_it_is_not_known_which_is_current() {
    let mut sim = sim(300, 5);
    for round in 0..20 {
        sim.world.set().broken = if round % 2 == 0 { vec!["rotate"] } else { vec![] };
        sim.act(|state| (0..5).for_each(|_| _ = state.emit("a", Nature::Fails(1))));
        for _ in 0..30 {
            let until = sim.world.get().mono + SECOND as u64 / 10;
            sim.pass(until);
            _ = sim.try_step();
        }
    }
    sim.world.set().broken.clear();
    sim.settle(100);
    assert_eq!(sim.coordinator.events.current(), sim.world.get().current);
}

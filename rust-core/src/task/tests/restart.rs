//! What a restart of the server leaves of the table: its journal.

use super::*;
use crate::task::journal::{self, RECORD};

#[test]
fn what_a_restart_swallows_comes_back_as_lost() {
    let t = leak(6, 0);
    t.seed_ids(40);
    let mut file = vec![None; 6];
    let write = |file: &mut Vec<_>, ticket: Ticket| file[ticket.index as usize] = t.record(ticket);
    let pending = t.filling();
    assert!(t.offer(pending, TaskState::Pending));
    let (queued, running, done, ending) = (t.queued(), t.running(lease(0, 1)), t.done(30), t.running(lease(0, 2)));
    assert!(t.entries[ending.index as usize].leave(ending.id, lease(0, 2), TaskState::Ending));
    let announced = t.filling();
    [pending, queued, running, done, ending].into_iter().for_each(|ticket| write(&mut file, ticket));
    file[announced.index as usize] = t.record_as(announced, TaskState::Queued);

    let after = leak(6, 0);
    assert_eq!(after.recover(99, &mut |index| file.get(index as usize).copied().flatten()), 4);
    for ticket in [queued, running, ending, announced] {
        let view = after.view(ticket.index).unwrap();
        assert_eq!((view.card.ticket, view.card.state, view.finished), (ticket, TaskState::Lost, Some(99)));
        assert_eq!((view.card.owner, view.card.key, view.sqlstate, view.card.submitted), (77, KEY, CRASH_SHUTDOWN, 1));
        assert_eq!((&view.command[..], &view.label[..]), (&b"select"[..], &b"label"[..]));
        assert_eq!(view.message, b"the server was restarted before the task ended");
        assert_eq!(view.started, (ticket == running || ticket == ending).then_some(20));
    }
    assert!(after.state(pending).is_none() && after.state(done).is_none());
    assert_eq!(after.filling().id, announced.id + 1);

    // Their records say so from now on: once is enough.
    let mut again: Vec<_> = file.clone();
    for (index, record) in (0..).zip(&mut again) {
        *record = after.view(index).and_then(|view| after.record(view.card.ticket)).or(*record);
    }
    let third = leak(6, 0);
    assert_eq!(third.recover(100, &mut |index| again.get(index as usize).copied().flatten()), 0);
    assert_eq!(third.filling().id, announced.id + 1);
}

#[test]
fn a_journal_in_memory_is_made_to_tell_of_what_is_lost() {
    let t = leak(3, 0);
    let (queued, free) = (t.queued(), t.queued());
    let mut journal = [t.record(queued).unwrap(), [0; RECORD], [0; RECORD]].concat();
    journal[RECORD..2 * RECORD].copy_from_slice(&t.record_as(free, TaskState::Done).unwrap());
    let done = journal[RECORD..2 * RECORD].to_vec();
    let after = leak(3, 0);
    assert_eq!(after.recover_from(99, &mut journal), 1);
    assert_eq!(after.view(queued.index).unwrap().card.state, TaskState::Lost);
    assert_eq!(journal[RECORD..2 * RECORD], done, "what is no task any more keeps its id");
    assert_eq!(leak(3, 0).recover_from(100, &mut journal), 0, "it is lost once");
}

#[test]
fn a_file_of_a_larger_table_is_read_to_its_end() {
    let t = leak(8, 0);
    let tickets: Vec<_> = (0..8).map(|_| t.queued()).collect();
    let file: Vec<_> = tickets.iter().map(|&ticket| t.record(ticket)).collect();
    let small = leak(3, 0);
    let read = |index: u32| file.get(index as usize).copied().flatten().filter(|_| index != 1);
    assert_eq!(small.recover(9, &mut |index| read(index)), 3, "the third takes the place without a record");
    assert!(small.find(tickets[0].id).is_some() && small.find(tickets[2].id).is_some() && small.find(tickets[3].id).is_some());
    assert_eq!(small.submit(&new(1, b""), 10).unwrap().0.id, 9);
}

#[test]
fn a_torn_or_foreign_record_is_ignored() {
    let t = leak(2, 0);
    let record = t.record(t.queued()).unwrap();
    let newer = t.record(t.queued()).unwrap();
    let lost = |record: &[u8; RECORD], at: u32| leak(2, 0).recover(9, &mut |index| (index == at).then_some(*record));
    assert_eq!((lost(&record, 0), lost(&newer, 1)), (1, 1));
    assert_eq!((lost(&record, 1), lost(&[0; RECORD], 0), lost(&[0xff; RECORD], 0)), (0, 0, 0), "of another place, or none");
    for at in 0..RECORD {
        let mut broken = record;
        broken[at] ^= 0x10;
        assert_eq!(lost(&broken, 0), 0, "byte {at}");
    }
    let old = record;
    t.entries[0].command.set(b"another");
    let mut torn = t.record(Ticket { index: 0, id: 1 }).unwrap();
    torn[512..].copy_from_slice(&old[512..]);
    assert_eq!(lost(&torn, 0), 0, "one sector written, the next not");
}

#[test]
fn a_record_that_lies_is_read_within_its_bounds() {
    let t = leak(1, 0);
    let record = t.record(t.queued()).unwrap();
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..2000 {
        let mut record = record;
        (0..8).for_each(|_| record[rng.usize(24..RECORD)] = rng.u8(..));
        [64, 65, 578, 579].into_iter().for_each(|length_at| record[length_at] = rng.u8(..));
        record[24] = TaskState::Queued as u8;
        let after = leak(1, 0);
        assert_eq!(after.recover(9, &mut |index| (index == 0).then(|| journal::sealed(record))), 1);
        assert!(after.view(0).is_some_and(|view| view.command.len() <= 512 && view.label.len() <= 64));
    }
}

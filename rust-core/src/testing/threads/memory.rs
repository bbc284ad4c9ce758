//! No memory for the n-th thing that is asked for, of either side, for every n: what is asked for is done or is the
//! error that says so, what is said of it is true, nobody ends, and everybody can go on.

use super::caller::{Client, ClientError};
use super::sessions::read_all;
use super::tasks::forget_all;
use super::world::{Proc, World};
use crate::host::{Arg, ArgForm, Column};
use crate::memory::tests::{Refusal, refuse, was_refused};
use crate::pool::slot::SlotState;
use crate::report::*;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Whose memory is short: the caller's, or that of the workers and of what is called in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Caller,
    Workers,
}

/// A command, and the tag that is committed if it is done.
type Played = Vec<(&'static str, Result<(), ClientError>)>;

const SEVEN: [u8; 8] = 7u64.to_ne_bytes();

/// Longer than a ring.
fn long(tag: &str) -> String {
    format!("put {tag}; put {}; rows 3 6000 xy; notice n", "x".repeat(70_000))
}

/// Nothing failed but for want of memory, and what is said to be committed is, once.
fn truth(world: &World, played: &Played, case: &str) {
    for (tag, told) in played {
        let committed = world.times(tag);
        match told {
            Ok(()) => assert!(tag.is_empty() || committed == 1, "{case}: {tag} is done"),
            Err(ClientError::Report(report)) => {
                assert_eq!(report.sqlstate, OUT_OF_MEMORY, "{case}: {tag}: {report:?}");
                let detail = String::from_utf8_lossy(report.get(Field::Detail).unwrap_or_default());
                let says = ["already committed", "had committed"].iter().any(|words| detail.contains(words));
                assert!(tag.is_empty() || committed == usize::from(says), "{case}: {tag}: {report:?}");
            }
            Err(told) => panic!("{case}: {tag}: {told:?}"),
        }
    }
    assert!(!world.committed("never"), "{case}");
}

/// Each n, on each side, until nothing is refused any more; the fewest there are to be.
fn each(
    world: impl Fn() -> Arc<World>,
    play: impl Fn(&Client) -> Played,
    afterwards: impl Fn(&Arc<World>, &Client, &str),
    least: [u64; 2],
) {
    for (side, least) in [Side::Caller, Side::Workers].into_iter().zip(least) {
        for nth in 1.. {
            let (world, case) = (world(), format!("{side:?}, {nth}"));
            let client = Client::new(&world);
            let refusal = Refusal::of(nth);
            match side {
                Side::Caller => refuse(nth),
                Side::Workers => *world.refusal.lock().unwrap() = refusal.clone(),
            }
            let played = play(&client);
            let met = if side == Side::Caller { was_refused() } else { refusal.was_met() };
            refuse(0);
            refusal.end();
            truth(&world, &played, &case);
            let failed = played.iter().any(|(_, told)| told.is_err());
            assert!(met || !failed, "{case}: {played:?}");
            let stays = |process: &Arc<Proc>| !process.gone.load(SeqCst) && !process.die.load(SeqCst);
            assert!(world.launched.lock().unwrap().values().all(stays), "{case}: every worker stays");
            afterwards(&world, &client, &case);
            if !met {
                assert!(nth > least, "{case}: {nth} allocations");
                break;
            }
        }
    }
}

/// Every worker can be had by anybody.
fn everybody_goes_on(world: &Arc<World>, client: &Client, case: &str) {
    world.settle();
    for n in 0..world.area.slots.len() {
        client.call(&format!("put after{n}")).unwrap_or_else(|told| panic!("{case}: {told:?}"));
        Client::new(world).call(&long(&format!("other{n}"))).unwrap_or_else(|told| panic!("{case}: {told:?}"));
    }
    world.shut_down();
}

#[test]
fn a_call_without_memory_is_an_error_and_the_next_one_works() {
    let play = |client: &Client| {
        let args = || {
            vec![
                Arg { type_oid: 23, form: ArgForm::ByValue, data: &SEVEN },
                Arg { type_oid: 25, form: ArgForm::Text, data: b"text" },
                Arg { type_oid: 25, form: ArgForm::Null, data: b"" },
            ]
        };
        let columns = || vec![Column { type_oid: 25, typmod: -1, by_text: 0, name: b"column" }];
        let raised = match client.call("put never; raise oops") {
            Err(ClientError::Report(report)) if report.sqlstate == SYNTAX_ERROR => Ok(()),
            other => other.map(drop),
        };
        let full = |command: &str| {
            let command = format!("{command} $1 $2 $3");
            client.call_as(&command, |call| (call.args, call.columns) = (args(), columns())).map(drop)
        };
        vec![
            ("a", full("put a; rows 2 30 xyz; notice n")),
            ("", raised),
            ("b", full(&long("b"))),
            ("", full("rows 2 3 xyz")),
            ("", full("rows 2 3 xyz")),
            ("c", client.call("put c; nest put d, notice n, rows 2 3 xyz").map(drop)),
        ]
    };
    each(|| World::new(2), play, everybody_goes_on, [20, 15]);
}

#[test]
fn a_session_without_memory_goes_on() {
    let play = |client: &Client| {
        let mut played = vec![("", client.open("s"))];
        if played[0].1.is_err() {
            return played;
        }
        let read = || match read_all(client, "s") {
            // Nothing was read, so nothing is lost.
            Err(ClientError::Report(report))
                if report.get(Field::Detail) == Some(b"There was no memory for an autonomous transaction.") =>
            {
                read_all(client, "s")
            }
            told => told,
        };
        played.push(("a", client.exec("s", "put a; rows 2 3 xyz; notice n").map(drop)));
        played.push(("b", client.exec("s", &long("b")).map(drop)));
        let sent = client.send("s", "rows 40 600 xyz; put c; notice n; rows 2 3 xyz");
        played.push(("c", sent.and_then(|()| read().map(drop))));
        played.push(("", client.close("s")));
        played
    };
    let afterwards = |world: &Arc<World>, client: &Client, case: &str| {
        // It may not have been opened, or not been closed.
        if client.exec("s", "put first").is_err() {
            client.open("s").unwrap_or_else(|told| panic!("{case}: {told:?}"));
        }
        client.exec("s", "put again").unwrap_or_else(|told| panic!("{case}: {told:?}"));
        client.close("s").unwrap_or_else(|told| panic!("{case}: {told:?}"));
        assert_eq!(world.count(SlotState::Held), 0, "{case}");
        everybody_goes_on(world, client, case);
    };
    each(|| World::new(2), play, afterwards, [20, 15]);
}

#[test]
fn a_task_without_memory_ends_and_says_so() {
    let play = |client: &Client| {
        let mut played = Vec::new();
        let command = long("b");
        for (tag, command) in [("a", "put a; notice n; rows 2 3 xyz; rows 1 4 long"), ("b", &command), ("c", "put c; async put d")] {
            let told = client.submit(command).map(|id| {
                let waited = client.wait(&[id], None).map(drop);
                client.world.tasks_end("what was submitted");
                // Who could not read has lost nothing: it is what the task says that is to be true.
                waited.and_then(|()| client.task_result(id)).or_else(|told| match told {
                    ClientError::Report(report) if report.sqlstate == OUT_OF_MEMORY && client.world.committed(tag) => {
                        client.task_result(id)
                    }
                    told => Err(told),
                })
            });
            played.push((tag, told.and_then(|told| told)));
        }
        played
    };
    let afterwards = |world: &Arc<World>, client: &Client, case: &str| {
        world.nobody_waits(case);
        client.submit("put after").and_then(|id| client.task_result(id)).unwrap_or_else(|told| panic!("{case}: {told:?}"));
        forget_all(world, case);
    };
    each(|| World::with_tasks(2, 8, 40), play, afterwards, [20, 15]);
}

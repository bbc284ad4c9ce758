//! What the simulated server can run.
//!
//! A command is statements separated by semicolons: `put TAG` writes, `commit` commits in the midst of
//! a body, `rows N LEN FILL` returns rows, `wait DOOR` can be interrupted, `stuck DOOR` can only be
//! ended, `hang DOOR` not even that, `lock` waits for the caller's lock, `nest COMMAND` calls, `alone` sees that nobody else runs anything, `iam
//! DATABASE USER` says whose call it is, `show` returns who the worker became. `lock NAME` takes a lock, to the
//! end of the transaction; `begin`, `commit` and `rollback` are a session's; `async COMMAND` submits a task and
//! waits for it. More words, as `$1`, are parameters that nothing is done with.

use super::caller::{Client, ClientError};
use super::worker::{Block, FakeWorker};
use super::world::Fault;
use crate::host::{World as World_, *};
use crate::pool::slot::{Key, Owed, Slot, SlotState};
use crate::report::*;
use std::sync::atomic::Ordering::*;

impl FakeWorker<'_> {
    /// Deferred triggers talk, where a test wants it.
    fn deferred(&self) {
        if self.world.is_open("deferred triggers talk") {
            let said = Report { severity: Severity::Notice, ..Report::error(0, "deferred") };
            self.worker.message(self, said, None);
        }
    }

    /// The gate, the commit record, and what comes after.
    pub(super) fn commit_now(&self) -> Result<(), Saved> {
        let xid = self.world.next_xid.fetch_add(1, SeqCst);
        self.deferred();
        self.worker.settle(self).or_else(|stop| self.stopped(stop))?;
        if !self.worker.gate_pre_commit(xid) {
            return self.fail(QUERY_CANCELED, "canceling autonomous transaction");
        }
        self.try_step("commit:gated")?;
        self.pass("commit:waits");
        let pending = if self.world.is_open("lose commits") { Vec::new() } else { self.pending.take() };
        self.world.commits.lock().unwrap().extend(pending.into_iter().map(|tag| (xid, tag)));
        if self.world.is_open("callers wait for commits") && self.worker.caller_waits() {
            self.worker.owe(Owed { position: xid, level: 3 });
        }
        if self.world.step("commit:recorded") == Some(Fault::Die) {
            self.exit();
        }
        if self.worker.gate_committed() {
            self.me.cancel.store(true, SeqCst);
        }
        self.block.set(Block::None);
        self.world.unlock(self.me.pid);
        // A commit in the midst of a body is not the request's last: then nothing is sent here.
        self.worker.commit_settled(self);
        self.pass("commit:settled");
        if self.world.is_open("chatty") {
            let late = Report { severity: Severity::Warning, ..Report::error(0, "late") };
            self.worker.message(self, late, None);
        }
        self.try_step("commit:settled")
    }

    /// Stand at a step where a test that ordered it holds us, until it opens the door of that name.
    pub(super) fn pass(&self, step: &'static str) {
        if self.world.is_open(&format!("hold {step}")) {
            self.world.open(&format!("at {step}"));
            while !self.world.is_open(step) && !self.me.die.load(SeqCst) {
                self.me.nap(1000);
            }
        }
    }

    fn answer(&self, row: &str, sink: &mut dyn RowSink) -> Result<(), Saved> {
        self.try_step("sink")?;
        sink.row(row.as_bytes()).or_else(|stop| self.stopped(stop))
    }

    /// Run one statement; rows that it returned.
    pub(super) fn statement(&self, text: &str, sink: &mut dyn RowSink) -> Result<u64, Saved> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |i: usize| words[i].parse::<usize>().unwrap();
        match words[0] {
            "ok" => {}
            "alone" => {
                let leased = |slot: &&Slot| matches!(slot.state().0, SlotState::Busy | SlotState::Held | SlotState::Tasked);
                let runs = |slot: &&Slot| leased(slot) && slot.taken(slot.state().1) && slot.finished(slot.state().1).is_none();
                let running = self.world.area.slots.iter().filter(runs).count();
                if running > 1 {
                    self.world.violations.lock().unwrap().push(format!("{running} run at a time"));
                }
            }
            "put" => self.pending.borrow_mut().push(words[1].into()),
            "begin" => self.block.set(Block::Open),
            "rollback" => self.end_block(),
            "commit" if self.block.get() == Block::Failed => self.end_block(),
            "commit" if self.block.get() == Block::Open => self.block.set(Block::Ending),
            "commit" => self.commit_now()?,
            "rows" => {
                if self.described.get() {
                    let columns = [Column { type_oid: 25, typmod: -1, by_text: 0, name: b"column" }];
                    sink.describe(&columns).or_else(|stop| self.stopped(stop))?;
                }
                let row = words[3].repeat(number(2) / words[3].len());
                for _ in 0..number(1) {
                    self.try_step("sink")?;
                    sink.row(row.as_bytes()).or_else(|stop| self.stopped(stop))?;
                }
                return Ok(number(1) as u64);
            }
            "cut" => {
                let (last, mut low) = (number(4), number(1));
                for _ in 0..number(3) {
                    if low > last {
                        break;
                    }
                    let high = (low + number(2) - 1).min(last);
                    self.answer(&format!("{low}|{high}|{}|{}", high + 1 - low, high + 1), sink)?;
                    low = high + 1;
                }
            }
            "answer" => words[1..].iter().try_for_each(|row| self.answer(row, sink))?,
            "refuse" if words[1] == words[2] => return self.fail(SYNTAX_ERROR, words[1]),
            "refuse" => {}
            "notice" => {
                let notice = Report { severity: Severity::Notice, ..Report::error(0, words[1]) };
                self.worker.message(self, notice, None);
            }
            "raise" => return self.fail(SYNTAX_ERROR, words[1]),
            "fatal" => {
                *self.error.borrow_mut() = Report { severity: Severity::Fatal, ..Report::error(INTERNAL_ERROR, "fatal") };
                return Err(Saved);
            }
            "die" => self.exit(),
            "nap" => (0..number(1)).try_for_each(|_| self.sleep(1).map(|_| ()))?,
            "wait" => {
                self.world.open(&format!("at {}", words[1]));
                while !self.world.is_open(words[1]) {
                    self.sleep(1000)?;
                }
            }
            "stuck" => {
                self.world.open(&format!("at {}", words[1]));
                while !self.world.is_open(words[1]) && !self.me.die.load(SeqCst) {
                    self.ring();
                    self.me.nap(1000);
                }
                if self.me.die.load(SeqCst) {
                    self.interrupts()?;
                }
            }
            "hang" => {
                self.world.open(&format!("at {}", words[1]));
                while !self.world.is_open(words[1]) {
                    self.me.nap(1000);
                }
            }
            "lock" if words.len() == 2 => return self.lock(words[1]),
            "async" => {
                let nested = Client::nested(&self.world, self.me.clone(), self.key, self.worker.depth());
                let told = nested.submit(&words[1..].join(" ").replace(',', ";")).and_then(|id| nested.task_result(id));
                if let Err(told) = told {
                    return self.fail_as(told);
                }
            }
            "lock" => {
                let slot = self.world.area.slots.iter().find(|s| s.worker_pid.load(SeqCst) == self.me.pid).unwrap();
                self.me.waits_for.store(slot.caller_pid.load(SeqCst), SeqCst);
                let ended = loop {
                    if let Err(saved) = self.sleep(1000) {
                        break Err(saved);
                    }
                };
                self.me.waits_for.store(0, SeqCst);
                return ended;
            }
            "nest" => {
                let nested = Client::nested(&self.world, self.me.clone(), self.key, self.worker.depth());
                if let Err(told) = nested.call(&words[1..].join(" ").replace(',', ";")) {
                    return self.fail_as(told);
                }
            }
            "iam" if Key { database: number(1) as u32, user: number(2) as u32, superuser: false } != self.key => {
                let wrong = format!("{:?} served {text}", self.key);
                self.world.violations.lock().unwrap().push(wrong);
            }
            "iam" => {}
            "show" => {
                let shown = [self.identity.get().current_user.to_string().as_bytes(), b" ", &self.settings.borrow()].concat();
                sink.row(&shown).map_err(|_| Saved)?;
                return Ok(1);
            }
            other => panic!("no such statement: {other}"),
        }
        Ok(0)
    }

    /// What was said did not get through.
    fn stopped(&self, stop: SinkStop) -> Result<(), Saved> {
        match stop {
            SinkStop::Saved => Err(Saved),
            SinkStop::NoMemory => self.fail(OUT_OF_MEMORY, "out of memory"),
            SinkStop::TooMuch => self.fail(CONFIGURATION_LIMIT_EXCEEDED, "too much"),
            SinkStop::CallerGone | SinkStop::TooLong => self.fail(QUERY_CANCELED, "the caller has gone"),
        }
    }

    fn fail_as(&self, told: ClientError) -> Result<u64, Saved> {
        *self.error.borrow_mut() = match told {
            ClientError::Report(report) => *report,
            ClientError::Saved(error, _) => Report::error(QUERY_CANCELED, error),
        };
        Err(Saved)
    }

    fn end_block(&self) {
        self.pending.borrow_mut().clear();
        self.world.unlock(self.me.pid);
        self.block.set(Block::None);
    }

    /// Take a lock, when its holder lets go of it.
    fn lock(&self, name: &str) -> Result<u64, Saved> {
        loop {
            let holder = *self.world.locks.lock().unwrap().entry(name.into()).or_insert(self.me.pid);
            if holder == self.me.pid {
                self.me.waits_for.store(0, SeqCst);
                return Ok(0);
            }
            self.me.waits_for.store(holder, SeqCst);
            if let Err(saved) = self.sleep(1000) {
                self.me.waits_for.store(0, SeqCst);
                return Err(saved);
            }
        }
    }
}

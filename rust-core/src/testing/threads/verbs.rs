//! What a client asks of sessions and tasks, as the SQL functions do.

use super::caller::{Client, ClientError};
use crate::caller::session;
use crate::caller::task::{self, End, Seen, Start};
use crate::host::Output;
use crate::task::{TaskState, TaskView};
use crate::wire::message::Ending;
use std::sync::atomic::Ordering::*;

impl Client {
    pub fn open(&self, name: &str) -> Result<(), ClientError> {
        self.ask("open", |call| session::open(self, &self.world.area, self.caller, call, Some(name.as_bytes())))
    }

    /// A command of a session; its tag.
    pub fn exec(&self, name: &str, command: &str) -> Result<String, ClientError> {
        self.ask(command, |call| {
            let ending = session::run(self, &self.world.area, self.caller, call, Some(name.as_bytes()))?;
            Ok(String::from_utf8_lossy(&ending.tag.unwrap_or_default()).into())
        })
    }

    pub fn send(&self, name: &str, command: &str) -> Result<(), ClientError> {
        self.send_as(name, command, Output::Described)
    }

    pub fn send_as(&self, name: &str, command: &str, output: Output) -> Result<(), ClientError> {
        self.ask(command, |call| {
            call.output = output;
            session::send(self, &self.world.area, self.caller, call, Some(name.as_bytes()))
        })
    }

    /// The next result of what was sent, of a statement with rows or without.
    pub fn result(&self, name: &str) -> Result<Option<(Ending, bool)>, ClientError> {
        self.ask("result", |call| session::result(self, &self.world.area, self.caller, call, Some(name.as_bytes()), true))
    }

    pub fn is_busy(&self, name: &str) -> Result<bool, ClientError> {
        self.ask("is busy", |_| session::is_busy(self, &self.world.area, self.caller, Some(name.as_bytes())))
    }

    /// Cancel what a session runs.
    pub fn cancel(&self, name: &str) -> Result<bool, ClientError> {
        self.ask("cancel", |_| session::cancel(self, &self.world.area, self.caller, Some(name.as_bytes())))
    }

    pub fn close(&self, name: &str) -> Result<(), ClientError> {
        self.ask("close", |call| session::close(self, &self.world.area, self.caller, call, Some(name.as_bytes())))
    }

    pub fn submit(&self, command: &str) -> Result<i64, ClientError> {
        self.submit_as(command, |_| {})
    }

    pub fn submit_as(&self, command: &str, adjust: impl FnOnce(&mut Start)) -> Result<i64, ClientError> {
        let clipped = &command.as_bytes()[..command.len().min(100)];
        let mut start = Start { label: b"", shown: clipped, timeout_ms: 0, quota: 0, on_commit: None, after: None };
        adjust(&mut start);
        self.ask(command, |call| {
            call.output = Output::Described;
            task::submit(self, &self.world.area, self.caller, call, &start)
        })
    }

    /// The running transaction ends.
    pub fn end_transaction(&self, commits: bool) {
        let end = if commits { End::Commit } else { End::Abort };
        task::transaction_ends(self, &self.world.area, self.caller, end);
    }

    /// Wait for one of these tasks.
    pub fn wait(&self, ids: &[i64], timeout_ms: Option<u64>) -> Result<Option<i64>, ClientError> {
        let ids: Vec<_> = ids.iter().map(|id| Some(*id)).collect();
        self.ask("wait", |call| task::wait(self, &self.world.area, self.caller, call, &ids, timeout_ms.map(|ms| ms * 1000)))
    }

    pub fn task_result(&self, id: i64) -> Result<(), ClientError> {
        self.ask("result", |call| task::result(self, &self.world.area, self.caller, call, Some(id), false))
    }

    pub fn cancel_task(&self, id: i64, grace_ms: Option<u64>) -> Result<bool, ClientError> {
        self.ask("cancel", |call| task::cancel(self, &self.world.area, self.caller, call, Some(id), grace_ms.map(|ms| ms * 1000)))
    }

    pub fn detach(&self, id: i64) -> Result<(), ClientError> {
        self.ask("detach", |_| task::detach(self, self.caller, Some(id)))
    }

    /// A task as it is now; None: it is gone.
    pub fn look(&self, id: i64) -> Option<TaskView> {
        let table = self.world.table()?;
        table.view(table.find(id as u64)?.index).filter(|view| view.card.ticket.id == id as u64)
    }

    /// The task of an id as a view shows it to this client.
    pub fn view(&self, id: i64) -> Seen {
        task::view_of(self, &self.world.area, self.caller, id).unwrap_or_else(|_| panic!("no look at task {id}"))
    }

    /// All that the view shows it, by id.
    pub fn views(&self) -> Vec<(i64, u32)> {
        let mut rows = Vec::new();
        for index in 0.. {
            match task::view(self, &self.world.area, self.caller, index).unwrap_or(Seen::Over) {
                Seen::Row(view, pid) => rows.push((view.card.ticket.id as i64, pid)),
                Seen::Hidden => {}
                Seen::Over => break,
            }
        }
        rows
    }

    pub fn state(&self, id: i64) -> Option<TaskState> {
        self.look(id).map(|view| view.card.state)
    }

    /// Take a lock that nobody has, as this client's transaction.
    pub fn lock(&self, name: &str) {
        assert_eq!(self.world.locks.lock().unwrap().insert(name.into(), self.me.pid), None);
    }

    /// The process of the worker that a slot has.
    pub fn pid_in(&self, slot: usize) -> u32 {
        self.world.area.slots[slot].worker_pid.load(SeqCst)
    }
}

//! What the world must offer to the events of a coordinator. An error leaves the world as it was, or as the call would
//! have made it: the coordinator asks again.

use super::complaints::Complaint;
use super::rate::Started;
use super::spec::{Committed, EventPlace, Fetched, GroupsEnded, LeaseNews, LeaseOver, LogEntry, Notification, Spec};
use crate::coordinator::host::Host;
use crate::coordinator::runner::Runner;
use crate::coordinator::unseen::{Snapshot, Unseen};
use crate::definition::Standing;
use crate::host::Saved;
use crate::launcher::pulls::{Question, Ticket};

/// Which events are to be fetched.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// Those that have not ended for some handler, with what the log says, and all commands.
    Open,
    /// Events of these transactions that are for one handler, or on one of these channels, and commands.
    New { unseen: &'a Unseen, channels: &'a [Vec<u8>] },
}

/// All that events need.
pub trait EventHost: Host + Runner + EventStore {}

impl<H: Host + Runner + EventStore> EventHost for H {}

/// The database, as events see it. What has a default is for worlds that do not have such a thing at all.
pub trait EventStore {
    /// All handlers, read anew.
    fn handlers(&self) -> Result<Vec<Spec>, Saved>;
    /// What handlers with a rate have begun within their periods, as the log says.
    fn started(&self) -> Result<Vec<Started>, Saved> {
        Ok(Vec::new())
    }
    /// May these run now, each as whom? In their order.
    fn standing(&self, handlers: &[&Spec]) -> Result<Vec<Standing>, Saved> {
        Ok(handlers.iter().map(|spec| Standing::Acts { owner: spec.owner, superuser: spec.owner_is_superuser }).collect())
    }
    /// What is asked for, as one snapshot sees it, and that snapshot. No more than `limit` of new events, or pairs of an open
    /// event and a handler: of new ones any, of open ones those with the lowest ids. After the pairs that are handled soon
    /// come those whose handlers are paused, or not ordered and not due soon; an event may come in both.
    fn fetch(&self, ask: Ask<'_>, limit: usize) -> Result<(Vec<Fetched>, Snapshot), Saved>;
    /// What fetches have gone by, for their snapshots saw it: of ids above this one, at least the events of channels whose
    /// handlers were made after it, and all commands.
    fn refetch(&self, since: i64, unseen: &Unseen) -> Result<Vec<Fetched>, Saved> {
        _ = (since, unseen);
        Ok(Vec::new())
    }
    /// Where all committed events lie now.
    fn places(&self) -> Result<Vec<EventPlace>, Saved> {
        Ok(Vec::new())
    }
    /// What has this handler committed for these, in their order? Of a worker that went without a word: it may have done so
    /// before.
    fn committed(&self, handler: u32, partition: u8, events: &[i64]) -> Result<Vec<Committed>, Saved> {
        _ = (handler, partition);
        Ok(events.iter().map(|_| Committed::default()).collect())
    }
    /// A number that no coordinator of these tables was given before.
    fn lease_generation(&self) -> Result<i64, Saved> {
        Ok(1)
    }
    /// What the log says of the events of these leases, and, written by this call, that the others are over: unless a
    /// transaction that has not ended has said something of their lease.
    fn lease_news(&self, leases: &[i64], over: &[LeaseOver]) -> Result<Vec<LeaseNews>, Saved> {
        _ = (leases, over);
        Ok(Vec::new())
    }
    /// What consumers ask for.
    fn questions(&self) -> Vec<Question> {
        Vec::new()
    }
    /// Answer one; false: nobody waits for that any more.
    fn answer(&self, ticket: Ticket, lease: i64, leases: &[i64]) -> bool {
        _ = (ticket, lease, leases);
        false
    }
    /// Wake who waits for the end of one of these, which have ended for all.
    fn wake_waiters(&self, events: &[i64]) {
        _ = events;
    }
    /// Of these groups, or, where none is given, of all: those that are closed, and all of whose events have ended, emit their
    /// events, in one transaction with the record of that.
    fn end_groups(&self, groups: &[i64]) -> Result<GroupsEnded, Saved> {
        _ = groups;
        Ok(GroupsEnded::default())
    }
    /// Write these in one transaction, durable before this returns.
    fn record(&self, entries: &[LogEntry]) -> Result<(), Saved>;
    /// Listen to exactly these channels.
    fn listen(&self, channels: &[Vec<u8>]) -> Result<(), Saved> {
        _ = channels;
        Ok(())
    }
    /// May this process notify a channel where not everybody may?
    fn may_notify(&self, channel: &[u8], pid: u32) -> bool {
        _ = (channel, pid);
        true
    }
    /// Notifications that have come since the last call, in commit order: some of them, where there are many, and
    /// whether there are more.
    fn notifications(&self) -> (Vec<Notification>, bool) {
        (Vec::new(), false)
    }
    /// Record notifications as events whose target is the handler, in one transaction and in their order; the
    /// next fetch returns them. An error means that none is recorded.
    fn spill(&self, notes: &[(u32, Notification)]) -> Result<(), Saved> {
        _ = notes;
        Ok(())
    }
    /// Tell the server's log of a handler.
    fn complain(&self, handler: &[u8], complaint: &Complaint) {
        _ = (handler, complaint);
    }
    /// Make a partition the one that new events go to.
    fn rotate(&self, to: u8) -> Result<(), Saved> {
        _ = to;
        Ok(())
    }
    /// Empty a partition all of whose events have ended, its log with it. False where that cannot be now: its
    /// lock is not to be had at once or, looked at under that lock, it holds rows that no fetch has seen.
    fn truncate(&self, partition: u8, unseen: &Unseen) -> Result<bool, Saved> {
        _ = (partition, unseen);
        Ok(true)
    }
    /// Copy events from an old partition into the current one, with all that the log says of them. The next fetch
    /// returns them, under their ids; what remains of them in the old partition is as if ended. Which were carried over: not those
    /// that somebody is changing.
    fn carry_over(&self, partition: u8, events: &[i64]) -> Result<Vec<i64>, Saved> {
        _ = (partition, events);
        Ok(Vec::new())
    }
    /// Give back what unique keys that are free again still take, if it is much and nobody is in the way.
    fn compact_keys(&self) -> Result<(), Saved> {
        Ok(())
    }
    /// Bytes of a partition; 0 only where it holds no row, not even one that is yet to be committed.
    fn size(&self, partition: u8) -> u64 {
        _ = partition;
        0
    }
}

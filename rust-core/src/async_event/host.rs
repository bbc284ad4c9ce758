//! What the world must offer to a coordinator. An error leaves the world as it was, or as the call would
//! have made it: the coordinator asks again.

use super::complaints::Complaint;
use super::spec::{Batch, Entry, Fetched, Notification, Outcome, Place, Spec};
use crate::definition::Standing;
use crate::host::Saved;
use crate::memory::NoMemory;

pub trait EventHost {
    /// There is no memory for something: that is the error that is kept.
    fn no_memory(&self, no: NoMemory) -> Saved;
    /// Is it?
    fn short_of_memory(&self) -> bool;
    /// Wall clock, microseconds since 2000-01-01, by which events are due; may step either way.
    fn timestamp(&self) -> i64;
    /// Monotonic microseconds.
    fn now_us(&self) -> u64;
    /// From 0 to below 1.
    fn random(&self) -> f64;
    /// All handlers, read anew.
    fn handlers(&self) -> Result<Vec<Spec>, Saved>;
    /// May these run now, each as whom? In their order.
    fn standing(&self, handlers: &[&Spec]) -> Result<Vec<Standing>, Saved>;
    /// Events and commands that became visible since the last fetch that returned all; or, `open`, the events that have
    /// not ended for some handler, with what the log says, and all commands. Were these all? If not, of the open ones
    /// `most` pairs of an event and a handler, those with the lowest ids, and of new ones any. After the pairs that are
    /// handled soon come those whose handlers are paused, or not ordered and not due soon; an event may come in both.
    /// After an error, and where these are not all: the same again.
    fn fetch(&self, open: bool, most: usize) -> Result<(Vec<Fetched>, bool), Saved>;
    /// What fetches have gone by: of ids above this one, at least the events of channels whose handlers were made
    /// after it, and all commands.
    fn look_back(&self, since: i64) -> Result<Vec<Fetched>, Saved>;
    /// Where all committed events lie now.
    fn places(&self) -> Result<Vec<Place>, Saved>;
    /// Write these in one transaction, durable before this returns.
    fn record(&self, entries: &[Entry]) -> Result<(), Saved>;
    /// Listen to exactly these channels.
    fn listen(&self, channels: &[Vec<u8>]) -> Result<(), Saved>;
    /// Notifications that have come since the last call, in commit order: some of them, where there are many, and
    /// whether there are more.
    fn notifications(&self) -> (Vec<Notification>, bool);
    /// Record notifications as events whose target is the handler, in one transaction and in their order; the
    /// next fetch returns them. An error means that none is recorded.
    fn spill(&self, notes: &[(u32, Notification)]) -> Result<(), Saved>;
    /// Tell the server's log of a handler.
    fn complain(&self, handler: &[u8], complaint: &Complaint);
    /// Have a worker run these batches, each in a transaction of its own: the number of the lease; None where no
    /// worker is to be had now. Events that the log holds as ended are Done without being run. An error means
    /// that nothing was started.
    fn start(&self, spec: &Spec, batches: &[Batch]) -> Result<Option<u64>, Saved>;
    /// Take back what the worker of a lease has not begun, but for its first `keep` batches: so many have been or
    /// will be begun, and the others never will be. None: all of them, or the lease is over.
    fn recall(&self, lease: u64, keep: usize) -> Option<usize>;
    /// What workers have said since the last call, of each lease in its order.
    fn outcomes(&self) -> Vec<(u64, Outcome)>;
    /// Make a partition the one that new events go to.
    fn rotate(&self, to: u8) -> Result<(), Saved>;
    /// Empty a partition all of whose events have ended, its log with it. False where that cannot be now: its
    /// lock is not to be had at once or, looked at under that lock, it holds rows that no fetch has returned.
    fn truncate(&self, partition: u8) -> Result<bool, Saved>;
    /// Copy events from an old partition into the current one, with all that the log says of them. The next fetch
    /// returns them, under their ids; what remains of them in the old partition is as if ended.
    fn carry_over(&self, partition: u8, events: &[i64]) -> Result<(), Saved>;
    /// Give back what unique keys that are free again still take, if it is much and nobody is in the way.
    fn compact_keys(&self) -> Result<(), Saved>;
    /// Much memory has become free: it is for others again.
    fn give_back(&self);
    /// Bytes of a partition; 0 only where it holds no row, not even one that is yet to be committed.
    fn size(&self, partition: u8) -> u64;
}

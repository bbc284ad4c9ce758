//! What a handler is, what comes in for it, what a worker is given to do, and what goes into the log.

/// Event tables that take turns: one takes new events, the others are emptied as a whole.
pub const PARTITIONS: usize = 3;

/// One handler as it is defined now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    pub id: u32,
    pub name: Vec<u8>,
    /// Empty: its owner may not handle events of its channel.
    pub channel: Vec<u8>,
    /// The role that it runs as, by what its standing was the last time.
    pub owner: u32,
    /// Where the server goes by what a role was at its authentication.
    pub owner_is_superuser: bool,
    /// Leases at a time.
    pub concurrency: u32,
    /// Events of one transaction.
    pub batch_size: u32,
    pub max_attempts: u32,
    pub backoff_us: i64,
    pub cap_us: i64,
    pub timeout_ms: u32,
    /// One event of a key at a time, in the order of their ids.
    pub ordered: bool,
    /// Notifications are recorded when they come.
    pub durable: bool,
    pub paused: bool,
    /// Events that may begin in a period; 0: any number.
    pub rate_limit: u32,
    pub rate_period_us: i64,
    /// Events of a key that may run at a time, in whatever order; 0: any number.
    pub key_concurrency: u32,
    /// It has no worker: consumers take its events.
    pub pull: bool,
    /// Not everybody may notify its channel.
    pub guarded: bool,
    /// Events of its channel up to this id are not for it.
    pub since: i64,
    /// Of channels that it had before, these are for it too.
    pub former: Vec<Former>,
    /// Another one when the definition is another one.
    pub version: u64,
    /// Dead events that the tables have.
    pub buried: u64,
}

/// Events of a channel whose ids are above `since`, and at most `until`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Former {
    pub channel: Vec<u8>,
    pub since: i64,
    pub until: i64,
}

impl Spec {
    /// Is this event of a channel, which is not for one handler alone, for it?
    pub fn takes(&self, channel: &[u8], id: i64) -> bool {
        let before = |former: &Former| former.channel == channel && (former.since + 1..=former.until).contains(&id);
        !channel.is_empty() && self.channel == channel && id > self.since || self.former.iter().any(before)
    }
}

/// An event that has become visible, or was changed, or a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The transaction that wrote it.
    pub txid: u64,
    pub partition: u8,
    /// Where it lies in its partition.
    pub tid: u64,
    pub id: i64,
    pub channel: Vec<u8>,
    /// For this handler only, whatever its channel.
    pub target: Option<u32>,
    pub key: Option<Vec<u8>>,
    pub priority: i32,
    /// When it was emitted or, `timed`, the time that was asked for: it waits until the clock says so.
    pub run_at: i64,
    pub timed: bool,
    /// Of this event alone: attempts, milliseconds of one, and the time by which it is to have begun.
    pub max_attempts: Option<u32>,
    pub timeout_ms: Option<u32>,
    pub expires: Option<i64>,
    /// Somebody has changed it since: the transaction that wrote it first, and the one that changed its time.
    pub first_txid: Option<u64>,
    pub timed_txid: Option<u64>,
    /// Its unique key is free when its first attempt begins, and not when it has ended.
    pub frees_key: bool,
    /// The group that it is of; 0: none.
    pub group: i64,
    /// At a look through all that is open: the handlers for which it is, or some of them, and what the log says.
    pub known: Vec<Known>,
    pub command: Option<EventCommand>,
}

/// Where an event lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    pub id: i64,
    pub partition: u8,
    pub tid: u64,
}

/// What is asked of the coordinator itself, by a row among the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventCommand {
    /// Do not run this event any more.
    Cancel(i64),
    /// The log has news of this lease, of a consumer.
    Told(i64),
    /// Nothing more comes into this group.
    CloseGroup(i64),
}

/// Groups all of whose events have ended were told of. Is there one that could not be looked at, because somebody has it?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupsEnded {
    pub emitted: usize,
    pub busy: bool,
}

/// What the log says of an event and one handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// 0: it is new, and the log says nothing.
    pub handler: u32,
    /// Attempts that count, one that is unfinished among them.
    pub attempts: u32,
    pub next_at: Option<i64>,
    /// Somebody asked for that time: the handler, or who has changed the event.
    pub asked: bool,
    /// How often the handler has put it off.
    pub put_offs: u32,
    /// An attempt was recorded and nothing after it: whoever made it crashed.
    pub unfinished: bool,
    /// The handler was paused when this was read.
    pub paused: bool,
    /// The unfinished attempt is a consumer's.
    pub lease: Option<KnownLease>,
}

/// A lease of a consumer, as the log has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownLease {
    pub number: i64,
    /// How long it lasts yet.
    pub left_us: u64,
}

/// A consumer's lease is over for these events, if the log does not know better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOver {
    pub handler: u32,
    pub lease: i64,
    pub partition: u8,
    pub events: Vec<i64>,
}

/// What the log says of an event of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseNews {
    pub handler: u32,
    pub lease: i64,
    pub event: i64,
    pub fate: LeaseFate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseFate {
    Acknowledged,
    /// The consumer has given it back, and maybe said when it is to come again.
    GivenBack {
        message: Vec<u8>,
        next_at: Option<i64>,
    },
    /// Nothing can be said of it under this lease any more.
    Over,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    pub channel: Vec<u8>,
    pub payload: Vec<u8>,
    pub pid: u32,
}

impl Notification {
    /// Bytes that it takes in memory, about.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.channel.len() + self.payload.len()
    }
}

/// What one transaction of a worker handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchItems {
    Events { partition: u8, tids: Vec<u64>, ids: Vec<i64> },
    Notifications(Vec<Notification>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub work: BatchItems,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// When a batch fails, the worker skips later ones of the same key.
    pub key: Option<u64>,
    /// Its events have another timeout than the handler says.
    pub timeout_ms: Option<u32>,
}

/// What transactions of the handler have committed for an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    pub done: bool,
    /// How often it was put off, and until when the last time.
    pub put_offs: u32,
    pub until: i64,
}

/// One entry of the log. Written twice it says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    Attempt {
        handler: u32,
        partition: u8,
        events: Vec<i64>,
        attempt: u32,
    },
    /// A consumer has it, until then.
    Leased {
        handler: u32,
        partition: u8,
        events: Vec<i64>,
        attempt: u32,
        lease: i64,
        until: i64,
    },
    /// It has it longer, or less long.
    Extended {
        handler: u32,
        partition: u8,
        event: i64,
        lease: i64,
        until: i64,
    },
    /// It was not made after all.
    Withdrawn {
        handler: u32,
        partition: u8,
        events: Vec<i64>,
        attempt: u32,
    },
    /// The attempt failed; where it is not `counted`, the next one has the same number.
    Failed {
        handler: u32,
        partition: u8,
        event: i64,
        attempt: u32,
        sqlstate: u32,
        message: Vec<u8>,
        next_at: i64,
        counted: bool,
    },
    Dead {
        handler: u32,
        partition: u8,
        /// Where the event lies.
        tid: u64,
        event: i64,
        attempt: u32,
        sqlstate: u32,
        message: Vec<u8>,
        group: i64,
    },
    /// The unique keys of these are free: an attempt begins.
    KeysFreed {
        events: Vec<i64>,
    },
    /// It had not begun when its time was over.
    Expired {
        handler: u32,
        partition: u8,
        event: i64,
        group: i64,
    },
    /// Without a handler: for all of them.
    Cancelled {
        partition: u8,
        event: i64,
        handler: Option<u32>,
        group: i64,
    },
}

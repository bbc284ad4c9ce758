//! What the server's log is told of notifications: that a handler fails for them, which no other record shows, and
//! that they are dropped. A line now and then, however many they are.

use super::host::EventHost;
use super::part::Events;
use crate::report::message_of;

/// A line for each handler that fails comes this often.
pub const SAY_EVERY_US: u64 = 10_000_000;

/// A line of the server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// The handler failed for so many notifications since the last line; how it failed last.
    Failed { times: u64, sqlstate: u32, message: Vec<u8> },
    /// From now on notifications are dropped: they can be neither kept nor recorded.
    Dropped,
}

/// Of one handler.
#[derive(Default)]
pub(super) struct Complaints {
    /// Failures of which nothing has been said, and the last one's error.
    unsaid: u64,
    last: (u32, Vec<u8>),
    /// When the next line may come.
    say_at: u64,
    dropping: bool,
    /// It was said that they are dropped.
    said: bool,
}

impl Complaints {
    pub fn failed(&mut self, times: usize, sqlstate: u32, message: &[u8]) {
        self.unsaid += times as u64;
        self.last = (sqlstate, message_of(message).to_vec());
    }

    pub fn dropped(&mut self) {
        self.dropping = true;
    }

    /// They can be recorded again.
    pub fn recovered(&mut self) {
        (self.dropping, self.said) = (false, false);
    }

    /// When something is to be said.
    fn due(&self) -> Option<u64> {
        (self.unsaid > 0).then_some(self.say_at)
    }

    fn say(&mut self, now_us: u64, mut line: impl FnMut(Complaint)) {
        if self.dropping && !self.said {
            self.said = true;
            line(Complaint::Dropped);
        }
        if self.due().is_some_and(|due| due <= now_us) {
            let (sqlstate, message) = std::mem::take(&mut self.last);
            line(Complaint::Failed { times: std::mem::take(&mut self.unsaid), sqlstate, message });
            self.say_at = now_us + SAY_EVERY_US;
        }
    }
}

impl Events {
    pub(super) fn complain<H: EventHost>(&mut self, h: &H, now_us: u64) {
        for handler in self.handlers.values_mut() {
            let name = &handler.spec.name;
            handler.complaints.say(now_us, |complaint| h.complain(name, &complaint));
        }
    }

    /// When there will be something to complain of.
    pub(super) fn complain_at(&self) -> Option<u64> {
        self.handlers.values().filter_map(|handler| handler.complaints.due()).min()
    }
}

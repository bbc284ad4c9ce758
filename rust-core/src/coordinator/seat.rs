//! A coordinator at its entry in the registry. It hears there what was said to it before each turn, tells there what it has
//! counted after one, and says there that it rests.

use super::Coordinator;
use super::topics::Topics;
use crate::async_event::EventHost;
use crate::host::Saved;
use crate::launcher::registry::{Entry, Registry, Rest};
use crate::launcher::tallies::Teller;
use crate::schedule::part::ScheduleStore;

/// Events of which nobody said that there are any are found this long after others; a worker that has gone without a word, this
/// long after it went.
const POLL_US: u64 = 1_000_000;

pub struct Seat<'a> {
    registry: &'a Registry,
    entry: Option<&'a Entry>,
    coordinator: Coordinator,
    teller: Teller,
    /// After the last turn there was nothing to do.
    rests: Option<Rest>,
}

impl<'a> Seat<'a> {
    /// New events go to this partition.
    pub fn new(registry: &'a Registry, entry: u32, partition: u8, now: i64) -> Self {
        let entry = registry.entries.get(entry as usize);
        let mut coordinator = Coordinator::new(partition);
        coordinator.events.set_poll(POLL_US);
        let since = entry.and_then(Entry::take_partition_since);
        coordinator.events.set_age(since.map_or(0, |since| now.saturating_sub(since).max(0) as u64));
        Self { registry, entry, coordinator, teller: Teller::default(), rests: None }
    }

    /// One turn; microseconds until the next. A partition takes events until it has so many bytes, or is so many microseconds old.
    pub fn turn<H: EventHost + ScheduleStore>(&mut self, h: &H, rotation: (u64, u64)) -> Result<u64, Saved> {
        self.rests = None;
        let (events, handlers) = self.entry.map_or((false, false), Entry::hear);
        let topic = |told, topic| if told { topic } else { Topics::NONE };
        self.coordinator.tell(topic(events, Topics::EVENTS) | topic(handlers, Topics::HANDLERS));
        let wait = self.attend(h, rotation, Coordinator::take_turn)?;
        self.rests = self.coordinator.rests(h);
        Ok(wait)
    }

    /// It ends in good order.
    pub fn close<H: EventHost + ScheduleStore>(&mut self, h: &H, rotation: (u64, u64)) -> Result<(), Saved> {
        self.attend(h, rotation, Coordinator::close)
    }

    fn attend<H: EventHost + ScheduleStore, T>(
        &mut self,
        h: &H,
        rotation: (u64, u64),
        act: impl FnOnce(&mut Coordinator, &H) -> Result<T, Saved>,
    ) -> Result<T, Saved> {
        self.coordinator.events.set_rotation(rotation.0, rotation.1);
        let result = act(&mut self.coordinator, h);
        let database = self.entry.map_or(0, Entry::database);
        self.teller.tell(&self.registry.tallies, database, &self.coordinator.events.note_counts(), h.now_us());
        result
    }

    /// Is there nothing to do? Then its entry says so from now on, and it is to leave.
    pub fn rests(&self, now: i64) -> bool {
        self.rests.zip(self.entry).inspect(|(rest, entry)| entry.becomes_idle(*rest, now)).is_some()
    }

    /// Its last look for events found none that anybody handles.
    pub fn looked_in_vain(&self) -> bool {
        self.coordinator.events.looked_in_vain()
    }
}

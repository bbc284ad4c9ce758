//! Where events lie: whoever writes a table anew moves its rows. A worker that does not find what it was given says so,
//! and before anything else is started all places are looked up again.

use super::host::EventHost;
use super::item::Map;
use super::part::Events;
use crate::host::Saved;

impl Events {
    /// After [`crate::wire::batch::BatchEnd::Misplaced`]. All that is known has been fetched, so what is nowhere has been removed
    /// by somebody, and is cancelled.
    pub(super) fn find_places<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        if !self.misplaced {
            return Ok(());
        }
        let places: Map<i64, (u8, u64)> = h.places()?.into_iter().map(|place| (place.id, (place.partition, place.tid))).collect();
        self.misplaced = false;
        let now = h.timestamp();
        for (id, from) in self.ledger.events() {
            let Some((partition, tid)) = places.get(&id) else {
                self.cancel(id, None, now);
                continue;
            };
            let queues = self.handlers.values_mut().map(|handler| &mut handler.queue);
            queues.for_each(|queue| queue.relocate(id, *partition, *tid, now));
            self.ledger.relocate(id, from, *partition);
        }
        Ok(())
    }
}

//! What comes in: definitions of handlers, notifications, events, commands.

use super::handler::Handler;
use super::host::EventHost;
use super::part::{Events, RELOAD_EVERY_US};
use super::rate::Started;
use super::recall::Recall;
use super::spec::{EventCommand, LogEntry, Notification};
use crate::host::Saved;
use std::collections::{BTreeMap, BTreeSet};

/// Channels of such names are ours: nobody else's notifications on them are heard.
const RESERVED: &[u8] = b"aside.";

/// Memory for notifications, over all handlers.
pub const MAX_NOTIFICATIONS_BYTES: usize = 16 << 20;

/// The same for those that could not be recorded yet.
pub const MAX_UNSPILLED_BYTES: usize = 16 << 20;

/// So many are recorded at a time while more come.
const SPILL_BYTES: usize = MAX_UNSPILLED_BYTES / 4;

impl Events {
    pub(super) fn reload_handlers<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let mono = h.now_us();
        if !self.told && (mono < self.reload_at || !self.woken) {
            return Ok(());
        }
        let specs = h.handlers()?;
        let started = self.recall_starts(h, &specs)?;
        let now = h.timestamp();
        (self.told, self.reload_at) = (false, mono + RELOAD_EVERY_US);
        let ids: BTreeSet<u32> = specs.iter().map(|spec| spec.id).collect();
        let mut changed = BTreeMap::new();
        for (id, handler) in &mut self.handlers {
            if !ids.contains(id) && !handler.removed {
                handler.remove(&mut self.ledger, now);
                changed.insert(*id, Some(Recall::Now));
            }
        }
        self.forget_removed();
        let before: BTreeSet<Vec<u8>> = self.by_channel.drain().map(|(channel, _)| channel).collect();
        self.by_former.clear();
        let mut other_channels = false;
        for spec in specs {
            for former in &spec.former {
                self.by_former.entry(former.channel.clone()).or_default().push(spec.id);
            }
            if !spec.channel.is_empty() {
                self.by_channel.entry(spec.channel.clone()).or_default().push(spec.id);
            }
            let id = spec.id;
            let buried = spec.buried + self.ledger.unburied(id);
            match self.handlers.get_mut(&id) {
                Some(handler) if handler.spec.version == spec.version && !handler.removed => handler.spec.guarded = spec.guarded,
                Some(handler) => {
                    other_channels |= (&handler.spec.channel, &handler.spec.former) != (&spec.channel, &spec.former);
                    changed.insert(id, handler.spec.recalls(&spec));
                    handler.define(spec, now);
                }
                None => {
                    if self.seen.insert(id) && self.loaded {
                        self.late.insert(id);
                    }
                    self.handlers.insert(id, Handler::new(spec, now));
                }
            }
            self.handlers.get_mut(&id).into_iter().for_each(|handler| handler.tally.buried = buried);
        }
        for Started { handler, ago_us, count } in started {
            if let Some(handler) = self.handlers.get_mut(&handler) {
                handler.rate.began(count, mono.saturating_sub(ago_us));
            }
        }
        for lease in self.leases.values_mut() {
            lease.recall_as(changed.get(&lease.handler).copied().flatten());
        }
        self.look_again_for(&changed.into_keys().collect(), mono);
        if other_channels {
            self.look_through(mono);
        }
        let channels: BTreeSet<&Vec<u8>> = self.by_channel.keys().chain(self.by_former.keys()).collect();
        self.channels = channels.into_iter().cloned().collect();
        self.channels_changed |= self.by_channel.len() != before.len() || !self.by_channel.keys().all(|channel| before.contains(channel));
        self.loaded = true;
        Ok(())
    }

    /// Handlers that were removed are gone when nothing of theirs runs any more.
    pub(super) fn forget_removed(&mut self) {
        self.handlers.retain(|_, handler| !handler.removed || handler.leases > 0);
    }

    pub(super) fn listen<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        if self.channels_changed {
            let others = self.by_channel.keys().filter(|channel| !channel.starts_with(RESERVED));
            let mut channels: Vec<Vec<u8>> = others.cloned().collect();
            channels.sort_unstable();
            h.listen(&channels)?;
            self.channels_changed = false;
        }
        Ok(())
    }

    /// Take all notifications over from the server, whatever else goes on. Those that are to be recorded are recorded
    /// as they come; after an error, the rest waits for the next step.
    pub(super) fn drain<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let mut recorded = Ok(());
        loop {
            let (notes, more) = h.notifications();
            let more = more && !notes.is_empty();
            for note in notes {
                self.keep(h, note);
                if self.unspilled_bytes >= SPILL_BYTES && recorded.is_ok() {
                    recorded = self.spill(h);
                }
            }
            if !more {
                return recorded;
            }
        }
    }

    fn keep<H: EventHost>(&mut self, h: &H, note: Notification) {
        let Some(ids) = self.by_channel.get(&note.channel) else { return };
        let size = note.size();
        let guarded = ids.iter().filter_map(|id| self.handlers.get(id)).any(|handler| handler.spec.guarded);
        let refused = guarded && !h.may_notify(&note.channel, note.pid);
        for id in ids {
            let Some(handler) = self.handlers.get_mut(id) else { continue };
            if refused {
                handler.tally.notes_dropped += 1;
                continue;
            }
            let full = self.ledger.note_bytes + size > MAX_NOTIFICATIONS_BYTES;
            if !handler.spec.durable && !handler.notes.overtaken() && !full {
                self.ledger.note_bytes += size;
                handler.notes.waiting.push_back(note.clone());
            } else if self.unspilled_bytes + size <= MAX_UNSPILLED_BYTES {
                self.unspilled_bytes += size;
                handler.notes.unspilled += 1;
                self.unspilled.push((*id, note.clone()));
            } else {
                handler.tally.notes_dropped += 1;
                handler.complaints.dropped();
            }
        }
    }

    pub(super) fn spill<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let handlers = &self.handlers;
        self.unspilled.retain(|(id, _)| handlers.get(id).is_some_and(|handler| !handler.removed));
        if !self.unspilled.is_empty() {
            h.spill(&self.unspilled)?;
            self.woken = true;
            self.handlers.values_mut().for_each(|handler| handler.complaints.recovered());
        }
        for (id, _) in self.unspilled.drain(..) {
            if let Some(handler) = self.handlers.get_mut(&id) {
                handler.notes.unspilled = 0;
                handler.notes.unfetched = true;
                handler.tally.notes_spilled += 1;
            }
        }
        self.unspilled_bytes = 0;
        Ok(())
    }

    /// A handler gets what was emitted after it was made, also before its transaction had committed, or before
    /// that was known here: so look again at what fetches went by.
    pub(super) fn refetch_for_late<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        if self.backlog.partial {
            return Ok(());
        }
        self.late.retain(|id| self.handlers.get(id).is_some_and(|handler| !handler.removed));
        let since = self.late.iter().filter_map(|id| self.handlers.get(id)).map(|handler| handler.spec.since).min();
        let Some(since) = since else { return Ok(()) };
        let mut passed = h.refetch(since, &self.unseen)?;
        passed.retain(|event| !self.unseen.has(event.txid));
        let now = h.timestamp();
        let mut taken = self.room_for(passed.len() * self.late.len());
        for event in passed.iter().filter(|event| event.command.is_none()) {
            for id in &self.late {
                if let Some(handler) = self.handlers.get_mut(id).filter(|handler| handler.is_for(event)) {
                    taken = taken.and_then(|()| handler.admit_new(event, &mut self.ledger, now));
                }
            }
        }
        self.all_taken(h, taken)?;
        self.late.clear();
        for event in &passed {
            if let Some(EventCommand::Cancel(id)) = event.command {
                self.cancel(id, event.target, now);
            }
        }
        Ok(())
    }

    /// What waits is dropped, once it has been taken back where a worker has it; what runs may yet succeed, but is not
    /// tried again. For one handler, or all that it is for.
    pub(super) fn cancel(&mut self, event: i64, only: Option<u32>, now: i64) {
        let Some(partition) = self.ledger.find(event) else { return };
        let mut runs = false;
        for (id, handler) in self.handlers.iter_mut().filter(|(id, _)| only.is_none_or(|only| only == **id)) {
            let Some(item) = handler.queue.get_mut(event) else { continue };
            if item.running() {
                item.cancelled = true;
                runs = true;
            } else {
                let group = item.group;
                handler.unlog(event, &mut self.ledger);
                handler.tally.cancelled += 1;
                handler.end(event, &mut self.ledger, now);
                self.ledger.pending.push(LogEntry::Cancelled { partition, event, handler: Some(*id), group });
            }
        }
        if runs {
            self.recall_of(|lease| lease.has(event));
        }
    }
}

//! Groups of events: when to look whether all of a group have ended. What has ended is in the tables, and only what they say
//! counts; here is known which events are still open, so that the tables are not looked at in vain.

use super::host::EventHost;
use super::part::Events;
use crate::host::Saved;
use std::collections::{BTreeMap, BTreeSet};

/// How soon to look again at a group that somebody had.
const AGAIN_US: u64 = 100_000;

#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Open events of groups, and how many of them each group has.
    of: BTreeMap<i64, i64>,
    open: BTreeMap<i64, usize>,
    /// To be looked at.
    asked: BTreeSet<i64>,
    /// All closed ones are.
    all: bool,
    not_before: u64,
}

impl Groups {
    /// An event is open for one handler more.
    pub fn open(&mut self, event: i64, group: i64) {
        if group != 0 && self.of.insert(event, group).is_none() {
            *self.open.entry(group).or_default() += 1;
        }
    }

    /// 0: of none.
    pub fn of(&self, event: i64) -> i64 {
        self.of.get(&event).copied().unwrap_or(0)
    }

    /// An event is open no more, or is not held any more.
    pub fn forget(&mut self, event: i64) {
        let Some(group) = self.of.remove(&event) else { return };
        if let Some(count) = self.open.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&group);
            }
        }
    }

    /// Something of it has ended, or it was closed.
    pub fn may_have_ended(&mut self, group: i64) {
        if group != 0 && !self.open.contains_key(&group) {
            self.asked.insert(group);
        }
    }

    /// The tables were looked through: what has ended while nobody looked may be among what they have.
    pub fn look_at_all(&mut self) {
        self.all = true;
    }

    fn asks(&self) -> bool {
        self.all || !self.asked.is_empty()
    }
}

impl Events {
    /// What has ended is in the log by now: each group that has ended emits its event.
    pub(super) fn end_groups<H: EventHost>(&mut self, h: &H) -> Result<(), Saved> {
        let mono = h.now_us();
        let groups = &mut self.ledger.groups;
        if !groups.asks() || mono < groups.not_before || !self.ledger.pending.is_empty() {
            return Ok(());
        }
        let asked: Vec<i64> = if groups.all { Vec::new() } else { groups.asked.iter().copied().collect() };
        let ended = h.end_groups(&asked)?;
        if ended.busy {
            groups.not_before = mono + AGAIN_US;
        } else {
            (groups.all, groups.asked) = (false, BTreeSet::new());
        }
        self.woken |= ended.emitted > 0;
        Ok(())
    }

    /// Microseconds until a group is to be looked at that somebody had.
    pub(super) fn groups_wait(&self, mono: u64) -> u64 {
        let groups = &self.ledger.groups;
        if groups.asks() { groups.not_before.saturating_sub(mono).max(1000) } else { u64::MAX }
    }

    pub(super) fn asks_for_groups(&self) -> bool {
        self.ledger.groups.asks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_looked_at_when_nothing_of_it_is_open() {
        let mut groups = Groups::default();
        for event in [1, 1, 2] {
            groups.open(event, 7);
        }
        groups.open(3, 0);
        groups.forget(1);
        groups.may_have_ended(7);
        assert!(!groups.asks());
        groups.forget(2);
        groups.forget(3);
        groups.may_have_ended(0);
        assert!(!groups.asks());
        groups.may_have_ended(7);
        assert!(groups.asks());
        assert!(groups.of.is_empty() && groups.open.is_empty());
    }
}

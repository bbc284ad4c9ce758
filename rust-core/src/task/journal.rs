//! A file of one record for each entry, so that after a restart it is known which tasks never ended.
//!
//! Who writes a record must have the entry to itself, or what it writes may be that of an earlier task than
//! what is there already: the submitter writes before it offers the task, as what it will be
//! ([`Table::record_as`]); who ends a task pins it, ends it, writes, and unpins it.

use super::{New, Table, TaskState, Ticket};
use crate::pool::slot::Key;
use std::sync::atomic::Ordering::*;

/// Bytes of a record; that of an entry is at that many times its index.
pub const RECORD: usize = 768;

const MAGIC: u64 = u64::from_le_bytes(*b"pgaside\0");
const VERSION: u32 = 1;
/// Offsets of the texts, each after its length, and of the checksum.
const COMMAND: usize = 64;
const LABEL: usize = 64 + 2 + 512;
const SUM: usize = RECORD - 8;
const _: () = assert!(LABEL + 2 + 64 <= RECORD, "the checksum takes the place of no text that is kept whole");

/// What a record says.
struct Found {
    id: u64,
    state: TaskState,
    owner: u32,
    key: Key,
    submitted: i64,
    started: i64,
    command: Vec<u8>,
    label: Vec<u8>,
}

/// FNV-1a: against torn records, not against malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn get<const N: usize>(record: &[u8; RECORD], offset: usize) -> [u8; N] {
    std::array::from_fn(|i| record[offset + i])
}

fn put(record: &mut [u8; RECORD], offset: usize, bytes: &[u8]) {
    record[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn get_u32(record: &[u8; RECORD], offset: usize) -> u32 {
    u32::from_le_bytes(get(record, offset))
}

#[expect(clippy::disallowed_methods, reason = "no longer than a record")]
fn get_text(record: &[u8; RECORD], offset: usize) -> Vec<u8> {
    let length = usize::from(u16::from_le_bytes(get(record, offset)));
    record[offset + 2..SUM].iter().take(length).copied().collect()
}

fn put_text(record: &mut [u8; RECORD], offset: usize, text: &[u8]) {
    put(record, offset, &(text.len() as u16).to_le_bytes());
    put(record, offset + 2, text);
}

/// With its checksum.
pub(super) fn sealed(mut record: [u8; RECORD]) -> [u8; RECORD] {
    let sum = checksum(&record[..SUM]);
    put(&mut record, SUM, &sum.to_le_bytes());
    record
}

/// None: it is torn, or not one of ours for this entry.
fn read(record: &[u8; RECORD], index: u32) -> Option<Found> {
    let ours = u64::from_le_bytes(get(record, 0)) == MAGIC && get_u32(record, 8) == VERSION && get_u32(record, 12) == index;
    if !ours || u64::from_le_bytes(get(record, SUM)) != checksum(&record[..SUM]) {
        return None;
    }
    let id = u64::from_le_bytes(get(record, 16));
    // An id shares its word with a state.
    (id > 0 && id >> 56 == 0).then(|| Found {
        id,
        state: TaskState::from_number(record[24]),
        owner: get_u32(record, 28),
        key: Key { database: get_u32(record, 32), user: get_u32(record, 36), superuser: get_u32(record, 40) != 0 },
        submitted: i64::from_le_bytes(get(record, 48)),
        started: i64::from_le_bytes(get(record, 56)),
        command: get_text(record, COMMAND),
        label: get_text(record, LABEL),
    })
}

impl Table<'_> {
    /// The record of a task as it is; None if it is gone.
    pub fn record(&self, ticket: Ticket) -> Option<[u8; RECORD]> {
        self.record_in(ticket, None)
    }

    /// The record that it will have in that state.
    pub fn record_as(&self, ticket: Ticket, state: TaskState) -> Option<[u8; RECORD]> {
        self.record_in(ticket, Some(state))
    }

    fn record_in(&self, ticket: Ticket, as_state: Option<TaskState>) -> Option<[u8; RECORD]> {
        let entry = self.live(ticket)?;
        let record = entry.steady(|id, state| {
            let mut record = [0; RECORD];
            let key = entry.key();
            put(&mut record, 0, &MAGIC.to_le_bytes());
            put(&mut record, 8, &VERSION.to_le_bytes());
            put(&mut record, 12, &ticket.index.to_le_bytes());
            put(&mut record, 16, &ticket.id.to_le_bytes());
            record[24] = as_state.unwrap_or(state) as u8;
            put(&mut record, 28, &entry.owner.load(Relaxed).to_le_bytes());
            put(&mut record, 32, &key.database.to_le_bytes());
            put(&mut record, 36, &key.user.to_le_bytes());
            put(&mut record, 40, &u32::from(key.superuser).to_le_bytes());
            put(&mut record, 48, &entry.submitted.load(Relaxed).to_le_bytes());
            put(&mut record, 56, &entry.started.load(Relaxed).to_le_bytes());
            put_text(&mut record, COMMAND, &entry.command.get());
            put_text(&mut record, LABEL, &entry.label.get());
            (id == ticket.id).then_some(record)
        });
        record?.map(sealed)
    }

    /// At server start, before anybody else is there: what was queued or ran is Lost, ids go on above all that
    /// were ever given. The callback reads the record of an index; it is asked beyond the table's end too, for
    /// the table may have been larger, until there is none. How many are Lost: the caller then writes their
    /// records anew, and cuts the file off at the table's end.
    pub fn recover(&self, now: i64, read_record: &mut dyn FnMut(u32) -> Option<[u8; RECORD]>) -> usize {
        let (mut last, mut lost, size) = (0, 0, self.entries.len() as u32);
        for index in 0..u32::MAX {
            let record = read_record(index);
            if record.is_none() && index >= size {
                break;
            }
            let Some(found) = record.and_then(|record| read(&record, index)) else { continue };
            last = last.max(found.id);
            if !matches!(found.state, TaskState::Queued | TaskState::Running | TaskState::Ending) {
                continue;
            }
            let (command, label) = (&found.command[..], &found.label[..]);
            let new = New { owner: found.owner, key: found.key, submitter: 0, command, label, quotas: (0, 0), prefer: None };
            let put = |at| self.put_lost(at, found.id, &new, [found.submitted, found.started], now);
            lost += usize::from(if index < size { put(index) } else { (0..size).any(put) });
        }
        self.seed_ids(last);
        lost
    }

    /// The same from a journal that is in memory; it is made to tell of what is Lost.
    pub fn recover_from(&self, now: i64, journal: &mut [u8]) -> usize {
        let (known, _) = journal.as_chunks::<RECORD>();
        let lost = self.recover(now, &mut |index| known.get(index as usize).copied());
        let (records, _) = journal.as_chunks_mut::<RECORD>();
        for (record, index) in records.iter_mut().zip(0..) {
            // One that is no task any more keeps its id: those of later tasks are above it.
            if let Some(now) = self.view(index).and_then(|view| self.record(view.card.ticket)) {
                *record = now;
            }
        }
        lost
    }
}

//! How the keys of a job become chunks. A worker runs a query for that as the owner of the job; the query is the splitter's,
//! and what it answers has one form.

use crate::memory::{self, NoMemory};

const WHAT: &str = "the chunks of a job";

/// A row that a query has returned, as text.
pub type Row = Vec<Option<Vec<u8>>>;

/// One chunk: its inclusive bounds, in the output form of their type, and about how many rows it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Both are None: the chunk has the rows that have no key.
    pub low: Option<Vec<u8>>,
    pub high: Option<Vec<u8>>,
    pub rows: u64,
}

impl Cut {
    /// Has it one key at most?
    pub fn is_single(&self) -> bool {
        self.low == self.high
    }
}

/// What one step has cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub cuts: Vec<Cut>,
    /// From where the next step goes on.
    pub frontier: Option<Vec<u8>>,
    /// There is nothing behind the frontier.
    pub last: bool,
}

/// How a job is split. A query of its returns a row for each chunk, in their order, with the columns low, high, rows, and,
/// of a step, the frontier behind that chunk.
pub trait Split {
    /// Cuts off so many chunks at most, of about so many rows each, from what is behind the frontier. None: from the beginning.
    /// One that returns fewer is the last.
    fn step(&self, frontier: Option<&[u8]>, rows: u64, chunks: u32) -> Result<Vec<u8>, NoMemory>;
    /// Can a chunk of several keys be divided?
    fn divides(&self) -> bool;
    /// Divides a chunk that has several keys into two, at the key in its middle. None: chunks of this job cannot be divided.
    fn halves(&self, of: &Cut) -> Result<Option<Vec<u8>>, NoMemory>;
}

/// A row that is no chunk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread;

impl From<NoMemory> for Unread {
    fn from(_: NoMemory) -> Self {
        Self
    }
}

fn cut(row: &Row) -> Result<Cut, Unread> {
    let [low, high, rows, ..] = row.as_slice() else { return Err(Unread) };
    let copied = |bound: &Option<Vec<u8>>| bound.as_deref().map(|bound| memory::copy(bound, WHAT)).transpose();
    let rows = rows.as_deref().and_then(|rows| std::str::from_utf8(rows).ok()).and_then(|rows| rows.parse().ok()).unwrap_or(0);
    Ok(Cut { low: copied(low)?, high: copied(high)?, rows })
}

/// The chunks that a query has returned.
pub fn cuts(rows: &[Row]) -> Result<Vec<Cut>, Unread> {
    memory::try_collect(rows.iter().map(cut), WHAT)
}

/// What a step has returned that began at this frontier, and was to cut off so many.
pub fn step(frontier: Option<&[u8]>, rows: &[Row], chunks: u32) -> Result<Step, Unread> {
    let behind = match rows.last() {
        Some(row) => row.get(3).ok_or(Unread)?.as_deref(),
        None => frontier,
    };
    let frontier = behind.map(|behind| memory::copy(behind, WHAT)).transpose()?;
    Ok(Step { cuts: cuts(rows)?, frontier, last: rows.len() < chunks as usize })
}

//! What this process, as a caller of workers, remembers between its calls.

use super::sessions::Sessions;
use super::tasks::Tasks;
use crate::lease::post::Buffer;
use crate::pool::area::Area;
use crate::pool::borrow::Borrower;
use crate::pool::poll::Poller;
use crate::settings::{Names, name};
use std::cell::Cell;

#[derive(Default)]
pub struct CallerState {
    pub(super) borrower: Borrower,
    pub(super) poller: Poller,
    pub(super) buffer: Buffer,
    /// The names of the settings that the last call had, and their version.
    names: Cell<Option<(u64, Names)>>,
    pub sessions: Sessions,
    pub tasks: Tasks,
}

impl CallerState {
    /// The names of a caller's settings; the same version always has the same settings.
    pub(super) fn names_of(&self, area: &Area, settings: &[u8], version: u64) -> Names {
        match self.names.get() {
            Some((known, names)) if known == version => names,
            _ => {
                let names = name(settings, area.hash_key());
                self.names.set(Some((version, names)));
                names
            }
        }
    }
}

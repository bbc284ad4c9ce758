//! A coordinator's workers, over leases of the pool: what a part asks for, as a worker's shim reads it.

use super::runner::Work;
use crate::async_event::spec::{self, Batch, Spec};
use crate::error::Error;
use crate::host::CallerHost;
use crate::lease::leases::Leases;
use crate::lease::work::{Errand, LeaseWork};
use crate::memory::{self, NoMemory};
use crate::pool::area::Area;
use crate::pool::borrow::Limits;
use crate::task::Table;
use crate::wire::batch::{Note, events, notifications};

const WHAT: &str = "what a worker is to run";

/// One turn's view of them.
#[derive(Clone, Copy)]
pub struct Workers<'a, H> {
    pub h: &'a H,
    pub area: &'a Area<'a>,
    pub tasks: Option<Table<'a>>,
    pub limits: Limits,
    pub leases: &'a Leases,
    /// The coordinator's own.
    pub database: u32,
    /// The OID of its tables, for those who are given events of them.
    pub tables: u32,
}

impl<H: CallerHost> Workers<'_, H> {
    /// As [`super::runner::Runner::start`].
    pub fn start(&self, lease: u64, work: &Work<'_>) -> Result<bool, Error> {
        match *work {
            Work::Batches { handler, batches } => {
                let title = memory::joined(&[b"event handler ", &handler.name], WHAT)?;
                let batches = memory::try_collect(batches.iter().map(encoded), WHAT)?;
                let name = handler_name(handler, self.tables);
                self.borrow(
                    lease,
                    &Errand {
                        database: self.database,
                        owner: handler.owner,
                        superuser: handler.owner_is_superuser,
                        timeout_ms: handler.timeout_ms,
                        work: LeaseWork::Batches { title: &title, handler: &name, batches: &batches },
                    },
                )
            }
            Work::Command { database, owner, superuser, text, timeout_ms, keep } => {
                self.borrow(lease, &Errand { database, owner, superuser, timeout_ms, work: LeaseWork::Command { text, keep } })
            }
            Work::Chunk { owner, superuser, text, bounds, attempt } => {
                let work = LeaseWork::Chunk { text, bounds, attempt };
                self.borrow(lease, &Errand { database: self.database, owner, superuser, timeout_ms: 0, work })
            }
        }
    }

    fn borrow(&self, lease: u64, errand: &Errand) -> Result<bool, Error> {
        self.leases.start(lease, self.h, self.area, self.tasks, errand, &self.limits)
    }
}

/// What names a handler to its worker: see `aside_handler_name` in aside_abi.h.
fn handler_name(spec: &Spec, tables: u32) -> [u8; 12] {
    let mut name = [0; 12];
    for (to, from) in name.chunks_exact_mut(4).zip([spec.id, u32::from(spec.ordered), tables]) {
        to.copy_from_slice(&from.to_ne_bytes());
    }
    name
}

fn encoded(batch: &Batch) -> Result<Vec<u8>, NoMemory> {
    match &batch.work {
        spec::BatchItems::Events { partition, tids, ids } => {
            events(*partition, batch.attempt, batch.key.map_or(0, |key| key | 1), batch.timeout_ms.unwrap_or(0), tids, ids)
        }
        spec::BatchItems::Notifications(notes) => {
            let notes = notes.iter().map(|n| Note { pid: n.pid, channel: &n.channel, payload: &n.payload });
            notifications(batch.attempt, notes)
        }
    }
}

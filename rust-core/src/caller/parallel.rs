//! A query over the chunks of a table, run by several workers for one caller who waits. Each chunk is a request of its own,
//! read only and at the caller's snapshot; whichever worker is free has the next one. A worker cuts the chunks, too, at the
//! same snapshot: so they fit what the others see.

use super::call::{ATTEMPTS, Call, check, counted, never_taken, request, terms};
use super::process::CallerState;
use crate::chunk::cut::{self, Cut, Row, Split};
use crate::error::Error;
use crate::host::{Arg, ArgForm, CallerHost, Column, Mode, Output};
use crate::lease::exchange::{Exchange, ExchangeEnd, Keep, Replies};
use crate::lease::frames::protocol_violation;
use crate::lease::post::encode;
use crate::lease::wait;
use crate::memory::{self, Grows};
use crate::pool::area::Area;
use crate::pool::borrow::{Borrowed, borrow, leased, try_borrow};
use crate::pool::deadlock::Watch;
use crate::report::*;
use crate::wire::message::Request;
use std::collections::VecDeque;
use std::ops::ControlFlow::{Break, Continue};

const CHUNKS: &str = "the chunks of a parallel query";

/// Frames of one worker that are read before the others are looked at.
const TURN: u32 = 256;

/// Chunks for each worker, where the caller does not say how long they are; and how long they are then.
const CHUNKS_EACH: u64 = 16;
const SHORTEST: u64 = 1_000;
const LONGEST: u64 = 100_000;

/// How a query is cut and run.
pub struct Plan<'a> {
    pub split: &'a dyn Split,
    /// Rows of a chunk; None: as many as suit the table.
    pub chunk_rows: Option<u64>,
    /// Rows of the table, about.
    pub rows: u64,
    /// Workers at most.
    pub workers: u32,
    /// Types of the bounds that the query gets; one bound of something that has no other.
    pub bounds: &'a [u32],
    /// Columns of a step's answer.
    pub answer: &'a [Column<'a>],
}

impl Plan<'_> {
    fn rows_of_chunk(&self) -> u64 {
        let suitable = self.rows / (u64::from(self.workers.max(1)) * CHUNKS_EACH);
        self.chunk_rows.unwrap_or(suitable.clamp(SHORTEST, LONGEST))
    }
}

/// What one worker does.
enum Job {
    /// It cuts off so many chunks, by this query.
    Step {
        query: Vec<u8>,
        chunks: u32,
        answer: Vec<Row>,
    },
    Chunk(Cut),
}

struct Lane<'a, H: CallerHost> {
    exchange: Exchange<'a, H>,
    replies: Replies,
    job: Job,
}

/// The cutting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cutting {
    /// A worker is to go on with it.
    Due,
    Running,
    Over,
}

struct Run<'a, H: CallerHost> {
    h: &'a H,
    area: &'a Area<'a>,
    caller: &'a CallerState,
    call: &'a Call<'a>,
    plan: &'a Plan<'a>,
    lanes: Vec<Lane<'a, H>>,
    /// Chunks that no worker has yet.
    cuts: VecDeque<Cut>,
    cutting: Cutting,
    frontier: Option<Vec<u8>>,
    /// Workers in a row that vanished before they took what they were given.
    vanished: u32,
}

/// Run a query over all chunks; its rows go to the host as they come.
pub fn query<H: CallerHost>(h: &H, area: &Area, caller: &CallerState, call: &Call, plan: &Plan) -> Result<(), Error> {
    counted(h, area, call, |rows| {
        check(call)?;
        let (lanes, cuts) = (Vec::new(), VecDeque::new());
        let mut run = Run { h, area, caller, call, plan, lanes, cuts, cutting: Cutting::Due, frontier: None, vanished: 0 };
        run.lanes.room(plan.workers as usize, CHUNKS)?;
        run.all(rows).inspect_err(|_| run.give_up())
    })
}

impl<H: CallerHost> Run<'_, H> {
    fn all(&mut self, rows: &mut u64) -> Result<(), Error> {
        loop {
            self.start_what_can_be()?;
            if self.lanes.is_empty() {
                return Ok(());
            }
            let at = self.wait()?;
            self.hear(at, rows)?;
        }
    }

    /// The one worker that a query needs is waited for; others are taken where they are to be had, and one is left.
    fn start_what_can_be(&mut self) -> Result<(), Error> {
        while (self.lanes.len() as u32) < self.plan.workers && (self.cutting == Cutting::Due || !self.cuts.is_empty()) {
            let (key, limits) = (self.call.key, &self.call.limits);
            let borrowed = if self.lanes.is_empty() {
                borrow(self.h, self.area, &self.caller.borrower, key, limits, self.caller.tasks.table().as_ref())?
            } else if self.leaves_to_others() {
                return Ok(());
            } else if let Ok(borrowed) = try_borrow(self.h, self.area, key, limits)? {
                borrowed
            } else {
                return Ok(());
            };
            self.start(borrowed)?;
        }
        Ok(())
    }

    /// Others wait for a worker, or what the chunks call could find none.
    fn leaves_to_others(&self) -> bool {
        let per_role = self.call.limits.per_role as usize;
        let free = self.area.slots.iter().filter(|slot| !leased(slot)).count();
        let of_role = self.area.slots.iter().filter(|slot| leased(slot) && slot.key().user == self.call.key.user).count();
        self.area.waiters() > 0 || free < 2 || per_role > 0 && of_role + 1 >= per_role
    }

    fn next_job(&mut self) -> Result<Job, Error> {
        // A worker cuts before the others run out of chunks.
        if self.cutting == Cutting::Due && self.cuts.len() < self.plan.workers as usize || self.cuts.is_empty() {
            let chunks = if self.frontier.is_none() { self.plan.workers } else { self.plan.workers.saturating_mul(4) };
            let query = self.plan.split.step(self.frontier.as_deref(), self.plan.rows_of_chunk(), chunks)?;
            self.cutting = Cutting::Running;
            return Ok(Job::Step { query, chunks, answer: Vec::new() });
        }
        Ok(Job::Chunk(self.cuts.pop_front().unwrap_or_default()))
    }

    fn start(&mut self, borrowed: Borrowed) -> Result<(), Error> {
        if let (Some(us), Some(counters)) = (borrowed.waited_us, self.area.header.stats.get(self.call.kind)) {
            counters.waited(us);
        }
        let mut exchange = Exchange::new(self.h, self.area, borrowed, terms(self.caller, self.call), Keep::Nothing);
        let job = self.next_job()?;
        let mut buffer = self.caller.buffer.take();
        let mut request = self.request(&job)?;
        let slot = &self.area.slots[borrowed.lease.slot as usize];
        request.settings = (slot.settings() != request.settings_hash).then_some(self.call.settings);
        request.origin = (slot.origin() != request.origin_version).then_some(self.call.origin);
        encode(&request, &mut buffer)?;
        drop(request);
        let posted = exchange.post_apart(&buffer);
        self.caller.buffer.keep(&mut buffer);
        match posted {
            Ok(()) => Ok(memory::push(&mut self.lanes, Lane { exchange, replies: Replies::default(), job }, CHUNKS)?),
            Err(end) => self.ended(end, job),
        }
    }

    fn request<'j>(&self, job: &'j Job) -> Result<Request<'j>, Error>
    where
        Self: 'j,
    {
        let common = request(self.area, self.caller, self.call, Mode::OneShot)?;
        Ok(match job {
            Job::Step { query, .. } => Request {
                command: query,
                args: Vec::new(),
                columns: memory::copy(self.plan.answer, CHUNKS)?,
                output: Output::Rows,
                ..common
            },
            Job::Chunk(cut) => {
                let bounds = [&cut.low, &cut.high].into_iter().zip(self.plan.bounds);
                let args = bounds.map(|(bound, type_oid)| match bound {
                    Some(data) => Arg { type_oid: *type_oid, form: ArgForm::Text, data },
                    None => Arg { type_oid: *type_oid, form: ArgForm::Null, data: b"" },
                });
                Request { args: memory::collect(args, CHUNKS)?, ..common }
            }
        })
    }

    /// Wait until one of the workers has said something, or is gone.
    fn wait(&self) -> Result<usize, Error> {
        let spoken = || self.lanes.iter().position(|lane| lane.exchange.has_reply());
        if self.caller.poller.poll(self.h, self.area.busy(), self.call.poll_us, || spoken().is_some())
            && let Some(at) = spoken()
        {
            return Ok(at);
        }
        let look = || {
            Ok(match spoken().or_else(|| self.lanes.iter().position(|lane| lane.exchange.worker_gone())) {
                Some(at) => Break(at),
                None => Continue(u32::MAX),
            })
        };
        self.lanes.iter().for_each(|lane| lane.exchange.awaits(true));
        let woken = wait::sleep_until(self.h, self.area, self.call.limits.deadlock_ms, None, look, |watch| self.look_for_deadlock(watch));
        self.lanes.iter().for_each(|lane| lane.exchange.awaits(false));
        woken
    }

    /// Break a deadlock of which one of the workers is the victim.
    fn look_for_deadlock(&self, watch: &mut Watch) -> Result<(), Error> {
        let insisted = self.lanes.iter().filter(|lane| lane.exchange.insists_on_deadlock()).count();
        if insisted == 0
            && let Some(deadlock) = watch.look(self.h, self.area, self.caller.tasks.table().as_ref())?
            && let Some(lane) = self.lanes.iter().find(|lane| deadlock.worker.is_none_or(|pid| lane.exchange.is_run_by(pid)))
        {
            lane.exchange.break_deadlock(deadlock);
        }
        Ok(())
    }

    /// Read what one worker has said, for a while.
    fn hear(&mut self, at: usize, rows: &mut u64) -> Result<(), Error> {
        let h = self.h;
        let mut buffer = self.caller.buffer.take();
        let Lane { exchange, replies, job } = &mut self.lanes[at];
        let columns = self.plan.answer.len();
        let mut keep = |tuple: &[u8]| match job {
            Job::Step { answer, .. } => Ok(memory::push(answer, h.texts(tuple, columns)?, CHUNKS)?),
            Job::Chunk(_) => {
                *rows += 1;
                Ok(h.row(tuple)?)
            }
        };
        let end = exchange.read_some(&mut buffer, replies, TURN, &mut keep);
        self.caller.buffer.keep(&mut buffer);
        let Some(end) = end else { return Ok(()) };
        if matches!(end, ExchangeEnd::SettingsWanted) {
            return self.send_settings(at);
        }
        let lane = self.lanes.swap_remove(at);
        self.ended(end, lane.job)
    }

    fn send_settings(&mut self, at: usize) -> Result<(), Error> {
        let mut buffer = self.caller.buffer.take();
        let mut request = self.request(&self.lanes[at].job)?;
        request.settings = Some(self.call.settings);
        encode(&request, &mut buffer)?;
        drop(request);
        let sent = self.lanes[at].exchange.post_again(&buffer);
        self.caller.buffer.keep(&mut buffer);
        match sent {
            Ok(()) => Ok(()),
            Err(end) => {
                let lane = self.lanes.swap_remove(at);
                self.ended(end, lane.job)
            }
        }
    }

    /// A worker is through with its job.
    fn ended(&mut self, end: ExchangeEnd, job: Job) -> Result<(), Error> {
        match end {
            ExchangeEnd::Done(_) => {
                self.vanished = 0;
                match job {
                    Job::Step { chunks, answer, .. } => self.take_cuts(&answer, chunks),
                    Job::Chunk(_) => Ok(()),
                }
            }
            ExchangeEnd::NeverTaken => {
                self.vanished += 1;
                if self.vanished >= ATTEMPTS {
                    return Err(never_taken().into());
                }
                match job {
                    Job::Step { .. } => self.cutting = Cutting::Due,
                    Job::Chunk(cut) => self.put_back(cut)?,
                }
                Ok(())
            }
            ExchangeEnd::Failed(Error::Report(mut report)) => {
                match &job {
                    Job::Step { .. } => name_step(&mut report),
                    Job::Chunk(cut) => name_chunk(&mut report, cut),
                }
                Err(Error::Report(report))
            }
            ExchangeEnd::Failed(saved) => Err(saved),
            ExchangeEnd::Complete(..) | ExchangeEnd::SettingsWanted => Err(protocol_violation().into()),
        }
    }

    fn take_cuts(&mut self, answer: &[Row], chunks: u32) -> Result<(), Error> {
        let step = cut::step(self.frontier.as_deref(), answer, chunks).map_err(|_| protocol_violation())?;
        self.cuts.room(step.cuts.len(), CHUNKS)?;
        #[expect(clippy::disallowed_methods, reason = "there is room")]
        self.cuts.extend(step.cuts);
        self.frontier = step.frontier;
        self.cutting = if step.last { Cutting::Over } else { Cutting::Due };
        Ok(())
    }

    fn put_back(&mut self, cut: Cut) -> Result<(), Error> {
        self.cuts.room(1, CHUNKS)?;
        #[expect(clippy::disallowed_methods, reason = "there is room")]
        self.cuts.push_front(cut);
        Ok(())
    }

    /// None of the workers does more; all are told before the first is waited for.
    fn give_up(&mut self) {
        self.lanes.iter().for_each(|lane| lane.exchange.shut());
        self.lanes.iter_mut().for_each(|lane| _ = lane.exchange.cancel());
        self.lanes.clear();
    }
}

/// An error of what the user has not written.
fn name_step(report: &mut Report) {
    report.internal_position = 0;
    report.text[Field::InternalQuery as usize] = None;
    report.add_line(Field::Context, b"parallel query, while its target was cut into chunks");
}

/// Which chunk an error is of.
fn name_chunk(report: &mut Report, cut: &Cut) {
    let bound = |bound: &Option<Vec<u8>>| {
        bound.as_deref().map_or(memory::copy(b"NULL", CHUNKS), |bound| memory::joined(&[b"\"", bound, b"\""], CHUNKS))
    };
    if let (Ok(low), Ok(high)) = (bound(&cut.low), bound(&cut.high))
        && let Ok(line) = memory::joined(&[b"parallel query, chunk from ", &low, b" to ", &high], CHUNKS)
    {
        report.add_line(Field::Context, &line);
    }
}

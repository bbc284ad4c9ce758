//! Random steps beside a simple model.

use super::*;
use crate::task::pages::PAGE_BYTES;

/// What the model knows of a task.
#[derive(Clone, Debug)]
struct Known {
    ticket: Ticket,
    state: TaskState,
    lease: Lease,
    finished: i64,
    payload: Option<Vec<u8>>,
    pins: u32,
    detached: bool,
    doomed: bool,
    read: bool,
}

impl Known {
    /// It has ended, or a pin was given back.
    fn change(&mut self) -> TaskChange {
        self.doomed |= self.detached && self.state.finished();
        if self.doomed && self.pins == 0 { TaskChange::Freed { file: self.payload.is_none() } } else { TaskChange::Kept }
    }
}

#[test]
fn a_random_interleaving_goes_as_a_simple_model_says() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        interleaving(&mut rng);
    }
}

fn interleaving(rng: &mut fastrand::Rng) {
    let t = leak(6, 24);
    let mut known: Vec<Known> = Vec::new();
    let mut gone: Vec<Ticket> = Vec::new();
    for now in 1..400i64 {
        let pages: usize = known.iter().map(|k| k.payload.as_ref().map_or(0, Vec::len).div_ceil(PAGE_BYTES)).sum();
        assert_eq!(t.used(), (pages as u32, pages));
        if known.is_empty() || rng.u32(..6) == 0 {
            let free = known.len() < 6;
            let evictable = known.iter().filter(|k| k.state.finished() && k.pins == 0 && !free);
            // Of those that nobody has read, a failure goes last.
            let last = |k: &Known| !k.read && k.state != TaskState::Done;
            let victim = evictable.min_by_key(|k| (!k.read, last(k), k.finished, k.ticket.id)).cloned();
            match t.submit(&new(now as u32, b"model"), now) {
                Err(Full) => assert!(!free && victim.is_none()),
                Ok((ticket, file)) => {
                    let expected = victim.as_ref().filter(|k| k.payload.is_none()).map(|k| k.ticket.id);
                    assert_eq!((file, free || victim.is_some()), (expected, true));
                    known.retain(|k| victim.as_ref().is_none_or(|v| v.ticket != k.ticket));
                    gone.extend(victim.map(|k| k.ticket));
                    let lease = lease(rng.u32(..3), now as u64);
                    let (state, payload) = (TaskState::Filling, Some(Vec::new()));
                    let (pins, detached, doomed, read) = (0, false, false, false);
                    known.push(Known { ticket, state, lease, finished: 0, payload, pins, detached, doomed, read });
                }
            }
            continue;
        }
        let which = rng.usize(..known.len());
        let k = &mut known[which];
        let (ticket, from) = (k.ticket, k.state);
        let mut change = TaskChange::Kept;
        let end = |k: &mut Known, allowed: bool, state: TaskState| {
            if !allowed {
                return TaskChange::Ignored;
            }
            (k.state, k.finished) = (state, now);
            k.change()
        };
        match rng.u32(..14) {
            0 => {
                let to = *rng.choice(&[TaskState::Pending, TaskState::Queued]).unwrap();
                assert_eq!(t.offer(ticket, to), from == TaskState::Filling);
                k.state = if from == TaskState::Filling { to } else { from };
            }
            1 => {
                assert_eq!(t.confirm(ticket), from == TaskState::Pending);
                k.state = if from == TaskState::Pending { TaskState::Queued } else { from };
            }
            2 | 3 => {
                assert_eq!(t.take(ticket, k.lease, now), from == TaskState::Queued);
                k.state = if from == TaskState::Queued { TaskState::Running } else { from };
            }
            4 => {
                assert_eq!(t.requeue(ticket, k.lease), from == TaskState::Running);
                k.state = if from == TaskState::Running { TaskState::Queued } else { from };
            }
            5 | 6 => {
                let (how, state) = *rng
                    .choice(&[
                        (TaskEnd::Done, TaskState::Done),
                        (TaskEnd::Failed, TaskState::Failed),
                        (TaskEnd::Cancelled, TaskState::Cancelled),
                    ])
                    .unwrap();
                change = t.finish(ticket, k.lease, &outcome(how), now);
                assert_eq!(change, end(k, from == TaskState::Running, state));
            }
            7 => {
                change = t.cancel_queued(ticket, now);
                assert_eq!(change, end(k, matches!(from, TaskState::Pending | TaskState::Queued), TaskState::Cancelled));
                // A request is no result.
                k.payload.iter_mut().filter(|_| change != TaskChange::Ignored).for_each(Vec::clear);
            }
            8 => {
                let allowed = matches!(from, TaskState::Pending | TaskState::Filling);
                k.detached |= allowed;
                change = t.abandon(ticket, now);
                assert_eq!(change, end(k, allowed, TaskState::Cancelled));
                k.payload.iter_mut().filter(|_| allowed).for_each(Vec::clear);
            }
            9 => {
                assert_eq!(t.pin(ticket), !k.doomed);
                k.pins += u32::from(!k.doomed);
            }
            10 => {
                let pinned = k.pins > 0;
                k.pins -= u32::from(pinned);
                change = t.unpin(ticket);
                assert_eq!(change, if pinned { k.change() } else { TaskChange::Ignored });
            }
            11 => {
                k.detached = true;
                change = t.detach(ticket);
                assert_eq!(change, k.change());
            }
            12 => {
                k.read |= t.mark_read(ticket);
            }
            _ => {
                let bytes = vec![now as u8; rng.usize(..80_000)];
                let writable = matches!(from, TaskState::Filling | TaskState::Running);
                let before = k.payload.as_ref().map_or(0, Vec::len).div_ceil(PAGE_BYTES);
                let fits = bytes.len() <= MEMORY_PER_TASK && pages - before + bytes.len().div_ceil(PAGE_BYTES) <= 24;
                assert_eq!(t.store(ticket, &bytes), writable && fits);
                if writable && !fits {
                    assert!(t.set_on_disk(ticket, 1));
                }
                if writable {
                    k.payload = fits.then_some(bytes);
                }
            }
        }
        if matches!(change, TaskChange::Freed { .. }) {
            gone.push(known.swap_remove(which).ticket);
        }
        for k in &known {
            assert_eq!((t.state(k.ticket), t.find(k.ticket.id)), (Some(k.state), Some(k.ticket)));
            assert_eq!(t.running_on(k.lease), (k.state == TaskState::Running).then_some(k.ticket));
            let mut out = Vec::new();
            match (&k.payload, t.load(k.ticket, &mut out)) {
                (Some(payload), Ok(())) => assert!(*payload == out),
                (payload, loaded) => assert_eq!((payload.is_none(), loaded), (true, Err(Unloadable::OnDisk))),
            }
            let view = t.view(k.ticket.index);
            let told = view.map(|view| (view.card.ticket, view.card.state, view.pins, view.read, view.detached));
            assert_eq!(told, (k.state != TaskState::Filling).then_some((k.ticket, k.state, k.pins, k.read, k.detached)));
        }
        assert!(gone.iter().all(|&ticket| t.state(ticket).is_none() && !t.pin(ticket)));
        let queued = known.iter().filter(|k| k.state == TaskState::Queued).map(|k| k.ticket).min_by_key(|ticket| ticket.id);
        assert_eq!(t.oldest_queued(|_| true), queued);
    }
}

//! Who waits for whom, and whether that comes back to the one who asks.
//!
//! The server's own detector sees locks. It does not see that a caller waits for its worker, nor that
//! a caller waits for any worker to be free. Here all three are edges, and each waiting caller asks
//! whether it waits for itself. Nothing is locked while it asks, so what is found is true only if the
//! waits last; callers therefore ask again before they act on a chain of more than two.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "`Watch::look` has looked for what there may be of it")]

/// One process that another waits for, and the wait in the words of the server's deadlock report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    pub pid: u32,
    pub wait: Vec<u8>,
}

/// What a process waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    Nothing,
    /// A lock, a safe snapshot or a buffer: every one of these has to let go of it, or to be served before.
    Lock(Vec<Blocker>),
    /// Its autonomous transaction, in that process.
    Worker(u32),
    /// A worker to be free: any one of these will do.
    Slot(Vec<u32>),
    /// The session whose worker it is: its next command, or that it reads what has come.
    Owner(u32),
    /// Parallel workers of its own, of which any may bring it on.
    Members(Vec<u32>),
}

/// Why one process of a chain waits for the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// For a lock, in the words of the server's deadlock report.
    Lock(Vec<u8>),
    Worker,
    Slot,
    Owner,
    Member,
}

/// One step of a chain: a process and why it waits for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub pid: u32,
    pub next: u32,
    pub why: WaitReason,
}

/// The chain that the last look of a caller found. Each look sees the waits at slightly different times, so a caller believes in
/// a chain only when two looks in a row find it.
#[derive(Debug, Default)]
pub struct Suspect(Vec<(u32, u32)>);

/// What a look comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    Nothing,
    /// There is a chain, and another caller of it is the victim.
    Anothers,
    /// There is a chain that the look before has not found.
    Suspected,
    Deadlock(Vec<Step>),
}

impl Suspect {
    pub fn look<E>(&mut self, me: u32, wait_of: impl FnMut(u32) -> Result<Wait, E>) -> Result<Look, E> {
        let chain = cycle(me, &self.0, wait_of)?.unwrap_or_default();
        let links: Vec<_> = chain.iter().map(|step| (step.pid, step.next)).collect();
        if links.is_empty() {
            self.0.clear();
            return Ok(Look::Nothing);
        }
        if victims_caller(&chain).is_some_and(|caller| caller != me) {
            self.0.clear();
            return Ok(Look::Anothers);
        }
        if links == self.0 {
            return Ok(Look::Deadlock(chain));
        }
        self.0 = links;
        Ok(Look::Suspected)
    }
}

/// The chain of waits that leads from a process back to it, if there is one: the one suspected before, if it still is
/// there. For where several cycles come and go, each look could find another one.
fn cycle<E>(me: u32, suspect: &[(u32, u32)], mut wait_of: impl FnMut(u32) -> Result<Wait, E>) -> Result<Option<Vec<Step>>, E> {
    let mut graph: Vec<(u32, Wait)> = Vec::new();
    let mut left = vec![me];
    while let Some(pid) = left.pop() {
        if graph.iter().all(|(known, _)| *known != pid) {
            let wait = wait_of(pid)?;
            left.extend(wait.targets());
            graph.push((pid, wait));
        }
    }
    let stuck = rank(me, &graph);
    Ok(lasting(suspect, &stuck, &graph).or_else(|| chain(me, &stuck, &graph)))
}

/// That chain, if all its waits are there, and none of them ends by itself.
fn lasting(links: &[(u32, u32)], stuck: &[u32], graph: &[(u32, Wait)]) -> Option<Vec<Step>> {
    let there = |(pid, next): &(u32, u32)| {
        let (_, wait) = graph.iter().find(|(known, _)| known == pid)?;
        let lasts = stuck.contains(pid) && wait.targets().contains(next);
        lasts.then(|| step(*pid, *next, wait)).flatten()
    };
    if links.is_empty() { None } else { links.iter().map(there).collect() }
}

impl Wait {
    fn targets(&self) -> Vec<u32> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Worker(one) | Self::Owner(one) => vec![*one],
            Self::Lock(blockers) => blockers.iter().map(|blocker| blocker.pid).collect(),
            Self::Slot(holders) | Self::Members(holders) => holders.clone(),
        }
    }

    /// Does this wait last if those processes do not go on?
    fn lasts(&self, stuck: impl Fn(u32) -> bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Worker(one) | Self::Owner(one) => stuck(*one),
            // One blocker is enough.
            Self::Lock(blockers) => blockers.iter().any(|blocker| stuck(blocker.pid)),
            // As long as one holder goes on, it may set its worker free.
            Self::Slot(holders) | Self::Members(holders) => !holders.is_empty() && holders.iter().all(|holder| stuck(*holder)),
        }
    }
}

/// The processes that cannot go on before `me` does. Those that wait for any worker to be free may hold workers
/// themselves, and so wait for each other: they are supposed to be stuck until it turns out that one is not.
fn rank(me: u32, graph: &[(u32, Wait)]) -> Vec<u32> {
    let mut supposed: Vec<u32> = graph.iter().filter(|(_, wait)| matches!(wait, Wait::Slot(_))).map(|(pid, _)| *pid).collect();
    loop {
        let ranked = follow(me, &supposed, graph);
        let before = supposed.len();
        supposed.retain(|pid| ranked.contains(pid));
        if supposed.len() == before {
            return ranked;
        }
    }
}

fn follow(me: u32, supposed: &[u32], graph: &[(u32, Wait)]) -> Vec<u32> {
    let mut ranked: Vec<u32> = Vec::new();
    loop {
        let stuck = |pid: u32| pid == me || ranked.contains(&pid) || supposed.contains(&pid);
        let next = graph.iter().find(|(pid, wait)| !ranked.contains(pid) && wait.lasts(stuck));
        match next {
            Some((pid, _)) => ranked.push(*pid),
            None => return ranked,
        }
    }
}

/// From `me` over processes that are stuck back to `me`, the shortest way.
fn chain(me: u32, stuck: &[u32], graph: &[(u32, Wait)]) -> Option<Vec<Step>> {
    let wait_of = |pid: u32| graph.iter().find(|(known, _)| *known == pid).map(|(_, wait)| wait);
    let targets = |pid: u32| wait_of(pid).into_iter().flat_map(Wait::targets).filter(|target| stuck.contains(target));
    stuck.contains(&me).then_some(())?;
    let mut ways: Vec<Vec<u32>> = vec![vec![me]];
    // Of several that hold workers and wait for one, all see the same pair: so they agree on the victim.
    let waits_for_slot = |pid: u32| matches!(wait_of(pid), Some(Wait::Slot(_)));
    let rival = |pid: &u32| *pid != me && waits_for_slot(*pid) && targets(*pid).any(|target| target == me);
    if waits_for_slot(me)
        && let Some(rival) = targets(me).filter(rival).max()
    {
        ways = vec![vec![me, rival]];
    }
    let mut at = 0;
    while let Some(way) = ways.get(at).cloned() {
        let last = *way.last()?;
        for next in targets(last) {
            if next == me {
                return way.iter().zip(way[1..].iter().chain([&me])).map(|(pid, next)| step(*pid, *next, wait_of(*pid)?)).collect();
            }
            if ways.iter().all(|known| !known.contains(&next)) {
                ways.push([&way[..], &[next]].concat());
            }
        }
        at += 1;
    }
    None
}

fn step(pid: u32, next: u32, wait: &Wait) -> Option<Step> {
    let why = match wait {
        Wait::Lock(blockers) => WaitReason::Lock(blockers.iter().find(|blocker| blocker.pid == next)?.wait.clone()),
        Wait::Slot(_) => WaitReason::Slot,
        Wait::Owner(_) => WaitReason::Owner,
        Wait::Members(_) => WaitReason::Member,
        Wait::Worker(_) | Wait::Nothing => WaitReason::Worker,
    };
    Some(Step { pid, next, why })
}

/// In a cycle one autonomous transaction is the victim, the same whoever asks: one that has not begun,
/// as its caller waits for a worker, for nobody but that caller can see that none will come free; else,
/// of those that wait for a lock (not for a transaction of their own), the one in the process of the
/// highest number. Its caller.
pub fn victims_caller(chain: &[Step]) -> Option<u32> {
    let waits_for_slot = chain.iter().filter(|step| step.why == WaitReason::Slot).map(|step| step.pid).max();
    let leases = chain.iter().filter(|step| step.why == WaitReason::Worker);
    let blocked = |worker: u32| chain.iter().any(|step| step.pid == worker && matches!(step.why, WaitReason::Lock(_) | WaitReason::Member));
    let waits_for_lock = || leases.filter(|step| blocked(step.next)).max_by_key(|step| step.next).map(|step| step.pid);
    waits_for_slot.or_else(waits_for_lock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn lock(pids: &[u32]) -> Wait {
        Wait::Lock(pids.iter().map(|pid| Blocker { pid: *pid, wait: format!("lock of {pid}").into_bytes() }).collect())
    }

    fn ask(me: u32, waits: &HashMap<u32, Wait>) -> Option<Vec<Step>> {
        cycle::<()>(me, &[], |pid| Ok(waits.get(&pid).cloned().unwrap_or(Wait::Nothing))).unwrap()
    }

    #[test]
    fn a_worker_that_waits_for_its_caller_is_seen_by_the_caller() {
        let waits = HashMap::from([(1, Wait::Worker(2)), (2, lock(&[9, 1]))]);
        let chain = ask(1, &waits).unwrap();
        assert_eq!(chain.iter().map(|s| (s.pid, s.next)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
        assert_eq!(victims_caller(&chain), Some(1));
    }

    #[test]
    fn two_sessions_and_two_workers_have_one_victim_whoever_asks() {
        let waits = HashMap::from([(1, Wait::Worker(2)), (2, lock(&[3])), (3, Wait::Worker(4)), (4, lock(&[1]))]);
        for me in [1, 3] {
            let chain = ask(me, &waits).unwrap();
            assert_eq!(chain.len(), 4);
            assert_eq!(victims_caller(&chain), Some(3), "asked by {me}");
        }
    }

    #[test]
    fn the_innermost_of_nested_transactions_is_the_victim() {
        let waits = HashMap::from([(1, Wait::Worker(20)), (20, Wait::Worker(3)), (3, lock(&[1]))]);
        assert_eq!(victims_caller(&ask(1, &waits).unwrap()), Some(20));
        assert_eq!(
            victims_caller(&ask(20, &HashMap::from([(1, Wait::Worker(20)), (20, Wait::Worker(3)), (3, lock(&[1]))])).unwrap()),
            Some(20)
        );
    }

    #[test]
    fn a_session_that_waits_for_its_owner_is_part_of_a_chain() {
        let waits = HashMap::from([(1, Wait::Worker(2)), (2, lock(&[3])), (3, Wait::Owner(1))]);
        let chain = ask(1, &waits).unwrap();
        assert_eq!(chain.iter().map(|s| (s.pid, s.next)).collect::<Vec<_>>(), [(1, 2), (2, 3), (3, 1)]);
        assert_eq!(chain[2].why, WaitReason::Owner);
        assert_eq!(victims_caller(&chain), Some(1));
    }

    #[test]
    fn a_chain_that_was_suspected_is_found_again_whatever_others_there_are() {
        let mut waits = HashMap::from([(1, Wait::Worker(2)), (2, lock(&[3])), (3, Wait::Worker(4)), (4, lock(&[1]))]);
        let links: Vec<_> = ask(1, &waits).unwrap().iter().map(|step| (step.pid, step.next)).collect();
        waits.insert(2, lock(&[1, 3]));
        assert_eq!(ask(1, &waits).unwrap().len(), 2, "a shorter one");
        let again = |waits: &HashMap<u32, Wait>| {
            let found = cycle::<()>(1, &links, |pid| Ok(waits.get(&pid).cloned().unwrap_or(Wait::Nothing))).unwrap();
            found.map(|chain| chain.iter().map(|step| (step.pid, step.next)).collect::<Vec<_>>())
        };
        assert_eq!(again(&waits), Some(links.clone()));
        waits.insert(4, Wait::Nothing);
        assert_eq!(again(&waits), Some(vec![(1, 2), (2, 1)]), "not one that has gone");
    }

    #[test]
    fn two_looks_in_a_row_are_a_deadlock_even_if_a_shorter_chain_comes_between() {
        let mut waits = HashMap::from([(1, Wait::Worker(2)), (2, lock(&[5])), (5, lock(&[6])), (6, lock(&[1]))]);
        let mut suspect = Suspect::default();
        let mut look =
            |waits: &HashMap<u32, Wait>| suspect.look::<()>(1, |pid| Ok(waits.get(&pid).cloned().unwrap_or(Wait::Nothing))).unwrap();
        assert_eq!(look(&waits), Look::Suspected);
        waits.insert(2, lock(&[1, 5]));
        let Look::Deadlock(chain) = look(&waits) else { panic!("the second look finds another chain") };
        assert_eq!(chain.len(), 4);
        waits.insert(5, Wait::Nothing);
        assert_eq!(look(&waits), Look::Suspected, "one look is not enough for the shorter one");
        waits.insert(2, Wait::Nothing);
        assert_eq!(look(&waits), Look::Nothing);
        waits.insert(2, lock(&[1]));
        assert_eq!(look(&waits), Look::Suspected, "nor are two with another one between them");
    }

    #[test]
    fn who_waits_for_parallel_workers_is_stuck_when_all_of_them_are() {
        let mut waits = HashMap::from([(1, Wait::Worker(2)), (2, Wait::Members(vec![3, 4])), (3, lock(&[1])), (4, Wait::Nothing)]);
        assert_eq!(ask(1, &waits), None);
        waits.insert(4, lock(&[1]));
        let chain = ask(1, &waits).unwrap();
        assert_eq!(chain[1].why, WaitReason::Member);
        assert_eq!(victims_caller(&chain), Some(1));
    }

    #[test]
    fn a_cycle_that_does_not_pass_through_the_one_who_asks_is_not_its_own() {
        let waits = HashMap::from([(1, Wait::Worker(2)), (2, lock(&[3])), (3, lock(&[4])), (4, lock(&[3]))]);
        assert_eq!(ask(1, &waits), None);
    }

    #[test]
    fn a_wait_for_any_worker_is_a_deadlock_only_if_none_can_come_free() {
        let mut waits = HashMap::from([(1, Wait::Slot(vec![2, 3])), (2, lock(&[1]))]);
        assert_eq!(ask(1, &waits), None);
        waits.insert(3, lock(&[1]));
        let chain = ask(1, &waits).unwrap();
        assert_eq!(chain[0].why, WaitReason::Slot);
        assert_eq!(victims_caller(&chain), Some(1));
        // The same where the workers wait for each other on the way.
        let nested = HashMap::from([(1, Wait::Slot(vec![2, 3])), (2, Wait::Worker(3)), (3, lock(&[1]))]);
        assert_eq!(victims_caller(&ask(1, &nested).unwrap()), Some(1));
        assert_eq!(ask(1, &HashMap::from([(1, Wait::Slot(vec![]))])), None);
    }

    #[test]
    fn those_that_hold_the_workers_and_wait_for_one_have_one_victim() {
        for count in 1..=4 {
            let all: Vec<u32> = (1..=count).collect();
            let mut waits: HashMap<u32, Wait> = all.iter().map(|pid| (*pid, Wait::Slot(all.clone()))).collect();
            let victims: Vec<_> = all.iter().map(|me| victims_caller(&ask(*me, &waits).unwrap())).collect();
            assert_eq!(victims, vec![Some(count); count as usize]);
            // Who holds none waits, but is not part of it.
            waits.insert(9, Wait::Slot(all.clone()));
            assert_eq!(ask(9, &waits), None);
            // One that goes on is enough.
            waits.insert(1, Wait::Nothing);
            assert!(all.iter().all(|me| ask(*me, &waits).is_none()));
        }
    }

    /// Reachability by repeated marking: slow and plain.
    fn reference(me: u32, waits: &HashMap<u32, Wait>) -> bool {
        let mut leads: HashMap<u32, bool> = HashMap::new();
        loop {
            let mut changed = false;
            for (pid, wait) in waits {
                let to_me = |p: u32| p == me || leads.get(&p).copied().unwrap_or(false);
                let now = match wait {
                    Wait::Nothing => false,
                    Wait::Worker(w) | Wait::Owner(w) => to_me(*w),
                    Wait::Lock(blockers) => blockers.iter().any(|b| to_me(b.pid)),
                    Wait::Slot(any) | Wait::Members(any) => !any.is_empty() && any.iter().all(|h| to_me(*h)),
                };
                if now && !leads.get(pid).copied().unwrap_or(false) {
                    leads.insert(*pid, true);
                    changed = true;
                }
            }
            if !changed {
                return leads.get(&me).copied().unwrap_or(false);
            }
        }
    }

    #[test]
    fn random_graphs_agree_with_plain_reachability() {
        let mut state = 88_172_645_463_325_252u64;
        let mut random = move |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % n) as u32
        };
        let mut cycles = 0;
        for round in 0..20_000 {
            let n = 2 + random(8);
            let mut waits = HashMap::new();
            for pid in 1..=n {
                let some = |random: &mut dyn FnMut(u64) -> u32| -> Vec<u32> {
                    (0..1 + random(3)).map(|_| 1 + random(u64::from(n))).filter(|p| *p != pid).collect()
                };
                let wait = match random(6) {
                    0 | 1 => lock(&some(&mut random)),
                    2 => Wait::Worker(1 + random(u64::from(n))),
                    5 => Wait::Members(some(&mut random)),
                    // Only who asks waits for a worker: an alternative that is being looked at is taken to be free.
                    3 if pid == 1 => Wait::Slot(some(&mut random)),
                    _ => Wait::Nothing,
                };
                waits.insert(pid, wait);
            }
            let expected = reference(1, &waits);
            let found = ask(1, &waits);
            assert_eq!(found.is_some(), expected, "round {round}: {waits:?}");
            if let Some(chain) = found {
                cycles += 1;
                assert_eq!(chain[0].pid, 1);
                assert!(chain.windows(2).all(|w| w[0].next == w[1].pid), "{chain:?}");
                assert_eq!(chain.last().unwrap().next, 1);
            }
        }
        assert!(cycles > 1_000, "{cycles}");
    }
}

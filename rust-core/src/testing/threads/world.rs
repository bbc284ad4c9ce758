//! The simulated world: processes with latches, signals and clocks of their own, the database, and
//! the faults that a test orders. Real time passes only while somebody sleeps, and then little of it.

use crate::host::{Slept, WorkerConfig};
use crate::memory::tests::Refusal;
use crate::pool::area::{Area, tests::leak};
use crate::pool::place::Processors;
use crate::pool::slot::SlotState;
use crate::task::{Table, TaskState, tests::leak as leak_tasks};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Real time that a sleep takes at most; its whole length passes on the simulated clock.
const SLICE: Duration = Duration::from_micros(500);
/// Longer sleeps end early and without a word, as a latch may.
const LONG_MS: u32 = 60_000;
const LONG_SLICE: Duration = Duration::from_millis(20);
/// When a condition that is waited for counts as never.
const NEVER: Duration = Duration::from_secs(20);

/// All that there are.
const PROCESSORS: Processors = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// One server process.
pub struct Proc {
    pub pid: u32,
    pub proc: u32,
    latch: Mutex<bool>,
    set: Condvar,
    now_us: AtomicU64,
    /// SIGINT and SIGTERM, not served yet.
    pub cancel: AtomicBool,
    pub die: AtomicBool,
    pub gone: AtomicBool,
    /// The process whose lock this one waits for.
    pub waits_for: AtomicU32,
    /// The process whose pin it waits for.
    pub waits_for_pin: AtomicU32,
    pub enlisted: AtomicBool,
    /// It sleeps for as long as nobody wakes it.
    pub sound: AtomicBool,
}

impl Proc {
    /// Monotonic.
    pub fn now_us(&self) -> u64 {
        self.now_us.load(Relaxed)
    }

    /// The clock on the wall.
    pub fn timestamp(&self) -> i64 {
        self.now_us.load(Relaxed) as i64
    }

    pub fn pass_us(&self, us: u64) {
        self.now_us.fetch_add(us, Relaxed);
    }

    pub fn wake(&self) {
        *self.latch.lock().unwrap() = true;
        self.set.notify_one();
    }

    pub fn clear(&self) {
        *self.latch.lock().unwrap() = false;
    }

    /// Sleep until the latch is set, however long that takes.
    pub fn sleep_soundly(&self) {
        let latch = self.latch.lock().unwrap();
        self.sound.store(!*latch, SeqCst);
        let mut latch = self.set.wait_timeout_while(latch, 2 * NEVER, |set| !*set).unwrap().0;
        self.sound.store(false, SeqCst);
        *latch = false;
    }

    /// Sleep on the latch and clear it.
    pub fn nap(&self, timeout_ms: u32) -> Slept {
        let real = if timeout_ms > LONG_MS { LONG_SLICE } else { SLICE };
        let latch = self.latch.lock().unwrap();
        let mut latch = self.set.wait_timeout_while(latch, real, |set| !*set).unwrap().0;
        if std::mem::take(&mut *latch) || timeout_ms > LONG_MS {
            return Slept::Woken;
        }
        self.pass_us(u64::from(timeout_ms) * 1000);
        Slept::TimedOut
    }
}

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The host meets an error.
    Fail,
    /// The process ends.
    Die,
}

#[derive(Default)]
pub struct Faults {
    wanted: Option<(&'static str, u32, Fault)>,
    pub counts: BTreeMap<&'static str, u32>,
    pub fired: bool,
    /// Faults at random instead, and their source.
    pub chaos: Option<fastrand::Rng>,
}

pub struct World {
    pub area: Area<'static>,
    procs: Mutex<Vec<Arc<Proc>>>,
    /// The process last launched for each slot.
    pub launched: Mutex<HashMap<u32, Arc<Proc>>>,
    pub faults: Mutex<Faults>,
    /// What the database holds: transaction and tag.
    pub commits: Mutex<Vec<(u64, String)>>,
    pub next_xid: AtomicU64,
    pub outcome_unknown: AtomicBool,
    /// Steps of worker hosts, by pid.
    pub log: Mutex<Vec<(u32, String)>>,
    /// What workers were told of their callers.
    pub origins: Mutex<Vec<Option<Vec<u8>>>>,
    /// SIGINT (false) and SIGTERM (true) as callers sent them.
    pub signals: Mutex<Vec<(u32, bool)>>,
    pub config: Mutex<WorkerConfig>,
    /// Doors that tests open for workers that wait at them.
    doors: Mutex<HashSet<String>>,
    pub max_worker_processes: AtomicU32,
    /// Of others, who can do without.
    pub spare_processes: AtomicU32,
    pub violations: Mutex<Vec<String>>,
    /// Files and journal of tasks.
    pub files: Mutex<HashMap<u64, Vec<u8>>>,
    pub journal: Mutex<HashMap<u32, Vec<u8>>>,
    table: Mutex<Option<Table<'static>>>,
    /// How often the catalogs have changed.
    pub catalogs: AtomicU64,
    /// Locks of the database, and the processes that hold them.
    pub locks: Mutex<HashMap<String, u32>>,
    /// Parallel workers, by the process that waits for them.
    pub groups: Mutex<HashMap<u32, Vec<u32>>>,
    /// Memory that workers do not get.
    pub refusal: Mutex<Refusal>,
    /// Who may not use all processors, and what they may use.
    pub kept: Mutex<HashMap<u32, Processors>>,
    /// Commits that callers have waited for, and how.
    pub flushed: Mutex<Vec<(u64, u32)>>,
    /// Processes nap on words before they sleep on their latches.
    pub naps: AtomicBool,
    /// Who sleeps on whatever word.
    napping: Mutex<()>,
    roused: Condvar,
}

impl World {
    pub fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self {
            area: leak(slots, 4096),
            procs: Mutex::default(),
            launched: Mutex::default(),
            faults: Mutex::default(),
            commits: Mutex::default(),
            next_xid: AtomicU64::new(700),
            catalogs: AtomicU64::new(1),
            outcome_unknown: AtomicBool::new(false),
            log: Mutex::default(),
            origins: Mutex::default(),
            signals: Mutex::default(),
            config: Mutex::new(WorkerConfig {
                idle_timeout_ms: u32::MAX,
                min_workers: 0,
                poll_us: 0,
                nap_ms: 10,
                plan_cache_size: 8,
                session_idle_ms: 0,
                block_idle_ms: 0,
                result_bytes: u64::MAX,
                role_bytes: 0,
            }),
            doors: Mutex::default(),
            max_worker_processes: AtomicU32::new(u32::MAX),
            spare_processes: AtomicU32::new(0),
            violations: Mutex::default(),
            files: Mutex::default(),
            journal: Mutex::default(),
            table: Mutex::default(),
            locks: Mutex::default(),
            groups: Mutex::default(),
            refusal: Mutex::default(),
            kept: Mutex::default(),
            flushed: Mutex::default(),
            naps: AtomicBool::new(false),
            napping: Mutex::default(),
            roused: Condvar::new(),
        })
    }

    /// A world with tasks.
    pub fn with_tasks(slots: usize, tasks: usize, pages: usize) -> Arc<Self> {
        let world = Self::new(slots);
        world.lay_out_tasks(tasks, pages);
        world
    }

    pub fn lay_out_tasks(&self, tasks: usize, pages: usize) {
        *self.table.lock().unwrap() = Some(leak_tasks(tasks, pages));
    }

    pub fn table(&self) -> Option<Table<'static>> {
        *self.table.lock().unwrap()
    }

    /// A new process.
    pub fn fork(&self) -> Arc<Proc> {
        let mut procs = self.procs.lock().unwrap();
        let me = Arc::new(Proc {
            pid: 1000 + procs.len() as u32,
            proc: procs.len() as u32,
            latch: Mutex::new(false),
            set: Condvar::new(),
            now_us: AtomicU64::new(0),
            cancel: AtomicBool::new(false),
            die: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            waits_for: AtomicU32::new(0),
            waits_for_pin: AtomicU32::new(0),
            enlisted: AtomicBool::new(false),
            sound: AtomicBool::new(false),
        });
        procs.push(me.clone());
        me
    }

    pub fn by_latch(&self, proc: u32) -> Option<Arc<Proc>> {
        self.procs.lock().unwrap().get(proc as usize).cloned()
    }

    pub fn by_pid(&self, pid: u32) -> Option<Arc<Proc>> {
        self.by_latch(pid.checked_sub(1000)?).filter(|p| !p.gone.load(SeqCst))
    }

    pub fn alive(&self, pid: u32) -> bool {
        self.by_pid(pid).is_some()
    }

    pub fn signal(&self, pid: u32, terminate: bool) {
        self.signals.lock().unwrap().push((pid, terminate));
        if let Some(proc) = self.by_pid(pid) {
            if terminate { &proc.die } else { &proc.cancel }.store(true, SeqCst);
            proc.wake();
            self.rouse();
        }
    }

    /// Sleep on a word. A signal that came before is not noticed, one that comes meanwhile ends it.
    pub fn nap(&self, me: &Proc, word: &AtomicU32, is: u32, timeout_ms: u32) -> Slept {
        let napping = self.napping.lock().unwrap();
        let signals = || (me.cancel.load(SeqCst), me.die.load(SeqCst));
        let before = signals();
        let longest = if self.is_open("nap soundly") { NEVER } else { SLICE };
        let stays = |_: &mut ()| word.load(SeqCst) == is && signals() == before;
        if self.roused.wait_timeout_while(napping, longest, stays).unwrap().1.timed_out() {
            me.pass_us(u64::from(timeout_ms) * 1000);
            return Slept::TimedOut;
        }
        Slept::Woken
    }

    /// The processors that a process may use.
    pub fn allowed(&self, pid: u32) -> Processors {
        self.kept.lock().unwrap().get(&pid).copied().unwrap_or(PROCESSORS)
    }

    /// Workers that sleep on their latches, or serve who does not wait for them, and may not run everywhere.
    pub fn bound(&self) -> Vec<u32> {
        let kept = self.kept.lock().unwrap();
        kept.iter().filter(|(pid, allowed)| self.alive(**pid) && **allowed != PROCESSORS).map(|(pid, _)| *pid).collect()
    }

    pub fn rouse(&self) {
        drop(self.napping.lock().unwrap());
        self.roused.notify_all();
    }

    /// Who waits for a pin of this process.
    pub fn pins_wanted(&self, pid: u32) -> Vec<u32> {
        let procs = self.procs.lock().unwrap();
        procs.iter().filter(|proc| proc.waits_for_pin.load(SeqCst) == pid).map(|proc| proc.pid).collect()
    }

    pub fn signal_waiters(&self) {
        let all = self.procs.lock().unwrap().clone();
        all.iter().filter(|p| p.enlisted.load(SeqCst)).for_each(|p| p.wake());
    }

    /// Order a fault at the nth time that a step is reached.
    pub fn inject(&self, step: &'static str, nth: u32, fault: Fault) {
        self.faults.lock().unwrap().wanted = Some((step, nth, fault));
    }

    /// Take back an order that was not met; was it?
    pub fn met(&self) -> bool {
        let mut faults = self.faults.lock().unwrap();
        faults.wanted = None;
        faults.fired
    }

    /// A step is reached: does anything happen to it?
    pub fn step(&self, step: &'static str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let count = faults.counts.entry(step).or_default();
        *count += 1;
        let count = *count;
        if let Some(rng) = &mut faults.chaos {
            return match rng.u32(..400) {
                0..2 => Some(Fault::Fail),
                2 => Some(Fault::Die),
                _ => None,
            };
        }
        let (_, _, fault) = faults.wanted.filter(|(s, n, _)| *s == step && *n == count)?;
        faults.fired = true;
        Some(fault)
    }

    /// One in so many, where faults come at random.
    pub fn by_chance(&self, one_in: u32) -> bool {
        self.faults.lock().unwrap().chaos.as_mut().is_some_and(|rng| rng.u32(..one_in) == 0)
    }

    pub fn open(&self, door: &str) {
        self.doors.lock().unwrap().insert(door.into());
        self.wake_all();
    }

    pub fn close(&self, door: &str) {
        self.doors.lock().unwrap().remove(door);
    }

    pub fn is_open(&self, door: &str) -> bool {
        self.doors.lock().unwrap().contains(door)
    }

    pub fn wake_all(&self) {
        self.procs.lock().unwrap().iter().for_each(|p| p.wake());
    }

    /// The least that something comes to while everybody is woken a few times.
    pub fn low_water(&self, measure: impl Fn() -> usize) -> usize {
        let look = |_| {
            self.wake_all();
            std::thread::sleep(SLICE);
            measure()
        };
        (0..10).map(look).min().unwrap_or(0)
    }

    pub fn committed(&self, tag: &str) -> bool {
        self.commits.lock().unwrap().iter().any(|(_, t)| t == tag)
    }

    /// How often it was committed.
    pub fn times(&self, tag: &str) -> usize {
        self.commits.lock().unwrap().iter().filter(|(_, t)| t == tag).count()
    }

    /// The transaction of a process has ended.
    pub fn unlock(&self, pid: u32) {
        let mut locks = self.locks.lock().unwrap();
        let before = locks.len();
        locks.retain(|_, holder| *holder != pid);
        if locks.len() < before {
            self.wake_all();
        }
    }

    /// Steps of the worker hosts so far, in one line.
    pub fn steps(&self) -> String {
        self.log.lock().unwrap().iter().map(|(_, step)| step.as_str()).collect::<Vec<_>>().join(" ")
    }

    pub fn count(&self, state: SlotState) -> usize {
        self.area.slots.iter().filter(|s| s.state().0 == state).count()
    }

    /// Every lease has ended and nobody is counted as waiting.
    pub fn settle(&self) {
        let quiet = |s: SlotState| matches!(s, SlotState::Idle | SlotState::Free);
        until(
            || self.area.slots.iter().all(|s| quiet(s.state().0)) && self.area.busy() == 0 && self.area.waiters() == 0,
            || {
                let states: Vec<_> = self.area.slots.iter().map(|s| s.state()).collect();
                format!("no lease left open: {states:?}, busy {}, waiters {}", self.area.busy(), self.area.waiters())
            },
        );
    }

    /// Every task that was ever submitted is gone, with all that it had; where a worker is about to say so, soon.
    pub fn no_task_left(&self, case: &str) {
        let table = self.table().unwrap();
        let left = || (1..=table.header.next_id.load(SeqCst)).filter(|id| table.find(*id).is_some()).collect::<Vec<_>>();
        let used = || table.header.pages_used.load(SeqCst);
        let files = || self.files.lock().unwrap().keys().copied().collect::<Vec<_>>();
        until(
            || left().is_empty() && used() == 0 && files().is_empty(),
            || format!("{case}: nothing is left of tasks {:?}, {} pages, files {:?}", left(), used(), files()),
        );
        self.nobody_waits(case);
    }

    /// Nobody is listed as waiting for a task, and none is held by anybody.
    pub fn nobody_waits(&self, case: &str) {
        let table = self.table().unwrap();
        let waits = |proc: &Arc<Proc>| table.waiters().waits_of(proc.pid).into_iter().map(|task| (proc.pid, task)).collect::<Vec<_>>();
        let waiters: Vec<_> = self.procs.lock().unwrap().iter().flat_map(waits).collect();
        assert_eq!(waiters, [], "{case}: waiters");
        // A worker may just be writing down how one has ended.
        let pins = || (0..table.entries.len() as u32).filter_map(|index| table.view(index)).map(|view| view.pins).sum::<u32>();
        until(|| pins() == 0, || format!("{case}: nobody holds a task"));
    }

    /// No task waits for a worker, or runs.
    pub fn tasks_end(&self, case: &str) {
        let table = self.table().unwrap();
        until(
            || table.cards().all(|card| card.state.finished()),
            || {
                let states: Vec<_> = self.area.slots.iter().map(|s| s.state()).collect();
                let left: Vec<_> = table.cards().filter(|card| card.state != TaskState::Done).collect();
                format!("{case}: tasks end: {left:?}, slots {states:?}, busy {}", self.area.busy())
            },
        );
    }

    /// Settle, end all workers, and see that they are gone.
    pub fn shut_down(&self) {
        self.settle();
        self.area.header.closing.store(1, SeqCst);
        self.wake_all();
        until(|| self.count(SlotState::Free) == self.area.slots.len(), || "all workers gone".into());
        assert_eq!(*self.violations.lock().unwrap(), Vec::<String>::new());
    }
}

/// Wait for a condition; fail where it does not come true.
pub fn until(mut condition: impl FnMut() -> bool, what: impl FnOnce() -> String) {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > NEVER {
            panic!("never came true: {}", what());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// A process that has exited: its frames stay where they were, for ever.
pub fn parked() -> ! {
    loop {
        std::thread::park();
    }
}

/// A thread that is a process, or a part of the test; small, for there are many.
pub fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().stack_size(512 * 1024).spawn(body).unwrap()
}

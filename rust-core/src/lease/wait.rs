//! How a caller sleeps until what it waits for is there: it looks at growing intervals, and also for deadlocks that only
//! it can see.

use crate::host::{CallerHost, Saved};
use crate::pool::area::Area;
use crate::pool::deadlock::Watch;
use std::ops::ControlFlow::{self, Break, Continue};

/// Sleeps between looks: the first, and the longest.
pub(super) const FIRST_TICK_MS: u32 = 10;
const LONGEST_TICK_MS: u32 = 50;

/// Sleep until `ready` breaks with what came of it. Until then it says how many milliseconds a sleep may last at most.
pub(crate) fn sleep_until<H: CallerHost, T, E: From<Saved>>(
    h: &H,
    area: &Area,
    deadlock_ms: u32,
    ready: impl FnMut() -> Result<ControlFlow<T, u32>, E>,
    look_for_deadlock: impl FnMut(&mut Watch) -> Result<(), E>,
) -> Result<T, E> {
    let mut watch = Watch::new(h.now_us(), deadlock_ms);
    let slept = sleep_and_watch(h, &mut watch, ready, look_for_deadlock);
    watch.end(h, area);
    slept
}

fn sleep_and_watch<H: CallerHost, T, E: From<Saved>>(
    h: &H,
    watch: &mut Watch,
    mut ready: impl FnMut() -> Result<ControlFlow<T, u32>, E>,
    mut look_for_deadlock: impl FnMut(&mut Watch) -> Result<(), E>,
) -> Result<T, E> {
    let mut tick = FIRST_TICK_MS;
    let mut looked = h.now_us();
    loop {
        let most = match ready()? {
            Break(ended) => return Ok(ended),
            Continue(most) => most,
        };
        _ = h.sleep(tick.min(most))?;
        // Who is woken often, for others' sake, looks all the same.
        if h.now_us().saturating_sub(looked) >= u64::from(tick) * 1000 {
            looked = h.now_us();
            tick = (tick * 2).min(LONGEST_TICK_MS);
            look_for_deadlock(watch)?;
        }
    }
}

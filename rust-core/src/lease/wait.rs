//! How a caller sleeps until what it waits for is there: it looks at growing intervals, and also for deadlocks that only
//! it can see.

use crate::host::{CallerHost, Saved, Slept};
use crate::pool::area::Area;
use crate::pool::deadlock::Watch;
use crate::pool::slot::Slot;
use std::ops::ControlFlow::{self, Break, Continue};

/// Sleeps between looks: the first, and the longest.
pub(super) const FIRST_TICK_MS: u32 = 10;
const LONGEST_TICK_MS: u32 = 50;

/// Sleep until `ready` breaks with what came of it. Until then it says how many milliseconds a sleep may last at most. For the
/// answer of a slot's worker this process naps for so many milliseconds first; then that worker may run anywhere.
pub(crate) fn sleep_until<H: CallerHost, T, E: From<Saved>>(
    h: &H,
    area: &Area,
    deadlock_ms: u32,
    naps: Option<(&Slot, u32)>,
    ready: impl FnMut() -> Result<ControlFlow<T, u32>, E>,
    look_for_deadlock: impl FnMut(&mut Watch) -> Result<(), E>,
) -> Result<T, E> {
    let mut watch = Watch::new(h.now_us(), deadlock_ms);
    let slept = sleep_and_watch(h, &mut watch, naps.filter(|_| h.naps()), ready, look_for_deadlock);
    watch.end(h, area);
    slept
}

fn sleep_and_watch<H: CallerHost, T, E: From<Saved>>(
    h: &H,
    watch: &mut Watch,
    naps: Option<(&Slot, u32)>,
    mut ready: impl FnMut() -> Result<ControlFlow<T, u32>, E>,
    mut look_for_deadlock: impl FnMut(&mut Watch) -> Result<(), E>,
) -> Result<T, E> {
    let mut tick = FIRST_TICK_MS;
    let mut looked = h.now_us();
    let start = looked;
    loop {
        let most = match ready()? {
            Break(ended) => return Ok(ended),
            Continue(most) => most,
        };
        let nap = naps.filter(|(_, ms)| h.now_us().saturating_sub(start) < u64::from(*ms) * 1000);
        if let Some((slot, _)) = nap {
            let mut ended = None;
            let slept = slot.caller_bell.nap(h, most, || {
                ended = Some(ready());
                !matches!(ended, Some(Ok(Continue(_))))
            });
            match ended {
                Some(Ok(Break(ended))) => return Ok(ended),
                Some(Err(stop)) => return Err(stop),
                _ => {}
            }
            if slept == Slept::TimedOut || h.interrupt_pending() {
                h.sleep(0)?;
            }
        } else {
            naps.into_iter().for_each(|(slot, _)| slot.spread(h));
            h.sleep(tick.min(most))?;
        }
        // A process that others wake often looks all the same.
        if h.now_us().saturating_sub(looked) >= u64::from(tick) * 1000 {
            looked = h.now_us();
            tick = (tick * 2).min(LONGEST_TICK_MS);
            look_for_deadlock(watch)?;
        }
    }
}

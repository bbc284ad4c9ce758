//! What becomes of a part that fails: it pauses, ever longer while it goes on failing, and the log is told once.

pub(super) const FIRST_PAUSE_US: u64 = 100_000;
const LONGEST_PAUSE_US: u64 = 10_000_000;

/// After so long without a failure it is over: what comes and goes is said once.
const CALM_US: u64 = 2_000_000;

#[derive(Debug, Default)]
pub(super) struct Health {
    /// How long it pauses since it failed the last time; 0: the last step went well.
    pause_us: u64,
    failed_at: u64,
    /// The SQLSTATE of which the log has been told.
    said: u32,
}

impl Health {
    pub fn fails(&self) -> bool {
        self.pause_us > 0
    }

    /// Microseconds that it still pauses. Whatever comes meanwhile does not cut it short.
    pub fn pause(&self, now_us: u64) -> u64 {
        (self.failed_at + self.pause_us).saturating_sub(now_us)
    }

    /// A step failed like this: is that to be said?
    pub fn failed(&mut self, now_us: u64, sqlstate: u32) -> bool {
        self.pause_us = if self.pause_us == 0 { FIRST_PAUSE_US } else { (self.pause_us * 2).min(LONGEST_PAUSE_US) };
        self.failed_at = now_us;
        std::mem::replace(&mut self.said, sqlstate) != sqlstate
    }

    /// A step went well: is it to be said that all is well again?
    pub fn worked(&mut self, now_us: u64) -> bool {
        self.pause_us = 0;
        let over = self.said != 0 && now_us.saturating_sub(self.failed_at) > CALM_US;
        if over {
            self.said = 0;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{CONNECTION_FAILURE, OUT_OF_MEMORY};

    #[test]
    fn who_goes_on_failing_pauses_ever_longer_and_is_told_of_once() {
        let (mut health, mut now) = (Health::default(), 1_000_000);
        let mut pauses = Vec::new();
        for n in 0..9 {
            assert_eq!(health.failed(now, OUT_OF_MEMORY), n == 0);
            pauses.push(health.pause(now) / 1000);
            assert_eq!(health.pause(now + 40_000), health.pause(now) - 40_000);
            now += health.pause(now);
            assert_eq!(health.pause(now), 0);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert!(health.failed(now, CONNECTION_FAILURE), "another error");
        assert!(!health.failed(now, CONNECTION_FAILURE));
    }

    #[test]
    fn that_it_works_again_is_said_once_when_it_has_done_so_for_a_while() {
        let mut health = Health::default();
        assert!(!health.worked(0) && !health.fails());
        health.failed(1_000_000, OUT_OF_MEMORY);
        assert!(health.fails());
        assert!(!health.worked(1_100_000) && !health.fails());
        assert!(!health.failed(1_200_000, OUT_OF_MEMORY), "it comes and goes");
        assert_eq!(health.pause(1_200_000), FIRST_PAUSE_US, "it begins anew");
        assert!(!health.worked(1_200_000 + CALM_US) && health.worked(1_200_001 + CALM_US));
        assert!(!health.worked(9_000_000));
        assert!(health.failed(9_000_000, OUT_OF_MEMORY), "and then it fails anew");
    }
}

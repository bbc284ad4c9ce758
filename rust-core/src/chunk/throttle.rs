//! When a job holds back because the server has enough to do.

/// What a job must not exceed. What is None does not matter to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    pub lag_us: Option<i64>,
    pub lag_bytes: Option<i64>,
    pub sessions: Option<i64>,
    /// Bytes of WAL in a second.
    pub wal_rate: Option<i64>,
    /// The average length of the run queue in the last minute, in thousandths.
    pub load_milli: Option<i64>,
    /// It works between these seconds of a day; through midnight if the second one is smaller.
    pub window: Option<(i64, i64)>,
}

/// How the server fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Of the standby that is farthest behind.
    pub lag_us: i64,
    pub lag_bytes: i64,
    pub sessions: i64,
    /// The position of the WAL.
    pub wal: u64,
    pub load_milli: i64,
}

/// What a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBackBy {
    Lag,
    Sessions,
    WalRate,
    Load,
    Window,
}

/// Looks at the server, and remembers as much as a rate needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauge {
    last: Option<(Measured, u64)>,
    wal_rate: i64,
}

/// Between looks.
const LOOK_EVERY_US: u64 = 1_000_000;

impl Gauge {
    /// When it is to look again.
    pub fn due_us(&self) -> u64 {
        self.last.map_or(0, |(_, at)| at.saturating_add(LOOK_EVERY_US))
    }

    pub fn take(&mut self, measured: Measured, now_us: u64) {
        if let Some((before, at)) = self.last {
            let (bytes, us) = (measured.wal.saturating_sub(before.wal), now_us.saturating_sub(at).max(1));
            self.wal_rate = i64::try_from(u128::from(bytes) * 1_000_000 / u128::from(us)).unwrap_or(i64::MAX);
        }
        self.last = Some((measured, now_us));
    }

    /// Why a job of this throttle holds back now, at this second of the day in its zone.
    pub fn obstacle(&self, throttle: &Throttle, second: i64) -> Option<HeldBackBy> {
        let (measured, _) = self.last?;
        let over = |limit: Option<i64>, value: i64| limit.is_some_and(|limit| value > limit);
        if throttle.window.is_some_and(|window| !is_within(window, second)) {
            Some(HeldBackBy::Window)
        } else if over(throttle.lag_us, measured.lag_us) || over(throttle.lag_bytes, measured.lag_bytes) {
            Some(HeldBackBy::Lag)
        } else if over(throttle.sessions, measured.sessions) {
            Some(HeldBackBy::Sessions)
        } else if over(throttle.wal_rate, self.wal_rate) {
            Some(HeldBackBy::WalRate)
        } else if over(throttle.load_milli, measured.load_milli) {
            Some(HeldBackBy::Load)
        } else {
            None
        }
    }
}

impl Throttle {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn is_within((from, to): (i64, i64), second: i64) -> bool {
    if from <= to { (from..to).contains(&second) } else { second >= from || second < to }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_through_midnight() {
        let hour = 3600;
        for (from, to, at, within) in [(22, 6, 23, true), (22, 6, 5, true), (22, 6, 6, false), (9, 17, 9, true), (9, 17, 17, false)] {
            assert_eq!(is_within((from * hour, to * hour), at * hour), within);
        }
    }

    #[test]
    fn each_limit_holds_a_job_back_and_no_other_does() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.due_us(), 0);
        gauge.take(Measured { wal: 1_000, ..Measured::default() }, 1_000_000);
        let busy = Measured { lag_us: 11, lag_bytes: 21, sessions: 31, wal: 501_000, load_milli: 41 };
        gauge.take(busy, 1_500_000);
        assert_eq!(gauge.due_us(), 2_500_000);
        let limits = |limit: i64| {
            let of = Throttle::default();
            [
                (Throttle { lag_us: Some(10 + limit), ..of }, HeldBackBy::Lag),
                (Throttle { lag_bytes: Some(20 + limit), ..of }, HeldBackBy::Lag),
                (Throttle { sessions: Some(30 + limit), ..of }, HeldBackBy::Sessions),
                (Throttle { wal_rate: Some(999_999 + limit), ..of }, HeldBackBy::WalRate),
                (Throttle { load_milli: Some(40 + limit), ..of }, HeldBackBy::Load),
            ]
        };
        for (throttle, why) in limits(0) {
            assert_eq!(gauge.obstacle(&throttle, 0), Some(why));
        }
        for (throttle, _) in limits(1) {
            assert_eq!(gauge.obstacle(&throttle, 0), None);
        }
        let night = Throttle { window: Some((10, 20)), ..Throttle::default() };
        assert_eq!((gauge.obstacle(&night, 5), gauge.obstacle(&night, 10)), (Some(HeldBackBy::Window), None));
    }
}

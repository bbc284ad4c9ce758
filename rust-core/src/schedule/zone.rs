//! Time zones as the server knows them. A zone is a row of stretches, each from one change of the clock to the next.
//!
//! An instant is in seconds since 2000-01-01 00:00 UTC. The time of a wall clock is in seconds since it showed 2000-01-01 00:00.

/// What wall clocks show from an instant on, until they are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Seconds that they are ahead of UTC.
    pub offset: i64,
    /// The first instant at which the offset changes, or may change; `i64::MAX`: never.
    pub until: i64,
}

/// A zone's rules and history.
pub trait Zone {
    /// The stretch at an instant. Its `until` is later than the instant.
    fn span(&self, at: i64) -> Span;
}

impl Zone for Box<dyn Zone + '_> {
    fn span(&self, at: i64) -> Span {
        (**self).span(at)
    }
}

/// UTC, and every zone whose clocks are never changed.
pub struct Fixed(pub i64);

impl Zone for Fixed {
    fn span(&self, _: i64) -> Span {
        Span { offset: self.0, until: i64::MAX }
    }
}

/// Two offsets of a zone in use differ by at most this, and so does an offset from UTC.
pub const LOOK_BACK: i64 = 8 * super::civil::DAY;

/// A stretch of time with one offset, and what wall clocks have shown before it.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    pub begin: i64,
    pub end: i64,
    pub offset: i64,
    /// Wall clocks have shown all times before this one by the time it begins, or never will. None: nothing is known.
    pub shown: Option<i64>,
}

impl Stretch {
    pub fn first_shown(&self) -> i64 {
        self.begin + self.offset
    }

    pub fn end_shown(&self) -> i64 {
        self.end.saturating_add(self.offset)
    }
}

/// All stretches, from the one that holds a time some days before the instant.
pub fn stretches(zone: &dyn Zone, around: i64) -> impl Iterator<Item = Stretch> + '_ {
    let mut next = Some((around.saturating_sub(LOOK_BACK), None::<i64>));
    std::iter::from_fn(move || {
        let (begin, shown) = next?;
        let Span { offset, until } = zone.span(begin);
        let stretch = Stretch { begin, end: until.max(begin + 1), offset, shown };
        let all_shown = stretch.end_shown();
        next = (stretch.end != i64::MAX).then(|| (stretch.end, Some(shown.map_or(all_shown, |before| before.max(all_shown)))));
        Some(stretch)
    })
}

/// What wall clocks show at an instant.
pub fn shown_at(zone: &dyn Zone, at: i64) -> i64 {
    at.saturating_add(zone.span(at).offset)
}

/// The first instant at which wall clocks show a time. If they never show it, the first instant after the gap.
pub fn instant_of(zone: &dyn Zone, shown: i64) -> i64 {
    for stretch in stretches(zone, shown) {
        if shown < stretch.first_shown() {
            return stretch.begin;
        }
        if shown < stretch.end_shown() {
            return shown - stretch.offset;
        }
    }
    shown
}

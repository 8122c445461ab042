//! Time in the units that the tables use. No function here reads a clock: the caller passes the time.

/// Nanoseconds: a point in time since the Unix epoch, or a span, as the context says. All arithmetic
/// saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

/// Seconds in a tick, the unit of time in the tables.
pub const TICK_SECS: u64 = 600;
const PER_SEC: u64 = 1_000_000_000;

impl Nanos {
    /// The largest time.
    pub const MAX: Nanos = Nanos(u64::MAX);

    /// A span or point of `s` seconds.
    pub const fn from_secs(s: u64) -> Nanos {
        Nanos(s.saturating_mul(PER_SEC))
    }
    /// A span of `m` milliseconds.
    pub const fn from_millis(m: u64) -> Nanos {
        Nanos(m.saturating_mul(1_000_000))
    }
    /// A span of `h` hours.
    pub const fn from_hours(h: u64) -> Nanos {
        Nanos::from_secs(h.saturating_mul(3600))
    }
    /// Whole seconds.
    pub const fn secs(self) -> u64 {
        self.0 / PER_SEC
    }
    /// Whole milliseconds.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
    /// Whole minutes.
    pub const fn minutes(self) -> u64 {
        self.secs() / 60
    }
    /// Whole 10-minute ticks.
    pub const fn ticks(self) -> u64 {
        self.secs() / TICK_SECS
    }
    /// `self + d`.
    pub const fn plus(self, d: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(d.0))
    }
    /// `self - d`, zero if `d` is later, so that a clock that steps back makes no huge span.
    pub const fn since(self, d: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(d.0))
    }
}

/// The demonstration clock: `scale` times as fast as `now`, from an origin that all nodes compute alike. The
/// origin moves on so that the fast clock stays within twenty years of the true one; each time it moves, the
/// fast clock steps back once.
pub fn scaled(now: Nanos, scale: u32) -> Nanos {
    let scale = u64::from(scale.max(1));
    if scale == 1 {
        return now;
    }
    let period = (20 * 365 * 86_400 * PER_SEC).checked_div(scale).unwrap_or(u64::MAX).max(1);
    let origin = now.0.saturating_sub(now.0.checked_rem(period).unwrap_or(0));
    Nanos(origin.saturating_add(now.0.saturating_sub(origin).saturating_mul(scale)))
}
/// Number of the tick of a time in seconds, wrapping after 455 days.
pub fn tick_of(now_s: u32) -> u16 {
    (now_s / 600) as u16
}

/// `tick`, or `now` if it is later (ticks wrap after 455 days: up to a quarter of that ahead counts as
/// later).
pub fn past(tick: u16, now: u16) -> u16 {
    if now.wrapping_sub(tick) > 0xc000 { now } else { tick }
}
/// How long a request must wait for a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Time until it would conform.
    pub wait: Nanos,
    /// Index in the profile of the limit with the longest wait.
    pub limit: u8,
}

impl Wait {
    /// The longer of two waits.
    pub fn longer(self, other: Option<Wait>) -> Wait {
        other.filter(|o| o.wait > self.wait).unwrap_or(self)
    }
}

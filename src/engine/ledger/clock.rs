//! The ledger's time: the time that most of its witnesses report. It neither leaps nor freezes.
//!
//! Witnesses are the host's ticks and, where no host ticks, the times of observations. A time within ten
//! minutes of the last believed one is believed at once, also an observation's. Any other time starts a
//! doubt: it is believed, forward or back, once it has gone on for a minute of its own time with no tick in
//! between that contradicts it. Until then the ledger's time stands still. If witnesses come more than ten
//! minutes apart (a host without a timer, a night without requests), time moves as far as two of them in a
//! row agree.
//!
//! So one request with a time stamp a month ahead changes nothing, and late observations set nothing back.
//! After a pause (a suspended host, a log with a quiet night) time continues. A clock that was set back is
//! followed: times in the tables that are later than now count as now. A saved clock from the future is left
//! behind in the same way.

use crate::engine::config::Config;
use crate::engine::wire::{Reader, Writer};

/// Largest difference of two times that may both be right, seconds.
const NEAR_S: u32 = 600;

/// Seconds from one sweep of the tables to the next.
const SWEEP_S: u32 = 60;

/// The time, and the state of its witnesses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// Latest time believed, seconds.
    now_s: u32,
    /// Time of the first observation after an empty start, seconds.
    started_s: u32,
    /// Number of the present epoch: `now_s / epoch_s`.
    epoch: u32,
    /// Number of times that a witness was more than a second earlier than one before it.
    steps_back: u64,
    /// Last expiry sweep, seconds.
    swept_s: u32,
    /// A time that is not believed yet (not saved).
    doubt: Doubt,
    /// True once the host has ticked (not saved).
    ticked: bool,
    /// Length of an epoch, seconds (configured).
    epoch_s: u64,
    /// Model seconds a host second (configured; 1 in production).
    time_scale: u32,
}

/// How the time moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It stands still, or advanced within its epoch.
    On,
    /// It advanced into a new epoch.
    Epoch,
    /// It was set back.
    Back,
}

/// A time that is not near the believed one, and how long it has gone on.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    first_s: u32,
    last_s: u32,
}

/// What to do about a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Stay,
    On(u32),
    Back(u32),
}

impl Clock {
    /// What to do about a witness. `fast`: model seconds a host second.
    fn hear(&mut self, t: u32, tick: bool, fast: u32) -> Heard {
        let near = NEAR_S.max(fast / 10);
        let (now_s, back) = (self.now_s, t.saturating_add(1) < self.now_s);
        self.ticked |= tick;
        let counts = tick || !self.ticked;
        self.steps_back = self.steps_back.saturating_add(u64::from(back));
        if now_s == 0 || (!back && t <= now_s.saturating_add(near)) {
            if counts {
                self.doubt = Doubt::default();
            }
            return if t >= now_s { Heard::On(t) } else { Heard::Stay };
        }
        if !counts {
            return Heard::Stay;
        }
        let Doubt { first_s, last_s } = self.doubt;
        let goes_on = first_s != 0 && t.saturating_add(1) >= last_s;
        if goes_on && t <= last_s.saturating_add(near) {
            self.doubt.last_s = last_s.max(t);
            if t.saturating_sub(first_s) < near / 10 {
                return Heard::Stay;
            }
            self.doubt = Doubt::default();
            return if back { Heard::Back(t) } else { Heard::On(t) };
        }
        self.doubt = Doubt { first_s: t, last_s: t };
        match () {
            () if goes_on && back => Heard::Back(t),
            () if goes_on && last_s > now_s => Heard::On(last_s),
            () => Heard::Stay,
        }
    }

    /// Sets the parameters. The time stays.
    pub(super) fn configure(&mut self, config: &Config) {
        (self.epoch_s, self.time_scale) = (config.campaign.epoch_s, config.time_scale);
    }

    /// Takes the time of a witness and moves the clock. Epochs are aligned to wall time, so they are the same on all nodes.
    pub(super) fn advance(&mut self, now_s: u32, tick: bool) -> Moved {
        let now_s = match self.hear(now_s, tick, self.time_scale) {
            Heard::Stay => return Moved::On,
            Heard::Back(now_s) => {
                (self.now_s, self.epoch) = (now_s, self.epoch_of(now_s));
                (self.started_s, self.swept_s) = (self.started_s.min(now_s), self.swept_s.min(now_s));
                return Moved::Back;
            }
            Heard::On(now_s) => now_s,
        };
        self.now_s = now_s;
        if self.started_s == 0 {
            self.started_s = now_s;
        }
        let before = self.epoch;
        self.epoch = self.epoch_of(now_s);
        if before == self.epoch || before == 0 { Moved::On } else { Moved::Epoch }
    }

    fn epoch_of(&self, now_s: u32) -> u32 {
        (u64::from(now_s).checked_div(self.epoch_s).unwrap_or(0)) as u32
    }

    /// Latest time that is believed, seconds since the Unix epoch.
    pub(super) fn now_s(&self) -> u32 {
        self.now_s
    }
    /// Seconds since the first observation after an empty start.
    pub(super) fn running_s(&self) -> u32 {
        self.now_s.saturating_sub(self.started_s)
    }
    /// Number of the ageing epoch: `now_s / epoch_s`.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }
    /// Times a witness was earlier than one before it by more than a second.
    pub(super) fn steps_back(&self) -> u64 {
        self.steps_back
    }
    /// True once a minute, when the tables must be swept.
    pub(super) fn is_sweep(&mut self) -> bool {
        let due = self.now_s.saturating_sub(self.swept_s) >= SWEEP_S;
        if due {
            self.swept_s = self.now_s;
        }
        due
    }

    /// Writes what `take` reads.
    pub(super) fn put(&self, w: &mut Writer<'_>) {
        for v in [self.now_s, self.started_s, self.epoch, self.swept_s] {
            w.u32(v);
        }
    }
    /// Reads a saved time into a clock with these parameters. `None` if the bytes end.
    pub(super) fn take(&self, r: &mut Reader<'_>) -> Option<Clock> {
        Some(Clock {
            now_s: r.u32()?,
            started_s: r.u32()?,
            epoch: r.u32()?,
            swept_s: r.u32()?,
            epoch_s: self.epoch_s,
            time_scale: self.time_scale,
            ..Clock::default()
        })
    }
}

/// Setters for tests.
#[cfg(test)]
impl Clock {
    pub(super) fn at(now_s: u32, started_s: u32, epoch: u32) -> Clock {
        Clock { now_s, started_s, epoch, ..Clock::default() }
    }
    pub(super) fn set(&mut self, now_s: u32) {
        self.now_s = now_s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u32 = 1_780_000_000;
    const MONTH: u32 = 30 * 86_400;

    /// Times heard once a second from `from` on, by a tick or an observation; the clock afterwards.
    fn hear(c: &mut Clock, from: u32, n: u32, tick: bool) -> u32 {
        for t in from..from.saturating_add(n) {
            if let Heard::On(t) | Heard::Back(t) = c.hear(t, tick, 1) {
                c.now_s = t;
            }
        }
        c.now_s
    }

    #[test]
    fn one_witness_moves_nothing_and_many_do() {
        for tick in [false, true] {
            let mut c = Clock::default();
            assert_eq!(hear(&mut c, T, 100, tick), T + 99);
            // A single one, forward and back, between others.
            for stray in [T + MONTH, T + 801, T - MONTH, T - 600, 0, u32::MAX] {
                assert_eq!(hear(&mut c, stray, 1, tick), c.now_s);
                let next = c.now_s.saturating_add(1);
                assert_eq!(hear(&mut c, next, 1, tick), next);
            }
            // A minute of them.
            for to in [T + MONTH, T + 2 * MONTH, T, T - 600] {
                let before = c.now_s;
                assert_eq!(hear(&mut c, to, 60, tick), before);
                assert_eq!(hear(&mut c, to + 60, 2, tick), to + 61);
            }
        }
    }

    #[test]
    fn witnesses_far_apart_move_time_as_far_as_two_of_them_agree() {
        let mut c = Clock::default();
        hear(&mut c, T, 10, false);
        for hour in 1..10 {
            let now_s = hear(&mut c, T + hour * 3_600, 1, false);
            assert_eq!(now_s, if hour == 1 { T + 9 } else { T + (hour - 1) * 3_600 });
        }
    }

    #[test]
    fn the_host_is_believed_and_observations_are_not() {
        let mut c = Clock::default();
        hear(&mut c, T, 10, true);
        // A worker that is a month ahead beside ticks that are right, and beside ticks that go on after a day of sleep.
        for from in [T + 10, T + 86_400] {
            for s in 0..600 {
                hear(&mut c, T + MONTH + s, 1, false);
                hear(&mut c, from + s, 1, true);
            }
            assert_eq!(c.now_s, from + 599);
        }
    }

    #[test]
    fn a_clock_that_runs_fast_is_followed() {
        let mut c = Clock::default();
        for (fast, step) in [(4_000, 80), (86_400, 1_728)] {
            c.doubt = Doubt::default();
            c.now_s = T;
            for t in (T..T + 100 * step).step_by(step as usize) {
                assert_eq!(c.hear(t, true, fast), Heard::On(t));
                c.now_s = t;
            }
        }
    }
}

//! The ledger's time: what most of its witnesses say. It neither leaps nor freezes.
//!
//! Witnesses are the ticks of the host, and the times of observations where no host ticks. A time within ten minutes of the last
//! is believed at once, also an observation's. Any other starts a doubt: it is believed, forward or back, when it has gone on
//! for a minute of its own time with no tick in between that says otherwise; until then time stands still. Witnesses that
//! come more than ten minutes apart (a host without a timer, a night without requests) move time as far as two of them in
//! a row agree. So one request that is stamped a month ahead changes nothing, a backlog of late observations sets nothing back,
//! a host that was asleep or a log with a quiet night goes on (a replay ticks through the gap), and a clock that was set back is
//! followed: what the tables hold of the future counts as now. A clock that was saved in the future is left behind the same way.

use super::{Ledger, publish};
use crate::engine::tables::overdrawn;
use crate::engine::units::{past, tick_of};
use crate::engine::value::Axis;

/// Between two times that may both be right, seconds.
const NEAR_S: u32 = 600;

/// Time, and what is remembered of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// Latest time believed, seconds.
    pub(super) now_s: u32,
    /// First observation after an empty start.
    pub(super) started_s: u32,
    /// `now / epoch`.
    pub(super) epoch: u32,
    /// Times a witness was earlier than one before it by more than a second.
    pub(super) steps_back: u64,
    /// Last expiry sweep, seconds.
    pub(super) swept_s: u32,
    /// Another time, not believed yet (not saved).
    pub(super) doubt: Doubt,
    /// The host ticks (not saved).
    pub(super) ticked: bool,
}

/// A time that is not near ours.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doubt {
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
    /// Hears a witness. `fast`: how much faster than the host's its clock runs.
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
}

impl Ledger {
    /// Moves the clock; ages everything at epoch boundaries, which are aligned to wall time on all nodes.
    pub(super) fn advance(&mut self, now_s: u32, tick: bool) {
        let now_s = match self.clock.hear(now_s, tick, self.time_scale) {
            Heard::Stay => return,
            Heard::Back(now_s) => return self.step_back(now_s),
            Heard::On(now_s) => now_s,
        };
        self.clock.now_s = now_s;
        if self.clock.started_s == 0 {
            self.clock.started_s = now_s;
        }
        let epoch = self.epoch_of(now_s);
        if epoch != self.clock.epoch {
            if self.clock.epoch != 0 {
                let tick = tick_of(now_s);
                let silent = u16::try_from(self.c.epoch_s / 600).unwrap_or(u16::MAX);
                for g in self.groups.slots_mut().iter_mut().filter(|g| g.tag != 0) {
                    g.age(tick, silent);
                }
                self.large_samples.age(tick, silent);
                self.cases.age();
            }
            self.clock.epoch = epoch;
        }
    }

    fn epoch_of(&self, now_s: u32) -> u32 {
        (u64::from(now_s).checked_div(self.c.epoch_s).unwrap_or(0)) as u32
    }

    /// The clock was set back: no time in the tables is later than now. Limits keep their debts, which are relative; what was
    /// published of them is not, and goes out again. One pass over all tables.
    fn step_back(&mut self, now_s: u32) {
        let (now_min, now) = (now_s / 60, tick_of(now_s));
        let c = &mut self.clock;
        (c.now_s, c.started_s, c.swept_s) = (now_s, c.started_s.min(now_s), c.swept_s.min(now_s));
        self.clock.epoch = self.epoch_of(now_s);
        for k in self.keys.slots_mut().iter_mut().filter(|k| k.id != 0) {
            (k.first_min, k.last_s) = (k.first_min.min(now_min), k.last_s.min(now_s));
            k.born = past(k.born, now);
            k.epoch = self.clock.epoch as u8;
        }
        let immune =
            now_min.saturating_add(u32::try_from(self.c.release_immunity_s / 60).unwrap_or(u32::MAX));
        for g in self.groups.slots_mut().iter_mut().filter(|g| g.tag != 0) {
            (g.created_s, g.last_s) = (g.created_s.min(now_s), g.last_s.min(now_s));
            if Axis::of(g.tag) != Axis::Profile {
                g.immune_min = g.immune_min.min(immune);
            }
            g.keys.items_mut().iter_mut().for_each(|s| s.until(now));
        }
        for p in self.large_samples.slots_mut().iter_mut().filter(|p| p.tag != 0) {
            p.keys.items_mut().iter_mut().for_each(|s| s.until(now));
        }
        let (values, cases) = self.cases.tables_mut();
        for v in values.iter_mut() {
            (v.since_min, v.last_s) = (v.since_min.min(now_min), v.last_s.min(now_s));
        }
        for c in cases.iter_mut() {
            (c.first_s, c.last_s) = (c.first_s.min(now_s), c.last_s.min(now_s));
        }
        self.door.step_back(now_min);
        self.over = overdrawn::Over::default();
        self.publisher = publish::Publisher::default();
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

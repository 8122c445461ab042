//! Load profiles: young keys by octave of load, for campaigns that share neither text nor network.
//!
//! Two groups an octave. One holds the tireless keys and only raises the alarm; the other (`EVERYBODY`) holds all keys with
//! enough openings and tells a burst of births, which with the alarm on may block. Keys of a campaign that is known already
//! are left out, or it would keep the alarm on.

use super::Ledger;
use super::conviction::Matched;
use crate::engine::detect::{self, automation};
use crate::engine::observation::{Few, Observation};
use crate::engine::tables::groups::{self, Touch};
use crate::engine::tables::keys::{KeyState, flag};
use crate::engine::units::tick_of;
use crate::engine::value::Axis;

/// Octaves from here on hold everybody of an octave of load, not only the tireless.
const EVERYBODY: u8 = 64;

impl Ledger {
    pub(super) fn touch_profile(&mut self, obs: &Observation, t: &Touch, m: &Matched, due: &mut Few<40>) {
        if !(t.young && t.single) {
            return;
        }
        let Some(key) = self.keys.get(obs.key).copied() else { return };
        // A campaign that is blocked already must not keep the alarm on.
        if key.has(flag::CONVICTED) || m.count > 0 {
            return;
        }
        let octave = octave(&key, t.tick);
        let tireless = automation::is_tireless(&key, t.tick);
        if tireless {
            self.touch_octave(octave, t, due);
        }
        // Everybody young of the octave who has sent enough to tell and is no timer, and who of them never sleeps.
        if key.map_n() >= 24 && !key.is_regular() && t.tick.wrapping_sub(key.born) >= 114 {
            let touch = Touch { automatic: tireless, ..*t };
            self.touch_octave(octave.saturating_add(EVERYBODY), &touch, due);
        }
    }

    fn touch_octave(&mut self, number: u8, t: &Touch, due: &mut Few<40>) {
        let tag = Axis::Profile.tag(u64::from(number).wrapping_add(1));
        if self.groups.get(tag).is_none() {
            self.groups.create(tag, t.now_s);
            self.profile_large_sample(tag);
        }
        if let Some(g) = self.groups.get_mut(tag) {
            g.touch(t);
            self.large_samples.touch(g.large_sample, tag, t);
            if g.total >= g.next_eval {
                due.push(tag);
            }
        }
    }

    /// A profile has a large sample from its first request on: there are few of them.
    fn profile_large_sample(&mut self, tag: u64) {
        let (now_s, groups) = (self.clock.now_s, &self.groups);
        let Some(g) = groups.get(tag) else { return };
        let rank = |v: u64| {
            groups
                .get(v)
                .map_or(f64::MIN, |o| o.promise(now_s) + if Axis::of(v) == Axis::Profile { 9.0 } else { 0.0 })
        };
        let slot = self.large_samples.start(g, 99.0, rank);
        if let Some(g) = self.groups.get_mut(tag) {
            g.large_sample = slot;
        }
    }

    /// Alarm by the number of tireless keys; burst by everybody's.
    pub(super) fn evaluate_profile(&mut self, value: u64) {
        let (now_s, c) = (self.clock.now_s, &self.c);
        let number = (value.wrapping_sub(1) & 0xff) as u8;
        let Some(g) = self.groups.get_mut(value) else { return };
        if number < EVERYBODY {
            let bit = 1u64 << (number & 63);
            let d = g.distinct();
            if d >= f64::from(c.profile_min) {
                self.alarms |= bit;
            } else if d < f64::from(c.profile_min) * 0.7 {
                self.alarms &= !bit;
            }
            return;
        }
        let burst = self
            .large_samples
            .get(g.large_sample, value)
            .and_then(|p| detect::burst(p.into(), tick_of(now_s), c));
        g.set(groups::flag::BURST, false);
        if let Some(b) = burst {
            g.load = b.load as f32;
            let minutes = |ticks: u32| (now_s / 60).saturating_sub(ticks.saturating_mul(10));
            g.set_burst(minutes(b.oldest).max(1), minutes(b.youngest));
        }
    }

    /// A profile alarm whose keys fell silent goes out.
    pub(super) fn sweep_alarms(&mut self) {
        if self.alarms == 0 {
            return;
        }
        let (now_s, off) = (self.clock.now_s, f64::from(self.c.profile_min) * 0.7);
        for octave in 0..64u32 {
            let tag = Axis::Profile.tag(u64::from(octave).wrapping_add(1));
            let on = self
                .groups
                .get(tag)
                .is_some_and(|g| g.distinct() >= off && now_s.saturating_sub(g.last_s) < 86_400);
            if !on {
                self.alarms &= !(1u64 << octave);
            }
        }
    }

    /// The key is young and automatic, and its octave of load (or a neighbour) is in alarm.
    pub(super) fn alarm(&self, obs: &Observation, t: &Touch) -> bool {
        if self.alarms == 0 || !t.young {
            return false;
        }
        self.keys.get(obs.key).filter(|k| automation::is_tireless(k, t.tick)).is_some_and(|k| {
            let o = u32::from(octave(k, t.tick)).min(62);
            let near = 0b111u64.checked_shl(o.saturating_sub(1)).unwrap_or(0);
            self.alarms & near != 0
        })
    }

    /// The group of the octave of load in alarm that is nearest to `octave`.
    pub(super) fn alarmed(&self, octave: u8) -> u64 {
        let near = [octave, octave.saturating_sub(1), octave.saturating_add(1)];
        let on = |o: &u8| self.alarms.checked_shr(u32::from(*o)).unwrap_or(0) & 1 == 1;
        near.into_iter().find(on).map_or(0, |o| Axis::Profile.tag(u64::from(o).wrapping_add(1)))
    }

    /// A key that is itself automatic, no timer, born with the burst of the profile around its load, and carries that load.
    pub(super) fn in_burst(&self, key: u64, t: &Touch) -> bool {
        let Some(key) = self.keys.get(key).filter(|k| automation::is_sleepless(k)) else { return false };
        let octave = octave(key, t.tick);
        [octave, octave.saturating_sub(1), octave.saturating_add(1)]
            .into_iter()
            .filter_map(|o| {
                self.groups.get(Axis::Profile.tag(u64::from(o.saturating_add(EVERYBODY)).wrapping_add(1)))
            })
            .any(|g| g.burst().is_some_and(|b| b.contains(&key.first_min)) && conforms(key, t, g.load))
    }

    /// Is any load profile in alarm?
    pub fn profile_alarm(&self) -> bool {
        self.alarms != 0
    }
}

/// Octave of a key's load: floor(log2(requests a day)), 0..=63.
pub(super) fn octave(key: &KeyState, tick: u16) -> u8 {
    let ticks = u32::from(tick.wrapping_sub(key.born)).max(1);
    let per_day = key.total.saturating_mul(144).checked_div(ticks).unwrap_or(0);
    (per_day.max(1).ilog2() as u8).min(63)
}

/// The key's requests are what this load (requests a tick) would give, within one and a half standard deviations.
fn conforms(key: &KeyState, t: &Touch, load: f32) -> bool {
    let mu = f64::from(load) * f64::from(t.tick.wrapping_sub(key.born)).max(0.5);
    let n = f64::from(key.total);
    load <= 0.0 || (n >= mu - 1.5 * mu.sqrt() - 1.0 && n <= mu + 1.5 * mu.sqrt() + 2.0)
}

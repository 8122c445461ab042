//! Load profiles: young keys by octave of load, for campaigns that share neither text nor network.
//!
//! Each octave has two groups. One holds the tireless keys and raises the alarm. The other (`EVERYBODY`) holds all keys
//! with enough openings and tells a burst of births; keys of the burst may be blocked while the alarm is on. Keys of a
//! campaign that is known already are left out, or it would keep the alarm on.

use super::Values;
use super::touch_groups::ALL;
use crate::engine::detect::{self, automation};
use crate::engine::observation::Few;
use crate::engine::tables::groups::{self, Touch};
use crate::engine::tables::keys::{KeyState, flag};
use crate::engine::units::tick_of;
use crate::engine::value::Axis;

/// Added to an octave: the number of its group of all young keys.
const EVERYBODY: u8 = 64;

/// Octaves of load in alarm, a bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine::ledger) struct Alarms(u64);

impl Alarms {
    /// The octaves in alarm, a bit each, for saving.
    pub(in crate::engine::ledger) fn bits(&self) -> u64 {
        self.0
    }
    /// Restores saved alarms.
    pub(in crate::engine::ledger) fn restore(&mut self, bits: u64) {
        self.0 = bits;
    }
    /// True if any octave is in alarm.
    pub(in crate::engine::ledger) fn any(&self) -> bool {
        self.0 != 0
    }
    fn on(&self, octave: u8) -> bool {
        self.0.checked_shr(u32::from(octave)).unwrap_or(0) & 1 == 1
    }
    fn set(&mut self, octave: u8, on: bool) {
        let bit = 1u64 << (octave & 63);
        if on {
            self.0 |= bit;
        } else {
            self.0 &= !bit;
        }
    }
    /// True if this octave or a neighbour is in alarm.
    fn near(&self, octave: u8) -> bool {
        let near = 0b111u64.checked_shl(u32::from(octave.min(62)).saturating_sub(1)).unwrap_or(0);
        self.0 & near != 0
    }
    /// The group of the octave in alarm that is nearest to `octave`.
    pub(in crate::engine::ledger) fn nearest(&self, octave: u8) -> u64 {
        let near = [octave, octave.saturating_sub(1), octave.saturating_add(1)];
        near.into_iter().find(|o| self.on(*o)).map_or(0, tag_of)
    }
    /// True if this is the group of an octave's tireless keys, and the octave is in alarm.
    pub(in crate::engine::ledger) fn of(&self, group: u64) -> bool {
        Axis::of(group) == Axis::Profile && number_of(group) < EVERYBODY && self.on(number_of(group))
    }
}

/// The group of an octave, or of everybody in one.
fn tag_of(number: u8) -> u64 {
    Axis::Profile.tag(u64::from(number).wrapping_add(1))
}

/// See `tag_of`.
fn number_of(group: u64) -> u8 {
    (group.wrapping_sub(1) & 0xff) as u8
}

impl Values {
    /// Counts a request that matches nothing in the load profiles of its key.
    pub(super) fn touch_profile(&mut self, key: &KeyState, t: &Touch, due: &mut Few<ALL>) {
        // A campaign that is blocked already must not keep the alarm on.
        if !(t.young && t.single) || key.has(flag::CONVICTED) {
            return;
        }
        let octave = octave(key, t.tick);
        let tireless = automation::is_tireless(key, t.tick);
        if tireless {
            self.touch_octave(octave, t, due);
        }
        // All young keys that have sent enough and are on no timer; `automatic` says which of them never sleep.
        if key.map_n() >= 24 && !key.is_regular() && t.tick.wrapping_sub(key.born) >= 114 {
            let touch = Touch { automatic: tireless, ..*t };
            self.touch_octave(octave.saturating_add(EVERYBODY), &touch, due);
        }
    }

    fn touch_octave(&mut self, number: u8, t: &Touch, due: &mut Few<ALL>) {
        let tag = tag_of(number);
        if self.groups.get(tag).is_none() {
            self.groups.create(tag, t.now_s);
            self.profile_large_sample(tag, t.now_s);
        }
        if let Some(g) = self.groups.get_mut(tag) {
            g.touch(t);
            self.large_samples.touch(g.large_sample, tag, t);
            if g.total >= g.next_eval {
                due.push(tag);
            }
        }
    }

    /// Starts the large sample of a load profile at its first request: there are few profiles.
    fn profile_large_sample(&mut self, tag: u64, now_s: u32) {
        let groups = &self.groups;
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

    /// Sets the alarm by the number of tireless keys, or the burst by the births of all young keys.
    pub(super) fn evaluate_profile(&mut self, value: u64, now_s: u32) {
        let (c, number) = (&self.c, number_of(value));
        let Some(g) = self.groups.get_mut(value) else { return };
        if number < EVERYBODY {
            let d = g.distinct();
            if d >= f64::from(c.profile_min) {
                self.alarms.set(number, true);
            } else if d < f64::from(c.profile_min) * 0.7 {
                self.alarms.set(number, false);
            }
            return;
        }
        let burst = self
            .large_samples
            .get(g.large_sample, value)
            .and_then(|p| detect::birth_burst(p.into(), tick_of(now_s), c));
        g.set(groups::flag::BURST, false);
        if let Some(b) = burst {
            g.load = b.load as f32;
            let minutes = |ticks: u32| (now_s / 60).saturating_sub(ticks.saturating_mul(10));
            g.set_birth_burst(minutes(b.oldest).max(1), minutes(b.youngest));
        }
    }

    /// Ends alarms whose keys have fallen silent.
    pub(super) fn sweep_alarms(&mut self, now_s: u32) {
        if !self.alarms.any() {
            return;
        }
        let off = f64::from(self.c.profile_min) * 0.7;
        for octave in 0..64 {
            let on = self
                .groups
                .get(tag_of(octave))
                .is_some_and(|g| g.distinct() >= off && now_s.saturating_sub(g.last_s) < 86_400);
            if !on {
                self.alarms.set(octave, false);
            }
        }
    }

    /// True if the key is young and automatic, and its octave of load or a neighbour is in alarm.
    pub(in crate::engine::ledger) fn alarm(&self, key: &KeyState, t: &Touch) -> bool {
        self.alarms.any()
            && t.young
            && automation::is_tireless(key, t.tick)
            && self.alarms.near(octave(key, t.tick))
    }

    /// True if the key is one of a birth burst: it never sleeps, was born in the burst of an octave near its own, and has the
    /// burst's load.
    pub(in crate::engine::ledger) fn in_burst(&self, key: &KeyState, t: &Touch) -> bool {
        let octave = octave(key, t.tick);
        automation::is_sleepless(key)
            && [octave, octave.saturating_sub(1), octave.saturating_add(1)]
                .into_iter()
                .filter_map(|o| self.groups.get(tag_of(o.saturating_add(EVERYBODY))))
                .any(|g| {
                    g.birth_burst().is_some_and(|b| b.contains(&key.first_min)) && conforms(key, t, g.load)
                })
    }
}

/// Octave of a key's load: floor(log2(requests a day)), 0..=63.
pub(in crate::engine::ledger) fn octave(key: &KeyState, tick: u16) -> u8 {
    let ticks = u32::from(tick.wrapping_sub(key.born)).max(1);
    let per_day = key.total.saturating_mul(144).checked_div(ticks).unwrap_or(0);
    (per_day.max(1).ilog2() as u8).min(63)
}

/// True if the key's requests are within 1.5 standard deviations of what this load (requests a tick) gives.
fn conforms(key: &KeyState, t: &Touch, load: f32) -> bool {
    let mu = f64::from(load) * f64::from(t.tick.wrapping_sub(key.born)).max(0.5);
    let n = f64::from(key.total);
    load <= 0.0 || (n >= mu - 1.5 * mu.sqrt() - 1.0 && n <= mu + 1.5 * mu.sqrt() + 2.0)
}

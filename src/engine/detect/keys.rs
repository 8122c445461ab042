//! The facts of a large sample's keys, as all hypotheses read them. Filled once an evaluation; nothing is allocated.

use super::coming::{Bins, MOST, Visit, Weights};
use super::counts::Counts;
use super::hours;
use crate::engine::config::fitted::Fitted;
use crate::engine::tables::groups::Sample;
use crate::engine::tables::homes::Homes;
use crate::engine::value::Axis;

/// A key's age at its first request here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Age {
    /// Unknown: no evidence for or against a key.
    #[default]
    Unknown,
    /// Younger than `campaign.young_for`.
    Young,
    /// Older.
    Old,
}

/// The keys of a large sample, with the facts that hypotheses need.
#[derive(Debug)]
pub struct Keys<'a> {
    /// As sampled.
    pub samples: &'a [Sample],
    /// Estimated distinct keys that have sent the value.
    pub distinct: f64,
    /// Now, in ticks.
    pub tick: u16,
    /// Fitted laws of the whole population, for what keys have not shown yet.
    pub fitted: Fitted,
    /// Address prefixes of all keys.
    pub homes: &'a Homes,
    visits: [Visit; MOST],
    whole: [Visit; MOST],
    /// True if the template is a small part of the keys' traffic. Then their whole traffic is read, and the
    /// template's share of it.
    pub partly: bool,
    /// When they sent, in bins.
    pub bins: Bins,
    /// Their follow-ups among their requests.
    pub talk: Counts,
    /// Their repeats among their openings.
    pub repeats: Counts,
    /// Their openings here among all of theirs.
    pub parts: Counts,
    sleep: [f64; MOST],
}

impl<'a> Keys<'a> {
    /// Reads the facts of a sample.
    pub fn new(
        samples: &'a [Sample],
        distinct: f64,
        axis: Axis,
        tick: u16,
        fitted: &Fitted,
        homes: &'a Homes,
    ) -> Keys<'a> {
        let samples = samples.get(..samples.len().min(MOST)).unwrap_or_default();
        let mut k = Keys {
            samples,
            distinct,
            tick,
            fitted: *fitted,
            homes,
            visits: [Visit::default(); MOST],
            whole: [Visit::default(); MOST],
            partly: false,
            bins: Bins::new(&[]),
            talk: Counts::default(),
            repeats: Counts::default(),
            parts: Counts::default(),
            sleep: [0.0; MOST],
        };
        let part = |s: &Sample| f64::from(s.openings) / f64::from(s.key_openings.max(s.openings).max(1));
        let mean = samples.iter().map(part).sum::<f64>() / samples.len().max(1) as f64;
        k.partly = axis == Axis::Text && mean < 0.5;
        // A key that comes through many relays shows each of them only a part.
        let whole = k.partly || axis == Axis::Network;
        for (i, s) in samples.iter().enumerate() {
            let (openings, first) =
                if whole { (s.key_openings.max(s.openings), s.key_first) } else { (s.openings, s.first) };
            // Requests within ten minutes are one visit: a session is one decision of one person.
            let visits = |openings: u16| {
                let all = u32::from(openings).saturating_mul(u32::from(s.ticks));
                all.checked_div(u32::from(s.openings)).unwrap_or(0).saturating_sub(1)
            };
            let l = f64::from(s.last.wrapping_sub(first));
            let r = f64::from(tick.wrapping_sub(s.last)) * if k.partly { mean } else { 1.0 };
            let here = u32::from(s.openings);
            if let Some(v) = k.visits.get_mut(i) {
                *v = Visit::new(u32::from(openings.saturating_sub(1)), visits(openings), l, r);
            }
            // Silence counts for a key that sends little else; another key may be sending elsewhere.
            let devoted = s.openings.saturating_mul(2) >= s.key_openings;
            if let Some(v) = k.whole.get_mut(i) {
                let n = s.key_openings.max(s.openings);
                let further = u32::from(n.saturating_sub(1));
                *v = Visit::new(
                    further,
                    visits(n),
                    f64::from(s.last.wrapping_sub(s.key_first)),
                    if devoted { r } else { 0.0 },
                );
            }
            k.talk.push(if whole {
                habit(s.follows(), s.key_openings)
            } else {
                of(u32::from(s.talk), here.saturating_add(u32::from(s.talk)))
            });
            k.repeats.push(if whole {
                habit(s.repeated(), s.key_openings)
            } else {
                of(u32::from(s.dup), here)
            });
            k.parts.push(part_of(here, u32::from(s.key_openings.max(s.openings))));
            if let Some(h) = k.sleep.get_mut(i) {
                *h = hours::sleeper(s.hour_bits(), s.hours_n(), u32::from(s.last.wrapping_sub(s.first)));
            }
        }
        k.bins = Bins::new(k.visits());
        k
    }
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.samples.len()
    }
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
    /// The requests of each key that are read: with the template, or all if `partly`.
    pub fn visits(&self) -> &[Visit] {
        self.visits.get(..self.len()).unwrap_or_default()
    }
    /// All requests of each key.
    pub fn whole(&self) -> &[Visit] {
        self.whole.get(..self.len()).unwrap_or_default()
    }
    /// Evidence for sleep of each key, nats: `hours::sleeper`.
    pub fn sleep(&self) -> &[f64] {
        self.sleep.get(..self.len()).unwrap_or_default()
    }
    /// Keys with a weight above one half.
    pub fn meant(&self, weights: &Weights) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().zip(weights).filter(|(_, w)| **w > 0.5).map(|(s, _)| s)
    }
    /// Their ages.
    pub fn ages(&self) -> impl Iterator<Item = Age> {
        self.samples.iter().map(age)
    }
    /// Mean requests after the first, of those in `visits`.
    pub fn mean_further(&self) -> f64 {
        let n = self.visits().iter().fold(0.0, |n, v| n + f64::from(v.n));
        n / self.len().max(1) as f64
    }
    /// Mean openings with the template after the first.
    pub fn mean_here(&self) -> f64 {
        let n = self.samples.iter().fold(0.0, |n, s| n + f64::from(s.openings.saturating_sub(1)));
        n / self.len().max(1) as f64
    }
}

/// A count out of a whole. Wholes above 32 are scaled down, so that many keys have equal counts and are evaluated once.
fn of(k: u32, n: u32) -> (u32, u32) {
    let n = n.max(k);
    let halvings = (n / 32).checked_ilog2().map_or(0, |s| s.saturating_add(1));
    // Rounded up: one follow-up in a hundred requests is not zero.
    (k.div_ceil(1 << halvings.min(8)), n >> halvings.min(8))
}

/// A count in fifteenths of a whole; wholes above fifteen are scaled down.
fn habit(fifteenths: u32, requests: u16) -> (u32, u32) {
    let n = u32::from(requests).clamp(1, 15);
    (fifteenths.saturating_mul(n).div_ceil(15), n)
}

/// A count out of a whole. Wholes above 128 are scaled down.
fn part_of(k: u32, n: u32) -> (u32, u32) {
    let halvings = (n / 128).checked_ilog2().map_or(0, |s| s.saturating_add(1)).min(16);
    (k >> halvings, n >> halvings)
}

/// The age of a sampled key.
pub fn age(s: &Sample) -> Age {
    if s.young() {
        Age::Young
    } else if s.old() {
        Age::Old
    } else {
        Age::Unknown
    }
}

//! Growth of open cases since this hub has followed them: a few points each, at any age.
//!
//! Memory: 512 cases of 48 points, 12 bytes each. When a case has all its points, every second one is dropped
//! and their interval doubles, so the curve always begins where the hub first saw the case.

use std::collections::BTreeMap;
use weir::engine::report::CaseReport;

/// Cases with a curve; the one that was looked at least recently is dropped for a new one.
pub const CASES: usize = 512;
/// Points of a curve.
pub const POINTS: usize = 48;

/// Size of a case at a time (seconds of the hub's clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub at_s: u32,
    pub keys: u32,
    pub convicted: u32,
}

#[derive(Clone, Debug, Default)]
struct Curve {
    points: Vec<Point>,
    /// Least seconds between two points.
    apart_s: u32,
    seen_s: u32,
}

impl Curve {
    fn add(&mut self, p: Point) {
        self.seen_s = p.at_s;
        let last = self.points.last().map(|l| l.at_s);
        if last.is_some_and(|l| p.at_s <= l.saturating_add(self.apart_s)) {
            return;
        }
        if self.points.len() >= POINTS {
            let mut n = 0;
            self.points.retain(|_| {
                n += 1;
                n % 2 == 1
            });
            let span = p.at_s.saturating_sub(self.points.first().map_or(p.at_s, |f| f.at_s));
            self.apart_s = self.apart_s.saturating_mul(2).max(span / POINTS as u32);
        }
        self.points.push(p);
    }

    /// Growth in keys over the last `ago_s` seconds; `None` if the hub has not followed the case for so long.
    fn since(&self, now: Point, ago_s: u32) -> Option<i64> {
        let then = now.at_s.checked_sub(ago_s)?;
        let old = self.points.iter().rev().find(|p| p.at_s <= then)?;
        Some(i64::from(now.keys) - i64::from(old.keys))
    }
}

/// Curves by campaign number.
#[derive(Debug, Default)]
pub struct Growth(BTreeMap<u32, Curve>);

impl Growth {
    /// Adds points for the present sizes. Cases that are not open any more are dropped.
    pub fn look(&mut self, now_s: u32, cases: &[CaseReport]) {
        self.0.retain(|id, _| cases.iter().any(|c| c.campaign == *id));
        for c in cases {
            if self.0.len() >= CASES
                && !self.0.contains_key(&c.campaign)
                && let Some(old) =
                    self.0.iter().min_by_key(|(id, curve)| (curve.seen_s, **id)).map(|(id, _)| *id)
            {
                self.0.remove(&old);
            }
            let point = Point { at_s: now_s, keys: c.keys, convicted: c.convicted };
            self.0.entry(c.campaign).or_default().add(point);
        }
    }

    /// The points of a case, and the growth of its keys within an hour and a day.
    pub fn of(&self, now_s: u32, campaign: u32, keys: u32) -> (&[Point], [Option<i64>; 2]) {
        let Some(curve) = self.0.get(&campaign) else { return (&[], [None, None]) };
        let now = Point { at_s: now_s, keys, convicted: 0 };
        (&curve.points, [3_600, 86_400].map(|ago| curve.since(now, ago)))
    }
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;

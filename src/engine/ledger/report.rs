//! What the ledger tells people: counts for gauges, groups with their evidence.

use super::groups::{Axis, Group, flag};
use super::{Ledger, tick_of};
use crate::engine::detect::{self, DETECTORS};
use crate::engine::{GroupReport, Status};

impl Ledger {
    /// Counts for gauges. One pass over the tables: call it at the pace of a scrape.
    pub fn status(&self) -> Status {
        Status {
            keys: self.keys.used(),
            groups: self.groups.slots().iter().filter(|g| g.tag != 0).count() as u32,
            confirmed: self.cases.live(),
            campaigns: self.cases.cases().iter().filter(|c| c.id != 0 && c.values > 0).count() as u32,
            convicted: self.keys.slots().iter().filter(|k| k.has(super::flag::CONVICTED)).count() as u32,
            groups_evicted: self.groups.evicted(),
            keys_evicted: self.keys.evicted(),
            clock_steps_back: self.clock.steps_back,
            profile_alarm: self.profile_alarm(),
            state_bytes: self.size_bytes() as u64,
        }
    }

    /// Groups that are confirmed, watched, exempt or in alarm, strongest first.
    pub fn groups_report(&self) -> Vec<GroupReport> {
        let told = |g: &&Group| {
            g.tag != 0 && (g.has(flag::CONFIRMED | flag::WATCH | flag::EXEMPT) || self.in_alarm(g))
        };
        let mut out: Vec<GroupReport> =
            self.groups.slots().iter().filter(told).map(|g| self.describe(g)).collect();
        out.sort_by(|a, b| (b.score, &a.id).cmp(&(a.score, &b.id)));
        out
    }

    fn in_alarm(&self, g: &Group) -> bool {
        Axis::of(g.tag) == Axis::Profile && self.alarms >> (g.tag.wrapping_sub(1) & 63) & 1 == 1
    }

    fn describe(&self, g: &Group) -> GroupReport {
        let a = detect::assess(g, tick_of(self.clock.now_s), &self.c);
        let axis = Axis::of(g.tag);
        let state = match () {
            () if g.has(flag::CONFIRMED) => "confirmed",
            () if self.in_alarm(g) => "alarm",
            () if g.has(flag::EXEMPT) => "exempt",
            () => "watch",
        };
        let prefix = if axis == Axis::Network { "nid" } else { "tid" };
        GroupReport {
            campaign: self.cases.case(self.cases.resolve(g.case)).map_or(0, |c| c.id),
            axis: axis.name(),
            state,
            id: format!("{prefix}:{:016x}", g.tag),
            keys: a.distinct as u32,
            requests: g.total,
            score: a.score as i32,
            terms: DETECTORS.iter().zip(a.terms).map(|(d, t)| (d.name, t as i32)).collect(),
        }
    }
}

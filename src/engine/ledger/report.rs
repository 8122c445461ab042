//! What the ledger tells people: counts for gauges, groups with their evidence.

use super::groups::{Axis, Group, flag};
use super::keys::flag as key_flag;
use super::{Ledger, tick_of};
use crate::engine::detect::{self, DETECTORS, automation};
use crate::engine::verdict::{Action, Reason, Verdict};
use crate::engine::{GroupReport, KeyReport, Status};

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
        let keys = self.panels.get(g.panel, g.tag).map(Into::into);
        let a = detect::assess(g, keys, tick_of(self.clock.now_s), &self.c);
        let axis = Axis::of(g.tag);
        let state = match () {
            () if g.has(flag::CONFIRMED) => "confirmed",
            () if self.in_alarm(g) => "alarm",
            () if g.has(flag::EXEMPT) => "exempt",
            () if g.has(flag::WATCH) => "watch",
            () => "released",
        };
        let case = self.cases.case(self.cases.resolve(g.case));
        let prefix = if axis == Axis::Network { "nid" } else { "tid" };
        GroupReport {
            campaign: case.map_or(0, |c| c.id),
            since_s: case.map_or(0, |c| c.first_s),
            axis: axis.name(),
            state,
            id: format!("{prefix}:{:016x}", g.tag),
            keys: a.distinct as u32,
            requests: g.total,
            score: a.score as i32,
            terms: DETECTORS.iter().zip(a.terms).map(|(d, t)| (d.name, t as i32)).collect(),
            young_percent: percent(a.young),
            novel_percent: percent(a.novel),
            single_percent: percent(a.single),
            automatic_percent: automation::share_of(g.keys.items(), 8).map(percent),
            established: g.old.estimate() as u32,
            aged: a.aged_path && a.young < detect::ppm(self.c.y_gate_ppm),
            sampled_keys: g.keys.items().iter().map(|s| s.kh).collect(),
        }
    }

    /// One group as it is now, for diagnosis: its evidence, and what is remembered of its evaluations.
    pub fn inspect(&self, value: u64) -> Option<(GroupReport, u8, u32)> {
        self.groups.get(value).map(|g| (self.describe(g), g.armed, g.dom))
    }

    /// The group that a verdict rests on, as it is now. A convicted key is judged by its case: where its request matched
    /// nothing of it, the strongest confirmed group of the case (one pass over the groups: for a line that is written).
    pub fn evidence_group(&self, key: u64, v: &Verdict) -> Option<GroupReport> {
        if !v.reason.is_campaign() {
            return None;
        }
        let named = if v.evidence.group == 0 { None } else { self.groups.get(v.evidence.group) };
        if v.reason != Reason::Convicted {
            return named.map(|g| self.describe(g));
        }
        let case = self.cases.resolve(self.keys.get(key)?.case);
        let of_case = |g: &&Group| case != 0 && self.cases.resolve(g.case) == case;
        let confirmed = || self.groups.slots().iter().filter(|g| g.has(flag::CONFIRMED)).filter(of_case);
        let group = named.filter(of_case).or_else(|| confirmed().max_by_key(|g| g.score));
        group.map(|g| self.describe(g))
    }

    /// What the ladder knew of a key when it gave this verdict.
    pub fn key_report(&self, key: u64, v: &Verdict) -> Option<KeyReport> {
        let mut k = *self.keys.get(key)?;
        let (strikes, now_s) = (k.strikes, self.clock.now_s);
        // The strike of this very request came after the ladder; a struck key counts as young.
        if v.reason.is_campaign() && v.action == Action::Block {
            k.strikes = k.strikes.saturating_sub(1);
        }
        Some(KeyReport {
            young: k.is_young(now_s, self.c.young_for_s),
            age: match () {
                () if k.has(key_flag::CREATED) => "created",
                () if k.has(key_flag::AGE_UNKNOWN) => "unknown",
                () => "seen",
            },
            age_hours: (now_s / 60).saturating_sub(k.first_min) / 60,
            automatic: k.has(key_flag::AUTOMATIC),
            convicted: k.has(key_flag::CONVICTED),
            requests: k.total,
            openings_percent: k.single_percent(),
            repeats_percent: k.dup_percent(),
            matches_percent: k.match_percent(),
            hits: k.hits,
            strikes,
            shared: k.dup_map.count_ones(),
        })
    }
}

fn percent(share: f64) -> u8 {
    (share * 100.0) as u8
}

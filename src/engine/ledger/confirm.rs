//! A group's way to a confirmed value and back: evaluation, confirmation with its siblings, joining, release.
//!
//! Only `detect` says what the evidence is worth; here is what follows from it. A value is confirmed after `arm` evaluations
//! in a row, together with the values of the same request that have its spread, or because its keys are those of a confirmed
//! panel. It is released as soon as its evidence turns, and not confirmed again for a time if people vouched for it.

use super::cases::Cohort;
use super::groups::{self, Axis, Group, Sample};
use super::{Ledger, cases, panels, tick_of};
use crate::engine::config::campaign::off;
use crate::engine::detect::{self, Assessment};
use crate::engine::sketch::bottom_k::BottomK;

impl Ledger {
    /// Re-evaluates one group and acts on the result.
    pub(super) fn evaluate(&mut self, value: u64, siblings: &[u64]) {
        let (now_s, tick) = (self.clock.now_s, tick_of(self.clock.now_s));
        let c = &self.c;
        let Some(g) = self.groups.get_mut(value) else { return };
        let (part, least) = if g.panel == 0 { (7, 8) } else { (16, 4) };
        g.next_eval = g.total.saturating_add(g.total.checked_div(part).unwrap_or(0)).saturating_add(least);
        if Axis::of(value) == Axis::Profile {
            self.evaluate_profile(value);
            return;
        }
        let keys = self.panels.get(g.panel, value).map(Into::into);
        let a = detect::assess(g, keys, tick, c);
        g.score = clamp_i16(a.score);
        g.lam = a.lam as f32;
        g.set(groups::flag::EXEMPT, a.exempt);
        g.set(groups::flag::UNIFORM, a.uniform && a.young >= 0.9 && !a.exempt && a.timers() > -4.0);
        let tells = g.has(groups::flag::CONFIRMED);
        // A small sample may be lucky where the panel of the same template is not: the panel decides for all of its values.
        let defers = a.confirm && !tells && !a.panel && self.has_panel(value, siblings, a.distinct);
        let Some(g) = self.groups.get_mut(value) else { return };
        let d_min = if Axis::of(value) == Axis::Text { c.d_min } else { c.net_d_min };
        g.set(groups::flag::WATCH, a.score >= f64::from(c.t_watch) && a.distinct >= 2.0 * f64::from(d_min));
        if tells {
            self.describe_case(value, &a);
        }
        let Some(g) = self.groups.get_mut(value) else { return };
        let c = &self.c;
        if g.has(groups::flag::CONFIRMED) {
            if a.aged && !g.has(groups::flag::AGED) {
                g.set(groups::flag::AGED, true);
                self.cases.set_aged(value);
            }
            let slot = g.is_slot();
            let people = a.exempt && (a.people || g.old.estimate() >= 0.05 * a.distinct);
            if a.score < f64::from(c.t_release) || a.novel < 0.75 || a.timers() <= -60.0 || slot || people {
                if people {
                    let immune = u32::try_from(c.release_immunity_s / 60).unwrap_or(u32::MAX);
                    g.immune_min = (now_s / 60).saturating_add(immune);
                }
                self.release(value);
            }
            return;
        }
        let dominant = Axis::of(value) != Axis::Text || !g.is_slot();
        let dominant = dominant && !defers;
        g.armed =
            if a.confirm && dominant && now_s / 60 >= g.immune_min { g.armed.saturating_add(1) } else { 0 };
        if g.armed >= if c.is_off(off::ARM) { 1 } else { c.arm } {
            let aged = a.aged || (a.aged_path && a.young < detect::ppm(c.y_gate_ppm));
            self.confirm(value, siblings, aged, &a);
        }
    }

    /// Confirms a value and, on the text axis, its siblings: the other values of the same request with the same spread.
    fn confirm(&mut self, value: u64, siblings: &[u64], aged: bool, a: &Assessment) {
        let now_s = self.clock.now_s;
        let Some(d) = self.groups.get(value).map(Group::distinct) else { return };
        let case = self.join_or_open(value, siblings, d);
        self.mark(value, case, aged);
        self.describe_case(value, a);
        if Axis::of(value) != Axis::Text || self.c.is_off(off::SIBLINGS) {
            return;
        }
        for &other in siblings.iter().filter(|v| **v != value) {
            let Some(g) = self.groups.get(other).filter(|g| !g.has(groups::flag::CONFIRMED)) else {
                continue;
            };
            if now_s / 60 < g.immune_min {
                continue;
            }
            let a = self.assess(g);
            let near = a.distinct >= 0.5 * d && a.distinct <= 2.0 * d;
            let young = a.young >= detect::ppm(self.c.y_gate_ppm);
            let score = if aged && !young { a.score - a.terms[1] + 20.0 } else { a.score };
            if near
                && score >= f64::from(self.c.t_watch)
                && (young || aged)
                && a.load() > 0.0
                && a.single >= detect::ppm(self.c.single_gate_ppm)
                && !a.exempt
                && (aged || g.old.estimate() < 1.0 + 0.02 * a.distinct)
                && !g.is_slot()
            {
                self.mark(other, case, aged);
            }
        }
    }

    /// The case of a confirmed value of the same request with a like spread, or a new one.
    fn join_or_open(&mut self, value: u64, siblings: &[u64], d: f64) -> u16 {
        let now_s = self.clock.now_s;
        for v in siblings.iter().filter(|v| **v != value) {
            let (Some(entry), Some(g)) = (self.cases.get(*v), self.groups.get(*v)) else { continue };
            let case = self.cases.resolve(entry.case);
            if case != 0 && g.distinct() >= 0.5 * d && g.distinct() <= 2.0 * d {
                return case;
            }
        }
        self.cases.open(value, now_s)
    }

    /// Is there a panel of about the same keys among the other values of the request?
    fn has_panel(&self, value: u64, siblings: &[u64], d: f64) -> bool {
        let Some(g) = self.groups.get(value) else { return false };
        siblings.iter().filter(|v| **v != value).any(|v| {
            let Some(panel) = self.groups.get(*v).and_then(|o| self.panels.get(o.panel, *v)) else {
                return false;
            };
            let near = panel.estimate() >= 0.5 * d && panel.estimate() <= 2.0 * d;
            near && overlap(g.keys.items(), panel) >= 0.9
        })
    }

    pub(super) fn mark(&mut self, value: u64, case: u16, aged: bool) {
        let now_s = self.clock.now_s;
        if let Some(g) = self.groups.get_mut(value) {
            g.set(groups::flag::CONFIRMED, true);
            g.set(groups::flag::AGED, aged);
            g.case = case;
        }
        if let Some(victim) = self.cases.confirm(value, case, aged, now_s)
            && let Some(g) = self.groups.get_mut(victim)
        {
            g.set(groups::flag::CONFIRMED | groups::flag::AGED, false);
            g.armed = 0;
        }
    }

    pub(super) fn release(&mut self, value: u64) {
        self.cases.release(value);
        if let Some(g) = self.groups.get_mut(value) {
            g.set(groups::flag::CONFIRMED | groups::flag::AGED, false);
            g.armed = 0;
            g.case = 0;
        }
    }

    /// What is known of a group now, from its panel if it has one.
    pub(super) fn assess(&self, g: &Group) -> Assessment {
        let panel = self.panels.get(g.panel, g.tag).map(Into::into);
        detect::assess(g, panel, tick_of(self.clock.now_s), &self.c)
    }

    /// Tells a value's case what the value's keys (just assessed) say of its cohort, unless a panel has told it.
    fn describe_case(&mut self, value: u64, a: &Assessment) {
        let now_s = self.clock.now_s;
        let Some(g) = self.groups.get(value) else { return };
        let case = self.cases.resolve(g.case);
        if a.panel || self.cases.case(case).is_some_and(|c| c.cohort_min == 0) {
            let born_min = (now_s / 60).saturating_sub(a.cohort_ticks.saturating_mul(10)).max(1);
            let ripe_min = a.ripe_ticks.saturating_mul(10);
            self.cases.describe(case, Cohort { born_min, ripe_min }, a.flags(), a.lam as f32);
        }
    }

    /// A value of a confirmed template: all of its keys are the template's keys, or (among young keys) were blocked before.
    /// It needs no evidence of its own load.
    pub(super) fn join(&mut self, value: u64, siblings: &[u64]) {
        let now_s = self.clock.now_s;
        if self.cases.live() == 0 || Axis::of(value) != Axis::Text || self.c.is_off(off::SIBLINGS) {
            return;
        }
        let Some(g) = self.groups.get(value) else { return };
        // Asked at 12 keys, and at every doubling of requests.
        let asked = g.total == 12 || (g.total >= 16 && g.total.is_power_of_two());
        if !asked
            || g.has(groups::flag::CONFIRMED)
            || g.keys.items().len() < 12
            || now_s / 60 < g.immune_min
            || g.is_slot()
            || detect::share(g.novel, g.single) < detect::ppm(self.c.n_gate_ppm)
        {
            return;
        }
        let young = g.young_share() >= detect::ppm(self.c.y_gate_ppm)
            && g.old.estimate() < 1.0 + 0.02 * g.distinct()
            && !g.has(groups::flag::EXEMPT);
        // Plainly unequal loads are people's, whoever they share their keys with.
        let a = self.assess(g);
        if a.load() <= -20.0 {
            return;
        }
        let (case, aged) = self.company_of(g.keys.items(), value, siblings);
        let struck = g.keys.items().iter().filter(|s| s.struck()).count();
        if case != 0 && (young || aged) {
            self.mark(value, case, aged);
        } else if young && struck.saturating_mul(2) >= g.keys.items().len() {
            let case = self.cases.open(value, now_s);
            self.mark(value, case, false);
            self.describe_case(value, &a);
        }
    }

    /// The case of a confirmed value of the same request whose panel holds the same keys, and whether it is aged.
    fn company_of(&self, items: &[Sample], value: u64, siblings: &[u64]) -> (u16, bool) {
        for v in siblings.iter().filter(|v| **v != value) {
            let Some(entry) = self.cases.get(*v) else { continue };
            let Some(panel) = self.groups.get(*v).and_then(|o| self.panels.get(o.panel, *v)) else {
                continue;
            };
            // Half is far beyond chance: of all keys, a panel holds few.
            if overlap(items, panel) >= 0.5 {
                return (self.cases.resolve(entry.case), entry.flags & cases::AGED != 0);
            }
        }
        (0, false)
    }
}

/// Share of the sampled keys that are in the panel, of those that it would hold; 0 with fewer than twelve of them.
fn overlap(items: &[groups::Sample], panel: &BottomK<groups::Sample, { panels::KEYS }>) -> f64 {
    let known = items.iter().filter(|s| panel.admits(s.kh));
    let (n, of) = known.fold((0u32, 0u32), |(n, of), s| {
        (n.saturating_add(u32::from(panel.contains(s.kh))), of.saturating_add(1))
    });
    if of < 12 { 0.0 } else { detect::share(n, of) }
}

fn clamp_i16(x: f64) -> i16 {
    (x as i32).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

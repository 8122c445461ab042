//! A group's way to a confirmed value and back: evaluation, confirmation with its siblings, joining, release.
//!
//! Only `detect` says what the evidence is worth; here is what follows from it. A value is judged by its large sample, and confirmed after
//! `arm` evaluations in a row together with the values of the same request that are on the same keys, or later, because its
//! keys are those of a confirmed large sample. It is released as soon as an honest explanation is the better one.
//!
//! A key's odds by a value are at most those of the large sample that it was judged by: its own, or else one of (nearly) the same keys.
//! So a popular text beside a campaign's own is worth what it is worth alone, and takes nothing from that.

use super::Values;
use crate::engine::config::campaign::off;
use crate::engine::detect::{self, Finding, Traits};
use crate::engine::sketch::bottom_k::BottomK;
use crate::engine::tables::groups::{self, Group};
use crate::engine::tables::large_samples;
use crate::engine::units::tick_of;
use crate::engine::value::Axis;

impl Values {
    /// Re-evaluates one group and acts on the result.
    pub(super) fn evaluate(&mut self, value: u64, siblings: &[u64], now_s: u32) {
        let c = &self.c;
        let Some(g) = self.groups.get_mut(value) else { return };
        // Next at 15 % more requests, or at 50 % more where people are plainly the better explanation.
        let part = if g.has(groups::flag::HONEST) { 2 } else { 7 };
        g.next_eval = g.total.saturating_add(g.total.checked_div(part).unwrap_or(0)).saturating_add(8);
        if Axis::of(value) == Axis::Profile {
            self.evaluate_profile(value, now_s);
            return;
        }
        let Some(large_sample) = self.large_samples.get(g.large_sample, value) else {
            // Without a large sample, what was found earlier no longer counts.
            g.large_sample = 0;
            g.set(groups::flag::HONEST, false);
            self.cases.falls_silent(g.case, value);
            return;
        };
        let f = detect::judge(g, large_sample, &self.homes, tick_of(now_s), c);
        g.score = clamp_i16(f.nats);
        let nats = f64::from(c.nats);
        g.set(groups::flag::HONEST, f.ready && f.nats < -nats / 2.0);
        g.set(groups::flag::WATCH, f.ready && f.nats >= nats / 2.0 && f.distinct >= 2.0 * f64::from(c.d_min));
        let suspect = g.has(groups::flag::WATCH) || (!f.ready && g.is_passing(f.distinct, c.d_min));
        if suspect != g.has(groups::flag::SUSPECT) {
            g.set(groups::flag::SUSPECT, suspect);
            self.suspects_version = self.suspects_version.wrapping_add(1);
        }
        if g.has(groups::flag::CONFIRMED) {
            // Released if the evidence fails at two evaluations in a row. If an honest explanation is the better one by
            // `nats`, the value is not confirmed again for `release_immunity`.
            let fails = f.nats < nats / 2.0;
            g.armed = if fails { g.armed.saturating_add(1) } else { 0 };
            if fails && g.armed >= 2 || g.is_slot() {
                if f.nats < -nats {
                    let immune = u32::try_from(c.release_immunity_s / 60).unwrap_or(u32::MAX);
                    g.immune_min = (now_s / 60).saturating_add(immune);
                }
                self.release_with_siblings(value);
            } else if !fails {
                self.describe_case(value, &f);
                self.count_signs(value, f64::from(f.numbers.prior));
            }
            return;
        }
        let dominant = Axis::of(value) != Axis::Text || !g.is_slot();
        let counts = f.campaign && dominant && now_s / 60 >= g.immune_min;
        g.armed = if counts { g.armed.saturating_add(1) } else { 0 };
        if g.armed >= if c.is_off(off::ARM) { 1 } else { c.arm } {
            self.confirm(value, siblings, &f, now_s);
        }
    }

    /// Confirms a value and, on the text axis, its siblings: the other values of the same request on the same keys.
    fn confirm(&mut self, value: u64, siblings: &[u64], f: &Finding, now_s: u32) {
        let case = self.join_or_open(value, siblings, f.distinct, now_s);
        self.mark(value, case, now_s);
        self.describe_case(value, f);
        let prior = f64::from(f.numbers.prior);
        self.count_signs(value, prior);
        if Axis::of(value) != Axis::Text || self.c.is_off(off::SIBLINGS) {
            return;
        }
        for &other in siblings.iter().filter(|v| **v != value) {
            let (Some(g), Some(own)) = (self.groups.get(other), self.groups.get(value)) else { continue };
            let Some(large_sample) = self.large_samples.get(own.large_sample, value) else { return };
            let d = g.distinct();
            let near = d >= 0.5 * f.distinct && d <= 2.0 * f.distinct;
            if near
                && !g.has(groups::flag::CONFIRMED)
                && now_s / 60 >= g.immune_min
                && !g.is_slot()
                && !self.speaks(g)
                && overlap(g.keys.items(), large_sample).is_some_and(|same| same >= SAME_KEYS)
            {
                self.mark(other, case, now_s);
                self.count_signs(other, prior);
            }
        }
    }

    /// True if it has a large sample of its own. It is then judged by that, and neither joins a case nor is released for another's keys.
    fn speaks(&self, g: &Group) -> bool {
        self.large_samples.get(g.large_sample, g.tag).is_some()
    }

    /// The case of a confirmed value of the same request with a like spread, or a new one.
    fn join_or_open(&mut self, value: u64, siblings: &[u64], d: f64, now_s: u32) -> u16 {
        for v in siblings.iter().filter(|v| **v != value) {
            let (Some(entry), Some(g)) = (self.cases.get(*v), self.groups.get(*v)) else { continue };
            let case = self.cases.resolve(entry.case);
            if case != 0 && g.distinct() >= 0.5 * d && g.distinct() <= 2.0 * d {
                return case;
            }
        }
        self.cases.open(value, now_s)
    }

    /// Confirms a value as part of a case. If the table is full, the value that is evicted for it loses its flag.
    pub(in crate::engine::ledger) fn mark(&mut self, value: u64, case: u16, now_s: u32) {
        if let Some(g) = self.groups.get_mut(value) {
            g.set(groups::flag::CONFIRMED, true);
            (g.case, g.armed) = (case, 0);
        }
        let victim = self.cases.confirm(value, case, now_s);
        if let Some(victim) = victim
            && let Some(g) = self.groups.get_mut(victim)
        {
            g.set(groups::flag::CONFIRMED, false);
            g.armed = 0;
        }
    }

    /// Odds of a confirmed value, from its counters: at most those of a large sample.
    #[inline(never)]
    fn count_signs(&mut self, value: u64, large_sample: f64) {
        let Some(g) = self.groups.get(value) else { return };
        let numbers = self.cases.numbers(g.case);
        let prior = detect::prior(g, Traits::from(&numbers), &self.c.fitted);
        self.cases.set_prior(value, prior.min(large_sample) as f32);
    }

    /// Releases a value. If its large sample spoke for the case, values of the case without a large sample are released
    /// with it.
    fn release_with_siblings(&mut self, value: u64) {
        let case = self.groups.get(value).map_or(0, |g| self.case_of(g));
        let spoke = self.cases.speaker(case) == value;
        self.release(value);
        if !spoke {
            return;
        }
        let large_sample =
            |v: u64| self.groups.get(v).is_some_and(|g| self.large_samples.get(g.large_sample, v).is_some());
        let mut silent = self.cases.values_in(case);
        silent.retain(|v| !large_sample(*v));
        silent.into_iter().for_each(|v| self.release(v));
    }

    /// Ends the case of a value, or of a campaign's number, that people have released: all its confirmed values are released.
    #[inline(never)]
    pub(in crate::engine::ledger) fn pardon(&mut self, id: u64) {
        let all = match u32::try_from(id) {
            Ok(number) => self.cases.values_numbered(number),
            Err(_) => {
                self.cases.get(id).map_or_else(Vec::new, |v| self.cases.values_in(self.cases.root(v.case)))
            }
        };
        all.into_iter().for_each(|v| self.release(v));
    }

    /// Releases a value: it is no longer confirmed.
    pub(in crate::engine::ledger) fn release(&mut self, value: u64) {
        self.cases.release(value);
        if let Some(g) = self.groups.get_mut(value) {
            g.set(groups::flag::CONFIRMED, false);
            g.armed = 0;
            g.case = 0;
        }
    }

    /// Evaluates a group by its large sample now; `None` if it has none.
    pub(in crate::engine::ledger) fn assess(&self, g: &Group, now_s: u32) -> Option<Finding> {
        let large_sample = self.large_samples.get(g.large_sample, g.tag)?;
        Some(detect::judge(g, large_sample, &self.homes, tick_of(now_s), &self.c))
    }

    /// Hands the numbers of a value's evaluation to its case.
    fn describe_case(&mut self, value: u64, f: &Finding) {
        let Some(g) = self.groups.get(value) else { return };
        let case = self.cases.resolve(g.case);
        self.cases.describe(case, value, f.distinct as f32, &f.numbers);
    }

    /// A value of a confirmed template: its keys are the template's keys. It needs no evidence of its own, as long as they are:
    /// a phrase that others come to use, too, is let go.
    pub(in crate::engine::ledger) fn join(&mut self, value: u64, siblings: &[u64], now_s: u32) {
        if self.cases.live() == 0 || Axis::of(value) != Axis::Text || self.c.is_off(off::SIBLINGS) {
            return;
        }
        let Some(g) = self.groups.get(value) else { return };
        // Asked at 12 keys, and at every doubling of requests.
        let asked = g.total == 12 || (g.total >= 16 && g.total.is_power_of_two());
        if !asked || g.keys.items().len() < 12 || now_s / 60 < g.immune_min {
            return;
        }
        if g.is_slot() {
            // It may have joined before it was seen to be one.
            if g.has(groups::flag::CONFIRMED) && !self.speaks(g) {
                self.release(value);
            }
            return;
        }
        if self.speaks(g) {
            return;
        }
        let confirmed = g.has(groups::flag::CONFIRMED);
        let by = if confirmed { self.cases.speaker(self.case_of(g)) } else { 0 };
        let like = self.like(g.keys.items(), value, siblings.iter().chain(&[by]));
        match like {
            Some((same, _, _)) if confirmed && same < OTHER_KEYS => return self.release(value),
            Some((same, case, _)) if !confirmed && same >= SAME_KEYS && case != 0 => {
                self.mark(value, case, now_s)
            }
            _ if !confirmed => return,
            _ => (),
        }
        self.count_signs(value, like.map_or(f64::INFINITY, |l| f64::from(l.2)));
    }

    /// The confirmed value whose large sample holds the largest share of these keys: the share, its case and its odds.
    fn like<'a>(
        &self,
        items: &[groups::Sample],
        value: u64,
        others: impl Iterator<Item = &'a u64>,
    ) -> Option<(f64, u16, f32)> {
        let share = |v: &u64| {
            let (entry, o) = (self.cases.get(*v)?, self.groups.get(*v)?);
            let same = overlap(items, self.large_samples.get(o.large_sample, *v)?)?;
            Some((same, self.cases.resolve(entry.case), entry.prior))
        };
        others.filter(|v| **v != value).filter_map(share).max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Share of a value's keys that are a large sample's keys, from which on it stands for the same template: far beyond chance, and within
/// reach of a template whose words are partly replaced each time.
const SAME_KEYS: f64 = 0.6;
/// Share below which it no longer does.
const OTHER_KEYS: f64 = 0.4;

/// Share of the sampled keys that are in the large sample, of those that it would hold; `None` with fewer than twelve of them.
#[inline(never)]
fn overlap(
    items: &[groups::Sample],
    large_sample: &BottomK<groups::Sample, { large_samples::KEYS }>,
) -> Option<f64> {
    let known = items.iter().filter(|s| large_sample.admits(s.key_hash));
    let (n, of) = known.fold((0u32, 0u32), |(n, of), s| {
        (n.saturating_add(u32::from(large_sample.contains(s.key_hash))), of.saturating_add(1))
    });
    (of >= 12).then(|| detect::share(n, of))
}

fn clamp_i16(x: f64) -> i16 {
    (x as i32).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

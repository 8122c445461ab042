//! What a request matched, and the ladder (DETECTION 4.5): first rule that applies wins.

use super::cases::{AGED, Cases};
use super::groups::{Axis, Group, Groups, Touch};
use super::judge::{conforms, expected, is_on_network, of_cohort, template};
use super::keys::{KeyState, flag};
use super::profile::octave;
use super::{Company, Ledger, Outcome};
use crate::engine::observation::{Few, Observation};
use crate::engine::verdict::{Evidence, Reason};

/// Share of young keys that a confirmed network still needs to block a key for the first time.
const NET_YOUNG_STILL: f64 = 0.85;

/// Confirmed values that a request carries, and the case that most of them belong to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matched {
    values: Few<40>,
    /// Best case.
    pub case: u16,
    /// Its values in this request.
    pub count: u32,
    /// ... of them, with the aged flag.
    pub aged: u32,
    /// Those that no old key sends.
    pub clean: u32,
    /// Bits of the clean ones.
    pub bits: u32,
    /// Confirmed network case of this request.
    pub network: u16,
    /// The confirmed network value.
    pub network_value: u64,
    /// Values of the request.
    pub nfp: u32,
}

impl Matched {
    /// All confirmed text values.
    pub fn values(&self) -> &[u64] {
        self.values.as_slice()
    }
    /// Values of the best case.
    pub fn best(&self) -> u32 {
        self.count
    }
    /// Old keys send a quarter or more of what matched.
    pub fn is_contested(&self) -> bool {
        self.clean.saturating_mul(4) < self.count.saturating_mul(3)
    }
    /// Three values, or two of a short prompt.
    pub fn is_template(&self) -> bool {
        self.count >= 3 || (self.count == 2 && self.nfp <= 10)
    }
}

/// Looks up everything an observation carries.
pub fn find(cases: &Cases, groups: &Groups, obs: &Observation) -> Matched {
    let mut m = Matched { nfp: u32::from(obs.nfp), ..Matched::default() };
    if cases.live() == 0 {
        return m;
    }
    let mut tally: [(u16, u32, u32, u32, u32); 8] = Default::default();
    let lists = [obs.anchors.as_slice(), obs.first_anchors.as_slice(), obs.matched.as_slice()];
    for &v in lists.into_iter().flatten() {
        let Some(entry) = cases.get(v).filter(|_| !m.values.as_slice().contains(&v)) else { continue };
        let case = cases.resolve(entry.case);
        if case == 0 {
            continue;
        }
        m.values.push(v);
        // A request that meets more than eight cases counts the first eight.
        let Some(slot) = tally.iter_mut().find(|t| t.0 == case || t.0 == 0) else { continue };
        slot.0 = case;
        slot.1 = slot.1.saturating_add(1);
        slot.2 = slot.2.saturating_add(u32::from(entry.flags & AGED != 0));
        if groups.get(v).is_none_or(|g| g.old.items().is_empty()) {
            slot.3 |= 1u32 << ((v >> 32) & 31);
            slot.4 = slot.4.saturating_add(1);
        }
    }
    let mut best = (0u16, 0u32, 0u32, 0u32, 0u32);
    for t in tally {
        if t.1 > best.1 {
            best = t;
        }
    }
    (m.case, m.count, m.aged, m.bits, m.clean) = best;
    for &v in obs.nets.iter().filter(|v| **v != 0) {
        if let Some(entry) = cases.get(v) {
            m.network = cases.resolve(entry.case);
            m.network_value = v;
        }
    }
    m
}

/// Counts a request into the key's record: totals, window, matches.
pub fn count(key: &mut KeyState, m: &Matched, single: bool, dup: bool) {
    key.total = key.total.saturating_add(1);
    key.single = key.single.saturating_add(u32::from(single));
    key.window(single, dup, m.count > 0);
    if single {
        key.recent = key.recent << 1 | u8::from(m.count > 0);
    }
    if m.count == 0 {
        return;
    }
    if key.case != m.case && !key.has(flag::CONVICTED) {
        key.case = m.case;
        key.seen_values = 0;
    }
    key.seen_values |= m.bits;
    if m.is_template() {
        key.hits = key.hits.saturating_add(1);
    }
}

impl Ledger {
    /// Notes the match in its cases, runs the ladder, and counts a block against the key.
    pub(super) fn settle(&mut self, obs: &Observation, t: &Touch, m: &Matched, company: Company) -> Outcome {
        if m.count > 0 {
            self.note_match(m);
        }
        if m.network != 0 {
            // A network that is still in use does not expire.
            self.cases.touch(m.network_value, self.clock.now_s);
        }
        let was = self.keys.get(obs.key).is_some_and(|k| k.has(flag::CONVICTED));
        let mut out = self.ladder(obs, t, m, company);
        let Some(key) = self.keys.get_mut(obs.key) else { return out };
        if out.block {
            key.strikes = key.strikes.saturating_add(1);
            let case = if out.reason == Reason::Network { m.network } else { m.case };
            let enough = u32::from(key.strikes).saturating_mul(50) >= key.total.min(4000);
            if key.strikes >= self.c.strikes
                && enough
                && !key.has(flag::CONVICTED)
                && out.reason != Reason::Convicted
            {
                key.set(flag::CONVICTED, true);
                if !matches!(out.reason, Reason::Rollout | Reason::Profile) {
                    key.case = case;
                }
            }
        }
        out.evidence.sample = t.kh;
        out.evidence.strikes = key.strikes;
        out.evidence.requests = key.total;
        // A key's standing settles within its first requests; later it changes only with a conviction.
        if was != key.has(flag::CONVICTED) || key.total <= 8 {
            self.publisher.note(obs.key);
        }
        out
    }

    fn note_match(&mut self, m: &Matched) {
        let now_s = self.clock.now_s;
        let mut met = Few::<8>::default();
        for &v in m.values() {
            self.cases.touch(v, now_s);
            let case = self.cases.get(v).map_or(0, |e| self.cases.resolve(e.case));
            if case != 0 && !met.as_slice().contains(&u64::from(case)) {
                met.push(u64::from(case));
            }
        }
        self.cases.matched(m.case, m.count, now_s);
        let met = met.as_slice();
        for (i, &a) in met.iter().enumerate() {
            if a != u64::from(m.case) {
                self.cases.matched(a as u16, 1, now_s);
            }
            for &b in met.get(i.saturating_add(1)..).unwrap_or_default() {
                self.cases.meet(a as u16, b as u16);
            }
        }
    }

    fn ladder(&mut self, obs: &Observation, t: &Touch, m: &Matched, company: Company) -> Outcome {
        let mut out = Outcome { evidence: self.evidence(m), ..Outcome::default() };
        let alarm = self.alarm(obs, t);
        let burst = alarm && self.in_burst(obs.key, t);
        let Some(key) = self.keys.get_mut(obs.key) else { return out };
        let campaign = |case: u16| self.cases.case(case).map_or(0, |c| c.id);
        if key.has(flag::CONVICTED) {
            let case = self.cases.resolve(key.case);
            if case != 0 || key.case == 0 {
                return Outcome { block: true, reason: Reason::Convicted, campaign: campaign(case), ..out };
            }
            // The case was released: the conviction ends, one strike stays.
            key.set(flag::CONVICTED, false);
            key.strikes = 1;
        }
        if template(key, t, m, &self.c, self.cases.case(m.case)) {
            return Outcome { block: true, reason: Reason::Template, campaign: campaign(m.case), ..out };
        }
        if is_on_network(key, t, m) {
            let group = self.groups.get(m.network_value);
            let lam = group.map_or(0.0, |g| g.lam);
            // A network that others have come to use since it was confirmed says nothing of a newcomer.
            let theirs = group.is_some_and(|g| g.young_share() >= NET_YOUNG_STILL);
            let ours = self.cases.case(m.network).is_some_and(|c| of_cohort(key, t, c));
            // A customer who happens to share the egress does not carry the campaign's load.
            if (key.strikes > 0 || ours && theirs) && conforms(key, t, lam) && expected(key, t, lam) >= 3.0 {
                self.rests_on([&[m.network_value], &[]], m.network, &mut out.evidence);
                return Outcome {
                    block: true,
                    reason: Reason::Network,
                    campaign: campaign(m.network),
                    ..out
                };
            }
        }
        if burst {
            let octave = octave(key, t.tick);
            self.rests_on([&[self.alarmed(octave)], &[]], 0, &mut out.evidence);
            return Outcome { block: true, reason: Reason::Profile, ..out };
        }
        // Where a panel leaves no doubt about the load, a third of the breadth is enough.
        let uniform = company.uniform;
        let broad = key.dup_map.count_ones() >= if uniform { 8 } else { 28 }
            && u32::from(key.dup_x).saturating_mul(2) >= key.total
            && t.young
            && key.single_percent() >= 90;
        if broad {
            if !key.has(flag::ROLLOUT) {
                key.set(flag::ROLLOUT, true);
                self.rollout_keys = self.rollout_keys.saturating_add(1);
            }
            if uniform || self.rollout_keys >= self.c.rollout_keys {
                return Outcome { block: true, reason: Reason::Rollout, ..out };
            }
        }
        if alarm {
            let octave = octave(key, t.tick);
            self.rests_on([&[self.alarmed(octave)], &[]], 0, &mut out.evidence);
            return Outcome { watch: true, reason: Reason::Profile, ..out };
        }
        let watched = company.watched;
        if m.is_template() || watched >= 3 || (watched == 2 && m.nfp <= 10) {
            out.campaign = campaign(m.case);
            if m.count == 0 {
                let lists = [obs.anchors.as_slice(), obs.first_anchors.as_slice()];
                self.rests_on(lists, 0, &mut out.evidence);
            }
            return Outcome { watch: true, reason: Reason::Template, ..out };
        }
        out
    }

    /// The campaign that a key is convicted of, if its conviction stands.
    pub fn conviction(&self, key: u64) -> Option<u32> {
        let k = self.keys.get(key).filter(|k| k.has(flag::CONVICTED))?;
        if self.clock.now_s.saturating_sub(k.last_s) > self.block_for_s {
            return None;
        }
        let case = self.cases.resolve(k.case);
        (case != 0 || k.case == 0).then(|| self.cases.case(case).map_or(0, |c| c.id))
    }

    /// Was the key convicted at its last request? Unlike a conviction this does not expire: for reports at the end of a run.
    pub fn was_convicted(&self, key: u64) -> bool {
        self.keys.get(key).is_some_and(|k| k.has(flag::CONVICTED))
    }

    fn evidence(&self, m: &Matched) -> Evidence {
        let mut evidence = Evidence {
            matched: u8::try_from(m.count).unwrap_or(u8::MAX),
            values: u8::try_from(m.nfp).unwrap_or(u8::MAX),
            ..Evidence::default()
        };
        self.rests_on([m.values(), &[]], m.case, &mut evidence);
        evidence
    }

    /// Notes the group that a verdict rests on, and its figures: of these values the strongest, of the case that the ladder
    /// judges by if there is one, else confirmed or under watch.
    #[inline(never)]
    pub(super) fn rests_on(&self, lists: [&[u64]; 2], case: u16, evidence: &mut Evidence) {
        let mut best = (false, false, i16::MIN);
        for g in lists.into_iter().flatten().filter_map(|v| self.groups.get(*v)).filter(|g| g.tag != 0) {
            let told = g.has(super::groups::flag::CONFIRMED | super::groups::flag::WATCH);
            let rank = (self.case_of(g) == case, told, g.score);
            if rank > best {
                best = rank;
                evidence.group = g.tag;
                evidence.score = g.score;
                evidence.group_keys = g.distinct() as u32;
            }
        }
    }

    /// The case that a group belongs to today, 0 if none.
    #[inline(never)]
    pub(super) fn case_of(&self, g: &Group) -> u16 {
        self.cases.resolve(g.case)
    }

    /// Keys that have shown a rollout's breadth.
    pub fn rollout_keys(&self) -> u32 {
        self.rollout_keys
    }

    /// Axis of a value, for reports.
    pub fn axis_name(value: u64) -> &'static str {
        Axis::of(value).name()
    }
}

//! Reports of the ledger: counts for gauges, groups with their evidence.

use super::Ledger;
use crate::engine::detect::{self, HONEST};
use crate::engine::report::{CaseReport, GroupReport, Inspection, KeyReport, Status};
use crate::engine::rules::Pieces;
use crate::engine::tables::groups::{Group, flag};
use crate::engine::tables::keys::flag as key_flag;
use crate::engine::value::Axis;
use crate::engine::verdict::{Reason, Verdict};

impl Ledger {
    /// Counts for gauges. One pass over the tables: call it at the pace of a scrape.
    pub fn status(&self) -> Status {
        Status {
            keys: self.keys.table().used(),
            groups: self.values.groups().slots().iter().filter(|g| g.tag != 0).count() as u32,
            confirmed: self.values.cases().live(),
            campaigns: self.values.cases().cases().iter().filter(|c| c.id != 0 && c.values > 0).count()
                as u32,
            convicted: self.keys.table().slots().iter().filter(|k| k.has(key_flag::CONVICTED)).count() as u32,
            groups_evicted: self.values.groups().evicted(),
            keys_evicted: self.keys.table().evicted(),
            clock_steps_back: self.clock.steps_back(),
            profile_alarm: self.values.alarms().any(),
            state_bytes: self.size_bytes() as u64,
            short_lived_percent: self.short_lived_percent,
        }
    }

    /// Groups that are confirmed, watched or in alarm, those with the highest score first.
    pub fn groups_report(&self) -> Vec<GroupReport> {
        let told = |g: &&Group| {
            g.tag != 0 && (g.has(flag::CONFIRMED | flag::WATCH) || self.values.alarms().of(g.tag))
        };
        let mut out: Vec<GroupReport> =
            self.values.groups().slots().iter().filter(told).map(|g| self.describe(g)).collect();
        out.sort_by(|a, b| (b.nats, &a.id).cmp(&(a.nats, &b.id)));
        out
    }

    /// Groups of text on at least `keys` keys, in any state, those on most keys first: what honest traffic
    /// shares here.
    pub fn common_groups(&self, keys: u32) -> Vec<GroupReport> {
        let is_common =
            |g: &&Group| g.tag != 0 && Axis::of(g.tag) == Axis::Text && g.distinct() >= f64::from(keys);
        let mut out: Vec<GroupReport> =
            self.values.groups().slots().iter().filter(is_common).map(|g| self.describe(g)).collect();
        out.sort_by(|a, b| (b.keys, &a.id).cmp(&(a.keys, &b.id)));
        out
    }

    fn describe(&self, g: &Group) -> GroupReport {
        let f = self.values.assess(g, self.clock.now_s());
        let axis = Axis::of(g.tag);
        let state = match () {
            () if g.has(flag::CONFIRMED) => "confirmed",
            () if self.values.alarms().of(g.tag) => "alarm",
            () if g.has(flag::WATCH) => "watch",
            () if g.has(flag::HONEST) => "honest",
            () => "open",
        };
        let case = self.values.cases().case(self.values.case_of(g));
        let prefix = if axis == Axis::Network { "nid" } else { "tid" };
        GroupReport {
            campaign: case.map_or(0, |c| c.id),
            since_s: case.map_or(0, |c| c.first_s),
            axis: axis.name(),
            state,
            id: format!("{prefix}:{:016x}", g.tag),
            keys: g.distinct() as u32,
            requests: g.total,
            nats: f.map_or(i32::from(g.score), |f| f.nats as i32),
            explanations: f.map_or_else(Vec::new, |f| explanations(&f)),
            campaign_percent: f.map(|f| percent(f.share)),
            young_percent: percent(g.young_share()),
            novel_percent: percent(detect::share(g.novel, g.single)),
            single_percent: percent(detect::share(g.single, g.total)),
            old_percent: percent(detect::share(g.old, g.single)),
            sampled_keys: g.keys.items().iter().map(|s| s.key_hash).collect(),
        }
    }

    /// Open cases, those with most convicted keys first. Cost: one pass over the key table.
    pub fn cases_report(&self) -> Vec<CaseReport> {
        let (cases, now_s) = (self.values.cases(), self.clock.now_s());
        let mut out: Vec<CaseReport> = Vec::new();
        for c in cases.cases().iter().filter(|c| c.id != 0 && c.values > 0) {
            let known = out.iter().any(|o| o.campaign == c.id);
            let values = if known { Vec::new() } else { self.values_of(c.id) };
            if !values.is_empty() {
                out.push(CaseReport {
                    campaign: c.id,
                    since_s: c.first_s,
                    last_s: c.last_s,
                    requests: c.seen,
                    keys: c.keys as u32,
                    values,
                    ..CaseReport::default()
                });
            }
        }
        for key in self.keys.table().slots().iter().filter(|k| k.has(key_flag::CONVICTED)) {
            let Some(campaign) = self.conviction(key.id) else { continue };
            let Some(case) = out.iter_mut().find(|c| c.campaign == campaign) else { continue };
            case.convicted = case.convicted.saturating_add(1);
            let age_min = (now_s / 60).saturating_sub(key.first_min);
            for (n, within) in case.made.iter_mut().zip([60, 24 * 60, 7 * 24 * 60]) {
                *n = n.saturating_add(u32::from(age_min <= within));
            }
        }
        out.sort_by(|a, b| (b.convicted, &a.campaign).cmp(&(a.convicted, &b.campaign)));
        out
    }

    /// Confirmed values of a campaign's case, sorted.
    pub fn values_of(&self, campaign: u32) -> Vec<u64> {
        let mut out = self.values.cases().values_numbered(campaign);
        out.sort_unstable();
        out
    }

    /// One group in its present state, for diagnosis.
    pub fn inspect(&self, value: u64) -> Option<Inspection> {
        let g = self.values.groups().get(value)?;
        Some(Inspection {
            group: self.describe(g),
            armed: g.armed,
            under: g.under,
            finding: self.values.assess(g, self.clock.now_s()),
            numbers: self.values.cases().case(self.values.case_of(g)).map(|c| c.numbers),
        })
    }

    /// The group that a verdict rests on, in its present state. A convicted key is judged by its case: if its
    /// request matched no group of the case, this is the case's strongest confirmed group. Cost: one pass
    /// over the groups, so call it only for a line that is written.
    pub fn evidence_group(&self, key: u64, v: &Verdict) -> Option<GroupReport> {
        if !v.reason.is_campaign() {
            return None;
        }
        let mut group = self.values.groups().get(v.evidence.group).filter(|g| g.tag != 0);
        if v.reason == Reason::Convicted {
            let case = self.values.cases().resolve(self.keys.get(key)?.case);
            if case == 0 || group.is_none_or(|g| self.values.case_of(g) != case) {
                let of_case =
                    |g: &&Group| g.has(flag::CONFIRMED) && case != 0 && self.values.case_of(g) == case;
                group = self.values.groups().slots().iter().filter(of_case).max_by_key(|g| g.score);
            }
        }
        Some(self.describe(group?))
    }

    /// The key's facts and odds in its present state, for the record of this verdict.
    pub fn key_report(&self, key: u64, v: &Verdict) -> Option<KeyReport> {
        let k = self.keys.get(key)?;
        let now_s = self.clock.now_s();
        let case = self.values.cases().case(self.values.cases().resolve(k.case));
        let tick = crate::engine::units::tick_of(now_s);
        Some(KeyReport {
            young: self.keys.is_young(k, now_s),
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
            strikes: k.strikes,
            odds: case
                .map(|c| self.ladder.odds(k, now_s, tick, c, &Pieces::of(u32::from(v.evidence.matched)))),
            shared: k.shared(),
            talk: k.talk,
        })
    }
}

/// Each explanation with its nats relative to the likeliest one, which is at 0.
fn explanations(f: &detect::Finding) -> Vec<(&'static str, i32)> {
    let best = f.nats.max(0.0);
    let honest = HONEST.iter().zip(f.behind).filter(|(_, b)| *b > -1.0e9);
    let mut out: Vec<(&'static str, i32)> = vec![("campaign", (f.nats - best) as i32)];
    out.extend(honest.map(|(h, behind)| (h.name, (behind - best) as i32)));
    out
}

fn percent(share: f64) -> u8 {
    (share * 100.0) as u8
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::config::parse;
    use crate::engine::hash::mix;
    use crate::engine::tables::groups::Touch;
    use crate::engine::tables::keys::KeyState;
    use crate::engine::verdict::{Action, Evidence};

    const NOW_S: u32 = 1_780_000_000;

    fn ledger() -> Ledger {
        let mut l = Ledger::new(&parse(r#"{"identity":{"learn":"0s"}}"#).unwrap());
        l.clock.set(NOW_S);
        l
    }

    fn group(l: &mut Ledger, tag: u64, keys: u64, score: i16) {
        let g = l.values.groups_mut().create(tag, NOW_S).unwrap();
        for k in 0..keys {
            let key_hash = (mix(k) >> 32) as u32;
            g.touch(&Touch {
                key_hash,
                now_s: NOW_S,
                single: true,
                young: true,
                key_openings: 1,
                ..Touch::default()
            });
        }
        g.score = score;
    }

    fn confirmed(l: &mut Ledger, tag: u64, case: u16, score: i16) {
        group(l, tag, 40, score);
        let g = l.values.groups_mut().get_mut(tag).unwrap();
        g.set(flag::CONFIRMED, true);
        g.case = case;
        l.values.cases_mut().confirm(tag, case, NOW_S);
    }

    fn verdict(reason: Reason, group: u64) -> Verdict {
        let evidence = Evidence { group, ..Evidence::default() };
        Verdict { action: Action::Block, reason, evidence, ..Verdict::default() }
    }

    #[test]
    fn the_strongest_group_of_the_ladders_case_is_named() {
        let mut l = ledger();
        let (case, other) = (l.values.cases_mut().open(1, NOW_S), l.values.cases_mut().open(2, NOW_S));
        confirmed(&mut l, 11, case, 120);
        confirmed(&mut l, 12, case, 140);
        confirmed(&mut l, 13, other, 160);
        let mut e = Evidence::default();
        l.values.rests_on([&[11, 13, 12, 99], &[]], case, &mut e);
        assert_eq!((e.group, e.score), (12, 140));
        let net = Axis::Network.tag(77);
        group(&mut l, net, 50, 90);
        l.values.rests_on([&[net], &[]], 0, &mut e);
        assert_eq!((e.group, e.score), (net, 90), "a network verdict rests on the network");
        let g = l.evidence_group(1, &verdict(Reason::Network, e.group)).unwrap();
        assert_eq!((g.axis, g.id.get(..4), g.sampled_keys.len()), ("network", Some("nid:"), 32));
        assert!(g.sampled_keys.iter().all(|h| (0..50).any(|k| (mix(k) >> 32) as u32 == *h)));
        let mut none = Evidence::default();
        l.values.rests_on([&[0, 98], &[99]], 0, &mut none);
        assert_eq!(none, Evidence::default());
        assert!(l.evidence_group(1, &verdict(Reason::Template, 0)).is_none());
        assert!(l.evidence_group(1, &verdict(Reason::Rate, 12)).is_none(), "limits need no evidence");
    }

    #[test]
    fn a_convicted_key_is_explained_by_its_own_case() {
        let mut l = ledger();
        let (case, other) = (l.values.cases_mut().open(1, NOW_S), l.values.cases_mut().open(2, NOW_S));
        confirmed(&mut l, 11, case, 120);
        confirmed(&mut l, 12, case, 140);
        confirmed(&mut l, 13, other, 160);
        l.keys.insert(KeyState { id: 5, case, ..KeyState::default() }, NOW_S);
        l.keys.insert(KeyState { id: 6, ..KeyState::default() }, NOW_S);
        let id = |key, group| l.evidence_group(key, &verdict(Reason::Convicted, group)).map(|g| g.id);
        let tid = |v: u64| Some(format!("tid:{v:016x}"));
        assert_eq!(id(5, 0), tid(12), "its request matched nothing");
        assert_eq!(id(5, 13), tid(12), "its request matched another case only");
        assert_eq!(id(5, 11), tid(11));
        assert_eq!((id(6, 0), id(6, 13), id(7, 0)), (None, None, None), "no case, no key");
    }

    #[test]
    fn a_key_is_reported_with_its_facts_and_its_odds() {
        use crate::engine::rules::FACTORS;
        use crate::engine::tables::numbers::{Beta, Numbers};
        let mut l = ledger();
        let case = l.values.cases_mut().open(1, NOW_S);
        confirmed(&mut l, 11, case, 120);
        let talk = |mean, precision| Beta { mean, precision };
        l.values.cases_mut().case_mut(case).unwrap().numbers = Numbers {
            prior: 6.0,
            young: 1.25,
            old: -4.0,
            talk: talk(0.007, 40.0),
            honest_talk: talk(0.4, 3.0),
            ..Numbers::default()
        };
        let first_min = NOW_S / 60 - 50 * 60;
        let key = KeyState {
            id: 5,
            case,
            first_min,
            born: crate::engine::units::tick_of(NOW_S),
            total: 9,
            single: 7,
            hits: 6,
            after: 7,
            talk: 2,
            win_total: 9,
            win_single: 7,
            win_dup: 1,
            strikes: 3,
            seen_values: 0b111,
            ..KeyState::default()
        };
        l.keys.insert(key, NOW_S);
        let strange = KeyState { id: 6, first_min, flags: key_flag::AGE_UNKNOWN, ..KeyState::default() };
        l.keys.insert(strange, NOW_S);
        let mut v = verdict(Reason::Template, 11);
        v.evidence.matched = 4;
        let r = l.key_report(5, &v).unwrap();
        assert_eq!((r.young, r.age, r.age_hours, r.convicted), (true, "seen", 50, false));
        assert_eq!((r.requests, r.openings_percent, r.repeats_percent, r.matches_percent), (9, 77, 11, 85));
        assert_eq!((r.hits, r.talk, r.strikes), (6, 2, 3));
        // The odds are those that the ladder weighs, factor by factor.
        let odds = r.odds.unwrap();
        let c = l.values.cases().case(case).unwrap();
        assert_eq!(odds, l.ladder.odds(&key, NOW_S, crate::engine::units::tick_of(NOW_S), c, &Pieces::of(4)));
        let factor = |name| odds.0[FACTORS.iter().position(|f| *f == name).unwrap()];
        assert_eq!((factor("template"), factor("age"), factor("birth")), (6.0, 1.25, 0.0));
        assert!(factor("follow-ups") < -1.0 && factor("blocked before") > 0.0, "{odds:?}");
        // No case, no odds; nobody, nothing.
        let r = l.key_report(6, &v).unwrap();
        assert_eq!((r.young, r.age, r.odds), (false, "unknown", None));
        l.keys.get_mut(6).unwrap().set(key_flag::CREATED, true);
        assert_eq!(l.key_report(6, &v).unwrap().age, "created");
        assert!(l.key_report(7, &v).is_none());
    }

    #[test]
    fn an_alarm_names_the_octave_that_is_on() {
        let mut l = ledger();
        let tag = Axis::Profile.tag(4);
        group(&mut l, tag, 450, 0);
        l.values.alarms_mut().restore(1 << 3);
        assert_eq!(
            [
                l.values.alarms().nearest(2),
                l.values.alarms().nearest(3),
                l.values.alarms().nearest(4),
                l.values.alarms().nearest(5),
                l.values.alarms().nearest(63)
            ],
            [tag, tag, tag, 0, 0]
        );
        let g = l.evidence_group(1, &verdict(Reason::Profile, tag)).unwrap();
        assert_eq!((g.axis, g.state), ("profile", "alarm"));
    }
}

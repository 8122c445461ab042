//! What a request matched, and what follows for its key: the rule's answer, in the ladder's order; first that applies wins.

use super::Ledger;
use super::profile::octave;
use crate::engine::detect::hours;
use crate::engine::observation::{Few, Observation};
use crate::engine::outcome::Outcome;
use crate::engine::rules::{self, Facts, Odds, Pieces, Ruling};
use crate::engine::tables::cases::{Case, Cases};
use crate::engine::tables::groups::{Group, Touch};
use crate::engine::tables::keys::{KeyState, flag};
use crate::engine::value::Axis;
use crate::engine::verdict::{Evidence, Reason};

/// Confirmed values that a request carries, and the case that most of them belong to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matched {
    values: Few<40>,
    /// Best case.
    pub case: u16,
    /// Its values in this request.
    pub count: u32,
    /// Bits of them.
    pub bits: u16,
    /// What the best of them say.
    pub pieces: Pieces,
    /// Confirmed network case of this request.
    pub network: u16,
    /// The confirmed network value.
    pub network_value: u64,
    /// Values of the request.
    pub value_count: u32,
}

impl Matched {
    /// All confirmed text values.
    pub fn values(&self) -> &[u64] {
        self.values.as_slice()
    }
}

/// Looks up everything an observation carries.
pub fn find(cases: &Cases, obs: &Observation) -> Matched {
    let mut m = Matched { value_count: u32::from(obs.value_count), ..Matched::default() };
    if cases.live() == 0 {
        return m;
    }
    let mut tally: [(u16, Pieces, u16); 8] = Default::default();
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
        slot.1.add(entry.prior);
        slot.2 |= 1u16 << ((v >> 32) & 15);
    }
    let best = tally.into_iter().max_by_key(|t| t.1.count).unwrap_or_default();
    (m.case, m.pieces, m.bits) = best;
    m.count = m.pieces.count;
    for &v in obs.nets.iter().filter(|v| **v != 0) {
        if let Some(entry) = cases.get(v) {
            m.network = cases.resolve(entry.case);
            m.network_value = v;
        }
    }
    m
}

/// Counts a request into the key's record: totals, window, matches. What a convicted key sends while it is refused counts
/// in its totals only.
pub fn count(key: &mut KeyState, m: &Matched, single: bool, dup: bool, refused: bool) {
    key.total = key.total.saturating_add(1);
    key.single = key.single.saturating_add(u32::from(single));
    if refused && key.has(flag::CONVICTED) {
        return;
    }
    key.window(single, dup);
    let matched = m.count > 0;
    if matched && key.case != m.case && !key.has(flag::CONVICTED) {
        (key.case, key.seen_values, key.hits, key.after, key.talk) = (m.case, 0, 0, 0, 0);
    }
    let ours = matched && key.case == m.case;
    if ours {
        key.seen_values |= m.bits;
    }
    if !single {
        key.talk = key.talk.saturating_add(u8::from(ours));
        return;
    }
    // Shares are what counts: both give way together.
    if key.after == u8::MAX {
        (key.hits, key.after, key.talk) = (key.hits / 2, key.after / 2, key.talk / 2);
    }
    key.after = key.after.saturating_add(u8::from(ours || key.hits > 0));
    key.hits = key.hits.saturating_add(u8::from(ours));
}

/// Nats of a key's hours against sleep that leave no doubt.
const SLEEPLESS: f64 = -4.0;

impl Ledger {
    /// Notes the match in its cases, runs the ladder, and counts a block against the key.
    pub(super) fn settle(&mut self, obs: &Observation, t: &Touch, m: &Matched, watched: u32) -> Outcome {
        // A case lives by what is served, and by what the ladder itself blocks: while the campaign goes on its values stay. What
        // a worker refused for another reason (a limit, a list, an older snapshot) does not keep it alive.
        if !t.refused {
            self.note(m);
        }
        let was = self.keys.get(obs.key).is_some_and(|k| k.has(flag::CONVICTED));
        let (mut out, own) = self.ladder(obs, t, m, watched);
        if t.refused && out.block {
            self.note(m);
        }
        let strikes = self.c.strikes;
        let Some(key) = self.keys.get_mut(obs.key) else { return out };
        if out.block {
            key.strikes = key.strikes.saturating_add(1);
            match out.reason {
                Reason::Template | Reason::Network => {
                    let case = if out.reason == Reason::Network { m.network } else { m.case };
                    if key.case != case {
                        (key.case, key.seen_values, key.hits, key.after, key.talk) = (case, 0, 0, 0, 0);
                    }
                    key.convict(own);
                }
                // A load, or a breadth of prompts, is no case that could be released: it takes several blocks.
                Reason::Rollout | Reason::Profile if key.strikes >= strikes => {
                    key.convict(0.0);
                    key.case = 0;
                }
                _ => {}
            }
        }
        out.evidence.sample = t.key_hash;
        out.evidence.strikes = key.strikes;
        out.evidence.requests = key.total;
        // Edges go by who is known, and who is convicted.
        if was != key.has(flag::CONVICTED) || key.total == 1 {
            self.publisher.note(obs.key);
        }
        out
    }

    fn note(&mut self, m: &Matched) {
        if m.count > 0 {
            self.note_match(m);
        }
        if m.network != 0 {
            // A network that is still in use does not expire.
            self.cases.touch(m.network_value, self.clock.now_s);
        }
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

    /// The rule's answer for a key and a case, and what the key's own facts say (nats); `pieces` of the template are in the
    /// request.
    fn rule(&self, key: &KeyState, t: &Touch, case: &Case, pieces: &Pieces) -> (Ruling, f32) {
        let odds = self.odds(key, t.now_s, t.tick, case, pieces);
        (rules::rule(&odds, self.c.block_odds), odds.nats() as f32 - case.numbers.prior)
    }

    /// The odds that a key is one of a case's campaign.
    pub(super) fn odds(&self, key: &KeyState, now_s: u32, tick: u16, case: &Case, pieces: &Pieces) -> Odds {
        let facts = Facts::of(key, now_s, tick, self.c.young_for_s, pieces, case.shows());
        rules::odds(&facts, &case.numbers)
    }

    /// What follows for the key, and what its own facts say if it is to be convicted by them.
    fn ladder(&mut self, obs: &Observation, t: &Touch, m: &Matched, watched: u32) -> (Outcome, f32) {
        let mut out = Outcome { evidence: self.evidence(m), ..Outcome::default() };
        let Some(mut key) = self.keys.get(obs.key).copied() else { return (out, 0.0) };
        let campaign = |case: u16| self.cases.case(case).map_or(0, |c| c.id);
        let block = |reason: Reason, campaign: u32| Outcome { block: true, reason, campaign, ..out };
        if key.has(flag::CONVICTED) {
            let case = self.cases.resolve(key.case);
            // A conviction stands while its case stands, and until later facts overrule it: the case's, and the key's own if it
            // is served all the same.
            let stands = match self.cases.case(case).filter(|_| case != 0) {
                Some(c) if t.refused => {
                    rules::ruling(f64::from(c.numbers.prior + key.own()), self.c.block_odds) >= Ruling::Watch
                }
                Some(c) => {
                    // One popular phrase of its template does not free it; who was convicted by its network has shown none.
                    let few = Pieces::of(u32::from(key.hits == 0));
                    let pieces = if m.case == case && m.count >= 3 { m.pieces } else { few };
                    self.rule(&key, t, c, &pieces).0 >= Ruling::Watch
                }
                None => key.case == 0,
            };
            if stands {
                let id = campaign(case);
                // A campaign that goes on under another template goes on.
                self.cases.keep(case, t.now_s);
                return (block(Reason::Convicted, id), 0.0);
            }
            key.acquit();
            key.strikes = 0;
            if let Some(k) = self.keys.get_mut(obs.key) {
                *k = key;
            }
        }
        let mut watch = Ruling::Allow;
        if m.count > 0
            && let Some(case) = self.cases.case(m.case)
        {
            let (ruling, own) = self.rule(&key, t, case, &m.pieces);
            if ruling == Ruling::Block {
                return (block(Reason::Template, case.id), own);
            }
            watch = ruling;
        }
        if let Some(case) = self.cases.case(m.network).filter(|_| m.network != 0) {
            // The way a request came is worth one phrase.
            let (ruling, own) = self.rule(&key, t, case, &Pieces::of(1));
            if ruling == Ruling::Block {
                self.rests_on([&[m.network_value], &[]], m.network, &mut out.evidence);
                return (Outcome { block: true, reason: Reason::Network, campaign: case.id, ..out }, own);
            }
        }
        (self.by_load(out, obs, t, m, &key, (watch, watched)), 0.0)
    }

    /// The rungs of a key that no case blocks: a load, a breadth of prompts, and what is only watched.
    fn by_load(
        &mut self,
        mut out: Outcome,
        obs: &Observation,
        t: &Touch,
        m: &Matched,
        key: &KeyState,
        (watch, watched): (Ruling, u32),
    ) -> Outcome {
        let alarm = self.alarm(obs, t);
        if alarm && self.in_burst(obs.key, t) {
            let octave = octave(key, t.tick);
            self.rests_on([&[self.alarmed(octave)], &[]], 0, &mut out.evidence);
            return Outcome { block: true, reason: Reason::Profile, ..out };
        }
        let broad = key.shared() >= 28
            && u32::from(key.dup_x).saturating_mul(2) >= key.total
            && t.young
            && key.single_percent() >= 90;
        if broad {
            if !key.has(flag::ROLLOUT) {
                self.rollout_keys = self.rollout_keys.saturating_add(1);
                if let Some(k) = self.keys.get_mut(obs.key) {
                    k.set(flag::ROLLOUT, true);
                }
            }
            // Who teaches, tests or competes with one set of prompts sleeps.
            let ticks = u32::from(t.tick.wrapping_sub(key.born));
            if self.rollout_keys >= self.c.rollout_keys
                && hours::sleeper(key.hour_bits(), key.map_n(), ticks) <= SLEEPLESS
            {
                return Outcome { block: true, reason: Reason::Rollout, ..out };
            }
        }
        if alarm {
            let octave = octave(key, t.tick);
            self.rests_on([&[self.alarmed(octave)], &[]], 0, &mut out.evidence);
            return Outcome { watch: true, reason: Reason::Profile, ..out };
        }
        if watch == Ruling::Watch || watched >= 3 || (watched == 2 && m.value_count <= 10) {
            out.campaign = self.cases.case(m.case).map_or(0, |c| c.id);
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
            values: u8::try_from(m.value_count).unwrap_or(u8::MAX),
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
            let told = g.has(
                crate::engine::tables::groups::flag::CONFIRMED | crate::engine::tables::groups::flag::WATCH,
            );
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

//! Learning from an observation: touches the groups of its values, offers unknown values to the doorkeeper, and evaluates groups
//! that are due.
//!
//! Work is bounded by the observation's lists: at most `ANCHORS` values (`LEARNT` beside a confirmed template) and
//! `FEED` of them unknown ones, so a long prompt cannot fill the doorkeeper. A request with an allowed value teaches nothing.
//! One that a worker refused teaches nothing new: no unknown value is offered. What is confirmed is kept up to date (else only
//! those who pass would be left to speak for it), and beside a confirmed template what is known already (its own values that
//! are not confirmed yet). No other group grows: what is refused costs its sender nothing, and an honest prompt sent by blocked
//! keys would look like theirs.

use super::Values;
use crate::engine::config::Selector;
use crate::engine::config::campaign::off;
use crate::engine::detect::{self, Traits};
use crate::engine::ledger::matched::Matched;
use crate::engine::observation::{Few, MIDDLE, Observation};
use crate::engine::tables::groups::{self, Touch};
use crate::engine::tables::keys::KeyState;
use crate::engine::value::Axis;

/// Values of one observation that may touch the learning tables, per axis.
const ANCHORS: usize = 12;
/// The same for an observation that matches a confirmed template.
const LEARNT: usize = 36;
/// Values that a request may offer to the doorkeeper, beside those from the middle of its texts.
const FEED: usize = 8;
/// Groups that the values of one text's middle may have, unless it is a confirmed template's.
const MIDDLE_GROUPS: usize = 4;
/// All values of one observation that may touch the learning tables.
pub(super) const ALL: usize = LEARNT + MIDDLE;

impl Values {
    /// Updates groups, doorkeeper and load profiles. Returns how many of the request's values are under watch.
    pub(in crate::engine::ledger) fn touch_groups(
        &mut self,
        obs: &Observation,
        key: Option<&KeyState>,
        t: &Touch,
        m: &Matched,
    ) -> u32 {
        let own = learnt_values(obs, t.single);
        let middle = if t.single { obs.middle.as_slice() } else { &[] };
        let values = Few::<ALL>::of(own.as_slice().iter().chain(middle).copied());
        let allowed = |s: Selector| self.allow.contains_key(&s);
        if !self.allow.is_empty()
            && (values.as_slice().iter().any(|v| allowed(Selector::Template(*v)))
                || obs.nets.iter().any(|v| allowed(Selector::Network(*v))))
        {
            return 0;
        }
        // Requests of the commonest known phrase here: a phrase with less than a quarter of them (`dominance`) is a slot.
        let mut dominant_total = 0u32;
        for v in m.values() {
            dominant_total = dominant_total.max(self.groups.get(*v).map_or(0, |g| g.total));
        }
        let (mut watched, mut beside) = (0u32, Few::<ALL>::default());
        for g in values.as_slice().iter().filter_map(|v| self.groups.get(*v)) {
            if g.has(groups::flag::HONEST) {
                dominant_total = dominant_total.max(g.total);
            }
            watched = watched.saturating_add(u32::from(g.has(groups::flag::WATCH)));
            beside.push(u64::from(g.total) << 32 | u64::from(g.distinct() as u32));
        }
        let refused = t.refused;
        let strange = refused && m.count == 0;
        let mut due = Few::<ALL>::default();
        // Beside a confirmed value all others are learned.
        let mut room = if dominant_total > 0 { LEARNT } else { FEED };
        for &v in own.as_slice() {
            self.touch_value(
                v,
                t,
                (dominant_total, beside.as_slice(), values.as_slice()),
                (refused, strange),
                &mut room,
                &mut due,
            );
        }
        // What stands in the middle has a share of its own: else the windows' text, made up each time, would take it all. A few groups
        // tell of it, so that a long prompt of many people takes few places; beside a confirmed template all are learned.
        let mut known = middle.iter().filter(|v| self.groups.get(**v).is_some()).count();
        for &v in middle {
            let had = self.groups.get(v).is_some();
            room = usize::from(m.count > 0 || known < MIDDLE_GROUPS);
            self.touch_value(
                v,
                t,
                (dominant_total, beside.as_slice(), values.as_slice()),
                (refused, strange),
                &mut room,
                &mut due,
            );
            known = known.saturating_add(usize::from(!had && self.groups.get(v).is_some()));
        }
        // A follow-up to a prompt that carries a template follows the template up. It offers nothing unknown.
        let [first, middle] =
            if t.single { [&[][..]; 2] } else { [obs.first_anchors.as_slice(), obs.middle.as_slice()] };
        room = 0;
        for &v in first.iter().chain(middle).filter(|v| !values.as_slice().contains(v)) {
            self.touch_value(
                v,
                t,
                (dominant_total, beside.as_slice(), values.as_slice()),
                (true, strange),
                &mut room,
                &mut due,
            );
        }
        room = FEED;
        for &v in obs.nets.iter().filter(|v| **v != 0) {
            self.touch_value(v, t, (0, &[], &[]), (refused, refused), &mut room, &mut due);
        }
        if let Some(key) = key.filter(|_| m.count == 0) {
            self.touch_profile(key, t, &mut due);
        }
        for &v in due.as_slice() {
            if !strange {
                // Beside a template's large sample a network has one of its own.
                let text = Axis::of(v) == Axis::Text;
                self.start_large_sample(v, if text { values.as_slice() } else { &[] }, t.now_s);
            }
            self.evaluate(v, values.as_slice(), t.now_s);
        }
        for &v in values.as_slice().iter().filter(|_| !strange) {
            self.join(v, values.as_slice(), t.now_s);
        }
        watched
    }

    fn touch_value(
        &mut self,
        value: u64,
        t: &Touch,
        (dominant_total, beside, siblings): (u32, &[u64], &[u64]),
        (refused, strange): (bool, bool),
        room: &mut usize,
        due: &mut Few<ALL>,
    ) {
        if let Some(g) = self.groups.get_mut(value) {
            if strange && !g.has(groups::flag::CONFIRMED) {
                return;
            }
            g.touch(t);
            // Signs of people, or none for a while: have they begun to use the template?
            let sign = t.signs().contains(&true) || g.late.total.is_multiple_of(32);
            if sign && g.has(groups::flag::CONFIRMED) && self.cases.speaker(g.case) == value {
                let n = self.cases.numbers(g.case);
                let said = detect::newcomer(g, Traits::from(&n), f64::from(n.prior), &self.c.fitted);
                self.cases.describe_newcomers(g.case, said);
            }
            // Far rarer than a known template in the same request, or than anything that the same keys send: one of its slots.
            let times = u64::from(g.total).saturating_mul(u64::from(self.c.dominance));
            let keys = g.distinct() as u64;
            let slot = times < u64::from(dominant_total)
                || beside.iter().any(|o| o >> 32 > times && o & 0xffff_ffff <= keys.saturating_mul(2));
            g.under = g.under.saturating_add(u32::from(slot && !self.c.is_off(off::DOMINANCE)));
            if g.large_sample != 0 {
                self.large_samples.touch(g.large_sample, value, t);
            }
            if g.total >= g.next_eval {
                due.push(value);
            }
            return;
        }
        if refused || *room == 0 {
            return;
        }
        *room = room.saturating_sub(1);
        if self.door.offer(value, t.key_hash, t.now_s / 60)
            && let since = self.groups.known_since(siblings, t.now_s)
            && let Some(g) = self.groups.create(value, t.now_s)
        {
            g.created_s = since.map_or(g.created_s, |s| s.min(g.created_s));
            g.touch(t);
            g.under = u32::from(dominant_total > 4 && !self.c.is_off(off::DOMINANCE));
        }
    }

    /// Gives a promising group a large sample, unless another value of the same template has one: with all of its keys while its own
    /// sample holds them, else from now on.
    fn start_large_sample(&mut self, value: u64, siblings: &[u64], now_s: u32) {
        let Some(g) = self.groups.get(value) else { return };
        let share =
            |part: u32, whole: u32| u64::from(part).saturating_mul(10) >= u64::from(whole).saturating_mul(9);
        // Popular templates of old keys are many: of those only what is new each time and never followed up.
        let fit = Axis::of(value) != Axis::Profile
            && g.large_sample == 0
            && !g.is_slot()
            && g.keys.items().len() >= 12
            && (g.young_share() >= 0.45
                || (Axis::of(value) == Axis::Text && share(g.single, g.total) && share(g.novel, g.single)));
        let groups = &self.groups;
        let has = |v: &&u64| {
            groups
                .get(**v)
                .is_some_and(|o| o.large_sample != 0 && self.large_samples.get(o.large_sample, **v).is_some())
        };
        if !fit || siblings.iter().any(|v| has(&v)) {
            return;
        }
        // A phrase that hardly any key sends twice has nothing to tell: it is met by chance. A network says less than a template.
        let worth = |o: &groups::Group| {
            let by_chance = Axis::of(o.tag) == Axis::Text
                && o.distinct() >= 48.0
                && f64::from(o.total) < 1.5 * o.distinct();
            let people = o.has(groups::flag::HONEST) || o.is_slot();
            o.promise(now_s) + if o.has(groups::flag::CONFIRMED) { 4.0 } else { 0.0 }
                - if people { 6.0 } else { 0.0 }
                - if by_chance { 3.0 } else { 0.0 }
                - if Axis::of(o.tag) == Axis::Network { 2.0 } else { 0.0 }
        };
        let rank = |tag: u64| groups.get(tag).map_or(f64::MIN, worth);
        let slot = self.large_samples.start(g, worth(g), rank);
        if let Some(g) = self.groups.get_mut(value) {
            g.large_sample = slot;
        }
    }
}

/// The values that are learned: of an opening the smallest of all regions, of a follow-up only its own.
fn learnt_values(obs: &Observation, single: bool) -> Few<LEARNT> {
    if !single || obs.first_anchors.as_slice().is_empty() {
        let rest: &[u64] = if single { obs.rest.as_slice() } else { &[] };
        return Few::of(obs.anchors.as_slice().iter().chain(rest).copied());
    }
    // Both are sorted.
    let mut out = Few::default();
    let (mut a, mut b) = (obs.anchors.as_slice(), obs.first_anchors.as_slice());
    for _ in 0..ANCHORS {
        let (x, y) = (a.first().copied().unwrap_or(u64::MAX), b.first().copied().unwrap_or(u64::MAX));
        let least = x.min(y);
        if least == u64::MAX {
            break;
        }
        out.push(least);
        a = a.get(usize::from(x == least)..).unwrap_or_default();
        b = b.get(usize::from(y == least)..).unwrap_or_default();
    }
    let all = |v: &u64| obs.anchors.as_slice().contains(v) || obs.first_anchors.as_slice().contains(v);
    obs.rest.as_slice().iter().filter(|v| !all(v)).for_each(|v| {
        out.push(*v);
    });
    out
}

//! Groups: one per recurring value (a shingle, a network tag, an octave of load), each with a uniform sample of its keys.

use super::ghosts::{self, Ghosts};
use crate::engine::hash;
use crate::engine::math;
use crate::engine::sketch::bottom_k::{BottomK, Hashed};
use crate::engine::value::Axis;
use crate::engine::wire::{Encoded, Reader, Writer, encoded};
use std::ops::RangeInclusive;

/// One key inside one group, 36 bytes. Times are ticks of ten minutes that wrap after 455 days.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Hash of the key (or its tenant).
    pub key_hash: u32,
    /// Minute-of-hour bins of the key's openings.
    pub phase: u32,
    /// 24 hours of day seen in this group, openings counted for them (6 bits).
    pub hours: u32,
    /// Openings in this group.
    pub openings: u16,
    /// Ticks with openings: visits.
    pub ticks: u16,
    /// The key's openings at its last touch.
    pub key_openings: u16,
    /// First touch here.
    pub first: u16,
    /// First request of the key.
    pub key_first: u16,
    /// Last touch.
    pub last: u16,
    /// Age of the key (since its creation, or since its first request) at the first touch here, ticks.
    pub age: u16,
    /// Hash of the address prefix of the key's first request, 0 if unknown.
    pub home: u16,
    /// Openings counted in `phase`.
    pub phase_n: u8,
    /// Log code of the key's last gap between openings.
    pub gap: u8,
    /// The key's follow-ups among its requests (high half) and repeats among its recent ones (low half), fifteenths rounded up.
    pub habits: u8,
    /// Follow-ups in this group (saturating).
    pub talk: u8,
    /// Openings here whose text had been sent before, by anybody (saturating).
    pub dup: u8,
    /// See the constants below.
    pub flags: u8,
}

encoded!(Sample {
    key_hash: u32,
    phase: u32,
    hours: u32,
    openings: u16,
    ticks: u16,
    key_openings: u16,
    first: u16,
    key_first: u16,
    last: u16,
    age: u16,
    home: u16,
    phase_n: u8,
    gap: u8,
    habits: u8,
    talk: u8,
    dup: u8,
    flags: u8
});

const YOUNG: u8 = 1;
const OLD: u8 = 2;
const AUTOMATIC: u8 = 4;
const STRUCK: u8 = 8;
const REPEAT: u8 = 16;
const REGULAR: u8 = 32;

impl Hashed for Sample {
    fn hash(&self) -> u32 {
        self.key_hash
    }
}

impl Sample {
    /// Openings counted in the hour map.
    pub fn hours_n(&self) -> u8 {
        ((self.hours >> 24) & 63) as u8
    }
    /// Distinct hours of day seen.
    pub fn hour_bits(&self) -> u32 {
        self.hours & 0x00ff_ffff
    }
    /// Known to be young at the first touch.
    pub fn young(&self) -> bool {
        self.flags & YOUNG != 0
    }
    /// Known to be old at the first touch.
    pub fn old(&self) -> bool {
        self.flags & OLD != 0
    }
    /// Automatic at the last touch.
    pub fn automatic(&self) -> bool {
        self.flags & AUTOMATIC != 0
    }
    /// The last gap repeated the one before.
    pub fn repeats(&self) -> bool {
        self.flags & REPEAT != 0
    }
    /// The key is on a timer: many gaps repeated the one before.
    pub fn regular(&self) -> bool {
        self.flags & REGULAR != 0
    }
    /// Fifteenths of the key's requests that were follow-ups, rounded up.
    pub fn follows(&self) -> u32 {
        u32::from(self.habits >> 4)
    }
    /// Fifteenths of the key's recent openings that were repeats, rounded up.
    pub fn repeated(&self) -> u32 {
        u32::from(self.habits & 15)
    }
    /// The key was blocked before.
    pub fn struck(&self) -> bool {
        self.flags & STRUCK != 0
    }
    /// Moves times after `now` back to it.
    pub fn until(&mut self, now: u16) {
        for tick in [&mut self.first, &mut self.key_first, &mut self.last] {
            *tick = crate::engine::units::past(*tick, now);
        }
    }
    /// Ticks since the key's birth.
    pub fn birth_ago(&self, now: u16) -> u32 {
        u32::from(now.wrapping_sub(self.first)).saturating_add(u32::from(self.age))
    }
}

/// One request, as a group sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Touch {
    /// Hash of the key (or tenant).
    pub key_hash: u32,
    /// Seconds since the epoch.
    pub now_s: u32,
    /// The same in ticks of ten minutes.
    pub tick: u16,
    /// Hour of day, 0..=23.
    pub hour: u8,
    /// The request opens a conversation.
    pub single: bool,
    /// Nobody sent this text before.
    pub novel: bool,
    /// See `Sample::home`.
    pub home: u16,
    /// The key is young.
    pub young: bool,
    /// The key is known to be old.
    pub old: bool,
    /// The key is automatic.
    pub automatic: bool,
    /// Minute-of-hour bins of the key's openings, a bit each.
    pub phase: u32,
    /// Openings counted in `phase`.
    pub phase_n: u8,
    /// Openings of the key so far.
    pub key_openings: u32,
    /// First request of the key, ticks.
    pub key_first: u16,
    /// Log code of the key's last gap between openings (`keys::gap_code`).
    pub gap: u8,
    /// The key's last gap repeated the one before.
    pub repeats: bool,
    /// The key is on a timer.
    pub regular: bool,
    /// See `Sample::habits`.
    pub habits: u8,
    /// Age of the key, ticks.
    pub age: u16,
    /// The key was blocked before.
    pub struck: bool,
    /// This request is refused: see `Ledger::is_refused`.
    pub refused: bool,
}

impl Touch {
    /// Signs of honest users: a follow-up, an opening whose text was sent before, an opening of an old key.
    pub fn signs(&self) -> [bool; 3] {
        [!self.single, self.single && !self.novel, self.single && self.old]
    }
}

/// Group flags.
pub mod flag {
    /// Confirmed.
    pub const CONFIRMED: u8 = 1;
    /// Under watch: half of the evidence that confirms it.
    pub const WATCH: u8 = 2;
    /// An honest explanation is the better one, on enough keys to tell.
    pub const HONEST: u8 = 4;
    /// Under watch, or of new keys that never come back: unproven keys share a budget for it.
    pub const SUSPECT: u8 = 8;
    /// A load profile whose keys were made in one burst.
    pub const BURST: u8 = 32;
}

/// Counts of requests, each up to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// Requests.
    pub total: u8,
    /// Follow-ups among them.
    pub talk: u8,
    /// Openings whose text had been sent before.
    pub repeats: u8,
    /// Openings of keys known to be old.
    pub old: u8,
}

encoded!(Late { total: u8, talk: u8, repeats: u8, old: u8 });

impl Late {
    fn count(&mut self, t: &Touch) {
        if self.total == u8::MAX {
            self.halve();
        }
        self.total = self.total.saturating_add(1);
        for (n, sign) in [&mut self.talk, &mut self.repeats, &mut self.old].into_iter().zip(t.signs()) {
            *n = n.saturating_add(u8::from(sign));
        }
    }
    fn halve(&mut self) {
        for n in [&mut self.total, &mut self.talk, &mut self.repeats, &mut self.old] {
            *n /= 2;
        }
    }
}

/// Evidence about one value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Group {
    /// The value with its axis; 0 = free slot.
    pub tag: u64,
    /// Seconds since the epoch.
    pub created_s: u32,
    /// Last touch, seconds since the epoch.
    pub last_s: u32,
    /// Requests (this and the next three are halved at each epoch).
    pub total: u32,
    /// Openings among them.
    pub single: u32,
    /// Openings with a text that nobody sent before.
    pub novel: u32,
    /// Openings of keys known to be old.
    pub old: u32,
    /// Requests with a confirmed or honest value that is far more frequent (halved at each epoch). On the profile axis see
    /// `birth_burst`.
    pub under: u32,
    /// Requests a tick of one key (load of its whole traffic).
    pub load: f32,
    /// Value of `total` at which the group is evaluated next.
    pub next_eval: u32,
    /// Nats of the campaign over the best honest explanation, at the last evaluation.
    pub score: i16,
    /// Case, 0 = none.
    pub case: u16,
    /// Consecutive evaluations that met the conditions.
    pub armed: u8,
    /// See `flag`.
    pub flags: u8,
    /// Slot of its large sample, 0 = none.
    pub large_sample: u8,
    /// Counts of its latest 128 to 255 requests, or of all (halved at each epoch).
    pub late: Late,
    /// A released group is not confirmed before this minute. On the profile axis see `birth_burst`.
    pub immune_min: u32,
    /// Uniform sample of its keys.
    pub keys: BottomK<Sample, 32>,
}

impl Group {
    /// True if the flag `f` is set.
    pub fn has(&self, f: u8) -> bool {
        self.flags & f != 0
    }
    /// Sets or clears `f`.
    pub fn set(&mut self, f: u8, on: bool) {
        self.flags = if on { self.flags | f } else { self.flags & !f };
    }
    /// Estimated distinct keys.
    pub fn distinct(&self) -> f64 {
        self.keys.estimate()
    }
    /// Share of keys that were young at first touch.
    pub fn young_share(&self) -> f64 {
        let items = self.keys.items();
        if items.is_empty() {
            return 0.0;
        }
        items.iter().filter(|s| s.young()).count() as f64 / items.len() as f64
    }
    /// True if it is a slot: mostly met beside something far more frequent, the skeleton.
    pub fn is_slot(&self) -> bool {
        self.under.saturating_mul(2) >= self.total.max(1)
    }
    /// True if only young keys send it that never come back: first requests alone do not tell the explanations apart. A campaign with
    /// disposable keys looks like this. A template of people is sent by old keys, or followed up.
    pub fn is_passing(&self, distinct: f64, d_min: u32) -> bool {
        let nearly_all =
            |part: u32, whole: u32| u64::from(part).saturating_mul(20) >= u64::from(whole).saturating_mul(19);
        distinct >= f64::from(d_min) * 4.0
            && self.young_share() >= 0.95
            && nearly_all(self.single, self.total)
            && nearly_all(self.novel, self.single)
            && self.old.saturating_mul(50) <= self.single
            && !self.is_slot()
    }
    /// Minutes between which the keys of a load profile's birth burst were born, if it has one. A profile is never released and
    /// is never a slot, so `immune_min` and `under` hold the two ends: that saves eight bytes a group on every other axis.
    pub fn birth_burst(&self) -> Option<RangeInclusive<u32>> {
        self.has(flag::BURST).then_some(self.immune_min..=self.under)
    }
    /// Sets the minutes of a birth burst, see `birth_burst`. Clearing `flag::BURST` ends it.
    pub fn set_birth_burst(&mut self, from_min: u32, to_min: u32) {
        self.set(flag::BURST, true);
        (self.immune_min, self.under) = (from_min, to_min);
    }
    /// Counts one request.
    pub fn touch(&mut self, t: &Touch) {
        self.total = self.total.saturating_add(1);
        self.last_s = t.now_s;
        self.late.count(t);
        if t.single {
            self.single = self.single.saturating_add(1);
            self.novel = self.novel.saturating_add(u32::from(t.novel));
            self.old = self.old.saturating_add(u32::from(t.old));
        }
        admit(&mut self.keys, t);
    }
    /// Ends an epoch: halves the counters, and drops samples of keys that have been silent for `silent_ticks`.
    pub fn age(&mut self, tick: u16, silent_ticks: u16) {
        for v in [&mut self.total, &mut self.single, &mut self.novel, &mut self.old, &mut self.next_eval] {
            *v /= 2;
        }
        if Axis::of(self.tag) != Axis::Profile {
            self.under /= 2;
        }
        // With what came before, or a small value would have nothing before.
        self.late.halve();
        self.next_eval = self.next_eval.max(24);
        self.keys.retain(|s| tick.wrapping_sub(s.last) <= silent_ticks);
    }
    /// Rank for eviction: how likely it is to become a campaign's. The group with the least is evicted.
    pub fn promise(&self, now_s: u32) -> f64 {
        let young = self.young_share() >= 0.45;
        let idle_s = f64::from(now_s.saturating_sub(self.last_s));
        let fresh = young && now_s.saturating_sub(self.created_s) < 3 * 3600;
        math::ln(1.0 + self.distinct()) * if young { 1.0 } else { 0.3 } - idle_s / 43_200.0
            + (f64::from(self.score.min(100)) / 20.0).max(0.0)
            + if fresh { 2.0 } else { 0.0 }
    }
}

/// Counts one request of a key in a sample of keys.
pub fn admit<const K: usize>(keys: &mut BottomK<Sample, K>, t: &Touch) {
    if !keys.admits(t.key_hash) {
        return;
    }
    if let Some(s) = keys.get_mut(t.key_hash) {
        update(s, t);
    } else if t.single {
        let mut s = Sample {
            key_hash: t.key_hash,
            first: t.tick,
            key_first: t.key_first,
            age: t.age,
            home: t.home,
            ..Sample::default()
        };
        s.flags = if t.young { YOUNG } else { 0 } | if t.old { OLD } else { 0 };
        update(&mut s, t);
        keys.insert(s);
    }
}

fn update(s: &mut Sample, t: &Touch) {
    let fresh = s.openings == 0 || s.last != t.tick;
    s.last = t.tick;
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    s.flags = s.flags & !STRUCK | flag(t.struck, STRUCK);
    s.habits = t.habits;
    if !t.single {
        s.talk = s.talk.saturating_add(1);
        return;
    }
    s.openings = s.openings.saturating_add(1);
    s.ticks = s.ticks.saturating_add(u16::from(fresh));
    s.dup = s.dup.saturating_add(u8::from(!t.novel));
    s.key_openings = u16::try_from(t.key_openings).unwrap_or(u16::MAX).max(s.key_openings);
    if s.hours_n() < 63 {
        s.hours = (s.hours | (1 << (t.hour & 31))).wrapping_add(1 << 24);
    }
    // The key's map restarts at an epoch: keep the old copy until the new one says something.
    if t.phase_n >= s.phase_n || t.phase_n >= 16 {
        s.phase = t.phase;
        s.phase_n = t.phase_n & 63;
    }
    s.flags = s.flags & !(AUTOMATIC | REPEAT | REGULAR)
        | flag(t.automatic, AUTOMATIC)
        | flag(t.repeats, REPEAT)
        | flag(t.regular, REGULAR);
    s.gap = t.gap;
}

impl Encoded for Group {
    fn put(&self, w: &mut Writer<'_>) {
        w.u64(self.tag);
        for v in [
            self.created_s,
            self.last_s,
            self.total,
            self.single,
            self.novel,
            self.old,
            self.under,
            self.next_eval,
            self.immune_min,
        ] {
            w.u32(v);
        }
        w.f32(self.load);
        w.u16(self.score as u16);
        w.u16(self.case);
        w.u8(self.armed);
        w.u8(self.flags);
        w.u8(self.large_sample);
        self.late.put(w);
        put_sample(&self.keys, w);
    }
    fn take(r: &mut Reader<'_>) -> Option<Group> {
        Some(Group {
            tag: r.u64()?,
            created_s: r.u32()?,
            last_s: r.u32()?,
            total: r.u32()?,
            single: r.u32()?,
            novel: r.u32()?,
            old: r.u32()?,
            under: r.u32()?,
            next_eval: r.u32()?,
            immune_min: r.u32()?,
            load: r.f32()?,
            score: r.u16()? as i16,
            case: r.u16()?,
            armed: r.u8()?,
            flags: r.u8()?,
            large_sample: r.u8()?,
            late: Late::take(r)?,
            keys: take_sample(r)?,
        })
    }
}

/// Writes a sample.
pub fn put_sample<const K: usize>(s: &BottomK<Sample, K>, w: &mut Writer<'_>) {
    w.u32(s.threshold());
    w.u16(s.items().len() as u16);
    s.items().iter().for_each(|item| item.put(w));
}

/// Reads a sample.
pub fn take_sample<const K: usize>(r: &mut Reader<'_>) -> Option<BottomK<Sample, K>> {
    let threshold = r.u32()?;
    BottomK::from_parts(&take_items(r)?, threshold)
}

fn take_items(r: &mut Reader<'_>) -> Option<Vec<Sample>> {
    let n = r.u16()?;
    (0..n).map(|_| Sample::take(r)).collect()
}

pub(in crate::engine) const WAYS: usize = 8;

/// All groups.
#[derive(Debug)]
pub struct Groups {
    slots: Vec<Group>,
    /// The slots' tags side by side. A bucket's tags are one cache line; in the slots they would be eight lines on three
    /// pages. Most look-ups find nothing.
    tags: Vec<u64>,
    /// First-seen times of evicted values, so that a text which many keys send does not come back as a new one.
    ghosts: Ghosts,
    evicted: u64,
}

/// Distinct keys from which on an evicted value leaves a ghost: as many as for a verdict (`campaign.d_min` by default).
const KNOWN: u32 = 24;

impl Groups {
    /// `capacity` is rounded up to a power of two, at least one bucket of eight.
    pub fn new(capacity: u32) -> Groups {
        let n = (capacity as usize).next_power_of_two().max(WAYS);
        let ghosts = Ghosts::new(n);
        Groups { slots: vec![Group::default(); n], tags: vec![0; n], ghosts, evicted: 0 }
    }
    /// Bytes.
    pub fn size_bytes(&self) -> usize {
        let groups = self.slots.len().saturating_mul(std::mem::size_of::<Group>().saturating_add(8));
        groups.saturating_add(self.ghosts.size_bytes())
    }
    /// All slots; free ones have tag 0.
    pub fn slots(&self) -> &Vec<Group> {
        &self.slots
    }
    /// All slots, mutable. Call `index` afterwards if tags have changed.
    pub fn slots_mut(&mut self) -> &mut Vec<Group> {
        &mut self.slots
    }
    /// Rebuilds the list of tags.
    pub fn index(&mut self) {
        self.tags.iter_mut().zip(&self.slots).for_each(|(tag, g)| *tag = g.tag);
    }
    fn find(&self, tag: u64) -> Option<usize> {
        let range = self.bucket(tag);
        let start = range.start;
        let at = self.tags.get(range)?.iter().position(|t| *t == tag)?;
        Some(start.wrapping_add(at))
    }
    /// The ghosts, for saving.
    pub fn ghosts(&self) -> &Ghosts {
        &self.ghosts
    }
    /// The ghosts, for restoring.
    pub fn ghosts_mut(&mut self) -> &mut Ghosts {
        &mut self.ghosts
    }
    /// Number of groups evicted so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
    fn bucket(&self, tag: u64) -> std::ops::Range<usize> {
        let buckets = (self.slots.len() / WAYS).max(1);
        let at = (hash::mix(tag ^ 0x6772_6f75_7073) as usize & buckets.wrapping_sub(1)).wrapping_mul(WAYS);
        at..at.wrapping_add(WAYS)
    }
    /// Looks a group up.
    pub fn get(&self, tag: u64) -> Option<&Group> {
        self.find(tag).and_then(|at| self.slots.get(at))
    }
    /// Looks a group up, to change it.
    pub fn get_mut(&mut self, tag: u64) -> Option<&mut Group> {
        self.find(tag).and_then(|at| self.slots.get_mut(at))
    }
    /// First-seen time of a request's text, seconds since the epoch, if at least two of its values left ghosts (one may be a collision, see
    /// `ghosts`). A value without a group is then not new: it only never had a place.
    pub fn known_since(&self, values: &[u64], now_s: u32) -> Option<u32> {
        let mut left =
            values.iter().filter(|v| self.find(**v).is_none()).filter_map(|v| self.ghosts.get(*v, now_s));
        let (one, other) = (left.next()?, left.next()?);
        let first_min = left.fold(one.first_min.min(other.first_min), |first, g| first.min(g.first_min));
        Some(first_min.saturating_mul(60))
    }
    /// Makes a group in place of the least promising unconfirmed one of its bucket; `None` if all eight are confirmed.
    pub fn create(&mut self, tag: u64, now_s: u32) -> Option<&mut Group> {
        let range = self.bucket(tag);
        let (slots, tags) = (self.slots.get_mut(range.clone())?, self.tags.get_mut(range)?);
        let rank = |g: &Group| if g.tag == 0 { f64::MIN } else { g.promise(now_s) };
        let (slot, noted) = slots
            .iter_mut()
            .zip(tags)
            .filter(|(g, _)| !g.has(flag::CONFIRMED))
            .min_by(|a, b| rank(a.0).total_cmp(&rank(b.0)))?;
        *noted = tag;
        if slot.tag != 0 {
            self.evicted = self.evicted.saturating_add(1);
            if slot.distinct() >= f64::from(KNOWN) {
                self.ghosts.note(slot.tag, ghosts::born(slot.created_s, now_s), false, false);
            }
        }
        let created_s = self.ghosts.recall(tag, now_s).map_or(now_s, |g| g.first_min.saturating_mul(60));
        *slot = Group { tag, created_s, last_s: now_s, next_eval: 24, ..Group::default() };
        Some(slot)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;

    fn touch(key: u64, now_s: u32) -> Touch {
        Touch {
            key_hash: (mix(key) >> 32) as u32,
            now_s,
            tick: (now_s / 600) as u16,
            hour: ((now_s / 3600) % 24) as u8,
            single: true,
            novel: true,
            young: true,
            key_openings: 1,
            ..Touch::default()
        }
    }

    #[test]
    fn a_group_is_small_and_round_trips() {
        assert!(std::mem::size_of::<Group>() <= 1_224, "{}", std::mem::size_of::<Group>());
        assert_eq!(std::mem::size_of::<Sample>(), 36);
        let mut g = Group { tag: 77, ..Group::default() };
        (0..500u64).for_each(|k| g.touch(&Touch { old: k % 3 == 0, ..touch(k, 1_000_000 + k as u32) }));
        let mut bytes = Vec::new();
        g.put(&mut Writer(&mut bytes));
        let back = Group::take(&mut Reader(&bytes)).unwrap();
        let mut again = Vec::new();
        back.put(&mut Writer(&mut again));
        assert_eq!(bytes, again);
        for cut in 0..bytes.len() {
            assert!(Group::take(&mut Reader(bytes.get(..cut).unwrap())).is_none());
        }
    }

    #[test]
    fn ageing_keeps_rates_and_drops_the_silent() {
        let mut g = Group { tag: 77, ..Group::default() };
        (0..20u64).for_each(|k| g.touch(&touch(k, 0)));
        (0..10u64).for_each(|k| g.touch(&touch(k, 300_000)));
        g.age(500 + 100, 432);
        assert_eq!((g.keys.items().len(), g.total), (10, 15));
        assert!(g.keys.items().iter().all(|s| s.openings == 2));
        assert_eq!(g.late.total, 15, "the latest are never more than all");
    }

    #[test]
    fn a_burst_is_kept_while_its_flag_is() {
        let mut g = Group { tag: Axis::Profile.tag(70), ..Group::default() };
        assert_eq!(g.birth_burst(), None);
        g.set_birth_burst(100, 300);
        g.age(0, 432);
        assert_eq!(g.birth_burst(), Some(100..=300), "ageing does not move it");
        g.set(flag::BURST, false);
        assert_eq!(g.birth_burst(), None);
    }

    #[test]
    fn a_value_that_many_keys_send_does_not_come_back_as_a_new_one() {
        for (keys, known) in [(12, false), (40, true)] {
            let mut groups = Groups::new(8);
            let g = groups.create(1, 1_000_000).unwrap();
            (0..keys).for_each(|k| g.touch(&touch(k, 1_000_000)));
            // All other places are taken by what is more promising, and it has to leave.
            for tag in 2..=9 {
                let g = groups.create(tag, 1_400_000).unwrap();
                (0..200).for_each(|k| g.touch(&touch(k, 1_400_000)));
            }
            assert!(groups.get(1).is_none());
            let created_s = groups.create(1, 1_500_000).unwrap().created_s;
            assert_eq!(created_s < 1_001_000, known, "{keys} keys: {created_s}");
            groups.ghosts_mut().cells_mut().fill(0);
            assert_eq!(groups.create(10, 1_500_000).unwrap().created_s, 1_500_000);
        }
    }

    #[test]
    fn a_text_is_known_by_two_of_its_values_that_had_to_leave() {
        let mut groups = Groups::new(8);
        let fill = |groups: &mut Groups, tags: std::ops::RangeInclusive<u64>, now_s| {
            for tag in tags {
                let g = groups.create(tag, now_s).unwrap();
                (0..200).for_each(|k| g.touch(&touch(k, now_s)));
            }
        };
        fill(&mut groups, 1..=8, 1_000_000);
        assert_eq!(groups.known_since(&[1, 2, 3], 1_400_000), None, "they have their places");
        fill(&mut groups, 11..=18, 1_400_000);
        let mut left = (1..=8).filter(|v| groups.get(*v).is_none());
        let two = &[left.next().unwrap(), left.next().unwrap()];
        let [first, _] = *two;
        let one = &[first];
        assert_eq!(groups.known_since(one, 1_500_000), None, "one may be an accident");
        assert_eq!(groups.known_since(two, 1_500_000), Some(999_600), "ticks of ten minutes");
        assert_eq!(groups.known_since(&[99, 98, 11, first], 1_500_000), None);
        // Asked as often as one likes: what is remembered stays until its own value comes back.
        assert_eq!(groups.known_since(two, 1_500_000), Some(999_600));
    }

    #[test]
    fn confirmed_groups_are_never_victims() {
        let mut groups = Groups::new(8);
        for tag in 1..=8 {
            groups.create(tag, 1).unwrap().set(flag::CONFIRMED, true);
        }
        assert!(groups.create(9, 2).is_none());
        groups.get_mut(4).unwrap().set(flag::CONFIRMED, false);
        assert_eq!(groups.create(9, 2).unwrap().tag, 9);
        assert!(groups.get(4).is_none());
        assert_eq!(groups.evicted(), 1);
    }
}

//! Confirmed values and the cases they belong to. A case is what is kept of one campaign: the confirmed
//! values of one template (or one network) that occur together.

use super::numbers::Numbers;
use crate::engine::hash;
use crate::engine::value::Axis;
use crate::engine::wire::{Encoded, Reader, Writer, encoded};

/// A confirmed value, 24 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Confirmed {
    /// The value with its axis; 0 = free.
    pub value: u64,
    /// Time of confirmation, minutes since the epoch.
    pub since_min: u32,
    /// Last match, seconds since the epoch.
    pub last_s: u32,
    /// Odds that a key which sends it is the campaign's, nats: from the value's own counters, and at most
    /// what its large sample says (or one of nearly the same keys).
    pub prior: f32,
    /// Case number; `resolve` follows merges.
    pub case: u16,
}

encoded!(Confirmed { value: u64, since_min: u32, last_s: u32, prior: f32, case: u16 });

/// A case: what is kept of one campaign.
#[derive(Clone, Copy, Debug, Default)]
pub struct Case {
    /// Public number of the campaign, derived from the case's first value; 0 = free slot.
    pub id: u32,
    /// Confirmed values that belong to it now.
    pub values: u32,
    /// Requests that matched it.
    pub seen: u32,
    /// Time of the first confirmation, seconds since the epoch.
    pub first_s: u32,
    /// Time of the last match, seconds since the epoch.
    pub last_s: u32,
    /// Running mean of matched values in a request, in 1/16.
    pub usual: u32,
    /// Number of the case that this one was merged into, 0 = none.
    pub merged: u16,
    /// How often the slot was used before. It is part of the case's number, so the number of a closed case
    /// (convicted keys may still hold it) never names another case.
    pub turn: u16,
    /// The value that `numbers` were fitted to, 0 = none.
    pub by: u64,
    /// Estimated keys of that value.
    pub keys: f32,
    /// Numbers by which a key is judged.
    pub numbers: Numbers,
}

impl Encoded for Case {
    fn put(&self, w: &mut Writer<'_>) {
        for v in [self.id, self.values, self.seen, self.first_s, self.last_s, self.usual] {
            w.u32(v);
        }
        w.u16(self.merged);
        w.u16(self.turn);
        w.u64(self.by);
        w.f32(self.keys);
        self.numbers.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Option<Case> {
        Some(Case {
            id: r.u32()?,
            values: r.u32()?,
            seen: r.u32()?,
            first_s: r.u32()?,
            last_s: r.u32()?,
            usual: r.u32()?,
            merged: r.u16()?,
            turn: r.u16()?,
            by: r.u64()?,
            keys: r.f32()?,
            numbers: Numbers::take(r)?,
        })
    }
}

/// Turns of a slot before its numbers repeat.
const TURNS: u16 = 127;

/// Number of the case in slot `at`.
pub(in crate::engine) fn number_of(at: usize, turn: u16) -> u16 {
    (turn % TURNS).saturating_mul(CASES as u16).saturating_add(at as u16).saturating_add(1)
}

/// Slot and turn that a number names.
pub(in crate::engine) fn place_of(case: u16) -> Option<(usize, u16)> {
    let n = case.checked_sub(1)?;
    let cases = CASES as u16;
    Some((usize::from(n.checked_rem(cases)?), n.checked_div(cases)?))
}

impl Pair {
    /// True if the counter is in use.
    pub fn live(&self) -> bool {
        self.a != 0
    }
}

impl Case {
    /// Values of the case in a request of the campaign, mean.
    pub fn shows(&self) -> f32 {
        self.usual as f32 / 16.0
    }
    /// Rank of the value that gives the numbers.
    fn spoken_for(&self) -> (bool, bool, f32, f32) {
        spokesman(self.by, self.numbers.prior, self.keys)
    }
}

/// Rank of a value as the one that gives its case's numbers, the greatest first: a text before a network, as
/// others share the network; then the value with the fewest others among its keys, to two nats; then the one
/// with most keys. (A value that others also send is not worth more for that: see `Confirmed::prior`.)
fn spokesman(value: u64, prior: f32, keys: f32) -> (bool, bool, f32, f32) {
    (value != 0, Axis::of(value) == Axis::Text, (prior / 2.0).floor(), keys)
}

/// A counter of requests in which two cases occurred together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pair {
    a: u16,
    b: u16,
    count: u32,
}

encoded!(Pair { a: u16, b: u16, count: u32 });

const VALUES: usize = 4_096;
pub(in crate::engine) const WAYS: usize = 8;
/// Cases kept.
pub const CASES: usize = 512;
const PAIRS: usize = 1_024;

/// Confirmed values, cases and pair counters: 128 KiB.
#[derive(Debug)]
pub struct Cases {
    values: Vec<Confirmed>,
    cases: Vec<Case>,
    pairs: Vec<Pair>,
    live: u32,
    version: u64,
}

impl Default for Cases {
    fn default() -> Cases {
        Cases {
            values: vec![Confirmed::default(); VALUES],
            cases: vec![Case::default(); CASES],
            pairs: vec![Pair::default(); PAIRS],
            live: 0,
            version: 0,
        }
    }
}

impl Cases {
    /// Bytes of the tables.
    pub fn size_bytes(&self) -> usize {
        self.values
            .len()
            .saturating_mul(std::mem::size_of::<Confirmed>())
            .saturating_add(self.cases.len().saturating_mul(std::mem::size_of::<Case>()))
            .saturating_add(self.pairs.len().saturating_mul(std::mem::size_of::<Pair>()))
    }
    /// Number of confirmed values.
    pub fn live(&self) -> u32 {
        self.live
    }
    /// A number that changes whenever what is published of values or cases has changed.
    pub fn version(&self) -> u64 {
        self.version
    }
    /// All value slots; free ones have value 0.
    pub fn values(&self) -> &Vec<Confirmed> {
        &self.values
    }
    /// All case slots.
    pub fn cases(&self) -> &Vec<Case> {
        &self.cases
    }
    /// All pair counters; unused ones have no first case.
    pub fn pairs(&self) -> &Vec<Pair> {
        &self.pairs
    }
    /// The pair counters, to restore them.
    pub fn pairs_mut(&mut self) -> &mut Vec<Pair> {
        &mut self.pairs
    }
    /// Values and cases, to restore them. Call `recount` afterwards.
    pub fn tables_mut(&mut self) -> (&mut Vec<Confirmed>, &mut Vec<Case>) {
        (&mut self.values, &mut self.cases)
    }
    /// Recomputes all counts after a restore.
    pub fn recount(&mut self) {
        self.live = self.values.iter().filter(|v| v.value != 0).count() as u32;
        self.version = self.version.wrapping_add(1);
        self.cases.iter_mut().for_each(|c| c.values = 0);
        for at in 0..self.values.len() {
            let case = self.values.get(at).filter(|v| v.value != 0).map_or(0, |v| self.root(v.case));
            if let Some(c) = self.case_mut(case) {
                c.values = c.values.saturating_add(1);
            }
        }
    }
    fn bucket(value: u64) -> std::ops::Range<usize> {
        let at = (hash::mix(value ^ 0x6361_7365) as usize % (VALUES / WAYS)).wrapping_mul(WAYS);
        at..at.wrapping_add(WAYS)
    }
    /// Offers numbers for a case, fitted to the large sample of one of its values, which about `keys` keys
    /// have sent. They are taken if that value outranks the one that the present numbers are of: see
    /// `spokesman`.
    pub fn describe(&mut self, case: u16, value: u64, keys: f32, numbers: &Numbers) {
        let mine = spokesman(value, numbers.prior, keys);
        let Some(c) = self.case_mut(case).filter(|c| c.by == value || mine >= c.spoken_for()) else { return };
        (c.by, c.keys) = (value, keys);
        self.take_numbers(case, *numbers);
    }
    fn take_numbers(&mut self, case: u16, numbers: Numbers) {
        let Some(c) = self.case_mut(case).filter(|c| c.numbers.differ(&numbers)) else { return };
        c.numbers = numbers;
        self.version = self.version.wrapping_add(1);
    }
    /// The numbers of a case. Without any confirmed value: the default, which accuses nobody.
    pub fn numbers(&self, case: u16) -> Numbers {
        self.case(self.resolve(case)).map(|c| c.numbers).unwrap_or_default()
    }
    /// The value that the case's numbers were fitted to, 0 if none.
    pub fn speaker(&self, case: u16) -> u64 {
        self.case(self.root(case)).map_or(0, |c| c.by)
    }
    /// Sets the numbers on keys that came after a given minute: that minute, and their factor in nats.
    pub fn describe_newcomers(&mut self, case: u16, (came_to_min, nats): (u32, f64)) {
        let case = self.root(case);
        let Some(c) = self.case(case) else { return };
        self.take_numbers(case, Numbers { came_to_min, newcomer: nats as f32, ..c.numbers });
    }
    /// Notes that a value has no large sample any more or is not confirmed any more. The next value that has
    /// one gives the numbers.
    pub fn falls_silent(&mut self, case: u16, value: u64) {
        let case = self.root(case);
        if let Some(c) = self.case_mut(case).filter(|c| c.by == value) {
            (c.by, c.keys) = (0, 0.0);
        }
    }
    /// The entry of a confirmed value.
    pub fn get(&self, value: u64) -> Option<&Confirmed> {
        if self.live == 0 {
            return None;
        }
        self.values.get(Self::bucket(value))?.iter().find(|v| v.value == value)
    }
    fn get_mut(&mut self, value: u64) -> Option<&mut Confirmed> {
        self.values.get_mut(Self::bucket(value))?.iter_mut().find(|v| v.value == value)
    }
    /// Notes that a request matched the value.
    pub fn touch(&mut self, value: u64, now_s: u32) {
        if let Some(v) = self.get_mut(value) {
            v.last_s = now_s;
        }
    }
    /// Sets the odds of a value, nats. A change of half a nat or less is ignored.
    pub fn set_prior(&mut self, value: u64, prior: f32) {
        if let Some(v) = self.get_mut(value).filter(|v| (v.prior - prior).abs() > 0.5) {
            v.prior = prior;
            self.version = self.version.wrapping_add(1);
        }
    }
    /// The number of the case that this number stands for after merges; 0 if that case has no confirmed value
    /// left.
    pub fn resolve(&self, case: u16) -> u16 {
        let at = self.root(case);
        if self.case(at).is_some_and(|c| c.values > 0) { at } else { 0 }
    }
    /// The confirmed values of a case.
    pub fn values_in(&self, case: u16) -> Vec<u64> {
        self.values_where(|root| root == case && case != 0)
    }
    /// The confirmed values of cases with this public number. If there are none, the cost is one look at each
    /// case, not at each value.
    pub fn values_numbered(&self, id: u32) -> Vec<u64> {
        if !self.cases.iter().any(|c| c.id == id && c.values > 0) {
            return Vec::new();
        }
        self.values_where(|root| self.case(root).is_some_and(|c| c.id == id))
    }
    fn values_where(&self, of: impl Fn(u16) -> bool) -> Vec<u64> {
        self.values.iter().filter(|v| v.value != 0 && of(self.root(v.case))).map(|v| v.value).collect()
    }
    /// The number of the case that this number stands for after merges, with values or without; 0 if there is
    /// none.
    pub fn root(&self, case: u16) -> u16 {
        let mut at = case;
        // Merges form a tree; the bound only guards against damage.
        for _ in 0..CASES {
            match self.case(at) {
                Some(c) if c.merged != 0 => at = c.merged,
                Some(_) => return at,
                None => return 0,
            }
        }
        0
    }
    /// A case by number; `None` if its slot holds another case by now.
    pub fn case(&self, case: u16) -> Option<&Case> {
        let (at, turn) = place_of(case)?;
        self.cases.get(at).filter(|c| c.id != 0 && c.turn == turn)
    }
    pub(in crate::engine) fn case_mut(&mut self, case: u16) -> Option<&mut Case> {
        let (at, turn) = place_of(case)?;
        self.cases.get_mut(at).filter(|c| c.id != 0 && c.turn == turn)
    }
    /// Public number of a case whose first value is `value`.
    pub fn id_of(value: u64) -> u32 {
        ((hash::mix(value ^ 0x6361_6d70) >> 32) as u32).max(1)
    }
    /// Opens a case in a free slot, or in place of the least seen case without values. Returns its number.
    pub fn open(&mut self, value: u64, now_s: u32) -> u16 {
        let id = Cases::id_of(value);
        let found = self
            .cases
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, c)| (c.id != 0, c.values > 0, c.merged != 0, c.seen, c.last_s));
        let Some((i, slot)) = found else { return 0 };
        let before = if slot.id == 0 { 0 } else { number_of(i, slot.turn) };
        let turn = if slot.id == 0 { slot.turn } else { slot.turn.wrapping_add(1) % TURNS };
        *slot = Case { id, first_s: now_s, last_s: now_s, turn, ..Case::default() };
        // Nothing of the tables points at what the slot held before. (Keys may: it names nothing any more.)
        self.cases.iter_mut().filter(|c| c.merged == before).for_each(|c| c.merged = 0);
        for p in self.pairs.iter_mut().filter(|p| before != 0 && (p.a == before || p.b == before)) {
            *p = Pair::default();
        }
        number_of(i, turn)
    }
    /// Confirms a value into a case. Returns the value that was evicted for it, if any.
    pub fn confirm(&mut self, value: u64, case: u16, now_s: u32) -> Option<u64> {
        let slot =
            self.values.get_mut(Self::bucket(value))?.iter_mut().min_by_key(|v| (v.value != 0, v.last_s))?;
        let victim = *slot;
        *slot = Confirmed { value, since_min: now_s / 60, last_s: now_s, prior: 0.0, case };
        self.live = self.live.saturating_add(1);
        self.version = self.version.wrapping_add(1);
        if let Some(c) = self.case_mut(case) {
            c.values = c.values.saturating_add(1);
        }
        (victim.value != 0).then(|| {
            self.forget(&victim);
            victim.value
        })
    }
    fn forget(&mut self, gone: &Confirmed) {
        self.live = self.live.saturating_sub(1);
        self.version = self.version.wrapping_add(1);
        self.falls_silent(gone.case, gone.value);
        let case = self.resolve(gone.case);
        if let Some(c) = self.case_mut(case) {
            c.values = c.values.saturating_sub(1);
        }
    }
    /// Releases a value.
    pub fn release(&mut self, value: u64) {
        if let Some(v) = self.get_mut(value) {
            let gone = std::mem::take(v);
            self.forget(&gone);
        }
    }
    /// Notes that keys of a case still send, so it does not expire.
    pub fn keep(&mut self, case: u16, now_s: u32) {
        if let Some(c) = self.case_mut(case) {
            c.last_s = now_s;
        }
    }
    /// Values to be released: neither they nor their case were matched within `expiry_s` seconds.
    pub fn expired(&self, now_s: u32, expiry_s: u32) -> Vec<u64> {
        let kept = |v: &Confirmed| self.case(self.root(v.case)).map_or(0, |c| c.last_s);
        let old = |v: &&Confirmed| v.value != 0 && now_s.saturating_sub(v.last_s.max(kept(v))) > expiry_s;
        self.values.iter().filter(old).map(|v| v.value).collect()
    }
    /// Notes that a request matched `count` values of a case.
    pub fn matched(&mut self, case: u16, count: u32, now_s: u32) {
        if let Some(c) = self.case_mut(case) {
            c.seen = c.seen.saturating_add(1);
            c.last_s = now_s;
            let shown = count.saturating_mul(16);
            c.usual =
                if c.usual == 0 { shown } else { c.usual.saturating_mul(15).saturating_add(shown) / 16 };
        }
    }
    /// Notes that two cases occurred in one request, and merges them if they do so often enough.
    pub fn meet(&mut self, a: u16, b: u16) {
        // The later slot is merged into the earlier.
        let slot = |case: u16| place_of(case).map_or(0, |p| p.0);
        let (a, b) = if slot(a) <= slot(b) { (a, b) } else { (b, a) };
        let at = hash::mix(u64::from(a) << 16 | u64::from(b)) as usize % PAIRS;
        let (Some(ca), Some(cb)) = (self.case(a).copied(), self.case(b).copied()) else { return };
        let Some(p) = self.pairs.get_mut(at) else { return };
        if (p.a, p.b) != (a, b) {
            *p = Pair { a, b, count: 0 };
        }
        p.count = p.count.saturating_add(1);
        let (rare, common) = (ca.seen.min(cb.seen), ca.seen.max(cb.seen));
        if p.count >= 6 && p.count.saturating_mul(20) >= rare && common <= rare.saturating_mul(4) {
            *p = Pair::default();
            self.merge(a, b);
        }
    }
    fn merge(&mut self, a: u16, b: u16) {
        let Some(gone) = self.case(b).copied() else { return };
        for v in self.values.iter_mut().filter(|v| v.value != 0 && v.case == b) {
            v.case = a;
        }
        if let Some(c) = self.case_mut(a) {
            c.values = c.values.saturating_add(gone.values);
            c.seen = c.seen.saturating_add(gone.seen);
            c.first_s = c.first_s.min(gone.first_s);
            c.id = c.id.min(gone.id);
            if gone.spoken_for() > c.spoken_for() {
                (c.by, c.keys, c.numbers) = (gone.by, gone.keys, gone.numbers);
            }
        }
        if let Some(c) = self.case_mut(b) {
            c.merged = a;
            c.values = 0;
        }
        self.version = self.version.wrapping_add(1);
    }
    /// Ages the counters at the end of an epoch.
    pub fn age(&mut self) {
        self.pairs.fill(Pair::default());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn cases_that_meet_often_become_one() {
        let mut c = Cases::default();
        let (a, b) = (c.open(1, 0), c.open(2, 0));
        c.confirm(1, a, 0);
        c.confirm(2, b, 0);
        for _ in 0..10 {
            c.matched(a, 1, 1);
            c.matched(b, 1, 1);
            c.meet(a, b);
        }
        assert_eq!(c.resolve(b), a);
        assert_eq!(c.resolve(c.get(2).unwrap().case), a);
        assert_eq!(c.case(a).unwrap().values, 2);
        c.release(1);
        c.release(2);
        assert_eq!((c.resolve(a), c.resolve(b), c.live()), (0, 0, 0));
    }

    #[test]
    fn a_number_never_names_another_case() {
        let mut c = Cases::default();
        let mut numbers = std::collections::HashSet::new();
        for v in 1..20_000u64 {
            let case = c.open(v, v as u32);
            assert!(case != 0 && numbers.insert(case), "{v}");
            c.confirm(v, case, v as u32);
            assert_eq!(c.resolve(case), case);
            c.release(v);
            assert_eq!(c.resolve(case), 0);
        }
        // Only the cases in the slots answer to their numbers.
        assert_eq!(numbers.iter().filter(|n| c.case(**n).is_some()).count(), CASES);
    }

    #[test]
    fn the_value_with_the_fewest_others_describes_a_case_then_the_one_with_the_most_keys() {
        let mut c = Cases::default();
        let case = c.open(1, 0);
        let numbers = |prior| Numbers { prior, ..Numbers::default() };
        let prior = |c: &Cases| c.case(case).unwrap().numbers.prior;
        c.describe(case, 7, 400.0, &numbers(5.0));
        let version = c.version();
        c.describe(case, 8, 100.0, &numbers(5.3));
        c.describe(case, 9, 500.0, &numbers(3.9));
        c.describe(case, 7, 420.0, &numbers(5.1));
        assert_eq!((prior(&c), c.version()), (5.0, version), "too few keys; others send it; too little news");
        c.describe(case, 8, 500.0, &numbers(5.3));
        assert!(prior(&c) == 5.3 && c.version() != version, "more keys");
        c.describe(case, 9, 100.0, &numbers(9.0));
        assert_eq!(prior(&c), 9.0, "fewer others");
    }

    /// A network of more keys joined a case, spoke for it and was let go: what it had said stood until the case ended.
    #[test]
    fn who_is_gone_describes_no_case() {
        let numbers = |prior| Numbers { prior, ..Numbers::default() };
        let prior = |c: &Cases, case| c.case(case).unwrap().numbers.prior;
        let leave: [fn(&mut Cases, u16); 2] = [|c, _| c.release(7), |c, case| c.falls_silent(case, 7)];
        for leave in leave {
            let mut c = Cases::default();
            let (first, case) = (c.open(2, 0), c.open(1, 0));
            c.confirm(7, case, 0);
            c.confirm(8, case, 0);
            c.describe(case, 7, 400.0, &numbers(1.0));
            leave(&mut c, case);
            assert_eq!(prior(&c, case), 1.0, "until another one speaks");
            c.describe(case, 8, 100.0, &numbers(9.0));
            assert_eq!(prior(&c, case), 9.0);
            // Of merged cases, too.
            c.confirm(3, first, 0);
            c.describe(first, 3, 50.0, &numbers(4.0));
            c.merge(first, case);
            assert_eq!(prior(&c, first), 9.0);
            c.release(8);
            c.describe(first, 3, 50.0, &numbers(5.0));
            assert_eq!(prior(&c, first), 5.0);
        }
    }

    #[test]
    fn what_a_campaign_says_describes_it_before_where_it_comes_from() {
        let mut c = Cases::default();
        let case = c.open(1, 0);
        let numbers = |prior| Numbers { prior, ..Numbers::default() };
        let network = Axis::Network.tag(5);
        c.describe(case, network, 400.0, &numbers(1.0));
        c.describe(case, 8, 100.0, &numbers(9.0));
        c.describe(case, network, 500.0, &numbers(1.0));
        assert_eq!(c.case(case).unwrap().numbers.prior, 9.0);
    }

    #[test]
    fn the_table_is_bounded_and_names_its_victims() {
        let mut c = Cases::default();
        let case = c.open(1, 0);
        let mut lost = 0;
        for v in 1..20_000u64 {
            lost += u32::from(c.confirm(v, case, v as u32).is_some());
        }
        assert_eq!(c.live() + lost, 19_999);
        assert!(c.live() <= 4_096);
        assert_eq!(c.case(case).unwrap().values, c.live());
        assert_eq!(c.expired(40_000, 10_000).len() as u32, c.live());
    }
}

//! The key table: 64 bytes a key, two buckets of eight to choose from, bounded.
//!
//! If both buckets are full, a key that came once gives way first, then one that came back, then one that was blocked, and
//! last a convicted one; among equals the longest silent. So a flood of made-up keys displaces hardly any but its own. Of a
//! key that left its birth is kept (see `ghosts`), so it does not look new when it comes back. Its debts are not kept: it
//! gets a fresh quota, which is better than to charge a newcomer with a stranger's debt. That quota is bounded: keys above
//! a limit stay known in `overdrawn`, each worker has limits of its own, and it takes 16 keys that came back to displace another
//! such key.

use super::ghosts::{Ghost, Ghosts};
use crate::engine::hash;
use crate::engine::wire::encoded;

/// Slots of a bucket.
pub const BUCKET: usize = 8;
/// Openings that are entered in the bitmaps, at most: a full map would make every heavy user look sleepless.
pub const MAP_LIMIT: u8 = 63;

/// After this silence a key's state is worth no more than its birth.
const SILENT_S: u32 = 14 * 86_400;

/// An heir has an heir of its own only after this time (20 h). Otherwise one trusted key could launder any number of new
/// ones, each the heir of the one before: 1,500 accounts behind 10 egresses in one day. With the rule it is one a day and
/// egress. A credential that is rotated once a day or less often stays of unknown age. One that is rotated every hour is
/// young from its second successor on; such tokens need an identity that stays (`jwt`, a header).
pub const CHAIN_TICKS: u16 = 120;

/// Key flags.
pub mod flag {
    /// First seen while learning, or heir of such a key: youth neither accuses nor protects.
    pub const AGE_UNKNOWN: u8 = 1;
    /// Never sleeps, spread over the hour, one-shot, never repeats.
    pub const AUTOMATIC: u8 = 2;
    /// The request told the account's age.
    pub const CREATED: u8 = 4;
    /// The last gap between openings repeated the one before.
    pub const REPEAT: u8 = 8;
    /// Another key was already recognised as this key's successor.
    pub const HEIR: u8 = 16;
    /// The key has shown a rollout's breadth of shared prompts.
    pub const ROLLOUT: u8 = 32;
    /// Convicted: blocked until 72 h after its last request, while its case stands.
    pub const CONVICTED: u8 = 64;
    /// Took over another key's unknown age: see `CHAIN_TICKS`.
    pub const INHERITED: u8 = 128;
}

/// What is kept of a key.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct KeyState {
    /// `KeyId`; 0 is never stored.
    pub id: u64,
    /// Birth: creation if told, else first request, minutes since the epoch.
    pub first_min: u32,
    /// Last request, seconds since the epoch.
    pub last_s: u32,
    /// Requests.
    pub total: u32,
    /// Openings.
    pub single: u32,
    /// Bit per UTC hour of day (24) and openings counted in the maps (8).
    pub hours: u32,
    /// Bit per 112.5 s of the hour.
    pub phase: u32,
    /// Bits of prompts that another key had sent within the hour. Of a convicted key: see `convict`.
    pub dup_map: u64,
    /// Confirmed values matched in the current case, a bit each.
    pub seen_values: u16,
    /// Hash of the address prefix of the first request, 0 if unknown.
    pub home: u16,
    /// Number of such prompts (saturating).
    pub dup_x: u8,
    /// Gaps that repeat the one before: three up, one down.
    pub beats: u8,
    /// Case of the last match.
    pub case: u16,
    /// First request, ticks (wraps after 455 days).
    pub born: u16,
    /// Theoretical arrival times of the first two limits, relative to `last_s`, in 1/32768 of the window.
    pub tat0: u16,
    /// See `tat0`.
    pub tat1: u16,
    /// Sliding window: requests, openings, repeats; all halved at 64.
    pub win_total: u8,
    /// See `win_total`.
    pub win_single: u8,
    /// See `win_total`.
    pub win_dup: u8,
    /// Follow-ups that carried the template of the current case (saturating).
    pub talk: u8,
    /// Openings that carried it, and all openings since the first of them (saturating).
    pub hits: u8,
    /// See `hits`.
    pub after: u8,
    /// Blocks.
    pub strikes: u8,
    /// See `flag`.
    pub flags: u8,
    /// Epoch of the last ageing, modulo 256.
    pub epoch: u8,
    /// Log code of the last gap between openings, 0 = none.
    pub gap: u8,
}

const _: () = assert!(std::mem::size_of::<KeyState>() == 64);

encoded!(KeyState {
    id: u64,
    first_min: u32,
    last_s: u32,
    total: u32,
    single: u32,
    hours: u32,
    phase: u32,
    dup_map: u64,
    seen_values: u16,
    home: u16,
    dup_x: u8,
    beats: u8,
    case: u16,
    born: u16,
    tat0: u16,
    tat1: u16,
    win_total: u8,
    win_single: u8,
    win_dup: u8,
    talk: u8,
    hits: u8,
    after: u8,
    strikes: u8,
    flags: u8,
    epoch: u8,
    gap: u8,
});

impl KeyState {
    /// Is `f` set?
    pub fn has(&self, f: u8) -> bool {
        self.flags & f != 0
    }
    /// Sets or clears `f`.
    pub fn set(&mut self, f: u8, on: bool) {
        self.flags = if on { self.flags | f } else { self.flags & !f };
    }
    /// Convicts the key. `own`: the sum of its factors but the template's odds, nats. It is kept as it is, because what a
    /// key does while it is refused costs it nothing and is no evidence. It is stored in `dup_map`, as the breadth of its
    /// prompts is no longer asked.
    pub fn convict(&mut self, own: f32) {
        self.set(flag::CONVICTED, true);
        self.dup_map = u64::from(own.to_bits());
    }
    /// What its own facts said when it was convicted, nats; 0 if it is not.
    pub fn own(&self) -> f32 {
        if self.has(flag::CONVICTED) { f32::from_bits(self.dup_map as u32) } else { 0.0 }
    }
    /// Ends a conviction.
    pub fn acquit(&mut self) {
        self.set(flag::CONVICTED, false);
        (self.dup_map, self.dup_x) = (0, 0);
    }
    /// Prompts that it shared with others, a bit each.
    pub fn shared(&self) -> u32 {
        if self.has(flag::CONVICTED) { 0 } else { self.dup_map.count_ones() }
    }
    /// Openings in the maps.
    pub fn map_n(&self) -> u8 {
        (self.hours >> 24) as u8
    }
    /// Hours seen.
    pub fn hour_bits(&self) -> u32 {
        self.hours & 0x00ff_ffff
    }
    /// Is the key on a timer, even with jitter? Its gaps repeat far more often than those of a queue.
    pub fn is_regular(&self) -> bool {
        self.beats >= 6
    }
    /// Known to be younger than `young_for_s`.
    pub fn is_young(&self, now_s: u32, young_for_s: u64) -> bool {
        !self.has(flag::AGE_UNKNOWN) && self.age_s(now_s) < young_for_s
    }
    /// Known to be older than `young_for_s`; also where nothing but the first request tells.
    pub fn is_old(&self, now_s: u32, young_for_s: u64) -> bool {
        self.age_s(now_s) >= young_for_s
    }
    /// Known to have been younger than `young_for_s` at its first request: a key does not grow out of a campaign.
    pub fn came_young(&self, now_s: u32, tick: u16, young_for_s: u64) -> bool {
        let since_s = u32::from(tick.wrapping_sub(self.born)).saturating_mul(600);
        self.is_young(now_s.saturating_sub(since_s), young_for_s)
    }
    fn age_s(&self, now_s: u32) -> u64 {
        u64::from(now_s).saturating_sub(u64::from(self.first_min).saturating_mul(60))
    }
    /// What the state is worth, for eviction: 0 an empty slot, 1 a key that came once or is silent for two weeks, 2 one
    /// that came back, 3 one that was blocked, 4 a convicted one.
    fn worth(&self, now_s: u32) -> u8 {
        match () {
            () if self.id == 0 => 0,
            () if now_s.saturating_sub(self.last_s) > SILENT_S => 1,
            () if self.has(flag::CONVICTED) => 4,
            () if self.strikes > 0 => 3,
            () if self.total > 1 => 2,
            () => 1,
        }
    }
    /// A new key from the same origin may be its successor: not struck, trusted, and without an heir so far.
    pub fn may_have_heir(&self, now_s: u32, tick: u16, young_for_s: u64) -> bool {
        self.strikes == 0
            && (self.has(flag::AGE_UNKNOWN) || self.is_old(now_s, young_for_s))
            && !self.has(flag::HEIR)
            && (!self.has(flag::INHERITED) || tick.wrapping_sub(self.born) >= CHAIN_TICKS)
    }
    /// Share of openings in the window, in percent.
    pub fn single_percent(&self) -> u32 {
        percent(self.win_single, self.win_total)
    }
    /// Share of repeats among the openings in the window, in percent.
    pub fn dup_percent(&self) -> u32 {
        percent(self.win_dup, self.win_total)
    }
    /// Share of its openings since the first that matched a confirmed value which did, in percent.
    pub fn match_percent(&self) -> u32 {
        percent(self.hits, self.after)
    }
    /// Counts one request into the sliding window.
    pub fn window(&mut self, single: bool, dup: bool) {
        if self.win_total >= 64 {
            for w in [&mut self.win_total, &mut self.win_single, &mut self.win_dup] {
                *w >>= 1;
            }
        }
        self.win_total = self.win_total.saturating_add(1);
        self.win_single = self.win_single.saturating_add(u8::from(single));
        self.win_dup = self.win_dup.saturating_add(u8::from(dup));
    }
    /// Epoch boundary.
    pub fn age_epoch(&mut self, epoch: u8) {
        let passed = epoch.wrapping_sub(self.epoch);
        if passed == 0 {
            return;
        }
        if self.map_n() >= MAP_LIMIT {
            self.hours = 0;
            self.phase = 0;
        }
        self.epoch = epoch;
    }
}

fn percent(part: u8, whole: u8) -> u32 {
    u32::from(part).saturating_mul(100).checked_div(u32::from(whole)).unwrap_or(0)
}

/// All keys of a node.
#[derive(Debug)]
pub struct KeyTable {
    slots: Vec<KeyState>,
    ghosts: Ghosts,
    /// A byte a slot where there are budgets (see `budget`), else nothing.
    marks: Vec<u8>,
    used: u32,
    evicted: u64,
}

impl KeyTable {
    /// `capacity` is rounded up to a power of two, at least one bucket.
    pub fn new(capacity: u32) -> KeyTable {
        let n = (capacity as usize).next_power_of_two().max(BUCKET);
        let slots = vec![KeyState::default(); n];
        KeyTable { slots, ghosts: Ghosts::new(n), marks: Vec::new(), used: 0, evicted: 0 }
    }
    /// Keys stored.
    pub fn used(&self) -> u32 {
        self.used
    }
    /// Keys given up so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
    /// Bytes.
    pub fn size_bytes(&self) -> usize {
        let slots = self.slots.len().saturating_mul(std::mem::size_of::<KeyState>());
        slots.saturating_add(self.ghosts.size_bytes()).saturating_add(self.marks.len())
    }
    /// Allocates a mark for each key, or drops them.
    pub fn mark(&mut self, on: bool) {
        self.marks.resize(if on { self.slots.len() } else { 0 }, 0);
    }
    /// Marks of all slots.
    pub fn marks(&self) -> &[u8] {
        &self.marks
    }
    /// A key and its mark.
    pub fn marked(&mut self, id: u64) -> Option<(&KeyState, &mut u8)> {
        let at = self.find(id)?;
        self.slots.get(at).zip(self.marks.get_mut(at))
    }
    /// Keys that had to leave.
    pub fn ghosts(&self) -> &Ghosts {
        &self.ghosts
    }
    /// Keys that had to leave, for restoring.
    pub fn ghosts_mut(&mut self) -> &mut Ghosts {
        &mut self.ghosts
    }
    /// What is remembered of a key that had to leave; forgotten with it.
    pub fn recall(&mut self, id: u64, now_s: u32) -> Option<Ghost> {
        self.ghosts.recall(id, now_s)
    }
    /// All slots, empty ones (id 0) included.
    pub fn slots(&self) -> &Vec<KeyState> {
        &self.slots
    }
    /// The slots, for restoring. Call `recount` afterwards.
    pub fn slots_mut(&mut self) -> &mut Vec<KeyState> {
        &mut self.slots
    }
    /// Counts the keys again.
    pub fn recount(&mut self) {
        self.used = self.slots.iter().filter(|s| s.id != 0).count() as u32;
    }
    /// Clears the older of two states of one key, which moved between the moments of two pages.
    pub fn part_twins(&mut self) {
        for at in 0..self.slots.len() {
            let Some(k) = self.slots.get(at).copied().filter(|k| k.id != 0) else { continue };
            let Some(first) = self.find(k.id).filter(|first| *first != at) else { continue };
            let older = if self.slots.get(first).is_some_and(|f| f.last_s > k.last_s) { at } else { first };
            if let Some(slot) = self.slots.get_mut(older) {
                *slot = KeyState::default();
            }
        }
    }
    /// The two buckets a key may stand in. With one, a table a third full would already turn away one key in a thousand,
    /// and a key without a state is judged as new at every request.
    fn buckets(&self, id: u64) -> [std::ops::Range<usize>; 2] {
        let mask = (self.slots.len() / BUCKET).max(1).wrapping_sub(1);
        let h = hash::mix(id);
        [h, h >> 32].map(|h| {
            let at = (h as usize & mask).wrapping_mul(BUCKET);
            at..at.wrapping_add(BUCKET)
        })
    }
    fn find(&self, id: u64) -> Option<usize> {
        self.buckets(id).into_iter().find_map(|range| {
            let start = range.start;
            let at = self.slots.get(range)?.iter().position(|s| s.id == id)?;
            Some(start.wrapping_add(at))
        })
    }
    /// Looks a key up.
    pub fn get(&self, id: u64) -> Option<&KeyState> {
        self.find(id).and_then(|at| self.slots.get(at))
    }
    /// Looks a key up, to change it.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut KeyState> {
        self.find(id).and_then(|at| self.slots.get_mut(at))
    }
    /// The place for a new key: an empty slot, or that of the key whose state is worth least.
    pub fn insert(&mut self, fresh: KeyState, now_s: u32) -> Option<&mut KeyState> {
        let slots = &self.slots;
        let ways = self.buckets(fresh.id).into_iter().flatten();
        let rank = |at: &usize| slots.get(*at).map(|s| (s.worth(now_s), s.last_s));
        let at = ways.min_by_key(rank)?;
        let slot = self.slots.get_mut(at)?;
        let victim = *slot;
        *slot = fresh;
        if let Some(mark) = self.marks.get_mut(at) {
            *mark = 0;
        }
        if victim.id == 0 {
            self.used = self.used.saturating_add(1);
        } else {
            self.evicted = self.evicted.saturating_add(1);
            self.ghosts.note(&victim, now_s);
        }
        Some(slot)
    }
}

/// Log code of a gap of `secs` seconds, 4 min to about 30 days in steps of 3.7 %; 0 below 4 min.
pub fn gap_code(secs: u32) -> u8 {
    if secs < 240 {
        return 0;
    }
    let code = crate::engine::math::ln(f64::from(secs) / 240.0) / 0.0365;
    (code as u32).saturating_add(1).min(255) as u8
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    const DAY_S: u32 = 86_400;

    #[test]
    fn a_flood_of_made_up_keys_takes_its_own_slots() {
        let mut t = KeyTable::new(1_024);
        let now_s = 20_000 * DAY_S;
        // Half of the table: keys that came back, were blocked, are convicted.
        for id in 1..=500u64 {
            let (strikes, flags) = match id % 3 {
                0 => (0, 0),
                1 => (1, 0),
                _ => (5, flag::CONVICTED),
            };
            let k = KeyState { id, total: 2, strikes, flags, last_s: now_s, tat0: 9, ..KeyState::default() };
            t.insert(k, now_s).unwrap();
        }
        for n in 0..200_000u64 {
            let at = now_s + n as u32 / 26;
            let k =
                KeyState { id: 1 << 40 | n, total: 1, last_s: at, first_min: at / 60, ..KeyState::default() };
            let got = *t.insert(k, at).unwrap();
            assert_eq!((got.tat0, got.first_min), (0, at / 60), "a newcomer owes nothing and is what it is");
        }
        let left = |r: u64| (1..=500).filter(|id| id % 3 == r && t.get(*id).is_some()).count();
        assert_eq!((left(1), left(2)), (167, 167), "blocked, convicted");
        assert!(left(0) >= 160, "{} of 166 came back", left(0));
        // The last of the flood are remembered.
        let now_s = now_s + 200_000 / 26;
        let known = (196_500..199_000).filter(|n| t.recall(1 << 40 | n, now_s).is_some()).count();
        assert!(known > 1_500, "{known}");
    }

    #[test]
    fn who_gives_way_first() {
        let mut t = KeyTable::new(8);
        let now_s = 20_000 * DAY_S;
        let key = |id, total, strikes, flags, silent| KeyState {
            id,
            total,
            strikes,
            flags,
            last_s: now_s - silent,
            ..KeyState::default()
        };
        for k in [
            key(1, 9, 9, flag::CONVICTED, 10),
            key(2, 9, 9, flag::CONVICTED, 5),
            key(3, 9, 1, 0, 9),
            key(4, 9, 1, 0, 8),
            key(5, 9, 0, 0, DAY_S),
            key(6, 2, 0, 0, 3),
            key(7, 1, 0, 0, 2),
            key(8, 9, 9, flag::CONVICTED, 15 * DAY_S),
        ] {
            t.insert(k, now_s).unwrap();
        }
        // The longest silent is worth no more than one that came once, whatever it was.
        for (n, gone) in (20..).zip([8, 7, 5, 6, 3, 4, 1, 2]) {
            assert!(t.get(gone).is_some());
            t.insert(
                KeyState { id: n, last_s: now_s, strikes: 1, flags: flag::CONVICTED, ..KeyState::default() },
                now_s,
            );
            assert!(t.get(gone).is_none(), "{gone}");
            assert!(t.recall(gone, now_s).is_some(), "{gone}");
        }
        assert_eq!((t.used(), t.evicted()), (8, 8));
    }

    #[test]
    fn the_window_slides_and_gaps_compare() {
        let mut k = KeyState::default();
        for i in 0..1000 {
            k.window(true, i % 2 == 0);
        }
        assert_eq!(k.single_percent(), 100);
        assert!((45..=55).contains(&k.dup_percent()));
        assert_eq!(gap_code(100), 0);
        assert!(gap_code(3600).abs_diff(gap_code(3700)) <= 1);
        assert!(gap_code(3600).abs_diff(gap_code(4200)) > 1);
        assert!(gap_code(u32::MAX) == 255 || gap_code(u32::MAX) > 200);
    }
}

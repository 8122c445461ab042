//! The key table: 64 bytes a key, two buckets of eight to choose from, bounded.
//!
//! If both buckets are full, keys are evicted in this order: those that sent once, those that came back,
//! those that were blocked, convicted ones; among equals the one that has been silent longest. So a flood of
//! made-up keys displaces hardly any but its own. The birth of an evicted key is kept (`ghosts`), so it does
//! not look new when it comes back. Its debts are not kept: it gets a fresh quota, so that no newcomer is
//! charged with a stranger's debt. That quota is bounded: keys above a limit stay known in `overdrawn`, each
//! worker has limits of its own, and it takes 16 keys that came back to displace another such key.

use super::ghosts::{self, Ghost, Ghosts};
use crate::engine::hash;
use crate::engine::wire::encoded;

/// Slots in a bucket.
pub const BUCKET: usize = 8;
/// Openings in the bitmaps, at most: a full map would make every heavy user look sleepless.
pub const MAP_LIMIT: u8 = 63;

/// After this silence a key's state is worth no more than its birth.
const SILENT_S: u32 = 14 * 86_400;

/// Least time before an heir may have an heir of its own, ticks (20 h). Otherwise one trusted key could
/// launder any number of new ones, each the heir of the one before: 1,500 accounts behind 10 egresses in one
/// day. With the rule it is one a day and egress. A credential that is rotated once a day or less often keeps
/// an unknown age. One that is rotated every hour is young from its second successor on; such tokens need an
/// identity that stays (`jwt`, a header).
pub const CHAIN_TICKS: u16 = 120;

/// Bits of `KeyState::flags`.
pub mod flag {
    /// First seen while the ledger was learning ages, or heir of such a key: its age is unknown.
    pub const AGE_UNKNOWN: u8 = 1;
    /// Automatic (`detect::automation`): never sleeps, sends at any minute, follows up on nothing, never
    /// repeats.
    pub const AUTOMATIC: u8 = 2;
    /// The request told the account's age.
    pub const CREATED: u8 = 4;
    /// The last gap between openings repeated the one before.
    pub const REPEAT: u8 = 8;
    /// Another key has been recognised as this key's successor.
    pub const HEIR: u8 = 16;
    /// The key has sent as many shared prompts as a roll-out.
    pub const ROLLOUT: u8 = 32;
    /// Convicted: blocked until `actions.block.for` after its last request, while its case stands.
    pub const CONVICTED: u8 = 64;
    /// It has inherited the unknown age of another key: see `CHAIN_TICKS`.
    pub const INHERITED: u8 = 128;
}

/// The state of one key, 64 bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct KeyState {
    /// `KeyId`; 0 is never stored.
    pub id: u64,
    /// Birth: creation of the account if told, else first request; minutes since the epoch.
    pub first_min: u32,
    /// Time of the last request, seconds since the epoch.
    pub last_s: u32,
    /// Requests.
    pub total: u32,
    /// Openings: requests that start a conversation.
    pub single: u32,
    /// Bit per UTC hour of day (24), and the number of openings in the maps (8 bits).
    pub hours: u32,
    /// Bit per 112.5 s of the hour.
    pub phase: u32,
    /// Bitmap of prompts that another key had sent within the hour. Of a convicted key: see `convict`.
    pub dup_map: u64,
    /// Bitmap of confirmed values matched in the current case.
    pub seen_values: u16,
    /// Hash of the address prefix of the first request, 0 if unknown.
    pub home: u16,
    /// Number of prompts that another key had sent within the hour (saturating).
    pub dup_x: u8,
    /// Gaps that repeat the one before: plus three for each, minus one for each other.
    pub beats: u8,
    /// Number of the case of the last match.
    pub case: u16,
    /// Time of the first request, ticks (wraps after 455 days).
    pub born: u16,
    /// Theoretical arrival time (GCRA) of the first limit, relative to `last_s`, in 1/32768 of the window.
    pub tat0: u16,
    /// The same of the second limit.
    pub tat1: u16,
    /// Sliding window of recent requests: all of them. The three counts are halved when this one reaches 64.
    pub win_total: u8,
    /// Openings in that window.
    pub win_single: u8,
    /// Repeats in that window.
    pub win_dup: u8,
    /// Follow-ups that carried the template of the current case (saturating).
    pub talk: u8,
    /// Openings that carried the template of the current case (saturating).
    pub hits: u8,
    /// All openings since the first of `hits` (saturating).
    pub after: u8,
    /// Blocks counted against the key.
    pub strikes: u8,
    /// Bits, see `flag`.
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
    /// True if flag `f` is set.
    pub fn has(&self, f: u8) -> bool {
        self.flags & f != 0
    }
    /// Sets or clears flag `f`.
    pub fn set(&mut self, f: u8, on: bool) {
        self.flags = if on { self.flags | f } else { self.flags & !f };
    }
    /// Convicts the key. `own`: the sum of its factors but the template's odds, nats. It is kept unchanged,
    /// because what a key does while it is refused is no evidence. It is stored in `dup_map`, which is not
    /// used for convicted keys.
    pub fn convict(&mut self, own: f32) {
        self.set(flag::CONVICTED, true);
        self.dup_map = u64::from(own.to_bits());
    }
    /// The `own` of its conviction, nats; 0 if it is not convicted.
    pub fn own(&self) -> f32 {
        if self.has(flag::CONVICTED) { f32::from_bits(self.dup_map as u32) } else { 0.0 }
    }
    /// Ends the conviction.
    pub fn acquit(&mut self) {
        self.set(flag::CONVICTED, false);
        (self.dup_map, self.dup_x) = (0, 0);
    }
    /// Number of distinct prompts that it shares with other keys (up to 64).
    pub fn shared(&self) -> u32 {
        if self.has(flag::CONVICTED) { 0 } else { self.dup_map.count_ones() }
    }
    /// Openings in the maps.
    pub fn map_n(&self) -> u8 {
        (self.hours >> 24) as u8
    }
    /// Hours of the day seen, a bit each.
    pub fn hour_bits(&self) -> u32 {
        self.hours & 0x00ff_ffff
    }
    /// True if the key is on a timer, even with jitter: its gaps repeat far more often than those of a work
    /// queue.
    pub fn is_regular(&self) -> bool {
        self.beats >= 6
    }
    /// True if it is known to be younger than `young_for_s` seconds.
    pub fn is_young(&self, now_s: u32, young_for_s: u64) -> bool {
        !self.has(flag::AGE_UNKNOWN) && self.age_s(now_s) < young_for_s
    }
    /// True if it is known to be older than `young_for_s` seconds, if only from its first request.
    pub fn is_old(&self, now_s: u32, young_for_s: u64) -> bool {
        self.age_s(now_s) >= young_for_s
    }
    /// True if it is known to have been younger than `young_for_s` seconds at its first request: a key does
    /// not grow out of a campaign.
    pub fn came_young(&self, now_s: u32, tick: u16, young_for_s: u64) -> bool {
        let since_s = u32::from(tick.wrapping_sub(self.born)).saturating_mul(600);
        self.is_young(now_s.saturating_sub(since_s), young_for_s)
    }
    fn age_s(&self, now_s: u32) -> u64 {
        u64::from(now_s).saturating_sub(u64::from(self.first_min).saturating_mul(60))
    }
    /// Value of the state for eviction: 0 an empty slot, 1 a key that sent once or has been silent for two
    /// weeks, 2 one that came back, 3 one that was blocked, 4 a convicted one.
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
    /// True if a new key from the same origin may be its successor: it is not struck, it is trusted, and it
    /// has no heir so far.
    pub fn may_have_heir(&self, now_s: u32, tick: u16, young_for_s: u64) -> bool {
        self.strikes == 0
            && (self.has(flag::AGE_UNKNOWN) || self.is_old(now_s, young_for_s))
            && !self.has(flag::HEIR)
            && (!self.has(flag::INHERITED) || tick.wrapping_sub(self.born) >= CHAIN_TICKS)
    }
    /// Openings among the requests of the window, percent.
    pub fn single_percent(&self) -> u32 {
        percent(self.win_single, self.win_total)
    }
    /// Repeats among the openings of the window, percent.
    pub fn dup_percent(&self) -> u32 {
        percent(self.win_dup, self.win_total)
    }
    /// Openings that matched a confirmed value, among all since the first that did, percent.
    pub fn match_percent(&self) -> u32 {
        percent(self.hits, self.after)
    }
    /// Counts one request in the sliding window.
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
    /// Ages the state at the end of an epoch.
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

/// The states of all keys of a node.
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
    /// Allocates `capacity` states, rounded up to a power of two, at least one bucket.
    pub fn new(capacity: u32) -> KeyTable {
        let n = (capacity as usize).next_power_of_two().max(BUCKET);
        let slots = vec![KeyState::default(); n];
        KeyTable { slots, ghosts: Ghosts::new(n), marks: Vec::new(), used: 0, evicted: 0 }
    }
    /// Number of keys stored.
    pub fn used(&self) -> u32 {
        self.used
    }
    /// Keys evicted so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
    /// Bytes of the table, its ghosts and marks.
    pub fn size_bytes(&self) -> usize {
        let slots = self.slots.len().saturating_mul(std::mem::size_of::<KeyState>());
        slots.saturating_add(self.ghosts.size_bytes()).saturating_add(self.marks.len())
    }
    /// Allocates a mark (a byte for `ledger::budget`) for each key, or drops all marks.
    pub fn mark(&mut self, on: bool) {
        self.marks.resize(if on { self.slots.len() } else { 0 }, 0);
    }
    /// Marks of all slots, in their order; empty without budgets.
    pub fn marks(&self) -> &[u8] {
        &self.marks
    }
    /// A key's state and its mark.
    pub fn marked(&mut self, id: u64) -> Option<(&KeyState, &mut u8)> {
        let at = self.find(id)?;
        self.slots.get(at).zip(self.marks.get_mut(at))
    }
    /// Ghosts of evicted keys.
    pub fn ghosts(&self) -> &Ghosts {
        &self.ghosts
    }
    /// The same, to restore them.
    pub fn ghosts_mut(&mut self) -> &mut Ghosts {
        &mut self.ghosts
    }
    /// Takes out what is remembered of an evicted key.
    pub fn recall(&mut self, id: u64, now_s: u32) -> Option<Ghost> {
        self.ghosts.recall(id, now_s)
    }
    /// All slots; empty ones have id 0.
    pub fn slots(&self) -> &Vec<KeyState> {
        &self.slots
    }
    /// All slots, to restore them. Call `recount` afterwards.
    pub fn slots_mut(&mut self) -> &mut Vec<KeyState> {
        &mut self.slots
    }
    /// Recounts the keys after a restore.
    pub fn recount(&mut self) {
        self.used = self.slots.iter().filter(|s| s.id != 0).count() as u32;
    }
    /// Where one key has two states (it moved between slots while pages were written), clears the older one.
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
    /// The state of a key.
    pub fn get(&self, id: u64) -> Option<&KeyState> {
        self.find(id).and_then(|at| self.slots.get(at))
    }
    /// The state of a key, to change it.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut KeyState> {
        self.find(id).and_then(|at| self.slots.get_mut(at))
    }
    /// Stores the state of a new key in an empty slot, or in place of the least valuable state of its
    /// buckets.
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
            // Where requests tell the account's age, the first request is what would be lost.
            let told = victim.has(flag::CREATED);
            let born =
                if told { victim.born } else { ghosts::born(victim.first_min.saturating_mul(60), now_s) };
            self.ghosts.note(victim.id, born, victim.total <= 1, victim.has(flag::AGE_UNKNOWN));
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

//! A filter in front of the groups: a value that only one or two keys have sent costs four bytes, not a
//! kilobyte.
//!
//! Stage 1: direct-mapped cells (20-bit tag of the value, 12-bit tag of the last key), overwritten. A value
//! that comes from a second key enters stage 2: buckets of eight entries with a 64-bit bitmap of keys; ten
//! set bits make a group. Source: Einziger, Friedman & Manes 2017 (TinyLFU doorkeeper).

use crate::engine::hash;
use crate::engine::wire::encoded;

const L2_BUCKETS: usize = 2_048;
const L2_WAYS: usize = 8;
/// Bits of the key bitmap that make a group: about ten distinct keys.
pub const KEYS_FOR_GROUP: u32 = 10;

/// An entry of stage 2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidate {
    tag: u32,
    last_min: u32,
    keys: u64,
}

encoded!(Candidate { tag: u32, last_min: u32, keys: u64 });

/// Both stages.
#[derive(Debug)]
pub struct Doorkeeper {
    cells: Vec<u32>,
    candidates: Vec<Candidate>,
}

impl Doorkeeper {
    /// Allocates 2^`bits` cells (4 bytes each) and 16,384 candidates (16 bytes each).
    pub fn new(bits: u8) -> Doorkeeper {
        Doorkeeper {
            cells: vec![0; 1usize << bits.clamp(8, 24)],
            candidates: vec![Candidate::default(); L2_BUCKETS.saturating_mul(L2_WAYS)],
        }
    }
    /// Bytes of both stages.
    pub fn size_bytes(&self) -> usize {
        self.cells.len().saturating_mul(4).saturating_add(self.candidates.len().saturating_mul(16))
    }
    /// Both stages, to save them.
    pub fn tables(&self) -> (&Vec<u32>, &Vec<Candidate>) {
        (&self.cells, &self.candidates)
    }
    /// Both stages, to restore them.
    pub fn tables_mut(&mut self) -> (&mut Vec<u32>, &mut Vec<Candidate>) {
        (&mut self.cells, &mut self.candidates)
    }
    /// After the clock was set back: limits the times of candidates to `now_min`, minutes since the epoch.
    pub fn step_back(&mut self, now_min: u32) {
        self.candidates.iter_mut().for_each(|c| c.last_min = c.last_min.min(now_min));
    }
    /// True if the entry is in use.
    pub fn live(c: &Candidate) -> bool {
        c.keys != 0
    }
    /// Notes that a key (by its sampling hash) has sent a value. True if about ten keys have sent it, so it
    /// gets a group.
    pub fn offer(&mut self, value: u64, key_hash: u32, now_min: u32) -> bool {
        let h = hash::mix(value);
        let key_tag = key_hash & 0xfff;
        let want = ((h >> 44) as u32) << 12;
        let at = h as usize & self.cells.len().wrapping_sub(1);
        let Some(cell) = self.cells.get_mut(at) else { return false };
        let known = *cell & !0xfff == want && *cell != 0;
        let same_key = *cell & 0xfff == key_tag;
        *cell = want | key_tag;
        if !known || same_key {
            return false;
        }
        self.promote((h >> 20) as u32 | 1, h >> 33, key_hash, now_min)
    }
    fn promote(&mut self, tag: u32, bucket: u64, key_hash: u32, now_min: u32) -> bool {
        let at = (bucket as usize % L2_BUCKETS).wrapping_mul(L2_WAYS);
        let Some(ways) = self.candidates.get_mut(at..at.wrapping_add(L2_WAYS)) else { return false };
        let worth = |c: &Candidate| {
            u64::from(c.keys.count_ones()).wrapping_mul(600).wrapping_add(u64::from(c.last_min))
        };
        let found = ways.iter().position(|c| c.tag == tag && c.keys != 0);
        let entry = match found {
            Some(i) => ways.get_mut(i),
            None => ways.iter_mut().min_by_key(|c| if c.keys == 0 { 0 } else { worth(c) }),
        };
        let Some(entry) = entry else { return false };
        if found.is_none() {
            *entry = Candidate { tag, last_min: now_min, keys: 0 };
        }
        entry.last_min = now_min;
        entry.keys |= 1u64 << (key_hash & 63);
        if entry.keys.count_ones() < KEYS_FOR_GROUP {
            return false;
        }
        *entry = Candidate::default();
        true
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;

    #[test]
    fn one_key_never_makes_a_group_and_a_dozen_do() {
        let mut d = Doorkeeper::new(18);
        for _ in 0..1000 {
            assert!(!d.offer(42, 7, 1));
        }
        let made = (0..40u64).position(|i| d.offer(42, (mix(i) >> 32) as u32, 1));
        assert!(made.is_some_and(|n| (9..25).contains(&n)), "{made:?}");
    }

    #[test]
    fn junk_from_one_pass_makes_none() {
        let mut d = Doorkeeper::new(18);
        let made = (0..200_000u64).filter(|&i| d.offer(mix(i), (mix(!i) >> 32) as u32, 1)).count();
        assert_eq!(made, 0);
    }
}

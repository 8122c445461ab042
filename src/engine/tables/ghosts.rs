//! First-seen times of keys and values that were evicted from their tables.
//!
//! Guarantee: a key that comes back while at most three others of its set have been evicted after it gets its
//! birth back; a key that was never here gets a stranger's with a probability of at most 4 in 16,384.
//! Memory: four cells of four bytes for each slot of the table (512 KiB at 32,768 keys: with 2.6 requests of
//! made-up keys a second births are remembered for half a day, with 26 for 84 minutes). Cost: one hash, four
//! cells. Not for: what a key has done.

use crate::engine::hash;
use crate::engine::units::tick_of;

const WAYS: usize = 4;
/// Cells for each slot of the key table.
const PER_KEY: usize = 4;
/// Cells at most, 512 KiB: a table of 65,536 keys must fit into a VM of 16 MiB with room to spare.
const CELLS: usize = 131_072;
/// A birth is remembered for this many ticks (227 days), so that old cells are not taken for births in the future.
const MOST: u32 = 0x7fff;
/// The key came once.
const ONCE: u32 = 1 << 16;
/// Its age was unknown.
const UNKNOWN: u32 = 1 << 17;

/// What is remembered of an evicted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ghost {
    /// Time of its first request, minutes since the epoch (a multiple of ten minutes, at most ten too early).
    pub first_min: u32,
    /// True if it had sent one request.
    pub once: bool,
    /// True if its age was unknown.
    pub unknown: bool,
}

/// All ghosts, 4 bytes each: 14 bits of tag, flags, and the tick. In each set the key evicted last stands
/// first.
#[derive(Debug)]
pub struct Ghosts(Vec<u32>);

impl Ghosts {
    /// Allocates ghosts for a table of `keys` keys (a power of two).
    pub fn new(keys: usize) -> Ghosts {
        Ghosts(vec![0; keys.saturating_mul(PER_KEY).clamp(WAYS, CELLS)])
    }
    /// Bytes of the table.
    pub fn size_bytes(&self) -> usize {
        self.0.len().saturating_mul(4)
    }
    /// The cells, to save and restore them.
    pub fn cells(&self) -> &Vec<u32> {
        &self.0
    }
    /// The cells, to change them.
    pub fn cells_mut(&mut self) -> &mut Vec<u32> {
        &mut self.0
    }
    fn place(&self, id: u64) -> (std::ops::Range<usize>, u32) {
        let h = hash::mix(id ^ 0x6768_6f73_7473);
        let set = (h as usize).checked_rem(self.0.len() / WAYS).unwrap_or(0).saturating_mul(WAYS);
        (set..set.saturating_add(WAYS), ((h >> 50) as u32).max(1) << 18)
    }
    /// Remembers a key or value that is evicted: the tick of its birth (see `born`), if it came only once, and if its age was unknown.
    pub fn note(&mut self, id: u64, born: u16, once: bool, unknown: bool) {
        let (set, tag) = self.place(id);
        let flags = if once { ONCE } else { 0 } | if unknown { UNKNOWN } else { 0 };
        self.keep(set, tag | flags | u32::from(born));
    }
    fn keep(&mut self, set: std::ops::Range<usize>, mut next: u32) {
        let tag = next;
        for cell in self.0.get_mut(set).unwrap_or_default() {
            std::mem::swap(cell, &mut next);
            if next >> 18 == tag >> 18 {
                break;
            }
        }
    }
    /// Takes out what is remembered of a key that comes back.
    pub fn recall(&mut self, id: u64, now_s: u32) -> Option<Ghost> {
        let (set, tag) = self.place(id);
        let cell = self.0.get_mut(set)?.iter_mut().find(|c| **c >> 18 == tag >> 18)?;
        Some(Ghost::read(std::mem::take(cell), now_s))
    }
    /// What is remembered of a key or value. It stays remembered.
    pub fn get(&self, id: u64, now_s: u32) -> Option<Ghost> {
        let (set, tag) = self.place(id);
        self.0.get(set)?.iter().find(|c| **c >> 18 == tag >> 18).map(|c| Ghost::read(*c, now_s))
    }
}

/// Tick of a birth at `first_s`, seconds since the epoch, not earlier than can be remembered.
pub fn born(first_s: u32, now_s: u32) -> u16 {
    tick_of(first_s.max(now_s.saturating_sub(MOST.saturating_mul(600))))
}

impl Ghost {
    fn read(was: u32, now_s: u32) -> Ghost {
        let ago = u32::from(tick_of(now_s).wrapping_sub(was as u16));
        // A day ahead of now at most: the clock stepped back.
        let ago = if ago > 0xff70 { 0 } else { ago };
        Ghost {
            first_min: (now_s / 600).saturating_sub(ago).saturating_mul(10),
            once: was & ONCE != 0,
            unknown: was & UNKNOWN != 0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    const NOW_S: u32 = 1_780_000_000;

    fn note(g: &mut Ghosts, id: u64, days: u32, once: bool, unknown: bool) {
        g.note(id, born(NOW_S - days * 86_400, NOW_S), once, unknown);
    }

    #[test]
    fn births_come_back_once_and_nobody_elses() {
        let mut g = Ghosts::new(1_024);
        for (id, days) in [(1, 0), (2, 3), (3, 200), (4, 2_000)] {
            note(&mut g, id, days, id == 1, true);
        }
        for (id, days) in [(1, 0u32), (2, 3), (3, 200), (4, 227)] {
            // A week later.
            let back = g.recall(id, NOW_S + 7 * 86_400).unwrap();
            let age = (NOW_S / 60 + 7 * 1_440).saturating_sub(back.first_min);
            assert!(age.abs_diff((days + 7) * 1_440) < 1_440, "{id}: {age}");
            assert_eq!((back.once, back.unknown), (id == 1, true));
            assert_eq!(g.recall(id, NOW_S), None);
        }
        // A full table: strangers are told from those who left.
        (0..40_960).for_each(|id| note(&mut g, 1_000 + id, 1, true, false));
        let wrong = (0..100_000).filter(|id| g.recall(1 << 40 | id, NOW_S).is_some()).count();
        assert!(wrong <= 60, "{wrong}");
        let size = g.size_bytes();
        assert_eq!(size, 16 * 1_024);
        // The last that left are remembered.
        let late = (40_960 - 1_024..40_960).filter(|id| g.recall(1_000 + id, NOW_S).is_some()).count();
        assert!(late > 900, "{late}");
    }
}

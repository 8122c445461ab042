//! Two direct-mapped memories: texts seen (who sent this before?) and last user messages of keys (is this a continuation?).
//! Overwritten when full; a forgotten text counts as new, a forgotten message makes a follow-up look like an opening.

use crate::engine::hash;

/// What is known of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Nobody sent it before, as far as is remembered.
    pub novel: bool,
    /// Another key sent it within the last hour.
    pub shared: bool,
}

/// Texts seen: 32-bit tag, 16-bit key tag, 16-bit minute in 8 bytes.
#[derive(Debug)]
pub struct Novelty {
    cells: Vec<u64>,
}

impl Novelty {
    /// 2^`bits` cells of 8 bytes.
    pub fn new(bits: u8) -> Novelty {
        Novelty { cells: vec![0; 1usize << bits.clamp(8, 24)] }
    }
    /// Bytes.
    pub fn size_bytes(&self) -> usize {
        self.cells.len().saturating_mul(8)
    }
    /// The table, for saving and restoring.
    pub fn cells(&self) -> &Vec<u64> {
        &self.cells
    }
    /// The table, to change it.
    pub fn cells_mut(&mut self) -> &mut Vec<u64> {
        &mut self.cells
    }
    /// Looks the text up and remembers it.
    pub fn see(&mut self, exact: u64, key_hash: u32, minute: u32) -> Seen {
        let h = hash::mix(exact);
        let tag = h >> 32;
        let key = u64::from(key_hash & 0xffff);
        let minute = u64::from(minute & 0xffff);
        let at = h as usize & self.cells.len().wrapping_sub(1);
        let Some(cell) = self.cells.get_mut(at) else { return Seen::default() };
        let known = *cell >> 32 == tag && *cell != 0;
        let age = minute.wrapping_sub(*cell & 0xffff) & 0xffff;
        let shared = known && (*cell >> 16) & 0xffff != key && age <= 60;
        *cell = tag << 32 | key << 16 | minute;
        Seen { novel: !known, shared }
    }
}

/// Last user messages sent by keys, as 64-bit hashes of key and message.
#[derive(Debug)]
pub struct Openings {
    cells: Vec<u64>,
}

impl Openings {
    /// 2^`bits` cells of 8 bytes.
    pub fn new(bits: u8) -> Openings {
        Openings { cells: vec![0; 1usize << bits.clamp(8, 24)] }
    }
    /// Bytes.
    pub fn size_bytes(&self) -> usize {
        self.cells.len().saturating_mul(8)
    }
    /// The table, for saving and restoring.
    pub fn cells(&self) -> &Vec<u64> {
        &self.cells
    }
    /// The table, to change it.
    pub fn cells_mut(&mut self) -> &mut Vec<u64> {
        &mut self.cells
    }
    /// Did `key` send `message` as a last user message before?
    pub fn sent(&self, key: u64, message: u64) -> bool {
        let h = hash::combine(key, message);
        self.cells.get(h as usize & self.cells.len().wrapping_sub(1)).is_some_and(|&c| c == h)
    }
    /// Remembers that `key` sends `message`.
    pub fn remember(&mut self, key: u64, message: u64) {
        let h = hash::combine(key, message);
        let at = h as usize & self.cells.len().wrapping_sub(1);
        if let Some(cell) = self.cells.get_mut(at) {
            *cell = h;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_sharing_are_seen() {
        let mut n = Novelty::new(16);
        assert_eq!(n.see(5, 1, 100), Seen { novel: true, shared: false });
        assert_eq!(n.see(5, 1, 101), Seen { novel: false, shared: false });
        assert_eq!(n.see(5, 2, 130), Seen { novel: false, shared: true });
        assert_eq!(n.see(5, 3, 300), Seen { novel: false, shared: false });
        let mut o = Openings::new(16);
        assert!(!o.sent(1, 2));
        o.remember(1, 2);
        assert!(o.sent(1, 2) && !o.sent(2, 2));
    }
}

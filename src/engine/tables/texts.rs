//! Two direct-mapped tables: texts seen (has anybody sent this before?) and last user messages of keys (does
//! this continue a conversation?). Overwritten when full: a forgotten text counts as new, and a forgotten
//! message makes a follow-up look like an opening.

use crate::engine::hash;

/// What is known of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// True if nobody sent it before, as far as is remembered.
    pub novel: bool,
    /// True if another key sent it within the last hour.
    pub shared: bool,
}

/// Texts seen (32-bit tag, 16-bit key tag, 16-bit minute), and last user messages of keys (64-bit hashes of
/// both): 8 bytes each.
#[derive(Debug)]
pub struct Texts {
    seen: Vec<u64>,
    sent: Vec<u64>,
}

impl Texts {
    /// Allocates twice 2^`bits` cells of 8 bytes.
    pub fn new(bits: u8) -> Texts {
        let cells = vec![0; 1usize << bits.clamp(8, 24)];
        Texts { seen: cells.clone(), sent: cells }
    }
    /// Bytes of both tables.
    pub fn size_bytes(&self) -> usize {
        self.seen.len().saturating_add(self.sent.len()).saturating_mul(8)
    }
    /// Both tables, to save them.
    pub fn tables(&self) -> [&Vec<u64>; 2] {
        [&self.seen, &self.sent]
    }
    /// Both tables, to restore them.
    pub fn tables_mut(&mut self) -> [&mut Vec<u64>; 2] {
        [&mut self.seen, &mut self.sent]
    }
    /// Looks a text up by its hash and remembers it, with its key and time (minutes).
    pub fn see(&mut self, exact: u64, key_hash: u32, minute: u32) -> Seen {
        let h = hash::mix(exact);
        let tag = h >> 32;
        let key = u64::from(key_hash & 0xffff);
        let minute = u64::from(minute & 0xffff);
        let at = place(&self.seen, h);
        let Some(cell) = self.seen.get_mut(at) else { return Seen::default() };
        let known = *cell >> 32 == tag && *cell != 0;
        let age = minute.wrapping_sub(*cell & 0xffff) & 0xffff;
        let shared = known && (*cell >> 16) & 0xffff != key && age <= 60;
        *cell = tag << 32 | key << 16 | minute;
        Seen { novel: !known, shared }
    }
    /// True if `key` has sent `message` as a last user message before.
    pub fn sent(&self, key: u64, message: u64) -> bool {
        let h = hash::combine(key, message);
        self.sent.get(place(&self.sent, h)).is_some_and(|&c| c == h)
    }
    /// Remembers that `key` sends `message` as a last user message.
    pub fn remember(&mut self, key: u64, message: u64) {
        let h = hash::combine(key, message);
        let at = place(&self.sent, h);
        if let Some(cell) = self.sent.get_mut(at) {
            *cell = h;
        }
    }
}

/// Where a hash stands: tables are powers of two.
fn place(cells: &[u64], h: u64) -> usize {
    h as usize & cells.len().wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_sharing_are_seen() {
        let mut n = Texts::new(16);
        assert_eq!(n.see(5, 1, 100), Seen { novel: true, shared: false });
        assert_eq!(n.see(5, 1, 101), Seen { novel: false, shared: false });
        assert_eq!(n.see(5, 2, 130), Seen { novel: false, shared: true });
        assert_eq!(n.see(5, 3, 300), Seen { novel: false, shared: false });
        assert!(!n.sent(1, 2));
        n.remember(1, 2);
        assert!(n.sent(1, 2) && !n.sent(2, 2));
    }
}

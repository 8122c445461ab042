//! Keys that have used up a limit over all workers together, until their next request conforms: published with the shards.
//!
//! Memory: 1,024 entries of 16 bytes. A full bucket gives up the entry that ends first: that key is then held by each worker's
//! own limits alone. Not saved: a restart finds out again from the keys' records.

use crate::engine::hash;
use crate::engine::snapshot::OverEntry;

const ENTRIES: usize = 1_024;
const WAYS: usize = 8;
const NONE: OverEntry = OverEntry { key: 0, until_s: 0, profile: 0 };

/// The entries.
#[derive(Debug)]
pub struct Over(Vec<OverEntry>);

impl Default for Over {
    fn default() -> Over {
        Over(vec![NONE; ENTRIES])
    }
}

impl Over {
    /// Bytes.
    pub fn size_bytes(&self) -> usize {
        self.0.len().saturating_mul(std::mem::size_of::<OverEntry>())
    }

    /// Notes a key; `true` if an edge should know.
    pub fn note(&mut self, key: u64, profile: u8, until_s: u32, now_s: u32) -> bool {
        let base = (hash::mix(key) as usize).checked_rem(ENTRIES / WAYS).unwrap_or(0).saturating_mul(WAYS);
        let Some(ways) = self.0.get_mut(base..base.saturating_add(WAYS)) else { return false };
        let at = ways.iter().position(|e| e.key == key && e.profile == profile);
        let at = at.or_else(|| (0..WAYS).min_by_key(|i| ways.get(*i).map_or(0, |e| e.until_s)));
        let Some(entry) = at.and_then(|at| ways.get_mut(at)) else { return false };
        let news = entry.key != key || entry.until_s < until_s || entry.until_s <= now_s;
        *entry = OverEntry { key, until_s, profile };
        news
    }

    /// Those that are not over yet.
    pub fn live(&self, now_s: u32) -> impl Iterator<Item = &OverEntry> {
        self.0.iter().filter(move |e| e.key != 0 && e.until_s > now_s)
    }
}

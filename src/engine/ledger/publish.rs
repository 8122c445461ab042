//! What has changed since the last publication, by shard. Each part of the ledger writes its own entries into
//! the shards that are published.

use crate::engine::snapshot::{SHARDS, Shard, shard_of};
use crate::engine::sort;

/// Which shards differ from what was last published.
#[derive(Debug)]
pub(super) struct Publisher {
    keys_dirty: u64,
    values_version: u64,
}

impl Default for Publisher {
    fn default() -> Publisher {
        // Everything is new to an edge that has just started.
        Publisher { keys_dirty: u64::MAX, values_version: u64::MAX }
    }
}

impl Publisher {
    /// Notes that a key's standing has changed.
    pub(super) fn note(&mut self, key: u64) {
        self.keys_dirty |= 1u64 << (shard_of(key) as u32 & 63);
    }
    /// Marks the shards of `mask` (bit per shard) to be published again.
    pub(super) fn again(&mut self, mask: u64) {
        self.keys_dirty |= mask;
    }
    /// True if the values were last published in another version than this.
    pub(super) fn lacks(&self, version: u64) -> bool {
        self.values_version != version
    }
    /// One empty shard for each that must be published, `None` in place of the others; `None` if nothing has
    /// changed.
    pub(super) fn open(&self, version: u64) -> Option<Vec<Option<Shard>>> {
        let dirty = if self.lacks(version) { u64::MAX } else { self.keys_dirty };
        let shards = || (0..SHARDS).map(|i| (dirty >> (i as u32 & 63) & 1 == 1).then(Shard::default));
        (dirty != 0).then(|| shards().collect())
    }
    /// Sorts and encodes each shard and hands it to `sink` with its index. Afterwards nothing is marked as
    /// changed.
    pub(super) fn close(
        &mut self,
        mut shards: Vec<Option<Shard>>,
        (now_s, seed_check, version): (u32, u32, u64),
        sink: &mut dyn FnMut(u8, &[u8]),
    ) {
        let mut bytes = Vec::new();
        for (i, shard) in shards.iter_mut().enumerate() {
            let Some(s) = shard else { continue };
            s.now_s = now_s;
            sort::by_key(&mut s.values, |v| v.value);
            sort::by_key(&mut s.cases, |c| c.case);
            sort::by_key(&mut s.keys, |k| k.key);
            s.encode(i as u8, seed_check, &mut bytes);
            sink(i as u8, &bytes);
        }
        *self = Publisher { keys_dirty: 0, values_version: version };
    }
}

/// The shard of an id, if it is among those to be published.
pub(super) fn of(shards: &mut [Option<Shard>], id: u64) -> Option<&mut Shard> {
    shards.get_mut(shard_of(id))?.as_mut()
}

//! What changed since the last publication, by shard. Each part places its own in the shards that go out.

use crate::engine::snapshot::{SHARDS, Shard, shard_of};
use crate::engine::sort;

/// Which shards differ from what was published.
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
    /// A key's standing changed.
    pub(super) fn note(&mut self, key: u64) {
        self.keys_dirty |= 1u64 << (shard_of(key) as u32 & 63);
    }
    /// The shards of `mask` go out again.
    pub(super) fn again(&mut self, mask: u64) {
        self.keys_dirty |= mask;
    }
    /// Were the values last published in another version?
    pub(super) fn lacks(&self, version: u64) -> bool {
        self.values_version != version
    }
    /// A list of all shards, with an empty shard at each that is to go out; `None` if nothing has changed.
    pub(super) fn open(&self, version: u64) -> Option<Vec<Option<Shard>>> {
        let dirty = if self.lacks(version) { u64::MAX } else { self.keys_dirty };
        let shards = || (0..SHARDS).map(|i| (dirty >> (i as u32 & 63) & 1 == 1).then(Shard::default));
        (dirty != 0).then(|| shards().collect())
    }
    /// Encodes each shard and hands it to `sink`. From now on it is published.
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

/// The shard of an id, if it goes out.
pub(super) fn of(shards: &mut [Option<Shard>], id: u64) -> Option<&mut Shard> {
    shards.get_mut(shard_of(id))?.as_mut()
}

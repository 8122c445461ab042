//! What changed since the last publication, by shard.

use super::Ledger;
use super::budget::is_marked;
use crate::engine::sketch::bloom;
use crate::engine::snapshot::{CaseEntry, KeyEntry, SHARDS, Shard, ValueEntry, filter_bytes, shard_of};
use crate::engine::sort;
use crate::engine::tables::cases::number_of;
use crate::engine::tables::keys::{KeyState, flag};

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
}

impl Ledger {
    /// Does an edge that has applied all earlier shards lack confirmed values?
    pub fn values_changed(&self) -> bool {
        self.publisher.values_version != self.version()
    }

    /// Changes with the confirmed values, and with those that have a budget.
    fn version(&self) -> u64 {
        self.cases.version().wrapping_add(self.budgets.version())
    }

    /// The shards of `mask` go out again: what an edge reads in their place is not what was published.
    pub fn republish(&mut self, mask: u64) {
        self.publisher.keys_dirty |= mask;
    }

    /// Hands each changed shard to `sink`, encoded. Cost: one pass over 1/64 of the key table a changed shard.
    pub fn publish(&mut self, mut sink: impl FnMut(u8, &[u8])) {
        self.publish_each(&mut sink);
    }

    #[inline(never)]
    fn publish_each(&mut self, sink: &mut dyn FnMut(u8, &[u8])) {
        let now_s = self.clock.now_s;
        let dirty = if self.values_changed() { u64::MAX } else { self.publisher.keys_dirty };
        if dirty == 0 {
            return;
        }
        let mut shards: Vec<Option<Shard>> =
            (0..SHARDS).map(|i| (dirty >> (i as u32 & 63) & 1 == 1).then(Shard::default)).collect();
        for v in self.cases.values().iter().filter(|v| v.value != 0) {
            if let Some(Some(s)) = shards.get_mut(shard_of(v.value)) {
                s.values.push(ValueEntry {
                    value: v.value,
                    prior: v.prior,
                    case: self.cases.resolve(v.case),
                });
            }
        }
        for (i, c) in self.cases.cases().iter().enumerate().filter(|(_, c)| c.id != 0 && c.values > 0) {
            let case = number_of(i, c.turn);
            if let Some(Some(s)) = shards.get_mut(usize::from(case) % SHARDS) {
                s.cases.push(CaseEntry { case, campaign: c.id, usual: c.shows(), numbers: c.numbers });
            }
        }
        self.place_suspects(&mut shards);
        let proven_bytes = self.proven_bytes();
        for (at, key) in self.keys.slots().iter().enumerate().filter(|(_, k)| k.id != 0) {
            if let Some(Some(s)) = shards.get_mut(shard_of(key.id)) {
                self.place(key, now_s, s);
                if self.keys.marks().get(at).is_some_and(|mark| is_marked(*mark)) {
                    s.proven.resize(proven_bytes, 0);
                    bloom::add(&mut s.proven, key.id);
                }
            }
        }
        for over in self.over.live(now_s) {
            if let Some(Some(s)) = shards.get_mut(shard_of(over.key)) {
                let at = s.over.partition_point(|o| o.key < over.key);
                s.over.insert(at, over);
            }
        }
        let mut bytes = Vec::new();
        for (i, shard) in shards.iter_mut().enumerate() {
            let Some(s) = shard else { continue };
            s.now_s = now_s;
            sort::by_key(&mut s.values, |v| v.value);
            sort::by_key(&mut s.cases, |c| c.case);
            sort::by_key(&mut s.keys, |k| k.key);
            s.encode(i as u8, self.seed_check, &mut bytes);
            sink(i as u8, &bytes);
        }
        self.publisher = Publisher { keys_dirty: 0, values_version: self.version() };
    }

    fn place(&self, key: &KeyState, now_s: u32, shard: &mut Shard) {
        if key.has(flag::CONVICTED) {
            let case = self.cases.resolve(key.case);
            let until_s = key.last_s.saturating_add(self.block_for_s);
            if (case != 0 || key.case == 0) && until_s >= now_s {
                let campaign = self.cases.case(case).map_or(0, |c| c.id);
                shard.keys.push(KeyEntry { key: key.id, campaign, until_s });
            }
            return;
        }
        if shard.known.is_empty() {
            shard.known = vec![0; filter_bytes(self.keys.slots().len())];
        }
        bloom::add(&mut shard.known, key.id);
    }
}

//! What nodes are sent: the ledger's shards, without the verdicts that are not in force at the one who asks
//! (`witnesses`).
//!
//! A verdict belongs to a case: its numbers, values and keys are published together. Keys that were convicted
//! without a case (by load, by a roll-out) count as one case, number 0. While fewer identities than the
//! quorum were heard of within a day, everything is in force everywhere.

use super::identity::Who;
use super::witnesses::Witnesses;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use weir::engine::snapshot::{EXCEPTIONS, HUB_SHARDS, KeyEntry, SHARDS, Shard};
use weir::node::cells::HUB_SHARD_BYTES;

/// A shard as it is published.
#[derive(Clone, Debug, Default)]
struct Published {
    version: u32,
    /// The shard for all.
    bytes: Vec<u8>,
    /// The shard with what is in force at some identities only, if there is any.
    whole: Option<Vec<u8>>,
}

/// The shards as they are published.
#[derive(Debug)]
pub struct Publication {
    shards: Vec<Published>,
    seed_check: u32,
    /// Campaign numbers by case number, as published.
    cases: BTreeMap<u16, u32>,
    /// True while fewer identities than the quorum were heard of.
    alone: bool,
    /// Shards so far that were too long for a proxy's cell.
    pub too_long: u64,
}

/// Removes from a shard what is not in force.
fn filtered(shard: &mut Shard, cases: &BTreeMap<u16, u32>, holds: impl Fn(u32) -> bool) -> bool {
    let count = |s: &Shard| (s.cases.len(), s.values.len(), s.keys.len());
    let before = count(shard);
    shard.cases.retain(|c| holds(c.campaign));
    shard.values.retain(|v| cases.get(&v.case).is_none_or(|c| holds(*c)));
    shard.keys.retain(|k| holds(k.campaign));
    before != count(shard)
}

impl Publication {
    pub fn new(seed_check: u32) -> Publication {
        let shards = vec![Published::default(); HUB_SHARDS];
        Publication { shards, seed_check, cases: BTreeMap::new(), alone: true, too_long: 0 }
    }

    /// Takes shards of the ledger that have changed. `changed`: true if cases are in force elsewhere than
    /// before. Returns the number of changed shards.
    pub fn take(
        &mut self,
        fresh: Vec<(u8, Vec<u8>)>,
        witnesses: &Witnesses,
        changed: bool,
        alone: bool,
    ) -> usize {
        let mut anew = changed || alone != self.alone;
        self.alone = alone;
        let mut touched = BTreeSet::new();
        for (i, bytes) in fresh {
            if bytes.len() > HUB_SHARD_BYTES {
                self.too_long = self.too_long.saturating_add(1);
                continue;
            }
            let Ok((_, shard)) = Shard::decode(&bytes, self.seed_check) else { continue };
            let here = |n: &u16| usize::from(*n) % SHARDS == usize::from(i);
            let before: BTreeMap<u16, u32> =
                self.cases.iter().filter(|(n, _)| here(n)).map(|(n, c)| (*n, *c)).collect();
            let now: BTreeMap<u16, u32> = shard.cases.iter().map(|c| (c.case, c.campaign)).collect();
            if before != now {
                self.cases.retain(|n, _| !here(n));
                self.cases.extend(now);
                anew = true;
            }
            if let Some(s) = self.shards.get_mut(usize::from(i)) {
                s.whole = Some(bytes);
                touched.insert(usize::from(i));
            }
        }
        let (mut fresh, cases, check) = (0, &self.cases, self.seed_check);
        for (i, s) in self.shards.iter_mut().enumerate().take(SHARDS) {
            let is_new = touched.contains(&i);
            if !is_new && (!anew || s.version == 0) {
                continue;
            }
            let whole = s.whole.take().unwrap_or_else(|| s.bytes.clone());
            let mut bytes = whole.clone();
            let mut is_part = false;
            if !alone && let Ok((_, mut shard)) = Shard::decode(&whole, check) {
                is_part = filtered(&mut shard, cases, |c| witnesses.is_everywhere(c));
                if is_part {
                    shard.encode(i as u8, check, &mut bytes);
                }
            }
            // Where a shard has two faces the other one may have changed.
            if is_new || is_part || bytes != s.bytes {
                (s.version, s.bytes) = (s.version.wrapping_add(1).max(1), bytes);
                fresh += 1;
            }
            s.whole = is_part.then_some(whole);
        }
        fresh
    }

    /// Takes the shard of exceptions if its version is new. True if it was.
    pub fn exceptions(&mut self, version: u32, shard: impl FnOnce() -> Shard) -> bool {
        let check = self.seed_check;
        let Some(s) = self.shards.get_mut(EXCEPTIONS).filter(|s| s.version == 0 || s.version != version)
        else {
            return false;
        };
        shard().encode(EXCEPTIONS as u8, check, &mut s.bytes);
        s.version = version;
        true
    }

    /// A shard and its version as the identity `who` gets it; version 0: there is none yet. `own`: true if
    /// something is in force at that identity alone.
    pub fn of(&self, i: usize, who: &Who, own: bool, witnesses: &Witnesses) -> (u32, Cow<'_, [u8]>) {
        let Some(s) = self.shards.get(i) else { return (0, Cow::Borrowed(&[])) };
        if own
            && let Some(whole) = &s.whole
            && let Ok((_, mut shard)) = Shard::decode(whole, self.seed_check)
        {
            let mut bytes = Vec::new();
            filtered(&mut shard, &self.cases, |c| witnesses.is_at(c, who));
            shard.encode(i as u8, self.seed_check, &mut bytes);
            return (s.version, Cow::Owned(bytes));
        }
        (s.version, Cow::Borrowed(&s.bytes))
    }

    pub fn version(&self, i: usize) -> u32 {
        self.shards.get(i).map_or(0, |s| s.version)
    }

    /// Convicted keys and open cases, wherever they are in force.
    pub fn verdicts(&self) -> (Vec<KeyEntry>, BTreeSet<u32>) {
        let (mut keys, mut cases) = (Vec::new(), BTreeSet::new());
        for s in self.shards.iter().take(SHARDS).filter(|s| s.version != 0) {
            let bytes = s.whole.as_ref().unwrap_or(&s.bytes);
            if let Ok((_, shard)) = Shard::decode(bytes, self.seed_check) {
                keys.extend(shard.keys);
                cases.extend(shard.cases.iter().map(|c| c.campaign));
            }
        }
        (keys, cases)
    }

    /// True if fewer identities than the quorum were heard of.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Open cases that are not in force everywhere.
    pub fn withheld(&self, witnesses: &Witnesses) -> BTreeSet<u32> {
        let open = self.cases.values().filter(|c| !self.alone && !witnesses.is_everywhere(**c));
        open.copied().collect()
    }

    /// Makes shards as long as a cell, for tests.
    #[cfg(test)]
    pub fn lengthen(&mut self) {
        for s in &mut self.shards {
            s.version += 1;
            s.bytes.resize(HUB_SHARD_BYTES, 0);
        }
    }
}

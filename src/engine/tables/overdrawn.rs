//! Keys and tenants that have used up a limit over all workers together, until their next request conforms.
//! Published with the shards.
//!
//! Memory: 1,024 entries of 32 bytes. A full bucket drops the entry that ends first: that key is then held by
//! its state, which stores two windows of debt, and by each worker's own limits. Not saved: after a restart
//! it is computed again from the states.

use super::quota::Debt;
use crate::engine::hash;
use crate::engine::units::Nanos;
use crate::engine::units::Wait;

/// A key, or all keys of a tenant, that have used up a limit over all workers together, as published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverdrawnEntry {
    /// `KeyId`, or the bucket of a tenant (see `limiter::of_tenant`) or budget.
    pub key: u64,
    /// Time from which its next request conforms, seconds since the epoch.
    pub until_s: u32,
    /// Index of the profile whose limit it is.
    pub profile: u8,
    /// Index of the limit in the profile.
    pub limit: u8,
}

const ENTRIES: usize = 1_024;
const WAYS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    profile: u8,
    debt: Debt,
}

const NONE: Entry = Entry { key: 0, profile: 0, debt: Debt { limit: 0, until: Nanos(0) } };

/// All keys and tenants with a debt.
#[derive(Debug)]
pub struct Overdrawn(Vec<Entry>);

impl Default for Overdrawn {
    fn default() -> Overdrawn {
        Overdrawn(vec![NONE; ENTRIES])
    }
}

impl Overdrawn {
    /// Bytes of the table.
    pub fn size_bytes(&self) -> usize {
        self.0.len().saturating_mul(std::mem::size_of::<Entry>())
    }

    fn bucket(key: u64) -> std::ops::Range<usize> {
        let base = (hash::mix(key) as usize).checked_rem(ENTRIES / WAYS).unwrap_or(0).saturating_mul(WAYS);
        base..base.saturating_add(WAYS)
    }

    /// The last known debt of a key, even if it is paid off by now.
    pub fn debt(&self, key: u64, profile: u8) -> Option<Debt> {
        self.0
            .get(Overdrawn::bucket(key))?
            .iter()
            .find(|e| e.key == key && e.profile == profile)
            .map(|e| e.debt)
    }

    /// The wait that edges are told, `None` if there is none.
    pub fn wait(&self, key: u64, profile: u8, now: Nanos) -> Option<Wait> {
        let debt = self.debt(key, profile)?;
        let wait = Nanos::from_secs(u64::from(until_s(&debt))).since(now);
        (wait != Nanos(0)).then_some(Wait { wait, limit: debt.limit })
    }

    /// Records a key's debt. True if edges must be told.
    pub fn note(&mut self, key: u64, profile: u8, debt: Debt) -> bool {
        let Some(ways) = self.0.get_mut(Overdrawn::bucket(key)) else { return false };
        let at = ways.iter().position(|e| e.key == key && e.profile == profile);
        let at = at.or_else(|| (0..WAYS).min_by_key(|i| ways.get(*i).map_or(Nanos(0), |e| e.debt.until)));
        let Some(entry) = at.and_then(|at| ways.get_mut(at)) else { return false };
        let news = entry.key != key || until_s(&entry.debt) != until_s(&debt);
        *entry = Entry { key, profile, debt };
        news
    }

    /// Entries whose wait has not ended.
    pub fn live(&self, now_s: u32) -> impl Iterator<Item = OverdrawnEntry> {
        let told = |e: &Entry| OverdrawnEntry {
            key: e.key,
            until_s: until_s(&e.debt),
            profile: e.profile,
            limit: e.debt.limit,
        };
        self.0.iter().filter(|e| e.key != 0).map(told).filter(move |e| e.until_s > now_s)
    }
}

/// End of the published wait, seconds. One second is subtracted and the rest rounded down, so that nobody
/// waits longer than a worker has told.
fn until_s(debt: &Debt) -> u32 {
    u32::try_from(debt.until.since(Nanos::from_secs(1)).secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_gives_up_who_ends_first() {
        let mut overdrawn = Overdrawn::default();
        let size = overdrawn.size_bytes();
        for key in 1..=20_000u64 {
            overdrawn.note(key, 0, Debt { limit: 0, until: Nanos::from_secs(1_000 + key) });
        }
        assert_eq!(overdrawn.size_bytes(), size);
        let mut live: Vec<u64> = overdrawn.live(0).map(|o| o.key).collect();
        live.sort_unstable();
        assert_eq!(live.len(), ENTRIES);
        // Of each bucket the eight that end last are left: nobody of the first half.
        assert!(live.iter().all(|key| *key > 10_000), "{:?}", live.first());
        assert_eq!(overdrawn.wait(1, 0, Nanos(0)), None);
    }
}

//! Hash maps: the standard library's over `ahash` with fixed seeds. Each type of key adds 4 KB to the module.
//!
//! The same input gives the same map on every run. Hashes differ between targets, so nothing may depend on
//! the order of a map: maps are looked up, not iterated.

use ahash::RandomState;
use std::collections::HashMap;
use std::hash::Hash;

/// A hash map with fixed seeds.
pub type Map<K, V> = HashMap<K, V, RandomState>;

/// The fixed seeds. Keys that a client can choose are hashed under the policy's secret before they get here.
pub const fn fixed() -> RandomState {
    RandomState::with_seeds(0x7765_6972, 1, 2, 3)
}

/// Index of each item; of equal items the first counts.
pub fn places<K: Eq + Hash>(items: impl IntoIterator<Item = K>, seeds: RandomState) -> Map<K, usize> {
    let mut out = Map::with_hasher(seeds);
    for (at, item) in items.into_iter().enumerate() {
        out.entry(item).or_insert(at);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::hash::mix;

    #[test]
    fn neither_seeds_nor_order_decide_what_is_found() {
        let items: Vec<u64> = (0..5_000).map(|i| mix(i % 3_000)).collect();
        let here = places(items.iter().copied(), fixed());
        let there = places(items.iter().copied(), RandomState::with_seeds(9, 8, 7, 6));
        let turned = places(items.iter().rev().copied(), fixed());
        for probe in (0..6_000).map(mix) {
            let slow = items.iter().position(|i| *i == probe);
            assert_eq!((here.get(&probe).copied(), there.get(&probe).copied()), (slow, slow));
            assert_eq!(turned.contains_key(&probe), slow.is_some());
        }
    }
}

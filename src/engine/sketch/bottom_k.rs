//! Estimates: distinct items, and a uniform sample of them.  Guarantee: standard error about 1/sqrt(K-2) for uniform
//! hashes.  Memory: K items.  Cost: one comparison per item above the threshold, else a scan of K.
//! Source: Cohen & Kaplan 2007 (bottom-k sketches).  Not for: counting occurrences.

/// Something with a uniform 32-bit hash.
pub trait Hashed: Copy + Default {
    /// The hash.
    fn hash(&self) -> u32;
}

/// The K items with the smallest hashes. Threshold: the largest hash kept once an item had to be left out;
/// before that the largest possible hash. `theta()` is the share of all items that is in the sample.
#[derive(Clone, Copy, Debug)]
pub struct BottomK<T, const K: usize> {
    items: [T; K],
    n: u16,
    threshold: u32,
}

impl<T: Hashed, const K: usize> Default for BottomK<T, K> {
    // One copy for all who start afresh: it is mostly stores.
    #[inline(never)]
    fn default() -> BottomK<T, K> {
        BottomK { items: [T::default(); K], n: 0, threshold: u32::MAX }
    }
}

impl<T: Hashed, const K: usize> BottomK<T, K> {
    /// The sampled items, in no particular order.
    pub fn items(&self) -> &[T] {
        self.items.get(..usize::from(self.n)).unwrap_or_default()
    }
    /// The sampled items, to change all but their hashes.
    pub fn items_mut(&mut self) -> &mut [T] {
        self.items.get_mut(..usize::from(self.n)).unwrap_or_default()
    }
    /// True if an item of this hash belongs in the sample.
    pub fn admits(&self, hash: u32) -> bool {
        hash <= self.threshold
    }
    /// The largest hash that is admitted.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }
    /// Estimated distinct items.
    pub fn estimate(&self) -> f64 {
        f64::from(self.n) * 4_294_967_296.0 / (f64::from(self.threshold) + 1.0)
    }
    /// The sampled item with this hash.
    pub fn get_mut(&mut self, hash: u32) -> Option<&mut T> {
        self.items.get_mut(..usize::from(self.n))?.iter_mut().find(|t| t.hash() == hash)
    }
    /// True if an item of this hash is in the sample.
    pub fn contains(&self, hash: u32) -> bool {
        self.items().iter().any(|t| t.hash() == hash)
    }
    /// Adds an item whose hash is not in the sample. If it is full, the item with the largest hash is
    /// dropped.
    pub fn insert(&mut self, item: T) {
        if !self.admits(item.hash()) {
            return;
        }
        if let Some(slot) = self.items.get_mut(usize::from(self.n)) {
            *slot = item;
            self.n = self.n.saturating_add(1);
            return;
        }
        // Full: the largest of the K+1 leaves, and the largest kept becomes the threshold.
        if let Some(largest) =
            self.items.iter_mut().max_by_key(|t| t.hash()).filter(|t| item.hash() < t.hash())
        {
            *largest = item;
        }
        self.threshold = self.items.iter().map(Hashed::hash).max().unwrap_or(u32::MAX);
    }
    /// Drops items. A sample that lost more than half of its places is opened for all hashes again, so that
    /// it can refill.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        let mut kept = 0u16;
        for i in 0..usize::from(self.n) {
            let Some(item) = self.items.get(i).copied() else { break };
            if keep(&item) {
                if let Some(slot) = self.items.get_mut(usize::from(kept)) {
                    *slot = item;
                }
                kept = kept.saturating_add(1);
            }
        }
        self.n = kept;
        if usize::from(kept) < K / 2 {
            self.threshold = self.threshold.saturating_mul(2).saturating_add(1);
        }
    }
    /// Rebuilds a stored sample; `None` when it holds more than K items.
    pub fn from_parts(items: &[T], threshold: u32) -> Option<BottomK<T, K>> {
        let mut out = BottomK { threshold, ..BottomK::default() };
        out.items.get_mut(..items.len())?.copy_from_slice(items);
        out.n = items.len() as u16;
        Some(out)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;

    #[derive(Clone, Copy, Default, Debug)]
    struct Item(u32);
    impl Hashed for Item {
        fn hash(&self) -> u32 {
            self.0
        }
    }

    #[test]
    fn estimates_within_the_stated_error_and_keeps_the_smallest() {
        let mut worst = 0.0f64;
        let mut sum = 0.0;
        for trial in 0..200u64 {
            let mut s = BottomK::<Item, 32>::default();
            let n = 1_000;
            let mut all = Vec::new();
            for i in 0..n {
                let h = (mix(trial * 100_000 + i) >> 32) as u32;
                all.push(h);
                if s.get_mut(h).is_none() {
                    s.insert(Item(h));
                }
            }
            all.sort_unstable();
            let mut kept: Vec<u32> = s.items().iter().map(|t| t.0).collect();
            kept.sort_unstable();
            assert_eq!(kept, all.get(..32).unwrap_or_default());
            let e = s.estimate() / n as f64 - 1.0;
            sum += e * e;
            worst = worst.max(e.abs());
        }
        assert!((sum / 200.0).sqrt() < 0.25, "standard error {}", (sum / 200.0).sqrt());
    }

    #[test]
    fn small_sets_are_exact_and_retain_reopens() {
        let mut s = BottomK::<Item, 32>::default();
        for i in 0..20 {
            s.insert(Item(i * 1000));
        }
        assert_eq!(s.estimate() as u32, 20);
        for i in 20..64 {
            s.insert(Item(i * 1000));
        }
        assert!(!s.admits(40_000));
        s.retain(|t| t.0 < 4000);
        assert_eq!(s.items().len(), 4);
        assert!(s.admits(40_000));
    }
}

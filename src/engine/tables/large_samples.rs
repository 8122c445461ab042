//! Large samples: 256 keys instead of 32, for the few groups that may become a campaign's.
//!
//! Explanations are told apart by a likelihood ratio that grows with the number of keys: what 32 keys say in
//! 2 nats, 256 say in 16 (`campaign.nats` asks for 20). A template's values share their keys, so one large
//! sample a template is enough. A large sample starts while the group's own sample is still complete, so it
//! misses no key. Memory: 64 large samples of 9 KiB.

use super::groups::{Group, Sample, Touch, admit, put_sample, take_sample};
use crate::engine::sketch::bottom_k::BottomK;
use crate::engine::wire::{Encoded, Reader, Writer};

/// Keys in a large sample.
pub const KEYS: usize = 256;
/// Number of large samples.
pub const LARGE_SAMPLES: usize = 64;

/// One large sample.
#[derive(Clone, Debug, Default)]
pub struct LargeSample {
    /// Tag of the group it belongs to; 0 = free.
    pub tag: u64,
    /// Uniform sample of the group's keys.
    pub keys: BottomK<Sample, KEYS>,
}

impl Encoded for LargeSample {
    fn put(&self, w: &mut Writer<'_>) {
        w.u64(self.tag);
        put_sample(&self.keys, w);
    }
    fn take(r: &mut Reader<'_>) -> Option<LargeSample> {
        Some(LargeSample { tag: r.u64()?, keys: take_sample(r)? })
    }
}

/// All large samples.
#[derive(Debug)]
pub struct LargeSamples {
    slots: Vec<LargeSample>,
}

impl Default for LargeSamples {
    fn default() -> LargeSamples {
        LargeSamples { slots: vec![LargeSample::default(); LARGE_SAMPLES] }
    }
}

impl LargeSamples {
    /// Bytes of all large samples.
    pub fn size_bytes(&self) -> usize {
        self.slots.len().saturating_mul(std::mem::size_of::<LargeSample>())
    }
    /// All slots; free ones have tag 0.
    pub fn slots(&self) -> &Vec<LargeSample> {
        &self.slots
    }
    /// All slots, to change them.
    pub fn slots_mut(&mut self) -> &mut Vec<LargeSample> {
        &mut self.slots
    }
    /// The large sample in slot `slot` (from 1; 0 = none), if it belongs to group `tag`.
    pub fn get(&self, slot: u8, tag: u64) -> Option<&BottomK<Sample, KEYS>> {
        let at = usize::from(slot).checked_sub(1)?;
        self.slots.get(at).filter(|p| p.tag == tag).map(|p| &p.keys)
    }
    /// Applies one request to a group's large sample.
    pub fn touch(&mut self, slot: u8, tag: u64, t: &Touch) {
        if let Some(at) = usize::from(slot).checked_sub(1)
            && let Some(p) = self.slots.get_mut(at).filter(|p| p.tag == tag)
        {
            admit(&mut p.keys, t);
        }
    }
    /// Gives `group` a large sample in place of the one with the lowest rank, if that is below `worth`.
    /// Returns its slot, or 0 if there is none.
    pub fn start(&mut self, group: &Group, worth: f64, rank: impl Fn(u64) -> f64) -> u8 {
        // A group of the same value that was evicted may have left one.
        self.slots.iter_mut().filter(|p| p.tag == group.tag).for_each(|p| *p = LargeSample::default());
        let lowest = self
            .slots
            .iter()
            .enumerate()
            .map(|(i, p)| (i, if p.tag == 0 { f64::MIN } else { rank(p.tag) }))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((i, _)) = lowest.filter(|l| l.1 < worth) else { return 0 };
        if let Some(p) = self.slots.get_mut(i) {
            // The small sample has left keys out: its threshold would keep them out of the large sample, too.
            let all = group.keys.threshold() == u32::MAX;
            let keys = if all { group.keys.items() } else { &[] };
            *p =
                LargeSample { tag: group.tag, keys: BottomK::from_parts(keys, u32::MAX).unwrap_or_default() };
        }
        (i as u8).saturating_add(1)
    }
    /// Ages the samples at the end of an epoch: keys that fell silent are dropped.
    pub fn age(&mut self, tick: u16, silent_ticks: u16) {
        for p in self.slots.iter_mut().filter(|p| p.tag != 0) {
            p.keys.retain(|s| tick.wrapping_sub(s.last) <= silent_ticks);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;

    fn touch(key: u64) -> Touch {
        Touch {
            key_hash: (mix(key) >> 32) as u32,
            single: true,
            young: true,
            key_openings: 1,
            ..Touch::default()
        }
    }

    fn group(tag: u64, keys: std::ops::Range<u64>) -> Group {
        let mut g = Group { tag, ..Group::default() };
        keys.for_each(|k| g.touch(&touch(k)));
        g
    }

    #[test]
    fn a_large_sample_starts_with_the_keys_of_its_group() {
        let mut large_samples = LargeSamples::default();
        let g = group(7, 0..20);
        let slot = large_samples.start(&g, 1.0, |_| 0.0);
        let items = |p: &LargeSamples, tag| {
            p.get(slot, tag).map(|s| s.items().iter().map(|s| s.key_hash).collect::<Vec<_>>())
        };
        let own: Vec<u32> = g.keys.items().iter().map(|s| s.key_hash).collect();
        assert_eq!(items(&large_samples, 7), Some(own));
        assert_eq!(
            (items(&large_samples, 8), large_samples.get(0, 7).is_none()),
            (None, true),
            "of its group only"
        );
        large_samples.touch(slot, 8, &touch(99));
        large_samples.touch(0, 7, &touch(99));
        assert_eq!(large_samples.get(slot, 7).unwrap().items().len(), 20, "touched by its group only");
    }

    #[test]
    fn the_lowest_rank_gives_way_to_what_is_worth_more() {
        let mut large_samples = LargeSamples::default();
        let rank = |tag: u64| tag as f64;
        let slots: Vec<u8> =
            (1..=LARGE_SAMPLES as u64).map(|tag| large_samples.start(&group(tag, 0..1), 0.0, rank)).collect();
        assert_eq!(slots, (1..=LARGE_SAMPLES as u8).collect::<Vec<_>>(), "free slots rank below everything");
        assert_eq!(large_samples.start(&group(500, 0..1), 1.0, rank), 0, "worth no more than the lowest");
        assert_eq!(large_samples.start(&group(500, 0..1), 1.5, rank), 1);
        assert!(large_samples.get(1, 1).is_none() && large_samples.get(1, 500).is_some());
        // A second large sample of one value would be two samples of the same keys.
        let again = large_samples.start(&group(30, 0..5), 99.0, rank);
        assert_eq!(large_samples.slots().iter().filter(|p| p.tag == 30).count(), 1);
        assert_eq!(large_samples.get(again, 30).unwrap().items().len(), 5);
    }

    #[test]
    fn distinct_keys_are_estimated_within_the_stated_error() {
        let (mut squares, trials) = (0.0, 20u64);
        for trial in 0..trials {
            let mut large_samples = LargeSamples::default();
            let first = trial << 32;
            let slot = large_samples.start(&group(7, first..first + 20), 1.0, |_| 0.0);
            (first..first + 5_000).for_each(|k| large_samples.touch(slot, 7, &touch(k)));
            let e = large_samples.get(slot, 7).unwrap().estimate() / 5_000.0 - 1.0;
            squares += e * e;
        }
        let error = (squares / trials as f64).sqrt();
        assert!(error < 0.09, "{error}: 1/sqrt(254) is 0.063");
    }

    #[test]
    fn a_large_sample_round_trips_and_is_refused_when_cut() {
        let mut large_sample = LargeSample { tag: 7, ..LargeSample::default() };
        (0..1_000).for_each(|k| admit(&mut large_sample.keys, &touch(k)));
        let mut bytes = Vec::new();
        large_sample.put(&mut Writer(&mut bytes));
        let back = LargeSample::take(&mut Reader(&bytes)).unwrap();
        let mut again = Vec::new();
        back.put(&mut Writer(&mut again));
        assert_eq!(bytes, again);
        assert_eq!(back.keys.items().len(), KEYS);
        for cut in (0..bytes.len()).step_by(97) {
            assert!(LargeSample::take(&mut Reader(bytes.get(..cut).unwrap())).is_none());
        }
    }
}

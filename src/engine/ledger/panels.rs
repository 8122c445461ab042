//! Panels: large key samples (256 instead of 32) for the few groups that may become a campaign.
//!
//! Whether all keys carry one load is told by a likelihood ratio that grows with the number of keys looked at: at one
//! request a key, 32 keys give 2.6 nats and 256 give 21 (the gate asks for 5). A template's values share their keys, so one
//! panel a template is enough. A panel starts while the group's own sample is still complete, so it misses nobody.
//! Memory: 64 panels of 7 KiB.

use super::groups::{Group, Sample, Touch, admit, put_sample, take_sample};
use crate::engine::sketch::bottom_k::BottomK;
use crate::engine::wire::{Reader, Record, Writer};

/// Keys of a panel.
pub const KEYS: usize = 256;
/// Panels.
pub const PANELS: usize = 64;

/// One large sample.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// The group it belongs to; 0 = free.
    pub tag: u64,
    /// Uniform sample of the group's keys.
    pub keys: BottomK<Sample, KEYS>,
}

impl Record for Panel {
    fn put(&self, w: &mut Writer<'_>) {
        w.u64(self.tag);
        put_sample(&self.keys, w);
    }
    fn take(r: &mut Reader<'_>) -> Option<Panel> {
        Some(Panel { tag: r.u64()?, keys: take_sample(r)? })
    }
}

/// All panels.
#[derive(Debug)]
pub struct Panels {
    slots: Vec<Panel>,
}

impl Default for Panels {
    fn default() -> Panels {
        Panels { slots: vec![Panel::default(); PANELS] }
    }
}

impl Panels {
    /// Bytes.
    pub fn size_bytes(&self) -> usize {
        self.slots.len().saturating_mul(std::mem::size_of::<Panel>())
    }
    /// All slots; free ones have tag 0.
    pub fn slots(&self) -> &[Panel] {
        &self.slots
    }
    /// All slots, to change them.
    pub fn slots_mut(&mut self) -> &mut [Panel] {
        &mut self.slots
    }
    /// The panel of a group that was given slot `slot`.
    pub fn get(&self, slot: u8, tag: u64) -> Option<&BottomK<Sample, KEYS>> {
        let at = usize::from(slot).checked_sub(1)?;
        self.slots.get(at).filter(|p| p.tag == tag).map(|p| &p.keys)
    }
    /// One request touches a group's panel.
    pub fn touch(&mut self, slot: u8, tag: u64, t: &Touch) {
        if let Some(at) = usize::from(slot).checked_sub(1)
            && let Some(p) = self.slots.get_mut(at).filter(|p| p.tag == tag)
        {
            admit(&mut p.keys, t);
        }
    }
    /// Gives `group` a panel in place of the one with the lowest rank below `worth`; the slot, or 0 if there is none.
    pub fn start(&mut self, group: &Group, worth: f64, rank: impl Fn(u64) -> f64) -> u8 {
        // A group of the same value that was evicted may have left one.
        self.slots.iter_mut().filter(|p| p.tag == group.tag).for_each(|p| *p = Panel::default());
        let lowest = self
            .slots
            .iter()
            .enumerate()
            .map(|(i, p)| (i, if p.tag == 0 { f64::MIN } else { rank(p.tag) }))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((i, _)) = lowest.filter(|l| l.1 < worth) else { return 0 };
        if let Some(p) = self.slots.get_mut(i) {
            *p = Panel {
                tag: group.tag,
                keys: BottomK::from_parts(group.keys.items(), u32::MAX).unwrap_or_default(),
            };
        }
        (i as u8).saturating_add(1)
    }
    /// Epoch boundary: keys that fell silent leave.
    pub fn age(&mut self, tick: u16, silent_ticks: u16) {
        for p in self.slots.iter_mut().filter(|p| p.tag != 0) {
            p.keys.retain(|s| tick.wrapping_sub(s.last) <= silent_ticks);
        }
    }
}

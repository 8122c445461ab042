//! How a page encodes a slice of a table: sparse (slots in use, with places) or dense, whichever is shorter.
//! Which page holds which slice: see `state`.
//!
//! A page names its layout, seed and slice and carries a checksum, so each page is accepted or refused alone.
//! Cost: one pass over the slice; only the page is allocated.

use crate::engine::tables::cases::{Case, Confirmed, Pair};
use crate::engine::tables::doorkeeper::{Candidate, Doorkeeper};
use crate::engine::tables::groups::Group;
use crate::engine::tables::keys::KeyState;
use crate::engine::tables::large_samples::LargeSample;
use crate::engine::tables::origins::Origin;
use crate::engine::wire::{Encoded, Reader, Writer};
use std::ops::Range;

/// Bytes of a page at most.
pub const PAGE: usize = 16_384;
/// Bytes of header and checksum.
const AROUND: usize = 32;

/// A slot of a table.
trait Slot: Encoded + Clone + Default {
    fn is_live(&self) -> bool;
}

macro_rules! slots {
    ($($name:ty: $is_live:expr),+ $(,)?) => {
        $(impl Slot for $name {
            fn is_live(&self) -> bool {
                let is_live: fn(&$name) -> bool = $is_live;
                is_live(self)
            }
        })+
    };
}
slots! {
    KeyState: |k| k.id != 0,
    Group: |g| g.tag != 0,
    LargeSample: |p| p.tag != 0,
    Confirmed: |v| v.value != 0,
    Case: |c| c.id != 0,
    Pair: Pair::live,
    Candidate: Doorkeeper::live,
    Origin: Origin::live,
    u32: |c| *c != 0,
    u64: |c| *c != 0,
}

/// A table of slots of any type. It is used as a trait object, so one copy of the code writes and reads all
/// tables (9 KB less module). Only the inner loops are generic: a checkpoint passes hundreds of thousands of
/// slots.
pub(super) trait Table {
    fn len(&self) -> usize;
    fn slot_bytes(&self) -> usize;
    fn live(&self, slots: Range<usize>) -> usize;
    /// Writes all slots of a range (`all`), or those in use with their places.
    fn put(&self, slots: Range<usize>, all: bool, w: &mut Writer<'_>);
    /// Reads one slot and, with `apply`, stores it. `None` if the bytes end or are no slot.
    fn take(&mut self, at: usize, apply: bool, r: &mut Reader<'_>) -> Option<()>;
    fn clear(&mut self, slots: Range<usize>);
}

impl<T: Slot> Table for Vec<T> {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }
    fn slot_bytes(&self) -> usize {
        std::mem::size_of::<T>()
    }
    fn live(&self, slots: Range<usize>) -> usize {
        self.get(slots).unwrap_or_default().iter().filter(|slot| slot.is_live()).count()
    }
    fn put(&self, slots: Range<usize>, all: bool, w: &mut Writer<'_>) {
        for (i, slot) in self.get(slots).unwrap_or_default().iter().enumerate() {
            if !all && !slot.is_live() {
                continue;
            }
            if !all {
                w.u16(i as u16);
            }
            slot.put(w);
        }
    }
    fn take(&mut self, at: usize, apply: bool, r: &mut Reader<'_>) -> Option<()> {
        let slot = self.get_mut(at)?;
        let row = T::take(r)?;
        if apply {
            *slot = row;
        }
        Some(())
    }
    fn clear(&mut self, slots: Range<usize>) {
        self.get_mut(slots).unwrap_or_default().fill(T::default());
    }
}

/// Slots in a page. No slot is longer encoded than in memory, and its index takes two bytes.
pub(super) fn per_page(table: &dyn Table) -> usize {
    PAGE.saturating_sub(AROUND).checked_div(table.slot_bytes().saturating_add(2)).unwrap_or(0).max(1)
}

/// The slots of the page that starts with `from`.
fn slots_of(table: &dyn Table, from: usize) -> Range<usize> {
    from..from.saturating_add(per_page(table)).min(table.len())
}

/// Writes the table's length and the number of slots in use, then the slots in use with their places, or all
/// slots without places if that is shorter.
pub(super) fn put_slice(w: &mut Writer<'_>, table: &dyn Table, from: usize) {
    let slots = slots_of(table, from);
    let used = table.live(slots.clone());
    let bytes = table.slot_bytes();
    let dense = used.saturating_mul(bytes.saturating_add(2)) >= slots.len().saturating_mul(bytes);
    w.u32(table.len() as u32);
    w.u16(slots.len() as u16);
    w.u16(if dense { u16::MAX } else { used as u16 });
    if used > 0 {
        table.put(slots, dense, w);
    }
}

/// Reads what `put_slice` wrote: first without effect, then into the table. `None` and no effect if it is
/// damaged.
pub(super) fn take_slice(r: &mut Reader<'_>, table: &mut dyn Table, from: usize) -> Option<()> {
    let slots = slots_of(table, from);
    if r.u32()? as usize != table.len() || usize::from(r.u16()?) != slots.len() {
        return None;
    }
    let (used, body) = (r.u16()?, *r);
    let n = if used == u16::MAX { slots.len() } else { usize::from(used) };
    for apply in [false, true] {
        *r = body;
        if apply {
            table.clear(slots.clone());
        }
        for i in 0..n {
            let i = if used == u16::MAX { i } else { usize::from(r.u16()?) };
            let at = slots.clone().nth(i)?;
            table.take(at, apply, r)?;
        }
        if !r.0.is_empty() {
            return None;
        }
    }
    Some(())
}

//! Everything learned, cut into pages of at most 16 KiB: a checkpoint writes a few at a time, a state file is all of them.
//!
//! Page 0 holds the clock; each other page holds a slice of one table, sparse or dense, whichever is shorter. A page names
//! its layout, seed, table and slice and carries a checksum, so each is accepted or refused alone. Pages of different moments
//! fit together: `finish_restore` mends what refers to nothing (see `mend`). Cost: one pass
//! over the slice; nothing is allocated but `out`.

use super::state::StateError;
use super::{Clock, Ledger, Origin, publish};
use crate::engine::tables::cases::{Case, Confirmed, Pair};
use crate::engine::tables::doorkeeper::{Candidate, Doorkeeper};
use crate::engine::tables::groups::Group;
use crate::engine::tables::homes;
use crate::engine::tables::keys::KeyState;
use crate::engine::tables::large_samples::LargeSample;
use crate::engine::wire::{self, Reader, Record, Writer, record};
use std::ops::Range;

/// Bytes of a page at most.
pub const PAGE: usize = 16_384;
const MAGIC: u16 = 0x5057;
/// Layout of pages and of state files.
pub(super) const VERSION: u16 = 10;
/// Header and checksum.
const AROUND: usize = 32;

record!(Origin { tag: u32, key: u64 });

/// What a table is made of.
trait Slot: Record + Clone + Default {
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
    Origin: |o| o.key != 0,
    u32: |c| *c != 0,
    u64: |c| *c != 0,
}

/// A table of any slots: all are written and read by the same code (a copy for each was 9 KB of the module).
trait Table {
    fn len(&self) -> usize;
    fn slot_bytes(&self) -> usize;
    fn is_live(&self, at: usize) -> bool;
    fn live(&self, slots: Range<usize>) -> usize;
    fn put(&self, at: usize, w: &mut Writer<'_>);
    /// Reads a slot, with or without effect.
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
    fn is_live(&self, at: usize) -> bool {
        self.get(at).is_some_and(T::is_live)
    }
    fn live(&self, slots: Range<usize>) -> usize {
        self.get(slots).unwrap_or_default().iter().filter(|slot| slot.is_live()).count()
    }
    fn put(&self, at: usize, w: &mut Writer<'_>) {
        if let Some(slot) = self.get(at) {
            slot.put(w);
        }
    }
    fn take(&mut self, at: usize, apply: bool, r: &mut Reader<'_>) -> Option<()> {
        let slot = self.get_mut(at)?;
        let record = T::take(r)?;
        if apply {
            *slot = record;
        }
        Some(())
    }
    fn clear(&mut self, slots: Range<usize>) {
        self.get_mut(slots).unwrap_or_default().fill(T::default());
    }
}

/// Slots that a page holds. No record is longer when encoded than in memory, and a slot's index takes two bytes.
fn per_page(table: &dyn Table) -> usize {
    PAGE.saturating_sub(AROUND).checked_div(table.slot_bytes().saturating_add(2)).unwrap_or(0).max(1)
}

/// The slots of the page that starts with `from`.
fn slots_of(table: &dyn Table, from: usize) -> Range<usize> {
    from..from.saturating_add(per_page(table)).min(table.len())
}

impl Ledger {
    /// Pages of this configuration: a fixed number.
    pub fn page_count(&self) -> u16 {
        u16::try_from(self.pages()).unwrap_or(u16::MAX)
    }

    /// Pages of tables of any size, for `write_page_at` and `read_page_at`.
    pub fn pages(&self) -> u32 {
        let pages = self.tables().into_iter().map(|t| t.len().div_ceil(per_page(t)));
        u32::try_from(pages.fold(1usize, usize::saturating_add)).unwrap_or(u32::MAX)
    }

    /// Writes page `index` into `out`, replacing it; an index out of range writes nothing.
    pub fn write_page(&self, index: u16, out: &mut Vec<u8>) {
        self.write_page_at(u32::from(index), out);
    }

    /// `write_page` where there may be more pages than its index can name: a page bears the low half.
    pub fn write_page_at(&self, index: u32, out: &mut Vec<u8>) {
        out.clear();
        let Some((table, from)) = self.place_at(index) else { return };
        let mut w = Writer(out);
        w.u16(MAGIC);
        w.u16(VERSION);
        w.u32(self.seed_check);
        w.u16(index as u16);
        match table.checked_sub(1).and_then(|i| self.tables().get(i).copied()) {
            None => {
                let c = &self.clock;
                for v in [c.now_s, c.started_s, c.epoch, c.swept_s, self.rollout_keys] {
                    w.u32(v);
                }
                w.u64(self.alarms);
            }
            Some(table) => put_slice(&mut w, table, from),
        }
        let sum = wire::checksum(out);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Reads a page into its place and returns its index. Call `finish_restore` after the last.
    ///
    /// # Errors
    /// A page that is damaged, foreign, of another layout, seed or table size is refused; its slice stays as it was.
    pub fn read_page(&mut self, bytes: &[u8]) -> Result<u16, StateError> {
        let mut r = open(bytes, &MAGIC.to_le_bytes(), self.seed_check)?;
        let index = r.u16().ok_or(StateError::Malformed)?;
        let (table, from) = self.place_of(index).ok_or(StateError::Malformed)?;
        self.take_page(table, from, &mut r).ok_or(StateError::Malformed)?;
        Ok(index)
    }

    /// `read_page` of what `write_page_at` wrote for `index`.
    ///
    /// # Errors
    /// See `read_page`; also a page of another index.
    pub fn read_page_at(&mut self, index: u32, bytes: &[u8]) -> Result<(), StateError> {
        let mut r = open(bytes, &MAGIC.to_le_bytes(), self.seed_check)?;
        let named = r.u16().ok_or(StateError::Malformed)? == index as u16;
        let (table, from) = self.place_at(index).filter(|_| named).ok_or(StateError::Malformed)?;
        self.take_page(table, from, &mut r).ok_or(StateError::Malformed)
    }

    fn take_page(&mut self, table: usize, from: usize, r: &mut Reader<'_>) -> Option<()> {
        let table: &mut dyn Table = match table {
            0 => {
                let clock = Clock {
                    now_s: r.u32()?,
                    started_s: r.u32()?,
                    epoch: r.u32()?,
                    swept_s: r.u32()?,
                    ..Clock::default()
                };
                let (rollout_keys, alarms) = (r.u32()?, r.u64()?);
                (self.clock, self.rollout_keys, self.alarms) = (clock, rollout_keys, alarms);
                return r.0.is_empty().then_some(());
            }
            1 => self.keys.slots_mut(),
            2 => self.groups.slots_mut(),
            3 => self.large_samples.slots_mut(),
            4 => self.cases.tables_mut().0,
            5 => self.cases.tables_mut().1,
            6 => self.cases.pairs_mut(),
            7 => self.door.tables_mut().0,
            8 => self.door.tables_mut().1,
            9 => self.novelty.cells_mut(),
            10 => self.openings.cells_mut(),
            11 => &mut self.origins,
            _ => self.keys.ghosts_mut().cells_mut(),
        };
        take_slice(r, table, from)
    }

    /// Counts again and mends references between pages of different moments. Everything is to be published afterwards.
    pub fn finish_restore(&mut self) {
        self.mend();
        self.homes = homes::Homes::default();
        self.keys.slots().iter().for_each(|k| self.homes.add(k.home));
        self.publisher = publish::Publisher::default();
    }

    /// All tables. Their order is part of the layout, here and in `take_page`.
    fn tables(&self) -> [&dyn Table; 12] {
        let (cells, candidates) = self.door.tables();
        [
            self.keys.slots(),
            self.groups.slots(),
            self.large_samples.slots(),
            self.cases.values(),
            self.cases.cases(),
            self.cases.pairs(),
            cells,
            candidates,
            self.novelty.cells(),
            self.openings.cells(),
            &self.origins,
            self.keys.ghosts().cells(),
        ]
    }

    /// Number of the table (0: the clock) and first slot of a page.
    pub(super) fn place_of(&self, index: u16) -> Option<(usize, usize)> {
        self.place_at(u32::from(index))
    }

    fn place_at(&self, index: u32) -> Option<(usize, usize)> {
        let Some(mut page) = (index as usize).checked_sub(1) else { return Some((0, 0)) };
        for (i, t) in self.tables().into_iter().enumerate() {
            match page.checked_sub(t.len().div_ceil(per_page(t))) {
                Some(rest) => page = rest,
                None => return Some((i.saturating_add(1), page.saturating_mul(per_page(t)))),
            }
        }
        None
    }
}

/// What follows magic, version and seed check in a block that ends in a checksum: a page, or a state file.
pub(super) fn open<'a>(bytes: &'a [u8], magic: &[u8], seed_check: u32) -> Result<Reader<'a>, StateError> {
    let cut = bytes.len().checked_sub(4).ok_or(StateError::Malformed)?;
    let (body, sum) = bytes.split_at_checked(cut).ok_or(StateError::Malformed)?;
    let mut r = Reader(body.strip_prefix(magic).ok_or(StateError::Malformed)?);
    let (Some(version), Some(check)) = (r.u16(), r.u32()) else { return Err(StateError::Malformed) };
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    if check != seed_check {
        return Err(StateError::Seed);
    }
    if Reader(sum).u32() != Some(wire::checksum(body)) {
        return Err(StateError::Checksum);
    }
    Ok(r)
}

/// Table length and slots in use, then the slots in use with their places; or all slots without, if that is shorter.
fn put_slice(w: &mut Writer<'_>, table: &dyn Table, from: usize) {
    let slots = slots_of(table, from);
    let used = table.live(slots.clone());
    let bytes = table.slot_bytes();
    let dense = used.saturating_mul(bytes.saturating_add(2)) >= slots.len().saturating_mul(bytes);
    w.u32(table.len() as u32);
    w.u16(slots.len() as u16);
    w.u16(if dense { u16::MAX } else { used as u16 });
    for (i, at) in slots.enumerate() {
        if dense {
            table.put(at, w);
        } else if table.is_live(at) {
            w.u16(i as u16);
            table.put(at, w);
        }
    }
}

/// Reads what `put_slice` wrote: first without effect, then into the table.
fn take_slice(r: &mut Reader<'_>, table: &mut dyn Table, from: usize) -> Option<()> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::config::{Config, parse};
    use crate::engine::hash::mix;
    use crate::engine::tables::groups::{Sample, Touch};

    fn config(extra: &str) -> Config {
        parse(&format!(
            r#"{{"keys":2048,"campaign":{{"groups":128,"doorkeeper_bits":12,"novelty_bits":12}}{extra}}}"#
        ))
        .unwrap()
    }

    /// A ledger with every slot of every table in use.
    fn full(config: &Config) -> Ledger {
        let mut l = Ledger::new(config);
        let touch = |i: u64| Touch {
            key_hash: (mix(i) >> 32) as u32,
            single: true,
            young: i.is_multiple_of(3),
            ..Touch::default()
        };
        l.clock = Clock { now_s: 7, started_s: 3, epoch: 1, ..Clock::default() };
        (l.rollout_keys, l.alarms) = (5, 9);
        for (i, k) in l.keys.slots_mut().iter_mut().enumerate() {
            *k = KeyState { id: mix(i as u64) | 1, total: i as u32, ..KeyState::default() };
        }
        for (i, g) in l.groups.slots_mut().iter_mut().enumerate() {
            *g = Group { tag: mix(i as u64) | 1, ..Group::default() };
            (0..200).for_each(|k| g.touch(&touch(k * 977 + i as u64)));
        }
        l.keys.recount();
        l.groups.index();
        let keys: Vec<Sample> = (0..256u32)
            .map(|key_hash| Sample { key_hash: key_hash * 3, openings: 2, ..Sample::default() })
            .collect();
        for (i, p) in l.large_samples.slots_mut().iter_mut().enumerate() {
            let keys = crate::engine::sketch::bottom_k::BottomK::from_parts(&keys, u32::MAX).unwrap();
            *p = LargeSample { tag: i as u64 + 1, keys };
        }
        let case = l.cases.open(1, 1);
        for v in 1..9_000u64 {
            l.cases.confirm(v, case, v as u32);
        }
        let (cells, candidates) = l.door.tables_mut();
        cells.iter_mut().enumerate().for_each(|(i, c)| *c = i as u32 + 1);
        let one = Candidate::take(&mut Reader(&[1; 16])).unwrap();
        candidates.iter_mut().for_each(|c| *c = one);
        for (i, c) in l.novelty.cells_mut().iter_mut().enumerate() {
            *c = mix(i as u64) | 1;
        }
        l.openings.cells_mut().iter_mut().for_each(|c| *c = 1);
        l.keys.ghosts_mut().cells_mut().iter_mut().for_each(|c| *c = 3);
        l.origins.iter_mut().for_each(|o| *o = Origin { tag: 1, key: 2 });
        l
    }

    fn pages(l: &Ledger) -> Vec<Vec<u8>> {
        (0..l.page_count())
            .map(|i| {
                let mut page = Vec::new();
                l.write_page(i, &mut page);
                page
            })
            .collect()
    }

    #[test]
    fn pages_of_a_full_ledger_keep_their_size_and_restore_it() {
        let config = config("");
        let full = full(&config);
        for (of, name) in [(&full, "full"), (&Ledger::new(&config), "empty")] {
            let all = pages(of);
            assert!(all.iter().all(|p| p.len() <= PAGE && !p.is_empty()), "{name}");
            // In any order, over whatever was there.
            let mut back = self::full(&config);
            for p in all.iter().rev() {
                back.read_page(p).unwrap();
            }
            assert!(pages(&back) == all, "{name}");
        }
        assert_eq!(full.page_count(), Ledger::new(&config).page_count());
    }

    #[test]
    fn a_page_that_is_not_ours_is_refused_and_leaves_its_slice() {
        let config = config("");
        let (full, mut l) = (full(&config), Ledger::new(&config));
        let before = l.write_state();
        for (i, page) in pages(&full).iter().enumerate() {
            for at in (0..page.len()).step_by(page.len() / 40 + 1) {
                let mut bad = page.clone();
                bad[at] ^= 1;
                assert!(l.read_page(&bad).is_err(), "page {i} byte {at}");
                assert!(l.read_page(&page[..at]).is_err(), "page {i} cut at {at}");
            }
        }
        let bigger =
            parse(r#"{"keys":4096,"campaign":{"groups":256,"doorkeeper_bits":13,"novelty_bits":13}}"#)
                .unwrap();
        for page in pages(&self::full(&bigger)).iter().skip(1) {
            // Tables that do not depend on the configuration fit.
            let _ = l.read_page(page).map(|i| assert!(l.place_of(i).unwrap().0 > 2));
        }
        let mut l = Ledger::new(&config);
        let seeded = self::config(&format!(r#","seed":"{}""#, "0f".repeat(32)));
        for page in pages(&self::full(&seeded)) {
            assert_eq!(l.read_page(&page), Err(StateError::Seed));
        }
        assert!(l.write_state() == before, "nothing was taken");
    }

    #[test]
    fn values_without_their_case_get_one() {
        let config = config("");
        let mut old = Ledger::new(&config);
        let case = old.cases.open(1, 1);
        for v in 1..50 {
            let _ = old.cases.confirm(v, case, 9);
        }
        let (values, empty) = (pages(&old), pages(&Ledger::new(&config)));
        let mut l = Ledger::new(&config);
        for (i, (with, without)) in values.iter().zip(&empty).enumerate() {
            let table = l.place_of(i as u16).unwrap().0;
            l.read_page(if table == 5 { without } else { with }).unwrap();
        }
        l.finish_restore();
        assert_eq!(l.cases.live(), 49);
        for v in 1..50 {
            let case = l.cases.resolve(l.cases.get(v).unwrap().case);
            assert!(l.cases.case(case).is_some(), "{v}");
        }
    }
}

//! Everything learned, saved and restored: as pages of at most 16 KiB, of which a checkpoint writes a few at
//! a time, or as one block (`weir replay --write-state`).
//!
//! Page 0 holds the clock; each other page holds a slice of one table (`pages`). Pages of different moments
//! can be combined: `finish_restore` repairs references that lead nowhere (`values/repair.rs`). The block
//! holds magic, version, seed check, all pages with their lengths, and a checksum; one of another version,
//! seed or table size is refused whole. Hashes and counts only.

use super::pages::{PAGE, Table, per_page, put_slice, take_slice};
use super::publish::Publisher;
use super::{Ledger, keys, values};
use crate::engine::wire::{self, Head, Reader, Refused, Writer};

const MAGIC: u64 = 0x0031_5453_5249_4557;

/// First bytes of a page.
const PAGE_MAGIC: u16 = 0x5057;
/// Layout of pages and of state files.
const VERSION: u16 = 12;

impl Ledger {
    /// Number of pages; fixed for a configuration.
    pub fn page_count(&self) -> u32 {
        let pages = self.tables().into_iter().map(|t| t.len().div_ceil(per_page(t)));
        u32::try_from(pages.fold(1usize, usize::saturating_add)).unwrap_or(u32::MAX)
    }

    /// Writes page `index` into `out`, replacing what it holds; an index out of range writes nothing. A page
    /// stores the low 16 bits of its index.
    pub fn write_page(&self, index: u32, out: &mut Vec<u8>) {
        out.clear();
        let Some((table, from)) = self.place_of(index) else { return };
        let mut w = Writer(out);
        w.u16(PAGE_MAGIC);
        w.u16(VERSION);
        w.u32(self.seed_check);
        w.u16(index as u16);
        match table.checked_sub(1).and_then(|i| self.tables().get(i).copied()) {
            None => {
                self.clock.put(&mut w);
                w.u32(self.ladder.rollout_keys());
                w.u64(self.values.alarms().bits());
            }
            Some(table) => put_slice(&mut w, table, from),
        }
        wire::seal(out);
    }

    /// Restores page `index` from what `write_page` wrote. Call `finish_restore` after the last page.
    ///
    /// # Errors
    /// A page that is damaged, or of another index, layout, seed or table size, is refused; its slice of the
    /// table stays as it was.
    pub fn read_page(&mut self, index: u32, bytes: &[u8]) -> Result<(), Refused> {
        let mut r = self.open(bytes, &PAGE_MAGIC.to_le_bytes())?;
        let named = r.u16().ok_or(Refused::Malformed)? == index as u16;
        let (table, from) = self.place_of(index).filter(|_| named).ok_or(Refused::Malformed)?;
        self.take_page(table, from, &mut r).ok_or(Refused::Malformed)
    }

    /// A page, or a state file: what follows magic, version and seed check.
    fn open<'a>(&self, bytes: &'a [u8], magic: &[u8]) -> Result<Reader<'a>, Refused> {
        let head = |r: &mut Reader<'a>| {
            r.bytes(magic.len()).filter(|m| *m == magic)?;
            Some(Head { version: r.u16()?, seed_check: r.u32()?, rest: () })
        };
        Ok(wire::open(bytes, VERSION, self.seed_check, head)?.0)
    }

    fn take_page(&mut self, table: usize, from: usize, r: &mut Reader<'_>) -> Option<()> {
        let Some(table) = table.checked_sub(1) else {
            let (clock, rollout_keys, alarms) = (self.clock.take(r)?, r.u32()?, r.u64()?);
            self.clock = clock;
            self.ladder.restore(rollout_keys);
            self.values.alarms_mut().restore(alarms);
            return r.0.is_empty().then_some(());
        };
        // The states of keys, the values' tables, the keys' other ones.
        let table = match (table, table.checked_sub(values::TABLES)) {
            (0, _) => self.keys.table_mut(0),
            (_, None | Some(0)) => self.values.table_mut(table.saturating_sub(1)),
            (_, Some(of_keys)) => self.keys.table_mut(of_keys),
        };
        take_slice(r, table, from)
    }

    /// Ends a restore: recounts, and repairs references between pages of different moments. All shards will
    /// be published again.
    pub fn finish_restore(&mut self) {
        self.changed();
        self.keys.part_twins();
        self.values.repair(self.clock.now_s());
        self.keys.follow(self.values.cases());
        self.values.count_homes(self.keys.table().slots());
        self.publisher = Publisher::default();
    }

    /// All tables. Their order is part of the layout, here and in `take_page`.
    fn tables(&self) -> [&dyn Table; values::TABLES + keys::TABLES] {
        let [groups, large_samples, confirmed, cases, pairs, cells, candidates, left] = self.values.tables();
        let [states, seen, sent, origins, ghosts] = self.keys.tables();
        [
            states,
            groups,
            large_samples,
            confirmed,
            cases,
            pairs,
            cells,
            candidates,
            left,
            seen,
            sent,
            origins,
            ghosts,
        ]
    }

    /// Table (0: the clock) and first slot of a page; `None` beyond the last page.
    pub(super) fn place_of(&self, index: u32) -> Option<(usize, usize)> {
        let Some(mut page) = (index as usize).checked_sub(1) else { return Some((0, 0)) };
        for (i, t) in self.tables().into_iter().enumerate() {
            match page.checked_sub(t.len().div_ceil(per_page(t))) {
                Some(rest) => page = rest,
                None => return Some((i.saturating_add(1), page.saturating_mul(per_page(t)))),
            }
        }
        None
    }

    /// Writes everything learned as one block.
    pub fn write_state(&self) -> Vec<u8> {
        let (mut out, mut page) = (Vec::new(), Vec::with_capacity(PAGE));
        let mut w = Writer(&mut out);
        w.u64(MAGIC);
        w.u16(VERSION);
        w.u32(self.seed_check);
        for index in 0..self.page_count() {
            self.write_page(index, &mut page);
            Writer(&mut out).u32(page.len() as u32);
            out.extend_from_slice(&page);
        }
        wire::seal(&mut out);
        out
    }

    /// Replaces everything learned, in a ledger made by `new` for the same configuration.
    ///
    /// # Errors
    /// See `Refused`. After an error the ledger must be discarded.
    pub fn read_state(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut r = self.open(bytes, &MAGIC.to_le_bytes())?;
        for index in 0..self.page_count() {
            let len = r.u32().ok_or(Refused::Malformed)?;
            let page = r.bytes(len as usize).ok_or(Refused::Malformed)?;
            self.read_page(index, page)?;
        }
        self.finish_restore();
        if r.0.is_empty() { Ok(()) } else { Err(Refused::Malformed) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::config::{Config, parse};
    use crate::engine::hash::mix;
    use crate::engine::ledger::Clock;
    use crate::engine::tables::doorkeeper::Candidate;
    use crate::engine::tables::groups::{Group, Sample, Touch};
    use crate::engine::tables::keys::KeyState;
    use crate::engine::tables::large_samples::LargeSample;
    use crate::engine::wire::Encoded;

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
        l.clock = Clock::at(7, 3, 1);
        l.ladder.restore(5);
        l.values.alarms_mut().restore(9);
        let id = |i: usize| mix(i as u64) | 1;
        l.keys.fill(|i| KeyState { id: id(i), total: i as u32, ..KeyState::default() }, id);
        for (i, g) in l.values.groups_mut().slots_mut().iter_mut().enumerate() {
            *g = Group { tag: mix(i as u64) | 1, ..Group::default() };
            (0..200).for_each(|k| g.touch(&touch(k * 977 + i as u64)));
        }
        l.values.groups_mut().index();
        let keys: Vec<Sample> = (0..256u32)
            .map(|key_hash| Sample { key_hash: key_hash * 3, openings: 2, ..Sample::default() })
            .collect();
        for (i, p) in l.values.large_samples_mut().slots_mut().iter_mut().enumerate() {
            let keys = crate::engine::sketch::bottom_k::BottomK::from_parts(&keys, u32::MAX).unwrap();
            *p = LargeSample { tag: i as u64 + 1, keys };
        }
        let case = l.values.cases_mut().open(1, 1);
        for v in 1..9_000u64 {
            l.values.cases_mut().confirm(v, case, v as u32);
        }
        let (cells, candidates) = l.values.door_mut().tables_mut();
        cells.iter_mut().enumerate().for_each(|(i, c)| *c = i as u32 + 1);
        let one = Candidate::take(&mut Reader(&[1; 16])).unwrap();
        candidates.iter_mut().for_each(|c| *c = one);
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
            for (i, p) in (0..full.page_count()).zip(&all).rev() {
                back.read_page(i, p).unwrap();
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
        for (i, page) in (0..).zip(&pages(&full)) {
            for at in (0..page.len()).step_by(page.len() / 40 + 1) {
                let mut bad = page.clone();
                bad[at] ^= 1;
                assert!(l.read_page(i, &bad).is_err(), "page {i} byte {at}");
                assert!(l.read_page(i, &page[..at]).is_err(), "page {i} cut at {at}");
            }
        }
        let bigger =
            parse(r#"{"keys":4096,"campaign":{"groups":256,"doorkeeper_bits":13,"novelty_bits":13}}"#)
                .unwrap();
        for (i, page) in (0..).zip(&pages(&self::full(&bigger))).skip(1) {
            // Tables that do not depend on the configuration fit.
            let _ = l.read_page(i, page).map(|()| assert!(l.place_of(i).unwrap().0 > 2));
        }
        let mut l = Ledger::new(&config);
        let seeded = self::config(&format!(r#","seed":"{}""#, "0f".repeat(32)));
        for (i, page) in (0..).zip(pages(&self::full(&seeded))) {
            assert_eq!(l.read_page(i, &page), Err(Refused::Seed));
        }
        assert!(l.write_state() == before, "nothing was taken");
    }

    #[test]
    fn values_without_their_case_get_one() {
        let config = config("");
        let mut old = Ledger::new(&config);
        let case = old.values.cases_mut().open(1, 1);
        for v in 1..50 {
            let _ = old.values.cases_mut().confirm(v, case, 9);
        }
        let (values, empty) = (pages(&old), pages(&Ledger::new(&config)));
        let mut l = Ledger::new(&config);
        for (i, (with, without)) in (0..).zip(values.iter().zip(&empty)) {
            let table = l.place_of(i).unwrap().0;
            l.read_page(i, if table == 5 { without } else { with }).unwrap();
        }
        l.finish_restore();
        assert_eq!(l.values.cases().live(), 49);
        for v in 1..50 {
            let case = l.values.cases().resolve(l.values.cases().get(v).unwrap().case);
            assert!(l.values.cases().case(case).is_some(), "{v}");
        }
    }
}

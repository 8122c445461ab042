//! Makes pages of different moments fit each other: a row that refers to nothing is reopened, linked again, or cleared.
//!
//! The table of confirmed values is believed. Groups follow it: a flag without an entry would keep its value from ever
//! being confirmed again. A case that values name is opened again under the same number, as convicted keys name it, too.
//! Keys follow the cases (`Keys::follow`). On tables of one moment nothing changes. Cost: one pass over groups and values;
//! nothing is allocated.

use super::Values;
use crate::engine::tables::cases::{self, CASES, Case, Cases, Confirmed, place_of};
use crate::engine::tables::groups::{self, flag};

impl Values {
    /// Repairs the tables after the last page is restored.
    pub(in crate::engine::ledger) fn repair(&mut self, now_s: u32) {
        part_twins(self.groups.slots_mut(), groups::WAYS, |g| (g.tag, g.last_s));
        self.groups.index();
        part_twins(self.cases.tables_mut().0, cases::WAYS, |v| (v.value, v.since_min));
        self.cases.repair();
        self.groups_follow();
        self.groups_of_values(now_s);
        self.cases.recount();
    }

    /// A group is confirmed if its value is, in its value's case.
    fn groups_follow(&mut self) {
        let cases = &mut self.cases;
        for g in self.groups.slots_mut().iter_mut().filter(|g| g.tag != 0) {
            let was = g.has(flag::CONFIRMED);
            let Some(&Confirmed { case, .. }) = cases.get(g.tag) else {
                if was {
                    g.set(flag::CONFIRMED, false);
                    g.case = 0;
                    // It was armed: the next evaluation confirms it, if the evidence still stands.
                    g.next_eval = g.total;
                }
                continue;
            };
            g.set(flag::CONFIRMED, true);
            if was && cases.root(g.case) != cases.root(case) {
                // The value went over to another case when the two became one; that is not in the cases' page.
                cases.link(g.case, case);
            }
            if !was || cases.root(g.case) != cases.root(case) {
                g.case = case;
            }
        }
    }

    /// Every confirmed value has a group: one that was refused with its page gathers its evidence anew.
    fn groups_of_values(&mut self, now_s: u32) {
        let groups = &mut self.groups;
        for v in self.cases.tables_mut().0.iter_mut().filter(|v| v.value != 0) {
            if groups.get(v.value).is_some() {
                continue;
            }
            match groups.create(v.value, now_s) {
                Some(g) => {
                    g.set(flag::CONFIRMED, true);
                    g.case = v.case;
                }
                None => *v = Confirmed::default(),
            }
        }
    }
}

impl Cases {
    /// Merges lead to cases that exist, every value has a case, and every case counts its values.
    fn repair(&mut self) {
        let (values, cases) = self.tables_mut();
        for at in 0..cases.len() {
            // A case is merged into one in an earlier slot.
            let sound = place_of(cases.get(at).map_or(0, |c| c.merged)).is_none_or(|(to, turn)| {
                to < at && cases.get(to).is_some_and(|c| c.id != 0 && c.turn == turn)
            });
            if let Some(c) = cases.get_mut(at).filter(|_| !sound) {
                c.merged = 0;
            }
        }
        let mut reopened = [0u64; CASES / 64];
        for v in values.iter_mut().filter(|v| v.value != 0) {
            let Some((at, turn)) = place_of(v.case) else {
                *v = Confirmed::default();
                continue;
            };
            let (Some(c), Some(word)) = (cases.get_mut(at), reopened.get_mut(at / 64)) else { continue };
            let (bit, first_s) = (1u64 << (at & 63), v.since_min.saturating_mul(60));
            // Absent, or of a moment before this turn of the slot.
            let before = c.turn != turn && c.first_s <= first_s.saturating_add(59);
            if c.id == 0 || (before && *word & bit == 0) {
                *word |= bit;
                *c = Case { id: u32::MAX, first_s, turn, ..Case::default() };
            }
            if c.turn != turn {
                *v = Confirmed::default();
            } else if *word & bit != 0 {
                c.id = c.id.min(Cases::id_of(v.value));
                (c.first_s, c.last_s) = (c.first_s.min(first_s), c.last_s.max(v.last_s));
            } else if c.first_s > first_s.saturating_add(59) {
                // Opened after the value was confirmed: the number is another case's by now.
                *v = Confirmed::default();
            }
        }
        // A slot that was reopened has left behind the values of its turn before.
        let gone = |v: &&mut Confirmed| {
            v.value != 0
                && place_of(v.case).and_then(|(at, turn)| cases.get(at).filter(|c| c.turn == turn)).is_none()
        };
        values.iter_mut().filter(gone).for_each(|v| *v = Confirmed::default());
        self.recount();
    }

    /// Merges a case that has lost its values into the case that has them.
    fn link(&mut self, lost: u16, has: u16) {
        let (lost, has) = (self.root(lost), self.root(has));
        let earlier = match (place_of(has), place_of(lost)) {
            (Some((has, _)), Some((lost, _))) => has < lost,
            _ => false,
        };
        if earlier && let Some(c) = self.case_mut(lost).filter(|c| c.values == 0) {
            c.merged = has;
        }
    }
}

/// Clears the lesser of two rows with one identity: it moved between the moments of two pages. `of`: identity and rank.
fn part_twins<T: Default>(slots: &mut [T], ways: usize, of: impl Fn(&T) -> (u64, u32)) {
    for bucket in slots.chunks_mut(ways.max(1)) {
        for i in 0..bucket.len() {
            let Some((id, rank)) = bucket.get(i).map(&of).filter(|t| t.0 != 0) else { continue };
            let twin = bucket.iter().skip(i.saturating_add(1)).map(&of).find(|t| t.0 == id);
            let Some(twin) = twin else { continue };
            if let Some(lesser) = bucket.iter_mut().find(|t| of(t) == (id, rank.min(twin.1))) {
                *lesser = T::default();
            }
        }
    }
}

//! Follow-ups and repeats: how many of a key's requests are of one kind, where each key has a share of its
//! own.
//!
//! The beta-binomial law: shares follow a beta distribution with a mean and a precision (high: all keys
//! alike). Source: Skellam 1948. Cost: three rising factorials for each distinct count.

use super::coming::{MOST, Weights, together};
use crate::engine::beta_binomial::Share;

/// Counts of keys, equal ones together. Filled once an evaluation; laws are fitted to distinct counts instead
/// of keys.
#[derive(Debug)]
pub struct Counts {
    distinct: [(u32, u32); MOST],
    used: usize,
    /// Index of each key's count in `distinct`.
    of: [u8; MOST],
    keys: usize,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts { distinct: [(0, 0); MOST], used: 0, of: [0; MOST], keys: 0 }
    }
}

impl Counts {
    /// Adds a key's count, `(k, n)`: k of its n requests are of the kind. Keys beyond `MOST` are dropped.
    #[inline(never)]
    pub fn push(&mut self, count: (u32, u32)) {
        let Some(of) = self.of.get_mut(self.keys) else { return };
        let found = self.distinct.get(..self.used).and_then(|d| d.iter().position(|d| *d == count));
        let at = found.unwrap_or(self.used);
        if let Some(slot) = self.distinct.get_mut(at) {
            *slot = count;
        }
        *of = at as u8;
        self.used = self.used.max(at.saturating_add(1));
        self.keys = self.keys.saturating_add(1);
    }

    /// The count of each key, in order.
    pub fn each(&self) -> impl Iterator<Item = (u32, u32)> {
        let of = |at: &u8| self.distinct.get(usize::from(*at)).copied().unwrap_or_default();
        self.of.iter().take(self.keys).map(of)
    }

    /// The likeliest of the laws `among` for the weighted keys, with ln of its likelihood. `rare` replaces
    /// `Share::RARE`.
    #[inline(never)]
    pub fn fit(&self, weights: &Weights, among: &[Share], rare: Share) -> (f64, Share) {
        let by = together(weights, &self.of, self.keys);
        let distinct = self.distinct.get(..self.used).unwrap_or_default();
        let mut best = (f64::MIN, Share::default());
        for share in among {
            let share = if *share == Share::RARE { &rare } else { share };
            let total = distinct.iter().zip(&by).filter(|(_, w)| **w > 1.0e-6);
            let total = total.fold(0.0, |sum, ((k, n), w)| sum + w * share.ln_likelihood(*k, *n));
            if total > best.0 {
                best = (total, *share);
            }
        }
        best
    }

    /// Adds to each sum ln P of that key's count.
    #[inline(never)]
    pub fn add_each(&self, law: &Share, sums: &mut Weights) {
        let mut lns = [0.0; MOST];
        for (ln, (k, n)) in lns.iter_mut().zip(&self.distinct).take(self.used) {
            *ln = law.ln_likelihood(*k, *n);
        }
        for (sum, of) in sums.iter_mut().zip(&self.of).take(self.keys) {
            *sum += lns.get(usize::from(*of)).copied().unwrap_or(0.0);
        }
    }
}

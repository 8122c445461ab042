//! Follow-ups and repeats: how many of a key's requests are of one kind, where each key has a share of its
//! own.
//!
//! The beta-binomial law: shares follow a beta distribution with a mean and a precision (high: all keys
//! alike). Source: Skellam 1948. Cost: three rising factorials for each distinct count and law; of a law that is asked for again, a
//! sum of products.

use super::coming::{MOST, Weights, together};
use crate::engine::beta_binomial::Share;
use std::cell::RefCell;

/// Laws whose likelihoods stay at hand. No evaluation asks for as many: 14 of a template's share, 14 of follow-ups.
const LAWS: usize = 16;

/// ln P of each distinct count under the laws that were asked for, 32 KiB.
#[derive(Debug)]
struct Known {
    laws: [Share; LAWS],
    lns: [Weights; LAWS],
    /// Number of laws so far. Beyond `LAWS` the oldest is forgotten.
    asked: usize,
}

/// Counts of keys, equal ones together. Filled once an evaluation; laws are fitted to distinct counts instead
/// of keys.
#[derive(Debug)]
pub struct Counts {
    distinct: [(u32, u32); MOST],
    used: usize,
    /// Index of each key's count in `distinct`.
    of: [u8; MOST],
    keys: usize,
    known: RefCell<Known>,
}

impl Default for Counts {
    fn default() -> Counts {
        let known = Known { laws: [Share::default(); LAWS], lns: [[0.0; MOST]; LAWS], asked: 0 };
        Counts { distinct: [(0, 0); MOST], used: 0, of: [0; MOST], keys: 0, known: RefCell::new(known) }
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
        self.known.get_mut().asked = 0;
    }

    /// The count of each key, in order.
    pub fn each(&self) -> impl Iterator<Item = (u32, u32)> {
        let of = |at: &u8| self.distinct.get(usize::from(*at)).copied().unwrap_or_default();
        self.of.iter().take(self.keys).map(of)
    }

    /// Hands ln P of each distinct count under a law to `f`.
    fn under<R>(&self, law: &Share, f: impl FnOnce(&[f64]) -> R) -> R {
        let mut known = self.known.borrow_mut();
        let known = &mut *known;
        let found = known.laws.iter().take(known.asked).position(|l| l == law);
        let at = found.unwrap_or(known.asked % LAWS);
        let (Some(name), Some(lns)) = (known.laws.get_mut(at), known.lns.get_mut(at)) else { return f(&[]) };
        if found.is_none() {
            *name = *law;
            known.asked = known.asked.wrapping_add(1);
            for (ln, (k, n)) in lns.iter_mut().zip(&self.distinct).take(self.used) {
                *ln = law.ln_likelihood(*k, *n);
            }
        }
        f(lns.get(..self.used).unwrap_or_default())
    }

    /// The likeliest of the laws `among` for the weighted keys, with ln of its likelihood. `rare` replaces
    /// `Share::RARE`.
    #[inline(never)]
    pub fn fit(&self, weights: &Weights, among: &[Share], rare: Share) -> (f64, Share) {
        let by = together(weights, &self.of, self.keys);
        let mut best = (f64::MIN, Share::default());
        for share in among {
            let share = if *share == Share::RARE { &rare } else { share };
            let total = self.under(share, |lns| {
                let weighted = lns.iter().zip(&by).filter(|(_, w)| **w > 1.0e-6);
                weighted.fold(0.0, |sum, (ln, w)| sum + w * ln)
            });
            if total > best.0 {
                best = (total, *share);
            }
        }
        best
    }

    /// Adds to each sum ln P of that key's count.
    #[inline(never)]
    pub fn add_each(&self, law: &Share, sums: &mut Weights) {
        self.under(law, |lns| {
            for (sum, of) in sums.iter_mut().zip(&self.of).take(self.keys) {
                *sum += lns.get(usize::from(*of)).copied().unwrap_or(0.0);
            }
        });
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    /// What is kept of a law changes no bit, whichever laws were asked for before, and is forgotten when a count comes.
    #[test]
    fn a_law_is_worth_the_same_whenever_it_is_asked_for() {
        let mut counts = Counts::default();
        let mut weights = [0.0; MOST];
        weights.iter_mut().enumerate().for_each(|(i, w)| *w = f64::from(i as u32 % 7) / 7.0);
        let laws: Vec<Share> = (1..=LAWS as u32 + 5).map(|i| Share::new(f64::from(i) / 40.0, 3.0)).collect();
        for key in 0..40u32 {
            counts.push((key % 5, 5 + key % 11));
            for law in laws.iter().chain(laws.iter().rev()) {
                let each = counts.each().map(|(k, n)| law.ln_likelihood(k, n));
                let mut sums = [0.0; MOST];
                counts.add_each(law, &mut sums);
                assert!(each.zip(sums).all(|(a, b)| a.to_bits() == b.to_bits()));
                let fresh = {
                    let mut fresh = Counts::default();
                    counts.each().for_each(|c| fresh.push(c));
                    fresh.fit(&weights, &[*law], Share::RARE)
                };
                assert_eq!(counts.fit(&weights, &[*law], Share::RARE), fresh);
            }
        }
    }
}

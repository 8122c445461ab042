//! A hypothesis about a value's keys, and the law within it under which the keys are likeliest.
//!
//! All hypotheses explain the same facts of each key (when it sends, follow-ups, repeats, sleep, age), so the
//! difference of two is a log-likelihood ratio. They differ in the parameters that each allows.

use super::coming::{self, MOST, Pace, Range, Weights};
use super::keys::{Age, Keys};
use crate::engine::beta_binomial::Share;
use crate::engine::config::Campaign;
use crate::engine::math::{exp, ln};

/// Parameters that a hypothesis allows.
#[derive(Debug)]
pub struct Hypothesis {
    /// Name in reports.
    pub name: &'static str,
    /// When keys send: see `coming`.
    pub coming: Range,
    /// Laws of the share of follow-ups.
    pub talk: &'static [Share],
    /// Laws of the share of repeats.
    pub repeats: &'static [Share],
    /// Precisions of the template's share of a key's traffic (high: all keys have about the same share). Used
    /// where the template is a small part of it.
    pub alike: &'static [f64],
    /// Shares of keys that sleep.
    pub sleep: &'static [f64],
    /// Shares of young keys among those of known age, each with its cost in nats; empty: any share.
    pub young: &'static [(f64, f64)],
    /// Further evidence for it, from all weighted keys together, nats. Very negative where the hypothesis is
    /// impossible.
    pub besides: fn(&Keys<'_>, &Weights, &Campaign) -> f64,
}

/// A hypothesis with its fitted parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Law {
    /// When keys send.
    pub pace: Pace,
    /// Share of follow-ups.
    pub talk: Share,
    /// Share of repeats.
    pub repeats: Share,
    /// Share of the template in the keys' traffic, where it is a small part.
    pub part: Option<Share>,
    /// Share of keys that sleep.
    pub sleep: f64,
    /// Share of young keys.
    pub young: f64,
    /// Cost of `young`, nats.
    pub cost: f64,
}

/// Mean shares of a template in its keys' traffic that are tried.
const PARTS: [f64; 7] = [0.02, 0.04, 0.08, 0.15, 0.3, 0.5, 0.8];

/// `Hypothesis::besides` where there is no further evidence: 0 nats.
pub fn nothing(_: &Keys<'_>, _: &Weights, _: &Campaign) -> f64 {
    0.0
}

impl Hypothesis {
    /// The likeliest law for the weighted keys, with ln of its likelihood. `besides` is not in it. `near`:
    /// see `coming::fit`.
    pub fn fit(&self, keys: &Keys<'_>, weights: &Weights, near: Option<Pace>) -> (f64, Law) {
        self.fit_with(keys, weights, coming::fit(&keys.bins, weights, keys.len(), &self.coming, near))
    }

    /// The same with a fitted law of `coming` and ln of its likelihood.
    pub fn fit_with(&self, keys: &Keys<'_>, weights: &Weights, (coming, pace): (f64, Pace)) -> (f64, Law) {
        let (talk_ln, talk) = keys.talk.fit(weights, self.talk, keys.fitted.silent);
        let (repeats_ln, repeats) = keys.repeats.fit(weights, self.repeats, keys.fitted.novel);
        let (sleep_ln, sleep) = fit_sleep(keys, weights, self.sleep);
        let (young_ln, young, cost) = fit_young(keys, weights, self.young);
        let (part_ln, part) = if keys.partly {
            let fits = self.alike.iter().map(|precision| {
                let parts = PARTS.map(|mean| Share::new(mean, *precision));
                keys.parts.fit(weights, &parts, Share::RARE)
            });
            let (ln, part) = fits.fold((f64::MIN, Share::default()), |a, b| if b.0 > a.0 { b } else { a });
            (ln, Some(part))
        } else {
            (0.0, None)
        };
        let law = Law { pace, talk, repeats, part, sleep, young, cost };
        (coming + talk_ln + repeats_ln + part_ln + sleep_ln + young_ln, law)
    }
}

impl Law {
    /// ln P of each key under this law.
    pub fn each(&self, keys: &Keys<'_>) -> Weights {
        let mut out = [0.0; MOST];
        let facts = keys.visits().iter().zip(keys.sleep()).zip(keys.ages());
        for (ln_p, ((v, sleep), age)) in out.iter_mut().zip(facts) {
            *ln_p = self.pace.ln_likelihood(v) + ln_sleep(self.sleep, *sleep) + ln_age(self.young, age);
        }
        keys.talk.add_each(&self.talk, &mut out);
        keys.repeats.add_each(&self.repeats, &mut out);
        if let Some(part) = &self.part {
            keys.parts.add_each(part, &mut out);
        }
        out
    }
}

/// ln of P(map of hours) over P(map | never sleeps), if a share `share` of the keys sleeps. `nats`:
/// `hours::sleeper` of the key.
pub fn ln_sleep(share: f64, nats: f64) -> f64 {
    if nats == 0.0 { 0.0 } else { ln(share * exp(nats.min(300.0)) + 1.0 - share) }
}

/// ln P of an age, if a share `young` of the keys is young.
pub fn ln_age(young: f64, age: Age) -> f64 {
    match age {
        Age::Unknown => 0.0,
        Age::Young => ln(young),
        Age::Old => ln(1.0 - young),
    }
}

fn fit_sleep(keys: &Keys<'_>, weights: &Weights, among: &[f64]) -> (f64, f64) {
    let mut best = (f64::MIN, 0.0);
    for &share in among {
        let total = keys.sleep().iter().zip(weights).fold(0.0, |sum, (s, w)| sum + w * ln_sleep(share, *s));
        if total > best.0 {
            best = (total, share);
        }
    }
    best
}

fn fit_young(keys: &Keys<'_>, weights: &Weights, among: &[(f64, f64)]) -> (f64, f64, f64) {
    let (mut young, mut old) = (0.0, 0.0);
    for (age, w) in keys.ages().zip(weights) {
        match age {
            Age::Young => young += w,
            Age::Old => old += w,
            Age::Unknown => {}
        }
    }
    let of = |share: f64| young * ln(share) + old * ln(1.0 - share);
    if among.is_empty() {
        let (before, worth) = (keys.fitted.young, keys.fitted.young_weight);
        let share = (young + before * worth) / (young + old + worth);
        return (of(share), share, 0.0);
    }
    among.iter().fold((f64::MIN, 0.0, 0.0), |best, (share, cost)| {
        let total = of(*share) - cost;
        if total > best.0 { (total, *share, *cost) } else { best }
    })
}

//! Whether some of a value's keys are a campaign's, and what share: a mixture of the campaign with honest
//! keys.
//!
//! Each key is the campaign's with probability `share`, else honest by the best honest explanation. The
//! likeliest mixture is found by expectation maximisation from a high share (Dempster, Laird & Rubin 1977),
//! at most eight steps over a large sample.

use super::coming::{self, MOST, Visit, Weights};
use super::fleet::FLEET;
use super::hypothesis::{Hypothesis, Law};
use super::keys::Keys;
use super::owner::OWNER;
use super::people::PEOPLE;
use super::queue::{CONVERSING, OFTEN, QUEUE, RELAYS, TWICE};
use super::repeaters::{ALIKE, REPEATING};
use super::staff::STAFF;
use super::visitors::VISITORS;
use crate::engine::beta_binomial::Share;
use crate::engine::config::Campaign;
use crate::engine::math::{exp, ln, ln_sum};
use crate::engine::sort;

/// Largest number of steps of expectation maximisation.
const STEPS: u32 = 8;
/// Least gain of a step, nats, after which another is made.
const ENOUGH: f64 = 0.5;
/// If a share is better than "nearly all" by fewer nats than this, "nearly all" is taken.
const UNDECIDED: f64 = 2.0;
/// A mixture that is this many nats behind, and gains less than half of it in a step, is given up.
const HOPELESS: f64 = 20.0;
/// Honest keys above which the honest part has a law of its own; with fewer the law of all keys is used.
pub const OWN: f64 = 6.0;

/// A campaign among honest keys.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    /// ln of its likelihood.
    pub ln: f64,
    /// ln of the likelihood if nearly all keys are the campaign's.
    pub ln_alone: f64,
    /// Share of keys that are the campaign's.
    pub share: f64,
    /// Law of the campaign's keys.
    pub queue: Law,
    /// Law of the honest keys.
    pub honest: Law,
    /// Probability of each key that it is the campaign's.
    pub weights: Weights,
}

/// The likeliest mixture of a campaign with keys of `honest`, whose law for all keys is `all`. Until a night
/// has passed one form of campaign is tried. Later sleep tells the other forms from staff, annotators and
/// people of a narrow service, who are alike, too.
pub fn with_campaign(keys: &Keys<'_>, honest: &Hypothesis, all: Law) -> Mixture {
    let fit = |form: &Hypothesis| mixture(keys, form, honest, all, [0.9; MOST]);
    if !nights(keys) {
        return fit(&QUEUE);
    }
    // A few keys that follow up among many that do not are the honest part.
    let talkers = keys.talk.each().filter(|t| t.0.saturating_mul(20) > t.1).count();
    let form = if talkers.saturating_mul(2) > keys.len() {
        &CONVERSING
    } else if repeats_often(keys) {
        &TWICE
    } else {
        &QUEUE
    };
    let (waking, sleeping) = (fit(form), fit(&RELAYS));
    if sleeping.ln > waking.ln { sleeping } else { waking }
}

/// True if the keys' repeats are more likely those of a queue that hands some prompts out twice.
fn repeats_often(keys: &Keys<'_>) -> bool {
    let among = [Share::RARE, OFTEN];
    keys.repeats.fit(&[1.0; MOST], &among, keys.fitted.novel).1 == OFTEN
}

/// Keys that must have lived through a night before the forms that converse or repeat and never sleep are
/// tried. If the keys were people, so many would show sleep.
const NIGHTS: usize = 24;

fn nights(keys: &Keys<'_>) -> bool {
    keys.sleep().iter().filter(|s| **s != 0.0).count() >= NIGHTS
}

/// ln of the likelihood of two kinds of honest keys, busy and idle ones. One law may not explain rates that
/// two explain: without this, people with very different rates look like a work queue among people.
pub fn two_kinds(keys: &Keys<'_>, honest: &Hypothesis, all: Law) -> f64 {
    let rate = |v: &Visit| f64::from(v.n) / (v.l + v.r + 1.0);
    let mut rates = [0.0; MOST];
    rates.iter_mut().zip(keys.visits()).for_each(|(r, v)| *r = rate(v));
    let sorted = rates.get_mut(..keys.len()).unwrap_or_default();
    // Floats that are not negative sort like their bits.
    sort::by_key(sorted, |r| r.to_bits());
    let middle = sorted.get(keys.len() / 2).copied().unwrap_or(0.0);
    let mut weights = [0.1; MOST];
    weights.iter_mut().zip(keys.visits()).for_each(|(w, v)| *w = if rate(v) > middle { 0.9 } else { 0.1 });
    [&PEOPLE, &VISITORS].into_iter().fold(f64::MIN, |best, h| {
        let m = mixture(keys, h, honest, all, weights);
        best.max(m.ln)
    })
}

/// Nats by which the best honest law of keys that are alike explains the mixture's campaign keys better than
/// the campaign does.
pub fn honest_alike(keys: &Keys<'_>, m: &Mixture, c: &Campaign) -> f64 {
    let queue = coming::fit(&keys.bins, &m.weights, keys.len(), &QUEUE.coming, Some(m.queue.pace));
    let forms: &[&Hypothesis] =
        if nights(keys) { &[&QUEUE, &CONVERSING, &TWICE, &RELAYS] } else { &[&QUEUE] };
    let queue = forms.iter().map(|h| h.fit_with(keys, &m.weights, queue).0);
    let coming = coming::fit(&keys.bins, &m.weights, keys.len(), &ALIKE, Some(m.queue.pace));
    let honest = [&STAFF, &FLEET, &REPEATING, &OWNER].map(|h| {
        let besides = (h.besides)(keys, &m.weights, c);
        if besides < -1.0e9 { f64::MIN } else { h.fit_with(keys, &m.weights, coming).0 + besides }
    });
    honest.into_iter().fold(f64::MIN, f64::max) - queue.fold(f64::MIN, f64::max)
}

/// Fits `first` among `second`. `all` is the law of `second` for all keys; `weights` are those of `first` to start from.
fn mixture(keys: &Keys<'_>, first: &Hypothesis, second: &Hypothesis, all: Law, weights: Weights) -> Mixture {
    let n = keys.len() as f64;
    let most = 1.0 - 1.0 / (4.0 * n.max(1.0));
    let share = weights.iter().take(keys.len()).sum::<f64>() / n.max(1.0);
    let mut m = Mixture { ln: f64::MIN, ln_alone: 0.0, share, queue: Law::default(), honest: all, weights };
    let mut h = all.each(keys);
    let floor: f64 = h.iter().take(keys.len()).sum();
    let (mut near, mut own, mut before) = (None, None, f64::MIN);
    for _ in 0..STEPS {
        m.queue = first.fit(keys, &m.weights, near).1;
        near = Some(m.queue.pace);
        let q = m.queue.each(keys);
        (m.ln, m.ln_alone) = (-m.queue.cost, -m.queue.cost);
        let mut sum = 0.0;
        for ((w, q), h) in m.weights.iter_mut().zip(&q).zip(&h).take(keys.len()) {
            let (a, b) = (ln(m.share) + q, ln(1.0 - m.share) + h);
            let both = ln_sum(a, b);
            m.ln += both;
            m.ln_alone += ln_sum(ln(most) + q, ln(1.0 - most) + h);
            *w = exp(a - both);
            sum += *w;
        }
        m.share = (sum / n.max(1.0)).min(most).max(1.0e-4);
        // Where honest keys alone are far likelier, more steps find no campaign.
        if m.ln < before + ENOUGH || m.ln < floor - HOPELESS && m.ln < before + HOPELESS / 2.0 {
            break;
        }
        before = m.ln;
        if n - sum > OWN {
            let rest = m.weights.map(|w| 1.0 - w);
            m.honest = second.fit(keys, &rest, own).1;
            own = Some(m.honest.pace);
            h = m.honest.each(keys);
        }
    }
    // If the keys do not tell whether some are honest, none is: steps towards a share of one get smaller and smaller.
    if m.ln_alone > m.ln - UNDECIDED {
        m.share = most;
        let q = m.queue.each(keys);
        for ((w, q), h) in m.weights.iter_mut().zip(&q).zip(&h) {
            let (a, b) = (ln(most) + q, ln(1.0 - most) + h);
            *w = exp(a - ln_sum(a, b));
        }
    }
    m
}

//! The odds of a key: a prior, and a factor for each fact.

use super::{Facts, Numbers};
use crate::engine::detect::coming::{Pace, Visit};
use crate::engine::detect::counts::Share;
use crate::engine::detect::hypothesis::ln_sleep;
use crate::engine::detect::{Age, hours};
use crate::engine::math::{clamp, ln};

/// What the factors are called, the prior first.
pub const FACTORS: [&str; 11] = [
    "template",
    "age",
    "birth",
    "skeleton",
    "other traffic",
    "load",
    "follow-ups",
    "repeats",
    "sleep",
    "timer",
    "blocked before",
];

/// No single fact moves the odds by more than 30 times, but the age, and a birth outside the campaign's.
const BOUND: f64 = 3.4;
/// A birth outside the campaign's: one key in a hundred was left out at the ends.
const ELSEWHEN: f64 = -4.6;
/// A key that was blocked before, for another template.
const STRUCK: f64 = 2.0;

/// Factors in the order of `FACTORS`, nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Odds(pub [f32; 11]);

impl Odds {
    /// All together.
    pub fn nats(&self) -> f64 {
        self.0.iter().map(|f| f64::from(*f)).sum()
    }
}

/// The odds that a key is one of the campaign's.
pub fn odds(key: &Facts, n: &Numbers) -> Odds {
    let share = |a: Share, b: Share, k: u32, of: u32| a.ln_likelihood(k, of) - b.ln_likelihood(k, of);
    let visit = Visit::new(key.further, f64::from(key.ticks), 0.0);
    let (queue, honest) = (Pace::from(n.queue), Pace::from(n.honest));
    let load =
        if key.further == 0 { 0.0 } else { queue.ln_likelihood(&visit) - honest.ln_likelihood(&visit) };
    let devoted = Share::new(f64::from(n.devoted), 8.0);
    let (others, of_others) = (key.hits.saturating_sub(1), key.after.saturating_sub(1));
    let sleeper = hours::sleeper(key.hours, key.hours_n, key.ticks);
    let with = key.hits.saturating_add(key.talk);
    let bound = |nats: f64| clamp(nats, -BOUND, BOUND) as f32;
    Odds([
        n.prior,
        match key.age {
            Age::Unknown => 0.0,
            Age::Young => n.young,
            Age::Old => n.old,
        },
        if key.born_min != 0 && !(n.born_from_min..=n.born_to_min).contains(&key.born_min) {
            ELSEWHEN as f32
        } else {
            0.0
        },
        bound(skeleton(key.pieces, f64::from(key.usual))),
        bound(share(devoted, Share::new(0.4, 1.5), others, of_others)),
        bound(load),
        bound(share(n.talk.into(), n.honest_talk.into(), key.talk, with)),
        bound(share(n.repeats.into(), n.honest_repeats.into(), key.repeats, key.recent)),
        bound(ln_sleep(f64::from(n.sleep), sleeper) - ln_sleep(f64::from(n.honest_sleep), sleeper)),
        if key.regular { n.regular } else { 0.0 },
        if key.struck { STRUCK as f32 } else { 0.0 },
    ])
}

/// How much of the skeleton is there: a campaign's requests show about the usual number of its values, a passer-by who uses one
/// phrase shows that phrase.
fn skeleton(pieces: u32, usual: f64) -> f64 {
    let part = f64::from(pieces) / usual.max(1.0);
    if part >= 0.5 { 0.5 } else { ln(part.max(0.01) / 0.5) * 2.0 }
}

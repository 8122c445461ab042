//! The odds of a key: a prior, and a factor for each fact.

use super::{Facts, Pieces};
use crate::engine::beta_binomial::Share;
use crate::engine::detect::coming::{Pace, Visit};
use crate::engine::detect::hypothesis::ln_sleep;
use crate::engine::detect::{Age, hours};
use crate::engine::math::{clamp, ln, ln_sum};
use crate::engine::tables::numbers::Numbers;

/// Names of the factors, the prior first.
pub const FACTORS: [&str; 12] = [
    "template",
    "age",
    "birth",
    "arrival",
    "skeleton",
    "other traffic",
    "load",
    "follow-ups",
    "repeats",
    "sleep",
    "timer",
    "blocked before",
];

/// Bound of a factor, nats: 30 times. Exempt are age, a birth outside the campaign's, an arrival too late to be known, and phrases met by chance.
const BOUND: f64 = 3.4;
/// Nats of a birth outside the campaign's births, whose range leaves out 2 % of the keys at each end.
const ELSEWHEN: f64 = -4.6;
/// Nats of a key that was blocked before, in another case.
const STRUCK: f64 = 2.0;

/// The factors of one key in the order of `FACTORS`, nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Odds(pub [f32; 12]);

impl Odds {
    /// Their sum: the odds, nats.
    pub fn nats(&self) -> f64 {
        self.0.iter().map(|f| f64::from(*f)).sum()
    }
}

/// The odds that a key belongs to the campaign with these numbers.
pub fn odds(key: &Facts, n: &Numbers) -> Odds {
    let share = |a: Share, b: Share, k: u32, of: u32| a.ln_likelihood(k, of) - b.ln_likelihood(k, of);
    let visit = Visit::uncounted(key.further, key.ticks, 0.0);
    let (queue, honest) = (Pace::from(n.queue), Pace::from(n.honest));
    // Half of the honest keys try the template and stop, half stay.
    let stays = Pace { stop: queue.stop.min(honest.stop), ..honest };
    let honest = ln_sum(honest.ln_likelihood(&visit), stays.ln_likelihood(&visit)) - ln(2.0);
    let load = if key.further == 0 { 0.0 } else { queue.ln_likelihood(&visit) - honest };
    let (others, of_others) = (key.hits.saturating_sub(1), key.after.saturating_sub(1));
    let sleeper = hours::sleeper(key.hours, key.hours_n, key.ticks);
    let with = key.hits.saturating_add(key.talk);
    let (template, chance) = Pieces::worth(key.pieces, key.best, f64::from(n.prior));
    let bound = |nats: f64| clamp(nats, -BOUND, BOUND) as f32;
    Odds([
        template as f32,
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
        if key.came_min > n.came_to_min { n.newcomer } else { 0.0 },
        (chance + whole(key.pieces, f64::from(key.usual))) as f32,
        bound(share(n.devoted.into(), n.honest_devoted.into(), others, of_others)),
        bound(load),
        bound(share(n.talk.into(), n.honest_talk.into(), key.talk, with)),
        bound(share(n.repeats.into(), n.honest_repeats.into(), key.repeats, key.recent)),
        bound(ln_sleep(f64::from(n.sleep), sleeper) - ln_sleep(f64::from(n.honest_sleep), sleeper)),
        if key.regular { n.regular } else { 0.0 },
        if key.struck { STRUCK as f32 } else { 0.0 },
    ])
}

/// Evidence of the number of matched values, compared to the campaign's usual number, nats.
fn whole(pieces: u32, usual: f64) -> f64 {
    let part = f64::from(pieces) / usual.max(1.0);
    if part >= 0.5 { 0.0 } else { (ln(part.max(0.01) / 0.5) * 2.0).max(-BOUND) }
}

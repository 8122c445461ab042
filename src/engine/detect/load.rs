//! V. Hypothesis: all keys carry the same load. A work queue balances; people differ by orders of magnitude.
//!
//! Log-likelihood ratio of "every key draws from one Poisson rate" (on the text axis also: rates spread as a gamma of shape
//! 6) against "rates are exponentially spread", which makes the counts geometric (gamma-Poisson of shape 1). On the text
//! axis the latter has a second form: who has joined a young group by now is more likely to be busy, which makes an
//! exponential spread of rates a gamma of shape 2 among the members. Without it 131 of 150 staff who started on one morning
//! looked like a queue (13 nats after two hours).

use super::{Signal, View};
use crate::engine::config::Campaign;
use crate::engine::ledger::groups::{Axis, Sample};
use crate::engine::ledger::panels::KEYS;
use crate::engine::math::{self, ln, ln_factorial};

/// Keys needed before the test says anything.
const MIN_KEYS: usize = 12;
const LN_2: f64 = std::f64::consts::LN_2;
const LN_FACT_5: f64 = 4.787_491_742_782_046;

/// Ticks after which a full panel is settled: twelve hours.
const SETTLED: f64 = 72.0;
/// What the second form of the null can cost a settled panel, nats.
const SETTLED_NATS: f64 = 4.0;

/// What people would look like.
#[derive(Clone, Copy, PartialEq)]
enum Null {
    /// Exponentially spread; the one-load side is strictly Poisson.
    Network,
    /// Exponentially spread; the one-load side may be a narrow spread.
    People,
    /// ... or as the members of a young group.
    Members,
    /// The same, but the second form costs little any more.
    Settled,
}

/// -60..45 points.
pub fn score(view: &View<'_>, _: &Campaign) -> Signal {
    let (text, tick) = (view.axis == Axis::Text, view.tick);
    // A network has old neighbours of every kind; only its young keys can be blocked, so only their load is asked.
    let mut young = [Sample::default(); KEYS];
    let keys = if text { view.keys } else { select(view.keys, &mut young, Sample::young) };
    if keys.len() < MIN_KEYS {
        return Signal::UNKNOWN;
    }
    let null = match (text, is_settled(keys, tick)) {
        (false, _) => Null::Network,
        (true, true) => Null::Settled,
        (true, false) => Null::Members,
    };
    let rate = ratio(keys, null, |s| (s.cnt, s.age_here(tick)));
    let key = ratio(keys, null, |s| (s.openings(), s.age_key(tick)));
    let l = if text {
        let count = ratio(keys, null, |s| (s.cnt, 1.0));
        rate.max(count - 2.0).max(key - 1.0)
    } else {
        rate.max(key)
    };
    Signal::points(math::clamp(3.0 * l, -60.0, 45.0))
}

/// A full panel that has been filling for half a day: by then the idle have joined, too.
fn is_settled(keys: &[Sample], tick: u16) -> bool {
    keys.len() >= KEYS && keys.iter().any(|s| s.age_here(tick) >= SETTLED)
}

/// The keys of a sample that `which` picks, copied into `room`.
pub fn select<'a>(
    keys: &[Sample],
    room: &'a mut [Sample; KEYS],
    which: impl Fn(&Sample) -> bool,
) -> &'a [Sample] {
    let mut n = 0usize;
    for (slot, s) in room.iter_mut().zip(keys.iter().filter(|s| which(s))) {
        *slot = *s;
        n = n.saturating_add(1);
    }
    room.get(..n).unwrap_or_default()
}

/// The tolerant ratio over requests in the group, for the sample of old keys.
pub fn rate_ratio(keys: &[Sample], tick: u16) -> f64 {
    ratio(keys, Null::People, |s| (s.cnt, s.age_here(tick)))
}

/// The tolerant ratio over all of the keys' requests.
pub fn key_ratio(keys: &[Sample], tick: u16) -> f64 {
    ratio(keys, Null::People, |s| (s.openings(), s.age_key(tick)))
}

/// Requests a tick of one key over its whole load.
pub fn key_rate(keys: &[Sample], tick: u16) -> f64 {
    let (k, age) = totals(keys, |s| (s.openings(), s.age_key(tick)));
    if age > 0.0 { k / age } else { 0.0 }
}

fn totals(keys: &[Sample], of: impl Fn(&Sample) -> (u16, f64)) -> (f64, f64) {
    keys.iter().map(of).fold((0.0, 0.0), |(k, age), (n, a)| (k + f64::from(n.saturating_sub(1)), age + a))
}

/// The first request of a key made it a member, so only the later ones count.
fn ratio(keys: &[Sample], null: Null, of: impl Fn(&Sample) -> (u16, f64) + Copy) -> f64 {
    let tolerant = null != Null::Network;
    let (count, exposure) = totals(keys, of);
    let lambda = if exposure > 0.0 { count / exposure } else { 0.0 };
    let [mut poisson, mut narrow, mut people, mut members] = [0.0; 4];
    for s in keys {
        let (n, age) = of(s);
        let k = u32::from(n.saturating_sub(1));
        let mu = (lambda * age).max(1.0e-9);
        let kf = f64::from(k);
        poisson -= mu + ln_factorial(k);
        people -= (1.0 + kf) * ln(1.0 + mu);
        if tolerant {
            narrow += gamma_poisson_6(k, mu);
            members += ln(1.0 + kf) + 2.0 * LN_2 - (2.0 + kf) * ln(2.0 + mu);
        }
    }
    match null {
        Null::Network => poisson - people,
        Null::People => poisson.max(narrow) - people,
        Null::Members => poisson.max(narrow) - people.max(members),
        Null::Settled => poisson.max(narrow) - people.max(members.min(people + SETTLED_NATS)),
    }
}

/// ln of the negative binomial with shape 6 at k, without the term k ln mu that cancels in the ratio.
fn gamma_poisson_6(k: u32, mu: f64) -> f64 {
    let kf = f64::from(k);
    ln_factorial(k.saturating_add(5)) - LN_FACT_5 - ln_factorial(k) + 6.0 * ln(6.0)
        - (6.0 + kf) * ln(6.0 + mu)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;

    fn uniform(seed: u64) -> f64 {
        ((mix(seed) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn poisson(mu: f64, seed: u64) -> u16 {
        let (mut k, mut at) = (0u16, 0.0);
        loop {
            at -= uniform(seed * 1000 + u64::from(k)).ln();
            if at > mu {
                return k;
            }
            k += 1;
        }
    }

    fn sample(rates: impl Fn(u64) -> f64) -> Vec<Sample> {
        (0..32u64)
            .map(|i| Sample { cnt: 1 + poisson(rates(i), i + 7), last: 100, ..Sample::default() })
            .collect()
    }

    #[test]
    fn queues_are_uniform_and_people_are_not() {
        let queue = sample(|_| 20.0);
        assert!(rate_ratio(&queue, 100) * 3.0 > 45.0);
        let people = sample(|i| 20.0 * (1.5 * (uniform(i * 31) - 0.5) * 3.4).exp());
        assert!(rate_ratio(&people, 100) < 0.0, "{}", rate_ratio(&people, 100));
    }

    #[test]
    fn a_panel_tells_a_queue_from_people_at_few_requests_a_key() {
        let normal = |i: u64| {
            (-2.0 * uniform(i * 7 + 1).ln()).sqrt() * (std::f64::consts::TAU * uniform(i * 7 + 2)).cos()
        };
        let panel = |mean: f64, sigma: f64, seed: u64| -> Vec<Sample> {
            (0..KEYS as u64)
                .map(|i| {
                    let i = i + seed * 1_000;
                    let n = 1 + poisson(mean * (sigma * normal(i)).exp(), i + 7);
                    Sample { cnt: n, tot: n, last: 100, ..Sample::default() }
                })
                .collect()
        };
        let nats = |mean, sigma| -> Vec<f64> {
            (0..40)
                .map(|seed| {
                    ratio(&panel(mean, sigma, seed), Null::Members, |s| (s.openings(), s.age_key(100)))
                })
                .collect()
        };
        // At one request a key 7 nats on average, 3 give or take: four panels in five pass the gate.
        let queue = nats(1.0, 0.0);
        assert!((6.0..8.5).contains(&(queue.iter().sum::<f64>() / 40.0)), "{queue:?}");
        assert!(queue.iter().filter(|l| **l >= 4.0).count() >= 32, "{queue:?}");
        // At two requests a key all of them.
        assert!(nats(2.0, 0.0).iter().all(|l| *l >= 4.0));
        for mean in [1.0, 4.0, 20.0] {
            let people = nats(mean, 0.9);
            assert!(people.iter().all(|l| *l < 0.0), "mean {mean}: {people:?}");
        }
    }

    #[test]
    fn gamma_poisson_agrees_with_direct_computation() {
        // NB(k; mu, 6) with the platform's functions.
        for k in 0..40u32 {
            let mu: f64 = 3.7;
            let choose: f64 = (1..=5).map(|i| f64::from(k + i) / f64::from(i)).product();
            let direct = choose.ln() + 6.0 * (6.0 / (6.0 + mu)).ln() + f64::from(k) * (mu / (6.0 + mu)).ln();
            let ours = gamma_poisson_6(k, mu) + f64::from(k) * mu.ln();
            assert!((direct - ours).abs() < 1e-9, "{k}: {direct} {ours}");
        }
    }
}

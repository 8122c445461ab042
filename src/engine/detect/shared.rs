//! Estimates the share of honest keys among those that send a template, from all requests and not only from a large sample's keys.
//!
//! At least a share `sign` (`Fitted`) of honest users' requests has a sign that a campaign's accounts lack: a follow-up, a repeat, an
//! old key. Explanations of the number of signs compete: the campaign is alone but for passers-by, or a share of its
//! requests is honest. All orders of magnitude of that share are equally likely (Jeffreys' prior of a scale). The campaign's own
//! accidents come at an unknown rate up to `PASSING`. The result is the mean share of honest keys.

use crate::engine::math::{clamp, exp, ln};

/// Prior probability that a campaign's template is the campaign's alone.
const ALONE: f64 = 0.9;
/// Largest share of requests with signs in a template that is the campaign's alone: its own accidents and passers-by.
const PASSING: f64 = 0.002;
/// Share of honest keys in a template that is the campaign's alone: passers-by whose first request looks like a campaign's.
const FEW: f64 = 1.0e-4;
/// Factor from one honest share that is tried to the next, from 1 downwards.
const STEP: f64 = 0.5;
/// Number of honest shares that are tried: down to about `FEW`.
const STEPS: u32 = 13;

/// Counts of requests, and of those with a sign of honest users.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Requests with a sign of honest users.
    pub signs: u32,
    /// All requests.
    pub requests: u32,
}

/// Expected share of honest keys, 0 to 1. `seen`: signs among all requests; `large_sample`: the share of honest keys in a large sample, if
/// it has any; `nats`: evidence of the large sample that there are any; `sign`: see `Fitted`.
pub fn honest_share(sign: f64, seen: Seen, large_sample: Option<f64>, nats: f64) -> f64 {
    let (c, m) = (f64::from(seen.signs) + 1.0, f64::from(seen.requests).max(1.0));
    // Likelihood of the signs at an honest share, but for a constant: accidents at any rate up to `PASSING` come on top.
    let likelihood = |share: f64| {
        let least = m * sign * share;
        (below(c, least + m * PASSING) - below(c, least)).max(1.0e-30)
    };
    let (mut all, mut mean, mut share) = (0.0, 0.0, 1.0);
    for _ in 0..STEPS {
        let likelihood = likelihood(share);
        (all, mean) = (all + likelihood, mean + likelihood * share);
        share *= STEP;
    }
    let alone = ln(ALONE / (1.0 - ALONE)) + ln(likelihood(0.0)) - ln(all / f64::from(STEPS)) - nats.max(0.0);
    let shared = 1.0 / (1.0 + exp(clamp(alone, -60.0, 60.0)));
    let among = large_sample.unwrap_or(mean / all).min(0.999);
    (shared * among + (1.0 - shared) * FEW).max(1.0e-6)
}

/// Orders of magnitude (e-folds) of a campaign's requests with a template within which honest people may begin to use it.
const ADOPTION: f64 = 7.0;
/// Number of honest shares that are tried for the latest requests, from 1 downwards by `STEP`.
const LATE_STEPS: u32 = 9;

/// Factor of a newcomer's odds, nats, at most 0: earlier requests do not tell of people who begin to use a template this morning. That may have
/// happened within the `late` requests: periods as long as all `before` are equally likely (Jeffreys' prior of a scale). It is the more likely
/// the more frequent signs are among the late ones. If so, half of the newcomers are honest.
///
/// `sign`: see `Fitted`; `honest`: the share of honest keys by all that was seen. The campaign's own accidents come at the rate that all `before`
/// tell, so their number among the late ones is a negative binomial.
pub fn newcomer(sign: f64, honest: f64, late: Seen, before: Seen) -> f64 {
    let (k, w) = (late.signs, f64::from(late.requests));
    let (had, all) = (f64::from(before.signs) + 1.0, f64::from(before.requests).max(1.0));
    let odds = w / (all + w);
    // ln of the chance of `k` accidents, but for 1 / k!, which all explanations share.
    let none = (0..k).fold(had * ln(1.0 - odds), |sum, i| sum + ln((had + f64::from(i)) * odds));
    let (mut begun, mut share, own) = (0.0, 1.0, had * w / all);
    for _ in 0..LATE_STEPS {
        let mean = w * sign * share + own;
        begun += exp(clamp(f64::from(k) * ln(mean) - mean - none, -60.0, 60.0)) / f64::from(LATE_STEPS);
        share *= STEP;
    }
    // What no sign tells of is in `honest` already.
    let begun = (1.0 - ALONE) * odds / ADOPTION * (begun - 1.0).max(0.0);
    ln(honest / (honest + begun.min(1.0) / 2.0)).min(0.0)
}

/// Probability that a gamma variable of shape `c` is below `x` (Wilson & Hilferty 1931; the normal law by a logistic curve).
fn below(c: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let root = exp(ln(x / c) / 3.0);
    let z = (root - 1.0 + 1.0 / (9.0 * c)) * 3.0 * c.sqrt();
    1.0 / (1.0 + exp(clamp(-1.7 * z, -60.0, 60.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are half of the late ones then.
    #[test]
    fn what_a_newcomer_is_worth_is_bounded_by_the_honest_share() {
        for honest in [0.001, 0.1, 0.5] {
            let late = Seen { signs: 190, requests: 200 };
            let nats = newcomer(0.2, honest, late, Seen { signs: 0, requests: 8_000 });
            let all = ln(honest / (honest + 0.5));
            assert!((nats - all).abs() < 1.0e-9, "{honest}: {nats}, {all}");
        }
    }

    #[test]
    fn signs_among_the_latest_requests_tell_of_people_who_begin() {
        let nats = |signs, before| {
            let late = Seen { signs, requests: 200 };
            newcomer(0.2, 2.0e-4, late, Seen { signs: before, requests: 8_000 })
        };
        let found = [0, 1, 2, 4, 8, 40, 200].map(|k| nats(k, 0));
        assert!(
            found.iter().all(|n| (-9.0..=0.0).contains(n)) && found.is_sorted_by(|a, b| a >= b),
            "{found:?}"
        );
        let [none, _, two, ..] = found;
        assert!(none == 0.0 && two < -3.0, "{found:?}");
        // A campaign that has always had them.
        let always: Vec<f64> = [0, 2, 4, 8].map(|k| nats(k, 160)).into();
        assert!(always.iter().all(|n| *n > -1.0), "{always:?}");
        // Who is known to share a template is no surprise.
        assert!(
            newcomer(0.2, 0.3, Seen { signs: 8, requests: 200 }, Seen { signs: 0, requests: 8_000 }) > -1.0
        );
    }

    fn odds(signs: u32, requests: u32) -> f64 {
        1.0 / honest_share(0.2, Seen { signs, requests }, None, 0.0)
    }

    #[test]
    fn signs_tell_a_template_that_is_shared() {
        assert!(
            odds(0, 1_000) > 5_000.0 && odds(2, 1_000) > 1_000.0,
            "{} {}",
            odds(0, 1_000),
            odds(2, 1_000)
        );
        assert!(odds(20, 25_000) > 3_000.0, "passers-by");
        assert!(
            odds(30, 1_000) < 10.0 && odds(200, 10_000) < 12.0,
            "{} {}",
            odds(30, 1_000),
            odds(200, 10_000)
        );
        assert!(odds(300, 25_000) < 20.0);
        // What the large sample sees counts, too.
        assert!(1.0 / honest_share(0.2, Seen { signs: 0, requests: 1_000 }, Some(0.1), 12.0) < 20.0);
    }

    /// Who has seen little must not be sure: a few users in a hundred have not told themselves yet.
    #[test]
    fn few_requests_leave_more_doubt() {
        for signs in [0, 1, 3] {
            let odds: Vec<f64> = [100, 400, 1_600, 6_400, 25_600].map(|m| odds(signs, m)).into();
            assert!(odds.is_sorted_by(|a, b| a < b), "{signs}: {odds:?}");
        }
        assert!(odds(0, 100) < 2_000.0 && odds(0, 25_000) > 9_000.0);
    }

    /// Against the sum of the Poisson law, of which the gamma law is the other side.
    #[test]
    fn the_gamma_law_is_near_the_exact_one() {
        for c in [1u32, 2, 5, 20] {
            for x in [0.1, 0.5, 1.0, 3.0, 8.0, 25.0] {
                let (mut term, mut sum) = (exp(-x), 0.0);
                for i in 1..=c {
                    sum += term;
                    term *= x / f64::from(i);
                }
                let (exact, ours) = (1.0 - sum, below(f64::from(c), x));
                assert!((exact - ours).abs() < 0.03, "{c} {x}: {ours} for {exact}");
            }
        }
    }
}

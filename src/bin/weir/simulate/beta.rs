//! Fits beta distributions of shares by maximum likelihood to keys' counts (the beta-binomial law of
//! `detect::counts`), each key with a weight.
//!
//! Newton's method on the logarithms of both parameters, with derivatives by finite sums (Griffiths 1973) and
//! a damped step (Marquardt 1963). The likelihood has one maximum if keys differ. If no key shows any, or all
//! are alike, it has none, and the result is an error.

use std::collections::BTreeMap;
use weir::engine::beta_binomial::Share;

/// A count `k` of `n`, and its weight.
pub type Count = (u32, u32, f64);

/// Parameters beyond these mean that there is no maximum.
const LEAST: f64 = 1e-3;
const MOST: f64 = 1e4;
/// Totals above this are scaled down, as in a key's state.
const DEEPEST: u32 = 255;

/// The likeliest beta distribution.
///
/// # Errors
/// The likelihood has no maximum: why.
pub fn fit(counts: &[Count]) -> Result<Share, String> {
    let mut tally: BTreeMap<(u32, u32), f64> = BTreeMap::new();
    for &(k, n, w) in counts.iter().filter(|c| c.1 > 0 && c.2 > 0.0) {
        let scale = f64::from(n.min(DEEPEST)) / f64::from(n);
        let at = ((f64::from(k) * scale).round() as u32, n.min(DEEPEST));
        *tally.entry(at).or_default() += w;
    }
    let all: f64 = tally.values().sum();
    let share =
        |of: &dyn Fn(u32, u32) -> f64| tally.iter().map(|((k, n), w)| w * of(*k, *n)).sum::<f64>() / all;
    let mean = share(&|k, n| f64::from(k) / f64::from(n));
    if tally.is_empty() || mean <= 0.0 {
        return Err("none has any".into());
    }
    if mean >= 1.0 {
        return Err("all have nothing else".into());
    }
    let (mut x, mut damping) = ([(mean * 2.0).ln(), ((1.0 - mean) * 2.0).ln()], 1e-3);
    let mut at = slope(&tally, x);
    for _ in 0..200 {
        let [[a, b], [_, d]] = at.curve;
        // The curve need not be a hump's where it starts: enough damping makes every step one uphill.
        let (a, d) = (a - damping * (1.0 + a.abs()), d - damping * (1.0 + d.abs()));
        let det = a * d - b * b;
        let step = [-(d * at.slope[0] - b * at.slope[1]) / det, -(a * at.slope[1] - b * at.slope[0]) / det];
        let next = [x[0] + step[0].clamp(-1.0, 1.0), x[1] + step[1].clamp(-1.0, 1.0)];
        let there = slope(&tally, next);
        if a < 0.0 && det > 0.0 && there.ln >= at.ln {
            let small = (next[0] - x[0]).abs().max((next[1] - x[1]).abs()) < 1e-7;
            (x, at, damping) = (next, there, damping / 4.0);
            if small && damping < 1.0 {
                break;
            }
        } else {
            damping *= 4.0;
        }
        if damping > 1e12 {
            break;
        }
    }
    let (a, b) = (x[0].exp(), x[1].exp());
    let steep = at.slope[0].abs().max(at.slope[1].abs()) / all;
    if steep > 1e-4 || !(LEAST..MOST).contains(&(a + b)) || a < LEAST / 10.0 || b < LEAST / 10.0 {
        return Err(format!("no maximum (parameters {a:.2e} and {b:.2e})"));
    }
    Ok(Share::new(a / (a + b), a + b))
}

struct At {
    ln: f64,
    slope: [f64; 2],
    curve: [[f64; 2]; 2],
}

/// The likelihood and its derivatives by ln a and ln b.
fn slope(tally: &BTreeMap<(u32, u32), f64>, x: [f64; 2]) -> At {
    let (a, b) = (x[0].exp(), x[1].exp());
    let law = Share::new(a / (a + b), a + b);
    let mut at = At { ln: 0.0, slope: [0.0; 2], curve: [[0.0; 2]; 2] };
    // Of ln of a rising factorial: first and second derivative.
    let rising = |a: f64, n: u32| {
        (0..n).fold((0.0, 0.0), |(one, two), j| {
            let r = 1.0 / (a + f64::from(j));
            (one + r, two - r * r)
        })
    };
    for (&(k, n), w) in tally {
        at.ln += w * law.ln_likelihood(k, n);
        let (of_a, of_b, of_both) = (rising(a, k), rising(b, n - k), rising(a + b, n));
        let (da, db) = (of_a.0 - of_both.0, of_b.0 - of_both.0);
        at.slope = [at.slope[0] + w * a * da, at.slope[1] + w * b * db];
        at.curve[0][0] += w * (a * da + a * a * (of_a.1 - of_both.1));
        at.curve[1][1] += w * (b * db + b * b * (of_b.1 - of_both.1));
        at.curve[0][1] -= w * a * b * of_both.1;
    }
    at.curve[1][0] = at.curve[0][1];
    at
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::simulate::rng::Rng;

    /// A gamma variable (Marsaglia & Tsang 2000).
    fn gamma(r: &mut Rng, shape: f64) -> f64 {
        if shape < 1.0 {
            return gamma(r, shape + 1.0) * r.f().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let x = r.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && r.f().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    fn drawn(seed: u64, law: Share, keys: u32) -> Vec<Count> {
        let mut r = Rng::new(seed);
        let (a, b) = (law.mean * law.precision, (1.0 - law.mean) * law.precision);
        (0..keys)
            .map(|_| {
                let (x, y) = (gamma(&mut r, a), gamma(&mut r, b));
                let n = r.between(1, 60) as u32;
                ((0..n).filter(|_| r.chance(x / (x + y))).count() as u32, n, 1.0)
            })
            .collect()
    }

    #[test]
    fn the_parameters_that_were_drawn_from_are_found() {
        for (seed, mean, precision) in
            [(1, 0.25, 1.5), (2, 0.05, 0.5), (3, 0.5, 20.0), (4, 0.9, 3.0), (5, 0.02, 40.0)]
        {
            let found = fit(&drawn(seed, Share::new(mean, precision), 6_000)).unwrap();
            assert!((found.mean / mean - 1.0).abs() < 0.08, "{mean} {precision}: {found:?}");
            assert!((found.precision / precision - 1.0).abs() < 0.25, "{mean} {precision}: {found:?}");
        }
    }

    #[test]
    fn a_weight_counts_as_so_many_keys() {
        let mut counts = drawn(6, Share::new(0.3, 2.0), 500);
        let twice: Vec<Count> = counts.iter().chain(&counts).copied().collect();
        counts.iter_mut().for_each(|c| c.2 = 0.01);
        let (a, b) = (fit(&counts).unwrap(), fit(&twice).unwrap());
        assert!((a.mean - b.mean).abs() < 1e-5 && (a.precision - b.precision).abs() < 1e-4, "{a:?} {b:?}");
    }

    #[test]
    fn where_there_is_no_maximum_it_says_so() {
        assert_eq!(fit(&[(0, 9, 1.0); 300]), Err("none has any".into()));
        assert_eq!(fit(&[(9, 9, 1.0); 300]), Err("all have nothing else".into()));
        assert!(fit(&[]).is_err());
        // All exactly alike: the precision has no end.
        assert!(fit(&[(10, 20, 1.0); 300]).unwrap_err().starts_with("no maximum"));
    }
}

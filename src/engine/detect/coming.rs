//! When a key sends: the law of requests and dropout that all hypotheses share.
//!
//! A key sends at a rate of its own, and stops after each visit with a probability that is the same for all
//! keys. Requests within ten minutes are one visit. A key has `n` requests and `v` visits after its first,
//! `l` ticks from the first to the last and `r` ticks of silence since. At rate p and stop probability s this
//! has the likelihood `(1-s)^v p^n e^(-pl) (s + (1-s) e^(-pr))`, averaged over a gamma distribution of the
//! rates. The distribution's shape says how alike the keys are. The average has a closed form. Source: the
//! gamma-Poisson model with dropout (BG/NBD) of Fader, Hardie & Lee 2005, here with one dropout for all keys.
//! Cost: two logarithms and an exponential a key.

use crate::engine::math::{clamp, exp, ln, ln_rising};
use crate::engine::tables::large_samples::KEYS;
use crate::engine::tables::numbers::Rhythm;

/// Number of keys that are read.
pub const MOST: usize = KEYS;
/// Weight of each key in a fit, 0 to 1.
pub type Weights = [f64; MOST];

/// The requests of one key, as the law needs them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visit {
    /// Requests after the first, at most `MOST_REQUESTS`. A key with more is counted by its last ones.
    pub n: u32,
    /// Visits after the first: ticks with requests.
    pub v: f64,
    /// Ticks from the first request to the last.
    pub l: f64,
    /// Ticks since the last.
    pub r: f64,
}

/// Requests of a key that are counted.
const MOST_REQUESTS: u32 = 200;

impl Visit {
    /// `n` requests and `v` visits after the first, `l` ticks from first to last, `r` ticks since the last.
    pub fn new(n: u32, v: u32, l: f64, r: f64) -> Visit {
        let kept = n.min(MOST_REQUESTS);
        let scale = if n > kept { f64::from(kept) / f64::from(n) } else { 1.0 };
        Visit { n: kept, v: f64::from(v.min(n)) * scale, l: l * scale, r }
    }
    /// The same where visits were not counted: as many as possible, one a tick.
    pub fn uncounted(n: u32, ticks: u32, r: f64) -> Visit {
        Visit::new(n, n.min(ticks), f64::from(ticks), r)
    }
}

/// Parameters of the law: how soon keys stop, how often they send, and how alike they are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Probability to stop after a visit.
    pub stop: f64,
    /// Mean ticks between two requests of the mean rate.
    pub gap: f64,
    /// Shape of the gamma distribution of the rates: its coefficient of variation is 1/sqrt(shape).
    pub shape: f64,
}

impl Pace {
    /// ln P of a key's requests under this law.
    pub fn ln_likelihood(&self, v: &Visit) -> f64 {
        self.of(v, ln_rising(self.shape, v.n))
    }

    fn of(&self, v: &Visit, rising: f64) -> f64 {
        let (a, b) = (self.shape + f64::from(v.n), self.shape * self.gap);
        let (seen, since) = (ln(b + v.l), ln(b + v.l + v.r));
        let silent = self.stop + (1.0 - self.stop) * exp(-a * (since - seen));
        v.v * ln(1.0 - self.stop) + rising + self.shape * ln(b) - a * seen + ln(silent.max(1.0e-300))
    }
}

/// Parameters that a hypothesis allows.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Probabilities to stop.
    pub stops: &'static [f64],
    /// Shapes of the gamma distribution.
    pub shapes: &'static [f64],
}

/// Keys with similar requests in bins: requests in steps of a fifth or more, times in octaves. Filled once an
/// evaluation; laws are then fitted to bins instead of keys.
#[derive(Debug)]
pub struct Bins {
    bins: [Visit; MOST],
    used: usize,
    /// Index of each key's bin.
    of: [u8; MOST],
}

impl Bins {
    /// Sorts keys into bins, at most `MOST` of them.
    pub fn new(visits: &[Visit]) -> Bins {
        let mut b = Bins { bins: [Visit::default(); MOST], used: 0, of: [0; MOST] };
        let mut codes = [0u32; MOST];
        let mut sizes = [0.0f64; MOST];
        for (v, of) in visits.iter().zip(&mut b.of) {
            let code = step(f64::from(v.n)) << 16 | octave(v.l) << 8 | octave(v.r);
            let found = codes.get(..b.used).and_then(|c| c.iter().position(|c| *c == code));
            let at = found.unwrap_or(b.used);
            if found.is_none() {
                b.used = b.used.saturating_add(1);
            }
            let (Some(bin), Some(size), Some(slot)) =
                (b.bins.get_mut(at), sizes.get_mut(at), codes.get_mut(at))
            else {
                continue;
            };
            *slot = code;
            *of = at as u8;
            // Times are running means. The count is that of the bin's first key; the others' differ by less than a step.
            *size += 1.0;
            if *size == 1.0 {
                *bin = *v;
            } else {
                bin.v += (v.v - bin.v) / *size;
                bin.l += (v.l - bin.l) / *size;
                bin.r += (v.r - bin.r) / *size;
            }
        }
        b
    }
}

/// Sums of the weights of the first `keys` keys by `places`: the weight of each bin.
pub fn together(weights: &Weights, places: &[u8; MOST], keys: usize) -> Weights {
    let mut out = [0.0; MOST];
    for (w, at) in weights.iter().zip(places).take(keys) {
        if let Some(sum) = out.get_mut(usize::from(*at)) {
            *sum += w;
        }
    }
    out
}

/// Rounds requests: up to 8 exactly, then in steps of a fifth.
fn step(n: f64) -> u32 {
    if n <= 8.0 { n as u32 } else { ((ln(n / 8.0) * 5.0) as u32).saturating_add(8) }
}

fn octave(ticks: f64) -> u32 {
    (ln(ticks + 1.0) * std::f64::consts::LOG2_E) as u32
}

/// The likeliest law for the weighted keys within a range, with ln of its likelihood. For each shape the mean
/// gap is found by golden-section search on its logarithm, each time with the best stop probability. With
/// `near`, only shapes next to that law's are tried.
pub fn fit(bins: &Bins, weights: &Weights, keys: usize, range: &Range, near: Option<Pace>) -> (f64, Pace) {
    let by_bin = together(weights, &bins.of, keys);
    let used = bins.bins.get(..bins.used).unwrap_or_default();
    let (mut all, mut n, mut visits, mut l) = (0.0, 0.0, 0.0, 0.0);
    for (v, w) in used.iter().zip(&by_bin) {
        all += w;
        n += w * f64::from(v.n);
        visits += w * v.v;
        l += w * v.l;
    }
    let start = near.map_or(clamp(l / n.max(1.0e-9), 0.02, 20_000.0), |p| p.gap);
    let (width, steps) = if near.is_some() { (0.4, 2) } else { (2.0, 5) };
    let mut best = (f64::MIN, Pace::default());
    for &shape in range.shapes {
        // The next shapes on both sides are within a factor of six.
        if near.is_some_and(|p| shape > 6.0 * p.shape || p.shape > 6.0 * shape) {
            continue;
        }
        let rising = used
            .iter()
            .zip(&by_bin)
            .fold(0.0, |sum, (v, w)| if *w > 1.0e-6 { sum + w * ln_rising(shape, v.n) } else { sum });
        let profile = |gap: f64| {
            let b = shape * gap;
            let mut silent = [0.0; STOPS];
            let mut sum = rising + all * shape * ln(b);
            for (v, w) in used.iter().zip(&by_bin).filter(|(_, w)| **w > 1.0e-6) {
                let a = shape + f64::from(v.n);
                let seen = ln(b + v.l);
                let x = exp(-a * (ln(b + v.l + v.r) - seen));
                sum -= w * a * seen;
                for (slot, stop) in silent.iter_mut().zip(range.stops) {
                    *slot += w * ln((stop + (1.0 - stop) * x).max(1.0e-300));
                }
            }
            let stops = range
                .stops
                .iter()
                .zip(silent)
                .map(|(stop, silent)| (sum + silent + visits * ln(1.0 - stop), *stop));
            stops.fold((f64::MIN, 0.0), |best, x| if x.0 > best.0 { x } else { best })
        };
        let gap = golden(start, width, steps, |gap| profile(gap).0);
        let (found, stop) = profile(gap);
        if found > best.0 {
            best = (found, Pace { stop, gap, shape });
        }
    }
    best
}

/// Stop probabilities that a hypothesis tries, at most.
const STOPS: usize = 6;

/// The maximum of a function with one peak within `e^±width` of `from`, by golden-section search in `steps` steps.
fn golden(from: f64, width: f64, steps: u32, of: impl Fn(f64) -> f64) -> f64 {
    const G: f64 = 0.618_033_988_749_895;
    let at = |x: f64| from * exp(x);
    let (mut lo, mut hi) = (-width, width);
    let (mut a, mut b) = (hi - G * (hi - lo), lo + G * (hi - lo));
    let (mut fa, mut fb) = (of(at(a)), of(at(b)));
    for _ in 0..steps {
        if fa > fb {
            (hi, b, fb) = (b, a, fa);
            a = hi - G * (hi - lo);
            fa = of(at(a));
        } else {
            (lo, a, fa) = (a, b, fb);
            b = lo + G * (hi - lo);
            fb = of(at(b));
        }
    }
    at((lo + hi) / 2.0)
}
impl From<Pace> for Rhythm {
    fn from(p: Pace) -> Rhythm {
        Rhythm { stop: p.stop as f32, gap: p.gap as f32, shape: p.shape as f32 }
    }
}

impl From<Rhythm> for Pace {
    fn from(r: Rhythm) -> Pace {
        Pace { stop: f64::from(r.stop), gap: f64::from(r.gap), shape: f64::from(r.shape) }
    }
}

//! Sleep: whether the hours of the day in which a key sends look like a person's or like a program's.
//!
//! The map has one bit an hour, set by n openings. With weights w of the hours, P(bit) = 1 - e^(-n w): a
//! person sleeps seven hours in a row, in any time zone, and hardly sends in them. Keys that have not lived
//! through a whole day say nothing. Cost: 24 population counts and a logarithm.

use crate::engine::math::{exp, ln, ln_sum};

/// Hours of sleep.
const NIGHT: u32 = 7;
/// Requests in an hour of sleep, as a share of those in an hour awake: a person's night is not empty.
const RESTLESS: f64 = 0.06;
/// Fewer openings say nothing about sleep.
const LEAST: u8 = 6;

/// ln P(map | sleeps) - ln P(map | never sleeps) of one key. `hours`: the map; `n`: openings in it; `ticks`:
/// age of the key here. 0 below `LEAST` openings, and within the key's first day.
pub fn sleeper(hours: u32, n: u8, ticks: u32) -> f64 {
    if n < LEAST || ticks < 144 {
        return 0.0;
    }
    let map = hours & 0x00ff_ffff;
    let twice = u64::from(map) | u64::from(map) << 24;
    let n = f64::from(n);
    let hour = |w: f64| {
        let none = exp(-n * w);
        (ln((1.0 - none).max(1.0e-12)), ln(none.max(1.0e-12)))
    };
    let flat = hour(1.0 / 24.0);
    let awake = 1.0 / (f64::from(24 - NIGHT) + RESTLESS * f64::from(NIGHT));
    let (by_day, by_night) = (hour(awake), hour(awake * RESTLESS));
    let of = |(hit, miss): (f64, f64), hits: u32, of: u32| {
        f64::from(hits) * hit + f64::from(of.saturating_sub(hits)) * miss
    };
    let all = map.count_ones();
    let mut sleeps = -1.0e9;
    for from in 0..24u32 {
        let hits = (twice >> from & ((1 << NIGHT) - 1)).count_ones();
        sleeps = ln_sum(sleeps, of(by_night, hits, NIGHT) + of(by_day, all.saturating_sub(hits), 24 - NIGHT));
    }
    sleeps - ln(24.0) - of(flat, all, 24)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;

    /// The median of what 400 keys say after `n` openings.
    fn says(n: u8, weight: fn(u64) -> f64) -> f64 {
        let mut all: Vec<f64> = (0..400u64)
            .map(|seed| {
                let (mut map, mut k, mut x) = (0u32, 0u8, mix(seed + 77));
                let mut unit = || {
                    x = mix(x);
                    (x >> 11) as f64 / (1u64 << 53) as f64
                };
                while k < n {
                    let hour = (unit() * 24.0) as u64;
                    if unit() < weight(hour) {
                        map |= 1 << hour;
                        k += 1;
                    }
                }
                sleeper(map, n, 1_000)
            })
            .collect();
        all.sort_by(f64::total_cmp);
        all[200]
    }

    #[test]
    fn sleepers_and_queues_are_told_apart_in_time() {
        let queue: fn(u64) -> f64 = |_| 1.0;
        let person: fn(u64) -> f64 = |h| if h < 7 { 0.03 } else { 1.0 };
        assert!(says(12, queue) < -0.5 && says(24, queue) < -3.0 && says(48, queue) < -5.0);
        assert!(
            says(12, person) > 0.3 && says(24, person) > 2.0 && says(48, person) > 6.0,
            "{}",
            says(48, person)
        );
        assert_eq!((sleeper(0xff, 5, 1_000), sleeper(0xff, 60, 100)), (0.0, 0.0), "nothing to say yet");
    }
}

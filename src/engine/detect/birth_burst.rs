//! Bursts of births: keys of one octave of load that never sleep and were made within a few days of each
//! other.
//!
//! Input: a large sample of all young keys of the octave. Output: when the keys of the burst were made, and
//! their common load. Honest accounts of one age range arrive evenly; a campaign's are bought or registered
//! together. Cost: one sort of the sample. This is not one of the hypotheses of `HONEST`: a load profile is
//! judged by it alone.

use super::Sampled;
use crate::engine::config::Campaign;
use crate::engine::sort::sort;
use crate::engine::tables::groups::Sample;
use crate::engine::tables::large_samples::KEYS;

/// Keys of a load profile that were made in one burst.
#[derive(Clone, Copy, Debug)]
pub struct BirthBurst {
    /// Age of the oldest key of the burst, ticks.
    pub oldest: u32,
    /// Age of the youngest, ticks.
    pub youngest: u32,
    /// Their common load: requests a tick of one key.
    pub load: f64,
}

/// Longest burst, ticks: five days.
const BURST_TICKS: u32 = 720;

/// The burst among the young keys of one octave of load, of those with enough openings to tell; `None` if
/// there is none. It takes two independent signals: half of these keys never sleep, and 70 % of those were
/// made within five days (young accounts are up to 14 days old). `tick`: now.
pub fn birth_burst(keys: Sampled<'_>, tick: u16, c: &Campaign) -> Option<BirthBurst> {
    let mut room = [Sample::default(); KEYS];
    let queue = select(keys.items, &mut room);
    let n = queue.len();
    let share = n as f64 / keys.items.len().max(1) as f64;
    if n < 96 || share < 0.5 || keys.distinct * share < f64::from(c.profile_min) * 2.0 {
        return None;
    }
    let mut ages = [0u32; KEYS];
    ages.iter_mut().zip(queue).for_each(|(a, s)| *a = s.birth_ago(tick));
    let ages = ages.get_mut(..n)?;
    sort(ages);
    let need = n.saturating_mul(7) / 10;
    let window = ages.windows(need.max(1)).min_by_key(|w| span(w))?;
    if span(window) > BURST_TICKS {
        return None;
    }
    // The densest 70 % may not reach the ends of the burst.
    let slack = (span(window) / 4).max(36);
    let (youngest, oldest) = (*window.first()?, *window.last()?);
    Some(BirthBurst {
        oldest: oldest.saturating_add(slack),
        youngest: youngest.saturating_sub(slack),
        load: rate(queue),
    })
}

/// Copies the automatic keys into `room`.
fn select<'a>(keys: &[Sample], room: &'a mut [Sample; KEYS]) -> &'a [Sample] {
    let mut n = 0usize;
    for (slot, s) in room.iter_mut().zip(keys.iter().filter(|s| s.automatic())) {
        *slot = *s;
        n = n.saturating_add(1);
    }
    room.get(..n).unwrap_or_default()
}

/// Openings a tick of one key, mean.
fn rate(keys: &[Sample]) -> f64 {
    let (n, ticks) = keys.iter().fold((0.0, 0.0), |(n, ticks), s| {
        let seen = f64::from(s.last.wrapping_sub(s.key_first)).max(0.5);
        (n + f64::from(s.key_openings.saturating_sub(1)), ticks + seen)
    });
    if ticks > 0.0 { n / ticks } else { 0.0 }
}

fn span(ages: &[u32]) -> u32 {
    match (ages.first(), ages.last()) {
        (Some(a), Some(b)) => b.saturating_sub(*a),
        _ => 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    const AUTOMATIC: u8 = 4;
    const DAY: u64 = 144;

    /// `n` keys of 256 never sleep and were born `days` days ago, evenly; the others are people of the last fortnight.
    fn octave(n: u64, days: std::ops::Range<u64>) -> Vec<Sample> {
        let over = (days.end - days.start) * DAY;
        (0..KEYS as u64)
            .map(|i| {
                let queue = i < n;
                let ago = if queue { days.start * DAY + i * over / n } else { i * 14 * DAY / KEYS as u64 };
                let flags = if queue { AUTOMATIC } else { 0 };
                Sample {
                    flags,
                    age: ago as u16,
                    key_openings: 21,
                    openings: 1,
                    last: 200,
                    key_first: 100,
                    ..Sample::default()
                }
            })
            .collect()
    }

    fn found(n: u64, days: std::ops::Range<u64>, distinct: f64) -> Option<BirthBurst> {
        let items = octave(n, days);
        birth_burst(Sampled { items: &items, distinct }, 0, &Campaign::default())
    }

    #[test]
    fn births_within_days_are_a_burst_and_births_over_a_fortnight_are_not() {
        for (what, n, days, distinct, is) in [
            ("queue made in two days", 256, 3..5, 1_000.0, true),
            ("queue made in five days", 256, 3..8, 1_000.0, true),
            ("queue made over a fortnight", 256, 0..14, 1_000.0, false),
            ("half of the octave", 160, 3..5, 1_000.0, true),
            ("a third of the octave", 96, 3..5, 1_000.0, false),
            ("people", 0, 0..1, 1_000.0, false),
            ("too few keys", 256, 3..5, 200.0, false),
        ] {
            assert_eq!(found(n, days, distinct).is_some(), is, "{what}");
        }
    }

    #[test]
    fn a_burst_says_when_and_how_much() {
        assert!(
            octave(256, 3..5).iter().all(Sample::automatic) && !octave(0, 0..1).iter().any(Sample::automatic)
        );
        let b = found(256, 3..5, 1_000.0).unwrap();
        assert!(b.youngest >= 432 - 90 && b.youngest <= 432 + 90, "{b:?}");
        assert!(b.oldest >= 720 - 90 && b.oldest <= 720 + 90, "{b:?}");
        assert!((b.load - 19.0 / 100.0).abs() < 0.02, "{b:?}");
    }
}

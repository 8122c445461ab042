//! A fleet: the keys are on timers. Cron jobs and devices, up to `campaign.fleet_cap` keys.
//!
//! A timer fires at the same minute of the hour, and each gap repeats the last one or the fleet's; a work
//! queue does neither. Both are scored in nats, and the larger score counts. The score fades out between one
//! and two times the cap.

use super::coming::{MOST, Weights};
use super::hypothesis::Hypothesis;
use super::keys::Keys;
use super::people;
use super::repeaters::ALIKE;
use crate::engine::config::Campaign;
use crate::engine::math;
use crate::engine::sort::sort;
use crate::engine::tables::groups::Sample;

/// The fleet hypothesis.
pub static FLEET: Hypothesis = MACHINES;

/// Laws of machines: all alike in how often they send. The base of `FLEET` and `OWNER`.
pub const MACHINES: Hypothesis = Hypothesis {
    name: "fleet",
    coming: ALIKE,
    talk: people::TALK,
    repeats: people::REPEATS,
    alike: &[1.5, 20.0],
    sleep: people::SLEEP,
    young: &[],
    besides: timers,
};

/// Share of gaps that are near the median or repeat the one before: in simulated queues, and in simulated fleets with a
/// quarter of the period as jitter.
const QUEUE_ALIKE: f64 = 0.25;
const FLEET_ALIKE: f64 = 0.85;
/// Two gaps are alike if their codes (steps of 3.7 %) differ by no more than this.
const ALIKE_CODES: u8 = 5;
/// From this code (12 min) on gaps are compared by `ALIKE_CODES`. Below it codes are crowded, because gaps under 4 min are
/// not counted, and must be nearly equal.
const SPREAD: u8 = 30;
/// If one period has more than this share of the gaps, the other gaps are taken to be the same fleet's.
const ONE_FLEET: f64 = 0.9;

/// Nats a key against a fleet of twice the cap or more.
const TOO_MANY: f64 = 4.0;

/// Number of keys whose gaps are known. With fewer than twelve nothing is confirmed, as a timer could not be
/// told.
pub fn known(keys: &Keys<'_>) -> usize {
    keys.samples.iter().filter(|s| s.gap > 0).count()
}

fn timers(keys: &Keys<'_>, weights: &Weights, c: &Campaign) -> f64 {
    let mut room = [0u8; MOST];
    let codes = gaps_of(keys, weights, &mut room);
    let meant = keys.meant(weights).count() as f64;
    // Keys that share a phrase with the fleet by chance do not count towards its size.
    let size = keys.distinct * meant / keys.len().max(1) as f64 * one_period(codes);
    let size = math::clamp(math::log2(2.0 * f64::from(c.fleet_cap) / size.max(1.0)), 0.0, 1.0);
    same_gap(keys, weights, codes).max(same_minute(keys, weights)) - (1.0 - size) * TOO_MANY * meant
}

fn near(code: u8) -> u8 {
    if code >= SPREAD { ALIKE_CODES } else { 1 }
}

/// Log codes of the keys' gaps, in order.
fn gaps_of<'a>(keys: &Keys<'_>, weights: &Weights, room: &'a mut [u8; MOST]) -> &'a [u8] {
    let mut n = 0usize;
    for (slot, s) in room.iter_mut().zip(keys.meant(weights).filter(|s| s.gap > 0)) {
        *slot = s.gap;
        n = n.wrapping_add(1);
    }
    let codes = room.get_mut(..n).unwrap_or_default();
    sort(codes);
    codes
}

/// The largest share of gaps near a common value: the keys of one period. 1 if it is above `ONE_FLEET`.
fn one_period(codes: &[u8]) -> f64 {
    let within = |at: u8| {
        let (from, to) = (at.saturating_sub(near(at)), at.saturating_add(near(at)));
        codes.partition_point(|c| *c <= to).saturating_sub(codes.partition_point(|c| *c < from))
    };
    let most = codes.iter().map(|c| within(*c)).max().unwrap_or(1);
    let share = most as f64 / codes.len().max(1) as f64;
    if share > ONE_FLEET { 1.0 } else { share }
}

/// Nats for timers from gaps that repeat the one before, or that are near the group's median gap.
fn same_gap(keys: &Keys<'_>, weights: &Weights, codes: &[u8]) -> f64 {
    let n = codes.len();
    if n < 12 {
        return 0.0;
    }
    let median = codes.get(n / 2).copied().unwrap_or(0);
    let near = near(median);
    let of_timer = |s: &&Sample| s.repeats() || s.regular() || s.gap.abs_diff(median) <= near;
    let alike = keys.meant(weights).filter(|s| s.gap > 0).filter(of_timer).count();
    let other = n.saturating_sub(alike) as f64;
    alike as f64 * math::ln(FLEET_ALIKE / QUEUE_ALIKE)
        + other * math::ln((1.0 - FLEET_ALIKE) / (1.0 - QUEUE_ALIKE))
}

/// Nats for timers from openings at the same minute of the hour (32 bins), beyond what a queue does by chance.
fn same_minute(keys: &Keys<'_>, weights: &Weights) -> f64 {
    let (mut repeats, mut chance, mut n) = (0.0, 0.0, 0.0);
    for s in keys.meant(weights).filter(|s| s.phase_n >= 2) {
        let openings = f64::from(s.phase_n);
        repeats += openings - f64::from(s.phase.count_ones());
        chance += openings - math::expected_phases(s.phase_n);
        n += openings - 1.0;
    }
    if n < 24.0 {
        return 0.0;
    }
    // Poisson with the rate of timers, three repeats in four, against that of chance.
    let expected = (0.75 * n).max(chance + 1.0);
    repeats * math::ln(expected / (chance + 1.0)) - (expected - chance - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_of_one_period_are_counted_and_most_of_them_are_one_fleets() {
        for (codes, share) in [
            (&[200; 9][..], 1.0),
            (&[60, 90, 120, 200], 0.25),
            (&[60, 60, 60, 120, 120, 200], 0.5),
            // Codes are of one period up to `ALIKE_CODES`, of short gaps up to the next code.
            (&[60, 65, 90, 120], 0.5),
            (&[60, 66, 90, 120], 0.25),
            (&[10, 11, 90, 120], 0.5),
            (&[10, 12, 90, 120], 0.25),
        ] {
            let found = one_period(codes);
            assert!(found == if share > ONE_FLEET { 1.0 } else { share }, "{codes:?}: {found}");
        }
        let most: Vec<u8> = (0..100).map(|i| if i < 95 { 60 } else { 90 }).collect();
        assert!(one_period(&most) == 1.0);
    }
}

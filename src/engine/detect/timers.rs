//! R. Hypothesis (protective): the keys are on timers: a cron fleet or devices, up to `fleet_cap` keys. A timer fires at the
//! same minute of the hour, and each gap repeats the last one; a queue does neither.

use super::{Signal, View};
use crate::engine::config::Campaign;
use crate::engine::ledger::groups::{Axis, Sample};
use crate::engine::ledger::panels::KEYS;
use crate::engine::math;
use crate::engine::sort::sort;

/// -80..0 points; unknown until enough openings and gaps were seen.
pub fn score(view: &View<'_>, c: &Campaign) -> Signal {
    let text = view.axis == Axis::Text;
    let (need_openings, need_gaps) = if text { (48, 12) } else { (128, 0) };
    let openings: u32 = view.keys.iter().filter(|s| s.phase_n() >= 2).map(|s| u32::from(s.phase_n())).sum();
    let gaps = view.keys.iter().filter(|s| s.gap > 0).count();
    if openings < need_openings || gaps < need_gaps {
        return Signal::UNKNOWN;
    }
    let weight = f64::from(c.reg_weight);
    let mut room = [0u8; KEYS];
    let codes = gaps_of(view.keys, &mut room);
    // Others who share a phrase of the fleet by chance do not make it a larger fleet.
    let fleet = view.distinct * one_period(codes);
    let size = math::clamp(math::log2(2.0 * f64::from(c.fleet_cap) / fleet.max(1.0)), 0.0, 1.0);
    let minute = -weight * same_minute(view.keys) * size;
    let period = -weight * same_gap(view.keys, codes) * size;
    Signal::points(minute.min(period))
}

/// 0..1: repeats of the same minute of the hour, beyond chance.
fn same_minute(keys: &[Sample]) -> f64 {
    let (mut ones, mut expected, mut repeats, mut chance) = (0.0, 0.0, 0.0, 0.0);
    for s in keys.iter().filter(|s| s.phase_n() >= 2) {
        let n = f64::from(s.phase_n());
        let e = math::expected_phases(s.phase_n());
        let o = f64::from(s.phase.count_ones());
        ones += o;
        expected += e;
        repeats += n - o;
        chance += n - e;
    }
    if expected <= 0.0 {
        return 0.0;
    }
    let z = (repeats - chance) / (chance + 1.0).max(0.0).sqrt();
    math::clamp((z - 2.0) / 2.0, 0.0, 1.0) * math::clamp((0.97 - ones / expected) / 0.1, 0.0, 1.0)
}

/// Codes (3.7 % each) within which two gaps are alike: a queue's gaps fall within 20 % of their median one time in seven, those
/// of a timer with a quarter of its period as jitter nearly always.
const ALIKE: u8 = 5;
/// Gaps below 4 min are not counted, so that gaps just above are crowded: from 12 min on they are spread as they should be.
const SPREAD: u8 = 30;

fn near(code: u8) -> u8 {
    if code >= SPREAD { ALIKE } else { 1 }
}

/// Log codes of the keys' gaps, in order.
fn gaps_of<'a>(keys: &[Sample], room: &'a mut [u8; KEYS]) -> &'a [u8] {
    let mut n = 0usize;
    for (slot, s) in room.iter_mut().zip(keys.iter().filter(|s| s.gap > 0)) {
        *slot = s.gap;
        n = n.wrapping_add(1);
    }
    let codes = room.get_mut(..n).unwrap_or_default();
    sort(codes);
    codes
}

/// Share of the gaps beyond which the others are a fleet's late timers and nobody else's. A fleet of `fleet_cap` keys that is
/// more of its group than this keeps 68 of 80 points. The one that was confirmed stood at 0.75 to 0.78, 2,500 hourly accounts (`S22`)
/// at 0.95 to 1; without the bound these were seen 2.4 hours later on two seeds of five.
const ONE_FLEET: f64 = 0.9;

/// The largest share of gaps that are near one of them: the keys of one period. 1 if the others are few.
fn one_period(codes: &[u8]) -> f64 {
    let within = |at: u8| {
        let (from, to) = (at.saturating_sub(near(at)), at.saturating_add(near(at)));
        codes.partition_point(|c| *c <= to).saturating_sub(codes.partition_point(|c| *c < from))
    };
    let most = codes.iter().map(|c| within(*c)).max().unwrap_or(1);
    let share = most as f64 / codes.len().max(1) as f64;
    if share > ONE_FLEET { 1.0 } else { share }
}

/// 0..1: gaps of keys that repeat theirs, or gaps near the group's median gap.
fn same_gap(keys: &[Sample], codes: &[u8]) -> f64 {
    let n = codes.len();
    if n < 4 {
        return 0.0;
    }
    let median = codes.get(n / 2).copied().unwrap_or(0);
    let near = near(median);
    let alike = keys
        .iter()
        .filter(|s| s.gap > 0)
        .filter(|s| s.repeats() || s.beats >= 6 || s.gap.abs_diff(median) <= near)
        .count();
    math::clamp((alike as f64 / n as f64 - 0.35) / 0.25, 0.0, 1.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;
    use crate::engine::ledger::groups::Group;
    use crate::engine::ledger::keys::gap_code;

    /// A panel in which `share` percent of the keys have the first period and the others the second, in seconds.
    fn points(distinct: f64, share: u64, periods: [u64; 2]) -> f64 {
        let keys: Vec<Sample> = (0..KEYS as u64)
            .map(|i| {
                let period = periods.get(usize::from(i * 100 >= share * KEYS as u64)).unwrap();
                let jitter = mix(i) % (period / 5);
                let gap = gap_code((period - period / 10 + jitter) as u32);
                Sample { gap, beats: 9, phase: 0xff, pn: 12, ..Sample::default() }
            })
            .collect();
        let group = Group::default();
        let view = View { group: &group, axis: Axis::Text, distinct, keys: &keys, tick: 0 };
        score(&view, &Campaign::default()).points.unwrap()
    }

    #[test]
    fn a_fleet_is_as_large_as_its_keys_of_one_period() {
        // Measured: a fleet of 1,001 was confirmed when a sample said 1,531 keys, of which 76 in 100 had its period.
        assert!(points(1_531.0, 76, [7_200, 2_820]) <= -60.0);
        assert!(points(1_900.0, 50, [7_200, 2_820]) <= -79.0);
        assert!(points(1_531.0, 100, [7_200, 7_200]) > -40.0, "one fleet of that size is none");
        assert!(points(3_500.0, 65, [7_200, 2_820]) > -1.0, "too many for either");
    }
}

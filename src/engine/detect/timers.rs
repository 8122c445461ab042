//! R. Hypothesis (protective): the keys are on timers: a cron fleet or devices, up to `fleet_cap` keys. A timer fires at the
//! same minute of the hour, and each gap repeats the last one; a queue does neither.

use super::{Signal, View};
use crate::engine::config::Campaign;
use crate::engine::ledger::groups::{Axis, Sample};
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
    let size = math::clamp(math::log2(2.0 * f64::from(c.fleet_cap) / view.distinct.max(1.0)), 0.0, 1.0);
    let minute = -weight * same_minute(view.keys) * size;
    let period = -weight * same_gap(view.keys) * size;
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

/// 0..1: gaps of keys that repeat theirs, or gaps near the group's median gap.
fn same_gap(keys: &[Sample]) -> f64 {
    let mut codes = [0u8; crate::engine::ledger::panels::KEYS];
    let mut n = 0usize;
    for (slot, s) in codes.iter_mut().zip(keys.iter().filter(|s| s.gap > 0)) {
        *slot = s.gap;
        n = n.wrapping_add(1);
    }
    let Some(codes) = codes.get_mut(..n).filter(|c| c.len() >= 4) else { return 0.0 };
    sort(codes);
    let median = codes.get(n / 2).copied().unwrap_or(0);
    let near = if median >= SPREAD { ALIKE } else { 1 };
    let alike = keys
        .iter()
        .filter(|s| s.gap > 0)
        .filter(|s| s.repeats() || s.beats >= 6 || s.gap.abs_diff(median) <= near)
        .count();
    math::clamp((alike as f64 / n as f64 - 0.35) / 0.25, 0.0, 1.0)
}

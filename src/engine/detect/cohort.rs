//! Cohorts: between which ages the keys of a group lie, but for outliers.
//!
//! Contract: a key older than `outer` says was not made with the others. Why percentiles: a campaign's panel always holds a
//! few strangers, and one of them must not widen the range to everybody. Cost: one sort of at most a panel.

use super::View;
use crate::engine::ledger::groups::Sample;
use crate::engine::ledger::panels::KEYS;

/// The largest age in ticks that belongs to the cohort: the 95th percentile, with half of the spread and 6 hours as
/// slack.
pub(super) fn outer(view: &View<'_>, of: impl Fn(&Sample) -> u32) -> u32 {
    let mut ages = [0u32; KEYS];
    let mut n = 0usize;
    for (slot, s) in ages.iter_mut().zip(view.keys) {
        *slot = of(s);
        n = n.saturating_add(1);
    }
    let Some(ages) = ages.get_mut(..n) else { return 0 };
    ages.sort_unstable();
    let at = |percent: usize| ages.get(n.saturating_mul(percent) / 100).or(ages.last()).copied().unwrap_or(0);
    let (young, old) = (at(5), at(95));
    old.saturating_add(old.saturating_sub(young) / 2).saturating_add(36)
}

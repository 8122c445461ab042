//! Cohorts: between which ages the keys of a group lie, but for outliers.
//!
//! Contract: a key older than `outer` says was not made with the others. Why percentiles: a campaign's panel always holds a
//! few strangers, and one of them must not widen the range to everybody. Cost: one sort of at most a panel.

use super::View;
use crate::engine::ledger::groups::Sample;
use crate::engine::ledger::panels::KEYS;
use crate::engine::sort::sort;

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
    sort(ages);
    let at = |percent: usize| ages.get(n.saturating_mul(percent) / 100).or(ages.last()).copied().unwrap_or(0);
    let (young, old) = (at(5), at(95));
    old.saturating_add(old.saturating_sub(young) / 2).saturating_add(36)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::ledger::groups::{Axis, Group};

    fn of(ages: impl Iterator<Item = u16>) -> u32 {
        let keys: Vec<Sample> = ages.map(|age| Sample { age, ..Sample::default() }).collect();
        let group = Group::default();
        let view = View { group: &group, axis: Axis::Text, distinct: 100.0, keys: &keys, tick: 0 };
        outer(&view, |s| u32::from(s.age))
    }

    #[test]
    fn a_few_strangers_do_not_widen_a_cohort() {
        // The 95th percentile, half of the spread, six hours.
        let cohort = 195 + (195 - 105) / 2 + 36;
        assert_eq!(of(100..200), cohort);
        assert_eq!(of((100..200).rev()), cohort, "in any order");
        assert_eq!(of((100..197).chain([9_000; 3])), cohort);
        assert_eq!(of(std::iter::repeat_n(50, 100)), 50 + 36);
        assert!(of((100..190).chain([9_000; 10])) > 9_000, "a tenth is no outlier");
        assert_eq!((of(std::iter::empty()), of(std::iter::once(7))), (36, 7 + 36));
    }
}

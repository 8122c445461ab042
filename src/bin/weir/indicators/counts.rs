//! Which values belong to a template: those that are common in its requests and rare elsewhere.

use std::collections::HashMap;

/// A value is common if at least one in this many requests carries it.
const COMMON: u64 = 4;

/// Drops the values that are not common in `requests` requests.
pub fn keep_common(values: &mut HashMap<u64, u64>, requests: u64) {
    let least = requests.div_ceil(COMMON);
    values.retain(|_, n| *n >= least);
}

/// The most frequent values, with their counts, among those that occur elsewhere less than once in `rare`
/// requests.
pub fn own(
    values: &HashMap<u64, u64>,
    elsewhere: &HashMap<u64, u64>,
    rare: u64,
    most: usize,
) -> Vec<(u64, u64)> {
    let is_own = |v: &u64, n: u64| elsewhere.get(v).copied().unwrap_or(0).saturating_mul(rare) < n;
    let mut out: Vec<(u64, u64)> =
        values.iter().filter(|(v, n)| is_own(v, **n)).map(|(v, n)| (*n, *v)).collect();
    out.sort_unstable_by(|a, b| b.cmp(a));
    out.truncate(most);
    out
}

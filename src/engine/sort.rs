//! Sorting in little code: the standard library's sort adds about 3 KB to the module for each type it is used
//! with.
//!
//! In place, not stable: insertion over shrinking gaps (Shell 1959, gaps of Ciura 2001). Fast for the few
//! hundred entries that our slices have at most, and nearly free if they are sorted already.

/// Gaps, widest first.
const GAPS: [usize; 10] = [3_548, 1_577, 701, 301, 132, 57, 23, 10, 4, 1];

/// Sorts by `key`, ascending.
pub fn by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let n = items.len();
    for gap in GAPS.into_iter().filter(|g| *g < n) {
        for i in gap..n {
            let mut at = i;
            while let Some(before) = at.checked_sub(gap)
                && let (Some(a), Some(b)) = (items.get(before), items.get(at))
                && key(a) > key(b)
            {
                items.swap(before, at);
                at = before;
            }
        }
    }
}

/// Sorts numbers, ascending.
pub fn sort<T: Ord + Copy>(items: &mut [T]) {
    by_key(items, |x| *x);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_as_the_standard_library_does(mut items in prop::collection::vec(0u16..200, 0..4_000)) {
            let mut want = items.clone();
            want.sort_unstable();
            super::sort(&mut items);
            prop_assert_eq!(items, want);
        }
    }
}

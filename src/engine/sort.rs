//! Sorting in few bytes of code: the standard library's takes about 3 KB of the module for each type it is used with.
//!
//! In place, not stable, n log n; insertion while a slice is short, as nearly all of ours are, else a heap (Williams 1964).

/// Longest slice that is sorted by insertion.
const SHORT: usize = 24;

/// Sorts by `key`, least first.
pub fn by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let n = items.len();
    let above = |items: &[T], a: usize, b: usize| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => key(a) > key(b),
        _ => false,
    };
    if n <= SHORT {
        for i in 1..n {
            let mut at = i;
            while let Some(before) = at.checked_sub(1)
                && above(items, before, at)
            {
                items.swap(before, at);
                at = before;
            }
        }
        return;
    }
    let sink = |items: &mut [T], mut at: usize, n: usize| {
        loop {
            let left = at.saturating_mul(2).saturating_add(1);
            let right = left.saturating_add(1);
            let child = if right < n && above(items, right, left) { right } else { left };
            if child >= n || !above(items, child, at) {
                return;
            }
            items.swap(child, at);
            at = child;
        }
    };
    (0..n / 2).rev().for_each(|at| sink(items, at, n));
    for end in (1..n).rev() {
        items.swap(0, end);
        sink(items, 0, end);
    }
}

/// Sorts numbers, least first.
pub fn sort<T: Ord + Copy>(items: &mut [T]) {
    by_key(items, |x| *x);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_as_the_standard_library_does(mut items in prop::collection::vec(0u16..200, 0..300)) {
            let mut want = items.clone();
            want.sort_unstable();
            super::sort(&mut items);
            prop_assert_eq!(items, want);
        }
    }
}

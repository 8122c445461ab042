//! Made-up words and fractions: the same for the same number.

use weir::engine::hash;

/// Between 0 and 1, without either.
pub fn unit(x: u64) -> f64 {
    ((hash::mix(x) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// So many words.
pub fn words(seed: u64, n: u64) -> String {
    let word = |i: u64| {
        let h = hash::mix(seed * 77 + i);
        format!("w{}{}x", char::from(b'a' + (h % 26) as u8), &"abcdefghij"[..(h >> 32) as usize % 9])
    };
    (0..n).map(word).collect::<Vec<_>>().join(" ")
}

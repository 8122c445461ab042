//! How long keys live. A credential that rotates makes a new key each time, so no limit and no verdict lasts.
//!
//! Cost: one pass over the key table every ten minutes. Keys that were evicted from the table are not
//! counted.

use crate::engine::tables::keys::KeyState;

/// Ages of the keys that are counted, ticks: first seen 2 to 24 hours ago.
const SEEN: std::ops::Range<u16> = 12..144;
/// A life below this is short, ticks: 2 hours.
const SHORT: u16 = 12;
/// Keys that the percentage needs; with fewer it is 0.
pub const LEAST: u32 = 100;

/// Percent of the keys first seen 2 to 24 hours ago whose last request came less than 2 hours after their
/// first; 0 if there are fewer than `LEAST`. `tick`: now.
pub fn short_percent(keys: &[KeyState], tick: u16) -> u8 {
    let (mut all, mut short) = (0u32, 0u32);
    for key in keys.iter().filter(|k| k.id != 0 && SEEN.contains(&tick.wrapping_sub(k.born))) {
        all = all.saturating_add(1);
        short = short.saturating_add(u32::from(
            crate::engine::units::tick_of(key.last_s).wrapping_sub(key.born) < SHORT,
        ));
    }
    if all < LEAST { 0 } else { short.saturating_mul(100).checked_div(all).unwrap_or(0) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_had_the_time_are_asked() {
        let hour = |h: u32| 1_780_000_200 + h * 3_600; // on a tick
        let key = |first: u32, last: u32| KeyState {
            id: u64::from(first) << 32 | u64::from(last) | 1,
            born: crate::engine::units::tick_of(hour(first)),
            last_s: hour(last),
            ..KeyState::default()
        };
        let now = crate::engine::units::tick_of(hour(48));
        let of = |n: u32, first: u32, last: u32| (0..n).map(move |_| key(first, last));
        let percent = |keys: Vec<KeyState>| short_percent(&keys, now);
        assert_eq!(percent(of(99, 30, 31).collect()), 0, "too few");
        assert_eq!(percent(of(100, 30, 31).collect()), 100);
        assert_eq!(percent(of(60, 30, 31).chain(of(140, 30, 32)).collect()), 30);
        // Of this hour, or of before yesterday: not asked.
        assert_eq!(percent(of(150, 47, 47).chain(of(150, 20, 21)).chain(of(100, 40, 47)).collect()), 0);
        assert_eq!(percent(vec![KeyState::default(); 500]), 0);
    }
}

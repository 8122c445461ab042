//! Whether a key is a program: it never sleeps, sends at any minute of the hour, starts a new conversation
//! each time, and repeats no text. Used for load profiles (`birth_burst`) and reports.

use crate::engine::math;
use crate::engine::tables::keys::KeyState;

/// Number of hours with openings within the quietest seven consecutive hours. 0 for a person who sleeps, in
/// any time zone; more for a work queue.
fn quietest(hours: u32) -> u32 {
    let hours_of_day = u64::from(hours & 0x00ff_ffff);
    let twice = hours_of_day | hours_of_day << 24;
    (0..24u32).map(|s| (twice >> s & 0x7f).count_ones()).min().unwrap_or(0)
}

fn one_shot(key: &KeyState) -> bool {
    key.single_percent() >= 95 && key.dup_percent() <= 10 && !key.is_regular()
}

/// True if the key looks like a work queue within its first day. It only counts for a load profile's alarm.
/// `tick`: now. In simulation it holds for 97 of 100 queues and for 20 to 50 of 100 people (n draws of hours
/// from a flat day and from a person's).
pub fn is_tireless(key: &KeyState, tick: u16) -> bool {
    let n = key.map_n();
    // 19 hours of exposure: a night must have passed.
    if n < 12 || tick.wrapping_sub(key.born) < 114 {
        return false;
    }
    quietest(key.hour_bits()) >= awake_hours(n)
        && f64::from(key.phase.count_ones()) >= 0.75 * math::expected_phases(n)
        && one_shot(key)
}

fn awake_hours(n: u8) -> u32 {
    match n {
        0..28 => 1,
        28..36 => 2,
        36..48 => 3,
        _ => 4,
    }
}

/// True if the key never sleeps, beyond doubt: 86 of 100 queues after 41 openings and 97 after 63; 2 of 100
/// people.
pub fn is_sleepless(key: &KeyState) -> bool {
    let awake = match key.map_n() {
        0..24 => return false,
        24..42 => 4,
        _ => 5,
    };
    quietest(key.hour_bits()) >= awake
        && f64::from(key.phase.count_ones()) >= 0.8 * math::expected_phases(key.map_n())
        && one_shot(key)
}

/// True if the key is automatic: see the module. `None` with fewer than 24 openings.
pub fn is_automatic(key: &KeyState) -> Option<bool> {
    let n = key.map_n();
    if n < 24 {
        return None;
    }
    let longest = match n {
        0..32 => 5,
        32..48 => 4,
        _ => 3,
    };
    let hours = key.hour_bits();
    Some(
        math::longest_gap(hours, 24) <= longest
            && f64::from(hours.count_ones()) >= 0.85 * math::expected_hours(n)
            && f64::from(key.phase.count_ones()) >= 0.8 * math::expected_phases(n)
            && key.single_percent() >= 95
            && key.dup_percent() <= 10,
    )
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;

    #[test]
    fn the_quietest_hours_agree_with_a_slow_count() {
        let slow = |hours: u32| {
            (0..24u32).map(|s| (0..7).filter(|i| hours >> ((s + i) % 24) & 1 == 1).count() as u32).min()
        };
        let mut x = 1u64;
        for _ in 0..2_000 {
            x = mix(x);
            // All densities, and bits above the day that must not count.
            let hours = (x as u32) | ((x >> 32) as u32 & (x >> 16) as u32);
            assert_eq!(Some(quietest(hours)), slow(hours & 0x00ff_ffff), "{hours:b}");
        }
        assert_eq!((quietest(0), quietest(0x00ff_ffff), quietest(0x00ff_ff80)), (0, 7, 0));
    }

    /// A key after `n` openings in five days; `weight` is how likely it is to send in an hour of the day.
    fn key(seed: u64, n: u8, weight: fn(u64) -> f64) -> KeyState {
        let mut k = KeyState { win_total: 60, win_single: 60, ..KeyState::default() };
        let mut x = mix(seed);
        let mut unit = || {
            x = mix(x);
            (x >> 11) as f64 / (1u64 << 53) as f64
        };
        while k.map_n() < n {
            let hour = (unit() * 24.0) as u64;
            if unit() < weight(hour) {
                k.hours = (k.hours | 1 << hour) + (1 << 24);
                k.phase |= 1 << (unit() * 32.0) as u32;
            }
        }
        k
    }

    fn percent(n: u8, weight: fn(u64) -> f64, passes: fn(&KeyState) -> bool) -> u32 {
        (0..2_000).filter(|seed| passes(&key(*seed * 77 + 5, n, weight))).count() as u32 / 20
    }

    #[test]
    fn queues_never_sleep_and_people_do() {
        let queue: fn(u64) -> f64 = |_| 1.0;
        let sleeper: fn(u64) -> f64 = |h| if h < 7 { 0.0 } else { 1.0 };
        // Up at night now and then: one request in forty.
        let restless: fn(u64) -> f64 = |h| if h < 7 { 0.06 } else { 1.0 };
        let tireless: fn(&KeyState) -> bool = |k| is_tireless(k, 720);
        let sleepless: fn(&KeyState) -> bool = is_sleepless;
        for (what, passes, n, who, least, most) in [
            ("tireless queue", tireless, 24, queue, 90, 100),
            ("tireless queue", tireless, 40, queue, 90, 100),
            ("tireless queue", tireless, 60, queue, 90, 100),
            ("tireless sleeper", tireless, 24, sleeper, 0, 0),
            ("tireless sleeper", tireless, 60, sleeper, 0, 0),
            ("tireless restless", tireless, 60, restless, 0, 20),
            ("sleepless queue", sleepless, 23, queue, 0, 0),
            ("sleepless queue", sleepless, 41, queue, 70, 100),
            ("sleepless queue", sleepless, 63, queue, 85, 100),
            ("sleepless sleeper", sleepless, 63, sleeper, 0, 0),
            ("sleepless restless", sleepless, 63, restless, 0, 4),
        ] {
            let p = percent(n, who, passes);
            assert!((least..=most).contains(&p), "{what} after {n}: {p} %");
        }
    }

    #[test]
    fn timers_and_conversations_are_not_tireless() {
        let queue = key(3, 60, |_| 1.0);
        assert!(is_tireless(&queue, 720) && is_sleepless(&queue));
        assert!(!is_tireless(&queue, 113), "no night has passed");
        for other in [
            KeyState { beats: 6, ..queue },
            KeyState { win_single: 56, ..queue },
            KeyState { win_dup: 7, ..queue },
        ] {
            assert!(!is_tireless(&other, 720) && !is_sleepless(&other), "{other:?}");
        }
    }
}

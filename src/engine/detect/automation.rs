//! A. Hypothesis: the keys are programs: never asleep, spread over the hour, one-shot, never repeating. A gate, not points:
//! it stands in for the load test when rates are heavy-tailed.

use super::View;
use crate::engine::ledger::groups::Sample;
use crate::engine::ledger::keys::KeyState;
use crate::engine::math;

/// Share of automatic keys; `None` with fewer than eight keys of 24 openings.
pub fn share(view: &View<'_>) -> Option<f64> {
    share_of(view.keys, 8)
}

/// The same over any sample.
pub fn share_of(keys: &[Sample], min: u32) -> Option<f64> {
    let known = keys.iter().filter(|s| s.hn() >= 24);
    let (n, auto) = known
        .fold((0u32, 0u32), |(n, a), s| (n.saturating_add(1), a.saturating_add(u32::from(s.automatic()))));
    (n >= min).then(|| f64::from(auto) / f64::from(n))
}

/// Hours with openings in the quietest seven in a row. A sleeper's are empty, whatever his time zone; a queue's are not.
fn quietest(hours: u32) -> u32 {
    let day = u64::from(hours & 0x00ff_ffff);
    let twice = day | day << 24;
    (0..24u32).map(|s| (twice >> s & 0x7f).count_ones()).min().unwrap_or(0)
}

fn one_shot(key: &KeyState) -> bool {
    key.single_percent() >= 95 && key.dup_percent() <= 10 && !key.is_regular()
}

/// Does this key look like a queue's within its first day? It only raises the profile's alarm. `tick` is now.
/// Queues pass 97 times in 100, people 20 to 50 times (simulated: n draws from a flat day and from a person's).
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

/// Share of a panel's keys that were awake in their quietest hours, among those with 12 openings over 19 hours; `None` with
/// fewer than 24 of them.
pub fn tireless_share(view: &View<'_>) -> Option<f64> {
    let known = view.keys.iter().filter(|s| s.hn() >= 12 && view.tick.wrapping_sub(s.first) >= 114);
    let (n, awake) = known.fold((0u32, 0u32), |(n, a), s| {
        let passes = quietest(s.hour_bits()) >= awake_hours(s.hn()) && s.beats < 6;
        (n.saturating_add(1), a.saturating_add(u32::from(passes)))
    });
    (n >= 24).then(|| f64::from(awake) / f64::from(n))
}

fn awake_hours(n: u8) -> u32 {
    match n {
        0..28 => 1,
        28..36 => 2,
        36..48 => 3,
        _ => 4,
    }
}

/// Does it never sleep, beyond doubt? Of queues 86 in 100 have passed after 41 openings
/// and 97 after 63; of people two.
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

/// Is this key automatic? `None` while fewer than 24 openings are known.
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

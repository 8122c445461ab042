//! Node-wide limits: the first two limits of a profile, charged once a request in the key's record.
//!
//! GCRA with the theoretical arrival time kept as a backlog in 1/32768 of the limit's window: 4 bytes a key for two
//! limits, rounded to the nearest step, so about one part in 32,768 of the quota is lost or given on a request. Workers
//! act at once with exact limits of their own; this corrects what several workers let through together.

use super::keys::KeyState;
use crate::engine::config::Limit;
use crate::engine::units::Nanos;

const STEPS: u64 = 32_768;

/// Charges one request; the wait until it would conform if a limit is exceeded (then nothing is charged).
/// `elapsed` is the time since the key's last request.
pub fn charge(key: &mut KeyState, limits: &[Limit], elapsed: Nanos) -> Option<Nanos> {
    let mut next = [0u16; 2];
    let mut wait: Option<Nanos> = None;
    for ((limit, stored), slot) in limits.iter().zip([key.tat0, key.tat1]).zip(&mut next) {
        let step = (limit.per.0 / STEPS).max(1);
        let backlog = u64::from(stored).saturating_mul(step).saturating_sub(elapsed.0);
        let cell = limit.per.0.checked_div(u64::from(limit.requests)).unwrap_or(limit.per.0);
        let after = backlog.saturating_add(cell);
        // The record counts whole seconds: one of slack, so that this never refuses before a worker's exact limiter.
        if after > limit.per.0.saturating_add(step.max(1_000_000_000)) {
            wait = wait.max(Some(Nanos(after.saturating_sub(limit.per.0))));
        }
        let steps = after.saturating_add(step / 2).checked_div(step).unwrap_or(0);
        *slot = u16::try_from(steps).unwrap_or(u16::MAX);
    }
    if wait.is_some() {
        // Not charged, but time has passed: the backlog shrinks all the same.
        for (limit, tat) in limits.iter().zip([&mut key.tat0, &mut key.tat1]) {
            let step = (limit.per.0 / STEPS).max(1);
            let gone = elapsed.0.checked_div(step).unwrap_or(0);
            *tat = tat.saturating_sub(u16::try_from(gone).unwrap_or(u16::MAX));
        }
        return wait;
    }
    [key.tat0, key.tat1] = next;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u32, secs: u64) -> Limit {
        Limit { name: "l".into(), requests, per: Nanos::from_secs(secs) }
    }

    #[test]
    fn a_burst_is_limited_and_refills() {
        let limits = [limit(60, 60), limit(5_000, 86_400)];
        let mut key = KeyState::default();
        let passed = (0..100).filter(|_| charge(&mut key, &limits, Nanos(0)).is_none()).count();
        assert!((60..=62).contains(&passed), "{passed}");
        assert!(charge(&mut key, &limits, Nanos(0)).is_some());
        assert!(charge(&mut key, &limits, Nanos::from_secs(2)).is_none());
        let passed = (0..100).filter(|_| charge(&mut key, &limits, Nanos(0)).is_none()).count();
        assert!(passed <= 3, "{passed}");
    }

    #[test]
    fn the_long_run_keeps_the_daily_rate() {
        let limits = [limit(60, 60), limit(5_000, 86_400)];
        let mut key = KeyState::default();
        // Every 10 s for five days: 8,640 a day offered, 5,000 a day and one burst may pass.
        let (mut passed, mut last) = (0u64, 0u64);
        for i in 0..43_200u64 {
            let t = i.saturating_mul(10);
            if charge(&mut key, &limits, Nanos::from_secs(t.saturating_sub(last))).is_none() {
                passed = passed.saturating_add(1);
            }
            last = t;
        }
        assert!((28_000..=31_500).contains(&passed), "{passed}");
    }
}

//! Node-wide limits: the first two limits of a profile, charged once a request in the key's record.
//!
//! GCRA with the theoretical arrival time kept as a backlog in 1/32768 of the limit's window: 4 bytes a key for two
//! limits; rounding is unbiased. Workers act at once with exact limits of their own; this corrects what several workers let through together.

use super::keys::KeyState;
use crate::engine::config::Limit;
use crate::engine::hash;
use crate::engine::units::Nanos;

const STEPS: u64 = 32_768;

/// Charges one request that has been served already, conforming or not; the wait until the next one would conform.
/// Two windows of debt at most.
pub fn owe(key: &mut KeyState, limits: &[Limit], elapsed: Nanos) -> Option<Nanos> {
    charge_if(key, limits, elapsed, true)
}

/// Charges nothing; time passes.
pub fn rest(key: &mut KeyState, limits: &[Limit], elapsed: Nanos) {
    for (limit, tat) in limits.iter().zip([&mut key.tat0, &mut key.tat1]) {
        let step = (limit.per.0 / STEPS).max(1);
        let gone = elapsed.0.checked_div(step).unwrap_or(0);
        *tat = tat.saturating_sub(u16::try_from(gone).unwrap_or(u16::MAX));
    }
}

/// Charges one request; the wait until it would conform if a limit is exceeded (then nothing is charged).
/// `elapsed` is the time since the key's last request.
pub fn charge(key: &mut KeyState, limits: &[Limit], elapsed: Nanos) -> Option<Nanos> {
    charge_if(key, limits, elapsed, false)
}

fn charge_if(key: &mut KeyState, limits: &[Limit], elapsed: Nanos, served: bool) -> Option<Nanos> {
    let mut idle = [key.tat0, key.tat1];
    let mut charged = idle;
    let mut wait: Option<Nanos> = None;
    // Rounding by a hash instead of to the nearest: errors of one direction would add up over a day.
    let dither = hash::mix(key.id ^ u64::from(key.total));
    for (limit, (idle, charged)) in limits.iter().zip(idle.iter_mut().zip(&mut charged)) {
        let step = (limit.per.0 / STEPS).max(1);
        let steps = |ns: u64| {
            let up = dither.checked_rem(step).unwrap_or(0);
            u16::try_from(ns.saturating_add(up).checked_div(step).unwrap_or(0)).unwrap_or(u16::MAX)
        };
        let backlog = u64::from(*idle).saturating_mul(step).saturating_sub(elapsed.0);
        let cell = limit.per.0.checked_div(u64::from(limit.requests)).unwrap_or(limit.per.0);
        let after = backlog.saturating_add(cell);
        // The record counts whole seconds: one of slack, so that this never refuses before a worker's exact limiter.
        let next = if served { after.saturating_add(cell) } else { after };
        if next > limit.per.0.saturating_add(step.max(1_000_000_000)) {
            wait = wait.max(Some(Nanos(next.saturating_sub(limit.per.0))));
        }
        (*idle, *charged) = (steps(backlog), steps(after));
    }
    // A refused request is not charged, but time has passed all the same.
    [key.tat0, key.tat1] = if wait.is_some() && !served { idle } else { charged };
    wait
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
    fn what_was_served_is_owed_and_paid_off_by_time() {
        let limits = [limit(60, 60)];
        let mut key = KeyState::default();
        let waits: Vec<_> = (0..90).map(|_| owe(&mut key, &limits, Nanos(0))).collect();
        let first = waits.iter().position(Option::is_some);
        assert!(first.is_some_and(|n| (58..=62).contains(&n)), "{first:?}");
        // 30 above the quota: a request conforms after about 31 s.
        let wait = waits.last().copied().flatten().unwrap_or_default().secs();
        assert!((29..=32).contains(&wait), "{wait}");
        rest(&mut key, &limits, Nanos::from_secs(20));
        assert!(charge(&mut key, &limits, Nanos::from_secs(5)).is_some());
        assert!(charge(&mut key, &limits, Nanos::from_secs(10)).is_none());
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
            key.total = key.total.saturating_add(1);
        }
        assert!((29_000..=31_000).contains(&passed), "{passed}");
    }
}

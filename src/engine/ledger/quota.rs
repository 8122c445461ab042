//! Node-wide limits: the first two limits of a profile, charged once a request in the key's record.
//!
//! GCRA with the theoretical arrival time kept as a backlog in 1/32768 of the limit's window: 4 bytes a key for two
//! limits; rounding is unbiased. Workers act at once with exact limits of their own; this corrects what several workers let through together.

use super::keys::KeyState;
use crate::engine::config::Limit;
use crate::engine::hash;
use crate::engine::units::Nanos;

const STEPS: u64 = 32_768;

/// A limit that is used up over all workers together: the next request conforms from `until` on. The record holds two windows
/// of debt; this holds any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Which of the profile's limits.
    pub limit: u8,
    /// Conforms from then on.
    pub until: Nanos,
}

/// Charges one request that has been served already at `now`, conforming or not, on top of the debt that is known of the key.
/// The longest debt, if the next request would not conform.
pub fn owe(
    key: &mut KeyState,
    limits: &[Limit],
    elapsed: Nanos,
    now: Nanos,
    known: Option<Debt>,
) -> Option<Debt> {
    let mut backlog = [0; 2];
    if let Some(d) = known
        && let (Some(limit), Some(b)) =
            (limits.get(usize::from(d.limit)), backlog.get_mut(usize::from(d.limit)))
    {
        // At `until` there is room for one request.
        let full = limit.per.0.saturating_sub(cell(limit));
        *b = d.until.0.saturating_add(full).saturating_sub(now.0);
    }
    charge_if(key, limits, elapsed, Some(backlog)).map(|(limit, wait)| Debt { limit, until: now.plus(wait) })
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
    charge_if(key, limits, elapsed, None).map(|(_, wait)| wait)
}

/// `served` already, with a backlog (nanoseconds) that is known of each limit: then it is charged in any case.
fn charge_if(
    key: &mut KeyState,
    limits: &[Limit],
    elapsed: Nanos,
    served: Option<[u64; 2]>,
) -> Option<(u8, Nanos)> {
    let mut idle = [key.tat0, key.tat1];
    let mut charged = idle;
    let known = served.unwrap_or_default();
    let mut longest: Option<(u8, Nanos)> = None;
    // Rounding by a hash instead of to the nearest: errors of one direction would add up over a day.
    let dither = hash::mix(key.id ^ u64::from(key.total));
    let records = idle.iter_mut().zip(&mut charged).zip(known);
    for (i, (limit, ((idle, charged), known))) in (0u8..).zip(limits.iter().zip(records)) {
        let step = (limit.per.0 / STEPS).max(1);
        let steps = |ns: u64| {
            let up = dither.checked_rem(step).unwrap_or(0);
            u16::try_from(ns.saturating_add(up).checked_div(step).unwrap_or(0)).unwrap_or(u16::MAX)
        };
        let backlog = u64::from(*idle).saturating_mul(step).saturating_sub(elapsed.0).max(known);
        let after = backlog.saturating_add(cell(limit));
        // The record counts whole seconds: one of slack, so that this never refuses before a worker's exact limiter.
        let next = if served.is_some() { after.saturating_add(cell(limit)) } else { after };
        let wait = Nanos(next.saturating_sub(limit.per.0));
        if wait.0 > step.max(1_000_000_000) && longest.is_none_or(|(_, w)| w < wait) {
            longest = Some((i, wait));
        }
        (*idle, *charged) = (steps(backlog), steps(after));
    }
    // A refused request is not charged, but time has passed all the same.
    [key.tat0, key.tat1] = if longest.is_some() && served.is_none() { idle } else { charged };
    longest
}

/// Time that one request takes of a limit.
fn cell(limit: &Limit) -> u64 {
    limit.per.0.checked_div(u64::from(limit.requests)).unwrap_or(limit.per.0)
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
        let waits: Vec<_> = (0..90).map(|_| owe(&mut key, &limits, Nanos(0), Nanos(0), None)).collect();
        let first = waits.iter().position(Option::is_some);
        assert!(first.is_some_and(|n| (58..=62).contains(&n)), "{first:?}");
        // 30 above the quota: a request conforms after about 31 s.
        let wait = waits.last().copied().flatten().map_or(0, |d| d.until.secs());
        assert!((29..=32).contains(&wait), "{wait}");
        rest(&mut key, &limits, Nanos::from_secs(20));
        assert!(charge(&mut key, &limits, Nanos::from_secs(5)).is_some());
        assert!(charge(&mut key, &limits, Nanos::from_secs(10)).is_none());
    }

    #[test]
    fn a_debt_beyond_what_the_record_holds_is_paid_off_too() {
        let limits = [limit(60, 60), limit(5_000, 86_400)];
        let (mut key, mut debt) = (KeyState::default(), None);
        for _ in 0..600 {
            debt = owe(&mut key, &limits, Nanos(0), Nanos(0), debt).or(debt);
        }
        let until = debt.map_or(Nanos(0), |d| d.until);
        assert!((540..=543).contains(&until.secs()), "{until:?}");
        // Half a minute early one more is owed; at the time one conforms.
        let second = Nanos::from_secs(1);
        let soon = until.since(Nanos::from_secs(30));
        let early = owe(&mut key, &limits, soon, soon, debt);
        assert_eq!(early.map(|d| d.until), Some(until.plus(second)));
        let later = until.plus(Nanos::from_secs(3));
        assert_eq!(owe(&mut key, &limits, later.since(soon), later, early), None);
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

//! Node-wide limits in a key's state: the first two of a profile, charged with served requests.
//!
//! GCRA with the theoretical arrival time kept as a backlog in 1/32768 of the limit's window: 4 bytes a key
//! for two limits; rounding is unbiased. Workers enforce exact limits of their own at once; this corrects
//! what several workers let through together. Further limits, and those of tenants, have no room here: see
//! `ledger::rates`.

use super::keys::KeyState;
use crate::engine::config::Limit;
use crate::engine::hash;
use crate::engine::limiter::longest;
use crate::engine::units::Nanos;
use crate::engine::units::Wait;

/// Limits that a key's state has room for.
pub const LIMITS: usize = 2;
const STEPS: u64 = 32_768;

/// A limit that is used up over all workers together. The state can store two windows of debt; this stores
/// any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt {
    /// Index of the limit in the profile.
    pub limit: u8,
    /// Time from which the next request conforms.
    pub until: Nanos,
}

/// Charges one request of `cost` that was served at `now`, whether it conformed or not, on top of the `known`
/// debt. `elapsed`: time since the key's last request. Returns the longest debt, if the next request would
/// not conform.
pub fn owe(
    key: &mut KeyState,
    limits: &[Limit],
    cost: u16,
    elapsed: Nanos,
    now: Nanos,
    known: Option<Debt>,
) -> Option<Debt> {
    let mut backlog = [0; LIMITS];
    if let Some(d) = known
        && let (Some(limit), Some(b)) =
            (limits.get(usize::from(d.limit)), backlog.get_mut(usize::from(d.limit)))
    {
        // At `until` there is room for one request.
        let full = limit.per.since(limit.interval());
        *b = d.until.plus(full).since(now).0;
    }
    let dither = dither(key);
    let mut waits = [None; LIMITS];
    let states = [&mut key.tat0, &mut key.tat1].into_iter().zip(backlog).zip(&mut waits);
    for (i, (limit, ((tat, known), out))) in (0u8..).zip(limits.iter().zip(states)) {
        let cell = limit.interval().0;
        let backlog = u64::from(*tat).saturating_mul(step(limit)).saturating_sub(elapsed.0).max(known);
        let cells = cell.saturating_mul(u64::from(limit.cells(cost)));
        let after = backlog.saturating_add(cells).min(LONGEST.0.max(backlog));
        *tat = steps(limit, after, dither);
        *out = wait(limit, i, after, cell);
    }
    longest(waits.into_iter().flatten()).map(|w| Debt { limit: w.limit, until: now.plus(w.wait) })
}

/// Lets `elapsed` pass for a key's limits. Charges nothing.
pub fn rest(key: &mut KeyState, limits: &[Limit], elapsed: Nanos) {
    let dither = dither(key);
    for (limit, tat) in limits.iter().zip([&mut key.tat0, &mut key.tat1]) {
        let left = u64::from(*tat).saturating_mul(step(limit)).saturating_sub(elapsed.0);
        *tat = steps(limit, left, dither);
    }
}

/// Rounds up or down by a hash. Rounding to the nearest would add up errors of one direction over a day.
fn dither(key: &KeyState) -> u64 {
    hash::mix(key.id ^ u64::from(key.total))
}

fn steps(limit: &Limit, backlog: u64, dither: u64) -> u16 {
    let up = dither.checked_rem(step(limit)).unwrap_or(0);
    let steps = backlog.saturating_add(up).checked_div(step(limit)).unwrap_or(0);
    u16::try_from(steps).unwrap_or(u16::MAX)
}

/// The longest wait, counted from the key's last request, until a request of `cost` conforms; `None` if it
/// conforms now. Charges nothing.
pub fn ask(key: &KeyState, limits: &[Limit], cost: u16) -> Option<Wait> {
    let ask = |(i, (limit, tat)): (u8, (&Limit, u16))| {
        let cells = u64::from(limit.cells(cost).min(limit.requests));
        wait(limit, i, u64::from(tat).saturating_mul(step(limit)), cells.saturating_mul(limit.interval().0))
    };
    longest((0u8..).zip(limits.iter().zip([key.tat0, key.tat1])).filter_map(ask))
}

/// Longest debt: see `limiter`.
const LONGEST: Nanos = crate::engine::limiter::LONGEST;

fn step(limit: &Limit) -> u64 {
    (limit.per.0 / STEPS).max(1)
}

/// The wait of a limit. The state counts whole seconds, so one is subtracted: this never refuses before a
/// worker's exact limiter.
fn wait(limit: &Limit, i: u8, backlog: u64, cells: u64) -> Option<Wait> {
    let wait = Nanos(backlog.saturating_add(cells).saturating_sub(limit.per.0));
    (wait.0 > step(limit).max(1_000_000_000)).then_some(Wait { wait, limit: i })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u32, secs: u64) -> Limit {
        Limit::new("l", requests, Nanos::from_secs(secs))
    }

    /// A request that is served if it conforms.
    fn charge(key: &mut KeyState, limits: &[Limit], elapsed: Nanos) -> Option<Nanos> {
        rest(key, limits, elapsed);
        let refused = ask(key, limits, 1);
        if refused.is_none() {
            owe(key, limits, 1, Nanos(0), Nanos(0), None);
        }
        refused.map(|w| w.wait)
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
        let waits: Vec<_> = (0..90).map(|_| owe(&mut key, &limits, 1, Nanos(0), Nanos(0), None)).collect();
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
            debt = owe(&mut key, &limits, 1, Nanos(0), Nanos(0), debt).or(debt);
        }
        let until = debt.map_or(Nanos(0), |d| d.until);
        assert!((540..=543).contains(&until.secs()), "{until:?}");
        // Half a minute early one more is owed; at the time one conforms.
        let second = Nanos::from_secs(1);
        let soon = until.since(Nanos::from_secs(30));
        let early = owe(&mut key, &limits, 1, soon, soon, debt);
        assert_eq!(early.map(|d| d.until), Some(until.plus(second)));
        let later = until.plus(Nanos::from_secs(3));
        assert_eq!(owe(&mut key, &limits, 1, later.since(soon), later, early), None);
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

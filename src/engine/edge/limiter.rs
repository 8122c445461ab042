//! Worker-local limits: acts at once on bursts; the ledger corrects what several workers let through together.
//!
//! Memory: fixed, 16 bytes and 8 a limit for each key. A full bucket of eight gives up the key whose debts end first, so
//! memory belongs to keys that are near their limits. A newcomer owes nothing: nobody is refused for the use of others,
//! and a flood of keys with a request each makes a key forgotten only where eight of them owe more than it.

use crate::engine::config::Limit;
use crate::engine::hash;
use crate::engine::sketch::gcra;
use crate::engine::units::Nanos;

const WAYS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    last: u64,
}

/// A limit refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Which limit, the one with the longest wait.
    pub index: usize,
    /// Until a request would conform.
    pub retry_after: Nanos,
}

/// Arrival times of the keys seen last.
#[derive(Debug)]
pub struct Limiter {
    slots: Vec<Slot>,
    tats: Vec<u64>,
    per_key: usize,
}

impl Limiter {
    /// `capacity` keys (rounded up to a power of two) with up to `per_key` limits each.
    pub fn new(capacity: usize, per_key: usize) -> Limiter {
        let n = capacity.next_power_of_two().max(WAYS);
        Limiter { slots: vec![Slot::default(); n], tats: vec![0; n.saturating_mul(per_key)], per_key }
    }

    /// Room for so many limits a key, if there is less. Arrival times stay.
    pub fn widen(&mut self, per_key: usize) {
        if per_key <= self.per_key {
            return;
        }
        let mut tats = vec![0; self.slots.len().saturating_mul(per_key)];
        for (to, from) in tats.chunks_mut(per_key).zip(self.tats.chunks(self.per_key.max(1))) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        (self.tats, self.per_key) = (tats, per_key);
    }

    /// Bytes.
    pub fn size_bytes(&self) -> usize {
        self.slots.len().saturating_mul(16).saturating_add(self.tats.len().saturating_mul(8))
    }

    /// Charges one request to all `limits`, or to none.
    ///
    /// # Errors
    /// A limit is exceeded; the longest wait is told.
    pub fn charge(&mut self, now: Nanos, key: u64, limits: &[Limit]) -> Result<(), Denied> {
        let Some((at, ahead)) = self.place(now, key.max(1)) else { return Ok(()) };
        let from = at.saturating_mul(self.per_key);
        let Some(tats) = self.tats.get_mut(from..from.saturating_add(self.per_key)) else { return Ok(()) };
        if ahead > 0 {
            tats.iter_mut().for_each(|tat| *tat = tat.saturating_sub(ahead));
        }
        let mut worst: Option<Denied> = None;
        for (index, (limit, tat)) in limits.iter().zip(tats.iter()).enumerate() {
            if let Err(wait) = check(limit, *tat, now) {
                let denied = Denied { index, retry_after: Nanos(wait) };
                if worst.is_none_or(|w| w.retry_after < denied.retry_after) {
                    worst = Some(denied);
                }
            }
        }
        if let Some(denied) = worst {
            return Err(denied);
        }
        for (limit, tat) in limits.iter().zip(tats.iter_mut()) {
            *tat = check(limit, *tat, now).unwrap_or(*tat);
        }
        Ok(())
    }

    /// The key's slot, and how far ahead of now its last request is: the clock stepped back, and its arrival times go with it,
    /// so that nobody waits for the old time to come again, and nobody's debt is let off. A full bucket gives up the key whose
    /// debts end first, or else was idle longest.
    fn place(&mut self, now: Nanos, key: u64) -> Option<(usize, u64)> {
        let buckets = (self.slots.len() / WAYS).max(1);
        let base = (hash::mix(key) as usize & buckets.wrapping_sub(1)).wrapping_mul(WAYS);
        let ways = self.slots.get_mut(base..base.saturating_add(WAYS))?;
        let from = base.saturating_mul(self.per_key);
        let tats = self.tats.get_mut(from..from.saturating_add(WAYS.saturating_mul(self.per_key)))?;
        let way = match ways.iter().position(|s| s.key == key) {
            Some(way) => way,
            None => {
                let rank = |(slot, tats): (&Slot, &[u64])| {
                    let until =
                        tats.iter().max().map_or(0, |t| t.saturating_sub(slot.last.saturating_sub(now.0)));
                    (slot.key != 0, until.max(now.0), slot.last)
                };
                let all = ways.iter().zip(tats.chunks(self.per_key.max(1))).map(rank);
                let way = all.enumerate().min_by_key(|(_, rank)| *rank)?.0;
                tats.chunks_mut(self.per_key.max(1)).nth(way)?.fill(0);
                *ways.get_mut(way)? = Slot { key, last: 0 };
                way
            }
        };
        let slot = ways.get_mut(way)?;
        let ahead = slot.last.saturating_sub(now.0);
        slot.last = now.0;
        Some((base.saturating_add(way), ahead))
    }
}

fn check(limit: &Limit, tat: u64, now: Nanos) -> Result<u64, u64> {
    let interval = limit.per.0.checked_div(u64::from(limit.requests)).unwrap_or(u64::MAX);
    gcra::check(tat, now.0, interval, limit.per.0.saturating_sub(interval))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    fn limits() -> Vec<Limit> {
        vec![
            Limit { name: "burst".into(), requests: 60, per: Nanos::from_secs(60) },
            Limit { name: "daily".into(), requests: 100, per: Nanos::from_hours(24) },
        ]
    }

    #[test]
    fn bursts_stop_and_refill() {
        let mut l = Limiter::new(64, 8);
        let t0 = Nanos::from_secs(1_000_000);
        let passed = (0..100).filter(|_| l.charge(t0, 7, &limits()).is_ok()).count();
        assert_eq!(passed, 60);
        let wait = l.charge(t0, 7, &limits()).unwrap_err().retry_after;
        assert_eq!(wait, Nanos::from_secs(1));
        assert!(l.charge(t0.plus(wait), 7, &limits()).is_ok());
        assert!(l.charge(t0, 8, &limits()).is_ok(), "keys are independent");
        // The daily limit is the strictest after 100 in all.
        let passed =
            (0..200u64).filter(|i| l.charge(t0.plus(Nanos::from_secs(10 + i)), 7, &limits()).is_ok()).count();
        assert_eq!(passed, 39);
        assert_eq!(l.charge(t0.plus(Nanos::from_secs(300)), 7, &limits()).unwrap_err().index, 1);
    }

    #[test]
    fn a_limit_more_keeps_what_was_charged() {
        let mut l = Limiter::new(64, 1);
        let (t0, both) = (Nanos::from_secs(1_000_000), limits());
        assert_eq!((0..80).filter(|_| l.charge(t0, 7, &both[..1]).is_ok()).count(), 60);
        l.widen(2);
        assert!(l.charge(t0, 7, &both).is_err());
        let t1 = t0.plus(Nanos::from_secs(60));
        assert_eq!((0..80).filter(|_| l.charge(t1, 7, &both).is_ok()).count(), 60);
        l.widen(1);
        assert_eq!(l.charge(t1.plus(Nanos::from_secs(60)), 7, &both), Ok(()));
    }

    #[test]
    fn a_clock_that_steps_back_refuses_nobody_and_lets_no_debt_off() {
        for back in [1, 30, 600, 86_400] {
            let mut l = Limiter::new(64, 2);
            let t0 = Nanos::from_secs(1_000_000);
            assert!(l.charge(t0, 7, &limits()).is_ok());
            (0..60).for_each(|_| assert!(l.charge(t0, 8, &limits()).is_ok()));
            let t1 = t0.since(Nanos::from_secs(back));
            assert_eq!(l.charge(t1, 7, &limits()), Ok(()), "{back}");
            // The quota is used up on the new time line, too, and refills at its rate.
            let wait = l.charge(t1, 8, &limits()).unwrap_err().retry_after;
            assert_eq!(wait, Nanos::from_secs(1), "{back}");
            assert_eq!(l.charge(t1.plus(wait), 8, &limits()), Ok(()), "{back}");
        }
    }

    #[test]
    fn a_flood_of_keys_refuses_no_newcomer_and_lets_off_no_debtor() {
        let mut l = Limiter::new(8, 8);
        let t0 = Nanos::from_secs(1_000_000);
        let size = l.size_bytes();
        (0..60).for_each(|_| assert!(l.charge(t0, 7, &limits()).is_ok()));
        for key in 1_000..11_000u64 {
            assert_eq!(l.charge(t0, key, &limits()), Ok(()), "who was never here owes nothing");
        }
        assert!(l.charge(t0, 7, &limits()).is_err(), "60 of a minute are used up");
        assert_eq!(l.size_bytes(), size);
        // One request an hour: each key is at its limit after its first.
        let hourly = [Limit { name: "h".into(), requests: 1, per: Nanos::from_hours(1) }];
        let mut l = Limiter::new(4_096, 1);
        let refused = (1..=10_000).filter(|k| l.charge(t0, *k, &hourly).is_err()).count();
        assert_eq!(refused, 0);
    }
}

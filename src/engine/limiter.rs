//! Exact limits (GCRA) of many keys in bounded memory: each worker's own limits, and those of the ledger that
//! do not fit in a key's state.
//!
//! Memory: fixed, 16 bytes and 8 a limit for each key. A full bucket of eight drops the key whose debts end
//! first, so memory belongs to keys that are near their limits. A new key owes nothing: nobody is refused for
//! another one's use, and a flood of keys with one request each displaces a key only where eight of them owe
//! more than it.
//!
//! Asking and charging are separate steps: a request that any limit refuses is charged to none.

use super::config::Limit;
use super::hash;
use super::sketch::gcra;
use super::units::{Nanos, Wait};

const WAYS: usize = 8;
/// Longest debt of a key: the longest period of a limit. It bounds the effect of one request of very high
/// cost.
pub const LONGEST: Nanos = Nanos::from_hours(24 * 31);

/// Largest delay between two workers' charges of one moment: without a leader, rings hold seconds of them.
const APART: Nanos = Nanos::from_secs(10);

/// Bucket of a key in a profile: different profiles may limit one key differently.
pub fn of_key(key: u64, profile: u8) -> u64 {
    hash::combine(key, u64::from(profile))
}

/// Bucket of all keys of a tenant in a profile.
pub fn of_tenant(tenant: u64, profile: u8) -> u64 {
    hash::combine(hash::combine(tenant, 3), u64::from(profile)).max(1)
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    last: u64,
}

/// The longest of several waits.
pub fn longest(waits: impl Iterator<Item = Wait>) -> Option<Wait> {
    waits.reduce(|a, b| a.longer(Some(b)))
}

/// Theoretical arrival times (GCRA) of the keys that owe most.
#[derive(Debug)]
pub struct Limiter {
    slots: Vec<Slot>,
    tats: Vec<u64>,
    per_key: usize,
    apart: u64,
}

impl Limiter {
    /// Allocates for `capacity` keys (rounded up to a power of two) with up to `per_key` limits each.
    pub fn new(capacity: usize, per_key: usize) -> Limiter {
        let n = capacity.next_power_of_two().max(WAYS);
        Limiter {
            slots: vec![Slot::default(); n],
            tats: vec![0; n.saturating_mul(per_key)],
            per_key,
            apart: 0,
        }
    }

    /// Accepts charges out of time order, as they come from several workers in turn.
    pub fn of_several(self) -> Limiter {
        Limiter { apart: APART.0, ..self }
    }

    /// Makes room for `per_key` limits a key, if there is less. Arrival times stay.
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

    /// Bytes of the table.
    pub fn size_bytes(&self) -> usize {
        self.slots.len().saturating_mul(16).saturating_add(self.tats.len().saturating_mul(8))
    }

    /// The longest wait until a request of `cost` conforms to all `limits`; `None` if it conforms now.
    /// Charges nothing. `first`: index in the profile of the first of `limits`.
    pub fn ask(&mut self, now: Nanos, key: u64, limits: &[Limit], first: u8, cost: u16) -> Option<Wait> {
        let base = self.bucket(key.max(1));
        let ways = self.slots.get(base..base.saturating_add(WAYS))?;
        let way = ways.iter().position(|s| s.key == key.max(1))?;
        let tats = self.renew(now, base.saturating_add(way))?;
        let ask = |(i, (limit, tat)): (u8, (&Limit, &u64))| {
            let wait = Nanos(check(limit, *tat, now, cost).err()?);
            Some(Wait { wait, limit: i })
        };
        longest((first..).zip(limits.iter().zip(tats.iter())).filter_map(ask))
    }

    /// Charges a request of `cost` that is served, whether it conforms or not. Returns the longest wait until
    /// a request of cost one conforms; `None` if it conforms now.
    pub fn charge(&mut self, now: Nanos, key: u64, limits: &[Limit], first: u8, cost: u16) -> Option<Wait> {
        let at = self.place(now, key.max(1))?;
        let tats = self.renew(now, at)?;
        let most = now.plus(LONGEST).0;
        for (limit, tat) in limits.iter().zip(tats.iter_mut()) {
            let cells = u64::from(limit.cells(cost)).saturating_mul(limit.interval().0);
            *tat = (*tat).max(now.0).saturating_add(cells).min(most.max(*tat));
        }
        self.ask(now, key, limits, first, 1)
    }

    /// Charges a request if it conforms to all limits.
    ///
    /// # Errors
    /// It does not conform, and nothing is charged: the longest wait.
    pub fn pass(&mut self, now: Nanos, key: u64, limits: &[Limit], cost: u16) -> Result<(), Wait> {
        self.ask(now, key, limits, 0, cost).map_or(Ok(()), Err)?;
        self.charge(now, key, limits, 0, cost);
        Ok(())
    }

    /// First slot of a key's bucket.
    fn bucket(&self, key: u64) -> usize {
        let buckets = (self.slots.len() / WAYS).max(1);
        (hash::mix(key) as usize & buckets.wrapping_sub(1)).wrapping_mul(WAYS)
    }

    /// A slot's arrival times as of now. If its last request is ahead of now by more than workers are apart, the clock stepped
    /// back, and its arrival times go with it, so that nobody waits for the old time to come again, and nobody's debt is let off.
    fn renew(&mut self, now: Nanos, at: usize) -> Option<&mut [u64]> {
        let slot = self.slots.get_mut(at)?;
        let ahead = slot.last.saturating_sub(now.0);
        let ahead = if ahead > self.apart { ahead } else { 0 };
        slot.last = if ahead > 0 { now.0 } else { slot.last.max(now.0) };
        let from = at.saturating_mul(self.per_key);
        let tats = self.tats.get_mut(from..from.saturating_add(self.per_key))?;
        if ahead > 0 {
            tats.iter_mut().for_each(|tat| *tat = tat.saturating_sub(ahead));
        }
        Some(tats)
    }

    /// The key's slot. A full bucket gives up the key whose debts end first, or else was idle longest.
    fn place(&mut self, now: Nanos, key: u64) -> Option<usize> {
        let base = self.bucket(key);
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
        Some(base.saturating_add(way))
    }
}

/// A request that costs more than the limit holds conforms when nothing else is owed; it is charged in full all the same.
fn check(limit: &Limit, tat: u64, now: Nanos, cost: u16) -> Result<u64, u64> {
    let interval = limit.interval().0;
    let cells = u64::from(limit.cells(cost).min(limit.requests).max(1));
    gcra::check(tat, now.0, interval, limit.per.0.saturating_sub(cells.saturating_mul(interval)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    fn limits() -> Vec<Limit> {
        vec![Limit::new("burst", 60, Nanos::from_secs(60)), Limit::new("daily", 100, Nanos::from_hours(24))]
    }

    #[test]
    fn bursts_stop_and_refill() {
        let mut l = Limiter::new(64, 8);
        let t0 = Nanos::from_secs(1_000_000);
        let passed = (0..100).filter(|_| l.pass(t0, 7, &limits(), 1).is_ok()).count();
        assert_eq!(passed, 60);
        let wait = l.pass(t0, 7, &limits(), 1).unwrap_err().wait;
        assert_eq!(wait, Nanos::from_secs(1));
        assert!(l.pass(t0.plus(wait), 7, &limits(), 1).is_ok());
        assert!(l.pass(t0, 8, &limits(), 1).is_ok(), "keys are independent");
        // The daily limit is the strictest after 100 in all.
        let passed = (0..200u64)
            .filter(|i| l.pass(t0.plus(Nanos::from_secs(10 + i)), 7, &limits(), 1).is_ok())
            .count();
        assert_eq!(passed, 39);
        assert_eq!(l.pass(t0.plus(Nanos::from_secs(300)), 7, &limits(), 1).unwrap_err().limit, 1);
    }

    #[test]
    fn a_limit_more_keeps_what_was_charged() {
        let mut l = Limiter::new(64, 1);
        let (t0, both) = (Nanos::from_secs(1_000_000), limits());
        assert_eq!((0..80).filter(|_| l.pass(t0, 7, &both[..1], 1).is_ok()).count(), 60);
        l.widen(2);
        assert!(l.pass(t0, 7, &both, 1).is_err());
        let t1 = t0.plus(Nanos::from_secs(60));
        assert_eq!((0..80).filter(|_| l.pass(t1, 7, &both, 1).is_ok()).count(), 60);
        l.widen(1);
        assert_eq!(l.pass(t1.plus(Nanos::from_secs(60)), 7, &both, 1), Ok(()));
    }

    #[test]
    fn a_clock_that_steps_back_refuses_nobody_and_lets_no_debt_off() {
        for back in [1, 30, 600, 86_400] {
            let mut l = Limiter::new(64, 2);
            let t0 = Nanos::from_secs(1_000_000);
            assert!(l.pass(t0, 7, &limits(), 1).is_ok());
            (0..60).for_each(|_| assert!(l.pass(t0, 8, &limits(), 1).is_ok()));
            let t1 = t0.since(Nanos::from_secs(back));
            assert_eq!(l.pass(t1, 7, &limits(), 1), Ok(()), "{back}");
            // The quota is used up on the new time line, too, and refills at its rate.
            let wait = l.pass(t1, 8, &limits(), 1).unwrap_err().wait;
            assert_eq!(wait, Nanos::from_secs(1), "{back}");
            assert_eq!(l.pass(t1.plus(wait), 8, &limits(), 1), Ok(()), "{back}");
        }
    }

    #[test]
    fn a_flood_of_keys_refuses_no_newcomer_and_lets_off_no_debtor() {
        let mut l = Limiter::new(8, 8);
        let t0 = Nanos::from_secs(1_000_000);
        let size = l.size_bytes();
        (0..60).for_each(|_| assert!(l.pass(t0, 7, &limits(), 1).is_ok()));
        for key in 1_000..11_000u64 {
            assert_eq!(l.pass(t0, key, &limits(), 1), Ok(()), "who was never here owes nothing");
        }
        assert!(l.pass(t0, 7, &limits(), 1).is_err(), "60 of a minute are used up");
        assert_eq!(l.size_bytes(), size);
        // One request an hour: each key is at its limit after its first.
        let hourly = [Limit::new("h", 1, Nanos::from_hours(1))];
        let mut l = Limiter::new(4_096, 1);
        let refused = (1..=10_000).filter(|k| l.pass(t0, *k, &hourly, 1).is_err()).count();
        assert_eq!(refused, 0);
    }

    #[test]
    fn a_request_of_several_cells_conforms_where_they_do_and_what_is_refused_is_charged_to_none() {
        let t0 = Nanos::from_secs(1_000_000);
        let mut requests = Limit::new("r", 3, Nanos::from_secs(3_600));
        let both = [Limit::new("m", 60, Nanos::from_secs(60)), Limit::new("d", 100, Nanos::from_hours(24))];
        let mut l = Limiter::new(64, 2);
        assert_eq!(l.pass(t0, 7, &both, 50), Ok(()));
        let no = Wait { wait: Nanos::from_secs(1), limit: 0 };
        (0..9).for_each(|_| assert_eq!(l.pass(t0, 7, &both, 11), Err(no), "nine refusals push nothing"));
        assert_eq!(l.pass(t0, 7, &both, 10), Ok(()));
        // Forty are left of the day, and of the minute one a second.
        let t1 = t0.plus(Nanos::from_secs(60));
        let day = Nanos::from_hours(24).0 / 100 - Nanos::from_secs(60).0;
        assert_eq!(l.pass(t1, 7, &both, 41), Err(Wait { wait: Nanos(day), limit: 1 }));
        assert_eq!(l.pass(t1, 7, &both, 40), Ok(()));
        // More than the limit holds: when nothing is owed, and in full.
        let three = [requests.clone()];
        assert_eq!(l.pass(t0, 8, &three, 5), Ok(()));
        assert_eq!(l.pass(t0, 8, &three, 1), Err(Wait { wait: Nanos::from_secs(3_600), limit: 0 }));
        assert_eq!(l.pass(t0.plus(Nanos::from_secs(3_600)), 8, &three, 1), Ok(()));
        assert_eq!(l.pass(t0, 9, &three, u16::MAX), Ok(()));
        let wait = l.pass(t0, 9, &three, 1).unwrap_err().wait;
        assert!(wait < LONGEST && wait > Nanos::from_hours(24 * 30), "{wait:?}");
        // By requests each is one.
        requests.cost = crate::engine::config::Cost::Requests;
        let passed = (0..5).filter(|_| l.pass(t0, 10, &[requests.clone()], 1_000).is_ok()).count();
        assert_eq!(passed, 3);
    }
}

//! Since when keys and tenants have been refused by their limits. The replies to the first refusals of a
//! burst are delayed until the ledger has heard what every worker served of it.
//!
//! Memory: 256 entries of 24 bytes, overwritten. A key whose entry is lost starts again: its next refusal is
//! delayed once more.

use crate::engine::hash;
use crate::engine::units::Nanos;

const PLACES: usize = 256;

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    id: u64,
    /// Time of the first refusal, nanoseconds of the host's clock.
    since: u64,
    /// End of the longest wait that was told.
    until: Nanos,
}

/// The entries.
#[derive(Debug)]
pub struct Refusals(Vec<Place>);

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals(vec![Place::default(); PLACES])
    }
}

impl Refusals {
    /// Bytes.
    pub fn size_bytes(&self) -> usize {
        self.0.len().saturating_mul(std::mem::size_of::<Place>())
    }

    fn place(&mut self, id: u64) -> Option<&mut Place> {
        let n = self.0.len();
        self.0.get_mut((hash::mix(id) as usize).checked_rem(n)?)
    }

    /// Records a refusal at host time `at`, with the known wait. Returns the time of the first refusal since
    /// the id was last served.
    pub fn since(&mut self, now: Nanos, at: u64, id: u64, wait: Nanos) -> u64 {
        let Some(place) = self.place(id) else { return at };
        if place.id != id || now >= place.until {
            *place = Place { id, since: at, until: now };
        }
        // (The host's clock may have been set back.)
        place.since = place.since.min(at);
        place.until = place.until.max(now.plus(wait));
        place.since
    }

    /// Records that the id was served.
    pub fn end(&mut self, id: u64) {
        if let Some(place) = self.place(id).filter(|p| p.id == id) {
            *place = Place::default();
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_refused_since_its_first_refusal_after_it_was_served() {
        let mut r = Refusals::default();
        let (t, s) = (Nanos::from_secs(1_000), Nanos::from_secs);
        assert_eq!(r.since(t, 50, 1, s(3)), 50);
        assert_eq!(r.since(t.plus(s(2)), 70, 1, s(9)), 50);
        assert_eq!(r.since(t.plus(s(5)), 90, 1, s(1)), 50, "within the longer wait");
        assert_eq!(r.since(t.plus(s(11)), 95, 1, s(1)), 95, "after it");
        assert_eq!(r.since(t.plus(s(11)), 90, 1, s(1)), 90, "a clock that was set back");
        r.end(1);
        assert_eq!(r.since(t.plus(s(11)), 99, 1, s(1)), 99);
        r.end(2);
        assert_eq!(r.since(t.plus(s(11)), 100, 1, s(1)), 99, "another was served");
    }

    #[test]
    fn memory_is_fixed_and_a_flood_of_keys_begins_anew() {
        let mut r = Refusals::default();
        let size = r.size_bytes();
        assert_eq!(size, 6_144);
        for id in 0..100_000 {
            assert_eq!(r.since(Nanos::from_secs(9), id, id, Nanos::from_secs(5)), id);
        }
        assert_eq!(r.size_bytes(), size);
    }
}

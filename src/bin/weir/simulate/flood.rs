//! Requests of made-up credentials beside a scenario: each key and each text occurs once. They are in no
//! count; they fill tables.

use super::rng::Rng;
use super::world::START_S;
use weir::engine::edge::extract::Extracted;
use weir::engine::observation::{Few, Observation};
use weir::engine::units::Nanos;
use weir::engine::value::KeyId;

/// The requests of a run in order of time, at an even rate.
pub struct Flood {
    per_s: f64,
    seed: u64,
    sent: u64,
}

impl Flood {
    pub fn new(per_s: f64, seed: u64) -> Flood {
        Flood { per_s, seed: seed ^ 0x66_6c6f_6f64, sent: 0 }
    }

    /// The next request, if it is due at `now`.
    pub fn due(&mut self, now: Nanos) -> Option<Extracted> {
        let past_s = now.0.saturating_sub(START_S * 1_000_000_000) as f64 / 1e9;
        if self.sent as f64 >= past_s * self.per_s {
            return None;
        }
        let mut rng = Rng::at(self.seed, self.sent, 0);
        self.sent += 1;
        let (key, user) = (rng.u64() | 1, rng.u64());
        let mut x = Extracted { key: KeyId(key), ..Extracted::default() };
        // The values of a text have their two highest bits clear, as those of the extractor do.
        x.values = (0..8).map(|_| rng.u64() >> 2).collect();
        x.obs = Observation {
            time: now,
            key,
            cost: 1,
            value_count: 10,
            exact: rng.u64(),
            last_user: user,
            first_user: user,
            anchors: Few::of(x.values.iter().copied()),
            ..Observation::default()
        };
        x.values.sort_unstable();
        Some(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn as_many_as_are_due_and_no_key_twice() {
        let mut flood = Flood::new(10.0, 1);
        let mut keys = HashSet::new();
        let now = Nanos((START_S + 60) * 1_000_000_000);
        while let Some(x) = flood.due(now) {
            assert!(keys.insert(x.obs.key) && x.obs.time == now);
        }
        assert_eq!(keys.len(), 600);
        assert!(Flood::new(0.0, 1).due(now).is_none());
    }
}

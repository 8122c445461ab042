//! Counts of requests that the hub's ledger would have blocked, by profile, since this hub became active. At
//! most 65 profiles.
//!
//! A proxy reports its decisions as if they were enforced; the profile's mode, in this hub's configuration,
//! says what was done. With `enforce_percent` below 100 the blocked ones include requests of keys that were
//! not enforced.

use weir::engine::observation::{Observation, SERVED};
use weir::engine::outcome::Outcome;
use weir::engine::verdict::Mode;

/// Profiles: the default one and 64 others.
const PROFILES: usize = 65;

/// Counts of one profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Requests that the proxy decided otherwise: it did not know yet.
    unknown: u64,
    /// Requests that the proxy decided the same, or left to its ledger.
    known: u64,
}

impl Blocks {
    /// Requests that would have been blocked and passed, and requests that were blocked.
    pub fn by(self, mode: Mode) -> (u64, u64) {
        match mode {
            Mode::Enforce => (self.unknown, self.known),
            Mode::Off | Mode::Shadow => (self.unknown.saturating_add(self.known), 0),
        }
    }
}

/// Counts by profile.
#[derive(Clone, Debug)]
pub struct Judged([Blocks; PROFILES]);

impl Default for Judged {
    fn default() -> Judged {
        Judged([Blocks::default(); PROFILES])
    }
}

impl Judged {
    pub fn note(&mut self, o: &Observation, said: &Outcome) {
        let Some(b) = self.0.get_mut(usize::from(o.profile)).filter(|_| said.block) else { return };
        let n = if o.flags & SERVED != 0 { &mut b.unknown } else { &mut b.known };
        *n = n.saturating_add(1);
    }

    pub fn of(&self, profile: usize) -> Blocks {
        self.0.get(profile).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_blocked_is_told_from_what_was_by_the_profiles_mode() {
        let mut j = Judged::default();
        let block = Outcome { block: true, ..Outcome::default() };
        let of = |profile, flags| Observation { profile, flags, ..Observation::default() };
        j.note(&of(1, SERVED), &block);
        j.note(&of(1, weir::engine::observation::REFUSED), &block);
        j.note(&of(1, 0), &block);
        j.note(&of(1, SERVED), &Outcome::default());
        // A profile that no configuration has.
        j.note(&of(255, 0), &block);
        assert_eq!((j.of(1).by(Mode::Enforce), j.of(1).by(Mode::Shadow)), ((1, 2), (3, 0)));
        assert_eq!((j.of(0), j.of(255)), (Blocks::default(), Blocks::default()));
    }
}

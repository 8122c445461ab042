//! Which creation times of accounts are possible.

use crate::engine::units::Nanos;

/// Earliest creation of an account: 2010-01-01, seconds since the epoch. There was no model before.
pub const EARLIEST_S: u64 = 1_262_304_000;
/// Largest lead of a clock that writes creation times, seconds.
pub const AHEAD_S: u64 = 86_400;

/// True if an account may have been created at this time.
pub fn is_possible(created: Nanos, now: Nanos) -> bool {
    (EARLIEST_S..=now.secs().saturating_add(AHEAD_S)).contains(&created.secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_younger_than_models_and_not_of_the_future() {
        let (now, day) = (Nanos::from_secs(1_777_629_600), 86_400);
        for (created, possible) in [
            (EARLIEST_S, true),
            (EARLIEST_S.saturating_sub(1), false),
            (now.secs(), true),
            (now.secs().saturating_add(day), true),
            (now.secs().saturating_add(day).saturating_add(1), false),
            (0, false),
        ] {
            assert_eq!(is_possible(Nanos::from_secs(created), now), possible, "{created}");
        }
    }
}

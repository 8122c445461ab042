//! Limits: a rate with a burst.  Guarantee: over any span t at most burst + t/T cells pass (T = emission interval), and a
//! cell that was refused conforms after exactly the time told.  Memory: one timestamp.  Cost: a few additions.
//! Source: GCRA, ITU-T I.371.  Not for: sharing one quota between unsynchronised counters.

/// The state is the theoretical arrival time `tat`. `Ok(new tat)`, or `Err(wait)` until the cell would conform.
///
/// # Errors
/// The cell does not conform; nothing is charged.
pub fn check(tat: u64, now: u64, emission_interval: u64, burst_tolerance: u64) -> Result<u64, u64> {
    let tat = tat.max(now);
    let early = tat.saturating_sub(now);
    if early > burst_tolerance {
        return Err(early.saturating_sub(burst_tolerance));
    }
    Ok(tat.saturating_add(emission_interval))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // The slow twin: a bucket of `burst` cells that drains one cell every T.
        #[test]
        fn agrees_with_a_leaky_bucket(gaps in prop::collection::vec(0u64..40, 1..200), t in 1u64..20, burst in 1u64..10) {
            let (mut tat, mut now, mut level, mut last) = (0u64, 1_000u64, 0u64, 1_000u64);
            for gap in gaps {
                now += gap;
                level = level.saturating_sub(now - last);
                last = now;
                let room = level + t <= burst * t;
                match check(tat, now, t, (burst - 1) * t) {
                    Ok(next) => {
                        prop_assert!(room);
                        tat = next;
                        level += t;
                    }
                    Err(wait) => {
                        prop_assert!(!room);
                        prop_assert!(check(tat, now + wait, t, (burst - 1) * t).is_ok());
                        prop_assert!(wait == 1 || check(tat, now + wait - 1, t, (burst - 1) * t).is_err());
                    }
                }
            }
        }
    }
}

//! Is the template the campaign's alone, or do others live by it, too? Asked of all requests, not only of a panel's keys.
//!
//! Honest users tell themselves from a campaign's accounts in a share `sign` (`Fitted`) of their requests at least: they follow up, repeat
//! somebody, or are old. Two explanations of the number of signs compete: the campaign is alone but for passers-by (signs in at
//! most one request of `1/PASSING`), or a share of its requests, any share, is honest. Most templates of campaigns are nobody
//! else's (`ALONE`). The answer is the share of honest keys to be reckoned with.

use crate::engine::math::{clamp, exp, ln};

/// Before anything is known, so many templates of campaigns are theirs alone.
const ALONE: f64 = 0.9;
/// Share of requests with signs in a template that is the campaign's alone, at most: its own accidents and passers-by.
const PASSING: f64 = 0.002;
/// Honest keys in a template that is the campaign's alone: passers-by whose first request looks like a campaign's.
const FEW: f64 = 1.0e-4;

/// Probable share of honest keys, given `signs` among `requests`, a panel's share where it sees such keys, and what the panel says
/// (nats) for there being any. `sign`: see `Fitted`.
pub fn honest_share(sign: f64, signs: u32, requests: u32, panel: Option<f64>, nats: f64) -> f64 {
    let (c, m) = (f64::from(signs) + 1.0, f64::from(requests).max(1.0));
    // P(a gamma variable of shape c is below the accidents allowed), by a logistic curve.
    let z = (PASSING * m + 1.0 - c) / c.sqrt();
    let accidents = 1.0 / (1.0 + exp(-1.7 * z));
    let alone = ln(ALONE / (1.0 - ALONE)) + ln(sign / PASSING) + ln(accidents.max(1.0e-30)) - nats.max(0.0);
    let shared = 1.0 / (1.0 + exp(clamp(alone, -60.0, 60.0)));
    let among = panel.unwrap_or(c / (sign * m)).min(0.999);
    (shared * among + (1.0 - shared) * FEW).max(1.0e-6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_tell_a_template_that_is_shared() {
        let odds = |signs, requests| 1.0 / honest_share(0.2, signs, requests, None, 0.0);
        assert!(
            odds(0, 1_000) > 1_000.0 && odds(2, 1_000) > 1_000.0,
            "{} {}",
            odds(0, 1_000),
            odds(2, 1_000)
        );
        assert!(odds(20, 25_000) > 3_000.0, "passers-by");
        assert!(
            odds(30, 1_000) < 10.0 && odds(200, 10_000) < 12.0,
            "{} {}",
            odds(30, 1_000),
            odds(200, 10_000)
        );
        assert!(odds(300, 25_000) < 20.0);
        // What the panel sees counts, too.
        assert!(1.0 / honest_share(0.2, 0, 1_000, Some(0.1), 12.0) < 20.0);
    }
}

//! Constants that were fitted, in one place: laws of follow-ups, repeats and ages, honest and not.
//!
//! Fitted 2026-11-28 by `make fit` (see `tests/detection/README.md`); `make leave-one-out` fits them without each
//! honest class and judges that class.

use super::counts::Share;

/// Follow-ups of keys that do not converse: by accident, or in passing.
pub const SILENT: Share = Share::new(0.0075, 40.0);
/// Laws of keys that converse, from a few follow-ups to mostly follow-ups; alike and not.
pub const TALKERS: [Share; 8] = [
    Share::new(0.1, 2.0),
    Share::new(0.1, 14.0),
    Share::new(0.25, 2.0),
    Share::new(0.25, 14.0),
    Share::new(0.5, 2.0),
    Share::new(0.5, 14.0),
    Share::new(0.8, 3.0),
    Share::new(0.8, 20.0),
];
/// Repeats of keys that ask what nobody asked before, but by accident.
pub const NOVEL: Share = Share::new(0.0075, 40.0);
/// Repeats of keys that do what others do, too: lessons, evaluations, retries.
pub const REPEATERS: [Share; 4] =
    [Share::new(0.07, 6.0), Share::new(0.2, 4.0), Share::new(0.5, 3.0), Share::new(0.85, 6.0)];
/// Share of young keys among honest users whose ages are known, where a template has not shown its own.
pub const YOUNG: f64 = 0.3;
/// ... and how many keys that is worth.
pub const YOUNG_WEIGHT: f64 = 4.0;
/// Share of an honest user's requests that tell him from a campaign's account: he follows up, repeats somebody, or is old.
pub const SIGN: f64 = 0.2;

//! Numbers that were fitted, in one place: laws of follow-ups, repeats, ages, hours and pace, of honest and
//! of campaign keys.
//!
//! `weir simulate --fit` measures them on keys whose class the simulator knows. `weir simulate
//! --leave-one-out` fits them without each honest family and judges that family. Both are reported in
//! `tests/detection/README.md`.

use crate::engine::beta_binomial::Share;

/// Placeholder in a hypothesis' list of laws: `Fitted::silent` is used there.
pub const SILENT: Share = Share::RARE;
/// The same for `Fitted::novel`.
pub const NOVEL: Share = Share::RARE;
/// Laws of keys that converse, from few follow-ups to mostly follow-ups, each with high and low precision.
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
/// Laws of repeats of keys that send the same texts as others: lessons, evaluations, retries.
pub const REPEATERS: [Share; 4] =
    [Share::new(0.07, 6.0), Share::new(0.2, 4.0), Share::new(0.5, 3.0), Share::new(0.85, 6.0)];

/// Prior laws of a template's users: those of the whole honest population, and of a campaign's accidental
/// follow-ups and repeats. A configuration cannot set them, because values fitted to one day of one
/// deployment would soon be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// Share of young keys among honest users of known age.
    pub young: f64,
    /// Weight of `young` as a prior, in keys (precision between families).
    pub young_weight: f64,
    /// Share of follow-ups in an honest user's requests with a template. A template's own mean replaces this
    /// one's; the precision stays.
    pub talk: Share,
    /// Share of repeats in an honest user's openings.
    pub repeats: Share,
    /// Share of a template in an honest user's openings since the first that carried it.
    pub devoted: Share,
    /// Share of honest users that sleep.
    pub sleep: f64,
    /// Weight of `sleep` as a prior, in keys.
    pub sleep_weight: f64,
    /// Probability that an honest user stops after a visit.
    pub stop: f64,
    /// How alike honest users' rates are: shape of their gamma distribution.
    pub shape: f64,
    /// Largest shape that is believed when measured on one template's honest users, which are a biased
    /// sample.
    pub shape_most: f64,
    /// Share of an honest user's requests that tell him from a campaign's account: follow-ups, repeats,
    /// openings of an old key.
    pub sign: f64,
    /// Share of follow-ups of a campaign's keys.
    pub silent: Share,
    /// Share of repeats of a campaign's keys.
    pub novel: Share,
}

impl Default for Fitted {
    /// As of 2026-11-28: set by hand with the redesign of the judging. `weir simulate --fit` of that day gave others, which were
    /// not taken because `S16` and `E-launch` got worse: both columns are in `tests/detection/README.md`.
    fn default() -> Fitted {
        Fitted {
            young: 0.3,
            young_weight: 4.0,
            talk: Share::new(0.25, 1.5),
            repeats: Share::new(0.1, 2.0),
            devoted: Share::new(0.4, 1.5),
            sleep: 0.875,
            sleep_weight: 8.0,
            stop: 0.1,
            shape: 0.6,
            shape_most: 0.7,
            sign: 0.2,
            silent: Share::new(0.0075, 40.0),
            novel: Share::new(0.0075, 40.0),
        }
    }
}

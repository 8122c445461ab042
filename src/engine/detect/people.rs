//! People: they stay, but how much they send differs widely between keys. Agents, apps, chat, editors, back
//! ends.

use super::coming::Range;
use super::hypothesis::{Hypothesis, nothing};
use crate::engine::beta_binomial::Share;
use crate::engine::config::fitted::{NOVEL, REPEATERS, SILENT, TALKERS};

/// Laws of people's follow-ups: any share.
pub const TALK: &[Share] =
    &[SILENT, TALKERS[0], TALKERS[1], TALKERS[2], TALKERS[3], TALKERS[4], TALKERS[5], TALKERS[6], TALKERS[7]];
/// Laws of people's repeats: any share.
pub const REPEATS: &[Share] = &[NOVEL, REPEATERS[0], REPEATERS[1], REPEATERS[2], REPEATERS[3]];
/// Shares of people's keys that sleep; their back ends may not.
pub const SLEEP: &[f64] = &[0.02, 0.5, 0.97];

/// The people hypothesis. Shapes up to 1.5 are coefficients of variation of 0.8 and more.
pub static PEOPLE: Hypothesis = Hypothesis {
    name: "people",
    coming: Range { stops: &[0.0005, 0.03, 0.1], shapes: &[0.35, 0.8, 1.5] },
    talk: TALK,
    repeats: REPEATS,
    alike: &[1.5],
    sleep: SLEEP,
    young: &[],
    besides: nothing,
};

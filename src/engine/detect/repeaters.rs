//! Repeaters: keys send the same texts as each other. Evaluations, continuous integration, lessons, paid
//! annotation, retries.

use super::coming::Range;
use super::hypothesis::{Hypothesis, nothing};
use super::people;
use crate::engine::config::fitted::REPEATERS;

/// Laws of `coming` for honest keys that are alike: any pace.
pub const ALIKE: Range = Range { stops: &[0.0005, 0.015, 0.05, 0.15], shapes: &[2.0, 8.0, 40.0] };

/// The repeaters hypothesis.
pub static REPEATING: Hypothesis = Hypothesis {
    name: "repeaters",
    coming: ALIKE,
    talk: people::TALK,
    repeats: &REPEATERS,
    alike: &[1.5, 20.0],
    sleep: people::SLEEP,
    young: &[],
    besides: nothing,
};

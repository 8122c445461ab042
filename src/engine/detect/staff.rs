//! Staff: they stay, send alike within a factor of ten, sleep, and follow up. Roll-outs, classes, support
//! desks.

use super::hypothesis::{Hypothesis, nothing};
use super::people;
use super::repeaters::ALIKE;
use crate::engine::config::fitted::TALKERS;

/// The staff hypothesis.
pub static STAFF: Hypothesis = Hypothesis {
    name: "staff",
    coming: ALIKE,
    talk: &TALKERS,
    repeats: people::REPEATS,
    alike: &[1.5, 20.0],
    sleep: &[0.5, 0.97],
    young: &[],
    besides: nothing,
};

//! Visitors: each tries it a few times and stops. Viral prompts, tutorials, hackathons, launches.

use super::coming::Range;
use super::hypothesis::{Hypothesis, nothing};
use super::people;

/// The visitors hypothesis.
pub static VISITORS: Hypothesis = Hypothesis {
    name: "visitors",
    coming: Range { stops: &[0.15, 0.3, 0.7], shapes: &[0.4, 1.5, 8.0] },
    talk: people::TALK,
    repeats: people::REPEATS,
    alike: &[1.5],
    sleep: people::SLEEP,
    young: &[],
    besides: nothing,
};

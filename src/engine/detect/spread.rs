//! D. Hypothesis: the value is spread over many keys. Two users who share a prompt are nobody's campaign.

use super::{Signal, View};
use crate::engine::config::Campaign;
use crate::engine::math;

/// -60..30 points: six for each doubling above 24 keys.
pub fn score(view: &View<'_>, _: &Campaign) -> Signal {
    Signal::points(math::clamp(6.0 * math::log2(view.distinct.max(1.0) / 24.0), -60.0, 30.0))
}

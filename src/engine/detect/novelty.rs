//! N. Hypothesis: nobody ever asks the same twice. Classes of students, evaluation runs and retries do.

use super::{Signal, View, share};
use crate::engine::config::Campaign;
use crate::engine::math;

/// -60..30 points by the share of openings whose text nobody had sent before.
pub fn score(view: &View<'_>, _: &Campaign) -> Signal {
    let nov = share(view.group.novel, view.group.single);
    Signal::points(math::clamp(30.0 * (nov - 0.75) / 0.25, -60.0, 30.0))
}

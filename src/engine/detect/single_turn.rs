//! S. Hypothesis: nobody follows up. A training pair needs no conversation.

use super::{Signal, View, share};
use crate::engine::config::Campaign;
use crate::engine::math;

/// -10..15 points by the share of requests that open a conversation.
pub fn score(view: &View<'_>, _: &Campaign) -> Signal {
    let s = share(view.group.single, view.group.total);
    Signal::points(math::clamp(15.0 * (s - 0.5) / 0.5, -10.0, 15.0))
}

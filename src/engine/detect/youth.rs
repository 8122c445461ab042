//! Y. Hypothesis: the keys were made for this. A popular template has old users.

use super::{Signal, View};
use crate::engine::config::Campaign;

/// -60..50 points by the share of keys that were young when they first touched the group.
pub fn score(view: &View<'_>, _: &Campaign) -> Signal {
    let y = view.young_share() - 0.5;
    Signal::points(y * if y >= 0.0 { 100.0 } else { 120.0 })
}

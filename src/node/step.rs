//! Context of the leader's work in one callback.

use super::{Cells, Counts};
use crate::engine::config::Config;

/// The policy, its cells and counters, and the time.
#[allow(missing_debug_implementations, reason = "it holds the host's cells")]
pub struct Step<'a> {
    /// The policy's configuration.
    pub config: &'a Config,
    /// Start of the names of the policy's cells.
    pub prefix: &'a str,
    /// The policy's cells.
    pub cells: &'a mut dyn Cells,
    /// Counters to update.
    pub counts: &'a mut Counts,
    /// Start of the callback, nanoseconds of the monotonic clock.
    pub mono: u64,
}

//! The ledger's answer to one request. What an edge does about it: see `edge::decide`.

use super::verdict::{Evidence, Reason};
use crate::engine::units::Wait;

/// The answer of the ladder to one observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// True if campaign evidence blocks the request.
    pub block: bool,
    /// The wait, if a limit is exceeded over all workers together.
    pub overdrawn: Option<Wait>,
    /// Bucket of the template budget that the request is charged to, 0 if none (`value::bucket`).
    pub budget: u64,
    /// True if the request is tagged for the upstream and in reports, and otherwise served.
    pub watch: bool,
    /// Reason of `block` or `watch`.
    pub reason: Reason,
    /// Campaign number, 0 if none.
    pub campaign: u32,
    /// Figures.
    pub evidence: Evidence,
}

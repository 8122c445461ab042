//! What the ledger says of one request; what an edge does about it is `edge::decide`.

use super::verdict::{Evidence, Reason};
use crate::engine::units::Wait;

/// What the ladder says of one observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Block (campaign evidence), or only watch.
    pub block: bool,
    /// A limit is exceeded over all workers together.
    pub over: Option<Wait>,
    /// Bucket of the template's budget that the request is charged to, 0 if none (see `bucket`).
    pub budget: u64,
    /// Mark for the upstream and the reports, no other effect.
    pub watch: bool,
    /// Why.
    pub reason: Reason,
    /// Campaign number, 0 if none.
    pub campaign: u32,
    /// Figures.
    pub evidence: Evidence,
}

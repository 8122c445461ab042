//! The verdict on a key: how its own facts multiply the odds that it belongs to a campaign.
//!
//! One pure function of a key's facts, what its request matched, and the published numbers of the case. The
//! ledger calls it with all that it knows of the key, an edge with a key that the ledger has no state of.
//! Odds are natural logarithms (nats). Each factor is P(fact | campaign's key) / P(fact | honest user of this
//! template), bounded so that no single fact decides.

mod facts;
mod odds;

pub use facts::{Facts, Pieces};
pub use odds::{FACTORS, Odds, odds};

use crate::engine::math::ln;

/// What follows from the odds, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ruling {
    /// Odds below the watch threshold.
    Allow,
    /// Tag: odds at a tenth of `block_odds` or above.
    Watch,
    /// Block: odds at `block_odds` or above.
    Block,
}

/// The rule: block at odds of `block_odds` to one, watch at a tenth of that.
pub fn rule(odds: &Odds, block_odds: u32) -> Ruling {
    ruling(odds.nats(), block_odds)
}

/// The same for odds in nats.
pub fn ruling(nats: f64, block_odds: u32) -> Ruling {
    let need = ln(f64::from(block_odds.max(1)));
    match nats {
        n if n >= need => Ruling::Block,
        n if n >= need - ln(10.0) => Ruling::Watch,
        _ => Ruling::Allow,
    }
}

//! The second question, of a key: how do its own facts multiply the odds that it is one of the campaign's?
//!
//! One pure function over (facts of a key, what its request matched, what is published of the case), called by the ledger with
//! all that it knows and by an edge with a key that nobody has seen before. Odds are kept as natural logarithms (nats); each
//! factor is P(fact | campaign's key) / P(fact | honest user of this template), bounded so that no single fact decides.

mod facts;
mod odds;

pub use facts::{Facts, Pieces};
pub use odds::{FACTORS, Odds, odds};

use crate::engine::math::ln;

/// What follows from the odds, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ruling {
    /// Nothing.
    Allow,
    /// A tag: a tenth of the odds that block.
    Watch,
    /// A block.
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

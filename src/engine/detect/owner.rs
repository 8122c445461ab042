//! One owner: the keys share an egress. Workers, ingestion, back ends of a service.
//!
//! The keys first came from at most three address prefixes, but for one in twenty: somebody's own machine, or
//! a worker that was moved. An owner has at most `campaign.fleet_cap` keys, like a fleet; a campaign of
//! thousands behind one prefix is no owner.

use super::coming::{MOST, Weights};
use super::fleet::MACHINES;
use super::hypothesis::Hypothesis;
use super::keys::Keys;
use crate::engine::config::Campaign;
use crate::engine::sort::sort;

/// The one-owner hypothesis.
pub static OWNER: Hypothesis = Hypothesis { name: "one owner", besides: few_homes, ..MACHINES };

/// If more than this share of all other keys has the same address prefixes, they are no evidence.
const COMMON: f64 = 0.2;
/// Largest number of address prefixes of one owner.
const HOMES: usize = 3;
/// Nats of a key whose home is one of them: ln of 1/3 against about 1/20.
const EACH: f64 = 2.0;
/// Nats against an owner of a key whose home is another: ln of one in twenty.
const AWAY: f64 = 3.0;

fn few_homes(keys: &Keys<'_>, weights: &Weights, c: &Campaign) -> f64 {
    let mut homes = [0u16; MOST];
    let mut n = 0usize;
    for (slot, s) in homes.iter_mut().zip(keys.meant(weights).filter(|s| s.home != 0)) {
        *slot = s.home;
        n = n.saturating_add(1);
    }
    if n < 12 || keys.distinct * n as f64 / keys.len() as f64 > f64::from(c.fleet_cap) {
        return f64::MIN / 4.0;
    }
    let homes = homes.get_mut(..n).unwrap_or_default();
    sort(homes);
    let mut most = [(0usize, 0u16); HOMES];
    for run in homes.chunk_by(|a, b| a == b) {
        let mut left = (run.len(), run.first().copied().unwrap_or(0));
        for m in &mut most {
            if left > *m {
                std::mem::swap(m, &mut left);
            }
        }
    }
    let of_owner = most.iter().fold(0usize, |sum, m| sum.saturating_add(m.0));
    // Share of other keys with the same homes: all of them behind a load balancer.
    let theirs = keys.distinct * n as f64 / keys.len() as f64;
    let others = keys.homes.share(&most.map(|m| m.1), theirs, theirs);
    if others > COMMON {
        return f64::MIN / 4.0;
    }
    EACH * of_owner as f64 - AWAY * n.saturating_sub(of_owner) as f64
}

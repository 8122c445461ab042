//! Bursts: keys of one octave of load that never sleep and were made within a few days of each other.
//!
//! Contract: looks at a panel of everybody young of the octave, answers when the births lie and what load they share. Why a
//! window of births: honest accounts of one age range arrive evenly, a campaign's are bought or registered together.
//! Cost: one sort of at most a panel. Not a term of the score: profiles are judged by this alone.

use super::{Keys, load};
use crate::engine::config::Campaign;
use crate::engine::ledger::groups::Sample;
use crate::engine::ledger::panels::KEYS;

/// Keys of a load profile that were made in one burst.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// Ages of the oldest and the youngest key of the burst, ticks.
    pub oldest: u32,
    /// See `oldest`.
    pub youngest: u32,
    /// Their common load, requests a tick.
    pub lam: f64,
}

/// Longest burst, ticks: five days.
const BURST_TICKS: u32 = 720;

/// Is there a burst among the young keys of one octave of load (those with enough openings to tell)? Two signals that do not
/// follow from each other: half of these keys never sleep, where people's do, and 70 % of those were made within five days
/// of a young account's fourteen.
pub fn burst(keys: Keys<'_>, tick: u16, c: &Campaign) -> Option<Burst> {
    let mut queue = [Sample::default(); KEYS];
    let mut n = 0usize;
    for (slot, s) in queue.iter_mut().zip(keys.items.iter().filter(|s| s.automatic())) {
        *slot = *s;
        n = n.saturating_add(1);
    }
    let queue = queue.get(..n).unwrap_or_default();
    let share = n as f64 / keys.items.len().max(1) as f64;
    if n < 96 || share < 0.5 || keys.distinct * share < f64::from(c.profile_min) {
        return None;
    }
    let mut ages = [0u32; KEYS];
    ages.iter_mut().zip(queue).for_each(|(a, s)| *a = s.birth_ago(tick));
    let ages = ages.get_mut(..n)?;
    ages.sort_unstable();
    let need = n.saturating_mul(7) / 10;
    let window = ages.windows(need.max(1)).min_by_key(|w| span(w))?;
    if span(window) > BURST_TICKS {
        return None;
    }
    // The densest 70 % may leave out the ends of the same burst.
    let slack = (span(window) / 4).max(36);
    let (youngest, oldest) = (*window.first()?, *window.last()?);
    Some(Burst {
        oldest: oldest.saturating_add(slack),
        youngest: youngest.saturating_sub(slack),
        lam: load::key_rate(queue, tick),
    })
}

fn span(ages: &[u32]) -> u32 {
    match (ages.first(), ages.last()) {
        (Some(a), Some(b)) => b.saturating_sub(*a),
        _ => 0,
    }
}

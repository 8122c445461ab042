//! Template budgets: what unproven keys may send together of a template that is suspicious but not decided.
//!
//! A value is suspicious if it is under watch, if its keys are young and never come back (`Group::is_passing`), or if it is
//! confirmed and the rule does not block the key. A key is proven if it was never blocked, and is known to be old, or has
//! sent five requests of something else, or follows up. "Something else" is a request of whose values none has a large
//! sample, so a campaign's first requests do not prove its keys.
//!
//! Each worker holds the whole budget of a template (GCRA) and acts at once; here is the total over all workers, charged
//! with what they have let through. What went beyond is owed: the bucket is published with the keys over a limit (`overdrawn`)
//! until it is paid off. Over any time t at most `requests + requests * t / per` requests pass, and once more what arrives
//! within the publication delay (200 ms) after the budget is used up. Memory: 1,024 buckets of 16 bytes and a byte a key.
//! Not saved: a restart begins with full budgets, and keys prove themselves again.

use crate::engine::config::{Config, Limit};
use crate::engine::hash;
use crate::engine::sketch::gcra;
use crate::engine::tables::keys::KeyState;
use crate::engine::tables::quota::Debt;
use crate::engine::units::Nanos;

const BUCKETS: usize = 1_024;
const WAYS: usize = 8;
/// Requests of something else that prove a key.
const OTHERS: u8 = 5;
/// Bit of a key's mark: the key was published as proven.
const PROVEN: u8 = 0x80;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    id: u64,
    tat: u64,
}

/// Template budgets by profile, and their buckets, charged over all workers.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    of: Vec<Option<Limit>>,
    buckets: Vec<Bucket>,
    version: u64,
}

impl Budgets {
    /// Sets the budgets of a configuration. What the buckets were charged stays.
    pub(super) fn configure(&mut self, config: &Config) {
        self.of = config.profiles.iter().map(|p| p.actions.budget.map(|b| b.limit())).collect();
        self.buckets.resize(if self.exist() { BUCKETS } else { 0 }, Bucket::default());
        self.version = self.version.wrapping_add(1);
    }
    /// True if any profile has a budget.
    pub(super) fn exist(&self) -> bool {
        self.of.iter().any(Option::is_some)
    }
    pub(super) fn size_bytes(&self) -> usize {
        self.buckets.len().saturating_mul(std::mem::size_of::<Bucket>())
    }
    /// A number that changes with the configuration. Suspicious values are published only where there are
    /// budgets.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
    /// True if this profile has a budget.
    pub(super) fn has(&self, profile: u8) -> bool {
        self.of.get(usize::from(profile)).is_some_and(Option::is_some)
    }
    /// Charges a request that was served. Returns the bucket and its debt if the next request would not
    /// conform.
    pub(super) fn pay(&mut self, id: u64, profile: u8, now: Nanos) -> Option<(u64, Debt)> {
        let limit = self.of.get(usize::from(profile)).cloned().flatten()?;
        let id = hash::combine(id, u64::from(profile));
        let until = self.charge(id, &limit, now)?;
        Some((id, Debt { limit: 0, until }))
    }
    /// Charges one request. Returns when the next one conforms, if not now. A full set drops the bucket that
    /// owes least.
    fn charge(&mut self, id: u64, limit: &Limit, now: Nanos) -> Option<Nanos> {
        let interval = limit.per.0.checked_div(u64::from(limit.requests)).unwrap_or(limit.per.0);
        let base = (hash::mix(id) as usize % (BUCKETS / WAYS)).saturating_mul(WAYS);
        let ways = self.buckets.get_mut(base..base.saturating_add(WAYS))?;
        let at = ways.iter().position(|b| b.id == id);
        let at = at.or_else(|| (0..WAYS).min_by_key(|i| ways.get(*i).map_or(0, |b| b.tat)))?;
        let b = ways.get_mut(at)?;
        if b.id != id {
            *b = Bucket { id, tat: 0 };
        }
        // Two windows of debt at most: the clock may step back.
        let most = now.0.saturating_add(limit.per.0.saturating_mul(2));
        let tolerance = limit.per.0.saturating_sub(interval);
        b.tat = b.tat.max(now.0).saturating_add(interval).min(most);
        let wait = gcra::check(b.tat, now.0, interval, tolerance).err()?;
        Some(now.plus(Nanos(wait)))
    }
}

/// Whether a key is proven (see the module).
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) proven: bool,
    /// True if that has changed, so edges must be told.
    pub(super) is_news: bool,
}

/// Records in a key's mark a request that nothing blocks. Returns whether the key is proven. `other`: none of
/// the request's values has a large sample. `old`: the key is known to be old.
pub(super) fn prove(key: &KeyState, mark: &mut u8, other: bool, old: bool) -> Proof {
    if other {
        let others = (*mark & !PROVEN).saturating_add(1).min(OTHERS);
        *mark = *mark & PROVEN | others;
    }
    let talk = key.total.saturating_sub(key.single);
    let talker = talk >= 3 && talk.saturating_mul(4) >= key.total;
    let proven = key.strikes == 0 && (old || *mark & !PROVEN >= OTHERS || talker);
    let is_news = proven != is_marked(*mark);
    if is_news {
        *mark ^= PROVEN;
    }
    Proof { proven, is_news }
}

/// True if a mark says that its key is proven.
pub(super) fn is_marked(mark: u8) -> bool {
    mark & PROVEN != 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::config::parse;

    #[test]
    fn a_full_set_gives_up_the_bucket_that_owes_least() {
        let config = parse(r#"{"actions":{"watch":"budget","budget":{"requests":2,"per":"1h"}}}"#).unwrap();
        let mut budgets = Budgets::default();
        budgets.configure(&config);
        let (size, now) = (budgets.size_bytes(), Nanos::from_secs(1_000_000));
        // One template is far beyond its budget, ten thousand others have had one request.
        let owes = (0..5).filter_map(|_| budgets.pay(7, 0, now)).last().unwrap().1.until;
        for id in 1_000..11_000 {
            assert_eq!(budgets.pay(id, 0, now), None);
        }
        assert_eq!(budgets.size_bytes(), size);
        assert!(budgets.pay(7, 0, now).unwrap().1.until >= owes, "it still owes");
    }
}

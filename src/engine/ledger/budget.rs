//! Template budgets: what unproven keys may send together of a template that is suspicious but not decided.
//!
//! Suspicious: under watch, of young keys that never come back (`Group::is_passing`), or confirmed where the rule does not block
//! the key. Proven: known to be old, five requests of something else, or a talker; and never blocked. "Something else" is a request none
//! of whose values is being looked into (has a large sample), so a campaign's first requests do not prove its keys.
//!
//! Each worker holds the whole budget of a template (GCRA) and acts at once; here is the total over all workers, charged with
//! what they have let through. What went beyond is owed: the bucket is published with the keys over a limit (`over`) until it
//! is paid off. Over any time t at most requests + requests * t / per pass, and once what arrives within the publication delay
//! (200 ms) where the budget is used up. Memory: 1,024 buckets of 16 bytes and a byte a key. Not saved: a restart begins with full budgets,
//! and keys prove themselves again.

use super::Ledger;
use super::conviction::Matched;
use crate::engine::config::{Config, Limit};
use crate::engine::hash;
use crate::engine::observation::{self, Observation};
use crate::engine::sketch::gcra;
use crate::engine::snapshot::{Shard, filter_bytes, shard_of};
use crate::engine::sort::sort;
use crate::engine::tables::groups;
use crate::engine::tables::keys::KeyState;
use crate::engine::tables::quota::Debt;
use crate::engine::units::Nanos;
use crate::engine::value::Axis;
use crate::engine::value::bucket;

const BUCKETS: usize = 1_024;
const WAYS: usize = 8;
/// Requests of something else that prove a key.
const OTHERS: u8 = 5;
/// In a key's mark: edges know that it is proven.
const PROVEN: u8 = 0x80;

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    id: u64,
    tat: u64,
}

/// Budgets by profile, and the buckets over all workers.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    of: Vec<Option<Limit>>,
    buckets: Vec<Bucket>,
    version: u64,
}

impl Budgets {
    /// As configured; what was charged stays.
    pub(super) fn configure(&mut self, config: &Config) {
        self.of = config.profiles.iter().map(|p| p.actions.budget.map(|b| b.limit())).collect();
        self.buckets.resize(if self.exist() { BUCKETS } else { 0 }, Bucket::default());
        self.changed();
    }
    /// Has any profile one?
    pub(super) fn exist(&self) -> bool {
        self.of.iter().any(Option::is_some)
    }
    pub(super) fn size_bytes(&self) -> usize {
        self.buckets.len().saturating_mul(std::mem::size_of::<Bucket>())
    }
    /// A value became suspicious, or no longer is.
    pub(super) fn changed(&mut self) {
        self.version = self.version.wrapping_add(1);
    }
    pub(super) fn version(&self) -> u64 {
        self.version
    }
    /// Charges a request that was served already; until when there is no room for another. A full set gives up the bucket that owes least.
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

impl Ledger {
    /// Has the key shown that it is somebody beside the templates that are looked into?
    fn is_proven(&self, key: &KeyState, mark: u8) -> bool {
        let talk = key.total.saturating_sub(key.single);
        let talker = talk >= 3 && talk.saturating_mul(4) >= key.total;
        let old = key.is_old(self.clock.now_s, self.c.young_for_s);
        key.strikes == 0 && (old || mark & !PROVEN >= OTHERS || talker)
    }

    /// Notes what a request that nothing blocks says of its key; the bucket that it pays from, charged with it if a worker has let
    /// it through.
    #[inline(never)]
    pub(super) fn pay(&mut self, obs: &Observation, m: &Matched) -> u64 {
        if !self.budgets.exist() {
            return 0;
        }
        let (suspect, looked_into) = self.suspect(obs);
        let refused = obs.flags & observation::REFUSED != 0;
        let Some((key, mark)) = self.keys.marked(obs.key) else { return 0 };
        if !looked_into && m.count == 0 && !refused {
            let others = (*mark & !PROVEN).saturating_add(1).min(OTHERS);
            *mark = *mark & PROVEN | others;
        }
        let (key, before) = (*key, *mark);
        let proven = self.is_proven(&key, before);
        if proven != (before & PROVEN != 0) {
            if let Some((_, mark)) = self.keys.marked(obs.key) {
                *mark ^= PROVEN;
            }
            self.publisher.note(obs.key);
        }
        let id = bucket(if m.count > 0 { m.case } else { 0 }, suspect);
        let of = self.budgets.of.get(usize::from(obs.profile)).cloned().flatten();
        let Some(limit) = of.filter(|_| !proven && id != 0) else { return 0 };
        if obs.flags & observation::SERVED != 0 {
            // Not by the word of one observation, as in `charge`.
            let now = obs.time.min(Nanos::from_secs(u64::from(self.clock.now_s).saturating_add(1)));
            let of_profile = hash::combine(id, u64::from(obs.profile));
            if let Some(until) = self.budgets.charge(of_profile, &limit, now)
                && self.over.note(of_profile, obs.profile, Debt { limit: 0, until })
            {
                self.publisher.note(of_profile);
            }
        }
        id
    }

    /// The least suspicious value that a request carries (0: none), and whether any of its values is looked into: has a large sample, and
    /// is not people's.
    fn suspect(&self, obs: &Observation) -> (u64, bool) {
        let lists = [obs.anchors.as_slice(), obs.first_anchors.as_slice(), obs.matched.as_slice()];
        let (mut least, mut looked_into) = (u64::MAX, false);
        for g in lists.into_iter().flatten().filter_map(|v| self.groups.get(*v)) {
            if g.large_sample == 0 || self.large_samples.get(g.large_sample, g.tag).is_none() {
                continue;
            }
            looked_into |= !g.has(groups::flag::HONEST);
            if g.has(groups::flag::SUSPECT) {
                least = least.min(g.tag);
            }
        }
        (if least == u64::MAX { 0 } else { least }, looked_into)
    }

    /// Suspicious values into the shards that are published.
    pub(super) fn place_suspects(&self, shards: &mut [Option<Shard>]) {
        if !self.budgets.exist() {
            return;
        }
        for tag in
            self.large_samples.slots().iter().map(|p| p.tag).filter(|t| *t != 0 && Axis::of(*t) == Axis::Text)
        {
            let suspect = |g: &groups::Group| {
                g.has(groups::flag::SUSPECT) && self.large_samples.get(g.large_sample, tag).is_some()
            };
            if self.groups.get(tag).is_some_and(suspect)
                && let Some(Some(s)) = shards.get_mut(shard_of(tag))
            {
                s.suspects.push(tag);
            }
        }
        shards.iter_mut().flatten().for_each(|s| sort(&mut s.suspects));
    }

    /// Bytes of a shard's filter of proven keys: sixteen bits for each of them, or up to twice as much.
    pub(super) fn proven_bytes(&self) -> usize {
        filter_bytes(self.keys.marks().iter().filter(|mark| is_marked(**mark)).count())
    }
}

/// Does a key's mark say that it is proven?
pub(super) fn is_marked(mark: u8) -> bool {
    mark & PROVEN != 0
}

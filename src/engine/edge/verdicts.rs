//! The published verdicts that a worker decides by: those of its node's ledger, and those of the hub if there
//! is one.
//!
//! A key that either has convicted is blocked. A key that either has a state of is judged by a ledger only. A
//! limit that either reports as exceeded applies, with the longer wait. Decisions of people, on the hub or in
//! the configuration, come before both. Times in the hub's shards are those of the hub's clock.

use super::decide;
use crate::engine::config::{Campaign, Exceptions};
use crate::engine::limiter::longest;
use crate::engine::observation::{NO_PROMPT, Observation};
use crate::engine::outcome::Outcome;
use crate::engine::snapshot::{DENIED, KeyEntry, Match, Snapshot, ValueEntry};
use crate::engine::units::{Nanos, Wait};
use crate::engine::verdict::Reason;
use crate::engine::wire::Refused;

/// The two snapshots, and the configuration's exceptions.
#[derive(Debug)]
pub struct Verdicts {
    own: Snapshot,
    hub: Option<Box<Hub>>,
    people: Exceptions,
}

/// What the hub has published, and the difference of clocks.
#[derive(Debug)]
struct Hub {
    snapshot: Snapshot,
    /// The hub's clock minus the node's, milliseconds.
    ahead_ms: i64,
}

impl Hub {
    fn time(&self, now: Nanos) -> Nanos {
        let ahead = Nanos(self.ahead_ms.unsigned_abs().saturating_mul(1_000_000));
        if self.ahead_ms < 0 { now.since(ahead) } else { Nanos(now.0.saturating_add(ahead.0)) }
    }
}

fn secs(now: Nanos) -> u32 {
    u32::try_from(now.secs()).unwrap_or(u32::MAX)
}

impl Verdicts {
    /// Empty snapshots.
    pub fn new(seed_check: u32) -> Verdicts {
        Verdicts { own: Snapshot::new(seed_check), hub: None, people: Exceptions::default() }
    }
    /// Sets the configuration's exceptions.
    pub fn set_people(&mut self, people: &Exceptions) {
        self.people.clone_from(people);
    }
    /// Bytes held now.
    pub fn size_bytes(&self) -> usize {
        let hub = self.hub.as_ref().map_or(0, |h| h.snapshot.size_bytes());
        self.own.size_bytes().saturating_add(hub)
    }
    /// Replaces one shard of the own ledger's snapshot.
    ///
    /// # Errors
    /// The shard is refused; the one before stays in force.
    pub fn apply(&mut self, shard: &[u8]) -> Result<(), Refused> {
        self.own.apply(shard)
    }
    /// Replaces one shard of the hub's snapshot.
    ///
    /// # Errors
    /// The shard is refused; the one before stays in force.
    pub fn apply_hub(&mut self, shard: &[u8], seed_check: u32) -> Result<(), Refused> {
        let fresh = || Box::new(Hub { snapshot: Snapshot::new(seed_check), ahead_ms: 0 });
        self.hub.get_or_insert_with(fresh).snapshot.apply(shard)
    }
    /// Sets the difference of the hub's clock and the node's (hub minus node), milliseconds.
    pub fn set_ahead(&mut self, ms: i64) {
        if let Some(hub) = &mut self.hub {
            hub.ahead_ms = ms;
        }
    }
    /// Drops the hub's snapshot.
    pub fn forget_hub(&mut self) {
        self.hub = None;
    }
    /// True if no value is confirmed.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.hub.as_ref().is_none_or(|h| h.snapshot.is_empty())
    }
    /// True if any value is confirmed or suspicious.
    pub fn tells(&self) -> bool {
        self.own.tells() || self.hub.as_ref().is_some_and(|h| h.snapshot.tells())
    }
    /// The entry of a confirmed value.
    pub fn value(&self, value: u64) -> Option<&ValueEntry> {
        self.own.value(value).or_else(|| self.hub.as_ref()?.snapshot.value(value))
    }
    /// The conviction of a key. `None` if people have released the key or its campaign.
    pub fn key(&self, key: u64, now: Nanos) -> Option<&KeyEntry> {
        let of_hub = self.hub.as_ref().and_then(|h| h.snapshot.key(key, secs(h.time(now))));
        let found = [self.own.key(key, secs(now)), of_hub];
        let freed = |id: u64| !matches!(self.decided(id, now), 0 | DENIED);
        found.into_iter().flatten().find(|k| !freed(k.campaign.into())).filter(|_| !freed(key))
    }
    /// The decision of people on an id: the stronger of hub and configuration.
    fn decided(&self, id: u64, now: Nanos) -> u32 {
        let of_hub = self.hub.as_ref().map_or(0, |h| h.snapshot.exception(id, secs(h.time(now))));
        of_hub.max(self.people.of(id, secs(now)))
    }
    /// The strongest decision of people on anything that names the request, 0 if there is none. Of `others`
    /// (credentials beside its own key) only denials count.
    #[inline(never)]
    pub fn exception(&self, obs: &Observation, others: [&[u64]; 2], values: &[u64]) -> u32 {
        if self.hub.is_none() && self.people.is_empty() {
            return 0;
        }
        if others.into_iter().flatten().any(|k| self.decided(*k, obs.time) == DENIED) {
            return DENIED;
        }
        let carried = [values, &obs.nets].map(|ids| {
            let of_hub =
                self.hub.as_ref().map_or(0, |h| h.snapshot.exception_of_any(ids, secs(h.time(obs.time))));
            of_hub.max(self.people.of_any(ids, secs(obs.time)))
        });
        carried.into_iter().fold(self.decided(obs.key, obs.time), u32::max)
    }
    /// Time until the key's next request conforms to the profile's limits over all workers and all nodes.
    pub fn overdrawn(&self, key: u64, profile: u8, now: Nanos) -> Option<Wait> {
        let of_hub = self.hub.as_ref().and_then(|h| h.snapshot.overdrawn(key, profile, h.time(now)));
        longest(self.own.overdrawn(key, profile, now).into_iter().chain(of_hub))
    }
    /// See `Snapshot::suspect`. Budgets are a node's own, so the hub is not asked.
    pub fn suspect(&self, values: &[u64]) -> u64 {
        self.own.suspect(values)
    }
    /// True if the own ledger has a state of the key.
    #[cfg(test)]
    pub fn is_known(&self, key: u64) -> bool {
        self.own.is_known(key)
    }
    /// The outcome of a request by either ledger, and its match in the own one.
    pub fn outcome(&self, obs: &Observation, values: &[u64], c: &Campaign) -> (Outcome, Match<'_>) {
        // What is released matches nothing; only another campaign's conviction holds.
        let released = obs.flags & NO_PROMPT != 0;
        let m = if released { Match::default() } else { self.own.best_match(values) };
        if let Some(k) = self.key(obs.key, obs.time) {
            let convicted = Outcome { block: true, reason: Reason::Convicted, ..decide::nothing(obs, m) };
            return (Outcome { campaign: k.campaign, ..convicted }, m);
        }
        if released {
            return (decide::nothing(obs, m), m);
        }
        let beside = self.hub.as_ref().map(|h| &h.snapshot);
        let own = decide::from_snapshot(&self.own, obs, m, beside, c);
        let Some(hub) = self.hub.as_ref().filter(|_| !own.block) else { return (own, m) };
        let seen = Observation { time: hub.time(obs.time), ..*obs };
        let of_hub = hub.snapshot.best_match(values);
        let theirs = decide::from_snapshot(&hub.snapshot, &seen, of_hub, Some(&self.own), c);
        let milder = !theirs.block && (own.watch || !theirs.watch);
        (if milder { own } else { theirs }, m)
    }
    /// Bucket of the template budget that a request which nothing blocks is charged to, 0 if none.
    pub fn budget(&self, obs: &Observation, values: &[u64], m: Match<'_>, c: &Campaign) -> u64 {
        decide::budget(&self.own, obs, values, m, c)
    }
}

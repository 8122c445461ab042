//! Limits over all workers together. Served requests are charged here; keys and tenants that have used up a
//! limit are published (`overdrawn`).
//!
//! Memory: the 4,096 keys and tenants that owe most, 16 bytes and 8 a limit each (128 KiB with two limits,
//! 320 KiB at most), if any profile has a limit. A key without a state can owe, as requests without a prompt
//! make no state. A flood of keys displaces only those that owe less; a displaced key is still held by each
//! worker's own limits. These debts are not saved. The first two limits of a key are also kept in its state
//! (`quota`): those are saved, but only requests with a prompt are charged there.

use super::publish::{self, Publisher};
use crate::engine::config::{Config, Limit, by_owner};
use crate::engine::limiter::{Limiter, longest, of_key, of_tenant};
use crate::engine::observation::{self, Observation};
use crate::engine::snapshot::Shard;
use crate::engine::tables::keys::KeyState;
use crate::engine::tables::overdrawn::Overdrawn;
use crate::engine::tables::quota::{self, Debt};
use crate::engine::units::{Nanos, Wait};

/// Keys and tenants whose debts are kept.
pub const RATES: usize = 4_096;

/// A profile's limits by where they are kept.
#[derive(Clone, Debug, Default)]
struct Limits {
    all: Vec<Limit>,
}

impl Limits {
    /// Those in a key's state.
    fn in_state(&self) -> &[Limit] {
        let of_keys = self.of_keys();
        of_keys.get(..quota::LIMITS).unwrap_or(of_keys)
    }
    fn of_keys(&self) -> &[Limit] {
        by_owner(&self.all).0
    }
    fn of_tenants(&self) -> &[Limit] {
        by_owner(&self.all).1
    }
    fn first_of_tenants(&self) -> u8 {
        u8::try_from(self.of_keys().len()).unwrap_or(u8::MAX)
    }
}

/// Limits by profile, debts of keys and tenants, and what is published of them.
#[derive(Debug, Default)]
pub(super) struct Rates {
    of: Vec<Limits>,
    debts: Option<Limiter>,
    overdrawn: Overdrawn,
}

impl Rates {
    /// Sets the limits of a configuration. What was charged stays.
    pub(super) fn configure(&mut self, config: &Config) {
        self.of = config.profiles.iter().map(|p| Limits { all: p.limits.clone() }).collect();
        let room = |l: &Limits| l.of_keys().len().max(l.of_tenants().len());
        match (self.of.iter().map(room).max().unwrap_or(0), &mut self.debts) {
            (0, _) => {}
            (n, Some(limiter)) => limiter.widen(n),
            (n, none) => *none = Some(Limiter::new(RATES, n).of_several()),
        }
    }
    /// Bytes of the tables.
    pub(super) fn size_bytes(&self) -> usize {
        self.debts.as_ref().map_or(0, Limiter::size_bytes).saturating_add(self.overdrawn.size_bytes())
    }

    /// Charges a request that a worker has served. Of a request that is not decided yet, returns the wait if
    /// it does not conform; `served` charges it later. In both cases lets time pass for the key's limits.
    /// `key`: the key's state, if it has one.
    pub(super) fn charge(
        &mut self,
        obs: &Observation,
        key: Option<&mut KeyState>,
        now_s: u32,
        publisher: &mut Publisher,
    ) -> Option<Wait> {
        let elapsed = key.as_ref().map_or(0, |k| now_s.saturating_sub(k.last_s));
        let elapsed = Nanos::from_secs(u64::from(elapsed));
        let done = obs.flags & (observation::SERVED | observation::REFUSED);
        if done == observation::SERVED && obs.cost != 0 {
            self.owe(obs, key, elapsed, now_s, publisher);
            return None;
        }
        let limits = self.of.get(usize::from(obs.profile))?;
        let mut in_state = None;
        if let Some(key) = key {
            quota::rest(key, limits.in_state(), elapsed);
            in_state = quota::ask(key, limits.in_state(), obs.cost);
        }
        if done != 0 {
            return None;
        }
        let overdrawn = self.overdrawn.wait(obs.key, obs.profile, obs.time).filter(|_| obs.key != 0);
        let of_tenant = self.overdrawn.wait(of_tenant(obs.tenant, obs.profile), obs.profile, obs.time);
        let of_tenant = of_tenant.filter(|_| obs.tenant != 0 && !limits.of_tenants().is_empty());
        longest(in_state.into_iter().chain(overdrawn).chain(of_tenant))
    }

    /// Charges a request that was not decided when it was observed and was served afterwards.
    pub(super) fn served(
        &mut self,
        obs: &Observation,
        key: Option<&mut KeyState>,
        now_s: u32,
        publisher: &mut Publisher,
    ) {
        if obs.flags & observation::ALLOWED == 0 && obs.cost != 0 {
            self.owe(obs, key, Nanos(0), now_s, publisher);
        }
    }

    fn owe(
        &mut self,
        obs: &Observation,
        key: Option<&mut KeyState>,
        elapsed: Nanos,
        now_s: u32,
        publisher: &mut Publisher,
    ) {
        let Some(limits) = self.of.get(usize::from(obs.profile)) else { return };
        let now = no_later(obs.time, now_s);
        let (mut debt, mut tenant_debt) = (None, None);
        let tenant = of_tenant(obs.tenant, obs.profile);
        // The time in a state is that of the last request with a prompt.
        let has_prompt = obs.key != 0 && obs.flags & observation::NO_PROMPT == 0;
        if let Some(key) = key.filter(|_| has_prompt) {
            let known = self.overdrawn.debt(obs.key, obs.profile);
            let in_state = quota::owe(key, limits.in_state(), obs.cost, elapsed, now, known);
            debt = in_state.map(|d| Wait { wait: d.until.since(now), limit: d.limit });
        }
        if let Some(debts) = &mut self.debts {
            let mut charge = |id, limits: &[Limit], first| {
                if limits.is_empty() { None } else { debts.charge(now, id, limits, first, obs.cost) }
            };
            if obs.key != 0 {
                let more = charge(of_key(obs.key, obs.profile), limits.of_keys(), 0);
                debt = longest(debt.into_iter().chain(more));
            }
            if obs.tenant != 0 {
                tenant_debt = charge(tenant, limits.of_tenants(), limits.first_of_tenants());
            }
        }
        for (id, wait) in [(obs.key, debt), (tenant, tenant_debt)] {
            // No edge is told of less than a second.
            let Some(Wait { wait, limit }) = wait.filter(|w| w.wait > Nanos::from_secs(1)) else { continue };
            self.note(id, obs.profile, Debt { limit, until: now.plus(wait) }, publisher);
        }
    }

    /// Records the debt of a key, tenant or bucket. It is published until it is paid off.
    pub(super) fn note(&mut self, id: u64, profile: u8, debt: Debt, publisher: &mut Publisher) {
        if self.overdrawn.note(id, profile, debt) {
            publisher.note(id);
        }
    }

    /// After the clock was set back: debts are relative and stay; published ones are absolute and are
    /// computed again.
    pub(super) fn step_back(&mut self) {
        self.overdrawn = Overdrawn::default();
    }

    /// Writes keys and tenants with a debt into the shards that are published.
    pub(super) fn place(&self, now_s: u32, shards: &mut [Option<Shard>]) {
        for overdrawn in self.overdrawn.live(now_s) {
            if let Some(s) = publish::of(shards, overdrawn.key) {
                let at = s.overdrawn.partition_point(|o| o.key < overdrawn.key);
                s.overdrawn.insert(at, overdrawn);
            }
        }
    }
}

/// The time of a charge, limited to one second after the ledger's: a debt from the future would last until
/// then.
pub(super) fn no_later(time: Nanos, now_s: u32) -> Nanos {
    time.min(Nanos::from_secs(u64::from(now_s).saturating_add(1)))
}

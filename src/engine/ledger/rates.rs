//! Limits over all workers together: what was served is charged here, and who has used up a limit is published (`over`).
//!
//! The first two limits of a key are kept in its record (`quota`). The others, and those of tenants, are kept here, where a
//! profile has any: 4,096 keys and tenants, those that owe most, of 16 bytes and 8 a limit each (320 KiB at most, with eight limits of
//! tenants). Who has no room is still held by each worker's own limits. Not saved: after a restart these begin anew.

use super::Ledger;
use crate::engine::config::{Config, Limit, by_owner};
use crate::engine::limiter::{Limiter, longest, of_key, of_tenant};
use crate::engine::observation::{self, Observation};
use crate::engine::tables::quota::{self, Debt};
use crate::engine::units::Nanos;
use crate::engine::units::Wait;

/// Keys and tenants whose limits beyond those of a record are remembered.
pub const RATES: usize = 4_096;

/// A profile's limits by where they are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    all: Vec<Limit>,
}

impl Limits {
    /// Those in a key's record.
    fn in_record(&self) -> &[Limit] {
        let of_keys = by_owner(&self.all).0;
        of_keys.get(..quota::LIMITS).unwrap_or(of_keys)
    }
    /// A key's others.
    fn beyond(&self) -> &[Limit] {
        by_owner(&self.all).0.get(quota::LIMITS..).unwrap_or_default()
    }
    fn of_tenants(&self) -> &[Limit] {
        by_owner(&self.all).1
    }
    fn first_of_tenants(&self) -> u8 {
        u8::try_from(by_owner(&self.all).0.len()).unwrap_or(u8::MAX)
    }
}

/// What is kept beside the records.
#[derive(Debug, Default)]
pub(super) struct Rates {
    of: Vec<Limits>,
    beyond: Option<Limiter>,
}

impl Rates {
    /// As configured; what was charged stays.
    pub(super) fn configure(&mut self, config: &Config) {
        self.of = config.profiles.iter().map(|p| Limits { all: p.limits.clone() }).collect();
        let room = |l: &Limits| l.beyond().len().max(l.of_tenants().len());
        match (self.of.iter().map(room).max().unwrap_or(0), &mut self.beyond) {
            (0, _) => {}
            (n, Some(limiter)) => limiter.widen(n),
            (n, none) => *none = Some(Limiter::new(RATES, n)),
        }
    }
    /// Bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.beyond.as_ref().map_or(0, Limiter::size_bytes)
    }
}

impl Ledger {
    /// Time passes for a key's limits. What a worker has served is charged; for what nobody has decided yet the wait is told, if
    /// it does not conform: `served` charges it.
    pub(super) fn charge(&mut self, obs: &Observation) -> Option<Wait> {
        let elapsed = self.keys.get(obs.key).map_or(0, |k| self.clock.now_s.saturating_sub(k.last_s));
        let elapsed = Nanos::from_secs(u64::from(elapsed));
        let done = obs.flags & (observation::SERVED | observation::REFUSED);
        if done == observation::SERVED && obs.cost != 0 {
            self.owe(obs, elapsed);
            return None;
        }
        let limits = self.rates.of.get(usize::from(obs.profile))?;
        let mut record = None;
        if let Some(key) = self.keys.get_mut(obs.key) {
            quota::rest(key, limits.in_record(), elapsed);
            record = quota::ask(key, limits.in_record(), obs.cost);
        }
        if done != 0 {
            return None;
        }
        let over = self.over.wait(obs.key, obs.profile, obs.time).filter(|_| obs.key != 0);
        let of_tenant = self.over.wait(of_tenant(obs.tenant, obs.profile), obs.profile, obs.time);
        let of_tenant = of_tenant.filter(|_| obs.tenant != 0 && !limits.of_tenants().is_empty());
        longest(record.into_iter().chain(over).chain(of_tenant))
    }

    /// Charges what nobody had decided when it was observed, and was served then.
    pub(in crate::engine) fn served(&mut self, obs: &Observation) {
        if obs.flags & observation::ALLOWED == 0 && obs.cost != 0 {
            self.owe(obs, Nanos(0));
        }
    }

    fn owe(&mut self, obs: &Observation, elapsed: Nanos) {
        let Some(limits) = self.rates.of.get(usize::from(obs.profile)) else { return };
        // Not by the word of one observation: a debt from the future would be held for as long.
        let now = obs.time.min(Nanos::from_secs(u64::from(self.clock.now_s).saturating_add(1)));
        let (mut debt, mut tenant_debt) = (None, None);
        let tenant = of_tenant(obs.tenant, obs.profile);
        if let Some(key) = self.keys.get_mut(obs.key).filter(|_| obs.key != 0) {
            let known = self.over.debt(obs.key, obs.profile);
            let record = quota::owe(key, limits.in_record(), obs.cost, elapsed, now, known);
            debt = record.map(|d| Wait { wait: d.until.since(now), limit: d.limit });
        }
        if let Some(beyond) = &mut self.rates.beyond {
            let mut charge = |id, limits: &[Limit], first| {
                if limits.is_empty() { None } else { beyond.charge(now, id, limits, first, obs.cost) }
            };
            if obs.key != 0 {
                let first = u8::try_from(quota::LIMITS).unwrap_or(u8::MAX);
                let more = charge(of_key(obs.key, obs.profile), limits.beyond(), first);
                debt = longest(debt.into_iter().chain(more));
            }
            if obs.tenant != 0 {
                tenant_debt = charge(tenant, limits.of_tenants(), limits.first_of_tenants());
            }
        }
        for (id, wait) in [(obs.key, debt), (tenant, tenant_debt)] {
            let Some(Wait { wait, limit }) = wait else { continue };
            if self.over.note(id, obs.profile, Debt { limit, until: now.plus(wait) }) {
                self.publisher.note(id);
            }
        }
    }
}

//! One worker's half: reads, fingerprints, looks up verdicts, charges limits, decides. Memory: a few hundred
//! KiB a worker.

pub mod actions;
pub mod address;
pub mod age;
pub mod credentials;
pub mod decide;
mod decision;
pub mod extract;
pub mod frames;
pub mod head;
pub mod identity;
mod refusals;
pub mod session;
pub mod verdicts;

use super::config::{Config, Profile, by_owner};
use super::decision::Decision;
use super::hash::Purpose;
use super::limiter::{Limiter, longest, of_key, of_tenant};
use super::observation::{self, Batch, Few, Observation};
use super::outcome::Outcome;
use super::snapshot::{ALLOWED, DENIED, RELEASED};
use super::units::Nanos;
use super::verdict::{Action, CaseId, Reason, Verdict};
use super::wire::Refused;
use crate::engine::units::Wait;
use decide::listed;
use extract::{Extracted, Extractor};
use identity::{Head, Keys};
use refusals::Refusals;
use session::{Other, Session};
use std::sync::Arc;
use verdicts::Verdicts;

/// Keys whose limits a worker keeps.
const LIMITED_KEYS: usize = 4_096;
/// Credentials in an honest request, at most: a gateway's and its client's.
const FEW: usize = 2;
/// Template budgets that a worker keeps, if a profile has a budget: 24 KiB.
const BUDGETS: usize = 1_024;
/// Bytes of observations that a worker holds until `drain`. With the last one (at most 589 bytes) and the
/// headers of batch and cell a batch stays within 16 KiB.
pub const PENDING_BYTES: usize = 15 << 10;

/// Largest number of limits of any profile.
fn limits(config: &Config) -> usize {
    config.profiles.iter().map(|p| p.limits.len()).max().unwrap_or(0).max(1)
}

/// The worker's template budgets, if any profile has one.
fn budgets(config: &Config) -> Option<Limiter> {
    config.profiles.iter().any(|p| p.actions.budget.is_some()).then(|| Limiter::new(BUDGETS, 1))
}

/// One worker's half.
#[derive(Debug)]
pub struct Edge {
    config: Arc<Config>,
    case_secret: u64,
    seed_check: u32,
    extractor: Extractor,
    scratch: Extracted,
    verdicts: Verdicts,
    limiter: Limiter,
    budgets: Option<Limiter>,
    refusals: Refusals,
    pending: Batch,
    dropped: u64,
    pub(super) last: actions::LastActions,
}

impl Edge {
    /// Allocates the worker's tables.
    #[inline(never)]
    pub fn new(config: Arc<Config>) -> Edge {
        let seed_check = config.seed.check();
        let mut verdicts = Verdicts::new(seed_check);
        verdicts.set_people(&config.exceptions);
        Edge {
            case_secret: config.seed.key(Purpose::Case).0,
            seed_check,
            extractor: Extractor::new(&config.seed),
            scratch: Extracted { values: Vec::with_capacity(extract::VALUES), ..Extracted::default() },
            verdicts,
            limiter: Limiter::new(LIMITED_KEYS, limits(&config)),
            budgets: budgets(&config),
            refusals: Refusals::default(),
            pending: Batch::default(),
            dropped: 0,
            last: actions::LastActions::default(),
            config,
        }
    }

    /// Sets a new configuration of the same policy. Limits and snapshot stay.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        if Arc::ptr_eq(&config, &self.config) {
            return;
        }
        if config.seed != self.config.seed {
            *self = Edge::new(config);
        } else {
            self.limiter.widen(limits(&config));
            self.budgets = budgets(&config).map(|fresh| self.budgets.take().unwrap_or(fresh));
            self.verdicts.set_people(&config.exceptions);
            self.config = config;
        }
    }

    /// Bytes of the worker's tables.
    pub fn size_bytes(&self) -> usize {
        let budgets = self.budgets.as_ref().map_or(0, Limiter::size_bytes);
        let tables = self.verdicts.size_bytes().saturating_add(self.limiter.size_bytes());
        tables
            .saturating_add(budgets)
            .saturating_add(self.refusals.size_bytes())
            .saturating_add(PENDING_BYTES)
    }

    /// Observations that were lost for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Starts a request. Text beside the messages is sampled only if a list or the published verdicts could
    /// match it, as of now. Samples of the messages' own text are always taken, because they teach.
    pub fn open(&self, config: &Config, keys: &Keys, head: &Head<'_>) -> Session {
        let mut session = Session::open(config, keys, head);
        let listed = |p: &Profile| p.allow.has_templates() || p.deny.has_templates();
        if !self.verdicts.tells() && !config.profile(session.profile).is_some_and(listed) {
            session.leave_beside();
        }
        session
    }

    /// Looks up values and lists. Returns the verdict of a list entry that selects the request.
    #[inline(never)]
    pub(super) fn prepare(&mut self, x: &mut Extracted) -> Option<Verdict> {
        if self.config.profile(x.profile).is_some_and(|p| decide::is_free(p, x.unreadable)) {
            x.obs.cost = 0;
        }
        let obs = &mut x.obs;
        if !self.verdicts.is_empty() {
            let anchored =
                |v: &u64| obs.anchors.as_slice().contains(v) || obs.first_anchors.as_slice().contains(v);
            let known = x.values.iter().filter(|v| self.verdicts.value(**v).is_some() && !anchored(v));
            obs.matched = Few::of(known.copied());
            let known = |v: &u64| self.verdicts.value(*v).is_some();
            if !obs.matched.as_slice().is_empty() || x.values.iter().any(known) {
                let told = |v: &u64| anchored(v) || obs.middle.as_slice().contains(v);
                obs.rest = Few::of(x.values.iter().copied().filter(|v| !told(v) && !known(v)));
            }
        }
        // The ledger counts what the budgets of all workers let through: it must see the same value.
        let suspect = self.verdicts.suspect(&x.values);
        if suspect != 0 {
            obs.matched.push(suspect);
        }
        let mut list = None;
        if let Some(p) = self.config.profile(x.profile) {
            // A denied credential stays denied beside another one; an allowed one must stand alone.
            if listed(&p.deny, obs, &[&x.parts, &x.also], &x.values).is_some() {
                list = Some(decide::on_list(Reason::DenyList, self.case_secret, obs, p));
            } else if x.crowded {
                list = Some(decide::on_list(Reason::Ambiguous, self.case_secret, obs, p));
            } else if listed(&p.allow, obs, &[], &x.values).is_some() {
                obs.flags |= observation::ALLOWED;
                list = Some(decide::on_list(Reason::AllowList, self.case_secret, obs, p));
            } else {
                // What people have decided, on the hub or in the configuration.
                let (reason, flag) = match self.verdicts.exception(obs, [&x.parts, &x.also], &x.values) {
                    DENIED => (Some(Reason::DenyList), 0),
                    ALLOWED => (Some(Reason::AllowList), observation::ALLOWED),
                    RELEASED => (None, observation::NO_PROMPT),
                    _ => (None, 0),
                };
                obs.flags |= flag;
                list = reason.map(|r| decide::on_list(r, self.case_secret, obs, p));
            }
        }
        list
    }

    /// Queues an observation for the ledger.
    pub(super) fn queue(&mut self, obs: &Observation) {
        if !self.pending.push(obs, PENDING_BYTES) {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Turns an outcome (the ledger's, or the snapshot's) into a verdict. Charges the limits if nothing
    /// before them decides.
    #[inline(never)]
    pub(super) fn settle(
        &mut self,
        now: Nanos,
        x: &Extracted,
        list: Option<Verdict>,
        outcome: &Outcome,
    ) -> Verdict {
        if let Some(v) = list {
            return Verdict { evidence: outcome.evidence, ..v };
        }
        let config = Arc::clone(&self.config);
        let Some(profile) = config.profile(x.profile) else { return Verdict::default() };
        let mut outcome = *outcome;
        if !outcome.block {
            // A second credential does not free a convicted one.
            if let Some(k) = x.parts.iter().chain(&x.also).find_map(|k| self.verdicts.key(*k, x.obs.time)) {
                (outcome.block, outcome.reason, outcome.campaign) = (true, Reason::Convicted, k.campaign);
            } else if x.ambiguous && !outcome.watch {
                (outcome.watch, outcome.reason) = (true, Reason::Ambiguous);
            }
        }
        let (of_keys, of_tenants) = by_owner(&profile.limits);
        let (profile_id, cost) = (x.profile, x.obs.cost);
        // Each of several credentials is charged, so that a made-up second one brings no fresh quota. With more than two
        // the address is charged, too.
        let address = (x.address != 0 && x.parts.len() > FEW).then_some(x.address);
        let free = cost == 0 || matches!(x.other, Other::Free | Other::Refused);
        let keys = || {
            let all = std::iter::once(x.key.0).chain(x.parts.iter().copied()).chain(address);
            all.filter(|_| !free && !of_keys.is_empty())
        };
        let tenant = (!free && x.obs.tenant != 0 && !of_tenants.is_empty())
            .then(|| of_tenant(x.obs.tenant, profile_id));
        let first = u8::try_from(of_keys.len()).unwrap_or(u8::MAX);
        let budget = profile.actions.budget.filter(|_| outcome.budget != 0).map(|b| [b.limit()]);
        let bucket = of_key(outcome.budget, profile_id);
        // A wait by this worker's limits, and one by all workers together: the longer one holds.
        let ask = || {
            if free {
                return None;
            }
            let (limiter, verdicts) = (&mut self.limiter, &self.verdicts);
            let overdrawn = |id: u64| verdicts.overdrawn(id, profile_id, now);
            let mut own = |id: u64| limiter.ask(now, of_key(id, profile_id), of_keys, 0, cost);
            let limit = longest(
                keys().filter_map(&mut own).chain(keys().filter_map(overdrawn)).chain(outcome.overdrawn),
            );
            let limit = longest(limit.into_iter().chain(tenant.and_then(overdrawn)));
            let own = tenant.and_then(|id| limiter.ask(now, id, of_tenants, first, cost));
            if let Some(wait) = longest(limit.into_iter().chain(own)) {
                return Some((Reason::Rate, wait));
            }
            // What all workers together have let through beyond a budget is paid off first.
            let budget = budget.as_ref()?;
            let spent = |b: &mut Limiter| b.ask(now, bucket, budget, 0, 1);
            let spent = overdrawn(bucket).is_some() || self.budgets.as_mut().and_then(spent).is_some();
            spent.then_some((Reason::Budget, Wait { wait: decide::BUDGET_WAIT, limit: 0 }))
        };
        let verdict = decide::verdict(self.case_secret, profile, &x.obs, &outcome, x.unreadable, ask);
        // A refused request is charged to no limit: asking too early does not prolong the wait.
        if !verdict.action.rejects() && !free {
            for id in keys() {
                self.limiter.charge(now, of_key(id, profile_id), of_keys, 0, cost);
                self.refusals.end(of_key(id, profile_id));
            }
            if let Some(id) = tenant {
                self.limiter.charge(now, id, of_tenants, first, cost);
                self.refusals.end(id);
            }
            if let (Some(budget), Some(budgets)) = (&budget, &mut self.budgets) {
                budgets.charge(now, bucket, budget, 0, 1);
            }
        }
        verdict
    }

    /// Decides a request by the ledger's published verdicts: for workers that do not hold the ledger.
    pub fn decide(&mut self, now: Nanos, session: &mut Session) -> Verdict {
        self.read(now, session).verdict
    }

    fn read(&mut self, now: Nanos, session: &mut Session) -> Decision {
        let mut x = std::mem::take(&mut self.scratch);
        self.extractor.take(now, session, &mut x);
        session.facts.wipe();
        let decision = self.judge(now, &mut x);
        self.scratch = x;
        decision
    }

    /// Decides an extracted request, whose extractor has the same policy and may have run on another thread.
    /// Call it exactly once a request.
    pub fn judge(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        let first = self.judge_one(now, x);
        first.or_of_items(x, |item| self.look_up(now, item))
    }

    /// Queues the observation of a request that was decided elsewhere, if it teaches anything. True if it
    /// did.
    pub fn hear(&mut self, x: &mut Extracted, refused: bool) -> bool {
        let _ = self.prepare(x);
        if x.other != Other::No {
            return false;
        }
        x.obs.flags |= if refused { observation::REFUSED } else { observation::SERVED };
        self.queue(&x.obs);
        true
    }

    /// Decides one of the other requests of a batch by lists and published verdicts. It teaches nothing:
    /// requests of one moment are one visit, and one of the batch was drawn to teach.
    pub(super) fn look_up(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        let list = self.prepare(x);
        let (outcome, _) = self.verdicts.outcome(&x.obs, &x.values, &self.config.campaign);
        let verdict = self.settle(now, x, list, &outcome);
        Decision::of(&self.config, &mut self.last, verdict, x.key, x.profile)
    }

    fn judge_one(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        let list = self.prepare(x);
        if x.other != Other::No {
            let known = self.verdicts.key(x.obs.key, x.obs.time).map(|k| k.campaign);
            let decision = self.judge_other(now, x, list, known.filter(|_| x.obs.key != 0));
            let limited = self.config.profile(x.profile).is_some_and(|p| !p.limits.is_empty());
            let charged = x.other == Other::Charged && list.is_none() && (x.obs.key | x.obs.tenant) != 0;
            if charged && limited && !decision.verdict.action.rejects() {
                x.obs.flags |= observation::NO_PROMPT | observation::SERVED;
                self.queue(&x.obs);
            }
            return decision;
        }
        let (mut outcome, m) = self.verdicts.outcome(&x.obs, &x.values, &self.config.campaign);
        if !outcome.block && self.budgets.is_some() && x.obs.flags & observation::NO_PROMPT == 0 {
            outcome.budget = self.verdicts.budget(&x.obs, &x.values, m, &self.config.campaign);
        }
        let verdict = self.settle(now, x, list, &outcome);
        // The ledger charges what goes through, over all workers together; in shadow mode as if it were enforced.
        let done = if verdict.action.rejects() { observation::REFUSED } else { observation::SERVED };
        x.obs.flags |= done;
        self.queue(&x.obs);
        Decision::of(&self.config, &mut self.last, verdict, x.key, x.profile)
    }

    /// Decides a request without a prompt by its key: lists, then a conviction, then limits. If it is
    /// charged, the ledger is told its cost and nothing else.
    pub(super) fn judge_other(
        &mut self,
        now: Nanos,
        x: &Extracted,
        list: Option<Verdict>,
        known: Option<u32>,
    ) -> Decision {
        let outcome = match known {
            Some(campaign) => {
                Outcome { block: true, reason: Reason::Convicted, campaign, ..Outcome::default() }
            }
            None => Outcome::default(),
        };
        let mut verdict = self.settle(now, x, list, &outcome);
        if x.other == Other::Refused && list.is_none() && !verdict.action.rejects() {
            let case_id = CaseId::new(self.case_secret, 0, x.obs.key, Reason::NotInference);
            let reason = Reason::NotInference;
            verdict = Verdict { action: Action::Block, reason, case_id: Some(case_id), ..Verdict::default() };
        } else if verdict.reason == Reason::None {
            verdict.reason = Reason::NotInference;
        }
        Decision::of(&self.config, &mut self.last, verdict, x.key, x.profile)
    }

    /// Decides a request, in the mode of its profile. Call it exactly once a request, before it goes upstream; a second
    /// call on the same session allows.
    pub fn answer(&mut self, now: Nanos, session: &mut Session) -> Decision {
        Decision::early(&self.config, session).unwrap_or_else(|| self.read(now, session))
    }

    /// Host time from which the key of a decision, or its tenant, has been refused by its limits; `at` if
    /// this refusal is the first. No single worker sees all of a burst that reaches several.
    pub fn refused_since(&mut self, now: Nanos, at: u64, tenant: u64, d: &Decision) -> u64 {
        let of_keys = self.config.profile(d.profile).map_or(0, |p| by_owner(&p.limits).0.len());
        let Wait { wait, limit } = d.verdict.wait;
        let by_key = usize::from(limit) < of_keys;
        let id = if by_key { of_key(d.key.0, d.profile) } else { of_tenant(tenant, d.profile) };
        self.refusals.since(now, at, id, wait)
    }

    /// Lengthens the decision's wait to the longest that the ledger has published for its key and its tenant.
    pub fn hear_wait(&self, now: Nanos, tenant: u64, d: &mut Decision) {
        let of_tenant = of_tenant(tenant, d.profile);
        let ids = std::iter::once(d.key.0).chain((tenant != 0).then_some(of_tenant));
        let overdrawn = ids.filter_map(|id| self.verdicts.overdrawn(id, d.profile, now));
        let wait = d.verdict.wait.longer(longest(overdrawn));
        if let Some(profile) = self.config.profile(d.profile) {
            (d.verdict.wait, d.verdict.retry_after) = (wait, decide::told(wait, profile));
        }
    }

    /// Number of queued observations.
    pub fn waiting(&self) -> u16 {
        self.pending.len()
    }

    /// True if the next observation would be lost for want of room.
    pub fn is_full(&self) -> bool {
        self.pending.is_full(PENDING_BYTES)
    }

    /// Encodes the queued observations into `out`, replacing what it holds; empty if there are none.
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        out.clear();
        if !self.pending.is_empty() {
            self.pending.drain(self.seed_check, out);
        }
    }

    /// Replaces one shard of the ledger's snapshot.
    ///
    /// # Errors
    /// The shard is refused; the one before stays in force.
    pub fn apply(&mut self, shard: &[u8]) -> Result<(), Refused> {
        self.verdicts.apply(shard)
    }

    /// Replaces one shard of the hub's snapshot.
    ///
    /// # Errors
    /// The shard is refused; the one before stays in force.
    pub fn apply_hub(&mut self, shard: &[u8]) -> Result<(), Refused> {
        self.verdicts.apply_hub(shard, self.seed_check)
    }

    /// Sets the difference of the hub's clock and the node's (hub minus node), milliseconds.
    pub fn set_hub_ahead(&mut self, ms: i64) {
        self.verdicts.set_ahead(ms);
    }

    /// Drops the hub's snapshot.
    pub fn forget_hub(&mut self) {
        self.verdicts.forget_hub();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "edge_tests.rs"]
mod tests;

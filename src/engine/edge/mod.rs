//! The per-worker half: parse, fingerprint, look up, limit, decide. Allocates a few hundred KiB per worker.

pub mod decide;
pub mod identity;
pub mod limiter;
pub mod scan;
pub mod session;

use super::config::Config;
use super::dialect::Unreadable;
use super::fingerprint::{Fingerprint, Fingerprinter};
use super::hash::{self, Purpose};
use super::ledger::Outcome;
use super::ledger::groups::Axis;
use super::observation::{self, Batch, Few, Observation};
use super::snapshot::{Snapshot, SnapshotError};
use super::units::Nanos;
use super::verdict::{Reason, Verdict};
use decide::listed;
use limiter::Limiter;
use session::Session;
use std::sync::Arc;

/// Keys whose limits a worker remembers.
const LIMITED_KEYS: usize = 4_096;
/// Limits a profile may have.
const LIMITS: usize = 8;
/// Bytes of observations a worker holds until they are drained.
pub const PENDING_BYTES: usize = 64 << 10;

/// One worker's half.
#[derive(Debug)]
pub struct Edge {
    config: Arc<Config>,
    text_key: (u64, u64),
    network_key: u64,
    case_secret: u64,
    seed_check: u32,
    fingerprinter: Fingerprinter,
    own: Fingerprint,
    first: Fingerprint,
    values: Vec<u64>,
    snapshot: Snapshot,
    limiter: Limiter,
    pending: Batch,
    dropped: u64,
}

/// A request made ready for a decision: hashes only.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) obs: Observation,
    pub(super) unreadable: Option<Unreadable>,
    /// What a list says, if one names the request.
    pub(super) list: Option<Verdict>,
}

impl Edge {
    /// Allocates the worker's tables.
    pub fn new(config: Arc<Config>) -> Edge {
        let text_key = config.seed.key(Purpose::Text);
        let seed_check = config.seed.check();
        Edge {
            text_key,
            network_key: config.seed.key(Purpose::Network).0,
            case_secret: config.seed.key(Purpose::Case).0,
            seed_check,
            fingerprinter: Fingerprinter::new(text_key.0),
            own: Fingerprint::default(),
            first: Fingerprint::default(),
            values: Vec::with_capacity(160),
            snapshot: Snapshot::new(seed_check),
            limiter: Limiter::new(LIMITED_KEYS, LIMITS),
            pending: Batch::default(),
            dropped: 0,
            config,
        }
    }

    /// A new configuration of the same policy; limits and snapshot stay.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        if config.seed != self.config.seed {
            *self = Edge::new(config);
        } else {
            self.config = config;
        }
    }

    /// Bytes of the worker's tables.
    pub fn size_bytes(&self) -> usize {
        self.snapshot.size_bytes().saturating_add(self.limiter.size_bytes()).saturating_add(PENDING_BYTES)
    }

    /// Observations that found no room and were not sent.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the fingerprint (text ends here), looks values and lists up, and queues the observation.
    pub(super) fn prepare(&mut self, now: Nanos, session: &mut Session) -> Prepared {
        let unreadable = session.facts.unreadable;
        let mut obs = self.fingerprint(now, session);
        session.facts.wipe();
        let profile = self.config.profile(session.profile);
        let mut list = None;
        if let Some(p) = profile {
            // A denied credential stays denied beside another one; an allowed one must stand alone.
            if listed(&p.deny, &obs, &session.identity.parts, &self.values).is_some() {
                list = Some(decide::on_list(Reason::DenyList, self.case_secret, &obs, p));
            } else if listed(&p.allow, &obs, &[], &self.values).is_some() {
                obs.flags |= observation::ALLOWED;
                list = Some(decide::on_list(Reason::AllowList, self.case_secret, &obs, p));
            }
        }
        if !self.pending.push(&obs, PENDING_BYTES) {
            self.dropped = self.dropped.saturating_add(1);
        }
        Prepared { obs, unreadable, list }
    }

    fn fingerprint(&mut self, now: Nanos, session: &mut Session) -> Observation {
        let id = session.identity;
        let facts = &mut session.facts;
        let mut obs = Observation {
            time: now,
            key: if id.anonymous { 0 } else { id.key.0 },
            tenant: id.tenant,
            created_s: id.created.map_or(0, |c| u32::try_from(c.secs()).unwrap_or(u32::MAX).max(1)),
            profile: session.profile,
            ..Observation::default()
        };
        let flag = |on: bool, f: u8| if on { f } else { 0 };
        obs.flags = flag(facts.conversation, observation::CONVERSATION)
            | flag(id.anonymous, observation::ANONYMOUS)
            | flag(facts.unreadable.is_some(), observation::UNREADABLE);
        obs.last_user = facts.user.digest(self.text_key);
        let several = !facts.first_user.is_empty();
        obs.first_user = if several { facts.first_user.digest(self.text_key) } else { obs.last_user };
        let (head, tail) = facts.user.regions();
        self.fingerprinter.take(&[&facts.instructions, head, tail], &mut self.own);
        obs.exact = self.own.exact.unwrap_or(0);
        obs.anchors = Few::of(self.own.values.iter().copied());
        self.values.clear();
        self.values.extend_from_slice(&self.own.values);
        if several {
            let (head, tail) = facts.first_user.regions();
            self.fingerprinter.take(&[head, tail], &mut self.first);
            obs.first_anchors = Few::of(self.first.values.iter().copied());
            self.values.extend_from_slice(&self.first.values);
            self.values.sort_unstable();
            self.values.dedup();
        }
        obs.nfp = u8::try_from(self.own.values.len()).unwrap_or(u8::MAX);
        if !self.snapshot.is_empty() {
            let anchored =
                |v: &u64| obs.anchors.as_slice().contains(v) || obs.first_anchors.as_slice().contains(v);
            let known = self.values.iter().filter(|v| self.snapshot.value(**v).is_some() && !anchored(v));
            obs.matched = Few::of(known.copied());
        }
        let shape = hash::combine(hash::combine(id.client, facts.shape), facts.model ^ self.network_key);
        obs.nets = [
            if id.prefix == 0 { 0 } else { Axis::Network.tag(hash::mix(id.prefix)) },
            if id.client == 0 { 0 } else { Axis::Network.tag(shape) },
        ];
        obs
    }

    /// Turns an outcome (the ledger's, or the snapshot's) into a verdict; charges the limits if it gets that far.
    pub(super) fn settle(
        &mut self,
        now: Nanos,
        session: &Session,
        p: &Prepared,
        outcome: &Outcome,
    ) -> Verdict {
        if let Some(v) = p.list {
            return Verdict { evidence: outcome.evidence, ..v };
        }
        let config = Arc::clone(&self.config);
        let Some(profile) = config.profile(session.profile) else { return Verdict::default() };
        let mut outcome = *outcome;
        let id = &session.identity;
        let parts = || id.parts.iter().copied().filter(|k| *k != 0);
        if id.ambiguous && !outcome.block {
            let now_s = u32::try_from(p.obs.time.secs()).unwrap_or(u32::MAX);
            // A convicted credential is not another one's company away from its verdict.
            if let Some(k) = parts().find_map(|k| self.snapshot.key(k, now_s)) {
                (outcome.block, outcome.reason, outcome.campaign) = (true, Reason::Convicted, k.campaign);
            } else if !outcome.watch {
                (outcome.watch, outcome.reason) = (true, Reason::Ambiguous);
            }
        }
        let limiter = &mut self.limiter;
        let (key, limits) = (id.key.0, &profile.limits);
        decide::verdict(self.case_secret, profile, &p.obs, &outcome, p.unreadable, || {
            if limits.is_empty() {
                return None;
            }
            // Two profiles may limit one key differently: each has its own buckets. Each of several credentials pays: a
            // made-up second one must not bring a fresh quota.
            std::iter::once(key)
                .chain(parts())
                .filter_map(|k| {
                    limiter.charge(now, hash::combine(k, u64::from(session.profile)), limits).err()
                })
                .map(|d| d.retry_after)
                .max()
                .or(outcome.over)
        })
    }

    /// Decides with what the ledger has published so far: for workers that do not hold the ledger.
    pub fn decide(&mut self, now: Nanos, session: &mut Session) -> Verdict {
        let p = self.prepare(now, session);
        let m = self.snapshot.best_match(&self.values);
        let outcome = decide::from_snapshot(&self.snapshot, &p.obs, m);
        self.settle(now, session, &p, &outcome)
    }

    /// Pending observations, encoded into `out` (replacing it). Empty when there are none.
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        out.clear();
        if !self.pending.is_empty() {
            self.pending.drain(self.seed_check, out);
        }
    }

    /// Takes over one shard of the ledger's snapshot.
    ///
    /// # Errors
    /// A refused shard leaves the one before in force.
    pub fn apply(&mut self, shard: &[u8]) -> Result<(), SnapshotError> {
        self.snapshot.apply(shard)
    }
}

//! The engine: pure, host-free, deterministic. This file composes its two halves in one process. What each
//! floor holds and may use: see `src/ARCHITECTURE.md`.
#![forbid(unsafe_code)]

// ground: numbers, bytes, time
pub mod beta_binomial;
mod decimal;
pub mod hash;
pub mod map;
pub mod math;
pub mod sketch;
pub mod sort;
pub mod time;
pub mod units;
pub mod value;
pub mod wire;
// reading
pub mod dialect;
pub mod fingerprint;
pub mod json;
// what is asked for, counted and remembered
pub mod config;
pub mod limiter;
pub mod observation;
pub mod outcome;
pub mod tables;
pub mod verdict;
// judging: of a value, of a key
pub mod detect;
pub mod report;
pub mod rules;
// the half that learns, what it publishes, the half that decides
pub mod decision;
pub mod edge;
pub mod ledger;
mod record;
pub mod snapshot;

pub use decision::Decision;
pub use report::{CaseReport, GroupReport, Inspection, KeyReport, Status};
pub use wire::Refused;

use config::Config;
use edge::Edge;
use edge::extract::{Extracted, Extractor};
use edge::identity::Head;
use edge::session::{Other, Session};
use ledger::Ledger;
use outcome::Outcome;
use std::sync::Arc;
use units::Nanos;

/// The first step of a decision, which uses nothing that was learned, so threads may run it ahead of
/// `Engine::judge`. Returns the decision if the request needs no judging; otherwise `x` holds what is to be
/// judged.
pub fn extract(
    config: &Config,
    extractor: &mut Extractor,
    now: Nanos,
    session: &mut Session,
    x: &mut Extracted,
) -> Option<Decision> {
    let early = Decision::early(config, session);
    if early.is_none() {
        extractor.take(now, session, x);
        session.facts.wipe();
    }
    early
}

/// Both halves in one process: for replay, simulation, hosts with a single VM, tests. An observation is
/// applied at once. Debug builds assert that the bytes sent between a worker and the leader would give the
/// same result.
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
    keys: edge::identity::Keys,
    extractor: Extractor,
    scratch: Extracted,
    edge: Edge,
    ledger: Ledger,
}

impl Engine {
    /// Allocates all tables. Memory does not grow afterwards.
    pub fn new(config: Arc<Config>) -> Engine {
        Engine {
            keys: edge::identity::Keys::new(&config.seed),
            extractor: Extractor::new(&config.seed),
            scratch: Extracted::default(),
            edge: Edge::new(Arc::clone(&config)),
            ledger: Ledger::new(&config),
            config,
        }
    }

    /// Sets a new configuration over the state learned so far. Table sizes stay until a restart. Another seed
    /// starts empty, because what was learned under the old one cannot be used.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        if Arc::ptr_eq(&config, &self.config) {
            return;
        }
        if config.seed != self.config.seed {
            *self = Engine::new(config);
            return;
        }
        self.edge.reconfigure(Arc::clone(&config));
        self.ledger.reconfigure(&config);
        self.config = config;
    }

    /// The present configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Starts a request.
    pub fn open(&self, _now: Nanos, head: &Head<'_>) -> Session {
        self.edge.open(&self.config, &self.keys, head)
    }

    /// Decides a request. Call it exactly once, before the request goes upstream; a second call on the same
    /// session allows.
    pub fn decide(&mut self, now: Nanos, session: &mut Session) -> Decision {
        let mut x = std::mem::take(&mut self.scratch);
        let early = extract(&self.config, &mut self.extractor, now, session, &mut x);
        let decision = early.unwrap_or_else(|| self.judge(now, &mut x));
        self.scratch = x;
        decision
    }

    /// Decides an extracted request, whose extractor has the same policy and may have run on another thread.
    /// Call it exactly once a request.
    pub fn judge(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        let first = self.judge_one(now, x);
        first.or_of_items(x, |item| self.edge.look_up(now, item))
    }

    fn judge_one(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        let list = self.edge.prepare(x);
        debug_assert!(self.travels(&x.obs), "the ledger of a node would see something else");
        if x.other != Other::No {
            // Without a prompt it teaches nothing: of what was learned only the conviction of its key counts.
            let known = self.ledger.conviction(x.obs.key).filter(|_| x.obs.key != 0);
            return self.edge.judge_other(now, x, list, known);
        }
        let mut outcome = self.ledger.observe_direct(&x.obs);
        if self.ledger.values_changed() {
            self.publish();
        }
        // Beside another credential a convicted one stays convicted. (Edges apart from the ledger ask their snapshot.)
        if !outcome.block
            && let Some(campaign) = x.parts.iter().chain(&x.also).find_map(|k| self.ledger.conviction(*k))
        {
            outcome = Outcome { block: true, reason: verdict::Reason::Convicted, campaign, ..outcome };
        }
        let verdict = self.edge.settle(now, x, list, &outcome);
        if !verdict.action.rejects() {
            self.ledger.served(&x.obs);
        }
        Decision::of(&self.config, &mut self.edge.last, verdict, x.key, x.profile)
    }

    /// The bytes that travel between VMs say the same: what is judged here is judged alike behind a batch.
    fn travels(&self, obs: &observation::Observation) -> bool {
        let (mut batch, mut bytes, check) =
            (observation::Batch::default(), Vec::new(), self.config.seed.check());
        batch.push(obs, edge::PENDING_BYTES);
        batch.drain(check, &mut bytes);
        let mut same = false;
        observation::decode(&bytes, check, |o| same = o == obs).is_ok() && same
    }

    fn publish(&mut self) {
        let (ledger, edge) = (&mut self.ledger, &mut self.edge);
        ledger.publish(|_, shard| {
            let _ = edge.apply(shard);
        });
    }

    /// Ageing and expiry. Call it at least once a minute of engine time.
    pub fn tick(&mut self, now: Nanos) {
        self.ledger.tick(now);
        if self.ledger.values_changed() {
            self.publish();
        }
    }

    /// Counts for gauges.
    pub fn status(&self) -> Status {
        Status {
            state_bytes: self.ledger.size_bytes().saturating_add(self.edge.size_bytes()) as u64,
            ..self.ledger.status()
        }
    }

    /// Groups that are confirmed or watched, those with the highest score first.
    pub fn groups(&self) -> Vec<GroupReport> {
        self.ledger.groups_report()
    }

    /// Groups of text on at least `keys` keys, in any state, those on most keys first.
    pub fn common_groups(&self, keys: u32) -> Vec<GroupReport> {
        self.ledger.common_groups(keys)
    }

    /// One group by its value, for diagnosis.
    pub fn inspect(&self, value: u64) -> Option<Inspection> {
        self.ledger.inspect(value)
    }

    /// Everything learned, with version and checksum. Hashes and counts only.
    pub fn write_state(&self) -> Vec<u8> {
        self.ledger.write_state()
    }

    /// Replaces everything learned.
    ///
    /// # Errors
    /// State of another version, seed or table size is refused whole; the engine is unchanged.
    pub fn read_state(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut fresh = Ledger::new(&self.config);
        fresh.read_state(bytes)?;
        self.ledger = fresh;
        self.publish();
        Ok(())
    }
}

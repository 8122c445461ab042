//! A deployment as it is measured: several workers that decide by published shards, and one ledger that hears
//! of it later (`scope: node`); or both halves in one process (`scope: vm`, no edges).
//!
//! A step is the module's tick: every 100 ms of engine time the workers' observations reach the ledger, and
//! what the ledger publishes applies at all workers a step later. Batches and shards go through the module's
//! encoders. The worker of a request is a hash of its running number, so that a run depends on its traffic
//! alone.

use crate::apart::{Apart, IDLE, STEP};
use crate::fleet::{Fleet, Layout};
use std::sync::Arc;
use weir::engine::config::{Config, Scope};
use weir::engine::edge::extract::Extracted;
use weir::engine::units::Nanos;
use weir::engine::{Decision, Engine, GroupReport, Inspection, Refused, Status};

/// Largest number of workers.
pub const MOST: i64 = 64;
/// Default number of workers: enough to differ from one process.
pub const USUAL: u8 = 2;

/// Default number of workers for a configuration's scope.
pub fn usual(scope: Scope) -> u8 {
    if scope == Scope::Node { USUAL } else { 0 }
}

/// Workers with a ledger, several nodes of these, or an engine.
pub struct Deployment(Kind);

/// The clock of recorded traffic.
#[derive(Default)]
pub struct Ticker(Nanos);

impl Ticker {
    /// Calls `tick` for every minute up to `now`. A long gap is crossed in 500 steps, or in as many as it
    /// takes that each is believed (the ledger doubts a leap of more than ten minutes).
    pub fn to(&mut self, now: Nanos, mut tick: impl FnMut(Nanos)) {
        if self.0 == Nanos(0) {
            self.0 = now;
        }
        let gap = now.since(self.0);
        let step = IDLE.max(Nanos(gap.0 / 500).min(Nanos::from_secs(600))).max(Nanos(gap.0 / 100_000));
        while now.since(self.0) >= step {
            self.0 = self.0.plus(step);
            tick(self.0);
        }
    }
}

enum Kind {
    Whole(Box<Engine>),
    Apart(Box<Apart>),
    Fleet(Box<Fleet>),
}

impl Deployment {
    /// Allocates all tables.
    pub fn new(config: Arc<Config>, edges: u8) -> Deployment {
        Deployment(match edges {
            0 => Kind::Whole(Box::new(Engine::new(config))),
            n => Kind::Apart(Box::new(Apart::new(config, n, false))),
        })
    }

    /// Several nodes of `edges` workers each, with or without a hub.
    pub fn fleet(config: &Arc<Config>, layout: Layout, edges: u8) -> Deployment {
        Deployment(Kind::Fleet(Box::new(Fleet::new(config, layout, edges))))
    }

    pub fn config(&self) -> &Arc<Config> {
        match &self.0 {
            Kind::Whole(e) => e.config(),
            Kind::Apart(a) => &a.config,
            Kind::Fleet(f) => f.config(),
        }
    }

    /// Number of workers; 0 if both halves are one process.
    pub fn edges(&self) -> usize {
        match &self.0 {
            Kind::Whole(_) => 0,
            Kind::Apart(a) => a.workers(),
            Kind::Fleet(f) => f.edges(),
        }
    }

    /// Decides an extracted request. Time must not step back.
    pub fn judge(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        match &mut self.0 {
            Kind::Whole(e) => e.judge(now, x),
            Kind::Apart(a) => a.judge(now, x),
            Kind::Fleet(f) => f.judge(now, x),
        }
    }

    /// Ageing and expiry. Call it at least once a minute of engine time.
    pub fn tick(&mut self, now: Nanos) {
        match &mut self.0 {
            Kind::Whole(e) => e.tick(now),
            Kind::Apart(a) => a.advance(now),
            Kind::Fleet(f) => f.advance(now),
        }
    }

    /// Ends the traffic: the ledger hears of the last requests. Call it before any report, and before state
    /// is written.
    pub fn finish(&mut self) {
        match &mut self.0 {
            Kind::Apart(a) if a.at != Nanos(0) => a.step(a.at.plus(STEP)),
            Kind::Fleet(f) => f.finish(),
            _ => {}
        }
    }

    pub fn status(&self) -> Status {
        match &self.0 {
            Kind::Whole(e) => e.status(),
            Kind::Apart(a) => a.status(),
            Kind::Fleet(f) => f.status(),
        }
    }

    pub fn groups(&self) -> Vec<GroupReport> {
        match &self.0 {
            Kind::Whole(e) => e.groups(),
            Kind::Apart(a) => a.ledger.groups_report(),
            Kind::Fleet(f) => f.ledger().groups_report(),
        }
    }

    /// Groups of text on at least `keys` keys, those on most keys first.
    pub fn common_groups(&self, keys: u32) -> Vec<GroupReport> {
        match &self.0 {
            Kind::Whole(e) => e.common_groups(keys),
            Kind::Apart(a) => a.ledger.common_groups(keys),
            Kind::Fleet(f) => f.ledger().common_groups(keys),
        }
    }

    pub fn inspect(&self, value: u64) -> Option<Inspection> {
        match &self.0 {
            Kind::Whole(e) => e.inspect(value),
            Kind::Apart(a) => a.ledger.inspect(value),
            Kind::Fleet(f) => f.ledger().inspect(value),
        }
    }

    /// The record of a decision just made, as the module logs it: a worker has no evidence across keys.
    pub fn record(&self, now: Nanos, d: &Decision) -> String {
        match &self.0 {
            Kind::Whole(e) => e.record(now, d),
            Kind::Apart(a) => d.record(now, &a.config, None),
            Kind::Fleet(f) => d.record(now, f.config(), None),
        }
    }

    /// The record of a decision just made, with all that the ledger knows by now, for diagnosis.
    pub fn explain(&self, now: Nanos, d: &Decision) -> String {
        match &self.0 {
            Kind::Whole(e) => e.record(now, d),
            Kind::Apart(a) => d.record(now, &a.config, Some(&a.ledger)),
            Kind::Fleet(f) => d.record(now, f.config(), Some(f.ledger())),
        }
    }

    /// From now on keeps the ledger's own verdicts for `news`.
    pub fn keep_news(&mut self) {
        if let Kind::Apart(a) = &mut self.0 {
            a.news = Some(Vec::new());
        }
    }

    /// Records of what the ledger has decided since the last call, in order.
    pub fn news(&mut self) -> Vec<String> {
        match &mut self.0 {
            Kind::Whole(_) | Kind::Fleet(_) => Vec::new(),
            Kind::Apart(a) => a.news.as_mut().map(std::mem::take).unwrap_or_default(),
        }
    }

    /// True if the ledger has convicted the key, whatever its workers have answered. (In one process the
    /// answers show it.)
    pub fn convicted(&self, key: u64) -> bool {
        match &self.0 {
            Kind::Whole(_) => false,
            Kind::Apart(a) => a.ledger.was_convicted(key),
            Kind::Fleet(f) => f.convicted(key),
        }
    }

    pub fn write_state(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Whole(e) => e.write_state(),
            Kind::Apart(a) => a.ledger.write_state(),
            Kind::Fleet(f) => f.ledger().write_state(),
        }
    }

    /// Restores what was learned. All workers apply it before their first request.
    pub fn read_state(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        match &mut self.0 {
            Kind::Whole(e) => e.read_state(bytes),
            Kind::Apart(a) => a.read_state(bytes),
            // A fleet has no one state to start from.
            Kind::Fleet(_) => Ok(()),
        }
    }

    /// Replaces the process by a new one, with what was learned (`keep`) or empty.
    pub fn restart(&mut self, keep: bool) -> Result<(), Refused> {
        let state = keep.then(|| {
            self.finish();
            self.write_state()
        });
        *self = Deployment::new(Arc::clone(self.config()), u8::try_from(self.edges()).unwrap_or(u8::MAX));
        state.map_or(Ok(()), |bytes| self.read_state(&bytes))
    }
}

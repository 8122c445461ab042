//! One ledger a node: the protocol between the VMs of a proxy, over shared cells. Host-free; time and cells
//! are arguments.
//!
//! Every VM is a `Node`: it writes the observations of its requests into its own ring of cells and decides by
//! the snapshot that the leader publishes. One VM holds the lease, and with it the ledger: it applies all
//! rings, evaluates, publishes, and writes checkpoint pages in turn. When it dies, is replaced by newer code
//! or yields, another VM reads the pages and continues with the rings where the ledger stood. Cells: see
//! `cells`.
//!
//! Guarantees: at most one VM changes the ledger and its cells at a time, except for the rest of one callback
//! of a leader that stalled longer than its lease (its shards carry an old epoch and are ignored; its pages
//! and tails are written again within a cycle). Observations that are lost are counted exactly. No callback
//! works on the backlog for longer than `BUDGET`. Nothing here can be refused by the host in a way that stops
//! a request.
#![forbid(unsafe_code)]

pub mod cells;
pub mod exchange;
mod leader;
mod step;
mod uplink;
mod worker;

use crate::engine::config::Config;
use crate::engine::edge::Edge;
use crate::engine::edge::identity::{Head as Request, Keys};
use crate::engine::edge::session::Session;
use crate::engine::units::Nanos;
use crate::engine::{Decision, Status};
use cells::{HUB_SHARDS, Head, SHARDS};
use std::sync::Arc;
pub use step::Step;
pub use uplink::{Answer, CALL_MS, Uplink};

const MS: u64 = 1_000_000;
/// Time between ticks that is asked of the host, nanoseconds.
pub const TICK: u64 = 100 * MS;
/// Time after a worker's first refusal of a key until the ledger has said what all workers served,
/// nanoseconds. Steps of a tick each: this worker writes, the leader publishes, the others read it and serve
/// no more, the leader publishes what those served, this worker reads that.
pub const WORD: u64 = 5 * TICK + TICK / 4;
/// A leader is taken for dead if its heartbeat stands still for this long (nanoseconds) and for ten ticks:
/// after a stop of the whole process the time alone shows nothing.
pub const STALE: u64 = 2_000 * MS;
const STALE_TICKS: u32 = 10;
/// Time that a VM which serves requests waits longer before it takes over, nanoseconds: the main thread's VM
/// is preferred.
pub const GRACE: u64 = 1_000 * MS;
/// Least time between two yields of a leader that serves requests, nanoseconds.
pub const YIELD_EVERY: u64 = 10_000 * MS;
/// Time after which a yield that nobody takes ends, nanoseconds.
pub const YIELD_FOR: u64 = 1_000 * MS;
/// Time of silence after which a ring may be taken over from its owner, nanoseconds.
pub const SILENT: u64 = 5_000 * MS;
/// Ticks without a heartbeat after which only full batches are written, so that the ring's free cells last
/// until somebody leads.
const SPARING: u64 = cells::RING / 3;
/// Longest work on the backlog in one callback, nanoseconds.
pub const BUDGET: u64 = 20 * MS;
/// Age above which an observation that reaches the ledger is late, nanoseconds.
const LATE: u64 = 1_000 * MS;
/// Checkpoint pages written in a tick. A cycle over the 700 pages of the default tables takes a second, so a
/// crash loses at most a second of updates. 650 pages are written in 1.8 ms (`make bench-node`), so a tick
/// spends a fifth of a millisecond.
pub const PAGES_PER_TICK: u32 = 72;

/// The host's shared cells and its monotonic clock.
pub trait Cells {
    /// Value and version of a cell; `None` if it is absent, or on any status but success.
    fn get(&mut self, name: &str) -> Option<(Vec<u8>, u32)>;
    /// Writes a cell: with `cas` 0 always, with `CREATE` only if it is absent, otherwise only if its version
    /// is `cas`. On Envoy any version succeeds if the cell is absent, and the new version is not returned.
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Set;
    /// Sixteen random bytes; `None` if the host has none.
    fn random(&mut self) -> Option<[u8; 16]>;
    /// Nanoseconds of a clock that never steps back and is the same in all VMs.
    fn monotonic(&mut self) -> u64;
}

/// A version that no cell has: for `Cells::set`, write only if the cell is absent.
pub const CREATE: u32 = u32::MAX;

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Written.
    Done,
    /// Another VM has written first.
    Mismatch,
    /// The host has no cells.
    Failed,
}

/// Counters of this VM since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Observations written into the ring.
    pub sent: u64,
    /// Observations lost because the worker had no room, or no ring.
    pub dropped: u64,
    /// Observations applied by this VM as leader.
    pub applied: u64,
    /// Observations overwritten or damaged before this VM could apply them.
    pub lost: u64,
    /// Observations applied more than a second after they were written.
    pub late: u64,
    /// Cells, other than pages, that were damaged, foreign, or of another layout.
    pub cells_refused: u64,
    /// Checkpoint pages that were damaged, foreign, or of another layout.
    pub pages_refused: u64,
    /// Number of times this VM took the lease.
    pub take_overs: u64,
    /// Observations that the hub has acknowledged.
    pub hub_sent: u64,
    /// Observations dropped before the hub had acknowledged them.
    pub hub_dropped: u64,
    /// Exchanges with the hub that failed.
    pub hub_failed: u64,
}

/// A change of the lease in this VM, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// This VM leads from now on.
    Leads {
        /// Take-overs since the process started.
        epoch: u64,
        /// Number of pages restored.
        pages: u64,
        /// Number of pages refused.
        refused: u64,
        /// Duration of the restore, microseconds.
        us: u64,
    },
    /// This VM has written all pages and waits for a successor.
    Yields {
        /// Duration of the writing, microseconds.
        us: u64,
    },
    /// Another VM leads.
    Lost,
}

/// Health of the node, as this VM sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// True if a heartbeat of a leader was seen within the lease.
    pub present: bool,
    /// Time since the last new heartbeat, milliseconds.
    pub beat_age_ms: u64,
    /// Time since the present leader took over, as seen here, milliseconds.
    pub leader_age_ms: u64,
    /// True if the leader's VM also serves requests.
    pub serving: bool,
    /// Take-overs since the process started.
    pub epoch: u64,
    /// Time from the publication of the last shards to their application here, milliseconds; `None` if there
    /// were none.
    pub lag_ms: Option<u64>,
    /// Time since this VM's last complete checkpoint, milliseconds; `None` if it does not lead.
    pub checkpoint_age_ms: Option<u64>,
    /// Time since the hub last answered, milliseconds, and observations that it has not acknowledged; `None`
    /// if this VM does not lead or there is no hub.
    pub hub: Option<(u64, u64)>,
}

/// The part of one VM in one policy.
#[derive(Debug)]
pub struct Node {
    config: Arc<Config>,
    keys: Keys,
    prefix: String,
    rank: u32,
    /// Number among the VMs of the policy, 0 until taken.
    uid: u64,
    /// True once a request has come to this VM.
    serving: bool,
    /// True if all root contexts of the policy are gone: the VM takes no further part.
    left: bool,
    edge: Option<Edge>,
    ring: worker::Ring,
    lead: Option<Box<leader::Lead>>,
    /// The last head that was read.
    head: Head,
    seen: (u64, u64),
    seen_at: u64,
    still: u32,
    epoch_at: u64,
    born: u64,
    last_run: u64,
    applied: [u32; SHARDS],
    hub_applied: [u32; HUB_SHARDS],
    lag: Option<u64>,
    lease_change: Option<LeaseChange>,
    counts: Counts,
}

impl Node {
    /// The part of this VM in a policy. `rank`: that of its code. Memory: a few KiB until the first request
    /// comes.
    pub fn new(config: Arc<Config>, rank: u32) -> Node {
        Node {
            keys: Keys::new(&config.seed),
            prefix: cells::prefix(&config),
            rank,
            uid: 0,
            serving: false,
            left: false,
            edge: None,
            ring: worker::Ring::default(),
            lead: None,
            head: Head::default(),
            seen: (0, 0),
            seen_at: 0,
            still: 0,
            epoch_at: 0,
            born: 0,
            last_run: 0,
            applied: [0; SHARDS],
            hub_applied: [0; HUB_SHARDS],
            lag: None,
            lease_change: None,
            counts: Counts::default(),
            config,
        }
    }

    /// Makes the lease cell if it is absent, and takes a number. False if the host has no shared data.
    ///
    /// The canary VM that a host configures first makes the cell and takes no number. So the next VM, which
    /// at a cold start is the main thread's, is number one.
    pub fn join(&mut self, cells: &mut dyn Cells) -> bool {
        self.left = false;
        let head = self.name("H", &[]);
        match cells.set(&head, &Head::default().encode(), CREATE) {
            Set::Failed => return false,
            Set::Mismatch if self.uid == 0 => self.number(cells),
            _ => {}
        }
        cells.get(&head).is_some()
    }

    /// Takes the next number. Another VM may be faster a few times.
    fn number(&mut self, cells: &mut dyn Cells) {
        let name = self.name("n", &[]);
        for _ in 0..64 {
            let (last, cas) = match cells.get(&name) {
                Some((bytes, cas)) => (bytes.try_into().map(u64::from_le_bytes).unwrap_or(0), cas),
                None => (0, CREATE),
            };
            let next = last.saturating_add(1);
            if cells.set(&name, &next.to_le_bytes(), cas) == Set::Done {
                self.uid = next;
                return;
            }
        }
    }

    fn name(&self, kind: &str, numbers: &[u64]) -> String {
        cells::name(&self.prefix, kind, numbers)
    }

    /// Sets a new configuration of the policy. Tables keep their sizes.
    pub fn reconfigure(&mut self, config: &Arc<Config>) {
        if Arc::ptr_eq(config, &self.config) {
            return;
        }
        if let Some(edge) = &mut self.edge {
            edge.reconfigure(Arc::clone(config));
        }
        if let Some(lead) = &mut self.lead {
            lead.ledger.reconfigure(config);
        }
        self.config = Arc::clone(config);
    }

    /// Decides a request by the configuration of its own root context. Call it exactly once a request.
    pub fn decide(
        &mut self,
        cells: &mut dyn Cells,
        config: &Arc<Config>,
        now: Nanos,
        session: &mut Session,
    ) -> Decision {
        self.serve(cells);
        let Some(edge) = &mut self.edge else { return Decision::default() };
        edge.reconfigure(Arc::clone(config));
        let decision = edge.answer(now, session);
        if edge.is_full() {
            self.flush(cells);
        }
        decision
    }

    /// Time that the reply to a refusal must wait until the ledger has said how long the key must wait,
    /// nanoseconds; 0 if it has, or if nobody leads. `at`: now by the host's clock.
    pub fn word_in(&mut self, now: Nanos, at: u64, tenant: u64, d: &Decision) -> u64 {
        match &mut self.edge {
            Some(edge) if self.head.state != cells::FREE => {
                edge.refused_since(now, at, tenant, d).saturating_add(WORD).saturating_sub(at)
            }
            _ => 0,
        }
    }

    /// See `Edge::hear_wait`.
    pub fn hear_wait(&self, now: Nanos, tenant: u64, d: &mut Decision) {
        if let Some(edge) = &self.edge {
            edge.hear_wait(now, tenant, d);
        }
    }

    /// Starts reading a request.
    pub fn open(&self, config: &Config, head: &Request<'_>) -> Session {
        match &self.edge {
            Some(edge) => edge.open(config, &self.keys, head),
            None => Session::open(config, &self.keys, head),
        }
    }

    /// One tick: heartbeat, observations, verdicts, and the leader's work if this VM leads. Several root
    /// contexts may call it; it runs once each `period` (nanoseconds). False if it is not time yet.
    pub fn tick(&mut self, cells: &mut dyn Cells, now: Nanos, period: u64) -> bool {
        let mono = cells.monotonic();
        if self.left
            || self.last_run != 0 && mono.saturating_sub(self.last_run) < period.saturating_sub(period / 5)
        {
            return false;
        }
        self.last_run = mono;
        if self.uid == 0 {
            self.number(cells);
            if self.uid == 0 {
                return false;
            }
        }
        if self.born == 0 {
            (self.born, self.seen_at, self.epoch_at) = (mono, mono, mono);
        }
        let cas = self.look(cells, mono);
        self.beat(cells, mono, period);
        if self.lead.is_some() {
            self.lead(cells, mono, now);
        } else {
            self.stand(cells, mono, cas);
        }
        self.pull(cells, mono);
        true
    }

    /// Reads the head. Returns its version.
    fn look(&mut self, cells: &mut dyn Cells, mono: u64) -> u32 {
        let cell = cells.get(&self.name("H", &[]));
        let cas = match cell {
            Some((bytes, cas)) => {
                // A leader finds what it wrote, mostly.
                let is_own = self.lead.as_ref().is_some_and(|l| cells::same(&l.head_cell, &bytes));
                match if is_own { None } else { Some(Head::decode(&bytes)) } {
                    None => {}
                    Some(Some(head)) => self.head = head,
                    // No VM can lead by a damaged head. The epoch goes on from the last good one.
                    Some(None) => {
                        self.counts.cells_refused = self.counts.cells_refused.saturating_add(1);
                        self.head.state = cells::FREE;
                    }
                }
                cas
            }
            None => {
                self.head.state = cells::FREE;
                CREATE
            }
        };
        let beat = (self.head.epoch, self.head.beat);
        if beat.0 != self.seen.0 {
            self.epoch_at = mono;
        }
        if beat == self.seen {
            self.still = self.still.saturating_add(1);
        } else {
            (self.seen, self.seen_at, self.still) = (beat, mono, 0);
        }
        cas
    }

    /// Hands everything to the other VMs: the last root context of the policy has left this VM.
    pub fn leave(&mut self, cells: &mut dyn Cells) {
        self.flush(cells);
        self.free(cells);
        self.left = true;
    }

    /// The leader's next request to the hub, if one is due. The host makes the call and reports its result to
    /// `hub_answer` or `hub_not_sent`.
    pub fn hub_request(&mut self, cells: &mut dyn Cells, now: Nanos) -> Option<Vec<u8>> {
        let mono = cells.monotonic();
        self.config.hub.as_ref()?;
        self.lead.as_mut()?.uplink.as_mut()?.request(&self.config, mono, now)
    }

    /// Reports that the host could not make the call.
    pub fn hub_not_sent(&mut self, cells: &mut dyn Cells) {
        let mono = cells.monotonic();
        if let Some(up) = self.lead.as_mut().and_then(|l| l.uplink.as_mut()) {
            up.not_sent(&mut self.counts, mono);
        }
    }

    /// Reports status and body of the answer, which is the hub's or the host's own.
    pub fn hub_answer(&mut self, cells: &mut dyn Cells, status: u32, body: &[u8]) -> Option<Answer> {
        let mono = cells.monotonic();
        let lead = self.lead.as_mut()?;
        let (config, prefix, counts) = (&self.config, &self.prefix, &mut self.counts);
        let answer = lead.hub_answer(&mut Step { config, prefix, cells, counts, mono }, (status, body));
        self.head = lead.head.clone();
        self.pull(cells, mono);
        answer
    }

    /// True if this VM holds the lease.
    pub fn leads(&self) -> bool {
        self.lead.is_some()
    }

    /// The last change of the lease that was not returned yet.
    pub fn lease_change(&mut self) -> Option<LeaseChange> {
        self.lease_change.take()
    }

    /// The counters so far.
    pub fn counts(&self) -> Counts {
        let dropped = self.edge.as_ref().map_or(0, Edge::dropped);
        Counts { dropped: self.counts.dropped.saturating_add(dropped), ..self.counts }
    }

    /// The node's health. Its `lag_ms` starts anew with each call.
    pub fn health(&mut self, cells: &mut dyn Cells) -> Health {
        let mono = cells.monotonic();
        let age = mono.saturating_sub(self.seen_at);
        let ms = |t: u64| mono.saturating_sub(t) / MS;
        Health {
            present: self.head.state != cells::FREE && self.head.epoch != 0 && age < STALE,
            beat_age_ms: age / MS,
            leader_age_ms: ms(self.epoch_at),
            serving: self.head.serving,
            epoch: self.head.epoch,
            lag_ms: self.lag.take().map(|l| l / MS),
            checkpoint_age_ms: self.lead.as_ref().map(|l| ms(l.checkpointed)),
            hub: self
                .lead
                .as_ref()
                .and_then(|l| l.uplink.as_ref())
                .map(|u| u.health(mono))
                .map(|(age, n)| (age / MS, n)),
        }
    }

    /// Records of the verdicts that the ledger reached in this tick, with their evidence. Their field `at`
    /// tells them from records of edges.
    pub fn news(&self) -> Vec<String> {
        let Some(lead) = &self.lead else { return Vec::new() };
        let logged = |d: &Decision| {
            self.config.profile(d.profile).is_some_and(|p| p.log != crate::engine::config::LogDecisions::None)
        };
        let record = |(t, d): &(Nanos, Decision)| d.record_at_ledger(*t, &self.config, &lead.ledger);
        lead.news.iter().filter(|(_, d)| logged(d)).map(record).collect()
    }

    /// Counts of the ledger, if this VM leads.
    pub fn status(&mut self) -> Option<Status> {
        self.lead.as_mut().map(|l| l.status())
    }

    /// Bytes of this VM's tables.
    pub fn size_bytes(&self) -> usize {
        let ledger = self.lead.as_ref().map_or(0, |l| l.ledger.size_bytes());
        self.edge.as_ref().map_or(0, Edge::size_bytes).saturating_add(ledger)
    }
}

#[cfg(test)]
mod memory;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]
mod tests;

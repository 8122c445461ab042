//! The engine: pure, host-free, deterministic. All control flow between stages is in this file, and only here.
#![forbid(unsafe_code)]

pub mod hash;
pub mod units;
// data flow order from here
pub mod config;
pub mod dialect;
pub mod edge;
pub mod fingerprint;
pub mod verdict;

use config::{Config, ProfileId};
use edge::identity::{Head, KeyId};
use edge::session::Session;
use std::sync::Arc;
use units::Nanos;
use verdict::{Action, Mode, Verdict};

/// What came of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// As decided, before the mode.
    pub verdict: Verdict,
    /// As done, in the profile's mode.
    pub action: Action,
    /// The mode that was applied.
    pub mode: Mode,
    /// The profile that was applied.
    pub profile: ProfileId,
    /// Who.
    pub key: KeyId,
    /// The key's action (as decided) differs from its previous one: worth a log line under `log.decisions: changes`.
    pub changed: bool,
}

/// A template, network or profile group, for reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupReport {
    /// Campaign (case) number, 0 if none.
    pub campaign: u32,
    /// `text`, `network` or `profile`.
    pub axis: &'static str,
    /// `confirmed`, `watch`, `exempt` or `learning`.
    pub state: &'static str,
    /// The value, as it is written in allow lists (`tid:…`, `nid:…`).
    pub id: String,
    /// Estimated distinct keys.
    pub keys: u32,
    /// Requests (aged).
    pub requests: u32,
    /// Score, points.
    pub score: i32,
    /// Evidence terms by name, points.
    pub terms: Vec<(&'static str, i32)>,
}

/// Sizes and counts for gauges and reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Keys in the table.
    pub keys: u32,
    /// Groups in use.
    pub groups: u32,
    /// Confirmed values.
    pub confirmed: u32,
    /// Open cases.
    pub campaigns: u32,
    /// Keys convicted at present.
    pub convicted: u32,
    /// Groups evicted so far.
    pub groups_evicted: u64,
    /// Keys evicted so far.
    pub keys_evicted: u64,
    /// Times the clock stepped back.
    pub clock_steps_back: u64,
    /// A profile alarm is on.
    pub profile_alarm: bool,
    /// Bytes of all tables.
    pub state_bytes: u64,
}

/// Why saved state was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// Not a Weir state file, or cut short.
    Malformed,
    /// Another layout version.
    Version(u16),
    /// Another seed.
    Seed,
    /// The checksum does not match.
    Checksum,
}

/// Both halves in one process: replay, simulation, single-VM hosts, tests. An observation is applied at once.
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
}

impl Engine {
    /// Allocates all tables. Memory does not grow afterwards.
    pub fn new(config: Arc<Config>) -> Engine {
        Engine { config }
    }
    /// A new configuration over the state learned so far (table sizes stay as they are until a restart).
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.config = config;
    }
    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
    /// Starts a request.
    pub fn open(&self, _now: Nanos, head: &Head<'_>) -> Session {
        Session::open(&self.config, head)
    }
    /// Decides a request: exactly once, before it goes upstream.
    pub fn decide(&mut self, _now: Nanos, _session: &mut Session) -> Decision {
        Decision::default()
    }
    /// Ageing, evaluation, expiry. Call at least once a minute of engine time; any rate is fine.
    pub fn tick(&mut self, _now: Nanos) {}
    /// Counts for gauges.
    pub fn status(&self) -> Status {
        Status::default()
    }
    /// Groups that are confirmed or watched, strongest first.
    pub fn groups(&self) -> Vec<GroupReport> {
        Vec::new()
    }
    /// Everything learned, versioned and checksummed. Hashes and counts only.
    pub fn write_state(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Replaces everything learned.
    ///
    /// # Errors
    /// State of another version, seed or length is refused whole; the engine is unchanged.
    pub fn read_state(&mut self, _bytes: &[u8]) -> Result<(), StateError> {
        Err(StateError::Malformed)
    }
}

//! The engine: pure, host-free, deterministic. All control flow between stages is in this file, and only here.
#![forbid(unsafe_code)]

pub mod hash;
pub mod sort;
pub mod units;
// data flow order from here
pub mod config;
pub mod dialect;
pub mod edge;
pub mod fingerprint;
pub mod limiter;
pub mod observation;
// the learning half
mod decimal;
pub mod detect;
pub mod ledger;
pub mod map;
pub mod math;
mod record;
pub mod rules;
pub mod sketch;
pub mod snapshot;
pub mod verdict;
pub mod wire;

use config::{Config, ProfileId};
use edge::extract::{Extracted, Extractor};
use edge::identity::{Head, KeyId};
use edge::session::{Other, Session};
use edge::{Edge, actions::LastActions};
use ledger::{Ledger, Outcome};
use std::sync::Arc;
use units::Nanos;
use verdict::{Action, Mode, Reason, Verdict};

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

impl Decision {
    /// What is decided before a request is looked at: decided already, mode off, or a path that is let through. Otherwise its facts
    /// are final after this.
    fn early(config: &Config, session: &mut Session) -> Option<Decision> {
        let mode = config.profile(session.profile).map_or(Mode::Off, |p| p.mode);
        let base =
            Decision { mode, profile: session.profile, key: session.identity.key, ..Decision::default() };
        if std::mem::replace(&mut session.decided, true) || mode == Mode::Off {
            return Some(base);
        }
        if session.other == Other::Passed {
            let verdict = Verdict { reason: Reason::NotInference, ..Verdict::default() };
            return Some(Decision { verdict, ..base });
        }
        session.finish();
        None
    }

    /// What the ledger makes of an observation: the evidence behind what the edges do, if it is news.
    pub fn at_ledger(
        config: &Config,
        last: &mut LastActions,
        obs: &observation::Observation,
        outcome: &Outcome,
    ) -> Option<Decision> {
        if !outcome.block || !outcome.reason.is_campaign() {
            last.changed(obs.key, Action::Allow);
            return None;
        }
        let profile = config.profile(obs.profile)?;
        let secret = config.seed.key(hash::Purpose::Case).0;
        let verdict = edge::decide::verdict(secret, profile, obs, outcome, None, || None);
        Some(Decision::of(config, last, verdict, KeyId(obs.key), obs.profile)).filter(|d| d.changed)
    }

    /// The strictest of a batch: its first request's, or, if that would be served, what one of the sample meets.
    fn or_of_items(self, x: &mut Extracted, mut judge: impl FnMut(&mut Extracted) -> Decision) -> Decision {
        let mut worst = self;
        if !worst.verdict.action.rejects() {
            for decision in x.others.iter_mut().map(&mut judge) {
                if decision.verdict.action > worst.verdict.action {
                    worst = decision;
                }
            }
        }
        worst
    }

    /// A verdict in the mode of its profile.
    fn of(
        config: &Config,
        last: &mut LastActions,
        verdict: Verdict,
        key: KeyId,
        profile: ProfileId,
    ) -> Decision {
        let (mode, percent) = config.profile(profile).map_or((Mode::Off, 0), |p| (p.mode, p.enforce_percent));
        let action = verdict::enforce(&verdict, mode, percent, key.0);
        // A path is no news of its key.
        let changed = verdict.reason != Reason::NotInference && last.changed(key.0, verdict.action);
        Decision { verdict, action, mode, profile, key, changed }
    }
}

/// A template, network or profile group, for reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupReport {
    /// Campaign (case) number, 0 if none.
    pub campaign: u32,
    /// `text`, `network` or `profile`.
    pub axis: &'static str,
    /// `confirmed`, `alarm`, `watch`, `honest` or `open`.
    pub state: &'static str,
    /// The value, as it is written in allow lists (`tid:…`, `nid:…`).
    pub id: String,
    /// Estimated distinct keys.
    pub keys: u32,
    /// Requests (aged).
    pub requests: u32,
    /// Nats of a campaign over the best honest explanation.
    pub nats: i32,
    /// The explanations by name, nats behind the likeliest. Empty without a panel.
    pub explanations: Vec<(&'static str, i32)>,
    /// Share of its keys that is the campaign's, if it is one.
    pub campaign_percent: Option<u8>,
    /// Its case was first confirmed, seconds since the epoch; 0 if it has none.
    pub since_s: u32,
    /// Share of its keys that were young at their first request here.
    pub young_percent: u8,
    /// Share of its openings whose text nobody had sent before.
    pub novel_percent: u8,
    /// Share of its requests that open a conversation.
    pub single_percent: u8,
    /// Share of its openings that come from old keys.
    pub old_percent: u8,
    /// Hashes of the keys in its sample.
    pub sampled_keys: Vec<u32>,
}

/// A group as it is now, for diagnosis.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// As reports have it.
    pub group: GroupReport,
    /// Consecutive evaluations that would confirm it.
    pub armed: u8,
    /// Requests beside something far more frequent.
    pub under: u32,
    /// What an evaluation finds now, if it has a panel.
    pub finding: Option<detect::Finding>,
    /// What its case is judged by.
    pub numbers: Option<rules::Numbers>,
}

/// What is known of one key, for decision records.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeyReport {
    /// Known to be young.
    pub young: bool,
    /// How its age is known: `created` (told by the request), `seen` (since its first request) or `unknown`.
    pub age: &'static str,
    /// Age, hours.
    pub age_hours: u32,
    /// Never sleeps, spread over the hour, one-shot, never repeats.
    pub automatic: bool,
    /// Convicted at present.
    pub convicted: bool,
    /// Requests.
    pub requests: u32,
    /// Share of openings among its recent requests.
    pub openings_percent: u32,
    /// Share of repeats among them.
    pub repeats_percent: u32,
    /// Share of matches among them.
    pub matches_percent: u32,
    /// Openings that matched its case.
    pub hits: u8,
    /// Blocks.
    pub strikes: u8,
    /// Of 64 buckets of prompts, those in which another key had sent the same within the hour.
    pub shared: u32,
    /// Follow-ups that carried its case's template.
    pub talk: u8,
    /// The odds that it is one of its case's campaign, factor by factor.
    pub odds: Option<rules::Odds>,
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
    /// Of the keys first seen 2 to 24 hours ago, the share that was last seen within 2 hours of that; 0 while they are fewer than
    /// 100. Told once a minute.
    pub short_lived_percent: u8,
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

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StateError::Malformed => f.write_str("not a state file, cut short, or of other table sizes"),
            StateError::Version(v) => write!(f, "layout version {v} is not ours"),
            StateError::Seed => f.write_str("written under another seed"),
            StateError::Checksum => f.write_str("damaged: the checksum does not match"),
        }
    }
}

/// The first step of a decision, which needs nothing that was learned: for threads that work ahead of `Engine::judge`. A
/// decision, if the request needs no judging; else what is to be judged is in `x`.
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

/// Both halves in one process: replay, simulation, single-VM hosts, tests. An observation is applied at once; a debug build
/// asserts that the bytes that travel between a worker and the leader would say the same.
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

    /// A new configuration over the state learned so far (table sizes stay as they are until a restart; another seed
    /// starts empty, because nothing learned under the old one can be read).
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

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Starts a request.
    pub fn open(&self, _now: Nanos, head: &Head<'_>) -> Session {
        Session::open(&self.config, &self.keys, head)
    }

    /// Decides a request: exactly once, before it goes upstream. A second call on the same session allows.
    pub fn decide(&mut self, now: Nanos, session: &mut Session) -> Decision {
        let mut x = std::mem::take(&mut self.scratch);
        let early = extract(&self.config, &mut self.extractor, now, session, &mut x);
        let decision = early.unwrap_or_else(|| self.judge(now, &mut x));
        self.scratch = x;
        decision
    }

    /// Decides what an extractor of the same policy (perhaps on another thread) left of a request. Exactly once a request.
    pub fn judge(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        let first = self.judge_one(now, x);
        first.or_of_items(x, |item| self.judge_one(now, item))
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

    /// Ageing and expiry. Call at least once a minute of engine time; any rate is fine.
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

    /// Groups that are confirmed or watched, strongest first.
    pub fn groups(&self) -> Vec<GroupReport> {
        self.ledger.groups_report()
    }

    /// One group by its value, for diagnosis.
    pub fn inspect(&self, value: u64) -> Option<Inspection> {
        self.ledger.inspect(value)
    }

    /// Everything learned, versioned and checksummed. Hashes and counts only.
    pub fn write_state(&self) -> Vec<u8> {
        self.ledger.write_state()
    }

    /// Replaces everything learned.
    ///
    /// # Errors
    /// State of another version, seed or table size is refused whole; the engine is unchanged.
    pub fn read_state(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut fresh = Ledger::new(&self.config);
        fresh.read_state(bytes)?;
        self.ledger = fresh;
        self.publish();
        Ok(())
    }
}

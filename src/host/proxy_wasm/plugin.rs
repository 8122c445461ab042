//! Roots, engines and clocks of one VM. Configuration stays with its root; what was learned stays with the VM, by policy.

use super::abi::{self, Level, Map};
use super::metrics::{Event, Metrics};
use super::reply;
use super::stream::{VERDICT_HEADER, is_verdict_header};
use crate::engine::config::{Config, FailureMode, LogDecisions, ProfileId, parse_with_env};
use crate::engine::edge::identity::{Head, Properties};
use crate::engine::edge::session::Session;
use crate::engine::hash::Seed;
use crate::engine::units::{Nanos, scaled};
use crate::engine::verdict::Action;
use crate::engine::{Decision, Engine};
use std::sync::Arc;

const TICK_MS: u32 = 100;
/// So many streams must hang at their headers before holding counts as broken: one may be a slow client.
const HUNG: u32 = 3;
/// Gauges are written once in so many ticks.
const GAUGE_TICKS: u32 = 10;

/// What a policy has learned in this VM.
#[derive(Debug)]
struct State {
    policy: String,
    /// Nothing learned under one seed can be read under another: while an old configuration drains, both are kept.
    seed: Seed,
    engine: Option<Engine>,
    metrics: Metrics,
    ticks: u32,
}

/// One VM.
#[derive(Debug, Default)]
pub struct Plugin {
    roots: Vec<(u32, Arc<Config>)>,
    policies: Vec<State>,
    /// The watchdog found that this host does not deliver bodies while headers are held.
    hold_broken: bool,
    /// A body came while headers were held: this host delivers them, and a stream without one waits for its client.
    hold_proven: bool,
    hung: u32,
}

/// Host properties by dotted path.
struct HostProperties;

impl Properties for HostProperties {
    fn get(&self, path: &str) -> Option<Vec<u8>> {
        // A dot inside a name cannot be told from a separator; filter state keys are tried whole first.
        let whole =
            path.split_once("filter_state.").map(|(_, key)| abi::property(&nul(&["filter_state", key])));
        whole.flatten().or_else(|| abi::property(&nul(&path.split('.').collect::<Vec<_>>())))
    }
}

fn nul(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

fn first_property(paths: &[&[&str]]) -> Vec<u8> {
    paths.iter().find_map(|p| abi::property(&nul(p)).filter(|v| !v.is_empty())).unwrap_or_default()
}

impl Plugin {
    /// Reads and checks a configuration. `false` keeps the old one (or stops the start).
    pub fn configure(&mut self, root: u32, size: usize) -> bool {
        let bytes = abi::buffer(abi::Buffer::PluginConfiguration, 0, size).unwrap_or_default();
        let Ok(text) = std::str::from_utf8(&bytes) else {
            abi::log(Level::Error, "weir: configuration is not UTF-8");
            return false;
        };
        let env = std::env::var("WEIR_SEED").ok();
        match parse_with_env(text, env.as_deref()) {
            Ok(config) => {
                for w in &config.warnings {
                    abi::log(Level::Warn, &format!("weir: {w}"));
                }
                if self.state(&config).is_none() {
                    let (policy, seed) = (config.policy.clone(), config.seed.clone());
                    let metrics = Metrics::new(&policy);
                    self.policies.push(State { policy, seed, engine: None, metrics, ticks: 0 });
                }
                self.drop_root(root);
                self.roots.push((root, Arc::new(config)));
                self.event(root, Event::VmStart);
                abi::set_tick_period(TICK_MS);
                true
            }
            Err(errors) => {
                for p in &errors.0 {
                    abi::log(Level::Error, &format!("weir: configuration refused: {p}"));
                }
                false
            }
        }
    }

    /// A root context is gone; what its policy learned stays.
    pub fn drop_root(&mut self, root: u32) {
        self.roots.retain(|(id, _)| *id != root);
        // What was learned under a seed that the policy has given up is of no use.
        let roots = &self.roots;
        let of =
            |s: &State| roots.iter().filter(|(_, c)| c.policy == s.policy).any(|(_, c)| c.seed == s.seed);
        self.policies.retain(|s| of(s) || !roots.iter().any(|(_, c)| c.policy == s.policy));
    }

    fn config(&self, root: u32) -> Option<&Arc<Config>> {
        self.roots.iter().find(|(id, _)| *id == root).map(|(_, c)| c)
    }

    fn state(&mut self, config: &Config) -> Option<&mut State> {
        self.policies.iter_mut().find(|s| s.policy == config.policy && s.seed == config.seed)
    }

    fn now(config: &Config) -> Nanos {
        scaled(Nanos(abi::now()), config.time_scale)
    }

    /// The policy's engine under this root's configuration, built at the first use.
    fn engine(&mut self, root: u32) -> Option<(&mut Engine, &mut Metrics, Arc<Config>)> {
        let config = Arc::clone(self.config(root)?);
        let state = self.state(&config)?;
        let engine = state.engine.get_or_insert_with(|| Engine::new(Arc::clone(&config)));
        engine.reconfigure(Arc::clone(&config));
        Some((engine, &mut state.metrics, config))
    }

    /// Reads the head of a request: all headers once, at most four properties.
    pub fn open(&mut self, root: u32, end: bool) -> Option<(Session, String)> {
        let (engine, metrics, config) = self.engine(root)?;
        metrics.event(Event::Seen);
        let bytes = abi::map(Map::RequestHeaders)?;
        let mut headers = abi::pairs(&bytes);
        let (mut method, mut path, mut authority) = (&b""[..], &b""[..], &b""[..]);
        let (mut forged, mut id) = (Vec::new(), String::new());
        headers.retain(|(name, value)| {
            match *name {
                b":method" => method = value,
                b":path" => path = value,
                b":authority" => authority = value,
                n if is_verdict_header(n) => forged.push(n),
                n if n.eq_ignore_ascii_case(b"x-request-id") => {
                    id =
                        std::str::from_utf8(value).map(|v| v.chars().take(128).collect()).unwrap_or_default();
                }
                _ => {}
            }
            !name.starts_with(b":")
        });
        for name in forged {
            abi::remove_header(Map::RequestHeaders, std::str::from_utf8(name).unwrap_or(VERDICT_HEADER));
        }
        let routes = &config.routes;
        let when = |needed: bool, paths: &[&[&str]]| if needed { first_property(paths) } else { Vec::new() };
        let source = when(true, &[&["source", "address"]]);
        let route = when(routes.needs_route_name(), &[&["xds", "route_name"], &["route_name"]]);
        let host = when(routes.needs_virtual_host(), &[&["xds", "virtual_host_name"]]);
        let service = when(routes.needs_service(), &[&["xds", "cluster_name"], &["cluster_name"]]);
        let profile = when(
            routes.needs_metadata(),
            &[&["xds", "route_metadata", "filter_metadata", "weir", "profile"]],
        );
        let head = Head {
            method,
            path,
            authority,
            headers: &headers,
            source: &source,
            route: &route,
            virtual_host: &host,
            service: &service,
            metadata_profile: &profile,
            properties: &HostProperties,
            end_of_stream: end,
        };
        Some((engine.open(Plugin::now(&config), &head), id))
    }

    /// May this request's headers be held?
    pub fn may_hold(&self, root: u32, session: &Session) -> bool {
        let profile = self.config(root).and_then(|c| c.profile(session.profile));
        !self.hold_broken && profile.is_some_and(|p| p.inspect.hold_headers)
    }

    /// What the profile says for requests that cannot be decided.
    pub fn fails_closed(&self, root: u32, profile: ProfileId) -> bool {
        let profile = self.config(root).and_then(|c| c.profile(profile));
        profile.is_some_and(|p| p.failure_mode == FailureMode::Closed)
    }

    /// Decides, counts and logs.
    pub fn decide(&mut self, root: u32, session: &mut Session) -> Option<Decision> {
        let (engine, metrics, config) = self.engine(root)?;
        let now = Plugin::now(&config);
        let decision = engine.decide(now, session);
        let profile = config.profile(decision.profile)?;
        metrics.decision(&decision, &profile.name);
        if let Some(kind) = session.facts.unreadable {
            metrics.unreadable(kind);
        }
        let logged = match profile.log {
            LogDecisions::None => false,
            LogDecisions::Changes => decision.changed,
            LogDecisions::All => decision.verdict.action != Action::Allow,
        };
        if logged {
            abi::log(Level::Info, &engine.record(now, &decision));
        }
        Some(decision)
    }

    /// Sends the reply of a rejection.
    pub fn reply(&self, root: u32, decision: &Decision, session: &Session, request_id: &str) -> bool {
        let Some(profile) = self.config(root).and_then(|c| c.profile(decision.profile)) else {
            return false;
        };
        abi::set_property("weir.verdict", decision.verdict.reason.name());
        reply::send(decision, session, profile, request_id)
    }

    /// Counts an event of a root's policy.
    pub fn event(&mut self, root: u32, event: Event) {
        let Some(config) = self.config(root).cloned() else { return };
        if let Some(state) = self.state(&config) {
            state.metrics.event(event);
        }
    }

    /// Ageing, expiry, gauges.
    pub fn tick(&mut self, root: u32) {
        let Some(config) = self.config(root).cloned() else { return };
        let Some(state) = self.state(&config) else { return };
        // A VM that never sees a request (the main thread's) has no engine and needs none.
        let Some(engine) = &mut state.engine else { return };
        engine.tick(Plugin::now(&config));
        state.ticks = state.ticks.wrapping_add(1);
        if state.ticks % GAUGE_TICKS == 1 {
            state.metrics.status(&engine.status());
        }
    }

    /// A body came while headers were held.
    pub fn hold_works(&mut self) {
        self.hold_proven = true;
    }

    /// Is a stream without a body waiting for its client, not for this host?
    pub fn hold_proven(&self) -> bool {
        self.hold_proven
    }

    /// A stream hung at its headers. Several, and never a body: this host does not deliver bodies while headers are held.
    pub fn hold_failed(&mut self, root: u32) {
        self.event(root, Event::HoldWatchdog);
        self.hung = self.hung.saturating_add(1);
        if self.hung >= HUNG && !self.hold_broken {
            self.hold_broken = true;
            abi::log(
                Level::Warn,
                "weir: this host sends no body while headers are held; inspect.hold_headers is off in this VM",
            );
        }
    }
}

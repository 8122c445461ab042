//! Root contexts, engines and clocks of one VM. A configuration belongs to its root context; what was learned
//! belongs to the VM, by policy.

use super::HOLD_LIMIT_NS;
use super::calls;
use super::hub;
use super::metrics::{Counter, Metrics};
use super::registry::Registry;
use super::reply;
use super::shared::{RANK, Shared, process_seed};
use super::stream::{VERDICT_HEADER, is_verdict_header};
use crate::engine::config::{Config, FailureMode, LogDecisions, ProfileId, Scope, parse_with_env};
use crate::engine::edge::actions::Lines;
use crate::engine::edge::identity::{Head, Properties};
use crate::engine::edge::session::Session;
use crate::engine::hash::Seed;
use crate::engine::units::{Nanos, scaled};
use crate::engine::verdict::{Action, Reason};
use crate::engine::{Decision, Engine, Status};
use crate::node::{Answer, Counts, LeaseChange, Node, TICK};
use proxy_wasm::types::{BufferType, LogLevel, MapType};
use std::sync::Arc;

/// Time between ticks with an accelerated clock, nanoseconds: each tick is worth hours, so they come more
/// often.
const FAST_TICK: u64 = TICK / 5;
/// Streams that must hang at their headers before holding counts as broken: one alone may be a slow client.
const HUNG: u32 = 3;
/// Replies of a VM that may wait at the same time for the ledger's wait of a key. Further replies tell what
/// this worker knows.
const WORDS: usize = 256;
/// Percentage of short-lived keys from which a warning is logged.
const MOST: u8 = 50;
/// Time between writes of gauges, nanoseconds.
const GAUGES_NS: u64 = 1_000_000_000;

/// What a policy has learned in this VM.
#[derive(Debug)]
struct State {
    policy: String,
    /// The seed. State of one seed cannot be read under another, so while an old configuration drains both are kept.
    seed: Seed,
    brain: Brain,
    metrics: Metrics,
    /// Time of the last write of gauges, and the counters of that time.
    told_at: u64,
    told: Counts,
    /// True once the warning that addresses are not believed was logged.
    warned_of_addresses: bool,
    /// True once the warning that most keys are short-lived was logged.
    warned_of_lives: bool,
    /// The hub's last answer.
    hub: Option<Answer>,
    lines: Lines,
}

/// Where a policy learns.
#[derive(Debug)]
enum Brain {
    /// In the ledger of the node, which one VM leads.
    Node(Box<Node>),
    /// In an engine of this VM, made at the first request.
    Vm(Option<Box<Engine>>),
}

impl State {
    /// Sets the newest configuration and its scope. A change of scope starts empty. Without ticks no VM could
    /// lead, so each VM learns for itself.
    fn configure(&mut self, config: &Arc<Config>, ticks: bool) {
        if config.scope == Scope::Node && ticks {
            if let Brain::Node(node) = &mut self.brain {
                node.reconfigure(config);
                node.join(&mut Shared);
                return;
            }
            let mut node = Box::new(Node::new(Arc::clone(config), RANK));
            if node.join(&mut Shared) {
                self.metrics.gauge("scope_vm", 0);
                self.brain = Brain::Node(node);
                return;
            }
        }
        self.metrics.gauge("scope_vm", 1);
        if matches!(self.brain, Brain::Node(_)) {
            self.brain = Brain::Vm(None);
        }
    }
}

impl State {
    /// Writes gauges and counters.
    fn tell(&mut self) {
        let mut told = None;
        match &mut self.brain {
            Brain::Vm(Some(engine)) => told = Some(engine.status()),
            Brain::Vm(None) => {}
            Brain::Node(node) => {
                let counts = node.counts();
                self.metrics.counts(&self.told, &counts);
                self.told = counts;
                let health = node.health(&mut Shared);
                self.metrics.health(&health);
                told = node.status().map(|status| Status { state_bytes: node.size_bytes() as u64, ..status });
            }
        }
        let Some(status) = told else { return };
        self.metrics.status(&status);
        if status.short_lived_percent >= MOST && !std::mem::replace(&mut self.warned_of_lives, true) {
            let percent = status.short_lived_percent;
            log::warn!(
                "weir: {percent} % of the keys first seen 2 to 24 hours ago lived shorter than 2 hours: if they are credentials that rotate, they hide their accounts; name what stays in identity.sources, such as {{\"jwt\": \"sub\"}}"
            );
        }
    }
}

impl Brain {
    fn open(&mut self, config: &Arc<Config>, head: &Head<'_>) -> Session {
        match self {
            Brain::Node(node) => node.open(config, head),
            Brain::Vm(engine) => Brain::engine(engine, config).open(Nanos(0), head),
        }
    }

    /// The engine under this root's configuration, built at the first use.
    fn engine<'a>(engine: &'a mut Option<Box<Engine>>, config: &Arc<Config>) -> &'a mut Engine {
        let engine = engine.get_or_insert_with(|| Box::new(Engine::new(Arc::clone(config))));
        engine.reconfigure(Arc::clone(config));
        engine
    }

    fn decide(&mut self, config: &Arc<Config>, now: Nanos, session: &mut Session) -> Decision {
        match self {
            Brain::Node(node) => node.decide(&mut Shared, config, now, session),
            Brain::Vm(engine) => Brain::engine(engine, config).decide(now, session),
        }
    }

    /// The record of a decision. It has evidence across keys only in the VM that holds the ledger.
    fn record(&self, config: &Config, now: Nanos, decision: &Decision) -> String {
        match self {
            Brain::Vm(Some(engine)) => engine.record(now, decision),
            _ => decision.record(now, config, None),
        }
    }
}

/// Logs one line for each change of the lease.
fn say(policy: &str, change: LeaseChange) {
    let line = match change {
        LeaseChange::Leads { epoch, pages, refused, us } => {
            format!("leads from now on (epoch {epoch}): {pages} pages restored in {us} us, {refused} refused")
        }
        LeaseChange::Yields { us } => format!("all pages written in {us} us; another VM may lead"),
        LeaseChange::Lost => "another VM leads".to_string(),
    };
    log::info!("weir: {policy}: {line}");
}

/// Time between ticks.
fn period(config: &Config) -> u64 {
    if config.time_scale > 1 { FAST_TICK } else { TICK }
}

/// One plugin context.
#[derive(Debug)]
struct Root {
    id: u32,
    config: Arc<Config>,
}

/// State that all contexts of a VM share.
#[derive(Debug)]
pub struct Plugin {
    roots: Vec<Root>,
    policies: Vec<State>,
    /// True if this host does not deliver bodies while headers are held (found by the watchdog).
    hold_broken: bool,
    /// True if this host delivers bodies while headers are held: a stream without one waits for its client.
    hold_proven: bool,
    hung: u32,
    /// Whether this host reports the end of a body after its last byte. `None` until the first body shows it.
    end_told: Option<bool>,
    /// Seed of policies without one, if the host shares no data.
    own_seed: Option<Seed>,
    /// True if the host has no timer, so that requests do the upkeep; the time of the last upkeep, and the
    /// requests since.
    timerless: bool,
    kept_at: u64,
    since: u32,
    /// Requests that a tick must be able to reach.
    pub waiting: Registry,
}

/// Requests that count as a tick on a host without a timer whose clock stands still.
const REQUESTS_A_TICK: u32 = 256;

/// Host properties by dotted path.
struct HostProperties;

impl Properties for HostProperties {
    fn get(&self, path: &str) -> Option<Vec<u8>> {
        // A dot inside a name cannot be told from a separator; filter state keys are tried whole first.
        let of = b"filter_state.";
        let at = path.as_bytes().windows(of.len()).position(|w| w == of);
        let key = at.and_then(|at| path.get(at.saturating_add(of.len())..));
        let whole = key.and_then(|key| calls::property(&nul(&["filter_state", key])));
        whole.or_else(|| calls::property(&nul(&path.split('.').collect::<Vec<_>>())))
    }
}

fn nul(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

fn first_property(paths: &[&[&str]]) -> Vec<u8> {
    paths.iter().find_map(|p| calls::property(&nul(p)).filter(|v| !v.is_empty())).unwrap_or_default()
}

impl Plugin {
    /// State without any configuration.
    pub const fn new() -> Plugin {
        Plugin {
            roots: Vec::new(),
            policies: Vec::new(),
            hold_broken: false,
            hold_proven: false,
            hung: 0,
            end_told: None,
            own_seed: None,
            timerless: false,
            kept_at: 0,
            since: 0,
            waiting: Registry::new(),
        }
    }

    /// Reads and checks a configuration of `size` bytes. False if it is refused: the old one stays in force
    /// (or the start fails).
    pub fn configure(&mut self, root: u32, size: usize) -> bool {
        let bytes = calls::buffer(BufferType::PluginConfiguration, 0, size).unwrap_or_default();
        let Ok(mut text) = String::from_utf8(bytes) else {
            log::error!("weir: configuration is not UTF-8");
            return false;
        };
        // Some hosts (FastEdge) have no plugin configuration, only an environment.
        if text.is_empty() {
            text = std::env::var("WEIR_CONFIG").unwrap_or_default();
        }
        let env = std::env::var("WEIR_SEED").ok();
        match parse_with_env(&text, env.as_deref()) {
            Ok(mut config) => {
                for w in &config.warnings {
                    log::warn!("weir: {w}");
                }
                if config.seed_is_derived {
                    match process_seed(&config.policy, &mut self.own_seed) {
                        Some(seed) => config.seed = seed,
                        None => log::warn!(
                            "weir: this host has no randomness: the seed is derived from the policy's name, and all hashes can be predicted"
                        ),
                    }
                }
                let config = Arc::new(config);
                if self.state(&config).is_none() {
                    let (policy, seed) = (config.policy.clone(), config.seed.clone());
                    let metrics = Metrics::new(&policy);
                    let (brain, told) = (Brain::Vm(None), Counts::default());
                    self.policies.push(State {
                        policy,
                        seed,
                        brain,
                        metrics,
                        told_at: 0,
                        told,
                        warned_of_addresses: false,
                        warned_of_lives: false,
                        hub: None,
                        lines: Lines::default(),
                    });
                }
                self.timerless = !calls::set_tick_period((period(&config) / 1_000_000) as u32);
                let ticks = !self.timerless;
                if let Some(state) = self.state(&config) {
                    state.configure(&config, ticks);
                }
                self.roots.retain(|r| r.id != root);
                self.roots.push(Root { id: root, config });
                self.forget();
                self.count(root, Counter::VmStart);
                self.tell_what_is_missing(root);
                true
            }
            Err(errors) => {
                for p in &errors.0 {
                    log::error!("weir: configuration refused: {p}");
                }
                false
            }
        }
    }

    /// Finds out what this host lacks, and logs it once.
    fn tell_what_is_missing(&mut self, root: u32) {
        let Some((state, config)) = self.policy(root) else { return };
        let alone = config.scope == Scope::Node && matches!(state.brain, Brain::Vm(_));
        let counts = state.metrics.exist();
        let missing = [
            (self.timerless, "timer: scope is vm, requests do the upkeep, headers are not held"),
            (alone && !self.timerless, "shared data: scope is vm, each VM learns alone"),
            (!counts, "metrics: nothing is counted"),
            (calls::now() == 0, "clock: ages and limits stand still"),
            (config.hub.is_some() && alone, "node of its own: the hub hears nothing"),
        ];
        for (_, what) in missing.iter().filter(|(missing, _)| *missing) {
            log::warn!("weir: this host has no {what}");
        }
    }

    /// Upkeep on a host without a timer.
    fn upkeep(&mut self, root: u32) {
        if !self.timerless {
            return;
        }
        let mono = calls::monotonic();
        self.since = self.since.saturating_add(1);
        if mono.saturating_sub(self.kept_at) >= TICK || self.since >= REQUESTS_A_TICK {
            (self.kept_at, self.since) = (mono, 0);
            self.tick(root);
        }
    }

    /// Ends a root context. What its policy learned stays. With the policy's last root context it is handed
    /// to the other VMs.
    pub fn drop_root(&mut self, root: u32) {
        let Some(at) = self.roots.iter().position(|r| r.id == root) else { return };
        let config = self.roots.remove(at).config;
        let same = |r: &Root| r.config.policy == config.policy && r.config.seed == config.seed;
        if !self.roots.iter().any(same)
            && let Some(State { brain: Brain::Node(node), .. }) = self.state(&config)
        {
            node.leave(&mut Shared);
        }
        self.forget();
    }

    /// Drops the state of a seed that the policy no longer uses.
    fn forget(&mut self) {
        let roots = &self.roots;
        let of =
            |s: &State| roots.iter().filter(|r| r.config.policy == s.policy).any(|r| r.config.seed == s.seed);
        self.policies.retain(|s| of(s) || !roots.iter().any(|r| r.config.policy == s.policy));
    }

    fn config(&self, root: u32) -> Option<&Arc<Config>> {
        self.roots.iter().find(|r| r.id == root).map(|r| &r.config)
    }

    fn state(&mut self, config: &Config) -> Option<&mut State> {
        self.policies.iter_mut().find(|s| s.policy == config.policy && s.seed == config.seed)
    }

    /// Wall time, as the host tells it: ages and hours of day need it. It may be wrong or be set. The ledger copes with
    /// that (`engine/ledger/clock.rs`), and so does each limiter (an entry from the future counts as now). The monotonic
    /// clock (WASI, clock 1; wall time where a host lacks it) times leases and ticks only. It cannot replace wall time:
    /// each VM would take its own offset, and their observations meet in one ledger.
    fn now(config: &Config) -> Nanos {
        scaled(Nanos(calls::now()), config.time_scale)
    }

    /// The state of a root's policy, and its configuration.
    fn policy(&mut self, root: u32) -> Option<(&mut State, Arc<Config>)> {
        let config = Arc::clone(self.config(root)?);
        Some((self.state(&config)?, config))
    }

    /// Reads the head of a request: all headers in one call, and at most four properties.
    pub fn open(&mut self, root: u32, end: bool) -> Option<(Session, String)> {
        let (state, config) = self.policy(root)?;
        state.metrics.count(Counter::Seen);
        let bytes = calls::map(MapType::HttpRequestHeaders)?;
        let mut headers = calls::pairs(&bytes);
        #[cfg(feature = "chaos")]
        super::chaos::request(&headers);
        let (mut method, mut path, mut authority) = (&b""[..], &b""[..], &b""[..]);
        let (mut forged, mut id) = (Vec::new(), String::new());
        headers.retain(|(name, value)| {
            match *name {
                b":method" => method = value,
                b":path" => path = value,
                b":authority" => authority = value,
                n if is_verdict_header(n) => forged.push(n),
                n if n.eq_ignore_ascii_case(b"x-request-id") => {
                    let text = std::str::from_utf8(value).unwrap_or_default();
                    let end = text.char_indices().nth(128).filter(|_| text.len() > 128);
                    id = text.get(..end.map_or(text.len(), |(at, _)| at)).unwrap_or_default().to_string();
                }
                _ => {}
            }
            !name.starts_with(b":")
        });
        for name in forged {
            calls::remove_header(
                MapType::HttpRequestHeaders,
                std::str::from_utf8(name).unwrap_or(VERDICT_HEADER),
            );
        }
        let routes = &config.routes;
        let when = |needed: bool, paths: &[&[&str]]| if needed { first_property(paths) } else { Vec::new() };
        let source = first_property(&[&["source", "address"]]);
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
        Some((state.brain.open(&config, &head), id))
    }

    /// True if this request's headers may be held.
    pub fn may_hold(&self, root: u32, session: &Session) -> bool {
        let profile = self.config(root).and_then(|c| c.profile(session.profile));
        !self.hold_broken && !self.timerless && profile.is_some_and(|p| p.inspect.hold_headers)
    }

    /// Bytes that the host buffers of a request, as configured.
    pub fn host_buffers(&self, root: u32, profile: ProfileId) -> u64 {
        let profile = self.config(root).and_then(|c| c.profile(profile));
        profile.map_or(0, |p| u64::from(p.inspect.host_buffer_bytes))
    }

    /// True if the profile's `failure_mode` is closed.
    pub fn fails_closed(&self, root: u32, profile: ProfileId) -> bool {
        let profile = self.config(root).and_then(|c| c.profile(profile));
        profile.is_some_and(|p| p.failure_mode == FailureMode::Closed)
    }

    /// Decides a request, counts it and logs it.
    pub fn decide(&mut self, root: u32, session: &mut Session) -> Option<Decision> {
        self.upkeep(root);
        let (state, config) = self.policy(root)?;
        let now = Plugin::now(&config);
        let decision = state.brain.decide(&config, now, session);
        let profile = config.profile(decision.profile)?;
        state.metrics.decision(&decision, &profile.name);
        if let Some(kind) = session.facts.unreadable {
            state.metrics.unreadable(kind.name());
        }
        if session.identity.age_unread {
            state.metrics.unreadable("age");
        }
        if session.identity.disbelieved {
            state.metrics.unreadable("address");
            if !std::mem::replace(&mut state.warned_of_addresses, true) {
                log::warn!(
                    "weir: this host takes the client's address from x-forwarded-for, and identity.trusted_hops is 0: nobody is believed. Set use_remote_address: true in the connection manager, or trusted_hops"
                );
            }
        }
        let logged = match profile.log {
            LogDecisions::None => false,
            LogDecisions::Changes => decision.changed,
            LogDecisions::All => decision.verdict.action != Action::Allow,
        };
        if logged && state.lines.allow(Nanos(calls::monotonic()), decision.key.0, decision.verdict.reason) {
            calls::log(LogLevel::Info, &state.brain.record(&config, now, &decision));
        } else if logged {
            state.metrics.count(Counter::LogSuppressed);
        }
        Some(decision)
    }

    /// Sends the reply of a rejection. False if the host refused it.
    pub fn reply(&self, root: u32, decision: &Decision, session: &Session, request_id: &str) -> bool {
        let Some(profile) = self.config(root).and_then(|c| c.profile(decision.profile)) else {
            return false;
        };
        reply::send(decision, session, profile, request_id)
    }

    /// Adds one to a counter of the root context's policy.
    pub fn count(&mut self, root: u32, counter: Counter) {
        let Some(config) = self.config(root).cloned() else { return };
        if let Some(state) = self.state(&config) {
            state.metrics.count(counter);
        }
    }

    /// One tick of a root context: the node or engine, gauges, streams that wait.
    pub fn tick(&mut self, root: u32) {
        let Some(own) = self.config(root) else { return };
        // Several roots may share a policy while one drains: the newest configuration is in force.
        let newest = |r: &&Root| r.config.policy == own.policy && r.config.seed == own.seed;
        let Some(config) = self.roots.iter().rev().find(newest).map(|r| Arc::clone(&r.config)) else {
            return;
        };
        let Some(state) = self.state(&config) else { return };
        let now = Plugin::now(&config);
        match &mut state.brain {
            Brain::Node(node) => {
                node.reconfigure(&config);
                #[cfg(feature = "chaos")]
                super::chaos::tick(node.leads());
                #[cfg(feature = "chaos")]
                super::chaos::flood(node, &config, now);
                if !node.tick(&mut Shared, now, period(&config)) {
                    return;
                }
                if let Some(change) = node.lease_change() {
                    say(&config.policy, change);
                    #[cfg(feature = "chaos")]
                    super::chaos::lease_changes(&change);
                }
                for line in node.news() {
                    calls::log(LogLevel::Info, &line);
                }
                if let Some(body) = node.hub_request(&mut Shared, now)
                    && !hub::call(&config, &body)
                {
                    node.hub_not_sent(&mut Shared);
                    if state.hub.replace(Answer::Refused(0)) != Some(Answer::Refused(0)) {
                        hub::say(&config.policy, Answer::Refused(0), "");
                    }
                }
            }
            // A VM that never sees a request (the main thread's) has no engine and needs none.
            Brain::Vm(None) => return,
            Brain::Vm(Some(engine)) => engine.tick(now),
        }
        let mono = calls::monotonic();
        if mono.saturating_sub(state.told_at) >= GAUGES_NS {
            state.told_at = mono;
            state.tell();
        }
    }

    /// Handles the end of a call to the hub. `size`: bytes of its body.
    pub fn hub_answer(&mut self, root: u32, size: usize) {
        let (status, body, error) = hub::ended(size);
        let Some((state, config)) = self.policy(root) else { return };
        let Brain::Node(node) = &mut state.brain else { return };
        let Some(answer) = node.hub_answer(&mut Shared, status, &body) else { return };
        if state.hub.replace(answer) != Some(answer) {
            hub::say(&config.policy, answer, &error);
        }
    }

    /// Context ids of streams whose headers have been held for too long without a body. They are to be
    /// resumed.
    pub fn hung_streams(&mut self, root: u32) -> Vec<u32> {
        // One slow client must not switch holding off for all.
        if self.hold_proven || self.waiting.is_empty() {
            return Vec::new();
        }
        let limit = calls::now().saturating_sub(HOLD_LIMIT_NS);
        let hung = self.waiting.of(root, |s| s.hangs_since(limit));
        for (_, stream) in &hung {
            if let Ok(mut stream) = stream.try_borrow_mut() {
                stream.held_since = 0;
            }
            self.hold_failed(root);
        }
        hung.into_iter().map(|(id, _)| id).collect()
    }

    /// Sends replies that have waited for too long: for the end of a body, or for the ledger's wait. If no
    /// end of a body was ever reported, this host does not report them, and no reply waits for one again.
    pub fn answer_overdue(&mut self, root: u32) {
        if self.waiting.is_empty() {
            return;
        }
        let now = calls::now();
        for (id, stream) in self.waiting.of(root, |s| s.refuses()) {
            calls::act_for(id);
            if let Ok(mut stream) = stream.try_borrow_mut() {
                stream.look_after(self, now);
            }
        }
    }

    /// Time that a reply must wait until the ledger has said how long its key must wait, nanoseconds. No
    /// single worker sees all of a burst that reaches several.
    pub fn word_in(&mut self, root: u32, tenant: u64, d: &Decision) -> u64 {
        let limited = d.action == Action::Throttle && d.verdict.reason == Reason::Rate;
        if !limited || self.timerless {
            return 0;
        }
        let room = self.waiting.len() < WORDS;
        match self.policy(root) {
            Some((State { brain: Brain::Node(node), .. }, config)) => {
                let word = node.word_in(Plugin::now(&config), calls::now(), tenant, d);
                if room { word } else { 0 }
            }
            _ => 0,
        }
    }

    /// Sets the decision's wait to what the ledger has published for its key.
    pub fn hear_wait(&mut self, root: u32, tenant: u64, d: &mut Decision) {
        if let Some((State { brain: Brain::Node(node), .. }, config)) = self.policy(root) {
            node.hear_wait(Plugin::now(&config), tenant, d);
        }
    }

    /// Notes that a body came while headers were held, so holding works on this host.
    pub fn hold_works(&mut self) {
        self.hold_proven = true;
    }

    /// True if a reply may wait for the end of a body whose last byte has come. Without a timer nothing would
    /// end the wait.
    pub fn may_wait(&self) -> bool {
        self.end_told.unwrap_or(!self.timerless)
    }

    /// Notes whether the host reports the end of a body. The first finding stays.
    pub fn tells_end(&mut self, told: bool) {
        self.end_told.get_or_insert(told);
    }

    /// Notes a stream that hung while its headers were held. After several, and if no body ever came, headers
    /// are not held any more on this host.
    pub fn hold_failed(&mut self, root: u32) {
        self.count(root, Counter::HoldWatchdog);
        self.hung = self.hung.saturating_add(1);
        if self.hung >= HUNG && !self.hold_broken {
            self.hold_broken = true;
            log::warn!(
                "weir: this host sends no body while headers are held; inspect.hold_headers is off in this VM"
            );
        }
    }
}

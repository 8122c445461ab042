//! Runs one scenario on one seed: makes traffic, fingerprints and judges it as the module does, and counts.

use super::attack;
use super::baselines::Baselines;
use super::corpus::Corpus;
use super::flood::Flood;
use super::honest::{self, Maker, Population};
use super::rng::Rng;
use super::scenarios::{Scenario, Start};
use super::texts::{Pool, Said, Text};
use super::world::{Actor, Request, START_S, World};
use crate::deployment::Deployment;
use crate::fleet::Layout;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use weir::engine::config::Config;
use weir::engine::config::fitted::Fitted;
use weir::engine::dialect::Facts;
use weir::engine::edge::extract::{Extracted, Extractor};
use weir::engine::edge::session::Session;
use weir::engine::hash::sip13;
use weir::engine::observation::Observation;
use weir::engine::units::Nanos;
use weir::engine::verdict::{Action, Reason};
use weir::engine::{Decision, Status};

/// Parameters of a run.
#[derive(Clone)]
pub struct Setup {
    pub scenario: Scenario,
    pub seed: u64,
    /// Factor on the honest population; and on the campaign's accounts.
    pub honest: f64,
    pub campaign: f64,
    /// Workers apart from the ledger; 0: both halves in one process.
    pub edges: u8,
    /// Several nodes, each with as many workers.
    pub fleet: Option<Layout>,
    pub baselines: bool,
    /// True to make traffic on a thread of its own.
    pub pipelined: bool,
    /// True to print each honest key's first block.
    pub verbose: bool,
    /// True to print the groups of a probe every half hour.
    pub trace: bool,
    /// Fitted numbers in place of the committed ones.
    pub fitted: Option<Fitted>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    pub requests: u32,
    pub blocked: u32,
    pub throttled: u32,
    /// Requests throttled because a template's budget was used up.
    pub over_budget: u32,
    pub convicted: bool,
    pub probes: u32,
    pub first_s: u32,
    /// Time of the first block, seconds from the start; 0 = never.
    pub first_block_s: u32,
    /// Time of the first request under a profile alarm, seconds from the start; 0 = never.
    pub alarm_s: u32,
}

/// Counts of one class.
#[derive(Clone, Debug, Default)]
pub struct ClassResult {
    pub name: &'static str,
    /// True if it belongs to the honest family that the scenario is about.
    pub own: bool,
    pub keys: u32,
    pub blocked: u32,
    pub throttled: u32,
    pub over_budget: u32,
    pub requests: u64,
    pub requests_blocked: u64,
    pub requests_over_budget: u64,
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub name: &'static str,
    pub seed: u64,
    pub edges: u8,
    pub fleet: Option<Layout>,
    pub requests: u64,
    pub accounts: u32,
    pub convicted: u32,
    /// Accounts that sent at least five probes. (With fewer an account cannot be convicted by four blocks.)
    pub active: u32,
    pub attack_requests: u64,
    pub served: u64,
    /// Probes since the nodes were restarted in turn, if they were: sent, served.
    pub rolled: (u64, u64),
    pub first_block_h: Option<f64>,
    /// Accounts under a profile alarm (or blocked) within 24 hours of their first request; and at any time.
    pub alarmed_24h: u32,
    pub alarmed: u32,
    pub blocked_accounts: u32,
    pub honest: Vec<ClassResult>,
    pub status: Status,
    pub ns_per_request: u64,
    pub elapsed: Duration,
    /// For each baseline its name, the share of the campaign's accounts and the honest keys that it flags.
    pub baselines: Vec<(&'static str, f64, u32)>,
}

impl Report {
    pub fn honest_keys(&self) -> u32 {
        self.honest.iter().map(|c| c.keys).sum()
    }
    pub fn honest_blocked(&self) -> u32 {
        self.honest.iter().map(|c| c.blocked).sum()
    }
    pub fn convicted_percent(&self) -> f64 {
        100.0 * f64::from(self.convicted) / f64::from(self.active.max(1))
    }
    pub fn served_percent(&self) -> f64 {
        100.0 * self.served as f64 / self.attack_requests.max(1) as f64
    }
}

struct Item {
    x: Extracted,
    actor: u32,
    probe: bool,
}

/// Turns requests into hashes. It owns all buffers, so that a request allocates only its words.
struct Source<'w> {
    world: &'w World,
    extractor: Extractor,
    session: Session,
    said: Said,
}

impl<'w> Source<'w> {
    fn new(world: &'w World, config: &Config) -> Source<'w> {
        Source {
            world,
            extractor: Extractor::new(&config.seed),
            session: Session::from_facts(
                0,
                weir::engine::edge::identity::Identity::default(),
                Facts::default(),
            ),
            said: Said::new(world.seed),
        }
    }
    fn make(&mut self, e: &Request, item: &mut Item, baselines: Option<&mut Baselines>) {
        let a = &self.world.actors[e.actor as usize];
        self.session.identity = self.world.identity(a, e);
        item.actor = self.world.owner(e.actor);
        item.probe = self.world.compose(e, &mut self.said);
        // The buffers take turns.
        std::mem::swap(&mut self.said.facts, &mut self.session.facts);
        if let Some(b) = baselines {
            let instructions = self.session.facts.instructions.clone();
            let (head, tail) = self.session.facts.user.regions();
            b.see(item.actor, e.t_ms, &instructions, &[head, tail].concat());
        }
        let now = Nanos(START_S * 1_000_000_000 + e.t_ms * 1_000_000);
        self.extractor.take(now, &mut self.session, &mut item.x);
    }
}

/// Judges and counts.
struct Judge<'w> {
    world: &'w World,
    start: Start,
    deployment: Deployment,
    restarted: bool,
    flood: Flood,
    ticked: Nanos,
    fates: Vec<Fate>,
    probes: (u64, u64),
    rolled: (u64, u64),
    roll: Option<Nanos>,
    requests: u64,
    verbose: bool,
    trace: bool,
    traced: u32,
    /// Probes by hour: sent, served.
    by_hour: Vec<(u32, u32)>,
    time: Duration,
}

impl Judge<'_> {
    fn see(&mut self, item: &mut Item) {
        let now = item.x.obs.time;
        let t_s = (now.secs() - START_S) as u32;
        self.restart(t_s);
        if let Start::Midway(h) = self.start
            && t_s < h * 3600
        {
            return;
        }
        let begun = Instant::now();
        if now.since(self.ticked).0 >= 60_000_000_000 {
            self.deployment.tick(now);
            self.ticked = now;
        }
        while let Some(mut x) = self.flood.due(now) {
            self.deployment.judge(now, &mut x);
        }
        let d = self.deployment.judge(now, &mut item.x);
        self.time += begun.elapsed();
        // What an earlier replay of logs lets through was let through before Weir was there.
        if let Start::MidwayLogs(h) = self.start
            && t_s < h * 3600
        {
            return;
        }
        self.count(item, t_s, &d);
        self.trace(item, t_s, &d);
    }

    /// Prints the groups of a probe's values, once an hour, until the first block.
    fn trace(&mut self, item: &Item, t_s: u32, d: &Decision) {
        if !self.trace || !item.probe || t_s / 1800 == self.traced {
            return;
        }
        self.traced = t_s / 1800;
        let h = f64::from(t_s) / 3600.0 - f64::from(attack::BEGIN_H);
        eprintln!(
            "{h:.2} h after the start: {} values, {} anchors",
            item.x.values.len(),
            item.x.obs.anchors.as_slice().len()
        );
        eprintln!("    {}", self.deployment.record(item.x.obs.time, d));
        let profiles = [3u64, 4, 5, 67, 68, 69].map(|o| (1 << 62) + o + 1);
        for &v in item.x.obs.anchors.as_slice().iter().chain(&item.x.obs.nets).chain(&profiles) {
            let Some(i) = self.deployment.inspect(v) else { continue };
            let g = &i.group;
            eprintln!(
                "    {} {} keys {} requests {} nats {} armed {} beside {} young {} novel {} single {} old {} {:?}",
                g.id,
                g.state,
                g.keys,
                g.requests,
                g.nats,
                i.armed,
                i.under,
                g.young_percent,
                g.novel_percent,
                g.single_percent,
                g.old_percent,
                g.explanations
            );
            if let Some(f) = i.finding {
                eprintln!("        share {:.4} ready {} {:?}", f.share, f.ready, f.numbers);
            }
        }
    }

    fn restart(&mut self, t_s: u32) {
        let at_h = match self.start {
            Start::MidwayLogs(h) | Start::RestartSaved(h) | Start::RestartEmpty(h) => h,
            _ => return,
        };
        if self.restarted || t_s < at_h * 3600 {
            return;
        }
        self.restarted = true;
        if let Err(e) = self.deployment.restart(!matches!(self.start, Start::RestartEmpty(_))) {
            eprintln!("weir: state refused: {e}");
        }
    }

    fn count(&mut self, item: &Item, t_s: u32, d: &Decision) {
        self.requests += 1;
        let f = &mut self.fates[item.actor as usize];
        if f.requests == 0 {
            f.first_s = t_s;
        }
        f.requests += 1;
        let (v, e) = (&d.verdict, &d.verdict.evidence);
        let blocked = v.action == Action::Block;
        let over_budget = v.action == Action::Throttle && v.reason == Reason::Budget;
        let served = !blocked && !over_budget;
        f.over_budget += u32::from(over_budget);
        if item.probe {
            f.probes += 1;
            self.probes.0 += 1;
            self.probes.1 += u64::from(served);
            if self.roll.is_some_and(|t| t <= item.x.obs.time) {
                self.rolled = (self.rolled.0 + 1, self.rolled.1 + u64::from(served));
            }
            if let Some(h) = self.by_hour.get_mut((t_s / 3600) as usize) {
                *h = (h.0 + 1, h.1 + u32::from(served));
            }
        }
        f.throttled += u32::from(v.action == Action::Throttle);
        if v.reason == Reason::Profile && f.alarm_s == 0 {
            f.alarm_s = t_s;
        }
        if !blocked {
            return;
        }
        f.blocked += 1;
        if f.alarm_s == 0 {
            f.alarm_s = t_s;
        }
        let strikes = u32::from(e.strikes);
        f.convicted |=
            v.reason == Reason::Convicted || (strikes >= 4 && strikes * 50 >= e.requests.min(4_000));
        if f.first_block_s == 0 {
            f.first_block_s = t_s.max(1);
            self.tell(item, t_s, d);
        }
    }

    fn tell(&self, item: &Item, t_s: u32, d: &Decision) {
        let a = &self.world.actors[item.actor as usize];
        let class = &self.world.classes[usize::from(a.class)];
        if !self.verbose || class.attack {
            return;
        }
        eprintln!(
            "{:.2} h: {} {}",
            f64::from(t_s) / 3600.0,
            class.name,
            self.deployment.explain(item.x.obs.time, d)
        );
    }
}

/// Builds the traffic of a scenario.
pub fn world(s: &Setup, corpus: &Arc<Corpus>) -> World {
    let sc = &s.scenario;
    let seed = Rng::at(s.seed, 0x7765_6972, 0).u64();
    let hours = attack::BEGIN_H + sc.hours;
    let pool = Pool::new(Arc::clone(corpus));
    let mut world = World::new(seed, hours, pool);
    let scale = sc.honest * s.honest;
    let mut m = Maker::new(&mut world, Population { ages: sc.told(), neighbours: 0.005 });
    m.world.pool.tasks = m.world.pool.corpus.tasks.clone();
    honest::populate(&mut m, scale);
    let from = m.world.actors.len();
    if sc.newcomers > 0 {
        honest::newcomers::all(&mut m, sc.newcomers);
    }
    if sc.keys > 0 {
        // Each row draws its own spreads and shares.
        m.rng = Rng::at(m.world.seed, sip13((0, 0), sc.name.as_bytes()), 1);
        (sc.lookalike)(&mut m, sc.keys);
    }
    m.world.own = from..m.world.actors.len();
    for a in &mut m.world.actors[from..] {
        a.pages = sc.tricks.pages && !matches!(a.text, Text::Chat);
    }
    attack::add(&mut m, sc, s.campaign);
    world
}

/// Makes all of the traffic without judging it. `each` gets every request with its observation, and whether
/// it is a probe.
pub fn observe(world: &World, config: &Config, each: &mut dyn FnMut(&Request, &Observation, bool)) {
    let mut source = Source::new(world, config);
    let mut item = Item { x: Extracted::default(), actor: 0, probe: false };
    world.requests(|e| {
        source.make(e, &mut item, None);
        each(e, &item.x.obs, item.probe);
    });
}

/// Runs the scenario.
pub fn run(s: &Setup, config: &Arc<Config>, corpus: &Arc<Corpus>, progress: &dyn Fn(u64)) -> Report {
    let begun = Instant::now();
    let config = &s.fitted.map_or_else(
        || Arc::clone(config),
        |fitted| {
            let mut with = Config::clone(config);
            with.campaign.fitted = fitted;
            Arc::new(with)
        },
    );
    let world = world(s, corpus);
    let mut judge = Judge {
        deployment: match s.fleet {
            Some(layout) => Deployment::fleet(config, layout, s.edges),
            None => Deployment::new(Arc::clone(config), s.edges),
        },
        start: s.scenario.start,
        restarted: false,
        flood: Flood::new(s.scenario.tricks.flood, world.seed),
        ticked: Nanos(0),
        fates: vec![Fate::default(); world.actors.len()],
        probes: (0, 0),
        rolled: (0, 0),
        roll: s.fleet.and_then(|f| f.roll),
        requests: 0,
        verbose: s.verbose,
        trace: s.trace,
        traced: 0,
        by_hour: vec![(0, 0); world.hours as usize + 1],
        time: Duration::ZERO,
        world: &world,
    };
    let mut baselines = s.baselines.then(|| Baselines::new(world.actors.len()));
    let source = || Source::new(&world, config);
    let mut extract = Duration::ZERO;
    if s.pipelined && baselines.is_none() {
        pipeline(&world, source(), &mut judge, progress);
    } else {
        let (mut source, mut n) = (source(), 0u64);
        let mut item = Item { x: Extracted::default(), actor: 0, probe: false };
        world.requests(|e| {
            let at = Instant::now();
            source.make(e, &mut item, baselines.as_mut());
            extract += at.elapsed();
            judge.see(&mut item);
            n += 1;
            if n.is_multiple_of(4096) {
                progress(4096);
            }
        });
    }
    judge.deployment.finish();
    if s.trace {
        let all: Vec<String> = judge.by_hour.iter().map(|(n, served)| format!("{served}/{n}")).collect();
        eprintln!(
            "served of sent by hour: {}",
            all.get(attack::BEGIN_H as usize..).unwrap_or_default().join(" ")
        );
    }
    let mut report = summary(s, &world, &judge, baselines.as_ref());
    report.elapsed = begun.elapsed();
    report
}

/// Makes traffic on a thread of its own, and judges it on this one.
fn pipeline(world: &World, mut source: Source<'_>, judge: &mut Judge<'_>, progress: &dyn Fn(u64)) {
    const BATCH: usize = 512;
    let (to_judge, batches) = mpsc::sync_channel::<Vec<Item>>(16);
    let (to_source, used) = mpsc::channel::<Vec<Item>>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let fresh = || {
                let empty = |_| Item { x: Extracted::default(), actor: 0, probe: false };
                (0..BATCH).map(empty).collect::<Vec<Item>>()
            };
            let (mut batch, mut n) = (fresh(), 0);
            world.requests(|e| {
                source.make(e, &mut batch[n], None);
                n += 1;
                if n == BATCH {
                    let next = used.try_recv().unwrap_or_else(|_| fresh());
                    let _ = to_judge.send(std::mem::replace(&mut batch, next));
                    n = 0;
                }
            });
            batch.truncate(n);
            let _ = to_judge.send(batch);
        });
        for mut batch in batches {
            batch.iter_mut().for_each(|item| judge.see(item));
            progress(batch.len() as u64);
            let _ = to_source.send(batch);
        }
    });
}

fn summary(s: &Setup, world: &World, judge: &Judge<'_>, baselines: Option<&Baselines>) -> Report {
    let mut honest: Vec<ClassResult> =
        world.classes.iter().map(|c| ClassResult { name: c.name, ..ClassResult::default() }).collect();
    let mut out = Report {
        name: s.scenario.name,
        seed: s.seed,
        edges: s.edges,
        fleet: s.fleet,
        requests: judge.requests,
        attack_requests: judge.probes.0,
        served: judge.probes.1,
        rolled: judge.rolled,
        status: judge.deployment.status(),
        ns_per_request: judge.time.as_nanos() as u64 / judge.requests.max(1),
        ..Report::default()
    };
    let begin = match s.scenario.start {
        Start::Midway(h) | Start::MidwayLogs(h) => h * 3600,
        _ => attack::BEGIN_H * 3600,
    };
    for a in &world.actors[world.own.clone()] {
        honest[usize::from(a.class)].own = true;
    }
    for (a, f) in world.actors.iter().zip(&judge.fates).filter(|(_, f)| f.requests > 0) {
        let c = &mut honest[usize::from(a.class)];
        c.keys += 1;
        c.requests += u64::from(f.requests);
        c.requests_blocked += u64::from(f.blocked);
        c.blocked += u32::from(f.blocked > 0);
        c.throttled += u32::from(f.throttled > 0);
        c.over_budget += u32::from(f.over_budget > 0);
        c.requests_over_budget += u64::from(f.over_budget);
        if !world.classes[usize::from(a.class)].attack {
            continue;
        }
        out.accounts += 1;
        out.active += u32::from(f.probes >= 5);
        let convicted = f.convicted || judge.deployment.convicted(a.key);
        out.convicted += u32::from(convicted && f.probes >= 5);
        out.blocked_accounts += u32::from(f.blocked > 0);
        out.alarmed += u32::from(f.alarm_s > 0);
        out.alarmed_24h += u32::from(f.alarm_s > 0 && f.alarm_s - f.first_s.min(f.alarm_s) <= 86_400);
        if f.first_block_s > 0 {
            let h = f64::from(f.first_block_s.saturating_sub(begin)) / 3600.0;
            out.first_block_h = Some(out.first_block_h.map_or(h, |b: f64| b.min(h)));
        }
    }
    out.honest = honest
        .into_iter()
        .zip(&world.classes)
        .filter(|(r, c)| !c.attack && r.keys > 0)
        .map(|(r, _)| r)
        .collect();
    if let Some(b) = baselines {
        out.baselines =
            b.results().iter().map(|(name, flagged)| score(world, &judge.fates, name, flagged)).collect();
    }
    out
}

fn score(world: &World, fates: &[Fate], name: &'static str, flagged: &[bool]) -> (&'static str, f64, u32) {
    let attack = |a: &Actor| world.classes[usize::from(a.class)].attack;
    let (mut accounts, mut hit, mut wrong) = (0u32, 0u32, 0u32);
    for ((a, _), flag) in world.actors.iter().zip(fates).zip(flagged).filter(|((_, f), _)| f.requests > 0) {
        if attack(a) {
            accounts += 1;
            hit += u32::from(*flag);
        } else {
            wrong += u32::from(*flag);
        }
    }
    (name, 100.0 * f64::from(hit) / f64::from(accounts.max(1)), wrong)
}

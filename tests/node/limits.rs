//! A key's limit over all workers: what it can send beyond, at the worst moments, however it spreads its requests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

#[path = "traffic.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod traffic;

use std::sync::Arc;
use traffic::{Request, START, session};
use weir::engine::Engine;
use weir::engine::config::{Config, parse};
use weir::engine::edge::Edge;
use weir::engine::edge::extract::Extracted;
use weir::engine::edge::identity::Keys;
use weir::engine::edge::session::Other;
use weir::engine::hash::mix;
use weir::engine::ledger::Ledger;
use weir::engine::observation::Observation;
use weir::engine::units::Nanos;
use weir::engine::value::KeyId;
use weir::engine::verdict::{Action, Verdict};
use weir::node::WORD;

const LIMIT: u64 = 20;
const WINDOW_S: u64 = 60;
const MINUTES: u64 = 10;
/// A worker writes every 100 ms, the leader reads and publishes every 100 ms: what is decided is known everywhere after it.
const LAG_MS: u64 = 200;

/// Workers that tick at their own phases, a leader that ticks at its own.
struct Node {
    config: Arc<Config>,
    keys: Keys,
    edges: Vec<Edge>,
    ledger: Ledger,
    ms: u64,
    /// The clock was set back by so much.
    back: Nanos,
    served: u64,
    paths: Paths,
    judged: u64,
}

fn config(limits: &str) -> Arc<Config> {
    let text = format!(
        r#"{{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","limits":{limits},"keys":1024,"campaign":{{"groups":64,"doorkeeper_bits":10,"novelty_bits":10}}}}"#
    );
    Arc::new(parse(&text).unwrap())
}

fn request(now: Nanos, key: u64, tenant: u64, cost: u16) -> Extracted {
    let obs = Observation { time: now, key, tenant, cost, ..Observation::default() };
    Extracted { obs, key: KeyId(key), ..Extracted::default() }
}

/// The same on a path whose prompt nobody reads.
fn elsewhere(now: Nanos, key: u64, tenant: u64, cost: u16) -> Extracted {
    Extracted { other: Other::Charged, ..request(now, key, tenant, cost) }
}

/// Which paths a client uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Paths {
    #[default]
    Read,
    Others,
    Both,
}

impl Paths {
    fn request(self, i: u64, now: Nanos, key: u64, tenant: u64, cost: u16) -> Extracted {
        let other = self == Paths::Others || self == Paths::Both && mix(i) & 1 == 1;
        if other { elsewhere(now, key, tenant, cost) } else { request(now, key, tenant, cost) }
    }
}

impl Node {
    fn new(workers: usize) -> Node {
        Node::with(workers, &format!(r#"[{{"name":"l","requests":{LIMIT},"per":"{WINDOW_S}s"}}]"#))
    }
    fn with(workers: usize, limits: &str) -> Node {
        let config = config(limits);
        Node {
            keys: Keys::new(&config.seed),
            edges: (0..workers).map(|_| Edge::new(Arc::clone(&config))).collect(),
            ledger: Ledger::new(&config),
            ms: 0,
            back: Nanos(0),
            served: 0,
            paths: Paths::default(),
            judged: 0,
            config,
        }
    }
    fn now(&self) -> Nanos {
        Nanos::from_secs(START).plus(Nanos::from_millis(self.ms)).since(self.back)
    }
    /// A request of hashes alone, without its text.
    fn judge(&mut self, worker: usize, key: u64, tenant: u64, cost: u16) -> Verdict {
        let (now, n) = (self.now(), self.edges.len());
        self.judged += 1;
        let mut x = self.paths.request(self.judged, now, key, tenant, cost);
        self.edges[worker % n].judge(now, &mut x).verdict
    }
    fn pass_time(&mut self, ms: u64) {
        let end = self.ms + ms;
        while self.ms < end {
            self.step();
        }
    }
    fn step(&mut self) {
        self.ms += 10;
        if self.ms.is_multiple_of(1_000) {
            self.ledger.tick(self.now());
        }
        let n = self.edges.len() as u64;
        let mut batch = Vec::new();
        for (i, e) in self.edges.iter_mut().enumerate() {
            if self.ms % 100 == i as u64 * 100 / n / 10 * 10 {
                e.drain(&mut batch);
                if !batch.is_empty() {
                    self.ledger.observe(&batch, |_, _| ()).unwrap();
                }
            }
        }
        if self.ms % 100 == 90 {
            self.ledger.publish(|_, shard| self.edges.iter_mut().for_each(|e| e.apply(shard).unwrap()));
        }
    }
    fn send(&mut self, worker: usize) -> bool {
        let t = self.now();
        let r = Request { t, key: 1, body: r#"{"messages":[{"role":"user","content":"hi"}]}"#.into() };
        let mut s = session(&r, &self.config, &self.keys);
        let n = self.edges.len();
        let passed = self.edges[worker % n].decide(t, &mut s).action == Action::Allow;
        self.served += u64::from(passed);
        passed
    }
}

/// What a client does every ten milliseconds.
type Client = fn(&mut Node);

fn hammer(n: &mut Node) {
    n.send(n.ms as usize / 10);
}
/// Everything at once on all workers, once a window.
fn pulse(n: &mut Node) {
    if n.ms % (WINDOW_S * 1_000) == 1_000 {
        flood(n);
    }
}
fn rare_pulse(n: &mut Node) {
    if n.ms % (WINDOW_S * 2_000) == 1_000 {
        flood(n);
    }
}
/// Asks now and then; where one passes, everything at once on all workers.
fn sniper(n: &mut Node) {
    if n.ms % 1_000 == 10 && n.send(n.ms as usize / 1_000) {
        flood(n);
    }
}
/// Keeps to the limit.
fn polite(n: &mut Node) {
    if n.ms.is_multiple_of(WINDOW_S * 1_000 / LIMIT) {
        n.send(n.ms as usize / 3_000);
    }
}
fn flood(n: &mut Node) {
    for i in 0..n.edges.len() * 3 * LIMIT as usize {
        n.send(i);
    }
}

fn served(workers: usize, client: Client) -> u64 {
    let mut n = Node::new(workers);
    while n.ms < MINUTES * 60_000 {
        n.step();
        client(&mut n);
    }
    n.served
}

/// Over any time, however a client spreads its requests over workers and moments: what conforms, and once what the other
/// workers let through before they know (the whole limit each, at worst). That is owed: it does not come again.
#[test]
fn beyond_a_limit_goes_once_what_the_other_workers_let_through() {
    let conform = LIMIT + LIMIT * MINUTES * 60 / WINDOW_S;
    println!("{MINUTES} minutes, {conform} conform, known everywhere after {LAG_MS} ms");
    for workers in [1usize, 2, 4, 16] {
        let clients =
            [("hammer", hammer as Client), ("pulse", pulse), ("rare pulse", rare_pulse), ("sniper", sniper)];
        for (name, client) in clients {
            let served = served(workers, client);
            println!("{workers} workers, {name}: {served} served");
            let most = conform + LIMIT * (workers as u64 - 1);
            assert!(served <= most, "{workers} workers, {name}: {served} of at most {most}");
            // 100 requests a second: what comes within the lag, and one a worker where the limit opens.
            assert!(
                name != "hammer" || served <= conform + LAG_MS / 10 + workers as u64,
                "{workers}: {served}"
            );
        }
        assert_eq!(
            self::served(workers, polite),
            LIMIT * MINUTES * 60 / WINDOW_S,
            "who conforms is never refused"
        );
    }
}

const FIVE: &str = r#"[{"name":"a","requests":1,"per":"1h"},{"name":"b","requests":4,"per":"24h"},{"name":"c","requests":30,"per":"240h"},
    {"name":"d","requests":60,"per":"480h"},{"name":"t","requests":3,"per":"1h","by":"tenant"}]"#;

/// Others come once, come again and again, ask for much at once, are of tenants that have used everything up, on paths that are
/// read and on others: whatever they do, who has used nothing is served. In the workers, and in one process.
#[test]
fn a_key_that_has_used_nothing_is_served_whatever_a_million_others_do() {
    let (mut node, others) = (Node::with(2, FIVE), 1_000_000u64);
    let mut engine = Engine::new(config(FIVE));
    let (mut refused, mut honest) = (0u64, 0u64);
    node.paths = Paths::Both;
    for i in 0..others {
        let (key, tenant, cost) = match i % 4 {
            0 | 1 => (mix(i) | 1, 0, 1),
            2 => (mix(i / 100) | 1, mix(i % 50), 1),
            _ => (mix(i / 3) | 1, 0, 65_535),
        };
        refused += u64::from(node.judge(i as usize, key, tenant, cost).action.rejects());
        let now = node.now();
        if i % 10 == 0 {
            engine.judge(now, &mut request(now, key, tenant, cost));
        }
        if i % 50 == 0 {
            // 5,000 requests a second; a worker holds less than that between its ticks.
            node.step();
        }
        if i % 500 == 0 {
            honest += 1;
            let (key, tenant) = (mix(others + i) | 1, mix(others + i));
            let v = node.judge(i as usize / 500, key, tenant, 1);
            assert_eq!(v.action, Action::Allow, "refused for others, after {i}: {v:?}");
            let v = engine.judge(now, &mut request(now, key, tenant, 1)).verdict;
            assert_eq!(v.action, Action::Allow, "in one process, after {i}: {v:?}");
        }
    }
    println!("{refused} of {others} requests of others refused, 0 of {honest} of newcomers");
    assert!(refused > others / 10, "the limits are on: {refused}");
}

/// The first two limits of a key are kept in its record, the others beside it, those of tenants too: all hold over all workers.
#[test]
fn every_limit_holds_over_all_workers_and_for_tenants() {
    let wide: Vec<String> =
        (0..7).map(|i| format!(r#"{{"name":"w{i}","requests":{},"per":"1h"}}"#, 100_000 + i)).collect();
    let conform = LIMIT + LIMIT * MINUTES * 60 / WINDOW_S;
    let places = [(0, "key"), (1, "key"), (2, "key"), (7, "key"), (0, "tenant"), (3, "tenant")];
    let all = [Paths::Read, Paths::Others, Paths::Both].map(|paths| places.map(|(n, by)| (paths, n, by)));
    for (paths, before, by) in all.into_iter().flatten() {
        let last = format!(r#"{{"name":"l","requests":{LIMIT},"per":"{WINDOW_S}s","by":"{by}"}}"#);
        let limits = format!("[{}]", [&wide[..before], &[last]].concat().join(","));
        for workers in [1usize, 2, 4] {
            let (mut n, mut served, mut i) = (Node::with(workers, &limits), 0u64, 0u64);
            n.paths = paths;
            while n.ms < MINUTES * 60_000 {
                n.step();
                i += 1;
                let key = if by == "key" { 1 } else { 1 + i % 40 };
                let v = n.judge(i as usize, key, 9, 1);
                served += u64::from(!v.action.rejects());
                assert!(!v.action.rejects() || usize::from(v.wait.limit) == before);
            }
            let place = before + 1;
            println!(
                "{paths:?}, limit {place} by {by}, {workers} workers: {served} served, {conform} conform"
            );
            assert!(served >= conform - 2 && served <= conform + LAG_MS / 10 + workers as u64, "{served}");
            assert!(paths != Paths::Others || n.ledger.status().keys == 0, "a charge makes no record");
            // Another tenant is nobody's debtor.
            assert!(!n.judge(0, 1_000, 10, 1).action.rejects());
        }
    }
}

/// A limit of many requests a second: what workers tell the ledger of the same moment comes one worker after the other, and no
/// debt is let off for it.
#[test]
fn a_fast_limit_holds_over_all_workers() {
    for (paths, workers) in [(Paths::Others, 1), (Paths::Others, 2), (Paths::Others, 4), (Paths::Both, 4)] {
        let mut n = Node::with(workers, r#"[{"name":"l","requests":1000,"per":"5s"}]"#);
        n.paths = paths;
        let mut served = 0u64;
        while n.ms < 60_000 {
            n.step();
            served += (0..3 * workers).filter(|i| !n.judge(*i, 1, 0, 1).action.rejects()).count() as u64;
        }
        println!("{paths:?}, {workers} workers: {served} served, 13000 conform");
        assert!((12_000..=13_600).contains(&served), "{paths:?}, {workers} workers: {served}");
    }
}

/// Of a request on another path the ledger hears what it costs, in 78 bytes; and nothing if no limit counts it.
#[test]
fn only_what_a_limit_counts_is_told_of_other_paths() {
    let one = r#"[{"name":"l","requests":3,"per":"1h"}]"#;
    let now = Nanos::from_secs(START);
    let told = |limits: &str, other: Other, key: u64| {
        let (mut edge, mut batch) = (Edge::new(config(limits)), Vec::new());
        for _ in 0..10 {
            edge.judge(now, &mut Extracted { other, ..request(now, key, 0, 1) });
        }
        edge.drain(&mut batch);
        batch.len()
    };
    assert_eq!(told(one, Other::Charged, 1), 3 * 78 + 16, "three are served, of ten");
    assert_eq!(told("[]", Other::Charged, 1), 0, "no limits");
    assert_eq!(told(one, Other::Free, 1), 0, "asks for no work");
    assert_eq!(told(one, Other::Refused, 1), 0, "is not served");
    assert_eq!(told(one, Other::Charged, 0), 0, "nobody's");
    let mut ledger = Ledger::new(&config(one));
    let (mut edge, mut batch) = (Edge::new(config(one)), Vec::new());
    for key in 1..100u64 {
        edge.judge(now, &mut elsewhere(now, key, 0, 1));
    }
    let before = ledger.write_state();
    edge.drain(&mut batch);
    ledger.tick(now);
    let started = ledger.write_state();
    assert_eq!(ledger.observe(&batch, |_, o| assert!(!o.block && !o.watch)), Ok(99));
    assert!(before != started && ledger.write_state() == started, "nothing that is saved is learned");
}

/// Whatever was served where: once all know of it, a wait that is told is true. Meanwhile the client asks too early, on any
/// worker, and waits no longer for it.
#[test]
fn who_waits_as_long_as_told_is_served_on_any_worker() {
    let limits = r#"[{"name":"a","requests":7,"per":"10s"},{"name":"b","requests":40,"per":"5m"},{"name":"c","requests":100,"per":"1h"}]"#;
    let (mut waits, mut kept) = (0, 0);
    for seed in 0..60u64 {
        let workers = [1usize, 2, 4][seed as usize % 3];
        let mut n = Node::with(workers, limits);
        n.paths = [Paths::Read, Paths::Others, Paths::Both][seed as usize / 3 % 3];
        for round in 0..12u64 {
            let r = mix(seed << 8 | round);
            for i in 0..r % 40 {
                n.judge(
                    (r >> 8) as usize + i as usize * (r as usize >> 16 & 1),
                    1,
                    0,
                    1 + (r >> 20) as u16 % 3,
                );
            }
            n.pass_time(LAG_MS + 10 * (r >> 24 & 63));
            let cost = 1 + (r >> 32) as u16 % 4;
            let v = n.judge((r >> 40) as usize, 1, 0, cost);
            if !v.action.rejects() {
                continue;
            }
            waits += 1;
            assert!(v.retry_after <= v.wait.wait && v.retry_after <= Nanos::from_secs(30));
            let told_ms = v.wait.wait.millis().div_ceil(1_000) * 1_000;
            // Another worker may serve it a second sooner: then it has what it waits for.
            let served_early = (0..4).any(|_| {
                n.pass_time(told_ms / 5 / 10 * 10);
                !n.judge(mix(n.ms) as usize, 1, 0, cost).action.rejects()
            });
            if served_early {
                continue;
            }
            n.pass_time(told_ms - told_ms / 5 / 10 * 40 + 10);
            let v = n.judge((r >> 48) as usize, 1, 0, cost);
            kept += 1;
            assert!(!v.action.rejects(), "seed {seed} round {round}: {told_ms} ms told, then {v:?}");
        }
    }
    println!("{waits} waits told, {kept} waited for in full and kept");
    assert!(kept > 100, "{kept} of {waits}");
}

/// A burst of any length over several workers, of a key or of a tenant's keys: what its refusals are told once the ledger's word is
/// due is true. Who waits so long is served.
#[test]
fn of_a_burst_of_any_length_the_wait_told_is_true() {
    let limits =
        r#"[{"name":"a","requests":20,"per":"20s"},{"name":"t","requests":20,"per":"20s","by":"tenant"}]"#;
    let (mut told, mut least) = (0, u64::MAX);
    for seed in 0..240u64 {
        let r = mix(seed);
        let workers = [2usize, 3, 4, 8][seed as usize % 4];
        let by_tenant = seed / 4 % 2 == 1;
        let mut n = Node::with(workers, limits);
        n.pass_time(r % 50 * 10);
        // So many requests every ten milliseconds, for up to a second.
        let (each, length) = (1 + (r >> 8) % 12, 10 + (r >> 16) % 100 * 10);
        let (began, mut waiting, mut ends) = (n.ms, Vec::new(), Vec::new());
        while n.ms < began + length + 700 {
            let (now, at) = (n.now(), n.ms * 1_000_000);
            for i in 0..if n.ms < began + length { each } else { 0 } {
                n.judged += 1;
                let key = if by_tenant { n.judged } else { 1 };
                let worker = mix(r ^ n.judged ^ i) as usize % workers;
                let mut x = request(now, key, u64::from(by_tenant) * 7, 1);
                let d = n.edges[worker].judge(now, &mut x);
                if d.verdict.action.rejects() {
                    let since = n.edges[worker].refused_since(now, at, x.obs.tenant, &d);
                    waiting.push((at.max(since + WORD), worker, x.obs.tenant, d));
                }
            }
            waiting.retain_mut(|(due, worker, tenant, d)| {
                if *due <= at {
                    n.edges[*worker].hear_wait(now, *tenant, d);
                    ends.push(n.ms + d.verdict.wait.wait.millis().div_ceil(1_000) * 1_000);
                }
                *due > at
            });
            n.step();
        }
        let Some(end) = ends.iter().min() else { continue };
        told += ends.len();
        least = least.min(end - began);
        n.pass_time((end + 10).saturating_sub(n.ms));
        let v = n.judge(r as usize, if by_tenant { 100_000 } else { 1 }, u64::from(by_tenant) * 7, 1);
        assert!(!v.action.rejects(), "seed {seed}, {workers} workers: {} ms told, then {v:?}", end - began);
        // And not for longer than what was served takes to be paid off.
        let (first, last) = (end - began, ends.iter().max().unwrap() - began);
        assert!(last - first <= 2_000 + length, "{first} to {last} ms");
    }
    println!("{told} waits told, the shortest {least} ms");
    assert!(told > 10_000, "{told}");
}

/// In one process (`scope: vm`): a client that asks ten times as often as its limit allows gets exactly that.
#[test]
fn a_client_that_asks_early_does_not_starve_in_one_process() {
    for (requests, per_s) in [(4u64, 4u64), (20, 60), (3, 3_600)] {
        let limits = format!(r#"[{{"name":"l","requests":{requests},"per":"{per_s}s"}}]"#);
        let mut e = Engine::new(config(&limits));
        let (interval, windows, mut served) = (per_s * 1_000 / requests, 5, 0);
        let steps = windows * requests * 10;
        for i in 0..steps {
            let now = Nanos::from_secs(START).plus(Nanos::from_millis(i * interval / 10));
            served += u64::from(!e.judge(now, &mut request(now, 1, 0, 1)).verdict.action.rejects());
        }
        let conform = requests + (steps - 1) / 10;
        println!("{requests}/{per_s}s: {served} served, {conform} conform");
        assert!(served + windows >= conform && served <= conform, "{served} of {conform}");
    }
}

/// A clock that is set back: whoever was within the limits is served at once, and who was not waits no longer than it takes to be
/// sure of the clock (a minute).
#[test]
fn a_clock_set_back_refuses_nobody_for_long() {
    for back_s in [5u64, 60, 600, 86_400] {
        let mut n = Node::with(
            2,
            r#"[{"name":"l","requests":20,"per":"60s"},{"name":"m","requests":500,"per":"1h"}]"#,
        );
        n.pass_time(5_000);
        // One is over the limit on both workers, one is near it.
        for i in 0..60 {
            n.judge(i, 1, 0, 1);
        }
        for i in 0..15 {
            n.judge(i, 2, 0, 1);
        }
        n.pass_time(LAG_MS * 2);
        let owed = n.judge(0, 1, 0, 1).wait.wait;
        assert!(owed > Nanos::from_secs(2));
        n.back = Nanos::from_secs(back_s);
        assert!(!n.judge(0, 2, 0, 1).action.rejects(), "{back_s}: within its limit");
        assert!(!n.judge(1, 3, 0, 1).action.rejects(), "{back_s}: a newcomer");
        let told = n.judge(1, 1, 0, 1).wait.wait;
        assert!(told <= owed.plus(Nanos::from_secs(1)), "{back_s}: {told:?}");
        let mut refused_ms = 0;
        while n.judge(refused_ms as usize / 500, 1, 0, 1).action.rejects() && refused_ms < 1_000_000 {
            n.pass_time(500);
            refused_ms += 500;
        }
        println!(
            "back {back_s} s: {} s were owed, told {} s, refused for {} s",
            owed.secs(),
            told.secs(),
            refused_ms / 1_000
        );
        assert!(refused_ms <= owed.millis() + 65_000, "back {back_s} s: refused for {refused_ms} ms");
    }
}

//! A key's limit over all workers: what it can send beyond, at the worst moments, however it spreads its requests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

#[path = "traffic.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod traffic;

use std::sync::Arc;
use traffic::{Request, START, session};
use weir::engine::config::{Config, parse};
use weir::engine::edge::Edge;
use weir::engine::edge::identity::Keys;
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;

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
    served: u64,
}

impl Node {
    fn new(workers: usize) -> Node {
        let text = format!(
            r#"{{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","limits":[{{"name":"l","requests":{LIMIT},"per":"{WINDOW_S}s"}}],"keys":1024,"campaign":{{"groups":64,"doorkeeper_bits":10,"novelty_bits":10}}}}"#
        );
        let config = Arc::new(parse(&text).unwrap());
        Node {
            keys: Keys::new(&config.seed),
            edges: (0..workers).map(|_| Edge::new(Arc::clone(&config))).collect(),
            ledger: Ledger::new(&config),
            ms: 0,
            served: 0,
            config,
        }
    }
    fn step(&mut self) {
        self.ms += 10;
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
        let t = Nanos::from_secs(START).plus(Nanos::from_millis(self.ms));
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

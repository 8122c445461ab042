//! A template's budget over all workers: unproven keys share it, a proven key never pays, and without one nobody does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

#[path = "traffic.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod traffic;

use std::sync::Arc;
use traffic::{START, open};
use weir::engine::config::{Config, parse};
use weir::engine::edge::Edge;
use weir::engine::edge::identity::Keys;
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;
use weir::engine::verdict::{Action, Reason, Verdict};
use weir::engine::{Engine, hash};

const BUDGET: u64 = 40;
/// A text that nobody has sent before.
fn text(seed: u64) -> String {
    // Letters: digits are folded.
    let word = |i: u64| {
        let h = hash::mix(hash::mix(seed) ^ i);
        (0..7).map(|n| char::from(b'a' + (h >> (8 * n) & 0xff) as u8 % 26)).collect::<String>()
    };
    (0..14).map(word).collect::<Vec<_>>().join(" ")
}

fn template(seed: u64) -> String {
    format!(
        "Write a worked solution for the task below and check it with a second method before you finish the last line. Then \
         name the rule that you used and say why no other rule applies here. {}",
        text(seed)
    )
}

struct Node {
    config: Arc<Config>,
    keys: Keys,
    edges: Vec<Edge>,
    ledger: Ledger,
    ms: u64,
    sent: u64,
}

impl Node {
    fn new(watch: &str, workers: usize) -> Node {
        let config = config(watch);
        Node {
            keys: Keys::new(&config.seed),
            edges: (0..workers).map(|_| Edge::new(Arc::clone(&config))).collect(),
            ledger: Ledger::new(&config),
            ms: 0,
            sent: 0,
            config,
        }
    }
    /// So much later, with a tick of all workers and of the ledger.
    fn pass(&mut self, ms: u64) {
        self.ms += ms;
        let mut batch = Vec::new();
        for e in &mut self.edges {
            e.drain(&mut batch);
            if !batch.is_empty() {
                self.ledger.observe(&batch, |_, _| ()).unwrap();
            }
        }
        self.ledger.tick(self.now());
        self.ledger.publish(|_, shard| self.edges.iter_mut().for_each(|e| e.apply(shard).unwrap()));
    }
    fn now(&self) -> Nanos {
        Nanos::from_secs(START).plus(Nanos::from_millis(self.ms))
    }
    fn send(&mut self, key: u64, text: &str) -> Verdict {
        self.sent += 1;
        let n = self.edges.len() as u64;
        let mut s = session(&self.config, &self.keys, key, text);
        let now = self.now();
        self.edges[(self.sent % n) as usize].decide(now, &mut s)
    }
    /// Disposable keys until the template is suspicious: nobody pays before.
    fn campaign(&mut self) {
        for i in 0..400 {
            let v = self.send(10_000 + i, &template(i));
            assert!(!v.action.rejects() || i > 96, "{i}: {v:?}");
            self.pass(100);
        }
        // What was owed is paid off.
        (0..180).for_each(|_| self.pass(60_000));
    }
}

fn config(watch: &str) -> Arc<Config> {
    let text = format!(
        r#"{{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","limits":[],"identity":{{"learn":"0s"}},"actions":{{"watch":"{watch}","budget":{{"requests":{BUDGET},"per":"1h"}}}}}}"#
    );
    Arc::new(parse(&text).unwrap())
}

fn session(config: &Config, keys: &Keys, key: u64, text: &str) -> weir::engine::edge::session::Session {
    let auth = format!("Bearer key-{key}");
    let mut s = open(config, keys, &[(b"authorization", auth.as_bytes())], false);
    s.push(format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#).as_bytes(), true);
    s
}

#[test]
fn unproven_keys_share_a_budget_and_a_proven_key_never_pays() {
    for workers in [1, 2, 4] {
        let mut n = Node::new("budget", workers);
        for i in 0..6 {
            n.send(1, &text(1_000_000 + i));
            n.pass(60_000);
        }
        n.campaign();
        // A hundred requests a second of keys that come once, for two minutes; every second one of the proven key.
        let (mut served, mut proven) = (0u64, 0u64);
        for i in 0..12_000u64 {
            let v = n.send(1_000_000 + i, &template(5_000 + i));
            served += u64::from(!v.action.rejects());
            if v.action.rejects() {
                assert_eq!((v.action, v.reason), (Action::Throttle, Reason::Budget));
                assert_eq!(v.retry_after, Nanos::from_secs(5));
                assert!(v.case_id.is_some());
            }
            if i % 100 == 0 {
                proven += u64::from(!n.send(1, &template(900_000 + i)).action.rejects());
            }
            n.ms += 10;
            if i % 10 == 9 {
                n.pass(0);
            }
        }
        println!("{workers} workers: {served} of 12000 served, {proven} of 120 of the proven key");
        assert_eq!(proven, 120);
        // What conforms in two minutes, and what arrives before the others know (at most 200 ms).
        let most = BUDGET + BUDGET * 120 / 3_600 + 20 + workers as u64;
        assert!((BUDGET..=most).contains(&served), "{workers} workers: {served} of at most {most}");
    }
}

#[test]
fn without_a_budget_nobody_pays() {
    let mut n = Node::new("tag", 2);
    n.campaign();
    let refused = (0..200).filter(|i| n.send(1_000_000 + i, &template(5_000 + i)).action.rejects()).count();
    assert_eq!(refused, 0);
}

#[test]
fn in_one_process_it_is_the_same_budget() {
    let config = config("budget");
    let keys = Keys::new(&config.seed);
    let mut engine = Engine::new(Arc::clone(&config));
    let mut ask = |key: u64, text: &str, s: u64| {
        let mut request = session(&config, &keys, key, text);
        engine.decide(Nanos::from_secs(START + s), &mut request).verdict
    };
    for i in 0..6 {
        ask(1, &text(1_000_000 + i), i * 60);
    }
    for i in 0..400 {
        ask(10_000 + i, &template(i), 400 + i);
    }
    let later = 4 * 3_600;
    let served = (0..200u64).filter(|i| !ask(2_000_000 + i, &template(5_000 + i), later).action.rejects());
    assert_eq!(served.count() as u64, BUDGET);
    assert!(!ask(1, &template(77_777), later).action.rejects());
}

//! The two halves apart: edges that send batches and receive shards reach the convictions of the engine in one piece.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use std::sync::Arc;
use weir::engine::config::parse;
use weir::engine::edge::Edge;
use weir::engine::edge::identity::Keys;
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;
use weir::engine::{Engine, hash};

#[path = "traffic.rs"]
mod traffic;
use traffic::{ACCOUNTS, Request, START, config, session, traffic};

/// Blocks per key with `n` edges; batches travel every 100 ms of engine time.
fn apart(n: usize) -> (Vec<u32>, u32) {
    let config = config();
    let keys = Keys::new(&config.seed);
    let mut edges: Vec<Edge> = (0..n).map(|_| Edge::new(Arc::clone(&config))).collect();
    let mut ledger = Ledger::new(&config);
    let mut blocked = vec![0; (ACCOUNTS + 60) as usize];
    let mut due = Nanos(0);
    let mut batch = Vec::new();
    for (i, r) in traffic().iter().enumerate() {
        if r.t >= due {
            for e in &mut edges {
                e.drain(&mut batch);
                if !batch.is_empty() {
                    ledger.observe(&batch, |_, _| ()).unwrap();
                }
            }
            ledger.tick(r.t);
            ledger.publish(|_, shard| edges.iter_mut().for_each(|e| e.apply(shard).unwrap()));
            due = r.t.plus(Nanos::from_millis(100));
        }
        let mut s = session(r, &config, &keys);
        let v = edges[hash::mix(i as u64) as usize % n].decide(r.t, &mut s);
        blocked[r.key as usize] += u32::from(v.action == Action::Block);
    }
    (blocked, ledger.status().convicted)
}

fn whole() -> (Vec<u32>, u32) {
    let config = config();
    let keys = Keys::new(&config.seed);
    let mut engine = Engine::new(Arc::clone(&config));
    let mut blocked = vec![0; (ACCOUNTS + 60) as usize];
    for r in traffic() {
        engine.tick(r.t);
        let mut s = session(&r, &config, &keys);
        let d = engine.decide(r.t, &mut s);
        blocked[r.key as usize] += u32::from(d.action == Action::Block);
    }
    (blocked, engine.status().convicted)
}

#[test]
fn one_two_and_eight_edges_convict_like_the_engine() {
    let (by_engine, convicted) = whole();
    // An account that sent a handful of requests may not have earned its fourth strike yet.
    assert!(convicted >= ACCOUNTS as u32 - 3, "{convicted}");
    assert!(by_engine[ACCOUNTS as usize..].iter().all(|b| *b == 0));
    for n in [1, 2, 8] {
        let (by_edges, theirs) = apart(n);
        assert!(theirs.abs_diff(convicted) <= 2, "{n} edges convict {theirs}, the engine {convicted}");
        let honest = &by_edges[ACCOUNTS as usize..];
        assert!(honest.iter().all(|b| *b == 0), "{n} edges blocked somebody honest");
        let (a, b): (u32, u32) = (by_engine.iter().sum(), by_edges.iter().sum());
        assert!(b * 100 >= a * 90, "{n} edges block {b}, the engine {a}");
    }
}

#[test]
fn nothing_readable_is_kept() {
    let config = config();
    let keys = Keys::new(&config.seed);
    let mut engine = Engine::new(Arc::clone(&config));
    let mut edge = Edge::new(Arc::clone(&config));
    let mut batch = Vec::new();
    for r in traffic().iter().take(3_000) {
        engine.decide(r.t, &mut session(r, &config, &keys));
        edge.decide(r.t, &mut session(r, &config, &keys));
    }
    edge.drain(&mut batch);
    let mut everything = engine.write_state();
    everything.extend(batch);
    everything.extend(format!("{:?} {:?}", engine.groups(), engine.status()).into_bytes());
    for secret in ["worked solution", "second method", "Bearer", "key-1", "key-7"] {
        let found = everything.windows(secret.len()).any(|w| w.eq_ignore_ascii_case(secret.as_bytes()));
        assert!(!found, "{secret:?} was kept");
    }
    let mut s = session(&traffic()[0], &config, &keys);
    engine.decide(Nanos::from_secs(START), &mut s);
    assert!(s.facts.instructions.is_empty() && s.facts.user.is_empty() && s.facts.first_user.is_empty());
    assert!(!format!("{s:?}").contains("worked"));
}

#[test]
fn a_second_decision_on_a_request_changes_nothing() {
    let config = config();
    let keys = Keys::new(&config.seed);
    let mut engine = Engine::new(Arc::clone(&config));
    let r = &traffic()[0];
    let mut s = session(r, &config, &keys);
    engine.decide(r.t, &mut s);
    let before = engine.write_state();
    assert_eq!(engine.decide(r.t, &mut s).action, Action::Allow);
    assert_eq!(engine.write_state(), before);
}

#[test]
fn a_convicted_credential_stays_convicted_beside_another_one() {
    use weir::engine::snapshot::{KeyEntry, Shard, shard_of};
    use weir::engine::verdict::Reason;
    let config = Arc::new(parse("{}").unwrap());
    let keys = Keys::new(&config.seed);
    let open = |credentials: &[&[u8]]| {
        let headers: Vec<(&[u8], &[u8])> = credentials.iter().map(|c| (&b"x-api-key"[..], *c)).collect();
        traffic::open(&config, &keys, &headers, true)
    };
    let mut edge = Edge::new(Arc::clone(&config));
    let key = open(&[b"bad"]).identity.key.0;
    let shard = Shard { keys: vec![KeyEntry { key, campaign: 7, until_s: u32::MAX }], ..Shard::default() };
    let mut bytes = Vec::new();
    shard.encode(shard_of(key) as u8, config.seed.check(), &mut bytes);
    edge.apply(&bytes).unwrap();
    let now = Nanos::from_secs(1_780_000_000);
    for company in [&[&b"bad"[..]][..], &[b"bad", b"x"], &[b"y", b"bad", b"z"]] {
        let v = edge.decide(now, &mut open(company));
        assert_eq!((v.action, v.reason, v.campaign), (Action::Block, Reason::Convicted, 7));
    }
    assert_eq!(edge.decide(now, &mut open(&[b"x", b"y"])).reason, Reason::Ambiguous);
}

#[test]
fn a_limit_holds_over_all_edges_once_the_ledger_knows() {
    let config =
        Arc::new(parse(r#"{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","limits":[{"name":"l","requests":60,"per":"1m"}]}"#).unwrap());
    let keys = Keys::new(&config.seed);
    let mut batch = Vec::new();
    for n in [1usize, 2, 4] {
        let mut edges: Vec<Edge> = (0..n).map(|_| Edge::new(Arc::clone(&config))).collect();
        let mut ledger = Ledger::new(&config);
        let mut served = 0;
        // Ten requests a second for two minutes; batches travel once a second: 10 requests of delay.
        for i in 0..1_200u64 {
            let t = Nanos::from_secs(START).plus(Nanos::from_millis(i * 100));
            let r = Request { t, key: 1, body: r#"{"messages":[{"role":"user","content":"hi"}]}"#.into() };
            let v = edges[hash::mix(i) as usize % n].decide(t, &mut session(&r, &config, &keys));
            served += u32::from(v.action == Action::Allow);
            if i % 10 == 9 {
                for e in &mut edges {
                    e.drain(&mut batch);
                    if !batch.is_empty() {
                        ledger.observe(&batch, |_, _| ()).unwrap();
                    }
                }
                ledger.publish(|_, shard| edges.iter_mut().for_each(|e| e.apply(shard).unwrap()));
            }
        }
        // 60 at once and one a second make 180; each edge alone would let as many through.
        println!("{n} edges served {served} of 1,200 where 180 conform");
        assert!((150..=195).contains(&served), "{n} edges served {served}");
    }
}

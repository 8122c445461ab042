//! However many edges there are, and whatever happens to their batches on the way, the same accounts are convicted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

#[path = "traffic.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod traffic;

use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use traffic::{ACCOUNTS, config, session, traffic};
use weir::engine::Engine;
use weir::engine::edge::Edge;
use weir::engine::edge::identity::Keys;
use weir::engine::hash;
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;

/// What the way between edges and ledger does.
#[derive(Clone, Copy, Debug)]
struct Way {
    edges: usize,
    seed: u64,
    /// A batch is read up to so many milliseconds after it was written, each ring by itself.
    delay_ms: u64,
    /// Shards reach an edge up to so many milliseconds late.
    lag_ms: u64,
    /// Percent of batches that are offered twice, as after a take-over.
    twice: u64,
    /// Percent of batches that are lost.
    lost: u64,
}

/// Blocks per key, and keys convicted.
struct Result {
    blocked: Vec<u32>,
    convicted: u32,
    lost: u32,
}

impl Result {
    fn of_campaign(&self) -> u32 {
        self.blocked[..ACCOUNTS as usize].iter().sum()
    }
    fn of_honest(&self) -> u32 {
        self.blocked[ACCOUNTS as usize..].iter().sum()
    }
}

/// One ring: batches by number with the time from which they can be read; what was taken is not taken again.
#[derive(Default)]
struct Ring {
    cells: VecDeque<(u64, Nanos, Vec<u8>)>,
    written: u64,
    tail: u64,
}

fn over(way: Way) -> Result {
    let config = config();
    let keys = Keys::new(&config.seed);
    let mut ledger = Ledger::new(&config);
    let mut edges: Vec<Edge> = (0..way.edges).map(|_| Edge::new(Arc::clone(&config))).collect();
    let mut rings: Vec<Ring> = (0..way.edges).map(|_| Ring::default()).collect();
    let mut shards: Vec<VecDeque<(Nanos, Vec<u8>)>> = vec![VecDeque::new(); way.edges];
    let mut blocked = vec![0; (ACCOUNTS + 60) as usize];
    let (mut n, mut lost, mut batch) = (0u64, 0, Vec::new());
    let mut draw = |below: u64| {
        n += 1;
        hash::mix(way.seed << 32 | n) % below.max(1)
    };
    for r in traffic() {
        for (edge, ring) in edges.iter_mut().zip(&mut rings) {
            edge.drain(&mut batch);
            if batch.is_empty() {
                continue;
            }
            if draw(100) < way.lost {
                lost += 1;
            } else {
                let at = r.t.plus(Nanos::from_millis(draw(way.delay_ms)));
                for _ in 0..1 + u64::from(draw(100) < way.twice) {
                    ring.cells.push_back((ring.written, at, batch.clone()));
                }
            }
            ring.written += 1;
        }
        // The rings in another order each time; within a ring the order is kept.
        let first = draw(way.edges as u64) as usize;
        for i in 0..way.edges {
            let ring = &mut rings[(first + i) % way.edges];
            while ring.cells.front().is_some_and(|c| c.1 <= r.t) {
                let (seq, _, bytes) = ring.cells.pop_front().unwrap();
                if seq >= ring.tail {
                    ring.tail = seq + 1;
                    ledger.observe(&bytes, |_, _| ()).unwrap();
                }
            }
        }
        ledger.tick(r.t);
        ledger.publish(|_, shard| {
            for late in &mut shards {
                late.push_back((r.t.plus(Nanos::from_millis(draw(way.lag_ms))), shard.to_vec()));
            }
        });
        for (edge, late) in edges.iter_mut().zip(&mut shards) {
            while late.front().is_some_and(|s| s.0 <= r.t) {
                edge.apply(&late.pop_front().unwrap().1).unwrap();
            }
        }
        let edge = draw(way.edges as u64) as usize;
        let verdict = edges[edge].decide(r.t, &mut session(&r, &config, &keys));
        blocked[r.key as usize] += u32::from(verdict.action == Action::Block);
    }
    Result { blocked, convicted: ledger.status().convicted, lost }
}

fn whole() -> Result {
    let config = config();
    let keys = Keys::new(&config.seed);
    let mut engine = Engine::new(Arc::clone(&config));
    let mut blocked = vec![0; (ACCOUNTS + 60) as usize];
    for r in traffic() {
        engine.tick(r.t);
        let d = engine.decide(r.t, &mut session(&r, &config, &keys));
        blocked[r.key as usize] += u32::from(d.action == Action::Block);
    }
    Result { blocked, convicted: engine.status().convicted, lost: 0 }
}

fn ways(lost: std::ops::Range<u64>) -> impl Strategy<Value = Way> {
    (prop::sample::select(vec![1usize, 2, 8, 32]), any::<u32>(), 0..5_000u64, 0..1_000u64, 0..60u64, lost)
        .prop_map(|(edges, seed, delay_ms, lag_ms, twice, lost)| Way {
            edges,
            seed: u64::from(seed),
            delay_ms,
            lag_ms,
            twice,
            lost,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_on_the_way_changes_who_is_convicted(way in ways(0..1)) {
        let (engine, edges) = (whole(), over(way));
        prop_assert_eq!(edges.of_honest(), 0);
        // An account that sent a handful of requests may miss its fourth strike by one.
        prop_assert!(edges.convicted.abs_diff(engine.convicted) <= 2, "{} of {}", edges.convicted, engine.convicted);
        // A key that has a state waits for the ledger: each account is served once more than in one process. And the case may be
        // confirmed one evaluation later, which comes at 15 % more requests: 8 % of all blocks here.
        let blocked = edges.of_campaign() + engine.convicted;
        prop_assert!(blocked * 100 >= engine.of_campaign() * 85, "{} of {}", edges.of_campaign(), engine.of_campaign());
    }

    #[test]
    fn a_loss_costs_its_share_and_no_honest_key(way in ways(1..30)) {
        let (engine, edges) = (whole(), over(way));
        prop_assert_eq!(edges.of_honest(), 0);
        prop_assert!(edges.convicted.abs_diff(engine.convicted) <= 2, "{} of {}", edges.convicted, engine.convicted);
        // Stated: with up to 30 % of the batches lost, at least 65 % of the blocks.
        println!("{} % lost: {} of {}", way.lost, edges.of_campaign(), engine.of_campaign());
        prop_assert!(edges.of_campaign() * 100 >= engine.of_campaign() * 65, "{} of {}", edges.of_campaign(), engine.of_campaign());
    }
}

#[test]
fn the_ways_that_are_stated() {
    let engine = whole();
    println!("engine: convicted {}, blocked {}", engine.convicted, engine.of_campaign());
    for edges in [1, 2, 8, 32] {
        for lost in [0, 10, 30] {
            let r = over(Way { edges, seed: 1, delay_ms: 200, lag_ms: 200, twice: 20, lost });
            assert_eq!((r.convicted, r.of_honest()), (engine.convicted, 0));
            println!(
                "{edges} edges, {lost} % of batches lost ({}): convicted {}, blocked {}, honest {}",
                r.lost,
                r.convicted,
                r.of_campaign(),
                r.of_honest()
            );
        }
    }
}

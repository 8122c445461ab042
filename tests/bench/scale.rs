//! What a ledger costs as keys and requests grow: `make bench-scale`. Native code, one thread.
//!
//! For each number of keys and rate of requests: nanoseconds an observation, and microseconds that each second of ticks and
//! publications takes beside them. The traffic is of people and apps: three in five requests are of nobody else's words, the others share
//! one of 200 prompts. All keys have been seen once before anything is timed. One row a line, separated by spaces:
//! keys, requests/s, ns an observation, µs a second of ticks and publications, keys in the table, bytes of all tables.
//!
//! `scale --pages` counts instead how many of the checkpoint's pages a second of requests changes.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_types,
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench"
)]

use std::time::{Duration, Instant};
use weir::engine::config::parse;
use weir::engine::hash::mix;
use weir::engine::ledger::Ledger;
use weir::engine::observation::{Batch, Few, Observation, SERVED};
use weir::engine::units::Nanos;
use weir::engine::value::Axis;

const START_S: u64 = 1_780_000_000;
/// Time between two ticks of a leader.
const TICK: u64 = 100_000_000;
/// Observations that are timed at the least, and seconds.
const LEAST: (u64, u64) = (30_000, 20);
/// Bytes of a batch.
const BATCH: usize = 16 << 10;

/// Request `n` of a key.
fn request(n: u64, key: u64, time: Nanos) -> Observation {
    let own = mix(n ^ key << 20);
    let shared = mix(key) % 5 < 2;
    let prompt = mix(key) / 5 % 200;
    let word =
        |i: u64| Axis::Text.tag(if shared && i < 8 { mix(prompt << 8 | i) } else { mix(own ^ i << 32) });
    let mut anchors: Vec<u64> = (0..12).map(word).collect();
    anchors.sort_unstable();
    Observation {
        time,
        key: mix(key) | 1,
        flags: SERVED,
        cost: 1,
        value_count: 18,
        exact: own,
        last_user: own,
        first_user: own,
        nets: [Axis::Network.tag(mix(key / 50)), Axis::Network.tag(mix(key % 7))],
        anchors: Few::of(anchors),
        ..Observation::default()
    }
}

/// How many pages of a checkpoint change in a second, of 20,000 keys that were there for a day.
fn pages() {
    let config = parse("{}").unwrap();
    let (mut ledger, mut n) = (Ledger::new(&config), 0);
    let mut now = START_S * 1_000_000_000;
    let mut go = |ledger: &mut Ledger, count: u64, every: u64| {
        let (mut batch, mut bytes) = (Batch::default(), Vec::new());
        for i in 1..=count {
            now += every;
            assert!(batch.push(&request(n, mix(n) % 20_000, Nanos(now)), BATCH));
            n += 1;
            if i == count || batch.len() == 16 {
                batch.drain(config.seed.check(), &mut bytes);
                ledger.observe(&bytes, |_, _| {}).unwrap();
                ledger.tick(Nanos(now));
            }
        }
    };
    let all = |ledger: &Ledger| -> Vec<Vec<u8>> {
        let page = |i| {
            let mut page = Vec::new();
            ledger.write_page(i, &mut page);
            page
        };
        (0..ledger.page_count()).map(page).collect()
    };
    go(&mut ledger, 400_000, 86_400_000_000_000 / 400_000);
    for rate in [1, 10, 30, 100, 1_000] {
        let before = all(&ledger);
        go(&mut ledger, rate, 1_000_000_000 / rate);
        let changed = before.iter().zip(all(&ledger)).filter(|(a, b)| *a != b).count();
        println!("{rate} requests/s: {changed} of {} pages", before.len());
    }
}

fn main() {
    if std::env::args().any(|a| a == "--pages") {
        return pages();
    }
    let quick = std::env::args().any(|a| a == "--quick");
    let config = parse("{}").unwrap();
    let check = config.seed.check();
    for keys in [10_000u64, 100_000, 1_000_000, 10_000_000] {
        for rate in [100u64, 1_000, 10_000, 100_000] {
            if quick && (keys > 100_000 || rate > 1_000) {
                continue;
            }
            let mut ledger = Ledger::new(&config);
            let (mut batch, mut bytes) = (Batch::default(), Vec::new());
            let (mut now, mut applied, mut n) = (START_S * 1_000_000_000, 0u64, 0u64);
            // A day of each key's first request. Then the time that is measured.
            let before = keys.max(2_000);
            let timed = (rate * LEAST.1).max(LEAST.0);
            let (mut observing, mut ticking, mut seconds) = (Duration::ZERO, Duration::ZERO, 0.0);
            for (count, every, is_timed) in
                [(before, 86_400_000_000_000 / before, false), (timed, 1_000_000_000 / rate, true)]
            {
                let mut due = now + TICK;
                let from = now;
                for i in 0..count {
                    let key = if is_timed { mix(n) % keys } else { i };
                    now += every;
                    let full = !batch.push(&request(n, key, Nanos(now)), BATCH) || batch.is_full(BATCH);
                    n += 1;
                    if now < due && !full {
                        continue;
                    }
                    batch.drain(check, &mut bytes);
                    let began = Instant::now();
                    applied += u64::from(ledger.observe(&bytes, |_, _| {}).unwrap());
                    let observed = began.elapsed();
                    if now >= due {
                        due = now + TICK;
                        ledger.tick(Nanos(now));
                        if is_timed {
                            ledger.publish(|_, shard| {
                                std::hint::black_box(shard.len());
                            });
                        }
                    }
                    let both = began.elapsed();
                    if is_timed {
                        observing += observed;
                        ticking += both - observed;
                    }
                }
                if is_timed {
                    seconds = (now - from) as f64 / 1.0e9;
                }
            }
            assert!(applied + u64::from(batch.len()) == n, "{applied} of {n} observations");
            println!(
                "{keys} {rate} {:.0} {:.0} {} {}",
                observing.as_nanos() as f64 / timed as f64,
                ticking.as_nanos() as f64 / 1.0e3 / seconds,
                ledger.status().keys,
                ledger.size_bytes()
            );
        }
    }
}

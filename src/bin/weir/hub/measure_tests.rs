//! Measurements, natively: `make bench-hub`.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::fake::{Fake, Rng, config};
use super::super::journal::Journal;
use super::super::store::Store;
use super::tests::whole;
use super::*;
use std::time::Instant;
use weir::engine::observation::{Few, Observation};

/// Time that this thread was on a core: other work on the machine does not count.
fn cpu() -> std::time::Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    std::time::Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

const T: Nanos = Nanos::from_secs(1_780_000_000);

fn observation(rng: &mut Rng, keys: u64, at: Nanos) -> Observation {
    Observation {
        time: at,
        key: weir::engine::hash::mix(rng.below(keys) + 1),
        exact: rng.next(),
        last_user: rng.next(),
        first_user: rng.next(),
        value_count: 20,
        anchors: Few::of(
            (0..12).map(|_| if rng.one_in(3) { rng.below(5_000) << 20 | 1 } else { rng.next() >> 2 }),
        ),
        ..Observation::default()
    }
}

/// Exchanges of a thousand observations from fifty nodes.
fn exchanges(config: &Arc<Config>, n: u64, keys: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng(1);
    let mut nodes: Vec<Fake> = (0..50).map(|i| Fake::new(i, config)).collect();
    (0..n)
        .map(|i| {
            let (at, f) = (T.plus(Nanos::from_millis(i * 10)), &mut nodes[i as usize % 50]);
            f.unacked.clear();
            for _ in 0..10 {
                let all: Vec<Observation> = (0..100).map(|_| observation(&mut rng, keys, at)).collect();
                f.write(0, &all);
            }
            f.request(at)
        })
        .collect()
}

#[test]
#[ignore = "a measurement"]
fn observations_a_second() {
    let config = config("");
    let all = exchanges(&config, 1_000, 200_000);
    let bytes: usize = all.iter().map(Vec::len).sum();
    let read = |i: usize| {
        let t = T.plus(Nanos::from_millis(i as u64 * 10));
        Exchange::read(&all[i], &config, Moment { now: t, mono: t }).unwrap()
    };
    let began = cpu();
    (0..all.len()).for_each(|i| drop(std::hint::black_box(read(i))));
    let reading = cpu() - began;
    let mut h = Hub::new(Arc::clone(&config), sizes(&config, 1_048_576), u32::MAX, 1);
    let xs: Vec<_> = (0..all.len()).map(read).collect();
    let (began, mut group) = (cpu(), Vec::new());
    let mut publishing = std::time::Duration::ZERO;
    for (i, x) in xs.iter().enumerate() {
        group.clear();
        h.accept(x, &mut group).unwrap();
        h.commit();
        h.apply(&group);
        // Publishing takes a tenth of the thread at most: see `work`.
        if i % 30 == 29 {
            let began = cpu();
            h.tick(x.at.now);
            h.publish();
            publishing += cpu() - began;
        }
    }
    let learning = cpu() - began;
    println!("of {learning:?} ticks and publishing take {publishing:?}");
    let n = h.totals().applied as f64;
    println!(
        "{} observations, {:.0} bytes each: read and checked {:.0}/s a core, accepted and learned {:.0}/s on one core; both on one core {:.0}/s, on two {:.0}/s",
        n,
        bytes as f64 / n,
        n / reading.as_secs_f64(),
        n / learning.as_secs_f64(),
        n / (reading + learning).as_secs_f64(),
        n / reading.max(learning).as_secs_f64()
    );
}

#[test]
#[ignore = "a measurement"]
fn a_start_with_a_million_keys() {
    let config = config("");
    let dir = std::env::temp_dir().join(format!("weir-hub-start-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let mut h = Hub::new(Arc::clone(&config), sizes(&config, 1_048_576), u32::MAX, 1);
    let mut j = Journal::open(&dir, config.seed.check()).unwrap().0;
    j.replay(|_| true).unwrap();
    let take = |h: &mut Hub, j: &mut Journal, bytes: &[u8], t: Nanos| {
        let x = Exchange::read(bytes, &config, Moment { now: t, mono: t }).unwrap();
        let mut group = Vec::new();
        h.accept(&x, &mut group).unwrap();
        j.append(&group).unwrap();
        j.sync().unwrap();
        h.commit();
        h.apply(&group);
    };
    let all = exchanges(&config, 3_000, 1_200_000);
    for bytes in &all[..2_400] {
        take(&mut h, &mut j, bytes, T.plus(Nanos::from_secs(60)));
    }
    let mut parts = vec![Vec::new(); 3];
    for _ in 0..2 {
        // The second time in the buffers of the first, as a hub does it.
        let began = Instant::now();
        h.checkpoint(&mut parts);
        let encoded = began.elapsed();
        let done = j.begin().unwrap()(&parts).unwrap();
        j.cut(&done).unwrap();
        println!(
            "{} keys: checkpoint of {} bytes encoded in {encoded:?}, durable after {:?}",
            h.status().keys,
            parts.iter().map(Vec::len).sum::<usize>(),
            began.elapsed()
        );
    }
    for bytes in &all[2_400..] {
        take(&mut h, &mut j, bytes, T.plus(Nanos::from_secs(61)));
    }
    let behind = j.status().bytes;
    drop(j);
    let began = Instant::now();
    let (mut j, found) = Journal::open(&dir, config.seed.check()).unwrap();
    let mut back = Hub::restore(Arc::clone(&config), &found.checkpoint.unwrap(), u32::MAX, 2).unwrap();
    let restored = began.elapsed();
    j.replay(|g| back.replay(g).is_some()).unwrap();
    back.publish();
    println!(
        "start: {restored:?} to the checkpoint, {:?} with {behind} bytes of the journal ({} observations)",
        began.elapsed(),
        600 * 1_000
    );
    assert_eq!(back.totals().applied, h.totals().applied);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
#[ignore = "1.3 GiB, more pages than two bytes can number: make test-slow"]
fn ten_million_keys_come_back() {
    let config = config("");
    let mut h = Hub::new(Arc::clone(&config), sizes(&config, MOST_KEYS), u32::MAX, 1);
    assert!(h.ledger.page_count() > u32::from(u16::MAX));
    for (i, bytes) in exchanges(&config, 300, u64::MAX).into_iter().enumerate() {
        let t = T.plus(Nanos::from_millis(i as u64 * 10));
        let mut group = Vec::new();
        let x = Exchange::read(bytes, &config, Moment { now: t, mono: t }).unwrap();
        h.accept(&x, &mut group).unwrap();
        h.commit();
        h.apply(&group);
    }
    let bytes = whole(&h);
    let back = Hub::restore(Arc::clone(&config), &bytes, u32::MAX, 1).unwrap();
    let (here, there) = (super::super::fake::requests(&h.ledger), super::super::fake::requests(&back.ledger));
    println!("{} keys of {} MiB of tables, {} bytes", here.len(), h.status().state_bytes >> 20, bytes.len());
    assert!(here.len() == 300_000 && here == there);
}

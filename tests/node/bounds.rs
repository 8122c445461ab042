//! What a worker and a leader hold, counted at the allocator: bounded, and flat however many keys there are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

#[path = "traffic.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod traffic;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use traffic::{Request, START, session};
use weir::engine::config::{Config, parse};
use weir::engine::edge::Edge;
use weir::engine::edge::extract::Extractor;
use weir::engine::edge::identity::Keys;
use weir::engine::hash::mix;
use weir::engine::ledger::Ledger;
use weir::engine::snapshot::{
    CaseEntry, KeyEntry, OverdrawnEntry, SHARDS, Shard, ValueEntry, filter_bytes, shard_of,
};
use weir::engine::tables::cases::CASES;
use weir::engine::tables::numbers::Numbers;
use weir::engine::units::Nanos;
use weir::node::cells;

/// Counts what each thread holds, and the most that it held. The harness allocates and frees in threads of its own at any time:
/// counted together, that would be taken for ours.
struct Counting;
thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        HELD.set(HELD.get() + layout.size() as isize);
        MOST.set(MOST.get().max(HELD.get()));
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller's block and layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> isize {
    HELD.get()
}

fn config() -> Arc<Config> {
    Arc::new(
        parse(
            r#"{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4"}"#,
        )
        .unwrap(),
    )
}

fn request(n: u64, t: Nanos) -> Request {
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":"please tell me w{:x} of {:x} and {:x}, and what else there is"}}]}}"#,
        mix(n),
        mix(!n),
        mix(n ^ 77)
    );
    Request { t, key: n, body }
}

/// Shards as full as a ledger of `keys` keys can make them: all of them convicted, all values confirmed, every case and filter there.
fn full_shards(keys: u64, check: u32) -> Vec<Vec<u8>> {
    let known = vec![255; filter_bytes(keys as usize)];
    let mut shards = vec![Shard { known, ..Shard::default() }; SHARDS];
    let until_s = u32::MAX;
    for i in 0..keys {
        shards[shard_of(mix(i))].keys.push(KeyEntry { key: mix(i), campaign: 1, until_s });
    }
    for i in 0..4_096 {
        shards[shard_of(mix(!i))].values.push(ValueEntry { value: mix(!i), prior: 7.0, case: 1 });
    }
    for case in 1..=CASES as u16 {
        let entry = CaseEntry { case, campaign: 1, usual: 4.0, numbers: Numbers::default() };
        shards[usize::from(case) % SHARDS].cases.push(entry);
    }
    for i in 0..1_024 {
        shards[shard_of(mix(i))].overdrawn.push(OverdrawnEntry {
            key: mix(i),
            until_s,
            profile: 0,
            limit: 0,
        });
    }
    let encode = |(i, s): (usize, &mut Shard)| {
        s.keys.sort_unstable_by_key(|k| k.key);
        s.values.sort_unstable_by_key(|v| v.value);
        s.overdrawn.sort_unstable_by_key(|o| o.key);
        let mut bytes = Vec::new();
        s.encode(i as u8, check, &mut bytes);
        bytes
    };
    shards.iter_mut().enumerate().map(encode).collect()
}

#[test]
fn a_worker_holds_less_than_a_mebibyte_and_a_leader_less_than_sixteen() {
    let config = config();
    let keys = Keys::new(&config.seed);
    let t = Nanos::from_secs(START);
    let shards = full_shards(u64::from(config.keys), config.seed.check());

    let before = held();
    let mut edge = Edge::new(Arc::clone(&config));
    let extractor = Extractor::new(&config.seed);
    let fresh = held() - before;
    for n in 0..6_000 {
        edge.decide(t, &mut session(&request(n, t), &config, &keys));
    }
    let used = held() - before;
    for s in &shards {
        edge.apply(s).unwrap();
    }
    let worst = held() - before;
    println!(
        "worker: {fresh} bytes fresh, {used} with all observations it can hold, {worst} with every key convicted"
    );
    let largest = shards.iter().map(Vec::len).max().unwrap();
    println!("the edge says {}; the largest shard takes {largest} bytes", edge.size_bytes());
    assert!(largest <= cells::SHARD_BYTES, "{largest}");
    assert!(worst <= 1 << 20, "{worst}");
    drop(extractor);
    drop(edge);
    // (The harness takes a few bytes now and then.)
    assert!(held() <= before + 4_096, "{} after {before}", held());

    let before = held();
    MOST.set(before);
    let mut ledger = Ledger::new(&config);
    let made = held() - before;
    let (mut edge, mut batch, mut page) = (Edge::new(Arc::clone(&config)), Vec::new(), Vec::new());
    for n in 0..60_000u64 {
        let t = t.plus(Nanos::from_millis(n * 20));
        edge.decide(t, &mut session(&request(n, t), &config, &keys));
        if n % 40 == 0 {
            edge.drain(&mut batch);
            ledger.observe(&batch, |_, _| ()).unwrap();
            ledger.tick(t);
            ledger.publish(|_, s| edge.apply(s).unwrap());
        }
        if n % 100 == 0 {
            ledger.write_page((n / 100) as u32 % ledger.page_count(), &mut page);
        }
    }
    let most = MOST.get() - before;
    println!(
        "leader: {made} bytes made, it says {}; {most} at most with a worker and its shards",
        ledger.size_bytes()
    );
    assert!(made <= 10 << 20 && most <= 16 << 20, "{made} {most}");
    for (kind, n, bytes) in cells::table(ledger.page_count(), false) {
        println!("cell {kind}: {n} of at most {bytes} bytes");
    }
}

#[test]
fn the_largest_table_with_every_key_convicted_fits_its_cells() {
    let largest = full_shards(131_072, config().seed.check()).iter().map(Vec::len).max().unwrap();
    assert!(largest <= cells::SHARD_BYTES, "{largest}");
}

/// `make test-slow`
#[test]
#[ignore = "a minute"]
fn ten_million_keys_take_no_more_than_the_first_million() {
    let config = config();
    let keys = Keys::new(&config.seed);
    let mut ledger = Ledger::new(&config);
    let mut edges: Vec<Edge> = (0..2).map(|_| Edge::new(Arc::clone(&config))).collect();
    let mut batch = Vec::with_capacity(32 << 10);
    let mut page = Vec::with_capacity(16 << 10);
    let (mut first, size) = (0, ledger.size_bytes());
    for n in 0..10_000_000u64 {
        // A day for a million keys.
        let t = Nanos::from_secs(START).plus(Nanos::from_millis(n * 86));
        edges[n as usize % 2].decide(t, &mut session(&request(n, t), &config, &keys));
        if n % 64 == 63 {
            for e in &mut edges {
                e.drain(&mut batch);
                ledger.observe(&batch, |_, _| ()).unwrap();
            }
            ledger.tick(t);
        }
        if n % 1_024 == 0 {
            ledger.publish(|_, s| edges.iter_mut().for_each(|e| e.apply(s).unwrap()));
            ledger.write_page((n / 1_024) as u32 % ledger.page_count(), &mut page);
        }
        if n == 1_000_000 {
            first = held();
            MOST.set(first);
        }
        if n % 1_000_000 == 999_999 {
            println!("{} keys: {} bytes held, {:?}", n + 1, held(), ledger.status());
        }
    }
    assert_eq!(ledger.size_bytes(), size);
    assert!(held() <= first + (64 << 10), "{} after {first}", held());
    assert!(MOST.get() <= first + (1 << 20), "{} at most after {first}", MOST.get());
}

/// Allocations (not bytes) of one request after warm-up, in each half.
#[test]
fn allocations_of_a_request_are_few_and_do_not_grow() {
    let config = config();
    let keys = Keys::new(&config.seed);
    let mut edge = Edge::new(Arc::clone(&config));
    let mut ledger = Ledger::new(&config);
    let mut batch = Vec::new();
    let (mut worker, mut learner) = (0, 0);
    for n in 0..400u64 {
        let r = request(n % 50, Nanos::from_secs(START + n));
        let before = CALLS.get();
        let mut s = session(&r, &config, &keys);
        edge.answer(r.t, &mut s);
        drop(s);
        worker = CALLS.get() - before;
        edge.drain(&mut batch);
        let before = CALLS.get();
        ledger.observe(&batch, |_, _| {}).unwrap();
        learner = CALLS.get() - before;
    }
    println!("allocations a request: {worker} in the worker, {learner} in the ledger");
    assert!(worker <= 8 && learner == 0);
}

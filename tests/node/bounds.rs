//! What one VM may hold: a worker at most 1 MiB besides its ring, the leader at most 16 MiB, both at the defaults.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use std::sync::Arc;
use weir::engine::config::parse;
use weir::engine::edge::Edge;
use weir::engine::hash::mix;
use weir::engine::ledger::Ledger;
use weir::engine::snapshot::{KeyEntry, SHARDS, Shard, ValueEntry, filter_bytes, shard_of};
use weir::node::cells;

#[test]
fn a_worker_fits_a_mebibyte_with_every_key_convicted() {
    let config = Arc::new(parse("{}").unwrap());
    let mut edge = Edge::new(Arc::clone(&config));
    let empty = edge.size_bytes();
    let mut shards: Vec<Shard> = (0..SHARDS)
        .map(|_| Shard { protected: vec![255; filter_bytes(config.keys as usize)], ..Shard::default() })
        .collect();
    for i in 0..u64::from(config.keys) {
        let key = mix(i);
        shards.get_mut(shard_of(key)).unwrap().keys.push(KeyEntry { key, campaign: 1, until_s: 9 });
    }
    for i in 0..4_096 {
        let value = mix(i << 32);
        shards.get_mut(shard_of(value)).unwrap().values.push(ValueEntry { value, campaign: 1, case: 1 });
    }
    let (mut bytes, mut largest) = (Vec::new(), 0);
    for (i, s) in shards.iter_mut().enumerate() {
        s.keys.sort_unstable_by_key(|k| k.key);
        s.values.sort_unstable_by_key(|v| v.value);
        s.encode(i as u8, config.seed.check(), &mut bytes);
        largest = largest.max(bytes.len());
        edge.apply(&bytes).unwrap();
    }
    let full = edge.size_bytes();
    println!(
        "worker: {empty} bytes empty, {full} with {} keys convicted; largest shard {largest} bytes",
        config.keys
    );
    assert!(full <= 1 << 20, "{full}");
    assert!(largest <= cells::SHARD_BYTES, "{largest}");
}

#[test]
fn the_leader_fits_16_mebibytes_and_its_cells_are_counted() {
    let config = parse("{}").unwrap();
    let ledger = Ledger::new(&config);
    let (tables, pages) = (ledger.size_bytes(), ledger.page_count());
    assert!(tables <= 16 << 20, "{tables}");
    println!("leader: {tables} bytes, {pages} checkpoint pages");
    for (kind, n, bytes) in cells::table(pages) {
        println!("cell {kind}: {n} of at most {bytes} bytes");
    }
}

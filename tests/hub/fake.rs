//! Nodes that are none: observations of a campaign among people, batched and sent as a proxy's leader does, and what the hub answers.
#![allow(dead_code, reason = "each of the tests uses a part")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use weir::engine::config::{Config, parse};
use weir::engine::hash::mix;
use weir::engine::ledger::Ledger;
use weir::engine::observation::{Batch, Few, Observation, SERVED};
use weir::engine::snapshot::{HUB_SHARDS, Snapshot};
use weir::engine::units::Nanos;
use weir::engine::value::Axis;
use weir::node::exchange::{REQUEST_BYTES, Reply, Request, Sent};

pub const SEED: &str = "2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4";
pub const START_S: u64 = 1_780_000_000;

/// A policy with small tables; `more` keys of it.
pub fn config_text(more: &str) -> String {
    format!(
        r#"{{"policy":"fake","mode":"enforce","seed":"{SEED}","keys":1024,"limits":[],"identity":{{"learn":"0s"}},"campaign":{{"groups":128,"doorkeeper_bits":12,"novelty_bits":12}}{more}}}"#
    )
}

pub fn config(more: &str) -> Arc<Config> {
    Arc::new(parse(&config_text(more)).unwrap())
}

pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

pub fn account(i: u64) -> u64 {
    mix(1 << 40 | i)
}

/// `accounts` of a campaign at one request an hour each, which share 14 phrases, among `people` who share nothing.
pub fn traffic(accounts: u64, people: u64, hours: f64, seed: u64) -> Vec<Observation> {
    traffic_at(1.0, accounts, people, hours, seed)
}

/// The same with another mean of hours between an account's requests.
pub fn traffic_at(mean: f64, accounts: u64, people: u64, hours: f64, seed: u64) -> Vec<Observation> {
    let mut rng = Rng(seed << 32);
    let mut out = Vec::new();
    for k in 0..accounts + people {
        let of_campaign = k < accounts;
        let key = if of_campaign { account(k) } else { mix(2 << 40 | k) };
        let mean = if of_campaign { mean } else { 0.5 + 5.0 * rng.unit() };
        let mut t = 0.0;
        loop {
            t -= rng.unit().ln() * mean;
            if t > hours {
                break;
            }
            let mut values: Vec<u64> = (0..6).map(|_| rng.next() >> 2).collect();
            if of_campaign {
                values.extend((0..14).map(|v| mix(9 << 8 | v) >> 2));
            }
            values.sort_unstable();
            let text = rng.next();
            out.push(Observation {
                time: Nanos(START_S * 1_000_000_000 + (t * 3.6e12) as u64),
                key,
                created_s: (START_S - if of_campaign { 2 } else { 200 } * 86_400) as u32,
                flags: SERVED,
                value_count: values.len() as u8,
                exact: text,
                last_user: text,
                first_user: text,
                nets: [Axis::Network.tag(mix(key)), Axis::Network.tag(mix(key ^ 5))],
                anchors: Few::of(values),
                ..Observation::default()
            });
        }
    }
    out.sort_by_key(|o| o.time);
    out
}

/// Which of the campaign's accounts and how many others a ledger holds for convicted.
pub fn convicted(ledger: &Ledger, of: &[Observation]) -> BTreeSet<u64> {
    of.iter().map(|o| o.key).filter(|k| ledger.was_convicted(*k)).collect()
}

/// Requests of each key, as they stand in the ledger's pages: the second table, a record of 64 bytes a key.
pub fn requests(ledger: &Ledger) -> BTreeMap<u64, u32> {
    let (mut out, mut page) = (BTreeMap::new(), Vec::new());
    let word = |b: &[u8], at: usize| u32::from_le_bytes(b[at..at + 4].try_into().unwrap());
    let slots = ledger_keys(ledger);
    let pages = slots.div_ceil((16_384 - 32) / 66);
    for i in 1..=pages as u32 {
        ledger.write_page(i, &mut page);
        let body = &page[10..page.len() - 4];
        assert_eq!(word(body, 0) as usize, slots, "the table of keys");
        let dense = body[6..8] == [255, 255];
        let each = if dense { 64 } else { 66 };
        for record in body[8..].chunks_exact(each) {
            let record = &record[each - 64..];
            let id = u64::from_le_bytes(record[..8].try_into().unwrap());
            if id != 0 {
                assert!(out.insert(id, word(record, 16)).is_none());
            }
        }
    }
    assert_eq!(out.len(), ledger.status().keys as usize);
    out
}

fn ledger_keys(ledger: &Ledger) -> usize {
    let mut page = Vec::new();
    ledger.write_page(1, &mut page);
    u32::from_le_bytes(page[10..14].try_into().unwrap()) as usize
}

/// A batch in a ring.
#[derive(Clone)]
pub struct Written {
    pub ring: u8,
    pub seq: u64,
    pub first: u64,
    pub bytes: Vec<u8>,
}

/// A proxy's leader, as the hub sees it.
pub struct Fake {
    pub id: [u8; 16],
    pub config: Arc<Config>,
    /// Its clock less the true one.
    pub clock_ahead: i64,
    pub rings: [(u64, u64); 4],
    pub unacked: VecDeque<Written>,
    pub held: [u32; HUB_SHARDS],
    pub hub_epoch: u64,
    pub snapshot: Snapshot,
    pub offset_ms: i64,
}

impl Fake {
    pub fn new(number: u64, config: &Arc<Config>) -> Fake {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mix(number + 1).to_le_bytes());
        Fake {
            id,
            config: Arc::clone(config),
            clock_ahead: 0,
            rings: [(0, 0); 4],
            unacked: VecDeque::new(),
            held: [0; HUB_SHARDS],
            hub_epoch: 0,
            snapshot: Snapshot::new(config.seed.check()),
            offset_ms: 0,
        }
    }

    pub fn clock(&self, true_time: Nanos) -> Nanos {
        Nanos(true_time.0.saturating_add_signed(self.clock_ahead))
    }

    /// Writes a batch into a ring; times are those of its own clock.
    pub fn write(&mut self, ring: u8, observations: &[Observation]) {
        let mut batch = Batch::default();
        for o in observations {
            assert!(batch.push(&Observation { time: self.clock(o.time), ..*o }, usize::MAX));
        }
        let mut bytes = Vec::new();
        batch.drain(self.config.seed.check(), &mut bytes);
        let (seq, first) = self.rings[usize::from(ring)];
        self.rings[usize::from(ring)] = (seq + 1, first + observations.len() as u64);
        self.unacked.push_back(Written { ring, seq, first, bytes });
    }

    /// All that is not acknowledged, as much as fits.
    pub fn request(&self, true_time: Nanos) -> Vec<u8> {
        let mut batches: Vec<Sent<'_>> = Vec::new();
        let mut room = REQUEST_BYTES - Request::overhead(&self.config.policy);
        let mut sorted: Vec<&Written> = self.unacked.iter().collect();
        sorted.sort_by_key(|w| (w.ring, w.seq));
        for w in sorted {
            let sent = Sent { ring: w.ring, seq: w.seq, first: w.first, bytes: &w.bytes };
            if sent.size() > room {
                break;
            }
            room -= sent.size();
            batches.push(sent);
        }
        let mut out = Vec::new();
        Request {
            seed_check: self.config.seed.check(),
            node: self.id,
            policy: &self.config.policy,
            clock: self.clock(true_time),
            hub_epoch: self.hub_epoch,
            held: self.held,
            batches,
        }
        .encode(&mut out);
        out
    }

    /// Takes a reply: what is acknowledged goes, shards are applied. How many of them.
    pub fn take(&mut self, reply: &[u8]) -> usize {
        let r = Reply::decode(reply, self.config.seed.check()).unwrap();
        for (ring, next) in &r.acks {
            self.unacked.retain(|w| w.ring != *ring || w.seq >= *next);
        }
        if r.hub_epoch != self.hub_epoch {
            self.held = [0; HUB_SHARDS];
        }
        self.hub_epoch = r.hub_epoch;
        self.offset_ms = r.offset_ms;
        for (i, version, bytes) in &r.shards {
            self.snapshot.apply(bytes).unwrap();
            self.held[usize::from(*i)] = *version;
        }
        r.shards.len()
    }
}

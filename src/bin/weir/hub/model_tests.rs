//! Random schedules of everything that may go wrong between nodes and hub: lost requests and replies, requests that come again and
//! late, groups that the store refuses, crashes before and after a group is durable, checkpoints in between. Afterwards each
//! observation is in the ledger once, and the convicted keys are those of a run without faults.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::super::fake::{Fake, Rng, account, config, convicted, requests, traffic_at};
use super::tests::whole;
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use weir::engine::observation::Observation;

const NODES: usize = 3;
const ACCOUNTS: u64 = 60;
/// Time between exchanges.
const STEP: Nanos = Nanos::from_secs(60);

/// What survives a crash.
#[derive(Default)]
struct Kept {
    checkpoint: Option<(usize, Vec<u8>)>,
    groups: Vec<Vec<u8>>,
}

struct World {
    config: Arc<Config>,
    rng: Rng,
    faults: bool,
    kept: Kept,
    hub: Hub,
    starts: u64,
    /// Durable and not learned yet.
    pending: Vec<u8>,
    nodes: Vec<Fake>,
    /// Requests that will come (again).
    under_way: Vec<(usize, Vec<u8>)>,
    seen: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(seed: u64, faults: bool) -> World {
        let config = config("");
        World {
            hub: Hub::new(Arc::clone(&config), sizes(&config, 1_024), u32::MAX, 1),
            nodes: (0..NODES as u64).map(|i| Fake::new(i, &config)).collect(),
            rng: Rng(seed),
            faults,
            kept: Kept::default(),
            starts: 1,
            pending: Vec::new(),
            under_way: Vec::new(),
            seen: BTreeMap::new(),
            config,
        }
    }

    /// Does it go wrong, once in so many?
    fn fault(&mut self, what: &'static str, one_in: u64) -> bool {
        let it_does = self.faults && self.rng.one_in(one_in);
        *self.seen.entry(what).or_default() += u64::from(it_does);
        it_does
    }

    fn crash(&mut self) {
        self.starts += 1;
        self.pending.clear();
        let (from, mut hub) = match &self.kept.checkpoint {
            Some((from, bytes)) => {
                (*from, Hub::restore(Arc::clone(&self.config), bytes, u32::MAX, self.starts).unwrap())
            }
            None => {
                (0, Hub::new(Arc::clone(&self.config), sizes(&self.config, 1_024), u32::MAX, self.starts))
            }
        };
        for group in &self.kept.groups[from..] {
            hub.replay(group).unwrap();
        }
        hub.publish();
        self.hub = hub;
    }

    fn learn(&mut self) {
        self.hub.apply(&std::mem::take(&mut self.pending));
    }

    /// One group: what is under way comes in any order.
    fn group(&mut self, now: Nanos) {
        let (mut group, mut waiting) = (Vec::new(), Vec::new());
        let mut later = Vec::new();
        while !self.under_way.is_empty() {
            let at = self.rng.below(self.under_way.len() as u64) as usize;
            let (i, bytes) = self.under_way.swap_remove(at);
            if self.fault("request is late", 40) {
                later.push((i, bytes));
                continue;
            }
            if self.fault("request comes again", 30) {
                later.push((i, bytes.clone()));
            }
            let x = Exchange::read(bytes, &self.config, Moment { now, mono: now }).unwrap();
            let accepted = self.hub.accept(&x, &mut group).unwrap();
            waiting.push((i, x, accepted.waits));
        }
        self.under_way = later;
        if self.fault("crash before the group is durable", 150) {
            return self.crash();
        }
        let kept = group.is_empty() || !self.fault("store refuses", 60);
        if self.faults && self.rng.one_in(2) {
            self.learn();
        }
        if kept {
            self.hub.commit();
            if !group.is_empty() {
                self.kept.groups.push(group.clone());
            }
            self.learn();
            self.pending = group;
        } else {
            self.hub.rollback();
        }
        if self.fault("crash after it is durable", 150) {
            return self.crash();
        }
        for (i, x, waits) in waiting {
            if waits && !kept {
                continue;
            }
            let mut reply = Vec::new();
            self.hub.reply(&x, 500, &mut reply);
            if !self.fault("reply is lost", 30) {
                self.nodes[i].take(&reply);
            }
        }
        self.learn();
        self.hub.tick(now);
        self.hub.publish();
        if self.fault("checkpoint", 60) {
            let bytes = whole(&self.hub);
            self.kept.checkpoint = Some((self.kept.groups.len(), bytes));
        }
    }

    fn run(mut self, all: &[Observation]) -> World {
        let mut rest = all;
        let mut now = all[0].time;
        while !rest.is_empty() || self.nodes.iter().any(|n| !n.unacked.is_empty()) {
            if rest.is_empty() {
                // All has been sent; the faults end.
                self.faults = false;
            }
            now = now.plus(STEP);
            let n = rest.partition_point(|o| o.time < now);
            let (due, after) = rest.split_at(n);
            rest = after;
            let mut of_ring: BTreeMap<(usize, u8), Vec<Observation>> = BTreeMap::new();
            for o in due {
                let i = weir::engine::hash::mix(o.exact);
                of_ring.entry(((i % NODES as u64) as usize, (i >> 32) as u8 % 2)).or_default().push(*o);
            }
            for ((node, ring), seen) in of_ring {
                let size = 1 + self.rng.below(6) as usize;
                seen.chunks(size).for_each(|c| self.nodes[node].write(ring, c));
            }
            for i in 0..NODES {
                if !self.nodes[i].unacked.is_empty() && !self.fault("request is lost", 40) {
                    let bytes = self.nodes[i].request(now);
                    self.under_way.push((i, bytes));
                }
            }
            self.group(now);
        }
        self.learn();
        self
    }

    fn verdicts(&self, all: &[Observation]) -> (BTreeMap<u64, u32>, BTreeSet<u64>) {
        (requests(&self.hub.ledger), convicted(&self.hub.ledger, all))
    }
}

fn schedules(from: u64, to: u64) {
    let all = traffic_at(0.3, ACCOUNTS, 10, 5.0, 7);
    let (counts, caught) = World::new(0, false).run(&all).verdicts(&all);
    let mut sent: BTreeMap<u64, u32> = BTreeMap::new();
    all.iter().for_each(|o| *sent.entry(o.key).or_default() += 1);
    assert_eq!(counts, sent);
    let of_campaign = |k: &u64| (0..ACCOUNTS).any(|i| account(i) == *k);
    assert!(caught.len() as u64 >= ACCOUNTS * 3 / 4 && caught.iter().all(of_campaign), "{}", caught.len());
    let next = std::sync::atomic::AtomicU64::new(from);
    let seen = Mutex::new(BTreeMap::<&str, u64>::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let w = World::new(seed, true).run(&all);
                    let t = w.hub.totals();
                    assert_eq!(
                        (t.applied, t.lost, t.before, t.refused),
                        (all.len() as u64, 0, 0, 0),
                        "seed {seed}"
                    );
                    let (counts, theirs) = w.verdicts(&all);
                    assert!(counts == sent, "seed {seed}: an observation is lost or counted twice");
                    assert_eq!(theirs, caught, "seed {seed}");
                    let mut seen = seen.lock().unwrap();
                    w.seen.into_iter().for_each(|(what, n)| *seen.entry(what).or_default() += n);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("{} schedules of {} observations: {seen:?}", to - from, all.len());
    assert!(seen.len() >= 8 && seen.values().all(|n| *n > (to - from) / 2), "{seen:?}");
}

#[test]
fn a_thousand_schedules_of_faults_lose_nothing_and_count_nothing_twice() {
    schedules(1, 1_001);
}

#[test]
#[ignore = "half an hour: make test-slow"]
fn a_hundred_thousand_schedules_of_faults_lose_nothing_and_count_nothing_twice() {
    schedules(1_001, 101_001);
}

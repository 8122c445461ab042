//! Random schedules of everything that may go wrong between nodes and hub: lost requests and replies, requests that come again and
//! late, groups that the store refuses or keeps without a word, crashes before and after a group is durable, checkpoints in between,
//! another hub that follows and takes over while the first one still writes; leases that are not renewed, and a hub that goes on under a
//! lease that is another's by now: it is asked as well as the active one, may answer until it knows, and writes nothing. Somebody else uses
//! nodes' ids. Afterwards each observation is in the ledger once, the convicted keys are those of a run without faults, and in force
//! everywhere.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::super::fake::{Fake, Rng, account, config, convicted, requests, traffic_at};
use super::super::identity::Identity;
use super::tests::whole;
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use weir::engine::observation::Observation;

const NODES: usize = 3;
const ACCOUNTS: u64 = 60;
/// Time between exchanges.
const STEP: Nanos = Nanos::from_secs(60);

/// A group as a store keeps it.
struct Group {
    tag: u64,
    /// Of the one before.
    before: u64,
    bytes: Vec<u8>,
}

/// What survives a crash.
#[derive(Default)]
struct Kept {
    checkpoint: Option<(usize, Vec<u8>)>,
    groups: Vec<Group>,
    /// Number of the hub that is active.
    fence: u64,
}

/// A hub that follows, and where it is.
struct Standby {
    hub: Hub,
    at: usize,
    tag: Option<u64>,
}

/// A hub that does not know yet that another is active.
struct Former {
    hub: Hub,
    fence: u64,
    /// Groups until its lease has run out by its own clock.
    left: u64,
}

struct World {
    config: Arc<Config>,
    rng: Rng,
    faults: bool,
    kept: Kept,
    hub: Hub,
    starts: u64,
    /// Of this hub, and what its next group is to follow.
    fence: u64,
    position: usize,
    tag: u64,
    attempts: u64,
    standby: Option<Standby>,
    former: Option<Former>,
    has_standby: bool,
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
            fence: 0,
            position: 0,
            tag: 0,
            attempts: 0,
            standby: None,
            former: None,
            // It costs as much as the active one.
            has_standby: seed.is_multiple_of(4),
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

    /// What the checkpoint says.
    fn loaded(&mut self) -> Standby {
        self.starts += 1;
        let (at, hub) = match &self.kept.checkpoint {
            Some((at, bytes)) => {
                (*at, Hub::restore(Arc::clone(&self.config), bytes, u32::MAX, self.starts).unwrap())
            }
            None => {
                (0, Hub::new(Arc::clone(&self.config), sizes(&self.config, 1_024), u32::MAX, self.starts))
            }
        };
        Standby { hub, at, tag: None }
    }

    /// Reads what is new. `None`: what it has read was replaced, or is cut off.
    fn follow(&mut self, mut s: Standby) -> Option<Standby> {
        if self.kept.checkpoint.as_ref().is_some_and(|c| s.at < c.0) {
            return None;
        }
        for group in &self.kept.groups[s.at..] {
            if s.tag.is_some_and(|t| t != group.before) {
                return None;
            }
            s.hub.replay(&group.bytes).unwrap();
            (s.at, s.tag) = (s.at + 1, Some(group.tag));
        }
        // The last one may have been replaced by one that has not come yet.
        let last = self.kept.groups.last().map(|g| g.tag);
        (s.at == self.kept.groups.len() && s.tag.is_none_or(|t| Some(t) == last)).then_some(s)
    }

    /// Another hub is active from now on: it may have followed before. The one that was.
    fn crash(&mut self) -> Former {
        self.kept.fence += 1;
        self.pending.clear();
        let warm = self.standby.take().and_then(|s| self.follow(s));
        *self.seen.entry("take-over by one that has followed").or_default() += u64::from(warm.is_some());
        let mut s = warm.unwrap_or_else(|| {
            let s = self.loaded();
            self.follow(s).unwrap()
        });
        s.hub.publish();
        let hub = std::mem::replace(&mut self.hub, s.hub);
        let former = Former { hub, fence: self.fence, left: 3 };
        (self.fence, self.position) = (self.kept.fence, s.at);
        self.tag = self.kept.groups.last().map_or(0, |g| g.tag);
        former
    }

    /// Requests that come to a hub which is not the active one any more.
    fn ask_former(&mut self, now: Nanos) {
        let Some(mut former) = self.former.take() else { return };
        let (mut group, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..self.under_way.len() {
            if self.rng.one_in(2) {
                continue;
            }
            let at = self.rng.below(self.under_way.len() as u64) as usize;
            let (i, bytes) = self.under_way.swap_remove(at);
            let x = self.read(i, bytes, now);
            let accepted = former.hub.accept(&x, &mut group).unwrap();
            waiting.push((i, x, accepted.waits));
        }
        let is_fenced = !group.is_empty();
        if is_fenced {
            assert!(!self.append(former.fence, &group), "what a former hub writes is refused");
        }
        former.hub.rollback();
        if is_fenced || former.left == 0 {
            // It stands by from now on, and answers nobody.
            *self.seen.entry("a former hub learns of it").or_default() += 1;
            return;
        }
        // What it knows is durable.
        for (i, x, _) in waiting {
            let mut reply = Vec::new();
            former.hub.reply(&x, 500, &mut reply);
            self.nodes[i].take(&reply);
        }
        former.left -= 1;
        self.former = Some(former);
    }

    fn read(&self, i: usize, bytes: Vec<u8>, now: Nanos) -> Exchange<Vec<u8>> {
        let x = Exchange::read(bytes, &self.config, Moment { now, mono: now }).unwrap();
        x.by(Identity::of_token(&format!("proxy-{i}")))
    }

    /// As the script in the store does it.
    fn append(&mut self, fence: u64, group: &[u8]) -> bool {
        if fence != self.kept.fence {
            return false;
        }
        self.attempts += 1;
        // What an attempt left there whose answer did not come.
        self.kept.groups.truncate(self.position);
        self.kept.groups.push(Group { tag: self.attempts, before: self.tag, bytes: group.to_vec() });
        true
    }

    fn learn(&mut self) {
        self.hub.apply(&std::mem::take(&mut self.pending));
    }

    /// One group: what is under way comes in any order.
    fn group(&mut self, now: Nanos) {
        if self.former.is_none() && self.fault("the lease is another's, and the hub does not know", 200) {
            self.former = Some(self.crash());
        }
        self.ask_former(now);
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
            let is_known = self.hub.nodes().get(&self.nodes[i].id).is_some_and(|n| n.identity.is_some());
            if is_known && self.fault("somebody else uses a node's id", 60) {
                let x = self.read(i + NODES, bytes.clone(), now);
                assert_eq!(self.hub.accept(&x, &mut group), Err(Refused::Identity));
            }
            let x = self.read(i, bytes, now);
            let accepted = self.hub.accept(&x, &mut group).unwrap();
            waiting.push((i, x, accepted.waits));
        }
        self.under_way = later;
        if self.fault("crash before the group is durable", 150) {
            self.crash();
            return;
        }
        if self.fault("another hub takes over in mid-group", 200) {
            let mut former = self.crash();
            if !group.is_empty() {
                assert!(!self.append(former.fence, &group), "what the old one still writes is refused");
            }
            former.hub.rollback();
            return;
        }
        let mut kept = group.is_empty() || !self.fault("store refuses", 60);
        if kept && !group.is_empty() {
            assert!(self.append(self.fence, &group));
            kept = !self.fault("the store's answer is lost", 60);
            if kept {
                (self.position, self.tag) = (self.position + 1, self.attempts);
            }
        }
        if self.faults && self.rng.one_in(2) {
            self.learn();
        }
        if kept {
            self.hub.commit();
            self.learn();
            self.pending = group;
        } else {
            self.hub.rollback();
        }
        if self.fault("crash after it is durable", 150) {
            self.crash();
            return;
        }
        let is_silent = self.fault("the lease is not renewed in time", 60);
        for (i, x, waits) in waiting {
            if is_silent || (waits && !kept) {
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
            self.kept.checkpoint = Some((self.position, bytes));
        }
        if self.has_standby && self.fault("a standby reads", 3) {
            let s = self.standby.take().unwrap_or_else(|| self.loaded());
            self.standby = self.follow(s);
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
        self.hub.publish();
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
                    assert!(w.hub.withheld().is_empty(), "seed {seed}: three nodes have seen it");
                    let everywhere: BTreeSet<u64> = w.hub.listed().iter().map(|k| k.key).collect();
                    assert!(everywhere.is_superset(&caught), "seed {seed}");
                    let named = |(i, n): (usize, &Fake)| {
                        let known = w.hub.nodes().get(&n.id).and_then(|n| n.identity.as_ref());
                        known.is_some_and(|known| known.name() == format!("token proxy-{i}"))
                    };
                    assert!(w.nodes.iter().enumerate().all(named), "seed {seed}: somebody has another's id");
                    if (seed + 1 - from).is_multiple_of(1_000) {
                        println!("{} schedules", seed + 1 - from);
                    }
                    let mut seen = seen.lock().unwrap();
                    w.seen.into_iter().for_each(|(what, n)| *seen.entry(what).or_default() += n);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("{} schedules of {} observations: {seen:?}", to - from, all.len());
    assert!(seen.len() >= 16 && seen.values().all(|n| *n > (to - from) / 2), "{seen:?}");
}

#[test]
fn a_thousand_schedules_of_faults_lose_nothing_and_count_nothing_twice() {
    schedules(1, 1_001);
}

#[test]
#[ignore = "an hour, on a busy machine three: make test-slow"]
fn a_hundred_thousand_schedules_of_faults_lose_nothing_and_count_nothing_twice() {
    schedules(1_001, 101_001);
}

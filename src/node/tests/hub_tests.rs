//! The leader's exchange, with a hub that only counts.

use super::*;
use crate::engine::config::parse;
use crate::engine::observation;
use crate::engine::snapshot::{KeyEntry, Shard, shard_of};
use crate::engine::verdict::Reason;
use crate::node::exchange::{Reply, Request};
use std::collections::{BTreeMap, BTreeSet};

fn with_hub() -> Arc<Config> {
    let text = format!(
        r#"{{"policy":"p","seed":"{}","mode":"enforce","keys":1024,"campaign":{{"groups":64,"doorkeeper_bits":10,"novelty_bits":10}},"limits":[],"hub":{{"cluster":"hub"}}}}"#,
        "ab".repeat(32)
    );
    Arc::new(parse(&text).unwrap())
}

/// What a hub that keeps everything has been told.
#[derive(Default)]
struct Told {
    next: BTreeMap<([u8; 16], u8), u64>,
    batches: BTreeSet<([u8; 16], u8, u64)>,
    observations: u64,
    duplicates: u64,
    epoch: u64,
    shards: Vec<(u8, u32, Vec<u8>)>,
    ahead_ms: i64,
}

impl Told {
    /// Takes a request; the answer.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let r = Request::decode(bytes).unwrap();
        assert_eq!((r.policy, r.seed_check), ("p", with_hub().seed.check()));
        let mut acks = BTreeMap::new();
        for b in &r.batches {
            let next = self.next.entry((r.node, b.ring)).or_default();
            if b.seq < *next {
                self.duplicates += 1;
            } else {
                assert!(self.batches.insert((r.node, b.ring, b.seq)));
                let n = observation::decode(b.bytes, r.seed_check, |_| ()).unwrap();
                self.observations += u64::from(n);
                *next = b.seq + 1;
            }
            acks.insert(b.ring, *next);
        }
        let held = |i: u8| if r.hub_epoch == self.epoch { r.held[usize::from(i)] } else { 0 };
        let shards = self.shards.iter().filter(|(i, v, _)| held(*i) != *v);
        let mut out = Vec::new();
        Reply {
            seed_check: r.seed_check,
            hub_epoch: self.epoch,
            period_ms: 500,
            offset_ms: self.ahead_ms,
            acks: acks.into_iter().collect(),
            shards: shards.map(|(i, v, b)| (*i, *v, &b[..])).collect(),
        }
        .encode(&mut out);
        out
    }
}

impl World {
    fn with_hub(vms: usize) -> World {
        let mut w = World::new(vms);
        w.configure();
        w.run(2, &[]);
        w
    }
    fn configure(&mut self) {
        self.vms.iter_mut().flatten().for_each(|vm| vm.reconfigure(&with_hub()));
    }
    /// The request that is due.
    fn due(&mut self) -> Option<Vec<u8>> {
        let i = self.leader()?;
        let now = Nanos::from_secs(1_780_000_000).plus(Nanos(self.memory.now));
        self.vms[i].as_mut().unwrap().hub_request(&mut self.memory, now)
    }
    fn answer(&mut self, status: u32, body: &[u8]) -> Option<Answer> {
        let i = self.leader()?;
        self.vms[i].as_mut().unwrap().hub_answer(&mut self.memory, status, body)
    }
    /// So many ticks with a hub that answers at once.
    fn exchange(&mut self, told: &mut Told, ticks: usize) {
        for _ in 0..ticks {
            self.run(1, &[]);
            if let Some(request) = self.due() {
                let reply = told.take(&request);
                assert_eq!(self.answer(200, &reply), Some(Answer::Taken));
            }
        }
    }
    fn sums(&self) -> Counts {
        let mut sum = self.counts();
        for c in self.vms.iter().flatten().map(Node::counts) {
            sum.hub_sent += c.hub_sent;
            sum.hub_dropped += c.hub_dropped;
            sum.hub_failed += c.hub_failed;
        }
        sum
    }
}

#[test]
fn the_hub_hears_of_every_observation_once() {
    let (mut w, mut hub) = (World::with_hub(3), Told { epoch: 1, ..Told::default() });
    for i in 0..900 {
        w.request(1 + i as usize % 2, i);
        if i % 30 == 0 {
            w.exchange(&mut hub, 1);
        }
    }
    w.exchange(&mut hub, 20);
    assert_eq!((hub.observations, hub.duplicates), (900, 0));
    let c = w.sums();
    assert_eq!((c.hub_sent, c.hub_dropped, c.hub_failed), (900, 0, 0));
    let calls = (0..20).filter(|_| {
        w.run(1, &[]);
        w.due().map(|r| hub.take(&r)).map(|r| w.answer(200, &r)).is_some()
    });
    assert_eq!(calls.count(), 4, "one call each half second");
}

#[test]
fn while_the_hub_is_away_the_node_goes_on_and_what_waits_is_bounded() {
    let (mut w, mut hub) = (World::with_hub(2), Told { epoch: 1, ..Told::default() });
    let mut n = 0;
    // Every way in which a call can end.
    for (status, body) in [(503, &b""[..]), (504, b""), (401, b"{}"), (200, b"strange"), (0, b"")] {
        for _ in 0..50 {
            w.request(1, n);
            n += 1;
            w.run(1, &[]);
            if w.due().is_some() {
                let answer = w.answer(status, body);
                assert!(matches!(answer, Some(Answer::Refused(_) | Answer::Strange)), "{answer:?}");
            }
        }
    }
    w.run(2, &[]);
    assert!(w.sums().hub_failed >= 5);
    assert_eq!((w.counts().applied, w.counts().lost), (n, 0), "its own ledger has learned");
    // Nobody answers at all: the call is given up, and made again.
    w.run(60 * 10, &[]);
    assert!(w.due().is_some());
    w.run(20 * 10, &[]);
    w.exchange(&mut hub, 320);
    assert_eq!((hub.observations, hub.duplicates), (n, 0));
    // Far more than may wait.
    let before = w.sums();
    while w.sums().hub_dropped == 0 {
        for _ in 0..2_000 {
            w.request(1, n);
            n += 1;
        }
        w.run(1, &[]);
        assert!(n < 200_000);
    }
    w.exchange(&mut hub, 400);
    let c = w.sums();
    assert_eq!(c.hub_sent - before.hub_sent + c.hub_dropped, c.applied - before.applied, "{c:?}");
    assert_eq!(hub.observations, c.hub_sent);
}

#[test]
fn a_new_leader_sends_what_the_one_before_had_not_and_duplicates_are_known() {
    let (mut w, mut hub) = (World::with_hub(3), Told { epoch: 1, ..Told::default() });
    for i in 0..300 {
        w.request(1 + i as usize % 2, i);
        if i % 30 == 0 {
            w.exchange(&mut hub, 1);
        }
    }
    w.exchange(&mut hub, 10);
    // The next ones are taken, but the answer never comes.
    for i in 300..400 {
        w.request(1, i);
    }
    w.run(10, &[]);
    hub.take(&w.due().unwrap());
    w.kill(0);
    while w.leader().is_none() {
        w.run(1, &[]);
    }
    w.exchange(&mut hub, 30);
    assert_eq!((hub.observations, w.counts().lost), (400, 0));
    assert!(hub.duplicates > 0, "what was taken was sent again");
    assert_eq!(hub.next.keys().map(|k| k.0).collect::<BTreeSet<_>>().len(), 1, "it is the same node");
}

#[test]
fn a_ring_that_begins_anew_makes_another_node() {
    let (mut w, mut hub) = (World::with_hub(2), Told { epoch: 1, ..Told::default() });
    for i in 0..100 {
        w.request(1, i);
        w.exchange(&mut hub, 1);
    }
    // The host has lost the worker's cell.
    w.cell("s/1").truncate(3);
    w.cell("s/0").truncate(3);
    for i in 100..200 {
        w.request(1, i);
        w.exchange(&mut hub, 1);
    }
    w.exchange(&mut hub, 10);
    assert_eq!(hub.duplicates, 0);
    assert_eq!(hub.observations, w.sums().hub_sent);
    assert!(hub.next.keys().map(|k| k.0).collect::<BTreeSet<_>>().len() > 1);
}

/// Its next leader reads the rings again: from where the node became another one, and not from their beginning.
#[test]
fn a_node_that_has_become_another_one_tells_nothing_again_whoever_leads() {
    let (mut w, mut hub) = (World::with_hub(3), Told { epoch: 1, ..Told::default() });
    for i in 0..60 {
        w.request(1 + i as usize % 2, i);
        w.exchange(&mut hub, 1);
    }
    w.exchange(&mut hub, 10);
    assert_eq!(hub.observations, 60);
    // The host has lost the cell of one worker, and the other one is silent from now on.
    w.cell("s/1").truncate(3);
    w.run(2, &[]);
    for i in 60..80 {
        w.request(1, i);
        w.exchange(&mut hub, 1);
    }
    w.exchange(&mut hub, 10);
    assert_eq!((hub.observations, w.sums().hub_dropped), (80, 0));
    w.kill(0);
    while w.leader().is_none() {
        w.run(1, &[]);
    }
    w.exchange(&mut hub, 10);
    assert_eq!(hub.observations, 80);
    // The same where the host has lost what the leaders knew of the hub.
    let leader = w.leader().unwrap();
    w.cell("hm").truncate(3);
    w.kill(leader);
    while w.leader().is_none() {
        w.run(1, &[]);
    }
    w.exchange(&mut hub, 10);
    w.start(1);
    w.configure();
    w.run(10, &[]);
    let leader = w.leader().unwrap();
    w.kill(leader);
    while w.leader().is_none() {
        w.run(1, &[]);
    }
    w.exchange(&mut hub, 10);
    assert_eq!(hub.observations, 80);
}

#[test]
fn that_a_ring_begins_anew_the_next_leader_knows_though_nothing_came_since() {
    let mut w = World::with_hub(2);
    for i in 0..30 {
        w.request(1, i);
        w.run(1, &[]);
    }
    w.run(300, &[]);
    w.cell("s/1").truncate(3);
    w.run(3, &[]);
    let meta = cells::Meta::decode(w.cell("cm")).unwrap();
    assert_eq!((meta.tails[1].seq, meta.tails[1].total), (0, 0));
}

#[test]
fn what_the_hub_has_is_not_told_again_though_the_leader_died_before_it_could_say_what_it_had_read() {
    let (mut w, mut hub) = (World::with_hub(3), Told { epoch: 1, ..Told::default() });
    for i in 0..100 {
        w.request(1, i);
        w.exchange(&mut hub, 1);
    }
    w.exchange(&mut hub, 10);
    let tails = w.cell("cm").clone();
    for i in 100..110 {
        w.request(1, i);
        w.exchange(&mut hub, 1);
    }
    w.exchange(&mut hub, 10);
    assert_eq!(hub.observations, 110);
    *w.cell("cm") = tails;
    w.kill(0);
    while w.leader().is_none() {
        w.run(1, &[]);
    }
    w.exchange(&mut hub, 10);
    assert_eq!((hub.observations, hub.duplicates, w.sums().hub_sent), (110, 0, 0));
}

/// A push that takes the hub away, and one that brings it back.
#[test]
fn a_hub_that_is_configured_again_tells_all_that_it_had_told() {
    let mut w = World::with_hub(3);
    let key = w.request(1, 77).key.0;
    let now_s = 1_780_000_000 + (w.memory.now / 1_000_000_000) as u32;
    let keys = vec![KeyEntry { key, campaign: 9, until_s: now_s + 86_400 }];
    let mut bytes = Vec::new();
    Shard { now_s, keys, ..Shard::default() }.encode(
        shard_of(key) as u8,
        with_hub().seed.check(),
        &mut bytes,
    );
    let shards = vec![(shard_of(key) as u8, 1, bytes)];
    let mut hub = Told { epoch: 1, shards, ..Told::default() };
    w.exchange(&mut hub, 8);
    assert_eq!(w.request(1, 77).verdict.reason, Reason::Convicted);
    let without = config("p", "ab");
    w.vms.iter_mut().flatten().for_each(|vm| vm.reconfigure(&without));
    w.run(3, &[]);
    assert_eq!(w.request(1, 77).verdict.reason, Reason::None);
    w.configure();
    w.exchange(&mut hub, 8);
    for vm in [1, 2] {
        assert_eq!(w.request(vm, 77).verdict.reason, Reason::Convicted, "worker {vm}");
    }
}

/// The process stood still for an hour, and the hub answers before any worker has heard that it is forgotten.
#[test]
fn a_hub_that_is_forgotten_and_back_within_a_tick_is_read_anew_by_every_worker() {
    let mut w = World::with_hub(3);
    let key = w.request(1, 77).key.0;
    let now_s = 1_780_000_000 + (w.memory.now / 1_000_000_000) as u32;
    let shard = |version: u32, keys: Vec<KeyEntry>| {
        let (i, mut bytes) = (shard_of(key) as u8, Vec::new());
        Shard { now_s, keys, ..Shard::default() }.encode(i, with_hub().seed.check(), &mut bytes);
        (i, version, bytes)
    };
    let convicted = vec![KeyEntry { key, campaign: 9, until_s: now_s + 86_400 }];
    let mut hub = Told { epoch: 1, shards: vec![shard(1, convicted)], ..Told::default() };
    w.exchange(&mut hub, 8);
    assert_eq!(w.request(1, 77).verdict.reason, Reason::Convicted);
    hub.shards = vec![shard(2, Vec::new())];
    w.memory.now += 3_600_000 * MS;
    w.tick(0);
    let reply = hub.take(&w.due().unwrap());
    assert_eq!(w.answer(200, &reply), Some(Answer::Taken));
    w.run(2, &[]);
    for vm in [1, 2] {
        assert_eq!(w.request(vm, 77).verdict.reason, Reason::None, "worker {vm}");
    }
}

/// The answer to a call of before speaks of numbers that mean other batches now.
#[test]
fn an_answer_to_the_node_of_before_acknowledges_nothing() {
    let (mut w, mut hub) = (World::with_hub(2), Told { epoch: 1, ..Told::default() });
    for i in 0..100 {
        w.request(1, i);
        w.exchange(&mut hub, 1);
    }
    w.request(1, 100);
    let told = hub.observations;
    let late = loop {
        w.run(1, &[]);
        if let Some(request) = w.due() {
            break hub.take(&request);
        }
    };
    let (before, in_call) = (w.sums().hub_sent, hub.observations - told);
    // The host has lost the worker's cell while the call was under way.
    w.cell("s/1").truncate(3);
    w.cell("s/0").truncate(3);
    for i in 101..140 {
        w.request(1, i);
        w.run(1, &[]);
    }
    assert_eq!(w.answer(200, &late), Some(Answer::Taken));
    assert_eq!(w.sums().hub_sent, before, "nothing of what came since is there");
    w.exchange(&mut hub, 30);
    let c = w.sums();
    assert_eq!(hub.observations, c.hub_sent + in_call, "and those whose answer came too late");
    assert_eq!(c.hub_sent + c.hub_dropped, c.applied, "{c:?}");
}

#[test]
fn what_the_hub_has_convicted_is_denied_by_every_worker_until_it_is_forgotten() {
    let mut w = World::with_hub(3);
    // The key as the edge sees it.
    let d = w.request(1, 77);
    let key = d.key.0;
    assert_eq!(d.verdict.reason, Reason::None);
    let now_s = 1_780_000_000 + (w.memory.now / 1_000_000_000) as u32;
    let shard = |until_s: u32, ahead_s: i64| {
        let mut bytes = Vec::new();
        let keys = vec![KeyEntry { key, campaign: 9, until_s: (i64::from(until_s) + ahead_s) as u32 }];
        Shard { now_s, keys, ..Shard::default() }.encode(
            shard_of(key) as u8,
            with_hub().seed.check(),
            &mut bytes,
        );
        (shard_of(key) as u8, 1, bytes)
    };
    // A hub whose clock is an hour ahead: its times are its own.
    let mut hub =
        Told { epoch: 1, ahead_ms: 3_600_000, shards: vec![shard(now_s + 7_200, 3_600)], ..Told::default() };
    w.exchange(&mut hub, 8);
    for vm in [1, 2] {
        assert_eq!(w.request(vm, 77).verdict.reason, Reason::Convicted, "worker {vm}");
        assert_eq!(w.request(vm, 78).verdict.reason, Reason::None);
    }
    // Another leader, another worker: both read it in the cells.
    w.kill(0);
    while w.leader().is_none() {
        w.run(1, &[]);
    }
    let late = w.start(1);
    w.configure();
    w.run(1, &[]);
    assert_eq!(w.request(late, 77).verdict.reason, Reason::Convicted);
    // A leader that had stalled has written over it: it is asked for again.
    let cell = format!("f/{}", shard_of(key));
    w.cell(&cell)[0] ^= 1;
    w.exchange(&mut hub, 80);
    let another = w.start(1);
    w.configure();
    w.run(1, &[]);
    assert_eq!(w.request(another, 77).verdict.reason, Reason::Convicted);
    // A hub that began anew sends everything again, under versions that mean nothing to the old ones.
    hub.epoch = 2;
    hub.shards[0].1 = 7;
    w.exchange(&mut hub, 8);
    assert_eq!(w.request(1, 77).verdict.reason, Reason::Convicted);
    // A conviction that has expired by the hub's clock.
    hub.shards = vec![shard(now_s - 10, 3_600)];
    hub.shards[0].1 = 8;
    w.exchange(&mut hub, 8);
    assert_eq!(w.request(1, 77).verdict.reason, Reason::None);
    // An hour without the hub, and nothing of it holds.
    hub.shards = vec![shard(now_s + 86_400, 3_600)];
    hub.shards[0].1 = 9;
    w.exchange(&mut hub, 8);
    assert_eq!(w.request(1, 77).verdict.reason, Reason::Convicted);
    w.run(36_050, &[]);
    assert_eq!(w.request(1, 77).verdict.reason, Reason::None);
    w.exchange(&mut hub, 400);
    assert_eq!(w.request(1, 77).verdict.reason, Reason::Convicted, "it is back");
    // No hub in the configuration any more.
    let without = config("p", "ab");
    w.vms.iter_mut().flatten().for_each(|vm| vm.reconfigure(&without));
    w.run(3, &[]);
    assert_eq!(w.request(2, 77).verdict.reason, Reason::None);
}

#[test]
fn damaged_shards_of_the_hub_are_refused_and_counted() {
    let mut w = World::with_hub(2);
    w.request(1, 1);
    let mut hub = Told {
        epoch: 1,
        shards: vec![(3, 1, b"no shard".to_vec()), (4, 1, vec![0; cells::HUB_SHARD_BYTES + 1])],
        ..Told::default()
    };
    w.exchange(&mut hub, 8);
    assert!(w.counts().cells_refused >= 2);
    assert_eq!(w.request(1, 2).verdict.reason, Reason::None);
}

/// Released, allowed and denied on the hub: in every worker, whoever leads, until it ends by the hub's clock.
#[test]
fn what_people_have_decided_on_the_hub_goes_before_its_verdicts() {
    use crate::engine::snapshot::{ALLOWED, DENIED, EXCEPTIONS, RELEASED};
    let mut w = World::with_hub(3);
    let keys: Vec<u64> = (1..=4).map(|k| w.request(1, k).key.0).collect();
    let now_s = 1_780_000_000 + (w.memory.now / 1_000_000_000) as u32;
    let shard = |index: usize, mut keys: Vec<KeyEntry>| {
        let mut bytes = Vec::new();
        keys.sort_by_key(|k| k.key);
        Shard { now_s, keys, ..Shard::default() }.encode(index as u8, with_hub().seed.check(), &mut bytes);
        (index as u8, 1, bytes)
    };
    let entry = |key: u64, campaign: u32, until_s: u32| KeyEntry { key, campaign, until_s };
    let late = now_s + 7_200;
    let convicted = |i: usize| shard(shard_of(keys[i]), vec![entry(keys[i], 9, late)]);
    let mut hub = Told { epoch: 1, shards: vec![convicted(0), convicted(1)], ..Told::default() };
    w.exchange(&mut hub, 8);
    let reasons = |w: &mut World, vm: usize| [1, 2, 3, 4].map(|k| w.request(vm, k).verdict.reason);
    assert_eq!(reasons(&mut w, 1), [Reason::Convicted, Reason::Convicted, Reason::None, Reason::None]);
    let decide = |w: &mut World, hub: &mut Told, all: Vec<KeyEntry>| {
        let version = hub.shards.iter().find(|s| usize::from(s.0) == EXCEPTIONS).map_or(0, |s| s.1);
        hub.shards.retain(|s| usize::from(s.0) != EXCEPTIONS);
        let (index, _, bytes) = shard(EXCEPTIONS, all);
        hub.shards.push((index, version + 1, bytes));
        w.exchange(hub, 9);
    };
    let all = vec![
        entry(keys[0], RELEASED, late),
        entry(keys[2], DENIED, late),
        entry(keys[3], ALLOWED, late),
        entry(keys[1], RELEASED, now_s - 1),
    ];
    decide(&mut w, &mut hub, all);
    let decided = [Reason::None, Reason::Convicted, Reason::DenyList, Reason::AllowList];
    for vm in [1, 2] {
        assert_eq!(reasons(&mut w, vm), decided, "worker {vm}");
    }
    // Another leader, another worker.
    w.kill(0);
    while w.leader().is_none() {
        w.run(1, &[]);
    }
    let fresh = w.start(1);
    w.configure();
    w.run(1, &[]);
    assert_eq!(reasons(&mut w, fresh), decided);
    // Of what is released and allowed the hub is told, and that nothing is to be learned from it.
    let before = hub.observations;
    w.exchange(&mut hub, 10);
    assert!(hub.observations > before);
    // The whole campaign.
    decide(&mut w, &mut hub, vec![entry(9, RELEASED, late)]);
    assert_eq!(reasons(&mut w, 1), [Reason::None; 4]);
    // By the hub's clock it has ended.
    hub.ahead_ms = 7_300_000;
    hub.shards[0].1 += 1;
    w.exchange(&mut hub, 8);
    assert_eq!(reasons(&mut w, 1), [Reason::None; 4], "and so has the conviction");
    hub.ahead_ms = 0;
    decide(&mut w, &mut hub, Vec::new());
    assert_eq!(reasons(&mut w, 2), [Reason::Convicted, Reason::Convicted, Reason::None, Reason::None]);
}

#[test]
fn a_hub_that_fails_is_called_ever_more_seldom_and_none_is_called_less_than_once_a_minute() {
    let (mut w, mut hub) = (World::with_hub(2), Told { epoch: 1, ..Told::default() });
    w.exchange(&mut hub, 10);
    let next = |w: &mut World| {
        let mut ticks = 0;
        loop {
            w.run(1, &[]);
            ticks += 1;
            if let Some(request) = w.due() {
                return (ticks, request);
            }
            assert!(ticks < 1_000);
        }
    };
    let mut request = next(&mut w).1;
    let mut waits = Vec::new();
    for _ in 0..7 {
        assert_eq!(w.answer(503, b""), Some(Answer::Refused(503)));
        let (ticks, again) = next(&mut w);
        waits.push(ticks);
        request = again;
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300], "seconds: 1, 2, 4, 8, 16, 30, 30");
    // A hub that asks for an hour gets a minute.
    let reply = hub.take(&request);
    let asks = Reply { period_ms: 3_600_000, ..Reply::decode(&reply, with_hub().seed.check()).unwrap() };
    let mut bytes = Vec::new();
    asks.encode(&mut bytes);
    assert_eq!(w.answer(200, &bytes), Some(Answer::Taken));
    // Half a MiB that waits is sent sooner.
    for n in 0..12_000 {
        w.request(1, n);
    }
    let (ticks, request) = next(&mut w);
    assert!(ticks < 20 && request.len() > 512 << 10, "{ticks} {}", request.len());
    let rest = hub.take(&request);
    assert_eq!(w.answer(200, &rest), Some(Answer::Taken));
    w.exchange(&mut hub, 60);
    let request = next(&mut w).1;
    let reply = hub.take(&request);
    let asks = Reply { period_ms: 3_600_000, ..Reply::decode(&reply, with_hub().seed.check()).unwrap() };
    asks.encode(&mut bytes);
    assert_eq!(w.answer(200, &bytes), Some(Answer::Taken));
    assert_eq!(next(&mut w).0, 600);
    // Nobody answers: given up after 15 s, and made again after a second.
    assert_eq!(next(&mut w).0, 160);
}

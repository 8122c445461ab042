//! The hub without disk and network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::super::fake::{Fake, account, config, convicted, requests, traffic};
use super::super::nodes::{FAR, NODES};
use super::*;
use weir::node::cells::{HUB_SHARD_BYTES, HUB_SHARDS};
use weir::node::exchange::REQUEST_BYTES;

const QUOTA: u32 = 50_000;

pub fn at(t: Nanos) -> Moment {
    Moment { now: t, mono: t }
}

fn hub(config: &Arc<Config>) -> Hub {
    Hub::new(Arc::clone(config), sizes(config, 1_024), QUOTA, 1)
}

pub fn whole(h: &Hub) -> Vec<u8> {
    let mut parts = vec![Vec::new(); 3];
    h.checkpoint(&mut parts);
    parts.concat()
}

/// Accepts, commits and applies one exchange.
pub fn exchange(h: &mut Hub, f: &mut Fake, t: Nanos) -> Result<Accepted, Refused> {
    let x = Exchange::read(f.request(t), &f.config, at(t))?;
    let mut group = Vec::new();
    let accepted = h.accept(&x, &mut group)?;
    h.commit();
    h.apply(&group);
    h.publish();
    let mut reply = Vec::new();
    h.reply(&x, 500, &mut reply);
    f.take(&reply);
    Ok(accepted)
}

#[test]
fn a_campaign_that_no_proxy_could_see_is_convicted_on_all_of_them() {
    let config = config("");
    let all = traffic(200, 60, 20.0, 1);
    let mut h = hub(&config);
    let mut nodes: Vec<Fake> = (0..10).map(|i| Fake::new(i, &config)).collect();
    let mut own: Vec<Ledger> = nodes.iter().map(|_| Ledger::new(&config)).collect();
    let (mut due, mut of_node) = (Nanos(0), vec![Vec::new(); 10]);
    let end = all.last().unwrap().time;
    for o in &all {
        // Accounts are pinned: each node sees twenty of them, fewer than a campaign needs.
        of_node[(o.key % 10) as usize].push(*o);
        if o.time < due && o.time < end {
            continue;
        }
        due = o.time.plus(Nanos::from_secs(60));
        for (i, f) in nodes.iter_mut().enumerate() {
            let seen = std::mem::take(&mut of_node[i]);
            if !seen.is_empty() {
                f.write(0, &seen);
                own[i].observe(&f.unacked.back().unwrap().bytes.clone(), |_, _| ()).unwrap();
            }
            own[i].tick(o.time);
            exchange(&mut h, f, o.time).unwrap();
            assert!(f.unacked.is_empty());
        }
        h.tick(o.time);
    }
    let caught = convicted(&h.ledger, &all);
    assert!(
        caught.len() >= 190 && caught.iter().all(|k| (0..200).any(|i| account(i) == *k)),
        "{}",
        caught.len()
    );
    assert_eq!(own.iter().map(|l| l.status().convicted).sum::<u32>(), 0, "what each would have known alone");
    h.publish();
    for f in &mut nodes {
        exchange(&mut h, f, end).unwrap();
        let now_s = end.secs() as u32;
        assert!(caught.iter().all(|k| f.snapshot.key(*k, now_s).is_some()), "every node denies all of them");
    }
    assert_eq!(h.totals().applied, all.len() as u64);
    assert_eq!(requests(&h.ledger).values().map(|n| u64::from(*n)).sum::<u64>(), all.len() as u64);
}

#[test]
fn duplicates_are_dropped_and_gaps_are_counted_exactly() {
    let config = config("");
    let all = traffic(4, 4, 20.0, 2);
    let (mut h, mut f, t) = (hub(&config), Fake::new(1, &config), all.last().unwrap().time);
    for chunk in all.chunks(10).take(6) {
        f.write(2, chunk);
    }
    // The first two were lost before the hub heard of the ring, the fourth afterwards, the sixth is damaged.
    let mut kept: Vec<_> = f.unacked.drain(..).collect();
    let n = kept[5].bytes.len();
    kept[5].bytes[n / 2] ^= 1;
    let again = [kept[2].clone(), kept[4].clone(), kept[5].clone()];
    f.unacked.extend(again.iter().cloned());
    assert_eq!(exchange(&mut h, &mut f, t).unwrap().new, 20);
    assert!(f.unacked.is_empty(), "the damaged one is acknowledged, too: it would never decode");
    let counts = h.totals();
    assert_eq!((counts.applied, counts.before, counts.lost, counts.refused), (20, 20, 10, 1));
    // A lost reply: all of it again, and then what follows.
    f.unacked.extend(again);
    let accepted = exchange(&mut h, &mut f, t).unwrap();
    assert_eq!((accepted.new, accepted.waits), (0, false));
    f.write(2, &all[60..65]);
    assert_eq!(exchange(&mut h, &mut f, t).unwrap().new, 5);
    let counts = h.totals();
    assert_eq!(
        (counts.applied, counts.duplicate, counts.lost),
        (25, 3, 20),
        "the damaged batch's ten are lost"
    );
    // What contradicts the ring's own count is refused.
    f.rings[2].1 = 3;
    f.write(2, &all[70..71]);
    exchange(&mut h, &mut f, t).unwrap();
    assert_eq!((h.totals().applied, h.totals().refused), (25, 2));
}

#[test]
fn what_is_not_ours_is_refused_by_name() {
    let config = config("");
    let (t, f) = (Nanos::from_secs(super::super::fake::START_S), Fake::new(1, &config));
    let good = f.request(t);
    let read = |bytes: &[u8]| Exchange::read(bytes.to_vec(), &config, at(t)).map(|_| ()).unwrap_err();
    assert_eq!(read(b""), Refused::Malformed);
    assert_eq!(read(&vec![0; REQUEST_BYTES + 1]), Refused::TooLong);
    for cut in 0..good.len() {
        assert!(["malformed", "checksum"].contains(&read(&good[..cut]).name()), "{cut}");
    }
    for byte in 0..good.len() {
        let mut bad = good.clone();
        bad[byte] ^= 1;
        assert!(["malformed", "checksum", "version"].contains(&read(&bad).name()), "{byte}");
    }
    let other = |text: &str| Arc::new(weir::engine::config::parse(text).unwrap());
    let seed = other(&super::super::fake::config_text("").replace("2d69", "0000"));
    assert_eq!(read(&Fake::new(1, &seed).request(t)), Refused::Seed);
    let policy = other(&super::super::fake::config_text("").replace("fake", "real"));
    assert_eq!(read(&Fake::new(1, &policy).request(t)), Refused::Policy);
}

#[test]
fn a_quota_takes_all_of_an_exchange_or_nothing() {
    let config = config("");
    let all = traffic(10, 10, 20.0, 3);
    let mut h = Hub::new(Arc::clone(&config), sizes(&config, 1_024), 10, 1);
    let (mut f, t) = (Fake::new(1, &config), all.last().unwrap().time);
    // Two seconds of it may come at once, and one exchange may overdraw it: ten seconds' worth.
    f.write(0, &all[..100]);
    assert_eq!(exchange(&mut h, &mut f, t).unwrap().new, 100);
    f.write(0, &all[100..101]);
    for s in [0, 7] {
        let wait = exchange(&mut h, &mut f, t.plus(Nanos::from_secs(s))).unwrap_err();
        assert_eq!(wait, Refused::Quota(Nanos::from_secs(8 - s)));
    }
    assert_eq!((h.totals().applied, h.totals().over_quota, f.unacked.len()), (100, 2, 1));
    // An exchange without anything new costs nothing.
    let held = std::mem::take(&mut f.unacked);
    exchange(&mut h, &mut f, t).unwrap();
    f.unacked = held;
    assert_eq!(exchange(&mut h, &mut f, t.plus(Nanos::from_secs(8))).unwrap().new, 1);
}

#[test]
fn the_longest_silent_node_gives_way_and_none_of_this_hour_does() {
    let config = config("");
    let (mut h, t) = (hub(&config), Nanos::from_secs(super::super::fake::START_S));
    let o = traffic(1, 1, 20.0, 3)[0];
    for i in 0..NODES as u64 {
        let mut f = Fake::new(i, &config);
        if i == 7 {
            f.write(0, &[o]);
        }
        let t = if i == 7 { t } else { t.plus(Nanos::from_secs(1_800)) };
        exchange(&mut h, &mut f, t).unwrap();
    }
    let mut new = Fake::new(NODES as u64, &config);
    let late = t.plus(Nanos::from_secs(3_600));
    assert_eq!(exchange(&mut h, &mut new, late), Err(Refused::Nodes));
    assert!(exchange(&mut h, &mut Fake::new(3, &config), late).is_ok(), "those that are known go on");
    // The store refuses the group: the one that gave way is back.
    let later = late.plus(Nanos::from_secs(1));
    let x = Exchange::read(new.request(later), &config, at(later)).unwrap();
    h.accept(&x, &mut Vec::new()).unwrap();
    assert!(h.nodes().get(&Fake::new(7, &config).id).is_none());
    h.rollback();
    assert!(h.nodes().get(&Fake::new(7, &config).id).is_some() && h.nodes().get(&new.id).is_none());
    assert_eq!((h.nodes().len(), h.totals().applied), (NODES, 1));
    exchange(&mut h, &mut new, later).unwrap();
    assert_eq!(h.nodes().len(), NODES);
    assert!(h.nodes().get(&Fake::new(7, &config).id).is_none() && h.nodes().get(&new.id).is_some());
    assert_eq!(h.totals().applied, 1, "what it had sent still counts");
}

#[test]
fn times_are_those_of_the_hub_and_one_bad_sample_moves_nothing() {
    let config = config("");
    let t = Nanos::from_secs(super::super::fake::START_S);
    for ahead in [3_600_000_000_000i64, -3_600_000_000_000] {
        let (mut h, mut f) = (hub(&config), Fake::new(1, &config));
        f.clock_ahead = ahead;
        h.tick(t);
        let mut told = 0;
        for s in 0..20u64 {
            let now = t.plus(Nanos::from_secs(s));
            f.write(0, &[weir::engine::observation::Observation { time: now, key: 9, ..Default::default() }]);
            // One request took a minute to arrive.
            let x = Exchange::read(
                f.request(now),
                &config,
                Moment { now: if s == 10 { now.plus(Nanos::from_secs(60)) } else { now }, mono: now },
            );
            let mut group = Vec::new();
            let accepted = h.accept(&x.unwrap(), &mut group).unwrap();
            told += usize::from(accepted.far_ms.is_some());
            entries(&group, |e| {
                weir::engine::observation::decode(e.sent[0].bytes, config.seed.check(), |o| {
                    assert_eq!(rebased(o.time, &e), now);
                })
                .unwrap();
            });
            h.commit();
            f.unacked.clear();
        }
        let node = h.nodes().get(&f.id).unwrap();
        assert_eq!((node.offset(), node.is_far(1), told), (-ahead, true, 1));
    }
    // What a node says of the future is now.
    let e = Entry { other: None, node: [0; 16], at: t, mono: t, offset: 5, sent: Vec::new() };
    assert_eq!(rebased(t.plus(FAR), &e), t);
}

#[test]
fn a_rollback_leaves_nothing_and_a_checkpoint_holds_everything() {
    let config = config("");
    let all = traffic(60, 20, 20.0, 4);
    let (mut h, mut f) = (hub(&config), Fake::new(1, &config));
    for chunk in all.chunks(50) {
        f.write(1, chunk);
        let t = chunk.last().unwrap().time;
        // The store fails first: nothing is known of it afterwards, and nothing is acknowledged.
        let before = whole(&h);
        let x = Exchange::read(f.request(t), &config, at(t)).unwrap();
        let mut group = Vec::new();
        assert!(h.accept(&x, &mut group).unwrap().waits);
        h.rollback();
        assert!(whole(&h) == before, "as it was");
        exchange(&mut h, &mut f, t).unwrap();
        h.tick(t);
    }
    let bytes = whole(&h);
    let back = Hub::restore(Arc::clone(&config), &bytes, QUOTA, 1).unwrap();
    assert_eq!((back.epoch(), back.totals()), (2, h.totals()));
    assert_eq!(requests(&back.ledger), requests(&h.ledger));
    assert_eq!(convicted(&back.ledger, &all), convicted(&h.ledger, &all));
    assert!(convicted(&h.ledger, &all).len() >= 50);
    for cut in (0..bytes.len()).step_by(977) {
        assert!(Hub::restore(Arc::clone(&config), &bytes[..cut], QUOTA, 1).is_err());
    }
    let other =
        weir::engine::config::parse(&super::super::fake::config_text("").replace("fake", "real")).unwrap();
    let why = Hub::restore(Arc::new(other), &bytes, QUOTA, 1).unwrap_err();
    assert_eq!(why.0, "of another policy");
}

#[test]
fn a_reply_brings_what_is_lacking_and_no_more_than_fits() {
    let config = config("");
    let (mut h, mut f) = (hub(&config), Fake::new(1, &config));
    let t = Nanos::from_secs(super::super::fake::START_S);
    exchange(&mut h, &mut f, t).unwrap();
    assert!(f.held.iter().all(|v| *v == 1), "all shards, once");
    let ask = |h: &Hub, f: &mut Fake| {
        let x = Exchange::read(f.request(t), &config, at(t)).unwrap();
        let mut reply = Vec::new();
        h.reply(&x, 500, &mut reply);
        assert!(reply.len() <= REPLY_BYTES);
        f.take(&reply)
    };
    assert_eq!(ask(&h, &mut f), 0);
    f.hub_epoch = 77;
    assert_eq!(ask(&h, &mut f), HUB_SHARDS, "of another epoch");
    // Shards as long as a cell: seven fit into one reply with all that is around them.
    h.publication.lengthen();
    let mut got = std::collections::BTreeSet::new();
    for n in 1..=10u32 {
        let x = Exchange::read(f.request(t), &config, at(t)).unwrap();
        let mut group = Vec::new();
        h.accept(&x, &mut group).unwrap();
        let mut reply = Vec::new();
        h.reply(&x, 500, &mut reply);
        assert!(reply.len() <= REPLY_BYTES);
        let r = Reply::decode(&reply, config.seed.check()).unwrap();
        for (i, version, _) in &r.shards {
            got.insert(*i);
            f.held[usize::from(*i)] = *version;
        }
        assert!(n > 9 || r.shards.len() == 7, "{}", r.shards.len());
    }
    assert_eq!(got.len(), HUB_SHARDS, "the rest came with the next replies");
}

#[test]
fn tables_grow_with_keys_up_to_ten_million() {
    let config = config("");
    assert_eq!(sizes(&config, 1), Sizes::of(&config));
    let s = sizes(&config, MOST_KEYS);
    assert_eq!((s.keys, s.groups, s.doorkeeper_bits, s.novelty_bits), (1 << 24, 16_384, 22, 22));
    assert!(
        is_sound(&s) && !is_sound(&Sizes { keys: 1 << 25, ..s }) && !is_sound(&Sizes { keys: 3_000, ..s })
    );
}

/// A shard with so many convicted keys that are held until `until_s` and later.
fn shard_of_keys(i: u8, n: u64, until_s: u32) -> (u8, Vec<u8>) {
    let key =
        |k: u64| KeyEntry { key: u64::from(i) << 32 | (k + 1), campaign: 0, until_s: until_s + k as u32 };
    let shard = weir::engine::snapshot::Shard { keys: (0..n).map(key).collect(), ..Default::default() };
    let mut bytes = Vec::new();
    shard.encode(i, config("").seed.check(), &mut bytes);
    (i, bytes)
}

#[test]
fn a_shard_that_no_cell_can_hold_stays_as_it_was_and_is_counted() {
    let mut h = hub(&config(""));
    let none = Witnesses::default();
    let fits = HUB_SHARD_BYTES as u64 / 16 - 8;
    assert_eq!(h.publication.take(vec![shard_of_keys(3, fits, 9)], &none, false, true), 1);
    let version = h.publication.version(3);
    assert_eq!(h.publication.take(vec![shard_of_keys(3, fits + 9, 9)], &none, false, true), 0);
    assert_eq!((h.publication.version(3), h.too_long(), h.convicted().len() as u64), (version, 1, fits));
}

#[test]
fn a_list_holds_so_many_and_those_that_end_last() {
    let mut h = hub(&config(""));
    let all = (0..5).map(|i| shard_of_keys(i, 14_000, 1_000)).collect();
    h.publication.take(all, &Witnesses::default(), false, true);
    assert_eq!(h.listed().len(), 70_000);
    let lists = super::super::tell::lists(&h);
    let listed: BTreeSet<&str> =
        lists["deny"].as_array().unwrap().iter().map(|e| e["key"].as_str().unwrap()).collect();
    assert_eq!(listed.len(), 65_536);
    let has = |k: u64| listed.contains(weir::engine::value::KeyId(k).to_string().as_str());
    assert!(has(1 << 32 | 14_000) && !has(1 << 32 | 1) && !has(4 << 32 | 1));
}

#[test]
fn a_checkpoint_of_a_hub_that_knew_no_identities_is_taken() {
    let config = config("");
    let all = traffic(4, 4, 20.0, 4);
    let (mut h, mut f) = (hub(&config), Fake::new(1, &config));
    f.write(1, &all[..50]);
    exchange(&mut h, &mut f, all[49].time).unwrap();
    let mut bytes = whole(&h);
    let now = Hub::restore(Arc::clone(&config), &bytes, QUOTA, 1).unwrap();
    // In front of the one node: magic to sizes, sums, the number of nodes. Of the node: id, counts, contacts, clock, one ring.
    let head = 8 + 2 + 4 + 1 + config.policy.len() + 8 + 8 + 10;
    let node = 16 + 6 * 8 + 8 + 8 + 5 * 8 + 1 + 1 + 1 + 17;
    assert_eq!(bytes.remove(head + 6 * 8 + 4 + node), 0, "it has no identity");
    bytes[8..10].copy_from_slice(&2u16.to_le_bytes());
    let back = Hub::restore(Arc::clone(&config), &bytes, QUOTA, 1).unwrap();
    assert_eq!((back.totals(), back.nodes().get(&f.id)), (now.totals(), now.nodes().get(&f.id)));
    assert_eq!(requests(&back.ledger), requests(&h.ledger));
    let mut later = bytes.clone();
    later[8] = 4;
    assert_eq!(Hub::restore(Arc::clone(&config), &later, QUOTA, 1).unwrap_err().0, "another layout");
}
